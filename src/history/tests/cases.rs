//! What random sequences do not come to, or not for certain: one case a test.

use std::future::pending;

use super::*;
use crate::history::thread::tests::NONE;
use crate::model::Stamp;
use crate::model::update::Update;
use crate::store::version_of;

#[test]
fn a_start_with_nothing_changed_opens_no_record_and_honours_the_clock() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    let cache = folder.path().join("cache");
    crate::api::samples::lay_out(&root).unwrap();
    fs::write(root.join("docs/executions/broken.json"), "{").unwrap();
    let live = || {
        let history = with_cache(&root, &cache);
        history.begin(Moment::now());
        while history.first_step() {}
        while history.pass(Moment::now()) {}
        history
    };
    let first = live();
    assert!(!first.was_restored());
    assert_eq!(first.totals(None).0.runs(), 4);
    first.write_snapshot(None);
    let clock = first.clock();
    let want = scan_of(&first);
    let began = Instant::now();
    loop {
        let next = live();
        assert!(next.was_restored());
        assert_eq!(scan_of(&next), want);
        assert!(next.honours(clock));
        assert_eq!(next.clock().tick, clock.tick, "nothing has changed");
        assert_ne!(next.clock().instance, clock.instance);
        if next.files_read() == 0 {
            break;
        }
        // files that are younger than the clock of the file system can tell are read again
        assert!(began.elapsed() < Duration::from_secs(30));
        next.write_snapshot(None);
    }
    // what changed meanwhile is a change like any other
    let key = RunKey {
        project: ProjectId::parse("docs").unwrap(),
        execution: ExecutionId::parse("exec-1759381229897-b7m3s9d0f").unwrap(),
    };
    fs::remove_file(root.join("docs/executions/exec-1759381229897-b7m3s9d0f.json")).unwrap();
    let next = live();
    assert_eq!(next.files_read(), 1, "only what is gone is looked for");
    let mut cursor = Cursor::after(clock.tick);
    let (found, _) = next.changes_after(&mut cursor, &Filter::default().into(), 10, 100);
    let found: Vec<_> = found
        .unwrap()
        .into_iter()
        .map(|change| change.what)
        .collect();
    assert_eq!(found, [Changed::Deleted(key)]);
    assert!(next.honours(clock));
    // a daemon that nobody heard of is not
    assert!(!next.honours(Clock {
        instance: Instance(7),
        tick: 1
    }));
}

/// What was walked while the snapshot was read says nothing any more once somebody looked again.
#[test]
fn a_walk_made_ahead_is_not_believed_after_a_later_look() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    let cache = folder.path().join("cache");
    crate::api::samples::lay_out(&root).unwrap();
    let docs = ProjectId::parse("docs").unwrap();
    let link = root.join("docs/executions/link.json");
    symlink("/", &link).unwrap();
    let first = with_cache(&root, &cache);
    first.begin(Moment::now());
    while first.first_step() {}
    first.write_snapshot(None);
    let next = with_cache(&root, &cache);
    next.begin(Moment::now());
    // as it is where the walk was quicker than the snapshot
    let walk = next.store.walk(&docs, SystemTime::now(), true).unwrap();
    assert_eq!(walk.problems.len(), 1);
    let walk = super::start::Ahead::Walked(walk);
    next.first.lock().ahead.insert(docs.clone(), walk);
    fs::remove_file(link).unwrap();
    next.mark(Mark::Project(docs), Instant::now());
    while next.pass(Moment::now()) {}
    while next.first_step() {}
    assert!(next.was_restored());
    assert_eq!(scan_of(&next), fresh_scan(&root));
}

#[test]
fn runs_behind_a_link_are_gone_and_only_the_link_is_told_of() {
    for part in ["docs", "docs/executions"] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("projects");
        crate::api::samples::lay_out(&root).unwrap();
        let history = History::new(root.clone(), Options::default());
        history.begin(Moment::now());
        while history.first_step() {}
        let away = folder.path().join("away");
        fs::rename(root.join(part), &away).unwrap();
        symlink(&away, root.join(part)).unwrap();
        history.look_at_project(&ProjectId::parse("docs").unwrap(), Moment::now());
        assert_eq!(scan_of(&history), fresh_scan(&root), "{part}");
    }
}

