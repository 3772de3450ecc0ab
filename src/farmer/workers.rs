//! What is known of each worker: whether it is alive, what it holds, how fast it is.
//!
//! Owns the worker table. Never decides which worker gets what: see [`super::handout`].

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::book::Book;
use super::doubts::Trust;
use super::index::{Index, Keys};
use super::state::{Active, Queue, State, Status};
use crate::demand::Capacity;
use crate::demand::classes::Class;
use crate::lengths::micros;
use crate::task::{Rank, TaskId};

/// Assign messages whose round trip is being measured, per worker.
const IN_FLIGHT_MAX: usize = 16;

/// One worker, as the farmer sees it.
#[derive(Debug)]
pub struct WorkerState {
    pub(super) state: State,
    /// Host name; empty before Hello.
    pub host: String,
    /// What it offers to its tasks.
    pub capacity: Capacity,
    /// Why it has no slots, if not even one task has room there.
    pub shortage: Option<String>,
    /// The tasks that it holds. Kept when it is lost, since they fill its slots if it comes back.
    pub book: Book,
    /// The classes of tasks that have ended there since it was last filled: tasks like them fit into the same places.
    /// Empty if tasks do not differ.
    pub(super) recent: Vec<Class>,
    /// The usual length of its tasks; 0 before the first result.
    pub task_us: u64,
    /// From sending an Assign to receiving its acknowledgement; 0 before the first.
    pub round_trip_us: u64,
    /// When it was last heard from.
    pub heard: Duration,
    /// What its results reveal about its node.
    pub(super) trust: Trust,
    /// It holds suspects: until it holds none, it gets at most this many tasks, and nothing else runs beside them.
    pub quarantine: Option<u32>,
    /// Tasks that became suspects when it was given up.
    pub(super) charged: Vec<TaskId>,
    /// How many times in a row its pool died while no task was executing and none had ended.
    pub(super) idle_deaths: u32,
    seq: u32,
    in_flight: VecDeque<(u32, Duration)>,
}

/// No length or round trip counts as longer than this many microseconds: twelve days.
const SAMPLE_MAX: u64 = 1 << 40;

/// Moves an average an eighth of the way: steady, but close to a new value within about ten reports.
pub(super) fn blend(average: u64, sample: u64) -> u64 {
    let sample = sample.min(SAMPLE_MAX);
    if average == 0 { sample.max(1) } else { (average * 7 + sample) / 8 }.max(1)
}

impl WorkerState {
    fn new(now: Duration) -> Self {
        Self {
            state: State::Expected { again: false },
            host: String::new(),
            capacity: Capacity::default(),
            shortage: None,
            book: Book::default(),
            recent: Vec::new(),
            task_us: 0,
            round_trip_us: 0,
            heard: now,
            trust: Trust::default(),
            quarantine: None,
            charged: Vec::new(),
            idle_deaths: 0,
            seq: 0,
            in_flight: VecDeque::new(),
        }
    }

    /// Whether it takes part.
    pub fn status(&self) -> Status {
        self.state.status()
    }

    /// Whether tasks may be handed to it, if it has room.
    pub fn takes_tasks(&self) -> bool {
        let is_ready = |active: &Active| active.paused_until.is_none() && active.rejoining.is_none();
        self.state.active().is_some_and(is_ready) && self.book.slots() > 0
    }

    /// Whether it runs tasks at all.
    pub(super) fn is_able(&self) -> bool {
        self.status() == Status::Active && self.book.slots() > 0
    }

    /// Whether it holds tasks.
    pub(super) fn is_busy(&self) -> bool {
        self.status() == Status::Active && self.book.held() > 0
    }

    pub(super) fn is_aside(&self) -> bool {
        self.is_able() && self.trust.is_aside()
    }

    /// How many tasks it can be asked to give back, if any.
    pub(super) fn recallable(&self) -> Option<u32> {
        let can_be_asked = |active: &&Active| active.rejoining.is_none() && active.queue == Queue::Known;
        self.state.active().filter(can_be_asked).map(|_| self.book.queued()).filter(|&queued| queued > 0)
    }

    /// What the index knows of it.
    fn keys(&self) -> Keys {
        let status = self.status();
        Keys {
            is_idle: self.takes_tasks() && self.book.free() > 0 && self.quarantine.is_none(),
            queued: self.recallable(),
            paused_until: self.state.active().and_then(|active| active.paused_until),
            is_expected: status == Status::Expected,
            is_open: status.is_open(),
            is_able: self.is_able(),
            is_aside: self.is_aside(),
        }
    }

    /// Its pool died, and it gets a new one, which knows nothing of earlier messages.
    pub(super) fn restart(&mut self, now: Duration) {
        self.state = State::Expected { again: true };
        self.book.clear();
        self.charged.clear();
        self.in_flight.clear();
        self.heard = now;
    }

    /// Until when it takes no tasks; no effect if it does not take part.
    pub(super) fn pause(&mut self, until: Option<Duration>) {
        if let Some(active) = self.state.active_mut() {
            active.paused_until = until;
        }
    }

