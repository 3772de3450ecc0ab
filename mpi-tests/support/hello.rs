//! MPI programs as tasks: `mpirun -n 2 hello` and `hello` alone, of either MPI, as far as it is installed.

use std::process::Command;

use super::{Farm, Mpi, launcher, skipped};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mpi-tests/support/hello.c");

/// A line of a list, and what its log shows, in any order.
pub(crate) struct MpiTask {
    pub(crate) line: String,
    hellos: &'static [&'static str],
}

/// Builds `hello` with each MPI into the farm's folder and gives the tasks that run it. An MPI of the system without a
/// compiler or a launcher is left out, and that is said; the MPI of the program itself is always there.
#[track_caller]
pub(crate) fn mpi_tasks(farm: &Farm) -> Vec<MpiTask> {
    let mut tasks = Vec::new();
    for mpi in Mpi::BOTH {
        let name = format!("hello-{}", mpi.library().replace(' ', ""));
        let is_built = mpi.compilers().iter().any(|compiler| build(compiler, farm, &name));
        let (Some(launcher), true) = (mpi.command(2), is_built) else {
            assert_ne!(mpi, Mpi::of_program(), "{}", mpi.cure());
            skipped(&format!("tasks of {}: {}", mpi.library(), mpi.cure()));
            continue;
        };
        let words: Vec<String> = launcher.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        tasks.extend(two_tasks(&words.join(" "), &name, ""));
    }
    for folder in launcher::folders() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let (bin, program) = (folder.join("bin"), format!("hello-{name}"));
        let (launcher, variables) = match &name {
            name if name.starts_with("openmpi") => ("mpirun --allow-run-as-root --oversubscribe -n 2", String::new()),
            name if name.starts_with("impi") => ("mpiexec.hydra -n 2", format!("I_MPI_ROOT={} ", folder.display())),
            _ => ("mpiexec.hydra -n 2", String::new()),
        };
        let compiler = format!("{variables}{}/mpicc", bin.display());
        assert!(build(&compiler, farm, &program), "{compiler}");
        tasks.extend(two_tasks(&format!("{}/{launcher}", bin.display()), &program, &variables));
    }
    tasks
}

/// A program with two ranks and a single one. `variables`: what it needs in its environment.
fn two_tasks(launcher: &str, program: &str, variables: &str) -> [MpiTask; 2] {
    let line = |words: &str| format!("{variables}{words}./{program}");
    [
        MpiTask { line: line(&format!("{launcher} ")), hellos: &["hello from 0 of 2", "hello from 1 of 2"] },
        MpiTask { line: line(""), hellos: &["hello from 0 of 1"] },
    ]
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

/// Runs a compiler wrapper, which may have assignments in front.
fn build(compiler: &str, farm: &Farm, name: &str) -> bool {
    let line = format!("{compiler} '{SOURCE}' -o '{}'", farm.path(name).display());
    Command::new("sh").args(["-c", &line]).output().is_ok_and(|output| output.status.success())
}
