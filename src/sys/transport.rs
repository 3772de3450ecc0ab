//! Types that a transport between ranks uses, whether MPI is built in or not.

/// How a rank leaves MPI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Through MPI_Finalize: no rank was lost.
    Finalize,
    /// Without: a rank was lost, and MPI_Finalize would wait for it or abort.
    Abandon,
}

/// What has arrived.
#[derive(Debug)]
pub enum Incoming {
    /// A message from this rank.
    Frame(u32, Vec<u8>),
    /// MPI reports that the link to this rank is broken.
    LinkFailed(u32, String),
}
