//! A pseudo-terminal, for programs that write otherwise to a terminal than to a file.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal that keeps the text that a program writes, until the program ends.
#[derive(Debug)]
pub struct Terminal(JoinHandle<String>);

impl Terminal {
    /// Makes a new terminal the standard output and the standard error of `command`. The environment then says nothing
    /// of colours. Drop the command after it is spawned: as long as it lives, the terminal is open.
    pub fn of(command: &mut Command) -> Self {
        let (terminal, program) = pair();
        attach(command, program);
        let reading = std::thread::spawn(move || {
            let (mut terminal, mut text, mut piece) = (File::from(terminal), Vec::new(), [0; 4096]);
            // Linux reports an error, not an end, when the program has closed its side.
            while let Ok(length @ 1..) = terminal.read(&mut piece) {
                text.extend_from_slice(&piece[..length]);
            }
            String::from_utf8(text).unwrap()
        });
        Self(reading)
    }

    /// Waits for the program's end. The text has the line breaks of a terminal: `\r\n`.
    pub fn text(self) -> String {
        self.0.join().unwrap()
    }
}

/// The longest wait for a program that a test talks with.
const PATIENCE: Duration = Duration::from_secs(30);

/// The two ends of a new terminal: that of the test, and that of the program.
fn pair() -> (OwnedFd, OwnedFd) {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new()).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    (terminal, rustix::fs::open(name, flags, Mode::empty()).unwrap())
}

/// Makes the terminal the standard output and the standard error, in an environment that says nothing of colours.
fn attach(command: &mut Command, program: OwnedFd) {
    let other = program.try_clone().unwrap();
    command.stdout(Stdio::from(program)).stderr(Stdio::from(other)).env("TERM", "xterm-256color");
    for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_LOG"] {
        command.env_remove(name);
    }
}

/// A terminal that a test types on.
#[derive(Debug)]
pub struct Dialog {
    keyboard: File,
    pieces: Receiver<Vec<u8>>,
    text: String,
    /// The part of the text that was expected already.
    seen: usize,
}

impl Dialog {
    /// Makes a new terminal the standard input, output and error of `command`. Drop the command after it is spawned.
    pub fn of(command: &mut Command) -> Self {
        let (terminal, program) = pair();
        command.stdin(Stdio::from(program.try_clone().unwrap()));
        attach(command, program);
        let keyboard = File::from(terminal);
        let mut screen = keyboard.try_clone().unwrap();
        let (sender, pieces) = channel();
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = screen.read(&mut piece) {
                if sender.send(piece[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { keyboard, pieces, text: String::new(), seen: 0 }
    }

    /// Waits for these words, after those that were expected before.
    pub fn expect(&mut self, words: &str) {
        while !self.text[self.seen..].contains(words) {
            let Ok(piece) = self.pieces.recv_timeout(PATIENCE) else {
                panic!("{words:?} does not appear after {:?} in\n{}", &self.text[self.seen..], self.text)
            };
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
        self.seen += self.text[self.seen..].find(words).unwrap() + words.len();
    }

    /// Waits for the words, then types the answer.
    pub fn answer(&mut self, words: &str, answer: &str) {
        self.expect(words);
        writeln!(self.keyboard, "{answer}").unwrap();
    }

    /// Waits for the program's end, and returns everything that it wrote.
    pub fn text(mut self) -> String {
        while let Ok(piece) = self.pieces.recv_timeout(PATIENCE) {
            self.text.push_str(&String::from_utf8_lossy(&piece));
        }
        self.text
    }
}
