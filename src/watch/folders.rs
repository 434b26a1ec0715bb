//! From a path below the root to a hint, and which folders are watched for it.
//!
//! Pure functions over the layout `{root}/{project}/executions/{execution}.json`; they touch no
//! file.

use std::path::{Path, PathBuf};

use super::{Hint, Reason};
use crate::model::layout::{COOKIE, EXECUTIONS, OWN, SUFFIX, TRASH};
use crate::model::{ExecutionId, ProjectId, RunKey};

/// What an event did to the thing that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    /// It came, went, or became another: what was watched there may be so no more.
    Name,
    /// It was written or touched.
    Content,
}

/// The folders that are watched for a project.
pub(super) fn of_project(root: &Path, project: &ProjectId) -> [PathBuf; 3] {
    at_and_below(&root.join(project.as_str()))
}

/// That a folder cannot be watched.
pub(super) fn refused(root: &Path, path: &Path, why: String) -> Reason {
    let what = match path.strip_prefix(root) {
        Err(_) => "the folder above the root",
        Ok(below) if below.as_os_str().is_empty() => "the root",
        Ok(_) => "a project's folder",
    };
    Reason::Refused { what, why }
}

/// Which watches an event may have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renew {
    /// None.
    Nothing,
    /// That of the folder which the event names, and those below it.
    Folder,
    /// All of them.
    All,
}

/// The folders that may be watched at `path`, a project's or one in it, and below.
pub(super) fn at_and_below(path: &Path) -> [PathBuf; 3] {
    [path.to_owned(), path.join(EXECUTIONS), path.join(OWN)]
}

/// What an event means: where to look, and which watches must be renewed.
pub(super) fn hint(root: &Path, path: &Path, event: Event) -> (Option<Hint>, Renew) {
    let none = Renew::Nothing;
    let (named, all) = match event {
        Event::Name => (Renew::Folder, Renew::All),
        Event::Content => (none, none),
    };
    let Ok(below) = path.strip_prefix(root) else {
        // above the root: a folder on the way to it came or went
        return match root.starts_with(path) {
            true => (Some(Hint::Root), all),
            false => (None, none),
        };
    };
    let names: Vec<Option<&str>> = below.iter().map(|name| name.to_str()).collect();
    let project = |name: Option<&str>| name.and_then(|name| ProjectId::parse(name).ok());
    match names.as_slice() {
        [] => (Some(Hint::Root), all),
        [Some(name)] if name.starts_with(COOKIE) => {
            let came = event == Event::Name;
            (came.then(|| Hint::Cookie((*name).to_owned())), none)
        }
        [Some(name)] if name.starts_with('.') => (None, none),
        // its permissions may have changed
        [name] if event == Event::Content => (project(*name).map(Hint::Project), none),
        [_] => (Some(Hint::Root), named),
        [name, Some(EXECUTIONS)] => (project(*name).map(Hint::Project), named),
        [name, Some(EXECUTIONS), file] => (project(*name).and_then(|id| run(id, *file)), none),
        [name, Some(OWN)] => (project(*name).map(Hint::Annotations), named),
        [name, Some(OWN), file] => (project(*name).and_then(|id| note(id, *file)), none),
        _ => (None, none),
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
    let stem = file.strip_suffix(SUFFIX)?;
    match ExecutionId::parse(stem) {
        Ok(execution) => Some(Hint::Run(RunKey { project, execution })),
        Err(_) => Some(Hint::Project(project)),
    }
}

/// What an event at something in the folder of ours means; the trash is read when it is asked for, but
/// that it is a folder is looked at before.
fn note(project: ProjectId, file: Option<&str>) -> Option<Hint> {
    let file = file?;
    if file == TRASH {
        return Some(Hint::Annotations(project));
    }
    let execution = ExecutionId::parse(file.strip_suffix(SUFFIX)?).ok()?;
    Some(Hint::Annotation(RunKey { project, execution }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectId {
        ProjectId::parse(name).unwrap()
    }

    #[test]
    fn what_is_refused_is_called_by_what_it_is() {
        let root = Path::new("/data/projects");
        for (path, what) in [
            ("/data", "the folder above the root"),
            ("/data/projects", "the root"),
            ("/data/projects/p/executions", "a project's folder"),
        ] {
            let told = refused(root, Path::new(path), "it is closed".into()).to_string();
            assert!(told.starts_with(what) && !told.contains('/'), "{told}");
        }
    }

    #[test]
    fn every_path_has_its_meaning() {
        let root = Path::new("/data/projects");
        let run = Hint::Run(RunKey {
            project: project("p"),
            execution: ExecutionId::parse("x").unwrap(),
        });
        let annotation = Hint::Annotation(RunKey {
            project: project("p"),
            execution: ExecutionId::parse("x").unwrap(),
        });
        for (path, event, expected) in [
            (
                "p/.runlog/x.json",
                Event::Name,
                (Some(annotation), Renew::Nothing),
            ),
            (
                "p/.runlog/trash",
                Event::Name,
                (Some(Hint::Annotations(project("p"))), Renew::Nothing),
            ),
            ("p/.runlog/trash/x", Event::Name, (None, Renew::Nothing)),
            ("p/.runlog/moving", Event::Name, (None, Renew::Nothing)),
            (
                "p/.runlog/.runlog-1.tmp",
                Event::Name,
                (None, Renew::Nothing),
            ),
            (
                "p/.runlog",
                Event::Name,
                (Some(Hint::Annotations(project("p"))), Renew::Folder),
            ),
            (
                "p/executions/x.json",
                Event::Name,
                (Some(run.clone()), Renew::Nothing),
            ),
            (
                "p/executions/x.json",
                Event::Content,
                (Some(run), Renew::Nothing),
            ),
            (
                "p/executions/x.json.tmp",
                Event::Name,
                (None, Renew::Nothing),
            ),
            (
                "p/executions/.runlog-1.tmp",
                Event::Name,
                (None, Renew::Nothing),
            ),
            ("p/executions/.x.json", Event::Name, (None, Renew::Nothing)),
            ("p/executions/.json", Event::Name, (None, Renew::Nothing)),
            (
                "p/executions/\\.json",
                Event::Name,
                (Some(Hint::Project(project("p"))), Renew::Nothing),
            ),
            (
                "p/executions",
                Event::Name,
                (Some(Hint::Project(project("p"))), Renew::Folder),
            ),
            (
                "p/executions",
                Event::Content,
                (Some(Hint::Project(project("p"))), Renew::Nothing),
            ),
            ("p/workflow.json", Event::Content, (None, Renew::Nothing)),
            ("p", Event::Name, (Some(Hint::Root), Renew::Folder)),
            (
                "p",
                Event::Content,
                (Some(Hint::Project(project("p"))), Renew::Nothing),
            ),
            (".git", Event::Name, (None, Renew::Nothing)),
            (
                ".runlog-cookie-1",
                Event::Name,
                (
                    Some(Hint::Cookie(".runlog-cookie-1".into())),
                    Renew::Nothing,
                ),
            ),
            (".runlog-cookie-1", Event::Content, (None, Renew::Nothing)),
            ("", Event::Name, (Some(Hint::Root), Renew::All)),
        ] {
            assert_eq!(
                hint(root, &root.join(path), event),
                expected,
                "{path} {event:?}"
            );
        }
        let above = |path: &str| hint(root, Path::new(path), Event::Name);
        assert_eq!(above("/data"), (Some(Hint::Root), Renew::All));
        assert_eq!(above("/data/other"), (None, Renew::Nothing));
    }
}
