//! Files that belong to other users, or that they can write, do no harm: INI files, modules, workdirs, and links in
//! workdirs.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use nix::sys::stat::Mode;
use nix::unistd::{geteuid, mkfifo};

use crate::support::{Farm, skipped};

/// A user who is neither the one who runs these tests nor root nor `nobody`.
const OTHER: u32 = 4_294_967;

/// Tasks and the list are run by a different program than they should be.
const RUNNER: &[u8] = b"[default]\nRunner = template\nshell = bash\ncommand = touch harmed; {run}\n";
const HANDLER: &[u8] = b"[default]\nTaskList = exec\ncommand = touch harmed; echo echo harmed\n";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Gives a file away, not through a link.
fn give(path: &Path, user: u32) {
    lchown(path, Some(user), None).unwrap();
}

fn is_root() -> bool {
    let is_root = geteuid().is_root();
    if !is_root {
        skipped("making files of other users needs root");
    }
    is_root
}

/// A run and a dry run in which the INI file has no effect; each says so, with these words.
#[track_caller]
fn is_ignored(farm: &Farm, what: &str, words: &[&str]) {
    for options in [&["--quiet"][..], &["--dry-run"]] {
        let said = farm.run(options).exits(0).stderr_text();
        for word in [&[&format!("defines the {what} 'default', and is ignored: ")[..]], words].concat() {
            assert!(said.contains(word), "{word:?} in:\n{said}");
        }
        assert_eq!(said.matches("is ignored").count(), 1, "{said}");
        assert!(!farm.path("harmed").exists(), "the file was used");
    }
    assert_eq!(farm.workdir().log(0), b"a task\n");
    fs::remove_dir_all(farm.workdir().path()).unwrap();
}

/// A run in which it is used, which is reported unless the user requests silence.
#[track_caller]
fn is_used(farm: &Farm, what: &str) {
    let said = farm.run(&[]).exits(0).stderr_text();
    let told = format!("x.ini:1 defines the {what} 'default': it is '");
    assert!(said.contains(&told) && !said.contains("ignored"), "{told:?} in:\n{said}");
    assert!(farm.path("harmed").exists());
    fs::remove_file(farm.path("harmed")).unwrap();
    assert_eq!(farm.run(&["--quiet"]).exits(0).stderr_text(), "");
    fs::remove_dir_all(farm.workdir().path()).unwrap();
    let _ = fs::remove_file(farm.path("harmed"));
}

/// An INI file in the current folder that any user can write, or could have put there, has no effect. The message gives
/// the reason and a remedy, which works. Unrelated files of that kind are not mentioned.
#[test]
fn ini_files_that_others_can_write_are_ignored() {
    for (what, text) in [("runner", RUNNER), ("tasklist handler", HANDLER)] {
        let farm = Farm::local(b"echo a task\n");
        set_mode(&farm.cwd(), 0o755);
        farm.write_with_mode("x.ini", 0o666, text);
        farm.write_with_mode("php.ini", 0o666, b"engine = On\n[default]\nx = 1\n");
        is_ignored(&farm, what, &["x.ini:1 ", "anybody can write it\n", "chmod go-w x.ini\n"]);
        assert_eq!(farm.bash(b"chmod go-w x.ini").0, 0);
        is_used(&farm, what);
        // A folder such as /tmp must remain open to others.
        for (mode, cure) in [(0o777, "chmod go-w .\n"), (0o1777, "copy it to ~/.config/taskfarmer\n")] {
            set_mode(&farm.cwd(), mode);
            is_ignored(&farm, what, &["x.ini:1 ", "anybody can write into its folder\n", cure]);
        }
        fs::create_dir_all(farm.home().join(".config/taskfarmer")).unwrap();
        assert_eq!(farm.bash(b"cp x.ini ~/.config/taskfarmer").0, 0, "the way that is named for files of others");
        is_used(&farm, what);
    }
}

