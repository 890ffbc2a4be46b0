//! Model ids.

use std::sync::Arc;

/// A model id after its one percent-decoding: 1..2048 bytes of `[A-Za-z0-9._:/-]` (the alphabet of
/// the `modelId` pattern in the Bedrock service model).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId(Arc<str>);

/// Bytes that no model id has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a legal model id")]
pub struct IllegalModelId;

impl ModelId {
    /// # Errors
    /// When the text is empty, longer than 2048 bytes or has a character outside the alphabet.
    pub fn parse(text: &str) -> Result<Self, IllegalModelId> {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if (1..=2048).contains(&text.len()) && text.bytes().all(legal) {
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
