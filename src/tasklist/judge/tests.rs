use proptest::prelude::*;

use super::*;
use crate::fuzz::{nearly, within};

fn list(commands: &[&str]) -> TaskList {
    TaskList::from_commands(commands.iter().map(|command| command.as_bytes()))
}

fn no_variable(_: &[u8]) -> bool {
    false
}

/// The messages about a list, after a shell was asked: refusals and warnings.
fn judged(commands: &[&str]) -> (Vec<String>, Vec<String>) {
    let list = list(commands);
    let mut findings = look(&list, no_variable);
    findings.confirm(&list, |question, line| ask(std::path::Path::new("/bin/bash"), question, line));
    let number = |id: TaskId| Some(u64::from(id.0) + 1);
    (findings.refusals("line", number), findings.warnings("line", number))
}

/// Lists with one problem each, and the expected result: nothing, or a refusal or warning that contains these words.
#[test]
fn each_kind_is_reported() {
    enum Say {
        Nothing,
        Refuse(&'static str),
        Warn(&'static str),
    }
    use Say::{Nothing, Refuse, Warn};
    let table: &[(&[&str], Say)] = &[
        (&["./run 1 > out/1", "./run 2 2>&1 | tee x"], Nothing),
        (&["for i in 1 2 3; do ./step $i || exit 1; done", "a && b || { c; d; }"], Nothing),
        (&["./run 'it'\\''s'", "echo \"a 'b\"", "awk '{print $1}' x"], Nothing),
        (&["cat <<< x", "echo $((1<<3))", "echo '<<EOF'"], Nothing),
        (&["echo a \\# b", "echo a # it's", "echo a\\\\"], Nothing),
        (&["echo )", "done", "fi"], Nothing),
        (&["printf %s a\\ "], Nothing),
        (&["./run 1 &&"], Refuse("line 1 ends before a quote")),
        (&["./run \\", "--fast"], Refuse("line 1 ends with a backslash")),
        (&["a", "./run 'x", "y'"], Refuse("lines 2 and 3")),
        (&["cat > x <<EOF", "text", "EOF"], Refuse("<<< 'text'")),
        (&["for i in 1 2 3; do", "rm -r old", "done"], Refuse("write the whole command on one line")),
        (&["for i in 1 2 3", "do", "a", "done"], Refuse("line 1 ends")),
        (&["if true", "then a", "fi"], Refuse("ends before a quote")),
        (&["while read x; do a; done < f", "case $x in"], Refuse("line 2 ends")),
        (&["{", "a", "}"], Refuse("ends before a quote")),
        (&["(cd x", "a)"], Refuse("ends before a quote")),
        (&["f() {", "a", "}"], Refuse("ends before a quote")),
        (&["a |", "b"], Refuse("ends before a quote")),
        (&["echo a\recho b"], Refuse("carriage return")),
        (&["[# 1 #] ./run"], Refuse("Greasy")),
        (&["[@ /x @] ./run"], Refuse("Greasy")),
        (&["4,./run x", "a"], Refuse("PyLauncher")),
        (&["./run &", "./run x & # y"], Warn("lines 1 and 2 leave a command in the background (&)")),
        (&["(./run &)"], Warn("end the line with the command 'wait'")),
        (&["./run a \\ ", "b"], Warn("a backslash and a space or tab")),
        (&["./run\u{a0}x"], Warn("are invisible or look like a space, a quote, or a dash (U+00A0, no-break space)")),
        (&["./run \u{201c}x\u{201d}"], Warn("(U+201C, a quote other than ' or \")")),
        (
            &["./run $SLURM_ARRAY_TASK_ID"],
            Warn("line 1 uses variables that another farmer or an array job sets (SLURM_ARRAY_TASK_ID)"),
        ),
        (&["./run ${HQ_TASK_ID}", "./run $PARALLEL_SEQ"], Warn("(HQ_TASK_ID and PARALLEL_SEQ)")),
        (&["cd out", "./run"], Warn("line 1 (cd) affects no other tasks: ")),
        (
            &["export A='x y'", "module load gcc", "./run"],
            Warn("lines 1 and 2 (export and module) affect no other tasks: "),
        ),
        (&["source 1.sh", "source 2.sh"], Nothing),
        (&["cd x && ./run", "(cd x; ./run)", "cdo x"], Nothing),
        (&["./run & wait", "a &> b", "a 2>&1", "a \\&", "a '&'"], Nothing),
        (&["./run 'a\u{a0}b'", "./caf\u{e9}", "./run \u{65e5}\u{672c}"], Nothing),
        (&["export HQ_X=1; ./run $HQ_X", "./run ${HQ_X:-0}"], Nothing),
    ];
    for (commands, say) in table {
        let (refusals, warnings) = judged(commands);
        let all = format!("{commands:?}: {refusals:#?} {warnings:#?}");
        match say {
            Nothing => assert!(refusals.is_empty() && warnings.is_empty(), "{all}"),
            Refuse(words) => assert!(refusals.len() == 1 && refusals[0].contains(words), "{all}"),
            Warn(words) => {
                assert!(refusals.is_empty() && warnings.len() == 1 && warnings[0].contains(words), "{all}");
            }
        }
    }
}

/// A long list costs three places of each kind, a few questions, and no more.
#[test]
fn messages_are_bounded() {
    let commands: Vec<String> = (0..1_000).flat_map(|n| [format!("./run {n} 'x"), format!("./run {n} &")]).collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let list = list(&commands);
    let mut findings = look(&list, no_variable);
    assert!(findings.has_doubts());
    let mut asked = 0;
    findings.confirm(&list, |_, _| {
        asked += 1;
        Some(true)
    });
    assert_eq!(asked, PLACES_TOLD);
    let refusals = findings.refusals("task", |id| Some(id.0.into()));
    assert!(refusals[0].starts_with("1000 tasks (0, 2, 4, …) end"), "{refusals:?}");
    assert_eq!(findings.mentioned(), [0, 1, 2, 3, 4, 5].map(TaskId));
    assert_eq!(findings.warnings("task", |_| None).len(), 1);
}

/// A shell that gives no answer, or says that a line is complete, leads to no refusal, and is asked only a limited
/// number of times.
#[test]
fn doubt_refuses_nothing() {
    let commands = vec!["./run 'x"; 1_000];
    let list = list(&commands);
    for answer in [None, Some(false)] {
        let mut findings = look(&list, no_variable);
        let mut asked = 0;
        findings.confirm(&list, |_, _| {
            asked += 1;
            answer
        });
        assert_eq!(asked, QUESTIONS_MAX);
        assert!(findings.refusals("line", |_| None).is_empty() && !findings.has_doubts());
    }
}

/// Several threads find the same as one, in the same order.
#[test]
fn threads_agree() {
    let lines = ["./run", "./run &", "cd x", "./run 'x", "a\u{a0}b"];
    let commands = (0..3 * SHARE_MIN as usize + 7).map(|n| lines[n * 7 % 5].as_bytes());
    let list = TaskList::from_commands(commands);
    let mut alone = look_at(&list, 0..list.len(), &no_variable);
    alone.tasks = list.len();
    assert_eq!(look(&list, no_variable), alone);
}

/// A command of the kinds that are distinguished, or similar to one.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "./run --n 4 > out/4.dat",
        "for x in a b; do echo $x; done",
        "cat <<EOF",
        "echo 'it",
        "[# 1 #] ./run",
        "4,./run",
        "./run \\",
        "./run &",
        "echo $SLURM_ARRAY_TASK_ID ${PARALLEL_SEQ}",
        "export X=1",
        "a\u{a0}b \u{202e}c \u{2018}d\u{2019}",
        "if [[ a && b ]]; then echo \"$(x | y)\"; fi",
        "case $x in a) b ;; esac",
    ]);
    let newline_is_none = |mut bytes: Vec<u8>| {
        bytes.retain(|byte| !matches!(byte, b'\n' | 0));
        bytes
    };
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 1..30),
        2 => nearly(lines.prop_map(|line| line.as_bytes().to_vec())).prop_map(newline_is_none),
    ]
}

proptest! {
    /// Promise 5: any commands are judged, and the messages contain no byte of theirs that a terminal could interpret.
    #[test]
    fn any_commands_are_judged(commands in prop::collection::vec(command(), 0..6)) {
        let list = TaskList::from_commands(commands.iter().map(Vec::as_slice));
        let mut findings = within(64 << 10, || look(&list, no_variable));
        findings.confirm(&list, |_, _| Some(true));
        for text in [findings.refusals("line", |_| Some(1)), findings.warnings("task", |_| None)].concat() {
            prop_assert!(text.chars().all(|c| c == '\n' || c == '…' || (' '..='~').contains(&c)), "{}", text);
        }
    }
}
