//! Each role rule, tried with a canary session in the name of a caller that the operator supplies.

use std::collections::BTreeSet;

use super::gateway_credentials::REGION_DISABLED;
use super::{CanarySession, Check};
use crate::attribution::arn::RoleArn;
use crate::clock::in_words;
use crate::config::Config;
use crate::iam::{Bundle, EKS_TAGS, Options};
use crate::identity::SessionIdentity;
use crate::identity::role::Role;
use crate::identity::sample::SampleSession;
use crate::sessions::diagnosis::{Denial, Diagnosis, diagnose};
use crate::sessions::trial::Trial;
use crate::sessions::{Issued, SessionError, StsFailure};

/// The longest chained session, seconds.
// Assumption A10.
const CHAINED: u64 = 60 * 60;
/// The share of the room for tags and policies, percent, above which a longer tag soon is too much.
const NEARLY_FULL: i32 = 80;
const NAME: &str = "roles";

/// The gateway's own credentials.
pub(super) struct Gateway {
    /// Their role, if they are a role's.
    pub(super) role: Option<RoleArn>,
    /// They belong to a session, so that other sessions of theirs are chained.
    pub(super) is_session: bool,
}

/// Requests one session for each sample, and names the role rules that no sample leads to.
pub(super) async fn check(
    config: &Config,
    samples: &[SampleSession],
    (trial, gateway): (&Trial, &Gateway),
    note: &mut (dyn FnMut(Check) + Send),
) -> Vec<CanarySession> {
    if samples.is_empty() {
        note(Check::skip(
            NAME,
            "not tried: a canary session needs the name and the tags of a caller; pass --token FILE or --claims \
             FILE, once for each role",
        ));
        return Vec::new();
    }
    let mut canaries = Vec::new();
    for sample in samples {
        let name = name(&config.mapping.roles, sample.rule);
        match trial.session(&sample.session).await {
            Ok(issued) => {
                granted(&name, &sample.session, &issued, gateway.is_session).into_iter().for_each(&mut *note);
                canaries.push(CanarySession { sample: sample.clone(), issued });
            }
            Err(error) => note(refused(name, &error, &sample.session, (config, gateway))),
        }
    }
    let tried: BTreeSet<usize> = samples.iter().map(|sample| sample.rule).collect();
    for rule in (0..config.mapping.roles.len()).filter(|rule| !tried.contains(rule)) {
        note(Check::skip(
            name(&config.mapping.roles, rule),
            "not tried: no given caller gets this role; pass the claims of one by a further --claims FILE",
        ));
    }
    canaries
}

/// For example `role BedrockUser`, with the place of the rule if several have this role.
fn name(roles: &[std::sync::Arc<Role>], rule: usize) -> String {
    let Some(role) = roles.get(rule) else { return NAME.to_owned() };
    let arn = &role.arn;
    if roles.iter().filter(|other| other.arn.role_name() == arn.role_name()).count() > 1 {
        format!("role {} (role[{rule}])", arn.role_name())
    } else {
        format!("role {}", arn.role_name())
    }
}

/// The findings about a session that STS granted.
fn granted(name: &str, id: &SessionIdentity, issued: &Issued, is_session: bool) -> Vec<Check> {
    let keys: Vec<&str> = id.tags().iter().map(|(key, _)| key.as_str()).collect();
    let tags = if keys.is_empty() { "no tags".to_owned() } else { format!("the tags {}", keys.join(", ")) };
    let used = issued.packed_percent;
    let room = used.map_or_else(String::new, |used| format!("; {used} % of the room for tags is used"));
    let mut checks = vec![Check::ok(name, format!("STS grants {} with {tags}{room}", id.principal()))];
    if let Some(used) = used.filter(|used| *used >= NEARLY_FULL) {
        checks.push(Check::warn(
            format!("{name}: size"),
            format!(
                "tags and policies take {used} % of the room of a session; STS refuses callers with longer values"
            ),
            "map fewer or shorter tags; on EKS Pod Identity, set disableSessionTags on the association, since \
             inherited tags count",
        ));
    }
    if let Some(inherited) = issued.source_identity.as_deref().filter(|_| id.source_identity().is_none()) {
        checks.push(Check::warn(
            format!("{name}: source identity"),
            format!("the gateway's own session hands on its source identity {inherited} to each session"),
            "start the gateway with credentials without a source identity, if CloudTrail should not show this one \
             for every caller",
        ));
    }
    if is_session && id.duration().as_secs() > CHAINED {
        checks.push(Check::warn(
            format!("{name}: duration"),
            format!(
                "its sessions last 1h and not {}: the gateway's own credentials are a session's (role chaining)",
                in_words(id.duration())
            ),
            "set duration to \"1h\"",
        ));
    }
    checks
}

