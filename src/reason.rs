//! The reason that a request ended as it did: one word of a closed list. The access log, the metrics and the tests
//! of the documents read the words from here.
//!
//! This module imports nothing of the gateway. No variant carries a text, and none means "other": each stage's
//! error matches its own variants to these, so that a new variant of an error does not compile without a reason.

use std::fmt;

/// Declares each variant once, with its word, so that [`Reason::ALL`] contains all of them.
macro_rules! reasons {
    ($($name:ident => $word:literal,)*) => {
        /// Why a request ended as it did. `docs/TROUBLESHOOTING.md` says what to do about each.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason { $($name,)* }

        impl Reason {
            /// Every reason, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word in the access log, in metrics and in the documentation.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

reasons! {
    Ok => "ok",
    UpstreamError => "upstream_error",
    UpstreamAborted => "upstream_aborted",
    UpstreamConnect => "upstream_connect",
    UpstreamNotAnswered => "upstream_not_answered",
    ClientLeft => "client_left",
    NotHttp => "not_http",
    BusyGateway => "busy_gateway",
    BusyCaller => "busy_caller",
    BusyBodies => "busy_bodies",
    BusyCallerBodies => "busy_caller_bodies",
    RouteUnknown => "route_unknown",
    RouteBidirectional => "route_bidirectional",
    RouteMalformed => "route_malformed",
    HeaderMalformed => "header_malformed",
    BodyTooLarge => "body_too_large",
    BodyTooSlow => "body_too_slow",
    BodyBroken => "body_broken",
    BodyMalformed => "body_malformed",
    TokenMissing => "token_missing",
    TokenExpired => "token_expired",
    TokensDiffer => "tokens_differ",
    TokenHeaderRepeated => "token_header_repeated",
    TokenOversized => "token_oversized",
    TokenMalformed => "token_malformed",
    TokenAlgorithm => "token_algorithm",
    TokenCriticalHeader => "token_critical_header",
    TokenType => "token_type",
    TokenIssuer => "token_issuer",
    TokenAudience => "token_audience",
    TokenNotYetValid => "token_not_yet_valid",
    TokenTooOld => "token_too_old",
    TokenKeyUnknown => "token_key_unknown",
    TokenSignature => "token_signature",
    TokenClaims => "token_claims",
    KeysUnavailable => "keys_unavailable",
    RequirementFailed => "requirement_failed",
    NoRole => "no_role",
    ValueMissing => "value_missing",
    ValueInvalid => "value_invalid",
    EvaluationFailed => "evaluation_failed",
    GroupsOverage => "groups_overage",
    ClaimsTooLarge => "claims_too_large",
    RequestHeaderRepeated => "request_header_repeated",
    RequestHeaderIllegal => "request_header_illegal",
    SessionNameForbidden => "session_name_forbidden",
    Revoked => "revoked",
    OperationForbidden => "operation_forbidden",
    ModelForbidden => "model_forbidden",
    RegionForbidden => "region_forbidden",
    ProjectForbidden => "project_forbidden",
    StoredForbidden => "stored_forbidden",
    StsDenied => "sts_denied",
    StsThrottled => "sts_throttled",
    StsTimeout => "sts_timeout",
    StsUnreachable => "sts_unreachable",
    StsFailed => "sts_failed",
    StsRefusesGateway => "sts_refuses_gateway",
    StsRateExhausted => "sts_rate_exhausted",
    TooManySessions => "too_many_sessions",
    NoEndpoint => "no_endpoint",
    SessionMismatch => "session_mismatch",
    Unsignable => "unsignable",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
