//! Completions and man pages, made from the definitions of the command line.
//!
//! Owns nothing but the way out: `make install` puts them where shells and `man` look.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::progress::{PROGRAM, say_error};
use crate::stdout;

/// Prints completions.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), PROGRAM, &mut text);
    // A name with a dash: where the script chooses by subcommand it spells the program's part otherwise than where it sets
    // it, and no subcommand would have completions. Nothing to replace where clap_complete has that mended.
    let text = String::from_utf8_lossy(&text).replace("taskfarmer__subcmd__mpi", "taskfarmer__mpi");
    stdout::text(&text)
}

/// The command line without hidden subcommands: clap_complete would offer them.
fn visible(command: &Command) -> Command {
    Command::new(PROGRAM)
        .about(command.get_about().cloned().unwrap_or_default())
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .disable_help_flag(true)
        .args_conflicts_with_subcommands(true)
        .args(command.get_arguments())
        .subcommands(command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()))
}

/// Writes a man page for the program and one for each subcommand that users see.
pub(super) fn man_pages(folder: &Path) -> ExitCode {
    let made = clap_mangen::generate_to(Cli::command().version(env!("CARGO_PKG_VERSION")), folder).and_then(|()| {
        let page = folder.join(format!("{PROGRAM}.1"));
        std::fs::write(&page, with_sections(&std::fs::read_to_string(&page)?))
    });
    match made {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            say_error(&format!("cannot write the man pages into {}: {error}", folder.display()));
            ExitCode::BadInput
        }
    }
}

/// Puts what `--help` has at its end under the headings that man pages have. The table of examples keeps its lines; `man`
/// would fill them up like a paragraph.
fn with_sections(page: &str) -> String {
    page.replacen(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n", 1)
        .replacen("\n\nA tasklist ", "\n.fi\n.SH FILES\nA tasklist ", 1)
        .replacen("\n\nExit codes: ", "\n.SH \"EXIT STATUS\"\n", 1)
}
