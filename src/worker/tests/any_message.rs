//! Promise 5: whatever a farmer sends, and whatever happens to processes, is input.

use proptest::prelude::*;

use super::*;
use crate::protocol::any::to_worker;
use crate::protocol::{SlotCount, WorkerConfig};

#[derive(Clone, Debug)]
enum Happening {
    Said(ToWorker),
    Ended(u32, Outcome),
    Passes(u64),
    Refuses(bool),
    Impossible(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let outcome =
        prop::sample::select(vec![Outcome::Exited(0), Outcome::Exited(1), Outcome::Signaled(15), Outcome::Signaled(9)]);
    prop_oneof![
        4 => to_worker().prop_map(Happening::Said),
        3 => (prop_oneof![0..3_u32, Just(u32::MAX)], outcome).prop_map(|(slot, outcome)| Happening::Ended(slot, outcome)),
        2 => prop::sample::select(vec![1, 50, 1_000, 6_000, 100_000]).prop_map(Happening::Passes),
        1 => any::<bool>().prop_map(Happening::Refuses),
        1 => any::<bool>().prop_map(Happening::Impossible),
    ]
}

/// What was reported of tasks since the last call: how many have ended, and how many went back.
fn reported(pool: &mut TestPool) -> usize {
    let count = |message| match message {
        ToFarmer::Report { results, interrupted, returned, .. } => results.len() + interrupted.len() + returned.len(),
        _ => 0,
    };
    std::mem::take(&mut pool.sent).into_iter().map(count).sum()
}

/// Found by the test below: a second Start, to a worker that has tasks, changes nothing.
#[test]
fn a_second_start_changes_nothing() {
    let mut pool = TestPool::new(2);
    pool.assign([0]);
    let config = WorkerConfig::plain(crate::task::Rank(0), SlotCount::Cpus, Duration::ZERO);
    pool.receive(ToWorker::Start(Box::new(config)));
    assert_eq!((pool.turns.core.running(), reported(&mut pool)), (1, 0));
    pool.end(0, Outcome::Exited(0));
    assert_eq!(reported(&mut pool), 1);
}

proptest! {
    /// Every task that was assigned is reported once, as ended or as returned, or is forgotten by a Rejoin; and a stop
    /// ends all.
    #[test]
    fn no_task_is_lost_or_reported_twice(happenings in prop::collection::vec(happening(), 0..40)) {
        let mut pool = TestPool::new(2);
        let (mut assigned, mut all_reported) = (0, 0);
        for happening in happenings {
            match happening {
                Happening::Said(message) => {
                    if let ToWorker::Assign { tasks, .. } = &message {
                        assigned += tasks.len();
                    }
                    if let ToWorker::Rejoin { .. } = message {
                        assigned -= pool.turns.core.queued();
                    }
                    pool.receive(message);
                }
                Happening::Ended(slot, outcome) => pool.end(slot, outcome),
                Happening::Passes(time) => pool.wait(ms(time)),
                Happening::Refuses(refuses) => pool.turns.processes.refusing = refuses,
                Happening::Impossible(impossible) => pool.turns.processes.impossible = impossible,
            }
            prop_assert!(pool.turns.core.running() <= 2);
            all_reported += reported(&mut pool);
        }
        pool.stop(StopLevel::Kill);
        (0..2).for_each(|slot| pool.end(slot, Outcome::Signaled(9)));
        prop_assert!(pool.turns.core.is_stopped());
        prop_assert_eq!((all_reported + reported(&mut pool), pool.turns.core.queued()), (assigned, 0));
        prop_assert_eq!(pool.turns.core.next_deadline(), None);
    }
}
