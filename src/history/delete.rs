//! Deleting runs: into the trash, or for good.
//!
//! Section 4 of the protocol. What one request deletes into the trash is one batch there. Where many
//! go, they are chosen at one state of the index and compared with it once more, each under its
//! lock; they go in parts, so that nobody waits long for the index.

use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Instant;

use super::pace::Pace;
use super::select::Stop;
use super::{History, HistoryError, Moment, RACY_FOR};
use crate::index::{Clock, Index, Listed, Place, Query, Report, Selection};
use crate::model::{Millis, ProjectId, RunKey, Version};
use crate::store::{Batch, EntryId, NoTrash, Removal, Removed, Sparing, WriteError};
use crate::watch::Mark;

/// What deleting a run did.
#[derive(Debug, Clone)]
pub struct Deleted {
    /// Whether there was one.
    pub deleted: bool,
    /// What it is in the trash, if it is there.
    pub entry: Option<EntryId>,
    /// The state without it.
    pub clock: Clock,
}

/// What deleting all runs of a project did.
#[derive(Debug, Clone)]
pub struct DeletedAll {
    /// How many files there were.
    pub deleted: u64,
    /// What they are in the trash, if they are there.
    pub batch: Option<Batch>,
    /// The state without them.
    pub clock: Clock,
}

/// How far a clock that is set back a little is held, so that deletions stay in order.
const HELD_MS: i64 = 10_000;

/// What is deleted now, and whether it can be had back. No two are of one instant: of two deletions of a
/// run the latest is put back first.
fn batch(permanent: bool) -> Option<Batch> {
    static LAST: AtomicI64 = AtomicI64::new(0);
    if permanent {
        return None;
    }
    let Millis(now) = Moment::now().millis();
    let last = LAST.fetch_update(Relaxed, Relaxed, |last| Some(after(last, now)));
    last.ok().map(|last| Batch::new(Millis(after(last, now))))
}

/// The instant of a deletion after one of `last`.
fn after(last: i64, now: i64) -> i64 {
    match last.saturating_add(1) {
        // a clock that was far ahead for once is not believed for ever
        next if next > now.saturating_add(HELD_MS) => now,
        next => now.max(next),
    }
}

impl History {
    /// Deletes one run's file. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Write`], and [`HistoryError::DeletedSome`] if it is gone all the same.
    pub fn delete(&self, key: &RunKey, permanent: bool) -> Result<Deleted, HistoryError> {
        let batch = batch(permanent);
        let guard = self.locks.lock(key);
        let (deleted, unsure) = match self.store.delete(key, batch) {
            Ok(deleted) => (deleted, None),
            Err(why @ WriteError::Io { .. }) => (true, Some(why)),
            Err(why) => {
                self.mark(Mark::Annotation(key.clone()), Instant::now());
                self.mark(Mark::Run(key.clone()), Instant::now());
                return Err(why.into());
            }
        };
        let noted = self.noted_before(std::iter::once(key));
        let clock = {
            let mut index = self.index.write();
            index.note_problems_of(key, &[], Moment::now().millis());
            index.apply(vec![Report::Gone(key.clone())]);
            index.apply(noted);
            index.clock()
        };
        self.tell(clock.tick);
        self.mark_quietly(Mark::Run(key.clone()), Instant::now() + RACY_FOR);
        drop(guard);
        let entry = batch.filter(|_| deleted);
        let entry = entry.map(|batch| EntryId::of_run(key, batch));
        match unsure {
            None => Ok(Deleted {
                deleted,
                entry,
                clock,
            }),
            Some(why) => Err(HistoryError::DeletedSome {
                deleted: 1,
                entry,
                batch: None,
                why: Box::new(why),
            }),
        }
    }

    /// Deletes every `*.json` of a project, or those that it comes to before it is taken back. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Write`] and [`HistoryError::TakenBack`] if none was;
    /// [`HistoryError::DeletedSome`].
    pub fn delete_all(
        &self,
        project: &ProjectId,
        permanent: bool,
        stop: &Stop,
    ) -> Result<DeletedAll, HistoryError> {
        let batch = batch(permanent);
        let deleted = self.store.delete_all(project, batch, || !stop.is_set());
        // everything that is gone now, whoever deleted it
        self.look_at_project(project, Moment::now());
        let mut all = deleted?;
        let (deleted, batch) = (all.count, batch.filter(|_| all.count > 0));
        match all.failures.pop() {
            Some(why) if deleted == 0 => Err(why.into()),
            Some(why) => Err(HistoryError::DeletedSome {
                deleted,
                entry: None,
                batch,
                why: Box::new(why),
            }),
            None if deleted == 0 && stop.is_set() => Err(HistoryError::TakenBack),
            None => Ok(DeletedAll {
                deleted,
                batch,
                clock: self.clock(),
            }),
        }
    }
}

