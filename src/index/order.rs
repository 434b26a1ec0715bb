//! Rows in list order, kept sorted through every change.
//!
//! A list's first row is the newest, and most changes happen to the newest: the rows are kept in
//! the *reverse* of list order, so that they happen near the end. They lie in chunks, each of
//! which knows how many rows there are up to its end: a change moves rows of its own chunk only
//! and counts anew those after it, a position is found by binary search, and no order is copied
//! to grow. A bulk change moves each row but once, however many come and go.

use std::cmp::Ordering;
use std::iter::Peekable;

use super::place::Place;
use super::row::Rows;

/// The most rows in a chunk. Two neighbours have more than half of this together.
pub(super) const CHUNK: usize = if cfg!(test) { 4 } else { 1024 };

/// An order with no more rows than this has little room to spare.
const SMALL: usize = 128;

/// Row numbers, oldest first. The caller's `place_of` must give every row in here the place it
/// had when it came in.
#[derive(Debug, Default)]
pub struct Order {
    chunks: Vec<Chunk>,
}

/// Some rows that follow each other; never none, but while an order is changed.
#[derive(Debug, Default)]
struct Chunk {
    numbers: Vec<u32>,
    /// How many rows there are in this chunk and before it.
    end: usize,
}

impl Chunk {
    fn begin(&self) -> usize {
        self.end - self.numbers.len()
    }

    /// Makes room for `more` rows, and for some to come: a `Vec` would double itself, which is too
    /// much for the many orders that are small.
    fn reserve(&mut self, more: usize) {
        let (len, capacity) = (self.numbers.len(), self.numbers.capacity());
        if capacity - len < more {
            let spare = (len / 8).max(len.saturating_sub(SMALL));
            let spare = spare.min(CHUNK.saturating_sub(len));
            self.numbers.reserve_exact(more.max(spare));
        }
    }
}

/// Finds a row's place; the projects' names live beside the rows.
pub trait Places {
    /// The place of row `number`.
    fn place(&self, number: u32) -> Place<'_>;
}

impl Order {
    /// How many rows are in it.
    pub fn len(&self) -> usize {
        self.chunks.last().map_or(0, |chunk| chunk.end)
    }

    /// The row at list position `position` (0 is the newest).
    pub fn at(&self, position: usize) -> Option<u32> {
        self.from(position).next()
    }

