//! Commands that a handler generates → the list, by [`TaskList::push`].
//!
//! Owns the requirements for every command, whichever handler generates it: one line, not blank, without NUL, of
//! reasonable length; and the size of a list, so that a wrong number in a file causes an error and does not exhaust the
//! node's memory.

use thiserror::Error;

use super::TaskList;

/// Longest command that a handler may generate, in bytes.
pub(crate) const COMMAND_LEN_MAX: usize = 1 << 20;

/// All commands of a handler together, in bytes.
pub(super) const TEXT_LEN_MAX: u64 = 4 << 30;

/// Why something is not a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(super) enum BadCommand {
    #[error("a newline in it: a task is one line")]
    Newline,
    #[error("a NUL byte in it, which no command can have")]
    Nul,
    #[error("nothing in it")]
    Blank,
    #[error("more than {COMMAND_LEN_MAX} bytes")]
    TooLong,
    #[error("too many before it: more than {} tasks, or {} GiB of commands", u32::MAX, TEXT_LEN_MAX >> 30)]
    TooMany,
}

impl TaskList {
    /// Adds a command that a handler generates.
    pub(super) fn push(&mut self, command: &[u8]) -> Result<(), BadCommand> {
        check(command)?;
        if self.len() == u32::MAX || (self.text.len() + command.len()) as u64 > TEXT_LEN_MAX {
            return Err(BadCommand::TooMany);
        }
        self.append(command);
        Ok(())
    }
}

fn check(command: &[u8]) -> Result<(), BadCommand> {
    if command.len() > COMMAND_LEN_MAX {
        Err(BadCommand::TooLong)
    } else if command.trim_ascii().is_empty() {
        Err(BadCommand::Blank)
    } else if memchr::memchr(b'\n', command).is_some() {
        Err(BadCommand::Newline)
    } else if memchr::memchr(0, command).is_some() {
        Err(BadCommand::Nul)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::TaskId;

    /// Anything that is not a task is refused, with the reason.
    #[test]
    fn invalid_commands_are_refused() {
        let mut list = TaskList::default();
        for (bad, why) in [
            (&b"a\nb"[..], BadCommand::Newline),
            (b"a\0b", BadCommand::Nul),
            (b" \t ", BadCommand::Blank),
            (&vec![b'x'; COMMAND_LEN_MAX + 1], BadCommand::TooLong),
        ] {
            assert_eq!(list.push(bad), Err(why));
        }
        assert!(list.is_empty());
    }

    proptest! {
        /// Any bytes are a command that is kept as it is, or are refused.
        #[test]
        fn any_bytes_are_kept_or_refused(bytes in prop::collection::vec(prop::sample::select(b"a \n\r\0'\xff".to_vec()), 0..8)) {
            let mut list = TaskList::default();
            let one_line = !bytes.contains(&b'\n') && !bytes.contains(&0);
            match list.push(&bytes) {
                Ok(()) => {
                    prop_assert!(one_line);
                    prop_assert_eq!(list.command(TaskId(0)), &bytes[..]);
                }
                Err(_) => prop_assert!(!one_line || bytes.trim_ascii().is_empty()),
            }
        }
    }
}
