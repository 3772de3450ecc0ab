//! MPI programs as tasks: `mpirun -n 2 hello` and `hello` alone, with either MPI that is installed.

use std::process::{Command, Stdio};

use super::{Farm, Mpi, launcher, skipped};

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mpi-tests/support/hello.c");

/// A line of a list, and the expected content of its log, in any order.
pub(crate) struct MpiTask {
    pub(crate) line: String,
    hellos: &'static [&'static str],
}

/// Builds `hello` with each MPI into the farm's folder and returns the tasks that run it. An MPI of the system without
/// a compiler or a launcher is left out, with a message; the MPI of the program itself is always there.
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
        let both = two_tasks(&words.join(" "), &name, "");
        if mpi != Mpi::of_program() && !both[0].works_alone(farm) {
            // As on Ubuntu 24.04, whose MPICH uses PMIx, but whose mpiexec does not.
            skipped(&format!("tasks of {}: without a farm, its launcher cannot start two ranks either", mpi.library()));
            continue;
        }
        tasks.extend(both);
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
    /// Whether it does outside a farm what it must do in one.
    fn works_alone(&self, farm: &Farm) -> bool {
        let mut shell = Command::new("sh");
        shell.args(["-c", &self.line]).current_dir(farm.cwd()).env_clear().envs(farm.environment());
        let output = shell.stdin(Stdio::null()).output().unwrap();
        hellos(&output.stdout) == self.hellos
    }

    /// Makes sure that every rank of it said hello.
    #[track_caller]
    pub(crate) fn said_hello(&self, log: &[u8]) {
        assert_eq!(hellos(log), self.hellos, "{}:\n{}", self.line, String::from_utf8_lossy(log));
    }
}

/// What ranks printed, sorted.
fn hellos(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let mut found: Vec<String> = text.lines().filter(|line| line.starts_with("hello")).map(str::to_owned).collect();
    found.sort_unstable();
    found
}

/// Runs a compiler wrapper, which may be preceded by assignments.
fn build(compiler: &str, farm: &Farm, name: &str) -> bool {
    let line = format!("{compiler} '{SOURCE}' -o '{}'", farm.path(name).display());
    Command::new("sh").args(["-c", &line]).output().is_ok_and(|output| output.status.success())
}
