//! The meaning of a denied `AssumeRole` call: the part of it that STS named, and the remedies.

use std::fmt;

use crate::attribution::tags::TagKey;
use crate::identity::SessionIdentity;

/// The beginning of the action in a message of STS, for example "User: … is not authorized to perform: sts:TagSession
/// on resource: …" (aws-actions/configure-aws-credentials#54).
const BEFORE_ACTION: &str = "not authorized to perform: ";
/// The most characters of a message of STS that are quoted.
const QUOTED: usize = 512;

/// The part of an `AssumeRole` call that STS denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// The role cannot be assumed at all, at least not with this name and external id.
    AssumeRole,
    /// The session cannot have tags, or not these.
    TagSession,
    /// The session cannot have a source identity, or not this one.
    SetSourceIdentity,
    /// `AccessDenied` without an action that this version knows.
    Unnamed,
    /// The session is longer than the role's maximum session duration.
    Duration,
    /// The session is longer than an hour, and the gateway's own credentials belong to a session.
    RoleChaining,
    /// Tags and policies together are larger than a session token has room for.
    PackedSize,
    /// The session policy of the role rule is not a policy.
    Policy,
    /// A tag has the key of a tag that the gateway's own session hands on.
    InheritedTag,
    /// STS finds another parameter invalid.
    Parameter,
}

/// A denial in words for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    pub denial: Denial,
    /// The error code and the message of STS, which contains ARNs and account ids: for the process log only.
    pub answer: String,
    /// The possible causes with their remedies, the likely ones first.
    pub causes: Vec<String>,
}

impl Denial {
    /// The words of the gateway for it, without the answer of STS: every client of the probe port may read them.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AssumeRole => "sts:AssumeRole is not allowed",
            Self::TagSession => "sts:TagSession is not allowed",
            Self::SetSourceIdentity => "sts:SetSourceIdentity is not allowed",
            Self::Unnamed => "access is denied",
            Self::Duration => "the session would last longer than the role allows",
            Self::RoleChaining => "the session would last longer than role chaining allows",
            Self::PackedSize => "the session's tags and policies are too large",
            Self::Policy => "the session policy is malformed",
            Self::InheritedTag => "a session tag has the key of an inherited tag",
            Self::Parameter => "a parameter is invalid",
        }
    }

    /// Whether a policy denies it. STS does not say which condition of the policy does not match.
    pub fn is_by_policy(self) -> bool {
        matches!(self, Self::AssumeRole | Self::TagSession | Self::SetSourceIdentity | Self::Unnamed)
    }

    /// The part that this error of STS is about.
    pub(super) fn of(code: &str, message: &str) -> Self {
        let lower = message.to_ascii_lowercase();
        match code.strip_suffix("Exception").unwrap_or(code) {
            "PackedPolicyTooLarge" => Self::PackedSize,
            "MalformedPolicyDocument" => Self::Policy,
            // Assumption A7.
            "InvalidParameterValue" => Self::InheritedTag,
            "ValidationError" if lower.contains("maxsessionduration") => Self::Duration,
            // Only the message says so: "The requested `DurationSeconds` exceeds the 1 hour session limit for roles
            // assumed by role chaining".
            // Assumption A10.
            "ValidationError"
                if lower.contains("role chaining") || lower.contains("1 hour session limit") =>
            {
                Self::RoleChaining
            }
            "ValidationError" => Self::Parameter,
            _ => match message.split_once(BEFORE_ACTION).map(|(_, rest)| action(rest)) {
                Some("sts:AssumeRole") => Self::AssumeRole,
                Some("sts:TagSession") => Self::TagSession,
                Some("sts:SetSourceIdentity") => Self::SetSourceIdentity,
                _ => Self::Unnamed,
            },
        }
    }
}

fn action(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != ':').next().unwrap_or_default()
}

/// The diagnosis of [`SessionError::Denied`](super::SessionError::Denied) for a session with these parameters.
pub fn diagnose(code: &str, message: &str, id: &SessionIdentity) -> Diagnosis {
    let denial = Denial::of(code, message);
    let message: String = message.chars().take(QUOTED).collect();
    Diagnosis { denial, answer: format!("{code}: {message}"), causes: causes(denial, &message, id) }
}

