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

fn folder(variable: &str, at_home: &str) -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).map(PathBuf::from);
    let absolute = |path: &PathBuf| path.is_absolute();
    named(variable)
        .filter(absolute)
        .or_else(|| Some(named("HOME").filter(absolute)?.join(at_home)))
}
