//! One failure of each kind. Texts for the operator alone contain [`MARKER`].

use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};

use crate::attribution::arn::RoleArn;
use crate::auth::{AuthError, InvalidReason, UnverifiedClaims};
use crate::authorize::body::BodyError;
use crate::authorize::inspect::InspectError;
use crate::authorize::{Forbidden, Refused, RoleRefusal};
use crate::endpoint::NoEndpoint;
use crate::error::Failure;
use crate::headers::{Forwarded, NotAscii};
use crate::identity::{Identified, Identity, IdentityError, IdentityRefusal};
use crate::limits::memory::Bytes;
use crate::limits::requests::Busy;
use crate::proxy::Obstacle;
use crate::revoke::{Entry, Revocations, Revoked, Selector, SelectorInput};
use crate::route::RouteError;
use crate::sessions::{SessionError, StsFailure};
use crate::sign::SignError;
use crate::upstream::UpstreamError;
use crate::verdict::RefusedRequests;

/// It takes the place of a role ARN, a claim or a host name. Header names may contain it as well.
pub(super) const MARKER: &str = "internal-marker";

/// Declares for each kind of failure its case in `tests/cases/answers`, its pattern and samples of it. The
/// patterns are one match: a new variant does not compile without a row.
macro_rules! rows {
    ($($case:literal: $pattern:pat => [$($sample:expr),+],)+) => {
        /// The case of a failure, as `STAGE/NAME`.
        pub(super) fn case_of(failure: &Failure) -> &'static str {
            match failure {
                $($pattern => $case,)+
            }
        }

        /// At least one failure for each case, with the case's name.
        pub(super) fn every() -> Vec<(&'static str, Failure)> {
            vec![$($(($case, Failure::from($sample)),)+)+]
        }
    };
}

