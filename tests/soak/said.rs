//! Requests of each kind, and the check of their answers.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::TOKENS;
use crate::journal::Outcome;

const SONNET: &str = "us.anthropic.claude-sonnet-4-6-v1:0";
const GPT: &str = "openai.gpt-oss-120b-1:0";

/// The text that the stand-in repeats until its answer is long enough.
const FILLER: &str = " and";

/// The kinds of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Converse,
    ConverseStream,
    Invoke,
    ChatStream,
}

/// The content of an answer's body.
#[derive(Debug, Default)]
struct Said {
    text: String,
    /// Whether the body has the end mark of its format. A format without a mark counts as ended.
    ended: bool,
    exception: bool,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Converse, Self::ConverseStream, Self::Invoke, Self::ChatStream];

    pub(crate) fn request(
        self,
        authority: &str,
        token: &str,
        project: Option<&str>,
        prompt: &str,
    ) -> Request<Full<Bytes>> {
        let model = format!("/model/{}", SONNET.replace(':', "%3A"));
        let messages = json!([{ "role": "user", "content": prompt }]);
        let converse = json!({ "messages": [{ "role": "user", "content": [{ "text": prompt }] }] });
        let (path, body) = match self {
            Self::Converse => (format!("{model}/converse"), converse),
            Self::ConverseStream => (format!("{model}/converse-stream"), converse),
            Self::Invoke => {
                let version = "bedrock-2023-05-31";
                let body = json!({ "anthropic_version": version, "max_tokens": 100, "messages": messages });
                (format!("{model}/invoke"), body)
            }
            Self::ChatStream => {
                let body = json!({ "model": GPT, "messages": messages, "stream": true });
                ("/openai/v1/chat/completions".to_owned(), body)
            }
        };
        let mut request = Request::post(format!("https://{authority}{path}"))
            .header("host", authority)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(project) = project {
            request = request.header("x-project", project);
        }
        request.body(Full::from(body.to_string())).unwrap()
    }

    /// The outcome of a complete answer whose status is 200.
    pub(crate) fn outcome(self, body: &[u8], prompt: &str) -> Outcome {
        let said = match self {
            Self::Converse => whole(body, "/output/message/content/0/text"),
            Self::Invoke => whole(body, "/content/0/text"),
            Self::ConverseStream => event_stream(body),
            Self::ChatStream => server_sent(body),
        };
        match said {
            Some(Said { exception: true, text, .. }) if begins(&text, prompt) => Outcome::Exception,
            Some(Said { exception: false, ended: true, text }) => judged(&text, prompt),
            said => Outcome::Wrong(format!("status 200 without a valid answer: {said:?}").into()),
        }
    }
}

/// The outcome of an answer with this text: whether it is the answer to that prompt.
pub(crate) fn judged(text: &str, prompt: &str) -> Outcome {
    let filler = text.strip_prefix(answer_to(prompt).as_str());
    if filler.is_some_and(|filler| filler.replace(FILLER, "").is_empty()) {
        Outcome::Right
    } else {
        Outcome::Wrong(format!("{prompt:?} was answered by {text:?}").into())
    }
}

/// The outcome of an answer whose status is not 200: the error that it names.
pub(crate) fn error(status: u16, headers: &HeaderMap, body: &[u8]) -> Outcome {
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let in_body =
        || ["/error/code", "/error/type", "/__type"].iter().find_map(|place| body.pointer(place)?.as_str());
    let kind = header("x-amzn-errortype").or_else(in_body);
    match (kind, header("x-gateway-request-id")) {
        (Some(kind), Some(request_id)) => {
            // AWS adds a namespace's name before `#`, or its address after `:`.
            let kind = kind.rsplit('#').next().and_then(|kind| kind.split(':').next()).unwrap_or(kind);
            Outcome::Error { status, kind: kind.into(), request_id: request_id.into() }
        }
        _ => Outcome::Wrong(
            format!("{status} without a type or without a request id: {headers:?} {body}").into(),
        ),
    }
}

/// Whether an answer to that prompt may begin with this text.
fn begins(text: &str, prompt: &str) -> bool {
    let answer = answer_to(prompt);
    answer.starts_with(text)
        || text.strip_prefix(answer.as_str()).is_some_and(|filler| FILLER.repeat(TOKENS).starts_with(filler))
}

fn answer_to(prompt: &str) -> String {
    format!("You said: {prompt}")
}

fn whole(body: &[u8], place: &str) -> Option<Said> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let text = body.pointer(place)?.as_str()?.to_owned();
    Some(Said { text, ended: true, exception: false })
}

fn event_stream(mut body: &[u8]) -> Option<Said> {
    let mut said = Said::default();
    let mut decoder = MessageFrameDecoder::new();
    while !body.is_empty() {
        let DecodedFrame::Complete(frame) = decoder.decode_frame(&mut body).ok()? else { return None };
        let header = |name| {
            let found = frame.headers().iter().find(|header| header.name().as_str() == name)?;
            Some(found.value().as_string().ok()?.as_str())
        };
        match header(":event-type") {
            Some("contentBlockDelta") => {
                let payload: Value = serde_json::from_slice(frame.payload()).ok()?;
                said.text.push_str(payload["delta"]["text"].as_str()?);
            }
            Some("metadata") => said.ended = true,
            Some(_) => {}
            None => {
                header(":exception-type")?;
                said.exception = true;
            }
        }
    }
    Some(said)
}

fn server_sent(body: &[u8]) -> Option<Said> {
    let mut said = Said::default();
    for data in std::str::from_utf8(body).ok()?.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            said.ended = true;
            continue;
        }
        let data: Value = serde_json::from_str(data).ok()?;
        said.exception |= data["error"].is_object();
        said.text.push_str(data["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
    }
    Some(said)
}
