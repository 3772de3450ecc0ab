//! Values of options.
//!
//! Owns how they are typed, and what the message says if one is invalid. clap calls the parsers; [`super::slips`] puts
//! the option and the value in front of the message.

use std::ops::RangeBounds;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::farmer::{ExitCodes, Halt, HaltAt, HaltWhen, TaskLimit};
use crate::protocol::{Logs, SlotCount};
use crate::task::SLOTS_MAX;

/// The longest time, in seconds: a year. Longer ones are typing errors.
const TIME_MAX: f64 = 366.0 * 86_400.0;

/// What is wrong with a value, and what to type instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct Invalid(pub(super) &'static str);

/// A parser of numbers within bounds. A number above them is a typing error.
pub(super) fn number<N: FromStr + PartialOrd>(
    allowed: impl RangeBounds<N> + Clone,
    invalid: &'static str,
) -> impl Fn(&str) -> Result<N, Invalid> + Clone {
    move |text| text.parse().ok().filter(|number| allowed.contains(number)).ok_or(Invalid(invalid))
}

const INVALID_TIME: Invalid = Invalid(
    "not a valid time\n  give a number of seconds, or a time such as 90s, 1h30m, 2d, 1:30:00 or 1-12:00:00, at most 366d",
);

const ZERO: Invalid = Invalid("not a valid time\n  give a time of more than 0, such as 90s or 1h30m");

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
        text.parse().and_then(|time: Self| if time.length.is_zero() { Err(ZERO) } else { Ok(time) })
    }
}

impl FromStr for Time {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        length(text).map(|length| Self { length, typed: text.to_owned() }).ok_or(INVALID_TIME)
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

/// What follows an option that needs no value: its value, or a word that is the list or the workdir if no other word is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum OrOperand<T> {
    /// The value.
    Value(T),
    /// A word, and why it is not a value.
    Word(String, Invalid),
}

impl<T> OrOperand<T> {
    /// The value, which is `bare` if the word is the missing operand. If the word is neither, the message.
    pub(crate) fn settle(self, option: &str, bare: T, operand: &mut Option<PathBuf>) -> Result<T, String> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Word(word, _) if operand.is_none() => {
                *operand = Some(word.into());
                Ok(bare)
            }
            Self::Word(word, why) => Err(format!("{option} {word}: {why}")),
        }
    }
}

/// `--proc`.
impl FromStr for OrOperand<SlotCount> {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let invalid =
            Invalid("not a valid number of tasks\n  give a number from 1 to 100000, or 'auto' for one task per CPU");
        Ok(match word.parse() {
            _ if word == "auto" => Self::Value(SlotCount::Cpus),
            Ok(slots @ 1..=SLOTS_MAX) => Self::Value(SlotCount::Fixed(slots)),
            _ => Self::Word(word.to_owned(), invalid),
        })
    }
}

/// `--watch`. A number is never a workdir.
impl FromStr for OrOperand<Duration> {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let invalid = Invalid("not a number of seconds, 0.1 or more");
        match word.parse() {
            Ok(seconds) if (0.1..=86_400.0).contains(&seconds) => Ok(Self::Value(Duration::from_secs_f64(seconds))),
            Ok(_) => Err(invalid),
            Err(_) => Ok(Self::Word(word.to_owned(), invalid)),
        }
    }
}

/// `--logs`.
impl FromStr for Logs {
    type Err = Invalid;

    fn from_str(word: &str) -> Result<Self, Invalid> {
        let folders = || word.strip_prefix("task/")?.parse().ok().filter(|count| *count > 0);
        match word {
            "task" => Ok(Self::Task),
            "failed" => Ok(Self::Failed),
            "rank" => Ok(Self::Rank),
            "none" => Ok(Self::None),
            _ => folders().map(Self::Folders).ok_or(Invalid(
                "not a valid kind of log\n  give 'task', 'task/1000' (or a different number of tasks per folder), 'failed', 'rank' or 'none'",
            )),
        }
    }
}

/// `--retry-exit`: exit codes of failures and ranges of them, separated by commas: `75,100-110`.
impl FromStr for ExitCodes {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let code = |text: &str| plain::<u8>(text).filter(|&code| code > 0);
        let range = |text: &str| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            Some(code(first)?..=code(last)?).filter(|range| !range.is_empty())
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.map(|ranges| ranges.into_iter().flatten().collect()).ok_or(Invalid(
            "not a valid list of exit codes\n  give exit codes from 1 to 255, ranges, or both, such as 75 or 75,100-110",
        ))
    }
}

/// `--task-timeout`: a time above zero, or a percentage above 100.
impl FromStr for TaskLimit {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let limit = match text.strip_suffix('%') {
            Some(percent) => plain(percent).filter(|percent| (101..=100_000).contains(percent)).map(Self::Percent),
            None => Time::above_zero(text).ok().map(|time| Self::Fixed(time.length)),
        };
        limit.ok_or(Invalid(
            "not a valid time limit\n  give a number of seconds, a time such as 90s, 1h30m or 1:30:00 (at most 366d), or a percentage (above 100%) of the median task length, such as 300%",
        ))
    }
}

/// `--halt`: when failures end the farm, in GNU parallel's words: `soon,fail=10`, `now,fail=5%`, `never`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HaltRule(pub Option<Halt>);

