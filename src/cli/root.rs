//! Which folder is served: section 1 of the protocol, and `runlog root`.
//!
//! Never a guess: where several folders could be meant, they are listed and nothing is served.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;

use serde::{Deserialize, Serialize};

use super::args::quoted_path;
use super::config::FILE as CONFIG;
use super::terminal::{Out, visible};
use super::{Failure, USAGE};
use crate::api::error::words;

/// How many levels below the repository's top a folder is looked for.
const LEVELS: usize = 3;
/// How many links to what is not there are followed, as many as a kernel follows.
const LINKS: usize = 40;
/// Folders that are not looked into.
const SKIPPED: [&str; 3] = [".git", "node_modules", "target"];

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The folder to serve; none where it is not clear which.
    pub root: Option<PathBuf>,
    /// Whether it is there.
    pub exists: bool,
    /// The `runlog.toml` that names it, if one does.
    pub config: Option<PathBuf>,
    /// Where one was looked for.
    pub tried: Vec<String>,
    /// The folders that could be meant, if there are several.
    pub candidates: Vec<PathBuf>,
}

/// The same as it is printed: what is no UTF-8 has signs in its place, because JSON can have no other.
#[derive(Serialize)]
struct Printed<'a> {
    root: Option<String>,
    exists: bool,
    tried: &'a [String],
    candidates: Vec<String>,
}

impl Found {
    fn json(&self) -> serde_json::Result<String> {
        let shown = |path: &PathBuf| path.display().to_string();
        serde_json::to_string_pretty(&Printed {
            root: self.root.as_ref().map(shown),
            exists: self.exists,
            tried: &self.tried,
            candidates: self.candidates.iter().map(shown).collect(),
        })
    }
}

/// The root that the environment names.
pub(super) fn of_environment() -> Option<PathBuf> {
    let named = std::env::var_os("RUNLOG_PROJECTS").filter(|value| !value.is_empty());
    named.map(PathBuf::from)
}

/// Where to look from.
#[derive(Debug)]
pub(super) struct Place<'a> {
    /// `--projects`.
    pub given: Option<&'a Path>,
    /// `RUNLOG_PROJECTS`.
    pub environment: Option<PathBuf>,
    /// The current folder.
    pub here: PathBuf,
}

impl<'a> Place<'a> {
    /// Where this process is.
    pub fn of_process(given: Option<&'a Path>) -> std::io::Result<Self> {
        let environment = of_environment();
        let named = given.or(environment.as_deref());
        let here = match std::env::current_dir() {
            // somebody removed it, and it does not matter
            Err(_) if named.is_some_and(Path::is_absolute) => PathBuf::from("/"),
            here => here.map_err(|error| {
                let what = format!("the current folder cannot be found: {}", words(&error));
                std::io::Error::new(error.kind(), what)
            })?,
        };
        Ok(Self {
            given,
            environment,
            here,
        })
    }
}

#[derive(Deserialize)]
struct Config {
    projects: Option<PathBuf>,
}

/// A `runlog.toml` that cannot be used, in words for its owner.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub(super) struct BadConfig {
    /// The file.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
}

/// Finds the root.
///
/// # Errors
/// [`BadConfig`].
pub(super) fn find(place: &Place<'_>) -> Result<Found, BadConfig> {
    let mut tried = Vec::new();
    if let Some(named) = place.given.or(place.environment.as_deref()) {
        return Ok(settled(&place.here.join(named), tried));
    }
    if let Some((file, named)) = configured(&place.here, &mut tried)? {
        let config = Some(file);
        return Ok(Found {
            config,
            ..settled(&named, tried)
        });
    }
    let top = place
        .here
        .ancestors()
        .find(|folder| folder.join(".git").exists());
    for folder in place.here.ancestors().take_while(|_| top.is_some()) {
        let candidate = folder.join("projects");
        tried.push(candidate.display().to_string());
        if holds_executions(&candidate) {
            return Ok(settled(&candidate, tried));
        }
        if Some(folder) == top {
            break;
        }
    }
    let top = top.unwrap_or(&place.here);
    tried.push(format!("{} and {LEVELS} levels below", top.display()));
    let mut candidates = BTreeSet::new();
    search(top, LEVELS, &mut candidates);
    let candidates: Vec<PathBuf> = candidates.into_iter().collect();
    match candidates.as_slice() {
        [] => Ok(settled(&place.here.join("projects"), tried)),
        [only] => Ok(settled(only, tried)),
        _ => Ok(Found {
            root: None,
            exists: false,
            config: None,
            tried,
            candidates,
        }),
    }
}

