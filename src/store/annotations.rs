//! What people noted on runs, as files: one small one a run.
//!
//! `{project}/.runlog/{execution}.json`: beside the project's runs, so that it goes where the project
//! goes, and told to be ignored by git. Whoever deletes a run into the trash takes it along
//! (`{batch}/{execution}.note` there), whoever restores it brings it back. Whenever a process dies,
//! it is found with its run, or is gone with it. It waits for no other run.

use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use super::layout::{
    Folder, Obstacle, Opened, Turn, file_name, file_type, lstat, names, open_file, permissions,
    rename, rename_new, sync_folder, unlink,
};
use super::own::{Moving, Temporary, own_path};
use super::trash::Batch;
use super::{Store, StoreError, WriteError};
use crate::model::layout::SUFFIX;
use crate::model::{Annotation, ExecutionId, ProjectId, RunKey, Stamp};

/// What a sidecar is called in the trash, beside its run: no name of a run ends so.
pub(super) const TRASHED_SUFFIX: &str = ".note";
/// No sidecar of ours comes near this: 2,000 characters and 32 tags, all of them escaped.
const SIDECAR_MAX_BYTES: u64 = 64 * 1024;

/// What the file of an annotation holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sidecar {
    /// An annotation; an empty one where there is no file.
    Is(Annotation),
    /// Something else; the file's stamp, if it is one.
    Corrupt(Option<Stamp>),
}

/// Where the file of a run's annotation lies below the root.
#[must_use]
pub fn annotation_path(key: &RunKey) -> String {
    format!("{}/{}", own_path(&key.project), file_name(&key.execution))
}

/// The run whose annotation lies at `path` below the root.
#[must_use]
pub fn annotated_at(path: &str) -> Option<RunKey> {
    let (project, _) = path.split_once('/')?;
    let project = ProjectId::parse(project).ok()?;
    let stem = path.strip_prefix(&own_path(&project))?.strip_prefix('/')?;
    Some(RunKey {
        execution: ExecutionId::parse(stem.strip_suffix(SUFFIX)?).ok()?,
        project,
    })
}

impl Store {
    /// The runs of a project that have a file of annotations, in no order. A folder of ours that is
    /// a link, or none, holds none.
    ///
    /// # Errors
    /// What the system says.
    pub fn annotated(&self, project: &ProjectId) -> Result<Vec<RunKey>, StoreError> {
        let Some(own) = Obstacle::or_none(self.open_own(project))? else {
            return Ok(Vec::new());
        };
        let names = names(own, |name| name.ends_with(SUFFIX.as_bytes()));
        let names = names.map_err(|errno| StoreError::io(own_path(project), errno))?;
        let key = |name: &CStr| {
            let stem = name.to_str().ok()?.strip_suffix(SUFFIX)?;
            Some(RunKey {
                project: project.clone(),
                execution: ExecutionId::parse(stem).ok()?,
            })
        };
        Ok(names.iter().filter_map(|name| key(name)).collect())
    }

    /// The turn of changing what is noted on runs of a project, which others of ours wait for; none
    /// where there are no runs. What somebody who died left between a run and the trash is back then.
    ///
    /// # Errors
    /// What the system says where that cannot be put right.
    pub fn turn_to_note(&self, project: &ProjectId) -> Result<Option<Turn<Folder>>, StoreError> {
        let turn = self.turn_of(project);
        if let (Some(_), Ok(own)) = (&turn, self.open_own(project)) {
            let settled = self.settle_abandoned(project, &own);
            settled.map_err(|errno| StoreError::io(own_path(project), errno))?;
        }
        Ok(turn)
    }

    /// The turn alone.
    pub(super) fn turn_of(&self, project: &ProjectId) -> Option<Turn<Folder>> {
        self.open_executions(project).ok().map(Turn::wait)
    }

    /// What is noted on a run.
    ///
    /// # Errors
    /// What the system says.
    pub fn annotation(&self, key: &RunKey) -> Result<Sidecar, StoreError> {
        let read = match Obstacle::or_none(self.open_own(&key.project)) {
            Ok(Some(own)) => read_in(own, &file_name(&key.execution)),
            Ok(None) => Ok(Sidecar::Is(Annotation::default())),
            Err(refused) => Err(refused.errno.into()),
        };
        read.map_err(|error| StoreError::io(annotation_path(key), error))
    }

