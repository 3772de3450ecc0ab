//! Tasks that differ in what they ask for.

use super::*;

/// A farm whose ranks have so many CPUs, and GPUs if there are any; tasks ask for so many CPUs, and those of 100 and
/// more for a GPU. The second kind of tasks has this priority.
fn farm_with(ranks: &[u32], tasks: &[u32], priority: i32) -> TestFarm {
    let mut kinds: Vec<Demand> = Vec::new();
    let classes = tasks.iter().map(|&cpus| {
        let demand = Demand { cpus: cpus % 100, gpus: cpus / 100 % 10 * 1_000, memory_mib: u64::from(cpus / 1_000) };
        let known = kinds.iter().position(|kind| *kind == demand).unwrap_or_else(|| {
            kinds.push(demand);
            kinds.len() - 1
        });
        Class(u16::try_from(known).unwrap())
    });
    let classes: Vec<Class> = classes.collect();
    let (count, ranks_count) = (u32::try_from(tasks.len()).unwrap(), u32::try_from(ranks.len()).unwrap());
    let whole = |(kind, demand)| Kind { demand, priority: if kind == 1 { priority } else { 0 }, ..Kind::default() };
    let kinds: Vec<Kind> = kinds.into_iter().enumerate().map(whole).collect();
    let mut farm = TestFarm::classed(ranks_count, count, classes, |settings| settings.kinds = kinds);
    for (rank, &cpus) in (0..).zip(ranks) {
        farm.join_with(rank, cpus % 100, cpus / 100);
    }
    farm
}

fn farm(ranks: &[u32], tasks: &[u32]) -> TestFarm {
    farm_with(ranks, tasks, 0)
}

impl TestFarm {
    fn join_with(&mut self, rank: u32, cpus: u32, gpus: u32) {
        let host = format!("node{rank}");
        let capacity = Capacity { cpus, gpus, memory_mib: 100 };
        self.receive(rank, ToFarmer::Hello { protocol: PROTOCOL_VERSION, host, slots: cpus, capacity, shortage: None });
    }

    /// The tasks that each rank was handed since the last call.
    fn by_rank(&mut self, ranks: u32) -> Vec<Vec<u32>> {
        let mut handed = vec![Vec::new(); ranks as usize];
        for (rank, message) in self.sent() {
            if let ToWorker::Assign { tasks, .. } = message {
                handed[rank as usize].extend(tasks.iter().map(|task| task.id.0));
            }
        }
        handed
    }
}

/// Small tasks fill the gaps that large ones leave, in the order of the list.
#[test]
fn small_tasks_fill_gaps() {
    let mut farm = farm(&[8], &[6, 6, 1, 1, 1]);
    assert_eq!(farm.by_rank(1), [[0, 2, 3]]);
    farm.finish(0, [2]);
    assert_eq!(farm.by_rank(1), [[4]]);
}

/// A task that ends is replaced by one like it: what a large task needs stays together.
#[test]
fn a_task_is_replaced_by_one_like_it() {
    let mut farm = farm(&[8], &[4, 1, 1, 1, 1, 1, 1, 4, 4]);
    assert_eq!(farm.by_rank(1), [[0, 1, 2, 3, 4]]);
    farm.finish(0, [0]);
    assert_eq!(farm.by_rank(1), [[7]], "though 5 comes first in the list: one of its class runs");
    farm.finish(0, [1]);
    assert_eq!(farm.by_rank(1), [[5]]);
}

/// A class of which nothing runs gets a rank that drains for it, and nothing else is started there meanwhile.
#[test]
fn a_rank_drains_for_a_task_that_fits_nowhere() {
    let mut farm = farm(&[4, 4], &[1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 1, 1, 4]);
    let first = farm.by_rank(2);
    assert_eq!(first.concat().len(), 8);
    farm.finish(0, [first[0][0]]);
    let next = farm.by_rank(2);
    farm.finish(1, [first[1][0]]);
    let after = farm.by_rank(2);
    let reserved = u32::from(next.concat() == [9]);
    assert_eq!([next.concat(), after.concat()].concat(), [9], "one of the two ranks starts nothing");
    for task in &first[reserved as usize][1..] {
        assert_eq!(farm.by_rank(2).concat(), [0; 0]);
        farm.finish(reserved, [*task]);
    }
    assert_eq!(farm.by_rank(2)[reserved as usize], [8]);
    farm.finish(reserved, [8]);
    assert_eq!(farm.by_rank(2)[reserved as usize], [13], "one like it: the rank stays whole");
}

