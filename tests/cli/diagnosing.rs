//! `doctor`: each fault is put in, found, mended by the command that is printed, and found no more.

use std::fs::{self, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::json;

use crate::stage::{Done, Stage, done};
use crate::support::{Root, record};

/// The lock file beside a socket.
fn lock_of(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}

fn healthy(stage: &Stage) {
    let done = stage.piped(&["doctor"]);
    assert_eq!(
        (done.status, done.out.as_str()),
        (0, "✓ nothing is wrong\n"),
        "{}",
        done.err
    );
}

/// The commands that are printed below findings.
fn mends(done: &Done) -> Vec<String> {
    let lines = done.out.lines().filter_map(|line| line.strip_prefix("  "));
    lines.map(str::to_owned).collect()
}

/// Finds one thing that `says` so, runs the command, and finds nothing.
fn mended(stage: &Stage, says: &str) {
    let found = stage.piped(&["doctor"]);
    assert_eq!(found.status, 1, "{says}: {}{}", found.out, found.err);
    assert!(found.out.contains(says), "{says}: {}", found.out);
    let mends = mends(&found);
    assert_eq!(mends.len(), 1, "{says}: {}", found.out);
    let run = stage.shell(&mends[0]);
    assert_eq!(run.status, 0, "{}: {}", mends[0], run.err);
    healthy(stage);
}

#[test]
fn files_that_cannot_be_read_or_do_not_fit() {
    let stage = Stage::samples();
    healthy(&stage);
    let file = |name: &str| stage.root.path().join("website/executions").join(name);
    // what was moved away before stays there
    fs::write(file("broken.json.aside"), "before").unwrap();
    let long = format!("{}.json", "é".repeat(125));
    let faults: [(&str, &str, &str); 10] = [
        (&long, "{", &long),
        (&long, r#"{ "id": "short", "status": "completed" }"#, &long),
        (
            "steps.json",
            r#"{ "id": "steps", "status": "completed", "costUSD": "much", "steps": "foo" }"#,
            "steps.json",
        ),
        ("broken.json", "{ \"id\": ", "broken.json"),
        ("list.json", "[]", "list.json"),
        ("mv me.json", "{", "mv me.json"),
        ("it's.json", "{", "it's.json"),
        ("it's\u{1b}[1m\\é\n.json", "{", "the name is not an id"),
        (
            "other.json",
            r#"{ "id": "another", "status": "completed", "costUSD": 1.50 }"#,
            "other.json",
        ),
        (
            "cost.json",
            r#"{ "id": "cost", "status": "completed", "costUSD": "much" }"#,
            "cost.json",
        ),
    ];
    for (name, text, says) in faults {
        fs::write(file(name), text).unwrap();
        mended(&stage, says);
    }
    let kept = fs::read_to_string(file("broken.json.aside")).unwrap();
    assert_eq!(kept, "before");
    let no_text = std::ffi::OsStr::from_bytes(b"no\xfftext.json");
    fs::write(file("").join(no_text), "{").unwrap();
    mended(&stage, "no\u{fffd}text.json");
    // what was a run is one still
    let other = fs::read_to_string(file("other.json")).unwrap();
    assert!(other.contains("\"id\": \"other\""), "{other}");
    let moved = json!({ "id": "moved", "projectId": "elsewhere", "status": "completed" });
    fs::write(file("moved.json"), moved.to_string()).unwrap();
    mended(&stage, "moved.json");
    std::os::unix::fs::symlink("/etc/passwd", file("link.json")).unwrap();
    mended(&stage, "link.json");
    fs::write(file("old.json.tmp"), "{").unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(8000);
    fs::File::options()
        .write(true)
        .open(file("old.json.tmp"))
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    mended(&stage, "old.json.tmp");
    // it may be all that is left of a record
    assert!(file("old.json.tmp.aside").exists());
    // several at once, each with its own command
    for name in ["one.json", "two.json"] {
        fs::write(file(name), "{").unwrap();
    }
    let found = stage.piped(&["doctor"]);
    for mend in mends(&found) {
        assert_eq!(stage.shell(&mend).status, 0, "{mend}");
    }
    healthy(&stage);
    assert_eq!(stage.piped(&["list"]).printed().lines().count(), 4 + 5);
}

/// What is no date goes, and nothing else.
#[test]
fn a_date_that_is_none_is_named_and_taken_out() {
    let stage = Stage::samples();
    let file = stage.root.path().join("website/executions/dated.json");
    let good = "2025-10-15 10:00:00Z";
    for (started, completed, says, left) in [
        (
            json!("2025-02-30T10:00:00Z"),
            json!(good),
            "`startedAt` is",
            [false, true],
        ),
        (
            json!(good),
            json!("2025-10-15T10:00:00+25:00"),
            "`completedAt` is",
            [true, false],
        ),
        (
            json!(good),
            json!("never"),
            "`completedAt` is",
            [true, false],
        ),
        (json!(5), json!(null), "`startedAt` is", [false, true]),
        (
            json!({}),
            json!("2025-10-15T10:00:00"),
            "each of `startedAt` and `completedAt` is",
            [false, false],
        ),
    ] {
        let run = json!({
            "id": "dated", "startedAt": started, "completedAt": completed, "costUSD": 0.5
        });
        fs::write(&file, run.to_string()).unwrap();
        mended(&stage, says);
        let mended: serde_json::Value =
            serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        for (member, left) in ["startedAt", "completedAt"].iter().zip(left) {
            let was = if left { &run[member] } else { &json!(null) };
            assert_eq!(&mended[member], was, "{member} of {run}");
        }
        assert_eq!(mended["costUSD"], 0.5);
    }
}

#[test]
fn a_record_that_is_changed_keeps_its_mode_and_the_rest_of_what_it_says() {
    let stage = Stage::samples();
    let file = stage.root.path().join("website/executions/cost.json");
    for mode in [0o600, 0o640, 0o644] {
        fs::write(
            &file,
            r#"{ "id": "cost", "costUSD": 1e400, "output": "kept" }"#,
        )
        .unwrap();
        fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        // as wide as can be
        let found = stage.piped(&["doctor"]);
        let mend = mends(&found).remove(0);
        let run = stage.shell(&format!("umask 0; {mend}"));
        assert_eq!(run.status, 0, "{mend}: {}", run.err);
        healthy(&stage);
        let found = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(found & 0o777, mode, "{mend}");
        let kept = fs::read_to_string(&file).unwrap();
        assert!(kept.contains("kept") && !kept.contains("cost\":"), "{kept}");
    }
    // what some programs refuse, or would say in another way, is left as it is
    for rest in [
        r#""output": "\ud800""#,
        r#""output": "\udc00""#,
        r#""output": { "count": 123456789012345678901 }"#,
        r#""userId": 12345678901234567"#,
        r#""rowId": 9007199254740993"#,
        r#""output": [1e400]"#,
    ] {
        let text = format!(r#"{{ "id": "cost", "costUSD": "much", {rest} }}"#);
        fs::write(&file, &text).unwrap();
        mended(&stage, "cost.json");
        let kept = fs::read_to_string(&file).unwrap();
        assert_eq!(kept, text.replace("\"much\"", "null"));
    }
}

/// A run that is listed is listed still, with all that it says.
#[test]
fn a_record_under_another_name_is_given_its_own_and_nothing_else() {
    let stage = Stage::samples();
    let file = stage.root.path().join("website/executions/bb.json");
    let long = format!("it's\\n {}", "é".repeat(300));
    for (id, project, rest) in [
        ("other", "website", r#""big": 12345678901234567890"#),
        ("other", "website", r#""big": 1E400, "lone": "\ud800""#),
        (&long, "website", r#""big": 1"#),
        ("bb", "$(touch it) `q` 'q' \\\\!", "\"lines\": [\n\n]"),
        // the last of them counts
        ("bb\", \"id\": \"cc", "website", r#""a": 1"#),
    ] {
        let text = format!(
            "{{ \"costUSD\": 1, \"projectId\": \"{project}\", \"id\": \"{id}\", {rest} }}\n"
        );
        fs::write(&file, &text).unwrap();
        mended(&stage, "bb.json");
        let last = id.rsplit('"').next().unwrap();
        let meant = text.replace(&format!("\"{last}\", {rest}"), &format!("\"bb\", {rest}"));
        let meant = meant.replace(project, "website");
        assert_eq!(fs::read_to_string(&file).unwrap(), meant);
        assert!(stage.piped(&["list"]).printed().contains("bb"));
    }
    // whatever became of it since it was looked at
    fs::write(&file, r#"{ "id": "other" }"#).unwrap();
    let mend = mends(&stage.piped(&["doctor"])).remove(0);
    let text = r#"{ "it": "moved", "id": "other" }"#;
    fs::write(&file, text).unwrap();
    assert_eq!(stage.shell(&mend).status, 1);
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
    assert!(!file.with_extension("json.new").exists());
}

#[test]
fn of_very_many_alike_some_are_told_of_at_a_time() {
    let stage = Stage::samples();
    let folder = stage.root.path().join("website/executions");
    for number in 0..45 {
        fs::write(folder.join(format!("cut-{number}.json")), "{").unwrap();
    }
    fs::write(folder.join("list.json"), "[]").unwrap();
    for (told, more) in [
        (21, Some("… and 25 more like it")),
        (20, Some("… and 5 more like it")),
        (5, None),
    ] {
        let found = stage.piped(&["doctor"]);
        let mends = mends(&found);
        assert_eq!(mends.len(), told, "{}", found.out);
        let said = found.out.lines().filter(|line| line.starts_with('…'));
        let said: Vec<&str> = said.collect();
        assert_eq!(said.len(), usize::from(more.is_some()), "{said:?}");
        assert!(
            more.is_none_or(|more| said[0].starts_with(more)),
            "{said:?}"
        );
        for mend in mends {
            assert_eq!(stage.shell(&mend).status, 0, "{mend}");
        }
    }
    healthy(&stage);
}

#[test]
fn folders_that_cannot_be_used() {
    let stage = Stage::samples();
    let closed = |path: &Path, mode: u32, says: &str| {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        mended(&stage, says);
    };
    closed(&stage.root.path(), 0o500, "cannot be read and written");
    closed(
        &stage.root.path().join("website"),
        0o100,
        "website cannot be",
    );
    closed(
        &stage.root.path().join("website/executions"),
        0o500,
        "executions cannot be",
    );
    let cache = stage.root.beside("cache");
    closed(&cache.join("runlog"), 0o777, "has the wrong mode");
    closed(&cache, 0o500, "has the wrong mode");
    let sockets = stage.root.beside("run/runlog");
    closed(&sockets, 0o755, "is open to other users");
    for mode in [0o000, 0o500, 0o600] {
        closed(&sockets, mode, "is closed to its owner");
    }
    fs::remove_dir_all(cache.join("runlog")).unwrap();
    fs::write(cache.join("runlog"), "").unwrap();
    mended(&stage, "is no folder of yours");
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "").unwrap();
    mended(&stage, "is no folder of yours");
}

/// What holds the trash and what is noted on runs.
#[test]
fn a_folder_of_ours_that_is_none_or_cannot_be_used() {
    let stage = Stage::samples();
    let own = stage.root.path().join("website/.runlog");
    let trash = own.join("trash");
    let elsewhere = stage.root.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let link = |path: &Path| std::os::unix::fs::symlink(&elsewhere, path).unwrap();
    let file = |path: &Path| fs::write(path, "").unwrap();
    for (put, path, says) in [
        (&link as &dyn Fn(&Path), &own, "website/.runlog: a link"),
        (&file, &own, "website/.runlog: a link"),
        (&link, &trash, "website/.runlog/trash: a link"),
        (&file, &trash, "website/.runlog/trash: a link"),
    ] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = fs::remove_dir(path);
        put(path);
        mended(&stage, says);
        // and the daemon's own account is the same
        assert_eq!(stage.piped(&["problems"]).status, 0);
        let aside = format!("{}.aside", path.display());
        fs::remove_file(aside).unwrap();
    }
    fs::create_dir_all(&trash).unwrap();
    stage.piped(&["delete", "-s", "failed", "--yes"]).printed();
    let batch = fs::read_dir(&trash).unwrap().next().unwrap().unwrap();
    let batch = batch.path();
    let of_batch = format!("{} cannot be", batch.display());
    for (path, says) in [
        (&own, "website/.runlog cannot be"),
        (&trash, "website/.runlog/trash cannot be"),
        (&batch, &of_batch),
    ] {
        for mode in [0o500, 0o300] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
            mended(&stage, says);
        }
    }
}

/// Mounted so that nothing can be noted or moved there, as a whole or only where it lies.
#[test]
fn a_folder_of_ours_that_is_mounted_read_only() {
    let stage = Stage::samples();
    let own = stage.root.path().join("website/.runlog");
    fs::create_dir_all(own.join("trash")).unwrap();
    let own = own.display();
    for mount in [
        format!("mount -t tmpfs -o ro,mode=700 none '{own}'"),
        format!("mount --bind '{own}' '{own}' && mount -o remount,bind,ro '{own}'"),
    ] {
        let script = format!(
            "{{ {mount}; }} || exit 8\n\
            runlog doctor > found && exit 9\n\
            cat found\n\
            sh -c \"$(sed -n 's/^  //p' found)\"\n\
            runlog doctor"
        );
        let mut command = stage.command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
        let done = done(&mut command);
        let said = format!("{}{}", done.out, done.err);
        let says = "is on a file system that is mounted read-only";
        assert_eq!(said.matches(says).count(), 1, "{said}");
        assert!(done.out.ends_with("✓ nothing is wrong\n"), "{said}");
        assert_eq!(done.status, 0);
    }
}

#[test]
fn a_root_that_is_not_there_or_not_clear() {
    let stage = Stage::samples();
    fs::rename(stage.root.path(), stage.root.beside("away")).unwrap();
    mended(&stage, "there is no root");
    fs::remove_dir(stage.root.path()).unwrap();
    fs::write(stage.root.beside("projects"), "").unwrap();
    mended(&stage, "is no folder");
    fs::remove_dir(stage.root.path()).unwrap();
    for name in ["a", "b"] {
        let folder = stage.root.beside(&format!("{name}/projects/p/executions"));
        fs::create_dir_all(folder).unwrap();
    }
    mended(&stage, "several folders could be served");
    fs::remove_file(stage.root.beside("runlog.toml")).unwrap();
    // also where they are beside whoever asks
    let here = stage.root.beside("docs");
    fs::create_dir(stage.root.beside(".git")).unwrap();
    fs::create_dir(&here).unwrap();
    fs::create_dir(stage.root.beside("apps")).unwrap();
    for name in ["a", "b"] {
        fs::rename(
            stage.root.beside(name),
            stage.root.beside("apps").join(name),
        )
        .unwrap();
    }
    let doctor = || done(stage.runlog(&["doctor"]).current_dir(&here));
    let mend = mends(&doctor()).remove(0);
    assert_eq!(stage.shell(&mend).status, 0, "{mend}");
    assert_eq!(doctor().out, "✓ nothing is wrong\n", "{mend}");
    fs::remove_file(stage.root.beside("runlog.toml")).unwrap();
    // beside what its owner has in it, with an end or without
    let config = stage.root.beside("runlog.toml");
    for text in [
        "[prune]\nkeepLast = 1\nrules = [{ maxAge = \"90d\" }]\n",
        "# mine",
    ] {
        fs::write(&config, text).unwrap();
        mended(&stage, "several folders could be served");
        let mended = fs::read_to_string(&config).unwrap();
        assert!(
            mended.starts_with("projects = ") && mended.ends_with(text),
            "{mended}"
        );
    }
}

/// What was named is left as it is, and another root served.
#[test]
fn a_root_that_was_named_by_mistake() {
    let stage = Stage::samples();
    let run = stage.root.path().join("website/executions/aa.json");
    fs::write(&run, record("website", "aa", "completed").to_string()).unwrap();
    std::os::unix::fs::symlink("round", stage.root.beside("round")).unwrap();
    let before = stage.piped(&["list"]).printed();
    let below = run.join("projects");
    for named in [run.as_path(), &below, Path::new("round")] {
        let named = named.to_str().unwrap();
        let list = stage.piped(&["list", "--projects", named]);
        assert_eq!(list.err.lines().count(), 1, "{}", list.err);
        let found = stage.piped(&["doctor", "--projects", named]);
        assert!(found.out.contains(" is no folder\n"), "{}", found.out);
        assert_eq!(mends(&found), ["runlog root"], "{}", found.out);
        let script = format!(
            "export RUNLOG_PROJECTS={named}; runlog doctor > found && exit 9; \
             eval \"$(sed -n 's/^  //p' found)\"; runlog doctor"
        );
        let done = stage.shell(&script).printed();
        assert_eq!(done, "✓ nothing is wrong\n");
    }
    let config = stage.root.beside("runlog.toml");
    let others = "\n[prune]\nkeepLast = 1\nrules = [{ maxAge = \"90d\" }]\n";
    for (named, is_kept) in [
        ("projects = \"runlog.toml\"", true),
        (
            "# it\n  projects=\"projects/website/executions/aa.json\" # here",
            true,
        ),
        ("projects = \"\"\"\nround\"\"\"", false),
    ] {
        fs::write(&config, format!("{named}{others}")).unwrap();
        mended(&stage, " is no folder");
        assert_eq!(config.exists(), is_kept);
        if is_kept {
            let kept = fs::read_to_string(&config).unwrap();
            assert!(kept.ends_with(others), "{kept}");
        }
    }
    assert_eq!(stage.piped(&["list"]).printed(), before);
}

/// Its path is told whole, whatever is in it.
#[test]
fn a_config_in_a_folder_that_is_called_as_messages_are_written() {
    let stage = Stage::samples();
    let folder = stage.root.beside("a: b");
    fs::create_dir(&folder).unwrap();
    fs::create_dir(stage.root.beside("a")).unwrap();
    fs::write(folder.join("runlog.toml"), "projects = ").unwrap();
    let found = done(stage.runlog(&["doctor"]).current_dir(&folder));
    let mend = mends(&found).remove(0);
    assert_eq!(stage.shell(&mend).status, 0, "{mend}");
    assert!(folder.join("runlog.toml.aside").exists(), "{mend}");
    assert!(stage.root.beside("a").is_dir());
}

#[test]
fn a_config_and_a_policy_that_cannot_be_used() {
    let stage = Stage::samples();
    let config = stage.root.beside("runlog.toml");
    for (text, says) in [
        ("projects = ", "runlog.toml"),
        (
            "projects = \"/elsewhere\"",
            "`projects` must name a folder below",
        ),
        ("project = \"projects\"", "unknown field `project`"),
        ("[prune]\nkeepLst = 3", "line 2: unknown field `keepLst`"),
        (
            "[prune]\n\nrules = [{ maxCount = \"2\" }]",
            "line 3: expected a whole number of 0 or more",
        ),
        (
            "[prune]\nrules = [{ maxCount = -1 }]",
            "line 2: expected a whole number of 0 or more",
        ),
        ("prune = true", "line 1: expected one table, [prune]"),
        (
            "[[prune]]\nmaxAge = \"90d\"",
            "line 1: expected one table, [prune]",
        ),
        (
            "[prune]\ntrash = [\"30d\"]",
            "line 2: trash: expected a table, as in trash = { maxAge = \"30d\" }",
        ),
        ("# mine\n[prune]", "expected `rules` or `trash`"),
        (
            "[prune]\nrules = [{}]",
            "a rule needs `maxAge`, `maxCount` or `maxBytes`",
        ),
        (
            "[prune]\nrules = [{ maxAge = \"soon\" }]",
            "expected a number and a unit",
        ),
        (
            "[prune]\nrules = [{ projectId = \"docs\", maxCount = 0 }]",
            "would leave no run that has ended",
        ),
    ] {
        fs::write(&config, text).unwrap();
        mended(&stage, says);
        fs::remove_file(stage.root.beside("runlog.toml.aside")).unwrap();
    }
    fs::write(
        &config,
        "projects = \"projects\"\n[prune]\nkeepLast = 1\nrules = [{ maxAge = \"90d\" }]\n",
    )
    .unwrap();
    healthy(&stage);
}

/// What says which folder is served goes on saying it.
#[test]
fn a_policy_that_is_wrong_beside_the_name_of_the_root() {
    let stage = Stage::samples();
    let named = "it's\n\\ \u{e9} \"runs\"";
    std::fs::rename(stage.root.path(), stage.root.beside(named)).unwrap();
    // which would be served else
    fs::create_dir_all(stage.root.path().join("other/executions")).unwrap();
    let config = stage.root.beside("runlog.toml");
    for (rest, says) in [
        (
            "rules = [{ projectId = \"docs\", maxCount = 0 }]",
            "would leave no run that has ended",
        ),
        ("keepLst = 3", "line 3: unknown field `keepLst`"),
        (
            "rules = [{ status = \"\\u0063omplted\", maxAge = \"90d\" }]",
            "no run has the status `complted`",
        ),
    ] {
        let text = format!("projects = {}\n[prune]\n{rest}\n", json!(named));
        fs::write(&config, &text).unwrap();
        let before = stage.piped(&["list"]).printed();
        assert!(before.contains("website"), "{before}");
        mended(&stage, says);
        assert_eq!(stage.piped(&["list"]).printed(), before);
        let aside = stage.root.beside("runlog.toml.aside");
        assert_eq!(fs::read_to_string(&aside).unwrap(), text);
        fs::remove_file(aside).unwrap();
    }
}

#[test]
fn a_rule_for_a_status_that_is_misspelt() {
    let stage = Stage::samples();
    let config = stage.root.beside("runlog.toml");
    let text = "[prune]\nrules = [{ status = [\"complted\", 'own'], maxAge = \"90d\" }]\n";
    fs::write(&config, text).unwrap();
    mended(&stage, "no run has the status `complted`");
    let after = fs::read_to_string(&config).unwrap();
    assert_eq!(after, text.replace("complted", "completed"));
    // what is no status of a rule is left as it is
    let text = "[prune]\nrules = [{ projectId = \"é\", status = \"complete\", maxAge = \"90d\" }, \
        { projectId = \"complete\", status = ['complete', \"complete\"], maxAge = \"90d\" }]\n";
    fs::write(&config, text).unwrap();
    mended(&stage, "no run has the status `complete`");
    let after = fs::read_to_string(&config).unwrap();
    let meant = text.replace("complete", "completed");
    let meant = meant.replace("projectId = \"completed", "projectId = \"complete");
    assert_eq!(after, meant);
    let text = "[prune]\nrules = [{ status = [\"complted\", 'own'], maxAge = \"90d\" }]\n";
    // one that is in use is meant as it is
    let run = record("website", "odd", "complted");
    stage.root.engine("website", "odd", &run);
    fs::write(&config, text).unwrap();
    healthy(&stage);
}

/// The policy of a healthy file is not asked for where one before it is broken, nor blamed.
#[test]
fn a_config_is_told_of_once_and_one_that_is_not_used_is_told_of() {
    let stage = Stage::samples();
    let user = stage.root.beside(".config/runlog/runlog.toml");
    fs::create_dir_all(user.parent().unwrap()).unwrap();
    let text = "[prune]\nkeepLast = 1\nrules = [{ maxAge = \"90d\" }]\n";
    fs::write(&user, text).unwrap();
    healthy(&stage);
    let config = stage.root.beside("runlog.toml");
    fs::write(&config, "[prune]\nkeeplast = 1").unwrap();
    mended(&stage, "unknown field `keeplast`");
    fs::write(&config, b"# caf\xe9\n").unwrap();
    mended(&stage, "is no text in UTF-8");
    std::os::unix::fs::symlink("nowhere", &config).unwrap();
    mended(&stage, "runlog.toml: is no file");
    fs::create_dir(&config).unwrap();
    mended(&stage, "runlog.toml: is no file");
    assert_eq!(fs::read_to_string(&user).unwrap(), text);
}

/// What lies among the projects and is none: wherever it went there, it would be found again.
#[test]
fn an_entry_of_the_root_that_is_no_project() {
    let stage = Stage::samples();
    let root = stage.root.path();
    std::os::unix::fs::symlink("website", root.join("link")).unwrap();
    mended(&stage, "link: a link");
    for name in ["back\\slash", "two\nlines", "website\n", "docs\n\n"] {
        fs::create_dir_all(root.join(name).join("executions")).unwrap();
        mended(&stage, "the name is not an id");
        assert!(stage.root.beside(&format!("{name}.aside")).is_dir());
    }
    // whose names only begin so
    for healthy in ["website", "docs"] {
        assert!(root.join(healthy).is_dir(), "{healthy}");
    }
}

/// What the user's own file says to no effect: that alone is taken out of it.
#[test]
fn a_root_in_the_users_file_that_nothing_comes_of() {
    let stage = Stage::samples();
    let config = stage.root.beside(".config/runlog/runlog.toml");
    fs::create_dir_all(config.parent().unwrap()).unwrap();
    let root = stage.root.path();
    let root = root.display();
    let policy = "[prune]\nkeepLast = 1\nrules = [{ maxAge = \"90d\" }]\n";
    let every = "pruneEvery = \"1d\"\n";
    let good = format!("[[root]]\npath = \"{root}\"\n{every}");
    let text = |before: &str, path: &str, rest: &str| {
        format!("{before}[[root]]\n# mine\n{rest}path = \"{path}\"\n\n{good}")
    };
    let file = stage.root.beside("file");
    fs::write(&file, "").unwrap();
    for (text, says) in [
        (
            text(policy, "/not/there", every),
            "/not/there cannot be found: No such file or directory",
        ),
        (
            text(policy, "~/projects", every),
            "~/projects does not begin with /",
        ),
        (
            text(policy, file.to_str().unwrap(), every),
            "file is no folder",
        ),
        (text(policy, "/", ""), "/ has no pruneEvery"),
        (format!("{policy}{good}{good}"), "is named before"),
        // in one line it is left to its owner
        (
            format!("root = [{{ path = \"/not/there\" }}]\n{policy}"),
            "cannot be found",
        ),
    ] {
        fs::write(&config, &text).unwrap();
        mended(&stage, says);
        if text.contains("[[root]]") {
            let left = fs::read_to_string(&config).unwrap();
            let kept: String = text.lines().map(|line| format!("{line}\n")).collect();
            assert_eq!(left.replace("# ", ""), kept.replace("# ", ""));
            assert!(left.contains(&good), "{left}");
        }
    }
    // beside it, it is the same
    let text = format!("{policy}{good}");
    fs::write(&config, &text).unwrap();
    let folder = config.parent().unwrap();
    let found = done(
        stage
            .runlog(&["doctor", "--projects", &root.to_string()])
            .current_dir(folder),
    );
    assert_eq!(found.out, "✓ nothing is wrong\n", "{}", found.err);
    // a line that only looks as a header does
    let lines = "path = \"\"\"\n[x]\n/nope\"\"\"\n";
    fs::write(&config, format!("[[root]]\n{every}{lines}{policy}")).unwrap();
    mended(&stage, "does not begin with /");
    assert!(!config.exists());
    // no policy that could be checked
    fs::write(&config, &good).unwrap();
    mended(&stage, "there is no [prune] for");
    fs::write(&config, format!("{policy}{good}")).unwrap();
    healthy(&stage);
}

#[test]
fn a_socket_that_nobody_or_somebody_else_listens_on() {
    let stage = Stage::samples();
    let socket = stage.piped(&["socket"]).printed();
    let socket = Path::new(socket.trim_end());
    // a daemon that was killed
    let mut daemon = stage.daemon();
    healthy(&stage);
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    assert!(socket.exists());
    mended(&stage, "a daemon that is gone left its socket");
    // what somebody has put there is his
    fs::create_dir(socket).unwrap();
    mended(&stage, "where the socket would be, is none");
    fs::write(socket, "notes").unwrap();
    mended(&stage, "where the socket would be, is none");
    let kept = socket.with_extension("sock.aside-2");
    assert_eq!(fs::read_to_string(kept).unwrap(), "notes");
    let lock = lock_of(socket);
    // one that can be found no more
    {
        let daemon = stage.daemon();
        fs::remove_file(socket).unwrap();
        mended(&stage, "somebody has removed");
        assert!(socket.exists());
        // or is closed to whoever looks for it
        let close = |path: &Path| fs::set_permissions(path, Permissions::from_mode(0o000)).unwrap();
        close(socket);
        mended(&stage, "is closed to its owner");
        close(&lock);
        mended(&stage, "the socket's lock, is closed to its owner");
        // or whose place another took that is gone
        fs::remove_file(socket).unwrap();
        drop(UnixListener::bind(socket).unwrap());
        let pid = daemon.0.id();
        mended(&stage, &format!("process {pid}, cannot be reached"));
        assert_eq!(stage.piped(&["list", "-L", "1"]).status, 0);
        // nothing is said to be left by a daemon of which is not known whether it lives
        fs::remove_file(socket).unwrap();
        drop(UnixListener::bind(socket).unwrap());
        close(&lock);
        let found = stage.piped(&["doctor"]);
        assert!(!found.out.contains("gone"), "{}", found.out);
        fs::remove_file(socket).unwrap();
    }
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    mended(&stage, "is no lock file of yours");
    let _ = fs::remove_file(socket);
    // one of another version, and what is no daemon
    for (answer, says) in [
        (
            r#"{"jsonrpc":"2.0","id":1,"result":{"serverInfo":{"version":"0.0.1"}}}"#,
            "is runlog 0.0.1",
        ),
        ("hello", "does not answer"),
        // and goes on with that
        ("endless", "does not answer"),
    ] {
        let _ = fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        let script = "import socket,sys,os\n\
            s = socket.socket(fileno=0)\n\
            if sys.argv[2:]: s.listen()\n\
            while True:\n \
                c, _ = s.accept()\n \
                c.makefile('rb').readline()\n \
                end = b'' if sys.argv[1] == 'endless' else b'\\n'\n \
                try:\n  \
                    c.sendall(sys.argv[1].encode() + end)\n  \
                    while not end: c.sendall(b'endless')\n \
                except OSError: pass\n \
                c.close()\n";
        let begun = |args: &[&str]| {
            Command::new("python3")
                .args(["-c", script, answer])
                .args(args)
                .stdin(Stdio::from(std::os::fd::OwnedFd::from(
                    listener.try_clone().unwrap(),
                )))
                .spawn()
                .unwrap()
        };
        let told = || {
            let found = stage.piped(&["doctor"]);
            assert_eq!(found.status, 1, "{}{}", found.out, found.err);
            assert!(found.out.contains(says), "{}", found.out);
            mends(&found).remove(0)
        };
        // the one that its peers see is the one that made the socket, as service managers do
        let mut other = begun(&[]);
        let mend = told();
        let aside = format!("mv -n {0} {0}.aside", socket.display());
        assert!(mend.starts_with(&aside), "it is left alone: {mend}");
        let name = socket.file_stem().unwrap().to_str().unwrap();
        let unit = format!("runlog-{name}.service");
        let units = stage.root.beside(".config/systemd/user");
        fs::create_dir_all(&units).unwrap();
        fs::write(units.join(&unit), "").unwrap();
        assert_eq!(told(), format!("systemctl --user restart {unit}"));
        fs::remove_file(units.join(&unit)).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        // or a daemon
        let mut other = begun(&["serve", "--socket"]);
        drop(listener);
        let mend = loop {
            match told() {
                // it has not begun
                mend if mend.starts_with("mv ") => continue,
                mend => break mend,
            }
        };
        assert!(mend.starts_with("kill "), "{mend}");
        assert!(mend.ends_with(&format!(" {}", other.id())), "{mend}");
        assert_eq!(stage.shell(&mend).status, 0, "{mend}");
        other.wait().unwrap();
        mended(&stage, "a daemon that is gone left its socket");
    }
}

/// What keeps the text index from being opened.
#[test]
fn a_text_index_that_is_closed() {
    let stage = Stage::samples();
    let search = || stage.piped(&["search", "accents"]).printed();
    search();
    let homes = fs::read_dir(stage.root.beside("cache/runlog")).unwrap();
    let home = homes.map(|entry| entry.unwrap().path()).next().unwrap();
    for name in ["search", "search.lock"] {
        let path = home.join(name);
        for mode in [0o000, 0o500] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let says = format!("{name}, of the kept index, is closed to you");
            mended(&stage, &says);
        }
    }
    search();
}

/// What is above the root, which is to be told when it comes and goes.
#[test]
fn a_folder_above_the_root_that_cannot_be_read() {
    let stage = Stage::samples();
    let above = stage.root.beside("");
    fs::set_permissions(above, Permissions::from_mode(0o300)).unwrap();
    mended(&stage, "above the root, cannot be read");
}

/// What is refused by the system says what it was, in the system's words.
#[test]
fn a_folder_that_is_gone_or_cannot_be_made() {
    let stage = Stage::samples();
    let root = stage.root.path();
    let root = root.display();
    let none = "No such file or directory";
    for (line, says) in [
        (
            "runlog list",
            format!("the current folder cannot be found: {none}"),
        ),
        (
            &*format!("runlog export x.jsonl --projects '{root}'"),
            format!("the current folder cannot be found: {none}"),
        ),
        ("runlog demo --keep x", format!("x cannot be made: {none}")),
        (
            "runlog man --out /proc/x",
            format!("/proc/x cannot be made: {none}"),
        ),
        (
            "runlog root --projects /not/there",
            "it is not there yet".to_owned(),
        ),
    ] {
        let script = format!("mkdir gone && cd gone && rmdir ../gone && {line}");
        let told = stage.shell(&script).err;
        assert_eq!(told, format!("runlog: {says}\n"), "{line}");
    }
}

/// The limits of a namespace, as a container has them.
#[test]
fn limits_of_the_system_that_are_too_low() {
    let stage = Stage::over(Root::empty());
    for number in 0..30 {
        let project = format!("p{number}");
        stage
            .root
            .engine(&project, "a", &record(&project, "a", "completed"));
    }
    let script = "echo 10 > /proc/sys/user/max_inotify_watches\n\
        runlog doctor > found && exit 9\n\
        cat found\n\
        sh -c \"$(sed -n 's/^  //p' found)\"\n\
        runlog doctor";
    let mut command = stage.command("unshare");
    command.args([
        "--user",
        "--map-root-user",
        "--fork",
        "--kill-child",
        "--",
        "sh",
        "-c",
        script,
    ]);
    let done = done(&mut command);
    assert!(
        done.out.contains("max_user_watches"),
        "{}{}",
        done.out,
        done.err
    );
    assert!(
        done.out.ends_with("✓ nothing is wrong\n"),
        "{}{}",
        done.out,
        done.err
    );
    assert_eq!(done.status, 0);
}

/// What is wrong with the environment is mended in the shell that has it.
#[test]
fn an_environment_that_leaves_no_place() {
    let stage = Stage::samples();
    let deep = stage.root.beside(&"d".repeat(120));
    fs::create_dir_all(&deep).unwrap();
    for (set, says) in [
        (
            "unset XDG_CACHE_HOME HOME",
            "there is no folder for the index",
        ),
        // what is the system's is left alone: a command that moves or changes it is not run either
        ("export XDG_CACHE_HOME=/dev/null", "is no folder of yours"),
        ("export XDG_CACHE_HOME=/proc", "where the index is kept"),
        (
            &*format!("export XDG_RUNTIME_DIR={}", deep.display()),
            "the system allows",
        ),
    ] {
        let script = format!(
            "{set}; runlog doctor > found && exit 9; cat found; \
             grep -q -e aside -e chmod found && exit 8; \
             eval \"$(sed -n 's/^  //p' found)\"; runlog doctor"
        );
        let done = stage.shell(&script);
        assert!(done.out.contains(says), "{}{}", done.out, done.err);
        assert_ne!(done.status, 8, "{}", done.out);
        assert!(
            done.out.ends_with("✓ nothing is wrong\n"),
            "{}{}",
            done.out,
            done.err
        );
        assert_eq!(done.status, 0);
    }
}

/// A user who is not root, and who has the samples, the program, and for `sudo` root's own shell.
struct Somebody {
    stage: Stage,
    binary: PathBuf,
}

const NOBODY: u32 = 65534;

impl Somebody {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "only root can give a folder to somebody else; run this as root, as CI does"
        );
        let stage = Stage::samples();
        let binary = stage.root.beside("bin/runlog");
        let sudo = stage.root.beside("bin/sudo");
        fs::create_dir(stage.root.beside("bin")).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_runlog"), &binary).unwrap();
        fs::write(&sudo, "#!/bin/sh\nexec \"$@\"\n").unwrap();
        fs::set_permissions(&sudo, Permissions::from_mode(0o755)).unwrap();
        let somebody = Self { stage, binary };
        somebody.gives(&somebody.stage.root.beside(""), NOBODY);
        somebody
    }

    /// Gives all that is there to a user.
    fn gives(&self, path: &Path, uid: u32) {
        let line = format!("chown -R {uid}:{uid} '{}'", path.display());
        assert_eq!(self.stage.shell(&line).status, 0);
    }

    fn runlog(&self, args: &[&str]) -> Done {
        let mut command = self.stage.command(self.binary.to_str().unwrap());
        done(command.args(args).uid(NOBODY).gid(NOBODY))
    }

    fn well(&self) {
        let found = self.runlog(&["doctor"]);
        assert_eq!(found.out, "✓ nothing is wrong\n", "{}", found.err);
    }

    /// Finds one thing that `says` so and is mended by `sudo`, and finds nothing after.
    fn mended_by_sudo(&self, says: &str) {
        let found = self.runlog(&["doctor"]);
        let said = format!("{says}: {}{}", found.out, found.err);
        assert!(found.out.contains(says), "{said}");
        let mends = mends(&found);
        let [mend] = mends.as_slice() else {
            panic!("{said}");
        };
        assert!(mend.starts_with("sudo "), "{mend}");
        let bin = self.stage.root.beside("bin");
        let run = self
            .stage
            .shell(&format!("PATH={}:$PATH; {mend}", bin.display()));
        assert_eq!(run.status, 0, "{mend}: {}", run.err);
        self.well();
    }
}

/// What was recorded or deleted by root, once, among what is one's own.
#[test]
fn what_sudo_left_among_what_is_ones_own() {
    let somebody = Somebody::new();
    let root = somebody.stage.root.path();
    let says = "belongs to user 0 and may not be written to by you";
    somebody.well();
    // as whoever types `sudo runlog run`
    let run = ["run", "--project", "sudoed", "--", "true"];
    somebody.stage.piped(&run).printed();
    assert_eq!(somebody.runlog(&run).status, 1);
    somebody.mended_by_sudo(says);
    assert_eq!(somebody.runlog(&run).status, 0);
    let delete = ["delete", "-s", "failed", "--yes"];
    assert_eq!(somebody.runlog(&delete).status, 0);
    for path in [
        "",
        "website",
        "website/executions",
        "website/.runlog",
        "website/.runlog/trash",
    ] {
        for whole in ["-R", ""] {
            let path = root.join(path);
            let line = format!(
                "chown {whole} 0 {0} && chmod {whole} go-w {0}",
                path.display()
            );
            assert_eq!(somebody.stage.shell(&line).status, 0);
            somebody.mended_by_sudo(says);
        }
    }
    // what one deletes and another restores
    let batches = fs::read_dir(root.join("website/.runlog/trash")).unwrap();
    let batch = batches.map(|entry| entry.unwrap().path()).next().unwrap();
    somebody.gives(&batch, 0);
    assert_eq!(somebody.runlog(&["trash", "empty", "--yes"]).status, 1);
    somebody.mended_by_sudo(says);
    assert_eq!(somebody.runlog(&["trash", "empty", "--yes"]).status, 0);
}

/// A policy in a file that is not used is no policy.
#[test]
fn a_policy_of_another_user() {
    let somebody = Somebody::new();
    let config = somebody.stage.root.beside("runlog.toml");
    fs::write(
        &config,
        "[prune]\nkeepLast = 1\nrules = [{ maxAge = \"90d\" }]\n",
    )
    .unwrap();
    let told = somebody.runlog(&["prune", "-n"]);
    assert_eq!(told.status, 2);
    let says = "runlog.toml belongs to user 0, and is not used\n";
    assert!(told.err.contains(says), "{}", told.err);
    somebody.mended_by_sudo("belongs to user 0, and is not used");
    assert_eq!(somebody.runlog(&["prune", "-n"]).status, 0);
}

/// It is given back where it is: moved away, it would be held still.
#[test]
fn a_text_index_that_is_held_and_belongs_to_root() {
    let somebody = Somebody::new();
    let search = || somebody.runlog(&["search", "accents"]);
    assert_eq!(search().status, 0);
    let homes = fs::read_dir(somebody.stage.root.beside("cache/runlog")).unwrap();
    let home = homes.map(|entry| entry.unwrap().path()).next().unwrap();
    let path = home.join("search.lock");
    let lock = fs::File::open(&path).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    somebody.gives(&path, 0);
    let pid = std::process::id();
    somebody.mended_by_sudo(&format!(
        "search.lock, which process {pid} holds, belongs to user 0"
    ));
    assert_eq!(
        path.metadata().unwrap().ino(),
        lock.metadata().unwrap().ino()
    );
    drop(lock);
    assert_eq!(search().status, 0);
}

/// It lives, though nobody else may ask it.
#[test]
fn a_daemon_of_another_user_at_ones_own_socket() {
    let somebody = Somebody::new();
    let socket = somebody.runlog(&["socket"]).printed();
    let socket = Path::new(socket.trim_end());
    somebody.well();
    let socket_option = format!("--socket={}", socket.display());
    let mut command = somebody.stage.runlog(&["serve", &socket_option]);
    let mut daemon = Stage::served(&mut command);
    let found = somebody.runlog(&["doctor"]);
    let what = format!("a daemon of user 0, process {}, serves only", daemon.0.id());
    assert!(found.out.contains(&what), "{}{}", found.out, found.err);
    assert_eq!(mends(&found), [format!("sudo kill {}", daemon.0.id())]);
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    fs::remove_file(lock_of(socket)).unwrap();
    fs::remove_file(socket).unwrap();
    // who listens on it does not say so
    let _listener = UnixListener::bind(socket).unwrap();
    fs::set_permissions(socket, Permissions::from_mode(0o600)).unwrap();
    let found = somebody.runlog(&["doctor"]);
    assert!(
        found.out.contains("belongs to user 0, and nobody else"),
        "{}",
        found.out
    );
    assert!(!found.out.contains("gone"), "{}", found.out);
    let mend = mends(&found).remove(0);
    assert_eq!(somebody.stage.shell(&mend).status, 0, "{mend}");
    somebody.well();
}

/// What only root can mend is mended by `sudo`, which here is root's own shell.
#[test]
fn what_belongs_to_somebody_else() {
    use std::os::unix::fs::chown;
    let somebody = Somebody::new();
    let (nobody, stage, binary) = (NOBODY, &somebody.stage, &somebody.binary);
    let config = stage.root.beside("runlog.toml");
    fs::write(&config, "").unwrap();
    let all = stage.root.beside("");
    let given = format!("chown -R {nobody} {}", all.display());
    assert_eq!(stage.shell(&given).status, 0);
    let doctor = || somebody.runlog(&["doctor"]);
    let well = || somebody.well();
    well();
    let file = stage.root.path().join("website/executions/late.json");
    fs::write(&file, r#"{ "id": "late", "status": "completed" }"#).unwrap();
    let runtime = stage.root.beside("run/runlog");
    fs::create_dir_all(&runtime).unwrap();
    let own = stage.root.path().join("website/.runlog");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, Permissions::from_mode(0o755)).unwrap();
    // whoever serves it says so as well
    let mut command = stage.command(binary.to_str().unwrap());
    let problems = done(command.arg("problems").uid(nobody).gid(nobody)).printed();
    assert!(
        problems.starts_with("website/.runlog\tunwritable\t"),
        "{problems}"
    );
    // a root that nobody may look into is not an empty one
    let closed = stage.root.path();
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    for command in ["list", "stats", "statusline", "export"] {
        let mut asking = stage.command(binary.to_str().unwrap());
        let found = done(asking.arg(command).uid(nobody).gid(nobody));
        assert_eq!((found.status, found.out.as_str()), (1, ""), "{command}");
        assert!(
            found.err.contains("projects cannot be read"),
            "{}",
            found.err
        );
        assert!(!found.err.contains("WARN"), "{}", found.err);
    }
    fs::set_permissions(&closed, Permissions::from_mode(0o755)).unwrap();
    for (path, says) in [
        (own, "website/.runlog belongs to user 0"),
        (stage.root.path(), "belongs to user 0 and is closed to you"),
        (stage.root.path().join("website"), "belongs to user 0"),
        (file, "website/executions/late.json"),
        (runtime, "belongs to user 0"),
        (config.clone(), "belongs to user 0, and is not used"),
        (stage.root.beside("cache"), "the index cannot be kept in"),
    ] {
        chown(&path, Some(0), Some(0)).unwrap();
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        somebody.mended_by_sudo(says);
    }
    // what its owner uses is left to him, as long as it can be read, or else after
    for (path, owner, mode) in [
        (stage.root.path(), 1, 0o755),
        (stage.root.path().join("website"), 1, 0o755),
        (stage.root.path().join("website"), 1, 0o700),
        (stage.root.path(), 1, 0o700),
    ] {
        let own = path.join(".runlog");
        for path in [&path, &own].into_iter().filter(|path| path.exists()) {
            chown(path, Some(owner), Some(owner)).unwrap();
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
        if mode == 0o700 {
            let found = doctor();
            let mends = mends(&found);
            let [mend] = mends.as_slice() else {
                panic!("{path:?}: {}", found.out);
            };
            let bin = stage.root.beside("bin");
            let run = stage.shell(&format!("PATH={}:$PATH; {mend}", bin.display()));
            assert_eq!(run.status, 0, "{mend}: {}", run.err);
        }
        well();
        assert_eq!(path.metadata().unwrap().uid(), owner);
        assert_eq!(stage.shell(&given).status, 0);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    // what its owner mends without root
    let mended = |args: &[&str], says: &str, is_sudo: bool| {
        let doctor = || {
            let mut command = stage.command(binary.to_str().unwrap());
            done(command.arg("doctor").args(args).uid(nobody).gid(nobody))
        };
        let found = doctor();
        assert!(
            found.out.contains(says),
            "{says}: {}{}",
            found.out,
            found.err
        );
        let mends = mends(&found);
        let [mend] = mends.as_slice() else {
            panic!("{says}: {}", found.out);
        };
        assert_eq!(mend.starts_with("sudo "), is_sudo, "{mend}");
        let mut shell = stage.command("sh");
        match is_sudo {
            true => shell.args(["-c", mend.trim_start_matches("sudo ")]),
            false => shell.args(["-c", mend]).uid(nobody).gid(nobody),
        };
        let run = done(&mut shell);
        assert_eq!(run.status, 0, "{mend}: {}", run.err);
        let now = doctor();
        assert_eq!(now.out, "✓ nothing is wrong\n", "{}", now.err);
        found.err
    };
    let of_root = |path: &Path, mode: u32| {
        chown(path, Some(0), Some(0)).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    fs::set_permissions(&config, Permissions::from_mode(0o000)).unwrap();
    mended(&[], "runlog.toml", false);
    assert!(config.exists());
    let mut command = stage.command(binary.to_str().unwrap());
    let searched = done(command.args(["search", "x"]).uid(nobody).gid(nobody));
    assert_eq!(searched.status, 0, "{}", searched.err);
    let homes = fs::read_dir(stage.root.beside("cache/runlog")).unwrap();
    let home = homes.map(|entry| entry.unwrap().path()).next().unwrap();
    for (name, mode) in [("search", 0o700), ("search.lock", 0o600)] {
        of_root(&home.join(name), mode);
        mended(
            &[],
            &format!("{name}, of the kept index, is not what"),
            false,
        );
    }
    let mut command = stage.command(binary.to_str().unwrap());
    let socket = done(command.arg("socket").uid(nobody).gid(nobody)).printed();
    let socket = Path::new(socket.trim_end());
    fs::write(lock_of(socket), "").unwrap();
    of_root(&lock_of(socket), 0o600);
    mended(&[], "is no lock file of yours", false);
    // a record that its owner only reads
    let file = stage.root.path().join("website/executions/closed.json");
    fs::write(&file, r#"{ "id": "other", "status": "completed" }"#).unwrap();
    chown(&file, Some(nobody), Some(nobody)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o444)).unwrap();
    mended(&[], "website/executions/closed.json", false);
    assert_eq!(file.metadata().unwrap().mode() & 0o777, 0o444);
    // somebody else's folder that one happens to be in is none of one's business
    let theirs = stage.root.beside("theirs");
    fs::create_dir_all(theirs.join("work")).unwrap();
    fs::set_permissions(&theirs, Permissions::from_mode(0o700)).unwrap();
    let within = format!(
        "cd {} && exec setpriv --reuid {nobody} --regid {nobody} --clear-groups {} doctor \
            --projects {}",
        theirs.join("work").display(),
        binary.display(),
        stage.root.path().display()
    );
    let found = stage.shell(&within);
    assert_eq!(found.out, "✓ nothing is wrong\n", "{}", found.err);
    // what is above a root
    let above = stage.root.beside("closed/in");
    let deep = above.join("projects");
    fs::create_dir_all(&deep).unwrap();
    let given = format!(
        "chown -R {nobody} {}",
        stage.root.beside("closed").display()
    );
    assert_eq!(stage.shell(&given).status, 0);
    let args = ["--projects", deep.to_str().unwrap()];
    let closed = stage.root.beside("closed");
    fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    let list = somebody.runlog(&["list", "--projects", deep.to_str().unwrap()]);
    assert_eq!((list.status, list.out.as_str()), (1, ""));
    let says = "projects cannot be read (Permission denied";
    assert!(list.err.contains(says), "{}", list.err);
    mended(&args, "closed, above the root, cannot be entered", false);
    of_root(&above, 0o711);
    let warned = mended(&args, "in, above the root, cannot be read", true);
    let says = "the folder above the root cannot be watched";
    assert!(warned.contains(says), "{warned}");
    of_root(&closed, 0o700);
    mended(&args, "closed, above the root, cannot be entered", true);
}

#[test]
fn a_cache_with_something_else_in_the_place_of_its_files() {
    let stage = Stage::samples();
    healthy(&stage);
    let homes = fs::read_dir(stage.root.beside("cache/runlog")).unwrap();
    let home = homes.map(|entry| entry.unwrap().path()).next().unwrap();
    for name in ["index", "search.lock", "search"] {
        let path = home.join(name);
        let _ = fs::remove_file(&path);
        let _ = fs::remove_dir_all(&path);
        match name {
            "search" => fs::write(path, "").unwrap(),
            _ => fs::create_dir(path).unwrap(),
        }
        mended(
            &stage,
            &format!("{name}, of the kept index, is not what it was"),
        );
    }
}

/// A disk that nothing can be written to, and a cache that is found elsewhere.
#[test]
fn a_cache_that_cannot_be_written() {
    for how in ["ro,mode=700", "mode=700,size=4k"] {
        unwritable_cache(how);
    }
}

fn unwritable_cache(how: &str) {
    let stage = Stage::samples();
    let script = "mount -t tmpfs -o HOW none \"$XDG_CACHE_HOME\" || exit 8\n\
        runlog doctor > found && exit 9\n\
        cat found\n\
        eval \"$(sed -n 's/^  //p' found)\"\n\
        runlog doctor";
    let script = script.replace("HOW", how);
    let mut command = stage.command("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let done = done(&mut command);
    let said = format!("{}{}", done.out, done.err);
    assert!(said.contains("the index cannot be kept in"), "{said}");
    assert!(done.out.ends_with("✓ nothing is wrong\n"), "{said}");
    assert_eq!(done.status, 0);
}
