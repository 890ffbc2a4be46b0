//! `init`: writes a configuration that `check` accepts, from a starting point of `config/issuers` and the operator's
//! answers. With a sample of the issuer's tokens it proposes the mapping, and shows what the sample becomes.

use std::fs::OpenOptions;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use clap::builder::PossibleValuesParser;

use crate::cli::{EXIT_USAGE, explain, print, problems};
use crate::config::{self, Config, counted};
use crate::preflight;
use answers::{Answers, Pair, Question, RoleAnswer};
use draft::Draft;
use faults::Fault;
use sample::Sample;

mod answers;
mod draft;
mod faults;
mod proposal;
mod sample;
mod starting_point;
mod terminal;

#[derive(Debug, Args)]
pub(super) struct Init {
    #[command(flatten)]
    issuer: IssuerFlags,
    #[command(flatten)]
    aws: AwsFlags,
    #[command(flatten)]
    listen: ListenFlags,
    #[command(flatten)]
    sample: SampleFlags,
    /// The file to write, or - for standard output. A file that exists is never overwritten.
    #[arg(long, value_name = "FILE", default_value = "gateway.toml")]
    out: PathBuf,
    /// Ask nothing: use the defaults. The same if standard input is not a terminal.
    #[arg(long)]
    yes: bool,
}

/// The identity provider.
#[derive(Debug, Args)]
struct IssuerFlags {
    /// The identity provider; oidc is any that is not listed.
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(starting_point::NAMES))]
    issuer: Option<String>,
    /// The exact `iss` of its tokens.
    #[arg(long, value_name = "URL")]
    issuer_url: Option<String>,
    /// An accepted audience of the tokens, their `aud`. Repeat the option for several. Default: bedrock-gateway, except
    /// for entra, google and cognito.
    #[arg(long, value_name = "TEXT")]
    audience: Vec<String>,
    /// The owner whose tokens are accepted, at a provider that serves everyone: for google your domain, for
    /// github-actions the number of your organisation, for aws the account of the workloads (default: --account).
    #[arg(long, value_name = "ID")]
    owner: Option<String>,
    /// A session tag and the claim that has its value, by its name or as an expression. Repeat the option for several.
    #[arg(long, value_name = "KEY=CLAIM")]
    tag: Vec<Pair>,
}

/// The roles, and where Bedrock is.
#[derive(Debug, Args)]
struct AwsFlags {
    /// The AWS account of the roles: 12 digits.
    #[arg(long, value_name = "DIGITS")]
    account: Option<String>,
    /// The region of Bedrock and STS. Repeat the option for further regions.
    #[arg(long, value_name = "REGION")]
    region: Vec<String>,
    /// The IAM role that callers get, by name or ARN. With =CONDITION only callers that meet this condition.
    /// Repeat the option for several. Default: `BedrockUser`.
    #[arg(long, value_name = "NAME[=CONDITION]")]
    role: Vec<RoleAnswer>,
    /// A pattern of model ids that the roles allow. Repeat the option for several. Default: that of the starting point.
    #[arg(long, value_name = "PATTERN")]
    model: Vec<String>,
    /// An endpoint to use instead of AWS's own: sts, `bedrock_runtime`, bedrock or `bedrock_mantle`.
    #[arg(long, value_name = "KEY=URL")]
    endpoint: Vec<Pair>,
}

/// The listeners.
#[derive(Debug, Args)]
struct ListenFlags {
    /// The address for callers: http://ADDRESS:PORT or https://ADDRESS:PORT. Default: http at 127.0.0.1:8080.
    #[arg(long, value_name = "URL")]
    listen: Option<String>,
    /// The certificate of https, a PEM file.
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,
    /// Its private key, a PEM file.
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The address of health checks and metrics. Default: port 9090.
    #[arg(long, value_name = "ADDRESS")]
    probe: Option<String>,
}

/// A sample of what the issuer writes.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct SampleFlags {
    /// A file with a token of the issuer, or - for standard input. Its claims propose the mapping.
    #[arg(long, alias = "token", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A file with the claims of a token, a JSON object, or - for standard input. They propose the mapping.
    #[arg(long, value_name = "FILE")]
    claims: Option<PathBuf>,
}

/// The cause for which nothing was written.
enum Stopped {
    /// The arguments, the answers or the sample do not suffice.
    Usage(String),
    Failed(String),
}

/// The answer that a question has without the operator.
enum Proposed {
    Value(String),
    /// The starting point has it, or the sample. Shown in words.
    Kept(&'static str),
}

pub(super) fn run(arguments: &Init) -> ExitCode {
    let (text, code) = match create(arguments) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Stopped::Usage(text)) => (text, ExitCode::from(EXIT_USAGE)),
        Err(Stopped::Failed(text)) => (text, ExitCode::FAILURE),
    };
    eprintln!("error: {text}");
    code
}

