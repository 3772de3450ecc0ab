//! Names of the farm's processes.

use nix::sys::signal::Signal;

use crate::support::{Farm, blockers, processes};

/// A kill by the program's name and by its command line (`pkill -f`) hits only the MPI process: those that clean up
/// after it have names of their own.
#[test]
fn pool_and_nursery_have_names_of_their_own() {
    let farm = Farm::local(&blockers::list(0, 2));
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("both blockers run", || blockers::blocked(&farm, 0) == 2);
    let (pools, nurseries) = (processes::pools(running.mark()), processes::nurseries(running.mark()));
    for (found, name) in [(pools, "tfarmer-pool"), (nurseries, "tfarmer-nursery")] {
        let [(_, pid)] = found[..] else { panic!("one {name} should run: {found:?}") };
        let command_line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert_eq!(command_line.trim_end_matches('\0'), name);
    }
    processes::signal(running.pid(), Signal::SIGTERM);
    running.wait().exits(3);
}
