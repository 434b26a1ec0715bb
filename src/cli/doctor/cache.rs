//! The cache, where the index is kept.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::mend::{aside, readable};
use super::owner::{Owner, locker, own_uid};
use super::{Finding, OWN_FILE};
use crate::cli::args::quoted_path as word;
use crate::cli::xdg;
use crate::history::SNAPSHOT_FILES;
use crate::search::kept;
use crate::store::Cache;

/// Keeps the index, which is made anew, where there is room for it.
const ELSEWHERE: &str = "export XDG_CACHE_HOME=\"$(mktemp -d)\"";
/// How many bytes are written to find out whether there is room.
const TRIED_BYTES: usize = 64 << 10;

/// Where the index is kept.
pub(super) fn cache(root: &Path, findings: &mut Vec<Finding>) {
    let Some(base) = xdg::cache_home() else {
        let what = "there is no folder for the index: neither XDG_CACHE_HOME nor HOME is set";
        findings.push(Finding::new(what, ELSEWHERE));
        return;
    };
    let cache = Cache::of(base.clone(), root);
    if let Some(finding) = unfit_folder(&base, &cache) {
        findings.push(finding);
        return;
    }
    let [_, home] = cache.folders();
    findings.extend(unfit_files(&home));
    findings.extend(no_room(&base, &cache));
}

/// That one of the folders is none, or not private.
fn unfit_folder(base: &Path, cache: &Cache) -> Option<Finding> {
    let [ours, home] = cache.folders();
    for (number, folder) in [base, &ours, &home].into_iter().enumerate() {
        let Ok(found) = folder.symlink_metadata() else {
            continue;
        };
        // somebody may have linked the folder for all caches to elsewhere
        let is_folder = match number {
            0 => folder.is_dir(),
            _ => found.is_dir(),
        };
        let own = Owner::of(&found).is_me();
        let plain = found.is_file() || found.is_symlink();
        let shown = folder.display();
        if !is_folder || (number > 0 && !own) {
            let what = format!("{shown}, where the index is kept, is no folder of yours");
            // a device and the like is the system's, whoever runs this
            let mend = match number {
                0 if !(own && plain) => ELSEWHERE.to_owned(),
                1 if is_closed_to_us(base) => usable(base),
                _ => aside(folder),
            };
            return Some(Finding::new(what, mend));
        }
        if number > 0 && found.mode() & 0o777 != 0o700 || own && found.mode() & 0o700 != 0o700 {
            let what = format!("{shown}, where the index is kept, has the wrong mode");
            let mend = match number {
                0 if is_of_the_system(folder) => ELSEWHERE.to_owned(),
                // others may have theirs below it
                0 => format!("chmod u+rwx {}", word(folder)),
                _ => format!("chmod u+rwx,go= {}", word(folder)),
            };
            return Some(Finding::new(what, mend));
        }
    }
    None
}

/// The files that are not what they were.
fn unfit_files(home: &Path) -> Vec<Finding> {
    // those that need no mode are replaced by new ones where they cannot be used
    let files = SNAPSHOT_FILES.into_iter().chain([kept::SOUND]);
    let needed = files.map(|name| (name, 0));
    let needed = needed.chain([(kept::FOLDER, 0o700), (kept::LOCK, OWN_FILE)]);
    let unfit = |(name, needed): (&str, u32)| {
        let path = home.join(name);
        let found = path.symlink_metadata().ok()?;
        let fits = match name {
            kept::FOLDER => found.is_dir(),
            _ => found.is_file(),
        };
        let own = Owner::of(&found).is_me();
        // moved away, it would still be held
        if name == kept::LOCK
            && fits
            && !own
            && let Some(pid) = locker(&path)
        {
            let (shown, uid) = (path.display(), found.uid());
            let what = format!("{shown}, which process {pid} holds, belongs to user {uid}");
            return Some(Finding::new(what, readable(&path)));
        }
        if !fits || !own && needed > 0 {
            let what = format!("{}, of the kept index, is not what it was", path.display());
            return Some(Finding::new(what, aside(&path)));
        }
        (own && found.mode() & needed != needed).then(|| {
            let what = format!("{}, of the kept index, is closed to you", path.display());
            Finding::new(what, format!("chmod u+rwX {}", word(&path)))
        })
    };
    needed.filter_map(unfit).collect()
}

/// That nothing can be written there.
fn no_room(base: &Path, cache: &Cache) -> Option<Finding> {
    let written = cache.folder().map_err(|error| error.to_string());
    let written = written.and_then(|folder| {
        let write = |mut file: std::fs::File| file.write_all(&[0; TRIED_BYTES]);
        let written = tempfile::tempfile_in(folder).and_then(write);
        written.map_err(|error| error.to_string())
    });
    let error = written.err()?;
    let [ours, _] = cache.folders();
    let what = format!("the index cannot be kept in {}: {error}", ours.display());
    let mend = match is_closed_to_us(base) {
        true => usable(base),
        false => ELSEWHERE.to_owned(),
    };
    Some(Finding::new(what, mend))
}

/// Whether a folder is another user's, and nothing can be put into it.
fn is_closed_to_us(folder: &Path) -> bool {
    let found = folder.metadata();
    let foreign = found.is_ok_and(|found| !Owner::of(&found).is_me());
    let all = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    foreign && rustix::fs::access(folder, all) == Err(rustix::io::Errno::ACCESS)
}

/// Takes the folder for all caches back, which some other program made as root, if it lies in a folder of
/// whoever runs this; leaves it to the system otherwise.
fn usable(base: &Path) -> String {
    let above = base.parent().and_then(|above| above.metadata().ok());
    match above.is_some_and(|above| Owner::of(&above).is_me()) {
        true => format!("sudo chown -R {} {}", own_uid(), word(base)),
        false => ELSEWHERE.to_owned(),
    }
}

/// Whether a folder shows what the system knows, and holds no files.
#[cfg(target_os = "linux")]
fn is_of_the_system(folder: &Path) -> bool {
    const SYSFS_MAGIC: rustix::fs::FsWord = 0x6265_6572;
    let found = rustix::fs::statfs(folder);
    found.is_ok_and(|found| [rustix::fs::PROC_SUPER_MAGIC, SYSFS_MAGIC].contains(&found.f_type))
}

/// Whether it does: elsewhere there is none.
#[cfg(not(target_os = "linux"))]
fn is_of_the_system(_: &Path) -> bool {
    false
}
