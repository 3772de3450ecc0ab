//! Nodes on which every task fails immediately.

use super::*;
use crate::farmer::black_holes::STREAK_MIN;
use crate::farmer::doubts::DOUBT_MAX;
use crate::farmer::doubts::Stage;

/// Three ranks of one slot, at work for some seconds: the others' tasks are long, so nothing was reported yet.
fn at_work(ranks: u32) -> TestFarm {
    let mut farm = TestFarm::up(ranks, 1, 100);
    pass(&mut farm, 5);
    farm
}

/// Time passes while all ranks are heard from.
fn pass(farm: &mut TestFarm, time: u64) {
    for _ in 0..time {
        farm.wait(secs(1));
        (0..farm.turns.core.workers().len()).for_each(|rank| farm.receive(rank, ToFarmer::Heartbeat));
        farm.mailbox.sent.retain(|(_, message)| *message != ToWorker::Heartbeat);
    }
}

fn held(farm: &TestFarm, rank: u32) -> Vec<u32> {
    farm.turns.core.workers().get(Rank(rank)).unwrap().book.tasks().iter().map(|id| id.0).collect()
}

/// All that the rank holds fails there, within a millisecond; returns what that was.
fn fail(farm: &mut TestFarm, rank: u32) -> Vec<u32> {
    let tasks = held(farm, rank);
    let start_us = u64::try_from(farm.now.as_micros()).unwrap();
    let results =
        tasks.iter().map(|&id| TaskResult { start_us, duration_us: 1_000, ..result(id, Outcome::Exited(1)) }).collect();
    farm.report(rank, Report { results, ..Report::default() });
    tasks
}

fn stage(farm: &TestFarm, rank: u32) -> Stage {
    farm.turns.core.workers().get(Rank(rank)).unwrap().trust.stage
}

/// Fails task after task on a rank until it gets no more; returns which.
fn fail_all(farm: &mut TestFarm, rank: u32) -> Vec<u32> {
    std::iter::from_fn(|| Some(fail(farm, rank)).filter(|tasks| !tasks.is_empty())).flatten().collect()
}

/// Promise 3: a broken node is not the tasks' fault. It gets no more of them, and others run those that failed there.
#[test]
fn a_node_that_fails_everything_is_set_aside() {
    let mut farm = at_work(3);
    let failed = fail_all(&mut farm, 2);
    assert_eq!((failed.len() as u32, stage(&farm, 2)), (STREAK_MIN, Stage::Aside));
    assert_eq!(farm.turns.storage.records, [], "no failure is recorded");
    assert!(farm.notes.contains(&Note::SetAside { rank: Rank(2), tasks: STREAK_MIN, time: secs(60) }));
    let recalls = farm.sent().into_iter().filter(|(_, message)| matches!(message, ToWorker::Recall { .. })).count();
    assert_eq!(recalls, 0, "nothing waits there");
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), [(0, vec![failed[0]])], "the first of them goes elsewhere, as attempt 2");
    assert_eq!(farm.turns.core.tasks().attempt(TaskId(failed[0])), Attempt(2));
    let attempts = &farm.turns.storage.attempts;
    assert!(failed.iter().all(|&id| attempts.contains(&(id, 1, 2, Cause::Failed))), "each attempt is recorded");
}

/// A task that fails elsewhere too is the cause itself, and is recorded immediately.
#[test]
fn a_task_that_fails_twice_has_failed() {
    let mut farm = at_work(3);
    let failed = fail_all(&mut farm, 2);
    farm.finish(0, [0]);
    assert_eq!(fail(&mut farm, 0), [failed[0]]);
    assert_eq!(farm.turns.storage.records, [(0, true), (failed[0], false)]);
    assert_eq!(fail(&mut farm, 0), [failed[1]]);
    assert_eq!(stage(&farm, 2), Stage::Aside);
    assert_eq!(fail(&mut farm, 0), [failed[2]]);
    assert_eq!(farm.turns.storage.records[1..], [0, 1, 2].map(|index| (failed[index], false)));
    assert_eq!((stage(&farm, 2), held(&farm, 2).len()), (Stage::Trusted, 1), "the first rank was not at fault");
    let rest = fail(&mut farm, 2);
    assert_eq!(farm.turns.storage.records[4..], [(rest[0], false)], "and its failures now count");
}

