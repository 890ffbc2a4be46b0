//! Sessions against an STS in memory. The clock is tokio's; it only advances while all tasks wait.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use aws_credential_types::Credentials;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_mins(1);

thread_local! {
    static START: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// A wall clock that follows tokio's.
fn now() -> SystemTime {
    let start = START.get().expect("a world was made");
    UNIX_EPOCH + Duration::from_hours(500_000) + start.elapsed()
}

/// The present behaviour of STS, which the test sets.
#[derive(Clone)]
struct Sts(Arc<State>);

struct State {
    calls: AtomicUsize,
    plan: Mutex<Plan>,
    now: fn() -> SystemTime,
}

#[derive(Clone)]
struct Plan {
    lifetime: Duration,
    latency: Duration,
    failure: Option<StsError>,
    panics: bool,
}

impl Sts {
    fn by(now: fn() -> SystemTime) -> Self {
        let plan = Plan { lifetime: 60 * MINUTE, latency: SECOND / 10, failure: None, panics: false };
        Self(Arc::new(State { calls: AtomicUsize::new(0), plan: Mutex::new(plan), now }))
    }

    fn set(&self, change: impl FnOnce(&mut Plan)) {
        change(&mut self.0.plan.lock());
    }

    fn fail(&self, error: StsError) {
        self.set(|plan| plan.failure = Some(error));
    }

    fn heal(&self) {
        self.set(|plan| plan.failure = None);
    }

    fn calls(&self) -> usize {
        self.0.calls.load(Ordering::SeqCst)
    }
}

impl AssumeRole for Sts {
    fn assume_role<'a>(&'a self, _: Arc<SessionIdentity>, _: &'a Rate) -> sts::Issuing<'a> {
        let call = self.0.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = self.0.plan.lock().clone();
        Box::pin(async move {
            sleep(plan.latency).await;
            assert!(!plan.panics, "on purpose");
            if let Some(error) = plan.failure {
                return Err(error);
            }
            let expires = (self.0.now)() + plan.lifetime;
            let token = HeaderValue::from_static("the-session-token");
            let key = format!("ASIA{call}");
            let credentials = Credentials::new(key, "the-secret", None, Some(expires), "test");
            Ok(Issued { credentials, token, expires, packed_percent: None, source_identity: None })
        })
    }
}

fn settings() -> SessionSettings {
    SessionSettings { refresh_before: 10 * MINUTE, capacity: 10_000, max_sts_rate: 10_000, per_name: 8 }
}

fn world(settings: &SessionSettings) -> (Arc<Sessions>, Sts) {
    START.set(Some(Instant::now()));
    let sts = Sts::by(now);
    (Sessions::with_clock(settings, sts.clone(), Metrics::new(), now), sts)
}

fn user(name: &str) -> Arc<SessionIdentity> {
    tagged(name, "search")
}

fn tagged(name: &str, team: &str) -> Arc<SessionIdentity> {
    let role = "arn:aws:iam::123456789012:role/BedrockUser";
    Arc::new(SessionIdentity::for_tests(role, name, &[("team", team)], 60 * MINUTE))
}

fn denied() -> StsError {
    StsError::Denied { code: "AccessDenied".to_owned(), message: "no".to_owned() }
}

fn throttled() -> StsError {
    StsError::Unavailable { failure: StsFailure::Throttled, message: "Rate exceeded".to_owned() }
}

async fn all_at_once(
    sessions: &Arc<Sessions>,
    ids: impl IntoIterator<Item = Arc<SessionIdentity>>,
) -> Vec<Result<Session, SessionError>> {
    let mut tasks = JoinSet::new();
    for id in ids {
        let sessions = Arc::clone(sessions);
        tasks.spawn(async move { sessions.of(&id).await });
    }
    tasks.join_all().await
}

#[tokio::test(start_paused = true)]
async fn a_thousand_first_requests_make_one_call_and_a_hundred_users_a_hundred() {
    let (sessions, sts) = world(&settings());
    let answers = all_at_once(&sessions, (0..1000).map(|_| user("alice"))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().access_key_id() == "ASIA1"));
    assert_eq!(sts.calls(), 1);

    let names: Vec<_> = (0..100).map(|n| format!("user-{n}")).collect();
    let answers = all_at_once(&sessions, (0..1000).map(|n| user(&names[n % 100]))).await;
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(sts.calls(), 101);
    assert_eq!(sessions.len(), 101);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_first_requests_on_several_threads_make_one_call() {
    let sts = Sts::by(clock::now);
    sts.set(|plan| plan.latency = Duration::ZERO);
    let sessions = Sessions::new(&settings(), sts.clone(), Metrics::new());
    for round in 1..=50 {
        let id = user(&format!("user-{round}"));
        let answers = all_at_once(&sessions, (0..100).map(|_| Arc::clone(&id))).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(sts.calls(), round);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_call_goes_on_when_the_request_that_started_it_ends() {
    let (sessions, sts) = world(&settings());
    let id = user("alice");
    let first = tokio::spawn({
        let (sessions, id) = (Arc::clone(&sessions), Arc::clone(&id));
        async move { sessions.of(&id).await.map(drop) }
    });
    tokio::task::yield_now().await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());

    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Miss);
    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Hit);
    assert_eq!(sts.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_miss_that_meets_a_renewal_joins_it() {
    let (sessions, sts) = world(&settings());
    sts.set(|plan| plan.lifetime = 100 * SECOND);
    let id = user("alice");
    sessions.of(&id).await.unwrap();

    // The session expires during its renewal.
    sts.set(|plan| plan.latency = 8 * SECOND);
    advance(93 * SECOND).await;
    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Stale);
    advance(3 * SECOND).await;
    let session = sessions.of(&id).await.unwrap();
    assert_eq!((session.lookup(), session.access_key_id()), (Lookup::Miss, "ASIA2"));
    assert_eq!(sts.calls(), 2);

    // The session is evicted during its renewal.
    advance(93 * SECOND).await;
    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Stale);
    sessions.cache.remove(&id, "ASIA2");
    let session = sessions.of(&id).await.unwrap();
    assert_eq!((session.lookup(), session.access_key_id()), (Lookup::Miss, "ASIA3"));
    assert_eq!(sts.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn renewal_is_not_noticed_by_a_client_that_loops() {
    let (sessions, sts) = world(&settings());
    sts.set(|plan| {
        plan.lifetime = 20 * SECOND;
        plan.latency = SECOND / 2;
    });
    let id = user("alice");
    sessions.of(&id).await.unwrap();
    let start = Instant::now();
    while start.elapsed() < 200 * SECOND {
        let asked = Instant::now();
        let session = sessions.of(&id).await.unwrap();
        assert_ne!(session.lookup(), Lookup::Miss);
        assert_eq!(asked.elapsed(), Duration::ZERO);
        assert!(session.expires() > now() + SECOND);
        sleep(SECOND / 10).await;
    }
    // Renewed between 4 s and 2 s before each end.
    assert!((10..=13).contains(&sts.calls()), "{}", sts.calls());
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_sts_shows_only_when_the_session_expires() {
    let (sessions, sts) = world(&settings());
    let id = user("alice");
    let expires = sessions.of(&id).await.unwrap().expires();
    sts.fail(denied());
    while now() < expires - 10 * SECOND {
        assert_eq!(sessions.of(&id).await.unwrap().access_key_id(), "ASIA1");
        sleep(SECOND).await;
    }
    assert!((4..40).contains(&sts.calls()), "it backs off: {}", sts.calls());

    // STS no longer answers: the request fails within the deadline.
    sts.set(|plan| plan.latency = 60 * MINUTE);
    sleep(10 * SECOND).await;
    let asked = Instant::now();
    let error = sessions.of(&id).await.unwrap_err();
    assert!(asked.elapsed() <= 10 * SECOND, "{:?}", asked.elapsed());
    assert_eq!(error.reason(), Reason::StsTimeout);

    sts.heal();
    sts.set(|plan| plan.latency = Duration::ZERO);
    sleep(SECOND).await;
    sessions.of(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_remembered_for_five_seconds() {
    let (sessions, sts) = world(&settings());
    sts.fail(denied());
    let id = user("alice");
    for _ in 0..40 {
        assert_eq!(sessions.of(&id).await.unwrap_err().reason(), Reason::StsDenied);
        sleep(SECOND / 10).await;
    }
    assert_eq!(sts.calls(), 1);
    sts.heal();
    advance(2 * SECOND).await;
    sessions.of(&id).await.unwrap();
    assert_eq!(sts.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_throttled_miss_backs_off_and_recovers() {
    let (sessions, sts) = world(&settings());
    sts.fail(throttled());
    let id = user("alice");
    for _ in 0..600 {
        assert_eq!(sessions.of(&id).await.unwrap_err().reason(), Reason::StsThrottled);
        sleep(SECOND / 10).await;
    }
    assert!((10..40).contains(&sts.calls()), "{}", sts.calls());
    sts.heal();
    sleep(5 * SECOND).await;
    sessions.of(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_gateway_is_not_remembered_for_a_caller() {
    let (sessions, sts) = world(&settings());
    sts.fail(StsError::GatewayRefused { code: "ExpiredToken".to_owned(), message: String::new() });
    let id = user("alice");
    assert_eq!(sessions.of(&id).await.unwrap_err().reason(), Reason::StsRefusesGateway);
    sts.heal();
    sessions.of(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shared_call_that_panics_is_an_error_and_the_next_one_succeeds() {
    let (sessions, sts) = world(&settings());
    sts.set(|plan| plan.panics = true);
    let id = user("alice");
    let answers = all_at_once(&sessions, (0..10).map(|_| user("alice"))).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap_err().reason() == Reason::StsFailed));
    assert_eq!(sts.calls(), 1);
    sts.set(|plan| plan.panics = false);
    sessions.of(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_has_expired_on_arrival_is_not_used() {
    let (sessions, sts) = world(&settings());
    sts.set(|plan| plan.lifetime = Duration::ZERO);
    assert_eq!(sessions.of(&user("alice")).await.unwrap_err().reason(), Reason::StsFailed);
    assert_eq!(sessions.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn misses_above_the_rate_wait_ten_seconds_at_most() {
    let (sessions, sts) = world(&SessionSettings { max_sts_rate: 2, ..settings() });
    let start = Instant::now();
    let answers = all_at_once(&sessions, (0..50).map(|n| user(&format!("user-{n}")))).await;
    assert!(start.elapsed() <= 11 * SECOND);
    let refused = answers.iter().filter(|answer| matches!(answer, Err(SessionError::Overloaded)));
    assert_eq!((refused.count(), sts.calls()), (28, 22), "two at once, then two a second");
}

#[tokio::test(start_paused = true)]
async fn renewals_leave_the_rate_to_misses_until_their_last_minute() {
    let (sessions, sts) = world(&SessionSettings { max_sts_rate: 1, ..settings() });
    let id = user("alice");
    let expires = sessions.of(&id).await.unwrap().expires();
    let keep_busy = |round: usize| {
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move {
            all_at_once(&sessions, (0..5).map(|n| user(&format!("user-{round}-{n}")))).await
        })
    };

    advance(55 * MINUTE).await;
    let busy = keep_busy(0);
    sleep(SECOND / 10).await;
    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Stale);
    busy.await.unwrap();
    assert_eq!(sts.calls(), 6, "no turn was left for the renewal");

    sleep((expires - 50 * SECOND).duration_since(now()).unwrap()).await;
    let busy = keep_busy(1);
    sleep(SECOND / 10).await;
    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Stale);
    busy.await.unwrap();
    sleep(2 * SECOND).await;
    let session = sessions.of(&id).await.unwrap();
    assert_eq!(session.lookup(), Lookup::Hit, "it waited its turn among the misses");
    assert_eq!(sts.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn too_many_sessions_of_a_name_evict_the_least_recently_used() {
    let (sessions, sts) = world(&SessionSettings { per_name: 2, ..settings() });
    let [a, b, c] = ["a", "b", "c"].map(|team| tagged("alice", team));
    sessions.of(&a).await.unwrap();
    sessions.of(&b).await.unwrap();
    sleep(SECOND).await;
    sessions.of(&a).await.unwrap();
    assert_eq!(sessions.of(&c).await.unwrap_err(), SessionError::TooManySessions);
    sessions.of(&user("bob")).await.unwrap();
    assert_eq!(sts.calls(), 3);

    advance(MINUTE).await;
    sessions.of(&c).await.unwrap();
    assert_eq!(sessions.of(&a).await.unwrap().lookup(), Lookup::Hit);
    let alices = sessions
        .page(usize::MAX, |_| true)
        .sessions
        .into_iter()
        .filter(|record| record.name.as_str() == "alice");
    assert_eq!(alices.count(), 2, "b was the least recently used");
    assert_eq!(sessions.of(&b).await.unwrap().lookup(), Lookup::Miss);
}

/// The name is not remembered either: the number of remembered names depends on the rate, not on the number of callers.
#[tokio::test(start_paused = true)]
async fn a_session_that_got_no_turn_does_not_count() {
    let (sessions, _) = world(&SessionSettings { per_name: 1, max_sts_rate: 1, ..settings() });
    let answers = all_at_once(&sessions, (0..20).map(|n| user(&format!("user{n}")))).await;
    assert!(answers.iter().any(Result::is_ok));
    let late = {
        let sessions = Arc::clone(&sessions);
        tokio::spawn(async move { all_at_once(&sessions, (20..40).map(|n| user(&format!("user{n}")))).await })
    };
    sleep(SECOND / 1000).await;
    let refused = sessions.of(&tagged("alice", "a")).await.unwrap_err();
    assert_eq!(refused, SessionError::Overloaded);
    late.await.unwrap();
    sessions.of(&tagged("alice", "b")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_sts_refuses_again_and_again_counts_once() {
    let (sessions, sts) = world(&SessionSettings { per_name: 2, ..settings() });
    sts.fail(denied());
    for _ in 0..12 {
        assert_eq!(sessions.of(&user("alice")).await.unwrap_err().reason(), Reason::StsDenied);
        sleep(5 * SECOND).await;
    }
    assert_eq!(sts.calls(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_refused_session_is_replaced_once_a_minute() {
    let (sessions, sts) = world(&settings());
    let id = user("alice");
    let refused = sessions.of(&id).await.unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..100 {
        let (sessions, refused) = (Arc::clone(&sessions), refused.clone());
        tasks.spawn(async move { sessions.other_than(&refused).await });
    }
    for answer in tasks.join_all().await {
        assert_eq!(answer.unwrap().access_key_id(), "ASIA2");
    }
    let second = sessions.other_than(&refused).await.unwrap();
    assert_eq!(sts.calls(), 2);

    assert!(sessions.other_than(&second).await.is_none(), "not again so soon");
    assert_eq!(sessions.of(&id).await.unwrap().access_key_id(), "ASIA2");
    advance(MINUTE).await;
    assert_eq!(sessions.other_than(&second).await.unwrap().access_key_id(), "ASIA3");
    assert_eq!(sts.calls(), 3);
}

/// A renewal that gets no spare turn does not count as a failure of STS.
#[tokio::test(start_paused = true)]
async fn a_refused_session_is_replaced_while_renewals_wait_for_turns() {
    let (sessions, sts) = world(&SessionSettings { max_sts_rate: 1, ..settings() });
    let id = user("alice");
    sessions.of(&id).await.unwrap();
    advance(55 * MINUTE).await;
    sessions.of(&user("bob")).await.unwrap();
    let refused = sessions.of(&id).await.unwrap();
    assert_eq!((refused.lookup(), sts.calls()), (Lookup::Stale, 2), "there was no turn to renew it");
    assert_eq!(sessions.other_than(&refused).await.unwrap().access_key_id(), "ASIA3");
}

#[tokio::test(start_paused = true)]
async fn a_refused_session_stays_until_there_is_another() {
    let (sessions, sts) = world(&settings());
    let id = user("alice");
    let refused = sessions.of(&id).await.unwrap();
    sts.fail(StsError::Unavailable { failure: StsFailure::Throttled, message: String::new() });
    assert!(sessions.other_than(&refused).await.is_none(), "Bedrock's refusal is the answer");
    assert_eq!(sessions.of(&id).await.unwrap().access_key_id(), "ASIA1", "other regions may accept it");
    assert!(sessions.other_than(&refused).await.is_none());
    assert_eq!(sts.calls(), 2, "the gateway does not call STS again at once");

    sts.heal();
    advance(MINUTE).await;
    assert_eq!(sessions.other_than(&refused).await.unwrap().access_key_id(), "ASIA3");
}

#[tokio::test(start_paused = true)]
async fn the_capacity_holds_and_new_sessions_are_cached() {
    let (sessions, sts) = world(&SessionSettings { capacity: 50, ..settings() });
    let old: Vec<_> = (0..50).map(|n| user(&format!("old-{n}"))).collect();
    for _ in 0..5 {
        all_at_once(&sessions, old.iter().cloned()).await;
    }
    let new: Vec<_> = (0..50).map(|n| user(&format!("new-{n}"))).collect();
    for _ in 0..3 {
        for id in &new {
            sessions.of(id).await.unwrap();
        }
    }
    assert_eq!(sts.calls(), 100);
    assert_eq!(sessions.len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_request_removes_none_of_100_000_sessions_that_expired_together() {
    let (sessions, sts) = world(&SessionSettings { capacity: 100_000, ..settings() });
    let id = user("alice");
    for n in 0..100_000 {
        let token = HeaderValue::from_static("the-session-token");
        let credentials = Credentials::new("ASIA", "the-secret", None, None, "test");
        let expires = now() + 60 * MINUTE;
        let issued = Issued { credentials, token, expires, packed_percent: None, source_identity: None };
        let live = CachedSession::new(user(&format!("user-{n}")), issued, MINUTE, now());
        sessions.cache.insert(&Arc::new(live));
    }
    advance(60 * MINUTE).await;
    assert!(sessions.cached(&user("user-7")).is_none());
    assert_eq!(sessions.len(), 100_000);
    sessions.of(&id).await.unwrap();
    assert_eq!((sts.calls(), sessions.len()), (1, 100_000), "the new one took the place of one other");
    sessions.sweep();
    assert_eq!(sessions.len(), 1);
    assert_eq!(sessions.of(&id).await.unwrap().lookup(), Lookup::Hit);
}

#[tokio::test(start_paused = true)]
async fn secrets_are_not_shown() {
    let (sessions, _) = world(&settings());
    let session = sessions.of(&user("alice")).await.unwrap();
    let shown = format!("{sessions:?} {session:?} {:?}", sessions.page(10, |_| true));
    assert!(shown.contains("ASIA1"));
    assert!(!shown.contains("the-secret") && !shown.contains("the-session-token"));
    assert_eq!(session.principal(), "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice");
}
