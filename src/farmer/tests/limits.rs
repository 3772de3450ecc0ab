//! How long a task may run.

use super::*;
use crate::farmer::limits::LIMIT_MIN;

fn limits(farm: &mut TestFarm) -> Vec<(u32, u64)> {
    let limit = |(rank, message)| match message {
        ToWorker::Limit { us } => Some((rank, us)),
        _ => None,
    };
    farm.sent().into_iter().filter_map(limit).collect()
}

fn with(ranks: u32, limit: TaskLimit) -> TestFarm {
    let mut farm = TestFarm::with(ranks, 1_000, |settings| settings.rules.task_limit = Some(limit));
    (0..ranks).for_each(|rank| farm.hello(rank, 4));
    farm
}

/// All tasks that a rank holds have finished after this time.
fn finish(farm: &mut TestFarm, rank: u32, duration_us: u64) {
    let assigned = farm.turns.core.workers().get(Rank(rank)).unwrap().book.tasks().to_vec();
    let results = assigned.iter().map(|id| TaskResult { duration_us, ..result(id.0, Outcome::Exited(0)) }).collect();
    farm.report(rank, Report { results, ..Report::default() });
}

/// A fixed limit is sent before the first task, and again to a rank that comes back: it may have missed it.
#[test]
fn a_fixed_limit_is_sent_first() {
    let mut farm = with(2, TaskLimit::Fixed(secs(7)));
    let sent = farm.sent();
    for rank in [0, 1] {
        let to: Vec<_> = sent.iter().filter(|(to, _)| *to == rank).map(|(_, message)| message).collect();
        assert!(matches!(to[..], [ToWorker::Limit { us: 7_000_000 }, ToWorker::Assign { .. }]), "{to:?}");
    }
    farm.event(Event::LinkFailed(Rank(1), "broken".to_owned()));
    farm.sent();
    farm.receive(1, ToFarmer::Heartbeat);
    assert_eq!(limits(&mut farm), [(1, 7_000_000)]);
}

/// A percentage of the median becomes the limit when enough tasks have finished, at least as many as there are slots:
/// the first ones to end are the short ones. It follows the median, and is never less than a second.
#[test]
fn a_limit_follows_the_median() {
    let mut farm = with(4, TaskLimit::Percent(200));
    (0..3).for_each(|rank| finish(&mut farm, rank, 1_000));
    assert_eq!(limits(&mut farm), [], "12 of 16");
    finish(&mut farm, 3, 1_000);
    let floor = u64::try_from(LIMIT_MIN.as_micros()).unwrap();
    assert_eq!(limits(&mut farm), [0, 1, 2, 3].map(|rank| (rank, floor)));
    (0..4).for_each(|rank| finish(&mut farm, rank, 1_000));
    assert_eq!(limits(&mut farm), [], "nothing new");
    for _ in 0..4 {
        (0..4).for_each(|rank| finish(&mut farm, rank, 10_000_000));
    }
    let told = limits(&mut farm);
    let last = told.last().unwrap().1;
    assert!(last.abs_diff(20_000_000) < 500_000, "{told:?}");
    let mut farm2 = with(1, TaskLimit::Percent(200));
    farm2.sent();
    (0..2).for_each(|_| finish(&mut farm2, 0, 1_000));
    assert_eq!(limits(&mut farm2), [], "8 tasks are too few, slots or not");
}

/// A task that exceeded its time limit has failed, whatever its exit code, is recorded as such, and is retried.
#[test]
fn a_timeout_is_a_failure() {
    let mut farm = TestFarm::with(1, 2, |settings| {
        settings.rules.retries = 1;
        settings.rules.retry_exit = Some([124].into_iter().collect());
    });
    farm.hello(0, 1);
    farm.sent();
    let timed_out =
        |id, attempt| TaskResult { attempt: Attempt(attempt), timed_out: true, ..result(id, Outcome::Exited(0)) };
    farm.report(0, Report { results: vec![timed_out(0, 1)], ..Report::default() });
    farm.finish(0, [1]);
    farm.wait(secs(1));
    farm.report(0, Report { results: vec![timed_out(0, 2)], ..Report::default() });
    assert_eq!(farm.turns.storage.records, [(1, true), (0, false)]);
    let attempts = [(0, 1, 0, Cause::Timeout), (1, 1, 0, Cause::Finished), (0, 2, 0, Cause::Timeout)];
    assert_eq!(farm.turns.storage.attempts, attempts);
}

/// The median is known after ten tasks, and is computed again after some more, not after each.
#[test]
fn the_median_is_looked_at_seldom() {
    let mut farm = TestFarm::with(1, 1_000, |settings| settings.rules.task_limit = Some(TaskLimit::Percent(200)));
    farm.hello(0, 1);
    for finished in 1..=10 {
        assert_eq!(limits(&mut farm), [], "after {finished}");
        finish(&mut farm, 0, 5_000_000);
    }
    assert_eq!((limits(&mut farm).len(), farm.turns.core.limits.update_at), (1, 11));
}
