//! How many tasks each worker gets.

use super::*;

/// Tasks of a short list do not all go to the ranks that join first.
#[test]
fn the_first_tasks_are_shared_out() {
    let mut farm = TestFarm::new(4, 8);
    farm.hello(2, 8);
    assert_eq!(farm.handed(), [(2, vec![0, 1])]);
    farm.hello(0, 8);
    assert_eq!(farm.handed(), [(0, vec![2, 3])]);
    farm.hello(1, 1);
    assert_eq!(farm.handed(), [(1, vec![4])]);
    farm.hello(3, 8);
    let handed = [(0, vec![5]), (2, vec![6]), (3, vec![7])];
    assert_eq!(farm.handed(), handed, "the last rank to join ends the rationing: all share what is left");
}

/// Ranks that never join do not hold up the others.
#[test]
fn the_rationing_ends_after_a_while() {
    let mut farm = TestFarm::new(4, 8);
    farm.hello(1, 8);
    assert_eq!(farm.handed(), [(1, vec![0, 1])]);
    farm.wait(secs(4));
    assert_eq!(farm.handed(), []);
    farm.wait(secs(2));
    assert_eq!(farm.handed(), [(1, vec![2, 3, 4, 5, 6, 7])]);
}

/// A rank 0 that takes no tasks has no share.
#[test]
fn farmer_only_leaves_all_to_the_others() {
    let mut farm = TestFarm::with(2, 4, |settings| settings.farmer_only = true);
    farm.hello(1, 8);
    assert_eq!(farm.handed(), [(1, vec![0, 1, 2, 3])]);
    farm.hello(0, 0);
    assert_eq!(farm.handed(), []);
}

/// Shares that do not fit leave nothing behind: found by the simulator.
#[test]
fn all_that_comes_back_is_handed_out() {
    let mut farm = TestFarm::new(3, 10);
    farm.hello(0, 1);
    farm.hello(1, 10);
    farm.hello(2, 9);
    farm.sent();
    let held = farm.turns.core.workers().get(Rank(2)).unwrap().book.held();
    farm.receive(2, pool_gone("killed"));
    let handed: usize = farm.handed().iter().map(|(_, ids)| ids.len()).sum();
    assert_eq!(handed, held as usize);
    assert_eq!(farm.turns.core.tasks().pending(), 0);
}

/// Long tasks do not queue at a worker; short ones do, to cover the round trip.
#[test]
fn the_queue_covers_the_round_trip() {
    let queued_at = |task_us: u64, trip: Duration| {
        let mut farm = TestFarm::up(1, 4, 1_000);
        farm.now += trip;
        let results = vec![TaskResult { duration_us: task_us, ..result(0, Outcome::Exited(0)) }];
        farm.report(0, Report { results, ack: 1, ..Report::default() });
        farm.turns.core.workers().get(Rank(0)).unwrap().book.queued()
    };
    let ms = Duration::from_millis;
    assert_eq!(queued_at(3_600_000_000, ms(1)), 1);
    assert_eq!(queued_at(10_000, ms(1)), 2);
    assert_eq!(queued_at(1_000, ms(2)), 32);
    assert_eq!(queued_at(1, ms(1_000)), 995, "no more than there is");
}

/// Tasks that wait at one rank must not keep the others idle at the end of the list.
#[test]
fn queued_tasks_are_shared_fairly_near_the_end() {
    let mut farm = TestFarm::up(4, 1, 12);
    farm.now += Duration::from_millis(100);
    let results = vec![TaskResult { duration_us: 10, ..result(0, Outcome::Exited(0)) }];
    farm.report(0, Report { results, ack: 1, ..Report::default() });
    assert_eq!(
        farm.turns.core.workers().get(Rank(0)).unwrap().book.queued(),
        1,
        "8 wait, a quarter of the 7 beyond its slot"
    );
}

/// A farm of one rank with a long queue, and one that has not joined. One task is with neither.
fn one_full_one_idle() -> TestFarm {
    let mut farm = TestFarm::new(2, 40);
    farm.hello(0, 2);
    farm.wait(secs(6));
    for id in 0.. {
        if farm.turns.core.tasks().pending() == 1 {
            break;
        }
        let results = vec![TaskResult { duration_us: 1_000, ..result(id, Outcome::Exited(0)) }];
        farm.report(0, Report { results, ack: 1, ..Report::default() });
    }
    farm.sent();
    farm
}

