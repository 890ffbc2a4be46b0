//! An explanation always equals the result that serving would have.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::Map;

use super::*;
use crate::identity::explain::{Condition, Explanation, RuleOutcome, Target};

fn mapping_with_everything() -> Mapping {
    let key = |text: &str| TagKey::parse(text).unwrap();
    let mut mapping = mapping();
    let issuer = &mut mapping.issuers[0];
    issuer.require = vec![
        Requirement {
            expression: expression("claims.email_verified"),
            message: "not verified".to_owned(),
            tell: None,
        },
        Requirement {
            expression: expression("claims.level < 9"),
            message: "too high".to_owned(),
            tell: None,
        },
    ];
    issuer.source_identity = Some(MappedValue { required: false, ..mapped(&["claims.sub"]) });
    issuer.tags = vec![
        (key("team"), mapped(&["claims.team", "claims.department"])),
        (key("level"), MappedValue { required: false, ..mapped(&["claims.level"]) }),
        (key("strict"), MappedValue { on_invalid: OnInvalid::Reject, ..mapped(&["claims.strict"]) }),
        (key("project"), MappedValue { required: false, ..mapped(&["request.headers['x-project']"]) }),
    ];
    let mut elsewhere = Arc::try_unwrap(role("Other", None)).unwrap();
    elsewhere.issuers = Some(vec!["elsewhere".into()]);
    mapping.roles.insert(0, Arc::new(elsewhere));
    mapping
}

fn explain(mapping: &Mapping, claims: &Value, header: Option<&str>) -> Explanation {
    let mut headers = HeaderMap::new();
    if let Some(value) = header {
        headers.insert("x-project", value.parse().unwrap());
    }
    mapping.explain("acme", claims.as_object().unwrap(), &headers)
}

/// Asserts that the steps agree with the outcome, and that serving has the same outcome.
fn assert_true(mapping: &Mapping, claims: &Value, header: Option<&str>) {
    let explained = explain(mapping, claims, header);
    match (evaluate(mapping, claims, header), &explained.outcome) {
        (Err(refused), Err(error)) => {
            assert_eq!(refused, *error);
            let unmet = explained.requirements.iter().any(|step| step.outcome != Condition::Met);
            let unmatched = explained.rules.last().is_none_or(|rule| rule.outcome != RuleOutcome::Matches);
            let unmade = explained.values.iter().any(|value| value.outcome.is_err());
            assert!(unmet || unmatched || unmade, "{explained:?}");
        }
        (Ok(identity), Ok(becomes)) => {
            let session = identity.session();
            assert_eq!(**identity.principal(), becomes.principal);
            assert_eq!(identity.rule(), becomes.rule);
            assert_eq!(session.role_arn().as_str(), becomes.role_arn);
            assert_eq!(session.source_identity(), becomes.source_identity.as_deref());
            let tags: Vec<_> = session.tags().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            let shown: Vec<_> = becomes.tags.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(tags, shown);
            assert!(explained.requirements.iter().all(|step| step.outcome == Condition::Met));
            assert_eq!(explained.rules.len(), identity.rule() + 1);
            assert_eq!(explained.rules.last().unwrap().outcome, RuleOutcome::Matches);
            for made in &explained.values {
                let text = made.outcome.as_ref().unwrap().as_ref();
                let value = text.map(|text| text.value.as_str());
                let (served, target) = match &made.target {
                    Target::Name => (Some(session.name().as_str()), "name"),
                    Target::SourceIdentity => (session.source_identity(), "source_identity"),
                    Target::Tag(key) => {
                        let tag = tags.iter().find(|(known, _)| known == key);
                        (tag.map(|(_, value)| *value), key.as_str())
                    }
                };
                assert_eq!(value, served);
                let replaced = text.is_some_and(|text| text.replaced.is_some());
                assert_eq!(replaced, identity.replaced().iter().any(|known| known == target));
            }
        }
        (served, explained) => panic!("served {served:?}, explained {explained:?}"),
    }
}

#[test]
fn steps_after_a_refusal_are_shown_too() {
    let mapping = mapping_with_everything();
    let claims = json!({ "email": "Ann Ö", "groups": 7, "level": 9, "team": "search" });
    let explained = explain(&mapping, &claims, None);
    let conditions: Vec<_> = explained.requirements.iter().map(|step| &step.outcome).collect();
    assert_eq!(conditions, [&Condition::Missing, &Condition::NotMet]);
    assert_eq!(explained.rules[0].outcome, RuleOutcome::OtherIssuers);
    assert!(matches!(explained.rules[1].outcome, RuleOutcome::Failed(IdentityError::Evaluation { .. })));
    assert_eq!(explained.rules.len(), 2);
    let name = explained.values[0].outcome.as_ref().unwrap().as_ref().unwrap();
    assert_eq!((name.replaced.as_deref(), name.value.starts_with("Ann==")), (Some("Ann Ö"), true));
    assert!(matches!(explained.values[4].outcome, Err(IdentityError::ValueMissing { .. })));
    assert_eq!(explained.outcome.unwrap_err().reason(), Reason::RequirementFailed);
}

#[test]
fn claims_that_cannot_be_evaluated_have_the_same_error_as_in_serving() {
    let mapping = mapping_with_everything();
    let many: Vec<u32> = (0..2_000).collect();
    assert_eq!(explain(&mapping, &json!({ "x": many }), None).outcome, Err(IdentityError::ClaimsTooLarge));
    let long = explain(&mapping, &json!({}), Some(&"x".repeat(257)));
    assert!(matches!(long.outcome, Err(IdentityError::HeaderIllegal(_))));
    let unknown = mapping.explain("unknown", &Map::new(), &HeaderMap::new());
    assert!(matches!(unknown.outcome, Err(IdentityError::NoRole { .. })));
}

/// Compiled once for all cases.
static MAPPING: LazyLock<Mapping> = LazyLock::new(mapping_with_everything);

fn some() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..12_i64).prop_map(Value::from),
        "[a-c ö@&]{0,3}".prop_map(Value::from),
        Just(json!(["ml"])),
    ]
}

proptest! {
    #[test]
    fn an_explanation_equals_the_result_of_serving(
        verified in prop_oneof![4 => Just(json!(true)), 1 => some()],
        level in prop_oneof![4 => Just(json!(3)), 1 => some()],
        email in prop_oneof![4 => "[a-zö ]{2,5}".prop_map(Value::from), 1 => some()],
        groups in some(), team in some(), department in some(), sub in some(),
        strict in prop_oneof![4 => Just(json!("yes")), 1 => some()],
        header in proptest::option::of("[a-z]{0,3}"),
    ) {
        let claims = json!({
            "email_verified": verified, "level": level, "email": email, "groups": groups, "team": team,
            "department": department, "sub": sub, "strict": strict,
        });
        assert_true(&MAPPING, &claims, header.as_deref());
    }
}