/// A task that succeeds elsewhere confirms that a node was rightly set aside.
#[test]
fn a_success_elsewhere_confirms_the_verdict() {
    let mut farm = at_work(3);
    let failed = fail_all(&mut farm, 2);
    farm.finish(0, [0]);
    for (index, does_well) in [false, false, true, false, false].into_iter().enumerate() {
        if does_well {
            farm.finish(0, [failed[index]])
        } else {
            _ = fail(&mut farm, 0)
        }
        assert_eq!(stage(&farm, 2), Stage::Aside, "after {index}");
    }
    fail(&mut farm, 0);
    assert_eq!(stage(&farm, 2), Stage::Trusted);
}

/// After its time, the node is tried with one task: a failure sets it aside for twice as long.
#[test]
fn a_node_that_is_set_aside_is_tried_again() {
    let mut farm = at_work(3);
    fail_all(&mut farm, 2);
    farm.sent();
    pass(&mut farm, 59);
    assert_eq!(farm.handed(), []);
    pass(&mut farm, 1);
    assert_eq!((farm.handed().len(), held(&farm, 2).len(), stage(&farm, 2)), (1, 1, Stage::Tried));
    fail(&mut farm, 2);
    assert_eq!(farm.notes.last(), Some(&Note::SetAside { rank: Rank(2), tasks: 1, time: secs(120) }));
    pass(&mut farm, 120);
    assert_eq!(stage(&farm, 2), Stage::Tried);
    let task = held(&farm, 2)[0];
    farm.finish(2, [task]);
    assert_eq!((stage(&farm, 2), held(&farm, 2).len()), (Stage::Trusted, 1), "tasks succeed there again");
    let failed = fail_all(&mut farm, 2);
    assert_eq!(failed.len() as u32, STREAK_MIN, "and its earlier failures no longer count");
    assert!(matches!(farm.notes.last(), Some(Note::SetAside { time, .. }) if *time == secs(60)));
}

/// A task that is still running after some seconds is not a quick failure: the node is trusted again.
#[test]
fn a_trial_that_runs_is_a_success() {
    let mut farm = at_work(3);
    fail_all(&mut farm, 2);
    pass(&mut farm, 60);
    assert_eq!(stage(&farm, 2), Stage::Tried);
    pass(&mut farm, 4);
    assert_eq!(stage(&farm, 2), Stage::Trusted);
    assert_eq!(fail(&mut farm, 2).len(), 1);
    assert_eq!(stage(&farm, 2), Stage::Aside, "its series of failures still counts");
}

/// If tasks fail everywhere, the tasks are the cause: they are recorded, and no rank is set aside.
#[test]
fn tasks_that_fail_everywhere_are_recorded() {
    let mut farm = at_work(2);
    for _ in 0..49 {
        fail(&mut farm, 0);
        fail(&mut farm, 1);
    }
    assert_eq!((stage(&farm, 0), stage(&farm, 1)), (Stage::Trusted, Stage::Trusted));
    fail(&mut farm, 0);
    fail(&mut farm, 1);
    assert_eq!(farm.turns.storage.records.len(), 100);
    assert!(!farm.notes.iter().any(|note| matches!(note, Note::SetAside { .. })));
}

/// At the start nothing is known of the others: the rank waits some seconds, and then it is known.
#[test]
fn a_node_that_fails_from_the_start_is_watched() {
    let mut farm = TestFarm::up(2, 1, 100);
    let failed = fail_all(&mut farm, 1);
    assert_eq!((failed.len() as u32, stage(&farm, 1)), (STREAK_MIN, Stage::Watched));
    assert!(farm.notes.contains(&Note::Watched(Rank(1))));
    pass(&mut farm, 5);
    assert_eq!(stage(&farm, 1), Stage::Aside, "rank 0's task still runs");
    assert_eq!(farm.turns.storage.records, []);
}