/// What a reserved task does not lack is for others: CPUs do not stay idle because it waits for a GPU.
#[test]
fn others_run_beside_a_reservation() {
    let mut farm = farm(&[208], &[101, 202, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    assert_eq!(farm.by_rank(1), [[0, 2, 3, 4, 5, 6, 7, 8]]);
    farm.finish(0, [2]);
    assert_eq!(farm.by_rank(1), [[0; 0]], "a slot and two CPUs stay for 1");
    farm.finish(0, [3, 4]);
    assert_eq!(farm.by_rank(1), [[9]]);
    farm.finish(0, [0]);
    assert_eq!(farm.by_rank(1), [[1, 10]]);
}

/// GPU tasks go where GPUs are, and wait while others run.
#[test]
fn each_task_goes_where_it_fits() {
    let mut farm = farm(&[4, 204], &[101, 101, 101, 1, 4]);
    let handed = farm.by_rank(2);
    assert_eq!(handed[1][..2], [0, 1]);
    assert!(handed[0] == [4] && handed[1].contains(&3) || handed[0].contains(&3), "{handed:?}");
    farm.finish(1, [0]);
    assert_eq!(farm.by_rank(2)[1], [2]);
}

/// A demand that no rank meets ends the farm when all have joined, and names a task and the rank that comes closest.
#[test]
fn an_impossible_demand_is_named() {
    let mut farm = farm(&[4, 2], &[1, 8, 1]);
    let level = |message: &(u32, ToWorker)| matches!(message.1, ToWorker::Stop { level: StopLevel::Terminate });
    assert!(farm.sent().iter().any(level));
    farm.receive(0, ToFarmer::Stopped);
    farm.receive(1, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    let text = end.cause.to_string();
    assert_eq!(end.exit_code(), crate::exit_code::ExitCode::BadInput);
    assert!(
        text.contains("on rank 0 (node0), task 1 asks for 8 CPUs, and this rank, which comes closest, has 4 CPUs"),
        "{text}"
    );
}

/// If the only rank with room is lost, the others finish what they can; what is left is named.
#[test]
fn a_lost_capacity_ends_the_farm_when_nothing_else_is_left() {
    let mut farm = farm(&[2, 8], &[8, 1, 8, 8]);
    assert_eq!(farm.by_rank(2), [vec![1], vec![0]]);
    farm.event(Event::LinkFailed(Rank(1), "gone".to_owned()));
    assert!(farm.turns.core.stop_level().is_none(), "a task still runs");
    farm.finish(0, [1]);
    assert_eq!(farm.turns.core.stop_level(), Some(StopLevel::Drain));
    farm.receive(0, ToFarmer::Stopped);
    let end = farm.turns.core.end().unwrap();
    assert_eq!((end.exit_code(), end.remaining), (crate::exit_code::ExitCode::Stopped, 3));
    let text = end.cause.to_string();
    assert!(
        text.contains("no rank that is left has room for 3 tasks, such as task 0, which asks for 8 CPUs"),
        "{text}"
    );
}

/// Short tasks wait where one like them has just ended; those of a class of long ones do not.
#[test]
fn short_tasks_are_prefetched_by_class() {
    let mut farm = farm(&[4], &[&[2][..], &[1; 60], &[2; 60]].concat());
    assert_eq!(farm.by_rank(1), [[0, 1, 2]]);
    farm.now += Duration::from_millis(10);
    let results = vec![TaskResult { duration_us: 100, ..result(1, Outcome::Exited(0)) }];
    farm.report(0, Report { results, ack: 1, ..Report::default() });
    let next = farm.by_rank(1).concat();
    assert!(next.len() > 1 && next.iter().all(|&id| id <= 60), "{next:?}");
}

/// A task that takes down its pool runs alone, on a rank that has room for it.
#[test]
fn a_suspect_goes_where_it_fits() {
    let mut farm = farm(&[2, 4], &[4, 1, 1, 1]);
    let handed = farm.by_rank(2);
    assert_eq!(handed[1], [0]);
    let executing = vec![Executing { id: TaskId(0), slot: 0, start_us: 0, duration_us: 0 }];
    farm.receive(1, ToFarmer::PoolLost { reason: "killed".to_owned(), executing, can_restart: true });
    farm.sent();
    farm.join_with(1, 4, 0);
    for rank in [0, 1] {
        farm.finish(rank, 1..4);
    }
    farm.finish(1, 1..4);
    assert_eq!(farm.by_rank(2)[1].last(), Some(&0));
}

/// A higher priority goes before the order of the list, and before what would keep a place together; a lower one after
/// all others.
#[test]
fn priorities_go_first() {
    let mut urgent = farm_with(&[2], &[1, 1, 1, 1001, 1001, 1], 5);
    assert_eq!(urgent.by_rank(1), [[3, 4]]);
    urgent.finish(0, [3]);
    assert_eq!(urgent.by_rank(1), [[0]]);
    let mut idle = farm_with(&[2], &[1, 1001, 1, 1001, 1], -1);
    assert_eq!(idle.by_rank(1), [[0, 2]]);
    idle.finish(0, [0]);
    assert_eq!(idle.by_rank(1), [[4]]);
    idle.finish(0, [2, 4]);
    assert_eq!(idle.by_rank(1), [[1, 3]]);
}

/// Tasks never have more of what the farm shares out than there is, on all ranks together, and one that needs more than
/// others gets it, though they could take it again and again.
#[test]
fn what_is_shared_out_is_enough() {
    let takes = |count| {
        let mut shared = Counts::default();
        shared[0] = count;
        Kind { shared, ..Kind::default() }
    };
    let classes = [1, 1, 1, 1, 2, 1, 1, 0].map(|count| Class(if count == 0 { 2 } else { count - 1 })).to_vec();
    let mut farm = TestFarm::classed(2, 8, classes, |settings| {
        settings.kinds = vec![takes(1), takes(2), Kind::default()];
        settings.totals[0] = 2;
    });
    farm.join_with(0, 2, 0);
    farm.join_with(1, 2, 0);
    let first = farm.by_rank(2).concat();
    assert_eq!((first.len(), first.contains(&7)), (3, true), "two of the farm's two are taken: {first:?}");
    let mut end = |id: u32| {
        let rank = farm.turns.core.tasks().owner(TaskId(id)).unwrap().0;
        farm.finish(rank, [id]);
        farm.by_rank(2).concat()
    };
    assert_eq!([end(0), end(1)], [[2], [3]], "they come before 4");
    assert_eq!([end(2), end(3)], [vec![], vec![4]], "both are saved for it");
    assert_eq!(end(4).len(), 2, "any rank may have what is free again");
}

/// Even if all tasks are alike.
#[test]
fn tasks_that_are_alike_share_too() {
    let mut shared = Counts::default();
    shared[3] = 1;
    let mut farm = TestFarm::classed(2, 6, Vec::new(), |settings| {
        settings.kinds = vec![Kind { shared, ..Kind::default() }];
        settings.totals[3] = 3;
    });
    farm.join_with(0, 4, 0);
    farm.join_with(1, 4, 0);
    let first = farm.by_rank(2);
    assert_eq!(first.concat().len(), 3);
    let holder = farm.turns.core.tasks().owner(TaskId(0)).unwrap().0;
    farm.finish(holder, [0]);
    assert_eq!(farm.by_rank(2).concat(), [3]);
}
