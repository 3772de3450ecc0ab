//! How a status is worded.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Status;
use super::history::History;
use crate::cli::StatusArgs;
use crate::failures::Logs;
use crate::figures::report::{Figures, State};
use crate::figures::words;
use crate::shell::pasted;
use crate::shown;
use crate::stderr::say;
use crate::sys::clock;
use crate::workdir::names;
use crate::workdir::records::Commands;

/// `--json`: the figures, and the lists that were asked for.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    /// Seconds since the figures on what is running were written.
    age_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_tasks: Option<FailedTasks<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_tasks: Option<RunningTasks<'a>>,
}

#[derive(Serialize)]
struct FailedTask<'a> {
    id: u32,
    how: String,
    host: &'a str,
    log: String,
    command: String,
}

#[derive(Serialize)]
struct RunningTask<'a> {
    id: u32,
    seconds: f64,
    host: &'a str,
    rank: u32,
    command: String,
}

/// Prints what was asked for.
pub(super) fn status(status: &Status, args: &StatusArgs, workdir: &Path, out: &mut dyn Write) -> io::Result<()> {
    let failed = status.history.as_ref().filter(|_| args.failed).map(|history| FailedTasks::new(history, workdir));
    let running = args.running.then(|| RunningTasks::new(&status.figures, workdir));
    if args.json {
        let json = Json { figures: &status.figures, age_s: status.age_s, failed_tasks: failed, running_tasks: running };
        shown::to_json(&json, &mut *out)?;
        return out.write_all(b"\n");
    }
    if !args.lists() {
        return whole(status, out);
    }
    for task in failed.iter().flat_map(FailedTasks::tasks) {
        let [how, host, log, command] = [&task.how, task.host, &task.log, &task.command].map(shown::line);
        writeln!(out, "{}\t{how}\t{host}\t{log}\t{command}", task.id)?;
    }
    for task in running.iter().flat_map(RunningTasks::tasks) {
        let [host, command] = [task.host, &task.command].map(shown::line);
        writeln!(out, "{}\t{:.1}\t{host}\t{}\t{command}", task.id, task.seconds, task.rank)?;
    }
    if args.slowest.is_some() {
        for task in &status.figures.slowest {
            let [host, command] = [&task.host, &task.command].map(shown::line);
            writeln!(out, "{}\t{:.3}\t{host}\t{}\t{command}", task.id, task.seconds, task.rank)?;
        }
    }
    Ok(())
}

/// Prints what does not belong in lists. Lists go to other programs; problems must not be lost, nor get in the way.
pub(super) fn beside_lists(status: &Status, args: &StatusArgs) {
    if args.json || !args.lists() {
        return;
    }
    status.figures.damage.iter().for_each(|damage| say(&format!("damaged: {damage}")));
    // An empty list says enough to a program, but not to a person.
    if args.failed && io::stdout().is_terminal() && status.history.as_ref().is_some_and(|all| all.failures.is_empty()) {
        say("no task has failed");
    }
    let has_just_started = status.figures.state == State::Running && status.age_s.is_none();
    if args.running && has_just_started {
        say("note: the farm has just started; running tasks are known in about a second");
    }
}

/// The failed tasks. Each is assembled when it is printed: there may be millions.
struct FailedTasks<'a> {
    history: &'a History,
    commands: Commands,
    logs: RefCell<Logs<'a>>,
}

impl<'a> FailedTasks<'a> {
    fn new(history: &'a History, workdir: &'a Path) -> Self {
        let ids: Vec<u32> = history.failures.iter().map(|failure| failure.id).collect();
        Self { history, commands: Commands::find(workdir, names::FAILED, &ids), logs: RefCell::new(Logs::of(workdir)) }
    }

    fn tasks(&self) -> impl Iterator<Item = FailedTask<'_>> {
        self.history.failures.iter().map(|failure| FailedTask {
            id: failure.id,
            how: failure.end.to_string(),
            host: failure.rank.and_then(|rank| self.history.hosts.get(&rank)).map_or("", |host| host),
            log: self.logs.borrow_mut().name(failure.id),
            command: shown::text(&self.commands.get(failure.id)).into_owned(),
        })
    }
}

impl Serialize for FailedTasks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.tasks())
    }
}

/// The running tasks, longest first.
struct RunningTasks<'a> {
    figures: &'a Figures,
    commands: Commands,
    /// Place of the worker, ID and seconds.
    tasks: Vec<(usize, u32, f64)>,
}

