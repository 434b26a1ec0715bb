//! A filter ready to be asked: what it says, prepared once, and the moments that its dates are.
//!
//! Preparing pushes every `not` down to the tests, folds what is looked for, and puts cheap tests
//! first; what is left for each run are comparisons.

use std::collections::BTreeSet;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use chrono_tz::Tz;

use super::date::Date;
use super::field::{Field, Number, Text};
use super::needle::Needle;
use super::subject::{ErrorText, RecordTests, StatusText, Subject};
use super::value::Value;
use super::{Expr, Operator, Test};
use crate::model::extract::Beyond;
use crate::model::{Millis, ProjectId, Status};

/// What a filter says of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The run passes it.
    Passes,
    /// It does not.
    Fails,
    /// That depends on what only its record says: what comes after the cut of its error, or of its
    /// steps.
    NeedsRecord,
}

/// A filter at a moment and in a zone. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bound {
    plan: Arc<Plan>,
    spans: Arc<[Bounds]>,
}

/// What every run that passes has, so that an index can begin with fewer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hints {
    /// Its status is one of these.
    pub statuses: Option<BTreeSet<Status>>,
    /// Its project is one of these.
    pub projects: Option<BTreeSet<ProjectId>>,
    /// It began in this range; empty if the end is before the start.
    pub started_at: Option<RangeInclusive<Millis>>,
    /// Whether that is all that is asked for: what has all of these passes.
    pub complete: bool,
}

/// The smallest and the largest value, both included.
type Bounds = (i64, i64);

const NOTHING: Bounds = (i64::MAX, i64::MIN);

/// A filter prepared; what depends on the time is named by number.
#[derive(Debug)]
pub struct Plan {
    root: Option<Node>,
    dates: Vec<Dated>,
    /// How many tests there are, …
    checks: usize,
    /// … that a record may have to be asked, …
    of_record: usize,
    /// … and whether any of these is of nodes.
    of_nodes: bool,
}

/// Which values a comparison with dates allows.
#[derive(Debug, Clone, Copy)]
enum Dated {
    Compare(Operator, Date),
    Between(Date, Date),
}

#[derive(Debug)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    /// The check, and whether its opposite is meant.
    Check(Check, bool),
}

/// A test, prepared.
#[derive(Debug)]
enum Check {
    /// One of the engine's statuses by bit, or another's text.
    Status(u8, Strings),
    /// There is such a number.
    Known(Number),
    /// It is between these.
    Within(Number, Bounds),
    /// It is one of these, which ascend.
    OneOf(Number, Vec<i64>),
    /// It is within any of these spans.
    During(Number, Range<usize>),
    Text(Text, Strings),
    Version(Strings),
    ErrorGroup(Strings),
    Tag(Strings),
    Pinned,
    /// Its number among the tests of records, and whether it is of the nodes of failed steps alone.
    Node(usize, bool, Strings),
    /// Its number among the tests of records.
    Error(usize, Strings),
}

/// Which texts.
#[derive(Debug)]
enum Strings {
    Every,
    Equal(Box<str>),
    /// In the order of their bytes.
    OneOf(Vec<Box<str>>),
    Containing(Box<Needle>),
}

impl Plan {
    pub fn of(expr: Option<&Expr>) -> Self {
        let (mut dates, mut of_record) = (Vec::new(), 0);
        let root = expr.map(|expr| Node::of(expr, false, &mut dates, &mut of_record));
        let (mut checks, mut of_nodes) = (0, false);
        if let Some(root) = &root {
            root.each_check(&mut |check| {
                checks += 1;
                of_nodes |= matches!(check, Check::Node(..));
            });
        }
        Self {
            root,
            dates,
            checks,
            of_record,
            of_nodes,
        }
    }
}

/// From this [cost](Node::cost) on a test is one of steps or of errors.
const COSTLY: usize = 9;

impl Node {
    fn of(expr: &Expr, negated: bool, dates: &mut Vec<Dated>, of_record: &mut usize) -> Self {
        let mut many = |members: &[Expr]| {
            let nodes = members
                .iter()
                .map(|member| Self::of(member, negated, dates, of_record));
            let mut nodes: Vec<Self> = nodes.collect();
            // stable, so that equals stay as they were written
            nodes.sort_by_key(Self::cost);
            nodes
        };
        match (expr, negated) {
            (Expr::All(members), false) | (Expr::Any(members), true) => Self::All(many(members)),
            (Expr::Any(members), false) | (Expr::All(members), true) => Self::Any(many(members)),
            (Expr::Not(inner), _) => Self::of(inner, !negated, dates, of_record),
            (Expr::Test(field, test), _) => {
                Self::Check(Check::of(*field, test, dates, of_record), negated)
            }
        }
    }

