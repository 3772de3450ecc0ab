//! `help`: a subcommand that prints what `--help` prints.

use clap::CommandFactory;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::progress::{PROGRAM, say_error};
use crate::stdout;

/// Prints the help of the program, or of one subcommand.
pub(super) fn run(topic: Option<&str>) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let Some(topic) = topic else { return stdout::styled(&command.render_help()) };
    match command.find_subcommand_mut(topic) {
        Some(subcommand) => stdout::styled(&subcommand.render_help()),
        None => {
            say_error(&format!("no help for '{topic}'\n  {PROGRAM} help, {PROGRAM} help status, {PROGRAM} help logs"));
            ExitCode::BadInput
        }
    }
}
