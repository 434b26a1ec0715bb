//! How far something has come, as a bar on a terminal's stderr.
//!
//! For the person who started the daemon or waits for a command; clients have `$/progress` (section 3 of the protocol).
//! What is quick shows no bar, what is no terminal gets not a byte, and nothing of it is left when
//! it has ended. Log lines go through here too, so that they never stand in the middle of it. It is
//! drawn on a thread of its own: a terminal may be stopped, and then neither requests nor the
//! daemon's end wait for it.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};

use super::terminal::is_dumb;
use crate::history::{Indexing, Progress};

/// What takes no longer than this shows no bar.
const SHOWN_AFTER: Duration = Duration::from_millis(500);
/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);
/// How long an end waits for the terminal to take what clears the bar.
const CLEARED_WITHIN: Duration = Duration::from_millis(100);

/// How far something has come.
#[derive(Debug, Clone)]
pub(super) struct Work {
    /// What is being done.
    pub what: String,
    /// So much is done.
    pub done: u64,
    /// Of so much; 0 where nobody knows.
    pub total: u64,
    /// What stands beside the bar, in place of a count.
    pub note: Option<String>,
    /// There is no more to wait for.
    pub over: bool,
}

impl From<Progress> for Work {
    fn from(progress: Progress) -> Self {
        let what = match progress.state {
            Indexing::Verifying => "Comparing runs with the last index",
            _ => "Reading runs",
        };
        Self {
            what: what.to_owned(),
            done: progress.done as u64,
            total: progress.total as u64,
            note: None,
            over: progress.state == Indexing::Ready,
        }
    }
}

/// Stderr, which log lines and the bar share.
#[derive(Debug, Clone)]
pub(super) struct Screen {
    /// Hidden, unless it is being shown.
    bar: ProgressBar,
}

impl Screen {
    /// Stderr without a bar.
    pub(super) fn new() -> Self {
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::hidden();
        bar.set_style(style.progress_chars("=> "));
        Self { bar }
    }

    /// Writes to stderr, whole lines at a time, above the bar if there is one. Never fails: a log
    /// that cannot be kept is no reason to end.
    pub(super) fn lines(&self) -> impl Write + use<> {
        Lines(self.clone())
    }

    /// Does what writes to the terminal while the bar is away.
    fn beside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }

    /// Shows a bar from when `progress` has taken a while until it is over or what this gives is
    /// dropped; `None` where stderr is no terminal that could show one.
    pub(super) fn show<T>(&self, progress: watch::Receiver<T>) -> Option<Showing>
    where
        T: Into<Work> + Clone + Send + Sync + 'static,
    {
        if !io::stderr().is_terminal() || is_dumb() {
            return None;
        }
        // timers of its own: the daemon's may have ended before
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .ok()?;
        let (end, ending) = oneshot::channel();
        let (clears, cleared) = mpsc::channel();
        let screen = self.clone();
        std::thread::Builder::new()
            .name("runlog-bar".to_owned())
            .spawn(move || {
                runtime.block_on(screen.draw(ProgressDrawTarget::stderr, progress, ending));
                drop(clears);
            })
            .ok()?;
        let end = Some(end);
        Some(Showing { end, cleared })
    }

    async fn draw<T: Into<Work> + Clone>(
        &self,
        target: impl FnOnce() -> ProgressDrawTarget,
        mut progress: watch::Receiver<T>,
        mut ending: oneshot::Receiver<()>,
    ) {
        let began = Instant::now();
        let mut pause = SHOWN_AFTER;
        // one that has been shown before is at its end, and shows nothing
        self.bar.reset();
        let mut target = Some(target);
        loop {
            // an error is an end as well: nobody is left to be ready
            tokio::select! {
                biased;
                _ = &mut ending => break,
                _ = progress.wait_for(|now| now.clone().into().over) => break,
                () = sleep(pause) => pause = EVERY,
            }
            let now: Work = progress.borrow_and_update().clone().into();
            if now.over {
                break;
            }
            self.set(&now, began.elapsed());
            if let Some(target) = target.take() {
                self.bar.set_draw_target(target());
                self.bar.tick();
            }
        }
        self.bar.finish_and_clear();
        self.bar.set_draw_target(ProgressDrawTarget::hidden());
    }

    fn set(&self, work: &Work, elapsed: Duration) {
        let (done, total) = (work.done, work.total);
        let millis = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let rate = done.saturating_mul(1000) / millis.max(1);
        // whatever is set is drawn
        if self.bar.prefix() != work.what {
            self.bar.set_prefix(work.what.clone());
        }
        self.bar.set_message(match &work.note {
            Some(note) => note.clone(),
            None if total == 0 => String::new(),
            None => format!(
                "{} of {}, {}/s",
                HumanCount(done),
                HumanCount(total),
                HumanCount(rate)
            ),
        });
        // a bar of nothing would be full
        self.bar.update(|state| {
            state.set_len(total.max(1));
            state.set_pos(done);
        });
    }
}

/// A bar that may be on the screen; it is gone when this is.
#[derive(Debug)]
pub(super) struct Showing {
    end: Option<oneshot::Sender<()>>,
    cleared: mpsc::Receiver<()>,
}

