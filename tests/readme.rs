//! The README's exchange and snippets, run as they stand there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use runlog::api::samples;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Client, Daemon, PATIENCE, Root, compare, tools};

const README: &str = include_str!("../README.md");

/// The fenced blocks in `language` of the part under `heading`.
fn blocks(heading: &str, language: &str) -> Vec<&'static str> {
    let part = README
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("the README has no {heading}"))
        .1;
    let level = heading.split(' ').next().unwrap();
    let mut found = Vec::new();
    // what stands between fences is every other piece; comments there look like headings
    for (number, piece) in part.split("```").enumerate() {
        if number % 2 == 1 {
            found.extend(piece.strip_prefix(&format!("{language}\n")));
        } else if (1..=level.len())
            .any(|level| piece.contains(&format!("\n{} ", "#".repeat(level))))
        {
            break;
        }
    }
    assert!(!found.is_empty(), "no {language} under {heading}");
    found
}

/// A program started where a reader would: beside `projects`, with `runlog` on the path.
fn beside(root: &Root, program: impl AsRef<std::ffi::OsStr>) -> Command {
    let binary = Path::new(env!("CARGO_BIN_EXE_runlog"));
    let folder = binary.parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new(program);
    command
        .current_dir(root.beside(""))
        .env("PATH", format!("{}:{path}", folder.display()))
        .env("XDG_RUNTIME_DIR", root.beside(""))
        .env_remove("RUNLOG_PROJECTS")
        .env("XDG_CACHE_HOME", support::cache())
        .stdin(Stdio::null());
    command
}

/// A program that is killed when the test ends, however it does.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| {
        panic!("{command:?}: {error}");
    });
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

fn script(root: &Root, name: &str, text: &str) -> PathBuf {
    let path = root.beside(name);
    std::fs::write(&path, text).unwrap();
    path
}

/// What the lists of the snippets show of the samples, a line each.
fn listed() -> [String; 4] {
    [2, 1, 0, 3].map(|number| {
        let (_, id, text) = samples::RUNS[number];
        let record: Value = serde_json::from_str(text).unwrap();
        let [status, label] = [&record["status"], &record["input"]];
        format!(
            "{} {id} {}",
            status.as_str().unwrap(),
            label.as_str().unwrap().lines().next().unwrap()
        )
    })
}

#[test]
fn the_recorded_exchange_is_what_is_answered() {
    let root = Root::samples();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    client.call("executions/list", &serde_json::json!({ "sync": true }));
    let status = client.call("server/status", &serde_json::json!({}));
    let clock = status["clock"].as_str().unwrap();
    let instance = clock.rsplit_once(':').unwrap().0;
    let blocks = blocks("# runlog", "jsonc");
    assert_eq!(blocks.len(), 2);
    let recorded = blocks[0].split("\"c:").nth(1).unwrap();
    let recorded = format!("c:{}", recorded.split(':').next().unwrap());
    let mut compared = 0;
    for (number, block) in blocks.iter().enumerate() {
        if number == 1 {
            samples::save_as_engine(&root.path(), "website", samples::NEW_ID, samples::NEW)
                .unwrap();
        }
        for line in block.lines() {
            if let Some(sent) = line.strip_prefix("→ ") {
                client.send(&sent.replace(&recorded, instance));
                continue;
            }
            let shown: Value = serde_json::from_str(line.strip_prefix("← ").unwrap()).unwrap();
            compare(line, &shown, &client.next().expect("an answer"));
            compared += 1;
        }
    }
    assert_eq!(compared, 5);
}

#[test]
fn the_python_snippet_lists_and_counts() {
    let root = Root::samples();
    let path = script(&root, "snippet.py", blocks("### Python", "python")[0]);
    let text = said(beside(&root, "python3").arg(path));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], listed());
    assert_eq!(lines[4..], ["4 runs cost $0.0443"]);
}

