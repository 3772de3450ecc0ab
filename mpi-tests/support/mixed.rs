//! Makes a list of mixed tasks, each with its expected outcome.
//!
//! The outcomes are computed here, except for the text of bash's own messages, which comes from bash.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{End, Farm};

/// All signals that end a process unless it handles them: 16 is SIGSTKFLT, 34 and 64 are the first and the last
/// real-time signal.
const DEADLY: [u8; 25] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 24, 25, 26, 27, 29, 30, 31, 34, 64];

/// How often a list contains each kind of task that is not one of the common ones.
const BIG: u32 = 2;
const SLEEPS: u32 = 12;
const ODD_PROGRAMS: u32 = 24;

/// The bytes of a big log.
const BIG_BYTES: usize = 10 * 1024 * 1024;

/// The minimum time that a sleeping task takes.
pub(crate) const SLEEP_MS: u64 = 200;

#[derive(Clone, Copy)]
enum Kind {
    Exit(u8),
    /// By a shell that kills itself.
    Signal(u8),
    /// By a script that is started without a shell and kills itself.
    PlainSignal(u8),
    Big(u32),
    Sleep,
    OddProgram(u32),
    Common(u32),
}

/// A task and its outcome.
pub(crate) struct Task {
    pub(crate) command: Vec<u8>,
    pub(crate) end: End,
    pub(crate) log: Vec<u8>,
    /// What the task writes elsewhere.
    pub(crate) file: Option<(PathBuf, Vec<u8>)>,
    pub(crate) sleeps: bool,
}

impl Task {
    fn new(command: impl Into<Vec<u8>>, code: u8, log: impl Into<Vec<u8>>) -> Self {
        Self { command: command.into(), end: End::Exit(code), log: log.into(), file: None, sleeps: false }
    }
}

/// Writes a list of this many mixed tasks into a farm, and the files that they need. Tasks are in the order of
/// their IDs.
pub(crate) fn write_list(farm: &Farm, count: u32, seed: u64) -> Vec<Task> {
    println!("mixed tasks: count={count} seed={seed}");
    let mut random = Random(seed);
    let mut kinds: Vec<Kind> = (0..=255).map(Kind::Exit).collect();
    kinds.extend(DEADLY.map(Kind::Signal));
    kinds.extend(DEADLY.map(Kind::PlainSignal));
    kinds.extend((0..BIG).map(Kind::Big));
    kinds.extend((0..SLEEPS).map(|_| Kind::Sleep));
    kinds.extend((0..ODD_PROGRAMS).map(Kind::OddProgram));
    let special = u32::try_from(kinds.len()).unwrap();
    assert!(count > special + COMMON, "{count} tasks are too few for every kind");
    kinds.extend((0..count - special).map(Kind::Common));
    random.shuffle(&mut kinds);

    write_programs(farm);
    let tasks: Vec<Task> = (0..).zip(kinds).map(|(id, kind)| task(farm, id, kind)).collect();
    farm.write(super::farm::LIST, &list(&tasks, &mut random));
    tasks
}

/// The tasks as a user might write them down, with comments, blank lines and stray blanks.
fn list(tasks: &[Task], random: &mut Random) -> Vec<u8> {
    let mut list = b"# 2,000 things that may happen to a task\n\n".to_vec();
    for task in tasks {
        for _ in 0..random.below(8).saturating_sub(5) {
            let skipped = ["\n", "   \t \n", "# a comment with 'an open quote\n", "#exit 1\n", "#\n"];
            list.extend_from_slice(skipped[random.below(skipped.len())].as_bytes());
        }
        // What starts with # in column 0 would be a comment.
        let is_comment = task.command.starts_with(b"#");
        if is_comment || random.below(10) == 0 {
            list.extend_from_slice([b" ".as_slice(), b"\t", b"    "][random.below(3)]);
        }
        list.extend_from_slice(&task.command);
        if random.below(10) == 0 {
            list.extend_from_slice(b" \t ");
        }
        list.push(b'\n');
    }
    list
}

