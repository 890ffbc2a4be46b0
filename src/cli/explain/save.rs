//! `explain --save`: writes what was explained as a case for `check --cases`.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use http::HeaderMap;

use super::Report;
use crate::cli::call::Call;
use crate::cli::case::{Case, Outcome};

/// Writes the case. The token is not in it, but the claims are.
///
/// # Errors
/// When the token was rejected, so that there is nothing to save, or the file cannot be written.
pub(super) fn write(
    file: &Path,
    report: &Report<'_>,
    headers: &HeaderMap,
    call: &Call,
) -> Result<(), String> {
    let (Some(explanation), Some(issuer)) = (&report.explanation, &report.holder.issuer) else {
        return Err("a rejected token makes no case; nothing was saved".to_owned());
    };
    let case = Case {
        description: None,
        issuer: Some(issuer.clone()),
        headers: read_headers(issuer, report, headers),
        claims: report.claims.clone(),
        call: call.case(),
        expect: Outcome::of(explanation, report.refusal.as_ref()),
    };
    let json = serde_json::to_string_pretty(&case).map_err(|error| error.to_string())?;
    // The claims are personal data, so other users of this machine must not read them.
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file);
    let written = opened.and_then(|mut file| file.write_all(format!("{json}\n").as_bytes()));
    written.map_err(|error| format!("{} cannot be written: {error}", file.display()))?;
    eprintln!(
        "saved {}: it contains the claims, which are personal data; replace names before you share it",
        file.display()
    );
    Ok(())
}

/// The headers that expressions of the issuer can read. Others could carry secrets.
fn read_headers(issuer: &str, report: &Report<'_>, headers: &HeaderMap) -> BTreeMap<String, String> {
    let mapping = report.config.mapping.issuers.iter().find(|mapping| *mapping.issuer == *issuer);
    let listed = mapping.map(|mapping| mapping.request_headers.as_slice()).unwrap_or_default();
    let value = |name: &String| Some((name.clone(), headers.get(name)?.to_str().ok()?.to_owned()));
    listed.iter().filter_map(value).collect()
}