#[test]
fn the_netcat_snippet_finds_the_failed_run() {
    let root = Root::samples();
    let [serve, ask] = blocks("### netcat, and any other program", "sh")[..] else {
        panic!("two blocks");
    };
    let text = format!(
        "{{\n{serve}}} > ready\nuntil [ -s ready ]; do sleep 0.02; done\n{ask}kill $!\nwait $!\n"
    );
    let text = said(beside(&root, "sh").arg("-c").arg(text));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["result"]["total"], 1);
    assert_eq!(answer["result"]["executions"][0]["id"], samples::FAILED_ID);
}

#[test]
fn the_shared_daemon_answers_and_stays() {
    let root = Root::samples();
    let snippet = blocks("### Sharing one daemon", "sh")[0];
    let text = said(beside(&root, "sh").arg("-c").arg(snippet));
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["result"]["totalExecutions"], 4);
    let socket = said(beside(&root, env!("CARGO_BIN_EXE_runlog")).arg("socket"));
    let socket = Path::new(socket.trim_end());
    let mut log = socket.as_os_str().to_owned();
    log.push(".log");
    assert!(Path::new(&log).exists());
    let mut client = Client::connect(socket);
    let pid = client.call("server/status", &serde_json::json!({}))["pid"].as_i64();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid.unwrap()).unwrap());
    rustix::process::kill_process(pid.unwrap(), rustix::process::Signal::TERM).unwrap();
    assert!(client.next().is_none());
}

#[test]
fn the_deleted_run_is_back_and_the_policy_is_understood() {
    let root = Root::samples();
    let heading = "### Deleting, and having it back";
    let told = said(beside(&root, "sh").arg("-c").arg(blocks(heading, "sh")[0]));
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told[0], serde_json::json!({ "deleted": true }));
    assert_eq!(told[1]["count"], 1);
    assert!(root.file("website", samples::FAILED_ID).is_file());

    std::fs::write(root.beside("runlog.toml"), blocks(heading, "toml")[0]).unwrap();
    let (_daemon, mut client) = Daemon::stdio(&root.path());
    let rehearsed = client.call("executions/prune", &serde_json::json!({ "dryRun": true }));
    assert_eq!(rehearsed["count"], 0, "the last 20 are kept");
}

#[test]
fn the_pinned_run_is_found_by_its_tag() {
    let root = Root::samples();
    let heading = "### Pins, tags and notes";
    let told = said(beside(&root, "sh").arg("-c").arg(blocks(heading, "sh")[0]));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        told,
        serde_json::json!([samples::FAILED_ID, ["flaky"], "asked the search team"])
    );
}

