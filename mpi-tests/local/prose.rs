//! The prose that people read has none of the phrases that docs/style.md replaces.
//!
//! Owns the search. The phrases are in the table of that page and nowhere else, so page and test cannot disagree.

mod literals;

use std::fs;
use std::path::Path;

use crate::support::Farm;
use crate::support::farm::collect;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Title of the section whose table lists the phrases.
const SECTION: &str = "\n## Phrases that the test refuses\n";

/// A word, a number or a punctuation character, in lower case, and its line.
type Word = (String, usize);

/// A row of the table.
#[derive(Debug)]
struct Row {
    phrases: Vec<Vec<String>>,
    better: String,
    allowed: Vec<Vec<String>>,
}

/// The rows of the page.
fn rows() -> Vec<Row> {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/style.md")).unwrap();
    let (_, section) = page.split_once(SECTION).expect("the section with the table");
    let table = section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let row = |line: &str| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [phrases, better, allowed] = cells[..] else { panic!("three cells: {line}") };
        let spans = |cell: &str| cell.split('`').skip(1).step_by(2).map(phrase).collect::<Vec<_>>();
        Row { phrases: spans(phrases), better: better.to_owned(), allowed: spans(allowed) }
    };
    table.skip(2).map(row).collect()
}

/// The words of a phrase. The number that stands for any keeps its capital.
fn phrase(text: &str) -> Vec<String> {
    let is_any = |word: &str| if word == "N" { "N".to_owned() } else { word.to_lowercase() };
    text.split(' ').map(is_any).collect()
}

/// Whether the phrase is at this place.
fn is_at(words: &[Word], place: usize, phrase: &[String]) -> bool {
    let Some(found) = words.get(place..place + phrase.len()) else { return false };
    found.iter().zip(phrase).all(|((word, _), wanted)| match wanted.as_str() {
        "N" => word.starts_with(|first: char| first.is_ascii_digit()),
        wanted => word == wanted,
    })
}

/// Whether a longer phrase that is allowed includes the one at this place.
fn is_allowed(words: &[Word], place: usize, phrase: &[String], allowed: &[Vec<String>]) -> bool {
    allowed.iter().any(|longer| {
        let offsets = longer.windows(phrase.len()).enumerate().filter(|(_, window)| *window == phrase);
        offsets.map(|(offset, _)| offset).any(|offset| offset <= place && is_at(words, place - offset, longer))
    })
}

/// What a text has that the page replaces: one line for each, with the better wording.
fn findings(name: &str, words: &[Word], rows: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    for (place, (_, line)) in words.iter().enumerate() {
        for row in rows {
            for phrase in row.phrases.iter().filter(|phrase| is_at(words, place, phrase)) {
                if !is_allowed(words, place, phrase, &row.allowed) {
                    found.push(format!("{name}:{line}: \"{}\": write: {}", phrase.join(" "), row.better));
                }
            }
        }
    }
    found
}

/// Appends the words of a text that begins in this line.
fn split(text: &str, mut line: usize, words: &mut Vec<Word>) {
    let mut word = String::new();
    for c in text.chars().chain(['\n']) {
        if c.is_alphanumeric() || (matches!(c, '-' | '\'') && !word.is_empty()) {
            word.extend(c.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            words.push((std::mem::take(&mut word), line));
        }
        if !c.is_whitespace() && !matches!(c, '*' | '_') {
            words.push((c.to_string(), line));
        }
        line += usize::from(c == '\n');
    }
}

/// The words of a page, without blocks and spans of code, comments, and targets of links.
fn words_of_markdown(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    // The closing mark of what is left out, if it is still open: a span may continue in the next line.
    let mut open: Option<&str> = None;
    for (number, line) in (1..).zip(text.lines()) {
        if line.starts_with("```") {
            open = if open == Some("```") { None } else { Some("```") };
            continue;
        }
        if open == Some("```") {
            continue;
        }
        assert!(!line.is_empty() || matches!(open, None | Some("-->")), "line {number}: {open:?} is missing before it");
        let mut rest = line;
        loop {
            if let Some(mark) = open {
                let Some((_, after)) = rest.split_once(mark) else { break };
                words.push(("`".to_owned(), number));
                (open, rest) = (None, after);
            }
            let starts = [("``", "``"), ("`", "`"), ("<!--", "-->"), ("](", ")"), ("<", ">")];
            let next = starts.iter().filter_map(|(start, end)| rest.find(start).map(|at| (at, start.len(), *end)));
            // The longest mark at the first place: `<!--` is more than `<`.
            let Some((at, length, end)) = next.min_by_key(|(at, length, _)| (*at, usize::MAX - length)) else {
                split(rest, number, &mut words);
                break;
            };
            split(&rest[..at], number, &mut words);
            (open, rest) = (Some(end), &rest[at + length..]);
        }
    }
    words
}

/// Every file below a folder with this extension, by its path in the repository.
fn files(folder: &str, extension: &str) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    collect(&Path::new(ROOT).join(folder), &mut entries);
    let paths = entries.into_iter().map(|entry| entry.path);
    let paths = paths.filter(|path| path.extension().is_some_and(|found| found == extension));
    let mut files: Vec<_> = paths
        .map(|path| {
            let name = path.strip_prefix(ROOT).unwrap_or(&path).to_string_lossy().into_owned();
            let text = fs::read_to_string(Path::new(ROOT).join(&path)).unwrap();
            (name, text)
        })
        .collect();
    files.sort();
    files
}

