//! Everything that a user may get wrong, and the expected result: one clear message, exit code 2, nothing created.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::farm::LIST;
use super::{Farm, skipped};

/// A kind of bad input.
#[derive(Clone, Copy)]
pub(crate) enum BadInput {
    NoSuchList,
    FolderAsList,
    UnreadableList,
    NoList,
    NulInALine,
    UnknownRunner,
    UnknownHandler,
    NoSlots,
    ProcIsNoNumber,
    NegativeTimeout,
    TimeoutIsNoTime,
    UnknownOption,
    WorkdirIsAFile,
    WorkdirNotWritable,
    WorkdirCannotBeMade,
}

impl BadInput {
    /// Runs a farm with it; `new_farm` makes one from its list.
    #[track_caller]
    pub(crate) fn is_refused(self, new_farm: impl Fn(&[u8]) -> Farm) {
        let good = b"echo one\necho two\n";
        let mut farm = new_farm(if matches!(self, Self::NulInALine) {
            b"# a comment\necho one\necho t\0wo\n".as_slice()
        } else {
            good
        });
        if matches!(self, Self::UnreadableList | Self::WorkdirNotWritable | Self::WorkdirCannotBeMade) {
            farm = farm.run_as_nobody();
            if farm.launcher_is_closed() || farm.run_alone(&["--version"]).status.is_none_or(|status| !status.success())
            {
                return skipped("nobody cannot enter the folder of the MPI: it is in one that is closed to others");
            }
        }
        let list = farm.path(LIST);
        let close = |path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let (words, mentioned): (&[&str], &[&str]) = match self {
            Self::NoSuchList => (&["no-such-list.txt"], &["no-such-list.txt"]),
            Self::FolderAsList => {
                fs::create_dir(farm.path("folder")).unwrap();
                (&["folder"], &["folder"])
            }
            Self::UnreadableList => {
                close(list, 0o000);
                // With the workdir in a place where any user may write, only the list is the obstacle.
                close(farm.cwd(), 0o777);
                (&[LIST], &[LIST])
            }
            Self::NoList => (&[], &[]),
            Self::NulInALine => (&[LIST], &[LIST]),
            Self::UnknownRunner => (&["--runner", "no-such-runner", LIST], &["no-such-runner"]),
            Self::UnknownHandler => (&["--tasklist", "no-such-handler", LIST], &["no-such-handler"]),
            Self::NoSlots => (&["--proc", "0", LIST], &["--proc"]),
            Self::ProcIsNoNumber => (&["--proc", "x", LIST], &["--proc", "x"]),
            Self::NegativeTimeout => (&["--timeout", "-1", LIST], &["--timeout", "-1"]),
            Self::TimeoutIsNoTime => (&["--timeout", "soon", LIST], &["--timeout", "soon"]),
            Self::UnknownOption => (&["--no-such-option", LIST], &["--no-such-option"]),
            Self::WorkdirIsAFile => {
                farm.write("not-a-folder", b"precious\n");
                (&["--workdir", "not-a-folder", LIST], &["not-a-folder"])
            }
            Self::WorkdirNotWritable => {
                fs::create_dir(farm.path("closed")).unwrap();
                close(farm.path("closed"), 0o555);
                (&["--workdir", "closed", LIST], &["closed"])
            }
            Self::WorkdirCannotBeMade => {
                fs::create_dir(farm.path("closed")).unwrap();
                close(farm.path("closed"), 0o555);
                (&["--workdir", "closed/inner/workdir", LIST], &["closed/inner"])
            }
        };
        let before = farm.everything();
        let outcome = farm.run_exactly(words).refused(mentioned);
        assert_eq!(farm.everything(), before, "something was made or changed in spite of the bad input");
        assert!(outcome.stdout.is_empty(), "errors belong on stderr");
        if matches!(self, Self::NulInALine) {
            let message = outcome.errors().concat();
            let place = ["line 3", &format!("{LIST}:3")];
            assert!(place.iter().any(|place| message.contains(place)), "the message should name line 3:\n{message}");
        }
    }
}

/// Makes one test per kind of bad input from `new_farm`.
macro_rules! bad_input_tests {
    ($new_farm:expr; $($(#[$doc:meta])* $name:ident: $kind:ident,)*) => {$(
        $(#[$doc])*
        #[test]
        fn $name() {
            BadInput::$kind.is_refused($new_farm);
        }
    )*};
}
pub(crate) use bad_input_tests;
