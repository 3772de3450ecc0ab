//! Ranks that are lost and come back.

use super::*;

/// The tasks of a rank that is silent for too long go to others, with the next attempt number.
#[test]
fn a_silent_rank_is_lost() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.finish(0, [0]);
    farm.wait(secs(29));
    assert_eq!(farm.handed(), []);
    assert_eq!(farm.status(1), Status::Active);
    farm.wait(secs(9));
    assert_eq!(farm.status(1), Status::Lost);
    let [(0, ToWorker::Assign { tasks, .. })] = &farm.sent()[..] else { panic!("no task") };
    assert_eq!((tasks[0].id, tasks[0].attempt), (TaskId(1), Attempt(2)));
    assert_eq!(farm.mailbox.given_up, [1]);
}

/// Each attempt is recorded with the reason why it has ended: by itself, interrupted, lost with its rank, or because of
/// the node.
#[test]
fn every_attempt_is_written_down() {
    let mut farm = TestFarm::up(2, 1, 3);
    farm.finish(0, [0]);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.event(Event::Signal(15));
    farm.report(0, Report { interrupted: vec![result(2, Outcome::Signaled(15))], ..Report::default() });
    let attempts = [(0, 1, 0, Cause::Finished), (1, 1, 1, Cause::Crashed), (2, 1, 0, Cause::Interrupted)];
    assert_eq!(farm.turns.storage.attempts, attempts);
    assert_eq!(farm.turns.storage.records, [(0, true)]);
    assert_eq!(farm.turns.core.tasks().attempt(TaskId(2)), Attempt(1), "an interruption costs no attempt");
}

/// "Longer than" is meant literally: a rank that was silent for exactly the limit is waited for.
#[test]
fn silence_counts_beyond_its_limit() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.wait(secs(30));
    assert_eq!(farm.status(1), Status::Active);
    farm.wait(Duration::from_millis(7_500));
    assert_eq!(farm.status(1), Status::Lost);
}

/// A farmer that is late by no more than the interval of its checks was not away, and the silence still counts.
#[test]
fn a_short_delay_of_the_farmer_excuses_no_rank() {
    for (late, lost) in [(7_500, true), (7_501, false)] {
        let mut farm = TestFarm::up(2, 1, 2);
        farm.wait(Duration::from_millis(7_500));
        farm.now += Duration::from_millis(7_500 + late);
        farm.event(Event::Tick);
        farm.wait(secs(16));
        assert_eq!(farm.status(1) == Status::Lost, lost, "{late} ms");
    }
}

/// A rank is lost once, however often that is reported.
#[test]
fn a_lost_rank_is_not_lost_again() {
    let mut farm = TestFarm::up(2, 1, 4);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.event(Event::LinkFailed(Rank(1), "broken again".to_owned()));
    assert_eq!(farm.mailbox.given_up, [1]);
    farm.receive(0, pool_gone("test"));
    farm.event(Event::LinkFailed(Rank(0), "broken".to_owned()));
    assert_eq!(
        (farm.status(0), &farm.mailbox.given_up[..]),
        (Status::Gone, &[1, 0][..]),
        "and a rank that is gone stays gone"
    );
}

/// Rank 0's pool has no relay that sends heartbeats: a task of an hour does not count as silence.
#[test]
fn rank_0_is_never_lost_by_silence() {
    let mut farm = TestFarm::up(1, 1, 1);
    farm.wait(secs(3_600));
    assert_eq!(farm.status(0), Status::Active);
    assert_eq!(farm.handed(), []);
}

/// A farmer that was suspended, or behind a slow disk, does not mistake its own absence for the silence of others.
#[test]
fn an_absence_of_the_farmer_loses_no_rank() {
    let mut farm = TestFarm::up(3, 1, 3);
    farm.now += secs(50);
    farm.receive(1, ToFarmer::Heartbeat);
    farm.receive(2, ToFarmer::Heartbeat);
    farm.event(Event::Tick);
    assert_eq!((farm.status(1), farm.status(2)), (Status::Active, Status::Active));
    farm.sent();
    farm.wait(secs(45));
    assert_eq!((farm.status(1), farm.status(2)), (Status::Lost, Status::Lost), "but from then on silence counts");
}

/// Nor do several absences, each too short to be noticed, with one message read in between: the messages of the others
/// still wait.
#[test]
fn absences_of_the_farmer_do_not_add_up() {
    let mut farm = TestFarm::up(3, 1, 3);
    for _ in 0..4 {
        farm.now += secs(12);
        farm.receive(1, ToFarmer::Heartbeat);
    }
    assert_eq!(farm.status(2), Status::Active);
    farm.receive(2, ToFarmer::Heartbeat);
    farm.event(Event::Tick);
    assert_eq!(farm.status(2), Status::Active);
}

