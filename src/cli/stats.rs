//! `runlog stats`: counts and sums.

use clap::Args;

use super::Failure;
use super::args::{Common, FilterArgs, answered};
use super::client::Client;
use super::json::Json;
use super::list::dollars;
use super::terminal::{Out, Paint, columns, status_paint};
use super::time::{grouped, span};

/// The statuses of which there is a count each.
const COUNTED: [&str; 7] = [
    "completed",
    "failed",
    "running",
    "queued",
    "paused",
    "cancelled",
    "other",
];
/// How wide the names are, and with the numbers behind them.
const NAME: usize = 12;
const WIDTH: usize = 26;
/// How wide a bar is at most.
const BAR: usize = 30;

#[derive(Debug, Args)]
#[command(after_help = "In a pipe, a line a number: its name, the number")]
pub(super) struct StatsArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    filter: FilterArgs,
}

pub(super) async fn run(args: &StatsArgs, client: &mut Client) -> Result<u8, Failure> {
    let params = args.filter.params()?;
    let json = &args.common.json;
    answered(client, "executions/stats", params, json, None, shown).await
}

/// A name and what it is, a line each.
fn shown(result: &Json, out: Out) -> String {
    let mut lines = Lines {
        out,
        text: String::new(),
    };
    let total = result.at("totalExecutions");
    lines.line(
        "runs",
        &grouped(&total.to_string()),
        &total.to_string(),
        None,
    );
    let all = total.number().unwrap_or(0.0).max(1.0);
    for name in COUNTED {
        let count = result.at(name);
        if count.count() > 0 || !out.is_terminal() {
            let share = count.number().unwrap_or(0.0) / all;
            let plain = count.to_string();
            let bar = Some((share, status_paint(name)));
            lines.line(name, &grouped(&plain), &plain, bar);
        }
    }
    let rate = result.at("successRate");
    lines.line("success", &percent(rate), &plain(rate), None);
    let sum = result.at("totalCostUSD");
    lines.line("cost", &dollars(sum), &sum.to_string(), None);
    for (name, member) in [
        ("tokens", "totalTokens"),
        ("tokens in", "inputTokens"),
        ("tokens out", "outputTokens"),
    ] {
        let count = result.at(member).to_string();
        lines.line(name, &grouped(&count), &count, None);
    }
    let mean = result.at("averageDuration");
    let shown = mean.number().map(span).unwrap_or_default();
    lines.line("mean time", &shown, &plain(mean), None);
    // with a filter every run is looked at anyway
    if !matches!(result.at("duration"), Json::Null) {
        lines.spread("time", result.at("duration"), |value| {
            value.number().map(span).unwrap_or_default()
        });
        lines.spread("cost", result.at("cost"), dollars);
    }
    lines.text
}

/// A share for a person.
pub(super) fn percent(share: &Json) -> String {
    match share.number() {
        Some(share) => format!("{:.1} %", share * 100.0),
        None => String::new(),
    }
}

fn plain(value: &Json) -> String {
    match value {
        Json::Null => String::new(),
        value => value.to_string(),
    }
}

/// A bar of eighths for a share of one, which has `width` columns.
pub(super) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss
    )]
    // at most a few hundred
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    // what there is a little of is seen, where there is room
    let eighths = if share > 0.0 && width > 0 {
        eighths.max(1)
    } else {
        0
    };
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

struct Lines {
    out: Out,
    text: String,
}

impl Lines {
    /// A line with a number, behind which a bar may stand for its share of what is longest.
    fn line(&mut self, name: &str, shown: &str, plain: &str, share: Option<(f64, Paint)>) {
        if !self.out.is_terminal() {
            self.text.push_str(&format!("{name}\t{plain}\n"));
            return;
        }
        if shown.is_empty() {
            return;
        }
        let width = self.out.width().unwrap_or(WIDTH);
        // a narrow terminal takes from the space between them
        let wide = width.min(WIDTH);
        let number = columns(shown);
        let before = NAME.min(wide.saturating_sub(number)).max(columns(name) + 1);
        let number = number.max(wide.saturating_sub(before));
        let name = self.out.paint(&format!("{name:<before$}"), Paint::Bold);
        let line = match share {
            Some((share, paint)) => {
                let bar = bar(share, BAR.min(width.saturating_sub(WIDTH + 2)));
                format!("{name}{shown:>number$}  {}", self.out.paint(&bar, paint))
            }
            None => format!("{name}{shown:>number$}"),
        };
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// How amounts are spread.
    fn spread(&mut self, name: &str, spread: &Json, shown: impl Fn(&Json) -> String) {
        if spread.at("count").count() == 0 {
            return;
        }
        let most = spread.at("max").number().unwrap_or(0.0);
        for place in ["min", "p50", "p90", "p95", "p99", "max"] {
            let value = spread.at(place);
            let share = match most {
                0.0 => 0.0,
                most => value.number().unwrap_or(0.0) / most,
            };
            let name = format!("{name} {place}");
            let bar = Some((share, Paint::Plain));
            self.line(&name, &shown(value), &plain(value), bar);
        }
    }
}