/// A rank that has not joined yet may be fine or not; it is waited for, but not for long.
#[test]
fn ranks_that_never_join_are_not_waited_for() {
    let mut farm = TestFarm::new(2, 100);
    farm.hello(0, 1);
    assert_eq!(fail_all(&mut farm, 0).len() as u32, STREAK_MIN);
    assert_eq!(stage(&farm, 0), Stage::Watched);
    pass(&mut farm, 4);
    assert_eq!(stage(&farm, 0), Stage::Watched);
    pass(&mut farm, 1);
    assert_eq!(stage(&farm, 0), Stage::Trusted);
    assert_eq!(farm.turns.storage.records.len() as u32, STREAK_MIN);
    assert_eq!(held(&farm, 0).len(), 1, "and the rank continues");
}

/// With only one rank there is nothing to compare with: each failure is recorded immediately.
#[test]
fn the_only_rank_is_never_doubted() {
    let mut farm = TestFarm::up(1, 1, 50);
    for count in 1..=50 {
        fail(&mut farm, 0);
        assert_eq!(farm.turns.storage.records.len(), count);
    }
}

/// Never the last rank: when the others are lost, the node that was set aside gets tasks again.
#[test]
fn the_last_rank_is_taken_back() {
    let mut farm = at_work(2);
    fail_all(&mut farm, 1);
    assert_eq!(stage(&farm, 1), Stage::Aside);
    farm.receive(0, pool_gone("test"));
    assert_eq!((stage(&farm, 1), held(&farm, 1).len()), (Stage::Trusted, 1));
}

/// A failure among successes is recorded with the next success, and at the latest after a minute.
#[test]
fn single_failures_are_recorded_soon() {
    let mut farm = at_work(2);
    let failed = fail(&mut farm, 1);
    assert_eq!(farm.turns.storage.records, []);
    let next = held(&farm, 1);
    farm.finish(1, next.clone());
    assert_eq!(farm.turns.storage.records, [(failed[0], false), (next[0], true)]);
    let failed = fail(&mut farm, 1);
    let next = held(&farm, 1)[0];
    let late = TaskResult { start_us: 6_000_000, ..result(next, Outcome::Exited(0)) };
    farm.report(1, Report { results: vec![late], ..Report::default() });
    assert_eq!(farm.turns.storage.records[2..], [(failed[0], false), (next, true)]);
    pass(&mut farm, 10);
    farm.now += Duration::from_millis(1_300); // Not when the farmer checks for silent ranks anyway.
    let failed = fail(&mut farm, 1);
    let due = farm.now + DOUBT_MAX;
    pass(&mut farm, DOUBT_MAX.as_secs() - 1);
    farm.wait(Duration::from_millis(900)); // Past the previous check for silent ranks.
    assert_eq!(farm.turns.storage.records.len(), 4);
    assert_eq!(farm.turns.core.next_deadline(), Some(due), "the farmer must be woken for it");
    farm.wait(Duration::from_millis(100)); // Without a message from any rank: the clock ends it.
    assert_eq!(farm.turns.storage.records.last(), Some(&(failed[0], false)));
}

/// A slow failure is a failure.
#[test]
fn only_quick_failures_are_doubted() {
    let mut farm = at_work(2);
    let task = held(&farm, 1)[0];
    let slow = TaskResult { duration_us: 2_000_001, ..result(task, Outcome::Exited(1)) };
    farm.report(1, Report { results: vec![slow], ..Report::default() });
    assert_eq!(farm.turns.storage.records, [(task, false)]);
}

/// The end of a list does not wait for a verdict, nor does a stop.
#[test]
fn doubts_do_not_hold_up_the_end() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.finish(0, [0]);
    fail(&mut farm, 1);
    assert_eq!(farm.turns.storage.records, [(0, true), (1, false)]);

    // … however many are pending.
    let mut farm = TestFarm::up(2, 2, 5);
    farm.finish(0, [0, 1]);
    farm.finish(0, [4]);
    fail(&mut farm, 1);
    assert_eq!(farm.turns.storage.records[3..], [(2, false), (3, false)]);

    let mut farm = at_work(2);
    let failed = fail(&mut farm, 1);
    farm.event(Event::Signal(15));
    assert_eq!(farm.turns.storage.records, [(failed[0], false)]);
    let last = fail(&mut farm, 0);
    assert_eq!(farm.turns.storage.records.last(), Some(&(last[0], false)), "and nothing is doubted from here on");
}

