//! Spans of the calendar: the hours, days, weeks and months of a zone.
//!
//! The spans of a unit follow each other without a gap, whatever clocks do: a day has 23 or 25
//! hours where they change, an hour that clocks show twice is two, and one that they leave half
//! way ends there. Weeks begin on Monday.

use chrono::{Datelike, Days, Months, NaiveDate, Offset, TimeZone};
use chrono_tz::Tz;
use hashbrown::HashMap;

use super::date::{DAY, HOUR, SHOWN, day_start, local, naive};
use crate::model::Millis;

/// How long a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unit {
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first day of a month to its last.
    Month,
}

impl Unit {
    /// The span that `at` lies in: its first moment, and the first after it.
    #[must_use]
    pub fn around(self, at: Millis, zone: Tz) -> (Millis, Millis) {
        let (start, end) = match self {
            Self::Hour => hour(at.0, zone),
            _ => self.days(at, zone),
        };
        (Millis(start), Millis(end))
    }

    fn days(self, at: Millis, zone: Tz) -> (i64, i64) {
        let mut first = self.first(local(at, zone).date());
        let mut span = (day_start(first, zone), day_start(self.after(first), zone));
        // clocks that are put back over midnight show a day's end again after the next has begun
        if at.0 >= span.1 {
            first = self.after(first);
            span = (span.1, day_start(self.after(first), zone));
        }
        span
    }

    /// The first day of the span that `day` lies in.
    fn first(self, day: NaiveDate) -> NaiveDate {
        let back = match self {
            Self::Hour | Self::Day => 0,
            Self::Week => day.weekday().num_days_from_monday(),
            Self::Month => day.day0(),
        };
        day.checked_sub_days(Days::new(back.into())).unwrap_or(day)
    }

    /// The first day after the span that begins with `first`.
    fn after(self, first: NaiveDate) -> NaiveDate {
        let next = match self {
            Self::Hour | Self::Day => first.checked_add_days(Days::new(1)),
            Self::Week => first.checked_add_days(Days::new(7)),
            Self::Month => first.checked_add_months(Months::new(1)),
        };
        next.unwrap_or(first)
    }
}

/// The spans that moments lie in, each with a number. What the calendar says of a day is asked once,
/// however many moments of it are looked up.
#[derive(Debug, Clone)]
pub struct Spans {
    unit: Unit,
    zone: Tz,
    /// By number.
    spans: Vec<(Millis, Millis)>,
    /// By their starts.
    numbers: HashMap<i64, u32>,
    /// The spans that touch a day of UTC: where in `within`, and how many.
    days: HashMap<i64, (usize, usize)>,
    /// Spans in the order of their starts, which stand before their numbers; day by day.
    within: Vec<(i64, u32)>,
}

impl Spans {
    /// Of this length, in this zone.
    #[must_use]
    pub fn of(unit: Unit, zone: Tz) -> Self {
        Self {
            unit,
            zone,
            spans: Vec::new(),
            numbers: HashMap::new(),
            days: HashMap::new(),
            within: Vec::new(),
        }
    }

    /// The number of the span that `at` lies in. Numbers count up from 0 as spans are met. What lies
    /// more than a year before or behind all that can be written counts as if it lay there.
    pub fn number(&mut self, at: Millis) -> u32 {
        let at = Millis(at.0.clamp(*SHOWN.start() + DAY, *SHOWN.end() - DAY));
        let day = at.0.div_euclid(DAY);
        let (from, count) = match self.days.get(&day) {
            Some(held) => *held,
            None => self.meet(day),
        };
        let spans = self.within.get(from..from + count).unwrap_or_default();
        let behind = spans.partition_point(|(start, _)| *start <= at.0);
        let span = behind.checked_sub(1).and_then(|last| spans.get(last));
        span.map_or(0, |(_, number)| *number)
    }

    fn meet(&mut self, day: i64) -> (usize, usize) {
        let from = self.within.len();
        let (mut at, end) = (day * DAY, (day + 1) * DAY);
        while at < end {
            let span = self.unit.around(Millis(at), self.zone);
            let fresh = u32::try_from(self.spans.len()).unwrap_or(u32::MAX);
            let number = *self.numbers.entry(span.0.0).or_insert(fresh);
            if number == fresh {
                self.spans.push(span);
            }
            self.within.push((span.0.0, number));
            if span.1.0 <= at {
                // one that does not go forward would be met for ever
                break;
            }
            at = span.1.0;
        }
        let met = (from, self.within.len() - from);
        self.days.insert(day, met);
        met
    }

