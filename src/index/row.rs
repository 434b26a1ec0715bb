//! One run as the index keeps it: packed, because there may be a million.
//!
//! The fixed part is one struct without pointers but one; all texts of a row share a single
//! allocation. Rows live in pages of a fixed size, so that growing never copies or doubles what
//! is there, and are named by their number.

use super::snapshot::{Rest, put_stamp};
use crate::model::{
    ExecutionId, Facts, Millis, Milliseconds, Money, ProjectId, RunKey, Stamp, Status, SummaryRef,
    Tokens, Version,
};
use std::cmp::Ordering;
use std::time::Duration;

/// A number where `i64::MIN` stands for "unknown"; half the size of an `Option<i64>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Maybe(i64);

impl Maybe {
    const UNKNOWN: Self = Self(i64::MIN);

    fn from(value: Option<i64>) -> Self {
        Self(value.unwrap_or(i64::MIN))
    }

    fn get(self) -> Option<i64> {
        (self.0 != i64::MIN).then_some(self.0)
    }
}

/// The status as a small number: 0 unknown, 1 to 6 the engine's, 7 a text of the row.
pub(super) const STATUS_UNKNOWN: u8 = 0;
pub(super) const STATUS_OTHER: u8 = 7;

/// The number of `status`; [`STATUS_OTHER`] for any that the engine does not write.
pub(super) fn status_code(status: &Status) -> u8 {
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

/// What a reading of a run's file gave; what the index is fed with.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The file's stamp when it was read.
    pub stamp: Stamp,
    /// The hash of what was read.
    pub version: Version,
    /// What the record says.
    pub facts: Facts,
    /// Whether the file may have changed after the reading without its stamp telling.
    pub racy: bool,
}

/// One run.
#[derive(Debug)]
pub struct Row {
    /// id, other status, label, model, error, one after the other.
    text: Box<str>,
    /// The tick of the last change that was told.
    pub(super) tick: u64,
    pub(super) stamp: Stamp,
    pub(super) version: Version,
    started: Maybe,
    completed: Maybe,
    duration: Maybe,
    input_tokens: Maybe,
    output_tokens: Maybe,
    total_tokens: Maybe,
    cost: Maybe,
    retries: Maybe,
    pub(super) project: u32,
    steps: u32,
    label_len: u16,
    error_len: u16,
    id_len: u8,
    other_len: u8,
    model_len: u8,
    status: u8,
    flags: u8,
}

const ERROR_CUT: u8 = 1;
const CREATED: u8 = 2;
const RACY: u8 = 4;
const LIVE: u8 = 8;
const TOO_DEEP: u8 = 16;

impl Row {
    /// A row for `seen`, not told yet.
    pub(super) fn new(project: u32, execution: &ExecutionId, seen: &Seen) -> Self {
        let facts = &seen.facts;
        let id = execution.as_str();
        let other = match &facts.status {
            Some(Status::Other(text)) => &**text,
            _ => "",
        };
        let label = facts.label.as_deref().unwrap_or("");
        let model = facts.model.as_deref().unwrap_or("");
        let error = facts.error.as_deref().unwrap_or("");
        // extract caps each of them well below these types
        let cut = |text: &str, limit: usize| -> usize {
            let mut end = text.len().min(limit);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            end
        };
        let (other, label) = (&other[..cut(other, 255)], &label[..cut(label, 65_535)]);
        let (model, error) = (&model[..cut(model, 255)], &error[..cut(error, 65_535)]);
        let mut text =
            String::with_capacity(id.len() + other.len() + label.len() + model.len() + error.len());
        for part in [id, other, label, model, error] {
            text.push_str(part);
        }
        let mut flags = LIVE;
        if facts.error_truncated {
            flags |= ERROR_CUT;
        }
        if seen.racy {
            flags |= RACY;
        }
        if facts.too_deep {
            flags |= TOO_DEEP;
        }
        #[allow(clippy::cast_possible_truncation)] // each was cut above; ids are at most 250 bytes
        Self {
            tick: 0,
            stamp: seen.stamp,
            version: seen.version,
            started: Maybe::from(facts.started_at.map(|at| at.0)),
            completed: Maybe::from(facts.completed_at.map(|at| at.0)),
            duration: Maybe::from(facts.duration.map(|took| took.0)),
            input_tokens: Maybe::from(facts.tokens.input),
            output_tokens: Maybe::from(facts.tokens.output),
            total_tokens: Maybe::from(facts.tokens.total),
            cost: Maybe::from(facts.cost.map(Money::nanos)),
            retries: Maybe::from(facts.retry_count),
            project,
            steps: facts.step_count,
            label_len: label.len() as u16,
            error_len: error.len() as u16,
            id_len: id.len() as u8,
            other_len: other.len() as u8,
            model_len: model.len() as u8,
            status: facts.status.as_ref().map_or(STATUS_UNKNOWN, status_code),
            flags,
            text: text.into_boxed_str(),
        }
    }

