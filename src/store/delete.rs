//! Deleting runs, for good.
//!
//! Section 4 of the protocol (`executions/delete`, `executions/deleteAll`). A name is removed
//! whatever it stands for, corrupt records and links (not what they lead to) included, but never a
//! folder, and never anything that is not `*.json` in an `executions` folder.

use rustix::fs::{AtFlags, FileType};
use rustix::io::Errno;
use rustix::path::Arg;

use super::layout::{
    Folder, Obstacle, SUFFIX, executions_path, file_name, file_type, lstat, names, sync_folder,
};
use super::{Store, WriteError};
use crate::model::{ExecutionId, ProjectId, RunKey};

/// What deleting all runs of a project did.
#[derive(Debug, Default)]
pub struct DeletedAll {
    /// How many files are gone.
    pub count: u64,
    /// Those of them whose names were ids.
    pub executions: Vec<ExecutionId>,
    /// What could not be deleted, or not durably.
    pub failures: Vec<WriteError>,
}

impl Store {
    /// Deletes one run durably; `false` if there was none.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`] for a folder and behind symlinks; what the system says.
    pub fn delete(&self, key: &RunKey) -> Result<bool, WriteError> {
        let Some(folder) = self.folder_to_delete_from(&key.project)? else {
            return Ok(false);
        };
        let name = file_name(&key.execution);
        let deleted = folder.unlink(name.as_str(), &name)?;
        if deleted {
            folder.sync_deletions()?;
        }
        Ok(deleted)
    }

    /// Deletes every `*.json` of the project that is neither hidden nor a folder, durably, whether
    /// its name is an id or not, and goes on after failures.
    ///
    /// # Errors
    /// Only before anything is deleted: [`WriteError::NotRegular`] behind symlinks, and what the
    /// system says. Later ones are in [`DeletedAll::failures`].
    pub fn delete_all(&self, project: &ProjectId) -> Result<DeletedAll, WriteError> {
        let mut deleted = DeletedAll::default();
        let Some(folder) = self.folder_to_delete_from(project)? else {
            return Ok(deleted);
        };
        let names = names(&folder, |name| {
            name.ends_with(SUFFIX.as_bytes()) && !name.starts_with(b".")
        })
        .map_err(|errno| WriteError::io(executions_path(project), errno))?;
        for name in names {
            let lossy = name.to_string_lossy();
            match folder.unlink(name.as_c_str(), &lossy) {
                Ok(true) => {
                    deleted.count += 1;
                    let id = name
                        .to_str()
                        .ok()
                        .and_then(|name| name.strip_suffix(SUFFIX));
                    if let Some(Ok(id)) = id.map(ExecutionId::parse) {
                        deleted.executions.push(id);
                    }
                }
                Ok(false) | Err(WriteError::NotRegular { .. }) => {}
                Err(error) => deleted.failures.push(error),
            }
        }
        if deleted.count > 0
            && let Err(error) = folder.sync_deletions()
        {
            deleted.failures.push(error);
        }
        Ok(deleted)
    }

    fn folder_to_delete_from(&self, project: &ProjectId) -> Result<Option<Folder>, WriteError> {
        match self.open_executions(project) {
            Ok(folder) => Ok(Some(folder)),
            Err(Obstacle::Missing | Obstacle::NoFolder(_)) => Ok(None),
            Err(Obstacle::Link(path)) => Err(WriteError::NotRegular { path }),
            Err(Obstacle::System(path, errno)) => Err(WriteError::io(path, errno)),
        }
    }
}

impl Folder {
    /// Removes a name; `false` if it was not there, [`WriteError::NotRegular`] if it is a folder's.
    fn unlink(&self, name: impl Arg + Copy, lossy: &str) -> Result<bool, WriteError> {
        let failed = |errno| WriteError::io(self.path_of(lossy), errno);
        let is_folder = |stat| file_type(&stat) == FileType::Directory;
        // Asked first: some systems let a superuser unlink folders.
        if lstat(self, name).map_err(failed)?.is_some_and(is_folder) {
            return Err(WriteError::NotRegular {
                path: self.path_of(lossy),
            });
        }
        match rustix::fs::unlinkat(self, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR) => Err(WriteError::NotRegular {
                path: self.path_of(lossy),
            }),
            Err(errno) => Err(failed(errno)),
        }
    }

    fn sync_deletions(&self) -> Result<(), WriteError> {
        sync_folder(self).map_err(|errno| WriteError::io(executions_path(self.project()), errno))
    }
}
