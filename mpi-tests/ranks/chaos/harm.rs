//! Harm to a farm: what it affects, when, and what it may cause.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::processes::{self, Process};
use crate::support::{Random, Running};

use super::RANKS;

/// The target of SIGKILL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Victim {
    /// The MPI process of a rank; rank 0's is the farmer, any other's a relay.
    Rank(u32),
    Pool(u32),
    Launcher,
    Task,
    AllRanks,
    /// All ranks and their pools.
    Everything,
}

/// The target of a signal that asks the farm to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Told {
    Rank(u32),
    AllRanks,
    /// As batch systems do it.
    RanksAndTasks,
    Launcher,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    Kill(Victim),
    /// The pool of a rank hangs.
    Suspend(u32),
    Stop(Signal, Told),
    Timeout(Duration),
}

/// When it happens: this long after the start, or after this many more tasks have begun and a little later.
#[derive(Clone, Copy, Debug)]
pub(super) enum Moment {
    After(Duration),
    Begun(usize, Duration),
}

/// The result.
#[derive(Clone, Default, Debug)]
pub(super) struct Hit {
    /// Whether it came before the end of the run.
    pub(super) happened: bool,
    /// The task that received SIGKILL.
    pub(super) task: Option<u64>,
}

/// The harm to one run, in the order in which it happens. Harm that does not end the run may be followed by more.
pub(super) fn draw(random: &mut Random, left: usize) -> Vec<(Harm, Moment)> {
    let mut harms: Vec<(Harm, Moment)> = Vec::new();
    loop {
        let harm = Harm::draw(random);
        let is_pool = |harm: &Harm| matches!(harm, Harm::Kill(Victim::Pool(_)));
        // If all pools are gone, the farm gives up; if one is left, it must not.
        if is_pool(&harm) && harms.iter().any(|(earlier, _)| is_pool(earlier)) {
            continue;
        }
        harms.push((harm, Moment::draw(random, left)));
        let ends_the_run = !matches!(harm, Harm::Kill(Victim::Pool(_) | Victim::Task) | Harm::Suspend(_));
        if ends_the_run || random.percent(25) {
            return harms;
        }
    }
}

impl Harm {
    fn draw(random: &mut Random) -> Self {
        let rank = |random: &mut Random| u32::try_from(random.below(u64::from(RANKS))).unwrap();
        // It takes half a minute until the farm notices.
        if random.percent(2) {
            return Self::Suspend(rank(random));
        }
        match random.below(11) {
            0 => Self::Kill(Victim::Rank(0)),
            1 => Self::Kill(Victim::Rank(random.pick(&[1, 2]))),
            2 => Self::Kill(Victim::Pool(rank(random))),
            3 => Self::Kill(Victim::Launcher),
            4 => Self::Kill(Victim::Task),
            5 => Self::Kill(Victim::AllRanks),
            10 => Self::Kill(Victim::Everything),
            6 => Self::Timeout(Duration::from_millis(50 + random.below(1500))),
            kind => {
                let signal = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR1][usize::try_from(kind).unwrap() - 7];
                let told = match random.below(10) {
                    0..4 => Told::Rank(rank(random)),
                    4..6 => Told::AllRanks,
                    6..9 => Told::RanksAndTasks,
                    _ => Told::Launcher,
                };
                Self::Stop(signal, told)
            }
        }
    }

    /// Whether processes that keep files in order may have had no time to do so.
    pub(super) fn is_abrupt(self) -> bool {
        match self {
            Self::Kill(Victim::Pool(_) | Victim::Task) | Self::Suspend(_) | Self::Timeout(_) => false,
            // Launchers follow up with SIGKILL, some immediately.
            Self::Kill(_) | Self::Stop(_, Told::Launcher) => true,
            Self::Stop(..) => false,
        }
    }

    /// Whether the farm may end before all tasks have.
    pub(super) fn is_stop(self) -> bool {
        matches!(self, Self::Stop(..) | Self::Timeout(_))
    }

    /// Whether a task may run twice in one run: only its result was lost with its rank.
    pub(super) fn repeats_tasks(self) -> bool {
        matches!(self, Self::Kill(Victim::Pool(_) | Victim::Rank(_)) | Self::Suspend(_))
    }

    pub(super) fn options(self) -> Vec<String> {
        match self {
            Self::Timeout(time) => vec!["--timeout".to_owned(), format!("{}", time.as_secs_f64())],
            _ => Vec::new(),
        }
    }

    pub(super) fn shown(self, moment: &Moment) -> String {
        match self {
            Self::Timeout(_) => self.to_string(),
            _ => format!("{self}, {moment}"),
        }
    }

    /// Applies it as soon as there is a target.
    pub(super) fn happen(self, random: &mut Random, running: &mut Running<'_>) -> Hit {
        let launcher = running.pid();
        let mark = running.mark().to_owned();
        let (signal, select): (Signal, &dyn Fn() -> Vec<Process>) = match &self {
            // The farm does this by itself.
            Self::Timeout(_) => return Hit::default(),
            Self::Kill(victim) => (Signal::SIGKILL, &|| victim.find(&mark, launcher)),
            Self::Suspend(rank) => (Signal::SIGSTOP, &|| Victim::Pool(*rank).find(&mark, launcher)),
            Self::Stop(signal, told) => (*signal, &|| told.find(&mark, launcher)),
        };
        let there = running.comes_true("the victim is there", || !select().is_empty());
        let mut found = if there { select() } else { Vec::new() };
        if found.is_empty() {
            return Hit::default();
        }
        if matches!(self, Self::Kill(Victim::Task)) {
            let victim = random.below(found.len() as u64);
            found = vec![found.swap_remove(usize::try_from(victim).unwrap())];
        }
        // Which one comes first is arbitrary.
        if random.percent(50) {
            found.reverse();
        }
        for process in &found {
            processes::signal(process.pid, signal);
        }
        let task = found[0].task().filter(|_| matches!(self, Self::Kill(_)));
        Hit { happened: true, task }
    }
}

