//! When the batch job ends.
//!
//! Owns what batch systems report about that: Slurm in the environment, others by a program (see [`ask`]). Decides
//! nothing.

pub(crate) mod ask;

use std::time::Duration;

/// Time before the job's end, in addition to the grace period, in which the last records are written and all ranks end.
pub(crate) const RESERVE: Duration = Duration::from_secs(15);

/// End of the job since 1970, if the environment contains it: newer versions of Slurm set `SLURM_JOB_END_TIME` in
/// seconds; for 22.05, which does not, the batch scripts do. `get` looks a variable up.
pub(crate) fn job_end(get: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let seconds = get("SLURM_JOB_END_TIME")?.trim().parse::<u64>().ok()?;
    // A job without a limit ends in the far future, or at 0.
    (1..u64::from(u32::MAX)).contains(&seconds).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Promise 5: whatever the value, it is a time within the next century or none.
        #[test]
        fn any_value_is_read(texts in ["[0-9 +-]{0,22}", "\\PC*"]) {
            for text in texts {
                let end = job_end(|_| Some(text.clone()));
                prop_assert!(end.is_none_or(|end| (1..u64::from(u32::MAX)).contains(&end.as_secs())));
            }
        }
    }

    /// Invalid values in the environment are not a time limit.
    #[test]
    fn only_a_time_is_a_time() {
        let end = |value: &'static str| job_end(|_| Some(value.to_owned()));
        assert_eq!(end("1795358813"), Some(Duration::from_secs(1_795_358_813)));
        for value in ["", "0", "-1", "soon", "18446744073709551615", "99999999999999999999999"] {
            assert_eq!(end(value), None, "{value}");
        }
        assert_eq!(job_end(|_| None), None);
    }
}
