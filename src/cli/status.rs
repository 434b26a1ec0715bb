//! `runlog status`: how whoever serves the root is.

use std::io::ErrorKind;
use std::path::Path;

use clap::Args;

use super::args::{Common, Params};
use super::client::Client;
use super::json::Json;
use super::terminal::{Out, visible};
use super::time::{bytes, grouped, span};
use super::{Failure, serve};
use crate::transport::{SocketPath, connect};

#[derive(Debug, Args)]
#[command(
    after_help = "In a pipe, a line a fact: its name, the fact; times are in milliseconds, \
    sizes in bytes"
)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    pub common: Common,
}

pub(super) async fn run(args: &StatusArgs, client: &mut Client) -> Result<u8, Failure> {
    let out = Out::stdout();
    args.common.json.check("server/status", None)?;
    let text = settled(client).await?;
    let json = &args.common.json;
    if json.wanted() {
        out.print_json(&json.of(&text, None))?;
    } else {
        let root = args.common.root.projects.as_deref();
        out.print(&shown(&Json::read(&text), root, out))?;
    }
    Ok(0)
}

/// The status of a daemon as it is, also while that looks at the files; of this process once it has its
/// index: it had only just begun.
pub(super) async fn settled(client: &mut Client) -> Result<String, Failure> {
    let text = client.call("server/status", "{}").await?;
    let status = Json::read(&text);
    let ready = status.at("indexing").at("state").word() == "ready";
    if ready || status.at("pid").count() != u64::from(std::process::id()) {
        return Ok(text);
    }
    client.ask("projects/list", Params::new()).await?;
    client.call("server/status", "{}").await
}

/// Who serves the root where this process does it by itself.
fn ourselves(root: Option<&Path>) -> &'static str {
    let socket = serve::socket_of(root);
    let listens = |socket: &SocketPath| match connect(socket.as_path()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::WouldBlock,
    };
    match socket.is_ok_and(|(_, socket)| listens(&socket)) {
        true => "this command, though a daemon listens; `runlog doctor` says what is wrong",
        false => "this command; no daemon runs",
    }
}

fn shown(status: &Json, root: Option<&Path>, out: Out) -> String {
    let own = status.at("pid").count() == u64::from(std::process::id());
    let indexing = status.at("indexing");
    let watcher = status.at("watcher");
    let person = out.is_terminal();
    let count = |value: &Json| match person {
        true => grouped(&value.to_string()),
        false => value.to_string(),
    };
    let uptime = status.at("uptimeMs");
    let uptime = match uptime.number() {
        Some(millis) if person => span(millis),
        _ => format!("{uptime} ms"),
    };
    let state = indexing.at("state").word();
    let memory = status.at("memory").at("residentBytes");
    let facts = [
        ("root", visible(status.at("root").at("path").word())),
        (
            "served by",
            match own {
                true => ourselves(root).to_owned(),
                false => format!("daemon {}, up for {uptime}", status.at("pid")),
            },
        ),
        ("version", status.at("version").word().to_owned()),
        ("projects", count(status.at("projects"))),
        ("runs", count(status.at("executions"))),
        (
            "index",
            match state {
                "ready" => state.to_owned(),
                _ => format!(
                    "{state}, {} of {}",
                    count(indexing.at("done")),
                    count(indexing.at("total"))
                ),
            },
        ),
        (
            "changes",
            match watcher.at("healthy").is_true() {
                true => format!("by {}", watcher.at("backend").word()),
                false => format!(
                    "polled in {} projects: {}",
                    watcher.at("unwatched"),
                    visible(watcher.at("message").word())
                ),
            },
        ),
        ("problems", count(status.at("problems"))),
        (
            "memory",
            match person {
                true => bytes(memory.count()),
                false => memory.to_string(),
            },
        ),
    ];
    let mut text = String::new();
    for (name, value) in facts {
        if person {
            text.push_str(&out.fact(name, 10, &value));
        } else {
            text.push_str(&format!("{name}\t{value}\n"));
        }
    }
    text
}