fn create(arguments: &Init) -> Result<(), Stopped> {
    let out = &arguments.out;
    let is_printed = out == Path::new(config::STANDARD_INPUT);
    if !is_printed {
        check_place(out)?;
    }
    let sample = sample(&arguments.sample).map_err(Stopped::Usage)?;
    let mut answers = Answers::of(arguments);
    let is_asked = !arguments.yes && std::io::stdin().is_terminal();
    if is_asked {
        terminal::complete(&mut answers, sample.as_ref()).map_err(ended)?;
    }
    complete(&mut answers, sample.as_ref())?;

    let mut draft = Draft::of(&answers);
    let mut notes = Vec::new();
    if let Some(sample) = &sample {
        let config = parse(&draft.text(&answers), out)?;
        notes.clone_from(&sample.notes);
        notes.extend(proposal::fit(&mut draft, &answers, sample, &config));
    }
    let text = draft.text(&answers);
    let config = parse(&text, out)?;
    problems::print(&config.warnings);
    for note in notes {
        eprintln!("note: {note}");
    }
    let explained = sample.map(|sample| explain::text_of_claims(sample.claims, &config)).transpose();
    let explained = explained.map_err(Stopped::Usage)?.unwrap_or_default();
    if is_printed {
        eprint!("{explained}");
        print(&text);
        return Ok(());
    }
    print(&explained);
    if is_asked && !terminal::confirm(&out.display().to_string()).map_err(ended)? {
        return Err(Stopped::Failed("nothing was written".to_owned()));
    }
    write(out, &text)?;
    for problem in preflight::check(&config).err().iter().flat_map(config::ConfigError::errors) {
        eprintln!("note: `check` will report: {}; {}", problem.message, problem.help);
    }
    print(&written(arguments, &config));
    Ok(())
}

fn ended(_: terminal::Ended) -> Stopped {
    Stopped::Failed("the input ended; nothing was written".to_owned())
}

/// Whether the file can be written, before the operator is asked anything.
fn check_place(out: &Path) -> Result<(), Stopped> {
    // A link that leads nowhere is a file as well.
    if out.symlink_metadata().is_ok() {
        return Err(exists(out));
    }
    match out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            Err(Stopped::Failed(format!("there is no folder {}; create it", folder.display())))
        }
        _ => Ok(()),
    }
}

fn exists(out: &Path) -> Stopped {
    Stopped::Failed(format!(
        "{} exists and is not overwritten; pass another --out FILE, or remove it",
        out.display()
    ))
}

fn sample(flags: &SampleFlags) -> Result<Option<Sample>, String> {
    match (&flags.token_file, &flags.claims) {
        (Some(file), _) => Sample::of_token(file).map(Some),
        (None, Some(file)) => Sample::of_claims(file).map(Some),
        (None, None) => Ok(None),
    }
}

/// The configuration of the text. Faults of single answers were reported before.
fn parse(text: &str, out: &Path) -> Result<Config, Stopped> {
    let parsed = Config::parse(text, &out.display().to_string(), &|name| std::env::var(name).ok());
    parsed.map_err(|rejected| {
        problems::print(&rejected.0);
        Stopped::Usage("the answers do not make a valid configuration; nothing was written".to_owned())
    })
}

