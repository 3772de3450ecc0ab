//! When the batch job ends, if only a program of the batch system knows.
//!
//! Owns the process that asks, once per farm: forked before MPI starts, like the reader, and only in a job of such a
//! batch system. It asks while the tasklist is read and MPI starts, so the farm rarely waits for it, and never for
//! long.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::protocol::codec;
use crate::sys::signals::SignalSource;
use crate::sys::wait::{Interest, wait_ready};
use crate::sys::walltime::ask::{Answer, Question};
use crate::tasklist::Made;

/// How long a batch system may take to answer. After that, the farm starts without knowing when its job ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// The process that asks; none outside such a job.
#[derive(Debug, Default)]
pub(super) struct JobEnd(Option<Asking>);

#[derive(Debug)]
struct Asking {
    question: Question,
    process: Process,
    deadline: Instant,
}

impl JobEnd {
    /// Forks the process, if there is something to ask. To be called while there is one thread, and MPI has not been
    /// started.
    pub(super) fn start() -> io::Result<Self> {
        let Some(question) = Question::of_job(|name| std::env::var(name).ok()) else { return Ok(Self(None)) };
        let process = Process::start(Made::default(), |mut socket| {
            // The parent gives up first, and ends this process.
            let answer = codec::encode(&question.ask(PATIENCE * 2)).unwrap_or_default();
            socket.write_all(&answer).and_then(|()| socket.shutdown(Shutdown::Write))
        })?;
        process.socket.set_nonblocking(true)?;
        Ok(Self(Some(Asking { question, process, deadline: Instant::now() + PATIENCE })))
    }

    /// The end of the job since 1970, if the batch system reports it in time. A signal ends the wait. `matters`:
    /// whether nothing else limits the farm, so that users should learn that the end is unknown.
    pub(super) fn finish(self, signals: &SignalSource, matters: bool) -> Option<Duration> {
        let Asking { question, mut process, deadline } = self.0?;
        let reason = match answer(&mut process, deadline, signals) {
            Answer::At(end) => return Some(end),
            Answer::Never => return None,
            Answer::Unknown(reason) => reason,
        };
        let level = if matters { log::Level::Warn } else { log::Level::Info };
        log::log!(
            level,
            "it is not known when the batch job ends: {}: {reason}\n  use --timeout to stop the farm in time",
            question.command()
        );
        None
    }
}

fn answer(process: &mut Process, deadline: Instant, signals: &SignalSource) -> Answer {
    let mut bytes = Vec::new();
    loop {
        match process.socket.read_to_end(&mut bytes) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Answer::Unknown(error.to_string()),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Answer::Unknown(format!("no answer within {} s", PATIENCE.as_secs()));
        }
        let ready = [process.socket.as_fd(), signals.as_fd()].map(|fd| Interest { fd, write: false });
        wait_ready(&ready, Some(left));
        if signals.is_pending() {
            return Answer::Unknown("a signal came first".to_owned());
        }
    }
    codec::decode(&bytes).unwrap_or_else(|_| Answer::Unknown("the process that asks died".to_owned()))
}
