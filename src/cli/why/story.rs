//! The story of one request in words.

use serde_json::Value;

use crate::cli::why::page::Page;
use crate::cli::why::remedy::Remedy;
use crate::style::legible;

/// The story of `request` and, if a replica has them, of the steps of the mapping.
pub(super) fn of(story: &Value) -> String {
    let request = Request(&story["request"]);
    let mut page = Page::default();
    page.heading(&request.title());
    page.heading(&request.outcome());
    page.section("Who");
    who(&request, &mut page);
    page.section("Asked");
    page.line(&asked(&request));
    page.section("Decision");
    decision(&request, story, &mut page);
    page.section("Session");
    page.line(&session(&request));
    page.section("Bedrock");
    bedrock(&request, &mut page);
    page.section("Took");
    page.line(&took(&request));
    page.section("Next");
    next(&request, &mut page);
    page.into_string()
}

/// A line of the access log.
struct Request<'a>(&'a Value);

impl Request<'_> {
    /// A text that is safe to print: clients choose some of them.
    fn text(&self, name: &str) -> Option<String> {
        self.0[name].as_str().map(legible)
    }

    fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or_default()
    }

    fn reason(&self) -> String {
        self.text("reason").unwrap_or_default()
    }

    fn title(&self) -> String {
        format!(
            "Request {} at {}",
            self.text("request_id").unwrap_or_default(),
            self.text("time").unwrap_or_default()
        )
    }

    fn outcome(&self) -> String {
        let (status, reason) = (self.number("status"), self.reason());
        let word = match (&*reason, self.number("upstream_attempts")) {
            ("ok", _) => return format!("Answered with {status}."),
            ("upstream_error", _) => "Refused by Bedrock",
            ("upstream_aborted" | "client_left", _) | ("revoked", 1..) => "Ended early",
            _ => "Refused by the gateway",
        };
        format!("{word}: {status}, {reason}.")
    }
}

fn who(request: &Request<'_>, page: &mut Page) {
    let subject = request.text("subject");
    let issuer = request.text("issuer");
    let known = |subject: Option<String>| match (subject, &issuer) {
        (Some(subject), Some(issuer)) => format!("subject {subject} of issuer {issuer}"),
        (None, Some(issuer)) => format!("a caller of issuer {issuer} without a subject"),
        (_, None) => "not known: no token was verified".to_owned(),
    };
    match request.text("principal") {
        Some(principal) => {
            let name = principal.rsplit('/').next().unwrap_or(&principal);
            page.line(&format!("{name}: {}", known(subject)));
            page.line(&principal);
        }
        None => page.line(&known(subject)),
    }
    let claimed = &request.0["unverified"];
    if claimed.is_object() {
        let claim = |name: &str| claimed[name].as_str().map_or_else(|| "none".to_owned(), legible);
        page.line(&format!(
            "the rejected token claims subject {} and issuer {}, which any client can write",
            claim("subject"),
            claim("issuer")
        ));
    }
    let tags = pairs(&request.0["tags"]);
    if !tags.is_empty() {
        page.line(&format!("tags {}", tags.join(", ")));
    }
    let client = request.text("client").unwrap_or_else(|| "an unknown address".to_owned());
    let agent = request.text("user_agent").map(|agent| format!(" with {agent}")).unwrap_or_default();
    page.line(&format!("from {client}{agent}"));
}

fn asked(request: &Request<'_>) -> String {
    let Some(operation) = request.text("operation") else {
        return "not known: the path is not one of Bedrock's operations".to_owned();
    };
    let model = request.text("model").map(|model| format!(" of {model}")).unwrap_or_default();
    let region = request.text("region").map(|region| format!(" in {region}")).unwrap_or_default();
    format!("{operation}{model}{region}")
}

