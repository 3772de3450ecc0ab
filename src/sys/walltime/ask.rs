//! Programs of batch systems that report when a job ends.
//!
//! Owns which program to ask, and how to read its answer: PBS, LSF and Flux set no variable for the end of a job. The
//! sources are `OpenPBS`'s qstat(1B) and samples of its JSON, IBM's reference of bjobs, and flux-job(1). Never asks
//! twice: the server behind such a program serves a whole site.

use std::ffi::c_int;
use std::process::Command;
use std::time::Duration;

use bincode::{Decode, Encode};
use serde_json::Value;

use super::super::{clock, query};

/// What Flux reports for a job without a limit, in seconds: this or more.
const FLUX_UNLIMITED: u64 = u32::MAX as u64;

/// Larger limits are not accepted, in seconds: a hundred years.
const LIMIT_MAX: u64 = 100 * 366 * 86_400;

/// A batch system that must be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum System {
    Pbs,
    Lsf,
    Flux,
}

/// The question and the program that answers it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Question {
    system: System,
    words: Vec<String>,
}

/// When a job ends.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub(crate) enum Answer {
    /// At this time, since 1970.
    At(Duration),
    /// It has no time limit.
    Never,
    /// Unknown; the reason.
    Unknown(String),
}

impl Question {
    /// What to ask about the job that this process belongs to; `None` outside a job of these systems. `get` looks a
    /// variable up.
    pub(crate) fn of_job(get: impl Fn(&str) -> Option<String>) -> Option<Self> {
        let get = |name: &str| get(name).filter(|value| !value.is_empty());
        let question =
            |system, words: &[&str]| Some(Self { system, words: words.iter().map(ToString::to_string).collect() });
        if let Some(job) = get("PBS_JOBID") {
            question(System::Pbs, &["qstat", "-f", "-F", "json", &job])
        } else if let Some(job) = get("LSB_JOBID") {
            // A member of an array has the number of the array, and an index above 0.
            let job = match get("LSB_JOBINDEX").filter(|index| index != "0") {
                Some(index) => format!("{job}[{index}]"),
                None => job,
            };
            question(System::Lsf, &["bjobs", "-noheader", "-o", "time_left", &job])
        } else if get("FLUX_JOB_ID").or_else(|| get("FLUX_URI")).is_some() {
            question(System::Flux, &["flux", "job", "timeleft"])
        } else {
            None
        }
    }

    /// The program and its arguments, as a user would type them.
    pub(crate) fn command(&self) -> String {
        self.words.join(" ")
    }

