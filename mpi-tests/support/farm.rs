//! A farm for a test: a temporary folder, a list, an environment, a launcher.
//!
//! The folder holds `cwd` (where the farm is started, with the list in it), `home` (`$HOME` of everything) and `io`
//! (what the runs wrote to stdout and stderr), so that `cwd` shows whether anything was created.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;
use tempfile::TempDir;

use super::{Mpi, Outcome, Running, Workdir, program};

/// The list of every farm, as it is typed.
pub(crate) const LIST: &str = "tasks.txt";

/// In the environment of every farm: spaces that a shell keeps or not, by its quotes.
pub(crate) const VALUE: (&str, &str) = ("TFTEST_VALUE", "two  words");

/// In the environment of every farm: a command in a variable.
pub(crate) const COMMAND: (&str, &str) = ("TFTEST_COMMAND", "echo from a variable");

/// A user who is not root, for things that root may always do.
const NOBODY: u32 = 65534;

/// Variables that a user may set for the tools of launchers: tasks keep them, whatever the launcher. (PRTE_MCA_… is not
/// passed on by Open MPI 5's own launcher.)
pub(crate) const SETTINGS: [(&str, &str); 6] = [
    ("OMPI_MCA_orte_tag_output", "0"),
    ("PMIX_MCA_gds_base_verbose", "0"),
    ("PMI_USER_SETTING", "kept"),
    ("HYDRA_USER_SETTING", "kept"),
    ("I_MPI_USER_SETTING", "kept"),
    ("SLURM_USER_SETTING", "kept"),
];

pub(crate) struct Farm {
    root: TempDir,
    launcher: Vec<OsString>,
    program: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    user: Option<u32>,
    time_limit: Duration,
    runs: Cell<u32>,
}

/// Runs it again if the launcher failed before it started any rank. On a busy machine, PRRTE's mpirun sometimes ends with
/// this message after a few milliseconds; nothing of the farm has run by then.
fn launched(run: impl Fn() -> Outcome) -> Outcome {
    const FAILED: &str = "The PMIx server's listener thread failed to start";
    for _ in 0..3 {
        let outcome = run();
        if !outcome.stderr_text().contains(FAILED) {
            return outcome;
        }
        eprintln!("the launcher failed: {FAILED}; running it again");
    }
    run()
}

impl Farm {
    /// A farm without a launcher.
    pub(crate) fn local(list: &[u8]) -> Self {
        Self::launched_by(Vec::new(), list)
    }

    /// A farm of this many ranks, under the launcher of the MPI that the program was built with.
    pub(crate) fn mpi(ranks: u32, list: &[u8]) -> Self {
        let mpi = Mpi::of_program();
        let launcher = mpi.command(ranks).unwrap_or_else(|| panic!("{}", mpi.cure()));
        let mut farm = Self::launched_by(launcher, list);
        // Some launchers do not notice that a rank died while it started, and tests do not wait for ten minutes.
        farm.set("TASKFARMER_MPI_INIT_LIMIT", "60");
        farm
    }

    /// A farm under any launcher: the words that come before the program.
    pub(crate) fn launched_by(launcher: Vec<OsString>, list: &[u8]) -> Self {
        // Tasks that die by SIGQUIT or SIGSEGV would leave core files otherwise.
        let (_, hard) = getrlimit(Resource::RLIMIT_CORE).unwrap();
        setrlimit(Resource::RLIMIT_CORE, 0, hard).unwrap();

        // INI files that a group can write would be ignored.
        umask(Mode::from_bits_truncate(0o022));
        let root = tempfile::Builder::new().prefix("taskfarmer-test-").tempdir().unwrap();
        for folder in ["cwd", "home", "io"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let mut environment = environment_of_a_login();
        environment.insert("HOME".into(), root.path().join("home").into());
        environment.insert(VALUE.0.into(), VALUE.1.into());
        environment.insert(COMMAND.0.into(), COMMAND.1.into());
        let farm = Self {
            root,
            launcher,
            program: program().into(),
            environment,
            user: None,
            time_limit: Duration::from_secs(120),
            runs: Cell::new(0),
        };
        farm.write(LIST, list);
        farm
    }

    /// From now on runs the program as a user for whom file permissions count.
    pub(crate) fn run_as_nobody(mut self) -> Self {
        if geteuid().is_root() {
            let root = self.root.path();
            // The build folder may be closed to others.
            self.program = root.join("taskfarmer-mpi");
            // Not by this process: what another test starts in the meantime would have it open for writing, and it
            // could not be run.
            assert!(Command::new("cp").arg(program()).arg(&self.program).status().unwrap().success());
            for path in [root, &self.program] {
                fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
            }
            let closed = root.ancestors().find(|folder| fs::metadata(folder).unwrap().mode() & 0o001 == 0);
            assert_eq!(closed, None, "set TMPDIR to a folder that any user may enter: this test runs as nobody");
            self.user = Some(NOBODY);
        }
        self
    }

    /// Runs longer than this are killed and fail the test.
    pub(crate) fn time_limit(mut self, seconds: u64) -> Self {
        self.time_limit = Duration::from_secs(seconds);
        self
    }

    pub(crate) fn limit(&self) -> Duration {
        self.time_limit
    }

    /// Whether there is a launcher.
    pub(crate) fn is_launched(&self) -> bool {
        !self.launcher.is_empty()
    }

    /// Whether its launcher is in a folder that is closed to the user as whom the farm runs.
    pub(crate) fn launcher_is_closed(&self) -> bool {
        let folders = self.launcher.first().map(|launcher| Path::new(launcher).ancestors().skip(1));
        let is_closed = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & 0o001 == 0);
        self.user.is_some() && folders.into_iter().flatten().any(is_closed)
    }

