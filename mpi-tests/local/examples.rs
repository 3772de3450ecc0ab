//! The projects in docs/examples: each is copied, run by the commands in its README as they stand there, and its results
//! are checked against what is known without it. The one with MPI is in mpi-tests/ranks/examples.rs.

use std::collections::BTreeMap;

use crate::support::documents::{By, blocks_by, run};
use crate::support::examples::{put_program, with_example};
use crate::support::{Farm, Outcome};

/// The commands of an example's README, in a farm's folder; programs in `bin` next to it come first in PATH. The farm
/// exits with 0.
#[track_caller]
fn commands(farm: &mut Farm, name: &str) -> Outcome {
    let mut blocks = blocks_by(&By::Local, &format!("docs/examples/{name}/README.md"));
    assert!(blocks.len() >= 2, "{blocks:#?}");
    blocks[0].lines.insert(0, "PATH=${PWD%/*}/bin:$PATH".to_owned());
    run(farm, &blocks).exits(0)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// How each attempt of a list's tasks ended, by task: exit codes in order.
fn exits(farm: &Farm, workdir: &str) -> BTreeMap<String, Vec<String>> {
    let mut exits: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text(&farm.read(&format!("{workdir}/tasks.tsv"))).lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        exits.entry(fields[0].to_owned()).or_default().push(fields[7].to_owned());
    }
    exits
}