/// A project whose folder has the names that it had is not listed when a daemon starts: whatever
/// happened to its files is found all the same.
#[test]
fn what_changed_in_a_folder_is_found_whether_its_names_changed_or_not() {
    let changes: [fn(&Path); 9] = [
        |_| {},
        |executions| fs::write(executions.join("new.json"), "{\"status\":\"failed\"}").unwrap(),
        |executions| fs::remove_file(executions.join("a.json")).unwrap(),
        // in its place, with the same size and time
        |executions| {
            let file = executions.join("a.json");
            let before = fs::metadata(&file).unwrap().modified().unwrap();
            fs::write(&file, "{\"status\":\"paused\",\"x\":2}").unwrap();
            let file = fs::File::options().write(true).open(file).unwrap();
            file.set_modified(before).unwrap();
        },
        |executions| {
            let fresh = executions.join("fresh");
            fs::write(&fresh, "{\"status\":\"queued\"}").unwrap();
            fs::rename(fresh, executions.join("b.json")).unwrap();
        },
        // what was no record is one
        |executions| fs::write(executions.join("bad.json"), "{}").unwrap(),
        |executions| fs::remove_file(executions.join("bad.json")).unwrap(),
        |executions| {
            fs::remove_file(executions.join("b.json")).unwrap();
            fs::create_dir(executions.join("b.json")).unwrap();
        },
        |executions| {
            let aside = executions.with_file_name("aside");
            fs::rename(executions, &aside).unwrap();
            fs::create_dir(executions).unwrap();
            fs::copy(aside.join("a.json"), executions.join("a.json")).unwrap();
        },
    ];
    for (number, change) in changes.into_iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap().join("projects");
        let cache = folder.path().join("cache");
        let executions = root.join("p/executions");
        fs::create_dir_all(&executions).unwrap();
        for (name, text) in [
            ("a", "{\"status\":\"failed\",\"x\":1}"),
            ("b", "{}"),
            ("bad", "{"),
        ] {
            fs::write(executions.join(format!("{name}.json")), text).unwrap();
        }
        until_old(&root);
        let live = || {
            let history = with_cache(&root, &cache);
            history.begin(Moment::now());
            while history.first_step() {}
            history
        };
        let first = live();
        let project = ProjectId::parse("p").unwrap();
        assert_eq!(first.index(|index| index.complete().count()), 1);
        first.write_snapshot(None);
        change(&executions);
        let next = live();
        assert!(next.was_restored());
        assert_eq!(scan_of(&next), fresh_scan(&root), "change {number}");
        assert_eq!(next.files_read() > 0, number > 0, "change {number}");
        // and what was moved away, seen so, and moved back
        let away = root.join("away");
        fs::rename(root.join("p"), &away).unwrap();
        fs::create_dir(root.join("p")).unwrap();
        next.mark(Mark::Project(project), Instant::now());
        settle(&next);
        next.write_snapshot(None);
        fs::remove_dir(root.join("p")).unwrap();
        fs::rename(&away, root.join("p")).unwrap();
        let last = live();
        assert!(last.was_restored());
        assert_eq!(scan_of(&last), fresh_scan(&root), "change {number}");
    }
}

/// Runs that are gone are looked at once more before that is believed, and a daemon may end before.
#[test]
fn what_is_wrong_in_a_folder_is_known_again_when_it_was_away_for_a_moment_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    let cache = folder.path().join("cache");
    let executions = root.join("p/executions");
    fs::create_dir_all(executions.join("folder.json")).unwrap();
    fs::write(executions.join("a.json"), "{}").unwrap();
    until_old(&root);
    let live = || {
        let history = with_cache(&root, &cache);
        history.begin(Moment::now());
        while history.first_step() {}
        history
    };
    let first = live();
    assert_eq!(first.index(|index| index.complete().count()), 1);
    assert_eq!(first.sizes().2, 1, "problems");
    let away = root.join(".away");
    fs::rename(root.join("p"), &away).unwrap();
    let now = Moment::now();
    let project = ProjectId::parse("p").unwrap();
    first.mark(Mark::Project(project), now.instant);
    while first.pass(now) {}
    assert_eq!(first.totals(None).0.runs(), 1, "not believed yet");
    assert!(first.write_snapshot(None));
    fs::rename(&away, root.join("p")).unwrap();
    let next = live();
    assert!(next.was_restored());
    assert_eq!(scan_of(&next), fresh_scan(&root));
}

