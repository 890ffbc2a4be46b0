//! One file for each policy document.

use crate::iam::{Account, Kind};

/// The paths and texts, without guards.
pub(super) fn files(account: &Account) -> Vec<(String, String)> {
    let path = |kind: &Kind| match kind {
        // No file of an invocation role ends like this one, whatever its name.
        Kind::GatewayTrust => Some("gateway-role.trust.json".to_owned()),
        Kind::GatewayRole => Some("gateway-role.json".to_owned()),
        Kind::Trust { role } => Some(format!("{}-trust.json", role.role_name())),
        Kind::Permissions { role, part: 1 } => Some(format!("{}-permissions.json", role.role_name())),
        Kind::Permissions { role, part } => Some(format!("{}-permissions-{part}.json", role.role_name())),
        Kind::Guard(_) => None,
    };
    account.files.iter().filter_map(|file| Some((path(&file.kind)?, file.policy.pretty()))).collect()
}
