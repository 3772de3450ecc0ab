//! Comparison with PyTaskFarmer 0.1.0 itself: the same files from the same list, and its unfinished workdirs completed.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Farm, Running, expected, processes, python_env, timeline};

/// PyTaskFarmer's program, installed at the first use. `None` only if the environment says that these tests are not
/// wanted.
pub(crate) fn pytaskfarmer() -> Option<PathBuf> {
    let why = "PyTaskFarmer from PyPI is needed to compare with";
    let folder = python_env("pytaskfarmer", "TASKFARMER_TEST_SKIP_PYTASKFARMER", why)?;
    Some(folder.join("bin/pytaskfarmer.py"))
}

/// A farm whose environment keeps PyTaskFarmer's lock in its workdir.
fn farm(list: &str) -> Farm {
    let mut farm = Farm::local(list.as_bytes());
    for variable in ["SCRATCH", "TMP", "TMPDIR"] {
        farm.unset(variable);
    }
    farm
}

#[track_caller]
fn start<'farm>(farm: &'farm Farm, program: &Path, slots: &str) -> Running<'farm> {
    farm.start_other(&[program.as_os_str(), OsStr::new("--proc"), OsStr::new(slots), OsStr::new("tasks.txt")])
}

/// The types in a value of the timeline.
fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Keys and types of a task's event, by key.
fn types(event: &Value) -> BTreeMap<String, &'static str> {
    event.as_object().unwrap().iter().map(|(key, value)| (key.clone(), type_of(value))).collect()
}

/// The same list of plain commands gives the same `finished` and `failed`, the same logs, the same kind of timeline.
#[test]
fn same_list_same_results() {
    let Some(program) = pytaskfarmer() else { return };
    let mut list = "# plain commands\n\n".to_owned();
    for id in 0..10 {
        writeln!(list, "echo task   {id}\n  seq 1 {id}  \nfalse\n\n# {id}\ntest {id} -lt 5\nsleep 0.0{id}").unwrap();
        writeln!(list, "ls /no/such/folder/{id}\nhead -c {} /dev/zero\nsh exits.sh {id}", id * 1000).unwrap();
        writeln!(list, "printenv PROC_NUMBER\npwd\ncat\nexpr 6 + {id}\nsh both.sh {id}").unwrap();
    }
    let farms = [farm(&list), farm(&list)];
    for farm in &farms {
        farm.write("exits.sh", b"exit $1\n");
        farm.write("both.sh", b"echo out $1; echo err >&2; echo out\n");
    }
    let [theirs, ours] = &farms;
    // Exit code 0 in spite of the failures: PyTaskFarmer's behavior.
    start(theirs, &program, "3").wait_and_clean_up().exits(0);
    ours.run(&["--proc", "3"]).exits(1);

    let (their, our) = (theirs.workdir(), ours.workdir());
    assert_eq!(their.recorded().len(), 130);
    expected::are_the_same("finished", &our.finished(), &their.finished());
    expected::are_the_same("failed", &our.failed(), &their.failed());
    assert_eq!(our.bytes("toprocess"), their.bytes("toprocess"));
    // Users who keep running the old farmer may look at its workdirs with the new program.
    let shown = crate::support::status::text(theirs, 0, &["tasks.txt_workdir"]);
    let [finished, failed] = [their.finished().len(), their.failed().len()];
    assert!(shown.contains("no farm is at work here"), "{shown}");
    assert!(shown.contains(&format!("{finished} finished, {failed} failed, 0 remaining")), "{shown}");
    assert!(shown.contains("task length: ") && shown.contains("× failed: "), "{shown}");
    assert_eq!(our.logged(), their.logged());
    for id in their.logged() {
        let [their_log, our_log] = [(&their, theirs), (&our, ours)].map(|(workdir, farm)| {
            // `pwd` differs, as expected.
            String::from_utf8_lossy(&workdir.log(id)).replace(farm.cwd().to_str().unwrap(), "CWD")
        });
        assert_eq!(our_log, their_log, "log of task {id}");
    }

    let tasks = |workdir: &crate::support::Workdir| -> Vec<Value> {
        workdir.timeline().all.into_iter().filter(|event| event["ph"] == "X").collect()
    };
    let (their_events, our_events) = (tasks(&their), tasks(&our));
    let kind = types(&their_events[0]);
    assert_eq!(kind.keys().map(String::as_str).collect::<BTreeSet<_>>(), BTreeSet::from(timeline::KEYS));
    for event in their_events.iter().chain(&our_events) {
        // A category more, and a color, is what ours have if the task failed.
        let mut types = types(event);
        types.remove("cname");
        assert_eq!(types, kind, "{event}");
        assert_eq!(event["cat"].as_str().unwrap().split(',').next(), Some("task"));
    }
    let names = |events: &[Value]| {
        let mut names: Vec<String> = events.iter().map(|event| event["name"].to_string()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&our_events), names(&their_events));
}

