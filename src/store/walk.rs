//! Walking the tree: which projects and runs there are, and what is in the way of being one.
//!
//! Sections 1 and 6 of the protocol: bad names, links and pipes are findings for `server/problems`,
//! never failures. Nothing is opened but folders, no link is followed, and no record is read.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd;
use std::time::SystemTime;

use hashbrown::HashMap;
use parking_lot::Mutex;
use rustix::fs::{Dir, FileType};
use rustix::io::Errno;

use super::layout::{
    Folder, Obstacle, executions_path, file_name, file_type, lstat, open_folder, path_of,
};
use super::own::is_temporary;
use super::stamp::{is_racy, since_epoch_ns, stamp_of};
use super::{Store, StoreError};
use crate::model::layout::{EXECUTIONS, SUFFIX};
use crate::model::{EXECUTION_ID_MAX, ExecutionId, ProblemKind, ProjectId, Stamp};

/// What the engine's temporary files end with.
const ENGINE_TEMPORARY: &[u8] = b".json.tmp";
/// For how many files a thread asks for the stamps while others are listed.
const PART: usize = 1024;
/// From this age on nobody is expected to rename one of them any more.
const ABANDONED_AFTER_NS: i64 = 60 * 60 * 1_000_000_000;

/// The projects below the root.
#[derive(Debug, Default)]
pub struct ProjectsFound {
    /// Every folder whose name is an id, in the order of the ids.
    pub projects: Vec<ProjectId>,
    /// What might have been a project but is none.
    pub problems: Vec<Problem>,
}

/// The runs of one project.
#[derive(Debug, Default)]
pub struct Walk {
    /// Whether the project's folder is there.
    pub exists: bool,
    /// Whether it holds a folder `executions`.
    pub has_executions: bool,
    /// Every regular file whose name is an id and `.json`, each once, in no order.
    pub runs: Vec<(ExecutionId, Stamp)>,
    /// Temporary files of ours, whether anybody uses them or not.
    pub temporaries: Vec<CString>,
    /// What might have been a run but is none.
    pub problems: Vec<Problem>,
    /// Whether there is any temporary file, ours or the engine's.
    has_temporaries: bool,
    /// The folder's stamp from before it was listed: as long as it is the same, the folder has the
    /// same names. `None` where that is not so.
    pub listed: Option<Stamp>,
}

/// Something in the tree that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Relative to the root (`.` is the root itself); bytes that are not UTF-8 are replaced.
    pub path: String,
    /// What is wrong.
    pub kind: ProblemKind,
}

impl Store {
    /// The projects below the root; a missing root has none.
    ///
    /// # Errors
    /// What the system says, but for permissions: a root that may not be read is a problem.
    pub fn projects(&self) -> Result<ProjectsFound, StoreError> {
        let mut found = ProjectsFound::default();
        match self.list_projects(&mut found) {
            Ok(()) => {}
            Err(errno) if is_permission(errno) => {
                found.problems.push(problem(".", ProblemKind::Unreadable));
            }
            Err(errno) => return Err(StoreError::io(".", errno)),
        }
        found.projects.sort_unstable();
        found.projects.dedup();
        Ok(found)
    }