/// A run that is given another place among the others while the snapshot is written may be missing
/// from it, although its folder's names did not change.
#[test]
fn a_run_that_a_snapshot_missed_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    let cache = folder.path().join("cache");
    let executions = root.join("p/executions");
    fs::create_dir_all(&executions).unwrap();
    let write = |run: u32, hour: u32| {
        let text = format!("{{\"startedAt\":\"2026-01-01T{hour:02}:00:00Z\"}}");
        fs::write(executions.join(format!("run-{run}.json")), text).unwrap();
    };
    (0..8).for_each(|run| write(run, 10 + run));
    until_old(&root);
    let first = with_cache(&root, &cache);
    first.begin(Moment::now());
    while first.first_step() {}
    let mut slices = 0;
    write_while(&first, || {
        slices += 1;
        if slices == 3 {
            write(7, 1);
            let (project, execution) = (ProjectId::parse("p"), ExecutionId::parse("run-7"));
            let (project, execution) = (project.unwrap(), execution.unwrap());
            first.mark(Mark::Run(RunKey { project, execution }), Instant::now());
            settle(&first);
        }
    });
    let next = with_cache(&root, &cache);
    next.begin(Moment::now());
    assert_eq!(next.totals(None).0.runs(), 7, "the snapshot missed it");
    while next.first_step() {}
    assert_eq!(scan_of(&next), fresh_scan(&root));
}

/// Times can be set, and a clock can be set back: nobody waits until such a file is old.
#[test]
fn a_file_of_the_future_is_not_read_over_and_over() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    crate::api::samples::lay_out(&root).unwrap();
    let future = SystemTime::now() + Duration::from_secs(3600);
    let failed = crate::api::samples::FAILED_ID;
    let file = root.join(format!("website/executions/{failed}.json"));
    let file = fs::File::open(file).unwrap();
    file.set_modified(future).unwrap();
    let history = History::new(root, Options::default());
    history.begin(Moment::now());
    while history.first_step() {}
    let began = Instant::now();
    for looks in 1.. {
        // whatever is to be looked at later, without waiting for it
        let now = Moment {
            instant: began + Duration::from_secs(looks),
            wall: SystemTime::now(),
        };
        if !history.pass(now) {
            break;
        }
        assert!(looks < 5_000, "it was read {} times", history.files_read());
    }
}

/// What proves nothing is read at each comparison, and those may take only a part of the time.
#[test]
fn what_is_read_again_although_nothing_has_changed_makes_comparing_rarer() {
    use crate::store::tests::steps::{before_opening, refusing_to_open};
    const TAKES: Duration = Duration::from_millis(20);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("p/executions")).unwrap();
    fs::write(root.join("p/executions/a.json"), "{}").unwrap();
    let history = History::new(root, Options::default());
    let look = || history.look_at_project(&ProjectId::parse("p").unwrap(), Moment::now());
    // whoever may not read it now may later, and its stamp need not tell
    refusing_to_open(rustix::io::Errno::ACCESS, || {
        look();
        before_opening(0, || std::thread::sleep(TAKES), look);
    });
    assert_eq!(history.sizes().2, 1, "problems");
    assert!(history.comparing().took >= TAKES);
}

#[test]
fn the_echo_of_a_save_is_read_once_and_what_others_write_meanwhile_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let history = History::new(folder.path().to_owned(), Options::default());
    settle(&history);
    let project = ProjectId::parse("p").unwrap();
    let execution = ExecutionId::parse("x").unwrap();
    let key = RunKey { project, execution };
    let of = |status: &str| format!(r#"{{"id":"x","projectId":"p","status":"{status}"}}"#);
    let at = |instant| Moment {
        instant,
        wall: SystemTime::now(),
    };
    let begun = Instant::now();
    let saved = history.save(&key, &of("running"), &Expect::Anything);
    let before = history.files_read();
    let version = |history: &History| history.index(|index| index.proven(&key).map(|(_, v)| v));
    // its rename, and the closing of what was written
    for _ in 0..2 {
        history.hint(Hint::Run(key.clone()), begun);
        history.pass(at(begun));
    }
    assert_eq!(history.files_read(), before, "nobody waits for it");
    until_old(folder.path());
    while history.pass(at(Instant::now() + RACY_FOR)) {}
    assert_eq!(history.files_read(), before + 1);
    assert_eq!(version(&history), Some(saved.unwrap().version));

    // somebody writes while the echo of another save is awaited
    history
        .save(&key, &of("paused"), &Expect::Anything)
        .unwrap();
    let file = folder.path().join("p/executions/x.json");
    fs::write(&file, of("cancelled")).unwrap();
    let begun = Instant::now();
    history.hint(Hint::Run(key.clone()), begun);
    let ticket = history.dirty.lock().ticket();
    history.dirty.lock().hurry(ticket, begun);
    history.pass(at(begun));
    let status = history.index(|index| index.summary_of(&key).unwrap().status);
    assert_eq!(status.as_deref(), Some("cancelled"));
}

