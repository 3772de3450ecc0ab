//! Rank 0's loop: the farm from the first look at the list to the exit code.
//!
//! Owns the order in which a run begins and ends. Nothing is created on disk before list, handler and runner are
//! checked, and no rank is left waiting, whatever rank 0 finds.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::SILENCE_MAX;
use super::asker::Asker;
use super::check;
use super::link::{Links, Received};
use super::pace::Pace;
use super::reader::{Input, NoTasks, Work};
use super::turn::{Network, Storage, Turns};
use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::farmer::{End, Event, Farmer, Note, Record, Settings, TaskTable};
use crate::figures::tally::Tally;
use crate::figures::words;
use crate::lengths::micros;
use crate::pool::handle::PoolHandle;
use crate::progress::{self, Reporter};
use crate::protocol::{Logs, PROTOCOL_VERSION, StopLevel, ToFarmer, ToWorker, WorkerConfig};
use crate::shown;
use crate::stderr::{say, say_error};
use crate::stdout;
use crate::sys::clock::Clock;
use crate::sys::host;
use crate::sys::mpi::Mpi;
use crate::sys::signals::SignalSource;
use crate::sys::wait::{Interest, wait_ready};
use crate::sys::walltime;
use crate::task::{FARMER, Rank, TaskId};
use crate::tasklist::{ListError, TaskList, Tasks};
use crate::workdir::journal::{Journal, JournalError, Keeps};
use crate::workdir::{Wanted, Workdir, WorkdirError, check_joblog};

/// How long workers may take to end when nothing was started.
const DISMISS_LIMIT: Duration = Duration::from_secs(10);

/// A failed sync is noticed within this time.
const SYNC_CHECK: Duration = Duration::from_secs(1);

/// Why nothing was started.
#[derive(Debug, Error)]
enum InputError {
    #[error(transparent)]
    List(#[from] ListError),
    #[error(transparent)]
    NoTasks(#[from] NoTasks),
    #[error(transparent)]
    Workdir(#[from] WorkdirError),
    #[error(
        "--farmer-only leaves no rank to run tasks: this run has only one\n  start it on at least two, or without --farmer-only"
    )]
    NobodyWorks,
    #[error(
        "no task of {} s (--task-time) would end in time: the farm has to stop in {} s, before the batch job ends\n  start it in a longer job",
        task.as_secs(), left.as_secs()
    )]
    NoTime { task: Duration, left: Duration },
    #[error("the folder that it was started in is gone: {0}\n  tasks would run there; start it from another one")]
    NoCwd(std::io::Error),
}

/// How a run ended, for the way out of MPI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The exit code that the run has earned.
    pub code: ExitCode,
    /// Some rank may never answer again.
    pub unreachable: bool,
}

/// Runs a farm to its end. Returns MPI so that the caller can leave it. `input`: tasklist and runner, if they are
/// already being read. `patience`: how long the launcher waits between SIGTERM and SIGKILL, if that is shorter than any
/// grace period.
pub fn run(
    config: &Config,
    input: Option<Input>,
    pool: PoolHandle,
    mpi: Option<Mpi>,
    signals: &SignalSource,
    clock: Clock,
    patience: Option<Duration>,
) -> (Outcome, Option<Mpi>) {
    progress::install_logger(config.log_level());
    let mut links = Links::new(pool, mpi);
    let outcome = match prepare(config, input, links.ranks(), signals, clock) {
        Ok(Some(farm)) => farm.run(config, &mut links, signals, clock, patience),
        Ok(None) => {
            say(&format!("{} has no tasks: nothing to do", config.list.display()));
            dismiss(&mut links, ExitCode::Success, clock)
        }
        Err(error) => {
            say_error(&error.to_string());
            let stopped = matches!(error, InputError::NoTasks(NoTasks::Stopped(_)));
            dismiss(&mut links, if stopped { ExitCode::Stopped } else { ExitCode::BadInput }, clock)
        }
    };
    (outcome, links.into_mpi())
}

/// Prints what a run would do. Returns the exit code.
pub fn dry_run(config: &Config) -> ExitCode {
    progress::install_logger(config.log_level());
    match look(config) {
        Ok((table, list)) => {
            let print = |out: &mut dyn Write| {
                table
                    .unrecorded()
                    .try_for_each(|id| writeln!(out, "{id} {}", shown::message(&shown::text(list.command(id)))))
            };
            match stdout::print(print) {
                Ok(()) if !config.quiet => say(&count(&table)),
                Ok(()) => {}
                Err(code) => return code,
            }
            ExitCode::Success
        }
        Err(error) => {
            say_error(&error.to_string());
            ExitCode::BadInput
        }
    }
}

