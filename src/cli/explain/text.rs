//! The explanation for people: sections of labelled lines.

use std::fmt::Write as _;

use super::{Basis, Holder, Report};
use crate::config::Config;
use crate::identity::explain::{
    Becomes, Condition, Explanation, Made, RequirementOutcome, Rule, RuleOutcome, Target,
};

pub(super) fn of(report: &Report<'_>, colour: bool) -> String {
    let mut page = Page { text: String::new(), colour };
    holder(&report.holder, &mut page);
    for note in &report.notes {
        page.line("note", &printable(note));
    }
    if let Some(explanation) = &report.explanation {
        steps(explanation, &mut page);
        if let Ok(becomes) = &explanation.outcome {
            bill(becomes, &mut page);
            allowed(becomes, report.config, &mut page);
        }
    }
    outcome(report, &mut page);
    page.text
}

/// What came of a step, and so its colour.
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
    /// A label and what it is for.
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

    /// A step with its outcome, and what more there is to say of it.
    fn step(&mut self, label: &str, sign: Sign, outcome: &str, more: &str) {
        let outcome = self.painted(sign, outcome);
        self.line(label, &format!("{outcome}: {}", printable(more)));
    }
}

fn holder(holder: &Holder, page: &mut Page) {
    let (issuer, subject) = match &holder.basis {
        Basis::Refused { why, .. } => {
            page.step("token", Sign::Bad, "refused", why);
            ("issuer (unverified)", "subject (unverified)")
        }
        Basis::Verified => {
            page.step("token", Sign::Good, "verified", "signature and claims are good");
            ("issuer", "subject")
        }
        Basis::Unchecked => {
            page.step("claims", Sign::Neutral, "not verified", "as if a token had them");
            ("issuer", "subject")
        }
    };
    for (label, text) in [(issuer, &holder.issuer), (subject, &holder.subject), ("jti", &holder.jti)] {
        if let Some(text) = text {
            page.line(label, &printable(text));
        }
    }
}

fn steps(explanation: &Explanation, page: &mut Page) {
    for (index, requirement) in explanation.requirements.iter().enumerate() {
        requirement_line(index, requirement, page);
    }
    for (index, rule) in explanation.rules.iter().enumerate() {
        rule_line(index, rule, page);
    }
    for made in &explanation.values {
        made_line(made, page);
    }
}

fn requirement_line(index: usize, requirement: &RequirementOutcome, page: &mut Page) {
    let RequirementOutcome { expression, message, outcome } = requirement;
    let label = format!("require[{index}]");
    match outcome {
        Condition::Met => page.step(&label, Sign::Good, "met", expression),
        Condition::NotMet => page.step(&label, Sign::Bad, "not met", &format!("{expression} ({message})")),
        Condition::Missing => {
            let more = format!("{expression} reads what is not there ({message})");
            page.step(&label, Sign::Bad, "not met", &more);
        }
        Condition::Failed(error) => {
            page.step(&label, Sign::Bad, "failed", &format!("{expression} ({error})"));
        }
    }
}

fn rule_line(index: usize, rule: &Rule, page: &mut Page) {
    let label = format!("role[{index}]");
    let when = rule.when.as_deref().unwrap_or("everybody's");
    match &rule.outcome {
        RuleOutcome::Matches => page.step(&label, Sign::Good, "matches", when),
        RuleOutcome::DoesNotMatch => page.step(&label, Sign::Neutral, "does not match", when),
        RuleOutcome::OtherIssuers => {
            page.step(&label, Sign::Neutral, "does not match", "it is for callers of other issuers");
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
            let value = printable(&text.value);
            match &text.replaced {
                Some(original) => {
                    page.line(&label, &format!("{value} (replaced: AWS does not take {original:?})"));
                }
                None => page.line(&label, &value),
            }
        }
        Ok(None) => page.line(&label, "left out: what it reads is not there"),
        Err(error) => page.step(&label, Sign::Bad, "refused", &error.to_string()),
    }
}

fn bill(becomes: &Becomes, page: &mut Page) {
    page.heading("In the Cost and Usage Report");
    page.line("line_item_iam_principal", &becomes.principal);
    for (key, value) in &becomes.tags {
        page.line(&format!("iamPrincipal/{key}"), &printable(value));
    }
}

fn allowed(becomes: &Becomes, config: &Config, page: &mut Page) {
    page.heading("What the role may be used for");
    let operations = becomes.operations.as_ref().map(|names| names.join(", "));
    page.line("operations", operations.as_deref().unwrap_or("all but those of state that users share"));
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
            (Sign::Bad, format!("Refused: {} ({})", error.reason(), printable(&error.to_string())))
        }
        _ => (Sign::Good, "Accepted".to_owned()),
    };
    let words = page.painted(sign, &words);
    page.heading(&words);
}

/// Text of which nothing can act on a terminal.
fn printable(text: &str) -> String {
    let plain = text.chars().all(|c| c == '\'' || c == '"' || c == '\\' || c.escape_debug().len() == 1);
    if plain { text.to_owned() } else { format!("{text:?}") }
}