    /// What is asked first costs least; records may have to be read.
    fn cost(&self) -> usize {
        match self {
            Self::All(members) | Self::Any(members) => {
                members.iter().map(Self::cost).max().unwrap_or_default()
            }
            Self::Check(check, _) => match check {
                Check::Status(..) | Check::Pinned => 0,
                Check::Known(_) | Check::Within(..) => 1,
                Check::OneOf(..) | Check::During(..) => 2,
                Check::Text(_, strings) => 3 + strings.cost(),
                Check::Version(strings) | Check::ErrorGroup(strings) => 4 + strings.cost(),
                Check::Tag(_) => 8,
                Check::Node(..) => COSTLY,
                Check::Error(..) => COSTLY + 1,
            },
        }
    }

    /// Gives each of its checks to `each`.
    fn each_check(&self, each: &mut impl FnMut(&Check)) {
        match self {
            Self::Check(check, _) => each(check),
            Self::All(members) | Self::Any(members) => {
                members.iter().for_each(|member| member.each_check(each));
            }
        }
    }

    /// Whether it is true of `subject`; `None` if that depends on what only its record says.
    fn holds(&self, subject: &impl Subject, spans: &[Bounds]) -> Option<bool> {
        match self {
            Self::Check(check, negated) => Some(check.holds(subject, spans)? != *negated),
            Self::All(members) => decided(members, false, subject, spans),
            Self::Any(members) => decided(members, true, subject, spans),
        }
    }
}

/// `decisive` if that is what any member is, else its opposite unless one is undecided (Kleene's
/// three-valued logic).
fn decided(
    members: &[Node],
    decisive: bool,
    subject: &impl Subject,
    spans: &[Bounds],
) -> Option<bool> {
    let mut open = false;
    for member in members {
        let holds = match member {
            // nearly all are, and this can be inlined
            Node::Check(check, negated) => {
                check.holds(subject, spans).map(|holds| holds != *negated)
            }
            group => group.holds(subject, spans),
        };
        match holds {
            None => open = true,
            Some(holds) if holds == decisive => return Some(decisive),
            Some(_) => {}
        }
    }
    (!open).then_some(!decisive)
}

impl Check {
    fn of(field: Field, test: &Test, dates: &mut Vec<Dated>, of_record: &mut usize) -> Self {
        let mut number = || {
            *of_record += 1;
            *of_record - 1
        };
        match field {
            Field::Status => {
                let strings = Strings::of(test);
                let bits = Status::KNOWN.iter().enumerate();
                let bits = bits
                    .filter(|(_, status)| strings.hold(status.as_str()))
                    .fold(0, |bits, (at, _)| bits | 1 << at);
                Self::Status(bits, strings)
            }
            Field::Error => Self::Error(number(), Strings::of(test)),
            Field::Version => Self::Version(Strings::of(test)),
            Field::ErrorGroup => Self::ErrorGroup(Strings::of(test)),
            Field::Node => Self::Node(number(), false, Strings::of(test)),
            Field::FailedNode => Self::Node(number(), true, Strings::of(test)),
            Field::Tag => Self::Tag(Strings::of(test)),
            Field::Text(text) => Self::Text(text, Strings::of(test)),
            Field::Number(number) => Self::of_number(number, test, dates),
            Field::Pinned => Self::Pinned,
            Field::Stale => {
                let already = Test::Compare(Operator::AtMost, Value::Date(Date::Now));
                Self::of_number(Number::StaleAt, &already, dates)
            }
        }
    }