/// Fills in the defaults. Whatever is missing or wrong is one error.
fn complete(answers: &mut Answers, sample: Option<&Sample>) -> Result<(), Stopped> {
    let mut lines = Vec::new();
    for question in Question::ASKED {
        if !answers.applies(question) || answers.is_answered(question) {
            continue;
        }
        match proposed(question, answers, sample, false) {
            Some(Proposed::Value(value)) => {
                answers.set(question, &value).map_err(Stopped::Usage)?;
            }
            Some(Proposed::Kept(_)) => {}
            // Whether others are missing depends on the provider.
            None if question == Question::Issuer => {
                lines.push(missing(question, answers));
                lines.push(format!("  {:20} the exact `iss` of its tokens", Question::IssuerUrl.flag()));
            }
            None if answers.issuer.is_none() && question == Question::IssuerUrl => {}
            None => lines.push(missing(question, answers)),
        }
    }
    for Fault { question, text } in answers.faults() {
        let flag = question.map_or("", Question::flag).split(' ').next().unwrap_or_default();
        lines.push(format!("  {flag:20} {text}"));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let lines = lines.join("\n");
    Err(Stopped::Usage(format!("these flags are missing or wrong; nothing was written:\n{lines}")))
}

/// A line about a flag that is needed.
fn missing(question: Question, answers: &Answers) -> String {
    let words = match question {
        Question::Issuer => format!("one of {}", starting_point::NAMES.join(", ")),
        Question::IssuerUrl => {
            format!("the exact `iss` of the tokens, for example {}", answers.point().url())
        }
        Question::Audience => {
            format!("the audience of the tokens, for example {}", answers.point().audience())
        }
        Question::Account => "the AWS account of the role: 12 digits".to_owned(),
        Question::Owner => answers.owner_advice().to_owned(),
        Question::Region => "the region of Bedrock, for example eu-central-1".to_owned(),
        other => format!("pass {}", other.flag()),
    };
    format!("  {:20} {words}", question.flag())
}

/// The answer without the operator: from the sample, or the default. A terminal also offers guesses.
fn proposed(
    question: Question,
    answers: &Answers,
    sample: Option<&Sample>,
    is_offered: bool,
) -> Option<Proposed> {
    /// The audience that the documents use.
    const AUDIENCE: &str = "bedrock-gateway";
    let mut found = answers.clone();
    if let Some(sample) = sample {
        sample.complete(&mut found);
    }
    let first = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let value = match question {
        Question::Issuer => found.issuer,
        Question::IssuerUrl => found.issuer_url,
        Question::Audience => {
            let usual = || (answers.point().audience() == AUDIENCE).then(|| AUDIENCE.to_owned());
            found.audiences.into_iter().next().or_else(usual)
        }
        Question::Owner => found.owner(),
        Question::Region if is_offered => first("AWS_REGION").or_else(|| first("AWS_DEFAULT_REGION")),
        Question::Role => Some(draft::ROLE.to_owned()),
        Question::Model => Some(answers.point().model().to_owned()),
        Question::Tag if sample.is_some() => return Some(Proposed::Kept("those that fit the sample")),
        Question::Tag => return Some(Proposed::Kept("those of the starting point")),
        Question::Listen => Some(draft::LISTEN.to_owned()),
        Question::TlsCert => Some(draft::TLS.0.to_owned()),
        Question::TlsKey => Some(draft::TLS.1.to_owned()),
        Question::Account | Question::Region | Question::Probe | Question::Endpoint => None,
    };
    value.map(Proposed::Value)
}

/// Writes the file, or nothing.
fn write(out: &Path, text: &str) -> Result<(), Stopped> {
    let mut file =
        OpenOptions::new().write(true).create_new(true).open(out).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => exists(out),
            _ => Stopped::Failed(format!("{} cannot be written: {error}", out.display())),
        })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        // This process created it.
        let _removed = std::fs::remove_file(out);
        Stopped::Failed(format!("{} cannot be written: {error}", out.display()))
    })
}

/// The result, and the next commands.
fn written(arguments: &Init, config: &Config) -> String {
    let file = shown(&arguments.out);
    let sizes =
        [counted(config.issuers.len(), "issuer"), counted(config.mapping.roles.len(), "role")].join(", ");
    let sample = match (&arguments.sample.token_file, &arguments.sample.claims) {
        (_, Some(file)) if file != Path::new(config::STANDARD_INPUT) => ("--claims", shown(file)),
        (Some(file), _) if file != Path::new(config::STANDARD_INPUT) => ("--token-file", shown(file)),
        _ => ("--token-file", "token.jwt".to_owned()),
    };
    let (flag, of) = sample;
    let doctor = if flag == "--claims" { flag } else { "--token" };
    format!(
        "
{file} is written and valid ({sizes}).

Next:
  bedrock-gateway check --config {file} --online
  bedrock-gateway explain --config {file} {flag} {of}
  bedrock-gateway iam --config {file} --format cloudformation --out iam
  bedrock-gateway doctor --config {file} {doctor} {of}
  bedrock-gateway serve --config {file}
"
    )
}

/// The path as a shell reads it.
fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,=@".contains(c);
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

impl Answers {
    /// The answers of the flags.
    fn of(arguments: &Init) -> Self {
        let Init { issuer, aws, listen, .. } = arguments;
        Self {
            issuer: issuer.issuer.clone(),
            issuer_url: issuer.issuer_url.clone(),
            audiences: issuer.audience.clone(),
            account: aws.account.clone(),
            owner: issuer.owner.clone(),
            regions: aws.region.clone(),
            roles: aws.role.clone(),
            models: aws.model.clone(),
            tags: issuer.tag.clone(),
            listen: listen.listen.clone(),
            tls_cert: listen.tls_cert.clone(),
            tls_key: listen.tls_key.clone(),
            probe: listen.probe.clone(),
            endpoints: aws.endpoint.clone(),
        }
    }
}
