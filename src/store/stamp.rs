//! Stamps as the system gives them, when one proves nothing, and versions.
//!
//! The trap is told in the house's page: a stamp tells, without reading a file, that it is the one
//! read before, but only if the file was not written within the same tick of the file system's
//! clock as it was read in.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat};
use xxhash_rust::xxh3::xxh3_128;

use super::layout::file_type;
use crate::model::{Stamp, Version};

/// The version of a record that is stored as `bytes`.
#[must_use]
pub fn version_of(bytes: &[u8]) -> Version {
    version_from(xxh3_128(bytes))
}

/// The version whose hash was taken piece by piece.
pub(super) fn version_from(digest: u128) -> Version {
    Version(digest.to_be_bytes())
}

/// How much older than its reading a file must be. File systems stamp with a clock that ticks every
/// 1 to 10 ms, so two writes within one tick bear the same time.
const TICK: Duration = Duration::from_millis(10);
/// On those that keep no parts of seconds, as old ones; or only every other second.
const COARSE_TICK: Duration = Duration::from_secs(2);
const SECOND_NS: i64 = 1_000_000_000;

// The fields' types differ from platform to platform.
#[allow(clippy::unnecessary_cast)]
pub(super) fn stamp_of(stat: &Stat) -> Stamp {
    Stamp {
        dev: stat.st_dev as u64,
        ino: stat.st_ino as u64,
        size: stat.st_size as u64,
        mtime_ns: nanoseconds(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
        ctime_ns: nanoseconds(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
    }
}

/// Whether both are of one file or folder, changed or not.
pub(super) fn same_file(one: &Stamp, other: &Stamp) -> bool {
    (one.dev, one.ino) == (other.dev, other.ino)
}

/// Whether a reading begun at `now` may miss a later write that leaves the stamp as it is: the
/// file was changed less than 10 ms before (where there are only whole seconds, 2 s), or (the clock was
/// set back) after. An mtime of the future
/// (given by hand, or by an archive) hides nothing by itself: whoever writes changes the ctime.
#[must_use]
pub fn is_racy(stamp: &Stamp, now: SystemTime) -> bool {
    let now = since_epoch_ns(now);
    let settled_before = now.saturating_sub(tick_of(stamp).as_nanos() as i64);
    stamp.ctime_ns > settled_before || (settled_before < stamp.mtime_ns && stamp.mtime_ns <= now)
}

/// How long after its reading a file is racy no more, about.
#[must_use]
pub fn settles_after(stamp: &Stamp) -> Duration {
    tick_of(stamp) + TICK / 2
}

fn tick_of(stamp: &Stamp) -> Duration {
    match stamp.ctime_ns % SECOND_NS {
        0 => COARSE_TICK,
        _ => TICK,
    }
}

/// The stamp of the regular file at `path`, which tells any change after `now`; none where there is no
/// such file, or it was just written.
#[must_use]
pub fn settled_stamp(path: &Path, now: SystemTime) -> Option<Stamp> {
    let stat = rustix::fs::lstat(path).ok()?;
    let stamp = stamp_of(&stat);
    (file_type(&stat) == FileType::RegularFile && !is_racy(&stamp, now)).then_some(stamp)
}

/// Saturating: an mtime may be any number of seconds that fits 64 bits.
fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.saturating_mul(SECOND_NS).saturating_add(nanos)
}

pub(super) fn since_epoch_ns(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |ns| -ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn young_files_and_files_of_the_future_are_racy() {
        let now = UNIX_EPOCH + Duration::from_secs(1_000);
        let now_ns = since_epoch_ns(now);
        let racy = |mtime_ns, ctime_ns| {
            let stamp = Stamp {
                mtime_ns,
                ctime_ns,
                ..Stamp::default()
            };
            is_racy(&stamp, now)
        };
        let tick = 10_000_000;
        assert!(!racy(now_ns - tick, now_ns - tick));
        assert!(racy(now_ns - tick + 1, now_ns - tick));
        assert!(racy(0, now_ns - tick + 1), "an mtime can be restored");
        assert!(racy(now_ns, now_ns - tick));
        assert!(racy(now_ns + 1, now_ns + 1), "the clock was set back");
        assert!(!racy(now_ns + 1, now_ns - tick), "an mtime can be set");
        let second = now_ns - SECOND_NS;
        assert!(racy(second, second), "only whole seconds");
        assert!(!racy(second, second + 1) && !racy(second - SECOND_NS, second - SECOND_NS));
        assert!(!racy(i64::MAX, 0));
        assert!(!racy(i64::MIN, i64::MIN));
    }

    #[test]
    fn versions_are_the_same_in_every_release() {
        // XXH3-128's published answer for no bytes: clients keep versions.
        let empty = "99aa06d3014798d86001c324468d497f";
        assert_eq!(version_of(b"").to_string(), empty);
    }

    #[test]
    fn times_out_of_range_saturate() {
        assert_eq!(nanoseconds(i64::MAX, 5), i64::MAX);
        assert_eq!(nanoseconds(i64::MIN, 5), i64::MIN + 5);
        assert_eq!(since_epoch_ns(UNIX_EPOCH - Duration::from_nanos(3)), -3);
    }
}
