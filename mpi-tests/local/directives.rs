//! What a list asks for: `#TF cpus=2`, and the keys of the handler `template`. docs/resources.md.

use crate::support::holders::{self, CPUS};
use crate::support::{Farm, skipped, status};

fn cpus() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

/// Promise: each task has as many CPUs as its line asks for, no other task has them at that time, and all that the rank
/// has are used by both kinds.
#[test]
fn each_task_has_the_cpus_that_it_asks_for() {
    if cpus() < 2 {
        return skipped("this machine has one CPU");
    }
    let line = holders::line(CPUS);
    let list = format!("#TF cpus=1\n{line}{line}{line}#TF next cpus=2\n{line}{line}#TF cpus=2\n{line}{line}").repeat(2);
    let farm = Farm::local(list.as_bytes());
    let text = farm.run(&[]).exits(0).stderr_text();
    assert!(text.contains("slots at most, for 2 different demands"), "{text}");
    let had = holders::check(&farm, 14, 1);
    let counts: Vec<usize> = had.iter().map(|(cpus, _)| holders::expand(cpus).len()).collect();
    assert_eq!(counts, [1, 1, 1, 2, 1, 2, 2].repeat(2));
}

/// Promise: a task that asks for a whole GPU has it for itself, those that ask for a part share one, and the others see
/// none. A task learns how many CPUs it has.
#[test]
fn each_task_has_the_gpus_that_it_asks_for() {
    let mut farm = Farm::local(holders::list_of_parts(4, "${TASKFARMER_GPUS:-none}").as_bytes());
    farm.set("CUDA_VISIBLE_DEVICES", "a,b");
    farm.run(&["--proc", "6"]).exits(0);
    assert_eq!(holders::check_parts(&farm, 4).into_keys().collect::<Vec<_>>(), ["a", "b"], "both are used");
    let list = b"#TF gpus=1\necho ${CUDA_VISIBLE_DEVICES-unset}\n#TF reset\necho \"${CUDA_VISIBLE_DEVICES-unset}.\"\n";
    let mut farm = Farm::local(list);
    farm.set("CUDA_VISIBLE_DEVICES", "a,b");
    farm.run(&[]).exits(0);
    assert_eq!((farm.workdir().log(0), farm.workdir().log(1)), (b"a\n".to_vec(), b".\n".to_vec()));
}

/// Promise: directives change nothing but what tasks have: IDs, records and logs are those of the same list without
/// them. They may change between runs.
#[test]
fn directives_are_comments_to_the_records() {
    let records = |list: &[u8]| {
        let farm = Farm::local(list);
        farm.run(&["--proc", "1"]).exits(1);
        let logs = (0..4).map(|id| farm.workdir().log(id)).collect::<Vec<_>>();
        (farm.workdir().finished(), farm.workdir().failed(), logs)
    };
    let plain = b"# a list\necho a\nfalse\n\necho $((1+2))\necho d\n";
    let with =
        b"# a list\n#TF cpus=1\necho a\n#TF next mem=1M\nfalse\n\n#TF reset\necho $((1+2))\n#TF mem=2M\necho d\n";
    assert_eq!(records(plain), records(with));
    let farm = Farm::local(with);
    farm.run(&["--timeout", "0.1", "--task-time", "0"]);
    farm.write("tasks.txt", b"#TF mem=3M\necho a\nfalse\necho $((1+2))\n#TF next cpus=1\necho d\n");
    farm.run(&[]).exits(1);
    assert_eq!((farm.workdir().finished().len(), farm.workdir().failed().len()), (3, 1));
}

/// A mistake is refused with its line and the nearest key, before anything is written.
#[test]
fn mistakes_are_refused() {
    for (directive, words) in [
        ("#TF cpu=2", &["line 2: #TF has no key 'cpu'; did you mean 'cpus'?", "keys: cpus, gpus, mem, priority"][..]),
        ("#TF cpus=many", &["line 2: cpus=many: not a valid number of CPUs"]),
        ("#TF next mem=1G", &["line 2: #TF next: no task follows"]),
    ] {
        let farm = Farm::local(format!("true\n{directive}\n").as_bytes());
        farm.run(&[]).refused(words);
    }
}

