//! What is known of each worker: whether it is alive, what it holds, how fast it is.
//!
//! Owns the worker table. Never decides which worker gets what: see [`super::handout`].

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::doubts::Trust;
use crate::lengths::micros;
use crate::protocol::{Rank, TaskId};

/// Assign messages whose round trip is being measured, per worker.
const IN_FLIGHT_MAX: usize = 16;

/// Whether a worker takes part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Was sent Start and has not said Hello. Also after its pool died and was restarted.
    Expected,
    /// Takes tasks, unless it has no slots.
    Active,
    /// Has reported that its last task is gone.
    Stopped,
    /// Silent for too long, or its link failed. It may come back.
    Lost,
    /// Its pool died and is not restarted, or it cannot run this farm's tasks. It does not come back.
    Gone,
}

impl Status {
    /// Expected or active: the farm's end waits for it.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Expected | Self::Active)
    }

    /// Given up: its tasks are with others, or will be.
    #[must_use]
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Lost | Self::Gone)
    }
}

/// One worker, as the farmer sees it.
#[derive(Debug)]
pub struct WorkerState {
    /// Whether it takes part.
    pub status: Status,
    /// Host name; empty before Hello.
    pub host: String,
    /// Slots of its pool.
    pub slots: u32,
    /// CPUs that its tasks may use.
    pub cpus: u32,
    /// Tasks that it holds, in order of hand-out: running, queued or on the way. Kept when it is lost, since they fill
    /// its slots if it comes back.
    pub assigned: Vec<TaskId>,
    /// Assigned tasks that have left their slot, while their verdict is pending.
    pub undecided: u32,
    /// The usual length of its tasks; 0 before the first result.
    pub task_us: u64,
    /// From sending an Assign to receiving its acknowledgement; 0 before the first.
    pub round_trip_us: u64,
    /// When it was last heard from.
    pub heard: Duration,
    /// Takes no task before this time: its node refused to start processes.
    pub paused_until: Option<Duration>,
    /// How many tasks it was asked to give back, in the one Recall that it has not answered yet.
    pub recalled: Option<u32>,
    /// Tasks were handed to it since it was last asked for its queue.
    handed_since: bool,
    /// It reported an empty queue. Whatever `assigned` says, it is not asked again before it gets more tasks.
    queue_empty: bool,
    /// It came back, and has not reported yet what it still holds: the number of the question.
    rejoining: Option<u32>,
    /// Its pool died and was to be restarted; its Hello has not arrived yet.
    pub(super) awaits_start: bool,
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
fn blend(average: u64, sample: u64) -> u64 {
    let sample = sample.min(SAMPLE_MAX);
    if average == 0 { sample.max(1) } else { (average * 7 + sample) / 8 }.max(1)
}

impl WorkerState {
    fn new(now: Duration) -> Self {
        Self {
            status: Status::Expected,
            host: String::new(),
            slots: 0,
            cpus: 0,
            assigned: Vec::new(),
            undecided: 0,
            task_us: 0,
            round_trip_us: 0,
            heard: now,
            paused_until: None,
            recalled: None,
            handed_since: false,
            queue_empty: false,
            rejoining: None,
            awaits_start: false,
            trust: Trust::default(),
            quarantine: None,
            charged: Vec::new(),
            idle_deaths: 0,
            seq: 0,
            in_flight: VecDeque::new(),
        }
    }

    /// Whether tasks may be handed to it, if it has room.
    #[must_use]
    pub fn takes_tasks(&self) -> bool {
        self.status == Status::Active && self.slots > 0 && self.paused_until.is_none() && self.rejoining.is_none()
    }

    /// Its pool died, and it gets a new one, which knows nothing of earlier messages.
    pub(super) fn restart(&mut self, now: Duration) {
        self.status = Status::Expected;
        self.awaits_start = true;
        (self.rejoining, self.recalled) = (None, None);
        (self.assigned, self.undecided, self.charged, self.heard) = (Vec::new(), 0, Vec::new(), now);
        (self.handed_since, self.queue_empty) = (false, false);
        self.in_flight.clear();
    }

    /// Starts the question that a worker must answer when it comes back; returns its number.
    pub(super) fn ask_to_rejoin(&mut self, now: Duration) -> u32 {
        let seq = self.next_seq(now);
        self.rejoining = Some(seq);
        self.recalled = None;
        seq
    }

    /// Takes the answer: all other tasks that were handed to it did not reach it, or were dropped there. Returns
    /// `false`, without effect, if it does not answer the last question.
    pub(super) fn on_rejoined(&mut self, seq: u32, held: &BTreeSet<TaskId>) -> bool {
        if self.rejoining != Some(seq) {
            return false;
        }
        self.rejoining = None;
        self.assigned.retain(|id| held.contains(id));
        true
    }

