//! The settings of Bedrock that a test can change for all calls.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use regex::Regex;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use super::stream::Pace;
use crate::clock;
use crate::iam::PolicyDocument;

#[derive(Debug)]
pub(super) struct Settings {
    /// The seconds by which Bedrock's clock is ahead of this machine's.
    pub(super) clock_offset: i64,
    pub(super) forbidden: Vec<Regex>,
    pub(super) revoked_kind: &'static str,
    pub(super) min_tokens: usize,
    pub(super) pace: Pace,
    pub(super) endpoint_policy: Option<PolicyDocument>,
    /// Members of each answer of `GetFoundationModelAvailability` that differ from the ordinary one.
    pub(super) availability: Map<String, Value>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock_offset: 0,
            forbidden: Vec::new(),
            revoked_kind: "ExpiredTokenException",
            min_tokens: 0,
            pace: Pace::default(),
            endpoint_policy: None,
            availability: Map::new(),
        }
    }
}

impl Settings {
    /// The time of Bedrock's clock.
    pub(super) fn now(&self) -> SystemTime {
        let by = Duration::from_secs(self.clock_offset.unsigned_abs());
        if self.clock_offset < 0 { clock::now() - by } else { clock::now() + by }
    }

    pub(super) fn forbid(&mut self, pattern: &str) {
        let pattern = regex::escape(pattern).replace(r"\*", ".*");
        self.forbidden.push(Regex::new(&format!("^{pattern}$")).expect("what is escaped is legal"));
    }

    pub(super) fn forbids(&self, model: &str) -> bool {
        self.forbidden.iter().any(|pattern| pattern.is_match(model))
    }

    pub(super) fn hold(&mut self) {
        if self.pace.gate.is_none() {
            self.pace.gate = Some(Arc::new(Semaphore::new(0)));
        }
    }

    pub(super) fn release(&self, frames: usize) {
        if let Some(gate) = &self.pace.gate {
            gate.add_permits(frames);
        }
    }

    pub(super) fn flow(&mut self) {
        if let Some(gate) = self.pace.gate.take() {
            gate.close();
        }
    }
}
