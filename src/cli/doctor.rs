//! `runlog doctor`: what is wrong around the runs, and a command that mends it.
//!
//! Nothing is mended here: commands that move or change files are for their owner to run. Each is one
//! that a shell takes as it stands, and after which the finding is gone.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use serde_json::json;

use super::args::{Params, in_one_line, quoted, quoted_path as word};
use super::client::{Client, Needs};
use super::config::{self, Fault};
use super::json::Json;
use super::progress::Screen;
use super::root::{self, Place};
use super::terminal::{Out, Paint, unless_unread, visible};
use super::time::grouped;
use super::{Failure, RootArgs, serve, service, status, xdg};
use crate::model::extract::extract;
use crate::model::json::{members, spelt_members};
use crate::model::{ExecutionId, ProjectId, RunKey, Status, nearest};
use crate::store::{Batch, Cache, root_hash};
use crate::transport::{SocketPathError, connect, cut_off, lock_of, socket_path::Untrusted};

/// How long a daemon may take to say who it is.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// And in how many bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;
/// What inotify's limits are to be raised to at least.
const WATCHES: u64 = 524_288;
const INSTANCES: u64 = 1024;
/// And at most: the system knows no more.
const LIMIT_MAX: u64 = i32::MAX.unsigned_abs() as u64;
/// How long a file's name may be.
const NAME_MAX_BYTES: usize = 255;
/// Keeps the index, which is made anew, where there is room for it.
const ELSEWHERE: &str = "export XDG_CACHE_HOME=\"$(mktemp -d)\"";
/// What its owner may do with a file.
const OWN_FILE: u32 = 0o600;
/// The part of it that lets its owner write.
const OWN_WRITES: u32 = 0o200;
/// How many bytes are written to find out whether there is room.
const TRIED_BYTES: usize = 64 << 10;
/// How many files of one project are told of that have the same wrong with them.
const ALIKE_MAX: usize = 20;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub root: RootArgs,
}

/// Something wrong.
#[derive(Debug)]
struct Finding {
    what: String,
    /// The command that mends it.
    mend: String,
    /// How many more there are like it that are told of once it is gone.
    more: usize,
}

impl Finding {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            // below each finding is one line, to be copied
            mend: in_one_line(mend.into()),
            more: 0,
        }
    }
}

/// Looks at everything; exits with 1 where something is wrong.
pub(super) fn run(args: &DoctorArgs, screen: &Screen) -> Result<u8, Failure> {
    let out = Out::stdout();
    let mut findings = Vec::new();
    if let Some(folder) = rooted(args, &mut findings)? {
        configs(&folder, &mut findings)?;
        permissions(&folder, &mut findings);
        let socket = socket(&folder, &mut findings);
        cache(&folder, &mut findings);
        // what cannot be asked is told already
        if socket {
            asked(args, &folder, screen, &mut findings)?;
        }
    }
    let mut text = String::new();
    for Finding { what, mend, more } in &findings {
        let what = out.remark(&format!("✗ {}", visible(what)), Paint::Plain);
        let sign = out.paint("✗", Paint::Red);
        // the command is whole, to be copied
        text.push_str(&format!("{}  {mend}\n", what.replacen('✗', &sign, 1)));
        if *more > 0 {
            let count = grouped(&more.to_string());
            let more = format!("… and {count} more like it, told of once these are gone");
            text.push_str(&out.remark(&more, Paint::Dim));
        }
    }
    if findings.is_empty() {
        let sign = out.paint("✓", Paint::Green);
        text = format!("{sign} nothing is wrong\n");
    }
    unless_unread(out.print(&text))?;
    Ok(u8::from(!findings.is_empty()))
}

/// Moves something out of the way.
fn aside(path: &Path) -> String {
    format!("mv -n {} {}", word(path), word(&beside(path, ".aside")))
}

/// A path beside this one where nothing is: its name, as far as there is room, and `ending`.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut number = 1;
    loop {
        let ending = match number {
            1 => ending.to_owned(),
            _ => format!("{ending}-{number}"),
        };
        let room = NAME_MAX_BYTES.saturating_sub(ending.len());
        let mut kept = name.get(..room).unwrap_or(name);
        // no character is cut in two
        if let (Ok(_), Err(cut)) = (std::str::from_utf8(name), std::str::from_utf8(kept)) {
            kept = kept.get(..cut.valid_up_to()).unwrap_or(kept);
        }
        let mut free = OsStr::from_bytes(kept).to_owned();
        free.push(ending);
        let free = path.with_file_name(free);
        if free.symlink_metadata().is_err() {
            return free;
        }
        number += 1;
    }
}

