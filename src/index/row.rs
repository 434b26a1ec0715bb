//! Runs as the index keeps them: packed, because there may be a million.
//!
//! Rows live in pages of a fixed size, so that growing never copies or doubles what is there, and
//! are named by their number. What orders, sums and changes ask for is in a row's fixed part; its
//! other numbers ([`packed`](super::packed)) and its texts lie one after the other in two buffers
//! of its page. What a change of a row leaves behind there is garbage, and a page with too much
//! of it is made anew. What is kept of its steps lies apart ([`steps`](super::steps)).

use super::packed::{
    self, Numbers, Packed, Which, completed, duration, one, signed, total, unpack,
};
use super::snapshot::Rest;
use super::steps;
use crate::filter::Number;
use crate::model::{
    Annotation, ExecutionId, Millis, Money, ProjectId, RunKey, Seen, Stamp, Status, SummaryRef,
    Version,
};
use std::time::Duration;

mod page;
mod rows;

pub(super) use page::{Columns, PAGE, Page};
use rows::Models;
pub use rows::Rows;

/// A number where `i64::MIN` stands for "unknown"; half the size of an `Option<i64>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Maybe(i64);

impl Default for Maybe {
    fn default() -> Self {
        Self::UNKNOWN
    }
}

impl Maybe {
    const UNKNOWN: Self = Self(i64::MIN);

    fn from(value: Option<i64>) -> Self {
        value.map_or(Self::UNKNOWN, Self)
    }

    fn get(self) -> Option<i64> {
        (self != Self::UNKNOWN).then_some(self.0)
    }
}

/// A record's status as a small number: [`STATUS_UNKNOWN`], [`STATUS_OTHER`] for a text of the row, and
/// between them the engine's in the order of [`Status::KNOWN`].
pub(super) const STATUS_UNKNOWN: u8 = 0;
pub(super) const STATUS_OTHER: u8 = 7;
const QUEUED: u8 = status_code(&Status::Queued);
const RUNNING: u8 = status_code(&Status::Running);

/// The number of `status`; [`STATUS_OTHER`] for any that the engine does not write.
pub(super) const fn status_code(status: &Status) -> u8 {
    match status {
        Status::Queued => 1,
        Status::Running => 2,
        Status::Paused => 3,
        Status::Completed => 4,
        Status::Failed => 5,
        Status::Cancelled => 6,
        Status::Other(_) => STATUS_OTHER,
    }
}

/// The status of the engine that has the number `code`.
fn known_status(code: u8) -> Option<&'static Status> {
    let mut known = Status::KNOWN.iter();
    known.find(|status| status_code(status) == code)
}

/// The part of a row that is in its place.
#[derive(Debug, Clone, Default)]
pub(super) struct Fixed {
    /// The tick of the last change that was told.
    pub(super) tick: u64,
    version: Version,
    started: Maybe,
    mtime_ns: i64,
    pub(super) project: u32,
    /// Where its packed numbers begin in its page.
    numbers_at: u32,
    /// Where its texts begin in its page.
    text_at: u32,
    label_len: u16,
    error_len: u16,
    id_len: u8,
    other_len: u8,
    /// How long the model's name is that is among its texts; above [`MODEL_MAX`] it is not, and
    /// this says which of the [`Models`] it is.
    model: u8,
    status: u8,
    flags: u8,
}

// a cache line of most processors
const _: () = assert!(size_of::<Fixed>() == 64);

/// How many bytes [`Row::write`] appends of it.
const WRITTEN: usize = 57;

const ERROR_CUT: u8 = 1;
const CREATED: u8 = 2;
const RACY: u8 = 4;
const LIVE: u8 = 8;
const TOO_DEEP: u8 = 16;
/// Somebody noted something on the run; what, the index knows by its key.
const ANNOTATED: u8 = 32;

impl Fixed {
    fn is_vacant(&self) -> bool {
        self.flags & LIVE == 0
    }

    fn flag(&mut self, flag: u8, on: bool) {
        self.flags = if on {
            self.flags | flag
        } else {
            self.flags & !flag
        };
    }

    /// Notes whether the latest change of the run created it.
    pub(super) fn set_created(&mut self, created: bool) {
        self.flag(CREATED, created);
    }

