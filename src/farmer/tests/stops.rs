//! How a farm ends.

use super::*;

/// Everything is recorded: drain, and the end when every rank has answered.
#[test]
fn a_farm_ends_when_all_is_recorded() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.finish(0, [0]);
    farm.finish(1, [1]);
    let stop = ToWorker::Stop { level: StopLevel::Drain };
    assert_eq!(farm.sent(), [(0, stop.clone()), (1, stop)]);
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.code(), None);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(0));
    assert_eq!(farm.turns.core.next_deadline(), None);
}

/// A resume of a list that is done ends immediately, even while ranks are still joining.
#[test]
fn nothing_to_do_is_the_end() {
    let mut farm = TestFarm::new(2, 0);
    farm.event(Event::Tick);
    assert_eq!(farm.sent().len(), 2);
    farm.hello(0, 4);
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(0));
}

/// When all tasks are recorded, what a rank still runs is a second run in vain, and is not waited for.
#[test]
fn spare_runs_are_terminated_at_the_end() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.finish(0, [0]);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.finish(1, [1]);
    assert_eq!(farm.level(0), Some(StopLevel::Terminate));
}

/// One signal terminates; tasks come back and cost no attempt; the exit code says that tasks remain.
#[test]
fn a_signal_stops_the_farm() {
    let mut farm = TestFarm::up(2, 1, 3);
    assert_eq!(farm.turns.core.stop_level(), None);
    farm.receive(1, ToFarmer::Signaled { signal: 10 });
    assert_eq!(farm.turns.core.stop_level(), Some(StopLevel::Terminate));
    let stop = ToWorker::Stop { level: StopLevel::Terminate };
    assert_eq!(farm.sent(), [(0, stop.clone()), (1, stop)]);
    farm.report(0, Report { returned: vec![0], ..Report::default() });
    farm.finish(1, [1]);
    assert_eq!(farm.handed(), [], "nothing starts during a stop");
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!(end.cause, StopCause::Signal { rank: Rank(1), signal: 10 });
    assert_eq!((end.finished, end.remaining, farm.code()), (1, 2, Some(3)));
}

/// A launcher that sends SIGKILL soon after SIGTERM leaves no time for a grace period, but enough for an orderly end.
#[test]
fn running_tasks_are_killed_before_rank_0_is() {
    let mut farm = TestFarm::up(1, 1, 3);
    farm.event(Event::Signal(15));
    assert_eq!(farm.level(0), Some(StopLevel::Terminate));
    farm.event(Event::KilledSoon(15));
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
    farm.report(0, Report { returned: vec![0], ..Report::default() });
    farm.receive(0, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.cause, end.remaining, farm.code()), (StopCause::Signal { rank: FARMER, signal: 15 }, 3, Some(3)));
}

/// A second signal kills, and later levels win.
#[test]
fn a_second_signal_kills() {
    let mut farm = TestFarm::up(1, 1, 3);
    farm.event(Event::Signal(2));
    assert_eq!(farm.level(0), Some(StopLevel::Terminate));
    farm.now += secs(1);
    farm.event(Event::Signal(2));
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
    farm.now += secs(1);
    farm.event(Event::Signal(2));
    assert_eq!(farm.sent(), [], "there is no higher level");
}

/// The end never waits forever: grace period, then kill, then the rank is given up. MPI_Finalize would wait for it, but
/// not for the pool of rank 0, which is not a member of MPI.
#[test]
fn a_rank_that_does_not_stop_is_given_up() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.event(Event::Signal(15));
    farm.receive(0, ToFarmer::Stopped);
    farm.wait(GRACE + secs(20));
    assert_eq!((farm.code(), farm.turns.core.end().unwrap().unreachable), (Some(3), true));

    let mut farm = TestFarm::up(1, 1, 1);
    farm.event(Event::Signal(15));
    farm.sent();
    farm.wait(GRACE + secs(9));
    assert_eq!(farm.sent(), []);
    farm.wait(secs(1));
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
    farm.wait(secs(9));
    assert_eq!(farm.code(), None);
    farm.wait(secs(1));
    assert_eq!(farm.code(), Some(3));
    assert!(!farm.turns.core.end().unwrap().unreachable);
}

