//! The version of this build.

/// The version of the package, for example `0.1.0`.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The abbreviated commit and its date, for example `0ad596f 2026-11-24`, or what the packager named in
/// `BEDROCK_GATEWAY_COMMIT`. Empty if neither was known to the build.
pub const COMMIT: &str = env!("BEDROCK_GATEWAY_BUILT_FROM");

/// Version and commit in one text, for example `0.1.0 (0ad596f 2026-11-24)`.
pub const VERSION_AND_COMMIT: &str = env!("BEDROCK_GATEWAY_VERSION");
