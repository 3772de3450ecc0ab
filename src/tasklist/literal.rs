//! Values of `product` that are taken literally, but look as if they were intended as a list or a range.

/// The remark on the values of a variable: each a word, and whether it is quoted, which means that it is intentional.
pub(super) fn look(words: &[(String, bool)]) -> Option<String> {
    let range = words.iter().find(|(word, quoted)| !quoted && is_foreign_range(word));
    if let Some((word, _)) = range {
        return Some(format!(
            "{word:?} is a single value, not a range\n  write a range as FIRST..LAST or FIRST..LAST..STEP; to hide this warning, put the \
             value in quotes"
        ));
    }
    let word = separated_by_commas(words)?;
    Some(format!(
        "{word:?} is a single value, not a list\n  separate values with spaces, as in a b c; to hide this warning, put the value in \
         quotes"
    ))
}

/// `1:10` and `0:10:2` as in MATLAB and Python, `1...10`, `{1..10}` as in bash, `range(10)` as in Python.
fn is_foreign_range(word: &str) -> bool {
    let colons = word.matches(':').count();
    (matches!(colons, 1 | 2) && word.split(':').all(is_number))
        || word.split_once("...").is_some_and(|(first, last)| is_number(first) && is_number(last))
        || (word.starts_with('{') && word.ends_with('}') && (word.contains("..") || word.contains(',')))
        || (word.starts_with("range(") && word.ends_with(')'))
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') && digits != "."
}

/// The first word with a comma, if commas separate these values: the only word, or commas at the ends of all but the
/// last. Several words that contain commas, such as `1,2 3,4`, are pairs.
fn separated_by_commas(words: &[(String, bool)]) -> Option<&str> {
    let (last, others) = words.split_last()?;
    let (first, _) = words.first()?;
    let quoted = words.iter().any(|(_, quoted)| *quoted);
    let is_list = if others.is_empty() {
        last.0.trim_matches(['[', ']', '(', ')']).contains(',')
    } else {
        others.iter().all(|(word, _)| word.ends_with(','))
    };
    (is_list && !quoted).then_some(&first[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<String> {
        // Quoted words are marked like this.
        let words: Vec<(String, bool)> =
            text.split(' ').map(|word| (word.trim_matches('\'').to_owned(), word.starts_with('\''))).collect();
        look(&words)
    }

    /// Ranges and lists of other languages are reported, and words that merely contain a comma or a colon are not.
    #[test]
    fn lists_and_ranges_of_other_languages() {
        for text in ["1:10", "0:10:2", "-1:1", "1...3", "0.5...2.5", "{1..3}", "{a,b}", "range(10)", "a 1:3 b"] {
            assert!(said(text).is_some_and(|said| said.contains("FIRST..LAST")), "{text}");
        }
        for text in ["a,b,c", "1,2", "[1,2,3]", "a, b, c", "(1,2)", "1..3,5"] {
            assert!(said(text).is_some_and(|said| said.contains("separate values with spaces")), "{text}");
        }
        for text in [
            "a b c",
            "1..10",
            "'1:10'",
            "'a,b'",
            "1,2 3,4",
            "10:30:45:5",
            "host:80",
            "a:b",
            "1e3",
            "...",
            "a...b",
            "x,y z",
            "{x}",
            "1:",
            ":",
            "'a,' b",
        ] {
            assert_eq!(said(text), None, "{text}");
        }
    }
}
