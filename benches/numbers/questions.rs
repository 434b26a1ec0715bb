//! Questions that look at every run, or at much of one: what nobody keeps an answer ready for.
//!
//! The floor is an echo of as many bytes, a reading of the same file or files; what a user would
//! reach for instead stands in [`rivals`](crate::rivals).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::daemon::{Daemon, Echo};
use crate::random::Random;
use crate::{Failure, Plan, records, table};

/// Prints a row for each.
pub fn ask(plan: &Plan, root: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    let mut daemon = Daemon::start_settled(root)?;
    let echo = Echo::start(&plan.folder)?;
    let costly = json!({ "where": "costUSD > 0.05 and not error ~ timeout" });
    let by_node = json!({ "groupBy": ["node"] });
    let berlin = json!({ "bucket": "day", "timezone": "Europe/Berlin" });
    for (name, method, params, at_most) in [
        (
            "list of 50 by cost and error",
            "executions/list",
            costly.clone(),
            Some(5),
        ),
        (
            "list of 50 by cost",
            "executions/list",
            json!({ "sort": "-costUSD" }),
            Some(5),
        ),
        (
            "list of none by a text in every label",
            "executions/list",
            json!({ "where": "label ~ 'nothing says this'" }),
            None,
        ),
        (
            "stats by cost and error, percentiles",
            "executions/stats",
            costly,
            None,
        ),
        (
            "a series by day",
            "executions/series",
            json!({ "bucket": "day" }),
            Some(20),
        ),
        ("… as in Berlin", "executions/series", berlin, Some(20)),
        (
            "… by project",
            "executions/series",
            json!({ "bucket": "day", "by": "project" }),
            Some(20),
        ),
        (
            "count by day",
            "executions/count",
            json!({ "groupBy": ["day"] }),
            None,
        ),
        ("count by node", "executions/count", by_node, None),
        (
            "the slowest nodes of all runs",
            "nodes/stats",
            json!({}),
            None,
        ),
        (
            "the errors of all runs, grouped",
            "errors/groups",
            json!({}),
            None,
        ),
    ] {
        let rounds = plan.rounds.min(200);
        let (mut times, bytes) = daemon.client.time(method, &params, rounds)?;
        let floor = table::median(&mut echo.time(bytes, rounds)?);
        let name = format!("{name} / echo of as many bytes");
        table::within(&name, &mut times, floor, at_most.map(Duration::from_millis));
    }
    export(plan, &mut daemon, root, files)?;
    daemon.end()?;
    large(plan)
}

/// All records into one file, beside `cat`.
fn export(plan: &Plan, daemon: &mut Daemon, root: &Path, files: &[PathBuf]) -> Result<(), Failure> {
    let target = root.with_extension("jsonl");
    let (mut times, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..plan.pick(1, 3) {
        let began = Instant::now();
        let mut whole = File::create(&target)?;
        for file in files {
            io::copy(&mut File::open(file)?, &mut whole)?;
        }
        whole.sync_all()?;
        floors.push(began.elapsed());
        fs::remove_file(&target)?;
        let params = json!({ "format": "jsonl", "path": target });
        let began = Instant::now();
        daemon.client.call("executions/export", &params)?;
        times.push(began.elapsed());
        fs::remove_file(&target)?;
    }
    let floor = table::median(&mut floors);
    table::row(
        "export of all / cat into a file, synced",
        &mut times,
        floor,
        Some(1.5),
    );
    Ok(())
}

/// Two runs of 1 MB told apart, and pieces of one of 300 MB.
fn large(plan: &Plan) -> Result<(), Failure> {
    let root = plan.folder.join("large");
    let folder = root.join("large/executions");
    fs::create_dir_all(&folder)?;
    let mut paths = Vec::new();
    for id in ["one", "other"] {
        let path = folder.join(format!("{id}.json"));
        // the same but for what is drawn after the first steps
        let mut random = Random::of(1);
        let text = records::record(&mut random, "large", id, 1_735_689_600_000, 1_000_000);
        let words = if id == "one" {
            "nobody wants"
        } else {
            "everybody wants"
        };
        fs::write(&path, text.replace("nobody wants", words))?;
        paths.push(path);
    }
    let huge = folder.join("huge.json");
    let bytes = plan.pick(3, 300) << 20;
    write_huge(&huge, bytes)?;
    let mut daemon = Daemon::start_settled(&root)?;
    let which = |id: &str| json!({ "projectId": "large", "executionId": id });
    let rounds = plan.pick(3, 100);
    let both = json!({ "a": which("one"), "b": which("other") });
    let mut times = daemon.client.time("executions/diff", &both, rounds)?.0;
    let mut floors = Vec::new();
    for _ in 0..rounds {
        let began = Instant::now();
        let texts: Vec<String> = paths
            .iter()
            .map(fs::read_to_string)
            .collect::<Result<_, _>>()?;
        let values: Vec<Value> = texts
            .iter()
            .map(|text| serde_json::from_str(text))
            .collect::<Result<_, _>>()?;
        std::hint::black_box(values.first() == values.last());
        floors.push(began.elapsed());
    }
    let floor = table::median(&mut floors);
    table::row(
        "diff of two runs of 1 MB / both parsed by serde_json",
        &mut times,
        floor,
        None,
    );
    let units = bytes as u64 / 2;
    let rounds = plan.pick(3, 20);
    for (name, field, start) in [
        ("first piece", "/steps/0/output", 0),
        ("a piece in the middle", "/steps/0/output", units / 2),
        ("a small text behind it", "/steps/1/output", 0),
    ] {
        let mut params = which("huge");
        params["fields"] = json!([field]);
        params["range"] = json!({ "start": start, "end": start + 65_536 });
        let mut times = daemon.client.time("executions/get", &params, rounds)?.0;
        let mut floors = Vec::new();
        for _ in 0..rounds {
            let began = Instant::now();
            let mut file = File::open(&huge)?;
            let mut buffer = vec![0; 1 << 20];
            while file.read(&mut buffer)? > 0 {}
            floors.push(began.elapsed());
        }
        let floor = table::median(&mut floors);
        let megabytes = bytes >> 20;
        let name = format!("{name} of a run of {megabytes} MiB / a reading of its file");
        table::row(&name, &mut times, floor, None);
    }
    drop(daemon);
    fs::remove_dir_all(root)?;
    Ok(())
}

/// A record with a text of half of `bytes`, then many steps.
fn write_huge(path: &Path, bytes: usize) -> io::Result<()> {
    let mut out = io::BufWriter::new(File::create(path)?);
    let line = "the agent reads every open issue; nobody wants to merge what is broken ";
    write!(
        out,
        "{{\"status\":\"completed\",\"steps\":[{{\"nodeId\":\"n\",\"output\":\""
    )?;
    for _ in 0..bytes / 2 / line.len() {
        out.write_all(line.as_bytes())?;
    }
    out.write_all(b"\"}")?;
    for _ in 0..bytes / 2 / (line.len() + 28) {
        write!(out, ",{{\"nodeId\":\"n\",\"output\":\"{line}\"}}")?;
    }
    out.write_all(b"]}")?;
    out.flush()
}
