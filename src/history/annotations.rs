//! What people noted on runs: changing it, and looking at what others did to its files.
//!
//! A pin, tags and a note live in a file beside the project's runs, which is the truth here as the
//! record's is there: hands, checkouts and other daemons may change it, and the index follows. Each
//! is read and written under its run's lock, and in this process's turn among ours.

use std::collections::HashSet;
use std::io;
use std::time::Instant;

use super::look::{STILL_LOOKED_AT, is_being_written, note_unswept};
use super::{History, HistoryError, Moment};
use crate::index::{Clock, Index, Report};
use crate::model::{Annotation, AnnotationChange, ProblemKind, ProjectId, RunKey, Summary};
use crate::store::{Sidecar, StoreError, annotated_at, annotation_path, is_short, own_folders};
use crate::watch::{Mark, Taken};

/// What may be wrong with the file of what is noted on a run.
const OF_SIDECARS: [ProblemKind; 2] = [ProblemKind::CorruptAnnotation, ProblemKind::Unreadable];

/// The runs of which it is not known whether they are pinned.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    runs: HashSet<RunKey>,
    /// All of theirs.
    projects: HashSet<ProjectId>,
}

impl Doubts {
    /// Whether the run may be pinned, for all that is known.
    pub(super) fn has(&self, key: &RunKey) -> bool {
        self.projects.contains(&key.project) || self.runs.contains(key)
    }
}

impl History {
    /// The runs on which something is noted that cannot be read.
    pub(super) fn doubts(&self) -> Doubts {
        let kinds = [&OF_SIDECARS[..], &[ProblemKind::NotRegular]].concat();
        let paths = self.problem_paths("", &kinds);
        let project = |path: &String| {
            let project = ProjectId::parse(path.split('/').next()?).ok()?;
            (*path == own_folders(&project)[0]).then_some(project)
        };
        Doubts {
            runs: paths.iter().filter_map(|path| annotated_at(path)).collect(),
            projects: paths.iter().filter_map(project).collect(),
        }
    }

    /// Makes the findings about the folders of ours in a project's equal to what is wrong there.
    fn look_at_own_folders(&self, project: &ProjectId, now: Moment) -> Result<(), StoreError> {
        const KINDS: [ProblemKind; 3] = [
            ProblemKind::NotRegular,
            ProblemKind::Unreadable,
            ProblemKind::Unwritable,
        ];
        let faults = self.store.own_faults(project)?;
        for path in own_folders(project) {
            let of_path = faults.iter().filter(|fault| fault.path == path);
            let kinds: Vec<_> = of_path.map(|fault| fault.kind).collect();
            let is_known = self.index(|index| {
                let has = |kind: &ProblemKind| index.problems.has(&path, *kind);
                KINDS.iter().all(|kind| has(kind) == kinds.contains(kind))
            });
            if !is_known {
                self.index
                    .write()
                    .note_problems(&path, &kinds, now.millis());
            }
        }
        Ok(())
    }

    /// Changes what is noted on a run, durably; what a list says of the run then, and the state
    /// that has it. Blocks.
    ///
    /// # Errors
    /// [`HistoryError::NotFound`] where there is no such file, [`HistoryError::Annotation`],
    /// [`HistoryError::CorruptAnnotation`], [`HistoryError::Read`] where the file is no record,
    /// [`HistoryError::Write`].
    pub fn annotate(
        &self,
        key: &RunKey,
        change: &AnnotationChange,
    ) -> Result<(Summary, Clock), HistoryError> {
        let guard = self.locks.lock(key);
        if !self.index(|index| index.contains(key)) {
            // perhaps the index has not seen it yet
            self.store
                .scan(key)?
                .ok_or_else(|| HistoryError::NotFound(key.clone()))?;
            let clock = self.look_at_held(vec![key.clone()], Moment::now());
            self.tell(clock.tick);
            // its folder may have been moved since it was read
            self.expect_echo(key);
        }
        // other processes change what is noted as well, and delete runs
        let turn = self.store.turn_to_note(&key.project)?;
        if self.store.stamp(key)?.is_none() {
            self.mark(Mark::Run(key.clone()), Instant::now());
            return Err(HistoryError::NotFound(key.clone()));
        }
        let held = match self.store.annotation(key)? {
            Sidecar::Is(annotation) => annotation,
            // whoever damaged it may still have use for what is left
            Sidecar::Corrupt(_) => return Err(HistoryError::CorruptAnnotation(key.clone())),
        };
        let annotation = held.changed(change)?;
        let written = self.store.annotate(key, &annotation);
        drop(turn);
        // whatever came of it
        let clock = self.take_in_annotation(key, None, Moment::now());
        drop(guard);
        self.tell(clock.tick);
        written?;
        self.look_if_new(&key.project);
        let summary = self.summary(key);
        let summary = summary.ok_or_else(|| HistoryError::NotFound(key.clone()))?;
        Ok((summary, clock))
    }

    /// Looks at what is noted on one run. Whoever died on the way to the trash may have taken it there
    /// alone; `swept` are the projects in which that was put right just now.
    pub(super) fn look_at_annotation(
        &self,
        key: &RunKey,
        taken: Option<&Taken>,
        swept: &mut HashSet<ProjectId>,
        now: Moment,
    ) {
        let guard = self.locks.lock(key);
        if self.has_lost_its_note(key) && swept.insert(key.project.clone()) {
            note_unswept(&self.store.sweep_own(&key.project));
        }
        let clock = self.take_in_annotation(key, taken, now);
        drop(guard);
        self.tell(clock.tick);
    }

