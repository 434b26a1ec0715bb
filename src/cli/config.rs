//! What the files of the user's say about pruning.
//!
//! A root's policy is that of the nearest `runlog.toml` above it, else that of the user's own file,
//! `$XDG_CONFIG_HOME/runlog/runlog.toml`. Only the latter can have it checked at intervals, root by
//! root: what comes with a checkout deletes nothing by itself.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::failure::in_words;
use crate::api::error::words;
use crate::api::{PrunePolicy, params};
use crate::model::read_span;

/// What both files are called.
pub(super) const FILE: &str = "runlog.toml";

/// What a `runlog.toml` above a root may hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRoot {
    #[serde(rename = "projects")]
    _projects: Option<serde::de::IgnoredAny>,
    #[serde(default, deserialize_with = "prune")]
    prune: Option<PrunePolicy>,
}

/// What the user's own may hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfUser {
    #[serde(default, deserialize_with = "prune")]
    prune: Option<PrunePolicy>,
    #[serde(default)]
    root: Vec<Root>,
}

/// What it says of one root.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Root {
    path: Spanned<PathBuf>,
    #[serde(default, deserialize_with = "span")]
    prune_every: Option<Duration>,
}

/// A policy that can be one.
fn prune<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<PrunePolicy>, D::Error> {
    let policy = PrunePolicy::deserialize(deserializer)?;
    match policy.rules() {
        Ok(_) => Ok(Some(policy)),
        Err(error) => Err(serde::de::Error::custom(in_words(&error.message))),
    }
}

fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let span = read_span(&text).map_err(serde::de::Error::custom)?;
    if span < Duration::from_secs(1) {
        return Err(serde::de::Error::custom("`pruneEvery`: at least 1s"));
    }
    Ok(Some(span))
}

/// A file of this user's, if there is one.
fn read<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Option<T>, String> {
    if !super::root::is_own_file(file) {
        return Ok(None);
    }
    let text = text_of(file)?;
    match misshapen(&text) {
        Some((at, expected)) => Err(in_line(&text, Some(at), expected)),
        None => read_text(&text).map(Some),
    }
}

/// What a file holds.
pub(super) fn parse<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<T, String> {
    read_text(&text_of(file)?)
}

fn text_of(file: &Path) -> Result<String, String> {
    std::fs::read_to_string(file).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => "is no text in UTF-8".to_owned(),
        _ => words(&error),
    })
}

fn read_text<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    toml::from_str(text).map_err(|error| what_is_wrong(text, &error))
}

/// The first byte of what should be a table and is none, and what is expected there: serde would take
/// the members of an array for a table's, by their position.
fn misshapen(text: &str) -> Option<(usize, &'static str)> {
    type Value<'a> = Spanned<DeValue<'a>>;
    let is_table = |value: &Value<'_>| value.get_ref().is_table();
    let no_table = |value: &Value<'_>| (!is_table(value)).then_some(value.span().start);
    let no_tables = |value: &Value<'_>| match value.get_ref().as_array() {
        Some(all) => all.iter().find_map(no_table),
        None => Some(value.span().start),
    };
    let whole = DeTable::parse(text).ok()?;
    let of_file = |name: &str| whole.get_ref().get(name);
    let of_policy = |name: &str| of_file("prune")?.get_ref().get(name);
    let wrong = [
        (
            of_file("prune").and_then(no_table),
            "expected one table, [prune]",
        ),
        (
            of_policy("trash").and_then(no_table),
            "trash: expected a table, as in trash = { maxAge = \"30d\" }",
        ),
        (
            of_policy("rules").and_then(no_tables),
            "rules: expected an array of tables, as in rules = [{ maxAge = \"90d\" }]",
        ),
        (
            of_file("root").and_then(no_tables),
            "root: expected tables, each under [[root]]",
        ),
    ];
    let mut wrong = wrong.into_iter();
    wrong.find_map(|(at, expected)| Some((at?, expected)))
}

