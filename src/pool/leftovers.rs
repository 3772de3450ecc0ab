//! What tasks have started besides their first process.
//!
//! Owns which children of the pool are not a task's first process, and which task they belong to. A task's processes
//! descend from its first one. When that has ended, or one in between has, the kernel gives its children to the pool;
//! then the process group shows which task they belong to, or what was seen of them before, or the variables that every
//! task gets. Decides nothing: the worker core does.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{Pid, SysconfVar, sysconf};

use super::context::SpawnContext;
use crate::sys::family::{Children, KILL, Pinned, each_of};
use crate::task::{Attempt, TaskId};

/// A process that is still alive this long after SIGKILL is not waited for.
const UNKILLABLE_MAX: Duration = Duration::from_secs(30);

/// Pause before a process that is becoming another program is examined again; there is no event for that.
const MOVING_PAUSE: Duration = Duration::from_millis(2);

/// A process may be without memory for this long; one that is ending may have to wait for a file system.
const MOVING_MAX: Duration = Duration::from_secs(30);

/// If a variable is missing from the environment for this long, it was not cut off by a partial read.
const MISSING_MIN: Duration = Duration::from_millis(200);

/// A task that has a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) slot: u32,
    /// Its first process, once it is known.
    pub(super) leader: Option<Pid>,
    pub(super) id: TaskId,
    pub(super) attempt: Attempt,
    /// When it got the slot.
    pub(super) since: Duration,
}

/// Which task a process belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    /// The task in this slot.
    Slot(u32),
    /// It could not be examined, since this time: it is becoming another program, or it is ending.
    Moving(Duration),
    /// Several tasks may have started it, and nothing shows which.
    Unknown,
    /// It stays until the pool ends: no signal reaches it, or its task was over before it appeared.
    Nobody,
}

impl Owner {
    /// Whether examining it again may show more.
    fn is_open(self) -> bool {
        matches!(self, Self::Moving(_) | Self::Unknown)
    }
}

/// Processes that are not a task's first one.
#[derive(Debug, Default)]
pub(super) struct Leftovers {
    children: Children,
    /// Children of the pool.
    adopted: HashMap<Pid, Owner>,
    /// Descendants of a task when it was signaled, by process ID and start: the kernel may give them to the pool later.
    seen: HashMap<(Pid, u64), u32>,
    /// When to examine processes again, if one is [`Owner::Moving`].
    look_again: Option<Duration>,
    /// Slots whose processes are killed as soon as they are seen, and since when.
    killing: HashMap<u32, Duration>,
}

impl Leftovers {
    /// Looks for new children of the pool. `without_leaders` removes the first processes of tasks from a list;
    /// `holders` is asked for all tasks only if there is a new child. Cheap if there is none.
    pub(super) fn look(
        &mut self,
        context: &SpawnContext,
        without_leaders: impl Fn(&mut Vec<Pid>),
        holders: impl Fn() -> Vec<Holder>,
    ) {
        let now = context.clock.now();
        let (mut dead, mut late) = (HashSet::new(), HashSet::new());
        self.look_again = None;
        loop {
            let mut children = self.children.list();
            without_leaders(&mut children);
            children.retain(|pid| !dead.contains(pid) && self.adopted.get(pid).is_none_or(|owner| owner.is_open()));
            if children.is_empty() {
                break;
            }
            let holders = holders();
            let before = dead.len();
            for pid in children {
                let Some(process) = Pinned::new(pid) else {
                    dead.insert(pid);
                    log::debug!("process {pid} is dead");
                    // It is about to be reaped.
                    self.adopted.remove(&pid);
                    continue;
                };
                let known = self.adopted.get(&pid).copied();
                let owner = self.owner(&process, known, context, &holders);
                self.adopted.insert(pid, owner);
                if known != Some(owner) {
                    log::debug!("process {pid} ({}) has come to the pool: {owner:?}", process.stat.name);
                }
                match owner {
                    Owner::Slot(slot) if self.killing.contains_key(&slot) => _ = late.insert(slot),
                    Owner::Moving(_) => self.look_again = Some(now + MOVING_PAUSE),
                    _ => {}
                }
            }
            // One that died after it was listed has left its children to the pool, after those that were listed.
            if dead.len() == before {
                break;
            }
        }
        late.into_iter().for_each(|slot| self.signal(now, slot, None, &KILL));
    }

