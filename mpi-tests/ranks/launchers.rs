//! Which launcher and which library match the program: one of a different MPI is refused, and one rank needs neither.

use std::path::PathBuf;

use crate::support::launcher::folders;
use crate::support::{Farm, Mpi, skipped};

/// Three ranks by the launcher of the wrong MPI: exit code 2, one message that names the remedy, nothing started.
#[test]
fn launcher_of_the_other_mpi_is_refused() {
    let (ours, theirs) = (Mpi::of_program(), Mpi::of_program().other());
    let Some(launcher) = theirs.command(3) else {
        skipped(&theirs.cure());
        return;
    };
    let farm = Farm::launched_by(launcher, b"echo one\n").time_limit(60);
    let before = farm.everything();
    let outcome = farm.run(&[]).refused(&[ours.library()]);
    let message = outcome.errors().concat();
    let cures = ["mpirun", "mpiexec", "--mpi="];
    assert!(cures.iter().any(|cure| message.contains(cure)), "the cure should be named:\n{message}");
    assert_eq!(farm.everything(), before, "nothing is started");
}

/// `mpirun -n 1` and a start without a launcher give the same farm.
#[test]
fn one_rank_needs_no_launcher() {
    let list = b"echo $TASKFARMER_RANK $PROC_NUMBER\n";
    for farm in [Farm::mpi(1, list), Farm::local(list)] {
        assert_eq!(farm.run(&[]).exits(0).summary(), [1, 0, 0]);
        assert_eq!(farm.workdir().log(0), b"0 0\n");
    }
}

/// One binary for all that share MPICH's binary interface: built with MPICH 4.0, it runs on the libraries and under the
/// launchers of newer ones and of Intel MPI.
#[test]
fn a_build_with_mpich_runs_on_its_descendants() {
    if std::env::var("TASKFARMER_TEST_MPI").is_ok_and(|mpi| mpi != "mpich") || Mpi::of_program() != Mpi::Mpich {
        return skipped("it is the system's MPICH that is built with");
    }
    let is_descendant = |folder: &PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy();
        name.starts_with("mpich-") || name.starts_with("impi-")
    };
    let folders: Vec<PathBuf> = folders().into_iter().filter(is_descendant).collect();
    if folders.is_empty() {
        return skipped("no other library of MPICH's interface was selected: mpi-tests/run mpich mpich-5.0.2");
    }
    for folder in folders {
        let mut launcher = Mpi::of_program().command(3).unwrap();
        launcher[0] = folder.join("bin/mpiexec.hydra").into();
        let mut farm = Farm::launched_by(launcher, "echo $TASKFARMER_RANK; sleep 0.05\n".repeat(60).as_bytes());
        // Debian's own name for the library.
        let lib = farm.path("../lib");
        std::fs::create_dir(&lib).unwrap();
        std::os::unix::fs::symlink(folder.join("lib/libmpi.so.12"), lib.join("libmpich.so.12")).unwrap();
        // The library finds its own dependencies beside itself, but not beside the link.
        let (lib, own) = (lib.to_str().unwrap(), folder.join("lib/mpich"));
        farm.set("LD_LIBRARY_PATH", &format!("{lib}:{}", own.display()));
        farm.set("I_MPI_ROOT", folder.to_str().unwrap());
        let version = farm.run_alone(&["--version"]).exits(0);
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        assert!(version.contains(lib) && version.contains("Built with: MPICH 4."), "{version}");
        let outcome = farm.run(&["--proc", "2"]).exits(0);
        assert_eq!(outcome.summary(), [60, 0, 0], "{version}");
        let ranks: std::collections::BTreeSet<_> = (0..60).map(|id| farm.workdir().log(id)).collect();
        assert_eq!(ranks.len(), 3, "one farm of three ranks, {version}");
        println!("{}", version.replace('\n', ", "));
    }
}

