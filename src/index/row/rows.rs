//! All rows by their numbers, and the names of models that are too long to lie with them.

use super::page::{PAGE, Page};
use super::{Draft, Fixed, MODEL_MAX, RACY, Row};
use crate::index::packed::{Numbers, Packed};
use crate::index::steps::{self, Kept, Nodes};
use crate::model::Stamp;

/// The names that most models have: there are few, but nearly every run has one. The first ones
/// that come are kept here for good; those of rows that come later are among the rows' texts.
#[derive(Debug, Default)]
pub(super) struct Models(pub(super) Vec<Box<str>>);

impl Models {
    /// How many there may be, so that a byte says which.
    const MAX: usize = if cfg!(test) {
        3
    } else {
        (u8::MAX - MODEL_MAX) as usize
    };

    /// What stands for `name` in a row, if it is kept here.
    pub(super) fn code(&mut self, name: &str) -> Option<u8> {
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
    pub(super) fn restore(&mut self, name: &str) -> Option<()> {
        let code = usize::from(self.code(name)?.checked_sub(MODEL_MAX + 1)?);
        (code + 1 == self.0.len()).then_some(())
    }

    /// The name that `code` stands for.
    pub(super) fn name(&self, code: u8) -> Option<&str> {
        let at = code.checked_sub(MODEL_MAX + 1)?;
        self.0.get(usize::from(at)).map(|name| &**name)
    }
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
    pub(in crate::index) fn fixed_mut(&mut self, number: u32) -> Option<&mut Fixed> {
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
    pub(in crate::index) fn insert(&mut self, draft: Draft<'_>) -> u32 {
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
    pub(in crate::index) fn adopt(&mut self, page: Page) -> u32 {
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
    pub(in crate::index) fn restore_model(&mut self, name: &str) -> Option<()> {
        self.models.restore(name)
    }

    /// How many models are kept once for all.
    pub(in crate::index) fn models(&self) -> usize {
        self.models.0.len()
    }

    /// How many pages there are.
    pub(in crate::index) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// The runs of a page with their numbers.
    pub(in crate::index) fn of_page(&self, which: usize) -> impl Iterator<Item = (u32, Row<'_>)> {
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
    pub(in crate::index) fn replace(&mut self, number: u32, draft: Draft<'_>) {
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
    pub(in crate::index) fn kept(&self, number: u32) -> Kept<'_> {
        let page = self.pages.get(number as usize / PAGE);
        page.map(|page| page.apart.get(number as usize % PAGE))
            .unwrap_or_default()
    }

    /// The numbers that no run has any more.
    pub(in crate::index) fn vacant(&self) -> &[u32] {
        &self.vacant
    }

    /// The nodes that steps name.
    pub(in crate::index) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The same, to hold some.
    pub(in crate::index) fn nodes_mut(&mut self) -> &mut Nodes {
        &mut self.nodes
    }

    /// How many bytes what is kept of steps and errors takes.
    pub(in crate::index) fn step_bytes(&self) -> usize {
        steps::held_bytes(self.pages.iter().map(|page| &page.apart), &self.nodes)
    }

    /// Takes in that the file of row `number` was found unchanged with the stamp `stamp`.
    pub(in crate::index) fn restamp(&mut self, number: u32, stamp: Stamp, racy: bool) {
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

    pub(in crate::index) fn remove(&mut self, number: u32) {
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
    pub(in crate::index) fn check(&self) {
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
    pub fn end(&self) -> usize {
        let before = self.pages.len().saturating_sub(1) * PAGE;
        before + self.pages.last().map_or(0, |page| page.rows.len())
    }

    /// Every run with its number, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, Row<'_>)> {
        (0..self.pages()).flat_map(|page| self.of_page(page))
    }
}
