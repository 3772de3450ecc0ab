//! Chaos: whatever is killed or signaled, and whenever, the same command completes the list.
//!
//! A round is one list from an empty workdir to its end, with several disturbances. `TASKFARMER_CHAOS_ROUNDS` is the
//! number of rounds; `TASKFARMER_SEED` repeats a round's list and disturbances, though not its timing.
//! `mpi-tests/chaos` runs many.

mod harm;
mod record;

use std::collections::BTreeSet;
use std::io::Write;
use std::time::{Duration, Instant};

use crate::support::{Farm, Mpi, Outcome, Random};
use harm::{Harm, Moment, Told};
use record::{Record, timeline_has_all};

const RANKS: u32 = 3;
const COUNT: usize = 2000;
const ROUNDS: u64 = 6;

/// The longest that a run may take: thirty times what it needs.
const RUN_MAX_SECS: u64 = 90;

/// How long after its end a harmed run may leave processes: those whose launcher was killed notice it by themselves.
const VANISH: Duration = Duration::from_secs(20);

/// How long a launcher may need to notice that all its ranks are dead.
const LAUNCHER_PATIENCE: Duration = Duration::from_secs(15);

/// A task that appends its ID to a file in one write, and ends.
struct Task {
    command: String,
    exit: u8,
    /// It kills its pool: it has failed when it has done so too often.
    is_poison: bool,
}

/// A task that does one of many things. Few leave processes behind, because each of these holds its slot for seconds.
fn task(id: usize, random: &mut Random) -> Task {
    let start = format!("echo {id} >> ran");
    let (command, exit) = match random.below(1000) {
        0..40 => (format!("{start}; exit 3"), 3),
        40..80 => (format!("{start}; exec sleep 0.0{}", 1 + random.below(9)), 0),
        80..100 => (format!("(sleep 0.0{}; :) & {start}", 1 + random.below(9)), 0),
        100..102 => (format!("setsid sleep 600 & {start}"), 0),
        102 => (format!("(setsid sh -c 'trap \"\" TERM; sleep 600' &); {start}"), 0),
        103..108 => (format!("trap '' TERM; {start}; sleep 0.2"), 0),
        _ => (start, 0),
    };
    Task { command, exit, is_poison: false }
}

fn poison(id: usize) -> Task {
    Task { command: format!("echo {id} >> ran; kill -9 $PPID; sleep 600"), exit: 9, is_poison: true }
}

/// What the harm to one run may have caused.
#[derive(Clone, Copy, Default)]
struct Damage {
    /// Files may be torn, and the exit code is the launcher's.
    abrupt: bool,
    may_stop: bool,
    /// Tasks may run twice in one run.
    repeats: bool,
    launcher_was_told: bool,
}

/// What is known of a farm from run to run.
struct Round {
    farm: Farm,
    tasks: Vec<Task>,
    random: Random,
    record: Record,
    /// Tasks that received SIGKILL: they may have failed, and may not have reached their `echo`.
    struck: BTreeSet<u64>,
}

