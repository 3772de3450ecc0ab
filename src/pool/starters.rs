//! Which threads start tasks, and which processes run.
//!
//! The start of a process blocks its caller until the child has become another program, and creating the log file
//! before that takes as long as the file system needs. On a node with many slots one thread cannot start all tasks in
//! time, so there are several; with few slots the pool's own thread starts them.
//!
//! Owns the tasks that are waiting to be started, those that are being started, and the table of processes. If a
//! process has ended, or must be signaled, before its starter has reported it, the pool waits for the starter: that
//! takes as long as the start of one process, for which a pool with one thread would be blocked too.

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::unistd::Pid;

use super::context::{SpawnContext, Started};
use super::leftovers::Holder;
use super::start_error::StartError;
use crate::protocol::Assignment;
use crate::sys::family::has_lists;
use crate::sys::process::{Reap, Whose, ended_child, reap};

/// One thread per this many slots.
const SLOTS_PER_THREAD: u32 = 4;

/// And at most this many: see docs/performance.md.
const THREADS_MAX: u32 = 16;

/// How long the end of a pool waits for starts in progress.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How many threads start the tasks of this many slots; 1 is the pool's own.
pub(super) fn threads_for(slots: u32) -> usize {
    (slots / SLOTS_PER_THREAD).clamp(1, THREADS_MAX) as usize
}

/// A task that has a slot.
#[derive(Debug)]
struct ToStart {
    slot: u32,
    task: Assignment,
    /// When it got the slot: the worker core counts its limit from here.
    since: Duration,
}

impl ToStart {
    fn holder(&self) -> Holder {
        Holder { slot: self.slot, leader: None, id: self.task.id, attempt: self.task.attempt, since: self.since }
    }
}

/// A running task.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) slot: u32,
    pub(super) task: Assignment,
    /// When it got its slot.
    pub(super) since: Duration,
    /// Its temporary folder.
    pub(super) temp: Option<PathBuf>,
    /// It was asked to end, by a stop or a limit: an exit code of 0 is not a success.
    pub(super) asked_to_end: bool,
    /// A shell would have waited for it, and would have said so if a signal had killed it.
    pub(super) is_waited_for: bool,
}

impl Process {
    /// What [`Leftovers`](super::leftovers::Leftovers) needs to know of it, with the ID of its first process.
    pub(super) fn holder(&self, leader: Pid) -> Holder {
        Holder {
            slot: self.slot,
            leader: Some(leader),
            id: self.task.id,
            attempt: self.task.attempt,
            since: self.since,
        }
    }
}

/// A task that could not be started.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) slot: u32,
    pub(super) task: Assignment,
    pub(super) at: Duration,
    pub(super) temp: Option<PathBuf>,
    /// `None`: it was called off before it was tried.
    pub(super) error: Option<StartError>,
}

#[derive(Debug, Default)]
struct Table {
    to_start: VecDeque<ToStart>,
    /// Tasks that are being started, by slot. Their processes may be running before their starters have reported them.
    starting: HashMap<u32, Holder>,
    running: HashMap<Pid, Process>,
    leaders: HashMap<u32, Pid>,
    failed: Vec<Failed>,
    closed: bool,
}

#[derive(Debug)]
struct Shared {
    context: SpawnContext,
    table: Mutex<Table>,
    /// There is something to start, or starting has ended.
    work: Condvar,
    /// A start has ended, successfully or not.
    settled: Condvar,
    /// Wakes the pool: a start has failed.
    wake: EventFd,
}

/// Starts tasks.
#[derive(Debug)]
pub(super) struct Starters {
    shared: Arc<Shared>,
    /// How many; 0: the pool's own thread does it. They end with the process, because one may hang in a file system.
    threads: usize,
}

impl Starters {
    /// Starts this many threads, or as many as the node allows.
    pub(super) fn new(context: SpawnContext, threads: usize) -> nix::Result<Self> {
        let threads = match threads {
            _ if context.one_at_a_time() => 0,
            // Without the kernel's list, orphans are distinguished from first processes by the thread whose children
            // they are.
            0 | 1 => usize::from(!has_lists()),
            threads => threads,
        };
        let wake = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let (table, work, settled) = (Mutex::default(), Condvar::new(), Condvar::new());
        let shared = Arc::new(Shared { context, table, work, settled, wake });
        let start = |_| {
            let shared = Arc::clone(&shared);
            std::thread::Builder::new().name("tfarmer-start".to_owned()).spawn(move || shared.start_all())
        };
        let threads = (0..threads).map_while(|number| start(number).ok()).count();
        Ok(Self { shared, threads })
    }

    pub(super) fn context(&self) -> &SpawnContext {
        &self.shared.context
    }

    /// Whether tasks are started by threads of their own.
    pub(super) fn are_threads(&self) -> bool {
        self.threads > 0
    }

