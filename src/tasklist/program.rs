//! Programs that a handler runs.
//!
//! Owns their start, their end, and how much of their output is kept. Rank 0 only, in a process that does not use MPI:
//! see [`crate::driver`].

use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStderr, Command, ExitStatus, Stdio};

use nix::sys::signal::Signal;

use super::commands::TEXT_LEN_MAX;
use crate::sys::launcher::variables::Leftovers;
use crate::sys::process::die_with_parent;

/// How much of standard error is kept: its end, in bytes.
const TAIL_LEN_MAX: usize = 4 << 10;

/// Lines of it in a message.
const TAIL_LINES_MAX: usize = 15;

/// Bytes per read.
const CHUNK_LEN: usize = 64 << 10;

/// What a program printed, and how it ended.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    /// The end of its standard error.
    pub(super) tail: Vec<u8>,
    pub(super) status: ExitStatus,
    /// It printed more than a list may hold, and was killed because of that.
    pub(super) too_much: bool,
}

/// Removes the launcher's variables, as for tasks: a program that uses MPI is not a rank of this farm.
pub(super) fn without_launcher(command: &mut Command) -> &mut Command {
    let leftovers = Leftovers::of(|name| std::env::var(name).ok());
    for (name, _) in std::env::vars_os() {
        if leftovers.contains(name.as_encoded_bytes()) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a program to its end. `input`: what it reads, in place of the standard input that the command defines.
pub(super) fn run(command: &mut Command, input: Option<&[u8]>) -> io::Result<Output> {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let command = die_with_parent(without_launcher(command));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let stdin = child.stdin.take();
    let stderr = child.stderr.take();
    std::thread::scope(|scope| {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // A program may have reasons not to read all of it.
            scope.spawn(move || stdin.write_all(input));
        }
        let tail = scope.spawn(move || stderr.map_or(Ok(Vec::new()), tail_of));
        let mut stdout = Vec::new();
        let read = child.stdout.take().map_or(Ok(0), |out| out.take(TEXT_LEN_MAX + 1).read_to_end(&mut stdout));
        let too_much = stdout.len() as u64 > TEXT_LEN_MAX;
        if read.is_err() || too_much {
            let _ = child.kill();
        }
        let status = child.wait()?;
        read?;
        let tail = tail.join().unwrap_or_else(|_| Ok(Vec::new()))?;
        Ok(Output { stdout, tail, status, too_much })
    })
}

fn tail_of(mut stderr: ChildStderr) -> io::Result<Vec<u8>> {
    let mut tail = Vec::new();
    let mut chunk = vec![0; CHUNK_LEN];
    loop {
        match stderr.read(&mut chunk) {
            Ok(0) => return Ok(tail),
            Ok(len) => {
                tail.extend_from_slice(&chunk[..len]);
                tail.drain(..tail.len().saturating_sub(TAIL_LEN_MAX));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Output {
    /// Whether a part of standard error is not kept.
    pub(super) fn is_tail_cut(&self) -> bool {
        self.tail.len() >= TAIL_LEN_MAX
    }

    /// How it failed; `None` if it did not.
    pub(super) fn failure(&self) -> Option<String> {
        if self.too_much {
            return Some(format!("printed more than {} GiB", TEXT_LEN_MAX >> 30));
        }
        match (self.status.code(), self.status.signal()) {
            (Some(0), _) => None,
            (Some(code), _) => Some(format!("ended with exit code {code}")),
            (None, signal) => {
                let signal = signal.unwrap_or(0);
                let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                Some(format!("was ended by signal {signal} ({name})"))
            }
        }
    }

    /// The end of its standard error as further lines of a message: each after a newline, indented.
    pub(super) fn stderr_lines(&self) -> String {
        let text = crate::shown::text(&self.tail);
        let lines: Vec<&str> = text.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        lines[lines.len().saturating_sub(TAIL_LINES_MAX)..].iter().map(|line| format!("\n  | {line}")).collect()
    }
}
