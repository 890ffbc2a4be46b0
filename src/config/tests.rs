use jsonwebtoken::Algorithm;

use super::*;
use crate::auth::issuer::KeySource;

mod limits;
mod meaning;
mod reference;
mod roles;
mod schema;
mod shared_names;

/// The smallest configuration that holds; each test changes one thing.
const GOOD: &str = r#"
[listen]
http = "127.0.0.1:8080"

[aws]
region = "us-east-1"
regions = ["us-west-2"]

[sessions]

[[issuer]]
name = "okta"
url = "https://acme.okta.com"
audiences = ["bedrock-gateway"]

[issuer.session]
name = "claims.sub"

[issuer.session.tags]
team = "claims.department"

[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;

/// The address of callers, and the role, in [`GOOD`].
const HTTP: &str = "http = \"127.0.0.1:8080\"";
const ARN: &str = "arn:aws:iam::123456789012:role/BedrockUser";

fn environment(name: &str) -> Option<String> {
    (name == "ACCOUNT").then(|| "123456789012".to_owned())
}

fn parse(text: &str) -> Result<Config, ConfigError> {
    Config::parse(text, "gateway.toml", &environment)
}

fn with(from: &str, to: &str) -> String {
    assert_eq!(GOOD.matches(from).count(), 1, "{from}");
    GOOD.replace(from, to)
}

/// The text has this one problem: at `place` (its line is found by it), of `key`, saying `words`.
fn fails(text: &str, place: &str, key: &str, words: &str) {
    let problems = parse(text).expect_err(words);
    let line = text.lines().position(|line| line.contains(place)).map(|index| index + 1);
    let errors: Vec<_> = problems.errors().collect();
    let [problem] = errors.as_slice() else { panic!("not one problem: {problems}") };
    assert_eq!((Some(problem.line), problem.key.as_str()), (line, key), "{problem}");
    assert!(problem.message.contains(words), "{problem}");
    assert!(!problem.help.is_empty());
    let shown = problems.to_string();
    assert!(shown.starts_with(&format!("gateway.toml:{}:", problem.line)), "{shown}");
    assert!(
        shown.contains(key) && shown.contains(&problem.message) && shown.ends_with(&problem.help),
        "{shown}"
    );
}

/// The same where `from` of the good configuration is written `to`.
fn refused(from: &str, to: &str, place: &str, key: &str, words: &str) {
    fails(&with(from, to), place, key, words);
}

const ROLE: &str = "[[role]]\n";
const ISSUER: &str = "[[issuer]]\n";

fn role(line: &str, key: &str, words: &str) {
    refused(ROLE, &format!("[[role]]\n{line}\n"), line, key, words);
}

fn sessions(line: &str, key: &str, words: &str) {
    refused("[sessions]", &format!("[sessions]\n{line}"), line, key, words);
}

fn issuer(line: &str, key: &str, words: &str) {
    refused(ISSUER, &format!("[[issuer]]\n{line}\n"), line, key, words);
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.listen.max_body, 32 << 20);
    assert_eq!(config.listen.drain_timeout, Duration::from_mins(1));
    assert_eq!(config.listen.drain_delay, Duration::ZERO);
    assert_eq!((config.listen.https, config.listen.balancers), (None, None));
    assert_eq!(config.mapping.default_duration, Duration::from_hours(1));
    assert_eq!(config.sessions.refresh_before, Duration::from_mins(10));
    assert_eq!(
        (config.sessions.capacity, config.sessions.max_sts_rate, config.sessions.per_name),
        (100_000, 100, 8)
    );
    let issuer = &config.issuers[0];
    assert_eq!(issuer.keys, KeySource::Discovery);
    assert_eq!(issuer.algorithms, [Algorithm::RS256, Algorithm::ES256]);
    assert_eq!(issuer.types, ["jwt", "at+jwt"]);
    assert_eq!((issuer.leeway, issuer.max_token_age), (Duration::from_secs(30), None));
    let role = &config.mapping.roles[0];
    assert!(role.operations.is_none() && role.models.is_none() && role.when.is_none() && !role.shared_names);
    assert_eq!(config.log, LogSettings { format: LogFormat::Auto, file: None, level: "info".into() });
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}

