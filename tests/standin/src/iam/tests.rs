//! Each test names the page of AWS's documentation that has the rule. Pages of the IAM User Guide have no prefix.

mod conditions;
mod documents;

use super::*;

const GATEWAY: &str = "arn:aws:iam::111122223333:role/BedrockGateway";
const USER: &str = "arn:aws:iam::111122223333:role/BedrockUser";

/// A document with one statement, whose elements are given without braces.
fn text(statement: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{{{statement}}}]}}"#)
}

fn identity(statement: &str) -> PolicyDocument {
    PolicyDocument::identity(&text(statement)).unwrap()
}

fn scp(statement: &str) -> PolicyDocument {
    PolicyDocument::scp(&text(statement)).unwrap()
}

fn trust(statement: &str) -> PolicyDocument {
    PolicyDocument::trust(&text(statement)).unwrap()
}

const ALLOW: &str = r#""Effect":"Allow","Action":"*","Resource":"*""#;
const DENY: &str = r#""Sid":"No","Effect":"Deny","Action":"bedrock:InvokeModel","Resource":"*""#;

fn invoke() -> Need {
    let model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-opus-4-6-v1";
    Need::new("bedrock:InvokeModel", model, Context::default())
}

fn assume(role: &str) -> Need {
    Need::new("sts:AssumeRole", role, Context::default())
}

fn denied(policies: &Policies<'_>, caller: &Caller, need: &Need) -> String {
    decide(policies, caller, need).unwrap_err().to_string()
}

/// `reference_policies_evaluation-logic_policy-eval-denyallow`: denied by default, and an explicit deny wins.
#[test]
fn an_explicit_deny_wins_over_every_allow() {
    let alice = Caller::session(USER, "alice");
    let (allow, deny) = (identity(ALLOW), identity(DENY));
    let decide_with = |identity: &[PolicyDocument]| {
        decide(&Policies { identity: Some(identity), ..Policies::default() }, &alice, &invoke())
    };
    assert_eq!(decide_with(std::slice::from_ref(&allow)), Ok(()));
    assert_eq!(
        decide_with(&[]).unwrap_err().to_string(),
        "because no identity-based policy allows the bedrock:InvokeModel action"
    );
    for policies in [[allow.clone(), deny.clone()], [deny, allow]] {
        let denial = decide_with(&policies).unwrap_err();
        assert_eq!(denial.to_string(), "with an explicit deny in an identity-based policy");
        assert_eq!((denial.by, denial.sid.as_deref()), (By::Identity, Some("No")));
    }
}

