//! Lines with quotes, redirections, assignments, `cd` and `exec` that need no shell do what bash does with them: the same
//! output, exit code or signal, files with modes and contents, environment and working directory.
//!
//! Each line runs twice in the same folder: by `bash -c`, and by a real farm. Every line has a folder of its own for
//! what it reads and writes.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, thread};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use taskfarmer::internals::TAKEN_OUT_BY_BASH;

use super::shell_rules::Random;
use crate::support::Farm;

/// How many lines, unless `TASKFARMER_LINES` says otherwise.
const LINES: usize = 4000;
const THREADS: usize = 3;

/// What a program prints of itself: arguments, the variables that it was started with, folder, and what its descriptors
/// are if they are files of the line.
const REPORT: &str = r#"#!/bin/sh
printf '<%s>' "$0" "$@"; echo
tr '\0' '\n' < /proc/$$/environ | grep -v '^\(TASKFARMER_\|PROC_NUMBER=\)' | sort
readlink /proc/$$/cwd
for fd in 0 1 2; do
    file=$(readlink /proc/$$/fd/$fd)
    case $file in
    */w[0-9]*) echo "$fd ${file##*/} $(head -n 2 /proc/$$/fdinfo/$fd | tr '\n' ' ')" ;;
    /dev/null) echo "$fd null" ;;
    esac
