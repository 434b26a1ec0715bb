//! Signals that ask this process to end, for whoever has something to do before.

use std::task::Poll;

use futures_util::FutureExt;
use signal_hook::iterator::SignalsInfo;
use signal_hook::iterator::exfiltrator::WithOrigin;
use signal_hook::low_level::siginfo::Cause;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Some of them, which do not end it any more; those that whoever started us had us ignore (`nohup`)
/// stay ignored, by what we start too.
pub(super) struct Signals(Vec<(SignalKind, Signal)>);

impl Signals {
    /// Those from here on. Call it within a tokio runtime.
    pub(super) fn new(kinds: &[SignalKind]) -> Self {
        let heard = heard(kinds).filter_map(|kind| match signal(kind) {
            Ok(signal) => Some((kind, signal)),
            Err(error) => {
                tracing::warn!(%error, "a signal is not seen");
                None
            }
        });
        Self(heard.collect())
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> SignalKind {
        std::future::poll_fn(|context| {
            for (kind, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*kind);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// One that came already.
    pub(super) async fn came(&mut self) -> Option<SignalKind> {
        // the runtime hears of it when nothing else is to be done
        tokio::task::yield_now().await;
        self.next().now_or_never()
    }
}

/// Those of some kinds that are not ignored.
fn heard(kinds: &[SignalKind]) -> impl Iterator<Item = SignalKind> {
    let ignored = signals_of("self", "SigIgn:");
    let kinds = kinds.iter().copied();
    kinds.filter(move |kind| ignored & bit(*kind) == 0)
}

/// Where signals come from.
pub(super) struct Origins {
    coming: Option<SignalsInfo<WithOrigin>>,
    /// Those that a process sent and nobody has asked about yet.
    sent: u64,
}

impl Origins {
    /// Of those from here on. They are known by the time that [`Signals`] made later tell of one.
    pub(super) fn new(kinds: &[SignalKind]) -> Self {
        let heard = heard(kinds).map(|kind| kind.as_raw_value());
        let coming = SignalsInfo::new(heard);
        let coming =
            coming.inspect_err(|error| tracing::warn!(%error, "whence a signal comes is not seen"));
        Self {
            coming: coming.ok(),
            sent: 0,
        }
    }

    /// Whether a process has sent one of this kind since this was asked last; a terminal is none.
    pub(super) fn was_sent(&mut self, kind: SignalKind) -> bool {
        let coming = self.coming.iter_mut().flat_map(SignalsInfo::pending);
        let sent = coming.filter(|origin| matches!(origin.cause, Cause::Sent(_)));
        let sent = sent.map(|origin| bit(SignalKind::from_raw(origin.signal)));
        self.sent |= sent.fold(0, std::ops::BitOr::bitor);
        let was_sent = self.sent & bit(kind) != 0;
        self.sent &= !bit(kind);
        was_sent
    }
}

/// The status to exit with where a signal is why, as shells have it.
pub(super) fn status_of(signal: SignalKind) -> u8 {
    u8::try_from(128 + signal.as_raw_value()).unwrap_or(1)
}

/// A signal in a mask.
pub(super) fn bit(signal: SignalKind) -> u64 {
    1 << (signal.as_raw_value() - 1)
}

/// The signals of a mask in what the system tells of a process; none where it does not tell.
pub(super) fn signals_of(process: &str, mask: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix(mask));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