    fn of_number(number: Number, test: &Test, dates: &mut Vec<Dated>) -> Self {
        let from = dates.len();
        match test {
            Test::Present => return Self::Known(number),
            Test::Compare(operator, Value::Number(value)) => {
                return Self::Within(number, operator.bounds((*value, *value)));
            }
            Test::Between(Value::Number(low), Value::Number(high)) => {
                return Self::Within(number, (*low, *high));
            }
            Test::Compare(operator, Value::Date(date)) => {
                dates.push(Dated::Compare(*operator, *date));
            }
            Test::Between(Value::Date(low), Value::Date(high)) => {
                dates.push(Dated::Between(*low, *high));
            }
            Test::In(values) => {
                let mut numbers = Vec::new();
                for value in values {
                    match value {
                        Value::Number(value) => numbers.push(*value),
                        Value::Date(date) => dates.push(Dated::Compare(Operator::Equal, *date)),
                        Value::Text(_) => {}
                    }
                }
                if dates.len() == from {
                    numbers.sort_unstable();
                    return Self::OneOf(number, numbers);
                }
            }
            // the parser makes no other tests of numbers
            Test::Compare(..) | Test::Between(..) | Test::Contains(_) => {}
        }
        Self::During(number, from..dates.len())
    }

    #[inline]
    fn holds(&self, subject: &impl Subject, spans: &[Bounds]) -> Option<bool> {
        Some(match self {
            Self::Status(bits, others) => match subject.status() {
                StatusText::Unknown => false,
                StatusText::Known(at) => bits >> at & 1 == 1,
                StatusText::Other(text) => others.hold(text),
            },
            Self::Known(which) => subject.number(*which).is_some(),
            Self::Within(which, bounds) => subject
                .number(*which)
                .is_some_and(|value| within(value, *bounds)),
            Self::OneOf(which, values) => subject
                .number(*which)
                .is_some_and(|value| values.binary_search(&value).is_ok()),
            Self::During(which, range) => {
                let spans = spans.get(range.clone()).unwrap_or_default();
                subject
                    .number(*which)
                    .is_some_and(|value| spans.iter().any(|span| within(value, *span)))
            }
            Self::Text(which, strings) => {
                subject.text(*which).is_some_and(|text| strings.hold(text))
            }
            Self::Version(strings) => {
                let digits = subject.version().digits();
                std::str::from_utf8(&digits).is_ok_and(|text| strings.hold(text))
            }
            Self::ErrorGroup(strings) => subject.error_group().is_some_and(|group| {
                let digits = group.digits();
                std::str::from_utf8(&digits).is_ok_and(|text| strings.hold(text))
            }),
            Self::Tag(strings) => subject.any_tag(|tag| strings.hold(tag)),
            Self::Pinned => subject.pinned(),
            Self::Node(at, ..) | Self::Error(at, _) if let Some(tests) = subject.asked() => {
                tests.0.get(*at) == Some(&true)
            }
            Self::Node(_, failed, strings) => {
                return subject.any_node(*failed, |node| strings.hold(node));
            }
            Self::Error(_, strings) => match subject.error() {
                ErrorText::None => false,
                ErrorText::Whole(text) => strings.hold(text),
                ErrorText::Cut(beginning) => return strings.hold_of_longer(beginning),
            },
        })
    }
}

/// Without a branch, which could not be foreseen.
#[inline]
fn within(value: i64, (low, high): Bounds) -> bool {
    (low <= value) & (value <= high)
}

impl Strings {
    fn of(test: &Test) -> Self {
        match test {
            Test::Contains(text) => Self::Containing(Box::new(Needle::new(text))),
            Test::Compare(_, Value::Text(text)) => Self::Equal(text.clone()),
            Test::In(values) => {
                let mut texts: Vec<Box<str>> = values
                    .iter()
                    .filter_map(|value| match value {
                        Value::Text(text) => Some(text.clone()),
                        _ => None,
                    })
                    .collect();
                texts.sort_unstable();
                Self::OneOf(texts)
            }
            // the parser makes no other tests of texts
            Test::Present | Test::Compare(..) | Test::Between(..) => Self::Every,
        }
    }

    #[inline]
    fn hold(&self, text: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Equal(wanted) => **wanted == *text,
            Self::OneOf(all) => all.binary_search_by(|one| (**one).cmp(text)).is_ok(),
            Self::Containing(needle) => needle.is_in(text),
        }
    }

    /// Whether it holds of a text that begins so and is longer; `None` if that depends on the rest.
    fn hold_of_longer(&self, beginning: &str) -> Option<bool> {
        let begins = |whole: &str| whole.len() > beginning.len() && whole.starts_with(beginning);
        let possible = match self {
            Self::Every => return Some(true),
            Self::Containing(needle) if needle.is_in(beginning) => return Some(true),
            Self::Containing(_) => true,
            Self::Equal(wanted) => begins(wanted),
            Self::OneOf(all) => all.iter().any(|one| begins(one)),
        };
        if possible { None } else { Some(false) }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Every => 0,
            Self::Equal(_) => 1,
            Self::OneOf(_) => 2,
            Self::Containing(_) => 3,
        }
    }

    /// The texts if they are told one by one.
    fn listed(&self) -> Option<&[Box<str>]> {
        match self {
            Self::Equal(one) => Some(std::slice::from_ref(one)),
            Self::OneOf(all) => Some(all),
            Self::Every | Self::Containing(_) => None,
        }
    }
}

