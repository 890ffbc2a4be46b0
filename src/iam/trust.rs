//! The trust policies of invocation roles: who may assume them, and with which names and tags.
//!
//! STS decides about three actions when the gateway calls `AssumeRole`: `AssumeRole` itself, `TagSession` if there are
//! tags, and `SetSourceIdentity` if there is a source identity. Each has a statement of its own, because the request
//! carries some condition keys for some of the actions only. A condition on a missing key would deny them all.

use crate::attribution::tags::TagKey;
use crate::iam::document::{Operator, Policy, Principal, Statement};
use crate::iam::size::{self, TRUST};
use crate::iam::{IamError, Invoked, Options, RoleRule, World};
use crate::identity::IssuerMapping;
use crate::identity::mapped_value::MappedValue;
use crate::identity::name_pattern::NamePattern;

/// The tags that EKS Pod Identity gives the gateway's own session. All of them are transitive, so every session of a
/// caller inherits them (EKS user guide, "Grant pods access to AWS resources based on tags").
// Assumption A48.
pub const EKS_TAGS: [&str; 6] = [
    "eks-cluster-arn",
    "eks-cluster-name",
    "kubernetes-namespace",
    "kubernetes-service-account",
    "kubernetes-pod-name",
    "kubernetes-pod-uid",
];

/// Names and source identities that the gateway replaced: their legal characters and a hash (see `attribution`).
const REPLACED: &str = "*==????????????????";
/// Any value that is not empty. The gateway sends no empty tag: an empty claim is a missing one.
const ANY: &str = "?*";

/// The requests that STS must accept for the callers of one issuer who match one rule.
#[derive(Default)]
struct Admission<'a> {
    external_id: Option<&'a str>,
    /// Patterns of session names; none allow every name.
    names: Vec<String>,
    tags: Tags<'a>,
    source_identity: Option<SourceIdentity>,
}

#[derive(Default)]
struct Tags<'a> {
    keys: Vec<&'a str>,
    /// Those that every session has.
    required: Vec<&'a str>,
    transitive: Vec<&'a str>,
}

struct SourceIdentity {
    /// Whether every session has one.
    required: bool,
    patterns: Vec<String>,
}

/// Makes one statement of an admission, if it needs it.
type Make<'a> = dyn Fn(&Admission<'_>) -> Option<Statement> + 'a;

/// The trust policy of a role.
///
/// # Errors
/// When it is larger than IAM accepts.
pub(super) fn of(role: &Invoked<'_>, world: &World<'_>) -> Result<Policy, IamError> {
    let of_rule = |rule| admissions(rule, world.options);
    let admissions: Vec<Admission<'_>> = role.rules.iter().flat_map(of_rule).collect();
    let principal = || Principal::Aws(world.gateway.as_str().to_owned());
    let mut statements = Vec::new();
    let kinds: [(&str, &Make<'_>); 3] = [
        ("AssumeRole", &|admission| Some(assume(admission))),
        ("TagSession", &|admission| tag(&admission.tags, world.options)),
        ("SetSourceIdentity", &set_source_identity),
    ];
    for (name, make) in kinds {
        let mut distinct: Vec<Statement> = Vec::new();
        for statement in admissions.iter().filter_map(make) {
            if !distinct.contains(&statement) {
                distinct.push(statement);
            }
        }
        statements.extend(
            distinct
                .into_iter()
                .enumerate()
                .map(|(index, statement)| statement.named(numbered(name, index)).of(principal())),
        );
    }
    let policy = Policy::new(statements);
    let what = || format!("the trust policy of {}", role.arn.as_str());
    size::check(&policy, &TRUST, what)?;
    Ok(policy)
}

/// The name of the statement at `index`: the first one has no number.
pub(super) fn numbered(name: &str, index: usize) -> String {
    if index == 0 { name.to_owned() } else { format!("{name}{}", index + 1) }
}

/// Whether any session of the role has tags, its own or inherited ones.
pub(super) fn has_tags(role: &Invoked<'_>, options: &Options) -> bool {
    options.inherits_tags() || issuers(role).any(|issuer| !issuer.tags.is_empty())
}

/// Whether any session of the role has a source identity.
pub(super) fn has_source_identity(role: &Invoked<'_>) -> bool {
    issuers(role).any(|issuer| issuer.source_identity.is_some())
}

fn issuers<'a>(role: &'a Invoked<'_>) -> impl Iterator<Item = &'a IssuerMapping> {
    role.rules.iter().flat_map(|rule| rule.issuers.iter().copied())
}

fn admissions<'a>(rule: &'a RoleRule<'_>, options: &Options) -> Vec<Admission<'a>> {
    let of_issuer = |issuer: &&'a IssuerMapping| {
        let names = session_names(rule);
        let is_always_set =
            |value: &MappedValue| value.required || value.constant.is_some() || value.default.is_some();
        let mut tags = Tags {
            keys: issuer.tags.iter().map(|(key, _)| key.as_str()).collect(),
            required: issuer
                .tags
                .iter()
                .filter(|(_, value)| is_always_set(value))
                .map(|(key, _)| key.as_str())
                .collect(),
            transitive: rule.role.transitive_tags.iter().map(TagKey::as_str).collect(),
        };
        tags.transitive.retain(|key| tags.keys.contains(key));
        if options.inherits_tags() {
            tags.keys.extend(EKS_TAGS);
            if !tags.transitive.is_empty() {
                tags.transitive.extend(EKS_TAGS);
            }
        }
        let source_identity = issuer.source_identity.as_ref().map(|value| SourceIdentity {
            required: is_always_set(value),
            // A source identity that is made like the session name obeys the same patterns.
            patterns: if *value == issuer.name && !names.is_empty() {
                names.clone()
            } else {
                vec![ANY.to_owned()]
            },
        });
        Admission { external_id: rule.role.external_id.as_deref(), names, tags, source_identity }
    };
    rule.issuers.iter().map(of_issuer).collect()
}

