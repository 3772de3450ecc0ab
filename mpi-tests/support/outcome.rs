//! The result of a run as its user sees it: exit code, stdout, stderr. Shows all of it when a test fails.

use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, SystemTime};

use super::{program, shown};

/// How lines of an error begin on stderr.
pub(crate) const ERROR: &str = "taskfarmer-mpi: error:";

/// Files in a report.
const LISTED_MAX: usize = 60;

pub(crate) struct Outcome {
    pub(crate) command: String,
    pub(crate) folder: PathBuf,
    pub(crate) status: Option<ExitStatus>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) started: SystemTime,
    pub(crate) ended: SystemTime,
    pub(crate) elapsed: Duration,
    /// Through a launcher.
    pub(crate) is_launched: bool,
}

/// Exit codes that a farm returns after it has had a workdir.
const OF_FARMS: [i32; 4] = [0, 1, 3, 4];

impl Outcome {
    /// Makes sure of the exit code: that of a launcher must be the farm's own, too.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.status.and_then(|status| status.code()), Some(code), "exit code of {}", self.command);
        let workdir = self.folder.join("tasks.txt_workdir");
        if self.is_launched && OF_FARMS.contains(&code) && workdir.join("status.json").exists() {
            self.was_own_code(code);
        }
        self
    }

    /// Makes sure of the farm's own exit code, whatever the launcher's was.
    #[track_caller]
    pub(crate) fn was_own_code(&self, code: i32) {
        let output = self.status_exit_code();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "status --exit-code after {}: {text}", self.command);
    }

    /// The farm's own exit code.
    pub(crate) fn own_code(&self) -> Option<i32> {
        self.status_exit_code().status.code()
    }

    fn status_exit_code(&self) -> std::process::Output {
        Command::new(program())
            .args(["status", "--exit-code", "tasks.txt_workdir"])
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    pub(crate) fn stderr_text(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// The error messages: from each line that starts one to the next line of a different source.
    pub(crate) fn errors(&self) -> Vec<String> {
        let mut errors: Vec<String> = Vec::new();
        let mut open = false;
        for line in self.stderr_text().lines() {
            if line.starts_with(ERROR) {
                errors.push(line.to_owned());
                open = true;
            } else if open && line.starts_with("  ") {
                let last = errors.last_mut().unwrap();
                last.push('\n');
                last.push_str(line);
            } else {
                open = false;
            }
        }
        errors
    }

    /// Makes sure that one error was reported, once, that it contains these texts, and that nothing was started.
    #[track_caller]
    pub(crate) fn refused(self, mentioned: &[&str]) -> Self {
        let outcome = self.exits(2);
        let errors = outcome.errors();
        assert_eq!(errors.len(), 1, "one error message, once: {errors:#?}");
        for word in mentioned {
            assert!(errors[0].contains(word), "the message should name {word:?}:\n{}", errors[0]);
        }
        outcome
    }

    /// What was printed to standard output.
    pub(crate) fn printed(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// `N finished, N failed, N remaining` of the summary.
    #[track_caller]
    pub(crate) fn summary(&self) -> [u64; 3] {
        let text = self.stderr_text();
        let found = text.lines().rev().find_map(|line| {
            let words: Vec<&str> = line.split_whitespace().map(|word| word.trim_end_matches(['.', ',', ';'])).collect();
            let number_before = |noun: &str| {
                let place = words.iter().position(|word| *word == noun)?;
                words.get(place.checked_sub(1)?)?.parse().ok()
            };
            Some([number_before("finished")?, number_before("failed")?, number_before("remaining")?])
        });
        found.unwrap_or_else(|| panic!("no summary \"N finished, N failed, N remaining\" on stderr"))
    }

    fn report(&self) -> String {
        let mut entries = Vec::new();
        super::farm::collect(&self.folder, &mut entries);
        // Files near the top first: of a thousand logs a few are enough.
        entries.sort_by_key(|entry| entry.path.components().count());
        let listing: String = entries
            .iter()
            .take(LISTED_MAX)
            .map(|entry| {
                let name = entry.path.strip_prefix(&self.folder).unwrap_or(&entry.path);
                format!("  {:>9} {}\n", entry.size, name.display())
            })
            .collect();
        let more = entries.len().saturating_sub(LISTED_MAX);
        let status = self.status.map_or_else(|| "none yet".to_owned(), |status| status.to_string());
        format!(
            "\n──── command\n{}\n──── {} files, {more} of them not shown\n{listing}──── status after {:?}\n{status}\n\
             ──── stdout\n{}\n──── stderr\n{}\n────\n",
            self.command,
            entries.len(),
            self.elapsed,
            shown(&self.stdout),
            shown(&self.stderr),
        )
    }
}

impl Drop for Outcome {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.report());
        }
    }
}
