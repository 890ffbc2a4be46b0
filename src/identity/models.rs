//! Model patterns: the models that a role rule permits, matched against the decoded model id.
//!
//! No glob library is used: they give `?`, `[` and `{` a meaning, and treat `/` as a path separator.

use crate::route::ModelId;
use crate::wildcard;

/// A pattern in which `*` matches any run of characters. A pattern that begins with `arn:` matches whole ARNs. Any
/// other pattern matches model and inference profile ids, and the last part of the ARNs of foundation models and system
/// inference profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelPattern(String);

/// The providers of models: the first parts of models' ids, before the first dot.
// Assumption A44.
pub const PROVIDERS: [&str; 21] = [
    "ai21",
    "amazon",
    "anthropic",
    "cohere",
    "deepseek",
    "google",
    "luma",
    "meta",
    "minimax",
    "mistral",
    "moonshot",
    "moonshotai",
    "nous",
    "nvidia",
    "openai",
    "qwen",
    "stability",
    "twelvelabs",
    "writer",
    "xai",
    "zai",
];

/// The geographies of system inference profiles: the first parts of profiles' ids.
// Assumption A44.
pub const GEOGRAPHIES: [&str; 8] = ["apac", "au", "ca", "eu", "global", "jp", "us", "us-gov"];

/// The error for a pattern that can match no model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a model pattern has letters, digits, and . _ : / - *")]
pub struct IllegalPattern;

impl ModelPattern {
    /// # Errors
    /// When the pattern has a character that no model id has.
    pub fn parse(text: &str) -> Result<Self, IllegalPattern> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-*".contains(&byte);
        if !text.is_empty() && text.len() <= 2048 && text.bytes().all(legal) {
            Ok(Self(text.to_owned()))
        } else {
            Err(IllegalPattern)
        }
    }

    /// The pattern as the operator wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an id with a known first part can match. Any other id is probably a mistake, for example `claude*`.
    pub fn can_match(&self) -> bool {
        let before_star = self.0.split('*').next().unwrap_or_default();
        let has_star = before_star.len() < self.0.len();
        if self.0.starts_with("arn:") {
            return true;
        }
        match before_star.split_once('.') {
            Some((first, _)) => first_parts().any(|known| known == first),
            None => has_star && first_parts().any(|known| known.starts_with(before_star)),
        }
    }

    /// Whether the pattern matches `model`.
    pub fn matches(&self, model: &ModelId) -> bool {
        let id = model.as_str();
        if self.0.starts_with("arn:") {
            return wildcard::matches(&self.0, id);
        }
        // ARNs begin with "arn:" in lower case. An id with another case must not count as a bare id either.
        if id.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("arn:")) {
            return system_resource(id).is_some_and(|name| wildcard::matches(&self.0, name));
        }
        wildcard::matches(&self.0, id)
    }
}

fn first_parts() -> impl Iterator<Item = &'static str> {
    PROVIDERS.into_iter().chain(GEOGRAPHIES)
}

/// The id in the ARN of a foundation model or a system inference profile. AWS owns those, and the ARN means the same
/// as the bare id. All other ARNs name a resource that an account made, and do not contain its model.
fn system_resource(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let &["arn", _, "bedrock", _, _, resource] = parts.as_slice() else { return None };
    let (kind, name) = resource.split_once('/')?;
    (matches!(kind, "foundation-model" | "inference-profile") && !name.contains('/')).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, model: &str) -> bool {
        let pattern = ModelPattern::parse(pattern).unwrap();
        ModelId::parse(model).is_ok_and(|model| pattern.matches(&model))
    }

    #[test]
    fn a_pattern_matches_ids_and_the_arns_of_aws() {
        let claude = "*anthropic.claude-*";
        assert!(matches(claude, "anthropic.claude-3-haiku-v1:0"));
        assert!(matches(claude, "us.anthropic.claude-sonnet-4-6-v1:0"));
        assert!(matches(claude, "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-v1:0"));
        assert!(matches(
            claude,
            "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-x"
        ));
        assert!(!matches(claude, "amazon.nova-lite-v1:0"));
        assert!(matches("amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"));
        assert!(!matches("amazon.nova", "amazon.nova-lite-v1:0"));
    }

    #[test]
    fn a_pattern_that_begins_like_no_id_is_known() {
        let can_match = |pattern: &str| ModelPattern::parse(pattern).unwrap().can_match();
        for pattern in [
            "*",
            "*claude*",
            "anthropic.claude-*",
            "us.anthropic.*",
            "anth*",
            "anthropic*",
            "arn:aws:bedrock:*",
        ] {
            assert!(can_match(pattern), "{pattern}");
        }
        for pattern in
            ["claude*", "claude-3-haiku", "Anthropic.claude-*", "nova-lite-v1:0", "anthropicc.claude"]
        {
            assert!(!can_match(pattern), "{pattern}");
        }
    }

    #[test]
    fn other_arns_need_a_pattern_that_begins_with_arn() {
        for arn in [
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/abc",
            "arn:aws:bedrock:us-east-1:123456789012:custom-model/anthropic.claude-x/abc",
            "arn:aws:sagemaker:us-east-1:123456789012:endpoint/foundation-model/x",
        ] {
            assert!(!matches("*", arn), "{arn}");
            assert!(matches("arn:*", arn), "{arn}");
        }
        assert!(!matches("arn:aws:bedrock:us-east-1:*", "arn:aws:bedrock:us-west-2:1:provisioned-model/abc"));
    }

    proptest! {
        #[test]
        fn a_bare_pattern_never_matches_a_resource_that_an_account_made(
            pattern in "[a-zA-Z0-9*./:-]{1,20}|\\*",
            prefix in "arn|ARN|Arn",
            kind in "application-inference-profile|custom-model|custom-model-deployment|imported-model|provisioned-model|prompt|prompt-router|default-prompt-router|marketplace/model-endpoint",
            name in "[a-z0-9./-]{1,12}",
        ) {
            prop_assume!(!pattern.starts_with("arn:"));
            let arn = format!("{prefix}:aws:bedrock:us-east-1:123456789012:{kind}/{name}");
            prop_assert!(!matches(&pattern, &arn));
        }

        #[test]
        fn stars_match_any_text(parts in prop::collection::vec("[a-z.-]{0,6}", 1..6), between in "[a-z.-]{0,6}") {
            prop_assume!(!parts.concat().is_empty());
            let pattern = parts.join("*") + "*";
            prop_assert!(matches(&pattern, &parts.join(&between)));
        }
    }
}
