//! The permissions of calls by their form, and calls to which a role's documents deny one of them.

use super::*;
use crate::iam::{Caller, Directory, PolicyDocument};

const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockUser";
const CLAUDE: &str = "anthropic.claude-sonnet-4-6-v1:0";

fn of(operation: Operation, model: &str) -> Use<'_> {
    Use::of_model(operation, "eu-west-1", ACCOUNT, model)
}

fn shown(needs: &[Need]) -> Vec<String> {
    needs.iter().map(|need| format!("{} {}", need.action, need.resource)).collect()
}

fn is_permitted(statements: &str, of: &Use<'_>) -> bool {
    let directory = Directory::default();
    let json = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    directory.set_permissions(ROLE, vec![PolicyDocument::identity(&json).unwrap()]);
    let alice = Caller::session(ROLE, "alice");
    of.needs().iter().all(|need| directory.decide(&alice, need, None).is_ok())
}

#[test]
fn a_bare_model_needs_the_model_in_the_region_of_the_call() {
    let model = "arn:aws:bedrock:eu-west-1::foundation-model/anthropic.claude-sonnet-4-6-v1:0";
    for id in [CLAUDE, model] {
        assert_eq!(shown(&of(Operation::Converse, id).needs()), [format!("bedrock:InvokeModel {model}")]);
    }
    let stream = of(Operation::ConverseStream, CLAUDE).needs();
    assert_eq!(shown(&stream), [format!("bedrock:InvokeModelWithResponseStream {model}")]);
    let gov = Use { region: "us-gov-west-1", ..of(Operation::Invoke, CLAUDE) };
    assert!(gov.needs()[0].resource.starts_with("arn:aws-us-gov:bedrock:us-gov-west-1::"));
}

#[test]
fn a_profile_needs_itself_and_the_model_in_each_region_under_its_own_arn() {
    let (id, arn) = (
        "eu.anthropic.claude-sonnet-4-6-v1:0",
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-6-v1:0",
    );
    let needs = of(Operation::Invoke, id).needs();
    assert_eq!(needs, of(Operation::Invoke, arn).needs());
    assert_eq!(needs.len(), 7);
    assert_eq!(
        (needs[0].resource.as_str(), needs[0].context.clone()),
        (arn, Context::default().with("aws:RequestedRegion", "eu-west-1"))
    );
    assert_eq!(
        needs[2].resource,
        "arn:aws:bedrock:eu-north-1::foundation-model/anthropic.claude-sonnet-4-6-v1:0"
    );
    let there =
        Context::default().with("aws:RequestedRegion", "eu-north-1").with("bedrock:InferenceProfileArn", arn);
    assert_eq!(needs[2].context, there);
    let statements = |resources: &str, models: &str| {
        format!(
            r#"{{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:eu-west-1:{ACCOUNT}:inference-profile/{resources}"}},
        {{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"arn:aws:bedrock:{models}::foundation-model/*",
          "Condition":{{"ArnLike":{{"bedrock:InferenceProfileArn":"arn:aws:bedrock:eu-west-1:{ACCOUNT}:inference-profile/{resources}"}}}}}}"#
        )
    };
    assert!(is_permitted(&statements("eu.*", "*"), &of(Operation::Invoke, id)));
    assert!(!is_permitted(&statements("us.*", "*"), &of(Operation::Invoke, id)), "another geography");
    assert!(!is_permitted(&statements("eu.*", "eu-west-1"), &of(Operation::Invoke, id)), "one region only");
    assert!(!is_permitted(&statements("eu.*", "*"), &of(Operation::Invoke, CLAUDE)), "the model by itself");
    let elsewhere = Use { region: "eu-central-1", ..of(Operation::Invoke, id) };
    assert!(!is_permitted(&statements("eu.*", "*"), &elsewhere), "another source region");
}

