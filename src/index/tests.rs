//! The index against brute force.
//!
//! Whatever happens to it, it answers like a list that is sorted, filtered and added up anew at
//! every question; and a client that follows its changes by the rule of section 5 holds what it
//! holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::row::Draft;
use super::*;
use crate::filter::{Number, RecordTests, Verdict};
use crate::model::extract::Beyond;
use crate::model::steps::{self, Taking};
use crate::model::{
    Annotation, CostSum, Facts, Fingerprint, Milliseconds, Money, Seen, Status, Step as NodeStep,
    Summary, Tokens, Version,
};

const LIVENESS: Liveness = Liveness {
    stale_after: Duration::from_secs(100),
};

/// What a run's file may hold.
#[derive(Debug, Clone)]
struct Content {
    status: Option<&'static str>,
    started: Option<i64>,
    cost: Option<i64>,
    input: Option<i64>,
    duration: Option<i64>,
    version: u8,
    /// Label, model and error.
    texts: [Option<String>; 3],
    /// End, total of tokens, retries, size and inode; of any size.
    numbers: [i64; 5],
    /// Its steps and their nodes.
    steps: Vec<(&'static str, NodeStep)>,
    /// Whether there was one more, the [`UNKEPT`].
    truncated: bool,
}

/// A step that failed, of which the index has no room to keep anything.
const UNKEPT: &str = "hidden";

/// What most runs hold where a test does not say otherwise.
const PLAIN: Content = Content {
    status: None,
    started: None,
    cost: None,
    input: None,
    duration: None,
    version: 0,
    texts: [None, None, None],
    numbers: [0; 5],
    steps: Vec::new(),
    truncated: false,
};

#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant)] // a few of them, in a test
enum Step {
    Save(u8, u8, Content),
    Touch(u8, u8, i64),
    Delete(u8, u8),
    Corrupt(u8, u8),
    /// Many at once.
    Bulk(Vec<(u8, u8, Option<Content>)>),
    /// The clients with these numbers ask what is new.
    Poll(u8),
}

fn content() -> impl Strategy<Value = Content> {
    let status = prop::sample::select(vec![
        None,
        Some("queued"),
        Some("running"),
        Some("paused"),
        Some("completed"),
        Some("failed"),
        Some("cancelled"),
        Some("strange"),
        Some("stranger"),
    ]);
    let some = |range: std::ops::Range<i64>| prop::option::weighted(0.8, range);
    (
        status,
        some(0..6),
        some(-5..5),
        some(0..9),
        some(0..9),
        0u8..4,
        prop::array::uniform3(prop::option::of("[a-zé日]{0,40}")),
        prop::array::uniform5((any::<i64>(), 0u32..64).prop_map(|(bits, shift)| bits >> shift)),
        (steps_of_run(), prop::bool::weighted(0.1)),
    )
        .prop_map(
            |(status, started, cost, input, duration, version, texts, numbers, steps)| Content {
                status,
                started,
                cost,
                input,
                duration,
                version,
                texts,
                numbers,
                steps: steps.0,
                truncated: steps.1,
            },
        )
}

fn steps_of_run() -> impl Strategy<Value = Vec<(&'static str, NodeStep)>> {
    let node = prop::sample::select(vec!["a", "b", "cc", "dé", "e", "f"]);
    let step = (steps::tests::steps(), 0i64..5).prop_map(|(step, nanos)| NodeStep {
        // one that is no amount is none
        cost: step.cost.and_then(|_| Money::from_nanos(nanos)),
        ..step
    });
    prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec((node, step), 1..6),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let run = || (0u8..3, 0u8..12);
    let step = prop_oneof![
        6 => (run(), content()).prop_map(|((p, x), content)| Step::Save(p, x, content)),
        2 => (run(), 0i64..300).prop_map(|((p, x), at)| Step::Touch(p, x, at)),
        3 => run().prop_map(|(p, x)| Step::Delete(p, x)),
        1 => run().prop_map(|(p, x)| Step::Corrupt(p, x)),
        1 => prop::collection::btree_map(run(), prop::option::of(content()), 9..30)
            .prop_map(|all| Step::Bulk(all.into_iter().map(|((p, x), c)| (p, x, c)).collect())),
        3 => (0u8..4).prop_map(Step::Poll),
    ];
    prop::collection::vec(step, 1..40)
}

fn key(project: u8, execution: u8) -> RunKey {
    RunKey {
        project: ProjectId::parse(&format!("p{project}")).unwrap(),
        execution: ExecutionId::parse(&format!("x{execution}")).unwrap(),
    }
}

/// Costs, tokens and all else follow from the version, as they do for real bytes.
fn seen(content: &Content, mtime_s: i64) -> Seen {
    let text = |at: usize| content.texts[at].as_deref().map(Box::from);
    let [ended, total, retries, size, ino] = content.numbers;
    let facts = Facts {
        status: content.status.map(Status::from_text),
        started_at: content.started.map(Millis),
        duration: content.duration.map(|ms| Milliseconds(ms * 1_000_000)),
        cost: content.cost.and_then(|nanos| Money::from_nanos(nanos * 7)),
        tokens: Tokens {
            input: content.input,
            output: Some(1),
            total: Some(total),
        },
        completed_at: Some(Millis(ended)),
        retry_count: Some(retries),
        step_count: content.version.into(),
        label: text(0),
        model: text(1),
        error: text(2),
        error_truncated: content.version == 3,
        fingerprint: content.texts[2]
            .as_deref()
            .filter(|error| !error.is_empty())
            .map(|error| Fingerprint(error.len() as u64 % 3)),
        steps: {
            let mut taking = Taking::default();
            for (node, step) in &content.steps {
                taking.take(node, step);
            }
            if content.truncated {
                taking.end();
                taking.take(
                    UNKEPT,
                    &NodeStep {
                        failed: true,
                        ..NodeStep::default()
                    },
                );
            }
            taking.steps()
        },
        ..Facts::default()
    };
    let text = format!("{facts:?}");
    let version = Version(xxhash_rust::xxh3::xxh3_128(text.as_bytes()).to_be_bytes());
    let stamp = Stamp {
        mtime_ns: mtime_s * 1_000_000_000,
        ctime_ns: 1,
        size: size.cast_unsigned(),
        ino: ino.cast_unsigned(),
        dev: 7,
    };
    Seen {
        stamp,
        version,
        facts,
        racy: false,
    }
}

/// The same without structure.
#[derive(Default)]
struct Model {
    runs: BTreeMap<RunKey, (Seen, i64)>,
    /// How often each run came, changed or went.
    changes: BTreeMap<RunKey, u64>,
}

impl Model {
    fn changes_of(&self, key: &RunKey) -> u64 {
        self.changes.get(key).copied().unwrap_or(0)
    }

