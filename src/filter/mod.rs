//! The language of `where`: which runs a question is about.
//!
//! List, count, search, statistics and every later method that is about many runs take the same
//! filter; here alone it is read, printed, completed and evaluated. It is evaluated on whatever
//! implements [`Subject`], so that this room knows neither rows nor files.
//!
//! **Cost**: reading costs the text's length; evaluation asks each test of a run once at most, and a
//! `~` costs the length of what it looks into.
//!
//! **Time** is symbolic in a [`Where`] and fixed by [`Where::at`], which costs as much as there are
//! dates: a query does it once, a subscription at each change.
//!
//! # The language
//!
#![doc = include_str!("language.md")]

mod bound;
mod bucket;
mod check;
mod date;
mod field;
mod needle;
mod parse;
mod print;
mod subject;
#[cfg(test)]
mod tests;
mod token;
mod value;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use chrono_tz::Tz;

pub use bound::{Bound, Hints, Verdict};
pub use bucket::{Spans, Unit};
pub use check::{Check, Completion, CompletionKind, check};
pub use date::moment;
pub use field::{Field, Kind, Named, Number, Text, known};
pub use parse::FilterError;
pub use subject::{ErrorText, RecordTests, StatusText, Subject, WithRecord};

use crate::model::Millis;
use bound::Plan;
use value::Value;

/// The language, described for those who write it, in Markdown.
pub const LANGUAGE: &str = include_str!("language.md");
/// The longest text of a filter, and the longest canonical text, in bytes of UTF-8.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// How many parentheses may be open at once, those of lists aside.
pub const NESTING_MAX: usize = 64;
/// How many tests a filter may have.
pub const TESTS_MAX: usize = 256;
/// How many values a list may have.
pub const LIST_MAX: usize = 1000;

/// A filter, dates being still as they were written. What it prints is its canonical text; two are
/// equal if those are.
#[derive(Clone)]
pub struct Where {
    expr: Option<Expr>,
    plan: Arc<Plan>,
}

/// What a filter says. In normal form: no `All` directly in an `All`, no `Any` directly in an
/// `Any`, neither with fewer than two members, no `Not` directly in a `Not`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Expr {
    /// Everything is true.
    All(Vec<Expr>),
    /// Something is true.
    Any(Vec<Expr>),
    /// It is false.
    Not(Box<Expr>),
    /// One test of a field.
    Test(Field, Test),
}

/// A test of a field's value; false where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Test {
    /// There is a value; of a flag, that it is true.
    Present,
    /// How it compares.
    Compare(Operator, Value),
    /// It is one of these, at least one.
    In(Vec<Value>),
    /// It is neither below the first nor above the second.
    Between(Value, Value),
    /// It contains this text, capital letters or not.
    Contains(Box<str>),
}

/// How two values compare. What is not here is the opposite of one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Operator {
    /// `=`
    Equal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

impl Expr {
    /// The opposite, in normal form.
    fn negated(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    fn all(members: Vec<Self>) -> Self {
        let flat = members.into_iter().flat_map(|member| match member {
            Self::All(inner) => inner,
            other => vec![other],
        });
        Self::only_or(flat.collect(), Self::All)
    }

    fn any(members: Vec<Self>) -> Self {
        let flat = members.into_iter().flat_map(|member| match member {
            Self::Any(inner) => inner,
            other => vec![other],
        });
        Self::only_or(flat.collect(), Self::Any)
    }

    fn only_or(mut members: Vec<Self>, many: fn(Vec<Self>) -> Self) -> Self {
        match members.pop() {
            Some(only) if members.is_empty() => only,
            last => {
                members.extend(last);
                many(members)
            }
        }
    }
}

impl Where {
    /// Reads `text`; nothing but blanks is the filter that every run passes.
    ///
    /// # Errors
    /// [`FilterError`] with the place and what would be right there.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        let read = Self::of(parse::parse(text)?);
        // what it prints is to be read again
        let canonical = read.to_string();
        if canonical.len() > TEXT_BYTES_MAX {
            return Err(FilterError::too_long(text));
        }
        Ok(read)
    }

    fn of(expr: Option<Expr>) -> Self {
        let plan = Arc::new(Plan::of(expr.as_ref()));
        Self { expr, plan }
    }

    /// The filter as it is when it is asked at `now` by somebody in `zone`.
    #[must_use]
    pub fn at(&self, now: Millis, zone: Tz) -> Bound {
        Bound::new(&self.plan, now, zone)
    }
}

impl Default for Where {
    /// Every run passes it.
    fn default() -> Self {
        Self::of(None)
    }
}

impl FromStr for Where {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        Self::parse(text)
    }
}

impl fmt::Debug for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Where").field(&self.expr).finish()
    }
}

impl PartialEq for Where {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl Eq for Where {}

impl Hash for Where {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expr.hash(state);
    }
}
