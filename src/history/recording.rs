//! Recording live runs: many updates, few writes.
//!
//! Section 4 of the protocol (`executions/start`, `executions/update`). Every write starts from
//! the file as it then is, and replaces only that: an engine's or a person's save that came
//! between is read and updated in its turn. Updates of a run that arrive while it is being written
//! share the next write, applied one after the other in the order they came; each is answered
//! when it is durable. While the file of a listed run is away for a moment, they wait for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::thread::on_a_thread;
use super::{History, HistoryError, Moment, Patience, RECORD_LIMIT_BYTES, Saved, look};
use crate::index::Report;
use crate::model::update::{Draft, Update, UpdateError, begun};
use crate::model::{ExecutionId, ProjectId, RunKey, Seen, Version};
use crate::store::{Expect, Record, RewriteError, WriteError, rewrite, version_of};
use crate::watch::Mark;

/// Above this a record is not written as often as somebody likes.
const LARGE_BYTES: usize = 1_000_000;
/// How often a large record is written at most.
const LARGE_EVERY: Duration = Duration::from_secs(1);
/// How often a write is begun again because somebody else wrote meanwhile: another daemon that writes
/// as fast comes between more often than not.
const ATTEMPTS_MAX: u32 = 64;
/// How many ids are tried before the clock is to blame.
const IDS_MAX: u32 = 8;

/// The updates that wait, by run. A run is in it while somebody writes it.
#[derive(Debug, Default)]
pub(super) struct Recording {
    waiting: Mutex<HashMap<RunKey, Vec<Waiting>>>,
    last: AtomicU64,
}

impl Recording {
    /// Takes back an update that no write has begun with; false if there is none of this number.
    fn take_back(&self, key: &RunKey, number: u64) -> bool {
        let mut waiting = self.waiting.lock();
        let Some(waiting) = waiting.get_mut(key) else {
            return false;
        };
        let at = waiting.iter().position(|one| one.number == number);
        at.map(|at| waiting.remove(at)).is_some()
    }
}

/// An update, and whom to tell.
#[derive(Debug)]
struct Waiting {
    number: u64,
    update: Update,
    reply: oneshot::Sender<Result<Saved, HistoryError>>,
}

/// What a shared write came to.
enum Shared {
    /// Those that are part of it are answered; so large it was.
    Done(usize),
    /// It did not succeed, and those that were to be part of it are not answered.
    Failed(Vec<Waiting>, HistoryError),
}

impl History {
    /// Stores a new run, durably: what the engine would write at its start, overlaid with
    /// `execution`, the JSON text of an object. Without `id` it gets one as the engine makes them.
    /// Blocks.
    ///
    /// # Errors
    /// [`HistoryError::Exists`], and those of [`History::save`].
    pub fn start_run(
        &self,
        project: ProjectId,
        id: Option<ExecutionId>,
        execution: Option<&str>,
    ) -> Result<(RunKey, Saved), HistoryError> {
        if let Some(execution) = execution {
            // what it says twice would otherwise be said once, unseen
            rewrite::check_names(execution)?;
        }
        let now = Moment::now();
        let made = id.is_none();
        let mut key = RunKey {
            project,
            execution: match id {
                Some(id) => id,
                None => self.new_id(now)?,
            },
        };
        for _ in 0..IDS_MAX {
            let text = begun(
                key.project.as_str(),
                key.execution.as_str(),
                execution,
                now.millis(),
            );
            match self.save(&key, &text, &Expect::Absent) {
                Err(HistoryError::Write(WriteError::Conflict { .. })) if made => {
                    key.execution = self.new_id(now)?;
                }
                Err(HistoryError::Write(WriteError::Conflict { current, .. })) => {
                    return Err(HistoryError::Exists(current));
                }
                saved => return saved.map(|saved| (key, saved)),
            }
        }
        Err(HistoryError::Busy)
    }

    /// An id as the engine makes them: `exec-`, milliseconds, and nine digits of base 36.
    fn new_id(&self, now: Moment) -> Result<ExecutionId, HistoryError> {
        const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let mut random = crate::index::Instance::random().0;
        let digits = std::iter::repeat_with(|| {
            let digit = random % 36;
            random /= 36;
            char::from(DIGITS.get(digit as usize).copied().unwrap_or(b'0'))
        });
        let id = format!(
            "exec-{}-{}",
            now.millis().0,
            digits.take(9).collect::<String>()
        );
        ExecutionId::parse(&id).map_err(|_| HistoryError::Busy)
    }

