//! The relay core: what the MPI process of every rank except 0 decides.
//!
//! Owns its heartbeat, and when it ends: because the farm is over, or because the farmer is silent for too long. Of all
//! frames, it interprets only `Leave`. Pure, like the farmer core and the worker core: an event goes in with the time,
//! an action comes out. [`crate::driver::relay`] moves the frames.

use std::time::Duration;

use crate::protocol::{ToWorker, codec};

/// A rank that has nothing to send, or has heard nothing from the farmer, sends a heartbeat after this time.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(5);

/// A farmer that is silent for this long is dead. It is less than a farmer allows a relay: a lost farmer ends the job,
/// and anything that its nodes do until then is in vain. A farmer that is only delayed, by a long list or a slow disk,
/// still sends heartbeats.
pub(crate) const FARMER_SILENCE_MAX: Duration = Duration::from_secs(22);

/// Bytes of `Leave`: longer frames are for the pool and need not be examined.
const LEAVE_LEN_MAX: usize = 2;

/// Input of the relay core.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event<'a> {
    /// A frame of the farmer has arrived.
    Heard(&'a [u8]),
    /// A frame was sent to the farmer: the pool's, or one of this rank itself.
    Said,
    /// The process was suspended: what the farmer sent in the meantime waits to be read.
    WasAway,
    /// [`Relay::next_due`] has come, or something else woke the process.
    Tick,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// The frame goes to the pool.
    PassOn,
    /// The farmer is sent a heartbeat.
    Heartbeat,
    /// The relay ends.
    End(RelayEnd),
}

/// Why a relay ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RelayEnd {
    /// Rank 0 has closed its files.
    Over {
        /// As in [`ToWorker::Leave`].
        skip_finalize: bool,
    },
    /// Rank 0 does not respond anymore.
    FarmerLost,
}

/// The state of a relay.
#[derive(Clone, Debug)]
pub(crate) struct Relay {
    heard: Duration,
    said: Duration,
    asked: Duration,
}

impl Relay {
    /// A relay that starts now.
    pub(crate) fn new(now: Duration) -> Self {
        Self { heard: now, said: now, asked: now }
    }

    /// Handles one event.
    pub(crate) fn handle(&mut self, now: Duration, event: Event<'_>) -> Option<Action> {
        match event {
            Event::Heard(frame) => {
                self.heard = now;
                let end = |skip_finalize| Action::End(RelayEnd::Over { skip_finalize });
                Some(leave_of(frame).map_or(Action::PassOn, end))
            }
            Event::Said => {
                self.said = now;
                None
            }
            Event::WasAway => {
                self.heard = now;
                None
            }
            Event::Tick if now >= self.heard + FARMER_SILENCE_MAX => Some(Action::End(RelayEnd::FarmerLost)),
            Event::Tick if now >= self.heartbeat_due() => {
                (self.said, self.asked) = (now, now);
                Some(Action::Heartbeat)
            }
            Event::Tick => None,
        }
    }

    /// When [`Event::Tick`] leads to something at the latest.
    pub(crate) fn next_due(&self) -> Duration {
        self.heartbeat_due().min(self.heard + FARMER_SILENCE_MAX)
    }

    /// The farmer answers heartbeats. While reports are being sent but no more tasks arrive, near the end of a list,
    /// nothing else would be heard from it.
    fn heartbeat_due(&self) -> Duration {
        self.said.min(self.heard.max(self.asked)) + HEARTBEAT
    }
}

/// Whether the rank leaves without MPI_Finalize, if this frame is a `Leave`.
fn leave_of(frame: &[u8]) -> Option<bool> {
    if frame.len() > LEAVE_LEN_MAX {
        return None;
    }
    match codec::decode(frame) {
        Ok(ToWorker::Leave { skip_finalize }) => Some(skip_finalize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demand::classes::Class;
    use crate::protocol::{Assignment, StopLevel};
    use crate::task::{Attempt, TaskId};

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    /// A relay leaves only when it is told to, by no other frame.
    #[test]
    fn only_leave_is_the_relays_own() {
        let heard = |message: &ToWorker| {
            Relay::new(secs(0)).handle(secs(1), Event::Heard(&codec::encode(message).unwrap())).unwrap()
        };
        for skip_finalize in [false, true] {
            assert_eq!(heard(&ToWorker::Leave { skip_finalize }), Action::End(RelayEnd::Over { skip_finalize }));
        }
        let task =
            Assignment { id: TaskId(7), attempt: Attempt(1), class: Class::default(), command: b"true".to_vec() };
        let others = [
            ToWorker::Assign { seq: 7, tasks: vec![task] },
            ToWorker::Recall { count: 7 },
            ToWorker::Stop { level: StopLevel::Kill },
            ToWorker::Heartbeat,
            ToWorker::Rejoin { seq: 7 },
            ToWorker::Limit { us: 7 },
        ];
        for message in others {
            assert_eq!(heard(&message), Action::PassOn, "{message:?}");
        }
        assert_eq!(leave_of(&[7, 2]), None, "no boolean");
    }

    /// A rank that has nothing to say, or hears nothing, sends a heartbeat; one that says and hears enough does not.
    #[test]
    fn heartbeats_are_sent_when_it_is_quiet() {
        let heartbeat = codec::encode(&ToWorker::Heartbeat).unwrap();
        let mut relay = Relay::new(secs(0));
        for second in 1..5 {
            assert_eq!(relay.handle(secs(second), Event::Tick), None);
        }
        assert_eq!((relay.next_due(), relay.handle(secs(5), Event::Tick)), (secs(5), Some(Action::Heartbeat)));
        assert_eq!((relay.handle(secs(5), Event::Tick), relay.next_due()), (None, secs(10)));
        // It speaks, and hears nothing.
        relay.handle(secs(8), Event::Said);
        assert_eq!(relay.handle(secs(10), Event::Tick), Some(Action::Heartbeat));
        // It hears, and says nothing.
        relay.handle(secs(14), Event::Heard(&heartbeat));
        assert_eq!(relay.handle(secs(15), Event::Tick), Some(Action::Heartbeat));
        relay.handle(secs(19), Event::Said);
        relay.handle(secs(19), Event::Heard(&heartbeat));
        assert_eq!((relay.handle(secs(20), Event::Tick), relay.next_due()), (None, secs(24)));
    }

    /// A farmer that is silent for too long is lost, but not if the relay itself was away.
    #[test]
    fn a_silent_farmer_is_lost() {
        let mut relay = Relay::new(secs(0));
        let lost = Some(Action::End(RelayEnd::FarmerLost));
        let most = FARMER_SILENCE_MAX;
        assert_ne!(relay.handle(most - secs(1), Event::Tick), lost);
        assert_eq!((relay.next_due(), relay.handle(most, Event::Tick)), (most, lost));
        relay.handle(secs(100), Event::WasAway);
        assert_ne!(relay.handle(secs(100), Event::Tick), lost);
        assert_eq!(relay.handle(secs(100) + most, Event::Tick), lost);
    }
}
