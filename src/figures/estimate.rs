//! How long the rest will take.
//!
//! Owns the estimate, from what can be known: how long the ended tasks took, how long the running ones have run, how
//! many are waiting, and how many slots there are. It avoids two errors of the simple rule "remaining tasks divided by
//! the rate so far". Long tasks end late, so early on only short ones have ended: a running task counts as lasting *at
//! least* its present age (the product-limit estimate of Kaplan and Meier). And at the end, slots fall idle while the
//! last tasks run: the time of the longest of these is added.

use std::time::Duration;

use crate::lengths::Lengths;

/// What an estimate is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    /// Lengths of tasks that have ended.
    pub ended: &'a Lengths,
    /// How long the running tasks have run so far.
    pub running: &'a Lengths,
    /// Tasks that have not started.
    pub waiting: u64,
    /// Tasks that can run at the same time.
    pub slots: u64,
    /// The share of slot time in which tasks ran so far, 0 to 1: the gaps between tasks take time, too.
    pub busy_share: f64,
}

/// A share below this is not believed: it is that of the start of a run.
const BUSY_SHARE_MIN: f64 = 0.05;

/// A task that has run for longer than any other keeps running for at least this share of its age.
const OVERTIME_MIN: f64 = 0.03;

/// Steps of the search for the end: a part in a million.
const STEPS: u32 = 40;

/// The logarithm of an even chance.
const LOG_HALF: f64 = -std::f64::consts::LN_2;

/// How long the rest takes, if nothing changes. None if no task has ended yet, or there are no slots.
pub(crate) fn time_left(situation: Situation<'_>) -> Option<Duration> {
    let Situation { ended, running, waiting, slots, busy_share } = situation;
    if waiting + running.count() == 0 {
        return Some(Duration::ZERO);
    }
    if ended.count() == 0 || slots == 0 {
        return None;
    }
    let model = Model::new(ended, running);
    let ages: Vec<(f64, f64)> = running.bins().map(|(us, count)| (us as f64, count as f64)).collect();
    let (slots, waiting) = (slots as f64, waiting as f64);
    let running_end = model.end_of_running(&ages);
    let end = if waiting == 0.0 {
        running_end
    } else {
        let speed = if busy_share.is_finite() { busy_share.clamp(BUSY_SHARE_MIN, 1.0) } else { 1.0 };
        let left: f64 = ages.iter().map(|&(age, count)| count * model.rest(age)).sum();
        let work = waiting * model.mean + left;
        let last = slots.min(waiting + running.count() as f64);
        // When the queue is empty, each slot still has, on average, this much of its task to run.
        let queue_empty = (work / slots - model.mean_excess.min(work / slots)) / speed;
        let waits_for_all = waiting >= slots;
        let queue_empty = if waits_for_all { queue_empty } else { model.freed(&ages, slots, waiting) / speed };
        let end = search(queue_empty, queue_empty + 2.0 * model.longest(), LOG_HALF, |at| {
            let past = at - queue_empty;
            if waits_for_all {
                last * (1.0 - model.excess_survival(past)).ln()
            } else {
                // They start between now and then.
                waiting * (1.0 - model.survival(past + queue_empty / 2.0)).ln()
            }
        });
        end.max(running_end)
    };
    Some(Duration::from_micros(end.max(0.0) as u64))
}

/// Where what rises reaches a value.
fn search(from: f64, to: f64, wanted: f64, rising: impl Fn(f64) -> f64) -> f64 {
    let (mut low, mut high) = (from, to);
    for _ in 0..STEPS {
        let middle = f64::midpoint(low, high);
        if rising(middle) < wanted { low = middle } else { high = middle }
    }
    high
}

/// The lengths of tasks, as far as they are known.
struct Model {
    /// Lengths, ascending.
    values: Vec<f64>,
    /// For each, the share of tasks that are longer.
    survival: Vec<f64>,
    /// For each, how much longer all longer tasks are, summed up.
    beyond: Vec<f64>,
    mean: f64,
    /// How much of a task observed at a random moment remains, on average.
    mean_excess: f64,
}

