//! The process that asks a shell about lines, before the farm begins.
//!
//! A process that uses MPI starts no program, so a separate process does, forked before MPI starts. It runs nothing but
//! shells that only read (`-n`), one per line, and ends when it is no longer needed. If it dies, nothing is known of
//! the lines, and no list is refused because of it.

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::process::Process;
use crate::protocol::codec;
use crate::tasklist::Made;
use crate::tasklist::judge::{Question, ask};

/// How long all answers together may take. A shell that is slow to start, on a file system that hangs, does not hold up
/// the farm.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest question that is accepted, in bytes.
const LEN_MAX: usize = 2 << 20;

/// Asks a shell.
#[derive(Debug)]
pub(super) struct Asker {
    who: Who,
    deadline: Option<Instant>,
}

/// Who asks.
#[derive(Debug)]
pub(super) enum Who {
    /// A separate process.
    There(Process),
    /// This process, which never uses MPI: for a dry run.
    Here,
    /// Nothing is answered.
    Nobody,
}

impl Asker {
    /// Forks the process. To be called while there is one thread, and MPI has not been started.
    pub(super) fn start() -> io::Result<Self> {
        Ok(Self::new(Who::There(Process::start(Made::default(), serve)?)))
    }

    pub(super) fn new(who: Who) -> Self {
        Self { who, deadline: None }
    }

    /// The shell's answer about a line; `None` if it is not known.
    pub(super) fn ask(&mut self, shell: &Path, question: Question, line: &[u8]) -> Option<bool> {
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        let left = deadline.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        let answer = match (&self.who, left) {
            (Who::There(process), Some(left)) => by_socket(&process.socket, left, shell, question, line),
            (Who::Here, Some(_)) => return ask(shell, question, line),
            (Who::Nobody, _) | (_, None) => return None,
        };
        // A late answer would be mistaken for that to the next question.
        answer.unwrap_or_else(|error| {
            log::info!("cannot check lines of the list with a shell: {error}");
            self.who = Who::Nobody;
            None
        })
    }
}

fn by_socket(
    mut socket: &UnixStream,
    left: Duration,
    shell: &Path,
    question: Question,
    line: &[u8],
) -> io::Result<Option<bool>> {
    socket.set_read_timeout(Some(left))?;
    socket.set_write_timeout(Some(left))?;
    let bytes = codec::encode(&(question, shell.as_os_str().as_bytes(), line)).map_err(io::Error::other)?;
    socket.write_all(&[&bytes.len().to_le_bytes(), &bytes[..]].concat())?;
    let mut answer = [0];
    socket.read_exact(&mut answer)?;
    Ok(match answer {
        [0] => Some(false),
        [1] => Some(true),
        _ => None,
    })
}

/// Answers until there are no more questions.
fn serve(mut socket: &UnixStream) -> io::Result<()> {
    loop {
        let mut len = [0; size_of::<usize>()];
        match socket.read_exact(&mut len) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        }
        let len = Some(usize::from_le_bytes(len)).filter(|len| *len <= LEN_MAX);
        let mut bytes = vec![0; len.ok_or(io::ErrorKind::InvalidData)?];
        socket.read_exact(&mut bytes)?;
        let (question, shell, line): (_, Vec<u8>, Vec<u8>) = codec::decode(&bytes).map_err(io::Error::other)?;
        let answer = ask(Path::new(std::ffi::OsStr::from_bytes(&shell)), question, &line);
        socket.write_all(&[answer.map_or(2, u8::from)])?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Questions and answers pass through the socket, one after the other, and a peer that is gone causes no error.
    #[test]
    fn answers_come_back() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let server = std::thread::spawn(move || serve(&theirs).is_ok());
        let minute = Duration::from_secs(60);
        let asked = |question, line: &[u8]| by_socket(&ours, minute, Path::new("/bin/bash"), question, line).unwrap();
        assert_eq!(asked(Question::IsOpen, b"echo 'a"), Some(true));
        assert_eq!(asked(Question::IsOpen, b"echo 'a'"), Some(false));
        assert_eq!(asked(Question::HereDocument, b"cat <<E"), Some(true));
        assert_eq!(asked(Question::IsContinued, b"a # \\"), Some(false));
        assert_eq!(by_socket(&ours, minute, Path::new("/no/shell"), Question::IsOpen, b"(").unwrap(), None);
        drop(ours);
        assert!(server.join().unwrap());
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(by_socket(&ours, minute, Path::new("/bin/bash"), Question::IsOpen, b"(").is_err());
    }
}
