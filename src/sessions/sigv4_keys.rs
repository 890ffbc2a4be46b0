//! The `SigV4` keys of one session. Each takes four HMACs to derive, and is valid for one day, one region and one
//! service.

use std::fmt;
use std::sync::Arc;

use aws_credential_types::Credentials;
use hmac::digest::Key;
use hmac::{Hmac, KeyInit as _};
use parking_lot::Mutex;
use sha2::Sha256;

/// The scope of a `SigV4` key: the only day, region and service for which it is valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Days since 1970, UTC.
    pub day: u64,
    pub region: Arc<str>,
    pub service: &'static str,
}

/// A derived `SigV4` key, ready to sign with. It is as secret as the credentials.
#[derive(Clone)]
pub struct SigningKey(Hmac<Sha256>);

impl SigningKey {
    /// The key of these bytes.
    pub fn new(key: &[u8; 32]) -> Self {
        let mut block = Key::<Hmac<Sha256>>::default();
        block.iter_mut().zip(key).for_each(|(place, byte)| *place = *byte);
        Self(Hmac::new(&block))
    }

    /// Begins a signature.
    pub fn into_hmac(self) -> Hmac<Sha256> {
        self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey")
    }
}

/// The `SigV4` keys of one session that were derived so far: at most one for each region and service, all of one day.
#[derive(Default)]
pub(super) struct SigV4Keys(Mutex<Vec<(Scope, SigningKey)>>);

impl SigV4Keys {
    /// The key for `scope`. If there is none yet, `derive` makes it from `credentials`.
    pub(super) fn get(
        &self,
        scope: &Scope,
        credentials: &Credentials,
        derive: impl FnOnce(&Credentials) -> SigningKey,
    ) -> SigningKey {
        let mut keys = self.0.lock();
        if let Some((_, key)) = keys.iter().find(|(known, _)| known == scope) {
            return key.clone();
        }
        let key = derive(credentials);
        keys.retain(|(known, _)| known.day == scope.day);
        // Most sessions never need a second key.
        keys.reserve_exact(1);
        keys.push((scope.clone(), key.clone()));
        key
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hmac::Mac as _;

    use super::*;

    #[test]
    fn each_scope_has_its_own_key_and_a_new_day_drops_the_old_keys() {
        let (keys, derived) = (SigV4Keys::default(), Cell::new(0));
        let credentials = Credentials::new("ASIA", "secret", None, None, "test");
        let get = |day, region: &str, service| {
            let scope = Scope { day, region: region.into(), service };
            let key = keys.get(&scope, &credentials, |_| {
                derived.set(derived.get() + 1);
                SigningKey::new(&[derived.get(); 32])
            });
            let signs_like = |byte: &u8| {
                let same = SigningKey::new(&[*byte; 32]).into_hmac().finalize();
                key.clone().into_hmac().finalize() == same
            };
            (0..=derived.get()).find(signs_like).unwrap()
        };
        assert_eq!(get(1, "us-east-1", "bedrock"), 1);
        assert_eq!(get(1, "us-east-1", "bedrock"), 1);
        assert_eq!(get(1, "us-west-2", "bedrock"), 2);
        assert_eq!(get(1, "us-east-1", "bedrock-mantle"), 3);
        assert_eq!(get(2, "us-east-1", "bedrock"), 4);
        assert_eq!(keys.0.lock().len(), 1);
        assert_eq!(format!("{:?}", SigningKey::new(&[7; 32])), "SigningKey");
    }
}
