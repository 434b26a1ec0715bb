//! What a record says, as far as lists and sums need it, read in one pass without a tree.
//!
//! Section 1 of the protocol: every field may be missing, null, of an unexpected type, repeated
//! (the last wins) or new. Only what does not hold one JSON object is refused. Memory is bounded
//! whatever the record's size: texts are cut while they are read.

use std::fmt;
use std::io::Read;

use schemars::JsonSchema;
use serde::Serialize;

use super::decimal::{Fold, Spelling};
use super::fingerprint::CONSIDERED_BYTES;
use super::json::{
    self, Input, JsonError, Kind, RECORD_NESTING_MAX, Slice, Stream, TextSink, Walk,
};
use super::money::NANO;
use super::steps::{NODE_BYTES_MAX, Step, Steps, Taking};
use super::{Fingerprint, Millis, Money, RunKey, Status};

/// How much of an error is kept, in bytes.
const ERROR_BYTES: usize = 256;
/// How much of a label is kept, in characters.
const LABEL_CHARS: usize = 80;
/// How much of a model's name is kept, in bytes.
const MODEL_BYTES: usize = 128;
/// A longer date or status is none, and a longer name is none that is known.
const SHORT_BYTES: usize = 64;

/// A span of time in millionths of a millisecond, so that fractions keep their spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Milliseconds(pub i64);

impl Milliseconds {
    /// They are scaled by this power of ten.
    pub const SCALE: u32 = 6;
    /// One millisecond.
    pub const UNIT: i64 = 10i64.pow(Self::SCALE);

    /// The shortest decimal.
    #[must_use]
    pub fn spelling(self) -> Spelling {
        Spelling::of(self.0.into(), Self::SCALE)
    }
}

impl fmt::Display for Milliseconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.spelling().as_str())
    }
}

/// Tokens used, as far as the record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Tokens {
    /// Tokens in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<i64>,
    /// Tokens out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<i64>,
    /// Both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
}

impl Tokens {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        *self == Self::default()
    }
}

/// What does not fit in a record that is listed all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// `id` is not the file's stem.
    IdMismatch,
    /// `projectId` is not the folder's name.
    ProjectMismatch,
    /// `costUSD` is not a number within nine billion.
    BadCost,
    /// `startedAt` or `completedAt` is neither null nor a date.
    BadDate,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Its status, if that is a string of at most 64 bytes.
    pub status: Option<Status>,
    /// When the run began.
    pub started_at: Option<Millis>,
    /// When the run ended.
    pub completed_at: Option<Millis>,
    /// How long it took.
    pub duration: Option<Milliseconds>,
    /// Tokens used.
    pub tokens: Tokens,
    /// What it cost.
    pub cost: Option<Money>,
    /// The error's first 256 bytes.
    pub error: Option<Box<str>>,
    /// Whether the error was cut.
    pub error_truncated: bool,
    /// Which errors it is like, by more of it than is kept; none if there is no error, or an empty
    /// one.
    pub fingerprint: Option<Fingerprint>,
    /// What to show as the run's name, at most 80 characters.
    pub label: Option<Box<str>>,
    /// The model's name, at most 128 bytes.
    pub model: Option<Box<str>>,
    /// How many steps there are.
    pub step_count: u32,
    /// What they say of nodes.
    pub steps: Steps,
    /// How often it was tried again.
    pub retry_count: Option<i64>,
    /// Whether it is nested deeper than a record may be that is given.
    pub too_deep: bool,
    /// What does not fit.
    pub findings: Vec<Finding>,
}

/// Why a file is no record.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It is not JSON, or could not be read.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// It is JSON, but no object.
    #[error("not an object")]
    NotAnObject,
}

/// Reads the record of `key`, which is all of `bytes`.
///
/// # Errors
/// When it is no record.
pub fn extract(bytes: &[u8], key: &RunKey) -> Result<Facts, ExtractError> {
    extract_with(Walk::new(Slice::new(json::text(bytes)?), usize::MAX), key)
}

/// Reads the record of `key` from `source`, to its end, through `buffer`: memory is bounded
/// whatever its size.
///
/// # Errors
/// When it is no record. All of `source` has been read unless it is not JSON.
pub fn extract_stream(
    source: impl Read,
    buffer: &mut Vec<u8>,
    key: &RunKey,
) -> Result<Facts, ExtractError> {
    extract_with(Walk::new(Stream::new(source, buffer), usize::MAX), key)
}

/// Takes what a record says beyond what [`Facts`] keep of it.
pub trait Beyond {
    /// Its error, none if that is no text; in place of what came before.
    fn error(&mut self, error: Option<&str>);
    /// Its steps begin, in place of those that came before.
    fn steps(&mut self);
    /// The next step that names a node, and whether it failed.
    fn step(&mut self, node: &str, failed: bool);
}

