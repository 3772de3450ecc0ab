//! The farmer's side of the world: its turns, its end, and its death.
//!
//! Owns what is observable of a turn: records, messages and notes go to the checker in the order in which they
//! occurred.

use std::collections::BTreeMap;
use std::time::Duration;

use super::disk::Recorder;
use super::network::Towards;
use super::options::Fault;
use super::world::{RunEnd, SYNC_INTERVAL, What, World};
use crate::driver::turn::Turns;
use crate::farmer::{Cause, End, Event, Note, Record, StopCause};
use crate::protocol::{StopLevel, ToFarmer, ToWorker, codec};
use crate::task::{FARMER, Rank};

impl World {
    pub(super) fn at_farmer(&mut self, rank: u32) {
        if self.farm.is_none() || self.farmer_hung.is_some() {
            return;
        }
        let Some(frame) = self.links.take(Towards::Farmer(rank)) else { return };
        let event = match codec::decode::<ToFarmer>(&frame) {
            Ok(message) => {
                self.trace(|| format!("farmer ← {rank}: {message:?}"));
                Event::Message(Rank(rank), message)
            }
            Err(error) => Event::LinkFailed(Rank(rank), error.to_string()),
        };
        self.farmer(event);
    }

    /// Ranks that were given up, and attempts that have ended.
    fn observe_losses(&mut self, attempts: &[Record]) {
        // A turn gives up ranks first, and then hands out what has come back.
        for note in &self.notes {
            match note {
                Note::Lost { rank, reason, .. } | Note::PoolDied { rank, reason, .. } => {
                    self.checker.lost(self.now, rank.0, reason)
                }
                Note::Watched(rank) => self.checker.held_back(rank.0, true),
                Note::SetAside { rank, .. } => self.checker.set_aside(rank.0),
                _ => {}
            }
        }
        // All of tasks.tsv is read for it.
        let crashes = match attempts.iter().any(|record| record.cause == Cause::Crashed) {
            true => self.disk.borrow().crashes(&self.plan.list),
            false => BTreeMap::new(),
        };
        for record in attempts {
            self.checker.attempt_over(self.now, record.rank.0, record);
            if record.cause == Cause::Crashed {
                let rank = &self.nodes[record.rank.0 as usize];
                let others = attempts.iter().filter(|other| other.cause == Cause::Crashed && other.rank == record.rank);
                let is_alone = others.count() == 1;
                let is_innocent = rank.was_poisoned && !self.plan.poison.contains_key(&record.result.id);
                let count = crashes.get(&record.result.id).copied().unwrap_or(0);
                self.checker.crashed(record, count, is_alone, is_innocent);
            }
        }
    }

    /// Whether the farm stops.
    fn observe_stop(&mut self) {
        for note in &self.notes {
            match note {
                Note::Stopping(StopLevel::Drain, cause) if *cause != StopCause::AllDone => {
                    self.checker.draining(self.now, cause);
                }
                Note::Stopping(_, cause) => self.checker.halted(cause),
                _ => {}
            }
        }
    }

    /// What was handed out, and ranks that take part again.
    fn observe_messages(&mut self) {
        for (rank, message) in std::mem::take(&mut self.links.sent) {
            self.trace(|| format!("farmer → {rank}: {message:?}"));
            if let ToWorker::Limit { us } = message {
                self.checker.limited(self.now, rank, us);
            } else if let ToWorker::Assign { tasks, .. } = message {
                tasks.iter().for_each(|task| self.checker.handed_out(self.now, rank, task, &self.plan.list));
            }
        }
        for note in std::mem::take(&mut self.notes) {
            self.trace(|| format!("farmer: {note:?}"));
            match note {
                Note::Stopping(level, cause) if level > StopLevel::Drain || cause == StopCause::AllDone => {
                    self.checker.stopping(self.now);
                }
                Note::CameBack(rank) | Note::PoolDied { rank, .. } => self.checker.came_back(rank.0),
                // Trusted and set aside again in one turn.
                Note::SetAside { rank, .. } => self.checker.stays_aside(rank.0),
                Note::Trusted(rank) => self.checker.held_back(rank.0, false),
                _ => {}
            }
        }
    }

