//! The MPI process of every rank except 0: frames from MPI to the pool's socket and back.
//!
//! Owns the rank's end of MPI and its signals. [`crate::relay`] decides when it sends a heartbeat and when it ends. It
//! never starts a process.

use std::os::fd::AsFd;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::outlet::Outlet;
use crate::pool::handle::PoolHandle;
use crate::protocol::{ToFarmer, codec};
use crate::relay::{Action, Event, FARMER_SILENCE_MAX, Relay as Core, RelayEnd};
use crate::stderr::say_error;
use crate::sys::clock::Clock;
use crate::sys::launcher::{Launcher, NodePlace};
use crate::sys::mpi::Mpi;
use crate::sys::signals::SignalSource;
use crate::sys::transport::{Incoming, Leave};
use crate::task::FARMER;

use super::pace::Pace;

/// A loop whose turns are further apart was suspended: what the farmer sent in the meantime waits to be read.
const AWAY: Duration = Duration::from_secs(2);

struct Relay {
    core: Core,
    mpi: Mpi,
    pool: PoolHandle,
    outlet: Outlet,
    clock: Clock,
    pace: Pace,
    incoming: Vec<Incoming>,
    looked: Duration,
    end: Option<RelayEnd>,
}

/// Runs the relay until the farm is over, and ends the process. Its exit code is 0: only rank 0 speaks for the farm. If
/// rank 0 is lost, one of the relays reports it.
pub fn run(mpi: Mpi, pool: PoolHandle, signals: &SignalSource, clock: Clock, launcher: Option<Launcher>) -> ! {
    let outlet = Outlet::install();
    let now = clock.now();
    let mut relay = Relay {
        core: Core::new(now),
        mpi,
        pool,
        outlet,
        clock,
        pace: Pace::default(),
        incoming: Vec::new(),
        looked: now,
        end: None,
    };
    let end = relay.serve(signals);
    relay.pool.shut();
    let (how, code) = match end {
        RelayEnd::Over { skip_finalize: false } => (Leave::Finalize, ExitCode::Success),
        RelayEnd::Over { skip_finalize: true } => (Leave::Abandon, ExitCode::Success),
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

impl Relay {
    fn serve(&mut self, signals: &SignalSource) -> RelayEnd {
        loop {
            self.pool.wait(Some(signals.as_fd()), self.pace.pause(self.clock.now()));
            let now = self.clock.now();
            if now.saturating_sub(self.looked) > AWAY {
                self.core.handle(now, Event::WasAway);
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
            if let Some(end) = self.end {
                return end;
            }
            match self.core.handle(now, Event::Tick) {
                Some(Action::Heartbeat) => self.report(now, &ToFarmer::Heartbeat),
                Some(Action::End(end)) => return end,
                Some(Action::PassOn) | None => {}
            }
        }
    }

    fn report(&mut self, now: Duration, message: &ToFarmer) {
        match codec::encode(message) {
            Ok(frame) => {
                self.core.handle(now, Event::Said);
                self.mpi.send(FARMER.0, frame);
            }
            Err(error) => log::error!("a message was dropped: {error}"),
        }
    }

    fn take_from_pool(&mut self, now: Duration) {
        let (mpi, pace, core) = (&mut self.mpi, &mut self.pace, &mut self.core);
        self.pool.pump(|frame| {
            pace.on_traffic(now);
            core.handle(now, Event::Said);
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
                    self.pace.on_traffic(now);
                    match self.core.handle(now, Event::Heard(&frame)) {
                        Some(Action::End(end)) => self.end = Some(end),
                        _ => self.pool.send(&frame),
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
}
