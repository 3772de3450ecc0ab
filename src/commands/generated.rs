//! Completions and man pages, made from the definitions of the command line.
//!
//! Owns nothing but the way out: `make install` puts them where shells and `man` look.

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::progress::{PROGRAM, say_error};

/// Prints completions.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut text);
    // A name with a dash: where the script chooses by subcommand it spells the program's part otherwise than where it sets
    // it, and no subcommand would have completions. Nothing to replace where clap_complete has that mended.
    let text = String::from_utf8_lossy(&text).replace("taskfarmer__subcmd__mpi", "taskfarmer__mpi");
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            say_error(&format!("cannot write the completions: {error}"));
            ExitCode::BadInput
        }
    }
}

/// Writes a man page for the program and one for each subcommand that users see.
pub(super) fn man_pages(folder: &Path) -> ExitCode {
    match clap_mangen::generate_to(Cli::command().version(env!("CARGO_PKG_VERSION")), folder) {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            say_error(&format!("cannot write the man pages into {}: {error}", folder.display()));
            ExitCode::BadInput
        }
    }
}