    /// Its key in the index of idle workers.
    fn is_idle(&self) -> bool {
        self.takes_tasks() && self.free() > 0 && self.quarantine.is_none()
    }

    /// Its key in the index of queues that can be recalled.
    fn recallable(&self) -> Option<u32> {
        let able = self.status == Status::Active && self.rejoining.is_none() && self.recalled.is_none();
        Some(self.queued()).filter(|&queued| able && !self.queue_empty && queued > 0)
    }

    /// Notes that these tasks are handed to it.
    pub(super) fn hand(&mut self, now: Duration, ids: impl Iterator<Item = TaskId>) {
        self.assigned.extend(ids);
        self.trust.handed(now);
        (self.handed_since, self.queue_empty) = (true, false);
    }

    /// Notes that it is asked for this many tasks of its queue.
    pub(super) fn ask_back(&mut self, count: u32) {
        (self.recalled, self.handed_since) = (Some(count), false);
    }

    /// Notes its answer to that.
    pub(super) fn answered_recall(&mut self, with_tasks: bool) {
        self.recalled = None;
        self.queue_empty = !with_tasks && !self.handed_since;
    }

    pub(super) fn is_able(&self) -> bool {
        self.status == Status::Active && self.slots > 0
    }

    /// Whether it runs tasks, as far as is known.
    pub(super) fn is_busy(&self) -> bool {
        self.status == Status::Active && !self.assigned.is_empty()
    }

    pub(super) fn is_aside(&self) -> bool {
        self.is_able() && self.trust.is_aside()
    }

    /// Tasks that it holds beyond its slots: they wait there.
    #[must_use]
    pub fn queued(&self) -> u32 {
        self.held().saturating_sub(self.room())
    }

    /// Slots without a task.
    #[must_use]
    pub fn free(&self) -> u32 {
        self.room().saturating_sub(self.held())
    }

    /// Tasks that it holds.
    #[must_use]
    pub fn held(&self) -> u32 {
        u32::try_from(self.assigned.len()).unwrap_or(u32::MAX)
    }

    /// Tasks that it can hold without one waiting for a slot.
    fn room(&self) -> u32 {
        self.slots.saturating_add(self.undecided)
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
    /// Workers with free slots that take tasks.
    idle: BTreeSet<Rank>,
    /// Active workers with waiting tasks and no Recall to answer, by the number of tasks.
    queued: BTreeSet<(u32, Rank)>,
    /// Workers that take no tasks for a while, by the end of that time.
    paused: BTreeSet<(Duration, Rank)>,
    /// How many have not said Hello.
    expected: u32,
    /// How many are expected or active.
    open: u32,
    /// How many are active and have slots.
    able: u32,
    /// How many of these are set aside.
    aside: u32,
}

impl WorkerTable {
    /// `ranks` workers, none of which has been heard from yet.
    #[must_use]
    pub fn new(now: Duration, ranks: u32) -> Self {
        Self {
            workers: (0..ranks).map(|_| WorkerState::new(now)).collect(),
            idle: BTreeSet::new(),
            queued: BTreeSet::new(),
            paused: BTreeSet::new(),
            expected: ranks,
            open: ranks,
            able: 0,
            aside: 0,
        }
    }

    /// How many ranks there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        u32::try_from(self.workers.len()).expect("made from a u32")
    }

    /// Whether there is none; there always is one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.workers.is_empty()
    }

    /// The worker of this rank; `None` if there is no such rank.
    #[must_use]
    pub fn get(&self, rank: Rank) -> Option<&WorkerState> {
        self.workers.get(rank.0 as usize)
    }

