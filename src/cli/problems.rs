//! `runlog problems`: files and folders that cannot be read or do not fit.

use clap::Args;

use super::Failure;
use super::args::{Common, LimitArgs, Params, ZoneArgs, answered};
use super::client::Client;
use super::list::relative;
use super::table::{Cell, Column, Table};
use super::terminal::Paint;
use super::time::grouped;

#[derive(Debug, Args)]
#[command(after_help = "In a pipe, a line a problem: path, kind, since, message")]
pub(super) struct ProblemsArgs {
    #[command(flatten)]
    pub common: Common,
    /// Only this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
    #[command(flatten)]
    zone: ZoneArgs,
    #[command(flatten)]
    limit: LimitArgs,
}

pub(super) async fn run(args: &ProblemsArgs, client: &mut Client) -> Result<u8, Failure> {
    let clock = args.zone.clock()?;
    let mut params = Params::new();
    if let Some(project) = &args.project {
        params.insert("projectId".into(), project.as_str().into());
    }
    params.insert("limit".into(), args.limit.count().into());
    let json = &args.common.json;
    answered(
        client,
        "server/problems",
        params,
        json,
        Some("problems"),
        |result, out| {
            let mut table = Table::new([
                Column::new("PATH").cut_to(24),
                Column::new("KIND"),
                Column::new("SINCE").leaving(1),
                Column::new("MESSAGE").cut_to(16),
            ]);
            for problem in result.at("problems").items() {
                let since = problem.at("since").word();
                table.row([
                    Cell::new(problem.at("path").word()),
                    Cell::new(problem.at("kind").word()).painted(Paint::Yellow),
                    Cell::both(relative(&clock, since), since),
                    Cell::new(problem.at("message").word()),
                ]);
            }
            let mut text = table.text(out);
            if out.is_terminal() && table.is_empty() {
                text.push_str("no problems\n");
            }
            if !result.at("nextCursor").is_null() {
                let shown = result.at("problems").items().len();
                let what = format!("the first {}", grouped(&shown.to_string()));
                let others = "-p says of which project";
                args.limit.tell_more(&what, others, out, &mut text);
            }
            text
        },
    )
    .await
}
