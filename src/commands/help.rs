//! `help`: what `--help` prints, and the pages of the documentation.
//!
//! Owns the choice between them. Never reads a file: the pages are part of the program.

mod plain;

use clap::CommandFactory;

use crate::cli::{Cli, pages};
use crate::exit_code::ExitCode;
use crate::stderr::{PROGRAM, say_error};
use crate::stdout;

/// Prints the help of the program, of a subcommand, or a page of the documentation. If a subcommand has a page of the same
/// name, the page follows its help.
pub(super) fn run(topic: Option<&str>) -> ExitCode {
    let mut command = Cli::command();
    command.build();
    let Some(topic) = topic else { return stdout::styled(&command.render_help()) };
    let help = command.find_subcommand_mut(topic).map(clap::Command::render_help);
    let page = pages::find(topic).map(plain::plain);
    if help.is_none() && page.is_none() {
        say_error(&unknown(topic, &command));
        return ExitCode::BadInput;
    }
    let code = help.as_ref().map_or(ExitCode::Success, stdout::styled);
    match page {
        Some(page) if code == ExitCode::Success => {
            stdout::text(&if help.is_some() { format!("\n{page}") } else { page })
        }
        _ => code,
    }
}

fn unknown(topic: &str, command: &clap::Command) -> String {
    let subcommands =
        || command.get_subcommands().filter(|command| !command.is_hide_set()).map(clap::Command::get_name);
    let meant = pages::meant(topic, subcommands())
        .map_or_else(String::new, |meant| format!("; did you mean {PROGRAM} help {meant}?"));
    let subcommands = subcommands().collect::<Vec<_>>().join(", ");
    format!("there is no help topic '{topic}'{meant}\n  topics: {}\n  subcommands: {subcommands}", pages::names())
}
