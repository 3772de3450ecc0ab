//! How much memory code allocates, so that tests can bound it. Unit tests only.
//!
//! Owns their allocator: the system's, with a counter for each thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static IN_USE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Metered;

#[global_allocator]
static METERED: Metered = Metered;

fn count(taken: usize, given_back: usize) {
    let in_use = IN_USE.get().wrapping_add_unsigned(taken).wrapping_sub_unsigned(given_back);
    IN_USE.set(in_use);
    PEAK.set(PEAK.get().max(in_use));
}

// SAFETY: each call is passed to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count(new_size, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(memory, layout, new_size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// What `code` returns, and the maximum number of bytes that this thread had in use at any time, beyond those from
/// before.
pub(crate) fn peak_of<R>(code: impl FnOnce() -> R) -> (R, usize) {
    let before = IN_USE.get();
    let outer = PEAK.replace(before);
    let result = code();
    let peak = PEAK.get();
    PEAK.set(outer.max(peak));
    (result, (peak - before).unsigned_abs())
}

/// The other tests rely on it: memory that is freed again counts as well.
#[test]
fn the_peak_is_measured() {
    let (len, peak) = peak_of(|| {
        drop(vec![1_u8; 5_000]);
        let mut bytes = vec![0_u8; 1_000];
        bytes.reserve_exact(2_000);
        bytes.len()
    });
    assert_eq!((len, peak), (1_000, 5_000));
}
