//! Standard output as this process received it.
//!
//! Owns one check, made before Rust's runtime starts: the runtime opens `/dev/null` in place of a closed descriptor,
//! and output there would appear to be written. Never writes.

use std::sync::atomic::{AtomicBool, Ordering};

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[used]
// SAFETY: the linker passes this section to the C library, which calls each function in it once, before `main`, on the
// only thread. `look` states its requirements.
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// Needs nothing of Rust's runtime, which has not started yet: one system call and one store.
extern "C" fn look() {
    // SAFETY: F_GETFD has no argument and changes nothing.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    STDOUT_WAS_CLOSED.store(flags == -1, Ordering::Relaxed);
}

/// Whether this process was started with its standard output closed.
pub(crate) fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}
