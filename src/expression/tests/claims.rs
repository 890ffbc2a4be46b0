//! The conversion of claims: only those that an expression names, with the values that all claims would have.

use std::collections::HashMap;

use cel::Value;
use cel::objects::Key;
use serde_json::Value as Json;

use super::*;
use crate::expression::input::value;

/// The library's own value for each kind of JSON.
fn expected(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => Value::UInt(number),
            (None, None) => Value::Float(number.as_f64().unwrap()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(expected).collect::<Vec<_>>()),
        Json::Object(members) => {
            let there = members.iter().filter(|(_, member)| !member.is_null());
            let there = there.map(|(name, member)| (Key::from(name.as_str()), expected(member)));
            Value::from(there.collect::<HashMap<_, _>>())
        }
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-1e30..1e30).prop_map(Json::from),
        "[a-c]{0,3}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::hash_map("[a-c]{1,2}", inner, 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Expressions that read the claims `a`, `b` and `c` by name.
const SOURCES: [&str; 12] = [
    "claims.a",
    "claims['b'][0]",
    "claims.a.b",
    "has(claims.c)",
    "has(claims.a.b) && claims.b != null",
    "'a' in claims.b",
    "claims.a == claims.b || claims.c",
    "size(claims.a)",
    "claims.b.map(x, x)",
    "claims.c.exists(x, x == claims.a)",
    "claims.a + claims.b",
    "claims.c ? claims.a : claims.b",
];

/// Whether the value of an expression is a list with several keys of one object. The library gives them in another order
/// each time, whatever the input is for.
fn lists_keys(source: &str, claims: &Json) -> bool {
    let objects: &[&str] = match source {
        "claims.b.map(x, x)" => &["b"],
        "claims.a + claims.b" => &["a", "b"],
        _ => &[],
    };
    objects.iter().any(|name| claims[name].as_object().is_some_and(|members| members.len() > 1))
}

/// Whether two lists have the same members, each as often.
fn same_members(left: &[Value], right: &[Value]) -> bool {
    let mut rest = right.to_vec();
    let found = left.iter().all(|member| {
        let place = rest.iter().position(|other| other == member);
        place.map(|place| rest.swap_remove(place)).is_some()
    });
    found && rest.is_empty()
}

proptest! {
    #[test]
    fn json_becomes_the_library_s_values(json in any_json()) {
        prop_assert_eq!(Value::try_from(&*value(&json)).unwrap(), expected(&json));
    }

    #[test]
    fn a_result_does_not_depend_on_claims_that_no_expression_names(
        claims in prop::collection::hash_map("[a-e]", any_json(), 0..5),
        source in prop::sample::select(&SOURCES),
    ) {
        let claims = Json::Object(claims.into_iter().collect());
        let compiled = |source| Expression::compile(source, &[]).unwrap();
        let (expression, all) = (compiled(source), compiled("claims.size() >= 0"));
        let named = input(&claims, &[], &[&expression]).unwrap();
        let whole = input(&claims, &[], &[&expression, &all]).unwrap();
        prop_assert!(whole.named.is_none());
        let (by_name, by_all) = (expression.evaluate(&named), expression.evaluate(&whole));
        match (&by_name, &by_all) {
            (Ok(Outcome::Value(Value::List(by_name))), Ok(Outcome::Value(Value::List(by_all))))
                if lists_keys(source, &claims) =>
            {
                prop_assert!(same_members(by_name, by_all), "{by_name:?} {by_all:?}");
            }
            _ => prop_assert_eq!(&by_name, &by_all),
        }
        prop_assert_eq!(named.size, whole.size);
        let missing = |input: &Input<'_>| input.missing_claims(&expression).map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(missing(&named), missing(&whole));
    }
}

/// Otherwise a claim would count as missing, and a condition as not met.
#[test]
fn an_expression_that_the_input_is_not_for_is_an_error() {
    let claims = json!({ "a": "x", "b": "y" });
    let compiled = |source| Expression::compile(source, &[]).unwrap();
    let (a, b, all) =
        (compiled("claims.a == 'x'"), compiled("claims.b == 'y'"), compiled("claims.size() == 2"));
    let only_a = input(&claims, &[], &[&a]).unwrap();
    assert_eq!(only_a.truth(&a), Ok(Truth::True));
    assert!(only_a.truth(&b).is_err());
    assert!(only_a.truth(&all).is_err());
    let every = input(&claims, &[], &[&all]).unwrap();
    assert!([&a, &b, &all].into_iter().all(|expression| every.truth(expression) == Ok(Truth::True)));
}
