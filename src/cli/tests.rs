//! The rules that the help of every command keeps.

use clap::{Command, CommandFactory as _};

use super::{Arguments, COLUMNS};
use crate::style::columns;

/// The program and each of its commands, except `help`.
fn commands() -> Vec<Command> {
    let mut program = Arguments::command();
    program.build();
    let own = program.get_subcommands().filter(|command| command.get_name() != "help").cloned();
    let mut all: Vec<_> = own.collect();
    all.push(program);
    all
}

#[test]
fn the_help_of_every_command_has_an_example_and_no_link_and_fits_a_terminal() {
    for mut command in commands() {
        let help = command.render_long_help().to_string();
        let examples = command.get_after_help().expect("the command has examples").to_string();
        assert!(examples.contains("Example"), "{help}");
        // The library does not wrap the line of usage. It would wrap an example where no shell expects it.
        let lines = help.lines().filter(|line| !line.starts_with("Usage:"));
        let examples = examples.split("Exit codes").next().unwrap();
        for line in lines.chain(examples.lines()) {
            assert!(columns(line) <= COLUMNS, "{}: {line}", command.get_name());
        }
        // The doc comments are also the help. In a terminal, the marks of a link are noise.
        for mark in ["<http", "[`", "]("] {
            assert!(!help.contains(mark), "{}: {mark} in {help}", command.get_name());
        }
    }
}

#[test]
fn the_arguments_of_every_command_are_consistent() {
    Arguments::command().debug_assert();
}
