//! The program from outside: a daemon on a socket, a client that speaks lines, and an echo to
//! compare both with.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::Failure;

/// A client that speaks lines.
pub struct Client {
    reader: Box<dyn BufRead + Send>,
    writer: Box<dyn Write + Send>,
    id: u64,
}

impl Client {
    pub fn connect(path: &Path) -> Result<Self, Failure> {
        let writer = UnixStream::connect(path)?;
        let reader = writer.try_clone()?;
        Ok(Self::over(reader, writer))
    }

    fn over(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        Self {
            reader: Box::new(BufReader::new(reader)),
            writer: Box::new(writer),
            id: 0,
        }
    }

    pub fn request(&mut self, method: &str, params: &Value) -> String {
        self.id += 1;
        let id = self.id;
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        format!("{request}\n")
    }

    pub fn write(&mut self, request: &str) -> Result<(), Failure> {
        Ok(self.writer.write_all(request.as_bytes())?)
    }

    pub fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if self.reader.read_line(&mut line)? == 0 {
            return Err("the daemon closed the connection".into());
        }
        Ok(line)
    }

    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, Failure> {
        let request = self.request(method, params);
        self.write(&request)?;
        let answer: Value = serde_json::from_str(&self.line()?)?;
        answer
            .get("result")
            .cloned()
            .ok_or_else(|| answer["error"].to_string().into())
    }

    /// How long each of `rounds` requests takes, and how many bytes an answer has.
    pub fn time(
        &mut self,
        method: &str,
        params: &Value,
        rounds: usize,
    ) -> Result<(Vec<Duration>, usize), Failure> {
        let mut times = Vec::with_capacity(rounds);
        let mut bytes = 0;
        for _ in 0..rounds {
            let request = self.request(method, params);
            let began = Instant::now();
            self.write(&request)?;
            bytes = self.line()?.len();
            times.push(began.elapsed());
        }
        Ok((times, bytes))
    }

    /// Makes it a subscriber of everything from now on.
    pub fn subscribe(&mut self) -> Result<(), Failure> {
        self.call("executions/subscribe", &json!({}))?;
        self.line()?;
        Ok(())
    }
}

/// A daemon with a socket and a cache of its own beside its root.
pub struct Daemon {
    child: Child,
    pub client: Client,
    pub socket: PathBuf,
}

impl Daemon {
    /// Starts it and waits until it accepts connections, not until its index is there.
    pub fn start(root: &Path) -> Result<Self, Failure> {
        Self::start_at(root, &root.with_extension("sock"))
    }

    fn start_at(root: &Path, socket: &Path) -> Result<Self, Failure> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_runlog"))
            .arg("serve")
            .arg("--projects")
            .arg(root)
            .arg(format!("--socket={}", socket.display()))
            .env("XDG_CACHE_HOME", root.with_extension("cache"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let output = child.stdout.take().ok_or("no stdout")?;
        let mut ready = String::new();
        BufReader::new(output).read_line(&mut ready)?;
        let client = Client::connect(socket)?;
        Ok(Self {
            child,
            client,
            socket: socket.to_owned(),
        })
    }

    /// Starts it; how long it takes until everything is in the index.
    pub fn start_whole(root: &Path) -> Result<(Self, Duration), Failure> {
        let began = Instant::now();
        let mut daemon = Self::start(root)?;
        daemon.client.call("executions/stats", &json!({}))?;
        Ok((daemon, began.elapsed()))
    }

    /// The same once the text index is whole too, which else is built beside what is measured.
    pub fn start_settled(root: &Path) -> Result<Self, Failure> {
        Self::start_settled_at(root, &root.with_extension("sock"))
    }

    /// The same with its socket at `socket`.
    pub fn start_settled_at(root: &Path, socket: &Path) -> Result<Self, Failure> {
        let mut daemon = Self::start_at(root, socket)?;
        daemon.client.call("executions/stats", &json!({}))?;
        daemon.settle()?;
        // its parts are still being merged then
        loop {
            let before = daemon.cpu()?;
            std::thread::sleep(Duration::from_millis(500));
            if daemon.cpu()?.saturating_sub(before) < Duration::from_millis(20) {
                return Ok(daemon);
            }
        }
    }

    /// Waits until the text index is whole: when a word that no run says is known to be in none.
    pub fn settle(&mut self) -> Result<(), Failure> {
        let nothing = json!({ "query": "nosuchword", "limit": 1 });
        while self.client.call("executions/search", &nothing)?["complete"] != true {
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Ends it as a service manager would, so that it keeps its index.
    pub fn end(mut self) -> Result<(), Failure> {
        if let Ok(pid) = i32::try_from(self.child.id())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        self.child.wait()?;
        Ok(())
    }

    pub fn stop_for_now(&self, stop: bool) -> Result<(), Failure> {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let signal = if stop { Signal::STOP } else { Signal::CONT };
        Ok(kill_process(pid.ok_or("no such process")?, signal)?)
    }

    pub fn resident_bytes(&self) -> Result<u64, Failure> {
        self.of_status("VmRSS").map(|kib| kib * 1024)
    }

    /// The most it ever had in memory.
    pub fn peak_bytes(&self) -> Result<u64, Failure> {
        self.of_status("VmHWM").map(|kib| kib * 1024)
    }

    /// How long its threads have worked, those that have ended too.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // behind the name, which may hold anything: from the third field on
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
        let mut fields = fields.split_whitespace().skip(11);
        let mut next = || fields.next().and_then(|ticks| ticks.parse::<u64>().ok());
        let ticks = next().zip(next()).map(|(user, system)| user + system);
        let per_second = rustix::param::clock_ticks_per_second();
        Ok(Duration::from_millis(
            ticks.ok_or("no times")? * 1000 / per_second,
        ))
    }

    /// How often any of its threads has been woken.
    pub fn wake_ups(&self) -> Result<u64, Failure> {
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            sum += number_of(&status, "voluntary_ctxt_switches").unwrap_or(0);
        }
        Ok(sum)
    }

    fn of_status(&self, name: &str) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        number_of(&status, name).ok_or_else(|| format!("no {name}").into())
    }
}

