//! Tasks that take down their pool, and what happens to those beside them.

use super::*;

/// The pool of a rank died while these tasks were executing.
fn pool_lost(tasks: &[u32]) -> ToFarmer {
    let executing = |&id| Executing { id: TaskId(id), slot: 1, start_us: 20, duration_us: 30 };
    ToFarmer::PoolLost {
        reason: "test".to_owned(),
        executing: tasks.iter().map(executing).collect(),
        can_restart: true,
    }
}

fn limited(ranks: u32, slots: u32, tasks: u32, limit: u16) -> TestFarm {
    let mut farm = TestFarm::with(ranks, tasks, |settings| settings.rules.crash_limit = limit);
    (0..ranks).for_each(|rank| farm.hello(rank, slots));
    farm
}

impl TestFarm {
    fn crashes(&self, id: u32) -> u16 {
        self.turns.core.tasks().crashes(TaskId(id))
    }

    /// Its pool dies while it executes these, and the next one starts.
    fn die(&mut self, rank: u32, slots: u32, tasks: &[u32]) {
        self.receive(rank, pool_lost(tasks));
        assert_eq!(self.mailbox.started.pop(), Some(rank), "it gets a new pool");
        self.hello(rank, slots);
    }
}

/// Alone with its pool, a task fails when it has reached the limit of crashes, and the rank continues.
#[test]
fn a_task_that_crashes_repeatedly_fails() {
    let mut farm = limited(1, 1, 2, 3);
    for crashes in 1..=3 {
        farm.sent();
        assert_eq!(farm.turns.storage.records, []);
        farm.die(0, 1, &[0]);
        if crashes == 1 {
            assert_eq!(farm.handed(), [(0, vec![1])], "it goes last");
            farm.finish(0, [1]);
            farm.turns.storage.records.clear();
        }
    }
    assert_eq!(farm.turns.storage.records, [(0, false)]);
    let causes: Vec<_> =
        farm.turns.storage.attempts.iter().map(|&(id, attempt, _, cause)| (id, attempt, cause)).collect();
    let crashed = |attempt| (0, attempt, Cause::Crashed);
    assert_eq!(causes, [crashed(1), (1, 1, Cause::Finished), crashed(2), crashed(3)]);
    assert!(farm.notes.contains(&Note::Crashed { id: TaskId(0), rank: Rank(0), crashes: 3 }));
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
}

/// Tasks that waited in the pool's queue are not blamed.
#[test]
fn a_queue_is_not_blamed() {
    let mut farm = TestFarm::up(1, 3, 3);
    farm.die(0, 3, &[1]);
    assert_eq!([0, 1, 2].map(|id| farm.crashes(id)), [0, 1, 0]);
    assert_eq!(farm.handed(), [(0, vec![0, 2])], "they go first");
    let causes: Vec<_> = farm.turns.storage.attempts.iter().map(|&(id, _, _, cause)| (id, cause)).collect();
    assert_eq!(causes, [(1, Cause::Crashed), (0, Cause::Lost), (2, Cause::Lost)]);
}

