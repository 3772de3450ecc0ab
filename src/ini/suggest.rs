//! The word that was probably intended.

/// The nearest of `known`, if it is near enough to be a typing error. Case does not count.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A name from outside may be long; a typing error is never that long.
    const LEN_MAX: usize = 100;
    if word.len() > LEN_MAX {
        return None;
    }
    let known = known.into_iter().filter(|name| name.len() <= 4 * LEN_MAX);
    let lower = word.to_lowercase();
    let near = known.map(|name| (distance(&lower, &name.to_lowercase()), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 1 + word.chars().count() / 3).then_some(name)
}

/// Letters to insert, remove or change; two adjacent letters in the wrong order also cost 1.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let mut best = (last[j] + usize::from(a[i] != b[j])).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Typing errors are recognized, other words are left alone.
    #[test]
    fn typing_errors_are_recognised() {
        let known = ["image", "setup", "volumes", "modules", "tempdir"];
        for (word, meant) in [
            ("imgae", Some("image")),
            ("volume", Some("volumes")),
            ("TempDir", Some("tempdir")),
            ("seup", Some("setup")),
            ("walltime", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
        assert_eq!(nearest("x", []), None);
    }
}
