//! Mistakes on the command line, and what the user probably meant.
//!
//! Owns the hints for options of other farmers and of batch systems, which users type out of habit, and how an invalid
//! value is reported; what is wrong with it, [`super::values`] says. clap words all other errors.

use std::error::Error;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::ini::nearest;

/// Options of GNU parallel, xargs, PyTaskFarmer, HyperQueue, disBatch and Slurm, and their equivalents here.
const OTHERS: &[(&[&str], &str)] = &[
    (&["-j", "--jobs", "-P", "--max-procs", "--workers"], "--proc N (or -n N) runs N tasks at a time on each rank"),
    (
        &["-c", "--cpus", "--cores", "--threads"],
        "--cpus-per-task N gives each task N CPUs; --proc N runs N tasks at a time on each rank",
    ),
    (&["-G", "--gpus", "--gres"], "--gpus-per-task N gives each task N GPUs: taskfarmer-mpi help resources"),
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
        "--mem-per-task SIZE sets memory aside for each task: taskfarmer-mpi help resources",
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
pub(crate) fn explain(error: clap::Error) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let (argument, value) = (context(ContextKind::InvalidArg), context(ContextKind::InvalidValue));
    if let (ErrorKind::UnknownArgument, Some((name, hint))) = (error.kind(), hint(argument)) {
        return format!("there is no option {name}\n  {hint}");
    }
    // What follows is what help calls the value: `--timeout <TIME>`.
    let option = argument.split(' ').next().unwrap_or_default();
    match (error.kind(), error.source(), error.get(ContextKind::ValidValue)) {
        // clap mistakes what follows a list for a subcommand.
        (ErrorKind::ArgumentConflict, ..) if argument.is_empty() => two_lists(context(ContextKind::InvalidSubcommand)),
        (ErrorKind::ValueValidation, Some(why), _) => format!("{option} {value}: {why}"),
        (ErrorKind::InvalidValue, _, Some(ContextValue::Strings(valid))) if !value.is_empty() && !valid.is_empty() => {
            let (last, others) = valid.split_last().expect("not empty");
            format!("{option} {value}: not a valid value\n  give '{}' or '{last}'", others.join("', '"))
        }
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

fn in_claps_words(mut error: clap::Error) -> String {
    if let Some(ContextValue::StyledStrs(mut tips)) = error.remove(ContextKind::Suggested) {
        // What looks like an option is rarely meant as a name: no tip to type `-- --option`.
        tips.retain(|tip| !tip.to_string().contains("'-- "));
        if !tips.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        }
    }
    let text = error.render().to_string();
    text.strip_prefix("error: ").unwrap_or(&text).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;

    fn told(line: &str) -> String {
        explain(Cli::read(line.split(' ').map(Into::into)).unwrap_err())
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
        assert!(told("x a b").starts_with("unexpected argument 'b': a farm has only one tasklist\n"));
    }

    /// Promise: a message about a value names the option, the value, what is wrong with it, and what to type instead.
    #[test]
    fn invalid_values_are_told_once() {
        let time = "a number of seconds, or a time such as 90s, 1h30m, 2d, 1:30:00 or 1-12:00:00, at most 366d";
        for (line, what, instead) in [
            ("x l --timeout soon", "time", time),
            ("x l --timeout -1", "time", time),
            ("x l --timeout=0", "time", "a time of more than 0, such as 90s or 1h30m"),
            ("x l --task-time soon", "time", time),
            ("x l --grace x", "time", time),
            (
                "x l --task-timeout 100%",
                "time limit",
                "a number of seconds, a time such as 90s, 1h30m or 1:30:00 (at most 366d), or a percentage (above 100%) of the \
                 median task length, such as 300%",
            ),
            ("x l --retries -1", "number of retries", "a number from 0 to 1000"),
            ("x l --retries=", "number of retries", "a number from 0 to 1000"),
            ("x l --crash-limit 0", "number of crashes", "a number from 1 to 1000"),
            (
                "x l --retry-exit 0",
                "list of exit codes",
                "exit codes from 1 to 255, ranges, or both, such as 75 or 75,100-110",
            ),
            (
                "x l --halt 2",
                "rule",
                "soon,fail=N or now,fail=N, where N is a number of failed tasks or a percentage of the ended ones, such as soon,fail=10 or now,fail=5%",
            ),
            (
                "x l --logs all",
                "kind of log",
                "'task', 'task/1000' (or a different number of tasks per folder), 'failed', 'rank' or 'none'",
            ),
            (
                "x l --resource gpus",
                "number of something",
                "a name and a number from 1 to 1000000, such as license=5. For CPUs, GPUs and memory, use --cpus-per-task, --gpus-per-task \
                 and --mem-per-task",
            ),
            ("x l --progress dots", "value", "'auto', 'bar', 'log' or 'none'"),
            ("x l --bind both", "value", "'none' or 'slot'"),
            ("x logs --tail x", "number of lines", "a number, 0 or more"),
            ("x status --slowest x", "number of tasks", "a number, 0 or more"),
        ] {
            let typed = line.split_once(" --").unwrap().1.replace('=', " ");
            assert_eq!(told(line), format!("--{typed}: not a valid {what}\n  give {instead}"));
        }
        assert_eq!(told("x status --watch 0"), "--watch 0: not a number of seconds, 0.1 or more");
        assert!(told("x l --progress").starts_with("a value is required for '--progress <HOW>'"));
    }
}
