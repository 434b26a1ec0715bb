//! What somebody waits for who types a command: from its start to its end, where a daemon serves the
//! root and where none does, so that the command looks at the files itself.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::{Failure, floors, table};

/// How long a command may take that a daemon answers.
const WITHIN: Duration = Duration::from_millis(30);

/// What is typed; the word is one that all runs say.
const COMMANDS: [(&str, &[&str]); 3] = [
    ("list", &["list"]),
    ("stats", &["stats"]),
    ("search", &["search", "workflow"]),
];

/// A row for each command, with a daemon and without.
pub fn show(root: &Path, folder: &Path, files: &[PathBuf], rounds: usize) -> Result<(), Failure> {
    let shell = Shell {
        root,
        runtime: folder.join("runtime"),
    };
    fs::create_dir_all(&shell.runtime)?;
    let socket = shell.command(&["socket"]).stderr(Stdio::null()).output()?;
    let socket = PathBuf::from(String::from_utf8(socket.stdout)?.trim());
    // as the commands want it: private
    let mut private = fs::DirBuilder::new();
    let private = private.recursive(true).mode(0o700);
    private.create(socket.parent().ok_or("no socket's path")?)?;
    let daemon = Daemon::start_settled_at(root, &socket)?;
    for (name, words) in COMMANDS {
        let (mut times, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            floors.push(timed(&mut Command::new("true"))?);
            times.push(shell.time(words)?);
        }
        let floor = table::median(&mut floors);
        table::within(
            &format!("{name} from the shell, asking a daemon / true"),
            &mut times,
            floor,
            Some(WITHIN),
        );
    }
    daemon.end()?;
    let snapshot = snapshot_of(root)?;
    for (name, words) in COMMANDS {
        let (mut times, mut floors, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..rounds {
            let began = Instant::now();
            fs::read(&snapshot)?;
            let read = began.elapsed();
            floors.push(read + floors::stat_all(files)?);
            plain.push(read + floors::stat_all_by(1, files)?);
            times.push(shell.time(words)?);
        }
        let middle = table::median(&mut times);
        for (floor, threads, at_most) in [
            (&mut plain, "by one thread", Some(1.2)),
            (&mut floors, "by as many threads as cores", None),
        ] {
            let floor = table::median(floor);
            table::ratio_row(
                &format!(
                    "{name} without one / reading the snapshot, a stat of every file {threads}"
                ),
                Some(middle),
                Some(table::late(&times)),
                floor,
                table::ratio(middle, floor),
                at_most,
            );
        }
    }
    Ok(())
}

/// Where commands are typed.
struct Shell<'a> {
    root: &'a Path,
    runtime: PathBuf,
}

impl Shell<'_> {
    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runlog"));
        command
            .args(words)
            .arg("--projects")
            .arg(self.root)
            .env("XDG_CACHE_HOME", self.root.with_extension("cache"))
            .env("XDG_RUNTIME_DIR", &self.runtime);
        command
    }

    fn time(&self, words: &[&str]) -> Result<Duration, Failure> {
        timed(&mut self.command(words))
    }
}

fn timed(command: &mut Command) -> Result<Duration, Failure> {
    // that there is more it tells on stderr
    let command = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .stdin(Stdio::null());
    let began = Instant::now();
    let status = command.status()?;
    let took = began.elapsed();
    match status.success() {
        true => Ok(took),
        false => Err(format!("a command failed: {status}").into()),
    }
}

/// The index of `root` as its daemon kept it.
fn snapshot_of(root: &Path) -> Result<PathBuf, Failure> {
    for entry in fs::read_dir(root.with_extension("cache").join("runlog"))? {
        let index = entry?.path().join("index");
        if index.is_file() {
            return Ok(index);
        }
    }
    Err("no index was kept".into())
}