    /// Changes a run that has not ended; durable when it returns, unless it is a heartbeat. It is
    /// in its place among the updates of the run when this is first polled, and out of it again
    /// once `taken_back` is ready, unless a write has begun with it.
    ///
    /// # Errors
    /// [`HistoryError::NotFound`], [`HistoryError::Version`], [`HistoryError::Update`], and those
    /// of [`History::get`] and [`History::save`]; the record is as it was then.
    /// [`HistoryError::TakenBack`].
    pub async fn update(
        self: &Arc<Self>,
        key: RunKey,
        update: Update,
        taken_back: impl Future<Output = ()>,
    ) -> Result<Saved, HistoryError> {
        let (reply, mut answer) = oneshot::channel();
        let number = self.recording.last.fetch_add(1, Ordering::Relaxed);
        let waiting = Waiting {
            number,
            update,
            reply,
        };
        let first = match self.recording.waiting.lock().entry(key.clone()) {
            Entry::Vacant(free) => {
                free.insert(vec![waiting]);
                true
            }
            Entry::Occupied(mut held) => {
                held.get_mut().push(waiting);
                false
            }
        };
        if first {
            tokio::spawn(Arc::clone(self).write_updates(key.clone()));
        }
        let answered = tokio::select! {
            biased;
            answered = &mut answer => answered,
            () = taken_back => match self.recording.take_back(&key, number) {
                true => return Err(HistoryError::TakenBack),
                false => answer.await,
            },
        };
        answered.unwrap_or(Err(HistoryError::Ending))
    }

    /// Writes what waits for `key` until nothing does.
    async fn write_updates(self: Arc<Self>, key: RunKey) {
        loop {
            let mut batch = match self.recording.waiting.lock().entry(key.clone()) {
                Entry::Vacant(_) => return,
                Entry::Occupied(held) if held.get().is_empty() => {
                    held.remove();
                    return;
                }
                Entry::Occupied(mut held) => std::mem::take(held.get_mut()),
            };
            let mut patience = Patience::default();
            while !batch.is_empty() {
                let began = tokio::time::Instant::now();
                let (history, run) = (Arc::clone(&self), key.clone());
                let patient = patience.lasts();
                let held = Arc::new(Mutex::new(batch));
                let theirs = Arc::clone(&held);
                let write = move || {
                    let batch = std::mem::take(&mut *theirs.lock());
                    history.write_together(&run, batch, patient)
                };
                let Ok((size, rest)) = on_a_thread(write).await else {
                    // those that a defect ended are not there any more
                    for waiting in std::mem::take(&mut *held.lock()) {
                        let _ = waiting.reply.send(Err(HistoryError::NoThread));
                    }
                    break;
                };
                if size > LARGE_BYTES {
                    tokio::time::sleep_until(began + LARGE_EVERY).await;
                }
                if !rest.is_empty() {
                    patience.wait().await;
                }
                batch = rest;
            }
        }
    }

    /// Applies `batch` in turn, in one write if that succeeds, else each by itself, and answers
    /// them; who is `patient` answers neither the first that finds the file away nor those after it.
    /// Returns how many bytes the largest record written has, and those not answered.
    fn write_together(
        &self,
        key: &RunKey,
        batch: Vec<Waiting>,
        patient: bool,
    ) -> (usize, Vec<Waiting>) {
        let alone = batch.len() == 1;
        match self.write_shared(key, batch) {
            Shared::Done(size) => (size, Vec::new()),
            Shared::Failed(batch, error) if patient && self.may_return(key, &error) => (0, batch),
            Shared::Failed(mut batch, error) if alone => {
                if let Some(waiting) = batch.pop() {
                    let _ = waiting.reply.send(Err(error));
                }
                (0, Vec::new())
            }
            // which of them is to blame shows when they are alone
            Shared::Failed(batch, _) => {
                let (mut largest, mut rest) = (0, Vec::new());
                for waiting in batch {
                    if rest.is_empty() {
                        let (size, left) = self.write_together(key, vec![waiting], patient);
                        largest = largest.max(size);
                        rest = left;
                    } else {
                        rest.push(waiting);
                    }
                }
                (largest, rest)
            }
        }
    }

