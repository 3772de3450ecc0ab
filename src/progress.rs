//! What the user reads on the terminal.
//!
//! Owns the words; only rank 0 says them. The progress of a run is shown in a live line (`bar`) or in lines at growing
//! intervals; figures are gathered in `gather`.

mod bar;
mod failed;
mod gather;
mod notes;
mod phrases;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use env_logger::Target;
use jiff::Timestamp;
use log::{Level, LevelFilter};

use crate::cli::Progress;
use crate::cli::typed::{command_line, program_as_typed};
use crate::config::{Config, SLOTS_DEFAULT};
use crate::failures;
use crate::farmer::{End, Farmer, Note, StopCause};
use crate::figures::report::{Figures, State};
use crate::figures::tally::Tally;
use crate::figures::watch::Watch;
use crate::figures::words;
use crate::protocol::{Logs, SlotCount, StopLevel, WorkerConfig};
use crate::shell::pasted_path;
use crate::shown;
use crate::stderr::{self, LiveLine, PROGRAM, say, say_error};
use crate::sys::clock::{Clock, thread_cpu_time};
use crate::sys::host;
use crate::sys::launcher::Launch;
use crate::sys::launcher::allocation::Unused;
use crate::sys::library::Library;
use crate::sys::terminal;
use crate::task::Rank;
use crate::tasklist::TaskList;
use crate::workdir::StatusFile;
pub(crate) use bar::line as bar_line;
use failed::Failures;
use phrases::{announcement, each, next_steps, paragraphs, who};

/// The log target for what this module reports about rank 0 itself; what happens to other ranks is reported with their
/// names.
const OWN: &str = "taskfarmer";

/// How often the live line is redrawn, and how often figures are looked at without one.
const LOOK_LIVE: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_secs(1);

/// After a look that took much CPU time, on a farm of thousands of ranks, there is none for this many times as long.
/// Time for which a look was held up doesn't count: one stall would leave the line unchanged for a hundred times as
/// long.
const LOOK_FACTOR: u32 = 100;

/// When the first line in batch output is printed, and the longest time between two lines.
const LINE_FIRST: Duration = Duration::from_secs(30);
const LINE_INTERVAL_MAX: Duration = Duration::from_secs(600);

/// A run that took at least this long is described in detail.
const DETAILS_FROM: Duration = Duration::from_secs(60);

/// The current time, as it appears in log lines.
fn stamp() -> impl std::fmt::Display {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ")
}

/// Makes log records of this process appear on the terminal, with time, rank and host.
pub(crate) fn install_logger(level: LevelFilter) {
    let format = |out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>| {
        let level = match record.level() {
            Level::Warn => "warning".to_owned(),
            level => level.as_str().to_lowercase(),
        };
        // What this module says of a rank names it already.
        let own = match record.target().starts_with(module_path!()) {
            true => String::new(),
            false => format!("rank 0 ({}): ", host::name()),
        };
        writeln!(out, "{PROGRAM}: {level}: {} {own}{}", stamp(), shown::message(&record.args().to_string()))
    };
    let out = Target::Pipe(Box::new(stderr::Lines));
    // A second logger in one process is a bug of tests only; the first one stays.
    let _ = env_logger::Builder::new().filter_level(level).format(format).target(out).try_init();
}

/// Reports the course of a run.
#[derive(Debug)]
pub(crate) struct Reporter {
    quiet: bool,
    advise_slots: bool,
    warned_of_slots: bool,
    /// The user was told of a rank that has no room for a task.
    told_shortage: bool,
    /// What tasks ask for, for the first line.
    each: String,
    /// The workdir as the user typed it.
    workdir: PathBuf,
    grace: Duration,
    /// What runs the tasks, until this is printed; on a single rank, its slots are added.
    who: Option<String>,
    failures: Failures,
    watch: Watch,
    clock: Clock,
    next_look: Duration,
    look_interval: Duration,
    live: Option<LiveLine>,
    colour: bool,
    /// When the next line of batch output is due.
    next_line: Option<Duration>,
    /// What is known of this run before it starts: what may be typed to resume it, which process runs it.
    about: Figures,
    /// What comes before the program's name: a launcher, if there is one.
    launched: String,
    status_file: StatusFile,
}

