use proptest::prelude::*;
use serde_json::json;

use cel::Value;

use super::*;

mod claims;
mod numbers;
mod steps;

fn input<'a>(
    claims: &'a serde_json::Value,
    headers: &[(&'a str, &'a str)],
    expressions: &[&'a Expression],
) -> Result<Input<'a>, ClaimsTooLarge> {
    Input::new(claims.as_object().unwrap(), "acme", headers.iter().copied(), expressions.iter().copied())
}

fn evaluate(source: &str, claims: &serde_json::Value) -> Result<Outcome, EvaluationError> {
    match Expression::compile(source, &["x-project".to_owned()]) {
        Ok(expression) => {
            expression.evaluate(&input(claims, &[("x-project", "apollo")], &[&expression]).unwrap())
        }
        Err(error) => panic!("{source}: {error}"),
    }
}

fn text(source: &str, claims: &serde_json::Value) -> String {
    match evaluate(source, claims) {
        Ok(Outcome::Value(Value::String(text))) => text.to_string(),
        other => panic!("{source}: {other:?}"),
    }
}

fn truth(source: &str, claims: &serde_json::Value) -> Result<Option<bool>, EvaluationError> {
    let expression = Expression::compile(source, &[]).unwrap();
    expression.truth(&input(claims, &[], &[&expression]).unwrap())
}

fn refusal(source: &str) -> ExpressionError {
    Expression::compile(source, &["x-project".to_owned()]).unwrap_err()
}

#[test]
fn typical_expressions_work() {
    let claims = json!({
        "email": "Alice@Acme.org", "groups": ["dev", "cc-42"], "projects": ["apollo"], "n": 7,
        "https://acme/x": { "team": "search" },
    });
    assert_eq!(text("claims.groups.filter(g, g.startsWith('cc-'))[0]", &claims), "cc-42");
    assert_eq!(text("claims['https://acme/x'].team", &claims), "search");
    assert_eq!(text("claims.email.lowerAscii()", &claims), "alice@acme.org");
    assert_eq!(text("claims.groups.join('+')", &claims), "dev+cc-42");
    assert_eq!(text("claims.email.split('@')[1]", &claims), "Acme.org");
    assert_eq!(text("claims.email.replace('@' + 'Acme.org', '')", &claims), "Alice");
    assert_eq!(text("claims.email.extract('^([^@]+)@')", &claims), "Alice");
    assert_eq!(text("claims.email.extract('@.*$')", &claims), "@Acme.org");
    assert_eq!(text("{'dev': 'r-and-d'}[claims.groups[0]]", &claims), "r-and-d");
    assert_eq!(text("issuer.name + '/' + string(claims.n)", &claims), "acme/7");
    let project = "request.headers['x-project'] in claims.projects ? request.headers['x-project'] : null";
    assert_eq!(text(project, &claims), "apollo");
    for holds in [
        "'dev' in claims.groups",
        "claims.email.matches('^[A-Z]')",
        "has(claims.email) && !has(claims.department)",
        "claims.groups.exists(g, g.matches('^cc-[0-9]+$'))",
        "claims.groups.all(g, g.size() > 2)",
        "claims.n > 6 && claims.n < 8 && claims.n + 1 == 8 && claims.n < 7.5",
    ] {
        assert_eq!(truth(holds, &claims), Ok(Some(true)), "{holds}");
    }
}

