//! What a shell makes of text.
//!
//! Owns quotes: how a value becomes one word of a command, and the places in a command where quotes do not protect.
//! Knows no task and starts no shell. Tasklist handlers and runners put values into commands by it.

mod place;
mod quote;

pub(crate) use place::Follower;
pub(crate) use quote::{is_plain, quote, quote_if_needed, quoted};
