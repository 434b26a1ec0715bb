//! Deleting runs: for good, or into the trash.
//!
//! Section 4 of the protocol (`executions/delete`, `executions/deleteAll`). A name is removed
//! whatever it stands for, corrupt records and links (not what they lead to) included, but never a
//! folder, and never anything that is not `*.json` in an `executions` folder. What goes into the
//! trash is renamed: a crash at any point leaves it in exactly one place.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::path::Arg;

use super::annotations::Sidecars;
use super::layout::{
    Folder, Obstacle, Turns, executions_path, file_name, file_type, lstat, names, rename_new,
    sync_folder, unlink,
};
use super::own::own_path;
use super::stamp::stamp_of;
use super::trash::{Batch, batch_path, is_deletable};
use super::{Store, WriteError};
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Stamp};

/// How often a folder in the trash is made again because somebody emptied the trash meanwhile.
const FOLDERS_MADE: u32 = 8;

/// What deleting all runs of a project did.
#[derive(Debug, Default)]
pub struct DeletedAll {
    /// How many files are gone.
    pub count: u64,
    /// What could not be deleted, or not durably.
    pub failures: Vec<WriteError>,
}

/// What became of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removed {
    /// It is gone; durably so once [`Removal::sync`] says so.
    Gone,
    /// There was none.
    Missing,
    /// Its file is another than the one expected, and was left alone.
    Changed,
    /// It is pinned, and was left alone.
    Pinned,
    /// It cannot be read whether it is pinned, and it was left alone.
    MaybePinned,
}

/// Which runs are left alone for what is noted on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sparing {
    /// None.
    Nothing,
    /// Those that are pinned.
    Pinned,
    /// And those of which it cannot be read whether they are.
    MaybePinned,
}

/// Deleting some runs of one project: into one folder of its trash, or for good.
#[derive(Debug)]
pub struct Removal<'s> {
    store: &'s Store,
    folder: Arc<Folder>,
    batch: Option<Batch>,
    /// The batch's folder, made when it is needed.
    to: Option<OwnedFd>,
    /// Where what is noted on runs waits until those are gone for good; made when it is needed.
    waiting: Option<(Batch, Arc<OwnedFd>)>,
    /// What people noted on the runs goes with them.
    sidecars: Sidecars<'s>,
    turns: Turns,
    /// Whether there is something to be made durable.
    unsynced: bool,
    /// Whether anything went into the batch's folder.
    used: bool,
}

impl Store {
    /// The way out of the project's runs: into the folder `batch` of its trash, or, without one,
    /// for good. `None` if there are no runs. Touches nothing yet.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`] behind symlinks, and what the system says.
    pub fn removal(
        &self,
        project: &ProjectId,
        batch: Option<Batch>,
    ) -> Result<Option<Removal<'_>>, WriteError> {
        let folder = match self.open_executions(project) {
            Ok(folder) => folder,
            Err(Obstacle::Missing | Obstacle::NoFolder(_)) => return Ok(None),
            Err(Obstacle::Link(path)) => return Err(WriteError::NotRegular { path }),
            Err(Obstacle::System(path, errno)) => return Err(WriteError::refused(path, errno)),
        };
        Ok(Some(Removal {
            store: self,
            sidecars: Sidecars::of(self, project),
            folder: Arc::new(folder),
            batch,
            to: None,
            waiting: None,
            turns: Turns::default(),
            unsynced: false,
            used: false,
        }))
    }

    /// Deletes one run durably, as [`Store::removal`] says; `false` if there was none.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`] for a folder and behind symlinks; [`WriteError::NoTrash`]; what
    /// the system says. After a [`WriteError::Io`], and no other, it is gone.
    pub fn delete(&self, key: &RunKey, batch: Option<Batch>) -> Result<bool, WriteError> {
        let Some(mut removal) = self.removal(&key.project, batch)? else {
            return Ok(false);
        };
        let removed = removal.remove(&key.execution, None, Sparing::Nothing)?;
        removal.sync()?;
        Ok(removed == Removed::Gone)
    }

    /// Deletes every `*.json` of the project that is neither hidden nor a folder, durably, whether
    /// its name is an id or not, and goes on after failures, as long as `goes_on` says so.
    ///
    /// # Errors
    /// Only before anything is deleted: [`WriteError::NotRegular`] behind symlinks, and what the
    /// system says. Later ones are in [`DeletedAll::failures`].
    pub fn delete_all(
        &self,
        project: &ProjectId,
        batch: Option<Batch>,
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<DeletedAll, WriteError> {
        let mut deleted = DeletedAll::default();
        let Some(mut removal) = self.removal(project, batch)? else {
            return Ok(deleted);
        };
        let names = names(&*removal.folder, is_deletable)
            .map_err(|errno| WriteError::refused(executions_path(project), errno))?;
        for name in names {
            if !goes_on() {
                break;
            }
            match removal.remove_name(&name) {
                Ok(true) => deleted.count += 1,
                Ok(false) | Err(WriteError::NotRegular { .. }) => {}
                Err(error) => {
                    deleted.failures.push(error);
                    if removal.to.is_none() && removal.batch.is_some() {
                        // there is no trash; nobody is told so once for each file
                        break;
                    }
                }
            }
        }
        if let Err(error) = removal.sync() {
            deleted.failures.push(error);
        }
        Ok(deleted)
    }
}

