//! What `make dist` packs: an archive that is unpacked and run, on a machine without anything else.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use crate::support::farm::{Entry, collect};
use crate::support::program;

const PROJECT: &str = env!("CARGO_MANIFEST_DIR");

/// Runs `scripts/dist` with these words.
fn dist(words: &[&str]) -> Output {
    Command::new(Path::new(PROJECT).join("scripts/dist")).args(words).output().unwrap()
}

/// Packs the program under test into a folder, and returns the archive.
#[track_caller]
fn pack(into: &Path) -> PathBuf {
    let output = dist(&["--pack", program(), "test", "--into", into.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path());
    let archives: Vec<PathBuf> = names.filter(|path| path.extension().is_some_and(|end| end == "gz")).collect();
    let [archive] = &archives[..] else { panic!("{archives:?}") };
    archive.clone()
}

/// Runs a command line of `bash`, with nothing in its environment, in a folder.
#[track_caller]
fn bare(folder: &Path, line: &str) -> String {
    let output = Command::new("env").args(["-i", "bash", "-c", line]).current_dir(folder).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{line}\n{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Promise: an archive is unpacked anywhere, by any name, and works: `bin/taskfarmer-mpi tasks.txt`, with an empty
/// environment. It has the man pages, the completions and the documents, whose links lead to files that are there.
#[test]
fn unpacked_and_run() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack(&folder.path().join("packed"));
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("taskfarmer-mpi-{version}-linux-{}-test", std::env::consts::ARCH);
    assert_eq!(archive.file_name().unwrap().to_str().unwrap(), format!("{name}.tar.gz"));

    let place = folder.path().join("some place");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("tasks.txt"), "echo one\nfalse\necho 'two  words' | cat\n").unwrap();
    let start = Instant::now();
    bare(&place, &format!("tar -xzf {}", archive.display()));
    bare(&place, &format!("'./{name}/bin/taskfarmer-mpi' tasks.txt; [ $? = 1 ]"));
    println!("from the archive to the result: {:?}", start.elapsed());
    let read = |path: &str| fs::read_to_string(place.join("tasks.txt_workdir").join(path)).unwrap();
    assert_eq!((read("finished").lines().count(), read("failed")), (2, "1 false\n".to_owned()));
    assert_eq!(read("logs/log_2"), "two  words\n");

    let root = place.join(&name);
    for (file, word) in [
        ("share/man/man1/taskfarmer-mpi.1", ".TH taskfarmer-mpi 1"),
        ("share/man/man1/taskfarmer-mpi-status.1", ".TH"),
        ("share/bash-completion/completions/taskfarmer-mpi", "complete"),
        ("share/zsh/site-functions/_taskfarmer-mpi", "#compdef taskfarmer-mpi"),
        ("share/fish/vendor_completions.d/taskfarmer-mpi.fish", "complete -c taskfarmer-mpi"),
        ("share/doc/taskfarmer-mpi/README.md", "# taskfarmer-mpi"),
        ("share/doc/taskfarmer-mpi/CHANGELOG.md", "# Changelog"),
        ("share/doc/taskfarmer-mpi/LICENSE-MIT", "Permission is hereby granted"),
        ("share/doc/taskfarmer-mpi/LICENSE-APACHE", "Apache License"),
        ("share/doc/taskfarmer-mpi/docs/guide.md", "#"),
        ("share/doc/taskfarmer-mpi/slurm/run.sbatch", "#!/bin/bash"),
    ] {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(word), "{word:?} in {file}");
    }
    let readme = fs::read_to_string(root.join("share/doc/taskfarmer-mpi/README.md")).unwrap();
    let links = readme.split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next());
    for link in links.filter(|link| !link.is_empty() && !link.contains("://")) {
        assert!(root.join("share/doc/taskfarmer-mpi").join(link).exists(), "{link} in README.md");
    }
}