/// A runner that only a file of others defines is not found; the error says where it is. Lists show what is ignored.
#[test]
fn ignored_definitions_are_shown() {
    let farm = Farm::local(b"echo a task\n");
    farm.write_with_mode("x.ini", 0o666, b"[reco]\nRunner = basic\n[h]\nTaskList = list\n");
    let ignored = ["there is no ", "x.ini:", "is ignored: anybody can write it", "chmod go-w x.ini"];
    farm.run(&["--runner", "reco"]).refused(&ignored);
    farm.run(&["--tasklist", "h"]).refused(&ignored);
    assert!(!farm.run(&[]).exits(0).stderr_text().contains("x.ini"), "it does not matter to this run");
    for (option, row) in [("--list-runners", "reco     basic  x.ini:1, ignored"), ("--list-handlers", "h  ")] {
        let listed = farm.run_exactly(&[option]).exits(0);
        let text = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(text.contains(row) && text.contains(", ignored\n"), "{text}");
        assert!(
            listed.stderr_text().contains("x.ini is ignored: anybody can write it\n  "),
            "{}",
            listed.stderr_text()
        );
    }
}

/// INI files of another user are ignored wherever they are, even through a link; root's are not, and under `sudo`
/// neither are those of the user who ran it.
#[test]
fn ini_files_of_another_user_are_ignored() {
    if !is_root() {
        return;
    }
    let mut farm = Farm::local(b"echo a task\n");
    let words = ["it belongs to user 4294967", "copy it to ~/.config/taskfarmer\n"];
    farm.write("x.ini", RUNNER);
    give(&farm.path("x.ini"), OTHER);
    is_ignored(&farm, "runner", &words);
    farm.set("SUDO_UID", &OTHER.to_string());
    is_used(&farm, "runner");
    farm.unset("SUDO_UID");
    fs::rename(farm.path("x.ini"), farm.home().join("theirs")).unwrap();
    symlink(farm.home().join("theirs"), farm.path("x.ini")).unwrap();
    is_ignored(&farm, "runner", &words);
    fs::remove_file(farm.path("x.ini")).unwrap();
    // Their folder, whoever wrote the file.
    farm.write("x.ini", RUNNER);
    give(&farm.cwd(), OTHER);
    is_ignored(&farm, "runner", &["its folder belongs to user 4294967", words[1]]);
    fs::remove_file(farm.path("x.ini")).unwrap();
    let place = farm.home().join(".pytaskfarmer/runners.d");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("x.ini"), RUNNER).unwrap();
    give(&place.join("x.ini"), OTHER);
    is_ignored(&farm, "runner", &["runners.d/x.ini:1 ", words[0]]);
    fs::remove_file(place.join("x.ini")).unwrap();
    // A group, unless it has no other members.
    farm.write_with_mode("x.ini", 0o664, RUNNER);
    give(&farm.cwd(), 0);
    chown(farm.path("x.ini"), None, Some(OTHER)).unwrap();
    is_ignored(&farm, "runner", &["the group 4294967 can write it\n", "chmod go-w x.ini\n"]);
    chown(farm.path("x.ini"), None, Some(0)).unwrap();
    is_used(&farm, "runner");
    // Root may have any user's HOME.
    fs::rename(farm.path("x.ini"), place.join("x.ini")).unwrap();
    for path in [&farm.home(), &place, &place.join("x.ini")] {
        give(path, OTHER);
    }
    is_ignored(&farm, "runner", &[words[0]]);

    // A user who is not root.
    let farm = Farm::local(b"echo a task\n").run_as_nobody();
    farm.write("x.ini", RUNNER);
    set_mode(&farm.cwd(), 0o755);
    let options = ["--dry-run"];
    assert!(farm.run(&options).exits(0).stderr_text().contains("x.ini:1 defines the runner"), "root's are trusted");
    give(&farm.path("x.ini"), OTHER);
    let said = farm.run(&options).exits(0).stderr_text();
    assert!(said.contains("is ignored: it belongs to user 4294967"), "{said}");
    // A server that maps every user to a different ID: the home folder is still the user's.
    fs::remove_file(farm.path("x.ini")).unwrap();
    let place = farm.home().join(".config/taskfarmer");
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("x.ini"), RUNNER).unwrap();
    for path in [&farm.home(), &place, &place.join("x.ini")] {
        give(path, OTHER);
    }
    let said = farm.run(&options).exits(0).stderr_text();
    assert!(said.contains("x.ini:1 defines the runner 'default': it is 'template'"), "{said}");
}

