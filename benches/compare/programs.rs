//! The programs that are compared, and what they run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::reference;
use super::run::{Figures, TELL_OWN, measure, median};

const PROGRAM: &str = env!("CARGO_BIN_EXE_taskfarmer-mpi");

/// Programs that need much longer per task get at most this many.
const SLOW_TASKS_MAX: usize = 300;

/// What each task is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Workload {
    True,
    Shell,
    Redirected,
    Elsewhere,
    TenMs,
}

impl Workload {
    pub(super) const ALL: [Self; 5] = [Self::True, Self::Shell, Self::Redirected, Self::Elsewhere, Self::TenMs];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::True => "`/bin/true`",
            Self::Shell => "a shell line: `: $HOME; exit 0`",
            Self::Redirected => "`/bin/true a b > FILE 2>&1`",
            Self::Elsewhere => "`cd out && VAR=1 /bin/true 'a b' > FILE`",
            Self::TenMs => "10 ms: `/bin/sleep 0.01`",
        }
    }

    fn line(self, id: usize) -> String {
        match self {
            Self::True => "/bin/true".to_owned(),
            Self::Shell => ": $HOME; exit 0".to_owned(),
            Self::Redirected => format!("/bin/true a b > out/{id}.txt 2>&1"),
            Self::Elsewhere => format!("cd out && VAR=1 /bin/true 'a b' > {id}.txt"),
            Self::TenMs => "/bin/sleep 0.01".to_owned(),
        }
    }

    /// The same for the reference.
    fn reference(self, id: usize) -> String {
        match self {
            Self::Shell => format!("sh:{}", self.line(id)),
            Self::Redirected => format!("to:out/{id}.txt\t\t\t2\t/bin/true\ta\tb"),
            Self::Elsewhere => format!("to:out/{id}.txt\tout\tVAR=1\t1\t/bin/true\ta b"),
            Self::True | Self::TenMs => self.line(id),
        }
    }

    /// Whether other programs need a shell for it.
    fn needs_shell(self) -> bool {
        matches!(self, Self::Shell | Self::Redirected | Self::Elsewhere)
    }
}

/// How a list is run.
pub(super) struct Program {
    pub(super) label: String,
    pub(super) is_reference: bool,
    words: Vec<String>,
    tasks: usize,
    /// A launcher's own time, measured with a list of no tasks.
    launcher: Vec<String>,
}

