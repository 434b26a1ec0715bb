//! The history against the files: whatever is done to them, by whomever, and whatever events are
//! lost, the index ends as a fresh scan would begin.
//!
//! Real files, real events, real threads. Each sequence is made from a seed, which a failure
//! prints; `RUNLOG_SEQUENCES` says how many (100 unless set), `RUNLOG_SEED` runs one.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::AtomicUsize;
use std::time::UNIX_EPOCH;

use super::*;
use crate::index::{Changed, Cursor, Saving};
use crate::model::{ExecutionId, ProblemKind};
use crate::watch::NotifyWatcher;
use crate::watch::tests::{limit_watches, may_limit};

mod cases;

/// A small generator of random numbers (xorshift64*, Vigna 2016): sequences must be the same on
/// every machine and in every version.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number).unwrap() % end
    }

    pub(super) fn one_in(&mut self, many: usize) -> bool {
        self.below(many) == 0
    }
}

/// A history that follows `root`, and loses one hint in `lose`, if that is not zero.
fn start(root: &Path, lose: usize) -> Arc<History> {
    let history = Arc::new(History::new(root.to_owned(), Options::default()));
    let weak = Arc::downgrade(&history);
    let count = AtomicUsize::new(0);
    let hints = move |hint| {
        let number = count.fetch_add(1, Ordering::Relaxed);
        let lost = lose > 0 && number.is_multiple_of(lose) && !matches!(hint, Hint::Cookie(_));
        if let Some(history) = weak.upgrade().filter(|_| !lost) {
            history.hint(hint, Instant::now());
        }
    };
    history.watch_with(Arc::new(NotifyWatcher::start(root, hints).unwrap()));
    let keeper = Arc::clone(&history);
    std::thread::spawn(move || keeper.keep());
    history
}

/// What a scan from nothing gives: the runs and what is wrong.
type Scan = (BTreeMap<String, Summary>, Vec<(String, ProblemKind)>);

fn timeless(mut summary: Summary) -> Summary {
    summary.updated_at = Millis(0);
    summary.stale_at = None;
    summary
}

fn scan_of(history: &History) -> Scan {
    let page = history.page(&Filter::default(), &From::Offset(0), usize::MAX);
    let name = |summary: &Summary| format!("{}/{}", summary.project_id, summary.id);
    let runs = page
        .executions
        .into_iter()
        .map(|summary| (name(&summary), timeless(summary)));
    let problems = history.problems(None, None, usize::MAX);
    (
        runs.collect(),
        problems
            .into_iter()
            .map(|found| (found.path, found.kind))
            .collect(),
    )
}

/// What one has and the other has not, to be read by a person.
fn difference(have: &Scan, want: &Scan) -> String {
    let runs = |scan: &Scan| -> Vec<String> {
        scan.0
            .iter()
            .map(|(name, run)| format!("{name} {:?} {}", run.status, run.version))
            .collect()
    };
    let mut lines = Vec::new();
    for (sign, one, other) in [("has", have, want), ("lacks", want, have)] {
        let others = runs(other);
        lines.extend(
            runs(one)
                .into_iter()
                .filter(|run| !others.contains(run))
                .map(|run| format!("{sign} {run}")),
        );
        lines.extend(
            one.1
                .iter()
                .filter(|found| !other.1.contains(found))
                .map(|found| format!("{sign} {found:?}")),
        );
    }
    lines.join("\n")
}

fn fresh_scan(root: &Path) -> Scan {
    let history = History::new(root.to_owned(), Options::default());
    history.begin(Moment::now());
    while history.first_step() {}
    while history.pass(Moment::now()) {}
    scan_of(&history)
}

pub(super) fn assert_as_scanned(history: &History, root: &Path, case: &str) {
    let (have, want) = (scan_of(history), fresh_scan(root));
    assert!(have == want, "{case}:\n{}", difference(&have, &want));
}

/// A client that lists once and then follows.
pub(super) struct Client {
    filter: Filter,
    cursor: Cursor,
    pub(super) held: BTreeMap<String, Summary>,
}

impl Client {
    pub(super) fn new(history: &History, filter: Filter) -> Self {
        let mut client = Self {
            filter,
            cursor: Cursor::after(0),
            held: BTreeMap::new(),
        };
        client.list(history);
        client
    }

    fn list(&mut self, history: &History) {
        let page = history.page(&self.filter, &From::Offset(0), usize::MAX);
        self.cursor = Cursor::after(page.at.clock.tick);
        self.held = page
            .executions
            .into_iter()
            .map(|summary| (format!("{}/{}", summary.project_id, summary.id), summary))
            .collect();
    }

