//! What must be looked at: the set between those who hint and the one who looks.
//!
//! A mark names something whose files may differ from the index. Marks of the same thing fall
//! together while they wait; one that is set while its thing is being looked at waits for the
//! next look and is never dropped. Each mark has a ticket, so that somebody who must see
//! everything done so far (`sync: true`) can wait until no earlier ticket is open. What this
//! process changes itself is put off: the events of it are its own echo. Plain data: time comes in
//! as a parameter.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::model::{ProjectId, RunKey};

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mark {
    /// One run's file.
    Run(RunKey),
    /// A project's folders and every file in them.
    Project(ProjectId),
    /// What is noted on one run.
    Annotation(RunKey),
    /// What is noted on any run of a project.
    Annotations(ProjectId),
    /// The set of projects.
    Root,
    /// Everything: events were lost, or it is time to make sure.
    Everything,
}

/// A mark that was taken to be looked at; hand it back with [`Dirty::done`].
#[derive(Debug, Clone)]
pub struct Taken {
    /// What to look at.
    pub mark: Mark,
    /// How often it was looked at before without being believed.
    pub attempt: u8,
    /// Whether somebody waits for what it shows, or has waited.
    pub awaited: bool,
    ticket: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    due: Instant,
    attempt: u8,
    ticket: Option<u64>,
    turn: u64,
    /// Hints are no reason to look sooner.
    put_off: bool,
}

/// All that waits to be looked at.
#[derive(Debug, Default)]
pub struct Dirty {
    waiting: HashMap<Mark, Waiting>,
    /// Waiting marks by when they are due, then in the order they were set.
    turns: BTreeMap<(Instant, u64), Mark>,
    /// Open tickets and how many marks hold each.
    open: BTreeMap<u64, usize>,
    last_ticket: u64,
    last_turn: u64,
    /// The latest ticket that somebody waited for.
    awaited: u64,
}

impl Dirty {
    /// Notes that `mark` must be looked at now.
    pub fn mark(&mut self, mark: Mark, now: Instant) {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        self.put(mark, now, 0, Some(ticket));
    }

    /// Notes that `mark` should be looked at once more at `due`, but that nobody waits for it.
    pub fn mark_quietly(&mut self, mark: Mark, due: Instant) {
        self.put(mark, due, 0, None);
    }

    /// Notes that this process is changing what `mark` names, or has just done so, and takes that in
    /// by itself. It should be looked at once more at `due`; what is hinted until then tells of the
    /// same change, most likely, and is no reason to look sooner. Who waits for it should
    /// [`Dirty::hurry`]. What was hinted before, or is hurried, stays as it is.
    pub fn put_off(&mut self, mark: Mark, due: Instant) {
        let held = self.waiting.get(&mark);
        if held.is_some_and(|held| !held.put_off) {
            return;
        }
        let held = self.take_out(&mark);
        self.last_turn += 1;
        let waiting = Waiting {
            due: held.as_ref().map_or(due, |held| held.due.max(due)),
            attempt: 0,
            ticket: held.and_then(|held| held.ticket),
            turn: self.last_turn,
            put_off: true,
        };
        self.put_in(mark, waiting);
    }

    /// Somebody waits for `ticket`: makes what was put off due now, as far as that waits for it.
    pub fn hurry(&mut self, ticket: u64, now: Instant) {
        self.awaited = self.awaited.max(ticket);
        let waits = |held: &Waiting| held.put_off && held.ticket.is_some_and(|held| held <= ticket);
        let marks: Vec<Mark> = self
            .waiting
            .iter()
            .filter(|(_, held)| waits(held))
            .map(|(mark, _)| mark.clone())
            .collect();
        for mark in marks {
            if let Some(held) = self.take_out(&mark) {
                let due = held.due.min(now);
                self.put_in(
                    mark,
                    Waiting {
                        due,
                        put_off: false,
                        ..held
                    },
                );
            }
        }
    }

    fn take_out(&mut self, mark: &Mark) -> Option<Waiting> {
        let held = self.waiting.remove(mark)?;
        self.turns.remove(&(held.due, held.turn));
        Some(held)
    }

    fn put_in(&mut self, mark: Mark, waiting: Waiting) {
        self.turns.insert((waiting.due, waiting.turn), mark.clone());
        self.waiting.insert(mark, waiting);
    }

