//! What a report means for the records.

use super::*;

/// The life of a task: its result is recorded, and its slot gets the next task of the list.
#[test]
fn a_result_is_recorded_and_its_slot_filled() {
    let mut farm = TestFarm::up(1, 2, 4);
    farm.finish(0, [1]);
    assert_eq!(farm.turns.storage.records, [(1, true)]);
    assert_eq!(farm.handed(), [(0, vec![2])]);
    let failed = result(0, Outcome::Exited(3));
    farm.report(0, Report { results: vec![failed], ..Report::default() });
    assert_eq!(farm.turns.storage.records, [(1, true), (0, false)]);
    assert_eq!(farm.handed(), [(0, vec![3])]);
}

/// Promise 2: the first result counts, and the second is counted and dropped.
#[test]
fn a_task_that_ran_twice_is_recorded_once() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), [(0, vec![1])]);
    farm.finish(1, [1]);
    farm.finish(0, [1]);
    assert_eq!(farm.turns.storage.records, [(0, true), (1, true)]);
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.turns.core.end().unwrap().stale_results, 1);
    assert_eq!(farm.code(), Some(0));
}

/// Promise 2: results that are dropped are counted, whether their task is recorded or with a different rank.
#[test]
fn dropped_results_are_counted() {
    let mut farm = TestFarm::up(2, 1, 3);
    farm.finish(1, [0]);
    farm.finish(1, [2, 99]);
    farm.event(Event::Signal(15));
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.turns.core.end().unwrap().stale_results, 3);
}

/// Promise 5: a result of a task that a rank does not have changes nothing.
#[test]
fn only_the_holder_of_a_task_can_end_it() {
    let mut farm = TestFarm::up(2, 1, 4);
    farm.finish(1, [0, 3, 99]);
    farm.report(1, Report { returned: vec![0, 3, 99], ..Report::default() });
    farm.finish(7, [0]);
    assert_eq!(farm.turns.storage.records, []);
    assert_eq!(farm.handed(), []);
    assert_eq!(farm.turns.core.tasks().pending(), 2);
}

/// Returned tasks cost no attempt, and a rank that gives one back gets a new one.
#[test]
fn a_returned_task_is_handed_out_again_as_the_same_attempt() {
    let mut farm = TestFarm::up(1, 1, 1);
    farm.report(0, Report { returned: vec![0], ..Report::default() });
    let [(0, ToWorker::Assign { tasks, .. })] = &farm.sent()[..] else { panic!("no task") };
    assert_eq!((tasks[0].id, tasks[0].attempt), (TaskId(0), Attempt(1)));
    assert_eq!(tasks[0].command, b"task 0");
}

/// Promise 1, full disk: what is not written is not recorded, the farm stops, and says why.
#[test]
fn a_full_disk_is_the_farms_failure() {
    let mut farm = TestFarm::up(1, 2, 2);
    farm.turns.storage.full = true;
    farm.finish(0, [0, 1]);
    assert_eq!(farm.turns.core.tasks().remaining(), 2);
    assert_eq!(farm.level(0), Some(StopLevel::Terminate));
    farm.receive(0, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!(end.cause, StopCause::FarmFailed("the disk is full".to_owned()));
    assert_eq!((end.remaining, farm.code()), (2, Some(4)));
}

/// A disk that fails during a stop must be reported to the user.
#[test]
fn a_failure_during_a_stop_is_reported() {
    let mut farm = TestFarm::up(1, 2, 2);
    farm.event(Event::Signal(2));
    farm.event(Event::StorageFailed { unwritten: vec![], reason: "sync".to_owned() });
    farm.event(Event::StorageFailed { unwritten: vec![], reason: "sync again".to_owned() });
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.turns.core.end().unwrap().cause, StopCause::FarmFailed("sync".to_owned()));
}

/// Tasks whose verdict is pending leave their slots, so others take them; no number of them gives a rank the whole
/// list.
#[test]
fn open_verdicts_free_their_slots() {
    let mut farm = TestFarm::up(1, 2, 20_000);
    farm.report(0, Report { undecided: 1, ..Report::default() });
    assert_eq!(farm.handed(), [(0, vec![2])]);
    farm.report(0, Report { undecided: 0, ..Report::default() });
    assert_eq!(farm.handed(), []);
    for _ in 0..10_000 {
        farm.turns.turn(
            farm.now,
            Event::Message(Rank(0), Report { undecided: u32::MAX, ..Report::default() }.into_message()),
            &mut farm.mailbox,
            &mut farm.notes,
        );
    }
    assert!(farm.turns.core.workers().get(Rank(0)).unwrap().book.held() <= 4096 + 2);
}

/// A heartbeat is answered, so that a relay knows that its farmer is alive; log records of workers reach the user.
#[test]
fn heartbeats_are_answered_and_logs_passed_on() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!(farm.sent(), [(1, ToWorker::Heartbeat)]);
    farm.notes.clear();
    farm.receive(1, ToFarmer::Log { level: 2, text: "x".to_owned() });
    assert_eq!(farm.notes, [Note::Log { rank: Rank(1), level: 2, text: "x".to_owned() }]);
}