#[tokio::test]
async fn a_heartbeat_beside_what_is_refused_changes_no_byte() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    fs::create_dir_all(root.join("p/executions")).unwrap();
    let file = root.join("p/executions/a.json");
    let text = r#"{"id":"a","projectId":"p","status":"running"}"#;
    fs::write(&file, text).unwrap();
    let key = RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse("a").unwrap(),
    };
    let history = Arc::new(History::new(root, Options::default()));
    let late = Update {
        set: vec![("\"name\"".into(), "1".into())],
        if_version: Some(version_of(b"{}")),
        ..Update::default()
    };
    // the write begins when both are there
    let (beat, refused) = tokio::join!(
        history.update(key.clone(), Update::default(), pending()),
        history.update(key, late, pending()),
    );
    assert!(matches!(refused, Err(HistoryError::Version { .. })));
    assert_eq!(beat.unwrap().version, version_of(text.as_bytes()));
    assert_eq!(fs::read_to_string(file).unwrap(), text);
}

#[tokio::test]
async fn an_update_for_which_there_is_no_thread_is_refused_and_holds_up_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = Arc::new(History::new(root, Options::default()));
    let (key, saved) = history
        .start_run(ProjectId::parse("p").unwrap(), None, None)
        .unwrap();
    let beat = || history.update(key.clone(), Update::default(), pending());
    NONE.set(true);
    let (one, two) = tokio::join!(beat(), beat());
    for refused in [one, two] {
        assert!(matches!(refused, Err(HistoryError::NoThread)));
    }
    NONE.set(false);
    assert_eq!(beat().await.unwrap().version, saved.version);
}

/// Two that expect what comes of the one before them meet in one write.
#[tokio::test]
async fn what_an_update_expects_is_compared_with_what_those_before_it_made() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = Arc::new(History::new(root, Options::default()));
    let project = ProjectId::parse("p").unwrap();
    let (key, first) = history.start_run(project, None, None).unwrap();
    let named = |name: &str, if_version| {
        let update = Update {
            set: vec![("\"name\"".into(), format!("\"{name}\"").into())],
            if_version,
            ..Update::default()
        };
        history.update(key.clone(), update, pending())
    };
    let second = named("b", Some(first.version)).await.unwrap().version;
    named("a", None).await.unwrap();
    // the first makes again what it was before
    let (one, two, three, four) = tokio::join!(
        named("b", None),
        named("c", Some(first.version)),
        named("d", Some(second)),
        named("e", Some(second)),
    );
    assert!(one.is_ok());
    assert!(matches!(two, Err(HistoryError::Version { .. })));
    assert!(three.is_ok());
    assert!(matches!(four, Err(HistoryError::Version { .. })));
}

