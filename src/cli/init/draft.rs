//! The text of the configuration: the template, filled with the answers and with the parts of a starting point.

use std::fmt::Write as _;

use serde_json::Value;

use super::answers::{Answers, Pair, RoleAnswer};
use super::starting_point::is_of_key;
use crate::config;

const TEMPLATE: &str = include_str!("template.toml");

/// Values for what is not answered yet. They are valid, so only answers can be wrong.
const ACCOUNT: &str = "123456789012";
const REGION: &str = "us-east-1";
/// The default name of the role.
pub(super) const ROLE: &str = "BedrockUser";
/// The default address. It needs no certificate, and other machines cannot reach it.
pub(super) const LISTEN: &str = "http://127.0.0.1:8080";
/// The default files of a certificate and its key.
pub(super) const TLS: (&str, &str) = ("/etc/bedrock-gateway/tls.crt", "/etc/bedrock-gateway/tls.key");

/// The tables of the issuer: how its tokens are accepted, and the mapping of their claims.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) issuer: String,
    /// Each with its comments. One that is not in force is a comment as a whole.
    pub(super) requirements: Vec<String>,
    pub(super) session: String,
    pub(super) tags: String,
}

impl Draft {
    /// The tables of the starting point, with the answers in place of its examples.
    pub(super) fn of(answers: &Answers) -> Self {
        let (point, parts) = (answers.point(), answers.point().parts());
        let owned = |text: &str| match (point.owner, answers.owner()) {
            (Some(owner), Some(value)) => text.replace(owner.example, &value),
            _ => text.to_owned(),
        };
        let issuer = parts.issuer.lines().map(|line| match &answers.issuer_url {
            Some(url) if is_of_key(line, "url") => format!("url = {}", literal(url)),
            _ if is_of_key(line, "audiences") && !answers.audiences.is_empty() => {
                format!("audiences = {}", list(&answers.audiences))
            }
            _ => line.to_owned(),
        });
        let tags = if answers.tags.is_empty() {
            tags_of(owned(parts.tags).lines().filter(|line| *line != TAGS).map(str::to_owned))
        } else {
            tags_of(answers.tags.iter().map(line))
        };
        Self {
            issuer: issuer.collect::<Vec<_>>().join("\n"),
            requirements: parts.requirements.iter().map(|text| owned(text)).collect(),
            session: owned(parts.session),
            tags,
        }
    }

    /// The text of the whole configuration.
    pub(super) fn text(&self, answers: &Answers) -> String {
        let parts = answers.point().parts();
        let issuer = std::iter::once(&self.issuer)
            .chain(&self.requirements)
            .chain([&self.session, &self.tags])
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n\n");
        let is_alone = answers.roles.iter().all(|role| role.when.is_none());
        let other = parts.other_role.filter(|_| is_alone).map(|rule| other_role(rule, answers));
        let values = [
            ("#{listen}", listen(answers)),
            ("#{aws}", aws(answers)),
            ("#{about}", parts.about),
            ("#{issuer}", issuer),
            ("#{other_role}", other.unwrap_or_default()),
            ("#{roles}", roles(answers)),
        ];
        let mut text = String::new();
        for line in TEMPLATE.lines() {
            let value = values.iter().find(|(name, _)| *name == line).map(|(_, value)| value.as_str());
            match value {
                Some("") => {}
                value => {
                    text.push_str(value.unwrap_or(line));
                    text.push('\n');
                }
            }
        }
        text
    }
}

/// The head of the table of session tags.
pub(super) const TAGS: &str = "[issuer.session.tags]";

/// A `[issuer.session.tags]` table of these lines.
pub(super) fn tags_of(lines: impl Iterator<Item = String>) -> String {
    const ABOUT: &str = "# Session tags: iamPrincipal/KEY in the report, once they are activated there.";
    [ABOUT, TAGS].map(str::to_owned).into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// The line of a tag. A caller without the claim is charged to `unallocated`, and is not refused.
pub(super) fn line(tag: &Pair) -> String {
    let from = quoted(&expression(&tag.value));
    format!("{} = {{ from = {from}, default = \"{UNALLOCATED}\" }}", key(&tag.key))
}

/// The value of a tag for callers whose token has no claim for it.
pub(super) const UNALLOCATED: &str = "unallocated";

/// The expression of a claim, by its name, for example `department`. Another text is an expression already.
pub(super) fn expression(claim: &str) -> String {
    let is_name = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if claim.starts_with("claims.") || claim.contains(['(', '[', '\'', '"', ' ', '?', '{', '\\']) {
        claim.to_owned()
    } else if claim.split('.').all(is_name) {
        format!("claims.{claim}")
    } else {
        format!("claims['{claim}']")
    }
}

/// The text as a TOML string, for keys and expressions. TOML has all the escapes of JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// The same for other values. A dollar sign stays one: no claim of a sample reads a variable of the environment.
fn literal(text: &str) -> String {
    quoted(&text.replace('$', "$$"))
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| literal(text)).collect::<Vec<_>>().join(", "))
}

