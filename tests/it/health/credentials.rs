//! The gateway's own credentials are missing or wrong.

use bedrock_bed::Bed;

use super::Gateway;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_are_reported_until_they_are_right() {
    let bed = Bed::start();
    bed.standin.credentials.set_gateway_active(false);
    let gateway = Gateway::start(bed);
    gateway.reports("sts", "it refuses the gateway itself (InvalidClientTokenId)").await;
    assert_eq!(gateway.call("alice").await, 503);
    gateway.bed.standin.credentials.set_gateway_active(true);
    gateway.is_over("sts").await;
    assert_eq!(gateway.call("alice").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_does_not_belong_to_its_key_is_reported() {
    let gateway = Gateway::with(Bed::start(), str::to_owned, |command| {
        command.env("AWS_SECRET_ACCESS_KEY", "wrong");
    });
    gateway.reports("sts", "(SignatureDoesNotMatch): the gateway's own secret access key").await;
}
