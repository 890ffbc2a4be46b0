//! The mapping that fits a sample: the starting point's, without what the sample has no claims for, and with what its
//! other claims suggest.

use http::HeaderMap;
use serde_json::{Map, Value};

use super::answers::{Answers, Pair};
use super::draft::{Draft, TAGS, UNALLOCATED, line, tags_of};
use super::sample::Sample;
use crate::config::Config;
use crate::expression::Expression;
use crate::identity::IssuerMapping;
use crate::identity::explain::{Condition, Explanation, Made, Target};

/// Claims that say who belongs to what. A requirement that reads one can be left for later; every other one says which
/// tokens these are.
const MEMBERSHIP: [&str; 3] = ["groups", "roles", "resource_access"];
/// Claims with lists of names.
const LISTS: [&str; 4] = ["groups", "roles", "cognito:groups", "teams"];

/// A tag, and the claims that usually have its value: names of claims, and beginnings of group names.
struct Usual {
    tag: &'static str,
    beginnings: &'static [&'static str],
    claims: &'static [&'static str],
}

const USUAL: [Usual; 3] = [
    Usual {
        tag: "team",
        beginnings: &["team-", "team.", "team_", "team:", "/teams/", "teams/"],
        claims: &["team", "department", "division"],
    },
    Usual {
        tag: "cost-center",
        beginnings: &["cc-", "cost-center-"],
        claims: &["cost_center", "cost-center", "costCenter", "costcenter", "cost_centre", "costCentre"],
    },
    Usual { tag: "project", beginnings: &["project-"], claims: &["project"] },
];

/// Adapts the draft to the sample. `config` is the draft's. Returns notes about each change.
pub(super) fn fit(draft: &mut Draft, answers: &Answers, sample: &Sample, config: &Config) -> Vec<String> {
    let Some(mapping) = config.mapping.issuers.first() else { return Vec::new() };
    let claims = &sample.claims;
    let explanation = config.mapping.explain(&mapping.issuer, claims, &HeaderMap::new());
    let mut notes = Vec::new();
    signature(draft, sample, &mut notes);
    let renamed = name(draft, mapping, &explanation, claims, &mut notes);
    requirements(draft, mapping, &explanation, renamed, &mut notes);
    if answers.tags.is_empty() {
        tags(draft, &explanation, claims, &mut notes);
    }
    notes
}

/// Accepts the algorithm of the sample's signature.
fn signature(draft: &mut Draft, sample: &Sample, notes: &mut Vec<String>) {
    if let Some(algorithm) = &sample.algorithm
        && !["RS256", "ES256"].contains(&algorithm.as_str())
        && !draft.issuer.contains("\nalgorithms = ")
    {
        let name = Value::from(algorithm.as_str()).to_string();
        draft.issuer = [&draft.issuer, "\nalgorithms = [", &name, "]"].concat();
        notes.push(format!("the sample is signed with {algorithm}, so algorithms has it"));
    }
}

/// Names callers by another claim if the sample lacks that of the starting point, or does not vouch for it. Returns
/// whether it did.
fn name(
    draft: &mut Draft,
    mapping: &IssuerMapping,
    explanation: &Explanation,
    claims: &Map<String, Value>,
    notes: &mut Vec<String>,
) -> bool {
    let reads = |claim: &str| mapping.name.from.iter().any(|from| reads(from, claim));
    let is_text = |claim: &str| claims.get(claim).is_some_and(Value::is_string);
    let is_verified = claims.get("email_verified") == Some(&Value::Bool(true));
    let has_other_address = is_verified && is_text("email") && !reads("email");
    let made = explanation.values.iter().find(|made| made.target == Target::Name);
    let fits = match made.map(|made| &made.outcome) {
        Some(Ok(Some(text))) => text.replaced.is_none() || !has_other_address,
        _ => false,
    };
    if fits && (!reads("email") || is_verified) || !has_other_address && !is_text("sub") {
        return false;
    }
    let (claim, why) = if has_other_address {
        ("email", "The sample has no readable value for the name of the starting point.")
    } else {
        (
            "sub",
            "The sample has no verified e-mail address. sub means one person, but says little in the bill.",
        )
    };
    draft.session = format!("[issuer.session]\n# {why}\nname = \"claims.{claim}\"");
    if claim == "email" {
        draft.requirements.push("[[issuer.require]]\nexpression = \"claims.email_verified\"\nmessage = \"the e-mail address is not verified\"".to_owned());
    }
    notes.push(format!(
        "the session name is claims.{claim}, because that of the starting point does not fit the sample"
    ));
    true
}

