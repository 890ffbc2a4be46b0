//! The fields of the configuration file. Their comments are the descriptions of the JSON Schema.
//!
//! Values are only parsed here; the other modules of `config` check them. Strings stay strings, each with its place in
//! the file, so that all problems can be reported at once. The types have the names of the tables, and the other modules
//! build types of the same name from them: a `Role` from a `raw::Role`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use crate::auth::issuer;
use crate::route::Operation;

mod forms;
mod listen;

pub(super) use self::listen::{Balancers, ClientAddress, Listen};

/// A value and its place in the file: the type of `toml`, with the schema of the value.
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

/// A string and its place in the file.
pub(super) type Text = Spanned<String>;

/// The configuration of bedrock-gateway. In every string except expressions, `${NAME}` and `${NAME:-default}` are
/// replaced from the environment. Write durations like `"10m"`, and sizes like `"32MiB"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// The addresses that the gateway listens on, and the limits of its connections.
    pub(super) listen: Spanned<Listen>,
    /// The regions and endpoints of Bedrock and STS.
    pub(super) aws: Spanned<Aws>,
    /// The limits on what callers use at once. A reload changes all of them.
    #[serde(default)]
    pub(super) limits: Limits,
    /// How sessions are fetched, renewed and cached.
    #[serde(default)]
    pub(super) sessions: Sessions,
    /// Identity providers whose tokens are accepted, one table for each. Required.
    #[serde(default)]
    pub(super) issuer: Vec<Spanned<Issuer>>,
    /// The role table: the first role that matches is the caller's. If none matches, the request is refused. Required.
    #[serde(default)]
    pub(super) role: Vec<Spanned<Role>>,
    /// The end of the role table: callers that no role matches.
    #[serde(default)]
    pub(super) no_role: NoRole,
    /// Callers whose access is revoked. Default: none.
    pub(super) revoke: Option<Revoke>,
    /// The process log and the access log.
    #[serde(default)]
    pub(super) log: Log,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Aws {
    /// The region of Bedrock and of STS, for example `"us-east-1"`.
    pub(super) region: Text,
    /// Further regions of the same partition. Callers choose one by the first path segment: `/us-west-2/model/…`.
    /// Default: none.
    #[serde(default)]
    pub(super) regions: Vec<Text>,
    /// Whether to use FIPS endpoints only. Requests to a service without one are refused. Default: false.
    #[serde(default)]
    pub(super) fips: bool,
    /// Whether to use endpoints that also have IPv6 addresses. Default: false.
    #[serde(default)]
    pub(super) dual_stack: bool,
    /// Longest wait for a connection to Bedrock, TLS included, `"100ms"` to `"1m"`. Restart. Default: `"3s"`.
    pub(super) connect_timeout: Option<Text>,
    /// Longest wait for the first byte of Bedrock's answer, `"1s"` to `"24h"`. Some models think for up to an hour.
    /// Default: `"60m"`.
    pub(super) first_byte_timeout: Option<Text>,
    /// Longest silence within Bedrock's answer, `"2s"` to `"24h"`. Default: `"10m"`.
    pub(super) stream_idle_timeout: Option<Text>,
    /// Longest wait for a session from STS, with all attempts, `"1s"` to `"1m"`. Restart. Default: `"10s"`.
    pub(super) sts_timeout: Option<Text>,
    /// Whether a reload that changes roles, tag keys or the source identity first requests one session of each changed
    /// role from STS, with made-up values, and is rejected if STS denies one. Default: true.
    pub(super) canary: Option<bool>,
    /// Endpoints of `region` to use instead of AWS's own, for example VPC endpoints. Default: none.
    #[serde(default)]
    pub(super) endpoints: Endpoints,
    /// Endpoints of the further regions, by region. Default: none.
    #[serde(default)]
    pub(super) region_endpoints: BTreeMap<Text, RegionEndpoints>,
}

/// Endpoint URLs: scheme (`https` or `http`), host and port, without a path.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Endpoints {
    /// The URL of STS. Default: AWS's own.
    pub(super) sts: Option<Text>,
    /// The URL of bedrock-runtime. Default: AWS's own.
    pub(super) bedrock_runtime: Option<Text>,
    /// The URL of the Bedrock control plane. Default: AWS's own.
    pub(super) bedrock: Option<Text>,
    /// The URL of bedrock-mantle. Default: AWS's own.
    pub(super) bedrock_mantle: Option<Text>,
    /// A PEM file of CAs to trust for these endpoints, in addition to the system's. Default: none.
    pub(super) ca: Option<Text>,
}

