//! The keys of the role table in calls to STS, and trust policies that forbid what a mapping needs.

use std::time::Duration;

use bedrock_standin::iam::PolicyDocument;
use bedrock_standin::sts::RoleSpec;
use bedrock_standin::{Options, Standin};

use crate::world::{CONVERSE, HELLO, Setup, World, post, process_log};

const ARN: &str = "arn:aws:iam::444455556666:role/team/BedrockDeep";

const MAPPING: &str = r#"
[issuer.session]
name = "claims.email"
source_identity = "claims.sub"
[issuer.session.tags]
team = "claims.team"
office = { from = "claims.office", required = false }
"#;

const ROLES: &str = r#"
[[role]]
arn = "arn:aws:iam::444455556666:role/team/BedrockDeep"
external_id = "from-the-gateway"
duration = "30m"
policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}]}'
policy_arns = ["arn:aws:iam::aws:policy/AmazonBedrockLimitedAccess"]
transitive_tags = ["team", "office"]
"#;

async fn world(change: impl FnOnce(&mut RoleSpec)) -> World {
    let standin = Standin::start(Options::default());
    let mut role = RoleSpec { external_id: Some("from-the-gateway".to_owned()), ..RoleSpec::new(ARN) };
    change(&mut role);
    standin.sts.add_role(role);
    World::before(standin, &Setup { mapping: MAPPING, roles: ROLES, ..Setup::default() }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_of_a_role_reaches_sts() {
    let world = world(|_| {}).await;
    let answer = world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let call = world.standin.sts.calls().pop().unwrap();
    assert_eq!((call.role_arn.as_str(), call.session_name.as_str()), (ARN, "alice@acme.org"));
    assert_eq!(call.external_id.as_deref(), Some("from-the-gateway"));
    assert_eq!(call.source_identity.as_deref(), Some("alice"));
    assert_eq!(call.duration, Some(Duration::from_secs(30 * 60)));
    assert_eq!(call.tags.get("team").map(String::as_str), Some("search"));
    assert_eq!(call.transitive, ["team"], "a tag that the caller does not have is not transitive");
    assert!(call.policy.unwrap().contains("bedrock:InvokeModel"));
    assert_eq!(call.policy_arns, ["arn:aws:iam::aws:policy/AmazonBedrockLimitedAccess"]);
    // The principal on the bill does not contain the path of the role.
    let principal = "arn:aws:sts::444455556666:assumed-role/BedrockDeep/alice@acme.org";
    assert_eq!(world.standin.bill.principals(), [principal]);
    assert_eq!(world.logged(1).await["principal"], principal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_by_a_trust_policy_is_403_and_nothing_is_sent() {
    let changes: [fn(&mut RoleSpec); 4] = [
        |role| role.external_id = Some("another".to_owned()),
        |role| role.trusts_tag_session = false,
        |role| role.trusts_source_identity = false,
        |role| role.max_duration = Duration::from_secs(900),
    ];
    for change in changes {
        let world = world(change).await;
        let answer = world.send(post(CONVERSE, &world.token("alice"), HELLO)).await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"));
        assert!(
            !String::from_utf8_lossy(&answer.body).contains("444455556666"),
            "the caller must not see an ARN"
        );
        assert_eq!(world.logged(1).await["reason"], "sts_denied");
        for service in world.bedrocks() {
            assert_eq!(service.server().requests(), 0);
        }
    }
}

/// However many callers ask for sessions of the role, the process log has one line when a denial begins, and one when
/// the cause changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_denial_is_diagnosed_once_in_the_process_log() {
    let arn = "arn:aws:iam::333333333333:role/Diagnosed";
    let roles = format!("[[role]]\narn = \"{arn}\"\n");
    let world = World::with(&Setup { roles: &roles, ..Setup::default() }).await;
    let diagnosed = || {
        let log = process_log();
        let lines = log
            .lines()
            .filter(|line| line.contains("STS denies sessions of this role") && line.contains(arn));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    for user in ["alice", "bob", "carol"] {
        assert_eq!(world.status(&world.token(user)).await, 403);
    }
    let lines = diagnosed();
    assert_eq!(lines.len(), 1, "{lines:?}");
    for words in ["WARN", "sts:AssumeRole is not allowed", "does not exist", "STS: AccessDenied: User: "] {
        assert!(lines[0].contains(words), "{words}: {}", lines[0]);
    }
    assert!(!lines[0].contains("alice"), "the line is about the role: {}", lines[0]);

    world.standin.sts.add_role(RoleSpec { trusts_tag_session: false, ..RoleSpec::new(arn) });
    for user in ["dave", "erin"] {
        assert_eq!(world.status(&world.token(user)).await, 403);
    }
    let lines = diagnosed();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[1].contains("sts:TagSession is not allowed"), "{lines:?}");
}

/// Sessions inherit the transitive tags of the gateway's own session. STS denies a call that sets such a tag again.
#[tokio::test(flavor = "multi_thread")]
async fn inherited_tags_are_kept_and_cannot_be_set() {
    let world = World::start().await;
    world.standin.sts.set_chained(true);
    world.standin.sts.set_inherited_tags(&[("cost-center", "cc-7")]);
    assert_eq!(world.send(post(CONVERSE, &world.token("alice"), HELLO)).await.status, 200);
    let tags = &world.standin.bill.calls()[0].tags;
    assert_eq!((tags["cost-center"].as_str(), tags["team"].as_str()), ("cc-7", "search"));
    world.standin.sts.set_inherited_tags(&[("Team", "gateway")]);
    let answer = world.send(post(CONVERSE, &world.token("bob"), HELLO)).await;
    assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"));
    assert_eq!(world.standin.bill.calls().len(), 1);
}

const NAMES: &str = r#"
[[role]]
when = "claims.team == 'open'"
arn = "arn:aws:iam::123456789012:role/BedrockOpen"

[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
session_names = ["*@acme.org", "svc-*"]
tell = "Ask in #ml-platform."
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_name_that_no_pattern_of_the_role_matches_is_refused_before_sts() {
    let world = World::with(&Setup { roles: NAMES, ..Setup::default() }).await;
    let send = async |email: &str, team: &str| {
        let token = world.mint(World::claims("alice").claim("email", email).claim("team", team));
        world.send(post(CONVERSE, &token, HELLO)).await
    };
    // A replaced name is compared by its original value, so its hash opens no way around the patterns.
    let refused = ["alice@evil.org", "alice@acme.org.evil.org", "Alice@ACME.org", "Zoë@evil.org", "a b"];
    for (index, email) in refused.into_iter().enumerate() {
        let answer = send(email, "search").await;
        assert_eq!((answer.status.as_u16(), answer.kind()), (403, "AccessDeniedException"), "{email}");
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let words = "your role does not allow your session name. Ask in #ml-platform.";
        assert!(body.contains(words), "{body}");
        assert!(!body.contains("acme") && !body.contains("evil"), "the caller must not see patterns: {body}");
        let line = world.logged(index + 1).await;
        assert_eq!((&line["reason"], &line["role_rule"]), (&"session_name_forbidden".into(), &1.into()));
    }
    assert!(world.logged(1).await["detail"].as_str().unwrap().contains("alice@evil.org"));
    assert!(world.logged(4).await["detail"].as_str().unwrap().contains("the original value"));
    assert!(world.standin.sts.calls().is_empty());
    world.assert_untouched();

    for (email, team) in [
        ("alice@acme.org", "search"),
        ("Zoë Müller@acme.org", "search"),
        ("svc-index", "search"),
        ("alice@evil.org", "open"),
    ] {
        assert_eq!(send(email, team).await.status, 200, "{email}");
    }
    let names: Vec<_> = world.standin.sts.calls().into_iter().map(|call| call.session_name).collect();
    assert_eq!(names[0], "alice@acme.org");
    assert!(names[1].starts_with("ZoMller@acme.org=="), "{}", names[1]);
    assert_eq!(names[2..], ["svc-index", "alice@evil.org"]);
}

/// A trust policy with a statement for each action, and permissions for one model.
fn documents(role: &mut RoleSpec) {
    let principal =
        r#""Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/bedrock-gateway"}"#;
    let trust = format!(
        r#"{{"Version":"2012-10-17","Statement":[
        {{{principal},"Action":"sts:AssumeRole","Condition":{{"StringEquals":{{"sts:ExternalId":"from-the-gateway"}},
          "StringLike":{{"sts:RoleSessionName":"*@acme.org"}}}}}},
        {{{principal},"Action":"sts:TagSession","Condition":{{"Null":{{"aws:TagKeys":"false"}},
          "ForAllValues:StringEquals":{{"aws:TagKeys":["team"]}}}}}},
        {{{principal},"Action":"sts:SetSourceIdentity"}}]}}"#
    );
    role.trust = Some(PolicyDocument::trust(&trust).unwrap());
    let permissions = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"bedrock:InvokeModel",
        "Resource":["arn:aws:bedrock:us-east-1:444455556666:inference-profile/us.anthropic.*",
          "arn:aws:bedrock:*::foundation-model/anthropic.*"]}}"#;
    role.permissions = Some(vec![PolicyDocument::identity(permissions).unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_with_documents_admits_the_gateway_and_nothing_else() {
    let standin = Standin::start(Options::default());
    let mut role = RoleSpec::new(ARN);
    documents(&mut role);
    standin.sts.add_role(role);
    let roles = ROLES.replace("policy_arns", "# policy_arns");
    let world = World::before(standin, &Setup { mapping: MAPPING, roles: &roles, ..Setup::default() }).await;
    let send = async |path: &str, token: &str| world.send(post(path, token, HELLO)).await.status.as_u16();
    let alice = world.token("alice");
    assert_eq!(send(CONVERSE, &alice).await, 200);
    assert_eq!(send("/model/amazon.nova-lite-v1%3A0/converse", &alice).await, 403);
    let line = world.logged(2).await;
    assert_eq!(line["reason"], "upstream_error");
    let message = line["upstream_message"].as_str().unwrap();
    assert!(message.contains("because no identity-based policy allows"), "{message}");
    // Without `session_names`, the trust policy is the first to refuse the name. An extra tag key is refused as well.
    let eve = world.mint(World::claims("eve").claim("email", "eve@evil.org"));
    let bob = world.mint(World::claims("bob").claim("office", "berlin"));
    for (count, token) in [(3, eve), (4, bob)] {
        assert_eq!(send(CONVERSE, &token).await, 403);
        assert_eq!(world.logged(count).await["reason"], "sts_denied");
    }
}