#[test]
fn a_save_in_place_is_one_change_however_long_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = History::new(root.clone(), Options::default());
    let key = RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse("x").unwrap(),
    };
    let text = |status: &str| format!(r#"{{"id":"x","projectId":"p","status":"{status}"}}"#);
    let file = root.join("p/executions/x.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text("completed")).unwrap();
    settle(&history);
    let clock = history.clock();
    let mut at = Moment::now();
    // so long after the first of these looks, or the last save
    let mut look_after = |millis| {
        at.instant += Duration::from_secs(1);
        at.wall = SystemTime::now() + Duration::from_millis(millis);
        history.hint(Hint::Run(key.clone()), at.instant);
        while history.pass(at) {}
        history.summary(&key).and_then(|summary| summary.status)
    };

    fs::write(&file, &text("failed")[..20]).unwrap();
    for millis in [0, 60, 260, 560] {
        assert_eq!(look_after(millis).as_deref(), Some("completed"));
    }
    fs::write(&file, text("failed")).unwrap();
    assert_eq!(look_after(0).as_deref(), Some("failed"));
    let mut cursor = Cursor::after(clock.tick);
    let (found, _) = history.changes_after(&mut cursor, &Filter::default().into(), 10, 100);
    assert_eq!(
        found.unwrap().len(),
        1,
        "no deletion, and no second creation"
    );

    // who waits is told what there is
    fs::write(&file, "{").unwrap();
    assert_eq!(look_after(0).as_deref(), Some("failed"));
    let ticket = history.dirty.lock().ticket();
    history.dirty.lock().hurry(ticket, Instant::now());
    assert_eq!(look_after(0), None);
    fs::write(&file, text("failed")).unwrap();
    assert_eq!(look_after(0).as_deref(), Some("failed"));

    // what nobody goes on writing is no record any more
    fs::write(&file, "{").unwrap();
    look_after(0);
    assert_eq!(look_after(500).as_deref(), Some("failed"));
    assert_eq!(look_after(1_500), None);
    // nor is what somebody writes for ever
    fs::write(&file, text("failed")).unwrap();
    assert_eq!(look_after(0).as_deref(), Some("failed"));
    let looks = (0..100).take_while(|_| {
        fs::write(&file, "{").unwrap();
        look_after(0).is_some()
    });
    assert!((20..100).contains(&looks.count()));
}

#[test]
fn what_is_noted_in_place_is_one_change_however_long_it_takes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = History::new(root.clone(), Options::default());
    let key = RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse("x").unwrap(),
    };
    let saved = history.save(&key, r#"{"id":"x","projectId":"p"}"#, &Expect::Anything);
    saved.unwrap();
    let file = root.join("p/.runlog/x.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let pin = r#"{"pinned":true,"note":"n"}"#;
    fs::write(&file, pin).unwrap();
    let mut at = Moment::now();
    // so long after the first of these looks
    let mut look_after = |millis| {
        at.instant += Duration::from_secs(1);
        at.wall = SystemTime::now() + Duration::from_millis(millis);
        history.hint(Hint::Annotation(key.clone()), at.instant);
        while history.pass(at) {}
        history.summary(&key).is_some_and(|summary| summary.pinned)
    };
    assert!(look_after(0));
    let tick = history.clock().tick;
    for torn in ["", &pin[..9]] {
        fs::write(&file, torn).unwrap();
        for millis in [0, 60, 560] {
            assert!(look_after(millis));
        }
    }
    fs::write(&file, pin).unwrap();
    assert!(look_after(0));
    assert_eq!(history.clock().tick, tick, "nothing has changed");
    // what nobody goes on writing says nothing
    fs::write(&file, "{").unwrap();
    assert!(look_after(0));
    assert!(!look_after(1_500));
}

/// Another write may leave the stamp as it is.
#[test]
fn what_was_no_record_just_after_it_was_written_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = History::new(root.clone(), Options::default());
    let key = RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse("x").unwrap(),
    };
    let file = root.join("p/executions/x.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let stamp = || history.index(|index| index.stamp(&key));
    let read_at_once = || {
        let began = Instant::now();
        fs::write(&file, "{").unwrap();
        history.look_at_project(&key.project, Moment::now());
        began.elapsed() < Duration::from_millis(3)
    };
    assert!((0..10_000).any(|_| read_at_once()));
    assert_eq!(stamp(), Some((Stamp::default(), false)), "no file has it");
    until_old(&root);
    let mut at = Moment::now();
    for _ in 0..3 {
        at.instant += Duration::from_secs(1);
        while history.pass(at) {}
    }
    let held = history.store.stamp(&key).unwrap().unwrap();
    assert_eq!(stamp(), Some((held, false)), "it is read for ever");
}

