//! The operator's options besides the configuration: where the gateway runs, and which other principals may do what.

use std::str::FromStr;

use crate::attribution::arn::RoleArn;
use crate::iam::IamError;

/// Facts that the configuration does not contain. The default fits a gateway whose role exists already.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the gateway runs. `None`: its role exists, and its trust policy is not generated.
    pub runs_on: Option<RunsOn>,
    /// Whether EKS Pod Identity is set to add no tags to the gateway's own session (`disableSessionTags`).
    pub no_session_tags: bool,
    /// The gateway's own role. `None`: [`GATEWAY_ROLE`](crate::iam::GATEWAY_ROLE) in the account of the roles.
    pub gateway_role: Option<RoleArn>,
    /// Where `StartAsyncInvoke` may write.
    pub async_output: Option<OutputLocation>,
    /// Principals that the guards let through, for emergencies and for changes of the roles.
    pub break_glass: Vec<PrincipalPattern>,
    /// Roles of other services that call Bedrock by themselves.
    pub service_roles: Vec<PrincipalPattern>,
}

/// Where the gateway runs, which decides who may assume its role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunsOn {
    PodIdentity,
    /// IAM roles for service accounts: the cluster's OIDC provider without `https://`, and the pod's service account.
    Irsa {
        provider: String,
        account: ServiceAccount,
    },
    Ecs,
    Ec2,
}

/// A service account of Kubernetes: `NAMESPACE:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceAccount(String);

/// A place in S3: `s3://BUCKET/PREFIX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLocation {
    bucket: String,
    prefix: String,
}

/// The ARN of a role. The account may be `*`, and the name may contain `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalPattern(String);

/// The error for an option whose value has another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write {0}")]
pub struct IllegalOption(&'static str);

impl FromStr for ServiceAccount {
    type Err = IllegalOption;

    fn from_str(text: &str) -> Result<Self, IllegalOption> {
        let legal = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
        };
        match text.split_once(':') {
            Some((namespace, name)) if legal(namespace) && legal(name) => Ok(Self(text.to_owned())),
            _ => Err(IllegalOption("NAMESPACE:NAME, for example bedrock:bedrock-gateway")),
        }
    }
}

impl ServiceAccount {
    /// The `sub` of its tokens.
    pub fn subject(&self) -> String {
        format!("system:serviceaccount:{}", self.0)
    }
}

impl FromStr for OutputLocation {
    type Err = IllegalOption;

    fn from_str(text: &str) -> Result<Self, IllegalOption> {
        let place = text.strip_prefix("s3://").unwrap_or_default();
        let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
        let bucket_fits = (3..=63).contains(&bucket.len())
            && bucket
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
        let prefix_fits =
            prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./=+!'()".contains(&byte));
        if bucket_fits && prefix_fits {
            Ok(Self { bucket: bucket.to_owned(), prefix: prefix.trim_end_matches('/').to_owned() })
        } else {
            Err(IllegalOption("s3://BUCKET/PREFIX, for example s3://acme-bedrock/async"))
        }
    }
}

impl OutputLocation {
    /// The ARN of all objects below.
    pub(super) fn objects(&self, partition: &str) -> String {
        let Self { bucket, prefix } = self;
        if prefix.is_empty() {
            format!("arn:{partition}:s3:::{bucket}/*")
        } else {
            format!("arn:{partition}:s3:::{bucket}/{prefix}/*")
        }
    }
}

impl FromStr for PrincipalPattern {
    type Err = IllegalOption;

    fn from_str(text: &str) -> Result<Self, IllegalOption> {
        let error = IllegalOption(
            "the ARN of a role, for example arn:aws:iam::123456789012:role/Admin; the account may be *",
        );
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else { return Err(error) };
        let account_fits =
            account == "*" || account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        // No user: a principal that may create a user of this name, or a key of it, would be past the guards.
        let name = resource.strip_prefix("role/");
        let name_fits = name.is_some_and(|name| {
            name.bytes().any(|byte| byte.is_ascii_alphanumeric())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-/*".contains(&byte))
        });
        if partition.starts_with("aws") && account_fits && name_fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(error)
        }
    }
}

impl PrincipalPattern {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Options {
    /// Whether the gateway's own session has tags of EKS, which each session of a caller inherits.
    pub(super) fn inherits_tags(&self) -> bool {
        self.runs_on == Some(RunsOn::PodIdentity) && !self.no_session_tags
    }

    /// # Errors
    /// When an ARN is in another partition than the roles.
    pub(super) fn check_partition(&self, partition: &str) -> Result<(), IamError> {
        let wrong = |what, arn: &str| {
            let fits = arn.split(':').nth(1) == Some(partition);
            let error = || IamError::Partition { what, arn: arn.to_owned(), partition: partition.to_owned() };
            if fits { Ok(()) } else { Err(error()) }
        };
        for pattern in &self.break_glass {
            wrong("--break-glass", pattern.as_str())?;
        }
        for pattern in &self.service_roles {
            wrong("--service-role", pattern.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_their_form_or_a_remedy() {
        let objects = |text: &str| text.parse::<OutputLocation>().map(|place| place.objects("aws"));
        assert_eq!(objects("s3://acme/async/").unwrap(), "arn:aws:s3:::acme/async/*");
        assert_eq!(objects("s3://acme").unwrap(), "arn:aws:s3:::acme/*");
        for text in ["acme/async", "s3://", "s3://Acme/x", "s3://acme/*", "s3://acme/${aws:userid}"] {
            assert!(objects(text).is_err(), "{text}");
        }
        for text in [
            "arn:aws:iam::123456789012:role/Admin",
            "arn:aws:iam::*:role/aws-reserved/sso.amazonaws.com/*/A_*",
        ] {
            assert_eq!(text.parse::<PrincipalPattern>().unwrap().as_str(), text);
        }
        for text in [
            "*",
            "arn:aws:iam::*:role/*",
            "arn:aws:sts::123456789012:assumed-role/A/b",
            "Admin",
            "arn:aws:iam::*:root",
            "arn:aws:iam::123456789012:user/admin",
        ] {
            assert!(text.parse::<PrincipalPattern>().is_err(), "{text}");
        }
        assert!("bedrock:gateway".parse::<ServiceAccount>().is_ok());
        assert!("gateway".parse::<ServiceAccount>().is_err());
    }
}
