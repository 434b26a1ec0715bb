//! The files that say what is served and kept, and the policy in them.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::Finding;
use super::mend::{aside, readable};
use super::owner::{Owner, own_uid};
use crate::cli::Failure;
use crate::cli::args::{Params, quoted, quoted_path as word};
use crate::cli::client::Client;
use crate::cli::config::{self, Fault};
use crate::cli::root::{canonical, named_in};
use crate::model::{Status, nearest};

/// The files that say what is served and kept.
pub(super) fn configs(folder: &Path, findings: &mut Vec<Finding>) {
    // somebody may have removed it
    let here = std::env::current_dir().unwrap_or_else(|_| folder.to_owned());
    let is_root = own_uid() == 0;
    let owner = folder.metadata().map(|found| Owner::of(&found)).ok();
    for (file, fault) in config::faults(&here, folder) {
        // to that user it is a good one
        if matches!(fault, Fault::Foreign(uid) if is_root && owner == Some(Owner::Others(uid))) {
            continue;
        }
        let (what, mend) = match fault {
            Fault::Closed(closed) => ("cannot be opened".to_owned(), readable(&closed)),
            Fault::Foreign(uid) => {
                // anybody may put one into a folder that is everybody's
                let mend = match uid {
                    0 => readable(&file),
                    _ => format!("sudo {}", aside(&file)),
                };
                (format!("belongs to user {uid}, and is not used"), mend)
            }
            Fault::NotAFile => ("is no file".to_owned(), aside(&file)),
            Fault::Wrong(what) => (what.trim_end().to_owned(), without_its_rest(&file)),
        };
        let told = format!("{}: {what}", file.display());
        findings.push(Finding::new(told, mend));
    }
    for config::Idle { file, lines, why } in config::idle_roots() {
        let mend = match lines {
            Some((first, last)) => {
                let each = quoted(&format!("{first},{last}s/^/# /"));
                format!("sed -i.before {each} {}", word(&canonical(&file)))
            }
            None => aside(&file),
        };
        let told = format!("{}: [[root]] does nothing: {why}", file.display());
        findings.push(Finding::new(told, mend));
    }
}

/// Moves a config out of the way; one that says which folder is served, as the user's own does not, goes on
/// saying so.
fn without_its_rest(file: &Path) -> String {
    let is_own = config::of_user().as_deref() == Some(file);
    match named_in(file).filter(|_| !is_own) {
        Some(named) => {
            let line = format!("projects = {}", json!(named));
            let print = format!("printf '%s\\n' {}", quoted(&line));
            format!("{} && {print} > {}", aside(file), word(file))
        }
        None => aside(file),
    }
}

/// Has a config say no more which folder is served.
pub(super) fn without_its_root(file: &Path) -> String {
    match config::projects_line(&std::fs::read_to_string(file).unwrap_or_default()) {
        Some(line) => format!("sed -i.before '{line}s/^/# /' {}", word(&canonical(file))),
        None => aside(file),
    }
}

/// A policy that would leave nothing, or whose rules are meant otherwise, as far as only whoever serves the
/// root knows.
pub(super) async fn policy(
    client: &mut Client,
    root: &Path,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    // what is wrong with a file is told already
    if let Ok(Some(policy)) = config::policy(root)
        && let Some(file) = config::policy_file(root)
    {
        let mut params = Params::new();
        params.insert("dryRun".into(), true.into());
        let what = match client.ask("executions/prune", params).await {
            Err(Failure::Refused { error, .. }) => Some(error.message),
            Ok(plan) if plan.at("everything").is_true() => {
                Some("the policy would leave no run that has ended".to_owned())
            }
            _ => None,
        };
        if let Some(what) = what {
            let what = format!("{}: {what}", file.display());
            findings.push(Finding::new(what, without_its_rest(&file)));
            return Ok(());
        }
        let rules = policy.rules().unwrap_or_default().rules;
        let statuses = rules.iter().flat_map(|rule| rule.statuses.iter().flatten());
        let statuses: BTreeSet<&str> = statuses.map(Status::as_str).collect();
        for status in statuses {
            findings.extend(misspelt(client, status, &file).await?);
        }
    }
    Ok(())
}

/// That a rule names a status that no run has and that is near a known one.
async fn misspelt(
    client: &mut Client,
    status: &str,
    file: &Path,
) -> Result<Option<Finding>, Failure> {
    let known = || Status::KNOWN.iter().map(Status::as_str);
    let near = match nearest(status, known()) {
        Some(near) if known().all(|known| known != status) => near,
        _ => return Ok(None),
    };
    let mut params = Params::new();
    params.insert("status".into(), status.into());
    params.insert("limit".into(), 1.into());
    if client
        .ask("executions/list", params)
        .await?
        .at("total")
        .count()
        > 0
    {
        return Ok(None);
    }
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let is_plain = status
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    let places = config::status_places(&text, status).filter(|_| is_plain);
    let mend = match places {
        Some(places) => {
            // from the last on, so that the others stay where they are
            let change = |(line, column): &(usize, usize)| {
                format!(r"{line}s/^\(.\{{{column}\}}\){status}/\1{near}/")
            };
            let changes: Vec<String> = places.iter().rev().map(change).collect();
            let changes = quoted(&changes.join(";"));
            // columns are bytes
            format!(
                "LC_ALL=C sed -i.before {changes} {}",
                word(&canonical(file))
            )
        }
        None => without_its_rest(file),
    };
    let file = file.display();
    let what = format!("{file}: no run has the status `{status}`; `{near}` may be meant");
    Ok(Some(Finding::new(what, mend)))
}
