//! All definitions of a kind, and the files that could not be read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::interpolate::Budget;
use super::parse::{self, ParseError, RawFile, RawKey, RawSection};
use super::places::{self, Distrust, Place};
use super::{IniError, Key, Kind, Section, interpolate, nearest};
use crate::shown;
use crate::sys::regular;

/// Larger files are not meant for this program, in bytes.
const FILE_LEN_MAX: u64 = 4 << 20;

/// A file that cannot be read, and the bytes that could be.
#[derive(Debug)]
struct Broken {
    error: IniError,
    bytes: Vec<u8>,
}

/// A file that was found.
#[derive(Debug)]
struct Found {
    path: PathBuf,
    /// The definitions in it. Their values are not examined before one is needed.
    content: Result<RawFile, Broken>,
    /// If set, its definitions do not count.
    distrust: Option<Distrust>,
}

/// All definitions of a kind.
#[derive(Debug)]
pub struct Catalog {
    kind: Kind,
    files: Vec<Found>,
}

/// Remarks about a definition, for the user.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Remarks {
    /// Files that would have defined it, and are not used: which, why, and what to do.
    pub ignored: Vec<String>,
    /// Set if a file redefines a built-in name.
    pub redefined: Option<String>,
}

/// A line of `--list-runners` or `--list-handlers`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listed {
    /// What `--runner` or `--tasklist` takes.
    pub name: String,
    /// The value of `Runner` or `TaskList`.
    pub class: String,
    /// Where it is defined.
    pub file: PathBuf,
    /// The line of the definition, 1-based.
    pub line: u64,
}

/// Reads all definitions of a kind. Files that cannot be read are remembered, see [`Catalog::find`]. Files that other
/// users may have written do not count, see [`Catalog::remarks`].
pub(crate) fn load(kind: Kind) -> Catalog {
    load_places(kind, &places::places(kind))
}

/// [`load`] for these folders.
pub(super) fn load_places(kind: Kind, places: &[Place]) -> Catalog {
    let in_place = |place: &Place| -> Vec<Found> {
        let open = |name| {
            let path = place.path_of(&name);
            let (file, metadata) = match place.open_file(&name)?.and_then(|file| Ok((file.metadata()?, file))) {
                Ok((metadata, file)) => (Ok(file), Some(metadata)),
                Err(error) => (Err(error), None),
            };
            let content = read(kind, &path, file);
            // Most files are not meant for this program, and their owners do not matter.
            let metadata = metadata.filter(|_| !content.as_ref().is_ok_and(|file| file.sections.is_empty()));
            let distrust = metadata.and_then(|metadata| place.distrust(&path, &metadata));
            Some(Found { path, content, distrust })
        };
        place.names().into_iter().filter_map(open).collect()
    };
    Catalog { kind, files: places.iter().flat_map(in_place).collect() }
}

/// Reads all definitions of a kind in these files, whoever owns them.
pub fn load_files(kind: Kind, files: Vec<PathBuf>) -> Catalog {
    let open = |path: PathBuf| Found { content: read(kind, &path, regular::reader(&path)), path, distrust: None };
    Catalog { kind, files: files.into_iter().map(open).collect() }
}

/// The sections of a file that are definitions of this kind.
fn read(kind: Kind, path: &Path, file: io::Result<File>) -> Result<RawFile, Broken> {
    let mut bytes = Vec::new();
    let read = file.and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes));
    let parsed = match read {
        Err(cause) => Err((None, None, format!("it cannot be read: {cause}"))),
        Ok(_) if bytes.len() as u64 > FILE_LEN_MAX => {
            Err((None, None, format!("it is longer than {FILE_LEN_MAX} bytes")))
        }
        Ok(_) => parse::parse(&bytes).map_err(|ParseError { line, section, what }| (Some(line), section, what)),
    };
    let mut file = parsed.map_err(|(line, section, what)| Broken {
        error: IniError { file: path.to_owned(), line, section, what },
        bytes,
    })?;
    let defines = |keys: &[RawKey]| keys.iter().any(|key| key.name == kind.key());
    if !defines(&file.defaults) {
        file.sections.retain(|section| defines(&section.keys));
    }
    Ok(file)
}

