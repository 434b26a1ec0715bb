//! What the text index finds against a plain look at every word of every record.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::budget::Budget;
use super::engine::{self, Entry, Fault, Opened, Writer};
use super::matching::Matcher;
use super::query::{Phrase, Query};
use super::texts::texts;
use super::token::Tokens;
use super::{Place, Sort, Wanted};
use crate::api::samples;
use crate::model::{ExecutionId, Millis, ProjectId, RunKey, Status, Version};
use crate::store::Cache;

/// A text index in a folder of its own.
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
        place.open();
        place
    }

    fn cache(&self) -> Cache {
        Cache::of(
            self.folder.path().to_owned(),
            std::path::Path::new("/srv/projects"),
        )
    }

    /// Closes it, and opens it again.
    fn open(&mut self) {
        self.opened = None;
        self.opened = Some(engine::open(&self.cache(), false).unwrap());
    }

    fn writer(&mut self) -> &mut Writer {
        self.opened.as_mut().unwrap().writer.as_mut().unwrap()
    }

    fn commit(&mut self) {
        self.writer().commit().unwrap();
        self.opened.as_ref().unwrap().view.reload().unwrap();
    }

    fn put(&mut self, run: &Run) {
        let entry = Entry {
            key: &run.key,
            version: Version([run.version; 16]),
            started: run.started,
            status: Some(run.status),
            record: Some(&run.record),
            replaces: true,
        };
        self.writer().put(&entry).unwrap();
    }

    fn find(&self, wanted: &Wanted) -> (usize, Vec<Place>) {
        let budget = Budget::until(Instant::now() + Duration::from_secs(60));
        let mut places = Vec::new();
        let view = &self.opened.as_ref().unwrap().view;
        let total = view.search(wanted, &budget, |place| {
            places.push(place);
            places.len() < wanted.limit
        });
        (total.unwrap(), places)
    }
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
        project: None,
        statuses: None,
        sort,
        after: None,
        limit: 1000,
    }
}