    fn list_projects(&self, found: &mut ProjectsFound) -> Result<(), Errno> {
        let Some(root) = self.open_root()? else {
            if self.is_obstructed() {
                found.problems.push(problem(".", ProblemKind::NotRegular));
            }
            return Ok(());
        };
        for entry in Dir::read_from(&root)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match lstat(&root, name)? {
                    Some(stat) => file_type(&stat),
                    None => continue,
                },
                known => known,
            };
            match kind {
                FileType::Directory => {
                    match name
                        .to_str()
                        .ok()
                        .and_then(|name| ProjectId::parse(name).ok())
                    {
                        Some(project) => found.projects.push(project),
                        None => found
                            .problems
                            .push(problem(name.to_string_lossy(), ProblemKind::InvalidName)),
                    }
                }
                // To tell what it leads to would be to follow it.
                FileType::Symlink => found
                    .problems
                    .push(problem(name.to_string_lossy(), ProblemKind::NotRegular)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The runs of one project, each with its stamp, in one pass over its folder. `now` is what the
    /// age of the engine's temporary files is measured against. Where the stamps are of no use
    /// because every run will be read anyway, they are not asked for, and are all zero.
    ///
    /// # Errors
    /// What the system says, but for permissions: a folder that may not be read is a problem.
    pub fn walk(
        &self,
        project: &ProjectId,
        now: SystemTime,
        stamps: bool,
    ) -> Result<Walk, StoreError> {
        let mut walk = Walk::default();
        match self.list_runs(project, now, stamps, &mut walk) {
            Ok(()) | Err(Obstacle::Missing) => {}
            // The root is full of files that want to be no projects.
            Err(Obstacle::NoFolder(_)) if !walk.exists => {}
            Err(Obstacle::Link(path) | Obstacle::NoFolder(path)) => {
                walk.problems.push(problem(path, ProblemKind::NotRegular));
            }
            Err(Obstacle::System(path, errno)) if is_permission(errno) => {
                walk.problems.push(problem(path, ProblemKind::Unreadable));
            }
            Err(Obstacle::System(path, errno)) => {
                return Err(StoreError::io(path, errno));
            }
        }
        walk.runs = each_once(walk.runs);
        Ok(walk)
    }

    fn list_runs(
        &self,
        project: &ProjectId,
        now: SystemTime,
        stamps: bool,
        walk: &mut Walk,
    ) -> Result<(), Obstacle> {
        let root = self.require_root()?;
        let above = open_folder(&root, project.as_str(), || project.to_string())?;
        walk.exists = true;
        let folder = open_folder(&above, EXECUTIONS, || executions_path(project))?;
        walk.has_executions = true;
        let failed = |errno| Obstacle::System(executions_path(project), errno);
        let before = stamp_of(&rustix::fs::fstat(&folder).map_err(failed)?);
        let lasting = root.local && !is_racy(&before, now);
        walk.list(&folder, project, now, stamps).map_err(failed)?;
        // temporary files mean something else when they are old
        walk.listed = (lasting && !walk.has_temporaries).then_some(before);
        Ok(())
    }

    /// Whether a temporary file that the engine left, by its path below the root, is still there; it is
    /// where that cannot be told.
    #[must_use]
    pub fn has_temporary(&self, path: &str) -> bool {
        let mut parts = path.splitn(3, '/');
        let (Some(project), Some(EXECUTIONS), Some(name)) =
            (parts.next(), parts.next(), parts.next())
        else {
            return true;
        };
        let Ok(project) = ProjectId::parse(project) else {
            return true;
        };
        // what stands for bytes that are no text names no file
        if name.contains(char::REPLACEMENT_CHARACTER) {
            return true;
        }
        match self.open_executions(&project) {
            Ok(folder) => !matches!(lstat(&folder, name), Ok(None)),
            Err(obstacle) => !matches!(obstacle, Obstacle::Missing),
        }
    }

    /// About how many runs a project has: the entries of their folder, none where that cannot be read.
    #[must_use]
    pub fn entries(&self, project: &ProjectId) -> usize {
        let folder = self.open_executions(project).ok();
        let entries = folder.and_then(|folder| Dir::read_from(&folder).ok());
        entries.map_or(0, Iterator::count)
    }

    /// The project's folder of runs, if it has the names that it had when its stamp was `listed`
    /// (see [`Walk::listed`]).
    #[must_use]
    pub fn folder_as_listed(&self, project: &ProjectId, listed: &Stamp) -> Option<Folder> {
        let folder = self.open_executions(project).ok()?;
        let now = rustix::fs::fstat(&folder).ok()?;
        (stamp_of(&now) == *listed).then_some(folder)
    }
}

impl Folder {
    /// The stamp of a run's file, if that is there and a regular one.
    #[must_use]
    pub fn regular(&self, execution: &str) -> Option<Stamp> {
        // the rest of it is the name's end
        let mut name = [0; EXECUTION_ID_MAX + SUFFIX.len() + 1];
        let (id, rest) = name.split_at_mut_checked(execution.len())?;
        id.copy_from_slice(execution.as_bytes());
        rest.get_mut(..SUFFIX.len())?
            .copy_from_slice(SUFFIX.as_bytes());
        let name = CStr::from_bytes_until_nul(&name).ok()?;
        let stat = lstat(self, name).ok().flatten()?;
        (file_type(&stat) == FileType::RegularFile).then(|| stamp_of(&stat))
    }
}

impl Walk {
    fn list(
        &mut self,
        folder: impl AsFd + Sync,
        project: &ProjectId,
        now: SystemTime,
        stamps: bool,
    ) -> Result<(), Errno> {
        // asking for the stamps is most of the work: other threads do it while this one lists
        let asked = Mutex::new(Vec::new());
        let ask = |number: usize, part: Vec<ExecutionId>| {
            let stamps = ask(&folder, part);
            asked.lock().push((number, stamps));
        };
        let listed = rayon::in_place_scope(|scope| {
            let ask = &ask;
            let mut parts = 0;
            let mut give = |part| {
                parts += 1;
                let number = parts;
                scope.spawn(move |_| ask(number, part));
            };
            let last = self.names(&folder, project, now, stamps, &mut give)?;
            ask(usize::MAX, last);
            Ok(())
        });
        listed?;
        let mut asked = asked.into_inner();
        asked.sort_unstable_by_key(|(number, _)| *number);
        for (_, part) in asked {
            for (id, stamp) in part? {
                match stamp {
                    Some(stamp) => self.runs.push((id, stamp)),
                    None => {
                        let path = path_of(project, &file_name(&id));
                        self.problems.push(problem(path, ProblemKind::NotRegular));
                    }
                }
            }
        }
        Ok(())
    }

    /// Lists the folder, gives the runs whose stamps are to be asked for to `give` in parts, and
    /// returns the last of them.
    fn names(
        &mut self,
        folder: impl AsFd,
        project: &ProjectId,
        now: SystemTime,
        stamps: bool,
        give: &mut impl FnMut(Vec<ExecutionId>),
    ) -> Result<Vec<ExecutionId>, Errno> {
        let abandoned_before = since_epoch_ns(now).saturating_sub(ABANDONED_AFTER_NS);
        let mut unseen: Vec<ExecutionId> = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let bytes = name.to_bytes();
            let is_run = bytes.ends_with(SUFFIX.as_bytes());
            if is_temporary(bytes) {
                self.temporaries.push(name.to_owned());
                self.has_temporaries = true;
            }
            if bytes.starts_with(b".") || !(is_run || bytes.ends_with(ENGINE_TEMPORARY)) {
                continue;
            }
            let path = || path_of(project, &name.to_string_lossy());
            if !is_run {
                self.has_temporaries = true;
                if let Ok(Some(stat)) = lstat(&folder, name)
                    && file_type(&stat) == FileType::RegularFile
                    && stamp_of(&stat).mtime_ns < abandoned_before
                {
                    self.problems
                        .push(problem(path(), ProblemKind::AbandonedTemporary));
                }
                continue;
            }
            let id = name
                .to_str()
                .ok()
                .and_then(|name| name.strip_suffix(SUFFIX))
                .and_then(|stem| ExecutionId::parse(stem).ok());
            match (id, entry.file_type()) {
                (None, _) => self
                    .problems
                    .push(problem(path(), ProblemKind::InvalidName)),
                (Some(id), FileType::RegularFile) if !stamps => {
                    self.runs.push((id, Stamp::default()));
                }
                (Some(id), _) => {
                    unseen.push(id);
                    if unseen.len() == PART {
                        give(std::mem::replace(&mut unseen, Vec::with_capacity(PART)));
                    }
                }
            }
        }
        Ok(unseen)
    }
}

/// The stamp of each run that is there, if it is a regular file. One that the system refuses, as it may
/// where a disk is damaged, is like no other: whoever reads the file hears what is wrong with it.
fn ask(
    folder: impl AsFd,
    runs: Vec<ExecutionId>,
) -> Result<Vec<(ExecutionId, Option<Stamp>)>, Errno> {
    let mut asked = Vec::with_capacity(runs.len());
    for id in runs {
        match lstat(&folder, file_name(&id)) {
            Ok(Some(stat)) => {
                let regular = file_type(&stat) == FileType::RegularFile;
                asked.push((id, regular.then(|| stamp_of(&stat))));
            }
            Ok(None) => {}
            Err(errno) if is_permission(errno) => return Err(errno),
            Err(_) => asked.push((id, Some(Stamp::default()))),
        }
    }
    Ok(asked)
}

/// A file that is replaced while its folder is listed may come twice: the later stamp is the truer.
fn each_once(mut runs: Vec<(ExecutionId, Stamp)>) -> Vec<(ExecutionId, Stamp)> {
    let mut earlier: Vec<usize> = {
        let mut last: HashMap<&ExecutionId, usize> = HashMap::with_capacity(runs.len());
        let listed = runs.iter().enumerate();
        listed
            .filter_map(|(at, (id, _))| last.insert(id, at))
            .collect()
    };
    earlier.sort_unstable();
    for at in earlier.into_iter().rev() {
        runs.swap_remove(at);
    }
    runs
}

fn problem(path: impl Into<String>, kind: ProblemKind) -> Problem {
    Problem {
        path: path.into(),
        kind,
    }
}

fn is_permission(errno: Errno) -> bool {
    matches!(errno, Errno::ACCESS | Errno::PERM)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_comes_twice_is_listed_with_its_later_stamp() {
        let run = |id: &str, ino| {
            let stamp = Stamp {
                ino,
                ..Stamp::default()
            };
            (ExecutionId::parse(id).unwrap(), stamp)
        };
        let mut runs = each_once(vec![
            run("b", 1),
            run("a", 2),
            run("b", 3),
            run("c", 4),
            run("b", 5),
            run("a", 6),
        ]);
        runs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        assert_eq!(runs, [run("a", 6), run("b", 5), run("c", 4)]);
    }
}
