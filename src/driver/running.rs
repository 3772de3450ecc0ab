//! Rank 0's loop while tasks run: events are gathered, and each is a turn of the farmer core.
//!
//! Owns the order in which signals, messages and deadlines are taken in. [`super::farmer`] has prepared everything, and
//! closes the files.

use std::os::fd::AsFd;
use std::time::Duration;

use super::link::{Links, Received};
use super::pace::Pace;
use super::turn::{Storage, Turns};
use crate::farmer::{End, Event, Note, Record};
use crate::figures::tally::Tally;
use crate::progress::Reporter;
use crate::sys::clock::Clock;
use crate::sys::signals::SignalSource;
use crate::task::TaskId;
use crate::tasklist::TaskList;
use crate::workdir::ToprocessWriter;
use crate::workdir::journal::{Journal, JournalError};

/// A failed sync is noticed within this time.
const SYNC_CHECK: Duration = Duration::from_secs(1);

/// What rank 0 records, on disk and for its figures.
pub(super) struct Records {
    pub(super) journal: Journal,
    pub(super) tally: Tally,
}

impl Storage for Records {
    fn record(&mut self, records: &[Record], list: &TaskList) -> Result<(), (Vec<TaskId>, String)> {
        self.journal.append(records, list).map_err(storage_failure)?;
        records.iter().for_each(|record| self.tally.record(record));
        Ok(())
    }
}

/// The tasks that are not recorded, and the message for the user.
pub(super) fn storage_failure(error: JournalError) -> (Vec<TaskId>, String) {
    let text = error.to_string();
    (error.unwritten, text)
}

/// A farm that runs.
pub(super) struct Running {
    pub(super) turns: Turns<Records>,
    pub(super) reporter: Reporter,
    pub(super) toprocess: ToprocessWriter,
    notes: Vec<Note>,
    received: Vec<Received>,
    pace: Pace,
    /// How long after SIGTERM the launcher sends SIGKILL.
    patience: Option<Duration>,
    /// When the files are looked after.
    next_check: Duration,
    /// When running tasks must be killed, because the launcher is about to kill this rank, and the signal that it sent.
    killed_soon: Option<(Duration, u8)>,
}

impl Running {
    pub(super) fn new(
        now: Duration,
        turns: Turns<Records>,
        reporter: Reporter,
        toprocess: ToprocessWriter,
        patience: Option<Duration>,
    ) -> Self {
        Self {
            turns,
            reporter,
            toprocess,
            notes: Vec::new(),
            received: Vec::new(),
            pace: Pace::default(),
            patience,
            next_check: now,
            killed_soon: None,
        }
    }

    /// Runs it until every worker has stopped or is lost.
    pub(super) fn until_its_end(&mut self, links: &mut Links, signals: &SignalSource, clock: Clock) -> End {
        self.turns.turn(clock.now(), Event::Tick, links, &mut self.notes);
        loop {
            self.report(links, clock);
            if let Some(end) = self.turns.core.end() {
                return end;
            }
            self.reporter.look(&self.turns.core, &self.turns.storage.tally, &self.turns.list);
            self.wait(links, signals, clock);
            let is_all = links.pump(&mut self.received);
            let now = clock.now();
            self.take_in(now, links, signals);
            // Messages that wait to be read do not count as silence of their senders.
            if is_all && self.turns.core.next_deadline().is_some_and(|at| now >= at) {
                self.turns.turn(now, Event::Tick, links, &mut self.notes);
            }
            if now >= self.next_check {
                self.next_check = now + SYNC_CHECK;
                self.look_after_files(now, links);
            }
        }
    }

    /// When there is something to do at the latest.
    fn next_due(&self) -> Duration {
        let killed_soon = self.killed_soon.map(|(at, _)| at);
        let due = [Some(self.reporter.next_look()), self.turns.core.next_deadline(), killed_soon];
        due.into_iter().flatten().fold(self.next_check, Duration::min)
    }

    /// Signals first: no task is started once the farm was asked to stop. Then messages.
    fn take_in(&mut self, now: Duration, links: &mut Links, signals: &SignalSource) {
        let Self { turns, notes, .. } = self;
        while let Some(caught) = signals.next_signal() {
            turns.turn(now, Event::Signal(caught.signal), links, notes);
            // For an orderly end, the farm must end before the launcher's SIGKILL, and writing records takes time too.
            if caught.from_parent && i32::from(caught.signal) == libc::SIGTERM {
                let soon = || self.patience.map(|patience| (now + patience / 4, caught.signal));
                self.killed_soon = self.killed_soon.or_else(soon);
            }
        }
        for (rank, message) in self.received.drain(..) {
            let event = match message {
                Ok(message) => Event::Message(rank, message),
                Err(error) => Event::LinkFailed(rank, error),
            };
            turns.turn(now, event, links, notes);
        }
        if let Some((_, signal)) = self.killed_soon.take_if(|(at, _)| now >= *at) {
            turns.turn(now, Event::KilledSoon(signal), links, notes);
        }
    }

    /// Notices a failed sync, and replaces `toprocess` now and then.
    fn look_after_files(&mut self, now: Duration, links: &mut Links) {
        let turns = &mut self.turns;
        if let Err(error) = turns.storage.journal.check_sync() {
            let (unwritten, reason) = storage_failure(error);
            turns.turn(now, Event::StorageFailed { unwritten, reason }, links, &mut self.notes);
        }
        if let Err(error) = self.toprocess.write_if_due(&turns.list, || turns.core.tasks().snapshot()) {
            log::warn!("cannot write toprocess: {error}; finished and failed are what counts");
        }
    }

    /// Reports to the user what happened, and to the timeline which ranks have joined.
    fn report(&mut self, links: &mut Links, clock: Clock) {
        let Self { turns, reporter, notes, .. } = self;
        for note in std::mem::take(notes) {
            reporter.note(&note, &turns.core);
            let journal = &mut turns.storage.journal;
            // A log that cannot be created for lack of space is the workdir's problem, not the node's.
            if let Note::Paused(_) = note {
                journal.probe();
            }
            if let Note::Joined(rank) = note
                && let Some(worker) = turns.core.workers().get(rank)
                && let Err(error) = journal.name_rank(rank.0, &worker.host, worker.book.slots())
            {
                let (unwritten, reason) = storage_failure(error);
                turns.turn(clock.now(), Event::StorageFailed { unwritten, reason }, links, notes);
            }
        }
    }

    fn wait(&mut self, links: &mut Links, signals: &SignalSource, clock: Clock) {
        let now = clock.now();
        if links.take_traffic() {
            self.pace.on_traffic(now);
        }
        let mut timeout = self.next_due().saturating_sub(now);
        // Messages over MPI have to be looked for.
        if links.ranks() > 1 {
            timeout = timeout.min(self.pace.pause(now));
        }
        links.pool.wait(Some(signals.as_fd()), timeout);
    }
}
