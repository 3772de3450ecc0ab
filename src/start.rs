//! Parse, fork the pool, start MPI if launched, take the role that the rank has, exit.

use std::fmt::Display;
use std::process::ExitCode as ProcessExitCode;

use crate::cli::{self, Cli};
use crate::commands;
use crate::config::Config;
use crate::driver;
use crate::driver::reader::Input;
use crate::exit_code::ExitCode;
use crate::ini::Catalog;
use crate::pool::{self, handle::PoolHandle};
use crate::runner;
use crate::stderr::{say, say_error};
use crate::stdout;
use crate::sys::clock::Clock;
use crate::sys::fork::{Forked, fork_pool};
use crate::sys::launcher::{Launch, Pmi};
use crate::sys::library::Library;
use crate::sys::mpi::{self, Mpi};
use crate::sys::signals::{self, SignalSource};
use crate::sys::transport::Leave;
use crate::tasklist;
use clap::error::ErrorKind;

/// Runs the program: what `main` does.
pub fn main() -> ProcessExitCode {
    let clock = Clock::start();
    signals::expect_children();
    let launch = Launch::of_this_process();
    // Every rank sees the same command line; one of them prints messages and fails for all.
    let speaks = launch.is_none_or(|launch| launch.rank == 0 || launch.is_left_over());
    // If srun connects no ranks, nothing shows that the others exist: a task of a different program looks the same.
    let answers = speaks || launch.is_some_and(|launch| launch.pmi == Pmi::Missing);
    let exit = |code: ExitCode| ProcessExitCode::from(if answers { code as u8 } else { 0 });
    let config = match read_command_line(answers) {
        Ok(config) => config,
        Err(code) => return exit(code),
    };
    if config.options.dry_run {
        return exit(if answers { driver::farmer::dry_run(&config) } else { ExitCode::Success });
    }
    match start(&config, launch, speaks, clock) {
        Ok(code) => ProcessExitCode::from(code),
        Err((code, text)) => {
            if speaks {
                say_error(&text);
            }
            exit(code)
        }
    }
}

fn read_command_line(speaks: bool) -> Result<Config, ExitCode> {
    let cli = Cli::read(std::env::args_os()).map_err(|error| {
        let is_error = !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if speaks && is_error {
            say_error(&cli::explain(error));
        } else if speaks {
            return stdout::styled(&error.render());
        }
        if is_error { ExitCode::BadInput } else { ExitCode::Success }
    })?;
    if let Some(command) = cli.command {
        return Err(if speaks { commands::run(command) } else { ExitCode::Success });
    }
    if cli.version || cli.list_runners || cli.list_handlers {
        return Err(if speaks { print_about(&cli) } else { ExitCode::Success });
    }
    Config::check(cli).map_err(|error| {
        if speaks {
            say_error(&error.to_string());
        }
        ExitCode::BadInput
    })
}

/// Prints what was requested in place of a run. Returns the exit code.
fn print_about(cli: &Cli) -> ExitCode {
    if cli.version {
        return stdout::text(&version());
    }
    let lists = [cli.list_runners.then(runner::listing), cli.list_handlers.then(tasklist::listing)];
    let (texts, catalogs): (Vec<_>, Vec<_>) = lists.into_iter().flatten().unzip();
    let code = stdout::text(&texts.concat());
    for error in catalogs.iter().flat_map(Catalog::broken) {
        say(&format!("not read: {error}"));
    }
    catalogs.iter().flat_map(Catalog::ignored).for_each(|text| say(&text));
    code
}

fn version() -> String {
    let revision = env!("TASKFARMER_GIT_REVISION");
    let revision = if revision.is_empty() { String::new() } else { format!(" (git {revision})") };
    let (version, library) = (env!("CARGO_PKG_VERSION"), mpi::library_version());
    let built_with = Library::built_with().map_or_else(String::new, |built| format!("Built with: {built}\n"));
    let path = mpi::library_path().map_or_else(String::new, |path| format!("Loaded from: {path}\n"));
    format!("taskfarmer-mpi {version}{revision}\nMPI library: {library}\n{built_with}{path}")
}

fn failed<E: Display>(what: &str) -> impl FnOnce(E) -> (ExitCode, String) {
    move |error| (ExitCode::FarmFailed, format!("cannot {what}: {error}"))
}