/// Promise: no page has a phrase that docs/style.md replaces.
#[test]
fn pages_are_in_plain_english() {
    let mut pages = files("docs", "md");
    assert!(pages.len() >= 16, "{}", pages.len());
    for name in ["README.md", "CHANGELOG.md"] {
        pages.push((name.to_owned(), fs::read_to_string(Path::new(ROOT).join(name)).unwrap()));
    }
    let rows = rows();
    let found = pages.iter().flat_map(|(name, text)| findings(name, &words_of_markdown(text), &rows));
    let found: Vec<_> = found.collect();
    assert!(found.is_empty(), "docs/style.md:\n{}", found.join("\n"));
}

/// Promise: no batch script has such a phrase, in comments or in what it prints.
#[test]
fn batch_scripts_are_in_plain_english() {
    let rows = rows();
    let mut found = Vec::new();
    for (name, text) in files("slurm", "sbatch") {
        let mut words = Vec::new();
        // A comment continues in the next line: its sign is not a word.
        for (number, line) in (1..).zip(text.lines()) {
            split(line.trim_start().trim_start_matches('#'), number, &mut words);
        }
        found.extend(findings(&name, &words, &rows));
    }
    assert!(found.is_empty(), "docs/style.md:\n{}", found.join("\n"));
}

/// Promise: neither has the help of the program and its subcommands.
#[test]
fn help_is_in_plain_english() {
    let rows = rows();
    let farm = Farm::local(b"");
    let mut found = Vec::new();
    for words in [&["--help"][..], &["status", "--help"], &["logs", "--help"]] {
        let help = farm.run_exactly(words).exits(0);
        let text = String::from_utf8(help.stdout.clone()).unwrap();
        assert!(text.contains("Usage: "), "{text}");
        found.extend(findings(&format!("taskfarmer-mpi {}", words.join(" ")), &words_of_markdown(&text), &rows));
    }
    assert!(found.is_empty(), "docs/style.md:\n{}", found.join("\n"));
}

/// Promise: neither have the messages of the program: the text literals of its source that have a space, outside of
/// tests.
#[test]
fn messages_are_in_plain_english() {
    let rows = rows();
    let (mut found, mut seen) = (Vec::new(), 0);
    for (name, text) in files("src", "rs") {
        let path = Path::new(&name);
        let is_test = path.components().any(|part| part.as_os_str() == "tests")
            || ["tests.rs", "fuzz.rs", "any.rs"].iter().any(|test| path.ends_with(test));
        if is_test {
            continue;
        }
        for (literal, line) in literals::of(&text).into_iter().filter(|(literal, _)| literal.contains(' ')) {
            let mut words = Vec::new();
            split(&literal, line, &mut words);
            found.extend(findings(&name, &words, &rows));
            seen += 1;
        }
    }
    assert!(seen >= 500, "only {seen} messages");
    assert!(found.is_empty(), "docs/style.md:\n{}", found.join("\n"));
}

/// Promise: a phrase is found across lines and in any case, and with its line; not in code, comments and targets of
/// links, and not in a longer phrase that is allowed.
#[test]
fn phrases_are_found_where_people_read_them() {
    let phrases = |texts: &[&str]| texts.iter().map(|text| phrase(text)).collect::<Vec<_>>();
    let rows = [
        Row { phrases: phrases(&["is no"]), better: "is not a".to_owned(), allowed: phrases(&["there is no"]) },
        Row { phrases: phrases(&["some N"]), better: "about N".to_owned(), allowed: Vec::new() },
    ];
    let look = |text: &str| findings("page", &words_of_markdown(text), &rows);
    assert_eq!(look("A file\nthat Is\nno folder"), ["page:2: \"is no\": write: is not a"]);
    assert_eq!(look("*some* 1,000 tasks, `code` is **no** task").len(), 2);
    for text in [
        "```sh\nis no\n```",
        "`is no`, and `a\nis no`",
        "<!-- is no -->",
        "[x](is no)",
        "There\nis no rank",
        "that is. No rank",
        "this nor is none",
        "some of them, 3",
    ] {
        assert!(look(text).is_empty(), "{text}");
    }
    let real = self::rows();
    assert!(real.len() >= 25 && real.iter().all(|row| !row.phrases.is_empty() && !row.better.is_empty()), "{real:#?}");
}