    /// Makes it durable that `annotation` is what is noted on a run; an empty one has no file.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`] where something else stands in the way, and what the system says.
    pub fn annotate(&self, key: &RunKey, annotation: &Annotation) -> Result<(), WriteError> {
        let path = || annotation_path(key);
        let failed = |errno: Errno| WriteError::refused(path(), errno);
        let unsure = |errno: Errno| WriteError::unsure(path(), errno);
        let name = file_name(&key.execution);
        if annotation.is_empty() {
            let Some(own) = Obstacle::or_none(self.open_own(&key.project))? else {
                return Ok(());
            };
            return match unlink(&own, name.as_str()) {
                Ok(()) => sync_folder(&own).map_err(unsure),
                Err(Errno::NOENT) => Ok(()),
                Err(Errno::ISDIR) => Err(WriteError::NotRegular { path: path() }),
                Err(errno) => Err(failed(errno)),
            };
        }
        let own = self
            .make_own(&key.project)
            .map_err(|obstacle| match obstacle {
                Obstacle::Missing => failed(Errno::NOENT),
                Obstacle::Link(path) | Obstacle::NoFolder(path) => WriteError::NotRegular { path },
                Obstacle::System(path, errno) => WriteError::refused(path, errno),
            })?;
        let text = annotation
            .text()
            .map_err(|error| WriteError::refused(path(), error))?;
        let mut file = Temporary::create(&own, self.mode_for(key)).map_err(failed)?;
        let written = file.file().write_all(&text);
        written
            .and_then(|()| file.file().sync_all())
            .map_err(|error| WriteError::refused(path(), error))?;
        match file.rename_over(&name) {
            Ok(()) => sync_folder(&own).map_err(unsure),
            Err(Errno::ISDIR | Errno::NOTEMPTY) => Err(WriteError::NotRegular { path: path() }),
            Err(errno) => Err(failed(errno)),
        }
    }
}

impl Store {
    /// The permissions of what is noted on a run: none that its file does not give.
    fn mode_for(&self, key: &RunKey) -> Mode {
        const SHARED: Mode = Mode::from_raw_mode(0o666);
        let runs = self.open_executions(&key.project).ok();
        let run = runs.and_then(|runs| lstat(&runs, file_name(&key.execution)).ok()?);
        run.map_or(SHARED, |run| permissions(&run) & SHARED)
    }
}

/// What the sidecar `name` in a folder of ours holds.
fn read_in(own: impl AsFd, name: &str) -> io::Result<Sidecar> {
    let (file, stamp) = match open_file(&own, name)? {
        Opened::File(file, stamp) => (file, stamp),
        Opened::Missing => return Ok(Sidecar::Is(Annotation::default())),
        Opened::NotRegular => return Ok(Sidecar::Corrupt(None)),
    };
    let mut text = Vec::new();
    file.take(SIDECAR_MAX_BYTES + 1).read_to_end(&mut text)?;
    let read = (text.len() as u64 <= SIDECAR_MAX_BYTES).then(|| Annotation::read(&text));
    let read = read.flatten().map(Sidecar::Is);
    Ok(read.unwrap_or(Sidecar::Corrupt(Some(stamp))))
}

/// What the sidecar of the run's file `name` is called in the trash.
fn trashed_name(name: &str) -> Option<String> {
    Some(format!("{}{TRASHED_SUFFIX}", name.strip_suffix(SUFFIX)?))
}

/// What is noted on the run whose file is called `name` in a folder of the trash; nothing where that
/// cannot be read.
pub(super) fn annotation_in_trash(folder: impl AsFd, name: &CStr) -> Annotation {
    let name = name.to_str().ok().and_then(trashed_name);
    match name.map(|name| read_in(folder, &name)) {
        Some(Ok(Sidecar::Is(annotation))) => annotation,
        _ => Annotation::default(),
    }
}

