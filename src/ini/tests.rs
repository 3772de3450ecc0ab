use std::fs::File;

use proptest::prelude::*;

use super::catalog::load_places;
use super::places::Place;
use super::*;
use crate::fuzz::{nearly, nearly_text, within};
use crate::ini::catalog::Listed;

fn catalog(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Catalog) {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let place = place(&folder);
    let files = place.names().iter().map(|name| place.path_of(name)).collect();
    let catalog = load_files(Kind::Runners, files);
    (folder, catalog)
}

fn place(folder: &tempfile::TempDir) -> Place {
    Place::open(folder.path().to_owned(), None).unwrap()
}

/// Sections of both kinds, and others, may share a file; the last definition of a name wins.
#[test]
fn the_last_definition_wins() {
    let files: [(&str, &[u8]); 3] = [
        ("b.ini", b"[x]\nRunner = second\n[handler]\nTaskList = t\n[other]\na=%\n"),
        ("a.ini", b"[DEFAULT]\nhelp = h\n[x]\nRunner = first\n[y]\nRunner = only\nkey = %(help)s%%\n"),
        (".hidden.ini", b"[x]\nRunner = hidden\n"),
    ];
    let (folder, catalog) = catalog(&files);
    let x = catalog.find("x").unwrap().unwrap();
    assert_eq!((&x.class.value[..], x.line, x.file), ("second", 1, folder.path().join("b.ini")));
    let y = catalog.find("y").unwrap().unwrap();
    let keys: Vec<_> = y.keys.iter().map(|key| (&key.name[..], &key.value[..], key.line, key.inherited)).collect();
    assert_eq!(keys, [("key", "h%", 7, false), ("help", "h", 2, true)]);
    assert_eq!(catalog.find("handler").unwrap(), None);
    let listed: Vec<_> = catalog.list().into_iter().map(|listed| (listed.name, listed.class)).collect();
    assert_eq!(listed, [("y".to_owned(), "only".to_owned()), ("x".to_owned(), "second".to_owned())]);
}

/// An unrelated file may be broken in any way; one that seems to define the requested name may not, unless a later one
/// counts anyway.
#[test]
fn a_broken_file_matters_only_if_it_may_define_the_name() {
    let broken: &[u8] = b"[x]\nRunner = a\nno delimiter\n";
    let php: &[u8] = b"; settings\nengine = On\n\xff\0\n[default]\nvalue = 1\n";
    let (_folder, catalog) = catalog(&[("a.ini", broken), ("php.ini", php), ("z.ini", b"[z]\nRunner = b\n")]);
    assert_eq!(catalog.find("default").unwrap(), None);
    assert!(catalog.find("z").unwrap().is_some());
    let error = catalog.find("x").unwrap_err();
    assert_eq!((error.line, error.section.as_deref()), (Some(3), Some("x")));
    assert!(error.what.contains("'x'"), "{error}");
    assert_eq!(catalog.broken().count(), 2);
    let text = catalog.not_found("Z", &["default"]);
    assert!(text.contains("did you mean 'z'") && text.contains("php.ini") && text.contains("a.ini:3"), "{text}");

    let (_folder, catalog) = self::catalog(&[("a.ini", broken), ("b.ini", b"[x]\nRunner = b\n")]);
    assert_eq!(catalog.find("x").unwrap().unwrap().class.value, "b");
}

/// Errors in a definition are reported with file, section, key and line; errors in other definitions are not reported.
#[test]
fn errors_of_a_definition_name_its_key() {
    let (_folder, catalog) = catalog(&[("a.ini", b"[x]\nRunner = a\nimgae = 5\nbad = 50%\n[y]\nRunner=a\nimgae=6\n")]);
    let error = catalog.find("x").unwrap_err();
    assert!(error.to_string().contains("a.ini:4: [x]: bad: a lone '%'"), "{error}");
    let y = catalog.find("y").unwrap().unwrap();
    let error = y.check_keys(&["image", "env.*"]).unwrap_err();
    assert!(error.to_string().ends_with("a.ini:7: [y]: imgae: a has no such key\n  did you mean 'image'?"), "{error}");
    assert!(y.check_keys(&["imgae"]).is_ok());
    assert!(y.required("image").is_err());
}