#[test]
fn syntax_and_shape() {
    refused(HTTP, "http = ", "http = ", "", "");
    sessions("capasity = 5", "sessions.capasity", "unknown key \"capasity\" in [sessions]");
    sessions("capacity = \"many\"", "sessions.capacity", "a whole number");
    refused("region = \"us-east-1\"\n", "", "[aws]", "aws.region", "is missing in [aws]");
    let missing = parse(&with("region = \"us-east-1\"\n", "")).unwrap_err().to_string();
    assert!(missing.ends_with("add, for example, region = \"us-east-1\""), "{missing}");
    refused(
        "[aws]\nregion = \"us-east-1\"\nregions = [\"us-west-2\"]\n",
        "",
        "",
        "aws",
        "the table [aws] is missing",
    );
    refused("[sessions]", "[log]\nformat = \"yaml\"", "yaml", "log.format", "one of auto, json, text");
    let typo = "team = { form = \"claims.a\" }";
    refused(
        "team = \"claims.department\"",
        typo,
        "form",
        "issuer[0].session.tags.team.form",
        "unknown key \"form\"",
    );
    let region = "[aws.region_endpoints.us-west-2]\nsts = \"https://x\"\n[sessions]";
    refused("[sessions]", region, "sts =", "aws.region_endpoints.us-west-2.sts", "unknown key \"sts\"");
}

#[test]
fn everything_else_is_reported_at_once_by_line() {
    let text = GOOD.replace("127.0.0.1:8080", "nowhere").replace("\"us-east-1\"", "\"Virginia\"");
    let problems = parse(&text.replace("claims.sub", "clams.sub").replace("role/", "user/")).unwrap_err();
    let keys: Vec<_> = problems.0.iter().map(|problem| problem.key.as_str()).collect();
    assert!(problems.0.is_sorted_by_key(|problem| problem.line));
    for key in ["listen.http", "aws.region", "issuer[0].session.name", "role[0].arn"] {
        assert!(keys.contains(&key), "{key} in {problems}");
    }
    assert_eq!(problems.to_string().lines().count(), problems.0.len());
}

#[test]
fn the_environment_fills_strings_but_not_expressions() {
    let config = parse(&with("123456789012", "${ACCOUNT}")).unwrap();
    assert_eq!(config.mapping.roles[0].arn.account(), "123456789012");
    // In a regular expression `$` is the end.
    let text = with("\"claims.sub\"", "\"claims.email.matches('x$') ? claims.sub : 'unknown'\"");
    parse(&text).unwrap_or_else(|problems| panic!("{problems}"));
    let long = "{ from = [\"claims.sub.matches('x$') ? 'ab' : 'cd'\"], default = \"${ACCOUNT}\" }";
    let config = parse(&with("\"claims.sub\"", long)).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(config.mapping.issuers[0].name.default.as_deref(), Some("123456789012"));
    refused("123456789012", "${NONE}", "NONE", "role[0].arn", "NONE is not set");
    refused("\"bedrock-gateway\"", "\"a$b\"", "a$b", "issuer[0].audiences[0]", "a single `$` has no meaning");
    let message = "[[issuer.require]]\nexpression = \"claims.x\"\nmessage = \"${\"\n[issuer.session]";
    refused(
        "[issuer.session]\n",
        &format!("{message}\n"),
        "message",
        "issuer[0].require[0].message",
        "no `}`",
    );
}