fn decision(request: &Request<'_>, story: &Value, page: &mut Page) {
    for (index, requirement) in list(&story["requirements"]).iter().enumerate() {
        let words = match requirement["outcome"].as_str() {
            Some("met") => "is met",
            Some("not_met") => "is NOT met",
            Some("failed") => "FAILED",
            _ => "was not reached",
        };
        page.line(&format!("require[{index}] {words}: {}", source(&requirement["expression"])));
    }
    for role in list(&story["roles"]) {
        let index = &role["role_rule"];
        let when = match role["when"].as_str() {
            Some(when) => legible(when),
            None => "it has no condition".to_owned(),
        };
        page.line(&match role["outcome"].as_str() {
            Some("matches") => format!("role[{index}] matches: {when}; {}", source(&role["role_arn"])),
            Some("other_issuers") => format!("role[{index}] is for callers of other issuers"),
            Some("failed") => format!("role[{index}] FAILED: {when}"),
            _ => format!("role[{index}] does not match: {when}"),
        });
    }
    let rule = &request.0["role_rule"];
    if list(&story["roles"]).is_empty() && !rule.is_null() {
        page.line(&format!("role[{rule}] is the first role rule that matches"));
    }
    let claims = pairs(&request.0["claims"]);
    if !claims.is_empty() {
        page.line("these claims were read:");
        for claim in &claims {
            page.line(&format!("  {claim}"));
        }
    }
    match request.text("detail") {
        Some(detail) => page.line(&detail),
        None => page.line("the gateway accepted the call"),
    }
    let reloaded = story["config_since"].as_str().zip(request.0["time"].as_str());
    if let Some((since, _)) = reloaded.filter(|(since, time)| is_before(time, since)) {
        page.line(&format!(
            "the configuration was reloaded later, at {since}: the rules above are the new ones"
        ));
    }
}

fn session(request: &Request<'_>) -> String {
    let key = request.text("access_key_id").map(|key| format!(", access key id {key}")).unwrap_or_default();
    match request.0["session"].as_str() {
        Some("hit") => format!("from the cache{key}"),
        Some("stale") => format!("from the cache, while the gateway renewed it{key}"),
        Some("miss") => format!("new: STS gave the credentials for this request{key}"),
        _ if request.reason().starts_with("sts_") || request.reason() == "too_many_sessions" => {
            "none: the gateway got no credentials for the caller".to_owned()
        }
        _ => "none: the request ended before it needed one".to_owned(),
    }
}

fn bedrock(request: &Request<'_>, page: &mut Page) {
    let attempts = request.number("upstream_attempts");
    if attempts == 0 {
        return page.line("received nothing of this request");
    }
    let again = if attempts > 1 { ", after the gateway sent the request twice" } else { "" };
    match (&*request.reason(), request.text("aws_request_id")) {
        ("upstream_connect" | "upstream_not_answered", _) => page.line("did not answer"),
        (_, Some(id)) => {
            page.line(&format!("answered with {}{again}; its id is {id}", request.number("status")));
        }
        (_, None) => page.line(&format!("answered with {}{again}", request.number("status"))),
    }
    if request.reason() != "ok"
        && let Some(kind) = request.text("error_type")
    {
        page.line(&format!("error type {kind}"));
    }
    if let Some(message) = request.text("upstream_message") {
        page.line(&format!("message: {message}"));
    }
}

fn took(request: &Request<'_>) -> String {
    let first = request.0["first_byte_ms"].as_u64();
    let first = first.map(|first| format!(", {first} ms to the first byte")).unwrap_or_default();
    let ended = match request.0["ended"].as_str() {
        Some("client") => "; the client left before the end",
        Some("upstream") => "; Bedrock aborted its answer",
        Some("drain") => "; the gateway stopped before the end",
        Some("revoked") => "; an operator revoked the caller's access before the end",
        _ => "",
    };
    format!(
        "{} ms{first}; {} bytes in, {} bytes out{ended}",
        request.number("duration_ms"),
        request.number("request_bytes"),
        request.number("response_bytes")
    )
}

fn next(request: &Request<'_>, page: &mut Page) {
    let Some(Remedy { cause, who, action }) = Remedy::of(&request.reason()) else {
        return page
            .line("this version of bedrock-gateway does not know the reason; use the gateway's own version");
    };
    if request.reason() == "ok" {
        return page.line("nothing: the request succeeded");
    }
    page.line(&format!("{cause}."));
    page.line(&if action.contains(": ") { action } else { format!("{who}: {action}") });
    page.line("More in docs/TROUBLESHOOTING.md.");
}

