//! Tasks that fail and are retried.

use super::*;

fn with(ranks: u32, tasks: u32, retries: u16, codes: Option<&[u8]>) -> TestFarm {
    let mut farm = TestFarm::with(ranks, tasks, |settings| {
        settings.rules.retries = retries;
        settings.rules.retry_exit = codes.map(|codes| codes.iter().copied().collect());
    });
    (0..ranks).for_each(|rank| farm.hello(rank, 1));
    farm.sent();
    farm
}

/// A task takes some seconds and ends with this outcome.
fn end(farm: &mut TestFarm, rank: u32, id: u32, outcome: Outcome) {
    let attempt = farm.turns.core.tasks().attempt(TaskId(id));
    let result = TaskResult { attempt, duration_us: 5_000_000, ..result(id, outcome) };
    farm.report(rank, Report { results: vec![result], ..Report::default() });
}

fn fail(farm: &mut TestFarm, rank: u32, id: u32) {
    end(farm, rank, id, Outcome::Exited(1));
}

/// Retries after pauses of one, two and four seconds; the last failure is recorded in `failed`, and each attempt is
/// recorded.
#[test]
fn a_task_fails_with_its_last_attempt() {
    let mut farm = with(1, 1, 3, None);
    for pause in [1, 2, 4] {
        fail(&mut farm, 0, 0);
        assert_eq!(farm.turns.core.tasks().state(TaskId(0)), Some(TaskState::Delayed));
        farm.wait(secs(pause) - Duration::from_millis(1));
        assert_eq!(farm.handed(), []);
        farm.wait(Duration::from_millis(1));
        assert_eq!(farm.handed(), [(0, vec![0])]);
    }
    assert_eq!(farm.turns.storage.records, []);
    fail(&mut farm, 0, 0);
    assert_eq!(farm.turns.storage.records, [(0, false)]);
    let attempts = [1, 2, 3, 4].map(|attempt| (0, attempt, 0, Cause::Failed));
    assert_eq!(farm.turns.storage.attempts, attempts);
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
}

/// A later attempt that succeeds is all that counts.
#[test]
fn a_task_may_do_well_later() {
    let mut farm = with(1, 1, 1, None);
    fail(&mut farm, 0, 0);
    farm.wait(secs(1));
    assert_eq!(farm.handed(), [(0, vec![0])]);
    end(&mut farm, 0, 0, Outcome::Exited(0));
    assert_eq!(farm.turns.storage.records, [(0, true)]);
}

/// Slots do not stay idle for a task that waits: others of the list run.
#[test]
fn others_run_meanwhile() {
    let mut farm = with(1, 3, 1, None);
    fail(&mut farm, 0, 0);
    assert_eq!(farm.handed(), [(0, vec![1])]);
    farm.wait(secs(2));
    farm.finish(0, [1]);
    assert_eq!(farm.handed(), [(0, vec![0])], "its ID is the lower one");
}

/// Only these exit codes; signals as a shell reports them; a task that cannot be started has none.
#[test]
fn only_some_exit_codes_are_worth_it() {
    for (outcome, again) in [
        (Outcome::Exited(75), true),
        (Outcome::Exited(76), false),
        (Outcome::Exited(137), true),
        (Outcome::Signaled(9), true),
        (Outcome::Signaled(11), false),
        (Outcome::Signaled(255), false),
        (Outcome::NotStarted("no log".to_owned()), false),
    ] {
        let mut farm = with(1, 1, 1, Some(&[75, 137]));
        end(&mut farm, 0, 0, outcome.clone());
        assert_eq!(farm.turns.storage.records.is_empty(), again, "{outcome:?}");
    }
}

