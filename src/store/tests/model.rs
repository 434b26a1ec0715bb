//! Whatever is done, by us and by others, the store tells what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use proptest::prelude::*;

use super::{Ground, listing, project, sweep};
use crate::model::{ExecutionId, RunKey};
use crate::store::{Expect, ReadError, WriteError, version_of};

const PROJECTS: [&str; 2] = ["p", "q"];
const RUNS: [&str; 3] = ["a", "b", "c"];
const LIMIT: u64 = 1 << 20;

type Name = (&'static str, &'static str);

/// What stands under a run's name.
#[derive(Debug, Clone, PartialEq)]
enum Thing {
    Record(String),
    Corrupt(String),
    Folder,
    Link,
}

impl Thing {
    fn text(&self) -> Option<&str> {
        match self {
            Thing::Record(text) | Thing::Corrupt(text) => Some(text),
            Thing::Folder | Thing::Link => None,
        }
    }
}

#[derive(Debug, Clone)]
enum Expected {
    Anything,
    Absent,
    Current,
    Other,
}

#[derive(Debug, Clone)]
enum Deed {
    Save(Name, u8, Expected),
    Delete(Name),
    DeleteAll(&'static str),
    /// What others do.
    Put(Name, Thing),
    Remove(Name),
    RemoveProject(&'static str),
    ReplaceRoot,
    Sweep,
}

fn name() -> impl Strategy<Value = Name> {
    (
        proptest::sample::select(&PROJECTS),
        proptest::sample::select(&RUNS),
    )
}

fn deed() -> impl Strategy<Value = Deed> {
    let expected = prop_oneof![
        Just(Expected::Anything),
        Just(Expected::Absent),
        Just(Expected::Current),
        Just(Expected::Other),
    ];
    let thing = prop_oneof![
        any::<u8>().prop_map(|n| Thing::Record(format!("{{\"engine\":{n}}}"))),
        any::<u8>().prop_map(|n| Thing::Corrupt(format!("{{\"torn\":{n}"))),
        Just(Thing::Folder),
        Just(Thing::Link),
    ];
    prop_oneof![
        8 => (name(), any::<u8>(), expected).prop_map(|(name, n, e)| Deed::Save(name, n, e)),
        3 => name().prop_map(Deed::Delete),
        1 => proptest::sample::select(&PROJECTS).prop_map(Deed::DeleteAll),
        4 => (name(), thing).prop_map(|(name, thing)| Deed::Put(name, thing)),
        2 => name().prop_map(Deed::Remove),
        1 => proptest::sample::select(&PROJECTS).prop_map(Deed::RemoveProject),
        1 => Just(Deed::ReplaceRoot),
        1 => Just(Deed::Sweep),
    ]
}

fn key((p, e): Name) -> RunKey {
    RunKey {
        project: project(p),
        execution: ExecutionId::parse(e).unwrap(),
    }
}

fn path(root: &Path, (p, e): Name) -> PathBuf {
    root.join(format!("{p}/executions/{e}.json"))
}

fn remove(path: &Path) {
    if path.is_dir() && !path.is_symlink() {
        fs::remove_dir(path).unwrap();
    } else if path.symlink_metadata().is_ok() {
        fs::remove_file(path).unwrap();
    }
}

fn act(ground: &Ground, things: &mut BTreeMap<Name, Thing>, deed: Deed) {
    let root = ground.root();
    match deed {
        Deed::Save(name, n, expected) => {
            let text = format!("{{\"saved\":{n}}}");
            let before = things.get(&name).cloned();
            let current = before
                .as_ref()
                .and_then(Thing::text)
                .map(|text| version_of(text.as_bytes()));
            let expect = match expected {
                Expected::Anything => Expect::Anything,
                Expected::Absent => Expect::Absent,
                Expected::Current => Expect::Version(current.unwrap_or(version_of(b"none"))),
                Expected::Other => Expect::Version(version_of(b"other")),
            };
            let result = ground.store.save(&key(name), text.as_bytes(), &expect);
            let goes_through = match expect {
                Expect::Anything => true,
                Expect::Absent => before.is_none(),
                Expect::Version(version) => Some(version) == current,
            };
            match before {
                Some(Thing::Folder | Thing::Link) => {
                    assert!(
                        matches!(result, Err(WriteError::NotRegular { .. })),
                        "{result:?}"
                    );
                }
                before if goes_through => {
                    let saved = result.unwrap();
                    assert_eq!(saved.created, before.is_none());
                    assert_eq!(saved.version, version_of(text.as_bytes()));
                    assert_eq!(ground.store.stamp(&key(name)).unwrap(), Some(saved.stamp));
                    things.insert(name, Thing::Record(text));
                }
                _ => match result {
                    Err(WriteError::Conflict { current: told, .. }) => assert_eq!(told, current),
                    other => panic!("{other:?}"),
                },
            }
        }
        Deed::Delete(name) => {
            let result = ground.store.delete(&key(name), None);
            if things.get(&name) == Some(&Thing::Folder) {
                assert!(
                    matches!(result, Err(WriteError::NotRegular { .. })),
                    "{result:?}"
                );
            } else {
                assert_eq!(result.unwrap(), things.remove(&name).is_some());
            }
        }
        Deed::DeleteAll(p) => {
            let deleted = ground.store.delete_all(&project(p), None, || true).unwrap();
            assert!(deleted.failures.is_empty());
            let goes = |((of, _), thing): &(&(_, _), &Thing)| *of == p && **thing != Thing::Folder;
            assert_eq!(deleted.count, things.iter().filter(goes).count() as u64);
            things.retain(|(of, _), thing| *of != p || *thing == Thing::Folder);
        }
        Deed::Put(name, thing) => {
            let path = path(&root, name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            remove(&path);
            match &thing {
                Thing::Record(text) | Thing::Corrupt(text) => {
                    let temporary = path.with_extension("json.tmp");
                    fs::write(&temporary, text).unwrap();
                    fs::rename(&temporary, &path).unwrap();
                }
                Thing::Folder => fs::create_dir(&path).unwrap(),
                Thing::Link => symlink("/dev/zero", &path).unwrap(),
            }
            things.insert(name, thing);
        }
        Deed::Remove(name) => {
            remove(&path(&root, name));
            things.remove(&name);
        }
        Deed::RemoveProject(p) => {
            let _ = fs::remove_dir_all(root.join(p));
            things.retain(|(of, _), _| *of != p);
        }
        Deed::ReplaceRoot => {
            fs::remove_dir_all(&root).unwrap();
            fs::create_dir(&root).unwrap();
            things.clear();
        }
        Deed::Sweep => assert_eq!(sweep(&ground.store).removed, 0),
    }
}

fn compare(ground: &Ground, things: &BTreeMap<Name, Thing>) {
    for p in PROJECTS {
        let walk = ground
            .store
            .walk(&project(p), SystemTime::now(), true)
            .unwrap();
        let of_project = |regular: bool| {
            things
                .iter()
                .filter(move |((of, _), thing)| *of == p && thing.text().is_some() == regular)
                .map(|((_, e), _)| *e)
        };
        let mut ids: Vec<&str> = walk.runs.iter().map(|(id, _)| id.as_str()).collect();
        ids.sort_unstable();
        assert!(ids.into_iter().eq(of_project(true)));
        assert_eq!(walk.problems.len(), of_project(false).count());
        let folder = ground.root().join(p).join("executions");
        assert_eq!(walk.has_executions, folder.exists());
        if walk.has_executions {
            assert!(!listing(&folder).iter().any(|name| name.starts_with('.')));
        }
        for (id, stamp) in walk.runs {
            let key = RunKey {
                project: project(p),
                execution: id,
            };
            assert_eq!(ground.store.stamp(&key).unwrap(), Some(stamp));
        }
    }
    for name in PROJECTS.iter().flat_map(|p| RUNS.iter().map(|e| (*p, *e))) {
        let read = ground.store.read(&key(name), LIMIT);
        let scanned = ground.store.scan(&key(name));
        match things.get(&name) {
            None => assert!(read.unwrap().is_none() && scanned.unwrap().is_none()),
            Some(Thing::Record(text)) => {
                let (record, scanned) = (read.unwrap().unwrap(), scanned.unwrap().unwrap());
                assert_eq!(record.text(), text);
                assert_eq!(record.version, version_of(text.as_bytes()));
                assert_eq!(
                    (scanned.version, scanned.stamp),
                    (record.version, record.stamp)
                );
            }
            Some(Thing::Corrupt(_)) => {
                assert!(matches!(read, Err(ReadError::Corrupt { .. })), "{read:?}");
                assert!(
                    matches!(scanned, Err(ReadError::Corrupt { .. })),
                    "{scanned:?}"
                );
            }
            Some(Thing::Folder | Thing::Link) => {
                assert!(
                    matches!(read, Err(ReadError::NotRegular { .. })),
                    "{read:?}"
                );
                assert!(
                    matches!(scanned, Err(ReadError::NotRegular { .. })),
                    "{scanned:?}"
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_store_tells_what_is_there(deeds in proptest::collection::vec(deed(), 1..30)) {
        let ground = Ground::new();
        let mut things = BTreeMap::new();
        for deed in deeds {
            act(&ground, &mut things, deed);
            compare(&ground, &things);
        }
    }
}
