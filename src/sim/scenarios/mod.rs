//! Named scenarios: one sentence each, on the same world as the random runs.

mod failures;
mod poison;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::farmer::{Status, WorkerState};
use crate::sim::disk::Disk;
use crate::sim::node::Pool;
use crate::sim::options::{Fault, Options};
use crate::sim::plan::{Behaviour, OnTerm, Plan};
use crate::sim::prng::Prng;
use crate::sim::world::{RunEnd, World};
use crate::task::{Outcome, Rank, TaskId};

/// A list on a disk, and its runs.
struct Scenario {
    options: Options,
    plan: Rc<Plan>,
    disk: Rc<RefCell<Disk>>,
    now: Duration,
}

impl Scenario {
    fn new(change: impl FnOnce(&mut Options)) -> Self {
        let mut options = Options::quiet(1);
        change(&mut options);
        let plan = Rc::new(Plan::new(&options));
        Self { options, plan, disk: Rc::new(RefCell::new(Disk::new(Prng::new(1)))), now: Duration::ZERO }
    }

    fn set(&mut self, id: usize, length: Duration, outcome: Outcome, on_term: OnTerm) {
        let plan = Rc::get_mut(&mut self.plan).expect("before the first run");
        plan.behaviours[id] = Behaviour { length, outcome, on_term, mends_at: None, leaves: None };
    }

    fn start(&self) -> World {
        World::start(self.now, self.options.clone(), &self.plan, &self.disk, Prng::new(2), false).unwrap()
    }

    /// A run, after this time.
    fn start_for(&self, time: Duration) -> World {
        let mut world = self.start();
        go(&mut world, time);
        world
    }

    /// A run, after this time and with this fault.
    fn struck(&self, after: Duration, fault: Fault, rank: u32, time: Duration) -> World {
        let mut world = self.start_for(after);
        world.strike_with(fault, rank, time);
        world
    }

    /// Runs to the end, at which this many tasks have finished and none has failed.
    fn finishes(&mut self, world: World, tasks: usize) {
        assert_eq!(self.run(world), RunEnd::Ended(0));
        assert_eq!(self.lines(0), tasks);
    }

    /// Runs to the end.
    fn run(&mut self, mut world: World) -> RunEnd {
        let end = world.run();
        self.now = world.now;
        end.unwrap_or_else(|broken| panic!("{broken}"))
    }

    /// A whole run.
    fn resume(&mut self) -> RunEnd {
        let world = self.start();
        self.run(world)
    }

