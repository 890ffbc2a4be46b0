//! Networks that are closed, servers that are not AWS, clocks and credentials that are wrong.

use super::*;
use crate::world::parrot;

#[tokio::test(flavor = "multi_thread")]
async fn without_network_every_check_says_so_once() {
    let bed = bed();
    let alice = claims(&bed, "alice");
    let closed = "http://127.0.0.1:1";
    let text = bed.text(&setup());
    let standin = &bed.standin;
    let text = [standin.sts.url(), standin.bedrock.url(), standin.control.url(), standin.idp.issuer()]
        .iter()
        .fold(text, |text, url| text.replace(url.as_str(), closed));
    let file = bed.folder().join("closed.toml");
    std::fs::write(&file, text).unwrap();
    let arguments = ["--claims", alice.to_str().unwrap(), "--issuer", "acme"];
    let found = report(&bed, &file, &arguments, &[]).await;
    assert_eq!(found.code, Some(1));
    let caller = format!("caller of {}", alice.display());
    assert_eq!(
        found.statuses(),
        [
            ("configuration", "ok"),
            ("issuer acme", "fail"),
            (&caller, "ok"),
            ("STS", "fail"),
            ("own credentials", "skip"),
            ("roles", "skip"),
            ("Bedrock", "skip"),
        ]
    );
    found.says("STS", "fail", &["127.0.0.1:1", "check the network"]);
    for name in ["own credentials", "roles", "Bedrock"] {
        found.says(name, "skip", &["not tried: STS cannot be reached"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_sts_is_named() {
    let bed = bed();
    let alice = claims(&bed, "alice");
    for garbage in [
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<html>sign in</html>",
        "HTTP/1.1 502 Bad Gateway\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n{\"error\":1}",
    ] {
        let other = parrot(garbage).await;
        let file = bed.folder().join("other.toml");
        std::fs::write(&file, bed.text(&setup()).replace(&bed.standin.sts.url(), &other)).unwrap();
        let found = report(&bed, &file, &["--claims", alice.to_str().unwrap()], &[]).await;
        assert_eq!(found.code, Some(1));
        found.says("clock", "skip", &["no Date"]);
        found.says("own credentials", "fail", &["not one of STS"]);
        found.says("roles", "skip", &["cannot call STS"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_clock_is_named() {
    let bed = bed();
    let late =
        parrot("HTTP/1.1 302 Found\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\nconnection: close\r\n\r\n")
            .await;
    let file = bed.folder().join("late.toml");
    std::fs::write(&file, bed.text(&setup()).replace(&bed.standin.sts.url(), &late)).unwrap();
    let found = report(&bed, &file, &[], &[]).await;
    found.says("clock", "fail", &["s ahead of AWS", "NTP"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_credentials_have_a_name_and_a_remedy() {
    let bed = bed();
    let file = bed.write(&setup());
    let wrong = report(&bed, &file, &[], &[("AWS_SECRET_ACCESS_KEY", "wrong")]).await;
    wrong.says("own credentials", "fail", &["SignatureDoesNotMatch", "does not belong to the access key"]);
    let unknown = report(&bed, &file, &[], &[("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN")]).await;
    unknown.says("own credentials", "fail", &["InvalidClientTokenId", "the access key does not exist"]);
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("HOME", "/nonexistent")];
    let none = report(&bed, &file, &[], &none).await;
    none.says("own credentials", "fail", &["give the gateway a role"]);
    bed.standin.sts.set_chained(false);
    let user = report(&bed, &file, &[], &[]).await;
    user.says("own credentials", "warn", &["user/bedrock-gateway", "never expires", "as a role"]);
    assert_eq!(user.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_names_itself_otherwise_fails_alone() {
    let bed = bed();
    let file = bed.write(&setup());
    let alice = claims(&bed, "alice");
    bed.standin.idp.set_discovered_issuer(Some("https://x/"));
    let found = report(&bed, &file, &["--claims", alice.to_str().unwrap()], &[]).await;
    assert_eq!(found.code, Some(1));
    found.says("issuer acme", "fail", &["names the issuer", "accepts no token"]);
    found.says("role BedrockUser", "ok", &[]);
}