#[test]
fn a_global_profile_needs_the_model_without_a_region() {
    let needs = of(Operation::Invoke, "global.anthropic.claude-sonnet-4-6-v1:0").needs();
    let profile =
        "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/global.anthropic.claude-sonnet-4-6-v1:0";
    assert_eq!(
        shown(&needs),
        [
            format!("bedrock:InvokeModel {profile}"),
            format!("bedrock:InvokeModel arn:aws:bedrock:eu-west-1::foundation-model/{CLAUDE}"),
            format!("bedrock:InvokeModel arn:aws:bedrock:::foundation-model/{CLAUDE}"),
        ]
    );
    let anywhere = Context::default()
        .with("aws:RequestedRegion", "unspecified")
        .with("bedrock:InferenceProfileArn", profile);
    assert_eq!(needs[2].context, anywhere);
}

#[test]
fn other_resources_of_a_call_need_their_own_permission() {
    let application = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc";
    let needs = of(Operation::Invoke, application).needs();
    assert_eq!(needs[0].resource, application);
    let model = Context::default()
        .with("aws:RequestedRegion", "eu-west-1")
        .with("bedrock:InferenceProfileArn", application);
    assert_eq!((needs.len(), &needs[1].context), (2, &model));

    let guarded = Use { guardrail: Some("g1"), ..of(Operation::Converse, CLAUDE) }.needs();
    let guardrail = "arn:aws:bedrock:eu-west-1:123456789012:guardrail/g1";
    assert_eq!(shown(&guarded)[1], format!("bedrock:ApplyGuardrail {guardrail}"));
    assert_eq!(
        guarded[0].context,
        Context::default()
            .with("aws:RequestedRegion", "eu-west-1")
            .with("bedrock:GuardrailIdentifier", guardrail)
    );

    let job = Use { output: Some("s3://results/videos/"), ..of(Operation::StartAsyncInvoke, CLAUDE) };
    assert_eq!(
        shown(&job.needs())[1..],
        [
            "bedrock:InvokeModel arn:aws:bedrock:eu-west-1:123456789012:async-invoke/new".to_owned(),
            "s3:PutObject arn:aws:s3:::results/videos/output.json".to_owned(),
        ]
    );

    let response = shown(&of(Operation::Responses, CLAUDE).needs());
    assert_eq!(response[1], "bedrock:InvokeModel arn:aws:bedrock:eu-west-1:123456789012:project/default");
    assert_eq!(
        shown(&of(Operation::CountTokens, "eu.anthropic.claude-sonnet-4-6-v1:0").needs()),
        [format!("bedrock:CountTokens arn:aws:bedrock:eu-west-1::foundation-model/{CLAUDE}")]
    );
    assert_eq!(shown(&of(Operation::ListInferenceProfiles, "").needs()), ["bedrock:ListInferenceProfiles *"]);
}

#[test]
fn mantle_needs_the_project_and_has_the_model_as_a_key() {
    let chat =
        Use { service: Service::Mantle, ..of(Operation::ChatCompletions, "anthropic.claude-opus-4-8") };
    let needs = chat.needs();
    let project = "arn:aws:bedrock-mantle:eu-west-1:123456789012:project";
    assert_eq!(shown(&needs), [format!("bedrock-mantle:CreateInference {project}/default")]);
    let context = Context::default()
        .with("aws:RequestedRegion", "eu-west-1")
        .with("bedrock-mantle:Model", "anthropic.claude-opus-4-8");
    assert_eq!(needs[0].context, context);
    let other = Use { project: Some("proj_a"), ..chat.clone() }.needs();
    assert_eq!(other[0].resource, format!("{project}/proj_a"));
    let get = Use { operation: Operation::GetResponse, model: "", ..chat }.needs();
    assert_eq!(get[0].action, "bedrock-mantle:GetInference");
    assert_eq!(get[0].context, Context::default().with("aws:RequestedRegion", "eu-west-1"));
}

#[test]
fn an_api_key_needs_a_permission_of_its_own() {
    let statement = r#"{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}"#;
    let by_key = Use { is_by_api_key: true, ..of(Operation::Invoke, CLAUDE) };
    assert_eq!(shown(&by_key.needs())[0], "bedrock:CallWithBearerToken *");
    assert!(is_permitted(statement, &of(Operation::Invoke, CLAUDE)));
    assert!(!is_permitted(statement, &by_key));
    let mantle = Use { service: Service::Mantle, ..by_key };
    assert_eq!(shown(&mantle.needs())[0], "bedrock-mantle:CallWithBearerToken *");
}
