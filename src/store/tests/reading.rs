//! Reading what others wrote, and what is no record at all.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::time::{Instant, SystemTime};

use super::{Ground, PATIENCE, disturbed, in_time, make_fifo, project, run};
use crate::store::{NESTING_MAX, ReadError, Store, version_of};

const LIMIT: u64 = 1 << 20;

#[test]
fn a_missing_root_project_or_file_is_none() {
    let ground = Ground::new();
    let nowhere = Store::new(ground.root().join("not/there"));
    assert!(!nowhere.exists());
    for store in [&nowhere, &ground.store] {
        assert_eq!(store.scan(&run("x")).unwrap(), None);
        assert_eq!(store.read(&run("x"), LIMIT).unwrap(), None);
        assert_eq!(store.stamp(&run("x")).unwrap(), None);
    }
    ground.executions();
    assert_eq!(ground.store.scan(&run("x")).unwrap(), None);
    // A file where a folder should be holds no runs either.
    fs::write(ground.root().join("q"), "read me").unwrap();
    let key = crate::model::RunKey {
        project: project("q"),
        ..run("x")
    };
    assert_eq!(ground.store.read(&key, LIMIT).unwrap(), None);
}

#[test]
fn read_scan_and_stamp_agree() {
    let ground = Ground::new();
    let text = "\n{\"id\": \"x\", \"status\": \"failed\", \"lone\": \"\\ud800\"}\n ";
    fs::write(ground.executions().join("x.json"), text).unwrap();
    let record = ground.store.read(&run("x"), LIMIT).unwrap().unwrap();
    let scanned = ground.store.scan(&run("x")).unwrap().unwrap();
    assert_eq!(record.text(), text);
    assert_eq!(record.version, version_of(text.as_bytes()));
    assert_eq!(scanned.version, record.version);
    assert_eq!(scanned.stamp, record.stamp);
    assert_eq!(ground.store.stamp(&run("x")).unwrap(), Some(scanned.stamp));
    assert_eq!(scanned.stamp.size, text.len() as u64);
    assert_eq!(scanned.facts.status.unwrap().as_str(), "failed");
}

#[test]
fn a_large_record_hashes_as_a_whole() {
    let ground = Ground::new();
    let text = format!(
        "{{\"pad\": \"{}\"}}{}",
        "x".repeat(3 << 20),
        " ".repeat(99_999)
    );
    fs::write(ground.executions().join("x.json"), &text).unwrap();
    let scanned = ground.store.scan(&run("x")).unwrap().unwrap();
    assert_eq!(scanned.version, version_of(text.as_bytes()));
}

#[test]
fn what_is_no_record_is_told_apart() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    let nested =
        |depth: usize| format!("{}{}", "{\"a\":".repeat(depth - 1), "{}") + &"}".repeat(depth - 1);
    let check = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let scanned = ground.store.scan(&run("x"));
        (ground.store.read(&run("x"), LIMIT), scanned)
    };
    for corrupt in [
        &b""[..],
        b" ",
        b"{",
        b"{} x",
        b"{}{}",
        b"{\"a\":1,}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"\0\0\0\0",
    ] {
        let (read, scanned) = check(corrupt);
        assert!(
            matches!(read, Err(ReadError::Corrupt { .. })),
            "{corrupt:?}: {read:?}"
        );
        assert!(
            matches!(scanned, Err(ReadError::Corrupt { .. })),
            "{corrupt:?}: {scanned:?}"
        );
        let message = read.unwrap_err().to_string();
        assert!(message.starts_with("p/executions/x.json "), "{message}");
    }
    for other in [&b"[]"[..], b"null", b"\"{}\"", b"1e400"] {
        let (read, scanned) = check(other);
        assert!(
            matches!(read, Err(ReadError::NotAnObject { .. })),
            "{read:?}"
        );
        assert!(
            matches!(scanned, Err(ReadError::NotAnObject { .. })),
            "{scanned:?}"
        );
    }
    assert!(check(nested(NESTING_MAX).as_bytes()).0.is_ok());
    let too_deep = check(nested(NESTING_MAX + 1).as_bytes()).0;
    assert!(
        matches!(
            too_deep,
            Err(ReadError::TooDeep {
                limit: NESTING_MAX,
                ..
            })
        ),
        "{too_deep:?}"
    );
}

