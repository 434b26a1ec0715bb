//! Which runs a request is about: the one place where `projectId`, `status`, `where` and
//! `timezone` become a filter.

use std::hash::{BuildHasher, BuildHasherDefault};
use std::ops::RangeInclusive;
use std::time::SystemTime;

use chrono_tz::Tz;
use xxhash_rust::xxh3::Xxh3;

use super::{Statuses, blocking};
use crate::api::{Context, Error};
use crate::filter::Where;
use crate::history::Wanted;
use crate::index::{Clock as IndexClock, Filter, Index, Listed, Query, Selection};
use crate::model::nearest;
use crate::model::{Millis, ProjectId};

/// The runs that a request is about.
#[derive(Debug, Clone)]
pub(in crate::api) struct Asked {
    /// What an order answers.
    pub(in crate::api) plain: Filter,
    /// What else must hold.
    rest: Option<Where>,
    /// The zone of all dates.
    zone: Tz,
}

impl Asked {
    /// What the params say. A `where` that only names statuses and a project is what `status` and
    /// `projectId` are.
    ///
    /// # Errors
    /// -32602 with what is wrong with the filter, and where.
    pub(in crate::api) fn of(
        project: Option<ProjectId>,
        statuses: Option<Statuses>,
        filter: Option<&str>,
        timezone: Option<&str>,
    ) -> Result<Self, Error> {
        let mut plain = Filter {
            project,
            statuses: statuses.map(|statuses| statuses.0),
        };
        let zone = zone(timezone)?;
        let Some(text) = filter else {
            let rest = None;
            return Ok(Self { plain, rest, zone });
        };
        let filter = Where::parse(text)?;
        let hints = filter.at(now(), zone).hints();
        let single = hints.projects.as_ref().is_none_or(|all| all.len() == 1);
        if !hints.complete || !single || hints.started_at.is_some() {
            if let (true, Some(projects)) = (single, hints.projects) {
                plain.project = plain.project.or(projects.into_iter().next());
            }
            let rest = Some(filter);
            return Ok(Self { plain, rest, zone });
        }
        if let Some(statuses) = hints.statuses {
            plain.statuses = Some(match plain.statuses {
                Some(held) => held.intersection(&statuses).cloned().collect(),
                None => statuses,
            });
        }
        if let Some(project) = hints.projects.and_then(|all| all.into_iter().next()) {
            // of another project nothing is told, not even that it does not pass
            let held = plain.project.get_or_insert_with(|| project.clone());
            if *held != project {
                plain.statuses = Some(std::collections::BTreeSet::new());
            }
        }
        let rest = None;
        Ok(Self { plain, rest, zone })
    }

    /// The query that answers it, its dates as they are at `now`; none where an order does.
    pub(in crate::api) fn query(&self, now: Millis) -> Option<Query> {
        Some(Query {
            plain: self.plain.clone(),
            bound: self.rest.as_ref()?.at(now, self.zone),
        })
    }

    /// Whether there is more to ask of a run than its project and status.
    pub(in crate::api) fn has_filter(&self) -> bool {
        self.rest.is_some()
    }

    /// A query that looks at every run even where an order would answer.
    pub(in crate::api) fn every(&self, now: Millis) -> Query {
        self.query(now).unwrap_or_else(|| self.plain.clone().into())
    }

    /// What a cursor begins with: what tells this from other questions, and the moment `now` that it
    /// is bound to, where that matters.
    pub(in crate::api) fn mark(&self, now: Millis) -> String {
        let mark = self.hash();
        match self.rest {
            None => mark,
            Some(_) => format!("{mark}@{}", now.0),
        }
    }

    /// The moment that a question is bound to whose cursor begins with `mark`, otherwise `now`; `None`
    /// if that is not the mark of this one.
    pub(in crate::api) fn moment(&self, mark: &str, now: Millis) -> Option<Millis> {
        let (hash, moment) = match mark.split_once('@') {
            Some((hash, moment)) => (hash, Some(moment)),
            None => (mark, None),
        };
        if hash != self.hash() || moment.is_some() != self.rest.is_some() {
            return None;
        }
        match moment {
            Some(digits) => digits.parse().ok().map(Millis),
            None => Some(now),
        }
    }

