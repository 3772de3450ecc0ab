//! One farm per workdir.
//!
//! Owns the file `lock`: held with flock while a farm runs, so that the system releases it whatever happens to the
//! farm, and containing the holder's name, so that the next user knows whom to ask.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::Pid;

use super::{WorkdirError, is_still, names, unusable};
use crate::sys::family::Stat;
use crate::sys::{host, regular};

/// The number of tries to lock the file that the name refers to.
const TRIES_MAX: u32 = 20;

/// At most this many bytes of a lock are read.
const HOLDER_LEN_MAX: u64 = 1 << 10;

/// The holder of a lock, as it named itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    pub(crate) host: String,
    pub(crate) pid: u32,
}

impl Holder {
    /// `host NAME, pid N` and perhaps more.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, rest) = text.strip_prefix("host ")?.split_once(", pid ")?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
        Some(Self { host: host.to_owned(), pid: digits.parse().ok()? })
    }

    /// Whether that process is alive; `None` if it is on a different node.
    pub(crate) fn is_alive(&self) -> Option<bool> {
        if self.host != host::name() {
            return None;
        }
        let (found, own) = (Stat::read(&self.pid.to_string()), Stat::read("self"));
        // A process that was killed keeps its ID until its parent reaps it.
        Some(
            found.is_some_and(|found| {
                own.is_some_and(|own| own.name == found.name) && !matches!(found.state, 'Z' | 'X')
            }),
        )
    }
}

/// The lock of a workdir. Released when dropped.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    file: Held,
}

#[derive(Debug)]
enum Held {
    Locked(Flock<File>),
    /// The file system has no locks: the holder's name in the file is all there is.
    Named(File),
}

impl Lock {
    /// Takes the lock of a workdir.
    ///
    /// # Errors
    /// If another farm holds it, or the file cannot be created.
    pub(super) fn take(workdir: &Path) -> Result<Self, WorkdirError> {
        let path = &workdir.join(names::LOCK);
        let held = |holder| WorkdirError::Locked { workdir: workdir.to_owned(), holder };
        for _ in 0..TRIES_MAX {
            let mut options = OpenOptions::new();
            let file = regular::open_no_link(options.read(true).write(true).create(true).truncate(false), path);
            match Flock::lock(file.map_err(unusable("lock", path))?, FlockArg::LockExclusiveNonblock) {
                Ok(mut file) => {
                    // The last holder may have removed the file between opening and locking it here.
                    if is_still(path, &file).unwrap_or(false) {
                        write_holder(&mut file, path);
                        return Ok(Self { path: path.to_owned(), file: Held::Locked(file) });
                    }
                }
                Err((_, Errno::EINTR)) => {}
                Err((mut file, Errno::EWOULDBLOCK)) => {
                    return Err(held(read_holder(&mut file).unwrap_or_else(|| "its process is unknown".to_owned())));
                }
                Err((mut file, error)) => {
                    if let Some(holder) = read_holder(&mut file).filter(|holder| is_another_alive(holder)) {
                        return Err(held(holder));
                    }
                    log::warn!(
                        "no lock on {}: {error}; make sure that no second farm uses this workdir",
                        path.display()
                    );
                    write_holder(&mut file, path);
                    return Ok(Self { path: path.to_owned(), file: Held::Named(file) });
                }
            }
        }
        Err(unusable("lock", path)(io::Error::other("it is repeatedly replaced or interrupted")))
    }
}

fn write_holder(file: &mut File, path: &Path) {
    let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(holder().as_bytes()));
    if let Err(error) = written {
        log::warn!("cannot write into {}: {error}", path.display());
    }
}

/// The holder's name in the file.
fn read_holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.rewind().and_then(|()| file.take(HOLDER_LEN_MAX).read_to_string(&mut text)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// Whether this names a different farm on this host that is alive. Nothing is known of other hosts.
fn is_another_alive(holder: &str) -> bool {
    // The name that a killed farm left may have this process's own ID by now.
    Holder::parse(holder).is_some_and(|holder| holder.pid != std::process::id() && holder.is_alive() == Some(true))
}

fn holder() -> String {
    let job = std::env::var("SLURM_JOB_ID").map_or_else(|_| String::new(), |job| format!(", job {job}"));
    format!("host {}, pid {}{job}\n", host::name(), Pid::this())
}

impl Drop for Lock {
    fn drop(&mut self) {
        let is_ours = match &mut self.file {
            // Still locked: a process that waits for it finds that the name refers to nothing, and creates a new file.
            Held::Locked(file) => is_still(&self.path, file).unwrap_or(false),
            Held::Named(file) => {
                is_still(&self.path, file).unwrap_or(false)
                    && read_holder(file).is_some_and(|text| text == holder().trim())
            }
        };
        if is_ours && let Err(error) = regular::remove_if_there(&self.path) {
            log::debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second farm on the same workdir would run every task twice.
    #[test]
    fn a_second_farm_is_refused_and_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let lock = Lock::take(folder.path()).unwrap();
        let Err(WorkdirError::Locked { holder, .. }) = Lock::take(folder.path()) else { panic!("two holders") };
        assert!(holder.contains(&format!("pid {}", Pid::this())), "{holder}");
        drop(lock);
        assert!(!path.exists(), "never left behind");
        drop(Lock::take(folder.path()).unwrap());
    }

    /// A farm that was killed leaves the file, but not the lock.
    #[test]
    fn a_stale_lock_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::fs::write(&path, "host gone, pid 1\n").unwrap();
        drop(Lock::take(folder.path()).unwrap());
    }

    /// A farm that was killed is dead, even if its parent has not reaped it.
    #[test]
    fn a_zombie_is_not_at_work() {
        let mut child = std::process::Command::new("/proc/self/exe")
            .arg("--list")
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let holder = Holder { host: host::name(), pid: child.id() };
        let zombie = || Stat::read(&child.id().to_string()).is_some_and(|stat| stat.state == 'Z');
        while !zombie() {
            std::thread::yield_now();
        }
        assert_eq!(holder.is_alive(), Some(false));
        child.wait().unwrap();
        assert_eq!(holder.is_alive(), Some(false));
    }

    /// Promise 5: whatever is in the lock.
    #[test]
    fn holders_are_read() {
        let holder = |text| Holder::parse(text).map(|holder| (holder.host, holder.pid));
        assert_eq!(holder("host nid1, pid 12, job 5"), Some(("nid1".to_owned(), 12)));
        for other in ["", "host x", "host x, pid ", "host x, pid 99999999999", "nobody"] {
            assert_eq!(holder(other), None, "{other}");
        }
    }
}
