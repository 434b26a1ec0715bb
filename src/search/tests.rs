//! What the text index finds against a plain look at every word of every record.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rustix::io::Errno;
use serde_json::{Value, json};

use super::budget::Budget;
use super::engine::{self, Entry, Opened, Writer};
use super::finder::{BOUNDS, Bounds, Page, search};
use super::follow::Lacking;
use super::look::Fault;
use super::matching::{Going, Matcher};
use super::query::{Phrase, Query};
use super::texts::{Sink, texts};
use super::token::Tokens;
use super::{Sort, Wanted};
use crate::api::samples;
use crate::filter::Where;
use crate::history::{History, Moment, Options};
use crate::index::{self, Filter};
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Status, Version};
use crate::store::Cache;
use crate::store::tests::steps::refusing_to_open;

/// Where each of them changes how a page is come by.
const PATHS: [Bounds; 3] = [
    BOUNDS,
    // all of what more runs say is asked for
    Bounds {
        counted: 1,
        rows: 4096,
    },
    // along the list, and the best of all
    Bounds {
        counted: 0,
        rows: 1,
    },
];

/// Runs in files, and a text index in a folder of its own.
struct Folder {
    folder: tempfile::TempDir,
    opened: Option<Opened>,
}

impl Folder {
    fn new() -> Self {
        let mut place = Self {
            folder: tempfile::tempdir().unwrap(),
            opened: None,
        };
        std::fs::create_dir(place.root()).unwrap();
        place.open();
        place
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().join("projects")
    }

    fn cache(&self) -> Cache {
        Cache::of(self.folder.path().join("cache"), &self.root())
    }

    /// Closes it, and opens it again to write to, for which it may have to wait: a program that another test starts holds our lock as
    /// well, from its fork until it is that program.
    fn open(&mut self) {
        let began = Instant::now();
        self.opened = None;
        while self.opened.is_none() {
            let opened = engine::open(&self.cache(), false);
            self.opened = opened.ok().filter(|opened| opened.writer.is_some());
            assert!(began.elapsed() < Duration::from_secs(60));
        }
    }

    fn writer(&mut self) -> &mut Writer {
        self.opened.as_mut().unwrap().writer.as_mut().unwrap()
    }

    fn commit(&mut self) {
        self.writer().commit(None).unwrap();
        self.opened.as_ref().unwrap().view.reload().unwrap();
    }

    fn put(&mut self, run: &Run) {
        let key = &run.key;
        let (project, id) = (key.project.as_str(), key.execution.as_str());
        samples::save_as_engine(&self.root(), project, id, &run.record).unwrap();
        let entry = Entry {
            key,
            version: Version([run.version; 16]),
            started: run.started,
            record: Some(&run.record),
            replaces: true,
        };
        self.writer().put(&entry).unwrap();
    }

    fn remove(&mut self, key: &RunKey) {
        let folder = self.root().join(key.project.as_str()).join("executions");
        let _ = std::fs::remove_file(folder.join(format!("{}.json", key.execution)));
        self.writer().remove(key);
    }

    /// The files as they are.
    fn history(&self) -> History {
        let history = History::new(self.root(), Options::default());
        history.begin(Moment::now());
        while history.first_step() {}
        history
    }

    fn find(&self, history: &History, wanted: &Wanted, bounds: Bounds) -> Page {
        let budget = Budget::until(Instant::now() + Duration::from_secs(60));
        let view = &self.opened.as_ref().unwrap().view;
        search(view, history, wanted, bounds, &budget).unwrap()
    }
}

fn keys(page: &Page) -> Vec<RunKey> {
    let key = |summary: &crate::model::Summary| RunKey {
        project: summary.project_id.clone(),
        execution: summary.id.clone(),
    };
    page.hits.iter().map(|hit| key(&hit.summary)).collect()
}

#[derive(Debug, Clone)]
struct Run {
    key: RunKey,
    version: u8,
    started: Option<Millis>,
    status: &'static str,
    record: String,
}

fn key(project: &str, id: &str) -> RunKey {
    RunKey {
        project: ProjectId::parse(project).unwrap(),
        execution: ExecutionId::parse(id).unwrap(),
    }
}

fn wanted(query: &str, sort: Sort) -> Wanted {
    Wanted {
        query: Query::parse(query).unwrap(),
        filter: filter(Filter::default(), ""),
        sort,
        after: None,
        limit: 1000,
    }
}

