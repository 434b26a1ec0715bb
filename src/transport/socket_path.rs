//! Where a root's socket lies: protocol section 2, "Transports".
//!
//! A client computes the same default path as its daemon, from the root alone. Other users can
//! write to the temporary folder, so a folder of that name there is checked before it is trusted.
//! This file must not touch a folder that a person named.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::store::root_hash;

/// What a socket address has room for, less the closing NUL.
const PATH_LIMIT_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Why no socket can lie there.
#[derive(Debug, thiserror::Error)]
pub enum SocketPathError {
    /// The system has no room for it in a socket's address.
    #[error(
        "the socket path {path} has {} bytes, and the system allows {PATH_LIMIT_BYTES}: \
         {}", path.as_os_str().len(), shorter(*is_default)
    )]
    TooLong {
        /// The path.
        path: PathBuf,
        /// Whether nobody named it.
        is_default: bool,
    },
    /// It is empty, or relative to a current folder that is gone.
    #[error("the socket path {path:?} cannot be used: {source}")]
    Unusable {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The default folder could not be made or looked at.
    #[error(
        "cannot make the socket folder {folder}: {source}; set XDG_RUNTIME_DIR to another folder of yours"
    )]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The default folder is not ours alone, so others could put their socket in the place of ours.
    #[error(
        "the socket folder {folder} {found}: remove it, or set XDG_RUNTIME_DIR to another folder of yours"
    )]
    Untrusted {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        found: Untrusted,
    },
}

/// What helps, those who serve and those who connect alike.
fn shorter(is_default: bool) -> &'static str {
    match is_default {
        true => "set XDG_RUNTIME_DIR to a folder of yours with a shorter path",
        false => "name a shorter one",
    }
}

/// What is wrong with a default folder that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    /// A file, or a symlink, which may lead anywhere tomorrow.
    #[error("is not a folder")]
    NotAFolder,
    /// Made by somebody else.
    #[error("belongs to user {uid}")]
    Owner {
        /// The owner.
        uid: u32,
    },
    /// Others may enter it.
    #[error("is open to other users (mode {mode:04o}, where 0700 is needed)")]
    Mode {
        /// Its permission bits.
        mode: u32,
    },
}

/// What the default path depends on beside the root.
#[derive(Debug, Clone)]
pub struct SocketEnv {
    /// `XDG_RUNTIME_DIR`, if set.
    pub runtime_dir: Option<PathBuf>,
    /// The folder for temporary files.
    pub temp_dir: PathBuf,
    /// The effective user id.
    pub uid: u32,
}

impl SocketEnv {
    /// As this process finds it.
    pub fn of_process() -> Self {
        Self {
            runtime_dir: std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
            temp_dir: std::env::temp_dir(),
            uid: rustix::process::geteuid().as_raw(),
        }
    }

    /// `XDG_RUNTIME_DIR` where it is what its specification promises: absolute and this user's.
    /// After `su` or `sudo` it is still the former user's, who must not find our folder there.
    fn own_runtime_dir(&self) -> Option<&Path> {
        let folder = self.runtime_dir.as_deref()?;
        let found = fs::metadata(folder).ok()?;
        (folder.is_absolute() && found.is_dir() && found.uid() == self.uid).then_some(folder)
    }
}

/// An absolute path short enough for a socket, and whether its folder is ours to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketPath {
    path: PathBuf,
    is_default: bool,
}

impl SocketPath {
    /// The default for a root: `<runtime dir>/runlog/<hash>.sock`, else
    /// `<temp dir>/runlog-<uid>/<hash>.sock`, where the hash is the first 16 hex digits of the
    /// SHA-256 of the canonical root's bytes. Nothing is made yet.
    pub fn default_for(canonical_root: &Path, env: &SocketEnv) -> Result<Self, SocketPathError> {
        let folder = match env.own_runtime_dir() {
            Some(runtime_dir) => runtime_dir.join("runlog"),
            None => env.temp_dir.join(format!("runlog-{}", env.uid)),
        };
        let name = format!("{}.sock", root_hash(canonical_root));
        Self::checked(&folder.join(name), true)
    }

    /// A path that a person named; relative ones are seen from the current folder.
    pub fn given(path: &Path) -> Result<Self, SocketPathError> {
        Self::checked(path, false)
    }

    fn checked(path: &Path, is_default: bool) -> Result<Self, SocketPathError> {
        let path = std::path::absolute(path).map_err(|source| SocketPathError::Unusable {
            path: path.to_owned(),
            source,
        })?;
        if path.as_os_str().len() > PATH_LIMIT_BYTES {
            return Err(SocketPathError::TooLong { path, is_default });
        }
        Ok(Self { path, is_default })
    }

    /// The path.
    pub fn as_path(&self) -> &Path {
        &self.path
    }

