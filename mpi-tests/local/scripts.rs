//! The batch scripts of `slurm/`, as text. That they run is tested on a real Slurm: mpi-tests/slurm/scripts.rs.

use std::fs;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/slurm");

/// Users copy a single script, so each is complete; the common part is identical in all.
#[test]
fn scripts_have_the_same_second_half() {
    let mut halves = Vec::new();
    for entry in fs::read_dir(FOLDER).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let (head, body) =
            text.split_once("# --- From here on the same").unwrap_or_else(|| panic!("{}", path.display()));
        assert!(head.starts_with("#!/bin/bash\n") && head.contains("#SBATCH --no-kill\n"), "{}", path.display());
        for setting in ["\nmpi=${FARM_MPI:-", "\nslots=", "\nrequeue="] {
            assert!(head.contains(setting), "{}: no {setting}", path.display());
        }
        halves.push((path, body.to_owned()));
    }
    assert!(halves.len() >= 7);
    for (path, body) in &halves {
        assert_eq!(body, &halves[0].1, "{} and {}", path.display(), halves[0].0.display());
    }
}
