//! What is printed, kept as snapshots (`RUNLOG_KEEP_OUTPUT=1` renews them), at several widths and in
//! a pipe, from a daemon and without one.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::{Stage, done, on_terminal};
use crate::support::{self, PATIENCE, Root, record};

const COMPLETED: &str = "exec-1760508120004-4k1zq0vbn";

/// The commands that only read, and the arguments that they are shown with.
const READING: [(&str, &[&str]); 22] = [
    ("list", &["list"]),
    (
        "list-some",
        &["list", "-p", "website", "-s", "failed,running", "-L", "1"],
    ),
    ("list-none", &["list", "--since", "today"]),
    (
        "list-where",
        &[
            "list",
            "--where",
            "costUSD > 0.01",
            "--until",
            "2025-10-15T06:30",
            "-z",
            "Europe/Berlin",
        ],
    ),
    ("list-wrong", &["list", "--where", "costUSD >> 3"]),
    ("show", &["show", "exec-17605081"]),
    ("show-last", &["show"]),
    ("show-full", &["show", COMPLETED, "-p", "website", "--full"]),
    ("show-ambiguous", &["show", "exec-176"]),
    ("show-none", &["show", "nothing"]),
    ("stats", &["stats"]),
    (
        "stats-where",
        &["stats", "--where", "startedAt >= 2025-01-01"],
    ),
    ("series", &["series", "--bucket", "week"]),
    ("search", &["search", "page OR notes"]),
    ("search-none", &["search", "zebra"]),
    ("diff", &["diff", "exec-17605081", "website/last"]),
    ("diff-same", &["diff", "last", "last"]),
    ("errors", &["errors"]),
    ("nodes", &["nodes"]),
    ("problems", &["problems"]),
    ("statusline", &["statusline"]),
    ("trash", &["trash", "list"]),
];

/// Without what differs from day to day.
fn settled(text: &str) -> String {
    let lines = text.lines().map(|line| match line {
        line if line.starts_with("stale ") => "stale    from then".to_owned(),
        line => line.to_owned(),
    });
    lines.map(|line| line + "\n").collect()
}

/// Compares with what is kept, or keeps it.
fn kept(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cli/snapshots")
        .join(format!("{name}.txt"));
    if std::env::var_os("RUNLOG_KEEP_OUTPUT").is_some() {
        std::fs::write(path, text).unwrap();
        return;
    }
    let held = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, held, "{name}: RUNLOG_KEEP_OUTPUT=1 keeps it");
}

/// Everything that the reading commands print.
fn printed(stage: &Stage) -> Vec<(&'static str, String)> {
    READING
        .iter()
        .map(|(name, args)| {
            let piped = stage.piped(args);
            let mut text = format!("$ runlog {}\n", args.join(" "));
            text.push_str(&format!(
                "\n== piped, status {}\n{}",
                piped.status, piped.out
            ));
            if !piped.err.is_empty() {
                text.push_str(&format!("-- stderr\n{}", piped.err));
            }
            for columns in [40, 60, 80, 120] {
                let shown = stage.shown(columns, args);
                assert_eq!(shown.status, piped.status, "{args:?}");
                text.push_str(&format!("\n== {columns} columns\n{}", shown.out));
                for line in shown.out.lines() {
                    let wide = unicode_width::UnicodeWidthStr::width(line);
                    assert!(
                        wide <= usize::from(columns),
                        "{args:?} at {columns}: {line}"
                    );
                }
            }
            (*name, settled(&text))
        })
        .collect()
}

#[test]
fn every_command_prints_what_it_printed_before_with_a_daemon_and_without() {
    let stage = Stage::samples();
    let without = printed(&stage);
    let daemon = stage.daemon();
    let with = printed(&stage);
    for ((name, without), (_, with)) in without.iter().zip(&with) {
        assert_eq!(without, with, "{name}: a daemon answers something else");
        kept(name, without);
    }
    let status = stage.piped(&["status"]).printed();
    assert!(
        status.contains(&format!("daemon {}", daemon.0.id())),
        "{status}"
    );
    drop(daemon);
    let status = stage.piped(&["status"]).printed();
    assert!(status.contains("this command; no daemon runs"), "{status}");
    assert!(
        status.contains("runs\t4\n") && status.contains("index\tready\n"),
        "{status}"
    );
}

