//! Handler `product`: the cross product of lists of values, put into a command.
//!
//! Variables stand in the INI section, in the tasklist file, or in both: there the file's count. The first variable
//! changes slowest, as in nested loops.

use std::path::Path;

use super::commands::{BadCommand, Commands, TEXT_LEN_MAX};
use super::range::{self, Range};
use super::template::{Fields, Template};
use super::{ListError, TaskList, lines, one_line, read_file};
use crate::ini::Section;

/// The ID that the task gets.
const ID: usize = usize::MAX;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Part {
    Word(String),
    Range(Range),
}

/// A variable and its values.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Axis {
    name: String,
    parts: Vec<Part>,
    count: u64,
}

impl Axis {
    fn value(&self, mut index: u64) -> String {
        for part in &self.parts {
            match part {
                Part::Word(word) if index == 0 => return word.clone(),
                Part::Word(_) => index -= 1,
                Part::Range(range) if index < range.count() => return range.value(index),
                Part::Range(range) => index -= range.count(),
            }
        }
        unreachable!("an index within the count")
    }
}

/// Splits at white space; quotes keep it, and make a range a word.
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
    let mut parts = Vec::new();
    for (word, quoted) in words(text)? {
        parts.push(match range::parse(&word).filter(|_| !quoted) {
            Some(range) => Part::Range(range?),
            None => Part::Word(word),
        });
    }
    if parts.is_empty() {
        return Err("it has no value".to_owned());
    }
    let counts = parts.iter().map(|part| if let Part::Range(range) = part { range.count() } else { 1 });
    let count = counts.fold(0, u64::saturating_add);
    Ok(Axis { name: name.to_owned(), parts, count })
}

impl Fields for [Axis] {
    fn find(&self, name: &str) -> Option<usize> {
        let axis = self.iter().position(|axis| axis.name == name);
        axis.or_else(|| (name == "id").then_some(ID))
    }

    fn names(&self) -> Vec<&str> {
        self.iter().map(|axis| &axis.name[..]).chain(["id"]).collect()
    }
}

/// Where something was said, for messages.
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

/// Takes one more variable, or another value for one.
fn set(axes: &mut Vec<Axis>, axis: Axis) {
    match axes.iter_mut().find(|known| known.name == axis.name) {
        Some(known) => *known = axis,
        None => axes.push(axis),
    }
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
            set(&mut axes, axis(&key.name, &key.value).map_err(|what| place.error(&what))?);
        }
    }
    let bytes = read_file(path)?;
    let mut in_file: Vec<String> = Vec::new();
    for (number, line) in lines::kept(&bytes) {
        let place = Place::Line(path, number);
        let text = str::from_utf8(line.stripped).map_err(|_| place.error("it is not UTF-8"))?;
        let Some((name, value)) = text.split_once('=').map(|(name, value)| (name.trim_end(), value.trim_start()))
        else {
            return Err(place.error("it is not \"name = values\""));
        };
        if name.is_empty() || in_file.iter().any(|known| known == name) {
            return Err(place.error(if name.is_empty() { "it has no name" } else { "its name is there twice" }));
        }
        in_file.push(name.to_owned());
        if name == "command" {
            command = Some((value.to_owned(), place));
        } else {
            set(&mut axes, axis(name, value).map_err(|what| place.error(&format!("{name}: {what}")))?);
        }
    }
    let Some((text, place)) = command.filter(|(text, _)| !text.is_empty()) else {
        let what = "there is no command: give one by a line \"command = …\", there or in an INI file";
        return Err(ListError::content(path, 0, what));
    };
    let template = Template::parse(&text, &axes[..]).map_err(|what| place.error(&what))?;
    combine(&template, &axes).map_err(|(bad, values)| place.error(&format!("the task of {values} has {bad}")))
}

fn combine(template: &Template, axes: &[Axis]) -> Result<TaskList, (BadCommand, String)> {
    let unused = axes.iter().enumerate().filter(|(at, _)| template.fields().all(|field| field != *at));
    for (_, axis) in unused {
        log::warn!("the command does not use {{{}}}: each task is there {} times", axis.name, axis.count);
    }
    let count = axes.iter().fold(1, |count: u64, axis| count.saturating_mul(axis.count));
    if count > u32::MAX.into() || count.saturating_mul(template.len_min()) > TEXT_LEN_MAX {
        return Err((BadCommand::TooMany, format!("the last of {count} combinations")));
    }
    let mut commands = Commands::default();
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
        add(&mut commands, template, &values, axes)?;
    }
    Ok(commands.finish())
}

fn add(
    commands: &mut Commands,
    template: &Template,
    values: &[String],
    axes: &[Axis],
) -> Result<(), (BadCommand, String)> {
    let id = commands.next_id().to_string();
    let value = |field: usize| Some(if field == ID { id.as_bytes() } else { values[field].as_bytes() });
    let mut command = Vec::new();
    template.fill(value, &mut command).expect("every variable has a value");
    commands.push(&command).map_err(|bad| {
        let told: Vec<String> =
            axes.iter().zip(values).map(|(axis, value)| format!("{}={value:?}", axis.name)).collect();
        (bad, told.join(" "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        let axis = axis("x", text).unwrap();
        (0..axis.count).map(|index| axis.value(index)).collect()
    }

    /// Words, quoted words and ranges may stand side by side.
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

    /// A wrong number costs an error, and neither memory nor time.
    #[test]
    fn sizes_are_bounded() {
        for (values, command) in
            [("1..99999", "run {x} {y}"), ("1..999", &format!("run {{x}} {{y}} {}", "z".repeat(9_999)))]
        {
            let axes = [axis("x", values).unwrap(), axis("y", values).unwrap()];
            let template = Template::parse(command, &axes[..]).unwrap();
            let error = combine(&template, &axes).map(|list| list.len());
            assert!(matches!(error, Err((BadCommand::TooMany, _))), "{error:?}");
        }
    }
}
