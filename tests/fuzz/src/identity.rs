//! The mapping of two arbitrary sets of claims: STS accepts the result, and different callers get different names.

use std::sync::LazyLock;

use bedrock_bed::Setup;
use bedrock_gateway::config::Config;
use bedrock_gateway::identity::Mapping;
use bedrock_gateway::identity::explain::Becomes;
use http::HeaderMap;
use regex::Regex;
use serde_json::{Map, Value};

const CLAIMS: &str = r#"
[[issuer.require]]
expression = "claims.email != 'blocked'"
message = "blocked"
[issuer.session]
name = "claims.email"
source_identity = { from = ["claims.sub", "claims.groups[0]"], required = false }
[issuer.session.tags]
team = { from = ["claims.team"], default = "none" }
groups = { from = ["claims.groups.join('/')", "claims.groups.filter(g, g.startsWith('cc-'))[0]"], required = false }
fixed = { value = "yes" }
"#;

const ROLES: &str = r#"
[[role]]
when = "'ml' in claims.groups || claims.team.matches('^[a-z]+$')"
arn = "arn:aws:iam::123456789012:role/Ml"
transitive_tags = ["team"]
[[role]]
arn = "arn:aws:iam::123456789012:role/User"
"#;

static MAPPING: LazyLock<Mapping> = LazyLock::new(|| {
    let text = Setup { mapping: CLAIMS, roles: ROLES, ..Setup::default() }.text();
    Config::parse(&text, "fuzz.toml", &|_| None).unwrap_or_else(|faults| panic!("{faults}")).mapping
});

/// STS's patterns, from its service model (`AssumeRole`).
static NAME: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A[A-Za-z0-9_+=,.@-]{2,64}\z").unwrap());
static TAG: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\A[\p{L}\p{Z}\p{N}_.:/=+\-@]*\z").unwrap());

pub(crate) fn check(data: &[u8]) {
    let mut sets = serde_json::Deserializer::from_slice(data).into_iter::<Map<String, Value>>();
    let mut next = || {
        let claims = sets.next()?.ok()?;
        let becomes = MAPPING.explain("acme", &claims, &HeaderMap::new()).outcome.ok()?;
        assert!(claims.get("email").is_some_and(Value::is_string), "a name comes from a string");
        legal(&becomes);
        Some((claims, becomes))
    };
    let (Some((first, one)), Some((second, other))) = (next(), next()) else { return };
    if let (Some(Value::String(name)), Some(Value::String(another))) =
        (first.get("email"), second.get("email"))
    {
        assert_eq!(name == another, one.session_name == other.session_name, "{name:?} and {another:?}");
    }
    if let (Some(Value::String(team)), Some(Value::String(another))) = (first.get("team"), second.get("team"))
        && ![team.as_str(), another].iter().any(|team| ["", "none"].contains(team))
    {
        assert_eq!(team == another, tag(&one, "team") == tag(&other, "team"), "{team:?} and {another:?}");
    }
    if first == second {
        assert_eq!(one, other, "equal claims must have equal identities");
    }
}

fn legal(becomes: &Becomes) {
    for name in [Some(&becomes.session_name), becomes.source_identity.as_ref()].into_iter().flatten() {
        assert!(NAME.is_match(name), "STS rejects the name {name:?}");
    }
    assert!(becomes.tags.len() <= 50);
    for (key, value) in &becomes.tags {
        assert!(TAG.is_match(value) && value.chars().count() <= 256, "STS rejects the tag {key} = {value:?}");
    }
    assert_eq!(tag(becomes, "fixed"), Some("yes"));
}

fn tag<'a>(becomes: &'a Becomes, wanted: &str) -> Option<&'a str> {
    becomes.tags.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
}
