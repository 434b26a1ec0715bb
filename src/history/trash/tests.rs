//! Random deletions, restorings and saves against a plain model of what must be where.
//!
//! After every step the files, the trash, the index and what a follower was told are compared with
//! the model. Sequences are made from a seed, which a failure prints; `RUNLOG_SEQUENCES` says how
//! many (40 unless set), `RUNLOG_SEED` runs one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;

use super::*;
use crate::history::tests::{Client, Random, record};
use crate::history::{Chosen, Deleting, Options, Policy, Rule, Spared, Wanted};
use crate::index::{Filter, From};
use crate::model::{Annotation, AnnotationChange, ExecutionId, ProblemKind, Status};
use crate::store::tests::steps::{Step, refusing};
use crate::store::{Expect, WriteError, annotation_path, version_of};
use crate::watch::Hint;

/// What must be where.
#[derive(Default)]
struct Model {
    /// By `project/id`: the file's text.
    runs: BTreeMap<String, String>,
    /// The same, by entry.
    trash: BTreeMap<EntryId, String>,
    /// What is noted on runs, there or not.
    notes: BTreeMap<String, Annotation>,
    /// The same, of what is in the trash.
    trashed_notes: BTreeMap<EntryId, Annotation>,
}

impl Model {
    /// A run has gone, into the trash or for good.
    fn remove(&mut self, name: &str, entry: Option<EntryId>) -> bool {
        let Some(text) = self.runs.remove(name) else {
            return false;
        };
        let note = self.notes.remove(name);
        if let Some(id) = entry {
            self.trashed_notes
                .extend(note.map(|note| (id.clone(), note)));
            self.trash.insert(id, text);
        }
        true
    }
}

struct Ground {
    folder: tempfile::TempDir,
    history: History,
    /// Another daemon over the same files.
    other: History,
    follower: Client,
    model: Model,
    stop: Wanted,
}

fn open(root: &Path) -> History {
    let history = History::new(root.to_owned(), Options::default());
    history.begin(Moment::now());
    while history.first_step() {}
    settle(&history);
    history
}

/// Looks at everything that is marked.
fn settle(history: &History) {
    let mut later = Moment::now();
    later.instant += Duration::from_secs(5);
    while history.pass(later) {}
}

fn key_of(project: &str, id: &str) -> RunKey {
    RunKey {
        project: ProjectId::parse(project).unwrap(),
        execution: ExecutionId::parse(id).unwrap(),
    }
}

fn name(key: &RunKey) -> String {
    format!("{}/{}", key.project, key.execution)
}

