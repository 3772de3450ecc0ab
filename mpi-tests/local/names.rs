//! Names of the farm's processes.

use nix::sys::signal::Signal;

use crate::support::{Farm, blockers, processes};

/// A kill by the program's name and by its command line (`pkill -f`) hits the MPI process only: who clears up behind it
/// has names of its own.
#[test]
fn the_pool_has_names_of_its_own() {
    let farm = Farm::local(&blockers::list(0, 2));
    let mut running = farm.start(&["--proc", "2"]);
    running.wait_until("both blockers run", || blockers::blocked(&farm, 0) == 2);
    let pools = processes::pools(running.mark());
    assert_eq!(pools.len(), 1);
    for (_, pool) in pools {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pool}/{name}")).unwrap();
        assert_eq!(read("comm"), "tfarmer-pool\n");
        assert_eq!(read("cmdline").trim_end_matches('\0'), "tfarmer-pool");
    }
    processes::signal(running.pid(), Signal::SIGTERM);
    running.wait().exits(3);
}