/// Whether a sidecar in the trash has such a name.
pub(super) fn is_trashed_sidecar(name: &[u8]) -> bool {
    name.ends_with(TRASHED_SUFFIX.as_bytes()) && !name.starts_with(b".")
}

/// The sidecars of a project, which go where their runs go: first, on the way to the trash, and last,
/// on the way back, so that none is left for another run of that name. What a process that dies
/// between the two steps leaves in the trash without its run is given back to it before another moves
/// any, and by [`Store::sweep_own`]. Whoever calls has the turn.
#[derive(Debug)]
pub(super) struct Sidecars<'s> {
    store: &'s Store,
    project: ProjectId,
    own: Option<Arc<OwnedFd>>,
    /// As long as some are on their way.
    moving: Option<Moving>,
    moved: bool,
}

impl<'s> Sidecars<'s> {
    pub(super) fn of(store: &'s Store, project: &ProjectId) -> Self {
        Self {
            store,
            project: project.clone(),
            own: None,
            moving: None,
            moved: false,
        }
    }

    /// The folder they are in; somebody may make it at any time.
    fn own(&mut self) -> Result<Option<Arc<OwnedFd>>, Obstacle> {
        if self.own.is_none() {
            match self.store.open_own(&self.project) {
                Ok(own) => {
                    let settled = self.store.settle_abandoned(&self.project, &own);
                    settled.map_err(|errno| Obstacle::System(own_path(&self.project), errno))?;
                    self.own = Some(Arc::new(own));
                }
                Err(Obstacle::Missing) => {}
                Err(obstacle) => return Err(obstacle),
            }
        }
        Ok(self.own.clone())
    }

    /// The same where the file `name` is in it; none where the folder is none, or closed.
    fn own_with(&mut self, name: &str) -> Result<Option<Arc<OwnedFd>>, Errno> {
        match self.own() {
            Ok(Some(own)) if lstat(&own, name)?.is_some() => Ok(Some(own)),
            Err(Obstacle::System(_, errno)) if errno != Errno::ACCESS => Err(errno),
            _ => Ok(None),
        }
    }

    /// What is noted on a run; nothing where that cannot be told.
    pub(super) fn read(&mut self, execution: &ExecutionId) -> Option<Annotation> {
        let read = match self.own().ok()? {
            Some(own) => read_in(own, &file_name(execution)).ok()?,
            None => Sidecar::Is(Annotation::default()),
        };
        match read {
            Sidecar::Is(annotation) => Some(annotation),
            Sidecar::Corrupt(_) => None,
        }
    }

    /// Whether any went somewhere since the last [`Sidecars::sync`].
    pub(super) fn have_moved(&self) -> bool {
        self.moved
    }

    /// Tells that some are on their way. Where that cannot be told they go all the same: it matters
    /// only to those who die in that moment.
    fn begin(&mut self, own: &Arc<OwnedFd>, batch: Batch) {
        if self.moving.is_none() {
            self.moving = Moving::create(own, batch).ok();
        }
    }

    /// Lets the next start put right what could not be.
    pub(super) fn leave(&mut self) {
        if let Some(moving) = self.moving.take() {
            moving.leave();
        }
    }

    /// Takes the sidecar of a run's file ahead of it into the folder of a batch; whether there is one.
    pub(super) fn go_ahead(
        &mut self,
        name: &str,
        to: impl AsFd,
        batch: Batch,
    ) -> Result<bool, Errno> {
        let (Some(own), Some(trashed)) = (self.own_with(name)?, trashed_name(name)) else {
            return Ok(false);
        };
        self.begin(&own, batch);
        rename(&own, name, to, trashed.as_str())?;
        self.moved = true;
        Ok(true)
    }

    /// The way back for one whose run did not follow.
    pub(super) fn turn_back(&mut self, name: &str, from: impl AsFd) {
        let (Ok(Some(own)), Some(trashed)) = (self.own(), trashed_name(name)) else {
            return;
        };
        if rename_new(from, trashed.as_str(), own, name).is_err() {
            self.leave();
        }
    }