    pub(super) fn follow(&mut self, history: &History) {
        loop {
            let (found, now) =
                history.changes_after(&mut self.cursor, &self.filter.clone().into(), 7, 50);
            let Some(found) = found else {
                return self.list(history);
            };
            for change in found {
                match change.what {
                    Changed::Saved { summary, .. } => {
                        let name = format!("{}/{}", summary.project_id, summary.id);
                        self.held.insert(name, *summary);
                    }
                    Changed::Undecided(_) => panic!("nothing was left open"),
                    Changed::Deleted(key) | Changed::Left(key) => {
                        let name = format!("{}/{}", key.project, key.execution);
                        self.held.remove(&name);
                    }
                }
            }
            if self.cursor.tick() >= now.tick {
                return;
            }
        }
    }
}

pub(super) fn record(random: &mut Random, project: &str, id: &str) -> String {
    const STATUSES: [&str; 5] = ["running", "completed", "failed", "queued", "odd"];
    let status = STATUSES[random.below(STATUSES.len())];
    let (start, cost) = (random.below(5), random.below(4));
    format!(
        "{{\n  \"id\": \"{id}\",\n  \"projectId\": \"{project}\",\n  \"status\": \"{status}\",\n  \
         \"startedAt\": \"2025-10-15T05:02:4{start}.569Z\",\n  \"costUSD\": 0.00{cost}\n}}"
    )
}

/// Does something to the files, or asks the history to.
fn act(random: &mut Random, root: &Path, history: &History) {
    let project = ["a", "b", "c"][random.below(3)];
    let other = ["a", "b", "c", "d"][random.below(4)];
    let id = ["x", "y", "z", "w"][random.below(4)];
    let folder = root.join(project).join("executions");
    let file = folder.join(format!("{id}.json"));
    let text = record(random, project, id);
    let save = |folder: &Path, id: &str, text: &str| {
        let temporary = folder.join(format!("{id}.json.tmp"));
        let _ = fs::create_dir_all(folder);
        let _ = fs::write(&temporary, text);
        let _ = fs::rename(temporary, folder.join(format!("{id}.json")));
    };
    let key = RunKey {
        project: ProjectId::parse(project).unwrap(),
        execution: ExecutionId::parse(id).unwrap(),
    };
    let what = random.below(24);
    if std::env::var_os("RUNLOG_LOG").is_some() {
        eprintln!("{what}: {project}/{id}, {other}");
    }
    // what fails because something is not there is part of the game
    match what {
        0..=5 => save(&folder, id, &text),
        6 | 7 => drop(fs::write(&file, text)),
        8 => {
            // an editor: the old one aside, the new one in its place
            let _ = fs::rename(&file, folder.join(format!("{id}.json~")));
            let _ = fs::write(&file, text);
        }
        9 => {
            let _ = fs::write(&file, &text[..text.len() / 2]);
            if random.one_in(2) {
                let _ = fs::write(&file, text);
            }
        }
        10 => {
            // equal size, and the time put back
            let before = fs::metadata(&file).and_then(|found| found.modified());
            let swapped = fs::read_to_string(&file).map(|text| text.replace("0.00", "0.01"));
            if let (Ok(before), Ok(swapped)) = (before, swapped) {
                let _ = fs::write(&file, swapped);
                let _ = fs::File::open(&file).and_then(|file| file.set_modified(before));
            }
        }
        11 => {
            let now = SystemTime::now();
            let _ = fs::File::open(&file).and_then(|file| file.set_modified(now));
        }
        12 | 13 => drop(fs::remove_file(&file)),
        14 => drop(fs::remove_dir_all(root.join(project))),
        15 => drop(fs::rename(root.join(project), root.join(other))),
        16 => {
            let aside = root.join(".aside");
            let _ = fs::rename(root.join(project), &aside);
            let _ = fs::rename(root.join(other), root.join(project));
            let _ = fs::rename(&aside, root.join(other));
        }
        17 => {
            let away = root.join(project).join("away");
            let _ = fs::rename(&folder, &away);
            if random.one_in(2) {
                save(&folder, id, &text);
                let _ = fs::remove_dir_all(&away);
            } else {
                let _ = fs::rename(&away, &folder);
            }
        }
        18 => {
            let _ = fs::remove_file(&file);
            let _ = match random.below(3) {
                0 => symlink("/etc/passwd", &file),
                1 => fs::create_dir(&file),
                _ => fs::write(&file, "[1]"),
            };
        }
        19 => {
            let away = root.with_extension("away");
            let _ = fs::rename(root, &away);
            if random.one_in(2) {
                save(&folder, id, &text);
                let _ = fs::remove_dir_all(&away);
            } else {
                let _ = fs::rename(&away, root);
            }
        }
        20 | 21 => drop(history.save(&key, &text, &Expect::Anything)),
        22 => drop(history.delete(&key, random.one_in(2))),
        _ => drop(history.delete_all(&key.project, random.one_in(2), &Stop::default())),
    }
}

