//! What goes wrong, and how it heals.
//!
//! Owns each kind of fault. Faults stay within what the design promises to survive: a frame is delayed or, on a link
//! that was given up, dropped; it never changes and never overtakes another.

use std::time::Duration;

use super::network::Towards;
use super::options::Fault;
use super::plan::Poison;
use super::world::{FAULT_MAX, What, World};
use crate::farmer::Event;
use crate::protocol::ToFarmer;
use crate::relay;
use crate::task::{FARMER, Rank};

/// As in the handle of the pool: when its end is reported, and when a stopped one is killed.
const LOSS_HELD: Duration = Duration::from_secs(1);
const STOPPED_MAX: Duration = Duration::from_secs(30);

/// If a farmer is away for longer, it may find that its ranks have left.
const AWAY_MAX: Duration = Duration::from_secs(15);

impl World {
    pub(super) fn plan_trouble(&mut self, index: usize) {
        let mean = self.options.faults[index].1;
        let pause = mean.mul_f64(-(1.0 - self.prng.unit()).ln());
        self.at(self.now + pause, What::Trouble(index));
    }

    pub(super) fn trouble(&mut self, index: usize) {
        if self.calm || self.farm.is_none() {
            return;
        }
        let rank = self.prng.range_u32(0..=self.options.ranks - 1);
        let time = self.prng.duration(1_000..=FAULT_MAX.as_secs() * 1_000_000);
        self.strike_with(self.options.faults[index].0, rank, time);
        self.plan_trouble(index);
    }

    /// Applies a fault to a rank, for this time if it is one that heals.
    pub(crate) fn strike_with(&mut self, fault: Fault, rank: u32, time: Duration) {
        self.trace(|| format!("fault: {fault:?} at rank {rank} for {time:?}"));
        let own = rank == FARMER.0;
        let heals = self.now + time;
        match fault {
            // Rank 0's pool is behind a socket, and its relay is the farmer.
            Fault::StallLink | Fault::HangRelay | Fault::KillNode | Fault::BreakLink if own => return,
            Fault::StallLink => self.links.stall(rank, true),
            Fault::HangRelay => self.nodes[rank as usize].relay_hung = true,
            Fault::HangPool => self.hang_pool(rank),
            Fault::HangNode => {
                self.hang_pool(rank);
                self.nodes[rank as usize].relay_hung = !own;
            }
            Fault::KillNode => {
                self.nodes[rank as usize].relay_up = false;
                self.wipe(rank);
                self.links.cut(rank);
            }
            Fault::KillPool => self.kill_pool(rank, false),
            Fault::BreakLink => {
                self.checker.trouble(rank);
                if self.farmer_hung.is_none() {
                    self.farmer(Event::LinkFailed(Rank(rank), "simulated".to_owned()));
                }
            }
            Fault::Garbage => self.links.push(Towards::Farmer(rank), vec![0xff; 3]),
            Fault::RefuseSpawn => self.nodes[rank as usize].refusing = true,
            Fault::BlackHole => self.nodes[rank as usize].broken = true,
            Fault::LogsFull => self.nodes[rank as usize].output.full = true,
            Fault::HangFarmer => {
                self.held_up = false; // Its threads too.
                self.hang_farmer(time);
            }
            Fault::CrashFarmer | Fault::PowerLoss => {
                self.power_lost = fault == Fault::PowerLoss;
                let steps = self.prng.range_u32(1..=30);
                self.countdown.set(Some(steps));
            }
            Fault::DiskFull => {
                self.disk.borrow_mut().full = true;
                self.checker.stop_was_asked = true;
            }
            Fault::DiskSlow => self.disk.borrow_mut().slow = time,
            Fault::SyncFails => self.disk.borrow_mut().sync_fails = true,
            Fault::Signal => return self.signal(rank),
        }
        self.checker.trouble(rank);
        if !matches!(fault, Fault::KillNode | Fault::KillPool | Fault::CrashFarmer | Fault::PowerLoss) {
            self.at(heals, What::Heals(fault, rank));
        }
        self.plan_arrivals();
    }

    /// A pool dies. Its MPI process reports it after a while.
    fn kill_pool(&mut self, rank: u32, was_poisoned: bool) {
        let now = self.now;
        let node = &mut self.nodes[rank as usize];
        if matches!(node.pool, super::node::Pool::Ended | super::node::Pool::Dead) {
            return;
        }
        let executing = node.executing(now);
        node.inbox.clear();
        (node.pool_hung, node.was_poisoned) = (false, was_poisoned);
        node.loss = Some(ToFarmer::PoolLost { reason: "simulated".to_owned(), executing, can_restart: true });
        self.wipe(rank);
        self.at(self.now + LOSS_HELD, What::ReportLoss(rank));
    }

    pub(super) fn report_loss(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        node.can_restart = node.loss.is_some();
        node.outbox.extend(node.loss.take());
        self.pass_on(rank);
    }

    /// A task harms its pool.
    pub(super) fn poisoned(&mut self, rank: u32, poison: Poison) {
        self.trace(|| format!("rank {rank}: a task {poison:?} its pool"));
        self.checker.trouble(rank);
        match poison {
            Poison::KillsNode if rank != FARMER.0 => self.strike_with(Fault::KillNode, rank, Duration::ZERO),
            Poison::Kills | Poison::KillsNode => self.kill_pool(rank, true),
            Poison::Stops => {
                self.nodes[rank as usize].was_poisoned = true;
                self.hang_pool(rank);
            }
        }
    }

