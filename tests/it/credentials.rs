//! The command `credentials`, which the profile of an AWS SDK runs.

use std::time::Duration;

use bedrock_standin::idp::Claims;
use bedrock_standin::{Options, Standin};
use serde_json::Value;

use crate::process::run;

#[tokio::test(flavor = "multi_thread")]
async fn the_token_comes_from_a_file_or_a_command() {
    let standin = Standin::start(Options::default());
    let token = standin.idp.mint(Claims::of("alice"));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("\n {token}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    let command = format!("echo working >&2; cat '{path}'");
    for (arguments, said) in [
        (["credentials", "--token-file", path], ""),
        (["credentials", "--token-command", &command], "working\n"),
    ] {
        let ended = run(&arguments, "");
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), said));
        let credentials: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!(credentials["Version"], 1);
        assert_eq!(credentials["SessionToken"], token);
        let expiration = credentials["Expiration"].as_str().unwrap();
        assert!(expiration.ends_with('Z') && expiration.len() == 20, "{expiration}");
    }
    let piped = run(&["credentials", "--token-file", "-"], &token);
    assert!(piped.out.contains(&token), "{}", piped.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_token_is_reported_but_not_shown() {
    let standin = Standin::start(Options::default());
    let expired = standin.idp.mint(Claims::of("alice").expired_for(Duration::from_secs(60)));
    let endless = standin.idp.mint(Claims::of("alice").without("exp"));
    for (token, words) in
        [(expired.as_str(), "expired at"), (&endless, "no `exp`"), ("sk-1234", "not a JWT"), ("", "is empty")]
    {
        let ended = run(&["credentials", "--token-file", "-"], token);
        assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""), "{}", ended.err);
        assert!(ended.err.contains(words), "{}", ended.err);
        assert!(token.is_empty() || !ended.err.contains(token));
    }
    let failed = run(&["credentials", "--token-command", "echo no >&2; exit 7"], "");
    assert_eq!(failed.code, Some(1));
    assert!(failed.err.contains("no\n") && failed.err.contains('7'), "{}", failed.err);
    let missing = run(&["credentials", "--token-file", "/nonexistent"], "");
    assert!(missing.err.contains("/nonexistent cannot be read"), "{}", missing.err);
    assert_eq!(run(&["credentials"], "").code, Some(2));
    assert_eq!(run(&["credentials", "--token-file", "a", "--token-command", "b"], "").code, Some(2));
}