#[test]
fn what_was_touched_since_it_was_told_stays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = History::new(root.clone(), Options::default());
    let executions = root.join("p/executions");
    fs::create_dir_all(&executions).unwrap();
    let touch = |id: &str, seconds| {
        let file = executions.join(id).with_extension("json");
        let file = fs::File::options().append(true).create(true).open(file);
        let file = file.unwrap();
        if file.metadata().unwrap().len() == 0 {
            let text = format!(r#"{{"id":"{id}","projectId":"p","status":"failed"}}"#);
            std::io::Write::write_all(&mut &file, text.as_bytes()).unwrap();
        }
        let written = UNIX_EPOCH + Duration::from_secs(seconds);
        file.set_modified(written).unwrap();
        settle(&history);
    };
    for id in ["a", "b"] {
        touch(id, 1_000);
    }
    let stop = Stop::default();
    let choose = || history.choose(&Filter::default().into(), &stop).unwrap();
    let rehearse = || {
        let choice = choose();
        history.remember_told("q", choice.clock, &choice.chosen)
    };
    let (first, tick) = (rehearse(), history.clock().tick);
    assert_eq!(rehearse(), first, "the next page");
    touch("a", 2_000);
    let second = rehearse();
    assert_ne!(second, first);
    assert_eq!(history.clock().tick, tick, "nobody is told of a touch");
    let rule = Rule {
        max_count: Some(0),
        ..Rule::default()
    };
    let policy = Policy {
        rules: vec![rule],
        ..Policy::default()
    };
    let stays = |spared: &[(RunKey, Spared)]| -> Vec<(String, Spared)> {
        let stays = spared
            .iter()
            .map(|(key, why)| (key.execution.to_string(), *why));
        stays.collect()
    };
    for (plan, goes, changed) in [(first, 1, vec!["a"]), (second, 2, vec![])] {
        let want = changed
            .into_iter()
            .map(|id: &str| (id.to_owned(), Spared::Changed));
        let want: Vec<_> = want.collect();
        let told = history.told(&plan).unwrap();
        let mut choice = choose();
        assert_eq!(stays(&history.hold_to(&told, &mut choice)), want);
        assert_eq!(choice.chosen.len(), goes);
        let now = Moment::now().millis();
        let plan = history.plan(&policy, now, Some(&told), &stop).unwrap();
        assert_eq!((stays(&plan.spared), plan.chosen.len()), (want, goes));
    }
}

#[test]
fn a_save_over_what_is_no_record_creates_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = History::new(root.clone(), Options::default());
    let key = RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse("x").unwrap(),
    };
    let file = root.join("p/executions/x.json");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, "nope").unwrap();
    settle(&history);
    for (status, want) in [("running", true), ("failed", false)] {
        let text = format!(r#"{{"id":"x","projectId":"p","status":"{status}"}}"#);
        let mut cursor = Cursor::after(history.clock().tick);
        let saved = history.save(&key, &text, &Expect::Anything).unwrap();
        assert_eq!(saved.created, want);
        let (found, _) = history.changes_after(&mut cursor, &Filter::default().into(), 10, 100);
        let [change] = &found.unwrap()[..] else {
            panic!("it is one change");
        };
        assert!(
            matches!(&change.what, Changed::Saved { created, .. } if *created == want),
            "subscribers hear the same"
        );
    }
}

/// A person saves in place, or by backup-and-rename, while a recorder has something to say.
#[tokio::test(start_paused = true)]
async fn updates_wait_a_moment_for_the_file_of_a_listed_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let key = |id| RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse(id).unwrap(),
    };
    let file = root.join("p/executions/a.json");
    let history = Arc::new(History::new(root, Options::default()));
    let id = Some(key("a").execution);
    history.start_run(key("a").project, id, None).unwrap();
    let step = |id| {
        let update = Update {
            steps: vec![format!(r#"{{"id":"{id}"}}"#).into()],
            ..Update::default()
        };
        history.update(key("a"), update, pending())
    };
    for torn in [true, false] {
        let saved = fs::read(&file).unwrap();
        let away = || match torn {
            true => fs::write(&file, &saved[..20]).unwrap(),
            false => fs::remove_file(&file).unwrap(),
        };
        let back_after = async |millis| {
            tokio::time::sleep(Duration::from_millis(millis)).await;
            fs::write(&file, &saved).unwrap();
        };
        let beat = || history.update(key("a"), Update::default(), pending());
        away();
        let (beaten, ()) = tokio::join!(beat(), back_after(25));
        beaten.unwrap();
        away();
        let (beaten, one, two, ()) = tokio::join!(beat(), step("one"), step("two"), back_after(25));
        let ended = two.unwrap().version;
        assert_eq!(
            (beaten.unwrap().version, one.unwrap().version),
            (ended, ended)
        );
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.find("\"one\"") < text.find("\"two\""), "{text}");
        // and no longer
        fs::write(&file, &saved).unwrap();
        away();
        let began = tokio::time::Instant::now();
        let (beaten, one, two, ()) = tokio::join!(beat(), step("one"), step("two"), back_after(80));
        assert_eq!(began.elapsed(), Duration::from_millis(80));
        for refused in [beaten, one, two] {
            let refused = refused.unwrap_err();
            let is_right = match torn {
                true => matches!(refused, HistoryError::Read(_)),
                false => matches!(refused, HistoryError::NotFound(_)),
            };
            assert!(is_right, "{refused}");
        }
        assert_eq!(fs::read(&file).unwrap(), saved);
    }
    // nobody misses one that was never there
    let began = tokio::time::Instant::now();
    let missing = history.update(key("b"), Update::default(), pending()).await;
    assert!(matches!(missing, Err(HistoryError::NotFound(_))));
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Not those that were looked at just then either.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_is_closed_does_not_say_that_its_runs_are_gone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let project = root.join("p");
    let chmod = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    chmod(&root, 0o755);
    let history = History::new(root.clone(), Options::default());
    let key = |id| RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse(id).unwrap(),
    };
    history.save(&key("a"), "{}", &Expect::Anything).unwrap();
    chmod(&project, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            if rustix::process::geteuid().is_root() {
                // of this thread only
                let nobody = rustix::process::Uid::from_raw(65534);
                rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
            }
            let mut now = Moment::now();
            for hint in ["a", "b", "a"] {
                history.hint(Hint::Run(key(hint)), now.instant);
                now.instant += Duration::from_millis(300);
                while history.pass(now) {}
            }
            assert!(history.summary(&key("a")).is_some());
            assert_eq!(history.sizes().2, 0, "problems");
            // of a folder above it nobody would tell when it is open again
            now.instant += Duration::from_secs(1);
            while history.pass(now) {}
            assert!(history.summary(&key("a")).is_some());
            assert_eq!(history.sizes().2, 1, "the folder is one");
        });
    });
    chmod(&project, 0o755);
    history.look_at_project(&key("a").project, Moment::now());
    assert_eq!(history.sizes().2, 0);
}