/// Becomes pool, relay or farmer, and runs as that. Returns the exit code, or the error at the start.
fn start(config: &Config, launch: Option<Launch>, speaks: bool, clock: Clock) -> Result<u8, (ExitCode, String)> {
    signals::block_all().map_err(failed("block signals"))?;
    let (nursery, socket, executing) = match fork_pool().map_err(failed("start the pool process"))? {
        Forked::Pool(socket, executing) => return Ok(u8::try_from(pool::run(socket, executing)).unwrap_or(1)),
        Forked::Parent(nursery, socket, executing) => (nursery, socket, executing),
    };
    let pool = PoolHandle::new(nursery, socket, executing).map_err(failed("talk to the pool process"))?;
    // After the pool, which must not inherit this: it would end the reader, and remove what the reader has created.
    let input = speaks.then(|| Input::start(config)).transpose();
    let input = input.map_err(failed("start the process that reads the tasklist and the runner"))?;
    let signals = SignalSource::stops().map_err(failed("read signals"))?;
    run(config, input, launch, pool, &signals, clock)
}

/// Takes the role that MPI gives to this rank.
fn run(
    config: &Config,
    input: Option<Input>,
    launch: Option<Launch>,
    mut pool: PoolHandle,
    signals: &SignalSource,
    clock: Clock,
) -> Result<u8, (ExitCode, String)> {
    let launcher = launch.map(|launch| launch.launcher);
    let mpi = match launch {
        // Without other ranks, MPI would only cost time.
        Some(launch) if launch.may_have_others() => {
            check_mpi(&launch).map_err(|text| (ExitCode::BadInput, text))?;
            Some(Mpi::start(launch, mpi_hangs).map_err(|error| (ExitCode::BadInput, error))?)
        }
        _ => None,
    };
    match (launch, mpi) {
        (Some(launch), Some(mpi)) if (launch.size.is_some() || launch.rank > 0) && mpi.size() == 1 => {
            pool.shut();
            let text = alone(&launch, mpi::library().as_ref());
            if launch.size.is_some() {
                return Err((ExitCode::BadInput, text));
            }
            // If the launcher does not give the number of ranks, rank 0 assumes that it is the only one, so this
            // process reports it.
            say_error(&text);
            Ok(ExitCode::BadInput as u8)
        }
        (_, Some(mpi)) if mpi.rank() != 0 => driver::relay::run(mpi, pool, signals, clock, launcher),
        (_, mpi) => {
            let patience = launch.and_then(|launch| launch.patience(mpi::library().as_ref()));
            let (outcome, mpi) = driver::farmer::run(config, input, pool, mpi, signals, clock, patience);
            let Some(mpi) = mpi else { return Ok(outcome.code as u8) };
            let how = if outcome.unreachable { Leave::Abandon } else { Leave::Finalize };
            mpi.leave(how, outcome.code.code(), launcher)
        }
    }
}

/// Checks that MPI can start, before it does: MPI itself would end the process with its own exit code and message.
fn check_mpi(launch: &Launch) -> Result<(), String> {
    let library = mpi::library();
    if let (Some(built), Some(loaded)) = (Library::built_with(), &library)
        && !built.runs_on(loaded)
    {
        let path = mpi::library_path().map_or_else(String::new, |path| format!(" ({path})"));
        return Err(format!(
            "this program was built with {built}, but finds {loaded}{path} instead\n  \
             put the folder of {built}'s library first in LD_LIBRARY_PATH, or rebuild: make build MPICC=…"
        ));
    }
    if launch.is_left_over() || library.as_ref().is_some_and(|found| !launch.serves(found)) {
        return Err(alone(launch, library.as_ref()));
    }
    Ok(())
}

/// Continuing would start one farm per rank, all on the same workdir.
fn alone(launch: &Launch, library: Option<&Library>) -> String {
    let processes = launch.size.map_or_else(String::new, |size| format!("{size} "));
    if launch.is_left_over() {
        let (rank, name) = (launch.rank, launch.launcher.command());
        return format!(
            "this process has the variables of rank {rank} of {processes}ranks of {name}, but {name} did not start it\n  {}",
            launch.cure(library)
        );
    }
    format!(
        "the launcher started {processes}processes, but MPI ({}) does not connect them\n  {}",
        mpi::library_version(),
        launch.cure(library)
    )
}

/// Prints the last message of a process that cannot end in any other way. Returns its exit code.
fn mpi_hangs() -> i32 {
    say_error(
        "MPI does not return from a call, as can happen after a rank was killed: this rank ends\n  \
         what was recorded is safe; the same command resumes the farm",
    );
    ExitCode::FarmFailed.code()
}
