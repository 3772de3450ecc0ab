//! MPI programs as tasks: `mpirun -n 2 hello` and `hello` alone, of either MPI, as far as it is installed.

use std::fmt::Write as _;
use std::process::Command;

use super::{Farm, Mpi, skipped};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mpi-tests/support/hello.c");

/// A line of a list, and what its log shows, in any order.
pub(crate) struct MpiTask {
    pub(crate) line: String,
    hellos: &'static [&'static str],
}

/// Builds `hello` with each MPI into the farm's folder and gives the tasks that run it. An MPI without a compiler or a
/// launcher is left out, and that is said; the MPI of the program itself is always there.
#[track_caller]
pub(crate) fn mpi_tasks(farm: &Farm) -> Vec<MpiTask> {
    let mut tasks = Vec::new();
    for mpi in Mpi::BOTH {
        let name = format!("hello-{}", mpi.library().replace(' ', ""));
        let (Some(launcher), true) = (mpi.command(2), build(mpi, farm, &name)) else {
            assert_ne!(mpi, Mpi::of_program(), "{}", mpi.cure());
            skipped(&format!("tasks of {}: {}", mpi.library(), mpi.cure()));
            continue;
        };
        let words: Vec<String> = launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let mut launched = words.join(" ");
        write!(launched, " ./{name}").unwrap();
        tasks.push(MpiTask { line: launched, hellos: &["hello from 0 of 2", "hello from 1 of 2"] });
        tasks.push(MpiTask { line: format!("./{name}"), hellos: &["hello from 0 of 1"] });
    }
    tasks
}

impl MpiTask {
    /// Makes sure that every rank of it said hello.
    #[track_caller]
    pub(crate) fn said_hello(&self, log: &[u8]) {
        let log = String::from_utf8_lossy(log);
        let mut found: Vec<&str> = log.lines().filter(|line| line.starts_with("hello")).collect();
        found.sort_unstable();
        assert_eq!(found, self.hellos, "{}:\n{log}", self.line);
    }
}

fn build(mpi: Mpi, farm: &Farm, name: &str) -> bool {
    mpi.compilers().iter().any(|compiler| {
        let built = Command::new(compiler).arg(SOURCE).arg("-o").arg(farm.path(name)).output();
        built.is_ok_and(|output| output.status.success())
    })
}
