//! The trash: what was deleted and can be had back.
//!
//! It lies in a hidden folder of each project, so that a deletion and its undoing are one rename
//! each: `{project}/.runlog/trash/{batch}/{file name}`, a batch being what one request deleted.
//! Nothing is remembered of it: whoever asks is told what the folders hold. Only what has a name
//! that a deletion gives is ours; the rest is neither shown nor touched, and no link is followed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::{CStr, CString};
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::annotations::{
    Sidecars, TRASHED_SUFFIX, annotation_in_trash, is_trashed_sidecar, trashed_of,
};
use super::layout::{
    Folder, Obstacle, Turn, Turns, executions_path, file_name, file_type, lstat, make_folder,
    names, open_folder, remove_folder, rename_new, sync_folder, unlink,
};
use super::own::{Moving, own_path, random};
use super::read::LOOKING_FIRST;
use super::{RestoreError, Store, StoreError, WriteError};
use crate::model::layout::{SUFFIX, TRASH};
use crate::model::{Annotation, ExecutionId, Millis, ProjectId, RunKey, Seen};

/// A batch of this age that has nothing in it yet will have nothing.
const UNUSED_AFTER_MS: i64 = 60 * 60 * 1000;

fn trash_path(project: &ProjectId) -> String {
    format!("{}/{TRASH}", own_path(project))
}

pub(super) fn batch_path(project: &ProjectId, batch: Batch) -> String {
    format!("{}/{batch}", trash_path(project))
}

/// Whether a file of this name is deleted with all runs of its project.
pub(super) fn is_deletable(name: &[u8]) -> bool {
    name.ends_with(SUFFIX.as_bytes()) && !name.starts_with(b".")
}

/// What one request deleted; spelt as its folders are called, `<milliseconds since 1970>-<16
/// hexadecimal digits>`. The latest comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Batch {
    at: Reverse<Millis>,
    random: u64,
}

impl Batch {
    /// One that nobody has, of what is deleted at `at`.
    #[must_use]
    pub fn new(at: Millis) -> Self {
        Self {
            at: Reverse(Millis(at.0.max(0))),
            random: random(),
        }
    }

    /// The batch that is spelt `text`, if one is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (at, random) = text.split_once('-')?;
        let batch = Self {
            at: Reverse(Millis(at.parse().ok()?)),
            random: u64::from_str_radix(random, 16).ok()?,
        };
        // one spelling each: no sign, no zero before it, no capitals
        (batch.at.0.0 >= 0 && batch.to_string() == text).then_some(batch)
    }

    /// When it was deleted.
    #[must_use]
    pub fn deleted_at(self) -> Millis {
        self.at.0
    }
}

impl fmt::Display for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.at.0.0, self.random)
    }
}

/// One deletion of one file. The latest comes first, then by project and file name.
///
/// Spelt `{project}/{batch}/{execution}`; for a file whose name is no execution's
/// `{project}/{batch}//{file name}`, its bytes that are no ASCII letters, digits, dots, dashes or
/// underscores as `%` and two hexadecimal digits. No id holds a slash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntryId {
    batch: Batch,
    project: ProjectId,
    name: CString,
}

impl EntryId {
    /// The deletion of a run in a batch.
    #[must_use]
    pub fn of_run(key: &RunKey, batch: Batch) -> Self {
        Self {
            batch,
            project: key.project.clone(),
            // ids hold no zero byte
            name: CString::new(file_name(&key.execution)).unwrap_or_default(),
        }
    }