/// Messages to a lost rank may have been dropped: it reports what it holds before it gets more.
#[test]
fn a_rank_that_comes_back_reports_what_it_holds() {
    let mut farm = TestFarm::up(2, 2, 8);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.receive(1, ToFarmer::Heartbeat);
    let sent = farm.sent();
    let [(1, ToWorker::Rejoin { seq }), (1, ToWorker::Heartbeat)] = sent[..] else { panic!("{sent:?}") };
    farm.report(1, Report::default());
    assert_eq!(farm.handed(), [], "nothing before it has answered");
    farm.receive(1, ToFarmer::Holds { seq: seq + 1, tasks: vec![] });
    assert_eq!(farm.handed(), [], "an answer to a different question does not count");
    // It runs task 2; task 3 never reached it.
    farm.receive(1, ToFarmer::Holds { seq, tasks: vec![TaskId(2), TaskId(7), TaskId(99)] });
    assert_eq!(farm.handed(), [(1, vec![3])]);
    assert_eq!(farm.turns.core.tasks().owner(TaskId(2)), Some(Rank(1)), "what it runs is its own again");
    farm.finish(1, [2]);
    assert_eq!(farm.turns.storage.records, [(2, true)]);
    assert!(farm.notes.contains(&Note::CameBack(Rank(1))));
}

/// Tasks that others have received in the meantime stay with them.
#[test]
fn a_task_that_went_elsewhere_is_not_taken_back() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.finish(0, [0]);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    assert_eq!(farm.handed(), [(0, vec![1])]);
    farm.receive(1, ToFarmer::Heartbeat);
    farm.receive(1, ToFarmer::Holds { seq: 2, tasks: vec![TaskId(1)] });
    assert_eq!(farm.turns.core.tasks().owner(TaskId(1)), Some(Rank(0)));
}

/// A rank whose pool never started joins when it does, and not before.
#[test]
fn a_rank_that_was_lost_before_hello_joins_late() {
    let mut farm = TestFarm::new(2, 2);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!(farm.status(1), Status::Lost);
    farm.sent();
    farm.hello(1, 1);
    assert_eq!(farm.handed(), [(1, vec![0])]);
}

/// A dead pool does not come back, whatever its relay says.
#[test]
fn a_lost_pool_is_gone() {
    let mut farm = TestFarm::up(2, 1, 3);
    farm.receive(1, pool_gone("killed"));
    farm.receive(1, ToFarmer::Heartbeat);
    farm.hello(1, 4);
    assert_eq!(farm.sent(), [(1, ToWorker::Heartbeat)]);
    assert_eq!(farm.status(1), Status::Gone);
    assert!(farm.notes.contains(&Note::Lost { rank: Rank(1), reason: "killed".to_owned(), tasks: 1 }));
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), [(0, vec![1])]);
}

/// A lost rank whose pool turns out to be dead is gone, and cannot be welcomed.
#[test]
fn a_lost_rank_may_turn_out_to_be_gone() {
    let mut farm = TestFarm::up(2, 1, 3);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.receive(1, pool_gone("killed"));
    assert_eq!(farm.status(1), Status::Gone);
    assert!(!farm.notes.contains(&Note::CameBack(Rank(1))));
}

/// Two versions in one farm are refused, and the tasks go elsewhere.
#[test]
fn another_version_is_refused() {
    let mut farm = TestFarm::new(2, 2);
    let (host, capacity) = ("x".to_owned(), Capacity::default());
    let protocol = PROTOCOL_VERSION + 1;
    farm.receive(1, ToFarmer::Hello { protocol, host, slots: 4, capacity, shortage: None });
    assert_eq!(farm.status(1), Status::Gone);
    farm.hello(0, 2);
    assert_eq!(farm.handed(), [(0, vec![0, 1])]);
}

/// A pool that ends without being told to has lost its tasks, and others get them immediately.
#[test]
fn a_pool_that_stops_by_itself_is_gone() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.finish(0, [0]);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.status(1), Status::Gone);
    assert_eq!(farm.handed(), [(0, vec![1])]);
}

/// Promise 3's limit: with no rank left to run tasks, the farm has failed, and says so.
#[test]
fn a_farm_without_workers_fails() {
    let mut farm = TestFarm::with(2, 2, |settings| settings.farmer_only = true);
    farm.hello(0, 0);
    assert_eq!(farm.code(), None, "rank 1 may still join");
    farm.receive(1, ToFarmer::Unfit { reason: "no folder".to_owned() });
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(4));
    assert_eq!(farm.sent(), [], "rank 1 has nothing to stop");
}

/// A farm that gave up, but gets the last results from a rank that comes back, has not failed: found by the simulator.
#[test]
fn a_farm_that_gave_up_too_early_has_not_failed() {
    let mut farm = TestFarm::with(2, 1, |settings| settings.farmer_only = true);
    farm.hello(0, 0);
    farm.hello(1, 1);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.finish(1, [0]);
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(0));
}

