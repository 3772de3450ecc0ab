//! The MPI process of every rank except 0: frames from MPI to the pool's socket and back.
//!
//! Owns the rank's end of MPI, its signals and its heartbeat. Of all frames, it interprets only `Leave`; it never
//! starts a process.

use std::os::fd::AsFd;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::outlet::Outlet;
use crate::pool::handle::PoolHandle;
use crate::protocol::{ToFarmer, ToWorker, codec};
use crate::stderr::say_error;
use crate::sys::clock::Clock;
use crate::sys::launcher::{Launcher, NodePlace};
use crate::sys::mpi::Mpi;
use crate::sys::signals::SignalSource;
use crate::sys::transport::{Incoming, Leave};
use crate::sys::wait::{Interest, wait_ready};
use crate::task::FARMER;

use super::HEARTBEAT;
use super::pace::Pace;

/// A relay that hears nothing from the farmer for longer than this considers it dead. It is less than a farmer allows a
/// relay: a lost farmer ends the job, and anything that its nodes do until then is in vain. A farmer that is only
/// delayed, by a long list or a slow disk, still sends heartbeats.
const FARMER_SILENCE_MAX: Duration = Duration::from_secs(22);

/// Bytes of `Leave`: longer frames are for the pool and need not be examined.
const LEAVE_LEN_MAX: usize = 2;

/// A loop whose turns are further apart was suspended: what the farmer sent in the meantime waits to be read.
const AWAY: Duration = Duration::from_secs(2);

struct Relay {
    mpi: Mpi,
    pool: PoolHandle,
    outlet: Outlet,
    clock: Clock,
    pace: Pace,
    incoming: Vec<Incoming>,
    heard: Duration,
    said: Duration,
    asked: Duration,
    looked: Duration,
    /// The farmer's message that its files are closed.
    leave: Option<Leave>,
}

/// Runs the relay until the farm is over, and ends the process. Its exit code is 0: only rank 0 speaks for the farm. If
/// rank 0 is lost, one of the relays reports it.
pub fn run(mpi: Mpi, pool: PoolHandle, signals: &SignalSource, clock: Clock, launcher: Option<Launcher>) -> ! {
    let outlet = Outlet::install();
    let now = clock.now();
    let mut relay = Relay {
        mpi,
        pool,
        outlet,
        clock,
        pace: Pace::default(),
        incoming: Vec::new(),
        heard: now,
        said: now,
        asked: now,
        looked: now,
        leave: None,
    };
    let end = relay.serve(signals);
    relay.pool.shut();
    let (how, code) = match end {
        RelayEnd::Over(how) => (how, ExitCode::Success),
        RelayEnd::FarmerLost => (Leave::Abandon, ExitCode::FarmFailed),
    };
    if end == RelayEnd::FarmerLost && relay.mpi.rank() == speaker(relay.mpi.size()) {
        let seconds = FARMER_SILENCE_MAX.as_secs();
        say_error(&format!(
            "rank 0 has not responded for {seconds} s: the farm ends\n  what was recorded is safe; the same command resumes the farm"
        ));
    }
    relay.mpi.leave(how, code.code(), launcher)
}

/// The rank that reports the loss of rank 0: all ranks of its node may be lost, so the first one of the next node.
fn speaker(ranks: u32) -> u32 {
    let on_node = NodePlace::of_this_process().ranks;
    if on_node < ranks { on_node } else { 1 }
}

/// Why a relay ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum RelayEnd {
    /// Rank 0 has closed its files.
    Over(Leave),
    /// Rank 0 does not respond anymore.
    FarmerLost,
}

impl Relay {
    fn serve(&mut self, signals: &SignalSource) -> RelayEnd {
        loop {
            self.wait(signals);
            let now = self.clock.now();
            if now.saturating_sub(self.looked) > AWAY {
                self.heard = now;
            }
            self.looked = now;
            self.take_from_pool(now);
            self.take_from_farmer(now);
            while let Some(caught) = signals.next_signal() {
                self.report(now, &ToFarmer::Signaled { signal: caught.signal });
            }
            for (level, text) in self.outlet.take() {
                self.report(now, &ToFarmer::Log { level, text });
            }
            // The farmer answers heartbeats. While reports are being sent but no more tasks arrive, near the end of a
            // list, nothing else would be heard from it.
            let since_heard = now.saturating_sub(self.heard.max(self.asked));
            if now.saturating_sub(self.said) >= HEARTBEAT || since_heard >= HEARTBEAT {
                self.asked = now;
                self.report(now, &ToFarmer::Heartbeat);
            }
            if let Some(end) = self.end(now) {
                return end;
            }
        }
    }