/// The last line of a dry run.
fn count(table: &TaskTable) -> String {
    let recorded = table.finished() + table.failed();
    let before = if recorded > 0 { format!(", {recorded} recorded by earlier runs") } else { String::new() };
    let open = table.total() - recorded;
    format!("{open} {} would run{before}", words::plural(open.into(), "task"))
}

/// What a run would find.
fn look(config: &Config) -> Result<(TaskTable, TaskList), InputError> {
    let Work { runner, tasks } = Input::read_here(config)?;
    check::list(config, &tasks, &runner, &mut Asker::here())?;
    let Tasks { list, made, .. } = tasks;
    // What a handler needed for itself is not part of a run that changes nothing.
    drop(made);
    let cwd = std::env::current_dir().map_err(InputError::NoCwd)?;
    Ok((Workdir::peek(&config.workdir, &list, config.failed, check::folder(config, &runner, &cwd))?, list))
}

/// A farm whose input is sound and whose workdir is taken.
struct Farm {
    list: Arc<TaskList>,
    table: TaskTable,
    workdir: Workdir,
    journal: Journal,
    start: WorkerConfig,
    /// When it must stop.
    timeout_at: Option<Duration>,
}

fn prepare(
    config: &Config,
    input: Option<Input>,
    ranks: u32,
    signals: &SignalSource,
    clock: Clock,
) -> Result<Option<Farm>, InputError> {
    let mut input = input.unwrap_or_else(|| Input::found_late(config));
    let job_end = std::mem::take(&mut input.job_end);
    let (Work { runner, tasks }, mut asker) = input.finish(config, signals, clock)?;
    check::list(config, &tasks, &runner, &mut asker)?;
    drop(asker);
    let Tasks { list, wants_output, made, .. } = tasks;
    if config.farmer_only && ranks == 1 {
        return Err(InputError::NobodyWorks);
    }
    let cwd = std::env::current_dir().map_err(InputError::NoCwd)?;
    if list.is_empty() {
        return Ok(None);
    }
    let timeout_at = time_limit(config, job_end.finish(signals, config.timeout.is_none()), clock);
    if let Some((task, at)) = config.rules.task_time.zip(timeout_at).filter(|&(task, at)| clock.now() + task >= at) {
        return Err(InputError::NoTime { task, left: at.saturating_sub(clock.now()) });
    }
    let joblog = config.joblog.as_deref().map(|path| absolute(&cwd, path));
    joblog.as_deref().map(check_joblog).transpose()?;
    let keeps = if config.logs == Logs::None { Keeps::NoLogs } else { Keeps::Logs };
    let folder = check::folder(config, &runner, &cwd);
    let (failed, joblog) = (config.failed, joblog.as_deref());
    let wanted = Wanted { failed, joblog, keeps, output: wants_output, cwd: folder, shared: config.shared_workdir };
    let (workdir, table, journal) = Workdir::open(&absolute(&cwd, &config.workdir), &list, &wanted)?;
    made.keep();
    let start = WorkerConfig {
        protocol: PROTOCOL_VERSION,
        rank: FARMER,
        slots: config.slots,
        grace_ms: micros(config.grace) / 1_000,
        cwd: cwd.as_os_str().as_bytes().to_vec(),
        workdir: workdir.path().as_os_str().as_bytes().to_vec(),
        bind: config.bind,
        logs: config.logs,
        farmer_only_host: config.farmer_only.then(host::name),
        runner,
        log_level: config.log_level() as u8,
    };
    Ok(Some(Farm { list: Arc::new(list), table, workdir, journal, start, timeout_at }))
}

/// When the farm must stop: after `--timeout`, or early enough before the batch job ends that tasks get their grace
/// period and the last records reach the disk. `told`: the end of the job as reported by a program of the batch system.
fn time_limit(config: &Config, told: Option<Duration>, clock: Clock) -> Option<Duration> {
    let in_environment = walltime::job_end(|name| std::env::var(name).ok());
    let job_end = in_environment.into_iter().chain(told).min().map(|end| {
        let left = end.saturating_sub(Duration::from_micros(clock.epoch_us(Duration::ZERO)));
        let limit = left.saturating_sub(config.grace + walltime::RESERVE);
        if limit.is_zero() {
            log::warn!(
                "the batch job ends in {} s: there is no time left for tasks, because the farm stops {} s before the end\n  \
                 submit a new job, or check what tells the end of this one: taskfarmer-mpi help signals",
                left.as_secs(),
                (config.grace + walltime::RESERVE).as_secs()
            );
        }
        log::info!("the batch job ends in {} s; the farm stops {} s before", left.as_secs(), (left - limit).as_secs());
        limit
    });
    [config.timeout, job_end].into_iter().flatten().min()
}

