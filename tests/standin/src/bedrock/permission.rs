//! The permissions that a call to Bedrock needs: actions, resources and context keys.
//!
//! The Service Authorization Reference, `list_amazonbedrock` and `list_amazonbedrockmantle`; the Bedrock User Guide,
//! `inference-profiles-prereq`, `global-cross-region-inference`, `guardrails-permissions-id` and `api-keys-permissions`.
//! Where these leave something open, the stand-in needs the permission.

use serde_json::Value;

use crate::bill::{Call, Operation, Service};
use crate::iam::{Context, Need};

/// The regions to which the system-defined profiles of a geography can send a call. AWS decides per model; the
/// stand-in takes all of them.
const GEOGRAPHIES: [(&str, &[&str]); 7] = [
    ("us", &["us-east-1", "us-east-2", "us-west-2"]),
    ("eu", &["eu-central-1", "eu-north-1", "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-3"]),
    (
        "apac",
        &[
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-southeast-1",
            "ap-southeast-2",
        ],
    ),
    ("au", &["ap-southeast-2", "ap-southeast-4"]),
    ("ca", &["ca-central-1", "us-east-1", "us-east-2", "us-west-2"]),
    ("jp", &["ap-northeast-1", "ap-northeast-3"]),
    ("us-gov", &["us-gov-east-1", "us-gov-west-1"]),
];

/// The model behind every application inference profile.
const OF_APPLICATION_PROFILES: &str = "anthropic.claude-sonnet-4-6-v1:0";

/// A call to Bedrock, as far as its permissions depend on it.
#[derive(Debug, Clone)]
pub struct Use<'u> {
    pub service: Service,
    pub operation: Operation,
    pub region: &'u str,
    /// The account of the caller.
    pub account: &'u str,
    /// An id or an ARN; empty if the operation has none.
    pub model: &'u str,
    /// Another resource of the path: a guardrail, a job, an inference profile.
    pub subject: Option<&'u str>,
    /// The guardrail that the call applies: an id or an ARN.
    pub guardrail: Option<&'u str>,
    /// `None`: the default project.
    pub project: Option<&'u str>,
    /// Where `StartAsyncInvoke` writes: `s3://bucket/prefix`.
    pub output: Option<&'u str>,
    /// Whether an API key authenticates the call, and not a signature.
    pub is_by_api_key: bool,
}

impl<'u> Use<'u> {
    pub fn of_model(operation: Operation, region: &'u str, account: &'u str, model: &'u str) -> Self {
        Self {
            service: Service::Runtime,
            operation,
            region,
            account,
            model,
            subject: None,
            guardrail: None,
            project: None,
            output: None,
            is_by_api_key: false,
        }
    }

    /// The permissions that it needs, all of them.
    pub fn needs(&self) -> Vec<Need> {
        use Operation as O;

        let mut needs = Vec::new();
        if self.is_by_api_key {
            let action = format!("{}:CallWithBearerToken", self.service.signing_name());
            needs.push(Need::new(&action, "*", self.context()));
        }
        let action = self.operation.iam_action(self.service);
        let on = |resource: &str| Need::new(&action, resource, self.context());
        let subject = self.subject.unwrap_or_default();
        match (self.service, self.operation) {
            (Service::Mantle, _) => {
                let mut context = self.context();
                if self.operation.infers() || self.operation == O::CountTokens {
                    context = context.with("bedrock-mantle:Model", self.model);
                }
                needs.push(Need::new(&action, &self.project("bedrock-mantle"), context));
            }
            (_, O::GetResponse | O::DeleteResponse | O::CancelResponse) => {
                needs.push(on(&self.project("bedrock")));
            }
            (_, O::ApplyGuardrail) => needs.push(on(&self.guardrail_arn(subject))),
            (_, O::GetFoundationModel) => needs.push(on(&self.model_arn(self.region, name(subject)))),
            (_, O::GetInferenceProfile) => needs.push(on(&self.profile_arn(subject))),
            (_, O::GetAsyncInvoke) => needs.push(on(subject)),
            // The action has neither a profile as its resource nor the condition key of one.
            (_, O::CountTokens) => needs.push(on(&self.counted())),
            (_, O::StartAsyncInvoke) => {
                needs.extend(self.needs_of_model(&action));
                needs.push(on(&self.own("bedrock", "async-invoke", "new")));
            }
            (_, operation) if operation.infers() => {
                needs.extend(self.needs_of_model(&action));
            }
            _ => needs.push(on("*")),
        }
        if self.service == Service::Runtime && matches!(self.operation, O::Responses | O::ResponsesStream) {
            needs.push(on(&self.project("bedrock")));
        }
        if let Some(guardrail) = self.guardrail {
            needs.push(Need::new("bedrock:ApplyGuardrail", &self.guardrail_arn(guardrail), self.context()));
        }
        if let Some(place) = self.output.and_then(|uri| uri.strip_prefix("s3://")) {
            let object = format!("arn:{}:s3:::{}/output.json", self.partition(), place.trim_end_matches('/'));
            needs.push(Need::new("s3:PutObject", &object, self.context()));
        }
        needs
    }

