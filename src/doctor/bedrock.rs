//! Whether Bedrock can be reached in each region of a role, and accepts the role's session.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use aws_credential_types::Credentials;
use serde_json::Value;

use super::signed_call::{CallError, SignedCaller};
use super::{CanarySession, Check, Findings};
use crate::config::Aws;
use crate::endpoint::{Endpoint, EndpointError};
use crate::identity::models::ModelPattern;
use crate::proxy::Proxy;
use crate::route::Service;
use crate::upstream::Upstream;
use crate::upstream::pool::{ConnectorError, connector};

/// Why no check of Bedrock is possible.
#[derive(Debug, thiserror::Error)]
pub enum BedrockSetupError {
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
}

/// Bedrock in each region of the configuration.
pub(super) struct Bedrock {
    upstream: Upstream,
    regions: BTreeMap<String, Region>,
    first: String,
    proxy: Proxy,
    ca_files: Vec<PathBuf>,
}

struct Region {
    runtime: Option<Arc<Endpoint>>,
    control: Option<Arc<Endpoint>>,
    /// Whether the configuration names the address of `bedrock-runtime`.
    is_written: bool,
}

impl Bedrock {
    /// # Errors
    /// [`BedrockSetupError`]: TLS cannot be set up, or a region has no endpoint.
    pub(super) async fn of(aws: &Aws, proxy: &Proxy) -> Result<Self, BedrockSetupError> {
        let mut regions = BTreeMap::new();
        for region in aws.all_regions() {
            let endpoint = async |service: Service| {
                let written = aws.endpoint_url(region, service);
                let endpoint = Endpoint::of(service, region, written, aws.fips, aws.dual_stack).await?;
                Ok::<_, EndpointError>(endpoint.map(Arc::new))
            };
            let runtime = endpoint(Service::Runtime).await?;
            let control = endpoint(Service::ControlPlane).await?;
            let is_written = aws.endpoint_url(region, Service::Runtime).is_some();
            regions.insert(region.to_owned(), Region { runtime, control, is_written });
        }
        let connector = connector(&aws.ca_files(), aws.timeouts.connect, proxy.clone())?;
        Ok(Self {
            upstream: Upstream::new(connector),
            regions,
            first: aws.region.clone(),
            proxy: proxy.clone(),
            ca_files: aws.ca_files().into_iter().map(PathBuf::from).collect(),
        })
    }

    /// Tries each region of each session.
    pub(super) async fn check(
        &self,
        canaries: &[CanarySession],
        findings: &mut Findings,
        note: &mut (dyn FnMut(Check) + Send),
    ) {
        for canary in canaries {
            let mut accepted = 0;
            for region in self.regions_of(canary) {
                note(self.region(canary, region, &mut accepted, findings).await);
            }
            if accepted > 1 {
                findings.held("A11", "one session was accepted in several regions");
            }
        }
    }

    /// `accepted` counts the regions in which Bedrock accepted the session. Without a reachable control plane, the check
    /// passes and the session is not tried.
    async fn region(
        &self,
        canary: &CanarySession,
        region: &str,
        accepted: &mut usize,
        findings: &mut Findings,
    ) -> Check {
        let name = format!("Bedrock {region} as {}", canary.sample.role.arn.role_name());
        let Some(Region { runtime: Some(runtime), control, is_written }) = self.regions.get(region) else {
            return Check::fail(
                name,
                "this region has no endpoint of bedrock-runtime, or none with FIPS",
                "remove the region, or set bedrock_runtime for it",
            );
        };
        self.upstream.check(runtime).await;
        if let Some(failure) = runtime.reach.failure() {
            return Check::fail(
                name,
                format!("{} cannot be reached: {}", runtime.place(), failure.text),
                "check the network, the proxy and aws.endpoints; in a private network, add a VPC endpoint for \
                 bedrock-runtime",
            );
        }
        if !is_written {
            findings.held("A38", "bedrock-runtime was reached under the name that the gateway builds");
        }
        if control.is_none() {
            return Check::ok(
                name,
                "bedrock-runtime can be reached; no control plane to try the session with",
            );
        }
        match self.get(canary, region, "/foundation-models").await {
            Ok(list) => {
                let models = list["modelSummaries"].as_array().map(Vec::as_slice).unwrap_or_default();
                findings.held("A15", "the signing name `bedrock` was accepted");
                findings.held("A17", "a call without x-amz-content-sha256 was accepted");
                first_parts(models, findings);
                *accepted += 1;
                Check::ok(name, format!("accepts the session, and lists {} models", models.len()))
            }
            Err(error) => of_session(name, &error, accepted, findings),
        }
    }

