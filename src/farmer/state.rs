//! Whether a worker takes part, and what is known of it only while it does.
//!
//! Owns these states. [`super::losses`] and [`super::messages`] decide when one follows another.

use std::time::Duration;

/// Whether a worker takes part, in a word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Was sent Start and has not said Hello. Also after its pool died and was restarted.
    Expected,
    /// Takes tasks, unless it has no slots.
    Active,
    /// Has reported that its last task is gone.
    Stopped,
    /// Silent for too long, or its link failed. It may come back.
    Lost,
    /// Its pool died and is not restarted, or it cannot run this farm's tasks. It does not come back.
    Gone,
}

impl Status {
    /// Expected or active: the farm's end waits for it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Expected | Self::Active)
    }

    /// Given up: its tasks are with others, or will be.
    pub fn is_lost(self) -> bool {
        matches!(self, Self::Lost | Self::Gone)
    }
}

/// [`Status`], with what is known of the worker only then.
#[derive(Clone, Debug)]
pub(super) enum State {
    Expected {
        /// Its pool died: it was sent Start a second time.
        again: bool,
    },
    Active(Active),
    Stopped,
    Lost {
        /// It was given up before it had answered a second Start.
        awaits_start: bool,
    },
    Gone,
}

impl State {
    pub(super) fn status(&self) -> Status {
        match self {
            Self::Expected { .. } => Status::Expected,
            Self::Active(_) => Status::Active,
            Self::Stopped => Status::Stopped,
            Self::Lost { .. } => Status::Lost,
            Self::Gone => Status::Gone,
        }
    }

    pub(super) fn active(&self) -> Option<&Active> {
        match self {
            Self::Active(active) => Some(active),
            _ => None,
        }
    }

    pub(super) fn active_mut(&mut self) -> Option<&mut Active> {
        match self {
            Self::Active(active) => Some(active),
            _ => None,
        }
    }

    /// The worker has said Hello.
    pub(super) fn join(&mut self) {
        if self.active().is_none() {
            *self = Self::Active(Active::default());
        }
    }

    /// The worker is given up, for good or until it responds.
    pub(super) fn lose(&mut self, for_good: bool) {
        *self = match self {
            _ if for_good => Self::Gone,
            Self::Expected { again } => Self::Lost { awaits_start: *again },
            _ => Self::Lost { awaits_start: false },
        };
    }
}

/// A worker that takes part.
#[derive(Clone, Default, Debug)]
pub(super) struct Active {
    /// It takes no task before this time.
    pub(super) paused_until: Option<Duration>,
    /// It came back, and has not reported yet what it still holds: the number of the question.
    pub(super) rejoining: Option<u32>,
    pub(super) queue: Queue,
}

/// What is known of the tasks that wait there for a slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Queue {
    /// They are those that were handed to it beyond its slots.
    #[default]
    Known,
    /// It was asked to give some back and has not answered yet.
    Asked {
        /// Tasks were handed to it since.
        handed_since: bool,
    },
    /// It reported that it has none, whatever was handed to it. It is not asked again before it gets more.
    Empty,
}

impl Queue {
    /// It is asked to give tasks back.
    pub(super) fn ask(&mut self) {
        *self = Self::Asked { handed_since: false };
    }

    /// Tasks are handed to it.
    pub(super) fn hand(&mut self) {
        *self = match self {
            Self::Known | Self::Empty => Self::Known,
            Self::Asked { .. } => Self::Asked { handed_since: true },
        };
    }

    /// It answers, with tasks or without.
    pub(super) fn answer(&mut self, with_tasks: bool) {
        let Self::Asked { handed_since } = *self else { return };
        *self = if with_tasks || handed_since { Self::Known } else { Self::Empty };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A worker that has nothing to give back is not asked again until it gets tasks, and tasks that were on their way
    /// while it answered count.
    #[test]
    fn an_empty_queue_stays_empty_until_tasks_are_handed() {
        let mut queue = Queue::default();
        queue.answer(false);
        assert_eq!(queue, Queue::Known, "nobody had asked");
        queue.ask();
        queue.answer(false);
        assert_eq!(queue, Queue::Empty);
        queue.hand();
        assert_eq!(queue, Queue::Known);
        queue.ask();
        queue.hand();
        queue.answer(false);
        assert_eq!(queue, Queue::Known, "they may have crossed");
        queue.ask();
        queue.answer(true);
        assert_eq!(queue, Queue::Known);
    }

    /// A rank that was given up before it had answered a second Start may not have received it.
    #[test]
    fn a_lost_start_is_remembered() {
        for again in [false, true] {
            let mut state = State::Expected { again };
            state.lose(false);
            assert!(matches!(state, State::Lost { awaits_start } if awaits_start == again));
        }
        let mut state = State::Expected { again: true };
        state.join();
        state.lose(false);
        assert!(matches!(state, State::Lost { awaits_start: false }));
        state.lose(true);
        assert_eq!((state.status(), state.status().is_lost()), (Status::Gone, true));
    }

    /// Of a rank that is given up, nothing is expected; it is lost, and no other is.
    #[test]
    fn a_rank_is_open_or_lost_or_has_stopped() {
        let all = [Status::Expected, Status::Active, Status::Stopped, Status::Lost, Status::Gone];
        assert_eq!(all.map(Status::is_open), [true, true, false, false, false]);
        assert_eq!(all.map(Status::is_lost), [false, false, false, true, true]);
    }

    /// A second Hello changes nothing.
    #[test]
    fn what_is_known_of_a_worker_survives_a_second_hello() {
        let mut state = State::Expected { again: false };
        state.join();
        state.active_mut().unwrap().rejoining = Some(7);
        state.join();
        assert_eq!(state.active().unwrap().rejoining, Some(7));
    }
}