    /// Begins a look that nothing has marked; who waits for what was marked before waits for it.
    pub fn begin(&mut self, mark: Mark) -> Taken {
        self.last_ticket += 1;
        let ticket = self.last_ticket;
        *self.open.entry(ticket).or_default() += 1;
        Taken {
            mark,
            attempt: 0,
            awaited: false,
            ticket: Some(ticket),
        }
    }

    /// Puts back what was looked at and is not to be believed before `due`. Who waits for it goes
    /// on waiting. Call it before [`Dirty::done`].
    pub fn again(&mut self, taken: &Taken, mark: Mark, due: Instant) {
        self.put(mark, due, taken.attempt.saturating_add(1), taken.ticket);
    }

    /// Marks what follows from `taken`; who waits for that waits for this too.
    pub fn follow_up(&mut self, taken: &Taken, mark: Mark, now: Instant) {
        self.put(mark, now, 0, taken.ticket);
    }

    fn put(&mut self, mark: Mark, due: Instant, attempt: u8, ticket: Option<u64>) {
        self.last_turn += 1;
        let turn = self.last_turn;
        if let Some(ticket) = ticket {
            *self.open.entry(ticket).or_default() += 1;
        }
        let fresh = Waiting {
            due,
            attempt,
            ticket,
            turn,
            put_off: false,
        };
        let Some(held) = self.take_out(&mark) else {
            return self.put_in(mark, fresh);
        };
        // Two marks become one: the earlier due, the earlier ticket. A mark that waits to be
        // believed keeps its due and attempt, whichever comes first: a second event (an editor's
        // write after its rename) is no reason to believe sooner, nor to begin anew, and what it
        // tells is seen then as well. So does one that was put off.
        let (a, b) = (held.ticket, fresh.ticket);
        if let (Some(a), Some(b)) = (a, b) {
            self.close(a.max(b));
        }
        let keeps = match held.attempt.cmp(&attempt) {
            _ if held.put_off => true,
            Ordering::Greater => true,
            Ordering::Equal => held.due <= fresh.due,
            Ordering::Less => false,
        };
        let merged = Waiting {
            ticket: earliest(a, b),
            ..if keeps { held } else { fresh }
        };
        self.put_in(mark, merged);
    }

    /// Takes up to `max` marks that are due.
    pub fn take(&mut self, now: Instant, max: usize) -> Vec<Taken> {
        let mut taken = Vec::new();
        while taken.len() < max
            && let Some((&(due, turn), _)) = self.turns.first_key_value()
            && due <= now
        {
            if let Some(mark) = self.turns.remove(&(due, turn))
                && let Some(Waiting {
                    attempt, ticket, ..
                }) = self.waiting.remove(&mark)
            {
                taken.push(Taken {
                    mark,
                    attempt,
                    awaited: ticket.is_some_and(|ticket| ticket <= self.awaited),
                    ticket,
                });
            }
        }
        taken
    }

    /// Says that `taken` was looked at.
    pub fn done(&mut self, taken: &Taken) {
        if let Some(ticket) = taken.ticket {
            self.close(ticket);
        }
    }

    fn close(&mut self, ticket: u64) {
        if let Some(holders) = self.open.get_mut(&ticket) {
            *holders -= 1;
            if *holders == 0 {
                self.open.remove(&ticket);
            }
        }
    }

    /// The ticket of the latest mark.
    pub fn ticket(&self) -> u64 {
        self.last_ticket
    }

    /// Whether everything marked up to `ticket` was looked at and believed.
    pub fn settled(&self, ticket: u64) -> bool {
        self.open
            .first_key_value()
            .is_none_or(|(&first, _)| first > ticket)
    }

    /// When the next mark is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.turns.first_key_value().map(|(&(due, _), _)| due)
    }

    /// How many marks wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

