//! `check --cases`: runs a folder of cases, so that a mapping has regression tests.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::cli::call::Call;
use crate::cli::case::{Case, Outcome};
use crate::cli::{claims, print, read_file};
use crate::config::{Config, counted};
use crate::style::legible;

/// Runs the cases of `folder`, and prints the result of each. Returns whether all passed.
pub(super) fn run(folder: &Path, config: &Config) -> bool {
    let cases = match cases(folder) {
        Ok(cases) if cases.is_empty() => {
            let folder = folder.display();
            eprintln!(
                "error: no case in {folder}; a case is a file whose name ends in .json (explain --save writes one)"
            );
            return false;
        }
        Ok(cases) => cases,
        Err(error) => {
            eprintln!("error: {} cannot be read: {error}; pass a folder of cases", folder.display());
            return false;
        }
    };
    let (mut failed, mut text) = (0, String::new());
    for path in &cases {
        let faults = one(path, config).unwrap_or_else(|fault| vec![fault]);
        let outcome = if faults.is_empty() { "ok    " } else { "FAILED" };
        text.extend([format!("{outcome} {}\n", path.display())]);
        text.extend(faults.iter().map(|fault| format!("       {}\n", legible(fault))));
        failed += usize::from(!faults.is_empty());
    }
    let passed = cases.len() - failed;
    text.extend([format!("{}: {passed} passed, {failed} failed\n", counted(cases.len(), "case"))]);
    // `check` has printed before, and its exit code says whether that was read.
    let _printed: ExitCode = print(&text);
    failed == 0
}

/// The paths of the cases, sorted.
fn cases(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut paths = entries.collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    Ok(paths)
}

/// The differences of one case.
fn one(path: &Path, config: &Config) -> Result<Vec<String>, String> {
    let text = read_file(path)?;
    let case: Case = serde_json::from_str(&text).map_err(|error| format!("it is not a case: {error}"))?;
    let issuer = claims::issuer(&case.claims, case.issuer.as_deref(), "\"issuer\"", config)?;
    let explanation = config.mapping.explain(&issuer.name, &case.claims, &case.header_map()?);
    let call = Call::of(&case.call)?;
    call.check_region(config)?;
    let becomes = explanation.outcome.as_ref().ok();
    let refusal = becomes.and_then(|becomes| call.refusal(becomes, config));
    Ok(Outcome::of(&explanation, refusal.as_ref()).differences(&case.expect))
}
