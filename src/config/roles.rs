//! `[[role]]`: the role table, which gives callers an IAM role and limits its use.

use std::sync::Arc;
use std::time::Duration;

use super::aws::Aws;
use super::diagnostics::{Diagnostics, Span};
use super::issuers::{Issuer, are_unique};
use super::raw::{self, Spanned, Text};
use super::values::{condition, tell};
use super::{LONGEST_SESSION, SHORTEST_SESSION, role_arn, role_names};
use crate::attribution::arn::RoleArn;
use crate::attribution::tags::{MOST, TagKey};
use crate::identity::models::ModelPattern;
use crate::identity::name_pattern::NamePattern;
use crate::identity::role::Role;
use crate::route::Operation;
use crate::spelling::similar;

/// Characters of inline and managed policies together (STS API reference, `AssumeRole`).
// Assumption A12.
const LONGEST_POLICY: usize = 2048;
/// Managed policies of one session (the same).
const MOST_POLICIES: usize = 10;

/// A role rule and its places.
pub(super) struct Placed {
    pub(super) role: Role,
    /// The header of the table.
    pub(super) at: Span,
    pub(super) arn_at: Span,
}

impl Placed {
    /// Whether callers of `issuer` can match this rule.
    pub(super) fn is_for(&self, issuer: &str) -> bool {
        self.role.is_for(issuer)
    }
}

