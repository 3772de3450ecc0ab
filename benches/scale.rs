//! Whether time and memory per task stay the same from a thousand tasks to ten million.
//!
//! ```sh
//! cargo bench --bench scale                                   # without MPI: --no-default-features
//! cargo bench --bench scale -- 1000 10000 100000 1000000      # runs of this many tasks; the last takes minutes
//! cargo bench --bench scale -- start                          # ten million lines: fresh, and half of them recorded
//! ```

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const PROGRAM: &str = env!("CARGO_BIN_EXE_taskfarmer-mpi");

/// Lines of the long list.
const LONG: u32 = 10_000_000;

/// The interval at which the benchmark checks whether the first task has started.
const LOOK: Duration = Duration::from_millis(1);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let counts: Vec<u32> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let all = words.is_empty();
    if all || !counts.is_empty() {
        let counts = if all { vec![1_000, 10_000, 100_000, 1_000_000] } else { counts };
        runs(&counts);
    }
    if all || words.iter().any(|word| word == "start") {
        starts();
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(["--proc", "2", "list"]).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Whole runs of `/bin/true`, the short ones several times, alternating, because the machine's speed varies.
fn runs(counts: &[u32]) {
    println!("whole runs of /bin/true, 2 slots, a log file each\n\n| tasks | wall s | µs per task |\n|---|---|---|");
    // Kept to the end: ext4 creates files slowly if others were removed within the last minutes.
    let mut folders = Vec::new();
    for &count in counts {
        let rounds = (200_000 / count).clamp(1, 9);
        let mut times: Vec<f64> = (0..rounds).map(|_| run(count, &mut folders)).collect();
        times.sort_by(f64::total_cmp);
        let wall = times[times.len() / 2];
        println!("| {count} | {wall:.2} | {:.0} |", wall * 1e6 / f64::from(count));
    }
    println!();
}

fn run(count: u32, folders: &mut Vec<tempfile::TempDir>) -> f64 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("list"), "/bin/true\n".repeat(count as usize)).expect("a disk");
    nix::unistd::sync();
    let start = Instant::now();
    let status = command(folder.path()).status().expect("the program");
    assert!(status.success(), "{status}");
    let took = start.elapsed().as_secs_f64();
    folders.push(folder);
    took
}

/// From the start of the program to its first task.
fn starts() {
    println!("{LONG} lines, to the first task; memory of the farmer\n");
    println!("| start | s | list + journal MB | peak MB | of list + journal |\n|---|---|---|---|---|");
    for (name, recorded) in [("fresh", 0), ("half recorded", LONG / 2)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let bytes = prepare(folder.path(), recorded).expect("a disk");
        nix::unistd::sync();
        let start = Instant::now();
        let mut child = command(folder.path()).spawn().expect("the program");
        let first = folder.path().join("first");
        while !first.exists() {
            assert!(child.try_wait().expect("our child").is_none(), "the farm has ended before its first task");
            std::thread::sleep(LOOK);
        }
        let took = start.elapsed().as_secs_f64();
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).expect("it runs");
        child.wait().expect("our child");
        // Of the largest of all children so far; the second start needs more than the first.
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN).expect("Linux has it").max_rss() as f64 * 1024.0;
        let mega = |bytes: f64| bytes / 1e6;
        println!("| {name} | {took:.2} | {:.0} | {:.0} | {:.2} |", mega(bytes), mega(peak), peak / bytes);
    }
}

/// A list whose first open task creates the file `first`, and what an earlier run has recorded of it. Returns how large
/// both are, in bytes.
fn prepare(folder: &Path, recorded: u32) -> std::io::Result<f64> {
    let line = |id: u32| match id {
        _ if id == recorded => "touch first".to_owned(),
        _ => format!("./simulate --seed {id} --output out/{id}.dat"),
    };
    let mut list = BufWriter::new(File::create(folder.join("list"))?);
    for id in 0..LONG {
        writeln!(list, "{}", line(id))?;
    }
    list.flush()?;
    let workdir = folder.join("list_workdir");
    fs::create_dir(&workdir)?;
    let mut finished = BufWriter::new(File::create(workdir.join("finished"))?);
    for id in 0..recorded {
        writeln!(finished, "{id} {}", line(id))?;
    }
    finished.flush()?;
    let size = |file: &File| file.metadata().map(|metadata| metadata.len() as f64);
    Ok(size(list.get_ref())? + size(finished.get_ref())?)
}