    /// The same, unless it is paused for longer.
    pub(super) fn pause_at_least(&mut self, until: Option<Duration>) {
        let before = self.state.active().and_then(|active| active.paused_until);
        self.pause(until.max(before));
    }

    /// Starts the question that a worker must answer when it comes back; returns its number.
    pub(super) fn ask_to_rejoin(&mut self, now: Duration) -> u32 {
        let seq = self.next_seq(now);
        self.state = State::Active(Active { rejoining: Some(seq), ..Active::default() });
        seq
    }

    /// Takes the answer: all other tasks that were handed to it did not reach it, or were dropped there. Returns
    /// `false`, without effect, if it does not answer the last question.
    pub(super) fn on_rejoined(&mut self, seq: u32, held: &BTreeSet<TaskId>) -> bool {
        let Some(active) = self.state.active_mut().filter(|active| active.rejoining == Some(seq)) else { return false };
        active.rejoining = None;
        self.book.keep(|id| held.contains(&id));
        true
    }

    /// Notes that these tasks are handed to it.
    pub(super) fn hand(&mut self, now: Duration, tasks: impl Iterator<Item = (TaskId, Class)>) {
        self.book.add(tasks);
        self.trust.handed(now);
        if let Some(active) = self.state.active_mut() {
            active.queue.hand();
        }
    }

    /// Notes that it is asked for tasks of its queue.
    pub(super) fn ask_back(&mut self) {
        if let Some(active) = self.state.active_mut() {
            active.queue.ask();
        }
    }

    /// Notes its answer to that.
    pub(super) fn answered_recall(&mut self, with_tasks: bool) {
        if let Some(active) = self.state.active_mut() {
            active.queue.answer(with_tasks);
        }
    }

    /// Returns the number of an Assign that is sent now.
    pub fn next_seq(&mut self, now: Duration) -> u32 {
        self.seq = self.seq.wrapping_add(1);
        if self.in_flight.len() < IN_FLIGHT_MAX {
            self.in_flight.push_back((self.seq, now));
        }
        self.seq
    }

    /// Updates the round trip from a Report that was made `age` after Assign `seq` arrived.
    pub fn acknowledge(&mut self, now: Duration, seq: u32, age: Duration) {
        while let Some(&(sent_seq, sent)) = self.in_flight.front() {
            // Wrapping comparison: after 2^32 messages the count starts again.
            if sent_seq.wrapping_sub(seq).cast_signed() > 0 {
                break;
            }
            self.in_flight.pop_front();
            if sent_seq == seq {
                let trip = now.saturating_sub(sent).saturating_sub(age);
                self.round_trip_us = blend(self.round_trip_us, micros(trip));
            }
        }
    }

    /// Updates the length of tasks from the results of one Report.
    pub fn learn_length(&mut self, total_us: u64, count: u64) {
        if let Some(mean_us) = total_us.checked_div(count) {
            self.task_us = blend(self.task_us, mean_us);
        }
    }
}

/// All workers, by rank, and which of them have too many or too few tasks.
#[derive(Debug)]
pub struct WorkerTable {
    workers: Vec<WorkerState>,
    index: Index,
}

impl WorkerTable {
    /// `ranks` workers, none of which has been heard from yet.
    pub fn new(now: Duration, ranks: u32) -> Self {
        let workers: Vec<_> = (0..ranks).map(|_| WorkerState::new(now)).collect();
        Self { index: Index::of(workers.iter().map(WorkerState::keys)), workers }
    }

