//! Tasklist handlers: what each makes of lists and INI files, and that nothing happens if it fails.

mod atlas;
mod docs;
#[cfg(feature = "root")]
mod events;
mod exec;
#[cfg(not(feature = "root"))]
mod no_root;
mod product;
mod python;
mod resume;
mod template;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Farm, python_env};

/// The tasks that `--dry-run` shows, in order.
#[track_caller]
fn dry_run(farm: &Farm, options: &[&str]) -> Vec<String> {
    let before = farm.everything();
    let outcome = farm.run_exactly(&[&["--dry-run"], options].concat()).exits(0);
    assert_eq!(farm.everything(), before, "a dry run touches nothing");
    let text = String::from_utf8(outcome.stdout.clone()).unwrap();
    let tasks = text.lines().enumerate().map(|(id, line)| {
        let task = line.strip_prefix(&format!("{id} "));
        task.unwrap_or_else(|| panic!("line {id} should be task {id}: {line}")).to_owned()
    });
    tasks.collect()
}

/// Makes sure that a handler refuses, in a real run and in a dry one, that its message contains these texts, and that
/// nothing is created.
#[track_caller]
fn refused(farm: &Farm, options: &[&str], mentioned: &[&str]) {
    let before = farm.contents();
    farm.run(options).refused(mentioned);
    farm.run(&[&["--dry-run"], options].concat()).refused(mentioned);
    assert_eq!(farm.contents(), before, "something was made or changed");
}

/// Logs as `printf '%s\0'` of a task's arguments.
fn arguments(farm: &Farm) -> BTreeMap<u64, Vec<Vec<u8>>> {
    let workdir = farm.workdir();
    let of = |id| {
        let log = workdir.log(id);
        let log = log.strip_suffix(b"\0").unwrap_or_else(|| panic!("log {id}: {}", String::from_utf8_lossy(&log)));
        log.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
    };
    workdir.logged().into_iter().map(|id| (id, of(id))).collect()
}

/// A Python environment with uproot, created at the first use. `None` only if the environment says that tests with it
/// are not wanted.
fn root_env() -> Option<PathBuf> {
    python_env("root", "TASKFARMER_TEST_SKIP_ROOT", "uproot from PyPI is needed to make ROOT files")
}

/// Does what PyROOT does, by uproot.
const PYROOT: &str = "
import uproot
kFatal = 6000
gErrorIgnoreLevel = 0
class gROOT:
    def SetBatch(on): pass
    def GetVersion(): return '6.99'
class Tree:
    def __init__(self, tree): self.tree = tree
    def InheritsFrom(self, name): return name == 'TTree'
    def GetEntries(self): return self.tree.num_entries
class File:
    def __init__(self, file): self.file = file
    def IsZombie(self): return False
    def Get(self, name): return Tree(self.file[name])
class TFile:
    def Open(name): return File(uproot.open({name: None}))
";

/// Puts the ROOT files of `root_files.py` into a folder `root` of the farm. They are created once for all tests.
#[track_caller]
fn make_root_files(farm: &Farm, root_env: &Path) {
    static FILES: OnceLock<Vec<(OsString, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("mpi-tests/support/root_files.py");
        let mut python = Command::new(root_env.join("bin/python"));
        let output = python.arg(script).arg(folder.path()).env_remove("PYTHONPATH").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let entries = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap());
        entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect()
    });
    std::fs::create_dir(farm.path("root")).unwrap();
    for (name, bytes) in files {
        std::fs::write(farm.path("root").join(name), bytes).unwrap();
    }
}

/// The folder of an environment's packages.
fn site_packages(environment: &Path) -> PathBuf {
    let lib = std::fs::read_dir(environment.join("lib")).unwrap().map(|entry| entry.unwrap().path());
    let mut packages = lib.map(|python| python.join("site-packages")).filter(|path| path.is_dir());
    packages.next().expect("a Python environment has site-packages")
}

/// Puts this folder first in a path variable of the farm.
fn prepend(farm: &mut Farm, variable: &str, folder: &Path) {
    let rest = farm.environment().get(std::ffi::OsStr::new(variable)).cloned().unwrap_or_default();
    let mut value = folder.as_os_str().to_owned();
    if !rest.is_empty() {
        value.push(":");
        value.push(rest);
    }
    farm.set(variable, value.to_str().unwrap());
}
