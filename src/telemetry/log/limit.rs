//! A limit on the lines of libraries in the process log. A peer can make a library log a line for every frame it
//! sends. Without a limit those lines fill a disk, and every worker waits for standard error.

use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::field::{FieldSet, Value};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_core::Kind;
use tracing_core::callsite::{DefaultCallsite, Identifier};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The most lines that one target of a library may log in each second.
const LINES: u64 = 10;
/// The root of the targets of the gateway's own lines, which have no limit.
pub(super) const OWN: &str = "bedrock_gateway";
/// The value of [`Counts::due`] when there is nothing to report.
const NEVER: u64 = u64::MAX;

/// Whether `target` is `module` or below it.
pub(super) fn is_within(target: &str, module: &str) -> bool {
    target.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// The limit, as a layer that drops events.
#[derive(Clone)]
pub(super) struct Limit(Arc<Counts>);

impl Limit {
    pub(super) fn new() -> Self {
        let begun = Instant::now();
        Self::by(move || begun.elapsed().as_secs())
    }

    /// A limit with another clock, which counts seconds from any moment.
    pub(super) fn by(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(Counts {
            clock: Box::new(clock),
            due: AtomicU64::new(NEVER),
            second: Mutex::default(),
        }))
    }

    /// A format that writes events as `format` does. Before an event it first reports lines that were left out.
    pub(super) fn reporting<F>(&self, format: F) -> Reporting<F> {
        Reporting { counts: Arc::clone(&self.0), format }
    }
}

/// An event that this layer drops is never formatted and does not wait for the writer.
impl<S: Subscriber> Layer<S> for Limit {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.0.admit(event.metadata().target())
    }
}

struct Counts {
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The second from which on there is something to report. The gateway's own lines read it without a lock.
    due: AtomicU64,
    second: Mutex<Second>,
}

/// The lines of the current second, and the reports of earlier ones that were not yet written.
#[derive(Default)]
struct Second {
    number: u64,
    /// Targets are names of modules in the program, so their number is bounded.
    lines: HashMap<&'static str, u64>,
    left_out: Vec<LeftOut>,
}

#[derive(Debug, PartialEq, Eq)]
struct LeftOut {
    library: &'static str,
    lines: u64,
}

impl Counts {
    /// Whether an event of this target becomes a line.
    fn admit(&self, target: &'static str) -> bool {
        if is_within(target, OWN) {
            return true;
        }
        let now = (self.clock)();
        let mut second = self.second.lock();
        second.turn(now);
        let lines = second.lines.entry(target).or_default();
        *lines += 1;
        let lines = *lines;
        if lines == LINES + 1 {
            self.due.store(second.due(), Ordering::Relaxed);
        }
        lines <= LINES
    }

    /// The lines that were left out in past seconds; each is returned once. If another thread holds the lock, this
    /// returns nothing, and the next line reports them.
    fn take_left_out(&self) -> Vec<LeftOut> {
        let due = self.due.load(Ordering::Relaxed);
        if due == NEVER {
            return Vec::new();
        }
        let now = (self.clock)();
        if now < due {
            return Vec::new();
        }
        let Some(mut second) = self.second.try_lock() else { return Vec::new() };
        second.turn(now);
        let left_out = mem::take(&mut second.left_out);
        self.due.store(second.due(), Ordering::Relaxed);
        left_out
    }
}

impl Second {
    /// Begins second `now`, unless a thread that read the clock later has begun it.
    fn turn(&mut self, now: u64) {
        if now <= self.number {
            return;
        }
        self.number = now;
        let over = self.lines.drain().filter(|(_, lines)| *lines > LINES);
        self.left_out.extend(over.map(|(library, lines)| LeftOut { library, lines: lines - LINES }));
    }

    /// The second from which on there is something to report.
    fn due(&self) -> u64 {
        if !self.left_out.is_empty() {
            self.number
        } else if self.lines.values().any(|lines| *lines > LINES) {
            self.number + 1
        } else {
            NEVER
        }
    }
}

