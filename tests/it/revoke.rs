//! An operator revokes a caller's access: the gateway refuses the next request, whatever is cached, and aborts open
//! answers if the entry says so.

use std::sync::Arc;
use std::time::Duration;

use bedrock_bed::{send, until};
use bedrock_standin::sts::StsFault;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::listeners::get;
use crate::process;
use crate::reload::{is_rejected, replace};
use crate::world::{Answer, CONVERSE, CONVERSE_STREAM, HELLO, MODEL, Setup, World, post, read};

const ALICE: &str = "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org";
const SUBJECT: &str = "[[revoke]]\nissuer = \"acme\"\nsubject = \"alice\"\n";

impl World {
    /// Replaces the deny file.
    fn deny(&self, entries: &str) {
        replace(&self.folder().join("deny.toml"), entries);
    }

    /// Waits until this number of entries is in force.
    async fn in_force(&self, entries: usize) {
        let line = format!("bedrock_gateway_revocations {entries}");
        until(&line, async || self.has_metric(&line).await).await;
    }

    /// Sends an entry to the admin port.
    async fn revoke(&self, entry: &Value) -> Answer {
        self.revoke_as("application/json", entry).await
    }

    async fn revoke_as(&self, kind: &str, entry: &Value) -> Answer {
        let address = self.gateway.addresses().admin.unwrap();
        let request = Request::post("/sessions/revoke")
            .header("content-type", kind)
            .body(Full::new(Bytes::from(entry.to_string())))
            .unwrap();
        read(send(address, request).await).await
    }

    /// The entries that the admin port lists.
    async fn revocations(&self) -> Vec<Value> {
        let answer = get(self.gateway.addresses().admin.unwrap(), "/revocations").await;
        answer.json()["revocations"].as_array().unwrap().clone()
    }

