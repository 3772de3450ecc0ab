use proptest::prelude::*;

use super::*;
use crate::template::Reader;

fn values<'a>(task: &'a [u8]) -> Values<'a> {
    Values {
        task,
        id: 7,
        attempt: 2,
        rank: 3,
        slot: 1,
        host: b"n1",
        workdir: b"/a b/w",
        cwd: b"/a b",
        tempdir: b"/tmp/x",
        cpus: 4,
        gpus: "a,b",
        shell: b"/bin/bash",
    }
}

fn read_words(text: &str) -> Result<Vec<Template>, String> {
    template::read(text, &Names, Reader::Words).map(|(words, _)| words)
}

fn read_line(text: &str) -> Result<Template, String> {
    template::read(text, &Names, Reader::Shell).map(|(mut lines, _)| lines.remove(0))
}

fn words(text: &str, task: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in read_words(text).unwrap() {
        word.fill_word(&values(task.as_bytes()), &mut words);
    }
    words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
}

/// A field stays within its word, whatever its value.
#[test]
fn words_are_split_before_fields_are_filled_in() {
    assert_eq!(words("a 'b c'\n \"d\\\"'\" e\\ f ''", ""), ["a", "b c", "d\"'", "e f", ""]);
    assert_eq!(words("sh -c {task} x{id}-{attempt}", "a 'b; c"), ["sh", "-c", "a 'b; c", "x7-2"]);
    assert_eq!(words("run --device={gpu} -c {cpus}", ""), ["run", "--device=a,b", "-c", "4"]);
    assert_eq!(words("time {run} {workdir}", "-x $y"), ["time", "/bin/bash", "-c", " -x $y", "/a b/w"]);
    assert_eq!(words("ssh {host} 'cd {cwd:q} && {task:raw}'", "a"), ["ssh", "n1", "cd '/a b' && a"]);
    assert_eq!(
        words("find {} a{{id}} {x,y} '${id}' \"{a b}\"", ""),
        ["find", "{}", "a{id}", "{x,y}", "${id}", "{a b}"]
    );
    assert_eq!(words(r#""a\b\\\{{" \"x \{{ \{id}"#, ""), [r"a\b\\{", "\"x", "{", "7"]);
}

/// What a file may not contain is refused when it is read.
#[test]
fn traps_are_refused() {
    let bad =
        ["a | b", "a > b", "a && b", "$x", "a *", "~/x", "'open", "end\\", "{tsk}", "{run}x", "{run:q}", "{run:raw}"];
    for bad in bad {
        assert!(read_words(bad).is_err(), "{bad}");
    }
    let bad = [
        "'{task:q}'",
        "'{task}'",
        "\"{task:q}\"",
        "\\{task:q}",
        "\\{id}",
        "`{run}`",
        "$'{task:q}'",
        "# {workdir}",
        "'open",
        "cat <<E\n{task:q}\nE",
        "echo $(( (1) + {task:q} ))",
        "echo ${{x:-{task:q}}}",
        "echo ${x:-{task}}",
        "(# it's\necho '{task:q}'",
        // bash and other shells end these quotes at different places.
        "$'a\\'' {task:q}",
        "{ echo \"{id}\"; }",
    ];
    for bad in bad {
        assert!(read_line(bad).is_err(), "{bad}");
    }
    for good in [
        "{run} > {workdir}/x_{id} # {task}",
        "cat <<< {task:q}; echo $((1 + {id:raw})) $(( (2) )) {task:q}",
        "x='a'{task:q} \"{id:raw}\" ${HOME} # it's",
    ] {
        assert!(read_line(good).is_ok(), "{good}: {:?}", read_line(good));
    }
    assert!(template::read("{run}", &Names, Reader::Nothing).is_err());
    assert!(read_words("{tsk}").unwrap_err().contains("did you mean {task}?"));
}

/// Promise: values in a line for a shell have the quotes that they have in the command of a handler.
#[test]
fn a_line_is_quoted_as_by_handlers() {
    for (text, line) in [
        ("x {task} {task:q} {task:raw}", "x 'a b' 'a b' a b"),
        ("{ x {workdir}/{id}; } > ${id}.{host}", "{ x '/a b/w'/'7'; } > ${id}.'n1'"),
        ("awk '{print $1}' {task} {a,b} {{id}} {}", "awk '{print $1}' 'a b' {a,b} {id} {}"),
    ] {
        let (templates, form) = template::read(text, &Names, Reader::Shell).unwrap();
        assert_eq!((String::from_utf8(templates[0].filled(&values(b"a b"))).unwrap(), form), (line.to_owned(), None));
    }
}

fn sh(script: &[u8]) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    let script = std::ffi::OsStr::from_bytes(script);
    std::process::Command::new("/bin/sh").arg("-c").arg(script).output().unwrap().stdout
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any bytes that a task may contain pass through a shell unchanged: blanks, quotes, `$`, newlines, dashes, UTF-8.
    #[test]
    fn a_quoted_field_is_one_word(task in proptest::collection::vec(1..=u8::MAX, 0..40)) {
        let line = read_line("printf '%s.' {task} {id} {workdir:q}").unwrap();
        let expected = [&task[..], b".7./a b/w."].concat();
        prop_assert_eq!(sh(&line.filled(&values(&task))), expected);
    }

    /// The same with the bytes that are most likely to be misread, in words, in a word that a shell reads, and twice.
    #[test]
    fn a_field_is_never_misread(task in "[ '\"$%\\\\\n\t;#~*{}é=-]{0,12}") {
        let got = words("printf %s {task} a{task}b", &task);
        prop_assert_eq!(&got[2], &task);
        prop_assert_eq!(&got[3], &format!("a{task}b"));
        let inner = read_words("sh -c 'printf %s. {task:q}'").unwrap();
        let mut filled = Vec::new();
        inner.iter().for_each(|word| word.fill_word(&values(task.as_bytes()), &mut filled));
        prop_assert_eq!(sh(&filled[2]), format!("{task}.").into_bytes());
        let outer = read_line("set -- {run}; printf %s. \"$@\"").unwrap();
        let run = format!("/bin/bash.-c.{}{task}.", if task.starts_with('-') { " " } else { "" });
        prop_assert_eq!(sh(&outer.filled(&values(task.as_bytes()))), run.into_bytes());
    }
}

proptest! {
    /// Promise 5: any text is a template or is refused.
    #[test]
    fn any_text_is_a_template_or_refused(text in "([{}:q'\"\\\\$# |~]|task|run|id|é){0,12}", any: String) {
        for text in [text, any] {
            let _ = [Reader::Nothing, Reader::Words, Reader::Shell].map(|reader| template::read(&text, &Names, reader).is_ok());
        }
    }
}