/// The last failures of a lost rank may have been the first sign of its loss: the tasks run again.
#[test]
fn failures_of_a_lost_rank_do_not_count() {
    let mut farm = at_work(2);
    let failed = fail(&mut farm, 1);
    farm.receive(1, pool_gone("test"));
    assert_eq!(farm.turns.core.tasks().state(TaskId(failed[0])), Some(TaskState::Pending));
    assert_eq!(farm.turns.storage.records, []);
    assert!(matches!(farm.notes.last(), Some(Note::Lost { tasks: 2, .. })), "what it held, and what had failed there");
}

/// Tasks that wait at a node that is set aside are recalled.
#[test]
fn the_queue_of_a_black_hole_is_recalled() {
    let mut farm = at_work(2);
    farm.turns.core.workers.update(Rank(1), |worker| (worker.task_us, worker.round_trip_us) = (1_000, 1_000));
    fail(&mut farm, 1);
    assert!(held(&farm, 1).len() > 3, "short tasks are prefetched");
    while stage(&farm, 1) == Stage::Trusted {
        let first = TaskResult { duration_us: 1_000, ..result(held(&farm, 1)[0], Outcome::Exited(1)) };
        farm.sent();
        farm.report(1, Report { results: vec![first], ..Report::default() });
    }
    let count = u32::try_from(held(&farm, 1).len()).unwrap() - 1;
    assert!(farm.sent().contains(&(1, ToWorker::Recall { count })));
}

/// While a node is set aside, tasks that still run there may fail; that does not count against it again.
#[test]
fn late_failures_do_not_count_twice() {
    let mut farm = TestFarm::up(2, 30, 300);
    pass(&mut farm, 5);
    let tasks = held(&farm, 1);
    let failed = |id: u32| TaskResult { start_us: 5_000_000, duration_us: 1, ..result(id, Outcome::Exited(1)) };
    let mut at = 0;
    while stage(&farm, 1) == Stage::Trusted {
        let id = held(&farm, 1)[0];
        farm.report(1, Report { results: vec![failed(id)], ..Report::default() });
        at += 1;
    }
    assert_eq!(at, 60, "two for each slot");
    let notes = farm.notes.len();
    let late = held(&farm, 1);
    assert!(late.len() >= 29 && !tasks.contains(&late[0]));
    farm.report(1, Report { results: late.iter().map(|&id| failed(id)).collect(), ..Report::default() });
    assert_eq!((farm.notes.len(), farm.turns.storage.records.len()), (notes, 0));
    assert!(late.iter().all(|&id| farm.turns.core.tasks().attempt(TaskId(id)) == Attempt(2)), "they run elsewhere");
}

/// A task that fails late on a node that is set aside goes to a free slot elsewhere immediately: no other event may
/// come for a long time.
#[test]
fn a_late_failure_is_handed_out_immediately() {
    let mut farm = TestFarm::up(2, 2, 60);
    pass(&mut farm, 5);
    let failed = |id: u32| TaskResult { start_us: 5_000_000, duration_us: 1, ..result(id, Outcome::Exited(1)) };
    while stage(&farm, 1) == Stage::Trusted {
        let id = held(&farm, 1)[0];
        farm.report(1, Report { results: vec![failed(id)], ..Report::default() });
    }
    let late = held(&farm, 1)[0];
    while farm.turns.core.tasks().remaining() > 2 {
        let id = held(&farm, 0)[0];
        farm.finish(0, [id]);
    }
    farm.handed();
    farm.report(1, Report { results: vec![failed(late)], ..Report::default() });
    assert_eq!(farm.handed(), [(0, vec![late])]);
}

/// The majority decides: where most ranks fail, the next one is no exception.
#[test]
fn the_majority_judges() {
    let mut farm = at_work(5);
    for _ in 0..3 {
        (1..=3).for_each(|rank| _ = fail(&mut farm, rank));
    }
    fail_all(&mut farm, 4);
    assert_eq!(stage(&farm, 4), Stage::Trusted, "three fail, one succeeds");
    assert!(farm.turns.core.tasks().failed() >= STREAK_MIN);
    let mut farm = at_work(4);
    for _ in 0..3 {
        fail(&mut farm, 1);
    }
    fail_all(&mut farm, 3);
    assert_eq!(stage(&farm, 3), Stage::Aside, "one fails, two succeed");
}

