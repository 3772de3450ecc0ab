//! How a rank of Open MPI 5 survives the death of a different one.
//!
//! Owns the settings that Open MPI 5 needs before MPI_Init, and the end of its connection to Slurm. Open MPI 4 and
//! MPICH need neither. A user's choice of a transport is never overridden.
//!
//! When a TCP connection to another rank breaks, Open MPI 5 ends the process regardless of its error handlers, unless
//! fault tolerance is enabled (`mpi_ft_enable`). Only the transport `ob1` supports that: with UCX, it crashes. With
//! fault tolerance, PMIx reports each loss to the launcher, and Slurm's plug-in kills the whole step after such a
//! report, or when a client vanishes. Once MPI has started, it no longer needs PMIx, so under srun each rank then
//! disconnects from it. Measured with Open MPI 5.0.7 and 5.0.11 and Slurm 24.11; docs/sites.md lists what survives.

use super::launcher::{Launch, Launcher, Pmi};
use super::library::{Family, Library};

/// The variable that chooses Open MPI's transport.
const TRANSPORT: &str = "OMPI_MCA_pml";

/// Sets the variables that a process needs before it starts MPI. Must be called while it has only one thread.
pub(super) fn prepare(launch: &Launch, library: Option<&Library>) {
    for (name, value) in settings(launch, library, |name| std::env::var(name).ok()) {
        // SAFETY: this process has only one thread until MPI starts, so nothing else reads the environment now. Tasks
        // do not see the change: their pool is already a separate process.
        unsafe { std::env::set_var(name, value) };
    }
}

/// The variables to set. `get` looks one up.
fn settings(
    launch: &Launch,
    library: Option<&Library>,
    get: impl Fn(&str) -> Option<String>,
) -> Vec<(&'static str, &'static str)> {
    if !can_outlive(library, &get) {
        return Vec::new();
    }
    let mut settings = vec![(TRANSPORT, "ob1"), ("OMPI_MCA_mpi_ft_enable", "1")];
    if disconnects(launch) {
        // So that MPI asks PMIx for all addresses at startup, not when it first sends to a rank.
        settings.push(("OMPI_MCA_mpi_add_procs_cutoff", "1000000"));
    }
    settings.retain(|(name, _)| get(name).is_none());
    settings
}

/// Whether this is Open MPI 5 with the only transport that supports fault tolerance.
fn can_outlive(library: Option<&Library>, get: impl Fn(&str) -> Option<String>) -> bool {
    let is_open_mpi_5 = library.is_some_and(|library| library.family == Family::OpenMpi && library.version >= (5, 0));
    is_open_mpi_5 && get(TRANSPORT).is_none_or(|chosen| chosen == "ob1")
}

/// Whether such a rank disconnects from PMIx when MPI has started, and so cannot call MPI_Finalize.
fn disconnects(launch: &Launch) -> bool {
    launch.launcher == Launcher::Srun && launch.pmi == Pmi::Pmix
}

/// Disconnects from PMIx if it would have the step killed. Returns whether it has disconnected: then MPI_Finalize must
/// not be called, and Slurm does not require it.
pub(super) fn leave_pmix(launch: &Launch, library: Option<&Library>) -> bool {
    type Finalize = unsafe extern "C" fn(*const libc::c_void, usize) -> libc::c_int;
    if !disconnects(launch) || !can_outlive(library, |name| std::env::var(name).ok()) {
        return false;
    }
    // SAFETY: dlsym returns null or the address of PMIx_Finalize(const pmix_info_t *, size_t), whose signature is the
    // same in every version of PMIx; NULL and 0 mean no directives. MPI, which started PMIx, is initialized.
    unsafe {
        let found = libc::dlsym(libc::RTLD_DEFAULT, c"PMIx_Finalize".as_ptr());
        !found.is_null() && std::mem::transmute::<*mut libc::c_void, Finalize>(found)(std::ptr::null(), 0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Open MPI 5 is set up to survive losses, unless the user has chosen a transport that cannot.
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