/// Whether a time of the log, which has milliseconds, is before a time in RFC 3339 format.
fn is_before(time: &str, since: &str) -> bool {
    let (time, since) = (crate::clock::parse_rfc3339(time), crate::clock::parse_rfc3339(since));
    time.zip(since).is_some_and(|(time, since)| time < since)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn source(value: &Value) -> String {
    value.as_str().map(legible).unwrap_or_default()
}

/// `name=value` for each member of an object of texts.
fn pairs(value: &Value) -> Vec<String> {
    let members = value.as_object().into_iter().flatten();
    members.map(|(name, value)| format!("{} = {}", legible(name), source(value))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_by_the_role_table_goes_rule_by_rule() {
        let story = json!({
            "request": {
                "time": "2026-11-24T10:00:00.000Z", "request_id": "0ad596fd-64a6-4665-9002-b4023b6dfc95",
                "client": "10.0.0.7", "user_agent": "Boto3/1.42\u{1b}[2J\u{202e}\u{2028}", "issuer": "okta", "subject": "00u1abc",
                "operation": "converse", "model": "us.anthropic.claude-sonnet-4-6-v1:0", "region": "us-east-1",
                "protocol": "h2", "status": 403, "error_type": "AccessDeniedException", "reason": "no_role",
                "detail": "no role matches: no `when` is true for these claims; the role rules read `groups`",
                "claims": { "groups": "[\"sales\"]" }, "request_bytes": 0, "response_bytes": 140,
                "duration_ms": 2, "upstream_attempts": 0, "ended": "complete",
            },
            "requirements": [{ "expression": "claims.email_verified", "message": "m", "outcome": "met" }],
            "roles": [
                { "role_rule": 0, "role_arn": "a", "when": "'ml' in claims.groups", "outcome": "does_not_match" },
                { "role_rule": 1, "role_arn": "b", "outcome": "other_issuers" },
            ],
            "config_generation": 1, "config_since": "2026-11-24T10:00:01Z",
        });
        let expected = "\
Request 0ad596fd-64a6-4665-9002-b4023b6dfc95 at 2026-11-24T10:00:00.000Z
Refused by the gateway: 403, no_role.
Who       subject 00u1abc of issuer okta
          from 10.0.0.7 with Boto3/1.42\\u{1b}[2J\\u{202e}\\u{2028}
Asked     converse of us.anthropic.claude-sonnet-4-6-v1:0 in us-east-1
Decision  require[0] is met: claims.email_verified
          role[0] does not match: 'ml' in claims.groups
          role[1] is for callers of other issuers
          these claims were read:
          groups = [\"sales\"]
          no role matches: no `when` is true for these claims; the role rules
          read `groups`
          the configuration was reloaded later, at 2026-11-24T10:00:01Z: the
          rules above are the new ones
Session   none: the request ended before it needed one
Bedrock   received nothing of this request
Took      2 ms; 0 bytes in, 140 bytes out
Next      no [[role]] matches (\"no role matches your token\").
          issuer: add the caller to a group that a when names; operator: add a
          role rule, compare the rules' issuers. The caller then needs a new
          token
          More in docs/TROUBLESHOOTING.md.
";
        assert_eq!(of(&story), expected);
    }

    #[test]
    fn an_answer_of_bedrock_has_session_and_message() {
        let story = json!({ "request": {
            "time": "2026-11-24T10:00:00.000Z", "request_id": "0ad596fd", "aws_request_id": "feedbeef",
            "issuer": "okta", "subject": "00u1abc", "role_rule": 1, "tags": { "team": "search" },
            "principal": "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org",
            "access_key_id": "ASIAX", "operation": "converse", "status": 400, "reason": "upstream_error",
            "error_type": "ValidationException", "upstream_message": "max_tokens is too large", "request_bytes": 9,
            "response_bytes": 40, "first_byte_ms": 11, "duration_ms": 12, "upstream_attempts": 2,
            "session": "miss", "ended": "complete",
        }});
        let text = of(&story);
        for words in [
            "Refused by Bedrock: 400, upstream_error.\n",
            "Who       alice@acme.org: subject 00u1abc of issuer okta\n",
            "tags team = search\n",
            "Decision  role[1] is the first role rule that matches\n",
            "Session   new: STS gave the credentials for this request, access key id ASIAX\n",
            "Bedrock   answered with 400, after the gateway sent the request twice; its id is",
            "message: max_tokens is too large\n",
            "Took      12 ms, 11 ms to the first byte; 9 bytes in, 40 bytes out\n",
            "caller: error_type has Bedrock's type",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }
}