fn filter(plain: Filter, text: &str) -> index::Query {
    let filter = match text {
        "" => Where::default(),
        text => Where::parse(text).unwrap(),
    };
    index::Query {
        plain,
        bound: filter.at(Millis(0), chrono_tz::Tz::UTC),
    }
}

/// Whether a run has what is looked for, word by word.
fn by_hand(query: &Query, run: &Run) -> bool {
    match query {
        Query::All(parts) => parts.iter().all(|part| by_hand(part, run)),
        Query::Any(parts) => parts.iter().any(|part| by_hand(part, run)),
        Query::Not(part) => !by_hand(part, run),
        Query::Phrase(phrase) => {
            let mut found = Words(Vec::new());
            texts(run.key.execution.as_str(), &run.record, &mut found);
            found
                .0
                .iter()
                .any(|words| (0..words.len()).any(|at| stands(phrase, &words[at..])))
        }
    }
}

/// The words of each text.
struct Words(Vec<Vec<String>>);

impl Sink for Words {
    fn wants(&mut self, _: &str) -> bool {
        true
    }

    fn text(&mut self, _: &str, text: &str) -> bool {
        let mut words = Vec::new();
        let mut tokens = Tokens::of(text);
        while tokens.step().is_some() {
            words.push(tokens.text().to_owned());
        }
        self.0.push(words);
        true
    }

    fn again(&mut self) {
        self.0.clear();
    }
}

fn stands(phrase: &Phrase, words: &[String]) -> bool {
    let last = phrase.tokens.len() - 1;
    phrase.tokens.iter().enumerate().all(|(at, wanted)| {
        words.get(wanted.offset as usize).is_some_and(|word| {
            *word == wanted.text || (at == last && phrase.prefix && word.starts_with(&wanted.text))
        })
    })
}

const WORDS: [&str; 20] = [
    "agent",
    "Agents",
    "fail",
    "failed",
    "failure",
    "Café",
    "cafe\u{301}",
    "東京都",
    "京都",
    "都",
    "exec-17",
    "17605",
    "a_b",
    "naïve",
    "ไทย",
    "서울에서",
    "é",
    "x",
    "→",
    "ÜBER",
];

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(
        (
            prop::sample::select(&WORDS[..]),
            prop::sample::select(&[" ", "", "\n", "-", "、"][..]),
        ),
        0..8,
    )
    .prop_map(|parts| {
        parts
            .into_iter()
            .map(|(word, gap)| format!("{word}{gap}"))
            .collect()
    })
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => text().prop_map(Value::from),
        1 => (0..20_000_i64).prop_map(Value::from),
        1 => Just(Value::Null),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((text(), inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// A record, some of it with escapes where none are needed.
fn record() -> impl Strategy<Value = Value> {
    let steps = prop::collection::vec((text(), value(), value()), 0..3);
    let error = (text(), any::<bool>()).prop_map(|(text, long)| match long {
        // so that the summary cuts it
        true => format!("{text} {} {text}", "-".repeat(250)),
        false => text,
    });
    (value(), text(), error, steps).prop_map(|(input, output, error, steps)| {
        let steps: Vec<Value> = steps
            .into_iter()
            .map(
                |(node, input, output)| json!({ "nodeId": node, "input": input, "output": output }),
            )
            .collect();
        json!({ "input": input, "output": output, "error": error, "steps": steps })
    })
}

fn escape(text: &str) -> String {
    let units = text.encode_utf16();
    let escaped = units.map(|unit| match char::from_u32(unit.into()) {
        Some(ascii) if ascii.is_ascii() => ascii.to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    escaped.collect()
}

fn queries() -> impl Strategy<Value = String> {
    let word = (prop::sample::select(&WORDS[..]), any::<bool>())
        .prop_map(|(word, star)| format!("{word}{}", if star { "*" } else { "" }));
    let phrase = (text(), any::<bool>())
        .prop_map(|(text, star)| format!("\"{text}\"{}", if star { "*" } else { "" }));
    let atom = prop_oneof![word, phrase];
    atom.prop_recursive(3, 8, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} {other})")),
            (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("({one} OR {other})")),
            inner.prop_map(|inner| format!("NOT {inner}")),
        ]
    })
}

