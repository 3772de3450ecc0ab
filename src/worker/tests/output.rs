//! Output that cannot be written to its place.

use super::*;

/// A pool with two slots, full, and a task in its queue; the output of the first has no place.
fn waiting() -> TestPool {
    let mut pool = TestPool::new(2);
    pool.assign([0, 1, 2]);
    pool.operations();
    pool.event(Event::OutputWaits { slot: 0 });
    pool
}

/// Promise 3: nothing more is started, waiting tasks go to others, and the farmer is notified each time. Once the
/// output is written, the task has its own result.
#[test]
fn a_task_whose_output_waits_keeps_its_slot() {
    let mut pool = waiting();
    let sent = std::mem::take(&mut pool.sent);
    let [ToFarmer::Report { results, returned, pause_ms: 5_000, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((results.len(), &returned[..]), (0, &[TaskId(2)][..]));
    pool.quiet();
    pool.event(Event::OutputWaits { slot: 0 });
    let sent = std::mem::take(&mut pool.sent);
    assert!(matches!(sent[..], [ToFarmer::Report { pause_ms: 5_000, .. }]), "{sent:?}");
    assert_eq!((pool.turns.core.running(), pool.operations()), (2, vec![]));
    pool.end(0, Outcome::Exited(3));
    assert_eq!(pool.report(), (vec![0], vec![], 0));
}

/// It does not exceed its limit by that: it has ended.
#[test]
fn a_task_whose_output_waits_has_no_limit() {
    let mut pool = waiting();
    pool.sent.clear();
    pool.receive(ToWorker::Limit { us: 1_000_000 });
    pool.event(Event::Ended { slot: 1, outcome: OK, usage: Usage::default() });
    pool.wait(ms(60_000));
    assert_eq!(pool.operations(), []);
}

/// A stop that ends tasks does not wait for output: the task runs again, even one that had exceeded its limit before.
#[test]
fn a_stop_does_not_wait_for_a_place() {
    for is_late in [false, true] {
        let mut pool = TestPool::new(1);
        pool.receive(ToWorker::Limit { us: 1_000_000 });
        pool.assign([0]);
        pool.wait(ms(if is_late { 1_000 } else { 10 }));
        pool.operations();
        pool.event(Event::OutputWaits { slot: 0 });
        pool.stop(StopLevel::Terminate);
        assert_eq!(pool.operations(), [Operation::Terminate(0)]);
        pool.sent.clear();
        pool.end(0, OK.unkept(String::new()));
        let sent = std::mem::take(&mut pool.sent);
        let [ToFarmer::Report { results, interrupted, .. }, ToFarmer::Stopped] = &sent[..] else { panic!("{sent:?}") };
        assert_eq!((results.len(), interrupted.len()), (0, 1), "{is_late}");
    }
}

/// Nor does that count against a task that had ended by itself, while the processes that it left behind were being
/// ended.
#[test]
fn a_stop_that_gives_output_up_fails_no_task() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.event(Event::Lingers(0));
    pool.wait(LINGER);
    pool.stop(StopLevel::Terminate);
    pool.sent.clear();
    pool.end(0, Outcome::Exited(0).unkept("the disk is full".to_owned()));
    let sent = std::mem::take(&mut pool.sent);
    let [ToFarmer::Report { results, interrupted, .. }, ToFarmer::Stopped] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((results.len(), interrupted.len()), (0, 1));
}
