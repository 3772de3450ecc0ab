//! The commands with `mpirun` in README.md, run exactly as printed there.

use crate::support::documents::{By, blocks, run};
use crate::support::{Farm, Mpi};

/// A farm of four ranks, with the line from the README.
#[test]
fn commands_with_mpirun() {
    let farm = Farm::local("hostname\n".repeat(40).as_bytes());
    let mut farm = farm.time_limit(120);
    // Debian has both MPIs, and `mpirun` is one of them; the README's reader has one. `--oversubscribe`, which the
    // README names, is for more ranks than cores.
    let launcher = Mpi::of_program().command(4).unwrap_or_else(|| panic!("{}", Mpi::of_program().cure()));
    let words: Vec<String> = launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let bin = farm.path("../bin");
    std::fs::create_dir(&bin).unwrap();
    let count = words.iter().position(|word| word == "4").expect("-n 4");
    let options = [&words[1..count - 1], &words[count + 1..]].concat().join(" ");
    farm.write_with_mode("../bin/mpirun", 0o755, format!("#!/bin/sh\nexec {} {options} \"$@\"\n", words[0]).as_bytes());
    let mut blocks: Vec<_> = blocks("README.md").into_iter().filter(|block| block.by == By::Mpirun).collect();
    assert!(!blocks.is_empty());
    blocks[0].lines.insert(0, format!("PATH={}:$PATH", bin.display()));
    let outcome = run(&mut farm, &blocks).exits(0);
    assert!(outcome.stderr_text().contains("40 finished, 0 failed, 0 remaining"));
    assert!(outcome.stderr_text().contains("on 4 ranks, 32 slots"));
}