    /// The rows from list position `position` on, in list order.
    pub fn from(&self, position: usize) -> impl Iterator<Item = u32> + '_ {
        let left = self.len().saturating_sub(position);
        let which = self.chunks.partition_point(|chunk| chunk.end < left);
        let (before, rest) = self.chunks.split_at(which);
        let first = rest.first().map_or(&[][..], |chunk| {
            chunk
                .numbers
                .get(..left - chunk.begin())
                .unwrap_or_default()
        });
        let numbers = before.iter().rev().map(|chunk| &chunk.numbers[..]);
        std::iter::once(first)
            .chain(numbers)
            .flat_map(|numbers| numbers.iter().rev().copied())
    }

    /// How many rows stand before `place` in list order, or at it too if `inclusive`.
    pub fn rank(&self, place: &Place<'_>, inclusive: bool, places: &impl Places) -> usize {
        let older = |&number: &u32| match places.place(number).cmp(place) {
            Ordering::Greater => true,
            Ordering::Equal => !inclusive,
            Ordering::Less => false,
        };
        let which = self
            .chunks
            .partition_point(|chunk| chunk.numbers.last().is_some_and(older));
        // what comes after it here stands before it in list order
        self.chunks.get(which).map_or(0, |chunk| {
            self.len() - chunk.begin() - chunk.numbers.partition_point(older)
        })
    }

    /// The rows that stand before `place` in list order, the nearest first; all of them from the
    /// last on where there is no place.
    pub fn before(
        &self,
        place: Option<&Place<'_>>,
        places: &impl Places,
    ) -> impl Iterator<Item = u32> + '_ {
        let start = place.map_or(0, |place| self.len() - self.rank(place, false, places));
        let which = self.chunks.partition_point(|chunk| chunk.end <= start);
        let chunks = self.chunks.get(which..).unwrap_or_default();
        let skipped = chunks.first().map_or(0, |chunk| start - chunk.begin());
        chunks
            .iter()
            .flat_map(|chunk| chunk.numbers.iter().copied())
            .skip(skipped)
    }

    /// Puts a row in that stands before all others in list order.
    pub fn push(&mut self, number: u32) {
        let end = self.len() + 1;
        match self.chunks.last_mut() {
            Some(chunk) if chunk.numbers.len() < CHUNK => {
                chunk.reserve(1);
                chunk.numbers.push(number);
                chunk.end = end;
            }
            _ => self.push_chunk(Chunk {
                numbers: vec![number],
                end,
            }),
        }
    }

    /// Most orders have but one chunk: of a project with few runs, or of a rare status.
    fn push_chunk(&mut self, chunk: Chunk) {
        if self.chunks.is_empty() {
            self.chunks.reserve_exact(1);
        }
        self.chunks.push(chunk);
    }

    /// Takes out `gone` and puts in `come`, both by the places they have now.
    pub fn change(&mut self, gone: &[u32], come: Vec<u32>, places: &impl Places) {
        let changed = self.take_out(gone, places).min(self.put_in(come, places));
        let before = changed.checked_sub(1).and_then(|at| self.chunks.get(at));
        let mut end = before.map_or(0, |chunk| chunk.end);
        for chunk in self.chunks.iter_mut().skip(changed) {
            end += chunk.numbers.len();
            chunk.end = end;
        }
    }

    /// Takes rows out; the first chunk whose end is not right any more.
    fn take_out(&mut self, gone: &[u32], places: &impl Places) -> usize {
        let mut holes: Vec<(usize, usize)> = gone
            .iter()
            .filter_map(|&number| {
                let place = places.place(number);
                let which = self.chunk_of(&place, self.chunks.len(), places);
                let chunk = self.chunks.get(which)?;
                let at = index_in(&chunk.numbers, &place, places);
                (chunk.numbers.get(at) == Some(&number)).then_some((which, at))
            })
            .collect();
        holes.sort_unstable();
        let mut changed = self.chunks.len();
        // from the back, so that the chunks before are where they were
        let mut rest = &holes[..];
        while let Some(&(which, _)) = rest.last() {
            let (before, here) = rest.split_at(rest.partition_point(|&(other, _)| other < which));
            if let Some(Chunk { numbers, .. }) = self.chunks.get_mut(which) {
                let mut to = here.first().map_or(0, |&(_, at)| at);
                for (next, &(_, hole)) in here.iter().enumerate() {
                    let end = here.get(next + 1).map_or(numbers.len(), |&(_, at)| at);
                    numbers.copy_within(hole + 1..end, to);
                    to += end - (hole + 1);
                }
                numbers.truncate(to);
            }
            self.tidy(which);
            changed = which.saturating_sub(1);
            rest = before;
        }
        changed
    }

    /// What is left of a chunk goes where there is room for it.
    fn tidy(&mut self, which: usize) {
        let small = |chunk: &Chunk, room| chunk.numbers.len() <= room;
        if self.chunks.get(which).is_some_and(|chunk| small(chunk, 0)) {
            self.chunks.remove(which);
        }
        for left in [Some(which), which.checked_sub(1)].into_iter().flatten() {
            if let Some([chunk, next]) = self.chunks.get(left..left + 2)
                && small(next, (CHUNK / 2).saturating_sub(chunk.numbers.len()))
            {
                let next = self.chunks.remove(left + 1);
                if let Some(chunk) = self.chunks.get_mut(left) {
                    chunk.reserve(next.numbers.len());
                    chunk.numbers.extend_from_slice(&next.numbers);
                }
            }
        }
    }

    /// Puts rows in; the first chunk whose end is not right any more.
    fn put_in(&mut self, mut come: Vec<u32>, places: &impl Places) -> usize {
        if come.len() > 1 {
            come.sort_unstable_by(|&a, &b| places.place(b).cmp(&places.place(a)));
        }
        if self.chunks.is_empty() {
            self.push_chunk(Chunk::default());
        }
        // from the back, so that the chunks before are where they were
        let mut which = self.chunks.len();
        let mut rest = &come[..];
        while let Some(&newest) = rest.last() {
            // what is newer than all that is there goes to the last chunk
            which = self
                .chunk_of(&places.place(newest), which, places)
                .min(which.saturating_sub(1));
            let before = which.checked_sub(1).and_then(|at| self.chunks.get(at));
            let edge = before.and_then(|chunk| chunk.numbers.last());
            let from = edge.map_or(0, |&edge| {
                let edge = places.place(edge);
                rest.partition_point(|&number| places.place(number).cmp(&edge) == Ordering::Greater)
            });
            let (before, here) = rest.split_at(from);
            self.fill(which, here, places);
            rest = before;
        }
        if self
            .chunks
            .last()
            .is_some_and(|chunk| chunk.numbers.is_empty())
        {
            self.chunks.pop();
        }
        which
    }

    /// Puts sorted rows into a chunk, and cuts it if it becomes too large.
    fn fill(&mut self, which: usize, come: &[u32], places: &impl Places) {
        let last = which + 1 == self.chunks.len();
        let Some(chunk) = self.chunks.get_mut(which) else {
            return;
        };
        chunk.reserve(come.len());
        let numbers = &mut chunk.numbers;
        let held = numbers.len();
        numbers.resize(held + come.len(), 0);
        // from the back, so that each row moves once and to where there is room
        let mut end = held;
        for (before, &number) in come.iter().enumerate().rev() {
            let older = numbers.get(..end).unwrap_or_default();
            let at = index_in(older, &places.place(number), places);
            numbers.copy_within(at..end, at + before + 1);
            if let Some(slot) = numbers.get_mut(at + before) {
                *slot = number;
            }
            end = at;
        }
        if numbers.len() > CHUNK {
            let all = std::mem::take(numbers);
            let (len, count) = (all.len(), all.len().div_ceil(CHUNK));
            // rows that come in their order leave full chunks behind; others as many in each, for
            // a small one at the end might have a small neighbour
            let in_order = last && end == held;
            let cut = |part: usize| {
                if in_order {
                    (part * CHUNK).min(len)
                } else {
                    part * len / count
                }
            };
            let parts = (0..count).map(|part| Chunk {
                numbers: all
                    .get(cut(part)..cut(part + 1))
                    .unwrap_or_default()
                    .to_vec(),
                end: 0,
            });
            self.chunks.splice(which..=which, parts);
        }
    }

    /// Panics where the chunks are not as they should be.
    #[cfg(test)]
    pub(super) fn check(&self) {
        let mut end = 0;
        for chunk in &self.chunks {
            assert!((1..=CHUNK).contains(&chunk.numbers.len()));
            end += chunk.numbers.len();
            assert_eq!(chunk.end, end);
        }
        for pair in self.chunks.windows(2) {
            let together: usize = pair.iter().map(|chunk| chunk.numbers.len()).sum();
            assert!(together > CHUNK / 2);
        }
    }

    /// The first of `upto` chunks that is not all older than `place`; `upto` if there is none.
    fn chunk_of(&self, place: &Place<'_>, upto: usize, places: &impl Places) -> usize {
        count_older(upto, |which| {
            let last = self
                .chunks
                .get(which)
                .and_then(|chunk| chunk.numbers.last());
            last.is_some_and(|&last| places.place(last).cmp(place) == Ordering::Greater)
        })
    }
}

