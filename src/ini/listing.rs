//! What `--list-runners` and `--list-handlers` print.

use std::fmt::Write;

use super::catalog::Listed;
use super::{Catalog, Kind, load};
use crate::shown;

/// Widest column, in characters: longer text exceeds it.
const WIDTH_MAX: usize = 60;

/// Names and kinds that need no INI file, followed by those from INI files: name, kind, file and line of each.
///
/// `kind_of` returns the short name for the value of `Runner` or `TaskList` in a section.
pub(crate) fn listing(kind: Kind, built_in: &[(&str, &str)], kind_of: impl Fn(&str) -> String) -> (String, Catalog) {
    let catalog = load(kind);
    let defined = catalog.list();
    let mut rows: Vec<[String; 3]> = built_in
        .iter()
        .filter(|(name, _)| defined.iter().all(|listed| listed.name != *name))
        .map(|(name, kind)| [(*name).to_owned(), (*kind).to_owned(), "built in".to_owned()])
        .collect();
    for (all, ignored) in [(defined, ""), (catalog.list_ignored(), ", ignored")] {
        rows.extend(all.into_iter().map(|Listed { name, class, file, line }| {
            [shown::line(&name), shown::line(&kind_of(&class)), format!("{}:{line}{ignored}", shown::path(&file))]
        }));
    }
    (table(&rows), catalog)
}

fn table(rows: &[[String; 3]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(WIDTH_MAX);
    let (names, kinds) = (width(0), width(1));
    let mut text = String::new();
    for [name, kind, place] in rows {
        let _ = writeln!(text, "{name:names$}  {kind:kinds$}  {place}");
    }
    text
}

/// The short name of a built-in kind, however it is written; `python CLASS` for a class that is not built in.
/// `kinds` contains the short name of each and PyTaskFarmer's class.
pub(crate) fn kind_name(kinds: &[(&str, Option<&str>)], class: &str) -> String {
    match kinds.iter().find(|(short, long)| *short == class || *long == Some(class)) {
        Some((short, _)) => (*short).to_owned(),
        None if class.contains('.') => format!("python {class}"),
        None => format!("unknown {class}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns are as wide as their content, but one very long name does not make all lines long: beyond some length, a
    /// width causes a panic.
    #[test]
    fn columns_are_bounded() {
        let row = |name: &str| [name.to_owned(), "basic".to_owned(), "a.ini:1".to_owned()];
        assert_eq!(table(&[row("a"), row("bcd")]), "a    basic  a.ini:1\nbcd  basic  a.ini:1\n");
        let text = table(&[row("a"), row(&"x".repeat(70_000))]);
        assert_eq!(text.lines().next().unwrap().len(), WIDTH_MAX + "  basic  a.ini:1".len());
    }
}