    fn lines(&self, file: usize) -> usize {
        self.disk.borrow().files[file].bytes.iter().filter(|&&byte| byte == b'\n').count()
    }
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn go(world: &mut World, time: Duration) {
    world.run_for(time).unwrap_or_else(|broken| panic!("{broken}"));
}

fn worker(world: &World, rank: u32) -> &WorkerState {
    world.farm.as_ref().unwrap().core.workers().get(Rank(rank)).unwrap()
}

/// Twenty tasks of a second on three nodes of two slots take four rounds.
#[test]
fn a_quiet_farm_takes_no_longer_than_it_must() {
    let mut scenario = Scenario::new(|_| {});
    let world = scenario.start_for(Duration::from_millis(4_100));
    assert_eq!(scenario.lines(0), 20);
    assert_eq!(scenario.run(world), RunEnd::Ended(0));
}

/// A resume of a finished list runs nothing and reports the same.
#[test]
fn a_finished_list_is_not_run_again() {
    let mut scenario = Scenario::new(|options| options.failing = 500);
    assert_eq!(scenario.resume(), RunEnd::Ended(1));
    let before = scenario.disk.borrow().files.clone().map(|file| file.bytes);
    assert_eq!(scenario.resume(), RunEnd::Ended(1));
    assert_eq!(scenario.disk.borrow().files.clone().map(|file| file.bytes), before);
}

/// The tasks of a node that dies run elsewhere, and the farm ends with the exit code for its tasks.
#[test]
fn a_dead_node_costs_time_and_nothing_else() {
    let mut scenario = Scenario::new(|_| {});
    let world = scenario.struck(Duration::from_millis(1_500), Fault::KillNode, 2, Duration::ZERO);
    scenario.finishes(world, 20);
}

/// A node that hangs for a minute is given up, comes back, and its results are not recorded twice.
#[test]
fn a_node_that_comes_back_writes_nothing_twice() {
    let mut scenario = Scenario::new(|options| options.mean_us = 45_000_000);
    let mut world = scenario.struck(secs(10), Fault::HangNode, 1, secs(50));
    go(&mut world, secs(35));
    assert_eq!(worker(&world, 1).status(), Status::Lost);
    go(&mut world, secs(20));
    assert_eq!(worker(&world, 1).status(), Status::Active);
    scenario.finishes(world, 20);
}

/// Tasks that a lost node was running and that no other rank has yet are its own again when it comes back.
#[test]
fn a_task_of_a_node_that_comes_back_need_not_run_twice() {
    let mut scenario = Scenario::new(|options| {
        (options.ranks, options.slots, options.tasks, options.mean_us) = (2, (1, 1), 2, 100_000_000);
    });
    let mut world = scenario.struck(secs(1), Fault::HangRelay, 1, secs(45));
    go(&mut world, secs(60));
    let tasks = world.farm.as_ref().unwrap().core.tasks();
    assert_eq!(tasks.owner(TaskId(1)), Some(Rank(1)));
    assert_eq!(scenario.run(world), RunEnd::Ended(0));
    assert!(scenario.now < secs(320), "the run, and the look at what is left: {:?}", scenario.now);
}

/// A disk that stalls for 45 s causes no losses, and neither does a farmer that is suspended for 15 s.
#[test]
fn a_delayed_farmer_loses_no_rank() {
    for (fault, time) in [(Fault::DiskSlow, 45), (Fault::HangFarmer, 15)] {
        let mut scenario = Scenario::new(|options| options.tasks = 600);
        let mut world = scenario.struck(secs(10), fault, 0, secs(time));
        go(&mut world, secs(time + 40));
        let workers = world.farm.as_ref().unwrap().core.workers();
        assert_eq!(workers.count(Status::Active), 3, "{fault:?}");
        assert!(world.nodes.iter().all(|node| node.relay_up), "{fault:?}");
        assert_eq!(scenario.run(world), RunEnd::Ended(0));
    }
}

/// A pool that dies alone is reported by its relay, and its tasks run elsewhere immediately.
#[test]
fn a_dead_pool_is_replaced_immediately() {
    let mut scenario = Scenario::new(|_| {});
    let mut world = scenario.struck(Duration::from_millis(1_500), Fault::KillPool, 1, Duration::ZERO);
    go(&mut world, secs(6));
    assert_eq!(scenario.lines(0), 20, "two nodes are left for it");
    assert_eq!(scenario.run(world), RunEnd::Ended(0));
}

/// A farm that consists only of rank 0, and whose pool dies, gets a new pool and continues.
#[test]
fn a_farm_whose_last_pool_dies_continues() {
    let mut scenario = Scenario::new(|options| options.ranks = 1);
    let world = scenario.struck(Duration::from_millis(2_500), Fault::KillPool, 0, Duration::ZERO);
    scenario.finishes(world, 20);
}

/// A stop ends every task: SIGTERM, the grace period, SIGKILL; and the next start runs the rest.
#[test]
fn a_task_that_ignores_sigterm_is_killed() {
    let mut scenario = Scenario::new(|options| options.mean_us = 1_000_000_000);
    scenario.set(0, secs(1_000), Outcome::Exited(0), OnTerm::Deaf);
    let mut world = scenario.start_for(secs(5));
    world.signal_rank(2);
    go(&mut world, secs(9));
    assert_eq!(world.end, None, "task 0 has its grace period");
    go(&mut world, secs(2));
    assert_eq!(world.end, Some(RunEnd::Ended(3)));
    assert_eq!(scenario.run(world), RunEnd::Ended(3));
    assert_eq!(scenario.resume(), RunEnd::Ended(0));
}

/// A full disk stops the farm with code 4; what was recorded stays, and the next start runs the rest.
#[test]
fn a_full_disk_loses_nothing() {
    let mut scenario = Scenario::new(|_| {});
    let world = scenario.struck(Duration::from_millis(2_500), Fault::DiskFull, 0, secs(30));
    assert_eq!(scenario.run(world), RunEnd::Ended(4));
    assert_eq!(scenario.resume(), RunEnd::Ended(0));
    assert_eq!(scenario.lines(0), 20);
}

/// Output that cannot be written for a while waits. If that takes too long, the farm stops with code 4, and no task
/// fails or runs repeatedly because of it.
#[test]
fn output_without_a_place_fails_no_task() {
    for packed in [false, true] {
        for (time, code) in [(secs(10), 0), (secs(90), 4)] {
            let mut scenario = Scenario::new(|options| options.packed = packed);
            let mut world = scenario.start_for(Duration::from_millis(2_500));
            (0..3).for_each(|rank| world.strike_with(Fault::LogsFull, rank, time));
            assert_eq!(scenario.run(world), RunEnd::Ended(code));
            assert_eq!(scenario.lines(0) == 20, code == 0);
            assert_eq!(scenario.resume(), RunEnd::Ended(0));
            assert_eq!((scenario.lines(0), scenario.lines(1)), (20, 0));
        }
    }
}

/// Whenever in a run the farmer is killed, or its node loses power, the next start finds a journal that it can read.
#[test]
fn a_crash_at_any_step_is_resumed() {
    for fault in [Fault::CrashFarmer, Fault::PowerLoss] {
        for seed in 0..60 {
            let mut scenario = Scenario::new(|options| options.failing = 300);
            let world = scenario.struck(Duration::from_millis(50 * seed), fault, 0, Duration::ZERO);
            scenario.run(world);
            let end = scenario.resume();
            assert!(matches!(end, RunEnd::Ended(0 | 1)), "seed {seed}: {end:?}");
            assert_eq!(scenario.lines(0) + scenario.lines(1), 20);
        }
    }
}

/// A node that cannot start processes gives its tasks to others, and gets new ones when it has recovered.
#[test]
fn a_node_without_memory_is_spared_for_a_while() {
    let mut scenario = Scenario::new(|options| options.tasks = 200);
    let mut world = scenario.struck(Duration::from_millis(100), Fault::RefuseSpawn, 1, secs(8));
    go(&mut world, secs(6));
    assert_eq!(worker(&world, 1).book.held(), 0);
    go(&mut world, secs(6));
    assert!(worker(&world, 1).book.held() > 0);
    assert_eq!(scenario.run(world), RunEnd::Ended(0));
}

/// Three hundred nodes, a third of them dying: every task is recorded.
#[test]
fn a_third_of_three_hundred_nodes_may_die() {
    let mut scenario = Scenario::new(|options| (options.ranks, options.tasks) = (300, 3_000));
    let mut world = scenario.start();
    for rank in 1..=100 {
        go(&mut world, Duration::from_millis(20));
        world.strike_with(Fault::KillNode, rank * 2, Duration::ZERO);
    }
    scenario.finishes(world, 3_000);
}

/// The same seed gives the same run, byte for byte.
#[test]
fn a_seed_is_a_run() {
    let seed = 13_226;
    assert_eq!(crate::sim::try_seed(seed, false), crate::sim::try_seed(seed, false));
    assert_ne!(crate::sim::try_seed(1, false), crate::sim::try_seed(2, false));
}

/// A node on which every task fails immediately takes only a handful of a long list, and none of these tasks is
/// recorded as failed.
#[test]
fn a_black_hole_fails_nothing() {
    let mut scenario = Scenario::new(|options| (options.ranks, options.tasks) = (4, 2_000));
    let world = scenario.struck(Duration::ZERO, Fault::BlackHole, 2, secs(100_000));
    scenario.finishes(world, 2_000);
}

/// A node that was a black hole for a minute works like the others afterward.
#[test]
fn a_black_hole_that_was_mended_gets_tasks_again() {
    let mut scenario = Scenario::new(|options| (options.ranks, options.tasks) = (4, 2_000));
    let mut world = scenario.struck(Duration::ZERO, Fault::BlackHole, 2, secs(30));
    go(&mut world, secs(30));
    assert_eq!(worker(&world, 2).book.held(), 0);
    go(&mut world, secs(45));
    let held = worker(&world, 2).book.held();
    assert!(held >= 2, "{held}");
    assert_eq!(scenario.run(world), RunEnd::Ended(0));
}

/// If every task fails immediately on every node, all are recorded as failed, and soon.
#[test]
fn a_list_of_failing_tasks_fails_quickly() {
    let mut scenario = Scenario::new(|options| (options.tasks, options.mean_us, options.failing) = (500, 5_000, 1_000));
    let world = scenario.start_for(secs(10));
    assert_eq!((scenario.lines(1), world.end), (500, Some(RunEnd::Ended(1))));
    scenario.run(world);
}

/// Ranks with nothing left stay until the one with a task in its grace period has stopped and the farm's files are
/// closed.
#[test]
fn no_rank_leaves_before_the_others() {
    let mut scenario = Scenario::new(|_| {});
    scenario.set(0, secs(1_000), Outcome::Exited(0), OnTerm::Saves(secs(9)));
    let mut world = scenario.start_for(Duration::from_millis(500));
    world.signal_rank(1);
    go(&mut world, secs(8));
    assert_eq!(world.nodes.iter().filter(|node| matches!(node.pool, Pool::Ended)).count(), 2);
    assert!(world.nodes.iter().all(|node| node.relay_up));
    go(&mut world, secs(2));
    assert_eq!(world.end, Some(RunEnd::Ended(3)));
    assert!(world.nodes[1..].iter().all(|node| !node.relay_up), "all were told to leave");
    scenario.run(world);
    assert_eq!(scenario.resume(), RunEnd::Ended(0));
}
