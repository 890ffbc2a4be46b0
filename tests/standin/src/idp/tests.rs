use std::collections::BTreeSet;

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::server::tests::get;

fn decode(part: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(part).unwrap()
}

fn read(token: &str) -> (Value, Value) {
    let parts: Vec<_> = token.split('.').collect();
    let json = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
    (json(parts[0]), json(parts[1]))
}

fn verifies(token: &str, jwk: &Value, algorithm: Algorithm) -> bool {
    let (input, sent) = token.rsplit_once('.').unwrap();
    let member = |name: &str| decode(jwk[name].as_str().unwrap());
    if algorithm.kind() == KeyKind::Rsa {
        let parameters = match algorithm {
            Algorithm::RS256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::RS384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::RS512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::PS256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::PS384 => &signature::RSA_PSS_2048_8192_SHA384,
            _ => &signature::RSA_PSS_2048_8192_SHA512,
        };
        let key = signature::RsaPublicKeyComponents { n: member("n"), e: member("e") };
        return key.verify(parameters, input.as_bytes(), &decode(sent)).is_ok();
    }
    let (verification, key): (&dyn VerificationAlgorithm, _) = match algorithm {
        Algorithm::ES256 => {
            (&signature::ECDSA_P256_SHA256_FIXED, [vec![4], member("x"), member("y")].concat())
        }
        Algorithm::ES384 => {
            (&signature::ECDSA_P384_SHA384_FIXED, [vec![4], member("x"), member("y")].concat())
        }
        _ => (&signature::ED25519, member("x")),
    };
    UnparsedPublicKey::new(verification, key).verify(input.as_bytes(), &decode(sent)).is_ok()
}

fn published(idp: &Idp, kid: &str) -> Option<Value> {
    let jwks = idp.jwks();
    let keys = jwks["keys"].as_array().unwrap();
    keys.iter().find(|key| key["kid"] == kid).cloned()
}

#[tokio::test]
async fn tokens_of_every_algorithm_verify_with_the_published_key() {
    let idp = Idp::start(None);
    for algorithm in Algorithm::ALL {
        let token = idp.mint(Claims::of("alice").algorithm(algorithm).claim("team", "search"));
        let (header, claims) = read(&token);
        assert_eq!(header["alg"], algorithm.as_str());
        assert_eq!(header["typ"], "JWT");
        assert_eq!(claims["iss"], idp.issuer());
        assert_eq!(claims["aud"], AUDIENCE);
        assert_eq!(claims["team"], "search");
        let key = published(&idp, header["kid"].as_str().unwrap()).unwrap();
        assert!(verifies(&token, &key, algorithm), "{algorithm:?}");
    }
}

#[tokio::test]
async fn two_issuers_have_no_key_in_common() {
    let (one, other) = (Idp::start(None), Idp::start(None));
    let token = one.mint(Claims::of("alice"));
    let key = published(&other, &other.kid(Algorithm::RS256)).unwrap();
    assert!(!verifies(&token, &key, Algorithm::RS256));
}

#[tokio::test]
async fn rotation_replaces_every_key() {
    let idp = Idp::start(None);
    let old = idp.kid(Algorithm::RS256);
    let before = published(&idp, &old).unwrap();
    idp.rotate();
    assert_eq!(published(&idp, &old), None);
    let new = published(&idp, &idp.kid(Algorithm::RS256)).unwrap();
    assert_ne!(new["n"], before["n"]);

    let token = idp.mint(Claims::of("alice").kid(&old));
    assert_eq!(read(&token).0["kid"], old.as_str());
    assert!(verifies(&token, &before, Algorithm::RS256));

    let added = idp.add_key(KeyKind::Rsa);
    assert_eq!(idp.kid(Algorithm::RS256), added);
    idp.remove_key(&added);
    assert_ne!(idp.kid(Algorithm::RS256), added);
}

#[tokio::test]
async fn fields_can_be_null_or_absent() {
    let idp = Idp::start(None);
    let token =
        idp.mint(Claims::of("alice").claim("team", Value::Null).without("iss").typ(None).without_kid());
    let (header, claims) = read(&token);
    assert_eq!(header, json!({ "alg": "RS256" }));
    assert_eq!(claims.get("team"), Some(&Value::Null));
    assert_eq!(claims.get("iss"), None);
}

#[tokio::test]
async fn hostile_tokens_are_all_different_and_well_formed() {
    let idp = Idp::start(None);
    let tokens: BTreeSet<_> =
        Hostile::ALL.iter().map(|hostile| idp.mint_hostile(*hostile, Claims::of("alice"))).collect();
    assert_eq!(tokens.len(), Hostile::ALL.len());
    for token in tokens {
        read(&token);
    }
    let encryption = idp.mint_hostile(Hostile::EncryptionKey, Claims::of("alice"));
    let key = published(&idp, read(&encryption).0["kid"].as_str().unwrap()).unwrap();
    assert_eq!(key["use"], "enc");
    assert!(verifies(&encryption, &key, Algorithm::ES256), "only `use` is wrong");
    let forged = idp.mint_hostile(Hostile::Forged, Claims::of("alice"));
    let key = published(&idp, &idp.kid(Algorithm::RS256)).unwrap();
    assert!(!verifies(&forged, &key, Algorithm::RS256));
}

#[tokio::test]
async fn documents_are_served_with_and_without_faults() {
    let idp = Idp::start(None);
    let discovery = || get(idp.server(), DISCOVERY);
    let answer = discovery().await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("cache-control"));
    let document: Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["issuer"], idp.issuer());
    assert_eq!(document["jwks_uri"], idp.jwks_url());

    idp.set_max_age(Some(Duration::from_mins(5)));
    idp.set_discovered_issuer(Some("https://evil.example"));
    idp.set_discovered_jwks_uri(Some("http://169.254.169.254/"));
    let answer = discovery().await.unwrap();
    assert!(answer.contains("cache-control: public, max-age=300"));
    assert!(answer.contains("https://evil.example") && answer.contains("169.254.169.254"));

    let jwks = || get(idp.server(), JWKS);
    assert!(jwks().await.unwrap().ends_with(&idp.jwks().to_string()));
    let faults = idp.jwks_faults();
    faults.next(1, DocumentFault::Status(503));
    assert!(jwks().await.unwrap().starts_with("HTTP/1.1 503 "));
    faults.next(1, DocumentFault::Redirect);
    assert!(jwks().await.unwrap().contains("location: /moved/jwks\r\n"));
    faults.next(1, DocumentFault::Oversized);
    assert!(jwks().await.unwrap().len() > OVERSIZED_BYTES);
    faults.next(1, DocumentFault::Malformed);
    assert!(jwks().await.unwrap().ends_with("</html>"));
    faults.next(1, DocumentFault::Reset);
    assert!(jwks().await.is_err());

    assert_eq!((idp.discovery_fetches(), idp.jwks_fetches()), (2, 6));
    assert_eq!((idp.redirects_followed(), idp.evil_fetches()), (0, 0));
    assert!(get(idp.server(), "/moved/jwks").await.unwrap().contains("rsa-1"));
    assert!(get(idp.server(), EVIL_JWKS).await.unwrap().contains("keys"));
    assert_eq!((idp.redirects_followed(), idp.evil_fetches()), (1, 1));
}
