//! The questions on a terminal, one line each. An answer that cannot be used is asked again, with the reason.

use std::io::{BufRead as _, Write as _};

use super::answers::{Answers, Question};
use super::sample::Sample;
use super::starting_point::NAMES;
use super::{Proposed, proposed};
use crate::cli::COLUMNS;
use crate::cli::problems::wrapped;

/// The operator ended the input before the last question.
#[derive(Debug)]
pub(super) struct Ended;

/// Asks every question that applies and that no flag has answered. Flags that are wrong are asked as well.
pub(super) fn complete(answers: &mut Answers, sample: Option<&Sample>) -> Result<(), Ended> {
    for question in Question::ASKED {
        if !answers.applies(question) {
            continue;
        }
        let is_answered = answers.is_answered(question);
        let mut found = is_answered.then(|| fault(answers, question)).flatten();
        if is_answered && found.is_none() {
            continue;
        }
        hint(question, answers);
        loop {
            if let Some(text) = &found {
                say(&indented(text));
                answers.clear(question);
            }
            found = ask(answers, sample, question)?;
            if found.is_none() {
                break;
            }
        }
    }
    Ok(())
}

/// Asks whether to write the file.
pub(super) fn confirm(name: &str) -> Result<bool, Ended> {
    loop {
        match line(&format!("Write {name} [yes]: "))?.to_lowercase().as_str() {
            "" | "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => say(&indented("write yes or no")),
        }
    }
}

/// Asks one question once. Returns what is wrong with the answer.
fn ask(answers: &mut Answers, sample: Option<&Sample>, question: Question) -> Result<Option<String>, Ended> {
    let default = proposed(question, answers, sample, true);
    let shown = match &default {
        Some(Proposed::Value(value)) => format!(" [{value}]"),
        Some(Proposed::Kept(words)) => format!(" [{words}]"),
        None => String::new(),
    };
    let text = line(&format!("{}{shown}: ", words(question)))?;
    let text = match (text.as_str(), default) {
        ("", Some(Proposed::Value(value))) => value,
        ("", Some(Proposed::Kept(_))) => return Ok(None),
        ("", None) => {
            return Ok(Some("there is no default; write an answer, or press Ctrl-C to stop".to_owned()));
        }
        (text, _) => text.to_owned(),
    };
    Ok(match answers.set(question, &text) {
        Err(fault) => Some(fault),
        Ok(()) => fault(answers, question),
    })
}

/// The fault of the answer to this question.
fn fault(answers: &Answers, question: Question) -> Option<String> {
    answers.faults().into_iter().find(|fault| fault.question == Some(question)).map(|fault| fault.text)
}

/// The question in words.
fn words(question: Question) -> &'static str {
    match question {
        Question::Issuer => "Identity provider (oidc is any other)",
        Question::IssuerUrl => "Issuer URL",
        Question::Audience => "Audience of the tokens",
        Question::Account => "AWS account of the role, 12 digits",
        Question::Owner => "Owner of the tokens",
        Question::Region => "Region of Bedrock, or several",
        Question::Role => "IAM role that callers get",
        Question::Model => "Models that it allows",
        Question::Tag => "Session tags, as KEY=CLAIM",
        Question::Listen => "Address for callers",
        Question::TlsCert => "File of the certificate",
        Question::TlsKey => "File of its private key",
        Question::Probe => "Address of the probe port",
        Question::Endpoint => "Endpoints, as KEY=URL",
    }
}

/// Writes the lines that help to answer the question, above it.
fn hint(question: Question, answers: &Answers) {
    let text = match question {
        Question::Issuer => format!("The identity provider is one of\n  {}", NAMES.join(", ")),
        Question::IssuerUrl => {
            format!("The exact `iss` of the tokens, for example\n  {}", answers.point().url())
        }
        Question::Owner => {
            format!("Only tokens of this owner are accepted:\n  {}", answers.owner_advice())
        }
        _ => return,
    };
    say(&format!("{text}\n"));
}

/// The reason for which an answer is asked again.
fn indented(reason: &str) -> String {
    format!("  {}\n", wrapped(reason, COLUMNS - 2).replace('\n', "\n  "))
}

/// One line of the terminal, without the space around it.
fn line(prompt: &str) -> Result<String, Ended> {
    say(prompt);
    let mut text = String::new();
    if let Ok(1..) = std::io::stdin().lock().read_line(&mut text) {
        return Ok(text.trim().to_owned());
    }
    say("\n");
    Err(Ended)
}

/// Writes to standard error: standard output is for the result.
fn say(text: &str) {
    let mut out = std::io::stderr().lock();
    // A terminal that is gone ends the input as well.
    let _written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
