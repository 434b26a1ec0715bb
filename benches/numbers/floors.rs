//! What cannot be beaten: the same files read, looked at, watched and written by somebody who does
//! nothing else.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::live::{IDS, engine_saves, save_text, text, wait_until};

/// How many threads run at once.
fn cores() -> Result<usize, Failure> {
    Ok(std::thread::available_parallelism()?.get())
}

/// How long it takes so many threads to do something to all files.
fn of_all(
    threads: usize,
    files: &[PathBuf],
    work: impl Fn(&[PathBuf]) -> io::Result<()> + Sync,
) -> Result<Duration, Failure> {
    let began = Instant::now();
    std::thread::scope(|scope| -> Result<(), Failure> {
        let workers: Vec<_> = files
            .chunks(files.len().div_ceil(threads).max(1))
            .map(|part| scope.spawn(|| work(part)))
            .collect();
        for worker in workers {
            worker.join().map_err(|_| "a worker ended early")??;
        }
        Ok(())
    })?;
    Ok(began.elapsed())
}

/// Reads all files without looking at them.
pub fn read_all(files: &[PathBuf]) -> Result<Duration, Failure> {
    of_all(cores()?, files, |part| {
        let mut buffer = Vec::new();
        for file in part {
            buffer.clear();
            fs::File::open(file)?.read_to_end(&mut buffer)?;
        }
        Ok(())
    })
}

/// Asks for the size and times of every file, beneath its open folder, folder by folder.
pub fn stat_all(files: &[PathBuf]) -> Result<Duration, Failure> {
    stat_all_by(cores()?, files)
}

/// The same by so many threads.
pub fn stat_all_by(threads: usize, files: &[PathBuf]) -> Result<Duration, Failure> {
    let mut files = files.to_vec();
    files.sort_by(|a, b| a.parent().cmp(&b.parent()));
    of_all(threads, &files, |part| {
        let mut open: Option<(&Path, fs::File)> = None;
        for file in part {
            let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
                continue;
            };
            if open.as_ref().is_none_or(|(held, _)| *held != folder) {
                open = Some((folder, fs::File::open(folder)?));
            }
            if let Some((_, at)) = &open {
                rustix::fs::statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    })
}

/// From a rename to the callback of a bare watch on the same folder.
pub fn bare_watch(folder: &Path, rounds: usize, pause: Duration) -> Result<Vec<Duration>, Failure> {
    use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
    let (send, receive) = mpsc::channel();
    let config =
        Config::default().with_event_kinds(EventKindMask::MODIFY_NAME | EventKindMask::CREATE);
    let mut watcher = RecommendedWatcher::new(
        move |event: notify::Result<notify::Event>| {
            let ours = event.is_ok_and(|event| {
                event
                    .paths
                    .iter()
                    .any(|path| path.extension().is_some_and(|end| end == "json"))
            });
            if ours {
                let _ = send.send(Instant::now());
            }
        },
        config,
    )?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let mut times = Vec::new();
    for number in 0..rounds {
        std::thread::sleep(pause);
        while receive.try_recv().is_ok() {}
        let began = engine_saves(folder, &format!("bare-{number:06}"), number)?;
        times.push(
            receive
                .recv_timeout(Duration::from_secs(10))?
                .duration_since(began),
        );
    }
    Ok(times)
}

/// The same while `rate` saves a second go on for `lasting`, as in a burst.
pub fn busy_watch(folder: &Path, rate: f64, lasting: Duration) -> Result<Vec<Duration>, Failure> {
    use notify::event::{EventKind, ModifyKind, RenameMode};
    use notify::{Config, EventKindMask, RecommendedWatcher, RecursiveMode, Watcher};
    let (send, receive) = mpsc::channel();
    let kinds = EventKindMask::MODIFY_NAME | EventKindMask::CREATE;
    let config = Config::default().with_event_kinds(kinds);
    let mut watcher = RecommendedWatcher::new(
        move |event: notify::Result<notify::Event>| {
            let came = Instant::now();
            if let Ok(event) = event
                && event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::To))
            {
                let _ = send.send((event.paths, came));
            }
        },
        config,
    )?;
    watcher.watch(folder, RecursiveMode::NonRecursive)?;
    let runs: Vec<String> = (0..IDS).map(|number| format!("bare-{number:05}")).collect();
    let texts: Vec<String> = (0..IDS).map(|at| text("bare", &runs[at], at)).collect();
    let began = Instant::now();
    let mut saved: HashMap<PathBuf, VecDeque<Instant>> = HashMap::new();
    for number in 0..(rate * lasting.as_secs_f64()) as usize {
        wait_until(began + Duration::from_secs_f64(number as f64 / rate));
        let at = number % IDS;
        let renamed = save_text(folder, &runs[at], &texts[at])?;
        let path = folder.join(format!("{}.json", runs[at]));
        saved.entry(path).or_default().push_back(renamed);
    }
    let mut times = Vec::new();
    while let Ok((paths, came)) = receive.recv_timeout(Duration::from_secs(1)) {
        let of_path = paths.first().and_then(|path| saved.get_mut(path));
        let renamed = of_path.and_then(VecDeque::pop_front);
        times.extend(renamed.map(|renamed| came.duration_since(renamed)));
    }
    Ok(times)
}

/// Writes, syncs, renames and syncs the folder.
pub fn bare_save(folder: &Path, id: &str, text: &str) -> Result<Duration, Failure> {
    let began = Instant::now();
    let temporary = folder.join(format!("{id}.tmp"));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(format!("{id}.json")))?;
    fs::File::open(folder)?.sync_all()?;
    Ok(began.elapsed())
}