#[test]
fn a_record_above_the_limit_is_refused_unread() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    // A hole of a terabyte: whoever reads it does not come back.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let store = Store::new(ground.root());
    let result = in_time(move || store.read(&run("x"), LIMIT));
    assert!(
        matches!(
            result,
            Err(ReadError::TooLarge { size_bytes, limit_bytes: LIMIT, .. }) if size_bytes == 1 << 40
        ),
        "{result:?}"
    );
    fs::write(&path, "{}").unwrap();
    assert!(ground.store.read(&run("x"), 2).unwrap().is_some());
    assert!(matches!(
        ground.store.read(&run("x"), 1),
        Err(ReadError::TooLarge { size_bytes: 2, .. })
    ));
}

#[test]
fn nothing_but_regular_files_is_opened() {
    let ground = Ground::new();
    let folder = ground.executions();
    fs::write(ground.root().join("secret.json"), "{}").unwrap();
    symlink(ground.root().join("secret.json"), folder.join("link.json")).unwrap();
    symlink("nowhere", folder.join("dangling.json")).unwrap();
    symlink("loop.json", folder.join("loop.json")).unwrap();
    fs::create_dir(folder.join("folder.json")).unwrap();
    make_fifo(&folder.join("pipe.json"));
    let _socket = UnixListener::bind(folder.join("socket.json")).unwrap();
    for name in ["link", "dangling", "loop", "folder", "pipe", "socket"] {
        let store = Store::new(ground.root());
        let results = in_time(move || {
            let key = run(name);
            [
                store.scan(&key).map(|_| ()),
                store.read(&key, LIMIT).map(|_| ()),
                store.stamp(&key).map(|_| ()),
            ]
        });
        for result in results {
            assert!(
                matches!(result, Err(ReadError::NotRegular { .. })),
                "{name}: {result:?}"
            );
        }
    }
}

#[test]
fn no_symlink_is_followed_on_the_way() {
    let ground = Ground::new();
    let outside = ground.folder.path().join("outside");
    fs::create_dir_all(outside.join("executions")).unwrap();
    fs::write(outside.join("executions/x.json"), "{}").unwrap();

    symlink(&outside, ground.root().join("p")).unwrap();
    let result = ground.store.scan(&run("x"));
    assert!(
        matches!(&result, Err(ReadError::NotRegular { path }) if path == "p"),
        "{result:?}"
    );

    fs::remove_file(ground.root().join("p")).unwrap();
    fs::create_dir(ground.root().join("p")).unwrap();
    symlink(
        outside.join("executions"),
        ground.root().join("p/executions"),
    )
    .unwrap();
    let result = ground.store.read(&run("x"), LIMIT);
    assert!(
        matches!(&result, Err(ReadError::NotRegular { path }) if path == "p/executions"),
        "{result:?}"
    );

    // The root is its user's own choice.
    let root = ground.folder.path().join("link");
    symlink(ground.root(), &root).unwrap();
    fs::remove_file(ground.root().join("p/executions")).unwrap();
    fs::write(ground.executions().join("x.json"), "{}").unwrap();
    assert!(Store::new(root).scan(&run("x")).unwrap().is_some());
}

#[test]
fn a_replaced_root_is_opened_again() {
    let ground = Ground::new();
    fs::write(ground.executions().join("x.json"), "{\"n\":1}").unwrap();
    let text = || {
        ground
            .store
            .read(&run("x"), LIMIT)
            .unwrap()
            .map(|record| record.text().to_owned())
    };
    assert_eq!(text().unwrap(), "{\"n\":1}");
    fs::rename(ground.root(), ground.folder.path().join("old")).unwrap();
    assert_eq!(text(), None);
    assert!(!ground.store.exists());
    fs::write(ground.executions().join("x.json"), "{\"n\":2}").unwrap();
    assert_eq!(text().unwrap(), "{\"n\":2}");
    // Removed and made again: the number of its inode may be the same.
    fs::remove_dir_all(ground.root()).unwrap();
    fs::write(ground.executions().join("x.json"), "{\"n\":3}").unwrap();
    assert_eq!(text().unwrap(), "{\"n\":3}");
}

#[test]
fn a_file_is_racy_until_it_is_older_than_a_tick() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    fs::write(&path, "{}").unwrap();
    let settles = || {
        let deadline = Instant::now() + PATIENCE;
        while ground.store.scan(&run("x")).unwrap().unwrap().racy {
            assert!(Instant::now() < deadline, "racy for ever");
            std::thread::yield_now();
        }
    };
    settles();
    // Whoever sets an mtime changes the inode now.
    let file = File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
    assert!(ground.store.scan(&run("x")).unwrap().unwrap().racy);
    file.set_modified(SystemTime::now() + PATIENCE * 1000)
        .unwrap();
    let scanned = ground.store.scan(&run("x")).unwrap().unwrap();
    assert!(scanned.racy && scanned.stamp.mtime_ns > scanned.stamp.ctime_ns);
    settles();
}