/// What the system does to a daemon.
#[derive(Clone, Copy, PartialEq)]
enum System {
    Generous,
    /// There is not always room for the watches of four projects, the root and the folder above.
    Mean,
}

impl System {
    fn act(self, random: &mut Random) {
        if self == Self::Mean && random.one_in(4) {
            limit_watches(random.below(12));
        }
    }
}

async fn sequence(seed: u64, system: System) {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("RUNLOG_LOG"))
        .with_writer(std::io::stderr)
        .try_init();
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    if !random.one_in(4) {
        fs::create_dir(&root).unwrap();
    }
    let lose = if random.one_in(3) {
        2 + random.below(5)
    } else {
        0
    };
    if std::env::var_os("RUNLOG_LOG").is_some() {
        eprintln!("lose {lose}");
    }
    for _ in 0..random.below(12) {
        act(
            &mut random,
            &root,
            &History::new(root.clone(), Options::default()),
        );
    }
    system.act(&mut random);
    let history = start(&root, lose);
    for _ in 0..random.below(4) {
        act(&mut random, &root, &history);
    }
    history.ready(None).await.unwrap();
    if random.one_in(4) && lose == 0 {
        history.sync().await.unwrap();
        assert_as_scanned(&history, &root, &format!("seed {seed}, after the start"));
    }
    let filter = |project: Option<&str>, status: Option<&str>| Filter {
        project: project.map(|id| ProjectId::parse(id).unwrap()),
        statuses: status.map(|text| [crate::model::Status::from_text(text)].into()),
    };
    let mut clients = vec![
        Client::new(&history, filter(None, None)),
        Client::new(&history, filter(Some("a"), None)),
        Client::new(&history, filter(None, Some("failed"))),
    ];
    for _ in 0..random.below(40) {
        system.act(&mut random);
        act(&mut random, &root, &history);
        if random.one_in(5) {
            let number = random.below(clients.len());
            clients[number].follow(&history);
        }
        if random.one_in(20) && lose == 0 {
            history.sync().await.unwrap();
            assert_as_scanned(&history, &root, &format!("seed {seed}, after a sync"));
        }
    }
    tracing::debug!("the end");
    if lose > 0 {
        history.hint(Hint::Everything, Instant::now());
    }
    history.sync().await.unwrap();
    assert_as_scanned(&history, &root, &format!("seed {seed}, in the end"));
    for client in &mut clients {
        client.follow(&history);
        let page = history.page(&client.filter, &From::Offset(0), usize::MAX);
        let held: Vec<Summary> = client.held.values().cloned().map(timeless).collect();
        let mut listed: Vec<Summary> = page.executions.into_iter().map(timeless).collect();
        listed.sort_by_key(|summary| format!("{}/{}", summary.project_id, summary.id));
        assert_eq!(held, listed, "seed {seed}, {:?}", client.filter);
    }
    let fresh = History::new(root.clone(), Options::default());
    fresh.begin(Moment::now());
    while fresh.first_step() {}
    assert_eq!(history.totals(None).0, fresh.totals(None).0, "seed {seed}");
    history.end();
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    text.parse().ok()
}

