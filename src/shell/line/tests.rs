use std::io::Write;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::*;

fn look(line: &str) -> Look {
    LineChecker::default().look(line.as_bytes())
}

/// Whether this machine's bash considers a line complete.
fn is_whole(line: &str) -> bool {
    let mut bash = Command::new("/bin/bash");
    bash.arg("-n").env_clear().env("LC_ALL", "C").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = bash.spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    let told = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
    !["unexpected EOF", "unexpected end of file", "delimited by end-of-file", "token `EOF'"]
        .iter()
        .any(|word| told.contains(word))
}

/// Lines as people write them, which are complete: none costs the start of a shell before the farm begins.
#[test]
fn whole_lines_are_seen_to_be_whole() {
    for line in [
        "./run",
        "./run 'a b' \"c d\" > out",
        "echo \"it's\" 'say \"x\"'",
        "echo a\\ b\\'c",
        "echo $'it\\'s' $\"x\"",
        "for i in 1 2 3; do ./step $i || exit 1; done",
        "for ((i=0;i<3;i++)); do echo $i; done",
        "for f in *.txt; do if [ -s $f ]; then cat $f; else rm $f; fi; done",
        "while read -r a b; do echo $a; done < list",
        "until test -f x; do sleep 1; done",
        "if a; then b; elif c; then d; else e; fi",
        "case $x in a|b) echo 1;; (c) echo 2;; *) echo 3;; esac",
        "case $x in (if) echo in;; esac",
        "case x in x) echo a;& y) echo b;;& esac",
        "{ echo a; echo b; } > x",
        "(cd x && ./run) | tee log",
        "f() { echo x; }; f",
        "function f { echo x; }; f",
        "x=(a b 'c'); echo ${x[1]}",
        "x=()",
        "f() ( a )",
        "echo $((1+(2*3))) $((1<<2))",
        "((x > 1)) && echo",
        "echo $(basename \"$(pwd)\")",
        "echo \"$(echo \"a b\")\" x",
        "echo `date` `echo \\`x\\``",
        "echo ${x:-${y:-\"a b\"}} ${#x}",
        "diff <(a) <(b) > >(c)",
        "cat <<< 'x y'",
        "echo a # it's (a comment",
        "echo a#'b'",
        "echo \"$(x)\"#'",
        "echo \"$(x)\"#''",
        "a && b || c; d & wait",
        "a 2>&1 | b >& c &> d",
        "! a",
        "time a | b",
        "coproc a",
        "[[ $a == b && ( c < d || e > f ) ]] && x",
        "@(a|b)",
        "echo if then fi { done",
        "echo {a,b} {1..3} }",
        "A=1 B='x y' ./run",
        "A=$(x) ./run",
        "a >| b",
        "exec 3<>f {fd}>x",
        "select x in a; do b; done",
        "{ a & } ; wait",
        "./run \"$A\"/b",
        "echo a\\\\",
        "x() ( a )",
        "trap 'rm x' EXIT; y",
    ] {
        let whole = is_whole(line);
        assert_eq!(!look(line).is_open && !look(line).here_document, whole, "{line}");
        assert!(whole || line.ends_with("#'"), "{line}");
        assert!(!look(line).is_continued, "{line}");
    }
}

/// The first lines of commands that continue in the next line are found to be open, by bash as well.
#[test]
fn open_lines_are_seen_to_be_open() {
    for line in [
        "echo 'a",
        "echo \"a",
        "echo \"a $(b \"c\")",
        "echo `a",
        "echo $(a",
        "echo ${a",
        "echo $((1+",
        "((1+",
        "echo $'a\\'",
        "for i in 1 2 3",
        "for i in 1 2 3; do",
        "for i in 1 2; do echo; ",
        "while read x",
        "while read x; do",
        "until a",
        "if a",
        "if a; then",
        "if a; then b; else",
        "case $x in",
        "case $x in a) b;;",
        "{",
        "{ a",
        "(",
        "(cd x",
        "f() {",
        "f()",
        "f ( )",
        "function f {",
        "a |",
        "a ||",
        "a &&",
        "x=(a",
        "x; for i in 1; do a",
        "a | while read x; do",
        "echo a; { b",
        "if a; then b; fi; if c",
        "select x in a",
        "cat <<EOF",
        "cat <<'EOF' > x",
        "cat <<-E && x",
        "python3 - << E",
    ] {
        let look = look(line);
        assert!(look.is_open || look.here_document, "{line}");
        assert!(!is_whole(line), "{line}");
    }
}