#[test]
fn every_function_can_be_called() {
    let claims = json!({ "t": "abcb", "l": ["a"], "n": 7 });
    for call in [
        "bool('true')",
        "bytes(claims.t) == b'abcb'",
        "double(claims.n)",
        "dyn(claims.n)",
        "int('7')",
        "size(claims.l)",
        "string(claims.n)",
        "type(claims.n) == type(7)",
        "uint(7)",
        "claims.t.charAt(0)",
        "claims.t.contains('a')",
        "claims.t.endsWith('b')",
        "claims.t.extract('b')",
        "claims.t.indexOf('b')",
        "claims.t.indexOf('b', 2)",
        "claims.l.join()",
        "claims.l.join(',')",
        "claims.t.lastIndexOf('b')",
        "claims.t.lastIndexOf('b', 2)",
        "claims.t.lowerAscii()",
        "claims.t.matches('b')",
        "claims.t.replace('b', 'c')",
        "claims.t.replace('b', 'c', 1)",
        "claims.t.reverse()",
        "claims.t.size()",
        "claims.l.size()",
        "claims.t.split('b')",
        "claims.t.startsWith('a')",
        "claims.t.substring(1)",
        "claims.t.substring(1, 2)",
        "claims.t.trim()",
        "claims.t.upperAscii()",
        "claims.l.exists_one(x, x == 'a')",
        "claims.l.map(x, x != 'b', x + x)",
        "-claims.n % 2 == -1 || 1 - 2 / 3 * 4 >= 5 || 1 <= 0",
    ] {
        assert!(
            matches!(evaluate(call, &claims), Ok(Outcome::Value(_))),
            "{call}: {:?}",
            evaluate(call, &claims)
        );
    }
}

#[test]
fn a_missing_value_and_an_error_are_distinguished() {
    let claims = json!({ "groups": [], "n": 7, "email": "a@b.c", "items": [{}, { "kind": 7 }] });
    for missing in [
        "claims.department",
        "claims.groups[0]",
        "claims.a.b",
        "null",
        "claims.groups.filter(g, g == 'x')[0]",
        "claims.email.extract('^x')",
        "claims.level > 3 ? 'high' : 'low'",
    ] {
        assert_eq!(evaluate(missing, &claims), Ok(Outcome::Missing), "{missing}");
    }
    for error in [
        "claims.n.startsWith('x')",
        "claims.n / 0",
        "claims.n + 'x'",
        "claims.email.domain",
        "claims.email[0]",
        "claims.groups['x']",
        "claims.groups[-1]",
        "claims.n.exists(x, true)",
        "claims.email.split('')",
    ] {
        assert!(evaluate(error, &claims).is_err(), "{error}: {:?}", evaluate(error, &claims));
    }
}

