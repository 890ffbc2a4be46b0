//! The form of the process log for people: time, level, message, then the fields. One event is one line. Nothing is
//! clipped: an error is shown whole.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::registry::LookupSpan;

use super::limit::{OWN, is_within};
use crate::clock;
use crate::style::{self, BAD, DIM, GOOD, WARNING, legible};
use crate::telemetry::access::one_line::Stamp;

/// The form.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    pub(super) stamp: Stamp,
    pub(super) colour: bool,
}

impl<S, N> FormatEvent<S, N> for Text
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = *event.metadata().level();
        let style = match level {
            Level::ERROR => BAD,
            Level::WARN => WARNING,
            Level::INFO => GOOD,
            _ => DIM,
        };
        let mut line = String::new();
        style::push(&mut line, self.colour, DIM, &self.stamp.of(clock::now()));
        line.push(' ');
        style::push(&mut line, self.colour, style, &format!("{level:5}"));
        line.push(' ');
        // A library's message says little without the library.
        let target = parts.target.as_deref().unwrap_or_else(|| event.metadata().target());
        if !is_within(target, OWN) {
            line.push_str(&legible(target));
            line.push_str(": ");
        }
        line.push_str(&parts.message);
        for (name, value) in &parts.fields {
            line.push(' ');
            style::push(&mut line, self.colour, DIM, &format!("{name}="));
            line.push_str(value);
        }
        writeln!(writer, "{line}")
    }
}

/// The parts of an event, with nothing in them that a terminal would act on.
#[derive(Default)]
struct Parts {
    message: String,
    fields: Vec<(&'static str, String)>,
    /// The target of an event that came through the `log` crate.
    target: Option<String>,
}

impl Visit for Parts {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A value that fails to write itself is shown as far as it got.
        let _failed = write!(text, "{value:?}").is_err();
        self.record_str(field, &text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message = legible(value),
            "log.target" => self.target = Some(value.to_owned()),
            name if name.starts_with("log.") => {}
            name => self.fields.push((name, quoted(value))),
        }
    }
}

/// The text as a value: in quotation marks if it is empty or has spaces.
fn quoted(text: &str) -> String {
    let text = legible(text);
    if text.is_empty() || text.contains(' ') { format!("\"{text}\"") } else { text }
}
