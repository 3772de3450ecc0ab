//! The reference: a loop around `posix_spawn`, and nothing else.

use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::wait;
use taskfarmer::internals::sys::launcher::Launch;
use taskfarmer::internals::sys::mpi::Mpi;
use taskfarmer::internals::sys::process::{Command, Spawner};
use taskfarmer::internals::sys::transport::Leave;

use super::run::OWN;

/// The first word of this program's command line when it is the reference.
pub(super) const WORD: &str = "--reference";

/// The only word of an MPI program that does nothing.
pub(super) const NOTHING: &str = "--nothing";

/// Starts MPI and leaves it.
pub(super) fn do_nothing() {
    let launch = Launch::of_this_process().expect("a launcher");
    let mpi = Mpi::start(launch, || 4).expect("MPI");
    mpi.leave(Leave::Finalize, 0, Some(launch.launcher));
}

/// `SLOTS LIST FOLDER`: runs the lines of the list, split at blanks or by `/bin/sh` if they start with `sh:`, this many
/// at a time, with a log each.
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
        let argv: Vec<CString> = match line.strip_prefix("sh:") {
            Some(script) => {
                ["/bin/bash", "-c", script].iter().map(|word| CString::new(*word).expect("no NUL")).collect()
            }
            None => line.split(' ').map(|word| CString::new(word).expect("no NUL")).collect(),
        };
        let argv: Vec<&CStr> = argv.iter().map(CString::as_c_str).collect();
        let log = OpenOptions::new().write(true).create(true).truncate(true).open(logs.join(format!("log_{id}")));
        let log = log.expect("a log");
        let command = Command {
            program: argv[0],
            argv: &argv,
            environment: &environment,
            ends: [null.as_fd(), log.as_fd(), log.as_fd()],
            folder: None,
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
