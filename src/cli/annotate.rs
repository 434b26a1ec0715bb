//! `runlog pin`, `tag` and `note`: what somebody has to say of a run, beside its record.

use clap::Args;
use serde_json::json;

use super::args::{Key, Params, WhichArgs};
use super::client::Client;
use super::json::Json;
use super::terminal::{Out, visible, visible_lines};
use super::{Failure, RootArgs};

#[derive(Debug, Args)]
pub(super) struct PinArgs {
    #[command(flatten)]
    pub root: RootArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Unpin it
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct TagArgs {
    #[command(flatten)]
    pub root: RootArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Tags to put on it; without any, those that it has are printed
    #[arg(value_name = "TAG")]
    tags: Vec<String>,
    /// A tag to take off; may be repeated
    #[arg(long, value_name = "TAG")]
    remove: Vec<String>,
}

#[derive(Debug, Args)]
pub(super) struct NoteArgs {
    #[command(flatten)]
    pub root: RootArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// What to note, in place of what is noted; without it, that is printed
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Remove the note
    #[arg(long, conflicts_with = "text")]
    remove: bool,
}

pub(super) async fn pin(args: &PinArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut said = Params::new();
    said.insert("pinned".into(), json!(!args.remove));
    let (key, _) = annotated(client, &args.which, said).await?;
    let what = if args.remove { "unpinned" } else { "pinned" };
    eprintln!("runlog: {} is {what}", visible(&key.to_string()));
    Ok(0)
}

pub(super) async fn tag(args: &TagArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut said = Params::new();
    for (name, tags) in [("addTags", &args.tags), ("removeTags", &args.remove)] {
        if !tags.is_empty() {
            said.insert(name.into(), json!(tags));
        }
    }
    let (_, summary) = annotated(client, &args.which, said).await?;
    let tags = summary.at("tags").items().iter();
    let lines: String = tags
        .map(|tag| format!("{}\n", visible(tag.word())))
        .collect();
    Out::stdout().print(&lines)?;
    Ok(0)
}

pub(super) async fn note(args: &NoteArgs, client: &mut Client) -> Result<u8, Failure> {
    let mut said = Params::new();
    if let Some(text) = args.text.as_deref().or(args.remove.then_some("")) {
        said.insert("note".into(), text.into());
    }
    let (_, summary) = annotated(client, &args.which, said).await?;
    if let Some(note) = summary.at("note").text() {
        Out::stdout().print(&format!("{}\n", visible_lines(note)))?;
    }
    Ok(0)
}

/// Says it of the run that is meant; the run as it then is.
async fn annotated(
    client: &mut Client,
    which: &WhichArgs,
    said: Params,
) -> Result<(Key, Json), Failure> {
    let key = which.found(client).await?;
    let mut params = key.params();
    params.extend(said);
    let answer = client.ask("executions/annotate", params).await?;
    Ok((key, answer.at("summary").clone()))
}
