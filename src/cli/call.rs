//! `runlog call`: any method, its result as it comes.

use std::io::Read;

use clap::Args;

use super::client::{Client, Needs};
use super::terminal::Out;
use super::{Failure, RootArgs};
use crate::api::executions::search::Search;
use crate::api::executions::subscribe::{Unsubscribe, is_ours};
use crate::api::table::Method;
use crate::model::json;

#[derive(Debug, Args)]
#[command(
    after_help = "An error's message stands on stderr, and below it its data, which is a line of JSON"
)]
pub(super) struct CallArgs {
    #[command(flatten)]
    pub root: RootArgs,
    /// The method, as in executions/list; `runlog reference` tells all of them
    #[arg(value_name = "METHOD", add = super::complete::methods())]
    method: String,
    /// Its params, a JSON object; `-` reads them from stdin
    #[arg(value_name = "JSON", default_value = "{}", hide_default_value = true)]
    params: String,
}

impl CallArgs {
    /// What the method needs.
    pub(super) fn needs(&self) -> Needs {
        if self.method == Search::NAME {
            Needs::Search
        } else {
            Needs::Changes
        }
    }
}

pub(super) async fn run(args: &CallArgs, client: &mut Client) -> Result<u8, Failure> {
    if args.method == Unsubscribe::NAME {
        let message = "a call is a connection of its own, and has no subscription to end";
        return Err(Failure::Usage(message.to_owned()));
    }
    if is_ours(&args.method) {
        return Err(Failure::Usage(format!(
            "{} tells more than one answer; `runlog tail --json` prints changes",
            args.method
        )));
    }
    let mut read = String::new();
    let params = match args.params.as_str() {
        "-" => {
            std::io::stdin().read_to_string(&mut read)?;
            read.as_str()
        }
        given => given,
    };
    let params = match params.trim() {
        "null" | "[]" => "{}",
        _ => params,
    };
    match json::check(params.as_bytes(), crate::api::NESTING_LIMIT) {
        Ok((_, json::Kind::Object)) => {}
        Ok(_) => {
            let message = "the params are no object: write them as {\"name\": value}";
            return Err(Failure::Usage(message.to_owned()));
        }
        Err(error) => return Err(Failure::Usage(format!("the params are no JSON: {error}"))),
    }
    let text = client.call(&args.method, params).await;
    let text = text.map_err(|failure| match failure {
        Failure::Refused { error, .. } => Failure::Answered(error),
        failure => failure,
    })?;
    Out::stdout().print_json(&format!("{text}\n"))?;
    Ok(0)
}