    async fn cached(&self) -> Vec<Value> {
        let answer = get(self.gateway.addresses().admin.unwrap(), "/sessions").await;
        answer.json()["sessions"].as_array().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cached_token_and_a_cached_session_are_useless_from_the_next_request_on() {
    for entries in [
        SUBJECT.to_owned(),
        format!("[[revoke]]\nprincipal = \"{ALICE}\"\n"),
        "[[revoke]]\nexpression = \"claims.email == 'alice@acme.org'\"\n".to_owned(),
    ] {
        let world = World::with(&Setup { deny: Some(""), ..Setup::default() }).await;
        let (alice, bob) = (world.token("alice"), world.token("bob"));
        for token in [&alice, &alice, &bob] {
            assert_eq!(world.status(token).await, 200);
        }
        assert_eq!(world.cached().await.len(), 2);
        world.deny(&entries);
        world.in_force(1).await;
        for path in [CONVERSE, CONVERSE_STREAM] {
            let answer = world.send(post(path, &alice, HELLO)).await;
            assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"));
            crate::refusals::assert_is_a_case(&answer, "revoked");
            assert_eq!(answer.json().as_object().unwrap().len(), 1, "{answer:?}");
        }
        let line = world.logged(5).await;
        assert_eq!((&line["reason"], &line["principal"]), (&json!("revoked"), &json!(ALICE)));
        assert_eq!(line["detail"], "revoked by entry 0 of the deny file");
        assert_eq!(world.status(&world.token("alice")).await, 403, "a new token does not help");
        assert_eq!(world.status(&bob).await, 200);
        until("alice's session to go", async || world.cached().await.len() == 1).await;
        let cached = world.cached().await;
        assert!(cached[0]["principal"].as_str().unwrap().ends_with("/bob@acme.org"));
        assert_eq!(world.standin.sts.calls().len(), 2);

        world.deny("");
        world.in_force(0).await;
        assert_eq!(world.status(&alice).await, 200, "access is restored");
        assert_eq!(world.standin.sts.calls().len(), 3, "with a new session");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_in_the_deny_file_at_the_start_gets_no_session() {
    let world = World::with(&Setup { deny: Some(SUBJECT), ..Setup::default() }).await;
    assert_eq!(world.status(&world.token("alice")).await, 403);
    world.assert_untouched();
    assert_eq!(world.status(&world.token("bob")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_deny_file_restores_no_access() {
    let world = World::with(&Setup { deny: Some(SUBJECT), ..Setup::default() }).await;
    let alice = world.token("alice");
    assert_eq!(world.status(&alice).await, 403);
    for (invalid, count) in [
        ("[[revoke]]\nissuer = \"acme\"\n", "1 problem,"),
        // The unknown key, and an entry that names no caller.
        ("[[revoke]]\nsub = \"x\"\n", "2 problems,"),
        ("[[revo", "1 problem,"),
    ] {
        world.deny(invalid);
        let rejected = format!("deny file rejected: {count}");
        world.readyz("the problem", |body| is_rejected(body, &rejected)).await;
        assert!(world.has_metric("bedrock_gateway_config_reload_failed 1").await);
        assert_eq!(world.status(&alice).await, 403, "{invalid}");
        world.deny(&format!("{SUBJECT}# {}\n", invalid.len()));
        world.readyz("the repair", |body| !is_rejected(body, "deny file")).await;
    }
    std::fs::remove_file(world.folder().join("deny.toml")).unwrap();
    world.readyz("the missing file", |body| is_rejected(body, "deny file rejected;")).await;
    assert_eq!(world.status(&alice).await, 403);

    // A reload of the configuration keeps the entries too, until the configuration names no deny file.
    world.configure(|text| format!("{text}\n# again\n"));
    world.generation(2).await;
    assert_eq!(world.status(&alice).await, 403);
    world.configure(|text| text.split("[revoke]").next().unwrap().to_owned());
    world.generation(3).await;
    assert_eq!(world.status(&alice).await, 200);
    let body = world.readyz("no problem", |body| !is_rejected(body, "deny file")).await;
    assert_eq!(body["problems"], json!([]), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_whose_deny_file_cannot_be_read_is_rejected() {
    let world = World::start().await;
    let alice = world.token("alice");
    let other = world.folder().join("other.toml");
    let table = format!("[revoke]\nfile = \"{}\"\n", other.display());
    world.configure(|text| format!("{text}{table}"));
    world.readyz("the refusal", |body| is_rejected(body, "configuration rejected;")).await;
    assert_eq!(world.status(&alice).await, 200);
    std::fs::write(&other, SUBJECT).unwrap();
    // The configuration itself has not changed.
    world.generation(2).await;
    assert_eq!(world.status(&alice).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_admin_port_revokes_at_once_until_the_given_time() {
    let world = World::start().await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    assert_eq!((world.status(&alice).await, world.status(&bob).await), (200, 200));
    let answer = world.revoke(&json!({ "principal": ALICE })).await;
    assert_eq!(answer.json(), json!({ "revoked": true, "sessions_dropped": 1 }));
    assert_eq!((world.status(&alice).await, world.status(&bob).await), (403, 200));
    assert_eq!(world.logged(3).await["detail"], "revoked by the admin port");

    // An entry with an end replaces that one. It expires without any further request.
    let until = time::OffsetDateTime::now_utc() + Duration::from_secs(2);
    let until = until.format(&time::format_description::well_known::Rfc3339).unwrap();
    let answer = world.revoke(&json!({ "principal": ALICE, "until": until })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(world.status(&alice).await, 403);
    world.in_force(0).await;
    assert_eq!(world.status(&alice).await, 200);

    for (entry, fault) in [
        (json!({}), "in exactly one way"),
        (json!({ "principal": ALICE, "expression": "true" }), "in exactly one way"),
        (json!({ "principal": "alice" }), "not the ARN of a session"),
        (json!({ "expression": "clams.x" }), "there is no `clams`"),
        (json!({ "issuer": "okta", "subject": "alice" }), "no issuer is named"),
        (json!({ "principal": ALICE, "until": "tomorrow" }), "not a time"),
        (json!({ "user": "alice" }), "unknown field"),
    ] {
        let answer = world.revoke(&entry).await;
        assert_eq!(answer.status, 400, "{entry}");
        assert!(answer.json()["message"].as_str().unwrap().contains(fault), "{answer:?}");
    }
    // A mistyped year: the time is in the past.
    let past = "2020-12-01T18:00:00Z";
    let nothing = world.revoke(&json!({ "principal": ALICE, "until": past })).await;
    assert_eq!(nothing.status, 409, "{nothing:?}");
    assert_eq!(
        world.revoke_as("Application/JSON ; charset=utf-8", &json!({ "principal": ALICE })).await.status,
        200
    );
    assert_eq!(world.status(&alice).await, 403);
    let back = world.revoke(&json!({ "principal": ALICE, "until": past })).await;
    assert_eq!(back.json(), json!({ "revoked": false, "removed": true }));
    let forged = world.revoke_as("text/plain", &json!({ "principal": ALICE })).await;
    assert_eq!(forged.status, 415, "a web page can send no type but this one, and it has no effect");
    let admin = world.gateway.addresses().admin.unwrap();
    for (host, status) in
        [("rebound.example:9091", 403), ("localhost:9091", 200), ("[::1]:9091", 200), ("127.0.0.1", 200)]
    {
        assert_eq!(crate::listeners::get_as(admin, "/sessions", host).await.status, status, "{host}");
    }
    assert_eq!(world.status(&alice).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_end_if_the_entry_says_so() {
    let world = World::start().await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    world.standin.bedrock.hold();
    let mut open = world.open(post(CONVERSE_STREAM, &alice, HELLO)).await;
    let mut entry = json!({ "issuer": "acme", "subject": "alice" });
    assert_eq!(world.revoke(&entry).await.status, 200);
    assert_eq!(world.status(&alice).await, 403);
    world.standin.bedrock.release(1);
    assert!(open.body_mut().frame().await.unwrap().is_ok(), "open streams go on");
    entry["until"] = "2020-01-01T00:00:00Z".into();
    assert_eq!(world.revoke(&entry).await.status, 200, "removed");
    let open_h2 = world.open_h2c(post(CONVERSE_STREAM, &alice, HELLO)).await;
    let of_bob = world.open(post(CONVERSE_STREAM, &bob, HELLO)).await;
    assert_eq!(world.log.lines().len(), 1);

    // Silent streams end as well: Bedrock sends nothing at this time.
    let revoked = Instant::now();
    let entry = json!({ "issuer": "acme", "subject": "alice", "cut_streams": true });
    assert_eq!(world.revoke(&entry).await.status, 200);
    for mut answer in [open, open_h2] {
        let mut end = Vec::new();
        while let Some(Ok(frame)) = answer.body_mut().frame().await {
            end.extend_from_slice(frame.data_ref().unwrap());
        }
        let end = String::from_utf8_lossy(&end);
        let id = answer.headers()["x-gateway-request-id"].to_str().unwrap();
        assert!(
            end.contains("modelStreamErrorException") && end.contains("Your access was revoked."),
            "{end}"
        );
        assert!(end.contains(&format!("Request id: {id}\"")), "{end}");
        assert!(!end.contains("alice"), "{end}");
    }
    assert!(revoked.elapsed() < Duration::from_secs(5), "{:?}", revoked.elapsed());
    for line in [2, 3] {
        let line = world.logged(line).await;
        assert_eq!((&line["ended"], &line["reason"]), (&json!("revoked"), &json!("revoked")));
        assert_eq!((&line["principal"], &line["status"]), (&json!(ALICE), &json!(200)));
    }
    // The gateway does not wait for the rest of Bedrock's answers.
    world.standin.bedrock.wait_until(|bedrock| bedrock.hangups() == 2).await;
    world.standin.bedrock.release(1_000);
    assert!(!read(of_bob).await.body.is_empty());
    assert_eq!(world.logged(4).await["ended"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_revoked_while_their_body_arrives_is_not_served() {
    let world = World::start().await;
    let token = world.token("alice");
    let change = async || assert_eq!(world.revoke(&json!({ "principal": ALICE })).await.status, 200);
    let answer = world.call_before_and_after(&token, change).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    world.assert_untouched();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_cannot_carry_an_error_is_aborted() {
    let world = World::start().await;
    let alice = world.token("alice");
    world.standin.bedrock.hold();
    let body =
        json!({ "model": MODEL, "stream": true, "messages": [{ "role": "user", "content": "hello" }] });
    let mut open = world.open(post("/openai/v1/chat/completions", &alice, body.to_string())).await;
    assert_eq!(open.status(), 200);
    assert!(open.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    world.standin.bedrock.release(1);
    assert!(open.body_mut().frame().await.unwrap().is_ok());
    let entry = json!({ "expression": "claims.team == 'search'", "cut_streams": true });
    assert_eq!(world.revoke(&entry).await.status, 200);
    assert!(open.body_mut().frame().await.unwrap().is_err(), "the answer looks complete");
    assert_eq!(world.logged(1).await["ended"], "revoked");
}

/// Runs the binary in its own process, while the worlds of this process continue.
async fn revoke(arguments: Vec<String>) -> process::Ended {
    let run = move || {
        let arguments: Vec<String> = std::iter::once("revoke".to_owned()).chain(arguments).collect();
        process::run(&arguments, "the-admin-token\n")
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_reaches_every_replica_and_names_those_that_failed() {
    let (one, other) = (World::start().await, World::start().await);
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "the-admin-token").unwrap();
    let listen = format!("admin_token_file = \"{}\"", token.path().display());
    let guarded = World::with(&Setup { listen: &listen, ..Setup::default() }).await;
    let url = |world: &World| format!("--admin=http://{}", world.gateway.addresses().admin.unwrap());
    let principal = format!("--principal={ALICE}");
    for world in [&one, &other, &guarded] {
        assert_eq!(world.status(&world.token("alice")).await, 200);
    }

    let ended = revoke(vec![url(&one), url(&other), principal.clone()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(ended.out.matches(": revoked, 1 cached session dropped").count(), 2, "{}", ended.out);
    for world in [&one, &other] {
        assert_eq!(world.status(&world.token("alice")).await, 403);
    }

    let dead = "--admin=http://127.0.0.1:1".to_owned();
    let ended = revoke(vec![dead, url(&guarded), url(&one), principal.clone()]).await;
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("http://127.0.0.1:1/: FAILED: cannot connect"), "{}", ended.err);
    assert!(ended.err.contains("FAILED: 401 Unauthorized: send the admin token"), "{}", ended.err);
    assert!(ended.out.contains(": revoked"), "{}", ended.out);
    assert_eq!(guarded.status(&guarded.token("alice")).await, 200);
    let ended = revoke(vec![url(&guarded), "--token-file=-".to_owned(), principal.clone()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(!ended.out.contains("the-admin-token"));
    assert_eq!(guarded.status(&guarded.token("alice")).await, 403);

    for wrong in [
        vec![principal.clone()],
        vec![url(&one)],
        vec![url(&one), "--issuer=acme".to_owned()],
        vec![url(&one), "--subject=alice".to_owned(), principal.clone()],
        vec!["--admin=https://gateway:9091".to_owned(), principal.clone()],
        vec![url(&one), principal, "--until=tomorrow".to_owned()],
    ] {
        assert_eq!(revoke(wrong.clone()).await.code, Some(2), "{wrong:?}");
    }
    let ended = revoke(vec![url(&one), "--issuer=acme".to_owned(), "--subject=bob".to_owned()]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(one.status(&one.token("bob")).await, 403);
}

#[test]
fn check_reads_the_deny_file() {
    let folder = tempfile::tempdir().unwrap();
    let (config, deny) = (folder.path().join("gateway.toml"), folder.path().join("deny.toml"));
    let text = include_str!("../cases/mistakes/base.toml");
    std::fs::write(&config, format!("{text}\n[revoke]\nfile = \"{}\"\n", deny.display())).unwrap();
    let check = || process::run(&["check", "--config", config.to_str().unwrap()], "");
    let ended = check();
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("deny.toml does not exist"), "{}", ended.err);
    std::fs::write(&deny, "[[revoke]]\nprincipal = \"alice\"\n").unwrap();
    let ended = check();
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("deny.toml:2:13\n"), "{}", ended.err);
    assert!(ended.err.contains("revoke[0].principal: this is not the ARN of a session"), "{}", ended.err);
    std::fs::write(&deny, "[[revoke]]\nissuer = \"otka\"\nsubject = \"alice\"\n").unwrap();
    let ended = check();
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.err.contains("no issuer is named \"otka\""), "{}", ended.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn renaming_an_issuer_restores_no_access() {
    let world = World::with(&Setup { deny: Some(SUBJECT), ..Setup::default() }).await;
    let alice = world.token("alice");
    world.configure(|text| text.replace("name = \"acme\"", "name = \"acme-main\""));
    world.readyz("the problem", |body| is_rejected(body, "configuration rejected;")).await;
    assert_eq!(world.status(&alice).await, 403);
    // With entries for both names the gateway completes the reload by itself.
    let renamed = SUBJECT.replace("acme", "acme-main");
    world.deny(&format!("{SUBJECT}{renamed}"));
    world.generation(2).await;
    assert_eq!(world.status(&alice).await, 403);
    world.deny(&renamed);
    world.in_force(1).await;
    assert_eq!(world.status(&alice).await, 403);
    assert_eq!(world.status(&world.token("bob")).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_configuration_restores_no_access() {
    let world = World::with(&Setup { deny: Some(SUBJECT), ..Setup::default() }).await;
    let alice = world.token("alice");
    world.configure(|text| text.replace("[[role]]", "[[rolle]]"));
    world.readyz("the refusal", |body| is_rejected(body, "configuration rejected")).await;
    // Alice's entry is removed because the intended configuration gives her no role. Bob's is added, and applies at once.
    world.deny(&SUBJECT.replace("alice", "bob"));
    world.in_force(2).await;
    assert_eq!((world.status(&alice).await, world.status(&world.token("bob")).await), (403, 403));
    world.configure(|text| text.replace("[[rolle]]", "[[role]]"));
    world.in_force(1).await;
    assert_eq!((world.status(&alice).await, world.status(&world.token("bob")).await), (200, 403));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deny_file_does_not_wait_for_an_issuer_that_does_not_answer() {
    let world = World::with(&Setup {
        deny: Some(""),
        roles: "[[role]]\nissuers = [\"acme\"]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n",
        ..Setup::default()
    })
    .await;
    let alice = world.token("alice");
    assert_eq!(world.status(&alice).await, 200);
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    world.configure(|text| {
        let second = format!(
            "[[issuer]]\nname = \"second\"\nurl = \"{url}\"\naudiences = [\"x\"]\n[issuer.session]\nname = \"claims.sub\"\n[issuer.session.tags]\nteam = {{ value = \"second\" }}\n"
        );
        let role = "[[role]]\nissuers = [\"second\"]\narn = \"arn:aws:iam::123456789012:role/Second\"\n";
        text.replace("[[issuer]]\nname = \"acme\"", &format!("{second}[[issuer]]\nname = \"acme\"")) + role
    });
    let _asked = tokio::time::timeout(Duration::from_secs(10), silent.accept()).await.unwrap();
    world.deny(SUBJECT);
    world.in_force(1).await;
    assert_eq!(world.status(&alice).await, 403);
    assert!(
        world.has_metric("bedrock_gateway_config_generation 1").await,
        "the configuration is still waiting"
    );
    world.generation(2).await;
    assert_eq!(world.status(&alice).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_revoked_during_the_call_to_sts_is_not_served() {
    let world = Arc::new(World::start().await);
    let alice = world.token("alice");
    world.standin.sts.faults().always(StsFault::Late(Duration::from_secs(1)));
    let asking = {
        let (world, alice) = (Arc::clone(&world), alice.clone());
        tokio::spawn(async move { world.status(&alice).await })
    };
    until("the call to STS", async || !world.standin.sts.calls().is_empty()).await;
    world.revoke(&json!({ "principal": ALICE })).await;
    assert_eq!(asking.await.unwrap(), 403);
    assert_eq!(world.standin.bill.call_count(), 0);
    assert!(world.cached().await.is_empty(), "no session stays in the cache");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_entries_in_force_are_listed_with_their_source_and_their_refusals() {
    let deny = format!(
        "# leavers\n{SUBJECT}[[revoke]]\nexpression = \"claims.team == 'ads'\"\ncut_streams = true\n"
    );
    let world = World::with(&Setup { deny: Some(&deny), ..Setup::default() }).await;
    assert_eq!(world.status(&world.token("alice")).await, 403);
    assert_eq!(world.status(&world.token("alice")).await, 403);
    let until = "2099-12-01T18:00:00Z";
    assert_eq!(world.revoke(&json!({ "principal": ALICE, "until": until })).await.status, 200);

    let entries = world.revocations().await;
    let shown: Vec<_> = entries
        .iter()
        .map(|entry| (&entry["source"], &entry["line"], &entry["requests_refused"], &entry["cut_streams"]))
        .collect();
    let (none, no, yes) = (&Value::Null, &json!(false), &json!(true));
    assert_eq!(
        shown,
        [
            (&json!("deny_file"), &json!(2), &json!(2), no),
            (&json!("deny_file"), &json!(5), &json!(0), yes),
            (&json!("admin"), none, &json!(0), no),
        ]
    );
    assert_eq!((&entries[0]["issuer"], &entries[0]["subject"]), (&json!("acme"), &json!("alice")));
    assert_eq!(entries[1]["expression"], "claims.team == 'ads'");
    assert_eq!((&entries[2]["principal"], &entries[2]["until"]), (&json!(ALICE), &json!(until)));
    assert!(world.has_metric("bedrock_gateway_revocations 3").await);

    // A reload keeps the time and the count of an entry that stays, and knows its new line.
    world.deny(&format!("\n\n{SUBJECT}"));
    world.in_force(2).await;
    let again = world.revocations().await;
    assert_eq!((&again[0]["line"], &again[0]["requests_refused"]), (&json!(3), &json!(2)));
    assert_eq!(again[0]["since"], entries[0]["since"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_list_revocations_and_sessions_of_every_replica() {
    let (one, other) = (World::start().await, World::start().await);
    let url = |world: &World| format!("--admin=http://{}", world.gateway.addresses().admin.unwrap());
    assert_eq!(one.revoke(&json!({ "issuer": "acme", "subject": "mallory" })).await.status, 200);
    for world in [&one, &other] {
        assert_eq!(world.status(&world.token("alice")).await, 200);
    }
    assert_eq!(other.status(&other.token("bob")).await, 200);

    let ended = revoke(vec!["--list".to_owned(), url(&one), url(&other)]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("acme: mallory"), "{}", ended.out);
    assert!(ended.out.contains("1 revocation at 2 replicas\nnot at http://"), "{}", ended.out);
    let ended = revoke(vec!["--list".to_owned(), "--json".to_owned(), url(&one), url(&other)]).await;
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["replicas"][0]["revocations"][0]["subject"], "mallory");
    assert_eq!(json["replicas"][1]["revocations"], json!([]));

    let list = async |arguments: Vec<String>| {
        let arguments: Vec<String> = std::iter::once("sessions".to_owned()).chain(arguments).collect();
        tokio::task::spawn_blocking(move || process::run(&arguments, "")).await.unwrap()
    };
    let ended = list(vec![url(&one), url(&other)]).await;
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let line = |name: &str| ended.out.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    let alice: Vec<String> =
        line("BedrockUser/alice@acme.org").split_whitespace().map(str::to_owned).collect();
    assert!(
        alice.starts_with(&["BedrockUser/alice@acme.org", "acme:", "alice"].map(str::to_owned)),
        "{alice:?}"
    );
    assert!(line("alice").contains("team=search"), "{}", ended.out);
    assert!(ended.out.ends_with("2 principals, 3 sessions at 2 replicas\n"), "{}", ended.out);
    let ended = list(vec![url(&one), url(&other), "--principal=bob".to_owned()]).await;
    assert!(ended.out.contains("1 principal, 1 session at 2 replicas\n"), "{}", ended.out);
    let ended = list(vec![url(&one), "--json".to_owned(), "--admin=http://127.0.0.1:1".to_owned()]).await;
    assert_eq!(ended.code, Some(1));
    let json: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(json["replicas"][0]["sessions"][0]["principal"], ALICE);
    assert!(json["replicas"][1]["error"].as_str().unwrap().starts_with("cannot connect"), "{json}");
}
