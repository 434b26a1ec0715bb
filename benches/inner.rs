//! The inner parts, each by itself: what a record costs to extract, a change to apply, a page to
//! make, an index to keep and to restore, a filter to evaluate.
//!
//! `cargo bench --bench inner`; the numbers that users see are in `numbers`.

#[path = "numbers/random.rs"]
mod random;
#[path = "numbers/records.rs"]
#[allow(dead_code)] // laying out is for the other bench
mod records;

use std::hint::black_box;
use std::time::Duration;

use chrono_tz::Tz;
use criterion::{BatchSize, Criterion, Throughput};
use runlog::filter::{ErrorText, Number, StatusText, Subject, Text, Verdict, Where};
use runlog::index::{
    Filter, From, Index, Instance, Liveness, Report, Saving, Snapshot, SnapshotError,
};
use runlog::model::extract::extract;
use runlog::model::{
    ExecutionId, Facts, Fingerprint, Millis, Money, ProjectId, RunKey, Seen, Stamp, Status, Version,
};
use runlog::store::version_of;

const LIVENESS: Liveness = Liveness {
    stale_after: Duration::from_secs(3600),
};

/// What reading run number `number` reports, its text being short.
fn report(number: usize) -> Option<Report> {
    let run = records::run(number, 0.02);
    let key = RunKey {
        project: ProjectId::parse(run.project).ok()?,
        execution: ExecutionId::parse(&run.id).ok()?,
    };
    let seen = Seen {
        stamp: Stamp::default(),
        version: version_of(run.text.as_bytes()),
        facts: extract(run.text.as_bytes(), &key).ok()?,
        racy: false,
    };
    Some(Report::Seen(key, Box::new(seen)))
}

fn index_of(runs: usize) -> Index {
    let mut index = Index::new(Instance(1), LIVENESS);
    let reports: Vec<Report> = (0..runs).filter_map(report).collect();
    for part in reports.chunks(4096) {
        index.apply(part.to_vec());
    }
    index
}

fn extraction(criterion: &mut Criterion) {
    let run = records::run(7, 1.0);
    let (Ok(project), Ok(execution)) = (ProjectId::parse(run.project), ExecutionId::parse(&run.id))
    else {
        return;
    };
    let key = RunKey { project, execution };
    let mut group = criterion.benchmark_group("extract");
    // many, because a processor learns a single one by heart
    let many: Vec<String> = (0..400)
        .map(|number| records::run(number, 1.0).text)
        .collect();
    group.throughput(Throughput::Bytes(
        many.iter().map(|text| text.len() as u64).sum(),
    ));
    group.bench_function("400 usual records", |bencher| {
        bencher.iter(|| {
            let steps =
                |text: &String| extract(text.as_bytes(), &key).map_or(0, |facts| facts.step_count);
            many.iter().map(steps).sum::<u32>()
        });
    });
    group.bench_function("the same, skipped by serde_json", |bencher| {
        let sound = |text: &String| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
        bencher.iter(|| many.iter().filter(|text| sound(text)).count());
    });
    for (name, text) in [
        ("a usual record", records::run(7, 1.0).text),
        ("a large record", records::run(7, 60.0).text),
        (
            "small members",
            format!(
                "{{\"a\":[{}0]}}",
                "{\"id\": 1, \"b\": null, \"c\": \"text\"},\n  ".repeat(400)
            ),
        ),
    ] {
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function(name, |bencher| {
            bencher
                .iter(|| extract(black_box(text.as_bytes()), &key).map(|facts| facts.step_count));
        });
    }
    group.bench_function("the version of a usual record", |bencher| {
        bencher.iter(|| version_of(black_box(run.text.as_bytes())));
    });
    group.finish();
}

