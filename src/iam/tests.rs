//! The policies of small configurations.

use serde_json::{Value, json};

use super::*;
use crate::route::Operation;

mod bad_input;
mod models;
mod trust;

const HEAD: &str = r#"
[listen]
http = "127.0.0.1:8080"
[aws]
region = "eu-central-1"
regions = ["eu-west-1"]
[[issuer]]
name = "okta"
url = "https://acme.okta.com"
audiences = ["a"]
[issuer.session]
name = "claims.email"
"#;
const USER: &str = "arn:aws:iam::123456789012:role/User";

/// The configuration with this text behind the session's name.
fn config(rest: &str) -> Config {
    Config::parse(&format!("{HEAD}{rest}"), "t.toml", &|_| None)
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn bundle(rest: &str) -> Bundle {
    Bundle::generate(&config(rest), &Options::default()).unwrap()
}

/// The configuration of one role with these keys.
fn role(keys: &str) -> String {
    format!("[[role]]\narn = \"{USER}\"\n{keys}\n")
}

fn trust_json(bundle: &Bundle) -> Value {
    serde_json::from_str(&bundle.trust_of(&RoleArn::parse(USER).unwrap()).unwrap().compact()).unwrap()
}

fn permissions(bundle: &Bundle) -> Vec<Statement> {
    let role = RoleArn::parse(USER).unwrap();
    bundle.permissions_of(&role).flat_map(|policy| policy.statements().to_vec()).collect()
}

fn resources_of<'a>(statements: &'a [Statement], sid: &str) -> Vec<&'a str> {
    let of = |statement: &&Statement| statement.sid() == sid;
    statements.iter().filter(of).flat_map(Statement::resources).map(String::as_str).collect()
}

#[test]
fn the_gateway_may_do_what_its_roles_need_and_no_more() {
    let plain = bundle(&role(""));
    let policy = plain.gateway_permissions().unwrap().compact();
    assert!(policy.contains("sts:AssumeRole") && policy.contains(USER), "{policy}");
    assert!(!policy.contains("sts:TagSession") && !policy.contains("sts:SetSourceIdentity"), "{policy}");
    let all = bundle(&format!(
        "source_identity = \"claims.sub\"\n[issuer.session.tags]\nteam = \"claims.team\"\n{}",
        role("")
    ));
    let policy = all.gateway_permissions().unwrap().compact();
    assert!(policy.contains("sts:TagSession") && policy.contains("sts:SetSourceIdentity"), "{policy}");
    assert_eq!(all.accounts[0].files[0].kind, Kind::GatewayRole, "the gateway's role is first");
}

#[test]
fn every_action_of_every_operation_is_in_the_policy_of_a_role_that_allows_it() {
    let options = Options { async_output: Some("s3://acme/out".parse().unwrap()), ..Options::default() };
    for operation in Operation::ALL {
        let config = config(&role(&format!("operations = [\"{}\"]", operation.as_str())));
        let bundle = Bundle::generate(&config, &options).unwrap();
        let statements = permissions(&bundle);
        for action in operation.iam_actions() {
            let allows = |statement: &Statement| statement.actions().iter().any(|allowed| allowed == action);
            assert!(statements.iter().any(allows), "{}: {action}", operation.as_str());
        }
        for action in statements.iter().flat_map(Statement::actions) {
            let known = operation.iam_actions().contains(&action.as_str())
                || matches!(action.as_str(), "s3:PutObject" | "bedrock:GetInferenceProfile");
            assert!(known, "{}: {action}", operation.as_str());
        }
    }
}

#[test]
fn a_role_of_two_rules_gets_the_union_and_names_of_its_own_for_each_statement() {
    let text = format!(
        "{}{}",
        role("when = \"claims.a\"\nmodels = [\"eu.*\"]\noperations = [\"converse\"]"),
        role(
            "models = [\"anthropic.*\"]\nregions = [\"eu-west-1\"]\noperations = [\"converse\", \"guardrail\"]"
        )
    );
    let statements = permissions(&bundle(&text));
    assert_eq!(
        resources_of(&statements, "InvokeModels2"),
        ["arn:aws:bedrock:eu-west-1::foundation-model/anthropic.*"]
    );
    let mut sids: Vec<&str> = statements.iter().map(Statement::sid).collect();
    let all = sids.len();
    sids.sort_unstable();
    sids.dedup();
    assert_eq!(sids.len(), all);
    assert!(sids.iter().all(|sid| sid.bytes().all(|byte| byte.is_ascii_alphanumeric())));
}

#[test]
fn what_iam_cannot_express_is_noted_and_no_policy_is_empty() {
    let bundle = bundle(&role("models = [\"eu.*\"]\noperations = [\"count-tokens\"]"));
    assert!(bundle.files().all(|file| !file.policy.statements().is_empty()));
    let notes = bundle.notes.join("\n");
    assert!(notes.contains("count-tokens works with bare models only"), "{notes}");
    assert!(notes.contains(&format!("{USER} gets no permissions")), "{notes}");
    let template = &form::files(&bundle, Format::CloudFormation)["123456789012/template.json"];
    assert!(serde_json::from_str::<Value>(template).is_ok());
}

