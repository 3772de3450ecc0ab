//! Links between the farmer and the ranks: order is kept, and nothing else is guaranteed.
//!
//! Owns the frames in flight. As over MPI, a rank that is given up may still get messages that had been passed to the
//! library, and gets none of the others.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use super::prng::Prng;
use crate::driver::turn::Network;
use crate::protocol::{ToFarmer, ToWorker, WorkerConfig, codec};
use crate::task::{FARMER, Rank};

/// Counts the farmer's steps until it is killed.
pub(crate) type Countdown = Rc<Cell<Option<u32>>>;

/// Takes a step; `false` if the farmer is dead and took none.
pub(crate) fn step(countdown: &Countdown) -> bool {
    match countdown.get() {
        Some(0) => false,
        Some(left) => {
            countdown.set(Some(left - 1));
            left > 1
        }
        None => true,
    }
}

/// The destination of a frame.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Towards {
    /// At the farmer, from this rank.
    Farmer(u32),
    /// At this rank.
    Rank(u32),
}

/// One direction between the farmer and a rank.
#[derive(Debug, Default)]
struct Link {
    frames: VecDeque<Vec<u8>>,
    /// When the last frame arrives.
    last_at: Duration,
    stalled: bool,
}

/// All links of a farm.
#[derive(Default, Debug)]
pub(crate) struct Links {
    /// The time of the current turn.
    pub now: Duration,
    /// The first message to each rank.
    pub starts: Vec<WorkerConfig>,
    /// What the farmer has sent since the last call.
    pub sent: Vec<(u32, ToWorker)>,
    /// Arrivals that the world has to plan.
    pub arrivals: Vec<(Duration, Towards)>,
    delay_us: (u64, u64),
    prng: Prng,
    links: BTreeMap<Towards, Link>,
    countdown: Countdown,
}

impl Links {
    /// Links without a message.
    pub(crate) fn new(delay_us: (u64, u64), prng: Prng, countdown: Countdown) -> Self {
        Self { delay_us, prng, countdown, ..Self::default() }
    }

    fn link(&mut self, towards: Towards) -> &mut Link {
        self.links.entry(towards).or_default()
    }

    /// Sends bytes.
    pub(crate) fn push(&mut self, towards: Towards, frame: Vec<u8>) {
        let (Towards::Farmer(rank) | Towards::Rank(rank)) = towards;
        let delay = if rank == FARMER.0 {
            Duration::from_micros(20)
        } else {
            Duration::from_micros(self.prng.range(self.delay_us.0..=self.delay_us.1.max(self.delay_us.0)))
        };
        let link = self.links.entry(towards).or_default();
        link.last_at = link.last_at.max(self.now + delay);
        link.frames.push_back(frame);
        self.arrivals.push((link.last_at, towards));
    }

    /// A message is on its way to a rank.
    pub(crate) fn send_to(&mut self, rank: u32, message: &ToWorker) {
        self.push(Towards::Rank(rank), codec::encode(message).expect("our own message"));
    }

    /// A worker sends a message.
    pub(crate) fn send_from(&mut self, rank: u32, message: &ToFarmer) {
        self.push(Towards::Farmer(rank), codec::encode(message).expect("our own message"));
    }

    /// Takes the next frame that has arrived, unless the link is stalled.
    pub(crate) fn take(&mut self, towards: Towards) -> Option<Vec<u8>> {
        let link = self.link(towards);
        if link.stalled { None } else { link.frames.pop_front() }
    }

    /// Stalls both directions of a rank, or resumes them.
    pub(crate) fn stall(&mut self, rank: u32, stalled: bool) {
        for towards in [Towards::Farmer(rank), Towards::Rank(rank)] {
            self.link(towards).stalled = stalled;
            if !stalled {
                self.replan(towards);
            }
        }
    }

    /// Plans the arrival of everything that waits, because the receiver is awake again.
    pub(crate) fn replan(&mut self, towards: Towards) {
        let waiting = self.link(towards).frames.len();
        let now = self.now;
        self.arrivals.extend(std::iter::repeat_n((now, towards), waiting));
    }

    /// Frames of a dead rank that will never be sent.
    pub(crate) fn cut(&mut self, rank: u32) {
        let waiting = self.link(Towards::Farmer(rank)).frames.len() as u64;
        let keep = usize::try_from(self.prng.range(0..=waiting)).expect("a length");
        self.link(Towards::Farmer(rank)).frames.truncate(keep);
        self.link(Towards::Rank(rank)).frames.clear();
    }
}

impl Network for Links {
    fn send(&mut self, to: Rank, message: &ToWorker) {
        if step(&self.countdown) {
            self.send_to(to.0, message);
            self.sent.push((to.0, message.clone()));
        }
    }

    fn start(&mut self, rank: Rank) {
        let config = self.starts[rank.0 as usize].clone();
        self.send(rank, &ToWorker::Start(Box::new(config)));
    }

    fn give_up(&mut self, rank: Rank) {
        // Start is passed to MPI immediately, before anything else: it is never dropped.
        let (least, most) = if rank == FARMER { (u64::MAX, u64::MAX) } else { (1, 8) };
        let keep = usize::try_from(self.prng.range(least..=most)).unwrap_or(usize::MAX);
        self.link(Towards::Rank(rank.0)).frames.truncate(keep);
    }
}
