//! `status --exit-code`: the farm's own exit code, where a launcher's cannot be trusted.
//!
//! Owns the rule for when the code in `status.json` is valid: rank 0 writes it when all records are on disk, as its
//! last action in the workdir. A run that was killed before that leaves no code, not even that of an earlier run.

use std::path::Path;

use super::life::Life;
use crate::exit_code::ExitCode;
use crate::figures::report::{RUN, State};
use crate::stderr::say_error;

/// Returns the exit code of the last run. `run`: the name that the run must have, if any.
pub(super) fn of_last_run(workdir: &Path, run: Option<&str>) -> ExitCode {
    match judge(&Life::read(workdir), run) {
        Ok(code) => code,
        Err(reason) => {
            say_error(&format!("{}: {reason}", workdir.display()));
            ExitCode::FarmFailed
        }
    }
}

pub(super) fn judge(life: &Life, run: Option<&str>) -> Result<ExitCode, String> {
    if life.state.is_at_work() {
        return Err("the farm is still running, so there is no exit code yet".to_owned());
    }
    if let Some(damage) = life.damage.first() {
        return Err(damage.clone());
    }
    if let Some(run) = run.filter(|&run| life.figures.run.as_deref() != Some(run)) {
        return Err(format!("no run with {RUN}={run} was started here, or it died in its first second"));
    }
    match life.state {
        State::Ended => {
            let code = life.figures.exit_code.and_then(ExitCode::from_code);
            code.ok_or_else(|| "status.json has no exit code".to_owned())
        }
        State::Unknown => {
            let note = life.notes.first().map_or("there is no status.json", |note| note);
            Err(format!("{note}, so the exit code is unknown"))
        }
        _ => {
            Err("the last run did not end cleanly; what was recorded is safe; the same command resumes the farm"
                .to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::report::Figures;

    fn life(state: State, exit_code: Option<i32>, run: Option<&str>) -> Life {
        let figures = Figures { exit_code, run: run.map(str::to_owned), ..Figures::default() };
        Life { state, figures, ..Life::default() }
    }

    /// Only a run that has ended cleanly has an exit code.
    #[test]
    fn the_code_is_that_of_a_run_that_has_ended() {
        for code in 0..=4 {
            let found = judge(&life(State::Ended, Some(code), None), None);
            assert_eq!(found.map(ExitCode::code), Ok(code));
        }
        for state in [State::Unknown, State::Running, State::Stopping, State::Died] {
            judge(&life(state, Some(0), None), None).unwrap_err();
        }
        for code in [None, Some(5), Some(-1), Some(137)] {
            judge(&life(State::Ended, code, None), None).unwrap_err();
        }
    }

    /// A script that names its run is never given the code of a different run.
    #[test]
    fn an_earlier_run_cannot_speak_for_a_later_one() {
        let ended = |run| life(State::Ended, Some(0), run);
        assert_eq!(judge(&ended(Some("7.1")), Some("7.1")), Ok(ExitCode::Success));
        judge(&ended(Some("7.0")), Some("7.1")).unwrap_err();
        judge(&ended(None), Some("7.1")).unwrap_err();
        assert_eq!(judge(&ended(Some("7.0")), None), Ok(ExitCode::Success));
    }
}
