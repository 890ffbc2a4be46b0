//! `--billing`: the export and the tags of the account that pays.

use bedrock_bed::Dialog;
use bedrock_standin::billing::BillingFault;

use super::*;

/// `doctor --billing` with these arguments, against the stand-in's billing services.
async fn billing(bed: &Bed, arguments: &[&str], variables: &[(&str, &str)]) -> Report {
    let url = bed.standin.billing.url();
    let all: Vec<&str> = ["--billing"].into_iter().chain(arguments.iter().copied()).collect();
    let services = [("AWS_ENDPOINT_URL_BCM_DATA_EXPORTS", &*url), ("AWS_ENDPOINT_URL_COST_EXPLORER", &*url)];
    let variables: Vec<_> = services.into_iter().chain(variables.iter().copied()).collect();
    report(bed, &bed.write(&setup()), &all, &variables).await
}

/// An export of CUR 2.0 that was delivered an hour ago.
fn export(principals: &str, query: &str) -> Value {
    let now = bedrock_gateway::clock::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    json!({
        "Export": {
            "ExportArn": "arn:aws:bcm-data-exports:us-east-1:111122223333:export/cur-1",
            "Name": "cur",
            "DataQuery": {
                "QueryStatement": query,
                "TableConfigurations": {
                    "COST_AND_USAGE_REPORT": { "INCLUDE_IAM_PRINCIPAL_DATA": principals },
                },
            },
        },
        "ExportStatus": { "StatusCode": "HEALTHY", "LastRefreshedAt": now - 3600 },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_bill_gives_no_warning() {
    let bed = bed();
    bed.standin.billing.add_export(export("TRUE", "SELECT * FROM COST_AND_USAGE_REPORT"));
    bed.standin.billing.set_tag("iamPrincipal/team", true);
    let found = billing(&bed, &[], &[]).await;
    assert_eq!(found.code, Some(0), "{:#?}", found.checks);
    found.says("export cur", "ok", &["CUR 2.0 with IAM principals"]);
    found.says("tag iamPrincipal/team", "ok", &["active"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_and_tags_that_leave_the_person_out_are_named() {
    let bed = bed();
    let found = billing(&bed, &[], &[]).await;
    found.says("export", "fail", &["no export of CUR 2.0", "INCLUDE_IAM_PRINCIPAL_DATA"]);
    found.says(
        "tag iamPrincipal/team",
        "warn",
        &["does not list it", "call Bedrock through the gateway once"],
    );

    bed.standin.billing.add_export(export("FALSE", "SELECT * FROM COST_AND_USAGE_REPORT"));
    bed.standin.billing.set_tag("iamPrincipal/team", false);
    let found = billing(&bed, &[], &[]).await;
    assert_eq!(found.code, Some(1));
    found.says("export cur", "fail", &["leaves out who called"]);
    found.says("tag iamPrincipal/team", "fail", &["not active", "--activate"]);

    bed.standin.billing.clear_exports();
    bed.standin.billing.add_export(export("TRUE", "SELECT product FROM COST_AND_USAGE_REPORT"));
    billing(&bed, &[], &[]).await.says(
        "export cur",
        "fail",
        &["line_item_iam_principal", "add these columns"],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_activated_only_with_consent() {
    let bed = bed();
    bed.standin.billing.set_tag("iamPrincipal/team", false);
    let found = billing(&bed, &["--activate"], &[]).await;
    found.says("activation", "skip", &["iamPrincipal/team", "pass --yes"]);
    assert_eq!(bed.standin.billing.tag("iamPrincipal/team"), Some(false));

    let found = billing(&bed, &["--activate", "--yes"], &[]).await;
    found.says("activate iamPrincipal/team", "ok", &["activated"]);
    found.says("tag iamPrincipal/team", "ok", &["active"]);
    assert_eq!(bed.standin.billing.tag("iamPrincipal/team"), Some(true));
    billing(&bed, &["--activate", "--yes"], &[]).await.says("activation", "skip", &["no mapped tag"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_on_a_terminal_is_asked_before_tags_are_activated() {
    let bed = bed();
    bed.standin.billing.set_tag("iamPrincipal/team", false);
    let file = bed.write(&setup());
    for (answer, active) in [("", false), ("n", false), ("y", true)] {
        let url = bed.standin.billing.url();
        let mut command = binary();
        command.args(["doctor", "--billing", "--activate", "--config"]).arg(&file);
        bed.lend_credentials(&mut command)
            .env("AWS_ENDPOINT_URL_BCM_DATA_EXPORTS", &url)
            .env("AWS_ENDPOINT_URL_COST_EXPLORER", &url);
        let mut dialog = Dialog::of(&mut command);
        let child = Process::spawn(&mut command);
        drop(command);
        let text = tokio::task::spawn_blocking(move || {
            dialog.answer("Activate the cost allocation tags iamPrincipal/team? [y/N] ", answer);
            let text = dialog.text();
            drop(child);
            text
        })
        .await
        .unwrap();
        assert_eq!(text.contains("activated; new rows have it"), active, "{text}");
        assert_eq!(bed.standin.billing.tag("iamPrincipal/team"), Some(active), "{answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_account_and_a_server_that_is_not_aws_are_named() {
    let bed = bed();
    bed.standin.billing.faults().always(BillingFault::Deny);
    let found = billing(&bed, &[], &[]).await;
    found.says("export", "fail", &["AccessDenied", "--profile", "bcm-data-exports:ListExports"]);
    found.says("cost allocation tags", "fail", &["ce:ListCostAllocationTags"]);
    bed.standin.billing.faults().always(BillingFault::Garbage);
    billing(&bed, &[], &[]).await.says("export", "fail", &["not an answer of AWS"]);

    let nowhere = [("AWS_CONFIG_FILE", "/nonexistent"), ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")];
    let found = billing(&bed, &["--profile", "payer"], &nowhere).await;
    found.says("bill", "fail", &["no credentials of the account that pays", "--profile"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_pays_with_its_own_credentials() {
    let bed = bed();
    bed.standin.billing.set_tag("iamPrincipal/team", true);
    let own = bed.credentials();
    let file = bed.folder().join("credentials");
    let keys = format!(
        "[payer]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        own.access_key_id(),
        own.secret_access_key()
    );
    std::fs::write(&file, keys).unwrap();
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", file.to_str().unwrap()),
        ("AWS_CONFIG_FILE", "/nonexistent"),
        ("AWS_SECRET_ACCESS_KEY", "wrong"),
    ];
    let found = billing(&bed, &["--profile", "payer"], &variables).await;
    found.says("own credentials", "fail", &["SignatureDoesNotMatch"]);
    found.says("tag iamPrincipal/team", "ok", &["active"]);
}
