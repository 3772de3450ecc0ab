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
    let Some(topic) = topic else { return print(&mut command) };
    match command.find_subcommand_mut(topic) {
        Some(subcommand) => print(subcommand),
        None => {
            say_error(&format!("no help for '{topic}'\n  {PROGRAM} help, {PROGRAM} help status, {PROGRAM} help logs"));
            ExitCode::BadInput
        }
    }
}

fn print(command: &mut clap::Command) -> ExitCode {
    let help = command.render_help();
    let help = if stdout::wants_color() { help.ansi().to_string() } else { help.to_string() };
    stdout::print(|out| out.write_all(help.as_bytes())).err().unwrap_or(ExitCode::Success)
}
