//! Bedrock out of reach or in a bad mood, models that the account may not use, and the one call.

use bedrock_standin::bedrock::Fault;

use super::*;

async fn after(bed: &Bed, arguments: &[&str]) -> Report {
    let alice = claims(bed, "alice");
    let all: Vec<&str> =
        ["--claims", alice.to_str().unwrap()].into_iter().chain(arguments.iter().copied()).collect();
    report(bed, &bed.write(&setup()), &all, &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn bedrock_that_refuses_or_is_gone_is_named() {
    let name = "Bedrock us-east-1 as BedrockUser";
    let bed = bed();
    bed.standin.control.faults().always(Fault::Deny);
    let found = after(&bed, &[]).await;
    found.says(name, "ok", &["accepts the session; the role may not list models"]);
    found.says("model us.", "skip", &["bedrock:GetFoundationModelAvailability"]);
    assert_eq!(found.code, Some(0));

    // Made up, in the form of IAM's messages.
    let denied = "User: x is not authorized to perform: bedrock:ListFoundationModels because no VPC endpoint policy \
                  allows the bedrock:ListFoundationModels action";
    bed.standin.control.faults().always(Fault::Error(403, "AccessDeniedException", denied));
    after(&bed, &[]).await.says(name, "warn", &["VPC endpoint policy", "ask its owner"]);
    let fault = Fault::CredentialsRefused { kind: "ExpiredTokenException", in_body_only: false };
    bed.standin.control.faults().always(fault);
    after(&bed, &[]).await.says(name, "fail", &["ExpiredToken", "the clock"]);
    bed.standin.control.faults().always(Fault::Throttle);
    after(&bed, &[]).await.says(name, "warn", &["ThrottlingException", "again later"]);
    bed.standin.control.faults().clear();

    bed.standin.control.stop().await;
    after(&bed, &[]).await.says(name, "ok", &["the control plane cannot"]);
    bed.standin.bedrock.stop().await;
    let found = after(&bed, &[]).await;
    found.says(name, "fail", &["cannot be reached", "VPC endpoint for"]);
    assert_eq!(found.code, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_the_account_may_not_use_are_named() {
    let bed = bed();
    let control = &bed.standin.control;
    let model = "model us.anthropic";
    for (member, value, status, words) in [
        ("agreementAvailability", json!({ "status": "NOT_AVAILABLE" }), "fail", "fifteen minutes"),
        ("agreementAvailability", json!({ "status": "PENDING" }), "warn", "pending"),
        ("agreementAvailability", json!({ "status": "AVAILABLE" }), "ok", "agreement"),
        ("authorizationStatus", json!("NOT_AUTHORIZED"), "fail", "not authorized"),
        ("entitlementAvailability", json!("NOT_AVAILABLE"), "fail", "not entitled"),
        ("regionAvailability", json!("NOT_AVAILABLE"), "fail", "us-east-1 does not have it"),
    ] {
        control.set_availability(member, value);
        after(&bed, &[]).await.says(model, status, &[words]);
    }
    let found = after(&bed, &["--model", "unknown.model-v1:0"]).await;
    found.says("model unknown.model", "fail", &["does not know it", "list-foundation-models"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_call_says_who_pays_or_why_it_failed() {
    let bed = bed();
    let found = after(&bed, &["--invoke", "cohere.command-r-v1:0"]).await;
    found.says("call of cohere", "fail", &["no role rule", "add it to models"]);
    assert!(bed.standin.bill.calls().iter().all(|call| !call.operation.infers()));
    let invoke = ["--invoke", "us.anthropic.claude-sonnet-4-6-v1:0"];
    // langgenius/dify#2829
    let message = "You don't have access to the model with the specified model ID.";
    bed.standin.bedrock.faults().next(1, Fault::Error(403, "AccessDeniedException", message));
    after(&bed, &invoke).await.says("call of", "fail", &[message, "agreement"]);
    after(&bed, &invoke).await.says(
        "call of",
        "ok",
        &["the bill names arn:aws:sts::123456789012:assumed-role"],
    );
}
