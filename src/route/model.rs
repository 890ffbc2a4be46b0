//! Model ids.

use std::sync::Arc;

/// A model id after its one percent-decoding: 1..2048 bytes of `[A-Za-z0-9._:/-]` (the alphabet of
/// the `modelId` pattern in the Bedrock service model), a `/` only in ARNs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId(Arc<str>);

/// A text that no model has for an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a legal model id")]
pub struct IllegalModelId;

impl ModelId {
    /// # Errors
    /// When the text is empty, longer than 2048 bytes, has a character outside the alphabet, or a `/` and is
    /// no ARN.
    pub fn parse(text: &str) -> Result<Self, IllegalModelId> {
        if (1..=2048).contains(&text.len()) && is_legal(text) {
            Ok(Self(text.into()))
        } else {
            Err(IllegalModelId)
        }
    }

    /// The id as operators write it in `models`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an id, of a model or of anything else, has only bytes that such have. An escaped `/` in one that is
/// no ARN would be another path to a server that decodes before it splits.
pub(super) fn is_legal(id: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    id.bytes().all(legal) && (id.starts_with("arn:") || !id.contains('/'))
}
