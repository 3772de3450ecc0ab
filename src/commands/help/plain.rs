//! A page as plain text.
//!
//! Owns the few changes that make Markdown readable on a terminal: comments are dropped, and links show their targets.
//! Tables, code and emphasis stay as they are. Handles the Markdown of this project, not all of Markdown.

use crate::cli::pages::{PAGES, Page};
use crate::stderr::PROGRAM;

/// The text of a page.
pub(super) fn plain(page: &Page) -> String {
    let folder = page.file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let (mut text, mut prose, mut is_code) = (String::new(), String::new(), false);
    for line in page.text.lines() {
        let is_fence = line.starts_with("```");
        if is_fence && !is_code {
            text += &with_plain_links(&std::mem::take(&mut prose), folder);
        }
        // Comments, and pictures, which a terminal does not show.
        let is_html = |names: &[&str]| names.iter().any(|name| line.trim_start().starts_with(name));
        let is_comment = !is_code && is_html(&["<!--", "<picture>", "<source ", "<img ", "</picture>"]);
        if !is_comment {
            let lines = if is_code || is_fence { &mut text } else { &mut prose };
            lines.push_str(line);
            lines.push('\n');
        }
        is_code ^= is_fence;
    }
    text + &with_plain_links(&prose, folder)
}

/// Replaces links; a link may continue on the next line. Code is left alone.
fn with_plain_links(text: &str, folder: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['`', '[']) {
        out += &rest[..at];
        rest = &rest[at..];
        if let Some((label, target, after)) = link(rest) {
            out.truncate(out.strip_suffix('!').unwrap_or(&out).len());
            out += &shown(label, target, folder);
            rest = after;
        } else {
            let len = code(rest).unwrap_or(1);
            out += &rest[..len];
            rest = &rest[len..];
        }
    }
    out + rest
}

/// The length of the code in backticks at the start of a text.
fn code(text: &str) -> Option<usize> {
    let ticks = text.len() - text.trim_start_matches('`').len();
    let end = text[ticks..].find(&text[..ticks]).filter(|_| ticks > 0)?;
    Some(ticks + end + ticks)
}

/// The link at the start of a text: its label, its target, and the text after it.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let (label, after) = text.strip_prefix('[')?.split_once(']')?;
    let (target, after) = after.strip_prefix('(')?.split_once(')')?;
    let is_link = !label.contains('[') && !label.contains("\n\n") && !target.contains([' ', '\n']);
    is_link.then_some((label, target, after))
}

/// The text shown for a link: its label and, unless the label already says it, its target.
fn shown(label: &str, target: &str, folder: &str) -> String {
    if target.contains("://") {
        return if target.ends_with(label) { target.to_owned() } else { format!("{label} ({target})") };
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = resolved(path, folder);
    let name = path.rsplit('/').next().unwrap_or_default();
    let says_it = label == path || label == name || label.trim_end_matches('/') == path;
    match PAGES.iter().find(|page| page.file == path) {
        _ if target.starts_with('#') => label.to_owned(),
        Some(page) => {
            let section = section(page, anchor).filter(|title| !title.eq_ignore_ascii_case(label));
            let section = section.map_or_else(String::new, |title| format!(", \"{title}\""));
            match page.topic {
                topic if says_it || label == topic => format!("{PROGRAM} help {topic}{section}"),
                topic => format!("{label} (help {topic}{section})"),
            }
        }
        None if says_it => path,
        None => format!("{label} ({path})"),
    }
}

/// The title of the section of a page that an anchor refers to.
fn section(page: &Page, anchor: &str) -> Option<&'static str> {
    let is_meant = |title: &&str| {
        let kept = title.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
        kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase() == anchor
    };
    page.text.lines().filter_map(|line| line.trim_start_matches('#').strip_prefix(' ')).find(is_meant)
}

/// A path that a page names, as seen from the top of the repository.
fn resolved(path: &str, folder: &str) -> String {
    let mut words: Vec<&str> = folder.split('/').filter(|word| !word.is_empty()).collect();
    for word in path.split('/') {
        match word {
            ".." => drop(words.pop()),
            "" | "." => {}
            word => words.push(word),
        }
    }
    words.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &'static str) -> String {
        plain(&Page { file: "docs/guide.md", text, ..PAGES[0] })
    }

    /// Promise: a link names a topic, an address, or a file, and says nothing twice.
    #[test]
    fn links_say_where_they_lead() {
        for (text, expected) in [
            ("see [tasklist.md](tasklist.md#lines-and-ids).", "see taskfarmer-mpi help tasklist, \"Lines and IDs\"."),
            ("[Python\nclasses](handlers.md#product)", "Python\nclasses (help handlers, \"product\")"),
            ("[damage](workdir.md#damage)", "damage (help workdir)"),
            ("[above](#here), [README](../README.md#install)", "above, README (help readme, \"Install\")"),
            ("[ui.perfetto.dev](https://ui.perfetto.dev)", "https://ui.perfetto.dev"),
            ("[Perfetto](https://ui.perfetto.dev)", "Perfetto (https://ui.perfetto.dev)"),
            ("[run.sbatch](../slurm/run.sbatch), [slurm/](../slurm)", "slurm/run.sbatch, slurm"),
            ("[protocol](protocol.md) ![slots](img/s.svg)", "protocol (docs/protocol.md) slots (docs/img/s.svg)"),
            ("[OPTIONS] [`basic`](#basic) `[a](b)` ``[`](b)`` a[0] `", "[OPTIONS] `basic` `[a](b)` ``[`](b)`` a[0] `"),
        ] {
            assert_eq!(rendered(text).trim_end_matches('\n'), expected, "{text}");
        }
    }

    /// Promise: code stays as it is, to be pasted; comments for the tests are not shown.
    #[test]
    fn code_stays_and_comments_go() {
        let text = "# A\n\n<!-- not run: why -->\n```sh\necho '[a](b)'\n<!-- kept -->\n```\n\n[b](#b)\n";
        assert_eq!(rendered(text), "# A\n\n```sh\necho '[a](b)'\n<!-- kept -->\n```\n\nb\n");
    }

    /// Promise: every page is printed completely, without links that cannot be followed in a terminal.
    #[test]
    fn pages_have_no_links_left() {
        for page in PAGES {
            let text = plain(page);
            assert!(text.lines().count() * 10 > page.text.lines().count() * 9, "{}", page.topic);
            assert!(!text.contains("]("), "{}", page.topic);
            assert!(!text.contains("<!-- "), "{}", page.topic);
        }
    }
}
