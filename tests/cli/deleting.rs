//! What goes says so before, asks, and can be had back; and what is exported.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::stage::{Done, Stage, agreed_after, agreed_with, done, on_terminal};
use crate::support::{PATIENCE, Root, record};

fn three() -> Stage {
    let stage = Stage::over(Root::empty());
    for (id, status) in [("a", "completed"), ("b", "failed"), ("c", "completed")] {
        stage.root.engine("p", id, &record("p", id, status));
    }
    stage
}

fn ids(stage: &Stage) -> String {
    let list = stage.piped(&["list"]).printed();
    let ids: Vec<&str> = list
        .lines()
        .map(|line| line.split('\t').next().unwrap())
        .collect();
    ids.join(" ")
}

/// The command behind `undo:`.
fn undo(done: &Done) -> String {
    let text = format!("{}{}", done.out, done.err);
    let line = text.lines().find_map(|line| line.split_once("undo: "));
    line.unwrap_or_else(|| panic!("no undo: {text}"))
        .1
        .to_owned()
}

#[test]
fn the_root_is_given_before_or_behind_what_the_trash_is_asked() {
    let stage = three();
    stage.piped(&["delete", "b", "--yes"]).printed();
    let root = stage.root.path();
    let given = ["--projects", root.to_str().unwrap()];
    let behind = stage
        .piped(&["trash", "list", given[0], given[1]])
        .printed();
    let before = stage
        .piped(&["trash", given[0], given[1], "list"])
        .printed();
    assert_eq!(behind, before);
    assert_eq!(behind.lines().count(), 1);
    // which is what is asked where nothing is said
    assert_eq!(stage.piped(&["trash"]).printed(), behind);
    let json = stage.piped(&["trash", "list", "--json"]).printed();
    assert_eq!(stage.piped(&["trash", "--json"]).printed(), json);
    let refused = stage.piped(&["trash", "-p", "p", "empty", "--yes"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("behind"), "{}", refused.err);
}

#[test]
fn what_is_told_to_nobody_ends_nothing() {
    let stage = three();
    // of what reads the end of this pipe there is nothing any more
    let nobody = || std::process::Stdio::from(std::io::pipe().unwrap().1);
    for (args, status) in [
        (&["pin", "a"][..], 0),
        (&["delete", "b", "--yes"], 0),
        (&["prune", "--max-count", "1", "-n"], 0),
        (&["prune", "--max-count", "1", "--yes"], 0),
        (&["show", "nosuch"], 1),
        (&["list", "--where", "bad="], 2),
        (&["root"], 0),
    ] {
        let ended = stage.runlog(args).stderr(nobody()).status().unwrap();
        assert_eq!(ended.code(), Some(status), "{args:?}");
        let full = std::fs::File::options().write(true).open("/dev/full");
        let ended = stage.runlog(args).stderr(full.unwrap()).status().unwrap();
        assert!(
            ended.code().is_some_and(|code| code <= 2),
            "{args:?}: {ended}"
        );
        let ended = stage
            .runlog(args)
            .stdout(nobody())
            .stderr(nobody())
            .status();
        assert!(
            ended.unwrap().code().is_some_and(|code| code <= 2),
            "{args:?}"
        );
    }
    assert_eq!(ids(&stage).split(' ').count(), 1);
}

#[test]
fn a_deletion_is_asked_for_and_its_undo_undoes_it() {
    let stage = three();
    let text = std::fs::read(stage.root.file("p", "b")).unwrap();
    for args in [
        &["delete", "b"][..],
        &["delete", "-s", "failed"],
        &["prune", "--max-count", "1"],
    ] {
        // nobody to ask: nothing goes
        let refused = stage.piped(args);
        assert_eq!(refused.status, 2, "{args:?}");
        assert!(refused.err.contains("--yes"), "{}", refused.err);
        assert_eq!(ids(&stage), "a b c");
        // somebody says no, or only presses return
        for typed in ["n\n", "\n", "\u{4}"] {
            let done = on_terminal(&mut stage.runlog(args), 80, typed);
            assert_eq!(done.status, 1, "{args:?}: {}", done.out);
            assert!(done.out.contains("to the trash? [y/N]"), "{}", done.out);
            assert_eq!(ids(&stage), "a b c");
        }
        let mut dry = args.to_vec();
        dry.push("-n");
        assert!(stage.piped(&dry).printed().contains("p/"));
        assert_eq!(ids(&stage), "a b c");
    }
    let narrow = on_terminal(&mut stage.runlog(&["delete", "b"]), 24, "n\n");
    assert!(
        narrow.out.contains("Move run p/b to the\ntrash? [y/N] "),
        "{}",
        narrow.out
    );
    let asked = on_terminal(&mut stage.runlog(&["delete", "b"]), 80, "y\n");
    assert_eq!(asked.status, 0, "{}", asked.out);
    assert!(
        asked.out.contains("Move run p/b to the trash? [y/N]"),
        "{}",
        asked.out
    );
    assert_eq!(ids(&stage), "a c");
    let done = stage.shell(&undo(&asked));
    assert_eq!(
        (done.status, done.out.as_str()),
        (0, "p/b\n"),
        "{}",
        done.err
    );
    assert_eq!(ids(&stage), "a b c");
    assert_eq!(std::fs::read(stage.root.file("p", "b")).unwrap(), text);

    let done = stage.piped(&["delete", "--where", "status = completed", "--yes"]);
    assert_eq!(ids(&stage), "b");
    assert!(done.err.contains("runlog: 2 runs, "), "{}", done.err);
    assert_eq!(stage.shell(&undo(&done)).printed(), "p/a\np/c\n");
    assert_eq!(ids(&stage), "a b c");

    let done = stage.piped(&["prune", "--max-count", "2", "--keep-failed", "--yes"]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert_eq!(ids(&stage).len(), 3);
    assert_eq!(stage.shell(&undo(&done)).status, 0);
    assert_eq!(ids(&stage), "a b c");

    // an id, onto which there is no run by now
    stage.piped(&["delete", "p/a", "p/c", "--yes"]).printed();
    assert_eq!(stage.piped(&["trash", "list"]).printed().lines().count(), 2);
    assert_eq!(stage.piped(&["trash", "restore", "a"]).printed(), "p/a\n");
    assert_eq!(stage.piped(&["trash", "restore", "zzz"]).status, 1);
    let other = stage.piped(&["trash", "restore", "q/a"]).err;
    assert_eq!(other, "runlog: the trash has no run q/a\n");
    let named = ["export", "/nowhere/file.csv"];
    let refused = stage.piped(&named);
    assert!(
        refused.status == 1 && refused.err.contains("is not there"),
        "{}",
        refused.err
    );
    let refused = stage.piped(&["trash", "empty"]);
    assert_eq!(refused.status, 2);
    assert!(
        refused.err.contains("Remove 1 deleted run, "),
        "{}",
        refused.err
    );
    assert_eq!(
        stage
            .piped(&["trash", "empty", "--older-than", "1d", "--yes"])
            .status,
        0
    );
    assert_eq!(stage.piped(&["trash", "list"]).printed().lines().count(), 1);
    let emptied = stage.piped(&["trash", "empty", "--yes"]);
    assert!(emptied.err.contains("1 removed"), "{}", emptied.err);
    assert_eq!(stage.piped(&["trash", "list"]).printed(), "");

    let gone = stage.piped(&["delete", "b", "--permanent", "--yes"]);
    assert!(gone.err.contains("p/b is deleted"), "{}", gone.err);
    assert!(!gone.err.contains("undo"));
    assert_eq!(ids(&stage), "a");
}

/// What is asked about goes, and nothing that came or changed while it was asked.
#[test]
fn what_was_not_there_when_it_was_asked_stays() {
    for served in [true, false] {
        let stage = three();
        let _daemon = served.then(|| stage.daemon());
        let sync = || {
            drop(
                stage
                    .piped(&["call", "executions/count", r#"{"sync":true}"#])
                    .printed(),
            )
        };
        let come = |id: &str| {
            stage.root.engine("p", id, &record("p", id, "failed"));
            sync();
        };
        let done = agreed_after(
            &mut stage.runlog(&["delete", "-s", "failed", "--permanent"]),
            || come("d"),
        );
        assert_eq!(done.status, 0, "{}", done.out);
        assert!(done.out.contains("Delete 1 run, "), "{}", done.out);
        assert!(done.out.contains("runlog: 1 run, "), "{}", done.out);
        assert_eq!(ids(&stage), "a c d");
        // a new one pushes no other out
        let prune = ["prune", "--max-count", "2"];
        let done = agreed_after(&mut stage.runlog(&prune), || come("e"));
        assert_eq!(done.status, 0, "{}", done.out);
        assert!(done.out.contains("runlog: 1 run, "), "{}", done.out);
        assert_eq!(ids(&stage), "a c e");
        // what is in the trash by now is what was asked about, and what is deleted then is not
        let done = agreed_after(&mut stage.runlog(&["trash", "empty"]), || {
            stage.piped(&["delete", "e", "--yes"]).printed();
        });
        assert!(done.out.contains("runlog: 1 removed"), "{}", done.out);
        let left = stage.piped(&["trash", "list"]).printed();
        assert!(left.lines().count() == 1 && left.contains("/e"), "{left}");
        // and what was changed stays
        come("d");
        come("f");
        let done = agreed_after(&mut stage.runlog(&["delete", "-s", "failed"]), || {
            let text = r#"{ "id": "f", "projectId": "p", "status": "failed", "error": "x" }"#;
            std::fs::write(stage.root.file("p", "f"), text).unwrap();
            sync();
        });
        assert!(done.out.contains("Move 2 runs, "), "{}", done.out);
        assert!(done.out.contains("p/f stays: changed"), "{}", done.out);
        assert!(stage.root.file("p", "f").exists() && !stage.root.file("p", "d").exists());
        // also where it was named: it was written, noted on, or is no record any more
        let written = |text: &str| {
            std::fs::write(stage.root.file("p", "f"), text).unwrap();
            sync();
        };
        let changes: [&dyn Fn(); 3] = [
            &|| written(r#"{ "id": "f", "projectId": "p", "status": "running" }"#),
            &|| drop(stage.piped(&["pin", "f"]).printed()),
            &|| written("{"),
        ];
        for change in changes {
            let mut named = stage.runlog(&["delete", "f", "a", "--permanent"]);
            stage.root.engine("p", "a", &record("p", "a", "completed"));
            let done = agreed_after(&mut named, change);
            // which was meant by its name
            assert_eq!(done.status, 1, "{}", done.out);
            assert!(done.out.contains("p/f stays: changed"), "{}", done.out);
            assert!(done.out.contains("p/a is deleted"), "{}", done.out);
            assert!(stage.root.file("p", "f").exists() && !stage.root.file("p", "a").exists());
        }
        come("f");
        let done = agreed_after(&mut stage.runlog(&["delete", "f"]), || {
            std::fs::remove_file(stage.root.file("p", "f")).unwrap();
            sync();
        });
        assert_eq!(done.status, 1, "{}", done.out);
        assert!(done.out.contains("p/f was gone already"), "{}", done.out);
        assert!(!done.out.contains("undo"), "{}", done.out);
    }
}

/// What is done to a run is done by its whole name, and nothing else is said of it.
#[test]
fn a_run_that_is_not_there_is_not_said_to_begin_so() {
    let stage = three();
    for args in [
        &["delete", "none", "--yes"][..],
        &["delete", "a", "none", "-n"],
        &["pin", "none"],
        &["watch", "none"],
    ] {
        let done = stage.piped(args);
        let told = "runlog: no project has a run called none\n";
        assert_eq!((done.status, &*done.err), (1, told), "{args:?}");
    }
    let of_project = stage.piped(&["delete", "p/none", "--yes"]);
    let told = "runlog: project p has no run none\n";
    assert_eq!((of_project.status, &*of_project.err), (1, told));
    let shown = stage.piped(&["show", "none"]).err;
    assert!(shown.contains("or begins with, none"), "{shown}");
    assert_eq!(ids(&stage), "a b c");
}

/// However many there are: those that are named, and how many that is.
#[test]
fn of_very_many_that_are_restored_all_are_counted() {
    const RUNS: usize = 1001;
    let stage = Stage::over(Root::empty());
    let batch = "1760512600000-00ff8a1be2d49377";
    for (project, is_occupied) in [("back", false), ("there", true)] {
        let project = stage.root.path().join(project);
        let (trash, runs) = (
            project.join(format!(".runlog/trash/{batch}")),
            project.join("executions"),
        );
        for folder in [&trash, &runs] {
            std::fs::create_dir_all(folder).unwrap();
        }
        for number in 0..RUNS {
            let name = format!("{number}.json");
            std::fs::write(trash.join(&name), "{}").unwrap();
            if is_occupied {
                std::fs::write(runs.join(&name), "{}").unwrap();
            }
        }
    }
    let done = stage.piped(&["trash", "restore", "--batch", batch]);
    assert_eq!(done.status, 1);
    assert_eq!(done.out.lines().count(), 1000);
    for told in [
        "runlog: 1,001 runs are back in all\n",
        "runlog: 1,001 runs stay in the trash in all\n",
    ] {
        assert!(done.err.contains(told), "{}", done.err);
    }
}

#[test]
fn of_several_that_are_restored_the_one_in_the_way_is_named() {
    let stage = three();
    stage.piped(&["delete", "a", "b", "c", "--yes"]).printed();
    stage.root.engine("p", "b", &record("p", "b", "running"));
    let done = stage.piped(&["trash", "restore", "a", "b", "c"]);
    assert_eq!(done.status, 1);
    assert!(done.err.contains("/b stays in the trash"), "{}", done.err);
    assert!(done.err.contains("by now"), "{}", done.err);
    assert_eq!(ids(&stage), "b");
    let done = stage
        .piped(&["trash", "restore", "p/a", "c", "a"])
        .printed();
    assert_eq!(done, "p/a\np/c\n");
    // what is back already may be the beginning of another's name
    for id in ["run-1", "run-10"] {
        stage.root.engine("p", id, &record("p", id, "cancelled"));
    }
    stage
        .piped(&["delete", "-s", "cancelled", "--yes"])
        .printed();
    let restore = ["trash", "restore", "p/run-1"];
    assert_eq!(stage.piped(&restore).printed(), "p/run-1\n");
    let again = stage.piped(&restore);
    assert_eq!(again.status, 1);
    let told = "runlog: the trash has no run p/run-1; name p/run-10 whole if that is meant\n";
    assert_eq!(again.err, told);
    // of many that may be meant some are named
    for number in 0..13 {
        let project = format!("q{number:02}");
        let run = record(&project, "same", "cancelled");
        stage.root.engine(&project, "same", &run);
    }
    stage
        .piped(&["delete", "-s", "cancelled", "--yes"])
        .printed();
    let several = stage.piped(&["trash", "restore", "same"]);
    assert_eq!(several.status, 1);
    assert_eq!(several.err.lines().count(), 12, "{}", several.err);
    assert!(several.err.ends_with("\n  and 3 more\n"), "{}", several.err);
    let whole = stage.piped(&["trash", "restore", "q01/same"]).printed();
    assert_eq!(whole, "q01/same\n");
}

/// Whoever is told that it failed has to know what is back all the same.
#[test]
fn what_is_back_is_told_where_not_all_of_it_is() {
    let stage = three();
    stage.root.engine("q", "d", &record("q", "d", "failed"));
    let done = stage.piped(&["delete", "p/a", "q/d", "--yes"]);
    let undo = undo(&done);
    let executions = stage.root.path().join("q/executions");
    std::fs::remove_dir(&executions).unwrap();
    std::fs::write(&executions, "").unwrap();
    let done = stage.shell(&undo);
    assert_eq!((done.status, done.out.as_str()), (1, ""), "{}", done.err);
    assert!(done.err.contains("/a is back\n"), "{}", done.err);
    let stays = "/d stays in the trash\n";
    assert!(done.err.contains(stays), "{}", done.err);
    assert_eq!(ids(&stage), "a b c");
}

#[test]
fn nothing_goes_where_nobody_knows_any_more_what_was_asked_about() {
    let stage = three();
    let before = ids(&stage);
    let mut daemon = stage.daemon();
    let done = agreed_after(&mut stage.runlog(&["delete", "-s", "failed"]), || {
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
    });
    assert_eq!(done.status, 1, "{}", done.out);
    assert!(done.out.contains("nothing was done"), "{}", done.out);
    assert_eq!(ids(&stage), before);
}

#[test]
fn an_empty_filter_and_a_policy_that_leaves_nothing_delete_nothing() {
    let stage = three();
    for args in [
        &["delete", "--yes"][..],
        &["delete", "-p", "p", "--yes"],
        &["delete", "--where", " ", "--yes"],
        &["call", "executions/deleteMatching", r#"{"where":""}"#],
        &[
            "call",
            "executions/deleteMatching",
            r#"{"where":" ","projectId":"p"}"#,
        ],
        &["delete", "a", "-s", "failed", "--yes"],
        &["delete", "none", "--yes"],
        &["delete", "-p", "q", "p/a", "--yes"],
        &["prune", "--yes"],
        &["prune", "--keep-failed", "--yes"],
        &["prune", "--max-count", "0", "--yes"],
    ] {
        let done = stage.piped(args);
        assert_ne!(done.status, 0, "{args:?}");
        assert!(done.err.starts_with("runlog: "), "{args:?}: {}", done.err);
        assert_eq!(ids(&stage), "a b c", "{args:?}");
    }
    let soon = stage.piped(&["prune", "--max-age", "soon", "--yes"]);
    assert_eq!((soon.status, &*ids(&stage)), (2, "a b c"), "{}", soon.err);
    let other = stage.piped(&["delete", "-p", "q", "p/a", "--yes"]);
    assert_eq!(other.status, 2, "{}", other.err);
    // what has been said is not asked for
    let needs = "which needs --everything";
    let all = ["prune", "--max-count", "0", "-n"];
    assert!(stage.piped(&all).err.contains(needs));
    let all = ["prune", "--max-count", "0", "--everything", "-n"];
    assert!(!stage.piped(&all).err.contains(needs));
    let all = stage.piped(&["prune", "--max-count", "0", "--everything", "--yes"]);
    assert_eq!(all.status, 0, "{}", all.err);
    assert_eq!(ids(&stage), "");
    assert_eq!(stage.shell(&undo(&all)).status, 0);
    assert_eq!(ids(&stage), "a b c");
    // what the file says
    let policy = "[prune]\nrules = [{ maxCount = 2 }]\n";
    std::fs::write(stage.root.beside("runlog.toml"), policy).unwrap();
    assert_eq!(stage.piped(&["prune", "--yes"]).status, 0);
    assert_eq!(ids(&stage).len(), 3);
}

#[test]
fn exports_are_read_back_by_what_people_use_and_overwrite_nothing() {
    let stage = three();
    let file = stage.root.beside("runs.csv");
    let path = file.to_str().unwrap();
    let done = stage.piped(&["export", path]);
    assert_eq!((done.status, done.out.as_str()), (0, ""));
    assert!(done.err.contains("runlog: 3 runs, "), "{}", done.err);
    let read = "import csv,sys; print(*(row['id'] for row in csv.DictReader(open(sys.argv[1]))))";
    let rows = stage.shell(&format!("python3 -c \"{read}\" {path}"));
    assert_eq!(rows.printed(), "a b c\n");
    let before = std::fs::read(&file).unwrap();
    let again = stage.piped(&["export", path]);
    assert_eq!(again.status, 1);
    assert!(again.err.contains("already"), "{}", again.err);
    assert_eq!(std::fs::read(&file).unwrap(), before);
    for (format, served) in [
        ("jsonl", true),
        ("json", true),
        ("csv", false),
        ("jsonl", false),
    ] {
        let daemon = served.then(|| stage.daemon());
        let written = stage.root.beside(&format!("{format}-{served}"));
        let flag = format!("--format={format}");
        let to_file = stage.piped(&[
            "export",
            written.to_str().unwrap(),
            &flag,
            "-s",
            "completed",
        ]);
        assert_eq!(to_file.status, 0, "{}", to_file.err);
        let out = stage.piped(&["export", &flag, "-s", "completed"]).printed();
        assert_eq!(out, std::fs::read_to_string(&written).unwrap(), "{format}");
        if format == "jsonl" {
            let ids: Vec<Value> = out
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone())
                .collect();
            assert_eq!(ids, [json!("a"), json!("c")]);
        }
        drop(daemon);
    }
}

/// What changes something prints the protocol's answer for a program that reads it.
/// A daemon has an umask of its own.
#[test]
fn an_exported_file_is_as_open_as_others_that_the_shell_makes() {
    use std::os::unix::fs::MetadataExt;
    for (of_daemon, of_shell, mode) in [("000", "077", 0o600), ("077", "022", 0o644)] {
        let stage = three();
        let export = |name: &str| {
            let line = format!("umask {of_shell}; runlog export {name}");
            stage.shell(&line).printed();
            let file = stage.root.beside(name);
            assert_eq!(file.metadata().unwrap().mode() & 0o777, mode, "{name}");
        };
        export("own.jsonl");
        let line = format!("umask {of_daemon}; exec runlog serve --socket");
        let _daemon = Stage::served(stage.command("sh").args(["-c", &line]));
        export("daemons.jsonl");
    }
}

#[test]
fn what_acts_tells_programs_what_it_did() {
    let stage = three();
    let told = |args: &[&str]| -> Value {
        serde_json::from_str(&stage.piped(args).printed()).unwrap_or_else(|_| panic!("{args:?}"))
    };
    assert_eq!(told(&["pin", "a", "--json"])["summary"]["pinned"], true);
    let tagged = told(&["tag", "a", "urgent", "--json=summary"]);
    assert_eq!(tagged["summary"]["tags"], json!(["urgent"]));
    assert_eq!(tagged.as_object().unwrap().len(), 1);
    let noted = told(&["note", "a", "ask Bob", "--json"]);
    assert_eq!(noted["summary"]["note"], "ask Bob");

    let entry = told(&["delete", "b", "--yes", "--json"])["entry"].clone();
    let restored = told(&["trash", "restore", entry.as_str().unwrap(), "--json"]);
    assert_eq!(restored["restored"][0]["executionId"], "b");
    let filter = ["delete", "--where", "status = completed", "--json", "--yes"];
    // a rehearsal is a run a line
    let bytes = |id: &str| stage.root.file("p", id).metadata().unwrap().len();
    let row = |id: &str| {
        format!(
            "{{\"projectId\":\"p\",\"executionId\":\"{id}\",\"sizeBytes\":{}}}\n",
            bytes(id)
        )
    };
    let two = format!("{}{}", row("a"), row("c"));
    for rehearsed in [
        &[&filter[..], &["-n"]].concat()[..],
        &["delete", "a", "c", "-n", "--json"],
        &["prune", "--max-count", "1", "--keep-failed", "--json", "-n"],
    ] {
        let done = stage.piped(rehearsed);
        let rows = match rehearsed[0] {
            // the youngest stays
            "prune" => two.lines().last().unwrap().to_owned() + "\n",
            _ => two.clone(),
        };
        assert_eq!((done.status, done.out), (0, rows), "{rehearsed:?}");
        assert!(
            done.err.contains("would go; nothing was done"),
            "{}",
            done.err
        );
        assert_eq!(ids(&stage), "a b c");
    }
    let chosen = stage.piped(&[&filter[..3], &["--json=executionId", "-n"]].concat());
    assert_eq!(
        chosen.printed(),
        "{\"executionId\":\"a\"}\n{\"executionId\":\"c\"}\n"
    );
    assert!(told(&filter)["batch"].is_string());
    let none = stage.piped(&["prune", "--max-count", "1", "--json", "-n"]);
    assert_eq!(none.printed(), "");
    assert_eq!(told(&["trash", "empty", "--yes", "--json"])["emptied"], 2);
    let none = json!({ "emptied": 0, "freedBytes": 0 });
    assert_eq!(told(&["trash", "empty", "--yes", "--json"]), none);
    let batch = [
        "trash",
        "restore",
        "--batch",
        "1795736099618-882f01bd30433cda",
    ];
    let unknown = stage.piped(&batch);
    assert_eq!((unknown.status, &*unknown.out), (1, ""));
    assert!(
        unknown.err.contains("the trash has no batch 17957"),
        "{}",
        unknown.err
    );

    let file = stage.root.beside("runs.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(told(&["export", file, "--json"])["rows"], 1);
    let refused = stage.piped(&["export", "--json"]);
    assert_eq!(refused.status, 2);
    assert!(refused.err.contains("--format"), "{}", refused.err);

    let _daemon = stage.daemon();
    let line = told(&["statusline", "--json", "-z", "UTC"]);
    let params = r#"{"where":"status = running and not stale","timezone":"UTC"}"#;
    assert_eq!(line["now"], told(&["call", "executions/stats", params]));
    assert!(line["today"]["failed"].is_u64());
}

/// All that was agreed to is done, and its undo told, whatever becomes of what is printed.
#[test]
fn what_nobody_reads_is_done_and_can_be_undone() {
    let stage = three();
    let nobody = || std::process::Stdio::from(std::io::pipe().unwrap().1);
    let full = || {
        let full = std::fs::File::options().write(true).open("/dev/full");
        std::process::Stdio::from(full.unwrap())
    };
    for args in [
        &["delete", "a", "b", "c", "--yes", "--json"][..],
        &["delete", "-s", "completed,failed", "--yes", "--json"],
        &[
            "prune",
            "--max-count",
            "0",
            "--everything",
            "--yes",
            "--json",
        ],
    ] {
        for (out, status) in [(nobody(), 0), (full(), 1)] {
            let mut command = stage.runlog(args);
            command.stdout(out).stderr(std::process::Stdio::piped());
            let ended = command.spawn().unwrap().wait_with_output().unwrap();
            let err = String::from_utf8(ended.stderr).unwrap();
            assert_eq!(ended.status.code(), Some(status), "{args:?}: {err}");
            assert_eq!(ids(&stage), "", "{args:?}");
            let told = err.lines().filter_map(|line| line.split_once("undo: "));
            let told: Vec<&str> = told.map(|(_, command)| command).collect();
            let [undo] = told.as_slice() else {
                panic!("{args:?}: {err}");
            };
            assert_eq!(stage.shell(undo).status, 0);
            assert_eq!(ids(&stage), "a b c");
        }
    }
}

/// A daemon that has not been told to prune is told so with the next client.
#[test]
fn pruning_that_is_switched_on_later_begins_when_a_client_comes() {
    let stage = three();
    let _daemon = stage.daemon();
    assert_eq!(ids(&stage), "a b c");
    let folder = stage.root.beside(".config/runlog");
    std::fs::create_dir_all(&folder).unwrap();
    let root = stage.root.path();
    let told = format!(
        "[prune]\nrules = [{{ maxCount = 1 }}]\n[[root]]\npath = '{}'\npruneEvery = '1d'\n",
        root.display()
    );
    std::fs::write(folder.join("runlog.toml"), told).unwrap();
    let began = Instant::now();
    while ids(&stage).len() > 1 {
        assert!(began.elapsed() < PATIENCE, "nothing was pruned");
    }
    let trash = stage.piped(&["trash", "list"]).printed();
    assert_eq!(trash.lines().count(), 2);
}

/// What a policy removes from the trash goes for good, and so it is said.
#[test]
fn a_policy_says_what_it_removes_from_the_trash() {
    let stage = three();
    let policy = "[prune]\nrules = [{ maxCount = 2 }]\ntrash = { maxAge = '1d' }\n";
    std::fs::write(stage.root.beside("runlog.toml"), policy).unwrap();
    let old = |name: &str| {
        let batch = "p/.runlog/trash/86400000-0000000000000000";
        let batch = stage.root.path().join(batch);
        std::fs::create_dir_all(&batch).unwrap();
        std::fs::write(batch.join(name), "12345").unwrap();
    };
    old("x.json");
    old("y.json");
    let done = stage.piped(&["prune", "--yes"]);
    assert_eq!(done.status, 0, "{}", done.err);
    for told in [
        "runlog: 1 run, ",
        "runlog: 2 runs, 10 B of the trash, removed for good\n",
    ] {
        assert!(done.err.contains(told), "{}", done.err);
    }
    old("z.json");
    let asked = on_terminal(&mut stage.runlog(&["prune"]), 80, "n\n");
    let question = "Remove 1 run, 5 B of the trash, for good? [y/N]";
    assert!(asked.out.contains(question), "{}", asked.out);
    let done = stage.piped(&["prune", "--yes", "--json"]);
    assert_eq!(
        done.err,
        "runlog: 1 run, 5 B of the trash, removed for good\n"
    );
    assert!(
        done.out.contains("\"emptied\":1,\"freedBytes\":5"),
        "{}",
        done.out
    );
}

/// A command that is printed can be typed as it stands, from where it was printed.
#[test]
fn an_undo_runs_as_it_is_printed() {
    let stage = Stage::over(Root::empty());
    for project in ["-dash", "it's a"] {
        stage
            .root
            .engine(project, "-x", &record(project, "-x", "failed"));
        let run = format!("{project}/-x");
        let done = stage.piped(&["delete", "--yes", "--", &run]);
        assert_eq!(stage.shell(&undo(&done)).printed(), format!("{run}\n"));
    }
    // where the root was given, it is given there as well
    let beside = stage.root.beside("else where");
    let moved = beside.join("other");
    std::fs::create_dir(&beside).unwrap();
    std::fs::rename(stage.root.path(), &moved).unwrap();
    let given = ["--projects", "else where/other", "--yes"];
    for what in [&["delete", "-s", "failed"][..], &["delete", "it's a/-x"]] {
        let done = stage.piped(&[what, &given].concat());
        assert_eq!(done.status, 0, "{}", done.err);
        assert_eq!(stage.shell(&undo(&done)).status, 0, "{}", done.err);
        assert!(moved.join("it's a/executions/-x.json").exists());
    }
    // also by the environment, which is another one where the undo is typed
    let mut command = stage.runlog(&["delete", "-s", "failed", "--yes"]);
    let named = done(command.env("RUNLOG_PROJECTS", "else where/other"));
    assert_eq!(stage.shell(&undo(&named)).status, 0, "{}", named.err);
    assert!(moved.join("it's a/executions/-x.json").exists());
    // whatever its name is
    let odd = beside.join(OsStr::from_bytes(b"odd\xff"));
    std::fs::rename(&moved, &odd).unwrap();
    let mut command = stage.runlog(&["delete", "--yes", "it's a/-x", "--projects"]);
    let done = done(command.arg(&odd));
    assert_eq!(stage.shell(&undo(&done)).status, 0, "{}", done.err);
    assert!(odd.join("it's a/executions/-x.json").exists());
}

/// What the trash lists can be restored by the name it has there, whatever the file was called.
#[test]
fn every_entry_that_is_listed_can_be_restored() {
    let stage = three();
    let file = stage.root.path().join("p/executions/a\\b.json");
    std::fs::write(&file, "{}").unwrap();
    let all = ["call", "executions/deleteAll", r#"{"projectId":"p"}"#];
    stage.piped(&all).printed();
    // by its own name, too
    stage.piped(&["trash", "restore", "p/a\\b"]).printed();
    stage.piped(&all).printed();
    let listed = stage.piped(&["trash", "list"]).printed();
    assert_eq!(listed.lines().count(), 4);
    for line in listed.lines() {
        let entry = line
            .split('\t')
            .find(|field| field.matches('/').count() > 1);
        let entry = entry.unwrap_or_else(|| panic!("{line}"));
        stage.piped(&["trash", "restore", entry]).printed();
    }
    assert!(file.exists());
    assert_eq!(ids(&stage), "a b c");
}

/// Runs `runlog` as somebody to whom a file may be closed: all that there is by now is his.
fn as_no_root(stage: &Stage) -> impl Fn(&[&str]) -> Done {
    use std::os::unix::process::CommandExt;
    let binary = stage.root.beside("runlog");
    std::fs::copy(env!("CARGO_BIN_EXE_runlog"), &binary).unwrap();
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        let all = stage.root.beside("");
        stage
            .shell(&format!("chown -R 65534 '{}'", all.display()))
            .printed();
    }
    move |args| {
        let mut command = stage.command(binary.to_str().unwrap());
        if is_root {
            command.uid(65534);
        }
        done(command.args(args))
    }
}

/// To move a file is not to read it.
#[test]
fn a_record_that_cannot_be_read_can_be_deleted_and_is_told_of_once() {
    use std::os::unix::fs::PermissionsExt;
    let stage = three();
    let file = stage.root.file("p", "c");
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    let runlog = as_no_root(&stage);
    let shown = runlog(&["show", "p/c"]);
    let why =
        "runlog: reading the run's file failed: Permission denied; mend the cause and try again\n";
    assert_eq!((shown.status, &*shown.err), (1, why));
    let done = runlog(&["delete", "p/c", "--yes"]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(!file.exists());
    assert_eq!(runlog(&["trash", "restore", "p/c"]).printed(), "p/c\n");
    assert!(file.exists());
}

/// What a policy lets go stays where nobody can say that it is not pinned, and that is said.
#[test]
fn what_may_be_pinned_stays_and_is_told_of() {
    let stage = three();
    stage.root.engine("q", "d", &record("q", "d", "failed"));
    std::fs::write(stage.root.path().join("p/.runlog"), "").unwrap();
    let told = "runlog: 3 runs stay: whether they are pinned cannot be read; `runlog problems` names \
                the files\n";
    let prune = ["prune", "--max-count", "0", "--everything"];
    for how in ["-n", "--yes", "--yes"] {
        let done = stage.piped(&[&prune[..], &[how]].concat());
        assert_eq!(done.status, 0, "{}", done.err);
        assert_eq!(done.err.matches(told).count(), 1, "{how}: {}", done.err);
    }
    assert_eq!(ids(&stage), "a b c");
}

/// A trash that cannot be read is named, and hides no other.
#[test]
fn a_trash_that_cannot_be_read_is_named_and_hides_no_other() {
    use std::os::unix::fs::PermissionsExt;
    let stage = three();
    stage
        .root
        .engine("docs", "d", &record("docs", "d", "failed"));
    stage.piped(&["delete", "-s", "failed", "--yes"]).printed();
    let own = stage.root.path().join("docs/.runlog");
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o000)).unwrap();
    let runlog = as_no_root(&stage);
    let named = "runlog: the trash of project docs cannot be read\n";
    let list = runlog(&["trash", "list"]);
    assert_eq!((list.status, &*list.err), (0, named));
    assert!(
        list.out.lines().count() == 1 && list.out.contains("/b"),
        "{}",
        list.out
    );
    let alone = runlog(&["trash", "list", "-p", "docs"]);
    assert_eq!(alone.status, 1);
    assert!(alone.err.contains("reading docs/.runlog"), "{}", alone.err);
    let restored = runlog(&["trash", "restore", "b"]);
    assert_eq!(
        (restored.status, &*restored.out, &*restored.err),
        (0, "p/b\n", named)
    );
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o755)).unwrap();
    runlog(&["delete", "b", "--yes"]).printed();
    runlog(&["trash", "restore", "d"]).printed();
    let again = runlog(&["delete", "--where", "id != a", "--yes"]);
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o000)).unwrap();
    let undo = undo(&again);
    let batch = undo.rsplit(' ').next().unwrap();
    let restored = runlog(&["trash", "restore", "--batch", batch]);
    assert_eq!(
        (restored.status, &*restored.out, &*restored.err),
        (0, "p/c\n", named)
    );
    let refused = runlog(&["call", "trash/empty"]);
    assert_eq!(refused.status, 1);
    assert!(
        refused.err.contains("reading docs/.runlog"),
        "{}",
        refused.err
    );
    // the rest has gone all the same
    let emptied = runlog(&["trash", "empty", "--yes"]);
    assert_eq!((emptied.status, &*emptied.err), (1, named));
    let config = stage.root.beside("runlog.toml");
    std::fs::write(&config, "[prune]\ntrash = { maxAge = '1s' }\n").unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(config, Some(65534), None).unwrap();
    }
    let pruned = runlog(&["prune", "--yes"]);
    let nothing = "runlog: no runs go by the policy\n";
    assert_eq!(
        (pruned.status, &*pruned.err),
        (1, &*format!("{nothing}{named}"))
    );
    let asked = runlog(&["prune", "--dry-run"]);
    let nothing = "runlog: 0 runs, 0 B would go; nothing was done\n";
    assert_eq!(
        (asked.status, &*asked.err),
        (0, &*format!("{nothing}{named}"))
    );
    let pruned = runlog(&["call", "executions/prune"]);
    assert!(
        pruned.out.contains(r#""unreadable":["docs"]"#),
        "{}",
        pruned.out
    );
    std::fs::set_permissions(&own, PermissionsExt::from_mode(0o755)).unwrap();
}

/// What holds no record is deleted by its name, and can be had back.
#[test]
fn a_file_that_is_no_record_can_be_deleted() {
    let stage = three();
    let file = stage.root.file("p", "broken");
    std::fs::write(&file, "{").unwrap();
    let unclear = stage.piped(&["delete", "broken", "--yes"]);
    assert_eq!(unclear.status, 1);
    assert!(unclear.err.contains("PROJECT/ID"), "{}", unclear.err);
    assert_eq!(
        stage.piped(&["delete", "p/broken", "-n"]).printed(),
        "p/broken\n"
    );
    let done = stage.piped(&["delete", "p/broken", "--yes"]);
    assert_eq!(done.status, 0, "{}", done.err);
    assert!(!file.exists());
    assert_eq!(stage.shell(&undo(&done)).status, 0);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{");
    assert_eq!(ids(&stage), "a b c");
}

/// What the file system keeps is told, and is a failure.
#[test]
fn what_cannot_be_moved_is_told_and_stays() {
    let stage = three();
    let file = stage.root.file("p", "c");
    let script = format!(
        "mount --bind '{0}' '{0}' && runlog prune --max-count 0 --everything --yes",
        file.display()
    );
    let mut command = stage.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let done = crate::stage::done(&mut command);
    assert_eq!(done.status, 1, "{}", done.err);
    for told in ["runlog: 2 runs, ", "runlog: p/c stays: refused\n", "undo: "] {
        assert!(done.err.contains(told), "{told}: {}", done.err);
    }
    assert_eq!(ids(&stage), "c");
    assert_eq!(stage.shell(&undo(&done)).status, 0);
    assert_eq!(ids(&stage), "a b c");
}

/// However many would go, a rehearsal names all of them, and what then goes is just that.
#[test]
fn a_rehearsal_names_everything_that_would_go() {
    let root = Root::empty();
    let folder = root.path().join("p/executions");
    std::fs::create_dir_all(&folder).unwrap();
    for number in 0..10_500 {
        let file = folder.join(format!("run-{number}.json"));
        std::fs::write(file, r#"{ "status": "completed" }"#).unwrap();
    }
    let stage = Stage::over(root);
    let _daemon = stage.daemon();
    let would = stage.piped(&["prune", "--max-count", "100", "-n"]);
    assert!(would.err.contains("10,400 runs, "), "{}", would.err);
    let lines = stage
        .piped(&["delete", "-s", "completed", "-n", "--json=executionId"])
        .printed();
    assert_eq!(lines.lines().count(), 10_500);
    let mut named: Vec<String> = would.printed().lines().map(str::to_owned).collect();
    assert_eq!(named.len(), 10_400);
    let gone = stage.piped(&["prune", "--max-count", "100", "--yes"]);
    assert!(gone.err.contains("10,400 runs, "), "{}", gone.err);
    let left = std::fs::read_dir(&folder).unwrap().flatten();
    let left = left.map(|entry| entry.file_name().into_string().unwrap());
    named.extend(left.map(|name| format!("p/{}", name.trim_end_matches(".json"))));
    named.sort();
    named.dedup();
    assert_eq!(named.len(), 10_500);
}

#[test]
fn pins_tags_and_notes_are_put_on_and_taken_off() {
    let stage = three();
    assert_eq!(stage.piped(&["pin", "a"]).status, 0);
    let found = |filter: &str| {
        let list = stage.piped(&["list", "--where", filter]).printed();
        let ids = list
            .lines()
            .map(|line| line.split('\t').next().unwrap().to_owned());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(found("pinned"), "a");
    let tagged = stage.piped(&["tag", "p/b", "urgent", "later"]).printed();
    assert_eq!(tagged, "later\nurgent\n");
    assert_eq!(found("tag = urgent"), "b");
    assert_eq!(
        stage.piped(&["tag", "b", "--remove", "later"]).printed(),
        "urgent\n"
    );
    assert_eq!(stage.piped(&["tag", "b"]).printed(), "urgent\n");
    assert_eq!(
        stage.piped(&["note", "c", "ask Bob"]).printed(),
        "ask Bob\n"
    );
    assert_eq!(stage.piped(&["note", "c"]).printed(), "ask Bob\n");
    assert_eq!(found("note ~ bob"), "c");
    let shown = stage.piped(&["show", "b"]).printed();
    assert!(shown.contains("tags     urgent\n"), "{shown}");
    assert_eq!(stage.piped(&["note", "c", "--remove"]).printed(), "");
    assert_eq!(found("note ~ bob"), "");
    assert_eq!(stage.piped(&["pin", "a", "--remove"]).status, 0);
    assert_eq!(found("pinned"), "");
}

/// What asks for an end, and the status that says so.
const ENDS: [(Signal, i32); 3] = [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)];

/// At whatever moment somebody interrupts it: nothing has gone, or it says what, and what undoes it.
#[test]
fn an_interrupted_deletion_says_what_went() {
    let stage = Stage::over(Root::empty());
    for number in 0..2000 {
        let id = format!("run-{number}");
        stage.root.engine("p", &id, &record("p", &id, "completed"));
    }
    let left = || {
        let folder = stage.root.path().join("p/executions");
        std::fs::read_dir(folder).unwrap().count()
    };
    let mut interrupted = 0;
    for served in [true, false] {
        let _daemon = served.then(|| stage.daemon());
        stage.piped(&["list"]).printed();
        let mut tries = 0;
        while tries < 5 || interrupted == 0 && tries < 50 {
            tries += 1;
            let mut command = stage.runlog(&["delete", "-s", "completed", "--yes"]);
            let child = command.stderr(std::process::Stdio::piped()).spawn();
            let mut child = child.unwrap();
            let mut said = BufReader::new(child.stderr.take().unwrap());
            let mut err = String::new();
            // then it begins
            while !err.ends_with("and 1,990 more\n") {
                assert!(said.read_line(&mut err).unwrap() > 0, "{err}");
            }
            let pid = rustix::process::Pid::from_child(&child);
            let (signal, code) = ENDS[tries % ENDS.len()];
            let _ = rustix::process::kill_process(pid, signal);
            said.read_to_string(&mut err).unwrap();
            let status = child.wait().unwrap().code();
            interrupted += u8::from(status == Some(code));
            if left() == 2000 {
                assert_ne!(status, Some(0), "{err}");
                continue;
            }
            assert!([Some(0), Some(code)].contains(&status), "{status:?} {err}");
            let (_, undo) = err.split_once("undo: ").unwrap_or_else(|| panic!("{err}"));
            assert_eq!(stage.shell(undo).status, 0, "{err}");
            assert_eq!(left(), 2000);
        }
    }
    assert!(interrupted > 0);
}

/// Where the daemon does not answer any more, and perhaps never will.
#[test]
fn a_deletion_that_nobody_answers_can_be_interrupted() {
    use rustix::process::{Pid, kill_process};
    let stage = Stage::samples();
    for (args, says) in [
        (&["delete", "-s", "failed"][..], "ended without an answer"),
        (&["delete", "exec-1760508120004-4k1zq0vbn"], "stays"),
    ] {
        let mut daemon = stage.daemon();
        let stopped = Pid::from_child(&daemon.0);
        let mut command = stage.command("env");
        // however this test was started
        command.args(["--default-signal=INT", "runlog"]).args(args);
        let done = agreed_with(&mut command, |child| {
            kill_process(stopped, Signal::STOP).unwrap();
            let pid = Pid::from_child(child);
            std::thread::spawn(move || {
                // before it would be the answer to the question
                let heeds = || {
                    let path = format!("/proc/{}/status", pid.as_raw_nonzero());
                    let status = std::fs::read_to_string(path).unwrap_or_default();
                    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
                    let caught = caught.map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap());
                    caught.is_none_or(|mask| mask & 2 != 0)
                };
                loop {
                    if heeds() && kill_process(pid, Signal::INT).is_err() {
                        break;
                    }
                    std::thread::sleep(std::time::Duration::from_millis(50));
                }
            });
        });
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
        assert_eq!(done.status, 130, "{args:?}: {}", done.out);
        assert!(done.out.contains(says), "{args:?}: {}", done.out);
    }
}

#[test]
fn tags_and_notes_are_printed_without_a_write() {
    let stage = three();
    stage.piped(&["tag", "a", "urgent"]).printed();
    stage.piped(&["note", "a", "ask Bob"]).printed();
    let file = stage.root.path().join("p/.runlog/a.json");
    let mut said: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    said["byHand"] = true.into();
    std::fs::write(&file, said.to_string()).unwrap();
    assert_eq!(stage.piped(&["tag", "a"]).printed(), "urgent\n");
    assert_eq!(stage.piped(&["note", "a"]).printed(), "ask Bob\n");
    assert_eq!(stage.piped(&["tag", "b"]).printed(), "");
    let json = stage.piped(&["note", "a", "--json"]).printed();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["summary"]["note"], "ask Bob");
    assert!(json["clock"].is_string());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), said.to_string());
    assert!(!file.with_file_name("b.json").exists());
}

