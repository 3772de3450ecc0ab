//! The worker core, event by event: through the pool's real turn, with simulated processes.

mod any_message;
mod leftovers;
mod limits;
mod output;

use super::report::REPORT_RESULTS_MAX;
use super::*;
use crate::demand::classes::Class;
use crate::pool::turn::{Processes, SpawnError, Turns};
use crate::protocol::codec;

/// What the pool was asked to do with processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operation {
    Spawn(u32, u32),
    Terminate(u32),
    Kill(u32),
}

#[derive(Default)]
struct Paper {
    operations: Vec<Operation>,
    refusing: bool,
    impossible: bool,
}

impl Processes for Paper {
    fn spawn(&mut self, _: Duration, slot: u32, task: &Assignment, _: &[u32]) -> Result<(), SpawnError> {
        self.operations.push(Operation::Spawn(slot, task.id.0));
        match (self.refusing, self.impossible) {
            (true, _) => Err(SpawnError::Refused("no memory".to_owned())),
            (_, true) => Err(SpawnError::Impossible(Outcome::NotStarted("no log".to_owned()), Usage::default())),
            _ => Ok(()),
        }
    }

    fn terminate(&mut self, slot: u32) {
        self.operations.push(Operation::Terminate(slot));
    }

    fn kill(&mut self, slot: u32) {
        self.operations.push(Operation::Kill(slot));
    }
}

struct TestPool {
    now: Duration,
    turns: Turns<Paper>,
    sent: Vec<ToFarmer>,
    seq: u32,
}

const GRACE: Duration = Duration::from_secs(5);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl TestPool {
    fn new(slots: u32) -> Self {
        let turns = Turns::new(Worker::new(slots, GRACE), Paper::default());
        Self { now: ms(1_000), turns, sent: Vec::new(), seq: 0 }
    }

    /// One round of the pool's loop: the event, the clock, and then the messages that are due.
    fn event(&mut self, event: Event) {
        self.turns.turn(self.now, event, &mut self.sent);
        self.turns.turn(self.now, Event::Tick, &mut self.sent);
        self.turns.flush(self.now, &mut self.sent);
        let next = self.turns.core.next_deadline();
        assert!(next.is_none_or(|next| next > self.now), "the loop would spin");
    }

    fn receive(&mut self, message: ToWorker) {
        self.event(Event::Message(codec::decode(&codec::encode(&message).unwrap()).unwrap()));
    }

    fn assign(&mut self, ids: impl IntoIterator<Item = u32>) {
        self.seq += 1;
        let task =
            |id| Assignment { id: TaskId(id), attempt: Attempt(1), class: Class::default(), command: Vec::new() };
        self.receive(ToWorker::Assign { seq: self.seq, tasks: ids.into_iter().map(task).collect() });
    }

    fn stop(&mut self, level: StopLevel) {
        self.receive(ToWorker::Stop { level });
    }

    fn end(&mut self, slot: u32, outcome: Outcome) {
        self.event(Event::Ended { slot, outcome, usage: Usage { duration_us: 7, ..Usage::default() } });
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.turns.core.next_deadline().filter(|&at| at <= until) {
            self.now = at;
            self.event(Event::Tick);
        }
        self.now = until;
    }

    fn operations(&mut self) -> Vec<Operation> {
        std::mem::take(&mut self.turns.processes.operations)
    }

    /// The only message since the last call, which is a Report: IDs of results, of interrupted and of returned tasks,
    /// and pending verdicts.
    fn report(&mut self) -> (Vec<u32>, Vec<u32>, u32) {
        let sent = std::mem::take(&mut self.sent);
        let [ToFarmer::Report { results, interrupted, returned, undecided, .. }] = &sent[..] else {
            panic!("{sent:?}")
        };
        let again = interrupted.iter().map(|result| result.id.0).chain(returned.iter().map(|id| id.0));
        (results.iter().map(|r| r.id.0).collect(), again.collect(), *undecided)
    }

    fn quiet(&mut self) {
        assert_eq!(self.sent, []);
        assert_eq!(self.operations(), []);
    }
}

const OK: Outcome = Outcome::Exited(0);

