use super::*;

const WORKER: Rank = Rank(3);

/// Promise 1: what is recorded before the start is never handed out.
#[test]
fn recorded_tasks_are_skipped() {
    let mut tasks = TaskTable::new(4);
    assert!(tasks.record(TaskId(0), Verdict::Finished));
    assert!(tasks.record(TaskId(2), Verdict::Failed));
    let order: Vec<_> = std::iter::from_fn(|| tasks.take_next(WORKER)).collect();
    assert_eq!(order, [TaskId(1), TaskId(3)]);
    assert_eq!(tasks.take_next(WORKER), None);
    assert_eq!((tasks.finished(), tasks.failed(), tasks.remaining()), (1, 1, 2));
    let states = [TaskState::Finished, TaskState::Assigned, TaskState::Failed, TaskState::Assigned];
    assert_eq!(tasks.snapshot(), states);
    tasks.check_invariants();
}

/// Promise 2: the first record counts, and removes a task that waits again from the queue.
#[test]
fn a_task_is_recorded_once() {
    let mut tasks = TaskTable::new(2);
    let first = tasks.take_next(WORKER).unwrap();
    tasks.put_back(first, true);
    assert_eq!(tasks.attempt(first), Attempt(2));
    tasks.check_invariants();
    assert!(tasks.record(first, Verdict::Finished));
    assert!(tasks.tries.is_empty(), "its tries are dropped");
    assert!(!tasks.record(first, Verdict::Failed));
    tasks.put_back(first, false);
    assert_eq!(tasks.take_next(WORKER), Some(TaskId(1)));
    assert_eq!(tasks.pending(), 0);
    tasks.check_invariants();
}

/// In list order: returned tasks go first, since their IDs are lower.
#[test]
fn returned_tasks_come_first() {
    let mut tasks = TaskTable::new(4);
    let ids = [tasks.take_next(WORKER).unwrap(), tasks.take_next(WORKER).unwrap()];
    tasks.put_back(ids[1], false);
    assert_eq!(tasks.attempt(ids[1]), Attempt(1), "a returned task has lost no attempt");
    assert_eq!(tasks.take_next(WORKER), Some(ids[1]));
    assert_eq!(tasks.owner(ids[1]), Some(WORKER));
    assert_eq!(tasks.take_next(WORKER), Some(TaskId(2)));
}

/// Promise 1, full disk: a record that could not be written waits for the next start.
#[test]
fn a_record_can_be_taken_back() {
    let mut tasks = TaskTable::new(2);
    let id = tasks.take_next(WORKER).unwrap();
    tasks.record(id, Verdict::Failed);
    tasks.unrecord(id);
    tasks.check_invariants();
    assert_eq!(tasks.unrecorded().collect::<Vec<_>>(), [TaskId(0), TaskId(1)]);
}

/// A task that was recorded before its turn and is taken back waits for its turn, and only once.
#[test]
fn a_record_ahead_of_the_list_can_be_taken_back() {
    let mut tasks = TaskTable::new(3);
    tasks.take_next(WORKER);
    for id in [1, 2].map(TaskId) {
        assert!(tasks.record(id, Verdict::Finished));
        tasks.unrecord(id);
        tasks.check_invariants();
    }
    let order: Vec<_> = std::iter::from_fn(|| tasks.take_next(WORKER)).collect();
    assert_eq!(order, [TaskId(1), TaskId(2)]);
}

/// A rank that claims to run a task that nobody was given does not get it.
#[test]
fn only_what_was_handed_out_can_be_adopted() {
    let mut tasks = TaskTable::new(3);
    let first = tasks.take_next(WORKER).unwrap();
    tasks.put_back(first, true);
    for (id, owner) in [(first, Some(Rank(1))), (TaskId(1), None), (TaskId(2), None), (TaskId(9), None)] {
        tasks.adopt(id, Rank(1));
        assert_eq!(tasks.owner(id), owner);
        tasks.check_invariants();
    }
}

/// The simulator relies on it: a counter that was not updated, or a task that waits twice, does not pass the
/// cross-check.
#[test]
fn a_false_table_is_noticed() {
    let falsify: [fn(&mut TaskTable); 4] = [
        |tasks| tasks.pending += 1,
        |tasks| tasks.finished += 1,
        |tasks| tasks.failed += 1,
        |tasks| _ = tasks.queues[0].returned.insert(TaskId(1)),
    ];
    for falsify in falsify {
        let mut tasks = TaskTable::new(2);
        tasks.take_next(WORKER);
        tasks.check_invariants();
        falsify(&mut tasks);
        assert!(std::panic::catch_unwind(|| tasks.check_invariants()).is_err());
    }
}

/// Promise 5: an ID that is not in the list has no effect.
#[test]
fn unknown_ids_change_nothing() {
    let mut tasks = TaskTable::new(1);
    tasks.put_back(TaskId(9), true);
    assert!(!tasks.record(TaskId(9), Verdict::Finished));
    assert_eq!(tasks.owner(TaskId(9)), None);
    tasks.check_invariants();
}