    /// Readable when [`Self::take_failed`] has something.
    pub(super) fn wakes(&self) -> Option<BorrowedFd<'_>> {
        self.are_threads().then(|| self.shared.wake.as_fd())
    }

    /// Starts a task that has had its slot since `since`, now or soon. The error is that of an immediate start.
    pub(super) fn start(&self, since: Duration, slot: u32, task: &Assignment) -> Result<(), Box<Failed>> {
        let to_start = ToStart { slot, task: task.clone(), since };
        if self.are_threads() {
            self.shared.lock().to_start.push_back(to_start);
            self.shared.work.notify_one();
            return Ok(());
        }
        let (pid, process) = self.shared.start(to_start)?;
        self.shared.lock().add(pid, process);
        Ok(())
    }

    /// Starts that have failed since the last call.
    pub(super) fn take_failed(&self) -> Vec<Failed> {
        let mut table = self.shared.lock();
        let failed = std::mem::take(&mut table.failed);
        if !failed.is_empty() {
            let _ = self.shared.wake.read();
        }
        failed
    }

    /// Takes the next child that has ended, including adopted ones. Does not wait for one to end.
    pub(super) fn reap(&self) -> Reap {
        if !self.are_threads() {
            return reap(None);
        }
        // No first process of a task is a child of this thread, and all orphans are. They are not waited for.
        if let Some(orphan) = ended_child(Whose::ThisThread)
            && let ended @ Reap::Ended(_) = reap(Some(orphan))
        {
            return ended;
        }
        // Whose child it is becomes known only when its starter has reported it: look first, and take only that one.
        while let Some(pid) = ended_child(Whose::Process) {
            // A start that fails leaves an ended child for a moment, which the C library reaps. Its pid may then be
            // that of a later start: with no start in progress, a child that is not in the table does not belong to a
            // task.
            let unknown = |table: &mut Table| !table.running.contains_key(&pid) && !table.starting.is_empty();
            let _table = self.shared.settled.wait_while(self.shared.lock(), unknown);
            match reap(Some(pid)) {
                Reap::NoneEnded | Reap::NoChild => {} // It belonged to a failed start; others may have ended.
                ended @ Reap::Ended(_) => return ended,
            }
        }
        Reap::NoneEnded
    }

    /// Removes the first processes of tasks from a list of the pool's children.
    pub(super) fn without_leaders(&self, children: &mut Vec<Pid>) {
        if !children.is_empty() {
            let table = self.shared.lock();
            children.retain(|pid| !table.running.contains_key(pid));
        }
    }

    /// The tasks that run, and those that are being started.
    pub(super) fn holders(&self) -> Vec<Holder> {
        let table = self.shared.lock();
        let running = table.running.iter().map(|(&leader, process)| process.holder(leader));
        running.chain(table.starting.values().copied()).collect()
    }

    /// Removes a process from the table.
    pub(super) fn take(&self, pid: Pid) -> Option<Process> {
        let mut table = self.shared.lock();
        let process = table.running.remove(&pid)?;
        table.leaders.remove(&process.slot);
        Some(process)
    }

    /// Marks the process in a slot as asked to end, and returns it for the signal. A start that has not begun is called
    /// off, one that has is waited for.
    pub(super) fn ask_to_end(&self, slot: u32) -> Option<Pid> {
        let mut table = self.shared.lock();
        if let Some(at) = table.to_start.iter().position(|other| other.slot == slot) {
            let ToStart { slot, task, .. } = table.to_start.remove(at)?;
            let at = self.shared.context.clock.now();
            self.shared.fail(&mut table, Failed { slot, task, at, temp: None, error: None });
            return None;
        }
        let starts = |table: &mut Table| table.starting.contains_key(&slot);
        let mut table = self.shared.settled.wait_while(table, starts).unwrap_or_else(PoisonError::into_inner);
        let leader = *table.leaders.get(&slot)?;
        table.running.get_mut(&leader)?.asked_to_end = true;
        Some(leader)
    }

    /// Starts nothing more.
    pub(super) fn start_no_more(&self) {
        let mut table = self.shared.lock();
        table.closed = true;
        table.to_start.clear();
        drop(table);
        self.shared.work.notify_all();
    }

    /// Starts nothing more, and waits for starts in progress: after this, every process has been seen, unless a start
    /// hangs in a file system. Returns the folders of all tasks.
    pub(super) fn close(self) -> Vec<PathBuf> {
        self.start_no_more();
        let starts = |table: &mut Table| !table.starting.is_empty();
        let (mut table, _) = self
            .shared
            .settled
            .wait_timeout_while(self.shared.lock(), CLOSE_LIMIT, starts)
            .unwrap_or_else(PoisonError::into_inner);
        let running: Vec<Process> = table.running.drain().map(|(_, process)| process).collect();
        let of_running = running.into_iter().filter_map(|process| process.temp);
        of_running.chain(table.failed.drain(..).filter_map(|failed| failed.temp)).collect()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The main function of a thread.
    fn start_all(&self) {
        let mut table = self.lock();
        loop {
            if let Some(to_start) = table.to_start.pop_front() {
                let slot = to_start.slot;
                table.starting.insert(slot, to_start.holder());
                drop(table);
                let started = self.start(to_start);
                table = self.lock();
                table.starting.remove(&slot);
                match started {
                    Ok((pid, process)) => table.add(pid, process),
                    Err(failed) => self.fail(&mut table, *failed),
                }
                self.settled.notify_all();
            } else if table.closed {
                return;
            } else {
                table = self.work.wait(table).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn start(&self, ToStart { slot, task, since }: ToStart) -> Result<(Pid, Process), Box<Failed>> {
        let at = self.context.clock.now();
        let mut temp = None;
        match self.context.start(slot, &task, &mut temp) {
            Ok(Started { pid, is_waited_for }) => {
                Ok((pid, Process { slot, task, since, temp, asked_to_end: false, is_waited_for }))
            }
            Err(error) => Err(Box::new(Failed { slot, task, at, temp, error: Some(error) })),
        }
    }

    fn fail(&self, table: &mut Table, failed: Failed) {
        table.failed.push(failed);
        // It can only be full, and then it is readable.
        let _ = self.wake.write(1);
    }
}

impl Table {
    fn add(&mut self, pid: Pid, process: Process) {
        self.leaders.insert(process.slot, pid);
        self.running.insert(pid, process);
    }
}
