//! A batch job: submitted, watched, ended.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::lab::ask;
use crate::support::Farm;
use crate::support::processes::{self, MARK, Process};

/// The interval at which a job is checked.
const POLL: Duration = Duration::from_millis(100);

/// A condition that is not met within this time never will be, even on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) struct Job<'farm> {
    farm: &'farm Farm,
    id: String,
    mark: String,
    submitted: Instant,
}

impl<'farm> Job<'farm> {
    /// `sbatch WORDS` in the farm's folder and environment.
    #[track_caller]
    pub(crate) fn submit(farm: &'farm Farm, words: &[&str]) -> Self {
        let mark = processes::new_mark();
        let output = Command::new("sbatch")
            .args(["--parsable", "--output=job.out", "--open-mode=append"])
            .args(words)
            .current_dir(farm.cwd())
            .env_clear()
            .envs(farm.environment())
            .env(MARK, &mark)
            .output()
            .unwrap();
        let (id, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "sbatch {words:?}: {errors}");
        Self { farm, id: id.trim().to_owned(), mark, submitted: Instant::now() }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn processes(&self) -> Vec<Process> {
        processes::marked(&self.mark)
    }

    /// The MPI process of a rank.
    #[track_caller]
    pub(crate) fn rank(&self, rank: u32) -> i32 {
        let ranks = processes::mpi_processes(&self.mark);
        let found = ranks.iter().find(|(number, _)| *number == rank);
        found.unwrap_or_else(|| panic!("no rank {rank}:\n{}", processes::listed(&self.processes()))).1
    }

    /// A field of `scontrol show job`.
    pub(crate) fn field(&self, name: &str) -> String {
        let text = ask(&["scontrol", "--oneliner", "show", "job", &self.id]);
        let field = text.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        field.unwrap_or_else(|| panic!("no {name}: {text}")).to_owned()
    }

    pub(crate) fn state(&self) -> String {
        self.field("JobState")
    }

    /// What the batch script and the farm have printed so far.
    pub(crate) fn output(&self) -> String {
        let path: PathBuf = self.farm.path("job.out");
        String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}\n{}", self.report());
            std::thread::sleep(POLL);
        }
    }

    /// Waits until the job has ended in this state, with that exit code of its script, and has left no process.
    #[track_caller]
    pub(crate) fn ends(&self, state: &str, code: i32) {
        self.wait_until("the end of the job", || !self.is_open());
        self.wait_until("no process is left", || self.processes().is_empty());
        assert_eq!((self.state().as_str(), self.field("ExitCode")), (state, format!("{code}:0")), "{}", self.report());
    }

    fn is_open(&self) -> bool {
        matches!(self.state().as_str(), "PENDING" | "CONFIGURING" | "RUNNING" | "COMPLETING" | "REQUEUED")
    }

    pub(crate) fn report(&self) -> String {
        format!(
            "job {} after {:?}: {}\n──── output\n{}\n──── processes\n{}",
            self.id,
            self.submitted.elapsed(),
            ask(&["scontrol", "show", "job", &self.id]),
            self.output(),
            processes::listed(&self.processes())
        )
    }
}

impl Drop for Job<'_> {
    /// A test failed while the job ran.
    fn drop(&mut self) {
        if std::thread::panicking() {
            Command::new("scancel").arg(&self.id).output().ok();
            processes::kill_marked(&self.mark);
        }
    }
}
