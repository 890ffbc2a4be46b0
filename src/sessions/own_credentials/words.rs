//! Why a source has no credentials, in words for the operator: the value that is wrong and the next step.

use std::io;
use std::path::PathBuf;

use aws_credential_types::provider::error::CredentialsError;

use super::cause;
use crate::causes;

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

    fn as_str(self) -> &'static str {
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
pub(super) struct Surroundings<'a>(&'a dyn Fn(&str) -> Option<String>);

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
pub(super) fn sentence(tried: &[(Source, CredentialsError)], around: &Surroundings<'_>) -> String {
    let mut faults = Vec::new();
    let mut sources = Vec::new();
    for (source, error) in tried {
        match why(*source, error, around) {
            Why::Fault(text) => {
                sources.push(format!("{} (fails)", source.as_str()));
                faults.push(text);
            }
            Why::Absent(text) => sources.push(format!("{} ({text})", source.as_str())),
        }
    }
    if faults.is_empty() {
        faults.push("set up one of the sources".to_owned());
    }
    format!("no AWS credentials found; {}; tried: {}", faults.join("; "), sources.join(", "))
}

/// Why a source has no credentials.
enum Why {
    /// It is not set up.
    Absent(String),
    /// It is set up, and does not work.
    Fault(String),
}

fn why(source: Source, error: &CredentialsError, around: &Surroundings<'_>) -> Why {
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
        (Some(_), None) => {
            Why::Fault("AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not".to_owned())
        }
        (None, Some(_)) => {
            Why::Fault("AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not".to_owned())
        }
        _ if is_absent(error) => Why::Absent("no AWS_ACCESS_KEY_ID".to_owned()),
        _ => Why::Fault(format!("the AWS keys of the environment are invalid: {}", cause(error))),
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
        return Why::Fault(format!("AWS_PROFILE is \"{name}\", which is not a profile of {files}; {known}"));
    }
    let name = selected.clone().unwrap_or_else(|| "default".to_owned());
    if !known.contains(&name) {
        return Why::Absent(format!("no profile \"{name}\" in {files}"));
    }
    let text = cause(error);
    let unsupported = [
        (": sso.", "uses IAM Identity Center (SSO)"),
        (": credentials-login.", "uses a console login"),
        (": credentials-process.", "uses credential_process"),
    ];
    if let Some((_, what)) = unsupported.iter().find(|(feature, _)| text.contains(feature)) {
        return Why::Fault(format!(
            "profile \"{name}\" {what}, which ends with a person's login and which the gateway does not support; give \
             it a role or keys"
        ));
    }
    if is_absent(error) && text.is_empty() {
        return Why::Fault(format!("profile \"{name}\" of {files} has no credentials"));
    }
    Why::Fault(format!("profile \"{name}\" of {files} does not work: {text}"))
}

fn web_identity(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    let Some(path) = around.get("AWS_WEB_IDENTITY_TOKEN_FILE") else {
        return Why::Absent("no AWS_WEB_IDENTITY_TOKEN_FILE".to_owned());
    };
    if around.get("AWS_ROLE_ARN").is_none() {
        return Why::Fault("AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not".to_owned());
    }
    let unreadable = causes::chain(error).find_map(|error| error.downcast_ref::<io::Error>());
    if let (Some(fault), true) = (unreadable, std::fs::read(&path).is_err()) {
        return Why::Fault(format!(
            "AWS_WEB_IDENTITY_TOKEN_FILE is {path}, which cannot be read ({fault}); check the pod's service account and \
             its projected volume"
        ));
    }
    Why::Fault(format!(
        "STS does not accept the token of AWS_WEB_IDENTITY_TOKEN_FILE ({path}) for the role of AWS_ROLE_ARN; check the \
         role's trust policy and the OIDC provider: {}",
        cause(error)
    ))
}

fn container(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    const VARIABLES: [&str; 2] =
        ["AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"];
    let Some(variable) = VARIABLES.iter().find(|variable| around.get(variable).is_some()) else {
        return Why::Absent(format!("no {}", VARIABLES[0]));
    };
    Why::Fault(format!(
        "the container's endpoint of {variable} gives no credentials; check the pod identity association or the task's \
         role: {}",
        cause(error)
    ))
}

fn instance(error: &CredentialsError, around: &Surroundings<'_>) -> Why {
    if around.get("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Why::Absent("AWS_EC2_METADATA_DISABLED is true".to_owned());
    }
    let text = cause(error);
    match (is_absent(error), text.contains("404")) {
        (true, true) => Why::Fault("the EC2 instance has no role; attach an instance profile".to_owned()),
        (true, false) => Why::Absent(
            "its metadata service does not answer: this is no EC2 instance, or the instance's hop limit is too low for \
             a container"
                .to_owned(),
        ),
        _ => Why::Fault(format!("EC2's metadata service gives no credentials: {text}")),
    }
}

#[cfg(test)]
mod tests;
