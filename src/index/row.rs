//! Runs as the index keeps them: packed, because there may be a million.
//!
//! Rows live in pages of a fixed size, so that growing never copies or doubles what is there, and
//! are named by their number. What orders, sums and changes ask for is in a row's fixed part; its
//! other numbers ([`packed`](super::packed)) and its texts lie one after the other in two buffers
//! of its page. What a change of a row leaves behind there is garbage, and a page with too much
//! of it is made anew. What is kept of its steps lies apart ([`steps`](super::steps)).

use super::packed::{
    self, Numbers, Packed, Which, completed, duration, len_of, one, signed, total, unpack,
};
use super::query::Key;
use super::snapshot::Rest;
use super::steps::{self, Apart, Kept, Nodes};
use crate::filter::Number;
use crate::model::{
    Annotation, ExecutionId, Millis, Money, ProjectId, RunKey, Seen, Stamp, Status, SummaryRef,
    Version,
};
use std::cmp::Ordering;
use std::time::Duration;

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

/// The names that most models have: there are few, but nearly every run has one. The first ones
/// that come are kept here for good; those of rows that come later are among the rows' texts.
#[derive(Debug, Default)]
struct Models(Vec<Box<str>>);

impl Models {
    /// How many there may be, so that a byte says which.
    const MAX: usize = if cfg!(test) {
        3
    } else {
        (u8::MAX - MODEL_MAX) as usize
    };

    /// What stands for `name` in a row, if it is kept here.
    fn code(&mut self, name: &str) -> Option<u8> {
        let Self(names) = self;
        let at = match names.iter().position(|held| **held == *name) {
            Some(at) => at,
            None if names.len() == Self::MAX || name.is_empty() => return None,
            None => {
                names.push(name.into());
                names.len() - 1
            }
        };
        u8::try_from(at).ok()?.checked_add(MODEL_MAX + 1)
    }

    /// Takes in the name that the next code stands for; `None` if there may not be one.
    fn restore(&mut self, name: &str) -> Option<()> {
        let code = usize::from(self.code(name)?.checked_sub(MODEL_MAX + 1)?);
        (code + 1 == self.0.len()).then_some(())
    }

    /// The name that `code` stands for.
    fn name(&self, code: u8) -> Option<&str> {
        let at = code.checked_sub(MODEL_MAX + 1)?;
        self.0.get(usize::from(at)).map(|name| &**name)
    }
}

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

/// A row's place in every list: newest first, unknown starts last, then by id and project.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// When the run began.
    pub started_at: Option<Millis>,
    /// The execution's id.
    pub id: &'a str,
    /// The project's id.
    pub project: &'a str,
}

impl<'a> Place<'a> {
    /// That of a run which began then.
    #[must_use]
    pub fn of(started_at: Option<Millis>, key: &'a RunKey) -> Self {
        Self {
            started_at,
            id: key.execution.as_str(),
            project: key.project.as_str(),
        }
    }
}

impl Place<'_> {
    /// The place, for longer than whose it is.
    #[must_use]
    pub fn to_key(&self) -> Key {
        Key {
            started_at: self.started_at,
            id: self.id.to_owned(),
            project: self.project.to_owned(),
        }
    }
}

impl Ord for Place<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        // None is the smallest start, and reversed the last
        other
            .started_at
            .map(|at| at.0)
            .cmp(&self.started_at.map(|at| at.0))
            .then_with(|| self.id.as_bytes().cmp(other.id.as_bytes()))
            .then_with(|| self.project.as_bytes().cmp(other.project.as_bytes()))
    }
}

impl PartialOrd for Place<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// How many rows there are in a page.
pub(super) const PAGE: usize = if cfg!(test) { 8 } else { 1024 };

/// Some rows and what belongs to them.
#[derive(Debug, Default)]
pub(super) struct Page {
    rows: Vec<Fixed>,
    numbers: Vec<u8>,
    /// Of each row: id, other status, label, error, model, one after the other.
    texts: String,
    /// How many bytes of both no row needs any more.
    garbage: usize,
    /// What is kept of each row's steps and error.
    apart: Apart,
}