/// The root, if it is clear which.
fn rooted(args: &DoctorArgs, findings: &mut Vec<Finding>) -> Result<Option<PathBuf>, Failure> {
    let place = Place::of_process(args.root.projects.as_deref())?;
    let found = match root::find(&place) {
        Ok(found) => found,
        Err(error) => {
            // it begins with the file's path
            let is_it = |file: &PathBuf| error.starts_with(&format!("{}: ", file.display()));
            let files = place
                .here
                .ancestors()
                .map(|folder| folder.join(config::FILE));
            let file = files.into_iter().find(is_it).unwrap_or_default();
            let mend = match std::fs::File::open(&file) {
                Err(closed) if closed.kind() == io::ErrorKind::PermissionDenied => readable(&file),
                _ => aside(&file),
            };
            findings.push(Finding::new(error, mend));
            return Ok(None);
        }
    };
    let Some(folder) = found.root else {
        let first = found.candidates.first().cloned().unwrap_or_default();
        // the file names what is below its own folder, to whoever is there or below
        let top = found
            .candidates
            .iter()
            .fold(place.here.clone(), |top, other| {
                top.ancestors()
                    .find(|top| other.starts_with(top))
                    .map(Path::to_owned)
                    .unwrap_or_default()
            });
        let file = top.join("runlog.toml");
        let named = first
            .strip_prefix(&top)
            .unwrap_or(&first)
            .display()
            .to_string();
        let line = format!("projects = {}", json!(named));
        let others: Vec<String> = found
            .candidates
            .iter()
            .map(|one| one.display().to_string())
            .collect();
        findings.push(Finding::new(
            format!("several folders could be served: {}", others.join(", ")),
            first_line(&file, &line),
        ));
        return Ok(None);
    };
    if !found.exists {
        let what = match folder.symlink_metadata() {
            Ok(_) => {
                findings.push(Finding::new(
                    format!("{} is no folder", folder.display()),
                    format!("{} && mkdir -p {}", aside(&folder), word(&folder)),
                ));
                return Ok(None);
            }
            Err(error) => error.kind(),
        };
        // whether it is there cannot be seen
        let closed = match what {
            io::ErrorKind::PermissionDenied => {
                closed_above(folder.ancestors().skip(1), Wanted::Enter)
            }
            _ => None,
        };
        findings.push(closed.unwrap_or_else(|| {
            let told = format!("there is no root, {}: {what}", folder.display());
            Finding::new(told, made(&folder))
        }));
        return Ok(None);
    }
    Ok(Some(folder))
}

/// Makes a folder that is not there.
fn made(folder: &Path) -> String {
    let make = format!("mkdir -p {}", word(folder));
    let mut above = folder.ancestors().skip(1);
    let Some(above) = above.find(|above| above.symlink_metadata().is_ok()) else {
        return make;
    };
    let uid = rustix::process::geteuid().as_raw();
    match above.metadata() {
        Ok(found) if found.is_dir() && found.uid() != uid => {
            match rustix::fs::access(above, rustix::fs::Access::WRITE_OK) {
                Err(rustix::io::Errno::ACCESS) => {
                    format!("sudo install -d -o {uid} {}", word(folder))
                }
                _ => make,
            }
        }
        Ok(found) if found.is_dir() && found.mode() & OWN_WRITES == 0 => {
            format!("chmod u+w {} && {make}", word(above))
        }
        Ok(found) if found.is_dir() => make,
        _ => format!("{} && {make}", aside(above)),
    }
}

/// What is wanted of a folder above the root.
#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    /// To enter it.
    Enter,
    /// To watch it.
    Read,
}

/// The topmost of `folders`, which are the root's or above it and go upward, that denies what is wanted to
/// whoever runs this, if one does.
fn closed_above<'a>(folders: impl Iterator<Item = &'a Path>, wanted: Wanted) -> Option<Finding> {
    let (access, bit, what) = match wanted {
        Wanted::Enter => (rustix::fs::Access::EXEC_OK, "x", "cannot be entered"),
        Wanted::Read => {
            let what = "cannot be read, and so not be watched";
            (rustix::fs::Access::READ_OK, "r", what)
        }
    };
    let uid = rustix::process::geteuid().as_raw();
    let is_own = |folder: &Path| folder.metadata().is_ok_and(|found| found.uid() == uid);
    let denies = |folder: &&Path| {
        let mode = folder.metadata().map_or(0, |found| found.mode() >> 6);
        match is_own(folder) {
            // root may do whatever the mode says
            true => mode & access.bits() == 0,
            false => rustix::fs::access(*folder, access) == Err(rustix::io::Errno::ACCESS),
        }
    };
    // what is below one that cannot be entered is not known
    let folder = folders.filter(denies).last()?;
    let path = word(folder);
    let mend = match is_own(folder) {
        true => format!("chmod u+{bit} {path}"),
        false => format!("sudo chmod a+{bit} {path}"),
    };
    let what = format!("{}, above the root, {what}", folder.display());
    Some(Finding::new(what, mend))
}

/// Puts a line before all that a file holds: behind it, it would belong to the file's last table.
fn first_line(file: &Path, line: &str) -> String {
    let print = format!("printf '%s\\n' {}", quoted(line));
    match file.symlink_metadata() {
        Err(_) => format!("{print} > {}", word(file)),
        Ok(_) => rewritten(file, &format!("{print} | cat - {}", word(file))),
    }
}

/// Puts what a command prints into the place of a file, whose mode stays as it is all the while; but its
/// owner may write to the new one until that is whole.
fn rewritten(file: &Path, print: &str) -> String {
    let closed = file
        .metadata()
        .is_ok_and(|found| found.mode() & OWN_WRITES == 0);
    let (file, new) = (word(file), word(&beside(file, ".new")));
    match closed {
        false => format!("cp -p {file} {new} && {print} > {new} && mv {new} {file}"),
        true => format!(
            "cp -p {file} {new} && chmod u+w {new} && {print} > {new} && chmod u-w {new} && \
                mv -f {new} {file}"
        ),
    }
}

