//! The reference: a loop around `posix_spawn`, and nothing else.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::wait;
use taskfarmer::internals::{Command, Spawner};
#[cfg(feature = "mpi")]
use taskfarmer::internals::{Launch, Leave, Mpi};

use super::run::OWN;

/// The first word of this program's command line when it is the reference.
pub(super) const WORD: &str = "--reference";

/// The only word of an MPI program that does nothing.
pub(super) const NOTHING: &str = "--nothing";

/// Starts MPI and leaves it.
#[cfg(feature = "mpi")]
pub(super) fn do_nothing() {
    let launch = Launch::of_this_process().expect("a launcher");
    let mpi = Mpi::start(launch, || 4).expect("MPI");
    mpi.leave(Leave::Finalize, 0, Some(launch.launcher));
}

/// Without MPI, nothing is started by a launcher.
#[cfg(not(feature = "mpi"))]
pub(super) fn do_nothing() {}

/// What a line that starts with `to:` has, separated by tabs: file, folder, variable, how many of standard output and
/// standard error go to the file, words.
struct To<'a> {
    file: &'a str,
    folder: &'a str,
    variable: &'a str,
    count: usize,
    words: Vec<&'a str>,
}

impl<'a> To<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let mut parts = line.strip_prefix("to:")?.split('\t');
        let mut next = || parts.next().expect("a part");
        let (file, folder, variable, count) = (next(), next(), next(), next().parse().expect("a number"));
        Some(Self { file, folder, variable, count, words: parts.collect() })
    }
}

/// `SLOTS LIST FOLDER`: runs the lines of the list, split at blanks, by `/bin/bash` if they start with `sh:`, or as
/// [`To`] says, this many at a time, with a log each.
pub(super) fn run(words: &[String]) {
    let [slots, list, folder] = words else { panic!("{WORD} SLOTS LIST FOLDER") };
    let slots: usize = slots.parse().expect("a number of slots");
    let list = std::fs::read_to_string(list).expect("a list");
    let logs = Path::new(folder).join("logs");
    std::fs::create_dir_all(&logs).expect("a folder for logs");
    let environment: Vec<CString> =
        std::env::vars().map(|(name, value)| CString::new(format!("{name}={value}")).expect("no NUL")).collect();
    let environment: Vec<&CStr> = environment.iter().map(CString::as_c_str).collect();
    let spawner = Spawner::new().expect("memory");
    let null = File::open("/dev/null").expect("/dev/null");
    let mut running = 0;
    for (id, line) in list.lines().enumerate() {
        if running == slots {
            wait().expect("a child");
            running -= 1;
        }
        let to = To::of(line);
        let words: Vec<&str> = match (&to, line.strip_prefix("sh:")) {
            (Some(to), _) => to.words.clone(),
            (_, Some(script)) => vec!["/bin/bash", "-c", script],
            (None, None) => line.split(' ').collect(),
        };
        let argv: Vec<CString> = words.into_iter().map(|word| CString::new(word).expect("no NUL")).collect();
        let argv: Vec<&CStr> = argv.iter().map(CString::as_c_str).collect();
        let variable = to.as_ref().map(|to| CString::new(to.variable).expect("no NUL"));
        let mut environment = environment.clone();
        environment.extend(variable.as_deref().filter(|variable| !variable.is_empty()));
        let log = OpenOptions::new().write(true).create(true).truncate(true).open(logs.join(format!("log_{id}")));
        let log = log.expect("a log");
        let create = |to: &To<'_>| File::create(to.file).expect("a file");
        let file = to.as_ref().map(create);
        let folder = to.as_ref().filter(|to| !to.folder.is_empty()).map(|to| File::open(to.folder).expect("a folder"));
        let end = |number| match (&file, &to) {
            (Some(file), Some(to)) if number <= to.count => file.as_fd(),
            _ => log.as_fd(),
        };
        let command = Command {
            program: argv[0],
            argv: &argv,
            environment: &environment,
            ends: [null.as_fd(), end(1), end(2)],
            folder: folder.as_ref().map(AsFd::as_fd),
        };
        spawner.spawn(&command).expect("a child");
        running += 1;
    }
    while running > 0 {
        wait().expect("a child");
        running -= 1;
    }
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("Linux has it");
    let us = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    std::fs::write(OWN, (us * 1_000).to_string()).expect("a disk");
}
