//! Rows in list order, kept sorted through every change.
//!
//! A list's first row is the newest, and most changes happen to the newest: the array is kept in
//! the *reverse* of list order, so that they happen near its end, where an insert moves little.
//! A bulk change moves each row but once, however many come and go.

use std::cmp::Ordering;

use super::row::{Place, Rows};

/// Row numbers, oldest first. The caller's `place_of` must give every row in here the place it
/// had when it came in.
#[derive(Debug, Default)]
pub struct Order {
    numbers: Vec<u32>,
}

/// Finds a row's place; the projects' names live beside the rows.
pub trait Places {
    /// The place of row `number`.
    fn place(&self, number: u32) -> Place<'_>;
}

impl Order {
    /// How many rows are in it.
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The row at list position `position` (0 is the newest).
    pub fn at(&self, position: usize) -> Option<u32> {
        let last = self.numbers.len().checked_sub(1)?;
        self.numbers.get(last.checked_sub(position)?).copied()
    }

    /// How many rows stand before `place` in list order, or at it too if `inclusive`.
    pub fn rank(&self, place: &Place<'_>, inclusive: bool, places: &impl Places) -> usize {
        // the array's tail is what stands before in list order
        let split = self
            .numbers
            .partition_point(|&number| match places.place(number).cmp(place) {
                Ordering::Greater => true,
                Ordering::Equal => !inclusive,
                Ordering::Less => false,
            });
        self.numbers.len() - split
    }

    /// At most `limit` rows that stand before `place` in list order, the nearest first; the last
    /// of the list where there is no place.
    pub fn before(&self, place: Option<&Place<'_>>, limit: usize, places: &impl Places) -> &[u32] {
        let start = place.map_or(0, |place| {
            self.numbers.len() - self.rank(place, false, places)
        });
        let end = self.numbers.len().min(start + limit);
        self.numbers.get(start..end).unwrap_or_default()
    }

    /// Puts a row in that stands before all others in list order.
    pub fn push(&mut self, number: u32) {
        self.numbers.push(number);
    }

    /// Takes out `gone` and puts in `come`, both by the places they have now. Moves every row at
    /// most twice that stands before one of them in list order, and no other.
    pub fn change(&mut self, gone: &[u32], mut come: Vec<u32>, places: &impl Places) {
        let mut holes: Vec<usize> = gone
            .iter()
            .map(|&number| (index_in(&self.numbers, number, places), number))
            .filter(|(at, number)| self.numbers.get(*at) == Some(number))
            .map(|(at, _)| at)
            .collect();
        holes.sort_unstable();
        if let Some(&first) = holes.first() {
            let mut to = first;
            for (at, hole) in holes.iter().enumerate() {
                let end = holes.get(at + 1).copied().unwrap_or(self.numbers.len());
                self.numbers.copy_within(hole + 1..end, to);
                to += end - (hole + 1);
            }
            self.numbers.truncate(to);
        }
        if come.len() > 1 {
            come.sort_unstable_by(|&a, &b| places.place(b).cmp(&places.place(a)));
        }
        // from the back, so that each row moves once and to where there is room
        let mut end = self.numbers.len();
        self.numbers.resize(end + come.len(), 0);
        for (before, &number) in come.iter().enumerate().rev() {
            let at = index_in(self.numbers.get(..end).unwrap_or_default(), number, places);
            self.numbers.copy_within(at..end, at + before + 1);
            if let Some(slot) = self.numbers.get_mut(at + before) {
                *slot = number;
            }
            end = at;
        }
    }
}

/// Where `number` stands in `numbers`, or would stand.
fn index_in(numbers: &[u32], number: u32, places: &impl Places) -> usize {
    let place = places.place(number);
    // most of what comes is newer than all that is there
    if numbers
        .last()
        .is_none_or(|&last| places.place(last).cmp(&place) == Ordering::Greater)
    {
        return numbers.len();
    }
    // the next is not far: bulks come sorted, and what is new is among the newest
    let older = |&other: &u32| places.place(other).cmp(&place) == Ordering::Greater;
    let (mut end, mut step) = (numbers.len(), 8);
    let start = loop {
        let Some(start) = end.checked_sub(step) else {
            break 0;
        };
        if numbers.get(start).is_some_and(older) {
            break start + 1;
        }
        (end, step) = (start, step * 4);
    };
    start
        + numbers
            .get(start..end)
            .unwrap_or_default()
            .partition_point(older)
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
    orders: &'a [&'a Order],
    mut taken: Vec<usize>,
    places: &'a impl Places,
) -> impl Iterator<Item = u32> + 'a {
    std::iter::from_fn(move || {
        let mut best: Option<(usize, u32)> = None;
        for (which, order) in orders.iter().enumerate() {
            if let Some(number) = order.at(taken[which])
                && best.is_none_or(|(_, other)| places.place(number) < places.place(other))
            {
                best = Some((which, number));
            }
        }
        let (which, number) = best?;
        taken[which] += 1;
        Some(number)
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
                project: (self.name)(row.project),
            },
            None => Place {
                started_at: None,
                id: "",
                project: "",
            },
        }
    }
}
