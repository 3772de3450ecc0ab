//! What a shell makes of text.
//!
//! Owns quotes: how a value becomes one word of a command, the places in a command where quotes do not protect, and
//! whether a line is whole. Knows no task and starts no shell. Tasklist handlers and runners put values into commands by
//! it, and lists are judged by it.

pub(crate) mod line;
mod place;
mod quote;

pub(crate) use place::Follower;
pub(crate) use quote::{is_plain, pasted, pasted_path, quote, quote_if_needed, quoted};