impl Round {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut tasks: Vec<Task> = (0..COUNT).map(|id| task(id, &mut random)).collect();
        if random.percent(15) {
            let id = usize::try_from(random.below(COUNT as u64)).unwrap();
            say(&format!("  task {id} kills its pool"));
            tasks[id] = poison(id);
        }
        let list: String = tasks.iter().map(|task| format!("{}\n", task.command)).collect();
        let farm = Farm::mpi(RANKS, list.as_bytes()).time_limit(RUN_MAX_SECS);
        Self { farm, tasks, random, record: Record::default(), struck: BTreeSet::new() }
    }

    fn begun(farm: &Farm) -> Vec<u64> {
        let lines = farm.lines("ran");
        lines.iter().map(|line| line.parse().unwrap_or_else(|_| panic!("ran: {line:?}"))).collect()
    }

    /// A run, harmed or not, and all checks that are possible after it.
    fn run(&mut self, harms: &[(Harm, Moment)]) {
        let before = Self::begun(&self.farm).len();
        // With sixteen slots several threads start the tasks.
        let (slots, logs) = (self.random.pick(&["2", "4", "16"]), self.random.pick(&["task", "failed", "rank"]));
        let mut options = ["--proc", slots, "--logs", logs, "--grace", "3"].map(str::to_owned).to_vec();
        options.extend(harms.iter().flat_map(|(harm, _)| harm.options()));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let mut running = self.farm.start(&options);
        let begun = || Self::begun(&self.farm).len() - before;
        let is_timed = |(harm, _): &&(Harm, Moment)| matches!(harm, Harm::Timeout(_));
        // Tasks beside one that kills its pool die with it.
        let repeats = self.tasks.iter().any(|task| task.is_poison);
        let mut damage = Damage { may_stop: harms.iter().any(|harm| is_timed(&harm)), repeats, ..Damage::default() };
        for (harm, moment) in harms.iter().filter(|harm| !is_timed(harm)) {
            if !moment.comes(&mut running, begun) {
                break;
            }
            // Before MPI is up on all ranks, a signal may reach a process that does not handle it yet.
            let is_early = harm.is_stop() && begun() == 0;
            let hit = harm.happen(&mut self.random, &mut running);
            self.struck.extend(hit.task);
            if hit.happened {
                damage.abrupt |= harm.is_abrupt() || is_early;
                damage.may_stop |= harm.is_stop();
                damage.repeats |= harm.repeats_tasks();
                damage.launcher_was_told |= matches!(harm, Harm::Stop(_, Told::Launcher));
            }
        }
        if damage.abrupt && running.end_a_launcher_without_ranks(LAUNCHER_PATIENCE) {
            say("    the launcher hung without ranks and was ended");
        }
        let outcome = running.wait_within(VANISH);
        self.check(&outcome, before, damage);
        say(&format!("    {} recorded after {:.1} s", self.record.ids.len(), outcome.elapsed.as_secs_f64()));
    }

    fn check(&mut self, outcome: &Outcome, before: usize, damage: Damage) {
        let workdir = self.farm.workdir();
        let record = Record::read(&workdir, &self.tasks, &self.struck, damage.abrupt);
        record.continues(&self.record);
        timeline_has_all(&self.farm, &record, &self.tasks, &self.struck, damage.abrupt);

        let ran = Self::begun(&self.farm);
        let again: Vec<&u64> = ran[before..].iter().filter(|id| self.record.ids.contains(id)).collect();
        assert!(again.is_empty(), "recorded before this run, and ran again: {again:?}");
        let ever: BTreeSet<u64> = ran.iter().copied().collect();
        let never: Vec<&u64> = record.ids.iter().filter(|id| !ever.contains(id) && !self.struck.contains(id)).collect();
        assert!(never.is_empty(), "recorded, but never ran: {never:?}");
        if !damage.repeats {
            let this_run: BTreeSet<u64> = ran[before..].iter().copied().collect();
            assert_eq!(this_run.len(), ran.len() - before, "no rank was lost, but tasks ran twice in this run");
        }

        assert!(!outcome.stderr_text().contains("panicked"), "a panic");
        if damage.abrupt {
            let (is_complete, own) = (record.ids.len() == COUNT, outcome.own_code());
            assert!(is_complete || !matches!(own, Some(0 | 1)), "the farm's own code is {own:?}, but tasks are open");
            // The exit code is the launcher's, unless the harm came when everything was done. MPICH's can be 0 although
            // rank 0 was killed.
            let code = outcome.status.unwrap().code();
            let is_fine = is_complete || damage.launcher_was_told || Mpi::of_program() == Mpi::Mpich;
            assert!(is_fine || code != Some(0), "exit code {code:?}, but tasks are open");
        } else {
            self.check_end_in_order(outcome, &record, damage.may_stop);
        }
        self.record = record;
    }

    /// A farm that was not killed reports how it ended.
    fn check_end_in_order(&self, outcome: &Outcome, record: &Record, may_stop: bool) {
        let (done, failed) = (record.ids.len(), self.farm.workdir().failed().len());
        // Some tasks fail on purpose.
        let code = if done == COUNT { 1 } else { 3 };
        assert_eq!(outcome.own_code(), Some(code), "the farm's own code, {done} recorded");
        // A rank whose pool was suspended may be given up while the farm stops. Nothing waits for it in MPI_Finalize
        // then, and the launcher has a code of its own. The pool of rank 0 does not concern MPI.
        let is_lost = |line: &str| line.contains("lost in this run: rank") && !line.contains("rank 0 (1 not back)");
        let is_launchers = outcome.stderr_text().lines().any(is_lost);
        let by_launcher = outcome.status.and_then(|status| status.code());
        assert!(is_launchers || by_launcher == Some(code), "exit code {by_launcher:?}, {done} recorded");
        assert!(may_stop || done == COUNT, "stopped without a reason");
        let counts = [done - failed, failed, COUNT - done].map(|count| u64::try_from(count).unwrap());
        assert_eq!(outcome.summary(), counts, "summary");
        let open: BTreeSet<u64> = (0..COUNT as u64).filter(|id| !record.ids.contains(id)).collect();
        let toprocess: BTreeSet<u64> = self.farm.workdir().toprocess().into_keys().collect();
        assert_eq!(toprocess, open, "toprocess");
        assert!(!self.farm.workdir().file("lock").exists(), "the lock is left behind");
    }

    /// At the end of a round: each task is recorded once, and has run.
    fn is_complete(&self) {
        assert_eq!(self.record.ids, (0..COUNT as u64).collect::<BTreeSet<u64>>(), "recorded at the end");
        let ran: BTreeSet<u64> = Self::begun(&self.farm).into_iter().collect();
        let never: Vec<u64> = (0..COUNT as u64).filter(|id| !ran.contains(id) && !self.struck.contains(id)).collect();
        assert!(never.is_empty(), "never ran: {never:?}");
        let failed: BTreeSet<u64> = self.farm.workdir().failed().into_keys().collect();
        let to_fail = (0..).zip(&self.tasks).filter(|(_, task)| task.exit != 0).map(|(id, _)| id);
        let succeeded: Vec<u64> = to_fail.filter(|id| !failed.contains(id)).collect();
        assert!(succeeded.is_empty(), "not in failed: {succeeded:?}");
        let listing = std::fs::read_dir(self.farm.workdir().path()).unwrap();
        let names: BTreeSet<String> = listing.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        let wanted =
            ["failed", "finished", "logs", "status.json", "tasks.tsv", "timeline.json", "toprocess"].map(str::to_owned);
        assert_eq!(names, BTreeSet::from(wanted), "what is in the workdir");
    }
}

