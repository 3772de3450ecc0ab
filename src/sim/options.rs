//! The properties of a simulated farm, and what goes wrong in it: all drawn from one seed.
//!
//! Swarm testing: each seed leaves out most kinds of faults and has many of the others, so that rare combinations
//! occur.

use std::time::Duration;

use super::prng::Prng;
use crate::demand::Capacity;
use crate::demand::list::{Asks, Counts, RESOURCES_MAX};
use crate::farmer::{Halt, HaltAt, HaltWhen, Rules, TaskLimit};

/// How long tasks take.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Lengths {
    /// All the same.
    #[default]
    Constant,
    /// From nothing to twice the mean.
    Uniform,
    /// Many short, few long.
    Exponential,
    /// One in a hundred takes a hundred times as long.
    Bimodal,
    /// Pareto with exponent 1.1, cut at 1,000 times the shortest.
    Pareto,
}

impl Lengths {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Constant, Self::Uniform, Self::Exponential, Self::Bimodal, Self::Pareto];
}

/// What goes wrong in a farm.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Fault {
    /// A link delivers nothing for a while.
    StallLink,
    /// The MPI process of a rank hangs, as under SIGSTOP.
    HangRelay,
    /// A pool process hangs.
    HangPool,
    /// Both.
    HangNode,
    /// A node dies and never comes back.
    KillNode,
    /// A pool process dies; its MPI process reports it.
    KillPool,
    /// MPI reports a broken link.
    BreakLink,
    /// Bytes that are not a message.
    Garbage,
    /// A node starts no process for a while.
    RefuseSpawn,
    /// The farmer hangs.
    HangFarmer,
    /// The farmer is killed between two steps.
    CrashFarmer,
    /// Its node loses power: what was not synced is lost or torn.
    PowerLoss,
    /// The disk accepts nothing more, or only a part of a write.
    DiskFull,
    /// A write takes long.
    DiskSlow,
    /// A sync fails.
    SyncFails,
    /// A rank is sent a signal, or all are.
    Signal,
    /// Every task that a node starts fails immediately.
    BlackHole,
    /// The output of a node's tasks cannot be written.
    LogsFull,
}

impl Fault {
    /// All of them.
    pub(crate) const ALL: [Self; 18] = [
        Self::StallLink,
        Self::HangRelay,
        Self::HangPool,
        Self::HangNode,
        Self::KillNode,
        Self::KillPool,
        Self::BreakLink,
        Self::Garbage,
        Self::RefuseSpawn,
        Self::HangFarmer,
        Self::CrashFarmer,
        Self::PowerLoss,
        Self::DiskFull,
        Self::DiskSlow,
        Self::SyncFails,
        Self::Signal,
        Self::BlackHole,
        Self::LogsFull,
    ];
}

/// A simulated farm.
#[derive(Clone, Default, Debug)]
pub(crate) struct Options {
    /// The seed of all random choices.
    pub seed: u64,
    /// Ranks, rank 0 included.
    pub ranks: u32,
    /// Fewest and most slots of a rank.
    pub slots: (u32, u32),
    /// Rank 0 runs no tasks.
    pub farmer_only: bool,
    /// Tasks in the list.
    pub tasks: u32,
    /// How long they take.
    pub lengths: Lengths,
    /// Their mean length, in microseconds.
    pub mean_us: u64,
    /// How many of 1,000 tasks exit with a code other than 0, die by a signal, or cannot be started.
    pub failing: u32,
    /// How many of 1,000 tasks ignore SIGTERM, or take their time.
    pub deaf: u32,
    /// How many of 1,000 tasks leave a process behind when they end.
    pub leaving: u32,
    /// Least and greatest delay of a message over MPI, in microseconds.
    pub delay_us: (u64, u64),
    /// Time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// What to do when tasks fail.
    pub rules: Rules,
    /// How many of 1,000 failing tasks do so only in their first attempts.
    pub flaky: u32,
    /// How many of 1,000 tasks take down their pool.
    pub poison: u32,
    /// All output of a rank goes into one file.
    pub packed: bool,
    /// What tasks ask for, each as likely as the others; empty: for nothing.
    pub asks: Vec<Asks>,
    /// What ranks have besides CPUs, of which they have as many as slots.
    pub beside: Capacity,
    /// How much there is of what the farm shares out.
    pub totals: Counts,
    /// The farm's time limit, if any.
    pub timeout: Option<Duration>,
    /// How many of 1,000 ranks report that they cannot run tasks, or join late.
    pub unfit: u32,
    /// What goes wrong, and how often on average in a farm.
    pub faults: Vec<(Fault, Duration)>,
    /// How long a run may be disturbed.
    pub faults_for: Duration,
    /// The maximum number of disturbed runs before an undisturbed one.
    pub disturbed_runs: u32,
}

impl Options {
    #[cfg(test)]
    /// A small, quiet farm to build scenarios on.
    pub(crate) fn quiet(seed: u64) -> Self {
        Self {
            seed,
            ranks: 3,
            slots: (2, 2),
            tasks: 20,
            mean_us: 1_000_000,
            delay_us: (50, 1_000),
            grace: Duration::from_secs(10),
            ..Self::default()
        }
    }