    /// One turn of the farmer, and what is observable of it.
    pub(super) fn farmer(&mut self, event: Event) {
        let Some(farm) = &mut self.farm else { return };
        farm.turn(self.now, event, &mut self.links, &mut self.notes);
        for record in std::mem::take(&mut farm.storage.written) {
            self.checker.recorded(&record);
            self.tally.record(&record);
        }
        let attempts = std::mem::take(&mut farm.storage.attempts);
        self.observe_losses(&attempts);
        self.observe_stop();
        self.checker.must_halt();
        self.observe_messages();
        self.turns += 1;
        let farm = self.farm.as_ref().expect("seen");
        // Costs a walk over all tasks, so large farms are checked only occasionally.
        if self.options.tasks < 100 || self.turns.is_multiple_of(61) {
            farm.core.check_invariants();
        }
        if self.countdown.get() == Some(0) {
            self.crash();
        } else if let Some(end) = farm.core.end() {
            self.farm_ends(end);
        } else {
            let slow = std::mem::take(&mut self.disk.borrow_mut().slow);
            if slow > Duration::ZERO {
                self.hold_up_farmer(slow);
            }
            self.plan_tick();
        }
    }

    fn plan_tick(&mut self) {
        let Some(deadline) = self.farm.as_ref().and_then(|farm| farm.core.next_deadline()) else { return };
        if self.wake_at.is_none_or(|at| deadline < at) {
            self.wake_at = Some(deadline);
            self.at(deadline, What::FarmerTick);
        }
    }

    pub(super) fn farmer_tick(&mut self) {
        if self.wake_at.is_some_and(|at| at <= self.now) {
            self.wake_at = None;
        }
        let due = |farm: &Turns<Recorder>| farm.core.next_deadline().is_some_and(|at| at <= self.now);
        if self.farmer_hung.is_none() && self.farm.as_ref().is_some_and(due) {
            self.farmer(Event::Tick);
            let deadline = self.farm.as_ref().and_then(|farm| farm.core.next_deadline());
            if deadline.is_some_and(|at| at <= self.now) {
                self.checker.report("the farmer's next deadline is always in the past: its loop would spin");
            }
        } else if self.farmer_hung.is_none() {
            self.plan_tick();
        }
    }

    pub(super) fn sync(&mut self) {
        if self.farm.is_none() {
            return;
        }
        self.at(self.now + SYNC_INTERVAL, What::Sync);
        if self.farmer_hung.is_none() && !self.disk.borrow_mut().sync() {
            self.trace(|| "a sync fails".to_owned());
            self.farmer(Event::StorageFailed { unwritten: Vec::new(), reason: "simulated sync".to_owned() });
        }
    }

    fn farm_ends(&mut self, mut end: End) {
        let mut disk = self.disk.borrow_mut();
        // The timeline is closed, and everything is synced.
        disk.erred |= disk.full;
        if disk.full || !disk.sync() {
            end.fail("the simulated disk failed at the end".to_owned());
        }
        let code = end.exit_code().code();
        self.trace(|| format!("the farm ends: {end:?}, exit code {code}"));
        let files = [disk.files[0].bytes.as_slice(), &disk.files[1].bytes];
        let figures = [end.finished, end.failed, end.remaining];
        self.checker.stop_was_asked |= self.options.timeout.is_some();
        self.checker.ended(&self.plan.list, files, code, figures, disk.erred);
        drop(disk);
        self.farm = None;
        self.end = Some(RunEnd::Ended(code));
        // The relays wait for this.
        let leave = ToWorker::Leave { skip_finalize: end.unreachable };
        (1..self.options.ranks).for_each(|rank| self.links.send_to(rank, &leave));
        // Its own pool has received Stop; if it does not obey, it is shut after a while.
        self.at(self.now + Duration::from_secs(10), What::Heals(Fault::CrashFarmer, FARMER.0));
    }

    fn crash(&mut self) {
        self.trace(|| "the farmer is killed".to_owned());
        if self.power_lost {
            self.disk.borrow_mut().lose_power();
            self.wipe(FARMER.0);
        }
        self.farm = None;
        self.checker.farmer_is_gone();
        self.end = Some(RunEnd::Crashed);
        self.at(self.now, What::Heals(Fault::CrashFarmer, FARMER.0));
    }
}
