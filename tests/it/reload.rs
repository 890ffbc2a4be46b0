//! The operator's files change while the gateway serves. A valid file counts from the next request on; a rejected file
//! changes nothing. Clients notice neither.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bedrock_bed::until;
use bedrock_gateway::operator::problem::ProblemCode;
use bedrock_standin::{Options, Standin};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::listeners::get;
use crate::world::{CONVERSE, CONVERSE_STREAM, HELLO, Setup, World, post, process_log, read};

const TWO_ROLES: &str = r#"
[[role]]
when = "'ml' in claims.groups"
arn = "arn:aws:iam::123456789012:role/BedrockMl"
[[role]]
when = "claims.team == 'search'"
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;

impl World {
    /// Replaces the configuration in one step, as editors and Kubernetes do.
    pub(crate) fn configure(&self, change: impl Fn(&str) -> String) {
        let file = self.folder().join("gateway.toml");
        let text = change(&std::fs::read_to_string(&file).unwrap());
        replace(&file, &text);
    }

    /// Waits until the body of `/readyz` satisfies `so`, and returns it.
    pub(crate) async fn readyz(&self, what: &str, so: impl Fn(&Value) -> bool) -> Value {
        let probe = self.gateway.addresses().probe.unwrap();
        until(what, async || Some(get(probe, "/readyz").await.json()).filter(&so)).await
    }

    pub(crate) async fn generation(&self, generation: u64) {
        self.readyz("a generation", |body| body["config_generation"] == generation).await;
    }

    pub(crate) async fn has_metric(&self, line: &str) -> bool {
        let page = get(self.gateway.addresses().probe.unwrap(), "/metrics").await;
        std::str::from_utf8(&page.body).unwrap().lines().any(|found| found == line)
    }