/// `orgs_manage_policies_scps_evaluation` of the Organizations User Guide: a service control policy must allow the
/// request, grants nothing by itself, and its deny wins.
#[test]
fn a_service_control_policy_must_allow_and_must_not_deny() {
    let alice = Caller::session(USER, "alice");
    let identity = [identity(ALLOW)];
    let with = |scps: &[PolicyDocument]| {
        let policies = Policies { scps: Some(scps), identity: Some(&identity), ..Policies::default() };
        decide(&policies, &alice, &invoke())
    };
    assert_eq!(with(&[PolicyDocument::full_aws_access()]), Ok(()));
    assert_eq!(
        with(&[]).unwrap_err().to_string(),
        "because no service control policy allows the bedrock:InvokeModel action"
    );
    assert!(with(&[scp(r#""Effect":"Allow","Action":"s3:*","Resource":"*""#)]).is_err());
    assert_eq!(
        with(&[PolicyDocument::full_aws_access(), scp(DENY)]).unwrap_err().to_string(),
        "with an explicit deny in a service control policy"
    );
    let (full, none) = ([PolicyDocument::full_aws_access()], []);
    let policies = Policies { scps: Some(&full), identity: Some(&none), ..Policies::default() };
    assert!(denied(&policies, &alice, &invoke()).contains("no identity-based policy"));
}

/// `access_policies`, session policies: the session can do what the role and the session policy both allow.
#[test]
fn a_session_policy_narrows_the_role() {
    let alice = Caller::session(USER, "alice");
    let all = [identity(ALLOW)];
    let count = [identity(r#""Effect":"Allow","Action":"bedrock:CountTokens","Resource":"*""#)];
    let with = |identity, session| {
        let policies = Policies { identity: Some(identity), session: Some(session), ..Policies::default() };
        decide(&policies, &alice, &invoke())
    };
    assert_eq!(with(&all, &all), Ok(()));
    assert_eq!(with(&all, &count).unwrap_err().by, By::Session);
    assert_eq!(with(&count, &all).unwrap_err().by, By::Identity);
}

/// `vpc-endpoints-access` of the VPC User Guide: the endpoint's policy does not replace the others.
#[test]
fn an_endpoint_policy_must_allow_too() {
    let directory = Directory::default();
    let alice = Caller::session(USER, "alice");
    let statement = format!(
        r#""Effect":"Allow","Principal":"*","Action":"bedrock:*","Resource":"*",
           "Condition":{{"ArnEquals":{{"aws:PrincipalArn":"{USER}"}}}}"#
    );
    let endpoint = PolicyDocument::endpoint(&text(&statement)).unwrap();
    assert_eq!(directory.decide(&alice, &invoke(), Some(&endpoint)), Ok(()));
    let other = Caller::session("arn:aws:iam::111122223333:role/Developer", "bob");
    let denial = directory.decide(&other, &invoke(), Some(&endpoint)).unwrap_err();
    assert_eq!(denial.to_string(), "because no VPC endpoint policy allows the bedrock:InvokeModel action");
    directory.set_permissions(USER, vec![]);
    assert_eq!(directory.decide(&alice, &invoke(), Some(&endpoint)).unwrap_err().by, By::Identity);
}

/// `reference_policies_evaluation-logic_policy-eval-basics-single-account`: a trust policy that names the role is
/// enough in its account; one that names the account leaves it to the role's own permissions.
#[test]
fn within_an_account_a_trust_policy_that_names_the_role_is_enough() {
    let gateway = Caller::session(GATEWAY, "i-0");
    let allow = [identity(r#""Effect":"Allow","Action":"sts:AssumeRole","Resource":"*""#)];
    let of = |principal: &str| {
        trust(&format!(r#""Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"sts:AssumeRole""#))
    };
    let with = |trust: &PolicyDocument, identity: &[PolicyDocument]| {
        let account = Some("111122223333");
        let policies = Policies {
            identity: Some(identity),
            resource: Some(trust),
            resource_account: account,
            ..Policies::default()
        };
        decide(&policies, &gateway, &assume(USER)).map_err(|denial| denial.by)
    };
    for named in [GATEWAY, "arn:aws:sts::111122223333:assumed-role/BedrockGateway/i-0", "*"] {
        assert_eq!(with(&of(named), &[]), Ok(()), "{named}");
    }
    for account in ["111122223333", "arn:aws:iam::111122223333:root"] {
        assert_eq!(with(&of(account), &[]), Err(By::Identity), "{account}");
        assert_eq!(with(&of(account), &allow), Ok(()), "{account}");
    }
    for other in [USER, "arn:aws:sts::111122223333:assumed-role/BedrockGateway/i-1", "444455556666"] {
        assert_eq!(with(&of(other), &allow), Err(By::Resource), "{other}");
    }
}

/// `access_policies_boundaries`: an implicit deny in a session policy limits what a role's ARN is granted, but not what
/// the ARN of the very session is granted.
#[test]
fn a_session_policy_limits_a_trust_policy_that_names_the_role() {
    let gateway = Caller::session(GATEWAY, "i-0");
    let session = [identity(r#""Effect":"Allow","Action":"s3:*","Resource":"*""#)];
    for (principal, decision) in
        [(GATEWAY, Err(By::Session)), ("arn:aws:sts::111122223333:assumed-role/BedrockGateway/i-0", Ok(()))]
    {
        let statement =
            format!(r#""Effect":"Allow","Principal":{{"AWS":"{principal}"}},"Action":"sts:AssumeRole""#);
        let policies = Policies {
            session: Some(&session),
            resource: Some(&trust(&statement)),
            resource_account: Some("111122223333"),
            ..Policies::default()
        };
        assert_eq!(decide(&policies, &gateway, &assume(USER)).map_err(|denial| denial.by), decision);
    }
}

/// `reference_policies_evaluation-logic-cross-account`: both accounts must allow the request.
#[test]
fn between_accounts_both_sides_must_allow() {
    let gateway = Caller::session(GATEWAY, "i-0");
    let role = "arn:aws:iam::444455556666:role/BedrockUser";
    let trust =
        trust(&format!(r#""Effect":"Allow","Principal":{{"AWS":["{GATEWAY}"]}},"Action":"sts:AssumeRole""#));
    let allow = [identity(&format!(r#""Effect":"Allow","Action":"sts:AssumeRole","Resource":"{role}""#))];
    let with = |resource, identity| {
        let resource_account = Some("444455556666");
        let policies =
            Policies { identity: Some(identity), resource, resource_account, ..Policies::default() };
        decide(&policies, &gateway, &assume(role)).map_err(|denial| denial.by)
    };
    assert_eq!(with(Some(&trust), &allow), Ok(()));
    assert_eq!(with(Some(&trust), &[]), Err(By::Identity));
    let stranger = Caller::session("arn:aws:iam::111122223333:role/Other", "i-0");
    let policies = Policies {
        identity: Some(&allow),
        resource: Some(&trust),
        resource_account: Some("444455556666"),
        ..Policies::default()
    };
    assert_eq!(decide(&policies, &stranger, &assume(role)).unwrap_err().by, By::Resource);
}