/// The files that say what is served and kept.
fn configs(folder: &Path, findings: &mut Vec<Finding>) -> Result<(), Failure> {
    // somebody may have removed it
    let here = std::env::current_dir().unwrap_or_else(|_| folder.to_owned());
    let is_root = rustix::process::geteuid().is_root();
    let owner = folder.metadata().map(|found| found.uid()).ok();
    for (file, fault) in config::faults(&here, folder) {
        // to that user it is a good one
        if matches!(fault, Fault::Foreign(uid) if is_root && Some(uid) == owner) {
            continue;
        }
        let (what, mend) = match fault {
            Fault::Closed(closed) => ("cannot be opened".to_owned(), readable(&closed)),
            Fault::Foreign(uid) => {
                // anybody may put one into a folder that is everybody's
                let mend = match uid {
                    0 => readable(&file),
                    _ => format!("sudo {}", aside(&file)),
                };
                (format!("belongs to user {uid}, and is not used"), mend)
            }
            Fault::NotAFile => ("is no file".to_owned(), aside(&file)),
            Fault::Wrong(what) => (what.trim_end().to_owned(), without_its_rest(&file)),
        };
        let told = format!("{}: {what}", file.display());
        findings.push(Finding::new(told, mend));
    }
    for config::Idle { file, lines, why } in config::idle_roots() {
        let mend = match lines {
            Some((first, last)) => {
                let each = quoted(&format!("{first},{last}s/^/# /"));
                format!("sed -i.before {each} {}", word(&file))
            }
            None => aside(&file),
        };
        let told = format!("{}: [[root]] does nothing: {why}", file.display());
        findings.push(Finding::new(told, mend));
    }
    Ok(())
}

/// Moves a config out of the way; one that says which folder is served, as the user's own does not, goes on
/// saying so.
fn without_its_rest(file: &Path) -> String {
    let is_own = config::of_user().as_deref() == Some(file);
    match root::named_in(file).filter(|_| !is_own) {
        Some(named) => {
            let line = format!("projects = {}", json!(named));
            let print = format!("printf '%s\\n' {}", quoted(&line));
            format!("{} && {print} > {}", aside(file), word(file))
        }
        None => aside(file),
    }
}

/// Folders that their owner may not use.
fn permissions(root: &Path, findings: &mut Vec<Finding>) {
    let mut folders = vec![root.to_owned()];
    let projects = std::fs::read_dir(root).into_iter().flatten().flatten();
    for project in projects.map(|entry| entry.path()) {
        let executions = project.join("executions");
        let reachable = denied(&project).is_none();
        if is_folder(&project) && (!reachable || is_folder(&executions)) {
            if reachable {
                let own = project.join(".runlog");
                let trash = own.join("trash");
                // whatever else lies there is not touched
                let batches = std::fs::read_dir(&trash).into_iter().flatten().flatten();
                let batches = batches.filter(|entry| {
                    let name = entry.file_name();
                    name.to_str()
                        .is_some_and(|name| Batch::parse(name).is_some())
                });
                let batches = batches.map(|entry| entry.path());
                let ours = [own, trash].into_iter().chain(batches);
                folders.push(project);
                folders.push(executions);
                folders.extend(ours.filter(|path| is_folder(path)));
            } else {
                folders.push(project);
            }
        }
    }
    // it is watched for the root's coming and going
    findings.extend(closed_above(root.parent().into_iter(), Wanted::Read));
    let mut read_only: Vec<String> = Vec::new();
    for folder in folders {
        if let Some(finding) = denied(&folder) {
            findings.push(finding);
        } else if let Some(finding) = unwritable(&folder)
            // once for each file system
            && !read_only.contains(&finding.mend)
        {
            read_only.push(finding.mend.clone());
            findings.push(finding);
        }
    }
}

/// Whether it is one itself, and no link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// That a folder is on a file system that is mounted read-only, if it is.
fn unwritable(folder: &Path) -> Option<Finding> {
    let refused = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).err()?;
    if refused != rustix::io::Errno::ROFS {
        return None;
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // number, parent, device, its root, where, how, fields that may be missing, -, kind, what, how
    let mounts = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let place = fields.get(4)?.replace("\\040", " ");
        let read_only = |options: &str| options.split(',').any(|option| option == "ro");
        let of_mount_alone = read_only(fields.get(5)?) && !read_only(fields.last()?);
        Some((PathBuf::from(place), of_mount_alone))
    });
    // of several at one place the last is on top
    let found = mounts
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.as_os_str().len());
    let (place, of_mount_alone) = found.unwrap_or_else(|| (folder.to_owned(), false));
    let sudo = match rustix::process::geteuid().is_root() {
        true => "",
        false => "sudo ",
    };
    let how = match of_mount_alone {
        true => "remount,bind,rw",
        false => "remount,rw",
    };
    Some(Finding::new(
        format!(
            "{} is on a file system that is mounted read-only",
            folder.display()
        ),
        format!("{sudo}mount -o {how} {}", word(&place)),
    ))
}