/// Slots are filled in the order of the list, the lowest slot first, and the rest waits.
#[test]
fn tasks_start_in_order() {
    let mut pool = TestPool::new(2);
    pool.assign([4, 2, 9]);
    assert_eq!(pool.operations(), [Operation::Spawn(0, 4), Operation::Spawn(1, 2)]);
    assert_eq!((pool.turns.core.running(), pool.turns.core.queued()), (2, 1));
    pool.end(1, OK);
    assert_eq!(pool.operations(), [Operation::Spawn(1, 9)]);
    assert_eq!(pool.turns.core.queued(), 0);
    assert_eq!(pool.report(), (vec![2], vec![], 0));
}

/// A result carries the measurements, and states which Assign arrived last and how long ago.
#[test]
fn a_report_carries_measurements() {
    let mut pool = TestPool::new(1);
    pool.assign([3]);
    pool.now += ms(25);
    pool.end(0, Outcome::Exited(4));
    let [ToFarmer::Report { results, ack: 1, ack_age_us: 25_000, recall_answered: false, pause_ms: 0, .. }] =
        &pool.sent[..]
    else {
        panic!("{:?}", pool.sent)
    };
    assert_eq!((results[0].id, results[0].attempt, results[0].slot), (TaskId(3), Attempt(1), 0));
    assert_eq!((results[0].duration_us, &results[0].outcome), (7, &Outcome::Exited(4)));
}

/// Results are held while there is work, but not for long, and not when less than half of the queue is left.
#[test]
fn results_go_in_batches() {
    let mut pool = TestPool::new(1);
    pool.assign(0..9);
    for _ in 0..4 {
        pool.end(0, OK);
    }
    assert_eq!(pool.sent, []);
    pool.wait(REPORT_DELAY);
    assert_eq!(pool.report(), (vec![0, 1, 2, 3], vec![], 0));
    pool.end(0, OK);
    assert_eq!(pool.report(), (vec![4], vec![], 0), "fewer than half of the queue are left");
}

/// A full batch is not held.
#[test]
fn a_full_batch_is_sent_immediately() {
    let mut pool = TestPool::new(1);
    pool.assign(0..1_000);
    for _ in 1..REPORT_RESULTS_MAX {
        pool.end(0, OK);
    }
    assert_eq!(pool.sent, []);
    pool.end(0, OK);
    assert_eq!(pool.report().0.len(), REPORT_RESULTS_MAX);
}

/// A Recall takes from the end of the queue, never a running task, and is answered even if nothing is returned.
#[test]
fn a_recall_gives_back_queued_tasks() {
    let mut pool = TestPool::new(1);
    pool.assign([0, 1, 2]);
    pool.receive(ToWorker::Recall { count: 1 });
    assert_eq!(pool.report(), (vec![], vec![2], 0));
    pool.receive(ToWorker::Recall { count: 9 });
    assert_eq!(pool.report(), (vec![], vec![1], 0));
    pool.receive(ToWorker::Recall { count: 9 });
    let [ToFarmer::Report { recall_answered: true, returned, .. }] = &pool.sent[..] else { panic!("no answer") };
    assert_eq!(returned[..], []);
}

/// Drain: waiting tasks go back, running ones end by themselves and count.
#[test]
fn a_drain_lets_running_tasks_end() {
    let mut pool = TestPool::new(1);
    pool.assign([0, 1]);
    pool.operations();
    pool.stop(StopLevel::Drain);
    assert_eq!(pool.report(), (vec![], vec![1], 0));
    pool.wait(ms(60_000));
    pool.quiet();
    pool.end(0, OK);
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Stopped));
    assert_eq!(pool.report(), (vec![0], vec![], 0));
    assert!(pool.turns.core.is_stopped());
}

/// The kill ladder: SIGTERM, the grace period, SIGKILL; a task that the worker ended gives no result, whatever its exit
/// code.
#[test]
fn a_stop_terminates_and_then_kills() {
    let mut pool = TestPool::new(2);
    pool.assign([0, 1]);
    pool.operations();
    pool.stop(StopLevel::Terminate);
    assert_eq!(pool.operations(), [Operation::Terminate(0), Operation::Terminate(1)]);
    pool.end(0, OK);
    assert_eq!(pool.report(), (vec![], vec![0], 0));
    pool.wait(GRACE - ms(1));
    pool.quiet();
    pool.wait(ms(1));
    assert_eq!(pool.operations(), [Operation::Kill(1)]);
    pool.wait(ms(60_000));
    pool.quiet();
    pool.end(1, Outcome::Signaled(9));
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Stopped));
    assert_eq!(pool.report(), (vec![], vec![1], 0));
}

