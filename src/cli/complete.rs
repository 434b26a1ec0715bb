//! What a shell may complete that only the index knows: projects, and ids of runs.
//!
//! The shells' scripts call this program back (`runlog completions`), which asks as any command
//! does. Nothing is said on a terminal: who presses a key wants a word, or none.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, CompletionCandidate};
use serde_json::json;

use super::args::Params;
use super::client::{Client, Needs};
use super::json::Json;
use super::progress::Screen;
use super::root::{self, Place};
use super::terminal::visible;
use crate::model::Status;

/// How many runs are offered, and how many there are in a page.
const OFFERED: usize = 1000;
/// How many requests are made for what the runs that begin so have in common: who presses a key waits.
const REQUESTS: usize = 10;
/// How many pages of the trash are looked at, where a page is read from as many files.
const TRASH_PAGES: usize = 10;

/// Projects by their ids.
pub(super) fn projects() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| of_projects(begun, projects_with_runs()))
}

/// The same, and those of which something lies in the trash.
pub(super) fn projects_with_trash() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let mut projects = projects_with_runs();
        of_trash(None, |entry| {
            let id = entry.at("projectId").word();
            if projects.iter().all(|(known, _)| known != id) {
                projects.push((id.to_owned(), "all runs deleted".to_owned()));
            }
        });
        of_projects(begun, projects)
    })
}

/// Projects, and what is said of each.
fn projects_with_runs() -> Vec<(String, String)> {
    let mut projects = Vec::new();
    asked("projects/list", Params::new(), |answer, _| {
        projects.extend(answer.at("projects").items().iter().map(|project| {
            let runs = match project.at("executions").count() {
                1 => "1 run".to_owned(),
                count => format!("{count} runs"),
            };
            (project.at("id").word().to_owned(), runs)
        }));
        None
    });
    projects
}

