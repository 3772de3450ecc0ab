use proptest::prelude::*;

use super::*;

/// The runner `x` of an INI file with these lines in its section.
fn read(lines: &str) -> Result<RunnerConfig, RunnerError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ini");
    std::fs::write(&file, format!("[x]\n{lines}")).unwrap();
    find_in(&ini::load_files(Kind::Runners, vec![file]), "x")?.prepare()
}

fn defined(lines: &str) -> Defined {
    read(lines).unwrap().defined().unwrap().clone()
}

fn refusal(lines: &str) -> String {
    read(lines).unwrap_err().to_string()
}

/// The arguments that a task's program gets.
fn argv(lines: &str, task: &str) -> Vec<String> {
    let values = Values { task: task.as_bytes(), id: 5, cwd: b"/cwd", tempdir: b"/tmp/t", ..Values::default() };
    let mut words = Vec::new();
    match defined(lines).start {
        Start::Words { words: templates, .. } => templates.iter().for_each(|word| word.fill_word(&values, &mut words)),
        other => panic!("{other:?}"),
    }
    words.into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
}

/// PyTaskFarmer's classes and this program's names are the same kinds.
#[test]
fn both_names_of_a_kind_mean_the_same() {
    assert_eq!(defined("Runner = basic\n"), defined("Runner = taskfarmer.runners.BasicRunner\n"));
    let keys = "image = a\nmodules = b c\n";
    let [short, long] =
        ["shifter", "taskfarmer.runners.ShifterRunner"].map(|class| argv(&format!("Runner = {class}\n{keys}"), "t"));
    assert_eq!(short, long);
}

/// The command line of a shifter task, with and without each key.
#[test]
fn shifter_is_pytaskfarmers() {
    let all = "Runner = shifter\nimage = i:1\nsetup = s 'x' && t\nvolumes = /a:/b\n  /c:/d\nmodules = cvmfs\tgpu\ntempdir = True\n";
    let script = "s 'x' && t && a | b";
    let expected = ["shifter", "--image", "i:1", "--workdir=/tmp/t", "-V/a:/b", "-V/c:/d", "-mcvmfs", "-mgpu", "--"];
    assert_eq!(argv(all, "a | b"), [&expected[..], &["/bin/bash", "-c", script]].concat());
    let expected = ["shifter", "--image", "i", "--", "/bin/bash", "-c", "a"];
    assert_eq!(argv("Runner = shifter\nimage = i\n", "a"), expected);
    let shifter = defined(all);
    assert!(shifter.uses_tempdir() && !shifter.proc_number);
    assert_eq!(shifter.variables, [(b"BASH_ENV".to_vec(), Template::literal(""))]);
}

/// The command lines of the other containers.
#[test]
fn containers_get_image_folders_and_setup() {
    let keys = "image = i.sif\nvolumes = /a:/b {tempdir}:/tmp\noptions = --nv 'x y'\nsetup = . /s # it's\nshell = sh\n";
    let script = "eval '. /s # it'\\''s'\ncase $? in 0) eval 'a b' ;; *) exit ;; esac";
    let options = ["--bind=/a:/b", "--bind=/tmp/t:/tmp", "--nv", "x y", "i.sif", "/bin/sh", "-c", script];
    for program in ["apptainer", "singularity"] {
        let words = argv(&format!("Runner = {program}\n{keys}"), "a b");
        assert_eq!(words, [&[program, "exec"], &options[..]].concat());
    }
    let variables = defined("Runner = apptainer\nimage = i\nenv.A = {id}\n").variables;
    assert_eq!(variables.iter().map(|(name, _)| &name[..]).collect::<Vec<_>>(), [&b"APPTAINERENV_A"[..], b"BASH_ENV"]);

    let words = argv("Runner = podman-hpc\nimage = i\ncwd = sub\nenv.A = 1\n", "-x");
    let begin = ["podman-hpc", "run", "--rm", "--volume=/cwd:/cwd", "--workdir=/cwd/sub", "--env=PROC_NUMBER"];
    assert_eq!(words[..6], begin);
    assert_eq!(words[words.len() - 5..], ["--env=A", "i", "/bin/bash", "-c", " -x"]);
}

