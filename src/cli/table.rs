//! Rows and columns: fitted to a terminal, whole and tab-separated anywhere else.
//!
//! On a terminal there is a heading, and what has no room is cut or, column by column, left out. In
//! a pipe a row is a line and a column a field: no heading, nothing shortened, and an empty field
//! where there is nothing.

use super::terminal::{Out, Paint, columns, field, fitted, visible};

/// Between columns.
const GAP: usize = 2;

/// A column.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    /// What stands above it.
    name: &'static str,
    /// No narrower than this, where its texts are wider.
    min: usize,
    /// Which goes first where there is no room for all: the highest; 0 stays.
    leaves: u8,
    /// Numbers stand at the right.
    right: bool,
    /// Shown only where there is no room for the column before it, in place of that.
    stands_in: bool,
}

impl Column {
    /// One that stays whole.
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            name,
            min: usize::MAX,
            leaves: 0,
            right: false,
            stands_in: false,
        }
    }

    /// One of numbers.
    pub(super) const fn numbers(name: &'static str) -> Self {
        Self {
            right: true,
            ..Self::new(name)
        }
    }

    /// It may be cut to so many columns.
    pub(super) const fn cut_to(mut self, min: usize) -> Self {
        self.min = min;
        self
    }

    /// It is for a person whose terminal has no room for the column before it.
    pub(super) const fn standing_in(mut self) -> Self {
        self.stands_in = true;
        self
    }

    /// It may be left out, those of a higher rank first.
    pub(super) const fn leaving(mut self, rank: u8) -> Self {
        self.leaves = rank;
        self
    }
}

/// What stands in a row's column.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    /// For a person.
    shown: String,
    /// For a program.
    plain: String,
    paint: Paint,
}

impl Cell {
    /// The same for both.
    pub(super) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            shown: text.clone(),
            plain: text,
            paint: Paint::Plain,
        }
    }

    /// One text for a person and another one for a program.
    pub(super) fn both(shown: impl Into<String>, plain: impl Into<String>) -> Self {
        Self {
            shown: shown.into(),
            plain: plain.into(),
            paint: Paint::Plain,
        }
    }

    /// In a colour.
    pub(super) fn painted(mut self, paint: Paint) -> Self {
        self.paint = paint;
        self
    }
}

/// Rows below headings.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(super) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self {
            columns: columns.into(),
            rows: Vec::new(),
        }
    }

    /// Puts a row below the others; it has a cell for each column.
    pub(super) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        let mut cells = cells.into();
        for cell in &mut cells {
            cell.shown = visible(&cell.shown);
            cell.plain = field(&cell.plain);
        }
        self.rows.push(cells);
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Its lines.
    pub(super) fn text(&self, out: Out) -> String {
        match out.width() {
            Some(width) => self.fitted(out, width),
            None => self.plain(),
        }
    }

    fn plain(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let columns = row.iter().zip(&self.columns);
            let fields: Vec<&str> = columns
                .filter(|(_, column)| !column.stands_in)
                .map(|(cell, _)| cell.plain.as_str())
                .collect();
            text.push_str(&fields.join("\t"));
            text.push('\n');
        }
        text
    }

    fn fitted(&self, out: Out, width: usize) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let shown = self.layout(width);
        let mut text = String::new();
        let headings: Vec<(String, Paint)> = self
            .columns
            .iter()
            .map(|column| (column.name.to_owned(), Paint::Bold))
            .collect();
        self.line(&mut text, out, &shown, &headings);
        for row in &self.rows {
            let cells: Vec<(String, Paint)> = row
                .iter()
                .map(|cell| (cell.shown.clone(), cell.paint))
                .collect();
            self.line(&mut text, out, &shown, &cells);
        }
        text
    }

    fn line(
        &self,
        text: &mut String,
        out: Out,
        shown: &[(usize, usize)],
        cells: &[(String, Paint)],
    ) {
        let mut line = String::new();
        for (place, (at, width)) in shown.iter().enumerate() {
            let Some((cell, paint)) = cells.get(*at) else {
                continue;
            };
            let cell = fitted(cell, *width);
            let blank = " ".repeat(width.saturating_sub(columns(&cell)));
            let painted = out.paint(&cell, *paint);
            if place > 0 {
                line.push_str(&" ".repeat(GAP));
            }
            if self.columns.get(*at).is_some_and(|column| column.right) {
                line.push_str(&blank);
                line.push_str(&painted);
            } else {
                line.push_str(&painted);
                line.push_str(&blank);
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }

    /// Which columns there is room for, and how wide each is.
    fn layout(&self, width: usize) -> Vec<(usize, usize)> {
        let stands_in = |at: usize| self.columns.get(at).is_some_and(|column| column.stands_in);
        let (whole, fits) = self.layout_of(width, |at| !stands_in(at));
        if fits || !self.columns.iter().any(|column| column.stands_in) {
            return whole;
        }
        self.layout_of(width, |at| !stands_in(at + 1)).0
    }

    /// The same of those columns that are wanted, and whether none of them ends early.
    fn layout_of(
        &self,
        width: usize,
        wanted: impl Fn(usize) -> bool,
    ) -> (Vec<(usize, usize)>, bool) {
        // a column in which nothing stands says nothing
        let mut shown: Vec<(usize, usize)> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(at, _)| wanted(*at))
            .filter_map(|(at, column)| {
                let cells = self.rows.iter().filter_map(|row| row.get(at));
                let widest = cells.map(|cell| columns(&cell.shown)).max().unwrap_or(0);
                (widest > 0).then(|| (at, widest.max(columns(column.name))))
            })
            .collect();
        let leaves = |at: usize| self.columns.get(at).map_or(0, |column| column.leaves);
        loop {
            let gaps = GAP * shown.len().saturating_sub(1);
            let least: usize = shown.iter().map(|(at, full)| self.least(*at, *full)).sum();
            let leaving = shown
                .iter()
                .map(|(at, _)| *at)
                .max_by_key(|at| leaves(*at))
                .filter(|at| leaves(*at) > 0);
            match leaving {
                Some(at) if least + gaps > width => shown.retain(|(held, _)| *held != at),
                _ => break,
            }
        }
        // what is too much is taken from the last that can be cut, then from those before it
        let gaps = GAP * shown.len().saturating_sub(1);
        let mut over =
            (shown.iter().map(|(_, full)| full).sum::<usize>() + gaps).saturating_sub(width);
        for (at, full) in shown.iter_mut().rev() {
            let spare = (*full - self.least(*at, *full)).min(over);
            *full -= spare;
            over -= spare;
        }
        // a terminal narrower than all that: the last columns end early
        let fits = over == 0;
        for (_, full) in shown.iter_mut().rev() {
            let spare = full.saturating_sub(1).min(over);
            *full -= spare;
            over -= spare;
        }
        (shown, fits)
    }

    fn least(&self, at: usize, full: usize) -> usize {
        self.columns
            .get(at)
            .map_or(full, |column| column.min.min(full))
    }
}
