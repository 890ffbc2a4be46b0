//! The answers of the operator, from flags or from the terminal.

use std::str::FromStr;

use super::starting_point::{OwnerKind, StartingPoint};

/// One question. Its flag answers it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Question {
    Issuer,
    IssuerUrl,
    Audience,
    Account,
    Owner,
    Region,
    Role,
    Model,
    Tag,
    Listen,
    TlsCert,
    TlsKey,
    Probe,
    Endpoint,
}

impl Question {
    /// Those that a terminal asks, in this order.
    pub(super) const ASKED: [Self; 12] = [
        Self::Issuer,
        Self::IssuerUrl,
        Self::Audience,
        Self::Account,
        Self::Owner,
        Self::Region,
        Self::Role,
        Self::Model,
        Self::Tag,
        Self::Listen,
        Self::TlsCert,
        Self::TlsKey,
    ];

    /// The flag, with the name of its value.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::Issuer => "--issuer NAME",
            Self::IssuerUrl => "--issuer-url URL",
            Self::Audience => "--audience TEXT",
            Self::Account => "--account DIGITS",
            Self::Owner => "--owner ID",
            Self::Region => "--region REGION",
            Self::Role => "--role NAME",
            Self::Model => "--model PATTERN",
            Self::Tag => "--tag KEY=CLAIM",
            Self::Listen => "--listen URL",
            Self::TlsCert => "--tls-cert FILE",
            Self::TlsKey => "--tls-key FILE",
            Self::Probe => "--probe ADDRESS",
            Self::Endpoint => "--endpoint KEY=URL",
        }
    }
}

/// A `KEY=VALUE` of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: String,
}

impl FromStr for Pair {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
        if key.trim().is_empty() || value.trim().is_empty() {
            return Err("write it as key=value, and leave neither empty");
        }
        Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
    }
}

/// A role rule of the command line: `NAME`, `ARN`, or one of them with `=CONDITION`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleAnswer {
    /// A name, with or without its path, or an ARN.
    pub(super) name: String,
    /// The CEL condition of its callers; `None` for all other callers.
    pub(super) when: Option<String>,
}

impl FromStr for RoleAnswer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (name, when) = text.split_once('=').map_or((text, None), |(name, when)| (name, Some(when)));
        if name.trim().is_empty() || when.is_some_and(|when| when.trim().is_empty()) {
            return Err("write it as NAME, or as NAME=CONDITION");
        }
        Ok(Self { name: name.trim().to_owned(), when: when.map(|when| when.trim().to_owned()) })
    }
}

/// The answers so far.
#[derive(Debug, Clone, Default)]
pub(super) struct Answers {
    pub(super) issuer: Option<String>,
    pub(super) issuer_url: Option<String>,
    pub(super) audiences: Vec<String>,
    pub(super) account: Option<String>,
    pub(super) owner: Option<String>,
    pub(super) regions: Vec<String>,
    pub(super) roles: Vec<RoleAnswer>,
    pub(super) models: Vec<String>,
    /// Empty: those of the starting point, or of the sample.
    pub(super) tags: Vec<Pair>,
    pub(super) listen: Option<String>,
    pub(super) tls_cert: Option<String>,
    pub(super) tls_key: Option<String>,
    pub(super) probe: Option<String>,
    pub(super) endpoints: Vec<Pair>,
}