#[test]
fn listen() {
    let also = |line: &str| format!("{HTTP}\n{line}");
    refused(HTTP, "", "[listen]", "listen", "no address for callers");
    refused(HTTP, "http = \"localhost:80\"", "localhost", "listen.http", "\"localhost\" is a name");
    refused(HTTP, "https = \"0.0.0.0:8443\"", "https =", "listen.https", "needs a certificate");
    let tls = also("[listen.tls]\ncert = \"a\"\nkey = \"b\"");
    refused(HTTP, &tls, "[listen.tls]", "listen.tls", "listen.https is not set");
    refused(
        HTTP,
        &also("probe = \"127.0.0.1:8080\""),
        "probe",
        "listen.probe",
        "already the address of listen.http",
    );
    refused(HTTP, &also("admin = \"0.0.0.0:9091\""), "admin", "listen.admin", "no token protects it");
    parse(&with(HTTP, &also("admin = \"0.0.0.0:9091\"\nadmin_token_file = \"t\""))).unwrap();
    parse(&with(HTTP, &also("admin = \"[::1]:9091\""))).unwrap();
    refused(
        HTTP,
        &also("admin_token_file = \"t\""),
        "admin_token",
        "listen.admin_token_file",
        "listen.admin is not set",
    );
    refused(HTTP, &also("max_body = \"32MB\""), "max_body", "listen.max_body", "not a size");
    refused(HTTP, &also("max_body = \"1GiB\""), "max_body", "listen.max_body", "out of bounds");
    refused(HTTP, &also("drain_timeout = \"1 minute\""), "drain", "listen.drain_timeout", "not a duration");
    refused(
        HTTP,
        "https = \"0.0.0.0:1\"\n[listen.tls]\ncert = \"\"\nkey = \"k\"",
        "cert",
        "listen.tls.cert",
        "empty",
    );
}

#[test]
fn balancers() {
    let of = |peers: &str| {
        format!("{HTTP}\n[listen.balancers]\npeers = [{peers}]\nclient_address = \"proxy-protocol\"")
    };
    let config = parse(&with(HTTP, &of("\"10.0.0.0/8\", \"192.0.2.7\", \"fd00::/8\""))).unwrap();
    let balancers = config.listen.balancers.unwrap();
    assert_eq!(
        balancers.peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["10.0.0.0/8", "192.0.2.7/32", "fd00::/8"]
    );
    let key = "listen.balancers.peers[0]";
    refused(HTTP, &of("\"10.0.0.0/33\""), "peers", key, "neither an address nor a network");
    refused(HTTP, &of("\"balancer.internal\""), "peers", key, "neither an address nor a network");
    refused(HTTP, &of("\"::ffff:10.0.0.1\""), "peers", key, "IPv4 written as IPv6");
    refused(HTTP, &of("\"0.0.0.0/0\""), "peers", key, "every client");
    refused(HTTP, &of(""), "[listen.balancers]", "listen.balancers", "no load balancer is trusted");
    assert!(parse(&with(HTTP, &of("\"10.0.0.1\"").replace("-protocol", ""))).is_err());
}

#[test]
fn regions_and_endpoints() {
    let regions = "regions = [\"us-west-2\"]";
    refused("us-east-1", "us-east", "us-east", "aws.region", "not a region");
    refused(regions, "regions = [\"US-WEST-2\"]", "US-WEST", "aws.regions[0]", "not a region");
    refused(regions, "regions = [\"us-east-1\"]", "regions", "aws.regions[0]", "duplicate");
    refused(regions, "regions = [\"cn-north-1\"]", "cn-north", "aws.regions[0]", "partition aws-cn");
    for region in ["us-gov-west-1", "eusc-de-east-1", "mx-central-1"] {
        let text = GOOD.replace("us-east-1", region).replace(regions, "");
        let partition =
            parse(&text).map_or_else(|problems| problems.to_string(), |config| config.aws.partition().into());
        assert!(
            partition == "aws" || partition.contains("in AWS's main partition (arn:aws), but the region"),
            "{partition}"
        );
    }
    let endpoints = |line: &str| format!("[aws.endpoints]\n{line}\n[sessions]");
    parse(&with("[sessions]", &endpoints("sts = \"http://10.0.0.1:9000\""))).unwrap();
    for url in
        ["sts.internal", "ftp://x", "https://x/path", "https://u:hunter2@x", "https://x?q", "https://x#f"]
    {
        let line = format!("bedrock_runtime = \"{url}\"");
        refused("[sessions]", &endpoints(&line), url, "aws.endpoints.bedrock_runtime", "an endpoint");
        assert!(!parse(&with("[sessions]", &endpoints(&line))).unwrap_err().to_string().contains("hunter2"));
    }
    let other = "[aws.region_endpoints.eu-west-1]\nbedrock = \"https://x\"\n[sessions]";
    refused("[sessions]", other, "eu-west-1", "aws.region_endpoints.eu-west-1", "not in aws.regions");
}

