//! Whose something is, and who holds it, as whoever runs this sees it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Whose something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Of whoever runs this, who may be root.
    Mine,
    /// Root's, and that is somebody else.
    Roots,
    /// Of another user, with this id.
    Others(u32),
}

impl Owner {
    pub(super) fn of(found: &Metadata) -> Self {
        match found.uid() {
            uid if uid == own_uid() => Self::Mine,
            0 => Self::Roots,
            uid => Self::Others(uid),
        }
    }

    pub(super) fn is_me(self) -> bool {
        self == Self::Mine
    }
}

/// Who runs this.
pub(super) fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The process that holds a file locked, which is told of others' files too.
pub(super) fn locker(file: &Path) -> Option<u32> {
    let inode = file.symlink_metadata().ok()?.ino().to_string();
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    // number, kind, how, for what, process, device and inode, from, to
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, pid, place, ..] = fields.as_slice() else {
            return None;
        };
        let is_it = place.rsplit(':').next() == Some(&inode);
        pid.parse().ok().filter(|_| is_it)
    })
}
