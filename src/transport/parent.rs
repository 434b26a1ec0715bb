//! The end of another process: the client's, which `initialize` names (protocol section 3).
//!
//! A client that is killed closes its pipes too, unless a child of its own still holds them; that
//! is why editors pass their process id. Nothing is signalled here, only watched.

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
/// Cancel-safe. Linux tells of the end at once (a pidfd); elsewhere the process is looked for every
/// second, and an id given to another process within that second goes unnoticed.
pub async fn process_ended(pid: u32) -> Result<(), UnseenProcess> {
    let unseen = UnseenProcess { pid };
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(unseen)?;
    #[cfg(target_os = "linux")]
    match ended_by_pidfd(pid).await {
        Ok(()) => return Ok(()),
        Err(Errno::SRCH) => return Err(unseen),
        // Kernels before 5.3 and some sandboxes have no pidfds.
        Err(_) => {}
    }
    ended_by_polling(pid, POLL_EVERY).await.ok_or(unseen)
}

// Deprecated because a type may hand out a descriptor that it does not own; its successor is an
// unsafe function. An `OwnedFd` owns its own.
#[cfg(target_os = "linux")]
#[allow(deprecated)]
async fn ended_by_pidfd(pid: Pid) -> Result<(), Errno> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::process::{PidfdFlags, pidfd_open};
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    let pidfd = AsyncFd::with_interest(pidfd, Interest::READABLE).map_err(errno)?;
    loop {
        let mut ready = pidfd.readable().await.map_err(errno)?;
        // Readiness is allowed to be reported in vain.
        let mut polled = [PollFd::new(pidfd.get_ref(), PollFlags::IN)];
        if poll(&mut polled, Some(&Timespec::default()))? > 0 {
            return Ok(());
        }
        ready.clear_ready();
    }
}

/// `None` if there is no such process at the first look.
async fn ended_by_polling(pid: Pid, every: Duration) -> Option<()> {
    // Not being allowed to signal it (EPERM) shows that it is there.
    let gone = || test_kill_process(pid) == Err(Errno::SRCH);
    if gone() {
        return None;
    }
    while !gone() {
        tokio::time::sleep(every).await;
    }
    Some(())
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
        assert_eq!(in_time(waiting).await, Some(()));
        assert_eq!(ended_by_polling(pid, POLL_EVERY).await, None);
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