    /// The entry that is spelt `text`, if one is.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '/');
        let project = ProjectId::parse(parts.next()?).ok()?;
        let batch = Batch::parse(parts.next()?)?;
        let name = match parts.next()? {
            id if !id.starts_with('/') => file_name(&ExecutionId::parse(id).ok()?).into_bytes(),
            escaped => unescaped(escaped.get(1..)?)?,
        };
        if !is_deletable(&name) || name.contains(&b'/') {
            return None;
        }
        let name = CString::new(name).ok()?;
        let entry = Self {
            batch,
            project,
            name,
        };
        (entry.to_string() == text).then_some(entry)
    }

    /// Whose it is.
    #[must_use]
    pub fn project(&self) -> &ProjectId {
        &self.project
    }

    /// What it was deleted with.
    #[must_use]
    pub fn batch(&self) -> Batch {
        self.batch
    }

    /// The run, if the file's name is one's.
    #[must_use]
    pub fn key(&self) -> Option<RunKey> {
        let stem = self.name.to_str().ok()?.strip_suffix(SUFFIX)?;
        Some(RunKey {
            project: self.project.clone(),
            execution: ExecutionId::parse(stem).ok()?,
        })
    }

    /// The file's name without `.json`; bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn stem(&self) -> String {
        let name = self.name.to_string_lossy();
        name.strip_suffix(SUFFIX).unwrap_or(&name).to_owned()
    }

    /// By the file that was deleted; of equal ones only one can be that file again.
    #[must_use]
    pub fn cmp_file(&self, other: &Self) -> std::cmp::Ordering {
        (&self.project, &self.name).cmp(&(&other.project, &other.name))
    }

    /// Whether both are of one batch of one project.
    #[must_use]
    pub fn is_beside(&self, other: &Self) -> bool {
        (&self.project, self.batch) == (&other.project, other.batch)
    }

    fn path(&self) -> String {
        let name = self.name.to_string_lossy();
        format!("{}/{name}", batch_path(&self.project, self.batch))
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/", self.project, self.batch)?;
        if let Some(key) = self.key() {
            return write!(f, "{}", key.execution);
        }
        f.write_str("/")?;
        for &byte in self.name.as_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                    write!(f, "{}", char::from(byte))?;
                }
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut found = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        found.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let (high, low) = (digit(bytes.next()?)?, digit(bytes.next()?)?);
            u8::try_from(high * 16 + low).ok()?
        } else {
            byte
        });
    }
    Some(found)
}

/// Something in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is called.
    pub id: EntryId,
    /// The file's size.
    pub size_bytes: u64,
    /// Whether it is a regular file, which may hold a record.
    pub is_file: bool,
}

/// The turn of changing what is noted on a project's runs.
type RunsTurn = Turn<Arc<Folder>>;

/// What emptying did.
#[derive(Debug, Default)]
pub struct Emptied {
    /// How many entries are gone.
    pub entries: u64,
    /// How many bytes they had.
    pub freed_bytes: u64,
    /// What could not be removed.
    pub failures: Vec<WriteError>,
    /// Projects whose trash cannot be read; there may be more in it.
    pub unreadable: Vec<ProjectId>,
}

impl Store {
    fn open_trash(&self, project: &ProjectId) -> Result<OwnedFd, Obstacle> {
        let own = self.open_own(project)?;
        open_folder(own, TRASH, || trash_path(project))
    }

    pub(super) fn open_batch(&self, project: &ProjectId, batch: Batch) -> Result<Folder, Obstacle> {
        let trash = self.open_trash(project)?;
        let name = batch.to_string();
        let fd = open_folder(trash, name.as_str(), || batch_path(project, batch))?;
        Ok(Folder::elsewhere(fd, project.clone()))
    }

    /// The batch's folder, made durably with those above it that are missing.
    pub(super) fn make_batch(
        &self,
        project: &ProjectId,
        batch: Batch,
    ) -> Result<OwnedFd, WriteError> {
        let make = || {
            let own = self.make_own(project)?;
            let trash = make_folder(own, TRASH, || trash_path(project))?;
            make_folder(trash, &batch.to_string(), || batch_path(project, batch))
        };
        make().map_err(|obstacle| match obstacle {
            Obstacle::Missing => WriteError::no_trash(project.to_string(), Errno::NOENT),
            Obstacle::Link(path) | Obstacle::NoFolder(path) => {
                WriteError::no_trash(path, Errno::NOTDIR)
            }
            Obstacle::System(path, errno) => WriteError::no_trash(path, errno),
        })
    }