/// If everything fails, a failure is recorded immediately after the first verdict: doubts do not accumulate.
#[test]
fn an_acquitted_rank_is_believed() {
    let mut farm = at_work(2);
    (0..3).for_each(|_| _ = fail(&mut farm, 0));
    (0..STREAK_MIN).for_each(|_| _ = fail(&mut farm, 1));
    let recorded = |farm: &TestFarm| farm.turns.storage.records.len() as u32;
    assert_eq!(recorded(&farm), STREAK_MIN);
    fail(&mut farm, 1);
    assert_eq!(recorded(&farm), STREAK_MIN + 1);
    let next = held(&farm, 0);
    farm.finish(0, next);
    let recorded_before = recorded(&farm);
    (0..STREAK_MIN - 2).for_each(|_| _ = fail(&mut farm, 1));
    assert_eq!((recorded(&farm), stage(&farm, 1)), (recorded_before + STREAK_MIN - 2, Stage::Trusted));
    fail(&mut farm, 1);
    assert_eq!(stage(&farm, 1), Stage::Aside, "twice as many in a row, and tasks have succeeded on rank 0 since");
}

/// A failure that happened before the last success of its rank, but is reported later, belongs to no series.
#[test]
fn late_failures_are_not_a_series() {
    let mut farm = at_work(2);
    let first = held(&farm, 1)[0];
    let success = TaskResult { start_us: 7_000_000, duration_us: 10, ..result(first, Outcome::Exited(0)) };
    farm.report(1, Report { results: vec![success], ..Report::default() });
    let failure =
        |id: u32, duration_us| TaskResult { start_us: 7_000_000, duration_us, ..result(id, Outcome::Signaled(9)) };
    let id = held(&farm, 1)[0];
    farm.report(1, Report { results: vec![failure(id, 9)], ..Report::default() });
    assert_eq!(farm.turns.storage.records.last(), Some(&(id, false)), "it ended before");
    let id = held(&farm, 1)[0];
    farm.report(1, Report { results: vec![failure(id, 10)], ..Report::default() });
    assert_eq!(farm.turns.storage.records.len(), 2, "at the same time as the success: undecided");
}

/// Nor does it if the rank was lost briefly in between.
#[test]
fn late_failures_after_a_loss_are_not_a_series() {
    let mut farm = at_work(2);
    let first = held(&farm, 1)[0];
    let success = TaskResult { start_us: 7_000_000, duration_us: 10, ..result(first, Outcome::Exited(0)) };
    farm.report(1, Report { results: vec![success], ..Report::default() });
    let id = held(&farm, 1)[0];
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.sent();
    farm.receive(1, ToFarmer::Heartbeat);
    let sent = farm.sent();
    let Some((_, ToWorker::Rejoin { seq })) = sent.iter().find(|(rank, _)| *rank == 1) else { panic!("{sent:?}") };
    farm.receive(1, ToFarmer::Holds { seq: *seq, tasks: vec![TaskId(id)] });
    let failure = TaskResult { start_us: 7_000_000, duration_us: 9, ..result(id, Outcome::Signaled(9)) };
    farm.report(1, Report { results: vec![failure], ..Report::default() });
    assert_eq!(farm.turns.storage.records.last(), Some(&(id, false)), "it ended before");
}

/// A rank is watched only for some seconds, even if others have only just begun.
#[test]
fn watching_has_an_end() {
    let mut farm = TestFarm::new(2, 100);
    farm.hello(0, 1);
    pass(&mut farm, 1);
    fail_all(&mut farm, 0);
    pass(&mut farm, 3);
    farm.hello(1, 1);
    pass(&mut farm, 2);
    assert_eq!((stage(&farm, 0), farm.turns.storage.records.len()), (Stage::Watched, 0));
    pass(&mut farm, 1);
    assert_eq!((stage(&farm, 0), farm.turns.storage.records.len() as u32), (Stage::Trusted, STREAK_MIN));
}

/// The simulator relies on it: a task that no rank holds does not pass the cross-check.
#[test]
#[should_panic(expected = "which does not hold it")]
fn a_task_without_a_holder_is_noticed() {
    let mut farm = TestFarm::up(2, 1, 10);
    farm.turns.core.tasks.take_next(Rank(1));
    farm.turns.core.check_invariants();
}

