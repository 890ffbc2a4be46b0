//! A reload that changes roles is first tried with one canary session per changed role. If STS denies it, the old
//! configuration stays in use.

use bedrock_bed::until;
use bedrock_standin::sts::{RoleSpec, StsCall, StsFault};
use serde_json::json;
use tokio::time::Instant;

use crate::listeners::get;
use crate::reload::{is_rejected, replace};
use crate::world::{CONVERSE, HELLO, Setup, World, post, process_log};

/// A role of an account in which the stand-in knows no role until the test adds it.
fn closed(name: &str) -> String {
    format!("arn:aws:iam::333333333333:role/{name}")
}

fn new_role(arn: &str) -> String {
    format!("[[role]]\nwhen = \"claims.team == 'new'\"\narn = \"{arn}\"\n[[role]]")
}

impl World {
    /// The calls for canary sessions.
    fn canaries(&self) -> Vec<StsCall> {
        let mut calls = self.standin.sts.calls();
        calls.retain(|call| call.session_name.contains("bedrock-gateway-canary"));
        calls
    }

    /// The number of calls for sessions of callers.
    pub(crate) fn asked_for_callers(&self) -> usize {
        self.standin.sts.calls().len() - self.canaries().len()
    }

    fn add_role(&self, arn: &str) {
        self.configure(|text| text.replacen("[[role]]", &new_role(arn), 1));
    }

    async fn sessions(&self) -> usize {
        let listed = get(self.gateway.addresses().admin.unwrap(), "/sessions").await.json();
        listed["sessions"].as_array().unwrap().len()
    }
}

