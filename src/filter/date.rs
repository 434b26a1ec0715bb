//! Dates as a filter names them, and which moments they are once it is known when it is asked.
//!
//! A date with a time is a moment. A date without one, `today`, `yesterday` and the weekdays are
//! days: from the first moment that has that date in the query's zone to the last before the next
//! one's, which are 23 or 25 hours where clocks change.

use std::fmt;
use std::ops::RangeInclusive;

use chrono::{DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, TimeZone, Weekday};
use chrono_tz::Tz;

use crate::model::Millis;

/// A date, as written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Date {
    /// A moment of any zone.
    Moment(Millis),
    /// What a clock in the query's zone shows, as if that were UTC. A time that the clocks leave
    /// out is the moment when they do; one that they show twice is the first.
    Clock(Millis),
    /// A day in the query's zone.
    Day(NaiveDate),
    /// So many milliseconds, whole seconds, from when the query is asked. Days are of 24 hours. Before
    /// the first moment that can be written it is that one, and behind the last one the last.
    FromNow(i64),
    /// When the query is asked.
    Now,
    /// The day when it is asked.
    Today,
    /// The day before.
    Yesterday,
    /// The latest such day, today included.
    Weekday(Weekday),
}

/// The days of the week, as they are spelt.
const WEEKDAYS: [(&str, Weekday); 7] = [
    ("monday", Weekday::Mon),
    ("tuesday", Weekday::Tue),
    ("wednesday", Weekday::Wed),
    ("thursday", Weekday::Thu),
    ("friday", Weekday::Fri),
    ("saturday", Weekday::Sat),
    ("sunday", Weekday::Sun),
];

/// The words that are dates.
pub fn words() -> impl Iterator<Item = (&'static str, Date)> {
    let near = [
        ("now", Date::Now),
        ("today", Date::Today),
        ("yesterday", Date::Yesterday),
    ];
    let days = WEEKDAYS.into_iter();
    near.into_iter()
        .chain(days.map(|(word, day)| (word, Date::Weekday(day))))
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
pub(super) const HOUR: i64 = 60 * MINUTE;
pub(super) const DAY: i64 = 24 * HOUR;

/// The units of spans from now, the longest first; weeks are read and printed as days.
const UNITS: [(&str, i64); 4] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)];

/// A year more before and behind those that can be written: the spans of any zone that a moment of these lies in.
pub(super) const SHOWN: RangeInclusive<i64> =
    *Millis::WRITTEN.start() - 366 * DAY..=*Millis::WRITTEN.end() + 366 * DAY;

impl Date {
    /// The date spelt `text`.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        if let Some((_, date)) = words().find(|(word, _)| word.eq_ignore_ascii_case(text)) {
            return Some(date);
        }
        if text.starts_with(['+', '-']) {
            return from_now(text);
        }
        let (date, time) = (text.get(..10)?, text.get(10..)?);
        let [year, month, day] = digits(date, &[4, 2, 2], b"--")?;
        let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
        if time.is_empty() {
            return Some(Self::Day(date));
        }
        let time = time.strip_prefix(['T', 't', ' '])?;
        let (clock, zone) = match time.find(['Z', 'z', '+', '-']) {
            Some(at) => time.split_at(at),
            None => (time, ""),
        };
        let shown = Millis(
            date.and_hms_opt(0, 0, 0)?
                .and_utc()
                .timestamp_millis()
                .checked_add(time_of_day(clock)?)?,
        );
        let moment = match zone {
            "" => return Some(Self::Clock(shown)),
            "Z" | "z" => shown.0,
            _ => shown.0 - offset(zone)?,
        };
        Millis::WRITTEN
            .contains(&moment)
            .then_some(Self::Moment(Millis(moment)))
    }

    /// The first and the last millisecond that have this date when it is asked for at `now` in
    /// `zone`; the last is before the first for a day that the zone leaves out.
    #[must_use]
    pub fn span(self, now: Millis, zone: Tz) -> (i64, i64) {
        let at = |moment: i64| (moment, moment);
        let today = || local(now, zone).date();
        match self {
            Self::Moment(moment) => at(moment.0),
            Self::Clock(shown) => at(first_showing(naive(shown), zone)),
            Self::FromNow(span) => {
                let moment = now.0.saturating_add(span);
                at(moment.clamp(*Millis::WRITTEN.start(), *Millis::WRITTEN.end()))
            }
            Self::Now => at(now.0),
            Self::Day(day) => day_of(day, zone),
            Self::Today => day_of(today(), zone),
            Self::Yesterday => day_of(before(today(), 1), zone),
            Self::Weekday(wanted) => {
                let today = today();
                let since = today.weekday().days_since(wanted);
                day_of(before(today, since), zone)
            }
        }
    }
}

/// The first moment of the date spelt `text`, as filters spell dates, asked for at `now` in `zone`.
#[must_use]
pub fn moment(text: &str, now: Millis, zone: Tz) -> Option<Millis> {
    Some(Millis(Date::read(text)?.span(now, zone).0))
}