    fn write_shared(&self, key: &RunKey, batch: Vec<Waiting>) -> Shared {
        let guard = self.locks.lock(key);
        if batch.iter().all(|waiting| waiting.update.is_heartbeat()) {
            return self.beat_together(key, batch);
        }
        for _ in 0..ATTEMPTS_MAX {
            let record = match self.get(key) {
                Ok(record) => record,
                Err(error) => return Shared::Failed(batch, error),
            };
            let (text, refused) = match applied(&record, &batch) {
                Ok(applied) => applied,
                Err(error) => return Shared::Failed(batch, error),
            };
            let Some(text) = text else {
                return self.beat_together(key, refuse(batch, refused, record.version));
            };
            let expect = Expect::Version(record.version);
            self.expect_echo(key);
            let outcome = match self.store.save(key, &text, &expect) {
                Ok(saved) => self.enter(key, &text, saved),
                // somebody saved or deleted it since it was read
                Err(WriteError::Conflict { .. }) => continue,
                Err(WriteError::Io { path, source }) => Err(WriteError::Io { path, source }.into()),
                // nothing was written, so that each may be tried by itself
                Err(error) => return Shared::Failed(batch, error.into()),
            };
            if outcome.is_err() {
                // the last step may have failed after the record was there
                self.mark(Mark::Run(key.clone()), Instant::now());
            }
            drop(guard);
            let current = outcome
                .as_ref()
                .map_or(record.version, |saved| saved.version);
            for waiting in refuse(batch, refused, current) {
                let answer = match &outcome {
                    Ok(saved) => Ok(saved.clone()),
                    Err(error) => Err(again(error)),
                };
                let _ = waiting.reply.send(answer);
            }
            return Shared::Done(text.len());
        }
        Shared::Failed(batch, HistoryError::Busy)
    }

    /// Answers heartbeats, if there are any, unless that fails. The caller holds the run's lock.
    fn beat_together(&self, key: &RunKey, mut batch: Vec<Waiting>) -> Shared {
        if batch.is_empty() {
            return Shared::Done(0);
        }
        match self.beat(key, &mut batch) {
            Ok(()) => Shared::Done(0),
            Err(error) => Shared::Failed(batch, error),
        }
    }

    /// Answers heartbeats, all with one touch of the file; leaves them unanswered on errors.
    fn beat(&self, key: &RunKey, batch: &mut Vec<Waiting>) -> Result<(), HistoryError> {
        for _ in 0..ATTEMPTS_MAX {
            let Some(scanned) = self.store.scan(key)? else {
                return Err(HistoryError::NotFound(key.clone()));
            };
            if let Some(status) = scanned.facts.status.clone().filter(|s| s.is_terminal()) {
                return Err(UpdateError::Finished { status }.into());
            }
            let current = scanned.version;
            let expected = |waiting: &Waiting| {
                let wanted = waiting.update.if_version;
                wanted.is_none_or(|wanted| wanted == current)
            };
            if !batch.iter().any(expected) {
                return Err(HistoryError::Version { current });
            }
            self.expect_echo(key);
            let Some(stamp) = self.store.touch(key, &scanned.stamp)? else {
                continue;
            };
            let seen = Seen {
                stamp,
                racy: true,
                ..scanned
            };
            let saved = self.note(key, seen, false)?;
            for waiting in std::mem::take(batch) {
                let answer = if expected(&waiting) {
                    Ok(saved.clone())
                } else {
                    Err(HistoryError::Version { current })
                };
                let _ = waiting.reply.send(answer);
            }
            return Ok(());
        }
        Err(HistoryError::Busy)
    }

    /// Enters into the index what a save of ours stored. The caller holds the run's lock.
    pub(super) fn enter(
        &self,
        key: &RunKey,
        text: &[u8],
        saved: crate::store::Saved,
    ) -> Result<Saved, HistoryError> {
        let facts = crate::model::extract::extract(text, key)
            .map_err(|error| crate::store::ReadError::of_extract(key, error))?;
        let seen = Seen {
            stamp: saved.stamp,
            version: saved.version,
            facts,
            racy: true,
        };
        self.note(key, seen, saved.created)
    }

