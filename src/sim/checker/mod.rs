//! Judges a farm from outside: by what runs, what is handed out, and what the files contain.
//!
//! Owns independent observations and shares no code with the cores. Each rule names the promise of docs/architecture.md
//! that it guards. A broken rule is kept, not a panic, so that the world can report where it occurred.

mod failures;
mod observed;
mod operations;
mod room;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::demand::Capacity;
use crate::demand::classes::Demands;
use crate::demand::list::Counts;
use crate::farmer::{Cause, Record, Rules};
use crate::protocol::{Assignment, StopLevel};
use crate::task::{Outcome, Verdict};
use crate::tasklist::TaskList;
use observed::{Node, Run, Task};

/// A black hole has at least this many failures in a row: half of what the farmer counts, because a success that is
/// never reported to it, from a rank that was given up in the meantime, does not end a series for it.
const ROW_MIN: u32 = 10;

/// The maximum time that the farmer may wait before it records a failure, or gives the task a new attempt.
const DOUBT_MAX: Duration = Duration::from_secs(60);

/// A process that ended by itself: task, rank, slot, attempt.
type Place = (u32, u32, u32, u16);

/// The observations of one run of a farm.
#[derive(Default, Debug)]
pub(crate) struct Checker {
    tasks: Vec<Task>,
    nodes: Vec<Node>,
    ends: BTreeMap<Place, Vec<Outcome>>,
    /// Every process that ended, for whatever reason.
    over: BTreeSet<Place>,
    /// Ended attempts that were recorded.
    told: BTreeSet<Place>,
    /// Processes that ended after exceeding their limit.
    timeouts: BTreeSet<Place>,
    /// Lengths of the tasks that finished in this run, in microseconds, sorted.
    finished_us: Vec<u64>,
    broken: Vec<String>,
    grace: Duration,
    /// How long a slot may be free while a task waits.
    patience: Duration,
    losses: u16,
    stopping_since: Option<Duration>,
    /// The farmer itself was disturbed: until then, its delays do not count.
    excused_until: Duration,
    /// A stop was requested, or the disk failed.
    pub stop_was_asked: bool,
    /// A rank has given up on the output of its tasks.
    pub output_failed: bool,
    /// Every rank that takes tasks was given up at some time.
    out_of_workers: bool,
    /// Rank 0 takes no tasks.
    farmer_only: bool,
    /// What was requested for failures.
    rules: Rules,
    /// When the farm must stop.
    timeout_at: Option<Duration>,
    /// Since when nothing may be started anymore.
    draining_since: Option<Duration>,
    /// The farm ends because of failures.
    is_halted: bool,
    /// It ends, for whatever reason.
    is_ending: bool,
    /// What each task asks for.
    demands: Demands,
    /// How much there is of what the farm shares out.
    totals: Counts,
    /// How long the longest task runs.
    longest: Duration,
    /// At some time, no rank that took part had room for any task that was left.
    room_was_lost: bool,
    /// The first task that waits, and since when it is the first.
    first_waits: Option<(u32, Duration)>,
    /// Tasks that had to be recorded as failed in this run, even if the disk refused.
    failed: u32,
}

impl Checker {
    /// A run begins: on these files, with this many ranks.
    pub(crate) fn new(
        now: Duration,
        list: &TaskList,
        files: [&[u8]; 2],
        ranks: u32,
        grace: Duration,
        delay_max: Duration,
    ) -> Self {
        let mut checker = Self {
            tasks: vec![Task { quiet_since: now, ..Task::default() }; list.len() as usize],
            nodes: vec![Node::default(); ranks as usize],
            grace,
            patience: Duration::from_secs(4) + delay_max * 12,
            // The start is rationed for 5 s.
            excused_until: now + Duration::from_secs(6),
            ..Self::default()
        };
        for (id, verdict) in checker.read(list, files) {
            checker.tasks[id as usize].recorded = Some(verdict);
        }
        checker
    }

    /// What was requested for failures, when the farm must stop, and whether rank 0 takes no tasks.
    pub(crate) fn asked(&mut self, rules: &Rules, timeout_at: Option<Duration>, farmer_only: bool) {
        (self.rules, self.timeout_at, self.farmer_only) = (rules.clone(), timeout_at, farmer_only);
    }

    fn takes_tasks(&self, rank: u32) -> bool {
        !self.farmer_only || rank != 0
    }

    /// The first rule that was broken since the last call.
    pub(crate) fn take_broken(&mut self) -> Option<String> {
        std::mem::take(&mut self.broken).into_iter().next()
    }