    /// Looks at what is noted on the runs of a project, as far as it is not what is known.
    pub(super) fn look_at_annotations(
        &self,
        project: &ProjectId,
        taken: Option<&Taken>,
        now: Moment,
    ) {
        // what an earlier daemon, or another one, left when it died
        note_unswept(&self.store.sweep_own(project));
        let mut swept = HashSet::from([project.clone()]);
        let found = self
            .look_at_own_folders(project, now)
            .and_then(|()| self.store.annotated(project));
        let found = match found {
            Ok(found) => found,
            Err(StoreError::Io { source, .. }) if is_short(&source) => {
                return self.look_later(taken, Mark::Annotations(project.clone()), now);
            }
            Err(error) => {
                // that does not say that there are none
                // of a closed folder `server/problems` tells, and polling would say it again and again
                if matches!(&error, StoreError::Io { source, .. }
                    if source.kind() == io::ErrorKind::PermissionDenied)
                {
                    tracing::debug!(%error, "what is noted on a project's runs cannot be read");
                    return;
                }
                tracing::warn!(%error, "what is noted on a project's runs cannot be read");
                return;
            }
        };
        let bad = self.problem_paths(&format!("{project}/"), &OF_SIDECARS);
        let there: HashSet<&str> = found.iter().map(|key| key.execution.as_str()).collect();
        let gone = self.index(|index| index.annotated_but(project, &there));
        // what was wrong with a file may be so no more, while what is noted is what was known before
        let mut differing: HashSet<RunKey> = gone.into_iter().collect();
        differing.extend(bad.iter().filter_map(|path| annotated_at(path)));
        for key in found {
            let is_known = match self.store.annotation(&key) {
                Ok(Sidecar::Is(annotation)) => {
                    self.index(|index| index.annotation(&key) == Some(&annotation))
                }
                Ok(Sidecar::Corrupt(_)) | Err(_) => false,
            };
            if !is_known {
                differing.insert(key);
            }
        }
        for key in differing {
            self.look_at_annotation(&key, taken, &mut swept, now);
        }
    }

    /// Whether something was noted on a listed run and is not there any more.
    fn has_lost_its_note(&self, key: &RunKey) -> bool {
        let was_noted = |index: &Index| index.contains(key) && index.annotation(key).is_some();
        self.index(was_noted)
            && matches!(self.store.annotation(key), Ok(Sidecar::Is(noted)) if noted.is_empty())
    }

    /// Reads what is noted on a run whose lock the caller holds, and takes it in; the state that
    /// has it is still to be told.
    fn take_in_annotation(&self, key: &RunKey, taken: Option<&Taken>, now: Moment) -> Clock {
        let (annotation, problems) = match self.store.annotation(key) {
            Ok(Sidecar::Is(annotation)) => (annotation, &[][..]),
            // what was known is as true as it was until the file is whole, or nobody writes it
            Ok(Sidecar::Corrupt(Some(stamp)))
                if let Some(taken) = taken
                    && is_being_written(Some(taken), &stamp, now)
                    && self.index(|index| index.annotation(key).is_some()) =>
            {
                let again = now.instant + STILL_LOOKED_AT;
                self.note_dirty(|dirty| {
                    dirty.again(taken, Mark::Annotation(key.clone()), again);
                });
                return self.clock();
            }
            Ok(Sidecar::Corrupt(_)) => {
                (Annotation::default(), &[ProblemKind::CorruptAnnotation][..])
            }
            Err(StoreError::Io { source, .. }) if is_short(&source) => {
                self.look_later(taken, Mark::Annotation(key.clone()), now);
                return self.clock();
            }
            Err(error) => {
                tracing::warn!(%error, "what is noted on a run cannot be read");
                // what was known of it is still as true as it was
                let mut index = self.index.write();
                let path = annotation_path(key);
                index.note_problems(&path, &[ProblemKind::Unreadable], now.millis());
                return index.clock();
            }
        };
        let mut index = self.index.write();
        index.note_problems(&annotation_path(key), problems, now.millis());
        index.apply(vec![Report::Annotated(key.clone(), annotation)]);
        index.clock()
    }

    /// What has become of what was noted on runs whose locks the caller holds and whose files have
    /// gone.
    pub(super) fn noted_before<'k>(&self, keys: impl Iterator<Item = &'k RunKey>) -> Vec<Report> {
        let noted: Vec<&RunKey> =
            self.index(|index| keys.filter(|key| index.annotation(key).is_some()).collect());
        self.annotations_of(noted)
    }

    /// What is noted on runs whose locks the caller holds.
    pub(super) fn annotations_of<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k RunKey>,
    ) -> Vec<Report> {
        let read = |key: &RunKey| match self.store.annotation(key) {
            Ok(Sidecar::Is(annotation)) => Some(Report::Annotated(key.clone(), annotation)),
            Ok(Sidecar::Corrupt(_)) | Err(_) => None,
        };
        keys.into_iter().filter_map(read).collect()
    }
}
