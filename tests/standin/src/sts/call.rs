//! An `AssumeRole` call, and the limits of its parameters in the service model.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use regex::Regex;

use super::StsError;
use super::form::Form;

const DEFAULT_DURATION: Duration = Duration::from_hours(1);

const MAX_TAGS: usize = 50;
const MAX_POLICY_ARNS: usize = 10;
/// The limit for the inline policy and the policy ARNs together.
const MAX_POLICY_CHARS: usize = 2048;

/// The parameters of one `AssumeRole` call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsCall {
    pub role_arn: String,
    pub session_name: String,
    pub tags: BTreeMap<String, String>,
    pub transitive: Vec<String>,
    pub source_identity: Option<String>,
    pub external_id: Option<String>,
    /// `None`: the default of an hour.
    pub duration: Option<Duration>,
    pub policy: Option<String>,
    pub policy_arns: Vec<String>,
    pub at: SystemTime,
}

impl StsCall {
    pub(super) fn read(mut form: Form, at: SystemTime) -> Result<Self, StsError> {
        let missing = |parameter: &str| StsError::constraint(parameter, "", "Member must not be null");
        let call = Self {
            role_arn: form.take("RoleArn").ok_or_else(|| missing("roleArn"))?,
            session_name: form.take("RoleSessionName").ok_or_else(|| missing("roleSessionName"))?,
            tags: tags(&mut form)?,
            transitive: form.take_list("TransitiveTagKeys", None),
            source_identity: form.take("SourceIdentity"),
            external_id: form.take("ExternalId"),
            duration: form.take("DurationSeconds").as_deref().map(seconds).transpose()?,
            policy: form.take("Policy"),
            policy_arns: form.take_list("PolicyArns", Some("arn")),
            at,
        };
        form.finish()?;
        Ok(call)
    }

    pub(super) fn duration_or_default(&self) -> Duration {
        self.duration.unwrap_or(DEFAULT_DURATION)
    }

    /// The bytes that tags and policies add to the session token.
    pub(super) fn packed_bytes(&self) -> usize {
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        let policies = self.policy.iter().chain(&self.policy_arns).map(String::len);
        tags.chain(policies).sum()
    }

    /// Checks everything that STS checks before the role.
    pub(super) fn check_limits(&self) -> Result<(), StsError> {
        text("roleArn", &self.role_arn, 20..=2048, &ROLE_ARN)?;
        text("roleSessionName", &self.session_name, 2..=64, &NAME)?;
        if let Some(source_identity) = &self.source_identity {
            text("sourceIdentity", source_identity, 2..=64, &NAME)?;
        }
        if let Some(external_id) = &self.external_id {
            text("externalId", external_id, 2..=1224, &EXTERNAL_ID)?;
        }
        self.check_duration()?;
        self.check_tags()?;
        self.check_policies()
    }

    fn check_duration(&self) -> Result<(), StsError> {
        let seconds = self.duration_or_default().as_secs();
        let constraint = match seconds {
            ..900 => "Member must have value greater than or equal to 900",
            900..=43200 => return Ok(()),
            _ => "Member must have value less than or equal to 43200",
        };
        let value = seconds.to_string();
        Err(StsError::constraint("durationSeconds", &value, constraint))
    }

    fn check_tags(&self) -> Result<(), StsError> {
        for (parameter, count) in [("tags", self.tags.len()), ("transitiveTagKeys", self.transitive.len())] {
            if count > MAX_TAGS {
                let constraint = "Member must have length less than or equal to 50";
                return Err(StsError::constraint(parameter, "[…]", constraint));
            }
        }
        let mut seen = BTreeSet::new();
        for (index, (key, value)) in self.tags.iter().enumerate() {
            let member = format!("tags.{}.member", index + 1);
            text(&format!("{member}.key"), key, 1..=128, &TAG)?;
            text(&format!("{member}.value"), value, 0..=256, &TAG)?;
            if key.to_lowercase().starts_with("aws:") {
                return Err(StsError::validation("Tag keys that begin with aws: are reserved for AWS."));
            }
            if !seen.insert(key.to_lowercase()) {
                return Err(StsError::validation(
                    "Duplicate tag keys found. Please note that Tag keys are case insensitive.",
                ));
            }
        }
        for key in &self.transitive {
            if !seen.contains(&key.to_lowercase()) {
                return Err(StsError::validation(
                    "The specified transitive tag key must be included in the requested tags.",
                ));
            }
        }
        Ok(())
    }

