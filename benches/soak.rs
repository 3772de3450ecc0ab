//! Simulates farm after farm until one fails, or until stopped.
//!
//! ```sh
//! cargo run --release --no-default-features --example soak [FIRST [COUNT]]
//! TASKFARMER_SEED=17 cargo run --release --no-default-features --example soak   # one seed, with a trace
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use taskfarmer::internals::{SEED_VARIABLE, try_seed};

/// The interval at which it reports its progress.
const SAY: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    if let Some(seed) = std::env::var(SEED_VARIABLE).ok().and_then(|text| text.parse().ok()) {
        return match try_seed(seed, true) {
            Ok(summary) => {
                println!("seed {seed}: {summary:?}");
                ExitCode::SUCCESS
            }
            Err(error) => fail(&error),
        };
    }
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>().expect("a number"));
    let first = numbers.next().unwrap_or(0);
    let count = numbers.next().unwrap_or(u64::MAX - first);
    let start = Instant::now();
    let mut said = start;
    println!("seeds from {first} on");
    for done in 0..count {
        if let Err(error) = try_seed(first + done, false) {
            println!("{done} seeds passed before");
            return fail(&error);
        }
        if said.elapsed() >= SAY {
            said = Instant::now();
            println!("{} seeds passed, {} s", done + 1, start.elapsed().as_secs());
        }
    }
    println!("{count} seeds passed in {} s", start.elapsed().as_secs());
    ExitCode::SUCCESS
}

fn fail(error: &str) -> ExitCode {
    println!("FAILED: {error}");
    ExitCode::FAILURE
}