    /// Runs the program, and kills it at the time limit.
    pub(crate) fn ask(&self, limit: Duration) -> Answer {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        let answer = match query::run(command, limit) {
            Ok(answer) => answer,
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        let text = String::from_utf8_lossy(&answer.output);
        if !answer.status.success() {
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            return Answer::Unknown(format!("{}: {first}", answer.status));
        }
        self.read(&text, clock::since_1970())
            .unwrap_or_else(|| Answer::Unknown("its answer has no time in it".to_owned()))
    }

    /// Reads an answer that was given at `now`; `None` if it does not contain the end of the job.
    fn read(&self, text: &str, now: Duration) -> Option<Answer> {
        match self.system {
            System::Pbs => pbs_end(text),
            System::Lsf => lsf_left(text).map(|left| Answer::At(now + left)),
            System::Flux => match text.trim().split('.').next()?.parse::<u64>().ok()? {
                FLUX_UNLIMITED.. => Some(Answer::Never),
                left => Some(Answer::At(now + Duration::from_secs(left))),
            },
        }
    }
}

/// `Resource_List.walltime` after `stime`, the start. `resources_used.walltime` would be minutes old.
fn pbs_end(text: &str) -> Option<Answer> {
    // There may be warnings around it.
    let json = text.get(text.find('{')?..=text.rfind('}')?)?;
    let answer: Value = serde_json::from_str(json).ok()?;
    let job = answer.get("Jobs")?.as_object()?.values().next()?;
    let start = job.get("stime")?;
    let Some(limit) = job.get("Resource_List")?.get("walltime") else { return Some(Answer::Never) };
    let start = start.as_u64().or_else(|| local_time(start.as_str()?))?;
    let limit = limit.as_u64().or_else(|| hours_minutes_seconds(limit.as_str()?))?;
    (limit <= LIMIT_MAX).then(|| Answer::At(Duration::from_secs(start.saturating_add(limit))))
}

/// `[[H:]M:]S`, in seconds; there may be any number of hours.
fn hours_minutes_seconds(text: &str) -> Option<u64> {
    text.split(':').try_fold(0_u64, |sum, part| sum.checked_mul(60)?.checked_add(part.parse().ok()?))
}

/// `1:05 L`: hours, minutes, and the mark of the run limit. `E` and `X` mark an estimate, which does not end a job.
fn lsf_left(text: &str) -> Option<Duration> {
    let mut words = text.split_whitespace();
    let (hours, minutes) = words.next()?.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let seconds = minutes.checked_mul(60).filter(|seconds| *seconds <= LIMIT_MAX)?;
    (words.next() == Some("L")).then(|| Duration::from_secs(seconds))
}

/// `Wed Apr 14 23:34:19 2021`, as ctime(3) writes it in the time zone of this process, in seconds since 1970.
fn local_time(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let &[_, month, day, clock, year] = &words[..] else { return None };
    let number = |text: &str| text.parse::<u16>().ok().map(c_int::from);
    let clock = clock.split(':').map(number).collect::<Option<Vec<_>>>()?;
    let &[hour, minute, second] = &clock[..] else { return None };
    let month = c_int::try_from(MONTHS.iter().position(|name| *name == month)?).ok()?;
    // SAFETY: every field is a plain number or a pointer that may be null.
    let mut broken: libc::tm = unsafe { std::mem::zeroed() };
    (broken.tm_year, broken.tm_mon, broken.tm_mday) = (number(year)? - 1900, month, number(day)?);
    (broken.tm_hour, broken.tm_min, broken.tm_sec) = (hour, minute, second);
    // Whether daylight saving time applied is up to the time zone.
    broken.tm_isdst = -1;
    // SAFETY: it reads and writes this structure only; any numbers in it are allowed.
    let seconds = unsafe { libc::mktime(&raw mut broken) };
    u64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Option<Question> {
        Question::of_job(|name| variables.iter().find(|(n, _)| *n == name).map(|(_, value)| (*value).to_owned()))
    }

    fn read(variables: &[(&str, &str)], text: &str) -> Option<Answer> {
        of(variables).unwrap().read(text, Duration::from_secs(1_000))
    }

    const PBS: [(&str, &str); 1] = [("PBS_JOBID", "1008.calc0")];
    const LSF: [(&str, &str); 1] = [("LSB_JOBID", "12")];
    const FLUX: [(&str, &str); 1] = [("FLUX_JOB_ID", "f2u")];

    /// Each batch system is asked about this job; outside a job, no program is run.
    #[test]
    fn the_job_is_known_by_its_variables() {
        let command = |variables: &[(&str, &str)]| of(variables).map(|question| question.command());
        assert_eq!(command(&[]), None);
        assert_eq!(command(&[("PBS_JOBID", ""), ("SLURM_JOB_ID", "5")]), None);
        assert_eq!(command(&PBS).unwrap(), "qstat -f -F json 1008.calc0");
        assert_eq!(command(&LSF).unwrap(), "bjobs -noheader -o time_left 12");
        assert_eq!(command(&[LSF[0], ("LSB_JOBINDEX", "0")]), command(&LSF));
        assert_eq!(command(&[LSF[0], ("LSB_JOBINDEX", "3")]).unwrap(), "bjobs -noheader -o time_left 12[3]");
        assert_eq!(command(&FLUX).unwrap(), "flux job timeleft");
        assert_eq!(command(&[("FLUX_URI", "local:///x")]), command(&FLUX));
    }

    /// qstat's answer: the limit counts from the start, which is in local time.
    #[test]
    fn pbs_is_read() {
        let job =
            |rest: &str| format!(r#"{{"timestamp":1618414459,"Jobs":{{"1008.calc0":{{"job_state":"R",{rest}}}}}}}"#);
        let start = local_time("Wed Apr 14 23:34:19 2021").unwrap();
        // Any time zone is within 14 hours of UTC.
        assert!(start.abs_diff(1_618_443_259) <= 14 * 3_600, "{start}");
        assert_eq!(local_time("Wed Apr 14 23:35:20 2021").unwrap() - start, 61);
        let at = |seconds: u64| Some(Answer::At(Duration::from_secs(start + seconds)));
        let usual = job(r#""Resource_List":{"ncpus":5,"walltime":"04:00:01"},"stime":"Wed Apr 14 23:34:19 2021""#);
        assert_eq!(read(&PBS, &usual), at(14_401));
        assert_eq!(read(&PBS, &format!("a warning\n{usual}\n")), at(14_401));
        let long = job(r#""Resource_List":{"walltime":"120:00:00"},"stime":"Wed Apr 14 23:34:19 2021""#);
        assert_eq!(read(&PBS, &long), at(432_000));
        let unlimited = job(r#""Resource_List":{"ncpus":5},"stime":"Wed Apr 14 23:34:19 2021""#);
        assert_eq!(read(&PBS, &unlimited), Some(Answer::Never));
        let waiting = job(r#""Resource_List":{"walltime":"04:00:00"}"#);
        for nothing in ["", "{}", "}{", r#"{"Jobs":{}}"#, r#"{"Jobs":[]}"#, &waiting, &usual.replace("Apr", "Avr")] {
            assert_eq!(read(&PBS, nothing), None, "{nothing}");
        }
    }

    /// bjobs counts minutes; its estimates are not limits.
    #[test]
    fn lsf_is_read() {
        let at = |seconds: u64| Some(Answer::At(Duration::from_secs(1_000 + seconds)));
        assert_eq!(read(&LSF, "1:05 L\n"), at(3_900));
        assert_eq!(read(&LSF, "0:00 L"), at(0));
        for nothing in ["-\n", "", "1:05 E", "0:0 X", "x:y L", "1:05", "99999999999999999999:1 L"] {
            assert_eq!(read(&LSF, nothing), None, "{nothing}");
        }
    }

    /// Flux counts seconds, and has a large number for "no limit".
    #[test]
    fn flux_is_read() {
        assert_eq!(read(&FLUX, "299\n"), Some(Answer::At(Duration::from_secs(1_299))));
        assert_eq!(read(&FLUX, "0"), Some(Answer::At(Duration::from_secs(1_000))));
        assert_eq!(read(&FLUX, "4294967295\n"), Some(Answer::Never));
        assert_eq!(read(&FLUX, "infinity"), None);
    }

    proptest! {
        /// Promise 5: whatever such a program prints is read as a time, or as none.
        #[test]
        fn any_answer_is_read(
            text in "\\PC*|[0-9]{1,20}(:[0-9]{1,20})? ?[LEX]?|\\{\"Jobs\":\\{\"1\":\\{\"stime\":(\"[A-Z][a-z]{2} (Apr|Feb) [0-9]{1,6} [0-9]{1,5}:[0-9]{1,5}:[0-9]{1,5} [0-9]{1,5}\"|[0-9]{1,20}),\"Resource_List\":\\{\"walltime\":(\"[0-9:]{0,30}\"|[0-9]{1,20})\\}\\}\\}\\}",
        ) {
            for variables in [PBS, LSF, FLUX] {
                let _ = read(&variables, &text);
            }
        }
    }
}
