use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::expression::Expression;
use crate::identity::mapped_value::OnInvalid;

mod canary;
mod explain;
mod session_names;
mod soon;

fn expression(source: &str) -> Expression {
    Expression::compile(source, &["x-project".to_owned()]).unwrap()
}

fn mapped(sources: &[&str]) -> MappedValue {
    MappedValue {
        from: sources.iter().map(|source| expression(source)).collect(),
        default: None,
        constant: None,
        required: true,
        on_invalid: OnInvalid::Replace,
    }
}

fn role(name: &str, when: Option<&str>) -> Arc<Role> {
    Arc::new(Role {
        when: when.map(expression),
        issuers: None,
        arn: RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap(),
        external_id: None,
        session_names: None,
        duration: None,
        policy: None,
        policy_arns: [].into(),
        transitive_tags: vec![],
        operations: None,
        models: None,
        regions: None,
        projects: vec![],
        tell: None,
        concurrency: None,
        shared_names: false,
    })
}

fn mapping() -> Mapping {
    Mapping {
        issuers: vec![IssuerMapping {
            issuer: "acme".into(),
            request_headers: vec!["x-project".to_owned()],
            require: vec![],
            name: mapped(&["claims.email"]),
            source_identity: None,
            tags: vec![],
        }],
        roles: vec![role("Ml", Some("'ml' in claims.groups")), role("User", None)],
        no_role_tell: None,
        default_duration: Duration::from_secs(3600),
        generation: 1,
    }
}

fn evaluate(mapping: &Mapping, claims: &Value, header: Option<&str>) -> Result<Identity, IdentityError> {
    refusal(mapping, claims, header).map_err(|refusal| refusal.error)
}

fn refusal(mapping: &Mapping, claims: &Value, header: Option<&str>) -> Result<Identity, IdentityRefusal> {
    let Value::Object(claims) = claims else { panic!("claims are an object") };
    let evaluated = mapping.evaluate(&mapping.issuers[0], claims, &[header.map(str::to_owned)]);
    evaluated.map(|Evaluated { session, role, rule, replaced }| Identity {
        principal: session.principal().into(),
        session: Arc::new(session),
        role,
        rule,
        replaced,
        verdict: CachedVerdict::default(),
    })
}

#[test]
fn claims_become_a_name_tags_and_the_first_role_that_matches() {
    let mut mapping = mapping();
    mapping.issuers[0].tags = vec![
        (TagKey::parse("team").unwrap(), mapped(&["claims.team", "claims.department"])),
        (
            TagKey::parse("cost-center").unwrap(),
            MappedValue {
                default: Some("unallocated".to_owned()),
                ..mapped(&["claims.groups.filter(g, g.startsWith('cc-'))[0]"])
            },
        ),
        (TagKey::parse("env").unwrap(), MappedValue { constant: Some("prod".to_owned()), ..mapped(&[]) }),
        (TagKey::parse("level").unwrap(), MappedValue { required: false, ..mapped(&["claims.level"]) }),
    ];
    let claims = json!({ "email": "a@b.c", "team": null, "department": "R&D", "groups": ["ml"], "level": 7 });
    let identity = evaluate(&mapping, &claims, None).unwrap();
    assert_eq!(&**identity.principal(), "arn:aws:sts::123456789012:assumed-role/Ml/a@b.c");
    assert_eq!(identity.rule(), 0);
    let tags: Vec<_> = identity.session().tags().iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    assert_eq!(tags[0], ("cost-center", "unallocated"));
    assert_eq!(tags[1], ("env", "prod"));
    assert_eq!(tags[2], ("level", "7"));
    assert!(tags[3].1.starts_with("RD=="), "{tags:?}");
    assert_eq!(identity.replaced(), ["team"]);
}

#[test]
fn a_missing_claim_in_when_counts_as_false_but_an_error_does_not() {
    let mapping = mapping();
    assert_eq!(evaluate(&mapping, &json!({ "email": "a@b.c" }), None).unwrap().rule(), 1);
    let wrong = json!({ "email": "a@b.c", "groups": 7 });
    assert!(matches!(evaluate(&mapping, &wrong, None), Err(IdentityError::Evaluation { .. })));
}

#[test]
fn a_condition_that_is_not_a_boolean_is_an_error() {
    let mut mapping = mapping();
    mapping.roles = vec![role("Odd", Some("claims.email")), role("User", None)];
    assert!(matches!(
        evaluate(&mapping, &json!({ "email": "a@b.c" }), None),
        Err(IdentityError::Evaluation { .. })
    ));
}

