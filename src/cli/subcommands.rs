//! Subcommands and their options, as typed.
//!
//! Owns their definitions; [`crate::commands`] runs them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Subcommand as Subcommands};
use clap_complete::Shell;

use super::pages;
use super::values::{OrOperand, number};

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
    Status(StatusArgs),
    /// Print what tasks wrote, no matter how their logs are kept
    Logs(LogsArgs),
    /// Print the help for a subcommand, or a page of the documentation
    #[command(after_help = pages::listing())]
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

/// Options of `status`.
#[derive(Args, Default, Debug)]
pub struct StatusArgs {
    /// Workdir of a farm, or its tasklist; if omitted, the only workdir in this folder
    #[arg(value_name = "WORKDIR")]
    pub(crate) workdir: Option<PathBuf>,

    /// Print the status as a JSON object
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the status again every SECONDS seconds until the farm has ended [default: 2]
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2")]
    pub(crate) watch: Option<OrOperand<Duration>>,

    /// Print nothing; exit with the exit code of the last run, or with 4 if it was killed or is still running
    #[arg(long, conflicts_with_all = ["json", "watch", "failed", "running", "slowest"])]
    pub(crate) exit_code: bool,

    /// List the failed tasks: ID, how the task ended, host, log and command, separated by tabs
    #[arg(long)]
    pub(crate) failed: bool,

    /// List the running tasks: ID, run time in seconds, host, rank and command, separated by tabs
    #[arg(long)]
    pub(crate) running: bool,

    /// List the N slowest tasks: ID, run time in seconds, host, rank and command, separated by tabs
    #[arg(long, value_name = "N", value_parser = number(0_u32.., "not a valid number of tasks\n  give a number, 0 or more"))]
    pub(crate) slowest: Option<u32>,

    #[command(flatten)]
    pub(crate) help: ShortHelp,
}

impl StatusArgs {
    /// Whether lists are wanted instead of the whole status.
    pub(crate) fn lists(&self) -> bool {
        self.failed || self.running || self.slowest.is_some()
    }
}

/// Options of `logs`.
#[derive(Args, Debug)]
pub struct LogsArgs {
    /// Workdir of a farm, or its tasklist; if omitted, the only workdir in this folder
    #[arg(value_name = "WORKDIR")]
    pub(crate) workdir: Option<PathBuf>,

    /// Task IDs, or ranges such as 5-9
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// Print the output of all failed tasks
    #[arg(long, conflicts_with = "ids")]
    pub(crate) failed: bool,

    /// Print only the last N lines of each task's output
    #[arg(long, value_name = "N", value_parser = number(0_u64.., "not a valid number of lines\n  give a number, 0 or more"))]
    pub(crate) tail: Option<u64>,

    /// Keep printing what tasks write until they have ended; without IDs, follow all running tasks
    #[arg(short, long, conflicts_with = "failed")]
    pub(crate) follow: bool,

    #[command(flatten)]
    pub(crate) help: ShortHelp,
}
