//! Parse, fork the pool, start MPI if launched, take the role that the rank has, exit.

use std::process::ExitCode as ProcessExitCode;

use clap::error::ErrorKind;
use taskfarmer::cli::Cli;
use taskfarmer::config::Config;
use taskfarmer::driver;
use taskfarmer::exit_code::ExitCode;
use taskfarmer::pool::{self, handle::PoolHandle};
use taskfarmer::progress::say_error;
use taskfarmer::sys::clock::Clock;
use taskfarmer::sys::fork::{Forked, fork_pool};
use taskfarmer::sys::launcher::Launch;
use taskfarmer::sys::signals::{self, SignalSource};

fn main() -> ProcessExitCode {
    let clock = Clock::start();
    let launch = Launch::detect(|name| std::env::var(name).ok());
    // Every rank sees the same command line; one of them speaks and fails for all.
    let speaks = launch.is_none_or(|launch| launch.rank == 0);
    let exit = |code: ExitCode| ProcessExitCode::from(if speaks { code as u8 } else { 0 });
    let config = match read_command_line(speaks) {
        Ok(config) => config,
        Err(code) => return exit(code),
    };
    if config.dry_run {
        return exit(if speaks { driver::farmer::dry_run(&config) } else { ExitCode::Success });
    }
    match start(&config, launch, clock) {
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
            let text = error.render().to_string();
            say_error(text.trim_start_matches("error: ").trim_end());
        } else if speaks {
            // Help on a closed pipe is nobody's loss.
            let _ = error.print();
        }
        if is_error { ExitCode::BadInput } else { ExitCode::Success }
    })?;
    if cli.version {
        if speaks {
            print_version();
        }
        return Err(ExitCode::Success);
    }
    Config::check(cli).map_err(|error| {
        if speaks {
            say_error(&error.to_string());
        }
        ExitCode::BadInput
    })
}

fn print_version() {
    let revision = env!("TASKFARMER_GIT_REVISION");
    let revision = if revision.is_empty() { String::new() } else { format!(" (git {revision})") };
    println!("taskfarmer-mpi {}{revision}", env!("CARGO_PKG_VERSION"));
    #[cfg(feature = "mpi")]
    println!("MPI library: {}", taskfarmer::sys::mpi::library_version());
    #[cfg(not(feature = "mpi"))]
    println!("built without MPI: one node only");
}

/// Becomes pool, relay or farmer, and lives its life. The exit code, or what went wrong at the start.
fn start(config: &Config, launch: Option<Launch>, clock: Clock) -> Result<u8, (ExitCode, String)> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |error: &dyn std::fmt::Display| (ExitCode::FarmFailed, format!("cannot {what}: {error}"))
    };
    #[cfg(not(feature = "mpi"))]
    if let Some(launch) = launch.filter(|launch| launch.size > 1) {
        let text =
            format!("launched with {} ranks, but built without MPI\n  build it with its default features", launch.size);
        return Err((ExitCode::BadInput, text));
    }
    signals::block_all().map_err(|error| failed("block signals")(&error))?;
    let (pid, socket) = match fork_pool().map_err(|error| failed("start the pool process")(&error))? {
        Forked::Pool(socket) => return Ok(u8::try_from(pool::run(socket)).unwrap_or(1)),
        Forked::Parent(pid, socket) => (pid, socket),
    };
    let pool = PoolHandle::new(pid, socket).map_err(|error| failed("talk to the pool process")(&error))?;
    let signals = SignalSource::stops().map_err(|error| failed("read signals")(&error))?;
    run(config, launch, pool, &signals, clock)
}

#[cfg(feature = "mpi")]
fn run(
    config: &Config,
    launch: Option<Launch>,
    mut pool: PoolHandle,
    signals: &SignalSource,
    clock: Clock,
) -> Result<u8, (ExitCode, String)> {
    use taskfarmer::sys::mpi::{Leave, Mpi};
    let launcher = launch.map(|launch| launch.launcher);
    let mpi = match launch {
        None => None,
        Some(_) => Some(Mpi::start().ok_or((ExitCode::FarmFailed, "MPI was started before".to_owned()))?),
    };
    if let (Some(launch), Some(mpi)) =
        (launch.filter(|launch| launch.size > 1), mpi.as_ref().filter(|mpi| mpi.size() == 1))
    {
        let text = format!(
            "the launcher started {} processes, but MPI ({}) sees each of them alone\n  {}",
            launch.size,
            taskfarmer::sys::mpi::library_version(),
            launch.cure()
        );
        let _ = mpi;
        pool.shut();
        return Err((ExitCode::BadInput, text));
    }
    if mpi.as_ref().is_some_and(|mpi| mpi.rank() != 0) {
        let mpi = mpi.expect("checked");
        driver::relay::run(mpi, pool, signals, clock, launcher);
    }
    let (outcome, mpi) = driver::farmer::run(config, pool, mpi, signals, clock);
    match mpi {
        Some(mpi) => {
            let how = if outcome.unreachable { Leave::Abandon } else { Leave::Finalize };
            mpi.leave(how, outcome.code.code(), launcher)
        }
        None => Ok(outcome.code as u8),
    }
}

#[cfg(not(feature = "mpi"))]
fn run(
    config: &Config,
    _: Option<Launch>,
    pool: PoolHandle,
    signals: &SignalSource,
    clock: Clock,
) -> Result<u8, (ExitCode, String)> {
    let (outcome, _) = driver::farmer::run(config, pool, None, signals, clock);
    Ok(outcome.code as u8)
}
