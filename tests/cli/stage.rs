//! A root, the folders that its commands may use, and terminals to run them on.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use crate::support::{Root, runlog};

pub struct Stage {
    pub root: Root,
}

/// What a command did.
#[derive(Debug, PartialEq)]
pub struct Done {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Done {
    /// What it printed, having done well.
    pub fn printed(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self.out
    }
}

impl Stage {
    /// The sample projects.
    pub fn samples() -> Self {
        Self::over(Root::samples())
    }

    pub fn over(root: Root) -> Self {
        let stage = Self { root };
        for folder in ["cache", "run"] {
            std::fs::create_dir_all(stage.root.beside(folder)).unwrap();
        }
        stage
    }

    /// `program`, where nothing of this machine's user is seen.
    pub fn command(&self, program: &str) -> Command {
        let binary = PathBuf::from(env!("CARGO_BIN_EXE_runlog"));
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(program);
        command
            .current_dir(self.root.beside(""))
            .env(
                "PATH",
                format!("{}:{path}", binary.parent().unwrap().display()),
            )
            .env("XDG_CACHE_HOME", self.root.beside("cache"))
            .env("XDG_RUNTIME_DIR", self.root.beside("run"))
            .env("HOME", self.root.beside(""))
            .env("TZ", "UTC")
            .env("PAGER", "cat")
            .env_remove("RUNLOG_PROJECTS")
            .env_remove("RUNLOG_LOG")
            .env_remove("COLUMNS")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .stdin(Stdio::null());
        command
    }

    /// `runlog` with these arguments.
    pub fn runlog(&self, args: &[&str]) -> Command {
        let mut command = self.command(runlog().get_program().to_str().unwrap());
        command.args(args);
        command
    }

    /// Runs it in a pipe.
    pub fn piped(&self, args: &[&str]) -> Done {
        done(&mut self.runlog(args))
    }

    /// Runs it on a terminal so wide, without colours.
    pub fn shown(&self, columns: u16, args: &[&str]) -> Done {
        let mut command = self.runlog(args);
        command.env("NO_COLOR", "1");
        on_terminal(&mut command, columns, "")
    }

    /// A line of shell, as somebody would type it.
    pub fn shell(&self, line: &str) -> Done {
        let mut command = self.command("sh");
        done(command.args(["-c", line]))
    }

    /// The root's daemon, on its socket.
    pub fn daemon(&self) -> Served {
        Self::served(&mut self.runlog(&["serve", "--socket"]))
    }

    /// A daemon that is started so.
    pub fn served(command: &mut Command) -> Served {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["pid"], child.id());
        Served(child)
    }
}

/// A daemon that ends with the test.
pub struct Served(pub Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn done(command: &mut Command) -> Done {
    let output = command.output().unwrap();
    Done {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A terminal that nobody has opened yet: its own end, and the one for programs.
pub fn terminal(columns: u16, rows: u16) -> (File, File) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let line = File::options()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
        .open(std::ffi::OsStr::from_bytes(name.as_bytes()))
        .unwrap();
    let size = rustix::termios::Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    rustix::termios::tcsetwinsize(&master, size).unwrap();
    (File::from(master), line)
}

/// Starts `command` on a terminal; the terminal's own end.
fn begun_on_terminal(command: &mut Command, columns: u16) -> (File, Child) {
    let (master, line) = terminal(columns, 100);
    let pipe = || Stdio::from(line.try_clone().unwrap());
    if !command.get_envs().any(|(name, _)| name == "TERM") {
        command.env("TERM", "xterm");
    }
    let child = command
        .stdin(pipe())
        .stdout(pipe())
        .stderr(pipe())
        .spawn()
        .unwrap();
    drop(line);
    // the command holds the terminal's other end as well, until it is dropped
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    (master, child)
}

/// Runs `command` on a terminal, and types `yes` to what it asks after something else was done.
pub fn agreed_after(command: &mut Command, meanwhile: impl FnOnce()) -> Done {
    agreed_with(command, |_| meanwhile())
}

/// The same, with what was done told which process it is.
pub fn agreed_with(command: &mut Command, meanwhile: impl FnOnce(&Child)) -> Done {
    let (mut master, mut child) = begun_on_terminal(command, 80);
    let mut shown = Vec::new();
    let mut meanwhile = Some(meanwhile);
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = master.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
        if String::from_utf8_lossy(&shown).contains("[y/N]")
            && let Some(meanwhile) = meanwhile.take()
        {
            meanwhile(&child);
            master.write_all(b"yes\n").unwrap();
        }
    }
    Done {
        status: child.wait().unwrap().code().unwrap_or(-1),
        out: String::from_utf8(shown).unwrap().replace("\r\n", "\n"),
        err: String::new(),
    }
}

/// Runs `command` on a terminal, where `typed` is typed, and gives everything that it showed.
pub fn on_terminal(command: &mut Command, columns: u16, typed: &str) -> Done {
    let (mut master, mut child) = begun_on_terminal(command, columns);
    master.write_all(typed.as_bytes()).unwrap();
    let mut shown = Vec::new();
    let mut bytes = [0; 4096];
    // ends with an error when nobody has the line open any more
    while let Ok(count @ 1..) = master.read(&mut bytes) {
        shown.extend_from_slice(&bytes[..count]);
    }
    let status = child.wait().unwrap();
    Done {
        status: status.code().unwrap_or(-1),
        out: String::from_utf8(shown).unwrap().replace("\r\n", "\n"),
        err: String::new(),
    }
}
