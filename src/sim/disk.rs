//! `finished` and `failed` on a disk that fills up, is slow, fails, and loses what was not synced.
//!
//! Owns the bytes of both files, and how much of them is durable; and `tasks.tsv`, for what a restart reads from it.
//! Records have the format of the workdir, and a restart reads them back by the workdir's own rules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use super::network::{Countdown, step};
use super::prng::Prng;
use crate::driver::turn::Storage;
use crate::farmer::{Record, TaskTable};
use crate::task::{TaskId, Verdict};
use crate::tasklist::TaskList;
use crate::workdir::attempts::{HEADER, push_line};
use crate::workdir::{Commands, count_crashes, read_records};

/// One file.
#[derive(Clone, Default, Debug)]
pub(crate) struct File {
    /// As seen by a reader on the same node.
    pub bytes: Vec<u8>,
    /// This much of it survives a power failure.
    pub durable: usize,
    failed: bool,
}

/// Both files, and the faults of the disk.
#[derive(Default, Debug)]
pub(crate) struct Disk {
    /// `finished` and `failed`.
    pub files: [File; 2],
    /// `tasks.tsv`, which is always written: its purpose allows losing it.
    pub attempts: Vec<u8>,
    /// It accepts nothing more, or half a write.
    pub full: bool,
    /// The next sync fails.
    pub sync_fails: bool,
    /// How long the next write takes.
    pub slow: Duration,
    /// There was an error in this run.
    pub erred: bool,
    prng: Prng,
}

impl Disk {
    /// An empty disk.
    pub(crate) fn new(prng: Prng) -> Self {
        Self { prng, attempts: HEADER.to_vec(), ..Self::default() }
    }

    /// A farm opens its workdir: tails that a crash has torn are cut off, and the rest is read.
    ///
    /// # Errors
    /// With the message of the scan, if it finds damage.
    pub(crate) fn open(&mut self, list: &TaskList) -> Result<TaskTable, String> {
        (self.full, self.sync_fails, self.erred, self.slow) = (false, false, false, Duration::ZERO);
        let mut table = TaskTable::new(list.len());
        for (file, verdict) in self.files.iter_mut().zip([Verdict::Finished, Verdict::Failed]) {
            let torn = read_records(
                file.bytes.as_slice(),
                Path::new("simulated"),
                list,
                verdict,
                Commands::AsRecorded,
                &mut table,
            )
            .map_err(|error| error.to_string())?;
            if let Some(torn) = torn {
                file.bytes.truncate(usize::try_from(torn.valid_len).expect("a length"));
            }
            file.failed = false;
            file.durable = file.bytes.len();
        }
        for (id, crashes) in self.crashes(list) {
            if table.unrecorded().any(|open| open == id) {
                table.set_crashes(id, crashes);
            }
        }
        Ok(table)
    }

    /// How many times tasks crashed, according to the workdir's own reader.
    pub(crate) fn crashes(&self, list: &TaskList) -> BTreeMap<TaskId, u16> {
        count_crashes(Cursor::new(&self.attempts), list).expect("a sound file")
    }

    /// Makes everything that was written durable; `false` if the disk reports a failure.
    pub(crate) fn sync(&mut self) -> bool {
        if std::mem::take(&mut self.sync_fails) {
            self.erred = true;
            return false;
        }
        for file in &mut self.files {
            file.durable = file.bytes.len();
        }
        true
    }

    /// The node loses power: any prefix of what was not synced may have reached the disk.
    pub(crate) fn lose_power(&mut self) {
        for file in &mut self.files {
            let pending = (file.bytes.len() - file.durable.min(file.bytes.len())) as u64;
            let kept = usize::try_from(self.prng.range(0..=pending)).expect("a length");
            file.bytes.truncate(file.durable + kept);
        }
    }

    fn append(&mut self, file: usize, bytes: &[u8], countdown: &Countdown) -> Result<(), ()> {
        let part = usize::try_from(self.prng.range(0..=bytes.len() as u64)).expect("a length");
        let torn = !step(countdown);
        let can_mend = self.prng.chance(900);
        let (full, file) = (self.full, &mut self.files[file]);
        if torn {
            // Killed in the middle of the write. Nothing happens after the death itself.
            if !file.failed {
                file.bytes.extend_from_slice(&bytes[..part]);
                file.failed = true;
            }
            return Ok(());
        }
        if !full && !file.failed {
            file.bytes.extend_from_slice(bytes);
            return Ok(());
        }
        self.erred = true;
        if !file.failed {
            file.failed = true;
            if !can_mend {
                file.bytes.extend_from_slice(&bytes[..part.min(bytes.len() - 1)]);
            }
        }
        Err(())
    }
}

/// The farmer's access to the disk; does the same as the real journal, in the same order.
#[derive(Default, Debug)]
pub(crate) struct Recorder {
    /// The disk.
    pub disk: Rc<RefCell<Disk>>,
    /// What was written to the files since the last call.
    pub written: Vec<Record>,
    /// Every attempt that has ended since the last call.
    pub attempts: Vec<Record>,
    /// Kills the farmer.
    pub countdown: Countdown,
}

impl Storage for Recorder {
    fn record(&mut self, records: &[Record], list: &TaskList) -> Result<(), (Vec<TaskId>, String)> {
        if records.is_empty() || self.countdown.get() == Some(0) {
            return Ok(());
        }
        self.attempts.extend(records.iter().cloned());
        let mut disk = self.disk.borrow_mut();
        for record in records {
            push_line(&mut disk.attempts, record, b"node", list.command(record.result.id));
        }
        let error = |from: usize| {
            let unwritten = |record: &&Record| file_of(record).is_some_and(|file| file >= from);
            let lost = records.iter().filter(unwritten).map(|record| record.result.id);
            (lost.collect(), "the simulated disk failed".to_owned())
        };
        for file in [0, 1] {
            if self.countdown.get() == Some(0) {
                return Ok(()); // Dead: there is no farmer to return to.
            }
            let mut text = Vec::new();
            for record in records.iter().filter(|record| file_of(record) == Some(file)) {
                text.extend_from_slice(format!("{} ", record.result.id).as_bytes());
                text.extend_from_slice(list.command(record.result.id));
                text.push(b'\n');
            }
            if !text.is_empty() {
                disk.append(file, &text, &self.countdown).map_err(|()| error(file))?;
            }
            if self.countdown.get() != Some(0) {
                self.written.extend(records.iter().filter(|record| file_of(record) == Some(file)).cloned());
            }
        }
        Ok(())
    }
}

fn file_of(record: &Record) -> Option<usize> {
    Some(usize::from(record.verdict()? == Verdict::Failed))
}
