//! `[aws]`: the regions, and endpoints to use instead of AWS's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Spanned;
use url::Url;

use super::diagnostics::Diagnostics;
use super::raw::{self, Text};
use super::regions::{self, partition};
use super::values::path;
use crate::auth::issuer::is_loopback;
use crate::endpoint::{CONNECT, FIRST_BYTE, STREAM_IDLE, Timeouts};
use crate::proxy::Proxy;
use crate::route::Service;
use crate::sessions::{STS_DEADLINE, StsSettings};

/// The regions and endpoints of Bedrock and STS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aws {
    /// The region of Bedrock and of STS.
    pub region: String,
    /// Further regions, in the same partition, without duplicates.
    pub regions: Vec<String>,
    pub fips: bool,
    pub dual_stack: bool,
    /// Whether a reload tries the roles that it changes at STS first.
    pub canary: bool,
    pub timeouts: AwsTimeouts,
    /// The endpoints of `region`.
    pub endpoints: EndpointUrls,
    /// The endpoints of further regions, never with `sts`.
    pub region_endpoints: BTreeMap<String, EndpointUrls>,
}

/// The longest waits for Bedrock and STS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AwsTimeouts {
    /// For a connection to Bedrock, TLS included.
    pub connect: Duration,
    /// For the rest of an answer.
    pub answer: Timeouts,
    /// For a session from STS, with all attempts.
    pub sts: Duration,
}

/// URLs to use instead of AWS's own: `https` or `http`, without a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointUrls {
    pub sts: Option<Url>,
    pub bedrock_runtime: Option<Url>,
    pub bedrock: Option<Url>,
    pub bedrock_mantle: Option<Url>,
    /// A PEM file of CAs to trust for these endpoints, in addition to the system's.
    pub ca: Option<PathBuf>,
}

impl Aws {
    /// The partition of ARNs in these regions.
    pub fn partition(&self) -> &'static str {
        partition(&self.region)
    }

    /// The address of a service in a region, if the configuration names one.
    pub fn endpoint_url(&self, region: &str, service: Service) -> Option<&Url> {
        let urls =
            if region == self.region { Some(&self.endpoints) } else { self.region_endpoints.get(region) };
        urls.and_then(|urls| match service {
            Service::Runtime => urls.bedrock_runtime.as_ref(),
            Service::ControlPlane => urls.bedrock.as_ref(),
            Service::Mantle => urls.bedrock_mantle.as_ref(),
        })
    }

    /// The CA files of all endpoints.
    pub fn ca_files(&self) -> Vec<&Path> {
        let endpoints = std::iter::once(&self.endpoints).chain(self.region_endpoints.values());
        endpoints.filter_map(|endpoints| endpoints.ca.as_deref()).collect()
    }

    /// The settings of the connection to STS.
    pub fn sts_settings(&self, proxy: Proxy) -> StsSettings {
        StsSettings {
            region: self.region.clone(),
            endpoint: self.endpoints.sts.clone(),
            ca: self.endpoints.ca.clone(),
            fips: self.fips,
            dual_stack: self.dual_stack,
            timeout: self.timeouts.sts,
            proxy,
        }
    }

    /// All regions, the first one first.
    pub fn all_regions(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.region.as_str()).chain(self.regions.iter().map(String::as_str))
    }
}

pub(super) fn aws(table: &Spanned<raw::Aws>, diagnostics: &mut Diagnostics<'_>) -> Aws {
    let raw = table.get_ref();
    let first = &raw.region;
    // Without them the gateway would build the names of hosts that do not exist.
    let own_endpoints = raw.endpoints.sts.is_some() && raw.endpoints.bedrock_runtime.is_some();
    is_region(first, own_endpoints, "[aws.endpoints]: sts and bedrock_runtime", diagnostics);
    let mut regions: Vec<String> = Vec::new();
    for region in &raw.regions {
        let name = region.get_ref();
        let endpoints = raw.region_endpoints.iter().find(|(key, _)| key.get_ref() == name);
        let has_endpoints = endpoints.is_some_and(|(_, endpoints)| endpoints.bedrock_runtime.is_some());
        let needed = format!("[aws.region_endpoints.{name}]: bedrock_runtime");
        if !is_region(region, has_endpoints, &needed, diagnostics) {
            continue;
        }
        if name == first.get_ref() || regions.contains(name) {
            diagnostics.error(region.span(), format!("{name} is a duplicate"), "remove it here");
        } else if partition(name) != partition(first.get_ref()) {
            let message = format!(
                "{name} is in the partition {}, {first} in {}",
                partition(name),
                partition(first.get_ref())
            );
            diagnostics.error(
                region.span(),
                message,
                "run one gateway for each partition: a session is valid in one partition only",
            );
        }
        regions.push(name.clone());
    }
    let mut region_endpoints = BTreeMap::new();
    for (region, raw) in &raw.region_endpoints {
        if !regions.contains(region.get_ref()) {
            let message = format!("{} is not in aws.regions", region.get_ref());
            diagnostics.error(
                region.span(),
                message,
                "add it there, or write endpoints of aws.region in [aws.endpoints]",
            );
        }
        let endpoints = EndpointUrls {
            sts: None,
            bedrock_runtime: endpoint(raw.bedrock_runtime.as_ref(), diagnostics),
            bedrock: endpoint(raw.bedrock.as_ref(), diagnostics),
            bedrock_mantle: endpoint(raw.bedrock_mantle.as_ref(), diagnostics),
            ca: raw.ca.as_ref().map(|file| path(file, diagnostics)),
        };
        region_endpoints.insert(region.get_ref().clone(), endpoints);
    }
    Aws {
        region: first.get_ref().clone(),
        regions,
        fips: raw.fips,
        dual_stack: raw.dual_stack,
        canary: raw.canary.unwrap_or(true),
        timeouts: timeouts(raw, diagnostics),
        endpoints: EndpointUrls {
            sts: endpoint(raw.endpoints.sts.as_ref(), diagnostics),
            bedrock_runtime: endpoint(raw.endpoints.bedrock_runtime.as_ref(), diagnostics),
            bedrock: endpoint(raw.endpoints.bedrock.as_ref(), diagnostics),
            bedrock_mantle: endpoint(raw.endpoints.bedrock_mantle.as_ref(), diagnostics),
            ca: raw.endpoints.ca.as_ref().map(|file| path(file, diagnostics)),
        },
        region_endpoints,
    }
}

