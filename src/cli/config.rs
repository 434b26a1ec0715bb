//! What the files of the user's say about pruning.
//!
//! A root's policy is that of the nearest `runlog.toml` above it, else that of the user's own file,
//! `$XDG_CONFIG_HOME/runlog/runlog.toml`. Only the latter can have it checked at intervals, root by
//! root: what comes with a checkout deletes nothing by itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::api::PrunePolicy;
use crate::model::read_span;

/// What both files are called.
pub(super) const FILE: &str = "runlog.toml";

/// What a `runlog.toml` above a root may hold.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OfRoot {
    #[serde(rename = "projects")]
    _projects: Option<serde::de::IgnoredAny>,
    prune: Option<PrunePolicy>,
}

/// What the user's own may hold.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfUser {
    prune: Option<PrunePolicy>,
    #[serde(default)]
    root: Vec<Root>,
}

/// What it says of one root.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Root {
    path: PathBuf,
    #[serde(default, deserialize_with = "span")]
    prune_every: Option<Duration>,
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
    let text = std::fs::read_to_string(file).map_err(|error| error.kind().to_string())?;
    toml::from_str(&text)
        .map(Some)
        .map_err(|error| error.message().to_owned())
}

/// Where the user's own file is, whether it is there or not.
pub(super) fn of_user() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    let home = || Some(named("HOME").filter(absolute)?.join(".config"));
    let folder = named("XDG_CONFIG_HOME").filter(absolute).or_else(home)?;
    Some(folder.join("runlog").join(FILE))
}

/// The policy for `root`.
///
/// # Errors
/// What is wrong with a file, in words for its owner that hold no path.
pub(super) fn policy(root: &Path) -> Result<Option<PrunePolicy>, String> {
    for folder in root.ancestors().skip(1) {
        let found: Option<OfRoot> = read(&folder.join(FILE))?;
        if let Some(policy) = found.and_then(|found| found.prune) {
            return Ok(Some(policy));
        }
    }
    Ok(user()?.prune)
}

/// How often the policy for `root` is to be checked; `None` if only when somebody asks.
///
/// # Errors
/// What is wrong with the user's file.
pub(super) fn prune_every(root: &Path) -> Result<Option<Duration>, String> {
    let is_it = |named: &Root| {
        let named = named.path.canonicalize();
        named.is_ok_and(|named| named == root)
    };
    let mut roots = user()?.root.into_iter();
    Ok(roots.find(is_it).and_then(|root| root.prune_every))
}

fn user() -> Result<OfUser, String> {
    let file = of_user();
    let found = file.map(|file| read(&file)).transpose()?;
    Ok(found.flatten().unwrap_or_default())
}