#[test]
fn the_service_snippet_lays_out_what_is_shown() {
    let root = Root::samples();
    let home = root.beside("home");
    let tools = root.beside("tools");
    std::fs::create_dir(&tools).unwrap();
    // whoever runs this may have units of his own
    let systemctl = tools.join("systemctl");
    std::fs::write(&systemctl, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(&systemctl, PermissionsExt::from_mode(0o755)).unwrap();
    let in_home = |command: &mut Command| {
        let path = command.get_envs().find(|(name, _)| *name == "PATH");
        let path = path.unwrap().1.unwrap().to_str().unwrap().to_owned();
        let path = format!("{}:{path}", tools.display());
        said(
            command
                .env("HOME", &home)
                .env("PATH", path)
                .env_remove("XDG_CONFIG_HOME"),
        )
    };
    let snippet = blocks("### Sharing one daemon", "sh")[1];
    let told = in_home(beside(&root, "sh").arg("-c").arg(snippet));
    let hash = runlog::store::root_hash(&root.path());
    assert_eq!(
        told,
        format!("--user daemon-reload\n--user enable --now runlog-{hash}.socket\n")
    );
    let as_shown = |text: &str| {
        let runtime = root.beside("").display().to_string();
        text.replace(env!("CARGO_BIN_EXE_runlog"), "/usr/local/bin/runlog")
            .replace(&home.display().to_string(), "/home/you")
            .replace(
                &root.path().display().to_string(),
                "/home/you/work/projects",
            )
            .replace(runtime.trim_end_matches('/'), "/run/user/1000")
            .replace(&hash, "ae934a91778ded0a")
    };
    let shown = blocks("### Sharing one daemon", "ini")[0];
    for (part, kind) in shown.split("# /home").skip(1).zip(["socket", "service"]) {
        let name = format!("home/.config/systemd/user/runlog-{hash}.{kind}");
        let text = as_shown(&std::fs::read_to_string(root.beside(&name)).unwrap());
        assert_eq!(part.split_once('\n').unwrap().1, text);
    }
    let printed = in_home(beside(&root, env!("CARGO_BIN_EXE_runlog")).arg("service"));
    assert_eq!(as_shown(&printed), shown);
    let agent = in_home(beside(&root, env!("CARGO_BIN_EXE_runlog")).args(["service", "--launchd"]));
    assert_eq!(as_shown(&agent), blocks("### Sharing one daemon", "xml")[0]);
}

#[test]
fn the_node_snippet_lists_and_is_told() {
    let root = Root::samples();
    let packages = tools::node_tests().join("node_modules");
    symlink(packages, root.beside("node_modules")).unwrap();
    let path = script(
        &root,
        "snippet.mjs",
        blocks("### VS Code, and Node", "js")[0],
    );
    let mut node = Running(
        beside(&root, "node")
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(node.0.stdout.take().unwrap()).lines();
    for expected in listed() {
        assert_eq!(lines.next().unwrap().unwrap(), expected);
    }
    samples::save_as_engine(&root.path(), "website", samples::NEW_ID, samples::NEW).unwrap();
    let told = lines.next().unwrap().unwrap();
    assert_eq!(told, format!("saved {} completed", samples::NEW_ID));
}

/// The daemon that all who start `runlog serve --shared` beside this root share; killed in the end.
struct Shared<'a>(&'a Root);

impl Drop for Shared<'_> {
    fn drop(&mut self) {
        let hash = runlog::store::root_hash(&self.0.path());
        let socket = self.0.beside("").join(format!("runlog/{hash}.sock"));
        let Ok(mut stream) = UnixStream::connect(socket) else {
            return;
        };
        let ask = br#"{"jsonrpc":"2.0","id":1,"method":"server/status"}"#;
        stream.write_all(&[ask, &b"\n"[..]].concat()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        let status: Value = serde_json::from_str(&line).unwrap();
        let pid = i32::try_from(status["result"]["pid"].as_i64().unwrap()).unwrap();
        let _ = kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL);
    }
}

/// Checks what an orchestrator's example has said and recorded.
fn recorded(root: &Root, said: &str) {
    assert_eq!(said, "completed Link check 0.0021\n");
    let folder = root.path().join("website/executions");
    let record = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .find(|text| text.contains("Link check"))
        .unwrap();
    let record: Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["status"], "completed");
    assert_eq!(record["output"], "1 broken link");
    assert_eq!(record["tokenUsage"]["total"], 1280);
    let step = &record["steps"][0];
    assert_eq!(step["output"], serde_json::json!(["/old-prices"]));
    assert_eq!(step["status"], "completed");
}

#[test]
fn the_orchestrators_example_for_node_records_and_follows() {
    let root = Root::samples();
    let _shared = Shared(&root);
    std::fs::create_dir(root.beside("node_modules")).unwrap();
    symlink(tools::node_client(), root.beside("node_modules/runlog")).unwrap();
    let example = blocks("## For orchestrators", "js")[0];
    let path = script(&root, "example.mjs", example);
    recorded(&root, &said(beside(&root, "node").arg(path)));
}

#[test]
fn the_orchestrators_example_for_python_records_and_follows() {
    let root = Root::samples();
    let _shared = Shared(&root);
    let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/clients/python");
    let example = blocks("## For orchestrators", "python")[0];
    let path = script(&root, "example.py", example);
    let mut python = beside(&root, "python3");
    python.arg("-B").arg(path).env("PYTHONPATH", client);
    recorded(&root, &said(&mut python));
}