/// Where the rules of the policy in `text` spell a status: lines, which count from 1, and before how many
/// bytes of each it stands. `None` where that is not told by `text` as it is.
pub(super) fn status_places(text: &str, status: &str) -> Option<Vec<(usize, usize)>> {
    let whole = DeTable::parse(text).ok()?;
    let policy = whole.get_ref().get("prune")?.get_ref();
    let rules = policy.get("rules")?.get_ref().as_array()?;
    let mut places = Vec::new();
    for named in rules.iter().filter_map(|rule| rule.get_ref().get("status")) {
        let all = named.get_ref().as_array();
        let all = all.map_or_else(|| vec![named], |all| all.iter().collect());
        let of_status = |value: &&Spanned<DeValue<'_>>| value.get_ref().as_str() == Some(status);
        for value in all.into_iter().filter(of_status) {
            // behind its quote
            let (before, after) = text.split_at_checked(value.span().start + 1)?;
            if !after.starts_with(status) {
                return None;
            }
            let line = before.rsplit('\n').next()?;
            places.push((before.matches('\n').count() + 1, line.len()));
        }
    }
    (!places.is_empty()).then_some(places)
}

/// The line of `text` that says which folder is served, and nothing else; it counts from 1.
pub(super) fn projects_line(text: &str) -> Option<usize> {
    let whole = DeTable::parse(text).ok()?;
    let span = whole.get_ref().get("projects")?.span();
    let (before, value) = text.split_at_checked(span.start)?;
    let line = before.rsplit('\n').next()?.trim_start();
    let is_whole = line.starts_with("projects") && !value.get(..span.len())?.contains('\n');
    is_whole.then_some(before.matches('\n').count() + 1)
}

/// What is wrong with a file that holds `text`, and in which line.
fn what_is_wrong(text: &str, error: &toml::de::Error) -> String {
    let said = error.message();
    let said = match said.split_once(", expected ") {
        // what is there is in the file
        Some((there, expected))
            if there.starts_with("invalid type") || there.starts_with("invalid value") =>
        {
            &format!("expected {}", params::in_words(expected))
        }
        _ => said,
    };
    in_line(text, error.span().map(|span| span.start), said)
}

/// What is said of the byte `at` of a file that holds `text`.
fn in_line(text: &str, at: Option<usize>, said: &str) -> String {
    let before = at.and_then(|at| text.get(..at));
    match before.map(|before| before.matches('\n').count()) {
        Some(lines) => format!("line {}: {said}", lines + 1),
        None => said.to_owned(),
    }
}

/// Where the user's own file is, whether it is there or not.
pub(super) fn of_user() -> Option<PathBuf> {
    Some(super::xdg::config_home()?.join("runlog").join(FILE))
}

/// Whether it is the user's own, which says something else than those above roots.
fn is_of_user(file: &Path) -> bool {
    let same = |own: PathBuf| own == file || super::root::canonical(&own) == file;
    of_user().is_some_and(same)
}

/// The policy for `root`.
///
/// # Errors
/// What is wrong with a file, and which it is, in words for its owner that hold no absolute path.
pub(super) fn policy(root: &Path) -> Result<Option<PrunePolicy>, String> {
    for (file, found) in above(root.ancestors().skip(1)) {
        let found = found.map_err(|wrong| {
            let folders = root.ancestors().skip(1);
            let up = folders.take_while(|folder| Some(*folder) != file.parent());
            let up = "../".repeat(up.count() + 1);
            format!("the runlog.toml above the projects, {up}{FILE} from there: {wrong}")
        })?;
        if let Some(policy) = found.prune {
            return Ok(Some(policy));
        }
    }
    let user = user().map_err(|wrong| format!("the user's {FILE}: {wrong}"))?;
    Ok(user.prune)
}

/// The file that this policy is in.
pub(super) fn policy_file(root: &Path) -> Option<PathBuf> {
    let has = |found: &Result<OfRoot, String>| found.as_ref().is_ok_and(|it| it.prune.is_some());
    above(root.ancestors().skip(1))
        .find(|(_, found)| has(found))
        .map(|(file, _)| file)
        .or_else(|| of_user().filter(|_| user().is_ok_and(|user| user.prune.is_some())))
}

/// The files that cannot be used, of those above `here` and `root` and the user's own, and why; each
/// once.
pub(super) fn faults(here: &Path, root: &Path) -> Vec<(PathBuf, Fault)> {
    let folders = here.ancestors().chain(root.ancestors().skip(1));
    let above = folders.map(|folder| folder.join(FILE));
    let above = above.filter(|file| !is_of_user(file));
    let above =
        above.filter_map(|file| Some((fault(&file, |file| read::<OfRoot>(file).err())?, file)));
    let own = of_user();
    let own = own.and_then(|file| Some((fault(&file, |file| read::<OfUser>(file).err())?, file)));
    let mut faults: Vec<(PathBuf, Fault)> = Vec::new();
    for (fault, file) in above.chain(own) {
        if faults.iter().all(|(known, _)| *known != file) {
            faults.push((file, fault));
        }
    }
    faults
}

