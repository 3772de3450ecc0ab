//! A file that is replaced as a whole, by rename: a reader sees an old one or a new one.
//!
//! Owns the thread that does it during a run, so that a slow disk delays nothing, and the pause between two times. It
//! does not know what the file says.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sys::regular;

/// After a replacement that takes long, the pause is this many times as long.
const FACTOR: u32 = 50;

/// How a file is replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// The name of the thread.
    pub(super) thread: &'static str,
    /// From the start to the first time.
    pub(super) first: Duration,
    /// The shortest and the longest time from one beginning to the next.
    pub(super) pause: (Duration, Duration),
    /// Whether it is on the disk before it has its name.
    pub(super) is_synced: bool,
}

/// Replaces a file, in the background during a run.
#[derive(Debug)]
pub(super) struct Replacer {
    path: PathBuf,
    manner: Manner,
    thread: Option<JoinHandle<io::Result<Duration>>>,
    began: Instant,
    pause: Duration,
}

impl Replacer {
    pub(super) fn new(path: PathBuf, manner: Manner) -> Self {
        Self { path, manner, thread: None, began: Instant::now(), pause: manner.first }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is due, and the last time is over.
    ///
    /// # Errors
    /// If the last time failed.
    pub(super) fn is_due(&mut self) -> io::Result<bool> {
        if self.thread.as_ref().is_some_and(JoinHandle::is_finished) {
            let took = self.join();
            let (least, most) = self.manner.pause;
            self.pause = took.as_ref().map_or(least, |took| (*took * FACTOR).clamp(least, most));
            took?;
        }
        Ok(self.thread.is_none() && self.began.elapsed() >= self.pause)
    }

    /// The time from one beginning to the next, as far as is known.
    pub(super) fn pause(&self) -> Duration {
        self.pause.max(self.manner.pause.0)
    }

    /// Begins to write what `write` does, in the background.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn begin(
        &mut self,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let (path, is_synced) = (self.path.clone(), self.manner.is_synced);
        let work = move || {
            let start = Instant::now();
            replace(&path, is_synced, write).map(|()| start.elapsed())
        };
        self.began = Instant::now();
        self.thread = Some(std::thread::Builder::new().name(self.manner.thread.to_owned()).spawn(work)?);
        Ok(())
    }

    /// Writes it a last time, and waits for it.
    ///
    /// # Errors
    /// If that fails, or an earlier time did.
    pub(super) fn finish(&mut self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        let earlier = self.join();
        replace(&self.path, self.manner.is_synced, write)?;
        earlier.map(|_| ())
    }

    fn join(&mut self) -> io::Result<Duration> {
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(Duration::ZERO),
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(io::Error::other("the thread that writes it panicked")),
        }
    }
}

impl Drop for Replacer {
    fn drop(&mut self) {
        let _ = self.join();
    }
}

fn replace(path: &Path, is_synced: bool, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let new = PathBuf::from(new);
    let written = regular::temporary(&new).and_then(|file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        write(&mut out)?;
        let file = out.into_inner()?;
        if is_synced { file.sync_data() } else { Ok(()) }
    });
    let result = written.and_then(|()| std::fs::rename(&new, path));
    if result.is_err() {
        let _ = regular::remove_if_there(&new);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner =
        Manner { thread: "test", first: Duration::ZERO, pause: (Duration::ZERO, Duration::MAX), is_synced: true };

    /// A reader sees a complete file, old or new, and no other file is left behind, not even after an error.
    #[test]
    fn it_is_replaced_as_a_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("status.json");
        let mut file = Replacer::new(path.clone(), MANNER);
        assert!(file.is_due().unwrap());
        file.begin(|out| out.write_all(b"old")).unwrap();
        file.finish(|out| out.write_all(b"new")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        let fails = Replacer::new(path.clone(), MANNER).finish(|out| {
            out.write_all(b"half")?;
            Err(io::Error::other("full"))
        });
        assert_eq!(
            (fails.unwrap_err().to_string(), std::fs::read(&path).unwrap()),
            ("full".to_owned(), b"new".to_vec())
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    /// An error in the background is reported at the next look, or at the end.
    #[test]
    fn an_error_in_the_background_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = Replacer::new(folder.path().join("no/status.json"), MANNER);
        file.begin(|_| Ok(())).unwrap();
        let error = loop {
            match file.is_due() {
                Ok(_) => std::thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let mut file = Replacer::new(folder.path().join("file"), MANNER);
        file.begin(|_| Err(io::Error::other("full"))).unwrap();
        assert_eq!(file.finish(|_| Ok(())).unwrap_err().to_string(), "full");
    }

    /// The first time comes when it should, and a slow disk is not kept busy.
    #[test]
    fn there_are_pauses() {
        let folder = tempfile::tempdir().unwrap();
        let hour = Duration::from_secs(3_600);
        let mut file = Replacer::new(folder.path().join("file"), Manner { first: hour, ..MANNER });
        assert!(!file.is_due().unwrap(), "a very short run does without");
        let mut file = Replacer::new(folder.path().join("file"), Manner { pause: (hour, hour), ..MANNER });
        assert!(file.is_due().unwrap());
        file.begin(|_| Ok(())).unwrap();
        file.thread.take().unwrap().join().unwrap().unwrap();
        assert_eq!(file.pause(), hour);
        file.thread = Some(std::thread::spawn(|| Ok(Duration::from_secs(2))));
        while file.thread.is_some() {
            file.is_due().unwrap();
        }
        assert_eq!((file.is_due().unwrap(), file.pause), (false, hour));
    }
}