/// Which filter, and whether a run of a project, with a status and an error passes it.
type Passing = (&'static str, fn(&RunKey, &str, &str) -> bool);

const FILTERS: [Passing; 4] = [
    ("", |_, _, _| true),
    ("status in (failed, odd)", |_, status, _| {
        status != "completed"
    }),
    (
        "error ~ 'agent' or status = completed",
        |_, status, error| error.to_lowercase().contains("agent") || status == "completed",
    ),
    ("project = p and not status = failed", |key, status, _| {
        key.project.as_str() == "p" && status != "failed"
    }),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_found_is_what_a_look_at_every_word_finds(
        rounds in prop::collection::vec(
            prop::collection::vec(
                (0..12_u8, prop::option::weighted(0.8, record()), 0..4_i64, any::<bool>()),
                1..8,
            ),
            1..4,
        ),
        queries in prop::collection::vec(queries(), 12),
    ) {
        let mut place = Folder::new();
        let mut runs: std::collections::BTreeMap<u8, Run> = std::collections::BTreeMap::new();
        for (round, changes) in rounds.into_iter().enumerate() {
            for (number, record, started, escaped) in changes {
                let key = key(["p", "q"][usize::from(number % 2)], &format!("run-{}", number / 2));
                let Some(mut record) = record else {
                    place.remove(&key);
                    runs.remove(&number);
                    continue;
                };
                let status = ["completed", "failed", "odd"][usize::from(number % 3)];
                record["status"] = status.into();
                if started > 0 {
                    record["startedAt"] = format!("1970-01-01T00:00:00.00{started}Z").into();
                }
                let record = record.to_string();
                let run = Run {
                    key,
                    version: u8::try_from(round).unwrap(),
                    started: (started > 0).then_some(Millis(started)),
                    status,
                    record: if escaped { escape(&record) } else { record },
                };
                place.put(&run);
                runs.insert(number, run);
            }
            place.commit();
            if round == 1 {
                place.open();
            }
            let history = place.history();
            for (number, query) in queries.iter().enumerate() {
                let Ok(parsed) = Query::parse(query) else { continue };
                let matcher = Matcher::new(&parsed);
                for run in runs.values() {
                    let id = run.key.execution.as_str();
                    let matches = matcher.matches(id, &run.record, Going::on(&|| true));
                    prop_assert_eq!(matches.is_some(), by_hand(&parsed, run), "{}", query);
                }
                let (text, passes) = FILTERS[number % FILTERS.len()];
                let mut expected: Vec<&Run> = runs
                    .values()
                    .filter(|run| {
                        let record: Value = serde_json::from_str(&run.record).unwrap();
                        passes(&run.key, run.status, record["error"].as_str().unwrap())
                            && by_hand(&parsed, run)
                    })
                    .collect();
                expected.sort_by_key(|run| {
                    (std::cmp::Reverse(run.started.map(|at| at.0)), run.key.execution.clone(), run.key.project.clone())
                });
                let expected: Vec<RunKey> = expected.iter().map(|run| run.key.clone()).collect();
                let set = |keys: &[RunKey]| keys.iter().cloned().collect::<BTreeSet<_>>();
                let mut best = None;
                for bounds in PATHS {
                    for sort in [Sort::Newest, Sort::Relevance] {
                        let mut page = wanted(query, sort);
                        page.filter = filter(Filter::default(), text);
                        let whole = place.find(&history, &page, bounds);
                        let found = keys(&whole);
                        prop_assert!(whole.next.is_none());
                        prop_assert!(whole.total.is_none_or(|total| total == expected.len()));
                        prop_assert!(whole.total.is_some() || bounds.counted < BOUNDS.counted);
                        match sort {
                            Sort::Newest => prop_assert_eq!(&found, &expected, "{} {}", query, text),
                            // the same runs, and the same order, however they are come by
                            Sort::Relevance => {
                                prop_assert_eq!(set(&found), set(&expected), "{} {}", query, text);
                                let best = best.get_or_insert_with(|| found.clone());
                                prop_assert_eq!(&found, &*best, "{} {}", query, text);
                                let scores = whole.hits.iter().map(|hit| hit.score);
                                prop_assert!(scores.is_sorted_by(|one, other| one >= other));
                            }
                        }
                        // and page by page
                        page.limit = 2;
                        let mut paged = Vec::new();
                        loop {
                            let part = place.find(&history, &page, bounds);
                            prop_assert!(part.hits.len() <= 2);
                            prop_assert_eq!(part.total, whole.total);
                            paged.extend(keys(&part));
                            page.after = part.next;
                            if page.after.is_none() {
                                break;
                            }
                        }
                        prop_assert_eq!(&paged, &found, "{} {}", query, text);
                    }
                }
                // as a plain filter, which no word of the language says
                let mut restricted = wanted(query, Sort::Newest);
                restricted.filter = filter(
                    Filter {
                        project: Some(ProjectId::parse("p").unwrap()),
                        statuses: Some([Status::Failed, Status::from_text("odd")].into()),
                    },
                    text,
                );
                let statuses: std::collections::BTreeMap<&RunKey, &str> =
                    runs.values().map(|run| (&run.key, run.status)).collect();
                let mut expected = expected;
                expected.retain(|key| key.project.as_str() == "p" && statuses[key] != "completed");
                for bounds in PATHS {
                    let page = place.find(&history, &restricted, bounds);
                    prop_assert_eq!(&keys(&page), &expected, "{} {}", query, text);
                }
            }
        }
    }
}

#[test]
fn the_samples_are_found_by_every_word_of_theirs() {
    let mut place = Folder::new();
    let runs: Vec<Run> = samples::RUNS
        .iter()
        .map(|(project, id, record)| Run {
            key: key(project, id),
            version: 0,
            started: None,
            status: "completed",
            record: (*record).to_owned(),
        })
        .collect();
    runs.iter().for_each(|run| place.put(run));
    place.commit();
    let history = place.history();
    let mut words = BTreeSet::new();
    for run in &runs {
        let mut found = Words(Vec::new());
        texts(run.key.execution.as_str(), &run.record, &mut found);
        words.extend(found.0.into_iter().flatten());
    }
    assert!(words.len() > 50);
    for word in words {
        for query in [word.clone(), format!("{word}*"), format!("-{word}")] {
            let parsed = Query::parse(&query).unwrap();
            let expected: BTreeSet<RunKey> = runs
                .iter()
                .filter(|run| by_hand(&parsed, run))
                .map(|run| run.key.clone())
                .collect();
            let page = place.find(&history, &wanted(&query, Sort::Relevance), BOUNDS);
            let found: BTreeSet<RunKey> = keys(&page).into_iter().collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}

#[test]
fn many_hits_are_found_in_their_order_and_a_search_ends_when_its_time_is_over() {
    let mut place = Folder::new();
    for number in 0..3000 {
        let run = Run {
            key: key("p", &format!("run-{number:04}")),
            version: 0,
            started: None,
            status: "completed",
            record:
                json!({ "input": format!("a b word{number} a b {}", "a b ".repeat(number % 7)) })
                    .to_string(),
        };
        place.put(&run);
    }
    place.commit();
    let history = place.history();
    let names = |page: &Page| -> Vec<String> {
        let hits = page.hits.iter();
        hits.map(|hit| hit.summary.id.to_string()).collect()
    };
    for query in [
        "a", "\"a b\"", "w*", "\"b w\"*", "-missing", "a OR w*", "a -word7",
    ] {
        let over = Budget::until(Instant::now());
        let cancelled = Budget::until(Instant::now() + Duration::from_secs(60));
        drop(cancelled.guard());
        let view = &place.opened.as_ref().unwrap().view;
        for sort in [Sort::Relevance, Sort::Newest] {
            for budget in [&over, &cancelled] {
                let ended = search(view, &history, &wanted(query, sort), BOUNDS, budget);
                assert!(matches!(ended, Err(Fault::Spent)), "{query}");
            }
        }
        let mut newest = wanted(query, Sort::Newest);
        newest.limit = 10;
        let page = place.find(&history, &newest, BOUNDS);
        assert_eq!(page.total, None, "{query}");
        let first = (0..3000).filter(|number| !query.ends_with("word7") || *number != 7);
        let first: Vec<String> = first.take(10).map(|at| format!("run-{at:04}")).collect();
        assert_eq!(names(&page), first, "{query}");
        // by relevance, the same best however many are looked for, and however they are come by
        let mut best = wanted(query, Sort::Relevance);
        let whole = names(&place.find(&history, &best, BOUNDS));
        best.limit = 10;
        for bounds in PATHS {
            let page = place.find(&history, &best, bounds);
            assert_eq!(names(&page), whole[..10], "{query}");
        }
    }
    for (query, total) in [("\"a w\"*", 0), ("word29*", 111), ("\"b word29\"*", 111)] {
        let page = place.find(&history, &wanted(query, Sort::Newest), BOUNDS);
        assert_eq!(page.total, Some(total), "{query}");
    }
}

#[test]
fn whoever_comes_second_reads_what_the_first_writes() {
    let mut place = Folder::new();
    let run = Run {
        key: key("p", "one"),
        version: 7,
        started: None,
        status: "completed",
        record: json!({ "input": "needle" }).to_string(),
    };
    place.commit();
    let second = engine::open(&place.cache(), false).unwrap();
    assert!(second.writer.is_none());
    assert!(!engine::is_free(&place.cache()).unwrap());
    assert_eq!(second.view.version_of(&run.key).unwrap(), None);
    place.put(&run);
    place.commit();
    second.view.reload().unwrap();
    assert_eq!(
        second.view.version_of(&run.key).unwrap(),
        Some(Version([7; 16]))
    );
    let generation = second.view.generation().unwrap();
    assert!(generation.is_some());
    place.opened = None;
    let third = engine::open(&place.cache(), false).unwrap();
    assert!(third.writer.is_some());
    assert_eq!(third.view.generation().unwrap(), generation);
    let mut runs = Vec::new();
    third
        .view
        .each_run(|key, version| runs.push((key, version)))
        .unwrap();
    assert_eq!(runs, [(run.key, Some(Version([7; 16])))]);
}

#[test]
fn a_run_whose_file_is_away_for_a_moment_is_put_in_when_it_is_back() {
    let mut folder = Folder::new();
    let record = r#"{"id":"x","output":"needle"}"#;
    samples::save_as_engine(&folder.root(), "p", "x", record).unwrap();
    let history = folder.history();
    let key = key("p", "x");
    let summary = history.summary(&key).unwrap();
    let file = folder.root().join("p/executions/x.json");
    let kept = std::fs::read(&file).unwrap();
    let moment = Duration::from_millis(50);
    let wanted = wanted("needle", Sort::Newest);
    for torn in [true, false] {
        let away = || match torn {
            true => std::fs::write(&file, "{").unwrap(),
            false => std::fs::remove_file(&file).unwrap(),
        };
        let mut lacking = Lacking::default();
        let mut now = Instant::now();
        away();
        let put = lacking.put(&history, folder.writer(), &summary, true, now);
        put.unwrap();
        assert!(lacking.is_waited_for());
        std::fs::write(&file, &kept).unwrap();
        let mut try_again = |folder: &mut Folder, now| {
            let tried = lacking.try_again(&history, folder.writer(), now).unwrap();
            (tried, lacking.is_waited_for())
        };
        assert_eq!(try_again(&mut folder, now), (0, true));
        now += moment;
        assert_eq!(try_again(&mut folder, now), (1, false));
        folder.commit();
        assert_eq!(folder.find(&history, &wanted, BOUNDS).hits.len(), 1);
        // and when it is not, that is believed
        away();
        let mut lacking = Lacking::default();
        let put = lacking.put(&history, folder.writer(), &summary, true, now);
        put.unwrap();
        let mut try_again = |folder: &mut Folder, now| {
            let tried = lacking.try_again(&history, folder.writer(), now).unwrap();
            (tried, lacking.is_waited_for())
        };
        now += moment;
        assert_eq!(try_again(&mut folder, now), (1, false));
        folder.commit();
        std::fs::write(&file, &kept).unwrap();
        assert_eq!(folder.find(&history, &wanted, BOUNDS).hits.len(), 0);
        now += moment * 2;
        assert_eq!(try_again(&mut folder, now), (1, false));
        folder.commit();
        assert_eq!(folder.find(&history, &wanted, BOUNDS).hits.len(), 1);
    }
    // where nothing can be read now, nothing is believed
    let put = || Lacking::default().put(&history, folder.writer(), &summary, true, Instant::now());
    let put = refusing_to_open(Errno::MFILE, put);
    assert!(matches!(put, Err(engine::EngineError::Io(_))));
}
