//! What all test targets share: farms in temporary folders, launchers, readers of what a farm leaves behind.
//!
//! Nothing here uses the crate's own code: the program is tested from outside, by its command line, its files and its
//! processes.

// Each of the test targets uses only a part of this.
#![allow(dead_code, unused_imports, unused_macros)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub(crate) mod attempts;
pub(crate) mod bad_input;
pub(crate) mod blockers;
pub(crate) mod disk;
pub(crate) mod documents;
pub(crate) mod examples;
pub(crate) mod expected;
pub(crate) mod farm;
pub(crate) mod hello;
pub(crate) mod holders;
pub(crate) mod interrupted;
pub(crate) mod lag;
pub(crate) mod launcher;
pub(crate) mod leftovers;
pub(crate) mod links;
pub(crate) mod long_lines;
pub(crate) mod mixed;
pub(crate) mod moments;
pub(crate) mod outcome;
pub(crate) mod poison;
pub(crate) mod processes;
pub(crate) mod quiet;
pub(crate) mod random;
pub(crate) mod running;
pub(crate) mod status;
pub(crate) mod stubborn;
pub(crate) mod terminal;
pub(crate) mod timeline;
pub(crate) mod workdir;

pub(crate) use farm::Farm;
pub(crate) use lag::Lag;
pub(crate) use launcher::Mpi;
pub(crate) use outcome::Outcome;
pub(crate) use random::Random;
pub(crate) use running::Running;
pub(crate) use timeline::{End, Timeline};
pub(crate) use workdir::Workdir;

/// The binary under test: the one that cargo built with this, or where `mpi-tests/run` has built it with another MPI.
pub(crate) fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = env!("CARGO_BIN_EXE_taskfarmer-mpi");
        std::env::var("TASKFARMER_TEST_PROGRAM").unwrap_or_else(|_| built.to_owned())
    })
}

/// The Python environment in `target/NAME`, created by `mpi-tests/NAME-env` at the first use. `None` only if the
/// variable `skip` says that tests with it are not wanted.
pub(crate) fn python_env(name: &str, skip: &str, why: &str) -> Option<PathBuf> {
    if std::env::var(skip).is_ok_and(|value| value == "1") {
        skipped(&format!("{skip}=1"));
        return None;
    }
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = project.join("target").join(name);
    let output = Command::new(project.join(format!("mpi-tests/{name}-env"))).arg(&folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{why} ({skip}=1 leaves these tests out):\n{text}");
    Some(folder)
}

/// Reports, in spite of the captured output, that this machine cannot run a test. `TASKFARMER_TEST_NO_SKIP=1` makes it
/// fail.
#[track_caller]
pub(crate) fn skipped(reason: &str) {
    use std::io::Write;
    let thread = std::thread::current();
    let text = format!("SKIPPED {}: {reason}\n", thread.name().unwrap_or("a test"));
    assert!(std::env::var_os("TASKFARMER_TEST_NO_SKIP").is_none(), "{text}");
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// Bytes for a message: as text, with the middle of long ones left out.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN_MAX: usize = 8000;
    if bytes.len() <= SHOWN_MAX {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let (head, tail) = (&bytes[..SHOWN_MAX / 2], &bytes[bytes.len() - SHOWN_MAX / 2..]);
    format!(
        "{}\n[… {} bytes left out …]\n{}",
        String::from_utf8_lossy(head),
        bytes.len() - SHOWN_MAX,
        String::from_utf8_lossy(tail)
    )
}
