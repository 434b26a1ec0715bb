//! What a user would do instead: read all files in Node as CloutAgent does, keep a row a run in
//! SQLite, or ask jq or ripgrep. Each gives the fifty newest runs, or those that failed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Failure;
use crate::daemon::Daemon;
use crate::table;

/// Reads all, filters, sorts; prints how many milliseconds each of five rounds took.
const NODE: &str = r"
const fs = require('fs/promises'), path = require('path');
async function list(root) {
  const projects = await fs.readdir(root);
  const runs = await Promise.all(projects.map(async project => {
    const folder = path.join(root, project, 'executions');
    const files = (await fs.readdir(folder)).filter(file => file.endsWith('.json'));
    return Promise.all(files.map(async file => JSON.parse(await fs.readFile(path.join(folder, file), 'utf8'))));
  }));
  const summary = run => ({ id: run.id, projectId: run.projectId, status: run.status,
    startedAt: run.startedAt, completedAt: run.completedAt, duration: run.duration,
    tokenUsage: run.tokenUsage, costUSD: run.costUSD, error: run.error });
  return runs.flat().sort((a, b) => new Date(b.startedAt) - new Date(a.startedAt)).slice(0, 50).map(summary);
}
(async () => {
  for (let round = 0; round < 5; round++) {
    const began = process.hrtime.bigint();
    const text = JSON.stringify(await list(process.argv[1]));
    if (text.length < 1000) throw new Error('nothing was listed');
    console.log(Number(process.hrtime.bigint() - began) / 1e6);
  }
})().catch(error => { console.error(error.code || error.message); process.exit(1); });
";

/// One indexed row a run; prints the milliseconds that filling it took, then those of each query.
const SQLITE: &str = r#"
import json, os, sqlite3, sys, time
root = sys.argv[1]
began = time.perf_counter()
db = sqlite3.connect(os.path.join(sys.argv[2], "rival.sqlite"))
db.execute("create table runs (id text, project text, status text, started text, completed text,"
           " duration real, input int, output int, cost real, error text)")
for project in os.listdir(root):
    folder = os.path.join(root, project, "executions")
    for file in os.listdir(folder):
        with open(os.path.join(folder, file), "rb") as source:
            run = json.load(source)
        tokens = run.get("tokenUsage", {})
        db.execute("insert into runs values (?,?,?,?,?,?,?,?,?,?)", (
            run["id"], run["projectId"], run["status"], run.get("startedAt"), run.get("completedAt"),
            run.get("duration"), tokens.get("input"), tokens.get("output"), run.get("costUSD"), run.get("error")))
db.execute("create index newest on runs (started)")
db.commit()
print((time.perf_counter() - began) * 1000)
for _ in range(200):
    began = time.perf_counter()
    rows = db.execute("select * from runs order by started desc limit 50").fetchall()
    text = json.dumps(rows)
    print((time.perf_counter() - began) * 1000)
"#;

/// Prints a row for each rival, over the `count` runs below `root`.
pub fn compare(root: &Path, folder: &Path, count: usize, rounds: usize) -> Result<(), Failure> {
    let mut daemon = Daemon::start_settled(root)?;
    let list = json!({ "limit": 50 });
    let ours = table::median(&mut daemon.client.time("executions/list", &list, rounds)?.0);
    let failed = json!({ "limit": 50, "status": "failed" });
    let ours_failed = table::median(&mut daemon.client.time("executions/list", &failed, rounds)?.0);
    println!(
        "\n| the fifty newest of {count} runs, or the failed ones | rival | runlog | times as fast |"
    );
    println!("|---|---:|---:|---:|");
    let show = |name: &str, rival: Result<Duration, String>, ours: Duration| match rival {
        Ok(took) => println!(
            "| {name} | {took:.1?} | {ours:.1?} | {:.0} |",
            table::ratio(took, ours)
        ),
        Err(why) => println!("| {name} | {why} | {ours:.1?} | |"),
    };
    let node = printed(Command::new("node").args(["-e", NODE]).arg(root));
    show(
        "Node: read all, sort, cut",
        node.map(|mut times| table::median(&mut times)),
        ours,
    );
    let sqlite = printed(
        Command::new("python3")
            .args(["-c", SQLITE])
            .arg(root)
            .arg(folder),
    );
    let sqlite = sqlite.and_then(|times| match times.split_first() {
        Some((filling, queries)) => Ok((*filling, table::median(&mut queries.to_vec()))),
        None => Err("it printed nothing".to_owned()),
    });
    show(
        "SQLite from Python: an indexed row a run, once filled",
        sqlite.clone().map(|times| times.1),
        ours,
    );
    show("… and to fill it", sqlite.map(|times| times.0), ours);
    let jq = "find . -name '*.json' -print0 | xargs -0 jq -c '{id,projectId,status,startedAt,costUSD}' \
              | jq -cs 'sort_by(.startedAt) | reverse | .[0:50]'";
    show("jq over the files", shell(root, "jq", jq), ours);
    let rg = "rg --files-with-matches --glob '*.json' '^  \"status\": \"failed\"'";
    show(
        "ripgrep for the failed ones",
        shell(root, "rg", rg),
        ours_failed,
    );
    Ok(())
}

/// The times that a program prints, in milliseconds.
fn printed(command: &mut Command) -> Result<Vec<Duration>, String> {
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => "not on this machine".to_owned(),
        _ => error.to_string(),
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!(
            "fails: {}",
            said.lines().last().unwrap_or_default()
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let times = text.lines().filter_map(|line| line.parse::<f64>().ok());
    Ok(times
        .map(|millis| Duration::from_secs_f64(millis / 1000.0))
        .collect())
}

fn shell(root: &Path, program: &str, line: &str) -> Result<Duration, String> {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if found.is_err() {
        return Err("not on this machine".to_owned());
    }
    let mut times = Vec::new();
    for _ in 0..3 {
        let began = Instant::now();
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(root)
            .output();
        let output = output.map_err(|error| error.to_string())?;
        if !output.status.success() || output.stdout.is_empty() {
            return Err(format!(
                "fails: {}",
                String::from_utf8_lossy(&output.stderr)
            ));
        }
        times.push(began.elapsed());
    }
    Ok(table::median(&mut times))
}
