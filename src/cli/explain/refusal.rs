//! Why a token was refused, in more words than a caller is told: the operator holds the token and has
//! written the configuration.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::auth::issuer::IssuerSettings;
use crate::auth::{AuthError, InvalidReason, IssuerStatus, UnverifiedToken};
use crate::clock;

pub(super) fn in_words(
    error: &AuthError,
    token: Option<&UnverifiedToken<'_>>,
    issuers: &[IssuerSettings],
    status: &[IssuerStatus],
) -> String {
    let fault = match error {
        AuthError::Invalid { reason, .. } => return invalid(*reason, token, issuers),
        AuthError::KeysUnavailable { issuer } => {
            let status = status.iter().find(|status| status.name == *issuer);
            let fault = status.and_then(|status| status.last_error.as_deref()).unwrap_or("no answer");
            return format!("the keys of {issuer} cannot be fetched: {fault}");
        }
        AuthError::Expired { .. } => token.and_then(|token| token.expires().ok().flatten()),
        AuthError::Missing | AuthError::TokensDiffer | AuthError::HeaderRepeated | AuthError::Oversized => {
            None
        }
    };
    let at = |time: SystemTime| format!("{error}: exp is {}", clock::rfc3339(time));
    fault.map_or_else(|| error.to_string(), at)
}

/// Why a token of the issuer that had these claims would be refused, whatever they become.
pub(super) fn of_claims(claims: &Map<String, Value>, issuer: &IssuerSettings) -> Vec<String> {
    let found = |name: &str| claims.get(name).map_or_else(|| "not there".to_owned(), Value::to_string);
    let mut faults = Vec::new();
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.url) {
        faults.push(format!(
            "a token would be refused: its iss must be {:?} and is {}",
            issuer.url,
            found("iss")
        ));
    }
    if !issuer.is_for(claims) {
        let (name, taken) = (issuer.audience_claim(), &issuer.audiences);
        faults.push(format!(
            "a token would be refused: its {name} must be of {taken:?} and is {}",
            found(name)
        ));
    }
    faults
}

fn invalid(reason: InvalidReason, token: Option<&UnverifiedToken<'_>>, issuers: &[IssuerSettings]) -> String {
    let Some(token) = token else {
        return "it is no JWT, which is three parts of base64url with dots between them, JSON in the first two"
            .to_owned();
    };
    let claim = |name: &str| token.claim(name).map_or_else(|| "not there".to_owned(), Value::to_string);
    let settings = issuers.iter().find(|settings| token.claim("iss").is_some_and(|iss| *iss == settings.url));
    let of_issuer = |list: fn(&IssuerSettings) -> String| settings.map(list).unwrap_or_default();
    match reason {
        InvalidReason::Malformed => "it is no JWT".to_owned(),
        InvalidReason::Issuer => {
            let known: Vec<_> = issuers.iter().map(|issuer| format!("{:?}", issuer.url)).collect();
            format!("its iss is {}; the issuers have the urls {}", claim("iss"), known.join(", "))
        }
        InvalidReason::Audience => {
            let name = settings.map_or("aud", IssuerSettings::audience_claim);
            let taken = of_issuer(|settings| format!("{:?}", settings.audiences));
            format!("its {name} is {}; audiences is {taken}", claim(name))
        }
        InvalidReason::Algorithm => {
            let taken = of_issuer(|settings| format!("{:?}", settings.algorithms));
            format!("its alg is {:?}; algorithms is {taken}, and the key must fit", token.algorithm())
        }
        InvalidReason::Type => {
            let taken = of_issuer(|settings| format!("{:?}", settings.types));
            format!("its typ is {:?}; types is {taken}", token.kind().unwrap_or_default())
        }
        InvalidReason::CriticalHeader => {
            "its header has crit, which names extensions to be understood".to_owned()
        }
        InvalidReason::NotYetValid => {
            format!("it is not good yet: nbf is {}, iat is {}", claim("nbf"), claim("iat"))
        }
        InvalidReason::TooOld => format!("it is older than max_token_age: iat is {}", claim("iat")),
        InvalidReason::KeyUnknown => match token.key_id() {
            Some(id) => format!("its kid is {id:?}, and no key of the issuer's set has it"),
            None => "it has no kid, and no key of the issuer's set fits".to_owned(),
        },
        InvalidReason::Signature => "its signature is not by the issuer's key".to_owned(),
        InvalidReason::Claims => format!(
            "a time is missing or no number: exp is {}, nbf is {}, iat is {}",
            claim("exp"),
            claim("nbf"),
            claim("iat")
        ),
    }
}