impl Answers {
    pub(super) fn point(&self) -> &'static StartingPoint {
        StartingPoint::named(self.issuer.as_deref().unwrap_or_default())
    }

    /// Whether the question applies, given the other answers.
    pub(super) fn applies(&self, question: Question) -> bool {
        match question {
            Question::IssuerUrl => !self.point().has_fixed_url,
            Question::Owner => self.point().owner.is_some_and(|owner| owner.kind != OwnerKind::Tenant),
            Question::Account => {
                self.roles.is_empty() || self.roles.iter().any(|role| !role.name.starts_with("arn:"))
            }
            Question::TlsCert | Question::TlsKey => {
                self.listen.as_deref().is_some_and(|listen| listen.starts_with("https:"))
            }
            _ => true,
        }
    }

    pub(super) fn is_answered(&self, question: Question) -> bool {
        match question {
            Question::Issuer => self.issuer.is_some(),
            Question::IssuerUrl => self.issuer_url.is_some(),
            Question::Audience => !self.audiences.is_empty(),
            Question::Account => self.account.is_some(),
            Question::Owner => self.owner.is_some(),
            Question::Region => !self.regions.is_empty(),
            Question::Role => !self.roles.is_empty(),
            Question::Model => !self.models.is_empty(),
            Question::Tag => !self.tags.is_empty(),
            Question::Listen => self.listen.is_some(),
            Question::TlsCert => self.tls_cert.is_some(),
            Question::TlsKey => self.tls_key.is_some(),
            Question::Probe => self.probe.is_some(),
            Question::Endpoint => !self.endpoints.is_empty(),
        }
    }

    /// Takes an answer of the terminal. Lists are separated by spaces or commas.
    ///
    /// # Errors
    /// When the text does not have the form of an answer.
    pub(super) fn set(&mut self, question: Question, text: &str) -> Result<(), String> {
        let one = || Some(text.to_owned());
        let words = || text.split([' ', ',']).filter(|word| !word.is_empty()).map(str::to_owned).collect();
        match question {
            Question::Issuer => {
                if !super::starting_point::NAMES.contains(&text) {
                    return Err(format!("write one of {}", super::starting_point::NAMES.join(", ")));
                }
                self.issuer = one();
            }
            Question::IssuerUrl => self.issuer_url = one(),
            Question::Audience => self.audiences = words(),
            Question::Account => self.account = one(),
            Question::Owner => self.owner = one(),
            Question::Region => self.regions = words(),
            Question::Role => self.roles = vec![text.parse()?],
            Question::Model => self.models = words(),
            Question::Tag => self.tags = pairs(text)?,
            Question::Listen => self.listen = one(),
            Question::TlsCert => self.tls_cert = one(),
            Question::TlsKey => self.tls_key = one(),
            Question::Probe => self.probe = one(),
            Question::Endpoint => self.endpoints = pairs(text)?,
        }
        Ok(())
    }

    /// Removes an answer.
    pub(super) fn clear(&mut self, question: Question) {
        match question {
            Question::Issuer => self.issuer = None,
            Question::IssuerUrl => self.issuer_url = None,
            Question::Audience => self.audiences.clear(),
            Question::Account => self.account = None,
            Question::Owner => self.owner = None,
            Question::Region => self.regions.clear(),
            Question::Role => self.roles.clear(),
            Question::Model => self.models.clear(),
            Question::Tag => self.tags.clear(),
            Question::Listen => self.listen = None,
            Question::TlsCert => self.tls_cert = None,
            Question::TlsKey => self.tls_key = None,
            Question::Probe => self.probe = None,
            Question::Endpoint => self.endpoints.clear(),
        }
    }

    /// The value that pins the owner: the answer, or what another answer says.
    pub(super) fn owner(&self) -> Option<String> {
        let kind = self.point().owner?.kind;
        let elsewhere = match kind {
            OwnerKind::Tenant => self.issuer_url.as_deref().and_then(tenant).map(str::to_owned),
            OwnerKind::Account => self.account.clone(),
            OwnerKind::Domain | OwnerKind::Organisation => None,
        };
        self.owner.clone().or(elsewhere)
    }

    /// The advice for the owner's value.
    pub(super) fn owner_advice(&self) -> &'static str {
        match self.point().owner.map(|owner| owner.kind) {
            Some(OwnerKind::Domain) => "write your Google Workspace domain, for example acme.org",
            Some(OwnerKind::Organisation) => {
                "write the number that `gh api /orgs/NAME --jq .id` prints, not the name"
            }
            Some(OwnerKind::Account) => "write the AWS account of the workloads",
            Some(OwnerKind::Tenant) | None => "write the id of the tenant",
        }
    }
}

/// The tenant of a URL of Entra ID; `None` if the URL is for the users of several tenants.
pub(super) fn tenant(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let tenant = rest.split('/').nth(1)?;
    let is_id = tenant.len() == 36 && tenant.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    is_id.then_some(tenant)
}

/// Pairs that spaces separate.
fn pairs(text: &str) -> Result<Vec<Pair>, String> {
    text.split_whitespace().map(|word| word.parse().map_err(|fault| format!("{word}: {fault}"))).collect()
}