/// Why a folder cannot be read and entered, or by its owner written to, if it cannot. Who may write to
/// somebody else's is for that one to say.
fn denied(folder: &Path) -> Option<Finding> {
    let found = folder.metadata().ok()?;
    let uid = rustix::process::geteuid().as_raw();
    if found.uid() == uid {
        let mode = found.mode() & 0o700;
        return (found.is_dir() && mode != 0o700).then(|| {
            Finding::new(
                format!(
                    "{} cannot be read and written by its owner",
                    folder.display()
                ),
                format!("chmod u+rwx {}", word(folder)),
            )
        });
    }
    use rustix::fs::Access;
    let refused = rustix::fs::access(folder, Access::READ_OK | Access::EXEC_OK).is_err();
    let path = word(folder);
    let mend = match found.uid() {
        // who can use it all the same
        0 => format!("sudo chown -R {uid} {path}"),
        _ => {
            let gid = rustix::process::getegid().as_raw();
            format!("sudo chgrp -R {gid} {path} && sudo chmod -R g+rX {path}")
        }
    };
    refused.then(|| {
        Finding::new(
            format!(
                "{} belongs to user {} and is closed to you",
                folder.display(),
                found.uid()
            ),
            mend,
        )
    })
}

/// The socket's folder and who listens there; whether a client can find its way.
fn socket(root: &Path, findings: &mut Vec<Finding>) -> bool {
    let path = match serve::socket_path(None, root) {
        Ok(path) => path,
        Err(error) => {
            findings.push(Finding::new(error, "unset XDG_RUNTIME_DIR TMPDIR"));
            return false;
        }
    };
    if path
        .as_path()
        .parent()
        .is_some_and(|folder| folder.symlink_metadata().is_ok())
        && let Err(error) = path.prepare_folder()
    {
        let mend = match &error {
            SocketPathError::Untrusted { folder, found } => match found {
                Untrusted::Mode { .. } => format!("chmod 700 {}", word(folder)),
                Untrusted::NotAFolder => aside(folder),
                Untrusted::Owner { .. } => format!("sudo {}", aside(folder)),
            },
            SocketPathError::Folder { folder, .. } => format!("chmod u+rwx {}", word(folder)),
            _ => "unset XDG_RUNTIME_DIR TMPDIR".to_owned(),
        };
        findings.push(Finding::new(error.to_string(), mend));
        return false;
    }
    let path = path.as_path();
    let lock = closed_lock(&lock_of(path));
    // whoever holds one that is closed cannot be told
    let lock_is_closed = lock.is_some();
    findings.extend(lock);
    let Ok(found) = path.symlink_metadata() else {
        if let Some(pid) = cut_off(path, || path.symlink_metadata().is_ok()) {
            let path = path.display();
            findings.push(Finding::new(
                format!("somebody has removed {path}, where the daemon, process {pid}, listens"),
                // it makes it again
                format!("kill -URG {pid}"),
            ));
        }
        return true;
    };
    if !found.file_type().is_socket() {
        let what = format!("{}, where the socket would be, is none", path.display());
        findings.push(Finding::new(what, aside(path)));
        return true;
    }
    let own = found.uid() == rustix::process::geteuid().as_raw();
    if own && found.mode() & OWN_FILE != OWN_FILE {
        let what = format!("the socket {} is closed to its owner", path.display());
        findings.push(Finding::new(what, format!("chmod u+rw {}", word(path))));
        return true;
    }
    let connected = connect(path).and_then(|stream| {
        stream.set_nonblocking(false)?;
        Ok(stream)
    });
    let mut stream = match connected {
        Ok(stream) => stream,
        // so many wait for it that no more can
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let what = format!("what listens on {} takes no connections", path.display());
            let is_free = || connect(path).is_ok();
            let holder = cut_off(path, is_free);
            if holder.is_none() && is_free() {
                return true;
            }
            findings.push(Finding::new(what, ended(path, holder, "-KILL ")));
            return false;
        }
        Err(_) if lock_is_closed => return true,
        Err(_) => {
            let is_there = || connect(path).is_ok();
            let finding = match cut_off(path, is_there) {
                Some(pid) => Finding::new(
                    format!(
                        "the daemon, process {pid}, cannot be reached at {}",
                        path.display()
                    ),
                    // it makes it again
                    format!("rm -f {} && kill -URG {pid}", word(path)),
                ),
                // one that only began
                None if is_there() => return true,
                None => Finding::new(
                    format!("a daemon that is gone left its socket, {}", path.display()),
                    format!("rm -f {}", word(path)),
                ),
            };
            findings.push(finding);
            return true;
        }
    };
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok();
    let pid = peer.and_then(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()).ok());
    let ours = env!("CARGO_PKG_VERSION");
    match version(&mut stream) {
        Ok(theirs) if theirs == ours => true,
        Ok(theirs) => {
            let what = format!("the daemon is runlog {theirs}, and this is {ours}");
            findings.push(Finding::new(what, ended(path, pid, "")));
            true
        }
        Err(error) => {
            let shown = path.display();
            let what = match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                    let seconds = ANSWERS_WITHIN.as_secs();
                    format!("what listens on {shown} does not answer within {seconds} s")
                }
                _ => format!("what listens on {shown} does not answer: {error}"),
            };
            // one that is stopped follows no other signal
            findings.push(Finding::new(what, ended(path, pid, "-KILL ")));
            false
        }
    }
}

