//! Every command in README.md and in the guide, run exactly as printed there; and that the documents name everything.

use crate::support::Farm;
use crate::support::documents::{Block, By, blocks, run};

/// The blocks that this machine runs without a launcher.
fn local(document: &str) -> Vec<Block> {
    blocks(document).into_iter().filter(|block| block.by == By::Local).collect()
}

/// Programs and files that the examples mention.
fn farm_with_examples() -> Farm {
    let farm = Farm::local(b"").time_limit(240);
    farm.write_with_mode("simulate", 0o755, b"#!/bin/sh\necho simulated \"$@\"\n");
    farm.write_with_mode("align", 0o755, b"#!/bin/sh\nsort\n");
    std::fs::create_dir(farm.path("out")).unwrap();
    let reads = farm.bash(b"echo reads | gzip > reads.gz");
    assert_eq!(reads.0, 0);
    farm
}

/// The commands of README.md: its list, a run, and its status.
#[test]
fn commands_of_the_readme() {
    let mut farm = farm_with_examples();
    let blocks = local("README.md");
    assert!(blocks.len() >= 3, "{blocks:#?}");
    let outcome = run(&mut farm, &blocks).exits(0);
    assert_eq!(outcome.summary(), [3, 0, 0]);
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("3 finished, 0 failed, 0 remaining"));
    assert_eq!(farm.read("out/1.dat"), b"simulated --seed 1\n");
    assert_eq!(farm.read("aligned.txt"), b"reads\n");
}

/// The commands of the guide, from the first list to a run that was stopped and resumed.
#[test]
fn commands_of_the_guide() {
    // No programs are provided, because a reader has none: the guide creates what it runs.
    let mut farm = Farm::local(b"").time_limit(240);
    let blocks = local("docs/guide.md");
    assert!(blocks.len() >= 8, "{blocks:#?}");
    assert!(blocks[0].lines[0].contains("mkdir farm"), "the guide begins in a folder of its own");
    let outcome = run(&mut farm, &blocks).exits(0);
    let text = outcome.stderr_text();
    assert!(text.contains("stopping: SIGINT on rank 0"), "Ctrl-C stopped it");
    let whole = text.matches("200 finished, 0 failed, 0 remaining").count();
    assert_eq!(whole, 3, "the first list, the same after the stop, and the sweep, which also has 200");
    let results = std::fs::read_dir(farm.path("farm"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("result_"));
    assert_eq!(results.count(), 200);
    assert_eq!(farm.read("farm/tasks.txt_workdir/logs/log_17"), b"seed 18\n", "as the guide says");
    let printed = String::from_utf8_lossy(&outcome.stdout);
    assert_eq!(printed.lines().filter(|line| *line == "seed 18").count(), 2, "by cat and by logs:\n{printed}");
}

/// The commands of the page for users of other farmers.
#[test]
fn commands_for_newcomers() {
    let mut farm = farm_with_examples();
    let outcome = run(&mut farm, &local("docs/moving.md")).exits(0);
    assert_eq!(outcome.stdout, b"==> task 0 <==\na\n==> task 1 <==\nb\n==> task 2 <==\nc\n");
}

/// Every option of `--help` is in README.md or on the page of its subcommand, and every file of a workdir in
/// docs/workdir.md.
#[test]
fn documents_name_every_option_and_every_file() {
    let document = |name: &str| std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let farm = Farm::local(b"true\nfalse\n");
    for (words, document) in [
        (&["--help"][..], document("README.md")),
        (&["status", "--help"], document("docs/status.md") + &document("README.md")),
    ] {
        let help = farm.run_exactly(words).exits(0);
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let options: Vec<&str> =
            lines.filter_map(|line| line.split([' ', ',', '[']).find(|word| word.starts_with("--"))).collect();
        assert!(options.len() >= 5, "{help}");
        for option in options {
            let option = option.trim_end_matches("...");
            assert!(document.contains(&format!("`{option}")) || document.contains(&format!(", `{option}")), "{option}");
        }
    }
    farm.run(&[]).exits(1);
    let page = document("docs/workdir.md");
    for entry in std::fs::read_dir(farm.workdir().path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(page.contains(&format!("| `{name}")), "{name} in docs/workdir.md");
    }
}

/// The names of test files and functions in docs/architecture.md, promise by promise, refer to existing tests.
#[test]
fn every_promise_names_its_tests() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut entries = Vec::new();
    ["src", "mpi-tests"].iter().for_each(|folder| crate::support::farm::collect(&root.join(folder), &mut entries));
    let sources: Vec<(String, String)> = entries
        .into_iter()
        .filter(|entry| entry.path.extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| {
            let path = entry.path.with_extension("").to_string_lossy().into_owned();
            (path, String::from_utf8(std::fs::read(&entry.path).unwrap()).unwrap())
        })
        .collect();
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let (_, promises) = page.split_once("\n## Promises\n").expect("the last section");
    let mut numbered = promises.split("\n1. ").nth(1).expect("a list").to_owned();
    for number in 2..=9 {
        let (one, rest) = numbered.split_once(&format!("\n{number}. ")).expect("nine promises");
        assert!(one.contains("Tests:") || one.contains("measured, not tested"), "a promise without tests: {one}");
        numbered = rest.to_owned();
    }
    let names = promises.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
    for (file, function) in names {
        let is_in = |path: &str| path.ends_with(&format!("/{file}")) || path.contains(&format!("/{file}/"));
        let wanted = if function == "*" { "#[test]".to_owned() } else { format!("fn {function}(") };
        let found = sources.iter().any(|(path, text)| is_in(path) && text.contains(&wanted));
        assert!(found, "there is no test {file}::{function}");
    }
}
