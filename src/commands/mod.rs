//! Subcommands: what the program does besides running a list.
//!
//! Owns their work; what may be typed is in [`crate::cli`]. Never starts MPI or a pool, and never changes a workdir: all
//! subcommands can be used on a login node while a farm runs elsewhere.

mod generated;
mod help;
mod logs;
mod status;

use crate::cli::Subcommand;
use crate::exit_code::ExitCode;

/// Runs a subcommand. If there are several ranks, only one may call this.
pub(crate) fn run(command: Subcommand) -> ExitCode {
    match command {
        Subcommand::Status(args) => status::run(args),
        Subcommand::Logs(args) => logs::run(args),
        Subcommand::Help { topic, .. } => help::run(topic.as_deref()),
        Subcommand::Completions { shell } => generated::completions(shell),
        Subcommand::ManPages { folder } => generated::man_pages(&folder),
    }
}
