//! How a shell interprets text.
//!
//! Owns quotes: how a value becomes one word of a command, the places in a command where quotes do not protect, and
//! whether a line is complete. Knows no task and starts no shell. Tasklist handlers and runners use it to put values
//! into commands, and the check of lists uses it too.

pub(crate) mod line;
mod place;
mod quote;

pub(crate) use place::Follower;
pub(crate) use quote::{is_plain, pasted, pasted_path, quote, quote_if_needed, quoted};
