//! `status`: how a farm is doing, from any node that sees its workdir.
//!
//! Owns the choice of what to believe: `finished` and `failed` are the truth about what has ended; `status.json` says
//! what is running, if it is not stale; the timeline and `tasks.tsv` describe the past. Takes no lock and writes
//! nothing.

#[cfg(test)]
mod any_workdir;
mod exit_code;
mod history;
mod life;
mod print;
mod records;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::StatusArgs;
use crate::config::default_workdir;
use crate::exit_code::ExitCode;
use crate::failures;
use crate::figures::report::{FORMAT, Figures, SlowTask, State, run_name};
use crate::figures::tally::SLOWEST;
use crate::figures::words;
use crate::stderr::say_error;
use crate::stdout;
use crate::sys::terminal;
use crate::workdir::names;
use history::History;
use life::Life;
use records::Records;

/// Files by which a workdir is recognized.
const FILES: [&str; 7] =
    [names::FINISHED, names::FAILED, names::TOPROCESS, names::TIMELINE, names::ATTEMPTS, names::STATUS, names::LOCK];

/// With more bytes of records than this, `--watch` reads them only once.
const QUICK_FROM: u64 = 4 << 20;

/// Prints the status.
pub(super) fn run(mut args: StatusArgs) -> ExitCode {
    let pause =
        args.watch.take().map(|watch| watch.settle("--watch", Duration::from_secs(2), &mut args.workdir)).transpose();
    let found = pause.and_then(|pause| Ok((pause, args.workdir.as_deref().map_or_else(only_workdir, find_workdir)?)));
    let (pause, workdir) = match found {
        Ok(found) => found,
        Err(text) => {
            say_error(&text);
            return ExitCode::BadInput;
        }
    };
    let args = &args;
    if args.exit_code {
        return exit_code::of_last_run(&workdir, run_name().as_deref());
    }
    // Figures that change are shown in place; what goes into a file is kept.
    let mut before = None;
    if let Some(pause) = pause.filter(|_| !args.json && terminal::is_screen(&io::stdout())) {
        match watch::on_screen(&workdir, args, pause) {
            Ok(last) => before = Some(last),
            Err(code) => return code,
        }
    }
    let is_over = before.is_some();
    loop {
        let status = Status::read(&workdir, args, before);
        let printed = stdout::print(|out| {
            print::status(&status, args, &workdir, out)?;
            if !is_over && pause.is_some() && !args.json { out.write_all(b"\n") } else { Ok(()) }
        });
        if printed.is_ok() {
            print::beside_lists(&status, args);
        }
        let at_work = status.figures.state.is_at_work();
        match (printed, pause) {
            // The output is not read any longer.
            (Err(code), _) => return code,
            (Ok(()), Some(pause)) if at_work && !is_over => std::thread::sleep(pause),
            _ if status.figures.damage.is_empty() => return ExitCode::Success,
            _ => return ExitCode::BadInput,
        }
        before = Some(status.figures);
    }
}

/// The tasks that a farm is running, as it last reported, in ascending order; `None` if no farm is at work.
pub(super) fn running_tasks(workdir: &Path) -> Option<Vec<u32>> {
    let life = Life::read(workdir);
    let running = life.figures.workers.iter().flat_map(|worker| worker.running.iter().map(|(id, _)| *id));
    let mut ids: Vec<u32> = running.collect();
    ids.sort_unstable();
    life.state.is_at_work().then_some(ids)
}

/// How many tasks the list of the last run has, if known.
pub(super) fn list_len(workdir: &Path) -> Option<u64> {
    Some(Life::read(workdir).figures.total).filter(|&total| total > 0)
}

/// Whether a farm is at work in a workdir.
pub(super) fn is_at_work(workdir: &Path) -> bool {
    Life::read(workdir).state.is_at_work()
}

/// What to name for `status` and `logs`.
const WANTED: &str =
    "give the tasklist of a farm, or its workdir: LIST_workdir, or the folder that you chose with --workdir";

/// The only workdir in the current folder, absolute.
pub(super) fn only_workdir() -> Result<PathBuf, String> {
    let names = std::fs::read_dir(".").map_err(|error| format!("cannot read the current folder: {error}"))?;
    let names = names.flatten().map(|entry| PathBuf::from(entry.file_name()));
    let is_named_so = |path: &PathBuf| path.to_string_lossy().ends_with("_workdir") && path.is_dir();
    let mut found: Vec<(PathBuf, PathBuf)> =
        names.filter(is_named_so).filter_map(|name| Some((find_workdir(&name).ok()?, name))).collect();
    found.sort();
    match &found[..] {
        [] => Err(format!("there is no workdir in this folder\n  {WANTED}")),
        [(workdir, _)] => Ok(workdir.clone()),
        [(_, first), (_, second), ..] => Err(format!(
            "there are {} workdirs in this folder, such as {} and {}\n  give the one that you want",
            found.len(),
            first.display(),
            second.display()
        )),
    }
}

