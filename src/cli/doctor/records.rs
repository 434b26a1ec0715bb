//! The records: what whoever serves the root cannot read of them, or finds not to fit.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::Finding;
use super::folders::denied;
use super::mend::{aside, beside, edited, readable};
use super::owner::Owner;
use crate::cli::args::quoted_path as word;
use crate::cli::json::Json;
use crate::model::extract::extract;
use crate::model::json::members;
use crate::model::{ExecutionId, ProjectId, RunKey};

/// How many files of one project are told of that have the same wrong with them.
const ALIKE_MAX: usize = 20;

/// What has been told of a project's files, by what is wrong with them.
#[derive(Default)]
pub(super) struct Alike(HashMap<(String, String), Told>);

#[derive(Default)]
struct Told {
    count: usize,
    /// Which finding was the last of them.
    last: usize,
}

impl Alike {
    /// Tells of a problem, or only that there is one more like those told of.
    pub(super) fn take(&mut self, root: &Path, problem: &Json, findings: &mut Vec<Finding>) {
        let path = problem.at("path").word();
        let (project, _) = path.split_once('/').unwrap_or((path, ""));
        let kind = problem.at("kind").word();
        let told = self.0.entry((project.to_owned(), kind.to_owned()));
        let told = told.or_default();
        if told.count == ALIKE_MAX {
            if let Some(last) = findings.get_mut(told.last) {
                last.more += 1;
            }
            return;
        }
        let file = file_of(root, problem);
        if !is_closed(root, &file)
            && let Some(finding) = of_file(root, &file, problem)
        {
            told.count += 1;
            told.last = findings.len();
            findings.push(finding);
        }
    }
}

/// Whether the file is, or lies in, a folder of which it has been told already that it is closed.
fn is_closed(root: &Path, file: &Path) -> bool {
    let below = |folder: &&Path| folder.starts_with(root);
    let mut folders = file.ancestors().take_while(below);
    folders.any(|folder| folder.is_dir() && denied(folder).is_some())
}

/// Whether a file is in a project of somebody who is not root: it is for that one to write there.
fn is_of_others(root: &Path, file: &Path) -> bool {
    let below = file.ancestors().find(|path| path.parent() == Some(root));
    let found = below.and_then(|project| project.metadata().ok());
    found.is_some_and(|found| matches!(Owner::of(&found), Owner::Others(_)))
}

/// What a problem is about.
fn file_of(root: &Path, problem: &Json) -> PathBuf {
    let told = problem.at("path").word();
    let names = told.split('/').filter(|name| *name != ".");
    names.fold(root.to_owned(), |folder, name| {
        let path = folder.join(name);
        // what is no text is told with signs in its place
        let replaced = name.contains(char::REPLACEMENT_CHARACTER);
        if !replaced || path.symlink_metadata().is_ok() {
            return path;
        }
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut paths = entries.map(|entry| entry.path());
        let is_it = |path: &PathBuf| {
            let found = path.file_name().unwrap_or_default();
            found.to_string_lossy() == name
        };
        paths.find(is_it).unwrap_or(path)
    })
}

/// A file that cannot be read or does not fit; `None` where it does by now.
fn of_file(root: &Path, file: &Path, problem: &Json) -> Option<Finding> {
    let mut message = problem.at("message").word().to_owned();
    let name = |path: Option<&Path>| {
        let name = path.and_then(Path::file_stem).unwrap_or_default();
        json!(name.to_string_lossy()).to_string()
    };
    let project = file.parent().and_then(Path::parent);
    let project_name = project.and_then(Path::file_name).unwrap_or_default();
    let project_name = project_name.to_string_lossy();
    let mend = match problem.at("kind").word() {
        "id-mismatch" => edited(file, &[("id", &name(Some(file)))]),
        "project-mismatch" => {
            let name = json!(project_name).to_string();
            edited(file, &[("projectId", &name)])
        }
        "invalid-cost" => edited(file, &[("costUSD", "null")]),
        "invalid-date" => {
            let [start, end] = [("startedAt", "null"), ("completedAt", "null")];
            let (names, changes) = match bad_dates(file, &project_name) {
                [true, true] => ("each of `startedAt` and `completedAt`", vec![start, end]),
                // the other one orders the run
                [true, false] => ("`startedAt`", vec![start]),
                [false, true] => ("`completedAt`", vec![end]),
                [false, false] => return None,
            };
            message = message.replace("`startedAt` or `completedAt`", names);
            edited(file, &changes)
        }
        "unwritable" if is_of_others(root, file) => return None,
        "unreadable" | "unwritable" => readable(file),
        // whatever it is called there, it would be taken for a project
        _ if file.parent() == Some(root) => {
            let outside = root.with_file_name(file.file_name().unwrap_or_default());
            format!("mv -n {} {}", word(file), word(&beside(&outside, ".aside")))
        }
        _ => aside(file),
    };
    let path = problem.at("path").word();
    Some(Finding::new(format!("{path}: {message}"), mend))
}

/// Whether a run's start and its end are dates to nobody, as the index reads them.
fn bad_dates(file: &Path, project: &str) -> [bool; 2] {
    let bad = || {
        let text = std::fs::read_to_string(file).ok()?;
        let key = RunKey {
            project: ProjectId::parse(project).ok()?,
            execution: ExecutionId::parse(file.file_stem()?.to_str()?).ok()?,
        };
        let facts = extract(text.as_bytes(), &key).ok()?;
        let is_there = |wanted: &str| {
            let found = members(&text).filter(|(name, _)| name == wanted).last();
            found.is_some_and(|(_, value)| value != "null")
        };
        Some([
            facts.started_at.is_none() && is_there("startedAt"),
            facts.completed_at.is_none() && is_there("completedAt"),
        ])
    };
    bad().unwrap_or_default()
}
