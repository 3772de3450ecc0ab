//! Messages to and from a rank.
//!
//! Owns the path between the links and the pools, through relays that may hang.

use super::network::Towards;
use super::node::Pool;
use super::processes::Operation;
use super::world::{What, World};
use crate::protocol::{ToFarmer, ToWorker, codec};
use crate::relay;
use crate::task::FARMER;

impl World {
    pub(super) fn at_rank(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        if node.relay_hung {
            return; // It waits in the link until the relay wakes up.
        }
        let Some(frame) = self.links.take(Towards::Rank(rank)) else { return };
        if !node.relay_up {
            return;
        }
        let action = node.relay.handle(self.now, relay::Event::Heard(&frame));
        if let Some(relay::Action::End(_)) = action {
            node.relay_up = false;
            return self.wipe(rank);
        }
        match codec::decode::<ToWorker>(&frame) {
            Ok(ToWorker::Stop { level }) => self.checker.stop_arrived(rank, level),
            Ok(ToWorker::Start(_)) if std::mem::take(&mut node.can_restart) => {
                self.trace(|| format!("rank {rank} gets a new pool"));
                let node = &mut self.nodes[rank as usize];
                (node.pool, node.wake_at, node.was_poisoned) = (Pool::Forked, None, false);
            }
            Ok(_) => {}
            Err(error) => self.checker.report(&format!("the farmer sends something that is not a message: {error}")),
        }
        let node = &mut self.nodes[rank as usize];
        if matches!(node.pool, Pool::Forked | Pool::Up(_)) {
            node.inbox.push_back(frame);
            if node.works() {
                self.round(rank);
            }
        }
    }

    pub(super) fn pool_tick(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        if node.wake_at.is_some_and(|at| at <= self.now) {
            node.wake_at = None;
        }
        if node.works() {
            self.round(rank);
        }
    }

    /// One round of a pool's loop, and what is observable of it.
    pub(super) fn round(&mut self, rank: u32) {
        if let Some(poison) = self.nodes[rank as usize].poison(self.now) {
            return self.poisoned(rank, poison);
        }
        let mut out = Vec::new();
        let operations = self.nodes[rank as usize].round(self.now, &mut out);
        for message in out {
            if let ToFarmer::Hello { slots, capacity, .. } = &message {
                self.checker.joined(rank, *slots, *capacity);
            }
            self.checker.output_failed |= matches!(message, ToFarmer::LogsFailed { .. });
            self.nodes[rank as usize].outbox.push_back(message);
        }
        self.see(rank, &operations);
        self.pass_on(rank);
        let node = &mut self.nodes[rank as usize];
        if node.is_stopped() {
            self.checker.nothing_is_left(rank);
            node.pool = Pool::Ended;
            self.trace(|| format!("rank {rank} has stopped"));
            return;
        }
        let Some(deadline) = node.deadline() else { return };
        if deadline <= self.now {
            self.checker.report("a worker's next deadline is always in the past: its loop would spin");
        }
        let wake_at = node.wake_at.filter(|&at| at <= deadline);
        if wake_at.is_none() {
            node.wake_at = Some(deadline);
            self.at(deadline, What::PoolTick(rank));
        }
    }

    /// Reports to the checker what happened to processes, and plans their ends.
    pub(super) fn see(&mut self, rank: u32, operations: &[(u32, Operation)]) {
        for (slot, operation) in operations {
            self.trace(|| format!("rank {rank}, slot {slot}: {operation:?}"));
            self.checker.operation(self.now, rank, *slot, operation);
            let changed = matches!(
                operation,
                Operation::Spawned(..)
                    | Operation::Lingers
                    | Operation::Terminated
                    | Operation::Killed
                    | Operation::Struck
            );
            if let Some(ends_at) = self.nodes[rank as usize].ends_at(*slot).filter(|_| changed) {
                self.at(ends_at, What::PoolTick(rank));
            }
        }
    }

    /// The relay passes on the messages of its pool and its own.
    pub(super) fn pass_on(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        if node.relay_hung || (rank != FARMER.0 && !node.relay_up) {
            return;
        }
        for message in std::mem::take(&mut node.outbox) {
            self.nodes[rank as usize].relay.handle(self.now, relay::Event::Said);
            self.links.send_from(rank, &message);
        }
        self.plan_arrivals();
    }
}
