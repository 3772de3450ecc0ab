//! The place of a value in a shell command.
//!
//! Owns where a quoted value is one word, and stays one: what is nested in what, as bash reads it. Errs on the side of
//! refusing: where bash and other shells differ, or a construct is hard to follow, no place after it is plain.

/// What a part of a command is inside of. The outermost is a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inside {
    /// `(…)`, `$(…)`, `<(…)`
    Command,
    /// `x=(…)`
    Array,
    Single,
    Double,
    /// `$'…'`
    Ansi,
    /// `${…}`
    Parameter,
    /// An expression that the shell calculates, such as `((…))`, `a[…]` or `[[ … -eq … ]]`: its opening bracket, and
    /// how many of them are open.
    Arithmetic {
        bracket: u8,
        depth: u32,
    },
    Backticks,
}

/// Whether a value is in the word after `>&`, which bash expands twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Duplicate {
    No,
    Before,
    In,
}

/// Operators of `[[ … ]]` whose operands are calculated.
const CALCULATED: [&[u8]; 7] = [b"-eq", b"-ne", b"-lt", b"-le", b"-gt", b"-ge", b"-v"];

/// Follows a command byte by byte, just enough to know where a quoted value is one word.
#[derive(Debug)]
pub(crate) struct Follower {
    /// From the outermost to the innermost; the command itself is not one of them.
    inside: Vec<Inside>,
    escaped: bool,
    before: u8,
    duplicate: Duplicate,
    /// The arguments of `let` are calculated.
    in_let: bool,
    in_comment: bool,
    /// A here-document has been announced: from now on it is not known what is quoted.
    here_document: bool,
    /// From now on it is not certain what is quoted.
    is_lost: bool,
}