impl Operator {
    /// The values that compare so with a value that reaches from the first to the last.
    fn bounds(self, (first, last): Bounds) -> Bounds {
        match self {
            Self::Equal => (first, last),
            Self::AtLeast => (first, i64::MAX),
            Self::AtMost => (i64::MIN, last),
            Self::Less => first.checked_sub(1).map_or(NOTHING, |end| (i64::MIN, end)),
            Self::Greater => last
                .checked_add(1)
                .map_or(NOTHING, |start| (start, i64::MAX)),
        }
    }
}

impl Bound {
    pub(super) fn new(plan: &Arc<Plan>, now: Millis, zone: Tz) -> Self {
        let span = |dated: &Dated| match dated {
            Dated::Compare(operator, date) => operator.bounds(date.span(now, zone)),
            Dated::Between(low, high) => (low.span(now, zone).0, high.span(now, zone).1),
        };
        Self {
            plan: Arc::clone(plan),
            spans: plan.dates.iter().map(span).collect(),
        }
    }

    /// Whether `subject` passes. Where what is kept of a record does not decide, ask again with
    /// [`WithRecord`](super::WithRecord), which is never undecided.
    #[must_use]
    pub fn matches(&self, subject: &impl Subject) -> Verdict {
        let root = self.plan.root.as_ref();
        match root.map_or(Some(true), |root| root.holds(subject, &self.spans)) {
            Some(true) => Verdict::Passes,
            Some(false) => Verdict::Fails,
            None => Verdict::NeedsRecord,
        }
    }

    /// Begins to ask a record what it alone may say.
    #[must_use]
    pub fn asking(&self) -> Asking<'_> {
        Asking {
            plan: &self.plan,
            tests: RecordTests(vec![false; self.plan.of_record]),
        }
    }

    /// How many tests there are.
    #[must_use]
    pub fn checks(&self) -> usize {
        self.plan.checks
    }

    /// How many of them cost much: those of nodes and of errors.
    #[must_use]
    pub fn costly(&self) -> usize {
        self.plan.of_record
    }

    /// Whether any of them is of nodes.
    #[must_use]
    pub fn asks_nodes(&self) -> bool {
        self.plan.of_nodes
    }

    /// All of these must hold; those that cost least come first.
    fn tests(&self) -> &[Node] {
        match &self.plan.root {
            None => &[],
            Some(Node::All(members)) => members.as_slice(),
            Some(one) => std::slice::from_ref(one),
        }
    }

    /// The same, up to those that cost much, and these.
    fn halves(&self) -> (&[Node], &[Node]) {
        let tests = self.tests();
        let costly = tests.partition_point(|test| test.cost() < COSTLY);
        tests.split_at_checked(costly).unwrap_or((tests, &[]))
    }

    /// Leaves in `many` what passes, and what is undecided, each with whether it is, as far as that costs
    /// little; [`Bound::sift_costly`] does the rest. Quicker than one by one: each test is asked of all
    /// that are left before the next, so that what it does and where it looks can be foreseen.
    pub fn sift(&self, many: &mut Vec<(impl Subject, bool)>) {
        self.sift_by(self.halves().0, many);
    }

    /// As [`Bound::sift`], for what costs much, of what that left.
    pub fn sift_costly(&self, many: &mut Vec<(impl Subject, bool)>) {
        self.sift_by(self.halves().1, many);
    }

    fn sift_by(&self, tests: &[Node], many: &mut Vec<(impl Subject, bool)>) {
        for test in tests {
            if let Node::Check(Check::Error(..), _) = test {
                // these lie far apart: so memory is waited for once, not for one after the other
                let errors = many.iter().map(|(one, _)| one.error_bytes());
                let errors: Vec<&[u8]> = errors.filter(|error| !error.is_empty()).collect();
                let ends = errors
                    .iter()
                    .flat_map(|error| [error.first(), error.last()]);
                std::hint::black_box(ends.flatten().fold(0, |all, byte| all ^ byte));
            }
            many.retain_mut(|(one, open)| {
                let holds = match test {
                    // nearly all are, and this can be inlined
                    Node::Check(check, negated) => {
                        let holds = check.holds(one, &self.spans);
                        holds.map(|holds| holds != *negated)
                    }
                    group => group.holds(one, &self.spans),
                };
                *open |= holds.is_none();
                holds != Some(false)
            });
        }
    }

    /// What every run that passes has.
    #[must_use]
    pub fn hints(&self) -> Hints {
        let mut hints = Hints {
            complete: true,
            ..Hints::default()
        };
        for test in self.tests() {
            if self.hint(test, &mut hints).is_none() {
                hints.complete = false;
            }
        }
        hints
    }

    /// Adds what `test` says; `None` if that is not all of it.
    fn hint(&self, test: &Node, hints: &mut Hints) -> Option<()> {
        let Node::Check(check, false) = test else {
            return None;
        };
        match check {
            Check::Status(_, strings) => {
                let texts = strings.listed()?.iter();
                let own = texts.map(|text| Status::from_text(text)).collect();
                narrow(&mut hints.statuses, own);
            }
            Check::Text(Text::Project, strings) => {
                let texts = strings.listed()?.iter();
                // what is no id is no project's
                let own = texts.filter_map(|text| ProjectId::parse(text).ok());
                narrow(&mut hints.projects, own.collect());
            }
            Check::Within(Number::StartedAt, _) | Check::During(Number::StartedAt, _) => {
                hints.started(self.started(check)?);
                // of several spans, what lies between them is none
                if matches!(check, Check::During(_, range) if range.len() > 1) {
                    return None;
                }
            }
            _ => return None,
        }
        Some(())
    }

    /// The range that all starts lie in which `check` allows, if it is about them.
    fn started(&self, check: &Check) -> Option<Bounds> {
        match check {
            Check::Within(Number::StartedAt, bounds) => Some(*bounds),
            Check::During(Number::StartedAt, range) => {
                let spans = self.spans.get(range.clone())?.iter().copied();
                spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))
            }
            _ => None,
        }
    }
}