    /// The first moment of a span, and the first after it.
    #[must_use]
    pub fn span(&self, number: u32) -> Option<(Millis, Millis)> {
        self.spans.get(number as usize).copied()
    }

    /// How many spans have been met.
    #[must_use]
    pub fn count(&self) -> usize {
        self.spans.len()
    }
}

/// Milliseconds that clocks in `zone` are ahead of UTC.
fn ahead(at: i64, zone: Tz) -> i64 {
    let offset = zone.offset_from_utc_datetime(&naive(Millis(at)));
    i64::from(offset.fix().local_minus_utc()) * 1_000
}

fn hour(at: i64, zone: Tz) -> (i64, i64) {
    let here = ahead(at, zone);
    let into = (at.saturating_add(here)).rem_euclid(HOUR);
    let (start, end) = (at - into, at - into + HOUR);
    // the first moment of (from, to] that clocks show as they do at `to`
    let change = |mut from: i64, mut to: i64| {
        let shown = ahead(to, zone);
        while to - from > 1 {
            let middle = from + (to - from) / 2;
            if ahead(middle, zone) == shown {
                to = middle;
            } else {
                from = middle;
            }
        }
        to
    };
    let start = if ahead(start, zone) == here {
        start
    } else {
        change(start, at)
    };
    let end = if ahead(end - 1, zone) == here {
        end
    } else {
        change(at, end - 1)
    };
    (start, end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Millis {
        Millis::parse_rfc3339(text).unwrap()
    }

    fn hours(unit: Unit, moment: &str, zone: &str) -> i64 {
        let (start, end) = unit.around(at(moment), zone.parse().unwrap());
        (end.0 - start.0) / HOUR
    }

    #[test]
    fn days_are_as_long_as_clocks_make_them() {
        assert_eq!(
            hours(Unit::Day, "2026-03-29T12:00:00Z", "Europe/Berlin"),
            23
        );
        assert_eq!(
            hours(Unit::Day, "2026-10-25T12:00:00Z", "Europe/Berlin"),
            25
        );
        assert_eq!(hours(Unit::Day, "2026-10-25T12:00:00Z", "UTC"), 24);
        assert_eq!(
            hours(Unit::Week, "2026-10-25T12:00:00Z", "Europe/Berlin"),
            169
        );
        assert_eq!(
            hours(Unit::Month, "2026-02-10T12:00:00Z", "Asia/Tokyo"),
            28 * 24
        );
        let (start, _) = Unit::Week.around(at("2026-11-25T12:00:00Z"), Tz::UTC);
        assert_eq!(start, at("2026-11-23T00:00:00Z"));
        // clocks show this hour twice
        let berlin = "Europe/Berlin".parse().unwrap();
        let (first, end) = Unit::Hour.around(at("2026-10-25T00:30:00Z"), berlin);
        let (second, _) = Unit::Hour.around(at("2026-10-25T01:30:00Z"), berlin);
        assert_eq!((end, second.0 - first.0), (second, HOUR));
    }

    #[test]
    fn dates_beyond_all_time_have_a_span() {
        use super::super::date::Date;
        let now = at("2026-11-28T12:34:56.789Z");
        let dates = [
            "-3000000d",
            "+3000000d",
            "-800000d",
            "+2912400d",
            "-106751991167d",
            "+106751991167d",
            "0000-01-01",
            "0000-01-01T00:00:00Z",
            "9999-12-31",
            "9999-12-31T23:59:59.999Z",
            "9999-12-31T23:59:59.999",
            "0000-01-01T00:00",
        ];
        for zone in ["UTC", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo"] {
            let zone: Tz = zone.parse().unwrap();
            for unit in [Unit::Hour, Unit::Day, Unit::Week, Unit::Month] {
                let mut spans = Spans::of(unit, zone);
                let begun = spans.number(now);
                for date in dates {
                    let (first, last) = Date::read(date).unwrap().span(now, zone);
                    // and what is just before and behind, as comparisons have it
                    for moment in [first - 1, first, last, last + 1] {
                        let number = spans.number(Millis(moment));
                        assert_ne!(number, begun, "{date}");
                        let (start, end) = spans.span(number).unwrap();
                        assert!(
                            start.0 <= moment && moment < end.0,
                            "{date} {zone} {unit:?}"
                        );
                    }
                }
                for moment in [i64::MIN, i64::MAX] {
                    assert_ne!(spans.number(Millis(moment)), begun);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn spans_follow_each_other(
            moment in -2_000_000_000_000_i64..4_000_000_000_000,
            zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
            unit in prop::sample::select(&[Unit::Hour, Unit::Day, Unit::Week, Unit::Month][..]),
        ) {
            let (start, end) = unit.around(Millis(moment), zone);
            prop_assert!(start.0 <= moment && moment < end.0);
            for inside in [start.0, end.0 - 1, start.0 + (end.0 - start.0) / 3] {
                prop_assert_eq!(unit.around(Millis(inside), zone), (start, end));
            }
            prop_assert_eq!(unit.around(end, zone).0, end);
            prop_assert_eq!(unit.around(Millis(start.0 - 1), zone).1, start);
        }

        /// To the end of what can be written, and behind it as far as a zone shows it.
        #[test]
        fn spans_are_right_at_the_ends_of_time(
            off in -70 * DAY..70 * DAY,
            last in any::<bool>(),
            zone in prop::sample::select(&["UTC", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo"][..]),
            unit in prop::sample::select(&[Unit::Hour, Unit::Day, Unit::Week, Unit::Month][..]),
        ) {
            let zone: Tz = zone.parse().unwrap();
            let edge = if last { 253_402_300_800_000 } else { -62_167_219_200_000 };
            let moment = edge + off;
            let mut spans = Spans::of(unit, zone);
            let number = spans.number(Millis(moment));
            let (start, end) = spans.span(number).unwrap();
            prop_assert!(start.0 <= moment && moment < end.0);
            let day = |at: i64| {
                let utc = chrono::DateTime::from_timestamp_millis(at).unwrap();
                utc.with_timezone(&zone).naive_local()
            };
            let shown = |at: i64| {
                use chrono::Timelike;
                let at = day(at);
                match unit {
                    Unit::Hour => (at.year(), at.ordinal(), at.hour()),
                    Unit::Day => (at.year(), at.ordinal(), 0),
                    Unit::Week => (at.iso_week().year(), at.iso_week().week(), 0),
                    Unit::Month => (at.year(), at.month(), 0),
                }
            };
            for inside in [start.0, end.0 - 1] {
                prop_assert_eq!(shown(inside), shown(moment));
            }
            for outside in [start.0 - 1, end.0] {
                prop_assert_ne!(shown(outside), shown(moment));
            }
        }

        /// Those of a year and of both its changes of clocks, in any order.
        #[test]
        fn a_moment_has_the_number_of_its_span(
            year in 0_i64..60,
            moments in prop::collection::vec(0_i64..366 * DAY, 1..60),
            near in prop::collection::vec((0_i64..366, -3_i64..4), 0..20),
            zone in prop::sample::select(&chrono_tz::TZ_VARIANTS[..]),
            unit in prop::sample::select(&[Unit::Hour, Unit::Day, Unit::Week, Unit::Month][..]),
        ) {
            let mut spans = Spans::of(unit, zone);
            let begin = year * 366 * DAY;
            // beside where local days and hours begin
            let near = near.into_iter().map(|(day, off)| {
                unit.around(Millis(begin + day * DAY), zone).0.0 - begin + off
            });
            let mut numbers = std::collections::BTreeMap::new();
            for moment in moments.into_iter().chain(near) {
                let at = Millis(begin + moment);
                let number = spans.number(at);
                let expected = unit.around(at, zone);
                prop_assert_eq!(spans.span(number), Some(expected));
                prop_assert_eq!(*numbers.entry(expected.0.0).or_insert(number), number);
            }
            prop_assert!(numbers.len() <= spans.count());
        }
    }
}
