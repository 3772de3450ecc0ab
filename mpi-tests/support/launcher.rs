//! Which MPI the program was built with, and how that MPI starts ranks.

use std::ffi::OsString;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::PROGRAM;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mpi {
    OpenMpi,
    Mpich,
}

impl Mpi {
    pub(crate) const BOTH: [Self; 2] = [Self::OpenMpi, Self::Mpich];

    /// The MPI of the program under test: what `--version` says. `TASKFARMER_TEST_MPI`, which `mpi-tests/run`
    /// sets, must say the same, so that no run tests another MPI than it prints.
    pub(crate) fn of_program() -> Self {
        static MPI: OnceLock<Mpi> = OnceLock::new();
        *MPI.get_or_init(|| {
            let output = Command::new(PROGRAM).arg("--version").stdin(Stdio::null()).output().unwrap();
            let version = String::from_utf8_lossy(&output.stdout).into_owned();
            let found = Self::BOTH.into_iter().find(|mpi| version.contains(mpi.library()));
            let Some(found) = found else {
                panic!("{PROGRAM} --version names neither Open MPI nor MPICH:\n{version}");
            };
            if let Ok(wanted) = std::env::var("TASKFARMER_TEST_MPI") {
                assert_eq!(wanted, found.name(), "TASKFARMER_TEST_MPI; {PROGRAM} --version:\n{version}");
            }
            println!("MPI of the program: {}", version.trim_end().replace('\n', ", "));
            found
        })
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::OpenMpi => Self::Mpich,
            Self::Mpich => Self::OpenMpi,
        }
    }

    /// As `TASKFARMER_TEST_MPI` names it.
    fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "openmpi",
            Self::Mpich => "mpich",
        }
    }

    /// As the library names itself.
    pub(crate) fn library(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI",
            Self::Mpich => "MPICH",
        }
    }

    /// The words that start this many ranks of a program; none if this MPI has no launcher here.
    pub(crate) fn command(self, ranks: u32) -> Option<Vec<OsString>> {
        // Debian's names first: where both are installed, `mpirun` may be either.
        let (launchers, options): (&[&str], &[&str]) = match self {
            Self::OpenMpi => {
                (&["mpirun.openmpi", "mpirun", "mpiexec"], &["--allow-run-as-root", "--oversubscribe", "-n"])
            }
            Self::Mpich => (&["mpiexec.hydra", "mpiexec.mpich", "mpirun.mpich", "mpiexec", "mpirun"], &["-n"]),
        };
        let launcher = launchers.iter().find(|name| self.is_launched_by(name))?;
        let words = std::iter::once(launcher).chain(options).map(OsString::from);
        Some(words.chain([ranks.to_string().into()]).collect())
    }

    /// The same with each rank on a node of its own; all of them are this one, which only MPICH's mpiexec can be told.
    pub(crate) fn command_on_nodes(self, ranks: u32) -> Option<Vec<OsString>> {
        let mut command = self.command(ranks).filter(|_| self == Self::Mpich)?;
        let hosts = (0..ranks).map(|rank| format!("n{rank}")).collect::<Vec<_>>().join(",");
        command.splice(1..1, ["-launcher", "fork", "-hosts", &hosts, "-ppn", "1"].map(OsString::from));
        Some(command)
    }

    fn is_launched_by(self, launcher: &str) -> bool {
        let Ok(output) = Command::new(launcher).arg("--version").stdin(Stdio::null()).output() else {
            return false;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        match self {
            Self::OpenMpi => ["Open MPI", "OpenRTE", "open-mpi.org"].iter().any(|name| text.contains(name)),
            Self::Mpich => text.contains("HYDRA"),
        }
    }

    /// What to do where the launcher is missing.
    pub(crate) fn cure(self) -> String {
        let package = match self {
            Self::OpenMpi => "openmpi-bin",
            Self::Mpich => "mpich",
        };
        format!("{} has no launcher in PATH: apt-get install {package}", self.library())
    }
}
