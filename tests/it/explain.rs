//! The command `explain`: with a real issuer, and compared with serving the same token.

use std::path::{Path, PathBuf};

use bedrock_bed::{Bed, Setup};
use bedrock_gateway::auth::{Authenticator, CacheLimits};
use bedrock_gateway::config::{self, Config};
use bedrock_gateway::identity::IdentityMemo;
use bedrock_gateway::telemetry::metrics::Metrics;
use bedrock_standin::idp::{Claims, DocumentFault};
use http::HeaderMap;
use serde_json::{Value, json};

use crate::process::{Ended, run};

const MAPPING: &str = r#"
request_headers = ["x-project"]
[[issuer.require]]
expression = "claims.email_verified"
message = "the address is not verified"
[issuer.session]
name = "claims.email"
source_identity = "claims.sub"
[issuer.session.tags]
team = "claims.team"
project = { from = "request.headers['x-project']", required = false }
[[role]]
when = "'ml' in claims.groups"
arn = "arn:aws:iam::123456789012:role/BedrockMl"
[[role]]
arn = "arn:aws:iam::123456789012:role/deep/BedrockUser"
models = ["*claude*"]
operations = ["converse"]
"#;

/// An issuer, a configuration that trusts it, and a folder for tokens.
struct Desk {
    bed: Bed,
    config: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let bed = Bed::start();
        let config = bed.write(&Setup { mapping: MAPPING, roles: "", ..Setup::default() });
        Self { bed, config }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.bed.folder().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn explain(&self, arguments: &[&str]) -> Ended {
        let all = [&["explain", "--config", self.config.to_str().unwrap()], arguments].concat();
        let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || run(&all, "")).await.unwrap()
    }

    async fn explain_piped(&self, token: &str) -> Ended {
        let config = self.config.to_str().unwrap().to_owned();
        let token = token.to_owned();
        let run = move || run(&["explain", "--config", &config, "--token-file", "-"], &token);
        tokio::task::spawn_blocking(run).await.unwrap()
    }

    async fn explain_token(&self, token: &str, more: &[&str]) -> Ended {
        let file = self.write("token", &format!(" {token}\n"));
        let ended = self.explain(&[&["--token-file", &file], more].concat()).await;
        let signature = token.rsplit('.').next().unwrap();
        assert!(!ended.out.contains(signature) && !ended.err.contains(signature), "a token was printed");
        ended
    }
}