    /// The regions in which the role rule allows calls.
    fn regions_of<'a>(&'a self, canary: &'a CanarySession) -> Vec<&'a str> {
        if let Some(regions) = &canary.sample.role.regions {
            return regions.iter().map(String::as_str).collect();
        }
        let others = self.regions.keys().filter(|region| **region != self.first);
        std::iter::once(&self.first).chain(others).map(String::as_str).collect()
    }

    /// The first region in which the role rule allows calls.
    pub(super) fn home_of<'a>(&'a self, canary: &'a CanarySession) -> &'a str {
        self.regions_of(canary).first().copied().unwrap_or(&self.first)
    }

    /// The address of `bedrock-runtime`, without a slash at the end.
    pub(super) fn runtime_url(&self, region: &str) -> Option<String> {
        let endpoint = self.regions.get(region)?.runtime.as_ref()?;
        Some(endpoint.address().to_string().trim_end_matches('/').to_owned())
    }

    /// Gets a document of the control plane with this session.
    pub(super) async fn get(
        &self,
        canary: &CanarySession,
        region: &str,
        path: &str,
    ) -> Result<Value, CallError> {
        let control = self.regions.get(region).and_then(|region| region.control.as_ref());
        let control = control.ok_or_else(|| {
            CallError::NoAnswer(format!("{region} has no endpoint of Bedrock's control plane"))
        })?;
        let ca_files: Vec<_> = self.ca_files.iter().map(PathBuf::as_path).collect();
        let caller = SignedCaller::new(credentials(canary), &self.proxy, &ca_files);
        let caller = caller.map_err(CallError::NoAnswer)?;
        let url = format!("{}{path}", control.address().to_string().trim_end_matches('/'));
        caller.get(control.service, region, &url).await
    }
}

/// The credentials of the session, for the AWS SDK.
pub(super) fn credentials(canary: &CanarySession) -> Credentials {
    let issued = &canary.issued;
    let token = issued.token.to_str().ok().map(str::to_owned);
    let keys = &issued.credentials;
    Credentials::new(
        keys.access_key_id(),
        keys.secret_access_key(),
        token,
        Some(issued.expires),
        "bedrock-gateway doctor",
    )
}

/// Bedrock answered, but not with a list.
fn of_session(name: String, error: &CallError, accepted: &mut usize, findings: &mut Findings) -> Check {
    match error {
        // The signature and the session were accepted before Bedrock evaluated the permission.
        CallError::Refused { message, .. } if error.is_denied() => {
            findings.held("A15", "the signing name `bedrock` was accepted");
            if message.contains("service control policy") || message.contains("VPC endpoint policy") {
                return Check::warn(
                    name,
                    format!("a policy of the organisation or the network denies the session: {message}"),
                    "ask its owner to allow Bedrock for the invocation roles",
                );
            }
            *accepted += 1;
            Check::ok(
                name,
                "accepts the session; the role may not list models (bedrock:ListFoundationModels), and calls do \
                 not need that",
            )
        }
        CallError::Refused { code, .. } if is_of_credentials(code) => Check::fail(
            name,
            format!("Bedrock refuses the session: {error}"),
            "check the clock, and aws.region: a session is valid in its own partition only",
        ),
        CallError::Refused { .. } => Check::warn(
            name,
            format!("Bedrock refused the list of models: {error}"),
            "run doctor again later",
        ),
        CallError::NoAnswer(_) => Check::ok(
            name,
            format!(
                "bedrock-runtime can be reached; the session was not tried, since the control plane cannot: {error}"
            ),
        ),
        CallError::Garbage(_) => Check::fail(
            name,
            error.to_string(),
            "check aws.endpoints: another server answers in place of Bedrock",
        ),
    }
}

// Assumption A20.
fn is_of_credentials(code: &str) -> bool {
    matches!(
        code.strip_suffix("Exception").unwrap_or(code),
        "ExpiredToken" | "InvalidClientTokenId" | "UnrecognizedClient" | "InvalidToken" | "InvalidSignature"
    )
}

/// Compares the providers of the list with those that `check` knows.
fn first_parts(models: &[Value], findings: &mut Findings) {
    let ids = models.iter().filter_map(|model| model["modelId"].as_str());
    let unknown = ids.filter(|id| ModelPattern::parse(id).is_ok_and(|pattern| !pattern.can_match())).count();
    if models.is_empty() {
        return;
    }
    match unknown {
        0 => findings.held("A44", "each listed model has a known provider"),
        _ => findings.failed("A44", "a listed model has a provider that is not on the list"),
    }
}
