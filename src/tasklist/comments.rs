//! Comments of a list that are directives to a different program.
//!
//! A line with `#` in the first column is skipped. If a different farmer or a batch system would have interpreted it, a
//! message says so, or the list is refused if that would have run different commands.

use std::collections::BTreeSet;

use super::directives::{KEYS, text_of};

/// A comment that changes what a different program runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Directive {
    /// `#DISBATCH BARRIER`, `PREFIX`, `SUFFIX`, `REPEAT`, `PERENGINE`: disBatch.
    DisBatch,
    /// `#HQ --array …` and the like: HyperQueue.
    HyperQueue,
}

/// Options of HyperQueue that turn one task into many.
const HQ_ARRAYS: [&str; 3] = ["--array", "--each-line", "--from-json"];

/// Comments that other programs interpret, but that do not change which commands run.
const HARMLESS: [&str; 8] = ["#SBATCH", "#PBS", "#BSUB", "#COBALT", "#FLUX:", "#HQ", "#HYPERSHELL", "#HYPERSHELL:"];

impl Directive {
    /// Why a list with it is refused, and what to do instead.
    pub(super) fn refusal(self) -> String {
        let (what, cure) = match self {
            Self::DisBatch => (
                "disBatch directives (#DISBATCH) are not supported: they would change the commands or their order",
                "remove the directive; for PREFIX and SUFFIX, change the lines or use a runner (taskfarmer-mpi help runners); for REPEAT, use the handler \
                 'product' (taskfarmer-mpi help handlers); for BARRIER, put the lines that follow it in a separate list, and run \
                 that list afterward; for PERENGINE, use the batch script or the setup of a runner",
            ),
            Self::HyperQueue => (
                "HyperQueue directives (#HQ) for arrays of tasks are not supported",
                "write one line per task, or use the handler 'product' or 'template' (taskfarmer-mpi help handlers); then remove the directive",
            ),
        };
        format!("{what}\n  {cure}")
    }
}

/// Comments that a different program would have interpreted.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Ignored {
    count: u64,
    /// The line number of the first one, 1-based.
    first: u64,
    names: BTreeSet<&'static str>,
    /// The line number of the first comment that is nearly a directive of this program.
    near_miss: Option<u64>,
}

/// Whether a comment looks as if it were meant for this program: `# TF cpus=2`, `#tf cpus=2`, `#TFcpus=2`.
fn is_near_miss(line: &[u8]) -> bool {
    let text = line[1..].trim_ascii_start();
    let is_ours = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"TF")) && text_of(line).is_none();
    let rest = text.get(2..).unwrap_or_default().trim_ascii_start();
    let key = rest.split(|byte| !byte.is_ascii_alphabetic()).next().unwrap_or_default();
    is_ours && KEYS.iter().any(|known| key == known.as_bytes()) && rest.contains(&b'=')
}

impl Ignored {
    /// Processes a comment, including its `#`.
    pub(super) fn comment(&mut self, line: &[u8], number: u64) -> Result<(), Directive> {
        if is_near_miss(line) {
            self.near_miss = self.near_miss.or(Some(number));
        }
        // Most comments are for people.
        if !line.get(1).is_some_and(u8::is_ascii_uppercase) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line[..line.len().min(200)]);
        let mut words = text.split_ascii_whitespace();
        let name = words.next().unwrap_or_default();
        if name == "#DISBATCH" {
            return Err(Directive::DisBatch);
        }
        let is_array = |word: &str| HQ_ARRAYS.contains(&word.split('=').next().unwrap_or_default());
        if name == "#HQ" && words.any(is_array) {
            return Err(Directive::HyperQueue);
        }
        if let Some(known) = HARMLESS.into_iter().find(|known| *known == name) {
            self.count += 1;
            self.first = if self.count == 1 { number } else { self.first };
            self.names.insert(known);
        }
        Ok(())
    }

    /// The message about a comment that looks like a directive of this program.
    pub(super) fn near_miss(&self) -> Option<String> {
        self.near_miss.map(|line| {
            format!(
                "line {line} is a comment that looks like a directive, and is ignored\n  a directive begins with #TF and a space: #TF cpus=8"
            )
        })
    }

    /// The message about them.
    pub(super) fn message(&self) -> Option<String> {
        let names: Vec<&str> = self.names.iter().copied().collect();
        let plural = if self.count == 1 { " that is a directive" } else { "s that are directives" };
        (self.count > 0).then(|| {
            format!(
                "{} comment{plural} for another program ({}), the first on line {}: the farm ignores such comments\n  put \
                 the options of the batch job in the script that starts the farm; --proc sets how many tasks run at a time",
                self.count,
                names.join(", "),
                self.first
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(lines: &[&str]) -> Result<Ignored, Directive> {
        let mut ignored = Ignored::default();
        for (line, number) in lines.iter().zip(1..) {
            ignored.comment(line.as_bytes(), number)?;
        }
        Ok(ignored)
    }

    /// A comment that is nearly a directive of this program is reported; other words that begin with TF are not.
    #[test]
    fn near_misses_are_reported() {
        for line in ["# TF cpus=2", "#tf cpus=2", "#TFcpus=2", "#TF\tcpus=2 ", "# tf mem=1G gpus=1"] {
            let near = judge(&["# x", line]).unwrap().near_miss();
            let is_directive = line.starts_with("#TF\t");
            assert_eq!(near.is_some(), !is_directive, "{line}");
        }
        for line in ["#", "#TF cpus=2", "# TF cpus", "# TFoo=1", "# the cpus=2", "#TFX cpus=2"] {
            assert_eq!(judge(&[line]).unwrap().near_miss(), None, "{line}");
        }
    }

    /// A directive that would have changed the commands is refused; others are reported; comments for people are
    /// ignored.
    #[test]
    fn directives_are_distinguished_from_comments() {
        for line in ["#DISBATCH BARRIER", "#DISBATCH PREFIX cd /x &&", "#DISBATCH\r"] {
            assert_eq!(judge(&[line]), Err(Directive::DisBatch), "{line}");
        }
        assert_eq!(judge(&["#HQ --array=1-10"]), Err(Directive::HyperQueue));
        assert_eq!(judge(&["#HQ --cpus 4 --each-line x"]), Err(Directive::HyperQueue));
        let told = judge(&["#!/bin/bash", "#SBATCH -n 4", "#SBATCH -t 1", "#HQ --cpus=4"]).unwrap().message().unwrap();
        assert!(told.contains("3 comments") && told.contains("#HQ, #SBATCH") && told.contains("on line 2"), "{told}");
        for line in ["#", "# DISBATCH", "#DISBATCHED", "##SBATCH", "#SBATCHES", "#TODO", "#\u{e9}", "#HYPER"] {
            assert_eq!(judge(&[line]).unwrap().message(), None, "{line}");
        }
    }
}
