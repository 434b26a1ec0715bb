//! What `runlog service` prints, checked by those who are to read it: systemd, and a reader of
//! property lists.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use support::{Root, runlog};

/// A root with a name that every reader of units would like to take for something else.
const NAME: &str = r#"50% of "$HOME" \ & <more>"#;

struct Desk {
    root: Root,
    folder: PathBuf,
}

impl Desk {
    fn new(name: &str) -> Self {
        let root = Root::empty();
        let folder = root.path().join(name);
        fs::create_dir(&folder).unwrap();
        let runtime = root.beside("run 100%");
        fs::create_dir(&runtime).unwrap();
        fs::set_permissions(runtime, fs::Permissions::from_mode(0o700)).unwrap();
        Self { root, folder }
    }

    fn runlog(&self, words: &[&str]) -> Output {
        runlog()
            .args(words)
            .arg("--projects")
            .arg(&self.folder)
            .env("XDG_RUNTIME_DIR", self.root.beside("run 100%"))
            .env("XDG_CONFIG_HOME", self.root.beside("config"))
            .env("HOME", self.root.beside("home"))
            .output()
            .unwrap()
    }

    fn said(&self, words: &[&str]) -> String {
        let output = self.runlog(words);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn socket(&self) -> String {
        self.said(&["socket"]).trim_end().to_owned()
    }
}

/// The files in what was printed, each under the comment that says where it belongs.
fn files(printed: &str) -> Vec<(PathBuf, String)> {
    let mut files: Vec<(PathBuf, String)> = Vec::new();
    for line in printed.lines() {
        match line.strip_prefix("# /") {
            Some(path) => files.push((Path::new("/").join(path), String::new())),
            None => {
                let (_, text) = files.last_mut().expect("a path comes first");
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    files
}

#[test]
fn systemd_reads_the_units_as_they_are_meant() {
    let desk = Desk::new(NAME);
    let units = files(&desk.said(&["service"]));
    let [(socket, socket_text), (service, service_text)] = units.as_slice() else {
        panic!("two files: {units:?}");
    };
    let user = desk.root.beside("config/systemd/user");
    assert_eq!(socket.parent(), Some(&*user));
    assert_eq!(service.parent(), Some(&*user));
    // the one starts the other because they are named alike
    assert_eq!(socket.file_stem(), service.file_stem());
    assert_eq!(socket.extension().unwrap(), "socket");
    assert_eq!(service.extension().unwrap(), "service");
    let named = |text: &str, name: &str| {
        let start = format!("{name}=");
        let line = text.lines().find_map(|line| line.strip_prefix(&start));
        line.unwrap_or_else(|| panic!("no {name} in {text}"))
            .to_owned()
    };
    let path = named(socket_text, "ListenStream").replace("%%", "%");
    assert_eq!(path, desk.socket());
    assert_eq!(named(socket_text, "SocketMode"), "0600");
    let words = words(&named(service_text, "ExecStart"));
    assert_eq!(
        words[1..],
        [
            "serve",
            "--socket",
            "--idle-exit",
            "10m",
            "--projects",
            desk.folder.to_str().unwrap()
        ]
    );
    assert_eq!(words[0], env!("CARGO_BIN_EXE_runlog"));

    fs::create_dir_all(&user).unwrap();
    fs::write(socket, socket_text).unwrap();
    fs::write(service, service_text).unwrap();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no"])
        .arg(socket)
        .arg(service)
        .env("XDG_RUNTIME_DIR", desk.root.beside("run 100%"))
        .env("HOME", desk.root.beside("home"))
        .output()
        .expect("systemd-analyze is needed (Debian: systemd)");
    let said = String::from_utf8_lossy(&verified.stderr);
    let about_ours = said.lines().any(|line| line.contains("runlog-"));
    assert!(verified.status.success() && !about_ours, "{said}");
}

/// A command line as systemd reads it: quotes, escapes, specifiers, variables.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => word.push(chars.next().unwrap()),
            '%' | '$' => {
                assert_eq!(chars.next(), Some(c), "{line}");
                word.push(c);
            }
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            _ => word.push(c),
        }
    }
    assert!(!quoted);
    words.push(word);
    words
}

#[test]
fn a_reader_of_property_lists_reads_the_agent_as_it_is_meant() {
    let desk = Desk::new(NAME);
    let printed = desk.said(&["service", "--launchd"]);
    let path = desk.root.beside("agent.plist");
    fs::write(&path, &printed).unwrap();
    let script =
        "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let read = Command::new("python3")
        .args(["-c", script])
        .arg(path)
        .output()
        .expect("python3 is needed");
    assert!(read.status.success(), "{read:?}");
    let agent: Value = serde_json::from_slice(&read.stdout).unwrap();
    let label = agent["Label"].as_str().unwrap();
    assert_eq!(
        agent,
        json!({
            "Label": label,
            "ProgramArguments": [
                env!("CARGO_BIN_EXE_runlog"), "serve", "--socket", "--projects",
                desk.folder.to_str().unwrap(),
            ],
            "RunAtLoad": true,
            "KeepAlive": { "SuccessfulExit": false },
        })
    );
    let place = desk
        .root
        .beside(&format!("home/Library/LaunchAgents/{label}.plist"));
    assert!(
        printed.contains(&format!("<!-- {} -->", place.display())),
        "{printed}"
    );
}

#[test]
fn what_no_unit_can_spell_is_refused() {
    let desk = Desk::new("two\nlines");
    let output = desk.runlog(&["service"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("control characters"), "{said}");
}
