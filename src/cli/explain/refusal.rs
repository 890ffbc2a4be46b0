//! The cause of a rejected token, in more detail than the caller gets: the operator has the token and wrote the
//! configuration.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::auth::issuer::{IssuerSettings, algorithm_names};
use crate::auth::{AuthError, InvalidReason, IssuerStatus, UnverifiedToken};
use crate::clock;

pub(super) fn in_words(
    error: &AuthError,
    token: Option<&UnverifiedToken<'_>>,
    issuers: &[IssuerSettings],
    status: &[IssuerStatus],
) -> String {
    let expiry = match error {
        AuthError::Invalid { reason, .. } => return invalid(*reason, token, issuers),
        AuthError::KeysUnavailable { issuer } => {
            let status = status.iter().find(|status| status.name == *issuer);
            let fault = status.and_then(|status| status.last_error.as_deref()).unwrap_or("no answer");
            return format!("cannot fetch the signing keys of {issuer}: {fault}");
        }
        AuthError::Expired { .. } => token.and_then(|token| token.expires().ok().flatten()),
        AuthError::Missing | AuthError::TokensDiffer | AuthError::HeaderRepeated | AuthError::Oversized => {
            None
        }
    };
    let at = |time: SystemTime| format!("{error}: `exp` is {}", clock::rfc3339(time));
    expiry.map_or_else(|| error.to_string(), at)
}

/// The causes for which a token of the issuer with these claims would be rejected, whatever the mapping says.
pub(super) fn of_claims(claims: &Map<String, Value>, issuer: &IssuerSettings) -> Vec<String> {
    let found = |name: &str| claims.get(name).map_or_else(|| "missing".to_owned(), Value::to_string);
    let mut faults = Vec::new();
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.url) {
        faults.push(format!(
            "a token with these claims would be rejected: `iss` is {}; it must be {:?}, the issuer's url",
            found("iss"),
            issuer.url
        ));
    }
    if !issuer.is_for(claims) {
        let (name, accepted) = (issuer.audience_claim(), &issuer.audiences);
        faults.push(format!(
            "a token with these claims would be rejected: `{name}` is {}; audiences is {accepted:?}",
            found(name)
        ));
    }
    faults
}

fn invalid(reason: InvalidReason, token: Option<&UnverifiedToken<'_>>, issuers: &[IssuerSettings]) -> String {
    let Some(token) = token else {
        return "it is not a JWT (three base64url parts with dots between them; the first two contain JSON)"
            .to_owned();
    };
    let claim = |name: &str| token.claim(name).map_or_else(|| "missing".to_owned(), Value::to_string);
    let settings = issuers.iter().find(|settings| token.claim("iss").is_some_and(|iss| *iss == settings.url));
    let of_issuer = |list: fn(&IssuerSettings) -> String| settings.map(list).unwrap_or_default();
    match reason {
        InvalidReason::Malformed => "it is not a JWT".to_owned(),
        InvalidReason::Issuer => {
            let known: Vec<_> = issuers.iter().map(|issuer| format!("{:?}", issuer.url)).collect();
            format!("its `iss` is {}; the urls of the issuers are {}", claim("iss"), known.join(", "))
        }
        InvalidReason::Audience => {
            let name = settings.map_or("aud", IssuerSettings::audience_claim);
            let accepted = of_issuer(|settings| format!("{:?}", settings.audiences));
            format!("its `{name}` is {}; audiences is {accepted}", claim(name))
        }
        InvalidReason::Algorithm => {
            let accepted = of_issuer(|settings| algorithm_names(&settings.algorithms));
            let algorithm = token.algorithm();
            format!(
                "its `alg` is {algorithm:?}; algorithms is {accepted}, and the signing key must support it"
            )
        }
        InvalidReason::Type => {
            let accepted = of_issuer(|settings| format!("{:?}", settings.types));
            format!("its `typ` is {:?}; types is {accepted}", token.kind().unwrap_or_default())
        }
        InvalidReason::CriticalHeader => {
            "its header has `crit`: it demands extensions that the gateway does not support".to_owned()
        }
        InvalidReason::NotYetValid => {
            format!("it is not valid yet: `nbf` is {}, `iat` is {}", claim("nbf"), claim("iat"))
        }
        InvalidReason::TooOld => format!("it is older than max_token_age: `iat` is {}", claim("iat")),
        InvalidReason::KeyUnknown => match token.key_id() {
            Some(id) => format!("its `kid` is {id:?}; the issuer has no signing key with this id"),
            None => "it has no `kid`, and no signing key of the issuer fits".to_owned(),
        },
        InvalidReason::Signature => "its signature was not made with the issuer's signing key".to_owned(),
        InvalidReason::Claims => format!(
            "a time is missing or not a number: `exp` is {}, `nbf` is {}, `iat` is {}",
            claim("exp"),
            claim("nbf"),
            claim("iat")
        ),
    }
}
