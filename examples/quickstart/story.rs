//! A few calls, and what happens on their way. Every line is printed from what happened: the access log of the gateway,
//! and the records of the stand-in.

use std::fmt::Write as _;

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::converse::ConverseError;
use bedrock_bed::until;
use bedrock_standin::Standin;
use serde_json::Value;

use crate::Outcome;
use crate::calls::{self, Call};
use crate::ground::Ground;
use crate::paint::{BAD, FAINT, GOOD, NAME, WIDTH, elided, heading, wrapped};
use crate::people::Person;

/// Claude Sonnet, which alice and carol call.
const SONNET: &str = "us.anthropic.claude-sonnet-4-6-v1:0";
/// Claude Opus, which bob calls.
const OPUS: &str = "us.anthropic.claude-opus-4-8-v1:0";

/// The width of the first column, characters.
const FIRST: usize = 10;

/// Tells the first call of one person step by step, then all calls of two, then the refusal of a third.
pub(crate) async fn tell(ground: &Ground) -> Outcome {
    let [alice, bob, carol] = &ground.people[..] else {
        return Err("the quickstart has three callers".into());
    };
    println!("The gateway is real, and serves over TLS. The identity provider, STS and Bedrock");
    println!("are stand-ins on this machine, which verify every signature.");
    first_call(ground, alice).await?;
    all_calls(ground, [(alice, SONNET), (bob, OPUS)]).await?;
    refusal(ground, carol).await
}

/// One call in five lines, each printed when its step has happened.
async fn first_call(ground: &Ground, alice: &Person) -> Outcome {
    let (standin, question) = (&ground.bed.standin, "Who pays for this?");
    heading(&format!("{} asks Claude: {question}", alice.name));
    let client = calls::client(&ground.bed, &ground.endpoint()?, &ground.token(alice));
    step("token", &format!("signed by {} for {}", standin.idp.issuer(), alice.text("email")));

    let mut call = Box::pin(Call::Converse.make(&client, SONNET, question));
    let mut steps = Box::pin(steps_at_aws(standin));
    let said = tokio::select! {
        seen = &mut steps => {
            seen?;
            call.await?
        }
        // Some steps may not be printed yet. A call that failed has none to wait for.
        said = &mut call => {
            let said = said?;
            steps.await?;
            said
        }
    };
    let record = record(ground, 1).await?;
    step("answer", &format!("{} in {} ms: {said}", record["status"], record["duration_ms"]));
    Ok(())
}

/// The steps that the stand-in sees of the first call.
async fn steps_at_aws(standin: &Standin) -> Outcome {
    let assumed = until("AssumeRole", async || standin.sts.calls().first().cloned()).await;
    step("role", &assumed.role_arn);
    let tags: Vec<_> = assumed.tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
    step("session", &format!("AssumeRole as {}, with the tag {}", assumed.session_name, tags.join(", ")));

    let signed = until("Bedrock", async || standin.bill.calls().first().cloned()).await;
    let key = &signed.access_key_id;
    if standin.credentials.session(key).is_none_or(|session| session.session_name != assumed.session_name) {
        return Err("Bedrock saw another session than STS issued".into());
    }
    step("signature", &format!("SigV4 by {key} of that session, verified by Bedrock"));
    Ok(())
}

/// Every call of each person, as the access log shows it.
async fn all_calls(ground: &Ground, people: [(&Person, &str); 2]) -> Outcome {
    heading("Every call is signed by the session of its caller");
    let names = people.map(|(person, _)| format!("{:<25}", person.name)).join("");
    anstream::println!(
        "   {FAINT}{:<30}{FAINT:#}{NAME}{}{NAME:#}",
        "status, session, time",
        names.trim_end()
    );
    let clients = people.map(|(person, model)| {
        let endpoint = ground.endpoint();
        endpoint.map(|endpoint| (person, model, calls::client(&ground.bed, &endpoint, &ground.token(person))))
    });
    for call in Call::ALL {
        let mut cells = String::new();
        for client in &clients {
            let (person, model, client) = client.as_ref().map_err(ToString::to_string)?;
            let question = format!("Is this on {}'s bill?", person.name);
            let before = ground.gateway.lines().len();
            let said = call.make(client, model, &question).await?;
            if !said.contains(&question) {
                return Err(format!("{}: unexpected answer: {said}", call.name()).into());
            }
            let record = record(ground, before + 1).await?;
            if !record["principal"].as_str().unwrap_or_default().ends_with(person.text("email")) {
                return Err(format!("the call of {} is not signed as that person", person.name).into());
            }
            let session = if record["session"] == "miss" { "new session" } else { "cached" };
            let ms = format!("{} ms", record["duration_ms"]);
            write!(cells, "{} {session:<11} {ms:>6}   ", record["status"])?;
        }
        anstream::println!(" {GOOD}✓{GOOD:#} {:<30}{}", call.name(), cells.trim_end());
    }
    Ok(())
}

/// A call that the gateway refuses, and what the caller's SDK says.
async fn refusal(ground: &Ground, carol: &Person) -> Outcome {
    heading(&format!("{} is not in the group that the configuration requires", carol.name));
    let client = calls::client(&ground.bed, &ground.endpoint()?, &ground.token(carol));
    let before = ground.gateway.lines().len();
    let said = calls::ask(&client, SONNET, "And for this?").await;
    let Err(refused) = said.map_err(SdkError::into_service_error) else {
        return Err("the gateway served a caller that it must refuse".into());
    };
    let record = record(ground, before + 1).await?;
    if ground.bed.standin.sts.calls().iter().any(|call| call.session_name == carol.text("email")) {
        return Err("STS was asked for a session of a refused caller".into());
    }
    cross(
        "refused",
        &format!("{} {}; no AssumeRole, nothing billed", record["status"], text(&record, "reason")),
    );
    for line in wrapped(&exception(&refused), WIDTH - FIRST - 4) {
        anstream::println!("   {:<FIRST$} {BAD}{line}{BAD:#}", "");
    }
    Ok(())
}

/// The error as the SDK reports it: type and message.
fn exception(error: &ConverseError) -> String {
    let code = error.code().unwrap_or("an error without a type");
    format!("{code}: {}", error.message().unwrap_or_default())
}

/// The record of the request with this number. The gateway writes it a moment after the end of the answer.
async fn record(ground: &Ground, number: usize) -> Outcome<Value> {
    let lines = || ground.gateway.lines();
    let line = until("the access log", async || lines().into_iter().nth(number.saturating_sub(1))).await;
    Ok(serde_json::from_str(&line)?)
}

fn text<'r>(record: &'r Value, field: &str) -> &'r str {
    record[field].as_str().unwrap_or_default()
}

fn step(name: &str, what: &str) {
    let what = elided(what, WIDTH - FIRST - 4);
    anstream::println!(" {GOOD}✓{GOOD:#} {FAINT}{name:<FIRST$}{FAINT:#} {what}");
}

fn cross(name: &str, what: &str) {
    anstream::println!(" {BAD}✗ {name:<FIRST$} {what}{BAD:#}");
}
