use std::path::PathBuf;

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::*;

/// A folder with the files that [`CONFIG`] names, each of which fits its purpose.
struct Folder(TempDir);

const CONFIG: &str = r#"[listen]
https = "127.0.0.1:0"
admin = "127.0.0.1:0"
admin_token_file = "token"
tls = { cert = "tls.crt", key = "tls.key" }
[aws]
region = "us-east-1"
endpoints = { ca = "ca.pem" }
[revoke]
file = "deny.toml"
[log]
file = "logs/gateway.log"
[[issuer]]
name = "acme"
url = "https://acme.example"
jwks_file = "keys.json"
audiences = ["bedrock-gateway"]
session = { name = "claims.sub" }
[[role]]
arn = "arn:aws:iam::123456789012:role/BedrockUser"
"#;

/// A certificate and its key, in PEM, valid for this many days from now.
fn pair(days: std::ops::Range<i64>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let now = time::OffsetDateTime::from(clock::now());
    params.not_before = now + time::Duration::days(days.start);
    params.not_after = now + time::Duration::days(days.end);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let (certificate, key) = pair(-1..90);
        let keys = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
        std::fs::create_dir(folder.path("logs")).unwrap();
        for (name, text) in [
            ("tls.crt", certificate.as_str()),
            ("tls.key", &key),
            ("ca.pem", &certificate),
            ("token", "secret\n"),
            ("deny.toml", ""),
            ("keys.json", keys),
        ] {
            folder.write(name, text);
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn check(&self) -> Result<Vec<Diagnostic>, ConfigError> {
        let file = self.path("gateway.toml");
        check(&Config::parse(CONFIG, file.to_str().unwrap(), &|_| None).unwrap())
    }

    /// The one problem: its line, key, and message without the folder.
    fn problem(&self) -> (usize, String, String) {
        let ConfigError(problems) = self.check().unwrap_err();
        let [problem] = problems.as_slice() else { panic!("not one problem: {problems:?}") };
        assert!(problem.help.len() > 10, "{problem}");
        let folder = format!("{}/", self.0.path().display());
        (problem.line, problem.key.clone(), problem.message.replace(&folder, ""))
    }
}

#[test]
fn files_that_fit_are_found_beside_the_configuration() {
    assert_eq!(Folder::new().check(), Ok(Vec::new()));
}

#[test]
fn a_missing_file_is_a_problem_at_the_line_that_names_it() {
    for (name, line, key) in [
        ("tls.crt", 5, "listen.tls.cert"),
        ("tls.key", 5, "listen.tls.key"),
        ("ca.pem", 8, "aws.endpoints.ca"),
        ("token", 4, "listen.admin_token_file"),
        ("keys.json", 16, "issuer[0].jwks_file"),
    ] {
        let folder = Folder::new();
        std::fs::remove_file(folder.path(name)).unwrap();
        let message = format!("{name} cannot be read: no such file");
        assert_eq!(folder.problem(), (line, key.to_owned(), message));
        std::fs::create_dir(folder.path(name)).unwrap();
        assert_eq!(folder.problem().2, format!("{name} cannot be read: it is a folder"));
    }
    let folder = Folder::new();
    std::fs::remove_file(folder.path("deny.toml")).unwrap();
    let message = "the deny file deny.toml does not exist".to_owned();
    assert_eq!(folder.problem(), (10, "revoke.file".to_owned(), message));
    std::fs::remove_dir(folder.path("logs")).unwrap();
    assert_eq!(folder.check().unwrap_err().0.len(), 2);
}

#[test]
fn a_file_that_does_not_fit_its_purpose_is_a_problem() {
    let (other_certificate, other_key) = pair(-1..90);
    for (name, content, key, message) in [
        ("tls.crt", "", "listen.tls.cert", "tls.crt contains no certificate"),
        ("tls.key", &other_certificate, "listen.tls.key", "tls.key contains no private key"),
        ("tls.key", &other_key, "listen.tls.key", "tls.key is not the private key of tls.crt"),
        (
            "ca.pem",
            "x",
            "aws.endpoints.ca",
            "ca.pem is not a file of CA certificates: it has no CERTIFICATE block in PEM",
        ),
        (
            "token",
            " \n",
            "listen.admin_token_file",
            "token contains no token: it is empty, or it is not text",
        ),
        (
            "keys.json",
            "[]",
            "issuer[0].jwks_file",
            "keys.json: it is not a key set: it must be JSON with a list of keys, as {\"keys\": […]}",
        ),
        ("keys.json", "{\"keys\":[]}", "issuer[0].jwks_file", "keys.json: it has no usable key"),
    ] {
        let folder = Folder::new();
        folder.write(name, content);
        let problem = folder.problem();
        assert_eq!((problem.1.as_str(), problem.2.as_str()), (key, message));
    }
    let folder = Folder::new();
    let (certificate, key) = pair(-1..90);
    folder.write("tls.crt", &key);
    folder.write("tls.key", &certificate);
    let swapped = "cert and key are swapped: tls.crt contains the private key, tls.key the certificate";
    assert_eq!(folder.problem().2, swapped);
}

#[test]
fn problems_in_the_deny_file_have_their_own_place() {
    let folder = Folder::new();
    folder.write("deny.toml", "\n[[revoke]]\nprincipal = \"alice\"\n");
    let ConfigError(problems) = folder.check().unwrap_err();
    assert!(problems[0].file.ends_with("deny.toml"), "{problems:?}");
    assert_eq!(problems[0].line, 3);
}

#[test]
fn a_log_that_cannot_be_created_is_a_problem() {
    let folder = Folder::new();
    std::fs::remove_dir(folder.path("logs")).unwrap();
    assert_eq!(folder.problem().2, "the folder logs does not exist".to_owned());
    std::fs::create_dir_all(folder.path("logs/gateway.log")).unwrap();
    assert_eq!(folder.problem().2, "logs/gateway.log is a folder".to_owned());
}

#[test]
fn a_log_that_would_wait_for_a_reader_is_a_problem_and_a_device_is_none() {
    let folder = Folder::new();
    let log = folder.path("logs/gateway.log");
    let made = std::process::Command::new("mkfifo").arg(&log).status().unwrap();
    assert!(made.success());
    let message = "logs/gateway.log is a named pipe, and a log must be a regular file".to_owned();
    assert_eq!(folder.problem(), (12, "log.file".to_owned(), message));
    std::fs::remove_file(&log).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(&log).unwrap();
    assert_eq!(folder.problem().2, "logs/gateway.log is a socket, and a log must be a regular file");
    std::fs::remove_file(&log).unwrap();
    std::os::unix::fs::symlink("/dev/null", &log).unwrap();
    assert_eq!(folder.check(), Ok(Vec::new()));
}

#[test]
fn a_certificate_that_is_not_valid_now_is_a_warning_with_the_date() {
    for (days, words) in [(-9..-2, "expired at"), (2..90, "is not valid before"), (-9..13, "expires at")] {
        let folder = Folder::new();
        let (certificate, key) = pair(days);
        folder.write("tls.crt", &certificate);
        folder.write("tls.key", &key);
        let warnings = folder.check().unwrap();
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert_eq!((warning.line, warning.key.as_str()), (5, "listen.tls.cert"));
        assert!(warning.message.contains(words) && warning.message.ends_with('Z'), "{warning}");
    }
}
