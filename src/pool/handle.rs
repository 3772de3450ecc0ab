//! The MPI process's end of its pool: a socket, the nursery that starts pools, and what happens when a pool dies.
//!
//! Owns both. Passes frames without looking inside, with two exceptions: heartbeats of a pool are meant for this end,
//! and Start makes a new pool if the previous one died. A pool that is silent for too long is killed: under SIGSTOP, it
//! and its tasks would never respond again.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use super::exit_status;
use crate::protocol::framing::{FrameReader, push_frame, write_some};
use crate::protocol::{ToFarmer, codec};
use crate::sys::clock::Clock;
use crate::sys::executing::ExecutingTable;
use crate::sys::family::{Stat, end_descendants};
use crate::sys::nursery::{EXIT_LIMIT, KILL_LIMIT, News, Nursery, PoolExit};
use crate::sys::wait::{Interest, wait_ready};
use crate::task::Executing;

/// Bytes read from the socket at a time, so that a busy pool does not starve the rest of the loop.
const READ_LEN_MAX: usize = 1 << 20;

/// The end of a pool is reported after this time. If all processes of a job are being killed, this one is killed in the
/// meantime, and no task is blamed; if a stop comes in the meantime, that is the cause.
const HOLD: Duration = Duration::from_secs(1);

/// A pool that was stopped (SIGSTOP) is killed when it has been silent for this long. It normally sends something every
/// five seconds.
const STOPPED_MAX: Duration = Duration::from_secs(30);

/// A pool that is silent for a different reason is killed after this time: a file system that hangs can block a pool
/// for minutes, while its tasks continue.
const SILENT_MAX: Duration = Duration::from_secs(600);

/// A loop whose turns are further apart was suspended, or delayed by a slow disk: what its pool sent in the meantime
/// waits to be read.
const AWAY: Duration = Duration::from_secs(2);

/// First byte of an encoded [`crate::protocol::ToWorker::Start`].
const START_TAG: u8 = 0;

/// How a pool ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PoolEnd {
    /// After it had sent `Stopped`.
    Clean,
    /// Otherwise. Its tasks are dead.
    Lost {
        /// How, for the user.
        reason: String,
        /// The tasks that may have caused it, because they were executing.
        executing: Vec<Executing>,
        /// Whether the next Start makes a new pool.
        can_restart: bool,
    },
}

impl PoolEnd {
    /// The message that rank 0 gets about it.
    pub fn message(&self) -> Option<ToFarmer> {
        match self.clone() {
            Self::Clean => None,
            Self::Lost { reason, executing, can_restart } => {
                Some(ToFarmer::PoolLost { reason, executing, can_restart })
            }
        }
    }
}

#[derive(Debug)]
enum State {
    /// It is running, as far as is known.
    Up,
    /// Its socket is closed, or it must die: the nursery reports when it is gone.
    Ending {
        since: Instant,
        /// Why, if it did not end by itself; and whether tasks may be the cause.
        cause: Option<(String, bool)>,
        was_killed: bool,
    },
    /// It has ended, which is not reported yet.
    Held { until: Instant, end: PoolEnd },
    /// It has ended.
    Ended(PoolEnd),
}

/// The pool of this rank, as its MPI process sees it.
#[derive(Debug)]
pub struct PoolHandle {
    nursery: Nursery,
    executing: ExecutingTable,
    socket: UnixStream,
    reader: FrameReader,
    out: Vec<u8>,
    state: State,
    /// Whether [`Self::take_end`] has returned its end.
    is_reported: bool,
    clock: Clock,
    pid: Option<i32>,
    /// How the pool process ended, and whether some of its processes could not be killed.
    exit: Option<(PoolExit, bool)>,
    /// Whether the nursery is gone.
    is_alone: bool,
    heard: Instant,
    looked: Instant,
    /// When the nursery was last checked for news.
    asked: Instant,
}