/// Whether a record has what is looked for, word by word.
fn by_hand(query: &Query, record: &str) -> bool {
    match query {
        Query::All(parts) => parts.iter().all(|part| by_hand(part, record)),
        Query::Any(parts) => parts.iter().any(|part| by_hand(part, record)),
        Query::Not(part) => !by_hand(part, record),
        Query::Phrase(phrase) => {
            let mut found = false;
            texts(record, |_, text| {
                let mut words = Vec::new();
                let mut tokens = Tokens::of(text);
                while tokens.step().is_some() {
                    words.push(tokens.text().to_owned());
                }
                found |= (0..words.len()).any(|at| stands(phrase, &words[at..]));
                true
            });
            found
        }
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
fn record() -> impl Strategy<Value = String> {
    let steps = prop::collection::vec((text(), value(), value()), 0..3);
    (value(), text(), text(), steps, any::<bool>()).prop_map(|(input, output, error, steps, escaped)| {
        let steps: Vec<Value> = steps
            .into_iter()
            .map(|(node, input, output)| json!({ "nodeId": node, "input": input, "output": output }))
            .collect();
        let record = json!({
            "input": input, "output": output, "error": error, "status": "agent", "steps": steps
        });
        let text = record.to_string();
        if !escaped {
            return text;
        }
        let units = text.encode_utf16().map(|unit| match char::from_u32(unit.into()) {
            Some(ascii) if ascii.is_ascii() => ascii.to_string(),
            _ => format!("\\u{unit:04x}"),
        });
        units.collect()
    })
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_found_is_what_a_look_at_every_word_finds(
        rounds in prop::collection::vec(
            prop::collection::vec((0..12_u8, prop::option::weighted(0.8, record()), 0..4_i64), 1..8),
            1..4,
        ),
        queries in prop::collection::vec(queries(), 12),
    ) {
        let mut place = Folder::new();
        let mut runs: std::collections::BTreeMap<u8, Run> = std::collections::BTreeMap::new();
        for (round, changes) in rounds.into_iter().enumerate() {
            for (number, record, started) in changes {
                let key = key(["p", "q"][usize::from(number % 2)], &format!("run-{}", number / 2));
                let Some(record) = record else {
                    place.writer().remove(&key);
                    runs.remove(&number);
                    continue;
                };
                let run = Run {
                    key,
                    version: u8::try_from(round).unwrap(),
                    started: (started > 0).then_some(Millis(started)),
                    status: ["completed", "failed", "odd"][usize::from(number % 3)],
                    record,
                };
                place.put(&run);
                runs.insert(number, run);
            }
            place.commit();
            if round == 1 {
                place.open();
            }
            for query in &queries {
                let Ok(parsed) = Query::parse(query) else { continue };
                let matcher = Matcher::new(&parsed);
                let mut expected: Vec<&Run> = runs
                    .values()
                    .filter(|run| by_hand(&parsed, &run.record))
                    .collect();
                for run in runs.values() {
                    let matches = matcher.matches(&run.record);
                    prop_assert_eq!(matches.is_some(), by_hand(&parsed, &run.record), "{}", query);
                }
                expected.sort_by_key(|run| {
                    (std::cmp::Reverse(run.started.map(|at| at.0)), run.key.execution.clone(), run.key.project.clone())
                });
                let names = |runs: &[&Run]| -> Vec<RunKey> { runs.iter().map(|run| run.key.clone()).collect() };
                let (total, found) = place.find(&wanted(query, Sort::Newest));
                let found: Vec<RunKey> = found.into_iter().map(|place| place.key).collect();
                prop_assert_eq!(&found, &names(&expected), "{}", query);
                prop_assert_eq!(total, expected.len());
                // the same runs by relevance, restricted, and page by page
                let (_, scored) = place.find(&wanted(query, Sort::Relevance));
                let set = |keys: &[RunKey]| keys.iter().cloned().collect::<BTreeSet<_>>();
                let scored: Vec<RunKey> = scored.into_iter().map(|place| place.key).collect();
                prop_assert_eq!(set(&scored), set(&found));
                for sort in [Sort::Newest, Sort::Relevance] {
                    let mut page = wanted(query, sort);
                    page.limit = 2;
                    let mut paged = Vec::new();
                    loop {
                        let (total, places) = place.find(&page);
                        prop_assert_eq!(total, found.len());
                        paged.extend(places.iter().map(|place| place.key.clone()));
                        page.after = places.last().cloned();
                        if places.len() < 2 {
                            break;
                        }
                    }
                    prop_assert_eq!(&paged, if sort == Sort::Newest { &found } else { &scored });
                }
                let restricted = Wanted {
                    project: Some(ProjectId::parse("p").unwrap()),
                    statuses: Some([Status::Failed, Status::from_text("odd")].into()),
                    ..wanted(query, Sort::Newest)
                };
                let (_, found) = place.find(&restricted);
                let found: Vec<RunKey> = found.into_iter().map(|place| place.key).collect();
                expected.retain(|run| run.key.project.as_str() == "p" && run.status != "completed");
                prop_assert_eq!(found, names(&expected), "{}", query);
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
    let mut words = BTreeSet::new();
    for run in &runs {
        texts(&run.record, |_, text| {
            let mut tokens = Tokens::of(text);
            while tokens.step().is_some() {
                words.insert(tokens.text().to_owned());
            }
            true
        });
    }
    assert!(words.len() > 50);
    for word in words {
        for query in [word.clone(), format!("{word}*"), format!("-{word}")] {
            let parsed = Query::parse(&query).unwrap();
            let expected: BTreeSet<RunKey> = runs
                .iter()
                .filter(|run| by_hand(&parsed, &run.record))
                .map(|run| run.key.clone())
                .collect();
            let (_, found) = place.find(&wanted(&query, Sort::Relevance));
            let found: BTreeSet<RunKey> = found.into_iter().map(|place| place.key).collect();
            assert_eq!(found, expected, "{query}");
        }
    }
}

#[test]
fn a_search_ends_when_its_time_is_over() {
    let mut place = Folder::new();
    for number in 0..3000 {
        place.put(&Run {
            key: key("p", &format!("run-{number}")),
            version: 0,
            started: None,
            status: "completed",
            record: json!({ "input": format!("a b word{number} a b a b") }).to_string(),
        });
    }
    place.commit();
    let view = &place.opened.as_ref().unwrap().view;
    for query in ["a", "\"b b\"", "w*", "\"b w\"*", "-missing", "a OR w*"] {
        let over = Budget::until(Instant::now());
        let ended = view.search(&wanted(query, Sort::Relevance), &over, |_| true);
        assert!(matches!(ended, Err(Fault::Spent)), "{query}");
        let cancelled = Budget::until(Instant::now() + Duration::from_secs(60));
        drop(cancelled.guard());
        let ended = view.search(&wanted(query, Sort::Relevance), &cancelled, |_| true);
        assert!(matches!(ended, Err(Fault::Spent)), "{query}");
    }
    assert_eq!(place.find(&wanted("\"a w\"*", Sort::Newest)).0, 0);
    assert_eq!(place.find(&wanted("\"b word\"*", Sort::Newest)).0, 3000);
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
