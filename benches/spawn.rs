//! How long starting a process blocks its caller, and whether several threads start more of them.
//!
//! ```sh
//! cargo bench --no-default-features --bench spawn
//! ```
//!
//! Nothing but `posix_spawn` and `wait4`, as the pool calls them, with this many slots of short tasks; each thread has
//! its part of the slots. A pool of one thread cannot start more tasks per second than the duration of a start allows.

use std::ffi::CStr;
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use taskfarmer::internals::{Command, Spawner};

const TASKS: usize = 4_000;
const SLOTS: usize = 8;
const ROUNDS: usize = 5;

fn main() {
    println!("{TASKS} tasks, {SLOTS} slots; median of {ROUNDS} rounds, the numbers of threads in turn\n");
    println!("| task | threads | tasks/s | start blocks for µs | a thread could start /s |\n|---|---|---|---|---|");
    let workloads: [(&str, &[&CStr]); 2] = [("`true`", &[c"/bin/true"]), ("1 ms", &[c"/bin/sleep", c"0.001"])];
    for (name, argv) in workloads {
        let threads = [1, 2, 4];
        let mut results = vec![Vec::new(); threads.len()];
        for _ in 0..ROUNDS {
            for (results, threads) in results.iter_mut().zip(threads) {
                results.push(round(argv, threads));
            }
        }
        for (mut results, threads) in results.into_iter().zip(threads) {
            results.sort_by(|a, b| a.0.total_cmp(&b.0));
            let (rate, blocked) = results[ROUNDS / 2];
            println!("| {name} | {threads} | {rate:.0} | {:.0} | {:.0} |", blocked * 1e6, 1.0 / blocked);
        }
    }
}

/// Tasks per second, and the mean time of a start in seconds.
fn round(argv: &[&CStr], threads: usize) -> (f64, f64) {
    let start = Instant::now();
    let blocked: Duration = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..threads).map(|_| scope.spawn(move || spawn(argv, TASKS / threads, SLOTS / threads))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    (TASKS as f64 / start.elapsed().as_secs_f64(), blocked.as_secs_f64() / TASKS as f64)
}

/// One thread's part. Returns for how long its starts blocked it.
fn spawn(argv: &[&CStr], tasks: usize, slots: usize) -> Duration {
    let spawner = Spawner::new().expect("memory");
    let null = File::options().read(true).write(true).open("/dev/null").expect("/dev/null");
    let environment = [c"PATH=/usr/bin:/bin"];
    let command = Command { program: argv[0], argv, environment: &environment, ends: [null.as_fd(); 3], folder: None };
    let own = WaitPidFlag::__WNOTHREAD;
    let mut blocked = Duration::ZERO;
    for number in 0..tasks + slots {
        if number >= slots {
            waitpid(None, Some(own)).expect("a child of this thread");
        }
        if number < tasks {
            let start = Instant::now();
            spawner.spawn(&command).expect("a process");
            blocked += start.elapsed();
        }
    }
    blocked
}