/// A file that cannot be opened, is endless, or would block is ignored.
#[test]
fn odd_files_do_not_hang_the_farm() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("folder.ini")).unwrap();
    nix::unistd::mkfifo(&folder.path().join("pipe.ini"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero.ini")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("gone.ini")).unwrap();
    let long = File::create(folder.path().join("long.ini")).unwrap();
    long.set_len(1 << 40).unwrap();
    let catalog = load_places(Kind::Runners, &[place(&folder)]);
    assert_eq!(catalog.find("x").unwrap(), None);
    assert_eq!(catalog.broken().count(), 1);
}

fn set_mode(path: &std::path::Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A definition that other users may have written, or that is in a folder to which they may have added it, does not
/// count; it is reported if it would have counted, and only then.
#[test]
fn files_that_others_can_write_are_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, text) in
        [("a.ini", "[x]\nRunner = a\n"), ("b.ini", "[x]\nRunner = b\n[y]\nRunner = b\n"), ("c.ini", "[z]\na=1\n")]
    {
        std::fs::write(at(name), text).unwrap();
        set_mode(&at(name), 0o644);
    }
    let found = |name: &str| {
        let catalog = load_places(Kind::Runners, &[place(&folder)]);
        let section = catalog.find(name).unwrap();
        let remarks = catalog.remarks(name, section.as_ref(), name == "x");
        (section.map(|section| section.class.value), remarks)
    };
    let (class, remarks) = found("x");
    assert_eq!((class.as_deref(), remarks.ignored.len()), (Some("b"), 0));
    assert!(remarks.redefined.unwrap().contains("b.ini:1 defines the runner 'x': it is 'b'"));
    set_mode(&at("b.ini"), 0o666);
    set_mode(&at("c.ini"), 0o666);
    let (class, remarks) = found("x");
    assert_eq!(class.as_deref(), Some("a"));
    let text = remarks.ignored.join("");
    for part in ["b.ini:1 defines the runner 'x', and is ignored: anybody can write it\n", "chmod go-w /", "/b.ini"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!((found("z"), found("none")), ((None, Remarks::default()), (None, Remarks::default())));
    let catalog = load_places(Kind::Runners, &[place(&folder)]);
    let text = catalog.not_found("y", &[]);
    assert!(text.contains("b.ini:3 defines the runner 'y', and is ignored"), "{text}");
    assert_eq!((catalog.list().len(), catalog.list_ignored().len(), catalog.ignored().count()), (1, 2, 1));
    // A later file that no other user can write counts, whatever comes before it.
    set_mode(&at("b.ini"), 0o644);
    set_mode(&at("a.ini"), 0o666);
    assert_eq!(found("x").1.ignored, [""; 0]);
    // An ignored file with the same definition as the one that counts is not reported.
    std::fs::write(at("c.ini"), "[x]\n\nRunner = b\n").unwrap();
    assert_eq!(found("x").1.ignored, [""; 0]);
    std::fs::write(at("c.ini"), "[x]\nno delimiter\nRunner = c\n").unwrap();
    let (class, remarks) = found("x");
    assert_eq!(class.as_deref(), Some("b"), "a broken file that others can write has no effect");
    assert!(remarks.ignored[0].contains("c.ini seems to define the runner 'x'"), "{remarks:?}");
    // Names chosen for their effect when they are typed or shown.
    for (name, shown, cure) in [
        ("$(x).ini", "/$(x).ini:1 defines", "/$(x).ini'"),
        ("\u{1b}[2J\n.ini", r"/\x1b[2J\n.ini:1 defines", "copy it to ~/.config/taskfarmer"),
    ] {
        std::fs::write(at(name), "[\u{1b}]\nRunner = a\n[w]\nRunner = a\n").unwrap();
        set_mode(&at(name), 0o666);
        let text = found("w").1.ignored.concat().replace(":3 ", ":1 ");
        assert!(text.contains(shown) && text.ends_with(cure) && !text.contains('\u{1b}'), "{text}");
        std::fs::remove_file(at(name)).unwrap();
    }
    let error = IniError { file: "\n".into(), line: None, section: Some("\u{1}".into()), what: "\u{7}\n  a".into() };
    assert_eq!(error.to_string(), "\\n: [\\x01]: \\x07\n  a");
    set_mode(folder.path(), 0o1777);
    let (class, remarks) = found("x");
    assert_eq!((class, remarks.ignored.len()), (None, 3));
    assert!(remarks.ignored[1].contains("anybody can write into its folder"), "{remarks:?}");
}

/// Values that each refer to a long one, and defaults that apply to many sections, are refused before memory or time is
/// exhausted.
#[test]
fn files_that_grow_are_refused() {
    let long = format!("[x]\nRunner = r\na = {}\n", "x".repeat(1 << 19));
    let many: String = (0..10_000).map(|number| format!("k{number} = %(a)s\n")).collect();
    let (_folder, catalog) = catalog(&[("a.ini", (long + &many).as_bytes())]);
    let error = within(200 << 20, || catalog.find("x").unwrap_err());
    assert!(error.what.contains("come to more than 64 MiB"), "{error}");
    assert_eq!(catalog.list()[0].class, "(has an error)");

    let defaults: String = (0..5_000).map(|number| format!("k{number} = %(none)s\n")).collect();
    let sections: String = (0..50_000).map(|number| format!("[s{number}]\n")).collect();
    let text = format!("[DEFAULT]\n{}Runner = r\n{sections}", defaults.replace("none", "Runner"));
    let (_folder, catalog) = self::catalog(&[("a.ini", text.as_bytes())]);
    let listed = within(200 << 20, || catalog.list());
    assert_eq!((listed.len(), &listed[49_999].class[..], &listed[0].class[..]), (50_000, "r", "(has an error)"));
    let section = catalog.find("s7").unwrap().unwrap();
    assert_eq!((section.keys.len(), section.value("k9")), (5_000, Some("r")));
    assert!(catalog.not_found("s", &[]).len() < 2 << 20);
}

fn ini_text() -> impl Strategy<Value = String> {
    let value = "[a-z :=;#é]{0,8}(%%|%\\([abk]\\)s|%\\(Runner\\)s|\n  [a-z#]{0,4}|\n\n|\r\n)?[a-z]{0,3}";
    let key = ("(a|b|k|Runner|TaskList)", "( ?[=:] ?)", value).prop_map(|(name, is, value)| [name, is, value].concat());
    let section = ("(DEFAULT|x|y|é\\])", prop::collection::vec(key, 0..5))
        .prop_map(|(name, keys)| format!("[{name}]\n{}\n", keys.join("\n")));
    prop::collection::vec(section, 0..5).prop_map(|sections| sections.concat())
}

proptest! {
    /// Promise 5: any files are read or refused, whichever definition is wanted, and the listing agrees.
    #[test]
    fn any_files_are_read_or_refused(first in nearly(ini_text().prop_map(String::into_bytes)), second in nearly_text(ini_text())) {
        let (_folder, catalog) = catalog(&[("a.ini", &first), ("b.ini", second.as_bytes())]);
        let listed = within(1 << 20, || catalog.list());
        for Listed { name, class, .. } in &listed {
            match catalog.find(name) {
                Ok(Some(section)) => prop_assert_eq!(&section.class.value, class),
                Ok(None) => prop_assert!(false, "{} is listed and not found", name),
                Err(_) => prop_assert!(class == "(has an error)" || catalog.broken().count() > 0),
            }
        }
        let (text, names) = (catalog.not_found("x", &["default"]), listed.iter().map(|listed| &listed.name));
        prop_assert!(names.collect::<std::collections::BTreeSet<_>>().len() == listed.len() && text.contains("default"));
    }
}
