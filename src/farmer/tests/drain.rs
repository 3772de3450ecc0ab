//! A farm that starts nothing more and lets running tasks end.

use super::*;
use crate::farmer::drain::{HALT_FAILED_MIN, LENGTHS_MIN};

fn halts(ranks: u32, tasks: u32, when: HaltWhen, at: HaltAt) -> TestFarm {
    let mut farm = TestFarm::with(ranks, tasks, |settings| settings.rules.halt = Some(Halt { when, at }));
    (0..ranks).for_each(|rank| farm.hello(rank, 2));
    farm.sent();
    farm
}

/// Why the farm stops, if it does.
fn cause(farm: &TestFarm) -> Option<StopCause> {
    farm.turns.core.phase.stop().map(|stop| stop.cause.clone())
}

fn fail(farm: &mut TestFarm, rank: u32, id: u32) {
    let slow = TaskResult { duration_us: 5_000_000, ..result(id, Outcome::Exited(1)) };
    farm.report(rank, Report { results: vec![slow], ..Report::default() });
}

/// Soon: nothing is handed out, and each worker stops when its last task has ended; exit code 1.
#[test]
fn failures_let_the_farm_end_soon() {
    let mut farm = halts(2, 10, HaltWhen::Soon, HaltAt::Count(2));
    fail(&mut farm, 0, 0);
    assert_eq!(farm.handed(), [(0, vec![4])]);
    assert_eq!(cause(&farm), None);
    fail(&mut farm, 1, 2);
    let stop = ToWorker::Stop { level: StopLevel::Drain };
    assert_eq!(farm.sent(), [(0, stop.clone()), (1, stop)]);
    assert_eq!(farm.notes.last(), Some(&Note::Stopping(StopLevel::Drain, StopCause::Halt { failed: 2 })));
    farm.finish(0, [1, 4]);
    farm.receive(0, ToFarmer::Stopped);
    farm.wait(secs(20));
    (0..2).for_each(|rank| farm.receive(rank, ToFarmer::Heartbeat));
    farm.wait(secs(20));
    fail(&mut farm, 1, 3);
    assert_eq!((farm.level(0), farm.level(1)), (None, None), "a running task may take its time");
    farm.receive(1, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.cause, end.finished, end.failed, end.remaining), (StopCause::Halt { failed: 2 }, 2, 3, 5));
    assert_eq!(farm.code(), Some(1));
}

/// Now: running tasks are ended, and remain open.
#[test]
fn failures_end_the_farm_now() {
    let mut farm = halts(2, 10, HaltWhen::Now, HaltAt::Count(1));
    fail(&mut farm, 0, 0);
    assert_eq!(farm.level(1), Some(StopLevel::Terminate));
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!((farm.turns.core.end().unwrap().remaining, farm.code()), (9, Some(1)));
}

/// A percentage counts only after some failures, and refers to the tasks that have ended in this run.
#[test]
fn a_percentage_of_failures_ends_the_farm() {
    let mut farm = halts(1, 100, HaltWhen::Soon, HaltAt::Percent(10));
    let next = |farm: &TestFarm| farm.turns.core.workers().get(Rank(0)).unwrap().book.tasks()[0].0;
    for _ in 1..HALT_FAILED_MIN {
        let id = next(&farm);
        fail(&mut farm, 0, id);
    }
    assert_eq!(cause(&farm), None, "all tasks that have ended have failed, but they are few");
    for _ in 0..28 {
        let id = next(&farm);
        farm.finish(0, [id]);
    }
    let id = next(&farm);
    fail(&mut farm, 0, id);
    assert_eq!(cause(&farm), None, "3 of 31 are less than 10 %");
    let id = next(&farm);
    fail(&mut farm, 0, id);
    assert_eq!(cause(&farm), Some(StopCause::Halt { failed: 4 }));
}

