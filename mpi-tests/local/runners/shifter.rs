//! Kind `shifter`, compared with PyTaskFarmer 0.1.0 itself: the same INI file, the same list, the same starts.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::{Start, put, put_programs, take_starts};
use crate::pytaskfarmer::pytaskfarmer;
use crate::support::{Farm, Workdir, expected};

/// Commands that Shifter's bash can run, and one as the ATLAS handlers generate them.
const LIST: &str = "# ATLAS
athena.py --maxEvents 10 'job options.py'
Reco_tf.py --preExec 'all:x=\"1\"; y' --inputHITSFile a.root --outputRDOFile RDO.0.root && echo rsync
echo $ATLAS_RELEASE $SETUP_RAN | tr a-z A-Z; exit 3
echo 'Größe' \"100%\" `echo deep` $((1 + 1)) \\\\ ; pwd
false || echo or
printf '%s\\n' -n -- {id} {{}}
";

/// Every key, and none, in each way in which it may be written.
const RUNNERS: &str = "[DEFAULT]
modules = cvmfs\tgpu

[all]
Runner = taskfarmer.runners.ShifterRunner
image: docker:atlas/centos7:20191110
setup = source ${SETUP_FOLDER}/setup.sh 'a b' \"50%%\" && export SETUP_RAN=yes
volumes = /a:/b /c:/d:perNodeCache=size=1G
    /e f:/g
tempdir = True

[few]
Runner: taskfarmer.runners.ShifterRunner
image = image with blanks
setup = export SETUP_RAN=1;
  true
tempdir = False
modules =
";

/// Runs the list with PyTaskFarmer and with this program, with the same INI files, options, and name of the workdir;
/// returns what was started and what was left.
#[track_caller]
fn both(farm: &Farm, program: &Path, options: &[&str]) -> [(Vec<Start>, Workdir); 2] {
    let options = [options, &["--workdir", "w"]].concat();
    let keep = |name: &str| {
        std::fs::rename(farm.path("w"), farm.path(name)).unwrap();
        (take_starts(farm), Workdir::at(farm.path(name)))
    };
    let words: Vec<&OsStr> = options.iter().chain(&["tasks.txt"]).map(OsStr::new).collect();
    farm.start_other(&[&[program.as_os_str()], &words[..]].concat()).wait_and_clean_up().exits(0);
    let theirs = keep(&format!("theirs.{}", options[1]));
    farm.run(&options);
    [theirs, keep(&format!("ours.{}", options[1]))]
}

/// Without the name of the temporary folder, and without the variables that only this program sets.
fn comparable(starts: Vec<Start>) -> Vec<Start> {
    let mut starts: Vec<Start> = starts
        .into_iter()
        .map(|mut start| {
            for word in start.argv.iter_mut().filter(|word| word.starts_with("--workdir=")) {
                let folder = word.strip_prefix("--workdir=").unwrap();
                assert!(folder.starts_with("/tmp/"), "{word}");
                // PyTaskFarmer leaves them there.
                let _ = std::fs::remove_dir(folder);
                *word = "--workdir=FRESH".to_owned();
            }
            start.environment.retain(|name, _| !name.starts_with("TASKFARMER_"));
            start
        })
        .collect();
    starts.sort();
    starts
}

fn farm(list: &str) -> Farm {
    let mut farm = Farm::local(list.as_bytes());
    put_programs(&mut farm, &["shifter", "athena.py", "Reco_tf.py", "rsync"]);
    for variable in ["SCRATCH", "TMP"] {
        farm.unset(variable);
    }
    // It belongs to the node; the container must not see it.
    farm.set("BASH_ENV", "/no/such/file");
    farm
}

