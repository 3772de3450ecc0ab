//! Rank 0's MPI, and a thread that sends heartbeats while rank 0 is delayed.
//!
//! Ranks that do not hear from rank 0 for some time consider it dead and end. But a disk that stalls for a minute does
//! not mean that rank 0 is dead: while rank 0's loop is blocked, a thread sends heartbeats on its behalf. While the
//! loop is turning, the thread sleeps. It owns nothing else, and only one of the two uses MPI at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::protocol::{ToWorker, codec};
use crate::relay::HEARTBEAT;
use crate::sys::mpi::Mpi;

/// MPI, shared with the thread.
pub(super) struct KeepAlive {
    shared: Arc<Shared>,
    /// `None` if MPI allows only one thread, or the system refused to start one: then a stall looks like a death.
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    mpi: Mutex<Mpi>,
    /// The number of turns of rank 0's loop.
    turns: AtomicU64,
    over: Mutex<bool>,
    over_changed: Condvar,
}

impl KeepAlive {
    /// Takes over MPI.
    #[must_use]
    pub(super) fn start(mpi: Mpi) -> Self {
        let may_share = mpi.size() > 1 && mpi.may_change_threads();
        let shared = Arc::new(Shared {
            mpi: Mutex::new(mpi),
            turns: AtomicU64::new(0),
            over: Mutex::new(false),
            over_changed: Condvar::new(),
        });
        let for_thread = Arc::clone(&shared);
        let thread = may_share.then(|| std::thread::Builder::new().spawn(move || for_thread.beat()).ok()).flatten();
        Self { shared, thread }
    }

    /// MPI, for rank 0's loop.
    pub(super) fn mpi(&self) -> MutexGuard<'_, Mpi> {
        self.shared.turns.fetch_add(1, Ordering::Relaxed);
        unpoisoned(self.shared.mpi.lock())
    }

    /// Ends the thread and returns MPI; `None` if the thread has died, because the state of MPI is unknown then.
    #[must_use]
    pub(super) fn into_mpi(self) -> Option<Mpi> {
        *unpoisoned(self.shared.over.lock()) = true;
        self.shared.over_changed.notify_all();
        if let Some(thread) = self.thread {
            thread.join().ok()?;
        }
        Arc::into_inner(self.shared).map(|shared| unpoisoned(shared.mpi.into_inner()))
    }
}

impl Shared {
    fn beat(&self) {
        let Ok(frame) = codec::encode(&ToWorker::Heartbeat) else { return };
        let mut seen = self.turns.load(Ordering::Relaxed);
        let mut over = unpoisoned(self.over.lock());
        while !*over {
            over = unpoisoned(self.over_changed.wait_timeout(over, HEARTBEAT)).0;
            let turns = self.turns.load(Ordering::Relaxed);
            if turns == seen && !*over {
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
