//! What a transport between ranks gives and how it is left, whether MPI is built in or not.

/// How a rank leaves MPI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leave {
    /// Through MPI_Finalize: nobody was lost.
    Finalize,
    /// Without: somebody was lost, and MPI_Finalize would wait for it or abort.
    Abandon,
}

/// What came in.
#[derive(Debug)]
pub enum Incoming {
    /// A message of this rank.
    Frame(u32, Vec<u8>),
    /// MPI says that the link to this rank is broken.
    LinkFailed(u32, String),
}
