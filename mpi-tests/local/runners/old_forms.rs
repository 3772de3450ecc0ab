//! Texts from before runners had the language of handlers.

use super::{put_programs, take_starts};
use crate::support::Farm;

const PAGE: &str = include_str!("../../../docs/runners.md");

/// Rows of the table of old forms: where, the old form, the new one.
fn rows() -> Vec<[String; 3]> {
    let (_, section) = PAGE.split_once("### Old forms\n").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = |row: &str| {
        let mut cells = row.split('|').skip(1).map(|cell| cell.trim().trim_matches('`').to_owned());
        [(); 3].map(|()| cells.next().unwrap())
    };
    rows.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// A farm with this text, what its tasks wrote, and what it said.
fn run(place: &str, text: &str) -> (Vec<(String, Vec<u8>)>, String) {
    let keys = match place {
        "command, with a shell" => format!("Runner = template\nshell = bash\ncommand = {text}\n"),
        "command, without a shell" => format!("Runner = template\ncommand = {text}\n"),
        "env.NAME, cwd, volumes" => format!("Runner = basic\nenv.NAME = {text}\n"),
        other => panic!("no test for {other}"),
    };
    let farm = Farm::local(b"echo $NAME; echo a\n./no-such-program\n");
    farm.write("r.ini", format!("[r]\n{keys}").as_bytes());
    let outcome = farm.run(&["--runner", "r"]).exits(1);
    assert_eq!(farm.workdir().finished().into_keys().collect::<Vec<_>>(), [0], "{text}");
    let mut files: Vec<_> = std::fs::read_dir(farm.cwd())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("out"))
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files.extend([0, 1].map(|id| (format!("log {id}"), farm.workdir().log(id))));
    (files, outcome.stderr_text())
}

/// Promise: each old form that docs/runners.md lists does what its new form does, and a warning gives the new form with
/// file, line and key. The new form causes no warning.
#[test]
fn old_forms_work_and_the_warning_gives_the_new_one() {
    let rows = rows();
    assert!(rows.len() >= 6, "{rows:?}");
    for [place, old, new] in rows {
        let (by_old, told) = run(&place, &old);
        let key = if place.starts_with("env.NAME") { "env.NAME" } else { "command" };
        assert!(told.contains(&format!("[r]: {key}: an old form, which still works\n")), "{old}: {told}");
        assert!(told.contains("r.ini:") && told.contains(&format!("  write: {new}\n")), "{old}: {told}");
        let (by_new, told) = run(&place, &new);
        assert_eq!(by_old, by_new, "{old} and {new}");
        assert!(!told.contains("an old form"), "{new}: {told}");
    }
}

/// Promise: a text means what it meant before there was one language, even if bash would do something else with the
/// same text in a handler.
#[test]
fn old_forms_mean_what_they_meant() {
    for (place, text, output) in [
        ("command, with a shell", "{{ echo {{a,b}} \"{id}\"; {run}; }}", &b"a b 0\n\na\n"[..]),
        ("command, with a shell", "x{id}=y; echo $x{id}; {run}", b"y\n\na\n"),
        ("command, without a shell", "sh -c 'echo {{}} {{{id}}}; eval {task:q}'", b"{} {0}\n\na\n"),
        ("env.NAME, cwd, volumes", "{{id}} {{{id}}} {{ }}", b"{id} {0} { }\na\n"),
    ] {
        let (files, _) = run(place, text);
        let log = &files.iter().find(|(name, _)| name == "log 0").unwrap().1;
        assert_eq!(String::from_utf8_lossy(log), String::from_utf8_lossy(output), "{text}");
    }
}

/// Promise: no warning for what means the same in both languages, nor for PyTaskFarmer's keys, which have no fields.
#[test]
fn nothing_else_is_reported() {
    for (place, text) in [
        ("command, with a shell", "(echo {id} $HOME ${{HOME}} {workdir:q}) >out_{id}; {run} >>out_{id} # {id}"),
        ("command, without a shell", "sh -c 'echo {{id}} {id}; eval {task:q}' \"{id}\""),
        ("env.NAME, cwd, volumes", "{{id}} {id} x_{id}>y"),
    ] {
        let (_, told) = run(place, text);
        assert!(!told.contains("an old form"), "{text}: {told}");
    }
    let mut farm = Farm::local(b"echo \"$X\"\n");
    put_programs(&mut farm, &["shifter"]);
    let keys = "image = i{{}}:{id}\nvolumes = /{{a}}:/b\nmodules = m{{}}\nsetup = X='{{ \"{id}\" }}'\ntempdir = True\n";
    farm.write("r.ini", format!("[r]\nRunner = taskfarmer.runners.ShifterRunner\n{keys}").as_bytes());
    let outcome = farm.run(&["--runner", "r"]).exits(0);
    assert!(!outcome.stderr_text().contains("r.ini"), "{}", outcome.stderr_text());
    assert_eq!(farm.workdir().log(0), b"{{ \"{id}\" }}\n");
    let argv = &take_starts(&farm)[0].argv;
    assert_eq!((&*argv[2], &*argv[4], &*argv[5]), ("i{{}}:{id}", "-V/{{a}}:/b", "-mm{{}}"));
}