fn changes(criterion: &mut Criterion, sizes: &[usize]) {
    for &runs in sizes {
        let mut index = index_of(runs);
        let mut group = criterion.benchmark_group(format!("{runs} runs"));
        let mut number = 0;
        group.bench_function("apply the save of a known run", |bencher| {
            let next = || {
                number = (number + 7919) % runs;
                report(number).map(|report| match report {
                    Report::Seen(key, mut seen) => {
                        seen.version.0[0] = seen.version.0[0].wrapping_add(number as u8 | 1);
                        seen.version.0[1..9].copy_from_slice(&number.to_le_bytes());
                        vec![Report::Seen(key, seen)]
                    }
                    other => vec![other],
                })
            };
            bencher.iter_batched(
                next,
                |batch| index.apply(batch.unwrap_or_default()),
                BatchSize::LargeInput,
            );
        });
        let mut next_run = runs;
        group.bench_function("apply 256 new runs and take them out", |bencher| {
            let next = || {
                let batch: Vec<Report> = (next_run..next_run + 256).filter_map(report).collect();
                next_run += 1;
                let gone: Vec<Report> = batch
                    .iter()
                    .filter_map(|report| match report {
                        Report::Seen(key, _) => Some(Report::Gone(key.clone())),
                        _ => None,
                    })
                    .collect();
                (batch, gone)
            };
            bencher.iter_batched(
                next,
                |(come, gone)| index.apply(come) + index.apply(gone),
                BatchSize::LargeInput,
            );
        });
        group.bench_function("apply 256 known runs that changed", |bencher| {
            let mut turn = 0_u8;
            let next = || {
                turn = turn.wrapping_add(1);
                (0..256)
                    .filter_map(|at| report(at * 7919 % runs))
                    .map(|report| match report {
                        Report::Seen(key, mut seen) => {
                            seen.version.0[0] = turn;
                            Report::Seen(key, seen)
                        }
                        other => other,
                    })
                    .collect::<Vec<_>>()
            };
            bencher.iter_batched(next, |batch| index.apply(batch), BatchSize::LargeInput);
        });
        for (name, at) in [("first page of 50", 0), ("middle page of 50", runs / 2)] {
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    index
                        .page(&Filter::default(), &From::Offset(at), 50)
                        .at
                        .total
                });
            });
        }
        let page = index.page(&Filter::default(), &From::Offset(0), 50);
        group.bench_function("that page as JSON", |bencher| {
            bencher.iter(|| serde_json::to_vec(&page.executions).map(|text| text.len()));
        });
        group.throughput(Throughput::Elements(runs as u64));
        group.bench_function("write a snapshot", |bencher| {
            bencher.iter(|| snapshot(&index).len());
        });
        let kept = snapshot(&index);
        group.bench_function("restore a snapshot", |bencher| {
            bencher.iter(|| {
                let snapshot = Snapshot::open(&kept[..], b"here")?;
                let index = snapshot.restore(Instance(2), LIVENESS)?;
                Ok::<_, SnapshotError>(index.runs())
            });
        });
        group.finish();
    }
}

/// A run as it was read.
struct Run {
    key: RunKey,
    facts: Facts,
}

impl Run {
    fn numbered(number: usize) -> Option<Self> {
        match report(number)? {
            Report::Seen(key, seen) => Some(Self {
                key,
                facts: seen.facts,
            }),
            _ => None,
        }
    }
}

