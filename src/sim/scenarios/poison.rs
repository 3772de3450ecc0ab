//! Tasks that take down their pool or their node, and pools that stop.

use super::*;
use crate::sim::plan::Poison;

impl Scenario {
    fn poison(&mut self, id: u32, poison: Poison) {
        Rc::get_mut(&mut self.plan).expect("before the first run").poison.insert(TaskId(id), poison);
    }

    /// The tasks in `failed`.
    fn failed(&self) -> Vec<u32> {
        let text = String::from_utf8_lossy(&self.disk.borrow().files[1].bytes).into_owned();
        text.lines().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
    }
}

/// One poison task among others, on one rank and on three: it fails, all others finish, and no other is blamed.
#[test]
fn poison_fails_alone() {
    for ranks in [1, 3] {
        for poison in [Poison::Kills, Poison::Stops] {
            let mut scenario = Scenario::new(|options| (options.ranks, options.slots) = (ranks, (8, 8)));
            scenario.poison(5, poison);
            assert_eq!(scenario.resume(), RunEnd::Ended(1), "{ranks} ranks, {poison:?}");
            assert_eq!((scenario.lines(0), scenario.failed()), (19, vec![5]));
        }
    }
}

/// Several of them, in one pool at the same time.
#[test]
fn poison_beside_poison_is_distinguished() {
    for limit in [1, 2, 3, 5] {
        let mut scenario = Scenario::new(|options| {
            (options.ranks, options.slots, options.rules.crash_limit) = (1, (20, 20), limit);
        });
        [3, 4, 11].into_iter().for_each(|id| scenario.poison(id, Poison::Kills));
        assert_eq!(scenario.resume(), RunEnd::Ended(1), "limit {limit}");
        let mut failed = scenario.failed();
        failed.sort_unstable();
        assert_eq!((scenario.lines(0), failed), (17, vec![3, 4, 11]), "limit {limit}");
    }
}

/// A task that takes down whole nodes fails before it has taken down the last one.
#[test]
fn a_task_that_takes_nodes_down_fails() {
    let mut scenario = Scenario::new(|options| (options.ranks, options.farmer_only) = (6, true));
    scenario.poison(7, Poison::KillsNode);
    assert_eq!(scenario.resume(), RunEnd::Ended(1));
    assert_eq!((scenario.lines(0), scenario.failed()), (19, vec![7]));
}

/// Crashes count across restarts: a farm that is killed repeatedly does not start counting from zero.
#[test]
fn crashes_count_over_restarts() {
    let mut scenario = Scenario::new(|options| (options.ranks, options.tasks, options.rules.crash_limit) = (1, 1, 4));
    scenario.poison(0, Poison::Kills);
    for crashes in 1..=3 {
        let mut world = scenario.start();
        // Until it has crashed once and the new pool is up: the task takes a second, and its crash is reported a second
        // later.
        go(&mut world, Duration::from_millis(2_100));
        world.strike_with(Fault::CrashFarmer, 0, Duration::ZERO);
        world.signal_rank(0);
        scenario.run(world);
        let disk = scenario.disk.borrow();
        assert_eq!(disk.crashes(&scenario.plan.list).get(&TaskId(0)), Some(&crashes));
    }
    let world = scenario.start_for(Duration::from_millis(2_500));
    assert_eq!((world.end, scenario.failed()), (Some(RunEnd::Ended(1)), vec![0]));
    scenario.run(world);
}

/// A pool that is stopped, on any rank, is killed after half a minute, and its tasks run again.
#[test]
fn a_stopped_pool_does_not_hold_up_a_farm() {
    for rank in [0, 2] {
        let mut scenario = Scenario::new(|_| {});
        let mut world = scenario.struck(Duration::from_millis(1_500), Fault::HangPool, rank, secs(100_000));
        go(&mut world, secs(40));
        assert_eq!((scenario.lines(0), world.end), (20, Some(RunEnd::Ended(0))), "rank {rank}");
        scenario.run(world);
    }
}
