//! Events of real ROOT files: counted, split, or clearly refused.

use crate::support::Farm;

use super::{PYROOT, dry_run, make_root_files, refused, root_env};

const INI: &[u8] = b"[digi]\nTaskList = transform\ntransform = X_tf.py\ninput = HITS\noutput = RDO\n\
    maxEventsPerJob = 1000\n";

/// Files of 0, 1, 999, 1,000 and 1,001 entries, compressed by each method or not at all, get the right number of tasks;
/// neither ROOT nor Python is needed.
#[test]
fn files_are_split_by_their_entries() {
    let Some(root_env) = root_env() else { return };
    let mut list = String::new();
    let mut wanted = Vec::new();
    let mut file_number = 0;
    for method in ["none", "zlib", "lzma", "lz4", "zstd"] {
        for (entries, parts) in [(0, 0), (1, 1), (999, 1), (1000, 1), (1001, 2)] {
            let file = format!("root/{method}.{entries}.root");
            list.push_str(&format!("{file}\n"));
            for part in 0..parts {
                let result = format!("RDO.{file_number}.{part}.root");
                let skip = part * 1000;
                wanted.push(format!(
                    "X_tf.py --inputHITSFile {file} --outputRDOFile {result} --skipEvents {skip} --maxEvents 1000 \
                     && rsync -avr {result} CWD/tasks.txt_workdir/output"
                ));
            }
            file_number += 1;
        }
    }
    let mut farm = Farm::local(list.as_bytes());
    farm.write("atlas.ini", INI);
    make_root_files(&farm, &root_env);
    farm.set("PATH", "/nonexistent");
    let cwd = farm.cwd();
    let tasks = dry_run(&farm, &["--tasklist", "digi", "tasks.txt"]);
    let tasks: Vec<String> = tasks.iter().map(|task| task.replace(cwd.to_str().unwrap(), "CWD")).collect();
    assert_eq!(tasks, wanted);
    let outcome = farm.run_exactly(&["-v", "--dry-run", "--tasklist", "digi", "tasks.txt"]).exits(0);
    assert!(outcome.stderr_text().contains("events of 25 ROOT files counted without ROOT"));
}

/// A file without countable events is named, with its line and the reason, before anything starts.
#[test]
fn bad_files_are_refused() {
    let Some(root_env) = root_env() else { return };
    let mut farm = Farm::local(b"");
    farm.write("atlas.ini", INI);
    make_root_files(&farm, &root_env);
    no_python_packages(&mut farm);
    for (file, why) in [
        ("root/missing.root", "No such file"),
        ("root", "directory"),
        ("root/other.root", "no CollectionTree; it has MetaData"),
        ("root/histogram.root", "not a TTree"),
        ("root/text.root", "not a ROOT file"),
        ("root/empty.root", "not a ROOT file"),
        ("root/cut.root", "cut off"),
        ("root/open.root", "damaged: it was not closed"),
    ] {
        farm.write("tasks.txt", format!("# files\nroot/none.1.root\n{file}\n").as_bytes());
        refused(&farm, &["--tasklist", "digi"], &["tasks.txt", "line 3", file, why]);
    }
    for max in ["0", "-1", "nan", "x", "", "inf"] {
        farm.write("tasks.txt", b"root/none.1.root\n");
        let ini = String::from_utf8(INI.to_vec()).unwrap().replace("= 1000", &format!("= {max}"));
        farm.write("atlas.ini", ini.as_bytes());
        refused(&farm, &["--tasklist", "digi"], &["atlas.ini:6", "[digi]", "maxEventsPerJob"]);
    }
}

/// Modules that take precedence over all others and report that they do not exist.
fn no_python_packages(farm: &mut Farm) {
    let folder = farm.home().join("modules");
    std::fs::create_dir_all(&folder).unwrap();
    for module in ["ROOT", "uproot"] {
        std::fs::write(folder.join(format!("{module}.py")), "raise ImportError('hidden by the test')\n").unwrap();
    }
    farm.set("PYTHONPATH", folder.to_str().unwrap());
}

/// Files that this program cannot read go to PyROOT, otherwise to uproot; the log says to which. If neither is
/// available, the error says so.
#[test]
fn unreadable_files_go_to_python() {
    let Some(root_env) = root_env() else { return };
    let mut farm = Farm::local(b"");
    farm.write("atlas.ini", INI);
    make_root_files(&farm, &root_env);
    let url = format!("file://{}", farm.path("root/zlib.1001.root").display());
    farm.write("tasks.txt", format!("root/none.1.root\n{url}\n").as_bytes());
    let count = |farm: &Farm, who: &str| {
        assert_eq!(dry_run(farm, &["--tasklist", "digi", "tasks.txt"]).len(), 3);
        let outcome = farm.run_exactly(&["-v", "--dry-run", "--tasklist", "digi", "tasks.txt"]).exits(0);
        let text = outcome.stderr_text();
        assert!(text.contains("events of 1 ROOT files counted without ROOT, of 1 by") && text.contains(who), "{text}");
    };

    super::prepend(&mut farm, "PATH", &root_env.join("bin"));
    count(&farm, "by uproot 5.");

    // PyROOT is not on PyPI: a stand-in with the few calls that are used.
    let folder = farm.home().join("pyroot");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("ROOT.py"), PYROOT).unwrap();
    farm.set("PYTHONPATH", folder.to_str().unwrap());
    count(&farm, "by PyROOT 6.99");

    // A file that cannot be read, and neither package.
    farm.write("tasks.txt", b"root/open.root\n");
    refused(&farm, &["--tasklist", "digi"], &["line 1", "root/open.root", "damaged", "PyROOT 6.99: "]);
    no_python_packages(&mut farm);
    refused(&farm, &["--tasklist", "digi"], &["line 1", "damaged", "neither PyROOT nor uproot", "hidden by the test"]);
    farm.set("PATH", "/nonexistent");
    refused(&farm, &["--tasklist", "digi"], &["line 1", "damaged", "python3", "cannot be started"]);
}