/// Where `place` is in `numbers`, or would be.
fn index_in(numbers: &[u32], place: &Place<'_>, places: &impl Places) -> usize {
    count_older(numbers.len(), |at| {
        let number = numbers.get(at);
        number.is_some_and(|&number| places.place(number).cmp(place) == Ordering::Greater)
    })
}

/// How many of the first `len` are older, all of them standing before the others. Most of what
/// comes is newer than all that is there, or nearly so; and bulks come sorted.
fn count_older(len: usize, older: impl Fn(usize) -> bool) -> usize {
    let (mut end, mut step) = (len, 1);
    let mut start = loop {
        let Some(at) = end.checked_sub(step) else {
            break 0;
        };
        if older(at) {
            break at + 1;
        }
        (end, step) = (at, step * 8);
    };
    while start < end {
        let middle = start + (end - start) / 2;
        if older(middle) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    start
}

/// The first `skip` rows of several orders taken together in list order: how many of them come
/// from each. Costs k² log `skip` comparisons for k orders.
pub fn split(orders: &[&Order], mut skip: usize, places: &impl Places) -> Vec<usize> {
    let mut taken = vec![0; orders.len()];
    while skip > 0 {
        let left = orders
            .iter()
            .zip(&taken)
            .filter(|(order, t)| order.len() > **t)
            .count();
        if left == 0 {
            break;
        }
        // Of the rows up to `step` in each order, the one that comes first has fewer than `skip`
        // rows before it, so all of its order up to it belongs to the first `skip`.
        let step = (skip / left).max(1);
        let mut best: Option<(usize, usize, u32)> = None;
        for (which, order) in orders.iter().enumerate() {
            let rest = order.len() - taken[which];
            let reach = step.min(rest);
            if reach == 0 {
                continue;
            }
            if let Some(number) = order.at(taken[which] + reach - 1)
                && best.is_none_or(|(_, _, other)| places.place(number) < places.place(other))
            {
                best = Some((which, reach, number));
            }
        }
        let Some((which, reach, _)) = best else { break };
        taken[which] += reach;
        skip -= reach;
    }
    taken
}

/// The rows of several orders from positions `taken` on, in list order.
pub fn merge<'a>(
    orders: &[&'a Order],
    taken: &[usize],
    places: &'a impl Places,
) -> impl Iterator<Item = u32> + 'a {
    let mut lists: Vec<Peekable<_>> = orders
        .iter()
        .zip(taken)
        .map(|(order, &taken)| order.from(taken).peekable())
        .collect();
    std::iter::from_fn(move || {
        let mut best: Option<(usize, u32)> = None;
        for (which, list) in lists.iter_mut().enumerate() {
            if let Some(&number) = list.peek()
                && best.is_none_or(|(_, other)| places.place(number) < places.place(other))
            {
                best = Some((which, number));
            }
        }
        let (which, _) = best?;
        lists.get_mut(which)?.next()
    })
}

/// Rows and the names of their projects, read together.
pub(super) struct RowPlaces<'a, F> {
    pub(super) rows: &'a Rows,
    pub(super) name: F,
}

impl<'a, F: Fn(u32) -> &'a str> Places for RowPlaces<'a, F> {
    fn place(&self, number: u32) -> Place<'_> {
        match self.rows.get(number) {
            Some(row) => Place {
                started_at: row.started(),
                id: row.id(),
                project: (self.name)(row.project()),
            },
            None => Place {
                started_at: None,
                id: "",
                project: "",
            },
        }
    }
}
