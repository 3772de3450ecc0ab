//! Handler `product`: the cross product of lists of values, inserted into a command.
//!
//! Variables are in the INI section, in the tasklist file, or in both: then the file's count. The first variable
//! changes slowest, as in nested loops.

use std::collections::HashSet;
use std::path::Path;

use super::commands::{BadCommand, TEXT_LEN_MAX};
use super::range::{self, Range};
use super::{ListError, TaskList, lines, literal, one_line, read_file, refuse_directives};
use crate::ini::Section;
use crate::template::{Fields, Template};

/// The ID that the task gets.
const ID: usize = usize::MAX;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Word(String),
    Range(Range),
}

/// For at most this many variables, a message says that their values look suspicious.
const WARNINGS_MAX: usize = 3;

/// With more variables than this, it is a different kind of file.
const VARIABLES_MAX: usize = 10_000;

/// A variable and its values.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Axis {
    name: String,
    /// Each with the number of values before it.
    parts: Vec<(u64, Part)>,
    count: u64,
    /// The word in it that looks like a list or a range of a different language.
    literal: Option<String>,
}

impl Axis {
    fn value(&self, index: u64) -> String {
        let after = self.parts.partition_point(|(before, _)| *before <= index);
        match &self.parts[after - 1] {
            (_, Part::Word(word)) => word.clone(),
            (before, Part::Range(range)) => range.value(index - before),
        }
    }
}

/// Splits at white space; quotes preserve it, and make a range a word.
fn words(text: &str) -> Result<Vec<(String, bool)>, String> {
    let mut words = Vec::new();
    let mut word: Option<(String, bool)> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let (word, quoted) = word.get_or_insert_default();
                *quoted = true;
                loop {
                    match chars.next() {
                        None => return Err(format!("the quote {c} is open")),
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => word.push(chars.next().ok_or("a backslash at its end")?),
                        Some(other) => word.push(other),
                    }
                }
            }
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().0.push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

fn axis(name: &str, text: &str) -> Result<Axis, String> {
    let (mut parts, mut count) = (Vec::new(), 0_u64);
    let words = words(text)?;
    let literal = literal::look(&words);
    for (word, quoted) in words {
        let (more, part) = match range::parse(&word).filter(|_| !quoted).transpose()? {
            Some(range) => (range.count, Part::Range(range)),
            None => (1, Part::Word(word)),
        };
        parts.push((count, part));
        count = count.saturating_add(more);
    }
    if parts.is_empty() {
        return Err("it has no value".to_owned());
    }
    Ok(Axis { name: name.to_owned(), parts, count, literal })
}

impl Fields for [Axis] {
    type Field = usize;
    fn find(&self, name: &str) -> Option<usize> {
        let axis = self.iter().position(|axis| axis.name == name);
        axis.or_else(|| (name == "id").then_some(ID))
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|axis| &axis.name[..]).chain(["id"]).collect()
    }
}

/// The source of a value, for messages.
enum Place<'a> {
    Ini(&'a Section, &'a crate::ini::Key),
    Line(&'a Path, u64),
}

impl Place<'_> {
    fn error(&self, what: &str) -> ListError {
        match self {
            Self::Ini(section, key) => section.error(Some(key), what).into(),
            Self::Line(path, line) => ListError::content(path, *line, what),
        }
    }
}

/// Adds a variable, or replaces the values of one.
fn set(axes: &mut Vec<Axis>, axis: Axis) -> Result<(), String> {
    match axes.iter().position(|known| known.name == axis.name) {
        Some(at) => axes[at] = axis,
        None if axes.len() == VARIABLES_MAX => return Err(format!("there are already {VARIABLES_MAX} variables")),
        None => axes.push(axis),
    }
    Ok(())
}