/// Arguments and environment of every start, results, and logs are those of PyTaskFarmer, byte for byte.
#[track_caller]
fn same_starts(farm: &Farm, program: &Path, options: &[&str]) -> (Vec<Start>, Workdir) {
    let [(their_starts, theirs), (our_starts, ours)] = both(farm, program, options);
    assert!(our_starts.iter().all(|start| start.environment["BASH_ENV"].is_empty()));
    let fresh = our_starts.iter().flat_map(|start| &start.argv).filter_map(|word| word.strip_prefix("--workdir="));
    assert_eq!(fresh.filter(|folder| Path::new(folder).exists()).count(), 0, "ours are removed");
    assert_eq!(comparable(our_starts.clone()), comparable(their_starts));
    expected::are_the_same("finished", &ours.finished(), &theirs.finished());
    expected::are_the_same("failed", &ours.failed(), &theirs.failed());
    for id in theirs.logged() {
        let [our_log, their_log] =
            [&ours, &theirs].map(|workdir| String::from_utf8_lossy(&workdir.log(id)).into_owned());
        assert_eq!(our_log, their_log, "log of task {id}");
    }
    (our_starts, ours)
}

fn count(starts: &[Start], program: &str) -> usize {
    starts.iter().filter(|start| start.argv[0] == program).count()
}

/// Setup, volumes, modules and tempdir.
#[test]
fn shifter_is_started_as_pytaskfarmer_starts_it() {
    let Some(program) = pytaskfarmer() else { return };
    let mut farm = farm(LIST);
    put(&farm, "setup.sh", b"export ATLAS_RELEASE=\"22 $1 $2\"\n", 0o644);
    farm.set("SETUP_FOLDER", farm.home().to_str().unwrap());
    put(&farm, ".pytaskfarmer/runners.d/a.ini", RUNNERS.as_bytes(), 0o644);
    for runner in ["all", "few"] {
        let (starts, workdir) = same_starts(&farm, &program, &["--runner", runner]);
        assert_eq!(count(&starts, "shifter"), LIST.lines().count() - 1);
        assert_eq!(workdir.failed().into_keys().collect::<Vec<_>>(), [2]);
    }
}

