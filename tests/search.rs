//! Search from outside: what is saved is found, in whatever writing, by one daemon or two, and what
//! happens to the text index costs nobody a wrong answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::place::{Mounts, Place};
use support::{Client, Daemon, PATIENCE, record};

/// A record that says `text`.
fn saying(id: &str, text: &str) -> Value {
    let mut run = record("p", id, "completed");
    run["output"] = text.into();
    run
}

fn search(client: &mut Client, query: &str) -> Value {
    client.call(
        "executions/search",
        &json!({ "query": query, "sync": true }),
    )
}

/// The same as far as the text index has come.
fn search_now(client: &mut Client, query: &str) -> Value {
    client.call("executions/search", &json!({ "query": query }))
}

/// The ids of the hits, sorted.
fn ids(found: &Value) -> Vec<&str> {
    let hits = found["hits"].as_array().unwrap();
    let mut ids: Vec<&str> = hits
        .iter()
        .map(|hit| hit["summary"]["id"].as_str().unwrap())
        .collect();
    ids.sort_unstable();
    ids
}

/// Asks until `is`, without `sync`.
fn until(client: &mut Client, query: &str, is: impl Fn(&Value) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        let found = search_now(client, query);
        if is(&found) {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "{found}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The folder of the text index.
fn folder(place: &Place) -> PathBuf {
    place.file().with_file_name("search")
}

#[test]
fn a_saved_run_is_found_within_a_second_and_a_deleted_one_is_not() {
    let place = Place::new(20);
    let (daemon, mut client) = place.start();
    let all = search(&mut client, "do");
    assert_eq!(all["total"], 20);
    assert_eq!(all["complete"], true);
    assert_eq!(all["indexing"], json!({ "done": 20, "total": 20 }));
    let took = (0..5).map(|round| {
        let word = format!("needle{round}");
        place.root.engine("p", "new", &saying("new", &word));
        until(&mut client, &word, |found| found["total"] == 1)
    });
    // what waits by design waits each time, and a busy machine only sometimes
    let took: Vec<Duration> = took.collect();
    assert!(
        took.iter().any(|took| *took < Duration::from_secs(1)),
        "{took:?}"
    );
    // what it said before is not found any more
    assert_eq!(ids(&search(&mut client, "needle3")), [""; 0]);
    // a client's own save is found by its next request
    let save = json!({ "projectId": "p", "execution": saying("mine", "haystack") });
    client.call("executions/save", &save);
    assert_eq!(
        ids(&search(&mut client, "haystack OR needle4")),
        ["mine", "new"]
    );
    fs::remove_file(place.root.file("p", "new")).unwrap();
    assert_eq!(ids(&search(&mut client, "haystack OR needle4")), ["mine"]);
    let delete = json!({ "projectId": "p", "executionId": "mine" });
    client.call("executions/delete", &delete);
    assert_eq!(search(&mut client, "haystack OR needle4")["total"], 0);
    // and the next start goes on from there
    drop(client);
    place.end(daemon);
    let (_daemon, mut client) = place.start();
    let all = search(&mut client, "do");
    assert_eq!(all["total"], 20);
    assert_eq!(all["hits"].as_array().unwrap().len(), 20);
}

/// What is saved while the first text index is built is there once, whether that has come to it or not.
#[test]
fn a_run_that_is_saved_while_the_index_is_built_is_found_once() {
    let place = Place::new(3000);
    let (_daemon, mut client) = place.start();
    let listed = client.call("executions/list", &json!({ "offset": 2999, "limit": 1 }));
    let last = &listed["executions"][0];
    let [project, id] = ["projectId", "id"].map(|name| last[name].as_str().unwrap().to_owned());
    let mut run = json!({ "id": id, "projectId": project, "startedAt": last["startedAt"] });
    let indexing = |client: &mut Client| search_now(client, "needle")["indexing"].clone();
    let mut saves = 0;
    while indexing(&mut client)["done"] != 3000 && saves < 2000 {
        run["output"] = format!("needle {saves}").into();
        client.call(
            "executions/save",
            &json!({ "projectId": project, "execution": run }),
        );
        saves += 1;
    }
    let found = search(&mut client, "needle");
    assert_eq!(
        (&found["total"], ids(&found)),
        (&json!(1), vec![id.as_str()])
    );
    assert_eq!(found["indexing"], json!({ "done": 3000, "total": 3000 }));
}

#[test]
fn every_writing_is_found_and_shown_where_it_is() {
    let place = Place::new(0);
    let run = |id: &str, output: &str| {
        let text = format!(
            r#"{{"id":"{id}","projectId":"p","status":"failed","startedAt":"2025-10-15T05:02:46.569Z","steps":[{{"nodeId":"n-1","output":{{"result":[{output}, 4711]}}}}]}}"#
        );
        runlog::api::samples::save_as_engine(&place.root.path(), "p", id, &text).unwrap();
    };
    run(
        "escaped",
        r#""\u0043af\u00e9 \ud834\udd1e \u6771\u4eac\u90fd""#,
    );
    run("plain", r#""CAFE 東京都, Straße, exec-17605""#);
    run("half", r#""caf \ud800 ไทย""#);
    run("unseen", r#""a TIME\u00ADout""#);
    let (_daemon, mut client) = place.start();
    for (query, found) in [
        ("café", &["escaped", "plain"][..]),
        ("京都", &["escaped", "plain"]),
        ("timeout", &["unseen"]),
        ("time\u{200b}out", &["unseen"]),
        ("京\u{200d}都", &["escaped", "plain"]),
        ("都", &["escaped", "plain"]),
        ("東都", &[]),
        ("STRASSE", &["plain"]),
        ("exec-17605", &["plain"]),
        ("exec-176*", &["plain"]),
        ("\"17605 exec\"", &[]),
        ("ทย", &["half"]),
        ("caf*", &["escaped", "half", "plain"]),
        ("caf* -4711", &[]),
        ("n-1 4711 (café OR half)", &["escaped", "half", "plain"]),
        ("NOT (café)", &["half", "unseen"]),
        ("result", &[]),
    ] {
        assert_eq!(ids(&search(&mut client, query)), found, "{query}");
    }
    let hit = &search(&mut client, "東京都 escaped")["hits"][0];
    assert_eq!(
        hit["matches"],
        json!([
            { "path": "/id", "snippet": "escaped", "offset": 0, "ranges": [{ "start": 0, "end": 7 }] },
            {
                "path": "/steps/0/output/result/0", "snippet": "Café 𝄞 東京都", "offset": 0,
                "ranges": [{ "start": 8, "end": 11 }]
            },
        ])
    );
    assert_eq!(hit["summary"]["status"], "failed");
    let error = client.refused("executions/search", &json!({ "query": "a (b" }));
    assert_eq!(error["data"]["offset"], 4);
    assert_eq!(error["data"]["expected"], "`)`");
}

/// The file's stem is who a run is, in search as well.
#[test]
fn a_run_is_found_by_its_id_whatever_its_record_says() {
    let place = Place::new(0);
    for (id, record) in [
        ("realname", json!({ "id": "fakename", "input": "hello" })),
        ("noid", json!({ "input": "hello" })),
        ("twice", json!({ "id": ["hello"] })),
    ] {
        place.root.engine("p", id, &record);
    }
    let repeated = r#"{ "input": "a", "id": "fakename", "input": "hello" }"#;
    fs::write(place.root.file("p", "repeated"), repeated).unwrap();
    let (daemon, mut client) = place.start();
    for (query, found) in [
        ("realname", vec!["realname"]),
        ("noid", vec!["noid"]),
        ("twice", vec!["twice"]),
        ("repeated hello", vec!["repeated"]),
        ("fakename", vec![]),
        ("hello", vec!["noid", "realname", "repeated"]),
        ("hello -noid", vec!["realname", "repeated"]),
    ] {
        assert_eq!(ids(&search(&mut client, query)), found, "{query}");
    }
    let shown = search(&mut client, "realname")["hits"][0]["matches"].clone();
    assert_eq!(shown[0]["path"], "/id");
    assert_eq!(shown[0]["snippet"], "realname");
    drop(client);
    place.end(daemon);
}

#[test]
fn large_records_are_looked_at_as_far_as_it_takes() {
    let place = Place::new(0);
    let filler = "so much more é ".repeat(20_000);
    let run = |id: &str, members: &str| {
        let text = format!(
            r#"{{"id":"{id}","projectId":"p","status":"failed","startedAt":"2025-10-15T05:02:46.569Z",{members}}}"#
        );
        runlog::api::samples::save_as_engine(&place.root.path(), "p", id, &text).unwrap();
    };
    let early = r#""input":["needle","a needle","needles, a needle"]"#;
    let more = format!(r#""output":"{filler}""#);
    run("early", &format!("{early},{more}"));
    run("late", &format!(r#"{more},"error":"a needle""#));
    // of a repeated member the last counts, however far behind
    run("twice", &format!(r#"{early},{more},"input":"one needle""#));
    let (_daemon, mut client) = place.start();
    // at first, and when the files are known to be at rest
    for _ in 0..100 {
        for sort in ["relevance", "newest"] {
            let asked = json!({ "query": "needle", "sort": sort, "sync": true });
            let found = client.call("executions/search", &asked);
            assert_eq!(ids(&found), ["early", "late", "twice"], "{sort}");
            let paths = |id: &str| {
                let mut hits = found["hits"].as_array().unwrap().iter();
                let hit = hits.find(|hit| hit["summary"]["id"] == id).unwrap();
                let matches = hit["matches"].as_array().unwrap().iter();
                let paths = matches.map(|found| found["path"].as_str().unwrap());
                paths.collect::<Vec<_>>().join(" ")
            };
            assert_eq!(paths("early"), "/input/0 /input/1 /input/2", "{sort}");
            assert_eq!(paths("late"), "/error", "{sort}");
            assert_eq!(paths("twice"), "/input", "{sort}");
        }
    }
}

#[test]
fn pages_go_through_all_hits_in_their_order() {
    let place = Place::new(0);
    for number in 0..30 {
        let id = format!("run-{number:02}");
        let mut run = saying(&id, &"word ".repeat(1 + number % 7));
        run["startedAt"] = format!("2025-10-15T05:02:{:02}.000Z", number % 10).into();
        run["status"] = ["failed", "completed"][number % 2].into();
        place.root.engine("p", &id, &run);
    }
    let (_daemon, mut client) = place.start();
    search(&mut client, "word");
    for sort in ["newest", "relevance"] {
        let mut params = json!({ "query": "word", "status": "failed", "sort": sort, "limit": 4 });
        let whole = json!({ "query": "word", "status": "failed", "sort": sort });
        let whole = client.call("executions/search", &whole);
        assert_eq!(whole["nextCursor"], Value::Null);
        let mut hits = Vec::new();
        loop {
            let page = client.call("executions/search", &params);
            assert_eq!(page["total"], 15);
            hits.extend(page["hits"].as_array().unwrap().iter().cloned());
            if page["nextCursor"].is_null() {
                break;
            }
            params["cursor"] = page["nextCursor"].clone();
        }
        assert_eq!(Value::from(hits.clone()), whole["hits"]);
        if sort == "newest" {
            let list = client.call("executions/list", &json!({ "status": "failed" }));
            let listed = list["executions"].as_array().unwrap();
            let shown: Vec<&Value> = hits.iter().map(|hit| &hit["summary"]).collect();
            assert_eq!(shown, listed.iter().collect::<Vec<_>>());
        } else {
            let scores: Vec<f64> = hits
                .iter()
                .map(|hit| hit["score"].as_f64().unwrap())
                .collect();
            assert!(scores.is_sorted_by(|one, other| one >= other), "{scores:?}");
        }
        // bound to its query
        params["query"] = "words".into();
        params["cursor"] = json!("00000000/00000000/-/p/run-01");
        assert_eq!(client.refused("executions/search", &params)["code"], -32602);
    }
}

#[test]
fn a_filter_selects_among_which_runs() {
    let place = Place::new(0);
    for number in 0..40_u32 {
        let id = format!("run-{number:02}");
        let mut run = saying(&id, ["needle", "hay"][usize::from(number % 4 == 3)]);
        run["startedAt"] = format!("2025-10-15T05:02:{:02}.000Z", 59 - number).into();
        run["costUSD"] = (f64::from(number) / 100.0).into();
        run["status"] = ["failed", "completed"][usize::from(number % 2 == 1)].into();
        // the word that decides is where the summary does not reach
        run["error"] = format!(
            "{} {}",
            "-".repeat(300),
            ["late", "lost"][usize::from(number > 20)]
        )
        .into();
        place.root.engine("p", &id, &run);
    }
    let (_daemon, mut client) = place.start();
    search(&mut client, "needle");
    for filter in [
        json!({ "where": "costUSD >= 0.1 and costUSD < 0.3" }),
        json!({ "where": "error ~ 'lost'", "status": "failed" }),
        json!({ "where": "startedAt >= 2025-10-15T07:02:40 and startedAt < -1d", "timezone": "Europe/Berlin" }),
        json!({ "where": "status = completed", "projectId": "p" }),
        json!({ "where": "status = completed", "projectId": "q" }),
    ] {
        let list = client.call("executions/list", &filter);
        let mut expected: Vec<&str> = list["executions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["id"].as_str().unwrap())
            .filter(|id| id[4..].parse::<u32>().unwrap() % 4 != 3)
            .collect();
        assert_eq!(expected.is_empty(), filter["projectId"] == "q", "{filter}");
        for sort in ["newest", "relevance"] {
            let mut params = filter.clone();
            params["query"] = "needle".into();
            params["sort"] = sort.into();
            params["limit"] = 3.into();
            let mut found = Vec::new();
            loop {
                let page = client.call("executions/search", &params);
                assert_eq!(page["total"], expected.len(), "{params}");
                let hits = page["hits"].as_array().unwrap();
                let ids = hits
                    .iter()
                    .map(|hit| hit["summary"]["id"].as_str().unwrap());
                found.extend(ids.map(str::to_owned));
                if page["nextCursor"].is_null() {
                    break;
                }
                params["cursor"] = page["nextCursor"].clone();
            }
            if sort == "relevance" {
                found.sort_unstable();
                expected.sort_unstable();
            }
            assert_eq!(found, expected, "{params}");
            if params["cursor"].is_string() {
                params["where"] = "costUSD > 0.2".into();
                let error = client.refused("executions/search", &params);
                assert_eq!(error["code"], -32602, "{error}");
            }
        }
    }
    let wrong = json!({ "query": "needle", "where": "costUSD > " });
    assert_eq!(
        client.refused("executions/search", &wrong)["data"]["offset"],
        10
    );
    let deep = json!({ "query": "needle", "where": "(".repeat(1000) });
    assert_eq!(client.refused("executions/search", &deep)["code"], -32602);
}

#[test]
fn the_index_is_private_and_never_behind_a_link() {
    let place = Place::new(3);
    let (daemon, mut client) = place.start();
    assert_eq!(search(&mut client, "do")["total"], 3);
    drop(client);
    place.end(daemon);
    let at = folder(&place);
    assert_eq!(fs::metadata(&at).unwrap().permissions().mode() & 0o077, 0);
    let elsewhere = place.cache().join("elsewhere");
    fs::rename(&at, &elsewhere).unwrap();
    symlink(&elsewhere, &at).unwrap();
    let held = |folder: &PathBuf| {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        names
    };
    let before = held(&elsewhere);
    let (daemon, mut client) = place.start();
    assert_eq!(search(&mut client, "do")["total"], 3);
    place.root.engine("p", "new", &saying("new", "needle"));
    assert_eq!(search(&mut client, "needle")["total"], 1);
    assert!(fs::symlink_metadata(&at).unwrap().is_dir());
    assert_eq!(held(&elsewhere), before);
    drop(client);
    place.end(daemon);
}

#[test]
fn a_damaged_foreign_or_missing_index_is_built_anew() {
    let place = Place::new(5);
    let mut command = place.command();
    let mut start = |lines: usize| {
        let (mut daemon, mut client) = place.logging(&mut command);
        assert_eq!(ids(&search(&mut client, "run-3")), ["run-3"]);
        assert_eq!(search(&mut client, "do it")["total"], 5);
        client.close();
        daemon.ends();
        let logged = place.logged_of_all();
        assert_eq!(logged.len(), lines, "{logged:?}");
        assert!(
            logged
                .iter()
                .all(|line| line.contains("the text index is dropped")),
            "{logged:?}"
        );
    };
    start(0);
    start(0);
    let files = |ending: &str| -> Vec<PathBuf> {
        let entries = fs::read_dir(folder(&place)).unwrap();
        let files = entries.map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.to_str().unwrap().ends_with(ending))
            .collect()
    };
    for ending in [".pos", ".idx", ".term", ".store", "meta.json"] {
        for damage in 0..4 {
            let found = files(ending);
            let file = found.first().unwrap_or_else(|| panic!("no {ending}"));
            let mut bytes = fs::read(file).unwrap();
            match damage {
                0 => {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 0x55;
                }
                1 => bytes.truncate(bytes.len() / 2),
                2 => bytes.truncate(5),
                _ => bytes.clear(),
            }
            fs::write(file, bytes).unwrap();
            start(1);
            start(0);
        }
    }
    // of another version
    let meta = folder(&place).join("meta.json");
    let text = fs::read_to_string(&meta).unwrap();
    assert!(text.contains("runlog-5"));
    fs::write(&meta, text.replace("runlog-5", "runlog-4")).unwrap();
    start(1);
    // nobody is told of one whose making was cut off
    fs::remove_file(&meta).unwrap();
    start(0);
    fs::remove_dir_all(folder(&place)).unwrap();
    start(0);
}

#[test]
fn whoever_waits_while_a_lost_index_is_built_anew_is_answered() {
    let place = Place::new(5);
    let (daemon, mut client) = place.start();
    let sync = |client: &mut Client| {
        let params = json!({ "query": "do", "sync": true });
        client.call("executions/search", &params)["total"].clone()
    };
    assert_eq!(sync(&mut client), 5);
    for (number, id) in ["more", "most"].into_iter().enumerate() {
        fs::remove_dir_all(folder(&place)).unwrap();
        place.root.engine("p", id, &record("p", id, "failed"));
        assert_eq!(sync(&mut client), 6 + number);
    }
    drop(client);
    place.end(daemon);
}

#[test]
fn two_daemons_share_one_index_and_the_second_goes_on_alone() {
    let place = Place::new(10);
    let (mut first, mut one) = place.start();
    assert_eq!(search(&mut one, "do")["total"], 10);
    let (_second, mut other) = place.start();
    assert_eq!(search(&mut other, "do")["total"], 10);
    for round in 0..3 {
        let word = format!("needle{round}");
        place.root.engine("p", "new", &saying("new", &word));
        assert_eq!(ids(&search(&mut other, &word)), ["new"]);
        assert_eq!(ids(&search(&mut one, &word)), ["new"]);
    }
    // the second one's own saves are put there by the first
    let save = json!({ "projectId": "p", "execution": saying("mine", "haystack") });
    other.call("executions/save", &save);
    assert_eq!(ids(&search(&mut other, "haystack")), ["mine"]);
    first.signal(Signal::KILL);
    first.ends();
    drop(one);
    place
        .root
        .engine("p", "later", &saying("later", "haystack"));
    assert_eq!(ids(&search(&mut other, "haystack")), ["later", "mine"]);
    fs::remove_file(place.root.file("p", "mine")).unwrap();
    assert_eq!(ids(&search(&mut other, "haystack")), ["later"]);
    assert_eq!(search(&mut other, "do")["total"], 12);
}

/// The text index goes on from the clock of its last commit, which may be that of a daemon that was
/// killed before its snapshot, or of one that wrote nothing of its own.
#[test]
fn what_changed_between_any_two_daemons_is_found() {
    let place = Place::new(10);
    let file = |id: &str| place.root.file("p", id);
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..16 {
        let say = |said: &mut BTreeMap<String, String>, id: String, word: &str| {
            let word = format!("{word}{round}{id}");
            place.root.engine("p", &id, &saying(&id, &word));
            said.insert(id, word);
        };
        let (mut daemon, mut client) = place.start();
        for (id, word) in &said {
            assert_eq!(ids(&search(&mut client, word)), [id], "round {round}");
        }
        let all = search(&mut client, "do");
        assert_eq!(all["total"], 10 + said.len(), "round {round}");
        // now and then one that sees nothing change
        if round % 4 != 3 {
            say(&mut said, format!("run{round}"), "live");
            say(&mut said, "often".to_owned(), "live");
            assert_eq!(search(&mut client, "do")["total"], 10 + said.len());
        }
        drop(client);
        if round % 3 == 1 {
            daemon.signal(Signal::KILL);
            daemon.ends();
        } else {
            place.end(daemon);
        }
        // nobody looks
        if round % 2 == 0 {
            say(&mut said, format!("late{round}"), "offline");
            say(&mut said, format!("run{}", round / 2), "offline");
            if let Some((gone, _)) = said.pop_first() {
                fs::remove_file(file(&gone)).unwrap();
            }
        }
        if round == 9 {
            // the text index knows a clock that nobody else does any more
            fs::remove_file(place.file()).unwrap();
        }
    }
}

#[test]
fn a_full_cache_disk_costs_search_and_nothing_else() {
    let place = Place::new(200);
    let script = "mount -t tmpfs -o size=24k none \"$1\"";
    let mounts = Mounts::new(script, &place.cache());
    let (mut daemon, mut client) = place.logging(&mut mounts.inside(&place.command()));
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 200);
    let began = Instant::now();
    let error = loop {
        let id = client.request("executions/search", &json!({ "query": "do", "sync": true }));
        let answer = client.answer(id);
        match answer.get("error") {
            Some(error) => break error.clone(),
            // it may be that little has been written so far
            None => assert!(began.elapsed() < PATIENCE, "{answer}"),
        }
    };
    assert_eq!(error["data"]["kind"], "storage-full", "{error}");
    place
        .root
        .engine("p", "last", &record("p", "last", "failed"));
    let list = client.call("executions/list", &json!({ "sync": true }));
    assert_eq!(list["total"], 201);
    // room is made
    mounts.run("mount -o remount,size=64m \"$1\"", &place.cache());
    let began = Instant::now();
    loop {
        let id = client.request("executions/search", &json!({ "query": "do", "sync": true }));
        let answer = client.answer(id);
        if answer["result"]["total"] == 201 {
            break;
        }
        assert!(began.elapsed() < 2 * PATIENCE, "{answer}");
        std::thread::sleep(Duration::from_millis(50));
    }
    client.close();
    assert_eq!(daemon.ends().0.code(), Some(0));
    let said = place.logged_of_all();
    let of_search = said
        .iter()
        .filter(|line| line.contains("text index"))
        .count();
    assert!((1..=2).contains(&of_search), "{said:?}");
}

#[test]
fn hostile_queries_are_refused_or_bounded_and_delay_nobody() {
    let place = Place::new(0);
    for number in 0..300 {
        let id = format!("run-{number}");
        let text: String = (0..100)
            .map(|word| format!("w{number}x{word} a "))
            .collect();
        place.root.engine("p", &id, &saying(&id, &text));
    }
    let daemon = Daemon::socket(&place.root);
    let mut client = daemon.connect();
    let mut other = daemon.connect();
    assert_eq!(search(&mut client, "a")["total"], 300);
    for query in [
        "w* ".repeat(1000),
        "(".repeat(3000),
        "a ".repeat(2000),
        "a".repeat(100_000),
        "*".to_owned(),
    ] {
        let error = client.refused("executions/search", &json!({ "query": query }));
        assert_eq!(error["code"], -32602);
        assert!(error["message"].as_str().unwrap().len() < 200);
    }
    let costly = "w* OR \"a w\"* OR \"a a\" ".repeat(10) + "OR NOT b";
    let costly = json!({ "query": costly, "limit": 1000 });
    let asked: Vec<u64> = (0..20)
        .map(|_| client.request("executions/search", &costly))
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        other.call("executions/list", &json!({ "limit": 1 }));
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    // half of them are taken back
    for id in &asked[10..] {
        let cancel =
            json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": id } });
        client.send(&cancel.to_string());
    }
    for id in asked {
        let answer = client.answer(id);
        let kind = &answer["error"]["data"]["kind"];
        let ended = ["request-cancelled", "query-too-expensive", "overloaded"];
        assert!(
            answer["result"]["total"] == 300 || ended.iter().any(|word| kind == word),
            "{answer}"
        );
    }
    assert_eq!(search(&mut client, "w299x99")["total"], 1);
}

/// A daemon that is stopped holds the text index, and will never go on with it.
#[test]
fn beside_a_daemon_that_does_not_answer_a_search_ends_with_what_is_known() {
    let place = Place::new(1);
    let run_folder = place.root.beside("run");
    fs::create_dir(&run_folder).unwrap();
    fs::set_permissions(&run_folder, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = place.command();
    let (daemon, mut client) = Daemon::spawn(command.env("XDG_RUNTIME_DIR", &run_folder));
    assert_eq!(search(&mut client, "do")["total"], 1);
    daemon.signal(Signal::STOP);
    place.root.engine("p", "later", &saying("later", "do"));
    let began = Instant::now();
    let searched = support::runlog()
        .args(["search", "do", "--projects"])
        .arg(place.root.path())
        .env("XDG_CACHE_HOME", place.cache())
        .env("XDG_RUNTIME_DIR", &run_folder)
        .output()
        .unwrap();
    daemon.signal(Signal::CONT);
    let (out, said) = (&searched.stdout, &searched.stderr);
    let (out, said) = (String::from_utf8_lossy(out), String::from_utf8_lossy(said));
    assert!(searched.status.success(), "{said}");
    assert!(out.contains("run-0") && !out.contains("later"), "{out}");
    assert!(said.contains("not all runs are searched"), "{said}");
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    client.close();
}
