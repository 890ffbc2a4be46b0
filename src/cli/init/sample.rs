//! A sample of the issuer's tokens, or of their claims. Nothing of it is verified, and no token is printed.

use std::path::Path;
use std::time::SystemTime;

use serde_json::{Map, Value};

use super::answers::Answers;
use super::starting_point::{self, OwnerKind};
use crate::auth::UnverifiedToken;
use crate::cli::explain::read_claims;
use crate::cli::read_file;
use crate::clock;

/// Parts of an encrypted token (RFC 7516, section 3.1).
const PARTS_OF_JWE: usize = 5;

/// The claims of a caller, as the issuer writes them.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) claims: Map<String, Value>,
    /// The algorithm of the token's signature; `None` for claims.
    pub(super) algorithm: Option<String>,
    /// Facts about it that the operator has to know.
    pub(super) notes: Vec<String>,
}

impl Sample {
    /// Reads a file with a token.
    ///
    /// # Errors
    /// When it cannot be read, or the gateway could not read such a token: the cause and the fix.
    pub(super) fn of_token(file: &Path) -> Result<Self, String> {
        let fault = |text: &str| format!("{}: {text}", file.display());
        Self::of_token_text(read_file(file)?.trim(), clock::now()).map_err(|text| fault(&text))
    }

    fn of_token_text(token: &str, now: SystemTime) -> Result<Self, String> {
        if token.is_empty() {
            return Err("the file is empty; write a token into it".to_owned());
        }
        if token.split('.').count() == PARTS_OF_JWE {
            return Err("the token is encrypted (a JWE), and the gateway reads only signed tokens (JWS); turn the encryption off for this audience at the identity provider, or pass its decrypted claims with --claims".to_owned());
        }
        let parsed = UnverifiedToken::read(token).map_err(|error| {
            format!("{error}; the gateway reads only JWTs: ask the identity provider for a JWT access token or an ID token, or pass claims with --claims")
        })?;
        let mut notes = Vec::new();
        match parsed.expires() {
            Ok(Some(expires)) if expires <= now => notes.push(format!(
                "the sample token expired at {}: its claims are used all the same, but `explain` and `doctor` need a new one",
                clock::rfc3339(expires)
            )),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => notes.push(
                "the sample token has no time in `exp`: the gateway rejects such tokens, so let the identity provider issue tokens that expire".to_owned(),
            ),
        }
        let algorithm = Some(parsed.algorithm().to_owned());
        Ok(Self { claims: parsed.claims().clone(), algorithm, notes })
    }

    /// Reads a file with claims, a JSON object.
    ///
    /// # Errors
    /// When it cannot be read, or is something else.
    pub(super) fn of_claims(file: &Path) -> Result<Self, String> {
        let text = read_file(file)?;
        let claims = read_claims(&text).map_err(|fault| {
            format!(
                "{}: the claims are not a JSON object: {fault}; pass a token with --token-file",
                file.display()
            )
        })?;
        Ok(Self { claims, algorithm: None, notes: Vec::new() })
    }

    /// Completes the answers with what the sample says about the issuer.
    pub(super) fn complete(&self, answers: &mut Answers) {
        let text = |name: &str| self.claims.get(name).and_then(Value::as_str);
        if answers.issuer.is_none() {
            answers.issuer = self.issuer().map(str::to_owned);
        }
        let point = answers.point();
        if answers.issuer_url.is_none() {
            answers.issuer_url = text("iss").map(str::to_owned);
        }
        if answers.audiences.is_empty() {
            let claim = if point.name == "cognito" { "client_id" } else { "aud" };
            answers.audiences.extend(self.audience(claim, point.audience()).map(str::to_owned));
        }
        if answers.owner.is_none() {
            answers.owner = match point.owner.map(|owner| owner.kind) {
                Some(OwnerKind::Domain) => text("hd").map(str::to_owned),
                Some(OwnerKind::Organisation) => text("repository_owner_id").map(str::to_owned),
                Some(OwnerKind::Account) => {
                    text("sub").and_then(|arn| arn.split(':').nth(4)).map(str::to_owned)
                }
                Some(OwnerKind::Tenant) | None => None,
            };
        }
    }

    /// The starting point for its issuer.
    fn issuer(&self) -> Option<&'static str> {
        let iss = self.claims.get("iss")?.as_str()?;
        if self.claims.contains_key("kubernetes.io") {
            return Some("kubernetes");
        }
        Some(starting_point::matching(iss))
    }

    /// Its audience. Of several, the usual one.
    fn audience(&self, claim: &str, usual: &str) -> Option<&str> {
        match self.claims.get(claim)? {
            Value::String(one) => Some(one),
            Value::Array(several) => {
                let mut texts = several.iter().filter_map(Value::as_str);
                texts.clone().find(|text| *text == usual).or_else(|| texts.next())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn read(token: &str, now: u64) -> Result<Sample, String> {
        Sample::of_token_text(token, SystemTime::UNIX_EPOCH + Duration::from_secs(now))
    }

    fn token(claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.c2ln", part(&json!({ "alg": "ES384" })), part(claims))
    }

    #[test]
    fn unusable_tokens_are_refused_with_the_remedy() {
        for (token, words) in [
            ("", "the file is empty"),
            ("a.b.c.d.e", "turn the encryption off"),
            ("sk-123", "ask the identity provider for a JWT access token"),
        ] {
            let fault = read(token, 0).unwrap_err();
            assert!(fault.contains(words) && !fault.contains("sk-123"), "{fault}");
        }
    }

    #[test]
    fn an_expired_token_still_shows_the_claims() {
        let claims = json!({ "exp": 100, "sub": "alice" });
        assert!(read(&token(&claims), 99).unwrap().notes.is_empty());
        let sample = read(&token(&claims), 100).unwrap();
        assert_eq!(sample.claims["sub"], "alice");
        assert_eq!(sample.algorithm.as_deref(), Some("ES384"));
        assert!(sample.notes[0].contains("expired at 1970-01-01T00:01:40Z"), "{:?}", sample.notes);
    }

    #[test]
    fn the_usual_audience_of_several_is_chosen() {
        let of = |aud: Value| {
            let claims = json!({ "iss": "https://id.acme.org", "aud": aud });
            let mut answers = Answers::default();
            let claims = claims.as_object().unwrap().clone();
            Sample { claims, algorithm: None, notes: Vec::new() }.complete(&mut answers);
            answers.audiences
        };
        assert_eq!(of(json!(["account", "bedrock-gateway"])), ["bedrock-gateway"]);
        assert_eq!(of(json!(["account", "x"])), ["account"]);
        assert_eq!(of(json!("x")), ["x"]);
        assert!(of(json!(null)).is_empty());
    }
}