    /// Whether this is its launcher.
    pub(crate) fn is_launcher(&self, program: &OsStr) -> bool {
        self.launcher.first().is_some_and(|launcher| launcher == program)
    }

    /// What the launcher or the program finds in its environment, except for the mark of the run.
    pub(crate) fn environment(&self) -> &BTreeMap<OsString, OsString> {
        &self.environment
    }

    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.environment.insert(variable.into(), value.into());
    }

    pub(crate) fn unset(&mut self, variable: &str) {
        self.environment.remove(OsStr::new(variable));
    }

    /// Where the farm is started. Free of symbolic links.
    pub(crate) fn cwd(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("cwd")
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.root.path().join("home")
    }

    /// A file in the folder where the farm is started.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.cwd().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub(crate) fn append(&self, name: &str, bytes: &[u8]) {
        let mut all = self.read(name);
        all.extend_from_slice(bytes);
        self.write(name, &all);
    }

    /// A program for tasks to find at `./NAME`.
    pub(crate) fn write_with_mode(&self, name: &str, mode: u32, bytes: &[u8]) {
        self.write(name, bytes);
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        let path = self.path(name);
        fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The lines of a file that tasks append to; none if it does not exist yet.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// The workdir that is used unless `--workdir` says otherwise.
    pub(crate) fn workdir(&self) -> Workdir {
        Workdir::at(self.path(&format!("{LIST}_workdir")))
    }

    /// Runs `taskfarmer-mpi OPTIONS tasks.txt` to its end and makes sure that nothing is left running.
    #[track_caller]
    pub(crate) fn run(&self, options: &[&str]) -> Outcome {
        launched(|| self.start(options).wait())
    }

    /// Runs `taskfarmer-mpi WORDS`, with no list added.
    #[track_caller]
    pub(crate) fn run_exactly(&self, words: &[&str]) -> Outcome {
        launched(|| self.start_exactly(words).wait())
    }

    /// Runs `taskfarmer-mpi WORDS` without the launcher, as on a login node.
    #[track_caller]
    pub(crate) fn run_alone(&self, words: &[&str]) -> Outcome {
        let line: Vec<&OsStr> = [self.program.as_os_str()].into_iter().chain(words.iter().map(OsStr::new)).collect();
        self.start_other(&line).wait()
    }

    /// Starts `taskfarmer-mpi OPTIONS tasks.txt`, with eight slots unless the options say otherwise, whatever the number
    /// of CPUs here.
    #[track_caller]
    pub(crate) fn start(&self, options: &[&str]) -> Running<'_> {
        let is_chosen = options.iter().any(|word| word.starts_with("--proc") || word.starts_with("-n"));
        let slots: &[&str] = if is_chosen { &[] } else { &["--proc", "8"] };
        self.start_exactly(&[slots, options, &[LIST]].concat())
    }

    #[track_caller]
    pub(crate) fn start_exactly(&self, words: &[&str]) -> Running<'_> {
        let mut line: Vec<&OsStr> = self.launcher.iter().map(OsString::as_os_str).collect();
        line.push(self.program.as_os_str());
        line.extend(words.iter().map(OsStr::new));
        self.start_other(&line)
    }

    /// Starts any program in this farm's folder and environment.
    #[track_caller]
    pub(crate) fn start_other(&self, line: &[&OsStr]) -> Running<'_> {
        let run = self.runs.get();
        self.runs.set(run + 1);
        let output = |stream: &str| self.root.path().join("io").join(format!("{run}.{stream}"));
        let mut command = Command::new(line[0]);
        command.args(&line[1..]).current_dir(self.cwd()).env_clear().envs(&self.environment);
        if let Some(user) = self.user {
            command.uid_and_group(user);
        }
        Running::start(self, command, output("stdout"), output("stderr"))
    }

    /// What the last run, which may still be in progress, has written to stderr so far.
    pub(crate) fn last_stderr(&self) -> Vec<u8> {
        let run = self.runs.get() - 1;
        fs::read(self.root.path().join("io").join(format!("{run}.stderr"))).unwrap_or_default()
    }

    /// The exit code and output of `bash` itself for a line, in this farm's folder and environment.
    pub(crate) fn bash(&self, line: &[u8]) -> (i32, Vec<u8>) {
        use std::os::unix::process::{CommandExt, ExitStatusExt};
        // A file, like a task's log: both streams end up in one, in order.
        let file = tempfile::NamedTempFile::new_in(self.root.path().join("io")).unwrap();
        let log = file.as_file();
        let status = Command::new("bash")
            .arg0("bash")
            .arg("-c")
            .arg(OsStr::from_bytes(line))
            .current_dir(self.cwd())
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log.try_clone().unwrap())
            .status()
            .unwrap();
        let code = status.code().unwrap_or_else(|| panic!("bash died by signal {:?}", status.signal()));
        (code, fs::read(file.path()).unwrap())
    }

    /// Makes sure that this run, in which some task ended last, did not take long to end itself.
    #[track_caller]
    pub(crate) fn ends_after_its_tasks(&self, outcome: &Outcome) {
        const LIMIT: Duration = Duration::from_secs(30);
        let events = self.workdir().timeline().by_task();
        let last_us = events.values().map(|event| event.start_us + event.duration_us).fold(0.0, f64::max);
        let last = UNIX_EPOCH + Duration::from_secs_f64(last_us / 1e6);
        let took = outcome.ended.duration_since(last).unwrap_or_default();
        println!("the end took {took:?}");
        assert!(took < LIMIT, "the end took {took:?}");
    }

    /// Every file and folder where the farm is started, with attributes that would show a change. Compare two of these.
    pub(crate) fn everything(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        collect(&self.cwd(), &mut entries);
        entries
    }

    /// [`Self::everything`] except for the times of folders: a lock that came and went leaves no trace.
    pub(crate) fn contents(&self) -> Vec<Entry> {
        let entries = self.everything().into_iter();
        entries.map(|entry| if entry.is_folder { Entry { changed_ns: (0, 0), ..entry } } else { entry }).collect()
    }
}