    fn wait(&mut self, signals: &SignalSource) {
        let signals = Interest { fd: signals.as_fd(), write: false };
        let pause = Some(self.pace.pause(self.clock.now()));
        match self.pool.interest() {
            Some((fd, write)) => wait_ready(&[signals, Interest { fd, write }], pause),
            None => wait_ready(&[signals], pause),
        }
    }

    fn report(&mut self, now: Duration, message: &ToFarmer) {
        match codec::encode(message) {
            Ok(frame) => {
                self.said = now;
                self.mpi.send(FARMER.0, frame);
            }
            Err(error) => log::error!("a message was dropped: {error}"),
        }
    }

    fn take_from_pool(&mut self, now: Duration) {
        let (mpi, pace, said) = (&mut self.mpi, &mut self.pace, &mut self.said);
        self.pool.pump(|frame| {
            pace.on_traffic(now);
            *said = now;
            mpi.send(FARMER.0, frame.to_vec());
        });
        if let Some(message) = self.pool.take_end().and_then(|end| end.message()) {
            self.report(now, &message);
        }
    }

    fn take_from_farmer(&mut self, now: Duration) {
        self.mpi.poll(&mut self.incoming);
        for incoming in std::mem::take(&mut self.incoming) {
            match incoming {
                Incoming::Frame(from, frame) if from == FARMER.0 => {
                    self.heard = now;
                    self.pace.on_traffic(now);
                    match leave_of(&frame) {
                        None => self.pool.send(&frame),
                        leave => self.leave = leave,
                    }
                }
                Incoming::Frame(from, _) => log::debug!("a message of rank {from} was dropped: only rank 0 is heard"),
                // The heartbeat decides; MPI also reports links as broken that only stall.
                Incoming::LinkFailed(rank, error) => log::debug!("link to rank {rank}: {error}"),
            }
        }
        // What arrived is passed on immediately.
        self.take_from_pool(now);
    }

    /// Whether it is over, and why.
    fn end(&self, now: Duration) -> Option<RelayEnd> {
        let is_lost = now.saturating_sub(self.heard) > FARMER_SILENCE_MAX;
        self.leave.map(RelayEnd::Over).or(is_lost.then_some(RelayEnd::FarmerLost))
    }
}

/// The `Leave` in a frame, if it is one.
fn leave_of(frame: &[u8]) -> Option<Leave> {
    if frame.len() > LEAVE_LEN_MAX {
        return None;
    }
    match codec::decode(frame) {
        Ok(ToWorker::Leave { skip_finalize }) => Some(if skip_finalize { Leave::Abandon } else { Leave::Finalize }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Assignment, StopLevel};
    use crate::task::{Attempt, TaskId};

    /// A relay leaves only when it is told to, by no other frame.
    #[test]
    fn only_leave_is_the_relays_own() {
        let leave = |message: &ToWorker| leave_of(&codec::encode(message).unwrap());
        assert_eq!(leave(&ToWorker::Leave { skip_finalize: false }), Some(Leave::Finalize));
        assert_eq!(leave(&ToWorker::Leave { skip_finalize: true }), Some(Leave::Abandon));
        let task = Assignment { id: TaskId(7), attempt: Attempt(1), command: b"true".to_vec() };
        let others = [
            ToWorker::Assign { seq: 7, tasks: vec![task] },
            ToWorker::Recall { count: 7 },
            ToWorker::Stop { level: StopLevel::Kill },
            ToWorker::Heartbeat,
            ToWorker::Rejoin { seq: 7 },
            ToWorker::Limit { us: 7 },
        ];
        for message in others {
            assert_eq!(leave(&message), None, "{message:?}");
        }
        assert_eq!(leave_of(&[7, 2]), None, "no boolean");
    }
}
