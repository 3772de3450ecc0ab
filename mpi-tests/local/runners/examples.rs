//! Every example of docs/runners.md is run.

use std::collections::{BTreeMap, BTreeSet};

use super::{put, put_programs, take_starts, tricky_list, tricky_tasks_ran};
use crate::pytaskfarmer::pytaskfarmer;
use crate::support::Farm;

const PAGE: &str = include_str!("../../../docs/runners.md");

/// The fenced blocks of a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut rest = PAGE;
    while let Some((_, after)) = rest.split_once(&format!("```{language}\n")) {
        let (block, tail) = after.split_once("```").unwrap();
        blocks.push(block.to_owned());
        rest = tail;
    }
    blocks
}

/// Sections by name, as text.
fn sections() -> BTreeMap<String, String> {
    let mut sections: BTreeMap<String, String> = BTreeMap::new();
    let mut name = String::new();
    for line in blocks("ini").iter().flat_map(|block| block.lines()) {
        if let Some(header) = line.strip_prefix('[') {
            name = header.trim_end_matches(']').to_owned();
        }
        sections.entry(name.clone()).or_default().push_str(&format!("{line}\n"));
    }
    sections
}

/// One example of the page.
#[track_caller]
pub(super) fn section(name: &str) -> String {
    sections().remove(name).unwrap_or_else(|| panic!("docs/runners.md has no [{name}]"))
}

/// Examples that have a test of their own: the others run below with stand-ins.
const ELSEWHERE: [&str; 5] = ["modules", "words", "sandbox", "compressed", "mine"];

/// Arguments of each example's program before the command, as docs/runners.md promises them; words in `<>` are
/// placeholders.
const WITH_STAND_INS: [(&str, &[&str]); 8] = [
    (
        "reco",
        &[
            "shifter",
            "--image",
            "atlas/centos7:latest",
            "--workdir=<fresh>",
            "-V/global/cfs/atlas:/data",
            "-V/global/cfs/conditions:/conditions",
            "-mcvmfs",
            "-mgpu",
            "--",
        ],
    ),
    (
        "analysis",
        &[
            "apptainer",
            "exec",
            "--bind=/global/cfs/data:/data",
            "--bind=<fresh>:/scratch",
            "--nv",
            "--no-home",
            "/images/analysis.sif",
        ],
    ),
    (
        "gpu",
        &[
            "podman-hpc",
            "run",
            "--rm",
            "--volume=<cwd>:<cwd>",
            "--workdir=<cwd>",
            "--volume=/global/cfs/data:/data",
            "--env=PROC_NUMBER",
            "--env=TASKFARMER_TASK_ID",
            "--env=TASKFARMER_ATTEMPT",
            "--env=TASKFARMER_RANK",
            "--env=TASKFARMER_SLOT",
            "--env=TASKFARMER_HOST",
            "--env=TASKFARMER_WORKDIR",
            "--env=TASKFARMER_CPUS",
            "--env=TASKFARMER_GPUS",
            "--env=CUDA_VISIBLE_DEVICES",
            "--env=ROCR_VISIBLE_DEVICES",
            "--env=HIP_VISIBLE_DEVICES",
            "--env=ZE_AFFINITY_MASK",
            "--env=OMP_NUM_THREADS",
            "--env=WORLD",
            "--gpu",
            "nersc/pytorch:24.08",
        ],
    ),
    ("numa", &["numactl", "--cpunodebind=0", "--membind=0"]),
    ("time", &["time", "-v", "-o", "<workdir>/time_<id>"]),
    ("perf", &["perf", "stat", "-x", ",", "-o", "<workdir>/perf_<id>.csv", "--"]),
    ("step", &["srun", "--nodes=1", "--ntasks=1", "--nodelist=<host>", "--overlap", "--cpu-bind=none"]),
    (
        "docker",
        &[
            "docker",
            "run",
            "--rm",
            "--volume",
            "<cwd>:<cwd>",
            "--workdir",
            "<cwd>",
            "--env",
            "PROC_NUMBER",
            "ubuntu:24.04",
        ],
    ),
];

/// No example of the page is left out.
#[test]
fn every_example_is_run() {
    let run: BTreeSet<String> =
        ELSEWHERE.into_iter().chain(WITH_STAND_INS.map(|(name, _)| name)).map(str::to_owned).collect();
    assert_eq!(sections().into_keys().collect::<BTreeSet<_>>(), run);
}