impl Model {
    fn new(ended: &Lengths, running: &Lengths) -> Self {
        let mut at_risk = (ended.count() + running.count()) as f64;
        let mut left = 1.0;
        let (mut values, mut survival) = (Vec::new(), Vec::new());
        let mut ages = running.bins().peekable();
        for (us, count) in ended.bins() {
            while let Some((_, censored)) = ages.next_if(|&(age, _)| age < us) {
                at_risk -= censored as f64;
            }
            left *= (1.0 - count as f64 / at_risk).max(0.0);
            at_risk -= count as f64;
            values.push(us as f64);
            survival.push(left);
        }
        if left > 1e-9 {
            // Some tasks have run for longer than any that has ended. A fair guess is that they exceed it by as much
            // again: twice their age, if they are of a kind of which none has ended yet; hardly more, if they are just
            // the longest of their kind.
            let longest = values.last().copied().unwrap_or(0.0);
            let age = longest.max(running.max_us() as f64);
            values.push((age + (age - longest).max(OVERTIME_MIN * age)).max(1.0));
            survival.push(0.0);
        } else if let Some(last) = survival.last_mut() {
            *last = 0.0;
        }
        let mut beyond = vec![0.0; values.len()];
        for index in (0..values.len().saturating_sub(1)).rev() {
            beyond[index] = beyond[index + 1] + survival[index] * (values[index + 1] - values[index]);
        }
        let first = values.first().copied().unwrap_or(0.0);
        let mean = (first + beyond.first().copied().unwrap_or(0.0)).max(1.0);
        let (mut squares, mut before) = (0.0, 1.0);
        for (value, after) in values.iter().zip(&survival) {
            squares += (before - after) * value * value;
            before = *after;
        }
        Self { values, survival, beyond, mean, mean_excess: squares / (2.0 * mean) }
    }

    fn longest(&self) -> f64 {
        self.values.last().copied().unwrap_or(0.0)
    }

    /// The share of tasks that are longer.
    fn survival(&self, than: f64) -> f64 {
        match self.values.partition_point(|&value| value <= than) {
            0 => 1.0,
            index => self.survival[index - 1],
        }
    }

    /// Per task, how much of it lies beyond this length.
    fn beyond(&self, than: f64) -> f64 {
        let index = self.values.partition_point(|&value| value <= than);
        self.values.get(index).map_or(0.0, |next| self.beyond[index] + self.survival(than) * (next - than))
    }

    /// How much longer a task of this age runs, on average.
    fn rest(&self, age: f64) -> f64 {
        let survival = self.survival(age);
        // Older than any known task: it is about to end, or it is not.
        if survival > 0.0 { self.beyond(age) / survival } else { OVERTIME_MIN * age }
    }

    /// The chance that a task observed at a random moment lasts for longer than this.
    fn excess_survival(&self, than: f64) -> f64 {
        if than <= 0.0 { 1.0 } else { (self.beyond(than) / self.mean).clamp(0.0, 1.0) }
    }

    /// When all of these, of (age, count), have ended.
    fn end_of_running(&self, ages: &[(f64, f64)]) -> f64 {
        search(0.0, 2.0 * self.longest(), LOG_HALF, |at| {
            ages.iter().map(|&(age, count)| count * (1.0 - self.lasts(age, at)).ln()).sum()
        })
    }

    /// When this many slots have become free for `waiting` tasks.
    fn freed(&self, ages: &[(f64, f64)], slots: f64, waiting: f64) -> f64 {
        let running: f64 = ages.iter().map(|(_, count)| count).sum();
        let wanted = waiting - (slots - running);
        search(0.0, if wanted > 0.0 { self.longest() } else { 0.0 }, wanted, |at| {
            ages.iter().map(|&(age, count)| count * (1.0 - self.lasts(age, at))).sum()
        })
    }

