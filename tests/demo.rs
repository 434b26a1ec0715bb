//! `runlog demo`, the first minute with the product, and the commands that print.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use runlog::api::samples;
use support::{Root, record, runlog};

fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

/// Every file below a folder, with its time and text.
fn files(folder: &Path) -> BTreeMap<PathBuf, (SystemTime, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let time = entry.metadata().unwrap().modified().unwrap();
            found.insert(path.clone(), (time, std::fs::read(path).unwrap()));
        }
    }
    found
}

#[test]
fn the_demo_shows_a_list_a_record_numbers_and_a_change_arriving() {
    let temporary = tempfile::tempdir().unwrap();
    let text = said(
        runlog()
            .arg("demo")
            .env("TMPDIR", temporary.path())
            .env("COLUMNS", "200"),
    );
    for shown in [
        "→ initialize",
        "website                   3 runs, 1 failed, 1 running, $0.0433",
        "→ executions/list {\"limit\":5}",
        "failed     2025-10-15T05:02:46.569Z $0        Summarise the open pull requests",
        "4 of 4 runs, at clock c:",
        &format!(
            "→ executions/get {{\"executionId\":\"{}\"",
            samples::FAILED_ID
        ),
        "error: Workflow validation failed: Workflow must have at least one node",
        "4 runs: 2 completed, 1 failed, 1 running; $0.0443 for 6570 tokens",
        "nothing has changed since the list",
        &format!("⇐ executions/changed saved {}", samples::NEW_ID),
        "µs after the rename.",
        "\nNext:\n",
    ] {
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "no colours without a terminal");
    let next: Vec<&str> = text.split("Next:\n").nth(1).unwrap().lines().collect();
    assert_eq!(next.len(), 3, "{next:?}");
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn the_demo_reads_the_readers_own_files_and_changes_nothing() {
    let root = Root::empty();
    for number in 0..7 {
        let id = format!("own-{number}");
        root.engine("mine", &id, &record("mine", &id, "completed"));
    }
    std::fs::write(root.file("mine", "broken"), "{").unwrap();
    std::fs::write(root.file("mine", "x.json.tmp"), "the engine's").unwrap();
    let before = files(&root.path());
    let text = said(runlog().args(["demo", "--projects"]).arg(root.path()));
    assert_eq!(files(&root.path()), before);
    assert!(text.contains("5 of 7 runs"), "{text}");
    assert!(text.contains("7 runs: 7 completed"), "{text}");
    assert!(!text.contains("the rename"), "{text}");
    for command in text.split("Next:\n").nth(1).unwrap().lines() {
        assert!(!command.contains("DIR"), "{command}");
    }

    let missing = root.beside("none");
    let output = runlog()
        .args(["demo", "--projects"])
        .arg(&missing)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.contains("is not a folder"), "{errors}");
}

/// What was laid out once is tried on; a second time it is as it was.
#[test]
fn the_samples_that_were_kept_stay_as_they_are_and_can_be_looked_at() {
    let temporary = tempfile::tempdir().unwrap();
    let keep = || {
        let mut command = runlog();
        command
            .args(["demo", "--keep", "it's mine"])
            .current_dir(temporary.path())
            .env("XDG_CACHE_HOME", temporary.path().join("cache"));
        command
    };
    said(&mut keep());
    let root = temporary.path().join("it's mine/projects");
    std::fs::remove_file(root.join(format!("website/executions/{}.json", samples::FAILED_ID)))
        .unwrap();
    let before = files(&root);
    let again = keep().output().unwrap();
    assert_eq!(again.status.code(), Some(1));
    assert_eq!(files(&root), before);
    let errors = String::from_utf8(again.stderr).unwrap();
    let (what, command) = errors.trim_end().split_once("\n  ").unwrap();
    assert_eq!(
        what,
        "runlog: it's mine/projects is there already, and stays as it is; name another folder, or \
         look at it by"
    );
    let text = said(
        Command::new("sh")
            .args(["-c", command])
            .current_dir(temporary.path()),
    );
    assert!(text.contains("4 of 4 runs"), "{text}");
}

/// Whatever the folder is called.
#[test]
fn the_demo_reads_a_folder_that_is_called_as_a_flag_is() {
    let temporary = tempfile::tempdir().unwrap();
    samples::lay_out(&temporary.path().join("-x")).unwrap();
    let text = said(
        runlog()
            .args(["demo", "--projects=-x"])
            .current_dir(temporary.path())
            .env("XDG_CACHE_HOME", temporary.path().join("cache")),
    );
    assert!(text.contains("4 of 4 runs"), "{text}");
    assert!(text.contains(" socket --projects=-x\n"), "{text}");
}

/// However odd a record is, and wherever it lies.
#[test]
fn the_demo_shows_odd_records_as_they_can_be_shown_and_commands_that_can_be_typed() {
    let root = Root::empty();
    let odd = r#"{"status":"failed","name":"evil\u202etxt","output":"x \ud800 y","more":1e400}"#;
    // it is no value to be read and written anew
    let file = root.file("p", "odd");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(file, odd).unwrap();
    let folder = root.beside(&format!("it's a {}", "long ".repeat(20)));
    std::fs::rename(root.path(), &folder).unwrap();
    let text = said(runlog().args(["demo", "--projects"]).arg(&folder));
    for shown in [r"evil\u{202e}txt", "output: x \u{fffd} y"] {
        assert!(text.contains(shown), "{shown} is not in\n{text}");
    }
    assert!(!text.contains('\u{202e}'));
    let next: Vec<&str> = text.split("Next:\n").nth(1).unwrap().lines().collect();
    let typed = said(Command::new("sh").args(["-c", next[0]]));
    let asked = said(runlog().args(["socket", "--projects"]).arg(&folder));
    assert_eq!(typed, asked);
}

#[test]
fn the_reference_and_the_types_name_every_method() {
    let reference = said(runlog().arg("reference"));
    let types = said(runlog().arg("types"));
    for entry in runlog::api::table::table() {
        let name = entry.name;
        assert!(reference.contains(&format!("### `{name}`")), "{name}");
        assert!(
            types.contains(&format!("'{name}'")) || types.contains(&format!("\"{name}\"")),
            "{name}"
        );
    }
    for kind in runlog::api::ErrorKind::ALL {
        assert!(reference.contains(kind.word()), "{}", kind.word());
    }
}

/// A reader that goes away is no error worth a trace.
#[test]
fn a_pipe_that_closes_ends_printing_quietly() {
    let output = Command::new("sh")
        .args(["-c", "\"$0\" reference | head -n 1"])
        .arg(runlog().get_program())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("# "));
}