/// The workdir that the user means, absolute.
pub(super) fn find_workdir(path: &Path) -> Result<PathBuf, String> {
    let folder = if path.is_dir() { path.to_owned() } else { default_workdir(path) };
    if !folder.is_dir() {
        let what = match path.exists() {
            true => format!("the tasklist '{}' has no workdir: there is no {}", path.display(), folder.display()),
            false => format!("'{}' does not exist", path.display()),
        };
        return Err(format!("{what}\n  {WANTED}"));
    }
    if let Err(error) = std::fs::read_dir(&folder) {
        return Err(format!("cannot read {}: {error}", folder.display()));
    }
    if !FILES.iter().any(|name| folder.join(name).exists()) {
        return Err(format!(
            "{} is not the workdir of a farm: it has none of {}\n  {WANTED}",
            folder.display(),
            FILES.join(", ")
        ));
    }
    std::path::absolute(&folder).map_err(|error| format!("cannot use {}: {error}", folder.display()))
}

/// What is known about a farm at one moment.
#[derive(Debug)]
struct Status {
    figures: Figures,
    /// Seconds since `status.json` was written; none if it was not, or does not count.
    age_s: Option<f64>,
    /// What the records of the past contain, if they were read.
    history: Option<History>,
}

impl Status {
    /// Reads it. `before`: the last look. If there was one, `status.json` is enough for a long list while the farm is
    /// at work.
    fn read(workdir: &Path, args: &StatusArgs, before: Option<Figures>) -> Self {
        let life = Life::read(workdir);
        let mut figures = life.figures;
        figures.workdir = workdir.display().to_string();
        figures.damage = life.damage;
        figures.notes = life.notes;
        figures.state = life.state;
        let at_work = life.state.is_at_work();
        if !at_work {
            (figures.running, figures.left_s, figures.tasks_per_s) = (0, None, 0.0);
            figures.workers.iter_mut().for_each(|worker| worker.running.clear());
        } else if let Some(age_s) = life.age_s {
            // The farm keeps running while its file stays the same.
            figures.elapsed_s += age_s;
        }
        let wants_lists = args.failed || args.slowest.is_some();
        let mut history = None;
        let is_quick = at_work && figures.total > 0 && !wants_lists && recorded_len(workdir) > QUICK_FROM;
        if let Some(before) = before.filter(|_| is_quick) {
            carry_over(&mut figures, before);
        } else {
            let records = Records::read(workdir);
            count(&mut figures, &records, at_work);
            let slowest = args.slowest.map_or(SLOWEST, |count| count as usize);
            let history = history.insert(History::read(workdir, &records.failed, slowest));
            add_history(&mut figures, history);
            // This reads logs, so it is not done if it is not shown.
            if args.json || !args.lists() {
                add_failures(&mut figures, history, workdir);
            }
        }
        Self { figures, age_s: life.age_s, history }
    }
}

/// Takes over from the last look what `status.json` does not say, or says about the last run only.
fn carry_over(figures: &mut Figures, before: Figures) {
    // The file may be older than the last look.
    figures.finished = figures.finished.max(before.finished);
    figures.failed = figures.failed.max(before.failed);
    figures.waiting = figures.total.saturating_sub(figures.done().saturating_add(figures.running));
    if figures.earlier > 0 {
        (figures.lengths, figures.slowest, figures.usage) = (before.lengths, before.slowest, before.usage);
    }
    figures.failures = before.failures;
    let told: u64 = figures.failures.iter().map(|group| group.count).sum();
    let more = figures.failed.saturating_sub(told);
    if more > 0 {
        let more = words::counted(more, "more failure");
        figures.notes.push(format!("{more} since the first look: with this many records, kinds are counted only once"));
    }
}

/// Bytes of `finished` and `failed`.
fn recorded_len(workdir: &Path) -> u64 {
    [names::FINISHED, names::FAILED].iter().filter_map(|name| Some(workdir.join(name).metadata().ok()?.len())).sum()
}

/// Adds what is recorded.
fn count(figures: &mut Figures, records: &Records, at_work: bool) {
    figures.format = FORMAT;
    figures.finished = records.finished.len() as u64;
    figures.failed = records.failed.len() as u64;
    figures.total = figures.total.max(figures.done().saturating_add(records.open.len() as u64));
    // Some tasks have ended since they were seen running. Others have got their slots, if there are any.
    let ended = |id: &u32| records.finished.binary_search(id).is_ok() || records.failed.binary_search(id).is_ok();
    figures.workers.iter_mut().for_each(|worker| worker.running.retain(|(id, _)| !ended(id)));
    let listed = figures.workers.iter().map(|worker| worker.running.len() as u64).sum();
    figures.running = match figures.state {
        State::Running => figures.running.min(figures.total.saturating_sub(figures.done())).max(listed),
        _ => figures.running.min(listed),
    };
    figures.waiting = figures.total.saturating_sub(figures.done().saturating_add(figures.running));
    figures.damage.extend(records.damage.iter().cloned());
    figures.notes.extend(records.notes.iter().cloned());
    if !at_work {
        figures.notes.extend(records.torn.iter().map(|name| {
            format!("{name}: the last line was cut short; the next start cuts it off and runs its task again")
        }));
    }
    if figures.command.is_empty() && !records.has_toprocess {
        let note = "how many tasks the list has is not known: there is neither status.json nor toprocess";
        figures.notes.push(note.to_owned());
    }
}