impl FromStr for HaltRule {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let halt = |text: &str| {
            let (when, value) = text.split_once(",fail=")?;
            let (_, when) =
                [("soon", HaltWhen::Soon), ("now", HaltWhen::Now)].into_iter().find(|(word, _)| *word == when)?;
            let at = match value.strip_suffix('%') {
                Some(percent) => HaltAt::Percent(plain(percent).filter(|percent| (1..=100).contains(percent))?),
                None => HaltAt::Count(plain(value).filter(|&count| count > 0)?),
            };
            Some(Halt { when, at })
        };
        let rule = if text == "never" { Some(None) } else { halt(text).map(Some) };
        rule.map(Self).ok_or(Invalid(
            "not a valid rule\n  give soon,fail=N or now,fail=N, where N is a number of failed tasks or a percentage of the ended ones, such as soon,fail=10 or now,fail=5%",
        ))
    }
}

/// A number without a sign.
fn plain<N: FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is typed has the meaning that is given, and each of the bad words is refused.
    #[track_caller]
    fn check<T>(good: &[(&str, T)], bad: &[&str])
    where
        T: FromStr<Err = Invalid> + PartialEq + std::fmt::Debug,
    {
        for (word, meaning) in good {
            assert_eq!(word.parse().as_ref(), Ok(meaning), "{word:?}");
        }
        for word in bad {
            assert!(word.parse::<T>().is_err(), "{word:?}");
        }
    }

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
                prop_assert!(length(&text).is_none_or(|time| time <= Duration::from_secs(366 * 86_400)));
            }
        }
    }

    /// Each valid word has its meaning; anything else is refused.
    #[test]
    fn logs_are_read() {
        let good = [
            ("task", Logs::Task),
            ("failed", Logs::Failed),
            ("rank", Logs::Rank),
            ("none", Logs::None),
            ("task/1000", Logs::Folders(1000)),
        ];
        check(&good, &["", "task/0", "task/", "task/x", "Rank", "all"]);
    }

    /// Codes and ranges; 0 is not a failure, and nonsense is refused.
    #[test]
    fn exit_codes_are_read() {
        let set = |codes: &[u8]| codes.iter().copied().collect::<ExitCodes>();
        let good = [("75", set(&[75])), ("75,100-102,1", set(&[1, 75, 100, 101, 102])), ("255-255", set(&[255]))];
        check(&good, &["", ",", "0", "0-3", "256", "-1", "3-1", "1-", "1-2-3", "a", "1, 2", "+1"]);
    }

    /// Times and percentages; a limit that ends half of all tasks, or every task immediately, is refused.
    #[test]
    fn task_limits_are_read() {
        let fixed = |millis| TaskLimit::Fixed(Duration::from_millis(millis));
        let good = [
            ("90", fixed(90_000)),
            ("0.5", fixed(500)),
            ("1:30:00", fixed(5_400_000)),
            ("300%", TaskLimit::Percent(300)),
        ];
        check(&good, &["", "0", "-1", "x", "%", "100%", "0%", "-200%", "2e3%", "100001%", "99999999999%", "150 %"]);
    }

    /// GNU parallel's words, as far as they concern failures.
    #[test]
    fn halts_are_read() {
        let rule = |when, at| HaltRule(Some(Halt { when, at }));
        let good = [
            ("soon,fail=1", rule(HaltWhen::Soon, HaltAt::Count(1))),
            ("now,fail=10%", rule(HaltWhen::Now, HaltAt::Percent(10))),
            ("never", HaltRule(None)),
        ];
        check(&good, &["", "soon", "now,", "soon,fail", "soon,fail=", "soon,fail=0", "now,fail=0%", "now,fail=101%"]);
        check(&good, &["2", "now,success=1", "later,fail=1", "soon,fail=+1", "soon,fail=1.5", "now,fail=99999999999"]);
    }

    /// A number is within its bounds.
    #[test]
    fn numbers_are_read() {
        let (bounded, unbounded) = (number(1..=1_000_u16, "why"), number(0_u64.., "why"));
        assert_eq!((bounded("1"), bounded("1000")), (Ok(1), Ok(1_000)));
        for bad in ["", "-1", "0", "1001", "99999", "x", "1.5"] {
            assert_eq!(bounded(bad), Err(Invalid("why")), "{bad:?}");
        }
        assert_eq!((unbounded("18446744073709551615"), unbounded("-1")), (Ok(u64::MAX), Err(Invalid("why"))));
    }

    /// A word after an option that needs no value is the list, unless there is one.
    #[test]
    fn a_word_may_be_the_list() {
        let settle = |word: &str, mut list: Option<PathBuf>| {
            let proc: OrOperand<SlotCount> = word.parse().unwrap();
            proc.settle("--proc", SlotCount::Cpus, &mut list).map(|slots| (slots, list))
        };
        assert_eq!(settle("3", None), Ok((SlotCount::Fixed(3), None)));
        assert_eq!(settle("auto", Some("l".into())), Ok((SlotCount::Cpus, Some("l".into()))));
        for word in ["0", "x", "100001", "1.5", ""] {
            assert_eq!(settle(word, None), Ok((SlotCount::Cpus, Some(word.into()))));
            let start =
                format!("--proc {word}: not a valid number of tasks\n  give a number from 1 to {SLOTS_MAX}, or ");
            assert!(settle(word, Some("l".into())).unwrap_err().starts_with(&start), "{word:?}");
        }
    }

    /// `--watch` takes seconds; only what is not a number can be a workdir.
    #[test]
    fn a_watch_has_seconds() {
        let second = OrOperand::Value(Duration::from_secs(1));
        check(&[("1", second.clone()), ("1.0", second)], &["0", "-1", "nan", "inf", "86401"]);
        assert!(matches!("w".parse(), Ok(OrOperand::<Duration>::Word(word, _)) if word == "w"));
    }
}
