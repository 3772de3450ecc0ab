//! The commands of the reference pages, typed as they stand there, and that no command of any document is left out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::Farm;
use crate::support::documents::{By, blocks, blocks_by, run};
use crate::support::farm::collect;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// The documents that have commands, and the tests that run them, besides those that a mark in the document explains.
/// `Local` is here, in docs.rs or in examples.rs; the others are in docs.rs of the tests with ranks or on Slurm.
const RUN: [(&str, By); 22] = [
    ("README.md", By::Local),
    ("README.md", By::Mpirun),
    ("README.md", By::Slurm),
    ("docs/cheatsheet.md", By::Local),
    ("docs/cheatsheet.md", By::Mpirun),
    ("docs/cheatsheet.md", By::Slurm),
    ("docs/examples/chain/README.md", By::Local),
    ("docs/examples/container/README.md", By::Local),
    ("docs/examples/mpi-tasks/README.md", By::Mpirun),
    ("docs/examples/samples/README.md", By::Local),
    ("docs/examples/sweep/README.md", By::Local),
    ("docs/exit-codes.md", By::Local),
    ("docs/failures.md", By::Local),
    ("docs/guide.md", By::Local),
    ("docs/index.md", By::Local),
    ("docs/moving.md", By::Local),
    ("docs/moving.md", By::Slurm),
    ("docs/resources.md", By::Local),
    ("docs/runners.md", By::Local),
    ("docs/status.md", By::Local),
    ("docs/tasklist.md", By::Local),
    ("docs/workdir.md", By::Local),
];

/// Promise: the commands that look at a workdir print what their pages say.
#[test]
fn commands_that_look() {
    let list: String = (0..20).map(|id| format!("echo output of {id}\n")).collect();
    let mut farm = Farm::local(list.as_bytes());
    let mut printed = |document: &str, count: usize| {
        let blocks = blocks_by(&By::Local, document);
        assert_eq!(blocks.len(), count, "{blocks:#?}");
        String::from_utf8_lossy(&run(&mut farm, &blocks).exits(0).stdout).into_owned()
    };
    // The first of its commands runs the list.
    assert_eq!(printed("docs/exit-codes.md", 1), "");
    let status = printed("docs/status.md", 2);
    assert!(status.contains("\n20 finished, 0 failed, 0 remaining\n"), "{status}");
    assert!(status.lines().last().unwrap().parse::<f64>().is_ok(), "tasks per second: {status}");
    let workdir = printed("docs/workdir.md", 3);
    let logs = "==> task 17: exit 0 <==\noutput of 17\n==> task 18: exit 0 <==\noutput of 18\n20\n";
    let table = workdir.strip_prefix(logs).unwrap_or_else(|| panic!("{workdir}"));
    let rows: Vec<Vec<f64>> =
        table.lines().map(|line| line.split(' ').filter_map(|word| word.parse().ok()).collect()).collect();
    assert_eq!(rows.len(), 6, "{table}");
    assert!(rows[..4].iter().zip(&rows[1..5]).all(|(long, short)| long[0] >= short[0]), "longest first: {table}");
    assert!(rows[5][0] > 0.0, "CPU time: {table}");
    assert_eq!(printed("docs/failures.md", 1), "output of 17\n", "nothing is running, and the task has ended");
}

/// Promise: a runner is chosen and listed by the commands of its page.
#[test]
fn commands_with_a_runner() {
    let mut farm = Farm::local(b"true\n");
    farm.write("reco.ini", b"[reco]\nRunner = basic\n");
    let outcome = run(&mut farm, &blocks_by(&By::Local, "docs/runners.md")).exits(0);
    assert_eq!(outcome.summary(), [1, 0, 0]);
    let listed = String::from_utf8_lossy(&outcome.stdout).into_owned();
    assert!(listed.lines().any(|line| line.starts_with("reco") && line.contains("reco.ini:1")), "{listed}");
}

/// Promise: the lines that the page on lists shows are tasks, with a shell and without.
#[test]
fn lists_of_the_page_run() {
    let lists = blocks_by(&By::Local, "docs/tasklist.md");
    assert_eq!(lists.len(), 2, "{lists:#?}");
    let lines: Vec<String> = lists.into_iter().flat_map(|list| list.lines).collect();
    let farm = Farm::local((lines.join("\n") + "\n").as_bytes());
    ["out", "run1"].iter().for_each(|folder| std::fs::create_dir(farm.path(folder)).unwrap());
    farm.write("run1/input.dat", b"");
    farm.write("my input", b"b\na\n");
    farm.write_with_mode("simulate", 0o755, b"#!/bin/sh\necho $*\n[ -z \"$4\" ] || echo $* > $4\n");
    farm.write_with_mode("step", 0o755, b"#!/bin/sh\necho step $1 >> steps\n");
    farm.write("env.sh", b"THREADS='3 of them'\n");
    farm.write("my script.py", b"import sys; print(sys.argv[1:])\n");
    let (code, _) = farm.bash(b"printf 'b\\na\\nb\\n' | gzip > reads.gz");
    assert_eq!(code, 0);
    let outcome = farm.run(&["-n", "1"]).exits(0);
    assert_eq!(outcome.summary(), [8, 0, 0]);
    assert_eq!(farm.read("counts.txt"), b"      1 a\n      2 b\n");
    assert_eq!(farm.lines("steps"), ["step 1", "step 2", "step 3"]);
    assert_eq!(farm.workdir().log(3), b"['--threads', '3 of them']\n");
    assert_eq!(farm.lines("out/1.dat"), ["--seed 1 --output out/1.dat"], "a later task has overwritten it");
    assert_eq!(farm.lines("out/1.log"), ["--title a run"]);
    assert_eq!(farm.lines("run1/output.dat"), [""]);
    assert_eq!(farm.lines("sorted.txt"), ["a", "b"]);
}

/// Promise: a test runs every command of every document, unless a mark in the document says why none does.
#[test]
fn every_command_is_run() {
    let mut entries = Vec::new();
    ["docs", "slurm"].iter().for_each(|folder| collect(&Path::new(PROJECT).join(folder), &mut entries));
    let paths = entries.into_iter().map(|entry| entry.path.strip_prefix(PROJECT).unwrap().to_str().unwrap().to_owned());
    let mut found = BTreeSet::new();
    for document in paths.filter(|path| path.ends_with(".md")).chain(["README.md".to_owned()]) {
        let text = std::fs::read_to_string(Path::new(PROJECT).join(&document)).unwrap();
        if !text.contains("\n```sh\n") {
            continue;
        }
        for block in blocks(&document) {
            match block.by {
                By::Nobody(why) => assert!(why.len() > 5, "{}: {why}", block.place),
                by => _ = found.insert((document.clone(), by)),
            }
            for name in block.lines.iter().filter_map(|line| line.split_once("--bench ")) {
                let name = name.1.split(' ').next().unwrap();
                let benches = Path::new(PROJECT).join("benches");
                let exists = benches.join(name).is_dir() || benches.join(format!("{name}.rs")).exists();
                assert!(exists, "{}: there is no benchmark {name}", block.place);
            }
        }
    }
    assert_eq!(found, RUN.map(|(document, by)| (document.to_owned(), by)).into());
}