/// Tells `beyond` of a record, but no more than `bytes_max` bytes of its error and of the name of each
/// node. Reads as [`extract_stream`] does, and is as tolerant.
///
/// # Errors
/// When it is not JSON, or cannot be read; what was told is void then.
pub fn beyond_stream(
    source: impl Read,
    buffer: &mut Vec<u8>,
    bytes_max: usize,
    beyond: &mut impl Beyond,
) -> Result<(), JsonError> {
    let mut walk = Walk::new(Stream::new(source, buffer), usize::MAX);
    beyond.error(None);
    beyond.steps();
    if walk.kind()? != Kind::Object {
        return Ok(());
    }
    walk.enter()?;
    let (mut first, mut name) = (true, Short::default());
    let mut step = StepReading::of(Beginning::of(bytes_max), Beginning::of(bytes_max));
    while walk.more(&mut first, &mut name)? {
        match name.bytes() {
            Some(b"error") => {
                let mut text = Beginning::of(bytes_max);
                let found = string(&mut walk, &mut text)?;
                beyond.error(found.then_some(&text.text));
            }
            Some(b"steps") => {
                beyond.steps();
                each_step(&mut walk, |walk| {
                    step.read(walk)?;
                    if let Some(node) = step.node() {
                        beyond.step(node.kept(), step.step.failed);
                    }
                    Ok(())
                })?;
            }
            _ => walk.skip()?,
        }
        name.clear();
    }
    Ok(())
}

fn extract_with<I: Input>(mut walk: Walk<I>, key: &RunKey) -> Result<Facts, ExtractError> {
    if walk.kind()? != Kind::Object {
        walk.skip()?;
        walk.end()?;
        return Err(ExtractError::NotAnObject);
    }
    let mut reading = Reading::default();
    walk.enter()?;
    let mut first = true;
    let mut name = Short::default();
    while walk.more(&mut first, &mut name)? {
        reading.member(name.bytes().unwrap_or_default(), &mut walk, key)?;
        name = Short::default();
    }
    walk.end()?;
    reading.facts.too_deep = walk.deepest() > RECORD_NESTING_MAX;
    Ok(reading.facts())
}

/// What has been read so far, with what only the end decides.
#[derive(Default)]
struct Reading {
    facts: Facts,
    name: Option<Box<str>>,
    input: Option<Box<str>>,
    other_id: bool,
    other_project: bool,
    bad_cost: bool,
    /// Of the start and of the end.
    bad_dates: [bool; 2],
}

impl Reading {
    fn member<I: Input>(
        &mut self,
        name: &[u8],
        walk: &mut Walk<I>,
        key: &RunKey,
    ) -> Result<(), JsonError> {
        let facts = &mut self.facts;
        match name {
            b"id" => self.other_id = differs(walk, key.execution.as_str())?,
            b"projectId" => self.other_project = differs(walk, key.project.as_str())?,
            b"status" => {
                let mut text = Short::default();
                let found = string(walk, &mut text)?;
                facts.status = text.whole().filter(|_| found).map(Status::from_text);
            }
            b"startedAt" => (facts.started_at, self.bad_dates[0]) = date(walk)?,
            b"completedAt" => (facts.completed_at, self.bad_dates[1]) = date(walk)?,
            b"duration" => facts.duration = number(walk, Milliseconds::SCALE)?.map(Milliseconds),
            b"tokenUsage" => facts.tokens = tokens(walk)?,
            b"costUSD" => {
                let null = walk.kind()? == Kind::Null;
                facts.cost = number(walk, NANO)?.and_then(Money::from_nanos);
                self.bad_cost = facts.cost.is_none() && !null;
            }
            b"error" => {
                let mut error = ErrorText {
                    kept: Text::bytes(ERROR_BYTES),
                    considered: Beginning::of(CONSIDERED_BYTES),
                };
                let found = string(walk, &mut error)?;
                facts.error_truncated = error.kept.cut;
                facts.error = found.then(|| error.kept.kept().into());
                let considered = Some(error.considered.text).filter(|text| !text.is_empty());
                facts.fingerprint = considered.as_deref().map(Fingerprint::of);
            }
            b"model" => facts.model = kept(walk, Text::bytes(MODEL_BYTES))?,
            b"name" => self.name = kept(walk, Text::chars(LABEL_CHARS, false))?,
            b"input" => self.input = kept(walk, Text::chars(LABEL_CHARS, true))?,
            b"retryCount" => facts.retry_count = number(walk, 0)?,
            b"steps" => (facts.step_count, facts.steps) = steps(walk)?,
            _ => walk.skip()?,
        }
        Ok(())
    }