/// … but a disk that fails meanwhile is reported.
#[test]
fn a_failing_disk_is_worse_than_no_workers() {
    let mut farm = TestFarm::with(2, 1, |settings| settings.farmer_only = true);
    farm.hello(0, 0);
    farm.hello(1, 1);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.finish(1, [0]);
    farm.event(Event::StorageFailed { unwritten: vec![], reason: "sync".to_owned() });
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!(farm.turns.core.end().unwrap().cause, StopCause::FarmFailed("sync".to_owned()));
}

/// A rank 0 that runs no tasks does not count as a worker, even before it says Hello.
#[test]
fn a_farmer_only_rank_0_does_not_keep_a_farm_alive() {
    let mut farm = TestFarm::with(2, 2, |settings| settings.farmer_only = true);
    farm.receive(1, ToFarmer::Unfit { reason: "no folder".to_owned() });
    assert_eq!(farm.level(0), Some(StopLevel::Kill));
}

/// Messages from nonexistent ranks change nothing.
#[test]
fn unknown_ranks_are_odd() {
    let mut farm = TestFarm::new(1, 1);
    farm.hello(5, 1);
    farm.event(Event::LinkFailed(Rank(5), "x".to_owned()));
    assert_eq!(farm.notes, [Note::Odd(Rank(5), "no such rank"), Note::Odd(Rank(5), "no such rank")]);
}

/// Found by the simulator: a rank that was lost briefly still runs a task that went to a different rank, which is lost
/// now. It is not handed a second copy of what it runs.
#[test]
fn a_running_task_is_not_handed_to_its_rank_again() {
    let mut farm = TestFarm::up(2, 3, 5);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.finish(0, [0, 1, 2]);
    assert_eq!(farm.handed(), [(0, vec![3])], "a task of rank 1, and the other one after it");
    farm.receive(1, ToFarmer::Heartbeat);
    let sent = farm.sent();
    let (1, ToWorker::Rejoin { seq }) = sent[0] else { panic!("{sent:?}") };
    farm.receive(1, ToFarmer::Holds { seq, tasks: vec![TaskId(3)] });
    assert_eq!(farm.handed(), [(1, vec![4])]);
    farm.receive(0, pool_gone("test"));
    assert_eq!(farm.handed(), []);
    assert_eq!(farm.turns.core.tasks().owner(TaskId(3)), Some(Rank(1)));
    assert_eq!(farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks(), [TaskId(3), TaskId(4)]);
}

/// A rank that had joined comes back with any message, whatever it had reported about itself; one that had never joined
/// needs a Hello.
#[test]
fn a_known_rank_comes_back_with_any_message() {
    let mut farm = TestFarm::new(4, 1);
    let hello = |host: &str, slots| ToFarmer::plain_hello(host.to_owned(), slots);
    farm.receive(1, hello("node1", 0));
    farm.receive(2, hello("", 2));
    for rank in 1..4 {
        farm.event(Event::LinkFailed(Rank(rank), "broken".to_owned()));
        farm.receive(rank, ToFarmer::Heartbeat);
    }
    assert_eq!([1, 2, 3].map(|rank| farm.status(rank)), [Status::Active, Status::Active, Status::Lost]);
}

/// A rank that has no room for even one task, as it says in its Hello.
fn small(host: &str) -> ToFarmer {
    let (protocol, shortage) = (PROTOCOL_VERSION, Some("it is small".to_owned()));
    ToFarmer::Hello { protocol, host: host.to_owned(), slots: 0, capacity: Capacity::default(), shortage }
}

/// Ranks without room for a task take none. If that is true of all ranks, the farm ends, and says so; if a rank with room
/// was lost, that is a failure of the farm.
#[test]
fn ranks_without_room_take_no_tasks() {
    let mut farm = TestFarm::new(2, 2);
    farm.receive(0, small("a"));
    farm.hello(1, 1);
    assert_eq!(farm.handed(), [(1, vec![0])]);
    farm.finish(1, [0]);
    farm.finish(1, [1]);
    assert_eq!(farm.level(0), Some(StopLevel::Drain), "all tasks are done");

    for (is_lost, code) in [(false, 2), (true, 4)] {
        let mut farm = TestFarm::new(2, 1);
        farm.receive(0, small("a"));
        assert_eq!((farm.code(), farm.handed()), (None, vec![]), "the other rank may have room");
        match is_lost {
            true => farm.event(Event::LinkFailed(Rank(1), "broken".to_owned())),
            false => {
                farm.receive(1, small("b"));
                farm.receive(1, ToFarmer::Stopped);
            }
        }
        farm.receive(0, ToFarmer::Stopped);
        assert_eq!(farm.code(), Some(code));
        let cause = farm.turns.core.end().unwrap().cause;
        let is_told = cause.to_string().starts_with("no rank has room for a task: on rank 0 (a), it is small");
        assert_eq!(is_told, !is_lost, "{cause}");
    }
}