/// Ends who listens on a socket, if that is a daemon: by its process, as far as that is known, or by
/// the unit that it is of. Whoever else does is left alone, and the socket moved out of the way.
fn ended(socket: &Path, pid: Option<u32>, signal: &str) -> String {
    match (pid.filter(|pid| is_daemon(*pid)), service::unit_of(socket)) {
        (Some(pid), _) => format!("kill {signal}{pid}"),
        (None, Some(unit)) => format!("systemctl --user restart {unit}"),
        (None, None) => aside(socket),
    }
}

/// Whether a process is a daemon on a socket, as far as its command line tells: a socket's peer may be
/// the service manager that made it, with which all else that it runs would end.
fn is_daemon(pid: u32) -> bool {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = line.split(|byte| *byte == 0);
    words.any(|word| word == b"serve") && words.any(|word| word.starts_with(b"--socket"))
}

/// That a socket's lock file cannot be used, if that is so.
fn closed_lock(lock: &Path) -> Option<Finding> {
    let found = lock.symlink_metadata().ok()?;
    let own = found.uid() == rustix::process::geteuid().as_raw();
    let shown = lock.display();
    if !found.is_file() || !own || found.nlink() != 1 {
        let what = format!("{shown}, where the socket's lock would be, is no lock file of yours");
        return Some(Finding::new(what, aside(lock)));
    }
    (found.mode() & OWN_FILE != OWN_FILE).then(|| {
        let what = format!("{shown}, the socket's lock, is closed to its owner");
        Finding::new(what, format!("chmod u+rw {}", word(lock)))
    })
}

/// The version that a daemon says it has.
fn version(stream: &mut UnixStream) -> io::Result<String> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    stream.write_all(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\"}\n")?;
    let mut answer = Vec::new();
    let mut byte = [0];
    while answer.len() < ANSWER_MAX_BYTES {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // of all of it, however slowly it comes
        stream.set_read_timeout(Some(left))?;
        if stream.read(&mut byte)? == 0 || byte == *b"\n" {
            break;
        }
        answer.extend_from_slice(&byte);
    }
    let answer = Json::read(&String::from_utf8_lossy(&answer));
    let server = answer.at("result").at("serverInfo");
    match server.at("version").text() {
        Some(version) => Ok(version.to_owned()),
        None => Err(io::Error::other("it speaks something else")),
    }
}

/// Where the index is kept.
fn cache(root: &Path, findings: &mut Vec<Finding>) {
    let Some(base) = xdg::cache_home() else {
        let what = "there is no folder for the index: neither XDG_CACHE_HOME nor HOME is set";
        findings.push(Finding::new(what, ELSEWHERE));
        return;
    };
    let ours = base.join("runlog");
    let folders = [base.clone(), ours.clone(), ours.join(root_hash(root))];
    for (number, folder) in folders.iter().enumerate() {
        let Ok(found) = folder.symlink_metadata() else {
            continue;
        };
        // somebody may have linked the folder for all caches to elsewhere
        let is_folder = if number == 0 {
            folder.is_dir()
        } else {
            found.is_dir()
        };
        let own = found.uid() == rustix::process::geteuid().as_raw();
        let plain = found.is_file() || found.is_symlink();
        if !is_folder || (number > 0 && !own) {
            let what = format!(
                "{}, where the index is kept, is no folder of yours",
                folder.display()
            );
            // a device and the like is the system's, whoever runs this
            let mend = match number {
                0 if !(own && plain) => ELSEWHERE.to_owned(),
                1 if is_closed_to_us(&base) => usable(&base),
                _ => aside(folder),
            };
            findings.push(Finding::new(what, mend));
            return;
        }
        if number > 0 && found.mode() & 0o777 != 0o700 || own && found.mode() & 0o700 != 0o700 {
            let what = format!(
                "{}, where the index is kept, has the wrong mode",
                folder.display()
            );
            let mend = match number {
                0 if is_of_the_system(folder) => ELSEWHERE.to_owned(),
                // others may have theirs below it
                0 => format!("chmod u+rwx {}", word(folder)),
                _ => format!("chmod u+rwx,go= {}", word(folder)),
            };
            findings.push(Finding::new(what, mend));
            return;
        }
    }
    for name in ["index", "siblings", "search", "search.lock", "search.sound"] {
        let path = ours.join(root_hash(root)).join(name);
        let Ok(found) = path.symlink_metadata() else {
            continue;
        };
        // the others are replaced by new ones where they cannot be used
        let (fits, needed) = match name {
            "search" => (found.is_dir(), 0o700),
            "search.lock" => (found.is_file(), OWN_FILE),
            _ => (found.is_file(), 0),
        };
        let own = found.uid() == rustix::process::geteuid().as_raw();
        if !fits || !own && needed > 0 {
            let what = format!("{}, of the kept index, is not what it was", path.display());
            findings.push(Finding::new(what, aside(&path)));
        } else if own && found.mode() & needed != needed {
            let what = format!("{}, of the kept index, is closed to you", path.display());
            let mend = format!("chmod u+rwX {}", word(&path));
            findings.push(Finding::new(what, mend));
        }
    }
    let written = Cache::of(base.clone(), root)
        .folder()
        .map_err(|error| error.to_string())
        .and_then(|folder| {
            let write = |mut file: std::fs::File| file.write_all(&[0; TRIED_BYTES]);
            let written = tempfile::tempfile_in(folder).and_then(write);
            written.map_err(|error| error.to_string())
        });
    if let Err(error) = written {
        let what = format!("the index cannot be kept in {}: {error}", ours.display());
        let mend = match is_closed_to_us(&base) {
            true => usable(&base),
            false => ELSEWHERE.to_owned(),
        };
        findings.push(Finding::new(what, mend));
    }
}

