//! What happens to ranks, in words.

use log::Level;

use super::phrases::{fate, goes_on_without};
use crate::farmer::{End, Farmer, Note, Status};
use crate::figures::tally::{self, Tally};
use crate::figures::words;
use crate::task::Rank;

/// Logs a note about a rank.
pub(super) fn log(note: &Note, core: &Farmer) {
    let name = |rank: &Rank| match core.workers().get(*rank) {
        Some(worker) if !worker.host.is_empty() => format!("rank {rank} ({})", worker.host),
        _ => format!("rank {rank}"),
    };
    match note {
        Note::Lost { rank, reason, tasks } => {
            log::warn!("{} is lost: {reason}{}", name(rank), fate(*tasks, goes_on_without(core, *rank)));
        }
        Note::PoolDied { rank, reason, tasks } => {
            let again = match tasks {
                0 => String::new(),
                1 => "; its task will run again".to_owned(),
                _ => format!("; its {tasks} tasks will run again"),
            };
            log::warn!("{}: {reason}; restarting it{again}", name(rank));
        }
        Note::Suspected { rank, ids } => {
            let (tasks, were) = if ids.len() == 1 { ("task", "was") } else { ("tasks", "were") };
            let ids = words::ids(ids.iter().map(|id| id.0));
            log::warn!(
                "{tasks} {ids} {were} running on {} at that time and will run again last, apart from other tasks",
                name(rank)
            );
        }
        Note::Crashed { id, rank, crashes } => log::warn!(
            "task {id} is recorded as failed: its pool or rank was lost {crashes} {} while it ran, the last time alone on {}",
            words::plural(u64::from(*crashes), "time"),
            name(rank)
        ),
        Note::CameBack(rank) => log::warn!("{} responds again", name(rank)),
        Note::Paused(rank) => {
            log::warn!("{} cannot start tasks or keep their output; it gets no tasks for a while", name(rank))
        }
        Note::Watched(rank) => {
            log::info!(
                "tasks fail immediately on {}; it waits until it is clear whether they fail elsewhere, too",
                name(rank)
            );
        }
        Note::SetAside { rank, tasks, time } => log::warn!(
            "{} is set aside for {} s: {tasks} tasks in a row failed there immediately, while others succeed elsewhere\n  \
             those tasks run again on other ranks; check the node: file systems, /tmp, containers",
            name(rank),
            time.as_secs()
        ),
        Note::Trusted(rank) => log::info!("{} gets tasks again", name(rank)),
        Note::Odd(rank, what) => log::debug!("rank {rank}: {what}"),
        Note::Log { rank, level, text } => {
            let level = Level::iter().nth(usize::from(level.saturating_sub(1))).unwrap_or(Level::Trace);
            log::log!(level, "{}: {text}", name(rank));
        }
        // They are about the farm.
        Note::Joined(_) | Note::Stopping(..) => {}
    }
}

/// What went wrong in a run besides tasks that failed by themselves: crashes, results that came twice, lost ranks.
pub(super) fn troubles(core: &Farmer, end: &End, tally: &Tally) -> Vec<String> {
    let crashed = tally.failures.iter().filter(|failure| failure.end == tally::End::Crashed);
    let crashed: Vec<u32> = crashed.map(|failure| failure.id).collect();
    let mut troubles = Vec::new();
    if !crashed.is_empty() {
        let tasks = words::plural(crashed.len() as u64, "task");
        let ids = words::ids(crashed.into_iter());
        troubles.push(format!("{tasks} {ids} crashed: each time, the pool or node went down"));
    }
    if end.stale_results > 0 {
        let count = end.stale_results;
        troubles.push(format!("{count} results came a second time, after a rank was lost; the first ones count"));
    }
    if !end.lost.is_empty() {
        let ranks: Vec<_> = end.lost.iter().map(ToString::to_string).collect();
        let gone = core.workers().count(Status::Lost) + core.workers().count(Status::Gone);
        troubles.push(format!("lost in this run: rank {} ({gone} not back)", ranks.join(", ")));
    }
    troubles
}
