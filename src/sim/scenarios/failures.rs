//! What users request for failures, for long tasks, and for the end of the time.

use super::*;
use crate::farmer::{Halt, HaltAt, HaltWhen, TaskLimit};

/// A task that fails in its first attempts is retried after pauses, and has finished when it succeeds.
#[test]
fn a_task_that_mends_is_finished() {
    let mut scenario = Scenario::new(|options| options.rules.retries = 3);
    scenario.set(19, secs(1), Outcome::Exited(1), OnTerm::Dies);
    Rc::get_mut(&mut scenario.plan).expect("before the first run").behaviours[19].mends_at = Some(3);
    let mut world = scenario.start();
    // Four rounds, a pause of a second, a run, a pause of two, a run.
    go(&mut world, Duration::from_millis(9_500));
    assert_eq!((scenario.lines(0), scenario.lines(1)), (20, 0));
    assert_eq!(scenario.run(world), RunEnd::Ended(0));
}

/// If a farm dies while tasks wait for their retries, the next start runs them.
#[test]
fn a_crash_loses_no_retry() {
    let mut scenario = Scenario::new(|options| (options.rules.retries, options.failing) = (3, 1_000));
    let mut world = scenario.start_for(Duration::from_millis(4_500));
    assert_eq!(scenario.lines(1), scenario.lines(0), "nothing has had its last attempt");
    world.strike_with(Fault::CrashFarmer, 0, Duration::ZERO);
    assert_eq!(scenario.run(world), RunEnd::Crashed);
    assert_eq!(scenario.resume(), RunEnd::Ended(1));
    assert_eq!(scenario.lines(1), 20);
}

/// A task that hangs is ended when it exceeds its limit, although it ignores SIGTERM, and all others finish.
#[test]
fn a_task_that_hangs_runs_out_of_time() {
    for limit in [TaskLimit::Fixed(secs(20)), TaskLimit::Percent(300)] {
        let mut scenario = Scenario::new(|options| options.rules.task_limit = Some(limit));
        scenario.set(5, secs(10_000), Outcome::Exited(0), OnTerm::Deaf);
        let world = scenario.start_for(secs(31));
        assert_eq!((scenario.lines(0), scenario.lines(1), world.end), (19, 1, Some(RunEnd::Ended(1))), "{limit:?}");
        scenario.run(world);
    }
}

/// Failures end the farm: immediately, or when running tasks have ended; the next start resumes with the others.
#[test]
fn failures_end_the_farm() {
    for (when, lines) in [(HaltWhen::Now, [0, 1]), (HaltWhen::Soon, [5, 1])] {
        let halt = Some(Halt { when, at: HaltAt::Count(1) });
        let mut scenario = Scenario::new(|options| (options.rules.halt, options.mean_us) = (halt, 100_000_000));
        scenario.set(3, secs(10), Outcome::Exited(1), OnTerm::Dies);
        let world = scenario.start_for(secs(101));
        assert_eq!(([scenario.lines(0), scenario.lines(1)], world.end), (lines, Some(RunEnd::Ended(1))));
        scenario.run(world);
        assert_eq!(scenario.resume(), RunEnd::Ended(1));
        assert_eq!(scenario.lines(0), 19);
    }
}

/// A node that dies while running tasks are waited for is given up, and the farm still ends.
#[test]
fn a_drain_survives_a_dead_node() {
    let halt = Some(Halt { when: HaltWhen::Soon, at: HaltAt::Count(1) });
    let mut scenario = Scenario::new(|options| (options.rules.halt, options.mean_us) = (halt, 50_000_000));
    scenario.set(3, secs(10), Outcome::Exited(1), OnTerm::Dies);
    let world = scenario.struck(secs(15), Fault::KillNode, 2, Duration::ZERO);
    assert_eq!(scenario.run(world), RunEnd::Ended(1));
    assert_eq!((scenario.lines(0), scenario.lines(1)), (4, 1), "of six that ran, one with the node");
}

/// No task is started that would not end in time: no work is lost at the end of the job.
#[test]
fn no_task_is_started_in_vain() {
    for task_time in [None, Some(secs(10))] {
        let mut scenario = Scenario::new(|options| {
            (options.tasks, options.mean_us, options.timeout) = (200, 10_000_000, Some(secs(75)));
            options.rules.task_time = task_time;
        });
        let world = scenario.start_for(secs(72));
        assert_eq!(world.end, Some(RunEnd::Ended(3)), "before its time is over: nothing runs any more");
        assert!(scenario.lines(0) >= 36, "six slots, and six rounds at least: {}", scenario.lines(0));
        scenario.run(world);
        scenario.options.timeout = None;
        assert_eq!(scenario.resume(), RunEnd::Ended(0));
    }
}
