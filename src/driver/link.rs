//! Rank 0's way to all workers: the socket for its own pool, MPI for the others.
//!
//! Owns the encoding of what goes out. Without a launcher there is only the socket.

use crate::pool::handle::{PoolEnd, PoolHandle};
use crate::protocol::{FARMER, Rank, ToFarmer, ToWorker, codec};
#[cfg(feature = "mpi")]
use crate::sys::mpi::{Incoming, Mpi};

use super::turn::Network;

/// MPI, where there is one.
#[cfg(feature = "mpi")]
pub type Transport = Option<Mpi>;

/// No MPI in this build.
#[cfg(not(feature = "mpi"))]
pub type Transport = Option<std::convert::Infallible>;

/// What came from a worker.
pub type Received = (Rank, Result<ToFarmer, String>);

/// All links of rank 0.
pub struct Links {
    /// Its own pool.
    pub pool: PoolHandle,
    transport: Transport,
    pool_end_told: bool,
    #[cfg(feature = "mpi")]
    incoming: Vec<Incoming>,
    traffic: bool,
}

impl Links {
    /// Takes over both ways.
    #[must_use]
    pub fn new(pool: PoolHandle, transport: Transport) -> Self {
        Self {
            pool,
            transport,
            pool_end_told: false,
            #[cfg(feature = "mpi")]
            incoming: Vec::new(),
            traffic: false,
        }
    }

    /// How many ranks there are.
    #[must_use]
    pub fn ranks(&self) -> u32 {
        #[cfg(feature = "mpi")]
        return self.transport.as_ref().map_or(1, Mpi::size);
        #[cfg(not(feature = "mpi"))]
        1
    }

    /// Whether messages have to be looked for.
    #[must_use]
    pub fn must_look(&self) -> bool {
        self.ranks() > 1
    }

    /// Moves everything on and takes in what has come.
    pub fn pump(&mut self, received: &mut Vec<Received>) {
        self.pool.pump(|frame| received.push((FARMER, decode(frame))));
        if let Some(PoolEnd::Lost(reason)) = self.pool.end()
            && !self.pool_end_told
        {
            self.pool_end_told = true;
            received.push((FARMER, Ok(ToFarmer::PoolLost { reason: reason.clone() })));
        }
        #[cfg(feature = "mpi")]
        if let Some(mpi) = self.transport.as_mut().filter(|mpi| mpi.size() > 1) {
            mpi.poll(&mut self.incoming);
            received.extend(self.incoming.drain(..).map(|incoming| match incoming {
                Incoming::Frame(rank, frame) => (Rank(rank), decode(&frame)),
                Incoming::LinkFailed(rank, error) => (Rank(rank), Err(error)),
            }));
        }
        self.traffic |= !received.is_empty();
    }

    /// Whether something came or went since the last call.
    pub fn take_traffic(&mut self) -> bool {
        std::mem::take(&mut self.traffic)
    }

    /// Whether messages to workers are still on their way.
    #[must_use]
    pub fn is_sending(&self) -> bool {
        #[cfg(feature = "mpi")]
        return self.transport.as_ref().is_some_and(Mpi::is_sending);
        #[cfg(not(feature = "mpi"))]
        false
    }

    /// Gives MPI back, for the end.
    #[must_use]
    pub fn into_transport(self) -> Transport {
        self.transport
    }
}

fn decode(frame: &[u8]) -> Result<ToFarmer, String> {
    codec::decode(frame).map_err(|error| error.to_string())
}

impl Network for Links {
    fn send(&mut self, to: Rank, message: &ToWorker) {
        self.traffic = true;
        let frame = match codec::encode(message) {
            Ok(frame) => frame,
            Err(error) => return log::error!("a message to rank {to} was dropped: {error}"),
        };
        if to == FARMER {
            return self.pool.send(&frame);
        }
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &mut self.transport {
            mpi.send(to.0, frame);
        }
    }

    fn give_up(&mut self, rank: Rank) {
        if rank == FARMER {
            return;
        }
        #[cfg(feature = "mpi")]
        if let Some(mpi) = &mut self.transport {
            mpi.give_up(rank.0);
        }
    }
}
