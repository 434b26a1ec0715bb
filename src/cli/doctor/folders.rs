//! The folders of the projects: whether they can be read and written.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Finding;
use super::owner::{Owner, own_uid};
use super::root::{Wanted, closed_above};
use crate::cli::args::quoted_path as word;
use crate::store::Batch;

/// Folders that their owner may not use.
pub(super) fn permissions(root: &Path, findings: &mut Vec<Finding>) {
    let mut folders = vec![root.to_owned()];
    let projects = std::fs::read_dir(root).into_iter().flatten().flatten();
    for project in projects.map(|entry| entry.path()) {
        let executions = project.join("executions");
        let reachable = denied(&project).is_none();
        if is_folder(&project) && (!reachable || is_folder(&executions)) {
            if reachable {
                let own = project.join(".runlog");
                let trash = own.join("trash");
                // whatever else lies there is not touched
                let batches = std::fs::read_dir(&trash).into_iter().flatten().flatten();
                let batches = batches.filter(|entry| {
                    let name = entry.file_name();
                    name.to_str()
                        .is_some_and(|name| Batch::parse(name).is_some())
                });
                let batches = batches.map(|entry| entry.path());
                let ours = [own, trash].into_iter().chain(batches);
                folders.push(project);
                folders.push(executions);
                folders.extend(ours.filter(|path| is_folder(path)));
            } else {
                folders.push(project);
            }
        }
    }
    // it is watched for the root's coming and going
    findings.extend(closed_above(root.parent().into_iter(), Wanted::Read));
    let mut read_only: Vec<String> = Vec::new();
    for folder in folders {
        if let Some(finding) = denied(&folder) {
            findings.push(finding);
        } else if let Some(finding) = unwritable(&folder)
            // once for each file system
            && !read_only.contains(&finding.mend)
        {
            read_only.push(finding.mend.clone());
            findings.push(finding);
        }
    }
}

/// Whether it is one itself, and no link to one.
fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

/// That a folder is on a file system that is mounted read-only, if it is.
fn unwritable(folder: &Path) -> Option<Finding> {
    let refused = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).err()?;
    if refused != rustix::io::Errno::ROFS {
        return None;
    }
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // number, parent, device, its root, where, how, fields that may be missing, -, kind, what, how
    let mounts = table.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        let place = fields.get(4)?.replace("\\040", " ");
        let read_only = |options: &str| options.split(',').any(|option| option == "ro");
        let of_mount_alone = read_only(fields.get(5)?) && !read_only(fields.last()?);
        Some((PathBuf::from(place), of_mount_alone))
    });
    // of several at one place the last is on top
    let found = mounts
        .filter(|(place, _)| folder.starts_with(place))
        .max_by_key(|(place, _)| place.as_os_str().len());
    let (place, of_mount_alone) = found.unwrap_or_else(|| (folder.to_owned(), false));
    let sudo = match own_uid() {
        0 => "",
        _ => "sudo ",
    };
    let how = match of_mount_alone {
        true => "remount,bind,rw",
        false => "remount,rw",
    };
    Some(Finding::new(
        format!(
            "{} is on a file system that is mounted read-only",
            folder.display()
        ),
        format!("{sudo}mount -o {how} {}", word(&place)),
    ))
}

/// Why a folder cannot be read and entered, or by its owner written to, if it cannot. Who may write to
/// somebody else's is for that one to say; but what is root's in a folder of one's own was made by `sudo`,
/// once, and is meant to be one's own.
pub(super) fn denied(folder: &Path) -> Option<Finding> {
    let found = folder.metadata().ok()?;
    if Owner::of(&found).is_me() {
        let mode = found.mode() & 0o700;
        return (found.is_dir() && mode != 0o700).then(|| {
            Finding::new(
                format!(
                    "{} cannot be read and written by its owner",
                    folder.display()
                ),
                format!("chmod u+rwx {}", word(folder)),
            )
        });
    }
    use rustix::fs::{Access, access};
    use rustix::io::Errno;
    let above = folder.parent().and_then(|above| above.metadata().ok());
    let by_sudo =
        Owner::of(&found) == Owner::Roots && above.is_some_and(|above| Owner::of(&above).is_me());
    let refused = if access(folder, Access::READ_OK | Access::EXEC_OK).is_err() {
        "is closed to you"
    } else if by_sudo && access(folder, Access::WRITE_OK) == Err(Errno::ACCESS) {
        "may not be written to by you"
    } else {
        return None;
    };
    let path = word(folder);
    let mend = match Owner::of(&found) {
        // who can use it all the same
        Owner::Roots => format!("sudo chown -R {} {path}", own_uid()),
        _ => {
            let gid = rustix::process::getegid().as_raw();
            format!("sudo chgrp -R {gid} {path} && sudo chmod -R g+rX {path}")
        }
    };
    let what = format!(
        "{} belongs to user {} and {refused}",
        folder.display(),
        found.uid()
    );
    Some(Finding::new(what, mend))
}