/// A task that a stop ends is reported with all measurements, whatever its exit code.
#[test]
fn an_interrupted_attempt_is_reported_in_full() {
    let mut pool = TestPool::new(2);
    pool.assign([0, 1]);
    pool.end(1, Outcome::Signaled(15));
    pool.sent.clear();
    pool.stop(StopLevel::Terminate);
    pool.end(0, OK);
    let reported = pool.sent.iter().filter_map(|message| match message {
        ToFarmer::Report { results, interrupted, returned, .. } => {
            assert!(results.is_empty() && returned.is_empty(), "{message:?}");
            Some(interrupted.clone())
        }
        _ => None,
    });
    let reported = reported.flatten().map(|result| (result.id.0, result.duration_us, result.outcome));
    assert_eq!(reported.collect::<Vec<_>>(), [(1, 7, Outcome::Signaled(15)), (0, 7, OK)]);
}

/// Levels only go up, and a second kill changes nothing.
#[test]
fn a_stop_never_steps_back() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.operations();
    pool.stop(StopLevel::Kill);
    assert_eq!(pool.operations(), [Operation::Kill(0)]);
    pool.stop(StopLevel::Terminate);
    pool.stop(StopLevel::Kill);
    pool.wait(ms(60_000));
    pool.quiet();
}

/// A kill during the grace period does not wait for its end, and does not kill twice.
#[test]
fn a_kill_overtakes_the_grace_period() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.stop(StopLevel::Terminate);
    pool.operations();
    assert!(!pool.turns.core.is_killed(), "tasks may still end");
    pool.stop(StopLevel::Kill);
    assert!(pool.turns.core.is_killed(), "the pool waits for nothing");
    assert_eq!(pool.operations(), [Operation::Kill(0)]);
    pool.wait(ms(60_000));
    pool.quiet();
}

/// An idle pool stops immediately, and reports it once.
#[test]
fn an_idle_pool_stops_immediately() {
    let mut pool = TestPool::new(1);
    pool.stop(StopLevel::Drain);
    assert_eq!(pool.sent, [ToFarmer::Stopped]);
    pool.stop(StopLevel::Kill);
    assert_eq!(pool.sent, [ToFarmer::Stopped]);
}

/// Tasks that arrive after a stop are given back.
#[test]
fn tasks_that_cross_a_stop_go_back() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.operations();
    pool.stop(StopLevel::Drain);
    pool.assign([1]);
    assert_eq!(pool.report(), (vec![], vec![1], 0));
    assert_eq!(pool.operations(), []);
    // Found by any_message: having nothing to give back must not make it check the clock repeatedly.
    pool.assign([]);
    pool.quiet();
}

/// A batch system signals tasks and ranks alike: the result of such a death is held, and its slot is free in the
/// meantime.
#[test]
fn a_death_that_may_be_an_interruption_is_held() {
    for outcome in [2, 9, 10, 15].map(Outcome::Signaled).into_iter().chain([130, 137, 138, 143].map(Outcome::Exited)) {
        let mut pool = TestPool::new(1);
        pool.assign([0]);
        pool.end(0, outcome.clone());
        assert_eq!(pool.report(), (vec![], vec![], 1), "{outcome:?}");
        assert_eq!(pool.turns.core.running(), 0);
        pool.wait(HOLD - ms(1));
        assert_eq!(pool.sent, []);
        pool.wait(ms(1));
        assert_eq!(pool.report(), (vec![0], vec![], 0), "no stop has followed: it is a failure");
    }
    for outcome in [OK, Outcome::Exited(1), Outcome::Exited(2), Outcome::Exited(139), Outcome::Signaled(11)] {
        let mut pool = TestPool::new(1);
        pool.assign([0]);
        pool.end(0, outcome);
        assert_eq!(pool.report(), (vec![0], vec![], 0));
    }
}

