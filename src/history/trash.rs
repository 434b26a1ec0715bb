//! The trash: what is in it, having it back, and emptying it.
//!
//! Nothing of it is kept in memory: the folders are read at each request, and several daemons may
//! serve one root. What is restored is taken into the index under its run's lock, as a save is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use super::pace::Pace;
use super::select::Stop;
use super::{History, HistoryError, Moment};
use crate::index::{Clock, Index, Instance, Report};
use crate::model::{Millis, ProjectId, RunKey, Seen, Summary};
use crate::store::{Batch, Emptied, Entry, EntryId, RestoreError, StoreError, Turns};
use crate::watch::Mark;

/// Something in the trash.
#[derive(Debug, Clone)]
pub struct Trashed {
    /// What it is called.
    pub id: EntryId,
    /// The file's size.
    pub size_bytes: u64,
    /// What a list would say of it, where its record can be read.
    pub summary: Option<Summary>,
}

/// What of the trash is listed.
#[derive(Debug, Clone, Default)]
pub struct OfTrash {
    /// Only what is this project's; of all that can be read if absent.
    pub project: Option<ProjectId>,
    /// Only files whose names begin so.
    pub begins: Option<String>,
}

impl OfTrash {
    fn has(&self, id: &EntryId) -> bool {
        let begins = self.begins.as_ref();
        begins.is_none_or(|begins| id.stem().starts_with(begins))
    }
}

/// What a list says of all its pages, counted for the first of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrashTotals {
    /// How many entries there are.
    pub entries: u64,
    /// How many bytes they have.
    pub bytes: u64,
    /// Projects whose trash cannot be read; of what is in it nothing is told.
    pub unreadable: Vec<ProjectId>,
}

/// Some of what is in the trash.
#[derive(Debug, Clone, Default)]
pub struct TrashPage {
    /// The latest deletion first.
    pub entries: Vec<Trashed>,
    /// All pages together.
    pub totals: TrashTotals,
    /// Whether there are more after the page.
    pub more: bool,
}

/// What was restored.
#[derive(Debug, Clone)]
pub struct Restored {
    /// What is back.
    pub entries: Vec<EntryId>,
    /// What is still in the trash because something has its name by now.
    pub occupied: Vec<EntryId>,
    /// Projects whose trash cannot be read; there may be more of it.
    pub unreadable: Vec<ProjectId>,
    /// The state that has it.
    pub clock: Clock,
}

/// What is to go for good.
#[derive(Debug, Clone)]
pub enum ToEmpty {
    /// What was deleted before a moment, or everything, of a project, or of all.
    Before(Option<ProjectId>, Option<Millis>),
    /// These.
    Entries(Vec<EntryId>),
    /// What one request deleted.
    Batch(Batch),
}

impl History {
    /// What is in the trash, from the beginning or after an entry of a page with these totals. The first
    /// page costs a stat for each entry; those after it cost the names of the batches, and a look at
    /// what they list. Each reads the records that it lists. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Trash`], and [`HistoryError::TakenBack`] when it was taken back.
    pub fn trash(
        &self,
        what: &OfTrash,
        from: Option<(TrashTotals, EntryId)>,
        limit: usize,
        stop: &Stop,
    ) -> Result<TrashPage, HistoryError> {
        let projects = self.projects_with_trash(what.project.as_ref())?;
        let (mut totals, after) = match from {
            Some((totals, after)) => (totals, Some(after)),
            None => (self.trash_totals(&projects, what, stop)?, None),
        };
        // it may have become so since the page before
        let pass_over = |totals: &mut TrashTotals, one: &ProjectId, error: StoreError| {
            if what.project.is_some() {
                return Err(error);
            }
            totals.unreadable.push(passed_over(one.clone(), &error));
            Ok(())
        };
        let mut batches = BinaryHeap::new();
        for one in &projects {
            if totals.unreadable.contains(one) {
                continue;
            }
            match self.store.batches(one) {
                Ok(of_project) => {
                    let is_ahead = |(batch, one): &(Batch, &ProjectId)| {
                        let last = after.as_ref().map(|after| (after.batch(), after.project()));
                        last.is_none_or(|last| (*batch, *one) >= last)
                    };
                    let of_project = of_project.into_iter().map(|batch| (batch, one));
                    batches.extend(of_project.filter(is_ahead).map(Reverse));
                }
                Err(error) => pass_over(&mut totals, one, error)?,
            }
        }
        let is_ahead = |id: &EntryId| after.as_ref().is_none_or(|after| id > after);
        // one more than the page has
        let mut found: Vec<Entry> = Vec::new();
        while found.len() <= limit
            && let Some(Reverse((batch, one))) = batches.pop()
        {
            self.going(stop)?;
            if totals.unreadable.contains(one) {
                continue;
            }
            let meant = |id: &EntryId| is_ahead(id) && what.has(id);
            let take = |entry| {
                found.push(entry);
                found.len() <= limit
            };
            if let Err(error) = self.store.each_trashed(one, batch, meant, take) {
                pass_over(&mut totals, one, error)?;
            }
        }
        let mut page = TrashPage {
            entries: Vec::new(),
            totals,
            more: found.len() > limit,
        };
        let mut index = Index::new(Instance::random(), self.options.liveness());
        for Entry {
            id,
            size_bytes,
            is_file,
        } in found.into_iter().take(limit)
        {
            self.going(stop)?;
            let summary = is_file.then(|| self.summary_of_trashed(&id, &mut index));
            page.entries.push(Trashed {
                id,
                size_bytes,
                summary: summary.flatten(),
            });
        }
        Ok(page)
    }

