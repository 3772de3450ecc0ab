//! Whether the kernel kills processes of this node because memory has run out.
//!
//! Owns the kernel's count of them. It covers the whole node, including processes that a limit of their own has killed.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel counts, since Linux 4.13.
const COUNTS: &str = "/proc/vmstat";

/// The kernel's count, and how much of it has been seen.
#[derive(Debug)]
pub(crate) struct OomKills {
    counts: PathBuf,
    seen: Option<u64>,
}

impl OomKills {
    /// Counts from now on.
    pub(crate) fn from_now() -> Self {
        Self::of(Path::new(COUNTS))
    }

    fn of(counts: &Path) -> Self {
        Self { counts: counts.to_owned(), seen: read(counts) }
    }

    /// How many processes the kernel has killed since the last call; 0 if it does not count.
    pub(crate) fn new_kills(&mut self) -> u64 {
        let Some(count) = read(&self.counts) else { return 0 };
        count.saturating_sub(self.seen.replace(count).unwrap_or(count))
    }
}

fn read(counts: &Path) -> Option<u64> {
    let text = fs::read_to_string(counts).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// New kills count once; a kernel that does not count reports none.
    #[test]
    fn new_kills_count_once() {
        let folder = tempfile::tempdir().unwrap();
        let counts = folder.path().join("vmstat");
        let write = |kills: u64| fs::write(&counts, format!("pgfree 7\noom_kill {kills}\noom_kill_x 9\n")).unwrap();
        write(3);
        let mut kills = OomKills::of(&counts);
        assert_eq!(kills.new_kills(), 0);
        write(5);
        assert_eq!((kills.new_kills(), kills.new_kills()), (2, 0));
        fs::write(&counts, "pgfree 7\n").unwrap();
        assert_eq!(kills.new_kills(), 0);
        write(6);
        assert_eq!(kills.new_kills(), 1);
        assert_eq!(OomKills::of(Path::new("/no/such")).new_kills(), 0);
    }
}