impl<'a> RunningTasks<'a> {
    fn new(figures: &'a Figures, workdir: &Path) -> Self {
        let now = clock::since_1970().as_secs_f64();
        let workers = figures.workers.iter().enumerate();
        let mut tasks: Vec<(usize, u32, f64)> = workers
            .flat_map(|(place, worker)| worker.running.iter().map(move |task| (place, task)))
            .map(|(place, (id, since_s))| (place, *id, (now - since_s).max(0.0)))
            .collect();
        tasks.sort_by(|(_, a, long), (_, b, longer)| longer.total_cmp(long).then(a.cmp(b)));
        let mut ids: Vec<u32> = tasks.iter().map(|(_, id, _)| *id).collect();
        ids.sort_unstable();
        let commands =
            if ids.is_empty() { Commands::default() } else { Commands::find(workdir, names::TOPROCESS, &ids) };
        Self { figures, commands, tasks }
    }

    fn tasks(&self) -> impl Iterator<Item = RunningTask<'_>> {
        self.tasks.iter().map(|&(place, id, seconds)| RunningTask {
            id,
            seconds,
            host: &self.figures.workers[place].host,
            rank: self.figures.workers[place].rank,
            command: shown::text(&self.commands.get(id)).into_owned(),
        })
    }
}

impl Serialize for RunningTasks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.tasks())
    }
}

fn time(epoch_s: f64) -> String {
    let time = Timestamp::from_second(epoch_s as i64).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Prints all figures.
fn whole(status: &Status, out: &mut dyn Write) -> io::Result<()> {
    let is_at_work = status.figures.state.is_at_work();
    let mut lines = lines(status);
    lines[0].insert_str(0, &format!("{}: ", shown::line(&status.figures.workdir)));
    if is_at_work {
        lines.insert(1, status.figures.progress_line());
    }
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// All figures except the workdir and the progress, each on one or more lines; what the farm is doing comes first.
pub(super) fn lines(status: &Status) -> Vec<String> {
    let figures = &status.figures.for_eyes();
    let mut lines = vec![headline(figures, status.age_s)];
    let mut say = |line: &str| lines.push(line.to_owned());
    let at_work = figures.state.is_at_work();
    let remaining = figures.total.saturating_sub(figures.done());
    let [finished, failed, left] = [figures.finished, figures.failed, remaining].map(words::count);
    say(&format!("{finished} finished, {failed} failed, {left} remaining"));
    let now_s = clock::since_1970().as_secs_f64();
    if let Some(line) = figures.longest_running_line(now_s).filter(|_| at_work) {
        say(&line);
    }
    if let Some(earlier) = figures.earlier_text() {
        say(&format!("{earlier}; CPU time, lengths and failures cover all runs, the rest only the last run"));
    }
    if figures.slots > 0 {
        let lost = match &figures.lost_ranks[..] {
            [] => String::new(),
            ranks => format!("; lost: rank {}", ranks.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
        };
        say(&format!("{}, {}{lost}", words::counted(figures.ranks, "rank"), words::counted(figures.slots, "slot")));
    }
    figures.detail_lines(Path::new(&status.figures.workdir)).iter().for_each(|line| say(line));
    figures.damage.iter().for_each(|damage| say(&format!("damaged: {damage}")));
    figures.notes.iter().for_each(|note| say(&format!("note: {note}")));
    if !at_work && remaining > 0 && !figures.command.is_empty() {
        // As rank 0 wrote it, quoted.
        let command = &figures.command;
        match &status.figures.cwd[..] {
            // What is not UTF-8 was replaced there.
            cwd if cwd.is_empty() || cwd.contains(char::REPLACEMENT_CHARACTER) => {
                say(&format!("to resume, in the folder where it was started: {command}"));
            }
            cwd => say(&format!("to resume: cd {} && {command}", pasted(cwd.as_bytes()))),
        }
    }
    lines.iter().map(|line| shown::message(line).into_owned()).collect()
}

/// What the farm is doing.
fn headline(figures: &Figures, age_s: Option<f64>) -> String {
    let job = figures.job.as_ref().map_or_else(String::new, |job| format!(", job {job}"));
    let place = if figures.host.is_empty() {
        String::new()
    } else {
        format!(" on {} (pid {}{job})", figures.host, figures.pid)
    };
    let took = words::length(figures.elapsed_s);
    let age = age_s.map_or_else(String::new, |age| format!(", as of {} ago", words::whole(age)));
    match figures.state {
        State::Running if age_s.is_none() => format!("has just started{place}"),
        State::Running => format!("running{place} for {took}{age}"),
        State::Stopping => format!("stopping{place} after {took}{age}"),
        State::Ended => {
            let code = figures.exit_code.map_or_else(String::new, |code| format!(" with exit code {code}"));
            format!("ended{code} at {} after {took}{place}", time(figures.written_s))
        }
        State::Died if figures.started_s > 0.0 => {
            format!("did not end cleanly: started at {}{place}", time(figures.started_s))
        }
        State::Died => format!("did not end cleanly{place}"),
        State::Unknown => "no farm is at work here".to_owned(),
    }
}
