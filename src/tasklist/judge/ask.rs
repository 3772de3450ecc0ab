//! What a shell itself reports about a line, without running it.

use std::path::Path;
use std::process::Command;

use bincode::{Decode, Encode};

use super::super::program::{Output, run};

/// What a shell can be asked about a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Question {
    /// Whether it ends in the middle of a command.
    IsOpen,
    /// Whether it announces a here-document.
    HereDocument,
    /// Whether the backslash at its end would join the next line to it.
    IsContinued,
}

/// The shell that reports here-documents without an end.
const BASH: &str = "/bin/bash";

/// A line that is complete by itself, but never as a continuation.
const NEXT_LINE: &[u8] = b"\n{ :;}";

/// How shells word an end that comes too early: bash, dash, busybox, ksh.
const EARLY_END: [&str; 6] =
    ["end of file", "unexpected eof", "token `eof'", "unterminated", "eof in backquote", "missing '"];

/// Asks this shell. `None`: it cannot be asked, or its answer is not useful.
///
/// Starts a process, so it must not be called by one that has started MPI.
pub(crate) fn ask(shell: &Path, question: Question, line: &[u8]) -> Option<bool> {
    // Other shells read the rest of the file as the document, silently.
    let shell = if question == Question::HereDocument { Path::new(BASH) } else { shell };
    let next: &[u8] = if question == Question::IsContinued { NEXT_LINE } else { b"" };
    let mut command = Command::new(shell);
    // Its English messages are known. Of the variables that a task's shell would have, only this one changes how quotes
    // work.
    let mode = std::env::var_os("POSIXLY_CORRECT").map(|value| ("POSIXLY_CORRECT", value));
    command.arg("-n").env_clear().env("LC_ALL", "C").envs(mode);
    let output = run(&mut command, Some(&[line, next, b"\n"].concat())).ok()?;
    judge(question, &output)
}

fn judge(question: Question, output: &Output) -> Option<bool> {
    if output.is_tail_cut() || output.status.code().is_none() {
        return None;
    }
    let told = String::from_utf8_lossy(&output.tail).to_ascii_lowercase();
    let first = told.lines().next().unwrap_or_default();
    Some(match question {
        Question::IsContinued => !output.status.success(),
        Question::HereDocument => told.contains("here-document at line"),
        // The shell may quote the line in further lines of its message, and in this one the token that it did not
        // expect.
        Question::IsOpen => {
            let other = first.contains("unexpected token `") && !first.contains("token `eof'");
            !output.status.success() && !other && EARLY_END.iter().any(|words| first.contains(words))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(question: Question, line: &str) -> bool {
        let answers = [BASH, "/bin/sh"].map(|shell| ask(Path::new(shell), question, line.as_bytes()).unwrap());
        assert_eq!(answers[0], answers[1], "{line}: both say the same");
        answers[0]
    }

    /// Lines that end in the middle are distinguished from those that are wrong in other ways: these fail, and do no
    /// harm.
    #[test]
    fn a_shell_knows_what_is_open() {
        for line in [
            "echo 'a",
            "echo \"a",
            "echo `a",
            "echo $(a",
            "for i in 1 2",
            "if a; then",
            "{ a",
            "(a",
            "a |",
            "case x in",
        ] {
            assert!(asked(Question::IsOpen, line), "{line}");
        }
        for line in ["echo a", "echo )", "done", "fi; echo eof", "echo 'unexpected eof'", "echo eof )"] {
            assert!(!asked(Question::IsOpen, line), "{line}");
        }
    }

    /// A here-document, and text that looks like one.
    #[test]
    fn a_shell_knows_here_documents() {
        assert!(asked(Question::HereDocument, "cat <<EOF"));
        assert!(!asked(Question::HereDocument, "echo $((1<<2)) '<<EOF' # <<EOF"));
    }

    /// A backslash at the end counts where no comment or quote is around it.
    #[test]
    fn a_shell_knows_what_is_continued() {
        for (line, continued) in [("echo a \\", true), ("echo a\\", true), ("a # b \\", false), ("a \\\\", false)] {
            assert_eq!(asked(Question::IsContinued, line), continued, "{line}");
        }
    }

    /// No command of the line runs.
    #[test]
    fn nothing_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let line = format!("touch '{0}'; : $(touch '{0}') `touch '{0}'` > '{0}'; for", file.display());
        for shell in [BASH, "/bin/sh"] {
            let _ = ask(Path::new(shell), Question::IsOpen, line.as_bytes());
            assert!(!file.exists(), "{shell}");
        }
    }

    /// A missing shell gives no answer.
    #[test]
    fn a_missing_shell_gives_no_answer() {
        assert_eq!(ask(Path::new("/no/such/shell"), Question::IsOpen, b"echo 'a"), None);
    }
}