/// PRRTE's own launcher, which sets only PMIx's variables and does not state how many ranks there are: one farm, not
/// one per rank. A single rank is a farm, too.
#[test]
fn ranks_of_prterun_are_one_farm() {
    let Ok(bin) = std::env::var("TASKFARMER_TEST_MPI_BIN") else {
        return skipped("only an Open MPI 5 from PyPI has its prterun beside it");
    };
    if !Mpi::is_prrte() {
        return skipped("prterun belongs to Open MPI 5");
    }
    for ranks in ["3", "1"] {
        let prterun = format!("{bin}/prterun");
        let words = [&*prterun, "--allow-run-as-root", "--map-by", ":oversubscribe", "-n", ranks];
        let launcher = words.map(Into::into).to_vec();
        let mut farm = Farm::launched_by(launcher, "echo $TASKFARMER_RANK; sleep 0.05\n".repeat(60).as_bytes());
        farm.set("TASKFARMER_MPI_INIT_LIMIT", "60");
        let outcome = farm.run(&["--proc", "2"]).exits(0);
        assert_eq!(outcome.summary(), [60, 0, 0]);
        let seen: std::collections::BTreeSet<_> = (0..60).map(|id| farm.workdir().log(id)).collect();
        assert_eq!(seen.len().to_string(), ranks, "one farm of {ranks} ranks");
    }
}

/// The program finds the library with which it was built, whatever the environment says about libraries, and reports
/// which.
#[test]
fn the_library_is_the_one_of_the_build() {
    let mut farm = Farm::local(b"true\n");
    for path in [None, Some("")] {
        match path {
            None => farm.unset("LD_LIBRARY_PATH"),
            Some(path) => farm.set("LD_LIBRARY_PATH", path),
        }
        let outcome = farm.run_alone(&["--version"]).exits(0);
        let version = String::from_utf8_lossy(&outcome.stdout).into_owned();
        let built = version.lines().find_map(|line| line.strip_prefix("Built with: ")).expect("what it was built with");
        let number = built.rsplit(' ').next().unwrap();
        let library = version.lines().find_map(|line| line.strip_prefix("MPI library: ")).unwrap();
        assert!(built.starts_with(Mpi::of_program().library()) && library.contains(number), "{version}");
        if let Ok(bin) = std::env::var("TASKFARMER_TEST_MPI_BIN") {
            let folder = std::path::Path::new(&bin).parent().unwrap();
            assert!(version.contains(&format!("Loaded from: {}/", folder.display())), "{version}");
        }
    }
}

/// A library that is older than the one of the build is refused before MPI starts: a build with Open MPI 5 can be
/// loaded with Open MPI 4's library, which has the same name, and fail anywhere.
#[test]
fn an_older_library_is_refused() {
    if !Mpi::is_prrte() {
        return skipped("only Open MPI 5 has an older library of the same name");
    }
    let system = ["/usr/lib/x86_64-linux-gnu/libmpi.so.40", "/usr/lib/aarch64-linux-gnu/libmpi.so.40"];
    let Some(library) = system.iter().map(std::path::Path::new).find(|path| path.exists()) else {
        return skipped("the system has no Open MPI");
    };
    let mut farm = Farm::mpi(2, b"true\n");
    farm.set("LD_LIBRARY_PATH", library.parent().unwrap().to_str().unwrap());
    let version = farm.run_alone(&["--version"]).exits(0);
    if !String::from_utf8_lossy(&version.stdout).contains("MPI library: Open MPI v4") {
        return skipped("the system's Open MPI is not older");
    }
    // The launcher itself needs its own libraries, and passes them to its ranks: as many processes as it would start.
    farm = Farm::launched_by(
        vec!["env".into(), "OMPI_COMM_WORLD_SIZE=2".into(), "OMPI_COMM_WORLD_RANK=0".into()],
        b"true\n",
    );
    farm.set("LD_LIBRARY_PATH", library.parent().unwrap().to_str().unwrap());
    let before = farm.everything();
    farm.run(&[]).refused(&["was built with Open MPI 5", "LD_LIBRARY_PATH"]);
    assert_eq!(farm.everything(), before);
}