/// A rank that joins late gets tasks that wait elsewhere.
#[test]
fn a_late_rank_makes_others_give_back() {
    let mut farm = one_full_one_idle();
    let queued = farm.turns.core.workers().get(Rank(0)).unwrap().book.queued();
    assert!(queued > 1, "{queued}");
    farm.hello(1, 2);
    let [(1, ToWorker::Assign { .. }), (0, ToWorker::Recall { count })] = farm.sent()[..] else { panic!("no recall") };
    assert_eq!(count, queued / 2, "half of the queue, so that the next idle slot need not ask again");
    farm.report(1, Report::default());
    assert_eq!(farm.sent(), [], "one question at a time");
    let last = *farm.turns.core.workers().get(Rank(0)).unwrap().book.tasks().last().unwrap();
    farm.report(0, Report { returned: vec![last.0], recall_answered: true, ..Report::default() });
    assert_eq!(farm.handed(), [(1, vec![last.0])]);
}

/// Found by the simulator: a rank that was asked for its queue and is dead, though that is not known yet, does not keep
/// an idle one waiting. After a second the next queue is asked for.
#[test]
fn the_next_queue_is_asked_for_soon() {
    let mut farm = one_full_one_idle();
    farm.hello(1, 2);
    let [(1, ToWorker::Assign { .. }), (0, ToWorker::Recall { .. })] = farm.sent()[..] else { panic!("no recall") };
    farm.wait(secs(3));
    assert_eq!(farm.sent(), [], "there is no one else to ask");

    let mut farm = TestFarm::up(3, 2, 20);
    for rank in [0, 1].into_iter().cycle().map(Rank) {
        let Some(id) = farm.turns.core.tasks.take_next(rank) else { break };
        farm.turns.core.workers.update(rank, |worker| worker.book.add(std::iter::once((id, Class::default()))));
    }
    farm.finish(2, [4]);
    let asked = |farm: &mut TestFarm| match farm.sent()[..] {
        [(rank, ToWorker::Recall { .. })] => rank,
        ref other => panic!("{other:?}"),
    };
    let first = asked(&mut farm);
    farm.wait(Duration::from_millis(999));
    farm.event(Event::Tick);
    assert_eq!(farm.sent(), [], "an event that makes no room is no reason to ask earlier");
    farm.wait(Duration::from_millis(1));
    assert_eq!(asked(&mut farm), 1 - first);
    farm.wait(secs(2));
    assert_eq!(farm.sent(), [], "all were asked");
}

/// Found by the simulator: if most ranks are dead, and that is not known yet, the one that is alive is asked within
/// seconds.
#[test]
fn more_queues_are_asked_for_while_none_answers() {
    let mut farm = TestFarm::up(30, 1, 60);
    for rank in (0..30).map(Rank) {
        let id = farm.turns.core.tasks.take_next(rank).unwrap();
        farm.turns.core.workers.update(rank, |worker| worker.book.add(std::iter::once((id, Class::default()))));
    }
    farm.finish(29, [29]);
    farm.finish(29, [59]);
    let asked = |farm: &mut TestFarm| {
        let is_recall = |(_, message): &(u32, ToWorker)| matches!(message, ToWorker::Recall { .. });
        farm.sent().iter().filter(|sent| is_recall(sent)).count()
    };
    assert_eq!(asked(&mut farm), 1);
    farm.now += Duration::from_millis(500);
    farm.report(29, Report::default());
    assert_eq!(asked(&mut farm), 1, "not more before the second is over, nor later for that");
    farm.wait(Duration::from_millis(500));
    assert_eq!(asked(&mut farm), 4);
    farm.wait(secs(1));
    assert_eq!(asked(&mut farm), 16);
    farm.wait(secs(1));
    assert_eq!(asked(&mut farm), 29 - 1 - 1 - 4 - 16, "all were asked");
    // After an answer, one queue at a time is asked for again.
    let mut farm = one_full_one_idle();
    farm.turns.core.recall_again = Some((farm.now + secs(1), 64));
    farm.hello(1, 1);
    assert_eq!(farm.turns.core.recall_again, None);
}

/// Found by the simulator: a rank that has nothing to give back is not asked repeatedly, whatever `assigned` says.
#[test]
fn an_empty_queue_is_not_asked_for_twice() {
    let mut farm = one_full_one_idle();
    farm.hello(1, 2);
    assert!(matches!(farm.sent()[..], [_, (0, ToWorker::Recall { .. })]));
    farm.report(0, Report { recall_answered: true, ..Report::default() });
    farm.wait(secs(5));
    assert_eq!(farm.sent(), []);
    // Tasks that were handed over after the question are not covered by the answer.
    let mut farm = one_full_one_idle();
    farm.hello(1, 2);
    farm.turns.core.workers.update(Rank(0), |worker| worker.hand(Duration::ZERO, std::iter::empty()));
    farm.sent();
    farm.report(0, Report { recall_answered: true, ..Report::default() });
    assert!(matches!(farm.sent()[..], [(0, ToWorker::Recall { .. })]));
}

