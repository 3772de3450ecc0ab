//! Who owns a file, and who else can change it.
//!
//! Owns which users the program trusts: the user it runs as, and root; for root under `sudo`, also the user who ran
//! `sudo`, as git does. Judges by fstat(2) of something open, or by lstat(2) of a link. Never decides what follows from
//! this.

use std::ffi::CString;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, geteuid};

use super::accounts::{group_of_id, user_of_id, user_of_name};

/// Whether this owner is trusted: its files can do nothing that the user could not do anyway.
pub(crate) fn is_trusted(owner: u32) -> bool {
    let (me, root) = (geteuid(), Uid::from_raw(0));
    [me, root].contains(&Uid::from_raw(owner)) || (me == root && sudo_user() == Some(owner))
}

/// Whether the user, who may be root, can change the mode of a file of this owner.
pub(crate) fn may_change_mode(owner: u32) -> bool {
    geteuid().is_root() || geteuid().as_raw() == owner
}

fn sudo_user() -> Option<u32> {
    std::env::var("SUDO_UID").ok()?.parse().ok()
}

/// Who besides its owner can write to a file or into a folder, according to its mode: `anybody`, or `the group NAME`;
/// `None` if nobody can. A group whose only member is a trusted user, as many systems create for each user, does not
/// count.
pub(crate) fn other_writers(of: &Metadata, path: &Path) -> Option<String> {
    match of.mode() {
        mode if mode & 0o002 != 0 => Some("anybody".to_owned()),
        // With an access control list, these bits are the maximum permissions of anybody in it.
        mode if mode & 0o020 != 0 && has_acl(path) => Some("whoever its access control list names".to_owned()),
        mode if mode & 0o020 != 0 && !is_private(of.gid()) => Some(format!("the group {}", group(of.gid()))),
        _ => None,
    }
}

/// Whether a file has an access control list in addition to its mode. If that cannot be read, it has none.
fn has_acl(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: both strings end with a NUL; with a length of 0, nothing is written.
    unsafe { libc::getxattr(path.as_ptr(), c"system.posix_acl_access".as_ptr(), std::ptr::null_mut(), 0) > 0 }
}

/// Whether a group is the private group of a trusted user: it has the user's name and no other members.
fn is_private(group: u32) -> bool {
    let Some(group) = group_of_id(group) else { return false };
    let Some(user) = user_of_name(&group.name) else { return false };
    user.gid == group.gid && is_trusted(user.uid.as_raw()) && group.mem.iter().all(|member| *member == user.name)
}

/// The name of a user, for messages.
pub(crate) fn user(uid: u32) -> String {
    user_of_id(uid).map_or_else(|| format!("user {uid}"), |user| user.name)
}

fn group(gid: u32) -> String {
    group_of_id(gid).map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// The user and root are trusted, others are not; `nobody`, whose files may be any user's, only if it is the user.
    #[test]
    fn the_user_and_root_are_trusted() {
        let me = geteuid().as_raw();
        assert!(is_trusted(me) && is_trusted(0));
        for other in [1, 65_534, u32::MAX - 1] {
            assert_eq!(is_trusted(other), other == me, "{other}");
        }
        assert_eq!((user(0), user(u32::MAX - 1)), ("root".to_owned(), "user 4294967294".to_owned()));
    }

    /// All who may write according to the mode are named; a group counts only if it may have other members.
    #[test]
    fn other_writers_are_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let writers = |mode: u32, group: u32| {
            let _ = std::os::unix::fs::chown(file.path(), None, Some(group));
            file.as_file().set_permissions(Permissions::from_mode(mode)).unwrap();
            other_writers(&file.as_file().metadata().unwrap(), file.path())
        };
        let own = nix::unistd::getegid().as_raw();
        assert_eq!(writers(0o644, own), None);
        assert_eq!(writers(0o646, own).as_deref(), Some("anybody"));
        assert_eq!(writers(0o1777, own).as_deref(), Some("anybody"));
        assert_eq!(writers(0o664, own).is_none(), is_private(own));
        if geteuid().is_root() {
            assert_eq!(writers(0o664, 0), None, "root's own group");
            assert_eq!(writers(0o664, 4_294_967).as_deref(), Some("the group 4294967"));
        }
        assert!(!is_private(4_294_967));
    }

    /// An access control list may let others write although the group is private.
    #[test]
    fn access_control_lists_are_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Version 2; then tag, permissions and ID: owner, one user, owning group, mask, others.
        let entries =
            [(1_u16, 6_u16, u32::MAX), (2, 7, 65_534), (4, 4, u32::MAX), (16, 7, u32::MAX), (32, 4, u32::MAX)];
        let mut acl = 2_u32.to_le_bytes().to_vec();
        for (tag, permissions, id) in entries {
            acl.extend([&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat());
        }
        let path = CString::new(file.path().as_os_str().as_bytes()).unwrap();
        let name = c"system.posix_acl_access";
        // SAFETY: the strings end with a NUL, and the value has the given length.
        let code = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), acl.as_ptr().cast(), acl.len(), 0) };
        if code != 0 {
            return eprintln!("SKIPPED: this file system has no access control lists");
        }
        let writers = other_writers(&file.as_file().metadata().unwrap(), file.path());
        assert_eq!(writers.as_deref(), Some("whoever its access control list names"));
    }
}