/// A rank that has finished a task counts as good, even while it has nothing to do, and from the first second on.
#[test]
fn a_success_speaks_for_all_other_ranks() {
    let mut farm = TestFarm::up(2, 1, 40);
    farm.finish(0, [0]);
    fail_all(&mut farm, 1);
    assert_eq!(stage(&farm, 1), Stage::Aside);
}

/// A stop ends all trials: no task is handed out anymore.
#[test]
fn nothing_is_tried_during_a_stop() {
    let mut farm = TestFarm::with(2, 100, |settings| settings.grace = secs(1_000));
    (0..2).for_each(|rank| farm.hello(rank, 1));
    pass(&mut farm, 5);
    fail_all(&mut farm, 1);
    farm.event(Event::Signal(15));
    farm.sent();
    pass(&mut farm, 70);
    assert_eq!(farm.handed(), []);
}

/// A rank without tasks says nothing about tasks.
#[test]
fn a_rank_without_tasks_has_no_vote() {
    for seconds in [0, 5] {
        let mut farm = TestFarm::up(2, 1, 100);
        farm.report(0, Report { returned: vec![0], pause_ms: 60_000, ..Report::default() });
        pass(&mut farm, seconds);
        (0..STREAK_MIN).for_each(|_| _ = fail(&mut farm, 1));
        assert_eq!((stage(&farm, 1), farm.turns.storage.records.len() as u32), (Stage::Trusted, STREAK_MIN));
    }
}

/// One good rank is enough to find all black holes, one after the other: those that were found have no vote.
#[test]
fn black_holes_are_found_one_after_the_other() {
    let mut farm = at_work(4);
    for rank in [3, 2, 1] {
        fail_all(&mut farm, rank);
        assert_eq!(stage(&farm, rank), Stage::Aside);
    }
    assert_eq!(farm.turns.storage.records, []);
}

/// Found by the simulator: a whole report is taken in before anything is handed out. A rank that is cleared by its
/// first results must not get a task that its last result records.
#[test]
fn a_report_is_taken_in_as_a_whole() {
    let mut farm = TestFarm::up(3, 4, 30);
    pass(&mut farm, 5);
    let failed = fail_all(&mut farm, 2);
    farm.report(
        0,
        Report {
            returned: vec![],
            results: (0..4).map(|id| result(id, Outcome::Exited(0))).collect(),
            ..Report::default()
        },
    );
    let suspects = held(&farm, 0);
    assert_eq!(suspects, failed[..4]);
    farm.event(Event::LinkFailed(Rank(0), "broken".to_owned()));
    farm.receive(0, ToFarmer::Heartbeat);
    farm.sent();
    farm.turns.core.workers.update(Rank(0), |worker| {
        worker.trust.succeeded = true;
        worker.pause(Some(secs(1_000)));
    });
    let start_us = u64::try_from(farm.now.as_micros()).unwrap();
    let bad = |&id: &u32| TaskResult { start_us, duration_us: 1, ..result(id, Outcome::Exited(1)) };
    farm.report(0, Report { results: suspects.iter().map(bad).collect(), ..Report::default() });
    assert_eq!(stage(&farm, 2), Stage::Trusted);
    for (_, ids) in farm.handed() {
        assert!(suspects.iter().all(|id| !ids.contains(id)), "{ids:?} are handed out, {suspects:?} are recorded");
    }
}

/// A rank on which no task has succeeded yet gives no second opinion: it may be the cause of what fails there.
#[test]
fn only_a_good_rank_gives_a_second_opinion() {
    let mut farm = at_work(3);
    let failed = fail_all(&mut farm, 2);
    farm.receive(0, pool_gone("test"));
    while held(&farm, 1) != failed[..1] {
        let slow = TaskResult { duration_us: 9_000_000, ..result(held(&farm, 1)[0], Outcome::Exited(1)) };
        farm.report(1, Report { results: vec![slow], ..Report::default() });
    }
    let records = farm.turns.storage.records.len();
    fail(&mut farm, 1);
    assert_eq!(farm.turns.storage.records.len(), records, "rank 1 has not finished anything");
}
