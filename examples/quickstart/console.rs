//! Commands that a person types while the gateway serves.

use std::io::BufRead as _;

use tokio::sync::mpsc::{Receiver, channel};

/// A command, read from a line of standard input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Revoke the access of this caller, or restore it. `None`: of the one whose variables were printed.
    Revoke(Option<String>),
    Bill,
    Quit,
    /// Anything else.
    Unknown(String),
}

impl Command {
    /// Reads a line; `None` if it is empty.
    pub(crate) fn read(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        Some(match (words.next()?, words.next()) {
            ("r" | "revoke", name) => Self::Revoke(name.map(str::to_owned)),
            ("b" | "bill", None) => Self::Bill,
            ("q" | "quit", None) => Self::Quit,
            _ => Self::Unknown(line.trim().to_owned()),
        })
    }
}

/// The commands from standard input. The channel closes at the end of the input.
pub(crate) fn commands() -> Receiver<Command> {
    let (sender, receiver) = channel(1);
    // Reading blocks, so it has a thread, which ends with the process.
    std::thread::spawn(move || {
        let lines = std::io::stdin().lock().lines().map_while(Result::ok);
        for command in lines.filter_map(|line| Command::read(&line)) {
            if sender.blocking_send(command).is_err() {
                break;
            }
        }
    });
    receiver
}
