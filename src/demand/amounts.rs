//! Amounts of resources, as they are typed in options and lists: `8` CPUs, `0.25` GPUs, `4G` of memory.
//!
//! Owns how they are read, and what the message says if one is invalid.

use std::str::FromStr;

use thiserror::Error;

use super::WHOLE_GPU;

/// As many as there may be slots.
const CPUS_MAX: u32 = 100_000;

/// More than anybody has of anything.
const SHARED_MAX: u32 = 1_000_000;

/// Far more than a list needs.
const PRIORITY_MAX: i32 = 1_000_000;

/// More GPUs than this for one task are a typing error.
const GPUS_MAX: u32 = 1_024;

/// The most memory of a task, in MiB: 1 PiB.
const MEMORY_MAX_MIB: f64 = 1_073_741_824.0;

/// What is wrong with an amount, and what to type instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{0}")]
pub struct InvalidAmount(&'static str);

/// `--cpus-per-task` and `cpus=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuCount(pub u32);

impl FromStr for CpuCount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let count = text.parse().ok().filter(|count| (1..=CPUS_MAX).contains(count));
        count.map(Self).ok_or(InvalidAmount("not a valid number of CPUs\n  give a number from 1 to 100000"))
    }
}

/// `--gpus-per-task` and `gpus=`: GPUs in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GpuCount(pub u32);

impl FromStr for GpuCount {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let whole = || text.parse().ok().filter(|count| (1..=GPUS_MAX).contains(count)).map(|count| count * WHOLE_GPU);
        let part = || {
            let digits = text.strip_prefix("0.").or_else(|| text.strip_prefix('.'))?;
            let is_plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
            is_plain.then(|| format!("{digits:0<3}").parse().ok()).flatten().filter(|&part| part > 0)
        };
        let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '.');
        is_number.then(|| whole().or_else(part)).flatten().map(Self).ok_or(InvalidAmount(
            "not a valid number of GPUs\n  give a whole number from 1 to 1024, or a part of one GPU with at most three digits, such as 0.5 or 0.25",
        ))
    }
}

/// `--mem-per-task` and `mem=`: memory in MiB.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory(pub u64);

impl FromStr for Memory {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let size = || {
            let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
            let is_plain = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let mib = match unit.to_ascii_uppercase().trim_end_matches('B').trim_end_matches('I') {
                "M" => 1.0,
                "G" => 1_024.0,
                "T" => 1_048_576.0,
                _ => return None,
            };
            let size = (is_plain.then(|| number.parse::<f64>().ok()).flatten()? * mib).ceil();
            (1.0..=MEMORY_MAX_MIB).contains(&size).then_some(size as u64)
        };
        size().map(Self).ok_or(InvalidAmount(
            "not a valid amount of memory\n  give a number with a unit, such as 500M, 4G or 1.5T, at most 1024T",
        ))
    }
}

/// `--resource NAME=N`: something that the farm shares out among its tasks, wherever they run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shared {
    /// The key of directives.
    pub(crate) name: String,
    /// How many there are.
    pub(crate) total: u32,
}

/// Names that have a meaning in lists, or may get one.
pub(crate) const RESERVED: [&str; 14] = [
    "cpus", "gpus", "mem", "priority", "time", "cwd", "env", "name", "after", "afterany", "barrier", "end", "next",
    "reset",
];

impl FromStr for Shared {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let is_name = |name: &str| {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
            name.starts_with(|first: char| first.is_ascii_alphabetic())
                && name.bytes().all(is_plain)
                && !RESERVED.contains(&&name.to_ascii_lowercase()[..])
        };
        let shared = text.split_once('=').filter(|(name, _)| is_name(name));
        let total = |number: &str| number.parse().ok().filter(|total| (1..=SHARED_MAX).contains(total));
        let shared = shared.and_then(|(name, number)| Some(Self { name: name.to_owned(), total: total(number)? }));
        shared.ok_or(InvalidAmount(
            "not a valid number of something\n  give a name and a number from 1 to 1000000, such as license=5. For CPUs, GPUs and memory, use --cpus-per-task, --gpus-per-task \
             and --mem-per-task",
        ))
    }
}