/// The folder as everybody else names it, so that all agree on the socket.
fn settled(folder: &Path, tried: Vec<String>) -> Found {
    Found {
        root: Some(canonical(folder)),
        exists: folder.is_dir(),
        config: None,
        tried,
        candidates: Vec::new(),
    }
}

/// What an absolute path comes to, without links, `.` and `..`: also where not all of it is there yet,
/// as it will when the rest was made as it is named.
pub(super) fn canonical(path: &Path) -> PathBuf {
    let mut links = LINKS;
    followed(path, &mut links)
}

/// The same, through so many links that lead to what is not there.
fn followed(path: &Path, links: &mut usize) -> PathBuf {
    let mut real = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => continue,
            Component::ParentDir => {
                real.pop();
                continue;
            }
            part => real.push(part),
        }
        if let Ok(there) = real.canonicalize() {
            real = there;
        } else if *links > 0
            && let (Ok(target), Some(parent)) = (real.read_link(), real.parent())
        {
            *links -= 1;
            real = followed(&parent.join(target), links);
        }
    }
    real
}

/// The nearest `runlog.toml` upward that names a folder, and that folder.
fn configured(
    here: &Path,
    tried: &mut Vec<String>,
) -> Result<Option<(PathBuf, PathBuf)>, BadConfig> {
    for folder in here.ancestors() {
        let file = folder.join(CONFIG);
        if !file.exists() {
            continue;
        }
        if !is_own_file(&file) {
            tried.push(format!(
                "{} (not this user's file; ignored)",
                file.display()
            ));
            continue;
        }
        tried.push(file.display().to_string());
        let wrong = |what: String| BadConfig {
            file: file.clone(),
            what,
        };
        let config: Config = super::config::parse(&file).map_err(wrong)?;
        let Some(named) = config.projects else {
            continue;
        };
        let joined = folder.join(&named);
        let is_named = !named.as_os_str().is_empty();
        let inside = named
            .components()
            .all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
        let stays = canonical(&joined).starts_with(canonical(folder));
        if !is_named || !inside || !stays {
            let what = "`projects` must name a folder below the file's own";
            return Err(wrong(what.to_owned()));
        }
        return Ok(Some((file, joined)));
    }
    Ok(None)
}

/// The folder that a `runlog.toml` names, as it is spelt there.
pub(super) fn named_in(file: &Path) -> Option<PathBuf> {
    super::config::parse::<Config>(file).ok()?.projects
}

/// Whether there is such a file, and it is this user's.
pub(super) fn is_own_file(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|found| found.is_file() && found.uid() == rustix::process::geteuid().as_raw())
}

/// Whether a folder is there that holds `*/executions/`.
fn holds_executions(folder: &Path) -> bool {
    let is_folder = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_dir());
    is_folder(folder)
        && std::fs::read_dir(folder).is_ok_and(|mut entries| {
            entries.any(|entry| {
                entry.is_ok_and(|entry| {
                    is_folder(&entry.path()) && is_folder(&entry.path().join("executions"))
                })
            })
        })
}

fn search(folder: &Path, levels: usize, found: &mut BTreeSet<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        let path = entry.path();
        if name == "projects" && holds_executions(&path) {
            found.insert(path);
        } else if levels > 1 {
            search(&path, levels - 1, found);
        }
    }
}

/// Says that several folders could be meant.
pub(super) fn ambiguous(candidates: &[PathBuf]) -> String {
    let mut text = String::from("several folders could be served; name one with --projects:");
    for candidate in candidates {
        text.push_str("\n  --projects ");
        text.push_str(&quoted_path(candidate));
    }
    text
}

