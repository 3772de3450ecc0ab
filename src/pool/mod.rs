//! The pool process: where tasks run.
//!
//! Owns the processes of one rank's tasks. It is forked before MPI_Init and holds no MPI state; it communicates with
//! its MPI process over a socket, frame by frame, and ends every task when that socket closes, for whatever reason.
//! [`handle`] is the other end: what the MPI process knows of its pool.
//!
//! Invariant: the pool's own thread waits in one place, for socket, ended children, failed starts and deadlines; it
//! never polls. With many slots, threads of `starters` do nothing but start tasks.

mod context;
pub(crate) mod handle;
pub(crate) mod keeping;
mod leftovers;
mod logs;
pub(crate) mod orders;
mod packed;
mod redirects;
mod shares;
mod start_error;
mod starters;
mod tasks;
mod temp;
pub(crate) mod turn;

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use std::os::unix::ffi::OsStringExt;

use crate::outlet::Outlet;
use crate::protocol::framing::FrameReader;
use crate::protocol::{ToFarmer, ToWorker, WorkerConfig, codec};
use crate::sys::clock::Clock;
use crate::sys::cpus;
use crate::sys::executing::ExecutingTable;
use crate::sys::family::end_descendants;
use crate::sys::host;
use crate::sys::launcher::{Launch, NodePlace};
use crate::sys::process::{Reap, reap};
use crate::sys::signals::SignalSource;
use crate::sys::wait::{Interest, wait_ready};
use crate::worker::Event;
use context::SpawnContext;
use orders::{Node, Prepared};
use shares::Offer;
use starters::threads_for;
use tasks::Tasks;
use turn::Turns;

/// The exit status of a pool process; its parent reads it by waitpid.
pub(crate) mod exit_status {
    /// Success.
    pub(crate) const CLEAN: i32 = 0;
    /// The MPI process went away, or sent invalid data. Tasks were killed.
    pub(crate) const PARENT_LOST: i32 = 11;
}

/// Processes that tasks leave running when the farm has ended get SIGTERM, and this much time before SIGKILL.
const LEFTOVER_GRACE: Duration = Duration::from_millis(500);

/// A pool that has sent nothing for this long sends a heartbeat; [`handle`] listens for it.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// How long the pool waits for processes that SIGKILL does not end immediately.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Runs the pool; returns its exit status. The table records which tasks are executing.
pub(crate) fn run(socket: UnixStream, executing: ExecutingTable) -> i32 {
    let outlet = Outlet::install();
    // An error: the other end is gone, and with it everything that could be notified.
    let (status, work) = match Pool::new(socket, executing, outlet) {
        Ok(mut pool) => (pool.serve().unwrap_or(exit_status::PARENT_LOST), pool.work),
        Err(_) => (exit_status::PARENT_LOST, None),
    };
    let is_killed = work.as_ref().is_some_and(|work| work.core.is_killed());
    let grace = if is_killed || status == exit_status::PARENT_LOST { Duration::ZERO } else { LEFTOVER_GRACE };
    if grace.is_zero() {
        // First of all, because a start in progress may hang in a file system.
        work.iter().for_each(|work| work.processes.start_no_more());
        end_descendants(Duration::ZERO, KILL_LIMIT);
    }
    // Before the end of all processes: a process that is being started would escape it.
    let temp = work.map(|work| work.processes.close());
    end_descendants(grace, KILL_LIMIT);
    if let Some(temp) = temp {
        temp.finish();
    }
    status
}

struct Pool {
    socket: UnixStream,
    children: SignalSource,
    node: ThisNode,
    reader: FrameReader,
    out: Vec<u8>,
    /// When it last sent something.
    last_sent: Duration,
    /// `None` before Start.
    work: Option<Box<Turns<Tasks>>>,
}

/// The node that the pool is on.
struct ThisNode {
    executing: ExecutingTable,
    clock: Clock,
    outlet: Outlet,
}

impl Node for ThisNode {
    type Processes = Tasks;

    fn prepare(&mut self, _now: Duration, config: &WorkerConfig) -> Result<Prepared<Tasks>, String> {
        self.outlet.set_level(config.log_level);
        let cwd = PathBuf::from(std::ffi::OsString::from_vec(config.cwd.clone()));
        std::env::set_current_dir(&cwd)
            .map_err(|error| format!("its node has no folder {}: {error}", cwd.display()))?;
        let host = host::name();
        let launch = Launch::of_this_process();
        let mut place = NodePlace::of_this_process();
        if config.farmer_only_host.as_ref() == Some(&host) {
            place = place.without_first();
        }
        cpus::take_share(launch, place);
        let cpus = cpus::usable(launch);
        let offer = Offer::of_this_rank(place, cpus, config.slots, &config.kinds);
        let slots = offer.slots;
        let context = SpawnContext::new(config, &offer, &host::node_name(launch), &cwd, self.clock);
        self.executing.clear(slots);
        let processes = Tasks::new(context?, threads_for(slots), self.executing)?;
        Ok(Prepared { processes, slots, capacity: offer.capacity, shortage: offer.shortage, host })
    }