/// `-7d` and the like.
fn from_now(text: &str) -> Option<Date> {
    let (sign, rest) = text.split_at_checked(1)?;
    let (number, unit) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    let number: i64 = number.parse().ok()?;
    let unit = match unit {
        "w" => 7 * DAY,
        _ => UNITS.iter().find(|(name, _)| *name == unit)?.1,
    };
    let span = number.checked_mul(unit)?;
    Some(match (span, sign) {
        (0, _) => Date::Now,
        (span, "-") => Date::FromNow(-span),
        (span, _) => Date::FromNow(span),
    })
}

/// Numbers of so many digits each, with the separators between them and nothing else.
fn digits<const N: usize>(text: &str, lengths: &[usize; N], between: &[u8]) -> Option<[u32; N]> {
    let mut rest = text;
    let mut numbers = [0; N];
    for (at, (number, length)) in numbers.iter_mut().zip(lengths).enumerate() {
        if at > 0 {
            rest = rest.strip_prefix(char::from(*between.get(at - 1)?))?;
        }
        let (own, others) = rest.split_at_checked(*length)?;
        if !own.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = own.parse().ok()?;
        rest = others;
    }
    rest.is_empty().then_some(numbers)
}

/// `07:00`, `07:00:05` or `07:00:05.5`, in milliseconds; finer digits are cut.
fn time_of_day(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) if whole.len() == 8 => (whole, fraction),
        Some(_) => return None,
        None => (text, "0"),
    };
    let [hours, minutes, seconds] = match whole.len() {
        5 => {
            let [hours, minutes] = digits(whole, &[2, 2], b":")?;
            [hours, minutes, 0]
        }
        _ => digits(whole, &[2, 2, 2], b"::")?,
    };
    if hours > 23 || minutes > 59 || seconds > 59 || fraction.is_empty() {
        return None;
    }
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut millis = 0;
    let padded = fraction.bytes().chain([b'0'; 2]);
    for digit in padded.take(3) {
        millis = millis * 10 + i64::from(digit - b'0');
    }
    let (hours, minutes, seconds) = (i64::from(hours), i64::from(minutes), i64::from(seconds));
    Some(hours * HOUR + minutes * MINUTE + seconds * SECOND + millis)
}

/// `+02:00`, in milliseconds.
fn offset(text: &str) -> Option<i64> {
    let (sign, rest) = text.split_at_checked(1)?;
    let sign = match sign {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let [hours, minutes] = digits(rest, &[2, 2], b":")?;
    if hours > 23 || minutes > 59 {
        return None;
    }
    Some(sign * (i64::from(hours) * HOUR + i64::from(minutes) * MINUTE))
}

/// What a clock in `zone` shows at `moment`.
pub(super) fn local(moment: Millis, zone: Tz) -> NaiveDateTime {
    zone.from_utc_datetime(&naive(moment)).naive_local()
}

/// The date and time that UTC has at `moment`.
pub(super) fn naive(moment: Millis) -> NaiveDateTime {
    let shown = moment.0.clamp(*SHOWN.start(), *SHOWN.end());
    DateTime::from_timestamp_millis(shown)
        .unwrap_or_default()
        .naive_utc()
}

fn before(day: NaiveDate, days: u32) -> NaiveDate {
    day.checked_sub_days(Days::new(days.into())).unwrap_or(day)
}

fn day_of(day: NaiveDate, zone: Tz) -> (i64, i64) {
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    (day_start(day, zone), day_start(next, zone) - 1)
}

/// The first moment of `day` in `zone`, in milliseconds since the Unix epoch: midnight, or the
/// moment when clocks are put forward over it.
#[must_use]
pub(super) fn day_start(day: NaiveDate, zone: Tz) -> i64 {
    first_showing(day.and_time(chrono::NaiveTime::MIN), zone)
}

/// The first moment when clocks in `zone` show `wanted` or, where they leave it out, later.
fn first_showing(wanted: NaiveDateTime, zone: Tz) -> i64 {
    match zone.from_local_datetime(&wanted) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.timestamp_millis(),
        LocalResult::None => {
            // clocks go forward once near a gap, and are never more than 15 hours from UTC
            let near = wanted.and_utc().timestamp();
            let (mut early, mut late) = (near - 15 * 3600, near + 15 * 3600);
            while late - early > 1 {
                let middle = early + (late - early) / 2;
                if local(Millis(middle * SECOND), zone) < wanted {
                    early = middle;
                } else {
                    late = middle;
                }
            }
            late * SECOND
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Moment(moment) => write!(f, "{}Z", shortest(moment)),
            Self::Clock(shown) => f.write_str(&shortest(shown)),
            Self::Day(day) => write!(f, "{}", day.format("%Y-%m-%d")),
            Self::FromNow(span) => {
                let (unit, millis) = UNITS
                    .into_iter()
                    .find(|(_, millis)| span % millis == 0)
                    .unwrap_or(("s", SECOND));
                write!(f, "{:+}{unit}", span / millis)
            }
            date => {
                let mut all = words();
                let word = all.find(|(_, known)| *known == date);
                f.write_str(word.map_or("now", |(word, _)| word))
            }
        }
    }
}

/// Without the seconds and milliseconds that are zero.
fn shortest(at: Millis) -> String {
    let mut text = at.to_string();
    let length = match at.0.rem_euclid(MINUTE) {
        0 => 16,
        rest if rest % SECOND == 0 => 19,
        _ => 23,
    };
    text.truncate(length);
    text
}
