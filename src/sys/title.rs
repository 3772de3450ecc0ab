//! The name of a process in `ps`.
//!
//! Owns changing both names that Linux keeps: the short one, and the command line. The processes of a rank are forks of
//! one program: without names of their own, `pkill -f` with the program's name, or killing "everything that looks like
//! it", would also hit those that must clean up after the others.

use std::ffi::CStr;

use nix::sys::prctl;

/// Names this process, whose arguments are not read anymore after this. At most 15 bytes are visible in the short name;
/// bytes beyond the length of the command line are not visible.
///
/// # Errors
/// If the system refuses the short name, which it has no reason to.
pub(crate) fn set(name: &CStr) -> nix::Result<()> {
    prctl::set_name(name)?;
    let Some((start, end)) = arguments() else { return Ok(()) };
    let old = std::ptr::with_exposed_provenance_mut::<u8>(start);
    let new = name.to_bytes();
    let len = end - start;
    // SAFETY: the kernel reports that the strings of argv, which it has laid out as writable memory of this process,
    // fill these bytes, and nothing holds a reference to them: the standard library copies arguments on request, in one
    // thread, and this process has one. The last byte stays zero, which ends the last string.
    unsafe {
        std::ptr::write_bytes(old, 0, len);
        std::ptr::copy_nonoverlapping(new.as_ptr(), old, new.len().min(len.saturating_sub(1)));
    }
    Ok(())
}

/// Where the strings of argv begin and end in memory.
fn arguments() -> Option<(usize, usize)> {
    let text = std::fs::read("/proc/self/stat").ok()?;
    let text = String::from_utf8_lossy(&text);
    // The 48th and the 49th field of all; the third one follows the name.
    let mut fields = text.rsplit_once(") ")?.1.split_ascii_whitespace().skip(45);
    let (start, end): (usize, usize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    (start != 0 && start < end).then_some((start, end))
}
