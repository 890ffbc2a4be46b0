//! `iam`: prints the IAM policies for a configuration, or writes them into a folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::attribution::arn::RoleArn;
use crate::cli::{ConfigFile, EXIT_USAGE, print, problems};
use crate::config::{self, ConfigError};
use crate::iam::form;
use crate::iam::{Bundle, Format, Options, OutputLocation, PrincipalPattern, RunsOn, ServiceAccount};

mod folder;

#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "these comments are the help texts, where backticks would be noise")]
pub(super) struct Iam {
    #[command(flatten)]
    config: ConfigFile,
    /// Policy documents, one CloudFormation template for each account, or one Terraform module for each account.
    #[arg(long, value_enum, default_value_t = FormatName::Json)]
    format: FormatName,
    /// Write the files into this folder, one folder for each account. It may hold only files that this command writes.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the gateway runs, which decides who may assume its role. Without it, the role must exist.
    #[arg(long, value_enum)]
    runs_on: Option<Place>,
    /// With irsa: the OIDC provider of the cluster, without https://.
    #[arg(long, value_name = "HOST/PATH")]
    oidc_provider: Option<String>,
    /// With irsa: the service account of the gateway's pods.
    #[arg(long, value_name = "NAMESPACE:NAME")]
    service_account: Option<ServiceAccount>,
    /// With pod-identity: the association disables EKS's six session tags, so no trust policy accepts them.
    #[arg(long)]
    no_session_tags: bool,
    /// The role that the gateway runs as. Default: BedrockGateway, in the account of the roles.
    #[arg(long, value_name = "ARN", value_parser = role)]
    gateway_role: Option<RoleArn>,
    /// Where StartAsyncInvoke may write its results.
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    async_output: Option<OutputLocation>,
    /// A role that the guards let through, and that may change the roles. The account may be *. Repeatable.
    #[arg(long, value_name = "ARN")]
    break_glass: Vec<PrincipalPattern>,
    /// A role of another service that calls Bedrock by itself, which the guards let through. Repeatable.
    #[arg(long, value_name = "ARN")]
    service_role: Vec<PrincipalPattern>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FormatName {
    Json,
    Cloudformation,
    Terraform,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// EKS Pod Identity.
    PodIdentity,
    /// IAM roles for service accounts on EKS, or on another cluster.
    Irsa,
    /// A task role of ECS, Fargate included.
    Ecs,
    /// An instance profile.
    Ec2,
}

fn role(text: &str) -> Result<RoleArn, String> {
    RoleArn::parse(text).map_err(|error| error.to_string())
}

pub(super) fn run(arguments: &Iam) -> ExitCode {
    let options = match arguments.options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let config = match config::load(&arguments.config.config) {
        Ok(config) => config,
        Err(ConfigError(found)) => {
            problems::print_rejected(&found);
            return ExitCode::FAILURE;
        }
    };
    let bundle = match Bundle::generate(&config, &options) {
        Ok(bundle) => bundle,
        Err(error) => {
            eprintln!("{}: {error}", arguments.config.config.display());
            return ExitCode::FAILURE;
        }
    };
    for note in &bundle.notes {
        eprintln!("note: {note}");
    }
    let files = form::files(&bundle, arguments.format.into());
    let Some(folder) = &arguments.out else {
        return print(&match arguments.format {
            FormatName::Json => one_object(&files),
            FormatName::Cloudformation | FormatName::Terraform => listed(&files),
        });
    };
    match folder::write(folder, &files) {
        Ok(()) => {
            let paths =
                files.keys().map(|path| folder.join(path).display().to_string() + "\n").collect::<String>();
            print(&paths)
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

impl Iam {
    fn options(&self) -> Result<Options, String> {
        let place = self.runs_on;
        let needs = |flag: &str, of: &str| Err(format!("{flag} is for --runs-on {of} only; remove it"));
        if place != Some(Place::Irsa) && self.oidc_provider.is_some() {
            return needs("--oidc-provider", "irsa");
        }
        if place != Some(Place::Irsa) && self.service_account.is_some() {
            return needs("--service-account", "irsa");
        }
        if place != Some(Place::PodIdentity) && self.no_session_tags {
            return needs("--no-session-tags", "pod-identity");
        }
        let runs_on = match place {
            None => None,
            Some(Place::PodIdentity) => Some(RunsOn::PodIdentity),
            Some(Place::Ecs) => Some(RunsOn::Ecs),
            Some(Place::Ec2) => Some(RunsOn::Ec2),
            Some(Place::Irsa) => {
                let (Some(provider), Some(account)) = (&self.oidc_provider, &self.service_account) else {
                    return Err("--runs-on irsa needs --oidc-provider, for example \
                        oidc.eks.us-east-1.amazonaws.com/id/EXAMPLE (aws eks describe-cluster prints it), and \
                        --service-account NAMESPACE:NAME"
                        .to_owned());
                };
                Some(RunsOn::Irsa { provider: self::provider(provider)?, account: account.clone() })
            }
        };
        Ok(Options {
            runs_on,
            no_session_tags: self.no_session_tags,
            gateway_role: self.gateway_role.clone(),
            async_output: self.async_output.clone(),
            break_glass: self.break_glass.clone(),
            service_roles: self.service_role.clone(),
        })
    }
}

/// The OIDC provider as IAM names it: without scheme.
fn provider(text: &str) -> Result<String, String> {
    let bare = text.strip_prefix("https://").unwrap_or(text).trim_end_matches('/');
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
    if bare.contains('.') && bare.bytes().all(legal) {
        Ok(bare.to_owned())
    } else {
        Err(format!("\"{text}\" is not an OIDC provider; write its issuer without https://"))
    }
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Json => Self::Json,
            FormatName::Cloudformation => Self::CloudFormation,
            FormatName::Terraform => Self::Terraform,
        }
    }
}

/// One JSON object for programs: account, path, document. The steps are a text.
fn one_object(files: &BTreeMap<String, String>) -> String {
    let mut accounts: Map<String, Value> = Map::new();
    for (path, text) in files {
        let Some((account, path)) = path.split_once('/') else { continue };
        let value = Value::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
        let entry = accounts.entry(account).or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(of_account) = entry {
            of_account.insert(path.to_owned(), value);
        }
    }
    format!("{:#}\n", Value::Object(accounts))
}

/// All files behind their names.
fn listed(files: &BTreeMap<String, String>) -> String {
    files.iter().map(|(path, text)| ["# ", path, "\n", text, "\n"].concat()).collect()
}