    /// When to look again, because a process could not be examined.
    pub(super) fn look_again(&self) -> Option<Duration> {
        self.look_again
    }

    /// Whether anything is left of the task in this slot besides its first process. A process that cannot be examined
    /// yet may belong to it.
    pub(super) fn are_left(&self, slot: u32) -> bool {
        self.adopted.values().any(|owner| *owner == Owner::Slot(slot) || matches!(owner, Owner::Moving(_)))
    }

    /// Whether the task of every process is known.
    pub(super) fn are_all_known(&self) -> bool {
        self.adopted.values().all(|owner| matches!(owner, Owner::Slot(_)))
    }

    /// A child of the pool has ended that was not a task's first process. Returns the slot of its task.
    pub(super) fn on_reaped(&mut self, pid: Pid) -> Option<u32> {
        match self.adopted.remove(&pid)? {
            Owner::Slot(slot) => Some(slot),
            Owner::Moving(_) | Owner::Unknown | Owner::Nobody => None,
        }
    }

    /// Signals what a task has started, except for the process group of a `leader` that was not reaped yet: that gets
    /// the signal as a group. Repeats SIGKILL for everything that appears later.
    pub(super) fn signal(&mut self, now: Duration, slot: u32, leader: Option<Pid>, signals: &[Signal]) {
        if signals.contains(&Signal::SIGKILL) {
            self.killing.entry(slot).or_insert(now);
        }
        let own = self.adopted.iter().filter(|(_, owner)| **owner == Owner::Slot(slot)).map(|(pid, _)| *pid);
        let tops: Vec<Pid> = own.chain(leader).collect();
        let mut refused = Vec::new();
        each_of(&tops, &mut |process| {
            self.seen.insert((process.pid, process.stat.started), slot);
            if leader.is_some_and(|leader| process.stat.group == leader.as_raw()) {
                return;
            }
            match process.signal(signals) {
                Err(Errno::EPERM) => refused.push((process.pid, process.stat.name.clone())),
                Err(error) => log::debug!("cannot signal process {}: {error}", process.pid),
                Ok(()) => {}
            }
        });
        for (pid, name) in refused {
            // Nothing waits for a process that may never end.
            if let Some(owner) = self.adopted.get_mut(&pid) {
                log::warn!(
                    "a task left behind process {pid} ({name}), which belongs to another user: the farm cannot kill it"
                );
                *owner = Owner::Nobody;
            }
        }
    }

    /// When the rest of the task in this slot is given up, if it was killed.
    pub(super) fn give_up_at(&self, slot: u32) -> Option<Duration> {
        self.killing.get(&slot).map(|since| *since + UNKILLABLE_MAX)
    }

    /// Gives up processes that SIGKILL does not end: those in a call into a file system that hangs.
    pub(super) fn give_up(&mut self, slot: u32, id: TaskId) {
        let left: Vec<Pid> =
            self.adopted.iter().filter(|(_, of)| **of == Owner::Slot(slot)).map(|(pid, _)| *pid).collect();
        for pid in left {
            log::warn!(
                "process {pid}, which task {id} has left behind, does not end after SIGKILL; the farm does not wait for it"
            );
            self.adopted.insert(pid, Owner::Nobody);
        }
    }

    /// The task in this slot is over.
    pub(super) fn forget(&mut self, slot: u32) {
        if !self.killing.is_empty() {
            self.killing.remove(&slot);
        }
        if !self.seen.is_empty() {
            self.seen.retain(|_, of| *of != slot);
        }
    }