/// The same as `[aws.endpoints]`, except `sts`: the gateway calls STS in `region` only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RegionEndpoints {
    /// The URL of bedrock-runtime. Default: AWS's own.
    pub(super) bedrock_runtime: Option<Text>,
    /// The URL of the Bedrock control plane. Default: AWS's own.
    pub(super) bedrock: Option<Text>,
    /// The URL of bedrock-mantle. Default: AWS's own.
    pub(super) bedrock_mantle: Option<Text>,
    /// A PEM file of CAs to trust for these endpoints, in addition to the system's. Default: none.
    pub(super) ca: Option<Text>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// Largest number of open connections of clients, 1 to 1000000. Further ones wait. Default: 10000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) connections: Option<Spanned<usize>>,
    /// Largest number of concurrent streams of one HTTP/2 connection, 1 to 10000. A reload changes it for new
    /// connections. Default: 256.
    #[schemars(range(min = 1, max = 10_000))]
    pub(super) streams_per_connection: Option<Spanned<u32>>,
    /// Largest number of concurrent requests, 1 to 1000000. Further ones are answered with 503. Default: 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) requests: Option<Spanned<usize>>,
    /// Largest number of concurrent requests of one principal, 1 to `requests`. Further ones are answered with 429. A
    /// role can set its own: `concurrency`. Default: 256, or `requests` if that is less.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) requests_per_principal: Option<Spanned<usize>>,
    /// Memory for all request bodies together, `"1MiB"` to `"1024GiB"`. Further bodies are answered with 503. Default:
    /// `"512MiB"`.
    pub(super) body_memory: Option<Text>,
    /// Memory for the request bodies of one principal, `listen.max_body` to `body_memory`. Further bodies are answered
    /// with 429. Default: `"128MiB"`, or `listen.max_body` if that is more.
    pub(super) body_memory_per_principal: Option<Text>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sessions {
    /// The lifetime of sessions, `"15m"` to `"12h"`. Default: `"1h"`.
    pub(super) duration: Option<Text>,
    /// The gateway renews a session in use at most this long before it expires, at least `"1s"`. It uses at most a fifth
    /// of the granted lifetime. Default: `"10m"`.
    pub(super) refresh_before: Option<Text>,
    /// Largest number of sessions in the cache. Default: 100000.
    #[schemars(range(min = 1))]
    pub(super) capacity: Option<Spanned<u64>>,
    /// Largest number of `AssumeRole` calls per second, for this process. Default: 100.
    #[schemars(range(min = 1))]
    pub(super) max_sts_rate: Option<Spanned<u32>>,
    /// For one role and session name: at most this many live sessions, and this many new ones a minute. Default: 8.
    #[schemars(range(min = 1))]
    pub(super) per_name: Option<Spanned<usize>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    /// A short name of your choice: 1 to 64 letters, digits, `-`, `_` and `.`. Used in expressions (`issuer.name`), roles, logs
    /// and metrics.
    pub(super) name: Text,
    /// The exact `iss` of the tokens. The gateway finds the signing keys from here by discovery, unless `jwks_url` or
    /// `jwks_file` is set.
    pub(super) url: Text,
    /// Accepted audiences. A token must have at least one of them.
    #[schemars(length(min = 1))]
    pub(super) audiences: Spanned<Vec<Text>>,
    /// The claim with the audience, for access tokens without `aud`. Default: `"aud"`.
    pub(super) audience_claim: Option<Text>,
    /// Accepted signature algorithms. Default: `["RS256", "ES256"]`.
    #[schemars(with = "Option<Vec<AlgorithmName>>", length(min = 1))]
    pub(super) algorithms: Option<Spanned<Vec<Text>>>,
    /// Accepted values of `typ`. A token without `typ` is accepted as well. Default: `["JWT", "at+jwt"]`.
    #[schemars(length(min = 1))]
    pub(super) types: Option<Spanned<Vec<Text>>>,
    /// Longest time since `iat`, `"1s"` to `"365d"`. Default: no limit except `exp`.
    pub(super) max_token_age: Option<Text>,
    /// How far the issuer's clock may differ from the gateway's, at most `"5m"`. Default: `"30s"`.
    pub(super) leeway: Option<Text>,
    /// The URL of the signing keys (JWK set), instead of discovery. Default: none.
    pub(super) jwks_url: Option<Text>,
    /// A file with the signing keys (JWK set), instead of discovery. Default: none.
    pub(super) jwks_file: Option<Text>,
    /// A PEM file of CAs to trust for this issuer, in addition to the system's. Default: none.
    pub(super) ca: Option<Text>,
    /// Request headers that this issuer's expressions can read. Default: none.
    #[serde(default)]
    pub(super) request_headers: Vec<Text>,
    /// Requirements: conditions that every caller must meet. Default: none.
    #[serde(default)]
    pub(super) require: Vec<Require>,
    /// The mapping from claims to session name, source identity and tags.
    pub(super) session: Session,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Require {
    /// CEL condition. If it is not true, the request is refused.
    pub(super) expression: Text,
    /// The text that the log shows if the condition is not true. The caller does not see it.
    pub(super) message: Text,
    /// The text that the caller sees if the condition is false, for example where to ask: 1 to 256 printable characters.
    /// Default: none, and the caller is referred to the gateway's operator.
    pub(super) tell: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Session {
    /// The session name: the last part of the principal in the bill.
    pub(super) name: Spanned<Mapped>,
    /// The source identity, which stays the same when the session assumes further roles. Default: none.
    pub(super) source_identity: Option<Spanned<Mapped>>,
    /// Session tags by key, at most 50. Default: none.
    #[serde(default)]
    pub(super) tags: BTreeMap<Text, Spanned<Mapped>>,
}

/// A CEL expression as a string, or the long form as a table.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
pub(super) enum Mapped {
    Expression(String),
    Long(LongMapped),
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct LongMapped {
    /// A CEL expression, or a list of them. The first one whose value is not missing counts.
    pub(super) from: Option<Spanned<OneOrMore>>,
    /// The value if the values of all expressions are missing. Default: none.
    pub(super) default: Option<Text>,
    /// A constant, instead of `from` and `default`.
    pub(super) value: Option<Text>,
    /// Whether the request is refused if the value is missing; otherwise the value is left out. Default: true.
    #[serde(default = "yes")]
    pub(super) required: bool,
    /// How the gateway treats a value that AWS would not accept. Default: `"replace"`.
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
    /// Remove the illegal characters and append a hash of the whole value.
    #[default]
    Replace,
    /// Refuse the request.
    Reject,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Role {
    /// CEL condition for this role. Default: matches every caller.
    pub(super) when: Option<Text>,
    /// Names of the issuers whose callers can match. Required if there is more than one issuer. Default: the only one.
    #[schemars(length(min = 1))]
    pub(super) issuers: Option<Spanned<Vec<Text>>>,
    /// The ARN of the IAM role to assume.
    pub(super) arn: Text,
    /// The `sts:ExternalId` that the role's trust policy requires: 2 to 1224 letters, digits and `_+=,.@:/-`. Default:
    /// none.
    pub(super) external_id: Option<Text>,
    /// Session names that the role allows, as patterns with `*`: `"*@acme.org"`. The case of letters counts. A name in
    /// which the gateway replaced characters is compared by its original value. Default: all.
    #[schemars(length(min = 1))]
    pub(super) session_names: Option<Spanned<Vec<Text>>>,
    /// The lifetime of the role's sessions, `"15m"` to `"12h"`. Default: `duration` of `[sessions]`.
    pub(super) duration: Option<Text>,
    /// A session policy (JSON) that limits the role further. At most 2048 characters together with `policy_arns`. Default:
    /// none.
    pub(super) policy: Option<Text>,
    /// Managed policies that limit the role further, at most 10. Default: none.
    #[serde(default)]
    pub(super) policy_arns: Vec<Text>,
    /// Keys of session tags that stay when the session assumes further roles. Default: none.
    #[serde(default)]
    pub(super) transitive_tags: Vec<Text>,
    /// Operations that the role allows. Default: all except the shared operations (`async-get`, `async-list`,
    /// `responses-stored`).
    #[schemars(with = "Option<Vec<OperationName>>", length(min = 1))]
    pub(super) operations: Option<Spanned<Vec<Text>>>,
    /// Models that the role allows, as patterns with `*`. Default: all.
    #[schemars(length(min = 1))]
    pub(super) models: Option<Spanned<Vec<Text>>>,
    /// Regions that the role allows, from those of `[aws]`. Default: all of them.
    #[schemars(length(min = 1))]
    pub(super) regions: Option<Spanned<Vec<Text>>>,
    /// Values of `OpenAI-Project` and `anthropic-workspace-id` that callers may send. Default: callers may send none.
    #[serde(default)]
    pub(super) projects: Vec<Text>,
    /// The text that a caller of this role sees if the role refuses the session name, operation, model, region or project, for
    /// example
    /// where to ask: 1 to 256 printable characters. Default: none, and the caller is referred to the gateway's operator.
    pub(super) tell: Option<Text>,
    /// Largest number of concurrent requests of one principal of this role, 1 to `limits.requests`. For a service that
    /// calls for many people. Default: `limits.requests_per_principal`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(super) concurrency: Option<Spanned<usize>>,
    /// Whether equal session names of different issuers mean the same person. Rules with the same `arn` are checked
    /// together: set it in each of them. Default: false.
    #[serde(default)]
    pub(super) shared_names: bool,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NoRole {
    /// The text that a caller sees if no role matches, for example where to ask: 1 to 256 printable characters. Default:
    /// none, and the caller is referred to the gateway's operator.
    pub(super) tell: Option<Text>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    /// The path of the deny file. The file must exist, but may be empty. It is reloaded when it changes.
    pub(super) file: Text,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Log {
    /// The format of both logs. Default: `"auto"`.
    #[serde(default)]
    pub(super) format: LogFormat,
    /// A file to which both logs are appended: a regular file, or a device such as `/dev/stdout`, but no named pipe.
    /// Default: none; the process log goes to standard error, and the access log to standard output.
    pub(super) file: Option<Text>,
    /// The level of the process log, for example `"info,bedrock_gateway::sessions=debug"`. `"debug"` is
    /// for the gateway's own lines. The environment variable `RUST_LOG` replaces it. Default: `"info"`.
    pub(super) level: Option<Text>,
    /// Whether the access log has the message of an error that Bedrock answers, at most 256 bytes of it. Default: true.
    pub(super) upstream_messages: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object for each line.
    Json,
    /// One line of plain text.
    Text,
}

/// The schema of a name in `role.operations`.
pub(super) struct OperationName;

/// The schema of a name in `issuer.algorithms`.
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
