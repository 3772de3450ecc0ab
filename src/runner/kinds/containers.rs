//! Kinds that run tasks in containers: command lines in the form that each program needs.

use super::super::config::{Defined, Start};
use super::super::environment::{self, OMP_NUM_THREADS};
use super::super::fields::{Field, Template, as_operand};
use super::{choice, new, read, read_one, setup, with_cwd};
use crate::ini::{IniError, Section};
use crate::shell::quoted;
use crate::sys::gpus;
use crate::template::{Form, Reader};

pub(super) fn shifter(section: &Section) -> Result<Defined, IniError> {
    section.check_keys(&["image", "setup", "volumes", "modules", "tempdir", "cwd", "env.*"])?;
    let image = section.required("image")?;
    let mut words: Vec<Template> = ["shifter", "--image", &image.value].map(Template::literal).into();
    if choice(section, "tempdir", &[("False", false), ("True", true), ("", false)])? {
        words.push(Template::around("--workdir=", Field::Tempdir));
    }
    let each = |name: &str| section.value(name).unwrap_or_default().split_whitespace();
    words.extend(each("volumes").map(|volume| Template::literal(&format!("-V{volume}"))));
    words.extend(each("modules").map(|module| Template::literal(&format!("-m{module}"))));
    words.extend(["--", "/bin/bash", "-c"].map(Template::literal));
    words.push(match setup(section) {
        "" => Template::around("", Field::Command),
        setup => Template::around(&format!("{setup} && "), Field::Task),
    });
    let defined = with_cwd(section, new(section, Start::Words { words, by_stdin: false })?)?;
    Ok(Defined { proc_number: false, ..without_bash_env(defined) })
}

/// The node's `BASH_ENV` names a file that the container may not have.
fn without_bash_env(mut defined: Defined) -> Defined {
    if defined.variables.iter().all(|(name, _)| name != b"BASH_ENV") {
        defined.variables.push((b"BASH_ENV".to_vec(), Template::literal("")));
    }
    defined
}

/// `SHELL -c SCRIPT` for use inside a container, including the setup.
fn shell_words(section: &Section) -> Result<[Template; 3], IniError> {
    let shell = choice(section, "shell", &[("bash", "/bin/bash"), ("sh", "/bin/sh")])?;
    let script = match setup(section) {
        "" => Template::around("", Field::Command),
        setup => {
            let setup = String::from_utf8_lossy(&quoted(&as_operand(setup.as_bytes()))).into_owned();
            // As on the node itself, see `super::guarded`.
            let guarded = Template::literal(&format!("eval {setup}\ncase $? in 0) eval "));
            guarded.with(Field::Command, Form::Quoted).then(Template::literal(" ;; *) exit ;; esac"))
        }
    };
    Ok([Template::literal(shell), Template::literal("-c"), script])
}

fn options(section: &Section) -> Result<Vec<Template>, IniError> {
    let Some(key) = section.get("options") else { return Ok(Vec::new()) };
    read(section, key, &key.value, Reader::Words)
}

/// Separated by white space, may contain fields.
fn volumes(section: &Section, option: &str) -> Result<Vec<Template>, IniError> {
    let Some(key) = section.get("volumes") else { return Ok(Vec::new()) };
    let read = |volume| Ok(Template::literal(option).then(read_one(section, key, volume, Reader::Nothing)?));
    key.value.split_whitespace().map(read).collect()
}

const CONTAINER_KEYS: [&str; 7] = ["image", "setup", "volumes", "options", "shell", "cwd", "env.*"];

pub(super) fn apptainer(section: &Section, program: &str) -> Result<Defined, IniError> {
    section.check_keys(&CONTAINER_KEYS)?;
    let image = section.required("image")?;
    let mut words = vec![Template::literal(program), Template::literal("exec")];
    words.extend(volumes(section, "--bind=")?);
    words.extend(options(section)?);
    words.push(Template::literal(&image.value));
    words.extend(shell_words(section)?);
    let mut defined = with_cwd(section, new(section, Start::Words { words, by_stdin: false })?)?;
    // The image's own environment would take precedence over the node's.
    let prefix = format!("{}ENV_", program.to_uppercase());
    for (name, _) in &mut defined.variables {
        *name = [prefix.as_bytes(), name].concat();
    }
    Ok(without_bash_env(defined))
}

pub(super) fn podman(section: &Section, program: &str) -> Result<Defined, IniError> {
    section.check_keys(&CONTAINER_KEYS)?;
    let image = section.required("image")?;
    let mut words: Vec<Template> = [program, "run", "--rm"].map(Template::literal).into();
    words.push(Template::around("--volume=", Field::Cwd).then(Template::around(":", Field::Cwd)));
    let here = Template::around("--workdir=", Field::Cwd);
    words.push(match section.get("cwd") {
        None => here,
        Some(key) => {
            let is_absolute = key.value.starts_with(['/', '{']);
            let before = if is_absolute { Template::literal("--workdir=") } else { here.then(Template::literal("/")) };
            before.then(read_one(section, key, &key.value, Reader::Nothing)?)
        }
    });
    words.extend(volumes(section, "--volume=")?);
    let defined = new(section, Start::Split)?;
    let own = defined.variables.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    let own = own.filter(|name| name != OMP_NUM_THREADS);
    // The farm sets these for CPUs and GPUs of a task's own; unset variables are not passed on.
    let resources = gpus::VARIABLES.into_iter().chain([OMP_NUM_THREADS]);
    let names = environment::OURS.into_iter().chain(resources).map(str::to_owned).chain(own);
    words.extend(names.map(|name| Template::literal(&format!("--env={name}"))));
    words.extend(options(section)?);
    words.push(Template::literal(&image.value));
    words.extend(shell_words(section)?);
    Ok(Defined { start: Start::Words { words, by_stdin: false }, ..defined })
}
