//! A pseudo-terminal, for programs that write otherwise to a terminal than to a file.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal that keeps the text that a program writes, until the program ends.
#[derive(Debug)]
pub struct Terminal(JoinHandle<String>);

impl Terminal {
    /// Makes a new terminal the standard output and the standard error of `command`. The environment then says nothing
    /// of colours. Drop the command after it is spawned: as long as it lives, the terminal is open.
    pub fn of(command: &mut Command) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let program: OwnedFd =
            rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        let other = program.try_clone().unwrap();
        command.stdout(Stdio::from(program)).stderr(Stdio::from(other)).env("TERM", "xterm-256color");
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "RUST_LOG"] {
            command.env_remove(name);
        }
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
