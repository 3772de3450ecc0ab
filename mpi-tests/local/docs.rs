//! Every command in README.md and in the guide, typed as it stands there; that the documents name everything, that their
//! links lead somewhere, and that the program has them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::Farm;
use crate::support::documents::{By, blocks_by, run};
use crate::support::farm::collect;
use crate::support::links::{Document, resolved};

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Promise: what README.md says can be typed runs on any machine: its list, a run, a look at it, and its logs.
#[test]
fn commands_of_the_readme() {
    // No programs are made for it, as a reader has none.
    let mut farm = Farm::local(b"").time_limit(240);
    let blocks = blocks_by(&By::Local, "README.md");
    assert!(blocks.len() >= 4, "{blocks:#?}");
    let outcome = run(&mut farm, &blocks).exits(0);
    assert_eq!(outcome.summary(), [100, 0, 0]);
    assert!(String::from_utf8_lossy(&outcome.stdout).contains("100 finished, 0 failed, 0 remaining"));
    for number in [1, 100] {
        let size = String::from_utf8(farm.read(&format!("size_{number}.txt"))).unwrap();
        assert!(size.trim().parse::<u64>().is_ok_and(|bytes| bytes > 1000), "task {number} wrote {size:?}");
    }
}

/// The commands of the guide, from the first list to a run that was stopped and resumed.
#[test]
fn commands_of_the_guide() {
    // No programs are provided, because a reader has none: the guide creates what it runs.
    let mut farm = Farm::local(b"").time_limit(240);
    let blocks = blocks_by(&By::Local, "docs/guide.md");
    assert!(blocks.len() >= 8, "{blocks:#?}");
    assert!(blocks[0].lines[0].contains("mkdir farm"), "the guide begins in a folder of its own");
    let outcome = run(&mut farm, &blocks).exits(0);
    let text = outcome.stderr_text();
    assert!(text.contains("stopping: SIGINT on rank 0"), "Ctrl-C stopped it");
    let whole = text.matches("200 finished, 0 failed, 0 remaining").count();
    assert_eq!(whole, 3, "the first list, the same after the stop, and the sweep, which also has 200");
    let results = std::fs::read_dir(farm.path("farm"))
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("result_"));
    assert_eq!(results.count(), 200);
    assert_eq!(farm.read("farm/tasks.txt_workdir/logs/log_17"), b"seed 18\n", "as the guide says");
    let printed = String::from_utf8_lossy(&outcome.stdout);
    assert_eq!(printed.lines().filter(|line| *line == "seed 18").count(), 2, "by cat and by logs:\n{printed}");
}

/// The commands of the page for users of other farmers.
#[test]
fn commands_for_newcomers() {
    let mut farm = Farm::local(b"").time_limit(240);
    let outcome = run(&mut farm, &blocks_by(&By::Local, "docs/moving.md")).exits(0);
    assert_eq!(outcome.stdout, b"==> task 0: exit 0 <==\na\n==> task 1: exit 0 <==\nb\n==> task 2: exit 0 <==\nc\n");
}

/// Promise: what the index and the cheat sheet show can be pasted, from top to bottom.
#[test]
fn commands_of_index_and_cheat_sheet() {
    let mut farm = Farm::local(b"");
    let outcome = run(&mut farm, &blocks_by(&By::Local, "docs/index.md")).exits(0);
    assert!(String::from_utf8_lossy(&outcome.stdout).ends_with("\nhello from task 1\n"));

    let mut farm = Farm::local(b"");
    let blocks = blocks_by(&By::Local, "docs/cheatsheet.md");
    assert!(blocks.len() >= 5, "{blocks:#?}");
    let outcome = run(&mut farm, &blocks).exits(0);
    let printed = String::from_utf8_lossy(&outcome.stdout);
    assert!(printed.contains("==> task 0: exit 0 <==\nsample a\n==> task 1: exit 0 <==\nsample b\n"), "{printed}");
    let whole = outcome.stderr_text().matches(" 0 failed, 0 remaining").count();
    assert_eq!(whole, 6, "all runs but the one with a task that fails");
    let page = std::fs::read_to_string(Path::new(PROJECT).join("docs/cheatsheet.md")).unwrap();
    assert!(page.lines().count() <= 70, "one page");
}

