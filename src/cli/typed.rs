//! Commands that a user may paste, in the form in which this program was called.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use crate::shell::pasted;
use crate::stderr::PROGRAM;

/// The first word of the command line: the program need not be in `PATH`.
pub(crate) fn program_as_typed() -> String {
    std::env::args_os().next().map_or_else(|| PROGRAM.to_owned(), |program| pasted(program.as_bytes()))
}

/// A command line as a shell accepts it. `--retry-failed` is left out: tasks that have failed since then would run
/// again.
pub(crate) fn command_line(arguments: impl Iterator<Item = OsString>) -> String {
    let arguments = arguments.filter(|argument| argument != "--retry-failed");
    arguments.map(|argument| pasted(argument.as_bytes())).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed can be pasted.
    #[test]
    fn a_command_line_is_quoted() {
        let line = ["taskfarmer-mpi", "--retry-failed", "-w", "my dir", "it's", ""].map(OsString::from);
        assert_eq!(command_line(line.into_iter()), r"taskfarmer-mpi -w 'my dir' 'it'\''s' ''");
    }
}
