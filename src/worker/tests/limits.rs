//! Tasks that run for too long.

use super::*;

fn limit(pool: &mut TestPool, limit: Duration) {
    pool.receive(ToWorker::Limit { us: u64::try_from(limit.as_micros()).unwrap() });
}

fn timed_out(pool: &mut TestPool) -> Vec<(u32, bool)> {
    let sent = std::mem::take(&mut pool.sent);
    let results = sent.into_iter().map(|message| match message {
        ToFarmer::Report { results, interrupted, .. } if interrupted.is_empty() => results,
        other => panic!("{other:?}"),
    });
    results.flatten().map(|result| (result.id.0, result.timed_out)).collect()
}

/// A task that runs for too long is asked to end, and killed after the grace period; each counted from its own start.
#[test]
fn a_task_runs_out_of_time() {
    let mut pool = TestPool::new(2);
    limit(&mut pool, ms(3_000));
    pool.assign([0]);
    pool.wait(ms(1_000));
    pool.assign([1, 2]);
    pool.operations();
    pool.wait(ms(1_999));
    pool.quiet();
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Terminate(0)]);
    pool.end(0, OK);
    assert_eq!(timed_out(&mut pool), [(0, true)], "it has failed, whatever its exit code");
    assert_eq!(pool.operations(), [Operation::Spawn(0, 2)]);
    pool.wait(ms(1_000));
    assert_eq!(pool.operations(), [Operation::Terminate(1)]);
    pool.end(0, OK);
    assert_eq!(timed_out(&mut pool), [(2, false)]);
    pool.wait(GRACE - ms(1));
    assert_eq!(pool.operations(), []);
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Kill(1)]);
    pool.end(1, Outcome::Signaled(9));
    assert_eq!(timed_out(&mut pool), [(1, true)], "the worker caused this death: no verdict is held");
}

/// A limit applies to running tasks too, a later one replaces it, and 0 removes it.
#[test]
fn the_last_limit_counts() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.operations();
    pool.wait(ms(10_000));
    limit(&mut pool, ms(12_000));
    pool.wait(ms(1_999));
    limit(&mut pool, ms(20_000));
    pool.wait(ms(5_000));
    pool.quiet();
    pool.receive(ToWorker::Limit { us: 0 });
    pool.wait(ms(100_000));
    pool.quiet();
    limit(&mut pool, ms(20_000));
    assert_eq!(pool.operations(), [Operation::Terminate(0)]);
}

/// The time for which a pool was suspended does not count against its tasks.
#[test]
fn suspended_time_does_not_count() {
    let mut pool = TestPool::new(1);
    limit(&mut pool, ms(30_000));
    pool.assign([0]);
    pool.operations();
    pool.now += ms(10_000);
    pool.event(Event::Tick);
    pool.now += ms(3_600_000);
    pool.event(Event::Tick);
    pool.quiet();
    pool.wait(ms(19_999));
    pool.quiet();
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Terminate(0)]);
}

/// A task that has ended by the time that the clock is checked has not exceeded its limit, even if a message comes
/// first.
#[test]
fn ended_tasks_do_not_time_out() {
    let mut pool = TestPool::new(1);
    limit(&mut pool, ms(1_000));
    pool.assign([0]);
    pool.operations();
    pool.now += ms(1_500);
    pool.turns.turn(pool.now, Event::Message(ToWorker::Heartbeat), &mut pool.sent);
    pool.end(0, OK);
    assert_eq!(timed_out(&mut pool), [(0, false)]);
    pool.quiet();
}

/// A stop during the grace period of a timeout does not make it an interruption, and does not signal again.
#[test]
fn a_stop_does_not_undo_a_timeout() {
    let mut pool = TestPool::new(2);
    limit(&mut pool, ms(1_000));
    pool.assign([0]);
    pool.wait(ms(500));
    pool.assign([1]);
    pool.wait(ms(500));
    pool.operations();
    pool.stop(StopLevel::Terminate);
    assert_eq!(pool.operations(), [Operation::Terminate(1)]);
    pool.wait(GRACE - ms(1));
    pool.stop(StopLevel::Kill);
    assert_eq!(pool.operations(), [Operation::Kill(0), Operation::Kill(1)]);
    pool.end(0, Outcome::Signaled(9));
    assert_eq!(timed_out(&mut pool), [(0, true)]);
    pool.end(1, Outcome::Signaled(9));
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Stopped));
    assert_eq!(pool.report(), (vec![], vec![1], 0));
}

/// Nor if it receives a message before it checks the clock.
#[test]
fn suspended_time_does_not_count_after_a_message() {
    let mut pool = TestPool::new(1);
    limit(&mut pool, ms(30_000));
    pool.assign([0]);
    pool.operations();
    pool.now += ms(10_000);
    pool.event(Event::Tick);
    pool.now += ms(3_600_000);
    pool.receive(ToWorker::Heartbeat);
    pool.wait(ms(19_999));
    pool.quiet();
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Terminate(0)]);
}
