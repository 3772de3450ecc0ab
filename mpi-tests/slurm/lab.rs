//! The lab in which a test runs: farms under srun, and nodes that break.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::processes::Process;
use crate::support::{Farm, Mpi, Outcome, Running, processes};

/// Nodes of each farm.
pub(crate) const NODES: u32 = 4;

/// CPUs of a node, all of which a farm requests, so that no two farms share one.
pub(crate) const CPUS: u32 = 4;

/// Slots of a node with `--proc auto`: a node may claim more CPUs than there are.
pub(crate) fn slots() -> usize {
    std::thread::available_parallelism().unwrap().get().min(CPUS as usize)
}

/// The location of the lab's script that breaks nodes.
const NODE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/mpi-tests/slurm-lab/node");

/// The option `--mpi` of srun for the MPI with which the program was built.
pub(crate) fn mpi_type(mpi: Mpi) -> &'static str {
    match mpi {
        Mpi::OpenMpi => "pmix",
        Mpi::Mpich | Mpi::Intel => "pmi2",
    }
}

/// How srun binds the processes of a step, unless the command line says otherwise.
pub(crate) const CPU_BIND: &str = "SLURM_CPU_BIND";

/// Prepares a farm for the lab's Slurm.
pub(crate) fn at_home(mut farm: Farm) -> Farm {
    let conf = std::env::var("SLURM_CONF");
    let conf = conf.expect("these tests run inside of a lab: mpi-tests/slurm-lab/lab cargo test --test slurm …");
    farm.set("SLURM_CONF", &conf);
    // Slurm cannot bind to CPUs that a node only claims to have.
    if slots() < CPUS as usize {
        farm.set(CPU_BIND, "none");
    }
    // The batch scripts start the program by its name.
    let path = format!("{}:{}", folder_of_program(), std::env::var("PATH").unwrap());
    farm.set("PATH", &path);
    farm
}

fn folder_of_program() -> String {
    let folder = std::path::Path::new(crate::support::program()).parent().unwrap();
    folder.to_str().unwrap().to_owned()
}

/// `srun` with these words for all CPUs of [`NODES`] nodes, one rank on each.
pub(crate) fn srun(words: &[&str]) -> Vec<OsString> {
    let (nodes, cpus) = (format!("--nodes={NODES}"), format!("--cpus-per-task={CPUS}"));
    let mpi = format!("--mpi={}", mpi_type(Mpi::of_program()));
    let common = ["srun", "--quiet", &mpi, &nodes, "--ntasks-per-node=1", &cpus];
    common.iter().chain(words).map(OsString::from).collect()
}

/// A farm under [`srun`].
pub(crate) fn farm(words: &[&str], list: &[u8]) -> Farm {
    at_home(Farm::launched_by(srun(words), list)).time_limit(240)
}

/// The name of the node on which a rank runs.
#[track_caller]
pub(crate) fn node_of(running: &Running<'_>, rank: u32) -> String {
    node_of_pid(running.rank(rank), &running.processes())
}

#[track_caller]
pub(crate) fn node_of_pid(pid: i32, processes: &[Process]) -> String {
    let process = processes.iter().find(|process| process.pid == pid);
    let name = process.and_then(|process| process.variable("SLURMD_NODENAME"));
    name.unwrap_or_else(|| panic!("no node of process {pid}:\n{}", processes::listed(processes)))
}

/// The output of a command on the lab's login node. It must succeed.
#[track_caller]
pub(crate) fn ask(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    let (text, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{words:?}: {}\n{text}{errors}", output.status);
    text.trim_end().to_owned()
}

/// Makes sure that a run that has lost a node ended with this code: the farm's own is that, and so is srun's, except
/// since 23.11, whose srun ends with 1 whatever the ranks return.
#[track_caller]
pub(crate) fn ends_without_a_node(outcome: Outcome, code: i32) -> Outcome {
    let text = ask(&["srun", "--version"]);
    // Debian's is called "slurm-wlm".
    let version = text.split_once(' ').and_then(|(_, version)| version.split_once('.'));
    let version = version.and_then(|(year, rest)| Some((year.parse().ok()?, rest.split('.').next()?.parse().ok()?)));
    let version: (u32, u32) = version.unwrap_or_else(|| panic!("no version: {text}"));
    let wanted = if version >= (23, 11) { 1 } else { code };
    assert_eq!(outcome.status.and_then(|status| status.code()), Some(wanted), "srun's exit code");
    outcome.was_own_code(code);
    outcome
}

/// A node that this test breaks. When the test is over, however it ends, the node is repaired.
pub(crate) struct Victim {
    node: String,
    killed: bool,
}

impl Victim {
    pub(crate) fn of(node: String) -> Self {
        Self { node, killed: false }
    }

    /// No network from now on; its processes keep running.
    #[track_caller]
    pub(crate) fn cut(&self) {
        ask(&[NODE, "cut", &self.node]);
    }

    /// Power off.
    #[track_caller]
    pub(crate) fn kill(&mut self) {
        self.killed = true;
        ask(&[NODE, "kill", &self.node]);
    }

    fn recover(&self) -> Result<(), String> {
        let run = |words: &[&str]| {
            let output = Command::new(words[0]).args(&words[1..]).output().map_err(|error| error.to_string())?;
            Ok::<String, String>(String::from_utf8_lossy(&output.stdout).into_owned())
        };
        run(&[NODE, if self.killed { "start" } else { "mend" }, &self.node])?;
        // Slurm rarely checks nodes, and a busy machine may take long to answer: once more than a minute under a load
        // of 15.
        let deadline = Instant::now() + Duration::from_secs(240);
        while Instant::now() < deadline {
            let state = run(&["sinfo", "-h", "-n", &self.node, "-o", "%T"])?;
            // A star: it does not respond, or has not yet.
            if state.trim() == "idle" {
                return Ok(());
            }
            if state.starts_with("down") && !state.contains('*') {
                run(&["scontrol", "update", &format!("nodename={}", self.node), "state=resume"])?;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("{} did not come back", self.node))
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        match self.recover() {
            Ok(()) => {}
            Err(error) if std::thread::panicking() => eprintln!("{error}"),
            Err(error) => panic!("{error}"),
        }
    }
}
