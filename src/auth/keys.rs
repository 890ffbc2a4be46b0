//! An issuer's key set, parsed into keys and the algorithms that each may verify.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Shortest RSA modulus, bits (NIST SP 800-131A).
const SHORTEST_MODULUS: usize = 2048;
/// Most keys of a set that are used. Real sets have fewer than ten.
const MOST_KEYS: usize = 100;
/// Most keys that are tried on one token. A token without `kid` is tried on every key that fits, and a client without
/// a valid token can send one.
const MOST_TRIED: usize = 8;

/// The usable keys of a set.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// The set as it was published, to parse it again under other settings.
    document: Box<[u8]>,
}

/// A key, with the algorithms that its type, its own `alg` and the operator all allow.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithms: Vec<Algorithm>,
    pub(super) decoding: DecodingKey,
    /// Identifies the key itself, because another key may have the same id in the next set.
    pub(super) fingerprint: Fingerprint,
}

/// The SHA-256 of a key as published.
pub(super) type Fingerprint = [u8; 32];

/// The fault of a key set that cannot verify a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetFault {
    #[error("it is not a key set: it must be JSON with a list of keys, as {{\"keys\": […]}}")]
    NotAKeySet,
    #[error("it has no usable key")]
    NoKey,
}

/// Checks that a JWKS document has a key for one of the `allowed` algorithms.
///
/// # Errors
/// [`KeySetFault`], when it has none.
pub fn check_key_set(document: &[u8], allowed: &[Algorithm]) -> Result<(), KeySetFault> {
    let set = KeySet::parse(document, allowed).map_err(|NotAKeySet| KeySetFault::NotAKeySet)?;
    if set.len() == 0 { Err(KeySetFault::NoKey) } else { Ok(()) }
}

/// The error for a document that is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key set is not JSON with a list of keys")]
pub(super) struct NotAKeySet;

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Parses a JWKS document (RFC 7517). It skips keys that are of unknown kind, too weak, symmetric, for encryption, or
    /// for algorithms that are not `allowed`.
    pub(super) fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, NotAKeySet> {
        let published: Document = serde_json::from_slice(document).map_err(|_| NotAKeySet)?;
        let keys = published.keys.iter().take(MOST_KEYS).filter_map(|key| Key::parse(key, allowed)).collect();
        Ok(Self { keys, document: document.into() })
    }

    /// The same set with other algorithms `allowed`; `None` if that leaves no key.
    pub(super) fn allowing(&self, allowed: &[Algorithm]) -> Option<Self> {
        Self::parse(&self.document, allowed).ok().filter(|set| set.len() > 0)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn contains(&self, fingerprint: &Fingerprint) -> bool {
        self.keys.iter().any(|key| key.fingerprint == *fingerprint)
    }

    /// The keys to try on a token with this `kid` and algorithm. For a token without `kid` these are the first
    /// [`MOST_TRIED`] keys for the algorithm.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.named(id).filter(move |key| key.algorithms.contains(&algorithm)).take(MOST_TRIED)
    }

    /// Whether the set has a key with this id, for any algorithm.
    pub(super) fn knows(&self, id: Option<&str>) -> bool {
        self.named(id).next().is_some()
    }

    fn named(&self, id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| id.is_none() || key.id.as_deref() == id)
    }
}

impl Key {
    fn parse(value: &serde_json::Value, allowed: &[Algorithm]) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let fits: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) if modulus_bits(&rsa.n)? >= SHORTEST_MODULUS => {
                use Algorithm::{PS256, PS384, PS512, RS256, RS384, RS512};
                &[RS256, RS384, RS512, PS256, PS384, PS512]
            }
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        if jwk.common.key_operations.as_ref().is_some_and(|uses| !uses.contains(&KeyOperations::Verify)) {
            return None;
        }
        let declared = |algorithm: &Algorithm| match jwk.common.key_algorithm {
            None => true,
            Some(declared) => named(declared) == Some(*algorithm),
        };
        let algorithms: Vec<Algorithm> = fits
            .iter()
            .copied()
            .filter(|algorithm| allowed.contains(algorithm) && declared(algorithm))
            .collect();
        if algorithms.is_empty() {
            return None;
        }
        let decoding = DecodingKey::from_jwk(&jwk).ok()?;
        let fingerprint = Sha256::digest(value.to_string()).into();
        Some(Self { id: jwk.common.key_id, algorithms, decoding, fingerprint })
    }
}

fn modulus_bits(n: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(n).ok()?;
    let leading = bytes.iter().position(|byte| *byte != 0)?;
    Some((bytes.len() - leading) * 8 - bytes[leading].leading_zeros() as usize)
}

fn named(declared: KeyAlgorithm) -> Option<Algorithm> {
    Algorithm::try_from(declared).ok()
}

#[cfg(test)]
mod tests;