#[test]
fn the_neovim_snippet_lists_and_notifies() {
    let root = Root::samples();
    let snippet = script(&root, "snippet.lua", blocks("### Neovim", "lua")[0]);
    let driver = script(
        &root,
        "driver.lua",
        r"
        local path, snippet = arg[1], arg[2]
        local function say(...)
          local file = assert(io.open(path, 'a'))
          file:write(table.concat({ ... }, ' '), '\n')
          file:close()
        end
        print = say
        vim.notify = say
        dofile(snippet)
        vim.wait(60000, function() return false end, 10)
        ",
    );
    let output = root.beside("said");
    let _editor = Running(
        beside(&root, tools::neovim())
            .args(["-u", "NONE", "-i", "NONE", "-n", "-l"])
            .args([&driver, &output, &snippet])
            .spawn()
            .unwrap(),
    );
    let lines = |wanted: usize| {
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(&output).unwrap_or_default();
            if text.ends_with('\n') && text.lines().count() >= wanted {
                return text;
            }
            assert!(began.elapsed() < PATIENCE, "only this was said: {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    let text = lines(4);
    assert_eq!(text.lines().collect::<Vec<_>>(), listed());
    samples::save_as_engine(&root.path(), "website", samples::NEW_ID, samples::NEW).unwrap();
    let text = lines(5);
    let told = format!("{} completed", samples::NEW_ID);
    assert_eq!(text.lines().last().unwrap(), told);
}

#[test]
fn the_filter_snippet_counts_what_passes() {
    let root = Root::samples();
    let [snippet] = blocks("### Filters", "sh")[..] else {
        panic!("one snippet")
    };
    let answer = said(beside(&root, "sh").arg("-c").arg(snippet));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    // the completed one and the running one of the website
    assert_eq!(answer["totalExecutions"], 2, "{answer}");
}

#[test]
fn the_search_snippet_finds_by_what_was_said() {
    let root = Root::samples();
    let [snippet] = blocks("### Search", "sh")[..] else {
        panic!("one snippet")
    };
    let said = said(beside(&root, "sh").arg("-c").arg(snippet));
    let found = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        let hits = answer["hits"].as_array().unwrap().clone();
        assert_eq!(answer["total"], hits.len(), "{answer}");
        hits
    };
    let [failed, noted] = said
        .lines()
        .map(found)
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["summary"]["id"], samples::FAILED_ID);
    assert_eq!(failed[0]["matches"][0]["path"], "/error");
    // the one that does not compile cost less
    assert_eq!(noted.len(), 1, "{noted:?}");
    assert_eq!(noted[0]["summary"]["status"], "completed");
    assert_eq!(noted[0]["matches"][0]["path"], "/output");
}

#[test]
fn the_snippet_for_pieces_and_differences_gives_both() {
    let root = Root::samples();
    let [snippet] = blocks("### Large runs, and two side by side", "sh")[..] else {
        panic!("one snippet")
    };
    let answers = said(beside(&root, "sh").arg("-c").arg(snippet));
    // what is of a record stands there as the file has it, on several lines
    let answers = serde_json::Deserializer::from_str(&answers).into_iter();
    let answers = answers.collect::<Result<Vec<Value>, _>>().unwrap();
    let piece = &answers[0]["fields"]["/steps/1/output"];
    assert_eq!(piece["value"], "## 2.4", "{answers:?}");
    let diff = &answers[1];
    assert_eq!(diff["a"]["executionId"], samples::RUNS[1].1);
    assert_eq!(diff["b"]["executionId"], samples::RUNNING_ID);
    assert_eq!(diff["costUSD"]["difference"].to_string(), "-0.0145");
}

#[test]
fn the_recording_snippet_records_a_command() {
    let root = Root::samples();
    let check = script(&root, "check-links.sh", "#!/bin/sh\necho all fine\n");
    std::fs::set_permissions(&check, std::fs::Permissions::from_mode(0o700)).unwrap();
    let [snippet] = blocks("### Recording a run while it goes on", "sh")[..] else {
        panic!("one snippet")
    };
    assert_eq!(
        said(beside(&root, "sh").arg("-c").arg(snippet)),
        "all fine\n"
    );
    let mut runs = std::fs::read_dir(root.path().join("nightly/executions")).unwrap();
    let text = std::fs::read_to_string(runs.next().unwrap().unwrap().path()).unwrap();
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["name"], "Link check");
    assert_eq!(record["status"], "completed");
    assert_eq!(record["output"], "all fine\n");
}
