//! Where runners are defined, and the messages if there is none.

use crate::support::Farm;

use super::put;

/// The current folder takes precedence over the user's own, and that over PyTaskFarmer's; `--list-runners` shows which
/// counts.
#[test]
fn the_nearest_definition_counts() {
    let farm = Farm::local(b"echo $WHERE\n");
    let define = |place: &str, names: &[&str]| -> String {
        names.iter().map(|name| format!("[{name}]\nRunner = basic\nenv.WHERE = {place}\n\n")).collect()
    };
    put(&farm, ".pytaskfarmer/runners.d/a.ini", define("first", &["x", "y", "z"]).as_bytes(), 0o644);
    put(&farm, ".config/taskfarmer/a.ini", define("second", &["x", "y"]).as_bytes(), 0o644);
    farm.write("a.ini", define("third", &["x"]).as_bytes());
    farm.write("b.ini", b"[other]\nkey = value\n[h]\nTaskList = list\n[s]\nRunner: taskfarmer.runners.ShifterRunner\n");
    for (name, place) in [("x", "third"), ("y", "second"), ("z", "first")] {
        let workdir = format!("w{name}");
        farm.run(&["--runner", name, "--workdir", &workdir]).exits(0);
        assert_eq!(farm.read(&format!("{workdir}/logs/log_0")), format!("{place}\n").as_bytes());
    }
    let before = farm.everything();
    let listed = farm.run_exactly(&["--list-runners"]).exits(0);
    let lines: Vec<Vec<String>> = String::from_utf8(listed.stdout.clone())
        .unwrap()
        .lines()
        .map(|line| line.replace(farm.home().to_str().unwrap(), "~").split_whitespace().map(str::to_owned).collect())
        .collect();
    let expected = [
        "default basic built in",
        "z basic ~/.pytaskfarmer/runners.d/a.ini:9",
        "y basic ~/.config/taskfarmer/a.ini:5",
        "x basic a.ini:1",
        "s shifter b.ini:5",
    ];
    assert_eq!(lines, expected.map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!(farm.everything(), before);
}

/// Unrelated INI files in the current folder, however odd, have no effect.
#[test]
fn foreign_ini_files_do_not_matter() {
    let farm = Farm::local(b"echo a\n");
    farm.write("php.ini", b"; about this file\nengine = On\n[default]\nx = 1\n[default]\n");
    farm.write("desktop.ini", b"\xff\xfe[\0.\0S\0h\0e\0l\0l\0");
    farm.write("junk.ini", &(0..=255).collect::<Vec<u8>>().repeat(100));
    std::fs::create_dir(farm.path("folder.ini")).unwrap();
    let outcome = farm.run(&[]).exits(0);
    assert_eq!(outcome.errors(), [""; 0]);
    assert!(!outcome.stderr_text().contains(".ini"), "{}", outcome.stderr_text());
}

/// A runner that is missing or invalid: one error with file, line, section, key and a suggestion; nothing is created.
#[test]
fn mistakes_are_named_before_anything_starts() {
    let farm = Farm::local(b"echo a\n");
    farm.write("junk.ini", b"no section\n");
    farm.write("half.ini", b"[half]\nRunner = basic\nno delimiter\n");
    farm.write(
        "mine.ini",
        b"[reco]\nRunner = shifter\nimgae = x\n\n[kind]\nRunner = shiftre\n\n[percent]\nRunner = basic\nenv.A = 50%\n",
    );
    let before = farm.everything();
    for (name, words) in [
        (
            "rceo",
            &[
                "no runner 'rceo'",
                "did you mean 'reco'?",
                "the built-in runner is 'default'",
                "junk.ini",
                "--list-runners",
            ][..],
        ),
        ("reco", &["mine.ini:3: [reco]: imgae", "did you mean 'image'?"]),
        ("kind", &["mine.ini:6: [kind]: Runner", "did you mean 'shifter'?", "podman-hpc"]),
        ("percent", &["mine.ini:10: [percent]: env.A", "%%"]),
        ("half", &["half.ini:3: [half]", "'half'"]),
    ] {
        farm.run(&["--runner", name]).refused(words);
        farm.run(&["--dry-run", "--runner", name]).refused(words);
    }
    assert_eq!(farm.everything(), before);
}
