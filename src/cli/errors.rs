//! `runlog errors`: the errors of runs, by what they have in common.

use clap::Args;

use super::Failure;
use super::args::{Common, FilterArgs, LimitArgs, answered};
use super::client::Client;
use super::list::{counted, relative};
use super::table::{Cell, Column, Table};
use super::terminal::Paint;
use super::time::grouped;

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a group: count, lastSeenAt, firstSeenAt, fingerprint, \
    example, pattern"
)]
pub(super) struct ErrorsArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    limit: LimitArgs,
}

pub(super) async fn run(args: &ErrorsArgs, client: &mut Client) -> Result<u8, Failure> {
    let clock = args.filter.zone.clock()?;
    let mut params = args.filter.params()?;
    params.insert("limit".into(), args.limit.count().into());
    let json = &args.common.json;
    answered(
        client,
        "errors/groups",
        params,
        json,
        Some("groups"),
        |result, out| {
            let mut table = Table::new([
                Column::numbers("RUNS"),
                Column::new("LAST SEEN").leaving(1),
                Column::new("FIRST SEEN").leaving(3),
                Column::new("GROUP").leaving(2),
                Column::new("EXAMPLE").cut_to(20).leaving(4),
                Column::new("ERROR").cut_to(24),
            ]);
            for group in result.at("groups").items() {
                let (last, first) = (
                    group.at("lastSeenAt").word(),
                    group.at("firstSeenAt").word(),
                );
                let example = group.at("example");
                let name = format!(
                    "{}/{}",
                    example.at("projectId").word(),
                    example.at("executionId").word()
                );
                table.row([
                    counted(group.at("count")),
                    Cell::both(relative(&clock, last), last),
                    Cell::both(relative(&clock, first), first),
                    Cell::new(group.at("fingerprint").word()),
                    Cell::new(name),
                    Cell::new(group.at("pattern").word()).painted(Paint::Red),
                ]);
            }
            let mut text = table.text(out);
            if out.is_terminal() && table.is_empty() {
                text.push_str("no errors\n");
            }
            let (shown, total) = (result.at("groups").items().len(), result.at("total"));
            if (shown as u64) < total.count() {
                let [shown, total] =
                    [shown.to_string(), total.to_string()].map(|count| grouped(&count));
                let what = format!("{shown} of {total} groups");
                let others = "a filter says which";
                args.limit.tell_more(&what, others, out, &mut text);
            }
            text
        },
    )
    .await
}