fn installed(program: &str) -> bool {
    let found = Command::new("which").arg(program).stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// The launcher of the MPI with which this was built: `MPIRUN`, or Open MPI's.
fn mpirun(ranks: usize) -> Option<Vec<String>> {
    let chosen = std::env::var("MPIRUN").ok().map(|line| line.split(' ').map(str::to_owned).collect());
    let usual = || {
        let launcher = ["mpirun.openmpi", "mpirun"].into_iter().find(|name| installed(name))?;
        let root = nix::unistd::geteuid().is_root().then_some("--allow-run-as-root");
        Some([launcher].into_iter().chain(root).chain(["--oversubscribe"]).map(str::to_owned).collect())
    };
    let mut words: Vec<String> = chosen.or_else(usual)?;
    words.extend(["-n".to_owned(), ranks.to_string()]);
    Some(words)
}

/// All programs for a workload, the reference first.
pub(super) fn programs(workload: Workload, tasks: usize, slots: usize) -> Vec<Program> {
    let mut all = Vec::new();
    let mut add = |label: &str, tasks: usize, launcher: Vec<String>, words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        let is_reference = all.is_empty();
        all.push(Program { label: label.to_owned(), is_reference, words, tasks, launcher });
    };
    let slow = tasks.min(SLOW_TASKS_MAX);
    let (slots, this) = (slots.to_string(), std::env::current_exe().expect("Linux knows it"));
    let this = this.to_str().expect("a path of cargo's");
    add("bare loop, log files", tasks, Vec::new(), &[this, reference::WORD, &slots, "REFERENCE", "."]);
    for logs in ["task", "failed", "rank", "none"] {
        add(
            &format!("taskfarmer-mpi --logs {logs}"),
            tasks,
            Vec::new(),
            &[PROGRAM, "-n", &slots, "--logs", logs, "LIST"],
        );
    }
    for ranks in [1, 3].into_iter().filter(|_| cfg!(feature = "mpi")) {
        match mpirun(ranks) {
            // With the same total number of slots, some ranks would have none.
            Some(launcher) => {
                let slots = if ranks == 1 { &slots[..] } else { "1" };
                let label = format!("mpirun -n {ranks} taskfarmer-mpi, {slots} slots each, without mpirun's own time");
                add(&label, tasks, launcher, &[PROGRAM, "-n", slots, "LIST"]);
            }
            None => println!("left out: there is no mpirun\n"),
        }
    }
    if workload == Workload::TenMs {
        add("xargs -P", tasks, Vec::new(), &["xargs", "-P", &slots, "-a", "ARGUMENTS", "-n", "1", "/bin/sleep"]);
    } else if workload == Workload::True {
        add("xargs -P", tasks, Vec::new(), &["xargs", "-P", &slots, "-a", "ARGUMENTS", "-n", "1", "/bin/true"]);
    } else {
        let words = ["xargs", "-P", &slots, "-a", "LIST", "-n", "1", "-d", "\\n"];
        add("xargs -P -n 1 -d '\\n' bash -c", tasks, Vec::new(), &[&words[..], &["bash", "-c"]].concat());
    }
    if installed("parallel") {
        add("GNU parallel", slow, Vec::new(), &["parallel", "-j", &slots, "-a", "LIST"]);
    } else {
        println!("left out: GNU parallel is not installed\n");
    }
    let pytaskfarmer = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/pytaskfarmer/bin/pytaskfarmer.py");
    if !pytaskfarmer.exists() {
        println!("left out: PyTaskFarmer is not there; mpi-tests/pytaskfarmer-env makes it\n");
    } else if !workload.needs_shell() {
        add("PyTaskFarmer", slow, Vec::new(), &[pytaskfarmer.to_str().expect("UTF-8"), "--proc", &slots, "LIST"]);
    }
    all
}

impl Program {
    /// The name of its row.
    pub(super) fn name(&self, workload: Workload) -> String {
        format!("{} {}", workload.name(), self.label)
    }

    /// Runs it once, in this new folder. The folder must stay until the end: ext4 spends a long time searching for an
    /// inode that was not in use a moment ago, and the next program that creates files would pay for it.
    pub(super) fn run(&self, workload: Workload, folder: &Path) -> Figures {
        let write = |name: &str, line: &dyn Fn(usize) -> String| {
            fs::write(folder.join(name), (0..self.tasks).map(|id| line(id) + "\n").collect::<String>())
        };
        fs::create_dir(folder.join("out"))
            .and_then(|()| write("LIST", &|id| workload.line(id)))
            .and_then(|()| write("REFERENCE", &|id| workload.reference(id)))
            .and_then(|()| write("ARGUMENTS", &|_| "0.01".to_owned()))
            .expect("a disk");
        if self.words.iter().any(|word| word == PROGRAM) && self.launcher.is_empty() {
            let mut list = OpenOptions::new().append(true).open(folder.join("LIST")).expect("just written");
            writeln!(list, "{TELL_OWN}").expect("a disk");
        }
        // One program's writes must not slow down the next.
        nix::unistd::sync();
        let idle = if self.launcher.is_empty() { 0.0 } else { self.launchers_own(folder) };
        measure(self.command(&self.words, folder), folder, self.tasks, idle)
    }

    fn command(&self, words: &[String], folder: &Path) -> Command {
        let mut words = self.launcher.iter().chain(words);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).current_dir(folder);
        command
    }

    /// The time that the launcher needs for an MPI program that does nothing.
    fn launchers_own(&self, folder: &Path) -> f64 {
        let this = std::env::current_exe().expect("Linux knows it");
        let words = [this.to_str().expect("a path of cargo's"), reference::NOTHING].map(str::to_owned);
        median((0..3).map(|_| measure(self.command(&words, folder), folder, 1, 0.0).wall_per_task))
    }
}