    /// A cursor of this question: `also` is what it says beside the runs that it is about, and `place`
    /// where to go on.
    pub(in crate::api) fn cursor(&self, also: &str, place: &str, now: Millis) -> String {
        format!("{}{also}/{place}", self.mark(now))
    }

    /// The place of a cursor, and the moment that its question is bound to.
    ///
    /// # Errors
    /// -32602 where it is of another question.
    pub(in crate::api) fn place<'a>(
        &self,
        also: &str,
        cursor: &'a str,
        now: Millis,
    ) -> Result<(&'a str, Millis), Error> {
        let read = || {
            let (mark, place) = cursor.split_once('/')?;
            Some((place, self.moment(mark.strip_suffix(also)?, now)?))
        };
        read().ok_or_else(foreign_cursor)
    }

    fn hash(&self) -> String {
        let hasher = BuildHasherDefault::<Xxh3>::default();
        let rest = self
            .rest
            .as_ref()
            .map(|filter| (filter.to_string(), self.zone.name()));
        format!("{:08x}", hasher.hash_one((&self.plain, rest)) & 0xffff_ffff)
    }
}

impl Asked {
    /// The range that every run which passes began in, as far as the filter says so.
    pub(in crate::api) fn began(&self, now: Millis) -> Option<RangeInclusive<Millis>> {
        self.query(now)?.bound.hints().started_at
    }

    /// The zone of the dates.
    pub(in crate::api) fn zone(&self) -> Tz {
        self.zone
    }
}

/// What is answered to a cursor that is not one of the question.
pub(in crate::api) fn foreign_cursor() -> Error {
    Error::params("`cursor` belongs to another query or another version; list again without it")
}

/// The moment that a query which begins now is bound to.
pub(in crate::api) fn now() -> Millis {
    Millis::from_system(SystemTime::now())
}

/// The zone called `name`; UTC if none is given.
pub(in crate::api) fn zone(name: Option<&str>) -> Result<Tz, Error> {
    let Some(name) = name else { return Ok(Tz::UTC) };
    name.parse().map_err(|_| {
        let near = nearest(name, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
        let hint = near.map_or("for example Europe/Lisbon".to_owned(), |near| {
            format!("did you mean {near}?")
        });
        let error = Error::params(format!(
            "`timezone`: expected a name of the IANA time zone database; {hint}"
        ));
        match near {
            Some(near) => error.with("nearest", near),
            None => error,
        }
    })
}

/// What `finish` makes of what `answer` takes from the runs that `query` selects, both off the
/// thread that serves, and the second while nobody waits for the index; taken back when the
/// request is.
///
/// # Errors
/// 422 query-too-expensive.
pub(super) async fn select<T: Send + 'static, U: Send + 'static>(
    context: &Context,
    query: Query,
    answer: impl FnOnce(&Index, &Selection) -> T + Send + 'static,
    finish: impl FnOnce(T) -> U + Send + 'static,
) -> Result<U, Error> {
    let wanted = Wanted::default();
    let stop = wanted.stop();
    blocking(context, move |history| {
        history.select(&query, &stop, answer).map(finish)
    })
    .await
}

/// What is taken from runs, and the state of the index that it is true at.
pub(super) struct Taken<S, T> {
    /// The values of the runs, in no order, each chunk with what `take` kept from run to run of it.
    pub(super) chunks: Vec<(S, Vec<T>)>,
    /// How many runs these are.
    pub(super) runs: usize,
    /// The state that all this is true at.
    pub(super) clock: IndexClock,
}

/// What `finish` makes of the values that `take` makes of each run that `query` selects, which may
/// keep a state from run to run; otherwise as [`select`], but the index is never held for long.
///
/// # Errors
/// 422 query-too-expensive.
pub(super) async fn take<S, T, U>(
    context: &Context,
    query: Query,
    state: S,
    take: impl Fn(&mut S, &Listed<'_>, &mut Vec<T>) + Clone + Send + Sync + 'static,
    finish: impl FnOnce(Taken<S, T>) -> U + Send + 'static,
) -> Result<U, Error>
where
    S: Clone + Send + Sync + 'static,
    T: Send + Sync + 'static,
    U: Send + 'static,
{
    let wanted = Wanted::default();
    let stop = wanted.stop();
    blocking(context, move |history| {
        let (chunks, runs, clock) = history.take_with(state, &query, &stop, take)?;
        Ok(finish(Taken {
            chunks,
            runs,
            clock,
        }))
    })
    .await
}