    fn save(&mut self, key: &RunKey, seen: &Seen) {
        let before = self.runs.insert(key.clone(), (seen.clone(), 0));
        if before.is_none_or(|(before, _)| before.version != seen.version) {
            *self.changes.entry(key.clone()).or_default() += 1;
        }
    }

    fn remove(&mut self, key: &RunKey) {
        if self.runs.remove(key).is_some() {
            *self.changes.entry(key.clone()).or_default() += 1;
        }
    }

    /// Writes the summary of a run anew.
    fn summary(key: &RunKey, seen: &Seen) -> Summary {
        let facts = &seen.facts;
        // an empty text is none
        let text = |text: &Option<Box<str>>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(str::to_owned)
        };
        let updated = seen.stamp.mtime_ns / 1_000_000;
        let live = matches!(facts.status, Some(Status::Queued | Status::Running));
        Summary {
            id: key.execution.clone(),
            project_id: key.project.clone(),
            status: facts
                .status
                .as_ref()
                .map(|status| status.as_str().to_owned()),
            started_at: facts.started_at,
            completed_at: facts.completed_at,
            duration: facts.duration,
            token_usage: facts.tokens,
            cost_usd: facts.cost,
            error: text(&facts.error),
            error_truncated: facts.error_truncated,
            label: text(&facts.label),
            model: text(&facts.model),
            updated_at: Millis(updated),
            size_bytes: seen.stamp.size,
            step_count: facts.step_count,
            retry_count: facts.retry_count,
            version: seen.version,
            stale_at: live.then_some(Millis(updated + 100_000)),
            pinned: false,
            tags: Vec::new(),
            note: None,
        }
    }

    fn sorted(&self, filter: &Filter) -> Vec<(RunKey, Seen)> {
        let mut found: Vec<(RunKey, Seen)> = self
            .runs
            .iter()
            .filter(|(key, (seen, _))| {
                filter
                    .project
                    .as_ref()
                    .is_none_or(|project| *project == key.project)
                    && filter.statuses.as_ref().is_none_or(|statuses| {
                        seen.facts
                            .status
                            .as_ref()
                            .is_some_and(|status| statuses.contains(status))
                    })
            })
            .map(|(key, (seen, _))| (key.clone(), seen.clone()))
            .collect();
        found.sort_by_key(|(key, seen)| {
            let start = seen.facts.started_at.map(|at| at.0);
            (
                start.is_none(),
                std::cmp::Reverse(start),
                key.execution.clone(),
                key.project.clone(),
            )
        });
        found
    }
}

/// Takes in what happened to a run's file, and gives what the index is told of it.
fn report(model: &mut Model, project: u8, execution: u8, content: Option<Content>) -> Report {
    let key = key(project, execution);
    match content {
        Some(content) => {
            let seen = seen(&content, 0);
            model.save(&key, &seen);
            Report::Seen(key, Box::new(seen))
        }
        None => {
            model.remove(&key);
            Report::Gone(key)
        }
    }
}

/// A client of section 5: it lists, then follows.
struct Client {
    filter: Filter,
    held: BTreeMap<RunKey, Summary>,
    /// What was told last, and how often the run had changed or gone by then.
    last_told: BTreeMap<RunKey, (Version, u64)>,
    clock: Option<Clock>,
}

impl Client {
    fn list(&mut self, index: &Index) {
        let page = index.page(&self.filter, &From::Offset(0), usize::MAX);
        self.held = page
            .executions
            .into_iter()
            .map(|summary| (key_of(&summary), summary))
            .collect();
        self.last_told.clear();
        self.clock = Some(page.at.clock);
    }

    fn poll(&mut self, index: &Index, model: &Model) {
        let Some(clock) = self.clock.filter(|clock| index.honours(*clock)) else {
            self.list(index);
            return;
        };
        let mut cursor = Cursor::after(clock.tick);
        while cursor.tick() < index.clock().tick {
            for change in changes_after(index, &mut cursor, &self.filter.clone().into(), 3, 5) {
                match change.what {
                    Changed::Saved { summary, .. } => {
                        let key = key_of(&summary);
                        let live = matches!(summary.status.as_deref(), Some("queued" | "running"));
                        let told = (summary.version, model.changes_of(&key));
                        let before = self.last_told.insert(key.clone(), told);
                        assert!(live || before != Some(told), "{key:?} was told twice");
                        self.held.insert(key, *summary);
                    }
                    Changed::Undecided(_) => panic!("nothing was left open"),
                    Changed::Deleted(key) | Changed::Left(key) => {
                        self.last_told.remove(&key);
                        self.held.remove(&key);
                    }
                }
            }
        }
        self.clock = Some(index.clock());
    }
}

/// The next changes, older ones having been looked up if need be.
fn changes_after(
    index: &Index,
    cursor: &mut Cursor,
    query: &Query,
    limit: usize,
    visit: usize,
) -> Vec<Change> {
    if index.lacks_older(cursor) {
        let mut look = index.look_back(cursor);
        while index.look_back_some(&mut look, 3) {}
        assert!(cursor.give(&Arc::new(look.finish())));
    }
    index.changes_after(cursor, query, limit, visit)
}

fn key_of(summary: &Summary) -> RunKey {
    RunKey {
        project: summary.project_id.clone(),
        execution: summary.id.clone(),
    }
}

/// All of a summary but when the file was touched.
fn timeless(mut summary: Summary) -> Summary {
    summary.updated_at = Millis(0);
    summary.stale_at = None;
    summary
}

fn filters() -> Vec<Filter> {
    let statuses =
        |names: &[&str]| Some(names.iter().map(|name| Status::from_text(name)).collect());
    let project = |number: u8| Some(key(number, 0).project);
    vec![
        Filter::default(),
        Filter {
            project: project(1),
            statuses: None,
        },
        Filter {
            project: None,
            statuses: statuses(&["failed", "running", "strange"]),
        },
        Filter {
            project: project(0),
            statuses: statuses(&["completed"]),
        },
        Filter {
            project: project(9),
            statuses: None,
        },
        Filter {
            project: None,
            statuses: statuses(&["nothing"]),
        },
    ]
}

