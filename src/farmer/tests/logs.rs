//! Output of tasks that a rank cannot keep.

use super::*;

/// Promise 3: it is the farm's problem. The farm stops normally, with exit code 4, and records tasks that end
/// meanwhile.
#[test]
fn a_rank_that_keeps_no_output_ends_the_farm() {
    let mut farm = TestFarm::up(2, 1, 6);
    farm.receive(1, ToFarmer::LogsFailed { reason: "cannot keep".to_owned() });
    let stop = ToWorker::Stop { level: StopLevel::Terminate };
    assert_eq!(farm.sent(), [(0, stop.clone()), (1, stop)]);
    farm.finish(0, [0]);
    [0, 1].into_iter().for_each(|rank| farm.receive(rank, ToFarmer::Stopped));
    assert_eq!((farm.code(), &farm.turns.storage.records[..]), (Some(4), &[(0, true)][..]));
    let end = farm.turns.core.end().unwrap();
    assert!(
        matches!(&end.cause, StopCause::FarmFailed(reason) if reason.starts_with("rank 1") && reason.ends_with("keep"))
    );
}

/// Nor is it a success if output turns out to be gone when all tasks are recorded.
#[test]
fn a_rank_that_has_kept_no_output_is_not_a_success() {
    let mut farm = TestFarm::up(1, 2, 2);
    farm.finish(0, [0, 1]);
    assert_eq!(farm.level(0), Some(StopLevel::Drain));
    farm.receive(0, ToFarmer::LogsFailed { reason: String::new() });
    farm.receive(0, ToFarmer::Stopped);
    assert_eq!(farm.code(), Some(4));
}

/// A task whose output cannot be kept has failed, whatever its exit code; with a list of exit codes it is not retried.
#[test]
fn a_task_without_its_output_has_failed() {
    let mut farm = TestFarm::up(1, 1, 1);
    let unkept = result(0, Outcome::Exited(0).unkept("a folder".to_owned()));
    farm.report(0, Report { results: vec![unkept.clone()], ..Report::default() });
    assert_eq!(farm.turns.storage.records, [(0, false)]);
    assert_eq!(farm.turns.storage.attempts, [(0, 1, 0, Cause::Unkept)]);
    let listed = Rules { retry_exit: Some([0].into_iter().collect()), ..Rules::default() };
    assert!(Rules::default().may_retry(&unkept) && !listed.may_retry(&unkept));
}