/// Those that begin so. What would be taken for a flag by itself is offered where it has been begun.
fn of_projects(begun: &OsStr, projects: Vec<(String, String)>) -> Vec<CompletionCandidate> {
    let Some(begun) = begun.to_str() else {
        return Vec::new();
    };
    let fits = |id: &str| id.starts_with(begun) && !(begun.is_empty() && id.starts_with('-'));
    let fitting = projects.into_iter().filter(|(id, _)| fits(id));
    fitting
        .map(|(id, what)| CompletionCandidate::new(id).help(Some(what.into())))
        .collect()
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
        let given = given("--project", Some("-p")).and_then(|(given, _)| given.into_string().ok());
        if let Some(project) = project.or(given.as_deref()) {
            params.insert("projectId".into(), project.into());
        }
        params.insert("limit".into(), OFFERED.into());
        params.insert(
            "fields".into(),
            json!(["id", "projectId", "status", "label"]),
        );
        // what is contained, of which those that begin with it are taken
        let contains = (!id.is_empty()).then(|| format!("id ~ {}", json!(id)));
        if let Some(test) = &contains {
            params.insert("where".into(), test.as_str().into());
        }
        let mut runs = Vec::new();
        // a shell puts in what all that it is given have in common: so those beyond the newest are asked
        // for that have it not
        let (mut common, mut without) = (None, None);
        let mut requests = 0;
        asked("executions/list", params, |answer, mut params| {
            for run in answer.at("executions").items() {
                let name = run.at("id").word();
                if !name.starts_with(id) {
                    continue;
                }
                let len = common_len(common.as_deref().unwrap_or(name), name);
                let is_shorter = common
                    .as_ref()
                    .is_some_and(|common: &String| len < common.len());
                if runs.len() < OFFERED || is_shorter {
                    runs.push(run.clone());
                }
                common = name.get(..len).map(str::to_owned);
            }
            requests += 1;
            if requests == REQUESTS || common.as_deref() == Some(id) {
                return None;
            }
            let cursor = answer.at("nextCursor").text()?;
            if common == without {
                params.insert("cursor".into(), cursor.into());
                return Some(params);
            }
            without.clone_from(&common);
            let without = format!("id !~ {}", json!(without));
            let tests: Vec<String> = contains.iter().cloned().chain([without]).collect();
            params.insert("where".into(), tests.join(" and ").into());
            params.remove("cursor");
            Some(params)
        });
        let last = CompletionCandidate::new("last").help(Some("the newest run".into()));
        let mut count: HashMap<&str, usize> = HashMap::new();
        for run in &runs {
            *count.entry(run.at("id").word()).or_default() += 1;
        }
        let ids = runs.iter().enumerate();
        let mut names = HashSet::new();
        ids.filter_map(|(number, run)| {
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

/// How many bytes of two names are the same, in whole characters, from the beginning.
fn common_len(one: &str, other: &str) -> usize {
    let both = one.chars().zip(other.chars());
    let same = both.take_while(|(one, other)| one == other);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// What lies in the trash, the latest deletion first: the runs that it was, or entries where their
/// own spelling is begun.
pub(super) fn trashed() -> ArgValueCompleter {
    ArgValueCompleter::new(|begun: &OsStr| {
        let Some(begun) = begun.to_str() else {
            return Vec::new();
        };
        let project = begun.split_once('/').map(|(project, _)| project);
        let mut entries = Vec::new();
        of_trash(project, |entry| entries.push(entry.clone()));
        let candidates = |name: &dyn Fn(&Json) -> String| {
            let mut names: HashSet<String> = HashSet::new();
            let mut found = Vec::new();
            for entry in &entries {
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
                names.insert(name);
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
        // those of one batch come one after the other, but for those of another at the same time
        let mut found: Vec<(String, usize, String)> = Vec::new();
        of_trash(None, |entry| {
            let batch = entry.at("batch").word();
            match found.iter_mut().rev().find(|(held, ..)| held == batch) {
                Some((_, count, _)) => *count += 1,
                None => found.push((batch.to_owned(), 1, entry.at("deletedAt").word().to_owned())),
            }
        });
        let candidates = found.iter().enumerate();
        candidates
            .map(|(number, (batch, count, deleted))| {
                let what = format!("{count} runs deleted {deleted}");
                CompletionCandidate::new(batch)
                    .help(Some(what.into()))
                    .display_order(Some(number))
            })
            .collect()
    })
}

/// The deletions, the latest first.
fn of_trash(project: Option<&str>, mut take: impl FnMut(&Json)) {
    let mut params = Params::new();
    params.insert("limit".into(), OFFERED.into());
    if let Some(project) = project {
        params.insert("projectId".into(), project.into());
    }
    let mut pages = 0;
    asked("trash/list", params, |answer, mut params| {
        answer.at("entries").items().iter().for_each(&mut take);
        pages += 1;
        let cursor = answer.at("nextCursor").text()?;
        params.insert("cursor".into(), cursor.into());
        (pages < TRASH_PAGES).then_some(params)
    });
}

/// The root that the words so far name. A tilde stands there as it was typed; the shell will make of it
/// the folder that the command is given, unless an equals sign is before it.
fn given_root() -> Option<PathBuf> {
    let (value, stands_alone) = given("--projects", None)?;
    let value = PathBuf::from(value);
    match value.strip_prefix("~") {
        Ok(below) if stands_alone => Some(super::xdg::home()?.join(below)),
        _ => Some(value),
    }
}

/// What the words so far give as a flag's value, and whether as a word of its own.
fn given(long: &str, short: Option<&str>) -> Option<(OsString, bool)> {
    let of_bash = super::bash::words().into_iter().flatten();
    let others = std::env::args_os().skip_while(|word| word != "--");
    let mut words = of_bash.map(OsString::from).chain(others);
    while let Some(word) = words.next() {
        if word == long || short.is_some_and(|short| word == short) {
            return Some((words.next()?, true));
        }
        let text = word.to_str().unwrap_or_default();
        let attached = text.strip_prefix(long);
        let attached = attached.and_then(|rest| rest.strip_prefix('='));
        let attached = attached.or_else(|| text.strip_prefix(short?));
        if let Some(value) = attached {
            return Some((value.into(), false));
        }
    }
    None
}

/// Gives what is answered, if anything is, to `take`, which says what else is to be asked for.
fn asked(method: &str, mut params: Params, mut take: impl FnMut(&Json, Params) -> Option<Params>) {
    let asked = || {
        let given = given_root();
        let place = Place::of_process(given.as_deref()).ok()?;
        let found = root::find(&place).ok()?;
        let folder = found.root.clone().filter(|_| found.exists)?;
        let runtime = super::serve::runtime().ok()?;
        runtime.block_on(async {
            let mut client = Client::over(&folder, &found, Needs::Glance, &Screen::new()).ok()?;
            while let Ok(answer) = client.ask(method, params.clone()).await
                && let Some(next) = take(&answer, params)
            {
                params = next;
            }
            client.end();
            Some(())
        });
        runtime.shutdown_background();
        Some(())
    };
    // who presses a key wants a word, or none
    let _ = asked();
}

/// The commands.
pub(super) fn commands() -> ArgValueCandidates {
    ArgValueCandidates::new(|| {
        let command = super::Cli::command();
        let commands = command
            .get_subcommands()
            .filter(|below| !below.is_hide_set());
        commands
            .map(|command| {
                let about = command.get_about().cloned();
                CompletionCandidate::new(command.get_name()).help(about)
            })
            .collect()
    })
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
