//! The farmer core, event by event. Every message goes through the real codec and the driver's real turn; a message
//! that a test does not expect fails it, and all tables are cross-checked after each event.

mod any_message;
mod black_holes;
mod crashes;
mod drain;
mod handout;
mod limits;
mod logs;
mod losses;
mod mixed;
mod results;
mod retries;
mod stops;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::demand::classes::{Class, Kind};
use crate::demand::list::Counts;
use crate::demand::{Capacity, Demand};
use crate::driver::turn::{Network, Storage, Turns};
use crate::protocol::*;
use crate::task::*;
use crate::tasklist::TaskList;

/// Records in memory; refuses them if told so.
#[derive(Default)]
struct Paper {
    records: Vec<(u32, bool)>,
    /// All attempts that have ended: task, attempt, rank.
    attempts: Vec<(u32, u16, u32, Cause)>,
    full: bool,
}

impl Storage for Paper {
    fn record(&mut self, records: &[Record], _: &TaskList) -> Result<(), (Vec<TaskId>, String)> {
        if self.full && !records.is_empty() {
            let unwritten = records.iter().filter(|record| record.is_last).map(|record| record.result.id);
            return Err((unwritten.collect(), "the disk is full".to_owned()));
        }
        let verdict = |record: &Record| Some((record.result.id.0, record.verdict()? == Verdict::Finished));
        self.records.extend(records.iter().filter_map(verdict));
        let attempt = |record: &Record| (record.result.id.0, record.result.attempt.0, record.rank.0, record.cause);
        self.attempts.extend(records.iter().map(attempt));
        Ok(())
    }
}

#[derive(Default)]
struct Mailbox {
    sent: VecDeque<(u32, ToWorker)>,
    given_up: Vec<u32>,
    /// The ranks that were sent Start again.
    started: Vec<u32>,
}

impl Network for Mailbox {
    fn send(&mut self, to: Rank, message: &ToWorker) {
        let bytes = codec::encode(message).unwrap();
        self.sent.push_back((to.0, codec::decode(&bytes).unwrap()));
    }

    fn start(&mut self, rank: Rank) {
        self.started.push(rank.0);
    }

    fn give_up(&mut self, rank: Rank) {
        self.given_up.push(rank.0);
    }
}

/// A farm that consists of a core only.
struct TestFarm {
    now: Duration,
    turns: Turns<Paper>,
    mailbox: Mailbox,
    notes: Vec<Note>,
}

const GRACE: Duration = Duration::from_secs(5);

impl TestFarm {
    fn with(ranks: u32, tasks: u32, change: impl FnOnce(&mut Settings)) -> Self {
        Self::classed(ranks, tasks, Vec::new(), change)
    }

    /// Tasks are of these classes; none: all of the same.
    fn classed(ranks: u32, tasks: u32, classes: Vec<Class>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { grace: GRACE, ..Settings::plain(ranks) };
        change(&mut settings);
        let commands: Vec<String> = (0..tasks).map(|id| format!("task {id}")).collect();
        let list = Arc::new(TaskList::from_commands(commands.iter().map(String::as_bytes)));
        let table = TaskTable::new(tasks).with_classes(classes, settings.kinds.len());
        let core = Farmer::new(Duration::ZERO, settings, table);
        let turns = Turns::new(core, list, Paper::default());
        Self { now: Duration::ZERO, turns, mailbox: Mailbox::default(), notes: Vec::new() }
    }

    fn new(ranks: u32, tasks: u32) -> Self {
        Self::with(ranks, tasks, |_| {})
    }

    /// All ranks have joined with this many slots; what they were sent is dropped.
    fn up(ranks: u32, slots: u32, tasks: u32) -> Self {
        let mut farm = Self::new(ranks, tasks);
        (0..ranks).for_each(|rank| farm.hello(rank, slots));
        farm.sent();
        farm
    }

    fn event(&mut self, event: Event) {
        self.turns.turn(self.now, event, &mut self.mailbox, &mut self.notes);
        self.turns.core.check_invariants();
    }

    fn receive(&mut self, rank: u32, message: ToFarmer) {
        let message = codec::decode(&codec::encode(&message).unwrap()).unwrap();
        self.event(Event::Message(Rank(rank), message));
    }

    fn hello(&mut self, rank: u32, slots: u32) {
        let host = format!("node{rank}");
        self.receive(rank, ToFarmer::plain_hello(host, slots));
    }

    fn report(&mut self, rank: u32, report: Report) {
        self.receive(rank, report.into_message());
    }

    /// These tasks have finished there.
    fn finish(&mut self, rank: u32, tasks: impl IntoIterator<Item = u32>) {
        let results = tasks.into_iter().map(|id| result(id, Outcome::Exited(0))).collect();
        self.report(rank, Report { results, ..Report::default() });
    }

    /// Time passes, tick by tick, without any message.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.turns.core.next_deadline().filter(|&at| at <= until) {
            assert!(at >= self.now || self.turns.core.end().is_none(), "a deadline in the past");
            self.now = self.now.max(at);
            self.event(Event::Tick);
            let next = self.turns.core.next_deadline();
            assert!(next.is_none_or(|next| next > self.now), "the loop would spin at {:?}", self.now);
        }
        self.now = until;
    }

    fn sent(&mut self) -> Vec<(u32, ToWorker)> {
        self.mailbox.sent.drain(..).collect()
    }

    /// What was handed out since the last call: rank and IDs. Nothing else may have been sent.
    fn handed(&mut self) -> Vec<(u32, Vec<u32>)> {
        let assigned = |(rank, message)| match message {
            ToWorker::Assign { tasks, .. } => (rank, tasks.iter().map(|task| task.id.0).collect()),
            other => panic!("unexpected: {other:?}"),
        };
        self.sent().into_iter().map(assigned).collect()
    }

    fn level(&mut self, rank: u32) -> Option<StopLevel> {
        let level = |(to, message)| match message {
            ToWorker::Stop { level, .. } if to == rank => Some(level),
            _ => None,
        };
        self.sent().into_iter().filter_map(level).next_back()
    }

    fn status(&self, rank: u32) -> Status {
        self.turns.core.workers().get(Rank(rank)).unwrap().status()
    }

    fn code(&self) -> Option<i32> {
        Some(self.turns.core.end()?.exit_code().code())
    }
}

/// A pool died, no task is to blame, and it is not restarted.
fn pool_gone(reason: &str) -> ToFarmer {
    ToFarmer::PoolLost { reason: reason.to_owned(), executing: Vec::new(), can_restart: false }
}

#[derive(Default)]
struct Report {
    results: Vec<TaskResult>,
    interrupted: Vec<TaskResult>,
    returned: Vec<u32>,
    ack: u32,
    undecided: u32,
    recall_answered: bool,
    pause_ms: u32,
}

impl Report {
    fn into_message(self) -> ToFarmer {
        let Self { results, interrupted, returned, ack, undecided, recall_answered, pause_ms } = self;
        let returned = returned.into_iter().map(TaskId).collect();
        ToFarmer::Report { results, interrupted, returned, ack, ack_age_us: 0, undecided, recall_answered, pause_ms }
    }
}

fn result(id: u32, outcome: Outcome) -> TaskResult {
    TaskResult { duration_us: 1_000_000, ..TaskResult::of(TaskId(id), Attempt(1), outcome) }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}