/// Containers and wrappers: the arguments are as on the page, and the tasks behave as without them.
#[test]
fn examples_run_with_stand_ins() {
    for (name, expected) in WITH_STAND_INS {
        let mut farm = Farm::local(tricky_list().as_bytes());
        put_programs(&mut farm, &[expected[0]]);
        // Files that the setups of the examples read.
        let section = section(name).replace("source /", &format!("source {}/", farm.home().display()));
        for setup in ["release/setup.sh", "opt/analysis/setup.sh"] {
            put(&farm, setup, b"[ $# != 1 ] || [ \"$1\" = Athena,22.2,latest ]\n", 0o644);
        }
        farm.write("runners.ini", section.as_bytes());
        farm.run(&["--runner", name]).exits(1);
        tricky_tasks_ran(&farm);
        let starts = take_starts(&farm);
        assert_eq!(starts.len(), super::TRICKY.len());
        for start in starts {
            let (cwd, id) = (farm.cwd().display().to_string(), &start.environment["TASKFARMER_TASK_ID"]);
            let fresh = start.argv.iter().find_map(|word| {
                let at = word.find("/tmp/taskfarmer-")?;
                (!word.contains(&cwd)).then(|| word[at..].split(':').next().unwrap().to_owned())
            });
            let workdir = format!("{cwd}/tasks.txt_workdir");
            let host = &start.environment["TASKFARMER_HOST"];
            let fresh = fresh.unwrap_or_default();
            let values =
                [("<cwd>", &cwd), ("<workdir>", &workdir), ("<id>", id), ("<fresh>", &fresh), ("<host>", host)];
            let fill =
                |word: &&str| values.iter().fold((*word).to_owned(), |word, (name, value)| word.replace(name, value));
            let filled: Vec<String> = expected.iter().map(fill).collect();
            assert_eq!(start.argv[..expected.len()], filled, "{name}");
            assert_eq!(start.argv[expected.len()..][..2], ["/bin/bash", "-c"], "{name}");
        }
    }
}

/// `[modules]`: a setup, and variables.
#[test]
fn modules_are_loaded() {
    let mut farm = Farm::local(b"echo $LOADED $OMP_NUM_THREADS $SEED\nfalse\n");
    put_programs(&mut farm, &[]);
    put(&farm, "bin/lmod.sh", b"module() { LOADED=\"$*\"; }\n", 0o644);
    farm.write("runners.ini", section("modules").as_bytes());
    farm.run(&["--runner", "modules"]).exits(1);
    assert_eq!(farm.workdir().log(0), b"load gcc/13 hdf5 4 100\n");
}

/// `[words]`: no shell.
#[test]
fn words_are_split() {
    let farm = Farm::local(b"printf %s. 'a b' $x\n");
    farm.write("runners.ini", section("words").as_bytes());
    farm.run(&["--runner", "words"]).exits(0);
    assert_eq!(farm.workdir().log(0), b"'a.b'.$x.");
}

/// `[compressed]`: a line for a shell, and the task's exit code through a pipe.
#[test]
fn output_is_compressed() {
    let farm = Farm::local(b"echo 'a  b' # c\nexit 3\n");
    farm.write("runners.ini", section("compressed").as_bytes());
    farm.run(&["--runner", "compressed"]).exits(1);
    assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<_>>(), [1]);
    assert_eq!(farm.bash(b"zcat tasks.txt_workdir/output_0.gz"), (0, b"a  b\n".to_vec()));
}

/// `[mine]`, with the class from the page.
#[test]
fn the_class_of_the_page_works() {
    let Some(program) = pytaskfarmer() else { return };
    let mut farm = Farm::local(b"echo $SITE\nexit 3\n");
    put(&farm, "modules/mysite.py", blocks("python")[0].as_bytes(), 0o644);
    farm.set("PYTHONPATH", farm.home().join("modules").to_str().unwrap());
    farm.set("PATH", &format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap()));
    farm.write("runners.ini", section("mine").as_bytes());
    farm.run(&["--runner", "mine"]).exits(1);
    assert_eq!(farm.workdir().log(0), b"note 0 echo $SITE\nhere\n");
    assert_eq!(farm.workdir().failed().into_keys().collect::<Vec<_>>(), [1]);
}
