//! The lines about problems, with a clock that stands still.

use std::io::{self, Write};
use std::sync::Arc;

use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A log of problems, and the lines that it has written.
struct Bench {
    log: ProblemLog,
    lines: Lines,
}

impl Bench {
    fn new() -> Self {
        Self { log: ProblemLog::default(), lines: Lines::default() }
    }

    /// The lines that one look at these problems adds: their first letter of the level, and the message.
    fn look(&self, present: &[Problem]) -> Vec<String> {
        let before = self.lines.0.lock().len();
        let subscriber =
            tracing_subscriber::fmt().with_writer(self.lines.clone()).json().flatten_event(true).finish();
        tracing::subscriber::with_default(subscriber, || self.log.update(present));
        let text = String::from_utf8(self.lines.0.lock()[before..].to_vec()).unwrap();
        let line = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).unwrap();
            format!(
                "{} {} {}",
                event["level"].as_str().unwrap(),
                event["code"].as_str().unwrap(),
                event["message"].as_str().unwrap()
            )
        };
        text.lines().map(line).collect()
    }
}

fn sts(message: &str) -> Problem {
    Problem::new(ProblemCode::Sts, "", message)
}

const NOTHING: [String; 0] = [];

#[tokio::test(start_paused = true)]
async fn a_problem_has_one_line_at_its_begin_and_one_at_its_end() {
    let bench = Bench::new();
    assert_eq!(bench.look(&[sts("down")]), ["WARN sts problem: down"]);
    for _ in 0..1_000 {
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(bench.look(&[sts("down")]), NOTHING);
    }
    assert_eq!(bench.look(&[]), ["INFO sts problem is over: down"]);
    assert_eq!(bench.look(&[]), NOTHING);
    tokio::time::advance(QUIET).await;
    assert_eq!(bench.look(&[]), NOTHING);
    assert_eq!(bench.look(&[sts("down")]), ["WARN sts problem: down"]);
}

#[tokio::test(start_paused = true)]
async fn a_changed_message_is_logged_once_a_minute() {
    let bench = Bench::new();
    bench.look(&[sts("unreachable")]);
    tokio::time::advance(QUIET / 2).await;
    assert_eq!(bench.look(&[sts("refuses")]), NOTHING);
    tokio::time::advance(QUIET / 2).await;
    assert_eq!(bench.look(&[sts("refuses")]), ["WARN sts problem: refuses"]);
    assert_eq!(bench.look(&[]), ["INFO sts problem is over: refuses"]);
}

#[tokio::test(start_paused = true)]
async fn a_problem_that_comes_and_goes_has_few_lines_and_a_lasting_one_is_not_lost() {
    let bench = Bench::new();
    let mut lines = Vec::new();
    for second in 0..300 {
        lines.extend(if second % 2 == 0 { bench.look(&[]) } else { bench.look(&[sts("down")]) });
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!((8..=12).contains(&lines.len()), "{lines:?}");
    bench.look(&[]);
    // It began again within the minute, and stays.
    assert_eq!(bench.look(&[sts("down")]), NOTHING);
    tokio::time::advance(QUIET).await;
    assert_eq!(bench.look(&[sts("down")]), ["WARN sts problem: down"]);
}

#[tokio::test(start_paused = true)]
async fn two_parts_with_one_code_are_two_problems_and_a_pending_one_has_no_line() {
    let bench = Bench::new();
    let of = |issuer: &str| Problem::new(ProblemCode::IssuerKeys, issuer, format!("{issuer} is down"));
    let lines = bench.look(&[of("a"), of("b")]);
    assert_eq!(lines, ["WARN issuer_keys problem: a is down", "WARN issuer_keys problem: b is down"]);
    assert_eq!(bench.look(&[of("b")]), ["INFO issuer_keys problem is over: a is down"]);
    let pending = Problem { pending: true, ..of("c") };
    assert_eq!(bench.look(&[of("b"), pending]), NOTHING);
}
