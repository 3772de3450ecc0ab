//! INI files are read as Python's configparser reads them: the same files through both.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use taskfarmer::internals::{Kind, load_files};

use crate::support::Random;

/// Reads every file named on the command line as PyTaskFarmer does, and prints what it found: `null` for a file that it
/// refuses, otherwise for each definition its keys and values in order, or `null` if a value is refused.
const CONFIGPARSER: &str = r#"
import configparser, json, sys
def section(cfg, name):
    try:
        values = [[key, cfg[name][key]] for key in cfg[name]]
        return [pair for pair in values if pair[0] != 'Runner']
    except configparser.Error:
        return None
def read(path):
    cfg = configparser.ConfigParser()
    cfg.optionxform = str
    try:
        cfg.read(path, encoding='utf-8')
    except (configparser.Error, UnicodeDecodeError):
        return None
    return [[name, section(cfg, name)] for name in cfg.sections() if 'Runner' in cfg[name]]
json.dump([read(path) for path in sys.stdin.read().split('\0')], sys.stdout)
"#;

const FILES: u32 = 3000;

/// Pieces of which lines are made: everything that the rules mention, and what they might get wrong.
const PIECES: [&str; 34] = [
    "a", "key", "Key", "Runner", "x y", "é", "=", ":", " = ", " : ", "#", ";", " # no", "%%", "%(a)s", "%(key)s",
    "%(Key)s", "%", "%(", " ", "  ", "\t", "\u{a0}", "\u{85}", "\u{1c}", "\u{2028}", "\u{b}", "\u{feff}", "[", "]",
    "\"q\"", "'", "\\", "${x}",
];

fn line(random: &mut Random, number: u64) -> String {
    let piece = |random: &mut Random| random.pick(&PIECES);
    let key = random.pick(&["a", "b", "key", "Key", "a", "d e"]);
    match random.below(20) {
        0 => format!("[s{}]", random.below(4)),
        1 => random.pick(&["[DEFAULT]", "[a b]", "[x]y]z", "[ s ]", "[]"]).to_owned(),
        2 => "Runner = a.b".to_owned(),
        3 => format!("Runner: {}", piece(random)),
        4 | 5 => String::new(),
        6 => format!("{}# comment = {number}", random.pick(&["", "  ", "\t"])),
        7..=10 => {
            let value: String = (0..random.below(4)).map(|_| piece(random)).collect();
            format!("{}{value}", random.pick(&["  ", "    ", "\t", " "]))
        }
        11 => (0..random.below(5)).map(|_| piece(random)).collect(),
        // A unique key, so that not every second file ends at a duplicate.
        12..=15 => format!("{key}{number} = {}{}", piece(random), piece(random)),
        _ => {
            let value: String = (0..random.below(5)).map(|_| piece(random)).collect();
            let indentation = random.pick(&["", "", "", " ", "   "]);
            format!("{indentation}{key}{}{value}", random.pick(&["=", ":", " = ", " : "]))
        }
    }
}

fn file(random: &mut Random) -> String {
    let mut text = if random.below(20) == 0 { String::new() } else { "[s9]\n".to_owned() };
    for number in 0..random.below(14) {
        text.push_str(&line(random, number));
        text.push_str(random.pick(&["\n", "\n", "\n", "\r\n", "\r"]));
    }
    // The byte order mark of some editors is not text to this program; configparser stumbles over it.
    text.trim_start_matches('\u{feff}').to_owned()
}

/// This program's result for a file, in the format of the script above.
fn ours(path: PathBuf) -> Value {
    let catalog = load_files(Kind::Runners, vec![path]);
    if catalog.broken().next().is_some() {
        return Value::Null;
    }
    let section = |name: &str| match catalog.find(name) {
        Ok(section) => section.unwrap().keys.into_iter().map(|key| json!([key.name, key.value])).collect(),
        Err(_) => Value::Null,
    };
    catalog.list().into_iter().map(|listed| json!([listed.name, section(&listed.name)])).collect()
}

/// Thousands of files, from plain to absurd, are read as PyTaskFarmer reads them. `TASKFARMER_SEED` repeats them.
#[test]
fn files_mean_what_they_mean_to_configparser() {
    let folder = tempfile::tempdir().unwrap();
    let chosen = std::env::var("TASKFARMER_SEED").ok().and_then(|text| text.parse().ok());
    let seed = chosen.unwrap_or_else(Random::new_seed);
    let mut random = Random::new(seed);
    let mut paths = Vec::new();
    for number in 0..FILES {
        let path = folder.path().join(format!("{number}.ini"));
        std::fs::write(&path, file(&mut random)).unwrap();
        paths.push(path);
    }
    let theirs = configparser(&paths);
    let mut read = 0;
    for (path, theirs) in paths.into_iter().zip(theirs) {
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(ours(path), theirs, "seed {seed}, file {text:?}");
        read += usize::from(theirs.as_array().is_some_and(|sections| !sections.is_empty()));
    }
    assert!(read > 100, "only {read} files hold a definition that both read: the files are too absurd");
}

fn configparser(paths: &[PathBuf]) -> Vec<Value> {
    use std::io::Write;
    use std::process::Stdio;
    let mut python = Command::new("python3")
        .args(["-c", CONFIGPARSER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed to compare with");
    let names: Vec<_> = paths.iter().map(|path| path.to_str().unwrap()).collect();
    python.stdin.take().unwrap().write_all(names.join("\0").as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}