/// How many of something that a farm shares out a task takes.
pub(crate) fn shared_count(text: &str) -> Result<u32, InvalidAmount> {
    let count = text.parse().ok().filter(|count| (0..=SHARED_MAX).contains(count));
    count.ok_or(InvalidAmount("not a valid number\n  give a whole number from 0 to 1000000"))
}

/// `priority=`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Priority(pub(crate) i32);

impl FromStr for Priority {
    type Err = InvalidAmount;

    fn from_str(text: &str) -> Result<Self, InvalidAmount> {
        let number = text.parse().ok().filter(|number| (-PRIORITY_MAX..=PRIORITY_MAX).contains(number));
        number.map(Self).ok_or(InvalidAmount(
            "not a valid priority\n  give a whole number from -1000000 to 1000000; higher goes first, and 0 is usual",
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// CPUs are whole, and not none.
    #[test]
    fn cpus_are_read() {
        assert_eq!(
            ["1", "64", "100000"].map(|text| text.parse().map(|CpuCount(cpus)| cpus)),
            [Ok(1), Ok(64), Ok(100_000)]
        );
        for bad in ["", "0", "-1", "1.5", "100001", "8x", "99999999999"] {
            assert!(bad.parse::<CpuCount>().is_err(), "{bad:?}");
        }
    }

    /// A name must be one that a list can use.
    #[test]
    fn shared_things_are_read() {
        let read = |text: &str| text.parse().map(|Shared { name, total }| (name, total));
        assert_eq!(read("license=5"), Ok(("license".to_owned(), 5)));
        assert_eq!(read("io-streams_2=1000000"), Ok(("io-streams_2".to_owned(), 1_000_000)));
        for bad in [
            "",
            "license",
            "license=",
            "license=0",
            "license=-1",
            "=5",
            "2x=5",
            "a b=5",
            "cpus=5",
            "Mem=5",
            "x=1.5",
            "x=1000001",
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert_eq!(["0", "5"].map(shared_count), [Ok(0), Ok(5)]);
        assert!(["", "-1", "x", "1000001"].map(shared_count).iter().all(Result::is_err));
    }

    /// Priorities may be negative.
    #[test]
    fn priorities_are_read() {
        let read = |text: &str| text.parse().map(|Priority(number)| number);
        assert_eq!(["0", "-3", "1000000"].map(read), [Ok(0), Ok(-3), Ok(1_000_000)]);
        assert!(["", "x", "1.5", "1000001", "-1000001"].map(read).iter().all(Result::is_err));
    }

    /// Whole GPUs, or a part of one; never a part of several.
    #[test]
    fn gpus_are_read() {
        for (text, gpus) in
            [("1", 1_000), ("4", 4_000), ("0.25", 250), (".5", 500), ("0.333", 333), ("1024", 1_024_000)]
        {
            assert_eq!(text.parse(), Ok(GpuCount(gpus)), "{text}");
        }
        for bad in ["", "0", "0.0", "0.", ".", "1.5", "-1", "+1", "0.1234", "1025", "x", "0.x", "1e3", "99999999999"] {
            assert!(bad.parse::<GpuCount>().is_err(), "{bad:?}");
        }
    }

    /// Sizes as users of Slurm and of HyperQueue type them; a number without a unit means different things to them.
    #[test]
    fn memory_is_read() {
        for (text, mib) in [
            ("500M", 500),
            ("4G", 4_096),
            ("4g", 4_096),
            ("4GB", 4_096),
            ("4GiB", 4_096),
            ("1.5G", 1_536),
            ("0.1M", 1),
            ("2T", 2 << 20),
        ] {
            assert_eq!(text.parse(), Ok(Memory(mib)), "{text}");
        }
        for bad in ["", "4", "G", "0G", "-1G", "1K", "4X", "4GG", "1..5G", "2000T", "1e3G", "4 G", "nanG", "infG"] {
            assert!(bad.parse::<Memory>().is_err(), "{bad:?}");
        }
    }

    proptest! {
        /// Promise 5: no word causes a panic.
        #[test]
        fn any_word_is_read(text in "\\PC*") {
            let _ = (text.parse::<CpuCount>(), text.parse::<GpuCount>(), text.parse::<Memory>());
        }
    }
}
