//! ATLAS: the handlers for transforms and for athena.
//!
//! Each kept line is an input file. Commands are PyTaskFarmer's, byte for byte, where those work.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::commands::{BadCommand, TEXT_LEN_MAX};
use super::{Input, ListError, Source, TaskList, lines, one_line, read_file, refuse_directives, root};
use crate::ini::{Key, Section};
use crate::shell::quote_if_needed;

/// The folder within the workdir to which results are copied.
pub(crate) const OUTPUT: &str = "output";

/// At most `max` events of an input file, starting at `skip`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Part {
    number: u64,
    skip: u64,
    max: u64,
}

/// The parts of every command.
struct Job<'a> {
    section: &'a Section,
    /// `--key 'value'` for all keys that the handler does not use itself.
    options: Vec<u8>,
    outdir: Vec<u8>,
}

impl<'a> Job<'a> {
    fn new(section: &'a Section, own: &[&str], workdir: &Path) -> Result<Self, ListError> {
        let mut options = Vec::new();
        let is_option = |key: &&Key| key.name != "maxEventsPerJob" && !own.contains(&&key.name[..]);
        for key in section.keys.iter().filter(is_option) {
            let key = one_line(section, key)?;
            options.extend_from_slice(format!(" --{} '{}'", key.name, key.value).as_bytes());
        }
        let mut outdir = Vec::new();
        quote_if_needed(real_path(workdir).join(OUTPUT).as_os_str().as_bytes(), &mut outdir);
        Ok(Self { section, options, outdir })
    }

    fn required(&self, name: &str) -> Result<&'a str, ListError> {
        Ok(&one_line(self.section, self.section.required(name)?)?.value)
    }
}

/// The path without symbolic links, even if it does not exist yet.
fn real_path(path: &Path) -> PathBuf {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        if let Ok(real) = folder.canonicalize() {
            return missing.iter().rev().fold(real, |real, name| real.join(name));
        }
        missing.extend(folder.file_name());
    }
    path.to_owned()
}

/// The maximum number of events in a task. PyTaskFarmer accepts any number.
fn max_events(section: &Section) -> Result<Option<f64>, ListError> {
    let Some(key) = section.get("maxEventsPerJob") else { return Ok(None) };
    let number = key.value.trim().parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 1.0);
    number.map(Some).ok_or_else(|| section.error(Some(key), "not a number of events, which is at least 1").into())
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn part(number: u64, max: f64) -> Part {
    // As PyTaskFarmer counts: exact for whole numbers up to 2^53.
    Part { number, skip: (number as f64 * max) as u64, max: max as u64 }
}

#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn part_count(events: u64, max: f64) -> u64 {
    (events as f64 / max).ceil() as u64
}

/// Calls `make` with the number of each input, its name as a word, and each part of it.
fn for_each(
    section: &Section,
    list: &Path,
    make: impl FnMut(usize, u64, &[u8], Option<Part>) -> Vec<u8>,
) -> Result<TaskList, ListError> {
    let bytes = read_file(list)?;
    refuse_directives(list, &bytes, "give what all tasks ask for on the command line: --cpus-per-task and the like")?;
    let inputs: Vec<Input<'_>> = lines::kept(&bytes).map(|(line, text)| Input { name: text.stripped, line }).collect();
    let parts = match max_events(section)? {
        Some(max) => root::count(&inputs, list)?.into_iter().map(|events| Some((max, events))).collect(),
        None => vec![None; inputs.len()],
    };
    for_each_part(list, &inputs, parts, make)
}

