//! Completions and man pages, generated from the definitions of the command line.
//!
//! Owns the sections of the man pages that `--help` does not have. `make install` puts the files where shells and `man`
//! look.

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::stderr::{PROGRAM, say_error};
use crate::stdout;

/// Prints completions.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut visible(&Cli::command()), PROGRAM, &mut text);
    // The name has a dash: where the script chooses by subcommand, it spells the program's part differently from where
    // it sets it, so no subcommand would have completions. If clap_complete has fixed this, there is nothing to
    // replace.
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
    let change = |name: &str, change: fn(&str) -> String| {
        let page = folder.join(name);
        std::fs::write(&page, change(&std::fs::read_to_string(&page)?))
    };
    let made = clap_mangen::generate_to(Cli::command().version(env!("CARGO_PKG_VERSION")), folder)
        .and_then(|()| change(&format!("{PROGRAM}.1"), with_sections))
        .and_then(|()| change(&format!("{PROGRAM}-help.1"), with_topics));
    match made {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            say_error(&format!("cannot write the man pages into {}: {error}", folder.display()));
            ExitCode::BadInput
        }
    }
}

/// Puts the end of `--help` under the usual headings of man pages, and adds the sections that only a man page has. The
/// table of examples keeps its line breaks; `man` would fill its lines like a paragraph.
fn with_sections(page: &str) -> String {
    let environment = format!("\n.SH ENVIRONMENT\n{}.SH \"SEE ALSO\"\n{SEE_ALSO}.PP\n", environment());
    page.replacen(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n.nf\n", 1)
        .replacen("\n\nA tasklist ", "\n.fi\n.SH FILES\nA tasklist ", 1)
        .replacen("\n\nExit codes: ", "\n.SH \"EXIT STATUS\"\n", 1)
        .replacen("\n\nMore help: ", &format!("{environment}Documentation: "), 1)
}

/// The topics of `help` keep their line breaks, too.
fn with_topics(page: &str) -> String {
    page.replacen(".SH EXTRA\nTopics:\n", ".SH TOPICS\n.nf\n", 1)
}

/// Variables that the farm reads, and those that it sets for tasks.
const ENVIRONMENT: &[(&str, &str)] = &[
    (
        "TASKFARMER_RUN",
        "A name for this run, for status --exit-code: it exits with 4 if the last run has a different name",
    ),
    ("TASKFARMER_MPI_INIT_LIMIT", "Seconds that MPI may take to start; default: 600"),
    ("SLURM_JOB_END_TIME", "When the job ends, in seconds since 1970; the farm stops before that"),
    ("HOME", "Runners and tasklist handlers are read from ~/.pytaskfarmer and ~/.config/taskfarmer"),
    ("PATH, PYTHONPATH", "Where programs, python3, and classes of runners and handlers are found"),
    ("TMPDIR", "Folder on each node for {tempdir} of runners and for the output of running tasks; default: /tmp"),
    (
        "OMP_NUM_THREADS",
        "If it is not set, --cpus-per-task and --bind slot set it for tasks: the number of CPUs of the task",
    ),
    (
        "CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES, HIP_VISIBLE_DEVICES, ZE_AFFINITY_MASK",
        "The GPUs that a rank may use; with --gpus-per-task, the one of the vendor is set for each task",
    ),
    ("NO_COLOR, TERM, COLUMNS", "Colors and width of what is printed on a terminal"),
    ("PROC_NUMBER, TASKFARMER_TASK_ID", "Set for each task: its ID"),
    ("TASKFARMER_ATTEMPT", "Set for each task: 1, and more if it runs again in the same run of the farm"),
    ("TASKFARMER_RANK, TASKFARMER_SLOT, TASKFARMER_HOST", "Set for each task: where it runs"),
    ("TASKFARMER_CPUS", "Set for tasks by --cpus-per-task and --bind slot: how many CPUs the task has for itself"),
    ("TASKFARMER_GPUS", "Set for tasks by --gpus-per-task: the names of the GPUs of the task"),
    ("TASKFARMER_WORKDIR", "Set for each task: the absolute path of the workdir"),
];

fn environment() -> String {
    let entry = |(names, text): &(&str, &str)| format!(".TP\n\\fB{}\\fR\n{text}\n", names.replace(", ", "\\fR, \\fB"));
    let entries: String = ENVIRONMENT.iter().map(entry).collect();
    entries.replace('-', "\\-").replace('~', "\\(ti")
}

const SEE_ALSO: &str = "\
.BR taskfarmer\\-mpi\\-status (1),
.BR taskfarmer\\-mpi\\-logs (1),
.BR taskfarmer\\-mpi\\-help (1),
.BR srun (1),
.BR mpirun (1),
.BR parallel (1)
";
