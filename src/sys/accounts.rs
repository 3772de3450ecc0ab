//! Users and groups of this machine: names, members, home folders.
//!
//! Owns the look-ups by ID and by name. Never decides whom the program trusts. The C library answers them, and loads a
//! plug-in for each source that the machine has (LDAP, SSSD). In a static program, those of a machine with another
//! version of the C library crash the program. So a static program reads `/etc/passwd` and `/etc/group` instead, and
//! does not know who is in neither.

use nix::unistd::{Group, User};

/// Whether the C library must not be asked.
const IS_STATIC: bool = cfg!(target_feature = "crt-static");

/// The user with this ID.
pub(crate) fn user_of_id(uid: u32) -> Option<User> {
    if IS_STATIC {
        return files::passwd(|user| user.uid.as_raw() == uid);
    }
    User::from_uid(uid.into()).ok()?
}

/// The user with this name.
pub(crate) fn user_of_name(name: &str) -> Option<User> {
    if IS_STATIC {
        return files::passwd(|user| user.name == name);
    }
    User::from_name(name).ok()?
}

/// The group with this ID.
pub(crate) fn group_of_id(gid: u32) -> Option<Group> {
    if IS_STATIC {
        return files::group(|group| group.gid.as_raw() == gid);
    }
    Group::from_gid(gid.into()).ok()?
}

/// The files, by the rules of passwd(5) and group(5).
mod files {
    use std::ffi::{CString, OsStr};
    use std::io::{BufRead, BufReader, Read};
    use std::os::unix::ffi::OsStrExt;
    use std::path::Path;

    use nix::unistd::{Group, User};

    use crate::sys::regular;

    /// What is read of a file. Lines behind this are not there.
    const READ_MAX: u64 = 64 << 20;

    /// The first user in `/etc/passwd` who is wanted.
    pub(super) fn passwd(is_wanted: impl Fn(&User) -> bool) -> Option<User> {
        find("/etc/passwd", |line| user_in(line).filter(&is_wanted))
    }

    /// The first group in `/etc/group` that is wanted.
    pub(super) fn group(is_wanted: impl Fn(&Group) -> bool) -> Option<Group> {
        find("/etc/group", |line| group_in(line).filter(&is_wanted))
    }

    fn find<T>(path: &str, wanted: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let file = regular::reader(Path::new(path)).ok()?;
        BufReader::new(file.take(READ_MAX)).split(b'\n').map_while(Result::ok).find_map(|line| wanted(&line))
    }

    /// `name:password:uid:gid:comment:home:shell`. A line of another form, such as `+` for NIS, is nobody.
    pub(super) fn user_in(line: &[u8]) -> Option<User> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [name, passwd, uid, gid, gecos, home, shell] = fields[..] else { return None };
        Some(User {
            name: name_in(name)?,
            passwd: CString::new(passwd).ok()?,
            uid: number_in(uid)?.into(),
            gid: number_in(gid)?.into(),
            gecos: CString::new(gecos).ok()?,
            dir: OsStr::from_bytes(home).into(),
            shell: OsStr::from_bytes(shell).into(),
        })
    }

    /// `name:password:gid:member,member`.
    pub(super) fn group_in(line: &[u8]) -> Option<Group> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
        let [name, passwd, gid, members] = fields[..] else { return None };
        let members = members.split(|byte| *byte == b',').filter(|member| !member.is_empty());
        Some(Group {
            name: name_in(name)?,
            passwd: CString::new(passwd).ok()?,
            gid: number_in(gid)?.into(),
            mem: members.map(|member| String::from_utf8_lossy(member).into_owned()).collect(),
        })
    }

    /// A comment, and a line for NIS, are no names.
    fn name_in(field: &[u8]) -> Option<String> {
        let name = std::str::from_utf8(field).ok()?;
        (!name.is_empty() && !name.starts_with(['#', '+', '-'])).then(|| name.to_owned())
    }

    fn number_in(field: &[u8]) -> Option<u32> {
        std::str::from_utf8(field).ok()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::files::{group_in, user_in};
    use super::*;

    /// Promise: what the files say is what the C library says, for root and for an ID that nobody has.
    #[test]
    fn files_and_c_library_agree() {
        let root = user_of_id(0).unwrap();
        assert_eq!(files::passwd(|user| user.uid.is_root()), Some(root.clone()));
        assert_eq!(files::passwd(|user| user.name == "root"), user_of_name("root"));
        assert_eq!(files::group(|group| group.gid.as_raw() == 0), group_of_id(0));
        assert_eq!((root.name.as_str(), root.uid.as_raw()), ("root", 0));
        let nobody = u32::MAX - 1;
        assert_eq!((user_of_id(nobody), files::passwd(|user| user.uid.as_raw() == nobody)), (None, None));
        assert_eq!((group_of_id(nobody), files::group(|group| group.gid.as_raw() == nobody)), (None, None));
        assert_eq!(user_of_name("no such user"), None);
    }

    /// Promise: a line that is not a user or a group is nobody, whatever it is.
    #[test]
    fn lines_are_taken_or_left() {
        let user = user_in(b"ann:x:1001:1002:Ann,,,:/home/ann b:/bin/bash").unwrap();
        assert_eq!((user.name.as_str(), user.uid.as_raw(), user.gid.as_raw()), ("ann", 1001, 1002));
        assert_eq!(user.dir.to_str(), Some("/home/ann b"));
        let group = group_in(b"lab:x:1002:ann,bob").unwrap();
        assert_eq!(
            (group.name.as_str(), group.gid.as_raw(), group.mem),
            ("lab", 1002, vec!["ann".into(), "bob".into()])
        );
        assert_eq!(group_in(b"lab:x:1002:").unwrap().mem, Vec::<String>::new());
        for line in [
            &b""[..],
            b"+",
            b"+::::::",
            b"-ann::1:1:::",
            b"#ann:x:1:1::/:/bin/sh",
            b":x:1:1::/:/bin/sh",
            b"ann:x:-1:1::/:/bin/sh",
            b"ann:x:4294967296:1::/:/bin/sh",
            b"ann:x:1:1::/",
            b"\xff:x:1:1::/:/bin/sh",
        ] {
            assert_eq!(user_in(line), None, "{}", String::from_utf8_lossy(line));
            assert_eq!(group_in(line), None, "{}", String::from_utf8_lossy(line));
        }
    }
}