    pub(super) fn hang_pool(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        if !node.pool_hung {
            (node.pool_hung, node.hung_since) = (true, self.now);
        }
        self.at(self.now + STOPPED_MAX, What::PoolSilent(rank));
    }

    /// A pool that hangs has been silent for some time, unless it has healed in the meantime.
    pub(super) fn pool_silent(&mut self, rank: u32) {
        let is_away = if rank == FARMER.0 { self.farmer_hung.is_some() } else { self.nodes[rank as usize].relay_hung };
        let node = &mut self.nodes[rank as usize];
        if !node.pool_hung || !node.relay_up || (rank == FARMER.0 && self.farm.is_none()) {
            return;
        }
        if is_away {
            // Its relay starts to wait again when it is back.
            node.hung_since = self.now;
            self.at(self.now + STOPPED_MAX, What::PoolSilent(rank));
        } else if self.now - node.hung_since >= STOPPED_MAX {
            self.checker.trouble(rank);
            let was_poisoned = self.nodes[rank as usize].poison(self.now).is_some();
            self.kill_pool(rank, was_poisoned);
        }
    }

    /// Signals a rank, or, half of the time, all ranks and all tasks at the same time, as batch systems do.
    fn signal(&mut self, rank: u32) {
        self.checker.stop_was_asked = true;
        if self.prng.chance(500) {
            return self.signal_rank(rank);
        }
        for rank in 0..self.options.ranks {
            let operations = self.nodes[rank as usize].strike(self.now);
            self.see(rank, &operations);
            self.signal_rank(rank);
        }
    }

    /// A signal reaches the MPI process of a rank.
    pub(crate) fn signal_rank(&mut self, rank: u32) {
        self.checker.stop_was_asked = true;
        if rank == FARMER.0 {
            if self.farmer_hung.is_none() {
                self.farmer(Event::Signal(15));
            }
        } else if self.nodes[rank as usize].relay_up {
            self.nodes[rank as usize].outbox.push_back(ToFarmer::Signaled { signal: 15 });
            self.pass_on(rank);
        }
    }

    pub(super) fn hang_farmer(&mut self, time: Duration) {
        let (since, until) = self.farmer_hung.unwrap_or((self.now, self.now));
        let until = until.max(self.now + time);
        self.farmer_hung = Some((since, until));
        if until - since > AWAY_MAX && !self.held_up {
            (0..self.options.ranks).for_each(|rank| self.checker.trouble(rank));
        }
        self.checker.excuse_farmer(until + Duration::from_secs(10));
        self.at(until, What::FarmerWakes);
    }

    /// The disk delays the farmer.
    pub(super) fn hold_up_farmer(&mut self, time: Duration) {
        self.held_up = self.farmer_hung.is_none();
        if self.held_up {
            self.at(self.now, What::KeepAlive);
        }
        self.hang_farmer(time);
    }

    pub(super) fn farmer_wakes(&mut self) {
        if self.farm.is_none() || self.farmer_hung.is_none_or(|(_, until)| until > self.now) {
            return;
        }
        self.trace(|| "the farmer wakes up".to_owned());
        (self.farmer_hung, self.held_up) = (None, false);
        (0..self.options.ranks).for_each(|rank| self.links.replan(Towards::Farmer(rank)));
        self.plan_arrivals();
        self.at(self.now, What::FarmerTick);
    }

    pub(super) fn heal(&mut self, fault: Fault, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        match fault {
            Fault::StallLink => self.links.stall(rank, false),
            Fault::HangRelay | Fault::HangPool | Fault::HangNode => {
                // It notices that it was away, and gives the farmer the whole time again.
                if node.relay_hung {
                    node.relay.handle(self.now, relay::Event::WasAway);
                }
                node.relay_hung &= fault == Fault::HangPool;
                node.pool_hung &= fault == Fault::HangRelay;
                self.wake(rank);
            }
            Fault::RefuseSpawn => node.refusing = false,
            Fault::BlackHole => node.broken = false,
            Fault::LogsFull => node.output.full = false,
            Fault::DiskFull => self.disk.borrow_mut().full = false,
            Fault::DiskSlow => self.disk.borrow_mut().slow = Duration::ZERO,
            // The farmer is gone, and its pool sees its socket close.
            Fault::CrashFarmer if !node.pool_hung => self.wipe(rank),
            _ => {}
        }
    }

    fn wake(&mut self, rank: u32) {
        self.trace(|| format!("rank {rank} wakes up"));
        self.pass_on(rank);
        self.links.replan(Towards::Rank(rank));
        if rank == FARMER.0 && self.farm.is_none() {
            self.wipe(rank); // Its socket was closed while it hung.
        } else if !self.nodes[rank as usize].pool_hung {
            self.round(rank);
        }
    }

    /// No further faults; all existing ones heal if they can.
    pub(super) fn calm_down(&mut self) {
        self.trace(|| "all faults end".to_owned());
        self.calm = true;
        for rank in 0..self.options.ranks {
            for fault in [Fault::StallLink, Fault::HangNode, Fault::RefuseSpawn, Fault::BlackHole, Fault::LogsFull] {
                self.heal(fault, rank);
            }
        }
        for fault in [Fault::DiskFull, Fault::DiskSlow] {
            self.heal(fault, FARMER.0);
        }
        if let Some((since, _)) = self.farmer_hung {
            self.farmer_hung = Some((since, self.now));
            self.farmer_wakes();
        }
    }
}