/// The text as a TOML key.
fn key(text: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(bare) { text.to_owned() } else { quoted(text) }
}

fn listen(answers: &Answers) -> String {
    let listen = answers.listen.as_deref().unwrap_or(LISTEN);
    let (scheme, address) = listen.split_once("://").unwrap_or(("http", listen));
    let address = address.trim_end_matches('/');
    let is_local = address.starts_with("127.") || address.starts_with("[::1]");
    let probe = if is_local { "127.0.0.1:9090" } else { "0.0.0.0:9090" };
    let probe = answers.probe.as_deref().unwrap_or(probe);
    let mut text = String::new();
    if scheme == "https" {
        let of = |answer: &Option<String>, default: &str| literal(answer.as_deref().unwrap_or(default));
        let (cert, key) = (of(&answers.tls_cert, TLS.0), of(&answers.tls_key, TLS.1));
        // Writing to a String cannot fail.
        let _written = writeln!(text, "https = {}\ntls = {{ cert = {cert}, key = {key} }}", literal(address));
    } else {
        text.push_str(
            "# Without TLS: for a first try, or behind a proxy that ends TLS. Otherwise write instead\n",
        );
        let _written = writeln!(
            text,
            "#   https = \"0.0.0.0:8443\"\n#   tls = {{ cert = \"{}\", key = \"{}\" }}\nhttp = {}",
            TLS.0,
            TLS.1,
            literal(address)
        );
    }
    let _written = write!(text, "probe = {}", literal(probe));
    text
}

fn aws(answers: &Answers) -> String {
    let (first, further) =
        answers.regions.split_first().map_or((REGION, &[][..]), |(first, further)| (first.as_str(), further));
    let mut text = format!("region = {}", literal(first));
    let _written = if further.is_empty() {
        write!(
            text,
            "\n# Callers may also choose one of these, by the path of the endpoint URL:\n# regions = []"
        )
    } else {
        write!(text, "\nregions = {}", list(further))
    };
    if !answers.endpoints.is_empty() {
        text.push_str("\n\n# Instead of AWS's own endpoints.\n[aws.endpoints]");
        for Pair { key: name, value } in &answers.endpoints {
            let _written = write!(text, "\n{} = {}", key(name), literal(value));
        }
    }
    text
}

/// The ARN of a role in the partition of the first region.
fn arn(name: &str, answers: &Answers) -> String {
    if name.starts_with("arn:") {
        return name.to_owned();
    }
    let partition = config::partition(answers.regions.first().map_or(REGION, String::as_str));
    let account = answers.account.as_deref().unwrap_or(ACCOUNT);
    format!("arn:{partition}:iam::{account}:role/{name}")
}

/// The starting point's rule with a condition, as a comment.
fn other_role(rule: &str, answers: &Answers) -> String {
    let mut text = "# To give some callers another role, write it before the role of all others:".to_owned();
    for line in rule.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split("role/").nth(1).and_then(|rest| rest.strip_suffix('"'));
        let line = name
            .filter(|_| is_of_key(line, "arn"))
            .map_or_else(|| line.to_owned(), |name| format!("arn = {}", literal(&arn(name, answers))));
        let _written = write!(text, "\n# {line}");
    }
    text
}

fn roles(answers: &Answers) -> String {
    let default = [RoleAnswer { name: ROLE.to_owned(), when: None }];
    let given = if answers.roles.is_empty() { &default[..] } else { &answers.roles[..] };
    let models = if answers.models.is_empty() {
        list(&[answers.point().model().to_owned()])
    } else {
        list(&answers.models)
    };
    // The role of all others is the last one, whatever the order of the flags.
    let (conditional, others): (Vec<_>, Vec<_>) = given.iter().partition(|role| role.when.is_some());
    let table = |role: &&RoleAnswer| {
        let when = role.when.as_deref().map_or_else(String::new, |when| format!("when = {}\n", quoted(when)));
        format!("[[role]]\n{when}arn = {}\nmodels = {models}", literal(&arn(&role.name, answers)))
    };
    conditional.iter().chain(&others).map(table).collect::<Vec<_>>().join("\n\n")
}