    /// Makes the default folder, private, or checks the one that is there. A given path's folder is
    /// left as it is.
    pub(crate) fn prepare_folder(&self) -> Result<(), SocketPathError> {
        let Some(folder) = self.path.parent().filter(|_| self.is_default) else {
            return Ok(());
        };
        let failed = |source| SocketPathError::Folder {
            folder: folder.to_owned(),
            source,
        };
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            // A umask may take what is its owner's.
            Ok(()) if fs::symlink_metadata(folder).map_err(failed)?.mode() & 0o700 != 0o700 => {
                let private = fs::Permissions::from_mode(0o700);
                fs::set_permissions(folder, private).map_err(failed)?;
            }
            // Even a folder just made: only what is there now matters.
            _ => {}
        }
        let metadata = fs::symlink_metadata(folder).map_err(failed)?;
        let mode = metadata.mode() & 0o7777;
        let found = if !metadata.is_dir() {
            Untrusted::NotAFolder
        } else if metadata.uid() != rustix::process::geteuid().as_raw() {
            Untrusted::Owner {
                uid: metadata.uid(),
            }
        } else if mode & 0o077 != 0 {
            Untrusted::Mode { mode }
        } else {
            return Ok(());
        };
        Err(SocketPathError::Untrusted {
            folder: folder.to_owned(),
            found,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn env(runtime_dir: Option<&Path>, temp_dir: &Path) -> SocketEnv {
        SocketEnv {
            runtime_dir: runtime_dir.map(Path::to_owned),
            temp_dir: temp_dir.to_owned(),
            uid: own_uid(),
        }
    }

    fn default_path(env: &SocketEnv) -> SocketPath {
        SocketPath::default_for(Path::new("/srv/projects"), env).unwrap()
    }

    #[test]
    fn the_default_lies_in_the_runtime_folder_under_the_roots_hash() {
        let runtime = tempfile::tempdir().unwrap();
        let found = default_path(&env(Some(runtime.path()), Path::new("/elsewhere")));
        // printf %s /srv/projects | sha256sum
        let expected = runtime.path().join("runlog/88284aee4ca7a5d0.sock");
        assert_eq!(found.as_path(), expected);
        assert!(!runtime.path().join("runlog").exists());
    }

    #[test]
    fn without_a_runtime_folder_of_ones_own_it_lies_in_the_temporary_folder() {
        let temp = tempfile::tempdir().unwrap();
        let missing = temp.path().join("missing");
        let expected = temp.path().join(format!("runlog-{}", own_uid()));
        for runtime_dir in [None, Some(""), Some("relative"), missing.to_str()] {
            let found = default_path(&env(runtime_dir.map(Path::new), temp.path()));
            assert_eq!(found.as_path().parent(), Some(&*expected));
        }
        // As after `su`: somebody else's.
        let mut other = env(Some(temp.path()), temp.path());
        other.uid += 1;
        let found = default_path(&other);
        let expected = temp.path().join(format!("runlog-{}", other.uid));
        assert_eq!(found.as_path().parent(), Some(&*expected));
    }

    #[test]
    fn a_path_has_a_limit() {
        let longest = format!("/{}", "x".repeat(PATH_LIMIT_BYTES - 1));
        assert!(SocketPath::given(Path::new(&longest)).is_ok());
        let error = SocketPath::given(Path::new(&(longest + "x"))).unwrap_err();
        assert!(matches!(error, SocketPathError::TooLong { .. }));
        let message = error.to_string();
        assert!(
            message.contains(&format!("{} bytes", PATH_LIMIT_BYTES + 1)),
            "{message}"
        );
        assert!(!message.contains("XDG_RUNTIME_DIR"), "{message}");

        let deep = PathBuf::from(format!("/{}", "x".repeat(PATH_LIMIT_BYTES - 20)));
        let found = SocketPath::default_for(Path::new("/srv"), &env(None, &deep));
        let message = found.unwrap_err().to_string();
        assert!(message.contains("set XDG_RUNTIME_DIR"));
    }

    #[test]
    fn a_given_path_becomes_absolute_and_cannot_be_empty() {
        let found = SocketPath::given(Path::new("x.sock")).unwrap();
        assert!(found.as_path().is_absolute());
        let found = SocketPath::given(Path::new(""));
        assert!(matches!(found, Err(SocketPathError::Unusable { .. })));
    }

    #[test]
    fn the_default_folder_is_made_private() {
        let temp = tempfile::tempdir().unwrap();
        let path = default_path(&env(None, temp.path()));
        for _ in 0..2 {
            path.prepare_folder().unwrap();
            let metadata = fs::metadata(path.as_path().parent().unwrap()).unwrap();
            assert_eq!(metadata.mode() & 0o7777, 0o700);
        }
    }

    #[test]
    fn a_default_folder_that_is_not_ours_alone_is_refused_and_left_as_it_is() {
        let temp = tempfile::tempdir().unwrap();
        let path = default_path(&env(None, temp.path()));
        let folder = path.as_path().parent().unwrap();
        let refused = || match path.prepare_folder() {
            Err(SocketPathError::Untrusted { found, .. }) => found,
            other => panic!("{other:?}"),
        };

        fs::create_dir(folder).unwrap();
        for mode in [0o755, 0o770, 0o701] {
            fs::set_permissions(folder, Permissions::from_mode(mode)).unwrap();
            assert_eq!(refused(), Untrusted::Mode { mode });
            assert_eq!(fs::metadata(folder).unwrap().mode() & 0o7777, mode);
        }
        fs::remove_dir(folder).unwrap();

        let elsewhere = tempfile::tempdir().unwrap();
        symlink(elsewhere.path(), folder).unwrap();
        assert_eq!(refused(), Untrusted::NotAFolder);
        fs::remove_file(folder).unwrap();

        fs::write(folder, "").unwrap();
        assert_eq!(refused(), Untrusted::NotAFolder);
    }

    #[test]
    fn a_given_paths_folder_is_neither_made_nor_judged() {
        let temp = tempfile::tempdir().unwrap();
        fs::set_permissions(temp.path(), Permissions::from_mode(0o755)).unwrap();
        let open = SocketPath::given(&temp.path().join("x.sock")).unwrap();
        open.prepare_folder().unwrap();
        assert_eq!(fs::metadata(temp.path()).unwrap().mode() & 0o7777, 0o755);
        let missing = SocketPath::given(&temp.path().join("missing/x.sock")).unwrap();
        missing.prepare_folder().unwrap();
        assert!(!temp.path().join("missing").exists());
    }
}
