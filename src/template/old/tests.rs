use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::template::Sort;

/// A number, and a text.
struct Names;

impl Fields for Names {
    type Field = usize;

    fn find(&self, name: &str) -> Option<usize> {
        self.names().iter().position(|known| *known == name)
    }

    fn names(&self) -> Vec<&str> {
        vec!["id", "slot", "task"]
    }

    fn sort(&self, field: usize) -> Sort {
        if field < 2 { Sort::Number } else { Sort::Line }
    }
}

fn filled(templates: &[Template<usize>]) -> Vec<String> {
    let fill = |template: &Template<usize>| {
        let mut out = Vec::new();
        template.fill(|field| ["7", "0", "a b"].get(field), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    templates.iter().map(fill).collect()
}

fn line(text: &str) -> (String, Option<String>) {
    let (line, form) = read(text, &Names, Reader::Shell).unwrap();
    (filled(&line).concat(), form)
}

/// Promise: an old text means what it meant, and its new form means the same.
#[test]
fn old_texts_keep_their_meaning() {
    for (text, meaning, form) in [
        ("{{ eval {task:q}; }}", "{ eval 'a b'; }", "{ eval {task:q}; }"),
        ("{{ eval {task}; }}", "{ eval 'a b'; }", "{ eval {task}; }"),
        ("awk '{{print $1}}' {{a,b}} {{}}", "awk '{print $1}' {a,b} {}", "awk '{print $1}' {a,b} {}"),
        ("${{x:-a}} {{my-x}}", "${x:-a} {my-x}", "${x:-a} {my-x}"),
        ("echo \"x_{id}\"", "echo \"x_7\"", "echo \"x_{id:raw}\""),
        ("cat <<E\n{id}\nE", "cat <<E\n7\nE", "cat <<E\n{id:raw}\nE"),
        ("echo $(( {id} + 1 )) {id}", "echo $(( 7 + 1 )) 7", "echo $(( {id:raw} + 1 )) {id}"),
        ("x {id}>{id}.log", "x 7>7.log", "x {id:raw}>{id}.log"),
        ("{{ x '{id}'; }}", "{ x '7'; }", "{ x '{id:raw}'; }"),
        ("for i in {{0..{id}}}; do x; done", "for i in {0..7}; do x; done", "for i in {0..{id:raw}}; do x; done"),
    ] {
        assert_eq!(line(text), (meaning.to_owned(), Some(form.to_owned())));
        assert_eq!(line(form).1, None, "{form}");
        let quoted = meaning.replace("7.log", "'7'.log").replace(" )) 7", " )) '7'");
        assert!([meaning, &quoted].contains(&&line(form).0[..]), "{form}: {}", line(form).0);
    }
    let (text, form) = read("a {{b}}{{}} {id}", &Names, Reader::Nothing).unwrap();
    assert_eq!((filled(&text).concat(), form), ("a {b}{} 7".to_owned(), Some("a {{b}}{} {id}".to_owned())));
    let (words, form) = read("awk '{{print $1}}' \"{id}\"", &Names, Reader::Words).unwrap();
    assert_eq!(filled(&words), ["awk", "{print $1}", "7"]);
    assert_eq!(form.unwrap(), "awk '{print $1}' \"{id}\"");
}

/// Promise: there is nothing to rewrite in a text that means the same in the language, nor where the language has no
/// other form.
#[test]
fn nothing_else_needs_a_new_form() {
    for (text, meaning) in [
        ("x {task:q} {id} a_{id}.log >{id}; (y_{id}) \"$a\"{id} # '{id}", "x 'a b' 7 a_7.log >7; (y_7) \"$a\"7 # '7"),
        ("${{HOME}} {{task}} {{other:q}}", "${HOME} {task} {other:q}"),
        ("{ x; } {} ${x:-${y}}", "{ x; } {} ${x:-${y}}"),
        ("{{{id}}} {{{{.ID}}}}", "{7} {{.ID}}"),
    ] {
        assert_eq!(line(text), (meaning.to_owned(), None));
    }
    // Between quotes that only this program reads, nothing is quoted.
    assert_eq!(read("sh -c 'x {id} {task:q}'", &Names, Reader::Words).unwrap().1, None);
}

/// What bash makes of a script, and whether it complains.
fn bash(script: &str) -> (Vec<u8>, bool) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x7"), "").unwrap();
    let output = Command::new("bash").args(["-c", script]).current_dir(folder.path()).output().unwrap();
    let files = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_encoded_bytes());
    let mut files: Vec<_> = files.collect();
    files.sort();
    ([&output.stdout[..], &files.concat()].concat(), output.status.success() && output.stderr.is_empty())
}