    fn none(&self) -> Tasks {
        Tasks::default()
    }
}

impl Pool {
    fn new(socket: UnixStream, executing: ExecutingTable, outlet: Outlet) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let children = SignalSource::children()?;
        let reader = FrameReader::default();
        let clock = Clock::start();
        let last_sent = clock.now();
        let node = ThisNode { executing, clock, outlet };
        Ok(Self { socket, children, node, reader, out: Vec::new(), last_sent, work: None })
    }

    fn serve(&mut self) -> io::Result<i32> {
        let mut out = Vec::new();
        loop {
            self.write_out()?;
            if self.work.as_ref().is_some_and(|work| work.core.is_stopped()) && self.out.is_empty() {
                return Ok(exit_status::CLEAN);
            }
            self.wait();
            if !self.read_messages(&mut out)? {
                return Ok(exit_status::PARENT_LOST);
            }
            self.take_failed_starts(&mut out);
            self.reap_children(&mut out);
            self.look_after_output(&mut out);
            if let Some(work) = &mut self.work {
                let now = self.node.clock.now();
                work.turn(now, Event::Tick, &mut out);
                // After all signals: a process that does not receive any is not waited for.
                for event in work.processes.over(now) {
                    work.turn(now, event, &mut out);
                }
                work.flush(now, &mut out);
            }
            // Before the message that it has stopped, after which nobody listens.
            self.send_logs();
            for message in out.drain(..) {
                self.send(&message);
            }
            if self.node.clock.now().saturating_sub(self.last_sent) >= HEARTBEAT {
                self.send(&ToFarmer::Heartbeat);
            }
        }
    }

    fn wait(&self) {
        let now = self.node.clock.now();
        let work = self.work.as_ref();
        let deadlines = work.map(|work| [work.core.next_deadline(), work.processes.next_look()]);
        let deadline = deadlines.into_iter().flatten().flatten().min();
        let socket = Interest { fd: self.socket.as_fd(), write: !self.out.is_empty() };
        let children = Interest { fd: self.children.as_fd(), write: false };
        let failures =
            self.work.as_ref().and_then(|work| work.processes.wakes()).map(|fd| Interest { fd, write: false });
        let interests: Vec<_> = [socket, children].into_iter().chain(failures).collect();
        let deadline = deadline.unwrap_or(Duration::MAX).min(self.last_sent + HEARTBEAT);
        wait_ready(&interests, Some(deadline.saturating_sub(now)));
    }

    /// Reads what has arrived. `false` when the other end is closed.
    fn read_messages(&mut self, out: &mut Vec<ToFarmer>) -> io::Result<bool> {
        let mut buffer = [0; 64 << 10];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => self.reader.extend(&buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            while let Some(frame) = self.reader.next_frame().map_err(io::Error::other)? {
                match codec::decode::<ToWorker>(frame) {
                    Ok(message) => {
                        orders::receive(&mut self.work, self.node.clock.now(), message, &mut self.node, out);
                    }
                    Err(error) => {
                        out.push(ToFarmer::Unfit { reason: format!("it does not understand rank 0: {error}") });
                    }
                }
            }
        }
    }

    fn reap_children(&mut self, out: &mut Vec<ToFarmer>) {
        // One signal may stand for many children; what counts is what can be reaped.
        let mut signalled = false;
        while self.children.next_signal().is_some() {
            signalled = true;
        }
        while signalled
            && let Reap::Ended(reaped) = self.work.as_ref().map_or_else(|| reap(None), |work| work.processes.reap())
        {
            let Some(work) = &mut self.work else { continue };
            // Otherwise it is a process that a task had started.
            if let Some(event) = work.processes.on_reaped(reaped, self.node.clock.now()) {
                work.turn(self.node.clock.now(), event, out);
            }
        }
    }

    fn take_failed_starts(&mut self, out: &mut Vec<ToFarmer>) {
        let Some(work) = &mut self.work else { return };
        for event in work.processes.failed() {
            work.turn(self.node.clock.now(), event, out);
        }
    }

    /// Before the end is reported, so that the farm learns in time that its output is gone.
    fn look_after_output(&mut self, out: &mut Vec<ToFarmer>) {
        let Some(work) = &mut self.work else { return };
        let now = self.node.clock.now();
        for event in work.processes.look_after_output(now) {
            work.turn(now, event, out);
        }
        out.extend(work.processes.take_failure().map(|reason| ToFarmer::LogsFailed { reason }));
    }

    fn send(&mut self, message: &ToFarmer) {
        self.last_sent = self.node.clock.now();
        crate::protocol::framing::push_message(&mut self.out, message);
    }

    fn send_logs(&mut self) {
        for (level, text) in self.node.outlet.take() {
            self.send(&ToFarmer::Log { level, text });
        }
    }

    fn write_out(&mut self) -> io::Result<()> {
        crate::protocol::framing::write_some(&mut self.out, |bytes| (&self.socket).write(bytes))
    }
}