/// Takes requirements of membership that the sample does not meet out of force.
fn requirements(
    draft: &mut Draft,
    mapping: &IssuerMapping,
    explanation: &Explanation,
    renamed: bool,
    notes: &mut Vec<String>,
) {
    let steps = mapping.require.iter().zip(&explanation.requirements);
    for ((requirement, step), text) in steps.zip(&mut draft.requirements) {
        if step.outcome == Condition::Met {
            continue;
        }
        let is_address = renamed && reads(&requirement.expression, "email_verified");
        if is_address || MEMBERSHIP.iter().any(|claim| reads(&requirement.expression, claim)) {
            let commented =
                |line: &str| if line.starts_with('#') { line.to_owned() } else { format!("# {line}") };
            let head =
                "# Not in force, because the sample does not meet it. Remove the # to require it.".to_owned();
            *text = std::iter::once(head).chain(text.lines().map(commented)).collect::<Vec<_>>().join("\n");
            notes.push(format!(
                "a requirement is not in force, because the sample does not meet it: {}",
                requirement.expression.source()
            ));
        }
    }
}

/// Keeps the tags that have a value, and adds those that other claims suggest.
fn tags(draft: &mut Draft, explanation: &Explanation, claims: &Map<String, Value>, notes: &mut Vec<String>) {
    let mut kept: Vec<String> = Vec::new();
    let mut keys: Vec<String> = Vec::new();
    let mut lost: Vec<&str> = Vec::new();
    let mut comments: Vec<&str> = Vec::new();
    for line in draft.tags.lines().skip_while(|line| *line != TAGS).skip(1) {
        let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) else {
            comments.push(line);
            continue;
        };
        let has_value = |made: &Made| {
            let is_it = matches!(&made.target, Target::Tag(tag) if tag == key.trim_matches('"'));
            is_it && matches!(&made.outcome, Ok(Some(text)) if text.value != UNALLOCATED)
        };
        if explanation.values.iter().any(has_value) {
            kept.extend(comments.drain(..).map(str::to_owned));
            kept.push(line.to_owned());
            keys.push(key.to_owned());
        } else {
            comments.clear();
            lost.push(key);
        }
    }
    for usual in &USUAL {
        if keys.iter().any(|key| key == usual.tag) {
            continue;
        }
        if let Some(value) = usual.claim(claims) {
            notes.push(format!("the tag {} is {value}", usual.tag));
            kept.push(line(&Pair { key: usual.tag.to_owned(), value }));
            keys.push(usual.tag.to_owned());
        }
    }
    for key in lost.into_iter().filter(|key| keys.iter().all(|kept| kept != key)) {
        notes.push(format!(
            "the tag {key} is left out: the sample has no value for it; --tag {key}=CLAIM adds it"
        ));
    }
    if kept.is_empty() {
        kept.push("# No claim of the sample looks like a team or a cost center. For example:".to_owned());
        kept.push(format!("# team = {{ from = \"claims.department\", default = \"{UNALLOCATED}\" }}"));
    }
    draft.tags = tags_of(kept.into_iter());
}

impl Usual {
    /// The expression of the claim that has the value; `None` if no claim looks like it.
    fn claim(&self, claims: &Map<String, Value>) -> Option<String> {
        let groups = |list: &'static str| {
            let names = claims.get(list)?.as_array()?.iter().filter_map(Value::as_str);
            let begins = |name: &str| {
                let fits = |begin: &&&str| name.len() > begin.len() && name.starts_with(**begin);
                self.beginnings.iter().find(fits)
            };
            let begin = names.into_iter().find_map(begins)?;
            let list = super::draft::expression(list);
            let length = begin.len();
            Some(format!("{list}.filter(g, g.startsWith('{begin}'))[0].substring({length})"))
        };
        let is_simple = |value: &Value| match value {
            Value::String(text) => !text.trim().is_empty(),
            Value::Number(number) => number.is_i64() || number.is_u64(),
            _ => false,
        };
        LISTS.into_iter().find_map(groups).or_else(|| {
            let found = self.claims.iter().find(|claim| claims.get(**claim).is_some_and(is_simple));
            found.map(|claim| super::draft::expression(claim))
        })
    }
}

fn reads(expression: &Expression, claim: &str) -> bool {
    expression.claims_read().any(|read| read == claim)
}