/// Python that starts for a handler imports nothing from a folder that others can write, and nothing of Python's own
/// from the current folder at all.
#[test]
fn modules_of_others_are_not_imported() {
    let farm = Farm::local(b"echo a task\n");
    set_mode(&farm.cwd(), 0o755);
    let harm = b"open('harmed', 'w').close()\n";
    for module in ["json", "shutil", "tempfile", "importlib"] {
        farm.write(&format!("{module}.py"), harm);
    }
    farm.write(
        "own.py",
        b"class Tasks(list):\n    def __init__(self, path, workdir):\n        super().__init__(['echo own'])\n",
    );
    fs::create_dir_all(farm.home().join(".config/taskfarmer")).unwrap();
    fs::write(farm.home().join(".config/taskfarmer/x.ini"), "[own]\nTaskList = own.Tasks\n").unwrap();
    let options = ["--dry-run", "--tasklist", "own"];
    assert_eq!(farm.run(&options).exits(0).stdout, b"0 echo own\n");
    assert!(!farm.path("harmed").exists(), "a module of the current folder hid one of Python's own");
    set_mode(&farm.cwd(), 0o1777);
    farm.run(&options).refused(&["cannot import it", "the current folder is not searched: anybody can write into it"]);
}

/// A link never leads a run to a file elsewhere, and a FIFO does not block it. Files that are only replaced are
/// replaced; files that a run would write to are refused by name.
#[test]
fn links_in_a_workdir_are_not_followed() {
    const REFUSED: [&str; 5] = ["finished", "failed", "timeline.json", "tasks.tsv", "lock"];
    const REPLACED: [&str; 4] = ["status.json.new", "toprocess.new", "status.json", "toprocess"];
    for name in REFUSED.into_iter().chain(REPLACED) {
        for kind in ["link", "dangling", "fifo"] {
            let farm = Farm::local(b"echo a task\n").time_limit(30);
            let workdir = farm.workdir();
            fs::create_dir_all(workdir.file("logs")).unwrap();
            farm.write("precious", b"");
            match kind {
                "link" => symlink(farm.path("precious"), workdir.file(name)).unwrap(),
                "dangling" => symlink(farm.path("new"), workdir.file(name)).unwrap(),
                _ => mkfifo(&workdir.file(name), Mode::S_IRWXU).unwrap(),
            }
            if REFUSED.contains(&name) {
                let what = if kind == "fifo" { "it is not a regular file" } else { "a symbolic link has its name" };
                farm.run(&[]).refused(&[name, what, "move it away"]);
                assert!(fs::symlink_metadata(workdir.file(name)).is_ok_and(|found| !found.is_file()));
            } else {
                farm.run(&[]).exits(0);
                assert_eq!(fs::symlink_metadata(workdir.file(name)).ok().map(|found| found.is_file()), {
                    (!name.ends_with(".new")).then_some(true)
                });
            }
            assert_eq!(farm.read("precious"), b"", "{name}: {kind}");
            assert!(!farm.path("new").exists(), "{name}: a file was made through the link");
            fs::remove_dir_all(workdir.path()).unwrap();
        }
    }
}

/// Folders and links that users create themselves work: a workdir elsewhere, logs elsewhere, a job log.
#[test]
fn links_of_the_user_work() {
    let farm = Farm::local(b"echo a task\n");
    for folder in ["scratch", "scratch/logs"] {
        fs::create_dir(farm.path(folder)).unwrap();
    }
    symlink("scratch", farm.workdir().path()).unwrap();
    fs::create_dir(farm.path("elsewhere")).unwrap();
    fs::remove_dir(farm.path("scratch/logs")).unwrap();
    symlink(farm.path("elsewhere"), farm.path("scratch/logs")).unwrap();
    farm.write("job.log", b"");
    symlink("job.log", farm.path("link.log")).unwrap();
    farm.run(&["--joblog", "link.log"]).exits(0);
    assert_eq!(farm.read("elsewhere/log_0"), b"a task\n");
    assert_eq!(farm.lines("job.log").len(), 2);
    farm.run(&["--joblog", "link.log"]).exits(0);
}

