//! Handler `product`: parameter sweeps.

use crate::support::Farm;

use super::{arguments, dry_run, refused};

fn farm(list: &str, keys: &str) -> Farm {
    let farm = Farm::local(list.as_bytes());
    farm.write("product.ini", format!("[x]\nTaskList = product\n{keys}\n").as_bytes());
    farm
}

const X: [&str; 3] = ["--tasklist", "x", "tasks.txt"];

/// 3 × 4 × 5 values are 60 tasks, the last variable changing fastest, and each value arrives unchanged.
#[test]
fn sixty_combinations() {
    let keys = "command = printf '%%s\\0' {a} {step} {id}\na = x 'two words' \"it's $HOME\"\nstep = 0..0.75..0.25";
    let farm = farm("# here\nn = 1..5\ncommand = printf '%s\\0' {a} {step} {n} {id}\n", keys);
    farm.run(&["--tasklist", "x", "--proc", "4"]).exits(0);
    let mut wanted = Vec::new();
    for a in ["x", "two words", "it's $HOME"] {
        for step in ["0.00", "0.25", "0.50", "0.75"] {
            for n in 1..=5 {
                wanted.push(
                    [a.to_owned(), step.to_owned(), n.to_string(), wanted.len().to_string()].map(String::into_bytes),
                );
            }
        }
    }
    assert_eq!(wanted.len(), 60);
    let arrived: Vec<Vec<Vec<u8>>> = arguments(&farm).into_values().collect();
    assert_eq!(arrived, wanted);
}

/// The list's values take precedence over those of the INI file, whose order is kept; without any variable there is one
/// task.
#[test]
fn the_list_counts_first() {
    let farm = farm("b = 3\nc = 4 5\n", "command = run {c} {b} {a}\na = 1 2\nb = 9");
    assert_eq!(dry_run(&farm, &X), ["run 4 3 1", "run 5 3 1", "run 4 3 2", "run 5 3 2"]);
    let single = self::farm("", "command = run");
    assert_eq!(dry_run(&single, &X), ["run"]);
    let none = Farm::local(b"command = run {a}\na = 1..3\n");
    assert_eq!(dry_run(&none, &["--tasklist", "product", "tasks.txt"]), ["run 1", "run 2", "run 3"]);
}

/// Invalid input is refused, with its place.
#[test]
fn bad_sweeps_are_refused() {
    for (list, keys, mentioned) in [
        ("", "a = 1", &["tasks.txt", "command"][..]),
        ("", "command = run {b}\na = 1", &["product.ini:3", "{b}", "{a}"]),
        ("", "command = run {a}\na = 1..5..0", &["product.ini:4", "[x]", "a:", "step of 0"]),
        ("", "command = run {a}\na =", &["product.ini:4", "no value"]),
        ("", "command = run {a}\na = 'x", &["product.ini:4", "open"]),
        ("", "command = run {a}\na = 'x\n  y'", &["product.ini:3", "newline"]),
        ("# x\na 1\n", "command = run", &["tasks.txt", "line 2", "name = values"]),
        ("a = 1\na = 2\n", "command = run", &["line 2", "twice"]),
        ("= 2\n", "command = run", &["line 1", "no name"]),
        ("a = 1..0..2\n", "command = run", &["line 1", "a:", "sign"]),
        ("command = run {b}\n", "a = 1", &["line 1", "{b}"]),
        ("a = 1..99999\nb = 1..99999\n", "command = run {a} {b}", &["product.ini:3", "9999800001", "too many"]),
    ] {
        refused(&farm(list, keys), &["--tasklist", "x"], mentioned);
    }
}

/// An unused variable causes a message: its tasks are all the same.
#[test]
fn an_unused_variable_is_reported() {
    let farm = farm("", "command = run {a}\na = 1\nsead = 1..3");
    let outcome = farm.run_exactly(&[&["--dry-run"], &X[..]].concat()).exits(0);
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), "0 run 1\n1 run 1\n2 run 1\n");
    assert!(outcome.stderr_text().contains("{sead}"));
}
