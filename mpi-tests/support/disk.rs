//! Disks that are small, slow or broken: a tmpfs, and a library that intercepts the farm's file accesses.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Farm, skipped};

/// A separate file system in a farm's folder. Unmounted when dropped.
pub(crate) struct Tmpfs {
    path: PathBuf,
}

impl Tmpfs {
    /// Mounts one; `None`, after printing why, if that is not allowed.
    #[track_caller]
    pub(crate) fn mount(farm: &Farm, name: &str, options: &str) -> Option<Self> {
        let path = farm.path(name);
        std::fs::create_dir(&path).unwrap();
        match said(
            "mount",
            &["-t".as_ref(), "tmpfs".as_ref(), "-o".as_ref(), options.as_ref(), "tmpfs".as_ref(), &path],
        ) {
            Ok(()) => Some(Self { path }),
            Err(error) => {
                skipped(&format!("no tmpfs can be mounted here: {error}"));
                std::fs::remove_dir(&path).unwrap();
                None
            }
        }
    }

    /// Changes its options: `size=1m`.
    #[track_caller]
    pub(crate) fn remount(&self, options: &str) {
        said("mount", &["-o".as_ref(), format!("remount,{options}").as_ref(), &self.path]).unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: processes that a failed test left running must not prevent it.
        if let Err(error) = said("umount", &["-l".as_ref(), &self.path]) {
            eprintln!("cannot unmount {}: {error}", self.path.display());
        }
    }
}

fn said(program: &str, arguments: &[&Path]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim_end().to_owned()) }
}

/// An ext4 file system in a file, which can be made to find an error and turn read-only under its users.
pub(crate) struct Ext4 {
    path: PathBuf,
    image: PathBuf,
}

impl Ext4 {
    /// Creates and mounts one; `None`, after printing why, if that is not possible.
    #[track_caller]
    pub(crate) fn mount(farm: &Farm, name: &str) -> Option<Self> {
        let disk = Self { path: farm.path(name), image: farm.home().join("image") };
        std::fs::create_dir(&disk.path).unwrap();
        std::fs::File::create(&disk.image).unwrap().set_len(16 << 20).unwrap();
        let made = said("mkfs.ext4", &["-q".as_ref(), &disk.image]).and_then(|()| disk.attach());
        let broken = made.and_then(|()| {
            let switch = disk.switch()?;
            if switch.exists() { Ok(()) } else { Err(format!("no {}", switch.display())) }
        });
        match broken {
            Ok(()) => Some(disk),
            Err(error) => {
                skipped(&format!("no file system can be made to fail here: {error}"));
                None
            }
        }
    }

    fn attach(&self) -> Result<(), String> {
        said("mount", &["-o".as_ref(), "loop,errors=remount-ro".as_ref(), &self.image, &self.path])
    }

    /// Writing to it makes the kernel believe that it found an error.
    fn switch(&self) -> Result<PathBuf, String> {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        let ours = mounts.lines().find(|line| line.split(' ').nth(1) == self.path.to_str());
        let device = ours.and_then(|line| line.split(' ').next()).ok_or("it is not mounted")?;
        let device = Path::new(device).file_name().ok_or("it has no device")?;
        Ok(Path::new("/sys/fs/ext4").join(device).join("trigger_fs_error"))
    }

    /// From now on it is read-only.
    #[track_caller]
    pub(crate) fn fail(&self) {
        std::fs::write(self.switch().unwrap(), "a test").unwrap();
    }

    /// As after a reboot: checked, repaired and writable.
    #[track_caller]
    pub(crate) fn mend(&self) {
        said("umount", &[&self.path]).unwrap();
        // Its code is 1 if it has repaired something; the mount shows the result.
        said("fsck.ext4", &["-f".as_ref(), "-y".as_ref(), &self.image]).ok();
        self.attach().unwrap();
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Ext4 {
    fn drop(&mut self) {
        said("umount", &["-l".as_ref(), &self.path]).ok();
    }
}

/// Makes calls of this farm on some files fail or take long: see `shim.c` for the settings.
#[track_caller]
pub(crate) fn preload(farm: &mut Farm, settings: &[(&str, &str)]) {
    let library = farm.home().join("shim.so");
    if !library.exists() {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/mpi-tests/support/shim.c");
        let words = ["-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o"].map(Path::new);
        // Rust itself needs a C compiler's linker, so there is one.
        said("cc", &[&words[..], &[&library, Path::new(source), Path::new("-ldl")]].concat()).unwrap();
    }
    farm.set("LD_PRELOAD", library.to_str().unwrap());
    for (name, value) in settings {
        farm.set(name, value);
    }
}

/// The disk works again.
pub(crate) fn unload(farm: &mut Farm) {
    farm.unset("LD_PRELOAD");
}