/// Whether a folder is another user's, and nothing can be put into it.
fn is_closed_to_us(folder: &Path) -> bool {
    let uid = rustix::process::geteuid().as_raw();
    let foreign = folder.metadata().is_ok_and(|found| found.uid() != uid);
    let all = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    foreign && rustix::fs::access(folder, all) == Err(rustix::io::Errno::ACCESS)
}

/// Takes the folder for all caches back, which some other program made as root, if it lies in a folder of
/// whoever runs this; leaves it to the system otherwise.
fn usable(base: &Path) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let above = base.parent().and_then(|above| above.metadata().ok());
    match above.is_some_and(|above| above.uid() == uid) {
        true => format!("sudo chown -R {uid} {}", word(base)),
        false => ELSEWHERE.to_owned(),
    }
}

/// Whether a folder shows what the system knows, and holds no files.
#[cfg(target_os = "linux")]
fn is_of_the_system(folder: &Path) -> bool {
    const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
    let found = rustix::fs::statfs(folder);
    found.is_ok_and(|found| [rustix::fs::PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&found.f_type))
}

/// Whether it does: elsewhere there is none.
#[cfg(not(target_os = "linux"))]
fn is_of_the_system(_: &Path) -> bool {
    false
}

/// What only whoever serves the root knows.
fn asked(
    args: &DoctorArgs,
    root: &Path,
    screen: &Screen,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let place = Place::of_process(args.root.projects.as_deref())?;
    let Ok(found) = root::find(&place) else {
        return Ok(());
    };
    let runtime = serve::runtime().map_err(|_| Failure::Failed("no runtime".to_owned()))?;
    let done = runtime.block_on(async {
        let mut client =
            Client::over(root, &found, Needs::Changes, screen).map_err(Failure::Failed)?;
        let done = asked_of(&mut client, root, findings).await;
        client.end();
        done
    });
    runtime.shutdown_background();
    done
}

async fn asked_of(
    client: &mut Client,
    root: &Path,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let state = Json::read(&status::settled(client).await?);
    let watcher = state.at("watcher");
    if let (false, Some(message)) = (
        watcher.at("healthy").is_true(),
        watcher.at("message").text(),
    ) && let Some(mend) = raise(message)
    {
        findings.push(Finding::new(message, mend));
    }
    let mut params = Params::new();
    params.insert("sync".into(), true.into());
    params.insert("limit".into(), 1000.into());
    let mut alike = Alike::default();
    loop {
        let page = client.ask("server/problems", params.clone()).await?;
        for problem in page.at("problems").items() {
            alike.take(root, problem, findings);
        }
        params.remove("sync");
        match page.at("nextCursor").text() {
            Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
            None => break,
        }
    }
    // what is wrong with a file is told already
    if let Ok(Some(policy)) = config::policy(root)
        && let Some(file) = config::policy_file(root)
    {
        let mut params = Params::new();
        params.insert("dryRun".into(), true.into());
        let what = match client.ask("executions/prune", params).await {
            Err(Failure::Refused { error, .. }) => Some(error.message),
            Ok(plan) if plan.at("everything").is_true() => {
                Some("the policy would leave no run that has ended".to_owned())
            }
            _ => None,
        };
        if let Some(what) = what {
            let what = format!("{}: {what}", file.display());
            findings.push(Finding::new(what, without_its_rest(&file)));
            return Ok(());
        }
        let rules = policy.rules().unwrap_or_default().rules;
        let statuses = rules.iter().flat_map(|rule| rule.statuses.iter().flatten());
        let statuses: BTreeSet<&str> = statuses.map(Status::as_str).collect();
        for status in statuses {
            findings.extend(misspelt(client, status, &file).await?);
        }
    }
    Ok(())
}