    /// Removes the batch's folder if it is empty; whether it is gone.
    pub(super) fn remove_batch(&self, project: &ProjectId, batch: Batch) -> Result<bool, Errno> {
        let trash = Obstacle::or_none(self.open_trash(project));
        let Some(trash) = trash.map_err(|refused| refused.errno)? else {
            return Ok(true);
        };
        match remove_folder(&trash, batch.to_string()) {
            Ok(()) | Err(Errno::NOENT) => Ok(true),
            Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Makes it durable that folders of batches were removed.
    ///
    /// # Errors
    /// What the system says.
    pub fn sync_trash(&self, project: &ProjectId) -> Result<(), WriteError> {
        let unsure = |errno| WriteError::unsure(trash_path(project), errno);
        match Obstacle::or_none(self.open_trash(project)) {
            Ok(Some(trash)) => sync_folder(trash).map_err(unsure),
            Ok(None) => Ok(()),
            Err(refused) => Err(unsure(refused.errno)),
        }
    }

    /// The batches in a project's trash, the latest first. A trash that is a link, or no folder,
    /// is none.
    ///
    /// # Errors
    /// What the system says.
    pub fn batches(&self, project: &ProjectId) -> Result<Vec<Batch>, StoreError> {
        let Some(trash) = Obstacle::or_none(self.open_trash(project))? else {
            return Ok(Vec::new());
        };
        let names = names(trash, |_| true);
        let names = names.map_err(|errno| StoreError::io(trash_path(project), errno))?;
        let mut batches: Vec<Batch> = names
            .iter()
            .filter_map(|name| Batch::parse(name.to_str().ok()?))
            .collect();
        batches.sort_unstable();
        Ok(batches)
    }

    /// Gives what is in a batch of a project and `meant` to `each`, in order, as long as that says so.
    /// Costs the batch's names, and a stat for each that is given.
    ///
    /// # Errors
    /// What the system says.
    pub fn each_trashed(
        &self,
        project: &ProjectId,
        batch: Batch,
        meant: impl Fn(&EntryId) -> bool,
        mut each: impl FnMut(Entry) -> bool,
    ) -> Result<(), StoreError> {
        let Some(folder) = Obstacle::or_none(self.open_batch(project, batch))? else {
            return Ok(());
        };
        let give = || -> Result<(), Errno> {
            let ids = names(&folder, is_deletable)?
                .into_iter()
                .map(|name| EntryId {
                    batch,
                    project: project.clone(),
                    name,
                });
            // of many often only some are taken
            let mut ids: BinaryHeap<_> = ids.filter(meant).map(Reverse).collect();
            while let Some(Reverse(id)) = ids.pop() {
                let Some((size_bytes, kind)) = entry_of(&folder, &id.name)? else {
                    continue;
                };
                let goes_on = each(Entry {
                    id,
                    size_bytes,
                    is_file: kind == FileType::RegularFile,
                });
                if !goes_on {
                    break;
                }
            }
            Ok(())
        };
        give().map_err(|errno| StoreError::io(batch_path(project, batch), errno))
    }

    /// What an index would want to know about a record in the trash, if it can be read.
    pub fn scan_trashed(&self, id: &EntryId) -> Option<(RunKey, Seen, Annotation)> {
        let key = id.key()?;
        let folder = self.open_batch(&id.project, id.batch).ok()?;
        let scanned = folder.scan_by(&key, LOOKING_FIRST).ok()??;
        let noted = annotation_in_trash(&folder, &id.name);
        Some((key, scanned, noted))
    }

    /// The latest deletion of a run that is in the trash. Costs a look into every batch.
    ///
    /// # Errors
    /// What the system says.
    pub fn latest_deletion(&self, key: &RunKey) -> Result<Option<EntryId>, StoreError> {
        for batch in self.batches(&key.project)? {
            let id = EntryId::of_run(key, batch);
            if self.is_trashed(&id)? {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// Whether it is in the trash.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_trashed(&self, id: &EntryId) -> Result<bool, StoreError> {
        let found = match Obstacle::or_none(self.open_batch(&id.project, id.batch)) {
            Ok(Some(folder)) => entry_of(&folder, &id.name),
            Ok(None) => Ok(None),
            Err(refused) => Err(refused.errno),
        };
        let found = found.map_err(|errno| StoreError::io(id.path(), errno))?;
        Ok(found.is_some())
    }

    /// Whether something has the name that it would have again.
    ///
    /// # Errors
    /// What the system says.
    pub fn is_occupied(&self, id: &EntryId) -> Result<bool, StoreError> {
        let found = match Obstacle::or_none(self.open_executions(&id.project)) {
            Ok(Some(folder)) => lstat(&folder, id.name.as_c_str()),
            Ok(None) => Ok(None),
            Err(refused) => Err(refused.errno),
        };
        let found = found.map_err(|errno| StoreError::io(executions_path(&id.project), errno))?;
        Ok(found.is_some())
    }

    /// Removes for good what is in a batch of a project, or only some entries of it, and the folder if
    /// it is empty then, which [`Store::sync_trash`] makes durable. What is not there is no error. A
    /// folder that was empty before may be one that a deletion has just made, unless it is old at
    /// `now`. Of the turns that it takes, whoever empties several waits in vain for one at most. Goes
    /// on from entry to entry as long as `goes_on` says so.
    pub fn empty(
        &self,
        project: &ProjectId,
        batch: Batch,
        only: Option<&[EntryId]>,
        (turns, now): (&mut Turns, Millis),
        mut goes_on: impl FnMut() -> bool,
    ) -> Emptied {
        let mut emptied = Emptied::default();
        // not Full, of which it is said that nothing was changed
        let failed = |errno: Errno| WriteError::Refused {
            path: batch_path(project, batch),
            source: errno.into(),
        };
        let unsure = |errno| WriteError::unsure(batch_path(project, batch), errno);
        let folder = match Obstacle::or_none(self.open_batch(project, batch)) {
            Ok(Some(folder)) => folder,
            Ok(None) => return emptied,
            Err(refused) => {
                emptied.failures.push(refused.into());
                return emptied;
            }
        };
        // where there are no runs nobody restores one, or deletes it
        let runs = self.open_executions(project).ok().map(Arc::new);
        let mut turn = || turns.next(Arc::clone(runs.as_ref()?));
        let found = match only {
            Some(ids) => Ok(ids.iter().map(|id| id.name.clone()).collect()),
            None => names(&folder, is_deletable),
        };
        match found {
            Ok(found) => {
                for name in found {
                    if !goes_on() {
                        break;
                    }
                    match remove_entry(&folder, &name, &mut turn) {
                        Ok(Some(size_bytes)) => {
                            emptied.entries += 1;
                            emptied.freed_bytes += size_bytes;
                        }
                        Ok(None) => {}
                        Err(errno) => emptied.failures.push(failed(errno)),
                    }
                }
            }
            Err(errno) => emptied.failures.push(failed(errno)),
        }
        if only.is_none() {
            self.remove_orphans(&folder, batch, &mut turn);
        }
        let old = batch.deleted_at().0 < now.0 - UNUSED_AFTER_MS;
        let is_gone = |done| matches!(done, Ok(true));
        // an empty folder that stays is removed another time
        let synced =
            match (emptied.entries > 0 || old) && is_gone(self.remove_batch(project, batch)) {
                true => Ok(()),
                false => sync_folder(&folder),
            };
        emptied.failures.extend(synced.map_err(unsure).err());
        emptied
    }

    /// Removes what is noted on runs that are nowhere.
    fn remove_orphans(
        &self,
        folder: &Folder,
        batch: Batch,
        turn: &mut impl FnMut() -> Option<RunsTurn>,
    ) {
        let orphans = || names(folder, is_trashed_sidecar).unwrap_or_default();
        if orphans().is_empty() {
            return;
        }
        let _turn = turn();
        // not those whose runs did not follow, because somebody died, nor those that are on their way
        let is_settled = |own: OwnedFd| {
            self.settle_abandoned(folder.project(), &own)?;
            Moving::is_of(&own, batch).map(|moving| !moving)
        };
        let own = self.open_own(folder.project());
        if !own.is_ok_and(|own| is_settled(own).is_ok_and(|settled| settled)) {
            return;
        }
        for name in orphans() {
            let stem = name.to_bytes().strip_suffix(TRASHED_SUFFIX.as_bytes());
            let run = CString::new([stem.unwrap_or_default(), SUFFIX.as_bytes()].concat());
            if run.is_ok_and(|run| matches!(entry_of(folder, &run), Ok(None))) {
                let _ = unlink(folder, name);
            }
        }
    }

    /// The way back from a batch of a project. Makes the executions folder if it is missing.
    ///
    /// # Errors
    /// [`RestoreError::NoEntry`] if there is no such batch, and [`RestoreError::Write`].
    pub fn restoring(
        &self,
        project: &ProjectId,
        batch: Batch,
    ) -> Result<Restoring<'_>, RestoreError> {
        let from = Obstacle::or_none(self.open_batch(project, batch))
            .map_err(WriteError::from)?
            .ok_or(RestoreError::NoEntry)?;
        Ok(Restoring {
            store: self,
            from,
            batch,
            to: Arc::new(self.folder_to_restore_to(project)?),
            sidecars: Sidecars::of(self, project),
            turns: Turns::default(),
        })
    }

    fn folder_to_restore_to(&self, project: &ProjectId) -> Result<Folder, WriteError> {
        self.make_executions(project)
            .map(|(folder, made)| {
                made.keep();
                folder
            })
            .map_err(|obstacle| match obstacle {
                Obstacle::Missing => WriteError::refused(project.to_string(), Errno::NOENT),
                Obstacle::Link(path) | Obstacle::NoFolder(path) => WriteError::NotRegular { path },
                Obstacle::System(path, errno) => WriteError::refused(path, errno),
            })
    }
}

/// Restoring some entries of one batch of a project.
#[derive(Debug)]
pub struct Restoring<'s> {
    store: &'s Store,
    from: Folder,
    batch: Batch,
    to: Arc<Folder>,
    sidecars: Sidecars<'s>,
    turns: Turns,
}

impl Restoring<'_> {
    /// Puts one back where it was, the same file; durably so once [`Restoring::finish`] says so.
    ///
    /// # Errors
    /// Any [`RestoreError`].
    pub fn restore(&mut self, id: &EntryId) -> Result<(), RestoreError> {
        let name = id.name.as_c_str();
        let failed = |errno| RestoreError::Write(WriteError::refused(id.path(), errno));
        for _ in 0..2 {
            let _turn = self.turns.next(Arc::clone(&self.to));
            if entry_of(&self.from, name).map_err(failed)?.is_none() {
                return Err(RestoreError::NoEntry);
            }
            if lstat(&*self.to, name).map_err(failed)?.is_some() {
                return Err(RestoreError::Occupied);
            }
            let noted = match name.to_str() {
                Ok(name) => {
                    let noted = self.sidecars.make_way(name, &self.from, self.batch);
                    noted.map_err(failed)?.then_some(name)
                }
                Err(_) => None,
            };
            match rename_new(&self.from, name, &*self.to, name) {
                Ok(()) => return self.bring_noted(id, noted),
                // somebody made one just now
                Err(Errno::EXIST) => return Err(RestoreError::Occupied),
                // it was emptied, or the executions folder was removed
                Err(Errno::NOENT) => {
                    self.to = Arc::new(self.store.folder_to_restore_to(&id.project)?);
                }
                Err(errno) => return Err(failed(errno)),
            }
        }
        Err(failed(Errno::NOENT))
    }

    /// Brings what is noted on a run that is back, or lets it go again.
    fn bring_noted(&mut self, id: &EntryId, noted: Option<&str>) -> Result<(), RestoreError> {
        let Some(name) = noted else {
            return Ok(());
        };
        let Err(errno) = self.sidecars.come_after(name, &self.from) else {
            return Ok(());
        };
        let path = id.path();
        Err(RestoreError::Write(
            match rename_new(&*self.to, name, &self.from, name) {
                Ok(()) => WriteError::refused(path, errno),
                Err(_) => {
                    self.sidecars.leave();
                    WriteError::unsure(path, errno)
                }
            },
        ))
    }

    /// Whether something that people noted came back with a run.
    #[must_use]
    pub fn brings_annotations(&self) -> bool {
        self.sidecars.have_moved()
    }

    /// Makes it durable, and removes the batch's folder if it is empty.
    ///
    /// # Errors
    /// What the system says.
    pub fn finish(mut self) -> Result<(), WriteError> {
        let project = self.to.project();
        // where it is now before where it was
        let unsure = |path: String, errno| WriteError::unsure(path, errno);
        sync_folder(&*self.to).map_err(|errno| unsure(executions_path(project), errno))?;
        let synced = self.sidecars.sync();
        synced.map_err(|errno| unsure(own_path(project), errno))?;
        sync_folder(&self.from).map_err(|errno| unsure(batch_path(project, self.batch), errno))?;
        // An empty folder that stays is removed when the trash is emptied.
        let _ = self.store.remove_batch(project, self.batch);
        Ok(())
    }
}

/// Removes an entry and what is noted on it; how many bytes it had, `None` if there is none.
fn remove_entry(
    folder: &Folder,
    name: &CStr,
    turn: &mut impl FnMut() -> Option<RunsTurn>,
) -> Result<Option<u64>, Errno> {
    let Some((size_bytes, _)) = entry_of(folder, name)? else {
        return Ok(None);
    };
    let trashed = trashed_of(folder, name)?;
    // who restores it takes first the one, then the other
    let _turn = trashed.as_ref().and_then(|_| turn());
    match unlink(folder, name) {
        Ok(()) => {}
        Err(Errno::NOENT | Errno::ISDIR) => return Ok(None),
        Err(errno) => return Err(errno),
    }
    if let Some(trashed) = trashed {
        // what outlives its run here is nobody's, and removed when the trash is emptied next
        let _ = unlink(folder, trashed);
    }
    Ok(Some(size_bytes))
}

/// Size and kind of what a deletion put there under this name; nothing else has them.
fn entry_of(folder: impl AsFd, name: &CStr) -> Result<Option<(u64, FileType)>, Errno> {
    if !is_deletable(name.to_bytes()) {
        return Ok(None);
    }
    Ok(lstat(folder, name)?.and_then(|stat| {
        let kind = file_type(&stat);
        let size_bytes = u64::try_from(stat.st_size).unwrap_or(0);
        (kind != FileType::Directory).then_some((size_bytes, kind))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_one_spelling_each() {
        let batch = "1760512600000-00ff8a1be2d49377";
        for spelt in [
            "p/B/x",
            "p.q/B/exec-1 2%41",
            "p/B//x%5Cy.json",
            "p/B//%FF.json",
        ] {
            let text = spelt.replace('B', batch);
            let entry = EntryId::parse(&text).expect(spelt);
            assert_eq!(entry.to_string(), text);
            assert_eq!(entry.batch().deleted_at(), Millis(1_760_512_600_000));
            assert_eq!(entry.key().is_some(), !spelt.contains("//"));
        }
        for spelt in [
            "",
            "p",
            "p/B",
            "p/B/",
            "p/B//",
            "p/B/.x",
            "p/B/../x",
            "../B/x",
            "p/B/x/y",
            "p/B//x.json",
            "p/B//%2F.json",
            "p/B//%00%FF.json",
            "p/B//.%FF.json",
            "p/B//%FF",
            "p/B//%ff.json",
            "p/B//%F.json",
            "p/B//\u{e9}%FF.json",
            "p/-1-00ff8a1be2d49377/x",
            "p/01-00ff8a1be2d49377/x",
            "p/+1-00ff8a1be2d49377/x",
            "p/1-0FFF8a1be2d49377/x",
            "p/1-ff/x",
        ] {
            let text = spelt.replace('B', batch);
            assert_eq!(EntryId::parse(&text), None, "{spelt}");
        }
    }

    #[test]
    fn the_latest_comes_first() {
        let [old, new] = [5, 6].map(|at| Batch::new(Millis(at)));
        assert!(new < old);
        assert_ne!(Batch::new(Millis(5)), old);
        assert_eq!(Batch::new(Millis(-5)).deleted_at(), Millis(0));
    }
}
