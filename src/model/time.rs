//! Moments in whole milliseconds since the Unix epoch, as the wire has them.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use chrono::DateTime;

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// The moment that an RFC 3339 date names; finer digits are cut. `None` also where no date in UTC
    /// names it.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        if let Some(millis) = text.as_bytes().try_into().ok().and_then(canonical) {
            return Some(Self(millis));
        }
        // chrono takes a minus sign for the hyphen before an offset
        let text = Some(text).filter(|text| text.is_ascii())?;
        let millis = DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis();
        Self::WRITTEN.contains(&millis).then_some(Self(millis))
    }

    /// The moment `time`.
    #[must_use]
    pub fn from_system(time: SystemTime) -> Self {
        let millis =
            |span: std::time::Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => Self(millis(after)),
            Err(before) => Self(-millis(before.duration())),
        }
    }
}

/// A span of time as people write it: `90s`, `30m`, `1h`, `2d`.
///
/// # Errors
/// What is expected, for its writer.
pub fn read_span(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let expected = || "expected a number and a unit: 90s, 30m, 1h, 2d or 1w".to_owned();
    let number: u64 = digits.parse().map_err(|_| expected())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(expected()),
    };
    match number.checked_mul(seconds) {
        Some(seconds) if (1..=3_153_600_000).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err("expected between one second and a hundred years".to_owned()),
    }
}

/// The moment spelt as [`Millis::date`] does, which is how nearly all dates come; `None` of any
/// other spelling, leap seconds among them.
fn canonical(text: &[u8; 24]) -> Option<i64> {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let is_formed = |(&byte, &form): (&u8, &u8)| match form {
        b'0' => byte.is_ascii_digit(),
        mark => byte == mark,
    };
    if !text.iter().zip(FORM).all(is_formed) {
        return None;
    }
    let number = |digits: &[u8]| {
        let digit = |number, &byte: &u8| number * 10 + i64::from(byte - b'0');
        digits.iter().fold(0, digit)
    };
    let [year, month, day] = [&text[..4], &text[5..7], &text[8..10]].map(number);
    let [hour, minute, second] = [&text[11..13], &text[14..16], &text[17..19]].map(number);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // years begin in March, so that a leap day is the last one
    let (year, month) = match month {
        3.. => (year, month - 3),
        _ => (year - 1, month + 9),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_BEFORE_EPOCH;
    let seconds = hour * 3_600 + minute * 60 + second;
    Some(days * DAY_MS + seconds * 1_000 + number(&text[20..23]))
}

const DAY_MS: i64 = 86_400_000;
/// From 1 March of the year 0.
const DAYS_BEFORE_EPOCH: i64 = 719_468;

/// The digits of the numbers below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

impl Millis {
    /// The years 0 to 9999 in UTC, whose moments are those that can be written as a date.
    pub const WRITTEN: RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;

    /// RFC 3339 in UTC with milliseconds; a moment that no such date names is the nearest one
    /// that has a name. By hand, because lists are full of dates: the days since 1 March of the
    /// year 0 are counted in eras of 400 years, which all have as many days.
    #[must_use]
    pub fn date(self) -> [u8; 24] {
        const ERA_DAYS: i64 = 146_097;
        let named = self.0.clamp(*Self::WRITTEN.start(), *Self::WRITTEN.end());
        let (days, ms) = (named.div_euclid(DAY_MS), named.rem_euclid(DAY_MS));
        let days = days + DAYS_BEFORE_EPOCH;
        let (era, day) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
        // every fourth year has a leap day at its end, but the hundredth, but the last
        let year = (day - day / 1_460 + day / 36_524 - day / (ERA_DAYS - 1)) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        // months from March on: 153 days in five of them
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, carry) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        let year = year + era * 400 + carry;
        let mut text = *b"0000-00-00T00:00:00.000Z";
        // two digits at a time
        for (at, value) in [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, ms / 3_600_000),
            (14, ms / 60_000 % 60),
            (17, ms / 1_000 % 60),
            (21, ms % 100),
        ] {
            text[at..at + 2].copy_from_slice(&PAIRS[(value % 100) as usize]);
        }
        text[20] = b'0' + (ms % 1_000 / 100) as u8;
        text
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.date()).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_time_have_a_unit() {
        assert_eq!(read_span("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(read_span("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(read_span("2w"), read_span("14d"));
        for text in ["", "1", "h", "-1h", "1y", "0s", "99999999999999999999d"] {
            assert!(read_span(text).is_err(), "{text}");
        }
    }
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn dates_are_those_of_chrono(millis in -62_167_219_200_000i64..=253_402_300_799_999) {
            let date = DateTime::from_timestamp_millis(millis).unwrap();
            let expected = date.to_rfc3339_opts(SecondsFormat::Millis, true);
            prop_assert_eq!(Millis(millis).to_string(), expected);
        }
    }

    proptest! {
        #[test]
        fn dates_are_read_as_chrono_does(
            text in "(000|200|2[0-9]{2})[0-9]-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9]\\.[0-9]{3}[Zz]"
        ) {
            let date = DateTime::parse_from_rfc3339(&text).ok();
            let expected = date.map(|date| Millis(date.timestamp_millis()));
            prop_assert_eq!(Millis::parse_rfc3339(&text), expected);
        }
    }

    #[test]
    fn every_day_has_its_date() {
        for day in -719_528..2_932_897 {
            let date = DateTime::from_timestamp_millis(day * 86_400_000).unwrap();
            let expected = date.format("%Y-%m-%d").to_string();
            assert_eq!(Millis(day * 86_400_000).to_string()[..10], expected);
            let text = format!("{expected}T23:59:59.999Z");
            let last = Millis(day * 86_400_000 + 86_399_999);
            assert_eq!(Millis::parse_rfc3339(&text), Some(last), "{text}");
        }
    }

    #[test]
    fn dates_are_utc_with_milliseconds() {
        for (text, printed) in [
            ("2025-10-15T05:02:46.569Z", "2025-10-15T05:02:46.569Z"),
            ("2025-10-15T07:02:46.5699+02:00", "2025-10-15T05:02:46.569Z"),
            ("2025-10-15T05:02:46Z", "2025-10-15T05:02:46.000Z"),
            ("1969-12-31T23:59:59.9995Z", "1969-12-31T23:59:59.999Z"),
            ("0000-01-01T01:00:00+01:00", "0000-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
        ] {
            let moment = Millis::parse_rfc3339(text).unwrap();
            assert_eq!(moment.to_string(), printed, "{text}");
        }
        for text in [
            "2025-10-15",
            "yesterday",
            "",
            "2025-13-15T05:02:46Z",
            "2025-10-15T05:02:46\u{2212}02:00",
            "9999-12-31T23:59:59-23:59",
            "0000-01-01T00:00:00+00:01",
        ] {
            assert_eq!(Millis::parse_rfc3339(text), None, "{text}");
        }
        assert_eq!(Millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Millis(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }
}
