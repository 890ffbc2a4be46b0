//! The authentication of arbitrary headers: the gateway accepts only the token that the issuer signed.
//!
//! An input consists of header lines. `HEAD`, `CLAIMS` and `SIGNATURE` in them are replaced by the parts of a valid
//! token, so that an input does not depend on the keys of a run.

use std::sync::LazyLock;

use bedrock_bed::until;
use bedrock_gateway::auth::issuer::{IssuerSettings, KeySource, LEEWAY};
use bedrock_gateway::auth::{Authenticator, CacheLimits};
use bedrock_gateway::identity::IdentityMemo;
use bedrock_gateway::telemetry::metrics::Metrics;
use bedrock_standin::idp::{Claims, Idp};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::world::RUNTIME;

struct World {
    authenticator: Authenticator<IdentityMemo>,
    token: String,
    _idp: Idp,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let _within = RUNTIME.enter();
    let idp = Idp::start(None);
    let settings = IssuerSettings {
        name: "acme".into(),
        url: idp.issuer(),
        keys: KeySource::Discovery,
        audiences: vec!["bedrock-gateway".to_owned()],
        audience_claim: None,
        algorithms: vec!["RS256".parse().unwrap(), "ES256".parse().unwrap()],
        types: vec!["jwt".to_owned()],
        max_token_age: None,
        leeway: LEEWAY,
        ca: None,
    };
    let authenticator = Authenticator::new(vec![settings], CacheLimits::default(), Metrics::new()).unwrap();
    authenticator.start();
    let token = idp.mint(Claims::of("alice").expires_in(std::time::Duration::from_hours(24)));
    let mut valid = HeaderMap::new();
    valid.insert("x-api-key", token.parse().unwrap());
    RUNTIME.block_on(until("the issuer's keys", async || authenticator.verify(&valid).await.is_ok()));
    World { authenticator, token, _idp: idp }
});

const CARRIERS: [&str; 3] = ["authorization", "x-api-key", "x-amz-security-token"];

pub(crate) fn check(data: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in data.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let Ok(name) = HeaderName::from_bytes(&line[..colon]) else { continue };
        let Ok(value) = HeaderValue::from_bytes(&filled_in(&line[colon + 1..])) else { continue };
        headers.append(name, value);
    }
    let Ok(caller) = RUNTIME.block_on(WORLD.authenticator.verify(&headers)) else { return };
    assert_eq!(caller.verified().subject(), Some("alice"));
    let mut found = false;
    for carrier in CARRIERS {
        assert!(headers.get_all(carrier).iter().count() <= 1, "{carrier} is repeated");
        let value = headers.get(carrier).map_or(&b""[..], HeaderValue::as_bytes);
        let mut words = value.split(|byte| *byte == b' ' || *byte == b'\t');
        found |= words.any(|word| word == WORLD.token.as_bytes());
    }
    assert!(found, "accepted without the token: {headers:?}");
}

/// The text, in which the parts of the valid token replace their names.
fn filled_in(text: &[u8]) -> Vec<u8> {
    let mut text = text.to_vec();
    for (name, part) in ["HEAD", "CLAIMS", "SIGNATURE"].iter().zip(WORLD.token.split('.')) {
        while let Some(at) = text.windows(name.len()).position(|window| window == name.as_bytes()) {
            text.splice(at..at + name.len(), part.bytes());
        }
    }
    text
}