    /// The chance that a task of this age lasts for this much longer.
    fn lasts(&self, age: f64, more: f64) -> f64 {
        let now = self.survival(age);
        if now > 0.0 { self.survival(age + more) / now } else { f64::from(u8::from(more < OVERTIME_MIN * age)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lengths(all: &[(u64, u64)]) -> Lengths {
        let mut lengths = Lengths::default();
        all.iter().for_each(|&(us, count)| lengths.add_many(us, count));
        lengths
    }

    fn left(ended: &[(u64, u64)], running: &[(u64, u64)], waiting: u64, slots: u64) -> Option<f64> {
        let (ended, running) = (lengths(ended), lengths(running));
        let situation = Situation { ended: &ended, running: &running, waiting, slots, busy_share: 1.0 };
        time_left(situation).map(|time| time.as_secs_f64())
    }

    const S: u64 = 1_000_000;

    /// Nothing is known before the first end; nothing is left when all have ended.
    #[test]
    fn the_ends_are_plain() {
        assert_eq!(left(&[], &[(S, 4)], 10, 4), None);
        assert_eq!(left(&[(S, 1)], &[], 10, 0), None, "nobody works");
        assert_eq!(left(&[(S, 9)], &[], 0, 4), Some(0.0));
    }

    /// Tasks of one length: the rounds that are left.
    #[test]
    fn equal_tasks_go_in_rounds() {
        let found = left(&[(10 * S, 40)], &[(S, 4)], 36, 4).unwrap();
        assert!((90.0..=110.0).contains(&found), "{found}: nine rounds of 10 s, and 9 s of the present one");
        let found = left(&[(10 * S, 40)], &[(8 * S, 4)], 0, 4).unwrap();
        assert!((1.0..=3.0).contains(&found), "{found}: those that run have 2 s before them");
        let found = left(&[(10 * S, 40)], &[(8 * S, 4)], 1, 4).unwrap();
        assert!((10.0..=14.0).contains(&found), "{found}: one more, when the first of them ends");
    }

    /// Long tasks that have not ended yet count as what they are: longer than those that have.
    #[test]
    fn running_tasks_count() {
        let naive = 900.0 / 10.0;
        let found = left(&[(S, 100)], &[(50 * S, 10)], 890, 10).unwrap();
        assert!(found > 3.0 * naive, "{found}");
    }

    /// A farm that spends half of its time between tasks takes twice as long.
    #[test]
    fn what_lies_between_tasks_takes_time() {
        let (ended, running) = (lengths(&[(S, 1_000)]), lengths(&[(S / 2, 10)]));
        let at = |busy_share| {
            let situation = Situation { ended: &ended, running: &running, waiting: 10_000, slots: 10, busy_share };
            time_left(situation).unwrap().as_secs_f64()
        };
        assert!((at(0.5) / at(1.0) - 2.0).abs() < 0.01);
        assert!(at(f64::NAN) > 0.0 && at(0.0) > 0.0);
    }

    proptest! {
        /// Whatever the lengths are, there is an answer, and it is a time.
        #[test]
        fn any_situation_has_an_answer(
            ended: Vec<(u32, u8)>, running: Vec<(u32, u8)>, waiting: u32, slots in 1_u32.., busy_share: f64,
        ) {
            let wide = |all: Vec<(u32, u8)>| -> Vec<(u64, u64)> {
                all.into_iter().map(|(us, count)| (u64::from(us), u64::from(count))).filter(|(_, n)| *n > 0).collect()
            };
            let (ended, running) = (lengths(&wide(ended)), lengths(&wide(running)));
            let situation = Situation {
                ended: &ended, running: &running, waiting: u64::from(waiting), slots: u64::from(slots), busy_share,
            };
            let found = time_left(situation);
            prop_assert_eq!(found.is_none(), ended.count() == 0 && u64::from(waiting) + running.count() > 0);
        }
    }
}
