//! All definitions of a kind, and the files that could not be read.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::interpolate::Budget;
use super::parse::{self, ParseError, RawFile, RawKey, RawSection};
use super::{IniError, Key, Kind, Section, find_files, interpolate, nearest};

/// Larger files are none of ours, in bytes.
const FILE_LEN_MAX: u64 = 4 << 20;

#[derive(Debug)]
enum Content {
    Definitions(Definitions),
    Broken(Broken),
}

/// The definitions of a file. Their values are not looked at before one is wanted.
#[derive(Debug)]
struct Definitions {
    defaults: Vec<RawKey>,
    sections: Vec<RawSection>,
}

/// A file that can't be read; the bytes are what there was.
#[derive(Debug)]
struct Broken {
    error: IniError,
    bytes: Vec<u8>,
}

/// All definitions of a kind.
#[derive(Debug)]
pub struct Catalog {
    kind: Kind,
    files: Vec<(PathBuf, Content)>,
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
    /// And in which line, 1-based.
    pub line: u64,
}

/// Reads all definitions of a kind. Files that can't be read are remembered, see [`Catalog::find`].
#[must_use]
pub fn load(kind: Kind) -> Catalog {
    load_files(kind, find_files(kind))
}

/// [`load`] of these files.
#[must_use]
pub fn load_files(kind: Kind, files: Vec<PathBuf>) -> Catalog {
    let read = |path: PathBuf| {
        let content = read_file(&path)?;
        let content = match content.and_then(|bytes| match parse::parse(&bytes) {
            Ok(file) => Ok(file),
            Err(error) => Err(Broken { error: at(&path, error), bytes }),
        }) {
            Ok(file) => Content::Definitions(Definitions::of(kind, file)),
            Err(broken) => Content::Broken(broken),
        };
        Some((path, content))
    };
    Catalog { kind, files: files.into_iter().filter_map(read).collect() }
}

fn at(path: &Path, error: ParseError) -> IniError {
    IniError { file: path.to_owned(), line: Some(error.line), section: error.section, what: error.what }
}

/// `None` for what is no file: a folder, a pipe that would block, or gone since.
fn read_file(path: &Path) -> Option<Result<Vec<u8>, Broken>> {
    if !path.is_file() {
        return None;
    }
    let error = |what: String| IniError { file: path.to_owned(), line: None, section: None, what };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes));
    Some(match read {
        Err(cause) => Err(Broken { error: error(format!("it cannot be read: {cause}")), bytes }),
        Ok(_) if bytes.len() as u64 > FILE_LEN_MAX => {
            Err(Broken { error: error(format!("it is longer than {FILE_LEN_MAX} bytes")), bytes })
        }
        Ok(_) => Ok(bytes),
    })
}

impl Definitions {
    fn of(kind: Kind, file: RawFile) -> Self {
        let RawFile { defaults, mut sections } = file;
        let defines = |keys: &[RawKey]| keys.iter().any(|key| key.name == kind.key());
        if !defines(&defaults) {
            sections.retain(|section| defines(&section.keys));
        }
        Self { defaults, sections }
    }

    /// Fills in the values of one section, those of `[DEFAULT]` included.
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

impl Catalog {
    /// The definition of this name that counts: the last one.
    ///
    /// # Errors
    /// If a value of it makes no sense, or if a file that can't be read might hold one that would count instead.
    pub fn find(&self, name: &str) -> Result<Option<Section>, IniError> {
        for (path, content) in self.files.iter().rev() {
            match content {
                Content::Definitions(definitions) => {
                    if let Some(section) = definitions.sections.iter().find(|section| section.name == name) {
                        return definitions.resolve(section, self.kind, path, &mut Budget::default()).map(Some);
                    }
                }
                Content::Broken(Broken { error, bytes }) if mentions(bytes, name, self.kind.key()) => {
                    let what = format!("{}\n  it seems to define '{name}', so it must be readable", error.what);
                    return Err(IniError { what, ..error.clone() });
                }
                Content::Broken(..) => {}
            }
        }
        Ok(None)
    }

    /// The definitions that count, in the order of the files.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        let mut listed: Vec<Listed> = Vec::new();
        let mut names: HashSet<&str> = HashSet::new();
        let mut budget = Budget::default();
        // From the end: the last definition of a name counts.
        for (path, content) in self.files.iter().rev() {
            let Content::Definitions(definitions) = content else { continue };
            for section in definitions.sections.iter().rev().filter(|section| names.insert(&section.name)) {
                let class = match definitions.resolve(section, self.kind, path, &mut budget) {
                    Ok(section) => section.class.value,
                    Err(_) => "(has an error)".to_owned(),
                };
                listed.push(Listed { name: section.name.clone(), class, file: path.clone(), line: section.line });
            }
        }
        listed.reverse();
        listed
    }

    /// Files that can't be read, and why: worth a word where a name is not found.
    pub fn broken(&self) -> impl Iterator<Item = &IniError> {
        self.files.iter().filter_map(|(_, content)| match content {
            Content::Broken(broken) => Some(&broken.error),
            Content::Definitions(_) => None,
        })
    }

    /// Text for an error when `name` was not found: what there is, with `built_in`, and how to see more of it.
    #[must_use]
    pub fn not_found(&self, name: &str, built_in: &[&str]) -> String {
        let listed = self.list();
        let (what, lister) = self.kind.words();
        let mut text = format!("there is no {what} '{name}'; built in: {}", built_in.join(", "));
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
        text.push_str(&format!("\n  taskfarmer-mpi {lister} shows what each is, and where"));
        text
    }
}

/// Whether a file that can't be read seems to hold a definition of `name`.
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
