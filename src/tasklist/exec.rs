//! Handler `exec`: a program prints the tasks.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use super::commands::COMMAND_LEN_MAX;
use super::directives::Keys;
use super::program::run;
use super::{ListError, Source, TaskList, directives, encoding, lines};
use crate::demand::list::ListAsks;
use crate::ini::Section;
use crate::template::Template;

pub(super) const KEYS: &[&str] = &["command", "separator"];

const NAMES: [&str; 2] = ["list", "workdir"];

/// Makes the list.
pub(super) fn read(section: &Section, source: &Source<'_>) -> Result<(TaskList, ListAsks), ListError> {
    let key = section.required("command")?;
    let template = Template::command(&key.value, &NAMES).map_err(|what| section.error(Some(key), &what))?;
    let by_nul = match section.get("separator").map(|key| (key, &key.value[..])) {
        None | Some((_, "newline")) => false,
        Some((_, "nul")) => true,
        Some((key, _)) => return Err(section.error(Some(key), "neither newline nor nul").into()),
    };
    let mut command = Vec::new();
    let workdir = std::path::absolute(source.workdir).unwrap_or_else(|_| source.workdir.to_owned());
    let values = [source.list.as_os_str().as_bytes(), workdir.as_os_str().as_bytes()];
    if template.fields().any(|field| values[field].contains(&b'\n')) {
        return Err(section.error(Some(key), "the path of list or workdir has a newline in it").into());
    }
    template.fill(|field| values.get(field).copied(), &mut command).expect("both are there");

    // The program also reads the list.
    super::check_is_file(source.list)?;
    let list = File::open(source.list).map_err(|error| ListError::unreadable(source.list, error))?;
    let bash = Path::new("/bin/bash");
    let shell = if bash.exists() { bash } else { Path::new("/bin/sh") };
    let mut program = Command::new(shell);
    program.arg("-c").arg(std::ffi::OsStr::from_bytes(&command)).stdin(list);
    let failed = |what: &str| ListError::from(section.error(Some(key), &format!("the program {what}")));
    let output = run(&mut program, None).map_err(|error| failed(&format!("cannot be started: {error}")))?;
    if let Some(how) = output.failure() {
        return Err(failed(&format!("{how}{}\n  nothing was started", output.stderr_lines())));
    }
    if !output.tail.is_empty() {
        log::info!("[{}]: the program says:{}", section.name, output.stderr_lines());
    }
    if by_nul {
        let mut list = TaskList::default();
        let records = output.stdout.split(|&byte| byte == 0).filter(|record| !record.trim_ascii().is_empty());
        for record in records {
            let number = list.len();
            if directives::text_of(record).is_some() {
                return Err(failed(
                    "prints a directive, #TF, with 'separator = nul'\n  print lines instead: separator = newline",
                ));
            }
            list.push(record).map_err(|bad| failed(&format!("prints a task, number {number}, that has {bad}")))?;
        }
        return Ok((list, ListAsks::default()));
    }
    if encoding::is_utf16(&output.stdout) {
        return Err(failed("prints UTF-16\n  convert it to UTF-8, for example with | iconv -f UTF-16 -t UTF-8"));
    }
    let lines =
        lines::parse(encoding::without_mark(output.stdout), Keys { shared: source.shared }).map_err(
            |bad| match bad {
                lines::BadLine::Nul { line } => {
                    failed(&format!("prints a NUL byte, in line {line}\n  is 'separator = nul' meant?"))
                }
                lines::BadLine::TooLong { line } => {
                    failed(&format!("prints more than {COMMAND_LEN_MAX} bytes for a task, in line {line}"))
                }
                lines::BadLine::TooMany => failed(&format!("prints more than {} tasks", u32::MAX)),
                lines::BadLine::Foreign { line, directive } => {
                    failed(&format!("prints, on line {line}, {}", directive.refusal()))
                }
                lines::BadLine::Directive { line, bad } => failed(&format!("prints, on line {line}, {bad}")),
            },
        )?;
    if let Some(text) = lines.ignored.message() {
        log::warn!("[{}]: the program prints {text}", section.name);
    }
    Ok((lines.list, lines.asks))
}