    /// How much a list has on all its pages.
    fn trash_totals(
        &self,
        projects: &[ProjectId],
        what: &OfTrash,
        stop: &Stop,
    ) -> Result<TrashTotals, HistoryError> {
        let mut totals = TrashTotals::default();
        for project in projects {
            let (mut entries, mut bytes) = (0, 0);
            let every = |_: &Batch| true;
            let counted = self.each_trashed(project, (every, |id| what.has(id)), stop, |entry| {
                entries += 1;
                bytes += entry.size_bytes;
            });
            match counted {
                Err(HistoryError::Trash(error)) if what.project.is_none() => {
                    let project = passed_over(project.clone(), &error);
                    totals.unreadable.push(project);
                }
                counted => {
                    counted?;
                    totals.entries += entries;
                    totals.bytes += bytes;
                }
            }
        }
        Ok(totals)
    }

    /// What of the trash that can be read was deleted before a moment. Costs a stat for each entry. Blocks.
    ///
    /// # Errors
    /// Those of [`History::trash`].
    pub fn trashed_before(&self, before: Millis, stop: &Stop) -> Result<TrashTotals, HistoryError> {
        let mut totals = TrashTotals::default();
        let is_old = |batch: &Batch| batch.deleted_at() < before;
        for project in self.projects_with_trash(None)? {
            let counted =
                self.each_trashed(&project, (is_old, |_: &EntryId| true), stop, |entry| {
                    totals.entries += 1;
                    totals.bytes += entry.size_bytes;
                });
            match counted {
                Err(HistoryError::Trash(error)) => {
                    totals.unreadable.push(passed_over(project, &error));
                }
                counted => counted?,
            }
        }
        Ok(totals)
    }

    /// Gives what is meant, in batches that are meant, of a project to `each`.
    fn each_trashed(
        &self,
        project: &ProjectId,
        (batches, meant): (impl Fn(&Batch) -> bool, impl Fn(&EntryId) -> bool),
        stop: &Stop,
        mut each: impl FnMut(Entry),
    ) -> Result<(), HistoryError> {
        for batch in self.store.batches(project)?.into_iter().filter(batches) {
            self.going(stop)?;
            self.store.each_trashed(project, batch, &meant, |entry| {
                each(entry);
                true
            })?;
        }
        Ok(())
    }

    fn projects_with_trash(
        &self,
        project: Option<&ProjectId>,
    ) -> Result<Vec<ProjectId>, HistoryError> {
        Ok(match project {
            Some(project) => vec![project.clone()],
            None => self.store.projects()?.projects,
        })
    }

    /// What a list would say of it; `index` is one that nobody else uses.
    fn summary_of_trashed(&self, id: &EntryId, index: &mut Index) -> Option<Summary> {
        let (key, seen, noted) = self.store.scan_trashed(id)?;
        let seen = Seen {
            racy: false,
            ..seen
        };
        index.apply(vec![Report::Gone(key.clone())]);
        index.apply(vec![
            Report::Seen(key.clone(), Box::new(seen)),
            Report::Annotated(key.clone(), noted),
        ]);
        index.summary_of(&key)
    }

    /// The latest deletion of a run that is in the trash. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotTrashed`], and [`HistoryError::Trash`].
    pub fn latest_deletion(&self, key: &RunKey) -> Result<EntryId, HistoryError> {
        self.store
            .latest_deletion(key)?
            .ok_or_else(|| HistoryError::NotTrashed(key.clone()))
    }

