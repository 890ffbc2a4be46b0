//! A case: claims, and what the gateway must make of them. `check --cases` runs a folder of them, `explain --save`
//! writes one. A case is a JSON file with the field names of `explain --json`.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::call::{CallRefusal, CaseCall};
use crate::identity::explain::Explanation;
use crate::reason::Reason;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// For readers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    /// The configured name of the issuer. Without it, the claim `iss` decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<String>,
    /// Headers of the request, for expressions that read one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) claims: Map<String, Value>,
    /// The call to decide. Without it, the mapping alone is compared.
    #[serde(default, skip_serializing_if = "CaseCall::is_empty")]
    pub(super) call: CaseCall,
    pub(super) expect: Outcome,
}

/// The result of the mapping, and of the decision about the call. In a case, a member that is missing is not compared, except `reason`.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Outcome {
    /// `ok`, or the reason of the refusal, a word of the access log.
    pub(super) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) principal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) role_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tags: Option<BTreeMap<String, String>>,
}

impl Case {
    /// The headers of the request.
    ///
    /// # Errors
    /// When a name or a value cannot be that of a header.
    pub(super) fn header_map(&self) -> Result<HeaderMap, String> {
        let header = |(name, value): (&String, &String)| {
            let illegal = || format!("the header {name:?} has characters that a header cannot have");
            let name: HeaderName = name.parse().map_err(|_| illegal())?;
            Ok((name, HeaderValue::from_str(value).map_err(|_| illegal())?))
        };
        self.headers.iter().map(header).collect()
    }
}

impl Outcome {
    /// `refusal` is that of the call by the caller's role.
    pub(super) fn of(explanation: &Explanation, refusal: Option<&CallRefusal>) -> Self {
        match (&explanation.outcome, refusal) {
            (Err(error), _) => Self::refused(error.reason()),
            (Ok(_), Some(refusal)) => Self::refused(refusal.reason),
            (Ok(becomes), None) => Self {
                reason: Reason::Ok.as_str().to_owned(),
                principal: Some(becomes.principal.clone()),
                role_arn: Some(becomes.role_arn.clone()),
                session_name: Some(becomes.session_name.clone()),
                source_identity: becomes.source_identity.clone(),
                tags: Some(becomes.tags.iter().cloned().collect()),
            },
        }
    }

    fn refused(reason: Reason) -> Self {
        Self { reason: reason.as_str().to_owned(), ..Self::default() }
    }

    /// One line for each difference from what was expected.
    pub(super) fn differences(&self, expected: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |name: &str, expected: Option<&String>, found: Option<&String>| {
            if expected != found {
                let shown = |value: Option<&String>| {
                    value.map_or_else(|| "nothing".to_owned(), |v| format!("\"{v}\""))
                };
                differences.push(format!("{name}: expected {}, found {}", shown(expected), shown(found)));
            }
        };
        compare("reason", Some(&expected.reason), Some(&self.reason));
        for (name, expected, found) in [
            ("principal", &expected.principal, &self.principal),
            ("role_arn", &expected.role_arn, &self.role_arn),
            ("session_name", &expected.session_name, &self.session_name),
            ("source_identity", &expected.source_identity, &self.source_identity),
        ] {
            if expected.is_some() {
                compare(name, expected.as_ref(), found.as_ref());
            }
        }
        if let Some(expected) = &expected.tags {
            let nothing = BTreeMap::new();
            let found = self.tags.as_ref().unwrap_or(&nothing);
            for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(*key))) {
                compare(&format!("tags.{key}"), expected.get(key), found.get(key));
            }
        }
        differences
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expected_members_are_compared() {
        let tags = |pairs: &[(&str, &str)]| {
            Some(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
        };
        let found = Outcome {
            reason: "ok".to_owned(),
            session_name: Some("alice".to_owned()),
            tags: tags(&[("team", "ads"), ("site", "x")]),
            ..Outcome::default()
        };
        let reason_only = Outcome { reason: "ok".to_owned(), ..Outcome::default() };
        assert!(found.differences(&reason_only).is_empty());
        assert!(found.differences(&found).is_empty());
        let other = Outcome {
            reason: "ok".to_owned(),
            session_name: Some("bob".to_owned()),
            source_identity: Some("b".to_owned()),
            tags: tags(&[("team", "search")]),
            ..Outcome::default()
        };
        assert_eq!(
            found.differences(&other),
            [
                "session_name: expected \"bob\", found \"alice\"",
                "source_identity: expected \"b\", found nothing",
                "tags.team: expected \"search\", found \"ads\"",
                "tags.site: expected nothing, found \"x\"",
            ]
        );
    }
}