#[test]
fn an_error_takes_precedence_over_a_missing_value() {
    let claims = json!({ "n": 7, "items": [{ "kind": 7 }, {}], "ok": true });
    for wrong in [
        "claims.n.startsWith('x') || claims.gone == 'y'",
        "claims.gone == 'y' || claims.n.startsWith('x')",
        "claims.n.startsWith('x') && claims.gone == 'y'",
        "claims.items.exists(i, i.kind.startsWith('a'))",
        "claims.items.all(i, i.kind.startsWith('a'))",
        "!(claims.n.startsWith('x') || claims.gone == 'y')",
        "claims.ok || claims.n ? claims.n || claims.gone : false",
        "claims.gone || claims.n",
        "claims.items.filter(i, i.kind.startsWith('a') || i.gone == 'x').size() > 0",
        "claims.items.filter(i, i.gone == 'x' && i.kind.startsWith('a')).size() > 0",
        "claims.items.map(i, i.gone == 'y' || i.kind.startsWith('x'))[0]",
        "string(claims.gone == 'y' || claims.n.startsWith('x')) == 'true'",
        "(claims.n.startsWith('x') || claims.gone == 'y') == true",
        "[claims.gone == 'y' || claims.n.startsWith('x')][0]",
        "{'a': claims.gone == 'y' || claims.n.startsWith('x')}['a']",
        "claims.items.filter(i, claims.items.exists(j, j.kind.startsWith('a')))[0].kind == 7",
        "claims.gone + claims.n.x == 'y'",
        "claims.gone == claims.n.x",
        "claims.gone in [claims.n.startsWith('x')]",
        "claims.gone.startsWith(claims.n.lowerAscii())",
        "claims.gone[claims.n.x]",
        "claims.items[claims.gone + claims.n.x].kind == 7",
        "[claims.gone, claims.n.x].size() == 2",
        "{claims.gone: claims.n.x}.size() == 1",
        "{'a': claims.gone, 'b': claims.n.x}.size() == 2",
        "(claims.ok ? claims.gone : claims.n) + claims.n.x == 'y'",
        "(claims.gone || claims.gone) == claims.n.x",
        "[claims.gone, claims.items.map(i, i.kind + 'x')].size() == 2",
        "claims.items.map(i, i.gone + i.kind.x).size() == 2",
        "[{}, claims.items[0]].map(i, i.kind + 'x').size() == 2",
        "[{}, claims.items[0]].filter(i, i.kind.startsWith('x')).size() == 2",
        "claims.items.exists_one(i, i.gone == 'y' || i.kind.startsWith('a'))",
        "claims.items.exists_one(i, i.kind)",
        "claims.n.exists_one(i, i == 7 || i == 8)",
    ] {
        assert!(truth(wrong, &claims).is_err(), "{wrong}: {:?}", truth(wrong, &claims));
    }
    for missing in [
        "claims.gone || false",
        "claims.gone && claims.ok",
        "!claims.gone",
        "claims.gone.exists(x, x)",
        "claims.gone.exists_one(x, x || x)",
        "claims.items.exists_one(i, i.kind == 7 || i.kind == 8)",
    ] {
        assert_eq!(truth(missing, &claims), Ok(None), "{missing}");
    }
    for missing in [
        "claims.gone + claims.lost == 'y'",
        "(claims.ok ? claims.gone : claims.n.x) == 'y'",
        "[claims.gone, claims.n].size() == 2",
        "claims.items.map(i, i.kind + 1)[0] == 8",
        "has(claims.gone.more)",
    ] {
        assert_eq!(truth(missing, &claims), Ok(None), "{missing}");
    }
    assert_eq!(truth("claims.gone || claims.ok", &claims), Ok(Some(true)));
    for holds in [
        "claims.items.filter(i, has(i.kind) && i.kind == 7).size() == 1",
        "claims.items.map(i, has(i.kind) && i.kind == 7) == [true, false]",
        "claims.items.map(i, has(i.kind) || claims.ok, size(i))[1] == 0",
        "string(claims.gone || claims.ok) == 'true'",
        "[claims.ok && claims.ok, !claims.ok][0]",
        "{'a': claims.ok || claims.gone}.a",
        "{'a': 1}.filter(k, k == 'a' || k == 'b') == ['a']",
        "(claims.ok && claims.ok ? claims.items : []).size() == 2",
        "claims.items.exists_one(i, has(i.kind) && i.kind == 7)",
        "claims.items.existsOne(i, has(i.kind) && i.kind == 7) == true",
        "!claims.items.exists_one(i, has(i.kind) || claims.ok)",
        "!claims.items.exists_one(i, i == 7)",
        "![].exists_one(i, i || i)",
    ] {
        assert_eq!(truth(holds, &claims), Ok(Some(true)), "{holds}");
    }
    assert_eq!(truth("claims.items.filter(i, i.kind == 7 || i.gone)[0].kind == 7", &claims), Ok(None));
    assert_eq!(truth("claims.gone && !claims.ok", &claims), Ok(Some(false)));
    assert_eq!(truth("[].exists(x, x)", &claims), Ok(Some(false)));
    assert_eq!(truth("[].all(x, x)", &claims), Ok(Some(true)));
}

#[test]
fn errors_contain_no_claims() {
    let claims = json!({ "secret": "hunter2", "n": { "hunter2": ["hunter2"] } });
    for wrong in [
        "claims.n + claims.secret",
        "int(claims.secret)",
        "claims.n.hunter2[claims.secret]",
        "-claims.secret",
    ] {
        let error = evaluate(wrong, &claims).unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{wrong}: {error}");
    }
}