/// Members that two requests may answer in two ways.
fn steady(text: &str) -> Value {
    let mut value: Value = serde_json::from_str(text).unwrap();
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for name in [
                    "clock",
                    "nextCursor",
                    "uptimeMs",
                    "residentBytes",
                    "pid",
                    "compareTookMs",
                    "stepDataBytes",
                    "filesRead",
                    "restored",
                    "compares",
                    "since",
                ] {
                    members.remove(name);
                }
                members.values_mut().for_each(walk);
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

/// What was done to the files just before, of which a daemon that has to look hears nothing.
#[test]
fn a_daemon_looks_at_the_files_before_it_answers_a_command() {
    let stage = Stage::over(Root::empty());
    let watched = |number: usize| if number == 0 { "poll" } else { "auto" };
    for number in 0..2 {
        let how = watched(number);
        let mut serve = stage.runlog(&["serve", "--socket", "--watch", how]);
        let _daemon = Stage::served(&mut serve);
        stage.piped(&["list"]).printed();
        let shows = |args: &[&str], status: &str, says: &str| {
            stage.root.engine("p", "a", &record("p", "a", status));
            let done = stage.piped(args);
            let all = format!("{how} {args:?}: {}{}", done.out, done.err);
            assert_eq!(done.status, 0, "{all}");
            assert!(done.out.contains(says) || done.err.contains(says), "{all}");
        };
        shows(&["list"], "queued", "a\tqueued");
        shows(&["stats"], "paused", "paused\t1");
        shows(&["show", "last"], "failed", "p/a  failed");
        shows(&["show", "a"], "running", "p/a  running");
        shows(&["show", "p/a"], "failed", "p/a  failed");
        shows(&["search", "do it"], "cancelled", "p\ta\tcancelled");
        shows(&["export", "-s", "one"], "one", "\"one\"");
        shows(
            &["export", "-s", "two", &format!("{how}.jsonl")],
            "two",
            "1 run,",
        );
        shows(&["delete", "-n", "-s", "three"], "three", "p/a");
        shows(&["delete", "-y", "-s", "four"], "four", "1 run,");
        shows(&["list"], "completed", "a\tcompleted");
        std::fs::write(stage.root.file("p", "b"), "{").unwrap();
        let problems = stage.piped(&["problems"]).printed();
        assert!(problems.contains("p/executions/b.json"), "{how}");
        std::fs::remove_file(stage.root.file("p", "b")).unwrap();
        assert_eq!(stage.piped(&["problems"]).printed(), "", "{how}");
        let other = stage.root.path().join(format!("q{number}"));
        std::fs::rename(stage.root.path().join("p"), &other).unwrap();
        let of = stage.piped(&["list", "--json=projectId"]).printed();
        assert!(!of.contains("\"p\""), "{how}: {of}");
        std::fs::remove_dir_all(other).unwrap();
        assert_eq!(stage.piped(&["list"]).printed(), "", "{how}");
    }
}

/// Whatever its path holds: as it is in a pipe, harmless on a terminal, and never nothing.
#[test]
fn a_root_is_told_whatever_it_is_called() {
    use std::os::unix::ffi::OsStrExt;
    let stage = Stage::samples();
    let told = |name: &[u8], args: &[&str]| {
        let folder = stage
            .root
            .beside("")
            .join(std::ffi::OsStr::from_bytes(name));
        std::fs::create_dir_all(folder.join(".git")).unwrap();
        std::fs::create_dir_all(folder.join("projects/p/executions")).unwrap();
        let mut command = stage.runlog(args);
        command.current_dir(folder);
        command
    };
    let piped = told(b"nu\xff", &["root"]).output().unwrap();
    assert!(piped.stdout.ends_with(b"/nu\xff/projects\n"), "{piped:?}");
    let json = done(&mut told(b"nu\xff", &["root", "--json"])).printed();
    let found: Value = serde_json::from_str(&json).unwrap();
    let root = found["root"].as_str().unwrap();
    assert!(root.ends_with("/nu\u{fffd}/projects"), "{json}");
    let name = "c\u{9b}31m\u{202e}x";
    let shown = on_terminal(&mut told(name.as_bytes(), &["root", "--json"]), 80, "");
    assert!(
        shown.out.contains(r"/c\u009b31m\u202ex/projects"),
        "{}",
        shown.out
    );
    assert!(!shown.out.contains(['\u{9b}', '\u{202e}']), "{}", shown.out);
}

#[test]
fn json_is_the_result_that_call_gives() {
    let stage = Stage::samples();
    let key = json!({ "executionId": COMPLETED });
    let calls = [
        (
            vec!["list", "-L", "2"],
            "executions/list",
            json!({ "limit": 2 }),
        ),
        (
            vec![
                "list",
                "-L",
                "3",
                "-p",
                "website",
                "-s",
                "failed",
                "--since",
                "2025-01-01",
            ],
            "executions/list",
            json!({ "limit": 3, "projectId": "website", "status": "failed",
                "where": "startedAt >= \"2025-01-01\"" }),
        ),
        (
            vec!["list", "--json=id,status"],
            "executions/list",
            json!({ "limit": 30, "fields": ["id", "status"] }),
        ),
        (vec!["show", COMPLETED], "executions/get", key),
        (vec!["stats"], "executions/stats", json!({})),
        (
            vec!["series"],
            "executions/series",
            json!({ "bucket": "day" }),
        ),
        (
            vec!["series", "-z", "Asia/Tokyo"],
            "executions/series",
            json!({ "bucket": "day", "timezone": "Asia/Tokyo" }),
        ),
        (vec!["errors"], "errors/groups", json!({ "limit": 30 })),
        (
            vec!["nodes", "--order", "most-used"],
            "nodes/stats",
            json!({ "limit": 30, "orderBy": "mostUsed" }),
        ),
        (vec!["problems"], "server/problems", json!({ "limit": 30 })),
        (vec!["status"], "server/status", json!({})),
        (vec!["trash", "list"], "trash/list", json!({ "limit": 30 })),
        (
            vec!["diff", "exec-17605081", "last"],
            "executions/diff",
            json!({ "a": { "executionId": "exec-17605081" }, "b": { "executionId": "last" } }),
        ),
    ];
    for served in [false, true] {
        let daemon = served.then(|| stage.daemon());
        for (args, method, params) in &calls {
            let mut args = args.clone();
            if !args.iter().any(|arg| arg.starts_with("--json")) {
                args.push("--json");
            }
            let printed = stage.piped(&args).printed();
            let params = params.to_string();
            if *method == "server/status" && !served {
                continue; // a process that has only just begun says so
            }
            let called = stage.piped(&["call", method, &params]).printed();
            assert_eq!(steady(&printed), steady(&called), "{args:?}");
        }
        drop(daemon);
    }
    // a hit a line
    let lines = stage.piped(&["search", "page", "--json"]).printed();
    let called = stage.piped(&[
        "call",
        "executions/search",
        r#"{"query":"page","sync":true}"#,
    ]);
    let called: Value = serde_json::from_str(&called.printed()).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(&Value::from(lines), &called["hits"]);
    // members in their own spelling, of rows and of a result
    let chosen = stage.piped(&["nodes", "--json=nodeId,runs"]).printed();
    let chosen: Value = serde_json::from_str(&chosen).unwrap();
    assert_eq!(chosen["nodes"][0], json!({ "nodeId": "write", "runs": 1 }));
    assert_eq!(chosen["total"], 3);
    let chosen = stage
        .piped(&["stats", "--json=failed,totalCostUSD"])
        .printed();
    assert_eq!(chosen, "{\"failed\":1,\"totalCostUSD\":0.0443}\n");
}

/// A name that no answer has is told before anything is done.
#[test]
fn members_that_there_are_not_are_refused_by_every_command() {
    let stage = Stage::samples();
    let file = stage.root.beside("new.json");
    let before = stage
        .piped(&["list", "--json=id,version,pinned,tags"])
        .printed();
    for (line, near) in [
        ("list --json=idd", "id"),
        ("show --json=statsu", "status"),
        ("stats --json=totalCost", "totalCostUSD"),
        ("series --json=starts", "start"),
        ("search page --json=scor", "score"),
        ("tail --json=kinds", "kind"),
        ("watch exec-1760508120004-4k1zq0vbn --json=statu", "status"),
        ("diff last last --json=equals", "equal"),
        ("errors --json=counts", "count"),
        ("nodes --json=node", "nodeId"),
        ("status --json=uptime", "uptimeMs"),
        ("problems --json=paths", "path"),
        ("statusline --json=todays", "today"),
        ("trash list --json=entri", "entry"),
        ("trash restore x --json=project", "projectId"),
        ("trash empty --yes --json=freedByte", "freedBytes"),
        ("delete -s failed --yes --json=executionID", "executionId"),
        (
            "delete exec-1760508120004-4k1zq0vbn --yes --json=entri",
            "entry",
        ),
        (
            "delete exec-1760508120004-4k1zq0vbn -n --json=sizes",
            "sizeBytes",
        ),
        ("prune --max-count 1 --yes --json=executionI", "executionId"),
        ("pin exec-1760508120004-4k1zq0vbn --json=sumary", "summary"),
        (
            "tag exec-1760508120004-4k1zq0vbn new --json=sumary",
            "summary",
        ),
        (
            "note exec-1760508120004-4k1zq0vbn new --json=sumary",
            "summary",
        ),
        ("export FILE --json=row", "rows"),
    ] {
        let words = line.split(' ').map(|word| match word {
            "FILE" => file.to_str().unwrap(),
            word => word,
        });
        let done = stage.piped(&words.collect::<Vec<_>>());
        let hint = format!("did you mean `{near}`?");
        assert_eq!((done.status, done.out.as_str()), (2, ""), "{line}");
        assert!(done.err.contains(&hint), "{line}: {}", done.err);
    }
    let far = stage.piped(&["stats", "--json=elephants"]);
    assert!(
        far.err.contains("there are averageDuration, "),
        "{}",
        far.err
    );
    let after = stage
        .piped(&["list", "--json=id,version,pinned,tags"])
        .printed();
    assert_eq!(steady(&before), steady(&after));
    assert!(!file.exists());
}

/// What acts fits a narrow terminal as well, but for the command that undoes it.
#[test]
fn what_acts_tells_it_within_the_width() {
    let stage = Stage::samples();
    for columns in [40, 80] {
        for line in [
            "delete -s failed -n",
            "prune --max-count 1 -n",
            "prune --max-count 0 -n",
            "prune --max-count 1 --yes",
            "delete exec-1760504566569-y49gl3ayg --yes",
            "trash list",
            "trash restore exec-1760504566569-y49gl3ayg",
            "delete exec-1760504566569-y49gl3ayg --yes",
            "trash empty --yes",
            "pin exec-1760508120004-4k1zq0vbn",
            "tag exec-1760508120004-4k1zq0vbn urgent",
            "show exec-1760508",
            "list",
            "status",
            "watch exec-1760508120004-4k1zq0vbn",
            "note exec-1760508120004-4k1zq0vbn --remove",
            "pin exec-1760508120004-4k1zq0vbn --remove",
            "tag exec-1760508120004-4k1zq0vbn --remove urgent",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let shown = stage.shown(columns, &words);
            assert_eq!(shown.status, 0, "{line}: {}", shown.out);
            // on a slow machine a bar is drawn in one line again and again
            let drawn = shown.out.split(['\n', '\r']);
            let lines = drawn.map(|told| told.trim_start_matches("\x1b[2K"));
            for told in lines.filter(|told| !told.contains("undo: ")) {
                let wide = unicode_width::UnicodeWidthStr::width(told);
                assert!(wide <= usize::from(columns), "{line} at {columns}: {told}");
            }
            if let Some((_, undo)) = shown.out.split_once("undo: ")
                && line.starts_with("prune")
            {
                assert_eq!(stage.shell(undo).status, 0);
            }
        }
        stage.root.engine(
            "website",
            "exec-1760504566569-y49gl3ayg",
            &record("website", "exec-1760504566569-y49gl3ayg", "failed"),
        );
    }
}

#[test]
fn on_the_narrowest_terminal_statistics_have_their_lines_whole() {
    let stage = Stage::samples();
    let shown = stage.shown(20, &["stats"]).out;
    let wide = stage.shown(80, &["stats"]).out;
    let words = |text: &str| -> Vec<String> {
        let plain = text.replace(|c: char| !c.is_ascii(), "");
        plain.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(words(&shown), words(&wide));
    for line in shown.lines() {
        assert!(line.chars().count() <= 20, "{line:?}");
    }
    // two runs of four, and one
    let bar = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.matches(|c: char| !c.is_ascii()).count()
    };
    for columns in [31, 40, 58] {
        let shown = stage.shown(columns, &["stats"]).out;
        let (two, one) = (bar(&shown, "completed"), bar(&shown, "failed"));
        assert!(two > one && one > 0, "{columns}: {shown}");
    }
}

/// What a narrow terminal has no room for is not cut to something that no command knows.
#[test]
fn what_a_narrow_terminal_calls_a_deletion_can_be_restored() {
    let stage = Stage::samples();
    for columns in [52, 60, 67, 72, 100] {
        let gone = stage.shown(
            columns,
            &["delete", "exec-1760504566569-y49gl3ayg", "--yes"],
        );
        assert_eq!(gone.status, 0, "{}", gone.out);
        let listed = stage.shown(columns, &["trash", "list"]).out;
        let last = listed.lines().find(|line| line.contains("exec-1760504"));
        let named = last.and_then(|line| line.split_whitespace().last());
        let named = named.unwrap_or_else(|| panic!("at {columns}: {listed}"));
        let back = stage.shown(columns, &["trash", "restore", named]);
        assert_eq!(back.status, 0, "at {columns}: {named}: {}", back.out);
    }
}

#[test]
fn call_sends_any_method_and_says_what_is_wrong_with_it() {
    let stage = Stage::samples();
    let saved = json!({ "projectId": "new", "execution": { "id": "a", "costUSD": 1.10 } });
    let saved = stage
        .piped(&["call", "executions/save", &saved.to_string()])
        .printed();
    assert!(saved.contains("\"created\":true"), "{saved}");
    assert!(stage.root.file("new", "a").exists());
    let mut command = stage.runlog(&["call", "executions/count", "-"]);
    let input = stage.root.beside("params");
    std::fs::write(&input, r#"{"where":"project = new"}"#).unwrap();
    command.stdin(std::fs::File::open(input).unwrap());
    assert!(done(&mut command).printed().starts_with("{\"count\":1,"));
    for (args, status, says) in [
        (
            vec!["call", "executions/lost"],
            2,
            "did you mean `executions/list`?",
        ),
        (vec!["call", "executions/list", "7"], 2, "no object"),
        (vec!["call", "executions/list", "{"], 2, "no JSON"),
        (vec!["call", "executions/list", "{\"limt\":1}"], 2, "limit"),
        (
            vec!["call", "executions/get", "{\"executionId\":\"x\"}"],
            1,
            "x",
        ),
        (vec!["call", "executions/subscribe"], 2, "tail"),
        (vec!["call", "executions/unsubscribe"], 2, "no subscription"),
    ] {
        let done = stage.piped(&args);
        assert_eq!((done.status, done.out.as_str()), (status, ""), "{args:?}");
        assert!(
            done.err.starts_with("runlog: ") && done.err.contains(says),
            "{}",
            done.err
        );
    }
    // with all that may be of use to whoever has spelt it
    let several = stage.piped(&["call", "executions/get", r#"{"executionId":"exec-176"}"#]);
    assert_eq!(several.status, 1);
    let (message, data) = several.err.split_once('\n').unwrap();
    assert!(
        message.ends_with("executions; name one of them"),
        "{message}"
    );
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["kind"], "ambiguous");
    assert_eq!(data["candidates"][0]["projectId"], "website");
}

#[test]
fn colours_are_for_terminals_and_go_where_somebody_says_so() {
    let stage = Stage::samples();
    let list = |change: &dyn Fn(&mut Command) -> &mut Command| {
        let mut command = stage.runlog(&["list"]);
        change(&mut command);
        on_terminal(&mut command, 80, "").printed()
    };
    let painted = list(&|command| command);
    assert!(painted.contains("\x1b[31mfailed\x1b[0m"), "{painted:?}");
    for (name, value) in [("NO_COLOR", ""), ("CLICOLOR", "1"), ("CLICOLOR", "")] {
        assert_eq!(list(&|command| command.env(name, value)), painted, "{name}");
    }
    for (name, value) in [
        ("NO_COLOR", "1"),
        ("CLICOLOR", "0"),
        ("TERM", "dumb"),
        ("TERM", ""),
    ] {
        let plain = list(&|command| command.env(name, value));
        assert!(!plain.contains('\x1b'), "{name}: {plain:?}");
    }
    assert!(!stage.piped(&["list"]).printed().contains('\x1b'));
    // as wide as COLUMNS says, if it does
    let narrow = list(&|command| command.env("COLUMNS", "60").env("NO_COLOR", "1"));
    assert!(
        narrow.lines().all(|line| line.chars().count() <= 60),
        "{narrow}"
    );
}

#[test]
fn times_are_relative_for_people_and_absolute_for_programs() {
    let stage = Stage::over(Root::empty());
    let at = |ago_minutes: i64| {
        let at = support::now_millis() - ago_minutes * 60_000;
        String::from_utf8(runlog::model::Millis(at).date().to_vec()).unwrap()
    };
    for (id, ago) in [("a", 12), ("b", 150), ("c", 4 * 1440 + 30)] {
        let mut run = record("p", id, "completed");
        run["startedAt"] = at(ago).into();
        stage.root.engine("p", id, &run);
    }
    let shown = stage.shown(80, &["list"]).printed();
    for told in ["12m ago", "2h ago", "4d ago"] {
        assert!(shown.contains(told), "{told}: {shown}");
    }
    let piped = stage.piped(&["list"]).printed();
    assert!(!piped.contains("ago") && piped.contains("Z\t"), "{piped}");
    for (since, count) in [
        ("5m", 0),
        ("1h", 1),
        ("-1h", 1),
        ("3h", 2),
        ("1w", 3),
        ("7d", 3),
    ] {
        let list = stage.piped(&["list", "--since", since]).printed();
        assert_eq!(list.lines().count(), count, "--since {since}: {list}");
        let list = stage.piped(&["list", "--until", since]).printed();
        assert_eq!(list.lines().count(), 3 - count, "--until {since}: {list}");
    }
    let both = [
        "list",
        "--where",
        "costUSD > 1 or id = b",
        "--since",
        "3h",
        "--until",
        "1h",
    ];
    assert_eq!(stage.piped(&both).printed().lines().count(), 1);
}

/// By itself what is in brackets could be something else.
#[test]
fn a_filter_beside_since_and_until_is_one_by_itself() {
    let stage = Stage::samples();
    let filter = "costUSD = 0.001) or (status = failed";
    let alone = stage.piped(&["list", "--where", filter]);
    assert_eq!(alone.status, 2, "{}", alone.err);
    for command in [
        &["list", "--since", "2025-10-14"][..],
        &["stats", "--until", "2025-10-14"],
        &["delete", "-n", "--since", "2025-10-14"],
    ] {
        let done = stage.piped(&[command, &["--where", filter]].concat());
        assert_eq!(done, alone, "{command:?}");
    }
    let both = ["list", "--since", "2025-10-01", "--where"];
    let listed = |filter: &str| stage.piped(&[&both[..], &[filter]].concat()).printed();
    assert_eq!(listed(" "), stage.piped(&both[..3]).printed());
    assert_eq!(listed("status = failed").lines().count(), 1);
}

#[test]
fn a_run_is_meant_by_the_beginning_of_its_id_in_a_project_too() {
    let stage = Stage::samples();
    let whole = stage.piped(&["show", "exec-1760508120004-4k1zq0vbn", "--json=id"]);
    for args in [
        &["show", "website/exec-1760508", "--json=id"][..],
        &["show", "-p", "website", "exec-1760508", "--json=id"],
    ] {
        assert_eq!(stage.piped(args), whole, "{args:?}");
    }
    for args in [
        &["show", "website/exec-1760508"][..],
        &["diff", "-p", "website", "exec-1760508", "exec-1760504"],
    ] {
        stage.piped(args).printed();
    }
    let several = stage.piped(&["show", "-p", "website", "exec-176"]);
    assert_eq!(several.status, 1);
    let told = "runlog: exec-176 may mean several runs; name one of them\n  website/exec-";
    assert!(several.err.starts_with(told), "{}", several.err);
    let none = stage.piped(&["show", "-p", "docs", "exec-1760504"]);
    assert_eq!(none.status, 1);
    assert_eq!(none.err, "runlog: project docs has no run exec-1760504\n");
}

/// A script that runs twice, or beside another, names what is gone: that may begin another's name.
#[test]
fn what_does_something_to_a_run_takes_none_by_the_beginning_of_its_id() {
    let stage = Stage::samples();
    let listed = || stage.piped(&["list"]).printed();
    let before = listed();
    for run in ["website/exec-1760508", "exec-1760508"] {
        for args in [
            &["watch", run][..],
            &["pin", run],
            &["tag", run, "x"],
            &["note", run],
            &["note", run, "x"],
            &["delete", run, "--yes"],
            &["delete", run, "--yes", "--permanent"],
        ] {
            let done = stage.piped(args);
            assert_eq!(done.status, 1, "{args:?}");
            let told = format!(
                "runlog: there is no run {run}; name website/exec-1760508120004-4k1zq0vbn whole if \
                that is meant\n"
            );
            assert_eq!(done.err, told, "{args:?}");
        }
    }
    assert_eq!(listed(), before);
}

#[test]
fn what_is_exported_to_a_pipe_is_whole_however_large() {
    let stage = Stage::over(Root::empty());
    for (id, size) in [("large", 17 << 20), ("small", 10)] {
        let mut run = record("p", id, "completed");
        run["output"] = "x".repeat(size).into();
        stage.root.engine("p", id, &run);
    }
    for format in ["json", "jsonl"] {
        let printed = stage.piped(&["export", "--format", format]).printed();
        assert!(printed.len() > 17 << 20, "{format}: {}", printed.len());
        let file = stage.root.beside(format);
        let named = file.to_str().unwrap();
        stage
            .piped(&["export", "--format", format, named])
            .printed();
        assert!(std::fs::read_to_string(&file).unwrap() == printed);
    }
    // what no answer could hold
    let mut run = record("p", "huge", "completed");
    run["output"] = "x".repeat(64 << 20).into();
    stage.root.engine("p", "huge", &run);
    let huge = ["export", "--where", "id = huge"];
    let file = stage.root.beside("huge");
    for args in [&huge[..], &[&huge[..], &[file.to_str().unwrap()]].concat()] {
        let done = stage.piped(args);
        assert_eq!(done.status, 1, "{}", done.err);
        assert!(done.err.contains("are not written"), "{}", done.err);
    }
    // a filter as long as one may be
    let long = "id = small or label = ";
    let long = format!("{long}\"{}\"", "x".repeat((16 << 10) - long.len() - 2));
    let file = stage.root.beside("long");
    for args in [&[][..], &[file.to_str().unwrap()]] {
        let done = stage.piped(&[&["export", "--where", &long][..], args].concat());
        assert_eq!(done.status, 0, "{}", done.err);
    }
    let small = ["export", "--where", "id = small) or (id = large"];
    assert_eq!(stage.piped(&small).status, 2);
    let folder = stage.piped(&["export", "new/"]);
    assert_eq!(folder.status, 2);
    assert_eq!(folder.err, "runlog: new/ is no name of a file\n");
}

#[test]
fn the_status_line_counts_what_began_today_and_nothing_dated_later() {
    let stage = Stage::over(Root::empty());
    let mut run = record("p", "a", "failed");
    run["costUSD"] = json!(5.0);
    run["startedAt"] = "9000-01-01T00:00:00.000Z".into();
    stage.root.engine("p", "a", &run);
    let line = stage.piped(&["statusline"]).printed();
    assert!(
        line.starts_with("$0") && line.ends_with(" 0 failed\n"),
        "{line}"
    );
}

/// Somebody who listens where the daemon would.
fn listener(stage: &Stage) -> UnixListener {
    let socket = stage.piped(&["socket"]).printed();
    let socket = std::path::Path::new(socket.trim_end());
    let folder = socket.parent().unwrap();
    std::fs::create_dir(folder).unwrap();
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)).unwrap();
    UnixListener::bind(socket).unwrap()
}

/// As a daemon that was stopped long ago: so many wait for it that no more can.
#[test]
fn nobody_waits_for_a_daemon_that_takes_no_connections() {
    let stage = Stage::samples();
    let full = listener(&stage);
    rustix::net::listen(&full, 0).unwrap();
    let address =
        rustix::net::SocketAddrUnix::new(full.local_addr().unwrap().as_pathname().unwrap());
    let address = address.unwrap();
    let mut waiting = Vec::new();
    let refused = loop {
        let (family, kind) = (
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::STREAM,
        );
        let socket = rustix::net::socket(family, kind, None).unwrap();
        rustix::io::ioctl_fionbio(&socket, true).unwrap();
        match rustix::net::connect(&socket, &address) {
            Ok(()) => waiting.push(socket),
            Err(error) => break error,
        }
    };
    assert_eq!(refused, rustix::io::Errno::AGAIN);
    let line = stage.piped(&["statusline"]).printed();
    assert!(line.ends_with(" failed\n"), "{line}");
    let status = stage.piped(&["status"]).printed();
    assert!(status.contains("though a daemon listens"), "{status}");
    let found = stage.piped(&["doctor"]);
    assert!(found.out.contains("takes no connections"), "{}", found.out);
    // whoever it is
    assert!(found.out.contains("\n  mv -n "), "{}", found.out);
}

/// Who serves is told as it is also where somebody listens who does not.
#[test]
fn a_daemon_that_does_not_serve_is_not_said_to_be_none() {
    let stage = Stage::samples();
    let deaf = listener(&stage);
    std::thread::spawn(move || deaf.incoming().for_each(drop));
    let status = stage.piped(&["status"]).printed();
    let told = "served by\tthis command, though a daemon listens; `runlog doctor` says";
    assert!(status.contains(told), "{status}");
}

/// As a daemon that was stopped.
#[test]
fn the_status_line_does_not_wait_for_a_daemon_that_does_not_answer() {
    let stage = Stage::samples();
    let _silent = listener(&stage);
    let began = Instant::now();
    let line = stage.piped(&["statusline"]).printed();
    assert!(line.ends_with(" failed\n"), "{line}");
    // other commands wait for so long
    assert!(began.elapsed() < Duration::from_secs(10));
}

/// What ends it is the reader, and how things are is told all the same.
#[test]
fn whoever_stops_reading_is_told_the_status() {
    let stage = Stage::over(Root::empty());
    stage.root.engine("p", "bad", &record("p", "bad", "failed"));
    std::fs::write(stage.root.file("p", "broken"), "{").unwrap();
    for (args, status) in [
        (&["watch", "bad"][..], 3),
        (&["watch", "bad", "--json"], 3),
        (&["doctor"], 1),
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let done = done(stage.runlog(args).stdout(writer));
        assert_eq!((done.status, done.err.as_str()), (status, ""), "{args:?}");
    }
}

#[test]
fn whoever_stops_reading_is_no_error() {
    let stage = Stage::over(Root::empty());
    for number in 0..400 {
        let id = format!("run-{number:04}-{}", "x".repeat(200));
        stage.root.engine("p", &id, &record("p", &id, "completed"));
    }
    for command in [
        "list -L 1000",
        "export",
        "list -L 1000 --json",
        "reference",
        "man",
    ] {
        let line = format!("{{ runlog {command}; echo $? >status; }} | head -c 1 >/dev/null");
        let done = stage.shell(&line);
        assert_eq!(done.err, "", "{command}");
        let status = std::fs::read_to_string(stage.root.beside("status")).unwrap();
        assert_eq!(status, "0\n", "{command}");
    }
    for command in ["list -L 40", "list --help", "--version"] {
        let full = stage.shell(&format!("runlog {command} >/dev/full"));
        assert_eq!(full.status, 1, "{command}");
        assert!(
            full.err.starts_with("runlog: No space left"),
            "{command}: {}",
            full.err
        );
    }
    // a prompt is in many folders
    let nowhere = stage.piped(&["statusline", "--projects", "/not/there"]);
    assert_eq!((nowhere.status, nowhere.err.as_str()), (0, ""));
}

#[test]
fn long_texts_are_folded_and_paged_on_a_terminal_only() {
    let stage = Stage::over(Root::empty());
    let mut run = record("p", "long", "failed");
    let lines: Vec<String> = (0..300).map(|number| format!("line {number}")).collect();
    run["output"] = lines.join("\n").into();
    stage.root.engine("p", "long", &run);
    let folded = stage.shown(80, &["show", "long"]).printed();
    assert!(
        folded.contains("line 11\n") && !folded.contains("line 12\n"),
        "{folded}"
    );
    assert!(
        folded.contains("… 288 more lines; --full shows them"),
        "{folded}"
    );
    let whole = stage.piped(&["show", "long"]).printed();
    assert!(whole.contains("line 299\n"), "{whole}");
    let page = |pager: &str| {
        let mut command = stage.runlog(&["show", "long", "--full"]);
        command.env("PAGER", pager).env("NO_COLOR", "1");
        on_terminal(&mut command, 80, "").printed()
    };
    assert!(page("cat").contains("line 299\n"));
    let paged = page("sed 's/^/PAGED /'");
    assert!(paged.contains("PAGED   line 299\n"), "{paged}");
    assert!(page("no-such-pager").contains("line 299\n"));
    assert_eq!(page("head -1").lines().count(), 1);
    // nobody has asked for the one that is not there
    let bin = stage.root.beside("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/sh", bin.join("sh")).unwrap();
    let mut command = stage.runlog(&["show", "long", "--full"]);
    command.env_remove("PAGER").env("PATH", bin);
    let whole = on_terminal(&mut command, 80, "").printed();
    assert!(whole.starts_with("\x1b[1mp/long"), "{whole:?}");
    assert!(whole.contains("line 299\n"), "{whole}");
}

#[test]
fn a_first_index_that_takes_long_shows_a_bar_and_leaves_nothing_of_it() {
    let root = Root::empty();
    let folder = root.path().join("large/executions");
    std::fs::create_dir_all(&folder).unwrap();
    let first = folder.join("run-0.json");
    std::fs::write(&first, r#"{ "status": "completed" }"#).unwrap();
    for number in 1..20_000 {
        std::fs::hard_link(&first, folder.join(format!("run-{number}.json"))).unwrap();
    }
    let stage = Stage::over(root);
    let (mut master, line) = crate::stage::terminal(100, 50);
    let mut command = stage.runlog(&["list", "-L", "1"]);
    command
        .env("TERM", "xterm")
        .stderr(std::process::Stdio::from(line));
    command.stdout(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    command.stderr(std::process::Stdio::null());
    let (shown, hear) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        use std::io::Read;
        let mut bytes = [0; 4096];
        let mut all = String::new();
        while let Ok(count @ 1..) = master.read(&mut bytes) {
            all.push_str(&String::from_utf8_lossy(&bytes[..count]));
            if shown.send(all.clone()).is_err() {
                return;
            }
        }
    });
    let pid = rustix::process::Pid::from_child(&child);
    let began = Instant::now();
    let mut seen = String::new();
    // as a much slower machine would
    while !seen.contains("Reading runs [") {
        for signal in [rustix::process::Signal::STOP, rustix::process::Signal::CONT] {
            let _ = rustix::process::kill_process(pid, signal);
            let pause = if signal == rustix::process::Signal::STOP {
                20
            } else {
                1
            };
            std::thread::sleep(Duration::from_millis(pause));
        }
        seen = hear.try_iter().last().unwrap_or(seen);
        assert!(began.elapsed() < PATIENCE, "there is no bar: {seen:?}");
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
    let seen = hear.iter().last().unwrap_or(seen);
    let mut screen = vt100::Parser::new(50, 100, 0);
    screen.process(seen.as_bytes());
    assert_eq!(screen.screen().contents(), "");
}

/// A line in a pipe has as many fields as the command says that it has.
#[test]
fn which_fields_a_line_has_in_a_pipe_is_told() {
    let stage = Stage::samples();
    let deleted = "exec-1760504566569-y49gl3ayg";
    stage.piped(&["delete", deleted, "--yes"]).printed();
    std::fs::write(stage.root.file("website", "cut"), "{").unwrap();
    let mut failed = record("website", "failed", "failed");
    failed["error"] = "no".into();
    stage.root.engine("website", "failed", &failed);
    for words in [
        "list",
        "stats",
        "series",
        "search notes",
        "errors",
        "nodes",
        "trash list",
        "problems",
        "status",
        "watch failed",
    ] {
        let args: Vec<&str> = words.split(' ').collect();
        let line = stage.piped(&args).out;
        let line = line.lines().next().unwrap_or_else(|| panic!("{words}"));
        let help = stage.piped(&[&args[..], &["--help"]].concat()).printed();
        let (_, told) = help.split_once("In a pipe, a line a ").expect(words);
        let told = told.split("\n\n").next().unwrap();
        let (_, fields) = told.split_once(": ").unwrap();
        let fields = fields.split(';').next().unwrap();
        assert_eq!(
            line.split('\t').count(),
            fields.split(',').count(),
            "{words}: {line}: {fields}"
        );
    }
}

#[test]
fn numbers_in_a_pipe_are_those_of_the_protocol() {
    let stage = Stage::samples();
    for number in 0..1100 {
        let id = format!("run-{number}");
        stage.root.engine("p", &id, &json!({ "status": "failed" }));
    }
    let status = stage.piped(&["status"]).printed();
    assert!(status.contains("\nruns\t1104\n"), "{status}");
    let memory = status
        .lines()
        .find_map(|line| line.strip_prefix("memory\t"));
    assert!(memory.unwrap().parse::<u64>().is_ok(), "{status}");
    let shown = stage.piped(&["show", COMPLETED]).printed();
    for line in [
        "took     36711",
        "cost     0.0289",
        "tokens   3650 in, 1190 out, 4840 in all",
    ] {
        assert!(shown.contains(&format!("\n{line}\n")), "{line}: {shown}");
    }
    // two hours of one name
    for (id, started) in [
        ("one", "2025-10-26T00:30:00Z"),
        ("two", "2025-10-26T01:30:00Z"),
    ] {
        let mut run = record("clocks", id, "completed");
        run["startedAt"] = started.into();
        run["output"] = format!("{}{id}", "x".repeat(200)).into();
        stage.root.engine("clocks", id, &run);
    }
    let hours = [
        "series",
        "-p",
        "clocks",
        "--bucket",
        "hour",
        "-z",
        "Europe/Berlin",
    ];
    let hours = stage.shown(100, &hours).printed();
    for hour in ["02:00 CEST", "02:00 CET "] {
        assert!(hours.contains(hour), "{hours}");
    }
    // what differs is shown, however late it comes
    let diff = stage
        .shown(80, &["diff", "clocks/one", "clocks/two"])
        .printed();
    assert!(diff.contains("xone\n") && diff.contains("xtwo\n"), "{diff}");
    std::fs::remove_dir_all(stage.root.path().join("clocks")).unwrap();
    let diff = stage.piped(&["diff", COMPLETED, "website/last"]).printed();
    assert!(diff.contains("took       36711 → none"), "{diff}");
    // more than are ever printed
    let list = stage.shown(80, &["list", "-L", "1000"]).printed();
    assert!(
        list.ends_with("1,000 of 1,104 runs; `runlog export` writes all of them\n"),
        "{}",
        list.lines().last().unwrap()
    );
    let list = stage.shown(80, &["list", "-L", "2"]).printed();
    assert!(list.ends_with("2 of 1,104 runs; -L shows more\n"), "{list}");
    // dates that nobody knows
    let series = stage.piped(&["series"]);
    let told = "runlog: and 1,100 runs that do not say when they began\n";
    assert_eq!(series.err, told);
}

#[test]
fn others_than_are_shown_are_told_of() {
    let stage = Stage::over(Root::empty());
    for id in ["one", "two"] {
        let mut run = record("p", id, "failed");
        run["error"] = format!("{id} is the matter with it").into();
        run["steps"] = json!([{ "nodeId": id, "status": "failed" }]);
        stage.root.engine("p", id, &run);
    }
    let mut far = record("p", "far", "completed");
    far["startedAt"] = "9000-01-01T00:00:00.000Z".into();
    stage.root.engine("p", "far", &far);
    for (words, told) in [
        ("nodes -L 1", "1 of 2 nodes; -L shows more\n"),
        ("errors -L 1", "1 of 2 groups; -L shows more\n"),
    ] {
        let args: Vec<&str> = words.split(' ').collect();
        let shown = stage.shown(80, &args).printed();
        assert!(shown.ends_with(told), "{shown}");
    }
    let series = stage.shown(30, &["series"]).printed();
    let narrow = series.lines().all(|line| line.chars().count() <= 30);
    assert!(
        narrow && series.contains("and 1 run that began long"),
        "{series}"
    );
}

/// A program that does not say how many rows it wants hears of those that it does not have.
#[test]
fn rows_that_a_pipe_does_not_have_are_told_of() {
    let stage = Stage::over(Root::empty());
    let letter = |number: u8| char::from(b'a' + number);
    for number in 0..31 {
        let id = format!("{}{}", letter(number / 6), letter(number % 6));
        let mut run = record("p", &id, "failed");
        run["error"] = format!("{id} is the matter").into();
        run["steps"] = json!([{ "nodeId": id, "status": "failed" }]);
        stage.root.engine("p", &id, &run);
        stage
            .root
            .engine("p", &format!("old-{id}"), &record("p", &id, "completed"));
        std::fs::write(stage.root.file("p", &format!("broken-{id}")), "{").unwrap();
    }
    stage
        .piped(&["delete", "-s", "completed", "--yes"])
        .printed();
    for (words, told) in [
        ("list", "30 of 31 runs; -L shows more"),
        ("search matter", "30 of 31 runs; -L shows more"),
        ("search matter --json=score", "30 of 31 runs; -L shows more"),
        ("errors", "30 of 31 groups; -L shows more"),
        ("nodes", "30 of 31 nodes; -L shows more"),
        ("problems", "the first 30; -L shows more"),
        ("trash", "30 of 31 in the trash, "),
    ] {
        let args: Vec<&str> = words.split(' ').collect();
        let cut = stage.piped(&args);
        assert_eq!(cut.out.lines().count(), 30, "{words}");
        assert!(
            cut.err.starts_with(&format!("runlog: {told}")),
            "{}",
            cut.err
        );
        assert_eq!(cut.err.lines().count(), 1, "{}", cut.err);
        let wanted = stage.piped(&[&args[..], &["-L", "29"]].concat());
        assert_eq!(wanted.out.lines().count(), 29, "{words}");
        assert_eq!(wanted.err, "", "{words}");
        let all = stage.piped(&[&args[..], &["-L", "1000"]].concat());
        assert_eq!((all.out.lines().count(), &*all.err), (31, ""), "{words}");
    }
    let shown = stage.shown(80, &["trash"]).printed();
    assert!(shown.ends_with("; -L shows more\n"), "{shown}");
}

/// Whoever tries it first has none.
#[test]
fn where_there_is_no_run_the_last_one_is_not_looked_for_as_an_id() {
    let stage = Stage::over(Root::empty());
    for line in [
        "show",
        "show last",
        "watch last",
        "pin last",
        "diff last last",
        "delete last",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let none = stage.piped(&words);
        assert_eq!((none.status, none.out.as_str()), (1, ""), "{line}");
        assert_eq!(none.err, "runlog: there are no runs yet\n", "{line}");
    }
    stage.root.engine("p", "a", &record("p", "a", "failed"));
    let none = stage.piped(&["show", "-p", "q"]);
    assert_eq!(none.err, "runlog: there are no runs of project q yet\n");
}

/// What a person is told is in the words of what he typed.
#[test]
fn messages_name_what_was_typed_and_not_what_the_protocol_calls_it() {
    let stage = Stage::samples();
    let file = stage.root.beside("there.json");
    std::fs::write(&file, "").unwrap();
    let file = file.to_str().unwrap();
    let taken = format!("{file}: something is there already; it was left alone, name another");
    for (words, status, says) in [
        ("show ", 2, "name a run: its id, or `last`"),
        ("show website/", 2, "name a run: its id"),
        (
            "show nosuch",
            1,
            "no project has a run whose id is, or begins with, nosuch",
        ),
        ("show -p docs nosuch", 1, "project docs has no run nosuch"),
        ("list -p ..", 2, "--project: "),
        (
            "prune --max-age 7",
            2,
            "--max-age <SPAN>': expected a number and a unit",
        ),
        (
            "prune --max-bytes 1G",
            2,
            "expected a number of bytes, as in 500000, 10kB, 1.5MB or 2GiB",
        ),
        (
            "prune --max-count 1k",
            2,
            "expected a whole number, without a unit",
        ),
        ("prune --max-count 1 -p ..", 2, "--project: "),
        ("list -L 1001", 2, "expected a number from 1 to 1000"),
        ("tail -L 1001", 2, "expected a number from 0 to 1000"),
        ("list --since 0d", 2, "0d is no span of at least 1s"),
        ("list --where a=", 2, "--where: at "),
        (
            "trash restore --batch zz",
            2,
            "--batch: expected what the undo of a deletion says",
        ),
        ("export FILE", 1, &taken),
        ("export ..", 2, ".. is no name of a file"),
        (
            "export /dev/full",
            2,
            "/dev/full is no file; without FILE, or with `-`, rows go to stdout",
        ),
    ] {
        let args: Vec<&str> = words
            .split(' ')
            .map(|word| if word == "FILE" { file } else { word })
            .collect();
        let done = stage.piped(&args);
        assert_eq!((done.status, done.out.as_str()), (status, ""), "{words}");
        assert!(done.err.contains(says), "{words}: {}", done.err);
    }
    // each is about what is shown with it
    for (args, says) in [
        (
            &["(abc", "--where", "costUSD > 0.00001"][..],
            "  (abc\n      ^\n",
        ),
        (
            &["abc", "--where", "costUSD >"],
            "  costUSD >\n           ^\n",
        ),
    ] {
        let done = stage.piped(&[&["search"], args].concat());
        assert_eq!(done.status, 2, "{args:?}");
        assert!(done.err.ends_with(says), "{args:?}: {}", done.err);
    }
    for zone in ["utc", "europe/berlin"] {
        assert_eq!(stage.piped(&["list", "-z", zone]).status, 0, "{zone}");
    }
}

/// Any status may be asked for, and one that is misspelt is answered with nothing.
#[test]
fn a_status_near_a_known_one_is_told_where_nothing_is_found() {
    let stage = Stage::samples();
    let several = stage.piped(&["list", "-s", "failed, running"]);
    assert_eq!((several.out.lines().count(), several.err.as_str()), (2, ""));
    for words in [
        "list",
        "stats",
        "series",
        "errors",
        "nodes",
        "search page",
        "export",
    ] {
        let args: Vec<&str> = words.split(' ').chain(["-s", "Faild"]).collect();
        let none = stage.piped(&args);
        assert_eq!(none.status, 0, "{words}: {}", none.err);
        let told = "runlog: `Faild` is none of the known statuses; did you mean `failed`?\n";
        assert_eq!(none.err, told, "{words}");
        let own: Vec<&str> = words.split(' ').chain(["-s", "archived"]).collect();
        assert_eq!(stage.piped(&own).err, "", "{words}");
    }
    for words in [
        "delete -n",
        "delete --yes",
        "prune --max-count 1 -n",
        "prune --max-count 1 --yes",
    ] {
        let args: Vec<&str> = words.split(' ').chain(["-s", "Faild"]).collect();
        let none = stage.piped(&args);
        assert_eq!(none.status, 0, "{words}: {}", none.err);
        assert!(
            none.err.contains("did you mean `failed`?"),
            "{words}: {}",
            none.err
        );
    }
}

#[test]
fn members_of_an_unexpected_type_are_shown_too() {
    let stage = Stage::over(Root::empty());
    let odd = json!({
        "id": 1, "projectId": ["p"], "status": {}, "name": 9, "model": 7, "startedAt": 5,
        "duration": "long", "costUSD": "1", "tokenUsage": 3, "retryCount": 1.5, "steps": { "a": 1 }
    });
    stage.root.engine("p", "odd", &odd);
    let shown = stage.piped(&["show", "p/odd"]).printed();
    for (name, value) in odd.as_object().unwrap() {
        let value = value.as_str().map_or(value.to_string(), str::to_owned);
        let told = format!("\n\n{name}\n  {value}\n");
        assert!(shown.contains(&told), "{name}: {shown}");
    }
    // a number that no clock knows
    std::fs::write(stage.root.file("p", "odd"), r#"{ "duration": 1e400 }"#).unwrap();
    let shown = stage.shown(80, &["show", "p/odd"]).printed();
    assert!(shown.contains("took     ages\n"), "{shown}");
    let shown = stage.piped(&["show", "p/odd"]).printed();
    assert!(shown.contains("took     1e400\n"), "{shown}");
}

#[test]
fn of_a_record_that_no_answer_holds_members_are_shown() {
    let stage = Stage::over(Root::empty());
    let mut run = record("p", "huge", "completed");
    run["output"] = "x".repeat(64 << 20).into();
    stage.root.engine("p", "huge", &run);
    let some = stage.piped(&["show", "huge", "--json=status,version,name"]);
    let some: Value = serde_json::from_str(&some.printed()).unwrap();
    assert_eq!(some["status"], "completed");
    assert!(some["version"].is_string() && some.get("name").is_none());
    for (args, status, says) in [
        (&["show", "huge"][..], 1, "`runlog show RUN --json=FIELDS`"),
        (
            &["show", "huge", "--json=output"],
            1,
            "the record's file has it",
        ),
        (
            &["show", "huge", "--json=statsu"],
            2,
            "did you mean `status`?",
        ),
    ] {
        let done = stage.piped(args);
        assert_eq!((done.status, done.out.as_str()), (status, ""), "{args:?}");
        assert!(done.err.contains(says), "{args:?}: {}", done.err);
    }
    let shown = stage.shown(80, &["show", "huge"]).printed();
    assert!(shown.contains("the record's file has them"), "{shown}");
    assert!(!shown.contains("--full"), "{shown}");
}

#[test]
fn what_a_command_can_do_nothing_with_says_what_can_be_done() {
    let stage = Stage::samples();
    let file = stage.root.beside("file");
    std::fs::write(&file, "").unwrap();
    let mut command = stage.runlog(&["search", "page"]);
    let none = done(command.env("XDG_CACHE_HOME", &file));
    assert_eq!((none.status, none.out.as_str()), (1, ""));
    assert!(none.err.contains("`runlog doctor`"), "{}", none.err);
    let first = stage.piped(&["prune", "-n"]);
    assert_eq!(first.status, 2);
    assert!(
        first.err.contains("--max-age, --max-count or --max-bytes"),
        "{}",
        first.err
    );
    let no_folder = stage.piped(&["list", "--projects", file.to_str().unwrap()]);
    assert_eq!((no_folder.status, no_folder.out.as_str()), (2, ""));
    assert_eq!(
        no_folder.err,
        format!("runlog: {} is no folder\n", file.display())
    );
    stage
        .piped(&["delete", "exec-1760504566569-y49gl3ayg", "--yes"])
        .printed();
    for name in ["", "website/"] {
        let refused = stage.piped(&["trash", "restore", name]);
        assert_eq!(refused.status, 2, "{}{}", refused.out, refused.err);
        assert!(refused.err.contains("name a run"), "{}", refused.err);
    }
}

#[test]
fn a_root_that_is_not_clear_or_not_there_is_told() {
    let stage = Stage::over(Root::empty());
    for folder in [
        "repo/a/projects/p/executions",
        "repo/b/projects/p/executions",
    ] {
        std::fs::create_dir_all(stage.root.beside(folder)).unwrap();
    }
    std::fs::create_dir_all(stage.root.beside("repo/.git")).unwrap();
    let mut command = stage.runlog(&["list"]);
    let several = done(command.current_dir(stage.root.beside("repo")));
    assert_eq!((several.status, several.out.as_str()), (2, ""));
    assert!(
        several.err.contains("several folders could be served"),
        "{}",
        several.err
    );
    let mut command = stage.runlog(&["root", "--json"]);
    let told = done(command.current_dir(stage.root.beside("repo")));
    assert_eq!(told.status, 2, "{}", told.out);
    assert!(told.out.contains("candidates"), "{}", told.out);
    let mut command = stage.runlog(&["list"]);
    std::fs::create_dir_all(stage.root.beside("none")).unwrap();
    let none = done(command.current_dir(stage.root.beside("none")));
    assert_eq!((none.status, none.out.as_str()), (0, ""));
    assert!(none.err.contains("runlog: there is no"), "{}", none.err);
    let missing = stage.root.beside("missing");
    let mut command = stage.runlog(&["serve", "--projects"]);
    let named = done(command.arg(&missing));
    assert_eq!(
        named.err,
        format!(
            "runlog: there is no {}; serving it as empty until it comes\n",
            missing.display()
        )
    );
    let mut command = stage.runlog(&["serve"]);
    let looked_for = done(command.current_dir(stage.root.beside("none")));
    let mut lines = looked_for.err.lines();
    assert!(lines.next().unwrap().ends_with(". Looked for:"));
    assert!(lines.next().unwrap().starts_with("  /"));
}

#[test]
fn a_word_that_may_be_a_status_is_not_taken_for_one() {
    let stage = Stage::samples();
    for words in ["search page -server", "search page -project"] {
        let words: Vec<&str> = words.split(' ').collect();
        let refused = stage.piped(&words);
        assert_eq!(refused.status, 2, "{words:?}: {}", refused.out);
        assert!(refused.err.contains("behind --"), "{}", refused.err);
    }
    let found = stage.piped(&["search", "page"]).printed();
    let first = found.split('\t').nth(1).unwrap();
    for words in [
        "search -- page -server",
        "search page -s completed -p website",
        "search page -scompleted,failed",
        "search page -s=completed",
        "search -pwebsite page",
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        let found = stage.piped(&words).printed();
        assert!(!words.contains(&"--") || found.contains(first), "{found}");
    }
    stage
        .piped(&["search", "page", "-scompleted, failed"])
        .printed();
}

#[test]
fn what_is_beside_a_record_can_be_chosen_too() {
    let stage = Stage::over(Root::empty());
    let text =
        r#"{ "id": "a", "projectId": "p", "status": "failed", "version": 7, "costUSD": 1e-7 }"#;
    stage.root.engine("p", "b", &record("p", "b", "failed"));
    std::fs::write(stage.root.file("p", "a"), text).unwrap();
    let told = |id: &str, fields: &str| {
        let fields = format!("--json={fields}");
        serde_json::from_str::<Value>(&stage.piped(&["show", id, &fields]).printed()).unwrap()
    };
    let whole = told("b", "");
    let chosen = told("b", "version,status");
    assert_eq!(chosen["version"], whole["version"]);
    assert_eq!(chosen["status"], "failed");
    assert_eq!(told("b", "execution")["execution"], whole["execution"]);
    // its own goes first
    assert_eq!(told("a", "version"), json!({ "version": 7 }));
    let refused = stage.piped(&["show", "b", "--json=qqqqqqqq"]);
    assert_eq!(refused.status, 2);
    assert_eq!(
        refused.err.matches("projectId").count(),
        1,
        "{}",
        refused.err
    );
    // money as in lists
    let shown = stage.piped(&["show", "a"]).printed();
    assert!(shown.contains("cost     0.0000001\n"), "{shown}");
    let shown = stage.shown(80, &["show", "a"]).printed();
    assert!(shown.contains("$0.0000001"), "{shown}");
}

#[test]
fn what_a_step_cost_is_shown_as_any_other_cost() {
    let stage = Stage::over(Root::empty());
    let mut run = record("p", "a", "completed");
    let steps = r#"[{ "nodeId": "n", "costUSD": 0.30000000000000004 },
        { "nodeId": "m", "costUSD": 1.0 }, { "nodeId": "o", "costUSD": -2.50 }]"#;
    run["steps"] = serde_json::from_str(steps).unwrap();
    stage.root.engine("p", "a", &run);
    let shown = stage.shown(80, &["show", "a"]).printed();
    for cost in ["$0.3 ", "$1 ", "-$2.5 "] {
        let is_it = |line: &str| format!("{line} ").contains(&format!(" {cost}"));
        assert!(shown.lines().any(is_it), "{cost}: {shown}");
    }
}

#[test]
fn steps_that_are_left_out_are_told_of_in_a_pipe_too() {
    let stage = Stage::over(Root::empty());
    // each is another, or they would be counted together
    let step = |number: u32| {
        json!({
            "nodeId": "n", "status": "completed", "duration": number,
            "tokenUsage": { "input": 1, "output": 1 }, "costUSD": 0.001
        })
    };
    let steps: Vec<Value> = (0..3000).map(step).collect();
    let run = json!({ "id": "a", "projectId": "p", "status": "failed", "steps": steps });
    stage.root.engine("p", "a", &run);
    let nodes = stage.piped(&["nodes"]);
    let told = "runlog: 1 run has more steps than are counted";
    assert!(nodes.err.contains(told), "{}", nodes.err);
    assert_eq!(nodes.printed().lines().count(), 1);
}

#[test]
fn a_working_folder_that_was_removed_matters_only_where_the_root_depends_on_it() {
    let stage = Stage::samples();
    let root = stage.root.path();
    let root = root.to_str().unwrap();
    let gone = "mkdir gone && cd gone && rmdir ../gone &&";
    for command in ["list", "doctor"] {
        let done = stage.shell(&format!("{gone} runlog {command} --projects '{root}'"));
        assert_eq!(done.status, 0, "{command}: {}{}", done.out, done.err);
    }
}
