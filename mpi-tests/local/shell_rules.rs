//! A line that is considered plain does the same without a shell as with `bash -c`: same output, same messages, same
//! exit status or signal. Checked against the bash of this machine with some thousand random lines.
//!
//! Lines that are not plain are checked but never run, and those that are plain name only harmless programs.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{env, fs, thread};

use taskfarmer::internals::{ShellRules, TAKEN_OUT_BY_BASH};
use tempfile::TempDir;

const LINES: usize = 4000;
const THREADS: usize = 3;

/// Bytes of which a single one makes a line go to the shell.
const META: &[u8] = b"'\"\\$`*?[]{}~#!^;&|()<>\r\n\0\x01\x0b\x0c\x7f\x80\xa0\xc3\xff";

/// Programs, and names that look like one: missing, a directory, no permission, no interpreter, no `#!`.
#[rustfmt::skip]
const PROGRAMS: &[&str] = &[
    "args", "args", "args", "./bin/args", "bin/args", "/bin/echo", "/usr/bin/printf", "show", "bare", "./bin/bare",
    "die", "broken", "empty", "no-access", "./bin/no-access", "sub", "./sub", "/", "no-such-program", "./no/such", "..",
    "a.txt", "@", "_", "7", "Echo",
];

/// First words that go to the shell.
#[rustfmt::skip]
const SHELL_FIRST: &[&str] = &[
    "echo", "cd", "test", "[", ".", ":", "source", "export", "eval", "exec", "time", "if", "for", "while", "{", "(",
    "[[", "!", "coproc", "function", "A=1", "A+=1", "A[0]=1", "%1", "-x", "+x", "hello", "env", "printenv", "true",
];

/// Words that bash leaves unchanged after the first.
#[rustfmt::skip]
const PLAIN_WORDS: &[&str] = &[
    "a.txt", "b.txt", "x=1", "--opt=val", "-n", "-e", "--", "%s", "%d-%5.2f", "100%", "a:b", ":", ".", "..", "@", "+",
    ",", "=", "==", "-", "_", "user@host:path", "1,2,3", "if", "then", "done", "in", "time", "echo", "2", "007", "x+=1",
    "%1", "hello", "/", "//", "+x", "esac", "a=b=c",
];

/// Words that bash may change, or interpret as more than a word.
#[rustfmt::skip]
const ODD_WORDS: &[&str] = &[
    "'a b'", "\"q\"", "\\n", "$HOME", "${X:-y}", "`pwd`", "$(pwd)", "*.txt", "?.txt", "[ab].txt", "{a,b}", "~", "~/x",
    "x=~", "#", "a#b", "#no", "!!", "a!b", "a^b", ";", "a;b", "&", "&&", "|", "(", ")", "()", "<", "<a.txt", "2>&1",
    ">x", "@(a)", "+(a)", "}", "]", "caf\u{e9}", "\u{a0}", "\u{3000}", "a\rb", "\u{b}", "\u{1}", "\u{7f}", "'", "\"",
];

/// Lines as people write them that need no shell.
#[rustfmt::skip]
const PLAIN_LINES: &[&str] = &[
    "args", "args 1 2 3", "args\t1", "args   1  \t 2", "./run.sh", "../run.sh", "/opt/x/run.sh --n=3", "a.out",
    "python3 -u train.py --lr=0.01 --out=/scratch/u,1", "python script.py 17", "mpirun -np 4 ./solver in.dat",
    "gzip -9 file.tar", "rsync -a host:/data/x .", "make -j4 A=1 B=2", "sleep 1", "dd if=a of=b bs=1M", "7z x a.7z",
    "nice -n 10 ./job", "nohup ./job", "sh script.sh", "bash -x script.sh", "/bin/echo a=b", "/usr/bin/printf %s",
    "/usr/bin/time -v ./job", "/bin/true", "/bin/test -f x", "hello2", "./hello", "bin/hello", "args if then fi",
    "args time for", "args - -- -x +x", "args %1 100% %s", "args : . .. /", "args @ a@b + , = ==", "args x=1 y+=2",
    "args a:b:c http://h/p", "_", "__x", "@", ",", "7", "..", "...", "/", "g++ -O2 x.cc", "x+y", "a%b", "a-b", "a:b",
    "R -f x.R", "Rscript --vanilla x.R 3", "envsubst", "environment x", "echoes", "Echo", "IF", "awk -f p.awk d",
];

