//! The bounds on the steps of evaluations.

use super::*;
use crate::expression::budget::{MOST_AT_ONCE, MOST_STEPS, step, whole};

/// Whether `times` evaluations of `source` run at once.
fn runs_at_once(source: &str, claims: &serde_json::Value, times: usize) -> bool {
    let expression = Expression::compile(source, &[]).unwrap();
    let input = input(claims, &[], &[&expression]).unwrap();
    at_once(|| {
        for _ in 0..times {
            let _truth = input.truth(&expression);
        }
    })
    .is_some()
}

fn groups(count: usize) -> serde_json::Value {
    json!({ "l": vec!["a"; count] })
}

#[test]
fn evaluations_at_once_take_a_bounded_number_of_steps() {
    assert_eq!(MOST_AT_ONCE, 2_000);
    // One step for the expression, and one for each member.
    for nests in
        ["claims.l.all(x, x == 'a')", "size(claims.l.map(x, x)) == 40", "claims.l.exists_one(x, x == 'b')"]
    {
        assert!(runs_at_once(nests, &groups(40), 48), "{nests}");
        assert!(!runs_at_once(nests, &groups(40), 49), "{nests}");
    }
    assert!(runs_at_once("claims.l.all(x, claims.l.all(y, x == y))", &groups(40), 1));
    assert!(!runs_at_once("claims.l.all(x, claims.l.all(y, x == y))", &groups(45), 1));
    assert!(runs_at_once("'b' in claims.l", &groups(40), 1999));
    assert!(!runs_at_once("'b' in claims.l", &groups(40), 2000));
    // A step over many claims counts for several: 990 texts of a letter for 17.
    assert!(runs_at_once("'b' in claims.l", &groups(990), 117));
    assert!(!runs_at_once("'b' in claims.l", &groups(990), 118));
    assert!(!runs_at_once("claims.l.all(x, x == 'a')", &groups(990), 1));
}

#[test]
fn evaluations_that_take_too_long_at_once_are_complete_otherwise() {
    let nested = "claims.l.all(x, claims.l.all(y, x == y))";
    assert!(!runs_at_once(nested, &groups(100), 1));
    assert_eq!(truth(nested, &groups(100)), Ok(Some(true)));
}

#[test]
fn one_evaluation_takes_at_most_a_million_steps() {
    assert_eq!(MOST_STEPS, 1_000_000);
    // The expression itself is the first step.
    let steps = || Ok::<_, ()>(step(MOST_STEPS - 1).is_ok() && step(1).is_err());
    assert_eq!(whole(1, || (), steps), Ok(true));
    let mut claims = serde_json::Map::new();
    claims.insert("l".to_owned(), json!(vec!["a"; 990]));
    // Each of 1,100 parts needs a step for each of 990 groups.
    claims.insert("t".to_owned(), json!("x,".repeat(999)));
    let text = truth("(claims.t.split(',') + claims.l).all(x, claims.l.exists(y, y == 'a'))", &claims.into());
    assert_eq!(text, Err(EvaluationError::too_many_steps()));
}

/// A step can search all texts.
#[test]
fn long_texts_take_more_steps() {
    let source = "claims.l.all(x, claims.l.all(y, !claims.t.contains('xy')))";
    let claims = |bytes| json!({ "l": vec!["a"; 20], "t": "x".repeat(bytes) });
    assert!(runs_at_once(source, &claims(100), 1));
    assert!(!runs_at_once(source, &claims(20_000), 1));
}
