//! `runlog statusline`: one line for prompts and bars.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::args::{Common, Params, ZoneArgs};
use super::client::Client;
use super::json::Json;
use super::list::dollars;
use super::terminal::Paint;

#[derive(Debug, Args)]
#[command(
    after_help = "With --json: what executions/stats says of the runs that began today, as \
    `today`, and of those that run now, as `now`."
)]
pub(super) struct StatuslineArgs {
    #[command(flatten)]
    pub common: Common,
    /// Only this project
    #[arg(short, long, value_name = "PROJECT", add = super::complete::projects())]
    project: Option<String>,
    #[command(flatten)]
    zone: ZoneArgs,
}

pub(super) async fn run(args: &StatuslineArgs, client: &mut Client) -> Result<u8, Failure> {
    args.common.json.check_among(&["today", "now"])?;
    let clock = args.zone.clock()?;
    let stats = async |client: &mut Client, filter: &str| {
        let mut params = Params::new();
        if let Some(project) = &args.project {
            params.insert("projectId".into(), project.as_str().into());
        }
        params.insert("where".into(), filter.into());
        params.insert("timezone".into(), json!(clock.zone.name()));
        client.text("executions/stats", params).await
    };
    let today = stats(client, "startedAt = today").await?;
    // one that has been silent for long does not run
    let now = stats(client, "status = running and not stale").await?;
    let result = format!(r#"{{"today":{today},"now":{now}}}"#);
    args.common.json.print(&result, None, |out| {
        let (today, now) = (Json::read(&today), Json::read(&now));
        let (running, failed) = (now.at("running"), today.at("failed"));
        let paint = |text: String, count: u64, paint| match count {
            0 => text,
            _ => out.paint(&text, paint),
        };
        let line = [
            format!("{} today", dollars(today.at("totalCostUSD"))),
            paint(format!("{running} running"), running.count(), Paint::Cyan),
            paint(format!("{failed} failed"), failed.count(), Paint::Red),
        ];
        format!("{}\n", line.join(" · "))
    })?;
    Ok(0)
}