    fn note(&self, key: &RunKey, seen: Seen, mut created: bool) -> Result<Saved, HistoryError> {
        let kinds = look::kinds_of(&seen.facts);
        let version = seen.version;
        let (summary, clock) = {
            let mut index = self.index.write();
            // what is no record is no run, and subscribers hear that one came
            created |= index.is_unlisted(key);
            index.note_problems_of(key, &kinds, Moment::now().millis());
            index.apply(vec![Report::Seen(key.clone(), Box::new(seen))]);
            (index.summary_of(key), index.clock())
        };
        self.tell(clock.tick);
        // whoever wrote between our rename and now is found by this
        self.expect_echo(key);
        let summary = summary.ok_or_else(|| HistoryError::NotFound(key.clone()))?;
        Ok(Saved {
            summary,
            created,
            version,
            clock,
        })
    }
}

/// Why an update has no part in a write.
enum Refusal {
    Update(UpdateError),
    /// It was to come on top of another version.
    Version,
}

/// The text to be stored, if any update that went through is more than a heartbeat, and what is to
/// be told to those that did not.
type Applied = (Option<Vec<u8>>, Vec<Option<Refusal>>);

/// Applies the updates to `record` in turn.
fn applied(record: &Record, batch: &[Waiting]) -> Result<Applied, HistoryError> {
    let now = Moment::now().millis();
    let mut draft = Draft::of(record.text());
    let mut changed = false;
    let mut refused = Vec::with_capacity(batch.len());
    // what would be stored as the draft is, for those that expect something
    let mut version = Some(record.version);
    for Waiting { update, .. } in batch {
        let as_expected = match (update.if_version, version) {
            (None, _) => true,
            (Some(expected), Some(version)) => expected == version,
            // rare: it met others in one write
            (Some(expected), None) => expected == *version.insert(version_of(&stored(&draft)?)),
        };
        let refusal = match draft.ended() {
            // told before a version: nothing more can be done about it
            Some(status) => Some(Refusal::Update(UpdateError::Finished { status })),
            None if !as_expected => Some(Refusal::Version),
            None => draft.apply(update, now).err().map(Refusal::Update),
        };
        if refusal.is_none() && !update.is_heartbeat() {
            (changed, version) = (true, None);
        }
        refused.push(refusal);
    }
    if !changed {
        return Ok((None, refused));
    }
    Ok((Some(stored(&draft)?), refused))
}

fn stored(draft: &Draft) -> Result<Vec<u8>, RewriteError> {
    rewrite::pretty_stored(&draft.text(), RECORD_LIMIT_BYTES)
}

/// Answers those that are refused; the others.
fn refuse(batch: Vec<Waiting>, refused: Vec<Option<Refusal>>, current: Version) -> Vec<Waiting> {
    let mut others = Vec::with_capacity(batch.len());
    for (waiting, refusal) in batch.into_iter().zip(refused) {
        let error = match refusal {
            None => {
                others.push(waiting);
                continue;
            }
            Some(Refusal::Update(error)) => error.into(),
            Some(Refusal::Version) => HistoryError::Version { current },
        };
        let _ = waiting.reply.send(Err(error));
    }
    others
}

/// An error of a write that several share, for one of them.
fn again(error: &HistoryError) -> HistoryError {
    match error {
        HistoryError::Write(WriteError::Io { path, source }) => WriteError::Io {
            path: path.clone(),
            // of what the system says only its code knows the words
            source: match source.raw_os_error() {
                Some(code) => std::io::Error::from_raw_os_error(code),
                None => std::io::Error::new(source.kind(), source.to_string()),
            },
        }
        .into(),
        _ => HistoryError::Ending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_who_share_a_write_are_told_the_same() {
        let error = HistoryError::Write(WriteError::Io {
            path: "p/executions/x.json".to_owned(),
            source: std::io::Error::from_raw_os_error(5),
        });
        let HistoryError::Write(WriteError::Io { source, .. }) = again(&error) else {
            panic!("{error}");
        };
        assert_eq!(source.raw_os_error(), Some(5));
        assert_eq!(again(&error).to_string(), error.to_string());
    }
}
