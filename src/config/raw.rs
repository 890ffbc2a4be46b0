//! The configuration file, field by field. The comments here are the documentation of each key; what a
//! value must be like beyond its shape is said and checked in the modules beside this one.
//!
//! Strings stay strings here, each with its place in the file, so that everything that is wrong with
//! them can be reported at once. The types here have the names of the tables, and so of what the modules beside this
//! one make of them: `raw::Role` is what the file says of a `Role`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::auth::issuer;
use crate::route::Operation;

/// A value and where it stands: TOML's own, whose schema is the value's.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub(super) struct Spanned<T>(toml::Spanned<T>);

impl<T> Deref for Spanned<T> {
    type Target = toml::Spanned<T>;

    fn deref(&self) -> &toml::Spanned<T> {
        &self.0
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.get_ref().fmt(f)
    }
}

impl<T: JsonSchema> JsonSchema for Spanned<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A string and where it stands.
pub(super) type Text = Spanned<String>;

/// The configuration of bedrock-gateway. In every string but expressions, `${NAME}` and `${NAME:-default}`
/// are taken from the environment. Durations are as in `"10m"`, sizes as in `"32MiB"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Where the gateway listens.
    pub(super) listen: Spanned<Listen>,
    /// Where Bedrock and STS are.
    pub(super) aws: Spanned<Aws>,
    /// How sessions are had and kept.
    #[serde(default)]
    pub(super) sessions: Sessions,
    /// Identity providers whose tokens are taken, one table each.
    #[serde(default)]
    pub(super) issuer: Vec<Spanned<Issuer>>,
    /// The role table: the first role that matches is the caller's. No match: refused.
    #[serde(default)]
    pub(super) role: Vec<Spanned<Role>>,
    /// People who are cut off. Default: nobody.
    pub(super) revoke: Option<Revoke>,
    /// The two logs.
    #[serde(default)]
    pub(super) log: Log,
}

/// At least one of `https` and `http`. Addresses are an IP address and a port.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Listen {
    /// Callers, over TLS: HTTP/2 and HTTP/1.1 by ALPN. Needs `[listen.tls]`. Default: none.
    pub(super) https: Option<Text>,
    /// Callers behind something that ends TLS: HTTP/1.1, and HTTP/2 by prior knowledge. Default: none.
    pub(super) http: Option<Text>,
    /// `/healthz`, `/readyz` and `/metrics`. Default: none.
    pub(super) probe: Option<Text>,
    /// `/sessions` and what acts. Off loopback it needs `admin_token_file`. Default: none.
    pub(super) admin: Option<Text>,
    /// A file with the token that callers of `admin` must bring as `Authorization: Bearer`. Default: none.
    pub(super) admin_token_file: Option<Text>,
    /// Largest request body, as in `"32MiB"`; larger ones are answered 413. Default: `"32MiB"`.
    pub(super) max_body: Option<Text>,
    /// How long connections are still accepted after SIGTERM, when `/readyz` says already that they should go
    /// elsewhere. Default: `"0s"`.
    pub(super) drain_delay: Option<Text>,
    /// How long open requests may go on after that. Default: `"60s"`.
    pub(super) drain_timeout: Option<Text>,
    /// Load balancers that tell the client's address. Default: none; the access log has the peer's.
    pub(super) balancers: Option<Spanned<Balancers>>,
    /// The certificate of `https`. Default: none.
    pub(super) tls: Option<Spanned<Tls>>,
}

/// What they tell goes to the access log only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Balancers {
    /// Their addresses, as in `["10.0.0.0/16", "fd00::/8"]`.
    pub(super) peers: Vec<Text>,
    /// How they tell.
    pub(super) client_address: ClientAddress,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ClientAddress {
    /// PROXY protocol v2: no connection of theirs is taken without its header.
    ProxyProtocol,
    /// The header `X-Forwarded-For`, from its end as far as it names them.
    XForwardedFor,
}

/// Both PEM files are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// The certificate, and those between it and its authority.
    pub(super) cert: Text,
    /// Its private key.
    pub(super) key: Text,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Aws {
    /// Region of Bedrock and of STS.
    pub(super) region: Text,
    /// Further regions of the same partition, as first path segment: `/us-west-2/model/…`. Default: none.
    #[serde(default)]
    pub(super) regions: Vec<Text>,
    /// Use FIPS endpoints, and no service that has none. Default: false.
    #[serde(default)]
    pub(super) fips: bool,
    /// Use endpoints that also have IPv6 addresses. Default: false.
    #[serde(default)]
    pub(super) dual_stack: bool,
    /// Endpoints of `region` to use instead of AWS's own. Default: none.
    #[serde(default)]
    pub(super) endpoints: Endpoints,
    /// The same of further regions, by region. Default: none.
    #[serde(default)]
    pub(super) region_endpoints: BTreeMap<Text, RegionEndpoints>,
}