    fn facts(mut self) -> Facts {
        // what nobody would see names nothing
        let is_seen = |text: &str| !text.trim().is_empty();
        let name = self.name.filter(|text| is_seen(text));
        self.facts.label = name.or(self.input.filter(|text| is_seen(text)));
        for (found, finding) in [
            (self.other_id, Finding::IdMismatch),
            (self.other_project, Finding::ProjectMismatch),
            (self.bad_cost, Finding::BadCost),
            (self.bad_dates.contains(&true), Finding::BadDate),
        ] {
            if found {
                self.facts.findings.push(finding);
            }
        }
        self.facts
    }
}

/// As many bytes as the longest text that is kept has.
const TEXT_BYTES: usize = if ERROR_BYTES > LABEL_CHARS * 4 {
    ERROR_BYTES
} else {
    LABEL_CHARS * 4
};

/// Text that is kept up to a limit; without an allocation until it is known what that is.
#[derive(Debug)]
struct Text {
    bytes: [u8; TEXT_BYTES],
    len: usize,
    bytes_max: usize,
    chars_max: usize,
    chars_left: usize,
    /// Only the first line is kept that has anything to be seen.
    line: bool,
    /// What the line began with was too much to be kept.
    indented: bool,
    /// Something was not kept.
    cut: bool,
}

impl Text {
    fn bytes(limit: usize) -> Self {
        Self {
            bytes: [0; TEXT_BYTES],
            len: 0,
            bytes_max: limit.min(TEXT_BYTES),
            chars_max: usize::MAX,
            chars_left: usize::MAX,
            line: false,
            indented: false,
            cut: false,
        }
    }

    fn chars(limit: usize, line: bool) -> Self {
        Self {
            chars_max: limit,
            chars_left: limit,
            line,
            ..Self::bytes(TEXT_BYTES)
        }
    }

    fn kept(&self) -> &str {
        let kept = self.bytes.get(..self.len).unwrap_or_default();
        std::str::from_utf8(kept).unwrap_or_default()
    }
}

impl TextSink for Text {
    fn text(&mut self, text: &str) {
        if self.cut {
            return;
        }
        let mut text = text;
        if self.line && self.kept().trim_start().is_empty() {
            let seen = text.len() - text.trim_start().len();
            if let Some(end) = text[..seen].rfind(['\n', '\r']) {
                text = &text[end + 1..];
                (self.len, self.chars_left, self.indented) = (0, self.chars_max, false);
            }
            // a line that is indented further than all that is kept begins where it is seen
            let blank = text.len() - text.trim_start().len();
            let chars = text[..blank].chars().count();
            self.indented |= chars >= self.chars_left || self.len + blank >= self.bytes_max;
            if self.indented {
                text = &text[blank..];
                (self.len, self.chars_left) = (0, self.chars_max);
            }
        }
        let line = match self.line.then(|| text.find(['\n', '\r'])) {
            Some(Some(end)) => &text[..end],
            _ => text,
        };
        let mut end = line.len().min(self.bytes_max - self.len);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        if self.chars_left < usize::MAX {
            let mut chars = line.char_indices();
            // a character has at least one byte
            if let Some((at, _)) = chars.nth(self.chars_left) {
                end = end.min(at);
            }
            self.chars_left -= line[..end].chars().count();
        }
        self.bytes[self.len..self.len + end].copy_from_slice(&line.as_bytes()[..end]);
        self.len += end;
        self.cut = end < text.len();
    }

    fn wants(&self) -> bool {
        !self.cut
    }

    fn lone(&mut self, _: u16) {
        self.text(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]));
    }
}

/// Text that is used again and again.
trait Again: TextSink {
    /// Begins anew.
    fn clear(&mut self);
    /// What there is.
    fn kept(&self) -> &str;
    /// Whether that is not all.
    fn is_cut(&self) -> bool;
}

impl Again for Text {
    fn clear(&mut self) {
        (self.len, self.cut) = (0, false);
    }

    fn kept(&self) -> &str {
        self.kept()
    }

    fn is_cut(&self) -> bool {
        self.cut
    }
}

impl Again for Beginning {
    fn clear(&mut self) {
        self.text.clear();
        self.cut = false;
    }

    fn kept(&self) -> &str {
        &self.text
    }

    fn is_cut(&self) -> bool {
        self.cut
    }
}

/// The beginning of a text.
struct Beginning {
    text: String,
    bytes_max: usize,
    cut: bool,
}

impl Beginning {
    fn of(bytes_max: usize) -> Self {
        Self {
            text: String::new(),
            bytes_max,
            cut: false,
        }
    }
}

impl TextSink for Beginning {
    fn text(&mut self, text: &str) {
        if self.cut {
            return;
        }
        let mut end = text.len().min(self.bytes_max - self.text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(text.get(..end).unwrap_or_default());
        self.cut = end < text.len();
    }

    fn wants(&self) -> bool {
        !self.cut
    }

    fn lone(&mut self, _: u16) {
        self.text(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]));
    }
}

/// An error: what is kept of it, and what is compared, which is more.
struct ErrorText {
    kept: Text,
    considered: Beginning,
}

