//! `runlog series`: runs by the hour, day, week or month, with bars where a person reads.

use std::collections::HashSet;

use clap::{Args, ValueEnum};

use super::Failure;
use super::args::{Common, FilterArgs, answered};
use super::client::Client;
use super::json::Json;
use super::list::{cost, counted, took};
use super::stats::bar;
use super::table::{Cell, Column, Table};
use super::terminal::{Out, Paint};
use super::time::{Clock, grouped};

/// How wide a bar may be.
const BAR: std::ops::RangeInclusive<usize> = 8..=24;

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a bucket: start, executions, completed, failed, \
    totalCostUSD, totalTokens, duration.p50, duration.p95"
)]
pub(super) struct SeriesArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    filter: FilterArgs,
    /// How long a bucket is
    #[arg(long, value_enum, default_value_t = Bucket::Day)]
    bucket: Bucket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Bucket {
    Hour,
    Day,
    Week,
    Month,
}

impl Bucket {
    fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// How its beginning is written.
    fn format(self) -> &'static str {
        match self {
            Self::Hour => "%Y-%m-%d %H:%M",
            Self::Day | Self::Week => "%a %Y-%m-%d",
            Self::Month => "%Y-%m",
        }
    }
}

pub(super) async fn run(args: &SeriesArgs, client: &mut Client) -> Result<u8, Failure> {
    let clock = args.filter.zone.clock()?;
    let mut params = args.filter.params()?;
    params.insert("bucket".into(), args.bucket.word().into());
    let json = &args.common.json;
    answered(
        client,
        "executions/series",
        params,
        json,
        Some("buckets"),
        |result, out| shown(result, out, &clock, args.bucket),
    )
    .await
}

fn shown(result: &Json, out: Out, clock: &Clock, bucket: Bucket) -> String {
    let buckets = result.at("buckets").items();
    let runs = |bucket: &Json| bucket.at("executions").number().unwrap_or(0.0);
    let most = buckets.iter().map(runs).fold(1.0, f64::max);
    let width = (out.width().unwrap_or(0) / 5).clamp(*BAR.start(), *BAR.end());
    let mut table = Table::new([
        Column::new(match bucket {
            Bucket::Hour => "HOUR",
            Bucket::Day => "DAY",
            Bucket::Week => "WEEK",
            Bucket::Month => "MONTH",
        }),
        Column::numbers("RUNS"),
        Column::new(""),
        Column::numbers("FAILED").leaving(1),
        Column::numbers("COST").leaving(2),
        Column::numbers("TOKENS").leaving(3),
        Column::numbers("P50").leaving(4),
        Column::numbers("P95").leaving(5),
    ]);
    let start_of = |one: &Json| clock.formatted(one.at("start").word(), bucket.format());
    // where clocks go back there are two hours of one name
    let starts: Vec<String> = buckets.iter().map(start_of).collect();
    let twice: HashSet<&String> = starts
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| &pair[0])
        .collect();
    for (one, shown) in buckets.iter().zip(&starts) {
        let start = one.at("start").word();
        let shown = match twice.contains(shown) {
            true => format!("{shown} {}", clock.formatted(start, "%Z")),
            false => shown.clone(),
        };
        let failed = one.at("failed");
        table.row([
            Cell::both(shown, start),
            counted(one.at("executions")),
            Cell::both(
                bar(runs(one) / most, width),
                one.at("completed").to_string(),
            )
            .painted(Paint::Cyan),
            counted(failed).painted(if failed.count() > 0 {
                Paint::Red
            } else {
                Paint::Plain
            }),
            cost(one.at("totalCostUSD")),
            counted(one.at("totalTokens")),
            took(one.at("duration").at("p50")),
            took(one.at("duration").at("p95")),
        ]);
    }
    let mut text = table.text(out);
    if out.is_terminal() && table.is_empty() {
        text.push_str(&out.remark("no runs", Paint::Dim));
    }
    for (member, one, several) in [
        (
            "undated",
            "run that does not say when it began",
            "runs that do not say when they began",
        ),
        (
            "outside",
            "run that began long before or after these",
            "runs that began long before or after these",
        ),
    ] {
        let count = result.at(member).at("executions");
        let what = match count.count() {
            0 => continue,
            1 => one,
            _ => several,
        };
        let told = format!("and {} {what}", grouped(&count.to_string()));
        out.aside(&told, &mut text);
    }
    text
}
