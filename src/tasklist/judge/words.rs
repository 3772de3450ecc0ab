//! Words that mean something to other farmers, or have no effect on the next line.

/// Variables that other farmers and array jobs set for a task, by name or by prefix.
const OTHERS: [(&[u8], bool); 10] = [
    (b"DISBATCH_", true),
    (b"HQ_", true),
    (b"LAUNCHER_", true),
    (b"LSB_JOBINDEX", false),
    (b"PARALLEL_JOBSLOT", false),
    (b"PARALLEL_SEQ", false),
    (b"PBS_ARRAYID", false),
    (b"PBS_ARRAY_INDEX", false),
    (b"SGE_TASK_ID", false),
    (b"SLURM_ARRAY_TASK_ID", false),
];

/// Bits of the letters with which the names above begin, from `A`.
const FIRST_LETTERS: u32 = {
    let (mut letters, mut at) = (0, 0);
    while at < OTHERS.len() {
        letters |= 1 << (OTHERS[at].0[0] - b'A');
        at += 1;
    }
    letters
};

/// Commands that only change the shell in which they run.
const CHANGES_SHELL: [&str; 18] = [
    ".", "alias", "cd", "declare", "export", "ml", "popd", "pushd", "readonly", "set", "shopt", "source", "typeset",
    "ulimit", "umask", "unalias", "unset", "workon",
];

/// … and those that do so only with certain second words.
const CHANGES_SHELL_BY: [(&str, &[&str]); 5] = [
    ("conda", &["activate", "deactivate"]),
    ("mamba", &["activate", "deactivate"]),
    ("micromamba", &["activate", "deactivate"]),
    ("module", &["add", "load", "purge", "reset", "restore", "rm", "swap", "switch", "unload", "unuse", "use"]),
    ("spack", &["load", "unload"]),
];

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

/// The command of a line that consists of one command and changes nothing except the shell in which it runs, which no
/// longer exists when the next line runs.
pub(super) fn changes_shell(line: &[u8]) -> Option<&'static str> {
    // Most lines begin with a path.
    if matches!(line.first(), None | Some(b'/')) || line.starts_with(b"./") {
        return None;
    }
    let mut words = words(line);
    let first = words.next()?;
    if let Ok(at) = CHANGES_SHELL.binary_search_by(|name| name.as_bytes().cmp(first)) {
        return Some(CHANGES_SHELL[at]);
    }
    if let Some((name, seconds)) = CHANGES_SHELL_BY.iter().find(|(name, _)| name.as_bytes() == first) {
        return words.next().filter(|word| seconds.iter().any(|second| second.as_bytes() == *word)).map(|_| *name);
    }
    // Quotes may contain blanks: only an assignment with nothing after it counts.
    (is_assignment(first) && words.next().is_none()).then_some("NAME=VALUE")
}

fn is_assignment(word: &[u8]) -> bool {
    let name = word.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    name > 0 && !word[0].is_ascii_digit() && word.get(name) == Some(&b'=')
}

/// `[# … #]`, `[@ … @]`: Greasy's dependencies and folders.
pub(super) fn is_greasy(line: &[u8]) -> bool {
    line.starts_with(b"[#") || line.starts_with(b"[@")
}

/// `N,command`: PyLauncher's number of cores.
pub(super) fn is_pylauncher(line: &[u8]) -> bool {
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && line.get(digits) == Some(&b',')
}

/// The first variable of a different farmer that the line relies on, and that `is_set` does not know.
pub(super) fn foreign_variable(line: &[u8], is_set: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    memchr::memchr_iter(b'$', line).find_map(|at| {
        let rest = &line[at + 1..];
        let braced = rest.first() == Some(&b'{');
        let rest = &rest[usize::from(braced)..];
        // For speed: few variables begin like one of these.
        let letter = rest.first()?.wrapping_sub(b'A');
        if letter >= 26 || FIRST_LETTERS & (1 << letter) == 0 {
            return None;
        }
        let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
        let name = &rest[..len];
        let is_others =
            OTHERS.iter().any(|(other, begins)| if *begins { name.starts_with(other) } else { name == *other });
        // `${NAME:-…}` and the like allow for an empty value; a line that sets the variable does not rely on others.
        let is_prepared = braced && rest.get(len) != Some(&b'}');
        let is_own = || memchr::memmem::find(line, &[name, b"="].concat()).is_some();
        (is_others && !is_prepared && !is_set(name) && !is_own()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands whose effect ends with their line are distinguished from those that do something.
    #[test]
    fn commands_that_only_change_their_shell() {
        for (line, command) in [
            ("cd out", Some("cd")),
            ("export A=1", Some("export")),
            ("A=1", Some("NAME=VALUE")),
            ("module load gcc/13", Some("module")),
            ("conda activate x", Some("conda")),
            ("source env.sh", Some("source")),
            (". env.sh", Some(".")),
            ("ml gcc", Some("ml")),
            ("module list", None),
            ("conda run -n x y", None),
            ("A=1 ./run", None),
            ("./cd x", None),
            ("cdo x", None),
            ("1A=1", None),
            ("=", None),
            ("", None),
        ] {
            assert_eq!(changes_shell(line.as_bytes()), command, "{line}");
        }
        assert!(CHANGES_SHELL.is_sorted(), "binary search");
    }

    /// Directives of other farmers are recognized, and similar text is not.
    #[test]
    fn directives_of_others() {
        assert!(is_greasy(b"[# 1-3 #] ./run") && is_greasy(b"[@ /x @] ./run"));
        assert!(!is_greasy(b"[ -f x ]") && !is_greasy(b"[[ -f x ]]") && !is_greasy(b"./[#"));
        assert!(is_pylauncher(b"4,./run x") && is_pylauncher(b"16, ./run"));
        assert!(!is_pylauncher(b"7z a,b") && !is_pylauncher(b",x") && !is_pylauncher(b"./4,x") && !is_pylauncher(b"4"));
    }

    /// A variable that is not set here is named, unless the line is prepared for that.
    #[test]
    fn variables_of_others() {
        let found = |line: &'static str| {
            let name = foreign_variable(line.as_bytes(), |name| name == b"HQ_HERE");
            name.map(|name| str::from_utf8(name).unwrap())
        };
        assert_eq!(found("./run $HOME ${HQ_TASK_ID}"), Some("HQ_TASK_ID"));
        assert_eq!(found("./run --n=\"$SLURM_ARRAY_TASK_ID\""), Some("SLURM_ARRAY_TASK_ID"));
        assert_eq!(found("./run $DISBATCH_TASKID"), Some("DISBATCH_TASKID"));
        for line in [
            "./run $HQ_HERE",
            "./run ${HQ_TASK_ID:-1}",
            "HQ_X=1; ./run $HQ_X",
            "./run $SLURM_ARRAY_TASK_IDS $SLURM_JOB_ID $PARALLEL $H $",
            "./run HQ_TASK_ID",
        ] {
            assert_eq!(found(line), None, "{line}");
        }
    }
}