impl TextSink for ErrorText {
    fn text(&mut self, text: &str) {
        self.kept.text(text);
        self.considered.text(text);
    }

    fn wants(&self) -> bool {
        self.considered.wants()
    }

    fn lone(&mut self, unit: u16) {
        self.kept.lone(unit);
        self.considered.lone(unit);
    }
}

/// Text that is of interest only if it is short; kept without an allocation.
#[derive(Debug)]
struct Short {
    bytes: [u8; SHORT_BYTES],
    len: usize,
    cut: bool,
}

impl Default for Short {
    fn default() -> Self {
        Self {
            bytes: [0; SHORT_BYTES],
            len: 0,
            cut: false,
        }
    }
}

impl Short {
    /// All of it, if nothing was cut.
    fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|_| !self.cut)
    }

    fn clear(&mut self) {
        (self.len, self.cut) = (0, false);
    }

    /// The same as text.
    fn whole(&self) -> Option<&str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

impl TextSink for Short {
    fn text(&mut self, text: &str) {
        match self.bytes.get_mut(self.len..self.len + text.len()) {
            Some(room) => {
                room.copy_from_slice(text.as_bytes());
                self.len += text.len();
            }
            None => self.cut = true,
        }
    }

    fn wants(&self) -> bool {
        !self.cut
    }

    fn lone(&mut self, _: u16) {
        self.text(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]));
    }
}

/// What is left of the text that is expected; nothing once there was another.
struct Expected<'a>(Option<&'a str>);

impl TextSink for Expected<'_> {
    fn text(&mut self, text: &str) {
        self.0 = self.0.and_then(|rest| rest.strip_prefix(text));
    }

    fn wants(&self) -> bool {
        self.0.is_some()
    }

    fn lone(&mut self, _: u16) {
        self.text(char::REPLACEMENT_CHARACTER.encode_utf8(&mut [0; 4]));
    }
}

/// What is kept of the next value, if it is a string and that is anything.
fn kept<I: Input>(walk: &mut Walk<I>, mut text: Text) -> Result<Option<Box<str>>, JsonError> {
    let found = string(walk, &mut text)?;
    Ok((found && text.len > 0).then(|| text.kept().into()))
}

/// Goes past the next value; whether it is a string, whose text goes to `text` then.
fn string<I: Input>(walk: &mut Walk<I>, text: &mut impl TextSink) -> Result<bool, JsonError> {
    let found = walk.kind()? == Kind::String;
    if found {
        walk.string(text)?;
    } else {
        walk.skip()?;
    }
    Ok(found)
}

/// The next value in units of 10^-scale, if it is a number that fits.
fn number<I: Input>(walk: &mut Walk<I>, scale: u32) -> Result<Option<i64>, JsonError> {
    if walk.kind()? == Kind::Number {
        let mut fold = Fold::default();
        walk.number(&mut fold)?;
        // the smallest number stands for "unknown" in the index
        return Ok(fold.scaled(scale).filter(|value| *value != i64::MIN));
    }
    walk.skip()?;
    Ok(None)
}

/// The next value, if it is a date, and whether it is none although it is there.
fn date<I: Input>(walk: &mut Walk<I>) -> Result<(Option<Millis>, bool), JsonError> {
    let null = walk.kind()? == Kind::Null;
    let mut text = Short::default();
    let found = string(walk, &mut text)?;
    let spelt = text.whole().filter(|_| found);
    let date = spelt.and_then(Millis::parse_rfc3339);
    Ok((date, date.is_none() && !null))
}

/// Whether the next value says something else than `expected`; null says nothing.
fn differs<I: Input>(walk: &mut Walk<I>, expected: &str) -> Result<bool, JsonError> {
    if walk.kind()? == Kind::Null {
        walk.skip()?;
        return Ok(false);
    }
    let mut rest = Expected(Some(expected));
    let found = string(walk, &mut rest)?;
    Ok(!found || rest.0 != Some(""))
}

fn tokens<I: Input>(walk: &mut Walk<I>) -> Result<Tokens, JsonError> {
    let mut tokens = Tokens::default();
    if walk.kind()? != Kind::Object {
        walk.skip()?;
        return Ok(tokens);
    }
    walk.enter()?;
    let mut first = true;
    let mut name = Short::default();
    while walk.more(&mut first, &mut name)? {
        match std::mem::take(&mut name).bytes() {
            Some(b"input") => tokens.input = number(walk, 0)?,
            Some(b"output") => tokens.output = number(walk, 0)?,
            Some(b"total") => tokens.total = number(walk, 0)?,
            _ => walk.skip()?,
        }
    }
    Ok(tokens)
}

