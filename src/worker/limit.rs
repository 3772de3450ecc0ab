//! Tasks that run for too long.
//!
//! Owns the clock of the limit that the farmer has set. The kill ladder is [`super`]'s.

use std::time::Duration;

use super::{Action, Running, Worker};

/// A pool that is this late for the end of a limit was suspended, or delayed by a slow disk.
const AWAY: Duration = Duration::from_secs(5);

impl Running {
    /// Whether the limit applies to it: not to a task that is already ending, nor to what remains of a task that has
    /// ended.
    fn is_timed(&self) -> bool {
        let has_ended = self.is_over || self.terminate_at.is_some() || self.left_behind;
        !self.timed_out && !self.interrupted && !has_ended
    }
}

impl Worker {
    /// When the next task reaches its limit.
    pub(super) fn next_limit(&self) -> Option<Duration> {
        let limit = self.limit?;
        self.slots.iter().flatten().filter(|running| running.is_timed()).map(|running| running.started + limit).min()
    }

    /// Asks tasks that have exceeded their limit to end.
    pub(super) fn check_limit(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let Some((limit, due)) = self.limit.zip(self.next_limit()).filter(|&(_, due)| now >= due) else { return };
        // A pool that was suspended finds its tasks as it left them. That time does not count against them; it is not
        // known when the absence began.
        let away_since = if now - due > AWAY { self.seen } else { now };
        for (slot, running) in (0..).zip(&mut self.slots) {
            let Some(running) = running else { continue };
            running.started += now - away_since.max(running.started);
            if running.is_timed() && now >= running.started + limit {
                running.timed_out = true;
                running.kill_at = Some(now + self.grace);
                actions.push(Action::Terminate(slot));
            }
        }
    }
}