impl Hints {
    fn started(&mut self, (low, high): Bounds) {
        let (low, high) = (Millis(low), Millis(high));
        self.started_at = Some(match self.started_at.take() {
            Some(range) => low.max(*range.start())..=high.min(*range.end()),
            None => low..=high,
        });
    }
}

/// A record being asked what it alone may say, as it is read; what it says before its end is nothing to
/// go by. Costs the length of its error for each test of errors, and as much for each of nodes.
#[derive(Debug)]
pub struct Asking<'p> {
    plan: &'p Plan,
    tests: RecordTests,
}

impl Asking<'_> {
    /// What its tests say.
    #[must_use]
    pub fn tests(self) -> RecordTests {
        self.tests
    }

    /// Sets each test of which `holds` says anything.
    fn set(&mut self, holds: impl Fn(&Check) -> Option<(usize, bool)>) {
        let tests = &mut self.tests.0;
        let mut set = |check: &Check| {
            if let Some((at, holds)) = holds(check)
                && let Some(test) = tests.get_mut(at)
            {
                *test = holds;
            }
        };
        if let Some(root) = &self.plan.root {
            root.each_check(&mut set);
        }
    }
}

impl Beyond for Asking<'_> {
    fn error(&mut self, error: Option<&str>) {
        self.set(|check| match check {
            Check::Error(at, strings) => Some((*at, error.is_some_and(|text| strings.hold(text)))),
            _ => None,
        });
    }

    fn steps(&mut self) {
        self.set(|check| match check {
            Check::Node(at, ..) => Some((*at, false)),
            _ => None,
        });
    }

    fn step(&mut self, node: &str, failed: bool) {
        self.set(|check| match check {
            Check::Node(at, only_failed, strings) if failed || !only_failed => {
                strings.hold(node).then_some((*at, true))
            }
            _ => None,
        });
    }
}

/// What is in both sets.
fn narrow<T: Ord + Clone>(set: &mut Option<BTreeSet<T>>, own: BTreeSet<T>) {
    *set = Some(match set.take() {
        Some(known) => known.intersection(&own).cloned().collect(),
        None => own,
    });
}
