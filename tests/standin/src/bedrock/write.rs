//! Writes answers in the formats of their operations.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde_json::Value;

use super::dialect::Dialect;
use super::fault::Fault;
use super::progress::InFlight;
use super::reply::{Frame, Reply};
use super::state::{Answer, Outcome, State};
use super::stream::{self, Account};
use super::{chat, claude, converse, responses};
use crate::bill::{Call, Operation, Usage};
use crate::server::{self, Body};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENT_STREAM: HeaderValue = HeaderValue::from_static("application/vnd.amazon.eventstream");
const SERVER_SENT_EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

impl State {
    pub(super) fn write(&self, answer: &Answer, in_flight: InFlight) -> Response<Body> {
        use Operation as O;

        let Answer { call, outcome, .. } = answer;
        let reply = match outcome {
            Outcome::Model(reply) => reply,
            Outcome::Direct(body) => return self.whole(body, answer, in_flight),
        };
        let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
        match call.operation {
            O::ConverseStream => self.frames(converse::stream(reply), answer, in_flight),
            O::InvokeStream => {
                let mut response = self.frames(claude::stream(reply, &call.model), answer, in_flight);
                response.headers_mut().insert("x-amzn-bedrock-content-type", JSON);
                response
            }
            O::ChatCompletionsStream => self.events(chat::stream(reply, call, &body), answer, in_flight),
            O::ResponsesStream => {
                let response = self.respond(reply, call, &body);
                self.events(responses::stream(reply, &response), answer, in_flight)
            }
            O::MessagesStream => self.events(claude::sse(reply, &call.model), answer, in_flight),
            O::Invoke => {
                let mut response = self.whole(&claude::whole(reply, &call.model), answer, in_flight);
                response.headers_mut().extend(claude::count_headers(reply.usage));
                response
            }
            O::ChatCompletions => self.whole(&chat::whole(reply, call), answer, in_flight),
            O::Responses => self.whole(&self.respond(reply, call, &body), answer, in_flight),
            O::Messages => self.whole(&claude::whole(reply, &call.model), answer, in_flight),
            _ => self.whole(&converse::whole(reply), answer, in_flight),
        }
    }

    /// A response. It is stored unless the body says no.
    fn respond(&self, reply: &Reply, call: &Call, body: &Value) -> Value {
        let response = responses::whole(reply, call, body);
        if responses::stored(body) {
            self.kept().store(call, response.clone());
        }
        response
    }

    fn whole(&self, body: &Value, answer: &Answer, mut in_flight: InFlight) -> Response<Body> {
        if let Outcome::Model(reply) = &answer.outcome {
            let output = reply.usage.output;
            self.bill.charge(&answer.call, Usage { output, ..Usage::default() });
        }
        let body = Bytes::from(body.to_string());
        let mut response = if answer.fault.as_ref().is_some_and(Fault::breaks_whole_answers) {
            self.frames(stream::halves(&body), answer, in_flight)
        } else {
            in_flight.end();
            Response::new(server::full(body))
        };
        response.headers_mut().insert(header::CONTENT_TYPE, JSON);
        response
    }

    fn events(&self, events: Vec<Frame>, answer: &Answer, in_flight: InFlight) -> Response<Body> {
        let mut response = self.frames(events, answer, in_flight);
        response.headers_mut().insert(header::CONTENT_TYPE, SERVER_SENT_EVENTS);
        response
    }

    fn frames(&self, frames: Vec<Frame>, answer: &Answer, in_flight: InFlight) -> Response<Body> {
        let pace = self.settings().pace.clone();
        let dialect = Dialect::of(self.service, answer.call.path());
        let account = Account { bill: Arc::clone(&self.bill), call: Arc::clone(&answer.call) };
        let body = stream::body(frames, answer.fault.as_ref(), dialect, pace, in_flight, account);
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_TYPE, EVENT_STREAM);
        response
    }
}
