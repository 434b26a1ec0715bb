//! Questions over many runs from outside: counts, series, orders and filtered changes, compared
//! with sums by hand.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::{Client, Daemon, Root};

const PROJECTS: [&str; 3] = ["p0", "p1", "p2"];
const STATUSES: [&str; 4] = ["completed", "failed", "running", "odd"];
const MODELS: [&str; 2] = ["small", "large"];
const HOUR: i64 = 3_600_000;

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn date(millis: i64) -> String {
    let at = chrono::DateTime::from_timestamp_millis(millis).unwrap();
    at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// Some hundred runs around the days when clocks change in Berlin; a tenth has no start.
fn lay_out(root: &Root, runs: u64) -> Vec<Value> {
    let mut dice = Dice(7);
    let from = chrono::DateTime::parse_from_rfc3339("2026-10-20T00:00:00Z").unwrap();
    let mut all = Vec::new();
    for number in 0..runs {
        let project = PROJECTS[dice.roll(3) as usize];
        let started = from.timestamp_millis()
            + dice.roll(12 * 24) as i64 * HOUR
            + dice.roll(3_600_000) as i64;
        let mut record = json!({
            "id": format!("run-{number:04}"), "projectId": project,
            "status": STATUSES[dice.roll(4) as usize],
            "model": MODELS[dice.roll(2) as usize],
            "startedAt": date(started),
            "duration": dice.roll(10_000),
            "tokenUsage": { "input": dice.roll(500), "output": dice.roll(100) },
            "steps": []
        });
        if dice.roll(10) == 0 {
            record.as_object_mut().unwrap().remove("startedAt");
        }
        if dice.roll(8) > 0 {
            record["costUSD"] = json!(dice.roll(1000) as f64 / 1000.0);
        }
        if record["status"] == "failed" {
            let padding = "x".repeat(dice.roll(400) as usize);
            record["error"] = json!(format!("step 3 {padding} timed out after {}", dice.roll(3)));
        }
        root.engine(project, record["id"].as_str().unwrap(), &record);
        all.push(record);
    }
    all
}

fn nanos(value: &Value) -> i64 {
    (value.as_f64().unwrap_or(0.0) * 1e9).round() as i64
}

#[test]
fn counts_are_those_by_hand() {
    let root = Root::empty();
    let runs = lay_out(&root, 400);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let key = |run: &Value| vec![run["status"].clone(), run["projectId"].clone()];
    let order = |key: &[Value]| key.iter().map(Value::to_string).collect::<Vec<_>>();
    let mut named: BTreeMap<Vec<String>, u64> = BTreeMap::new();
    for run in &runs {
        *named.entry(order(&key(run))).or_default() += 1;
    }
    let answer = client.call(
        "executions/count",
        &json!({ "groupBy": ["status", "project"] }),
    );
    assert_eq!(answer["count"], 400);
    assert_eq!(answer["totalGroups"], named.len());
    let groups = answer["groups"].as_array().unwrap();
    let told: BTreeMap<Vec<String>, u64> = groups
        .iter()
        .map(|group| {
            (
                order(group["key"].as_array().unwrap()),
                group["count"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(told, named);
    let counts: Vec<u64> = groups
        .iter()
        .map(|group| group["count"].as_u64().unwrap())
        .collect();
    assert!(counts.is_sorted_by(|a, b| a >= b), "{counts:?}");

    let cheap = runs
        .iter()
        .filter(|run| run["costUSD"].as_f64().is_some_and(|cost| cost < 0.25));
    let answer = client.call("executions/count", &json!({ "where": "costUSD < 0.25" }));
    assert_eq!(answer["count"], cheap.count());
    assert!(answer.get("groups").is_none());
    let failed = runs.iter().filter(|run| run["status"] == "failed").count();
    let answer = client.call("executions/count", &json!({ "status": "failed" }));
    assert_eq!(answer["count"], failed);
    let days = client.call(
        "executions/count",
        &json!({ "groupBy": ["day"], "limit": 3 }),
    );
    assert_eq!(days["groups"].as_array().unwrap().len(), 3);
    assert!(days["totalGroups"].as_u64().unwrap() > 3);
    let undated = client.call(
        "executions/count",
        &json!({ "groupBy": ["week"], "where": "startedAt is null" }),
    );
    assert_eq!(undated["groups"][0]["key"], json!([null]));
    let error = client.refused(
        "executions/count",
        &json!({ "groupBy": ["day", "week", "month"] }),
    );
    assert_eq!(error["code"], -32602);
    let twice = json!({ "groupBy": ["node", "node"] });
    assert_eq!(client.refused("executions/count", &twice)["code"], -32602);
    let named = |times: usize| json!({ "fields": vec!["id"; times], "limit": 1 });
    let listed = client.call("executions/list", &named(10_000));
    let run = listed["executions"][0].as_object().unwrap();
    assert_eq!(run.keys().collect::<Vec<_>>(), ["id"]);
    let error = client.refused("executions/list", &named(100_000));
    assert_eq!(error["code"], -32602);
    let error = client.refused("executions/count", &json!({ "groupBy": ["colour"] }));
    assert_eq!(error["code"], -32602);
}

#[test]
fn buckets_sum_up_to_the_totals_and_none_is_left_out() {
    let root = Root::empty();
    lay_out(&root, 400);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let filter = "costUSD < 0.9 or costUSD is null";
    let totals = client.call("executions/stats", &json!({ "where": filter }));
    for bucket in ["hour", "day", "week", "month"] {
        for by in [Value::Null, json!("status"), json!("project")] {
            for zone in ["UTC", "Europe/Berlin", "Australia/Lord_Howe"] {
                let params = json!({
                    "where": filter, "bucket": bucket, "by": by, "timezone": zone
                });
                let series = client.call("executions/series", &params);
                let buckets = series["buckets"].as_array().unwrap();
                for pair in buckets.windows(2) {
                    assert_eq!(pair[0]["end"], pair[1]["start"]);
                }
                let all = || buckets.iter().chain([&series["undated"]]);
                for (ours, theirs) in [
                    ("executions", "totalExecutions"),
                    ("completed", "completed"),
                    ("failed", "failed"),
                    ("running", "running"),
                    ("other", "other"),
                    ("totalTokens", "totalTokens"),
                    ("inputTokens", "inputTokens"),
                    ("outputTokens", "outputTokens"),
                ] {
                    let sum: u64 = all().map(|one| one[ours].as_u64().unwrap()).sum();
                    assert_eq!(sum, totals[theirs].as_u64().unwrap(), "{bucket} {ours}");
                }
                let cost: i64 = all().map(|one| nanos(&one["totalCostUSD"])).sum();
                assert_eq!(cost, nanos(&totals["totalCostUSD"]));
                for one in buckets {
                    let Some(groups) = one["groups"].as_array() else {
                        assert!(by.is_null());
                        continue;
                    };
                    let sum: u64 = groups
                        .iter()
                        .map(|group| group["executions"].as_u64().unwrap())
                        .sum();
                    assert_eq!(sum, one["executions"].as_u64().unwrap());
                    let cost: i64 = groups
                        .iter()
                        .map(|group| nanos(&group["totalCostUSD"]))
                        .sum();
                    assert_eq!(cost, nanos(&one["totalCostUSD"]));
                }
            }
        }
    }
    let days = client.call(
        "executions/series",
        &json!({ "where": "startedAt between 2026-10-24 and 2026-10-27", "timezone": "Europe/Berlin" }),
    );
    let hours = |one: &Value| {
        let at = |name: &str| {
            chrono::DateTime::parse_from_rfc3339(one[name].as_str().unwrap())
                .unwrap()
                .timestamp()
        };
        (at("end") - at("start")) / 3600
    };
    let lengths: Vec<i64> = days["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(hours)
        .collect();
    assert_eq!(lengths, [24, 25, 24, 24]);
    // what the filter says from when on is told though nothing was there
    let empty = client.call(
        "executions/series",
        &json!({ "where": "startedAt between 2020-01-01 and 2020-01-31" }),
    );
    assert_eq!(empty["buckets"].as_array().unwrap().len(), 31);
    // in whatever year, and where several days are named
    for (text, months) in [
        ("startedAt between 1899-11-01 and 1900-02-01", 4),
        ("startedAt between 9999-11-01 and 9999-12-31", 2),
        ("startedAt in (2031-03-01, 2031-01-15)", 3),
    ] {
        let ask = json!({ "bucket": "month", "where": text });
        let series = client.call("executions/series", &ask);
        assert_eq!(
            series["buckets"].as_array().unwrap().len(),
            months,
            "{text}"
        );
    }
    let error = client.refused(
        "executions/series",
        &json!({ "where": "startedAt between 1950-01-01 and 2020-01-31", "bucket": "hour" }),
    );
    assert_eq!(error["data"]["kind"], "query-too-expensive");
}

#[test]
fn one_run_with_a_wrong_date_leaves_the_series_readable() {
    let root = Root::empty();
    lay_out(&root, 50);
    for (id, started) in [
        ("long-ago", "0001-01-01T00:00:00Z"),
        ("far-off", "9998-12-31T00:00:00Z"),
    ] {
        let record = json!({ "id": id, "projectId": "odd", "status": "completed",
            "startedAt": started, "costUSD": 2 });
        root.engine("odd", id, &record);
    }
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let totals = client.call("executions/stats", &json!({}));
    for (params, outside) in [
        (json!({}), 2),
        (json!({ "bucket": "hour", "by": "project" }), 2),
        (json!({ "where": "startedAt > 2000-01-01" }), 1),
        (
            json!({ "where": "startedAt < 2099-01-01", "timezone": "Asia/Tokyo" }),
            1,
        ),
        (json!({ "where": "startedAt < 2000-01-01" }), 0),
    ] {
        let series = client.call("executions/series", &params);
        let buckets = series["buckets"].as_array().unwrap();
        let runs = |one: &Value| one["executions"].as_u64().unwrap_or(0);
        assert_eq!(runs(&series["outside"]), outside, "{params}");
        let all = || {
            buckets
                .iter()
                .chain([&series["undated"], &series["outside"]])
        };
        assert!(!buckets.is_empty());
        if params.get("where").is_none() {
            let sum: u64 = all().map(runs).sum();
            assert_eq!(sum, totals["totalExecutions"].as_u64().unwrap());
            let cost: i64 = all().map(|one| nanos(&one["totalCostUSD"])).sum();
            assert_eq!(cost, nanos(&totals["totalCostUSD"]));
            assert!(runs(&buckets[0]) > 0 && runs(&buckets[buckets.len() - 1]) > 0);
        }
    }
    // months reach from the first to nearly the last
    let error = client.refused(
        "executions/series",
        &json!({ "where": "startedAt >= 0001-01-01" }),
    );
    assert_eq!(error["data"]["kind"], "query-too-expensive");
}

/// Every page by cursor.
fn pages(client: &mut Client, params: &Value) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let mut params = params.clone();
        params["cursor"] = cursor;
        let page = client.call("executions/list", &params);
        all.extend(page["executions"].as_array().unwrap().iter().cloned());
        cursor = page["nextCursor"].clone();
        if cursor.is_null() {
            assert_eq!(page["total"], all.len());
            return all;
        }
    }
}

#[test]
fn lists_are_sorted_by_any_number_and_tell_what_is_asked_for() {
    let root = Root::empty();
    let runs = lay_out(&root, 300);
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let usual = pages(&mut client, &json!({ "limit": 1000 }));
    for (sort, member) in [
        ("costUSD", "costUSD"),
        ("duration", "duration"),
        ("startedAt", "startedAt"),
    ] {
        for descending in [false, true] {
            let mut expected: Vec<&Value> = usual.iter().collect();
            expected.sort_by(|a, b| {
                let text = |run: &Value| match &run[member] {
                    Value::String(text) => text.clone(),
                    number => format!("{:020.9}", number.as_f64().unwrap_or(0.0)),
                };
                let order = text(a).cmp(&text(b));
                let order = if descending { order.reverse() } else { order };
                a[member].is_null().cmp(&b[member].is_null()).then(order)
            });
            let expected: Vec<Value> = expected
                .into_iter()
                .map(|run| json!({ "id": run["id"], "projectId": run["projectId"] }))
                .collect();
            let sort = if descending {
                format!("-{sort}")
            } else {
                sort.to_owned()
            };
            let params = json!({ "sort": sort, "fields": ["id", "projectId"], "limit": 7 });
            assert_eq!(pages(&mut client, &params), expected, "{sort}");
        }
    }
    assert_eq!(usual.len(), runs.len());
    // a run that comes or goes while somebody pages moves none of the others
    let params = json!({ "sort": "-duration", "limit": 10 });
    let first = client.call("executions/list", &params);
    let longest =
        json!({ "id": "later", "projectId": "p0", "duration": 99_999, "status": "completed" });
    client.call(
        "executions/save",
        &json!({ "projectId": "p0", "execution": longest }),
    );
    let mut next = params.clone();
    next["cursor"] = first["nextCursor"].clone();
    let second = client.call("executions/list", &next);
    assert_eq!(second["total"], 301);
    let last = &first["executions"][9]["duration"];
    assert!(second["executions"][0]["duration"].as_u64() <= last.as_u64());
    for (params, near) in [
        (json!({ "sort": "costUDS" }), "costUSD"),
        (json!({ "fields": ["stauts"] }), "status"),
    ] {
        let error = client.refused("executions/list", &params);
        assert_eq!(
            (&error["code"], &error["data"]["nearest"]),
            (&json!(-32602), &json!(near))
        );
    }
    assert_eq!(
        client.refused("executions/list", &json!({ "sort": "label" }))["code"],
        -32602
    );
    next["sort"] = json!("duration");
    assert_eq!(client.refused("executions/list", &next)["code"], -32602);
}

#[test]
fn changes_take_the_filter_too() {
    let root = Root::empty();
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let mut writer = daemon.connect();
    let filter = "error ~ 'the very end' or costUSD > 1";
    let clock = client.call("executions/list", &json!({}))["clock"].clone();
    let id = client.request("executions/subscribe", &json!({ "where": filter }));
    client.answer(id);
    assert_eq!(client.change()["kind"], "current");
    let save = |writer: &mut Client, id: &str, error: &str, cost: f64| {
        let run = json!({
            "id": id, "projectId": "p", "status": "failed", "error": error, "costUSD": cost
        });
        writer.call(
            "executions/save",
            &json!({ "projectId": "p", "execution": run }),
        );
    };
    let long = "x".repeat(300);
    save(&mut writer, "a", &format!("{long} The Very End"), 0.0);
    save(&mut writer, "b", &format!("{long} another end"), 0.0);
    save(&mut writer, "c", "short", 2.0);
    save(&mut writer, "c", "short", 0.5);
    let mut told = Vec::new();
    while told.last() != Some(&("left".to_owned(), "c".to_owned())) {
        let change = client.change();
        let id = match change["kind"].as_str().unwrap() {
            "saved" => &change["summary"]["id"],
            _ => &change["executionId"],
        };
        told.push((
            change["kind"].as_str().unwrap().to_owned(),
            id.as_str().unwrap().to_owned(),
        ));
    }
    let kinds: Vec<(&str, &str)> = told.iter().map(|(kind, id)| (&**kind, &**id)).collect();
    // a state that was overwritten before it was told may be left out
    assert!(
        kinds == [("saved", "a"), ("left", "b"), ("saved", "c"), ("left", "c")]
            || kinds == [("saved", "a"), ("left", "b"), ("left", "c")],
        "{kinds:?}"
    );
    let changes = client.call(
        "executions/changes",
        &json!({ "since": clock, "where": filter }),
    );
    let kinds: Vec<&Value> = changes["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["kind"])
        .collect();
    assert_eq!(kinds, ["saved", "left", "left"]);
    let wrong = json!({ "where": "costUSD >" });
    assert_eq!(
        client.refused("executions/subscribe", &wrong)["code"],
        -32602
    );
    let wrong = json!({ "since": clock, "where": "costUSD >" });
    assert_eq!(client.refused("executions/changes", &wrong)["code"], -32602);
}

/// Neither how large a record is nor how deep it is nested makes a part of its error of it.
#[test]
fn an_error_is_looked_into_to_its_end_in_any_record() {
    let root = Root::empty();
    let put = |id: &str, record: &str| {
        let path = root.file("p", id);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, record).unwrap();
    };
    let error = |name: &str, end: &str| format!(r#""{name}":"{}{end}""#, "e".repeat(5_000));
    let pad = "x".repeat(64 << 20);
    put(
        "huge",
        &format!(
            r#"{{"pad":"{pad}",{}}}"#,
            error("error", " at \\u0074he end")
        ),
    );
    let deep = ["[".repeat(1_000), "]".repeat(1_000)].concat();
    put(
        "deep",
        &format!(
            r#"{{{},"deep":{deep}}}"#,
            error("\\u0065rror", " at the end")
        ),
    );
    put(
        "twice",
        &format!(
            r#"{{{},{}}}"#,
            error("error", " at the end"),
            error("error", " and no more")
        ),
    );
    put(
        "gone",
        &format!(r#"{{{},"error":null}}"#, error("error", " at the end")),
    );
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    let mut found = |filter: &str| {
        let list = client.call(
            "executions/list",
            &json!({ "where": filter, "sort": "sizeBytes", "sync": true }),
        );
        let runs = list["executions"].as_array().unwrap().iter();
        runs.map(|run| run["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(found("error ~ 'AT THE END'"), ["deep", "huge"]);
    assert_eq!(found("error !~ 'at the end'"), ["gone", "twice"]);
    assert_eq!(found("error ~ 'no more'"), ["twice"]);
    assert_eq!(found("error is null"), ["gone"]);
}