impl RawFile {
    /// Fills in the values of one section, including those of `[DEFAULT]`.
    fn resolve(&self, section: &RawSection, kind: Kind, file: &Path, budget: &mut Budget) -> Result<Section, IniError> {
        let error = |key: &RawKey, what: String| IniError {
            file: file.to_owned(),
            line: Some(key.line),
            section: Some(section.name.clone()),
            what: format!("{}: {what}", key.name),
        };
        let mut values: HashMap<&str, &str> = HashMap::new();
        for key in self.defaults.iter().chain(&section.keys) {
            budget.spend(0).map_err(|what| error(key, what))?;
            values.insert(&key.name, &key.value);
        }
        let own: HashSet<&str> = section.keys.iter().map(|key| &key.name[..]).collect();
        let inherited = self.defaults.iter().filter(|key| !own.contains(&key.name[..]));
        let all = section.keys.iter().map(|key| (key, false)).chain(inherited.map(|key| (key, true)));
        let resolve = |(key, inherited): (&RawKey, bool)| {
            let value = interpolate::expand(&key.value, |name| values.get(name).copied(), budget).and_then(|value| {
                budget.spend(key.name.len())?;
                if value.contains('\0') { Err("the value contains a NUL byte".to_owned()) } else { Ok(value) }
            });
            let value = value.map_err(|what| error(key, what))?;
            Ok(Key { name: key.name.clone(), value, line: key.line, inherited })
        };
        let mut keys = all.map(resolve).collect::<Result<Vec<_>, _>>()?;
        let class = keys.iter().position(|key| key.name == kind.key()).expect("it is a definition");
        let class = keys.remove(class);
        Ok(Section { name: section.name.clone(), file: file.to_owned(), line: section.line, class, keys })
    }
}

impl Found {
    /// The definition of a name, if it has one or seems to have one.
    fn define(&self, name: &str, kind: Kind) -> Option<Result<Section, IniError>> {
        match &self.content {
            Ok(file) => {
                let section = file.sections.iter().find(|section| section.name == name)?;
                Some(file.resolve(section, kind, &self.path, &mut Budget::default()))
            }
            Err(Broken { error, bytes }) if mentions(bytes, name, kind.key()) => {
                let what = format!("{}\n  it seems to define '{name}', so it must be readable", error.what);
                Some(Err(IniError { what, ..error.clone() }))
            }
            Err(_) => None,
        }
    }
}

impl Catalog {
    /// The definition of this name that counts: the last one.
    ///
    /// # Errors
    /// If a value in it is invalid, or if a file that cannot be read might contain a definition that would count
    /// instead.
    pub fn find(&self, name: &str) -> Result<Option<Section>, IniError> {
        self.trusted().rev().find_map(|found| found.define(name, self.kind)).transpose()
    }

    /// Remarks on this name in addition to what [`Self::find`] returns: `section` is what that found, `built_in`
    /// whether there is a built-in one of this name.
    pub fn remarks(&self, name: &str, section: Option<&Section>, built_in: bool) -> Remarks {
        let (what, _) = self.kind.words();
        let mut remarks = Remarks::default();
        for found in self.files.iter().rev() {
            let Some(defined) = found.define(name, self.kind) else { continue };
            // Earlier definitions would not have counted anyway.
            let Some(distrust) = &found.distrust else { break };
            let place = match &defined {
                // As after the remedy: a copy of it counts.
                Ok(defined) if section.is_some_and(|section| section.is_same(defined)) => continue,
                Ok(defined) => format!("{}:{} defines", shown::path(&found.path), defined.line),
                Err(_) => format!("{} seems to define", shown::path(&found.path)),
            };
            let Distrust { why, cure } = distrust;
            remarks.ignored.push(format!("{place} the {what} '{name}', and is ignored: {why}\n  {cure}"));
        }
        remarks.ignored.reverse();
        remarks.redefined = section.filter(|_| built_in).map(|Section { file, line, class, .. }| {
            format!(
                "{}:{line} defines the {what} '{name}': it is '{}', not the built-in one",
                file.display(),
                class.value
            )
        });
        remarks
    }

