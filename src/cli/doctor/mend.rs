//! The commands that mend: each one line of shell, which moves or changes what it names and nothing else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::owner::{Owner, own_uid};
use crate::cli::args::{quoted, quoted_path as word};
use crate::cli::root::canonical;
use crate::model::json::members;

/// What inotify's limits are to be raised to at least.
const WATCHES: u64 = 524_288;
const INSTANCES: u64 = 1024;
/// And at most: the system knows no more.
const LIMIT_MAX: u64 = i32::MAX.unsigned_abs() as u64;
/// So much of a value tells whether it is still there.
const KNOWN_BY_BYTES: usize = 200;
/// How long a file's name may be.
const NAME_MAX_BYTES: usize = 255;
/// What lets a file's owner write to it.
const OWN_WRITES: u32 = 0o200;

/// Moves something out of the way.
pub(super) fn aside(path: &Path) -> String {
    format!("mv -n {} {}", word(path), word(&beside(path, ".aside")))
}

/// A path beside this one where nothing is: its name, as far as there is room, and `ending`.
pub(super) fn beside(path: &Path, ending: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().as_bytes();
    let mut number = 1;
    loop {
        let ending = match number {
            1 => ending.to_owned(),
            _ => format!("{ending}-{number}"),
        };
        let room = NAME_MAX_BYTES.saturating_sub(ending.len());
        let mut kept = name.get(..room).unwrap_or(name);
        // no character is cut in two
        if let (Ok(_), Err(cut)) = (std::str::from_utf8(name), std::str::from_utf8(kept)) {
            kept = kept.get(..cut.valid_up_to()).unwrap_or(kept);
        }
        let mut free = OsStr::from_bytes(kept).to_owned();
        free.push(ending);
        let free = path.with_file_name(free);
        if free.symlink_metadata().is_err() {
            return free;
        }
        number += 1;
    }
}

/// Makes a folder that is not there.
pub(super) fn made(folder: &Path) -> String {
    let make = format!("mkdir -p {}", word(folder));
    let mut above = folder.ancestors().skip(1);
    let Some(above) = above.find(|above| above.symlink_metadata().is_ok()) else {
        return make;
    };
    match above.metadata() {
        Ok(found) if found.is_dir() && !Owner::of(&found).is_me() => {
            match rustix::fs::access(above, rustix::fs::Access::WRITE_OK) {
                Err(rustix::io::Errno::ACCESS) => {
                    format!("sudo install -d -o {} {}", own_uid(), word(folder))
                }
                _ => make,
            }
        }
        Ok(found) if found.is_dir() && found.mode() & OWN_WRITES == 0 => {
            format!("chmod u+w {} && {make}", word(above))
        }
        _ => make,
    }
}

/// Gives a file or folder to whoever runs this, if it is somebody else's, and lets its owner read it.
pub(super) fn readable(file: &Path) -> String {
    let path = word(file);
    let chmod = format!("chmod u+rwX {path}");
    match file.symlink_metadata() {
        Ok(found) if !Owner::of(&found).is_me() => {
            format!("sudo chown {} {path} && {chmod}", own_uid())
        }
        _ => chmod,
    }
}

/// Puts a line before all that a file holds: behind it, it would belong to the file's last table.
pub(super) fn first_line(file: &Path, line: &str) -> String {
    let print = format!("printf '%s\\n' {}", quoted(line));
    match file.symlink_metadata() {
        Err(_) => format!("{print} > {}", word(file)),
        Ok(_) => rewritten(file, &format!("{print} | cat - {}", word(file))),
    }
}

/// Puts what a command prints into the place of a file, whose mode stays as it is all the while; but its
/// owner may write to the new one until that is whole.
fn rewritten(file: &Path, print: &str) -> String {
    let closed = file
        .metadata()
        .is_ok_and(|found| found.mode() & OWN_WRITES == 0);
    // what leads to it goes on doing so
    let file = canonical(file);
    let (file, new) = (word(&file), word(&beside(&file, ".new")));
    match closed {
        false => format!("cp -p {file} {new} && {print} > {new} && mv {new} {file}"),
        true => format!(
            "cp -p {file} {new} && chmod u+w {new} && {print} > {new} && chmod u-w {new} && \
                mv -f {new} {file}"
        ),
    }
}

