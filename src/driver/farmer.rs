//! Rank 0's loop: the farm from the first look at the list to the exit code.
//!
//! Owns the order in which a run begins and ends. Nothing is created on disk before list, handler and runner are
//! checked, and no rank is left waiting, whatever rank 0 finds.

use std::collections::BTreeSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::SILENCE_MAX;
use super::asker::{Asker, Who};
use super::check;
use super::link::Links;
use super::reader::{Input, NoTasks, Work};
use super::running::{Records, Running, storage_failure};
use super::turn::{Network, Turns};
use crate::config::Config;
use crate::demand::amounts::Shared;
use crate::demand::classes::{Demands, Kind};
use crate::demand::list::ListAsks;
use crate::exit_code::ExitCode;
use crate::farmer::{End, Farmer, Settings, TaskTable};
use crate::figures::tally::Tally;
use crate::figures::words;
use crate::lengths::micros;
use crate::pool::handle::PoolHandle;
use crate::progress::{self, Reporter};
use crate::protocol::{Logs, PROTOCOL_VERSION, StopLevel, ToFarmer, ToWorker, WorkerConfig};
use crate::runner::{Runner, Way};
use crate::shown;
use crate::stderr::{say, say_error};
use crate::stdout;
use crate::sys::clock::Clock;
use crate::sys::host;
use crate::sys::mpi::Mpi;
use crate::sys::signals::SignalSource;
use crate::sys::walltime;
use crate::task::{FARMER, Rank};
use crate::tasklist::{ListError, TaskList, Tasks};
use crate::workdir::journal::Journal;
use crate::workdir::{Wanted, Workdir, WorkdirError, check_joblog};

/// How long workers may take to end when nothing was started.
const DISMISS_LIMIT: Duration = Duration::from_secs(10);

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
    #[error("task {task} asks for {asked} of '{name}', and --resource gives {total}\n  ask for fewer, or give more")]
    TooFew { task: u32, asked: u32, name: String, total: u32 },
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
pub(crate) fn dry_run(config: &Config) -> ExitCode {
    progress::install_logger(config.log_level());
    let Look { table, list, demands, runner } = match look(config) {
        Ok(found) => found,
        Err(error) => {
            say_error(&error.to_string());
            return ExitCode::BadInput;
        }
    };
    let mut shells = 0;
    let mut way = |command: &[u8]| {
        let way = runner.as_ref().map(|runner| runner.way(command));
        shells += u64::from(way == Some(Way::Shell));
        way.map_or("", Way::name)
    };
    let (has_demands, names) = (demands.say_something(), config.options.resource_names());
    let print = |out: &mut dyn Write| {
        table.unrecorded().try_for_each(|id| {
            let command = list.command(id);
            let demand = if has_demands { format!("[{}] ", demands.keys(id.0, &names)) } else { String::new() };
            writeln!(out, "{id} {demand}{}{}", way(command), shown::message(&shown::text(command)))
        })
    };
    if let Err(code) = stdout::print(print) {
        return code;
    }
    if !config.options.quiet {
        say(&count(&table, runner.map(|_| shells)));
    }
    ExitCode::Success
}

/// The last line of a dry run.
fn count(table: &TaskTable, shells: Option<u64>) -> String {
    let recorded = table.finished() + table.failed();
    let before = if recorded > 0 { format!(", {recorded} recorded by earlier runs") } else { String::new() };
    let shells = shells.map_or(String::new(), |shells| format!(", {shells} of them with a shell"));
    let open = table.total() - recorded;
    format!("{open} {} would run{shells}{before}", words::plural(open.into(), "task"))
}

/// What a run would find.
struct Look {
    table: TaskTable,
    list: TaskList,
    demands: Demands,
    /// With `-v`.
    runner: Option<Runner>,
}

fn look(config: &Config) -> Result<Look, InputError> {
    let Work { runner, tasks } = Input::read_here(config)?;
    check::list(config, &tasks, &runner, &mut Asker::new(Who::Here))?;
    let Tasks { list, asks, made, .. } = tasks;
    let demands = demands(config, asks, list.len())?;
    // What a handler needed for itself is not part of a run that changes nothing.
    drop(made);
    let cwd = std::env::current_dir().map_err(InputError::NoCwd)?;
    let table = Workdir::peek(&config.workdir, &list, config.failed, check::folder(config, &runner, &cwd))?;
    let runner = (config.options.verbose > 0).then(|| Runner::here(&runner, &cwd));
    Ok(Look { table, list, demands, runner })
}

