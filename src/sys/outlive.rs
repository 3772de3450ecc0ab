//! What makes a rank of Open MPI 5 outlive another one.
//!
//! Owns the settings that Open MPI 5 needs before MPI_Init, and the end of its connection to Slurm. Open MPI 4 and MPICH
//! need neither. A user's own choice of a transport is never overruled.
//!
//! Open MPI 5 ends a process, whatever its error handlers say, when a TCP connection to another rank breaks, but not with
//! its fault tolerance (`mpi_ft_enable`), which only the transport `ob1` bears: with UCX it crashes. With it, each loss is
//! reported to the launcher by PMIx, and Slurm's plug-in kills the whole step for such a report, or for a client that
//! vanishes. Once MPI has started, PMIx has done its part, so under srun each rank takes leave of it then. Measured with
//! Open MPI 5.0.7 and 5.0.11, Slurm 24.11; docs/sites.md has what survives.

use super::launcher::{Launch, Launcher, Pmi};
use super::library::{Family, Library};

/// Open MPI's choice of a transport.
const TRANSPORT: &str = "OMPI_MCA_pml";

/// Sets what a process needs before it starts MPI. To be called while it has one thread.
pub(super) fn prepare(launch: &Launch, library: Option<&Library>) {
    for (name, value) in settings(launch, library, |name| std::env::var(name).ok()) {
        // SAFETY: this process has one thread as long as MPI is not started, so nobody reads the environment now. Tasks
        // don't see it: their pool is a process of its own by now.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Variables to be set. `get` looks one up.
fn settings(
    launch: &Launch,
    library: Option<&Library>,
    get: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, &'static str)> {
    if !is_open_mpi_5(library) || get(TRANSPORT).is_some_and(|chosen| chosen != "ob1") {
        return Vec::new();
    }
    let mut settings = vec![(TRANSPORT, "ob1"), ("OMPI_MCA_mpi_ft_enable", "1")];
    if takes_leave(launch, library) {
        // So that MPI asks PMIx for all addresses at the start, and not when it first sends to a rank.
        settings.push(("OMPI_MCA_mpi_add_procs_cutoff", "1000000"));
    }
    settings.retain(|(name, _)| get(name).is_none());
    settings
}

/// Whether a rank takes leave of PMIx when MPI has started, and so can't go through MPI_Finalize.
fn takes_leave(launch: &Launch, library: Option<&Library>) -> bool {
    is_open_mpi_5(library) && launch.launcher == Launcher::Srun && launch.pmi == Pmi::Pmix
}

fn is_open_mpi_5(library: Option<&Library>) -> bool {
    library.is_some_and(|library| library.family == Family::OpenMpi && library.version >= (5, 0))
}

/// Takes leave of PMIx where it would have the step killed. Whether that was done: MPI_Finalize is out of the question
/// then, but Slurm does not mind.
pub(super) fn leave_pmix(launch: &Launch, library: Option<&Library>) -> bool {
    type Finalize = unsafe extern "C" fn(*const libc::c_void, usize) -> libc::c_int;
    if !takes_leave(launch, library) || std::env::var(TRANSPORT).is_ok_and(|chosen| chosen != "ob1") {
        return false;
    }
    // SAFETY: dlsym gives null or the address of PMIx_Finalize(const pmix_info_t *, size_t), which has been the same in every
    // PMIx; no directives are NULL and 0. MPI, which started PMIx, is initialised.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"PMIx_Finalize".as_ptr());
        !found.is_null() && std::mem::transmute::<*mut libc::c_void, Finalize>(found)(std::ptr::null(), 0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Open MPI 5 is made to bear losses, unless the user has chosen a transport that can't.
    #[test]
    fn the_users_choice_of_a_transport_stays() {
        let launch = |launcher| Launch { launcher, rank: 0, size: Some(2), pmi: Pmi::Pmix };
        let (mpirun, srun) = (launch(Launcher::OpenMpi), launch(Launcher::Srun));
        let names = |launch: &Launch, library: &str, chosen: Option<&str>| {
            let get = |name: &str| chosen.filter(|_| name == TRANSPORT).map(str::to_owned);
            settings(launch, Library::parse(library).as_ref(), get)
                .into_iter()
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        const FT: &str = "OMPI_MCA_mpi_ft_enable";
        assert_eq!(names(&mpirun, "Open MPI v5.0.7", None), [TRANSPORT, FT]);
        assert_eq!(names(&srun, "Open MPI v5.0.7", None), [TRANSPORT, FT, "OMPI_MCA_mpi_add_procs_cutoff"]);
        assert_eq!(names(&mpirun, "Open MPI v5.0.7", Some("ob1")), [FT]);
        for (library, chosen) in
            [("Open MPI v5.0.7", Some("ucx")), ("Open MPI v4.1.4", None), ("MPICH Version: 5.0.2", None)]
        {
            assert_eq!(names(&srun, library, chosen), [""; 0], "{library} {chosen:?}");
        }
    }
}