/// A run that is to be deleted, as it was when that was decided.
#[derive(Debug, Clone)]
pub struct Chosen {
    key: RunKey,
    started_at: Option<Millis>,
    updated_at: Millis,
    aged_from: Millis,
    size_bytes: u64,
    pinned: bool,
    tick: u64,
}

impl Chosen {
    /// A run of a page.
    #[must_use]
    pub fn of(run: &Listed<'_>) -> Option<Self> {
        let summary = run.summary();
        let (updated_at, size_bytes) = (summary.updated_at, summary.size_bytes);
        let pinned = summary.annotation.is_some_and(|noted| noted.pinned);
        let aged_from = summary.completed_at.or(summary.started_at);
        run.run_key().map(|key| Self {
            key,
            started_at: run.started_at(),
            updated_at,
            aged_from: aged_from.unwrap_or(updated_at),
            size_bytes,
            pinned,
            tick: run.tick(),
        })
    }

    /// One of which only this matters.
    #[cfg(test)]
    pub(super) fn for_tests(key: RunKey, aged_from: Millis, size_bytes: u64) -> Self {
        Self {
            key,
            started_at: None,
            updated_at: Millis(0),
            aged_from,
            size_bytes,
            pinned: false,
            tick: 0,
        }
    }

    /// Whether it came or changed after `clock`, which must be one that the index honours.
    pub(super) fn is_after(&self, clock: Clock) -> bool {
        self.tick > clock.tick
    }

    /// When its file was written last.
    pub(super) fn updated_at(&self) -> Millis {
        self.updated_at
    }

    /// Where it stands in lists.
    #[must_use]
    pub fn place(&self) -> Place<'_> {
        Place::of(self.started_at, &self.key)
    }

    /// What its age counts from: when it ended, else began, else was written last.
    #[must_use]
    pub fn aged_from(&self) -> Millis {
        self.aged_from
    }

    /// Which it is.
    #[must_use]
    pub fn key(&self) -> &RunKey {
        &self.key
    }

    /// The file's size.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// What spares it: a pin that it had when it was chosen does not.
    fn sparing(&self, how: Deleting) -> Sparing {
        match how.keep_doubtful {
            _ if self.pinned => Sparing::Nothing,
            true => Sparing::MaybePinned,
            false => Sparing::Pinned,
        }
    }
}

/// Whether it may be in the way of one file, as its permissions are, and not of others beside it.
fn is_of_one(error: &WriteError) -> bool {
    let source = match error {
        WriteError::Refused { source, .. } => source,
        WriteError::NoTrash {
            reason: NoTrash::System(source),
            ..
        } => source,
        _ => return false,
    };
    source.kind() == std::io::ErrorKind::PermissionDenied
}

/// What is to be deleted.
#[derive(Debug)]
pub struct Choice {
    /// The runs, in list order.
    pub chosen: Vec<Chosen>,
    /// Those of which it is not known whether they pass, because their records could not be read.
    pub undecided: Vec<RunKey>,
    /// The state at which that was decided.
    pub clock: Clock,
}

/// Why a run that was chosen was not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spared {
    /// Somebody else deleted it meanwhile.
    Gone,
    /// It came, or was saved, touched or pinned, meanwhile.
    Changed,
    /// The file system refused, be it to read the record that decides whether it is meant.
    Refused,
    /// Whether it is pinned cannot be read.
    MaybePinned,
    /// Others changed or came or went, so that the policy keeps it by now.
    Kept,
    /// The rest was taken back before its turn came.
    Stopped,
}

/// How runs that were chosen are deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deleting {
    /// For good, not into the trash.
    pub permanent: bool,
    /// Whether those stay of which it cannot be read whether they are pinned.
    pub keep_doubtful: bool,
}

/// What deleting many did.
#[derive(Debug)]
pub struct DeletedMany {
    /// What is gone.
    pub deleted: Vec<Chosen>,
    /// What they are in the trash, if they are there.
    pub batch: Option<Batch>,
    /// What is not, and why.
    pub spared: Vec<(RunKey, Spared)>,
    /// The state without them.
    pub clock: Clock,
}

