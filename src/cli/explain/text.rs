//! The explanation as text: sections of labelled lines.

use std::fmt::Write as _;

use super::{Basis, Holder, Report};
use crate::attribution::session_name::SessionName;
use crate::attribution::tags::TagValue;
use crate::cli::call::CallRefusal;
use crate::config::Config;
use crate::expression::{Expression, Input};
use crate::identity::explain::{
    Becomes, Condition, Explanation, Made, RequirementOutcome, Rule, RuleOutcome, Target,
};
use crate::style::legible;

pub(super) fn of(report: &Report<'_>, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    holder(&report.holder, &mut page);
    for note in &report.notes {
        page.line("note", &legible(note));
    }
    if let Some(explanation) = &report.explanation {
        steps(report, explanation, &mut page);
        if let Ok(becomes) = &explanation.outcome {
            bill(becomes, &mut page);
            allowed(becomes, report.config, &mut page);
        }
    }
    outcome(report, &mut page);
    page.text
}

/// The result of a step, which decides its colour.
#[derive(Clone, Copy)]
enum Sign {
    Good,
    Bad,
    Neutral,
}

struct Page {
    text: String,
    colour: bool,
}

impl Page {
    /// A label and its value.
    fn line(&mut self, label: &str, value: &str) {
        /// Room for `iamPrincipal/cost-center`.
        const WIDTH: usize = 25;
        // Writing to a String cannot fail.
        let _written = writeln!(self.text, "{label:WIDTH$} {value}");
    }

    fn heading(&mut self, words: &str) {
        let _written = writeln!(self.text, "\n{words}");
    }

    fn painted(&self, sign: Sign, words: &str) -> String {
        match (sign, self.colour) {
            (Sign::Good, true) => format!("\x1b[32m{words}\x1b[0m"),
            (Sign::Bad, true) => format!("\x1b[31m{words}\x1b[0m"),
            (Sign::Neutral, _) | (_, false) => words.to_owned(),
        }
    }

    /// A step with its outcome and the details.
    fn step(&mut self, label: &str, sign: Sign, outcome: &str, details: &str) {
        let outcome = self.painted(sign, outcome);
        self.line(label, &format!("{outcome}: {}", legible(details)));
    }
}

fn holder(holder: &Holder, page: &mut Page) {
    let (issuer, subject) = match &holder.basis {
        Basis::Refused { why, .. } => {
            page.step("token", Sign::Bad, "rejected", why);
            ("issuer (unverified)", "subject (unverified)")
        }
        Basis::Verified => {
            page.step("token", Sign::Good, "verified", "signature and claims are valid");
            ("issuer", "subject")
        }
        Basis::Unchecked => {
            page.line("claims", "from file, signature not checked");
            ("issuer", "subject")
        }
    };
    for (label, text) in [(issuer, &holder.issuer), (subject, &holder.subject), ("jti", &holder.jti)] {
        if let Some(text) = text {
            page.line(label, &legible(text));
        }
    }
}

fn steps(report: &Report<'_>, explanation: &Explanation, page: &mut Page) {
    for (index, requirement) in explanation.requirements.iter().enumerate() {
        requirement_line(index, requirement, report, page);
    }
    for (index, rule) in explanation.rules.iter().enumerate() {
        rule_line(index, rule, report, page);
    }
    for made in &explanation.values {
        made_line(made, page);
    }
}

/// Names the claims that the expression reads and that the caller does not have; `None` if there are none.
fn missing(expression: Option<&Expression>, report: &Report<'_>) -> Option<String> {
    let is_missing = |name: &&str| report.claims.get(*name).is_none_or(serde_json::Value::is_null);
    Input::name_missing(expression?.claims_read().filter(is_missing))
}

fn requirement_line(index: usize, requirement: &RequirementOutcome, report: &Report<'_>, page: &mut Page) {
    let RequirementOutcome { expression, message, outcome } = requirement;
    let label = format!("require[{index}]");
    match outcome {
        Condition::Met => page.step(&label, Sign::Good, "met", expression),
        Condition::NotMet => page.step(&label, Sign::Bad, "not met", &format!("{expression} ({message})")),
        Condition::Missing => {
            let mappings = &report.config.mapping.issuers;
            let mapping =
                mappings.iter().find(|mapping| Some(&*mapping.issuer) == report.holder.issuer.as_deref());
            let compiled = mapping.and_then(|mapping| mapping.require.get(index));
            let why = missing(compiled.map(|requirement| &requirement.expression), report);
            let why = why.unwrap_or_else(|| "a value that it reads is missing".to_owned());
            page.step(&label, Sign::Bad, "not met", &format!("{expression}: {why} ({message})"));
        }
        Condition::Failed(error) => {
            page.step(&label, Sign::Bad, "failed", &format!("{expression} ({error})"));
        }
    }
}