/// URLs without a path, `https` or, for what is written here, `http`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoints {
    pub(super) sts: Option<Text>,
    pub(super) bedrock_runtime: Option<Text>,
    pub(super) bedrock: Option<Text>,
    pub(super) bedrock_mantle: Option<Text>,
    /// A PEM file of CAs to trust for these beside the system's.
    pub(super) ca: Option<Text>,
}

/// As `[aws.endpoints]`, but for STS, which is only asked in `region`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegionEndpoints {
    pub(super) bedrock_runtime: Option<Text>,
    pub(super) bedrock: Option<Text>,
    pub(super) bedrock_mantle: Option<Text>,
    pub(super) ca: Option<Text>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sessions {
    /// Lifetime to ask of STS, 15m to 12h. Default: `"1h"`.
    pub(super) duration: Option<Text>,
    /// How long before its end a session is renewed in the background, at most a fifth of the lifetime
    /// granted. Default: `"10m"`.
    pub(super) refresh_before: Option<Text>,
    /// Sessions cached at most. Default: 100000.
    #[schemars(range(min = 1))]
    pub(super) capacity: Option<Spanned<u64>>,
    /// `AssumeRole` calls per second of this process at most. Default: 100.
    #[schemars(range(min = 1))]
    pub(super) max_sts_rate: Option<Spanned<u32>>,
    /// Live sessions of one role and session name, by differing tags, at most. Default: 8.
    #[schemars(range(min = 1))]
    pub(super) per_name: Option<Spanned<usize>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// A short name of your choice: in expressions (`issuer.name`), roles, logs and metrics.
    pub(super) name: Text,
    /// The exact `iss` of the tokens. Keys are found by discovery from here, unless `jwks_url` or
    /// `jwks_file` says otherwise.
    pub(super) url: Text,
    /// A token must name one of these as its audience.
    #[schemars(length(min = 1))]
    pub(super) audiences: Spanned<Vec<Text>>,
    /// The claim that holds the audience, for access tokens without `aud`. Default: `aud`.
    pub(super) audience_claim: Option<Text>,
    /// Signature algorithms accepted. Default: `["RS256", "ES256"]`.
    #[schemars(with = "Option<Vec<AlgorithmName>>", length(min = 1))]
    pub(super) algorithms: Option<Spanned<Vec<Text>>>,
    /// Values of `typ` accepted, beside none at all. Default: `["JWT", "at+jwt"]`.
    #[schemars(length(min = 1))]
    pub(super) types: Option<Spanned<Vec<Text>>>,
    /// Longest time since `iat`. Default: no limit but `exp`.
    pub(super) max_token_age: Option<Text>,
    /// How much the issuer's clock may be off. Default: `"30s"`.
    pub(super) leeway: Option<Text>,
    /// Where the keys are, instead of discovery. Default: none.
    pub(super) jwks_url: Option<Text>,
    /// A file with the keys, instead of discovery. Default: none.
    pub(super) jwks_file: Option<Text>,
    /// A PEM file of CAs to trust for this issuer beside the system's. Default: none.
    pub(super) ca: Option<Text>,
    /// Request headers that this issuer's expressions can see. Default: none.
    #[serde(default)]
    pub(super) request_headers: Vec<Text>,
    /// Conditions that every token must meet. Default: none.
    #[serde(default)]
    pub(super) require: Vec<Require>,
    /// What the token becomes in AWS.
    pub(super) session: Session,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Require {
    /// CEL; anything but true refuses the request.
    pub(super) expression: Text,
    /// What the operator reads in the log when it does.
    pub(super) message: Text,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// The session name: who stands in the bill.
    pub(super) name: Spanned<Mapped>,
    /// The source identity, which survives further role changes. Default: none.
    pub(super) source_identity: Option<Spanned<Mapped>>,
    /// Session tags by key. Default: none.
    #[serde(default)]
    pub(super) tags: BTreeMap<Text, Spanned<Mapped>>,
}

/// A string is the expression; a table is the long form.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Mapped {
    Expression(String),
    Long(LongMapped),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LongMapped {
    /// An expression, or several that are tried in order until one is not missing.
    pub(super) from: Option<Spanned<OneOrMore>>,
    /// What to use if all are missing. Default: none.
    pub(super) default: Option<Text>,
    /// A constant, instead of `from`.
    pub(super) value: Option<Text>,
    /// Whether a missing value refuses the request. Default: true.
    #[serde(default = "yes")]
    pub(super) required: bool,
    /// What becomes of a value that AWS would not accept. Default: `"replace"`.
    #[serde(default)]
    pub(super) on_invalid: OnInvalid,
}

fn yes() -> bool {
    true
}

#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum OneOrMore {
    One(String),
    More(Vec<Text>),
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnInvalid {
    /// Illegal characters go, and a hash of the whole value is appended.
    #[default]
    Replace,
    /// The request is refused.
    Reject,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    /// CEL; the role is the caller's if it is true. Default: it is.
    pub(super) when: Option<Text>,
    /// Names of issuers whose callers it is for. Default: the only one there is.
    #[schemars(length(min = 1))]
    pub(super) issuers: Option<Spanned<Vec<Text>>>,
    /// The IAM role to assume.
    pub(super) arn: Text,
    /// What the role's trust policy wants as `sts:ExternalId`. Default: none.
    pub(super) external_id: Option<Text>,
    /// Lifetime of its sessions, 15m to 12h. Default: that of `[sessions]`.
    pub(super) duration: Option<Text>,
    /// A session policy (JSON) that narrows the role further. Default: none.
    pub(super) policy: Option<Text>,
    /// Managed policies that do the same, at most 10. Default: none.
    #[serde(default)]
    pub(super) policy_arns: Vec<Text>,
    /// Tags that survive further role changes. Default: none.
    #[serde(default)]
    pub(super) transitive_tags: Vec<Text>,
    /// Operations it may be used for. Default: all but those of state shared by the whole account.
    #[schemars(with = "Option<Vec<OperationName>>", length(min = 1))]
    pub(super) operations: Option<Spanned<Vec<Text>>>,
    /// Models, as patterns with `*`. Default: all.
    #[schemars(length(min = 1))]
    pub(super) models: Option<Spanned<Vec<Text>>>,
    /// Regions, of those in `[aws]`. Default: all of them.
    #[schemars(length(min = 1))]
    pub(super) regions: Option<Spanned<Vec<Text>>>,
    /// Values of `OpenAI-Project` and `anthropic-workspace-id` that callers may send. Default: none.
    #[serde(default)]
    pub(super) projects: Vec<Text>,
    /// Equal session names of different issuers mean the same person. Default: false.
    #[serde(default)]
    pub(super) shared_names: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    /// The deny file. It has to be there, be it empty, and is read again when it changes.
    pub(super) file: Text,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// Default: `"auto"`.
    #[serde(default)]
    pub(super) format: LogFormat,
    /// Both logs are appended to it. Default: standard error, and standard output for the access log.
    pub(super) file: Option<Text>,
    /// What the process's log shows, as in `"info,bedrock_gateway::sessions=debug"`. Default: `"info"`.
    pub(super) level: Option<Text>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line for people.
    Text,
}

// Not `#[serde(untagged)]`: that forgets where things stand and says "did not match any variant".

impl<'de> Deserialize<'de> for Mapped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = Mapped;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression, or a table with `from` or `value`")
            }

            fn visit_str<E: Error>(self, expression: &str) -> Result<Mapped, E> {
                Ok(Mapped::Expression(expression.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Mapped, A::Error> {
                LongMapped::deserialize(MapAccessDeserializer::new(map)).map(Mapped::Long)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Forms;
        impl<'de> Visitor<'de> for Forms {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an expression or a list of expressions")
            }

            fn visit_str<E: Error>(self, expression: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore::One(expression.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<OneOrMore, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(items)).map(OneOrMore::More)
            }
        }
        deserializer.deserialize_any(Forms)
    }
}

/// A name of `role.operations`.
pub(super) struct OperationName;

/// A name of `issuer.algorithms`.
pub(super) struct AlgorithmName;

impl JsonSchema for OperationName {
    fn schema_name() -> Cow<'static, str> {
        "Operation".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_of(&Operation::ALL.map(Operation::as_str))
    }
}

impl JsonSchema for AlgorithmName {
    fn schema_name() -> Cow<'static, str> {
        "Algorithm".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        one_of(&issuer::KNOWN_ALGORITHMS)
    }
}

fn one_of(names: &[&str]) -> Schema {
    schemars::json_schema!({ "type": "string", "enum": names })
}