/// What a list says is noted on a run.
fn noted(run: &Summary) -> Annotation {
    Annotation {
        pinned: run.pinned,
        tags: run.tags.clone(),
        note: run.note.clone(),
    }
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir(&root).unwrap();
        let history = open(&root);
        Self {
            other: open(&root),
            follower: Client::new(&history, Filter::default()),
            history,
            folder,
            model: Model::default(),
            stop: Wanted::default(),
        }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("root")
    }

    fn random_entry(&self, random: &mut Random) -> EntryId {
        let known: Vec<&EntryId> = self.model.trash.keys().collect();
        if known.is_empty() || random.one_in(8) {
            return EntryId::of_run(&key_of("a", "x"), Batch::new(Millis(7)));
        }
        known[random.below(known.len())].clone()
    }

    /// The model's restoring of one; whether it must succeed.
    fn put_back(&mut self, id: &EntryId) -> bool {
        let name = name(&id.key().unwrap());
        if self.model.runs.contains_key(&name) || !self.model.trash.contains_key(id) {
            return false;
        }
        let text = self.model.trash.remove(id).unwrap();
        if let Some(note) = self.model.trashed_notes.remove(id) {
            // what was left there belongs to no run
            self.model.notes.insert(name.clone(), note);
        }
        self.model.runs.insert(name, text);
        true
    }

    fn act(&mut self, random: &mut Random) {
        let project = ["a", "b"][random.below(2)];
        let id = ["x", "y", "z"][random.below(3)];
        let key = key_of(project, id);
        let text = record(random, project, id);
        let stop = self.stop.stop();
        // whichever daemon does it, the other finds it
        let by_other = random.one_in(4);
        let history = if by_other { &self.other } else { &self.history };
        match random.below(22) {
            0..=2 => {
                history.save(&key, &text, &Expect::Anything).unwrap();
                self.model.runs.insert(name(&key), text);
            }
            3 | 4 => {
                let folder = self.root().join(project).join("executions");
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("new.json.tmp"), &text).unwrap();
                let path = folder.join(format!("{id}.json"));
                fs::rename(folder.join("new.json.tmp"), path).unwrap();
                history.hint(Hint::Run(key.clone()), Instant::now());
                self.model.runs.insert(name(&key), text);
            }
            5 | 6 => {
                let permanent = random.one_in(4);
                let done = history.delete(&key, permanent).unwrap();
                assert_eq!(done.entry.is_some(), done.deleted && !permanent);
                let held = self.model.remove(&name(&key), done.entry);
                assert_eq!(done.deleted, held);
            }
            7 => {
                let permanent = random.one_in(4);
                let done = history.delete_all(&key.project, permanent, &stop);
                let done = done.unwrap();
                let of_project = |name: &str| name.starts_with(&format!("{project}/"));
                let names: Vec<String> = self.model.runs.keys().cloned().collect();
                let mut count = 0;
                for name in names.into_iter().filter(|name| of_project(name)) {
                    count += 1;
                    let (project, id) = name.split_once('/').unwrap();
                    let key = key_of(project, id);
                    let entry = done.batch.map(|batch| EntryId::of_run(&key, batch));
                    self.model.remove(&name, entry);
                }
                assert_eq!(done.deleted, count);
                assert_eq!(done.batch.is_some(), count > 0 && !permanent);
            }
            8 | 9 => {
                let id = self.random_entry(random);
                let done = history.restore_entries(std::slice::from_ref(&id), &stop);
                let there = self.model.trash.contains_key(&id);
                match (self.put_back(&id), done) {
                    (true, Ok(done)) => assert_eq!(done.entries, [id]),
                    (false, Err(HistoryError::NotRestored { why, .. })) => match why {
                        RestoreError::NoEntry => assert!(!there),
                        RestoreError::Occupied => assert!(there),
                        RestoreError::Twice | RestoreError::Write(_) => panic!("{why}"),
                    },
                    (must, done) => panic!("{must} {done:?}"),
                }
            }
            10 => {
                let latest = history.latest_deletion(&key);
                let of_run = |id: &&EntryId| id.key().as_ref() == Some(&key);
                let held: Vec<&EntryId> = self.model.trash.keys().filter(of_run).collect();
                match latest {
                    Ok(id) => {
                        let newest = held[0].batch().deleted_at();
                        assert_eq!(id.batch().deleted_at(), newest);
                    }
                    Err(HistoryError::NotTrashed(_)) => assert!(held.is_empty()),
                    Err(error) => panic!("{error}"),
                }
            }
            11 => {
                let batch = self.random_entry(random).batch();
                let done = history.restore_batch(batch, &stop).unwrap();
                let held: Vec<EntryId> = self.model.trash.keys().cloned().collect();
                let (mut back, mut stay) = (Vec::new(), Vec::new());
                for id in held.into_iter().filter(|id| id.batch() == batch) {
                    if self.put_back(&id) {
                        back.push(id);
                    } else {
                        stay.push(id);
                    }
                }
                assert_eq!((done.entries, done.occupied), (back, stay));
            }
            18 | 19 => {
                let change = AnnotationChange {
                    pinned: random.one_in(2).then(|| random.one_in(2)),
                    add_tags: vec![["t", "u"][random.below(2)].to_owned()],
                    remove_tags: vec![["t", "u"][random.below(2)].to_owned()],
                    note: random
                        .one_in(2)
                        .then(|| ["", "n"][random.below(2)].to_owned()),
                    tags: None,
                };
                let name = name(&key);
                match history.annotate(&key, &change) {
                    Ok((summary, _)) => {
                        assert!(self.model.runs.contains_key(&name));
                        let held = self.model.notes.remove(&name).unwrap_or_default();
                        let now = held.changed(&change).unwrap();
                        assert_eq!(noted(&summary), now);
                        if !now.is_empty() {
                            self.model.notes.insert(name, now);
                        }
                    }
                    Err(HistoryError::NotFound(_)) => {
                        assert!(!self.model.runs.contains_key(&name));
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            20 | 21 => {
                // a hand, or a copy of a project, whether the run is there or not
                let own = self.root().join(project).join(".runlog");
                fs::create_dir_all(&own).unwrap();
                let path = own.join(format!("{id}.json"));
                if random.one_in(3) {
                    let _ = fs::remove_file(path);
                    self.model.notes.remove(&name(&key));
                } else {
                    let note = Annotation {
                        note: Some(format!("by hand {}", random.below(3))),
                        ..Annotation::default()
                    };
                    fs::write(path, note.text().unwrap()).unwrap();
                    self.model.notes.insert(name(&key), note);
                }
                let hint = match random.one_in(2) {
                    true => Hint::Annotation(key),
                    false => Hint::Annotations(key.project),
                };
                history.hint(hint, Instant::now());
            }
            14..=17 => {
                let status = Status::from_text(["running", "failed"][random.below(2)]);
                let filter = Filter {
                    project: random.one_in(2).then(|| key.project.clone()),
                    statuses: Some([status.clone()].into()),
                };
                let chosen = if random.one_in(2) {
                    let choice = history.choose(&filter.clone().into(), &stop);
                    choice.unwrap().chosen
                } else {
                    // the same by a policy, where what is stale is not asked
                    let policy = Policy {
                        rules: vec![Rule {
                            project: filter.project.clone(),
                            statuses: filter.statuses.clone(),
                            max_count: Some(0),
                            ..Rule::default()
                        }],
                        ..Policy::default()
                    };
                    let hours = Duration::from_secs(7200);
                    let later = Millis::from_system(SystemTime::now() + hours);
                    let plan = history.plan(&policy, later, None, &stop).unwrap();
                    plan.chosen
                };
                let spelt = format!("\"status\": \"{}\"", status.as_str());
                let want: Vec<String> = self
                    .model
                    .runs
                    .iter()
                    .filter(|(name, text)| {
                        let of_project = filter.project.as_ref();
                        of_project.is_none_or(|project| name.starts_with(&format!("{project}/")))
                            && text.contains(&spelt)
                    })
                    .map(|(name, _)| name.clone())
                    .collect();
                let mut have: Vec<String> = chosen.iter().map(|one| name(one.key())).collect();
                have.sort();
                assert_eq!(have, want);
                // somebody changes or deletes one of them between the choice and the deed
                let between = chosen.get(random.below(chosen.len() + 1));
                let between = between.map(|one| one.key().clone());
                if let Some(key) = &between {
                    match random.below(3) {
                        0 => {
                            history.delete(key, true).unwrap();
                            self.model.remove(&name(key), None);
                        }
                        1 => {
                            history.save(key, "{}", &Expect::Anything).unwrap();
                            self.model.runs.insert(name(key), "{}".to_owned());
                        }
                        _ => {
                            let change = AnnotationChange {
                                note: Some(format!("between {}", random.below(1 << 30))),
                                ..AnnotationChange::default()
                            };
                            let (summary, _) = history.annotate(key, &change).unwrap();
                            self.model.notes.insert(name(key), noted(&summary));
                        }
                    }
                }
                let permanent = random.one_in(4);
                let how = Deleting {
                    permanent,
                    ..Deleting::default()
                };
                let done = history.delete_chosen(chosen, how, &stop, |_| {}).unwrap();
                let spared: Vec<RunKey> = done.spared.into_iter().map(|(key, _)| key).collect();
                assert_eq!(spared, Vec::from_iter(between));
                assert_eq!(done.batch.is_some(), !done.deleted.is_empty() && !permanent);
                for one in done.deleted {
                    let entry = done.batch.map(|batch| EntryId::of_run(one.key(), batch));
                    assert!(self.model.remove(&name(one.key()), entry));
                }
            }
            _ => {
                let one = self.random_entry(random);
                let what = match random.below(4) {
                    0 => ToEmpty::Entries(vec![one]),
                    1 => ToEmpty::Batch(one.batch()),
                    2 => {
                        let before = one.batch().deleted_at();
                        let project = random.one_in(2).then(|| key.project.clone());
                        ToEmpty::Before(project, Some(before))
                    }
                    _ => ToEmpty::Before(Some(key.project.clone()), None),
                };
                let goes = |id: &EntryId| match &what {
                    ToEmpty::Entries(some) => some.contains(id),
                    ToEmpty::Batch(batch) => id.batch() == *batch,
                    ToEmpty::Before(project, before) => {
                        project
                            .as_ref()
                            .is_none_or(|project| id.project() == project)
                            && before.is_none_or(|before| id.batch().deleted_at() < before)
                    }
                };
                let (done, failed) = history.empty_trash(&what, &stop).unwrap();
                assert!(failed.is_none());
                let (mut count, mut bytes) = (0, 0);
                self.model.trash.retain(|id, text| {
                    let gone = goes(id);
                    count += u64::from(gone);
                    bytes += if gone { text.len() as u64 } else { 0 };
                    !gone
                });
                assert_eq!((done.entries, done.freed_bytes), (count, bytes));
                self.model.trashed_notes.retain(|id, _| !goes(id));
            }
        }
        if !by_other {
            // nothing that this daemon did is still to be seen
            settle(&self.history);
            self.index_agrees();
        }
        for history in [&self.history, &self.other] {
            for project in ["a", "b"] {
                history.look_at_project(&ProjectId::parse(project).unwrap(), Moment::now());
            }
        }
    }

    fn index_agrees(&mut self) {
        let want: BTreeMap<String, _> = self
            .model
            .runs
            .iter()
            .map(|(name, text)| {
                let note = self.model.notes.get(name).cloned().unwrap_or_default();
                (name.clone(), (version_of(text.as_bytes()), note))
            })
            .collect();
        let page = self
            .history
            .page(&Filter::default(), &From::Offset(0), usize::MAX);
        let have: BTreeMap<String, _> = page
            .executions
            .iter()
            .map(|run| {
                let name = format!("{}/{}", run.project_id, run.id);
                (name, (run.version, noted(run)))
            })
            .collect();
        assert_eq!(have, want, "the index");
        assert_eq!(self.history.problems(None, None, 9).len(), 0);
        self.follower.follow(&self.history);
        let told: BTreeMap<String, _> = self
            .follower
            .held
            .iter()
            .map(|(name, run)| (name.clone(), (run.version, noted(run))))
            .collect();
        assert_eq!(told, want, "what a follower was told");
    }

    fn agrees(&mut self) {
        self.index_agrees();
        let mut files = BTreeMap::new();
        for project in ["a", "b"] {
            let folder = self.root().join(project).join("executions");
            for file in fs::read_dir(folder).into_iter().flatten() {
                let file = file.unwrap();
                let id = file.file_name().into_string().unwrap();
                let id = id.strip_suffix(".json").expect("nothing else is left");
                let text = fs::read_to_string(file.path()).unwrap();
                files.insert(format!("{project}/{id}"), text);
            }
        }
        assert_eq!(files, self.model.runs, "the files");
        let mut notes = BTreeMap::new();
        for project in ["a", "b"] {
            let own = self.root().join(project).join(".runlog");
            for file in fs::read_dir(own).into_iter().flatten() {
                let file = file.unwrap();
                let name = file.file_name().into_string().unwrap();
                if let Some(id) = name.strip_suffix(".json") {
                    let note = Annotation::read(&fs::read(file.path()).unwrap()).unwrap();
                    notes.insert(format!("{project}/{id}"), note);
                }
            }
        }
        assert_eq!(notes, self.model.notes, "what is noted");

        // the trash, by pages
        let mut told = Vec::new();
        let (mut from, mut more) = (None, true);
        while more {
            let stop = self.stop.stop();
            let all = OfTrash::default();
            let page = self.history.trash(&all, from, 3, &stop).unwrap();
            assert_eq!(page.totals.entries, self.model.trash.len() as u64);
            let bytes: usize = self.model.trash.values().map(String::len).sum();
            assert_eq!(page.totals.bytes, bytes as u64);
            more = page.more;
            let last = page.entries.last().map(|entry| entry.id.clone());
            from = last.map(|last| (page.totals, last));
            told.extend(page.entries.into_iter().map(|entry| {
                let summary = entry.summary.expect("all are records");
                assert_eq!(summary.size_bytes, entry.size_bytes);
                let note = self.model.trashed_notes.get(&entry.id).cloned();
                assert_eq!(noted(&summary), note.unwrap_or_default());
                (entry.id, summary.version)
            }));
        }
        let want: Vec<_> = self
            .model
            .trash
            .iter()
            .map(|(id, text)| (id.clone(), version_of(text.as_bytes())))
            .collect();
        assert_eq!(told, want, "the trash");
    }
}

fn sequence(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut ground = Ground::new();
    for _ in 0..60 {
        ground.act(&mut random);
        ground.agrees();
    }
}

#[test]
fn files_trash_and_index_are_what_a_plain_model_says() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("RUNLOG_SEED") {
        return sequence(seed);
    }
    for seed in 0..number("RUNLOG_SEQUENCES").unwrap_or(40) {
        let result = std::panic::catch_unwind(|| sequence(seed));
        if let Err(panic) = result {
            eprintln!("RUNLOG_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// What is in a trash, by entry: how many bytes.
type Held = BTreeMap<EntryId, u64>;

/// Puts a file into the trash, or takes one out.
fn toss(ground: &Ground, random: &mut Random, batches: &[Batch], held: &mut Held) {
    let (batch, project) = (
        batches[random.below(batches.len())],
        ["a", "b", "c"][random.below(3)],
    );
    let id = ["x", "x1", "y", "z"][random.below(4)];
    let folder = format!("{project}/.runlog/trash/{batch}");
    let folder = ground.root().join(folder);
    let file = folder.join(format!("{id}.json"));
    let id = EntryId::of_run(&key_of(project, id), batch);
    if held.remove(&id).is_some() {
        fs::remove_file(file).unwrap();
        if random.one_in(2) {
            // as a restored batch's; others may be in it
            let _ = fs::remove_dir(folder);
        }
    } else {
        let text = "{}".repeat(1 + random.below(3));
        fs::create_dir_all(folder).unwrap();
        fs::write(file, &text).unwrap();
        held.insert(id, text.len() as u64);
    }
}

/// However long the pages are and whatever comes and goes between them.
#[test]
fn pages_tell_what_is_there_throughout_once() {
    for seed in 0..60 {
        let mut random = Random((seed * 0x9E37_79B9) | 1);
        let ground = Ground::new();
        // some were deleted within the same millisecond
        let batches: Vec<Batch> = (0..8).map(|at| Batch::new(Millis(at / 2))).collect();
        let mut held = Held::new();
        for _ in 0..random.below(60) {
            toss(&ground, &mut random, &batches, &mut held);
        }
        let what = OfTrash {
            project: random.one_in(3).then(|| ProjectId::parse("b").unwrap()),
            begins: random.one_in(3).then(|| "x".to_owned()),
        };
        let is_meant = |(id, _): &(&EntryId, &u64)| {
            let of_project = what
                .project
                .as_ref()
                .is_none_or(|only| only == id.project());
            of_project && (what.begins.is_none() || id.stem().starts_with('x'))
        };
        let meant = |held: &Held| -> Held {
            let meant = held.iter().filter(is_meant);
            meant.map(|(id, bytes)| (id.clone(), *bytes)).collect()
        };
        let first = meant(&held);
        let totals = TrashTotals {
            entries: first.len() as u64,
            bytes: first.values().sum(),
            unreadable: Vec::new(),
        };
        let mut throughout: BTreeSet<EntryId> = first.into_keys().collect();
        let mut ever = throughout.clone();
        let (mut told, mut from) = (Vec::new(), None);
        loop {
            let limit = 1 + random.below(4);
            let page = ground
                .history
                .trash(&what, from, limit, &ground.stop.stop());
            let page = page.unwrap();
            assert_eq!(page.totals, totals, "{seed}");
            assert!(page.entries.len() == limit || !page.more, "{seed}");
            told.extend(page.entries.into_iter().map(|entry| entry.id));
            if !page.more {
                break;
            }
            from = told.last().map(|last| (page.totals, last.clone()));
            for _ in 0..random.below(4) {
                toss(&ground, &mut random, &batches, &mut held);
                let now = meant(&held);
                throughout.retain(|id| now.contains_key(id));
                ever.extend(now.into_keys());
            }
        }
        assert!(told.is_sorted_by(|a, b| a < b), "{seed}: {told:?}");
        let told: BTreeSet<EntryId> = told.into_iter().collect();
        assert!(throughout.is_subset(&told), "{seed}");
        assert!(told.is_subset(&ever), "{seed}");
    }
}

/// A page looks into the batches that it lists, however many there are before and behind it.
#[test]
fn a_page_in_the_middle_costs_what_it_lists() {
    let ground = Ground::new();
    let batches: Vec<Batch> = (0..40).map(|at| Batch::new(Millis(at))).collect();
    for batch in &batches {
        let folder = ground.root().join(format!("a/.runlog/trash/{batch}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("x.json"), "{}").unwrap();
    }
    let after = EntryId::of_run(&key_of("a", "x"), batches[20]);
    let page = |number| {
        let from = (TrashTotals::default(), after.clone());
        let all = OfTrash::default();
        let page = || {
            ground
                .history
                .trash(&all, Some(from), 3, &ground.stop.stop())
        };
        let (page, met) = refusing((Step::List, number), Errno::IO, page);
        (page.unwrap(), met)
    };
    // the batches, that of the entry before, three, and one to see that there are more
    let (found, met) = page(6);
    assert!(!met);
    let ids: Vec<EntryId> = found.entries.into_iter().map(|entry| entry.id).collect();
    let want = [19, 18, 17].map(|at| EntryId::of_run(&key_of("a", "x"), batches[at]));
    assert!(found.more && ids == want, "{ids:?}");
    assert!(page(5).1);
}

/// What could not be read for a page is told of, and of what is in it no other page tells.
#[test]
fn a_trash_that_cannot_be_read_between_pages_is_told_of() {
    let ground = Ground::new();
    for (project, at) in [("a", 4), ("b", 3), ("a", 2), ("b", 1)] {
        let batch = Batch::new(Millis(at));
        let folder = ground
            .root()
            .join(format!("{project}/.runlog/trash/{batch}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("x.json"), "{}").unwrap();
    }
    let page = |from| {
        let all = OfTrash::default();
        let page = ground.history.trash(&all, from, 1, &ground.stop.stop());
        page.unwrap()
    };
    let first = page(None);
    assert_eq!((first.totals.entries, first.more), (4, true));
    let from = (first.totals, first.entries[0].id.clone());
    // the names of a's batches
    let (second, _) = refusing((Step::List, 0), Errno::IO, || page(Some(from)));
    let a = ProjectId::parse("a").unwrap();
    assert_eq!(second.totals.unreadable, [a]);
    let project = |page: &TrashPage| page.entries[0].id.project().as_str().to_owned();
    assert_eq!((project(&second), second.more), ("b".to_owned(), true));
    let third = page(Some((second.totals.clone(), second.entries[0].id.clone())));
    assert_eq!(third.totals, second.totals);
    assert_eq!((project(&third), third.more), ("b".to_owned(), false));
}

#[test]
fn a_project_that_refuses_keeps_nothing_of_a_batch_from_the_others() {
    let ground = Ground::new();
    let batch = Batch::new(Millis(5));
    for project in ["a", "b", "c"] {
        let trash = ground
            .root()
            .join(format!("{project}/.runlog/trash/{batch}"));
        fs::create_dir_all(&trash).unwrap();
        fs::create_dir_all(ground.root().join(project).join("executions")).unwrap();
        fs::write(trash.join("x.json"), "{}").unwrap();
    }
    let a = ground.root().join("a/executions");
    let _ = fs::remove_dir_all(&a);
    std::os::unix::fs::symlink(ground.root().join("b/executions"), &a).unwrap();
    let refused = ground.history.restore_batch(batch, &Stop::default());
    let Err(HistoryError::NotRestored {
        entry, restored, ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(entry, EntryId::of_run(&key_of("a", "x"), batch));
    let others = ["b", "c"].map(|project| EntryId::of_run(&key_of(project, "x"), batch));
    assert_eq!(restored, others);
    for project in ["b", "c"] {
        assert!(
            ground
                .root()
                .join(format!("{project}/executions/x.json"))
                .exists()
        );
    }
}

#[test]
fn of_several_entries_all_are_restored_or_none() {
    let mut ground = Ground::new();
    let save = |ground: &Ground, id: &str| {
        let key = key_of("a", id);
        let saved = ground.history.save(&key, "{}", &Expect::Anything);
        saved.unwrap();
        key
    };
    let keys = ["x", "y", "z"].map(|id| save(&ground, id));
    let stop = ground.stop.stop();
    let done = ground.history.delete_all(&keys[0].project, false, &stop);
    let done = done.unwrap();
    let batch = done.batch.unwrap();
    let entries = keys.each_ref().map(|key| EntryId::of_run(key, batch));
    save(&ground, "y");
    let refused = ground.history.restore_entries(&entries, &stop);
    let Err(HistoryError::NotRestored {
        entry,
        why,
        restored,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!((entry, restored.len()), (entries[1].clone(), 0));
    assert!(matches!(why, RestoreError::Occupied));
    // two deletions of one run, and one of them twice
    let later = ground.history.delete(&keys[1], false).unwrap();
    let later = later.entry.unwrap();
    for other in [&later, &entries[1]] {
        let twice = [&entries[0], &entries[1], &entries[2], other].map(Clone::clone);
        let refused = ground.history.restore_entries(&twice, &stop);
        let Err(HistoryError::NotRestored {
            entry,
            why: RestoreError::Twice,
            restored,
        }) = refused
        else {
            panic!("{refused:?}");
        };
        assert!(entry.cmp_file(other).is_eq());
        assert_eq!(restored, []);
    }
    ground.model.trash = entries
        .into_iter()
        .chain([later])
        .map(|id| (id, "{}".to_owned()))
        .collect();
    ground.agrees();
}

#[test]
fn a_folder_in_a_files_place_is_not_deleted_and_known() {
    let ground = Ground::new();
    let folder = ground.root().join("a/executions/x.json");
    fs::create_dir_all(&folder).unwrap();
    let refused = ground.history.delete(&key_of("a", "x"), false);
    let is_folder =
        |error: &HistoryError| matches!(error, HistoryError::Write(WriteError::NotRegular { .. }));
    assert!(refused.as_ref().is_err_and(is_folder), "{refused:?}");
    assert!(folder.is_dir());
}

/// The last step may fail when a run is gone already: it is told where it is then, and known.
#[test]
fn what_is_deleted_but_not_durably_is_told_with_its_way_back() {
    for permanent in [false, true] {
        let mut told = 0;
        for number in 0.. {
            let ground = Ground::new();
            let key = key_of("a", "x");
            ground.history.save(&key, "{}", &Expect::Anything).unwrap();
            let delete = || ground.history.delete(&key, permanent);
            let (done, met) = refusing((Step::Sync, number), Errno::NOSPC, delete);
            if !met {
                done.unwrap();
                break;
            }
            settle(&ground.history);
            let there = ground.root().join("a/executions/x.json").exists();
            assert_eq!(ground.history.totals(None).0.runs() == 1, there);
            match done.unwrap_err() {
                HistoryError::DeletedSome { deleted, entry, .. } => {
                    told += 1;
                    assert_eq!((deleted, there), (1, false));
                    assert_eq!(entry.is_none(), permanent);
                    if let Some(entry) = entry {
                        let back = ground.history.restore_entries(&[entry], &Stop::default());
                        back.unwrap();
                    }
                }
                HistoryError::Write(_) => assert!(there),
                error => panic!("{error}"),
            }
        }
        assert!(told > 0);
    }
}

/// So it is where many go: those of which it is not sure that they are gone are no plain success.
#[test]
fn what_of_many_is_deleted_but_not_durably_is_told_with_its_way_back() {
    for permanent in [false, true] {
        let mut told = 0;
        for number in 0.. {
            let ground = Ground::new();
            for project in ["a", "b"] {
                let key = key_of(project, "x");
                ground.history.save(&key, "{}", &Expect::Anything).unwrap();
            }
            let wanted = Wanted::default();
            let all = Filter::default().into();
            let choice = ground.history.choose(&all, &wanted.stop()).unwrap();
            let how = Deleting {
                permanent,
                ..Deleting::default()
            };
            let stop = wanted.stop();
            let delete = || {
                let history = &ground.history;
                history.delete_chosen(choice.chosen, how, &stop, |_| {})
            };
            let (done, met) = refusing((Step::Sync, number), Errno::IO, delete);
            let path = |project| ground.root().join(project).join("executions/x.json");
            let gone = 2 - u64::from(path("a").exists()) - u64::from(path("b").exists());
            assert_eq!(ground.history.totals(None).0.runs(), 2 - gone);
            match done {
                Err(HistoryError::DeletedSome { deleted, batch, .. }) => {
                    told += 1;
                    assert!(met);
                    assert_eq!(deleted, gone);
                    assert_eq!(batch.is_none(), permanent);
                    if let Some(batch) = batch {
                        let back = ground.history.restore_batch(batch, &stop).unwrap();
                        assert_eq!(back.entries.len() as u64, gone);
                    }
                }
                // before any of them went
                done => {
                    let done = done.unwrap();
                    let refused = |(_, why): &(_, Spared)| *why == Spared::Refused;
                    assert!(done.spared.iter().all(refused), "{:?}", done.spared);
                    assert_eq!(done.spared.len() as u64, 2 - gone);
                    assert_eq!(gone == 2, !met, "{number}");
                }
            }
            if !met {
                break;
            }
        }
        assert!(told > 1);
    }
}

/// Whoever takes back what has begun is told what was done; the rest is as it was.
#[test]
fn what_is_taken_back_stops_and_tells_what_was_done() {
    let ground = Ground::new();
    let history = &ground.history;
    let keys = ["a", "b"].map(|project| key_of(project, "x"));
    for key in &keys {
        history.save(key, "{}", &Expect::Anything).unwrap();
    }
    let choose = || {
        let all = Filter::default().into();
        history.choose(&all, &ground.stop.stop()).unwrap().chosen
    };
    let before = Stop::default();
    before.set();
    let how = Deleting::default();
    let none = history.delete_chosen(choose(), how, &before, |_| {});
    assert!(matches!(none, Err(HistoryError::TakenBack)), "{none:?}");
    let none = history.delete_all(&keys[0].project, false, &before);
    assert!(matches!(none, Err(HistoryError::TakenBack)), "{none:?}");
    assert_eq!(history.totals(None).0.runs(), 2);

    let between = Stop::default();
    let done = history.delete_chosen(choose(), how, &between, |_| between.set());
    let done = done.unwrap();
    let gone: Vec<&RunKey> = done.deleted.iter().map(Chosen::key).collect();
    assert_eq!(gone, [&keys[0]]);
    assert_eq!(done.spared, [(keys[1].clone(), Spared::Stopped)]);
    assert_eq!(history.totals(None).0.runs(), 1);
    assert!(ground.root().join("b/executions/x.json").exists());

    let batch = done.batch.unwrap();
    let none = history.restore_batch(batch, &before);
    assert!(matches!(none, Err(HistoryError::TakenBack)), "{none:?}");
    let none = history.restore_entries(&[EntryId::of_run(&keys[0], batch)], &before);
    assert!(matches!(none, Err(HistoryError::TakenBack)), "{none:?}");
    for what in [ToEmpty::Before(None, None), ToEmpty::Batch(batch)] {
        let none = history.empty_trash(&what, &before);
        assert!(matches!(none, Err(HistoryError::TakenBack)), "{none:?}");
    }
    let back = history.restore_batch(batch, &Stop::default()).unwrap();
    assert_eq!(back.entries, [EntryId::of_run(&keys[0], batch)]);
}

/// So it is at whatever moment: each run is in one place, and the answer says how many are back.
#[test]
fn a_restoring_that_is_taken_back_tells_what_is_back() {
    for by_name in [true, false] {
        let stopped = (0..50).any(|_| parts_restored(by_name) > 1);
        assert!(stopped, "{by_name}");
    }
}

/// Restores many, by their names or as a batch, and takes it back as soon as there is one, again and
/// again; how often.
fn parts_restored(by_name: bool) -> usize {
    const RUNS: usize = 500;
    let ground = Ground::new();
    let batch = Batch::new(Millis(5));
    let trash = ground.root().join(format!("a/.runlog/trash/{batch}"));
    let folder = ground.root().join("a/executions");
    fs::create_dir_all(&trash).unwrap();
    fs::create_dir_all(&folder).unwrap();
    let mut entries = Vec::new();
    for number in 0..RUNS {
        fs::write(trash.join(format!("{number}.json")), "{}").unwrap();
        entries.push(EntryId::of_run(&key_of("a", &number.to_string()), batch));
    }
    let count = |folder: &Path| fs::read_dir(folder).map_or(0, Iterator::count);
    let (mut back, mut parts) = (0, 0);
    while !entries.is_empty() {
        let stop = Stop::default();
        let done = std::thread::scope(|scope| {
            scope.spawn(|| {
                while count(&folder) == back {
                    std::thread::yield_now();
                }
                stop.set();
            });
            let history = &ground.history;
            match by_name {
                true => history.restore_entries(&entries, &stop).unwrap(),
                false => history.restore_batch(batch, &stop).unwrap(),
            }
        });
        assert!(!done.entries.is_empty() && done.occupied.is_empty());
        entries.retain(|entry| !done.entries.contains(entry));
        back += done.entries.len();
        parts += 1;
        assert_eq!((count(&folder), count(&trash)), (back, entries.len()));
        assert_eq!(ground.history.totals(None).0.runs(), back as u64);
    }
    parts
}

/// The run may go between the look for it and the note.
#[test]
fn nothing_is_noted_on_a_run_that_is_gone() {
    let ground = Ground::new();
    let key = key_of("a", "x");
    ground.history.save(&key, "{}", &Expect::Anything).unwrap();
    fs::remove_file(ground.root().join("a/executions/x.json")).unwrap();
    let pinned = AnnotationChange {
        pinned: Some(true),
        ..AnnotationChange::default()
    };
    let refused = ground.history.annotate(&key, &pinned);
    assert!(
        matches!(refused, Err(HistoryError::NotFound(_))),
        "{refused:?}"
    );
    assert!(!ground.root().join("a/.runlog").exists());
}

/// What is noted is what was known before it could not be read.
#[test]
fn a_file_of_notes_that_can_be_read_again_is_no_problem() {
    let ground = Ground::new();
    let key = key_of("a", "x");
    ground.history.save(&key, "{}", &Expect::Anything).unwrap();
    let pinned = AnnotationChange {
        pinned: Some(true),
        ..AnnotationChange::default()
    };
    ground.history.annotate(&key, &pinned).unwrap();
    let kinds = [ProblemKind::Unreadable];
    let path = annotation_path(&key);
    let mut index = ground.history.index.write();
    index.note_problems(&path, &kinds, Moment::now().millis());
    drop(index);
    assert!(ground.history.doubts().has(&key));
    ground.history.look_at_project(&key.project, Moment::now());
    assert!(!ground.history.doubts().has(&key));
    assert!(noted(&ground.history.summary(&key).unwrap()).pinned);
}
