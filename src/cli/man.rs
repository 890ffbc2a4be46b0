//! `man`: prints the manual page of the program, or writes one for each command.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use super::{Arguments, print_bytes};

#[derive(Debug, Args)]
pub(super) struct ManPages {
    /// Write a page for each command into this folder, which is created if it is missing.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

pub(super) fn run(arguments: &ManPages) -> ExitCode {
    match &arguments.out {
        None => {
            let mut page = Vec::new();
            match Man::new(Arguments::command()).render(&mut page) {
                Ok(()) => print_bytes(&page),
                Err(error) => failed(&format!("cannot make the manual page: {error}")),
            }
        }
        Some(folder) => match write(folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                failed(&format!("cannot write the manual pages into {}: {error}", folder.display()))
            }
        },
    }
}

fn write(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    // The pages of `help` and its commands would repeat the others.
    clap_mangen::generate_to(Arguments::command().disable_help_subcommand(true), folder)
}

fn failed(message: &str) -> ExitCode {
    eprintln!("{message}");
    ExitCode::FAILURE
}