/// It may have been moved after a client's look had read it, and the keeper have compared before that
/// was taken in.
#[test]
fn what_a_client_looked_at_the_keeper_compares_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let executions = root.join("p/executions");
    fs::create_dir_all(&executions).unwrap();
    fs::write(executions.join("a.json"), "{}").unwrap();
    let history = History::new(root.clone(), Options::default());
    let project = ProjectId::parse("p").unwrap();
    let mut now = Moment::now();
    let mut keep = || {
        for _ in 0..3 {
            now.instant += Duration::from_secs(1);
            while history.pass(now) {}
        }
    };
    // until it is not looked at again for being new
    let mut before = None;
    while before != Some(history.files_read()) {
        before = Some(history.files_read());
        history.look_at_project(&project, Moment::now());
        keep();
    }
    history.look_at_project(&project, Moment::now());
    assert_eq!(history.sizes().0, 1);
    fs::rename(root.join("p"), root.join(".aside")).unwrap();
    keep();
    assert_eq!(history.sizes().0, 0);
}

/// No event tells that a disk or a server is well again.
#[test]
fn what_a_failing_disk_kept_from_reading_is_read_again_by_itself() {
    use crate::store::tests::steps::refusing_to_open;
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let history = History::new(root.clone(), Options::default());
    let key = RunKey {
        project: ProjectId::parse("p").unwrap(),
        execution: ExecutionId::parse("a").unwrap(),
    };
    history.save(&key, "{}", &Expect::Anything).unwrap();
    let is_listed = || history.summary(&key).is_some();
    let began = Moment::now();
    let after = |seconds: u64| Moment {
        instant: began.instant + Duration::from_secs(seconds),
        wall: began.wall + Duration::from_secs(seconds),
    };
    let reads_until = |seconds| {
        let before = history.files_read();
        while history.pass(after(seconds)) {}
        history.files_read() - before
    };
    reads_until(10);
    history.hint(Hint::Run(key.clone()), after(11).instant);
    refusing_to_open(rustix::io::Errno::IO, || {
        // once more before that is believed
        assert!(reads_until(12) > 0);
        assert!(reads_until(13) > 0);
        assert!(!is_listed());
        // ever more seldom
        let reads: Vec<bool> = (14..60).map(|at| reads_until(at) > 0).collect();
        let reads = reads.into_iter().filter(|read| *read).count();
        assert!((4..8).contains(&reads), "{reads}");
        assert!(!is_listed());
    });
    assert!(reads_until(120) > 0);
    assert!(is_listed());
    assert_eq!(history.sizes().2, 0, "problems");
}