/// Promise: a number gets a new form where quotes would change what bash does, and only there.
#[test]
fn bash_decides_where_quotes_matter() {
    for text in [
        "x7=y; echo $x{id}",
        "x70=y; echo $x{id}{slot}",
        "set -- a; echo $1{id}",
        "echo \\$x{id}",
        "echo ${{x}}{id}",
        "x7=y; x{id}=z; echo $x7",
        "x7=y; :; x{id}+=z; echo $x7",
        "x{id}() {{ echo f; }}; x7",
        "x[{id}]=z; echo ${{x[7]}}",
        "x=([{id}]=z); echo ${{x[7]}}",
        "x={id}; echo $x",
        "echo a >{id}",
        "echo a {id}>x",
        "echo a 1{id}>x",
        "echo a{id}>x",
        "echo a>x{id}",
        "echo {{1..{id}}}",
        "echo {{{id}..9}}",
        "echo {{a,{id}}}",
        "echo 1..{id}",
        "echo x?{id} x{id}*",
        "echo x[{id}-9]",
        "echo [{id}]",
        "(echo {id})",
        "echo a;echo {id};",
        "echo $(echo {id})",
        "echo a 2>&1 {id}",
        "[[ 17 == *{id} ]] && echo y",
        "[[ 7 =~ {id} ]] && echo y",
        "case x7 in x{id}) echo y;; esac",
        "cat <<<{id}",
        "[ {id} -lt 8 ] && echo y",
        "echo a~{id}",
        "for i in / / / / / / / /; do pushd $i >/dev/null; done; echo ~+{id}",
        "for i in / / / / / / / /; do pushd $i >/dev/null; done; x=~{id}/; echo $x",
        "export y{id}=$(echo a b); echo $y7",
        "echo $'a'{id}\"b\"{id}",
    ] {
        let bare = line(text).0;
        let quoted = text.replace("{{", "\u{1}").replace("{id}", "'7'").replace("{slot}", "'0'");
        let quoted = quoted.replace('\u{1}', "{").replace("}}", "}");
        let numbers = ["id", "slot"];
        let matters =
            text.match_indices("{id}").any(|(at, hole)| quotes_matter(&text[..at], &text[at + hole.len()..], &numbers));
        assert_eq!(
            matters,
            bash(&bare) != bash(&quoted),
            "{text}: {bare} is {:?}, {quoted} is {:?}",
            bash(&bare),
            bash(&quoted)
        );
    }
}

proptest! {
    /// Promise 5: any text is read or refused, whoever reads it; and a new form is not an old one.
    #[test]
    fn any_text_is_read_or_refused(text in "([{}:q'\"\\\\$# |~<(\\[\n]|\\{id\\}|\\{\\{|\\}\\}|\\{task:raw\\}|name|é){0,12}", any: String) {
        for text in [text, any] {
            for reader in [Reader::Shell, Reader::Words, Reader::Nothing] {
                if let Ok((templates, Some(form))) = read(&text, &Names, reader) {
                    let (again, none) = read(&form, &Names, reader).unwrap();
                    prop_assert_eq!(none, None);
                    if reader != Reader::Shell {
                        prop_assert_eq!(filled(&again), filled(&templates));
                    }
                }
            }
        }
    }
}