#[test]
fn errors_that_every_request_would_hit_are_found_at_load() {
    assert!(matches!(refusal("claims."), ExpressionError::Syntax(_)));
    assert!(matches!(refusal("claims.?email"), ExpressionError::Syntax(_)));
    assert!(matches!(refusal("claim.email"), ExpressionError::UnknownName(_)));
    assert!(matches!(refusal("Claims{}"), ExpressionError::UnknownName(_)));
    for function in [
        "claims.email.toLower()",
        "max(1, 2)",
        "strictly(1)",
        "_(1)",
        "strings.quote('x')",
        "optional.none()",
        "claims.a.format([])",
    ] {
        assert!(matches!(refusal(function), ExpressionError::UnknownFunction(_)), "{function}");
    }
    for call in [
        "lowerAscii(claims.a)",
        "claims.a.lowerAscii(1)",
        "claims.a.string()",
        "matches(claims.a, 'x')",
        "int()",
    ] {
        assert!(matches!(refusal(call), ExpressionError::WrongCall(_)), "{call}");
    }
    for member in [
        "issuer",
        "issuer.url",
        "issuer[claims.a]",
        "request.path",
        "request.headers",
        "request[claims.a]",
        "request.headers[claims.h]",
        "request.headers['x-project' + '']",
        "claims.groups.map(g, request.headers)",
    ] {
        assert!(matches!(refusal(member), ExpressionError::UnknownMember(..)), "{member}");
    }
    assert!(matches!(refusal("request.headers['cookie']"), ExpressionError::UnlistedHeader(_)));
    assert!(matches!(refusal("claims[unknown]"), ExpressionError::UnknownName(_)));
    assert!(matches!(refusal("claims.a.exists(g, true) && g"), ExpressionError::UnknownName(_)));
}

#[test]
fn load_errors_say_what_to_write() {
    for (source, message) in [
        ("claims.a = 'b'", "not a CEL expression: 1:10: \"=\" is not an operator; to compare, write \"==\""),
        ("claims.a='b'", "\"=\" is not an operator; to compare, write \"==\""),
        ("claims.a => 1", "\"=>\" is not an operator; write \">=\""),
        ("claims.a =~ 'b'", "\"=~\" is not an operator; write \".matches('…')\""),
        ("claims.a and claims.b", "not a CEL expression: 1:10: \"and\" is not an operator; write \"&&\""),
        ("claims.a or claims.b", "not a CEL expression: 1:10: \"or\" is not an operator; write \"||\""),
        ("platform", "for the text write 'platform' in single quotes"),
        ("claims.a.toLower()", "there is no function `toLower`; did you mean `lowerAscii`?"),
        ("claims.a.hash()", "there is no function `hash`; the functions are bool, bytes, "),
        ("int()", "int() needs 1 argument, but has 0; write, for example, int(claims.team)"),
        ("issuer.url", "`issuer` cannot be used like this; write issuer.name"),
    ] {
        let error = refusal(source);
        let error = format!("{error}; {}", error.help());
        assert!(error.contains(message), "{source}: {error}");
    }
}

