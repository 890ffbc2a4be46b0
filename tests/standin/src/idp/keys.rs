//! The issuer's signing keys, and their form in a JWKS.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// RSA keys that no issuer uses any more. They are used again, since making a key takes long. Two running issuers never
/// share a key, since tokens of one must not verify with the keys of the other.
static SPARE_RSA_KEYS: Mutex<Vec<Arc<RsaKeyPair>>> = Mutex::new(Vec::new());

/// Signature algorithms of JOSE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    pub const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The kind of key that it needs.
    pub fn kind(self) -> KeyKind {
        match self {
            Self::RS256 | Self::RS384 | Self::RS512 | Self::PS256 | Self::PS384 | Self::PS512 => KeyKind::Rsa,
            Self::ES256 => KeyKind::P256,
            Self::ES384 => KeyKind::P384,
            Self::EdDSA => KeyKind::Ed25519,
        }
    }

    fn rsa_encoding(self) -> &'static dyn RsaEncoding {
        match self {
            Self::RS256 => &signature::RSA_PKCS1_SHA256,
            Self::RS384 => &signature::RSA_PKCS1_SHA384,
            Self::RS512 => &signature::RSA_PKCS1_SHA512,
            Self::PS256 => &signature::RSA_PSS_SHA256,
            Self::PS384 => &signature::RSA_PSS_SHA384,
            Self::PS512 => &signature::RSA_PSS_SHA512,
            Self::ES256 | Self::ES384 | Self::EdDSA => panic!("{self:?} is not of RSA"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// 2048 bits.
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeyKind {
    pub(super) const ALL: [Self; 4] = [Self::Rsa, Self::P256, Self::P384, Self::Ed25519];

    fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// A key pair with its `kid`.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) kid: String,
    pub(super) kind: KeyKind,
    pair: Pair,
}

#[derive(Clone)]
enum Pair {
    Rsa(Arc<RsaLease>),
    Ec(Arc<EcdsaKeyPair>),
    Ed(Arc<Ed25519KeyPair>),
}

impl SigningKey {
    /// Generates a key. `serial` makes its `kid` unique within an issuer.
    pub(super) fn generate(kind: KeyKind, serial: usize) -> Self {
        let pair = match kind {
            KeyKind::Rsa => Pair::Rsa(Arc::new(RsaLease::take())),
            KeyKind::P256 => Pair::Ec(ec_key(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)),
            KeyKind::P384 => Pair::Ec(ec_key(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)),
            KeyKind::Ed25519 => {
                Pair::Ed(Arc::new(Ed25519KeyPair::generate().expect("the system has randomness")))
            }
        };
        Self { kid: format!("{}-{serial}", kind.name()), kind, pair }
    }

    /// The raw signature. Panics if the algorithm needs another kind of key.
    pub(super) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        assert_eq!(algorithm.kind(), self.kind, "an algorithm for the key");
        let random = SystemRandom::new();
        match &self.pair {
            Pair::Rsa(lease) => {
                let pair = &lease.0;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(algorithm.rsa_encoding(), &random, message, &mut signature)
                    .expect("the buffer has the modulus' length");
                signature
            }
            Pair::Ec(pair) => {
                pair.sign(&random, message).expect("signing has no reason to fail").as_ref().to_vec()
            }
            Pair::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    /// The public half as a JSON Web Key, for signatures.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk = match &self.pair {
            Pair::Rsa(lease) => {
                let public = lease.0.public_key();
                json!({
                    "kty": "RSA",
                    "n": base64url(public.modulus().big_endian_without_leading_zero()),
                    "e": base64url(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Pair::Ec(pair) => {
                // SEC 1, uncompressed: a byte 4, then both coordinates at full length.
                let point = &pair.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = if self.kind == KeyKind::P256 { "P-256" } else { "P-384" };
                json!({ "kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y) })
            }
            Pair::Ed(pair) => json!({
                "kty": "OKP",
                "crv": "Ed25519",
                "x": base64url(pair.public_key().as_ref()),
            }),
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

pub(super) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// An RSA key that only its holder uses.
struct RsaLease(Arc<RsaKeyPair>);

impl RsaLease {
    fn take() -> Self {
        let spare = spare_rsa_keys().pop();
        Self(spare.unwrap_or_else(|| {
            Arc::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("the system has randomness"))
        }))
    }
}

impl Drop for RsaLease {
    fn drop(&mut self) {
        spare_rsa_keys().push(Arc::clone(&self.0));
    }
}

fn spare_rsa_keys() -> MutexGuard<'static, Vec<Arc<RsaKeyPair>>> {
    SPARE_RSA_KEYS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ec_key(algorithm: &'static EcdsaSigningAlgorithm) -> Arc<EcdsaKeyPair> {
    Arc::new(EcdsaKeyPair::generate(algorithm).expect("the system has randomness"))
}