fn alice() -> Claims {
    let claims = Claims::of("auth0|7").claim("email", "alice@acme.org").claim("email_verified", true);
    claims.claim("team", "R&D").claim("groups", json!(["users"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_explanation_of_a_valid_token_equals_serving() {
    let desk = Desk::new();
    let token = desk.bed.standin.idp.mint(alice());
    let text = desk.explain_token(&token, &["--header", "X-Project=apollo"]).await;
    assert_eq!(text.code, Some(0), "{}{}", text.out, text.err);
    for part in [
        "verified: signature and claims are valid",
        "met: claims.email_verified",
        "does not match: 'ml' in claims.groups",
        "changed: contains characters AWS does not allow; original \"R&D\"",
        "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org",
        "iamPrincipal/project      apollo",
        "Accepted",
    ] {
        assert!(text.out.contains(part), "{part} is not in\n{}", text.out);
    }
    let piped = desk.explain_piped(&token).await;
    assert!(piped.out.contains("Accepted"), "{}", piped.err);
    assert!(!text.out.contains('\u{1b}'), "colour where there is no terminal");

    let printed = desk.explain_token(&token, &["--json", "--header", "x-project=apollo"]).await;
    let explained: Value = serde_json::from_str(&printed.out).unwrap();
    let config = config::load(&desk.config).unwrap();
    let auth: Authenticator<IdentityMemo> =
        Authenticator::new(config.issuers, CacheLimits::default(), Metrics::new()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
    headers.insert("x-project", "apollo".parse().unwrap());
    let caller = auth.verify(&headers).await.unwrap();
    let identified = config.mapping.resolve(&caller, &headers).unwrap();
    let identity = identified.identity();
    let tags: serde_json::Map<_, _> = identity
        .session()
        .tags()
        .iter()
        .map(|(key, value)| (key.as_str().to_owned(), value.as_str().into()))
        .collect();
    assert_eq!(explained["token"], "verified");
    assert_eq!(explained["issuer"], "acme");
    assert_eq!(explained["subject"], "auth0|7");
    assert_eq!(explained["role_rule"], identity.rule());
    assert_eq!(explained["principal"], **identity.principal());
    assert_eq!(explained["report"]["line_item_iam_principal"], **identity.principal());
    assert_eq!(explained["tags"], Value::Object(tags));
    assert_eq!(explained["source_identity"], identity.session().source_identity().unwrap());
    assert_eq!(explained["replaced"], json!({ "source_identity": "auth0|7", "team": "R&D" }));
    assert_eq!(explained["operations"], json!(["converse"]));
    assert_eq!(explained["reason"], "ok");
    assert_eq!(desk.bed.standin.sts.calls().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_exact_fault_of_a_rejected_token_is_shown() {
    let desk = Desk::new();
    let idp = &desk.bed.standin.idp;
    let hour = std::time::Duration::from_secs(3600);
    let good = idp.mint(alice());
    let (signed, _) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", idp.mint(alice()).rsplit('.').next().unwrap());
    for (token, reason, words) in [
        (idp.mint(alice().expired_for(hour)), "token_expired", "`exp` is 20"),
        (
            idp.mint(alice().audience("other")),
            "token_audience",
            "\"other\"; audiences is [\"bedrock-gateway\"]",
        ),
        (idp.mint(alice().issuer("https://evil.example")), "token_issuer", "https://evil.example"),
        (idp.mint(alice().good_in(hour)), "token_not_yet_valid", "`nbf` is"),
        (idp.mint(alice().typ(Some("id+jwt"))), "token_type", "\"id+jwt\""),
        (idp.mint(alice().header("kid", "gone")), "token_key_unknown", "\"gone\""),
        (idp.mint(alice().without("exp")), "token_claims", "`exp` is missing"),
        (forged, "token_signature", "not made with the issuer's signing key"),
        ("sk-123".to_owned(), "token_malformed", "not a JWT"),
        (format!("a.b.{}", "c".repeat(40_000)), "token_oversized", "32 KiB"),
    ] {
        let text = desk.explain_token(&token, &[]).await;
        assert_eq!(text.code, Some(1), "{}{}", text.out, text.err);
        assert!(text.out.contains(words) && text.out.contains(reason), "{words} is not in\n{}", text.out);
        let printed = desk.explain_token(&token, &["--json"]).await;
        let explained: Value = serde_json::from_str(&printed.out).unwrap();
        assert_eq!(explained["reason"], reason);
        assert_eq!(explained["token"], "rejected");
        assert_eq!(explained.get("principal"), None);
    }
    idp.jwks_faults().always(DocumentFault::Status(503));
    let text = desk.explain_token(&good, &[]).await;
    assert!(text.out.contains("cannot fetch the signing keys") && text.out.contains("503"), "{}", text.out);
    assert!(text.out.contains("keys_unavailable"), "{}", text.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_is_shown_for_refused_claims() {
    let desk = Desk::new();
    let claims = desk.write("claims", r#"{ "email": "a@b.c", "groups": ["ml"], "sub": "\u001b[31m" }"#);
    let text = desk.explain(&["--claims", &claims, "--issuer", "acme", "--header", "x-other=1"]).await;
    assert_eq!(text.code, Some(1));
    for part in [
        "from file, signature not checked",
        "claim `email_verified` is missing (the address is not verified)",
        "matches: 'ml' in claims.groups",
        "the value of team is missing",
        "left out",
        "x-other is not in request_headers of acme",
        "`aud` is missing; audiences is [\"bedrock-gateway\"]",
        "Refused: requirement_failed",
    ] {
        assert!(text.out.contains(part), "{part} is not in\n{}", text.out);
    }
    assert!(!text.out.contains("iamPrincipal") && !text.out.contains('\u{1b}'), "{}", text.out);
    let printed = desk.explain(&["--claims", &claims, "--issuer", "acme", "--json"]).await;
    let explained: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!(
        (&explained["token"], &explained["reason"]),
        (&json!("not_checked"), &json!("requirement_failed"))
    );
    assert_eq!(explained["requirements"][0]["outcome"], "missing");
    assert_eq!(explained["roles"][0]["outcome"], "matches");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_a_string_is_explained_with_the_next_step() {
    let desk = Desk::new();
    let claims = desk.write("claims", r#"{ "email": 123, "email_verified": true, "sub": "7", "team": 7 }"#);
    let text = desk.explain(&["--claims", &claims, "--issuer", "acme"]).await;
    assert_eq!(text.code, Some(1));
    let remedy = "the value of name is a number, not a string; convert it, for example string(claims.uid)";
    let refused = format!("Refused: value_invalid ({remedy})");
    for part in [remedy, &refused, "tag team                  7"] {
        assert!(text.out.contains(part), "{part} is not in\n{}", text.out);
    }
    let printed = desk.explain(&["--claims", &claims, "--issuer", "acme", "--json"]).await;
    let explained: Value = serde_json::from_str(&printed.out).unwrap();
    assert_eq!((&explained["reason"], &explained["detail"]), (&json!("value_invalid"), &json!(remedy)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_command_line_is_rejected() {
    let desk = Desk::new();
    let claims = desk.write("claims", "{}");
    let list = desk.write("list", "[]");
    for (arguments, words) in [
        (vec![], "--token-file"),
        (vec!["--token-file", "a", "--claims", "b", "--issuer", "acme"], "cannot be used with"),
        (vec!["--claims", &claims], "--issuer"),
        (
            vec!["--claims", &claims, "--issuer", "acne"],
            "no issuer is named acne; the configured issuers are: acme",
        ),
        (vec!["--claims", &list, "--issuer", "acme"], "not a JSON object"),
        (vec!["--claims", "/nonexistent", "--issuer", "acme"], "/nonexistent cannot be read"),
        (vec!["--claims", &claims, "--issuer", "acme", "--header", "x"], "name=value"),
    ] {
        let ended = desk.explain(&arguments).await;
        assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
        assert!(ended.err.contains(words), "{words} is not in\n{}", ended.err);
    }
    let ended = run(&["explain", "--config", "/nonexistent.toml", "--token-file", "-"], "");
    assert_eq!(ended.code, Some(1), "{}", ended.err);
}

/// Every starting point in `config/issuers` loads, accepts the tokens that it shows, and maps them as its expected
/// explanation says. `UPDATE_EXPECTED=1 cargo test --test it explain` writes the expected explanations again.
#[test]
fn the_starting_points_have_the_expected_explanations() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/issuers");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.strip_suffix(".toml").map(str::to_owned))
        .collect();
    names.sort();
    let all =
        ["aws", "cognito", "entra", "github-actions", "google", "keycloak", "kubernetes", "oidc", "okta"];
    assert_eq!(names, all);
    for name in names {
        let path = |end: &str| folder.join(format!("{name}.{end}"));
        let text = std::fs::read_to_string(path("toml")).unwrap();
        let config = Config::parse(&text, &name, &|_| None).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
        let [issuer] = config.issuers.as_slice() else { panic!("{name} has one issuer") };
        assert_eq!(*issuer.name, *name);
        let claims: Value =
            serde_json::from_str(&std::fs::read_to_string(path("claims.json")).unwrap()).unwrap();
        assert_eq!(claims["iss"], issuer.url, "{name}");
        let audience = &claims[issuer.audience_claim.as_deref().unwrap_or("aud")];
        let accepted = |value: &Value| issuer.audiences.iter().any(|audience| value == audience);
        let audiences = audience.as_array().map_or_else(|| std::slice::from_ref(audience), Vec::as_slice);
        assert!(audiences.iter().any(accepted), "{name}: {audience}");

        let (config, claims) = (path("toml"), path("claims.json"));
        let (config, claims) = (config.to_str().unwrap(), claims.to_str().unwrap());
        let ended = run(&["explain", "--config", config, "--claims", claims, "--issuer", &name], "");
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(path("explain.txt"), &ended.out).unwrap();
        }
        let expected = std::fs::read_to_string(path("explain.txt")).unwrap_or_default();
        let remedy = "if the change is intended, run UPDATE_EXPECTED=1 cargo test --test it explain";
        assert_eq!(ended.out, expected, "{name}.explain.txt differs from the output; {remedy}");
    }
}
