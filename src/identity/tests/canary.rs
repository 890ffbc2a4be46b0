//! Which sessions a reload tries, and with which values.

use super::*;
use crate::identity::canary::Canary;
use crate::identity::name_pattern::NamePattern;

fn constant(value: &str) -> MappedValue {
    MappedValue { constant: Some(value.to_owned()), ..mapped(&[]) }
}

fn key(text: &str) -> TagKey {
    TagKey::parse(text).unwrap()
}

fn changed(role: &Arc<Role>, change: impl FnOnce(&mut Role)) -> Arc<Role> {
    let when = role.when.is_some().then_some("'ml' in claims.groups");
    let mut new = Arc::into_inner(super::role(role.arn.role_name(), when)).unwrap();
    change(&mut new);
    Arc::new(new)
}

/// The rules that a change of the mapping makes the reload try.
fn tried(change: impl FnOnce(&mut Mapping)) -> Vec<usize> {
    let mut new = mapping();
    change(&mut new);
    new.canaries_since(&mapping()).iter().map(Canary::rule).collect()
}

#[test]
fn a_canary_has_every_parameter_of_the_role_and_no_callers_value() {
    let mut mapping = mapping();
    mapping.roles = vec![changed(&mapping.roles[1], |role| {
        role.external_id = Some("acme".to_owned());
        role.duration = Some(Duration::from_secs(900));
        role.policy = Some("{}".into());
        role.policy_arns = ["arn:aws:iam::aws:policy/ReadOnly".to_owned()].into();
        role.transitive_tags = vec![key("team")];
    })];
    mapping.issuers[0].source_identity = Some(mapped(&["claims.sub"]));
    mapping.issuers[0].tags = vec![
        (key("team"), mapped(&["claims.team"])),
        (key("cost"), MappedValue { default: Some("none".to_owned()), ..mapped(&["claims.cost"]) }),
        (key("env"), constant("prod")),
        (key("level"), MappedValue { required: false, ..mapped(&["claims.level"]) }),
    ];
    let canaries = mapping.canaries_since(&super::mapping());
    let [canary] = canaries.as_slice() else { panic!("{canaries:?}") };
    let session = canary.session();
    assert_eq!(session.name().as_str(), "bedrock-gateway-canary");
    let tags: Vec<_> = session.tags().iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let made_up = "bedrock-gateway-canary";
    assert_eq!(tags, [("cost", "none"), ("env", "prod"), ("level", made_up), ("team", made_up)]);
    assert_eq!(session.transitive_tags(), [key("team")]);
    assert_eq!(session.source_identity(), Some(made_up));
    assert_eq!((session.external_id(), session.policy()), (Some("acme"), Some("{}")));
    assert_eq!((session.duration().as_secs(), session.policy_arns().len()), (900, 1));
}

#[test]
fn only_what_changes_the_call_to_sts_is_tried() {
    assert_eq!(tried(|_| {}), [0; 0]);
    let ways: [fn(&mut Role); 6] = [
        |role| role.arn = RoleArn::parse("arn:aws:iam::123456789012:role/Other").unwrap(),
        |role| role.external_id = Some("id".to_owned()),
        |role| role.duration = Some(Duration::from_secs(900)),
        |role| role.policy = Some("{}".into()),
        |role| role.policy_arns = ["arn:aws:iam::aws:policy/A".to_owned()].into(),
        |role| role.transitive_tags = vec![key("team")],
    ];
    for (way, change) in ways.into_iter().enumerate() {
        let mut old = mapping();
        old.issuers[0].tags = vec![(key("team"), mapped(&["claims.team"]))];
        let mut new = mapping();
        new.issuers[0].tags = vec![(key("team"), mapped(&["claims.group"]))];
        new.roles[0] = changed(&new.roles[0], change);
        let tried: Vec<_> = new.canaries_since(&old).iter().map(Canary::rule).collect();
        assert_eq!(tried, [0], "way {way}");
    }
    // What the gateway decides by itself changes no call.
    let own: [fn(&mut Role); 4] = [
        |role| role.when = None,
        |role| role.models = Some(vec![]),
        |role| role.operations = Some(vec![]),
        |role| role.concurrency = Some(1),
    ];
    for change in own {
        assert_eq!(tried(|new| new.roles[0] = changed(&new.roles[0], change)), [0; 0]);
    }
    assert_eq!(tried(|new| new.issuers[0].name = mapped(&["claims.sub"])), [0; 0]);
    assert_eq!(tried(|new| new.roles.swap(0, 1)), [0; 0]);
}

