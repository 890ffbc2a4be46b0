//! `credentials`: prints a token in the shape of AWS credentials, so that every AWS SDK renews it by itself
//! (`credential_process` of a profile; AWS SDKs and Tools Reference Guide, "Process credential provider").

use std::path::PathBuf;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use clap::Args;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};

use crate::auth::UnverifiedToken;
use crate::cli::{print, read_file};
use crate::clock;

/// The timeout of `--token-command`. The command may wait until the user has logged in.
const TIMEOUT: Duration = Duration::from_mins(1);
/// Bytes of the command's output that are read at most. No token is that long.
const LARGEST: u64 = 64 * 1024;
/// The value of both keys. SDKs sign with it; the gateway ignores their signature.
const PLACEHOLDER: &str = "bedrock-gateway";

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Credentials {
    /// A file with the token, or - for standard input.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A shell command that prints the token, within 60 s.
    #[arg(long, value_name = "COMMAND")]
    token_command: Option<String>,
}

pub(super) fn run(arguments: &Credentials) -> ExitCode {
    let text = match (&arguments.token_file, &arguments.token_command) {
        (Some(file), _) => read_file(file),
        (None, Some(command)) => output_of(command, TIMEOUT),
        (None, None) => Err("pass --token-file or --token-command".to_owned()),
    };
    match text.and_then(|text| as_credentials(text.trim(), clock::now())) {
        Ok(credentials) => print(&credentials),
        Err(fault) => {
            eprintln!("error: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// The token in the JSON format that SDKs expect. It is not verified here: the gateway does so for each request.
fn as_credentials(token: &str, now: SystemTime) -> Result<String, String> {
    let parts = UnverifiedToken::read(token).map_err(|_| {
        let why = if token.is_empty() { "the token is empty" } else { "not a JWT, or longer than 32 KiB" };
        why.to_owned()
    })?;
    let expires = parts.expires().map_err(|_| "the token's `exp` is not a number of seconds".to_owned())?;
    let expires = expires.ok_or("the token has no `exp`; the gateway accepts only tokens that expire")?;
    if expires <= now {
        return Err(format!("the token expired at {}; get a new one", clock::rfc3339(expires)));
    }
    let credentials = json!({
        "Version": 1,
        "AccessKeyId": PLACEHOLDER,
        "SecretAccessKey": PLACEHOLDER,
        "SessionToken": token,
        "Expiration": clock::rfc3339(expires),
    });
    Ok(format!("{credentials}\n"))
}

fn output_of(command: &str, limit: Duration) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start the async runtime: {error}"))?;
    runtime.block_on(printed(command, limit))
}

/// The output of the command if it succeeds. It writes to this process's standard error. It has no standard
/// input, because a process group of its own cannot read from the terminal. If it fails, its group is killed.
async fn printed(command: &str, limit: Duration) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
    let mut shell = shell.kill_on_drop(true).spawn().map_err(failed)?;
    let text = tokio::select! {
        text = text_of(&mut shell) => text,
        () = tokio::time::sleep(limit) => {
            Err(format!("the token command did not end within {} s and was killed", limit.as_secs()))
        }
        _interrupt = tokio::signal::ctrl_c() => Err("interrupted".to_owned()),
    };
    // After `wait` has returned, it has no id any more.
    if let Some(group) = shell.id() {
        let kill = format!("kill -s KILL -- -{group}");
        let _killed = Command::new("sh").args(["-c", &kill]).stderr(Stdio::null()).status().await.is_ok();
    }
    text
}

async fn text_of(shell: &mut Child) -> Result<String, String> {
    let mut text = String::new();
    if let Some(output) = shell.stdout.take() {
        output.take(LARGEST).read_to_string(&mut text).await.map_err(failed)?;
    }
    let status = shell.wait().await.map_err(failed)?;
    if status.success() { Ok(text) } else { Err(format!("the token command failed: {status}")) }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err passes it by value")]
fn failed(error: std::io::Error) -> String {
    format!("cannot run the token command: {error}")
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::Value;

    use super::*;

    fn token(claims: &Value) -> String {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        format!("{}.{}.c2ln", part(&json!({ "alg": "RS256" })), part(claims))
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_in_the_shape_of_credentials() {
        let token = token(&json!({ "exp": 1_800_000_000.7 }));
        let printed: Value = serde_json::from_str(&as_credentials(&token, at(0)).unwrap()).unwrap();
        let credentials = json!({
            "Version": 1,
            "AccessKeyId": "bedrock-gateway",
            "SecretAccessKey": "bedrock-gateway",
            "SessionToken": token,
            "Expiration": "2027-01-15T08:00:00Z",
        });
        assert_eq!(printed, credentials);
    }

    #[test]
    fn unusable_tokens_are_rejected_with_the_cause() {
        let fault = |text: &str, now| as_credentials(text, at(now)).unwrap_err();
        assert!(fault("", 0).contains("the token is empty"));
        assert!(fault("sk-123", 0).contains("not a JWT"));
        assert!(fault("a.b.c", 0).contains("not a JWT"));
        assert!(fault(&token(&json!({ "exp": 5, "pad": "x".repeat(32 * 1024) })), 0).contains("32 KiB"));
        assert!(fault(&token(&json!({ "sub": "a" })), 0).contains("no `exp`"));
        assert!(fault(&token(&json!({ "exp": "soon" })), 0).contains("not a number of seconds"));
        let late = fault(&token(&json!({ "exp": 5 })), 5);
        assert!(late.contains("expired") && late.contains("1970-01-01T00:00:05Z"), "{late}");
    }

    #[test]
    fn commands_print_tokens_or_fail() {
        assert_eq!(output_of("printf ' a.b.c\\n'", TIMEOUT).unwrap(), " a.b.c\n");
        assert!(output_of("echo a; exit 3", TIMEOUT).unwrap_err().contains('3'));
        assert!(output_of("sleep 5", Duration::from_millis(50)).unwrap_err().contains("did not end"));
        assert_eq!(output_of("cat", TIMEOUT).unwrap(), "");
    }

    #[test]
    fn nothing_of_a_command_outlives_its_time() {
        let directory = tempfile::tempdir().unwrap();
        let late = directory.path().join("late");
        let command = format!("(sleep 1; touch '{}') & wait", late.display());
        assert!(output_of(&command, Duration::from_millis(100)).is_err());
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!late.exists());
    }
}
