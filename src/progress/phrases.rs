//! Parts of sentences that depend on numbers: what starts, and what happens to tasks.
//!
//! Owns their words. When they are printed is decided in [`super::Reporter`].

use std::path::Path;

use crate::demand::Demand;
use crate::farmer::{Farmer, Status, TaskTable, WorkerState};
use crate::figures::words;
use crate::protocol::{SlotCount, WorkerConfig};
use crate::shown;
use crate::task::Rank;

/// What runs the tasks in a farm of this many ranks; empty for a single one.
pub(super) fn who(start: &WorkerConfig, farmer_only: bool, ranks: u32) -> String {
    let slots = match (start.slots, &start.kinds[..]) {
        (SlotCount::Cpus, [demand]) if !demand.is_none() => format!("a slot per {demand}"),
        (SlotCount::Cpus, [_]) => "a slot per CPU".to_owned(),
        (SlotCount::Cpus, _) => "room for tasks that differ".to_owned(),
        (SlotCount::CpusUpTo(slots), _) => format!("a slot per CPU (up to {slots})"),
        (SlotCount::Fixed(slots), _) => format!("{} each", words::counted(slots.into(), "slot")),
    };
    match (ranks, farmer_only) {
        (0 | 1, _) => String::new(),
        (_, false) => format!("{ranks} ranks with {slots}"),
        (_, true) => format!("rank 0, and {} with {slots}", words::counted(u64::from(ranks) - 1, "rank")),
    }
}

/// What tasks ask for, if it is the same for all, in the first line of a run on a single rank.
pub(super) fn each(kinds: &[Demand]) -> String {
    match kinds {
        [demand] if demand.is_none() => String::new(),
        [demand] => format!(" with {demand} each"),
        kinds => {
            let mut different: Vec<Demand> = Vec::new();
            for demand in kinds {
                if !different.contains(demand) {
                    different.push(*demand);
                }
            }
            match different.len() {
                1 => each(&different),
                count => format!(" at most, for {count} different demands"),
            }
        }
    }
}

/// The first line of a run: how much there is to do, what does it, and where the results go. `slots`: those of a single
/// rank.
pub(super) fn announcement(tasks: &TaskTable, who: &str, slots: u32, each: &str, workdir: &Path) -> String {
    let total = words::counted(tasks.total().into(), "task");
    let work = match tasks.finished() + tasks.failed() {
        0 => total,
        done => {
            let [left, done] = [tasks.remaining(), done].map(|count| words::count(count.into()));
            format!("{total}, {left} left to run ({done} recorded by earlier runs)")
        }
    };
    let who = if who.is_empty() { format!("{}{each}", words::counted(slots.into(), "slot")) } else { who.to_owned() };
    format!("{work}; {who}; records and logs go to {}", shown::path(workdir))
}

/// Whether there are other ranks to take over the tasks of a lost one.
pub(super) fn goes_on_without(core: &Farmer, lost: Rank) -> bool {
    // With --farmer-only, rank 0 has no slots; how many slots a rank has is not known until it has started.
    let works = |worker: &WorkerState| match worker.status() {
        Status::Active => worker.book.slots() > 0,
        status => status.is_open(),
    };
    let is_other = |(rank, worker): (Rank, &WorkerState)| rank != lost && works(worker);
    core.stop_level().is_none() && core.workers().iter().any(is_other)
}

/// What happens to the tasks of a lost rank.
pub(super) fn fate(tasks: u32, others: bool) -> String {
    match (tasks, others) {
        (0, _) => String::new(),
        (1, true) => "; its task goes to another rank".to_owned(),
        (_, true) => format!("; its {tasks} tasks go to other ranks"),
        (1, false) => "; its task stays open".to_owned(),
        (_, false) => format!("; its {tasks} tasks stay open"),
    }
}

/// What can be done next, and the commands for it, each on a line of its own so that it can be pasted.
pub(super) fn next_steps(steps: &[(&str, String)]) -> String {
    let what: Vec<&str> = steps.iter().map(|(what, _)| *what).collect();
    let what = match &what[..] {
        [all @ .., last] if !all.is_empty() => format!("to {}, or to {last}", all.join(", to ")),
        one => format!("to {}", one.concat()),
    };
    steps.iter().fold(format!("{what}:"), |text, (_, command)| text + "\n  " + command)
}

/// Joins each line with the indented lines below it into one message of several lines.
pub(super) fn paragraphs(lines: &[String]) -> Vec<String> {
    let mut paragraphs: Vec<String> = Vec::new();
    for line in lines {
        match paragraphs.last_mut().filter(|_| line.starts_with("  ")) {
            Some(paragraph) => *paragraph += &format!("\n{line}"),
            None => paragraphs.push(line.clone()),
        }
    }
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::watch::tests as watch;
    use crate::protocol::ToFarmer;

    /// Commands to paste are on lines of their own; what is indented belongs to the line above.
    #[test]
    fn commands_have_lines_of_their_own() {
        let steps = [("list", "a b".to_owned()), ("print", "c".to_owned()), ("run", "d".to_owned())];
        assert_eq!(next_steps(&steps), "to list, to print, or to run:\n  a b\n  c\n  d");
        assert_eq!(next_steps(&steps[..2]), "to list, or to print:\n  a b\n  c");
        assert_eq!(next_steps(&steps[..1]), "to list:\n  a b");
        let lines = ["one", "failures:", "  a", "  b", "two"].map(str::to_owned);
        assert_eq!(paragraphs(&lines), ["one", "failures:\n  a\n  b", "two"]);
    }

    /// Promise: what is said about the tasks of a lost rank is true. On a single rank, and when the last one is lost,
    /// there are no others that could take them over.
    #[test]
    fn tasks_of_a_lost_rank_go_where_somebody_is() {
        let texts = |others| [9, 1, 0].map(|tasks| fate(tasks, others));
        assert_eq!(texts(true), ["; its 9 tasks go to other ranks", "; its task goes to another rank", ""]);
        assert_eq!(texts(false), ["; its 9 tasks stay open", "; its task stays open", ""]);
        let lost = || ToFarmer::PoolLost { reason: "x".to_owned(), executing: Vec::new(), can_restart: false };
        let mut single = watch::farm(1, 9);
        watch::say(&mut single, 0, lost());
        assert!(!goes_on_without(&single, Rank(0)));
        let mut pair = watch::farm(2, 9);
        watch::say(&mut pair, 1, lost());
        assert!(goes_on_without(&pair, Rank(1)));
        watch::say(&mut pair, 0, lost());
        assert!(!goes_on_without(&pair, Rank(0)) && !goes_on_without(&pair, Rank(1)));
    }
}
