//! What is asked: which operation of which upstream family a method and a raw path name, on which model.

use std::str::FromStr;

/// An operation that a role may allow; `operations` in the configuration names these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    Invoke,
    Converse,
}

impl Operation {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 2] = [Self::Invoke, Self::Converse];

    /// The name in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Converse => "converse",
        }
    }
}

/// A name that is no operation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no operation of this name")]
pub struct UnknownOperation;

impl FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(name: &str) -> Result<Self, UnknownOperation> {
        Self::ALL.into_iter().find(|operation| operation.as_str() == name).ok_or(UnknownOperation)
    }
}

/// A model id after its one percent-decoding: 1..2048 bytes of `[A-Za-z0-9._:/-]` (the alphabet of
/// the `modelId` pattern in the Bedrock service model).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelId(String);

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
            Ok(Self(text.to_owned()))
        } else {
            Err(IllegalModelId)
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}