/// How many elements the next value has, if it is an array, and what those say that are steps.
fn steps<I: Input>(walk: &mut Walk<I>) -> Result<(u32, Steps), JsonError> {
    let mut taking = Taking::default();
    let mut step = StepReading::of(Text::bytes(NODE_BYTES_MAX), Text::bytes(NODE_BYTES_MAX));
    let count = each_step(walk, |walk| {
        if taking.is_full() {
            return walk.skip();
        }
        step.read(walk)?;
        step.give(&mut taking);
        Ok(())
    })?;
    Ok((count, taking.steps()))
}

/// How many elements the next value has, if it is an array. `each` goes past those that are objects,
/// and may read them.
fn each_step<I: Input>(
    walk: &mut Walk<I>,
    mut each: impl FnMut(&mut Walk<I>) -> Result<(), JsonError>,
) -> Result<u32, JsonError> {
    let mut count: u32 = 0;
    if walk.kind()? != Kind::Array {
        walk.skip()?;
        return Ok(count);
    }
    walk.enter()?;
    let mut first = true;
    // elements have no names
    while walk.more(&mut first, &mut Expected(None))? {
        match walk.kind()? {
            Kind::Object => each(walk)?,
            _ => walk.skip()?,
        }
        count = count.saturating_add(1);
    }
    Ok(count)
}

/// What has been read of one step; used again for the next.
struct StepReading<T> {
    node: T,
    name: T,
    has_node: bool,
    has_name: bool,
    started_at: Short,
    completed_at: Short,
    step: Step,
}

impl<T: Again> StepReading<T> {
    /// With what the names of nodes are read into.
    fn of(node: T, name: T) -> Self {
        Self {
            node,
            name,
            has_node: false,
            has_name: false,
            started_at: Short::default(),
            completed_at: Short::default(),
            step: Step::default(),
        }
    }

    fn read<I: Input>(&mut self, walk: &mut Walk<I>) -> Result<(), JsonError> {
        (self.has_node, self.has_name) = (false, false);
        self.started_at.clear();
        self.completed_at.clear();
        self.step = Step::default();
        walk.enter()?;
        let mut first = true;
        let mut member = Short::default();
        while walk.more(&mut first, &mut member)? {
            match member.bytes() {
                Some(b"nodeId") => self.has_node = filled(walk, &mut self.node)?,
                Some(b"name") => self.has_name = filled(walk, &mut self.name)?,
                Some(b"status") => {
                    let mut rest = Expected(Some(Status::Failed.as_str()));
                    self.step.failed = string(walk, &mut rest)? && rest.0 == Some("");
                }
                Some(b"duration") => {
                    self.step.duration = number(walk, Milliseconds::SCALE)?.map(Milliseconds);
                }
                Some(b"startedAt") => short(walk, &mut self.started_at)?,
                Some(b"completedAt") => short(walk, &mut self.completed_at)?,
                Some(b"tokenUsage") => self.step.tokens = tokens(walk)?,
                Some(b"costUSD") => {
                    self.step.cost = number(walk, NANO)?.and_then(Money::from_nanos);
                }
                _ => walk.skip()?,
            }
            member.clear();
        }
        Ok(())
    }

    /// The node that it names.
    fn node(&self) -> Option<&T> {
        match (self.has_node, self.has_name) {
            (true, _) => Some(&self.node),
            (false, true) => Some(&self.name),
            (false, false) => None,
        }
    }

    /// Gives what was read to `taking`, unless it names no node.
    fn give(&mut self, taking: &mut Taking) {
        if self.node().is_some_and(Again::is_cut) {
            return taking.leave_out();
        }
        if self.step.duration.is_none() {
            let at = |text: &Short| text.whole().and_then(Millis::parse_rfc3339);
            let span = at(&self.started_at).zip(at(&self.completed_at));
            let took = span.and_then(|(from, to)| {
                let millis = to.0.checked_sub(from.0)?;
                millis.checked_mul(Milliseconds::UNIT)
            });
            self.step.duration = took.map(Milliseconds);
        }
        if let Some(node) = self.node() {
            taking.take(node.kept(), &self.step);
        }
    }
}

/// Goes past the next value; whether it is a string with anything in it, which is in `text` then.
fn filled<I: Input>(walk: &mut Walk<I>, text: &mut impl Again) -> Result<bool, JsonError> {
    text.clear();
    Ok(string(walk, text)? && !text.kept().is_empty())
}