fn compare(index: &Index, model: &Model) {
    for filter in filters() {
        let expected = model.sorted(&filter);
        let ids = |page: &Page| -> Vec<RunKey> { page.executions.iter().map(key_of).collect() };
        let keys: Vec<RunKey> = expected.iter().map(|(key, _)| key.clone()).collect();
        let whole = index.page(&filter, &From::Offset(0), usize::MAX);
        let summaries = expected.iter().map(|(key, seen)| Model::summary(key, seen));
        assert_eq!(
            whole.executions,
            summaries.collect::<Vec<_>>(),
            "{filter:?}"
        );
        assert_eq!(whole.at.total, keys.len());
        // new or kept, the texts say what the summaries do; the second time all fresh ones are kept
        for limit in [usize::MAX, 2, 2] {
            index.visit(&filter, &From::Offset(0), limit, |run| {
                let (mut text, mut fresh) = (Vec::new(), Vec::new());
                run.write(&mut text);
                run.summary().write(&mut fresh);
                assert_eq!(text, fresh);
            });
        }
        for offset in 0..keys.len() + 2 {
            let page = index.page(&filter, &From::Offset(offset), 3);
            let expected: Vec<RunKey> = keys.iter().skip(offset).take(3).cloned().collect();
            assert_eq!(ids(&page), expected, "{filter:?} at {offset}");
            assert_eq!(page.at.total, keys.len());
            assert_eq!(page.at.next.is_some(), offset + 3 < keys.len());
        }
        // every page by cursor
        let mut from = From::Offset(0);
        let mut found = Vec::new();
        loop {
            let page = index.page(&filter, &from, 4);
            found.extend(ids(&page));
            match page.at.next {
                Some(next) => from = From::After(next),
                None => break,
            }
        }
        assert_eq!(found, keys, "{filter:?} by cursor");
    }
    for project in [None, Some(key(0, 0).project), Some(key(2, 0).project)] {
        let mut recount = Totals::default();
        for (key, (seen, _)) in &model.runs {
            if project.as_ref().is_none_or(|id| *id == key.project) {
                let mut rows = Rows::default();
                let number = rows.insert(Draft::new(0, &key.execution, seen));
                recount.add(rows.get(number).unwrap());
            }
        }
        assert_eq!(index.totals(project.as_ref()), recount);
    }
    for (key, (seen, _)) in &model.runs {
        assert_eq!(index.stamp(key), Some((seen.stamp, false)));
        let kept = index.rows.kept(index.find(key).unwrap());
        let named = kept.steps().map(|(node, mut packed)| {
            let name = index.rows.nodes().name(node).unwrap().to_string();
            (name, NodeStep::take(&mut packed).unwrap())
        });
        assert_eq!(
            named.collect::<Vec<_>>(),
            steps::tests::named(&seen.facts.steps)
        );
        assert_eq!(kept.head.fingerprint, seen.facts.fingerprint);
        assert_eq!(kept.head.truncated, seen.facts.steps.truncated());
        assert_eq!(kept.head.lacks_nodes, seen.facts.steps.lacks_nodes());
    }
    index.rows.check();
    let scopes = index
        .projects
        .iter()
        .flatten()
        .map(|project| &project.scope);
    for scope in scopes.chain([&index.everything]) {
        let orders = scope.by_status.iter().chain(scope.other.values());
        orders.chain([&scope.all]).for_each(Order::check);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    #[test]
    fn answers_like_brute_force_and_tells_every_change(
        steps in steps(), ring in 1usize..40, tombstones in 0usize..6
    ) {
        let mut index = Index::forgetful(Instance(1), LIVENESS, ring, tombstones);
        let mut model = Model::default();
        let mut clients: Vec<Client> = filters()
            .into_iter()
            .take(4)
            .map(|filter| Client {
                filter, held: BTreeMap::new(), last_told: BTreeMap::new(), clock: None
            })
            .collect();
        for step in steps {
            let before = index.clock().tick;
            match step {
                Step::Save(p, x, content) => {
                    let held = model.runs.get(&key(p, x)).map(|(seen, _)| seen.version);
                    let report = report(&mut model, p, x, Some(content));
                    let changed = held != model.runs.get(&key(p, x)).map(|(seen, _)| seen.version);
                    let told = index.apply(vec![report]);
                    prop_assert!(!changed || told == 1);
                }
                Step::Delete(p, x) => {
                    let held = model.runs.contains_key(&key(p, x));
                    let report = report(&mut model, p, x, None);
                    prop_assert_eq!(index.apply(vec![report]), u64::from(held));
                }
                Step::Corrupt(p, x) => {
                    model.remove(&key(p, x));
                    index.apply(vec![Report::Unlisted(key(p, x), Some(Stamp::default()))]);
                    prop_assert_eq!(index.stamp(&key(p, x)), Some((Stamp::default(), false)));
                }
                Step::Touch(p, x, at) => {
                    let Some((seen, told)) = model.runs.get_mut(&key(p, x)) else { continue };
                    seen.stamp.mtime_ns = at * 1_000_000_000;
                    let live = matches!(seen.facts.status, Some(Status::Queued | Status::Running));
                    let ticks = index.apply(vec![Report::Seen(key(p, x), Box::new(seen.clone()))]);
                    // a heartbeat is told when a tenth of the time has passed since the last one
                    prop_assert_eq!(ticks, u64::from(live && (at - *told).abs() >= 10));
                    if ticks == 1 {
                        *told = at;
                    }
                }
                Step::Bulk(all) => {
                    let reports =
                        all.into_iter().map(|(p, x, content)| report(&mut model, p, x, content)).collect();
                    index.apply(reports);
                }
                Step::Poll(number) => {
                    if let Some(client) = clients.get_mut(usize::from(number)) {
                        client.poll(&index, &model);
                    }
                }
            }
            prop_assert!(index.clock().tick >= before);
            compare(&index, &model);
        }
        for client in &mut clients {
            client.poll(&index, &model);
            let held: Vec<Summary> = client.held.values().cloned().map(timeless).collect();
            let mut fresh: Vec<Summary> = index
                .page(&client.filter, &From::Offset(0), usize::MAX)
                .executions
                .into_iter()
                .map(timeless)
                .collect();
            fresh.sort_by_key(key_of);
            prop_assert_eq!(held, fresh);
        }
        prop_assert!(index.tombstones() <= ring + tombstones.max(index.runs() / 10) + 1);
        // what is kept for the next start is all of it
        let (mut saving, mut kept) = (Saving::of(b"here"), Vec::new());
        while saving.next(&index, &mut kept) {}
        let snapshot = Snapshot::open(&kept[..], b"here").unwrap();
        let restored = snapshot.restore(Instance(2), LIVENESS).unwrap();
        compare(&restored, &model);
        restored.rows.check();
        // and every run is given to be compared with its file
        let projects = restored.project_ids();
        let mut given = BTreeMap::new();
        for part in 0..restored.parts() {
            restored.each_stamp(part, &projects, |which, id, before| {
                let project = projects[which].clone();
                let execution = ExecutionId::parse(id).unwrap();
                given.insert(RunKey { project, execution }, before);
            });
        }
        prop_assert_eq!(given.len(), model.runs.len());
        for (key, before) in given {
            let held = restored.stamp(&key);
            prop_assert_eq!(held.and_then(|(stamp, racy)| (!racy).then_some(stamp)), before);
        }
        // nothing is left behind in a project that has gone
        let all: Vec<Report> = model.runs.keys().cloned().map(Report::Gone).collect();
        index.apply(all);
        prop_assert_eq!(index.runs(), 0);
        prop_assert_eq!(index.totals(None), Totals::default());
        prop_assert!(index.beats.is_empty());
        index.rows.check();
    }
}

/// What is written while things change is of no one state, so that nothing can be told after a clock
/// from before: a run that moves to where all is written already is in no part of it.
/// Each block is sound by itself, and a start would believe what is left to be all.
#[test]
fn a_snapshot_that_lacks_a_block_or_has_more_than_all_is_damaged() {
    let (mut index, _) = alike(&PLAIN, "id is not null");
    index.note_problems("p/executions/bad.json", &[ProblemKind::Corrupt], Millis(1));
    let (mut saving, mut blocks) = (Saving::of(b"here"), Vec::new());
    let mut kept = Vec::new();
    while saving.next(&index, &mut kept) {
        blocks.push(std::mem::take(&mut kept));
    }
    let restored = |blocks: &[Vec<u8>]| {
        let bytes = blocks.concat();
        let snapshot = Snapshot::open(&bytes[..], b"here")?;
        snapshot
            .restore(Instance(2), LIVENESS)
            .map(|index| index.runs())
    };
    assert_eq!(restored(&blocks).unwrap(), index.runs());
    blocks.retain(|block| !block.is_empty());
    // rows two by two, what is wrong, the end
    assert!(blocks.len() >= 7, "{}", blocks.len());
    for lacking in 0..blocks.len() {
        let mut others = blocks.clone();
        others.remove(lacking);
        assert!(restored(&others).is_err(), "{lacking}");
    }
    let mut others = blocks.clone();
    others.swap(1, 2);
    assert!(restored(&others).is_err());
    blocks.push(vec![0]);
    assert!(restored(&blocks).is_err());
}

#[test]
fn a_snapshot_within_which_something_changed_honours_no_clock_from_before() {
    let content = |started| Content {
        status: Some("completed"),
        started: Some(started),
        ..PLAIN
    };
    let report = |x, started| Report::Seen(key(0, x), Box::new(seen(&content(started), 0)));
    let annotation = Annotation {
        pinned: true,
        ..Annotation::default()
    };
    for what in 0..4 {
        for after in 0..6 {
            let mut index = Index::new(Instance(1), LIVENESS);
            index.apply((0..8).map(|x| report(x, 10 + i64::from(x))).collect());
            let clock = index.clock();
            let (mut saving, mut kept) = (Saving::of(b"here"), Vec::new());
            for _ in 0..after {
                saving.next(&index, &mut kept);
            }
            match what {
                0 => {}
                1 => drop(index.apply(vec![report(7, 1)])),
                2 => drop(index.apply(vec![Report::Gone(key(0, 0))])),
                _ => drop(index.apply(vec![Report::Annotated(key(0, 0), annotation.clone())])),
            }
            while saving.next(&index, &mut kept) {}
            let snapshot = Snapshot::open(&kept[..], b"here").unwrap();
            let mut restored = snapshot.restore(Instance(2), LIVENESS).unwrap();
            // before its head the state is the later one
            let is_honoured = what == 0 || after == 0;
            assert_eq!(restored.honours(clock), is_honoured, "{what} after {after}");
            assert!(restored.honours(restored.clock()));
            // nor a sibling's, who may have gone on from another one with the same head
            restored.add_siblings(&[Instance(3)]);
            let of_sibling = Clock {
                instance: Instance(3),
                ..restored.clock()
            };
            assert_eq!(
                restored.honours(of_sibling),
                is_honoured,
                "{what} after {after}"
            );
        }
    }
}

#[test]
fn what_the_ring_has_forgotten_is_found_in_the_rows() {
    let mut index = Index::forgetful(Instance(1), LIVENESS, 4, 100);
    let content = |version| Content {
        status: Some("completed"),
        started: Some(1),
        version,
        ..PLAIN
    };
    for x in 0..50 {
        index.apply(vec![Report::Seen(
            key(0, x),
            Box::new(seen(&content(1), 0)),
        )]);
    }
    for x in 0..10 {
        index.apply(vec![Report::Gone(key(0, x))]);
    }
    let mut cursor = Cursor::after(0);
    let mut all = Vec::new();
    while cursor.tick() < index.clock().tick {
        let every = Filter::default().into();
        all.extend(changes_after(
            &index,
            &mut cursor,
            &every,
            usize::MAX,
            usize::MAX,
        ));
    }
    assert_eq!(all.len(), 50);
    assert_eq!(
        all.iter()
            .filter(|change| matches!(change.what, Changed::Deleted(_)))
            .count(),
        10
    );
    let ticks: Vec<u64> = all.iter().map(|change| change.clock.tick).collect();
    assert!(ticks.is_sorted());
    assert_eq!(cursor.tick(), index.clock().tick);
}

/// Nothing of the file need have changed by then.
#[test]
fn a_run_whose_record_could_not_be_read_differs_until_it_was_and_is_told_then() {
    let mut index = Index::new(Instance(1), LIVENESS);
    let known = seen(&PLAIN, 0);
    let stamp = known.stamp;
    let look = || vec![Report::Seen(key(0, 0), Box::new(seen(&PLAIN, 0)))];
    index.apply(look());
    let runs = [(key(0, 0).execution, stamp)];
    let differing = |index: &Index| index.differing(&key(0, 0).project, &runs);
    assert_eq!(differing(&index), (vec![], 1));
    let number = index.find(&key(0, 0)).unwrap();
    index.unheard.lock().insert(number);
    assert_eq!(differing(&index), (vec![key(0, 0)], 1));
    assert_eq!((index.apply(look()), index.apply(look())), (1, 0));
    assert_eq!(differing(&index), (vec![], 1));
    // what takes its row is another run
    index.unheard.lock().insert(number);
    index.apply(vec![Report::Gone(key(0, 0))]);
    assert!(index.unheard.lock().is_empty());
}

#[test]
fn a_clock_from_elsewhere_or_from_before_the_tombstones_is_not_honoured() {
    let mut index = Index::forgetful(Instance(1), LIVENESS, 2, 1);
    let start = index.clock();
    for x in 0..4 {
        index.apply(vec![Report::Seen(key(0, x), Box::new(seen(&PLAIN, 0)))]);
        index.apply(vec![Report::Gone(key(0, x))]);
    }
    assert!(!index.honours(start));
    assert!(index.honours(index.clock()));
    assert!(!index.honours(Clock {
        instance: Instance(2),
        ..index.clock()
    }));
    assert!(!index.honours(Clock {
        tick: 99,
        ..index.clock()
    }));
}

/// Filters as they are written, and what they mean.
type Meant = (&'static str, fn(&Facts) -> bool);

const MEANT: [Meant; 10] = [
    ("nodeId in (a, f) and not nodeId ~ E", |facts| {
        let nodes = all_nodes(facts);
        nodes.iter().any(|(node, _)| matches!(&**node, "a" | "f"))
            && !nodes.iter().any(|(node, _)| node.contains('e'))
    }),
    ("failedNode = a or not failedNode ~ d", |facts| {
        let nodes = all_nodes(facts);
        let failed = || nodes.iter().filter(|(_, failed)| *failed);
        failed().any(|(node, _)| node == "a") || !failed().any(|(node, _)| node.contains('d'))
    }),
    ("nodeId = hidden and error ~ 'x the end'", |facts| {
        all_nodes(facts).iter().any(|(node, _)| node == UNKEPT)
            && whole_error(facts).is_some_and(|error| error.contains("x the end"))
    }),
    ("errorGroup != 0000000000000001", |facts| {
        facts.fingerprint != Some(Fingerprint(1))
    }),
    ("costUSD > 0.000000007", |facts| {
        facts.cost.is_some_and(|cost| cost.nanos() > 7)
    }),
    ("status in (failed, strange) or duration >= 3", |facts| {
        let status = facts.status.as_ref().map(Status::as_str);
        let long = facts.duration.is_some_and(|took| took.0 >= 3_000_000);
        matches!(status, Some("failed" | "strange")) || long
    }),
    ("not label ~ a", |facts| {
        !facts
            .label
            .as_deref()
            .is_some_and(|label| label.contains('a'))
    }),
    ("error ~ 'x the end'", |facts| {
        whole_error(facts).is_some_and(|error| error.contains("x the end"))
    }),
    ("error is null and inputTokens between 2 and 5", |facts| {
        whole_error(facts).is_none()
            && facts
                .tokens
                .input
                .is_some_and(|input| (2..=5).contains(&input))
    }),
    ("steps = 3 and model is not null", |facts| {
        facts.step_count == 3
            && facts
                .model
                .as_deref()
                .is_some_and(|model| !model.is_empty())
    }),
];

type NumberOf = fn(&Facts) -> Option<i64>;

/// What runs are sorted by, and the same by hand.
static SORTED: [(Number, NumberOf); 5] = [
    (Number::Cost, |facts| facts.cost.map(|cost| cost.nanos())),
    (Number::Duration, |facts| facts.duration.map(|took| took.0)),
    (Number::StartedAt, |facts| facts.started_at.map(|at| at.0)),
    (Number::Steps, |facts| Some(facts.step_count.into())),
    (Number::InputTokens, |facts| facts.tokens.input),
];

/// What stands in the file of a run whose error was cut.
fn whole_error(facts: &Facts) -> Option<String> {
    let error = facts.error.as_deref().filter(|error| !error.is_empty())?;
    Some(if facts.error_truncated {
        format!("{error}x the end")
    } else {
        error.to_owned()
    })
}

/// The nodes of all steps that stand in the file of a run, and whether each failed.
fn all_nodes(facts: &Facts) -> Vec<(String, bool)> {
    let kept = steps::tests::named(&facts.steps).into_iter();
    let unkept = facts.steps.lacks_nodes().then(|| (UNKEPT.to_owned(), true));
    kept.map(|(node, step)| (node.to_string(), step.failed))
        .chain(unkept)
        .collect()
}

/// What a record says to the tests of `query`.
fn asked(query: &Query, seen: Option<&Seen>) -> RecordTests {
    let mut asking = query.bound.asking();
    if let Some(seen) = seen {
        asking.error(whole_error(&seen.facts).as_deref());
        for (node, failed) in all_nodes(&seen.facts) {
            asking.step(&node, failed);
        }
    }
    asking.tests()
}

/// What is taken from a run: which it is, as it was then, and what it adds to sums.
type Part = (RunKey, Version, Amounts);

/// Two values where the version is odd, none where it is a multiple of four.
fn parts_of(count: &mut usize, run: &Listed<'_>, parts: &mut Vec<Part>) {
    let key = run.run_key().unwrap();
    let version = run.summary().version;
    for _ in 0..count_of(version) {
        parts.push((key.clone(), version, Amounts::of(run)));
        *count += 1;
    }
}

fn count_of(version: Version) -> usize {
    let [first, ..] = version.0;
    match first % 4 {
        0 => 0,
        2 => 1,
        _ => 2,
    }
}

type Take<S, T> = fn(&mut S, &Listed<'_>, &mut Vec<T>);

/// All of what is gathered.
struct All {
    nodes: NodeSteps,
    errors: ErrorGroups,
    parts: Taken<usize, Part, Take<usize, Part>>,
    amounts: Taken<(), Amounts, Take<(), Amounts>>,
    first: First,
}

impl All {
    fn of(sort: Sort, from: SortedFrom, limit: usize) -> Self {
        Self {
            nodes: NodeSteps::default(),
            errors: ErrorGroups::default(),
            parts: Taken::by(0, parts_of),
            amounts: Taken::by((), |(), run, all| all.push(Amounts::of(run))),
            first: First::of(sort, from, limit),
        }
    }
}

impl Gather for All {
    fn beside(&self) -> Self {
        Self {
            nodes: self.nodes.beside(),
            errors: self.errors.beside(),
            parts: self.parts.beside(),
            amounts: self.amounts.beside(),
            first: self.first.beside(),
        }
    }

    fn join(&mut self, parts: Vec<Self>) {
        for part in parts {
            self.nodes.join(vec![part.nodes]);
            self.errors.join(vec![part.errors]);
            self.parts.join(vec![part.parts]);
            self.amounts.join(vec![part.amounts]);
            self.first.join(vec![part.first]);
        }
    }

    fn put(&mut self, number: u32, run: Option<Listed<'_>>) {
        self.nodes.put(number, run);
        self.errors.put(number, run);
        self.parts.put(number, run);
        self.amounts.put(number, run);
        self.first.put(number, run);
    }
}

/// The sums of each node, made anew from `runs`; and how many of those have more steps.
fn sums_of(runs: &[(RunKey, Seen)]) -> (BTreeMap<String, NodeSums>, u64) {
    let mut sums: BTreeMap<String, NodeSums> = BTreeMap::new();
    for (_, seen) in runs {
        let steps = steps::tests::named(&seen.facts.steps);
        let nodes: std::collections::BTreeSet<String> =
            steps.iter().map(|(node, _)| node.clone()).collect();
        for node in nodes {
            let of_node = || {
                steps
                    .iter()
                    .filter(|(name, _)| *name == node)
                    .map(|(_, step)| step)
            };
            let sum = sums.entry(node.clone()).or_insert_with(|| NodeSums {
                node: (*node).into(),
                runs: 0,
                steps: 0,
                failures: 0,
                durations: Vec::new(),
                input_tokens: 0,
                output_tokens: 0,
                total_tokens: 0,
                cost: None,
            });
            sum.runs += 1;
            sum.steps += of_node().count() as u64;
            sum.failures += of_node().filter(|step| step.failed).count() as u64;
            sum.durations.extend(
                of_node()
                    .filter_map(|step| step.duration)
                    .map(|took| took.0),
            );
            for step in of_node() {
                let [input, output, total] =
                    [step.tokens.input, step.tokens.output, step.tokens.total]
                        .map(|tokens| tokens.map(i128::from));
                let both = input.unwrap_or(0) + output.unwrap_or(0);
                sum.input_tokens += input.unwrap_or(0);
                sum.output_tokens += output.unwrap_or(0);
                sum.total_tokens += total.unwrap_or(both);
            }
            let costs: Vec<Money> = of_node().filter_map(|step| step.cost).collect();
            if !costs.is_empty() {
                let all = sum.cost.get_or_insert_with(CostSum::default);
                costs.into_iter().for_each(|cost| all.add(cost));
            }
        }
    }
    let truncated = runs.iter().filter(|(_, seen)| seen.facts.steps.truncated());
    (sums, truncated.count() as u64)
}

/// The groups of the errors of `runs`, made anew: fingerprint, count, first and last seen, and the
/// first of their last ticks.
fn groups_of(index: &Index, runs: &[(RunKey, Seen)]) -> Vec<(Fingerprint, u64, i64, i64, u64)> {
    let of_group = |bits| {
        let print = Fingerprint(bits);
        let ours = || {
            runs.iter()
                .filter(|(_, seen)| seen.facts.fingerprint == Some(print))
        };
        let at = |(_, seen): &(RunKey, Seen)| {
            let started = seen.facts.started_at.map(|at| at.0);
            started.unwrap_or(seen.stamp.mtime_ns / 1_000_000)
        };
        let tick = |(key, _): &(RunKey, Seen)| index.row(key).unwrap().tick();
        let (first, last) = (ours().map(at).min()?, ours().map(at).max()?);
        Some((
            print,
            ours().count() as u64,
            first,
            last,
            ours().map(tick).min()?,
        ))
    };
    let mut groups: Vec<_> = (0..3).filter_map(of_group).collect();
    groups.sort_by_key(|&(print, count, _, last, _)| (-(count.cast_signed()), -last, print));
    groups
}

/// Ten runs with the same content, and what `text` asks of them.
fn alike(content: &Content, text: &str) -> (Index, Query) {
    let mut index = Index::new(Instance(1), LIVENESS);
    let report = |x| Report::Seen(key(0, x), Box::new(seen(content, 0)));
    index.apply((0..10).map(report).collect());
    let query = Query {
        plain: Filter::default(),
        bound: crate::filter::Where::parse(text)
            .unwrap()
            .at(Millis(0), chrono_tz::UTC),
    };
    (index, query)
}

#[test]
fn what_takes_long_is_looked_at_under_several_locks() {
    let content = Content {
        steps: vec![("a", NodeStep::default()), ("b", NodeStep::default())],
        ..PLAIN
    };
    let (index, query) = alike(&content, "nodeId ~ b");
    let later = Instant::now() + Duration::from_secs(60);
    for (until, locks) in [(later, 1..=1), (Instant::now(), 5..=10)] {
        let mut part = index.select(query.clone());
        let (mut at, mut count) = (0, 0);
        while at < index.rows() {
            let next = index.select_part(&mut part, at..index.rows(), &mut (), until);
            assert!(next > at);
            (at, count) = (next, count + 1);
        }
        assert!(locks.contains(&count), "{count}");
        assert_eq!(part.total(), 10);
        let (mut from, mut count, mut runs) = (From::Offset(0), 0, BTreeSet::new());
        loop {
            let (looked, next) = index.passing(&query, &from, 20, until, |key, _| {
                assert!(runs.insert(key));
            });
            assert!(looked > 0);
            count += 1;
            let Some(next) = next else { break };
            from = From::After(next);
        }
        assert!(locks.contains(&count), "{count}");
        assert_eq!(runs.len(), 10);
    }
}

#[test]
fn a_run_of_too_many_nodes_for_a_lock_is_asked_by_its_record() {
    let steps = (0..20).map(|_| ("a", NodeStep::default()));
    let content = Content {
        steps: steps.collect(),
        ..PLAIN
    };
    let text = "nodeId ~ b or nodeId ~ c or nodeId ~ d or nodeId ~ a";
    let (index, query) = alike(&content, text);
    let mut selection = index.select(query.clone());
    while index.select_some(&mut selection, 4, Instant::now()) {}
    assert_eq!(selection.total(), 0);
    let seen = seen(&content, 0);
    for open in selection.take_open() {
        assert_eq!(
            index.passes(&query, &open.1, None),
            Some(Verdict::NeedsRecord)
        );
        index.decide(&mut selection, &open, Some(asked(&query, Some(&seen))));
    }
    assert_eq!(selection.total(), 10);
    assert!(index.selected(&mut selection, 1).is_some());
}

#[test]
fn what_is_noted_while_records_are_asked_counts() {
    let steps = (0..20).map(|_| ("a", NodeStep::default()));
    let content = Content {
        steps: steps.collect(),
        ..PLAIN
    };
    let text = "(tag = x and nodeId ~ a) or nodeId ~ b or nodeId ~ c or nodeId ~ d";
    let (mut index, query) = alike(&content, text);
    let mut selection = index.select(query.clone());
    while index.select_some(&mut selection, 4, Instant::now()) {}
    let seen = seen(&content, 0);
    for open in selection.take_open() {
        index.decide(&mut selection, &open, Some(asked(&query, Some(&seen))));
    }
    assert_eq!(selection.total(), 0);
    let tagged = Annotation {
        tags: vec!["x".to_owned()],
        ..Annotation::default()
    };
    index.apply(vec![Report::Annotated(key(0, 3), tagged)]);
    assert!(index.selected(&mut selection, 100).is_some());
    assert_eq!(selection.total(), 1);
    index.apply(vec![Report::Annotated(key(0, 3), Annotation::default())]);
    assert!(index.selected(&mut selection, 100).is_some());
    assert_eq!(selection.total(), 0);
}

/// The rows that were given, and how many of them passed.
#[derive(Default)]
struct Given(usize, usize);

impl Gather for Given {
    fn beside(&self) -> Self {
        Self::default()
    }

    fn join(&mut self, _: Vec<Self>) {}

    fn put(&mut self, _: u32, run: Option<Listed<'_>>) {
        self.0 += 1;
        self.1 += usize::from(run.is_some());
    }
}

#[test]
fn of_vacant_rows_only_those_that_just_went_are_given_again() {
    let (mut index, query) = alike(&PLAIN, "steps >= 0");
    let gone = |x| Report::Gone(key(0, x));
    index.apply((0..6).map(gone).collect());
    let mut selection = index.select(query);
    while index.select_some(&mut selection, 2, Instant::now()) {}
    let mut given = Given::default();
    while index.gather_some(&mut selection, 2, &mut given) {}
    assert_eq!((given.0, given.1), (10, 4));
    for (left, x) in [(3, 6), (2, 7)] {
        index.apply(vec![gone(x)]);
        let mut again = Given::default();
        assert!(index.selected(&mut selection, 100).is_some());
        index.gather_changed(&mut selection, &mut again);
        assert_eq!((again.0, again.1, selection.total()), (1, 0, left));
    }
}

#[test]
fn more_tokens_than_can_be_counted_are_many() {
    let (mut index, query) = alike(&PLAIN, "tokens > 9223372036854775806");
    let mut seen = seen(&PLAIN, 0);
    seen.facts.tokens = Tokens {
        input: Some(i64::MAX),
        output: Some(i64::MAX),
        total: None,
    };
    index.apply(vec![Report::Seen(key(1, 0), Box::new(seen))]);
    let mut selection = index.select(query);
    while index.select_some(&mut selection, 4, Instant::now()) {}
    assert_eq!(selection.total(), 1);
}

/// The rows that were there at first, which some look at beside each other.
struct Beside {
    rows: u32,
    next: u32,
    parts: std::collections::VecDeque<(Selection, All)>,
}

impl Beside {
    fn of(index: &Index, selection: &Selection, all: &All, count: usize) -> Self {
        let parts = (0..count).map(|_| (selection.beside(), all.beside()));
        Self {
            rows: index.rows(),
            next: 0,
            parts: parts.collect(),
        }
    }

    /// Looks at some more; the next one does so next time.
    fn look(&mut self, index: &Index, rows: u32) {
        let from = self.next.min(self.rows);
        self.next = from.saturating_add(rows).min(self.rows);
        if let Some((part, all)) = self.parts.front_mut() {
            // stops as soon as it may
            self.next = index.select_part(part, from..self.next, all, Instant::now());
        }
        self.parts.rotate_left(1.min(self.parts.len()));
    }

    /// Looks at the rest.
    fn join(&mut self, index: &Index, rows: u32, selection: &mut Selection, all: &mut All) {
        if self.parts.is_empty() {
            return;
        }
        while self.next < self.rows {
            self.look(index, rows);
        }
        let (parts, alls): (Vec<_>, Vec<_>) = self.parts.drain(..).unzip();
        selection.join(self.rows, parts);
        all.join(alls);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, ..ProptestConfig::default() })]

    /// Whatever happens while rows are looked at, an answer is what brute force gives at its clock.
    #[test]
    fn a_selection_is_true_at_its_clock(
        steps in steps(), which in 0usize..MEANT.len(), plain in 0usize..6,
        part in 1u32..9, visit in 1usize..9, ring in 3usize..40, limit in 1usize..6,
        by in prop::sample::select(&SORTED[..]), descending: bool, skip in 0usize..4,
        threads in 0usize..4,
    ) {
        let mut index = Index::forgetful(Instance(1), LIVENESS, ring, 2);
        let mut model = Model::default();
        let (text, means) = MEANT[which];
        let bound = crate::filter::Where::parse(text).unwrap().at(Millis(0), chrono_tz::UTC);
        let plain = filters().swap_remove(plain);
        let query = Query { plain: plain.clone(), bound };
        let mut selection = index.select(query.clone());
        // a reader of changes that asks the same
        let (mut held, mut cursor) = (BTreeSet::new(), Cursor::after(0));
        let (by, number_of) = by;
        let sort = Sort { by, descending };
        let mut all = All::of(sort, SortedFrom::Offset(skip), limit);
        let mut beside = Beside::of(&index, &selection, &all, threads);
        for step in steps {
            let mut reports = Vec::new();
            let mut save = |model: &mut Model, p, x, content| reports.push(report(model, p, x, content));
            match step {
                Step::Save(p, x, content) => save(&mut model, p, x, Some(content)),
                Step::Delete(p, x) | Step::Corrupt(p, x) => save(&mut model, p, x, None),
                Step::Bulk(all) => {
                    all.into_iter().for_each(|(p, x, content)| save(&mut model, p, x, content));
                }
                Step::Touch(..) => {}
                Step::Poll(_) => {
                    // it comes to its end, and another one begins
                    beside.join(&index, part, &mut selection, &mut all);
                    loop {
                        while index.select_some(&mut selection, part, Instant::now()) {}
                        for open in selection.take_open() {
                            let seen = model.runs.get(&open.1).map(|(seen, _)| seen);
                            index.decide(&mut selection, &open, Some(asked(&query, seen)));
                        }
                        if index.selected(&mut selection, visit).is_some() {
                            break;
                        }
                    }
                    index.gather_changed(&mut selection, &mut all);
                    let mut runs = model.sorted(&plain);
                    runs.retain(|(_, seen)| means(&seen.facts));
                    let (sums, truncated) =
                        all.nodes.sums(&index.node_names(), || Ok::<_, ()>(())).unwrap();
                    let by_node = |sums: Vec<NodeSums>| -> BTreeMap<String, String> {
                        let sorted = sums.into_iter().map(|mut sum| {
                            sum.durations.sort_unstable();
                            (sum.node.to_string(), format!("{sum:?}"))
                        });
                        sorted.collect()
                    };
                    let (expected_sums, expected_truncated) = sums_of(&runs);
                    prop_assert_eq!(by_node(sums), by_node(expected_sums.into_values().collect()));
                    prop_assert_eq!(truncated, expected_truncated);
                    let groups = all.errors.groups();
                    for group in &groups {
                        let example = index.example(group).unwrap().to_owned().unwrap();
                        let (_, seen) = runs.iter().find(|(key, _)| *key == key_of(&example)).unwrap();
                        prop_assert_eq!(seen.facts.fingerprint, Some(group.fingerprint));
                        let at = example.started_at.unwrap_or(example.updated_at);
                        prop_assert_eq!(at, group.last_seen);
                    }
                    let groups: Vec<_> = groups
                        .iter()
                        .map(|group| {
                            let ErrorGroup { fingerprint, count, first_seen, last_seen, first_tick, .. } =
                                *group;
                            (fingerprint, count, first_seen.0, last_seen.0, first_tick)
                        })
                        .collect();
                    prop_assert_eq!(groups, groups_of(&index, &runs));
                    let All { parts, amounts, mut first, .. } = all;
                    let (chunks, count) = parts.into_chunks();
                    prop_assert_eq!(count, runs.len());
                    let mut parts = Vec::new();
                    for (taken, some) in chunks {
                        // some may have been taken again
                        prop_assert!(taken >= some.len());
                        parts.extend(some);
                    }
                    parts.sort_by(|(a, ..), (b, ..)| a.cmp(b));
                    let mut alone = Index::new(Instance(2), LIVENESS);
                    alone.apply(runs.iter().map(|(key, seen)| {
                        Report::Seen(key.clone(), Box::new(seen.clone()))
                    }).collect());
                    let mut totals = Totals::default();
                    let (chunks, _) = amounts.into_chunks();
                    let amounts = chunks.iter().flat_map(|((), amounts)| amounts);
                    amounts.for_each(|amounts| totals.take(amounts));
                    prop_assert_eq!(totals, alone.totals(None), "{}", text);
                    let mut versions: Vec<_> = runs
                        .iter()
                        .flat_map(|(key, seen)| vec![(key, &seen.version); count_of(seen.version)])
                        .collect();
                    versions.sort();
                    let parts: Vec<_> = parts.iter().map(|(key, version, _)| (key, version)).collect();
                    prop_assert_eq!(parts, versions);
                    let expected: Vec<RunKey> = runs.into_iter().map(|(key, _)| key).collect();
                    let mut found = Vec::new();
                    let mut from = From::Offset(0);
                    loop {
                        let at = index.visit_selected(&selection, &from, limit, |run| {
                            found.push(run.run_key().unwrap());
                        });
                        prop_assert_eq!(at.total, expected.len());
                        prop_assert_eq!(at.clock, index.clock());
                        match at.next {
                            Some(next) => from = From::After(next),
                            None => break,
                        }
                    }
                    prop_assert_eq!(&found, &expected, "{}", text);
                    // by another order
                    let mut sorted = expected.clone();
                    sorted.sort_by_key(|key| {
                        let number = model.runs.get(key).and_then(|(seen, _)| number_of(&seen.facts));
                        let sign = if descending { -1 } else { 1 };
                        (number.is_none(), number.map(|number| sign * i128::from(number)))
                    });
                    let page_of = |first: &mut First| {
                        let mut page = Vec::new();
                        let each = |run: Listed<'_>| page.push(run.run_key().unwrap());
                        let (at, next) = index.visit_sorted(&selection, first, each);
                        (page, at, next)
                    };
                    let wanted = |skip: usize| -> Vec<RunKey> {
                        sorted.iter().skip(skip).take(limit).cloned().collect()
                    };
                    let (page, _, mut next) = page_of(&mut first);
                    prop_assert_eq!(page, wanted(skip), "{} by {:?}", text, sort);
                    let mut seen = skip + limit;
                    while let Some(key) = next {
                        let mut first = First::of(sort, SortedFrom::After(key), limit);
                        index.gather_all(&selection, &mut first);
                        let (page, at, more) = page_of(&mut first);
                        prop_assert_eq!(at.total, expected.len());
                        prop_assert_eq!(page, wanted(seen));
                        (seen, next) = (seen + limit, more);
                    }
                    prop_assert!(seen >= sorted.len());
                    for offset in 0..sorted.len() + 1 {
                        let mut first = First::of(sort, SortedFrom::Offset(offset), limit);
                        index.gather_all(&selection, &mut first);
                        let (page, at, _) = page_of(&mut first);
                        prop_assert_eq!(at.total, expected.len());
                        prop_assert_eq!(page, wanted(offset));
                    }
                    all = All::of(sort, SortedFrom::Offset(skip), limit);
                    // by changes
                    if !index.follows(&cursor) {
                        held = expected.iter().cloned().collect();
                        cursor = Cursor::after(index.clock().tick);
                    }
                    while cursor.tick() < index.clock().tick {
                        for change in changes_after(&index, &mut cursor, &query, 3, 5) {
                            let decided = match change.what {
                                Changed::Undecided(one) => {
                                    let seen = model.runs.get(&one.open().1).map(|(seen, _)| seen);
                                    index.decide_change(one, &query, Some(&asked(&query, seen)))
                                }
                                other => Some(other),
                            };
                            match decided {
                                Some(Changed::Saved { summary, .. }) => held.insert(key_of(&summary)),
                                Some(Changed::Left(key) | Changed::Deleted(key)) => held.remove(&key),
                                Some(Changed::Undecided(_)) => panic!("it was decided"),
                                None => false,
                            };
                        }
                    }
                    let held: Vec<RunKey> = held.iter().cloned().collect();
                    let mut by_key = expected.clone();
                    by_key.sort_unstable();
                    prop_assert_eq!(held, by_key, "{} by changes", text);
                    for offset in 0..expected.len() + 1 {
                        let mut page = Vec::new();
                        index.visit_selected(&selection, &From::Offset(offset), limit, |run| {
                            page.push(run.summary().id.to_owned());
                        });
                        let wanted = expected.iter().skip(offset).take(limit);
                        let wanted: Vec<String> = wanted.map(|key| key.execution.to_string()).collect();
                        prop_assert_eq!(page, wanted);
                    }
                    selection = index.select(query.clone());
                    beside = Beside::of(&index, &selection, &all, threads);
                }
            }
            index.apply(reports);
            if beside.next < beside.rows {
                beside.look(&index, part);
            } else {
                beside.join(&index, part, &mut selection, &mut all);
                index.select_some(&mut selection, part, Instant::now());
                index.gather_some(&mut selection, part, &mut all);
            }
        }
    }
}
