//! The user's folders, as the XDG base directory specification finds them.

use std::path::PathBuf;

/// The one for what is configured.
pub(super) fn config_home() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config")
}

/// The one for what can be made again.
pub(super) fn cache_home() -> Option<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache")
}

/// The user's own, in which the others are by default.
pub(super) fn home() -> Option<PathBuf> {
    named("HOME")
}

fn folder(variable: &str, at_home: &str) -> Option<PathBuf> {
    named(variable).or_else(|| Some(home()?.join(at_home)))
}

fn named(variable: &str) -> Option<PathBuf> {
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.filter(|path| path.is_absolute())
}
