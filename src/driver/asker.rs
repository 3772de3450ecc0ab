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
use crate::tasklist::Made;
use crate::tasklist::judge::{Question, ask};

/// How long all answers together may take. A shell that is slow to start, on a file system that hangs, does not hold up
/// the farm.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest part of a question that is accepted.
const LEN_MAX: usize = 2 << 20;

const QUESTIONS: [Question; 3] = [Question::IsOpen, Question::HereDocument, Question::IsContinued];

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
    let number = QUESTIONS.iter().position(|known| *known == question).unwrap_or_default();
    let shell = shell.as_os_str().as_bytes();
    let mut bytes = vec![u8::try_from(number).unwrap_or_default()];
    for piece in [shell, line] {
        bytes.extend((piece.len() as u64).to_le_bytes());
        bytes.extend(piece);
    }
    socket.write_all(&bytes)?;
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
        let mut number = [0];
        if socket.read(&mut number)? == 0 {
            return Ok(());
        }
        let shell = piece(socket)?;
        let line = piece(socket)?;
        let question = QUESTIONS.get(usize::from(number[0])).copied();
        let shell = Path::new(std::ffi::OsStr::from_bytes(&shell));
        let answer = question.and_then(|question| ask(shell, question, &line));
        socket.write_all(&[answer.map_or(2, u8::from)])?;
    }
}

fn piece(mut socket: &UnixStream) -> io::Result<Vec<u8>> {
    let mut len = [0; 8];
    socket.read_exact(&mut len)?;
    let len = usize::try_from(u64::from_le_bytes(len)).ok().filter(|len| *len <= LEN_MAX);
    let mut bytes = vec![0; len.ok_or(io::ErrorKind::InvalidData)?];
    socket.read_exact(&mut bytes)?;
    Ok(bytes)
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