/// Prints it in spite of the test's captured output: a seed that is not visible is useless.
fn say(text: &str) {
    std::io::stderr().write_all(format!("chaos: {text}\n").as_bytes()).unwrap();
}

/// Prints how to repeat the round in which a test failed.
struct Replay(u64);

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            say(&format!("FAILED; to repeat this round: TASKFARMER_SEED={} mpi-tests/chaos", self.0));
        }
    }
}

fn round(seed: u64) {
    let start = Instant::now();
    let _replay = Replay(seed);
    let mut round = Round::new(seed);
    let disturbed = 2 + round.random.below(2);
    let mut runs = 0;
    while runs < disturbed && round.record.ids.len() < COUNT {
        let harms = harm::draw(&mut round.random, COUNT - round.record.ids.len());
        let shown: Vec<String> = harms.iter().map(|(harm, moment)| harm.shown(moment)).collect();
        say(&format!("  {}", shown.join("; ")));
        round.run(&harms);
        runs += 1;
    }
    round.run(&[]);
    round.is_complete();
    say(&format!("  complete after {} runs and {:.1} s", runs + 1, start.elapsed().as_secs_f64()));
}

/// Nothing is lost and nothing is recorded twice, whatever is killed or signaled, and whenever.
#[test]
fn nothing_is_lost_and_nothing_is_recorded_twice() {
    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(text.parse::<u64>().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
    };
    let seed = number("TASKFARMER_SEED");
    let rounds = number("TASKFARMER_CHAOS_ROUNDS").unwrap_or(if seed.is_some() { 1 } else { ROUNDS });
    let first = seed.unwrap_or_else(Random::new_seed);
    for (count, seed) in (1..=rounds).zip(first..) {
        say(&format!("round {count} of {rounds}, TASKFARMER_SEED={seed}"));
        round(seed);
    }
}