#[test]
fn no_policy_allows_api_keys_of_bedrock() {
    for file in bundle(&role("")).files() {
        for statement in file.policy.statements().iter().filter(|one| one.effect() == Effect::Allow) {
            let reaches = |action: &String| {
                crate::wildcard::matches(action, "bedrock:CallWithBearerToken")
                    || crate::wildcard::matches(action, "bedrock-mantle:CallWithBearerToken")
            };
            assert!(!statement.actions().iter().any(reaches), "{statement:?}");
        }
    }
}

#[test]
fn each_place_has_its_trust_policy_for_the_gateways_role() {
    let trust = |runs_on| {
        let options = Options { runs_on: Some(runs_on), ..Options::default() };
        let bundle = Bundle::generate(&config(&role("")), &options).unwrap();
        assert_eq!(bundle.accounts[0].files[0].kind, Kind::GatewayTrust);
        serde_json::from_str::<Value>(&bundle.accounts[0].files[0].policy.compact()).unwrap()["Statement"][0]
            .clone()
    };
    assert_eq!(trust(RunsOn::PodIdentity)["Principal"], json!({ "Service": "pods.eks.amazonaws.com" }));
    assert_eq!(trust(RunsOn::PodIdentity)["Action"], json!(["sts:AssumeRole", "sts:TagSession"]));
    assert_eq!(trust(RunsOn::Ec2)["Principal"], json!({ "Service": "ec2.amazonaws.com" }));
    assert_eq!(
        trust(RunsOn::Ecs)["Condition"],
        json!({ "StringEquals": { "aws:SourceAccount": "123456789012" } })
    );
    let irsa = trust(RunsOn::Irsa {
        provider: "oidc.example.com/id/1".to_owned(),
        account: "bedrock:gateway".parse().unwrap(),
    });
    assert_eq!(
        irsa["Principal"]["Federated"],
        json!("arn:aws:iam::123456789012:oidc-provider/oidc.example.com/id/1")
    );
    assert_eq!(
        irsa["Condition"]["StringEquals"]["oidc.example.com/id/1:sub"],
        json!("system:serviceaccount:bedrock:gateway")
    );
}

#[test]
fn the_guards_exempt_the_listed_principals_only() {
    let options = Options {
        break_glass: vec!["arn:aws:iam::*:role/BreakGlass".parse().unwrap()],
        service_roles: vec!["arn:aws:iam::123456789012:role/Agent".parse().unwrap()],
        ..Options::default()
    };
    let bundle = Bundle::generate(&config(&role("")), &options).unwrap();
    let guard = |wanted| {
        let file = bundle.files().find(|file| file.kind == Kind::Guard(wanted)).unwrap();
        serde_json::from_str::<Value>(&file.policy.compact()).unwrap()["Statement"].clone()
    };
    let around = guard(Guard::OnlyThroughTheGateway);
    assert_eq!(around[0]["Effect"], "Deny");
    assert_eq!(
        around[0]["Condition"]["ArnNotLike"]["aws:PrincipalArn"],
        json!([USER, "arn:aws:iam::*:role/BreakGlass", "arn:aws:iam::123456789012:role/Agent"])
    );
    let roles = guard(Guard::RolesStayAsTheyAre);
    assert_eq!(
        roles[0]["Resource"],
        json!([
            "arn:aws:iam::123456789012:role/BedrockGateway",
            USER,
            "arn:aws:iam::*:role/BreakGlass",
            "arn:aws:iam::123456789012:role/Agent"
        ])
    );
    assert_eq!(roles[1]["Resource"], "arn:aws:iam::123456789012:policy/User-bedrock-*");
    assert_eq!(roles[0]["Condition"]["ArnNotLike"]["aws:PrincipalArn"], "arn:aws:iam::*:role/BreakGlass");
    assert_eq!(guard(Guard::Endpoint)[0]["Principal"], "*");
}

#[test]
fn every_file_of_every_form_has_its_place_and_the_steps_name_what_the_guards_leave() {
    let bundle = bundle(&role("duration = \"2h\""));
    let json = form::files(&bundle, Format::Json);
    let paths: Vec<&str> = json.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "123456789012/User-permissions.json",
            "123456789012/User-trust.json",
            "123456789012/gateway-role.json",
            "123456789012/guards/scp-around.json",
            "123456789012/guards/vpc-endpoint.json",
            "123456789012/steps.md",
        ]
    );
    let steps = &json["123456789012/steps.md"];
    for text in
        ["management account", "first-use form", "aws-marketplace:Subscribe", "`MaxSessionDuration` to 7200"]
    {
        assert!(steps.split_whitespace().collect::<Vec<_>>().join(" ").contains(text), "{text}: {steps}");
    }
    let template = &form::files(&bundle, Format::CloudFormation)["123456789012/template.json"];
    let template: Value = serde_json::from_str(template).unwrap();
    assert_eq!(template["Resources"]["RoleUser"]["Properties"]["MaxSessionDuration"], 7200);
    let module = &form::files(&bundle, Format::Terraform)["123456789012/main.tf"];
    assert!(module.contains("resource \"aws_iam_role\" \"role_User\" {"), "{module}");
}