impl Reporter {
    /// The start of a run.
    pub(crate) fn start(
        config: &Config,
        start: &WorkerConfig,
        workdir: &Path,
        status_file: StatusFile,
        core: &Farmer,
        clock: Clock,
    ) -> Self {
        let tasks = core.tasks();
        let launch = Launch::of_this_process();
        let launched = launch.map_or_else(String::new, |launch| format!("{} … ", launch.launcher.command()));
        let typed = command_line(std::env::args_os());
        if let Some(unused) = Unused::by_this_process(&host::name()) {
            log::warn!(target: OWN, "{}", unused.warning(&typed, Library::option_of_srun()));
        }
        let command = format!("{launched}{typed}");
        let how = match config.options.progress {
            _ if config.options.quiet => Progress::None,
            Progress::Auto if terminal::is_screen(&io::stderr()) => Progress::Bar,
            Progress::Auto => Progress::Log,
            how => how,
        };
        let live = (how == Progress::Bar).then(LiveLine::start);
        let now = clock.now();
        Self {
            quiet: config.options.quiet,
            advise_slots: matches!(start.slots, SlotCount::CpusUpTo(_)),
            warned_of_slots: false,
            told_shortage: false,
            each: each(&start.kinds),
            workdir: config.workdir.clone(),
            grace: config.options.grace.length,
            who: Some(who(start, config.options.farmer_only, core.workers().len())),
            failures: Failures::new(now),
            watch: Watch::new(now),
            clock,
            next_look: now,
            look_interval: if live.is_some() { LOOK_LIVE } else { LOOK },
            live,
            colour: terminal::wants_color(&io::stderr()),
            next_line: (how == Progress::Log).then_some(now + LINE_FIRST),
            launched,
            about: gather::about(command, workdir, tasks),
            status_file,
        }
    }

    /// When [`Self::look`] is due.
    pub(crate) fn next_look(&self) -> Duration {
        self.next_look
    }

    /// Looks at the farm, if it is time to, and shows the progress on the terminal and in `status.json`.
    pub(crate) fn look(&mut self, core: &Farmer, tally: &Tally, list: &TaskList) {
        let now = self.clock.now();
        if now < self.next_look {
            return;
        }
        let before = thread_cpu_time();
        self.watch.look(now, core, tally);
        let figures = || gather::figures(&self.about, core, tally, &self.watch, self.clock);
        if let Some(live) = &self.live {
            live.show(|columns| bar::line(&figures(), columns, self.colour));
        }
        if !self.quiet {
            self.failures.look(now, &self.workdir, tally).iter().for_each(|line| say(line));
        }
        if self.next_line.is_some_and(|at| now >= at) {
            let elapsed = now - self.watch.started;
            self.next_line = Some(now + elapsed.clamp(LINE_FIRST, LINE_INTERVAL_MAX));
            say(&format!("{} rank 0 ({}): {}", stamp(), self.about.host, figures().progress_line()));
        }
        if self.status_file.is_due() {
            let mut figures = figures();
            gather::add_workers(&mut figures, core, &self.watch, self.clock);
            gather::add_slowest(&mut figures, core, tally, list);
            figures.next_in_s = self.status_file.interval().as_secs_f64();
            self.status_file.write(gather::json(&figures));
        }
        self.next_look = now + self.look_interval.max((thread_cpu_time() - before) * LOOK_FACTOR);
    }

    /// Reports an event that the user may want to know about.
    pub(crate) fn note(&mut self, note: &Note, core: &Farmer) {
        match note {
            Note::Joined(rank) => self.joined(*rank, core),
            Note::Stopping(_, StopCause::AllDone) => log::debug!(target: OWN, "all tasks are recorded"),
            // The error at the end says it all.
            Note::Stopping(_, StopCause::NoRoom { .. }) => {}
            Note::Stopping(level, cause) => self.stopping(*level, cause),
            other => notes::log(other, core),
        }
    }

    /// A rank takes part from now on.
    fn joined(&mut self, rank: Rank, core: &Farmer) {
        let Some(worker) = core.workers().get(rank) else { return };
        let slots = worker.book.slots();
        self.watch.joined(self.clock.now(), slots);
        log::info!("rank {rank} is up: {} slots, {} CPUs, host {}", slots, worker.capacity.cpus, worker.host);
        if self.quiet {
            return;
        }
        if let Some(shortage) = &worker.shortage {
            // Of a single rank, the error at the end says it.
            if core.workers().len() > 1 && !std::mem::replace(&mut self.told_shortage, true) {
                say(&format!("rank {rank} ({}) runs no tasks: {shortage}", worker.host));
            }
            return;
        }
        if let Some(who) = self.who.take() {
            say(&announcement(core.tasks(), &who, slots, &self.each, &self.workdir));
        }
        let cpus = worker.capacity.cpus;
        if self.advise_slots && cpus > SLOTS_DEFAULT && slots == SLOTS_DEFAULT {
            self.advise_slots = false;
            say(&format!(
                "rank {rank} has {} CPUs and runs {SLOTS_DEFAULT} tasks at a time; --proc auto uses all",
                cpus
            ));
        }
        let at_a_time = slots.min(core.tasks().remaining());
        if !self.warned_of_slots && at_a_time > cpus && cpus > 0 {
            self.warned_of_slots = true;
            say(&format!(
                "rank {rank} runs {} tasks at a time on {} {}; --proc auto runs one per CPU",
                slots,
                cpus,
                words::plural(u64::from(cpus), "CPU")
            ));
        }
    }

