# Spack: put this file into packages/taskfarmer_mpi/ (before Spack 1.0: packages/taskfarmer-mpi/) of a package
# repository. What has been tried: README.md beside this file.

try:
    from spack_repo.builtin.build_systems.cargo import CargoPackage
except ImportError:  # before Spack 1.0
    from spack.build_systems.cargo import CargoPackage

from spack.package import *


class TaskfarmerMpi(CargoPackage):
    """Runs the shell commands of a tasklist on every slot of an allocation: rank 0 hands out the tasks by MPI messages
    and records which have ended. The same command resumes an interrupted run."""

    # PLACEHOLDER: the repository has no public address yet. "example.invalid" never resolves: replace it here.
    homepage = "https://example.invalid/taskfarmer-mpi"
    git = "https://example.invalid/taskfarmer-mpi.git"

    license("MIT OR Apache-2.0")

    # There is no release yet. Once there is one: version("0.1.0", tag="v0.1.0", commit=…).
    version("main", branch="main")

    variant("mpi", default=True, description="Run on several nodes. Without MPI, a farm runs on one node")

    # The `cc` crate and the linker.
    depends_on("c", type="build")
    # rust-version in Cargo.toml.
    depends_on("rust@1.88:", type="build")
    # `make install` writes man pages and completions.
    depends_on("gmake", type="build")
    with when("+mpi"):
        depends_on("mpi")
        # bindgen loads libclang to read mpi.h.
        depends_on("llvm+clang", type="build")

    # It needs pidfds, subreapers and epoll.
    conflicts("platform=darwin", msg="taskfarmer-mpi runs on Linux only")
    conflicts("platform=windows", msg="taskfarmer-mpi runs on Linux only")

    def setup_build_environment(self, env):
        if self.spec.satisfies("+mpi"):
            # build.rs also asks this wrapper where the library is, and stores that as an rpath.
            env.set("MPICC", self.spec["mpi"].mpicc)
            env.set("LIBCLANG_PATH", self.spec["llvm"].prefix.lib)

    def _cargo(self, *args):
        """Runs cargo on the program and its features, with the crates of Cargo.lock."""
        features = [] if self.spec.satisfies("+mpi") else ["--no-default-features", "--features", "root"]
        cargo(*args, "--release", "--locked", "-j", str(make_jobs), *features)

    # Not the `cargo install` of CargoPackage: before Spack 1.0, it does not take build_args from a package.
    def build(self, spec, prefix):
        with working_dir(self.stage.source_path):
            self._cargo("build")

    def install(self, spec, prefix):
        with working_dir(self.stage.source_path):
            make("install", f"PREFIX={prefix}")

    def check(self):
        # The other tests start launchers, and install MPIs from PyPI.
        with working_dir(self.stage.source_path):
            self._cargo("test", "--lib")

    def test_version(self):
        """the program starts, and shows the MPI that it runs on"""
        program = which(self.prefix.bin.join("taskfarmer-mpi"))
        found = program("--version", output=str.split, error=str.split)
        assert ("built without MPI" in found) == self.spec.satisfies("~mpi"), found

    def test_tasklist(self):
        """a list of three tasks runs to its end"""
        with open("tasks.txt", "w", encoding="utf-8") as tasks:
            tasks.write("echo one\necho two\necho three\n")
        which(self.prefix.bin.join("taskfarmer-mpi"))("tasks.txt")
        with open("tasks.txt_workdir/finished", encoding="utf-8") as finished:
            assert len(finished.readlines()) == 3
