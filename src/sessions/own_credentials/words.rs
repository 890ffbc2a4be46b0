//! Why a source has no credentials, in words for the operator: the value that is wrong and the next step.

use std::io;
use std::path::PathBuf;

use aws_credential_types::provider::error::CredentialsError;

use super::cause;
use crate::causes;
use crate::sessions::failure_text::FailureText;

/// A source of credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Environment,
    Profile,
    WebIdentity,
    Container,
    Instance,
}

impl Source {
    pub(super) const ALL: [Self; 5] =
        [Self::Environment, Self::Profile, Self::WebIdentity, Self::Container, Self::Instance];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Profile => "profile",
            Self::WebIdentity => "web identity",
            Self::Container => "container",
            Self::Instance => "EC2",
        }
    }
}

/// The environment variables that the sources read.
pub(super) struct Surroundings<'a>(&'a (dyn Fn(&str) -> Option<String> + Sync));

impl Surroundings<'static> {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        Self(&|name| std::env::var(name).ok())
    }
}

impl Surroundings<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// The two files of profiles: as the operator knows them, and their paths.
    fn profile_files(&self) -> [(String, PathBuf); 2] {
        [("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")].map(
            |(variable, name)| {
                if let Some(path) = self.get(variable) {
                    return (path.clone(), path.into());
                }
                let home = PathBuf::from(self.get("HOME").unwrap_or_default());
                (format!("~/.aws/{name}"), home.join(".aws").join(name))
            },
        )
    }

    /// The names of the profiles in both files.
    fn profiles(&self) -> Vec<String> {
        let texts = self.profile_files().map(|(_, path)| std::fs::read_to_string(path).unwrap_or_default());
        let mut names: Vec<String> = texts.iter().flat_map(|text| text.lines()).filter_map(header).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The name of the profile that begins with this line.
fn header(line: &str) -> Option<String> {
    let (name, _) = line.trim().strip_prefix('[')?.split_once(']')?;
    let name = name.trim();
    match name.split_once(char::is_whitespace) {
        None => Some(name.to_owned()),
        Some(("profile", name)) => Some(name.trim().to_owned()),
        Some(_) => None,
    }
}

/// One sentence: first what was configured and does not work, then every source that was tried.
pub(super) fn sentence(tried: &[(Source, Why)]) -> FailureText {
    let mut fault = FailureText::public("set up one of the sources");
    let mut sources = Vec::new();
    for (source, why) in tried {
        match why {
            Why::Fault(text) => {
                sources.push(format!("{} (fails)", source.as_str()));
                fault = text.clone();
            }
            Why::Absent(text) => sources.push(format!("{} ({text})", source.as_str())),
        }
    }
    let sources = sources.join(", ");
    let around = |fault: &str| format!("no AWS credentials found; {fault}; tried: {sources}");
    FailureText { short: around(&fault.short), full: around(&fault.full) }
}

/// Why a source has no credentials.
pub(super) enum Why {
    /// It is not set up.
    Absent(String),
    /// It is set up, and does not work.
    Fault(FailureText),
}

impl Why {
    pub(super) fn is_fault(&self) -> bool {
        matches!(self, Self::Fault(_))
    }

    fn fault(text: impl Into<String>) -> Self {
        Self::Fault(FailureText::public(text))
    }

    fn caused(text: impl Into<String>, error: &CredentialsError) -> Self {
        Self::Fault(FailureText::with_cause(text, &cause(error)))
    }
}

/// Why `source` has no credentials.
pub(super) fn why(source: Source, error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    match source {
        Source::Environment => environment(error, around),
        Source::Profile => profile(error, around),
        Source::WebIdentity => web_identity(error, around),
        Source::Container => container(error, around),
        Source::Instance => instance(error, around),
    }
}

fn is_absent(error: &CredentialsError) -> bool {
    matches!(error, CredentialsError::CredentialsNotLoaded(_))
}

fn environment(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    let (id, secret) = (around.get("AWS_ACCESS_KEY_ID"), around.get("AWS_SECRET_ACCESS_KEY"));
    match (id, secret) {
        (Some(_), None) => Why::fault("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not"),
        (None, Some(_)) => Why::fault("AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not"),
        _ if is_absent(error) => Why::Absent("no AWS_ACCESS_KEY_ID".to_owned()),
        _ => Why::caused("the AWS keys of the environment are invalid", error),
    }
}

fn profile(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    let [(config, _), (credentials, _)] = around.profile_files();
    let files = format!("{config} and {credentials}");
    let (selected, known) = (around.get("AWS_PROFILE"), around.profiles());
    if let Some(name) = selected.as_ref().filter(|name| !known.contains(name)) {
        let known = match known.as_slice() {
            [] => "they have no profile".to_owned(),
            known => format!("they have {}", known.join(", ")),
        };
        let short = format!("AWS_PROFILE is \"{name}\", which is not a profile of {files}");
        return Why::Fault(FailureText { full: format!("{short}; {known}"), short });
    }
    let name = selected.clone().unwrap_or_else(|| "default".to_owned());
    if !known.contains(&name) {
        if is_absent(error) {
            return Why::Absent(format!("no profile \"{name}\" in {files}"));
        }
        return Why::caused(format!("{files} cannot be used"), error);
    }
    let text = cause(error);
    // Only the log names a profile that exists: `/readyz` needs no token.
    let shown = if selected.is_some() { "the profile of AWS_PROFILE" } else { "profile \"default\"" };
    let named = format!("profile \"{name}\"");
    let unsupported = [
        (": sso.", "uses IAM Identity Center (SSO)"),
        (": credentials-login.", "uses a console login"),
        (": credentials-process.", "uses credential_process"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(feature, _)| text.contains(feature)) {
        let what = format!(
            "{what}, which ends with a person's login and which the gateway does not support; give it a role or keys"
        );
        return Why::Fault(FailureText { short: format!("{shown} {what}"), full: format!("{named} {what}") });
    }
    if is_absent(error) && text.is_empty() {
        let what = format!("of {files} has no credentials");
        // A default profile is often there for a region only.
        if selected.is_none() {
            return Why::Absent(format!("{named} {what}"));
        }
        return Why::Fault(FailureText { short: format!("{shown} {what}"), full: format!("{named} {what}") });
    }
    let what = format!("of {files} does not work");
    Why::Fault(FailureText { short: format!("{shown} {what}"), full: format!("{named} {what}: {text}") })
}

fn web_identity(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    let Some(path) = around.get("AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Why::Absent("no AWS_WEB_IDENTITY_TOKEN_FILE".to_owned());
    };
    if around.get("AWS_ROLE_ARN").is_none() {
        return Why::fault("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not");
    }
    let unreadable = causes::chain(error).find_map(|error| error.downcast_ref::<io::Error>());
    if let (Some(fault), true) = (unreadable, std::fs::read(&path).is_err()) {
        return Why::fault(format!(
            "AWS_WEB_IDENTITY_TOKEN_FILE is {path}, which cannot be read ({fault}); check the pod's service account and \
             its projected volume"
        ));
    }
    let text = format!(
        "STS does not accept the token of AWS_WEB_IDENTITY_TOKEN_FILE ({path}) for the role of AWS_ROLE_ARN; check the \
         role's trust policy and the OIDC provider"
    );
    Why::caused(text, error)
}

fn container(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    const VARIABLES: [&str; 2] =
        ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let Some(variable) = VARIABLES.iter().find(|variable| around.get(variable).is_some()) else {
        return Why::Absent(format!("no {}", VARIABLES[0]));
    };
    let text = format!(
        "the container's endpoint of {variable} gives no credentials; check the pod identity association or the task's \
         role"
    );
    Why::caused(text, error)
}

fn instance(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    if around.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Why::Absent("AWS_EC2_METADATA_DISABLED is true".to_owned());
    }
    let text = cause(error);
    match (is_absent(error), text.contains("404")) {
        (true, true) => Why::fault("the EC2 instance has no role; attach an instance profile"),
        (true, false) => Why::Absent(
            "its metadata service does not answer: this is no EC2 instance, or the instance's hop limit is too low for \
             a container"
                .to_owned(),
        ),
        _ => Why::caused("EC2's metadata service gives no credentials", error),
    }
}

#[cfg(test)]
mod tests;