/// Adds what is known about the past.
fn add_history(figures: &mut Figures, history: &History) {
    let tally = &history.tally;
    figures.damage.extend(history.damage.iter().cloned());
    figures.usage = Option::from(tally.usage).or(figures.usage);
    if tally.lengths.count() > 0 {
        figures.lengths = Some((&tally.lengths).into());
        figures.slowest = tally
            .slowest()
            .into_iter()
            .map(|slow| SlowTask {
                id: slow.id,
                seconds: slow.length_us as f64 / 1e6,
                rank: slow.rank,
                host: history.hosts.get(&slow.rank).cloned().unwrap_or_default(),
                command: history.commands.get(&slow.id).cloned().unwrap_or_default(),
            })
            .collect();
    }
    figures.ranks = figures.ranks.max(history.hosts.len() as u64);
}

/// Adds which tasks failed, and how.
fn add_failures(figures: &mut Figures, history: &History, workdir: &Path) {
    let hosts = history.hosts.values().collect::<BTreeSet<_>>().len();
    figures.failures = failures::group(workdir, &history.tally, |rank| history.hosts.get(&rank).cloned(), hosts);
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;
    use crate::figures::report::{FailureGroup, LengthFigures, WorkerFigures};
    use crate::sys::host;

    /// A task that has ended since `status.json` was written is no longer running. Its slot has gone to a waiting task,
    /// if there was one and the farm still starts tasks: "0 running" of a farm whose tasks take milliseconds would be
    /// wrong.
    #[test]
    fn what_is_recorded_no_longer_runs() {
        let worker = WorkerFigures { running: vec![(3, 0.0), (4, 0.0), (5, 0.0)], ..WorkerFigures::default() };
        let mut figures =
            Figures { total: 8, running: 3, workers: vec![worker], state: State::Running, ..Figures::default() };
        let written = figures.clone();
        let records = Records { finished: vec![0, 4], failed: vec![5], ..Records::default() };
        count(&mut figures, &records, true);
        assert_eq!(figures.workers[0].running, [(3, 0.0)]);
        assert_eq!((figures.running, figures.done(), figures.waiting), (3, 3, 2));
        let mut near_the_end = Figures { total: 5, ..written.clone() };
        count(&mut near_the_end, &records, true);
        assert_eq!((near_the_end.running, near_the_end.waiting), (2, 0), "no more than are left");
        let mut stopping = Figures { state: State::Stopping, ..written };
        count(&mut stopping, &records, true);
        assert_eq!((stopping.running, stopping.waiting), (1, 4), "nothing is started any more");
    }

    /// Promise: the elapsed time is the current one, not that of the last `status.json`.
    #[test]
    fn elapsed_time_goes_on_while_the_farm_lives() {
        let folder = tempfile::tempdir().unwrap();
        let holder = format!("host {}, pid {}", host::name(), std::process::id());
        std::fs::write(folder.path().join("lock"), holder).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let figures = Figures {
            state: State::Running,
            host: host::name(),
            pid: std::process::id(),
            elapsed_s: 100.0,
            written_s: now - 20.0,
            ..Figures::default()
        };
        let path = folder.path().join("status.json");
        let written = SystemTime::now() - Duration::from_secs(20);
        let elapsed = |figures: &Figures| {
            std::fs::write(&path, serde_json::to_vec(figures).unwrap()).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(written).unwrap();
            let args = StatusArgs { workdir: Some(folder.path().to_owned()), ..StatusArgs::default() };
            Status::read(folder.path(), &args, None).figures.elapsed_s
        };
        assert!((120.0..180.0).contains(&elapsed(&figures)), "20 s later");
        std::fs::remove_file(folder.path().join("lock")).unwrap();
        assert!((elapsed(&Figures { state: State::Ended, ..figures }) - 100.0).abs() < 1e-9, "it has ended");
    }

    /// With many records, `--watch` counts the kinds of failures once; they are kept, and figures that cover all runs
    /// still do.
    #[test]
    fn kinds_of_failures_stay_in_a_watch() {
        let group = FailureGroup { count: 2, how: "exit 1".to_owned(), ..FailureGroup::default() };
        let lengths = |count| Some(LengthFigures { count, ..LengthFigures::default() });
        let before =
            Figures { finished: 7, failed: 2, failures: vec![group], lengths: lengths(9), ..Figures::default() };
        let written = Figures { total: 20, finished: 6, failed: 5, lengths: lengths(4), ..Figures::default() };
        let mut figures = written.clone();
        carry_over(&mut figures, before.clone());
        assert_eq!((figures.finished, figures.failed, figures.waiting), (7, 5, 8));
        assert_eq!((&figures.failures, figures.lengths), (&before.failures, lengths(4)));
        assert!(figures.notes[0].starts_with("3 more failures since"), "{:?}", figures.notes);
        let mut figures = Figures { earlier: 5, ..written };
        carry_over(&mut figures, before);
        assert_eq!(figures.lengths, lengths(9), "of all runs, as in the first look");
    }
}