/// Goes past the next value, whose text is in `text` then if it is a string.
fn short<I: Input>(walk: &mut Walk<I>, text: &mut Short) -> Result<(), JsonError> {
    text.clear();
    string(walk, text).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::json::{self, tests::values};
    use crate::model::steps;
    use crate::model::{ExecutionId, ProjectId};
    use proptest::prelude::*;
    use serde_json::Value;

    fn key() -> RunKey {
        RunKey {
            project: ProjectId::parse("p").unwrap(),
            execution: ExecutionId::parse("x").unwrap(),
        }
    }

    /// From memory and, which must make no difference, from a stream.
    fn read_as(text: &str, key: &RunKey) -> Result<Facts, ExtractError> {
        let read = extract(text.as_bytes(), key);
        let streamed = extract_stream(text.as_bytes(), &mut Vec::new(), key);
        assert_eq!(format!("{read:?}"), format!("{streamed:?}"));
        read
    }

    fn read(text: &str) -> Facts {
        read_as(text, &key()).unwrap()
    }

    #[test]
    fn a_record_of_the_engine_is_read() {
        let facts = read(
            r#"{"id":"x","projectId":"p","status":"failed","input":"first line\nsecond",
            "startedAt":"2025-10-15T05:02:46.569Z","duration":12.5,"costUSD":1e-7,"error":"no",
            "tokenUsage":{"input":1,"output":2,"total":3},"steps":[{},{"steps":[1]}],"retryCount":0}"#,
        );
        assert_eq!(facts.status, Some(Status::Failed));
        assert_eq!(facts.label.as_deref(), Some("first line"));
        for (input, label) in [
            (format!("{}\\nHello", " ".repeat(300)), "Hello"),
            (format!("\\n{}Hello\\nyou", " ".repeat(80)), "Hello"),
            (format!("  {}Hello", "\\t".repeat(500)), "Hello"),
            (format!("{}Hello", " ".repeat(4)), "    Hello"),
        ] {
            let text =
                format!(r#"{{"id":"x","projectId":"p","status":"failed","input":"{input}"}}"#);
            assert_eq!(read(&text).label.as_deref(), Some(label), "{input}");
        }
        assert_eq!(facts.duration.unwrap().to_string(), "12.5");
        assert_eq!(facts.cost.unwrap().to_string(), "0.0000001");
        assert_eq!(
            facts.tokens,
            Tokens {
                input: Some(1),
                output: Some(2),
                total: Some(3)
            }
        );
        assert_eq!((facts.step_count, facts.retry_count), (2, Some(0)));
        assert_eq!(facts.findings, []);
    }

    #[test]
    fn odd_fields_are_unknown_and_the_last_of_repeated_ones_wins() {
        assert_eq!(read("{}"), Facts::default());
        let facts = read(
            r#"{"status":"completed","status":7,"tokenUsage":{"input":1},"tokenUsage":{"output":2},
            "error":"a","error":null,"costUSD":"free","id":"y","id":"\u0078","projectId":["p"],
            "steps":{"a":1},"\u0069nput":"a\ud800","startedAt":1760504566569,"duration":"5"}"#,
        );
        assert_eq!(facts.status, None);
        assert_eq!(
            facts.tokens,
            Tokens {
                output: Some(2),
                ..Tokens::default()
            }
        );
        assert_eq!(facts.error, None);
        assert_eq!(facts.label.as_deref(), Some("a\u{fffd}"));
        assert_eq!(facts.started_at, None);
        let all = [Finding::ProjectMismatch, Finding::BadCost, Finding::BadDate];
        assert_eq!(facts.findings, all);
        let nothing = r#"{"costUSD":null,"id":null,"startedAt":null,"completedAt":null}"#;
        assert_eq!(read(nothing).findings, []);
        for date in [
            r#""2025-01-05T10:00:00.123456""#,
            r#""2025-01-05""#,
            r#""""#,
            "1736070000000",
            "{}",
        ] {
            let facts = read(&format!(r#"{{"completedAt":{date}}}"#));
            assert_eq!(facts.findings, [Finding::BadDate], "{date}");
        }
        let again = r#"{"startedAt":"soon","startedAt":"2025-01-05T10:00:00Z"}"#;
        assert_eq!(read(again).findings, []);
        assert_eq!(
            read(r#"{"costUSD":9000000001}"#).findings,
            [Finding::BadCost]
        );
        for (input, label) in [
            (r"\n\nfirst\nsecond", "first"),
            (r" \r\n\u0020\n  first  ", "  first  "),
            (r"\n \u0009", ""),
        ] {
            let facts = read(&format!(r#"{{"input":"{input}"}}"#));
            assert_eq!(facts.label.as_deref().unwrap_or_default(), label);
        }
        assert_eq!(
            read(r#"{"input":"i","name":"n"}"#).label.as_deref(),
            Some("n")
        );
        assert_eq!(
            read(r#"{"input":"i","name":""}"#).label.as_deref(),
            Some("i")
        );
        assert_eq!(
            read(r#"{"input":"i","name":" \t"}"#).label.as_deref(),
            Some("i")
        );
        assert_eq!(read(r#"{"input":"\u2003","name":" "}"#).label, None);
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let long = "é".repeat(1_000_000);
        let text =
            format!(r#"{{"error":"a{long}","input":"{long}","model":"{long}","status":"{long}"}}"#);
        let facts = read(&text);
        assert_eq!(facts.error.as_deref().map(str::len), Some(255));
        assert!(facts.error_truncated);
        assert_eq!(
            facts.label.as_deref().map(|label| label.chars().count()),
            Some(80)
        );
        assert_eq!(facts.model.as_deref().map(str::len), Some(128));
        assert_eq!(facts.status, None);
        let exact = "e".repeat(256);
        assert!(!read(&format!(r#"{{"error":"{exact}"}}"#)).error_truncated);
    }

    /// The steps with the names of their nodes.
    fn named(text: &str) -> Vec<(String, Step)> {
        steps::tests::named(&read(text).steps)
    }

    #[test]
    fn steps_are_read_with_their_nodes() {
        let found = named(
            r#"{"steps":[{"id":"step-1","nodeId":"n1","nodeType":"agent","status":"completed",
            "startedAt":"2025-10-15T05:02:46.569Z","completedAt":"2025-10-15T05:02:47.569Z",
            "duration":12,"input":{"nodeId":"no"},"output":[{"duration":3}],
            "tokenUsage":{"input":1,"output":2,"total":4},"costUSD":0.001},
            {"startedAt":"2025-10-15T05:02:46.569Z","name":"other","status":"failed",
            "completedAt":"2025-10-15T05:02:47.569Z"},
            {"nodeId":7,"name":"n1","duration":null,"startedAt":"2025-10-15T05:02:46.569Z"},
            {"nodeId":"","duration":1},{"duration":1},"n1",
            {"nodeId":"a","status":"failed","status":"paused","nodeId":"n1","costUSD":"much"}]}"#,
        );
        let node = |name: &str, step| (name.to_owned(), step);
        let second = Some(Milliseconds(1_000_000_000));
        let expected = [
            node(
                "n1",
                Step {
                    duration: Some(Milliseconds(12_000_000)),
                    tokens: Tokens {
                        input: Some(1),
                        output: Some(2),
                        total: Some(4),
                    },
                    cost: Money::from_spelling("0.001"),
                    ..Step::default()
                },
            ),
            node(
                "other",
                Step {
                    failed: true,
                    duration: second,
                    ..Step::default()
                },
            ),
            node("n1", Step::default()),
            node("n1", Step::default()),
        ];
        assert_eq!(found, expected);
        assert_eq!(
            read(r#"{"steps":[{"nodeId":"a"}],"steps":[1,2]}"#).step_count,
            2
        );
        assert!(named(r#"{"steps":[{"nodeId":"a"}],"steps":null}"#).is_empty());
        assert!(named(r#"{"steps":{"nodeId":"a"}}"#).is_empty());
    }

    #[test]
    fn what_is_kept_of_steps_is_bounded() {
        let step = r#"{"nodeId":"a","status":"failed"}"#;
        let many = read(&format!(
            "{{\"steps\":[{step}{}]}}",
            format!(",{step}").repeat(99_999)
        ));
        assert_eq!(many.step_count, 100_000);
        assert!(many.steps.truncated());
        let long = "n".repeat(1_000_000);
        let long = read(&format!(r#"{{"steps":[{{"nodeId":"{long}"}},{step}]}}"#));
        assert_eq!((long.step_count, long.steps.truncated()), (2, true));
        assert_eq!(steps::tests::named(&long.steps).len(), 1);
        assert!(
            !read(&format!(r#"{{"steps":[{step},{{}},1]}}"#))
                .steps
                .truncated()
        );
    }

    #[test]
    fn errors_are_told_apart_by_more_than_is_kept_of_them() {
        let print = |error: &str| {
            let record = serde_json::json!({ "error": error }).to_string();
            let facts = read(&record);
            assert_eq!(
                facts.fingerprint,
                (!error.is_empty()).then(|| Fingerprint::of(error))
            );
            facts.fingerprint
        };
        let long = "word ".repeat(60);
        assert_eq!(
            print(&format!("{long} after 5 s")),
            print(&format!("{long} after 77 s"))
        );
        assert_ne!(
            print(&format!("{long} alpha")),
            print(&format!("{long} beta"))
        );
        assert_eq!(print(""), None);
        // what counts ends within a character, and behind an escape
        print(&"é\n日".repeat(700));
        print(&format!("x{}", "日本語\t".repeat(700)));
        for record in [
            r#"{"error":null}"#,
            r#"{"error":5}"#,
            r#"{"error":"a","error":{}}"#,
        ] {
            assert_eq!(read(record).fingerprint, None);
        }
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let refused = |text: &str| read_as(text, &key()).unwrap_err();
        for text in ["[]", "1", "\"{}\"", "null"] {
            assert!(matches!(refused(text), ExtractError::NotAnObject), "{text}");
        }
        for text in ["", "{", "{}x", "{\"a\":}", "[1"] {
            assert!(matches!(refused(text), ExtractError::Json(_)), "{text}");
        }
    }

    /// Random records: known names with values that fit or do not, some repeated.
    fn records() -> impl Strategy<Value = Vec<(String, String)>> {
        let names = prop::sample::select(vec![
            "id",
            "projectId",
            "status",
            "startedAt",
            "completedAt",
            "duration",
            "tokenUsage",
            "costUSD",
            "error",
            "model",
            "name",
            "input",
            "retryCount",
            "steps",
            "other",
        ]);
        let spelt = prop::sample::select(vec![
            "\"x\"",
            "\"p\"",
            "\"running\"",
            "\"2025-10-15T05:02:46.569Z\"",
            "0",
            "12",
            "0.5",
            "1e400",
            "-3",
            "null",
            "[]",
            "[1,[2]]",
            "{}",
            r#"{"input":1,"output":2.6,"total":null}"#,
            r#"{"input":"x","input":5}"#,
            "true",
            r#"[{"nodeId":"a","status":"failed","duration":12.5,"costUSD":0.1},{"nodeId":"a"},3]"#,
            r#"[{"name":"b","nodeId":"","tokenUsage":{"input":3}},{"name":"c","nodeId":"é\\n"},{}]"#,
        ]);
        let value = prop_oneof![3 => spelt.prop_map(str::to_owned), 1 => values().prop_map(|v| v.to_string())];
        prop::collection::vec((names.prop_map(str::to_owned), value), 0..12)
    }

    /// The same facts by way of a tree, for fields whose reading is not shared with `extract`.
    fn by_tree(record: &[(String, String)]) -> (Option<String>, Option<String>, u32, bool) {
        let last = |name: &str| {
            let raw = record
                .iter()
                .rev()
                .find(|(held, _)| held == name)
                .map(|(_, raw)| raw);
            // 1e400 is no value to serde_json; it is neither a string nor an array
            raw.and_then(|raw| serde_json::from_str::<Value>(raw).ok())
                .unwrap_or_default()
        };
        let status = last("status")
            .as_str()
            .filter(|text| text.len() <= SHORT_BYTES)
            .map(str::to_owned);
        let cut = |text: String| -> String { text.chars().take(LABEL_CHARS).collect() };
        let name = last("name")
            .as_str()
            .map(str::to_owned)
            .map(cut)
            .filter(|text| !text.is_empty());
        let first_line = |text: &str| {
            text.split(['\n', '\r'])
                .find(|line| !line.trim().is_empty())
                .unwrap_or_default()
                .to_owned()
        };
        let input = last("input")
            .as_str()
            .map(first_line)
            .map(cut)
            .filter(|text| !text.is_empty());
        let steps = last("steps").as_array().map_or(0, Vec::len);
        let other = match last("id") {
            Value::Null => record
                .iter()
                .rev()
                .find(|(name, _)| name == "id")
                .is_some_and(|(_, raw)| raw != "null"),
            id => id != "x",
        };
        (status, name.or(input), u32::try_from(steps).unwrap(), other)
    }

    fn nodes_of(facts: &Facts) -> Vec<(String, bool, Option<i64>)> {
        let named = steps::tests::named(&facts.steps).into_iter();
        named
            .map(|(node, step)| (node, step.failed, step.tokens.input))
            .collect()
    }

    /// The same by way of a tree.
    fn nodes_by_tree(record: &[(String, String)]) -> Vec<(String, bool, Option<i64>)> {
        let last = record.iter().rev().find(|(name, _)| name == "steps");
        let tree = last.and_then(|(_, raw)| serde_json::from_str::<Value>(raw).ok());
        let steps = tree.as_ref().and_then(Value::as_array);
        let text = |step: &Value, name: &str| {
            let text = step.get(name)?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        let node = |step: &Value| {
            let name = text(step, "nodeId").or_else(|| text(step, "name"))?;
            Some((
                name,
                step["status"] == "failed",
                step["tokenUsage"]["input"].as_i64(),
            ))
        };
        steps.into_iter().flatten().filter_map(node).collect()
    }

    proptest! {
        #[test]
        fn equals_reading_by_way_of_a_tree(record in records()) {
            let members: Vec<String> =
                record.iter().map(|(name, raw)| format!("{}:{raw}", Value::from(name.as_str()))).collect();
            let facts = read(&format!("{{{}}}", members.join(",")));
            let (status, label, steps, other) = by_tree(&record);
            prop_assert_eq!(nodes_of(&facts), nodes_by_tree(&record));
            prop_assert_eq!(facts.status.map(|status| status.as_str().to_owned()), status);
            prop_assert_eq!(facts.label.map(String::from), label);
            prop_assert_eq!(facts.step_count, steps);
            prop_assert_eq!(facts.findings.contains(&Finding::IdMismatch), other);
        }

        #[test]
        fn accepts_exactly_valid_objects(text in json::tests::texts()) {
            let object = matches!(json::check(text.as_bytes(), usize::MAX), Ok((_, Kind::Object)));
            prop_assert_eq!(read_as(&text, &key()).is_ok(), object);
        }
    }
}
