//! Numbers as users read them.

/// At most this many tasks are named in one line.
const IDS_MAX: usize = 20;

/// `45,210`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A length that was measured: `0.012 s`, `1.5 s`, `48 s`, `3 min 5 s`, `1 h 2 min`, `2 d 3 h`.
pub(crate) fn length(seconds: f64) -> String {
    match seconds {
        ..0.1 => format!("{:.3} s", seconds.max(0.0)),
        ..9.95 => format!("{seconds:.1} s"),
        ..119.5 => format!("{} s", seconds.round()),
        _ => whole(seconds),
    }
}

/// A time that is estimated, no more precise than a person would say it: `a few seconds`, `25 s`, `2 min`, `1 h 15 min`,
/// `14 h`, `2 d 6 h`.
pub(crate) fn about(seconds: f64) -> String {
    let step = match seconds {
        ..7.5 => return "a few seconds".to_owned(),
        ..60.0 => 5.0,
        ..600.0 => 60.0,
        ..10_800.0 => 300.0,
        ..36_000.0 => 1_800.0,
        ..172_800.0 => 3_600.0,
        ..604_800.0 => 21_600.0,
        _ => 86_400.0,
    };
    whole((seconds / step).round() * step)
}

/// A time in whole seconds: `0 s`, `3 s`, `2 min 10 s`.
pub(crate) fn whole(seconds: f64) -> String {
    units(seconds.max(0.0).round() as u64)
}

/// The two largest units of a time: `1 h 2 min`. The second one is left out if it is 0.
fn units(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let place = UNITS.iter().position(|(unit, _)| seconds >= *unit).unwrap_or(UNITS.len() - 1);
    let (unit, name) = UNITS[place];
    let rest = UNITS.get(place + 1).map(|(smaller, name)| (seconds % unit / smaller, name));
    match rest.filter(|(count, _)| *count > 0) {
        Some((more, smaller)) => format!("{} {name} {more} {smaller}", count(seconds / unit)),
        None => format!("{} {name}", count(seconds / unit)),
    }
}

/// Tasks per second: `1,234/s`, `12.3/s`, `0.12/s`; slower ones per hour: `30/h`.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        100.0.. => format!("{}/s", count(per_second.round() as u64)),
        1.0.. => format!("{per_second:.1}/s"),
        0.1.. => format!("{per_second:.2}/s"),
        _ => format!("{:.0}/h", per_second.max(0.0) * 3_600.0),
    }
}

/// An amount of memory in KiB: `900 KiB`, `51 MiB`, `3.1 GiB`, `1,024 GiB`.
pub(crate) fn memory(kib: u64) -> String {
    let gib = kib as f64 / f64::from(1 << 20);
    match kib {
        0..1_024 => format!("{kib} KiB"),
        // What would round to 1,024 MiB is a GiB.
        1_024..1_048_064 => format!("{:.0} MiB", kib as f64 / 1_024.0),
        _ if gib < 99.95 => format!("{gib:.1} GiB"),
        _ => format!("{} GiB", count(gib.round() as u64)),
    }
}

/// `1 rank`, `4 ranks`.
pub(crate) fn counted(number: u64, word: &str) -> String {
    format!("{} {}", count(number), plural(number, word))
}

/// `rank` of one, `ranks` of any other number.
pub(crate) fn plural(number: u64, word: &str) -> String {
    if number == 1 { word.to_owned() } else { format!("{word}s") }
}

/// IDs of tasks in a line: the first ones, and how many more.
pub(crate) fn ids(ids: impl ExactSizeIterator<Item = u32>) -> String {
    let more = ids.len().saturating_sub(IDS_MAX);
    let mut words: Vec<_> = ids.take(IDS_MAX).map(|id| id.to_string()).collect();
    if more > 0 {
        words.push(format!("and {more} more"));
    }
    words.join(", ")
}

/// Whole percent of a part, never 100 before all is done.
pub(crate) fn percent(part: u64, whole: u64) -> u64 {
    if whole == 0 { 100 } else { u64::try_from(u128::from(part) * 100 / u128::from(whole)).unwrap_or(100) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As they appear in the summary and in the bar.
    #[test]
    fn numbers_are_readable() {
        assert_eq!(
            (count(0), count(999), count(1_000), count(1_234_567)),
            ("0".into(), "999".into(), "1,000".into(), "1,234,567".into())
        );
        let lengths = [0.0, 0.0123, 1.46, 9.99, 48.2, 119.7, 185.0, 3_599.7, 3_723.0, 183_840.0];
        let texts =
            ["0.000 s", "0.012 s", "1.5 s", "10 s", "48 s", "2 min", "3 min 5 s", "1 h", "1 h 2 min", "2 d 3 h"];
        assert_eq!(lengths.map(length), texts);
        assert_eq!([1_234.4, 12.34, 0.123, 0.01, f64::NAN].map(rate), ["1,234/s", "12.3/s", "0.12/s", "36/h", "0/h"]);
        assert_eq!(
            [0, 1_023, 1_024, 52_430, 1_048_063, 1_048_064, 3_250_000, 104_805_171, 1 << 30].map(memory),
            ["0 KiB", "1023 KiB", "1 MiB", "51 MiB", "1023 MiB", "1.0 GiB", "3.1 GiB", "99.9 GiB", "1,024 GiB"]
        );
        assert_eq!((percent(1, 3), percent(999, 1_000), percent(3, 3), percent(0, 0)), (33, 99, 100, 100));
        assert_eq!(ids([7, 1].into_iter()), "7, 1");
        assert!(ids(vec![5; 23].into_iter()).ends_with("5, 5, and 3 more"));
        assert_eq!(ids(vec![5; 20].into_iter()), ids(vec![5; 23].into_iter()).replace(", and 3 more", ""));
        assert_eq!((counted(1, "rank"), counted(2_000, "slot")), ("1 rank".into(), "2,000 slots".into()));
    }

    /// Promise: an estimate claims no more than it knows.
    #[test]
    fn estimates_are_round() {
        for (seconds, text) in [
            (-1.0, "a few seconds"),
            (7.4, "a few seconds"),
            (8.0, "10 s"),
            (58.0, "1 min"),
            (89.0, "1 min"),
            (131.0, "2 min"),
            (599.0, "10 min"),
            (1_700.0, "30 min"),
            (4_440.0, "1 h 15 min"),
            (10_799.0, "3 h"),
            (16_000.0, "4 h 30 min"),
            (50_000.0, "14 h"),
            (190_000.0, "2 d 6 h"),
            (1e6, "12 d"),
            (f64::INFINITY, "213,503,982,334,601 d 7 h"),
        ] {
            assert_eq!(about(seconds), text, "{seconds}");
        }
    }
}