fn refused(
    name: String,
    error: &SessionError,
    id: &SessionIdentity,
    (config, gateway): (&Config, &Gateway),
) -> Check {
    let fix = match error {
        SessionError::Denied { code, message } => {
            return denied(name, &diagnose(code, message, id), id, (config, gateway));
        }
        SessionError::GatewayRefused { code, .. } => match code.trim_end_matches("Exception") {
            "RegionDisabled" | "OptInRequired" => REGION_DISABLED,
            "ExpiredToken" => "renew the gateway's own credentials at their source",
            _ => "check the gateway's own credentials",
        },
        SessionError::Unavailable { failure: StsFailure::Throttled, .. } => {
            "run doctor again in a minute; if it stays, other programs of the account use up STS's quota"
        }
        SessionError::Unavailable { failure: StsFailure::TimedOut | StsFailure::Unreachable(_), .. } => {
            "check the network to STS"
        }
        _ => "check aws.endpoints.sts: this answer is not one of STS; or run doctor again later",
    };
    Check::fail(name, format!("no session for {}: {error}", id.principal()), fix)
}

/// The diagnosis, with the statements that the role should have.
fn denied(
    name: String,
    diagnosis: &Diagnosis,
    id: &SessionIdentity,
    (config, gateway): (&Config, &Gateway),
) -> Check {
    let message = format!("{} ({}). STS: {}", diagnosis.denial.as_str(), id.principal(), diagnosis.answer);
    let mut causes = diagnosis.causes.clone();
    if diagnosis.denial == Denial::InheritedTag {
        let mapped: Vec<&str> =
            id.tags().iter().map(|(key, _)| key.as_str()).filter(|key| is_of_pod(key)).collect();
        if !mapped.is_empty() {
            causes.insert(
                0,
                format!("EKS Pod Identity sets {} itself: give the tag another key", mapped.join(", ")),
            );
        }
    }
    let mut fix = match causes.as_slice() {
        [only] => only.clone(),
        several => {
            let numbered = several.iter().enumerate().map(|(at, cause)| format!("({}) {cause}", at + 1));
            format!("one of these is the cause:\n{}", numbered.collect::<Vec<_>>().join("\n"))
        }
    };
    let of_policy = matches!(
        diagnosis.denial,
        Denial::AssumeRole | Denial::TagSession | Denial::SetSourceIdentity | Denial::Unnamed
    );
    if let Some((role, statements)) = of_policy.then(|| statements(config, gateway, id)).flatten() {
        fix = format!(
            "{fix}\nthe trust policy that bedrock-gateway iam --gateway-role {role} writes for this role (add the path \
             of the gateway's role, if it has one):\n{statements}"
        );
    }
    Check::fail(name, message, fix)
}

fn is_of_pod(key: &str) -> bool {
    EKS_TAGS.iter().any(|known| known.eq_ignore_ascii_case(key))
}

/// The gateway's own role, and the trust policy of the role as `iam` prints it, indented. `None`: `iam` prints none for
/// this configuration.
fn statements(config: &Config, gateway: &Gateway, id: &SessionIdentity) -> Option<(String, String)> {
    let options = Options { gateway_role: gateway.role.clone(), ..Options::default() };
    let bundle = Bundle::generate(config, &options).ok()?;
    let policy = bundle.trust_of(id.role_arn())?.pretty();
    let lines: Vec<String> = policy.lines().map(|line| format!("  {line}")).collect();
    Some((bundle.gateway_role.as_str().to_owned(), lines.join("\n")))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_credential_types::Credentials;
    use http::HeaderValue;

    use super::*;
    use crate::doctor::Status;

    fn session(hours: u64) -> SessionIdentity {
        let role = "arn:aws:iam::123456789012:role/BedrockUser";
        SessionIdentity::for_tests(role, "alice@acme.org", &[("team", "search")], Duration::from_hours(hours))
    }

    fn issued(packed_percent: i32, source_identity: Option<&str>) -> Issued {
        Issued {
            credentials: Credentials::new("ASIA", "secret", None, None, "test"),
            token: HeaderValue::from_static("token"),
            expires: SystemTime::UNIX_EPOCH,
            packed_percent: Some(packed_percent),
            source_identity: source_identity.map(str::to_owned),
        }
    }

    #[test]
    fn a_granted_session_can_have_warnings() {
        let warnings = |issued: Issued, hours: u64, is_session: bool| -> Vec<String> {
            let checks = granted("role R", &session(hours), &issued, is_session);
            assert_eq!(checks[0].status, Status::Ok);
            checks.into_iter().skip(1).map(|check| check.message).collect()
        };
        assert!(warnings(issued(79, None), 1, true).is_empty());
        assert!(warnings(issued(79, None), 12, false).is_empty());
        assert!(warnings(issued(80, None), 1, true)[0].contains("80 %"));
        assert!(warnings(issued(9, Some("ops")), 1, true)[0].contains("source identity ops"));
        assert!(warnings(issued(9, None), 12, true)[0].contains("last 1h and not 12h"));
    }
}