    /// Puts entries back where they were, the same files; all of them, or, where one of them is not
    /// there or has its name taken, or two are of one file, none; what it has not come to when it is
    /// taken back stays. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotRestored`], which tells what was restored before something came between;
    /// [`HistoryError::Trash`], and [`HistoryError::TakenBack`] when it was taken back before anything
    /// was restored.
    pub fn restore_entries(
        &self,
        entries: &[EntryId],
        stop: &Stop,
    ) -> Result<Restored, HistoryError> {
        let mut by_file: Vec<&EntryId> = entries.iter().collect();
        by_file.sort_unstable_by(|a, b| a.cmp_file(b));
        let twice = by_file.windows(2).find_map(|pair| match pair {
            [first, second] if first.cmp_file(second).is_eq() => Some(*second),
            _ => None,
        });
        for id in entries {
            self.going(stop)?;
            let why = if !self.store.is_trashed(id)? {
                RestoreError::NoEntry
            } else if twice.is_some_and(|twice| std::ptr::eq(twice, id)) {
                RestoreError::Twice
            } else if self.store.is_occupied(id)? {
                RestoreError::Occupied
            } else {
                continue;
            };
            return Err(HistoryError::NotRestored {
                entry: id.clone(),
                why,
                restored: Vec::new(),
            });
        }
        let mut restored = Vec::new();
        let mut failed = None;
        self.put_back(entries, &mut |id, done| match done {
            Ok(()) => {
                restored.push(id);
                !stop.is_set()
            }
            Err(why) => {
                failed = Some((id, why));
                false
            }
        });
        self.restoring_gave(failed, restored, Vec::new(), Vec::new())
    }

    /// Puts back what one request deleted, except where something has its name by now, and what it has
    /// not come to when it is taken back. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotRestored`] for reasons of the system, which tells what was restored of it before
    /// and in other projects, [`HistoryError::Trash`], and
    /// [`HistoryError::TakenBack`] when it was taken back before anything was restored.
    pub fn restore_batch(&self, batch: Batch, stop: &Stop) -> Result<Restored, HistoryError> {
        let (mut entries, mut unreadable) = (Vec::new(), Vec::new());
        for project in self.projects_with_trash(None)? {
            self.going(stop)?;
            let take = |entry: Entry| {
                entries.push(entry.id);
                true
            };
            if let Err(error) = self.store.each_trashed(&project, batch, |_| true, take) {
                unreadable.push(passed_over(project, &error));
            }
        }
        entries.sort_unstable();
        let (mut restored, mut occupied) = (Vec::new(), Vec::new());
        let mut failed = None;
        // one that refuses keeps nothing from the others
        for of_project in entries.chunk_by(EntryId::is_beside) {
            let mut refused = None;
            self.put_back(of_project, &mut |id, done| {
                match done {
                    Ok(()) => restored.push(id),
                    Err(RestoreError::Occupied) => occupied.push(id),
                    // somebody else restored it, or emptied the trash
                    Err(RestoreError::NoEntry) => {}
                    Err(why) => refused = Some((id, why)),
                }
                refused.is_none() && !stop.is_set()
            });
            failed = failed.or(refused);
            if stop.is_set() {
                break;
            }
        }
        self.restoring_gave(failed, restored, occupied, unreadable)
    }

    /// What restoring came to, which `failed` at one entry or at none.
    fn restoring_gave(
        &self,
        failed: Option<(EntryId, RestoreError)>,
        restored: Vec<EntryId>,
        occupied: Vec<EntryId>,
        unreadable: Vec<ProjectId>,
    ) -> Result<Restored, HistoryError> {
        match failed {
            Some((entry, why)) => Err(HistoryError::NotRestored {
                entry,
                why,
                restored,
            }),
            None => Ok(Restored {
                entries: restored,
                occupied,
                unreadable,
                clock: self.clock(),
            }),
        }
    }

    /// Puts entries back as long as `each`, which is told what became of each, says so; the index
    /// has them when it returns.
    fn put_back(
        &self,
        entries: &[EntryId],
        each: &mut impl FnMut(EntryId, Result<(), RestoreError>) -> bool,
    ) {
        for of_batch in entries.chunk_by(EntryId::is_beside) {
            for part in of_batch.chunks(self.part()) {
                if !self.put_some_back(part, each) {
                    return;
                }
            }
        }
    }

