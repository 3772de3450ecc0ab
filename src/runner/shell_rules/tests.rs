//! Tests of the rules by hand-written examples.

use super::*;

fn rules(environment: &[(&str, &str)]) -> ShellRules {
    let path = [("PATH", "/usr/bin:/bin")];
    let all = path.iter().chain(environment);
    ShellRules::from_environment(all.map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

fn is_plain(rules: &ShellRules, line: &str) -> bool {
    rules.plain_words(line.as_bytes()).is_some()
}

/// Words are returned unchanged, split only at blanks and tabs.
#[test]
fn plain_lines_become_their_words() {
    let words = rules(&[]).plain_words(b"./run\t-n=3  a:b,c \t x@y%z+1 _. 2");
    assert_eq!(words.unwrap(), [&b"./run"[..], b"-n=3", b"a:b,c", b"x@y%z+1", b"_.", b"2"]);
    assert_eq!(rules(&[]).plain_words(b" \t"), None);
    assert_eq!(rules(&[]).plain_words(b""), None);
}

/// One byte that is not on the list, wherever it is, sends the line to the shell.
#[test]
fn any_other_byte_is_for_the_shell() {
    let rules = rules(&[]);
    for byte in (0..=u8::MAX).filter(|byte| !PLAIN[usize::from(*byte)] && !b" \t".contains(byte)) {
        for place in 0..=4 {
            let mut line = b"x ab".to_vec();
            line.insert(place, byte);
            assert_eq!(rules.plain_words(&line), None, "{byte:#x} at {place}");
        }
    }
    assert_eq!(PLAIN.iter().filter(|plain| **plain).count(), 72);
}

/// Names that the shell reserves are not looked up as programs, but are ordinary words later on the line.
#[test]
fn names_of_the_shell_are_for_the_shell() {
    let rules = rules(&[]);
    for name in SHELL_NAMES.iter().map(|name| str::from_utf8(name).unwrap()) {
        assert!(!is_plain(&rules, name), "{name}");
        assert!(!is_plain(&rules, &format!("{name} -x 1")), "{name}");
        assert!(is_plain(&rules, &format!("/bin/{name} {name}")), "{name}");
    }
    for first in ["a=b", "=", "a+=b", "x=1 run", "%1", "%", "-x", "--", "+x", "env", "/usr/bin/env", "printenv x"] {
        assert!(!is_plain(&rules, first), "{first}");
    }
}

/// Binary search needs sorted tables.
#[test]
fn tables_are_sorted() {
    assert!(SHELL_NAMES.is_sorted() && FOR_THE_SHELL.is_sorted() && ASSIGNED_BY_SHELL.is_sorted());
    assert!(TAKEN_OUT_BY_BASH.iter().all(|name| FOR_THE_SHELL.contains(&name.as_bytes())));
}

/// A variable that makes bash do more than exec sends every line there.
#[test]
fn the_environment_can_forbid_all() {
    for name in FOR_THE_SHELL.iter().map(|name| str::from_utf8(name).unwrap()) {
        assert!(!is_plain(&rules(&[(name, "")]), "/bin/x"), "{name}");
    }
    let bad = [("BASH_ENV", "f"), ("LD_PRELOAD", "x"), ("LC_ALL", "x"), ("SHLVL", ""), ("SHLVL", "999"), ("=a", "b")];
    assert_eq!(bad.iter().find(|variable| is_plain(&rules(&[**variable]), "/bin/x")), None);
    let good = [("BASH_ENV", ""), ("LD_PRELOAD", ""), ("LC_ALL", "C"), ("SHLVL", "998"), ("LANG", "x"), ("a.b", ";")];
    assert_eq!(good.iter().find(|variable| !is_plain(&rules(&[**variable]), "/bin/x")), None);
}

/// If it is started by sshd and no other shell, bash reads `~/.bashrc`.
#[test]
fn first_shell_of_ssh_is_a_shell() {
    assert!(!is_plain(&rules(&[("SSH_CLIENT", "::1 1 22")]), "x"));
    assert!(!is_plain(&rules(&[("SSH2_CLIENT", ""), ("SHLVL", "0")]), "x"));
    assert!(is_plain(&rules(&[("SHLVL", "1"), ("SSH_CLIENT", "::1 1 22")]), "x"));
}

/// Bash has a default `PATH` if there is none, and expands a `~` in it.
#[test]
fn odd_paths_are_for_the_shell() {
    let no_path = ShellRules::from_environment([].into_iter());
    for rules in [no_path, rules(&[("PATH", "")]), rules(&[("PATH", "/bin:~/bin")])] {
        assert!(!is_plain(&rules, "x") && is_plain(&rules, "./x"));
    }
}

/// An exported function hides the program of its name; one that bash cannot read causes a message for each task.
#[test]
fn exported_functions_are_for_the_shell() {
    let body = "() {  echo hi\n}";
    for name in ["BASH_FUNC_run%%", "BASH_FUNC_run()", "run"] {
        let rules = rules(&[(name, body)]);
        assert!(!is_plain(&rules, "run 1") && is_plain(&rules, "./run") && is_plain(&rules, "runs run"), "{name}");
    }
    for bad in ["() {  echo hi", "() {  echo hi\n} 2>&1", "() {  echo @(a|b)\n}", "() { :;}"] {
        assert!(!is_plain(&rules(&[("BASH_FUNC_run%%", bad)]), "x"), "{bad}");
    }
    assert!(!is_plain(&rules(&[("BASH_FUNC_command_not_found_handle%%", body)]), "x"));
}

/// A line that is too long for an argument cannot run under bash, so it does not run without it either.
#[test]
fn a_line_too_long_for_bash_is_for_the_shell() {
    let mut line = b"x ".repeat(LONGEST_LINE / 2);
    line.push(b'x');
    assert_eq!((line.len(), rules(&[]).plain_words(&line).unwrap().len()), (LONGEST_LINE, LONGEST_LINE / 2 + 1));
    line.push(b'x');
    assert_eq!(rules(&[]).plain_words(&line), None);
}

/// Variables that mean something to bash are set by bash, and names that it knows are started by it, in quotes or not.
#[test]
fn what_bash_would_notice_is_for_the_shell() {
    let needs_none = |line: &str| rules(&[("BASH_FUNC_run%%", "() {  :\n}")]).simple(line.as_bytes()).is_some();
    for line in [
        "A=1 B=2 x",
        "A= x >y",
        "cd a && A=1 x 'b c' >y 2>&1",
        "exec x",
        "'x' a",
        "'./a b'",
        "HOME=/ x",
        "LD_LIBRARY_PATH=/ x",
    ] {
        assert!(needs_none(line), "{line}");
    }
    for line in [
        "A=1 A=2 x",
        "PATH=/ x",
        "LC_ALL=C x",
        "LANG=C x",
        "BASH_ENV=x x",
        "PS1=x x",
        "_=1 x",
        "UID=1 x",
        "histchars=x x",
        "A='() {' x",
        "'cd' x",
        "'[' x ']'",
        "\\exec x",
        "'if' x",
        "'a b' x",
        "'' x",
        "'-x'",
        "'run' 1",
        "'env' x",
        "'a=b' x",
        "A+=1 x",
        "exec -a x y",
    ] {
        assert!(!needs_none(line), "{line}");
    }
    assert!(rules(&[("BASH_FUNC_cd%%", "() {  :\n}")]).simple(b"cd a && x").is_none());
    assert!(rules(&[("BASH_ENV", "x")]).simple(b"x >y").is_none());
}