/// The path with the working directory in front; symbolic links stay as the user knows them.
fn absolute(cwd: &Path, path: &Path) -> std::path::PathBuf {
    cwd.join(path).components().collect()
}

struct Records {
    journal: Journal,
    tally: Tally,
}

impl Storage for Records {
    fn record(&mut self, records: &[Record], list: &TaskList) -> Result<(), (Vec<TaskId>, String)> {
        self.journal.append(records, list).map_err(storage_failure)?;
        records.iter().for_each(|record| self.tally.record(record));
        Ok(())
    }
}

fn storage_failure(error: JournalError) -> (Vec<TaskId>, String) {
    let text = error.to_string();
    (error.unwritten, text)
}

impl Farm {
    fn run(
        self,
        config: &Config,
        links: &mut Links,
        signals: &SignalSource,
        clock: Clock,
        patience: Option<Duration>,
    ) -> Outcome {
        let Self { list, table, workdir, journal, start, timeout_at } = self;
        let ranks = links.ranks();
        let settings = Settings {
            ranks,
            farmer_only: config.farmer_only,
            silence_max: SILENCE_MAX,
            grace: config.grace,
            rules: config.rules.clone(),
            timeout_at,
        };
        let core = Farmer::new(clock.now(), settings, table);
        let mut reporter = Reporter::start(config, workdir.path(), workdir.status_file(), &core, clock);
        let mut turns = Turns::new(core, Arc::clone(&list), Records { journal, tally: Tally::default() });
        links.start_all(start);
        let mut toprocess = workdir.toprocess();
        let mut notes = Vec::new();
        let mut received: Vec<Received> = Vec::new();
        let mut pace = Pace::default();
        let mut next_check = clock.now();
        let mut killed_soon = None;
        turns.turn(clock.now(), Event::Tick, links, &mut notes);
        let end = loop {
            report(&mut reporter, &mut turns, &mut notes, links, clock);
            if let Some(end) = turns.core.end() {
                break end;
            }
            reporter.look(&turns.core, &turns.storage.tally, &list);
            let due = [
                Some(next_check),
                Some(reporter.next_look()),
                turns.core.next_deadline(),
                killed_soon.map(|(at, _)| at),
            ];
            wait(links, signals, &mut pace, clock, due.into_iter().flatten().min().unwrap_or(next_check));
            let is_all = links.pump(&mut received);
            let now = clock.now();
            // Signals first: no task is started once the farm was asked to stop.
            while let Some(caught) = signals.next_signal() {
                turns.turn(now, Event::Signal(caught.signal), links, &mut notes);
                // For an orderly end, the farm must end before the launcher's SIGKILL, and writing records takes time
                // too.
                if caught.from_parent && i32::from(caught.signal) == libc::SIGTERM {
                    killed_soon = killed_soon.or(patience.map(|patience| (now + patience / 4, caught.signal)));
                }
            }
            for (rank, message) in received.drain(..) {
                let event = match message {
                    Ok(message) => Event::Message(rank, message),
                    Err(error) => Event::LinkFailed(rank, error),
                };
                turns.turn(now, event, links, &mut notes);
            }
            if let Some((_, signal)) = killed_soon.take_if(|(at, _)| now >= *at) {
                turns.turn(now, Event::KilledSoon(signal), links, &mut notes);
            }
            // Messages that wait to be read do not count as silence of their senders.
            if is_all && turns.core.next_deadline().is_some_and(|at| now >= at) {
                turns.turn(now, Event::Tick, links, &mut notes);
            }
            if now >= next_check {
                next_check = now + SYNC_CHECK;
                if let Err(error) = turns.storage.journal.check_sync() {
                    let (unwritten, reason) = storage_failure(error);
                    turns.turn(now, Event::StorageFailed { unwritten, reason }, links, &mut notes);
                }
                if let Err(error) = toprocess.write_if_due(&list, || turns.core.tasks().snapshot()) {
                    log::warn!("cannot write toprocess: {error}; finished and failed are what counts");
                }
            }
        };
        let end =
            close(turns, toprocess, &list, end, |core, end, tally| reporter.finish(config, core, end, tally, &list));
        drop(workdir);
        part(links, clock, &end.lost, end.unreachable);
        Outcome { code: end.exit_code(), unreachable: end.unreachable }
    }
}

