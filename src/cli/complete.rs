//! What a shell may complete that only the index knows: projects, and ids of runs.
//!
//! The shells' scripts call this program back (`runlog completions`), which asks as any command
//! does. Nothing is said on a terminal: who presses a key wants a word, or none.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use serde_json::json;

use super::args::Params;
use super::client::{Client, Needs};
use super::json::Json;
use super::progress::Screen;
use super::root::{self, Place};
use super::terminal::visible;
use crate::model::Status;

/// Projects by their ids.
pub(super) fn projects() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let answer = asked("projects/list", Params::new());
        let projects = answer.at("projects").items();
        projects
            .iter()
            .map(|project| {
                let runs = format!("{} runs", project.at("executions"));
                CompletionCandidate::new(project.at("id").word()).help(Some(runs.into()))
            })
            .collect()
    })
}

/// What a run's status may be.
pub(super) fn statuses() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let known = Status::KNOWN.iter().map(Status::as_str);
        known.map(CompletionCandidate::new).collect()
    })
}

/// Runs by their ids, the newest first.
pub(super) fn runs() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let Some(begun) = begun.to_str() else {
            return Vec::new();
        };
        let mut params = Params::new();
        let (project, id) = match begun.split_once('/') {
            Some((project, id)) => (Some(project), id),
            None => (None, begun),
        };
        let given = given("--project", Some("-p")).and_then(|given| given.into_string().ok());
        if let Some(project) = project.or(given.as_deref()) {
            params.insert("projectId".into(), project.into());
        }
        params.insert("limit".into(), 1000.into());
        params.insert(
            "fields".into(),
            json!(["id", "projectId", "status", "label"]),
        );
        if !id.is_empty() {
            // what is contained, of which those that begin with it are taken
            let test = format!("id ~ {}", json!(id));
            params.insert("where".into(), test.into());
        }
        let answer = asked("executions/list", params);
        let last = CompletionCandidate::new("last").help(Some("the newest run".into()));
        let runs = answer.at("executions").items();
        let mut count: HashMap<&str, usize> = HashMap::new();
        for run in runs {
            *count.entry(run.at("id").word()).or_default() += 1;
        }
        let ids = runs.iter().enumerate();
        let mut names = HashSet::new();
        ids.filter(|(_, run)| run.at("id").word().starts_with(id))
            .filter_map(|(number, run)| {
                let name = run.at("id").word();
                // by its id alone it would be ambiguous; what is begun so goes on so
                let several = count.get(name).is_some_and(|count| *count > 1);
                // or be taken for a flag
                let several = begun.is_empty() && (several || name.starts_with('-'));
                let name = match project.or(several.then(|| run.at("projectId").word())) {
                    Some(project) => format!("{project}/{name}"),
                    None => name.to_owned(),
                };
                let what = format!("{} {}", run.at("status").word(), run.at("label").word());
                names.insert(name.clone()).then(|| {
                    CompletionCandidate::new(name)
                        .help(Some(visible(&what).into()))
                        .display_order(Some(number))
                })
            })
            .chain("last".starts_with(begun).then_some(last))
            .collect()
    })
}

/// What lies in the trash, the latest deletion first: the runs that it was, or entries where their
/// own spelling is begun.
pub(super) fn trashed() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let Some(begun) = begun.to_str() else {
            return Vec::new();
        };
        let project = begun.split_once('/').map(|(project, _)| project);
        let answer = of_trash(project);
        let candidates = |name: &dyn Fn(&Json) -> String| {
            let mut names: Vec<String> = Vec::new();
            let mut found = Vec::new();
            for entry in answer.at("entries").items() {
                let name = name(entry);
                // of a run's deletions the latest is meant
                if !name.starts_with(begun) || names.contains(&name) {
                    continue;
                }
                let (deleted, run) = (entry.at("deletedAt").word(), entry.at("summary"));
                let what = format!("deleted {deleted} {}", run.at("label").word());
                let candidate = CompletionCandidate::new(name.clone())
                    .help(Some(visible(&what).into()))
                    .display_order(Some(names.len()));
                names.push(name);
                found.push(candidate);
            }
            found
        };
        let id = |entry: &Json| entry.at("executionId").word().to_owned();
        let runs = match project {
            None => candidates(&id),
            Some(project) => candidates(&|entry| format!("{project}/{}", id(entry))),
        };
        match runs.as_slice() {
            [] => candidates(&|entry| entry.at("entry").word().to_owned()),
            _ => runs,
        }
    })
}

/// What commands deleted together and can be had back.
pub(super) fn batches() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let answer = of_trash(None);
        let mut found: Vec<(&str, usize, &str)> = Vec::new();
        for entry in answer.at("entries").items() {
            let batch = entry.at("batch").word();
            match found.iter_mut().find(|(held, ..)| *held == batch) {
                Some((_, count, _)) => *count += 1,
                None => found.push((batch, 1, entry.at("deletedAt").word())),
            }
        }
        let candidates = found.iter().enumerate();
        candidates
            .map(|(number, (batch, count, deleted))| {
                let what = format!("{count} runs deleted {deleted}");
                CompletionCandidate::new(*batch)
                    .help(Some(what.into()))
                    .display_order(Some(number))
            })
            .collect()
    })
}

/// The latest deletions.
fn of_trash(project: Option<&str>) -> Json {
    let mut params = Params::new();
    params.insert("limit".into(), 1000.into());
    if let Some(project) = project {
        params.insert("projectId".into(), project.into());
    }
    asked("trash/list", params)
}

/// What the words so far give as a flag's value.
fn given(long: &str, short: Option<&str>) -> Option<OsString> {
    let of_bash = super::bash::words().into_iter().flatten();
    let others = std::env::args_os().skip_while(|word| word != "--");
    let mut words = of_bash.map(OsString::from).chain(others);
    while let Some(word) = words.next() {
        if word == long || short.is_some_and(|short| word == short) {
            return words.next();
        }
        let text = word.to_str().unwrap_or_default();
        let attached = text.strip_prefix(long);
        let attached = attached.and_then(|rest| rest.strip_prefix('='));
        let attached = attached.or_else(|| text.strip_prefix(short?));
        if let Some(value) = attached {
            return Some(value.into());
        }
    }
    None
}

/// What is answered, or nothing.
fn asked(method: &str, params: Params) -> Json {
    let asked = || {
        let given = given("--projects", None).map(PathBuf::from);
        let place = Place::of_process(given.as_deref()).ok()?;
        let found = root::find(&place).ok()?;
        let folder = found.root.clone().filter(|_| found.exists)?;
        let runtime = super::serve::runtime().ok()?;
        let answer = runtime.block_on(async {
            let mut client = Client::over(&folder, &found, Needs::Glance, &Screen::new()).ok()?;
            let answer = client.ask(method, params).await.ok();
            client.end();
            answer
        });
        runtime.shutdown_background();
        answer
    };
    asked().unwrap_or_default()
}

/// The protocol's methods.
pub(super) fn methods() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let table = crate::api::table::table().iter();
        table
            .map(|entry| CompletionCandidate::new(entry.name).help(Some(entry.summary.into())))
            .collect()
    })
}