/// Lines that do, or that might.
#[rustfmt::skip]
const SHELL_LINES: &[&str] = &[
    "", " ", "\t", "#args", "args #x", "args a#b", "args 'a'", "args \"a\"", "args a\\ b", "args $X", "args `x`",
    "args *", "args ?", "args [a]", "args ]", "args {a,b}", "args }", "args ~", "args ~/x", "args a=~", "args a:~",
    "args !", "args a!b", "args a^b", "args ;", "args; args", "args &", "args && args", "args | args", "(args)",
    "args <x", "args >x", "args 2>&1", "args >>x", "args <<x", "args é", "args\r", "args a\rb", "args\u{b}",
    "args\u{a0}x", "args\u{3000}x", "args\nargs", "args \0", "args \u{7f}", "\u{1}", "X=1", "X=1 args", "=", "a=",
    "X+=1 args", "./a=b", "%", "%1", "%args", "-x", "--", "+x", "-args", "echo", "echo a", "cd sub", "cd", "pwd",
    "true", "false", "test -f x", "[ -f x ]", "[[ x ]]", "kill 1", "printf x", "exec args", "eval args", "set -x",
    "export X=1", "wait", "ulimit -n", "umask 77", "command args", "builtin cd", "enable", "compgen -b", "coproc x",
    ".", ". x", ":", "source x", "time args", "! args", "{ args", "if", "then", "for x in y", "while args", "done",
    "esac", "in", "function f", "select x", "until x", "chdir sub", "let x", "hello", "hello 1", "hello\t1", "env",
    "env args", "env A=b args", "/usr/bin/env", "/usr/bin/env args", "printenv", "printenv X", "../printenv",
];

/// Random numbers that a seed repeats, by splitmix64.
pub(super) struct Random(u64);

impl Random {
    /// From `TASKFARMER_SEED`, or always the same; printed, so that it is visible when the test fails.
    pub(super) fn new() -> Self {
        let seed = env::var("TASKFARMER_SEED").map_or(20_240_229, |seed| seed.parse().expect("TASKFARMER_SEED"));
        println!("TASKFARMER_SEED={seed}");
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    pub(super) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::from(if self.percent(75) { self.pick(PROGRAMS) } else { self.pick(SHELL_FIRST) });
        // Lines with an odd word, or with none: otherwise, hardly any long line would be plain.
        let odd = if self.percent(40) { 30 } else { 0 };
        for _ in 0..self.below(7) {
            line.extend(self.pick(&[" ", " ", " ", "  ", "\t", " \t "]).bytes());
            if self.percent(odd) {
                line.extend(self.pick(ODD_WORDS).bytes());
            } else if self.percent(70) {
                line.extend(self.pick(PLAIN_WORDS).bytes());
            } else {
                let letters = b"abzAZ09_./,:@%+-=";
                line.extend((0..=self.below(6)).map(|_| letters[self.below(letters.len())]));
            }
        }
        line
    }

    fn lines(&mut self) -> Vec<Vec<u8>> {
        (0..LINES).map(|_| self.line()).collect()
    }
}

/// A working directory for tasks, with programs and files.
struct Place {
    dir: TempDir,
    environment: Vec<(String, String)>,
}