/// Invalid values are refused with section, key, and the nearest valid word.
#[test]
fn errors_name_the_key_and_a_suggestion() {
    for (lines, words) in [
        ("Runner = shiftr\n", &["a.ini:2: [x]: Runner: there is no kind 'shiftr'", "did you mean 'shifter'?"][..]),
        ("Runner = shifter\nimgae = x\n", &["a.ini:3: [x]: imgae", "shifter has no such key", "'image'?"]),
        ("Runner = shifter\n", &["a.ini:1: [x]: the key 'image' is missing"]),
        ("Runner = shifter\nimage = a\ntempdir = true\n", &["tempdir: 'true'", "did you mean 'True'?"]),
        ("Runner = basic\nshell = zsh\n", &["a.ini:3: [x]: shell: 'zsh' is none of auto, bash, sh, split"]),
        ("Runner = basic\nenv.A = {taks}\n", &["env.A: {taks} is unknown", "did you mean {task}?"]),
        ("Runner = basic\nenv. = x\n", &["env."]),
        ("Runner = basic\nenv.PROC_NUMBER = x\n", &["env.PROC_NUMBER: the farm sets this variable itself"]),
        ("Runner = basic\ncwd =\n", &["cwd: the name of a folder is missing"]),
        ("Runner = basic\ncwd = /no/{}\n", &["a.ini:3: [x]: cwd: there is no folder /no/{}"]),
        ("Runner = template\n", &["the key 'command' is missing"]),
        ("Runner = template\ncommand = time true\n", &["command: every task would be the same"]),
        ("Runner = template\ncommand = time {task} > x\n", &["command: '>' is for a shell", "shell = bash"]),
        ("Runner = template\nshell = sh\ncommand = time '{task}'\n", &["command: {task} is between quotes"]),
        ("Runner = no dots\n", &["Runner: there is no kind 'no dots'", "built-in kinds: basic, shifter"]),
        ("Runner = basic\na = %\n", &["a.ini:3: [x]: a: a lone '%'"]),
    ] {
        let text = refusal(lines);
        for word in words {
            assert!(text.contains(word), "{word:?} in {text:?}");
        }
    }
}

/// Keys that `[DEFAULT]` adds for others are not an error, and an INI file may redefine `default`.
#[test]
fn inherited_keys_and_default() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.ini");
    std::fs::write(&file, "[DEFAULT]\nbase = /opt\n[default]\nRunner = basic\nenv.A = %(base)s/a\n").unwrap();
    let runner = find_in(&ini::load_files(Kind::Runners, vec![file]), DEFAULT_RUNNER).unwrap().prepare().unwrap();
    assert_eq!(runner.defined().unwrap().variables, [(b"A".to_vec(), Template::literal("/opt/a"))]);
    let none = ini::load_files(Kind::Runners, Vec::new());
    assert_eq!(find_in(&none, DEFAULT_RUNNER).unwrap().prepare().unwrap(), RunnerConfig::Basic);
}

proptest! {
    /// Promise 5: whatever a section contains, it is a runner or is refused; and it reaches the workers unchanged.
    #[test]
    fn any_section_is_a_runner_or_refused(
        kind in 0..KINDS.len(),
        keys in proptest::collection::vec(("(image|setup|command|shell|cwd|env\\.A|options|volumes|tempdir)", "[a{}:q' \"$%é/-]{0,8}|True|sh|\\{run\\}"), 0..5),
    ) {
        let keys: String = keys.iter().map(|(key, value)| format!("{key} = {}\n", value.replace('%', "%%"))).collect();
        if let Ok(runner) = read(&format!("Runner = {}\n{keys}", KINDS[kind].0)) {
            let bytes = crate::protocol::codec::encode(&runner).unwrap();
            prop_assert_eq!(crate::protocol::codec::decode::<RunnerConfig>(&bytes).unwrap(), runner);
        }
    }
}
