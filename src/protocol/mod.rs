//! The messages between farmer and workers.
//!
//! Owns the message types; what they speak of is in [`crate::task`]. [`codec`] turns them into bytes,
//! [`framing`] splits and joins those. Never does I/O, never knows whether a frame travels by MPI or over a socket.
//!
//! Invariant: a message from a peer is input. Every field may hold anything; the receiver checks it.

#[cfg(test)]
pub(crate) mod any;
pub(crate) mod codec;
pub(crate) mod framing;

use std::time::Duration;

use bincode::{Decode, Encode};

use crate::demand::classes::Class;
use crate::demand::{Capacity, Demand, Shortage};
use crate::lengths::micros;
use crate::runner::RunnerConfig;
use crate::task::{Attempt, Executing, Rank, SLOTS_MAX, TaskId, TaskResult};

/// Raised whenever the meaning or the bytes of a message change. Start and Hello carry it: a farm consists of one
/// program, and two versions in one allocation are refused by name instead of misread.
pub const PROTOCOL_VERSION: u32 = 8;

/// The level of a stop. Higher levels win; a farm never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode)]
pub enum StopLevel {
    /// Start nothing new, let running tasks end.
    Drain,
    /// SIGTERM to every process of each task, the grace period, then SIGKILL.
    Terminate,
    /// SIGKILL now.
    Kill,
}

/// How many tasks a rank runs at the same time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum SlotCount {
    /// As many as the rank has CPUs; with a demand, as many as have room.
    Cpus,
    /// As many as the rank has CPUs, but no more than this.
    CpusUpTo(u32),
    /// This many, at most [`SLOTS_MAX`]; with 0 it takes no tasks.
    Fixed(u32),
}

impl SlotCount {
    /// On a rank that offers this, for tasks that ask for one of those. A task that asks for no CPU counts as one.
    ///
    /// # Errors
    /// If no task has room.
    pub fn on(self, capacity: &Capacity, kinds: &[Demand]) -> Result<u32, Shortage> {
        if self == Self::Fixed(0) {
            return Ok(0);
        }
        let rooms = || kinds.iter().map(|demand| capacity.room(demand));
        // As many as there would be if all asked for what most have room for.
        let most = rooms().flatten().map(|room| room.unwrap_or(u32::MAX)).max();
        let room = match most {
            Some(room) => room,
            None => rooms().find_map(Result::err).map_or(Ok(u32::MAX), Err)?,
        };
        let slots = match self {
            Self::Cpus if kinds.iter().all(|demand| demand.cpus > 0) => u32::MAX,
            Self::Cpus => capacity.cpus,
            Self::CpusUpTo(slots) => slots.min(capacity.cpus),
            Self::Fixed(slots) => slots,
        };
        Ok(room.min(slots).min(SLOTS_MAX))
    }
}

/// Which CPUs a task may use, of those that its rank has.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Encode, Decode, clap::ValueEnum)]
pub enum Bind {
    /// All of them
    #[default]
    None,
    /// Those of its slot: each slot has its own; OMP_NUM_THREADS says how many
    Slot,
}

/// Where the output of tasks goes: within `logs/` of the workdir, except for [`Logs::None`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Encode, Decode)]
pub enum Logs {
    /// A file per task, `log_<ID>`.
    #[default]
    Task,
    /// The same in folders of this many IDs each, at least 1.
    Folders(u32),
    /// A file for each task that failed or wrote anything, and none for the others.
    Failed,
    /// Two files per rank: all output, and where each task's is in it.
    Rank,
    /// Nowhere.
    None,
}

/// What a worker must know before its first task. Rank 0 reads all files; the others receive their content here.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct WorkerConfig {
    /// [`PROTOCOL_VERSION`] of the farmer.
    pub protocol: u32,
    /// The rank this message is for, as tasks see it in `TASKFARMER_RANK`.
    pub rank: Rank,
    /// Slots of the pool. 0 slots by `--farmer-only`: the rank takes no tasks.
    pub slots: SlotCount,
    /// What tasks ask for, by class; at least one.
    pub kinds: Vec<Demand>,
    /// Time between SIGTERM and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// Absolute path: where the farmer was started, and every task's working directory.
    pub cwd: Vec<u8>,
    /// Absolute path of the workdir.
    pub workdir: Vec<u8>,
    /// Which CPUs a slot's tasks may use.
    pub bind: Bind,
    /// Where the output of tasks goes.
    pub logs: Logs,
    /// Host of a rank 0 that takes no tasks: the other ranks of that node share its CPUs.
    pub farmer_only_host: Option<String>,
    /// How a command becomes a process.
    pub runner: RunnerConfig,
    /// Log records up to this level come back to rank 0 (`log::LevelFilter` as a number, 0 to 5).
    pub log_level: u8,
}

impl WorkerConfig {
    /// For a farm whose tasks are started as they are. Not for production: there are no folders.
    pub(crate) fn plain(rank: Rank, slots: SlotCount, grace: Duration) -> Self {
        Self {
            protocol: PROTOCOL_VERSION,
            rank,
            slots,
            kinds: vec![Demand::default()],
            grace_ms: micros(grace) / 1_000,
            cwd: Vec::new(),
            workdir: Vec::new(),
            bind: Bind::None,
            logs: Logs::Task,
            farmer_only_host: None,
            runner: RunnerConfig::Basic,
            log_level: 2,
        }
    }
}