/// A farm whose input is sound and whose workdir is taken.
struct Farm {
    list: Arc<TaskList>,
    table: TaskTable,
    workdir: Workdir,
    journal: Journal,
    start: WorkerConfig,
    /// What tasks ask for, by class.
    kinds: Vec<Kind>,
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
    let Tasks { list, asks, wants_output, made, .. } = tasks;
    let demands = demands(config, asks, list.len())?;
    if config.options.farmer_only && ranks == 1 {
        return Err(InputError::NobodyWorks);
    }
    let cwd = std::env::current_dir().map_err(InputError::NoCwd)?;
    if list.is_empty() {
        return Ok(None);
    }
    let timeout_at = time_limit(config, job_end.finish(signals, config.options.timeout.is_none()), clock);
    if let Some((task, at)) = config.rules().task_time.zip(timeout_at).filter(|&(task, at)| clock.now() + task >= at) {
        return Err(InputError::NoTime { task, left: at.saturating_sub(clock.now()) });
    }
    let joblog = config.options.joblog.as_deref().map(|path| absolute(&cwd, path));
    joblog.as_deref().map(check_joblog).transpose()?;
    let keeps_logs = config.options.logs != Logs::None;
    let folder = check::folder(config, &runner, &cwd);
    let (failed, joblog, shared) = (config.failed, joblog.as_deref(), config.options.shared_workdir);
    let wanted = Wanted { failed, joblog, keeps_logs, output: wants_output, cwd: folder, shared };
    let (workdir, table, journal) = Workdir::open(&absolute(&cwd, &config.workdir), &list, &wanted)?;
    made.keep();
    let (slots, bind) = (config.slots(&demands), config.options.bind(&demands));
    let kinds = demands.of_ranks();
    let table = table.with_classes(demands.of_tasks, kinds.len());
    let start = WorkerConfig {
        protocol: PROTOCOL_VERSION,
        rank: FARMER,
        slots,
        grace_ms: micros(config.options.grace.length) / 1_000,
        cwd: cwd.as_os_str().as_bytes().to_vec(),
        workdir: workdir.path().as_os_str().as_bytes().to_vec(),
        bind,
        kinds,
        logs: config.options.logs,
        farmer_only_host: config.options.farmer_only.then(host::name),
        runner,
        log_level: config.log_level() as u8,
    };
    Ok(Some(Farm { list: Arc::new(list), table, workdir, journal, start, kinds: demands.kinds, timeout_at }))
}

/// What the tasks of a list ask for.
fn demands(config: &Config, asks: ListAsks, tasks: u32) -> Result<Demands, InputError> {
    let demands = Demands::new(config.options.asks(), asks, tasks);
    match demands.excess(&config.options.totals()) {
        Some((task, thing, asked)) => {
            let Shared { name, total } = &config.options.resources[thing];
            Err(InputError::TooFew { task, asked, name: name.clone(), total: *total })
        }
        None => Ok(demands),
    }
}

/// When the farm must stop: after `--timeout`, or early enough before the batch job ends that tasks get their grace
/// period and the last records reach the disk. `told`: the end of the job as reported by a program of the batch system.
fn time_limit(config: &Config, told: Option<Duration>, clock: Clock) -> Option<Duration> {
    let in_environment = walltime::job_end(|name| std::env::var(name).ok());
    let job_end = in_environment.into_iter().chain(told).min().map(|end| {
        let left = end.saturating_sub(Duration::from_micros(clock.epoch_us(Duration::ZERO)));
        let limit = left.saturating_sub(config.options.grace.length + walltime::RESERVE);
        if limit.is_zero() {
            log::warn!(
                "the batch job ends in {} s: there is no time left for tasks, because the farm stops {} s before the end\n  \
                 submit a new job, or check what tells the end of this one: taskfarmer-mpi help signals",
                left.as_secs(),
                (config.options.grace.length + walltime::RESERVE).as_secs()
            );
        }
        log::info!("the batch job ends in {} s; the farm stops {} s before", left.as_secs(), (left - limit).as_secs());
        limit
    });
    [config.options.timeout.as_ref().map(|time| time.length), job_end].into_iter().flatten().min()
}

/// The path with the working directory in front; symbolic links stay as the user knows them.
fn absolute(cwd: &Path, path: &Path) -> std::path::PathBuf {
    cwd.join(path).components().collect()
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
        let Self { list, table, workdir, journal, start, kinds, timeout_at } = self;
        let settings = Settings {
            ranks: links.ranks(),
            farmer_only: config.options.farmer_only,
            silence_max: SILENCE_MAX,
            grace: config.options.grace.length,
            rules: config.rules(),
            timeout_at,
            kinds,
            totals: config.options.totals(),
        };
        let core = Farmer::new(clock.now(), settings, table);
        let reporter = Reporter::start(config, &start, workdir.path(), workdir.status_file(), &core, clock);
        let turns = Turns::new(core, Arc::clone(&list), Records { journal, tally: Tally::default() });
        links.start_all(start);
        let mut running = Running::new(clock.now(), turns, reporter, workdir.toprocess(), patience);
        let end = running.until_its_end(links, signals, clock);
        let end = close(running, end, config, &list);
        drop(workdir);
        part(links, clock, &end.lost, end.unreachable);
        Outcome { code: end.exit_code(), unreachable: end.unreachable }
    }
}

/// Closes the files and prints the result for the user.
fn close(running: Running, mut end: End, config: &Config, list: &TaskList) -> End {
    let Running { turns: Turns { core, storage, .. }, reporter, toprocess, .. } = running;
    if let Err(error) = toprocess.finish(list, &core.tasks().snapshot()) {
        log::warn!("cannot write toprocess: {error}; finished and failed are what counts");
    }
    let Records { journal, tally } = storage;
    if let Err(error) = journal.close() {
        end.fail(storage_failure(error).1);
    }
    reporter.finish(config, &core, &end, &tally, list);
    end
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
        links.pool.wait(None, Duration::from_millis(1));
    }
    false
}