#[test]
fn a_file_that_keeps_changing_is_read_all_the_same() {
    let ground = Ground::new();
    let folder = ground.executions();
    let mut n = 0_u64;
    let replace = || {
        fs::write(folder.join("new"), format!("{{\"n\":{n}}}")).unwrap();
        fs::rename(folder.join("new"), folder.join("x.json")).unwrap();
        n += 1;
    };
    fs::write(folder.join("x.json"), "{\"n\":0}").unwrap();
    disturbed(replace, || {
        let mut last = 0;
        while last < 300 {
            let record = ground.store.read(&run("x"), LIMIT).unwrap().unwrap();
            let digits = record
                .text()
                .trim_start_matches("{\"n\":")
                .trim_end_matches('}');
            let n: u64 = digits.parse().unwrap();
            assert!(n >= last, "an older record than before");
            last = n;
            assert!(ground.store.scan(&run("x")).unwrap().is_some());
        }
    });
}

#[test]
fn a_file_that_grows_is_read_no_further_than_it_was() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    fs::write(&path, "{}").unwrap();
    let folder = ground.store.folder(&project("p")).unwrap().unwrap();
    let mut readings = 0;
    let reading = folder
        .read_settled("x.json", |file, size_bytes| {
            let mut growing = File::options().append(true).open(&path).unwrap();
            growing.write_all(&[b' '; 1024]).unwrap();
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes.len() as u64, size_bytes);
            readings += 1;
            Ok(())
        })
        .unwrap()
        .unwrap();
    assert!(!reading.settled && readings > 1);
    assert_eq!(reading.stamp.size, 2 + 1024 * (readings - 1));
}

#[test]
fn a_file_that_changes_once_is_read_again() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    fs::write(&path, "torn").unwrap();
    let folder = ground.store.folder(&project("p")).unwrap().unwrap();
    let mut seen = Vec::new();
    let reading = folder
        .read_settled("x.json", |file, _| {
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            seen.push(text);
            if seen.len() == 1 {
                // Of the same size, in place.
                fs::write(&path, "{}  ").unwrap();
                return Err(ReadError::NotAnObject { path: "x".into() });
            }
            Ok(())
        })
        .unwrap()
        .unwrap();
    assert!(reading.settled);
    assert_eq!(seen, ["torn", "{}  "]);
    assert_eq!(ground.store.stamp(&run("x")).unwrap(), Some(reading.stamp));
    // Gone during the reading: gone.
    let gone = folder.read_settled("x.json", |_, _| {
        fs::remove_file(&path).unwrap();
        Ok(())
    });
    assert!(gone.unwrap().is_none());
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_in_memory_is_read_at_once_and_only_from_a_regular_file_of_the_root() {
    let ground = Ground::new();
    let folder = ground.executions();
    let text = r#"{"id":"x","output":"some text"}"#;
    fs::write(folder.join("x.json"), text).unwrap();
    let record = ground.store.read(&run("x"), LIMIT).unwrap().unwrap();
    // read just now, so it is in memory; a rename elsewhere may hide that for an instant
    let cached = (0..1_000).find_map(|_| ground.store.read_cached(&run("x"), 1000));
    assert_eq!(cached, Some((text.as_bytes().to_vec(), record.stamp)));
    let outside = ground.folder.path().join("outside.json");
    fs::write(&outside, text).unwrap();
    symlink(&outside, folder.join("link.json")).unwrap();
    make_fifo(&folder.join("pipe.json"));
    fs::create_dir(folder.join("folder.json")).unwrap();
    fs::write(folder.join("large.json"), " ".repeat(1 << 20)).unwrap();
    for id in ["missing", "link", "pipe", "folder", "large"] {
        assert_eq!(ground.store.read_cached(&run(id), 1000), None, "{id}");
    }
    let elsewhere = ground.folder.path().join("elsewhere/executions");
    fs::create_dir_all(&elsewhere).unwrap();
    fs::write(elsewhere.join("x.json"), text).unwrap();
    fs::rename(ground.root().join("p"), ground.root().join("q")).unwrap();
    symlink(elsewhere.parent().unwrap(), ground.root().join("p")).unwrap();
    assert_eq!(ground.store.read_cached(&run("x"), 1000), None);
}
