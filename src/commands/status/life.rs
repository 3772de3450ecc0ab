//! Whether a farm is at work, from what it left in its workdir.
//!
//! Owns the judgment on `status.json` and `lock`. Neither is locked or changed, so the judgment is based on which
//! process holds the lock, whether that process exists (on this node), and how old `status.json` is.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::Path;

use crate::figures::report::{Figures, State};
use crate::figures::words;
use crate::sys::{clock, regular};
use crate::workdir::{Holder, names, read_status};

/// A file younger than this is a heartbeat, whatever it says.
const FRESH_MIN: f64 = 30.0;

/// The longest lock, in bytes.
const LOCK_LEN_MAX: u64 = 4 << 10;

/// What is known of the last run.
#[derive(Debug, Default)]
pub(super) struct Life {
    pub(super) state: State,
    /// As they were written, if they were.
    pub(super) figures: Figures,
    /// Seconds since then.
    pub(super) age_s: Option<f64>,
    pub(super) damage: Vec<String>,
    pub(super) notes: Vec<String>,
}

impl Life {
    pub(super) fn read(workdir: &Path) -> Self {
        let mut life = Self::default();
        match read_status::<Figures>(workdir) {
            Ok(Ok(figures)) => {
                life.age_s = Some(age(&workdir.join(names::STATUS)).min(seconds_since(figures.written_s)));
                life.figures = figures;
            }
            Ok(Err(error)) => life.damage.push(left_out(names::STATUS, &error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // Nothing depends on it, and the next start puts its own in its place.
            Err(error) if regular::is_something_else(&error) => life.notes.push(left_out(names::STATUS, &error)),
            Err(error) => life.damage.push(format!("{}: {error}", names::STATUS)),
        }
        let lock = workdir.join(names::LOCK);
        let holder = match regular::bytes(&lock, LOCK_LEN_MAX) {
            Ok(bytes) => String::from_utf8(bytes).ok(),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    life.notes.push(left_out(names::LOCK, &error));
                }
                None
            }
        };
        let lock_age = holder.is_some().then(|| age(&lock));
        life.judge(holder.as_deref().map(str::trim), lock_age);
        life
    }

    /// Decides what the last run is doing. `holder`: what the lock file says, if it exists.
    fn judge(&mut self, holder: Option<&str>, lock_age: Option<f64>) {
        let said = self.figures.state;
        let fresh = self.age_s.is_some_and(|age| age <= FRESH_MIN.max(3.0 * self.figures.next_in_s));
        let known = holder.and_then(Holder::parse);
        let alive = known.as_ref().and_then(Holder::is_alive);
        let same = known.as_ref().is_none_or(|holder| {
            (&holder.host, holder.pid) == (&self.figures.host, self.figures.pid) || self.figures.host.is_empty()
        });
        self.state = match (holder, said) {
            // A run that ends cleanly removes the lock.
            (None, State::Ended | State::Unknown) => said,
            // PyTaskFarmer's lock does not say whose it is, and remains after the run.
            (Some(_), State::Unknown) if known.is_none() => said,
            (None, _) if fresh => said,
            (None, _) => State::Died,
            (Some(_), State::Running | State::Stopping) if same => match alive {
                Some(true) => said,
                Some(false) => State::Died,
                None if fresh => said,
                None => State::Died,
            },
            // A different run from the one that wrote status.json: it has just started, or did not last long.
            (Some(_), _) => match alive {
                Some(true) => State::Running,
                None if lock_age.is_some_and(|age| age <= FRESH_MIN) => State::Running,
                _ => State::Died,
            },
        };
        if holder.is_some() && (!same || said == State::Ended) {
            // Its total is that of the list; everything else is from an earlier run.
            let Figures { total, command, cwd, version, .. } = std::mem::take(&mut self.figures);
            self.figures = Figures { total, command, cwd, version, ..Figures::default() };
            self.age_s = None;
        }
        if let Some(holder) = known
            && self.figures.host.is_empty()
        {
            (self.figures.host, self.figures.pid) = (holder.host, holder.pid);
        }
        if self.state == State::Died {
            let since = self.age_s.map_or_else(String::new, |age| format!(" for {}", words::length(age)));
            self.notes.push(match alive {
                Some(false) => "it was killed: its process is gone, and it did not end cleanly".to_owned(),
                _ => format!(
                    "it has not reported{since}: it was killed, its node died, or its disk hangs\n  \
                     to find out, use `squeue` or look at its host; the next start checks by itself"
                ),
            });
        }
    }
}

