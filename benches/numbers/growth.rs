//! The same questions to more and more runs: what should stay as it is, and what grows with them.
//!
//! The records have 1 kB here, so that a million of them fit on a disk and into the page cache.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::daemon::Daemon;
use crate::{Failure, floors, live, records, table};

/// Of the usual size.
const SCALE: f64 = 0.05;

/// Prints one column a size.
pub fn show(folder: &Path, quick: bool) -> Result<(), Failure> {
    let sizes: &[usize] = if quick {
        &[100, 300]
    } else {
        &[1_000, 10_000, 100_000, 1_000_000]
    };
    let rounds = if quick { 50 } else { 2000 };
    let mut columns = Vec::new();
    for &size in sizes {
        columns.push(measure(&folder.join(size.to_string()), size, rounds)?);
        let _ = fs::remove_dir_all(folder);
    }
    print!("\n| growth");
    for size in sizes {
        print!(" | {size} runs");
    }
    println!(" |\n|---{} |", "|---:".repeat(sizes.len()));
    let names: Vec<&String> = columns
        .iter()
        .flatten()
        .take(ROWS)
        .map(|(name, _)| name)
        .collect();
    for (at, name) in names.into_iter().enumerate() {
        let values: Vec<&str> = columns
            .iter()
            .filter_map(|column| column.get(at))
            .map(|(_, value)| value.as_str())
            .collect();
        println!("| {name} | {} |", values.join(" | "));
    }
    Ok(())
}

const ROWS: usize = 12;

fn measure(root: &Path, size: usize, rounds: usize) -> Result<[(String, String); ROWS], Failure> {
    let files = records::lay_out(root, size, SCALE)?;
    floors::read_all(&files)?;
    let reading = floors::read_all(&files)?;
    let (daemon, first) = Daemon::start_whole(root)?;
    daemon.end()?;
    let stating = floors::stat_all(&files)?;
    let (mut daemon, again) = Daemon::start_whole(root)?;
    let mut ask = |method: &str, params, rounds| -> Result<Duration, Failure> {
        Ok(table::median(
            &mut daemon.client.time(method, &params, rounds)?.0,
        ))
    };
    let list = ask("executions/list", json!({}), rounds)?;
    let middle = ask("executions/list", json!({ "offset": size / 2 }), rounds)?;
    let stats = ask("executions/stats", json!({}), rounds)?;
    // these look at every run
    let few = rounds.min(50);
    let costly = json!({ "where": "costUSD > 0.05 and not error ~ timeout" });
    let filtered = ask("executions/list", costly, few)?;
    let sorted = ask("executions/list", json!({ "sort": "-costUSD" }), few)?;
    let series = ask("executions/series", json!({ "bucket": "day" }), few)?;
    let folder = root.join(records::PROJECTS[1]).join("executions");
    let pause = Duration::from_millis(1);
    let heard = table::median(&mut live::notifications(
        &daemon,
        &folder,
        0..rounds / 10,
        pause,
    )?);
    let memory = daemon.resident_bytes()?;
    let row = |name: &str, value: String| (name.to_owned(), value);
    Ok([
        row("first index", format!("{first:.1?}")),
        row(
            "… times reading the files",
            format!("{:.2}", table::ratio(first, reading)),
        ),
        row("start from a snapshot", format!("{again:.1?}")),
        row(
            "… times a stat of every file",
            format!("{:.2}", table::ratio(again, stating)),
        ),
        row("list of 50", format!("{list:.1?}")),
        row("list of 50 at the middle", format!("{middle:.1?}")),
        row("stats", format!("{stats:.1?}")),
        row("list of 50 by cost and error", format!("{filtered:.1?}")),
        row("list of 50 sorted by cost", format!("{sorted:.1?}")),
        row("a series by day", format!("{series:.1?}")),
        row("engine's rename to notification", format!("{heard:.1?}")),
        row("resident memory, MB", format!("{:.0}", memory as f64 / 1e6)),
    ])
}