/// A different rank goes first: the one on which the task failed gets it later, and only if no other was free.
#[test]
fn another_rank_goes_first() {
    let mut farm = with(2, 2, 1, None);
    fail(&mut farm, 0, 0);
    farm.wait(secs(1));
    assert_eq!(farm.handed(), [], "rank 0 is idle, rank 1 is not");
    farm.finish(1, [1]);
    assert_eq!(farm.handed(), [(1, vec![0])]);

    let mut farm = with(2, 2, 1, None);
    fail(&mut farm, 0, 0);
    farm.wait(secs(2));
    assert_eq!(farm.handed(), [(0, vec![0])], "no other rank was free");

    let mut farm = with(3, 2, 1, None);
    fail(&mut farm, 0, 0);
    farm.wait(secs(1));
    assert_eq!(farm.handed(), [(2, vec![0])], "an idle one gets it immediately");
}

/// A rank that is lost or takes no tasks does not count as a different rank.
#[test]
fn no_rank_is_waited_for_in_vain() {
    let mut farm = with(2, 2, 1, None);
    farm.receive(1, pool_gone("test"));
    fail(&mut farm, 0, 0);
    assert_eq!(farm.handed(), [(0, vec![1])]);
    farm.finish(0, [1]);
    farm.wait(secs(1));
    assert_eq!(farm.handed(), [(0, vec![0])]);
}

/// Losses and interruptions cost no retry.
#[test]
fn losses_cost_no_retry() {
    let mut farm = with(2, 1, 1, None);
    farm.receive(0, pool_gone("test"));
    let [(1, ToWorker::Assign { tasks, .. })] = &farm.sent()[..] else { panic!("no task") };
    assert_eq!(tasks[0].attempt, Attempt(2));
    fail(&mut farm, 1, 0);
    farm.wait(secs(1));
    let [(1, ToWorker::Assign { tasks, .. })] = &farm.sent()[..] else { panic!("no task") };
    assert_eq!(tasks[0].attempt, Attempt(3), "attempts continue to count");
    fail(&mut farm, 1, 0);
    assert_eq!(farm.turns.storage.records, [(0, false)]);
}

/// A stop leaves a task open that has attempts left: the next start retries it.
#[test]
fn a_stop_leaves_retries_open() {
    let mut farm = with(1, 2, 1, None);
    fail(&mut farm, 0, 0);
    farm.event(Event::Signal(15));
    fail(&mut farm, 0, 1);
    farm.wait(secs(5));
    farm.receive(0, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.failed, end.remaining, farm.code()), (0, 2, Some(3)));
    assert_eq!(farm.turns.core.tasks().unrecorded().count(), 2);
}

/// The verdict on nodes comes first: a failure on a node that is set aside is not the task's.
#[test]
fn the_nodes_fault_costs_no_retry() {
    let mut farm = TestFarm::with(3, 100, |settings| settings.rules.retries = 1);
    (0..3).for_each(|rank| farm.hello(rank, 1));
    farm.now += secs(5);
    let mut failed = Vec::new();
    while let Some(&id) = farm.turns.core.workers().get(Rank(2)).unwrap().book.tasks().first() {
        failed.push(id.0);
        let quick = TaskResult { start_us: 5_000_000, duration_us: 1, ..result(id.0, Outcome::Exited(1)) };
        farm.report(2, Report { results: vec![quick], ..Report::default() });
    }
    assert!(farm.notes.iter().any(|note| matches!(note, Note::SetAside { .. })));
    let first = failed[0];
    assert_eq!(farm.turns.core.tasks().failures(TaskId(first)), 0);
    farm.sent();
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), [(0, vec![first])], "immediately, and elsewhere");
    fail(&mut farm, 0, first);
    assert_eq!(farm.turns.core.tasks().state(TaskId(first)), Some(TaskState::Delayed), "this one is its own fault");
    assert_eq!(farm.turns.core.tasks().attempt(TaskId(first)), Attempt(3));
}

