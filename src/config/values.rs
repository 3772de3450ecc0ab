//! Values of options that are more than a number or a name.
//!
//! Owns how they are written. An invalid value is `None`; the message is [`super::ConfigError`]'s.

use std::time::Duration;

use crate::farmer::{ExitCodes, Halt, HaltAt, HaltWhen, TaskLimit};

/// The longest time, in seconds: a year. Longer ones are typing errors.
const TIME_MAX: f64 = 366.0 * 86_400.0;

/// A percentage above this is a typing error.
const PERCENT_MAX: u32 = 100_000;

/// Seconds, with a fraction if need be; numbers with units, the largest first: `1h30m`, `1.5d`; `M:SS` and `H:MM:SS`;
/// and days in front, as in Slurm: `1-12`, `1-12:30`, `1-12:30:00`.
pub(super) fn time(text: &str) -> Option<Duration> {
    let seconds = match (text.split_once('-'), text.contains(':')) {
        // After days, the first number is hours.
        (Some((days, rest)), _) => {
            let of_day = clock(rest, 3)?;
            (of_day < 86_400.0).then_some(fraction(days)? * 86_400.0 + of_day)?
        }
        (None, true) => clock(text, text.split(':').count())?,
        (None, false) if text.ends_with(|last: char| last.is_ascii_digit() || last == '.') => fraction(text)?,
        (None, false) => units(text)?,
    };
    (seconds <= TIME_MAX).then(|| Duration::from_secs_f64(seconds))
}

/// Two or three numbers between colons, the first of which may be large; `places` says what the first one is: 3 for
/// hours.
fn clock(text: &str, places: usize) -> Option<f64> {
    let parts = text.split(':').map(fraction).collect::<Option<Vec<f64>>>()?;
    if !(1..=3).contains(&places) || parts.len() > places || parts[1..].iter().any(|&part| part >= 60.0) {
        return None;
    }
    let units = [3_600.0, 60.0, 1.0];
    Some(parts.iter().zip(&units[3 - places..]).map(|(part, unit)| part * unit).sum())
}

/// Numbers with units, each unit once, the largest first.
fn units(text: &str) -> Option<f64> {
    let mut rest = text;
    let mut seconds = 0.0;
    for (unit, factor) in [('d', 86_400.0), ('h', 3_600.0), ('m', 60.0), ('s', 1.0)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            seconds += fraction(number)? * factor;
            rest = behind;
        }
    }
    (rest.is_empty() && !text.is_empty()).then_some(seconds)
}

fn fraction(text: &str) -> Option<f64> {
    let plain = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    plain.then(|| text.parse().ok()).flatten()
}

/// Exit codes of failures and ranges of them, separated by commas: `75,100-110`.
pub(super) fn exit_codes(text: &str) -> Option<ExitCodes> {
    let code = |text: &str| {
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| text.parse::<u8>().ok()).flatten().filter(|&code| code > 0)
    };
    let mut codes = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (code(first)?, code(last)?);
        if first > last {
            return None;
        }
        codes.extend(first..=last);
    }
    Some(codes.into_iter().collect())
}

/// A time above zero, or a percentage above 100.
pub(super) fn task_limit(text: &str) -> Option<TaskLimit> {
    match text.strip_suffix('%') {
        Some(percent) => {
            number(percent).filter(|percent| (101..=PERCENT_MAX).contains(percent)).map(TaskLimit::Percent)
        }
        None => time(text).filter(|&time| time > Duration::ZERO).map(TaskLimit::Fixed),
    }
}

/// When failures end the farm, in GNU parallel's words: `soon,fail=10`, `now,fail=5%`, `never`.
pub(super) fn halt(text: &str) -> Option<Option<Halt>> {
    if text == "never" {
        return Some(None);
    }
    let (when, why) = text.split_once(',')?;
    let when = match when {
        "soon" => HaltWhen::Soon,
        "now" => HaltWhen::Now,
        _ => return None,
    };
    let value = why.strip_prefix("fail=")?;
    let at = match value.strip_suffix('%') {
        Some(percent) => HaltAt::Percent(number(percent).filter(|percent| (1..=100).contains(percent))?),
        None => HaltAt::Count(number(value).filter(|&count| count > 0)?),
    };
    Some(Some(Halt { when, at }))
}

fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times as users of Slurm and of GNU parallel type them.
    #[test]
    fn times_are_read() {
        for (text, seconds) in [
            ("60", 60.0),
            ("1.5", 1.5),
            ("90s", 90.0),
            ("30m", 1_800.0),
            ("2h", 7_200.0),
            ("1h30m", 5_400.0),
            ("1d2h3m4.5s", 93_784.5),
            ("1.5d", 129_600.0),
            ("1:30:00", 5_400.0),
            ("1:30", 90.0),
            ("100:00:00", 360_000.0),
            ("1-0", 86_400.0),
            ("1-12:30", 131_400.0),
            ("2-00:00:01", 172_801.0),
        ] {
            assert_eq!(time(text), Some(Duration::from_secs_f64(seconds)), "{text}");
        }
        for bad in ["", "-1", "x", "1:60", "1:2:3:4", "s", "1e9", "inf", "nan", ":", "99999999999", "1 h", "30m1h"] {
            assert_eq!(time(bad), None, "{bad}");
        }
        for bad in ["1h30", "1h1h", "1-", "-12:00", "1-24", "1-1:60", "1-1:1:1:1", "1-2-3", "1:30m", "1..5"] {
            assert_eq!(time(bad), None, "{bad}");
        }
    }

    /// Codes and ranges; 0 is not a failure, and nonsense is refused.
    #[test]
    fn exit_codes_are_read() {
        let held = |text| exit_codes(text).map(|set| (0..=255).filter(|&code| set.contains(code)).collect::<Vec<u8>>());
        assert_eq!(held("75"), Some(vec![75]));
        assert_eq!(held("75,100-102,1"), Some(vec![1, 75, 100, 101, 102]));
        assert_eq!(held("255-255"), Some(vec![255]));
        for bad in ["", ",", "0", "0-3", "256", "-1", "3-1", "1-", "1-2-3", "a", "1, 2", "+1"] {
            assert_eq!(held(bad), None, "{bad:?}");
        }
    }

    /// Times and percentages; a limit that ends half of all tasks, or every task immediately, is refused.
    #[test]
    fn task_limits_are_read() {
        assert_eq!(task_limit("90"), Some(TaskLimit::Fixed(Duration::from_secs(90))));
        assert_eq!(task_limit("0.5"), Some(TaskLimit::Fixed(Duration::from_millis(500))));
        assert_eq!(task_limit("1:30:00"), Some(TaskLimit::Fixed(Duration::from_secs(5_400))));
        assert_eq!(task_limit("300%"), Some(TaskLimit::Percent(300)));
        for bad in ["", "0", "-1", "x", "%", "100%", "0%", "-200%", "2e3%", "100001%", "99999999999%", "150 %"] {
            assert_eq!(task_limit(bad), None, "{bad:?}");
        }
    }

    /// GNU parallel's words, as far as they concern failures.
    #[test]
    fn halts_are_read() {
        let rule = |when, at| Some(Some(Halt { when, at }));
        assert_eq!(halt("soon,fail=1"), rule(HaltWhen::Soon, HaltAt::Count(1)));
        assert_eq!(halt("now,fail=10%"), rule(HaltWhen::Now, HaltAt::Percent(10)));
        assert_eq!(halt("never"), Some(None));
        for bad in ["", "soon", "now,", "soon,fail", "soon,fail=", "soon,fail=0", "now,fail=0%", "now,fail=101%", "2"] {
            assert_eq!(halt(bad), None, "{bad:?}");
        }
        for bad in ["now,success=1", "later,fail=1", "soon,fail=+1", "soon,fail=1.5", "now,fail=99999999999"] {
            assert_eq!(halt(bad), None, "{bad:?}");
        }
    }
}