async fn sequences(system: System) {
    if let Some(seed) = number("RUNLOG_SEED") {
        return sequence(seed, system).await;
    }
    for seed in 0..number("RUNLOG_SEQUENCES").unwrap_or(100) {
        sequence(seed, system).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_the_index_ends_as_a_fresh_scan_begins() {
    sequences(System::Generous).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_does_at_the_limits_of_inotify() {
    if may_limit("history::tests::so_it_does_at_the_limits_of_inotify") {
        sequences(System::Mean).await;
    }
}

/// Looks at everything, without waiting for events or for time to pass.
fn settle(history: &History) {
    history.hint(Hint::Everything, Instant::now());
    let later = |seconds| Moment {
        instant: Instant::now() + Duration::from_secs(seconds),
        wall: SystemTime::now(),
    };
    let mut seconds = 10;
    while history.pass(later(seconds)) {
        seconds += 10;
    }
}

/// A client that lives longer than any daemon: it holds a clock, and does what the protocol says.
struct Rejoining {
    filter: Filter,
    clock: Option<Clock>,
    held: BTreeMap<String, Summary>,
}

impl Rejoining {
    fn follow(&mut self, history: &History) {
        let known = self.clock.filter(|clock| history.honours(*clock));
        let mut client = match known {
            Some(clock) => Client {
                filter: self.filter.clone(),
                cursor: Cursor::after(clock.tick),
                held: std::mem::take(&mut self.held),
            },
            None => Client::new(history, self.filter.clone()),
        };
        client.follow(history);
        self.held = client.held;
        self.clock = Some(Clock {
            tick: client.cursor.tick(),
            ..history.clock()
        });
    }
}

pub(super) fn with_cache(root: &Path, cache: &Path) -> History {
    let options = Options {
        cache: Some(cache.to_owned()),
        ..Options::default()
    };
    History::new(root.to_owned(), options)
}

/// Writes a snapshot while things happen between its slices.
fn write_while(history: &History, mut between: impl FnMut()) {
    let snapshots = history.snapshots.as_ref().unwrap();
    let mut saving = Saving::of(history.root().as_os_str().as_bytes());
    let mut bytes = Vec::new();
    while history.index(|index| saving.next(index, &mut bytes)) {
        between();
    }
    let kept = snapshots.cache().replace("index", |file| {
        std::io::Write::write_all(file, &bytes).map(|()| true)
    });
    assert!(kept.unwrap());
}

/// Returns when every folder below `root` is as old as it must be for its stamp to prove anything.
pub(super) fn until_old(root: &Path) {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
        let Ok(found) = fs::metadata(&folder) else {
            continue;
        };
        let changed = UNIX_EPOCH + Duration::new(found.ctime() as u64, found.ctime_nsec() as u32);
        let old = changed.max(found.modified().unwrap()) + Duration::from_millis(20);
        // a folder of the future is never old
        while SystemTime::now() < old && old < SystemTime::now() + Duration::from_secs(1) {
            std::thread::yield_now();
        }
    }
}

fn lives(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap().join("projects");
    let cache = folder.path().join("cache");
    fs::create_dir(&root).unwrap();
    let mut clients = [None, Some("failed")].map(|status| Rejoining {
        filter: Filter {
            project: None,
            statuses: status.map(|text| [crate::model::Status::from_text(text)].into()),
        },
        clock: None,
        held: BTreeMap::new(),
    });
    let mut lives = vec![];
    for _ in 0..3 + random.below(4) {
        // several daemons may be at it; each start goes on from what was kept last
        if lives.len() == 2 || random.one_in(2) {
            lives.clear();
        }
        for _ in 0..random.below(8) {
            act(
                &mut random,
                &root,
                &History::new(root.clone(), Options::default()),
            );
        }
        match random.below(12) {
            0 => drop(fs::remove_dir_all(&cache)),
            1 => {
                // a byte is another one
                let file = cache
                    .join("runlog")
                    .join(crate::store::root_hash(&root))
                    .join("index");
                if let Ok(mut bytes) = fs::read(&file) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                    fs::write(file, bytes).unwrap();
                }
            }
            _ => {}
        }
        if random.one_in(3) {
            until_old(&root);
        }
        let history = with_cache(&root, &cache);
        history.begin(Moment::now());
        if random.one_in(4) {
            // before the files were compared
            for client in &mut clients {
                client.follow(&history);
            }
        }
        // after the folders were walked, and before they are compared
        for _ in 0..random.below(3) {
            act(&mut random, &root, &history);
            if random.one_in(2) {
                while history.pass(Moment::now()) {}
            }
        }
        while history.first_step() {}
        lives.push(history);
        for _ in 0..random.below(12) {
            let history = &lives[random.below(lives.len())];
            act(&mut random, &root, history);
            if random.one_in(3) {
                settle(history);
            }
            if random.one_in(3) {
                let number = random.below(clients.len());
                clients[number].follow(history);
            }
            if random.one_in(6) {
                write_while(history, || {
                    if random.one_in(4) {
                        act(&mut random, &root, history);
                        settle(history);
                    }
                });
            }
        }
        let history = &lives[random.below(lives.len())];
        settle(history);
        assert_as_scanned(history, &root, &format!("seed {seed}"));
        for client in &mut clients {
            client.follow(history);
            let page = history.page(&client.filter, &From::Offset(0), usize::MAX);
            let held: Vec<Summary> = client.held.values().cloned().map(timeless).collect();
            let mut listed: Vec<Summary> = page.executions.into_iter().map(timeless).collect();
            listed.sort_by_key(|summary| format!("{}/{}", summary.project_id, summary.id));
            assert_eq!(held, listed, "seed {seed}, {:?}", client.filter);
        }
        let fresh = History::new(root.clone(), Options::default());
        fresh.begin(Moment::now());
        while fresh.first_step() {}
        assert_eq!(history.totals(None).0, fresh.totals(None).0, "seed {seed}");
        // a clean end, or a kill
        if random.one_in(2) {
            history.write_snapshot(None);
        }
    }
}

/// Kills, clean ends, changes while nobody watches, damaged and lost caches, two daemons at once:
/// no client that goes on from its clock, or lists again where it is told to, holds a wrong state.
#[test]
fn clocks_outlive_the_daemon_only_as_far_as_they_are_true() {
    if let Some(seed) = number("RUNLOG_SEED") {
        return lives(seed);
    }
    for seed in 0..number("RUNLOG_SEQUENCES").unwrap_or(100) {
        lives(seed);
    }
}
