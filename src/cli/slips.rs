//! Mistakes on the command line, and what the user probably meant.
//!
//! Owns the hints for options of other farmers and of batch systems, which users type out of habit. clap words all
//! other errors.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::ini::nearest;

/// Options of GNU parallel, xargs, PyTaskFarmer, HyperQueue, disBatch and Slurm, and their equivalents here.
const OTHERS: &[(&[&str], &str)] = &[
    (
        &["-j", "--jobs", "-P", "--max-procs", "-c", "--cpus", "--cores", "--workers"],
        "--proc N (or -n N) runs N tasks at a time on each rank",
    ),
    (&["--resume"], "the same command resumes a farm that was stopped; no option is needed"),
    (
        &["--retry", "--resume-failed", "--rerun", "--rerun-failed"],
        "to run tasks that failed in earlier runs, use --retry-failed; to retry each task that fails, up to N times, use --retries N",
    ),
    (&["--eta", "--bar"], "on a terminal, a live line shows the time left; --progress bar forces it"),
    (
        &["-k", "--keep-order"],
        "each task has its own output file: taskfarmer-mpi logs WORKDIR ID… prints them in that order",
    ),
    (&["-a", "--arg-file", "--file"], "the tasklist needs no option: taskfarmer-mpi tasks.txt"),
    (
        &["--logDir", "--logdir", "--log-dir", "--results", "--output", "-o"],
        "output is in LIST_workdir/logs; --workdir DIR puts records and logs into another folder",
    ),
    (&["--dryrun", "--dry"], "--dry-run prints what would run"),
    (
        &["-f", "--follow"],
        "taskfarmer-mpi status --watch WORKDIR follows a farm, taskfarmer-mpi logs --follow WORKDIR ID a task",
    ),
    (
        &["--stderr", "--stdout"],
        "omit it: each task has one log, which contains standard output and standard error in the order in which the task wrote them",
    ),
    (&["--status"], "taskfarmer-mpi status WORKDIR shows the progress"),
    (
        &["--mem", "--memory", "--memfree"],
        "memory is not counted: --proc N limits how many tasks run at a time on a node",
    ),
    (&["-N", "--nodes", "--ntasks"], "the launcher starts one rank on each node: srun -N 4 taskfarmer-mpi tasks.txt"),
    (
        &["-S", "--sshlogin", "--slf", "--hostfile"],
        "the launcher starts the ranks: mpirun --hostfile HOSTS --map-by ppr:1:node taskfarmer-mpi tasks.txt",
    ),
    (&["--time", "--walltime"], "--timeout TIME stops the farm after that time"),
    (
        &["-C", "--colsep"],
        "a tasklist handler reads tables: taskfarmer-mpi --list-handlers, taskfarmer-mpi help handlers",
    ),
];

/// The error in a command line and, below it, what to do.
#[must_use]
pub(crate) fn explain(error: &clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    match error.kind() {
        // clap mistakes what follows a list for a subcommand.
        ErrorKind::ArgumentConflict if context(ContextKind::InvalidSubcommand).is_some() => {
            two_lists(context(ContextKind::InvalidSubcommand).unwrap_or_default())
        }
        ErrorKind::UnknownArgument => match context(ContextKind::InvalidArg).and_then(hint) {
            Some((name, hint)) => format!("there is no option {name}\n  {hint}"),
            None => in_claps_words(error),
        },
        _ => in_claps_words(error),
    }
}

/// The hint for an option of another program. `-j4` counts as `-j`.
fn hint(word: &str) -> Option<(&str, &'static str)> {
    let name = word.split('=').next().unwrap_or_default();
    if name.strip_prefix('-').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())) {
        return Some((name, "--proc auto (or -n auto) runs one task per CPU"));
    }
    let is_short = |known: &str| known.len() == 2 && !name.starts_with("--") && name.starts_with(known);
    let (known, hint) = OTHERS.iter().find_map(|(names, hint)| {
        names.iter().find(|known| **known == name || is_short(known)).map(|known| (*known, *hint))
    })?;
    Some((if is_short(known) { &name[..2] } else { name }, hint))
}

fn two_lists(word: &str) -> String {
    let first = std::env::args_os().nth(1).unwrap_or_default().to_string_lossy().into_owned();
    let meant = nearest(&first, ["status", "logs", "help"]).filter(|_| !std::path::Path::new(&first).exists());
    let cure = match meant {
        Some(subcommand) => format!("did you mean taskfarmer-mpi {subcommand}?"),
        None => "put all lines in one file; to use a subcommand (status, logs, help), put it first".to_owned(),
    };
    format!("unexpected argument '{word}': a farm has only one tasklist\n  {cure}")
}

fn in_claps_words(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let text = text.trim_start_matches("error: ").replace("invalid digit found in string", "not a number");
    // What looks like an option is rarely meant as a name.
    let is_advice = |line: &&str| line.contains("tip: to pass '") && line.contains(" as a value, use '-- ");
    let lines: Vec<&str> = text.lines().filter(|line| !is_advice(line)).collect();
    lines.join("\n").replace("\n\n\n", "\n\n").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    fn told(line: &str) -> String {
        explain(&Cli::read(line.split(' ').map(Into::into)).unwrap_err())
    }

    /// Users who type options of other programs learn the equivalents here.
    #[test]
    fn options_of_others_are_explained() {
        for (line, words) in [
            ("x -j4 l", "no option -j\n  --proc N"),
            ("x --jobs=4 l", "no option --jobs\n  --proc N"),
            ("x --resume l", "no option --resume\n  the same command resumes"),
            ("x --eta l", "no option --eta\n  on a terminal"),
            ("x -k l", "no option -k\n  each task has"),
            ("x l --logDir d", "no option --logDir\n  output is in"),
            ("x -1 l", "no option -1\n  --proc auto"),
            ("x logs --stderr l 1", "no option --stderr\n  omit it: each task has one log"),
            ("x status -f l", "no option -f\n  taskfarmer-mpi status --watch"),
            ("x -S host l", "no option -S\n  the launcher"),
        ] {
            assert!(told(line).contains(words), "{line}: {}", told(line));
        }
    }

    /// Every hint is for a word that is not an option here.
    #[test]
    fn hints_are_for_others_options_only() {
        for (names, _) in OTHERS {
            for name in *names {
                let error = Cli::read(["x", "l", name].map(Into::into)).map(|cli| format!("{cli:?}")).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::UnknownArgument, "{name}");
            }
        }
    }

    /// clap reports a typing error in an option, with the option that is closest.
    #[test]
    fn typing_errors_are_told_with_what_is_near() {
        assert!(told("x --retrys 3 l").contains("--retries"), "{}", told("x --retrys 3 l"));
        let text = told("x --foo l");
        assert!(text.contains("'--foo'") && !text.contains("tip:") && text.contains("Usage: "), "{text}");
        assert!(told("x logs --tail x").contains("not a number"));
        assert!(told("x a b").starts_with("unexpected argument 'b': a farm has only one tasklist\n"));
    }
}