/// A task on its way to a worker.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Assignment {
    /// The task.
    pub id: TaskId,
    /// The number of this attempt.
    pub attempt: Attempt,
    /// What it asks for: an index into [`WorkerConfig::kinds`].
    pub class: Class,
    /// The line of the list, as bytes: no NUL, no newline.
    pub command: Vec<u8>,
}

/// Farmer to worker.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ToWorker {
    /// First message on every link.
    Start(Box<WorkerConfig>),
    /// Run these, in this order, as slots come free.
    Assign {
        /// Counts the Assign messages of this link from 1; Report returns it, which measures the round trip.
        seq: u32,
        /// In list order, except for retries.
        tasks: Vec<Assignment>,
    },
    /// Give back up to this many tasks that have not started, the last of the queue first.
    Recall {
        /// At most this many.
        count: u32,
    },
    /// Stop; the worker sends [`ToFarmer::Stopped`] when its last task is gone.
    Stop {
        /// The level.
        level: StopLevel,
    },
    /// Nothing to report. Answers the worker's own heartbeat.
    Heartbeat,
    /// The rank had been given up and messages to it were dropped: it must forget the tasks that have not started,
    /// which are with others now, and report by [`ToFarmer::Holds`] which ones run.
    Rejoin {
        /// From the same counter as in Assign.
        seq: u32,
    },
    /// Every task, running or to come, may run for this long. Then it is asked to end, and killed after the grace
    /// period.
    Limit {
        /// In microseconds; 0: no limit.
        us: u64,
    },
    /// The farm is over and its files are closed: leave MPI and end. For the relay; until it arrives, a rank that has
    /// stopped stays, because launchers end a farm in which one rank leaves long before the others.
    Leave {
        /// Some rank was lost: end without MPI_Finalize, which would wait for it.
        skip_finalize: bool,
    },
}

/// Worker to farmer.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ToFarmer {
    /// Answer to [`ToWorker::Start`].
    Hello {
        /// [`PROTOCOL_VERSION`] of the worker.
        protocol: u32,
        /// Host name.
        host: String,
        /// Slots of its pool.
        slots: u32,
        /// What it offers to its tasks.
        capacity: Capacity,
        /// Why it has no slots, if not even one task has room.
        shortage: Option<String>,
    },
    /// What happened since the last Report.
    Report {
        /// Attempts that ended.
        results: Vec<TaskResult>,
        /// Attempts that a stop ended, or that may have died because of what stops the farm. The tasks must run again,
        /// and it costs no attempt.
        interrupted: Vec<TaskResult>,
        /// Tasks that have not run here and cost no attempt: recalled, or refused by this node (no processes, no
        /// memory).
        returned: Vec<TaskId>,
        /// The last [`ToWorker::Assign`] that arrived.
        ack: u32,
        /// How long ago that was, in microseconds.
        ack_age_us: u64,
        /// Tasks whose slot is free again, but whose verdict is still pending: see docs/signals.md, "Held results".
        undecided: u32,
        /// A [`ToWorker::Recall`] is answered by this, even if nothing could be given back.
        recall_answered: bool,
        /// The node refuses to start processes: send no task for this many milliseconds. 0: no problem.
        pause_ms: u32,
    },
    /// Nothing to report.
    Heartbeat,
    /// This rank received a signal that asks the farm to stop.
    Signaled {
        /// Its number.
        signal: u8,
    },
    /// The last task of this rank is gone and the pool is about to end.
    Stopped,
    /// The pool process died; its tasks were killed.
    PoolLost {
        /// How it died.
        reason: String,
        /// The tasks that may have caused it: all that were executing. None if it is known that no task was.
        executing: Vec<Executing>,
        /// Whether [`ToWorker::Start`] makes a new pool.
        can_restart: bool,
    },
    /// This rank cannot run tasks of this farm at all.
    Unfit {
        /// Why: what failed, where, and what to do about it.
        reason: String,
    },
    /// A log record of this rank, since only rank 0 writes to the terminal.
    Log {
        /// `log::Level` as a number, 1 (error) to 5 (trace).
        level: u8,
        /// The text.
        text: String,
    },
    /// Answer to [`ToWorker::Rejoin`].
    Holds {
        /// As in the question.
        seq: u32,
        /// Tasks that run here or whose verdict is pending. Nothing else is left here.
        tasks: Vec<TaskId>,
    },
    /// Kept output of tasks on this rank is gone, or could not be written for too long: that is the farm's problem, and
    /// the farm must end. Sent once; the tasks concerned are not reported as ended.
    LogsFailed {
        /// What failed, where, and the system's error.
        reason: String,
    },
}

impl ToFarmer {
    /// Of a rank that has nothing but slots, as many as CPUs. For tests, benches and the simulator.
    pub fn plain_hello(host: String, slots: u32) -> Self {
        let capacity = Capacity { cpus: slots, ..Capacity::default() };
        Self::Hello { protocol: PROTOCOL_VERSION, host, slots, capacity, shortage: None }
    }
}
