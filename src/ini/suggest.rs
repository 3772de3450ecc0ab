//! The word that was probably intended.

use strsim::osa_distance;

/// The nearest of `known`, if it is near enough to be a typing error. Case does not count.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A name from outside may be long; a typing error is never that long.
    const LEN_MAX: usize = 100;
    if word.len() > LEN_MAX {
        return None;
    }
    let known = known.into_iter().filter(|name| name.len() <= 4 * LEN_MAX);
    let lower = word.to_lowercase();
    let near = known.map(|name| (osa_distance(&lower, &name.to_lowercase()), name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.chars().count() / 3).max(1)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Typing errors are recognized, other words are left alone.
    #[test]
    fn typing_errors_are_recognized() {
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
        assert_eq!(nearest("nothing", ["moving"]), None);
        assert_eq!(nearest("x", []), None);
    }
}