    /// Notes whether there is an annotation.
    pub(super) fn set_annotated(&mut self, annotated: bool) {
        self.flag(ANNOTATED, annotated);
    }

    fn own_model_len(&self) -> u8 {
        if self.model > MODEL_MAX {
            0
        } else {
            self.model
        }
    }

    /// How long each of its texts is: id, other status, label, error, model.
    fn text_lens(&self) -> [usize; 5] {
        [
            self.id_len.into(),
            self.other_len.into(),
            self.label_len.into(),
            self.error_len.into(),
            self.own_model_len().into(),
        ]
    }

    fn text_len(&self) -> usize {
        self.text_lens().into_iter().sum()
    }

    /// Reads what [`Row::write`] wrote of it, its project as it stands there, and how many bytes are
    /// kept of its steps and its error.
    fn read(from: &mut Rest<'_>) -> Option<(Self, usize)> {
        let mut from = Rest(from.take(WRITTEN)?);
        let tick = from.u64()?;
        let version = Version(from.array()?);
        let (started, mtime_ns) = (Maybe(from.i64()?), from.i64()?);
        let (project, kept) = (from.u32()?, from.u32()?);
        let (label_len, error_len) = (from.u16()?, from.u16()?);
        let [id_len, other_len, model, status, flags] = from.array()?;
        let fixed = Self {
            tick,
            version,
            started,
            mtime_ns,
            project,
            numbers_at: 0,
            text_at: 0,
            label_len,
            error_len,
            id_len,
            other_len,
            model,
            status,
            // annotations come after the rows, and say whose they are
            flags: flags & !ANNOTATED,
        };
        Some((fixed, kept as usize))
    }
}

/// A run before it has a place among the rows.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) fixed: Fixed,
    numbers: Packed,
    /// id, other status, label, error, model.
    texts: [&'a str; 5],
    apart: steps::Draft<'a>,
}

impl<'a> Draft<'a> {
    /// What `seen` says of a run of the project numbered `project`.
    pub(super) fn new(project: u32, execution: &'a ExecutionId, seen: &'a Seen) -> Self {
        let facts = &seen.facts;
        // extract caps each of them well below these types
        let cut = |text: &'a str, limit: usize| -> &'a str {
            let mut end = text.len().min(limit);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.get(..end).unwrap_or("")
        };
        let some = |text: &'a Option<Box<str>>, limit| cut(text.as_deref().unwrap_or(""), limit);
        let id = execution.as_str();
        let other = match &facts.status {
            Some(Status::Other(text)) => cut(text, 255),
            _ => "",
        };
        let label = some(&facts.label, 65_535);
        let model = some(&facts.model, MODEL_MAX.into());
        let error = some(&facts.error, 65_535);
        let mut flags = LIVE;
        for (flag, on) in [
            (ERROR_CUT, facts.error_truncated),
            (RACY, seen.racy),
            (TOO_DEEP, facts.too_deep),
        ] {
            if on {
                flags |= flag;
            }
        }
        let numbers = Numbers {
            completed: facts.completed_at,
            duration: facts.duration,
            tokens: facts.tokens,
            cost: facts.cost.map(Money::nanos),
            retries: facts.retry_count,
            steps: facts.step_count,
            stamp: seen.stamp,
        };
        #[allow(clippy::cast_possible_truncation)] // each was cut above; ids are at most 250 bytes
        Self {
            fixed: Fixed {
                tick: 0,
                version: seen.version,
                started: Maybe::from(facts.started_at.map(|at| at.0)),
                mtime_ns: seen.stamp.mtime_ns,
                project,
                numbers_at: 0,
                text_at: 0,
                label_len: label.len() as u16,
                error_len: error.len() as u16,
                id_len: id.len() as u8,
                other_len: other.len() as u8,
                model: model.len() as u8,
                status: facts.status.as_ref().map_or(STATUS_UNKNOWN, status_code),
                flags,
            },
            numbers: Packed::of(&numbers, facts.started_at),
            texts: [id, other, label, error, model],
            apart: steps::Draft::of(facts),
        }
    }

    /// The execution's id.
    pub(super) fn id(&self) -> &'a str {
        let [id, ..] = self.texts;
        id
    }
}

/// The most bytes that a model's name has which is kept.
const MODEL_MAX: u8 = 128;