    /// Makes way for the sidecar of a run that comes back from a batch, if it has one, which is told:
    /// what lies there while there is no run belongs to none.
    pub(super) fn make_way(
        &mut self,
        name: &str,
        from: impl AsFd,
        batch: Batch,
    ) -> Result<bool, Errno> {
        let Some(trashed) = trashed_name(name) else {
            return Ok(false);
        };
        if lstat(from, trashed.as_str())?.is_none() {
            return Ok(false);
        }
        let own = match self.own() {
            Ok(own) => own.ok_or(Errno::NOENT)?,
            Err(Obstacle::System(_, errno)) => return Err(errno),
            Err(_) => return Err(Errno::NOTDIR),
        };
        self.begin(&own, batch);
        match unlink(own, name) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(errno) => Err(errno),
        }
    }

    /// Takes a sidecar after its run, for which there is way.
    pub(super) fn come_after(&mut self, name: &str, from: impl AsFd) -> Result<(), Errno> {
        let (Ok(Some(own)), Some(trashed)) = (self.own(), trashed_name(name)) else {
            return Ok(());
        };
        match rename(from, trashed.as_str(), own, name) {
            // somebody removed it
            Err(Errno::NOENT) => return Ok(()),
            done => done?,
        }
        self.moved = true;
        Ok(())
    }

    /// Whether a run's file has a sidecar.
    pub(super) fn has(&mut self, name: &str) -> Result<bool, Errno> {
        let Some(own) = self.own_with(name)? else {
            return Ok(false);
        };
        // a folder is nothing of ours
        let stat = lstat(own, name)?;
        Ok(stat.is_some_and(|stat| file_type(&stat) != FileType::Directory))
    }

    /// Removes the sidecar of a run that is gone for good: from the folder `from` if it went ahead.
    pub(super) fn discard(&mut self, name: &str, from: Option<&OwnedFd>) {
        let removed = match (from, trashed_name(name), self.own()) {
            (Some(from), Some(trashed), _) => unlink(from, trashed.as_str()),
            (None, _, Ok(Some(own))) => unlink(own, name),
            _ => return,
        };
        self.moved = true;
        if removed.is_err() {
            self.leave();
        }
    }

    /// Makes what was done durable; then none is on its way.
    pub(super) fn sync(&mut self) -> Result<(), Errno> {
        let moved = std::mem::take(&mut self.moved);
        if let Some(own) = self.own.as_ref().filter(|_| moved) {
            sync_folder(own)?;
        }
        self.moving = None;
        Ok(())
    }
}

/// What was noted on a run whose file is called `name`, in a folder of the trash, if something was.
pub(super) fn trashed_of(folder: impl AsFd, name: &CStr) -> Result<Option<String>, Errno> {
    let Some(trashed) = name.to_str().ok().and_then(trashed_name) else {
        return Ok(None);
    };
    Ok(lstat(folder, trashed.as_str())?.map(|_| trashed))
}

impl Store {
    /// Gives the sidecars in the folder of a batch whose runs did not come there, or have left it,
    /// back to those; one whose run is nowhere is removed, one whose run has another stays. False where
    /// the project's runs are away, and nothing was done. The caller has the turn.
    pub(super) fn give_back(&self, folder: &Folder, own: &OwnedFd) -> Result<bool, Errno> {
        let runs = Obstacle::or_none(self.open_executions(folder.project()));
        let Some(runs) = runs.map_err(|refused| refused.errno)? else {
            return Ok(false);
        };
        for trashed in names(folder, is_trashed_sidecar)? {
            let stem = trashed.to_str().ok();
            let Some(stem) = stem.and_then(|name| name.strip_suffix(TRASHED_SUFFIX)) else {
                continue;
            };
            let name = format!("{stem}{SUFFIX}");
            if lstat(folder, name.as_str())?.is_some() {
                continue;
            }
            let done = match lstat(&runs, name.as_str())? {
                Some(_) => rename_new(folder, trashed.as_c_str(), own, name.as_str()),
                // it was to be gone for good, and its run is
                None => unlink(folder, trashed.as_c_str()),
            };
            match done {
                Ok(()) | Err(Errno::EXIST | Errno::NOENT | Errno::ISDIR) => {}
                Err(errno) => return Err(errno),
            }
        }
        sync_folder(own).map(|()| true)
    }
}