impl Page {
    /// An empty page with room for what `other` holds.
    fn like(other: &Self) -> Self {
        Self {
            rows: Vec::with_capacity(PAGE),
            numbers: Vec::with_capacity(other.numbers.len()),
            texts: String::with_capacity(other.texts.len()),
            garbage: 0,
            apart: Apart::like(&other.apart),
        }
    }

    /// Reads what [`Columns::write`] wrote, which is the rest of a block: the page, its projects
    /// numbered as they are there, and how many models are known at least. `None` if it is not what
    /// [`Row::write`] and [`Kept::write`] gave.
    pub(super) fn read(mut from: Rest<'_>) -> Option<(Self, usize)> {
        let lengths = [from.u32()?, from.u32()?, from.u32()?, from.u32()?];
        let [fixed, numbers, texts, kept] = lengths.map(|length| from.take(length as usize));
        let (mut fixed, mut numbers) = (Rest(fixed?), Rest(numbers?));
        let mut page = Self {
            rows: Vec::with_capacity(PAGE),
            numbers: numbers.0.to_vec(),
            texts: simdutf8::basic::from_utf8(texts?).ok()?.to_owned(),
            garbage: 0,
            apart: Apart::default(),
        };
        let mut apart = Apart::restoring(kept?.to_vec());
        let (mut text_at, mut models) = (0, 0);
        while !fixed.0.is_empty() {
            let (mut row, kept) = Fixed::read(&mut fixed)?;
            row.numbers_at = u32::try_from(page.numbers.len() - numbers.0.len()).ok()?;
            packed::take(&mut numbers)?;
            row.text_at = u32::try_from(text_at).ok()?;
            let id = page.texts.get(text_at..text_at + usize::from(row.id_len))?;
            for len in row.text_lens() {
                text_at += len;
                if !page.texts.is_char_boundary(text_at) {
                    return None;
                }
            }
            models = models.max(usize::from(row.model.saturating_sub(MODEL_MAX)));
            let sound = row.status <= STATUS_OTHER
                && !row.is_vacant()
                && ExecutionId::is_valid(id)
                && page.rows.len() < PAGE;
            if !sound || !apart.restore(kept) {
                return None;
            }
            page.rows.push(row);
        }
        page.apart = apart.restored()?;
        // nothing is left over
        let whole = from.0.is_empty() && numbers.0.is_empty() && text_at == page.texts.len();
        whole.then_some((page, models))
    }