/// A backslash at the end counts where it would join the next line, and only there.
#[test]
fn a_backslash_at_the_end_is_seen() {
    for (line, continued) in [
        ("a \\", true),
        ("a\\\\\\", true),
        ("a \\\\", false),
        ("a 'x' \\", true),
        ("a # x \\", false),
        ("a ' \\", false),
        ("a ' \\'", false),
        ("a && \\", true),
        ("a \\ ", false),
        ("\\", true),
    ] {
        assert_eq!(look(line).is_continued, continued, "{line}");
    }
}

/// What is left running at the end of the line.
#[test]
fn background_commands_are_found() {
    for (line, background) in [
        ("a &", true),
        ("a&", true),
        ("a & # b", true),
        ("(a &)", true),
        ("{ a & }", true),
        ("a & b &", true),
        ("for i in 1 2; do ./x $i & done", true),
        ("if a; then b & fi", true),
        ("a > b 2>&1 &", true),
        ("a & wait", false),
        ("a && b", false),
        ("a \\&", false),
        ("a '&'", false),
        ("a # b &", false),
        ("a & b", false),
        ("a &> b", false),
        ("a 2>&1", false),
        ("(a & wait)", false),
        ("for i in 1; do a & done; wait", false),
        ("echo $(a &)", false),
        ("a &&", false),
        ("case x in x) a & ;; esac", false),
        ("a & disown", false),
    ] {
        assert_eq!(look(line).background, background, "{line}");
    }
}

/// Only a single command is a simple line.
#[test]
fn simple_lines_are_seen() {
    for (line, simple) in [
        ("cd x", true),
        ("cd 'a b'", true),
        ("export A=\"$(x | y)\"", true),
        ("source x > y", true),
        ("cd x # a; b", true),
        ("cd x;", false),
        ("cd x && a", false),
        ("cd x | a", false),
        ("(cd x)", false),
        ("{ cd x; }", false),
        ("for x", false),
        ("if x", false),
        ("cd $((1+2))", true),
    ] {
        assert_eq!(look(line).is_simple, simple, "{line}");
    }
}

/// Characters that are not what they look like are found outside quotes.
#[test]
fn deceptive_characters_are_seen() {
    for (line, character) in [
        ("a\u{a0}b", Some('\u{a0}')),
        ("a '\u{a0}'", None),
        ("a \"\u{a0}\"", None),
        ("a \u{200b}", Some('\u{200b}')),
        ("\u{feff}a", Some('\u{feff}')),
        ("caf\u{e9} \u{65e5}\u{672c}", None),
        ("a \u{201c}b c\u{201d}", Some('\u{201c}')),
        ("it\u{2019}s", None),
        ("a \u{2013}x", Some('\u{2013}')),
        ("a\u{2013}x", None),
        ("a # \u{a0}", None),
    ] {
        assert_eq!(look(line).deceptive, character, "{line}");
    }
    assert_eq!(LineChecker::default().look(b"a \xff\xa0 \xe2\x80"), Look { is_simple: true, ..Look::default() });
    assert!(look("a\rb").carriage_return && !look("a '\r'").carriage_return);
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b1",
        "'c d'",
        "\"e f\"",
        "$x",
        "${y}",
        "$(z)",
        "`w`",
        "\\'",
        "\\\\",
        "for i in 1 2; do",
        "done",
        "if a; then",
        "fi",
        "case x in",
        "x)",
        ";;",
        "esac",
        "{",
        "}",
        "(",
        ")",
        ";",
        "&",
        "|",
        "&&",
        ">o",
        "<i",
        "2>&1",
        "#",
        "'",
        "\"",
        "$((1+2))",
        "while a; do",
        "else",
        "[[ a ]]",
        "<<<s",
        "!",
        "x=(a b)",
        "f() {",
        "\u{e9}",
    ])
}

proptest! {
    /// Promise 5: no line causes a panic.
    #[test]
    fn any_bytes_are_looked_at(bytes in prop::collection::vec(prop::sample::select(
        b"'\"`\\$(){}<>|&;# a\rdoneifs\xe2\x80\xa0\xc2".to_vec()), 0..40))
    {
        let _ = LineChecker::default().look(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Of random lines, all that bash considers open are found to be open: a missing end is never overlooked.
    #[test]
    fn lines_open_to_bash_are_found(pieces in prop::collection::vec(piece(), 1..9)) {
        let line = pieces.join(" ");
        if !look(&line).is_open {
            prop_assert!(is_whole(&line), "{}", line);
        }
    }
}
