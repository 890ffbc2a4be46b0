//! The gateway's own credentials: their source, and who they are.

use super::Check;
use crate::attribution::arn::RoleArn;
use crate::sessions::caller_identity::CallerIdentity;
use crate::sessions::own_credentials::OwnCredentials;
use crate::sessions::sts::StsClient;
use crate::sessions::{SessionError, StsSettings};

/// Credentials that STS accepts.
pub(super) struct Own {
    pub(super) sts: StsClient,
    /// They belong to a session, so a session that they request is chained.
    pub(super) is_session: bool,
    /// The role that they are of. A session's ARN does not have the path of its role.
    pub(super) role: Option<RoleArn>,
}

const NAME: &str = "own credentials";

/// `None`: there are none, or STS refuses them.
pub(super) async fn check(settings: &StsSettings, note: &mut (dyn FnMut(Check) + Send)) -> Option<Own> {
    let made = OwnCredentials::from_environment(settings)
        .and_then(|source| StsClient::new(settings, source.clone()).map(|sts| (source, sts)));
    let (source, sts) = match made {
        Ok(made) => made,
        Err(error) => {
            note(Check::fail(NAME, error.to_string(), "correct aws.endpoints.ca"));
            return None;
        }
    };
    // Without credentials the SDK's own error says less.
    if let Err(error) = source.warm().await {
        let why = source.status().last_error.map_or_else(|| error.to_string(), |why| why.full);
        note(Check::fail(
            NAME,
            why,
            "give the gateway a role: an instance profile, a task role, EKS Pod Identity or a web identity",
        ));
        return None;
    }
    match CallerIdentity::over(&sts).arn().await {
        Ok(arn) => {
            note(who(source.source().unwrap_or("environment"), &arn));
            let is_session = source.status().is_session || arn.contains(":assumed-role/");
            Some(Own { sts, is_session, role: role(&arn) })
        }
        Err(error) => {
            note(refused(&error));
            None
        }
    }
}

/// The role of a session, without the role's path.
fn role(arn: &str) -> Option<RoleArn> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", partition, "sts", "", account, session] = parts.as_slice() else { return None };
    let name = session.strip_prefix("assumed-role/")?.split('/').next()?;
    RoleArn::parse(&format!("arn:{partition}:iam::{account}:role/{name}")).ok()
}

fn who(source: &str, arn: &str) -> Check {
    let message = format!("from the source {source}: {arn}");
    if arn.ends_with(":root") {
        return Check::fail(
            NAME,
            format!("{message}, the root user, which cannot assume roles"),
            "run the gateway as a role, and delete the access keys of the root user",
        );
    }
    if arn.contains(":user/") {
        return Check::warn(
            NAME,
            format!("{message}, a user with a key that never expires"),
            "run the gateway as a role, whose credentials AWS renews",
        );
    }
    Check::ok(NAME, message)
}

fn refused(error: &SessionError) -> Check {
    let fix = match error {
        SessionError::GatewayRefused { code, .. } => match code.trim_end_matches("Exception") {
            "ExpiredToken" => "renew the credentials at their source",
            "InvalidClientTokenId" | "UnrecognizedClient" => {
                "the access key does not exist, or was deactivated: create another, or remove it"
            }
            "SignatureDoesNotMatch" => "the secret does not belong to the access key, or the clock is wrong",
            "RegionDisabled" | "OptInRequired" => REGION_DISABLED,
            _ => "check the source of the credentials",
        },
        _ => "check aws.region, aws.endpoints.sts and the network: this answer is not one of STS",
    };
    Check::fail(NAME, error.to_string(), fix)
}

pub(super) const REGION_DISABLED: &str = "an administrator of the account enables the region (Account settings) and its STS endpoint (IAM, Account \
     settings); or set aws.region to another region";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn a_role_is_fine_a_user_is_not_and_root_cannot_work() {
        for (arn, status) in [
            ("arn:aws:sts::111122223333:assumed-role/BedrockGateway/i-0123", Status::Ok),
            ("arn:aws:iam::111122223333:user/gateway", Status::Warn),
            ("arn:aws:iam::111122223333:root", Status::Fail),
        ] {
            assert_eq!(who("EC2", arn).status, status, "{arn}");
        }
    }

    #[test]
    fn the_role_of_a_session_is_known_without_its_path() {
        let of = |arn: &str| role(arn).map(|role| role.as_str().to_owned());
        assert_eq!(
            of("arn:aws:sts::111122223333:assumed-role/BedrockGateway/i-0123"),
            Some("arn:aws:iam::111122223333:role/BedrockGateway".to_owned())
        );
        assert_eq!(of("arn:aws:iam::111122223333:user/gateway"), None);
    }
}