fn number_of(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that serves one client on its pipes, as an editor's window has it.
pub struct Window {
    child: Child,
    pub client: Client,
}

impl Window {
    /// Starts `runlog serve` with `options`; what it starts in its turn has its socket in `runtime`
    /// and ends soon after it.
    pub fn start(root: &Path, runtime: &Path, options: &[&str]) -> Result<Self, Failure> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runlog"));
        command
            .arg("serve")
            .args(options)
            .arg("--projects")
            .arg(root)
            .env("XDG_CACHE_HOME", root.with_extension("cache"))
            .env("XDG_RUNTIME_DIR", runtime);
        Self::over(command)
    }

    /// This program as a relay that only copies, between pipes and the daemon at `socket`.
    pub fn copying(socket: &Path) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--relay").arg(socket);
        Self::over(command)
    }

    fn over(mut command: Command) -> Result<Self, Failure> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("no pipes".into());
        };
        let client = Client::over(output, input);
        Ok(Self { child, client })
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Copies from stdin to the socket at `path` and back, and looks at nothing.
pub fn relay(path: &str) -> Result<(), Failure> {
    use std::os::fd::AsFd;
    let socket = UnixStream::connect(path)?;
    let answers = socket.try_clone()?;
    // neither looked through for lines nor spliced, which takes longer
    let input = fs::File::from(std::io::stdin().as_fd().try_clone_to_owned()?);
    let output = fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    std::thread::spawn(move || copy(answers, output));
    Ok(copy(input, socket)?)
}

fn copy(mut from: impl Read, mut to: impl Write) -> std::io::Result<()> {
    let mut room = vec![0; 64 << 10];
    loop {
        match from.read(&mut room)? {
            0 => return Ok(()),
            count => to.write_all(&room[..count])?,
        }
    }
}

/// Gives every line back; a process of its own, as a daemon is.
pub struct Echo {
    path: PathBuf,
    child: Child,
}

/// What [`Echo::start`] starts.
pub fn echo(path: &str) -> Result<(), Failure> {
    // it ends with who started it
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0)
    });
    for stream in UnixListener::bind(path)?.incoming() {
        let stream = stream?;
        std::thread::spawn(move || give_back(stream));
    }
    Ok(())
}

impl Echo {
    pub fn start(folder: &Path) -> Result<Self, Failure> {
        let path = folder.join("echo.sock");
        let _ = fs::remove_file(&path);
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--echo")
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()?;
        while UnixStream::connect(&path).is_err() {
            if child.try_wait()?.is_some() {
                return Err("the echo ended early".into());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Self { path, child })
    }

    pub fn connect(&self) -> Result<Client, Failure> {
        Client::connect(&self.path)
    }

    /// How long it takes until a line has come back.
    pub fn once(client: &mut Client, line: &str) -> Result<Duration, Failure> {
        let began = Instant::now();
        client.write(line)?;
        client.line()?;
        Ok(began.elapsed())
    }

    /// How long it takes until each of `rounds` lines of `bytes` has come back.
    pub fn time(&self, bytes: usize, rounds: usize) -> Result<Vec<Duration>, Failure> {
        let mut client = self.connect()?;
        let line = "x".repeat(bytes.saturating_sub(1)) + "\n";
        (0..rounds)
            .map(|_| Self::once(&mut client, &line))
            .collect()
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn give_back(stream: UnixStream) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line)? > 0 {
        writer.write_all(&line)?;
        line.clear();
    }
    Ok(())
}