#[test]
fn sessions_and_log() {
    for out in ["14m", "12h1s"] {
        sessions(&format!("duration = \"{out}\""), "sessions.duration", " is too ");
    }
    sessions("refresh_before = \"2h\"", "sessions.refresh_before", "2h is too long: the most is ");
    for key in ["capacity", "max_sts_rate", "per_name"] {
        sessions(&format!("{key} = 0"), &format!("sessions.{key}"), "it is 0");
    }
    refused("[sessions]", "[log]\nlevel = \"inof\"", "level", "log.level", "is not a log level");
}

#[test]
fn issuers() {
    refused("name = \"okta\"", "name = \"ok ta\"", "ok ta", "issuer[0].name", "cannot name an issuer");
    refused(
        "audiences = [\"bedrock-gateway\"]",
        "audiences = []",
        "audiences",
        "issuer[0].audiences",
        "empty",
    );
    refused("\"bedrock-gateway\"", "\"\"", "audiences", "issuer[0].audiences[0]", "empty string");
    refused("https://acme.okta.com", "http://acme.okta.com", "http://acme", "issuer[0].url", "must be https");
    refused("https://acme.okta.com", "acme", "\"acme\"", "issuer[0].url", "not a URL");
    parse(&with("https://acme.okta.com", "http://127.0.0.1:1")).unwrap();
    issuer("jwks_url = \"https://169.254.169.254/x\"", "issuer[0].jwks_url", "link-local");
    issuer("algorithms = [\"HS256\"]", "issuer[0].algorithms[0]", "signs with a secret");
    issuer("algorithms = [\"none\"]", "issuer[0].algorithms[0]", "not a supported algorithm");
    issuer("algorithms = []", "issuer[0].algorithms", "empty");
    issuer("types = []", "issuer[0].types", "empty");
    issuer("audience_claim = \"\"", "issuer[0].audience_claim", "names no claim");
    issuer("leeway = \"10m\"", "issuer[0].leeway", "10m is too long: the most is 5m");
    issuer("max_token_age = \"0s\"", "issuer[0].max_token_age", "0s is too short: the least is 1s");
    issuer("jwks_file = \"\"", "issuer[0].jwks_file", "empty");
    let both = "jwks_file = \"f\"\njwks_url = \"https://x\"";
    refused(ISSUER, &format!("{ISSUER}{both}\n"), "jwks_file", "issuer[0].jwks_file", "as well as");
    let pointless = "jwks_file = \"f\"\nca = \"g\"";
    refused(ISSUER, &format!("{ISSUER}{pointless}\n"), "ca =", "issuer[0].ca", "need no CA");
    for header in
        ["Authorization", "x-api-key", "X-Amz-Security-Token", "cookie", "x-forwarded-for", "Forwarded"]
    {
        issuer(
            &format!("request_headers = [\"{header}\"]"),
            "issuer[0].request_headers[0]",
            "carries credentials",
        );
    }
    issuer("request_headers = [\"a b\"]", "issuer[0].request_headers[0]", "not a header name");
    issuer("request_headers = [\"x-a\", \"X-A\"]", "issuer[0].request_headers[1]", "duplicate");
    let require = "[[issuer.require]]\nexpression = \"nonsense(\"\nmessage = \"m\"\n[issuer.session]\n";
    refused("[issuer.session]\n", require, "nonsense", "issuer[0].require[0].expression", "");
    let none = GOOD.split("[[issuer]]").next().unwrap();
    let none = format!("{none}[[role]]\narn = \"{ARN}\"\n");
    fails(&none, "", "issuer", "there is no issuer");
    fails(GOOD.split("[[role]]").next().unwrap(), "", "role", "there is no role");
}

