//! Tasks that the kernel kills because memory runs out.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Farm, skipped};

/// A group of processes with 30 MiB of memory; removed when dropped.
struct SmallGroup(PathBuf);

impl SmallGroup {
    fn make() -> std::io::Result<Self> {
        let v1 = Path::new("/sys/fs/cgroup/memory");
        let (parent, limit) = match v1.is_dir() {
            true => (v1, "memory.limit_in_bytes"),
            false => (Path::new("/sys/fs/cgroup"), "memory.max"),
        };
        let group = Self(parent.join(format!("taskfarmer-test-{}", std::process::id())));
        fs::create_dir(&group.0)?;
        fs::write(group.0.join(limit), "30000000")?;
        // Elsewhere, what does not fit would be swapped out.
        let _ = fs::write(group.0.join("memory.swap.max"), "0");
        Ok(group)
    }
}

impl Drop for SmallGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Promise: if the kernel kills a task because memory runs out, the user learns this, with the node, while the farm runs;
/// a SIGKILL of somebody else is not reported as that. Both are shown with the peak memory.
#[test]
fn a_node_without_memory_is_reported() {
    let group = match SmallGroup::make() {
        Ok(group) => group,
        Err(error) => return skipped(&format!("no group of processes can be made here: {error}")),
    };
    let farm = Farm::local(b"kill -9 $$\n");
    let text = farm.run(&[]).exits(1).stderr_text();
    assert!(text.contains("SIGKILL, which the farm did not send"), "{text}");
    assert!(!text.contains("because memory ran out"), "{text}");

    let eat = "exec python3 -c 'x = bytearray(200_000_000)'";
    let list = format!("echo $$ > {}/cgroup.procs || exit 1; {eat}\n", group.0.display());
    let farm = Farm::local(list.as_bytes());
    let text = farm.run(&[]).exits(1).stderr_text();
    assert!(text.contains("SIGKILL, which the farm did not send (out of memory? peak memory "), "{text}");
    let warning = text.lines().find(|line| line.contains("because memory ran out"));
    let warning = warning.unwrap_or_else(|| panic!("{text}"));
    assert!(warning.contains("warning: ") && warning.contains("rank 0 (") && warning.contains("task 0 was killed"));
}