/// Says that a file on which nothing depends is treated as missing.
pub(super) fn left_out(name: &str, error: &impl Display) -> String {
    format!("{name}: {error}; it is ignored")
}

/// Seconds since a file was changed.
fn age(path: &Path) -> f64 {
    let changed = fs::metadata(path).and_then(|metadata| metadata.modified());
    changed.map_or(f64::INFINITY, |at| at.elapsed().unwrap_or_default().as_secs_f64())
}

/// Seconds since a time, in seconds since 1970.
fn seconds_since(epoch_s: f64) -> f64 {
    (clock::since_1970().as_secs_f64() - epoch_s).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::host;

    fn judged(said: State, age_s: f64, holder: Option<&str>, lock_age: f64) -> State {
        let figures = Figures { state: said, host: "there".to_owned(), pid: 7, next_in_s: 5.0, ..Figures::default() };
        let mut life = Life { figures, age_s: (said != State::Unknown).then_some(age_s), ..Life::default() };
        life.judge(holder, holder.map(|_| lock_age));
        life.state
    }

    /// Promise 5: something else in place of a lock, or a lock that is too long, is noted, and not waited for.
    #[test]
    fn an_odd_lock_is_noted() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let notes = || Life::read(folder.path()).notes;
        assert_eq!(notes(), [""; 0]);
        fs::write(&lock, vec![b'x'; LOCK_LEN_MAX as usize + 1]).unwrap();
        assert_eq!(notes(), ["lock: it has more than 4096 bytes; it is ignored"]);
        fs::remove_file(&lock).unwrap();
        nix::unistd::mkfifo(&lock, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(notes(), ["lock: it is not a regular file; it is ignored"]);
    }

    /// How a stale file is recognized. The process of another node can't be seen; that of this one can.
    #[test]
    fn a_stale_status_is_recognised() {
        let there = Some("host there, pid 7, job 5");
        assert_eq!(judged(State::Running, 4.0, there, 900.0), State::Running);
        assert_eq!(judged(State::Stopping, 4.0, there, 900.0), State::Stopping);
        assert_eq!(judged(State::Running, 400.0, there, 900.0), State::Died);
        assert_eq!(judged(State::Running, 400.0, None, 900.0), State::Died);
        assert_eq!(judged(State::Ended, 4.0, None, 900.0), State::Ended);
        assert_eq!(judged(State::Unknown, 4.0, None, 900.0), State::Unknown);
        assert_eq!(judged(State::Unknown, 4.0, there, 900.0), State::Died);
        assert_eq!(judged(State::Unknown, 4.0, Some(""), 1.0), State::Unknown, "PyTaskFarmer's");
        let other = Some("host there, pid 8");
        assert_eq!(judged(State::Ended, 400.0, other, 0.1), State::Running, "the next run has begun");
        assert_eq!(judged(State::Ended, 400.0, other, 900.0), State::Died, "and was killed in its first second");
        let gone = format!("host {}, pid 4194305", host::name());
        assert_eq!(judged(State::Running, 1.0, Some(&gone), 900.0), State::Died, "no process has this number");
        let me = format!("host {}, pid {}", host::name(), std::process::id());
        assert_eq!(judged(State::Ended, 400.0, Some(&me), 900.0), State::Running);
    }
}