/// A farmer that was delayed counts the overdue failures before it hands anything out.
#[test]
fn overdue_failures_count_before_a_hand_out() {
    let mut farm = halts(2, 100, HaltWhen::Soon, HaltAt::Percent(10));
    let quick = |id, now: Duration| TaskResult {
        start_us: u64::try_from(now.as_micros()).unwrap(),
        duration_us: 1_000,
        ..result(id, Outcome::Exited(1))
    };
    farm.now = secs(10);
    for _ in 0..HALT_FAILED_MIN {
        let id = farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks()[0].0;
        let results = vec![quick(id, farm.now)];
        farm.report(1, Report { results, ..Report::default() });
    }
    assert_eq!((farm.turns.core.doubts.count(), cause(&farm)), (HALT_FAILED_MIN, None));
    farm.sent();
    farm.now += secs(100); // No tick: it was suspended.
    farm.finish(0, [0]);
    assert_eq!(cause(&farm), Some(StopCause::Halt { failed: HALT_FAILED_MIN }));
    let handed = farm.sent().into_iter().filter(|(_, message)| matches!(message, ToWorker::Assign { .. })).count();
    assert_eq!(handed, 0);
}

/// Failures of earlier runs do not count, nor do those that are retried; the last failure of a list ends it anyway.
#[test]
fn only_last_failures_of_this_run_count() {
    let mut farm = TestFarm::with(1, 3, |settings| {
        settings.rules.halt = Some(Halt { when: HaltWhen::Now, at: HaltAt::Count(1) });
        settings.rules.retries = 1;
    });
    farm.hello(0, 1);
    farm.sent();
    fail(&mut farm, 0, 0);
    assert_eq!(farm.handed(), [(0, vec![1])]);
    farm.finish(0, [1]);
    farm.finish(0, [2]);
    farm.wait(secs(1));
    farm.sent();
    fail(&mut farm, 0, 0);
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
    assert_eq!(cause(&farm), Some(StopCause::AllDone), "nothing is left to halt");
}

/// A user who asks for a stop at the first failures does not wait until their cause is known.
#[test]
fn doubts_do_not_hold_up_a_halt() {
    let mut farm = halts(3, 100, HaltWhen::Soon, HaltAt::Count(2));
    farm.now += secs(5);
    let quick = |id: u32| TaskResult { start_us: 5_000_000, duration_us: 1, ..result(id, Outcome::Exited(1)) };
    farm.report(2, Report { results: vec![quick(4)], ..Report::default() });
    assert_eq!((farm.turns.storage.records.len(), farm.turns.core.doubts.count()), (0, 1));
    farm.report(2, Report { results: vec![quick(5)], ..Report::default() });
    assert_eq!(farm.turns.storage.records, [(4, false), (5, false)]);
    assert_eq!(cause(&farm), Some(StopCause::Halt { failed: 2 }));
}

/// A signal, or the end of the time limit, does not wait for running tasks.
#[test]
fn a_drain_can_be_cut_short() {
    for timeout in [false, true] {
        let mut farm = TestFarm::with(1, 10, |settings| {
            settings.rules.halt = Some(Halt { when: HaltWhen::Soon, at: HaltAt::Count(1) });
            settings.timeout_at = Some(secs(60));
        });
        farm.hello(0, 2);
        fail(&mut farm, 0, 0);
        farm.sent();
        if timeout {
            farm.wait(secs(60));
        } else {
            farm.event(Event::Signal(2));
        }
        assert_eq!(farm.level(0), Some(StopLevel::Terminate));
        farm.receive(0, ToFarmer::Stopped);
        assert_eq!(farm.code(), Some(1), "the failures came first");
    }
}

/// A rank that is lost is not waited for; one that comes back with a running task is.
#[test]
fn a_drain_waits_for_present_ranks() {
    let mut farm = halts(2, 10, HaltWhen::Soon, HaltAt::Count(1));
    fail(&mut farm, 0, 0);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.sent();
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!(farm.level(1), Some(StopLevel::Drain), "it may have missed it");
    farm.finish(0, [1]);
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.turns.core.end(), None);
    farm.finish(1, [2]);
    farm.receive(1, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.cause, end.finished), (StopCause::Halt { failed: 1 }, 2));
}

