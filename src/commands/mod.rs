//! Subcommands: what the program does besides running a list.
//!
//! Owns their definitions and their work. Never starts MPI or a pool, and never changes a workdir: all subcommands can
//! be used on a login node while a farm runs elsewhere.

mod generated;
mod help;
mod logs;
mod status;

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand as Subcommands};
use clap_complete::Shell;

use crate::exit_code::ExitCode;

/// `--help` of a subcommand: as short as `-h`.
#[derive(Args, Default, Debug)]
pub struct ShortHelp {
    /// Print this help
    #[arg(short, long, action = ArgAction::HelpShort)]
    help: Option<bool>,
}

/// A subcommand and its options.
#[derive(Subcommands, Debug)]
pub enum Subcommand {
    /// Show how a farm is doing, from any node, while it runs or afterward
    Status(status::StatusArgs),
    /// Print what tasks wrote, no matter how their logs are kept
    Logs(logs::LogsArgs),
    /// Print this help, the help for a subcommand, or a page of the documentation
    #[command(after_help = help::topics())]
    Help {
        /// A subcommand or a topic
        #[arg(value_name = "TOPIC")]
        topic: Option<String>,
        /// Its own `--help`.
        #[command(flatten)]
        help: ShortHelp,
    },
    /// Print completions for a shell
    #[command(hide = true)]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Write the man pages into a folder
    #[command(hide = true)]
    ManPages {
        /// The folder; it must exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

impl Subcommand {
    /// Runs the subcommand. If there are several ranks, only one may call this.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self {
            Self::Status(args) => status::run(args),
            Self::Logs(args) => logs::run(args),
            Self::Help { topic, .. } => help::run(topic.as_deref()),
            Self::Completions { shell } => generated::completions(shell),
            Self::ManPages { folder } => generated::man_pages(&folder),
        }
    }
}