/// A drain that is not answered ends as well.
#[test]
fn a_drain_that_is_not_answered_ends() {
    let mut farm = TestFarm::up(1, 1, 1);
    farm.finish(0, [0]);
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
    farm.wait(secs(10));
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
    farm.wait(secs(10));
    assert_eq!(farm.code(), Some(0));
}

/// The timeout acts like a first signal, and comes once.
#[test]
fn the_timeout_terminates() {
    let mut farm = TestFarm::with(1, 1, |settings| settings.timeout_at = Some(secs(60)));
    farm.hello(0, 1);
    farm.sent();
    farm.wait(secs(59));
    assert_eq!(farm.sent(), []);
    farm.wait(secs(1));
    assert_eq!(farm.level(0), Some(StopLevel::Terminate));
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.turns.core.end().unwrap().cause, StopCause::Timeout);
    assert_eq!(farm.code(), Some(3));
}

/// A signal before any rank has joined still reaches them.
#[test]
fn a_signal_before_hello_stops_the_farm() {
    let mut farm = TestFarm::new(2, 4);
    farm.event(Event::Signal(15));
    assert_eq!(farm.sent().len(), 2);
    farm.hello(1, 4);
    assert_eq!(farm.handed(), []);
    farm.receive(1, ToFarmer::Stopped);
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(3));
}

/// A rank that comes back during a stop is told to stop, and waited for.
#[test]
fn a_rank_that_comes_back_during_a_stop_is_stopped() {
    let mut farm = TestFarm::up(2, 1, 4);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.event(Event::Signal(15));
    let stop = ToWorker::Stop { level: StopLevel::Terminate };
    assert_eq!(farm.sent(), [(0, stop.clone())]);
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!(farm.sent(), [(1, stop), (1, ToWorker::Heartbeat)]);
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.code(), None);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(3));
}

/// A rank that is lost during a stop is not waited for.
#[test]
fn a_rank_that_is_lost_during_a_stop_ends_it() {
    let mut farm = TestFarm::up(2, 1, 4);
    farm.event(Event::Signal(15));
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, pool_gone("killed"));
    assert_eq!(farm.code(), Some(3));
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.lost, end.unreachable), (vec![Rank(1)], false));
}

/// Found by the simulator: a farmer that was delayed during a stop does not mistake answers that it has not read yet
/// for silence.
#[test]
fn an_absence_during_a_stop_loses_no_rank() {
    let mut farm = TestFarm::up(3, 1, 3);
    farm.finish(0, [0]);
    farm.finish(1, [1]);
    farm.finish(2, [2]);
    for _ in 0..2 {
        farm.now += secs(40);
        farm.receive(0, ToFarmer::Stopped);
    }
    farm.receive(1, ToFarmer::Stopped);
    farm.receive(2, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.lost, end.unreachable), (vec![], false));
}

/// A rank that never answers a stop is killed, and then given up: each after its time, not later.
#[test]
fn a_stop_without_answers_ends() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.event(Event::Signal(15));
    farm.receive(0, ToFarmer::Stopped);
    for _ in 0..5 {
        farm.wait(secs(5));
        farm.receive(1, ToFarmer::Heartbeat);
        let level = if farm.now < secs(15) { StopLevel::Terminate } else { StopLevel::Kill };
        if farm.now < secs(25) {
            assert_eq!((farm.turns.core.stop_level(), farm.status(1)), (Some(level), Status::Active), "{:?}", farm.now);
        }
    }
    assert_eq!((farm.turns.core.end().unwrap().lost, farm.code()), (vec![Rank(1)], Some(3)));
}

/// When every task is recorded, a rank that comes back and still runs one of them is not waited for.
#[test]
fn a_task_that_runs_in_vain_does_not_hold_up_the_end() {
    let mut farm = TestFarm::up(3, 1, 2);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.finish(0, [0]);
    farm.finish(2, [1]);
    assert_eq!(farm.turns.core.tasks().remaining(), 0);
    farm.sent();
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!(farm.level(1), Some(StopLevel::Drain));
    farm.wait(STOP_MARGIN);
    assert_eq!(farm.level(1), Some(StopLevel::Kill));
}