#[test]
fn missing_claims_are_named() {
    let claims = json!({ "email": "a", "gone": null });
    let missing = |source: &str| {
        let expression = Expression::compile(source, &[]).unwrap();
        let input = input(&claims, &[], &[&expression]).unwrap();
        input.missing_claims(&expression).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(missing("has(claims.roles) && claims.gone == claims.email"), ["gone", "roles"]);
    assert!(missing("claims[claims.email]").is_empty());
}

#[test]
fn expressions_that_a_token_could_make_expensive_are_rejected_at_load() {
    assert_eq!(refusal("claims.a.matches(claims.b)"), ExpressionError::ComputedRegex);
    assert_eq!(refusal("claims.a.extract('a' + 'b')"), ExpressionError::ComputedRegex);
    assert!(matches!(refusal("claims.a.matches('(')"), ExpressionError::Regex(_)));
    assert!(matches!(refusal("claims.a.matches('(a{1000}){1000}')"), ExpressionError::Regex(_)));
    let nested = "claims.a.map(x, claims.a.map(y, claims.a.map(z, z)))";
    assert_eq!(refusal(nested), ExpressionError::TooNested);
    assert_eq!(refusal(&format!("'{}'", "x".repeat(5000))), ExpressionError::TooLong(5002));
}

/// A test's thread has a stack of 2 MiB, like the threads of the runtime.
#[test]
fn deep_expressions_do_not_overflow_the_stack() {
    for hostile in ["(".repeat(4000), format!("{}1{}", "(".repeat(150), ")".repeat(150))] {
        assert!(matches!(refusal(&hostile), ExpressionError::Syntax(_)));
    }
    assert!(matches!(refusal(&vec!["1"; 1000].join("+")), ExpressionError::TooDeep));
    assert!(matches!(refusal(&format!("claims.a{}", ".b".repeat(1000))), ExpressionError::TooDeep));
    let claims = json!({ "a": "b" });
    assert_eq!(text(&vec!["'a'"; DEEPEST].join(" + "), &claims), "a".repeat(DEEPEST));
    assert_eq!(text(&format!("claims.a{}", ".trim()".repeat(DEEPEST - 2)), &claims), "b");
    for (open, core, close) in
        [("[", "claims.a", "]"), ("{'k':", "claims.a", "}"), ("", "claims.l", ".map(x, x)")]
    {
        let nested = |levels: usize| format!("{}{core}{}", open.repeat(levels), close.repeat(levels));
        assert!(matches!(refusal(&nested(DEEPEST / 2 + 1)), ExpressionError::TooDeep), "{}", nested(2));
        let claims = json!({ "a": "b", "l": ["c"] });
        let deep = evaluate(&nested(DEEPEST / 2 - 2), &claims);
        assert!(matches!(deep, Ok(Outcome::Value(_))), "{}: {deep:?}", nested(2));
    }
    let lost = format!("{}claims.gone", "'a' + ".repeat(DEEPEST - 1));
    let lost = [
        lost,
        format!("claims.gone{}", ".trim()".repeat(DEEPEST - 2)),
        format!("{}claims.gone{}", "[".repeat(14), "]".repeat(14)),
    ];
    for lost in &lost {
        assert_eq!(evaluate(lost, &claims), Ok(Outcome::Missing), "{lost}");
    }
    let choices = format!("{}'z'", "claims.a == 'c' ? 'd' : ".repeat(DEEPEST - 3));
    assert_eq!(text(&choices, &claims), "z");
    assert_eq!(truth(&format!("{}true", "!".repeat(DEEPEST - 1)), &claims), Ok(Some(false)));
}

#[test]
fn data_that_an_evaluation_builds_is_limited() {
    let group = "g".repeat(40);
    let claims = json!({ "a": vec![&group; 450], "b": vec!["x"; 450], "t": "t".repeat(20_000) });
    for grows in [
        "claims.a.map(x, claims.a.map(y, x + y))",
        "claims.a.map(x, claims.a.map(y, claims.a.join()))",
        "claims.a.map(x, claims.a).map(x, claims.a.map(y, x))",
        "claims.a.map(x, claims.a.filter(y, true))",
        "claims.a.map(x, [claims.a, claims.a])",
        "claims.a.exists(x, claims.b.exists(y, (x + y).join() == ''))",
        "claims.a.exists(x, claims.b.exists(y, (claims.t + y).size() == 0))",
        "claims.a.exists(x, claims.t.replace('t', claims.t).size() == 0)",
        "claims.a.join(claims.t)",
        "claims.b.map(x, claims.t.split('x'))",
        "claims.b.map(x, {x: claims.t})",
        "claims.a.map(x, claims.b.map(y, bytes(claims.t) + bytes(claims.t)))",
        "claims.a.exists(x, claims.b.exists(y, [claims, claims].size() == 0))",
        "claims.a.exists(x, claims.b.exists(y, {'k': claims}.size() == 0))",
    ] {
        let outcome = evaluate(grows, &claims);
        assert!(outcome.is_err(), "{grows}: {}", format!("{outcome:?}").len());
    }
    for fair in [
        "claims.a.map(x, x.replace('g', 'group-')).join('+')",
        "claims.a.filter(x, claims.b.exists(y, x == y)).map(x, x + '!').join()",
        "claims.t + claims.t + claims.t",
    ] {
        assert!(evaluate(fair, &claims).is_ok(), "{fair}: {:?}", evaluate(fair, &claims));
    }
    let lists = "(claims.a + claims.b).size() == 900";
    assert_eq!(truth(lists, &claims), Ok(Some(true)));
}

#[test]
fn a_text_has_at_most_a_thousand_parts() {
    let parts = |count: usize| json!({ "scope": vec!["x"; count].join(" ") });
    assert_eq!(truth("claims.scope.split(' ').size() == 1000", &parts(1000)), Ok(Some(true)));
    assert!(truth("claims.scope.split(' ').size() > 0", &parts(1001)).is_err());
}

/// Keycloak's `resource_access` is a map. The library's maps have a different order in every process.
#[test]
fn the_keys_of_a_map_are_sorted() {
    let access: serde_json::Map<_, _> =
        (b'a'..=b'z').map(|key| (char::from(key).to_string(), json!({}))).collect();
    let claims = json!({ "access": access });
    assert_eq!(text("claims.access.map(k, k).join()", &claims), "abcdefghijklmnopqrstuvwxyz");
    assert_eq!(text("claims.access.filter(k, k > 'q')[0]", &claims), "r");
    assert_eq!(
        truth("claims.access.exists(k, k == 'x') && claims.access.all(k, k != 'X')", &claims),
        Ok(Some(true))
    );
    assert_eq!(text("{3: 'c', 1: 'a', 2: 'b'}.map(k, string(k)).join()", &claims), "123");
}

#[test]
fn the_nodes_of_claims_are_limited_and_null_members_are_missing() {
    let sized = |nodes: usize| json!({ "groups": vec!["x"; nodes], "gone": null });
    assert!(input(&sized(998), &[], &[]).is_err());
    assert!(input(&sized(997), &[], &[]).is_ok());
    assert!(input(&sized(997), &[("x-project", "apollo")], &[]).is_err());
    let nulls: serde_json::Map<_, _> = (0..2000).map(|n| (n.to_string(), json!(null))).collect();
    assert_eq!(truth("claims.size() == 0 && !has(claims.gone)", &nulls.into()), Ok(Some(true)));
}

#[test]
fn the_claims_that_an_expression_reads_are_known() {
    let reads = |source: &str, claim: &str| Expression::compile(source, &[]).unwrap().reads(claim);
    assert!(reads("claims.groups.exists(g, g == 'x')", "groups"));
    assert!(reads("'x' in claims['groups']", "groups"));
    assert!(reads("has(claims.groups)", "groups"));
    assert!(!reads("claims.email", "groups"));
    assert!(reads("claims.map(k, k)[0]", "groups"));
    assert!(reads("claims['gro' + 'ups'][0]", "groups"));
    assert!(!reads("claims.list.exists(claims, claims.groups == 'x')", "groups"));
}

proptest! {
    #[test]
    fn any_text_is_compiled_or_rejected(source in "[a-z.()\\[\\]'?:|&!, ]{0,40}|claims\\.[a-z]{1,6}[ -~]{0,30}") {
        if let Ok(expression) = Expression::compile(&source, &[]) {
            let claims = json!({ "a": ["b"], "n": 7 });
            let input = input(&claims, &[], &[&expression]).unwrap();
            // Evaluation may fail, but never because a name or function is unknown.
            if let Err(error) = expression.evaluate(&input) {
                prop_assert_ne!(error.to_string(), "unknown name");
            }
        }
    }
}