    /// The same for entries of one batch of one project; whether to go on.
    fn put_some_back(
        &self,
        entries: &[EntryId],
        each: &mut impl FnMut(EntryId, Result<(), RestoreError>) -> bool,
    ) -> bool {
        let Some(first) = entries.first() else {
            return true;
        };
        let project = first.project();
        let (mut runs, mut others) = (Vec::new(), Vec::new());
        for id in entries {
            match id.key() {
                Some(key) => runs.push((id, key)),
                None => others.push(id),
            }
        }
        let mut going = true;
        while going && !(runs.is_empty() && others.is_empty()) {
            let (guard, mine, rest) = self.locks.lock_free(runs, |(_, key)| key);
            runs = rest;
            let others = std::mem::take(&mut others);
            let mut restoring = match self.store.restoring(project, first.batch()) {
                Ok(restoring) => restoring,
                Err(why) => {
                    going = each(first.clone(), Err(why));
                    if going {
                        continue;
                    }
                    break;
                }
            };
            let mut back: Vec<RunKey> = Vec::new();
            let other = |id| (id, None);
            let mine = mine.into_iter().map(|(id, key)| (id, Some(key)));
            let mut pace = Pace::new();
            for (id, key) in mine.chain(others.into_iter().map(other)) {
                pace.keep();
                let done = restoring.restore(id);
                if done.is_ok() {
                    match key {
                        Some(key) => back.push(key),
                        None => self.mark(Mark::Project(project.clone()), Instant::now()),
                    }
                }
                going = each(id.clone(), done);
                if !going {
                    break;
                }
            }
            let noted = match restoring.brings_annotations() {
                true => self.annotations_of(&back),
                false => Vec::new(),
            };
            let durable = restoring.finish();
            // before the runs, which so come with what is noted on them
            self.index.write().apply(noted);
            let clock = self.look_at_held(back, Moment::now());
            drop(guard);
            self.tell(clock.tick);
            if let Err(error) = durable {
                // told whatever else has ended it
                going = each(first.clone(), Err(error.into())) && going;
            }
        }
        self.look_if_new(project);
        going
    }

    /// Removes what is in the trash for good, or what it comes to before it is taken back; also why not
    /// all of it, if so: [`HistoryError::Trash`] or [`HistoryError::Write`], the rest having been
    /// removed. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Trash`] if nothing can be told of the root, and [`HistoryError::TakenBack`] when
    /// it was taken back.
    pub fn empty_trash(
        &self,
        what: &ToEmpty,
        stop: &Stop,
    ) -> Result<(Emptied, Option<HistoryError>), HistoryError> {
        let mut emptied = Emptied::default();
        let (mut failed, mut unreadable) = (None, Vec::new());
        let mut touched: Vec<ProjectId> = Vec::new();
        let (mut turns, now) = (Turns::default(), Moment::now().millis());
        let mut empty = |project: &ProjectId, batch, only: Option<&[EntryId]>| {
            let goes_on = || !stop.is_set();
            let of_batch = (&mut turns, now);
            let one = self.store.empty(project, batch, only, of_batch, goes_on);
            emptied.entries += one.entries;
            emptied.freed_bytes += one.freed_bytes;
            emptied.failures.extend(one.failures);
            if touched.last() != Some(project) {
                touched.push(project.clone());
            }
        };
        let mut empty_all = || -> Result<(), HistoryError> {
            match what {
                ToEmpty::Before(project, before) => {
                    for project in self.projects_with_trash(project.as_ref())? {
                        let batches = self.store.batches(&project).unwrap_or_else(|error| {
                            unreadable.push(passed_over(project.clone(), &error));
                            failed = Some(error.into());
                            Vec::new()
                        });
                        for batch in batches {
                            self.going(stop)?;
                            if before.is_none_or(|before| batch.deleted_at() < before) {
                                empty(&project, batch, None);
                            }
                        }
                    }
                }
                ToEmpty::Entries(entries) => {
                    let mut entries = entries.clone();
                    entries.sort_unstable();
                    for some in entries.chunk_by(EntryId::is_beside) {
                        self.going(stop)?;
                        if let Some(first) = some.first() {
                            empty(first.project(), first.batch(), Some(some));
                        }
                    }
                }
                ToEmpty::Batch(batch) => {
                    for project in self.projects_with_trash(None)? {
                        self.going(stop)?;
                        empty(&project, *batch, None);
                    }
                }
            }
            Ok(())
        };
        let ended = empty_all();
        emptied.unreadable = unreadable;
        touched.sort_unstable();
        touched.dedup();
        for project in touched {
            let synced = self.store.sync_trash(&project);
            emptied.failures.extend(synced.err());
        }
        match ended {
            // what is gone by then is the answer
            Err(HistoryError::TakenBack) if emptied.entries > 0 => {}
            ended => ended?,
        }
        let failed = failed.or_else(|| emptied.failures.pop().map(HistoryError::from));
        Ok((emptied, failed))
    }
}

/// One of several projects, in whose trash is what cannot be read.
fn passed_over(project: ProjectId, error: &StoreError) -> ProjectId {
    tracing::info!(%error, "a project's trash cannot be read");
    project
}

#[cfg(test)]
mod tests;