impl Default for Follower {
    /// At the start of a command.
    fn default() -> Self {
        Self {
            inside: Vec::new(),
            escaped: false,
            before: b' ',
            duplicate: Duplicate::No,
            in_let: false,
            in_comment: false,
            here_document: false,
            is_lost: false,
        }
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Whether `rest` begins with this word.
fn begins(rest: &[u8], word: &[u8]) -> bool {
    rest.strip_prefix(word).is_some_and(|after| after.first().is_none_or(u8::is_ascii_whitespace))
}

impl Follower {
    /// Takes the first byte of `rest`, the command from there on. Of a character of several bytes, the first is enough.
    pub(crate) fn step(&mut self, rest: &[u8]) {
        let byte = rest[0];
        let before = std::mem::replace(&mut self.before, byte);
        if self.in_comment {
            self.in_comment = byte != b'\n';
            return;
        }
        if std::mem::take(&mut self.escaped) {
            self.before = b'x';
            return;
        }
        match self.inside.last().copied() {
            Some(Inside::Single) => self.close_at(byte, b'\''),
            Some(Inside::Ansi) if byte == b'\\' => {
                // Other shells end the quotes at the first quote.
                self.is_lost |= rest.get(1) == Some(&b'\'');
                self.escaped = true;
            }
            Some(Inside::Ansi) => self.close_at(byte, b'\''),
            _ if byte == b'\\' => self.escaped = true,
            Some(Inside::Backticks) => self.close_at(byte, b'`'),
            _ if byte == b'`' => self.inside.push(Inside::Backticks),
            Some(Inside::Double) if byte == b'"' => self.close(),
            Some(Inside::Double) => self.substitution(rest, before),
            Some(Inside::Parameter) => self.in_parameter(rest, before),
            Some(Inside::Arithmetic { .. }) => self.in_arithmetic(rest, before),
            None | Some(Inside::Command | Inside::Array) => self.in_command(rest, before),
        }
    }

    fn close(&mut self) {
        self.inside.pop();
    }

    fn close_at(&mut self, byte: u8, end: u8) {
        if byte == end {
            self.close();
        }
    }

    fn quote(&mut self, byte: u8, before: u8) {
        self.inside.push(match (byte, before) {
            (b'"', _) => Inside::Double,
            (_, b'$') => Inside::Ansi,
            _ => Inside::Single,
        });
    }

    /// What a `$` begins, between double quotes or anywhere else.
    fn substitution(&mut self, rest: &[u8], before: u8) {
        match rest[0] {
            b'{' if before == b'$' => self.inside.push(Inside::Parameter),
            b'(' if before == b'$' && rest.starts_with(b"((") => self.arithmetic(b'('),
            b'(' if before == b'$' => self.inside.push(Inside::Command),
            b'[' if before == b'$' => self.arithmetic(b'['),
            _ => {}
        }
    }

    fn arithmetic(&mut self, bracket: u8) {
        self.inside.push(Inside::Arithmetic { bracket, depth: 1 });
    }

    fn in_parameter(&mut self, rest: &[u8], before: u8) {
        match rest[0] {
            b'}' => self.close(),
            // Between double quotes, whether these count depends on the shell and on the operator.
            b'\'' | b'"' if self.inside.contains(&Inside::Double) => self.is_lost = true,
            b'\'' | b'"' => self.quote(rest[0], before),
            _ => self.substitution(rest, before),
        }
    }

    fn in_arithmetic(&mut self, rest: &[u8], before: u8) {
        let byte = rest[0];
        let is_quoted = self.inside.contains(&Inside::Double);
        let Some(Inside::Arithmetic { bracket, depth }) = self.inside.last_mut() else { return };
        if matches!(byte, b'\'' | b'"') {
            // In an index, quotes are those of a word.
            match is_quoted || *bracket == b'(' {
                true => self.is_lost = true,
                false => self.quote(byte, before),
            }
            return;
        }
        if byte == *bracket {
            *depth += 1;
        } else if byte == if *bracket == b'(' { b')' } else { b']' } {
            *depth -= 1;
            if *depth == 0 {
                self.close();
            }
        } else {
            self.substitution(rest, before);
        }
    }

    fn in_command(&mut self, rest: &[u8], before: u8) {
        let byte = rest[0];
        self.follow_duplicate(byte, before);
        let begins_word = before.is_ascii_whitespace() || matches!(before, b';' | b'&' | b'|' | b'(');
        if begins_word {
            self.word(rest);
        }
        match byte {
            b'\'' | b'"' => self.quote(byte, before),
            b';' | b'&' | b'|' if before != b'>' => self.in_let = false,
            b'(' if before == b'=' => self.inside.push(Inside::Array),
            b'(' if rest.starts_with(b"((") => self.arithmetic(b'('),
            b'(' => self.inside.push(Inside::Command),
            // Otherwise, it ends a pattern of `case`.
            b')' if matches!(self.inside.last(), Some(Inside::Command | Inside::Array)) => self.close(),
            b'[' if is_name(before) || self.inside.last() == Some(&Inside::Array) => self.arithmetic(b'['),
            b'<' if before == b'<' => {
                self.here_document |= rest.get(1) != Some(&b'<');
                self.before = b'x';
            }
            b'#' if begins_word => self.in_comment = true,
            // A comment after a subshell, and a part of the word after anything else.
            b'#' if before == b')' => self.is_lost = true,
            _ => self.substitution(rest, before),
        }
    }

    /// A word begins here.
    fn word(&mut self, rest: &[u8]) {
        if begins(rest, b"[[") {
            let end = rest.windows(2).position(|two| two == b"]]").unwrap_or(rest.len());
            let mut words = rest[..end].split(u8::is_ascii_whitespace);
            if words.any(|word| CALCULATED.contains(&word)) {
                self.arithmetic(b'[');
            }
        }
        self.in_let |= begins(rest, b"let");
        // The brackets of its patterns have no partners.
        self.is_lost |= begins(rest, b"case") && !self.inside.is_empty();
    }

    fn follow_duplicate(&mut self, byte: u8, before: u8) {
        self.duplicate = match (self.duplicate, byte) {
            (_, b'&') if before == b'>' => Duplicate::Before,
            (Duplicate::No, _) => Duplicate::No,
            (Duplicate::Before, b' ' | b'\t') => Duplicate::Before,
            (_, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')') => Duplicate::No,
            _ => Duplicate::In,
        };
    }

    /// A value was inserted.
    pub(crate) fn value(&mut self) {
        (self.before, self.escaped) = (b'x', false);
        if self.duplicate == Duplicate::Before {
            self.duplicate = Duplicate::In;
        }
    }

    /// Whether a `{` here would be the shell's `${`.
    pub(crate) fn is_at_parameter(&self) -> bool {
        self.before == b'$' && !self.escaped
    }

    /// Whether quotes are open.
    pub(crate) fn is_quoted(&self) -> bool {
        self.inside
            .iter()
            .any(|inside| matches!(inside, Inside::Single | Inside::Double | Inside::Ansi | Inside::Backticks))
    }

    /// Whether the shell ignores this place.
    pub(crate) fn is_in_comment(&self) -> bool {
        self.in_comment
    }

    /// Whether the next character is taken literally.
    pub(crate) fn is_escaped(&self) -> bool {
        self.escaped
    }

    /// Why a quoted value would not be one word here.
    pub(crate) fn objection(&self) -> Option<&'static str> {
        if self.in_comment {
            return None;
        }
        let within = |inside: fn(&Inside) -> bool| self.inside.iter().any(inside);
        match self.inside.last() {
            _ if self.escaped => Some("right after a backslash"),
            Some(Inside::Single | Inside::Ansi | Inside::Double) => Some("between quotes"),
            _ if within(|inside| *inside == Inside::Backticks) => Some("between backticks"),
            _ if within(|inside| *inside == Inside::Parameter) => Some("within ${…}"),
            _ if self.here_document => Some("after <<"),
            _ if within(|inside| matches!(inside, Inside::Arithmetic { .. })) || self.in_let => {
                Some("within arithmetic")
            }
            _ if self.duplicate != Duplicate::No => Some("after >&"),
            _ if self.is_lost => Some("after text in which quotes are hard to follow"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Why a value is refused at the first `@` of a command.
    fn objection(command: &str) -> Option<&'static str> {
        let at = command.find('@').unwrap();
        let mut follower = Follower::default();
        (0..at).for_each(|index| follower.step(&command.as_bytes()[index..]));
        follower.objection()
    }

    /// Found by a hostile user: in these places, a shell would run a command that is in the value.
    #[test]
    fn places_that_a_shell_interprets_are_refused() {
        for command in [
            r#"ls "$(dirname "@")""#,
            r#"f="$(cat "@")""#,
            r#"$"$(echo "@")""#,
            r#""\\$(echo "@")""#,
            r#""$(echo '"@"')""#,
            r#"echo "$(echo '"')" "$(echo "@")""#,
            ": >& @",
            ": 1>&@",
            ": >&a@",
            ": $(:)#' @ '",
            ": $((1))#' @ '",
            "cat <(:)#' @ '",
            "x=(a)#' @ '",
            "[[ x == @(a)#' @ ' ]]",
            r#": "${x:-'}" @ "'}""#,
            r#": "${x#'}" @ "'}""#,
            r"./rec $'\'' @ \'",
            "a[@]=1",
            "a=([@]=1)",
            "declare -a a=(1 [@]=1)",
            "unset a[@]",
            "[[ @ -eq 1 ]]",
            "[[ a && 1 -lt @ ]]",
            "[[ -v @ ]]",
            "[[ 'a' == b && @ -eq 1 ]]",
            "m[\"k\"]=1; a[@]=1",
            "let x=@",
            "let y=1 x=@",
            r#"echo "$(case x in x) echo ";; esac)" @ ""#,
            "echo `echo '@'`",
            "echo $((1 + @))",
            "echo $[@]",
            "echo ${x:-@}",
            "cat << @",
        ] {
            let at = command.rfind('@').unwrap();
            let command = command.replace('@', "x");
            let mut follower = Follower::default();
            (0..at).for_each(|index| follower.step(&command.as_bytes()[index..]));
            assert!(follower.objection().is_some(), "{command}");
        }
    }

    /// Plain places stay plain, however much is around them, and bash passes the value on unchanged.
    #[test]
    fn plain_places_are_accepted() {
        const VALUE: &str = "a b'\"$(touch pwned)`touch pwned`\\";
        let quoted = crate::shell::quoted(VALUE.as_bytes());
        let folder = tempfile::tempdir().unwrap();
        for command in [
            "printf %s @",
            "printf %s \"$(printf %s @)\"",
            "printf %s \"$(printf %s \"$(printf %s @)\")\"",
            "true 2>&1; printf %s @ 2>&1",
            "true 2>&1 | printf %s @",
            "[ x = 'x' ] && printf %s @",
            "[[ x == 'x' ]] && printf %s @",
            "x=(a 'b'); printf %s @",
            "x=${y:-'a b'}; printf %s @",
            "x=\"${y:-a}\"; printf %s @",
            "x=$((1 + 2)); printf %s @",
            "f() { printf %s \"$1\"; }; f @",
            "for i in 1; do printf %s @; done",
            "case x in x) printf %s @;; esac",
            "(true) && printf %s @ # it's",
            "let x=1; printf %s @",
            "a[0]=1; printf %s @",
            "declare -A m; m[\"k\"]=1; m['a ]']=1; printf %s @",
            "[[ 1 -eq '1' && x == [a-z] ]] && printf %s @",
            "true > out[12]; printf %s @",
            "cat <<< 'x' > f; printf %s @ 2> g",
            "echo 'it'\\''s' > f; printf %s @",
        ] {
            assert_eq!(objection(command), None, "{command}");
            let command = command.replacen('@', std::str::from_utf8(&quoted).unwrap(), 1);
            let ran = Command::new("bash").arg("-c").arg(&command).current_dir(folder.path()).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&ran.stdout), VALUE, "{command}");
        }
        assert!(!folder.path().join("pwned").exists());
    }
}
