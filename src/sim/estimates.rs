//! The accuracy of the estimate of the time left, on farms of the real cores.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::disk::Disk;
use super::options::{Lengths, Options};
use super::plan::Plan;
use super::prng::Prng;
use super::world::World;
use crate::figures::watch::Watch;

/// A real farm estimates more often; a hundred estimates are enough here.
const LOOKS: u32 = 100;

/// Runs a farm and asks at each check when it will end. Returns the worst answer from a quarter of the way on: its
/// error as a share of the whole time.
fn worst_from_a_quarter_on(seed: u64, lengths: Lengths, mean_us: u64, slots: (u32, u32), per_slot: u32) -> f64 {
    let ranks = 8;
    let tasks = ranks * slots.1 * per_slot;
    let options = Options { ranks, slots, tasks, lengths, mean_us, ..Options::quiet(seed) };
    let mut prng = Prng::new(seed);
    let plan = Rc::new(Plan::new(&options));
    let disk = Rc::new(RefCell::new(Disk::new(prng.fork())));
    let mut world = World::start(Duration::ZERO, options, &plan, &disk, prng, false).unwrap();
    let look = plan.total() / (ranks * u32::midpoint(slots.0, slots.1)) / LOOKS;
    let mut watch = Watch::new(world.now);
    let mut estimates = Vec::new();
    let mut took = Duration::ZERO;
    while world.end.is_none() {
        took = world.now;
        world.run_for(look).unwrap();
        if let Some(farm) = &world.farm {
            watch.look(world.now, &farm.core, &world.tally);
            estimates.push((world.now, watch.time_left));
        }
    }
    let whole = took.as_secs_f64();
    let late = estimates.iter().filter(|(now, _)| now.as_secs_f64() >= whole / 4.0);
    let off = late.map(|(now, left)| {
        let left = left.unwrap_or_else(|| panic!("no estimate at {now:?} of {took:?}"));
        ((*now + left).as_secs_f64() / whole - 1.0).abs()
    });
    off.fold(0.0, f64::max)
}

/// From a quarter of the way on, the predicted end of a farm is accurate to a fifth of its whole time, for tasks of
/// equal and of uniform lengths, and for lists in which one task in a hundred takes a hundred times as long.
#[test]
fn the_end_is_known_from_a_quarter_of_the_way_on() {
    let mut all = Vec::new();
    for seed in 0..2 {
        for (lengths, mean_us, per_slot) in [
            (Lengths::Constant, 5_000_000, 10),
            (Lengths::Uniform, 100_000, 50),
            (Lengths::Uniform, 100_000_000, 10),
            (Lengths::Exponential, 10_000_000, 20),
            (Lengths::Bimodal, 1_000_000, 200),
            (Lengths::Bimodal, 100_000_000, 200),
        ] {
            let worst = worst_from_a_quarter_on(seed, lengths, mean_us, (4, 12), per_slot);
            all.push((worst, seed, lengths, mean_us));
            println!("seed {seed}: {lengths:?}, mean {mean_us} us, {per_slot} per slot: off by {:.1} %", worst * 100.0);
        }
    }
    let bad: Vec<_> = all.iter().filter(|(worst, ..)| *worst > 0.2).collect();
    assert!(bad.is_empty(), "{bad:?}");
}
