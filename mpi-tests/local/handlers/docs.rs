//! The examples in docs/handlers.md: each gives what the page says.

use crate::pytaskfarmer::pytaskfarmer;
use crate::support::Farm;

use super::prepend;

/// The folder in which the page assumes its user to be.
const HERE: &str = "/home/me/farm";

/// A fenced block: its language, its file's name, its text.
type Block<'a> = (&'a str, &'a str, String);

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(info) = line.strip_prefix("```") {
            let (language, name) = info.split_once(' ').unwrap_or((info, ""));
            let text = lines.by_ref().take_while(|line| *line != "```").map(|line| format!("{line}\n")).collect();
            blocks.push((language, name, text));
        }
    }
    blocks
}

/// Every file of the page is written, every command on it is run, and its output is compared.
#[test]
fn every_example_is_true() {
    let Some(program) = pytaskfarmer() else { return };
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/handlers.md")).unwrap();
    let mut farm = Farm::local(b"");
    prepend(&mut farm, "PATH", program.parent().unwrap());
    let mut runs = 0;
    for (language, name, text) in blocks(&page) {
        if !name.is_empty() {
            farm.write(name, text.as_bytes());
        } else if language == "console" {
            let (command, output) = text.split_once('\n').unwrap();
            let words: Vec<&str> = command.strip_prefix("$ taskfarmer-mpi ").expect(command).split(' ').collect();
            let outcome = farm.run_exactly(&words).exits(0);
            let printed = String::from_utf8(outcome.stdout.clone()).unwrap();
            assert_eq!(printed.replace(farm.cwd().to_str().unwrap(), HERE), output, "{command}");
            runs += 1;
        }
    }
    assert_eq!(runs, 8, "examples on the page");
    let listed = farm.run_exactly(&["--list-handlers"]).exits(0);
    let text = String::from_utf8(listed.stdout.clone()).unwrap();
    for line in ["default  ", "product  ", "convert  template", "digi ", "twice "] {
        assert!(text.lines().any(|listed| listed.starts_with(line)), "{line}:\n{text}");
    }
}
