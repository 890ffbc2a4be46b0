//! The explanation for scripts: one JSON object with the field names of the access log. Unknown values are left
//! out.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Basis, Holder, Report};
use crate::cli::call::CallRefusal;
use crate::config::Config;
use crate::identity::explain::{
    Becomes, Condition, Explanation, Made, RequirementOutcome, Rule, RuleOutcome, Target,
};
use crate::reason::Reason;

pub(super) fn of(report: &Report<'_>) -> Value {
    let holder = &report.holder;
    let mut object = match &holder.basis {
        Basis::Refused { error, why } => json!({
            "token": "rejected",
            "unverified": unverified(holder),
            "reason": error.reason().as_str(),
            "detail": why,
        }),
        basis => json!({
            "token": if matches!(basis, Basis::Verified) { "verified" } else { "not_checked" },
            "issuer": holder.issuer,
            "subject": holder.subject,
            "jti": holder.jti,
        }),
    };
    if let (Some(explanation), Value::Object(members)) = (&report.explanation, &mut object) {
        members.extend(explained(explanation, report.config));
        members.insert("notes".to_owned(), json!(report.notes));
        if let Some(CallRefusal { reason, detail }) = &report.refusal {
            members.insert("reason".to_owned(), reason.as_str().into());
            members.insert("detail".to_owned(), detail.as_str().into());
        }
    }
    without_nulls(object)
}

/// The claims that a rejected token makes about itself.
fn unverified(holder: &Holder) -> Value {
    let said = holder.issuer.is_some() || holder.subject.is_some();
    if !said {
        return Value::Null;
    }
    without_nulls(json!({ "issuer": holder.issuer, "subject": holder.subject }))
}

fn explained(explanation: &Explanation, config: &Config) -> Map<String, Value> {
    let replaced: BTreeMap<_, _> = explanation.values.iter().filter_map(replaced).collect();
    let steps = json!({
        "requirements": explanation.requirements.iter().map(requirement).collect::<Vec<_>>(),
        "roles": explanation.rules.iter().enumerate().map(rule).collect::<Vec<_>>(),
        "replaced": replaced,
    });
    let outcome = match &explanation.outcome {
        Ok(becomes) => identity(becomes, config),
        Err(error) => json!({ "reason": error.reason().as_str(), "detail": error.to_string() }),
    };
    [steps, outcome].into_iter().filter_map(|part| part.as_object().cloned()).flatten().collect()
}

fn identity(becomes: &Becomes, config: &Config) -> Value {
    let tags: BTreeMap<_, _> = becomes.tags.iter().map(|(key, value)| (key, value)).collect();
    let mut report: BTreeMap<_, _> =
        // Assumption A2.
        becomes.tags.iter().map(|(key, value)| (format!("iamPrincipal/{key}"), value)).collect();
    report.insert("line_item_iam_principal".to_owned(), &becomes.principal);
    let every = || config.aws.all_regions().map(str::to_owned).collect();
    json!({
        "role_rule": becomes.rule,
        "role_arn": becomes.role_arn,
        "session_name": becomes.session_name,
        "source_identity": becomes.source_identity,
        "principal": becomes.principal,
        "tags": tags,
        "report": report,
        "session_names": becomes.session_names,
        "operations": becomes.operations,
        "models": becomes.models,
        "regions": becomes.regions.clone().unwrap_or_else(every),
        "projects": becomes.projects,
        "reason": Reason::Ok.as_str(),
    })
}

fn requirement(requirement: &RequirementOutcome) -> Value {
    let RequirementOutcome { expression, message, outcome } = requirement;
    let (outcome, detail) = match outcome {
        Condition::Met => ("met", None),
        Condition::NotMet => ("not_met", None),
        Condition::Missing => ("missing", None),
        Condition::Failed(error) => ("failed", Some(error.to_string())),
    };
    without_nulls(
        json!({ "expression": expression, "message": message, "outcome": outcome, "detail": detail }),
    )
}

fn rule((index, rule): (usize, &Rule)) -> Value {
    let (outcome, detail) = match &rule.outcome {
        RuleOutcome::Matches => ("matches", None),
        RuleOutcome::DoesNotMatch => ("does_not_match", None),
        RuleOutcome::OtherIssuers => ("other_issuers", None),
        RuleOutcome::Failed(error) => ("failed", Some(error.to_string())),
    };
    without_nulls(json!({
        "role_rule": index,
        "role_arn": rule.role_arn,
        "when": rule.when,
        "outcome": outcome,
        "detail": detail,
    }))
}

/// The original of a replaced value, by `name`, `source_identity` or tag key.
fn replaced(made: &Made) -> Option<(&str, &str)> {
    let original = made.outcome.as_ref().ok()?.as_ref()?.replaced.as_deref()?;
    let target = match &made.target {
        Target::Name => "name",
        Target::SourceIdentity => "source_identity",
        Target::Tag(key) => key,
    };
    Some((target, original))
}

fn without_nulls(mut object: Value) -> Value {
    if let Value::Object(members) = &mut object {
        members.retain(|_, value| !value.is_null());
    }
    object
}
