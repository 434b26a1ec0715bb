//! Setting a file's time: a recorder's sign of life.
//!
//! Section 5 of the protocol: touching the file of a live run is its heartbeat.

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, fstat, futimens};
use rustix::io::Errno;

use super::layout::{Opened, file_name, open_file};
use super::stamp::stamp_of;
use super::{ReadError, Store, WriteError};
use crate::model::{RunKey, Stamp};

impl Store {
    /// Sets the time of the run's file to now if it is still the file with the stamp `known`, and
    /// gives its new stamp; `None` if it is not. Not synced: after a power failure nobody asks
    /// when a recorder was last alive.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`], and what the system says.
    pub fn touch(&self, key: &RunKey, known: &Stamp) -> Result<Option<Stamp>, WriteError> {
        let Some(folder) = self.folder(&key.project).map_err(WriteError::from)? else {
            return Ok(None);
        };
        let name = file_name(&key.execution);
        let failed = |errno: Errno| WriteError::refused(folder.path_of(&name), errno);
        match open_file(&folder, &name).map_err(failed)? {
            Opened::File(file, stamp) if stamp == *known => {
                let now = Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_NOW,
                };
                let both = Timestamps {
                    last_access: now,
                    last_modification: now,
                };
                futimens(&file, &both).map_err(failed)?;
                Ok(Some(stamp_of(&fstat(&file).map_err(failed)?)))
            }
            Opened::File(..) | Opened::Missing => Ok(None),
            Opened::NotRegular => Err(ReadError::NotRegular {
                path: folder.path_of(&name),
            }
            .into()),
        }
    }
}
