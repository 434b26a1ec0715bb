//! `runlog nodes`: the steps of runs, node by node.

use clap::{Args, ValueEnum};

use super::Failure;
use super::args::{Common, FilterArgs, LimitArgs, answered};
use super::client::Client;
use super::list::{cost, counted, took};
use super::table::{Cell, Column, Table};
use super::terminal::Paint;
use super::time::grouped;

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a node: nodeId, runs, steps, failures, duration.p50, \
    duration.p95, duration.max, totalTokens, costUSD"
)]
pub(super) struct NodesArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    filter: FilterArgs,
    /// Which nodes come first
    #[arg(long, value_enum, default_value_t = Order::Slowest)]
    order: Order,
    #[command(flatten)]
    limit: LimitArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Order {
    /// Those that take longest
    Slowest,
    /// Those that fail most
    MostFailing,
    /// Those with the most steps
    MostUsed,
    /// Those that cost most
    MostExpensive,
}

pub(super) async fn run(args: &NodesArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut params = args.filter.params()?;
    let order = match args.order {
        Order::Slowest => "slowest",
        Order::MostFailing => "mostFailing",
        Order::MostUsed => "mostUsed",
        Order::MostExpensive => "mostExpensive",
    };
    params.insert("orderBy".into(), order.into());
    params.insert("limit".into(), args.limit.count().into());
    let json = &args.common.json;
    answered(
        client,
        "nodes/stats",
        params,
        json,
        Some("nodes"),
        |result, out| {
            let mut table = Table::new([
                Column::new("NODE").cut_to(14),
                Column::numbers("RUNS").leaving(4),
                Column::numbers("STEPS"),
                Column::numbers("FAILED"),
                Column::numbers("P50"),
                Column::numbers("P95").leaving(1),
                Column::numbers("MAX").leaving(5),
                Column::numbers("TOKENS").leaving(3),
                Column::numbers("COST").leaving(2),
            ]);
            for node in result.at("nodes").items() {
                let (duration, failures) = (node.at("duration"), node.at("failures"));
                let paint = if failures.count() > 0 {
                    Paint::Red
                } else {
                    Paint::Plain
                };
                table.row([
                    Cell::new(node.at("nodeId").word()),
                    counted(node.at("runs")),
                    counted(node.at("steps")),
                    counted(failures).painted(paint),
                    took(duration.at("p50")),
                    took(duration.at("p95")),
                    took(duration.at("max")),
                    counted(node.at("totalTokens")),
                    cost(node.at("costUSD")),
                ]);
            }
            let mut text = table.text(out);
            let truncated = result.at("truncatedRuns");
            if out.is_terminal() && table.is_empty() {
                text.push_str("no steps\n");
            }
            let (shown, total) = (result.at("nodes").items().len(), result.at("total"));
            if (shown as u64) < total.count() {
                let [shown, total] =
                    [shown.to_string(), total.to_string()].map(|count| grouped(&count));
                let what = format!("{shown} of {total} nodes");
                let others = "--order says which";
                args.limit.tell_more(&what, others, out, &mut text);
            }
            if truncated.count() > 0 {
                let runs = match truncated.count() {
                    1 => "1 run has".to_owned(),
                    _ => format!("{} runs have", grouped(&truncated.to_string())),
                };
                let told = format!("{runs} more steps than are counted");
                out.aside(&told, &mut text);
            }
            text
        },
    )
    .await
}
