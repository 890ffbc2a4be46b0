//! The keys of one issuer: published, signing and retired.

use std::sync::OnceLock;

use serde_json::{Value, json};

use super::keys::{Algorithm, KeyKind, SigningKey};

#[derive(Debug, Clone)]
pub(super) struct Keyring {
    /// The keys in the order of the JWKS. The last one of each kind signs.
    published: Vec<SigningKey>,
    /// Also published, with `use: enc`.
    pub(super) encryption: SigningKey,
    /// Keys that are published without changes.
    foreign: Vec<Value>,
    /// Removed keys. They are kept so that no RSA key of this issuer returns with another `kid`.
    retired: Vec<SigningKey>,
    generated: usize,
}

impl Keyring {
    /// A keyring with one key of each kind.
    pub(super) fn new() -> Self {
        let mut keyring = Self {
            published: Vec::new(),
            encryption: SigningKey::generate(KeyKind::P256, 0),
            foreign: Vec::new(),
            retired: Vec::new(),
            generated: 0,
        };
        for kind in KeyKind::ALL {
            keyring.add(kind);
        }
        keyring
    }

    pub(super) fn add(&mut self, kind: KeyKind) -> String {
        self.generated += 1;
        let key = SigningKey::generate(kind, self.generated);
        self.published.push(key.clone());
        key.kid
    }

    pub(super) fn add_foreign(&mut self, jwk: Value) {
        self.foreign.push(jwk);
    }

    pub(super) fn remove(&mut self, kid: &str) {
        let gone = self.published.extract_if(.., |key| key.kid == kid);
        self.retired.extend(gone);
        self.foreign.retain(|jwk| jwk["kid"] != kid);
    }

    pub(super) fn rotate(&mut self) {
        self.retired.append(&mut self.published);
        for kind in KeyKind::ALL {
            self.add(kind);
        }
    }

    /// The present signing key for this algorithm. Panics if all keys of its kind were removed.
    pub(super) fn signer(&self, algorithm: Algorithm) -> &SigningKey {
        self.published
            .iter()
            .rfind(|key| key.kind == algorithm.kind())
            .unwrap_or_else(|| panic!("the issuer has no key for {}", algorithm.as_str()))
    }

    /// The key with this `kid`, also a retired one.
    pub(super) fn named(&self, kid: &str) -> Option<&SigningKey> {
        self.published.iter().chain(&self.retired).find(|key| key.kid == kid)
    }

    pub(super) fn jwks(&self) -> Value {
        let mut encryption = self.encryption.jwk();
        encryption["use"] = json!("enc");
        let keys: Vec<_> = self
            .published
            .iter()
            .map(SigningKey::jwk)
            .chain([encryption])
            .chain(self.foreign.iter().cloned())
            .collect();
        json!({ "keys": keys })
    }
}

/// A key that no issuer has ever published.
pub(super) fn evil_key() -> &'static SigningKey {
    static EVIL: OnceLock<SigningKey> = OnceLock::new();
    EVIL.get_or_init(|| SigningKey::generate(KeyKind::Rsa, 666))
}