impl Subject for Run {
    fn status(&self) -> StatusText<'_> {
        match &self.facts.status {
            None => StatusText::Unknown,
            Some(Status::Other(text)) => StatusText::Other(text),
            Some(Status::Queued) => StatusText::Known(0),
            Some(Status::Running) => StatusText::Known(1),
            Some(Status::Paused) => StatusText::Known(2),
            Some(Status::Completed) => StatusText::Known(3),
            Some(Status::Failed) => StatusText::Known(4),
            Some(Status::Cancelled) => StatusText::Known(5),
        }
    }

    fn number(&self, which: Number) -> Option<i64> {
        match which {
            Number::StartedAt => self.facts.started_at.map(|at| at.0),
            Number::CompletedAt => self.facts.completed_at.map(|at| at.0),
            Number::Duration => self.facts.duration.map(|took| took.0),
            Number::Cost => self.facts.cost.map(Money::nanos),
            Number::Steps => Some(self.facts.step_count.into()),
            Number::Retries => self.facts.retry_count,
            Number::Tokens => self.facts.tokens.total,
            Number::InputTokens => self.facts.tokens.input,
            Number::OutputTokens => self.facts.tokens.output,
            Number::UpdatedAt | Number::StaleAt | Number::SizeBytes => None,
        }
    }

    fn text(&self, which: Text) -> Option<&str> {
        match which {
            Text::Id => Some(self.key.execution.as_str()),
            Text::Project => Some(self.key.project.as_str()),
            Text::Label => self.facts.label.as_deref(),
            Text::Model => self.facts.model.as_deref(),
            Text::Note => None,
        }
    }

    fn error(&self) -> ErrorText<'_> {
        match &self.facts.error {
            None => ErrorText::None,
            Some(text) if self.facts.error_truncated => ErrorText::Cut(text),
            Some(text) => ErrorText::Whole(text),
        }
    }

    fn error_group(&self) -> Option<Fingerprint> {
        self.facts.fingerprint
    }

    fn version(&self) -> Version {
        Version::default()
    }

    fn any_node(&self, _: bool, _: impl FnMut(&str) -> bool) -> Option<bool> {
        Some(false)
    }
}

fn filters(criterion: &mut Criterion, count: usize) {
    let runs: Vec<Run> = (0..count).filter_map(Run::numbered).collect();
    let mut group = criterion.benchmark_group(format!("filter over {count} runs"));
    for text in [
        "status = failed",
        "status in (failed, cancelled) and costUSD > 0.5 and startedAt >= -7d and not error ~ \"timeout\"",
        "costUSD > 0.001 and duration between 1s and 2m",
        "label ~ \"the 9\" or id ~ abc",
        "label ~ größe",
        "error ~ timeout",
        "not (label ~ q or model ~ w or id ~ u or project ~ y or error ~ j)",
    ] {
        let Ok(read) = Where::parse(text) else {
            continue;
        };
        let now = Millis(1_760_511_745_310);
        group.bench_function(text, |bencher| {
            bencher.iter(|| {
                let bound = read.at(now, Tz::Europe__Berlin);
                let passes = |run: &&Run| bound.matches(*run) == Verdict::Passes;
                runs.iter().filter(passes).count()
            });
        });
    }
    group.bench_function(
        "the second of them written by hand, the error as it is spelt",
        |bencher| {
            let from = 1_760_511_745_310 - 7 * 86_400_000;
            let wanted = [Some(Status::Failed), Some(Status::Cancelled)];
            bencher.iter(|| {
                let passes = |run: &&Run| {
                    wanted.contains(&run.facts.status)
                        && run
                            .facts
                            .cost
                            .is_some_and(|cost| cost.nanos() > 500_000_000)
                        && run.facts.started_at.is_some_and(|at| at.0 >= from)
                        && !run
                            .facts
                            .error
                            .as_ref()
                            .is_some_and(|error| error.contains("timeout"))
                };
                runs.iter().filter(passes).count()
            });
        },
    );
    let listed = Where::parse("startedAt >= monday and startedAt < today and error ~ timeout");
    if let Ok(read) = listed {
        group.bench_function("binding three tests", |bencher| {
            bencher.iter(|| read.at(black_box(Millis(1_760_511_745_310)), Tz::Europe__Berlin));
        });
    }
    group.finish();
}

fn snapshot(index: &Index) -> Vec<u8> {
    let mut saving = Saving::of(b"here");
    let mut bytes = Vec::new();
    while saving.next(index, &mut bytes) {}
    bytes
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let mut criterion = Criterion::default()
        .configure_from_args()
        .sample_size(20)
        .measurement_time(Duration::from_secs(2))
        .warm_up_time(Duration::from_millis(300));
    extraction(&mut criterion);
    filters(&mut criterion, if quick { 1_000 } else { 100_000 });
    changes(
        &mut criterion,
        if quick {
            &[1_000]
        } else {
            &[1_000, 100_000, 1_000_000]
        },
    );
    criterion.final_summary();
}
