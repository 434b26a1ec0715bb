//! A page of rows, and what belongs to them.

use super::rows::Models;
use super::{Draft, Fixed, MODEL_MAX, Row, STATUS_OTHER};
use crate::index::packed::{self, len_of};
use crate::index::snapshot::Rest;
use crate::index::steps::Apart;
use crate::model::ExecutionId;

/// How many rows there are in a page.
pub(in crate::index) const PAGE: usize = if cfg!(test) { 8 } else { 1024 };

/// Some rows and what belongs to them.
#[derive(Debug, Default)]
pub(in crate::index) struct Page {
    pub(super) rows: Vec<Fixed>,
    pub(super) numbers: Vec<u8>,
    /// Of each row: id, other status, label, error, model, one after the other.
    pub(super) texts: String,
    /// How many bytes of both no row needs any more.
    pub(super) garbage: usize,
    /// What is kept of each row's steps and error.
    pub(super) apart: Apart,
}

impl Page {
    /// An empty page with room for what `other` holds.
    pub(super) fn like(other: &Self) -> Self {
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
    pub(in crate::index) fn read(mut from: Rest<'_>) -> Option<(Self, usize)> {
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
    pub(in crate::index) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        static NONE: Models = Models(Vec::new());
        self.rows.iter().map(|fixed| Row {
            fixed,
            page: self,
            models: &NONE,
        })
    }

    /// Gives each row's project the number that `numbers` has for it.
    pub(in crate::index) fn number_projects(&mut self, numbers: &[u32]) -> Option<()> {
        for row in &mut self.rows {
            row.project = *numbers.get(row.project as usize)?;
        }
        Some(())
    }

    pub(super) fn numbers_of(&self, row: &Fixed) -> &[u8] {
        let from = self.numbers.get(row.numbers_at as usize..);
        let from = from.unwrap_or_default();
        from.get(..len_of(from)).unwrap_or_default()
    }

    pub(super) fn text_of(&self, row: &Fixed) -> &str {
        let at = row.text_at as usize;
        self.texts.get(at..at + row.text_len()).unwrap_or("")
    }

    #[allow(clippy::cast_possible_truncation)] // a page has some 1.5 MB at most
    pub(super) fn put_numbers(&mut self, numbers: &[u8]) -> u32 {
        let (len, more) = (self.numbers.len(), numbers.len());
        if self.numbers.capacity() - len < more {
            self.numbers.reserve_exact(room(len, more));
        }
        self.numbers.extend_from_slice(numbers);
        len as u32
    }

    #[allow(clippy::cast_possible_truncation)] // a page has some 1.5 MB at most
    pub(super) fn put_texts(&mut self, texts: &[&str]) -> u32 {
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
    pub(super) fn push(&mut self, draft: &Draft<'_>) {
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
    pub(super) fn replace(&mut self, at: usize, draft: &Draft<'_>) {
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
    pub(super) fn replace_numbers(&mut self, at: usize, bytes: &[u8], mut fixed: Fixed) {
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
    pub(super) fn remove(&mut self, at: usize) -> bool {
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
    pub(super) fn tidy(&mut self) {
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
pub(in crate::index) struct Columns {
    pub(in crate::index) fixed: Vec<u8>,
    pub(in crate::index) numbers: Vec<u8>,
    pub(in crate::index) texts: Vec<u8>,
    pub(in crate::index) kept: Vec<u8>,
}

impl Columns {
    /// How many bytes there are.
    pub(in crate::index) fn bytes(&self) -> usize {
        self.fixed.len() + self.numbers.len() + self.texts.len() + self.kept.len()
    }

    /// Appends them, their lengths first.
    pub(in crate::index) fn write(&self, out: &mut Vec<u8>) {
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
