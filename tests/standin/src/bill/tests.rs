use http::HeaderMap;

use super::*;

const SONNET: &str = "anthropic.claude-sonnet-4-6-v1:0";

/// 2026-11-23T02:40:00Z
fn then() -> SystemTime {
    UNIX_EPOCH + Duration::from_mins(29_923_360)
}

fn call(user: &str, team: &str, model: &str, operation: Operation) -> Call {
    Call {
        principal: format!("arn:aws:sts::123456789012:assumed-role/BedrockUser/{user}"),
        tags: BTreeMap::from([("team".to_owned(), team.to_owned())]),
        service: Service::Runtime,
        operation,
        model: model.to_owned(),
        subject: None,
        region: "us-east-1".to_owned(),
        access_key_id: "ASIA".to_owned(),
        method: http::Method::POST,
        target: "/".to_owned(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
        at: then(),
    }
}

fn amounts(bill: &Bill) -> Vec<(String, f64)> {
    bill.rows().into_iter().map(|row| (row.line_item_usage_type, row.line_item_usage_amount)).collect()
}

#[test]
fn a_row_has_the_values_of_cur() {
    let bill = Bill::new();
    let usage = Usage { input: 2_000, ..Usage::default() };
    bill.charge(&call("alice@acme.org", "search", SONNET, Operation::Converse), usage);
    let row = bill.rows().pop().unwrap();
    assert_eq!(
        row.line_item_iam_principal,
        "arn:aws:sts::123456789012:assumed-role/BedrockUser/alice@acme.org"
    );
    assert_eq!(row.line_item_usage_type, "USE1-Claude4.6Sonnet-input-tokens");
    assert_eq!(row.line_item_operation, "InvokeModelInference");
    assert_eq!(row.line_item_resource_id, format!("arn:aws:bedrock:us-east-1::foundation-model/{SONNET}"));
    assert_eq!(row.line_item_usage_account_id, "123456789012");
    assert_eq!(row.bill_billing_period_start_date, "2026-11-01T00:00:00.000Z");
    assert_eq!(row.line_item_usage_start_date, "2026-11-23T02:00:00.000Z");
    assert_eq!(row.line_item_usage_end_date, "2026-11-23T03:00:00.000Z");
    assert_eq!(row.bill_billing_entity, "AWS Marketplace");
    assert_ne!(row.line_item_product_code, "AmazonBedrock");
    assert_eq!(row.product["model"], "Claude Sonnet 4.6");
    assert_eq!(row.tags, BTreeMap::from([("iamPrincipal/team".to_owned(), "search".to_owned())]));
    assert!((row.line_item_usage_amount - 2.0).abs() < 1e-12);
    assert!((row.line_item_unblended_cost - 0.006).abs() < 1e-12);
}

#[test]
fn usage_adds_up_by_principal_tags_model_and_kind() {
    let bill = Bill::new();
    let usage = Usage { input: 500, output: 100, cache_read: 1_000, cache_write: 10 };
    let alice = call("alice", "search", SONNET, Operation::Converse);
    bill.charge(&alice, usage);
    bill.charge(&alice, usage);
    bill.charge(&call("alice", "ads", SONNET, Operation::Converse), Usage { input: 1, ..Usage::default() });
    bill.charge(
        &call("bob", "ads", "us.amazon.nova-2-lite-v1:0", Operation::ConverseStream),
        Usage { output: 4, ..Usage::default() },
    );
    let expected = [
        ("USE1-Claude4.6Sonnet-input-tokens", 0.001),
        ("USE1-Claude4.6Sonnet-input-tokens", 1.0),
        ("USE1-Claude4.6Sonnet-output-tokens", 0.2),
        ("USE1-Claude4.6Sonnet-cache-read-input-token-count", 2.0),
        ("USE1-Claude4.6Sonnet-cache-write-input-token-count", 0.02),
        ("USE1-Nova2.0Lite-output-tokens-cross-region-geo", 0.004),
    ];
    assert_eq!(amounts(&bill), expected.map(|(usage_type, amount)| (usage_type.to_owned(), amount)));

    let alices = 1_001 * 3_000 + 200 * 15_000 + 2_000 * 300 + 20 * 3_750;
    assert!((bill.total() - usd(alices + 4 * 2_500)).abs() < 1e-12);
    let sum: f64 = bill.rows().iter().map(|row| row.line_item_unblended_cost).sum();
    assert!((bill.total() - sum).abs() < 1e-12);
    let principals: Vec<_> =
        bill.principals().iter().map(|arn| arn.rsplit('/').next().unwrap().to_owned()).collect();
    assert_eq!(principals, ["alice", "bob"]);
    let bobs = bill.rows().pop().unwrap();
    assert_eq!(bobs.line_item_operation, "InvokeModelStreamingInference");
    assert_eq!(
        bobs.line_item_resource_id,
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.amazon.nova-2-lite-v1:0"
    );

    bill.clear();
    assert!(bill.rows().is_empty() && bill.calls().is_empty());
    assert!(bill.total().abs() < f64::EPSILON);
}

#[test]
fn mantle_has_its_own_usage_types() {
    let bill = Bill::new();
    let mut call = call("alice", "search", "anthropic.claude-opus-4-8", Operation::Messages);
    call.service = Service::Mantle;
    bill.charge(&call, Usage { input: 1_000, output: 2_000, cache_read: 3_000, cache_write: 4_000 });
    let expected =
        [("input", 1.0), ("output", 2.0), ("cache-read", 3.0), ("cache-write", 4.0)].map(|(kind, amount)| {
            (format!("USE1-anthropic.claude-opus-4-8-mantle-{kind}-tokens-standard"), amount)
        });
    assert_eq!(amounts(&bill), expected);
    assert!((bill.rows()[0].line_item_unblended_cost - 0.005).abs() < 1e-12);
}

#[test]
fn hours_and_regions_have_separate_rows() {
    let bill = Bill::new();
    let usage = Usage { input: 1, ..Usage::default() };
    let mut call = call("alice", "search", SONNET, Operation::Invoke);
    bill.charge(&call, usage);
    call.at += HOUR;
    bill.charge(&call, usage);
    for (region, code) in [
        ("us-west-2", "USW2"),
        ("eu-central-1", "EUC1"),
        ("eu-west-1", "EU"),
        ("eu-west-3", "EUW3"),
        ("ap-northeast-1", "APN1"),
        ("ap-southeast-2", "APS2"),
        ("ap-south-1", "APS3"),
        ("sa-east-1", "SAE1"),
    ] {
        region.clone_into(&mut call.region);
        bill.charge(&call, usage);
        let expected = format!("{code}-Claude4.6Sonnet-input-tokens");
        assert!(bill.rows().iter().any(|row| row.line_item_usage_type == expected), "{expected}");
    }
    assert_eq!(bill.rows().len(), 10);
}

#[test]
fn csv_has_the_columns_and_maps_as_json() {
    let bill = Bill::new();
    assert_eq!(bill.to_csv().lines().count(), 1);
    let usage = Usage { output: 1_500, ..Usage::default() };
    bill.charge(&call("alice", "\"search\", and", SONNET, Operation::Invoke), usage);
    let csv = bill.to_csv();
    let (names, cells) = csv.trim_end().split_once('\n').unwrap();
    assert!(cells.ends_with(r#""{""iamPrincipal/team"":""\""search\"", and""}""#), "{cells}");
    assert!(cells.contains(",0.0225,"), "{cells}");

    let row = serde_json::json!(bill.rows()[0]);
    let mut fields: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
    fields.sort_unstable();
    assert_eq!(names.split(',').collect::<Vec<_>>(), fields, "every field is a column");
}
