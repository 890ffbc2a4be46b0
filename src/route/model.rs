//! Model ids.

use std::sync::Arc;

/// A model id, percent-decoded once: 1 to 2048 bytes of `[A-Za-z0-9._:/-]`, which is the alphabet of the `modelId`
/// pattern in the Bedrock service model. Only an ARN may contain `/`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
// Assumption A22.
pub struct ModelId(Arc<str>);

/// The error for a text that cannot be a model id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a legal model id")]
pub struct IllegalModelId;

impl ModelId {
    /// Checks that a text is a model id.
    ///
    /// # Errors
    /// When the text is empty, is longer than 2048 bytes, has a character outside the alphabet, or has a `/` without
    /// being an ARN.
    pub fn parse(text: &str) -> Result<Self, IllegalModelId> {
        if (1..=2048).contains(&text.len()) && is_legal(text) {
            Ok(Self(text.into()))
        } else {
            Err(IllegalModelId)
        }
    }

    /// The id in the form that model patterns match.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether an id, of a model or of another resource, has only allowed bytes. Only an ARN may contain `/`: a server that
/// decodes before it splits would read any other id with an escaped `/` as another path.
pub(super) fn is_legal(id: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
    id.bytes().all(legal) && (id.starts_with("arn:") || !id.contains('/'))
}