/// The Markdown files of the project that users and developers read, from the top of the project.
fn documents() -> BTreeMap<PathBuf, Document> {
    let project = Path::new(PROJECT);
    let mut entries = Vec::new();
    ["docs", "slurm"].iter().for_each(|folder| collect(&project.join(folder), &mut entries));
    let paths = entries.into_iter().map(|entry| entry.path);
    let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let paths = paths.chain(["README.md", "CHANGELOG.md"].map(|name| project.join(name)));
    let read = |path: PathBuf| {
        let document = Document::parse(&std::fs::read_to_string(&path).unwrap());
        (path.strip_prefix(project).unwrap().to_owned(), document)
    };
    paths.map(read).collect()
}

/// Promise: every link between files of the project leads to a file that is there, and its anchor to a heading.
#[test]
fn every_link_leads_somewhere() {
    let documents = documents();
    let (mut dead, mut count) = (Vec::new(), 0);
    for (path, document) in &documents {
        for (line, target) in &document.links {
            let Some((file, anchor)) = resolved(target, path) else { continue };
            count += 1;
            let has = |anchor: &String| documents.get(&file).is_some_and(|found| found.anchors.contains(anchor));
            if !Path::new(PROJECT).join(&file).exists() || !anchor.as_ref().is_none_or(has) {
                dead.push(format!("{}:{line}: {target}", path.display()));
            }
        }
    }
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
    assert!(count > 250, "{count} links are too few: are they recognized?");
}

/// Promise: the table of contents, which the site is made from, has every page once.
#[test]
fn the_table_of_contents_is_complete() {
    let mut documents = documents();
    let summary = Path::new("docs/SUMMARY.md");
    let links = documents.remove(summary).unwrap().links;
    let listed: Vec<PathBuf> = links.iter().map(|(_, target)| resolved(target, summary).unwrap().0).collect();
    assert_eq!(listed.iter().collect::<BTreeSet<_>>(), documents.keys().collect());
    assert_eq!(listed.len(), documents.len(), "no page twice");
}

/// Promise: every page for users is a topic of `help`, so that an installed program has it.
#[test]
fn every_page_is_a_topic() {
    let farm = Farm::local(b"");
    let topics = farm.run_exactly(&["help", "help"]).exits(0);
    let topics = String::from_utf8_lossy(&topics.stdout).into_owned();
    let mut pages = 0;
    for entry in std::fs::read_dir(Path::new(PROJECT).join("docs")).unwrap() {
        let path = entry.unwrap().path();
        let topic = path.file_stem().unwrap().to_str().unwrap();
        let is_page = path.extension().is_some_and(|extension| extension == "md");
        if !is_page || ["SUMMARY", "architecture", "protocol", "simulation", "style"].contains(&topic) {
            continue;
        }
        let page = farm.run_exactly(&["help", topic]).exits(0);
        let title = std::fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
        assert!(String::from_utf8_lossy(&page.stdout).contains(&format!("{title}\n")), "{topic}");
        assert!(topics.contains(&format!("\n  {topic} ")), "{topic} in:\n{topics}");
        pages += 1;
    }
    assert!(pages >= 15);
}

/// Promise: the paths of a task and of a Ctrl-C through the code, in docs/architecture.md, name functions that exist.
#[test]
fn steps_name_functions() {
    let text = std::fs::read_to_string(Path::new(PROJECT).join("docs/architecture.md")).unwrap();
    let mut count = 0;
    for cell in text.lines().filter(|line| line.starts_with('|')).flat_map(|line| line.split('|')) {
        // Further functions in a cell are of the file that was named last.
        let mut file = None;
        for code in cell.split('`').skip(1).step_by(2) {
            let function = match code.split_once(": ") {
                Some((name, function)) if name.ends_with(".rs") => {
                    file = Some(std::fs::read_to_string(Path::new(PROJECT).join("src").join(name)).unwrap());
                    function
                }
                _ => code,
            };
            let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit();
            if let Some(source) = file.as_ref().filter(|_| function.chars().all(is_name)) {
                let exists = ["(", "<"].iter().any(|next| source.contains(&format!("fn {function}{next}")));
                assert!(exists, "{code}, in {cell}");
                count += 1;
            }
        }
    }
    assert!(count >= 25, "{count}");
}