#[test]
fn a_change_of_an_issuer_concerns_the_roles_that_it_may_use() {
    assert_eq!(tried(|new| new.default_duration = Duration::from_secs(900)), [0, 1]);
    assert_eq!(tried(|new| new.issuers[0].source_identity = Some(mapped(&["claims.sub"]))), [0, 1]);
    assert_eq!(tried(|new| new.issuers[0].tags = vec![(key("team"), mapped(&["claims.team"]))]), [0, 1]);
    let second = |new: &mut Mapping| {
        let tags = vec![(key("app"), constant("ci"))];
        let (issuer, name) = ("ci".into(), mapped(&["claims.sub"]));
        let (request_headers, require) = (vec![], vec![]);
        new.issuers.push(IssuerMapping {
            issuer,
            request_headers,
            require,
            name,
            source_identity: None,
            tags,
        });
        for role in &mut new.roles {
            let of_acme = role.when.is_some();
            *role = changed(role, |role| role.issuers = of_acme.then(|| vec!["acme".into()]));
        }
    };
    assert_eq!(tried(second), [1]);
}

#[test]
fn rules_with_equal_parameters_are_tried_once() {
    let other = |name: &str| RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{name}")).unwrap();
    let both = tried(|new| {
        for role in &mut new.roles {
            *role = changed(role, |role| role.arn = other("Both"));
        }
    });
    assert_eq!(both, [0]);
}

/// The session names that the reload tries for a role with these patterns.
fn names(patterns: &[&str]) -> Vec<String> {
    let mut new = mapping();
    let parsed = patterns.iter().map(|text| NamePattern::parse(text).unwrap()).collect();
    new.roles = vec![changed(&new.roles[1], |role| {
        role.session_names = Some(parsed);
        role.duration = Some(Duration::from_secs(900));
    })];
    let canaries = new.canaries_since(&mapping());
    canaries.iter().map(|canary| canary.session().name().as_str().to_owned()).collect()
}

#[test]
fn a_canary_has_a_name_that_the_role_allows() {
    assert_eq!(names(&["*"]), ["bedrock-gateway-canary"]);
    let both = ["bedrock-gateway-canary@acme.org", "svc-bedrock-gateway-canary"];
    assert_eq!(names(&["*@acme.org", "svc-*", "alice@other.org"]), both);
    assert_eq!(names(&["svc-*-*@acme.org"]), ["svc-bedrock-gateway-canary-@acme.org"]);
    assert_eq!(names(&["alice@acme.org", "bob@acme.org"]), ["alice@acme.org"]);
    let long = format!("{}*", "x".repeat(60));
    assert_eq!(names(&[&long]), [format!("{}bedr", "x".repeat(60))]);
    assert_eq!(names(&["*==abcdefghijklmnop"]), [""; 0], "no name of a caller has this form");
}

#[test]
fn only_a_new_name_pattern_is_tried() {
    let with = |patterns: &[&str]| {
        let mut mapping = mapping();
        let parsed = patterns.iter().map(|text| NamePattern::parse(text).unwrap()).collect();
        mapping.roles = vec![changed(&mapping.roles[1], |role| role.session_names = Some(parsed))];
        mapping
    };
    let (one, two) = (with(&["*@a.org"]), with(&["*@a.org", "*@b.org"]));
    let tried = two.canaries_since(&one);
    assert_eq!(tried.len(), 1);
    assert_eq!(tried[0].session().name().as_str(), "bedrock-gateway-canary@b.org");
    assert_eq!(one.canaries_since(&two), []);
}
