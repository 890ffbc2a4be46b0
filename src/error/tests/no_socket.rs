//! Reasons that no test over a socket can cause, each by the function that finds it. Every other reason is
//! asserted over a socket: `tests/it/reasons.rs` has the list, and allows five here.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aws_credential_types::Credentials;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use http_body::{Body, Frame};
use http_body_util::Full;
use tokio::time::Instant;

use crate::authorize::body::{Bodies, IDLE};
use crate::authorize::unread::Unread;
use crate::authorize::{Authorized, Permit, authorize};
use crate::clock;
use crate::endpoint::Endpoints;
use crate::error::Failure;
use crate::headers::Forwarded;
use crate::identity::{Identity, SessionIdentity};
use crate::limits::memory::{MEMORY_BYTES, MemoryLimits, PRINCIPAL_BYTES};
use crate::reason::Reason;
use crate::revoke::Clearance;
use crate::route::{self, Route};
use crate::sessions::sts::Issuing;
use crate::sessions::{AssumeRole, Issued, Rate, Ready, SessionError, SessionSettings, Sessions};
use crate::sign::{Signed, sign};
use crate::telemetry::metrics::Metrics;

/// The permitted call of a user.
fn permit(user: &str) -> Permit {
    let head = route::head(&Method::POST, "/model/m/converse".parse().unwrap());
    let Ok(Route::Call(call)) = route::parse(&head, &[]) else { panic!("the route is in the table") };
    authorize(cleared(user), call, &"us-east-1".into(), &HeaderMap::new()).unwrap()
}

fn cleared(user: &str) -> Clearance {
    Clearance::for_tests(Arc::new(Identity::for_tests(user, |_| {})))
}

fn no_headers() -> Forwarded {
    Forwarded::for_tests(&HeaderMap::new())
}

fn body(bytes: &'static [u8]) -> Unread<Full<Bytes>> {
    Unread::new(Full::new(Bytes::from_static(bytes)))
}

async fn authorized(user: &str) -> Authorized {
    permit(user)
        .read_body(
            &Endpoints::for_tests(&["us-east-1"]),
            no_headers(),
            body(b"{}"),
            &Bodies::new(1024, MemoryLimits::default()),
        )
        .await
        .unwrap()
}

fn outcome<T>(result: Result<T, impl Into<Failure>>) -> (u16, Reason) {
    let Err(error) = result else { panic!("it did not fail") };
    let answer = error.into().answer();
    (answer.status.as_u16(), answer.reason)
}

/// A body of which nothing ever arrives.
struct Silent;

impl Body for Silent {
    type Data = Bytes;
    type Error = std::convert::Infallible;
    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

/// A client would have to be silent for thirty seconds.
#[tokio::test(start_paused = true)]
async fn a_silent_body_is_too_slow() {
    let began = Instant::now();
    let read = permit("alice")
        .read_body(
            &Endpoints::for_tests(&["us-east-1"]),
            no_headers(),
            Unread::new(Silent),
            &Bodies::new(1024, MemoryLimits::default()),
        )
        .await;
    assert_eq!(outcome(read), (400, Reason::BodyTooSlow));
    assert_eq!(began.elapsed(), IDLE);
}

/// Clients would have to send 512 MiB, and the gateway to hold them. These bodies are one piece of memory.
#[tokio::test]
async fn bodies_that_fill_the_memory_leave_no_room_for_another() {
    let bodies = Bodies::new(PRINCIPAL_BYTES, MemoryLimits::default());
    let large = Full::new(Bytes::from(vec![0; PRINCIPAL_BYTES]));
    let mut held = Vec::new();
    for user in 0..MEMORY_BYTES / PRINCIPAL_BYTES {
        let permit = permit(&format!("user-{user}"));
        held.push(
            permit
                .read_body(
                    &Endpoints::for_tests(&["us-east-1"]),
                    no_headers(),
                    Unread::new(large.clone()),
                    &bodies,
                )
                .await
                .unwrap(),
        );
    }
    let read = permit("alice")
        .read_body(&Endpoints::for_tests(&["us-east-1"]), no_headers(), body(b"{}"), &bodies)
        .await;
    assert_eq!(outcome(read), (503, Reason::BusyBodies));
}

/// An STS whose answer the test chooses.
struct Sts(fn() -> Issuing<'static>);

impl AssumeRole for Sts {
    fn assume_role<'a>(&'a self, _: Arc<SessionIdentity>, _: &'a Rate) -> Issuing<'a> {
        (self.0)()
    }
}

fn sessions(sts: fn() -> Issuing<'static>) -> Arc<Sessions> {
    let refresh_before = Duration::from_mins(5);
    let settings = SessionSettings { refresh_before, capacity: 10, max_sts_rate: 10, per_name: 10 };
    Sessions::new(&settings, Sts(sts), Metrics::new())
}

/// The session of a user's own call.
async fn get(sessions: &Arc<Sessions>, user: &str) -> Result<Ready, SessionError> {
    let call = authorized(user).await;
    sessions.get(Clearance::for_tests(Arc::clone(call.identity())), call).await
}

/// A session of an hour with this access key id.
fn granted(access_key_id: &str) -> Issuing<'static> {
    let expires = clock::now() + Duration::from_hours(1);
    let credentials = Credentials::new(access_key_id, "secret", None, Some(expires), "test");
    let issued = Issued {
        credentials,
        token: HeaderValue::from_static("token"),
        expires,
        packed_percent: None,
        source_identity: None,
    };
    Box::pin(std::future::ready(Ok(issued)))
}

/// STS would have to be silent for ten seconds.
#[tokio::test(start_paused = true)]
async fn an_sts_that_does_not_answer_is_a_timeout() {
    let sessions = sessions(|| Box::pin(pending()));
    let ready = get(&sessions, "alice").await;
    assert_eq!(outcome(ready), (503, Reason::StsTimeout));
}

fn signed(cleared: Clearance, ready: &Ready) -> Result<Signed, crate::sign::SignError> {
    sign(cleared, ready, clock::now())
}

/// The gateway asks for each session, and for each clearance, by the call that it signs.
#[tokio::test]
async fn a_session_or_a_clearance_of_another_identity_signs_nothing() {
    let sessions = sessions(|| granted("ASIA1"));
    let of_alice = get(&sessions, "alice").await.unwrap();
    let of_bob = authorized("bob").await;
    let bob = of_bob.caller().clone();
    let mixed = Ready::for_tests(of_bob, of_alice.session().clone());
    let refused = signed(Clearance::for_tests(Arc::clone(bob.identity())), &mixed);
    assert_eq!(outcome(refused), (500, Reason::SessionMismatch));
    assert_eq!(outcome(signed(cleared("bob"), &of_alice)), (500, Reason::SessionMismatch));
    let got = sessions.get(cleared("bob"), authorized("alice").await).await;
    assert_eq!(outcome(got), (500, Reason::SessionMismatch));
}

/// STS would have to grant an access key id with a control character.
#[tokio::test]
async fn an_access_key_id_that_no_header_can_hold_signs_nothing() {
    let sessions = sessions(|| granted("ASIA\n1"));
    let ready = get(&sessions, "alice").await.unwrap();
    let itself = Clearance::for_tests(Arc::clone(ready.call().identity()));
    assert_eq!(outcome(signed(itself, &ready)), (500, Reason::Unsignable));
}
