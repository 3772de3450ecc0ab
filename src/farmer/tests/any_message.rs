//! Promise 5: whatever ranks send, in whatever order, is input.

use super::*;
use crate::sim::prng::Prng;

fn any_outcome(prng: &mut Prng) -> Outcome {
    match prng.range(0..=3) {
        0 => Outcome::Signaled(prng.pick(&[0, 9, 255])),
        1 if prng.chance(500) => Outcome::Exited(prng.pick(&[0, 143])).unkept(String::new()),
        1 => Outcome::NotStarted(String::new()),
        _ => Outcome::Exited(prng.pick(&[0, 0, 1, 255])),
    }
}

fn any_message(prng: &mut Prng) -> ToFarmer {
    let number = |prng: &mut Prng| prng.pick(&[0, 0, 1, 2, 3, 5, 9, u32::MAX]);
    let ids = |prng: &mut Prng| (0..prng.range(0..=4)).map(|_| TaskId(number(prng))).collect::<Vec<_>>();
    match prng.range(0..=11) {
        0 | 1 => {
            let protocol = if prng.chance(900) { PROTOCOL_VERSION } else { number(prng) };
            let slots = prng.pick(&[0, 1, 2, 100_000, u32::MAX]);
            ToFarmer::Hello {
                protocol,
                host: "h".repeat(prng.pick(&[0, 1])),
                slots,
                capacity: Capacity { cpus: number(prng), ..Capacity::default() },
                shortage: prng.chance(500).then(|| "s".to_owned()),
            }
        }
        2..=6 => {
            let results = ids(prng).into_iter().map(|id| TaskResult {
                duration_us: prng.pick(&[0, 1, u64::MAX]),
                timed_out: prng.chance(100),
                left_behind: prng.chance(100),
                ..result(id.0, any_outcome(prng))
            });
            ToFarmer::Report {
                results: results.collect(),
                interrupted: ids(prng).into_iter().map(|id| result(id.0, any_outcome(prng))).collect(),
                returned: ids(prng),
                ack: number(prng),
                ack_age_us: prng.pick(&[0, 1, u64::MAX]),
                undecided: number(prng),
                recall_answered: prng.chance(500),
                pause_ms: prng.pick(&[0, 0, 0, 1, u32::MAX]),
            }
        }
        7 => ToFarmer::Heartbeat,
        8 if prng.chance(50) => ToFarmer::Signaled { signal: prng.pick(&[0, 15, 255]) },
        9 if prng.chance(200) => ToFarmer::Stopped,
        10 if prng.chance(200) => {
            let executing = ids(prng).into_iter().map(|id| Executing { id, slot: 0, start_us: 0, duration_us: 0 });
            ToFarmer::PoolLost { reason: String::new(), executing: executing.collect(), can_restart: prng.chance(500) }
        }
        11 if prng.chance(200) => ToFarmer::Unfit { reason: String::new() },
        11 if prng.chance(20) => ToFarmer::LogsFailed { reason: String::new() },
        _ => ToFarmer::Holds { seq: number(prng), tasks: ids(prng) },
    }
}

/// No message of any rank makes the farmer panic, contradict itself, or record a task twice.
#[test]
fn any_messages_in_any_order_are_survived() {
    for seed in 0..400 {
        let mut prng = Prng::new(seed);
        let mut farm = TestFarm::new(4, 12);
        for _ in 0..200 {
            farm.now += prng.pick(&[Duration::ZERO, Duration::from_micros(1), secs(1), secs(20)]);
            let rank = prng.range_u32(0..=4);
            match prng.range(0..=29) {
                0 => farm.event(Event::LinkFailed(Rank(rank), String::new())),
                1 if prng.chance(50) => farm.event(Event::Signal(2)),
                1 if prng.chance(5) => farm.event(Event::KilledSoon(15)),
                2 => farm.event(Event::Tick),
                _ => farm.receive(rank, any_message(&mut prng)),
            }
            let mut ids: Vec<u32> = farm.turns.storage.records.iter().map(|(id, _)| *id).collect();
            let count = ids.len();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), count, "seed {seed}: a task is recorded twice");
        }
        farm.event(Event::Signal(15));
        farm.wait(secs(120));
        assert!(farm.code().is_some(), "seed {seed}: the farm does not end");
    }
}