/// Suspects of one crash run in small groups, with nothing beside them; suspects of two run alone.
#[test]
fn suspects_run_apart() {
    let mut farm = TestFarm::up(1, 9, 10);
    farm.die(0, 9, &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(farm.handed(), [(0, vec![9])], "tasks that are not suspects go first");
    farm.finish(0, [9]);
    assert_eq!(farm.handed(), [(0, vec![0, 1, 2])]);
    farm.finish(0, [1]);
    assert_eq!((farm.handed(), farm.crashes(1)), (vec![(0, vec![3])], 0));
    farm.die(0, 9, &[0, 2, 3]);
    assert_eq!(farm.handed(), [(0, vec![4, 5, 6])]);
    farm.finish(0, [4, 5, 6]);
    assert_eq!(farm.handed(), [(0, vec![7, 8])]);
    farm.finish(0, [7]);
    assert_eq!(farm.handed(), [], "a task that must be alone waits");
    farm.finish(0, [8]);
    for id in [0, 2, 3] {
        assert_eq!(farm.handed(), [(0, vec![id])]);
        farm.finish(0, [id]);
    }
    assert_eq!(farm.turns.storage.records.len(), 10);
}

/// However low the limit, a task that was not alone is not recorded for what a different one did.
#[test]
fn no_task_fails_for_another() {
    let mut farm = limited(1, 4, 4, 1);
    farm.sent();
    farm.die(0, 4, &[0, 1, 2, 3]);
    assert_eq!((farm.turns.storage.records.len(), farm.handed()), (0, vec![(0, vec![0])]));
    farm.die(0, 4, &[0]);
    assert_eq!(farm.turns.storage.records, [(0, false)]);
    assert_eq!(farm.handed(), [(0, vec![1])]);
}

/// A suspect that ends by itself, in whatever way, is no longer a suspect.
#[test]
fn an_end_clears_a_suspect() {
    let mut farm = TestFarm::with(1, 1, |settings| settings.rules.retries = 1);
    farm.hello(0, 1);
    farm.die(0, 1, &[0]);
    farm.die(0, 1, &[0]);
    assert_eq!(farm.crashes(0), 2);
    farm.report(0, Report { results: vec![result(0, Outcome::Exited(1))], ..Report::default() });
    assert_eq!(farm.crashes(0), 0);
    farm.wait(secs(3));
    farm.die(0, 1, &[0]);
    assert_eq!((farm.crashes(0), farm.turns.storage.records.len()), (1, 0), "it begins anew");
}

/// Stops, and ranks that leave normally, are not crashes.
#[test]
fn a_stop_is_not_a_crash() {
    let mut farm = TestFarm::up(2, 1, 2);
    farm.event(Event::Signal(15));
    farm.receive(0, pool_lost(&[0]));
    farm.receive(1, ToFarmer::Stopped);
    assert_eq!([0, 1].map(|id| farm.crashes(id)), [0, 0]);
    assert_eq!((farm.status(0), farm.code()), (Status::Gone, Some(3)));
}

/// It is unknown what a silent rank was executing: at most the tasks that it was given first. If it responds again, it
/// was not down.
#[test]
fn a_silent_rank_was_executing_its_first_tasks() {
    let mut farm = TestFarm::up(2, 2, 8);
    let assigned = |farm: &TestFarm| farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks().to_vec();
    farm.now += secs(1);
    let results = vec![result(assigned(&farm)[0].0, Outcome::Exited(0))];
    farm.report(1, Report { results, ack: 1, ..Report::default() });
    let held = assigned(&farm);
    assert!(held.len() > 2, "some wait there");
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    let charged: Vec<TaskId> = (0..8).map(TaskId).filter(|id| farm.crashes(id.0) > 0).collect();
    assert_eq!(charged, held[..2]);
    farm.receive(1, ToFarmer::Heartbeat);
    let seq = farm.sent().into_iter().find_map(|(_, message)| match message {
        ToWorker::Rejoin { seq } => Some(seq),
        _ => None,
    });
    farm.receive(1, ToFarmer::Holds { seq: seq.unwrap(), tasks: held });
    assert!((0..8).all(|id| farm.crashes(id) == 0));
}

/// A pool that dies repeatedly, without a task that could be the cause, is given up; one that has ended tasks in
/// between is not.
#[test]
fn a_pool_that_dies_for_nothing_is_given_up() {
    let mut farm = TestFarm::up(2, 1, 9);
    for _ in 0..5 {
        farm.die(1, 1, &[]);
        let held = farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks().to_vec();
        farm.finish(1, held.into_iter().map(|id| id.0));
    }
    for _ in 0..3 {
        farm.die(1, 1, &[]);
    }
    farm.receive(1, pool_lost(&[]));
    assert_eq!(
        (farm.status(1), farm.mailbox.started.pop(), &farm.mailbox.given_up[..]),
        (Status::Gone, None, &[1][..])
    );
}

/// A task of an earlier run that had already reached the limit of crashes runs once more before it fails.
#[test]
fn a_limit_reached_in_an_earlier_run_is_not_a_verdict() {
    let mut table = TaskTable::new(2);
    table.set_crashes(TaskId(0), 7);
    let mut farm = TestFarm::new(1, 2);
    let settings = farm.turns.core.settings.clone();
    farm.turns.core = Farmer::new(Duration::ZERO, settings, table);
    farm.hello(0, 2);
    assert_eq!(farm.handed(), [(0, vec![1])]);
    farm.finish(0, [1]);
    assert_eq!(farm.handed(), [(0, vec![0])]);
    farm.die(0, 2, &[0]);
    assert_eq!(farm.turns.storage.records, [(1, true), (0, false)]);
}

/// The Start of a new pool may be dropped with a link that was given up. When the rank responds, it is sent again; a
/// question to a pool that does not exist would never be answered.
#[test]
fn a_start_that_was_dropped_is_sent_again() {
    let mut farm = TestFarm::up(2, 1, 4);
    farm.receive(1, pool_lost(&[1]));
    assert_eq!(farm.mailbox.started, [1]);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    assert_eq!(farm.status(1), Status::Lost);
    farm.sent();
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!((farm.status(1), &farm.mailbox.started[..]), (Status::Expected, &[1, 1][..]));
    assert_eq!(farm.sent(), [(1, ToWorker::Heartbeat)]);
    farm.hello(1, 1);
    assert_eq!(farm.handed().len(), 1, "it takes part");
}

/// A suspect of an earlier run that a rank still runs when it responds again is its own: no other rank gets it.
#[test]
fn a_suspect_goes_back_to_the_rank_that_runs_it() {
    let mut farm = TestFarm::new(2, 2);
    farm.turns.core.tasks.set_crashes(TaskId(1), 1);
    farm.hello(0, 1);
    farm.hello(1, 1);
    assert_eq!(farm.handed(), [(0, vec![0]), (1, vec![1])]);
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.receive(1, ToFarmer::Heartbeat);
    let [(1, ToWorker::Rejoin { seq }), ..] = farm.sent()[..] else { panic!("it is asked") };
    farm.receive(1, ToFarmer::Holds { seq, tasks: vec![TaskId(1)] });
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), []);
}