/// That a rule names a status that no run has and that is near a known one.
async fn misspelt(
    client: &mut Client,
    status: &str,
    file: &Path,
) -> Result<Option<Finding>, Failure> {
    let known = || Status::KNOWN.iter().map(Status::as_str);
    let near = match nearest(status, known()) {
        Some(near) if known().all(|known| known != status) => near,
        _ => return Ok(None),
    };
    let mut params = Params::new();
    params.insert("status".into(), status.into());
    params.insert("limit".into(), 1.into());
    if client
        .ask("executions/list", params)
        .await?
        .at("total")
        .count()
        > 0
    {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let is_plain = status
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let places = config::status_places(&text, status).filter(|_| is_plain);
    let mend = match places {
        Some(places) => {
            // from the last on, so that the others stay where they are
            let change = |(line, column): &(usize, usize)| {
                format!(r"{line}s/^\(.\{{{column}\}}\){status}/\1{near}/")
            };
            let changes: Vec<String> = places.iter().rev().map(change).collect();
            let changes = quoted(&changes.join(";"));
            // columns are bytes
            format!("LC_ALL=C sed -i.before {changes} {}", word(file))
        }
        None => without_its_rest(file),
    };
    let file = file.display();
    let what = format!("{file}: no run has the status `{status}`; `{near}` may be meant");
    Ok(Some(Finding::new(what, mend)))
}

/// What has been told of a project's files, by what is wrong with them.
#[derive(Default)]
struct Alike(HashMap<(String, String), Told>);

#[derive(Default)]
struct Told {
    count: usize,
    /// Which finding was the last of them.
    last: usize,
}

impl Alike {
    /// Tells of a problem, or only that there is one more like those told of.
    fn take(&mut self, root: &Path, problem: &Json, findings: &mut Vec<Finding>) {
        let path = problem.at("path").word();
        let (project, _) = path.split_once('/').unwrap_or((path, ""));
        let kind = problem.at("kind").word();
        let told = self.0.entry((project.to_owned(), kind.to_owned()));
        let told = told.or_default();
        if told.count == ALIKE_MAX {
            if let Some(last) = findings.get_mut(told.last) {
                last.more += 1;
            }
            return;
        }
        let file = file_of(root, problem);
        if !is_closed(root, &file)
            && let Some(finding) = of_file(root, &file, problem)
        {
            told.count += 1;
            told.last = findings.len();
            findings.push(finding);
        }
    }
}

/// The command that raises the limit that a message is about, where it is one.
fn raise(message: &str) -> Option<String> {
    let limit = |path: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let (path, value) = raised(message, limit)?;
    Some(match rustix::process::geteuid().is_root() {
        true => format!("echo {value} > {path}"),
        false => format!("echo {value} | sudo tee {path}"),
    })
}

/// The file of the limit that a message is about, where it is one, and what is to be written to it, which is
/// more than it says: all files say what they `limit`.
fn raised(message: &str, limit: impl Fn(&str) -> Option<u64>) -> Option<(String, u64)> {
    let (of_system, of_user, least) = if message.contains("max_user_watches") {
        ("max_user_watches", "max_inotify_watches", WATCHES)
    } else if message.contains("max_user_instances") {
        ("max_user_instances", "max_inotify_instances", INSTANCES)
    } else {
        return None;
    };
    let of_system = format!("/proc/sys/fs/inotify/{of_system}");
    let of_user = format!("/proc/sys/user/{of_user}");
    // in a container that has limits of its own, those are met first
    let path = match (limit(&of_user), limit(&of_system)) {
        (Some(user), Some(system)) if user < system => of_user,
        _ => of_system,
    };
    let value = limit(&path).unwrap_or(0).saturating_mul(2);
    Some((path, value.clamp(least, LIMIT_MAX)))
}

/// Gives a file or folder to whoever runs this, if it is somebody else's, and lets its owner read it.
fn readable(file: &Path) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let path = word(file);
    let chmod = format!("chmod u+rwX {path}");
    match file.symlink_metadata() {
        Ok(found) if found.uid() != uid => format!("sudo chown {uid} {path} && {chmod}"),
        _ => chmod,
    }
}

