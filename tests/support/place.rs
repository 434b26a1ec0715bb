//! A root whose daemons share a cache of their own, and mounts that only they see.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;
use serde_json::json;

use super::{Client, Daemon, Root, record, runlog};

pub struct Place {
    pub root: Root,
}

impl Place {
    /// With so many runs in the project `p`.
    pub fn new(runs: usize) -> Self {
        let place = Self {
            root: Root::empty(),
        };
        place.add(0..runs);
        place
    }

    /// The engine saves the runs with these numbers.
    pub fn add(&self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            let id = format!("run-{number}");
            self.root.engine("p", &id, &record("p", &id, "completed"));
        }
    }

    pub fn cache(&self) -> PathBuf {
        self.root.beside("cache")
    }

    /// The file that the index is kept in.
    pub fn file(&self) -> PathBuf {
        let hash = runlog::store::root_hash(&self.root.path());
        self.cache().join("runlog").join(hash).join("index")
    }

    /// The daemon to start on stdio.
    pub fn command(&self) -> Command {
        let mut command = runlog();
        command
            .args(["serve", "--projects"])
            .arg(self.root.path())
            .env("XDG_CACHE_HOME", self.cache());
        command
    }

    pub fn start(&self) -> (Daemon, Client) {
        let (daemon, mut client) = Daemon::spawn(&mut self.command());
        client.call("executions/list", &json!({ "sync": true }));
        (daemon, client)
    }

    pub fn end(&self, mut daemon: Daemon) {
        daemon.signal(Signal::TERM);
        assert_eq!(daemon.ends().0.code(), Some(0));
    }

    /// What a daemon says on stderr until its input ends, but of the text index.
    pub fn said(&self) -> String {
        let mut child = self
            .command()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        writeln!(
            input,
            r#"{{"jsonrpc":"2.0","id":1,"method":"executions/stats"}}"#
        )
        .unwrap();
        drop(input);
        let mut answer = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut answer)
            .unwrap();
        assert!(answer.contains("\"totalExecutions\":"), "{answer}");
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let lines = said.split_inclusive('\n');
        lines.filter(|line| !is_of_search(line)).collect()
    }

    /// Where [`Place::logging`] logs to.
    pub fn log(&self) -> PathBuf {
        self.root.beside("log")
    }

    /// The daemon that `command` starts, its stderr kept in a new [`Place::log`].
    pub fn logging(&self, command: &mut Command) -> (Daemon, Client) {
        Daemon::spawn(command.stderr(File::create(self.log()).unwrap()))
    }

    /// The lines that were logged so far, but for those of the text index.
    pub fn logged(&self) -> Vec<String> {
        let mut lines = self.logged_of_all();
        lines.retain(|line| !is_of_search(line));
        lines
    }

    /// The lines that were logged so far.
    pub fn logged_of_all(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

/// What happens to the text index is told once for itself, and tested for itself.
fn is_of_search(line: &str) -> bool {
    line.contains("the text index")
}

/// A mount namespace of its own: what is mounted there, nobody else sees, and it goes with this.
pub struct Mounts {
    holder: Child,
}

/// Debian's packages with what is needed for it.
const NEEDED: &str = "unshare and nsenter (util-linux) and mount are needed, and a system that \
    lets root, or else users, mount in a namespace of their own";

impl Mounts {
    /// Where `script`, in which `$1` is `folder`, has run.
    pub fn new(script: &str, folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let mut unshare = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        let mut holder = unshare
            .args(["--mount", "sh", "-ec"])
            .arg(format!("{script}\necho mounted\nexec cat"))
            .arg("sh")
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect(NEEDED);
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "mounted\n", "{NEEDED}");
        Self { holder }
    }

    /// `command`, to be run where the mounts are.
    pub fn inside(&self, command: &Command) -> Command {
        let of_holder = |what: &str| format!("/proc/{}/ns/{what}", self.holder.id());
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount={}", of_holder("mnt")));
        if !rustix::process::geteuid().is_root() {
            inside.arg(format!("--user={}", of_holder("user")));
            inside.arg("--preserve-credentials");
        }
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Runs a script where the mounts are; `$1` is `folder`.
    pub fn run(&self, script: &str, folder: &Path) {
        let mut sh = Command::new("sh");
        sh.args(["-ec", script, "sh"]).arg(folder);
        assert!(self.inside(&sh).status().expect(NEEDED).success());
    }

    /// What is at `path` there, by a path for here.
    pub fn path(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Mounts {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
