//! The client against a slow STS. The clock is tokio's; it only advances while all tasks wait.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::{Response, StatusCode};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, Sleep, sleep};

use super::*;
use crate::sessions::{SessionError, SessionSettings, Sessions};
use crate::telemetry::metrics::Metrics;

const SECOND: Duration = Duration::from_secs(1);

/// The answer of STS to one call.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A session. The head of the answer arrives after the first number of seconds, its body after the second.
    Grants(u32, u32),
    Fails(u32, u16, &'static str),
    Resets(u32),
}

/// The SDK's clock, which follows tokio's.
#[derive(Debug)]
struct Clock(Instant);

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_hours(500_000) + self.0.elapsed()
    }
}

/// STS in memory.
#[derive(Debug, Default)]
struct Sts {
    steps: Mutex<VecDeque<Step>>,
    calls: AtomicUsize,
    in_flight: AtomicUsize,
    most_at_once: AtomicUsize,
}

#[derive(Debug)]
struct Connector(Arc<Sts>);

impl HttpConnector for Connector {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let sts = Arc::clone(&self.0);
        HttpConnectorFuture::new(async move {
            // The SDK may track how its request is read.
            while request.body_mut().frame().await.is_some() {}
            sts.calls.fetch_add(1, Ordering::SeqCst);
            let at_once = sts.in_flight.fetch_add(1, Ordering::SeqCst) + 1;
            sts.most_at_once.fetch_max(at_once, Ordering::SeqCst);
            let step = sts.steps.lock().pop_front();
            let answer = answer(step.expect("one call for each step")).await;
            sts.in_flight.fetch_sub(1, Ordering::SeqCst);
            answer
        })
    }
}

async fn answer(step: Step) -> Result<Response<SdkBody>, ConnectorError> {
    let (Step::Grants(after, _) | Step::Fails(after, ..) | Step::Resets(after)) = step;
    sleep(after * SECOND).await;
    let ((status, text), later) = match step {
        Step::Grants(_, later) => (granted(), later),
        Step::Fails(_, status, code) => (error(status, code, ""), 0),
        Step::Resets(_) => {
            let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
            return Err(ConnectorError::io(reset.into()));
        }
    };
    let body = SdkBody::from_body_1_x(Later { text: Some(text), at: Box::pin(sleep(later * SECOND)) });
    Ok(Response::new(StatusCode::try_from(status).unwrap(), body))
}

/// A body that arrives in one piece after a delay.
struct Later {
    text: Option<String>,
    at: Pin<Box<Sleep>>,
}

impl http_body::Body for Later {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        ready!(pin!(&mut self.at).poll(cx));
        Poll::Ready(self.text.take().map(|text| Ok(Frame::data(text.into()))))
    }
}

/// The gateway's own credentials, which arrive after this number of seconds.
#[derive(Debug)]
struct Own(u32);

impl ProvideCredentials for Own {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(async {
            sleep(self.0 * SECOND).await;
            Ok(Credentials::new("AKIA", "hidden", None, None, "test"))
        })
    }
}

/// Requests the first session of one caller from an STS that answers with `steps`. Returns the outcome, the time that
/// it took, and STS with its counts.
async fn ask(own: Own, steps: &[Step]) -> (Result<(), SessionError>, Duration, Arc<Sts>) {
    let sts = Arc::new(Sts { steps: Mutex::new(steps.iter().copied().collect()), ..Sts::default() });
    let connector = SharedHttpConnector::new(Connector(Arc::clone(&sts)));
    let http = http_client_fn(move |_, _| connector.clone());
    let settings = at(Url::parse("http://sts.test").unwrap());
    let source = OwnCredentials::new(own);
    let config = StsClient::config(&settings, &source).http_client(http).time_source(Clock(Instant::now()));
    let client = StsClient::of(config, source);
    let limits = SessionSettings { refresh_before: HOUR / 6, capacity: 10, max_sts_rate: 100, per_name: 8 };
    let sessions = Sessions::new(&limits, client, Metrics::new());
    let start = Instant::now();
    let session = sessions.of(&alice(HOUR)).await;
    (session.map(drop), start.elapsed(), sts)
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_within_ten_seconds_counts() {
    for (head, body) in [(6, 0), (9, 0), (0, 6), (0, 9), (4, 5)] {
        let (session, waited, sts) = ask(Own(0), &[Step::Grants(head, body)]).await;
        assert_eq!(session, Ok(()), "{head} s and {body} s");
        assert_eq!(waited.as_secs(), u64::from(head + body));
        assert_eq!(sts.calls.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_not_abandoned_for_another() {
    let (session, waited, sts) = ask(Own(0), &[Step::Grants(11, 0), Step::Grants(0, 0)]).await;
    assert_eq!(session.unwrap_err().reason(), Reason::StsTimeout);
    assert_eq!((waited.as_secs(), sts.calls.load(Ordering::SeqCst)), (10, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_retried_within_the_same_ten_seconds() {
    let throttled = |after| Step::Fails(after, 400, "Throttling");
    let failed = |after| Step::Fails(after, 503, "ServiceUnavailable");
    for steps in [
        [throttled(1), Step::Grants(6, 0)].as_slice(),
        &[failed(3), Step::Grants(6, 0)],
        &[Step::Resets(2), Step::Grants(0, 6)],
        &[failed(1), Step::Resets(1), Step::Grants(6, 0)],
    ] {
        let (session, waited, sts) = ask(Own(0), steps).await;
        assert_eq!(session, Ok(()), "{steps:?}");
        assert!(waited < 10 * SECOND, "{steps:?}: {waited:?}");
        assert_eq!(sts.calls.load(Ordering::SeqCst), steps.len());
        assert_eq!(sts.most_at_once.load(Ordering::SeqCst), 1, "one call at a time");
    }
    let (session, waited, sts) = ask(Own(0), &[failed(6), Step::Grants(6, 0)]).await;
    assert_eq!(session.unwrap_err().reason(), Reason::StsTimeout);
    assert_eq!((waited.as_secs(), sts.calls.load(Ordering::SeqCst)), (10, 2));
}

#[tokio::test(start_paused = true)]
async fn the_gateways_own_credentials_may_use_the_ten_seconds() {
    let (session, waited, _) = ask(Own(8), &[Step::Grants(1, 0)]).await;
    assert_eq!((session, waited.as_secs()), (Ok(()), 9));
}
