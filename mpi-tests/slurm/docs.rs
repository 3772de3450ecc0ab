//! The commands with `srun` in the documentation, run exactly as printed there, except for the size of the machine.

use crate::lab::{self, CPUS, NODES};
use crate::support::documents::{By, blocks_by, run};
use crate::support::{Farm, Mpi};

/// The lines with srun of README.md, of the page for newcomers and of the cheat sheet, on the nodes that there are.
#[test]
#[ignore = "needs a Slurm lab: mpi-tests/run starts one where it can"]
fn commands_with_srun() {
    for document in ["README.md", "docs/moving.md", "docs/cheatsheet.md"] {
        let mut blocks = blocks_by(&By::Slurm, document);
        for line in blocks.iter_mut().flat_map(|block| &mut block.lines) {
            let typed = line.clone();
            *line = line
                .replace("--nodes 64", &format!("--nodes {NODES}"))
                .replace("--cpus-per-task 128", &format!("--cpus-per-task {CPUS}"))
                .replace("--cpus-per-task 64", &format!("--cpus-per-task {CPUS}"))
                .replace("--mpi=pmix", &format!("--mpi={}", lab::mpi_type(Mpi::of_program())));
            assert!(!typed.starts_with("srun") || *line != typed, "{typed}");
        }
        let mut farm = lab::at_home(Farm::local("hostname\n".repeat(40).as_bytes())).time_limit(240);
        let outcome = run(&mut farm, &blocks).exits(0);
        assert!(outcome.stderr_text().contains("40 finished, 0 failed, 0 remaining"));
        assert!(outcome.stderr_text().contains(&format!("on {NODES} ranks")));
    }
}
