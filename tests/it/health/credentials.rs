//! The gateway's own credentials are missing or wrong.

use std::time::Duration;

use bedrock_bed::Bed;
use tokio::net::TcpListener;

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

/// A gateway without keys in its environment, and with these variables.
fn without_keys(bed: Bed, variables: &[(&str, &str)]) -> Gateway {
    Gateway::with(bed, str::to_owned, |command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.envs(variables.iter().copied());
    })
}

fn profile(name: &str, id: &str, secret: &str) -> String {
    format!("[{name}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_keys_of_a_profile_are_read_again_once_they_are_corrected() {
    let bed = Bed::start();
    let (own, files) = (bed.credentials(), bed.folder().join("credentials"));
    std::fs::write(&files, profile("default", own.access_key_id(), "wrong")).unwrap();
    let gateway = without_keys(
        bed,
        &[("AWS_SHARED_CREDENTIALS_FILE", files.to_str().unwrap()), ("AWS_CONFIG_FILE", "/nonexistent")],
    );
    gateway.reports("sts", "(SignatureDoesNotMatch): the gateway's own secret access key").await;
    std::fs::write(&files, profile("default", own.access_key_id(), own.secret_access_key())).unwrap();
    gateway.is_over("sts").await;
    assert_eq!(gateway.call("alice").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_profile_is_named_until_the_file_has_it() {
    let bed = Bed::start();
    let (own, files) = (bed.credentials(), bed.folder().join("credentials"));
    let profile = |name: &str| profile(name, own.access_key_id(), own.secret_access_key());
    std::fs::write(&files, profile("prod")).unwrap();
    let path = files.to_str().unwrap();
    // A later source, which would be another principal.
    let container = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let later = format!("http://{}/", container.local_addr().unwrap());
    let gateway = without_keys(
        bed,
        &[
            ("AWS_PROFILE", "prdo"),
            ("AWS_SHARED_CREDENTIALS_FILE", path),
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &later),
        ],
    );
    let words = format!("AWS_PROFILE is \"prdo\", which is not a profile of /nonexistent and {path}; ");
    gateway.reports("own_credentials", &words).await;
    // The names of the profiles are only in the log.
    let (_, readyz) = gateway.page("/readyz").await.unwrap();
    assert!(!readyz.contains("they have") && readyz.contains("the process log has the cause"), "{readyz}");
    assert!(std::fs::read_to_string(&gateway.log).unwrap().contains("they have prod;"));
    let asked = tokio::time::timeout(Duration::ZERO, container.accept()).await;
    assert!(asked.is_err(), "a configured source that fails ends the search");
    std::fs::write(&files, profile("prdo")).unwrap();
    gateway.is_over("own_credentials").await;
    assert_eq!(gateway.call("alice").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_token_file_is_named_by_its_path() {
    let gateway = without_keys(
        Bed::start(),
        &[
            ("AWS_CONFIG_FILE", "/nonexistent"),
            ("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/no/token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/gateway"),
        ],
    );
    let words = "AWS_WEB_IDENTITY_TOKEN_FILE is /var/run/no/token, which cannot be read";
    gateway.reports("own_credentials", words).await;
    let log = std::fs::read_to_string(&gateway.log).unwrap();
    for dump in ["ProviderError", "SdkError", "Os {"] {
        assert!(!log.contains(dump), "{log}");
    }
}