    /// Its rows, one after the other, but for their models.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        static NONE: Models = Models(Vec::new());
        self.rows.iter().map(|fixed| Row {
            fixed,
            page: self,
            models: &NONE,
        })
    }

    /// Gives each row's project the number that `numbers` has for it.
    pub(super) fn number_projects(&mut self, numbers: &[u32]) -> Option<()> {
        for row in &mut self.rows {
            row.project = *numbers.get(row.project as usize)?;
        }
        Some(())
    }

    fn numbers_of(&self, row: &Fixed) -> &[u8] {
        let from = self.numbers.get(row.numbers_at as usize..);
        let from = from.unwrap_or_default();
        from.get(..len_of(from)).unwrap_or_default()
    }

    fn text_of(&self, row: &Fixed) -> &str {
        let at = row.text_at as usize;
        self.texts.get(at..at + row.text_len()).unwrap_or("")
    }

    #[allow(clippy::cast_possible_truncation)] // a page has some 1.5 MB at most
    fn put_numbers(&mut self, numbers: &[u8]) -> u32 {
        let (len, more) = (self.numbers.len(), numbers.len());
        if self.numbers.capacity() - len < more {
            self.numbers.reserve_exact(room(len, more));
        }
        self.numbers.extend_from_slice(numbers);
        len as u32
    }

    #[allow(clippy::cast_possible_truncation)] // a page has some 1.5 MB at most
    fn put_texts(&mut self, texts: &[&str]) -> u32 {
        let (len, more) = (self.texts.len(), texts.iter().map(|text| text.len()).sum());
        if self.texts.capacity() - len < more {
            self.texts.reserve_exact(room(len, more));
        }
        for text in texts {
            self.texts.push_str(text);
        }
        len as u32
    }

    /// Puts `draft` at the end.
    fn push(&mut self, draft: &Draft<'_>) {
        let numbers_at = self.put_numbers(draft.numbers.bytes());
        let text_at = self.put_texts(&draft.texts);
        self.rows.push(Fixed {
            numbers_at,
            text_at,
            ..draft.fixed.clone()
        });
        if self.rows.len() == PAGE {
            self.numbers.shrink_to_fit();
            self.texts.shrink_to_fit();
        }
    }

    /// Puts `draft` in the place of the row at `at`, which may be vacant.
    fn replace(&mut self, at: usize, draft: &Draft<'_>) {
        let Some(held) = self.rows.get(at) else {
            return;
        };
        // most saves change no text
        let text = self.text_of(held);
        let mut rest = Some(text);
        for part in draft.texts {
            rest = rest.and_then(|rest| rest.strip_prefix(part));
        }
        let text_at = if rest == Some("") {
            held.text_at
        } else {
            self.garbage += text.len();
            self.put_texts(&draft.texts)
        };
        let fixed = Fixed {
            text_at,
            ..draft.fixed.clone()
        };
        self.replace_numbers(at, draft.numbers.bytes(), fixed);
    }

    /// Puts `fixed` with `numbers` in the place of the row at `at`; its texts are in place.
    fn replace_numbers(&mut self, at: usize, bytes: &[u8], mut fixed: Fixed) {
        let Some(held) = self.rows.get(at) else {
            return;
        };
        let begin = held.numbers_at as usize;
        let len = if held.is_vacant() {
            0
        } else {
            self.numbers_of(held).len()
        };
        fixed.numbers_at = match self.numbers.get_mut(begin..begin + len) {
            Some(slot) if len == bytes.len() => {
                slot.copy_from_slice(bytes);
                held.numbers_at
            }
            _ => {
                self.garbage += len;
                self.put_numbers(bytes)
            }
        };
        if let Some(slot) = self.rows.get_mut(at) {
            *slot = fixed;
        }
        self.tidy();
    }

    /// Takes the row at `at` out; whether there was one.
    fn remove(&mut self, at: usize) -> bool {
        let Some(row) = self.rows.get(at).filter(|row| !row.is_vacant()) else {
            return false;
        };
        self.garbage += self.numbers_of(row).len() + self.text_of(row).len();
        if let Some(slot) = self.rows.get_mut(at) {
            *slot = Fixed::default();
        }
        self.tidy();
        true
    }

    /// Drops what no row needs, if that is more than a quarter of all; so it costs each change
    /// the copying of some rows. A whole page takes some tens of microseconds.
    fn tidy(&mut self) {
        let bytes = self.numbers.len() + self.texts.len();
        if self.garbage <= bytes / 4 {
            return;
        }
        let live = |row: &&Fixed| !row.is_vacant();
        let texts = self.rows.iter().filter(live).map(Fixed::text_len).sum();
        let kept = bytes.saturating_sub(self.garbage);
        let mut fresh = Self {
            rows: Vec::new(),
            numbers: Vec::with_capacity(kept.saturating_sub(texts)),
            texts: String::with_capacity(texts),
            garbage: 0,
            apart: std::mem::take(&mut self.apart),
        };
        let mut rows = std::mem::take(&mut self.rows);
        for row in rows.iter_mut().filter(|row| !row.is_vacant()) {
            row.numbers_at = fresh.put_numbers(self.numbers_of(row));
            row.text_at = fresh.put_texts(&[self.text_of(row)]);
        }
        fresh.rows = rows;
        *self = fresh;
    }
}

/// The rows of a page as a snapshot has them: what is of one kind lies together, as it does in the
/// page.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) fixed: Vec<u8>,
    pub(super) numbers: Vec<u8>,
    pub(super) texts: Vec<u8>,
    pub(super) kept: Vec<u8>,
}

impl Columns {
    /// How many bytes there are.
    pub(super) fn bytes(&self) -> usize {
        self.fixed.len() + self.numbers.len() + self.texts.len() + self.kept.len()
    }

    /// Appends them, their lengths first.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let columns = [&self.fixed, &self.numbers, &self.texts, &self.kept];
        for column in columns {
            let length = u32::try_from(column.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_le_bytes());
        }
        for column in columns {
            out.extend_from_slice(column);
        }
    }
}

