//! The callers that the operator supplies: which role rule and session name the mapping gives them.

use http::{HeaderMap, HeaderValue, header};

use super::{Check, Sample};
use crate::auth::{AuthError, Authenticator, CacheLimits, InvalidReason, UnverifiedToken};
use crate::clock;
use crate::config::Config;
use crate::identity::IdentityMemo;
use crate::identity::sample::SampleSession;
use crate::proxy::Proxy;
use crate::telemetry::metrics::Metrics;

/// The sessions of all samples that the gateway would accept.
pub(super) async fn check(
    config: &Config,
    samples: &[Sample],
    proxy: &Proxy,
    note: &mut (dyn FnMut(Check) + Send),
) -> Vec<SampleSession> {
    let mut sessions = Vec::new();
    for sample in samples {
        let (file, found) = match sample {
            Sample::Claims { file, issuer, claims } => {
                (file, config.mapping.sample(issuer, claims).map_err(|error| mapping_refuses(&error)))
            }
            Sample::Token { file, token } => (file, of_token(config, token, proxy).await),
        };
        let name = format!("caller of {file}");
        match found {
            Ok(session) => {
                note(Check::ok(name, format!("the mapping gives {}", session.session.principal())));
                sessions.push(session);
            }
            Err((fault, fix)) => note(Check::fail(name, fault, fix)),
        }
    }
    sessions
}

fn mapping_refuses(error: &impl std::fmt::Display) -> (String, String) {
    (
        format!("the gateway refuses this caller: {error}"),
        "run bedrock-gateway explain, which shows each step, or pass the claims of another caller".to_owned(),
    )
}

async fn of_token(config: &Config, token: &str, proxy: &Proxy) -> Result<SampleSession, (String, String)> {
    let setup = |error: &dyn std::fmt::Display| (error.to_string(), "check the issuers' tables".to_owned());
    if token.split('.').count() == 5 {
        return Err((
            "the token is encrypted (JWE, five parts): the gateway reads signed tokens (JWS, three parts) only"
                .to_owned(),
            "turn token encryption off for this client at the identity provider".to_owned(),
        ));
    }
    let unverified = UnverifiedToken::read(token).map_err(|error| refused(&error, None))?;
    let bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|error| setup(&error))?;
    let (issuers, limits) = (config.issuers.clone(), CacheLimits::default());
    let authenticator =
        Authenticator::<IdentityMemo>::through(proxy.clone(), issuers, limits, Metrics::new())
            .map_err(|error| setup(&error))?;
    let carrier = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
    let caller = authenticator.verify(&carrier).await.map_err(|error| refused(&error, Some(&unverified)))?;
    let caller = caller.verified();
    config.mapping.sample(caller.issuer(), caller.claims()).map_err(|error| mapping_refuses(&error))
}

/// The cause for which the gateway would reject the token, and the next step.
fn refused(error: &AuthError, token: Option<&UnverifiedToken<'_>>) -> (String, String) {
    match error {
        AuthError::Expired { .. } => {
            let expiry = token.and_then(|token| token.expires().ok().flatten());
            let at = expiry.map_or_else(String::new, |at| format!(" at {}", clock::rfc3339(at)));
            (format!("the token expired{at}"), "get a new token, or pass its claims by --claims".to_owned())
        }
        AuthError::Invalid { reason: InvalidReason::Malformed, .. } => (
            error.to_string(),
            "pass the token as the client sends it: three base64url parts with dots between them".to_owned(),
        ),
        AuthError::KeysUnavailable { .. } => {
            (error.to_string(), "see the check of this issuer, or pass the claims by --claims".to_owned())
        }
        _ => (
            error.to_string(),
            "run bedrock-gateway explain --token-file, which shows the whole cause".to_owned(),
        ),
    }
}
