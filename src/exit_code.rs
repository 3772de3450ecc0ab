//! All exit codes of the program, in one place. docs/exit-codes.md explains them to users.

/// What the shell sees in `$?`. Only rank 0 ever exits with a code other than 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitCode {
    /// Every task is in `finished`.
    Success = 0,
    /// Every task has ended, some are in `failed`; or failures have ended the farm (`--halt`).
    TasksFailed = 1,
    /// Bad usage or input. Nothing was started, nothing was written.
    BadInput = 2,
    /// Stopped before the end by a signal or the timeout. The same command resumes.
    Stopped = 3,
    /// The farm itself failed: workdir not writable, all workers lost. What was recorded is safe. Or standard output could not
    /// be written.
    FarmFailed = 4,
}

impl ExitCode {
    /// The meaning of a number, if it is one of these.
    pub fn from_code(code: i32) -> Option<Self> {
        let all = [Self::Success, Self::TasksFailed, Self::BadInput, Self::Stopped, Self::FarmFailed];
        all.into_iter().find(|exit| exit.code() == code)
    }

    /// The number.
    pub fn code(self) -> i32 {
        self as i32
    }
}
