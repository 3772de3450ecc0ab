//! Rank 0's connection to all workers: the socket for its own pool, MPI for the others.
//!
//! Owns the encoding of outgoing messages. Without a launcher there is only the socket.

use super::keep_alive::KeepAlive;
use super::turn::Network;
use crate::pool::handle::PoolHandle;
use crate::protocol::{SlotCount, ToFarmer, ToWorker, WorkerConfig, codec};
use crate::sys::mpi::Mpi;
use crate::sys::transport::Incoming;
use crate::task::{FARMER, Rank};

/// What a worker sent.
pub(crate) type Received = (Rank, Result<ToFarmer, String>);

/// All links of rank 0.
pub(crate) struct Links {
    /// Its own pool.
    pub pool: PoolHandle,
    mpi: Option<KeepAlive>,
    ranks: u32,
    /// The first message to each rank.
    start: Option<WorkerConfig>,
    incoming: Vec<Incoming>,
    traffic: bool,
}

impl Links {
    /// Takes over both connections.
    pub(crate) fn new(pool: PoolHandle, mpi: Option<Mpi>) -> Self {
        let ranks = mpi.as_ref().map_or(1, Mpi::size);
        let mpi = mpi.map(KeepAlive::start);
        Self { pool, mpi, ranks, start: None, incoming: Vec::new(), traffic: false }
    }

    /// Sends every rank its configuration.
    pub(crate) fn start_all(&mut self, config: WorkerConfig) {
        self.start = Some(config);
        (0..self.ranks).map(Rank).for_each(|rank| self.start(rank));
    }

    /// How many ranks there are.
    pub(crate) fn ranks(&self) -> u32 {
        self.ranks
    }

    /// Makes progress on everything and takes in what has arrived; `false` if more is waiting.
    pub(crate) fn pump(&mut self, received: &mut Vec<Received>) -> bool {
        self.pool.pump(|frame| received.push((FARMER, decode(frame))));
        let end = self.pool.take_end().and_then(|end| end.message());
        received.extend(end.map(|message| (FARMER, Ok(message))));
        let mut is_all = true;
        if let Some(mpi) = self.mpi.as_ref().filter(|_| self.ranks > 1) {
            is_all = mpi.mpi().poll(&mut self.incoming);
            received.extend(self.incoming.drain(..).map(|incoming| match incoming {
                Incoming::Frame(rank, frame) => (Rank(rank), decode(&frame)),
                Incoming::LinkFailed(rank, error) => (Rank(rank), Err(error)),
            }));
        }
        self.traffic |= !received.is_empty();
        is_all
    }

    /// Whether anything was sent or received since the last call.
    pub(crate) fn take_traffic(&mut self) -> bool {
        std::mem::take(&mut self.traffic)
    }

    /// Whether messages to workers are still being sent.
    pub(crate) fn is_sending(&self) -> bool {
        self.mpi.as_ref().is_some_and(|mpi| mpi.mpi().is_sending())
    }

    /// Returns MPI, for the end.
    pub(crate) fn into_mpi(self) -> Option<Mpi> {
        self.mpi.and_then(KeepAlive::into_mpi)
    }
}

fn decode(frame: &[u8]) -> Result<ToFarmer, String> {
    codec::decode(frame).map_err(|error| error.to_string())
}

impl Network for Links {
    fn send(&mut self, to: Rank, message: &ToWorker) {
        self.traffic = true;
        match (codec::encode(message), &self.mpi) {
            (Ok(frame), _) if to == FARMER => self.pool.send(&frame),
            (Ok(frame), Some(mpi)) => mpi.mpi().send(to.0, frame),
            (Ok(_), None) => log::debug!("no way to rank {to}"),
            (Err(error), _) => log::error!("a message to rank {to} was dropped: {error}"),
        }
    }

    fn start(&mut self, rank: Rank) {
        let Some(mut config) = self.start.clone() else { return };
        if config.farmer_only_host.is_some() && rank == FARMER {
            config.slots = SlotCount::Fixed(0);
        }
        config.rank = rank;
        self.send(rank, &ToWorker::Start(Box::new(config)));
    }

    fn give_up(&mut self, rank: Rank) {
        if let Some(mpi) = self.mpi.as_ref().filter(|_| rank != FARMER) {
            mpi.mpi().give_up(rank.0);
        }
    }
}
