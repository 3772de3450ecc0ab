//! What remains of a task when its first process has ended.

use super::*;

/// The results since the last call: ID, outcome, whether something had to be ended; and the IDs of interrupted ones.
fn reported(pool: &mut TestPool) -> (Vec<(u32, Outcome, bool)>, Vec<u32>) {
    let (mut ended, mut open) = (Vec::new(), Vec::new());
    for message in std::mem::take(&mut pool.sent) {
        let ToFarmer::Report { results, interrupted, .. } = message else { continue };
        ended.extend(results.into_iter().map(|result| (result.id.0, result.outcome, result.left_behind)));
        open.extend(interrupted.into_iter().map(|result| result.id.0));
    }
    (ended, open)
}

/// The rest keeps the slot, may end by itself for a while, and is then ended like any task. The verdict is that of the
/// first process.
#[test]
fn leftovers_are_ended_after_a_while() {
    let mut pool = TestPool::new(1);
    pool.assign([0, 1]);
    pool.event(Event::Lingers(0));
    pool.wait(LINGER - ms(1));
    assert_eq!(pool.operations(), [Operation::Spawn(0, 0)], "the next task waits, and nothing is asked to end yet");
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Terminate(0)]);
    pool.wait(GRACE - ms(1));
    pool.quiet();
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Kill(0)]);
    pool.end(0, Outcome::Exited(3));
    assert_eq!(pool.operations(), [Operation::Spawn(0, 1)]);
    assert_eq!(reported(&mut pool), (vec![(0, Outcome::Exited(3), true)], vec![]));
}

/// Processes that end by themselves in that time were not left behind.
#[test]
fn leftovers_that_end_soon_are_not_reported() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.event(Event::Lingers(0));
    pool.wait(LINGER - ms(1));
    pool.end(0, OK);
    pool.wait(GRACE * 3);
    assert_eq!(pool.operations(), [Operation::Spawn(0, 0)]);
    assert_eq!(reported(&mut pool), (vec![(0, OK, false)], vec![]));
}

/// Processes that were asked to end before a stop are not asked again, and the task gets its verdict.
#[test]
fn a_stop_ends_leftovers() {
    let mut pool = TestPool::new(2);
    pool.assign([0, 1]);
    pool.event(Event::Lingers(0));
    pool.event(Event::Lingers(1));
    pool.wait(LINGER);
    pool.operations();
    pool.stop(StopLevel::Terminate);
    assert_eq!(pool.operations(), []);
    pool.end(1, OK);
    pool.wait(GRACE);
    assert_eq!(pool.operations(), [Operation::Kill(0)], "the grace period is that of its own end");
    pool.end(0, OK);
    assert_eq!(reported(&mut pool), (vec![(1, OK, true), (0, OK, true)], vec![]));
}

/// A stop that comes while the rest may still end by itself interrupts the task: what it was writing, the end of a pipe
/// perhaps, is cut off.
#[test]
fn a_stop_in_between_interrupts() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.event(Event::Lingers(0));
    pool.operations();
    pool.stop(StopLevel::Terminate);
    assert_eq!(pool.operations(), [Operation::Terminate(0)]);
    pool.stop(StopLevel::Kill);
    assert_eq!(pool.operations(), [Operation::Kill(0)]);
    pool.end(0, OK);
    assert_eq!(reported(&mut pool), (vec![], vec![0]));
}

/// A task that was asked to end is not asked again when its first process has ended: the rest has what is left of the
/// grace period.
#[test]
fn leftovers_have_the_whole_grace_period() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.stop(StopLevel::Terminate);
    pool.operations();
    pool.event(Event::Lingers(0));
    pool.wait(GRACE - ms(1));
    pool.quiet();
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Kill(0)]);
    pool.end(0, Outcome::Signaled(15));
    assert_eq!(reported(&mut pool), (vec![], vec![0]));
}

/// A batch system signals everything. The first process died of it, the rest ignores it, and the stop comes meanwhile.
#[test]
fn a_death_by_the_signal_that_stops_the_farm_is_not_a_failure() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.event(Event::Lingers(0));
    pool.stop(StopLevel::Terminate);
    pool.wait(GRACE);
    pool.end(0, Outcome::Signaled(15));
    assert_eq!(reported(&mut pool), (vec![], vec![0]));
}

/// The limit applies to the first process.
#[test]
fn a_limit_does_not_apply_to_leftovers() {
    let mut pool = TestPool::new(1);
    pool.receive(ToWorker::Limit { us: 1_000_000 });
    pool.assign([0]);
    pool.event(Event::Lingers(0));
    pool.operations();
    pool.wait(ms(2_000));
    pool.quiet();
    pool.end(0, OK);
    assert_eq!(reported(&mut pool), (vec![(0, OK, false)], vec![]));
}