impl Drop for Farm {
    /// `TASKFARMER_TEST_KEEP=1` keeps the folder of a test that failed, for inspection.
    fn drop(&mut self) {
        if std::thread::panicking() && std::env::var_os("TASKFARMER_TEST_KEEP").is_some() {
            self.root.disable_cleanup(true);
            eprintln!("kept: {}", self.root.path().display());
        }
    }
}

/// One file or folder as it is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    mode: u32,
    is_folder: bool,
    changed_ns: (i64, i64),
}

pub(crate) fn collect(folder: &Path, entries: &mut Vec<Entry>) {
    let Ok(listing) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = listing.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        // Files come and go while a farm runs.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        entries.push(Entry {
            size: if metadata.is_dir() { 0 } else { metadata.size() },
            mode: metadata.mode(),
            is_folder: metadata.is_dir(),
            // A folder's own time changes with a lock that comes and goes; what remains is in the entries.
            changed_ns: if metadata.is_dir() { (0, 0) } else { (metadata.mtime(), metadata.mtime_nsec()) },
            path: path.clone(),
        });
        if metadata.is_dir() {
            collect(&path, entries);
        }
    }
}

/// The environment of this test without variables that a launcher, a batch system or a shell has added.
fn environment_of_a_login() -> BTreeMap<OsString, OsString> {
    const STRIPPED: [&str; 16] = [
        "OMPI_COMM_",
        "OMPI_UNIVERSE_",
        "OMPI_MCA_ess",
        "OMPI_MCA_orte",
        "OMPI_MCA_pmix",
        "PMIX_",
        "PMI_",
        "PMI2_",
        "ORTE_",
        "HYD",
        "MPI_LOCAL",
        "SLURM_",
        "TASKFARMER_",
        "BASH_",
        "ENV=",
        "PROC_NUMBER=",
    ];
    let mut environment: BTreeMap<OsString, OsString> = std::env::vars_os()
        .filter(|(name, _)| {
            let assignment = [name.as_bytes(), b"="].concat();
            !STRIPPED.iter().any(|prefix| assignment.starts_with(prefix.as_bytes()))
        })
        .collect();
    // Messages and sort orders are compared byte by byte.
    environment.insert("LC_ALL".into(), "C".into());
    // A terminal that can rewrite a line, wherever the tests themselves were started.
    environment.insert("TERM".into(), "xterm".into());
    environment.insert("OMPI_ALLOW_RUN_AS_ROOT".into(), "1".into());
    environment.insert("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM".into(), "1".into());
    // Open MPI 5 complains about machines whose IPv6 addresses do not reach each other, once per pair of ranks.
    environment.insert("OMPI_MCA_btl_tcp_disable_family".into(), "6".into());
    environment
}

trait UidAndGroup {
    fn uid_and_group(&mut self, id: u32);
}

impl UidAndGroup for Command {
    fn uid_and_group(&mut self, id: u32) {
        use std::os::unix::process::CommandExt;
        // Drops the supplementary groups, too.
        self.uid(id).gid(id);
    }
}