/// The patterns of the session names that the rule permits, and of replaced names; none if it permits all.
fn session_names(rule: &RoleRule<'_>) -> Vec<String> {
    let Some(patterns) = &rule.role.session_names else { return Vec::new() };
    // The gateway compares the value before the replacement, so the pattern of replaced names admits no other caller.
    patterns.iter().map(NamePattern::as_str).chain([REPLACED]).map(str::to_owned).collect()
}

/// The conditions on tags and source identity are here too: a request without tags asks for no `TagSession`, and one
/// without a source identity for no `SetSourceIdentity`, so the other statements would not refuse it.
fn assume(admission: &Admission<'_>) -> Statement {
    let mut statement = Statement::allow("", ["sts:AssumeRole"]);
    if let Some(id) = admission.external_id {
        statement = statement.when(Operator::StringEquals, "sts:ExternalId", [id]);
    }
    if !admission.names.is_empty() {
        statement = statement.when(Operator::StringLike, "sts:RoleSessionName", &admission.names);
    }
    statement = with_required(statement, &admission.tags);
    match &admission.source_identity {
        Some(identity) if identity.required => {
            statement.when(Operator::StringLike, "sts:SourceIdentity", &identity.patterns)
        }
        _ => statement,
    }
}

fn tag(tags: &Tags<'_>, options: &Options) -> Option<Statement> {
    if tags.keys.is_empty() {
        return None;
    }
    let mut statement = Statement::allow("", ["sts:TagSession"]).when(
        Operator::ForAllValuesStringEquals,
        "aws:TagKeys",
        tags.keys.iter().copied(),
    );
    // `ForAllValues` is true of a request without tags. If all tags of a session are inherited, `aws:TagKeys` may be
    // missing: AWS does not document whether it counts them.
    if !options.inherits_tags() || !tags.required.is_empty() {
        statement = statement.when(Operator::Null, "aws:TagKeys", ["false"]);
    }
    statement = with_required(statement, tags);
    if !tags.transitive.is_empty() {
        let keys = tags.transitive.iter().copied();
        statement = statement.when(Operator::ForAllValuesStringEquals, "sts:TransitiveTagKeys", keys);
    }
    Some(statement)
}

fn with_required(statement: Statement, tags: &Tags<'_>) -> Statement {
    tags.required.iter().fold(statement, |statement, key| {
        statement.when(Operator::StringLike, format!("aws:RequestTag/{key}"), [ANY])
    })
}

fn set_source_identity(admission: &Admission<'_>) -> Option<Statement> {
    let identity = admission.source_identity.as_ref()?;
    let statement = Statement::allow("", ["sts:SetSourceIdentity"]);
    Some(statement.when(Operator::StringLike, "sts:SourceIdentity", &identity.patterns))
}
