//! From a path below the root to a hint, and which folders are watched for it.
//!
//! Pure functions over the layout `{root}/{project}/executions/{execution}.json`; they touch no
//! file.

use std::path::{Path, PathBuf};

use super::Hint;
use crate::model::{ExecutionId, ProjectId, RunKey};

/// The folder in a project that holds its runs.
const EXECUTIONS: &str = "executions";
/// How the store's cookies begin.
const COOKIE: &str = ".runlog-cookie-";

/// What an event did to the thing that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// It came, went, or became another: what was watched there may be so no more.
    Name,
    /// It was written or touched.
    Content,
}

/// The folders that are watched for a project.
pub(super) fn of_project(root: &Path, project: &ProjectId) -> [PathBuf; 2] {
    let folder = root.join(project.as_str());
    let executions = folder.join(EXECUTIONS);
    [folder, executions]
}

/// What an event means: where to look, and whether a watch must be renewed there.
pub(super) fn hint(root: &Path, path: &Path, event: Event) -> (Option<Hint>, bool) {
    let Ok(below) = path.strip_prefix(root) else {
        // above the root: a folder on the way to it came or went
        return (
            root.starts_with(path).then_some(Hint::Root),
            event == Event::Name,
        );
    };
    let names: Vec<Option<&str>> = below.iter().map(|name| name.to_str()).collect();
    let project = |name: Option<&str>| name.and_then(|name| ProjectId::parse(name).ok());
    let renew = event == Event::Name;
    match names.as_slice() {
        [] => (Some(Hint::Root), renew),
        [Some(name)] if name.starts_with(COOKIE) => {
            (renew.then(|| Hint::Cookie((*name).to_owned())), false)
        }
        [Some(name)] if name.starts_with('.') => (None, false),
        // its permissions may have changed
        [name] if event == Event::Content => (project(*name).map(Hint::Project), false),
        [_] => (Some(Hint::Root), true),
        [name, Some(EXECUTIONS)] => (project(*name).map(Hint::Project), renew),
        [name, Some(EXECUTIONS), file] => (project(*name).and_then(|id| run(id, *file)), false),
        _ => (None, false),
    }
}

/// What an event at a file in a project's executions folder means.
fn run(project: ProjectId, file: Option<&str>) -> Option<Hint> {
    let Some(file) = file else {
        // not UTF-8: perhaps a problem
        return Some(Hint::Project(project));
    };
    if file.starts_with('.') {
        return None;
    }
    let stem = file.strip_suffix(".json")?;
    match ExecutionId::parse(stem) {
        Ok(execution) => Some(Hint::Run(RunKey { project, execution })),
        Err(_) => Some(Hint::Project(project)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).unwrap()
    }

    #[test]
    fn every_path_has_its_meaning() {
        let root = Path::new("/data/projects");
        let run = Hint::Run(RunKey {
            project: project("p"),
            execution: ExecutionId::parse("x").unwrap(),
        });
        for (path, event, expected) in [
            (
                "p/executions/x.json",
                Event::Name,
                (Some(run.clone()), false),
            ),
            ("p/executions/x.json", Event::Content, (Some(run), false)),
            ("p/executions/x.json.tmp", Event::Name, (None, false)),
            ("p/executions/.runlog-1.tmp", Event::Name, (None, false)),
            ("p/executions/.x.json", Event::Name, (None, false)),
            ("p/executions/.json", Event::Name, (None, false)),
            (
                "p/executions/\\.json",
                Event::Name,
                (Some(Hint::Project(project("p"))), false),
            ),
            (
                "p/executions",
                Event::Name,
                (Some(Hint::Project(project("p"))), true),
            ),
            (
                "p/executions",
                Event::Content,
                (Some(Hint::Project(project("p"))), false),
            ),
            ("p/workflow.json", Event::Content, (None, false)),
            ("p", Event::Name, (Some(Hint::Root), true)),
            (
                "p",
                Event::Content,
                (Some(Hint::Project(project("p"))), false),
            ),
            (".git", Event::Name, (None, false)),
            (
                ".runlog-cookie-1",
                Event::Name,
                (Some(Hint::Cookie(".runlog-cookie-1".into())), false),
            ),
            (".runlog-cookie-1", Event::Content, (None, false)),
            ("", Event::Name, (Some(Hint::Root), true)),
        ] {
            assert_eq!(
                hint(root, &root.join(path), event),
                expected,
                "{path} {event:?}"
            );
        }
        assert_eq!(
            hint(root, Path::new("/data"), Event::Name),
            (Some(Hint::Root), true)
        );
        assert_eq!(
            hint(root, Path::new("/data/other"), Event::Name),
            (None, true)
        );
    }
}
