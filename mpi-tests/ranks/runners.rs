//! Runners from INI files with real ranks: rank 0 reads them, all use them.

use crate::support::Farm;

/// Every rank starts its tasks as the INI file says, and each in its own folder and with its own values.
#[test]
fn every_rank_has_the_runner() {
    let meet = "touch here-$PROC_NUMBER; until [ $(ls here-* | wc -l) -ge 6 ]; do sleep 0.05; done; ";
    let list = format!("{meet}echo $RANK $SET {{task}}; ls -a $FRESH > fresh-$PROC_NUMBER\n").repeat(6);
    let farm = Farm::mpi(3, list.as_bytes()).time_limit(60);
    farm.write("r.ini", b"[r]\nRunner = template\ncommand = env -- {run}\nsetup = export SET=yes\nenv.RANK = {rank}\nenv.FRESH = {tempdir}\n");
    farm.run(&["--runner", "r", "--proc", "2"]).exits(0);
    let workdir = farm.workdir();
    let events = workdir.timeline().by_task();
    let mut ranks = [0; 3];
    for (id, event) in &events {
        ranks[usize::try_from(event.rank).unwrap()] += 1;
        assert_eq!(String::from_utf8_lossy(&workdir.log(*id)), format!("{} yes {{task}}\n", event.rank));
        assert_eq!(farm.lines(&format!("fresh-{id}")), [".", ".."]);
    }
    assert_eq!(ranks, [2; 3]);
}

/// A mistake is reported once, by rank 0, and nothing is created; a Python class is tested only on rank 0, and not by
/// the process that uses MPI.
#[test]
fn a_mistake_is_reported_once() {
    let mut farm = Farm::mpi(3, b"echo one\n").time_limit(60);
    farm.write("r.ini", b"[r]\nRunner = shiftre\n[p]\nRunner = mysite.Class\n");
    std::fs::write(
        farm.home().join("mysite.py"),
        "import os\nparent = open(f'/proc/{os.getppid()}/comm').read()\n\
         open(__file__ + '.tried', 'a').write(parent)\nraise ValueError('no')\n",
    )
    .unwrap();
    farm.set("PYTHONPATH", farm.home().to_str().unwrap());
    let before = farm.everything();
    farm.run(&["--runner", "r"]).refused(&["r.ini:2: [r]: Runner", "did you mean 'shifter'?"]);
    farm.run(&["--runner", "p"]).refused(&["r.ini:3: [p]", "ValueError: no"]);
    assert_eq!(farm.everything(), before);
    let tried = std::fs::read_to_string(farm.home().join("mysite.py.tried")).unwrap();
    assert_eq!(tried, "tfarmer-reader\n", "a process that speaks MPI starts no program");
}
