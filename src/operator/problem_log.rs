//! One line of the process log when a problem begins, and one when it is over.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::{info, warn};

use super::problem::{Problem, ProblemCode};

/// The shortest time between two lines about one problem, except the line that says that it is over. A problem that
/// comes and goes with every request cannot fill the log.
pub const QUIET: Duration = Duration::from_secs(60);

/// The problems that the log has reported.
#[derive(Debug, Default)]
pub struct ProblemLog(Mutex<BTreeMap<(ProblemCode, String), Known>>);

#[derive(Debug)]
struct Known {
    message: String,
    began: Instant,
    /// When the last line about it was written.
    logged: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The log has a line that it began.
    Reported,
    /// It began again within [`QUIET`], so the log has no line yet.
    Unreported,
    Over,
}

impl ProblemLog {
    /// Compares the problems that exist now with those of the last call, and logs the differences.
    pub fn update(&self, present: &[Problem]) {
        let now = Instant::now();
        let mut known = self.0.lock();
        for problem in present.iter().filter(|problem| !problem.pending) {
            let key = (problem.code, problem.part.clone());
            match known.get_mut(&key) {
                None => {
                    report(problem);
                    let message = problem.logged().to_owned();
                    known.insert(key, Known { message, began: now, logged: now, state: State::Reported });
                }
                Some(known) => known.again(problem, now),
            }
        }
        known.retain(|(code, part), known| {
            let exists = present.iter().any(|problem| problem.code == *code && problem.part == *part);
            if !exists && known.state != State::Over {
                known.end(*code, now);
            }
            exists || now.duration_since(known.logged) < QUIET
        });
    }
}

impl Known {
    fn again(&mut self, problem: &Problem, now: Instant) {
        if self.state == State::Over {
            (self.state, self.began) = (State::Unreported, now);
        }
        let news = self.state == State::Unreported || self.message != problem.logged();
        if news && now.duration_since(self.logged) >= QUIET {
            report(problem);
            problem.logged().clone_into(&mut self.message);
            (self.state, self.logged) = (State::Reported, now);
        }
    }

    fn end(&mut self, code: ProblemCode, now: Instant) {
        if self.state == State::Reported {
            let lasted_seconds = now.duration_since(self.began).as_secs();
            info!(code = code.as_str(), lasted_seconds, "problem is over: {}", self.message);
            self.logged = now;
        }
        self.state = State::Over;
    }
}

fn report(problem: &Problem) {
    warn!(code = problem.code.as_str(), "problem: {}", problem.logged());
}

#[cfg(test)]
mod tests;