const TASKS: u64 = 30;
const QUICK: u64 = 12;
const SLOTS: u64 = 3;

/// Interrupts PyTaskFarmer by a signal, and completes its workdir.
fn half_done_workdir_is_completed(signal: Signal) {
    let Some(program) = pytaskfarmer() else { return };
    // Each task reports its start; later ones stay until there is a file `go`. Every fifth fails.
    let script = format!("echo $1 >> ran\nif [ $1 -ge {QUICK} ] && ! [ -e go ]; then exec sleep 600; fi\nexit $2\n");
    let list: String = (0..TASKS).map(|id| format!("sh task.sh {id} {}\n", u64::from(id % 5 == 4))).collect();
    let farm = farm(&list);
    farm.write("task.sh", script.as_bytes());
    let ran = |id: u64| farm.lines("ran").iter().filter(|line| **line == id.to_string()).count();
    let staying = || (QUICK..TASKS).map(ran).sum::<usize>();

    let mut running = start(&farm, &program, &SLOTS.to_string());
    running.wait_until("its slots are all taken by tasks that stay", || staying() as u64 == SLOTS);
    running.wait_until("its timeline holds the others", || {
        let bytes = farm.workdir().bytes("timeline.json");
        serde_json::from_slice::<Vec<Value>>(&bytes).is_ok_and(|events| events.len() as u64 == QUICK)
    });
    let main = running.pid();
    processes::signal(main, signal);
    if signal == Signal::SIGKILL {
        // Its workers would continue without it.
        // A worker that saw its task killed would record it, so all are stopped before the first one is killed.
        for signal in [Signal::SIGSTOP, Signal::SIGKILL] {
            for process in running.processes() {
                processes::signal(process.pid, signal);
            }
        }
    }
    // It does not stop what its tasks have started.
    running.wait_and_clean_up();

    let recorded = farm.workdir().recorded();
    assert_eq!(recorded, (0..QUICK).collect::<BTreeSet<u64>>(), "what PyTaskFarmer recorded");
    let kept: BTreeSet<u64> = farm.workdir().toprocess().into_keys().collect();
    let lost: Vec<u64> = (0..TASKS).filter(|id| !recorded.contains(id) && !kept.contains(id)).collect();
    println!("PyTaskFarmer lost {lost:?}");
    if signal == Signal::SIGKILL {
        assert_eq!(lost.len() as u64, SLOTS, "it should have lost the tasks that ran: {lost:?}");
    }
    let before: Vec<usize> = (0..TASKS).map(ran).collect();
    let records = farm.workdir().bytes("finished");
    let their_events = farm.workdir().timeline().all;

    farm.write("go", b"");
    let outcome = farm.run(&["--proc", "3"]).exits(1);
    let failed = (0..TASKS).filter(|id| id % 5 == 4).count() as u64;
    assert_eq!(outcome.summary(), [TASKS - failed, failed, 0]);
    assert_eq!(farm.workdir().recorded(), (0..TASKS).collect::<BTreeSet<u64>>());
    assert!(farm.workdir().bytes("finished").starts_with(&records), "records are appended to");
    assert!(farm.workdir().toprocess().is_empty());
    for id in 0..TASKS {
        let again = usize::from(!recorded.contains(&id));
        assert_eq!(ran(id), before[usize::try_from(id).unwrap()] + again, "runs of task {id}");
    }
    let events = farm.workdir().timeline().all;
    assert!(their_events.iter().all(|event| events.contains(event)), "its events stay in the timeline");
    assert_eq!(events.iter().filter(|event| event["ph"] == "X").count() as u64, TASKS);
}

/// What PyTaskFarmer left after SIGINT is completed; nothing that it recorded runs again.
#[test]
fn its_workdir_after_sigint_is_completed() {
    half_done_workdir_is_completed(Signal::SIGINT);
}

/// What PyTaskFarmer left after SIGKILL is completed, with the tasks that it lost.
#[test]
fn its_workdir_after_sigkill_is_completed() {
    half_done_workdir_is_completed(Signal::SIGKILL);
}
