//! What `make install` installs besides the program: man pages and completions.

use std::process::Command;

use crate::support::{Farm, program};

/// Completions are generated for common shells, and bash accepts them and offers options and subcommands.
#[test]
fn completions_are_made() {
    let farm = Farm::local(b"true\n");
    for shell in ["bash", "zsh", "fish"] {
        let outcome = farm.run_exactly(&["completions", shell]).exits(0);
        let text = String::from_utf8_lossy(&outcome.stdout).into_owned();
        assert!(text.contains("retry-failed"), "{shell} knows the options:\n{text}");
        assert!(text.contains("slowest"), "{shell} knows those of subcommands:\n{text}");
        assert!(!text.contains("man-pages"), "{shell} does not offer what only `make install` needs:\n{text}");
    }
    let script = r#"source /dev/stdin; complete_with=$(complete -p taskfarmer-mpi | grep -o '_[^ ]*')
        COMP_WORDS=(taskfarmer-mpi --retry-f); COMP_CWORD=1
        $complete_with taskfarmer-mpi --retry-f taskfarmer-mpi; echo "${COMPREPLY[@]}"
        COMP_WORDS=(taskfarmer-mpi status --fai); COMP_CWORD=2
        $complete_with taskfarmer-mpi --fai status; echo "${COMPREPLY[@]}"
        COMP_WORDS=(taskfarmer-mpi ""); COMP_CWORD=1
        $complete_with taskfarmer-mpi "" taskfarmer-mpi; printf '%s ' "${COMPREPLY[@]:(-3)}""#;
    let completions = farm.run_exactly(&["completions", "bash"]).exits(0).stdout.clone();
    farm.write("completions", &completions);
    let input = std::fs::File::open(farm.path("completions")).unwrap();
    let output = Command::new("bash").args(["-c", script]).stdin(input).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "--retry-failed\n--failed\nstatus logs help ", "{output:?}");
    farm.run_exactly(&["completions", "no-such-shell"]).exits(2);
}

/// The man pages name every option that `--help` names.
#[test]
fn man_pages_are_made() {
    let farm = Farm::local(b"true\n");
    farm.run_exactly(&["man-pages", "."]).exits(0);
    let page = String::from_utf8(farm.read("taskfarmer-mpi.1")).unwrap().replace("\\-", "-");
    let help = farm.run_exactly(&["--help"]).exits(0);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let options: Vec<&str> = help.split_whitespace().filter(|word| word.starts_with("--")).collect();
    assert!(options.len() > 10, "{help}");
    for option in options {
        assert!(page.contains(option.trim_end_matches([',', ';', ')', '.'])), "{option} in the man page");
    }
    let examples = page.split(".SH EXAMPLES\n.nf\n").nth(1).and_then(|rest| rest.split("\n.fi\n.SH FILES\n").next());
    assert!(examples.is_some_and(|lines| lines.lines().count() == 6), "{page}");
    assert!(page.contains(".SH \"EXIT STATUS\"\n0 all tasks finished"), "{page}");
    let section = |name: &str| page.split(&format!(".SH {name}\n")).nth(1).unwrap().split("\n.SH ").next().unwrap();
    let tasklist = include_str!("../../docs/tasklist.md");
    let of_tasks = tasklist.split('`').filter(|word| word.starts_with("TASKFARMER_") && !word.contains(['=', ' ']));
    for name in of_tasks.chain(["PROC_NUMBER", "TASKFARMER_RUN", "TASKFARMER_MPI_INIT_LIMIT", "TMPDIR", "HOME"]) {
        assert!(section("ENVIRONMENT").contains(&format!("\\fB{name}\\fR")), "{name} in the man page");
    }
    assert!(section("\"SEE ALSO\"").contains(".BR taskfarmer-mpi-status (1)"), "{page}");
    let topics = String::from_utf8(farm.read("taskfarmer-mpi-help.1")).unwrap();
    assert!(topics.contains(".SH TOPICS\n.nf\n  index "), "{topics}");
    farm.run_exactly(&["man-pages", "no/such/folder"]).refused(&["no/such/folder"]);
}

/// Promise: `man`, `groff` and `mandoc` read the man pages without a complaint, as far as they are installed.
#[test]
fn man_pages_are_sound() {
    let farm = Farm::local(b"");
    farm.run_exactly(&["man-pages", "."]).exits(0);
    let readers: [&[&str]; 3] =
        [&["man", "-l"], &["groff", "-man", "-ww", "-Tascii", "-z"], &["mandoc", "-T", "lint", "-W", "error"]];
    for name in ["", "-status", "-logs", "-help"] {
        for reader in readers {
            let page = farm.path(&format!("taskfarmer-mpi{name}.1"));
            // A minimal system has none of them.
            let Ok(output) = Command::new(reader[0]).args(&reader[1..]).arg(page).output() else { continue };
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success() && !said.contains("warning"), "{reader:?} {name}: {said}");
        }
    }
}

/// `make install` puts program, man page and completions where they are looked for.
#[test]
fn make_install_installs_all() {
    let folder = tempfile::tempdir().unwrap();
    let (project, prefix) = (env!("CARGO_MANIFEST_DIR"), folder.path().join("some prefix"));
    let output = Command::new("make")
        .args(["-C", project, "install", &format!("BINARY={}", program()), &format!("PREFIX={}", prefix.display())])
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in [
        "bin/taskfarmer-mpi",
        "share/man/man1/taskfarmer-mpi.1",
        "share/bash-completion/completions/taskfarmer-mpi",
        "share/zsh/site-functions/_taskfarmer-mpi",
        "share/fish/vendor_completions.d/taskfarmer-mpi.fish",
    ] {
        let metadata = std::fs::metadata(prefix.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(metadata.len() > 100, "{file}");
    }
}

/// A list with a subcommand's name can be given as `./NAME`.
#[test]
fn a_list_may_have_a_subcommands_name() {
    let farm = Farm::local(b"");
    farm.write("completions", b"echo one\n");
    farm.run_exactly(&["./completions"]).exits(0);
    assert_eq!(farm.read("completions_workdir/logs/log_0"), b"one\n");
}