/// The INI example in the documentation of one of its classes, as the installed package has it.
#[track_caller]
fn documented(program: &Path, module: &str, class: &str) -> String {
    let print = format!("import inspect, {module} as m; print(inspect.getdoc(m.{class}))");
    let output = Command::new(program.with_file_name("python")).args(["-c", &print]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let example: String = text
        .lines()
        .skip_while(|line| !line.contains("code-block:: ini"))
        .skip(1)
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .map(|line| format!("{}\n", line.trim_start()))
        .collect();
    assert!(example.contains(class), "{text}");
    example
}

/// A farm with the documented ATLAS release, and the files that its setup reads.
fn atlas(list: &str, program: &Path) -> Farm {
    let mut farm = farm(list);
    let release = documented(program, "taskfarmer.runners", "ShifterRunner");
    put(&farm, ".pytaskfarmer/runners.d/reco.ini", release.as_bytes(), 0o644);
    put(&farm, "atlas/user/atlasLocalSetup.sh", b"export AtlasSetup=$ATLAS_LOCAL_ROOT_BASE/setup\n", 0o644);
    put(&farm, "atlas/setup/scripts/asetup.sh", b"export ATLAS_RELEASE=$1 SETUP_RAN=yes\n", 0o644);
    farm.set("ATLAS_LOCAL_ROOT_BASE", farm.home().join("atlas").to_str().unwrap());
    farm
}

/// The Athena release of its documentation.
#[test]
fn the_documented_athena_release_runs() {
    let Some(program) = pytaskfarmer() else { return };
    let farm = atlas(LIST, &program);
    let (starts, workdir) = same_starts(&farm, &program, &["--runner", "reco22"]);
    assert_eq!(count(&starts, "shifter"), LIST.lines().count() - 1);
    assert_eq!(workdir.log(2), b"ATHENA,22.2,LATEST YES\n");
}

/// The digitization of its documentation, in that release: handler and runner together.
#[test]
fn the_documented_digitisation_runs_in_the_release() {
    let Some(program) = pytaskfarmer() else { return };
    let farm = atlas("/data/HITS.1.root\nHITS.2.root\n", &program);
    let digitisation = documented(&program, "taskfarmer.atlas", "TransformTaskList");
    put(&farm, ".pytaskfarmer/tasklists.d/digi.ini", digitisation.as_bytes(), 0o644);
    let (starts, workdir) = same_starts(&farm, &program, &["--runner", "reco22", "--tasklist", "digi"]);
    for name in ["shifter", "Reco_tf.py", "rsync"] {
        assert_eq!(count(&starts, name), 2, "{name}");
    }
    let transform = starts.iter().find(|start| start.argv[0] == "Reco_tf.py").unwrap();
    assert_eq!(transform.environment["ATLAS_RELEASE"], "Athena,22.2,latest");
    assert_eq!(workdir.finished().len(), 2);
}

/// Without a setup, PyTaskFarmer turns every task into a syntax error; here they run.
#[test]
fn an_empty_setup_is_not_a_syntax_error() {
    let mut farm = Farm::local(b"echo a; echo $PROC_NUMBER\n-x 2>/dev/null || echo b\n");
    put_programs(&mut farm, &["shifter"]);
    farm.write("r.ini", b"[r]\nRunner = shifter\nimage = i\n");
    farm.run(&["--runner", "r"]).exits(0);
    assert_eq!((&farm.workdir().log(0)[..], &farm.workdir().log(1)[..]), (&b"a\n\n"[..], &b"b\n"[..]));
    let starts = take_starts(&farm);
    let argv: Vec<_> = starts.iter().map(|start| start.argv.join("|")).collect();
    assert_eq!(
        argv,
        [
            "shifter|--image|i|--|/bin/bash|-c| -x 2>/dev/null || echo b",
            "shifter|--image|i|--|/bin/bash|-c|echo a; echo $PROC_NUMBER"
        ]
    );
}

/// Temporary folders are created in TMPDIR, one for each task, and are removed at the end, including those of killed
/// tasks.
#[test]
fn fresh_folders_are_removed() {
    use nix::sys::signal::Signal;
    let list = "echo x > $FRESH/file; mkdir -p $FRESH/a/b; chmod 500 $FRESH/a\n".repeat(5)
        + &"touch $FRESH/f; echo >> ran; sleep 600\n".repeat(3);
    let mut farm = Farm::local(list.as_bytes());
    put_programs(&mut farm, &["shifter"]);
    farm.write("r.ini", b"[r]\nRunner = shifter\nimage = i\ntempdir = True\nenv.FRESH = {tempdir}\n");
    std::fs::create_dir(farm.path("tmp")).unwrap();
    farm.set("TMPDIR", farm.path("tmp").to_str().unwrap());
    let folders = || std::fs::read_dir(farm.path("tmp")).unwrap().count();
    let mut running = farm.start(&["--runner", "r", "--proc", "4"]);
    running.wait_until("the last three run", || farm.lines("ran").len() == 3);
    running.wait_until("folders of ended tasks are gone", || folders() == 3);
    crate::support::processes::signal(running.pid(), Signal::SIGTERM);
    running.wait().exits(3);
    assert_eq!(folders(), 0);
    let fresh: std::collections::BTreeSet<_> =
        take_starts(&farm).into_iter().map(|start| start.argv[3].clone()).collect();
    assert_eq!(fresh.len(), 8, "{fresh:?}");
}

/// A farm without shifter fails its tasks, and their logs give the reason.
#[test]
fn a_missing_program_is_the_tasks_failure() {
    let farm = Farm::local(b"echo a\n");
    farm.write("r.ini", b"[r]\nRunner = shifter\nimage = i\n");
    farm.run(&["--runner", "r"]).exits(1);
    assert_eq!(farm.workdir().log(0), b"taskfarmer-mpi: cannot run shifter: No such file or directory\n");
}