    /// The world itself observed something that must not happen.
    pub(crate) fn report(&mut self, what: &str) {
        self.broken.push(what.to_owned());
    }

    fn must(&mut self, holds: bool, otherwise: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(otherwise());
        }
    }

    /// Reads the files by its own rules: whole lines, each `ID command` of the list, each task once. Promise 2.
    fn read(&mut self, list: &TaskList, files: [&[u8]; 2]) -> BTreeMap<u32, Verdict> {
        let mut found = BTreeMap::new();
        for (bytes, verdict) in files.into_iter().zip([Verdict::Finished, Verdict::Failed]) {
            let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            for line in bytes[..whole].split_inclusive(|&byte| byte == b'\n') {
                let text = String::from_utf8_lossy(line).into_owned();
                let id = text.split(' ').next().and_then(|id| id.parse::<u32>().ok());
                let expected = id.and_then(|id| {
                    Some([format!("{id} ").as_bytes(), list.get(crate::task::TaskId(id))?, b"\n"].concat())
                });
                self.must(expected.as_deref() == Some(line), || format!("a line that is not a record: {text:?}"));
                if let Some(id) = id {
                    let twice = found.insert(id, verdict).is_some();
                    self.must(!twice, || format!("task {id} is in the files more than once"));
                }
            }
        }
        found
    }

    /// The farmer hands a task to a rank.
    pub(crate) fn handed_out(&mut self, now: Duration, rank: u32, task: &Assignment, list: &TaskList) {
        // A failure may be the node's, and then the task gets a new attempt.
        let (id, attempt, losses) = (task.id.0, task.attempt.0, self.losses + self.tasks[task.id.0 as usize].failures);
        self.must(list.get(task.id) == Some(&task.command), || format!("task {id} is sent with a different command"));
        let recorded = self.tasks[id as usize].recorded.is_some();
        self.must(!recorded, || format!("task {id} is handed to rank {rank} but is already recorded (promise 1)"));
        self.must((1..=1 + losses).contains(&attempt), || {
            format!("task {id} is handed out as attempt {attempt} after {losses} losses and failures")
        });
        let ending = self.stopping_since.is_some() || self.draining_since.is_some();
        self.must(!ending, || format!("task {id} is handed out during a stop"));
        let fits = self.fits(now);
        self.must(fits, || format!("task {id} is handed out at {now:?} and would not end in time"));
        let Task { not_before, avoids, .. } = self.tasks[id as usize];
        let early = not_before.max(avoids.filter(|&(other, _)| other == rank).map_or(Duration::ZERO, |(_, at)| at));
        self.must(now >= early, || format!("task {id} goes to rank {rank} again before {early:?}"));
        self.nodes[rank as usize].served = true;
        let task = &mut self.tasks[id as usize];
        (task.handed_to, task.is_its_own) = (Some(rank), true);
        task.holders.insert(rank);
        // It was the turn of a different rank; if that gives the task back, all may have it.
        task.avoids = None;
        task.quiet_since = now;
    }

    /// A record is in its file.
    pub(crate) fn recorded(&mut self, record: &Record) {
        let (rank, result) = (record.rank.0, &record.result);
        let (id, success) = (result.id.0, result.outcome == Outcome::Exited(0) && !result.timed_out);
        let verdict = if success { Verdict::Finished } else { Verdict::Failed };
        let twice = self.tasks[id as usize].recorded.replace(verdict).is_some();
        self.must(!twice, || format!("task {id} is recorded twice (promise 2)"));
        if record.cause == Cause::Crashed {
            return; // It did not end by itself, and has no retries; see [`Self::crashed`].
        }
        let left = !success && self.is_worth_a_retry(result) && self.tasks[id as usize].failures <= self.rules.retries;
        self.must(!left, || format!("task {id} is recorded as failed and has retries left"));
        let place = (id, rank, result.slot, result.attempt.0);
        let true_end = match result.timed_out {
            true => self.timeouts.contains(&place),
            false => self.ends.get(&place).is_some_and(|ends| ends.contains(&result.outcome)),
        };
        self.must(true_end, || format!("task {id} never ended like this by itself: rank {rank}, {result:?}"));
    }

    /// A rank joined.
    pub(crate) fn joined(&mut self, rank: u32, slots: u32, capacity: Capacity) {
        let node = &mut self.nodes[rank as usize];
        (node.up, node.slots, node.capacity) = (true, slots, capacity);
    }

    /// What each task asks for, and how long the longest runs.
    pub(crate) fn asks(&mut self, demands: &Demands, totals: Counts, longest: Duration) {
        (self.demands, self.totals, self.longest) = (demands.clone(), totals, longest);
    }

    /// A stop reached a rank.
    pub(crate) fn stop_arrived(&mut self, rank: u32, level: StopLevel) {
        let node = &mut self.nodes[rank as usize];
        node.stop = node.stop.max(Some(level));
    }

    /// All processes of a rank are gone at the same time, without a report.
    pub(crate) fn wiped(&mut self, now: Duration, rank: u32) {
        self.nodes[rank as usize].up = false;
        for run in std::mem::take(&mut self.nodes[rank as usize].runs).into_values() {
            let task = &mut self.tasks[run.id as usize];
            task.running = task.running.saturating_sub(1);
            task.quiet_since = now;
        }
    }

    /// A fault affected a rank.
    pub(crate) fn trouble(&mut self, rank: u32) {
        self.nodes[rank as usize].troubled = true;
    }

    /// The farmer was delayed.
    pub(crate) fn excuse_farmer(&mut self, until: Duration) {
        // A failure that is on its way to the farmer is doubted from the end of the delay on.
        let later = until.saturating_sub(self.excused_until);
        self.tasks.iter_mut().filter(|task| task.failures > 0).for_each(|task| task.quiet_since += later);
        self.excused_until = self.excused_until.max(until);
        self.stopping_since = self.stopping_since.map(|since| since.max(until));
    }

    /// The farmer gave up a rank.
    pub(crate) fn lost(&mut self, now: Duration, rank: u32, reason: &str) {
        self.losses = self.losses.saturating_add(1);
        let node = &mut self.nodes[rank as usize];
        node.lost = true;
        (node.held_back, node.is_aside) = (false, false);
        let troubled = node.troubled;
        self.must(troubled, || format!("rank {rank} is healthy but was given up: {reason}"));
        // It may have been trusted again since: then it had its turn, and now all may have the task.
        for task in self.tasks.iter_mut().filter(|task| task.holders.contains(&rank)) {
            task.avoids = task.avoids.filter(|&(other, _)| other == rank);
        }
        for task in self.tasks.iter_mut().filter(|task| task.handed_to == Some(rank)) {
            task.is_its_own = false;
            // It may have failed there just before, and that may be in doubt for a long time if the rank comes back.
            task.quiet_since = task.quiet_since.max(now);
        }
    }

    /// The farmer holds back tasks from a rank on which they fail quickly, or no longer does.
    pub(crate) fn held_back(&mut self, rank: u32, held_back: bool) {
        let node = &mut self.nodes[rank as usize];
        node.held_back = held_back;
        node.is_aside &= held_back;
    }

    /// The farmer considers a rank a black hole: never without a series of failures, and never the last one.
    pub(crate) fn set_aside(&mut self, rank: u32) {
        let (_, most) = self.nodes[rank as usize].failed_in_row;
        self.must(most >= ROW_MIN, || format!("rank {rank} is set aside after {most} failures in a row at most"));
        let others = self.nodes.iter().zip(0..).filter(|&(_, other)| other != rank);
        let left = others.filter(|(node, _)| node.slots > 0 && !node.lost && !node.is_aside).count();
        self.must(left > 0, || format!("rank {rank} is set aside, and no other is left"));
        self.stays_aside(rank);
    }

    /// The farmer has trusted a rank and set it aside again in the same turn.
    pub(crate) fn stays_aside(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        (node.held_back, node.is_aside) = (true, true);
    }

    /// A rank rejoins, with all tasks that it may still run.
    pub(crate) fn came_back(&mut self, rank: u32) {
        self.nodes[rank as usize].lost = false;
    }

    /// The farm begins to stop, or stops at a higher level.
    pub(crate) fn stopping(&mut self, now: Duration) {
        self.stopping_since = Some(now.max(self.excused_until));
        self.out_of_workers |= {
            let has_no_room = |node: &Node| node.up && node.slots == 0;
            let takes_none = |rank, node| has_no_room(node) || !self.takes_tasks(rank);
            self.nodes.iter().zip(0..).all(|(node, rank)| node.lost || takes_none(rank, node))
        };
    }

    /// Checks the whole: hand-out, kill ladder, and the duration of a stop.
    pub(crate) fn look(&mut self, now: Duration) {
        self.look_for_idle(now);
        for rank in 0..self.nodes.len() {
            let node = &self.nodes[rank];
            let limit = self.grace + Duration::from_millis(100);
            let alive = |run: &&Run| !run.killed && run.terminated_at.is_some_and(|at| now > at + limit);
            let spared = if node.troubled { None } else { node.runs.values().find(alive).cloned() };
            let forgotten = if node.troubled { None } else { self.overdue(node, now) };
            self.must(forgotten.is_none(), || format!("rank {rank} lets a task run for too long: {forgotten:?}"));
            self.must(spared.is_none(), || format!("rank {rank} does not kill after the grace period: {spared:?}"));
        }
        let limit = self.grace + Duration::from_secs(35);
        let late = self.stopping_since.is_some_and(|since| now > since + limit);
        self.must(!late, || format!("the stop takes longer than {} s", limit.as_secs()));
    }

    /// No slot is idle while tasks wait, for longer than a few round trips.
    fn look_for_idle(&mut self, now: Duration) {
        let ending = self.stopping_since.is_some() || self.draining_since.is_some() || !self.fits(now);
        let excused = now < self.excused_until || ending;
        let farmer_only = self.farmer_only;
        let mut idle = None;
        for (rank, node) in (0..).zip(&mut self.nodes) {
            // Nothing else runs beside a suspect.
            let apart = node.runs.values().any(|run| self.tasks[run.id as usize].is_suspect);
            let well = !node.troubled && !node.held_back && !apart;
            let free = node.up && well && !excused && node.slots > 0 && !(farmer_only && rank == 0);
            // What fits beside others is decided by the farmer.
            let room = if self.demands.differ() { 1 } else { u64::from(node.slots) };
            if free && (node.runs.len() as u64) < room {
                let since = *node.idle_since.get_or_insert(now);
                if now - since > self.patience {
                    idle = idle.or(Some(rank));
                }
            } else {
                node.idle_since = None;
            }
        }
        let patience = self.patience;
        let waits = |checker: &Self, id: usize| {
            let task = &checker.tasks[id];
            let sure = |node: &Node| node.lost || !node.troubled;
            let within_reach = task.holders.iter().all(|&holder| sure(&checker.nodes[holder as usize]));
            task.recorded.is_none()
                && !task.is_suspect
                && task.running == 0
                && within_reach
                && now.saturating_sub(task.quiet_since) > patience
        };
        self.look_for_starving(now, waits);
        let Some(rank) = idle else { return };
        let suits = |&id: &usize| waits(self, id) && self.would_suit(rank, u32::try_from(id).expect("32 bits"));
        let waiting = (0..self.tasks.len()).find(suits);
        self.must(waiting.is_none(), || {
            format!("rank {rank} has had a free slot for {patience:?}, and task {} waits", waiting.unwrap_or(0))
        });
    }

    /// The farm has ended with this code and these figures: finished, failed, remaining.
    pub(crate) fn ended(&mut self, list: &TaskList, files: [&[u8]; 2], code: i32, figures: [u32; 3], disk_erred: bool) {
        let found = self.read(list, files);
        let count = |of| u32::try_from(found.values().filter(|&&verdict| verdict == of).count()).expect("at most len");
        let (finished, failed) = (count(Verdict::Finished), count(Verdict::Failed));
        let remaining = list.len() - finished - failed;
        if !disk_erred {
            let true_figures = [finished, failed, remaining];
            self.must(figures == true_figures, || format!("it says {figures:?}, and the files hold {true_figures:?}"));
        }
        let unrecorded: Vec<u32> = (0..list.len()).filter(|id| !found.contains_key(id)).collect();
        let right = match code {
            0 => remaining == 0 && failed == 0,
            1 => (remaining == 0 && failed > 0) || (self.is_halted && self.failed > 0),
            2 => self.some_have_no_room(&unrecorded),
            3 => figures[2] > 0 && (self.stop_was_asked || self.room_was_lost),
            4 => disk_erred || self.output_failed || (figures[2] > 0 && self.out_of_workers),
            _ => false,
        };
        self.must(right, || format!("exit code {code} with {figures:?}"));
    }

    /// Long after the end: nothing runs on living nodes. Promise 4.
    pub(crate) fn nothing_is_left(&mut self, rank: u32) {
        let runs: Vec<u32> = self.nodes[rank as usize].runs.values().map(|run| run.id).collect();
        self.must(runs.is_empty(), || format!("tasks {runs:?} still run on rank {rank} after the farm's end"));
    }
}
