//! The contents of a token, and its serialization.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use super::keys::{Algorithm, SigningKey, base64url};
use crate::{clock, credentials};

/// The contents of a token to mint. The defaults are those of an ordinary access token: RS256, `typ` JWT, the
/// issuer's `iss`, audience `bedrock-gateway`, valid for an hour from now on, a new `jti`.
#[derive(Debug, Clone)]
#[must_use = "only `Idp::mint` makes a token from it"]
pub struct Claims {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    header: Fields,
    payload: Fields,
}

/// `None` leaves a field out, also one that has a default.
type Fields = BTreeMap<String, Option<Box<RawValue>>>;

/// The default audience of tokens.
pub const AUDIENCE: &str = "bedrock-gateway";

impl Claims {
    /// The default claims with this subject (`sub`).
    pub fn of(subject: &str) -> Self {
        let now = clock::now();
        let claims =
            Self { algorithm: Algorithm::RS256, kid: None, header: Fields::new(), payload: Fields::new() };
        claims
            .typ(Some("JWT"))
            .claim("sub", subject)
            .claim("aud", AUDIENCE)
            .claim("iat", numeric_date(now))
            .claim("exp", numeric_date(now + Duration::from_hours(1)))
            .claim("jti", base64url(&credentials::random::<12>()))
    }

    /// Sets any claim, also a registered one.
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.payload.insert(name.to_owned(), Some(raw(value)));
        self
    }

    /// Sets a claim to exactly this JSON. A number can have more digits than [`Value`] can hold.
    pub fn written(mut self, name: &str, json: &str) -> Self {
        let json = RawValue::from_string(json.to_owned()).expect("it is JSON");
        self.payload.insert(name.to_owned(), Some(json));
        self
    }

    /// Leaves a claim out, also `iss`.
    pub fn without(mut self, name: &str) -> Self {
        self.payload.insert(name.to_owned(), None);
        self
    }

    pub fn audience(self, audience: &str) -> Self {
        self.claim("aud", audience)
    }

    pub fn issuer(self, issuer: &str) -> Self {
        self.claim("iss", issuer)
    }

    /// Sets `exp` to this time from now.
    pub fn expires_in(self, after: Duration) -> Self {
        self.claim("exp", numeric_date(clock::now() + after))
    }

    /// Sets `exp` to this time ago, and `iat` to an hour before that.
    pub fn expired_for(self, ago: Duration) -> Self {
        let expired = clock::now() - ago;
        self.claim("exp", numeric_date(expired)).claim("iat", numeric_date(expired - Duration::from_hours(1)))
    }

    /// Sets `nbf` to this time from now.
    pub fn good_in(self, after: Duration) -> Self {
        self.claim("nbf", numeric_date(clock::now() + after))
    }

    /// Sets `iat` to this time ago.
    pub fn issued_ago(self, ago: Duration) -> Self {
        self.claim("iat", numeric_date(clock::now() - ago))
    }

    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// Sets `kid` in the header. If the issuer has a key of that name, it signs with it.
    pub fn kid(mut self, kid: &str) -> Self {
        self.kid = Some(kid.to_owned());
        self
    }

    /// Sets `typ` in the header; `None` leaves it out.
    pub fn typ(mut self, typ: Option<&str>) -> Self {
        self.header.insert("typ".to_owned(), typ.map(raw));
        self
    }

    /// Leaves `kid` out of the header.
    pub fn without_kid(mut self) -> Self {
        self.header.insert("kid".to_owned(), None);
        self
    }

    /// Sets any field of the header, also `alg` and `kid`. Those change only the text, not the key or algorithm that
    /// signs.
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), Some(raw(value)));
        self
    }

    /// The first two parts of the token. Fields that the test has set take precedence over these arguments.
    pub(super) fn signing_input(&self, issuer: &str, algorithm: &str, kid: &str) -> String {
        let mut header = self.header.clone();
        default(&mut header, "alg", algorithm);
        default(&mut header, "kid", kid);
        let mut payload = self.payload.clone();
        default(&mut payload, "iss", issuer);
        format!("{}.{}", part(&header), part(&payload))
    }

    /// The token, signed with `key`.
    pub(super) fn sign(&self, issuer: &str, key: &SigningKey, kid: &str) -> String {
        let input = self.signing_input(issuer, self.algorithm.as_str(), kid);
        let signature = key.sign(self.algorithm, input.as_bytes());
        with_signature(&input, &signature)
    }
}

pub(super) fn with_signature(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", base64url(signature))
}

fn default(fields: &mut Fields, name: &str, value: &str) {
    let field = fields.entry(name.to_owned());
    field.or_insert_with(|| Some(raw(value)));
}

fn raw(value: impl Into<Value>) -> Box<RawValue> {
    to_raw_value(&value.into()).expect("it is a value of JSON")
}

fn part(fields: &Fields) -> String {
    let present: BTreeMap<_, _> =
        fields.iter().filter_map(|(name, value)| Some((name, value.as_ref()?))).collect();
    base64url(&serde_json::to_vec(&present).expect("it has keys that are texts"))
}

fn numeric_date(at: SystemTime) -> Value {
    json!(clock::unix_seconds(at))
}
