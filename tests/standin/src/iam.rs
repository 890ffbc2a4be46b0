//! IAM: policy documents, and the decision that AWS would make from them.
//!
//! It shares no code with the gateway, which generates such policies. It is strict: a document with an element, an
//! operator, a condition key or a policy variable that it does not know is an error, never a decision.
//!
//! ```
//! use bedrock_standin::iam::{Caller, Context, Directory, Need, PolicyDocument};
//!
//! let directory = Directory::default();
//! let user = "arn:aws:iam::123456789012:role/BedrockUser";
//! let allow = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel",
//!     "Resource":"arn:aws:bedrock:us-east-1::foundation-model/anthropic.*"}]}"#;
//! directory.set_permissions(user, vec![PolicyDocument::identity(allow).unwrap()]);
//! let alice = Caller::session(user, "alice@acme.org");
//! let of = |model: &str| {
//!     let resource = format!("arn:aws:bedrock:us-east-1::foundation-model/{model}");
//!     Need::new("bedrock:InvokeModel", &resource, Context::default())
//! };
//! assert!(directory.decide(&alice, &of("anthropic.claude-opus-4-6-v1"), None).is_ok());
//! let denial = directory.decide(&alice, &of("amazon.nova-2-lite-v1:0"), None).unwrap_err();
//! assert_eq!(denial.to_string(), "because no identity-based policy allows the bedrock:InvokeModel action");
//! ```

mod condition;
mod context;
mod decision;
mod directory;
mod document;
mod pattern;

pub use context::{Caller, Context, Need};
pub use decision::{By, Denial, Policies, decide};
pub use directory::Directory;
pub use document::{Kind, PolicyDocument, PolicyError};

#[cfg(test)]
mod tests;
