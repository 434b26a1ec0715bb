//! Records that want to do something to their reader.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use serde_json::json;

use crate::stage::{Stage, done, on_terminal};
use crate::support::Root;

#[test]
fn nothing_of_a_record_reaches_the_terminal_as_it_is() {
    let stage = Stage::over(Root::empty());
    // clears the screen, sets the title, turns the direction, rings, goes back, adds a line
    let evil = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}gnp.exe\u{9b}31m\r\u{8}\u{0}x\ty";
    let folder = stage.root.path().join("p/executions");
    std::fs::create_dir_all(&folder).unwrap();
    let run = json!({
        "id": "evil", "projectId": "p", "status": format!("failed{evil}"), "name": evil,
        "input": format!("{evil}\n{evil}"), "output": { evil: [evil] }, "error": format!("boom {evil}"),
        "model": evil, "sessionId": evil, evil: evil, "startedAt": "2025-10-15T05:02:46.569Z",
        "steps": [{ "id": "1", "nodeId": evil, "nodeType": evil, "status": evil, "error": evil,
            "input": evil, "output": evil }]
    });
    std::fs::write(folder.join("evil.json"), run.to_string()).unwrap();
    std::fs::write(
        folder.join("other.json"),
        r#"{"status":"failed","error":"x\ud800"}"#,
    )
    .unwrap();
    std::fs::write(folder.join("bad\u{1b}[31m.json"), "{").unwrap();
    let commands: [&[&str]; 11] = [
        &["list"],
        &["show", "evil"],
        &["show", "evil", "--full"],
        &["stats"],
        &["search", "owned"],
        &["errors"],
        &["nodes"],
        &["problems"],
        &["diff", "evil", "other"],
        &["doctor"],
        &["export", "--format", "csv", "--rows", "summaries"],
    ];
    for args in commands {
        let is_bad = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
        let piped = stage.piped(args);
        if args[0] != "export" {
            assert!(!piped.out.contains(is_bad), "{args:?}: {:?}", piped.out);
        }
        assert!(!piped.err.contains(is_bad), "{args:?}: {:?}", piped.err);
        if args[0] == "export" {
            continue; // bytes for programs
        }
        let shown = stage.shown(80, args);
        assert!(!shown.out.contains(is_bad), "{args:?}: {:?}", shown.out);
        // painted, there is nothing but colours
        let mut command = stage.runlog(args);
        let painted = on_terminal(&mut command, 80, "").out;
        let mut rest = painted.as_str();
        let mut plain = String::new();
        while let Some((before, after)) = rest.split_once("\u{1b}[") {
            plain.push_str(before);
            let (code, after) = after.split_once('m').unwrap();
            assert!(
                code.bytes().all(|byte| byte.is_ascii_digit()),
                "{args:?}: {code:?}"
            );
            rest = after;
        }
        plain.push_str(rest);
        assert!(!plain.contains(is_bad), "{args:?}: {plain:?}");
    }
    let shown = stage.piped(&["list"]).printed();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    assert!(
        shown.contains(r"\u{1b}[2J") && shown.contains(r"\u{202e}gnp.exe"),
        "{shown}"
    );
    // JSON on a terminal means the same, and acts on nothing
    for args in [
        &["show", "evil", "--json"][..],
        &["call", "executions/get", r#"{"executionId":"evil"}"#],
        &["list", "--json"],
        &["search", "owned", "--json"],
        &["export", "-s", "failed", "--format", "json"],
        &["export"],
    ] {
        let mut command = stage.runlog(args);
        let shown = on_terminal(&mut command, 80, "").printed();
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!shown.contains(is_bad), "{args:?}: {shown:?}");
    }
    let (shown, piped) = {
        let args = ["show", "evil", "--json=status"];
        let shown = on_terminal(&mut stage.runlog(&args), 80, "").printed();
        (shown, stage.piped(&args).printed())
    };
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(read(&shown), read(&piped));
    // a program gets the record itself
    let json = stage.piped(&["show", "other", "--json"]).printed();
    assert!(json.contains(r#""error":"x\ud800""#), "{json}");
}

/// They come with whatever somebody has checked out.
#[test]
fn no_more_do_names_of_folders() {
    let stage = Stage::over(Root::empty());
    let is_bad = |c: char| c.is_control() && c != '\n';
    let repo = stage.root.beside("repo");
    let folder = |name: &str| repo.join(name).join("projects/p/executions");
    std::fs::create_dir_all(repo.join(".git")).unwrap();
    std::fs::create_dir_all(folder("a\u{1b}]0;owned\u{7}")).unwrap();
    std::fs::create_dir_all(folder("b c")).unwrap();
    let asked = |args: &[&str], here: &str| {
        let mut command = stage.runlog(args);
        done(command.current_dir(repo.join(here)))
    };
    for args in [&["list"][..], &["root"], &["serve"]] {
        let said = asked(args, "");
        assert_eq!(said.status, 2, "{args:?}");
        assert!(!said.err.contains(is_bad), "{args:?}: {:?}", said.err);
        // each can be typed as it stands
        let lines = said
            .err
            .lines()
            .filter(|line| line.starts_with("  --projects "));
        let runs = lines.map(|line| stage.shell(&format!("runlog list {}", line.trim())));
        assert_eq!(
            runs.filter(|run| run.status == 0).count(),
            2,
            "{}",
            said.err
        );
    }
    let here = "a\u{1b}]0;owned\u{7}/empty";
    std::fs::create_dir_all(repo.join(here).join(".git")).unwrap();
    for args in [&["list"][..], &["root"], &["serve"]] {
        let said = asked(args, here);
        assert!(said.err.contains("owned"), "{args:?}: {said:?}");
        assert!(!said.err.contains(is_bad), "{args:?}: {:?}", said.err);
    }
    // also what is no text, and what JSON need not escape
    let odd = repo.join(OsStr::from_bytes(b"odd \xff\xc2\x9b"));
    std::fs::create_dir_all(odd.join(".git")).unwrap();
    let mut command = stage.runlog(&["root", "--json"]);
    let shown = on_terminal(command.current_dir(odd), 80, "").printed();
    assert!(!shown.contains(is_bad), "{shown:?}");
    let told: serde_json::Value = serde_json::from_str(&shown).unwrap();
    let root = told["root"].as_str().unwrap();
    assert!(root.ends_with("odd \u{fffd}\u{9b}/projects"), "{root:?}");
}