/// A task for which there is no room ends the farm with exit code 2, by its ID, once all ranks have joined.
#[test]
fn an_impossible_task_is_named() {
    let farm = Farm::local(b"true\n#TF next cpus=90000\necho x >> ran\ntrue\n");
    let text = farm.run(&[]).exits(2).stderr_text();
    let words = format!("task 1 asks for 90000 CPUs, and this rank, which comes closest, has {} CPU", cpus());
    assert!(text.contains("error: no rank has room for a task: on rank 0 (") && text.contains(&words), "{text}");
    status::text(&farm, 2, &["--exit-code"]);
    assert!(!farm.path("ran").exists());
    farm.write("tasks.txt", b"true\necho x >> ran\ntrue\n");
    farm.run(&[]).exits(0);
    assert_eq!(farm.workdir().finished().len(), 3);
}

/// A dry run shows what each task asks for, if they differ.
#[test]
fn a_dry_run_shows_demands() {
    let farm = Farm::local(b"a\n#TF cpus=4 mem=1.5G\nb\n#TF next gpus=0.25\nc\n");
    let text = farm.run(&["--dry-run"]).exits(0).printed();
    assert_eq!(text, "0 [cpus=1] a\n1 [cpus=4 mem=1536M] b\n2 [cpus=4 gpus=0.25 mem=1536M] c\n");
    let text = farm.run(&["--dry-run", "--gpus-per-task", "2"]).exits(0).printed();
    assert!(text.starts_with("0 [cpus=1 gpus=2] a\n"), "{text}");
    let farm = Farm::local(b"#TF cpus=4\na\nb\n");
    assert_eq!(
        farm.run(&["--dry-run"]).exits(0).printed(),
        "0 [cpus=4] a\n1 [cpus=4] b\n",
        "even if all ask for the same"
    );
    let farm = Farm::local(b"a\n");
    assert_eq!(farm.run(&["--dry-run"]).exits(0).printed(), "0 a\n");
}

/// A column of a table says what the task of its row asks for; an empty one leaves it to the command line.
#[test]
fn a_column_says_what_a_task_asks_for() {
    let farm = Farm::local(b"name,cores,memory\nx,1,100M\ny,,\nz,2,1G\n");
    farm.write(
        "h.ini",
        b"[sized]\nTaskList = template\ncsv = yes\ncommand = echo {name}\ncpus = {cores}\nmem = {memory}\n",
    );
    let dry = |options: &[&str]| farm.run(&[&["-t", "sized", "--dry-run"], options].concat()).exits(0).printed();
    let all = "0 [cpus=1 mem=100M] echo x\n1 [cpus=1] echo y\n2 [cpus=2 mem=1G] echo z\n";
    assert_eq!(dry(&[]), all);
    assert!(dry(&["--cpus-per-task", "3"]).contains("1 [cpus=3] echo y\n"));
    farm.write("tasks.txt", b"name,cores,memory\nx,one,\n");
    farm.run(&["-t", "sized"]).refused(&["line 2: cpus=one: not a valid number of CPUs"]);
    farm.write("tasks.txt", b"#TF cpus=2\nname,cores,memory\nx,1,\n");
    farm.run(&["-t", "sized"]).refused(&["line 1: #TF directives are for lists of commands"]);
    farm.write("tasks.txt", b"command = echo {a}\na = 1..3\n#TF cpus=2\n");
    farm.run(&["-t", "product"]).refused(&["line 3: #TF directives are for lists of commands"]);
}

/// A program that prints tasks may print directives, too.
#[test]
fn a_program_may_print_directives() {
    let farm = Farm::local(b"");
    farm.write("h.ini", b"[made]\nTaskList = exec\ncommand = printf '#TF cpus=%%s\\ntrue %%s\\n' 1 a 2 b\n");
    let text = farm.run(&["-t", "made", "--dry-run"]).exits(0).printed();
    assert_eq!(text, "0 [cpus=1] true a\n1 [cpus=2] true b\n");
    farm.write("h.ini", b"[made]\nTaskList = exec\ncommand = echo '#TF x=1'\n");
    farm.run(&["-t", "made"]).refused(&["the program prints, on line 1, #TF has no key 'x'"]);
    farm.write("h.ini", b"[made]\nTaskList = exec\nseparator = nul\ncommand = printf '#TF cpus=1\\0true\\0'\n");
    farm.run(&["-t", "made"]).refused(&["prints a directive, #TF, with 'separator = nul'"]);
}

