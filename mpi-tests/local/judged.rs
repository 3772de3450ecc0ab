//! A list is checked before its first task: a corpus of lists with one problem each, and the expected results.

use crate::support::Farm;

/// The expected result for a list.
enum Then {
    /// It runs without a message.
    Run,
    /// It runs, with a warning that contains these words.
    Warn(&'static str),
    /// It is refused with a message that contains these words, in a run and in a dry run, and nothing is created.
    Refuse(&'static str),
}
use Then::{Refuse, Run, Warn};

const CORPUS: &[(&str, &[u8], Then)] = &[
    // Whole lines, as people write them.
    ("plain", b"./a 1\n./a 2 --out=x/2\n", Run),
    ("no tasks", b"# none\n\n", Run),
    ("no last newline", b"./a", Run),
    ("windows line ends", b"./a 'x'\r\n./b\r\n", Run),
    ("redirections", b"./a 1 > o 2>&1\n./a < i >> o 2> e\n./a &> o\n./a >& o\n./a >| o\n./a <> f\n", Run),
    ("pipes", b"zcat a | sort | uniq -c > b\n./a |& tee b\n", Run),
    ("lists", b"./a && ./b || ./c; ./d\n", Run),
    ("loop", b"for i in 1 2 3; do ./a $i || exit 1; done\n", Run),
    ("C loop", b"for ((i=0; i<3; i++)); do ./a $i; done\n", Run),
    ("while", b"while read -r a b; do ./a \"$a\"; done < f\n", Run),
    ("nested", b"for f in *; do if [ -s \"$f\" ]; then ./a \"$f\"; else rm \"$f\"; fi; done\n", Run),
    ("case", b"case $x in a|b) ./a;; (c) ./c;; *) exit 1;; esac\n", Run),
    ("group", b"{ ./a; ./b; } > o\n(cd x && ./a)\n", Run),
    ("function", b"f() { ./a \"$1\"; }; f 1; f 2\n", Run),
    ("array", b"x=(a 'b c' \"d\"); ./a \"${x[@]}\"\n", Run),
    ("arithmetic", b"echo $((1 << 3)) $(( (1+2) * 3 )); (( x > 2 )) && ./a\n", Run),
    ("test", b"[[ -f a && ( $b < c || $d == e* ) ]] && ./a\n[ -f a ] && ./a\n", Run),
    ("substitution", b"./a \"$(basename \"$(pwd)\")\" `date +%s` <(sort a) >(cat)\n", Run),
    ("parameter", b"./a ${x:-\"a b\"} ${x%.*} ${#x} \"${x//a/b}\" ${x:-${y}}\n", Run),
    ("quotes in quotes", b"./a 'say \"x\"' \"it's\" $'it\\'s' 'it'\\''s'\n", Run),
    ("awk", b"awk '{ n += $1 } END { print n }' f\n", Run),
    ("here-string", b"./a <<< 'x y'\n", Run),
    ("quoted here-document", b"echo '<<EOF' # <<EOF\n", Run),
    ("apostrophe in a comment", b"./a # it's (not closed\n", Run),
    ("braces", b"echo {a,b} {1..3} } ]\n", Run),
    ("trap", b"trap 'rm -f x' EXIT; ./a\n", Run),
    ("backslashes", b"./a x\\ y \\# C:\\\\\n./a \\\\\\\\\n", Run),
    ("escaped blank at the end", b"printf %s a\\ \n", Run),
    ("backslash in a comment", b"./a # C:\\\n", Run),
    ("wrong, but whole", b"echo )\ndone\nfi\n", Run),
    ("not UTF-8", b"./a \xff\xfe\xe9\n", Run),
    ("letters of others", "./café 日本 Ω\n".as_bytes(), Run),
    ("quoted no-break space", "./a 'x\u{a0}y'\n".as_bytes(), Run),
    ("byte order mark", b"\xef\xbb\xbf./a\n", Run),
    ("byte order mark before a comment", b"\xef\xbb\xbf# x\n./a\n", Run),
    ("waits for itself", b"./a & ./b & wait\nfor i in 1 2; do ./a & done; wait\n", Run),
    ("no background", b"./a 'x &'\n./a \\&\n./a # &\n", Run),
    ("its own folder", b"cd x && ./a\n(cd x; ./a)\npushd x; ./a; popd\n", Run),
    ("scripts only", b"source 1.sh\nsource 2.sh\n", Run),
    ("comments for people", b"#!/bin/bash\n# HQ\n#HQX\n#TODO\n./a\n", Run),
    ("our own variables", b"./a $PROC_NUMBER $TASKFARMER_TASK_ID ${HOME} $SLURM_JOB_ID\n", Run),
    ("prepared for none", b"./a ${SLURM_ARRAY_TASK_ID:-0}; export PARALLEL_SEQ=1; ./a $PARALLEL_SEQ\n", Run),
    ("looks like a number", b"7z a x.7z 1,2\n./4,5\n[ -n \"$x\" ]\n", Run),
    // Lines that run, but probably do not do what was intended.
    ("background", b"./a &\n./b > o 2>&1 &\n", Warn("lines 1 and 2 leave a command in the background")),
    ("background in a loop", b"for i in 1 2; do ./a $i & done\n", Warn("line 1 leaves a command in the background")),
    ("background in brackets", b"./b\n(./a &)\n", Warn("line 2 leaves a command in the background")),
    ("blank after the backslash", b"./a \\ \n./b\n", Warn("line 1 ends with a backslash and a space or tab")),
    ("no-break space", "./a x\u{a0}y\n".as_bytes(), Warn("U+00A0, no-break space")),
    ("zero-width space", "./a\n./a \u{200b}x\n".as_bytes(), Warn("line 2 contains characters")),
    ("byte order mark in the middle", b"./a\n\xef\xbb\xbf./b\n", Warn("U+FEFF, byte order mark")),
    ("typographic quotes", "./a \u{201c}x y\u{201d}\n".as_bytes(), Warn("U+201C")),
    ("typographic dash", "./a \u{2013}x\n".as_bytes(), Warn("U+2013")),
    ("disBatch's variable", b"./a $DISBATCH_TASKID\n", Warn("DISBATCH_TASKID")),
    ("launcher's variable", b"./a ${LAUNCHER_JID}\n", Warn("LAUNCHER_JID")),
    ("HyperQueue's variable", b"./a \"$HQ_TASK_ID\"\n", Warn("HQ_TASK_ID")),
    ("parallel's variable", b"./a > out.$PARALLEL_SEQ\n", Warn("PARALLEL_SEQ")),
    ("array's variable", b"./a --n=$SLURM_ARRAY_TASK_ID\n", Warn("SLURM_ARRAY_TASK_ID")),
    ("cd", b"cd out\n./a\n", Warn("line 1 (cd) affects no other tasks")),
    ("export", b"export A='x y'\nB=1\n./a\n", Warn("(NAME=VALUE and export)")),
    ("modules", b"module load gcc\nconda activate x\n./a\n", Warn("(conda and module)")),
    ("source", b"source env.sh\n. ./env.sh\n./a\n", Warn("(. and source)")),
    (
        "batch script",
        b"#!/bin/bash\n#SBATCH -n 4\n./a\n",
        Warn("1 comment that is a directive for another program (#SBATCH)"),
    ),
    ("HyperQueue's resources", b"#HQ --cpus=4\n./a\n", Warn("(#HQ), the first on line 1")),
    ("HyperShell's tags", b"./a\n#HYPERSHELL: x:1\n", Warn("(#HYPERSHELL:), the first on line 2")),
    // Pieces of commands, and lists for others.
    ("continued", b"# x\n./a \\\n  --b\n", Refuse("line 2 ends with a backslash")),
    ("continued on Windows", b"./a \\\r\n  --b\r\n", Refuse("line 1 ends with a backslash")),
    ("continued by three", b"./a \\\\\\\n", Refuse("line 1 ends with a backslash")),
    ("here-document", b"cat > x <<EOF\nrm -r y\nEOF\n", Refuse("line 1 contains a here-document")),
    ("quoted here-document mark", b"python3 - <<-'E' > o\nE\n", Refuse("line 1 contains a here-document")),
    ("open single quote", b"./a\n./a 'x\ny'\n", Refuse("lines 2 and 3 end before a quote")),
    ("open double quote", b"./a \"x\n", Refuse("line 1 ends before a quote")),
    ("stray apostrophe", b"echo it's\n", Refuse("put a backslash before it")),
    ("open backtick", b"./a `date\n", Refuse("line 1 ends before a quote")),
    ("open substitution", b"./a $(date\n", Refuse("line 1 ends before a quote")),
    ("for", b"for i in 1 2\ndo\n./a\ndone\n", Refuse("line 1 ends before a quote")),
    ("for … do", b"for i in 1 2; do\nrm -r old\ndone\n", Refuse("write the whole command on one line")),
    ("while", b"while true; do\nbreak\ndone\n", Refuse("line 1 ends before a quote")),
    ("if", b"if ./a\nthen ./b\nfi\n", Refuse("line 1 ends before a quote")),
    ("if … then", b"if ./a; then\n./b\nfi\n", Refuse("line 1 ends before a quote")),
    ("case", b"case $x in\na) ./a;;\nesac\n", Refuse("line 1 ends before a quote")),
    ("brace", b"{\n./a\n}\n", Refuse("line 1 ends before a quote")),
    ("bracket", b"(\ncd x\n)\n", Refuse("line 1 ends before a quote")),
    ("function", b"f() {\n./a\n}\n", Refuse("line 1 ends before a quote")),
    ("pipe", b"./a |\n./b\n", Refuse("line 1 ends before a quote")),
    ("and", b"./a &&\n./b\n", Refuse("line 1 ends before a quote")),
    ("behind others", b"./a; for i in 1; do if ./b; then\n", Refuse("line 1 ends before a quote")),
    ("carriage returns only", b"./a\r./b\r", Refuse("line 1 contains a carriage return")),
    ("UTF-16", b"\xff\xfe.\0/\0a\0\n\0", Refuse("the file is UTF-16")),
    ("UTF-16 without a mark", b".\0/\0a\0\n\0", Refuse("the file is UTF-16")),
    ("disBatch", b"./a\n#DISBATCH BARRIER\n./b\n", Refuse("line 2: disBatch directives")),
    ("HyperQueue's array", b"#HQ --array 1-10\n./a\n", Refuse("line 1: HyperQueue directives")),
    ("Greasy's dependency", b"./a\n[# 1 #] ./b\n", Refuse("line 2 starts with a Greasy directive")),
    ("Greasy's folder", b"[@ /x @] ./b\n", Refuse("line 1 starts with a Greasy directive")),
    ("PyLauncher", b"4,./a\n4,./b\n", Refuse("lines 1 and 2 start with a number and a comma")),
];

/// Each list of the corpus runs, causes a warning or is refused, as expected; a dry run gives the same messages as a
/// run.
#[test]
fn corpus_of_lists() {
    let farm = Farm::local(b"");
    assert!(CORPUS.len() >= 60);
    for (name, list, then) in CORPUS {
        farm.write("tasks.txt", list);
        let outcome = farm.run(&["--dry-run"]);
        let text = outcome.stderr_text();
        match then {
            Run | Warn(_) => assert!(outcome.errors().is_empty(), "{name}: {text}"),
            Refuse(words) => assert!(outcome.errors().len() == 1 && text.contains(words), "{name}: {text}"),
        }
        match then {
            Run => assert!(!text.contains("warning"), "{name}: {text}"),
            Warn(words) => assert!(text.contains("warning") && text.contains(words), "{name}: {text}"),
            Refuse(_) => {}
        }
        outcome.exits(if matches!(then, Refuse(_)) { 2 } else { 0 });
    }
}

/// A run refuses what a dry run refuses, and leaves nothing behind; no part of a command has run.
#[test]
fn refused_lists_start_nothing() {
    for list in [
        &b"touch ran \\\n  more\n"[..],
        b"touch ran; cat <<EOF\ntouch ran\nEOF\n",
        b"for i in 1; do\ntouch ran\ndone\n",
        b"touch ran\n[# 1 #] touch ran\n",
        b"touch ran\n#DISBATCH BARRIER\ntouch ran\n",
    ] {
        let farm = Farm::local(list);
        let before = farm.everything();
        farm.run(&[]).refused(&["tasks.txt", "line", "nothing was started"]);
        assert_eq!(farm.everything(), before);
    }
}

/// Three places of each kind are reported, and how many there are.
#[test]
fn messages_are_bounded() {
    let farm = Farm::local("./a 'x\n./b &\n".repeat(5_000).as_bytes());
    let text = farm.run(&["--dry-run"]).refused(&["5000 lines (1, 3, 5, …) end before a quote"]).stderr_text();
    assert!(text.contains("5000 lines (2, 4, 6, …) leave a command in the background"), "{text}");
    assert!(text.len() < 2_000, "{text}");
}

/// Commands that cause a warning still run.
#[test]
fn warned_lists_run() {
    let farm = Farm::local(b"echo a\\ \ntrue &\ncd /\necho $HQ_TASK_ID\n");
    let text = farm.run(&["--proc", "2"]).exits(0).stderr_text();
    for words in
        ["in the background (&): the task ends with its shell", "line 3 (cd) affects no other tasks", "(HQ_TASK_ID)"]
    {
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(farm.workdir().log(0), b"a \n", "the escaped blank");
    assert_eq!(farm.workdir().finished()[&0], b"echo a\\ ");
    let again = farm.run(&["--proc", "2"]).exits(0);
    assert_eq!(again.summary(), [4, 0, 0], "the next start knows the task with the blank");
}

/// A dry run ends with the number of tasks that a run would start.
#[test]
fn dry_run_ends_with_a_count() {
    let farm = Farm::local(b"true\nfalse\n");
    assert!(farm.run(&["--dry-run"]).exits(0).stderr_text().ends_with("taskfarmer-mpi: 2 tasks would run\n"));
    farm.run(&[]).exits(1);
    farm.append("tasks.txt", b"true\n");
    let text = farm.run(&["--dry-run"]).exits(0).stderr_text();
    assert!(text.ends_with("taskfarmer-mpi: 1 task would run, 2 recorded by earlier runs\n"), "{text}");
    assert_eq!(farm.run(&["--dry-run", "--quiet"]).exits(0).stderr, b"");
}

/// Commands that a handler generated are checked like lines, and named by their IDs.
#[test]
fn commands_of_handlers_are_judged() {
    let farm = Farm::local(b"it's\nso\n");
    farm.write(
        "x.ini",
        b"[exec]\nTaskList = exec\ncommand = echo true; echo 'cat <<E'\n[nul]\nTaskList = exec\nseparator = nul\n\
          command = printf 'a\\0b \\\\\\0'\n[template]\nTaskList = template\ncommand = echo {line} &\n\
          [quoted]\nTaskList = template\ncommand = echo {line}\n",
    );
    let run = |handler: &str| farm.run(&["--dry-run", "--tasklist", handler]);
    run("exec").refused(&["task 1 contains a here-document"]);
    run("nul").refused(&["task 1 ends with a backslash"]);
    let text = run("template").exits(0).stderr_text();
    assert!(text.contains("tasks 0 and 1 leave a command in the background"), "{text}");
    assert!(!run("quoted").exits(0).stderr_text().contains("warning"), "values are quoted");
    farm.run(&["--tasklist", "exec"]).refused(&["task 1 contains a here-document"]);
}

/// Shell syntax is not checked if no shell reads the commands.
#[test]
fn other_runners_are_not_judged() {
    let farm = Farm::local(b"echo it's &\n4,x \\\n");
    farm.write(
        "x.ini",
        b"[split]\nRunner = basic\nshell = split\n[words]\nRunner = template\ncommand = echo {task}\n\
          [sh]\nRunner = basic\nshell = sh\n[run]\nRunner = template\ncommand = nice {run}\n",
    );
    for runner in ["split", "words"] {
        let text = farm.run(&["--dry-run", "--runner", runner]).exits(0).stderr_text();
        assert!(!text.contains("warning"), "{runner}: {text}");
    }
    for runner in ["sh", "run"] {
        farm.run(&["--dry-run", "--runner", runner]).refused(&["line 1 ends before a quote", "PyLauncher"]);
    }
    farm.write("tasks.txt", b"echo $HQ_TASK_ID $PARALLEL_SEQ\n");
    farm.write("x.ini", b"[x]\nRunner = basic\nenv.HQ_TASK_ID = {id}\nsetup = export PARALLEL_SEQ=1\n");
    let text = farm.run(&["--dry-run", "--runner", "x"]).exits(0).stderr_text();
    assert!(!text.contains("warning"), "the runner sets them: {text}");
}

/// A byte order mark is not part of what any handler reads; UTF-16 is named.
#[test]
fn byte_order_marks_are_skipped_everywhere() {
    let farm = Farm::local(b"\xef\xbb\xbfa,b\n1,2\n");
    farm.write(
        "x.ini",
        b"\xef\xbb\xbf[csv]\nTaskList = template\ncsv = yes\ncommand = echo {a}\n[line]\nTaskList = template\n\
          command = echo {1}\n[exec]\nTaskList = exec\ncommand = printf '\\357\\273\\277echo x\\n'\n\
          [wide]\nTaskList = exec\ncommand = echo x | iconv -t UTF-16\n",
    );
    let run = |handler: &str| farm.run(&["--dry-run", "--tasklist", handler]);
    assert_eq!(run("csv").exits(0).stdout, b"0 echo 1\n");
    assert_eq!(run("line").exits(0).stdout, b"0 echo a,b\n1 echo 1,2\n");
    assert_eq!(run("exec").exits(0).stdout, b"0 echo x\n");
    run("wide").refused(&["[wide]", "UTF-16"]);
    farm.write("tasks.txt", b"\xef\xbb\xbfcommand = echo {x}\nx = 1 2\n");
    assert_eq!(run("product").exits(0).stdout, b"0 echo 1\n1 echo 2\n");
    farm.write("tasks.txt", b"\xff\xfec\0o\0");
    for handler in ["csv", "line", "product"] {
        run(handler).refused(&["tasks.txt", "the file is UTF-16", "iconv"]);
    }
}

/// Values of a sweep that look like ranges and lists of other languages are reported, and taken literally.
#[test]
fn literal_values_of_a_sweep_are_reported() {
    let farm = Farm::local(b"command = echo {x} {y} {z}\nx = 1:10\ny = 1...3\nz = a,b,c\n");
    let outcome = farm.run(&["--dry-run", "--tasklist", "product"]).exits(0);
    assert_eq!(outcome.stdout, b"0 echo 1:10 1...3 a,b,c\n");
    let text = outcome.stderr_text();
    for words in
        ["x: \"1:10\" is a single value", "y: \"1...3\"", "FIRST..LAST", "z: \"a,b,c\"", "separate values with spaces"]
    {
        assert!(text.contains(words), "{text}");
    }
    farm.write("tasks.txt", b"command = echo {x} {y}\nx = '1:10' 'a,b,c'\ny = 1,2 3,4\n");
    let text = farm.run(&["--dry-run", "--tasklist", "product"]).exits(0).stderr_text();
    assert!(!text.contains("warning"), "{text}");
}

/// The rest of a list does not run in a different folder than its beginning, unless the user requests it.
#[test]
fn a_resume_elsewhere_is_refused() {
    let farm = Farm::local(b"touch ran; exit 1\n");
    farm.run(&[]).exits(1);
    farm.append("tasks.txt", b"touch rest\n");
    std::fs::create_dir(farm.path("other")).unwrap();
    std::os::unix::fs::symlink(farm.cwd(), farm.path("same")).unwrap();
    let from = |folder: &str, options: &str| {
        let program = crate::support::program();
        let list = farm.path("tasks.txt");
        let line = format!("cd {folder} && exec {program} {options} {}", list.display());
        farm.start_other(&["sh", "-c", &line].map(std::ffi::OsStr::new)).wait()
    };
    let before = farm.everything();
    let was = farm.cwd().display().to_string();
    for options in ["", "--dry-run", "--retry-failed"] {
        from("other", options).refused(&[&was, "--here", "other"]);
    }
    assert_eq!(farm.everything(), before);
    from("same", "--dry-run").exits(0);
    farm.write("x.ini", format!("[x]\nRunner = basic\ncwd = {was}\n").as_bytes());
    std::fs::copy(farm.path("x.ini"), farm.path("other/x.ini")).unwrap();
    from("other", "--dry-run --runner x").exits(0);
    from("other", "--here").exits(1);
    assert!(farm.path("other/rest").exists() && !farm.path("rest").exists());
    // Nothing is left to run, so the folder does not matter.
    from(".", "").exits(1);
    std::fs::remove_file(farm.path("tasks.txt_workdir/status.json")).unwrap();
    farm.append("tasks.txt", b"touch third\n");
    from("other", "").exits(1);
    assert!(farm.path("other/third").exists(), "where nothing is known, nothing is refused");
    // Moved as a whole.
    farm.append("tasks.txt", b"touch fourth\n");
    std::fs::rename(farm.path("other"), farm.path("moved")).unwrap();
    let text = from("moved", "").exits(1).stderr_text();
    assert!(text.contains("which no longer exists"), "{text}");
}