fn rule_line(index: usize, rule: &Rule, report: &Report<'_>, page: &mut Page) {
    let label = format!("role[{index}]");
    let when = rule.when.as_deref().unwrap_or_default();
    let compiled = report.config.mapping.roles.get(index);
    match &rule.outcome {
        RuleOutcome::Matches if rule.when.is_none() => {
            let matches = page.painted(Sign::Good, "matches");
            page.line(&label, &format!("{matches} (no condition)"));
        }
        RuleOutcome::Matches => page.step(&label, Sign::Good, "matches", when),
        RuleOutcome::DoesNotMatch => {
            let missing = missing(compiled.and_then(|role| role.when.as_ref()), report);
            let details = missing.map_or_else(|| when.to_owned(), |missing| format!("{when} ({missing})"));
            page.step(&label, Sign::Neutral, "does not match", &details);
        }
        RuleOutcome::OtherIssuers => {
            let names = compiled.and_then(|role| role.issuers.as_ref());
            let names = names.map(|names| names.join(", ")).unwrap_or_default();
            page.step(&label, Sign::Neutral, "skipped", &format!("only for issuer {names}"));
        }
        RuleOutcome::Failed(error) => page.step(&label, Sign::Bad, "failed", &format!("{when} ({error})")),
    }
    if rule.outcome == RuleOutcome::Matches {
        page.line("role ARN", &rule.role_arn);
    }
}

fn made_line(made: &Made, page: &mut Page) {
    let label = match &made.target {
        Target::Name => "session name".to_owned(),
        Target::SourceIdentity => "source identity".to_owned(),
        Target::Tag(key) => format!("tag {key}"),
    };
    match &made.outcome {
        Ok(Some(text)) => {
            let value = legible(&text.value);
            match &text.replaced {
                Some(original) => {
                    let cause = cause(&made.target, original);
                    page.line(&label, &format!("{value} (changed: {cause}; original {original:?})"));
                }
                None => page.line(&label, &value),
            }
        }
        Ok(None) => page.line(&label, "left out: the claim or header that it reads is missing"),
        Err(error) => page.step(&label, Sign::Bad, "refused", &error.to_string()),
    }
}

/// The cause for which AWS would not accept the original of a replaced value.
fn cause(target: &Target, original: &str) -> &'static str {
    // A single legal character is a legal tag value; a session name has two characters at least.
    let is_legal = |c: char| match target {
        Target::Tag(_) => TagValue::exact(&c.to_string()).is_ok(),
        Target::Name | Target::SourceIdentity => SessionName::exact(&format!("{c}{c}")).is_ok(),
    };
    if original.chars().all(is_legal) {
        "too long or too short for AWS, or it ends like a replaced value"
    } else {
        "contains characters AWS does not allow"
    }
}

fn bill(becomes: &Becomes, page: &mut Page) {
    page.heading("In the Cost and Usage Report");
    page.line("line_item_iam_principal", &becomes.principal);
    for (key, value) in &becomes.tags {
        page.line(&format!("iamPrincipal/{key}"), &legible(value));
    }
}

fn allowed(becomes: &Becomes, config: &Config, page: &mut Page) {
    page.heading("Allowed with this role");
    let operations = becomes.operations.as_ref().map(|names| names.join(", "));
    let default = "default set (no access to stored responses and jobs)";
    page.line("operations", operations.as_deref().unwrap_or(default));
    if let Some(names) = &becomes.session_names {
        page.line("session names", &names.join(", "));
    }
    let models = becomes.models.as_ref().map(|patterns| patterns.join(", "));
    page.line("models", models.as_deref().unwrap_or("all"));
    let regions = becomes.regions.as_ref().map(|names| names.join(", "));
    let every = || config.aws.all_regions().collect::<Vec<_>>().join(", ");
    page.line("regions", &regions.unwrap_or_else(every));
    if !becomes.projects.is_empty() {
        page.line("projects", &becomes.projects.join(", "));
    }
}

fn outcome(report: &Report<'_>, page: &mut Page) {
    let (sign, words) = match (&report.holder.basis, &report.explanation) {
        (Basis::Refused { error, .. }, _) => (Sign::Bad, format!("Refused: {}", error.reason())),
        (_, Some(Explanation { outcome: Err(error), .. })) => {
            (Sign::Bad, format!("Refused: {} ({})", error.reason(), legible(&error.to_string())))
        }
        _ => match &report.refusal {
            Some(CallRefusal { reason, detail }) => (Sign::Bad, format!("Refused: {reason} ({detail})")),
            None => (Sign::Good, "Accepted".to_owned()),
        },
    };
    let words = page.painted(sign, &words);
    page.heading(&words);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_of_a_replaced_value_is_its_characters_or_its_length() {
        let tag = || Target::Tag("team".to_owned());
        for (target, original, words) in [
            (tag(), "R&D", "characters"),
            (tag(), &"x".repeat(257), "too long"),
            (Target::Name, "alice müller", "characters"),
            (Target::Name, "a", "too short"),
            (Target::SourceIdentity, &"x".repeat(65), "too long"),
            (Target::Name, "RD==afwutvu2hgfdklxt", "ends like a replaced value"),
        ] {
            let cause = cause(&target, original);
            assert!(cause.contains(words), "{original}: {cause}");
        }
    }
}