    /// A profile, and the model in each region to which it can send the call.
    fn needs_of_model(&self, action: &str) -> Vec<Need> {
        let mut context = self.context();
        if let Some(guardrail) = self.guardrail {
            context = context.with("bedrock:GuardrailIdentifier", &self.guardrail_arn(guardrail));
        }
        let need = |arn: &str, context: Context| Need::new(action, arn, context);
        let id = name(self.model);
        let is_profile = self.model.contains(":inference-profile/") || !self.model.starts_with("arn:");
        let geography = id.split_once('.').map(|(first, _)| first);
        let regions = GEOGRAPHIES.iter().find(|(name, _)| is_profile && Some(*name) == geography);
        if self.model.contains(":application-inference-profile/") {
            let model = self.model_arn(self.region, OF_APPLICATION_PROFILES);
            let by_profile = context.clone().with("bedrock:InferenceProfileArn", self.model);
            return vec![need(self.model, context), need(&model, by_profile)];
        }
        let mut needs = Vec::new();
        if is_profile && (regions.is_some() || geography == Some("global")) {
            let (profile, model) = (self.profile_arn(self.model), id.split_once('.').map_or(id, |(_, m)| m));
            let by_profile = context.clone().with("bedrock:InferenceProfileArn", &profile);
            needs.push(need(&profile, context));
            for region in regions.map_or(&[self.region][..], |(_, regions)| regions) {
                let there = by_profile.clone().with("aws:RequestedRegion", region);
                needs.push(need(&self.model_arn(region, model), there));
            }
            if regions.is_none() {
                let anywhere = by_profile.with("aws:RequestedRegion", "unspecified");
                needs.push(need(&self.model_arn("", model), anywhere));
            }
        } else if self.model.starts_with("arn:") {
            needs.push(need(self.model, context));
        } else {
            needs.push(need(&self.model_arn(self.region, self.model), context));
        }
        needs
    }

    /// The model whose tokens are counted.
    fn counted(&self) -> String {
        let id = name(self.model);
        let is_geography =
            |first: &str| first == "global" || GEOGRAPHIES.iter().any(|(name, _)| *name == first);
        let model =
            id.split_once('.').filter(|(first, _)| is_geography(first)).map_or(id, |(_, model)| model);
        self.model_arn(self.region, model)
    }

    fn context(&self) -> Context {
        Context::default().with("aws:RequestedRegion", self.region)
    }

    fn partition(&self) -> &'static str {
        let begins = |start| self.region.starts_with(start);
        match () {
            () if begins("cn-") => "aws-cn",
            () if begins("us-gov-") => "aws-us-gov",
            () if begins("eusc-") => "aws-eusc",
            () => "aws",
        }
    }

    fn model_arn(&self, region: &str, id: &str) -> String {
        format!("arn:{}:bedrock:{region}::foundation-model/{id}", self.partition())
    }

    fn profile_arn(&self, id: &str) -> String {
        self.own("bedrock", "inference-profile", id)
    }

    fn guardrail_arn(&self, id: &str) -> String {
        self.own("bedrock", "guardrail", id)
    }

    fn project(&self, service: &str) -> String {
        self.own(service, "project", self.project.unwrap_or("default"))
    }

    /// The ARN of a resource of the account, or `id` if it is one.
    fn own(&self, service: &str, kind: &str, id: &str) -> String {
        if id.starts_with("arn:") {
            return id.to_owned();
        }
        format!("arn:{}:{service}:{}:{}:{kind}/{id}", self.partition(), self.region, self.account)
    }
}

/// The permissions that a call needs.
pub(super) fn needs(call: &Call) -> Vec<Need> {
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let header = call.headers.get("x-amzn-bedrock-guardrailidentifier").and_then(|value| value.to_str().ok());
    let in_body = || body["guardrailConfig"]["guardrailIdentifier"].as_str();
    let of_model = call.operation.infers();
    Use {
        service: call.service,
        operation: call.operation,
        region: &call.region,
        account: call.account(),
        model: &call.model,
        subject: call.subject.as_deref(),
        guardrail: header.or_else(in_body).filter(|_| of_model),
        project: call.project(),
        output: body["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"]
            .as_str()
            .filter(|_| call.operation == Operation::StartAsyncInvoke),
        is_by_api_key: false,
    }
    .needs()
}

/// The id at the end of an ARN, or the id itself.
fn name(model: &str) -> &str {
    if model.starts_with("arn:") { model.rsplit('/').next().unwrap_or_default() } else { model }
}

#[cfg(test)]
mod tests;