    /// The farm begins to stop, or stops at a higher level.
    fn stopping(&self, level: StopLevel, cause: &StopCause) {
        // Any other cause is not a signal from the user.
        let again = match cause {
            StopCause::Signal { .. } => "a second Ctrl-C",
            _ => "pressing Ctrl-C twice",
        };
        let how = match level {
            StopLevel::Drain => "no more tasks are started, running tasks may finish".to_owned(),
            StopLevel::Terminate if self.grace.is_zero() => "running tasks are killed".to_owned(),
            StopLevel::Terminate => format!(
                "running tasks get SIGTERM now and SIGKILL in {}; {again} kills them immediately",
                match self.grace.subsec_nanos() {
                    0 => words::whole(self.grace.as_secs_f64()),
                    _ => words::length(self.grace.as_secs_f64()),
                }
            ),
            StopLevel::Kill => "running tasks are killed".to_owned(),
        };
        // The summary says what to do about it.
        let cause = cause.to_string();
        say(&format!("stopping: {}; {how}", cause.lines().next().unwrap_or_default()));
    }

    /// Reports how a run ended, and leaves the same in `status.json`.
    pub(crate) fn finish(mut self, config: &Config, core: &Farmer, end: &End, tally: &Tally, list: &TaskList) {
        let now = self.clock.now();
        // The line is gone before anything else is said.
        self.live = None;
        self.watch.close(now, core);
        let mut figures = gather::figures(&self.about, core, tally, &self.watch, self.clock);
        figures.state = State::Ended;
        figures.exit_code = Some(end.exit_code().code());
        figures.lost_ranks = end.lost.iter().map(|rank| rank.0).collect();
        gather::add_slowest(&mut figures, core, tally, list);
        // If the disk fails, logs are not searched.
        if !end.cause.is_failure() {
            figures.failures = failures::group(
                Path::new(&figures.workdir),
                tally,
                |rank| core.workers().get(Rank(rank)).map(|worker| worker.host.clone()),
                gather::hosts(core),
            );
        }
        self.tell_end(config, core, end, now, &figures, tally);
        gather::add_workers(&mut figures, core, &self.watch, self.clock);
        self.status_file.finish(&gather::json(&figures));
    }

    fn tell_end(&self, config: &Config, core: &Farmer, end: &End, took: Duration, figures: &Figures, tally: &Tally) {
        let all_is_well = end.failed + end.remaining == 0 && end.lost.is_empty();
        if self.quiet && all_is_well && !end.cause.is_failure() {
            return;
        }
        let ranks = core.workers().len();
        let slots: u64 = core.workers().iter().map(|(_, worker)| u64::from(worker.book.slots())).sum();
        say(&format!(
            "{} finished, {} failed, {} remaining; {} on {ranks} {}, {slots} {}",
            end.finished,
            end.failed,
            end.remaining,
            words::length(took.as_secs_f64()),
            words::plural(u64::from(ranks), "rank"),
            words::plural(slots, "slot"),
        ));
        if figures.total > 0 && figures.earlier == figures.total {
            say("nothing was left to run: all tasks had already been recorded by earlier runs");
        }
        let in_detail = took >= DETAILS_FROM || config.options.verbose > 0;
        let lines = match in_detail {
            true => figures.detail_lines(&config.workdir),
            false => figures.trouble_lines(&config.workdir),
        };
        if let Some(earlier) = figures.earlier_text().filter(|_| figures.earlier < figures.total) {
            // The counts cover all runs; the details cover this one only.
            let rest = if lines.is_empty() { "" } else { "; what follows covers this run only" };
            say(&format!("{earlier}{rest}"));
        }
        paragraphs(&lines).iter().for_each(|paragraph| say(paragraph));
        notes::troubles(core, end, tally).iter().for_each(|text| say(text));
        self.tell_next_steps(config, end);
        if end.cause.is_failure() {
            say_error(&end.cause.to_string());
        } else if end.remaining > 0 {
            say(&format!("to resume, run the same command again: {}", self.about.command));
        }
    }

    /// What can be done about tasks that failed.
    fn tell_next_steps(&self, config: &Config, end: &End) {
        if end.failed == 0 {
            return;
        }
        let (program, workdir) = (program_as_typed(), pasted_path(&config.workdir));
        let mut steps = vec![("list the failed tasks", format!("{program} status --failed {workdir}"))];
        if config.options.logs != Logs::None {
            steps.push(("print what one of them wrote", format!("{program} logs {workdir} ID")));
        }
        // After a stop by a signal or a limit, the remaining tasks come first.
        if end.remaining == 0 || matches!(end.cause, StopCause::Halt { .. }) {
            let rest = command_line(std::env::args_os().skip(1));
            steps.push(("run them all again", format!("{}{program} --retry-failed {rest}", self.launched)));
        }
        say(&next_steps(&steps));
    }
}
