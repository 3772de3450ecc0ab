//! The small steps that every task goes through: reading lists, distinguishing plain lines from shell lines, messages.
//!
//! ```sh
//! cargo bench --no-default-features --bench small
//! ```
//!
//! The cores have a separate benchmark: `farmer_core`.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use taskfarmer::internals::{
    Assignment, Attempt, Class, Environment, Handler, Outcome, Runner, RunnerConfig, Source, TaskId, TaskList,
    TaskResult, ToFarmer, ToWorker, decode, encode, look,
};

const LINES: u32 = 100_000;

/// Tasks in a message, as for a node of 64 slots.
const BATCH: u32 = 64;

fn command(id: u32) -> Vec<u8> {
    format!("./simulate --seed {id} --output out/{id}.dat").into_bytes()
}

/// A list of a hundred thousand lines, from the file.
fn lists(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("list");
    let lines: Vec<u8> = (0..LINES).flat_map(|id| [command(id), b"\n".to_vec()].concat()).collect();
    std::fs::write(&path, &lines).expect("a disk");
    let handler = Handler::find("default").expect("it is built in");
    let mut group = criterion.benchmark_group("list");
    group.throughput(Throughput::Elements(LINES.into()));
    group.bench_function("100,000 lines", |bencher| {
        bencher.iter(|| {
            let tasks =
                handler.read(Source { list: &path, workdir: Path::new("unused"), shared: &[] }).expect("a sound list");
            assert_eq!(tasks.list.len(), LINES);
        });
    });
    group.finish();
}

/// The check of a list of a hundred thousand lines.
fn judge(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(LINES.into()));
    for (name, end) in [("plain", ""), ("shell", " --title 'a run' 2>&1 | tee \"$HOME/log\"")] {
        let lines: Vec<Vec<u8>> = (0..LINES).map(|id| [&command(id), end.as_bytes()].concat()).collect();
        let list = TaskList::from_commands(lines.iter().map(Vec::as_slice));
        group.bench_function(name, |bencher| bencher.iter(|| assert!(!look(&list, |_| true).has_doubts())));
    }
    group.finish();
}

/// Whether a line needs a shell, and the words of one that does not.
fn lines(criterion: &mut Criterion) {
    let runner = Runner::new(&RunnerConfig::Basic, &Environment::inherited(Path::new("/"), &[], &[]));
    let mut group = criterion.benchmark_group("line");
    for (name, line) in [("plain", "/bin/echo --seed 17 out/17.dat"), ("shell", "./simulate --seed 17 > out/17.dat")] {
        group.bench_function(name, |bencher| bencher.iter(|| black_box(runner.direct(black_box(line.as_bytes())))));
    }
    group.finish();
}

/// Tasks to a worker, results from one.
fn messages(criterion: &mut Criterion) {
    let assign = ToWorker::Assign {
        seq: 1,
        tasks: (0..BATCH)
            .map(|id| Assignment { id: TaskId(id), attempt: Attempt(1), class: Class::default(), command: command(id) })
            .collect(),
    };
    let result = |id| TaskResult {
        slot: id,
        start_us: 1_795_358_813_250_435,
        duration_us: 1_000_000,
        user_us: 500_000,
        system_us: 1_000,
        max_rss_kib: 50_000,
        ..TaskResult::of(TaskId(id), Attempt(1), Outcome::Exited(0))
    };
    let report = ToFarmer::Report {
        results: (0..BATCH).map(result).collect(),
        interrupted: Vec::new(),
        returned: Vec::new(),
        ack: 1,
        ack_age_us: 1,
        undecided: 0,
        recall_answered: false,
        pause_ms: 0,
    };
    let assign_bytes = encode(&assign).expect("a sound message");
    let report_bytes = encode(&report).expect("a sound message");
    let mut group = criterion.benchmark_group("message of 64 tasks");
    group.throughput(Throughput::Elements(BATCH.into()));
    group.bench_function("encode Assign", |bencher| bencher.iter(|| encode(black_box(&assign))));
    group.bench_function("decode Assign", |bencher| bencher.iter(|| decode::<ToWorker>(black_box(&assign_bytes))));
    group.bench_function("encode Report", |bencher| bencher.iter(|| encode(black_box(&report))));
    group.bench_function("decode Report", |bencher| bencher.iter(|| decode::<ToFarmer>(black_box(&report_bytes))));
    group.finish();
}

criterion_group!(benches, lists, judge, lines, messages);
criterion_main!(benches);