/// Why a file is not used.
#[derive(Debug)]
pub(super) enum Fault {
    /// It, or the folder that it is in, cannot be opened.
    Closed(PathBuf),
    /// It is another user's.
    Foreign(u32),
    /// A folder, a link that leads nowhere, or the like.
    NotAFile,
    /// What is in it.
    Wrong(String),
}

fn fault(file: &Path, wrong: impl FnOnce(&Path) -> Option<String>) -> Option<Fault> {
    let found = match file.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            // what is in somebody else's is nothing to us
            let folder = file.parent()?;
            let found = folder.metadata().ok()?;
            let own = found.uid() == rustix::process::geteuid().as_raw();
            return own.then(|| Fault::Closed(folder.to_owned()));
        }
        Err(_) => return None,
        Ok(_) => file.metadata(),
    };
    match found {
        Ok(found) if found.is_file() => match found.uid() {
            uid if uid != rustix::process::geteuid().as_raw() => Some(Fault::Foreign(uid)),
            _ if std::fs::File::open(file).is_err() => Some(Fault::Closed(file.to_owned())),
            _ => wrong(file).map(Fault::Wrong),
        },
        _ => Some(Fault::NotAFile),
    }
}

/// The user's files in these folders, as far as there are any.
fn above<'a>(
    folders: impl Iterator<Item = &'a Path>,
) -> impl Iterator<Item = (PathBuf, Result<OfRoot, String>)> {
    folders.filter_map(|folder| {
        let file = folder.join(FILE);
        let found = read(&file).transpose()?;
        (!is_of_user(&file)).then_some((file, found))
    })
}

/// How often the policy for `root` is to be checked; `None` if only when somebody asks.
///
/// # Errors
/// What is wrong with the user's file.
pub(super) fn prune_every(root: &Path) -> Result<Option<Duration>, String> {
    Ok(user()?.prune_every(root))
}

impl OfUser {
    fn prune_every(&self, root: &Path) -> Option<Duration> {
        // also while it is not there
        let is_it = |named: &&Root| named.called().is_ok_and(|named| named == root);
        self.root.iter().find(is_it)?.prune_every
    }
}

/// Whether the user's own file says something: it is not there, or empty, while some programs write it.
pub(super) fn user_says() -> bool {
    of_user().is_some_and(|file| says(&file))
}

fn says(file: &Path) -> bool {
    super::root::is_own_file(file) && file.metadata().is_ok_and(|found| found.len() > 0)
}

/// A root that the user's own file names to no effect.
#[derive(Debug)]
pub(super) struct Idle {
    /// The file.
    pub file: PathBuf,
    /// The lines that say so, if they can be told; they count from 1.
    pub lines: Option<(usize, usize)>,
    /// Why nothing comes of it.
    pub why: String,
}

/// The roots that the user's own file names to no effect.
pub(super) fn idle_roots() -> Vec<Idle> {
    let (Some(file), Ok(OfUser { root: roots, .. })) = (of_user(), user()) else {
        return Vec::new();
    };
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let mut seen = Vec::new();
    let mut idle = Vec::new();
    for root in roots {
        let shown = root.path.get_ref().display();
        let why = match root.folder() {
            Err(why) => Some(format!("{shown} {why}")),
            Ok(folder) if seen.contains(&folder) => Some(format!("{shown} is named before")),
            Ok(folder) => {
                let without = matches!(policy(&folder), Ok(None));
                seen.push(folder);
                match root.prune_every {
                    None => Some(format!("{shown} has no pruneEvery")),
                    Some(_) if without => Some(format!("there is no [prune] for {shown}")),
                    Some(_) => None,
                }
            }
        };
        idle.extend(why.map(|why| {
            Idle {
                file: file.clone(),
                lines: table_around(&text, root.path.span().start)
                    .filter(|lines| is_read_without(&text, *lines)),
                why,
            }
        }));
    }
    idle
}

impl Root {
    /// The folder that it names, as roots are named in this process, whether it is there or not.
    fn called(&self) -> Result<PathBuf, String> {
        let named = self.path.get_ref();
        match named.is_absolute() {
            true => Ok(super::root::canonical(named)),
            false => Err("does not begin with /".to_owned()),
        }
    }

    /// The same where it is there.
    fn folder(&self) -> Result<PathBuf, String> {
        let folder = self.called()?;
        match folder.metadata() {
            Ok(found) if found.is_dir() => Ok(folder),
            Ok(_) => Err("is no folder".to_owned()),
            Err(error) => Err(format!("cannot be found: {}", words(&error))),
        }
    }
}