fn causes(denial: Denial, message: &str, id: &SessionIdentity) -> Vec<String> {
    let mut causes = Vec::new();
    let mut cause = |text: String| causes.push(text);
    if message.contains("explicit deny") {
        cause(
            "a policy denies it explicitly, for example a service control policy; STS names its kind"
                .to_owned(),
        );
    }
    match denial {
        Denial::AssumeRole => of_assume_role(id, &mut cause),
        Denial::TagSession => of_tag_session(id, &mut cause),
        Denial::SetSourceIdentity => of_source_identity(id, &mut cause),
        Denial::Unnamed => {
            of_assume_role(id, &mut cause);
            of_tag_session(id, &mut cause);
            if id.source_identity().is_some() {
                of_source_identity(id, &mut cause);
            }
        }
        Denial::Duration => cause(format!(
            "raise the role's maximum session duration to {} s, or shorten duration",
            id.duration().as_secs()
        )),
        Denial::RoleChaining => cause("set duration to one hour".to_owned()),
        Denial::PackedSize => {
            cause("map fewer or shorter tags, or move the session policy into the role".to_owned());
            cause(inherited_tags("the gateway's own session hands on tags, which take room"));
        }
        Denial::Policy => cause("correct policy of the role rule: IAM does not accept it".to_owned()),
        Denial::InheritedTag => cause(inherited_tags("rename the tag, or end the inheritance")),
        Denial::Parameter => cause("the answer of STS names the parameter".to_owned()),
    }
    causes
}

fn of_assume_role(id: &SessionIdentity, cause: &mut impl FnMut(String)) {
    cause("the role does not exist, or its ARN is misspelt: STS gives the same answer".to_owned());
    cause("the role's trust policy does not allow sts:AssumeRole for the gateway's own principal".to_owned());
    cause(match id.external_id() {
        Some(_) => "the trust policy expects another sts:ExternalId than external_id".to_owned(),
        None => "the trust policy expects an sts:ExternalId, and the role rule has no external_id".to_owned(),
    });
    cause("the trust policy's sts:RoleSessionName does not match the session name".to_owned());
    cause("the gateway's own policies do not allow sts:AssumeRole on this role".to_owned());
}

fn of_tag_session(id: &SessionIdentity, cause: &mut impl FnMut(String)) {
    let keys: Vec<_> = id.tags().iter().map(|(key, _)| TagKey::as_str(key)).collect();
    if keys.is_empty() {
        cause(inherited_tags("the call sets no tags, so the gateway's own session hands on some"));
    }
    cause("the role's trust policy does not allow sts:TagSession for the gateway's own principal".to_owned());
    if !keys.is_empty() {
        let keys = keys.join(", ");
        cause(format!("its aws:TagKeys do not list all keys of this session ({keys} and inherited ones)"));
        cause("its aws:RequestTag does not match a value of a tag".to_owned());
    }
    cause("the gateway's own policies do not allow sts:TagSession on this role".to_owned());
}

fn of_source_identity(id: &SessionIdentity, cause: &mut impl FnMut(String)) {
    if id.source_identity().is_none() {
        // The role of a chained session must allow the source identity that it inherits (materialize#37427).
        cause(
            "the configuration sets no source identity, so the gateway's own session has one and hands it on: allow \
             sts:SetSourceIdentity on the role, or start the gateway without a source identity"
                .to_owned(),
        );
    }
    cause(
        "the role's trust policy does not allow sts:SetSourceIdentity for the gateway's own principal"
            .to_owned(),
    );
    cause("its sts:SourceIdentity does not match the source identity".to_owned());
    cause("the gateway's own session has a source identity already, which cannot change".to_owned());
    cause("the gateway's own policies do not allow sts:SetSourceIdentity on this role".to_owned());
}

fn inherited_tags(text: &str) -> String {
    format!("{text} (EKS Pod Identity: disableSessionTags on the association)")
}

