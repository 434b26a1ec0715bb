//! The root: which it is, whether it is there, and what is above it.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::configs::without_its_root;
use super::mend::{aside, first_line, made, readable};
use super::owner::Owner;
use super::{DoctorArgs, Finding};
use crate::cli::args::quoted_path as word;
use crate::cli::root::{Place, find};
use crate::cli::{Failure, config};

/// The root, if it is clear which.
pub(super) fn rooted(
    args: &DoctorArgs,
    findings: &mut Vec<Finding>,
) -> Result<Option<PathBuf>, Failure> {
    let place = Place::of_process(args.root.projects.as_deref())?;
    let found = match find(&place) {
        Ok(found) => found,
        Err(bad) => {
            let mend = match std::fs::File::open(&bad.file) {
                Err(closed) if closed.kind() == io::ErrorKind::PermissionDenied => {
                    readable(&bad.file)
                }
                _ => aside(&bad.file),
            };
            findings.push(Finding::new(bad.to_string(), mend));
            return Ok(None);
        }
    };
    let Some(folder) = found.root else {
        let first = found.candidates.first().cloned().unwrap_or_default();
        // the file names what is below its own folder, to whoever is there or below
        let top = found
            .candidates
            .iter()
            .fold(place.here.clone(), |top, other| {
                top.ancestors()
                    .find(|top| other.starts_with(top))
                    .map(Path::to_owned)
                    .unwrap_or_default()
            });
        let file = top.join(config::FILE);
        let named = first
            .strip_prefix(&top)
            .unwrap_or(&first)
            .display()
            .to_string();
        let line = format!("projects = {}", json!(named));
        let others: Vec<String> = found
            .candidates
            .iter()
            .map(|one| one.display().to_string())
            .collect();
        findings.push(Finding::new(
            format!("several folders could be served: {}", others.join(", ")),
            match rustix::fs::access(&top, rustix::fs::Access::WRITE_OK) {
                Ok(()) => first_line(&file, &line),
                Err(_) => format!("export RUNLOG_PROJECTS={}", word(&first)),
            },
        ));
        return Ok(None);
    };
    if !found.exists {
        // whether it is there cannot be seen
        let closed = match folder.symlink_metadata() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                closed_above(folder.ancestors().skip(1), Wanted::Enter)
            }
            _ => None,
        };
        let finding = closed.or_else(|| {
            let no_folder = no_folder(&folder)?;
            let what = format!("{} is no folder", no_folder.display());
            Some(Finding::new(
                what,
                otherwise(&place, found.config.as_deref(), no_folder),
            ))
        });
        findings.push(finding.unwrap_or_else(|| {
            let what = format!("there is no root, {}", folder.display());
            Finding::new(what, made(&folder))
        }));
        return Ok(None);
    }
    Ok(Some(folder))
}

/// What is in the place of a folder, or of one above it, if something else is.
fn no_folder(folder: &Path) -> Option<&Path> {
    let is_there = |path: &&Path| path.symlink_metadata().is_ok();
    folder
        .ancestors()
        .find(is_there)
        .filter(|path| !path.is_dir())
}

/// Serves another root than one that is `no_folder`: what somebody named by mistake is left as it is.
fn otherwise(place: &Place<'_>, config: Option<&Path>, no_folder: &Path) -> String {
    match (place.given, &place.environment, config) {
        // which it would be without that
        (Some(_), ..) => "runlog root".to_owned(),
        (None, Some(_), _) => "unset RUNLOG_PROJECTS".to_owned(),
        (None, None, Some(config)) => without_its_root(config),
        // nobody named it: it is only called so
        (None, None, None) => format!("{} && mkdir -p {}", aside(no_folder), word(no_folder)),
    }
}

/// What is wanted of a folder above the root.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    /// To enter it.
    Enter,
    /// To watch it.
    Read,
}

/// The topmost of `folders`, which are the root's or above it and go upward, that denies what is wanted to
/// whoever runs this, if one does.
pub(super) fn closed_above<'a>(
    folders: impl Iterator<Item = &'a Path>,
    wanted: Wanted,
) -> Option<Finding> {
    let (access, bit, what) = match wanted {
        Wanted::Enter => (rustix::fs::Access::EXEC_OK, "x", "cannot be entered"),
        Wanted::Read => {
            let what = "cannot be read, and so not be watched";
            (rustix::fs::Access::READ_OK, "r", what)
        }
    };
    let is_own = |folder: &Path| {
        let found = folder.metadata();
        found.is_ok_and(|found| Owner::of(&found).is_me())
    };
    let denies = |folder: &&Path| {
        let mode = folder.metadata().map_or(0, |found| found.mode() >> 6);
        match is_own(folder) {
            // root may do whatever the mode says
            true => mode & access.bits() == 0,
            false => rustix::fs::access(*folder, access) == Err(rustix::io::Errno::ACCESS),
        }
    };
    // what is below one that cannot be entered is not known
    let folder = folders.filter(denies).last()?;
    let path = word(folder);
    let mend = match is_own(folder) {
        true => format!("chmod u+{bit} {path}"),
        false => format!("sudo chmod a+{bit} {path}"),
    };
    let what = format!("{}, above the root, {what}", folder.display());
    Some(Finding::new(what, mend))
}