fn earliest(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn project(name: &str) -> Mark {
        Mark::Project(ProjectId::parse(name).unwrap())
    }

    #[test]
    fn a_mark_set_while_its_thing_is_looked_at_waits_for_the_next_look() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        dirty.mark(project("a"), now);
        dirty.mark(project("a"), now);
        let first = dirty.take(now, 9);
        assert_eq!(first.len(), 1);
        dirty.mark(project("a"), now);
        let ticket = dirty.ticket();
        dirty.done(&first[0]);
        assert!(!dirty.settled(ticket));
        let second = dirty.take(now, 9);
        assert_eq!(second.len(), 1);
        dirty.done(&second[0]);
        assert!(dirty.settled(ticket));
        assert_eq!(dirty.waiting(), 0);
    }

    #[test]
    fn who_waits_for_a_mark_waits_until_it_is_believed_and_for_what_follows() {
        let now = Instant::now();
        let later = now + Duration::from_millis(50);
        let mut dirty = Dirty::default();
        dirty.mark(project("a"), now);
        let ticket = dirty.ticket();
        dirty.mark(project("b"), now);
        let taken = dirty.take(now, 1);
        dirty.again(&taken[0], project("a"), later);
        dirty.done(&taken[0]);
        assert!(!dirty.settled(ticket));
        // another event does not make it believed sooner
        dirty.mark(project("a"), now);
        assert!(!taken[0].awaited);
        let due = dirty.take(now, 9);
        assert_eq!(due.len(), 1, "only b is due");
        dirty.done(&due[0]);
        assert_eq!(dirty.next_due(), Some(later));
        let taken = dirty.take(later, 9);
        assert_eq!(taken[0].attempt, 1);
        dirty.follow_up(&taken[0], Mark::Root, later);
        dirty.done(&taken[0]);
        assert!(!dirty.settled(ticket));
        let taken = dirty.take(later, 9);
        dirty.done(&taken[0]);
        assert!(dirty.settled(dirty.ticket()));
    }

    #[test]
    fn an_event_during_a_look_does_not_begin_it_anew() {
        let now = Instant::now();
        let later = now + Duration::from_millis(50);
        let mut dirty = Dirty::default();
        dirty.mark(project("a"), now);
        let taken = dirty.take(now, 9);
        dirty.mark(project("a"), now);
        let ticket = dirty.ticket();
        dirty.again(&taken[0], project("a"), later);
        dirty.done(&taken[0]);
        assert_eq!(dirty.take(now, 9).len(), 0);
        dirty.hurry(ticket, now);
        let taken = dirty.take(later, 9);
        assert_eq!((taken[0].attempt, taken[0].awaited), (1, true));
        assert!(!dirty.settled(ticket));
        dirty.done(&taken[0]);
        assert!(dirty.settled(ticket));
    }

    #[test]
    fn who_comes_during_a_look_that_nothing_marked_waits_for_it() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        dirty.mark(project("a"), now);
        let before = dirty.ticket();
        let look = dirty.begin(project("a"));
        let during = dirty.ticket();
        let taken = dirty.take(now, 9);
        assert_eq!(taken.len(), 1);
        dirty.done(&taken[0]);
        assert!(dirty.settled(before));
        assert!(!dirty.settled(during));
        dirty.done(&look);
        assert!(dirty.settled(during));
    }

    #[test]
    fn hints_of_what_was_put_off_wait_with_it_unless_somebody_hurries() {
        let now = Instant::now();
        let later = now + Duration::from_millis(15);
        let last = later + Duration::from_millis(15);
        let mut dirty = Dirty::default();
        dirty.put_off(project("a"), later);
        assert!(dirty.settled(dirty.ticket()), "nobody waits for it");
        dirty.mark(project("a"), now);
        let ticket = dirty.ticket();
        assert_eq!(dirty.take(now, 9).len(), 0);
        dirty.put_off(project("a"), last);
        assert_eq!(dirty.take(later, 9).len(), 0, "it was changed once more");
        assert!(!dirty.settled(ticket));
        // who waits for something else changes nothing
        dirty.hurry(ticket - 1, later);
        assert_eq!(dirty.take(later, 9).len(), 0);
        dirty.hurry(ticket, later);
        dirty.put_off(project("a"), last);
        let taken = dirty.take(later, 9);
        assert_eq!(taken.len(), 1, "what is hurried is not put off again");
        dirty.done(&taken[0]);
        assert!(dirty.settled(ticket));
        // what was hinted before is looked at as soon as without it
        dirty.mark(project("b"), now);
        dirty.put_off(project("b"), last);
        assert_eq!(dirty.take(now, 9).len(), 1);
        // and what nobody hurries is looked at when it is due
        dirty.put_off(project("c"), last);
        dirty.mark(project("c"), now);
        let taken = dirty.take(last, 9);
        assert_eq!((taken.len(), taken[0].attempt), (1, 0));
    }

    #[test]
    fn nobody_waits_for_a_quiet_mark() {
        let now = Instant::now();
        let mut dirty = Dirty::default();
        dirty.mark_quietly(Mark::Everything, now + Duration::from_secs(60));
        assert!(dirty.settled(dirty.ticket()));
        dirty.mark(Mark::Everything, now);
        assert!(!dirty.settled(dirty.ticket()));
        let taken = dirty.take(now, 9);
        assert_eq!(taken.len(), 1, "the louder mark is due at once");
    }
}