/// Puts other values into members of a record, which are named with the text that is to stand there, and
/// leaves every other byte as it is. Nothing is done to a record that says something else by then.
pub(super) fn edited(file: &Path, changes: &[(&str, &str)]) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let place = |(name, value): &(&str, &str)| {
        // of several the last one counts
        let (_, held) = members(&text).filter(|(held, _)| held == name).last()?;
        let at = held.as_ptr().addr() - text.as_ptr().addr();
        Some((at, held, (*value).to_owned()))
    };
    let places: Option<Vec<_>> = changes.iter().map(place).collect();
    let Some(mut places) = places else {
        return aside(file);
    };
    places.sort();
    let path = word(file);
    let part =
        |from: usize, to: usize| format!("tail -c +{} {path} | head -c {}", from + 1, to - from);
    let (mut is_as_it_was, mut print, mut end) = (String::new(), String::new(), 0);
    for (at, held, value) in places {
        // the beginning of what is long is enough to know it by
        let known = held.get(..held.floor_char_boundary(KNOWN_BY_BYTES));
        let known = known.unwrap_or(held).trim_end();
        let there = part(at, at + known.len());
        is_as_it_was.push_str(&format!("[ \"$({there})\" = {} ] && ", quoted(known)));
        print.push_str(&format!(
            "{}; printf %s {}; ",
            part(end, at),
            quoted(&value)
        ));
        end = at + held.len();
    }
    let print = format!("{{ {print}tail -c +{} {path}; }}", end + 1);
    format!("{is_as_it_was}{}", rewritten(file, &print))
}

/// The command that raises the limit that a message is about, where it is one.
pub(super) fn raise(message: &str) -> Option<String> {
    let limit = |path: &str| {
        let text = std::fs::read_to_string(path).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let (path, value) = raised(message, limit)?;
    Some(match own_uid() {
        0 => format!("echo {value} > {path}"),
        _ => format!("echo {value} | sudo tee {path}"),
    })
}

/// The file of the limit that a message is about, where it is one, and what is to be written to it, which is
/// more than it says: all files say what they `limit`.
fn raised(message: &str, limit: impl Fn(&str) -> Option<u64>) -> Option<(String, u64)> {
    let (of_system, of_user, least) = if message.contains("max_user_watches") {
        ("max_user_watches", "max_inotify_watches", WATCHES)
    } else if message.contains("max_user_instances") {
        ("max_user_instances", "max_inotify_instances", INSTANCES)
    } else {
        return None;
    };
    let of_system = format!("/proc/sys/fs/inotify/{of_system}");
    let of_user = format!("/proc/sys/user/{of_user}");
    // in a container that has limits of its own, those are met first
    let path = match (limit(&of_user), limit(&of_system)) {
        (Some(user), Some(system)) if user < system => of_user,
        _ => of_system,
    };
    let value = limit(&path).unwrap_or(0).saturating_mul(2);
    Some((path, value.clamp(least, LIMIT_MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_raised_whatever_it_is() {
        let watches = "the system's limit is reached (fs.inotify.max_user_watches)";
        let instances = "the system's limit is reached (fs.inotify.max_user_instances)";
        let of_system = "/proc/sys/fs/inotify/max_user_watches";
        let of_user = "/proc/sys/user/max_inotify_watches";
        for (user, system, file, value) in [
            (None, None, of_system, WATCHES),
            (None, Some(8192), of_system, WATCHES),
            (Some(LIMIT_MAX), Some(1_048_576), of_system, 2_097_152),
            (Some(600_000), Some(1_048_576), of_user, 1_200_000),
            (Some(LIMIT_MAX), Some(LIMIT_MAX - 1), of_system, LIMIT_MAX),
        ] {
            let limit = |path: &str| if path == of_user { user } else { system };
            let raised = raised(watches, limit);
            assert_eq!(raised, Some((file.to_owned(), value)));
        }
        let (_, value) = raised(instances, |_| Some(8192)).unwrap();
        assert_eq!(value, 16_384);
        assert_eq!(raised("something else", |_| Some(1)), None);
    }
}