impl Place {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let at = |name: &str| dir.path().join(name);
        // Before the programs along PATH: a directory and a file, neither of which must be run.
        for name in ["bin", "sub", "first/args"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        for name in ["a.txt", "b.txt", "first/bare"] {
            fs::write(at(name), format!("This is {name}.\n")).unwrap();
        }
        for (name, mode, text) in [
            ("args", "755", "#!/bin/sh\nprintf '%s:' \"$#\" \"$@\"\necho \"$0\" >&2\nexit $(($# % 5))\n"),
            ("bare", "755", "printf '%s;' \"$#\" \"$@\"\necho bare >&2\nexit 3\n"),
            ("die", "755", "#!/bin/sh\necho dying\nkill -s KILL $$\n"),
            ("broken", "755", "#!/no/such/interpreter\n"),
            ("empty", "755", ""),
            ("no-access", "644", "#!/bin/sh\necho never\n"),
            ("hello", "755", "#!/bin/sh\necho program\n"),
        ] {
            // Written by a different process: a fork in another test could hold the file open, and then it could not be
            // run.
            let script = "printf %s \"$1\" > \"$2\" && chmod \"$3\" \"$2\"";
            let mut writer = Command::new("/bin/sh");
            writer.args(["-c", script, "sh", text]).arg(at("bin").join(name)).arg(mode);
            assert!(writer.status().unwrap().success());
        }
        // Programs that are not scripts see, and print, the name by which they were called.
        symlink("/bin/cat", at("bin/show")).unwrap();
        symlink("/usr/bin/env", at("bin/variables")).unwrap();
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let environment = [
            ("PATH", format!("{}:{}", text(&at("first")), text(&at("bin")))),
            ("HOME", text(dir.path())),
            ("PWD", text(&dir.path().canonicalize().unwrap())),
            ("SHLVL", "1".to_owned()),
            ("LC_ALL", "C".to_owned()),
            ("X", "two words *.txt".to_owned()),
            ("BASH_FUNC_hello%%", "() {  echo function\n}".to_owned()),
        ];
        Self { environment: environment.map(|(name, value)| (name.to_owned(), value)).into(), dir }
    }