rows! {
    "limits/gateway-busy": Failure::Busy(Busy::Gateway { .. }) => [Busy::Gateway { limit: 4096 }],
    "limits/caller-busy": Failure::Busy(Busy::Caller { .. }) =>
        [Busy::Caller { principal: MARKER.into(), limit: 256 }],
    "route/unknown": Failure::Route(RouteError::Unknown { instead: None }) =>
        [RouteError::Unknown { instead: None }],
    "route/unknown-instead": Failure::Route(RouteError::Unknown { instead: Some(_) }) =>
        [RouteError::Unknown { instead: Some("POST /anthropic/v1/messages") }],
    "route/bidirectional": Failure::Route(RouteError::Bidirectional) => [RouteError::Bidirectional],
    "route/malformed": Failure::Route(RouteError::Malformed(_)) => [RouteError::Malformed("the target is longer than 16 KiB")],
    "auth/missing": Failure::Auth(AuthError::Missing) => [AuthError::Missing],
    "auth/expired": Failure::Auth(AuthError::Expired { .. }) => [AuthError::Expired { unverified: unverified() }],
    "auth/tokens-differ": Failure::Auth(AuthError::TokensDiffer) => [AuthError::TokensDiffer],
    "auth/header-repeated": Failure::Auth(AuthError::HeaderRepeated) => [AuthError::HeaderRepeated],
    "auth/oversized": Failure::Auth(AuthError::Oversized) => [AuthError::Oversized],
    "auth/malformed": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Malformed, .. }) =>
        [invalid(InvalidReason::Malformed)],
    "auth/algorithm": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Algorithm, .. }) =>
        [invalid(InvalidReason::Algorithm)],
    "auth/critical-header": Failure::Auth(AuthError::Invalid { reason: InvalidReason::CriticalHeader, .. }) =>
        [invalid(InvalidReason::CriticalHeader)],
    "auth/type": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Type, .. }) =>
        [invalid(InvalidReason::Type)],
    "auth/issuer": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Issuer, .. }) =>
        [invalid(InvalidReason::Issuer)],
    "auth/audience": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Audience, .. }) =>
        [invalid(InvalidReason::Audience)],
    "auth/not-yet-valid": Failure::Auth(AuthError::Invalid { reason: InvalidReason::NotYetValid, .. }) =>
        [invalid(InvalidReason::NotYetValid)],
    "auth/too-old": Failure::Auth(AuthError::Invalid { reason: InvalidReason::TooOld, .. }) =>
        [invalid(InvalidReason::TooOld)],
    "auth/key-unknown": Failure::Auth(AuthError::Invalid { reason: InvalidReason::KeyUnknown, .. }) =>
        [invalid(InvalidReason::KeyUnknown)],
    "auth/signature": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Signature, .. }) =>
        [invalid(InvalidReason::Signature)],
    "auth/claims": Failure::Auth(AuthError::Invalid { reason: InvalidReason::Claims, .. }) =>
        [invalid(InvalidReason::Claims)],
    "auth/keys-unavailable": Failure::Auth(AuthError::KeysUnavailable { .. }) =>
        [AuthError::KeysUnavailable { issuer: MARKER.into() }],
    "identity/requirement-failed":
        Failure::Identity(IdentityRefusal { error: IdentityError::RequirementFailed { undecided: false, .. }, .. }) =>
        [refused(IdentityError::RequirementFailed { index: 0, message: marker(), undecided: false, missing: marker() })],
    "identity/requirement-undecided":
        Failure::Identity(IdentityRefusal { error: IdentityError::RequirementFailed { undecided: true, .. }, .. }) =>
        [refused(IdentityError::RequirementFailed { index: 0, message: marker(), undecided: true, missing: marker() })],
    "identity/no-role": Failure::Identity(IdentityRefusal { error: IdentityError::NoRole { .. }, .. }) =>
        [refused(IdentityError::NoRole { read: marker() })],
    "identity/value-missing": Failure::Identity(IdentityRefusal { error: IdentityError::ValueMissing { .. }, .. }) =>
        [refused(IdentityError::ValueMissing { target: marker(), missing: marker() })],
    "identity/value-invalid": Failure::Identity(IdentityRefusal { error: IdentityError::ValueInvalid { .. }, .. }) =>
        [refused(IdentityError::ValueInvalid { target: marker(), detail: MARKER })],
    "identity/name-forbidden": Failure::Identity(IdentityRefusal { error: IdentityError::NameForbidden { .. }, .. }) =>
        [refused(IdentityError::NameForbidden { name: marker(), replaced: true })],
    "identity/evaluation-failed": Failure::Identity(IdentityRefusal { error: IdentityError::Evaluation { .. }, .. }) =>
        [refused(IdentityError::Evaluation { target: "name".to_owned(), detail: marker() })],
    "identity/groups-overage": Failure::Identity(IdentityRefusal { error: IdentityError::GroupsOverage { .. }, .. }) =>
        [refused(IdentityError::GroupsOverage { target: marker() })],
    "identity/claims-too-large": Failure::Identity(IdentityRefusal { error: IdentityError::ClaimsTooLarge, .. }) =>
        [refused(IdentityError::ClaimsTooLarge)],
    "identity/header-repeated": Failure::Identity(IdentityRefusal { error: IdentityError::HeaderRepeated(_), .. }) =>
        [refused(IdentityError::HeaderRepeated(marker()))],
    "identity/header-illegal": Failure::Identity(IdentityRefusal { error: IdentityError::HeaderIllegal(_), .. }) =>
        [refused(IdentityError::HeaderIllegal(marker()))],
    "revoke/revoked": Failure::Revoked(_) => [revoked()],
    "authorize/operation":
        Failure::Forbidden(RoleRefusal { forbidden: Forbidden::Operation, .. })
        | Failure::Refused(Refused::Forbidden(RoleRefusal { forbidden: Forbidden::Operation, .. })) =>
        [forbidden(Forbidden::Operation), Refused::from(forbidden(Forbidden::Operation))],
    "authorize/model":
        Failure::Forbidden(RoleRefusal { forbidden: Forbidden::Model, .. })
        | Failure::Refused(Refused::Forbidden(RoleRefusal { forbidden: Forbidden::Model, .. })) =>
        [forbidden(Forbidden::Model), Refused::from(forbidden(Forbidden::Model))],
    "authorize/region":
        Failure::Forbidden(RoleRefusal { forbidden: Forbidden::Region, .. })
        | Failure::Refused(Refused::Forbidden(RoleRefusal { forbidden: Forbidden::Region, .. })) =>
        [forbidden(Forbidden::Region), Refused::from(forbidden(Forbidden::Region))],
    "authorize/project":
        Failure::Forbidden(RoleRefusal { forbidden: Forbidden::Project, .. })
        | Failure::Refused(Refused::Forbidden(RoleRefusal { forbidden: Forbidden::Project, .. })) =>
        [forbidden(Forbidden::Project), Refused::from(forbidden(Forbidden::Project))],
    "authorize/stored":
        Failure::Forbidden(RoleRefusal { forbidden: Forbidden::Stored, .. })
        | Failure::Refused(Refused::Forbidden(RoleRefusal { forbidden: Forbidden::Stored, .. })) =>
        [forbidden(Forbidden::Stored), Refused::from(forbidden(Forbidden::Stored))],
    "authorize/header-not-ascii": Failure::Header(_) => [not_ascii()],
    "body/too-large": Failure::Refused(Refused::Body(BodyError::TooLarge { .. })) =>
        [Refused::from(BodyError::TooLarge { max: 1024 })],
    "body/no-memory": Failure::Refused(Refused::Body(BodyError::NoMemory { .. })) =>
        [Refused::from(BodyError::NoMemory { limit: Bytes(512 << 20) })],
    "body/no-memory-for-caller": Failure::Refused(Refused::Body(BodyError::NoMemoryForCaller { .. })) =>
        [Refused::from(BodyError::NoMemoryForCaller { limit: Bytes(128 << 20) })],
    "body/too-slow": Failure::Refused(Refused::Body(BodyError::TooSlow)) => [Refused::from(BodyError::TooSlow)],
    "body/broken": Failure::Refused(Refused::Body(BodyError::Broken(_))) =>
        [Refused::from(BodyError::Broken(MARKER.into()))],
    "body/encoded": Failure::Refused(Refused::Inspect(InspectError::Encoded)) =>
        [Refused::from(InspectError::Encoded)],
    "body/other-type": Failure::Refused(Refused::Inspect(InspectError::OtherType)) =>
        [Refused::from(InspectError::OtherType)],
    "body/not-an-object": Failure::Refused(Refused::Inspect(InspectError::NotAnObject)) =>
        [Refused::from(InspectError::NotAnObject)],
    "body/member-twice": Failure::Refused(Refused::Inspect(InspectError::Twice)) =>
        [Refused::from(InspectError::Twice)],
    "body/not-one-model": Failure::Refused(Refused::Inspect(InspectError::NotOneModel)) =>
        [Refused::from(InspectError::NotOneModel)],
    "body/illegal-model": Failure::Refused(Refused::Inspect(InspectError::IllegalModel)) =>
        [Refused::from(InspectError::IllegalModel)],
    "sessions/wrong-clearance": Failure::Session(SessionError::WrongClearance) =>
        [SessionError::WrongClearance],
    "sessions/denied": Failure::Session(SessionError::Denied { .. }) =>
        [SessionError::Denied { code: "AccessDenied".to_owned(), message: marker() }],
    "sessions/throttled":
        Failure::Session(SessionError::Unavailable { failure: StsFailure::Throttled, .. }) =>
        [unavailable(StsFailure::Throttled)],
    "sessions/no-turn": Failure::Session(SessionError::Unavailable { failure: StsFailure::NoTurn, .. }) =>
        [unavailable(StsFailure::NoTurn)],
    "sessions/timed-out":
        Failure::Session(SessionError::Unavailable { failure: StsFailure::TimedOut, .. }) =>
        [unavailable(StsFailure::TimedOut)],
    "sessions/unreachable":
        Failure::Session(SessionError::Unavailable { failure: StsFailure::Unreachable(_), .. }) =>
        [unavailable(StsFailure::Unreachable(Obstacle::Other))],
    "sessions/failed": Failure::Session(SessionError::Unavailable { failure: StsFailure::Failed, .. }) =>
        [unavailable(StsFailure::Failed)],
    "sessions/gateway-refused": Failure::Session(SessionError::GatewayRefused { .. }) =>
        [SessionError::GatewayRefused { code: "ExpiredToken".to_owned(), message: marker() }],
    "sessions/overloaded": Failure::Session(SessionError::Overloaded) => [SessionError::Overloaded],
    "sessions/too-many": Failure::Session(SessionError::TooManySessions) => [SessionError::TooManySessions],
    "sign/wrong-session": Failure::Sign(SignError::WrongSession) => [SignError::WrongSession],
    "sign/unsignable": Failure::Sign(SignError::Unsignable(_)) =>
        [SignError::from(HeaderValue::from_str("\n").unwrap_err())],
    "upstream/no-endpoint": Failure::Refused(Refused::Endpoint(NoEndpoint)) => [Refused::from(NoEndpoint)],
    "upstream/connect": Failure::Upstream(UpstreamError::Connect(_)) => [UpstreamError::Connect(marker())],
    "upstream/not-answered": Failure::Upstream(UpstreamError::NotAnswered(_)) =>
        [UpstreamError::NotAnswered(marker())],
}