/// A workdir of another user, a link of theirs to one, and their folders in it are refused, with the owner's name and a
/// remedy, and nothing is changed. The user can allow it.
#[test]
fn workdirs_of_other_users_are_refused() {
    if !is_root() {
        return;
    }
    for what in ["workdir", "link", "logs", "logs link"] {
        let farm = Farm::local(b"echo a task\n");
        let workdir = farm.workdir();
        fs::create_dir_all(farm.path("real/logs")).unwrap();
        fs::create_dir(farm.path("target")).unwrap();
        match what {
            "link" => symlink("real", workdir.path()).unwrap(),
            _ => fs::rename(farm.path("real"), workdir.path()).unwrap(),
        }
        let theirs = match what {
            "workdir" | "link" => workdir.path().to_owned(),
            _ => workdir.file("logs"),
        };
        if what == "logs link" {
            fs::remove_dir(&theirs).unwrap();
            symlink("../target", &theirs).unwrap();
        }
        give(&theirs, OTHER);
        let before = farm.contents();
        let named = theirs.to_str().unwrap();
        farm.run(&[]).refused(&[
            named,
            "belongs to user 4294967",
            "nothing was started",
            "--workdir",
            "--shared-workdir",
        ]);
        assert_eq!(farm.contents(), before, "{what}");
        farm.run(&["--dry-run"]).exits(0);
        assert_eq!(farm.contents(), before, "{what}");
        if what != "logs" && what != "logs link" {
            let class = "import os\nclass Tasks(list):\n    def __init__(self, path, workdir):\n        os.mkdir(workdir + '/made')\n";
            farm.write("own.py", class.as_bytes());
            farm.write("x.ini", b"[own]\nTaskList = own.Tasks\n");
            farm.run(&["--tasklist", "own"]).refused(&["belongs to user 4294967", "--shared-workdir"]);
            assert!(!workdir.file("made").exists(), "{what}: a handler has written there");
        }
        let outcome = farm.run(&["--shared-workdir"]).exits(0);
        assert_eq!(outcome.summary(), [1, 0, 0]);
        // Commands that show something only read.
        farm.run_exactly(&["status", "tasks.txt"]).exits(0);
        assert_eq!(farm.run_exactly(&["logs", "tasks.txt", "0"]).exits(0).stdout, b"a task\n");
        // Under sudo it belongs to the user.
        let mut farm = farm;
        farm.set("SUDO_UID", &OTHER.to_string());
        farm.run(&[]).exits(0);
    }
}

/// For a user who is not root: another user's workdir is refused even if any user may write there; root's is not.
#[test]
fn a_workdir_that_anybody_may_write_is_still_anothers() {
    if !is_root() {
        return;
    }
    let farm = Farm::local(b"echo a task\n").run_as_nobody();
    set_mode(&farm.cwd(), 0o777);
    fs::create_dir(farm.workdir().path()).unwrap();
    set_mode(farm.workdir().path(), 0o777);
    chown(farm.workdir().path(), Some(OTHER), None).unwrap();
    farm.run(&[]).refused(&["tasks.txt_workdir", "belongs to user 4294967"]);
    assert_eq!(fs::read_dir(farm.workdir().path()).unwrap().count(), 0);
    chown(farm.workdir().path(), Some(0), None).unwrap();
    farm.run(&[]).exits(0);
}

/// `status` and `logs` read any user's workdir: a link in it shows nothing from elsewhere, and a FIFO does not block
/// them.
#[test]
fn whoever_looks_follows_no_link() {
    let farm = Farm::local(b"echo a task; exit 1\n").time_limit(30);
    farm.run(&[]).exits(1);
    let workdir = farm.workdir();
    farm.write("secret", b"3 secret\n");
    let names = ["finished", "failed", "toprocess", "timeline.json", "tasks.tsv", "status.json", "lock", "logs/log_0"];
    for kind in ["link", "fifo"] {
        for name in names {
            let path = workdir.file(name);
            let _ = fs::remove_file(&path);
            match kind {
                "link" => symlink(farm.path("secret"), &path).unwrap(),
                _ => mkfifo(&path, Mode::S_IRWXU).unwrap(),
            }
        }
        let words: [&[&str]; 4] = [&["status"], &["status", "--failed"], &["status", "--json"], &["logs"]];
        for words in words {
            let end = if words == ["logs"] { &["tasks.txt_workdir", "0"][..] } else { &["tasks.txt_workdir"] };
            let outcome = farm.run_exactly(&[words, end].concat());
            let said = [&outcome.stdout[..], &outcome.stderr].concat();
            assert!(!String::from_utf8_lossy(&said).contains("3 secret"), "{words:?}");
            outcome.exits(2);
        }
    }
}