    fn rules(&self) -> ShellRules {
        ShellRules::from_environment(self.environment.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn run(&self, program: impl AsRef<OsStr>, arg0: &[u8], args: &[&[u8]]) -> std::io::Result<Output> {
        let mut command = Command::new(program);
        command.arg0(OsStr::from_bytes(arg0)).args(args.iter().map(|word| OsStr::from_bytes(word)));
        command.env_clear().envs(self.environment.iter().cloned());
        command.current_dir(self.dir.path()).stdin(Stdio::null()).output()
    }

    fn by_shell(&self, line: &[u8]) -> Output {
        let path = env::var_os("PATH").unwrap();
        let bash = env::split_paths(&path).map(|dir| dir.join("bash")).find(|bash| bash.is_file());
        self.run(bash.expect("bash in PATH"), b"bash", &[b"-c", line]).unwrap()
    }

    /// As the runner does: the first executable file along `PATH`, and the shell if it cannot be exec'd.
    fn by_exec(&self, line: &[u8], words: &[&[u8]]) -> Output {
        let program = self.find(words[0]).and_then(|program| self.run(program, words[0], &words[1..]).ok());
        program.unwrap_or_else(|| self.by_shell(line))
    }

    fn find(&self, word: &[u8]) -> Option<PathBuf> {
        let name = Path::new(OsStr::from_bytes(word));
        if word.contains(&b'/') {
            return Some(name.into());
        }
        let executable = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        };
        ["first", "bin"].map(|dir| self.dir.path().join(dir).join(name)).into_iter().find(executable)
    }
}

/// The promise itself, for random lines. At least a quarter of them must be plain, and a quarter not.
#[test]
fn plain_lines_do_what_bash_does() {
    let (place, mut random) = (Place::new(), Random::new());
    let (rules, lines) = (place.rules(), random.lines());
    let plain: Vec<_> = lines.iter().filter_map(|line| Some((line, rules.plain_words(line)?))).collect();
    assert!(plain.len() * 4 >= LINES && (LINES - plain.len()) * 4 >= LINES, "{} of {LINES}", plain.len());
    thread::scope(|scope| {
        for share in plain.chunks(plain.len().div_ceil(THREADS)) {
            let place = &place;
            scope.spawn(move || {
                for (line, words) in share {
                    let shown = String::from_utf8_lossy(line);
                    assert_eq!(place.by_exec(line, words), place.by_shell(line), "{shown:?}");
                }
            });
        }
    });
}

/// Nothing with a meaning to a shell gets through, wherever it is in the line.
#[test]
fn one_metacharacter_is_enough_for_the_shell() {
    let (rules, mut random) = (Place::new().rules(), Random::new());
    let mut tried = BTreeSet::new();
    for mut line in random.lines().into_iter().filter(|line| rules.plain_words(line).is_some()) {
        let meta = META[random.below(META.len())];
        line.insert(random.below(line.len() + 1), meta);
        assert_eq!(rules.plain_words(&line), None, "{:?}", String::from_utf8_lossy(&line));
        tried.insert(meta);
    }
    assert_eq!(tried.len(), META.len());
}

/// The lines that were classified by hand, and the words of the random ones.
#[test]
fn known_lines_are_judged_as_expected() {
    let rules = Place::new().rules();
    for line in PLAIN_LINES {
        let expected: Vec<_> = line.split([' ', '\t']).filter(|word| !word.is_empty()).map(str::as_bytes).collect();
        assert_eq!(rules.plain_words(line.as_bytes()), Some(expected), "{line:?}");
    }
    for line in SHELL_LINES {
        assert_eq!(rules.plain_words(line.as_bytes()), None, "{line:?}");
    }
    let is_plain = |line: String| rules.plain_words(line.as_bytes()).is_some();
    assert_eq!(SHELL_FIRST.iter().find(|word| is_plain(format!("{word} x"))), None);
    assert_eq!(ODD_WORDS.iter().find(|word| is_plain(format!("args {word}"))), None);
    assert_eq!(PLAIN_WORDS.iter().find(|word| !is_plain(format!("args {word}"))), None);
}

/// All builtins and keywords of this machine's bash are known.
#[test]
fn names_of_this_bash_are_known() {
    let place = Place::new();
    let names = String::from_utf8(place.by_shell(b"compgen -b; compgen -k").stdout).unwrap();
    assert!(names.lines().count() > 70, "{names}");
    assert_eq!(names.lines().find(|name| place.rules().plain_words(name.as_bytes()).is_some()), None);
}

/// A task gets the same variables either way, whatever they are. A separate test covers how the runner sets three of
/// them.
#[test]
fn variables_stay_as_bash_passes_them() {
    let mut place = Place::new();
    let usual = place.environment.clone();
    let known = String::from_utf8(place.by_shell(b"compgen -v").stdout).unwrap();
    let more = "BASH_ARGV0 BASH_ENV BASH_MONOSECONDS BASH_TRAPSIG BASH_XTRACEFD BASH_COMPAT CHILD_MAX COLUMNS \
        EMACS ENV EPOCHSECONDS EXECIGNORE FIGNORE FUNCNEST GLOBIGNORE GLOBSORT HISTSIZE IGNOREEOF LANG LC_CTYPE \
        LC_NUMERIC LINES MAILCHECK POSIXLY_CORRECT POSIX_PEDANTIC PROMPT_COMMAND PS3 REPLY SECONDS SRANDOM TMOUT \
        TZ USER a.b a-b x[0] 1x";
    let mut same = 0;
    for name in known.split_whitespace().chain(more.split_whitespace()).chain(TAKEN_OUT_BY_BASH) {
        if ["_", "PATH", "PWD", "SHLVL"].contains(&name) {
            continue;
        }
        place.environment.clone_from(&usual);
        place.environment.retain(|(old, _)| old != name);
        place.environment.push((name.to_owned(), "7".to_owned()));
        if let Some(words) = place.rules().plain_words(b"variables -0") {
            let (exec, shell) = (place.by_exec(b"", &words), place.by_shell(b"variables -0"));
            let variables = |output: &Output| -> BTreeSet<Vec<u8>> {
                let runners = |variable: &&[u8]| variable.starts_with(b"_=") || variable.starts_with(b"SHLVL=");
                output.stdout.split(|&byte| byte == 0).filter(|variable| !runners(variable)).map(Vec::from).collect()
            };
            assert_eq!((variables(&exec), &exec.stderr), (variables(&shell), &shell.stderr), "{name}");
            same += 1;
        }
    }
    assert!(same > 20, "{same}");
}
