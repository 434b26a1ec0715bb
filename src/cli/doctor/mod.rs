//! `runlog doctor`: what is wrong around the runs, and a command that mends it.
//!
//! Nothing is mended here: commands that move or change files are for their owner to run. Each is one
//! that a shell takes as it stands, and after which the finding is gone. One module a place where things go
//! wrong; what the commands are made of is in [`mend`].

mod cache;
mod configs;
mod folders;
mod mend;
mod owner;
mod records;
mod root;
mod socket;

use std::path::Path;

use clap::Args;

use super::args::{Params, in_one_line};
use super::client::{Client, Needs};
use super::json::Json;
use super::progress::Screen;
use super::root::{Place, find};
use super::terminal::{Out, Paint, unless_unread, visible};
use super::time::grouped;
use super::{Failure, RootArgs, serve, status};

/// What its owner may do with a file.
const OWN_FILE: u32 = 0o600;

#[derive(Debug, Args)]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    pub root: RootArgs,
}

/// Something wrong.
#[derive(Debug)]
struct Finding {
    what: String,
    /// The command that mends it.
    mend: String,
    /// How many more there are like it that are told of once it is gone.
    more: usize,
}

impl Finding {
    fn new(what: impl Into<String>, mend: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            // below each finding is one line, to be copied
            mend: in_one_line(mend.into()),
            more: 0,
        }
    }
}

/// Looks at everything; exits with 1 where something is wrong.
pub(super) fn run(args: &DoctorArgs, screen: &Screen) -> Result<u8, Failure> {
    let out = Out::stdout();
    let mut findings = Vec::new();
    if let Some(folder) = root::rooted(args, &mut findings)? {
        configs::configs(&folder, &mut findings);
        folders::permissions(&folder, &mut findings);
        let socket = socket::socket(&folder, &mut findings);
        cache::cache(&folder, &mut findings);
        // what cannot be asked is told already
        if socket {
            asked(args, &folder, screen, &mut findings)?;
        }
    }
    let mut text = String::new();
    for Finding { what, mend, more } in &findings {
        let what = out.remark(&format!("✗ {}", visible(what)), Paint::Plain);
        let sign = out.paint("✗", Paint::Red);
        // the command is whole, to be copied
        text.push_str(&format!("{}  {mend}\n", what.replacen('✗', &sign, 1)));
        if *more > 0 {
            let count = grouped(&more.to_string());
            let more = format!("… and {count} more like it, told of once these are gone");
            text.push_str(&out.remark(&more, Paint::Dim));
        }
    }
    if findings.is_empty() {
        let sign = out.paint("✓", Paint::Green);
        text = format!("{sign} nothing is wrong\n");
    }
    unless_unread(out.print(&text))?;
    Ok(u8::from(!findings.is_empty()))
}

/// What only whoever serves the root knows.
fn asked(
    args: &DoctorArgs,
    root: &Path,
    screen: &Screen,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let place = Place::of_process(args.root.projects.as_deref())?;
    let Ok(found) = find(&place) else {
        return Ok(());
    };
    let runtime = serve::runtime().map_err(|_| Failure::Failed("no runtime".to_owned()))?;
    let done = runtime.block_on(async {
        let mut client =
            Client::over(root, &found, Needs::Changes, screen).map_err(Failure::Failed)?;
        let done = asked_of(&mut client, root, findings).await;
        client.end();
        done
    });
    runtime.shutdown_background();
    done
}

async fn asked_of(
    client: &mut Client,
    root: &Path,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let state = Json::read(&status::settled(client).await?);
    let watcher = state.at("watcher");
    if let (false, Some(message)) = (
        watcher.at("healthy").is_true(),
        watcher.at("message").text(),
    ) && let Some(mend) = mend::raise(message)
    {
        findings.push(Finding::new(message, mend));
    }
    let mut params = Params::new();
    params.insert("sync".into(), true.into());
    params.insert("limit".into(), 1000.into());
    let mut alike = records::Alike::default();
    loop {
        let page = client.ask("server/problems", params.clone()).await?;
        for problem in page.at("problems").items() {
            alike.take(root, problem, findings);
        }
        params.remove("sync");
        match page.at("nextCursor").text() {
            Some(cursor) => drop(params.insert("cursor".into(), cursor.into())),
            None => break,
        }
    }
    configs::policy(client, root, findings).await
}