/// Rows that are larger than an answer come by a file, and are printed when that is written.
#[test]
fn an_export_that_nobody_reads_can_be_interrupted() {
    let stage = Stage::over(Root::empty());
    let mut large = record("p", "large", "completed");
    large["output"] = "x".repeat(17 << 20).into();
    stage.root.engine("p", "large", &large);
    let mut command = stage.command("env");
    // however this test was started
    command.args(["--default-signal=INT", "runlog", "export"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut first = [0];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut first).unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, Signal::INT).unwrap();
    let began = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            None if began.elapsed() > PATIENCE => {
                child.kill().unwrap();
                panic!("it is still there");
            }
            None => std::thread::sleep(Duration::from_millis(2)),
            Some(status) => break status,
        }
    };
    assert_eq!(status.code(), Some(130));
}

/// At whatever moment somebody interrupts it, there is the whole file or none.
#[test]
fn an_interrupted_export_leaves_a_whole_file_or_none() {
    let stage = Stage::over(Root::empty());
    for number in 0..2000 {
        let id = format!("run-{number}");
        stage.root.engine("p", &id, &record("p", &id, "completed"));
    }
    let _daemon = stage.daemon();
    let folder = stage.root.beside("exports");
    std::fs::create_dir(&folder).unwrap();
    let is_whole = |path: &std::path::Path| {
        let lines = std::fs::read_to_string(path)
            .unwrap_or_default()
            .lines()
            .count();
        path.extension().is_some_and(|kind| kind == "jsonl") && lines == 2000
    };
    let mut interrupted = 0;
    for millis in [0, 2, 5, 10, 20, 40, 80] {
        let path = folder.join(format!("{millis}.jsonl"));
        let mut command = stage.runlog(&["export"]);
        let mut child = command
            .arg(&path)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(millis));
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, Signal::TERM);
        let status = child.wait().unwrap();
        if status.success() {
            assert!(is_whole(&path), "{millis}");
        } else {
            // before there was a handler the signal itself ended it
            assert!([Some(143), None].contains(&status.code()), "{status:?}");
            // what came when all was done ends it as well
            let left = path.exists() && !is_whole(&path);
            assert!(status.code().is_none() || !left, "{millis}");
            interrupted += 1;
        }
    }
    assert!(interrupted > 0);
    // taken back by the daemon, also where its client is gone
    let began = std::time::Instant::now();
    while !std::fs::read_dir(&folder)
        .unwrap()
        .flatten()
        .all(|entry| is_whole(&entry.path()))
    {
        assert!(
            began.elapsed() < crate::support::PATIENCE,
            "something half is left"
        );
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}
