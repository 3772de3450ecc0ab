//! With which MPI the program was built, and how that MPI starts ranks.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::program;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::enum_variant_names, reason = "it is called so")]
pub(crate) enum Mpi {
    OpenMpi,
    Mpich,
    Intel,
}

impl Mpi {
    const ALL: [Self; 3] = [Self::OpenMpi, Self::Mpich, Self::Intel];

    /// Those that systems provide as packages.
    pub(crate) const BOTH: [Self; 2] = [Self::OpenMpi, Self::Mpich];

    /// The MPI of the program under test, according to `--version`. `TASKFARMER_TEST_MPI`, which `mpi-tests/run` sets,
    /// must agree, so that no run tests a different MPI than it prints.
    pub(crate) fn of_program() -> Self {
        static MPI: OnceLock<Mpi> = OnceLock::new();
        *MPI.get_or_init(|| {
            let version = version();
            let found = Self::ALL.into_iter().find(|mpi| version.contains(mpi.own_name()));
            let Some(found) = found else {
                panic!("{} --version names no MPI:\n{version}", program());
            };
            if let Ok(wanted) = std::env::var("TASKFARMER_TEST_MPI") {
                assert!(wanted.starts_with(found.name()), "TASKFARMER_TEST_MPI={wanted}; --version:\n{version}");
            }
            println!("MPI of the program: {}", version.trim_end().replace('\n', ", "));
            found
        })
    }

    /// Whether the program has Open MPI 5 or newer, whose launcher is PRRTE.
    pub(crate) fn is_prrte() -> bool {
        Self::of_program() == Self::OpenMpi && !version().contains("Open MPI v4")
    }

    /// An MPI of the other family.
    pub(crate) fn other(self) -> Self {
        match self {
            Self::OpenMpi => Self::Mpich,
            Self::Mpich | Self::Intel => Self::OpenMpi,
        }
    }

    /// As `TASKFARMER_TEST_MPI` begins to name it.
    fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "openmpi",
            Self::Mpich => "mpich",
            Self::Intel => "impi",
        }
    }

    /// As the library names itself.
    fn own_name(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI",
            Self::Mpich => "MPICH",
            Self::Intel => "Intel(R) MPI",
        }
    }

    /// As the program names it.
    pub(crate) fn library(self) -> &'static str {
        match self {
            Self::Intel => "Intel MPI",
            other => other.own_name(),
        }
    }

    /// The words that start this many ranks of a program; `None` if this MPI has no launcher here.
    pub(crate) fn command(self, ranks: u32) -> Option<Vec<OsString>> {
        let options: &[&str] = match self {
            Self::OpenMpi => &["--allow-run-as-root", "--oversubscribe", "-n"],
            Self::Mpich | Self::Intel => &["-n"],
        };
        let launcher = self.launchers().into_iter().find(|name| self.is_launched_by(name))?;
        let words = std::iter::once(launcher).chain(options.iter().map(|&word| word.to_owned())).map(OsString::from);
        Some(words.chain([ranks.to_string().into()]).collect())
    }

    /// Names that its launcher may have, the likeliest first.
    fn launchers(self) -> Vec<String> {
        let names: &[&str] = match self {
            // Debian's names first: if both are installed, `mpirun` may be either.
            Self::OpenMpi => &["mpirun.openmpi", "mpirun", "mpiexec"],
            Self::Mpich => &["mpiexec.hydra", "mpiexec.mpich", "mpirun.mpich", "mpiexec", "mpirun"],
            Self::Intel => &["mpiexec.hydra"],
        };
        match std::env::var("TASKFARMER_TEST_MPI_BIN") {
            Ok(bin) if self == Self::of_program() => names.iter().map(|name| format!("{bin}/{name}")).collect(),
            _ => names.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// Its compiler wrapper; if an MPI is the only one, it has the plain name.
    pub(crate) fn compilers(self) -> Vec<String> {
        match std::env::var("TASKFARMER_TEST_MPI_BIN") {
            Ok(bin) if self == Self::of_program() => vec![format!("{bin}/mpicc")],
            _ if self == Self::of_program() => vec![format!("mpicc.{}", self.name()), "mpicc".to_owned()],
            _ => vec![format!("mpicc.{}", self.name())],
        }
    }

    /// The same with each rank on a node of its own; all of them are this one. Only mpiexec supports this.
    pub(crate) fn command_on_nodes(self, ranks: u32) -> Option<Vec<OsString>> {
        let mut command = self.command(ranks)?;
        let agent = concat!(env!("CARGO_MANIFEST_DIR"), "/mpi-tests/support/no-ssh");
        let launcher: &[&str] = match self {
            Self::OpenMpi => return None,
            Self::Mpich => &["-launcher", "fork"],
            Self::Intel => &["-launcher", "ssh", "-launcher-exec", agent],
        };
        let hosts = (0..ranks).map(|rank| format!("n{rank}")).collect::<Vec<_>>().join(",");
        let words = [launcher, &["-hosts", &hosts, "-ppn", "1"]].concat();
        command.splice(1..1, words.into_iter().map(OsString::from));
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
            Self::Intel => text.contains("Intel(R) MPI"),
        }
    }

    /// What to do if the launcher is missing.
    pub(crate) fn cure(self) -> String {
        let cure = match self {
            Self::OpenMpi => "apt-get install openmpi-bin",
            Self::Mpich => "apt-get install mpich",
            Self::Intel => "see mpi-tests/mpis",
        };
        format!("{} has no launcher in PATH: {cure}", self.library())
    }
}

/// What the program reports about itself and its MPI.
fn version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = Command::new(program()).arg("--version").stdin(Stdio::null()).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    })
}

/// Folders of other MPIs, from PyPI, that `mpi-tests/run` was asked to test.
pub(crate) fn folders() -> Vec<PathBuf> {
    let folders = std::env::var("TASKFARMER_TEST_FOLDERS").unwrap_or_default();
    std::env::split_paths(&folders).filter(|folder| !folder.as_os_str().is_empty()).collect()
}