    /// Draws a farm.
    pub(crate) fn swarm(seed: u64) -> Self {
        let mut prng = Prng::new(seed);
        let ranks = match prng.range(0..=99) {
            0..=14 => 1,
            15..=69 => prng.range_u32(2..=8),
            70..=95 => prng.range_u32(9..=40),
            _ => prng.range_u32(41..=300),
        };
        let least = prng.range_u32(1..=4);
        let slots = (least, least + prng.range_u32(0..=6));
        let per_slot = prng.pick(&[0, 1, 1, 2, 5, 20]);
        let tasks = (ranks * slots.1 * per_slot).min(800) + prng.range_u32(0..=10);
        let mean_us =
            prng.log_range(500..=100_000_000).min(600_000_000 * u64::from(ranks * slots.0) / u64::from(tasks.max(1)));
        let delay = prng.log_range(20..=50_000);
        let mut faults = Vec::new();
        let most = prng.range_u32(0..=6);
        for _ in 0..most {
            let fault = prng.pick(&Fault::ALL);
            if !faults.iter().any(|(other, _)| *other == fault) {
                faults.push((fault, prng.duration(100_000..=100_000_000)));
            }
        }
        let mut options = Self {
            seed,
            ranks,
            slots,
            poison: 0,
            packed: false,
            asks: Vec::new(),
            beside: Capacity::default(),
            totals: Counts::default(),
            farmer_only: ranks > 1 && prng.chance(150),
            tasks,
            lengths: prng.pick(&Lengths::ALL),
            mean_us,
            failing: prng.pick(&[0, 0, 50, 500]),
            deaf: prng.pick(&[0, 100, 900]),
            delay_us: (prng.range(1..=delay), delay * prng.range(1..=4)),
            grace: prng.pick(&[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(10)]),
            timeout: prng.chance(150).then(|| prng.duration(100_000..=300_000_000)),
            unfit: prng.pick(&[0, 0, 0, 20, 300]),
            faults,
            faults_for: prng.duration(1_000_000..=300_000_000),
            disturbed_runs: prng.range_u32(0..=3),
            // Drawn last, so that the values above do not change.
            rules: draw_rules(mean_us, &mut prng),
            flaky: prng.pick(&[0, 500, 900]),
            leaving: prng.pick(&[0, 0, 100, 900]),
        };
        if prng.chance(250) {
            // Each of them takes down its pool a few times, so not too many.
            options.poison = prng.pick(&[5, 20, 100]).min(20_000 / tasks.max(1));
            options.rules.crash_limit = u16::try_from(prng.pick(&[1_u32, 2, 3, 3, 5])).expect("small");
        }
        options.packed = prng.chance(500);
        if prng.chance(300) {
            draw_asks(&mut options, &mut prng);
        }
        options
    }
}

/// What tasks ask for. Most of it fits on each rank; some fits only on some, or, rarely, on none.
fn draw_asks(options: &mut Options, prng: &mut Prng) {
    options.beside = Capacity { cpus: 0, gpus: prng.pick(&[0, 0, 1, 2, 4]), memory_mib: 1_000 };
    let (least, most) = options.slots;
    options.totals[0] = prng.pick(&[0, 0, 1, 3]);
    for _ in 0..prng.range(2..=4) {
        let cpus = match prng.range(0..=9) {
            0..=3 => 1,
            4..=7 => prng.range_u32(1..=least),
            8 => prng.range_u32(1..=most),
            _ => prng.range_u32(1..=most + 1),
        };
        let whole = options.beside.gpus * 1_000;
        let gpus = prng.pick(&[0, 0, 0, 250, 600, 1_000, 2_000]).min(if prng.chance(990) { whole } else { 2_000 });
        let memory = prng.pick(&[0, 0, 100, 400, 1_000]);
        options.asks.push(Asks {
            cpus: prng.chance(900).then_some(cpus),
            gpus: (gpus > 0).then_some(gpus),
            memory_mib: (memory > 0).then_some(memory),
            priority: prng.chance(200).then(|| prng.pick(&[-1, 1, 2])),
            shared: draw_shared(options.totals[0], prng),
        });
    }
}

fn draw_shared(total: u32, prng: &mut Prng) -> [Option<u32>; RESOURCES_MAX] {
    let mut shared = [None; RESOURCES_MAX];
    shared[0] = (total > 0 && prng.chance(600)).then(|| prng.range_u32(1..=total));
    shared
}

fn draw_rules(mean_us: u64, prng: &mut Prng) -> Rules {
    let retries = u16::try_from(prng.pick(&[0_u32, 0, 1, 3])).expect("small");
    let codes = || [1, 2, 137, 139].into_iter().collect();
    let retry_exit = prng.chance(300).then(codes);
    let task_limit = match prng.range(0..=9) {
        0 => Some(TaskLimit::Fixed(Duration::from_micros(prng.range(mean_us.max(1)..=mean_us * 4)))),
        1 => Some(TaskLimit::Percent(prng.range_u32(110..=500))),
        _ => None,
    };
    let halt = prng.chance(150).then(|| {
        let count = HaltAt::Count(prng.pick(&[1, 2, 5, 30]));
        let at = if prng.chance(500) { count } else { HaltAt::Percent(prng.range_u32(1..=100)) };
        Halt { when: prng.pick(&[HaltWhen::Soon, HaltWhen::Now]), at }
    });
    let task_time = prng.chance(200).then(|| Duration::from_micros(prng.range(0..=mean_us * 2)));
    Rules { retries, retry_exit, task_limit, halt, task_time, ..Rules::default() }
}
