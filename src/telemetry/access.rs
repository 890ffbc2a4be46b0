//! The access log: one line for each request. The documentation, `explain --json` and `/sessions` use the same field
//! names.

mod object;
pub(super) mod one_line;
mod recent;
mod writer;

use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::time::SystemTime;

use parking_lot::Mutex;
use time::OffsetDateTime;

pub use recent::{Found, MOST_RECENT, SHORTEST_ID, begins};

use super::log::output::{LogHealth, Output};
use super::log::process_log::ProcessLog;
use super::log::{LogError, LogSettings};
use crate::reason::Reason;
use crate::style;
use object::Object;
use one_line::Stamp;
use recent::Recent;
use writer::Writer;

/// The record of one request at its end. The line leaves out fields that are not known.
#[derive(Debug, Clone)]
pub struct AccessRecord<'a> {
    /// The time at which the request's head had arrived.
    pub time: SystemTime,
    /// The request id: `x-gateway-request-id` of the answer.
    pub request_id: &'a str,
    /// Bedrock's id of the request.
    pub aws_request_id: Option<&'a str>,
    /// The client's address.
    pub client: Option<IpAddr>,
    pub user_agent: Option<&'a str>,
    /// The configured name of the issuer of the verified token.
    pub issuer: Option<&'a str>,
    pub subject: Option<&'a str>,
    pub jti: Option<&'a str>,
    /// The claims of a rejected token. Any client can invent them.
    pub unverified: Option<Unverified<'a>>,
    /// The number of the `[[role]]` table that matched, from 0.
    pub role_rule: Option<usize>,
    /// The principal: the ARN that the bill names.
    pub principal: Option<&'a str>,
    pub tags: Vec<(&'a str, &'a str)>,
    /// The session's access key id, which also is in `CloudTrail`.
    // Assumption A14.
    pub access_key_id: Option<&'a str>,
    pub operation: Option<&'static str>,
    pub model: Option<&'a str>,
    pub region: Option<&'a str>,
    /// `http/1.1` or `h2c` without TLS, `https/1.1` or `h2` with it.
    pub protocol: &'static str,
    pub status: u16,
    /// `x-amzn-errortype` of the answer.
    pub error_type: Option<&'a str>,
    /// Why the request ended as it did. The metric has the same word.
    pub reason: Option<Reason>,
    /// Details for the operator alone, for example the text of STS or the error of an expression. No answer has them.
    pub detail: Option<&'a str>,
    /// The claims that the deciding expressions of a refusal read, clipped.
    pub claims: Vec<(&'a str, &'a str)>,
    /// The message of an error that Bedrock answered, at most 256 bytes of it.
    pub upstream_message: Option<&'a str>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub first_byte_ms: Option<u64>,
    pub duration_ms: u64,
    /// The number of times that the gateway sent the request to Bedrock.
    pub upstream_attempts: u32,
    /// How the session was found: `hit`, `miss` or `stale`.
    pub session: Option<&'static str>,
    pub ended: Ended,
}

/// Issuer and subject of a token that was not verified.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unverified<'a> {
    pub issuer: Option<&'a str>,
    pub subject: Option<&'a str>,
}

/// The way in which a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The gateway sent the whole answer.
    Complete,
    /// The client left.
    Client,
    /// Bedrock aborted its answer.
    Upstream,
    /// The gateway stopped, and `drain_timeout` ended before the request.
    Drain,
    /// An operator revoked the caller's access.
    Revoked,
}

impl Ended {
    fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Drain => "drain",
            Self::Revoked => "revoked",
        }
    }
}

impl AccessRecord<'_> {
    fn json(&self) -> String {
        let mut line = Object::new();
        line.text("time", &timestamp(self.time));
        self.fields(&mut line);
        line.into_string()
    }

    /// Writes every field except the time.
    fn fields(&self, line: &mut Object) {
        line.text("request_id", self.request_id);
        line.some_text("aws_request_id", self.aws_request_id);
        if let Some(client) = self.client {
            line.address("client", client);
        }
        line.some_text("user_agent", self.user_agent);
        line.some_text("issuer", self.issuer);
        line.some_text("subject", self.subject);
        line.some_text("jti", self.jti);
        if let Some(unverified) = &self.unverified {
            let Unverified { issuer, subject } = *unverified;
            let known = [("issuer", issuer), ("subject", subject)];
            line.texts("unverified", known.into_iter().filter_map(|(name, text)| Some((name, text?))));
        }
        line.some_number("role_rule", self.role_rule.map(|rule| rule as u64));
        line.some_text("principal", self.principal);
        if !self.tags.is_empty() {
            line.texts("tags", self.tags.iter().copied());
        }
        line.some_text("access_key_id", self.access_key_id);
        line.some_text("operation", self.operation);
        line.some_text("model", self.model);
        line.some_text("region", self.region);
        line.text("protocol", self.protocol);
        line.number("status", self.status.into());
        line.some_text("error_type", self.error_type);
        line.some_text("reason", self.reason.map(Reason::as_str));
        line.some_text("detail", self.detail);
        if !self.claims.is_empty() {
            line.texts("claims", self.claims.iter().copied());
        }
        line.some_text("upstream_message", self.upstream_message);
        line.number("request_bytes", self.request_bytes);
        line.number("response_bytes", self.response_bytes);
        line.some_number("first_byte_ms", self.first_byte_ms);
        line.number("duration_ms", self.duration_ms);
        line.number("upstream_attempts", self.upstream_attempts.into());
        line.some_text("session", self.session);
        line.text("ended", self.ended.as_str());
    }
}

