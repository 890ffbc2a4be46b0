//! The files of a bundle: JSON documents, a template of `CloudFormation` or a module of Terraform, for each account.

use std::collections::BTreeMap;

use crate::iam::document::Policy;
use crate::iam::{Account, Bundle, Format, Guard, Kind, size, steps};

mod cloudformation;
mod json;
mod terraform;

/// All files: the path, which begins with the account and contains `/` only, and the text.
pub fn files(bundle: &Bundle, format: Format) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for account in &bundle.accounts {
        let mut add = |path: &str, text: String| files.insert(format!("{}/{path}", account.id), text);
        for (path, text) in match format {
            Format::Json => json::files(account),
            Format::CloudFormation => {
                vec![("template.json".to_owned(), cloudformation::template(account, bundle))]
            }
            Format::Terraform => vec![("main.tf".to_owned(), terraform::module(account, bundle))],
        } {
            add(&path, text);
        }
        for file in &account.files {
            if let Kind::Guard(guard) = file.kind {
                add(&format!("guards/{}.json", guard.file_stem()), guard_text(guard, &file.policy));
            }
        }
        add("steps.md", steps::of(account, bundle, format));
    }
    files
}

/// Organizations counts white space, so a long policy has none.
fn guard_text(guard: Guard, policy: &Policy) -> String {
    let pretty = policy.pretty();
    if guard != Guard::Endpoint && pretty.chars().count() > size::SCP_CHARACTERS {
        policy.compact()
    } else {
        pretty
    }
}

/// The policies of the gateway's role in this account: trust and permissions.
fn of_gateway(account: &Account) -> (Option<&Policy>, Option<&Policy>) {
    let find = |kind: &Kind| account.files.iter().find(|file| file.kind == *kind).map(|file| &file.policy);
    (find(&Kind::GatewayTrust), find(&Kind::GatewayRole))
}

/// Names that each begin with the letters and digits of a role's name, and differ.
fn identifiers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut taken: Vec<String> = Vec::new();
    for (index, name) in names.enumerate() {
        let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let is_free = !taken.iter().any(|other| other.eq_ignore_ascii_case(&plain));
        let mut id = if is_free && plain.len() == name.len() { plain } else { format!("{plain}N{index}") };
        while taken.iter().any(|other| other.eq_ignore_ascii_case(&id)) {
            id.push('N');
        }
        taken.push(id);
    }
    taken
}