const SECOND: &str = "[[issuer]]\nname = \"entra\"\nurl = \"https://login.example\"\naudiences = [\"a\"]\nsession = { name = \"claims.sub\" }\n";

#[test]
fn several_issuers() {
    let two = |second: &str, role: &str| with(ROLE, &format!("{second}[[role]]\n{role}\n"));
    let marked = SECOND.replace("claims.sub", "issuer.name + '=' + claims.sub");
    let both = "issuers = [\"okta\", \"entra\"]";
    fails(&two(SECOND, "shared_names = true"), "[[role]]", "role[0].issuers", "more than one issuer");
    fails(&two(SECOND, "issuers = []"), "issuers = []", "role[0].issuers", "matches no caller");
    fails(&two(SECOND, "issuers = [\"oktaa\"]"), "oktaa", "role[0].issuers[0]", "no issuer is named");
    fails(&two(SECOND, both), "arn", "role[0].arn", "do not contain the issuer");
    fails(&two(&marked, both), "arn", "role[0].arn", "names of okta do not contain");
    parse(&two(SECOND, &format!("{both}\nshared_names = true"))).unwrap();
    parse(&two(SECOND, "issuers = [\"okta\"]")).unwrap();
    parse(&two(&marked, both).replace("\"claims.sub\"", "\"issuer.name + '=' + claims.sub\"")).unwrap();
    // Two rules that lead to one role are the same as one.
    let apart = format!("{}[[role]]\nissuers = [\"entra\"]\n", two(SECOND, "issuers = [\"okta\"]"));
    let same = format!("{apart}arn =  \"{ARN}\"\n");
    fails(&same, "arn =  ", "role[1].arn", "do not contain the issuer");
    parse(&format!("{apart}arn = \"arn:aws:iam::123456789012:role/Other\"\n")).unwrap();
}

#[test]
fn two_issuers_cannot_have_one_name_or_url() {
    for (from, to, key) in [
        ("https://login.example", "https://acme.okta.com", "issuer[1].url"),
        ("entra", "okta", "issuer[1].name"),
    ] {
        let twin = SECOND.replace(from, to);
        let text = with(ROLE, &format!("{twin}[[role]]\nissuers = [\"okta\"]\nshared_names = true\n"));
        let problems = parse(&text).unwrap_err();
        assert_eq!(problems.0.len(), 1, "{problems}");
        assert_eq!(problems.0[0].key, key, "{problems}");
    }
}

#[test]
fn issuers_that_serve_the_whole_world_need_their_owner_pinned() {
    let required = |expression: &str| {
        format!("[[issuer.require]]\nexpression = \"{expression}\"\nmessage = \"m\"\n[issuer.session]\n")
    };
    for (url, claim) in [
        ("https://token.actions.githubusercontent.com", "repository_owner_id"),
        ("https://gitlab.com", "namespace_id"),
        ("https://accounts.google.com", "hd"),
        ("https://login.microsoftonline.com/common/v2.0", "tid"),
        ("https://login.microsoftonline.com/organizations/v2.0", "tid"),
    ] {
        let text = with("https://acme.okta.com", url);
        fails(&text, url, "issuer[0].url", "no requirement pins their owner");
        let with = |expression: &str| text.replace("[issuer.session]\n", &required(expression));
        for pins in [
            format!("claims.{claim} == '4711'"),
            format!("claims.{claim} in ['4711', '4712']"),
            format!("claims.email_verified && claims['{claim}'] == '4711'"),
        ] {
            parse(&with(&pins)).unwrap_or_else(|problems| panic!("{problems}"));
        }
        for vain in [
            format!("has(claims.{claim})"),
            format!("claims.{claim} != ''"),
            format!("claims.email_verified && has(claims.{claim})"),
            "claims.email_verified == true".to_owned(),
            format!("claims.{claim} == claims.{claim}"),
        ] {
            fails(&with(&vain), url, "issuer[0].url", "no requirement pins their owner");
        }
    }
    parse(&with("https://acme.okta.com", "https://token.actions.githubusercontent.com/acme")).unwrap();
    parse(&with("https://acme.okta.com", "https://login.microsoftonline.com/0f3c/v2.0")).unwrap();
}