/// The time in RFC 3339 format, UTC, with milliseconds. All have the same length, so that lines sort.
fn timestamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let mut text = *b"0000-00-00T00:00:00.000Z";
    for (end, mut number) in [
        (4, time.year().unsigned_abs()),
        (7, u8::from(time.month()).into()),
        (10, time.day().into()),
        (13, time.hour().into()),
        (16, time.minute().into()),
        (19, time.second().into()),
        (23, time.millisecond().into()),
    ] {
        for digit in text[..end].iter_mut().rev().take_while(|byte| byte.is_ascii_digit()) {
            *digit = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// The access log. Writing never waits: a thread of its own writes the lines whole and in order. Dropping the log
/// writes the lines that still wait.
#[derive(Debug)]
pub struct AccessLog {
    form: Form,
    sink: Sink,
    recent: Recent,
}

/// The form of a line.
#[derive(Debug, Clone, Copy)]
enum Form {
    /// All fields.
    Json,
    /// The facts that a person looks for first.
    OneLine { stamp: Stamp, colour: bool },
}

#[derive(Debug)]
enum Sink {
    Thread(Writer),
    Memory(Mutex<Vec<String>>),
}

impl AccessLog {
    /// The access log of the configuration: appended to its file, which `process_log` shares, or on standard output.
    ///
    /// # Errors
    /// When the file cannot be opened, or the thread cannot be started.
    pub fn open(settings: &LogSettings, process_log: Option<&ProcessLog>) -> Result<Self, LogError> {
        let (output, terminal) = match &settings.file {
            Some(path) => (Output::file(path, process_log.map(ProcessLog::torn).unwrap_or_default())?, false),
            None => (Output::stream(Box::new(io::stdout())), io::stdout().is_terminal()),
        };
        let writer = Writer::start(output).map_err(LogError::Thread)?;
        let form = if settings.format.is_json(terminal) {
            Form::Json
        } else {
            Form::OneLine {
                stamp: Stamp::on(terminal),
                colour: settings.file.is_none() && style::stdout_has_colour(),
            }
        };
        Ok(Self { form, sink: Sink::Thread(writer), recent: Recent::default() })
    }

    /// An access log that keeps its lines in memory, as JSON, for tests.
    pub fn memory() -> Self {
        Self { form: Form::Json, sink: Sink::Memory(Mutex::default()), recent: Recent::default() }
    }

    /// Hands one line to the thread, which writes it within milliseconds, and keeps the record among the recent ones.
    pub fn write(&self, record: &AccessRecord<'_>) {
        let json = record.json();
        match &self.sink {
            Sink::Thread(writer) => match self.form {
                Form::Json => writer.line(&json),
                Form::OneLine { stamp, colour } => writer.line(&one_line::of(record, stamp, colour)),
            },
            Sink::Memory(lines) => lines.lock().push(json.clone()),
        }
        self.recent.keep(record, json);
    }

    /// The recent records whose request id, or Bedrock's id, begins with `id`.
    pub fn find(&self, id: &str) -> Found {
        self.recent.find(id)
    }

    /// Opens the file again, after it was rotated. The lines so far are in the old file or in the new one.
    pub fn reopen(&self) {
        if let Sink::Thread(writer) = &self.sink {
            writer.reopen();
        }
    }

    /// Whether the log can be written. `None`: it is kept in memory.
    pub fn health(&self) -> Option<&LogHealth> {
        match &self.sink {
            Sink::Thread(writer) => Some(writer.health()),
            Sink::Memory(_) => None,
        }
    }

    /// Waits until all lines so far are written, for at most five seconds.
    pub fn flush(&self) {
        if let Sink::Thread(writer) = &self.sink {
            writer.flush();
        }
    }

    /// The lines of a log that [`Self::memory`] made. Any other log returns none.
    pub fn lines(&self) -> Vec<String> {
        match &self.sink {
            Sink::Thread(_) => Vec::new(),
            Sink::Memory(lines) => lines.lock().clone(),
        }
    }
}

#[cfg(test)]
mod tests;
