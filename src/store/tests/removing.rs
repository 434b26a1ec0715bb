//! Deleting, sweeping and cookies: what is removed, and what never is.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::fs::Mode;

use super::{Ground, in_time, listing, project, run, sweep};
use crate::store::layout::Obstacle;
use crate::store::own::Temporary;
use crate::store::{Store, WriteError};

#[test]
fn deleting_removes_names_but_no_folders() {
    let ground = Ground::new();
    let folder = ground.executions();
    assert!(!ground.store.delete(&run("x"), None).unwrap());
    fs::write(folder.join("x.json"), "corrupt").unwrap();
    fs::write(ground.root().join("kept"), "").unwrap();
    symlink(ground.root().join("kept"), folder.join("link.json")).unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    assert!(ground.store.delete(&run("x"), None).unwrap());
    assert!(ground.store.delete(&run("link"), None).unwrap());
    let result = ground.store.delete(&run("folder"), None);
    assert!(
        matches!(result, Err(WriteError::NotRegular { .. })),
        "{result:?}"
    );
    assert_eq!(listing(&folder), ["folder.json"]);
    assert!(ground.root().join("kept").exists());
    let nowhere = Store::new(ground.root().join("not/there"));
    assert!(!nowhere.delete(&run("x"), None).unwrap());
    assert_eq!(
        nowhere
            .delete_all(&project("p"), None, || true)
            .unwrap()
            .count,
        0
    );
}

#[test]
fn deleting_all_takes_every_json_file_and_nothing_else() {
    let ground = Ground::new();
    let folder = ground.executions();
    for name in [
        "a.json",
        "b.json",
        "x\\y.json",
        ".hidden.json",
        "c.json.tmp",
        "notes.txt",
    ] {
        fs::write(folder.join(name), "{").unwrap();
    }
    symlink("a.json", folder.join("link.json")).unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    let deleted = ground
        .store
        .delete_all(&project("p"), None, || true)
        .unwrap();
    assert_eq!(deleted.count, 4);
    assert!(deleted.failures.is_empty());
    assert_eq!(
        listing(&folder),
        [".hidden.json", "c.json.tmp", "folder.json", "notes.txt"]
    );
}

#[test]
fn a_sweep_takes_only_what_nobody_holds() {
    let ground = Ground::new();
    let path = ground.executions();
    for name in [
        ".runlog-dead.tmp",
        "x.json",
        "x.json.tmp",
        ".runlog-.tmpx",
        ".other.tmp",
    ] {
        fs::write(path.join(name), "{}").unwrap();
    }
    fs::create_dir(path.join(".runlog-folder.tmp")).unwrap();
    symlink("x.json", path.join(".runlog-link.tmp")).unwrap();
    fs::write(ground.root().join(".runlog-cookie-dead"), "").unwrap();
    fs::write(ground.root().join(".runlog-dead.tmp"), "").unwrap();
    let Ok::<_, Obstacle>(folder) = ground.store.open_executions(&project("p")) else {
        panic!("the folder is there");
    };
    let living = Temporary::create(&folder, Mode::RWXU).unwrap();
    let cookie = ground
        .store
        .cookie(&ground.store.new_cookie_name())
        .unwrap();

    let store = Store::new(ground.root());
    let swept = in_time(move || sweep(&store));
    assert_eq!(swept.removed, 2);
    assert!(swept.failures.is_empty());
    let kept: Vec<String> = listing(&path);
    assert_eq!(kept.len(), 7, "{kept:?}");
    assert!(!kept.contains(&".runlog-dead.tmp".to_owned()));
    assert_eq!(
        listing(&ground.root()),
        [cookie.name(), ".runlog-dead.tmp", "p"]
    );
    drop(living);
    drop(cookie);
    assert_eq!(listing(&path).len(), 6);
    assert_eq!(listing(&ground.root()), [".runlog-dead.tmp", "p"]);
    let nowhere = Store::new(ground.root().join("not/there"));
    assert_eq!(sweep(&nowhere).removed, 0);
}

#[test]
fn a_cookie_is_where_and_what_it_says() {
    let ground = Ground::new();
    let name = ground.store.new_cookie_name();
    assert_ne!(name, ground.store.new_cookie_name());
    assert!(name.starts_with(".runlog-cookie-"));
    let cookie = ground.store.cookie(&name).unwrap();
    assert!(ground.store.cookie(&name).is_err());
    assert_eq!(listing(&ground.root()), [name.as_str()]);
    assert_eq!(cookie.name(), name);
    // Also from a root that has been moved away.
    fs::rename(ground.root(), ground.folder.path().join("old")).unwrap();
    drop(cookie);
    assert_eq!(listing(&ground.folder.path().join("old")), [""; 0]);
    assert!(ground.store.cookie(&name).is_err());
    fs::create_dir(ground.root()).unwrap();
    for name in ["x", ".runlog-cookie-/../x", "../.runlog-cookie-x"] {
        assert!(ground.store.cookie(name).is_err());
    }
}
