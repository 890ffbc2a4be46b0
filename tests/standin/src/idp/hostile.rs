//! Tokens that must never be accepted.

use std::time::Duration;

use aws_lc_rs::hmac;
use serde_json::json;

use super::claims::{Claims, with_signature};
use super::keyring::evil_key;
use super::keys::{Algorithm, SigningKey};
use super::{EVIL_JWKS, Idp};

/// The one fault of a token that is otherwise valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hostile {
    /// `alg: none`, no signature.
    NoAlgorithm,
    /// `alg: HS256`, with the modulus of the published RSA key as the secret. This attack is behind many CVEs.
    HmacWithPublicKey,
    /// Signed with a key that was never published, with the `kid` of a published key.
    Forged,
    /// Signed with a published key, with the `kid` of another one.
    WrongKid,
    /// Signed with a key that was never published, with its own `kid`.
    UnknownKid,
    /// Signed with a key that is published for encryption.
    EncryptionKey,
    /// A `crit` header.
    Critical,
    /// Signed with the attacker's key, which is available at the address in `jku`.
    Jku,
    /// Signed with the attacker's key, which is available at the address in `x5u`.
    X5u,
    /// Signed with the attacker's key, which the header contains.
    EmbeddedJwk,
    /// `iss` as a list that contains the right one.
    IssuerList,
    /// `iss` of another issuer.
    WrongIssuer,
    /// `aud` of another service.
    WrongAudience,
    /// Expired an hour ago.
    Expired,
    /// No `exp`.
    NeverExpires,
    /// Valid only in an hour.
    NotYetValid,
    /// `typ` of a token that is neither an access token nor an ID token.
    WrongType,
    /// One claim changed after signing.
    Altered,
    /// Without the signature.
    Unsigned,
    /// Longer than 32 KiB.
    Oversized,
}

impl Hostile {
    pub const ALL: [Self; 20] = [
        Self::NoAlgorithm,
        Self::HmacWithPublicKey,
        Self::Forged,
        Self::WrongKid,
        Self::UnknownKid,
        Self::EncryptionKey,
        Self::Critical,
        Self::Jku,
        Self::X5u,
        Self::EmbeddedJwk,
        Self::IssuerList,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::Expired,
        Self::NeverExpires,
        Self::NotYetValid,
        Self::WrongType,
        Self::Altered,
        Self::Unsigned,
        Self::Oversized,
    ];
}

impl Idp {
    /// Mints a token with these claims and this one fault.
    pub fn mint_hostile(&self, hostile: Hostile, claims: Claims) -> String {
        let issuer = self.issuer();
        let keyring = self.keyring();
        let signer = keyring.signer(Algorithm::RS256);
        let evil_url = format!("{issuer}{EVIL_JWKS}");
        match hostile {
            Hostile::NoAlgorithm => {
                format!("{}.", claims.signing_input(&issuer, "none", &signer.kid))
            }
            Hostile::HmacWithPublicKey => hmac_with_public_key(&claims, &issuer, signer),
            Hostile::Forged => claims.sign(&issuer, evil_key(), &signer.kid),
            Hostile::WrongKid => {
                let other = keyring.signer(Algorithm::ES256);
                claims.sign(&issuer, signer, &other.kid)
            }
            Hostile::UnknownKid => claims.sign(&issuer, evil_key(), "never-published"),
            Hostile::EncryptionKey => {
                claims.algorithm(Algorithm::ES256).sign(&issuer, &keyring.encryption, &keyring.encryption.kid)
            }
            Hostile::Critical => self.mint(
                claims
                    .header("crit", json!(["https://example.org/must-understand"]))
                    .header("https://example.org/must-understand", true),
            ),
            Hostile::Jku => evil(&claims.header("jku", evil_url), &issuer),
            Hostile::X5u => evil(&claims.header("x5u", evil_url), &issuer),
            Hostile::EmbeddedJwk => evil(&claims.header("jwk", evil_key().jwk()), &issuer),
            Hostile::IssuerList => self.mint(claims.claim("iss", json!(["https://evil.example", issuer]))),
            Hostile::WrongIssuer => self.mint(claims.issuer("https://evil.example")),
            Hostile::WrongAudience => self.mint(claims.audience("another-service")),
            Hostile::Expired => self.mint(claims.expired_for(Duration::from_hours(1))),
            Hostile::NeverExpires => self.mint(claims.without("exp")),
            Hostile::NotYetValid => self.mint(claims.good_in(Duration::from_hours(1))),
            Hostile::WrongType => self.mint(claims.typ(Some("logout+jwt"))),
            Hostile::Altered => {
                let token = self.mint(claims.clone());
                let (_, signature) = token.rsplit_once('.').expect("three parts");
                let altered = claims.claim("sub", "mallory");
                let input = altered.signing_input(&issuer, "RS256", &signer.kid);
                format!("{input}.{signature}")
            }
            Hostile::Unsigned => {
                let token = self.mint(claims);
                let (input, _) = token.rsplit_once('.').expect("three parts");
                format!("{input}.")
            }
            Hostile::Oversized => self.mint(claims.claim("padding", "x".repeat(33 * 1024))),
        }
    }
}

fn evil(claims: &Claims, issuer: &str) -> String {
    claims.sign(issuer, evil_key(), &evil_key().kid)
}

fn hmac_with_public_key(claims: &Claims, issuer: &str, key: &SigningKey) -> String {
    let public = key.jwk()["n"].to_string();
    let input = claims.signing_input(issuer, "HS256", &key.kid);
    let key = hmac::Key::new(hmac::HMAC_SHA256, public.trim_matches('"').as_bytes());
    with_signature(&input, hmac::sign(&key, input.as_bytes()).as_ref())
}