fn is_task(process: &Process) -> bool {
    process.task().is_some()
}

/// The MPI processes of all ranks, or of one.
fn ranks(mark: &str, rank: Option<u32>) -> Vec<Process> {
    let found = processes::mpi_processes(mark);
    let is_one = |process: &Process| found.contains(&(rank.unwrap_or(process.rank()), process.pid));
    processes::marked(mark).into_iter().filter(is_one).collect()
}

fn the_one(mark: &str, pid: i32) -> Vec<Process> {
    processes::marked(mark).into_iter().filter(|process| process.pid == pid).collect()
}

impl Victim {
    fn find(self, mark: &str, launcher: i32) -> Vec<Process> {
        match self {
            Self::Rank(rank) => ranks(mark, Some(rank)),
            Self::AllRanks => ranks(mark, None),
            Self::Everything => {
                let pools = processes::pools(mark).into_iter().flat_map(|(_, pid)| the_one(mark, pid));
                ranks(mark, None).into_iter().chain(pools).collect()
            }
            Self::Launcher => the_one(mark, launcher),
            Self::Task => processes::marked(mark).into_iter().filter(is_task).collect(),
            Self::Pool(rank) => {
                let pools = processes::pools(mark);
                let found = pools.into_iter().find(|(number, _)| *number == rank);
                found.map_or(Vec::new(), |(_, pid)| the_one(mark, pid))
            }
        }
    }
}

impl Told {
    fn find(self, mark: &str, launcher: i32) -> Vec<Process> {
        match self {
            Self::Rank(rank) => ranks(mark, Some(rank)),
            Self::AllRanks => ranks(mark, None),
            Self::Launcher => the_one(mark, launcher),
            Self::RanksAndTasks => {
                let mut found = ranks(mark, None);
                found.extend(processes::marked(mark).into_iter().filter(is_task));
                found
            }
        }
    }
}

impl Moment {
    fn draw(random: &mut Random, left: usize) -> Self {
        if random.percent(25) {
            return Self::After(Duration::from_millis(random.below(800)));
        }
        // Rather early, so that something is left for the next run, but at the end of the list as well.
        let left = u64::try_from(left).unwrap();
        let bound = if random.percent(20) { left } else { left.div_ceil(2) };
        let begun = usize::try_from(1 + random.below(bound)).unwrap();
        Self::Begun(begun, Duration::from_micros(random.below(8000)))
    }

    /// Waits for it; `false` if the run ended before. `begun` returns how many tasks have begun in this run.
    pub(super) fn comes(self, running: &mut Running<'_>, begun: impl Fn() -> usize) -> bool {
        let (what, later) = match self {
            Self::After(time) => (None, time),
            Self::Begun(count, later) => (Some(count), later),
        };
        if let Some(count) = what
            && !running.comes_true("enough tasks have begun", || begun() >= count)
        {
            return false;
        }
        // The moment is a time, not an event.
        std::thread::sleep(later);
        true
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(Victim::Rank(0)) => write!(f, "SIGKILL to the farmer"),
            Self::Kill(Victim::Rank(rank)) => write!(f, "SIGKILL to the relay of rank {rank}"),
            Self::Kill(Victim::Pool(rank)) => write!(f, "SIGKILL to the pool of rank {rank}"),
            Self::Kill(Victim::Launcher) => write!(f, "SIGKILL to the launcher"),
            Self::Kill(Victim::Task) => write!(f, "SIGKILL to a task"),
            Self::Kill(Victim::AllRanks) => write!(f, "SIGKILL to all ranks"),
            Self::Kill(Victim::Everything) => write!(f, "SIGKILL to all ranks and pools"),
            Self::Suspend(rank) => write!(f, "SIGSTOP to the pool of rank {rank}"),
            Self::Stop(signal, Told::Rank(rank)) => write!(f, "{signal} to rank {rank}"),
            Self::Stop(signal, Told::AllRanks) => write!(f, "{signal} to all ranks"),
            Self::Stop(signal, Told::RanksAndTasks) => write!(f, "{signal} to all ranks and tasks"),
            Self::Stop(signal, Told::Launcher) => write!(f, "{signal} to the launcher"),
            Self::Timeout(time) => write!(f, "timeout of {time:?}"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(time) => write!(f, "{time:?} later"),
            Self::Begun(count, later) => write!(f, "{later:?} after {count} more tasks had begun"),
        }
    }
}