    fn check_policies(&self) -> Result<(), StsError> {
        if self.policy_arns.len() > MAX_POLICY_ARNS {
            let constraint = "Member must have length less than or equal to 10";
            return Err(StsError::constraint("policyArns", "[…]", constraint));
        }
        for arn in &self.policy_arns {
            text("policyArns.member.arn", arn, 20..=2048, &POLICY_ARN)?;
        }
        let policies = self.policy.iter().chain(&self.policy_arns);
        if policies.map(|policy| policy.chars().count()).sum::<usize>() > MAX_POLICY_CHARS {
            let constraint = "Member must have length less than or equal to 2048";
            return Err(StsError::constraint("policy", "…", constraint));
        }
        match self.policy.as_deref().map(serde_json::from_str) {
            None | Some(Ok(serde_json::Value::Object(_))) => Ok(()),
            Some(_) => Err(StsError::malformed_policy()),
        }
    }
}

/// The pattern of a parameter in the service model. It must match the whole value.
struct Pattern {
    model: &'static str,
    regex: LazyLock<Regex>,
}

macro_rules! pattern {
    ($model:literal) => {
        Pattern {
            model: $model,
            regex: LazyLock::new(|| {
                Regex::new(concat!(r"\A(?:", $model, r")\z")).expect("a literal pattern")
            }),
        }
    };
}

static ROLE_ARN: Pattern =
    pattern!(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/(?:[\x21-\x7e]+/)*[A-Za-z0-9_+=,.@-]{1,64}");
static POLICY_ARN: Pattern = pattern!(r"arn:aws[a-z-]*:iam::(?:[0-9]{12}|aws):policy/[A-Za-z0-9_+=,.@/-]+");
/// In the service model `\w` is ASCII.
static NAME: Pattern = pattern!(r"[A-Za-z0-9_+=,.@-]*");
static EXTERNAL_ID: Pattern = pattern!(r"[A-Za-z0-9_+=,.@:/-]*");
static TAG: Pattern = pattern!(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*");

fn text(
    parameter: &str,
    value: &str,
    length: std::ops::RangeInclusive<usize>,
    pattern: &Pattern,
) -> Result<(), StsError> {
    let chars = value.chars().count();
    let constraint = if chars > *length.end() {
        format!("Member must have length less than or equal to {}", length.end())
    } else if chars < *length.start() {
        format!("Member must have length greater than or equal to {}", length.start())
    } else if !pattern.regex.is_match(value) {
        format!("Member must satisfy regular expression pattern: {}", pattern.model)
    } else {
        return Ok(());
    };
    Err(StsError::constraint(parameter, value, &constraint))
}

fn tags(form: &mut Form) -> Result<BTreeMap<String, String>, StsError> {
    let keys = form.take_list("Tags", Some("Key"));
    let values = form.take_list("Tags", Some("Value"));
    if keys.len() != values.len() {
        return Err(StsError::validation("a tag without a key or without a value"));
    }
    let count = keys.len();
    let tags: BTreeMap<_, _> = keys.into_iter().zip(values).collect();
    if tags.len() < count {
        return Err(StsError::validation("Duplicate tag keys found."));
    }
    Ok(tags)
}

fn seconds(text: &str) -> Result<Duration, StsError> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err(StsError::constraint("durationSeconds", text, "Member must be an integer")),
    }
}
