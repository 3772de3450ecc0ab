//! Replaces MPI in a build without it: a transport that cannot be started, so that no other code has to know.

use super::launcher::{Launch, Launcher};
use super::library::Library;
use super::transport::{Incoming, Leave};

/// MPI, which does not exist in this build.
#[derive(Debug)]
pub enum Mpi {}

/// States that there is none.
pub fn library_version() -> String {
    "none, built without MPI: one node only".to_owned()
}

/// There is none.
pub(crate) fn library() -> Option<Library> {
    None
}

/// There is none.
pub(crate) fn library_path() -> Option<String> {
    None
}

impl Mpi {
    /// Never starts.
    ///
    /// # Errors
    /// Always.
    pub fn start(_: Launch, _: fn() -> i32) -> Result<Self, String> {
        Err("this program was built without MPI and runs on one node only\n  use a build with MPI: taskfarmer-mpi help building"
            .to_owned())
    }

    /// Never called: there is no value of this type. The same holds for the others.
    pub fn rank(&self) -> u32 {
        match *self {}
    }

    /// Never called.
    pub fn size(&self) -> u32 {
        match *self {}
    }

    /// Never called.
    pub fn may_change_threads(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn send_if_idle(&mut self, _: u32, _: &[u8]) {
        match *self {}
    }

    /// Never called.
    pub fn send(&mut self, _: u32, _: Vec<u8>) {
        match *self {}
    }

    /// Never called.
    pub fn is_sending(&self) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn give_up(&mut self, _: u32) {
        match *self {}
    }

    /// Never called.
    pub fn poll(&mut self, _: &mut Vec<Incoming>) -> bool {
        match *self {}
    }

    /// Never called.
    pub fn leave(self, _: Leave, _: i32, _: Option<Launcher>) -> ! {
        match self {}
    }
}
