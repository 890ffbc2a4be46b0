//! The forward proxy of the environment (`HTTPS_PROXY`, `NO_PROXY`): which connections go through it, and the tunnel
//! that it opens with `CONNECT` (RFC 9110, section 9.3.6). TLS is end to end: the proxy sees host names and no request.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tower_service::Service;
use url::Url;

use crate::causes;

/// The variables that name the proxy. The first one with a value counts.
const PROXY: [&str; 4] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
/// The variables that list the hosts without a proxy. The first one with a value counts.
const BYPASS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// The hosts that the gateway always connects to directly: this machine, and the services at which AWS offers
/// credentials of the machine, the task or the pod. A proxy would answer with its own.
const DIRECT: &str =
    "localhost,127.0.0.0/8,::1,::ffff:127.0.0.0/104,169.254.0.0/16,::ffff:169.254.0.0/112,fd00:ec2::/32";

type BoxError = Box<dyn Error + Send + Sync>;
/// A connection to the server or to the proxy.
pub(crate) type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type Tunneled = Tunnel<HttpsConnector<HttpConnector>>;
/// The library exports this type only as the error of its service.
type TunnelError = <Tunneled as Service<Uri>>::Error;

/// The proxy for HTTPS connections, or none. Plain HTTP never goes through it.
#[derive(Clone, Default)]
pub struct Proxy(Option<Arc<Settings>>);

struct Settings {
    /// The variable that names the proxy.
    variable: &'static str,
    /// With user name and password. Never shown.
    url: String,
    /// Scheme, host and port.
    name: String,
    /// The operator's list of hosts without a proxy.
    no_proxy: String,
    /// That list and [`DIRECT`].
    direct: String,
    matcher: Matcher,
}

/// The error for a variable that names no usable proxy. It does not quote the value, which may contain a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not the URL of a proxy: {fault}; write it like http://proxy.example.com:3128")]
pub struct InvalidProxy {
    variable: &'static str,
    fault: String,
}

impl Proxy {
    /// The proxy that the environment of this process names.
    ///
    /// # Errors
    /// When the variable is not the URL of an HTTP proxy.
    pub fn from_environment() -> Result<Self, InvalidProxy> {
        Self::of(|name| std::env::var(name).ok())
    }

    /// The proxy that these variables name.
    ///
    /// # Errors
    /// The same as for [`Proxy::from_environment`].
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, InvalidProxy> {
        let value =
            |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let Some((variable, text)) = PROXY.iter().find_map(|name| Some((*name, value(name)?))) else {
            return Ok(Self::default());
        };
        let invalid = |fault: String| InvalidProxy { variable, fault };
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        let url: Url = text.parse().map_err(|error: url::ParseError| invalid(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(invalid(format!("{} is not a scheme of an HTTP proxy", url.scheme())));
        }
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(invalid("it has no host".to_owned()));
        };
        let no_proxy = BYPASS.iter().find_map(|name| value(name)).unwrap_or_default();
        let direct = format!("{DIRECT},{}", listed(&no_proxy));
        let matcher = Matcher::builder().https(url.as_str()).no(&direct).build();
        Ok(Self(Some(Arc::new(Settings {
            variable,
            name: format!("{}://{host}:{port}", url.scheme()),
            url: url.into(),
            no_proxy,
            direct,
            matcher,
        }))))
    }

