//! The stand-in as a program, for scripts. It prints one JSON object: the endpoints, and the gateway's own credentials,
//! whose role is `BedrockGateway` of account 123456789012 and has no permissions yet. Then it reads one JSON object a
//! line from standard input, and answers each with one line:
//!
//! - `{"token": {"sub": "alice", …}}`: a token with these claims;
//! - `{"gateway": [POLICY, …]}`: the permissions of the gateway's role;
//! - `{"role": ARN, "trust": POLICY, "permissions": [POLICY, …]}`: an invocation role;
//! - `{"export": EXPORT}`: an export of the bill, as `GetExport` answers;
//! - `{"tag": KEY}`: a cost allocation tag that is not active yet;
//! - `{"bill": {}}`: the principals and tags of the bill's rows.
//!
//! It ends with its input.

use std::io::{BufRead as _, Write as _};

use bedrock_standin::iam::PolicyDocument;
use bedrock_standin::idp::Claims;
use bedrock_standin::sts::RoleSpec;
use bedrock_standin::{Options, Standin};
use serde_json::{Value, json};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const GATEWAY: &str = "arn:aws:iam::123456789012:role/BedrockGateway";

#[tokio::main]
async fn main() -> Outcome<()> {
    let standin = Standin::start(Options::default());
    standin.sts.set_gateway_role(GATEWAY);
    standin.credentials.iam().set_permissions(GATEWAY, Vec::new());
    answer(&json!({
        "sts": standin.sts.url(),
        "bedrock_runtime": standin.bedrock.url(),
        "bedrock": standin.control.url(),
        "bedrock_mantle": standin.mantle.url(),
        "billing": standin.billing.url(),
        "issuer": standin.idp.issuer(),
        "access_key_id": standin.credentials.gateway_access_key_id(),
        "secret_access_key": standin.credentials.gateway_secret_access_key(),
    }))?;
    // The servers have threads of their own.
    for line in std::io::stdin().lock().lines() {
        answer(&obey(&standin, &serde_json::from_str(&line?)?)?)?;
    }
    Ok(())
}

fn answer(value: &Value) -> Outcome<()> {
    println!("{value}");
    Ok(std::io::stdout().flush()?)
}

fn obey(standin: &Standin, request: &Value) -> Outcome<Value> {
    if let Some(Value::Object(wanted)) = request.get("token") {
        let subject = wanted.get("sub").and_then(Value::as_str).unwrap_or("alice");
        let claims = wanted
            .iter()
            .fold(Claims::of(subject), |claims, (name, value)| claims.claim(name, value.clone()));
        return Ok(json!({ "token": standin.idp.mint(claims) }));
    }
    if let Some(policies) = request.get("gateway") {
        standin.credentials.iam().set_permissions(GATEWAY, identity(policies)?);
    } else if let Some(Value::String(arn)) = request.get("role") {
        standin.sts.add_role(RoleSpec {
            trust: Some(PolicyDocument::trust(&request["trust"].to_string())?),
            permissions: Some(identity(&request["permissions"])?),
            ..RoleSpec::new(arn)
        });
    } else if let Some(export) = request.get("export") {
        standin.billing.add_export(export.clone());
    } else if let Some(Value::String(key)) = request.get("tag") {
        standin.billing.set_tag(key, false);
    } else if request.get("bill").is_some() {
        return Ok(
            json!({ "rows": standin.bill.rows(), "active": standin.billing.tag("iamPrincipal/team") }),
        );
    } else {
        return Err(format!("not a request: {request}").into());
    }
    Ok(json!({}))
}

/// Permissions from an array of documents.
fn identity(policies: &Value) -> Outcome<Vec<PolicyDocument>> {
    let policies = policies.as_array().ok_or("not an array of policies")?;
    Ok(policies
        .iter()
        .map(|policy| PolicyDocument::identity(&policy.to_string()))
        .collect::<Result<_, _>>()?)
}