/// How much a buffer of `len` bytes grows that `more` are to be put into; a `Vec` would double.
fn room(len: usize, more: usize) -> usize {
    more.max(len / 8)
}

/// All rows, by number. A number is given out again after its row has gone.
#[derive(Debug, Default)]
pub struct Rows {
    pages: Vec<Page>,
    vacant: Vec<u32>,
    live: usize,
    models: Models,
    nodes: Nodes,
    /// Where what is kept apart is put together.
    scratch: steps::Scratch,
}

impl Rows {
    /// How many runs there are.
    pub fn live(&self) -> usize {
        self.live
    }

    fn page_mut(&mut self, number: u32) -> Option<(&mut Page, usize)> {
        let number = number as usize;
        Some((self.pages.get_mut(number / PAGE)?, number % PAGE))
    }

    fn row<'a>(&'a self, fixed: &'a Fixed, page: &'a Page) -> Row<'a> {
        Row {
            fixed,
            page,
            models: &self.models,
        }
    }

    /// The row numbered `number`, if a run lives there.
    pub fn get(&self, number: u32) -> Option<Row<'_>> {
        let number = number as usize;
        let page = self.pages.get(number / PAGE)?;
        let fixed = page.rows.get(number % PAGE)?;
        (!fixed.is_vacant()).then_some(self.row(fixed, page))
    }

    /// The fixed part of the row numbered `number`, if a run lives there.
    pub(super) fn fixed_mut(&mut self, number: u32) -> Option<&mut Fixed> {
        let (page, at) = self.page_mut(number)?;
        page.rows.get_mut(at).filter(|row| !row.is_vacant())
    }

    /// `draft` less the name of its model, if that is kept once for all.
    fn without_model<'a>(&mut self, mut draft: Draft<'a>) -> Draft<'a> {
        let [.., model] = &mut draft.texts;
        if let Some(code) = self.models.code(model) {
            draft.fixed.model = code;
            *model = "";
        }
        draft
    }

    /// Puts `draft` where there is room.
    pub(super) fn insert(&mut self, draft: Draft<'_>) -> u32 {
        let draft = &self.without_model(draft);
        self.live += 1;
        let number = self.place(draft);
        self.keep(number, Some(&draft.apart));
        number
    }

    fn place(&mut self, draft: &Draft<'_>) -> u32 {
        if let Some(number) = self.vacant.pop()
            && let Some((page, at)) = self.page_mut(number)
        {
            page.replace(at, draft);
            return number;
        }
        if self.pages.last().is_none_or(|page| page.rows.len() == PAGE) {
            let page = match self.pages.last_mut() {
                Some(last) => {
                    last.apart.end();
                    Page::like(last)
                }
                None => Page::default(),
            };
            self.pages.push(page);
        }
        let before = self.pages.len() - 1;
        let mut at = 0;
        if let Some(page) = self.pages.last_mut() {
            at = page.rows.len();
            page.push(draft);
        }
        u32::try_from(before * PAGE + at).unwrap_or(u32::MAX)
    }

    /// Takes in a page of rows; the number of its first. The nodes of their steps are known.
    pub(super) fn adopt(&mut self, page: Page) -> u32 {
        let first = u32::try_from(self.pages.len() * PAGE).unwrap_or(u32::MAX);
        // every page but the last is full
        if let Some(last) = self.pages.last_mut() {
            let missing = u32::try_from(PAGE - last.rows.len()).unwrap_or(0);
            last.rows.resize(PAGE, Fixed::default());
            self.vacant.extend(first - missing..first);
        }
        self.live += page.rows.len();
        self.pages.push(page);
        first
    }

    /// Takes in the next model that is kept once for all; `None` if there may not be one.
    pub(super) fn restore_model(&mut self, name: &str) -> Option<()> {
        self.models.restore(name)
    }

    /// How many models are kept once for all.
    pub(super) fn models(&self) -> usize {
        self.models.0.len()
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The runs of a page with their numbers.
    pub(super) fn of_page(&self, which: usize) -> impl Iterator<Item = (u32, Row<'_>)> {
        let page = self.pages.get(which).into_iter();
        page.flat_map(move |page| {
            let rows = page.rows.iter().enumerate();
            rows.filter(|(_, fixed)| !fixed.is_vacant())
                .map(move |(at, fixed)| {
                    let number = u32::try_from(which * PAGE + at).unwrap_or(u32::MAX);
                    (number, self.row(fixed, page))
                })
        })
    }

    /// Puts `draft` in the place of the row numbered `number`.
    pub(super) fn replace(&mut self, number: u32, draft: Draft<'_>) {
        let draft = &self.without_model(draft);
        if let Some((page, at)) = self.page_mut(number) {
            page.replace(at, draft);
            self.keep(number, Some(&draft.apart));
        }
    }

    /// Keeps what `draft` says of the steps of row `number`, or nothing.
    fn keep(&mut self, number: u32, draft: Option<&steps::Draft<'_>>) {
        let (page, at) = (number as usize / PAGE, number as usize % PAGE);
        if let Some(page) = self.pages.get_mut(page) {
            page.apart
                .set(at, draft, &mut self.nodes, &mut self.scratch);
        }
    }

    /// What is kept of the steps and the error of row `number`.
    pub(super) fn kept(&self, number: u32) -> Kept<'_> {
        let page = self.pages.get(number as usize / PAGE);
        page.map(|page| page.apart.get(number as usize % PAGE))
            .unwrap_or_default()
    }

    /// The numbers that no run has any more.
    pub(super) fn vacant(&self) -> &[u32] {
        &self.vacant
    }

    /// The nodes that steps name.
    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The same, to hold some.
    pub(super) fn nodes_mut(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    /// How many bytes what is kept of steps and errors takes.
    pub(super) fn step_bytes(&self) -> usize {
        steps::held_bytes(self.pages.iter().map(|page| &page.apart), &self.nodes)
    }

    /// Takes in that the file of row `number` was found unchanged with the stamp `stamp`.
    pub(super) fn restamp(&mut self, number: u32, stamp: Stamp, racy: bool) {
        let Some(row) = self.get(number) else { return };
        let numbers = Numbers {
            stamp,
            ..row.numbers()
        };
        let packed = Packed::of(&numbers, row.started());
        let mut fixed = row.fixed.clone();
        fixed.mtime_ns = stamp.mtime_ns;
        fixed.flag(RACY, racy);
        if let Some((page, at)) = self.page_mut(number) {
            page.replace_numbers(at, packed.bytes(), fixed);
        }
    }

    pub(super) fn remove(&mut self, number: u32) {
        if self
            .page_mut(number)
            .is_some_and(|(page, at)| page.remove(at))
        {
            self.keep(number, None);
            self.vacant.push(number);
            self.live -= 1;
        }
    }

    /// Panics where a page does not hold what its rows need and little else.
    #[cfg(test)]
    pub(super) fn check(&self) {
        for page in &self.pages {
            let live = || page.rows.iter().filter(|row| !row.is_vacant());
            let numbers: usize = live().map(|row| page.numbers_of(row).len()).sum();
            let texts: usize = live().map(Fixed::text_len).sum();
            let bytes = page.numbers.len() + page.texts.len();
            assert_eq!(page.garbage, bytes - numbers - texts);
            assert!(page.garbage <= bytes / 4);
            page.apart.check();
        }
        let mut counts = std::collections::BTreeMap::new();
        for (number, _) in self.iter() {
            for (node, _) in self.kept(number).steps() {
                let name = self.nodes.name(node).unwrap().to_string();
                *counts.entry(name).or_default() += 1;
            }
        }
        assert_eq!(self.nodes.counts(), counts);
    }

    /// One more than the largest number of a row.
    pub fn numbers(&self) -> usize {
        let before = self.pages.len().saturating_sub(1) * PAGE;
        before + self.pages.last().map_or(0, |page| page.rows.len())
    }

    /// Every run with its number, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Row<'_>)> {
        (0..self.pages()).flat_map(|page| self.of_page(page))
    }
}

/// The key of a row, made anew.
pub(super) fn key_of(row: Row<'_>, project: &ProjectId) -> Option<RunKey> {
    Some(RunKey {
        project: project.clone(),
        execution: ExecutionId::parse(row.id()).ok()?,
    })
}