impl DeletedMany {
    fn spare(&mut self, some: &[Chosen], why: Spared) {
        let keys = some.iter().map(|one| (one.key.clone(), why));
        self.spared.extend(keys);
    }
}

impl History {
    /// The runs that pass, to be deleted. Some hundred bytes a run. Blocks.
    ///
    /// # Errors
    /// Those of [`History::select`].
    pub fn choose(&self, query: &Query, stop: &Stop) -> Result<Choice, HistoryError> {
        let take = |(): &mut (), run: &Listed<'_>, chosen: &mut Vec<_>| {
            chosen.extend(Chosen::of(run));
        };
        let beside = |index: &Index, selection: &Selection| {
            let undecided = index.undecided(selection).filter_map(|run| run.run_key());
            (undecided.collect::<Vec<_>>(), index.clock())
        };
        let ((chunks, _), (mut undecided, clock)) =
            self.take_beside((), query, stop, take, beside)?;
        let mut chosen: Vec<Chosen> = chunks.into_iter().flat_map(|((), some)| some).collect();
        chosen.sort_unstable_by(|a, b| a.place().cmp(&b.place()));
        undecided.sort_unstable();
        Ok(Choice {
            chosen,
            undecided,
            clock,
        })
    }

    /// Deletes runs that are still as they were when they were chosen, in parts, each of which is
    /// durable before it is told; `each` hears how many are done. What changed, or was noted on, is
    /// spared, also what another process has pinned just now, and, once it is taken back, the parts that
    /// have not begun. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Write`] if nothing was deleted and the file system refused some of it;
    /// [`HistoryError::TakenBack`] if nothing was deleted; [`HistoryError::DeletedSome`], when all is
    /// done, if some of it is not gone durably.
    pub fn delete_chosen(
        &self,
        mut chosen: Vec<Chosen>,
        how: Deleting,
        stop: &Stop,
        mut each: impl FnMut(usize),
    ) -> Result<DeletedMany, HistoryError> {
        let batch = batch(how.permanent);
        // stable: within a project they go in the order in which they were chosen
        chosen.sort_by(|a, b| a.key.project.cmp(&b.key.project));
        let mut done = DeletedMany {
            deleted: Vec::with_capacity(chosen.len()),
            batch: None,
            spared: Vec::new(),
            clock: self.clock(),
        };
        let (mut refused, mut unsure) = (None, None);
        let mut refuse = |error: WriteError| {
            tracing::warn!(%error, "a project's runs could not be deleted");
            match error {
                WriteError::Io { .. } => unsure.get_or_insert(error),
                _ => refused.get_or_insert(error),
            };
        };
        for of_project in chosen.chunk_by(|a, b| a.key.project == b.key.project) {
            let Some(first) = of_project.first() else {
                continue;
            };
            let project = &first.key.project;
            let mut removal = match self.store.removal(project, batch) {
                Ok(Some(removal)) => removal,
                Ok(None) => {
                    done.spare(of_project, Spared::Gone);
                    self.mark(Mark::Project(project.clone()), Instant::now());
                    continue;
                }
                Err(error) => {
                    refuse(error);
                    done.spare(of_project, Spared::Refused);
                    continue;
                }
            };
            let mut parts = of_project.chunks(self.part());
            while let Some(part) = parts.next() {
                if stop.is_set() {
                    done.spare(part, Spared::Stopped);
                    continue;
                }
                let deleted = self.delete_part(&mut removal, part, how, &mut done);
                if let Err(error) = deleted {
                    let goes_on = is_of_one(&error);
                    refuse(error);
                    while !goes_on && let Some(part) = parts.next() {
                        done.spare(part, Spared::Refused);
                    }
                }
                each(done.deleted.len() + done.spared.len());
            }
        }
        done.batch = batch.filter(|_| !done.deleted.is_empty());
        match (unsure, refused) {
            (Some(why), _) => Err(HistoryError::DeletedSome {
                deleted: done.deleted.len() as u64,
                entry: None,
                batch: done.batch,
                why: Box::new(why),
            }),
            (None, Some(error)) if done.deleted.is_empty() => Err(error.into()),
            _ if done.deleted.is_empty() && stop.is_set() => Err(HistoryError::TakenBack),
            _ => Ok(done),
        }
    }

    /// Deletes some runs of the removal's project. On an error that may be one of them all, the rest of
    /// the part is spared; where one file is refused, the others go, and the first refusal is given at the end.
    fn delete_part(
        &self,
        removal: &mut Removal<'_>,
        part: &[Chosen],
        how: Deleting,
        done: &mut DeletedMany,
    ) -> Result<(), WriteError> {
        let mut rest: Vec<&Chosen> = part.iter().collect();
        let (mut outcome, mut first_refusal) = (Ok(()), Ok(()));
        while !rest.is_empty() {
            let (guard, mine, others) = self.locks.lock_free(rest, |one| &one.key);
            rest = others;
            let held: Vec<_> = self.index(|index| {
                let held = |one: &&Chosen| Some((index.held(&one.key)?, index.tick_of(&one.key)?));
                mine.iter().map(held).collect()
            });
            let (mut gone, mut doubtful) = (Vec::new(), Vec::new());
            let mut pace = Pace::new();
            for (one, held) in mine.into_iter().zip(held) {
                pace.keep();
                let removed = match held {
                    _ if outcome.is_err() => Err(Spared::Refused),
                    None => Err(Spared::Gone),
                    Some(((stamp, version, racy), tick)) => {
                        // a touch may be told later, or not at all
                        let as_chosen = tick == one.tick
                            && Millis(stamp.mtime_ns.div_euclid(1_000_000)) == one.updated_at
                            && (!racy || self.is_still(&one.key, version));
                        match as_chosen {
                            false => Err(Spared::Changed),
                            true => match removal.remove(
                                &one.key.execution,
                                Some(&stamp),
                                one.sparing(how),
                            ) {
                                Ok(Removed::Gone) => Ok(()),
                                Ok(Removed::Missing) => Err(Spared::Gone),
                                Ok(Removed::Changed | Removed::Pinned)
                                | Err(WriteError::NotRegular { .. }) => Err(Spared::Changed),
                                Ok(Removed::MaybePinned) => Err(Spared::MaybePinned),
                                Err(error) => {
                                    match is_of_one(&error) {
                                        true => first_refusal = first_refusal.and(Err(error)),
                                        false => outcome = Err(error),
                                    }
                                    Err(Spared::Refused)
                                }
                            },
                        }
                    }
                };
                match removed {
                    Ok(()) => gone.push(one),
                    Err(why) => {
                        if why != Spared::Refused {
                            doubtful.push(one.key.clone());
                        }
                        done.spared.push((one.key.clone(), why));
                    }
                }
            }
            if let Err(error) = removal.sync() {
                outcome = Err(error);
            }
            let noted = self.noted_before(gone.iter().map(|one| &one.key));
            let clock = {
                let mut index = self.index.write();
                if index.problems.count() > 0 {
                    for one in &gone {
                        index.note_problems_of(&one.key, &[], Moment::now().millis());
                    }
                }
                index.apply(
                    gone.iter()
                        .map(|one| Report::Gone(one.key.clone()))
                        .collect(),
                );
                index.apply(noted);
                index.clock()
            };
            self.tell(clock.tick);
            done.clock = clock;
            self.note_dirty(|dirty| {
                let now = Instant::now();
                for one in &gone {
                    dirty.mark_quietly(Mark::Run(one.key.clone()), now + RACY_FOR);
                }
                for key in doubtful {
                    dirty.mark(Mark::Annotation(key.clone()), now);
                    dirty.mark(Mark::Run(key), now);
                }
            });
            drop(guard);
            done.deleted.extend(gone.into_iter().cloned());
        }
        outcome.and(first_refusal)
    }

    /// Whether a file whose stamp proves nothing has this version.
    fn is_still(&self, key: &RunKey, version: Version) -> bool {
        let scanned = self.store.scan(key);
        scanned.is_ok_and(|found| found.is_some_and(|found| found.version == version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_deletions_in_one_instant_it_is_known_which_is_the_latest() {
        let batches: Vec<Batch> = (0..1000).filter_map(|_| batch(false)).collect();
        assert_eq!(batches.len(), 1000);
        assert!(batches.is_sorted_by(|older, newer| newer < older));
        let year = 365 * 24 * 60 * 60 * 1000;
        for (last, instant) in [(5, 100), (100, 101), (105, 106), (100 + year, 100)] {
            assert_eq!(after(last, 100), instant);
        }
    }
}
