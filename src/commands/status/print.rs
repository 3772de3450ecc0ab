//! How a status reads.

use std::fmt::Write;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use serde::Serialize;

use super::records::commands;
use super::{Status, StatusArgs};
use crate::failures::Logs;
use crate::figures::report::{Figures, State};
use crate::figures::words;

/// `--json`: the figures, and the lists that were asked for.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    figures: &'a Figures,
    /// Seconds since the figures on what runs were written.
    age_s: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_tasks: Option<Vec<FailedTask>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    running_tasks: Option<Vec<RunningTask>>,
}

#[derive(Serialize)]
struct FailedTask {
    id: u32,
    how: String,
    host: String,
    log: String,
    command: String,
}

#[derive(Serialize)]
struct RunningTask {
    id: u32,
    seconds: f64,
    host: String,
    rank: u32,
    command: String,
}

/// Appends what was asked for.
pub(super) fn status(status: &Status, args: &StatusArgs, workdir: &Path, out: &mut String) {
    let failed = args.failed.then(|| failed_tasks(status, workdir));
    let running = args.running.then(|| running_tasks(&status.figures, workdir));
    if args.json {
        let json = Json { figures: &status.figures, age_s: status.age_s, failed_tasks: failed, running_tasks: running };
        out.push_str(&serde_json::to_string(&json).expect("numbers and strings are JSON"));
        out.push('\n');
        return;
    }
    let lists = args.failed || args.running || args.slowest.is_some();
    if !lists {
        return whole(status, out);
    }
    // Writing into a String never fails.
    for task in failed.unwrap_or_default() {
        let _ = writeln!(out, "{}\t{}\t{}\t{}\t{}", task.id, task.how, task.host, task.log, task.command);
    }
    for task in running.unwrap_or_default() {
        let _ = writeln!(out, "{}\t{:.1}\t{}\t{}\t{}", task.id, task.seconds, task.host, task.rank, task.command);
    }
    if args.slowest.is_some() {
        for task in &status.figures.slowest {
            let _ = writeln!(out, "{}\t{:.3}\t{}\t{}\t{}", task.id, task.seconds, task.host, task.rank, task.command);
        }
    }
    // Lists go into other programs; what is wrong must not be lost, nor be in the way.
    status.figures.damage.iter().for_each(|damage| crate::progress::say(&format!("damaged: {damage}")));
    let has_just_started = status.figures.state == State::Running && status.age_s.is_none();
    if args.running && has_just_started {
        crate::progress::say("note: the farm has just started; running tasks are known in about a second");
    }
}

fn failed_tasks(status: &Status, workdir: &Path) -> Vec<FailedTask> {
    let ids: Vec<u32> = status.failed.iter().map(|(id, ..)| *id).collect();
    let commands = commands(workdir, "failed", &ids);
    let mut logs = Logs::of(workdir);
    let tasks = status.failed.iter().map(|(id, how, host)| FailedTask {
        id: *id,
        how: how.clone(),
        host: host.clone(),
        log: logs.name(*id),
        command: command_of(&commands, *id),
    });
    tasks.collect()
}

fn running_tasks(figures: &Figures, workdir: &Path) -> Vec<RunningTask> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let mut ids: Vec<u32> = figures.workers.iter().flat_map(|worker| &worker.running).map(|(id, _)| *id).collect();
    ids.sort_unstable();
    let commands = if ids.is_empty() { Vec::new() } else { commands(workdir, "toprocess", &ids) };
    let mut tasks: Vec<RunningTask> = figures
        .workers
        .iter()
        .flat_map(|worker| worker.running.iter().map(move |task| (worker, task)))
        .map(|(worker, (id, since_s))| RunningTask {
            id: *id,
            seconds: (now - since_s).max(0.0),
            host: worker.host.clone(),
            rank: worker.rank,
            command: command_of(&commands, *id),
        })
        .collect();
    tasks.sort_by(|a, b| b.seconds.total_cmp(&a.seconds).then(a.id.cmp(&b.id)));
    tasks
}

fn command_of(commands: &[(u32, String)], id: u32) -> String {
    commands.binary_search_by_key(&id, |(id, _)| *id).map_or_else(|_| String::new(), |place| commands[place].1.clone())
}

fn time(epoch_s: f64) -> String {
    let time = Timestamp::from_second(epoch_s as i64).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Appends all figures.
fn whole(status: &Status, out: &mut String) {
    let figures = &status.figures;
    let mut say = |line: &str| {
        let _ = writeln!(out, "{line}");
    };
    say(&format!("{}: {}", figures.workdir, headline(status)));
    let at_work = matches!(figures.state, State::Running | State::Stopping);
    let remaining = figures.total.saturating_sub(figures.done());
    if at_work {
        say(&figures.progress_line());
    }
    let [finished, failed, left] = [figures.finished, figures.failed, remaining].map(words::count);
    say(&format!("{finished} finished, {failed} failed, {left} remaining"));
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
    figures.detail_lines().iter().for_each(|line| say(line));
    figures.damage.iter().for_each(|damage| say(&format!("damaged: {damage}")));
    figures.notes.iter().for_each(|note| say(&format!("note: {note}")));
    if !at_work && remaining > 0 && !figures.command.is_empty() {
        say(&format!("to resume: cd {} && {}", figures.cwd, figures.command));
    }
}

/// What the farm is doing.
fn headline(status: &Status) -> String {
    let figures = &status.figures;
    let job = figures.job.as_ref().map_or_else(String::new, |job| format!(", job {job}"));
    let place = if figures.host.is_empty() {
        String::new()
    } else {
        format!(" on {} (pid {}{job})", figures.host, figures.pid)
    };
    let took = words::length(figures.elapsed_s);
    let age = status.age_s.map_or_else(String::new, |age| format!(", as of {} ago", words::short(age)));
    match figures.state {
        State::Running if status.age_s.is_none() => format!("has just started{place}"),
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