    /// Changes a worker and updates the indexes.
    ///
    /// # Panics
    /// If there is no such rank: ranks from outside are checked on arrival.
    pub fn update<R>(&mut self, rank: Rank, change: impl FnOnce(&mut WorkerState) -> R) -> R {
        let worker = &mut self.workers[rank.0 as usize];
        let (idle_before, queued_before, able_before) = (worker.is_idle(), worker.recallable(), worker.is_able());
        let (status_before, paused_before, aside_before) = (worker.status, worker.paused_until, worker.is_aside());
        let result = change(worker);
        if worker.status != Status::Active {
            worker.recalled = None;
            worker.paused_until = None;
            worker.rejoining = None;
            // When it comes back, it may report failures from before that success.
            worker.trust = Trust { last_success_us: worker.trust.last_success_us, ..Trust::default() };
        }
        if worker.assigned.is_empty() {
            worker.quarantine = None;
        }
        if paused_before != worker.paused_until {
            paused_before.map(|until| self.paused.remove(&(until, rank)));
            worker.paused_until.map(|until| self.paused.insert((until, rank)));
        }
        let is_expected = |status| u32::from(status == Status::Expected);
        self.expected = self.expected + is_expected(worker.status) - is_expected(status_before);
        self.open = self.open + u32::from(worker.status.is_open()) - u32::from(status_before.is_open());
        self.able = self.able + u32::from(worker.is_able()) - u32::from(able_before);
        self.aside = self.aside + u32::from(worker.is_aside()) - u32::from(aside_before);
        let queued = worker.recallable();
        if queued_before != queued {
            queued_before.map(|before| self.queued.remove(&(before, rank)));
            queued.map(|now| self.queued.insert((now, rank)));
        }
        match (idle_before, worker.is_idle()) {
            (false, true) => _ = self.idle.insert(rank),
            (true, false) => _ = self.idle.remove(&rank),
            _ => {}
        }
        result
    }

    /// All workers in rank order.
    pub fn iter(&self) -> impl Iterator<Item = (Rank, &WorkerState)> {
        (0..).map(Rank).zip(&self.workers)
    }

    /// The first active worker with a free slot, starting at `after`.
    #[must_use]
    pub fn idle_from(&self, after: Rank) -> Option<Rank> {
        self.idle.range(after..).next().copied()
    }

    /// How many active workers have a free slot.
    #[must_use]
    pub fn idle_count(&self) -> usize {
        self.idle.len()
    }

    /// The active worker with the most waiting tasks and no Recall to answer, and how many wait there.
    #[must_use]
    pub fn longest_queue(&self) -> Option<(Rank, u32)> {
        self.queued.last().map(|&(queued, rank)| (rank, queued))
    }

    /// Workers that take no task for a while, by the end of that time.
    #[must_use]
    pub fn paused(&self) -> &BTreeSet<(Duration, Rank)> {
        &self.paused
    }

    /// How many workers are expected or active.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.open
    }

    /// How many workers are active and have slots.
    #[must_use]
    pub fn able(&self) -> u32 {
        self.able
    }

    /// How many of the able workers are set aside.
    #[must_use]
    pub fn aside(&self) -> u32 {
        self.aside
    }

    /// How many workers have not said Hello and were not given up.
    #[must_use]
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// How many workers have this status.
    #[must_use]
    pub fn count(&self, status: Status) -> u32 {
        u32::try_from(self.workers.iter().filter(|worker| worker.status == status).count()).expect("at most len")
    }

    /// Cross-checks the indexes with the table. For tests and the simulator.
    ///
    /// # Panics
    /// If they differ.
    pub fn check_invariants(&self) {
        assert_eq!(self.open, self.count(Status::Expected) + self.count(Status::Active), "open");
        let paused = self.iter().filter_map(|(rank, worker)| Some((worker.paused_until?, rank)));
        assert_eq!(self.paused, paused.collect(), "paused");
        assert_eq!(self.expected, self.count(Status::Expected), "expected");
        let able = self.workers.iter().filter(|worker| worker.is_able()).count();
        assert_eq!(self.able as usize, able, "able");
        let aside = self.workers.iter().filter(|worker| worker.is_aside()).count();
        assert_eq!(self.aside as usize, aside, "aside");
        let recallable = self.workers.iter().filter(|worker| worker.recallable().is_some()).count();
        assert_eq!(self.queued.len(), recallable, "queue index");
        for (rank, worker) in self.iter() {
            assert_eq!(self.idle.contains(&rank), worker.is_idle(), "idle index, rank {rank}");
            let queued = worker.recallable();
            assert!(queued.is_none_or(|queued| self.queued.contains(&(queued, rank))), "queue index, rank {rank}");
            assert!(worker.status == Status::Active || worker.recalled.is_none(), "a Recall that is never answered");
        }
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
            |table| table.open += 1,
            |table| table.able += 1,
            |table| table.aside += 1,
            |table| _ = table.idle.insert(Rank(0)),
            |table| _ = table.paused.insert((Duration::ZERO, Rank(0))),
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
            worker.status = Status::Active;
            worker.slots = 2;
        });
        assert_eq!((table.idle_from(Rank(0)), table.is_empty(), table.len()), (Some(rank), false, 3));
        table.update(rank, |worker| worker.assigned.extend([TaskId(0), TaskId(1), TaskId(2)]));
        table.check_invariants();
        assert_eq!((table.idle_count(), table.longest_queue()), (0, Some((rank, 1))));
        table.update(rank, |worker| worker.status = Status::Lost);
        table.check_invariants();
        assert_eq!(table.longest_queue(), None);
    }
}
