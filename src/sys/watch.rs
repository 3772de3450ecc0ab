//! A watchdog for library calls that must return.
//!
//! Owns a thread that periodically checks whether the same call is still in progress. Intel MPI's sends have been seen
//! to hang forever after a rank was killed, and a process that hangs cannot even be asked to end. The thread counts its
//! own checks, so a process that was suspended is not mistaken for one that hangs. It does not know which library it
//! watches.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A call that is in progress for this many checks hangs.
pub(super) const LOOKS_MAX: u32 = 20;

/// Which call is in progress: odd during a call, and a different number for each.
#[derive(Debug, Default)]
pub(super) struct Watch(AtomicU64);

/// A call is in progress while this value exists.
#[derive(Debug)]
pub(super) struct Call<'watch>(&'watch Watch, bool);

impl Watch {
    /// Starts the thread, which checks once per `look`. It calls `on_hang` at most once.
    pub(super) fn start(look: Duration, on_hang: impl FnOnce() + Send + 'static) -> Arc<Self> {
        let watch = Arc::new(Self::default());
        let watched = Arc::downgrade(&watch);
        let look_on = move || {
            let (mut seen, mut looks) = (0, 0);
            loop {
                std::thread::sleep(look);
                let Some(now) = watched.upgrade().map(|watch| watch.0.load(Ordering::Relaxed)) else { return };
                looks = if now % 2 == 1 && now == seen { looks + 1 } else { 0 };
                seen = now;
                if looks == LOOKS_MAX {
                    return on_hang();
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("tfarmer-watch".to_owned()).spawn(look_on) {
            log::debug!("cannot start the thread that watches MPI: {error}");
        }
        watch
    }

    /// Begins a call. Calls may be nested; only one thread may call at a time.
    pub(super) fn enter(&self) -> Call<'_> {
        let is_outermost = self.0.load(Ordering::Relaxed).is_multiple_of(2);
        if is_outermost {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Call(self, is_outermost)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.1 {
            self.0.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const QUICK: Duration = Duration::from_millis(1);

    /// A call that does not return is noticed; many short ones, in sequence or nested, are not.
    #[test]
    fn only_a_call_that_does_not_return_is_noticed() {
        let (sender, hung) = mpsc::channel();
        let watch = Watch::start(QUICK, move || sender.send(()).unwrap());
        for _ in 0..50 * LOOKS_MAX {
            let _outer = watch.enter();
            drop(watch.enter());
            std::thread::sleep(QUICK / 10);
        }
        assert!(hung.try_recv().is_err(), "calls that return");
        let call = watch.enter();
        hung.recv().unwrap();
        drop(call);
    }

    /// The thread ends with what it watches.
    #[test]
    fn the_watch_ends_with_what_it_watches() {
        let (sender, gone) = mpsc::channel::<()>();
        drop(Watch::start(QUICK, move || drop(sender)));
        assert!(gone.recv().is_err());
    }
}