    fn owner(&self, process: &Pinned, known: Option<Owner>, context: &SpawnContext, holders: &[Holder]) -> Owner {
        if let Some(slot) = self.seen.get(&(process.pid, process.stat.started)) {
            return Owner::Slot(*slot);
        }
        if let Some(holder) =
            holders.iter().find(|holder| holder.leader.is_some_and(|leader| leader.as_raw() == process.stat.group))
        {
            return Owner::Slot(holder.slot);
        }
        let now = context.clock.now();
        let moving_since = if let Some(Owner::Moving(since)) = known { since } else { now };
        match mark_of(process.pid, context) {
            Mark::Task(id, attempt) => {
                let holder = holders.iter().find(|holder| (holder.id, holder.attempt) == (id, attempt));
                return holder.map_or(Owner::Nobody, |holder| Owner::Slot(holder.slot));
            }
            Mark::NotYet if now.saturating_sub(moving_since) < MOVING_MAX => return Owner::Moving(moving_since),
            Mark::Missing if now.saturating_sub(moving_since) < MISSING_MIN => return Owner::Moving(moving_since),
            Mark::NotYet | Mark::Missing | Mark::Closed => {}
        }
        // It has left its group and emptied its environment. A task that started after it cannot have started it.
        let at = start_of(process, context);
        let mut before = holders.iter().filter(|holder| holder.since <= at);
        match (before.next(), before.next()) {
            (None, _) => Owner::Nobody,
            (Some(holder), None) => Owner::Slot(holder.slot),
            (Some(_), Some(_)) => Owner::Unknown,
        }
    }
}

/// What a process's environment shows about the task that started it.
enum Mark {
    /// This task, of this pool.
    Task(TaskId, Attempt),
    /// It has no memory for a moment: it is becoming another program, or it is ending.
    NotYet,
    /// No task of this pool; or it ended while it was read, and this is only the beginning of the environment.
    Missing,
    /// It must not be read.
    Closed,
}

fn mark_of(pid: Pid, context: &SpawnContext) -> Mark {
    let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}"));
    let has_gone = |error: &std::io::Error| error.raw_os_error() == Some(Errno::ESRCH as i32);
    match read("environ") {
        Ok(environment) => match task_of(&environment, context) {
            Some((id, attempt)) => Mark::Task(id, attempt),
            // Without memory it has no arguments either.
            None if read("cmdline").map_or_else(|error| has_gone(&error), |line| line.is_empty()) => Mark::NotYet,
            None => Mark::Missing,
        },
        Err(error) if has_gone(&error) => Mark::NotYet,
        Err(_) => Mark::Closed,
    }
}

/// A farm inside a task has marks of its own.
fn task_of(environment: &[u8], context: &SpawnContext) -> Option<(TaskId, Attempt)> {
    let get = |name: &str| {
        let mut lines = environment.split(|&byte| byte == 0);
        lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    };
    let number = |name: &str| str::from_utf8(get(name)?).ok()?.parse::<u32>().ok();
    let attempt = u16::try_from(number("TASKFARMER_ATTEMPT")?).ok()?;
    let is_ours = context.is_place(number("TASKFARMER_RANK")?, get("TASKFARMER_WORKDIR")?);
    is_ours.then_some((TaskId(number("TASKFARMER_TASK_ID")?), Attempt(attempt)))
}

/// The latest time at which a process may have been started, on the pool's clock.
fn start_of(process: &Pinned, context: &SpawnContext) -> Duration {
    let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
    let tick_ns = 1_000_000_000 / ticks_per_s.unwrap_or(100).max(1);
    let started = Duration::from_nanos(process.stat.started.saturating_add(1).saturating_mul(tick_ns));
    let up = clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::ZERO, Duration::from);
    context.clock.now().saturating_sub(up.saturating_sub(started))
}