/// For the process log: what is denied, the answer of STS and the possible causes.
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.denial.as_str())?;
        match self.causes.as_slice() {
            [] => {}
            [only] => write!(f, "; {only}")?,
            several => {
                write!(f, "; possible causes: ")?;
                for (index, cause) in several.iter().enumerate() {
                    write!(f, "{}({}) {cause}", if index == 0 { "" } else { "; " }, index + 1)?;
                }
            }
        }
        write!(f, ". STS: {}", self.answer)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn session(tags: &[(&str, &str)]) -> SessionIdentity {
        let role = "arn:aws:iam::123456789012:role/BedrockUser";
        SessionIdentity::for_tests(role, "alice@acme.org", tags, Duration::from_hours(12))
    }

    fn denied(action: &str) -> String {
        let resource = "arn:aws:iam::123456789012:role/BedrockUser";
        format!("User: arn:aws:iam::1:user/gw is not authorized to perform: {action} on resource: {resource}")
    }

    #[test]
    fn each_answer_of_sts_has_a_name_and_a_remedy() {
        for (code, message, denial, remedy) in [
            ("AccessDenied", &*denied("sts:AssumeRole"), Denial::AssumeRole, "does not exist"),
            ("AccessDenied", &denied("sts:TagSession"), Denial::TagSession, "(team and inherited"),
            ("AccessDeniedException", &denied("sts:TagSession"), Denial::TagSession, "aws:RequestTag"),
            (
                "AccessDenied",
                &denied("sts:SetSourceIdentity"),
                Denial::SetSourceIdentity,
                "has a source identity",
            ),
            ("AccessDenied", "Roles may not be assumed by root accounts.", Denial::Unnamed, "does not exist"),
            ("AccessDenied", "", Denial::Unnamed, "sts:TagSession"),
            // kreuzwerker/awsu#27
            (
                "ValidationError",
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
                Denial::Duration,
                "to 43200 s",
            ),
            // Made up, as the next two are.
            (
                "ValidationError",
                "DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
                Denial::RoleChaining,
                "one hour",
            ),
            (
                "ValidationError",
                "Value 'x' at 'policyArns' is no ARN",
                Denial::Parameter,
                "names the parameter",
            ),
            ("InvalidParameterValue", "conflicts with a tag", Denial::InheritedTag, "disableSessionTags"),
            ("PackedPolicyTooLarge", "Packed size 104%", Denial::PackedSize, "shorter tags"),
            ("PackedPolicyTooLargeException", "", Denial::PackedSize, "disableSessionTags"),
            ("MalformedPolicyDocument", "Syntax errors in policy.", Denial::Policy, "correct policy"),
        ] {
            let diagnosis = diagnose(code, message, &session(&[("team", "search")]));
            assert_eq!(diagnosis.denial, denial, "{message}");
            let text = diagnosis.to_string();
            assert!(text.contains(remedy), "{text}");
            assert!(text.ends_with(&format!(". STS: {code}: {message}")), "{text}");
        }
    }

    #[test]
    fn causes_fit_the_session() {
        let without = diagnose("AccessDenied", &denied("sts:TagSession"), &session(&[]));
        assert!(without.causes[0].contains("hands on"), "{without}");
        let inherited = diagnose("AccessDenied", &denied("sts:SetSourceIdentity"), &session(&[]));
        assert!(inherited.causes[0].contains("hands it on"), "{inherited}");
        let role = diagnose("AccessDenied", &denied("sts:AssumeRole"), &session(&[]));
        assert!(role.to_string().contains("has no external_id"), "{role}");
        let scp = denied("sts:AssumeRole") + " with an explicit deny in a service control policy";
        let scp = diagnose("AccessDenied", &scp, &session(&[]));
        assert!(scp.causes[0].contains("denies it explicitly"), "{scp}");
    }

    #[test]
    fn a_long_answer_is_cut() {
        let text = diagnose("AccessDenied", &"ä".repeat(100_000), &session(&[])).to_string();
        assert!(text.chars().count() < 3_000);
    }
}
