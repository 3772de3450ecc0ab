//! The examples of PyTaskFarmer's documentation for ATLAS, run by it and by this program from the same INI files: the
//! same programs with the same arguments and the same environment.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use crate::pytaskfarmer::pytaskfarmer;
use crate::support::{Farm, expected};

use super::{PYROOT, dry_run, make_root_files, prepend, root_env, site_packages};

/// A stand-in for athena.py, Reco_tf.py and rsync: records its arguments and the environment in which it was started.
const RECORDER: &str = r#"#!/bin/bash
record=$(mktemp "$RECORDS/${0##*/}.XXXXXXXX")
printf '%s\0' "${0##*/}" "$@" > "$record.arguments"
cat /proc/$$/environ > "$record.environment"
"#;

/// A stand-in for shifter, in which PyTaskFarmer has a shell: runs the command without any container.
const SHIFTER: &str = "#!/bin/bash\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n";

const SHIFT: &str = "[shift]\nRunner = taskfarmer.runners.ShifterRunner\nimage = none\nsetup = true\n";

/// Variables that differ between two runs, or that only one of the two farms sets, as docs/tasklist.md says.
const OWN: [&str; 7] = ["PROC_NUMBER", "BASH_ENV", "_", "SHLVL", "OLDPWD", "LC_CTYPE", "__PYVENV_LAUNCHER__"];

/// The INI example of a class in PyTaskFarmer's documentation, from the installed package.
fn example(environment: &Path, section: &str) -> String {
    let source = fs::read_to_string(site_packages(environment).join("taskfarmer/atlas.py")).unwrap();
    let header = format!("[{section}]");
    let lines = source.lines().skip_while(|line| line.trim() != header).take_while(|line| !line.trim().is_empty());
    let lines: Vec<&str> = lines.map(str::trim).collect();
    assert!(lines.len() > 3, "no example [{section}] in PyTaskFarmer's documentation");
    lines.join("\n") + "\n"
}

