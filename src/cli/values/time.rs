//! A length of time on the command line.

use std::str::FromStr;
use std::time::Duration;

use super::Invalid;

const INVALID: Invalid = Invalid(
    "not a valid time\n  give a number of seconds, or a time such as 90s, 1h30m, 2d, 1:30:00 or 1-12:00:00; it must be more than 0 and at most 366d",
);

/// The longest time, in seconds: a year. Longer ones are typing errors.
const TIME_MAX: f64 = 366.0 * 86_400.0;

/// A length of time: `--timeout`, `--task-time`, `--grace`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Time {
    /// How long it is.
    pub length: Duration,
    /// What was typed.
    pub typed: String,
}

impl Time {
    /// Reads a time that may not be 0.
    pub(crate) fn above_zero(text: &str) -> Result<Self, Invalid> {
        text.parse().and_then(|time: Self| if time.length.is_zero() { Err(INVALID) } else { Ok(time) })
    }
}

impl FromStr for Time {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        length(text).map(|length| Self { length, typed: text.to_owned() }).ok_or(INVALID)
    }
}

/// Seconds, with a fraction if need be; numbers with units, the largest first: `1h30m`, `1.5d`; `M:SS` and `H:MM:SS`;
/// and days in front, as in Slurm: `1-12`, `1-12:30`, `1-12:30:00`.
fn length(text: &str) -> Option<Duration> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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
            assert_eq!(text.parse().map(|time: Time| time.length), Ok(Duration::from_secs_f64(seconds)), "{text}");
        }
        for bad in ["", "-1", "x", "1:60", "1:2:3:4", "s", "1e9", "inf", "nan", ":", "99999999999", "1 h", "30m1h"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
        for bad in ["1h30", "1h1h", "1-", "-12:00", "1-24", "1-1:60", "1-1:1:1:1", "1-2-3", "1:30m", "1..5"] {
            assert!(bad.parse::<Time>().is_err(), "{bad}");
        }
    }

    /// A grace period of 0 is a time, a timeout of 0 is not.
    #[test]
    fn zero_is_not_always_a_time() {
        assert_eq!("0".parse().map(|time: Time| time.length), Ok(Duration::ZERO));
        assert!(Time::above_zero("0s").is_err() && Time::above_zero("0.1").is_ok());
    }

    proptest! {
        /// Promise 5: no word causes a panic, and none is longer than the longest time.
        #[test]
        fn any_word_is_read(texts in ["[0-9.:smhd-]{0,12}", "\\PC*"]) {
            for text in texts {
                prop_assert!(text.parse().map_or(true, |time: Time| time.length <= Duration::from_secs(366 * 86_400)));
            }
        }
    }
}
