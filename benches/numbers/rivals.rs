//! What a user would do instead: read all files in Node as CloutAgent does, keep a row a run in
//! SQLite, or ask jq or ripgrep. Each gives the fifty newest runs, those that failed, those that a
//! filter passes, or what runs cost day by day.

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

/// One indexed row a run; prints the milliseconds that filling it took, then the median of each query.
const SQLITE: &str = r#"
import json, os, sqlite3, sys, time
root = sys.argv[1]
began = time.perf_counter()
path = os.path.join(sys.argv[2], "rival.sqlite")
if os.path.exists(path):
    os.remove(path)
db = sqlite3.connect(path)
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
db.execute("create index dearest on runs (cost)")
db.commit()
print((time.perf_counter() - began) * 1000)
costly = " from runs where cost > 0.05 and (error is null or error not like '%timeout%')"
day = "select substr(started, 1, 10) as day, {} count(*), sum(status = 'failed'), sum(cost)," \
      " sum(input), sum(output), avg(duration), min(duration), max(duration) from runs group by {}"
for queries in (
    ["select * from runs order by started desc limit 50"],
    ["select *" + costly + " order by started desc limit 50", "select count(*)" + costly],
    ["select * from runs order by cost desc limit 50"],
    [day.format("", "day")],
    [day.format("project,", "day, project")],
):
    times = []
    for _ in range(51):
        began = time.perf_counter()
        text = json.dumps([db.execute(query).fetchall() for query in queries])
        times.append(time.perf_counter() - began)
    print(sorted(times)[25] * 1000)
"#;

/// Prints a row for each rival, over the `count` runs below `root`.
pub fn compare(root: &Path, folder: &Path, count: usize, rounds: usize) -> Result<(), Failure> {
    let mut daemon = Daemon::start_settled(root)?;
    let mut ask = |method: &str, params: serde_json::Value| -> Result<Duration, Failure> {
        let rounds = rounds.min(200);
        Ok(table::median(
            &mut daemon.client.time(method, &params, rounds)?.0,
        ))
    };
    let costly = "costUSD > 0.05 and not error ~ timeout";
    let ours = ask("executions/list", json!({}))?;
    let ours_failed = ask("executions/list", json!({ "status": "failed" }))?;
    let ours_costly = ask("executions/list", json!({ "where": costly }))?;
    let ours_dearest = ask("executions/list", json!({ "sort": "-costUSD" }))?;
    let ours_daily = ask("executions/series", json!({ "bucket": "day" }))?;
    let by_project = json!({ "bucket": "day", "by": "project" });
    let ours_by_project = ask("executions/series", by_project)?;
    println!("\n| of {count} runs | rival | runlog | times as fast |");
    println!("|---|---:|---:|---:|");
    let show = |name: &str, rival: Result<Duration, String>, ours: Duration| match rival {
        Ok(took) => {
            let ratio = table::ratio(took, ours);
            // where little is between them, or the rival wins
            let places = usize::from(ratio < 10.0);
            println!("| {name} | {took:.1?} | {ours:.1?} | {ratio:.places$} |");
        }
        Err(why) => println!("| {name} | {why} | {ours:.1?} | |"),
    };
    let node = printed(Command::new("node").args(["-e", NODE]).arg(root));
    show(
        "Node, reading all: the fifty newest",
        node.map(|mut times| table::median(&mut times)),
        ours,
    );
    let sqlite = printed(
        Command::new("python3")
            .args(["-c", SQLITE])
            .arg(root)
            .arg(folder),
    );
    let sqlite = |at: usize| match &sqlite {
        Ok(times) => times
            .get(at)
            .copied()
            .ok_or("it printed too little".to_owned()),
        Err(why) => Err(why.clone()),
    };
    for (at, name, ours) in [
        (1, "SQLite from Python, once filled: the fifty newest", ours),
        (0, "… and to fill it, an indexed row a run", ours),
        (2, "… fifty by cost and error, and how many", ours_costly),
        (3, "… the fifty that cost most", ours_dearest),
        (4, "… group by day", ours_daily),
        (5, "… group by day and project", ours_by_project),
    ] {
        show(name, sqlite(at), ours);
    }
    let each =
        |program: &str| format!("find . -name '*.json' -print0 | xargs -0 jq -c '{program}'");
    let jq = each("{id,projectId,status,startedAt,costUSD}")
        + " | jq -cs 'sort_by(.startedAt) | reverse | .[0:50]'";
    show(
        "jq over the files: the fifty newest",
        shell(root, "jq", &jq),
        ours,
    );
    let jq = each(
        "select(.costUSD > 0.05 and ((.error // \"\") | test(\"timeout\"; \"i\") | not)) | {id,startedAt}",
    ) + " | jq -cs 'sort_by(.startedAt) | reverse | .[0:50]'";
    show(
        "… fifty by cost and error",
        shell(root, "jq", &jq),
        ours_costly,
    );
    let jq = each("{day: .startedAt[0:10], costUSD, duration}")
        + " | jq -cs 'group_by(.day) | map({day: .[0].day, runs: length, cost: (map(.costUSD) | add)})'";
    show("… by day", shell(root, "jq", &jq), ours_daily);
    let rg = "rg --files-with-matches --glob '*.json' '^  \"status\": \"failed\"'";
    show(
        "ripgrep: the failed ones",
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