/// `runlog root`.
pub(super) fn print(given: Option<&Path>, json: bool) -> ExitCode {
    let place = Place::of_process(given).map_err(|error| error.to_string());
    let found = match place.and_then(|place| find(&place).map_err(|bad| bad.to_string())) {
        Ok(found) => found,
        Err(error) => {
            tell!("runlog: {error}");
            return USAGE.into();
        }
    };
    if json {
        let text = found.json().map_err(std::io::Error::from);
        let printed = text.and_then(|text| Out::stdout().print_json(&(text + "\n")));
        return match (printed, found.root) {
            (Err(error), _) => Failure::Io(error).told(),
            (Ok(()), Some(_)) => ExitCode::SUCCESS,
            (Ok(()), None) => USAGE.into(),
        };
    }
    let Some(root) = &found.root else {
        tell!("runlog: {}", ambiguous(&found.candidates));
        return USAGE.into();
    };
    // programs get it as it is
    let given = super::give(&match Out::stdout().is_terminal() {
        true => visible(&root.display().to_string()).into(),
        false => root.as_os_str().to_owned(),
    });
    if !found.exists {
        // nowhere, where somebody has named it
        let looked = if found.tried.is_empty() {
            ""
        } else {
            "; looked for:"
        };
        tell!("runlog: it is not there yet{looked}");
        for place in &found.tried {
            tell!("  {place}");
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn find_from(here: &Path) -> Found {
        let here = here.canonicalize().unwrap();
        find(&Place {
            given: None,
            environment: None,
            here,
        })
        .unwrap()
    }

    fn root(folder: &Path) -> Option<PathBuf> {
        Some(folder.canonicalize().unwrap())
    }

    #[test]
    fn the_nearest_projects_upward_in_the_repository_is_the_root() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path();
        fs::create_dir_all(top.join("repo/.git")).unwrap();
        fs::create_dir_all(top.join("repo/projects/a/executions")).unwrap();
        fs::create_dir_all(top.join("repo/src/deep")).unwrap();
        fs::create_dir_all(top.join("projects/other/executions")).unwrap();
        assert_eq!(
            find_from(&top.join("repo/src/deep")).root,
            root(&top.join("repo/projects"))
        );
        assert_eq!(
            find_from(&top.join("repo/projects/a")).root,
            root(&top.join("repo/projects"))
        );
    }

    #[test]
    fn else_it_is_looked_for_below_and_several_are_never_guessed_from() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path();
        fs::create_dir_all(top.join(".git")).unwrap();
        fs::create_dir_all(top.join("docs")).unwrap();
        fs::create_dir_all(top.join("apps/backend/projects/a/executions")).unwrap();
        fs::create_dir_all(top.join("node_modules/x/projects/a/executions")).unwrap();
        fs::create_dir_all(top.join("a/b/c/projects/too-deep/executions")).unwrap();
        fs::create_dir_all(top.join("empty/projects")).unwrap();
        let found = find_from(&top.join("docs"));
        assert_eq!(found.root, root(&top.join("apps/backend/projects")));
        assert!(found.exists);
        fs::create_dir_all(top.join("apps/other/projects/b/executions")).unwrap();
        let found = find_from(&top.join("docs"));
        assert_eq!(found.root, None);
        assert_eq!(found.candidates.len(), 2);
    }

    #[test]
    fn none_is_served_as_the_projects_that_may_come() {
        let top = tempfile::tempdir().unwrap();
        let found = find_from(top.path());
        assert_eq!(
            found.root,
            Some(top.path().canonicalize().unwrap().join("projects"))
        );
        assert!(!found.exists);
        assert!(!found.tried.is_empty());
    }

    #[test]
    fn a_config_names_a_folder_below_its_own() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path();
        fs::create_dir_all(top.join("data/runs")).unwrap();
        fs::create_dir_all(top.join("src")).unwrap();
        fs::write(
            top.join(CONFIG),
            "projects = \"data/runs\"\n[prune]\nmaxAge = \"1d\"\n",
        )
        .unwrap();
        assert_eq!(
            find_from(&top.join("src")).root,
            root(&top.join("data/runs"))
        );
        symlink("/", top.join("out")).unwrap();
        symlink("../not-there", top.join("hanging")).unwrap();
        symlink("round/round", top.join("round")).unwrap();
        fs::write(top.join(CONFIG), "projects = \"round/new\"").unwrap();
        find_from(top);
        for outside in [
            "",
            "../x",
            "/tmp",
            "out/tmp",
            "out/not-there/yet",
            "hanging",
            "hanging/yet",
        ] {
            fs::write(top.join(CONFIG), format!("projects = \"{outside}\"")).unwrap();
            let here = top.canonicalize().unwrap();
            assert!(
                find(&Place {
                    given: None,
                    environment: None,
                    here
                })
                .is_err(),
                "{outside}"
            );
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Else the daemon that was started before the root came is found by nobody after.
        #[test]
        fn a_folder_is_called_the_same_before_and_after_it_is_there(
            path in r"(there/|link/|\./|new/|two/|/|\.\./there/){0,6}new/?"
        ) {
            let top = tempfile::tempdir().unwrap();
            let top = top.path();
            fs::create_dir_all(top.join("there/deep")).unwrap();
            fs::create_dir(top.join("there/there")).unwrap();
            symlink("there/deep", top.join("link")).unwrap();
            let path = top.join("there").join(path.trim_start_matches('/'));
            let before = canonical(&path);
            // also where `..` leads out of what is to come
            let mut so_far = PathBuf::new();
            for part in path.components() {
                so_far.push(part);
                let _ = fs::create_dir(&so_far);
            }
            prop_assert_eq!(&before, &path.canonicalize().unwrap());
            prop_assert_eq!(before, canonical(&path));
        }
    }
}