/// The programs that [`odd_program`] and [`Kind::PlainSignal`] run, and a folder for files.
fn write_programs(farm: &Farm) {
    for folder in ["files", "glob", "folder"] {
        std::fs::create_dir(farm.path(folder)).unwrap();
    }
    for name in ["glob/b", "glob/a", "glob/c"] {
        farm.write(name, b"");
    }
    farm.write_with_mode("die", 0o755, b"#!/bin/sh\nkill -$1 $$\n");
    farm.write_with_mode("not-executable", 0o644, b"#!/bin/sh\necho never\n");
    farm.write_with_mode("no-interpreter", 0o755, b"#!/no/such/interpreter\necho never\n");
    farm.write_with_mode("no-first-line", 0o755, b"echo \"$1\"; echo \"$2\" >&2; exit 5\n");
    farm.write_with_mode("empty", 0o755, b"");
    farm.write_with_mode("sub program", 0o755, b"#!/bin/sh\necho found\n");
}

fn task(farm: &Farm, id: u32, kind: Kind) -> Task {
    match kind {
        Kind::Exit(code) if code % 2 == 0 => Task::new(format!("exit {code}"), code, ""),
        Kind::Exit(code) => Task::new(format!("echo {id}; sh -c 'exit {code}'"), code, format!("{id}\n")),
        // bash itself ignores SIGQUIT.
        Kind::Signal(signal @ 3) => Task {
            end: End::Signal(signal),
            ..Task::new("echo dying; exec sh -c 'kill -3 $$; echo survived'", 0, "dying\n")
        },
        Kind::Signal(signal) => Task {
            end: End::Signal(signal),
            ..Task::new(format!("echo dying; kill -{signal} $$; echo survived"), 0, "dying\n")
        },
        Kind::PlainSignal(signal) => Task { end: End::Signal(signal), ..Task::new(format!("./die {signal}"), 0, "") },
        Kind::Big(0) => Task::new(format!("head -c {BIG_BYTES} /dev/zero"), 0, vec![0; BIG_BYTES]),
        Kind::Big(_) => {
            let command = format!("head -c {BIG_BYTES} /dev/zero | tr '\\0' x >&2");
            Task::new(command, 0, vec![b'x'; BIG_BYTES])
        }
        Kind::Sleep => Task { sleeps: true, ..Task::new("sleep 0.2", 0, "") },
        Kind::OddProgram(number) => odd_program(farm, id, number),
        Kind::Common(number) => common(farm, id, number),
    }
}

/// A program that cannot be run, or not in the usual way: bash shows the expected result.
fn odd_program(farm: &Farm, id: u32, number: u32) -> Task {
    let (command, code) = match number % 12 {
        0 => (format!("no-such-program-{id} --option value"), Some(127)),
        1 => (format!("./no-such-file-{id}"), Some(127)),
        2 => (format!("/no/such/folder/program {id}"), Some(127)),
        3 => (format!("./not-executable {id}"), Some(126)),
        4 => (format!("./folder {id}"), Some(126)),
        // 126 or 127, depending on bash's version.
        5 => (format!("./no-interpreter {id}"), None),
        6 => (format!("./no-first-line {id} two"), Some(5)),
        7 => (format!("./empty {id}"), Some(0)),
        8 => (format!("no-such-program-{id} | cat"), Some(0)),
        9 => (format!("\"./sub program\" {id}"), Some(0)),
        10 => (format!("ls /no/such/folder/{id}"), Some(2)),
        // Wrong, but complete: a line that ends in the middle would be refused.
        _ => (format!("echo {id} ) closed"), None),
    };
    let (found, log) = farm.bash(command.as_bytes());
    assert!(code.is_none_or(|code| code == found), "bash's exit code of {command} is {found}");
    Task::new(command, u8::try_from(found).unwrap(), log)
}

/// How many different tasks [`common`] makes.
const COMMON: u32 = 34;

