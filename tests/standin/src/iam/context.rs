//! The request to decide about: its caller, its action and resource, and its context keys.

use std::collections::BTreeMap;

use super::pattern;

/// The values of condition keys. A key without a value is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// By lower-case key: IAM does not tell the case of keys apart, also not in the key of a tag.
    values: BTreeMap<String, Vec<String>>,
}

impl Context {
    #[must_use]
    pub fn with(self, key: &str, value: &str) -> Self {
        self.with_all(key, [value])
    }

    /// Sets a key with many values, for example `aws:TagKeys`. Without any value, the key is absent.
    #[must_use]
    pub fn with_all<'v>(mut self, key: &str, values: impl IntoIterator<Item = &'v str>) -> Self {
        let values: Vec<_> = values.into_iter().map(str::to_owned).collect();
        if values.is_empty() {
            self.values.remove(&key.to_lowercase());
        } else {
            self.values.insert(key.to_lowercase(), values);
        }
        self
    }

    /// Adds the keys of `other`, which replace equal ones.
    #[must_use]
    pub fn and(mut self, other: &Self) -> Self {
        self.values.extend(other.values.clone());
        self
    }

    pub(super) fn get(&self, key: &str) -> Option<&[String]> {
        self.values.get(&key.to_lowercase()).map(Vec::as_slice)
    }
}

/// One permission that a call needs. A call with several needs all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// For example `bedrock:InvokeModel`.
    pub action: String,
    /// An ARN, or `*` for an action without resources.
    pub resource: String,
    /// The keys of the request. Those of the caller are added.
    pub context: Context,
}

impl Need {
    pub fn new(action: &str, resource: &str, context: Context) -> Self {
        Self { action: action.to_owned(), resource: resource.to_owned(), context }
    }
}

/// The principal of a request: a session of a role, or a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The ARN that messages name: of the session or of the user.
    arn: String,
    /// `aws:PrincipalArn`: of the role or of the user.
    principal_arn: String,
    tags: BTreeMap<String, String>,
    source_identity: Option<String>,
    /// Which policies limit this session further, in the [`Directory`](super::Directory).
    access_key_id: Option<String>,
}

impl Caller {
    /// A session of a role.
    ///
    /// # Panics
    /// If `role_arn` is no ARN.
    pub fn session(role_arn: &str, session_name: &str) -> Self {
        let [_, partition, _, _, account, resource] = pattern::parts(role_arn).expect("the ARN of a role");
        let name = resource.rsplit('/').next().unwrap_or_default();
        Self {
            arn: format!("arn:{partition}:sts::{account}:assumed-role/{name}/{session_name}"),
            principal_arn: role_arn.to_owned(),
            tags: BTreeMap::new(),
            source_identity: None,
            access_key_id: None,
        }
    }

    /// A user, or the root of an account.
    pub fn user(arn: &str) -> Self {
        Self {
            arn: arn.to_owned(),
            principal_arn: arn.to_owned(),
            tags: BTreeMap::new(),
            source_identity: None,
            access_key_id: None,
        }
    }

    /// The tags of the session: `aws:PrincipalTag/…`.
    #[must_use]
    pub fn with_tags(self, tags: BTreeMap<String, String>) -> Self {
        Self { tags, ..self }
    }

    #[must_use]
    pub fn with_source_identity(self, source_identity: Option<String>) -> Self {
        Self { source_identity, ..self }
    }

    #[must_use]
    pub fn with_access_key_id(self, id: &str) -> Self {
        Self { access_key_id: Some(id.to_owned()), ..self }
    }

    pub fn arn(&self) -> &str {
        &self.arn
    }

    pub fn principal_arn(&self) -> &str {
        &self.principal_arn
    }

    pub fn account(&self) -> &str {
        pattern::parts(&self.principal_arn).map_or("", |parts| parts[4])
    }

    pub(super) fn access_key_id(&self) -> Option<&str> {
        self.access_key_id.as_deref()
    }

    /// The keys that every request of the caller has.
    pub(super) fn context(&self) -> Context {
        let mut context = Context::default()
            .with("aws:PrincipalArn", &self.principal_arn)
            .with("aws:PrincipalAccount", self.account())
            .with("aws:PrincipalIsAWSService", "false")
            .with("aws:ViaAWSService", "false")
            .with("aws:SecureTransport", "true");
        for (key, value) in &self.tags {
            context = context.with(&format!("aws:PrincipalTag/{key}"), value);
        }
        match &self.source_identity {
            Some(source) => context.with("aws:SourceIdentity", source),
            None => context,
        }
    }
}
