//! The texts of runs as clients see them, of those that were asked for lately.
//!
//! Writing a summary is most of what a page costs, and the same pages are asked for again and
//! again: by every window, and after every change of one run among fifty. A text is found by its
//! row's number and used while the row has the tick and the times that it was written from, so
//! nobody has to say when a row changes. Texts of a bounded number and size are kept.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Index;
use super::place::Key;
use super::row::{Row, key_of};
use super::steps::Kept;
use crate::filter::Number;
use crate::model::{Fingerprint, Millis, ProjectId, RunKey, SummaryRef, Version};

/// How many texts are kept; a power of two.
const TEXTS: usize = if cfg!(test) { 4 } else { 2048 };
/// Longer ones are not, so that all take 2 MB at most.
const TEXT_MAX_BYTES: usize = 1024;

/// The texts that are kept.
#[derive(Debug, Default)]
pub(super) struct Written(Mutex<Vec<Text>>);

#[derive(Debug, Clone, Default)]
struct Text {
    number: u32,
    of: Of,
    text: Box<[u8]>,
}

/// What a row's text is written from: a tick is given to one change of one row, and a touch that
/// tells nothing changes the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Of {
    tick: u64,
    mtime_ns: i64,
    version: Version,
}

/// A run of a page.
#[derive(Debug, Clone, Copy)]
pub struct Listed<'a> {
    index: &'a Index,
    number: u32,
    row: Row<'a>,
    project: &'a ProjectId,
}

impl<'a> Listed<'a> {
    /// The run as clients see it.
    #[must_use]
    pub fn summary(&self) -> SummaryRef<'a> {
        let stale_after = self.index.liveness.stale_after;
        let annotation = self.index.annotation_of(self.row, self.project);
        self.row.summary(self.project, stale_after, annotation)
    }

    /// The tick of the last change of it.
    #[must_use]
    pub fn tick(&self) -> u64 {
        self.row.tick()
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }

    pub(super) fn row(&self) -> Row<'a> {
        self.row
    }

    /// What is kept of its steps and its error.
    pub(super) fn kept(&self) -> Kept<'a> {
        self.index.rows.kept(self.number)
    }

    /// A number that runs are filtered and sorted by.
    pub(super) fn value(&self, which: Number) -> Option<i64> {
        self.row.number(which, self.index.liveness.stale_after)
    }

    /// The project.
    #[must_use]
    pub fn project(&self) -> &'a ProjectId {
        self.project
    }

    /// The execution's id.
    #[must_use]
    pub fn id(&self) -> &'a str {
        self.row.id()
    }

    /// The status as spelt in the record, if it has one.
    #[must_use]
    pub fn status(&self) -> Option<&'a str> {
        self.row.status_text()
    }

    /// When it began.
    #[must_use]
    pub fn started_at(&self) -> Option<Millis> {
        self.row.started()
    }

    /// The model that the record names.
    #[must_use]
    pub fn model(&self) -> Option<&'a str> {
        self.row.model()
    }

    /// Which errors its error is like.
    #[must_use]
    pub fn error_group(&self) -> Option<Fingerprint> {
        self.kept().head.fingerprint
    }

    /// Gives the node of each of its steps to `each`: its name, and a number that no other node has
    /// for as long as any step is of it.
    pub fn each_node(&self, mut each: impl FnMut(u32, &'a Arc<str>)) {
        let nodes = self.index.rows.nodes();
        for (number, _) in self.kept().steps() {
            if let Some(name) = nodes.name(number) {
                each(number, name);
            }
        }
    }

    /// Whether it has steps of which nothing is kept.
    #[must_use]
    pub fn leaves_out_steps(&self) -> bool {
        self.kept().head.truncated
    }

    /// Its place in list order.
    #[must_use]
    pub fn key(&self) -> Key {
        Key {
            started_at: self.row.started(),
            id: self.row.id().to_owned(),
            project: self.project.to_string(),
        }
    }

    /// Which run it is; rows hold no ids but sound ones.
    #[must_use]
    pub fn run_key(&self) -> Option<RunKey> {
        key_of(self.row, self.project)
    }

    /// Appends the summary's JSON text.
    pub fn write(&self, out: &mut Vec<u8>) {
        let of = Of {
            tick: self.row.tick(),
            mtime_ns: self.row.mtime_ns(),
            version: self.row.version(),
        };
        let Written(texts) = &self.index.written;
        let at = self.number as usize % TEXTS;
        {
            let texts = texts.lock();
            if let Some(held) = texts.get(at)
                && held.number == self.number
                && held.of == of
                && !held.text.is_empty()
            {
                out.extend_from_slice(&held.text);
                return;
            }
        }
        let begin = out.len();
        self.summary().write(out);
        let text = out.get(begin..).unwrap_or_default();
        if text.len() > TEXT_MAX_BYTES {
            return;
        }
        let text = Text {
            number: self.number,
            of,
            text: text.into(),
        };
        let mut texts = texts.lock();
        if texts.is_empty() {
            texts.resize(TEXTS, Text::default());
        }
        if let Some(slot) = texts.get_mut(at) {
            *slot = text;
        }
    }
}

impl Index {
    /// The run of row `number`.
    pub(super) fn listed(&self, number: u32) -> Option<Listed<'_>> {
        let row = self.rows.get(number)?;
        let project = &self.project(row.project())?.id;
        Some(Listed {
            index: self,
            number,
            row,
            project,
        })
    }
}
