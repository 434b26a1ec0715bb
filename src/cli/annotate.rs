//! `runlog pin`, `tag` and `note`: what somebody has to say of a run, beside its record.

use clap::Args;
use serde_json::json;

use super::Failure;
use super::args::{Common, Key, Params, WhichArgs};
use super::client::Client;
use super::json::Json;
use super::terminal::{Paint, visible, visible_lines};

const ANNOTATE: &str = "executions/annotate";

#[derive(Debug, Args)]
pub(super) struct PinArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    which: WhichArgs,
    /// Unpin it
    #[arg(long)]
    remove: bool,
}

#[derive(Debug, Args)]
pub(super) struct TagArgs {
    #[command(flatten)]
    pub common: Common,
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
    pub common: Common,
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
    args.common.json.check(ANNOTATE, None)?;
    let mut said = Params::new();
    said.insert("pinned".into(), json!(!args.remove));
    let (key, answer) = annotated(client, &args.which, said).await?;
    args.common.json.print(&answer, None, |_| String::new())?;
    let what = if args.remove { "unpinned" } else { "pinned" };
    tell!("runlog: {} is {what}", visible(&key.to_string()));
    Ok(0)
}

pub(super) async fn tag(args: &TagArgs, client: &mut Client) -> Result<u8, Failure> {
    args.common.json.check(ANNOTATE, None)?;
    let mut said = Params::new();
    for (name, tags) in [("addTags", &args.tags), ("removeTags", &args.remove)] {
        if !tags.is_empty() {
            said.insert(name.into(), json!(tags));
        }
    }
    let answer = said_or_read(client, &args.which, said).await?;
    args.common.json.print(&answer, None, |_| {
        let answer = Json::read(&answer);
        let tags = answer.at("summary").at("tags").items().iter();
        tags.map(|tag| format!("{}\n", visible(tag.word())))
            .collect()
    })?;
    Ok(0)
}

pub(super) async fn note(args: &NoteArgs, client: &mut Client) -> Result<u8, Failure> {
    args.common.json.check(ANNOTATE, None)?;
    let mut said = Params::new();
    if let Some(text) = args.text.as_deref().or(args.remove.then_some("")) {
        said.insert("note".into(), text.into());
    }
    let answer = said_or_read(client, &args.which, said).await?;
    args.common.json.print(&answer, None, |out| {
        let answer = Json::read(&answer);
        let note = answer.at("summary").at("note").text();
        note.map_or_else(String::new, |note| {
            out.remark(&visible_lines(note), Paint::Plain)
        })
    })?;
    Ok(0)
}

/// Says it of the run that is meant, or where there is nothing to say, reads what is said; the answer.
async fn said_or_read(
    client: &mut Client,
    which: &WhichArgs,
    said: Params,
) -> Result<String, Failure> {
    if !said.is_empty() {
        return Ok(annotated(client, which, said).await?.1);
    }
    let key = which.found(client).await?;
    match key.listed(client, true).await? {
        (Some(run), clock) => Ok(format!(r#"{{"summary":{run},"clock":{clock}}}"#)),
        (None, _) => Err(Failure::Failed(format!(
            "{} is gone",
            visible(&key.to_string())
        ))),
    }
}

/// Says it of the run that is meant; the answer.
async fn annotated(
    client: &mut Client,
    which: &WhichArgs,
    said: Params,
) -> Result<(Key, String), Failure> {
    let key = which.found(client).await?;
    let mut params = key.params();
    params.extend(said);
    let answer = client.text(ANNOTATE, params).await?;
    Ok((key, answer))
}
