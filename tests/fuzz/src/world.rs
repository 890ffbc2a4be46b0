//! A gateway before a stand-in for AWS, for as long as the process lives.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use bedrock_gateway::config::Config;
use bedrock_gateway::gateway::{GatewayHandle, Overrides};
use bedrock_gateway::telemetry::access::AccessLog;
use bedrock_standin::idp::Claims;
use bedrock_standin::{Options, Standin};
use bytes::Bytes;
use http::{Request, response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;

pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

type Failure = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct World {
    pub(crate) standin: Standin,
    /// Alice's.
    pub(crate) token: String,
    gateway: GatewayHandle,
    connection: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

impl World {
    /// With another Bedrock than the stand-in's, if one is given.
    pub(crate) fn start(bedrock: Option<String>) -> Self {
        let _within = RUNTIME.enter();
        let standin = Standin::start(Options::default());
        let runtime = bedrock.unwrap_or_else(|| standin.bedrock.url());
        let (control, mantle) = (standin.control.url(), standin.mantle.url());
        let file = format!(
            r#"
[listen]
http = "127.0.0.1:0"
[aws]
region = "us-east-1"
regions = ["us-west-2"]
[aws.endpoints]
sts = "{sts}"
bedrock_runtime = "{runtime}"
bedrock = "{control}"
bedrock_mantle = "{mantle}"
[aws.region_endpoints.us-west-2]
bedrock_runtime = "{runtime}"
bedrock = "{control}"
bedrock_mantle = "{mantle}"
[[issuer]]
name = "acme"
url = "{issuer}"
audiences = ["bedrock-gateway"]
[issuer.session]
name = "claims.sub"
[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#,
            sts = standin.sts.url(),
            issuer = standin.idp.issuer(),
        );
        let config = Config::parse(&file, "fuzz.toml", &|_| None).unwrap_or_else(|faults| panic!("{faults}"));
        let keys = &standin.credentials;
        let own = Credentials::new(
            keys.gateway_access_key_id(),
            keys.gateway_secret_access_key(),
            None,
            None,
            "fuzz",
        );
        let overrides = Overrides {
            log: Arc::new(AccessLog::memory()),
            credentials: Some(SharedCredentialsProvider::new(own)),
            file: None,
        };
        let gateway = RUNTIME.block_on(GatewayHandle::start_with(config, overrides)).unwrap();
        let token = standin.idp.mint(Claims::of("alice").expires_in(Duration::from_hours(24)));
        let world = Self { standin, token, gateway, connection: Mutex::default() };
        let probe = || {
            let request = Request::get("/foundation-models").header("host", "gateway");
            request.header("x-api-key", &world.token).body(Full::default()).unwrap()
        };
        eventually("the gateway", async || {
            world.send(probe()).await.is_ok_and(|(head, _)| head.status == 200)
        });
        world
    }

    /// Sends over HTTP/1.1, by the connection of the request before where that is still good, and reads
    /// the answer to its end.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(response::Parts, Bytes), Failure> {
        let mut connection = self.connection.lock().await;
        let open = match connection.take() {
            Some(mut open) => open.ready().await.is_ok().then_some(open),
            None => None,
        };
        let mut sender = if let Some(open) = open {
            open
        } else {
            let stream = TcpStream::connect(self.gateway.addresses().http.unwrap()).await?;
            let (sender, driven) = handshake(TokioIo::new(stream)).await?;
            tokio::spawn(driven);
            sender
        };
        let (head, body) = sender.send_request(request).await?.into_parts();
        #[expect(clippy::disallowed_methods, reason = "bounded by Limited")]
        let body = Limited::new(body, 1 << 20).collect().await?.to_bytes();
        *connection = Some(sender);
        Ok((head, body))
    }
}

/// Waits for something that will come true, for ten seconds at most.
pub(crate) fn eventually(what: &str, holds: impl AsyncFn() -> bool) {
    RUNTIME.block_on(async {
        for _ in 0..1_000 {
            if holds().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("waited in vain for {what}");
    });
}
