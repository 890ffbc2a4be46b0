//! Configurations and options that nothing can be generated for: one message each, with the remedy.

use super::*;

fn error(rest: &str, options: &Options) -> String {
    Bundle::generate(&config(rest), options).unwrap_err().to_string()
}

#[test]
fn roles_in_several_accounts_need_the_gateways_role() {
    let two =
        format!("{}[[role]]\narn = \"arn:aws:iam::210987654321:role/Other\"\n", role("when = \"claims.a\""));
    let text = error(&two, &Options::default());
    assert!(text.contains("--gateway-role") && text.contains("123456789012, 210987654321"), "{text}");
    let options = Options {
        gateway_role: Some(RoleArn::parse("arn:aws:iam::333333333333:role/G").unwrap()),
        ..Options::default()
    };
    let bundle = Bundle::generate(&config(&two), &options).unwrap();
    let ids: Vec<&str> = bundle.accounts.iter().map(|account| account.id.as_str()).collect();
    assert_eq!(ids, ["333333333333", "123456789012", "210987654321"]);
}

#[test]
fn arns_of_another_partition_are_named() {
    let options = Options {
        gateway_role: Some(RoleArn::parse("arn:aws-cn:iam::123456789012:role/G").unwrap()),
        ..Options::default()
    };
    let text = error(&role(""), &options);
    assert!(text.contains("--gateway-role arn:aws-cn") && text.contains("write arn:aws:"), "{text}");
    let options =
        Options { break_glass: vec!["arn:aws-us-gov:iam::*:role/B".parse().unwrap()], ..Options::default() };
    assert!(error(&role(""), &options).contains("--break-glass arn:aws-us-gov"), "break-glass");
    let keys = "models = [\"arn:aws-cn:bedrock:*:123456789012:provisioned-model/*\"]";
    let text = error(&role(keys), &Options::default());
    assert!(text.contains("the model pattern arn:aws-cn") && text.contains("partition aws"), "{text}");
}

#[test]
fn patterns_that_match_no_model_are_named() {
    for pattern in [
        "claude-3",
        "arn:aws:s3:::bucket",
        "arn:aws:bedrock:us-east-1:123456789012:provisioned-model/x",
        "arn:aws:bedrock:eu-west-1:123456789012:custom-model/x",
    ] {
        let text = error(&role(&format!("models = [\"eu.*\", \"{pattern}\"]")), &Options::default());
        assert!(text.contains(pattern) && text.contains("number 1"), "{text}");
    }
}

#[test]
fn names_that_iam_cannot_keep_apart_are_refused() {
    let two = |arn: &str| format!("{}[[role]]\narn = \"{arn}\"\n", role("when = \"claims.a\""));
    let text = error(&two("arn:aws:iam::123456789012:role/path/user"), &Options::default());
    assert!(text.contains("rename one"), "{text}");
    let text = error(&two("arn:aws:iam::123456789012:role/BedrockGateway"), &Options::default());
    assert!(text.contains("the gateway's own role"), "{text}");
    let text = error(&two("arn:aws:iam::123456789012:role/*/x"), &Options::default());
    assert!(text.contains("reads as a pattern"), "{text}");
}

#[test]
fn policies_that_iam_would_not_accept_are_refused_with_a_remedy() {
    let tag = |n: usize| format!("a-long-key-of-a-tag-number-{n} = \"claims.team\"");
    let tags = (0..50).map(tag).collect::<Vec<_>>().join("\n");
    let text = error(&format!("[issuer.session.tags]\n{tags}\n{}", role("")), &Options::default());
    assert!(text.contains("the trust policy of") && text.contains("4096"), "{text}");
    let text = error(
        &format!("[issuer.session.tags]\n\"部門\" = \"claims.team\"\n{}", role("")),
        &Options::default(),
    );
    assert!(text.contains("'部'") && text.contains("rename the tag key"), "{text}");
}
