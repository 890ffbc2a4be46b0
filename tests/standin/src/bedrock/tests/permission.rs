//! Roles with permissions: refusals in AWS's words.

use super::*;
use crate::iam::PolicyDocument;

const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockUser";

fn document(statements: &str) -> String {
    format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#)
}

#[tokio::test]
async fn a_call_is_decided_by_the_documents_of_role_account_and_endpoint() {
    let world = World::start();
    let call = async || world.post(&format!("{SONNET}/converse"), &converse("hello")).await;
    assert_eq!(call().await.status, 200, "a role without documents can do everything");

    let billed_once = billed(&world.bill);
    let iam = world.store.iam();
    let grant = |resource: &str| {
        let statement =
            format!(r#"{{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"{resource}"}}"#);
        iam.set_permissions(ROLE, vec![PolicyDocument::identity(&document(&statement)).unwrap()]);
    };
    let denied = async |what: &str| {
        let (status, kind, message) = call().await.error();
        assert_eq!((status, kind.as_str()), (403, "AccessDeniedException"));
        assert_eq!(
            message,
            format!("User: {ALICE} is not authorized to perform: bedrock:InvokeModel on resource: {what}")
        );
    };
    let profile =
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-6-v1:0";
    let model = "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-6-v1:0";
    let none = "because no identity-based policy allows the bedrock:InvokeModel action";
    grant("arn:aws:bedrock:*::foundation-model/*");
    denied(&format!("{profile} {none}")).await;
    grant("arn:aws:bedrock:*:123456789012:inference-profile/*");
    denied(&format!("{model} {none}")).await;
    grant("*");
    assert_eq!(call().await.status, 200);

    let deny = r#"{"Effect":"Deny","Action":"bedrock:Invoke*","Resource":"*","Condition":
        {"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::123456789012:role/Other"]}}}"#;
    let scps = vec![PolicyDocument::full_aws_access(), PolicyDocument::scp(&document(deny)).unwrap()];
    iam.set_scps("123456789012", scps);
    denied(&format!("{profile} with an explicit deny in a service control policy")).await;
    iam.set_scps("123456789012", vec![PolicyDocument::full_aws_access()]);

    let endpoint = r#"{"Effect":"Allow","Principal":"*","Action":"bedrock:*","Resource":"*","Condition":
        {"StringEquals":{"aws:SourceVpce":"vpce-1"}}}"#;
    world.bedrock.set_endpoint_policy(Some(PolicyDocument::endpoint(&document(endpoint)).unwrap()));
    denied(&format!("{profile} because no VPC endpoint policy allows the bedrock:InvokeModel action")).await;
    world.bedrock.set_endpoint_policy(None);

    let session = PolicyDocument::identity(&document(
        r#"{"Effect":"Allow","Action":"bedrock:CountTokens","Resource":"*"}"#,
    ));
    iam.set_session_policies("ASIAALICE", vec![session.unwrap()]);
    denied(&format!("{profile} because no session policy allows the bedrock:InvokeModel action")).await;
    assert_eq!(world.bill.calls().len(), 7, "the bill knows all calls");
    let twice: Vec<_> = billed_once.into_iter().map(|(name, amount)| (name, 2 * amount)).collect();
    assert_eq!(billed(&world.bill), twice, "only calls that were answered are charged");
}