    /// The proxy without user name and password, if there is one.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref().map(|settings| &*settings.name)
    }

    /// The variable that names the proxy, and the operator's list of hosts without it.
    pub fn origin(&self) -> Option<(&'static str, &str)> {
        self.0.as_deref().map(|settings| (settings.variable, &*settings.no_proxy))
    }

    /// For another HTTP library: the URL of the proxy, with user name and password, and all hosts without a proxy.
    pub(crate) fn url_and_direct(&self) -> Option<(&str, &str)> {
        self.0.as_deref().map(|settings| (&*settings.url, &*settings.direct))
    }

    /// Whether connections to this address go through the proxy.
    pub fn is_used_for(&self, address: &Uri) -> bool {
        self.intercept(address).is_some()
    }

    /// The fault of the proxy in words, if `error` or one of its causes is a failure of its tunnel.
    pub fn fault(&self, error: &(dyn Error + 'static)) -> Option<String> {
        let settings = self.0.as_deref()?;
        let tunnel = causes::chain(error).find_map(|error| error.downcast_ref::<TunnelError>())?;
        let Settings { name, variable, .. } = settings;
        Some(match tunnel {
            TunnelError::ProxyAuthRequired => format!(
                "the proxy {name} rejected the user name and the password of {variable} (status 407); \
                 write them as http://USER:PASSWORD@HOST:PORT"
            ),
            TunnelError::TunnelUnsuccessful => format!(
                "the proxy {name} refused the connection; allow the host at the proxy, or list it in NO_PROXY"
            ),
            TunnelError::TunnelUnexpectedEof => {
                format!("the proxy {name} closed the connection without an answer")
            }
            TunnelError::ConnectFailed(cause) => {
                format!("the proxy {name} cannot be reached: {}", causes::in_one_line(&**cause))
            }
            TunnelError::Io(cause) => format!("the connection to the proxy {name} failed: {cause}"),
            TunnelError::MissingHost | TunnelError::ProxyHeadersTooLong => {
                format!("the proxy {name} gave no usable answer: {tunnel}")
            }
        })
    }

    /// A failed connection to AWS at `address`: what the proxy did wrong, otherwise the error with its causes.
    pub fn explain(&self, error: &(dyn Error + 'static), address: &Uri) -> NoConnection {
        if let Some(text) = self.fault(error) {
            return NoConnection { obstacle: Obstacle::Proxy, text };
        }
        let obstacle = if causes::is_unknown_host(error) { Obstacle::HostName } else { Obstacle::Other };
        let text = causes::of_connection(error, "aws.endpoints.ca") + &self.hint(address);
        NoConnection { obstacle, text }
    }

    /// The end of a message about a connection to `address`: it names the proxy, if the connection goes through it.
    pub fn hint(&self, address: &Uri) -> String {
        let name = self.name().filter(|_| self.is_used_for(address));
        name.map_or_else(String::new, |name| format!("; the proxy is {name}"))
    }

    fn intercept(&self, address: &Uri) -> Option<Intercept> {
        self.0.as_deref()?.matcher.intercept(address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Proxy").field(&self.name()).finish()
    }
}

impl PartialEq for Proxy {
    fn eq(&self, other: &Self) -> bool {
        self.url_and_direct() == other.url_and_direct()
    }
}

impl Eq for Proxy {}

/// The list as the library reads it: separated by commas, and `.acme.org` for `*.acme.org`.
fn listed(no_proxy: &str) -> String {
    let entries = no_proxy.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty());
    let entries =
        entries.map(|entry| if entry.starts_with("*.") { entry.trim_start_matches('*') } else { entry });
    entries.collect::<Vec<_>>().join(",")
}

/// Why no connection to AWS was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoConnection {
    pub obstacle: Obstacle,
    /// In one line, for the operator. It names the proxy, if the connection goes through it.
    pub text: String,
}

/// The obstacle to a connection. It decides what the operator should check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// The proxy of the environment.
    Proxy,
    /// The name of the server does not resolve.
    HostName,
    /// Something else on the way, or the server.
    Other,
}

/// Connects to servers, directly or through a tunnel of the proxy.
#[derive(Debug, Clone)]
pub(crate) struct ProxyConnector<R> {
    direct: HttpConnector<R>,
    to_proxy: HttpsConnector<HttpConnector>,
    proxy: Proxy,
}

impl<R> ProxyConnector<R> {
    /// `direct` connects to servers, `to_proxy` to the proxy, with this TLS if the proxy speaks HTTPS.
    pub(crate) fn new(
        direct: HttpConnector<R>,
        mut to_proxy: HttpConnector,
        tls: ClientConfig,
        proxy: Proxy,
    ) -> Self {
        to_proxy.enforce_http(false);
        let to_proxy = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(to_proxy);
        Self { direct, to_proxy, proxy }
    }
}