/// A rank that has nothing to run anymore and does not stop is killed, but not before the last task has ended.
#[test]
fn an_idle_rank_that_does_not_stop_is_killed() {
    let mut farm = halts(2, 10, HaltWhen::Soon, HaltAt::Count(1));
    fail(&mut farm, 0, 0);
    farm.finish(0, [1]);
    farm.sent();
    farm.wait(STOP_MARGIN * 2);
    assert_eq!(farm.level(0), None, "rank 1 runs tasks");
    farm.finish(1, [2, 3]);
    farm.wait(STOP_MARGIN * 2);
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
}

/// With a given task time, nothing is handed out that would not end in time; the exit code is that of a timeout.
#[test]
fn nothing_is_started_in_vain() {
    let mut farm = TestFarm::with(1, 10, |settings| {
        (settings.timeout_at, settings.rules.task_time) = (Some(secs(60)), Some(secs(20)));
    });
    farm.hello(0, 2);
    farm.sent();
    farm.wait(secs(39));
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), [(0, vec![2])]);
    farm.wait(secs(1));
    let cause = StopCause::NoTimeLeft { task_time: secs(20) };
    assert_eq!(farm.notes.last(), Some(&Note::Stopping(StopLevel::Drain, cause.clone())));
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
    farm.finish(0, [1, 2]);
    farm.receive(0, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.cause, end.remaining, farm.code()), (cause, 7, Some(3)));
}

/// Nor at the very moment when the time has come, although the clock has not woken the farmer yet.
#[test]
fn nothing_is_started_in_the_last_moment() {
    let mut farm = TestFarm::with(1, 10, |settings| {
        (settings.timeout_at, settings.rules.task_time) = (Some(secs(60)), Some(secs(20)));
    });
    farm.hello(0, 2);
    farm.sent();
    farm.now = secs(40);
    farm.finish(0, [0]);
    assert_eq!(farm.sent(), [(0, ToWorker::Stop { level: StopLevel::Drain })]);
    assert_eq!(cause(&farm), Some(StopCause::NoTimeLeft { task_time: secs(20) }));
}

/// Without a given time, the lengths so far decide: nine out of ten are no longer.
#[test]
fn the_lengths_so_far_decide_what_fits() {
    let mut farm = TestFarm::with(1, 1_000, |settings| settings.timeout_at = Some(secs(600)));
    farm.hello(0, 1);
    let next = |farm: &TestFarm| farm.turns.core.workers().get(Rank(0)).unwrap().book.tasks()[0].0;
    for count in 0..LENGTHS_MIN {
        assert_eq!(farm.turns.core.next_cutoff(), None, "after {count}");
        let duration_us = if count % 10 == 9 { 400_000_000 } else { 100_000_000 };
        let id = next(&farm);
        farm.report(
            0,
            Report { results: vec![TaskResult { duration_us, ..result(id, Outcome::Exited(0)) }], ..Report::default() },
        );
    }
    let until = farm.turns.core.next_cutoff().unwrap();
    assert!(until.abs_diff(secs(500)) < secs(3), "{until:?}");
    farm.sent();
    farm.wait(secs(503));
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
}

/// If all remaining tasks are already running, there is nothing to drain, and a list that ends in time has ended
/// normally.
#[test]
fn the_last_tasks_are_not_a_drain() {
    let mut farm = TestFarm::with(1, 2, |settings| {
        (settings.timeout_at, settings.rules.task_time) = (Some(secs(60)), Some(secs(20)));
    });
    farm.hello(0, 2);
    farm.wait(secs(50));
    assert_eq!(cause(&farm), None);
    farm.finish(0, [0, 1]);
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!((farm.turns.core.end().unwrap().cause, farm.code()), (StopCause::AllDone, Some(0)));
}