done
umask
echo error >&2
exit $(($# % 5))
"#;

/// One that prints little, and copies its input.
const ARGS: &str = "#!/bin/sh\nprintf '<%s>' \"$0\" \"$@\"; echo error >&2\nexec cat\n";

/// One that dies by a signal, even if whoever has started the tests ignores it.
const DIE: &str = "#!/bin/sh\necho dying; echo error >&2\nexec env --default-signal sh -c 'kill -s \"$0\" $$' \"$1\"\n";
const BARE: &str = "printf '<%s>' bare \"$@\"\necho error >&2\nexit 3\n";

/// Lines in which something is special. `W` stands for the folder of the line, `H` for the folder of the farm.
#[rustfmt::skip]
const HOSTILE: &[&str] = &[
    // Order, and descriptors that share an offset.
    "args a > W/x 2>&1", "args a 2>&1 > W/x", "args a >W/x 2>W/x", "args a > W/x > W/y", "args a >W/x 2>>W/x >&2",
    "args a >&2 2>W/x", "args a &> W/x", "args a &>>W/old", "args a&>W/x", "args 2&>W/x", "args a 2>&1 1>&2",
    "args <W/in >W/in", "args < W/in > W/old", "args 0<W/in 1>>W/old 2>|W/x", "args>W/x<W/in", "args a>W/x b c",
    ">W/x args a", "2>W/x <W/in args a >&2", "A=1 >W/x B=2 report", ">W/x A=1 report", "report > W/x >W/y 2>&1",
    // Names.
    "args > 'W/a b'", "args > W/\"a b\"", "args > W/a\\ b", "args > W/'*'", "args >W/*", "args > W/{a,b}", "args > ''",
    "args > W/$HOME", "args > 'W/$HOME'", "args > ~/x", "args > W/x# # y", "args #> W/x", "args '#' # c", "args a#b",
    "args > W/\u{e9}", "args '\u{e9}' > 'W/\u{e9}\u{2028}'", "args '\u{e9}\\'", "args \"\u{e9}\" > W/x", "args '\u{1}'",
    // What cannot be opened, and what is not a file.
    "args > W", "args > W/no/x", "args < W/no", "args > W/x < W/no", "args >> W/link", "args < W/link", "args > W/lost",
    "args > W/old/x", "args > W/", "args > /dev/null", "args 2> /dev/null <W/in", "args a > /dev/stdout 2> W/x",
    "args >/dev/stderr", "args > /dev/fd/1", "args > /dev/fd/7", "args < /dev/stdin", "args </proc/self/comm",
    "args > /dev/tcp/localhost/1", "args > /dev/full", "args < /dev/zero > /dev/full", "report < W/empty",
    "args > /dev/fd/../null", "args <H/W/in >>H/W/x", "args > W/./x", "args > W/sub/../x", "args < /proc/$$/comm",
    // Descriptors and operators that are the shell's.
    "args 3>W/x", "args 10>W/x", "args 2>&-", "args <&-", "args >&-", "args >&W/x", "args <>W/x", "args <<<a", "args 0>W/x",
    "args 1<W/in", "args {v}>W/x", "args > 2> W/x", "args > 2", "args &>1", "args >&3", "args 2>&3", "args 2>& 1 >W/x",
    "args > W/x 2>&1>W/y", "args >| W/old", "args 2>| W/old", "args >!W/x", "args < <(cat)", "args 12",
    "args a 2>&1 2>&1", "args 1>&1", "args 2>&2", "args 2>&1 | cat", "args > W/x; args", "args > W/x & wait",
    "args > W/x || args", "args > W/x && args", "(args > W/x)", "{ args; } > W/x", "! args > W/x", "args >", "args 2>",
    // Assignments.
    "A=1 report", "A= report", "A='x  y' B=\"q'\\\"$\" report", "A=a:b=c report", "A=~ report", "A=x:~ report", "A=1 A=2 report",
    "A+=1 report", "A[0]=1 report", "'A'=1 report", "A\\=1 report", "A'='1 report", "1A=1 report", "A-B=1 report", "=1 report",
    "PATH=/nowhere report", "PATH=/bin args", "IFS=x report", "LC_ALL=C report", "LANG=C report", "HOME=/ report", "PWD=/x report",
    "OLDPWD=/ report", "SHLVL=5 report", "SHELLOPTS=x report", "UID=1 report", "RANDOM=1 report", "POSIXLY_CORRECT=1 report",
    "BASH_ENV=x report", "TZ=UTC report", "LD_LIBRARY_PATH=/x report", "TERM=x report", "_=x report", "A='() { :;}' report",
    "TFTEST_VALUE=1 report", "A=1", "A=1 > W/x", "A=1 cd W && report", "A=1 exec report", "A=$HOME report", "A=`id` report",
    "PS1=x report", "OPTIND=2 report", "ENV=x report", "HOSTNAME=x report", "TMPDIR=/x report > W/x", "USER=x LOGNAME=y report",
    "A=1 env > /dev/null", "A=1 eval 'echo $A'", "A=1 . W/in", "A=1 args=2 report x=3", "a_1=2 report",
    // cd.
    "cd W && report", "cd W&&report", "cd ./W && report", "cd W/ && report", "cd W/sub && report > x", "cd H/W && report",
    "cd 'W' && report", "cd W/link && report", "cd W/way && report > x 2>&1", "cd W/way/sub && report", "cd .. && report",
    "cd W/.. && report", "cd W/../W && report", "cd . && report", "cd / && report", "cd && report", "cd - && report",
    "cd ~ && report", "cd W/no && report > W/x", "cd W/old && report", "cd '' && report", "cd W x && report", "cd -P W && report",
    "cd -- W && report", "cd W > W/x && report", "cd W && cd sub && report", "cd W && A=1 report", "cd W && ./here a > x",
    "cd W && ../report", "cd W && here", "cd W/sub && here", "cd W && args <in >x 2>&1", "cd W && args < W/in", "cd W; report",
    "cd W || report", "cd W && (report)", "cd W && report && report", "cd W && exec report", "cd W && exec report > x",
    "cd W && > x", "cd W && A=1", "cd /proc/self && args", "cd /proc && report", "cd /dev && args", "cd //tmp && report",
    "cd W//sub && report", "cd W/closed && report > x", "cd W\\ x && report", "cd $HOME && report", "'cd' W && report", "\\cd W && report",
    "cd W &&report 'a b'>x # c", "cd W && nosuch > x", "cd W && ./no-access > x", "cd W && bare a > x", "cd W && exec ./here", "exec W/here",
    // exec.
    "exec report", "exec report > W/x", "exec > W/x", "exec", "exec -a x report", "exec -c report", "exec args 'a b' <W/in",
    "exec nosuch", "exec nosuch 2> W/x", "exec A=1 report", "exec echo a", "exec exec report", "'exec' report", "exec bare > W/x",
    ">W/x exec report", "exec die KILL", "exec die SEGV > W/x", "exec cd W && report", "exec env -i /bin/echo a",
    // Programs.
    "nosuch > W/x", "nosuch 2> W/x", "nosuch a &> W/x", "W/no-access > W/x", "W/sub > W/x", "bare a > W/x", "broken > W/x 2>&1",
    "empty > W/x", "'report' > W/x", "'[' -f W/in ']'", "[ -f W/in ]", "'if' a", "\\if a", "'my prog' a", "'W/my prog' a > W/x",
    "\"report\" a", "re'po'rt a", "'' a", "'echo' a > W/x", "echo a > W/x", "true > W/x", "hello > W/x", "'hello' a", "env > /dev/null",
    "printf %s a > W/x", "report '$(id)' '`id`' '!' \"!!\" '~' '{a,b}' '*' '?'",
    "report \\$HOME \\* \\~ \\\\ \\\" \\' \"\\a\\$\\`\\\\\"", "report \"a\tb\" 'c\td'", "report a\\\tb", "report '' \"\" ''",
    // Deaths.
    "die KILL > W/x", "die SEGV 2>W/x", "cd W && die ABRT >x", "die INT > W/x", "die TERM > W/x", "die PIPE >W/x", "die HUP &> W/x",
    "A='x y' die FPE  'a  b'   2>>W/x <W/in >|W/y # c", "die KILL", "A=1 die KILL", "cd W && die KILL", "die XFSZ 1>W/x", "die USR1 2>&1",
    "die QUIT >&2", "die BUS 0</dev/null", "die STKFLT >W/x", "die SYS >W/x", "die ALRM > W/x 2>&1", "die TRAP >W/x", "die ILL >W/x",
];

const PREFIXES: &[&str] =
    &["cd W && ", "cd W && ", "cd ./W/sub && ", "cd H/W && ", "cd W/way && ", "exec ", "cd W && exec "];
#[rustfmt::skip]
const ASSIGNMENTS: &[&str] = &[
    "A=1", "B='x y'", "C=", "D=\"q\\\"z\"", "E=a:b=c,d", "HOME=/h", "OMP_NUM_THREADS=4", "LC_ALL=C", "_x=\\$1", "A=2", "TMPDIR='/t'",
];
#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "args", "args", "args", "args", "report", "'args'", "die KILL", "die SEGV", "bare", "nosuch", "W/here", "./W/here", "/bin/echo", "cat",
];
#[rustfmt::skip]
const WORDS: &[&str] = &[
    "a", "'a b'", "\"a b\"", "a\\ b", "''", "--x=1", "2", "x=1", "'*'", "\\*", "'$HOME'", "\"it's\"", "'\"'", "a'b'\"c\"d", "%s", "'#'",
    "'\u{e9}'", "\\\\", "\"\\$x\"", "'~'", "if", "$HOME", "o*", "a#b", "~",
];
#[rustfmt::skip]
const OPERATORS: &[&str] = &[
    ">", "> ", ">> ", ">>", "2>", "2> ", "2>>", "<", "< ", "&> ", "&>", "&>>", ">|", "1>", "0<", "1>>", "2>| ", "2>&1", ">&2", "1>&2", "2>&1",
];
const FILES: &[&str] =
    &["x", "y", "old", "in", "'a b'", "sub/x", "\"y\"", "/dev/null", "z\\ z", "no/x", "sub", "empty", "link"];

impl Random {
    fn part(&mut self, from: &[&str], line: &mut String) {
        line.push_str(self.pick(from));
    }

    /// A line whose files are in the folder `W`.
    fn simple_line(&mut self) -> String {
        let mut line = String::new();
        let mut files = "W/";
        if self.percent(45) {
            self.part(PREFIXES, &mut line);
            files = if line.contains("cd ") { "" } else { files };
        }
        for _ in 0..self.below(3) * usize::from(self.percent(50)) {
            self.part(ASSIGNMENTS, &mut line);
            line.push(' ');
        }
        if self.percent(10) {
            line.push_str(&format!("{}{files}first ", self.pick(&[">", "2>", ">>"])));
        }
        self.part(PROGRAMS, &mut line);
        for _ in 0..self.below(6) {
            line.push_str(self.pick(&[" ", " ", "  ", "\t"]));
            if self.percent(55) {
                // Most lines have only words that need no shell.
                let words = if self.percent(94) { &WORDS[..WORDS.len() - 4] } else { WORDS };
                self.part(words, &mut line);
                continue;
            }
            let operator = self.pick(OPERATORS);
            line.push_str(operator);
            if !operator.contains(['1', '2']) || !operator.contains("&") {
                let file = self.pick(FILES);
                line.push_str(if file.starts_with('/') { "" } else { files });
                line.push_str(file);
            }
        }
        if self.percent(15) {
            line.push_str(self.pick(&[" # it's", " #", " # > x $(", "  "]));
        }
        line
    }
}

/// What a line has done: how it ended, its output, its files.
#[derive(PartialEq, Eq, Debug)]
struct Done {
    exit: Option<u8>,
    signal: Option<u8>,
    log: String,
    files: BTreeMap<String, (u32, String)>,
}

/// Where lines run.
struct Place {
    cwd: PathBuf,
    environment: BTreeMap<OsString, OsString>,
    lines: Vec<String>,
}

struct Lines {
    farm: Farm,
    place: Place,
}

impl Lines {
    /// A farm with these lines, with `W` and `H` replaced, and programs.
    fn new(templates: &[String]) -> Self {
        let mut farm = Farm::local(b"").time_limit(1200);
        let home = farm.cwd().to_str().unwrap().to_owned();
        let lines: Vec<String> =
            templates.iter().enumerate().map(|(number, line)| placed(line, number, &home)).collect();
        fs::create_dir(farm.path("bin")).unwrap();
        for (name, text) in [
            ("report", REPORT),
            ("args", ARGS),
            ("die", DIE),
            ("bare", BARE),
            ("broken", "#!/no/such\n"),
            ("empty", ""),
        ] {
            write_program(&farm.path("bin").join(name), text);
        }
        write_program(&farm.path("report"), REPORT);
        farm.set("PATH", &format!("{home}/bin:/usr/bin:/bin"));
        farm.set("BASH_FUNC_hello%%", "() {  echo function\n}");
        farm.set("SHLVL", "1");
        farm.set("PWD", &home);
        TAKEN_OUT_BY_BASH.iter().for_each(|variable| farm.unset(variable));
        let place = Place { cwd: farm.cwd(), environment: farm.environment().clone(), lines };
        Self { farm, place }
    }

    fn by_farm(&self, options: &[&str]) -> (Vec<Done>, String) {
        self.place.reset();
        self.farm.write("tasks.txt", (self.place.lines.join("\n") + "\n").as_bytes());
        let _ = fs::remove_dir_all(self.farm.workdir().path());
        let outcome = self.farm.run(&[&["-v", "--proc", "3"], options].concat());
        let attempts = self.farm.workdir().attempts_by_task();
        assert_eq!(attempts.len(), self.place.lines.len(), "{}", outcome.stderr_text());
        let done = attempts.into_iter().map(|(id, attempts)| Done {
            exit: attempts[0].exit,
            signal: attempts[0].signal,
            log: normal(&self.farm.workdir().log(id)),
            files: self.place.files(usize::try_from(id).unwrap()),
        });
        (done.collect(), outcome.stderr_text())
    }

    /// Returns how many lines needed no shell.
    fn are_the_same(&self) -> usize {
        let bash = self.place.by_bash();
        let (farm, said) = self.by_farm(&[]);
        let mut wrong = 0;
        for ((line, bash), farm) in self.place.lines.iter().zip(&bash).zip(&farm) {
            if bash != farm {
                wrong += 1;
                println!("{line}\n  bash {bash:?}\n  farm {farm:?}");
            }
        }
        assert_eq!(wrong, 0, "of {}", self.place.lines.len());
        let count = said.lines().find_map(|line| line.split_once(" tasks were started by a shell"));
        let (shells, all) = count.unwrap().0.rsplit_once(": ").unwrap().1.split_once(" of ").unwrap();
        assert_eq!(all, self.place.lines.len().to_string());
        self.place.lines.len() - shells.parse::<usize>().unwrap()
    }
}

impl Place {
    fn reset(&self) {
        let make = |number: usize| {
            let folder = self.cwd.join(format!("w{number}"));
            let _ = fs::remove_dir_all(&folder);
            fs::create_dir_all(folder.join("sub")).unwrap();
            fs::create_dir(folder.join("closed")).unwrap();
            fs::set_permissions(folder.join("closed"), fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(folder.join("in"), "input\n").unwrap();
            fs::write(folder.join("sub/in"), "other input\n").unwrap();
            fs::write(folder.join("old"), "this was here before\n").unwrap();
            fs::set_permissions(folder.join("old"), fs::Permissions::from_mode(0o640)).unwrap();
            fs::write(folder.join("empty"), "").unwrap();
            fs::write(folder.join("no-access"), "x").unwrap();
            symlink("old", folder.join("link")).unwrap();
            symlink("lost+found", folder.join("lost")).unwrap();
            symlink("sub", folder.join("way")).unwrap();
            for name in ["here", "sub/here", "my prog"] {
                fs::hard_link(self.cwd.join("bin/args"), folder.join(name)).unwrap();
            }
        };
        (0..self.lines.len()).for_each(make);
    }

    fn by_bash(&self) -> Vec<Done> {
        self.reset();
        let (next, done) = (AtomicUsize::new(0), std::sync::Mutex::new(BTreeMap::new()));
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let (next, done) = (&next, &done);
                let io = self.cwd.join("../home").join(format!("log{thread}"));
                scope.spawn(move || {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let Some(line) = self.lines.get(number) else { break };
                        let result = self.one_by_bash(line, number, &io);
                        done.lock().unwrap().insert(number, result);
                    }
                });
            }
        });
        done.into_inner().unwrap().into_values().collect()
    }

    fn one_by_bash(&self, line: &str, number: usize, log: &Path) -> Done {
        let file = File::create(log).unwrap();
        let mut bash = Command::new("/bin/bash");
        bash.arg0("bash").arg("-c").arg(OsStr::from_bytes(line.as_bytes())).current_dir(&self.cwd);
        bash.env_clear().envs(&self.environment).stdin(Stdio::null());
        let status = bash.stdout(file.try_clone().unwrap()).stderr(file).status().unwrap();
        let number_of = |code: i32| u8::try_from(code).unwrap();
        Done {
            exit: status.code().map(number_of),
            signal: status.signal().map(number_of),
            log: normal(&fs::read(log).unwrap()),
            files: self.files(number),
        }
    }

    fn files(&self, number: usize) -> BTreeMap<String, (u32, String)> {
        let folder = self.cwd.join(format!("w{number}"));
        let mut files = BTreeMap::new();
        let mut folders = vec![folder.clone()];
        while let Some(at) = folders.pop() {
            for entry in fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                let found = fs::symlink_metadata(&path).unwrap();
                let text = if found.is_file() { normal(&fs::read(&path).unwrap()) } else { String::new() };
                files.insert(path.strip_prefix(&folder).unwrap().display().to_string(), (found.mode(), text));
                if found.is_dir() {
                    folders.push(path);
                }
            }
        }
        files
    }
}

