//! A run in numbers: lengths, rates, what failed, how long it will take.
//!
//! Owns the arithmetic and the words for it. Pure: no clock, file, process or thread is named here, so the same
//! figures come from a running farm, from a simulated one, and from the files of one that has ended.

pub(crate) mod estimate;
pub(crate) mod report;
pub(crate) mod tally;
pub(crate) mod usage;
pub(crate) mod watch;
pub(crate) mod words;