/// Promise: two packs of the same tree and program are the same bytes, whoever packs them; SHA256SUMS has their sum.
#[test]
fn packed_twice_is_packed_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let archives = ["one", "two and more"].map(|name| pack(&folder.path().join(name)));
    assert_eq!(fs::read(&archives[0]).unwrap(), fs::read(&archives[1]).unwrap());
    let checked = bare(archives[1].parent().unwrap(), "sha256sum --check SHA256SUMS");
    assert_eq!(checked.matches(": OK").count(), 1, "{checked}");

    let listed = bare(folder.path(), "tar --list --verbose --numeric-owner --full-time -f one/*.tar.gz");
    let columns: Vec<Vec<&str>> = listed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(columns.len() > 30, "{listed}");
    for entry in &columns {
        assert!(["drwxr-xr-x", "-rwxr-xr-x", "-rw-r--r--"].contains(&entry[0]), "{entry:?}");
        assert_eq!((entry[1], &entry[3..5]), ("0/0", &columns[0][3..5]), "{entry:?}");
    }
    assert!(columns.is_sorted_by_key(|entry| entry[5].trim_end_matches('/').replace('/', "\0")), "{listed}");
}

/// Promise: no text in an archive names a place on the machine that packed it.
#[test]
fn texts_name_no_place_of_the_packer() {
    let folder = tempfile::tempdir().unwrap();
    let archive = pack(folder.path());
    bare(folder.path(), &format!("tar -xzf {}", archive.display()));
    let home = std::env::var("HOME").unwrap_or_default();
    let places = [PROJECT, folder.path().to_str().unwrap(), &format!("{}/.", home.trim_end_matches('/'))]
        .map(str::to_owned)
        .into_iter()
        .filter(|place| place.len() > 3);
    let places: Vec<String> = places.collect();
    let mut entries: Vec<Entry> = Vec::new();
    collect(&archive.with_extension("").with_extension(""), &mut entries);
    let files = entries.iter().filter(|entry| entry.path.is_file() && !entry.path.ends_with("bin/taskfarmer-mpi"));
    let mut count = 0;
    for entry in files {
        let text = fs::read_to_string(&entry.path).unwrap();
        count += 1;
        for place in &places {
            assert!(!text.contains(place.as_str()), "{place} in {}", entry.path.display());
        }
    }
    assert!(count > 30, "{count} files");
}

/// Promise: a wrong command line of the packing script packs nothing, and says why.
#[test]
fn wrong_words_pack_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("packed");
    let into = into.to_str().unwrap();
    for (words, code, why) in [
        (&["--pack", program(), "no kind", "--into", into][..], 2, "'no kind' is not a kind"),
        (&["--pack", program()], 2, "--pack takes a program and a kind"),
        (&["--pact"], 2, "there is no option --pact"),
        (&["--pack", "no/such/program", "test", "--into", into], 1, "there is no program no/such/program"),
    ] {
        let output = dist(words);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && text.contains(why), "{words:?}: {} {text}", output.status);
    }
    assert!(!Path::new(into).exists());
}

/// Promise: the easyconfig has the crates of Cargo.lock, with their checksums.
#[test]
fn easyconfig_has_the_crates() {
    let lock = fs::read_to_string(format!("{PROJECT}/Cargo.lock")).unwrap();
    let path = format!("{PROJECT}/docs/packaging/taskfarmer-mpi-{}-gompi-2025b.eb", env!("CARGO_PKG_VERSION"));
    let easyconfig = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (mut crates, mut checksums) = (Vec::new(), Vec::new());
    for entry in lock.split("[[package]]\n").skip(1) {
        let value =
            |key: &str| entry.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"'));
        if let (Some(name), Some(version), Some(checksum)) = (value("name"), value("version"), value("checksum")) {
            crates.push(format!("    ('{name}', '{version}'),"));
            checksums.push(format!("    {{'{name}-{version}.tar.gz': '{checksum}'}},"));
        }
    }
    for (what, wanted) in [("crates", crates), ("checksums", checksums)] {
        let (_, rest) = easyconfig.split_once(&format!("    # {what} of Cargo.lock\n")).unwrap();
        let (listed, _) = rest.split_once(&format!("    # end of {what}\n")).unwrap();
        assert_eq!(listed.lines().collect::<Vec<_>>(), wanted, "Cargo.lock has changed: run scripts/easyconfig-crates");
    }
}
