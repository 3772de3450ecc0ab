//! Compares the results of a farm with a list of mixed tasks to the expected ones.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::mixed::{self, Task};
use super::workdir::Tasks;
use super::{End, Farm, Outcome};

/// A task that sleeps for a fifth of a second takes no longer than this on the slowest machine.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// The whole promise of a run: records, logs, files, exit code, summary, timeline.
#[track_caller]
pub(crate) fn matches_the_run(tasks: &[Task], farm: &Farm, outcome: &Outcome, ranks: u64, slots: u64) {
    let is_success = |task: &Task| task.end == End::Exit(0);
    let finished = of(tasks, is_success);
    let failed = of(tasks, |task| !is_success(task));
    let workdir = farm.workdir();
    are_the_same("finished", &workdir.finished(), &finished);
    are_the_same("failed", &workdir.failed(), &failed);
    assert!(workdir.file("toprocess").exists(), "no file toprocess");
    are_the_same("toprocess", &workdir.toprocess(), &Tasks::new());
    assert_eq!(outcome.summary(), [finished.len() as u64, failed.len() as u64, 0], "summary");

    assert_eq!(workdir.logged(), (0..tasks.len() as u64).collect::<BTreeSet<u64>>(), "tasks with a log");
    for (id, task) in (0..).zip(tasks) {
        is_the_same(&format!("log of task {id}"), task, &workdir.log(id), &task.log);
        if let Some((path, content)) = &task.file {
            is_the_same(&format!("file of task {id}"), task, &fs::read(path).unwrap_or_default(), content);
        }
    }

    let timeline = workdir.timeline();
    timeline.names_ranks_and_slots();
    timeline.fits(ranks, slots);
    timeline.lies_within(outcome);
    let events = timeline.by_task();
    assert_eq!(events.len(), tasks.len(), "events in the timeline");
    for (id, task) in (0..).zip(tasks) {
        let event = events.get(&id).unwrap_or_else(|| panic!("no event of task {id}"));
        let (name, end) = (String::from_utf8_lossy(&task.command), task.end);
        assert_eq!((&*event.name, event.end, event.attempt), (&*name, end, 1), "timeline, task {id}");
        assert!(event.duration() <= outcome.elapsed, "longer than the run: {event:?}");
        if task.sleeps {
            let range = Duration::from_millis(mixed::SLEEP_MS)..SLEEP_MAX;
            assert!(range.contains(&event.duration()), "a sleep of {range:?}: {event:?}");
        }
    }
    let at_work: BTreeSet<u64> = events.values().map(|event| event.rank).collect();
    assert_eq!(at_work, (0..ranks).collect::<BTreeSet<u64>>(), "ranks that ran tasks");
}

fn of(tasks: &[Task], is_wanted: impl Fn(&Task) -> bool) -> Tasks {
    let numbered = (0..).zip(tasks);
    numbered.filter(|(_, task)| is_wanted(task)).map(|(id, task)| (id, task.command.clone())).collect()
}

/// Compares two sets of tasks; shows only where they differ.
#[track_caller]
pub(crate) fn are_the_same(name: &str, found: &Tasks, wanted: &Tasks) {
    let differences: Vec<String> = found
        .keys()
        .chain(wanted.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .filter(|id| found.get(id) != wanted.get(id))
        .map(|id| {
            let text = |tasks: &Tasks| tasks.get(id).map(|command| super::shown(command));
            format!("task {id}: found {:?}, wanted {:?}", text(found), text(wanted))
        })
        .collect();
    assert!(differences.is_empty(), "{name}: {differences:#?}");
}

/// Compares two runs of bytes that may be long.
#[track_caller]
fn is_the_same(what: &str, task: &Task, found: &[u8], wanted: &[u8]) {
    if found == wanted {
        return;
    }
    let place = found.iter().zip(wanted).take_while(|(left, right)| left == right).count();
    let around = |bytes: &[u8]| {
        let part = &bytes[place.saturating_sub(40)..bytes.len().min(place + 200)];
        String::from_utf8_lossy(part).into_owned()
    };
    panic!(
        "{what} ({}): {} bytes instead of {}, different from byte {place}:\n  found  {:?}\n  wanted {:?}",
        super::shown(&task.command),
        found.len(),
        wanted.len(),
        around(found),
        around(wanted)
    );
}
