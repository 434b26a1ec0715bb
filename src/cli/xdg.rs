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
    let absolute = |path: &PathBuf| path.is_absolute();
    let named = std::env::var_os(variable).map(PathBuf::from);
    named.filter(absolute).or_else(|| {
        // that of the user database where HOME is not set
        let home = std::env::home_dir().filter(absolute)?;
        Some(home.join(at_home))
    })
}