/// One run, to be read.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    fixed: &'a Fixed,
    page: &'a Page,
    models: &'a Models,
}

impl<'a> Row<'a> {
    /// Appends the row to a page of a snapshot, in which its project is number `project`; `model`
    /// is what stands there for a model that is kept once for all, and `kept` how many bytes are
    /// kept of its steps and its error.
    pub(super) fn write(
        self,
        project: u32,
        model: impl FnOnce(u8, &'a str) -> u8,
        kept: usize,
        out: &mut Columns,
    ) {
        let fixed = self.fixed;
        let model = match self.models.name(fixed.model) {
            Some(name) => MODEL_MAX + 1 + model(fixed.model, name),
            None => fixed.own_model_len(),
        };
        let bytes = &mut out.fixed;
        bytes.extend_from_slice(&fixed.tick.to_le_bytes());
        bytes.extend_from_slice(&fixed.version.0);
        for value in [fixed.started.0, fixed.mtime_ns] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in [project, u32::try_from(kept).unwrap_or(u32::MAX)] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for value in [fixed.label_len, fixed.error_len] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes.extend_from_slice(&[
            fixed.id_len,
            fixed.other_len,
            model,
            fixed.status,
            fixed.flags,
        ]);
        out.numbers.extend_from_slice(self.page.numbers_of(fixed));
        out.texts
            .extend_from_slice(self.page.text_of(fixed).as_bytes());
    }

    fn part(self, from: usize, len: usize) -> &'a str {
        let at = self.fixed.text_at as usize + from;
        self.page.texts.get(at..at + len).unwrap_or("")
    }