fn refused(error: IdentityError) -> IdentityRefusal {
    error.into()
}

/// A refusal by a role whose ARN is for the operator alone.
fn forbidden(forbidden: Forbidden) -> RoleRefusal {
    let arn = RoleArn::parse(&format!("arn:aws:iam::123456789012:role/{MARKER}")).unwrap();
    RoleRefusal::for_tests(forbidden, Identity::for_tests("alice", |role| role.arn = arn))
}

fn marker() -> String {
    MARKER.to_owned()
}

fn unverified() -> UnverifiedClaims {
    UnverifiedClaims { issuer: Some(marker()), subject: Some(marker()) }
}

fn invalid(reason: InvalidReason) -> AuthError {
    AuthError::Invalid { reason, detail: marker(), unverified: Some(unverified()) }
}

fn unavailable(failure: StsFailure) -> SessionError {
    SessionError::Unavailable { failure, message: marker() }
}

fn revoked() -> Revoked {
    let identity = Identity::for_tests("alice", |_| {});
    let words = SelectorInput { principal: Some(identity.principal()), ..SelectorInput::default() };
    let selector = Selector::of(words).unwrap();
    let revocations = Revocations::default();
    let entry = Entry {
        selector,
        until: None,
        cut_streams: false,
        origin: MARKER.into(),
        line: None,
        since: SystemTime::UNIX_EPOCH,
        refused: RefusedRequests::default(),
    };
    revocations.of_file(vec![entry.into()]);
    revocations.clear(&Identified::for_tests(identity.into())).unwrap_err()
}

fn not_ascii() -> NotAscii {
    let name = format!("x-amzn-bedrock-{MARKER}").parse::<http::HeaderName>().unwrap();
    let headers: HeaderMap = [(name, HeaderValue::from_bytes(b"\xe9").unwrap())].into_iter().collect();
    Forwarded::of(&headers).unwrap_err()
}