impl Removal<'_> {
    /// Deletes one run if its file has the stamp `expected`, or whatever it is if nothing is, and what
    /// is noted on it does not spare it. Others of ours note nothing between the look and the deletion;
    /// the engine knows no locks: a file that it puts there meanwhile goes.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`] for a folder; [`WriteError::NoTrash`]; what the system says.
    pub fn remove(
        &mut self,
        execution: &ExecutionId,
        expected: Option<&Stamp>,
        sparing: Sparing,
    ) -> Result<Removed, WriteError> {
        let name = file_name(execution);
        let _turn = self.turns.next(Arc::clone(&self.folder));
        if let Some(expected) = expected {
            let stat = lstat(&*self.folder, name.as_str());
            let path = || self.folder.path_of(&name);
            match stat.map_err(|errno| WriteError::refused(path(), errno))? {
                None => return Ok(Removed::Missing),
                Some(stat) if stamp_of(&stat) != *expected => return Ok(Removed::Changed),
                Some(_) => {}
            }
        }
        if sparing != Sparing::Nothing {
            match self.sidecars.read(execution) {
                Some(noted) if noted.pinned => return Ok(Removed::Pinned),
                None if sparing == Sparing::MaybePinned => return Ok(Removed::MaybePinned),
                _ => {}
            }
        }
        Ok(match self.take(name.as_str(), &name)? {
            true => Removed::Gone,
            false => Removed::Missing,
        })
    }

    fn remove_name(&mut self, name: &CString) -> Result<bool, WriteError> {
        let _turn = self.turns.next(Arc::clone(&self.folder));
        self.take(name.as_c_str(), &name.to_string_lossy())
    }

    /// Removes a name; `false` if it was not there, [`WriteError::NotRegular`] if it is a folder's.
    fn take(&mut self, name: impl Arg + Copy, lossy: &str) -> Result<bool, WriteError> {
        let path = || self.folder.path_of(lossy);
        // Asked first: some systems let a superuser unlink folders, and all rename them.
        match lstat(&*self.folder, name) {
            Ok(Some(stat)) if file_type(&stat) == FileType::Directory => {
                return Err(WriteError::NotRegular { path: path() });
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(errno) => return Err(WriteError::refused(path(), errno)),
        }
        let taken = match self.batch {
            Some(batch) => self.put_into(batch, name, lossy)?,
            None => self.remove_for_good(name, lossy)?,
        };
        self.unsynced |= taken;
        Ok(taken)
    }

    fn remove_for_good(&mut self, name: impl Arg + Copy, lossy: &str) -> Result<bool, WriteError> {
        let noted = match name.as_str() {
            Ok(name) => {
                let has = self.sidecars.has(name);
                let path = || own_path(self.folder.project());
                let has = has.map_err(|errno| WriteError::refused(path(), errno))?;
                has.then_some(name)
            }
            Err(_) => None,
        };
        // What is noted on it waits in the trash meanwhile: after a death it is given back to a run
        // that is still there, and else removed. Where there is no trash it goes last.
        let waiting = noted.and_then(|name| self.let_wait(name));
        let removed = unlink(&*self.folder, name);
        if let Some(name) = noted {
            match (&removed, &waiting) {
                (Ok(()) | Err(Errno::NOENT), waiting) => {
                    self.sidecars.discard(name, waiting.as_deref());
                }
                (Err(_), Some(waiting)) => self.sidecars.turn_back(name, waiting),
                (Err(_), None) => {}
            }
        }
        let path = || self.folder.path_of(lossy);
        match removed {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(Errno::ISDIR) => Err(WriteError::NotRegular { path: path() }),
            Err(errno) => Err(WriteError::refused(path(), errno)),
        }
    }

    /// Takes what is noted on a run ahead of it into a folder that is there only for that.
    fn let_wait(&mut self, name: &str) -> Option<Arc<OwnedFd>> {
        for _ in 0..FOLDERS_MADE {
            let (batch, to) = match self.waiting.take() {
                Some(waiting) => waiting,
                None => {
                    let batch = Batch::new(Millis::from_system(SystemTime::now()));
                    let to = self.store.make_batch(self.folder.project(), batch);
                    (batch, Arc::new(to.ok()?))
                }
            };
            match self.sidecars.go_ahead(name, &to, batch) {
                Ok(ahead) => {
                    self.waiting = Some((batch, Arc::clone(&to)));
                    return ahead.then_some(to);
                }
                // somebody emptied the trash between the folder's making and its use
                Err(Errno::NOENT) => {}
                Err(_) => {
                    self.waiting = Some((batch, to));
                    return None;
                }
            }
        }
        None
    }

    fn put_into(
        &mut self,
        batch: Batch,
        name: impl Arg + Copy,
        lossy: &str,
    ) -> Result<bool, WriteError> {
        for _ in 0..FOLDERS_MADE {
            let to = match self.to.take() {
                Some(to) => to,
                None => self.store.make_batch(self.folder.project(), batch)?,
            };
            let ahead = match name.as_str() {
                Ok(name) => self.sidecars.go_ahead(name, &to, batch),
                Err(_) => Ok(false),
            };
            let renamed = match ahead {
                Ok(_) => rename_new(&*self.folder, name, &to, name),
                Err(errno) => Err(errno),
            };
            if let (Err(_), Ok(true), Ok(name)) = (renamed, ahead, name.as_str()) {
                self.sidecars.turn_back(name, &to);
            }
            self.to = Some(to);
            match renamed {
                Ok(()) => {
                    self.used = true;
                    return Ok(true);
                }
                Err(Errno::NOENT) => match lstat(&*self.folder, name) {
                    Ok(None) => return Ok(false),
                    // somebody emptied the trash between the folder's making and its use
                    _ => self.to = None,
                },
                Err(errno) => {
                    return Err(WriteError::no_trash(self.folder.path_of(lossy), errno));
                }
            }
        }
        Err(WriteError::no_trash(
            self.folder.path_of(lossy),
            Errno::NOENT,
        ))
    }

    /// Makes what was deleted so far durable.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync(&mut self) -> Result<(), WriteError> {
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        let project = self.folder.project();
        // where it is now before where it was: what is nowhere is lost
        if let (Some(to), Some(batch)) = (&self.to, self.batch) {
            sync_folder(to)
                .map_err(|errno| WriteError::unsure(batch_path(project, batch), errno))?;
        }
        let synced = self.sidecars.sync();
        synced.map_err(|errno| WriteError::unsure(own_path(project), errno))?;
        sync_folder(&*self.folder)
            .map_err(|errno| WriteError::unsure(executions_path(project), errno))
    }
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        if let (Some(_), Some(batch), false) = (&self.to, self.batch, self.used) {
            // An empty folder that stays is removed when the trash is emptied.
            let _ = self.store.remove_batch(self.folder.project(), batch);
        }
        if let Some((batch, _)) = self.waiting {
            let _ = self.store.remove_batch(self.folder.project(), batch);
        }
    }
}
