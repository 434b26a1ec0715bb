//! The socket: its path, its folder, its lock, and who listens there.

use std::fs::Metadata;
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use super::mend::aside;
use super::owner::{Owner, locker};
use super::{Finding, OWN_FILE};
use crate::cli::args::quoted_path as word;
use crate::cli::json::Json;
use crate::cli::{serve, service};
use crate::transport::{
    SocketPath, SocketPathError, connect, cut_off, lock_of, socket_path::Untrusted,
};

/// How long a daemon may take to say who it is.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// And in how many bytes.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// The socket's folder and who listens there; whether a client can find its way.
pub(super) fn socket(root: &Path, findings: &mut Vec<Finding>) -> bool {
    let path = match serve::socket_path(None, root) {
        Ok(path) => path,
        Err(error) => {
            findings.push(Finding::new(error, "unset XDG_RUNTIME_DIR TMPDIR"));
            return false;
        }
    };
    if let Some(finding) = unfit_folder(&path) {
        findings.push(finding);
        return false;
    }
    let path = path.as_path();
    if let Some(finding) = foreign_daemon(path) {
        findings.push(finding);
        return true;
    }
    let lock = closed_lock(&lock_of(path));
    // whoever holds one that is closed cannot be told
    let lock_is_closed = lock.is_some();
    findings.extend(lock);
    let (finding, is_clear) = match path.symlink_metadata() {
        Err(_) => (removed(path), true),
        Ok(found) => match unfit_file(path, &found) {
            Some(finding) => (Some(finding), true),
            None => listener(path, lock_is_closed),
        },
    };
    findings.extend(finding);
    is_clear
}

/// That a folder for sockets is not one, if it is there.
fn unfit_folder(path: &SocketPath) -> Option<Finding> {
    let folder = path.as_path().parent()?;
    let found = folder.symlink_metadata().ok()?;
    let Err(error) = path.prepare_folder() else {
        return (found.mode() & 0o700 != 0o700).then(|| {
            let what = format!(
                "the socket folder {} is closed to its owner",
                folder.display()
            );
            Finding::new(what, format!("chmod 700 {}", word(folder)))
        });
    };
    let mend = match &error {
        SocketPathError::Untrusted { folder, found } => match found {
            Untrusted::Mode { .. } => format!("chmod 700 {}", word(folder)),
            Untrusted::NotAFolder => aside(folder),
            Untrusted::Owner { .. } => format!("sudo {}", aside(folder)),
        },
        SocketPathError::Folder { folder, .. } => format!("chmod u+rwx {}", word(folder)),
        _ => "unset XDG_RUNTIME_DIR TMPDIR".to_owned(),
    };
    Some(Finding::new(error.to_string(), mend))
}

/// That there is no socket though a daemon listens on one, if one does.
fn removed(path: &Path) -> Option<Finding> {
    let pid = cut_off(path, || path.symlink_metadata().is_ok())?;
    let path = path.display();
    Some(Finding::new(
        format!("somebody has removed {path}, where the daemon, process {pid}, listens"),
        // it makes it again
        format!("kill -URG {pid}"),
    ))
}

/// That what is there is no socket, or none for whoever runs this.
fn unfit_file(path: &Path, found: &Metadata) -> Option<Finding> {
    let shown = path.display();
    if !found.file_type().is_socket() {
        let what = format!("{shown}, where the socket would be, is none");
        return Some(Finding::new(what, aside(path)));
    }
    if !Owner::of(found).is_me() {
        // whether anybody listens there is not told to us
        let what = format!(
            "the socket {shown} belongs to user {}, and nobody else is served there",
            found.uid()
        );
        return Some(Finding::new(what, aside(path)));
    }
    (found.mode() & OWN_FILE != OWN_FILE).then(|| {
        let what = format!("the socket {shown} is closed to its owner");
        Finding::new(what, format!("chmod u+rw {}", word(path)))
    })
}

/// That a daemon of another user's has the socket, if one has that lives.
fn foreign_daemon(path: &Path) -> Option<Finding> {
    let found = path.symlink_metadata().ok()?;
    let pid = locker(&lock_of(path)).filter(|pid| is_daemon(*pid))?;
    let of_process = Path::new("/proc").join(pid.to_string()).metadata().ok()?;
    let is_foreign = !Owner::of(&found).is_me() && of_process.uid() == found.uid();
    is_foreign.then(|| {
        let what = format!(
            "a daemon of user {}, process {pid}, serves only that user at {}",
            found.uid(),
            path.display()
        );
        Finding::new(what, format!("sudo kill {pid}"))
    })
}

/// Who listens on a socket: what is wrong with that, and whether a client can find its way.
fn listener(path: &Path, lock_is_closed: bool) -> (Option<Finding>, bool) {
    let connected = connect(path).and_then(|stream| {
        stream.set_nonblocking(false)?;
        Ok(stream)
    });
    let is_there = || connect(path).is_ok();
    match connected {
        Ok(stream) => answerer(path, stream),
        // so many wait for it that no more can
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let what = format!("what listens on {} takes no connections", path.display());
            let holder = cut_off(path, is_there);
            if holder.is_none() && is_there() {
                return (None, true);
            }
            (
                Some(Finding::new(what, ended(path, holder, "-KILL "))),
                false,
            )
        }
        Err(_) if lock_is_closed => (None, true),
        Err(_) => {
            let shown = path.display();
            let finding = match cut_off(path, is_there) {
                Some(pid) => Finding::new(
                    format!("the daemon, process {pid}, cannot be reached at {shown}"),
                    // it makes it again
                    format!("rm -f {} && kill -URG {pid}", word(path)),
                ),
                // one that only began
                None if is_there() => return (None, true),
                None => Finding::new(
                    format!("a daemon that is gone left its socket, {shown}"),
                    format!("rm -f {}", word(path)),
                ),
            };
            (Some(finding), true)
        }
    }
}

/// The same of one that takes connections.
fn answerer(path: &Path, mut stream: UnixStream) -> (Option<Finding>, bool) {
    let peer = rustix::net::sockopt::socket_peercred(&stream).ok();
    let pid = peer.and_then(|peer| u32::try_from(peer.pid.as_raw_nonzero().get()).ok());
    let ours = env!("CARGO_PKG_VERSION");
    match version(&mut stream) {
        Ok(theirs) if theirs == ours => (None, true),
        Ok(theirs) => {
            let what = format!("the daemon is runlog {theirs}, and this is {ours}");
            (Some(Finding::new(what, ended(path, pid, ""))), true)
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
            (Some(Finding::new(what, ended(path, pid, "-KILL "))), false)
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
    let own = Owner::of(&found).is_me();
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