/// What a problem is about.
fn file_of(root: &Path, problem: &Json) -> PathBuf {
    let told = problem.at("path").word();
    let names = told.split('/').filter(|name| *name != ".");
    names.fold(root.to_owned(), |folder, name| {
        let path = folder.join(name);
        // what is no text is told with signs in its place
        let replaced = name.contains(char::REPLACEMENT_CHARACTER);
        if !replaced || path.symlink_metadata().is_ok() {
            return path;
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut paths = entries.map(|entry| entry.path());
        let is_it = |path: &PathBuf| {
            let found = path.file_name().unwrap_or_default();
            found.to_string_lossy() == name
        };
        paths.find(is_it).unwrap_or(path)
    })
}

/// Whether the file is, or lies in, a folder of which it has been told already that it is closed.
fn is_closed(root: &Path, file: &Path) -> bool {
    let below = |folder: &&Path| folder.starts_with(root);
    let mut folders = file.ancestors().take_while(below);
    folders.any(|folder| folder.is_dir() && denied(folder).is_some())
}

/// Whether a file is in a project of somebody who is not root: it is for that one to write there.
fn is_of_others(root: &Path, file: &Path) -> bool {
    let below = file.ancestors().find(|path| path.parent() == Some(root));
    let found = below.and_then(|project| project.metadata().ok());
    let ours = [0, rustix::process::geteuid().as_raw()];
    found.is_some_and(|found| !ours.contains(&found.uid()))
}

/// A file that cannot be read or does not fit; `None` where it does by now.
fn of_file(root: &Path, file: &Path, problem: &Json) -> Option<Finding> {
    let mut message = problem.at("message").word().to_owned();
    let name = |path: Option<&Path>| {
        let name = path.and_then(Path::file_stem).unwrap_or_default();
        json!(name.to_string_lossy()).to_string()
    };
    let project = file.parent().and_then(Path::parent);
    let project_name = project.and_then(Path::file_name).unwrap_or_default();
    let project_name = project_name.to_string_lossy();
    let mend = match problem.at("kind").word() {
        "id-mismatch" => edited(file, "id", &format!(".id = {}", name(Some(file)))),
        "project-mismatch" => {
            let change = format!(".projectId = {}", json!(project_name));
            edited(file, "projectId", &change)
        }
        "invalid-cost" => edited(file, "costUSD", "del(.costUSD)"),
        "invalid-date" => {
            let (names, change) = match bad_dates(file, &project_name) {
                [true, true] => (
                    "each of `startedAt` and `completedAt`",
                    "del(.startedAt, .completedAt)",
                ),
                // the other one orders the run
                [true, false] => ("`startedAt`", "del(.startedAt)"),
                [false, true] => ("`completedAt`", "del(.completedAt)"),
                [false, false] => return None,
            };
            message = message.replace("`startedAt` or `completedAt`", names);
            edited(file, "", change)
        }
        "unwritable" if is_of_others(root, file) => return None,
        "unreadable" | "unwritable" => readable(file),
        // whatever it is called there, it would be taken for a project
        _ if file.parent() == Some(root) => {
            let outside = root.with_file_name(file.file_name().unwrap_or_default());
            format!("mv -n {} {}", word(file), word(&beside(&outside, ".aside")))
        }
        _ => aside(file),
    };
    let path = problem.at("path").word();
    Some(Finding::new(format!("{path}: {message}"), mend))
}

/// Whether a run's start and its end are dates to nobody, as the index reads them.
fn bad_dates(file: &Path, project: &str) -> [bool; 2] {
    let bad = || {
        let text = std::fs::read_to_string(file).ok()?;
        let key = RunKey {
            project: ProjectId::parse(project).ok()?,
            execution: ExecutionId::parse(file.file_stem()?.to_str()?).ok()?,
        };
        let facts = extract(text.as_bytes(), &key).ok()?;
        let is_there = |wanted: &str| {
            let found = members(&text).filter(|(name, _)| name == wanted).last();
            found.is_some_and(|(_, value)| value != "null")
        };
        Some([
            facts.started_at.is_none() && is_there("startedAt"),
            facts.completed_at.is_none() && is_there("completedAt"),
        ])
    };
    bad().unwrap_or_default()
}

/// Changes a record by jq. One of which that would not leave the rest as it is is moved out of the way
/// instead; a number that goes, in the member called `changed`, need not be kept.
fn edited(file: &Path, changed: &str, change: &str) -> String {
    let keeps = |(name, value): (&str, &str)| {
        // a lone surrogate is refused or replaced, and so it is here
        let is_text = serde_json::from_str::<String>(name).ok();
        let is_number = value.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        is_text.is_some_and(|name| {
            is_number && name == changed
                || serde_json::from_str::<serde_json::Value>(value).is_ok()
                    && keeps_digits(&Json::read(value))
        })
    };
    match std::fs::read_to_string(file) {
        Ok(text) if spelt_members(&text).all(keeps) => {
            rewritten(file, &format!("jq {} {}", quoted(change), word(file)))
        }
        _ => aside(file),
    }
}

/// Whether every number in it is one that jq says again: some versions make doubles of them, and write
/// those as short as can be.
fn keeps_digits(value: &Json) -> bool {
    match value {
        Json::Number(spelling) => {
            let again = spelling.parse::<f64>().map(|double| format!("{double:e}"));
            again.is_ok_and(|again| digits(spelling) == digits(&again))
        }
        Json::List(items) => items.iter().all(keeps_digits),
        Json::Object(members) => members.iter().all(|(_, value)| keeps_digits(value)),
        _ => true,
    }
}

/// The digits of a number that count.
fn digits(spelling: &str) -> String {
    let number = spelling.split(['e', 'E']).next().unwrap_or_default();
    let digits = number.chars().filter(char::is_ascii_digit);
    digits.collect::<String>().trim_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_that_is_the_same_once_it_was_a_double() {
        for (number, is_kept) in [
            ("0", true),
            ("-0.0", true),
            ("1.50", true),
            ("1e2", true),
            ("100000000000000000000", true),
            ("0.30000000000000004", true),
            ("9007199254740992", true),
            ("9007199254740993", false),
            ("12345678901234567", false),
            ("90071992547409931", false),
            ("0.1000000000000000055", false),
        ] {
            assert_eq!(keeps_digits(&Json::read(number)), is_kept, "{number}");
        }
    }

    #[test]
    fn a_limit_is_raised_whatever_it_is() {
        let watches = "the system's limit is reached (fs.inotify.max_user_watches)";
        let instances = "the system's limit is reached (fs.inotify.max_user_instances)";
        let of_system = "/proc/sys/fs/inotify/max_user_watches";
        let of_user = "/proc/sys/user/max_inotify_watches";
        for (user, system, file, value) in [
            (None, None, of_system, WATCHES),
            (None, Some(8192), of_system, WATCHES),
            (Some(LIMIT_MAX), Some(1_048_576), of_system, 2_097_152),
            (Some(600_000), Some(1_048_576), of_user, 1_200_000),
            (Some(LIMIT_MAX), Some(LIMIT_MAX - 1), of_system, LIMIT_MAX),
        ] {
            let limit = |path: &str| if path == of_user { user } else { system };
            let raised = raised(watches, limit);
            assert_eq!(raised, Some((file.to_owned(), value)));
        }
        let (_, value) = raised(instances, |_| Some(8192)).unwrap();
        assert_eq!(value, 16_384);
        assert_eq!(raised("something else", |_| Some(1)), None);
    }
}