    /// Appends the row as a snapshot has it; `beat` is the heartbeat last told, if any.
    pub(super) fn write(&self, beat: Option<i64>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.tick.to_le_bytes());
        put_stamp(out, &self.stamp);
        out.extend_from_slice(&self.version.0);
        for value in [
            self.started,
            self.completed,
            self.duration,
            self.input_tokens,
            self.output_tokens,
            self.total_tokens,
            self.cost,
            self.retries,
            Maybe::from(beat),
        ] {
            out.extend_from_slice(&value.0.to_le_bytes());
        }
        out.extend_from_slice(&self.steps.to_le_bytes());
        out.extend_from_slice(&self.label_len.to_le_bytes());
        out.extend_from_slice(&self.error_len.to_le_bytes());
        out.extend_from_slice(&[
            self.id_len,
            self.other_len,
            self.model_len,
            self.status,
            self.flags,
        ]);
        out.extend_from_slice(self.text.as_bytes());
    }

    /// Reads what [`Row::write`] wrote; its project is not known yet.
    pub(super) fn read(from: &mut Rest<'_>) -> Option<(Self, Option<i64>)> {
        let (tick, stamp) = (from.u64()?, from.stamp()?);
        let version = Version(from.array()?);
        let mut numbers = [Maybe::UNKNOWN; 9];
        for number in &mut numbers {
            *number = Maybe(from.i64()?);
        }
        let [
            started,
            completed,
            duration,
            input_tokens,
            output_tokens,
            total_tokens,
            cost,
            retries,
            beat,
        ] = numbers;
        let steps = from.u32()?;
        let (label_len, error_len) = (from.u16()?, from.u16()?);
        let [id_len, other_len, model_len, status, flags] = from.array()?;
        let bytes = [id_len, other_len, model_len]
            .map(usize::from)
            .iter()
            .sum::<usize>()
            + usize::from(label_len)
            + usize::from(error_len);
        let text = std::str::from_utf8(from.take(bytes)?).ok()?;
        let row = Self {
            text: text.into(),
            tick,
            stamp,
            version,
            started,
            completed,
            duration,
            input_tokens,
            output_tokens,
            total_tokens,
            cost,
            retries,
            project: 0,
            steps,
            label_len,
            error_len,
            id_len,
            other_len,
            model_len,
            status,
            flags,
        };
        let sound =
            status <= STATUS_OTHER && flags & LIVE != 0 && ExecutionId::parse(row.id()).is_ok();
        sound.then_some((row, beat.get()))
    }

    /// A place without a run.
    fn vacant() -> Self {
        Self {
            text: Box::from(""),
            tick: 0,
            stamp: Stamp::default(),
            version: Version::default(),
            started: Maybe::UNKNOWN,
            completed: Maybe::UNKNOWN,
            duration: Maybe::UNKNOWN,
            input_tokens: Maybe::UNKNOWN,
            output_tokens: Maybe::UNKNOWN,
            total_tokens: Maybe::UNKNOWN,
            cost: Maybe::UNKNOWN,
            retries: Maybe::UNKNOWN,
            project: 0,
            steps: 0,
            label_len: 0,
            error_len: 0,
            id_len: 0,
            other_len: 0,
            model_len: 0,
            status: STATUS_UNKNOWN,
            flags: 0,
        }
    }

    fn part(&self, from: usize, len: usize) -> &str {
        self.text.get(from..from + len).unwrap_or("")
    }

    /// The execution's id.
    pub fn id(&self) -> &str {
        self.part(0, usize::from(self.id_len))
    }

    /// The status as spelt in the record, if it has one.
    pub fn status_text(&self) -> Option<&str> {
        match self.status {
            STATUS_UNKNOWN => None,
            STATUS_OTHER => Some(self.part(usize::from(self.id_len), usize::from(self.other_len))),
            code => Status::KNOWN.get(usize::from(code) - 1).map(Status::as_str),
        }
    }

    pub(super) fn status(&self) -> u8 {
        self.status
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.flags & LIVE == 0
    }

    /// Whether the status is one under which silence makes a run stale.
    pub(super) fn beats(&self) -> bool {
        matches!(self.status, 1 | 2)
    }

    pub(super) fn is_racy(&self) -> bool {
        self.flags & RACY != 0
    }

    /// The version of whatever has the row's stamp, if that stamp proves it and the record may be
    /// given.
    pub(super) fn proven(&self) -> Option<(Stamp, Version)> {
        (self.flags & (RACY | TOO_DEEP) == 0).then_some((self.stamp, self.version))
    }

    pub(super) fn set_racy(&mut self, racy: bool) {
        self.flags = if racy {
            self.flags | RACY
        } else {
            self.flags & !RACY
        };
    }

    /// Whether the latest save created the run.
    pub(super) fn created(&self) -> bool {
        self.flags & CREATED != 0
    }

    pub(super) fn set_created(&mut self, created: bool) {
        self.flags = if created {
            self.flags | CREATED
        } else {
            self.flags & !CREATED
        };
    }

    pub(super) fn cost(&self) -> Option<i64> {
        self.cost.get()
    }

    pub(super) fn duration(&self) -> Option<Milliseconds> {
        self.duration.get().map(Milliseconds)
    }

    pub(super) fn tokens(&self) -> Tokens {
        Tokens {
            input: self.input_tokens.get(),
            output: self.output_tokens.get(),
            total: self.total_tokens.get(),
        }
    }

    pub(super) fn started(&self) -> Option<Millis> {
        self.started.get().map(Millis)
    }

    pub(super) fn updated(&self) -> Millis {
        Millis(self.stamp.mtime_ns.div_euclid(1_000_000))
    }

    /// The row as clients see it.
    pub(super) fn summary<'a>(
        &'a self,
        project: &'a ProjectId,
        stale_after: Duration,
    ) -> SummaryRef<'a> {
        let mut from = usize::from(self.id_len) + usize::from(self.other_len);
        let mut next = |len: usize| {
            let part = (len > 0).then(|| self.part(from, len));
            from += len;
            part
        };
        let label = next(usize::from(self.label_len));
        let model = next(usize::from(self.model_len));
        let error = next(usize::from(self.error_len));
        let updated_at = self.updated();
        SummaryRef {
            id: self.id(),
            project_id: project,
            status: self.status_text(),
            started_at: self.started(),
            completed_at: self.completed.get().map(Millis),
            duration: self.duration(),
            token_usage: self.tokens(),
            cost_usd: self.cost.get().and_then(Money::from_nanos),
            error,
            error_truncated: self.flags & ERROR_CUT != 0,
            label,
            model,
            updated_at,
            size_bytes: self.stamp.size,
            step_count: self.steps,
            retry_count: self.retries.get(),
            version: self.version,
            stale_at: self.beats().then(|| {
                let after = i64::try_from(stale_after.as_millis()).unwrap_or(i64::MAX);
                Millis(updated_at.0.saturating_add(after))
            }),
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

const PAGE: usize = 1024;

/// All rows, by number. A number is given out again after its row has gone.
#[derive(Debug, Default)]
pub struct Rows {
    pages: Vec<Vec<Row>>,
    vacant: Vec<u32>,
    live: usize,
}

impl Rows {
    /// How many runs there are.
    pub fn live(&self) -> usize {
        self.live
    }

    /// The row numbered `number`, if a run lives there.
    pub fn get(&self, number: u32) -> Option<&Row> {
        let number = number as usize;
        self.pages
            .get(number / PAGE)?
            .get(number % PAGE)
            .filter(|row| !row.is_vacant())
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Row> {
        let number = number as usize;
        self.pages
            .get_mut(number / PAGE)?
            .get_mut(number % PAGE)
            .filter(|row| !row.is_vacant())
    }

    /// Puts `row` where there is room.
    pub(super) fn insert(&mut self, row: Row) -> u32 {
        self.live += 1;
        if let Some(number) = self.vacant.pop() {
            let at = number as usize;
            if let Some(slot) = self
                .pages
                .get_mut(at / PAGE)
                .and_then(|p| p.get_mut(at % PAGE))
            {
                *slot = row;
                return number;
            }
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let pages = self.pages.len();
        let mut offset = 0;
        if let Some(page) = self.pages.last_mut() {
            offset = page.len();
            page.push(row);
        }
        u32::try_from((pages - 1) * PAGE + offset).unwrap_or(u32::MAX)
    }

    pub(super) fn remove(&mut self, number: u32) {
        let at = number as usize;
        if let Some(slot) = self
            .pages
            .get_mut(at / PAGE)
            .and_then(|p| p.get_mut(at % PAGE))
            && !slot.is_vacant()
        {
            *slot = Row::vacant();
            self.vacant.push(number);
            self.live -= 1;
        }
    }

    /// Every run with its number, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Row)> {
        self.pages.iter().enumerate().flat_map(|(page, rows)| {
            rows.iter()
                .enumerate()
                .filter(|(_, row)| !row.is_vacant())
                .map(move |(at, row)| (u32::try_from(page * PAGE + at).unwrap_or(u32::MAX), row))
        })
    }
}

/// The key of a row, made anew.
pub(super) fn key_of(row: &Row, project: &ProjectId) -> Option<RunKey> {
    Some(RunKey {
        project: project.clone(),
        execution: ExecutionId::parse(row.id()).ok()?,
    })
}
