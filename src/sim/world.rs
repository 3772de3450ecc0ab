//! One run of a simulated farm: virtual time, and everything that happens in it.
//!
//! Owns the queue of events and their delivery. The farmer's step and the pool's step are the real ones; only their
//! environment is simulated.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::checker::Checker;
use super::disk::{Disk, Recorder};
use super::network::{Countdown, Links, Towards};
use super::node::{Node, Pool};
use super::options::{Fault, Options};
use super::plan::Plan;
use super::prng::Prng;
use crate::demand::Capacity;
use crate::driver::turn::Turns;
use crate::farmer::{Event, Farmer, Note, Settings};
use crate::figures::tally::Tally;
use crate::protocol::{SlotCount, ToFarmer, ToWorker, WorkerConfig};
use crate::relay::{self, Action, FARMER_SILENCE_MAX, HEARTBEAT, Relay};
use crate::task::{FARMER, Rank};

/// As in the real driver.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(30);
pub(super) const SYNC_INTERVAL: Duration = Duration::from_millis(900);

/// The interval at which the checker examines the whole farm.
const LOOK: Duration = Duration::from_secs(1);

/// The longest fault: a rank that wakes up from it finds earlier messages, and starts to wait for the farmer again.
pub(super) const FAULT_MAX: Duration = Duration::from_secs(100);

/// More events than this are a livelock, not counting those of the heartbeats.
const EVENTS_MAX: u64 = 5_000_000;

/// Events per second of a rank's heartbeats: one in [`HEARTBEAT`], its delivery, the answer's, and turns of both cores. A
/// task of hours that fails repeatedly on a farm of hundreds of ranks causes more of them than [`EVENTS_MAX`].
const HEARTBEAT_EVENTS_MAX: u64 = 2;

/// What can happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Arrives(Towards),
    FarmerTick,
    FarmerWakes,
    PoolTick(u32),
    RelayTick(u32),
    /// Rank 0's loop is blocked, and its thread sends heartbeats.
    KeepAlive,
    Sync,
    Look,
    Trouble(usize),
    /// A fault at a rank has ended.
    Heals(Fault, u32),
    /// The MPI process of a rank reports that its pool died.
    ReportLoss(u32),
    /// A pool may have been silent for too long.
    PoolSilent(u32),
    /// All faults have ended for good.
    Calm,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RunEnd {
    /// By itself, with this exit code.
    Ended(i32),
    /// The farmer was killed.
    Crashed,
}

/// A run.
#[derive(Default)]
pub(crate) struct World {
    /// The time.
    pub now: Duration,
    /// When this run began; time continues from run to run.
    started: Duration,
    /// Its properties.
    pub options: Options,
    /// All ranks.
    pub nodes: Vec<Node>,
    /// The checker.
    pub checker: Checker,
    /// The real farmer, until it ends or is killed.
    pub farm: Option<Turns<Recorder>>,
    /// The disk of the workdir.
    pub disk: Rc<RefCell<Disk>>,
    /// The links.
    pub links: Links,
    /// What has ended, as reported to the user.
    pub tally: Tally,
    pub(super) plan: Rc<Plan>,
    pub(super) prng: Prng,
    pub(super) countdown: Countdown,
    pub(super) calm: bool,
    pub(super) farmer_hung: Option<(Duration, Duration)>,
    /// The disk delays the farmer: its heartbeats continue.
    pub(super) held_up: bool,
    pub(super) power_lost: bool,
    /// How it has ended.
    pub(super) end: Option<RunEnd>,
    queue: BTreeMap<(Duration, u64), What>,
    count: u64,
    pub(super) wake_at: Option<Duration>,
    pub(super) notes: Vec<Note>,
    trace: bool,
    deadline: Duration,
    pub(super) turns: u64,
}

/// A checker that knows what earlier runs have left, and what is asked of this one.
fn checker_of(now: Duration, options: &Options, plan: &Plan, disk: &Disk) -> Checker {
    let files = [disk.files[0].bytes.as_slice(), &disk.files[1].bytes];
    let delay_max = Duration::from_micros(options.delay_us.1);
    let mut checker = Checker::new(now, &plan.list, files, options.ranks, options.grace, delay_max);
    checker.asked(&options.rules, options.timeout.map(|timeout| now + timeout), options.farmer_only);
    checker.asks(&plan.demands, options.totals, plan.longest());
    disk.crashes(&plan.list).into_keys().for_each(|id| checker.suspected(id.0));
    checker
}

