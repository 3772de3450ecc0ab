//! Rank 0's MPI, and a thread that sends heartbeats while rank 0 is delayed.
//!
//! Ranks that do not hear from rank 0 for some time consider it dead and end. But a disk that stalls for a minute does
//! not mean that rank 0 is dead: while rank 0's loop is blocked, a thread sends heartbeats on its behalf. While the
//! loop is turning, the thread sleeps. It owns nothing else, and only one of the two uses MPI at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::protocol::{ToWorker, codec};
use crate::relay::HEARTBEAT;
use crate::sys::mpi::Mpi;

/// MPI, shared with the thread.
pub(super) struct KeepAlive {
    shared: Arc<Shared>,
    /// It ends when its channel does. `None` if MPI allows only one thread, or the system refused to start one: then a
    /// stall looks like a death.
    thread: Option<(Sender<()>, JoinHandle<()>)>,
}

struct Shared {
    mpi: Mutex<Mpi>,
    /// The number of turns of rank 0's loop.
    turns: AtomicU64,
}

impl KeepAlive {
    /// Takes over MPI.
    pub(super) fn start(mpi: Mpi) -> Self {
        let may_share = mpi.size() > 1 && mpi.may_change_threads();
        let shared = Arc::new(Shared { mpi: Mutex::new(mpi), turns: AtomicU64::new(0) });
        let (for_thread, (sender, over)) = (Arc::clone(&shared), mpsc::channel());
        let thread =
            may_share.then(|| std::thread::Builder::new().spawn(move || for_thread.beat(&over)).ok()).flatten();
        Self { shared, thread: thread.map(|thread| (sender, thread)) }
    }

    /// MPI, for rank 0's loop.
    pub(super) fn mpi(&self) -> MutexGuard<'_, Mpi> {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        unpoisoned(self.shared.mpi.lock())
    }

    /// Ends the thread and returns MPI; `None` if the thread has died, because the state of MPI is unknown then.
    pub(super) fn into_mpi(self) -> Option<Mpi> {
        if let Some((sender, thread)) = self.thread {
            drop(sender);
            thread.join().ok()?;
        }
        Arc::into_inner(self.shared).map(|shared| unpoisoned(shared.mpi.into_inner()))
    }
}

impl Shared {
    fn beat(&self, over: &Receiver<()>) {
        let Ok(frame) = codec::encode(&ToWorker::Heartbeat) else { return };
        let mut seen = self.turns.load(Ordering::Relaxed);
        while over.recv_timeout(HEARTBEAT) == Err(RecvTimeoutError::Timeout) {
            let turns = self.turns.load(Ordering::Relaxed);
            if turns == seen {
                let mut mpi = unpoisoned(self.mpi.lock());
                for rank in 1..mpi.size() {
                    mpi.send_if_idle(rank, &frame);
                }
            }
            seen = turns;
        }
    }
}

/// Neither thread panics while it holds a lock; if one did, what the lock guards is still valid.
fn unpoisoned<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(PoisonError::into_inner)
}
