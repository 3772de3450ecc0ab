//! Which handler a name refers to, and what it makes of a tasklist.

use std::path::{Path, PathBuf};

use super::directives::Keys;
use super::{ListError, Made, TaskList, atlas, exec, fields, product, python, read_lines};
use crate::demand::list::ListAsks;
use crate::ini::{self, Catalog, Key, Remarks, Section, nearest};

/// The handler that a tasklist gets when `--tasklist` is not given.
pub(crate) const DEFAULT_HANDLER: &str = "default";

/// Handlers that need no section.
const BUILT_IN: [(&str, &str); 2] = [(DEFAULT_HANDLER, "list"), ("product", "product")];

/// Built-in kinds of handlers: their names in `TaskList =`, and PyTaskFarmer's class for each.
pub(crate) const KINDS: &[(&str, Option<&str>)] = &[
    ("list", Some("taskfarmer.task.ListTaskList")),
    ("transform", Some("taskfarmer.atlas.TransformTaskList")),
    ("athena", Some("taskfarmer.atlas.AthenaTaskList")),
    ("template", None),
    ("product", None),
    ("exec", None),
];

/// What `--list-handlers` prints, and the INI files that it comes from.
pub(crate) fn listing() -> (String, Catalog) {
    ini::listing(ini::Kind::Handlers, &BUILT_IN, |class| ini::kind_name(KINDS, class))
}

pub(super) fn built_in_kinds() -> String {
    KINDS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// What a handler reads, and for which workdir; both as typed by the user.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The tasklist.
    pub list: &'a Path,
    /// The workdir, which may not exist yet.
    pub workdir: &'a Path,
    /// Names of what the farm shares out among tasks.
    pub shared: &'a [&'a str],
}

/// What a handler made of a tasklist.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tasks {
    /// The tasks.
    pub list: TaskList,
    /// What they ask for.
    pub(crate) asks: ListAsks,
    /// Whether commands copy into a folder `output` of the workdir, which must be created at a real start.
    pub wants_output: bool,
    /// Whether each task is a line of the list, so that it can be found there by number.
    pub are_lines: bool,
    /// The workdir, if it had to be created for a Python class.
    pub made: Made,
}

impl From<TaskList> for Tasks {
    fn from(list: TaskList) -> Self {
        Self { list, ..Self::default() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    List,
    Transform,
    Athena,
    Template,
    Product,
    Exec,
    Python,
}

/// A handler, by its definition.
#[derive(Debug)]
pub struct Handler {
    kind: Kind,
    section: Section,
    /// Remarks about it for the user.
    pub remarks: Remarks,
}

/// The kind, and its keys, if they are known here. Those of some kinds are options, variables and arguments, with any
/// name, or depend on the command line.
fn kind_of(section: &Section) -> Result<(Kind, Option<&'static [&'static str]>), ListError> {
    let class = &section.class.value;
    Ok(match &ini::kind_name(KINDS, class)[..] {
        "list" => (Kind::List, Some(&[])),
        "transform" => (Kind::Transform, None),
        "athena" => (Kind::Athena, None),
        "template" => (Kind::Template, None),
        "product" => (Kind::Product, None),
        "exec" => (Kind::Exec, Some(exec::KEYS)),
        _ if class.contains('.') => (Kind::Python, None),
        _ => {
            let near = nearest(class, KINDS.iter().map(|(name, _)| *name));
            let near = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
            let what = format!(
                "there is no kind '{class}'{near}\n  built in: {}; a Python class is written module.Class",
                built_in_kinds()
            );
            return Err(section.error(Some(&section.class), &what).into());
        }
    })
}

/// A section as it would be in an INI file.
fn built_in(name: &str) -> Option<Section> {
    let (name, kind) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
    let class = Key { name: "TaskList".to_owned(), value: (*kind).to_owned(), line: 0, inherited: false };
    Some(Section { name: (*name).to_owned(), file: PathBuf::from("built in"), line: 0, class, keys: Vec::new() })
}

impl Handler {
    /// The handler with this name: the last one in INI files, otherwise a built-in one.
    ///
    /// # Errors
    /// If there is none, or its section is invalid.
    pub fn find(name: &str) -> Result<Self, ListError> {
        let catalog = ini::load(ini::Kind::Handlers);
        let defined = catalog.find(name)?;
        let remarks = catalog.remarks(name, defined.as_ref(), built_in(name).is_some());
        let section = defined
            .or_else(|| built_in(name))
            .ok_or_else(|| ListError::Message(catalog.not_found(name, &BUILT_IN.map(|(name, _)| name))))?;
        let (kind, keys) = kind_of(&section)?;
        keys.map(|keys| section.check_keys(keys)).transpose()?;
        Ok(Self { kind, section, remarks })
    }

    /// Whether it only reads lines, which requires neither a program nor much time.
    pub fn is_plain(&self) -> bool {
        self.kind == Kind::List
    }

    /// What [`Self::read`] may create, for a caller that has to interrupt it.
    pub fn may_make(&self, source: Source<'_>) -> Made {
        if self.kind == Kind::Python { Made::missing(source.workdir) } else { Made::default() }
    }

    /// Makes the list.
    ///
    /// # Errors
    /// If that fails. Nothing was written then.
    pub fn read(&self, source: Source<'_>) -> Result<Tasks, ListError> {
        let section = &self.section;
        let alike = |list| (list, ListAsks::default());
        let (list, asks) = match self.kind {
            Kind::List => read_lines(source.list, Keys { shared: source.shared })?,
            Kind::Transform => alike(atlas::transform(section, &source)?),
            Kind::Athena => alike(atlas::athena(section, &source)?),
            Kind::Template => fields::read(section, source.list, Keys { shared: source.shared })?,
            Kind::Product => alike(product::read(section, source.list)?),
            Kind::Exec => exec::read(section, &source)?,
            Kind::Python => return python::read(section, &source),
        };
        let wants_output = matches!(self.kind, Kind::Transform | Kind::Athena);
        Ok(Tasks { list, asks, wants_output, are_lines: self.is_plain(), made: Made::default() })
    }
}
