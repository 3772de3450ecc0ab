//! Shared memory that an MPI leaves behind when MPI_Finalize is skipped.
//!
//! Owns the names of the files that MPIs create in /dev/shm. Removes only files that this process has mapped, so none
//! that belong to another program; the other ranks of the node keep their mappings.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Prefixes of names: MPICH's, Open MPI's before 5.0 and since, Intel MPI's.
const NAMES: [&str; 4] = ["mpich_shm_", "vader_segment.", "sm_segment.", "Intel_MPI_"];

/// Removes what the MPI of this process would have removed at its end. Errors are ignored: the memory then remains
/// until the node is cleaned up.
pub(super) fn remove() {
    let Ok(maps) = fs::read_to_string("/proc/self/maps") else { return };
    for path in mapped(&maps) {
        let _ = fs::remove_file(path);
    }
}

/// Returns the files of MPIs in a list of mappings in the format of /proc/self/maps.
fn mapped(maps: &str) -> BTreeSet<PathBuf> {
    let paths = maps.lines().filter_map(|line| Some(Path::new(&line[line.find("/dev/shm/")?..])));
    let is_of_mpi = |path: &&Path| {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        path.parent() == Some(Path::new("/dev/shm")) && NAMES.iter().any(|start| name.starts_with(start))
    };
    paths.filter(is_of_mpi).map(Path::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files of other programs and of tasks are not touched.
    #[test]
    fn only_files_of_mpis_are_found() {
        let maps = "\
7f00-7f10 rw-s 00000000 00:17 3 /dev/shm/mpich_shm_145410bb_0
7f10-7f20 rw-s 00010000 00:17 3 /dev/shm/mpich_shm_145410bb_0
7f20-7f30 rw-s 00000000 00:17 4 /dev/shm/vader_segment.nid1.0.a.3 (deleted)
7f30-7f40 rw-s 00000000 00:17 5 /dev/shm/data
7f40-7f50 rw-s 00000000 00:17 6 /dev/shm/a/mpich_shm_1
7f50-7f60 r-xp 00000000 00:17 7 /usr/lib/libmpi.so.40
7f60-7f70 rw-p 00000000 00:00 0
";
        let found: Vec<_> = mapped(maps).into_iter().collect();
        let expected = ["mpich_shm_145410bb_0", "vader_segment.nid1.0.a.3 (deleted)"];
        assert_eq!(found, expected.map(|name| Path::new("/dev/shm").join(name)));
    }
}
