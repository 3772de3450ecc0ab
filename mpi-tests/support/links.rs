//! Links and headings of Markdown documents.
//!
//! Owns how a heading becomes the anchor of a link, by GitHub's rules, and how links are found outside of code.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// A document: its links, and the anchors that others can name.
pub(crate) struct Document {
    /// Line and target.
    pub(crate) links: Vec<(usize, String)>,
    pub(crate) anchors: Vec<String>,
}

impl Document {
    pub(crate) fn parse(text: &str) -> Self {
        let (mut links, mut anchors, mut seen) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut is_code = false;
        for (number, line) in (1..).zip(text.lines()) {
            if line.starts_with("```") {
                is_code = !is_code;
            } else if !is_code {
                links.extend(targets(line).into_iter().map(|target| (number, target)));
                anchors.extend(heading(line).map(|title| unique(&anchor(title), &mut seen)));
            }
        }
        Self { links, anchors }
    }
}

/// What a link leads to: `None` for another site, else the file, from the top of the project, and the anchor.
pub(crate) fn resolved(target: &str, document: &Path) -> Option<(PathBuf, Option<String>)> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) =
        target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor.to_owned())));
    if path.is_empty() {
        return Some((document.to_owned(), anchor));
    }
    let mut file = PathBuf::new();
    for part in document.parent().unwrap().join(path).components() {
        match part {
            Component::ParentDir => assert!(file.pop(), "{target} leads out of the project"),
            Component::CurDir => {}
            part => file.push(part),
        }
    }
    Some((file, anchor))
}

/// Targets of the links that end in a line; their labels may have begun in the line before.
fn targets(line: &str) -> Vec<String> {
    let (mut targets, mut rest) = (Vec::new(), line);
    while let Some(at) = rest.find(['`', ']']) {
        let ticks = rest[at..].len() - rest[at..].trim_start_matches('`').len();
        let (skipped, after) = rest[at..].split_at(ticks.max(1));
        rest = after;
        if ticks > 0 {
            rest = rest.find(skipped).map_or(rest, |end| &rest[end + ticks..]);
        } else if let Some((target, after)) = rest.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
            targets.push(target.to_owned());
            rest = after;
        }
    }
    targets
}

fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#').strip_prefix(' ')?;
    line.starts_with('#').then_some(title.trim())
}

fn anchor(title: &str) -> String {
    let kept = title.chars().filter(|letter| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// The second heading of the same text gets `-1`, the third `-2`.
fn unique(anchor: &str, seen: &mut BTreeMap<String, u32>) -> String {
    let count = seen.entry(anchor.to_owned()).and_modify(|count| *count += 1).or_insert(0);
    if *count == 0 { anchor.to_owned() } else { format!("{anchor}-{count}") }
}
