//! The faults of answers.
//!
//! A configuration made of the answers is parsed as `check` parses it, so each fault has the words of `check`.

use super::answers::{Answers, Pair, Question, tenant};
use super::draft::Draft;
use super::starting_point::OwnerKind;
use crate::attribution::arn::RoleArn;
use crate::config;

/// An answer that cannot be used, and the fix.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// `None`: two answers do not fit together.
    pub(super) question: Option<Question>,
    pub(super) text: String,
}

impl Answers {
    /// Everything that is wrong with the answers given so far.
    pub(super) fn faults(&self) -> Vec<Fault> {
        let mut faults = self.own_faults();
        let text = Draft::of(self).text(self);
        let Err(problems) = config::Config::parse(&text, "", &|name| std::env::var(name).ok()) else {
            return faults;
        };
        for problem in problems.errors() {
            let question = match about(&problem.key) {
                Some(Question::Role) if !self.account_fits() => Some(Question::Account),
                found => found.filter(|question| self.is_answered(*question)),
            };
            let text = match question {
                // A shell would not show which value of several it is.
                Some(_) => format!("{}; {}", problem.message, problem.help),
                None => format!("{}: {}; {}", problem.key, problem.message, problem.help),
            };
            if faults.iter().all(|known| known.question != question || known.text != text) {
                faults.push(Fault { question, text });
            }
        }
        faults
    }

    /// Whether ARNs with this account are ARNs.
    fn account_fits(&self) -> bool {
        let arn = |account: &str| format!("arn:aws:iam::{account}:role/BedrockUser");
        self.account.as_deref().is_none_or(|account| RoleArn::parse(&arn(account)).is_ok())
    }

    /// The faults that the configuration cannot show.
    fn own_faults(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut fault = |question, text: String| faults.push(Fault { question: Some(question), text });
        if let Some(listen) = &self.listen
            && !["http://", "https://"].iter().any(|scheme| listen.starts_with(scheme))
        {
            let text = format!("\"{listen}\" has no scheme; write, for example, http://127.0.0.1:8080");
            fault(Question::Listen, text);
        }
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if let Some(owner) = &self.owner {
            if self.point().owner.is_none() {
                let text = format!("the starting point {} pins no owner; remove it", self.point().name);
                fault(Question::Owner, text);
            } else if owner.is_empty() || !owner.chars().all(legal) {
                fault(Question::Owner, format!("\"{owner}\" is not an owner; {}", self.owner_advice()));
            }
        }
        if let (Some(url), Some(OwnerKind::Tenant)) =
            (&self.issuer_url, self.point().owner.map(|owner| owner.kind))
            && tenant(url).is_none()
        {
            let text = format!(
                "\"{url}\" is not the URL of one tenant; write https://login.microsoftonline.com/TENANT/v2.0 with the id of your tenant"
            );
            fault(Question::IssuerUrl, text);
        }
        for Pair { key, .. } in &self.endpoints {
            const KEYS: [&str; 4] = ["sts", "bedrock_runtime", "bedrock", "bedrock_mantle"];
            if !KEYS.contains(&key.as_str()) {
                let text = format!("\"{key}\" is not an endpoint; write one of {}", KEYS.join(", "));
                fault(Question::Endpoint, text);
            }
        }
        faults
    }
}

/// The question that a problem of this key of the configuration is about.
fn about(key: &str) -> Option<Question> {
    let beginnings = [
        ("issuer[0].url", Question::IssuerUrl),
        ("issuer[0].audiences", Question::Audience),
        ("issuer[0].session.tags", Question::Tag),
        ("aws.region", Question::Region),
        ("aws.endpoints", Question::Endpoint),
        ("listen.tls.cert", Question::TlsCert),
        ("listen.tls.key", Question::TlsKey),
        ("listen.probe", Question::Probe),
        ("listen", Question::Listen),
    ];
    let of_role = |key: &str| if key.contains(".models") { Question::Model } else { Question::Role };
    let found = beginnings.iter().find(|(beginning, _)| key.starts_with(beginning));
    found.map(|(_, question)| *question).or_else(|| key.starts_with("role[").then(|| of_role(key)))
}

#[cfg(test)]
mod tests;
