//! The pages of the documentation, as topics of `help`.
//!
//! Owns which pages there are and what their topics are called. The text is that of the files in `docs/`, built into the
//! program, so an installed program needs no other file. How a page is printed is decided in [`crate::commands`].

use crate::ini::nearest;

/// A page of the documentation.
pub(crate) struct Page {
    /// What the user types.
    pub(crate) topic: &'static str,
    pub(crate) about: &'static str,
    /// Where it is in the repository.
    pub(crate) file: &'static str,
    pub(crate) text: &'static str,
}

macro_rules! page {
    ($topic:literal, $about:literal) => {
        Page {
            topic: $topic,
            about: $about,
            file: concat!("docs/", $topic, ".md"),
            text: include_str!(concat!("../../docs/", $topic, ".md")),
        }
    };
}

/// The pages for users, in the order in which they are listed.
pub(crate) const PAGES: &[Page] = &[
    page!("index", "find a page by what you want to do"),
    page!("cheatsheet", "the most common commands"),
    page!("options", "all options"),
    page!("guide", "from the first list to a resumed run"),
    page!("tasklist", "lines, their meaning, and the environment of a task"),
    page!("handlers", "lists from tables, parameters, and programs"),
    page!("runners", "containers, modules, and variables"),
    page!("resources", "CPUs, GPUs, and memory for each task"),
    page!("failures", "retries, limits, and tasks that crash"),
    page!("workdir", "records, logs, and timeline"),
    page!("status", "progress, from any node"),
    page!("signals", "what stops a farm, and what happens to its tasks"),
    page!("exit-codes", "what the exit codes mean"),
    page!("sites", "Slurm, PBS, mpirun, and the MPI library"),
    page!("moving", "coming from GNU parallel and other farmers"),
    page!("troubleshooting", "messages and symptoms, and what to do"),
    page!("performance", "speed, overhead, and how to choose"),
    page!("building", "building and installing"),
    Page { topic: "readme", about: "an overview", file: "README.md", text: include_str!("../../README.md") },
];

/// The page of a topic. A file name such as `docs/workdir.md` counts as a topic, too.
pub(crate) fn find(word: &str) -> Option<&'static Page> {
    let word = word.to_lowercase();
    let word = word.strip_prefix("docs/").unwrap_or(&word);
    let word = word.strip_suffix(".md").unwrap_or(word);
    PAGES.iter().find(|page| page.topic == word)
}

/// The topic or other word that the user may have meant.
pub(crate) fn meant<'a>(word: &str, others: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    nearest(word, PAGES.iter().map(|page| page.topic).chain(others))
}

/// All topics in one line.
pub(crate) fn names() -> String {
    PAGES.iter().map(|page| page.topic).collect::<Vec<_>>().join(", ")
}

/// One line for each topic, for the end of `help help`.
pub(crate) fn listing() -> String {
    let lines = PAGES.iter().map(|page| format!("\n  {:<16} {}", page.topic, page.about));
    format!("Topics:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Promise: a page is found by its topic and by the name of its file, and by nothing else.
    #[test]
    fn pages_are_found() {
        for word in ["exit-codes", "exit-codes.md", "docs/exit-codes.md", "Exit-Codes"] {
            assert_eq!(find(word).map(|page| page.topic), Some("exit-codes"), "{word}");
        }
        for word in ["", "docs/", "architecture", "exit codes"] {
            assert!(find(word).is_none(), "{word}");
        }
        assert_eq!(meant("trubleshooting", ["logs"]), Some("troubleshooting"));
        assert_eq!(meant("lgos", ["logs"]), Some("logs"));
        assert_eq!(meant("something-else", ["logs"]), None);
    }
}
