//! A reverse proxy for Amazon Bedrock.

pub mod auth;
pub mod clock;
pub mod route;
pub mod telemetry;
