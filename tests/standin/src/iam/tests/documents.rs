//! The elements of a statement.

use super::*;

fn permits(statement: &str, need: &Need) -> bool {
    let identity = [identity(statement)];
    let policies = Policies { identity: Some(&identity), ..Policies::default() };
    decide(&policies, &Caller::session(USER, "alice"), need).is_ok()
}

/// `reference_policies_elements_action`, `reference_policies_elements_notaction`: the case does not matter.
#[test]
fn actions_match_with_wildcards_in_any_case() {
    for (action, permitted) in [
        (r#""Action":"bedrock:InvokeModel""#, true),
        (r#""Action":"BEDROCK:invokemodel""#, true),
        (r#""Action":["s3:GetObject","bedrock:Invoke*"]"#, true),
        (r#""Action":"bedrock:InvokeMode?""#, true),
        (r#""Action":"bedrock:Invoke""#, false),
        (r#""Action":"bedrock-mantle:*""#, false),
        (r#""NotAction":"s3:*""#, true),
        (r#""NotAction":["s3:*","bedrock:Invoke*"]"#, false),
    ] {
        let statement = format!(r#""Effect":"Allow",{action},"Resource":"*""#);
        assert_eq!(permits(&statement, &invoke()), permitted, "{action}");
    }
}

/// `reference_policies_elements_resource`, `reference_policies_elements_notresource`: the case matters, and a wildcard
/// stays in its part of the ARN.
#[test]
fn resources_match_part_by_part() {
    for (resource, permitted) in [
        (r#""Resource":"arn:aws:bedrock:*::foundation-model/anthropic.*""#, true),
        (r#""Resource":"arn:aws:bedrock:us-east-?::foundation-model/*""#, true),
        (r#""Resource":"arn:aws:bedrock:us-east-1::foundation-model/Anthropic.*""#, false),
        (r#""Resource":"arn:aws:bedrock:us-east-1:*:foundation-model/*""#, true),
        (r#""Resource":"arn:aws:bedrock:*:foundation-model/*:*""#, false),
        (r#""Resource":"arn:aws:bedrock:::foundation-model/*""#, false),
        (r#""Resource":"arn:aws-us-gov:bedrock:*::foundation-model/*""#, false),
        (r#""NotResource":"arn:aws:bedrock:*::foundation-model/amazon.*""#, true),
        (r#""NotResource":"arn:aws:bedrock:*::foundation-model/*""#, false),
    ] {
        let statement = format!(r#""Effect":"Allow","Action":"*",{resource}"#);
        assert_eq!(permits(&statement, &invoke()), permitted, "{resource}");
    }
    let any = Need::new("bedrock:ListFoundationModels", "*", Context::default());
    assert!(permits(ALLOW, &any));
    assert!(!permits(r#""Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock:*::*""#, &any));
}

/// `reference_policies_grammar`: what the stand-in cannot evaluate is an error, and never ignored.
#[test]
fn documents_that_cannot_be_evaluated_are_errors() {
    let broken = |json: &str| PolicyDocument::identity(json).unwrap_err().to_string();
    assert!(broken("{").contains("EOF"));
    assert!(broken(r#"{"Statement":[]}"#).contains("Version"));
    assert!(broken(r#"{"Version":"2008-10-17","Statement":[]}"#).contains("Version"));
    assert!(broken(r#"{"Version":"2012-10-17","Statement":[]}"#).contains("Statement"));
    for (statement, fault) in [
        (r#""Effect":"allow","Action":"*","Resource":"*""#, "Effect"),
        (r#""Effect":"Allow","Resource":"*""#, "Action and NotAction are missing"),
        (r#""Effect":"Allow","Action":"*","NotAction":"s3:*","Resource":"*""#, "Action and NotAction"),
        (r#""Effect":"Allow","Action":"InvokeModel","Resource":"*""#, "no action"),
        (r#""Effect":"Allow","Action":[],"Resource":"*""#, "empty"),
        (r#""Effect":"Allow","Action":"*""#, "Resource"),
        (r#""Effect":"Allow","Action":"*","Resource":"arn:aws:bedrock:*""#, "six parts"),
        (r#""Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}""#, "variable"),
        (r#""Effect":"Allow","Action":"*","Resource":"*","Principal":"*""#, "Principal"),
        (r#""Effect":"Allow","Action":"*","Resource":"*","NotPrincipal":"*""#, "NotPrincipal"),
        (r#""Effect":"Allow","Action":"*","Resource":"*","Conditions":{}"#, "unknown element Conditions"),
        (r#""Sid":"a b","Effect":"Allow","Action":"*","Resource":"*""#, "Sid"),
    ] {
        let error = broken(&text(statement));
        assert!(error.contains(fault), "{statement}: {error}");
    }
    for statement in [
        r#""Effect":"Allow","Action":"sts:AssumeRole""#,
        r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"ec2.amazonaws.com"}"#,
        r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::111122223333:role/*"}"#,
        r#""Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"*"},"Resource":"*""#,
    ] {
        assert!(PolicyDocument::trust(&text(statement)).is_err(), "{statement}");
    }
}

#[test]
#[should_panic(expected = "a policy in the wrong place")]
fn a_document_in_the_wrong_place_is_never_evaluated() {
    let identity = [scp(ALLOW)];
    let policies = Policies { identity: Some(&identity), ..Policies::default() };
    let _ = decide(&policies, &Caller::session(USER, "alice"), &invoke());
}