/// Promise: the parameter sweep has every combination, its results are right, and a value that is added later costs only
/// its own tasks.
#[test]
fn a_parameter_sweep() {
    let mut farm = with_example(Farm::local(b"").time_limit(240), "sweep");
    let outcome = commands(&mut farm, "sweep");
    assert!(outcome.stderr_text().contains("9 finished, 0 failed, 0 remaining"));
    assert!(outcome.stderr_text().contains("12 finished, 0 failed, 0 remaining"));
    let mut expected = Vec::new();
    for method in ["left", "midpoint", "simpson", "trapezoid"] {
        for steps in [4, 16, 64] {
            let width = 1.0 / f64::from(steps);
            let [left, middle, right] = [0.0, 0.5, 1.0]
                .map(|part| (0..steps).map(|i| ((f64::from(i) + part) * width).exp()).sum::<f64>() * width);
            let result = match method {
                "left" => left,
                "midpoint" => middle,
                "trapezoid" => f64::midpoint(left, right),
                _ => (left + 4.0 * middle + right) / 6.0,
            };
            expected.push(format!("{method} {steps} {result:.6}"));
        }
    }
    let table = text(&farm.read("sweep/table.txt"));
    let results: Vec<&str> = table.lines().map(|line| line.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(results, expected);
    assert_eq!(farm.lines("sweep/sweep.txt_workdir/finished").len(), 12, "no task has run twice");
    assert_eq!(exits(&farm, "sweep/sweep.txt_workdir").len(), 12);
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/examples/sweep/README.md")).unwrap();
    let list = include_str!("../../docs/examples/sweep/sweep.txt");
    assert!(readme.contains(list), "the README shows the list");
}

/// Promise: temporary failures are retried and others are not; a second run completes the table and runs only what failed.
#[test]
fn a_table_of_samples() {
    let mut farm = with_example(Farm::local(b"").time_limit(240), "samples");
    let outcome = commands(&mut farm, "samples");
    assert!(outcome.stderr_text().contains("3 finished, 1 failed, 0 remaining"));
    assert!(outcome.stderr_text().contains("4 finished, 0 failed, 0 remaining"));
    assert!(text(&outcome.stdout).contains("there is no file reads/lung.fa"));
    // 10 of 20 bases, 2 of 16, 8 of 10, 8 of 10.
    assert_eq!(text(&farm.read("samples/table.txt")), "heart 12.5 %\nkidney 80.0 %\nliver 50.0 %\nlung 80.0 %\n");
    let attempts = [("0", vec!["0"]), ("1", vec!["75", "0"]), ("2", vec!["75", "75", "0"]), ("3", vec!["1", "0"])];
    let attempts = attempts.map(|(id, exits)| (id.to_owned(), exits.into_iter().map(str::to_owned).collect()));
    assert_eq!(exits(&farm, "samples/samples.csv_workdir"), BTreeMap::from(attempts));
}

/// Stands in for Apptainer, which is not here: records its arguments, and runs the command with only the variables that it
/// would have in the container.
const APPTAINER: &str = r#"#!/bin/bash
echo "$@" >> "$HOME/apptainer.log"
while [ $# -gt 0 ] && [ "$1" != /bin/bash ]; do shift; done
exec env -i PATH="$PATH" WORDS="$APPTAINERENV_WORDS" "$@"
"#;

/// Promise: each task is started by `apptainer exec` with the image, its setup and variables reach it, and its results are
/// right. A stand-in for Apptainer runs the commands without a container.
#[test]
fn tasks_in_a_container() {
    let mut farm = with_example(Farm::local(b"").time_limit(240), "container");
    put_program(&farm, "apptainer", APPTAINER);
    let outcome = commands(&mut farm, "container");
    assert!(outcome.stderr_text().contains("3 finished, 0 failed, 0 remaining"));
    for (name, count) in [("red", "4 red\n"), ("green", "3 green\n"), ("blue", "3 the\n")] {
        assert_eq!(text(&farm.read(&format!("container/{name}.count"))), count);
    }
    let log = std::fs::read_to_string(farm.home().join("apptainer.log")).unwrap();
    assert_eq!(log.matches("exec --cleanenv debian.sif /bin/bash -c ").count(), 3, "{log}");
}

/// Promise: the second list of a chain starts after the first has succeeded, and only then.
#[test]
fn a_chain_of_lists() {
    let mut farm = with_example(Farm::local(b"").time_limit(240), "chain");
    let outcome = commands(&mut farm, "chain");
    assert!(text(&outcome.stdout).contains("178 871"));
    // Known: of the numbers up to 1000, 871 has the longest sequence.
    assert_eq!(text(&farm.read("chain/longest.txt")), "178 871\n");
    assert_eq!(text(&farm.read("chain/parts.txt")).trim(), "5");
    assert_eq!(exits(&farm, "chain/merge.txt_workdir").len(), 2, "a chain that is resumed runs nothing twice");

    let (code, _) =
        farm.bash(b"cd chain && rm -r *_workdir && echo exit 7 >> search.txt && ./chain search.txt merge.txt");
    assert_eq!(code, 1);
    assert!(farm.path("chain/search.txt_workdir/failed").exists());
    assert!(!farm.path("chain/merge.txt_workdir").exists(), "the second list does not start after a failure");
}

/// Stands in for `srun`: runs the farm as a single process. If there is a file `hold`, a task waits for its removal; once
/// all other tasks have finished, the farm gets the signal by which Slurm announces the end of the job.
const SRUN: &str = r#"#!/bin/bash
while [[ $1 == --* ]]; do shift; done
"$@" &
farm=$!
if [ -e hold ]; then
    until [ -e waiting ] && [ "$(cat search.txt_workdir/finished | wc -l)" = 5 ]; do sleep 0.05; done
    rm waiting
    kill -USR1 $farm
fi
wait $farm
"#;

/// Promise: a chain in a batch job is queued again if its time is over, resumes where it was, runs nothing twice, and is
/// not queued again if a whole job has achieved nothing. Stand-ins for `srun` and `scontrol` replace Slurm.
#[test]
fn a_chain_over_several_jobs() {
    let mut farm = with_example(Farm::local(b"").time_limit(240), "chain");
    put_program(&farm, "srun", SRUN);
    put_program(&farm, "scontrol", "#!/bin/sh\necho \"$@\" >> scontrol.log\n");
    let bin = std::path::Path::new(crate::support::program()).parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap();
    farm.set("PATH", &format!("{}:{bin}:{path}", farm.path("../bin").canonicalize().unwrap().display()));
    farm.set("SLURM_JOB_ID", "42");
    let job = |before: &str| {
        let line = format!(
            "[ -e chain ] || cp -r docs/examples/chain . && cd chain && {before} && bash chain.sbatch search.txt merge.txt"
        );
        let (code, output) = farm.bash(line.as_bytes());
        (code, text(&output))
    };
    // One more task waits while the file `hold` is there. In the first job all others finish, in the second no task does.
    let wait = "printf '%s\\n' 'touch waiting; while [ -e hold ]; do sleep 0.05; done' >> search.txt";
    let (code, output) = job(&format!("{wait} && touch hold"));
    assert_eq!((code, output.contains("the job is queued again")), (3, true), "{output}");
    assert_eq!(farm.lines("chain/scontrol.log"), ["requeue 42"]);
    let (code, output) = job("true");
    assert_eq!((code, output.contains("no task has ended in this whole job")), (3, true), "{output}");
    assert_eq!(farm.lines("chain/scontrol.log").len(), 1);
    assert!(!farm.path("chain/merge.txt_workdir").exists());

    let (code, output) = job("rm hold");
    assert_eq!((code, output.contains("merge.txt: all tasks are finished")), (0, true), "{output}");
    assert_eq!(text(&farm.read("chain/longest.txt")), "178 871\n");
    assert_eq!(exits(&farm, "chain/search.txt_workdir")["0"], ["0"], "no task that has finished runs again");

    let (code, output) = job("rm -r *_workdir && echo exit 7 >> search.txt");
    assert_eq!((code, output.contains("search.txt: exit code 1; the chain ends here")), (1, true), "{output}");
    assert!(!farm.path("chain/merge.txt_workdir").exists());
}
