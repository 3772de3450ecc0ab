//! The commands of the documentation, to be run as a reader would type them.
//!
//! A block ```` ```sh ```` is run by the local tests. A comment in the line before it says otherwise:
//! `<!-- run: mpirun -->` and `<!-- run: slurm -->` leave it to the tests with ranks and to those on Slurm, and
//! `<!-- not run: why -->` to no test.

use std::ffi::OsStr;
use std::path::Path;

use super::{Farm, Outcome, program};

/// Which tests run a block.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum By {
    Local,
    Mpirun,
    Slurm,
    /// Why no test does.
    Nobody(String),
}

/// Some lines for a shell.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) by: By,
    /// Where it begins: file and line.
    pub(crate) place: String,
    pub(crate) lines: Vec<String>,
}

/// The blocks of a document.
#[track_caller]
pub(crate) fn blocks(document: &str) -> Vec<Block> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let mut blocks: Vec<Block> = Vec::new();
    let (mut before, mut inside) = ("", false);
    for (number, line) in (1..).zip(text.lines()) {
        if inside && line != "```" {
            blocks.last_mut().unwrap().lines.push(line.to_owned());
        } else if inside {
            inside = false;
        } else if line == "```sh" {
            let mark = before.strip_prefix("<!-- ").and_then(|mark| mark.strip_suffix(" -->"));
            let by = match mark.map(|mark| mark.split_once("run: ").expect("run: or not run:")) {
                None => By::Local,
                Some(("not ", why)) => By::Nobody(why.to_owned()),
                Some(("", "mpirun")) => By::Mpirun,
                Some(("", "slurm")) => By::Slurm,
                other => panic!("{document}:{number}: {other:?}"),
            };
            blocks.push(Block { by, place: format!("{document}:{}", number + 1), lines: Vec::new() });
            inside = true;
        }
        before = line;
    }
    assert!(!blocks.is_empty(), "{document} has no commands");
    blocks
}

/// The blocks of a document that these tests run.
#[track_caller]
pub(crate) fn blocks_by(by: &By, document: &str) -> Vec<Block> {
    let blocks: Vec<Block> = blocks(document).into_iter().filter(|block| block.by == *by).collect();
    assert!(!blocks.is_empty(), "{document} has no commands for {by:?}");
    blocks
}

/// Runs blocks one after the other in one shell, in the farm's folder and with the program in PATH. Every command must
/// exit with 0, except for one that is followed by `echo $?   # N`: that must exit with N. `# Ctrl-C` after a command
/// is sent after a second.
#[track_caller]
pub(crate) fn run(farm: &mut Farm, blocks: &[Block]) -> Outcome {
    let folder = Path::new(program()).parent().unwrap().to_str().unwrap();
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    farm.set("PATH", &path);
    let mut script =
        "failures=$PWD/../failures\ntrap 'printf \"%s\\t%s\\n\" \"$BASH_COMMAND\" $? >> \"$failures\"' ERR\n"
            .to_owned();
    let mut expected = Vec::new();
    for block in blocks {
        script += &format!(": {}\n", block.place);
        for (line, next) in block.lines.iter().zip(block.lines.iter().skip(1).map(String::as_str).chain([""])) {
            let (command, comment) = line.split_once("  #").unwrap_or((line, ""));
            let command = command.trim();
            let interrupted = format!("timeout --preserve-status -s INT 1 {command}");
            let command = if comment.trim() == "Ctrl-C" { &interrupted } else { command };
            let code = next.strip_prefix("echo $?").and_then(|rest| rest.split_once('#'));
            let code = code.map(|(_, text)| text.trim().split(':').next().unwrap().to_owned());
            expected.extend(code.filter(|code| code != "0").map(|code| format!("{command}\t{code}")));
            script += if comment.is_empty() { line } else { command };
            script.push('\n');
        }
    }
    farm.write("../script", script.as_bytes());
    let outcome = farm.start_other(&["bash", "../script"].map(OsStr::new)).wait();
    let failures = String::from_utf8(std::fs::read(farm.path("../failures")).unwrap_or_default()).unwrap();
    assert_eq!(failures.lines().collect::<Vec<_>>(), expected, "commands that did not exit with 0:\n{script}");
    outcome
}
