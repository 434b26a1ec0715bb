//! Which files of the text index are what was written, found out once.
//!
//! To check them is to read them all, which takes longer than a search. A file that was found sound and
//! has the same stamp is sound, but for a power failure, which takes what was never on the disk and may
//! leave the stamp: what was found counts only until the machine starts again.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tantivy::Index;
use tantivy::index::SegmentComponent;

use super::kept::SOUND;
use crate::model::Stamp;
use crate::store::{Cache, settled_stamp};

/// How large it may be: there are some hundred files.
const SOUND_MAX_BYTES: u64 = 1 << 20;
/// How long the end of each file is, at least: a length and a magic number.
const END_BYTES: u64 = 8;
/// Where the system tells one start of the machine from another.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// How many of the files in `folder` that `index` is made of are damaged.
pub(super) fn damaged(cache: &Cache, folder: &Path, index: &Index) -> tantivy::Result<usize> {
    let boot = fs::read_to_string(BOOT).ok().filter(|boot| boot.len() > 1);
    let known = boot
        .as_deref()
        .map_or_else(BTreeSet::new, |boot| read(cache, boot));
    let (mut sound, mut damaged) = (BTreeSet::new(), 0);
    // what is not in there is never cleared away
    let managed = index.directory().list_managed_files();
    for path in files(index)? {
        if !managed.contains(&path) {
            damaged += 1;
            continue;
        }
        // before it is read: what comes after that has another stamp
        let stamp = settled_stamp(&folder.join(&path), SystemTime::now());
        let line = stamp.map(|stamp| line(&path, &stamp));
        let sure = line.as_ref().is_some_and(|line| known.contains(line));
        if sure || has_end(&folder.join(&path)) && index.directory().validate_checksum(&path)? {
            sound.extend(line);
        } else {
            damaged += 1;
        }
    }
    if let Some(boot) = boot.filter(|_| sound != known) {
        let text: String = std::iter::once(boot).chain(sound).collect();
        // without it they are read again
        let _ = cache.replace(SOUND, |file| file.write_all(text.as_bytes()).map(|()| true));
    }
    Ok(damaged)
}

/// Whether a file is as long as what each of them ends with: the library takes that for granted.
fn has_end(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.len() >= END_BYTES)
}

fn line(path: &Path, stamp: &Stamp) -> String {
    let Stamp {
        dev,
        ino,
        size,
        mtime_ns,
        ctime_ns,
    } = stamp;
    let name = path.display();
    format!("{dev} {ino} {size} {mtime_ns} {ctime_ns} {name}\n")
}

/// The files of the segments that the index consists of.
fn files(index: &Index) -> tantivy::Result<Vec<PathBuf>> {
    let segments = index.searchable_segment_metas()?;
    let files = segments.iter().flat_map(|segment| {
        let components = [
            SegmentComponent::Postings,
            SegmentComponent::Positions,
            SegmentComponent::FastFields,
            SegmentComponent::FieldNorms,
            SegmentComponent::Terms,
            SegmentComponent::Store,
        ];
        let deleted = segment.has_deletes().then_some(SegmentComponent::Delete);
        let components = components.into_iter().chain(deleted);
        components.map(|component| segment.relative_path(component))
    });
    Ok(files.collect())
}

/// The lines of the files that were found sound since the machine started, which `boot` tells.
fn read(cache: &Cache, boot: &str) -> BTreeSet<String> {
    let mut text = String::new();
    let held = cache.open(SOUND).ok().flatten();
    let read = held.map(|file| file.take(SOUND_MAX_BYTES).read_to_string(&mut text));
    match text.strip_prefix(boot) {
        Some(lines) if matches!(read, Some(Ok(_))) => {
            lines.split_inclusive('\n').map(str::to_owned).collect()
        }
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use tantivy::schema::{STORED, Schema, TEXT};
    use tantivy::{TantivyDocument, doc};

    use super::*;

    #[test]
    fn files_are_read_once_and_again_when_they_or_the_machine_are_not_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let cache = Cache::of(at("cache"), folder.path());
        fs::create_dir(at("index")).unwrap();
        let mut schema = Schema::builder();
        let text = schema.add_text_field("text", TEXT | STORED);
        let index = Index::create_in_dir(at("index"), schema.build()).unwrap();
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.add_document(doc!(text => "what is said")).unwrap();
        writer.commit().unwrap();
        drop::<tantivy::IndexWriter<TantivyDocument>>(writer);
        let damaged = || damaged(&cache, &at("index"), &index).unwrap();
        let held = cache.folder().unwrap().join(SOUND);
        let lines = || fs::read_to_string(&held).unwrap();

        // of files that were just written nothing is noted
        let files = files(&index).unwrap();
        assert!(files.len() >= 5);
        assert_eq!(damaged(), 0);
        let settled = |path: &Path| settled_stamp(path, SystemTime::now() + Duration::from_secs(1));
        let age = |path: &Path| while settled_stamp(path, SystemTime::now()).is_none() {};
        for file in &files {
            age(&at("index").join(file));
        }
        assert_eq!(damaged(), 0);
        assert_eq!(lines().lines().count(), 1 + files.len());

        // another byte, the same size and time of modification
        let path = at("index").join(&files[0]);
        let before = fs::metadata(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        bytes[0] ^= 1;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, &bytes).unwrap();
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_modified(before.modified().unwrap()).unwrap();
        assert_eq!(damaged(), 1);
        assert_eq!(lines().lines().count(), files.len());

        // it is not read if it is noted, as long as the machine runs
        age(&path);
        let noted = lines() + &line(&files[0], &settled(&path).unwrap());
        fs::write(&held, &noted).unwrap();
        assert_eq!(damaged(), 0);
        let other = noted.replacen(|boot: char| boot.is_ascii_hexdigit(), "x", 1);
        fs::write(&held, other).unwrap();
        assert_eq!(damaged(), 1);
        fs::write(&held, [0xff]).unwrap();
        assert_eq!(damaged(), 1);

        // nor one that is not there, or that nobody knows of
        fs::write(&held, &noted).unwrap();
        fs::rename(&path, at("aside")).unwrap();
        assert_eq!(damaged(), 1);
        fs::rename(at("aside"), &path).unwrap();
        fs::write(at("index").join(".managed.json"), "[]").unwrap();
        let index = Index::open_in_dir(at("index")).unwrap();
        let all = super::damaged(&cache, &at("index"), &index).unwrap();
        assert_eq!(all, files.len());
    }
}