fn common(farm: &Farm, id: u32, number: u32) -> Task {
    let word = ["a", "b", "c", "ab", "abc"][usize::try_from(number % 5).unwrap()];
    let home = farm.home().into_os_string().as_bytes().to_vec();
    let into_file = |command: String, log: &str, content: String| {
        let file = Some((farm.path(&format!("files/{id}")), content.into_bytes()));
        Task { file, ..Task::new(command, 0, log) }
    };
    match number % COMMON {
        0 => Task::new(format!("echo plain {id}"), 0, format!("plain {id}\n")),
        1 => Task::new("true", 0, ""),
        2 => Task::new("false", 1, ""),
        3 => Task::new(
            format!("printf '%s\\n' 'single  {id}' \"double  $TFTEST_VALUE\" {word}"),
            0,
            format!("single  {id}\ndouble  two  words\n{word}\n"),
        ),
        4 => Task::new(format!("printf 'b\\na\\n{id}\\n' | sort | tr a-z A-Z"), 0, format!("{id}\nA\nB\n")),
        5 => Task::new("echo $PROC_NUMBER", 0, format!("{id}\n")),
        6 => Task::new("echo $TFTEST_VALUE", 0, "two words\n"),
        7 => into_file(format!("echo into {id} > files/{id}"), "", format!("into {id}\n")),
        8 => into_file(
            format!("echo 1 >> files/{id}; echo 2 >>files/{id}; cat < files/{id}"),
            "1\n2\n",
            "1\n2\n".to_owned(),
        ),
        9 => Task::new(format!("echo out; echo err {id} >&2; echo out"), 0, format!("out\nerr {id}\nout\n")),
        10 => Task::new("sh -c 'echo out; echo err >&2; exit 3' 2>&1", 3, "out\nerr\n"),
        11 => Task::new(format!("echo {id} 2>&1 1>/dev/null"), 0, ""),
        12 => Task::new("cat", 0, ""),
        13 => Task::new("echo $((6*7)) $(echo inner) `echo old` {a,b}c", 0, "42 inner old ac bc\n"),
        14 => Task::new("echo glob/* glob/[bx]", 0, "glob/a glob/b glob/c glob/b\n"),
        15 => Task::new(format!("x={id}; for i in 1 2 3; do echo $x.$i; done"), 0, format!("{id}.1\n{id}.2\n{id}.3\n")),
        16 => Task::new(format!("test -f no-such-{id} && echo yes || echo no"), 0, "no\n"),
        17 => Task::new(format!("# only a comment {id}"), 0, ""),
        18 => Task::new([b"echo \xff\xfe\xc3 ", word.as_bytes(), b"x"].concat(), 0, {
            [b"\xff\xfe\xc3 ", word.as_bytes(), b"x\n"].concat()
        }),
        19 => Task::new([b"printf '%s\\n' 'caf\xe9 \x80' ", word.as_bytes(), b"\xa0"].concat(), 0, {
            [b"caf\xe9 \x80\n", word.as_bytes(), b"\xa0\n"].concat()
        }),
        20 => Task::new(format!("echo a\\ \\ b \\\"{id}\\\" \\$HOME"), 0, format!("a  b \"{id}\" $HOME\n")),
        21 => Task::new("true | false", 1, ""),
        22 => Task::new("false | true", 0, ""),
        23 => Task::new("exec sh -c 'exit 9'", 9, ""),
        24 => Task::new(format!("head -c {id} /dev/zero"), 0, vec![0; usize::try_from(id).unwrap()]),
        25 => Task::new(format!("/bin/echo  no   shell    {id}"), 0, format!("no shell {id}\n")),
        26 => Task::new("sleep 0.01 & wait; echo waited", 0, "waited\n"),
        27 => Task::new(format!("echo héllo ✓ {id}"), 0, format!("héllo ✓ {id}\n")),
        28 => Task::new("echo ~", 0, [home.as_slice(), b"\n"].concat()),
        29 => Task::new("! true", 1, ""),
        30 => Task::new(format!("cat <<< \"here  {id}\""), 0, format!("here  {id}\n")),
        31 => Task::new("$TFTEST_COMMAND", 0, "from a variable\n"),
        32 => Task::new("printf '\\000\\001\\377'", 0, b"\x00\x01\xff".as_slice()),
        _ => Task::new("seq 1 3", 0, "1\n2\n3\n"),
    }
}

/// A small generator (SplitMix64), so that a list is the same wherever it is made.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}
