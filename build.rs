//! Tells the compiler which commit is built, for `bedrock-gateway --version`.
//!
//! The commit is, in this order: the environment variable `BEDROCK_GATEWAY_COMMIT`, for packagers who build without a
//! repository; the commit that git names; none. A build never fails for want of a commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=BEDROCK_GATEWAY_COMMIT");
    let named = std::env::var("BEDROCK_GATEWAY_COMMIT").ok().map(|name| name.trim().to_owned());
    let commit = named.filter(|name| !name.is_empty() && !name.contains('\n')).or_else(commit_of_git);
    let version = env!("CARGO_PKG_VERSION");
    let shown = commit.as_ref().map_or_else(|| version.to_owned(), |commit| format!("{version} ({commit})"));
    println!("cargo::rustc-env=BEDROCK_GATEWAY_VERSION={shown}");
    println!("cargo::rustc-env=BEDROCK_GATEWAY_BUILT_FROM={}", commit.unwrap_or_default());
}

/// The abbreviated commit and its date, for example `0ad596f 2026-11-24`. `None` without git, without a repository,
/// and in the repository of another project that only contains this one.
fn commit_of_git() -> Option<String> {
    let root = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    if root != Path::new(env!("CARGO_MANIFEST_DIR")).canonicalize().ok()? {
        return None;
    }
    // Git appends a line to this file whenever HEAD becomes another commit.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    for file in [log.as_str(), &git(&["rev-parse", "--git-path", "HEAD"])?] {
        // Cargo would run the build again each time for a file that is missing.
        if Path::new(file).exists() {
            println!("cargo::rerun-if-changed={file}");
        }
    }
    git(&["log", "-1", "--no-show-signature", "--abbrev=7", "--format=%h %cd", "--date=short"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}