/// Every task of a long mixed list runs once, and short ones do not wait for a round trip each.
#[test]
fn a_long_mixed_list_is_completed() {
    let list: String = (0..3_000).map(|id| if id % 10 == 0 { "#TF next cpus=2\ntrue\n" } else { "true\n" }).collect();
    let farm = Farm::local(list.as_bytes());
    farm.run(&["--cpus-per-task", "1", "--logs", "none"]).exits(if cpus() < 2 { 2 } else { 0 });
    assert_eq!(farm.workdir().finished().len(), if cpus() < 2 { 0 } else { 3_000 });
}

/// A runner can give a program the CPUs and GPUs of its task.
#[test]
fn a_runner_has_fields_for_them() {
    let mut farm = Farm::local(b"#TF gpus=1\nx\n#TF reset\n#TF gpus=0.5\ny\n");
    farm.set("CUDA_VISIBLE_DEVICES", "7");
    farm.write("r.ini", b"[shows]\nRunner = template\ncommand = echo {cpus} gpu:{gpu} {task}\n");
    farm.run(&["--runner", "shows"]).exits(0);
    assert_eq!((farm.workdir().log(0), farm.workdir().log(1)), (b"0 gpu:7 x\n".to_vec(), b"0 gpu:7 y\n".to_vec()));
    farm.write("tasks.txt", b"x\ny\n#TF next cpus=1\nz\n");
    farm.run(&["--runner", "shows", "--cpus-per-task", "1"]).exits(0);
    assert_eq!(farm.workdir().log(2), b"1 gpu: z\n");
}

/// Tasks with a higher priority start first, and those with a lower one last.
#[test]
fn priorities_decide_the_order() {
    let line = "echo $PROC_NUMBER >> order\n";
    let list = format!("#TF priority=-1\n{line}#TF reset\n{line}{line}#TF next priority=9\n{line}{line}");
    let farm = Farm::local(list.as_bytes());
    farm.run(&["--proc", "1"]).exits(0);
    assert_eq!(farm.lines("order"), ["3", "1", "2", "4", "0"]);
}

/// Tasks without CPUs of their own are bound as their slots are, if the user asks for that.
#[test]
fn slots_are_bound_if_nothing_asks_for_cpus() {
    let mut farm = Farm::local(format!("#TF gpus=1\n{0}#TF reset\n{0}{0}", holders::line(CPUS)).as_bytes());
    farm.set("CUDA_VISIBLE_DEVICES", "a");
    farm.run(&["--bind", "slot", "--proc", &cpus().to_string()]).exits(0);
    holders::check(&farm, 3, 1);
}

/// If no task has room, the message names the first one, and not an option that nobody gave.
#[test]
fn a_list_without_any_room_is_explained() {
    let mut farm = Farm::local(b"#TF gpus=3\ntrue\n#TF reset\n#TF cpus=90000\ntrue\n");
    farm.set("CUDA_VISIBLE_DEVICES", "a");
    let text = farm.run(&[]).exits(2).stderr_text();
    assert!(text.contains("task 0 asks for 3 GPUs, and this rank, which comes closest, has 1 GPU"), "{text}");
    assert!(!text.contains("-per-task"), "{text}");
}

/// What the farm shares out is never taken by more tasks than there are, and a task may take several.
#[test]
fn licenses_are_shared_out() {
    let list = "#TF license=1\necho + >> order; sleep 0.1; echo - >> order\n".repeat(6);
    let farm = Farm::local(list.as_bytes());
    farm.run(&["--proc", "6", "--resource", "license=2"]).exits(0);
    let running = farm.lines("order").iter().fold((0_i32, 0), |(now, most), line| {
        let now = if line == "+" { now + 1 } else { now - 1 };
        (now, most.max(now))
    });
    assert_eq!(running, (0, 2));
    let farm = Farm::local(b"#TF license=1\ntrue\n#TF next license=2\ntrue\n");
    farm.run(&[]).refused(&["line 1: #TF has no key 'license'", "--resource license=5"]);
    let text = farm.run(&["--dry-run", "--resource", "license=2"]).exits(0).printed();
    assert_eq!(text, "0 [license=1] true\n1 [license=2] true\n");
    farm.run(&["--resource", "license=1"]).refused(&["task 1 asks for 2 of 'license', and --resource gives 1"]);
    farm.run(&["--resource", "license=1", "--resource", "license=2"]).refused(&["'license' is given twice"]);
    farm.run(&["--resource", "cpus=1"]).refused(&["--resource cpus=1: not a valid number of something", "license=5"]);
    farm.run(&["--resource", "license=2"]).exits(0);
}