/// Makes the list.
pub(super) fn read(section: &Section, path: &Path) -> Result<TaskList, ListError> {
    let mut command = None;
    let mut axes: Vec<Axis> = Vec::new();
    for key in &section.keys {
        let place = Place::Ini(section, key);
        if key.name == "command" {
            command = Some((one_line(section, key)?.value.clone(), place));
        } else {
            axis(&key.name, &key.value).and_then(|axis| set(&mut axes, axis)).map_err(|what| place.error(&what))?;
        }
    }
    let bytes = read_file(path)?;
    refuse_directives(path, &bytes, "give what all tasks ask for on the command line: --cpus-per-task and the like")?;
    let mut in_file: HashSet<&str> = HashSet::new();
    for (number, line) in lines::kept(&bytes) {
        let place = Place::Line(path, number);
        let text = str::from_utf8(line.stripped).map_err(|_| place.error("it is not UTF-8"))?;
        let Some((name, value)) = text.split_once('=').map(|(name, value)| (name.trim_end(), value.trim_start()))
        else {
            return Err(place.error("it is not \"name = values\""));
        };
        if name.is_empty() || !in_file.insert(name) {
            return Err(place.error(if name.is_empty() { "it has no name" } else { "its name occurs twice" }));
        }
        if name == "command" {
            command = Some((value.to_owned(), place));
        } else {
            axis(name, value)
                .and_then(|axis| set(&mut axes, axis))
                .map_err(|what| place.error(&format!("{name}: {what}")))?;
        }
    }
    let Some((text, place)) = command.filter(|(text, _)| !text.is_empty()) else {
        let what = "there is no command: give one by a line \"command = …\", there or in an INI file";
        return Err(ListError::content(path, 0, what));
    };
    let template = Template::command(&text, &axes[..]).map_err(|what| place.error(&what))?;
    combine(&template, &axes).map_err(|(bad, values)| place.error(&format!("the task of {values} has {bad}")))
}

fn combine(template: &Template<usize>, axes: &[Axis]) -> Result<TaskList, (BadCommand, String)> {
    for (name, what) in axes.iter().filter_map(|axis| Some((&axis.name, axis.literal.as_ref()?))).take(WARNINGS_MAX) {
        log::warn!("{name}: {what}");
    }
    let unused = axes.iter().enumerate().filter(|(at, _)| template.fields().all(|field| field != *at));
    for (_, axis) in unused {
        log::warn!("the command does not use {{{}}}: each task occurs {} times", axis.name, axis.count);
    }
    let count = axes.iter().fold(1, |count: u64, axis| count.saturating_mul(axis.count));
    if count > u32::MAX.into() || count.saturating_mul(template.len_min()) > TEXT_LEN_MAX {
        return Err((BadCommand::TooMany, format!("the last of {count} combinations")));
    }
    let mut list = TaskList::default();
    // The number of a combination, written with the variables as its digits: the last one is the lowest.
    let mut values: Vec<String> = axes.iter().map(|axis| axis.value(0)).collect();
    let mut digits = vec![0; axes.len()];
    for number in 0..count {
        let mut rest = number;
        for (axis, (digit, value)) in axes.iter().zip(digits.iter_mut().zip(&mut values)).rev() {
            let new = rest % axis.count;
            rest /= axis.count;
            if *digit != new {
                *digit = new;
                *value = axis.value(new);
            }
        }
        add(&mut list, template, &values, axes)?;
    }
    Ok(list)
}