/// Promise: a message that refers to the documentation names a topic of `help`, not a file that an installed program does
/// not have.
#[test]
fn messages_name_topics() {
    let farm = Farm::local(b"");
    let mut entries = Vec::new();
    collect(&Path::new(PROJECT).join("src"), &mut entries);
    let mut named = BTreeSet::new();
    for entry in entries.iter().filter(|entry| entry.path.extension().is_some_and(|extension| extension == "rs")) {
        let text = std::fs::read_to_string(&entry.path).unwrap();
        let is_code = |line: &&str| !line.trim_start().starts_with("//") && !line.contains("include_str!");
        let lines: Vec<&str> = text.lines().filter(is_code).map(|line| line.trim().trim_end_matches('\\')).collect();
        let text = lines.concat();
        if !entry.path.ends_with("cli/pages.rs") && !entry.path.ends_with("help/plain.rs") {
            assert!(!text.contains(".md"), "{}: a message names a Markdown file", entry.path.display());
        }
        let words = text.split("taskfarmer-mpi help ").skip(1);
        let word = |rest: &str| {
            rest.split(|letter: char| !letter.is_ascii_lowercase() && letter != '-').next().unwrap().to_owned()
        };
        named.extend(words.map(word).filter(|word| !word.is_empty()));
    }
    for topic in ["handlers", "runners", "signals", "workdir"] {
        assert!(named.contains(topic), "{topic} in {named:?}");
    }
    for topic in named {
        farm.run_exactly(&["help", &topic]).exits(0);
    }
}

/// Promise: every option of `--help` is in docs/options.md or on the page of its subcommand, and every file of a workdir
/// in docs/workdir.md.
#[test]
fn documents_name_every_option_and_every_file() {
    let document = |name: &str| std::fs::read_to_string(format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let farm = Farm::local(b"true\nfalse\n");
    for (words, document) in [
        (&["--help"][..], document("docs/options.md")),
        (&["status", "--help"], document("docs/status.md") + &document("docs/options.md")),
    ] {
        let help = farm.run_exactly(words).exits(0);
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let lines = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let options: Vec<&str> =
            lines.filter_map(|line| line.split([' ', ',', '[']).find(|word| word.starts_with("--"))).collect();
        assert!(options.len() >= 5, "{help}");
        for option in options {
            let option = option.trim_end_matches("...");
            assert!(document.contains(&format!("`{option}")) || document.contains(&format!(", `{option}")), "{option}");
        }
    }
    farm.run(&[]).exits(1);
    let page = document("docs/workdir.md");
    for entry in std::fs::read_dir(farm.workdir().path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(page.contains(&format!("| `{name}")), "{name} in docs/workdir.md");
    }
}

/// The names of test files and functions in docs/architecture.md, promise by promise, refer to existing tests.
#[test]
fn every_promise_names_its_tests() {
    let root = Path::new(PROJECT);
    let mut entries = Vec::new();
    ["src", "mpi-tests"].iter().for_each(|folder| collect(&root.join(folder), &mut entries));
    let sources: Vec<(String, String)> = entries
        .into_iter()
        .filter(|entry| entry.path.extension().is_some_and(|extension| extension == "rs"))
        .map(|entry| {
            let path = entry.path.with_extension("").to_string_lossy().into_owned();
            (path, String::from_utf8(std::fs::read(&entry.path).unwrap()).unwrap())
        })
        .collect();
    let page = std::fs::read_to_string(root.join("docs/architecture.md")).unwrap();
    let (_, promises) = page.split_once("\n## Promises\n").expect("the last section");
    let mut numbered = promises.split("\n1. ").nth(1).expect("a list").to_owned();
    for number in 2..=9 {
        let (one, rest) = numbered.split_once(&format!("\n{number}. ")).expect("nine promises");
        assert!(one.contains("Tests:") || one.contains("measured, not tested"), "a promise without tests: {one}");
        numbered = rest.to_owned();
    }
    let names = promises.split('`').skip(1).step_by(2).filter_map(|name| name.split_once("::"));
    for (file, function) in names {
        let is_in = |path: &str| path.ends_with(&format!("/{file}")) || path.contains(&format!("/{file}/"));
        let wanted = if function == "*" { "#[test]".to_owned() } else { format!("fn {function}(") };
        let found = sources.iter().any(|(path, text)| is_in(path) && text.contains(&wanted));
        assert!(found, "there is no test {file}::{function}");
    }
}