#[test]
fn requirements_must_hold() {
    let mut mapping = mapping();
    mapping.issuers[0].require = vec![Requirement {
        expression: expression("claims.email_verified"),
        message: "not verified".to_owned(),
        tell: None,
    }];
    for claims in [json!({ "email": "a@b.c" }), json!({ "email": "a@b.c", "email_verified": false })] {
        let refused = evaluate(&mapping, &claims, None).unwrap_err();
        assert_eq!(refused.reason(), Reason::RequirementFailed);
        let missing =
            if claims.get("email_verified").is_none() { "; claim `email_verified` is missing" } else { "" };
        assert_eq!(refused.to_string(), format!("require[0] is not met: not verified{missing}"));
    }
    let odd = json!({ "email": "a@b.c", "email_verified": "yes" });
    assert_eq!(evaluate(&mapping, &odd, None).unwrap_err().reason(), Reason::EvaluationFailed);
    assert!(evaluate(&mapping, &json!({ "email": "a@b.c", "email_verified": true }), None).is_ok());
}

#[test]
fn a_refusal_has_the_claims_that_decided_and_the_text_for_the_caller() {
    let mut mapping = mapping();
    mapping.issuers[0].require = vec![Requirement {
        expression: expression("claims.kind != 'contractor'"),
        message: "contractors have no Bedrock".to_owned(),
        tell: Some("Ask your manager.".into()),
    }];
    mapping.roles =
        vec![role("Ml", Some("'ml' in claims.groups")), role("Ops", Some("claims.unit == 'ops'"))];
    mapping.no_role_tell = Some("Ask for a group.".into());
    let refused = |claims: &Value| {
        let refusal = refusal(&mapping, claims, None).unwrap_err();
        let claims: Vec<_> = refusal.claims.iter().map(|(name, value)| format!("{name}={value}")).collect();
        (refusal.to_string(), claims.join(" "), refusal.tell.map(|tell| tell.to_string()))
    };
    let contractor = refused(&json!({ "kind": "contractor", "groups": [], "email": "a@b.c" }));
    let detail = "require[0] is not met: contractors have no Bedrock";
    assert_eq!(
        contractor,
        (detail.to_owned(), "kind=contractor".to_owned(), Some("Ask your manager.".to_owned()))
    );
    // The operator's text would accuse a caller for no known reason.
    let unknown = refused(&json!({ "groups": [], "email": "a@b.c" }));
    assert_eq!(unknown, (format!("{detail}; claim `kind` is missing"), String::new(), None));
    let outsider = refused(&json!({ "kind": "employee", "groups": ["sales"], "email": "a@b.c" }));
    let detail = "no role matches: no `when` is true for these claims; the role rules read `groups`, `unit`; claim \
                  `unit` is missing";
    assert_eq!(
        outsider,
        (detail.to_owned(), r#"groups=["sales"]"#.to_owned(), Some("Ask for a group.".to_owned()))
    );
    mapping.roles = vec![role("User", None)];
    let nameless = refusal(&mapping, &json!({ "kind": "employee", "email": "" }), None).unwrap_err();
    assert_eq!(nameless.error.reason(), Reason::ValueMissing);
    assert_eq!(nameless.claims.iter().collect::<Vec<_>>(), [("email", "")]);
}

#[test]
fn missing_and_invalid_values_are_refused() {
    let mut mapping = mapping();
    for claims in [json!({}), json!({ "email": "" }), json!({ "email": null })] {
        assert_eq!(evaluate(&mapping, &claims, None).unwrap_err().reason(), Reason::ValueMissing);
    }
    let missing = evaluate(&mapping, &json!({}), None).unwrap_err().to_string();
    assert_eq!(missing, "the value of name is missing; claim `email` is missing");
    for claims in [json!({ "email": ["a@b.c"] }), json!({ "email": { "a": 1 } })] {
        assert_eq!(evaluate(&mapping, &claims, None).unwrap_err().reason(), Reason::ValueInvalid);
    }
    mapping.issuers[0].name.on_invalid = OnInvalid::Reject;
    assert_eq!(
        evaluate(&mapping, &json!({ "email": "a b" }), None).unwrap_err().reason(),
        Reason::ValueInvalid
    );
}

/// If a number became a name, 123 and "123" would be the same name.
#[test]
fn a_name_and_a_source_identity_come_from_a_string() {
    let mut mapping = mapping();
    mapping.issuers[0].name = mapped(&["claims.uid", "claims.email"]);
    mapping.issuers[0].source_identity = Some(MappedValue { required: false, ..mapped(&["claims.sub"]) });
    mapping.issuers[0].tags = vec![(TagKey::parse("uid").unwrap(), mapped(&["claims.level"]))];
    let valid = json!({ "uid": null, "email": "a@b.c", "sub": "", "level": 7 });
    assert_eq!(evaluate(&mapping, &valid, None).unwrap().session().name().as_str(), "a@b.c");
    for (value, words) in [
        (json!(123), "a number, not a string; convert it, for example string(claims.uid)"),
        (json!(u64::MAX), "a number, not a string; convert it, for example string(claims.uid)"),
        (json!(1.5), "a number that is not a 64-bit integer"),
        (json!(true), "a boolean, not a string"),
        (json!(["a"]), "a list, not a string; use one member, for example [0], or join it"),
        (json!({ "a": "b" }), "an object, not a string"),
    ] {
        // The next expression does not replace an invalid value.
        let name = json!({ "uid": value, "email": "a@b.c", "level": 7 });
        let source = json!({ "email": "a@b.c", "sub": value, "level": 7 });
        for (claims, target) in [(name, "name"), (source, "source_identity")] {
            let refused = evaluate(&mapping, &claims, None).unwrap_err();
            assert_eq!(refused.reason(), Reason::ValueInvalid, "{claims}");
            let message = format!("the value of {target} is {words}");
            assert!(refused.to_string().starts_with(&message), "{refused}");
        }
    }
    mapping.issuers[0].name = mapped(&["string(claims.uid)"]);
    let number = json!({ "uid": 123, "level": true });
    let identity = evaluate(&mapping, &number, None).unwrap();
    assert_eq!(identity.session().name().as_str(), "123");
    assert_eq!(identity.session().tags().iter().next().unwrap().1.as_str(), "true");
}

#[test]
fn groups_that_the_token_left_out_do_not_count_as_no_groups() {
    let mapping = mapping();
    let overage = json!({ "email": "a@b.c", "_claim_names": { "groups": "src1" } });
    assert_eq!(evaluate(&mapping, &overage, None).unwrap_err().reason(), Reason::GroupsOverage);
    let implicit = json!({ "email": "a@b.c", "hasgroups": true });
    assert_eq!(evaluate(&mapping, &implicit, None).unwrap_err().reason(), Reason::GroupsOverage);
    let some = json!({ "email": "a@b.c", "groups": ["ml"], "_claim_names": { "groups": "src1" } });
    assert_eq!(evaluate(&mapping, &some, None).unwrap_err().reason(), Reason::GroupsOverage);
    let unread = json!({ "email": "a@b.c", "groups": [], "_claim_names": { "roles": "src1" } });
    assert!(evaluate(&mapping, &unread, None).is_ok());
}

#[test]
fn a_listed_header_chooses_within_what_claims_allow() {
    let mut mapping = mapping();
    let project = "request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null";
    mapping.issuers[0].tags = vec![(TagKey::parse("project").unwrap(), mapped(&[project]))];
    let claims = json!({ "email": "a@b.c", "projects": ["apollo"] });
    let identity = evaluate(&mapping, &claims, Some("apollo")).unwrap();
    assert_eq!(identity.session().tags().iter().next().unwrap().1.as_str(), "apollo");
    assert_eq!(evaluate(&mapping, &claims, Some("gemini")).unwrap_err().reason(), Reason::ValueMissing);
    assert_eq!(evaluate(&mapping, &claims, None).unwrap_err().reason(), Reason::ValueMissing);
}

#[test]
fn a_listed_header_that_is_too_long_or_repeated_is_refused() {
    let names = ["x-project".to_owned()];
    let mut headers = HeaderMap::new();
    assert_eq!(listed(&names, &headers), Ok(vec![None]));
    headers.append("x-project", "".parse().unwrap());
    assert_eq!(listed(&names, &headers), Ok(vec![Some(String::new())]));
    headers.append("x-project", "b".parse().unwrap());
    assert!(matches!(listed(&names, &headers), Err(IdentityError::HeaderRepeated(_))));
    headers.insert("x-project", "x".repeat(257).parse().unwrap());
    assert!(matches!(listed(&names, &headers), Err(IdentityError::HeaderIllegal(_))));
}

#[test]
fn the_nodes_of_claims_are_limited() {
    let mapping = mapping();
    let many: Vec<u32> = (0..2_000).collect();
    let claims = json!({ "email": "a@b.c", "groups": many });
    assert_eq!(evaluate(&mapping, &claims, None).unwrap_err(), IdentityError::ClaimsTooLarge);
}

#[test]
fn a_role_rule_for_another_issuer_is_skipped() {
    let mut mapping = mapping();
    let mut other = Arc::try_unwrap(role("Other", None)).unwrap();
    other.issuers = Some(vec!["elsewhere".into()]);
    mapping.roles = vec![Arc::new(other)];
    let refused = evaluate(&mapping, &json!({ "email": "a@b.c" }), None).unwrap_err();
    assert_eq!(refused.reason(), Reason::NoRole);
}

#[test]
fn an_error_next_to_a_missing_claim_leads_to_no_wider_role() {
    let mut mapping = mapping();
    let when = "claims.level.startsWith('contractor') || claims.kind == 'contractor'";
    mapping.roles = vec![role("Contractor", Some(when)), role("User", None)];
    let odd = json!({ "email": "a@b.c", "level": 7 });
    assert_eq!(evaluate(&mapping, &odd, None).unwrap_err().reason(), Reason::EvaluationFailed);
}

#[test]
fn an_error_ends_the_search_for_a_fallback() {
    let mut mapping = mapping();
    mapping.issuers[0].name = mapped(&["claims.upn.lowerAscii()", "claims.email"]);
    assert!(evaluate(&mapping, &json!({ "email": "a@b.c" }), None).is_ok());
    let odd = json!({ "email": "a@b.c", "upn": ["x"] });
    assert_eq!(evaluate(&mapping, &odd, None).unwrap_err().reason(), Reason::EvaluationFailed);
}

#[test]
fn an_identity_has_the_settings_of_its_role_rule() {
    let mut mapping = mapping();
    let mut rule = Arc::try_unwrap(role("team/Deep", None)).unwrap();
    let key = |text: &str| TagKey::parse(text).unwrap();
    rule.external_id = Some("x-1".to_owned());
    rule.duration = Some(Duration::from_secs(900));
    rule.transitive_tags = vec![key("team"), key("absent")];
    mapping.roles = vec![Arc::new(rule)];
    mapping.issuers[0].source_identity = Some(mapped(&["claims.sub"]));
    mapping.issuers[0].tags = vec![
        (key("team"), mapped(&["claims.team"])),
        (key("absent"), MappedValue { required: false, ..mapped(&["claims.gone"]) }),
    ];
    let claims = json!({ "email": "a@b.c", "sub": "auth0|7", "team": "search" });
    let identity = evaluate(&mapping, &claims, None).unwrap();
    let session = identity.session();
    assert_eq!(&**identity.principal(), "arn:aws:sts::123456789012:assumed-role/Deep/a@b.c");
    assert_eq!(session.external_id(), Some("x-1"));
    assert_eq!(session.duration(), Duration::from_secs(900));
    assert_eq!(session.transitive_tags(), [key("team")]);
    assert!(session.source_identity().unwrap().starts_with("auth07=="));
    assert_eq!(identity.replaced(), ["source_identity"]);
}

#[test]
fn outcomes_are_remembered_by_header_and_configuration() {
    let key = |generation, header: Option<&str>| Key { generation, headers: vec![header.map(str::to_owned)] };
    let no_role = || IdentityRefusal::from(IdentityError::NoRole { read: String::new() });
    let memo = IdentityMemo::default();
    memo.remember(key(1, None), Err(no_role()));
    assert_eq!(memo.get(&key(1, None)).unwrap().unwrap_err(), no_role());
    assert!(memo.get(&key(1, Some(""))).is_none());
    assert!(memo.get(&key(2, None)).is_none());
    for header in ["a", "b", "c", "d", "e", "f", "g", "g", "g"] {
        memo.remember(key(1, Some(header)), Err(no_role()));
    }
    assert!(memo.get(&key(1, None)).is_some());
    memo.remember(key(1, Some("h")), Err(no_role()));
    assert!(memo.get(&key(1, None)).is_none());
    assert!(memo.get(&key(1, Some("a"))).is_some());
}

/// Mappings from the claim `uid` to a session name and a tag, compiled once for all cases.
static WAYS: LazyLock<Vec<Mapping>> = LazyLock::new(|| {
    let ways = [
        "string(claims.uid)",
        "'u' + string(claims.uid)",
        "string(int(claims.uid))",
        "string(uint(claims.uid))",
        "string(double(claims.uid))",
        "string(-claims.uid)",
        "string(claims.uid + 1)",
        "[claims.uid].map(n, string(n)).join()",
        "{'n': string(claims.uid)}['n']",
        "claims.uid > 0 ? string(claims.uid) : 'n' + string(claims.uid)",
    ];
    let of = |way: &&str| {
        let mut mapping = mapping();
        mapping.issuers[0].name = mapped(&[way]);
        mapping.issuers[0].tags = vec![(TagKey::parse("uid").unwrap(), mapped(&["claims.uid"]))];
        mapping
    };
    ways.iter().map(of).collect()
});

/// The session name and tag of a caller whose claim `uid` is this JSON.
fn name_and_tag(mapping: &Mapping, uid: &str) -> Option<(String, String)> {
    let claims = serde_json::from_str(&format!("{{\"uid\":{uid}}}")).unwrap();
    let identity = evaluate(mapping, &claims, None).ok()?;
    let session = identity.session();
    let (_, tag) = session.tags().iter().next().unwrap();
    Some((session.name().as_str().to_owned(), tag.as_str().to_owned()))
}

static MAPPING: LazyLock<Mapping> = LazyLock::new(mapping);

/// Values of a claim that look alike.
fn json_text() -> impl Strategy<Value = String> {
    let plain = "[12]{1,3}|[12]\\.0|true|false|null|[12]{20,22}|";
    prop_oneof![
        plain.prop_map(|text| if text.is_empty() { "0".to_owned() } else { text }),
        plain.prop_map(|text| format!("\"{text}\"")),
        plain.prop_map(|text| format!("[\"{text}\"]")),
        plain.prop_map(|text| format!("{{\"a\":\"{text}\"}}")),
    ]
}

/// Two numbers as a token writes them. Most pairs are close to each other.
fn numbers() -> impl Strategy<Value = (String, String)> {
    let digits = "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,20})?(e[0-9]{1,2})?";
    let edge = prop_oneof![
        Just(1_i128 << 53),
        Just(i128::from(i64::MIN)),
        Just(i128::from(i64::MAX)),
        Just(i128::from(u64::MAX)),
        -(1_i128 << 80)..(1_i128 << 80),
    ];
    prop_oneof![
        (digits, digits),
        (edge, -2..3_i128, -2..3_i128)
            .prop_map(|(edge, first, second)| ((edge + first).to_string(), (edge + second).to_string())),
    ]
}

proptest! {
    #[test]
    fn two_numbers_never_share_a_session_name_or_a_tag((first, second) in numbers()) {
        for (index, mapping) in WAYS.iter().enumerate() {
            let (one, other) = (name_and_tag(mapping, &first), name_and_tag(mapping, &second));
            if index == 0 {
                prop_assert_eq!(one.is_some(), first.parse::<i64>().is_ok() && first != "-0" || first.parse::<u64>().is_ok());
            }
            if let (Some((name, tag)), Some((other_name, other_tag))) = (one, other) {
                prop_assert_eq!(name == other_name, first == second, "{} and {}", first, second);
                prop_assert_eq!(tag == other_tag, first == second, "{} and {}", first, second);
            }
        }
    }

    #[test]
    fn two_values_of_a_claim_never_share_a_session_name(first in json_text(), second in json_text()) {
        let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let name = |text: &str| {
            let claims = json!({ "email": parsed(text) });
            evaluate(&MAPPING, &claims, None).map(|identity| identity.session().name().clone())
        };
        if let (Ok(one), Ok(other)) = (name(&first), name(&second)) {
            prop_assert_eq!(one == other, parsed(&first) == parsed(&second), "{} and {}", first, second);
        }
        prop_assert_eq!(name(&first).is_ok(), parsed(&first).as_str().is_some_and(|text| !text.is_empty()));
    }

    #[test]
    fn two_people_never_share_a_session_name(first in ".{1,70}", second in ".{1,70}") {
        let mapping = mapping();
        let name = |email: &str| evaluate(&mapping, &json!({ "email": email }), None).unwrap().session().name().clone();
        prop_assert_eq!(name(&first) == name(&second), first == second);
        prop_assert_eq!(name(&first), name(&first));
    }
}