/// A format that reports how many lines were left out. It needs no timer: the next line of any target carries the
/// report.
pub(super) struct Reporting<F> {
    counts: Arc<Counts>,
    format: F,
}

impl<S, N, F> FormatEvent<S, N> for Reporting<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        for left_out in self.counts.take_left_out() {
            left_out.as_event(|event| self.format.format_event(context, writer.by_ref(), event))?;
        }
        self.format.format_event(context, writer, event)
    }
}

static CALLSITE: DefaultCallsite = DefaultCallsite::new(&LEFT_OUT);
static LEFT_OUT: Metadata<'static> = Metadata::new(
    "lines left out",
    module_path!(),
    Level::WARN,
    None,
    None,
    None,
    FieldSet::new(&["message", "library", "lines"], Identifier(&CALLSITE)),
    Kind::EVENT,
);

impl LeftOut {
    /// The report as an event. No macro makes it: a macro's event would reach the log while the log still formats
    /// another one.
    fn as_event(&self, say: impl FnOnce(&Event<'_>) -> fmt::Result) -> fmt::Result {
        let fields = LEFT_OUT.fields();
        let (Some(message), Some(library), Some(lines)) =
            (fields.field("message"), fields.field("library"), fields.field("lines"))
        else {
            return Err(fmt::Error);
        };
        let text = "lines of a library were left out: it logged more than 10 in one second";
        let values: [(_, Option<&dyn Value>); 3] =
            [(&message, Some(&text)), (&library, Some(&self.library)), (&lines, Some(&self.lines))];
        say(&Event::new(&LEFT_OUT, &fields.value_set(&values)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limit, and the second that its clock shows.
    fn counts() -> (Arc<Counts>, Arc<AtomicU64>) {
        let hand = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&hand);
        (Limit::by(move || clock.load(Ordering::Relaxed)).0, hand)
    }

    fn admitted(counts: &Counts, target: &'static str, lines: usize) -> usize {
        (0..lines).filter(|_| counts.admit(target)).count()
    }

    #[test]
    fn each_target_has_its_lines_in_each_second() {
        let (counts, hand) = counts();
        assert_eq!(admitted(&counts, "h2::proto", 100), 10);
        assert_eq!(admitted(&counts, "h2::frame", 100), 10);
        hand.store(1, Ordering::Relaxed);
        assert_eq!(admitted(&counts, "h2::proto", 3), 3);
        assert_eq!(admitted(&counts, "h2::proto", 100), 7);
    }

    #[test]
    fn the_gateways_own_lines_have_no_limit() {
        let (counts, _) = counts();
        assert_eq!(admitted(&counts, "bedrock_gateway", 1_000), 1_000);
        assert_eq!(admitted(&counts, "bedrock_gateway::server", 1_000), 1_000);
        assert_eq!(admitted(&counts, "bedrock_gateway_of_others", 1_000), 10);
    }

    #[test]
    fn a_report_is_written_once_when_its_second_has_passed() {
        let (counts, hand) = counts();
        admitted(&counts, "h2", 25);
        admitted(&counts, "hyper", 10);
        assert_eq!(counts.take_left_out(), []);
        hand.store(7, Ordering::Relaxed);
        assert_eq!(counts.take_left_out(), [LeftOut { library: "h2", lines: 15 }]);
        assert_eq!(counts.take_left_out(), []);
    }

    #[test]
    fn no_count_is_lost_when_the_next_second_floods_before_the_report() {
        let (counts, hand) = counts();
        admitted(&counts, "h2", 25);
        hand.store(1, Ordering::Relaxed);
        admitted(&counts, "h2", 13);
        assert_eq!(counts.take_left_out(), [LeftOut { library: "h2", lines: 15 }]);
        assert_eq!(counts.take_left_out(), []);
        hand.store(2, Ordering::Relaxed);
        assert_eq!(counts.take_left_out(), [LeftOut { library: "h2", lines: 3 }]);
    }
}
