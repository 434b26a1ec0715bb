//! Patience with a file that is away for a moment.
//!
//! House rule: a listed run whose file is missing or unreadable for a moment (in-place writes,
//! backup-and-rename) is read again before anything is told. A look puts such a run back (see
//! `look`); a request that needs the file itself asks again here. Of a run that is not listed
//! nobody says that there should be a file: that is told at once.

use std::time::Duration;

use tokio::time::Instant;

use super::look::MOMENT;
use super::{History, HistoryError};
use crate::model::RunKey;
use crate::store::ReadError;

/// Between two readings: most of those who save in that manner are done long before the moment is over.
const STEP: Duration = Duration::from_millis(10);

/// What is left of the moment that one request waits.
#[derive(Debug, Default)]
pub struct Patience {
    until: Option<Instant>,
}

impl Patience {
    /// Whether what is seen now is not to be believed yet, if [`History::may_return`] says so.
    #[must_use]
    pub fn lasts(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }

    /// Waits until it is worth while to ask again; the moment begins with the first time.
    pub async fn wait(&mut self) {
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + MOMENT);
        tokio::time::sleep_until(until.min(now + STEP)).await;
    }
}

/// As [`Patience`], for one who may block.
#[derive(Debug, Default)]
pub struct Pause {
    until: Option<std::time::Instant>,
}

impl Pause {
    /// Waits until it is worth while to ask again; the moment begins with the first time. False when it
    /// is over.
    pub fn wait(&mut self) -> bool {
        let now = std::time::Instant::now();
        let left = self.until.get_or_insert(now + MOMENT).duration_since(now);
        std::thread::sleep(left.min(STEP));
        !left.is_zero()
    }
}

impl History {
    /// Whether `error` says of a run that is listed that its file is missing or unreadable, which may
    /// be so for a moment only. That a whole file is more than can be given is no such error.
    #[must_use]
    pub fn may_return(&self, key: &RunKey, error: &HistoryError) -> bool {
        let away = match error {
            HistoryError::NotFound(_) => true,
            HistoryError::Read(ReadError::TooLarge { .. } | ReadError::TooDeep { .. }) => false,
            HistoryError::Read(_) => true,
            _ => false,
        };
        away && self.index(|index| index.contains(key))
    }

    /// Whether a run is listed and its file is not there. Blocks.
    pub fn is_away(&self, key: &RunKey) -> bool {
        self.index(|index| index.contains(key)) && matches!(self.store.stamp(key), Ok(None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Options;
    use crate::model::json::RECORD_NESTING_MAX as DEEP;
    use crate::model::{ExecutionId, ProjectId};
    use crate::store::Expect;

    #[test]
    fn what_no_waiting_cures_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let history = History::new(root.path().to_owned(), Options::default());
        let key = RunKey {
            project: ProjectId::parse("p").unwrap(),
            execution: ExecutionId::parse("x").unwrap(),
        };
        history.save(&key, "{}", &Expect::Anything).unwrap();
        let file = root.path().join("p/executions/x.json");
        let deep = "[".repeat(DEEP) + &"]".repeat(DEEP);
        let deep = format!(r#"{{"output":{deep}}}"#);
        for (text, cured) in [("{", true), ("[]", true), (&deep, false)] {
            std::fs::write(&file, text).unwrap();
            let error = history.get_known(&key).unwrap_err();
            assert_eq!(history.may_return(&key, &error), cured, "{error}");
        }
        std::fs::write(&file, "{}").unwrap();
        let large = history.get_known_within(&key, 1).unwrap_err();
        assert!(!history.may_return(&key, &large), "{large}");
        std::fs::remove_file(&file).unwrap();
        let gone = history.get_known(&key).unwrap_err();
        assert!(history.may_return(&key, &gone), "{gone}");
    }
}