/// … and if a stop follows, it was an interruption; after a drain it is a failure like any other.
#[test]
fn a_held_death_goes_back_when_a_stop_follows() {
    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.end(0, Outcome::Signaled(15));
    pool.sent.clear();
    pool.stop(StopLevel::Terminate);
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Stopped));
    assert_eq!(pool.report(), (vec![], vec![0], 0));

    let mut pool = TestPool::new(1);
    pool.assign([0]);
    pool.end(0, Outcome::Signaled(15));
    pool.sent.clear();
    pool.stop(StopLevel::Drain);
    assert_eq!(pool.sent, [], "it waits for the verdict");
    pool.wait(HOLD);
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Stopped));
    assert_eq!(pool.report(), (vec![0], vec![], 0));
}

/// Promise 3: a refused spawn is tried again after a pause that doubles, and then the tasks go elsewhere.
#[test]
fn refused_tasks_are_tried_again_and_then_go_elsewhere() {
    let mut pool = TestPool::new(2);
    pool.turns.processes.refusing = true;
    pool.assign([0, 1, 2]);
    assert_eq!(pool.operations().len(), 2, "both slots count as one try");
    for pause in [50, 100, 200, 400, 800] {
        pool.wait(ms(pause - 1));
        pool.quiet();
        pool.wait(ms(1));
        assert!(!pool.operations().is_empty(), "after {pause} ms");
    }
    let sent = std::mem::take(&mut pool.sent);
    let [ToFarmer::Report { returned, pause_ms: 5_000, .. }] = &sent[..] else { panic!("{sent:?}") };
    let mut ids: Vec<u32> = returned.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
    pool.wait(ms(60_000));
    pool.quiet();
}

/// A node that recovers continues where it was.
#[test]
fn a_node_that_recovers_continues() {
    let mut pool = TestPool::new(1);
    pool.turns.processes.refusing = true;
    pool.assign([0, 1]);
    pool.turns.processes.refusing = false;
    pool.operations();
    pool.wait(ms(50));
    assert_eq!(pool.operations(), [Operation::Spawn(0, 0)]);
    pool.end(0, OK);
    assert_eq!(pool.operations(), [Operation::Spawn(0, 1)]);
    assert_eq!(pool.report(), (vec![0], vec![], 0));
}

/// A task that could not be started before a stop goes back with the queue.
#[test]
fn a_stop_returns_refused_tasks() {
    let mut pool = TestPool::new(1);
    pool.turns.processes.refusing = true;
    pool.assign([0]);
    pool.stop(StopLevel::Terminate);
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Stopped));
    assert_eq!(pool.report(), (vec![], vec![0], 0));
}

/// A task that cannot run anywhere has failed, and its slot goes to the next.
#[test]
fn an_impossible_task_has_failed() {
    let mut pool = TestPool::new(1);
    pool.turns.processes.impossible = true;
    pool.assign([0, 1]);
    assert_eq!(pool.operations(), [Operation::Spawn(0, 0), Operation::Spawn(0, 1)]);
    assert_eq!(pool.report(), (vec![0, 1], vec![], 0));
}

/// A rank that was given up drops waiting tasks, reports ended ones, and lists those that run or are undecided.
#[test]
fn a_rejoin_is_answered_with_held_tasks() {
    let mut pool = TestPool::new(2);
    pool.assign([0, 1, 2, 3, 4, 5, 6, 7]);
    pool.end(0, Outcome::Signaled(9));
    pool.end(1, OK);
    pool.operations();
    assert_eq!(pool.sent, []);
    pool.receive(ToWorker::Rejoin { seq: 7 });
    assert_eq!(pool.sent.pop(), Some(ToFarmer::Holds { seq: 7, tasks: vec![TaskId(2), TaskId(3), TaskId(0)] }));
    let [ToFarmer::Report { ack: 7, .. }] = pool.sent[..] else { panic!("{:?}", pool.sent) };
    assert_eq!(pool.report(), (vec![1], vec![], 1));
    pool.end(0, OK);
    assert_eq!(pool.operations(), [], "the queue is forgotten");
}

/// Ends reported for empty or nonexistent slots have no effect.
#[test]
fn ends_of_nothing_are_nothing() {
    let mut pool = TestPool::new(1);
    pool.end(0, OK);
    pool.end(9, OK);
    pool.quiet();
}
