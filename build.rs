//! Provides the program with its git revision and the MPI of its build, and the linker with the location of that MPI's
//! library.
//!
//! A source tree without git is not an error: the revision is then left out. The MPI is queried through its compiler
//! wrapper, as in the mpi crate; anything that the wrapper does not report is left out too.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let revision =
        output_of(Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]));
    println!("cargo::rustc-env=TASKFARMER_GIT_REVISION={}", revision.unwrap_or_default().trim());
    if std::env::var_os("CARGO_FEATURE_MPI").is_some() {
        mpi();
    }
}

fn mpi() {
    for name in ["MPICC", "CRAY_MPICH_DIR", "I_MPI_ROOT", "OPAL_PREFIX"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let mpicc = std::env::var("MPICC").unwrap_or_else(|_| "mpicc".to_owned());
    println!("cargo::rustc-env=TASKFARMER_MPI_BUILT_WITH={}", library(&mpicc).unwrap_or_default());
    for folder in library_folders(&mpicc) {
        println!("cargo::rustc-link-arg=-Wl,--enable-new-dtags,-rpath,{}", folder.display());
    }
}

fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

/// Name and version of the MPI whose header the wrapper finds, as the library itself would give them.
fn library(mpicc: &str) -> Option<String> {
    let source = Path::new(&std::env::var_os("OUT_DIR")?).join("version.c");
    std::fs::write(&source, "#include <mpi.h>\n").ok()?;
    let macros = output_of(Command::new(mpicc).args(["-E", "-dM"]).arg(source))?;
    let value = |name: &str| {
        let line = macros.lines().find_map(|line| line.strip_prefix("#define ")?.strip_prefix(name)?.strip_prefix(' '));
        line.map(|value| value.trim().trim_matches('"').to_owned())
    };
    if let Some(major) = value("OMPI_MAJOR_VERSION") {
        let (minor, release) = (value("OMPI_MINOR_VERSION")?, value("OMPI_RELEASE_VERSION")?);
        return Some(format!("Open MPI v{major}.{minor}.{release}"));
    }
    // Descendants of MPICH also state which MPICH they are based on.
    let names = [
        ("I_MPI_VERSION", "Intel(R) MPI Library"),
        ("CRAY_MPICH_VERSION", "CRAY MPICH version"),
        ("MVAPICH_VERSION", "MVAPICH Version:"),
        ("MVAPICH2_VERSION", "MVAPICH2 Version:"),
        ("MPICH_VERSION", "MPICH Version:"),
    ];
    names.iter().find_map(|(name, library)| Some(format!("{library} {}", value(name)?)))
}

/// Folders of the MPI library that the dynamic linker does not search by default: a module's or a wheel's.
fn library_folders(mpicc: &str) -> Vec<PathBuf> {
    let line = output_of(Command::new(mpicc).arg("-show")).unwrap_or_default();
    let words = shell_words::split(&line).unwrap_or_default();
    let named = words.iter().filter_map(|word| word.strip_prefix("-L")).map(PathBuf::from);
    // Cray's wrapper has no -show.
    let cray = std::env::var_os("CRAY_MPICH_DIR").map(|root| Path::new(&root).join("lib"));
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in named.chain(cray) {
        let Ok(folder) = std::path::absolute(&folder) else { continue };
        if has_mpi(&folder) && !is_searched(&folder) && !folders.contains(&folder) {
            folders.push(folder);
        }
    }
    folders
}

fn has_mpi(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with("libmpi"))
}

/// Whether the dynamic linker searches this folder by default.
fn is_searched(folder: &Path) -> bool {
    let is_lib =
        |folder: &Path| ["/lib", "/usr/lib", "/lib64", "/usr/lib64"].iter().any(|lib| folder == Path::new(lib));
    let is_multiarch = folder.file_name().is_some_and(|name| name.to_string_lossy().contains("-linux-"));
    is_lib(folder) || (is_multiarch && folder.parent().is_some_and(is_lib))
}
