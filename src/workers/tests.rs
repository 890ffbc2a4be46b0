use std::sync::mpsc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;

use super::poll_meter::cpu_time;
use super::*;

const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// CPU time of a long poll, nanoseconds.
const BUSY: u64 = 5_000_000;

fn workers(count: usize) -> Arc<Workers> {
    Workers::start(NonZeroUsize::new(count).unwrap(), None).unwrap()
}

/// An accepted connection whose peer stays open.
async fn connection() -> (std::net::TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (server.into_std().unwrap(), client)
}

#[tokio::test]
async fn each_connection_goes_to_the_least_busy_worker() {
    let workers = workers(3);
    let (mut tasks, end) = (JoinSet::new(), Arc::new(Notify::new()));
    let (seen, ran) = mpsc::channel();
    let mut peers = Vec::new();
    for _ in 0..6 {
        let (socket, peer) = connection().await;
        peers.push(peer);
        let (seen, end) = (seen.clone(), Arc::clone(&end));
        let serve = |_stream| async move {
            seen.send((current(), thread::current().name().map(str::to_owned))).unwrap();
            end.notified().await;
        };
        workers.serve(socket, &mut tasks, serve).unwrap();
    }
    let mut on = [0; 3];
    for _ in 0..6 {
        let (number, thread) = ran.recv_timeout(LONGEST_WAIT).unwrap();
        assert_eq!(thread.unwrap(), format!("worker-{number}"));
        on[number] += 1;
    }
    assert_eq!(on, [2, 2, 2]);
    end.notify_waiters();
    while tasks.join_next().await.is_some() {}
    assert!(workers.all.iter().all(|worker| worker.tasks() == 0), "tasks that ended do not count");
}

#[tokio::test]
async fn a_stream_leaves_the_worker_of_its_connection_when_that_is_busier() {
    let workers = workers(2);
    let (seen, ran) = mpsc::channel();
    let (on, spawning) = (seen.clone(), Arc::clone(&workers));
    workers.all[1].runtime.spawn(async move {
        for _ in 0..2 * STREAMS_AHEAD {
            let on = on.clone();
            spawning.serve_stream(async move {
                on.send(current()).unwrap();
                std::future::pending::<()>().await;
            });
        }
    });
    let mut own = 0;
    for _ in 0..2 * STREAMS_AHEAD {
        own += ran.recv_timeout(LONGEST_WAIT).unwrap();
    }
    // The first ones, until the worker has more than its lead; then each in turn.
    assert!((STREAMS_AHEAD + 1..2 * STREAMS_AHEAD).contains(&own), "{own}");
}

#[tokio::test]
async fn tasks_end_with_their_workers() {
    let workers = workers(2);
    let held = Arc::new(());
    let mut tasks = JoinSet::new();
    let (socket, _peer) = connection().await;
    let holding = Arc::clone(&held);
    let serve = |stream| async move {
        let _held = (holding, stream);
        std::future::pending::<()>().await;
    };
    workers.serve(socket, &mut tasks, serve).unwrap();
    drop(workers);
    assert!(tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn the_longest_poll_is_measured_by_the_time_of_its_thread() {
    let polls = Arc::new(PollMeter::default());
    let workers = Workers::start(NonZeroUsize::MIN, Some(Arc::clone(&polls))).unwrap();
    let (done, ended) = mpsc::channel();
    workers.serve_stream(async move {
        let begun = cpu_time();
        while cpu_time() - begun < BUSY {
            std::hint::spin_loop();
        }
        done.send(()).unwrap();
    });
    ended.recv_timeout(LONGEST_WAIT).unwrap();
    drop(workers);
    let longest = loop {
        // The poll is recorded just after it has ended.
        let longest = polls.take_longest();
        if !longest.is_zero() {
            break longest;
        }
        thread::yield_now();
    };
    assert!(longest >= Duration::from_nanos(BUSY), "{longest:?}");
}
