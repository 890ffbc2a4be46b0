//! The ARN of a role, and the ARN of the principal of its sessions.

use std::sync::Arc;

use crate::attribution::session_name::SessionName;

/// The ARN of a role: `arn:PARTITION:iam::ACCOUNT:role/[PATH/]NAME`, at most 2048 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RoleArn(Arc<str>);

/// The error for a text that is not a role's ARN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the ARN of a role; write, for example, arn:aws:iam::123456789012:role/BedrockUser")]
pub struct IllegalArn;

impl RoleArn {
    /// # Errors
    /// When the text is not a role's ARN.
    pub fn parse(text: &str) -> Result<Self, IllegalArn> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let &["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
            return Err(IllegalArn);
        };
        let partition_fits = partition.starts_with("aws")
            && partition.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let account_fits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let Some(path) = resource.strip_prefix("role/") else { return Err(IllegalArn) };
        let name = path.rsplit('/').next().unwrap_or(path);
        let name_fits = (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
        let path_fits = path.bytes().all(|byte| (0x21..0x7f).contains(&byte));
        if partition_fits && account_fits && name_fits && path_fits && text.len() <= 2048 {
            Ok(Self(text.into()))
        } else {
            Err(IllegalArn)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition: `aws`, `aws-cn`, `aws-us-gov`, …
    pub fn partition(&self) -> &str {
        self.0.split(':').nth(1).unwrap_or_default()
    }

    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or_default()
    }

    /// The role's name, without its path.
    pub fn role_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// The role's path: `/`, or for example `/team/a/`.
    pub fn path(&self) -> &str {
        let resource = self.0.splitn(6, ':').nth(5).unwrap_or_default();
        let path = resource.strip_prefix("role").unwrap_or_default();
        path.get(..path.len().saturating_sub(self.role_name().len())).unwrap_or_default()
    }

    /// The principal of a session with this name, as `line_item_iam_principal` shows it.
    // Assumption A1.
    pub fn principal(&self, name: &SessionName) -> String {
        let (partition, account, role) = (self.partition(), self.account(), self.role_name());
        format!("arn:{partition}:sts::{account}:assumed-role/{role}/{}", name.as_str())
    }
}

/// Whether `text` has the shape of a session's ARN: `arn:PARTITION:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
pub fn is_principal(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let &["arn", partition, "sts", "", account, resource] = parts.as_slice() else { return false };
    let &["assumed-role", role, session] = resource.split('/').collect::<Vec<_>>().as_slice() else {
        return false;
    };
    let name =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte));
    partition.starts_with("aws")
        && account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && (1..=64).contains(&role.len())
        && (2..=64).contains(&session.len())
        && name(role)
        && name(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_principal_has_no_path() {
        let role = RoleArn::parse("arn:aws-cn:iam::123456789012:role/team/a/BedrockUser").unwrap();
        let (name, _) = SessionName::from_value("alice@acme.org");
        assert_eq!(role.path(), "/team/a/");
        assert_eq!(RoleArn::parse("arn:aws:iam::123456789012:role/User").unwrap().path(), "/");
        assert_eq!(
            role.principal(&name),
            "arn:aws-cn:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"
        );
    }

    #[test]
    fn principals_are_recognized() {
        let role = RoleArn::parse("arn:aws:iam::123456789012:role/team/a/BedrockUser").unwrap();
        for value in ["alice@acme.org", "Zoë"] {
            assert!(is_principal(&role.principal(&SessionName::from_value(value).0)));
        }
        for text in [
            "alice@acme.org",
            "arn:aws:iam::123456789012:role/BedrockUser",
            "arn:aws:sts::123456789012:assumed-role/BedrockUser",
            "arn:aws:sts::123456789012:assumed-role/team/BedrockUser/alice",
            "arn:aws:sts::12345678901:assumed-role/BedrockUser/alice",
            "arn:aws:sts::123456789012:assumed-role/BedrockUser/*",
        ] {
            assert!(!is_principal(text), "{text}");
        }
    }

    #[test]
    fn texts_that_are_not_role_arns_are_rejected() {
        for text in [
            "",
            "BedrockUser",
            "arn:aws:iam::123456789012:user/alice",
            "arn:aws:iam::12345:role/x",
            "arn:aws:iam:us-east-1:123456789012:role/x",
            "arn:gcp:iam::123456789012:role/x",
            "arn:aws:iam::123456789012:role/",
            "arn:aws:iam::123456789012:role/a b",
        ] {
            assert_eq!(RoleArn::parse(text), Err(IllegalArn), "{text}");
        }
    }
}
