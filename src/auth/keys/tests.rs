use base64::Engine as _;
use serde_json::{Value, json};

use super::*;

const ALL: &[Algorithm] = &[Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];

fn modulus(bits: usize) -> String {
    let mut bytes = vec![0xff; bits / 8];
    if !bits.is_multiple_of(8) {
        bytes.insert(0, 0xff >> (8 - bits % 8));
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

fn rsa(id: &str, more: &Value) -> Value {
    let mut key = json!({ "kty": "RSA", "kid": id, "n": modulus(2048), "e": "AQAB" });
    let more = more.as_object().unwrap().clone();
    key.as_object_mut().unwrap().extend(more);
    key
}

fn parsed(keys: &[Value]) -> KeySet {
    KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), ALL).unwrap()
}

fn ids(set: &KeySet, id: Option<&str>, algorithm: Algorithm) -> Vec<String> {
    set.candidates(id, algorithm).map(|key| key.id.clone().unwrap()).collect()
}

#[test]
fn only_keys_that_may_verify_are_kept() {
    let unusable = [
        json!({ "kty": "oct", "kid": "hmac", "k": "c2VjcmV0" }),
        json!({ "kty": "XYZ", "kid": "unknown" }),
        json!("no object"),
        rsa("encrypts", &json!({ "use": "enc" })),
        rsa("wraps", &json!({ "key_ops": ["wrapKey"] })),
        rsa("short", &json!({ "n": modulus(2047) })),
        rsa("padded", &json!({ "n": URL_SAFE_NO_PAD.encode([vec![0; 200], vec![0xff; 128]].concat()) })),
        rsa("another algorithm", &json!({ "alg": "RS512" })),
        rsa("for encryption", &json!({ "alg": "RSA-OAEP" })),
    ];
    assert_eq!(parsed(&unusable).len(), 0);
    let with_good = [&unusable[..], &[rsa("good", &json!({ "use": "sig", "key_ops": ["verify"] }))]].concat();
    assert_eq!(ids(&parsed(&with_good), None, Algorithm::RS256), ["good"]);
}

#[test]
fn a_key_verifies_only_what_it_is_for() {
    let set = parsed(&[rsa("any", &json!({})), rsa("one", &json!({ "alg": "PS256" }))]);
    assert_eq!(ids(&set, None, Algorithm::RS256), ["any"]);
    assert_eq!(ids(&set, None, Algorithm::PS256), ["any", "one"]);
    assert_eq!(ids(&set, Some("one"), Algorithm::RS256), Vec::<String>::new());
    assert_eq!(ids(&set, None, Algorithm::ES256), Vec::<String>::new(), "an RSA key is no EC key");
    assert!(set.knows(Some("one")) && !set.knows(Some("two")) && set.knows(None));
}

#[test]
fn a_token_without_a_key_id_is_tried_on_few_keys() {
    let keys: Vec<Value> = (0..50).map(|n| rsa(&n.to_string(), &json!({}))).collect();
    let set = parsed(&keys);
    assert_eq!(ids(&set, None, Algorithm::RS256).len(), MOST_TRIED);
    assert_eq!(ids(&set, Some("49"), Algorithm::RS256), ["49"]);
}

#[test]
fn a_key_is_recognised_by_more_than_its_id() {
    let old = parsed(&[rsa("id", &json!({}))]);
    let print = old.candidates(None, Algorithm::RS256).next().unwrap().fingerprint;
    assert!(parsed(&[rsa("id", &json!({}))]).contains(&print));
    assert!(!parsed(&[rsa("id", &json!({ "n": modulus(4096) }))]).contains(&print));
}

#[test]
fn documents_that_are_not_key_sets_are_rejected() {
    for document in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert!(KeySet::parse(document.as_bytes(), ALL).is_err(), "{document}");
    }
}