    fn trusted(&self) -> impl DoubleEndedIterator<Item = &Found> {
        self.files.iter().filter(|found| found.distrust.is_none())
    }

    /// The definitions that count, in the order of the files.
    pub fn list(&self) -> Vec<Listed> {
        self.list_of(self.trusted())
    }

    /// The definitions in files that are not used.
    pub fn list_ignored(&self) -> Vec<Listed> {
        self.list_of(self.files.iter().filter(|found| found.distrust.is_some()))
    }

    /// Files that would have defined something, but are not used: which, why, and what to do.
    pub fn ignored(&self) -> impl Iterator<Item = String> {
        let told = |found: &Found| {
            let Distrust { why, cure } = found.distrust.as_ref()?;
            found.content.is_ok().then(|| format!("{} is ignored: {why}\n  {cure}", shown::path(&found.path)))
        };
        self.files.iter().filter_map(told)
    }

    fn list_of<'a>(&self, files: impl DoubleEndedIterator<Item = &'a Found>) -> Vec<Listed> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut names: HashSet<&str> = HashSet::new();
        let mut budget = Budget::default();
        // From the end: the last definition of a name counts.
        for Found { path, content, .. } in files.rev() {
            let Ok(file) = content else { continue };
            for section in file.sections.iter().rev().filter(|section| names.insert(&section.name)) {
                let resolved = file.resolve(section, self.kind, path, &mut budget);
                let class = resolved.map_or_else(|_| "(has an error)".to_owned(), |section| section.class.value);
                listed.push(Listed { name: section.name.clone(), class, file: path.clone(), line: section.line });
            }
        }
        listed.reverse();
        listed
    }

    /// Files that cannot be read, and why: worth mentioning if a name is not found.
    pub fn broken(&self) -> impl Iterator<Item = &IniError> {
        self.files.iter().filter_map(|found| Some(&found.content.as_ref().err()?.error))
    }

    /// Text for an error when `name` was not found: what there is, including `built_in`, and how to see more.
    pub fn not_found(&self, name: &str, built_in: &[&str]) -> String {
        let listed = self.list();
        let (what, lister) = self.kind.words();
        let quoted: Vec<_> = built_in.iter().map(|name| format!("'{name}'")).collect();
        let (s, are) = if built_in.len() == 1 { ("", "is") } else { ("s", "are") };
        let mut text = format!("there is no {what} '{name}'; the built-in {what}{s} {are} {}", quoted.join(" and "));
        if !listed.is_empty() {
            let names: Vec<_> = listed.iter().map(|listed| &listed.name[..]).collect();
            text.push_str(&format!("; from INI files: {}", names.join(", ")));
        }
        let known = built_in.iter().copied().chain(listed.iter().map(|listed| &listed.name[..]));
        if let Some(near) = nearest(name, known) {
            text.push_str(&format!("\n  did you mean '{near}'?"));
        }
        for error in self.broken() {
            text.push_str(&format!("\n  not readable: {}", error.to_string().replace('\n', " ")));
        }
        for ignored in self.remarks(name, None, false).ignored {
            text.push_str(&format!("\n  {ignored}"));
        }
        text.push_str(&format!("\n  taskfarmer-mpi {lister} shows all {what}s, and where each is defined"));
        text
    }
}

/// Whether a file that cannot be read seems to contain a definition of `name`.
fn mentions(bytes: &[u8], name: &str, key: &str) -> bool {
    let header = format!("[{name}]");
    let mut inside = false;
    bytes.split(|byte| matches!(byte, b'\n' | b'\r')).any(|line| {
        let line = line.trim_ascii();
        if line.starts_with(b"[") {
            inside = line.starts_with(header.as_bytes());
        }
        let after_key = line.strip_prefix(key.as_bytes()).map(<[u8]>::trim_ascii_start);
        inside && after_key.is_some_and(|rest| rest.starts_with(b"=") || rest.starts_with(b":"))
    })
}
