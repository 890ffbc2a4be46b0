//! The values that the bill shows: the role's ARN, the session name, the session tags and the principal.
//!
//! A value of these types is always legal for STS. The formats never change: years of bills contain these names.

pub mod arn;
mod replacement;
pub mod session_name;
pub mod tags;