    /// The execution's id.
    pub fn id(self) -> &'a str {
        self.part(0, usize::from(self.fixed.id_len))
    }

    /// The number of its project.
    pub(super) fn project(self) -> u32 {
        self.fixed.project
    }

    /// The tick of the last change that was told.
    pub(super) fn tick(self) -> u64 {
        self.fixed.tick
    }

    pub(super) fn version(self) -> Version {
        self.fixed.version
    }

    /// The status as spelt in the record, if it has one.
    pub fn status_text(self) -> Option<&'a str> {
        let fixed = self.fixed;
        match fixed.status {
            STATUS_UNKNOWN => None,
            STATUS_OTHER => {
                Some(self.part(usize::from(fixed.id_len), usize::from(fixed.other_len)))
            }
            code => known_status(code).map(Status::as_str),
        }
    }

    pub(super) fn status(self) -> u8 {
        self.fixed.status
    }

    /// Whether the status is one under which silence makes a run stale.
    pub(super) fn beats(self) -> bool {
        matches!(self.fixed.status, QUEUED | RUNNING)
    }

    pub(super) fn is_racy(self) -> bool {
        self.fixed.flags & RACY != 0
    }

    /// The version of whatever has the row's stamp, if that stamp proves it and the record may be
    /// given.
    pub(super) fn proven(self) -> Option<(Stamp, Version)> {
        (self.fixed.flags & (RACY | TOO_DEEP) == 0).then(|| (self.stamp(), self.version()))
    }

    /// Whether there is an annotation.
    pub(super) fn is_annotated(self) -> bool {
        self.fixed.flags & ANNOTATED != 0
    }

    /// Whether the latest change of the run created it.
    pub(super) fn created(self) -> bool {
        self.fixed.flags & CREATED != 0
    }

    pub(super) fn started(self) -> Option<Millis> {
        self.fixed.started.get().map(Millis)
    }

    pub(super) fn mtime_ns(self) -> i64 {
        self.fixed.mtime_ns
    }

    /// The stamp of the file when it was last read.
    pub(super) fn stamp(self) -> Stamp {
        packed::stamp(self.packed(), self.fixed.mtime_ns)
    }

    /// The numbers that are packed. Costs some 20 ns.
    #[inline]
    pub(super) fn numbers(self) -> Numbers {
        unpack(self.packed(), self.started(), self.fixed.mtime_ns)
    }

    /// The numbers as they are packed.
    #[inline]
    fn packed(self) -> &'a [u8] {
        let at = self.fixed.numbers_at as usize;
        self.page.numbers.get(at..).unwrap_or_default()
    }

    /// One number that a filter may ask for, of runs that are stale after `stale_after`; without the
    /// others, because it asks every row.
    #[inline]
    pub(super) fn number(self, which: Number, stale_after: Duration) -> Option<i64> {
        let bytes = self.packed();
        match which {
            Number::StartedAt => self.started().map(|at| at.0),
            Number::CompletedAt => completed(bytes, self.started()),
            Number::UpdatedAt => Some(self.updated_at().0),
            Number::StaleAt => self.stale_at(stale_after).map(|at| at.0),
            Number::Duration => duration(bytes),
            Number::Cost => signed(bytes, Which::Cost),
            Number::SizeBytes => i64::try_from(one(bytes, Which::Size).unwrap_or(0)).ok(),
            Number::Steps => i64::try_from(one(bytes, Which::Steps).unwrap_or(0)).ok(),
            Number::Retries => signed(bytes, Which::Retries),
            Number::Tokens => total(bytes).or_else(|| {
                match [Which::Input, Which::Output].map(|which| signed(bytes, which)) {
                    [None, None] => None,
                    [input, output] => Some(input.unwrap_or(0).saturating_add(output.unwrap_or(0))),
                }
            }),
            Number::InputTokens => signed(bytes, Which::Input),
            Number::OutputTokens => signed(bytes, Which::Output),
        }
    }

    fn updated_at(self) -> Millis {
        Millis(self.fixed.mtime_ns.div_euclid(1_000_000))
    }

    /// From when on a live run is stale.
    pub(super) fn stale_at(self, stale_after: Duration) -> Option<Millis> {
        self.beats().then(|| {
            let after = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
            Millis(self.updated_at().0.saturating_add(after))
        })
    }

    /// What it is called.
    pub(super) fn label(self) -> Option<&'a str> {
        let fixed = self.fixed;
        let from = usize::from(fixed.id_len) + usize::from(fixed.other_len);
        self.text(from, fixed.label_len.into())
    }

    /// The error, or its beginning, and whether it was cut.
    pub(super) fn error(self) -> (Option<&'a str>, bool) {
        let fixed = self.fixed;
        let from = usize::from(fixed.id_len) + usize::from(fixed.other_len);
        let error = self.text(from + usize::from(fixed.label_len), fixed.error_len.into());
        (error, fixed.flags & ERROR_CUT != 0)
    }

    /// The bytes of the error, or of its beginning, not looked at.
    #[inline]
    pub(super) fn error_bytes(self) -> &'a [u8] {
        let fixed = self.fixed;
        let before = usize::from(fixed.id_len) + usize::from(fixed.other_len);
        let from = fixed.text_at as usize + before + usize::from(fixed.label_len);
        let texts = self.page.texts.as_bytes();
        let error = texts.get(from..from + usize::from(fixed.error_len));
        error.unwrap_or_default()
    }

    /// The model that the record names.
    pub(super) fn model(self) -> Option<&'a str> {
        let len = usize::from(self.fixed.own_model_len());
        self.text(self.fixed.text_len() - len, len)
            .or_else(|| self.models.name(self.fixed.model))
    }

    fn text(self, from: usize, len: usize) -> Option<&'a str> {
        (len > 0).then(|| self.part(from, len))
    }

    /// The row as clients see it, with what people noted on it.
    pub(super) fn summary(
        self,
        project: &'a ProjectId,
        stale_after: Duration,
        annotation: Option<&'a Annotation>,
    ) -> SummaryRef<'a> {
        let (error, error_truncated) = self.error();
        let numbers = self.numbers();
        SummaryRef {
            id: self.id(),
            project_id: project,
            status: self.status_text(),
            started_at: self.started(),
            completed_at: numbers.completed,
            duration: numbers.duration,
            token_usage: numbers.tokens,
            cost_usd: numbers.cost.and_then(Money::from_nanos),
            error,
            error_truncated,
            label: self.label(),
            model: self.model(),
            updated_at: self.updated_at(),
            size_bytes: numbers.stamp.size,
            step_count: numbers.steps,
            retry_count: numbers.retries,
            version: self.version(),
            stale_at: self.stale_at(stale_after),
            annotation,
        }
    }
}

/// The key of a row, made anew.
pub(super) fn key_of(row: Row<'_>, project: &ProjectId) -> Option<RunKey> {
    Some(RunKey {
        project: project.clone(),
        execution: ExecutionId::parse(row.id()).ok()?,
    })
}
