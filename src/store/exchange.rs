//! Saves that change places with what they expect, and what one leaves behind that was killed in between.
//!
//! Whoever expects a version compares it, changes places with it, and looks at what came out: what
//! somebody saved in the instant between is put back. A process that dies before that look leaves it
//! under the name of its temporary file, where a sweep would remove it for good. So that name tells what
//! the save was about, and the sweep puts back what nobody meant to replace.

use std::ffi::{CStr, CString};
use std::fmt;

use rustix::io::Errno;

use super::layout::{self, Folder, lstat, names, sync_folder};
use super::stamp::{same_file, stamp_of, version_of};
use super::{StoreError, WriteError};
use crate::model::{Stamp, Version};

/// What a save is about that changes places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    /// The name that it is for, which itself would be too long beside the rest.
    target: Version,
    expected: Version,
    new: Version,
}

impl Exchange {
    pub(super) fn of(target: &str, expected: Version, new: Version) -> Self {
        Self {
            target: version_of(target.as_bytes()),
            expected,
            new,
        }
    }

    /// Reads the middle of a name, as [`fmt::Display`] writes it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-').map(Version::parse);
        let mut next = || parts.next().flatten();
        let exchange = Self {
            target: next()?,
            expected: next()?,
            new: next()?,
        };
        parts.next().is_none().then_some(exchange)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.target, self.expected, self.new)
    }
}

impl Folder {
    /// Gives `name` back to the file that came out in exchange for `ours`, although it was not the one
    /// expected. Who saves there meanwhile replaces the one that is there: that comes out then in its
    /// turn, unless it is the one that was put there last, so that the latest of theirs stays.
    pub(super) fn put_back(&self, aside: &str, name: &str, ours: Stamp) -> Result<(), Errno> {
        let stamp = |name: &str| Ok(lstat(self, name)?.map(|stat| stamp_of(&stat)));
        let mut there = Some(ours);
        loop {
            let back = stamp(aside)?;
            match layout::exchange(self, aside, name) {
                // somebody deleted the run, and means what was there
                Err(Errno::NOENT) => return Ok(()),
                done => done?,
            }
            let out = stamp(aside)?;
            if out
                .zip(there)
                .is_some_and(|(out, there)| same_file(&out, &there))
            {
                return Ok(());
            }
            there = back;
        }
    }

    /// Puts back what a save that was killed has taken out, if nobody expected that and ours is still in
    /// its place; `aside` can be removed then. The caller has the turn, and nobody uses `aside`.
    pub(super) fn settle(&self, aside: &CStr, exchange: Exchange) -> Result<(), StoreError> {
        let failed = |errno: Errno| StoreError::io(self.path_of(&aside.to_string_lossy()), errno);
        let aside = aside.to_str().map_err(|_| failed(Errno::INVAL))?;
        let version = |name: &str| {
            let stored = self.stored_version(name).map_err(WriteError::from);
            let stored = stored.map_err(|error| {
                StoreError::io(self.path_of(name), std::io::Error::other(error))
            })?;
            Ok::<_, StoreError>(stored.map(|stored| stored.value))
        };
        // ours, which never came to change places, or what it was to replace
        if version(aside)?.is_none_or(|out| out == exchange.new || out == exchange.expected) {
            return Ok(());
        }
        let is_target = |name: &[u8]| version_of(name) == exchange.target;
        let found: Vec<CString> = names(self, is_target).map_err(failed)?;
        let Some(name) = found.first().and_then(|name| name.to_str().ok()) else {
            return Ok(());
        };
        let there = lstat(self, name).map_err(failed)?;
        if let Some(there) = there.map(|stat| stamp_of(&stat))
            && version(name)? == Some(exchange.new)
        {
            self.put_back(aside, name, there).map_err(failed)?;
            sync_folder(self).map_err(failed)?;
        }
        Ok(())
    }
}
