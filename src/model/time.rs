//! Moments in whole milliseconds since the Unix epoch, as the wire has them.

use std::fmt;
use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

impl Millis {
    /// The moment that an RFC 3339 date names; finer digits are cut.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let date = DateTime::parse_from_rfc3339(text).ok()?;
        Some(Self(date.timestamp_millis()))
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

impl fmt::Display for Millis {
    /// RFC 3339 in UTC with milliseconds; a moment that no such date names is the nearest one
    /// that has a name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // years 0 to 9999
        const RANGE: (i64, i64) = (-62_167_219_200_000, 253_402_300_799_999);
        let named = self.0.clamp(RANGE.0, RANGE.1);
        let date = DateTime::from_timestamp_millis(named).unwrap_or_default();
        f.write_str(&date.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_utc_with_milliseconds() {
        for (text, printed) in [
            ("2025-10-15T05:02:46.569Z", "2025-10-15T05:02:46.569Z"),
            ("2025-10-15T07:02:46.5699+02:00", "2025-10-15T05:02:46.569Z"),
            ("2025-10-15T05:02:46Z", "2025-10-15T05:02:46.000Z"),
            ("1969-12-31T23:59:59.9995Z", "1969-12-31T23:59:59.999Z"),
        ] {
            let moment = Millis::parse_rfc3339(text).unwrap();
            assert_eq!(moment.to_string(), printed, "{text}");
        }
        for text in ["2025-10-15", "yesterday", "", "2025-13-15T05:02:46Z"] {
            assert_eq!(Millis::parse_rfc3339(text), None, "{text}");
        }
        assert_eq!(Millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Millis(i64::MIN).to_string(), "0000-01-01T00:00:00.000Z");
    }
}