fn timeouts(raw: &raw::Aws, diagnostics: &mut Diagnostics<'_>) -> AwsTimeouts {
    let (second, minute, day) = (Duration::from_secs(1), Duration::from_mins(1), Duration::from_hours(24));
    let connect = diagnostics.duration(raw.connect_timeout.as_ref(), Duration::from_millis(100)..=minute);
    let first_byte = diagnostics.duration(raw.first_byte_timeout.as_ref(), second..=day);
    // The relay looks for silence every two seconds.
    let stream_idle = diagnostics.duration(raw.stream_idle_timeout.as_ref(), 2 * second..=day);
    let sts = diagnostics.duration(raw.sts_timeout.as_ref(), second..=minute);
    AwsTimeouts {
        connect: connect.unwrap_or(CONNECT),
        answer: Timeouts {
            first_byte: first_byte.unwrap_or(FIRST_BYTE),
            stream_idle: stream_idle.unwrap_or(STREAM_IDLE),
        },
        sts: sts.unwrap_or(STS_DEADLINE),
    }
}

/// Whether the text is a region of AWS, or has the shape of one and its own endpoints.
/// `needed` are the endpoints of a region that this version does not know.
fn is_region(text: &Text, has_endpoints: bool, needed: &str, diagnostics: &mut Diagnostics<'_>) -> bool {
    let region = text.get_ref();
    if !has_shape(region) {
        let zone = region.strip_suffix(|c: char| c.is_ascii_lowercase()).filter(|of| regions::is_known(of));
        let (message, help) = match zone {
            Some(of) => (
                format!("\"{region}\" is an availability zone, not a region"),
                format!("write \"{of}\", without the letter at the end"),
            ),
            None => (format!("\"{region}\" is not a region"), "write, for example, \"us-east-1\"".to_owned()),
        };
        diagnostics.error(text.span(), message, help);
        return false;
    }
    if !regions::is_known(region) && !has_endpoints {
        let newer = format!("For a region that is newer than this version, set {needed}");
        let help = match regions::nearest(region) {
            Some(nearest) => format!("did you mean \"{nearest}\"? {newer}"),
            None => format!("write a region of AWS, for example \"us-east-1\". {newer}"),
        };
        diagnostics.error(text.span(), format!("AWS has no region \"{region}\""), help);
    }
    true
}

/// Whether the text has the shape of a region.
pub(super) fn has_shape(region: &str) -> bool {
    let mut parts = region.split('-').rev();
    let number =
        parts.next().is_some_and(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()));
    let words: Vec<_> = parts.collect();
    number
        && words.len() >= 2
        && words.iter().all(|word| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn endpoint(text: Option<&Text>, diagnostics: &mut Diagnostics<'_>) -> Option<Url> {
    let text = text?;
    let url = text.get_ref().parse::<Url>().ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.path() == "/"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    });
    if url.is_none() {
        let (message, help) = not_an_endpoint(text.get_ref());
        diagnostics.error(text.span(), message, help);
    }
    if let Some(url) = &url
        && url.scheme() == "http"
        && !is_loopback(url)
    {
        let message =
            format!("calls to {} travel unencrypted, with prompts and session tokens", text.get_ref());
        diagnostics.warn(text.span(), message, "write https, unless the network between is trusted");
    }
    url
}

/// The fault of a text that is not an endpoint, and the advice. Neither quotes a password.
fn not_an_endpoint(text: &str) -> (&'static str, String) {
    let example = "write scheme, host and port, for example \"https://vpce-1.example:8443\"".to_owned();
    let Some(url) = text.parse::<Url>().ok().filter(|url| matches!(url.scheme(), "http" | "https")) else {
        return ("this is not an endpoint URL", example);
    };
    let right = format!("write \"{}\"", url.origin().ascii_serialization());
    if !url.username().is_empty() || url.password().is_some() {
        return ("an endpoint has no user name and no password, and this one has", right);
    }
    if url.path() != "/" {
        return ("an endpoint has no path, and this one has", right);
    }
    ("an endpoint has no \"?\" and no \"#\", and this one has", right)
}
