//! How many tasks per second rank 0 handles: real ranks, real MPI, real files, and pools that do nothing.
//!
//! ```sh
//! cargo bench --bench dispatch               # 3 ranks of 64 slots, 1,000,000 tasks, `true`
//! TASKS=100000 RANKS=9 cargo bench --bench dispatch
//! ```
//!
//! Every part of a farm is real, except for the processes: each task ends when it starts. Rank 0 reads the list, hands
//! it out, receives the results, and writes timeline, attempts and `finished`.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use taskfarmer::internals::worker::{Event, Usage, Worker};
use taskfarmer::internals::{
    Assignment, Cli, Clock, Config, Forked, FrameReader, Launch, Leave, Mpi, Outcome, PoolHandle, PoolTurns as Turns,
    Processes, SignalSource, SlotCount, SpawnError, ToFarmer, ToWorker, block_all, decode, fork_pool, library_version,
    micros, push_message, run_farmer, run_relay,
};

const SLOTS: u32 = 64;

/// Tasks that end when they start.
#[derive(Default)]
struct Nothing {
    started: Vec<u32>,
}

impl Processes for Nothing {
    fn spawn(&mut self, _: Duration, slot: u32, _: &Assignment, _: &[u32]) -> Result<(), SpawnError> {
        self.started.push(slot);
        Ok(())
    }

    fn terminate(&mut self, _: u32) {}

    fn kill(&mut self, _: u32) {}
}

/// A pool without processes; it lives until its socket closes or the farm stops.
fn pool(mut socket: UnixStream) -> u8 {
    let clock = Clock::start();
    let mut turns = Turns::new(Worker::new(SLOTS, Duration::ZERO), Nothing::default());
    let (mut reader, mut buffer, mut said, mut out) =
        (FrameReader::default(), vec![0; 1 << 20], Vec::new(), Vec::new());
    while !turns.core.is_stopped() {
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return 1,
            Ok(len) => reader.extend(&buffer[..len]),
        }
        while let Some(frame) = reader.next_frame().expect("our own frames") {
            match decode::<ToWorker>(frame).expect("our own messages") {
                ToWorker::Start(_) => {
                    let host = "bench".to_owned();
                    said.push(ToFarmer::plain_hello(host, SLOTS));
                }
                message => turns.turn(clock.now(), Event::Message(message), &mut said),
            }
        }
        while !turns.processes.started.is_empty() {
            let usage = Usage { start_us: clock.epoch_us(clock.now()), ..Usage::default() };
            for slot in std::mem::take(&mut turns.processes.started) {
                let event = Event::Ended { slot, outcome: Outcome::Exited(0), usage };
                turns.turn(clock.now(), event, &mut said);
            }
        }
        turns.flush(clock.now(), &mut said);
        said.drain(..).for_each(|message| push_message(&mut out, &message));
        if socket.write_all(&out).is_err() {
            return 1;
        }
        out.clear();
    }
    0
}

/// A rank of the farm.
fn rank(launch: Launch, words: &[String]) -> ExitCode {
    let clock = Clock::start();
    let config = Config::check(Cli::read(words.iter().map(Into::into)).expect("our own words")).expect("our own words");
    assert_eq!(config.proc, Some(SlotCount::Fixed(SLOTS)));
    block_all().expect("signals");
    let (nursery, socket, executing) = match fork_pool().expect("a process") {
        Forked::Pool(socket, _) => return pool(socket).into(),
        Forked::Parent(nursery, socket, executing) => (nursery, socket, executing),
    };
    let pool = PoolHandle::new(nursery, socket, executing).expect("a socket");
    let signals = SignalSource::stops().expect("signals");
    let mpi = Mpi::start(launch, || 4).expect("MPI");
    if mpi.rank() != 0 {
        run_relay(mpi, pool, &signals, clock, Some(launch.launcher));
    }
    let start = Instant::now();
    let (outcome, mpi) = run_farmer(&config, None, pool, Some(mpi), &signals, clock, None);
    println!("{}", micros(start.elapsed()));
    mpi.expect("it was given").leave(Leave::Finalize, outcome.code.code(), Some(launch.launcher))
}

fn number(name: &str, default: u32) -> u32 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().collect();
    if let Some(launch) = Launch::of_this_process() {
        return rank(launch, &words);
    }
    let (tasks, ranks, rounds) = (number("TASKS", 1_000_000), number("RANKS", 3), number("ROUNDS", 5));
    let launcher = std::env::var("MPIRUN").unwrap_or_else(|_| "mpirun --oversubscribe --allow-run-as-root".to_owned());
    println!("{tasks} tasks of no length on {ranks} ranks of {SLOTS} slots; {launcher}; {}", library_version());
    let mut rates: Vec<f64> = (0..rounds).map(|_| round(tasks, ranks, &launcher)).collect();
    rates.sort_by(f64::total_cmp);
    let (least, most, median) = (rates[0], rates[rates.len() - 1], rates[rates.len() / 2]);
    println!(
        "tasks per second, start and end included: median {median:.0}, from {least:.0} to {most:.0} in {rounds} rounds"
    );
    ExitCode::SUCCESS
}

/// One run; tasks per second.
fn round(tasks: u32, ranks: u32, launcher: &str) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let list = folder.path().join("list");
    std::fs::write(&list, "true\n".repeat(tasks as usize)).expect("a disk");
    let mut command = Command::new("bash");
    command.args(["-c", &format!("exec {launcher} -n {ranks} \"$@\""), "bash"]);
    command.arg(std::env::current_exe().expect("Linux knows it")).args(["-n", &SLOTS.to_string()]).arg(&list);
    let output = command.output().expect("bash");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let us: f64 = text.trim().parse().unwrap_or_else(|_| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let finished = std::fs::read(folder.path().join("list_workdir/finished")).expect("what has ended");
    assert_eq!(finished.iter().filter(|byte| **byte == b'\n').count(), tasks as usize, "every task is recorded");
    f64::from(tasks) / us * 1e6
}
