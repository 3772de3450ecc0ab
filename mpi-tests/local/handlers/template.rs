//! Handler `template`: fields of lines and of tables.

use crate::support::Farm;

use super::{arguments, dry_run, refused};

fn farm(list: &[u8], keys: &str) -> Farm {
    let farm = Farm::local(list);
    farm.write("template.ini", format!("[x]\nTaskList = template\n{keys}\n").as_bytes());
    farm
}

const X: [&str; 3] = ["--tasklist", "x", "tasks.txt"];

/// Fields of a CSV table reach the program byte for byte, whatever they contain.
#[test]
fn a_table_arrives_byte_for_byte() {
    let list = b"\xef\xbb\xbfname,value,\"third, one\"\r\n\
        plain,1,x\r\n\
        # a comment\r\n\
        \"two words\",\"$HOME `id` $(id) \\\",\"a\"\"b\"\r\n\
        it's,-rf,%s 100%\n\
        \n\
        \xc3\xa9\xff,,*?[a]{b}~;&|<>()!#\t^\r\n\
        ' ',~,--\n";
    let farm = farm(list, "csv = yes\ncommand = printf '%%s\\0' {name} {value} --v={value} {third, one} {2} {id}");
    farm.run(&["--tasklist", "x"]).exits(0);
    let rows: [[&[u8]; 3]; 5] = [
        [b"plain", b"1", b"x"],
        [b"two words", b"$HOME `id` $(id) \\", b"a\"b"],
        [b"it's", b"-rf", b"%s 100%"],
        [b"\xc3\xa9\xff", b"", b"*?[a]{b}~;&|<>()!#\t^"],
        [b"' '", b"~", b"--"],
    ];
    let arrived = arguments(&farm);
    assert_eq!(arrived.len(), rows.len());
    for (id, [name, value, third]) in (0..).zip(rows) {
        let (option, number) = ([b"--v=", value].concat(), id.to_string());
        let wanted = [name, value, &option, third, value, number.as_bytes()];
        assert_eq!(arrived[&id], wanted, "task {id}");
    }
}

/// Invalid tables are refused with the line.
#[test]
fn bad_tables_are_refused() {
    let keys = "csv = yes\ncommand = run {a} {b}";
    for (list, mentioned) in [
        (&b"a,b\n1,2\n\n# x\n3\n"[..], &["line 5", "1 field,", "header has 2"][..]),
        (b"a,b\n1,2,3\n", &["line 2", "3 fields"]),
        (b"a,b\nx,\"1\n2\"\n", &["line 2", "newline"]),
        (b"a,b\nx,1\0\n", &["line 2", "NUL"]),
        (b"a,a\n1,2\n", &["line 1", "two columns 'a'"]),
        (b"a,\xff\n1,2\n", &["line 1", "UTF-8"]),
        (b"a,c\n1,2\n", &["template.ini:4", "{b}", "unknown"]),
    ] {
        refused(&farm(list, keys), &["--tasklist", "x"], mentioned);
    }
    // A newline in a column that is not used does not matter.
    assert_eq!(dry_run(&farm(b"a,b,c\n1,2,\"x\ny\"\n", keys), &X), ["run 1 2"]);
    assert_eq!(dry_run(&farm(b"a,b\n", keys), &X), [""; 0]);
    assert_eq!(dry_run(&farm(b"a;b\n1,x;2\n", &format!("separator = semicolon\n{keys}")), &X), ["run 1,x 2"]);
}

/// Lines are split at white space or at a text of the user's choice.
#[test]
fn lines_are_split() {
    let list = b"# no\n a  b\tc \n\n#no\nd e\n";
    assert_eq!(
        dry_run(&farm(list, "command = run {2} {1} > {id} # {line}"), &X),
        ["run b a > 0 # 'a  b\tc'", "run e d > 1 # 'd e'"]
    );
    let tab = farm(b"\ta b\t\r\nc\t\td\n", "separator = tab\ncommand = run {1} {2} {3}");
    assert_eq!(dry_run(&tab, &X), ["run '' 'a b' ''", "run c '' d"]);
    let text = farm(b"a::b:: c\n", "separator = ::\ncommand = run {1}{2}{3:raw}");
    assert_eq!(dry_run(&text, &X), ["run 'a''b' c"]);
    refused(
        &farm(b"a b\nc\n", "command = run {2}"),
        &["--tasklist", "x"],
        &["tasks.txt", "line 2", "1 field,", "field 2"],
    );
}

/// Invalid sections are refused with file, section and key.
#[test]
fn bad_sections_are_refused() {
    for (keys, mentioned) in [
        ("command = run '{1}'", &["template.ini:3", "[x]", "command", "between quotes", "{1:raw}"][..]),
        ("command = run {0}", &["{0}"]),
        ("command = run {name}", &["{name}", "unknown", "{1}, {2}, {line}, {id}"]),
        ("command = run\ncvs = yes", &["template.ini:4", "cvs", "did you mean 'csv'?"]),
        ("command = run\ncsv = maybe", &["template.ini:4", "csv", "yes nor no"]),
        ("command = run\ncsv = yes\nseparator = ::", &["template.ini:5", "separator", "one character"]),
        ("command = run\nseparator =", &["separator", "empty"]),
        ("separator = tab", &["command"]),
        ("command = run {1}\n  more", &["template.ini:3", "[x]", "command", "several lines"]),
    ] {
        refused(&farm(b"a b\n", keys), &["--tasklist", "x"], mentioned);
    }
    let farm = farm(b"a\n", "command = run\n[y]\nTaskList = templat\n[z]\nTaskList = list\nkey = 1");
    refused(&farm, &["--tasklist", "y"], &["template.ini:5", "[y]", "'templat'", "did you mean 'template'?", "exec"]);
    refused(&farm, &["--tasklist", "z"], &["template.ini:8", "[z]", "key"]);
    refused(&farm, &["--tasklist", "X"], &["'X'", "default", "product", "did you mean 'x'?", "--list-handlers"]);
}
