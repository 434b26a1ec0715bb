//! Full text: what searching takes beside ripgrep over the same files, and what the text index costs.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::daemon::{Daemon, Echo};
use crate::records;
use crate::table;

/// At most so long, at the median.
const WITHIN: Duration = Duration::from_millis(5);
/// At least so many times as fast as ripgrep.
const TIMES: f64 = 100.0;

/// Builds the text index over `bytes` bytes of runs below `root` and searches it. `scratch` is a folder for
/// what else it needs.
pub fn show(root: &Path, scratch: &Path, bytes: u64, rounds: usize) -> Result<(), Failure> {
    let cache = root.with_extension("cache");
    let _ = fs::remove_dir_all(&cache);
    let (mut daemon, _) = Daemon::start_whole(root)?;
    let (cpu, resident, began) = (daemon.cpu()?, daemon.resident_bytes()?, Instant::now());
    let newest = daemon
        .client
        .call("executions/list", &json!({ "limit": 1 }))?;
    let id = newest["executions"][0]["id"].as_str().unwrap_or_default();
    // by turns, and for a part of the time only, which else would be taken from the building
    let echo = Echo::start(scratch)?;
    let (mut lists, mut echoes) = (Vec::new(), Vec::new());
    for _ in 0..rounds.min(100) {
        let (some, bytes) = daemon.client.time("executions/list", &json!({}), 10)?;
        lists.extend(some);
        echoes.extend(echo.time(bytes, 10)?);
    }
    let rare = id.rsplit('-').next().unwrap_or_default().to_owned();
    let number = number();
    daemon.settle()?;
    let (took, worked) = (began.elapsed(), daemon.cpu()?.saturating_sub(cpu));
    let peak = daemon.peak_bytes()?.saturating_sub(resident);
    let megabytes = bytes as f64 / 1e6;
    println!("\n| the text index of {megabytes:.0} MB of runs | | at most |");
    println!("|---|---:|---|");
    let fact = |name: &str, value: String, limit: &str, held: bool| {
        println!(
            "| {name} | {value} | {limit}{} |",
            if held { "" } else { " ✗" }
        );
    };
    let speed = megabytes / worked.as_secs_f64();
    fact(
        "built, MB a second and core",
        format!("{speed:.1}"),
        "at least 30",
        speed >= 30.0,
    );
    fact("… in all", format!("{took:.1?}"), "", true);
    let (list, floor) = (table::median(&mut lists), table::median(&mut echoes));
    let ratio = table::ratio(list, floor);
    fact(
        "a list of 50 while it is built, in echoes then",
        format!("{ratio:.2} ({list:.1?}, {floor:.1?})"),
        "2",
        ratio <= 2.0,
    );
    let part = 100.0 * size_of(&cache, "search") as f64 / bytes as f64;
    fact(
        "size, % of the records",
        format!("{part:.1}"),
        "40",
        part <= 40.0,
    );
    fact(
        "memory at most, beside the daemon's, MB",
        format!("{:.0}", peak as f64 / 1e6),
        "",
        true,
    );
    let settled = daemon.resident_bytes()?.saturating_sub(resident);
    fact(
        "… and afterwards",
        format!("{:.0}", settled as f64 / 1e6),
        "",
        true,
    );

    println!(
        "\n| search, 50 hits with their places | hits | newest first | 99th | by relevance | 99th \
         | ripgrep | times as fast |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    let pattern = |text: &str| vec![text.to_owned()];
    for (name, query, patterns) in [
        ("one run's id", id.to_owned(), pattern(id)),
        ("a rare word", rare.clone(), pattern(&rare)),
        (
            "the beginning of one",
            format!("{}*", &rare[..rare.len().min(4)]),
            pattern(&rare[..rare.len().min(4)]),
        ),
        ("a number that some say", number.clone(), pattern(&number)),
        (
            "a phrase with it",
            format!("\"after {number} ms\""),
            pattern(&format!("after {number} ms")),
        ),
        (
            "two words, one of them rare",
            format!("review {number}"),
            pattern(&number),
        ),
        (
            "without spaces",
            format!("日本語 {number}"),
            pattern(&number),
        ),
        ("a word that all say", "agent".to_owned(), pattern("agent")),
        (
            "two that all say",
            "agent review".to_owned(),
            pattern("agent"),
        ),
        (
            "a phrase that most say",
            "\"open issue\"".to_owned(),
            pattern("open issue"),
        ),
        (
            "what nobody says",
            "nosuchword".to_owned(),
            pattern("nosuchword"),
        ),
    ] {
        let mut columns = Vec::new();
        let mut slowest = Duration::ZERO;
        let mut hits = String::new();
        for sort in ["newest", "relevance"] {
            let params = json!({ "query": query, "sort": sort });
            let total = &daemon.client.call("executions/search", &params)?["total"];
            hits = total
                .as_u64()
                .map_or("> 1000".to_owned(), |total| total.to_string());
            let rounds = rounds.min(200);
            let mut times = daemon.client.time("executions/search", &params, rounds)?.0;
            let (median, late) = (table::median(&mut times), table::late(&times));
            let held = if median <= WITHIN { "" } else { " ✗" };
            columns.push(format!("{median:.1?}{held} | {late:.1?}"));
            slowest = slowest.max(median);
        }
        let columns = columns.join(" | ");
        match ripgrep(root, &patterns) {
            Ok(rival) => {
                let ratio = table::ratio(rival, slowest);
                let fast = if ratio >= TIMES { "" } else { " ✗" };
                println!("| {name} | {hits} | {columns} | {rival:.1?} | {ratio:.0}{fast} |");
            }
            Err(why) => println!("| {name} | {hits} | {columns} | {why} | |"),
        }
    }
    for (name, query, filter) in [
        (
            "a word that all say, of what failed",
            "agent",
            json!({ "status": "failed" }),
        ),
        (
            "… and cost much",
            "agent",
            json!({ "where": "costUSD > 0.15" }),
        ),
        (
            "… or nothing at all",
            "agent",
            json!({ "where": "costUSD < 0" }),
        ),
    ] {
        let mut params = filter;
        params["query"] = query.into();
        let rounds = rounds.min(200);
        let mut times = daemon.client.time("executions/search", &params, rounds)?.0;
        let (median, late) = (table::median(&mut times), table::late(&times));
        let held = if median <= WITHIN { "" } else { " ✗" };
        println!("| {name} | | {median:.1?}{held} | {late:.1?} | | | | |");
    }
    daemon.end()
}

/// After how many milliseconds the first run failed that did.
fn number() -> String {
    let after = |text: String| {
        let (_, rest) = text.split_once(" after ")?;
        let (number, _) = rest.split_once(" ms at step-")?;
        Some(number.to_owned())
    };
    (0..1000)
        .find_map(|number| after(records::run(number, 1.0).text))
        .unwrap_or_default()
}

/// How long ripgrep takes for the files that have one of `patterns`, in any case.
fn ripgrep(root: &Path, patterns: &[String]) -> Result<Duration, String> {
    let mut times = Vec::new();
    for _ in 0..3 {
        let mut command = Command::new("rg");
        command.args([
            "--files-with-matches",
            "--ignore-case",
            "--fixed-strings",
            "--glob",
            "*.json",
        ]);
        for pattern in patterns {
            command.arg("--regexp").arg(pattern);
        }
        command
            .arg(root)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let began = Instant::now();
        let status = command.status().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => "not on this machine".to_owned(),
            _ => error.to_string(),
        })?;
        // 1: nothing was found
        if !matches!(status.code(), Some(0 | 1)) {
            return Err(format!("fails: {status}"));
        }
        times.push(began.elapsed());
    }
    Ok(table::median(&mut times))
}

/// How many bytes the folders called `name` below `folder` hold.
fn size_of(folder: &Path, name: &str) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return match path.file_name().is_some_and(|found| found == name) {
                    true => files_of(&path),
                    false => size_of(&path, name),
                };
            }
            0
        })
        .sum()
}

fn files_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some(entry.metadata().ok()?.len()))
        .sum()
}