/// No run takes longer than this.
fn longest_of(options: &Options, plan: &Plan) -> Duration {
    // Each crash costs what ran beside it, and a stopped pool is waited for.
    let poisoned = u32::try_from(plan.poison.len()).expect("tasks have 32 bits");
    let crashes = poisoned * u32::from(options.rules.crash_limit.max(3));
    let per_crash = plan.longest() * 4 + Duration::from_secs(60);
    // Tasks that share one thing run one after the other, each until all that it has left is gone.
    let lingering = if options.totals[0] > 0 { Duration::from_secs(20) } else { Duration::ZERO };
    options.faults_for
        + lingering * options.tasks * (1 + u32::from(options.rules.retries))
        + plan.total() * (3 + u32::from(options.rules.retries))
        + per_crash * crashes
        + Duration::from_secs(2_000)
}

impl World {
    /// Starts a farm on the content of the disk.
    ///
    /// # Errors
    /// If the workdir's own rules refuse what an earlier run has left.
    pub(crate) fn start(
        now: Duration,
        options: Options,
        plan: &Rc<Plan>,
        disk: &Rc<RefCell<Disk>>,
        mut prng: Prng,
        trace: bool,
    ) -> Result<Self, String> {
        let table = disk.borrow_mut().open(&plan.list)?;
        let table = table.with_classes(plan.demands.of_tasks.clone(), plan.demands.kinds.len());
        let countdown: Countdown = Rc::new(Cell::new(None));
        let settings = Settings {
            ranks: options.ranks,
            farmer_only: options.farmer_only,
            silence_max: SILENCE_MAX,
            grace: options.grace,
            rules: options.rules.clone(),
            timeout_at: options.timeout.map(|timeout| now + timeout),
            kinds: plan.demands.kinds.clone(),
            totals: options.totals,
        };
        let recorder = Recorder { disk: Rc::clone(disk), countdown: Rc::clone(&countdown), ..Recorder::default() };
        let farm = Turns::new(Farmer::new(now, settings, table), Arc::clone(&plan.list), recorder);
        let links = Links::new(options.delay_us, prng.fork(), Rc::clone(&countdown));
        let checker = checker_of(now, &options, plan, &disk.borrow());
        let mut world = Self {
            now,
            started: now,
            checker,
            farm: Some(farm),
            disk: Rc::clone(disk),
            links,
            plan: Rc::clone(plan),
            prng,
            countdown,
            calm: options.faults.is_empty(),
            trace,
            deadline: now + longest_of(&options, plan),
            options,
            ..Self::default()
        };
        world.set_up();
        Ok(world)
    }

    fn set_up(&mut self) {
        self.trace(|| "a farm starts".to_owned());
        self.links.now = self.now;
        for rank in 0..self.options.ranks {
            let slots = self.prng.range_u32(self.options.slots.0..=self.options.slots.1);
            let unfit = self.prng.chance(self.options.unfit);
            let Capacity { gpus, memory_mib, .. } = self.options.beside;
            let capacity = Capacity { cpus: slots, gpus, memory_mib };
            let mut node = Node::new(self.now, capacity, unfit, Rc::clone(&self.plan));
            node.output.packed = self.options.packed;
            let is_late = self.prng.chance(self.options.unfit);
            if is_late {
                let until = self.now + self.prng.duration(1_000..=60_000_000);
                self.at(until, What::Heals(Fault::HangPool, rank));
            }
            if is_late || unfit {
                self.checker.trouble(rank);
            }
            self.nodes.push(node);
            if is_late {
                self.hang_pool(rank);
            }
            let none = self.options.farmer_only && rank == FARMER.0;
            let slots = if none { SlotCount::Fixed(0) } else { SlotCount::Cpus };
            let mut config = WorkerConfig::plain(Rank(rank), slots, self.options.grace);
            config.kinds = self.plan.demands.of_ranks();
            self.links.starts.push(config.clone());
            self.links.send_to(rank, &ToWorker::Start(Box::new(config)));
            if rank != FARMER.0 {
                // Ranks do not start at the same moment.
                let start = self.now + Duration::from_micros(self.prng.range(0..=5_000_000));
                self.nodes[rank as usize].relay = Relay::new(start);
                self.at(start, What::RelayTick(rank));
            }
        }
        self.at(self.now + SYNC_INTERVAL, What::Sync);
        self.at(self.now + LOOK, What::Look);
        for index in 0..self.options.faults.len() {
            self.plan_trouble(index);
        }
        if !self.calm {
            self.at(self.now + self.options.faults_for, What::Calm);
        }
        self.farmer(Event::Tick);
        self.plan_arrivals();
    }

    pub(super) fn at(&mut self, time: Duration, what: What) {
        self.count += 1;
        self.queue.insert((time.max(self.now), self.count), what);
    }

