//! What people noted on runs, as files: one small one a run.
//!
//! `{project}/.runlog/{execution}.json`: beside the project's runs, so that it goes where the project
//! goes, and told to be ignored by git. Whoever deletes a run into the trash takes it along
//! (`{batch}/{execution}.note` there), whoever restores it brings it back. A crash between the two
//! steps leaves it where it was, which is where a restored run looks for it.

use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;

use super::layout::{
    Folder, Obstacle, Opened, SUFFIX, Turn, file_name, names, open_file, sync_folder,
};
use super::own::{Temporary, own_path};
use super::{Store, StoreError, WriteError};
use crate::model::{Annotation, ExecutionId, ProjectId, RunKey};

/// What a sidecar is called in the trash, beside its run: no name of a run ends so.
const TRASHED_SUFFIX: &str = ".note";
/// No sidecar of ours comes near this: 2,000 characters and 32 tags, all of them escaped.
const SIDECAR_MAX_BYTES: u64 = 64 * 1024;

/// What the file of an annotation holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sidecar {
    /// An annotation; an empty one where there is no file.
    Is(Annotation),
    /// Something else.
    Corrupt,
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
        let failed = |path: String, errno| StoreError::io(path, io::Error::from(errno));
        let own = match self.open_own(project) {
            Ok(own) => own,
            Err(Obstacle::System(path, errno)) => return Err(failed(path, errno)),
            Err(_) => return Ok(Vec::new()),
        };
        let names = names(own, |name| name.ends_with(SUFFIX.as_bytes()));
        let names = names.map_err(|errno| failed(own_path(project), errno))?;
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
    /// where there are no runs.
    #[must_use]
    pub fn turn_of(&self, project: &ProjectId) -> Option<Turn<Folder>> {
        self.open_executions(project).ok().map(Turn::wait)
    }

    /// What is noted on a run.
    ///
    /// # Errors
    /// What the system says.
    pub fn annotation(&self, key: &RunKey) -> Result<Sidecar, StoreError> {
        let failed = |errno| StoreError::io(annotation_path(key), io::Error::from(errno));
        let own = match self.open_own(&key.project) {
            Ok(own) => own,
            Err(Obstacle::System(_, errno)) => return Err(failed(errno)),
            Err(_) => return Ok(Sidecar::Is(Annotation::default())),
        };
        let name = file_name(&key.execution);
        let file = match open_file(&own, name.as_str()).map_err(failed)? {
            Opened::File(file, _) => file,
            Opened::Missing => return Ok(Sidecar::Is(Annotation::default())),
            Opened::NotRegular => return Ok(Sidecar::Corrupt),
        };
        let mut text = Vec::new();
        file.take(SIDECAR_MAX_BYTES + 1)
            .read_to_end(&mut text)
            .map_err(|error| StoreError::io(annotation_path(key), error))?;
        let read = (text.len() as u64 <= SIDECAR_MAX_BYTES).then(|| Annotation::read(&text));
        Ok(read.flatten().map_or(Sidecar::Corrupt, Sidecar::Is))
    }

    /// Makes it durable that `annotation` is what is noted on a run; an empty one has no file.
    ///
    /// # Errors
    /// [`WriteError::NotRegular`] where something else stands in the way, and what the system says.
    pub fn annotate(&self, key: &RunKey, annotation: &Annotation) -> Result<(), WriteError> {
        let path = || annotation_path(key);
        let failed = |errno: Errno| WriteError::io(path(), errno);
        let name = file_name(&key.execution);
        if annotation.is_empty() {
            let own = match self.open_own(&key.project) {
                Ok(own) => own,
                Err(Obstacle::System(path, errno)) => return Err(WriteError::io(path, errno)),
                Err(_) => return Ok(()),
            };
            return match rustix::fs::unlinkat(&own, name.as_str(), AtFlags::empty()) {
                Ok(()) => sync_folder(&own).map_err(failed),
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
                Obstacle::System(path, errno) => WriteError::io(path, errno),
            })?;
        let text = annotation
            .text()
            .map_err(|error| WriteError::io(path(), io::Error::from(error)))?;
        let mut file = Temporary::create(&own, Mode::from_raw_mode(0o666)).map_err(failed)?;
        let written = file.file().write_all(&text);
        written
            .and_then(|()| file.file().sync_all())
            .map_err(|error| WriteError::io(path(), error))?;
        match file.rename_over(&name) {
            Ok(()) => sync_folder(&own).map_err(failed),
            Err(Errno::ISDIR | Errno::NOTEMPTY) => Err(WriteError::NotRegular { path: path() }),
            Err(errno) => Err(failed(errno)),
        }
    }
}

/// What the sidecar of the run's file `name` is called in the trash.
fn trashed_name(name: &str) -> Option<String> {
    Some(format!("{}{TRASHED_SUFFIX}", name.strip_suffix(SUFFIX)?))
}

/// Whether a sidecar in the trash has such a name.
pub(super) fn is_trashed_sidecar(name: &[u8]) -> bool {
    name.ends_with(TRASHED_SUFFIX.as_bytes()) && !name.starts_with(b".")
}

/// The folder of ours whose sidecars go where their runs go.
#[derive(Debug)]
pub(super) struct Sidecars {
    own: Option<OwnedFd>,
    moved: bool,
}

impl Sidecars {
    /// Whether any went somewhere since the last [`Sidecars::sync`].
    pub(super) fn have_moved(&self) -> bool {
        self.moved
    }

    /// Those of a project; none where there is no folder of ours.
    pub(super) fn of(store: &Store, project: &ProjectId) -> Self {
        Self {
            own: store.open_own(project).ok(),
            moved: false,
        }
    }

    /// Takes the sidecar of a run's file after it into a folder of the trash. One that cannot go
    /// stays, where the run will find it if it comes back.
    pub(super) fn follow(&mut self, name: &str, to: impl AsFd) {
        if let (Some(own), Some(trashed)) = (&self.own, trashed_name(name)) {
            self.moved |= rustix::fs::renameat(own, name, to, trashed).is_ok();
        }
    }

    /// Removes the sidecar of a run's file that is gone for good.
    pub(super) fn remove(&mut self, name: &str) {
        if let Some(own) = &self.own {
            self.moved |= rustix::fs::unlinkat(own, name, AtFlags::empty()).is_ok();
        }
    }

    /// Makes that durable.
    pub(super) fn sync(&mut self) -> Result<(), Errno> {
        match &self.own {
            Some(own) if std::mem::take(&mut self.moved) => sync_folder(own),
            _ => Ok(()),
        }
    }

    /// Puts the sidecar of a run's file back from a folder of the trash, before the run, of which
    /// there must be none: what lies there meanwhile belongs to no run, and is replaced; where
    /// nothing comes it stays. Whether one came.
    pub(super) fn bring_back(&mut self, name: &str, from: impl AsFd) -> Result<bool, Errno> {
        let (Some(own), Some(trashed)) = (&self.own, trashed_name(name)) else {
            return Ok(false);
        };
        match rustix::fs::renameat(&from, trashed.as_str(), own, name) {
            Ok(()) => {
                self.moved = true;
                Ok(true)
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno),
        }
    }
}

/// Removes what was noted on a run whose file `name` has gone from a folder of the trash.
pub(super) fn remove_trashed(folder: impl AsFd, name: &CStr) {
    let trashed = name.to_str().ok().and_then(trashed_name);
    if let Some(trashed) = trashed {
        // what stays goes with its batch
        let _ = rustix::fs::unlinkat(folder, trashed, AtFlags::empty());
    }
}