impl Drop for Showing {
    fn drop(&mut self) {
        drop(self.end.take());
        // a terminal that is stopped takes it later, or never
        let _ = self.cleared.recv_timeout(CLEARED_WITHIN);
    }
}

struct Lines(Screen);

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        let _ = self.0.beside(|| io::stderr().write_all(lines));
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, TermLike};

    use super::*;

    struct Stage {
        screen: Screen,
        terminal: InMemoryTerm,
        progress: watch::Sender<Progress>,
        end: oneshot::Sender<()>,
        drawing: tokio::task::JoinHandle<()>,
    }

    fn stage(columns: u16) -> Stage {
        let (screen, terminal) = (Screen::new(), InMemoryTerm::new(10, columns));
        let progress = watch::Sender::new(Progress::default());
        let (end, ending) = oneshot::channel();
        let drawing = {
            let (screen, terminal, progress) =
                (screen.clone(), terminal.clone(), progress.subscribe());
            tokio::spawn(async move {
                let target = || ProgressDrawTarget::term_like(Box::new(terminal));
                screen.draw(target, progress, ending).await;
            })
        };
        Stage {
            screen,
            terminal,
            progress,
            end,
            drawing,
        }
    }

    fn at(state: Indexing, done: usize, total: usize) -> Progress {
        Progress {
            state,
            done,
            total,
            ..Progress::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_quick_shows_nothing() {
        let stage = stage(80);
        sleep(Duration::from_millis(300)).await;
        stage.progress.send_replace(at(Indexing::Scanning, 1, 9));
        sleep(Duration::from_millis(150)).await;
        stage.progress.send_replace(at(Indexing::Ready, 9, 9));
        stage.drawing.await.unwrap();
        assert_eq!(stage.terminal.moves_since_last_check(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_longer_shows_how_far_it_is_and_leaves_nothing() {
        let stage = stage(80);
        sleep(Duration::from_millis(510)).await;
        let empty = "Reading runs [                        ]";
        assert_eq!(stage.terminal.contents(), empty);
        stage
            .progress
            .send_replace(at(Indexing::Scanning, 10_000, 20_000));
        sleep(Duration::from_millis(500)).await;
        let half = "Reading runs [============>           ] 10,000 of 20,000, 10,000/s";
        assert_eq!(stage.terminal.contents(), half);
        stage
            .progress
            .send_replace(at(Indexing::Ready, 20_000, 20_000));
        stage.drawing.await.unwrap();
        assert_eq!(stage.terminal.contents(), "");
        drop(stage.terminal.moves_since_last_check());
        stage.screen.beside(|| ());
        let moves = stage.terminal.moves_since_last_check();
        assert_eq!(moves, "", "log lines pass as if there had been no bar");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_one_is_shown_as_well() {
        let screen = Screen::new();
        for _ in 0..2 {
            let terminal = InMemoryTerm::new(10, 80);
            let progress = watch::Sender::new(at(Indexing::Scanning, 1, 2));
            let target = || ProgressDrawTarget::term_like(Box::new(terminal.clone()));
            let (_end, ending) = oneshot::channel();
            let over = async {
                sleep(Duration::from_millis(510)).await;
                let shown = terminal.contents();
                progress.send_replace(at(Indexing::Ready, 2, 2));
                shown
            };
            let drawing = screen.draw(target, progress.subscribe(), ending);
            let (shown, ()) = tokio::join!(over, drawing);
            let half = "Reading runs [============>           ] 1 of 2, 2/s";
            assert_eq!(shown, half);
            assert_eq!(terminal.contents(), "");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn log_lines_stand_above_it() {
        let stage = stage(80);
        sleep(Duration::from_millis(510)).await;
        for line in ["one", "two"] {
            stage
                .screen
                .beside(|| stage.terminal.write_line(line))
                .unwrap();
            sleep(Duration::from_millis(200)).await;
        }
        let empty = "one\ntwo\nReading runs [                        ]";
        assert_eq!(stage.terminal.contents(), empty);
        stage.progress.send_replace(at(Indexing::Ready, 1, 1));
        stage.drawing.await.unwrap();
        assert_eq!(stage.terminal.contents(), "one\ntwo");
    }

    #[tokio::test(start_paused = true)]
    async fn it_ends_with_the_daemon_and_with_the_index() {
        let one = stage(80);
        sleep(Duration::from_secs(1)).await;
        drop(one.end);
        one.drawing.await.unwrap();
        assert_eq!(one.terminal.contents(), "");

        let other = stage(80);
        sleep(Duration::from_secs(1)).await;
        drop(other.progress);
        other.drawing.await.unwrap();
        assert_eq!(other.terminal.contents(), "");
        drop(other.end);
    }

    #[tokio::test(start_paused = true)]
    async fn a_narrow_terminal_is_left_as_clean() {
        let stage = stage(20);
        sleep(Duration::from_secs(1)).await;
        stage.progress.send_replace(at(Indexing::Verifying, 1, 2));
        sleep(Duration::from_secs(1)).await;
        assert_ne!(stage.terminal.contents(), "");
        stage.progress.send_replace(at(Indexing::Ready, 2, 2));
        stage.drawing.await.unwrap();
        assert_eq!(stage.terminal.contents(), "");
    }
}