/// A line with the names of its folder and of the farm's.
fn placed(line: &str, number: usize, home: &str) -> String {
    let mut placed = String::new();
    for (at, c) in line.char_indices() {
        let is_word = !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
        match c {
            'W' if is_word => placed.push_str(&format!("w{number}")),
            'H' if is_word && line[at..].starts_with("H/") => placed.push_str(home),
            c => placed.push(c),
        }
    }
    placed
}

/// By a different process: a fork in another test could hold the file open, and then it could not be run.
fn write_program(path: &Path, text: &str) {
    let script = "printf %s \"$1\" > \"$2\" && chmod 755 \"$2\"";
    assert!(Command::new("/bin/sh").args(["-c", script, "sh", text]).arg(path).status().unwrap().success());
}

/// Without process IDs, which bash prints when a program was killed.
fn normal(text: &[u8]) -> String {
    let without = |line: &str| match line.split_once(": line 1: ") {
        Some((shell, rest)) if rest.trim_start().starts_with(|c: char| c.is_ascii_digit()) => {
            format!("{shell}: line 1: {}", rest.trim_start().trim_start_matches(|c: char| c.is_ascii_digit()))
        }
        _ => line.to_owned(),
    };
    String::from_utf8_lossy(text).split('\n').map(without).collect::<Vec<_>>().join("\n")
}