    /// Prints what happens, if a trace was requested.
    pub(super) fn trace(&self, text: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>14.6} {}", self.now.as_secs_f64(), text());
        }
    }

    /// Runs to the end, and for long enough after it to observe what is left behind.
    ///
    /// # Errors
    /// The promise that was broken, or why it does not end.
    pub(crate) fn run(&mut self) -> Result<RunEnd, String> {
        while self.end.is_none() {
            self.step()?;
        }
        self.run_for(FARMER_SILENCE_MAX + FAULT_MAX + Duration::from_secs(20))?;
        for (rank, node) in (0..).zip(&self.nodes) {
            if !node.pool_hung && !node.relay_hung {
                self.checker.nothing_is_left(rank);
            }
        }
        self.verdict()?;
        Ok(self.end.expect("seen"))
    }

    /// Runs for this long, or to the end of all events.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let until = self.now + time;
        while self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= until) {
            self.step()?;
        }
        self.now = until;
        Ok(())
    }

    fn verdict(&mut self) -> Result<(), String> {
        let broken = self.checker.take_broken();
        broken.map_or(Ok(()), |broken| Err(format!("at {:.6} s: {broken}", self.now.as_secs_f64())))
    }

    fn step(&mut self) -> Result<(), String> {
        let Some(((time, _), what)) = self.queue.pop_first() else {
            return Err(format!("nothing will ever happen again; {}", self.why_not_done()));
        };
        self.now = time;
        self.links.now = time;
        let heartbeats = HEARTBEAT_EVENTS_MAX * u64::from(self.options.ranks) * (self.now - self.started).as_secs();
        if self.end.is_none() && (self.count > EVENTS_MAX + heartbeats || self.now > self.deadline) {
            return Err(format!("it does not end; {}", self.why_not_done()));
        }
        match what {
            What::Arrives(Towards::Farmer(rank)) => self.at_farmer(rank),
            What::Arrives(Towards::Rank(rank)) => self.at_rank(rank),
            What::FarmerTick => self.farmer_tick(),
            What::FarmerWakes => self.farmer_wakes(),
            What::PoolTick(rank) => self.pool_tick(rank),
            What::RelayTick(rank) => self.relay_tick(rank),
            What::KeepAlive => self.keep_alive(),
            What::Sync => self.sync(),
            What::Look => {
                if self.farm.is_some() {
                    self.checker.look(self.now);
                    self.at(self.now + LOOK, What::Look);
                }
            }
            What::Trouble(index) => self.trouble(index),
            What::Heals(fault, rank) => self.heal(fault, rank),
            What::ReportLoss(rank) => self.report_loss(rank),
            What::PoolSilent(rank) => self.pool_silent(rank),
            What::Calm => self.calm_down(),
        }
        self.plan_arrivals();
        self.verdict()
    }

    pub(super) fn plan_arrivals(&mut self) {
        for (time, towards) in std::mem::take(&mut self.links.arrivals) {
            self.at(time, What::Arrives(towards));
        }
    }

    fn relay_tick(&mut self, rank: u32) {
        let now = self.now;
        let node = &mut self.nodes[rank as usize];
        if !node.relay_up {
            return;
        }
        if node.relay_hung {
            // Its clock goes on when it wakes up.
            return self.at(now + HEARTBEAT, What::RelayTick(rank));
        }
        match node.relay.handle(now, relay::Event::Tick) {
            Some(Action::End(_)) => {
                self.trace(|| format!("rank {rank} hears nothing and ends"));
                self.nodes[rank as usize].relay_up = false;
                return self.wipe(rank);
            }
            Some(Action::Heartbeat) => self.links.send_from(rank, &ToFarmer::Heartbeat),
            Some(Action::PassOn) | None => {}
        }
        let next = self.nodes[rank as usize].relay.next_due();
        self.at(next, What::RelayTick(rank));
    }

    fn keep_alive(&mut self) {
        if !self.held_up {
            return;
        }
        for rank in 1..self.options.ranks {
            self.links.send_to(rank, &ToWorker::Heartbeat);
        }
        self.at(self.now + HEARTBEAT, What::KeepAlive);
    }

    /// What each part of the farm is waiting for.
    pub(crate) fn why_not_done(&self) -> String {
        let mut why = Vec::new();
        if let Some(farm) = &self.farm {
            let (tasks, workers) = (farm.core.tasks(), farm.core.workers());
            why.push(format!(
                "{} tasks remain, {} of them pending; stop {:?}; next deadline {:?}; farmer hung {:?}",
                tasks.remaining(),
                tasks.pending(),
                farm.core.stop_level(),
                farm.core.next_deadline(),
                self.farmer_hung
            ));
            for (rank, worker) in workers.iter().filter(|(_, worker)| worker.status().is_open()).take(10) {
                let node = self.nodes[rank.0 as usize].describe();
                why.push(format!(
                    "rank {rank} is {:?} and holds {:?}; there: {node}",
                    worker.status(),
                    worker.book.tasks()
                ));
            }
        }
        why.join("\n  ")
    }

    /// All processes of a rank disappear, including its pool.
    pub(super) fn wipe(&mut self, rank: u32) {
        let node = &mut self.nodes[rank as usize];
        if matches!(node.pool, Pool::Forked | Pool::Up(_)) {
            node.pool = Pool::Dead;
            self.checker.wiped(self.now, rank);
        }
    }
}
