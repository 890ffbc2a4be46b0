//! `session_names` of a role rule.

use super::*;
use crate::identity::name_pattern::NamePattern;

fn mapping_with_names(names: &[&str]) -> Mapping {
    let mut mapping = mapping();
    for (index, tell) in [(0, "Ask the ML team."), (1, "Ask.")] {
        let rule = Arc::get_mut(&mut mapping.roles[index]).unwrap();
        rule.tell = Some(tell.into());
        if index == 1 {
            let patterns = names.iter().map(|text| NamePattern::parse(text).unwrap());
            rule.session_names = Some(patterns.collect());
        }
    }
    mapping
}

#[test]
fn a_rule_refuses_a_name_that_no_pattern_matches_and_the_next_rule_is_not_tried() {
    let mut mapping = mapping_with_names(&["*@acme.org", "svc-*"]);
    mapping.roles.push(role("Wide", None));
    for (email, is_permitted) in [
        ("alice@acme.org", true),
        ("svc-1", true),
        ("alice@evil.org", false),
        ("Zoë@acme.org", true),
        ("Zoë@evil.org", false),
        // The name without its illegal characters would match, but the value does not.
        ("alice@acme.org\u{fc}", false),
        ("\u{fc}svc-1", false),
    ] {
        let claims = json!({ "email": email, "groups": [] });
        match refusal(&mapping, &claims, None) {
            Ok(identity) => assert!(is_permitted && identity.rule() == 1, "{email}"),
            Err(refusal) => {
                assert!(!is_permitted, "{email}: {refusal}");
                assert_eq!(refusal.error.reason(), Reason::SessionNameForbidden);
                assert_eq!((refusal.rule, refusal.tell.as_deref()), (Some(1), Some("Ask.")));
                assert_eq!(refusal.claims.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["email"]);
            }
        }
    }
    let of_other_rule = json!({ "email": "alice@evil.org", "groups": ["ml"] });
    assert_eq!(evaluate(&mapping, &of_other_rule, None).unwrap().rule(), 0);
}

#[test]
fn the_error_names_the_session_name_but_not_the_original_value() {
    let mapping = mapping_with_names(&["*@acme.org"]);
    let error = |email: &str| {
        evaluate(&mapping, &json!({ "email": email, "groups": [] }), None).unwrap_err().to_string()
    };
    assert_eq!(error("bob@evil.org"), "the session name bob@evil.org is not among the role's session_names");
    let replaced = error("Zoë\n@evil.org");
    assert!(replaced.starts_with("the session name Zo@evil.org=="), "{replaced}");
    assert!(replaced.ends_with("a pattern must match the original value"), "{replaced}");
    assert!(!replaced.contains(['ë', '\n']), "{replaced}");
}

#[test]
fn an_explanation_has_the_patterns_and_the_original_value() {
    let mapping = mapping_with_names(&["*@acme.org"]);
    let explain = |email: &str| {
        let claims = json!({ "email": email, "groups": [] });
        mapping.explain("acme", claims.as_object().unwrap(), &HeaderMap::new())
    };
    let becomes = explain("alice@acme.org").outcome.unwrap();
    assert_eq!(becomes.session_names.unwrap(), ["*@acme.org"]);
    let refused = explain("Zoë@evil.org");
    assert_eq!(refused.outcome.unwrap_err().reason(), Reason::SessionNameForbidden);
    let name = refused.values[0].outcome.clone().unwrap().unwrap();
    assert_eq!(name.replaced.as_deref(), Some("Zoë@evil.org"));
}
