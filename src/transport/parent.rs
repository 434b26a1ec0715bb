//! The end of another process: the client's, which `initialize` names (protocol section 3).
//!
//! A client that is killed closes its pipes too, unless a child of its own still holds them; that
//! is why editors pass their process id. Nothing is signalled here, only watched.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

/// How often a process is looked at where the system cannot tell of its end.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// A process id that means nothing here: no such process, or one of another container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("process {pid} cannot be seen from here, so its end cannot be waited for")]
pub struct UnseenProcess {
    /// The id as given.
    pub pid: u32,
}

/// Waits until the process has ended. An id that cannot be seen is an error at once, since a
/// process that was never seen must not be taken for one that has ended.
///
/// It is looked for before this returns, not when the future is first polled: one that ends in
/// between was seen. The future is cancel-safe. Linux tells of the end at once (a pidfd); elsewhere
/// the process is looked for every second, and an id given to another process within that second
/// goes unnoticed.
pub fn process_ended(pid: u32) -> impl Future<Output = Result<(), UnseenProcess>> + Send {
    let seen = see(pid);
    async move {
        let (pid, pidfd) = seen?;
        match ended_by_pidfd(pidfd).await {
            Some(()) => {}
            None => ended_by_polling(pid, POLL_EVERY).await,
        }
        Ok(())
    }
}

/// What stands for a process whatever is called so later, where the system has such a thing.
type Pidfd = Option<OwnedFd>;

fn see(pid: u32) -> Result<(Pid, Pidfd), UnseenProcess> {
    let unseen = UnseenProcess { pid };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(unseen)?;
    #[cfg(target_os = "linux")]
    match rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) {
        Ok(pidfd) => return Ok((pid, Some(pidfd))),
        Err(Errno::SRCH) => return Err(unseen),
        // Kernels before 5.3 and some sandboxes have no pidfds.
        Err(_) => {}
    }
    if is_gone(pid) {
        return Err(unseen);
    }
    Ok((pid, None))
}

/// `None` where it cannot be waited for so.
#[cfg(target_os = "linux")]
async fn ended_by_pidfd(pidfd: Pidfd) -> Option<()> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use tokio::io::Interest;

    let pidfd = super::direct::registered(pidfd?, Interest::READABLE).ok()?;
    loop {
        let mut ready = pidfd.readable().await.ok()?;
        // Readiness is allowed to be reported in vain.
        let mut polled = [PollFd::new(pidfd.get_ref(), PollFlags::IN)];
        if poll(&mut polled, Some(&Timespec::default())).ok()? > 0 {
            return Some(());
        }
        ready.clear_ready();
    }
}

/// Nothing: this system has no pidfds.
#[cfg(not(target_os = "linux"))]
async fn ended_by_pidfd(_: Pidfd) -> Option<()> {
    None
}

fn is_gone(pid: Pid) -> bool {
    // Not being allowed to signal it (EPERM) shows that it is there.
    test_kill_process(pid) == Err(Errno::SRCH)
}

async fn ended_by_polling(pid: Pid, every: Duration) {
    while !is_gone(pid) {
        tokio::time::sleep(every).await;
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn child(lives: &str) -> Child {
        Command::new("sleep").arg(lives).spawn().unwrap()
    }

    fn ended_child() -> u32 {
        let mut child = child("0");
        child.wait().unwrap();
        child.id()
    }

    async fn in_time<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(Duration::from_secs(20), future)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn the_end_is_told_and_not_before() {
        let mut child = child("1000");
        let waiting = process_ended(child.id());
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err());
        child.kill().unwrap();
        // Not yet waited for: a zombie has ended too.
        #[cfg(not(target_os = "linux"))]
        child.wait().unwrap();
        assert_eq!(in_time(waiting).await, Ok(()));
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn the_end_is_told_without_pidfds_too() {
        let mut child = child("1000");
        let pid = Pid::from_child(&child);
        let waiting = ended_by_polling(pid, Duration::from_millis(5));
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err());
        child.kill().unwrap();
        child.wait().unwrap();
        in_time(waiting).await;
    }

    #[tokio::test]
    async fn who_ends_before_anybody_waits_was_seen() {
        let mut child = child("1000");
        let waiting = process_ended(child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(in_time(waiting).await, Ok(()));
    }

    #[tokio::test]
    async fn what_cannot_be_seen_is_said_at_once() {
        for pid in [0, u32::MAX, i32::MAX as u32, ended_child()] {
            assert_eq!(
                in_time(process_ended(pid)).await,
                Err(UnseenProcess { pid })
            );
        }
    }
}