pub(super) fn roles(
    tables: &[Spanned<raw::Role>],
    issuers: &[Issuer],
    aws: &Aws,
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<Placed> {
    if tables.is_empty() {
        diagnostics.error_in(
            0..0,
            "role",
            "there is no role, so every request would be refused",
            "add a [[role]], and below it, for example, arn = \"arn:aws:iam::123456789012:role/BedrockUser\"",
        );
    }
    tables.iter().filter_map(|table| one(table, issuers, aws, diagnostics)).collect()
}

fn one(
    table: &Spanned<raw::Role>,
    all_issuers: &[Issuer],
    aws: &Aws,
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Placed> {
    let raw = table.get_ref();
    let issuers = issuers(table, all_issuers, diagnostics);
    let its_own: Vec<&Issuer> = all_issuers
        .iter()
        .filter(|issuer| issuers.as_ref().is_none_or(|names| names.contains(&issuer.settings.name)))
        .collect();
    let headers = common_headers(&its_own);
    let when =
        raw.when.as_ref().and_then(|when| condition(when.get_ref(), when.span(), &headers, diagnostics));
    let arn = role_arn::parsed(&raw.arn, aws, diagnostics);
    warn_of_models(raw.models.as_ref(), diagnostics);
    let session_names = raw.session_names.as_ref().map(|list| {
        role_names::warn(list, diagnostics);
        parsed(list, NamePattern::parse, role_names::HELP, role_names::fault, diagnostics)
    });
    check_external_id(raw.external_id.as_ref(), diagnostics);
    check_policies(raw, arn.as_ref(), diagnostics);
    let role = Role {
        when,
        issuers,
        external_id: raw.external_id.as_ref().map(|id| id.get_ref().clone()),
        session_names,
        duration: session_duration(raw.duration.as_ref(), diagnostics),
        policy: raw.policy.as_ref().map(|policy| policy.get_ref().as_str().into()),
        policy_arns: raw.policy_arns.iter().map(|arn| arn.get_ref().clone()).collect(),
        transitive_tags: transitive_tags(&raw.transitive_tags, &its_own, diagnostics),
        operations: raw.operations.as_ref().map(|list| operations(list, diagnostics)),
        models: raw.models.as_ref().map(|list| {
            let help =
                "write patterns, for example \"*anthropic.claude-*\", or remove the key to allow all models";
            let fault = |text: &str, fault| {
                (format!("\"{text}\" is not a valid model pattern: {fault}"), help.to_owned())
            };
            parsed(list, ModelPattern::parse, help, fault, diagnostics)
        }),
        regions: raw.regions.as_ref().map(|list| regions(list, aws, diagnostics)),
        projects: raw
            .projects
            .iter()
            .map(|project| {
                if project.get_ref().is_empty() {
                    diagnostics.error(
                        project.span(),
                        "it is an empty string",
                        "remove it, or write a project's id",
                    );
                }
                project.get_ref().clone()
            })
            .collect(),
        tell: tell(raw.tell.as_ref(), diagnostics),
        concurrency: diagnostics.number(raw.concurrency.as_ref(), 1..=super::limits::MOST),
        shared_names: raw.shared_names,
        arn: arn?,
    };
    // A role whose condition is invalid is not one that matches every caller.
    (role.when.is_some() == raw.when.is_some()).then(|| Placed {
        role,
        at: table.span(),
        arn_at: raw.arn.span(),
    })
}

fn operations(list: &Spanned<Vec<Text>>, diagnostics: &mut Diagnostics<'_>) -> Vec<Operation> {
    let names = Operation::ALL.map(Operation::as_str);
    let fault = |text: &str, _| {
        let intended = similar(text, names).or_else(|| names.into_iter().find(|name| name.contains(text)));
        (
            format!("there is no operation \"{text}\""),
            offered(intended, &format!("the operations are {}", names.join(", "))),
        )
    };
    let empty = format!("write some of {}, or remove the key for the default set", names.join(", "));
    parsed(list, str::parse::<Operation>, &empty, fault, diagnostics)
}

fn regions(list: &Spanned<Vec<Text>>, aws: &Aws, diagnostics: &mut Diagnostics<'_>) -> Vec<String> {
    let configured: Vec<&str> = aws.all_regions().collect();
    let known = |text: &str| configured.contains(&text).then(|| text.to_owned()).ok_or(());
    let all = format!("the regions are {}; add others to aws.regions first", configured.join(", "));
    let fault = |text: &str, ()| {
        let intended = similar(text, configured.iter().copied());
        (format!("the region \"{text}\" is not configured"), offered(intended, &all))
    };
    parsed(list, known, &format!("write some of {}", configured.join(", ")), fault, diagnostics)
}

/// The parsed values of a list that must not be empty. `fault` says what is wrong with a text, and what to write.
fn parsed<T, E>(
    list: &Spanned<Vec<Text>>,
    parse: impl Fn(&str) -> Result<T, E>,
    if_empty: &str,
    fault: impl Fn(&str, E) -> (String, String),
    diagnostics: &mut Diagnostics<'_>,
) -> Vec<T> {
    if list.get_ref().is_empty() {
        diagnostics.error(list.span(), "it is empty, so the role would allow nothing", if_empty);
    }
    let mut values = Vec::new();
    for text in list.get_ref() {
        match parse(text.get_ref()) {
            Ok(value) => values.push(value),
            Err(error) => {
                let (message, help) = fault(text.get_ref(), error);
                diagnostics.error(text.span(), message, help);
            }
        }
    }
    values
}

/// The value that was probably intended, if any, and a clause with all of them.
fn offered(intended: Option<&str>, all: &str) -> String {
    match intended {
        Some(intended) => format!("did you mean \"{intended}\"? ({all})"),
        None => all.to_owned(),
    }
}

fn issuers(
    table: &Spanned<raw::Role>,
    all: &[Issuer],
    diagnostics: &mut Diagnostics<'_>,
) -> Option<Vec<Arc<str>>> {
    let names: Vec<&str> = all.iter().map(|issuer| &*issuer.settings.name).collect();
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let some = format!("write issuers = [{}], or only some of them", quoted.join(", "));
    let Some(list) = &table.get_ref().issuers else {
        // Until the names are unique, no role can name its issuers.
        if all.len() > 1 && are_unique(all) {
            let message = "the key is missing, and there is more than one issuer";
            diagnostics.error_in(table.span(), "issuers", message, some);
        }
        return None;
    };
    if list.get_ref().is_empty() {
        diagnostics.error(list.span(), "it is empty, so the role matches no caller", some);
    }
    let mut known = Vec::new();
    for name in list.get_ref() {
        if let Some(issuer) = all.iter().find(|issuer| *issuer.settings.name == **name.get_ref()) {
            known.push(Arc::clone(&issuer.settings.name));
            continue;
        }
        let help = match similar(name.get_ref(), names.iter().copied()) {
            Some(intended) => format!("did you mean \"{intended}\"?"),
            None => format!("write the name of an [[issuer]]: {}", quoted.join(" or ")),
        };
        diagnostics.error(name.span(), format!("no issuer is named \"{name}\""), help);
    }
    Some(known)
}

/// The request headers that `when` can read: those that every issuer of the rule lists.
fn common_headers(issuers: &[&Issuer]) -> Vec<String> {
    let mut lists =
        issuers.iter().filter_map(|issuer| issuer.mapping.as_ref()).map(|mapping| &mapping.request_headers);
    let Some(first) = lists.next() else { return Vec::new() };
    let mut common = first.clone();
    lists.for_each(|list| common.retain(|name| list.contains(name)));
    common
}

/// Warns of patterns that begin like no id of a model.
fn warn_of_models(list: Option<&Spanned<Vec<Text>>>, diagnostics: &mut Diagnostics<'_>) {
    for text in list.into_iter().flat_map(|list| list.get_ref()) {
        let can_match = |pattern: &str| ModelPattern::parse(pattern).is_ok_and(|pattern| pattern.can_match());
        let (written, lower) = (text.get_ref().as_str(), text.get_ref().to_lowercase());
        if ModelPattern::parse(written).is_err() || can_match(written) {
            continue;
        }
        let instead = if can_match(&lower) { lower } else { format!("*{lower}") };
        diagnostics.warn(
            text.span(),
            format!(
                "\"{written}\" matches no model: ids begin with a provider or a geography, for example us.anthropic."
            ),
            format!("did you mean \"{instead}\"?"),
        );
    }
}

/// 2..1224 of `[\w+=,.@:/-]` (STS API reference, `AssumeRole`).
fn check_external_id(text: Option<&Text>, diagnostics: &mut Diagnostics<'_>) {
    let Some(text) = text else { return };
    let id = text.get_ref();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    if !(2..=1224).contains(&id.len()) || !id.bytes().all(legal) {
        let help = "use 2 to 1224 letters, digits and _+=,.@:/-";
        diagnostics.error(text.span(), "STS does not accept this external id", help);
    }
}

fn check_policies(raw: &raw::Role, role: Option<&RoleArn>, diagnostics: &mut Diagnostics<'_>) {
    if let Some(policy) = &raw.policy {
        let is_object = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(policy.get_ref());
        if let Err(error) = is_object {
            diagnostics.error(
                policy.span(),
                format!("the policy is not a JSON object: {error}"),
                "write an IAM policy document",
            );
        }
    }
    let inline = raw.policy.iter().map(|policy| policy.get_ref().chars().count()).sum::<usize>();
    let length = inline + raw.policy_arns.iter().map(|arn| arn.get_ref().chars().count()).sum::<usize>();
    if length > LONGEST_POLICY
        && let Some(first) = raw.policy.iter().chain(&raw.policy_arns).next()
    {
        let message = format!("policy and policy_arns have {length} characters together");
        diagnostics.error(
            first.span(),
            message,
            format!("STS accepts {LONGEST_POLICY}; put the policy into the role itself"),
        );
    }
    if let Some(eleventh) = raw.policy_arns.get(MOST_POLICIES) {
        let message = format!("there are {} managed policies", raw.policy_arns.len());
        diagnostics.error(
            eleventh.span(),
            message,
            format!("a session has at most {MOST_POLICIES}; remove some"),
        );
    }
    for arn in &raw.policy_arns {
        let parts: Vec<&str> = arn.get_ref().splitn(6, ':').collect();
        let fits = match (parts.as_slice(), role) {
            (&["arn", partition, "iam", "", account, resource], role) => {
                resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty())
                    && role.is_none_or(|role| {
                        partition == role.partition() && (account == "aws" || account == role.account())
                    })
            }
            _ => false,
        };
        if !fits {
            let message = format!("\"{arn}\" is not a managed policy of the role's account");
            diagnostics.error(
                arn.span(),
                message,
                "write, for example, arn:aws:iam::123456789012:policy/Name, in the role's account or AWS's own",
            );
        }
    }
}

fn transitive_tags(keys: &[Text], issuers: &[&Issuer], diagnostics: &mut Diagnostics<'_>) -> Vec<TagKey> {
    let mut tags: Vec<TagKey> = Vec::new();
    for (index, text) in keys.iter().enumerate() {
        let mut mappings = issuers.iter().filter_map(|issuer| issuer.mapping.as_ref());
        let Ok(key) = TagKey::parse(text.get_ref()) else {
            diagnostics.error(
                text.span(),
                format!("\"{text}\" cannot be a tag key"),
                "write the key of a session tag",
            );
            continue;
        };
        if !mappings.any(|mapping| mapping.tags.iter().any(|(tag, _)| *tag == key)) {
            let message = format!("no issuer of this role has a tag \"{text}\"");
            diagnostics.error(text.span(), message, "write keys of [issuer.session.tags]");
        }
        if tags.contains(&key) || index == MOST {
            let message = format!("\"{text}\" is a duplicate, or the {}th key", MOST + 1);
            diagnostics.error(text.span(), message, format!("write each key once, and at most {MOST} keys"));
        }
        tags.push(key);
    }
    tags
}

/// A session's lifetime, within the limits of STS (`DurationSeconds`).
pub(super) fn session_duration(text: Option<&Text>, diagnostics: &mut Diagnostics<'_>) -> Option<Duration> {
    diagnostics.duration(text, SHORTEST_SESSION..=LONGEST_SESSION)
}