impl<R> Service<Uri> for ProxyConnector<R>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>>,
    <HttpConnector<R> as Service<Uri>>::Future: Send + 'static,
    <HttpConnector<R> as Service<Uri>>::Error: Into<BoxError>,
{
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let Some(proxy) = self.proxy.intercept(&server) else {
            let connecting = self.direct.call(server);
            return Box::pin(async move { connecting.await.map(MaybeHttpsStream::Http).map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), self.to_proxy.clone());
        if let Some(login) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(login.clone());
        }
        let tunneling = tunnel.call(server);
        Box::pin(async move { tunneling.await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxy(variables: &[(&str, &str)]) -> Result<Proxy, InvalidProxy> {
        Proxy::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn used(proxy: &Proxy, address: &str) -> bool {
        proxy.is_used_for(&address.parse().unwrap())
    }

    #[test]
    fn the_first_variable_with_a_value_names_the_proxy() {
        for (variables, name) in [
            (vec![], None),
            (vec![("HTTP_PROXY", "http://a:1")], None),
            (vec![("HTTPS_PROXY", ""), ("https_proxy", "http://b:3128/")], Some("http://b:3128")),
            (vec![("ALL_PROXY", "c:3128"), ("HTTPS_PROXY", "https://d")], Some("https://d:443")),
            (vec![("all_proxy", "c:3128")], Some("http://c:3128")),
        ] {
            assert_eq!(proxy(&variables).unwrap().name(), name, "{variables:?}");
        }
    }

    #[test]
    fn an_invalid_proxy_is_rejected_without_its_password() {
        for value in
            ["socks5://user:hunter2@proxy:1080", "http://user:hunter2@", "http://user:hunter2@proxy:x"]
        {
            let error = proxy(&[("HTTPS_PROXY", value)]).unwrap_err().to_string();
            assert!(error.starts_with("HTTPS_PROXY is not the URL of a proxy: "), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn a_password_is_sent_and_never_shown() {
        let proxy = proxy(&[("HTTPS_PROXY", "http://user:hunter2@proxy:3128")]).unwrap();
        let login = proxy.intercept(&Uri::from_static("https://sts.us-east-1.amazonaws.com")).unwrap();
        assert_eq!(login.basic_auth().unwrap(), "Basic dXNlcjpodW50ZXIy");
        assert_eq!(
            format!("{proxy:?} {:?}", proxy.name()),
            "Proxy(Some(\"http://proxy:3128\")) Some(\"http://proxy:3128\")"
        );
    }

    #[test]
    fn this_machine_and_metadata_services_are_always_direct() {
        let proxy = proxy(&[("HTTPS_PROXY", "http://proxy:3128")]).unwrap();
        for address in [
            "https://localhost:8443",
            "https://127.0.0.1",
            "https://127.8.8.8",
            "https://[::1]",
            "https://[::ffff:127.0.0.1]",
            "https://169.254.169.254",
            "https://169.254.170.23",
            "https://[fd00:ec2::254]",
            "https://[fd00:ec2::23]",
            "http://bedrock.internal",
        ] {
            assert!(!used(&proxy, address), "{address}");
        }
        for address in ["https://sts.us-east-1.amazonaws.com", "https://10.0.0.1", "https://[fd00:ec3::1]"] {
            assert!(used(&proxy, address), "{address}");
        }
    }

    #[test]
    fn listed_hosts_are_direct() {
        let list = "amazonaws.com, *.acme.org,.corp 10.0.0.0/8,192.0.2.7";
        let proxy = proxy(&[("HTTPS_PROXY", "http://proxy:3128"), ("no_proxy", list)]).unwrap();
        for address in [
            "https://sts.us-east-1.amazonaws.com",
            "https://idp.acme.org",
            "https://idp.CORP",
            "https://10.1.2.3",
            "https://192.0.2.7",
        ] {
            assert!(!used(&proxy, address), "{address}");
        }
        for address in ["https://notamazonaws.com", "https://acme.com", "https://192.0.2.8"] {
            assert!(used(&proxy, address), "{address}");
        }
        let all = self::proxy(&[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "*")]).unwrap();
        assert!(!used(&all, "https://sts.us-east-1.amazonaws.com"));
    }
}