impl PoolHandle {
    /// Takes over what the fork returned.
    ///
    /// # Errors
    /// If the socket cannot be made non-blocking.
    pub fn new(nursery: Nursery, socket: UnixStream, executing: ExecutingTable) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let now = Instant::now();
        Ok(Self {
            nursery,
            executing,
            socket,
            reader: FrameReader::default(),
            out: Vec::new(),
            state: State::Up,
            is_reported: false,
            clock: Clock::start(),
            pid: None,
            exit: None,
            is_alone: false,
            heard: now,
            looked: now,
            asked: now,
        })
    }

    /// Queues a frame for the pool. After its end, frames are dropped until Start makes a new pool.
    pub fn send(&mut self, frame: &[u8]) {
        if matches!(self.state, State::Ended(PoolEnd::Lost { can_restart: true, .. }))
            && frame.first() == Some(&START_TAG)
        {
            self.restart();
        }
        if matches!(self.state, State::Up) {
            push_frame(&mut self.out, frame);
        }
    }

    /// Waits until there is something to read from or to write to the pool, `also` is readable, or the time is over.
    pub fn wait(&self, also: Option<BorrowedFd<'_>>, timeout: Duration) {
        let pool = match self.state {
            State::Up => Some(Interest { fd: self.socket.as_fd(), write: !self.out.is_empty() }),
            State::Ending { .. } => Some(Interest { fd: self.nursery.as_fd(), write: false }),
            State::Held { .. } | State::Ended(_) => None,
        };
        match (pool, also.map(|fd| Interest { fd, write: false })) {
            (Some(pool), Some(also)) => wait_ready(&[also, pool], Some(timeout)),
            (Some(only), None) | (None, Some(only)) => wait_ready(&[only], Some(timeout)),
            (None, None) => wait_ready(&[], Some(timeout)),
        }
    }

    /// How the pool ended, once it has.
    pub fn end(&self) -> Option<&PoolEnd> {
        match &self.state {
            State::Ended(end) => Some(end),
            _ => None,
        }
    }

    /// How the pool ended, once it has, and only the first time.
    pub fn take_end(&mut self) -> Option<PoolEnd> {
        let end = self.end().filter(|_| !self.is_reported)?.clone();
        self.is_reported = true;
        Some(end)
    }

    /// Writes what waits and passes on every whole frame that has arrived.
    pub fn pump(&mut self, mut on_frame: impl FnMut(&[u8])) {
        let now = Instant::now();
        if now.duration_since(self.looked) > AWAY {
            self.heard = now;
        }
        self.looked = now;
        if matches!(self.state, State::Up) {
            let written = write_some(&mut self.out, |bytes| (&self.socket).write(bytes));
            // What the pool sent before it ended counts, even if nothing can be written to it anymore.
            let read = self.read(now, &mut on_frame);
            match (written, read) {
                (_, Ok(false)) => self.begin_end(now, None),
                (_, Err(error)) | (Err(error), _) => self.begin_end(now, Some((error.to_string(), true))),
                (Ok(()), Ok(true)) => self.check_silence(now),
            }
        }
        // A living pool has no news worth a system call each time.
        if !matches!(self.state, State::Up) || now.duration_since(self.asked) > AWAY {
            self.asked = now;
            self.look_after_end(now);
        }
    }

    fn read(&mut self, now: Instant, on_frame: &mut impl FnMut(&[u8])) -> io::Result<bool> {
        let mut buffer = [0; 64 << 10];
        let mut total = 0;
        while total < READ_LEN_MAX {
            match self.socket.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(len) => {
                    total += len;
                    self.reader.extend(&buffer[..len]);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            self.heard = now;
            while let Some(frame) = self.reader.next_frame().map_err(io::Error::other)? {
                if !is_heartbeat(frame) {
                    on_frame(frame);
                }
            }
        }
        Ok(true)
    }

    /// Kills a pool that is silent for too long.
    fn check_silence(&mut self, now: Instant) {
        let silent = now.duration_since(self.heard);
        if silent <= STOPPED_MAX {
            return;
        }
        let is_stopped = self.pid.and_then(|pid| Stat::read(&pid.to_string())).is_some_and(|stat| stat.state == 'T');
        let seconds = silent.as_secs();
        let cause = match is_stopped {
            // A task may have done it.
            true => (format!("the pool process was stopped (SIGSTOP) and silent for {seconds} s"), true),
            false if silent > SILENT_MAX => (format!("the pool process was silent for {seconds} s"), false),
            false => return,
        };
        self.nursery.kill_pool();
        self.begin_end(now, Some(cause));
    }

    /// The pool process has closed its socket, or must do so.
    fn begin_end(&mut self, now: Instant, cause: Option<(String, bool)>) {
        // A living pool sees end-of-file, kills its tasks and exits.
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        self.out.clear();
        self.state = State::Ending { since: now, cause, was_killed: false };
    }

    /// Handles the nursery's reports of the pool's end, and deadlines.
    fn look_after_end(&mut self, now: Instant) {
        while !self.is_alone
            && let Some(news) = self.nursery.news()
        {
            match news {
                News::Started(pid) => self.pid = Some(pid.as_raw()),
                News::NotStarted(errno) => {
                    self.hold(now, format!("the pool process cannot be started: {errno}"), Vec::new(), true);
                }
                News::Ended { end, is_left } => self.exit = Some((end, is_left)),
                News::Gone => self.nursery_is_gone(now),
            }
        }
        match &mut self.state {
            // While it is up, its last messages must be read first.
            State::Ending { cause, .. } if self.exit.is_some() => {
                let cause = cause.take();
                self.on_exit(now, cause);
            }
            State::Ending { since, was_killed, .. } => {
                let late = now.duration_since(*since);
                // It is under SIGSTOP, or in a call that never returns.
                if late > EXIT_LIMIT && !std::mem::replace(was_killed, true) {
                    self.nursery.kill_pool();
                } else if late > EXIT_LIMIT + KILL_LIMIT * 2 {
                    self.nursery_is_gone(now);
                }
            }
            State::Held { until, end } if now >= *until => self.state = State::Ended(end.clone()),
            _ => {}
        }
    }

    fn on_exit(&mut self, now: Instant, cause: Option<(String, bool)>) {
        let Some((end, is_left)) = self.exit.take() else { return };
        if is_left {
            log::warn!("a process that a task left behind could not be killed");
        }
        let executed = self.executing.take();
        let (how, may_blame) = match end {
            PoolExit::Exited(exit_status::CLEAN) => return self.state = State::Ended(PoolEnd::Clean),
            PoolExit::Exited(code) => {
                (format!("the pool process ended with code {code}"), code != exit_status::PARENT_LOST)
            }
            PoolExit::Signaled(signal) => {
                let name = crate::farmer::signal_name(u8::try_from(signal).unwrap_or(0));
                (format!("the pool process was killed by {name}"), true)
            }
        };
        let (reason, may_blame) = cause.unwrap_or((how, may_blame));
        let now_us = self.clock.epoch_us(self.clock.now());
        let executing = executed.into_iter().filter(|_| may_blame).map(|task| Executing {
            id: task.id,
            slot: task.slot,
            start_us: task.start_us,
            duration_us: now_us.saturating_sub(task.start_us),
        });
        self.hold(now, reason, executing.collect(), true);
    }

    fn hold(&mut self, now: Instant, reason: String, executing: Vec<Executing>, can_restart: bool) {
        let end = PoolEnd::Lost { reason, executing, can_restart };
        self.state = State::Held { until: now + HOLD, end };
    }

    /// No process can start a pool anymore or clean up after one: this process does the latter.
    fn nursery_is_gone(&mut self, now: Instant) {
        self.is_alone = true;
        if matches!(self.state, State::Held { .. } | State::Ended(_)) {
            return;
        }
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
        self.nursery.dismiss();
        if !end_descendants(Duration::ZERO, KILL_LIMIT) {
            log::warn!("a process that a task left behind could not be killed");
        }
        self.hold(now, "the process that starts its pool died".to_owned(), Vec::new(), false);
    }

    /// Starts a new pool. If that fails, the new pool counts as ended.
    fn restart(&mut self) {
        let now = Instant::now();
        let started = UnixStream::pair().and_then(|(ours, theirs)| {
            ours.set_nonblocking(true)?;
            self.nursery.start(&theirs)?;
            Ok(ours)
        });
        (self.is_reported, self.pid, self.exit) = (false, None, None);
        match started {
            Ok(socket) => {
                (self.socket, self.reader, self.state) = (socket, FrameReader::default(), State::Up);
                (self.heard, self.asked) = (now, now);
            }
            Err(error) => self.hold(now, format!("the pool process cannot be started: {error}"), Vec::new(), true),
        }
    }

    /// Ends the pool with everything in it, and the nursery, because the farm is over or the farmer is gone.
    pub fn shut(&mut self) {
        if matches!(self.state, State::Up) {
            self.begin_end(Instant::now(), Some(("it was shut down".to_owned(), false)));
        }
        while matches!(self.state, State::Ending { .. }) {
            self.look_after_end(Instant::now());
            if matches!(self.state, State::Ending { .. }) {
                let interest = Interest { fd: self.nursery.as_fd(), write: false };
                wait_ready(&[interest], Some(Duration::from_millis(100)));
            }
        }
        if let State::Held { end, .. } = &self.state {
            self.state = State::Ended(end.clone());
        }
        self.nursery.dismiss();
    }
}

fn is_heartbeat(frame: &[u8]) -> bool {
    frame.len() == 1 && matches!(codec::decode(frame), Ok(ToFarmer::Heartbeat))
}

impl Drop for PoolHandle {
    fn drop(&mut self) {
        self.shut();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{StopLevel, ToWorker};

    /// The two frames that this end examines are distinguished from all others by their bytes.
    #[test]
    fn heartbeats_and_start_are_known() {
        assert!(is_heartbeat(&codec::encode(&ToFarmer::Heartbeat).unwrap()));
        assert!(!is_heartbeat(&codec::encode(&ToFarmer::Stopped).unwrap()));
        let start = |message: &ToWorker| codec::encode(message).unwrap()[0] == START_TAG;
        let others = [ToWorker::Heartbeat, ToWorker::Recall { count: 0 }, ToWorker::Stop { level: StopLevel::Drain }];
        assert!(!others.iter().any(start));
    }
}