fn add(
    list: &mut TaskList,
    template: &Template<usize>,
    values: &[String],
    axes: &[Axis],
) -> Result<(), (BadCommand, String)> {
    let id = list.len().to_string();
    let value = |field: usize| Some(if field == ID { id.as_bytes() } else { values[field].as_bytes() });
    let mut command = Vec::new();
    template.fill(value, &mut command).expect("every variable has a value");
    list.push(&command).map_err(|bad| {
        let told: Vec<String> =
            axes.iter().zip(values).map(|(axis, value)| format!("{}={value:?}", axis.name)).collect();
        (bad, told.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::{nearly_text, within};
    use crate::ini::Key;
    use crate::task::TaskId;

    fn texts(text: &str) -> Vec<String> {
        let axis = axis("x", text).unwrap();
        (0..axis.count).map(|index| axis.value(index)).collect()
    }

    /// Words, quoted words and ranges may be combined.
    #[test]
    fn values_are_words_and_ranges() {
        assert_eq!(
            texts("a 'b c' 1..3\n\"d \\\" e\" '1..3' '' x'y'z"),
            ["a", "b c", "1", "2", "3", "d \" e", "1..3", "", "xyz"]
        );
        for bad in ["", "  ", "'a", "\"a", "1..2..0"] {
            assert!(axis("x", bad).is_err(), "{bad}");
        }
    }

    fn section(keys: &[(&str, &str)]) -> Section {
        let key = |(name, value): &(&str, &str)| Key {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            line: 2,
            inherited: false,
        };
        let class = key(&("TaskList", "product"));
        Section { name: "x".to_owned(), file: "a.ini".into(), line: 1, class, keys: keys.iter().map(key).collect() }
    }

    fn read_bytes(section: &Section, bytes: &[u8]) -> Result<TaskList, ListError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        within(8 << 20, || read(section, file.path()))
    }

    fn product_file() -> impl Strategy<Value = String> {
        let value = "[0-9]{1,2}\\.\\.[0-9]{1,2}(\\.\\.[0-9.]{1,3})?|[a-z'\"é\\\\]{1,5}|'a b'|\"x\"";
        let line = ("[abc]|command|#", prop::collection::vec(value, 0..4))
            .prop_map(|(name, values)| format!("{name} = {}\n", values.join(" ")));
        let command = "command = (run|\\{a\\}|\\{b:raw\\}|\\{c:q\\}|\\{id\\}|[ '\"$]){1,6}\n";
        (prop::collection::vec(line, 0..4), command).prop_map(|(lines, command)| lines.concat() + &command)
    }

    proptest! {
        /// Promise 5: any file is a list or is refused, and every task of it is one line.
        #[test]
        fn any_file_is_a_list_or_refused(text in nearly_text(product_file()), bytes: Vec<u8>, in_section: bool) {
            let keys = [("command", "run {a} {id}"), ("a", "1 2")];
            let section = section(if in_section { &keys } else { &[] });
            for bytes in [text.as_bytes(), &bytes] {
                if let Ok(list) = read_bytes(&section, bytes) {
                    for id in 0..list.len() {
                        let command = list.command(TaskId(id));
                        prop_assert!(!command.is_empty() && !command.contains(&b'\n') && !command.contains(&0));
                    }
                }
            }
        }
    }

    /// With too many variables it is a different kind of file; many values are as quick as few.
    #[test]
    fn long_files_do_not_hang_the_farm() {
        let variables: String = (0..VARIABLES_MAX + 2).map(|number| format!("x{number} = 1\n")).collect();
        let error = read_bytes(&section(&[]), variables.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("line 10001: x10000: there are already 10000 variables"), "{error}");
        let axis = axis("x", &"a 7..8 ".repeat(200_000)).unwrap();
        assert_eq!((axis.count, axis.value(0), axis.value(599_999)), (600_000, "a".to_owned(), "8".to_owned()));
        (0..axis.count).for_each(|index| assert!(["a", "7", "8"].contains(&&axis.value(index)[..])));
    }

    /// A wrong number causes an error, and costs neither memory nor time.
    #[test]
    fn sizes_are_bounded() {
        for (values, command) in
            [("1..99999", "run {x} {y}"), ("1..999", &format!("run {{x}} {{y}} {}", "z".repeat(9_999)))]
        {
            let axes = [axis("x", values).unwrap(), axis("y", values).unwrap()];
            let template = Template::command(command, &axes[..]).unwrap();
            let error = combine(&template, &axes).map(|list| list.len());
            assert!(matches!(error, Err((BadCommand::TooMany, _))), "{error:?}");
        }
    }
}