/// Promise 2: a result of a lost rank counts, even while the task waits for its next attempt.
#[test]
fn a_late_result_ends_a_task_that_waits() {
    for waited in [0, 1, 2] {
        let mut farm = with(3, 2, 2, None);
        farm.event(Event::LinkFailed(Rank(0), "broken".to_owned()));
        assert_eq!(farm.handed(), [(2, vec![0])]);
        fail(&mut farm, 2, 0);
        // Rank 1 has a task, and rank 2 must not get this one again so soon.
        farm.wait(secs(waited));
        farm.sent();
        farm.finish(0, [0]);
        assert_eq!(farm.turns.storage.records, [(0, true)], "after {waited} s");
    }
}

/// A failure of an attempt that is no longer waited for counts, and has no other effect.
#[test]
fn a_late_failure_is_counted() {
    let mut farm = with(3, 2, 1, None);
    farm.event(Event::LinkFailed(Rank(0), "broken".to_owned()));
    assert_eq!(farm.handed(), [(2, vec![0])]);
    fail(&mut farm, 0, 0);
    assert_eq!(farm.turns.core.tasks().owner(TaskId(0)), Some(Rank(2)), "it runs there");
    fail(&mut farm, 2, 0);
    assert_eq!(farm.turns.storage.records, [(0, false)], "two failures, one retry");
}

/// A task is not withheld from the rank on which it failed when the only other one is set aside.
#[test]
fn a_rank_that_is_set_aside_is_not_waited_for() {
    let mut farm = with(2, 100, 1, None);
    farm.wait(secs(5));
    let held = |farm: &TestFarm, rank: u32| farm.turns.core.workers().get(Rank(rank)).unwrap().book.tasks()[0].0;
    while farm.turns.core.workers().aside() == 0 {
        let quick = TaskResult { start_us: 5_000_000, duration_us: 9, ..result(held(&farm, 1), Outcome::Exited(1)) };
        farm.report(1, Report { results: vec![quick], ..Report::default() });
    }
    // Tasks that come back from there run before the rest of the list.
    let first = held(&farm, 0);
    fail(&mut farm, 0, first);
    farm.wait(secs(1));
    farm.sent();
    let next = held(&farm, 0);
    farm.finish(0, [next]);
    assert_eq!(farm.handed(), [(0, vec![first])]);
}

/// A task that fails on a rank that is set aside is withheld from it for a while, as from any other rank.
#[test]
fn a_rank_that_is_set_aside_comes_last_too() {
    let mut farm = TestFarm::with(2, 100, |settings| settings.rules.retries = 1);
    (0..2).for_each(|rank| farm.hello(rank, 2));
    farm.wait(secs(5));
    let held = |farm: &TestFarm| farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks().to_vec();
    let long = held(&farm)[0].0;
    while farm.turns.core.workers().aside() == 0 {
        let id = held(&farm)[1].0;
        let quick = TaskResult { start_us: 5_000_000, duration_us: 9, ..result(id, Outcome::Exited(1)) };
        farm.report(1, Report { results: vec![quick], ..Report::default() });
    }
    fail(&mut farm, 1, long);
    farm.wait(secs(1));
    assert_eq!(
        (farm.turns.core.tasks().state(TaskId(long)), farm.turns.core.tasks().restricted()),
        (Some(TaskState::Pending), 1)
    );
}

/// A task that only other ranks may have does not keep a rank idle: it gets tasks that wait elsewhere.
#[test]
fn a_task_that_is_kept_from_a_rank_does_not_keep_it_idle() {
    let mut farm = with(2, 20, 1, None);
    fail(&mut farm, 1, 1);
    assert_eq!(farm.handed(), [(1, vec![2])]);
    while let Some(id) = farm.turns.core.tasks.take_next(Rank(0)) {
        farm.turns.core.workers.update(Rank(0), |worker| worker.book.add(std::iter::once((id, Class::default()))));
    }
    farm.wait(secs(1));
    assert_eq!((farm.turns.core.tasks().pending(), farm.turns.core.tasks().restricted()), (1, 1));
    farm.finish(1, [2]);
    assert!(matches!(farm.sent()[..], [(0, ToWorker::Recall { .. })]));
}
