//! Log records of processes that must not write to the terminal.
//!
//! Owns the logger of pools and relays: it collects records, and their loops send them to rank 0, the only one that
//! writes. Never blocks and never grows without bound.

use std::sync::{Arc, Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};

/// Maximum number of waiting records; a process that cannot get rid of them drops further ones.
const WAITING_MAX: usize = 1_000;

/// The collected log records of this process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outlet {
    waiting: Arc<Mutex<Vec<(u8, String)>>>,
}

impl Log for Outlet {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true // The `log` crate compares with the highest level before it calls.
    }

    fn log(&self, record: &Record<'_>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push((record.level() as u8, record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

impl Outlet {
    /// Makes this the logger of the process. Warnings and errors pass until [`Self::set_level`].
    pub(crate) fn install() -> Self {
        let outlet = Self::default();
        // If a logger is already installed, it stays: the records go there.
        if log::set_boxed_logger(Box::new(outlet.clone())).is_ok() {
            log::set_max_level(LevelFilter::Warn);
        }
        outlet
    }

    /// Accepts records up to this level (`log::LevelFilter` as a number).
    pub(crate) fn set_level(&self, level: u8) {
        log::set_max_level(LevelFilter::iter().nth(usize::from(level)).unwrap_or(LevelFilter::Trace));
    }

    /// Takes the collected records: level (`log::Level` as a number) and text.
    pub(crate) fn take(&self) -> Vec<(u8, String)> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
