//! What stands in the bill: the role's ARN, the session name, the session tags, and the principal they make.
//!
//! Every value is built legal for STS or not at all. The formats are for ever: names stand in years of bills.

pub mod arn;
mod replacement;
pub mod session_name;
pub mod tags;