/// `parts`: at most how many events a task may have, and how many the input has; `None` if it is processed as a whole.
fn for_each_part(
    list: &Path,
    inputs: &[Input<'_>],
    parts: Vec<Option<(f64, u64)>>,
    mut make: impl FnMut(usize, u64, &[u8], Option<Part>) -> Vec<u8>,
) -> Result<TaskList, ListError> {
    let mut tasks = TaskList::default();
    for (number, (input, parts)) in inputs.iter().zip(parts).enumerate() {
        let mut name = Vec::new();
        // A line that names a file is its name; any other is passed to the shell as it is, with its own quotes.
        if parts.is_some() || Path::new(std::ffi::OsStr::from_bytes(input.name)).exists() {
            quote_if_needed(input.name, &mut name);
        } else {
            name.extend_from_slice(input.name);
        }
        let count = parts.map_or(1, |(max, events)| part_count(events, max));
        if count == 0 {
            log::info!("{} has no events and gets no task", crate::shown::text(input.name));
        }
        let bad = |bad: BadCommand| ListError::content(list, input.line, &format!("its command has {bad}"));
        let mut command = |number_of_part, id| make(number, id, &name, parts.map(|(max, _)| part(number_of_part, max)));
        // A damaged file may claim any number of events.
        if count > u32::MAX.into() || count.saturating_mul(command(0, 0).len() as u64) > TEXT_LEN_MAX {
            return Err(bad(BadCommand::TooMany));
        }
        for number_of_part in 0..count {
            let id = tasks.len().into();
            tasks.push(&command(number_of_part, id)).map_err(bad)?;
        }
    }
    Ok(tasks)
}

/// `TRANSFORM OPTIONS --inputXFile FILE --outputYFile Y.0.root && rsync -avr Y.0.root OUTPUT`.
pub(super) fn transform(section: &Section, source: &Source<'_>) -> Result<TaskList, ListError> {
    let job = Job::new(section, &["transform", "input", "output"], source.workdir)?;
    let [transform, input, output] = ["transform", "input", "output"].map(|name| job.required(name));
    let (transform, input, output) = (transform?, input?, output?);
    for_each(section, source.list, |number, _, file, part| {
        let result = match part {
            Some(part) => format!("{output}.{number}.{}.root", part.number),
            None => format!("{output}.{number}.root"),
        };
        let events = part.map_or(String::new(), |part| format!(" --skipEvents {} --maxEvents {}", part.skip, part.max));
        [
            transform.as_bytes(),
            &job.options,
            format!(" --input{input}File ").as_bytes(),
            file,
            format!(" --output{output}File {result}{events} && rsync -avr {result} ").as_bytes(),
            &job.outdir,
        ]
        .concat()
    })
}

/// `athena.py OPTIONS --filesInput FILE JOBOPTIONS && rsync -avr RESULT OUTPUT/RESULT.ID`.
pub(super) fn athena(section: &Section, source: &Source<'_>) -> Result<TaskList, ListError> {
    let job = Job::new(section, &["jobOptions", "output"], source.workdir)?;
    let (job_options, output) = (job.required("jobOptions")?, job.required("output")?);
    for_each(section, source.list, |_, id, file, part| {
        let events = part.map_or(String::new(), |part| format!(" --skipEvents {} --evtMax {}", part.skip, part.max));
        [
            b"athena.py",
            &job.options[..],
            b" --filesInput ",
            file,
            format!("{events} {job_options} && rsync -avr {output} ").as_bytes(),
            &job.outdir,
            format!("/{output}.{id}").as_bytes(),
        ]
        .concat()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fuzz::within;

    /// Splitting is PyTaskFarmer's: a last part that is incomplete counts.
    #[test]
    fn parts_cover_all_events() {
        for (events, max, count) in
            [(0, 1000.0, 0), (1, 1000.0, 1), (999, 1000.0, 1), (1000, 1000.0, 1), (1001, 1000.0, 2)]
        {
            assert_eq!(part_count(events, max), count, "{events}");
        }
        assert_eq!(part(3, 1000.0), Part { number: 3, skip: 3000, max: 1000 });
        assert_eq!(part(3, 2.5), Part { number: 3, skip: 7, max: 2 });
        assert_eq!(part_count(u64::MAX, 1.0), u64::MAX);
    }

    fn section(keys: &[(&str, &str)]) -> Section {
        let key = |(name, value): &(&str, &str)| Key {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
            line: 1,
            inherited: false,
        };
        let class = key(&("TaskList", "athena"));
        Section { name: "x".to_owned(), file: "a.ini".into(), line: 1, class, keys: keys.iter().map(key).collect() }
    }

    proptest! {
        /// Promise 5: any list of files gives one task for each, or is refused.
        #[test]
        fn any_list_is_a_list_or_refused(bytes: Vec<u8>, text in "[a-z #'\r\n\t\0é/.]{0,40}", option in "[a-z'\n]{0,6}") {
            let section = section(&[
                ("transform", "T"), ("input", "I"), ("output", "O"), ("jobOptions", "J"), ("k", &option),
            ]);
            for bytes in [bytes, text.into_bytes()] {
                let file = tempfile::NamedTempFile::new().unwrap();
                std::fs::write(file.path(), &bytes).unwrap();
                let source = Source { list: file.path(), workdir: Path::new("w"), shared: &[] };
                let inputs = lines::kept(&bytes).count();
                for made in [transform(&section, &source), athena(&section, &source)] {
                    prop_assert!(made.is_err() || made.is_ok_and(|list| list.len() as usize == inputs));
                }
            }
        }
    }

    /// A damaged file that claims to have a huge number of events causes an error, and costs neither memory nor time.
    #[test]
    fn numbers_of_events_are_bounded() {
        let tasks = |events: u64| {
            let (input, parts) = (Input { name: b"file", line: 1 }, vec![Some((1.0, events))]);
            within(1 << 20, || for_each_part(Path::new("list"), &[input], parts, |_, _, _, _| vec![b'x'; 100]))
                .map(|list| list.len())
        };
        assert_eq!(tasks(3).unwrap(), 3);
        for events in [1 << 26, 1 << 33, u64::MAX >> 1] {
            assert!(tasks(events).unwrap_err().to_string().contains("too many"), "{events}");
        }
    }

    /// A path that does not exist yet keeps its names after the part that exists.
    #[test]
    fn real_paths_follow_links() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("a")).unwrap();
        std::os::unix::fs::symlink(real.join("a"), real.join("link")).unwrap();
        assert_eq!(real_path(&real.join("link/x/y")), real.join("a/x/y"));
        assert_eq!(real_path(&real.join("link")), real.join("a"));
    }
}
