//! The credentials that can sign: the gateway's own long-term keys, and the sessions that STS has issued.
//!
//! STS writes them; STS and Bedrock read them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::iam::Directory;

/// The secrets for checking a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    pub secret: String,
    pub session_token: Option<String>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").finish_non_exhaustive()
    }
}

/// A session that STS has issued for a role.
#[derive(Clone)]
pub struct IssuedSession {
    pub access_key_id: String,
    pub secret: String,
    pub session_token: String,
    /// `arn:aws:iam::ACCOUNT:role/path/Name`
    pub role_arn: String,
    /// The principal on the bill: `arn:aws:sts::ACCOUNT:assumed-role/Name/session`.
    pub principal: String,
    pub account: String,
    pub session_name: String,
    pub tags: BTreeMap<String, String>,
    pub transitive: Vec<String>,
    pub source_identity: Option<String>,
    pub issued: SystemTime,
    pub expires: SystemTime,
    pub revoked: bool,
}

impl IssuedSession {
    pub fn expired(&self, now: SystemTime) -> bool {
        now >= self.expires
    }
}

impl fmt::Debug for IssuedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedSession")
            .field("access_key_id", &self.access_key_id)
            .field("principal", &self.principal)
            .field("tags", &self.tags)
            .field("expires", &self.expires)
            .field("revoked", &self.revoked)
            .finish_non_exhaustive()
    }
}

/// All credentials that AWS would know.
pub struct Store {
    gateway_access_key_id: String,
    gateway_secret_access_key: String,
    issued: Mutex<Issued>,
    iam: Directory,
}

#[derive(Default)]
struct Issued {
    /// The gateway's own key was deactivated.
    gateway_inactive: bool,
    sessions: Vec<IssuedSession>,
    /// The index in `sessions` of each access key id.
    positions: HashMap<String, usize>,
}

impl Store {
    /// A store with new keys for the gateway and no session.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            gateway_access_key_id: access_key_id("AKIA"),
            gateway_secret_access_key: secret_access_key(),
            issued: Mutex::default(),
            iam: Directory::default(),
        })
    }

    /// The gateway's own access key id. STS accepts it, Bedrock does not.
    pub fn gateway_access_key_id(&self) -> &str {
        &self.gateway_access_key_id
    }

    pub fn gateway_secret_access_key(&self) -> &str {
        &self.gateway_secret_access_key
    }

    /// The permissions of roles, and the service control policies of accounts.
    pub fn iam(&self) -> &Directory {
        &self.iam
    }

    pub fn is_gateway(&self, access_key_id: &str) -> bool {
        access_key_id == self.gateway_access_key_id
    }

    /// Deactivates the gateway's own key, or activates it again. STS does not know an inactive key.
    pub fn set_gateway_active(&self, active: bool) {
        self.lock().gateway_inactive = !active;
    }

    /// The credential of the gateway or of a session, also of an expired or revoked one.
    pub fn credential(&self, access_key_id: &str) -> Option<Credential> {
        if self.is_gateway(access_key_id) {
            if self.lock().gateway_inactive {
                return None;
            }
            return Some(Credential { secret: self.gateway_secret_access_key.clone(), session_token: None });
        }
        let session = self.session(access_key_id)?;
        Some(Credential { secret: session.secret, session_token: Some(session.session_token) })
    }

    /// The session with this key; `None` for the gateway's own key and for unknown keys.
    pub fn session(&self, access_key_id: &str) -> Option<IssuedSession> {
        let issued = self.lock();
        let position = issued.positions.get(access_key_id)?;
        issued.sessions.get(*position).cloned()
    }

    pub fn issue(&self, session: IssuedSession) {
        let mut issued = self.lock();
        let position = issued.sessions.len();
        issued.positions.insert(session.access_key_id.clone(), position);
        issued.sessions.push(session);
    }

    /// Revokes the present sessions of this principal, so that Bedrock rejects them. Later sessions are valid.
    /// Returns the number of revoked sessions.
    pub fn revoke(&self, principal: &str) -> usize {
        let mut issued = self.lock();
        let mut count = 0;
        for session in issued.sessions.iter_mut().filter(|session| session.principal == principal) {
            session.revoked = true;
            count += 1;
        }
        count
    }

    /// All sessions ever issued, in order.
    pub fn sessions(&self) -> Vec<IssuedSession> {
        self.lock().sessions.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("gateway_access_key_id", &self.gateway_access_key_id)
            .field("sessions", &self.lock().sessions)
            .finish_non_exhaustive()
    }
}

/// `prefix` and 16 characters of AWS's alphabet. `AKIA…` is a long-term key, `ASIA…` the key of a session.
pub(crate) fn access_key_id(prefix: &str) -> String {
    const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let mut id = String::from(prefix);
    id.extend(random::<16>().iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])));
    id
}

/// Forty characters of base64, like AWS's.
pub(crate) fn secret_access_key() -> String {
    STANDARD.encode(random::<30>())
}

/// A random UUID, like AWS's request ids.
pub(crate) fn request_id() -> String {
    let id = u128::from_be_bytes(random());
    let group = |shift: u32| (id >> shift) & 0xffff;
    let (first, last) = (id >> 96, id & 0xffff_ffff_ffff);
    format!("{first:08x}-{:04x}-{:04x}-{:04x}-{last:012x}", group(80), group(64), group(48))
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).expect("the system has randomness");
    bytes
}
