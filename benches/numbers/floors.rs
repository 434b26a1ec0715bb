//! What cannot be beaten: the same files read, looked at, watched and written by somebody who does
//! nothing else.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Failure;
use crate::live::engine_saves;

/// How long it takes to do something to all files with as many threads as there are.
fn of_all(
    files: &[PathBuf],
    work: impl Fn(&[PathBuf]) -> io::Result<()> + Sync,
) -> Result<Duration, Failure> {
    let threads = std::thread::available_parallelism()?.get();
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
    of_all(files, |part| {
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
    let mut files = files.to_vec();
    files.sort_by(|a, b| a.parent().cmp(&b.parent()));
    of_all(&files, |part| {
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
