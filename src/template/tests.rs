use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::Command;

use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Result<Template<usize>, String> {
    Template::command(text, &["1", "2", "name", "my col"])
}

fn filled(text: &str, values: [&[u8]; 2]) -> String {
    let mut out = Vec::new();
    parse(text).unwrap().fill(|field| values.get(field).copied(), &mut out).unwrap();
    String::from_utf8_lossy(&out).into_owned()
}

/// Values have quotes where they need them, and only there.
#[test]
fn values_are_words() {
    for (text, command) in [
        ("run {1} {2}", "run a 'b c'"),
        ("run --x={1} --y={2}", "run --x=a --y='b c'"),
        ("run out.{1}.{2}.dat", "run out.a.'b c'.dat"),
        ("run {1:q} {2:q}", "run a 'b c'"),
        ("run {1:raw} {2:raw}", "run a b c"),
        ("{1}>{2}", "'a'>'b c'"),
        ("cat <<<{2} <{1}", "cat <<<'b c' <'a'"),
        ("# it's\nrun {1}", "# it's\nrun a"),
        ("echo ~{1} $X{1} {1}=3", "echo ~'a' $X'a' 'a'=3"),
        ("echo \"{2:raw}\" '{1:raw}'", "echo \"b c\" 'a'"),
        ("(run {1}; x {2} ) | y", "(run 'a'; x 'b c' ) | y"),
        ("echo $(run {1}) # it's {2}", "echo $(run 'a') # it's 'b c'"),
        ("echo \"((\" $(( (1) )) $[2] {1}", "echo \"((\" $(( (1) )) $[2] a"),
    ] {
        assert_eq!(filled(text, [b"a", b"b c"]), command, "{text}");
    }
    assert_eq!(filled("{1} x {2}", [b"if", b""]), "'if' x ''");
    assert_eq!(filled("x {1} {2}", [b"it's", b"-\xff"]), "x 'it'\\''s' '-\u{fffd}'");
}

/// Braces that are not holes stay; those that look like one can be used literally.
#[test]
fn other_braces_stay() {
    for text in ["awk '{print $1}' {x,y} ${HOME} {} { 1; } {1..3} ${x:-{a,b}} }{", "echo {a b}"] {
        assert_eq!(filled(text, [b"a", b"b"]), text);
    }
    assert_eq!(filled("a {{1}} {{other}} {{name:raw}} {{{1}}}", [b"v", b""]), "a {1} {other} {name:raw} {{1}}");
    let mut out = Vec::new();
    parse("x {my col}").unwrap().fill(|_| Some(b"v"), &mut out).unwrap();
    assert_eq!(out, b"x v");
}

/// Where quotes would not protect, a hole is refused.
#[test]
fn holes_in_bad_places_are_refused() {
    for (text, word) in [
        ("echo '{1}'", "between quotes"),
        ("echo \"{1}\"", "between quotes"),
        ("echo $'x{1}'", "between quotes"),
        ("echo `x {1}`", "backticks"),
        ("echo \\{1}", "backslash"),
        ("echo ${x:-{1}}", "${"),
        ("echo $((1 + {1}))", "arithmetic"),
        ("((x = {1}))", "arithmetic"),
        ("echo $(( ((1)) + {1} ))", "arithmetic"),
        ("(# it's\necho '{1}'", "between quotes"),
        ("echo $[{1}]", "arithmetic"),
        ("echo it's {1}", "between quotes"),
        ("cat <<E\n{1}\nE", "after <<"),
        ("# it's\necho '{1}'", "between quotes"),
        ("echo 'x", "open"),
        ("echo {3}", "unknown"),
        ("echo {nam}", "did you mean {name}?"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(word), "{text}: {error}");
    }
}

/// A field that does not exist is reported.
#[test]
fn a_missing_field_is_reported() {
    assert_eq!(parse("{1} {2}").unwrap().fill(|field| (field == 0).then_some(&b"x"[..]), &mut Vec::new()), Err(1));
}

/// The arguments of `args` after a shell has parsed them.
fn arguments(shell: &str, command: &[u8]) -> Vec<Vec<u8>> {
    let script = [b"args() { for a in \"$@\"; do printf '%s\\0' \"$a\"; done; }\n", command].concat();
    let output = Command::new(shell).arg("-c").arg(OsStr::from_bytes(&script)).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = output.stdout.strip_suffix(b"\0").expect("at least one");
    text.split(|&byte| byte == 0).map(<[u8]>::to_vec).collect()
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let odd = prop::collection::vec(
        prop::sample::select(b"ab 1\t'\"\\$`%!#&|;<>(){}[]*?~=-+,.:/@^\r\xff\xc3\xa9".to_vec()),
        0..12,
    );
    prop_oneof![odd, "[a-z0-9.,:-]{0,8}".prop_map(String::into_bytes)]
}

proptest! {
    /// Promise 5: any text is a template or is refused, and takes any values.
    #[test]
    fn any_text_is_a_template_or_refused(
        text in "([{}:q'\"\\\\$# |~<(\\[\n]|\\{1\\}|\\{2:raw\\}|name|my col|\\$\\(\\(|é){0,12}", any: String, value in value()
    ) {
        for text in [text, any] {
            if let Ok(template) = parse(&text) {
                let mut command = Vec::new();
                template.fill(|_| Some(&value), &mut command).unwrap();
                prop_assert!(command.len() as u64 >= template.len_min());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Whatever is in a value, it arrives unchanged, as part of the one word to which it belongs, in bash and in sh.
    #[test]
    fn values_arrive_as_they_are(one in value(), two in value()) {
        let template = parse("X={1} args {1} {2} --k={1} {1}{2} ~{1} \"$X\"{2} x={1}y >/dev/stdout; : {2}").unwrap();
        let mut command = Vec::new();
        template.fill(|field| Some(if field == 0 { &one[..] } else { &two[..] }), &mut command).unwrap();
        let wanted: Vec<Vec<u8>> = vec![
            one.clone(), two.clone(), [b"--k=", &one[..]].concat(), [&one[..], &two].concat(),
            [b"~", &one[..]].concat(), two.clone(), [b"x=", &one[..], b"y"].concat(),
        ];
        for shell in ["bash", "sh"] {
            prop_assert_eq!(arguments(shell, &command), wanted.clone(), "{}", String::from_utf8_lossy(&command));
        }
    }

    /// Any template is read or refused, and no value in a hole that is not raw ever runs.
    #[test]
    fn no_value_runs(text in "[{1}:raw'\"\\\\$`(){}\\[\\]#;|& a]{0,24}") {
        if let Ok(template) = parse(&format!("echo {text}")) && !text.contains(":raw") {
            let folder = tempfile::tempdir().unwrap();
            let mut command = Vec::new();
            for evil in [
                &b"a$(touch ran)`touch ran`;touch ran;'\"touch ran\"'&touch ran|touch ran)touch ran}"[..],
                b"a[$(touch ran)]",
            ] {
                command.clear();
                template.fill(|_| Some(evil), &mut command).unwrap();
                Command::new("bash").arg("-c").arg(OsStr::from_bytes(&command)).current_dir(folder.path())
                    .env("PATH", "/usr/bin:/bin").stdin(std::process::Stdio::null()).output().unwrap();
            }
            prop_assert!(!folder.path().join("ran").exists(), "{}", String::from_utf8_lossy(&command));
        }
    }
}