/// The lines of the process log with all of these words.
fn lines(words: &[&str]) -> Vec<String> {
    let log = process_log();
    let lines = log.lines().filter(|line| words.iter().all(|word| line.contains(word)));
    lines.map(ToOwned::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_sts_denies_keeps_the_old_configuration_until_the_role_exists() {
    let world = World::start().await;
    let token = world.token("alice");
    assert_eq!(world.status(&token).await, 200);
    let arn = closed("Misspelt");
    world.add_role(&arn);
    let why =
        "configuration rejected: STS denies the canary session of role[0] (sts:AssumeRole is not allowed)";
    let body = world.readyz("the rejection", |body| is_rejected(body, why)).await;
    assert_eq!((&body["config_generation"], &body["ready"]), (&json!(1), &json!(true)), "{body}");
    assert!(!body.to_string().contains("arn:"), "/readyz must not show the ARN of a role: {body}");
    assert_eq!(world.status(&token).await, 200);
    let said = lines(&["ERROR", &arn]);
    for words in [
        "canary session bedrock-gateway-canary of role[0]",
        "does not exist",
        "AccessDenied: User: ",
        "canary = false in [aws]",
    ] {
        assert!(said[0].contains(words), "{words}: {said:?}");
    }
    until("a retry", async || world.canaries().len() > 1).await;
    assert_eq!(lines(&["ERROR", &arn]).len(), 1, "the log has it once");

    // The role is created outside the file, which does not change.
    world.standin.sts.add_role(RoleSpec::new(&arn));
    world.generation(2).await;
    world.readyz("the end of the problem", |body| !is_rejected(body, "")).await;
    let canaries = world.canaries();
    assert!(canaries.iter().all(|call| call.role_arn == arn), "unchanged roles are not tried: {canaries:?}");
    assert_eq!(canaries[0].tags.get("team").map(String::as_str), Some("bedrock-gateway-canary"));
    assert_eq!((world.asked_for_callers(), world.sessions().await), (1, 1), "no canary is cached");
    let new = world.mint(World::claims("bob").claim("team", "new"));
    assert_eq!(world.status(&new).await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_sts_names_stands_in_the_problem() {
    for (from, to, why) in [
        (
            "[issuer.session.tags]\nteam = \"claims.team\"",
            "[issuer.session.tags]\nteam = \"claims.team\"\n\
          cost = \"claims.cost\"",
            "role[0] (sts:TagSession is not allowed)",
        ),
        (
            "name = \"claims.email\"",
            "name = \"claims.email\"\nsource_identity = \"claims.sub\"",
            "role[0] (sts:SetSourceIdentity is not allowed)",
        ),
        (
            "[[role]]",
            "[[role]]\nduration = \"2h\"",
            "role[0] (the session would last longer than the role allows)",
        ),
        ("[[role]]", "[[role]]\nexternal_id = \"other\"", "role[0] (sts:AssumeRole is not allowed)"),
    ] {
        let arn = closed("Narrow");
        let roles = format!("[[role]]\narn = \"{arn}\"\n");
        let world = World::with(&Setup { roles: &roles, ..Setup::default() }).await;
        // No session of a caller was requested, so the start of the gateway needs no such role.
        world.standin.sts.add_role(RoleSpec {
            external_id: to.contains("external_id").then(|| "right".to_owned()),
            trusts_tag_session: !why.contains("TagSession"),
            trusts_source_identity: false,
            ..RoleSpec::new(&arn)
        });
        world.configure(|text| text.replacen(from, to, 1));
        world.readyz(why, |body| is_rejected(body, why)).await;
        world.configure(|text| text.replacen(to, from, 1));
        world.readyz("the end of the problem", |body| !is_rejected(body, "")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_changed_roles_are_tried_and_each_once() {
    let roles = "[[role]]\nwhen = \"claims.team == 'a'\"\narn = \"arn:aws:iam::123456789012:role/A\"\n\
                 [[role]]\nwhen = \"claims.team == 'b'\"\narn = \"arn:aws:iam::123456789012:role/B\"\n\
                 [[role]]\nwhen = \"claims.team == 'c'\"\narn = \"arn:aws:iam::123456789012:role/B\"\n";
    let world = World::with(&Setup { roles, ..Setup::default() }).await;
    let tried = || {
        let mut roles: Vec<_> = world.canaries().into_iter().map(|call| call.role_arn).collect();
        roles.sort();
        world.standin.sts.clear();
        roles.iter().map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (generation, from, to, roles) in [
        (2, "'c'", "'d'", vec![]),
        (3, "role/A\"", "role/A\"\nduration = \"30m\"", vec!["A"]),
        (4, "team = \"claims.team\"", "team = \"claims.team\"\nlevel = \"claims.level\"", vec!["A", "B"]),
        (5, "level = \"claims.level\"", "level = \"claims.grade\"", vec![]),
        (6, "[sessions]", "[sessions]\nduration = \"45m\"", vec!["B"]),
    ] {
        world.configure(|text| text.replacen(from, to, 1));
        world.generation(generation).await;
        assert_eq!(tried(), roles, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_has_a_name_that_the_role_allows() {
    let world = World::start().await;
    world.configure(|text| text.replacen("[[role]]", "[[role]]\nsession_names = [\"*@acme.org\"]", 1));
    world.generation(2).await;
    let names: Vec<_> = world.canaries().into_iter().map(|call| call.session_name).collect();
    assert_eq!(names, ["bedrock-gateway-canary@acme.org"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sts_that_gives_no_answer_rejects_nothing() {
    let world = World::start().await;
    for (index, fault) in [StsFault::Throttle, StsFault::Unavailable, StsFault::ExpiredToken, StsFault::Reset]
        .into_iter()
        .enumerate()
    {
        world.standin.sts.faults().always(fault);
        let arn = closed(&format!("Untried{index}"));
        world.add_role(&arn);
        world.generation(index as u64 + 2).await;
        let said = lines(&["WARN", "STS gave no answer to 1 canary session", &arn]);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("role[0]"), "{said:?}");
    }
    world.standin.sts.server().stop().await;
    world.add_role(&closed("Unreachable"));
    world.generation(6).await;
    assert_eq!(lines(&["WARN", "STS could not be reached", "role/Unreachable"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_denial_rejects_the_configuration_though_another_role_has_no_answer() {
    let world = World::with(&Setup { aws: "sts_timeout = \"2s\"", ..Setup::default() }).await;
    world.standin.sts.faults().next(1, StsFault::Hang);
    let (one, other) = (new_role(&closed("HangsOrDenied1")), new_role(&closed("HangsOrDenied2")));
    world.configure(|text| text.replacen("[[role]]", &one, 1).replacen("[[role]]", &other, 1));
    world.readyz("the rejection", |body| is_rejected(body, "(sts:AssumeRole is not allowed);")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_canary_turns_it_off_with_the_very_reload() {
    let world = World::start().await;
    let arn = closed("Unasked");
    world.add_role(&arn);
    world.readyz("the rejection", |body| is_rejected(body, "canary session")).await;
    world.configure(|text| text.replacen("[aws]", "[aws]\ncanary = false", 1));
    world.generation(2).await;
    world.standin.sts.clear();
    world.add_role(&closed("UnaskedToo"));
    world.generation(3).await;
    assert_eq!(world.canaries().len(), 0);
}

/// The canary's call never ends by itself, and the gateway gives up after ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn while_a_canary_waits_requests_are_served_and_the_deny_file_counts() {
    let world = World::with(&Setup { deny: Some(""), ..Setup::default() }).await;
    let (alice, bob) = (world.token("alice"), world.token("bob"));
    assert_eq!((world.status(&alice).await, world.status(&bob).await), (200, 200));
    world.standin.sts.faults().always(StsFault::Hang);
    world.add_role(&closed("Hangs"));
    until("the canary's call", async || !world.canaries().is_empty()).await;
    let since = Instant::now();
    replace(&world.folder().join("deny.toml"), "[[revoke]]\nissuer = \"acme\"\nsubject = \"alice\"\n");
    until("the revocation", async || world.send(post(CONVERSE, &alice, HELLO)).await.status == 403).await;
    assert!(since.elapsed().as_secs() < 8, "{:?}", since.elapsed());
    assert_eq!(world.status(&bob).await, 200);
    let body = world.readyz("the old configuration", |body| body["config_generation"] == 1).await;
    assert!(!is_rejected(&body, ""), "{body}");
    world.standin.sts.faults().clear();
    world.generation(2).await;
    assert_eq!(lines(&["WARN", "no session within 10 s (aws.sts_timeout)", "role/Hangs"]).len(), 1);
}
