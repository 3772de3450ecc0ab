//! What each task of a list does when it runs.
//!
//! Owns the list and the behavior of its tasks. A task behaves the same whenever and wherever it runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::options::{Lengths, Options};
use super::prng::Prng;
use crate::demand::classes::Demands;
use crate::demand::list::{Asks, ListAsks};
use crate::task::{Outcome, TaskId};
use crate::tasklist::TaskList;

/// The effect of SIGTERM on a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum OnTerm {
    /// It dies.
    Dies,
    /// None.
    Deaf,
    /// It saves its state for this long, and exits with 0.
    Saves(Duration),
}

/// The behavior of a task.
#[derive(Clone, Debug)]
pub(crate) struct Behaviour {
    /// How long it runs.
    pub length: Duration,
    /// How it ends if nothing interferes.
    pub outcome: Outcome,
    /// The effect of SIGTERM.
    pub on_term: OnTerm,
    /// It succeeds from this attempt on.
    pub mends_at: Option<u16>,
    /// It starts a process that lives this much longer, and how that one reacts to SIGTERM.
    pub leaves: Option<(Duration, OnTerm)>,
}

/// What a task does to its pool at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Poison {
    /// It kills the pool.
    Kills,
    /// It stops the pool (SIGSTOP).
    Stops,
    #[cfg_attr(not(test), expect(dead_code, reason = "only scenarios have it"))]
    /// It takes down the whole node.
    KillsNode,
}

/// A list and the behavior of its tasks.
#[derive(Default, Debug)]
pub(crate) struct Plan {
    /// The list.
    pub list: Arc<TaskList>,
    /// The behavior of each task.
    pub behaviours: Vec<Behaviour>,
    /// What tasks do to their pools.
    pub poison: BTreeMap<TaskId, Poison>,
    /// What each task asks for.
    pub demands: Demands,
}

impl Plan {
    /// Draws a list.
    pub(crate) fn new(options: &Options) -> Self {
        let mut prng = Prng::new(options.seed ^ 0x7461_736b);
        let commands: Vec<Vec<u8>> = (0..options.tasks).map(|id| command(id, &mut prng)).collect();
        let behaviours = (0..options.tasks).map(|_| Behaviour::draw(options, &mut prng)).collect();
        // A separate generator, so that the values of the others do not change.
        let mut prng = Prng::new(options.seed ^ 0x706f_6973_6f6e);
        let poisoned = (0..options.tasks).map(TaskId).filter(|_| prng.chance(options.poison)).collect::<Vec<_>>();
        let draw = |id| (id, prng.pick(&[Poison::Kills, Poison::Kills, Poison::Stops]));
        let poison = poisoned.into_iter().map(draw).collect();
        let list = Arc::new(TaskList::from_commands(commands.iter().map(Vec::as_slice)));
        Self { list, behaviours, poison, demands: draw_demands(options) }
    }

    /// The behavior of a task.
    pub(crate) fn of(&self, id: TaskId) -> &Behaviour {
        &self.behaviours[id.0 as usize]
    }

    /// How long all tasks take, one after the other.
    pub(crate) fn total(&self) -> Duration {
        self.behaviours.iter().map(|behaviour| behaviour.length).sum()
    }

    /// How long the longest takes.
    pub(crate) fn longest(&self) -> Duration {
        self.behaviours.iter().map(|behaviour| behaviour.length).max().unwrap_or_default()
    }
}

fn draw_demands(options: &Options) -> Demands {
    let mut prng = Prng::new(options.seed ^ 0x0064_656d_616e_6473);
    let mut asks = ListAsks::default();
    for task in (1..=options.tasks as usize).filter(|_| !options.asks.is_empty()) {
        asks.extend(task, prng.pick(&options.asks)).expect("a few kinds");
    }
    Demands::new(Asks::default(), asks, options.tasks)
}

/// Commands that look like records, and some with unusual bytes.
fn command(id: u32, prng: &mut Prng) -> Vec<u8> {
    match prng.range(0..=9) {
        0 => Vec::new(),
        1 => format!("{} task", prng.range(0..=99)).into_bytes(),
        2 => vec![0xff, b' ', 0xfe],
        _ => format!("task {id}").into_bytes(),
    }
}

/// A random length with a mean of `mean_us`.
pub fn draw_length(lengths: Lengths, mean_us: u64, prng: &mut Prng) -> Duration {
    let mean = mean_us as f64;
    let us = match lengths {
        Lengths::Constant => mean,
        Lengths::Uniform => 2.0 * mean * prng.unit(),
        Lengths::Exponential => -mean * (1.0 - prng.unit()).ln(),
        Lengths::Bimodal => mean / 1.99 * if prng.chance(10) { 100.0 } else { 1.0 },
        Lengths::Pareto => {
            // The mean of a Pareto distribution that is cut at `CUT` times its least value.
            const ALPHA: f64 = 1.1;
            const CUT: f64 = 1_000.0;
            let tail = CUT.powf(-ALPHA);
            let unit_mean = ALPHA / (ALPHA - 1.0) * (1.0 - CUT.powf(1.0 - ALPHA)) / (1.0 - tail);
            mean / unit_mean * (1.0 - prng.unit() * (1.0 - tail)).powf(-1.0 / ALPHA)
        }
    };
    Duration::from_micros(us as u64)
}

impl OnTerm {
    fn draw(options: &Options, prng: &mut Prng) -> Self {
        match prng.chance(options.deaf) {
            false => Self::Dies,
            true if prng.chance(500) => Self::Deaf,
            true => Self::Saves(prng.duration(1_000..=20_000_000)),
        }
    }
}

impl Behaviour {
    fn draw(options: &Options, prng: &mut Prng) -> Self {
        let outcome = if prng.chance(options.failing) {
            match prng.range(0..=5) {
                0 => Outcome::Signaled(prng.pick(&[2, 9, 10, 15])),
                1 => Outcome::Exited(prng.pick(&[130, 137, 143])),
                2 => Outcome::Signaled(11),
                3 => Outcome::NotStarted("no such program".to_owned()),
                _ => Outcome::Exited(prng.pick(&[1, 2, 126, 127, 255])),
            }
        } else {
            Outcome::Exited(0)
        };
        let on_term = OnTerm::draw(options, prng);
        let length = draw_length(options.lengths, options.mean_us, prng);
        let mends_at = prng.chance(options.flaky).then(|| u16::try_from(prng.range(2..=4)).expect("small"));
        // A farm without such tasks draws the same values as before.
        let leaves = (options.leaving > 0 && prng.chance(options.leaving))
            .then(|| (prng.duration(1_000..=30_000_000), OnTerm::draw(options, prng)));
        Self { length, outcome, on_term, mends_at, leaves }
    }

    /// How this attempt ends if nothing interferes.
    pub(crate) fn outcome_of(&self, attempt: u16) -> Outcome {
        if self.mends_at.is_some_and(|at| attempt >= at) { Outcome::Exited(0) } else { self.outcome.clone() }
    }
}
