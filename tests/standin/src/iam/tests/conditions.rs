//! Conditions: `reference_policies_elements_condition_operators`, and for keys with many values
//! `reference_policies_condition-single-vs-multi-valued-context-keys`.

use super::*;

fn holds(condition: &str, context: &Context) -> bool {
    let statement = format!(r#"{ALLOW},"Condition":{condition}"#);
    let identity = [identity(&statement)];
    let policies = Policies { identity: Some(&identity), ..Policies::default() };
    let need = Need { context: context.clone(), ..invoke() };
    decide(&policies, &Caller::session(USER, "alice"), &need).is_ok()
}

/// Asserts what a condition is with a matching value, with another one, and without the key.
fn assert_holds(operator: &str, key: &str, wanted: &str, same: &str, other: &str, expected: [bool; 3]) {
    let condition = format!(r#"{{"{operator}":{{"{key}":{wanted}}}}}"#);
    let with = |value| Context::default().with(key, value);
    for (context, expected) in [with(same), with(other), Context::default()].iter().zip(expected) {
        assert_eq!(holds(&condition, context), expected, "{condition} {context:?}");
    }
}

/// "Negated matching": a negated operator holds if the key is missing. "IfExists": any operator does.
#[test]
fn operators_their_negations_and_a_missing_key() {
    let (name, arn) = ("sts:RoleSessionName", "bedrock:InferenceProfileArn");
    let of = |id: &str| format!("arn:aws:bedrock:us-east-1:111122223333:inference-profile/{id}");
    let profiles = format!("\"{}\"", of("us.*"));
    for (operator, key, wanted, same, other) in [
        ("StringEquals", name, r#"["bob","alice"]"#, "alice", "Alice"),
        ("StringEqualsIgnoreCase", name, r#""ALICE""#, "alice", "alicia"),
        ("StringLike", name, r#"["*@acme.org","*==????????????????"]"#, "Zo==aaaaaaaaaaaaaaaa", "a@ACME.org"),
        ("ArnLike", arn, &profiles, &of("us.x"), &of("eu.x")),
        ("ArnEquals", arn, &profiles, &of("us.x"), "us.x"),
    ] {
        assert_holds(operator, key, wanted, same, other, [true, false, false]);
        assert_holds(&format!("{operator}IfExists"), key, wanted, same, other, [true, false, true]);
        let negated = match operator.strip_prefix("String") {
            Some(rest) => format!("StringNot{rest}"),
            None => operator.replace("Arn", "ArnNot"),
        };
        assert_holds(&negated, key, wanted, same, other, [false, true, true]);
        assert_holds(&format!("{negated}IfExists"), key, wanted, same, other, [false, true, true]);
    }
    assert_holds("Bool", "aws:ResourceAccount", r#""true""#, "true", "false", [true, false, false]);
    assert_holds("BoolIfExists", "aws:ResourceAccount", "true", "true", "false", [true, false, true]);
    let number = "aws:ResourceTag/n";
    for (operator, same, other) in [
        ("NumericEquals", "9", "10"),
        ("NumericLessThan", "8", "9"),
        ("NumericLessThanEquals", "9", "10"),
        ("NumericGreaterThan", "10", "9"),
        ("NumericGreaterThanEquals", "9", "8"),
    ] {
        assert_holds(operator, number, "9", same, other, [true, false, false]);
        assert!(!holds(
            &format!(r#"{{"{operator}":{{"{number}":9}}}}"#),
            &Context::default().with(number, "x")
        ));
    }
    assert_holds("NumericNotEquals", number, "9", "10", "9", [true, false, true]);
}

/// `reference_policies_elements_condition_operators`, "Condition operator to check existence of condition keys".
#[test]
fn null_is_about_the_existence_of_a_key() {
    assert_holds("Null", "aws:TagKeys", r#""false""#, "team", "x", [true, true, false]);
    assert_holds("Null", "sts:SourceIdentity", r#""true""#, "alice", "x", [false, false, true]);
}

/// `ForAllValues` is true of no values at all; `ForAnyValue` is false.
#[test]
fn sets_are_compared_value_by_value() {
    let keys = |keys: &[&str]| Context::default().with_all("aws:TagKeys", keys.iter().copied());
    let cases: [(&str, &[&str], bool); 12] = [
        ("ForAllValues:StringEquals", &["team", "cost-center"], true),
        ("ForAllValues:StringEquals", &["team", "extra"], false),
        ("ForAllValues:StringEquals", &["Team"], false),
        ("ForAllValues:StringEquals", &[], true),
        ("ForAnyValue:StringEquals", &["team", "extra"], true),
        ("ForAnyValue:StringEquals", &["extra"], false),
        ("ForAnyValue:StringEquals", &[], false),
        ("ForAnyValue:StringEqualsIfExists", &[], true),
        ("ForAllValues:StringNotEquals", &["extra", "team"], false),
        ("ForAllValues:StringNotEquals", &["extra"], true),
        ("ForAnyValue:StringNotEquals", &["extra", "team"], true),
        ("ForAnyValue:StringNotEquals", &[], false),
    ];
    for (operator, present, expected) in cases {
        let condition = format!(r#"{{"{operator}":{{"aws:TagKeys":["team","cost-center"]}}}}"#);
        assert_eq!(holds(&condition, &keys(present)), expected, "{operator} {present:?}");
    }
}

/// `reference_policies_elements_condition`: all operators and keys must hold, and one value of a key. Keys have no case.
#[test]
fn conditions_are_combined_and_their_keys_have_no_case() {
    let condition = r#"{"StringEquals":{"STS:externalid":"x","aws:requesttag/TEAM":["a","b"]},
        "Null":{"aws:SourceVpce":"true"}}"#;
    let full = Context::default().with("sts:ExternalId", "x").with("aws:RequestTag/Team", "b");
    assert!(holds(condition, &full));
    assert!(!holds(condition, &full.clone().with("sts:ExternalId", "y")));
    assert!(!holds(condition, &full.clone().with("aws:RequestTag/team", "c")));
    assert!(!holds(condition, &full.with("aws:SourceVpce", "vpce-1")));
}

/// `reference_policies_condition-keys`: the keys of every request come from the caller.
#[test]
fn the_caller_is_in_the_context() {
    let tags = [("team".to_owned(), "search".to_owned())].into();
    let alice = Caller::session(USER, "alice").with_tags(tags).with_source_identity(Some("al".to_owned()));
    let condition = format!(
        r#"{{"ArnEquals":{{"aws:PrincipalArn":"{USER}"}},"StringEquals":{{"aws:PrincipalAccount":"111122223333",
            "aws:PrincipalTag/Team":"search","aws:SourceIdentity":"al"}},"Bool":{{"aws:ViaAWSService":"false"}}}}"#
    );
    let identity = [identity(&format!(r#"{ALLOW},"Condition":{condition}"#))];
    let policies = Policies { identity: Some(&identity), ..Policies::default() };
    assert_eq!(decide(&policies, &alice, &invoke()), Ok(()));
    assert!(decide(&policies, &Caller::session(USER, "bob"), &invoke()).is_err());
}

#[test]
fn conditions_that_cannot_be_evaluated_are_errors() {
    for (condition, fault) in [
        (r#"{"StringMatches":{"sts:ExternalId":"x"}}"#, "unknown operator"),
        (r#"{"stringequals":{"sts:ExternalId":"x"}}"#, "unknown operator"),
        (r#"{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"}}"#, "unknown operator"),
        (r#"{"ForSomeValues:StringEquals":{"aws:TagKeys":"x"}}"#, "unknown set operator"),
        (r#"{"StringEquals":{"sts:RoleSesionName":"x"}}"#, "unknown condition key"),
        (r#"{"StringEquals":{"aws:RequestTag/":"x"}}"#, "unknown condition key"),
        (r#"{"StringEquals":{"aws:TagKeys":"x"}}"#, "ForAllValues or ForAnyValue"),
        (r#"{"NullIfExists":{"aws:TagKeys":"true"}}"#, "Null"),
        (r#"{"ForAllValues:Null":{"aws:TagKeys":"true"}}"#, "Null"),
        (r#"{"Null":{"aws:TagKeys":"yes"}}"#, "not supported"),
        (r#"{"Bool":{"aws:SecureTransport":"yes"}}"#, "not supported"),
        (r#"{"ArnLike":{"aws:PrincipalArn":"*"}}"#, "not supported"),
        (r#"{"NumericEquals":{"aws:ResourceTag/n":"x"}}"#, "not supported"),
        (r#"{"StringLike":{"sts:RoleSessionName":"${aws:username}"}}"#, "not supported"),
        (r#"{"StringEquals":{"sts:ExternalId":{}}}"#, "no text"),
        (r#"{"StringEquals":{"sts:ExternalId":[]}}"#, "no value"),
        (r#"{"StringEquals":{}}"#, "no keys"),
        (r"[]", "not an object"),
    ] {
        let json = text(&format!(r#"{ALLOW},"Condition":{condition}"#));
        let error = PolicyDocument::identity(&json).unwrap_err().to_string();
        assert!(error.contains(fault), "{condition}: {error}");
    }
}
