//! Principals in tables: the account, and the short form without it.

/// Account and `Role/session-name` of an assumed-role ARN. Another text has no account.
pub(super) fn parts(arn: &str) -> (&str, &str) {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", _, "sts", _, account, resource] => {
            (account, resource.strip_prefix("assumed-role/").unwrap_or(resource))
        }
        _ => ("", arn),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_form_is_role_and_name() {
        let arn = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";
        assert_eq!(parts(arn), ("123456789012", "BedrockUser/alice@acme.org"));
        assert_eq!(parts("alice"), ("", "alice"));
    }
}
