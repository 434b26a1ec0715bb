//! Whose something is, as whoever runs this sees it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

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
