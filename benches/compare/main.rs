//! What a farm adds to its tasks: whole runs of this and other programs, side by side.
//!
//! ```sh
//! cargo bench --bench compare                         # all
//! cargo bench --bench compare -- true 'mpirun -n 1'   # rows whose names contain one of these words
//! TASKS=2000 ROUNDS=3 cargo bench --bench compare     # smaller
//! cargo bench --no-default-features --bench compare -- '>'             # without MPI: lines that a shell used to start
//! MPICC=mpicc.mpich MPIRUN=mpirun.mpich cargo bench --target-dir target/mpich --bench compare     # with MPICH
//! ```
//!
//! Each round runs every program once, on the same list, in a new folder; each figure is the median of all rounds.
//! Ratios are computed within a round, relative to a bare loop around `posix_spawn` that opens a log file for each
//! child and does nothing else. GNU parallel (`apt-get install parallel`) and PyTaskFarmer (from PyPI) are left out,
//! with a message, if they are not installed; they and `mpirun` run a part of the list if it is long.

mod programs;
mod reference;
mod run;

use programs::{Workload, programs};
use run::{Figures, median};

/// CPU time per task: that of everything, including children and launcher, beyond the reference's; and that of the
/// program's own processes, if they can be distinguished from their children.
const CPU_COLUMNS: &str = "CPU µs beyond the reference | own CPU µs";

/// Settings of this benchmark, from the environment.
fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let [first, rest @ ..] = &words[..]
        && first == reference::WORD
    {
        return reference::run(rest);
    }
    if words == [reference::NOTHING] {
        return reference::do_nothing();
    }
    let (tasks, rounds, slots) = (number("TASKS", 5_000), number("ROUNDS", 5), number("SLOTS", 2));
    println!("{tasks} tasks, {slots} slots, median of {rounds} rounds\n");
    let folders = tempfile::tempdir().expect("a temporary folder");
    let mut number = 0;
    for workload in Workload::ALL {
        let mut rows = programs(workload, tasks, slots);
        rows.retain(|row| {
            words.is_empty() || row.is_reference || words.iter().any(|word| row.name(workload).contains(word.as_str()))
        });
        if rows.len() < 2 {
            continue;
        }
        println!("| {} | wall s | of the reference | µs per task and slot | {} |", workload.name(), CPU_COLUMNS);
        println!("|---|---|---|---|---|---|");
        let mut results: Vec<Vec<(Figures, f64)>> = vec![Vec::new(); rows.len()];
        for _ in 0..rounds {
            let mut reference = None;
            for (row, results) in rows.iter().zip(&mut results) {
                let folder = folders.path().join(format!("{number}"));
                number += 1;
                std::fs::create_dir(&folder).expect("a disk");
                let figures = row.run(workload, &folder);
                // The reference is the first row.
                let reference = *reference.get_or_insert(figures);
                results.push((figures, figures.wall_per_task / reference.wall_per_task));
            }
        }
        let reference_cpu = median(results[0].iter().map(|(figures, _)| figures.cpu_per_task));
        for (row, results) in rows.iter().zip(&results) {
            let wall = median(results.iter().map(|(figures, _)| figures.wall_per_task));
            let cpu = median(results.iter().map(|(figures, _)| figures.cpu_per_task));
            let own: Vec<f64> = results.iter().filter_map(|(figures, _)| figures.own_per_task).collect();
            let own = if own.is_empty() { "–".to_owned() } else { format!("{:.0}", median(own.into_iter()) * 1e6) };
            let ratio = median(results.iter().map(|(_, ratio)| *ratio));
            println!(
                "| {} | {:.3} | {ratio:.2} | {:.0} | {:+.0} | {own} |",
                row.label,
                wall * tasks as f64,
                wall * 1e6 * slots as f64,
                (cpu - reference_cpu) * 1e6
            );
        }
        println!();
    }
}