/// An idle farmer sleeps: with nothing to recall, it only checks for silent ranks.
#[test]
fn an_idle_farmer_does_not_wake_up() {
    let mut farm = one_full_one_idle();
    farm.hello(1, 1);
    assert!(
        farm.turns.core.workers().get(Rank(0)).unwrap().book.queued() > 1 && farm.turns.core.tasks().pending() == 0
    );
    let look_for_silence = farm.turns.core.next_silence_check;
    assert_eq!(farm.turns.core.next_deadline(), Some(look_for_silence));
}

/// A rank that gave back a part of its queue is asked for more when more slots are idle.
#[test]
fn a_queue_is_asked_for_more_than_once() {
    let mut farm = one_full_one_idle();
    farm.hello(1, 2);
    assert!(matches!(farm.sent()[..], [_, (0, ToWorker::Recall { .. })]));
    let last = farm.turns.core.workers().get(Rank(0)).unwrap().book.tasks().last().unwrap().0;
    farm.report(0, Report { returned: vec![last], recall_answered: true, ..Report::default() });
    assert_eq!(farm.handed(), [(1, vec![last])]);
    let given = farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks()[0].0;
    farm.finish(1, [given]);
    assert!(matches!(farm.sent()[..], [(0, ToWorker::Recall { .. })]));
}

/// While there is something to hand out, no queue is touched: during the rationed start, slots are idle on purpose.
#[test]
fn nothing_is_recalled_while_tasks_are_pending() {
    let mut farm = TestFarm::new(4, 6);
    farm.hello(0, 1);
    farm.now += Duration::from_millis(100);
    let results = vec![TaskResult { duration_us: 1_000, ..result(0, Outcome::Exited(0)) }];
    farm.report(0, Report { results, ack: 1, ..Report::default() });
    assert_eq!(farm.turns.core.workers().get(Rank(0)).unwrap().book.queued(), 1);
    farm.sent();
    farm.hello(1, 8);
    assert_eq!(farm.handed(), [(1, vec![3, 4])], "its share of the list");
    farm.finish(1, []);
    assert_eq!(farm.handed(), []);
}

/// A stop asks for no queue: each rank gives back its own without being asked.
#[test]
fn a_stop_recalls_nothing() {
    let mut farm = one_full_one_idle();
    farm.hello(1, 1);
    let given = farm.turns.core.workers().get(Rank(1)).unwrap().book.tasks()[0].0;
    farm.event(Event::Signal(15));
    farm.sent();
    farm.finish(1, [given]);
    assert_eq!(farm.sent(), [], "nothing is pending");

    let mut farm = one_full_one_idle();
    farm.event(Event::Signal(15));
    farm.sent();
    farm.hello(1, 2);
    farm.report(1, Report::default());
    assert_eq!(farm.sent(), []);
}

/// A Recall that is not answered, because the rank died, does not keep others from being asked: found by the simulator.
#[test]
fn a_dead_rank_does_not_hold_up_a_recall() {
    let mut farm = one_full_one_idle();
    farm.hello(1, 2);
    assert!(matches!(farm.sent()[..], [_, (0, ToWorker::Recall { .. })]));
    farm.event(Event::LinkFailed(Rank(0), "broken".to_owned()));
    assert_eq!(farm.handed()[0].0, 1);
}

/// A node that cannot start processes gets no task for a while, and others get its tasks.
#[test]
fn a_paused_rank_is_left_alone_for_a_while() {
    let mut farm = TestFarm::up(2, 1, 4);
    farm.report(1, Report { returned: vec![1], pause_ms: 5_000, ..Report::default() });
    assert_eq!(farm.handed(), []);
    farm.finish(0, [0]);
    assert_eq!(farm.handed(), [(0, vec![1])]);
    assert!(farm.notes.contains(&Note::Paused(Rank(1))));
    farm.wait(Duration::from_millis(4_999));
    assert_eq!(farm.handed(), []);
    farm.wait(Duration::from_millis(2));
    assert_eq!(farm.handed(), [(1, vec![2])]);
}

/// A message of tasks is closed when it is long, and all its parts count as one.
#[test]
fn long_commands_travel_in_several_messages() {
    let command = vec![b'x'; 100_000];
    let list = Arc::new(TaskList::from_commands([command.as_slice(); 8]));
    let mut farm = TestFarm::new(1, 8);
    farm.turns.list = list;
    farm.hello(0, 8);
    let sizes: Vec<_> = farm.handed().iter().map(|(_, ids)| ids.len()).collect();
    assert_eq!(sizes, [2, 2, 2, 2]);
}