    /// How many ranks there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.workers.len()).expect("made from a u32")
    }

    /// Whether there is none; there always is one.
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// The worker of this rank; `None` if there is no such rank.
    pub fn get(&self, rank: Rank) -> Option<&WorkerState> {
        self.workers.get(rank.0 as usize)
    }

    /// Changes a worker and updates the index.
    ///
    /// # Panics
    /// If there is no such rank: ranks from outside are checked on arrival.
    pub fn update<R>(&mut self, rank: Rank, change: impl FnOnce(&mut WorkerState) -> R) -> R {
        let worker = &mut self.workers[rank.0 as usize];
        let before = worker.keys();
        let result = change(worker);
        if worker.state.active().is_none() {
            // When it comes back, it may report failures from before that success.
            worker.trust = Trust { last_success_us: worker.trust.last_success_us, ..Trust::default() };
        }
        if worker.book.held() == 0 {
            worker.quarantine = None;
        }
        self.index.change(rank, before, worker.keys());
        result
    }

    /// All workers in rank order.
    pub fn iter(&self) -> impl Iterator<Item = (Rank, &WorkerState)> {
        (0..).map(Rank).zip(&self.workers)
    }

    /// The first active worker with a free slot, starting at `after`.
    pub fn idle_from(&self, after: Rank) -> Option<Rank> {
        self.index.idle.range(after..).next().copied()
    }

    /// How many active workers have a free slot.
    pub fn idle_count(&self) -> usize {
        self.index.idle.len()
    }

    /// The active worker with the most waiting tasks and no Recall to answer, and how many wait there.
    pub fn longest_queue(&self) -> Option<(Rank, u32)> {
        self.longest_queues().next()
    }

    /// All such workers, the longest queue first.
    pub(super) fn longest_queues(&self) -> impl Iterator<Item = (Rank, u32)> + '_ {
        self.index.queued.iter().rev().map(|&(queued, rank)| (rank, queued))
    }

    /// Workers that take no task for a while, by the end of that time.
    pub fn paused(&self) -> &BTreeSet<(Duration, Rank)> {
        &self.index.paused
    }

    /// How many workers are expected or active.
    pub fn open(&self) -> u32 {
        self.index.open
    }

    /// How many workers are active and have slots.
    pub fn able(&self) -> u32 {
        self.index.able
    }

    /// How many of the able workers are set aside.
    pub fn aside(&self) -> u32 {
        self.index.aside
    }

    /// How many workers have not said Hello and were not given up.
    pub fn expected(&self) -> u32 {
        self.index.expected
    }

    /// How many workers have this status.
    pub fn count(&self, status: Status) -> u32 {
        u32::try_from(self.workers.iter().filter(|worker| worker.status() == status).count()).expect("at most len")
    }

    /// Cross-checks the index with the table. For tests and the simulator.
    ///
    /// # Panics
    /// If they differ.
    pub fn check_invariants(&self) {
        assert_eq!(self.index, Index::of(self.workers.iter().map(WorkerState::keys)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The prefetch depends on it: a Report that was held back does not look like a slow link.
    #[test]
    fn the_round_trip_leaves_out_the_time_at_the_worker() {
        let ms = Duration::from_millis;
        let mut worker = WorkerState::new(ms(0));
        let seq = worker.next_seq(ms(10));
        worker.acknowledge(ms(510), seq, ms(498));
        assert_eq!(worker.round_trip_us, 2_000);
        worker.acknowledge(ms(900), seq, ms(0));
        assert_eq!(worker.round_trip_us, 2_000, "an old acknowledgement says nothing new");
    }

    /// Averages move steadily: an eighth of the way each time.
    #[test]
    fn averages_follow() {
        let mut worker = WorkerState::new(Duration::ZERO);
        worker.learn_length(1_600, 2);
        assert_eq!(worker.task_us, 800);
        worker.learn_length(1_600, 1);
        assert_eq!(worker.task_us, 900);
        worker.learn_length(0, 0);
        assert_eq!(worker.task_us, 900, "a report without results says nothing");
    }

    /// Of many messages in flight, only the acknowledged one counts.
    #[test]
    fn later_messages_are_not_acknowledged_yet() {
        let ms = Duration::from_millis;
        let mut worker = WorkerState::new(ms(0));
        let first = worker.next_seq(ms(0));
        let second = worker.next_seq(ms(10));
        worker.acknowledge(ms(20), first, ms(0));
        assert_eq!(worker.round_trip_us, 20_000);
        worker.acknowledge(ms(38), second, ms(0));
        assert_eq!(worker.round_trip_us, 21_000, "28 ms, an eighth of the way");
    }

    /// However many messages are in flight, only some are remembered.
    #[test]
    fn no_more_than_some_messages_are_measured() {
        let ms = Duration::from_millis;
        let mut worker = WorkerState::new(ms(0));
        let seqs: Vec<u32> = (0..100).map(|_| worker.next_seq(ms(0))).collect();
        worker.acknowledge(ms(5), seqs[IN_FLIGHT_MAX - 1], ms(0));
        assert_eq!(worker.round_trip_us, 5_000);
        worker.acknowledge(ms(500), seqs[IN_FLIGHT_MAX], ms(0));
        assert_eq!(worker.round_trip_us, 5_000, "this one was not");
    }

    /// The simulator relies on it: an index that was not updated does not pass the cross-check.
    #[test]
    fn a_false_index_is_noticed() {
        let falsify: [fn(&mut WorkerTable); 5] = [
            |table| table.index.open += 1,
            |table| table.index.able += 1,
            |table| table.index.aside += 1,
            |table| _ = table.index.idle.insert(Rank(0)),
            |table| _ = table.index.paused.insert((Duration::ZERO, Rank(0))),
        ];
        for falsify in falsify {
            let mut table = WorkerTable::new(Duration::ZERO, 2);
            table.check_invariants();
            falsify(&mut table);
            assert!(std::panic::catch_unwind(|| table.check_invariants()).is_err());
        }
    }

    /// The indexes follow every change of a worker.
    #[test]
    fn idle_and_queued_are_kept() {
        assert!(WorkerTable::new(Duration::ZERO, 0).is_empty());
        let mut table = WorkerTable::new(Duration::ZERO, 3);
        let rank = Rank(1);
        table.update(rank, |worker| {
            worker.state.join();
            worker.book.set_slots(2);
        });
        assert_eq!((table.idle_from(Rank(0)), table.is_empty(), table.len()), (Some(rank), false, 3));
        table.update(rank, |worker| worker.book.add((0..3).map(|id| (TaskId(id), Class::default()))));
        table.check_invariants();
        assert_eq!((table.idle_count(), table.longest_queue()), (0, Some((rank, 1))));
        table.update(rank, |worker| worker.state.lose(false));
        table.check_invariants();
        assert_eq!(table.longest_queue(), None);
    }
}
