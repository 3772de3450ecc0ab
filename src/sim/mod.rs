//! The deterministic simulator: real cores and the drivers' real steps, with simulated network, processes, disk and
//! clock.
//!
//! Owns nothing that a real farm uses. One seed determines a farm and everything that goes wrong in it ([`options`]);
//! hundreds of nodes fail in every combination within milliseconds, on one thread, the same way every time. A checker
//! judges from outside ([`checker`]). docs/simulation.md explains how to run it and how to read its output.

pub(crate) mod checker;
pub(crate) mod disk;
#[cfg(test)]
mod estimates;
mod farm;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod options;
pub(crate) mod plan;
pub(crate) mod prng;
pub(crate) mod processes;
mod ranks;
#[cfg(test)]
mod scenarios;
#[cfg(test)]
mod tests;
mod trouble;
pub(crate) mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use disk::Disk;
use options::Options;
use plan::Plan;
use prng::Prng;
use world::{RunEnd, World};

/// The environment variable that replays one seed.
pub const SEED_VARIABLE: &str = "TASKFARMER_SEED";

/// The result of a simulation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Summary {
    /// Runs of the farm until every task was recorded.
    pub runs: u32,
    /// Exit code of the last.
    pub code: i32,
    /// Virtual time.
    pub took: Duration,
}

/// Runs a list to its end: disturbed runs first, each resuming where the previous one stopped, then an undisturbed one.
///
/// # Errors
/// The promise that was broken, or why the farm does not end.
pub(crate) fn simulate(options: &Options, trace: bool) -> Result<Summary, String> {
    let mut prng = Prng::new(options.seed);
    let plan = Rc::new(Plan::new(options));
    let disk = Rc::new(RefCell::new(Disk::new(prng.fork())));
    let mut now = Duration::ZERO;
    for run in 0..=options.disturbed_runs {
        let mut options = options.clone();
        if run == options.disturbed_runs {
            (options.faults, options.timeout, options.unfit) = (Vec::new(), None, 0);
            options.rules.halt = None;
        }
        let disturbed = run < options.disturbed_runs;
        let mut world = World::start(now, options, &plan, &disk, prng.fork(), trace)?;
        let end = world.run()?;
        now = world.now;
        match end {
            // No rank has room for some task: the checker has verified that.
            RunEnd::Ended(code @ 2) if !disturbed && plan.demands.say_something() => {
                return Ok(Summary { runs: run + 1, code, took: now });
            }
            RunEnd::Ended(code @ (0 | 1)) if !disturbed => return Ok(Summary { runs: run + 1, code, took: now }),
            _ if !disturbed => return Err(format!("a run without faults does not record every task: {end:?}")),
            _ => {}
        }
    }
    unreachable!("the last run returns")
}

/// Simulates a seed; a panic in the cores counts as a failure, too.
///
/// # Errors
/// The seed, the options, what went wrong, and how to reproduce it.
pub fn try_seed(seed: u64, trace: bool) -> Result<Summary, String> {
    let options = Options::swarm(seed);
    if trace {
        eprintln!("{SEED_VARIABLE}={seed} {options:#?}");
    }
    let result = catch_unwind(AssertUnwindSafe(|| simulate(&options, trace)));
    let what = match result {
        Ok(Ok(summary)) => return Ok(summary),
        Ok(Err(what)) => what,
        Err(panic) => {
            let text = panic.downcast_ref().map(String::as_str).or_else(|| panic.downcast_ref().copied());
            text.map_or_else(|| "panic".to_owned(), |text| format!("panic: {text}"))
        }
    };
    let again = format!("{SEED_VARIABLE}={seed} cargo run --release --no-default-features --example soak");
    Err(format!("seed {seed}: {what}\n  {options:?}\n  replay it with a trace: {again}"))
}