    /// Sends a call whose head arrives before the change, and its body after it. The gateway has accepted the caller
    /// before the change, because it asked for the body.
    pub(crate) async fn call_before_and_after(&self, token: &str, change: impl AsyncFnOnce()) -> String {
        let mut stream =
            tokio::net::TcpStream::connect(self.gateway.addresses().http.unwrap()).await.unwrap();
        let length = HELLO.len();
        let head = format!(
            "POST {CONVERSE} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut asked = [0; 25];
        stream.read_exact(&mut asked).await.unwrap();
        assert!(asked.starts_with(b"HTTP/1.1 100 Continue"));
        change().await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    pub(crate) async fn status(&self, token: &str) -> u16 {
        self.send(post(CONVERSE, token, HELLO)).await.status.as_u16()
    }
}

pub(crate) fn replace(file: &Path, text: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Whether `/readyz` reports a problem of this kind whose message contains these words.
pub(crate) fn has_problem(body: &Value, code: ProblemCode, words: &str) -> bool {
    let problems = body["problems"].as_array().unwrap();
    problems.iter().any(|problem| {
        problem["code"] == code.as_str() && problem["message"].as_str().unwrap().contains(words)
    })
}

/// Whether `/readyz` reports a rejected file with these words.
pub(crate) fn is_rejected(body: &Value, words: &str) -> bool {
    has_problem(body, ProblemCode::FileRejected, words)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_traffic_no_request_is_lost_and_no_session_asked_for_again() {
    let world = Arc::new(World::with(&Setup { roles: TWO_ROLES, ..Setup::default() }).await);
    let token = world.token("alice");
    assert_eq!(world.status(&token).await, 200);
    world.standin.bedrock.hold();
    let open = world.open(post(CONVERSE_STREAM, &token, HELLO)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let (world, token, stop) = (Arc::clone(&world), token.clone(), Arc::clone(&stop));
        clients.spawn(async move {
            let mut answered = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = world.send(post(CONVERSE, &token, HELLO)).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                answered += 1;
            }
            answered
        });
    }
    for generation in 2..=4 {
        // Each generation has one change more: the issuer's settings, then a requirement, then a role rule.
        let (from, to) = match generation {
            2 => ("audiences = [\"bedrock-gateway\"]", "audiences = [\"bedrock-gateway\", \"other\"]"),
            3 => (
                "[issuer.session.tags]",
                "[[issuer.require]]\nexpression = \"claims.email != ''\"\nmessage = \"-\"\n[issuer.session.tags]",
            ),
            _ => ("'ml' in claims.groups", "'ml' in claims.groups && claims.team == 'ml'"),
        };
        world.configure(|text| text.replacen(from, to, 1));
        world.generation(generation).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = 0;
    while let Some(client) = clients.join_next().await {
        answered += client.unwrap();
    }
    assert!(answered > 20, "{answered}");
    world.standin.bedrock.release(1_000);
    assert!(!read(open).await.body.is_empty(), "an open stream continues after the reloads");
    assert_eq!(world.standin.sts.calls().len(), 1, "the gateway kept the session");
    assert!(world.has_metric("bedrock_gateway_config_generation 4").await);
    assert!(world.has_metric("bedrock_gateway_config_reload_failed 0").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_the_good_one_and_says_everything_that_is_wrong() {
    let world = World::start().await;
    let token = world.token("alice");
    assert_eq!(world.status(&token).await, 200);
    world
        .configure(|text| text.replace("claims.email", "clams.email").replace("[\"bedrock-gateway\"]", "[]"));
    let body =
        world.readyz("the rejection", |body| is_rejected(body, "configuration rejected: 2 problems,")).await;
    assert_eq!((&body["config_generation"], &body["ready"]), (&json!(1), &json!(true)), "{body}");
    assert!(!body.to_string().contains("clams"), "/readyz must not show the text of the file: {body}");
    assert!(world.has_metric("bedrock_gateway_config_reload_failed 1").await);
    assert!(world.has_metric("bedrock_gateway_config_generation 1").await);
    let place = format!("{}:", world.folder().join("gateway.toml").display());
    let log = process_log();
    for problem in ["there is no `clams`", "audiences: the list is empty, so every token would be rejected"] {
        let said = log.lines().filter(|line| line.contains(&place) && line.contains(problem)).count();
        assert_eq!(said, 1, "{problem}");
    }
    assert_eq!(world.status(&token).await, 200);

    std::fs::remove_file(world.folder().join("gateway.toml")).unwrap();
    world
        .readyz("the problem of the missing file", |body| is_rejected(body, "configuration rejected;"))
        .await;
    assert_eq!(world.status(&token).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_that_is_repaired_is_loaded() {
    let world = World::start().await;
    world.configure(|text| text.replace("[[role]]", "[[rule]]"));
    world.readyz("the rejection", |body| is_rejected(body, "configuration rejected: 1 problem,")).await;
    world.configure(|text| text.replace("[[rule]]", "# repaired\n[[role]]"));
    world.generation(2).await;
    world.readyz("the end of the problem", |body| !is_rejected(body, "")).await;
    assert!(world.has_metric("bedrock_gateway_config_reload_failed 0").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_is_gone_is_gone_with_the_next_request() {
    let world = World::with(&Setup { roles: TWO_ROLES, ..Setup::default() }).await;
    let (alice, bob) =
        (world.token("alice"), world.mint(World::claims("bob").claim("groups", json!(["ml"]))));
    assert_eq!((world.status(&alice).await, world.status(&bob).await), (200, 200));
    let asked = world.standin.sts.calls().len();
    world.configure(|text| text.split("[[role]]\nwhen = \"claims.team").next().unwrap().to_owned());
    world.generation(2).await;
    let refused = world.send(post(CONVERSE, &alice, HELLO)).await;
    assert_eq!((refused.status.as_u16(), refused.kind()), (403, "AccessDeniedException"));
    assert_eq!(world.logged(3).await["reason"], "no_role");
    assert_eq!(world.status(&bob).await, 200);
    assert_eq!(world.standin.sts.calls().len(), asked, "the gateway kept bob's session");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_goes_by_one_configuration_to_its_end() {
    let world = World::start().await;
    let token = world.token("alice");
    let change = async || {
        world.configure(|text| text.replace("[[role]]", "[[role]]\nwhen = \"claims.team == 'ads'\""));
        world.generation(2).await;
    };
    let answer = world.call_before_and_after(&token, change).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(world.status(&token).await, 403, "the next request follows the new configuration");
}

/// The table of a second issuer, which the test inserts before the first.
fn second(idp: &Standin) -> String {
    let issuer = idp.idp.issuer();
    format!(
        "[[issuer]]\nname = \"second\"\nurl = \"{issuer}\"\naudiences = [\"bedrock-gateway\"]\n[issuer.session]\nname = \"claims.email\"\n[issuer.session.tags]\nteam = {{ value = \"second\" }}\n[[issuer]]\nname = \"acme\""
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn issuers_that_come_go_and_change_places_are_never_taken_for_each_other() {
    let world = World::with(&Setup {
        roles: "[[role]]\nissuers = [\"acme\"]\narn = \"arn:aws:iam::123456789012:role/BedrockUser\"\n",
        ..Setup::default()
    })
    .await;
    let other = Standin::start(Options::default());
    let (alice, mallory) = (world.token("alice"), other.idp.mint(World::claims("mallory")));
    world.secret(&mallory);
    assert_eq!((world.status(&alice).await, world.status(&mallory).await), (200, 401));

    // Alice's issuer is now the second. The gateway accepts tokens of the other issuer, which has a role of its own.
    world.configure(|text| {
        text.replace("[[issuer]]\nname = \"acme\"", &second(&other))
            + "[[role]]\nissuers = [\"second\"]\narn = \"arn:aws:iam::123456789012:role/Second\"\n"
    });
    world.generation(2).await;
    assert_eq!((world.status(&alice).await, world.status(&mallory).await), (200, 200));
    let (of_alice, of_mallory) = (world.logged(3).await, world.logged(4).await);
    assert_eq!((&of_alice["issuer"], &of_mallory["issuer"]), (&json!("acme"), &json!("second")));
    assert_eq!(of_mallory["principal"], "arn:aws:sts::123456789012:assumed-role/Second/mallory@acme.org");
    assert_eq!(world.asked_for_callers(), 2, "the gateway kept alice's session");
    // The reload kept the issuer's signing keys, so the gateway did not check a remembered token again.
    assert!(
        world
            .has_metric("bedrock_gateway_token_checks_total{issuer=\"acme\",outcome=\"remembered\"} 1")
            .await
    );

    // The file no longer lists the other issuer. The gateway rejects its remembered token, and still accepts alice's.
    world.configure(|text| {
        let (before, rest) = text.split_once("[[issuer]]\nname = \"second\"").unwrap();
        let (_, rest) = rest.split_once("[[issuer]]\nname = \"acme\"").unwrap();
        let text = format!("{before}[[issuer]]\nname = \"acme\"{rest}");
        text.split("[[role]]\nissuers = [\"second\"]").next().unwrap().to_owned()
    });
    world.generation(3).await;
    assert_eq!((world.status(&mallory).await, world.status(&alice).await), (401, 200));
    assert_eq!(world.logged(5).await["reason"], "token_issuer");
}

/// After a change of the issuer's settings, the gateway checks a remembered token against the new ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_token_is_held_against_the_new_settings() {
    for (from, to, reason) in [
        ("audiences = [\"bedrock-gateway\"]", "audiences = [\"else\"]", "token_audience"),
        (
            "audiences = [\"bedrock-gateway\"]",
            "audiences = [\"bedrock-gateway\"]\nalgorithms = [\"PS512\"]",
            "token_algorithm",
        ),
        (
            "audiences = [\"bedrock-gateway\"]",
            "audiences = [\"bedrock-gateway\"]\nmax_token_age = \"1s\"\nleeway = \"0s\"",
            "token_too_old",
        ),
        (
            "audiences = [\"bedrock-gateway\"]",
            "audiences = [\"bedrock-gateway\"]\naudience_claim = \"client_id\"",
            "token_audience",
        ),
    ] {
        let world = World::start().await;
        let issued = time::OffsetDateTime::now_utc().unix_timestamp() - 100;
        let token = world.mint(World::claims("alice").claim("iat", issued));
        assert_eq!(world.status(&token).await, 200);
        // The identity provider is down: the signing keys fetched before the change serve the new settings, too.
        world.standin.idp.server().stop().await;
        world.configure(|text| text.replacen(from, to, 1));
        world.generation(2).await;
        assert_eq!(world.status(&token).await, 401, "{reason}");
        assert_eq!(world.logged(2).await["reason"], reason);
        world.configure(|text| text.replacen(to, from, 1));
        world.generation(3).await;
        assert_eq!(world.status(&token).await, 200, "{reason}");
        assert_eq!(world.standin.sts.calls().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_says_so_and_stays() {
    let world = World::with(&Setup { sessions: "capacity = 10", ..Setup::default() }).await;
    let token = world.token("alice");
    world.configure(|text| {
        text.replace("capacity = 10", "capacity = 20")
            .replace("http = \"127.0.0.1:0\"", "http = \"127.0.0.1:1\"\nmax_body = \"1KiB\"")
            .replace("region = \"us-east-1\"", "region = \"eu-west-1\"")
    });
    let body = world.readyz("generation 2", |body| body["config_generation"] == 2).await;
    let restart = "restart required for: listen.http, aws, sessions.capacity";
    assert!(has_problem(&body, ProblemCode::RestartRequired, restart), "{body}");
    until("the line", async || process_log().lines().any(|line| line.contains(restart))).await;
    assert_eq!(world.status(&token).await, 200);
    let large = world.send(post(CONVERSE, &token, vec![b' '; 2_000])).await;
    assert_eq!(large.status, 413, "a change that needs no restart is in effect");
}

#[tokio::test(flavor = "multi_thread")]
async fn regions_come_and_go() {
    let world = World::start().await;
    let token = world.token("alice");
    let further = format!("/us-west-2{CONVERSE}");
    let whole = std::fs::read_to_string(world.folder().join("gateway.toml")).unwrap();
    assert_eq!(world.send(post(&further, &token, HELLO)).await.status, 200);
    world.configure(|text| {
        let (before, rest) = text.split_once("[aws.region_endpoints.us-west-2]").unwrap();
        let (_, rest) = rest.split_once("[sessions]").unwrap();
        format!("{before}[sessions]{rest}").replace("regions = [\"us-west-2\"]", "")
    });
    world.generation(2).await;
    assert_eq!(world.send(post(&further, &token, HELLO)).await.status, 404);
    assert_eq!(world.status(&token).await, 200);
    std::fs::write(world.folder().join("gateway.toml"), whole).unwrap();
    world.generation(3).await;
    assert_eq!(world.send(post(&further, &token, HELLO)).await.status, 200);
    assert_eq!(world.standin.sts.calls().len(), 1);
}

/// The certificate that the gateway shows to a new connection.
async fn shown(world: &World) -> Vec<u8> {
    let config = bedrock_bed::trusting(world.folder());
    let stream = tokio::net::TcpStream::connect(world.gateway.addresses().https.unwrap()).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_shown_to_new_connections_and_a_bad_one_is_not_shown() {
    let world = World::start().await;
    let token = world.token("alice");
    let sdk = world.sdk(&token);
    let call = || sdk.converse().model_id(crate::world::MODEL).messages(crate::clients::says("hello")).send();
    call().await.unwrap();
    let first = shown(&world).await;
    let (certificate, key) = world.standin.server_certificate(&["localhost", "127.0.0.1"]);
    world.secret(&key);

    // The new certificate does not match the old key.
    replace(&world.folder().join("tls.crt"), &certificate);
    world.readyz("the rejection", |body| is_rejected(body, "certificate rejected")).await;
    assert!(world.has_metric("bedrock_gateway_config_reload_failed 1").await);
    assert_eq!(shown(&world).await, first);

    replace(&world.folder().join("tls.key"), &key);
    world.readyz("the new certificate", |body| !is_rejected(body, "certificate")).await;
    assert!(world.has_metric("bedrock_gateway_config_reload_failed 0").await);
    let second = shown(&world).await;
    assert_ne!(second, first);
    assert_eq!(
        second,
        CertificateDer::pem_slice_iter(certificate.as_bytes()).next().unwrap().unwrap().to_vec()
    );
    call().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_in_other_files_comes_with_the_configuration() {
    let world = World::start().await;
    let first = shown(&world).await;
    let (certificate, key) = world.standin.server_certificate(&["localhost", "127.0.0.1"]);
    world.secret(&key);
    std::fs::write(world.folder().join("other.crt"), certificate).unwrap();
    world.configure(|text| text.replace("/tls.crt", "/other.crt").replace("/tls.key", "/other.key"));
    world.readyz("the rejection", |body| is_rejected(body, "configuration rejected")).await;
    assert_eq!(shown(&world).await, first);
    std::fs::write(world.folder().join("other.key"), key).unwrap();
    world.gateway.reload();
    world.generation(2).await;
    assert_ne!(shown(&world).await, first);
}