/// Whether a file says the rest without these lines: a text of several may look as if a table began
/// in it.
fn is_read_without(text: &str, (first, last): (usize, usize)) -> bool {
    let lines = text.lines().enumerate();
    let rest = lines.filter(|(at, _)| !(first..=last).contains(&(at + 1)));
    let rest: Vec<&str> = rest.map(|(_, line)| line).collect();
    toml::from_str::<OfUser>(&rest.join("\n")).is_ok()
}

/// The lines of the table, under a header of its own, in which the byte `at` is.
fn table_around(text: &str, at: usize) -> Option<(usize, usize)> {
    let line = text.get(..at)?.matches('\n').count();
    let is_header = |line: &str| line.trim_start().starts_with('[');
    let lines: Vec<&str> = text.lines().collect();
    let first = (0..=line).rev().find(|&at| is_header(lines[at]))?;
    // what is written in one line, or deeper, is left to its owner
    let header: String = lines[first].split_whitespace().collect();
    if !header.starts_with("[[root]]") {
        return None;
    }
    let after = lines
        .iter()
        .skip(line + 1)
        .take_while(|line| !is_header(line));
    Some((first + 1, line + 1 + after.count()))
}

fn user() -> Result<OfUser, String> {
    let file = of_user();
    let found = file.map(|file| read(&file)).transpose()?;
    Ok(found.flatten().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_is_told_with_what_to_write_and_taken_for_none() {
        for (text, says) in [
            ("prune = true", "line 1: expected one table, [prune]"),
            ("prune = [[], 1]", "line 1: expected one table, [prune]"),
            (
                "# mine\n[[prune]]\nkeepLast = 1",
                "line 2: expected one table, [prune]",
            ),
            (
                "[prune]\ntrash = \"30d\"",
                "line 2: trash: expected a table, as in trash = { maxAge = \"30d\" }",
            ),
            (
                "[prune]\ntrash = [\"30d\"]",
                "line 2: trash: expected a table, as in trash = { maxAge = \"30d\" }",
            ),
            (
                "[prune]\nrules = { maxAge = \"1d\" }",
                "line 2: rules: expected an array of tables, as in rules = [{ maxAge = \"90d\" }]",
            ),
            (
                "[prune]\nrules = [\n{ maxAge = \"1d\" },\n[\"p\"]]",
                "line 4: rules: expected an array of tables, as in rules = [{ maxAge = \"90d\" }]",
            ),
            (
                "root = [[\"/r\", \"1d\"]]",
                "line 1: root: expected tables, each under [[root]]",
            ),
        ] {
            let (at, expected) = misshapen(text).expect(text);
            assert_eq!(in_line(text, Some(at), expected), says, "{text}");
        }
        for text in [
            "prune = { trash = { maxAge = \"1d\" } }",
            "[prune]\nrules = []",
            "[[prune.rules]]\nmaxAge = \"1d\"\n[prune.trash]\nmaxAge = \"1d\"",
            "[[root]]\npath = \"/r\"",
            "projects = [",
        ] {
            assert_eq!(misshapen(text), None, "{text}");
        }
    }

    #[test]
    fn a_root_that_is_away_is_still_the_one_that_is_named() {
        let top = tempfile::tempdir().unwrap();
        let top = top.path().canonicalize().unwrap();
        std::os::unix::fs::symlink("disk/projects", top.join("link")).unwrap();
        let root = top.join("disk/projects");
        for named in ["disk/projects", "link", "disk/./projects/"] {
            let text = format!(
                "[[root]]\npath = {:?}\npruneEvery = \"1d\"",
                top.join(named)
            );
            let user: OfUser = read_text(&text).unwrap();
            let day = Some(Duration::from_secs(24 * 3600));
            assert_eq!(user.prune_every(&root), day, "{named}");
            std::fs::create_dir_all(&root).unwrap();
            assert_eq!(user.prune_every(&root), day, "{named}");
            assert_eq!(user.prune_every(&top), None);
            std::fs::remove_dir_all(top.join("disk")).unwrap();
        }
    }

    #[test]
    fn a_file_that_is_being_written_says_nothing_yet() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE);
        assert!(!says(&file));
        std::fs::write(&file, "").unwrap();
        assert!(!says(&file));
        std::fs::write(&file, "# nothing is pruned").unwrap();
        assert!(says(&file));
    }
}