/// From 5.1 on, bash becomes the program of `cd DIR && program`; before that, it waits.
fn is_recent_bash() -> bool {
    let script = "((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 501))";
    Command::new("/bin/bash").args(["-c", script]).status().is_ok_and(|status| status.success())
}

/// The lines that were written by hand.
#[test]
fn hostile_lines_do_what_bash_does() {
    if !is_recent_bash() {
        return;
    }
    let lines: Vec<String> = HOSTILE.iter().map(|line| (*line).to_owned()).collect();
    let direct = Lines::new(&lines).are_the_same();
    println!("{direct} of {} without a shell", HOSTILE.len());
    assert!(direct >= 80, "{direct}");
}

/// The promise itself, for random lines. At least half of them must need no shell.
#[test]
fn simple_lines_do_what_bash_does() {
    if !is_recent_bash() {
        return;
    }
    let mut random = Random::new();
    let count = env::var("TASKFARMER_LINES").map_or(LINES, |count| count.parse().expect("TASKFARMER_LINES"));
    let lines: Vec<String> = (0..count).map(|_| random.simple_line()).collect();
    let direct = Lines::new(&lines).are_the_same();
    println!("{direct} of {count} without a shell");
    assert!(direct * 2 >= count, "{direct} of {count}");
}

/// A FIFO is the shell's: its reader gets what is written to it, and a pool never waits for one.
#[test]
fn a_fifo_is_for_the_shell() {
    let list = "cat < fifo > read\n/bin/echo a > fifo\n/bin/sleep 0.01\n";
    let farm = Farm::local(list.as_bytes());
    mkfifo(&farm.path("fifo"), Mode::S_IRWXU).unwrap();
    assert_eq!(farm.run(&["--proc", "2"]).exits(0).summary(), [3, 0, 0]);
    assert_eq!(farm.read("read"), b"a\n");
}