fn farm(list: &str, ini: &str, root_env: &Path) -> Farm {
    let mut farm = Farm::local(list.as_bytes());
    for variable in ["SCRATCH", "TMP", "TMPDIR"] {
        farm.unset(variable);
    }
    for folder in ["bin", "records", "modules"] {
        fs::create_dir(farm.home().join(folder)).unwrap();
    }
    let bin = farm.home().join("bin");
    for (name, text) in [("athena.py", RECORDER), ("Reco_tf.py", RECORDER), ("rsync", RECORDER), ("shifter", SHIFTER)] {
        let path = bin.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    // PyTaskFarmer counts events by PyROOT, which is not on PyPI.
    fs::write(farm.home().join("modules/ROOT.py"), PYROOT).unwrap();
    prepend(&mut farm, "PYTHONPATH", &site_packages(root_env));
    let modules = farm.home().canonicalize().unwrap().join("modules");
    prepend(&mut farm, "PYTHONPATH", &modules);
    prepend(&mut farm, "PATH", &bin.canonicalize().unwrap());
    farm.set("RECORDS", farm.home().canonicalize().unwrap().join("records").to_str().unwrap());
    farm.write("handlers.ini", ini.as_bytes());
    // PyTaskFarmer 0.1.0 does not read runners from the current folder.
    let runners = farm.home().join(".pytaskfarmer/runners.d");
    fs::create_dir_all(&runners).unwrap();
    fs::write(runners.join("shift.ini"), SHIFT).unwrap();
    farm
}

type Record = (Vec<String>, BTreeMap<String, String>);

/// The environment and arguments of the programs that were started, sorted; `ROOT` stands for the farm's own folder.
fn records(farm: &Farm) -> Vec<Record> {
    let root = farm.cwd().parent().unwrap().to_str().unwrap().to_owned();
    let read = |path: &Path| -> Vec<String> {
        let bytes = fs::read(path).unwrap();
        let strings = bytes.strip_suffix(b"\0").expect("NUL at the end").split(|&byte| byte == 0);
        strings.map(|string| String::from_utf8_lossy(string).replace(&root, "ROOT")).collect()
    };
    let is_own =
        |name: &str| OWN.contains(&name) || name.starts_with("TASKFARMER_") || name == crate::support::processes::MARK;
    let files = fs::read_dir(farm.home().join("records")).unwrap().map(|entry| entry.unwrap().path());
    let mut records: Vec<Record> = files
        .filter(|path| path.extension() == Some(OsStr::new("arguments")))
        .map(|path| {
            let environment = read(&path.with_extension("environment"));
            let variables = environment.iter().filter_map(|line| line.split_once('='));
            let variables = variables.filter(|(name, _)| !is_own(name));
            (read(&path), variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
        })
        .collect();
    records.sort();
    records
}

/// Runs a section with both programs, and compares what was started and the content of the workdirs.
#[track_caller]
fn same_by_both(section: &str, more_keys: &str, list: &str, programs: usize) {
    let (Some(program), Some(root_env)) = (pytaskfarmer(), root_env()) else { return };
    let environment = program.parent().unwrap().parent().unwrap();
    let ini = format!("{}{more_keys}", example(environment, section));
    let [theirs, ours] = [farm(list, &ini, &root_env), farm(list, &ini, &root_env)];
    for farm in [&theirs, &ours] {
        make_root_files(farm, &root_env);
    }
    let words = ["--proc", "2", "--runner", "shift", "--tasklist", section, "tasks.txt"].map(OsStr::new);
    theirs.start_other(&[&[program.as_os_str()], &words[..]].concat()).wait_and_clean_up().exits(0);
    ours.run(&["--proc", "2", "--runner", "shift", "--tasklist", section]).exits(0);

    assert!(ours.workdir().file("output").is_dir(), "the folder that results are copied to");
    expected::are_the_same("finished", &tasks(&ours), &tasks(&theirs));
    let (their, our) = (records(&theirs), records(&ours));
    assert_eq!(our.len(), programs, "programs that were started");
    assert_eq!(their, our);
    println!("first record: {:?}", our[0].0);
}

fn tasks(farm: &Farm) -> crate::support::workdir::Tasks {
    let root = farm.cwd();
    let replace = |task: Vec<u8>| String::from_utf8(task).unwrap().replace(root.to_str().unwrap(), "CWD").into_bytes();
    farm.workdir().finished().into_iter().map(|(id, task)| (id, replace(task))).collect()
}

/// ATLAS digitisation without pile-up, one task per file.
#[test]
fn digitisation_example() {
    same_by_both("digi", "", "# HITS\nroot/none.1.root\n\n/data/HITS.1.root\nroot/zlib.999.root\n", 6);
}

/// The same, split by events.
#[cfg(feature = "root")]
#[test]
fn digitisation_split_by_events() {
    same_by_both("digi", "maxEventsPerJob = 400\n", "root/none.1001.root\nroot/none.0.root\nroot/none.1.root\n", 8);
}

/// Validation by athena, one task per file.
#[test]
fn athena_example() {
    same_by_both("valid", "", "/data/AOD.0.root\n/data/AOD.1.root\n", 4);
}

/// The same, split by events; its results are numbered by task.
#[cfg(feature = "root")]
#[test]
fn athena_split_by_events() {
    same_by_both("valid", "maxEventsPerJob = 500.0\n", "root/lzma.1001.root\nroot/lz4.999.root\n", 10);
}

/// Names of files that a shell would split arrive whole; lines that are not files are passed to the shell, as usual.
#[test]
fn odd_names_of_files() {
    let ini = "[digi]\nTaskList = transform\ntransform = Reco_tf.py\ninput = HITS\noutput = RDO\nx = it%%\n";
    let farm = Farm::local("my file.root\n'/data/a b.root'\n/data/*.root\nit's.root\n\u{e9}.root\n".as_bytes());
    farm.write("handlers.ini", ini.as_bytes());
    for name in ["my file.root", "it's.root", "\u{e9}.root"] {
        farm.write(name, b"");
    }
    let tasks = dry_run(&farm, &["--tasklist", "digi", "tasks.txt", "--workdir", "my work"]);
    let inputs = tasks.iter().map(|task| {
        let begin = "Reco_tf.py --x 'it%' --inputHITSFile ";
        task.strip_prefix(begin).unwrap().split(" --output").next().unwrap()
    });
    assert_eq!(
        inputs.collect::<Vec<_>>(),
        ["'my file.root'", "'/data/a b.root'", "/data/*.root", "'it'\\''s.root'", "'\u{e9}.root'"]
    );
    let outdir = format!(" '{}/my work/output'", farm.cwd().display());
    assert!(tasks.iter().all(|task| task.ends_with(&outdir)), "{}", tasks[0]);
}

/// Keys that are missing, or that would break the command, are named.
#[test]
fn bad_sections_are_refused() {
    let good = "TaskList = taskfarmer.atlas.TransformTaskList\ntransform = x\ninput = HITS\noutput = RDO\n";
    let athena = "TaskList = taskfarmer.atlas.AthenaTaskList\njobOptions = x\noutput = y\n";
    let farm = Farm::local(b"file.root\n");
    for (section, mentioned) in [
        (good.replace("transform = x\n", ""), "transform"),
        (good.replace("input = HITS\n", ""), "input"),
        (athena.replace("output = y\n", ""), "output"),
        (athena.replace("jobOptions = x\n", ""), "jobOptions"),
        (format!("{good}preExec = a\n  b\n"), "preExec"),
        (good.replace("= RDO", "= RDO\n  x"), "output"),
    ] {
        farm.write("handlers.ini", format!("[digi]\n{section}").as_bytes());
        super::refused(&farm, &["--tasklist", "digi"], &["handlers.ini:", "[digi]", mentioned]);
    }
}