#[test]
fn mapped_values() {
    refused("\"claims.sub\"", "\"clams.sub\"", "clams", "issuer[0].session.name", "no `clams`");
    refused("\"claims.sub\"", "5", "name = 5", "issuer[0].session.name", "the number 5");
    let entry = "[issuer.session]\nname = ";
    for (value, key, words) in [
        ("{ required = false }", "", "neither from nor value"),
        ("{ from = \"claims.a\", value = \"ab\" }", ".value", "never be used"),
        ("{ value = \"ab\", default = \"cd\" }", ".value", "never be used"),
        ("{ from = [] }", ".from", "contains no expression"),
        ("{ from = [\"claims.a\", \"clams.b\"] }", ".from[1]", "no `clams`"),
        ("{ from = \"claims.a\", default = \"a b\" }", ".default", "does not accept"),
        ("{ from = \"claims.a\", on_invalid = \"drop\" }", ".on_invalid", "one of replace, reject"),
    ] {
        let text = with("[issuer.session]\nname = \"claims.sub\"", &format!("{entry}{value}"));
        fails(&text, value, &format!("issuer[0].session.name{key}"), words);
    }
    let tag =
        |line: &str, key: &str, words: &str| refused("team = \"claims.department\"", line, line, key, words);
    tag("team = { value = \"a,b\" }", "issuer[0].session.tags.team.value", "does not accept");
    tag("\"a,b\" = \"claims.a\"", "issuer[0].session.tags.\"a,b\"", "cannot be a tag key");
    tag("\"aws:x\" = \"claims.a\"", "issuer[0].session.tags.\"aws:x\"", "cannot be a tag key");
    let twice = "Team = \"claims.a\"\nteam = \"claims.b\"";
    refused(
        "team = \"claims.department\"",
        twice,
        "team = ",
        "issuer[0].session.tags.team",
        "only in upper and lower case",
    );
    let many = (10..61).map(|n| format!("t{n} = \"claims.a\"")).collect::<Vec<_>>().join("\n");
    refused("team = \"claims.department\"", &many, "t60", "issuer[0].session.tags.t60", "there are 51 tags");
}

#[test]
fn probable_mistakes_are_warned_of() {
    let warned = |text: &str| -> Vec<String> {
        let config = parse(text).unwrap_or_else(|problems| panic!("{problems}"));
        config.warnings.iter().map(|warning| format!("{} {}", warning.key, warning.message)).collect()
    };
    for claim in ["jti", "iat", "nonce"] {
        let warnings = warned(&with("claims.sub", &format!("claims.sub + string(claims.{claim})")));
        assert_eq!(warnings.len(), 1);
        assert!(
            warnings[0].starts_with("issuer[0].session.name") && warnings[0].contains(claim),
            "{warnings:?}"
        );
    }
    assert!(warned(&with("claims.sub", "claims.email"))[0].contains("email_verified"));
    assert!(warned(&with("claims.sub", "claims.preferred_username"))[0].contains("preferred_username"));
    let later = "[[role]]\narn = \"arn:aws:iam::123456789012:role/Later\"\n[[role]]\n";
    assert!(warned(&with(ROLE, later))[0].starts_with("role[1].arn this role is never reached"));
}

#[test]
fn a_missing_file_is_reported_with_its_path() {
    let problems = load(Path::new("/no/such/gateway.toml")).unwrap_err().to_string();
    assert!(
        problems
            .starts_with("/no/such/gateway.toml:1:1: the configuration file cannot be read: no such file;"),
        "{problems}"
    );
}