/// What the environment says about every line also holds for these.
#[test]
fn the_environment_sends_lines_to_the_shell() {
    for (variable, value, shells) in [
        ("BASH_ENV", "/dev/null", 4),
        ("CDPATH", "/", 1),
        ("BASH_FUNC_cd%%", "() {  builtin cd /\n}", 1),
        ("SHELLOPTS", "noclobber", 4),
        ("PATH", ".:/usr/bin:/bin", 1),
        ("TFTEST_VALUE", "x", 0),
    ] {
        let mut farm = Farm::local(b"/bin/echo > x\ncat < tasks.txt\nA=1 cat\ncd / && cat\n");
        farm.set(variable, value);
        let outcome = farm.run(&["-v"]);
        assert!(outcome.stderr_text().contains(&format!("{shells} of 4 tasks were started by a shell")), "{variable}");
    }
}

/// `--dry-run -v` shows which way each line goes.
#[test]
fn a_dry_run_shows_the_way() {
    let farm = Farm::local(b"/bin/echo > x\necho a | cat\ncd / && A=1 cat 'a b' # c\n");
    let outcome = farm.run(&["--dry-run", "-v"]).exits(0);
    let shown = "0 direct /bin/echo > x\n1 shell  echo a | cat\n2 direct cd / && A=1 cat 'a b' # c\n";
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), shown);
    assert!(outcome.stderr_text().contains("3 tasks would run, 1 of them with a shell"), "{}", outcome.stderr_text());
}
