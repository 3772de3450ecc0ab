//! The commands with `mpirun` in README.md, on the cheat sheet, and in the example with MPI, typed as they stand there.

use crate::support::documents::{Block, By, blocks_by, run};
use crate::support::examples::{put_program, with_example};
use crate::support::{Farm, Mpi};

/// The blocks of a document that need `mpirun`. Debian has both MPIs, and `mpirun` and `mpicc` are those of one of them;
/// the reader has one. So these names are made to mean the MPI of the program. More ranks than cores is what
/// `--oversubscribe` is for, which the README names.
fn with_mpirun(farm: &Farm, document: &str) -> Vec<Block> {
    let launcher = Mpi::of_program().command(4).unwrap_or_else(|| panic!("{}", Mpi::of_program().cure()));
    let words: Vec<String> = launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let bin = farm.cwd().parent().unwrap().join("bin");
    let count = words.iter().position(|word| word == "4").expect("-n 4");
    let options = [&words[1..count - 1], &words[count + 1..]].concat().join(" ");
    put_program(farm, "mpirun", &format!("#!/bin/sh\nexec {} {options} \"$@\"\n", words[0]));
    let compilers = Mpi::of_program().compilers();
    let tries: String =
        compilers.iter().map(|name| format!("command -v {name} > /dev/null && exec {name} \"$@\"\n")).collect();
    put_program(farm, "mpicc", &format!("#!/bin/sh\n{tries}exit 127\n"));
    let mut blocks = blocks_by(&By::Mpirun, document);
    blocks[0].lines.insert(0, format!("PATH={}:$PATH", bin.display()));
    blocks
}

/// A farm of four ranks, by the line that README and cheat sheet give.
#[test]
fn commands_with_mpirun() {
    for document in ["README.md", "docs/cheatsheet.md"] {
        let mut farm = Farm::local("hostname\n".repeat(40).as_bytes()).time_limit(120);
        let blocks = with_mpirun(&farm, document);
        let outcome = run(&mut farm, &blocks).exits(0);
        assert!(outcome.stderr_text().contains("40 finished, 0 failed, 0 remaining"));
        assert!(outcome.stderr_text().contains(" on 4 ranks, "), "{}", outcome.stderr_text());
    }
}

/// Promise: tasks of a list may be MPI programs with ranks of their own, in a farm without a launcher and in one with ranks;
/// docs/examples/mpi-tasks shows how, and its results are right.
#[test]
fn mpi_programs_as_tasks() {
    let mut farm = with_example(Farm::local(b"").time_limit(240), "mpi-tasks");
    let blocks = with_mpirun(&farm, "docs/examples/mpi-tasks/README.md");
    let outcome = run(&mut farm, &blocks).exits(0);
    assert_eq!(outcome.stderr_text().matches("4 finished, 0 failed, 0 remaining").count(), 2);
    assert!(outcome.stderr_text().contains("on 2 ranks, 2 slots"));
    for (steps, error) in [(10, 1e-3), (100, 1e-5), (1000, 1e-7), (10000, 2e-9)] {
        let text = String::from_utf8(farm.read(&format!("mpi-tasks/pi.{steps}.txt"))).unwrap();
        let value: f64 = text.strip_prefix(&format!("{steps} 2 ")).expect(&text).trim().parse().unwrap();
        assert!((value - std::f64::consts::PI).abs() < error, "{text}");
    }
    let readme = include_str!("../../docs/examples/mpi-tasks/README.md");
    assert!(readme.contains(include_str!("../../docs/examples/mpi-tasks/tasks.txt")), "the README shows the list");
}