/// Closes the files and prints the result for the user.
fn close(
    turns: Turns<Records>,
    toprocess: crate::workdir::ToprocessWriter,
    list: &TaskList,
    mut end: End,
    tell_user: impl FnOnce(&Farmer, &End, &Tally),
) -> End {
    let Turns { core, storage, .. } = turns;
    if let Err(error) = toprocess.finish(list, &core.tasks().snapshot()) {
        log::warn!("cannot write toprocess: {error}; finished and failed are what counts");
    }
    let Records { journal, tally } = storage;
    if let Err(error) = journal.close() {
        end.fail(storage_failure(error).1);
    }
    tell_user(&core, &end, &tally);
    end
}

/// Reports to the user what happened, and to the timeline which ranks have joined.
fn report(reporter: &mut Reporter, turns: &mut Turns<Records>, notes: &mut Vec<Note>, links: &mut Links, clock: Clock) {
    for note in std::mem::take(notes) {
        reporter.note(&note, &turns.core);
        let journal = &mut turns.storage.journal;
        let written = match (&note, turns.core.workers()) {
            (Note::Joined(rank), workers) => match workers.get(*rank) {
                Some(worker) => journal.name_rank(rank.0, &worker.host, worker.book.slots()),
                None => Ok(()),
            },
            // A log that cannot be created for lack of space is the workdir's problem, not the node's.
            (Note::Paused(_), _) => {
                journal.probe();
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = written {
            let (unwritten, reason) = storage_failure(error);
            turns.turn(clock.now(), Event::StorageFailed { unwritten, reason }, links, notes);
        }
    }
}

fn wait(links: &mut Links, signals: &SignalSource, pace: &mut Pace, clock: Clock, deadline: Duration) {
    let now = clock.now();
    if links.take_traffic() {
        pace.on_traffic(now);
    }
    let mut timeout = deadline.saturating_sub(now);
    if links.must_look() {
        timeout = timeout.min(pace.pause(now));
    }
    let signals = Interest { fd: signals.as_fd(), write: false };
    match links.pool.interest() {
        Some((fd, write)) => wait_ready(&[signals, Interest { fd, write }], Some(timeout)),
        None => wait_ready(&[signals], Some(timeout)),
    }
}

/// Dismisses all ranks when there is nothing to do, and waits until they have ended.
fn dismiss(links: &mut Links, code: ExitCode, clock: Clock) -> Outcome {
    for rank in (0..links.ranks()).map(Rank) {
        links.send(rank, &ToWorker::Stop { level: StopLevel::Drain });
    }
    let unreachable = !flush(links, clock, (0..links.ranks()).map(Rank).collect());
    part(links, clock, &[], unreachable);
    Outcome { code, unreachable }
}

/// Tells all ranks that the farm is over, but only after the files are closed and the user was informed: launchers
/// consider a rank that leaves MPI long before the others a failure, and end the others.
fn part(links: &mut Links, clock: Clock, lost: &[Rank], skip_finalize: bool) {
    let leave = ToWorker::Leave { skip_finalize };
    let (late, others): (Vec<Rank>, Vec<Rank>) =
        (1..links.ranks()).map(Rank).partition(|rank| skip_finalize && lost.contains(rank));
    others.into_iter().for_each(|rank| links.send(rank, &leave));
    flush(links, clock, BTreeSet::new());
    // They may still come back, but nothing waits for that.
    late.into_iter().for_each(|rank| links.send(rank, &leave));
}

/// Waits until every message is sent, these ranks have reported that they are done, and the own pool has ended; `false`
/// if that took too long.
fn flush(links: &mut Links, clock: Clock, mut unheard: BTreeSet<Rank>) -> bool {
    let deadline = clock.now() + DISMISS_LIMIT;
    let mut received = Vec::new();
    while clock.now() < deadline {
        links.pump(&mut received);
        for (rank, message) in received.drain(..) {
            if let Ok(ToFarmer::Stopped | ToFarmer::PoolLost { .. }) = message {
                unheard.remove(&rank);
            }
        }
        if links.pool.end().is_some() && !links.is_sending() && unheard.is_empty() {
            return true;
        }
        let pause = Some(Duration::from_millis(1));
        match links.pool.interest() {
            Some((fd, write)) => wait_ready(&[Interest { fd, write }], pause),
            None => wait_ready(&[], pause),
        }
    }
    false
}
