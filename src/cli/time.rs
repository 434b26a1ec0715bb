//! Moments and spans as people read them.

use std::path::Path;
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::model::Millis;

/// From so long ago on a date says more than how long ago it was.
const RELATIVE_MAX_DAYS: i64 = 30;

/// Now, in the zone that a person reads in.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    /// Now.
    pub now: Millis,
    /// The zone of what is printed.
    pub zone: Tz,
}

impl Clock {
    /// Now, in the zone `named`, else in this machine's.
    ///
    /// # Errors
    /// That there is no such zone.
    pub(super) fn new(named: Option<&str>) -> Result<Self, String> {
        let zone = match named {
            Some(name) => zone_called(name).ok_or_else(|| {
                format!("there is no time zone {name}; name one as in Europe/Berlin, or UTC")
            })?,
            None => *LOCAL,
        };
        Ok(Self {
            now: Millis::from_system(std::time::SystemTime::now()),
            zone,
        })
    }

    /// How long ago a moment of the wire is, or how soon it comes; its date where that is far.
    pub(super) fn relative(&self, moment: &str) -> String {
        let Some(at) = Millis::parse_rfc3339(moment) else {
            return moment.to_owned();
        };
        let ago = self.now.0.saturating_sub(at.0);
        if ago.abs() > RELATIVE_MAX_DAYS * 86_400_000 {
            return self.formatted(moment, "%Y-%m-%d");
        }
        let seconds = ago.abs() / 1000;
        let span = match seconds {
            0..5 => return "now".to_owned(),
            5..60 => format!("{seconds}s"),
            60..3600 => format!("{}m", seconds / 60),
            3600..86_400 => format!("{}h", seconds / 3600),
            _ => format!("{}d", seconds / 86_400),
        };
        if ago < 0 {
            format!("in {span}")
        } else {
            format!("{span} ago")
        }
    }

    /// A moment of the wire in the zone, to the second.
    pub(super) fn absolute(&self, moment: &str) -> String {
        self.formatted(moment, "%Y-%m-%d %H:%M:%S %Z")
    }

    /// A moment of the wire, by a format of strftime's.
    pub(super) fn formatted(&self, moment: &str, format: &str) -> String {
        let date = Millis::parse_rfc3339(moment)
            .and_then(|at| DateTime::<Utc>::from_timestamp_millis(at.0));
        match date {
            Some(date) => date.with_timezone(&self.zone).format(format).to_string(),
            None => moment.to_owned(),
        }
    }

    /// What a clock on the wall shows now.
    pub(super) fn time_of_day(&self) -> String {
        let now = String::from_utf8_lossy(&self.now.date()).into_owned();
        self.formatted(&now, "%H:%M:%S")
    }

    /// What it showed at a moment of the wire; of another day its date.
    pub(super) fn time_or_date(&self, moment: &str) -> String {
        let now = String::from_utf8_lossy(&self.now.date()).into_owned();
        let day = |moment: &str| self.formatted(moment, "%Y-%m-%d");
        match day(moment) {
            date if date == day(&now) => self.formatted(moment, "%H:%M:%S"),
            date => date,
        }
    }

    /// When it is and how long ago that is.
    pub(super) fn both(&self, moment: &str) -> String {
        let (absolute, relative) = (self.absolute(moment), self.relative(moment));
        if absolute.starts_with(&relative) {
            absolute
        } else {
            format!("{absolute} ({relative})")
        }
    }
}

/// The zone of this name, however it is capitalised.
fn zone_called(name: &str) -> Option<Tz> {
    let mut zones = chrono_tz::TZ_VARIANTS.iter();
    let is_it = |zone: &&Tz| zone.name().eq_ignore_ascii_case(name);
    name.parse().ok().or_else(|| zones.find(is_it).copied())
}

/// Where systems keep their zones.
const ZONES: &str = "/usr/share/zoneinfo";
/// What says which of them is this machine's.
const LOCAL_TIME: &str = "/etc/localtime";

/// The zone that this machine is set to: what TZ says, else what it is installed with. Said once where
/// that has no name, which the protocol wants.
static LOCAL: LazyLock<Tz> = LazyLock::new(|| {
    let found = match std::env::var("TZ") {
        Ok(rule) => of_rule(rule.trim_start_matches(':'), Path::new(ZONES)),
        Err(_) => of_machine(),
    };
    found.unwrap_or_else(|| {
        tell!(
            "runlog: this machine's time zone has no known name; dates are in UTC, unless -z names one"
        );
        Tz::UTC
    })
});

/// A zone as TZ spells it.
fn of_rule(rule: &str, zones: &Path) -> Option<Tz> {
    if rule.starts_with('/') {
        return of_file(Path::new(rule), zones);
    }
    match rule {
        "" => Some(Tz::UTC),
        name => name.parse().ok().or_else(|| fixed(rule)),
    }
}

/// The zone of a rule that has hours alone: `JST-9`, `<+03>-3`.
fn fixed(rule: &str) -> Option<Tz> {
    let name = match rule.strip_prefix('<') {
        Some(rest) => rest.find('>')? + 2,
        None => rule.find(|c: char| !c.is_ascii_alphabetic())?,
    };
    let offset: i32 = rule.get(name..)?.parse().ok()?;
    // the same way round: what is west of Greenwich is positive
    match offset {
        0 => Some(Tz::UTC),
        hours => format!("Etc/GMT{hours:+}").parse().ok(),
    }
}

fn of_machine() -> Option<Tz> {
    let file = Path::new(LOCAL_TIME);
    let told = || {
        let name = std::fs::read_to_string("/etc/timezone").ok()?;
        name.trim().parse().ok()
    };
    let none = || (!file.exists()).then_some(Tz::UTC);
    of_file(file, Path::new(ZONES)).or_else(told).or_else(none)
}

/// The zone that a file describes: by where it is, or else by what is in it.
fn of_file(file: &Path, zones: &Path) -> Option<Tz> {
    let by_place = |path: &Path| {
        let (_, name) = path.to_str()?.split_once("zoneinfo/")?;
        let name = name.strip_prefix("posix/").unwrap_or(name);
        name.parse().ok()
    };
    let linked = || by_place(&std::fs::read_link(file).ok()?);
    let by_text = || {
        let text = std::fs::read(file).ok()?;
        let is_it = |zone: &&Tz| {
            let of_zone = std::fs::read(zones.join(zone.name()));
            of_zone.is_ok_and(|of_zone| of_zone == text)
        };
        chrono_tz::TZ_VARIANTS.iter().find(is_it).copied()
    };
    by_place(file).or_else(linked).or_else(by_text)
}

/// Beyond so much a number of days tells nobody anything: a million years.
const SPAN_MAX_SECONDS: f64 = 3e13;

/// How long something took, from milliseconds.
pub(super) fn span(millis: f64) -> String {
    if millis < 0.0 {
        return format!("-{}", span(-millis));
    }
    let seconds = (millis / 1000.0).floor();
    let parts = |large: f64, small: f64| (f64::floor(large / small), large % small);
    if millis < 1000.0 {
        return format!("{}ms", millis.round().min(999.0));
    }
    if seconds > SPAN_MAX_SECONDS {
        return "ages".to_owned();
    }
    if seconds < 60.0 {
        return format!("{:.1}s", (millis / 100.0).floor() / 10.0);
    }
    if seconds < 3600.0 {
        let (minutes, seconds) = parts(seconds, 60.0);
        return format!("{minutes}m{seconds:02}s");
    }
    if seconds < 86_400.0 {
        let (hours, rest) = parts(seconds, 3600.0);
        return format!("{hours}h{:02}m", f64::floor(rest / 60.0));
    }
    let (days, rest) = parts(seconds, 86_400.0);
    format!("{days}d{:02}h", f64::floor(rest / 3600.0))
}

/// A count in groups of three digits.
pub(super) fn grouped(count: &str) -> String {
    let (sign, digits) = match count.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", count),
    };
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return count.to_owned();
    }
    let mut text = String::from(sign);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size.
pub(super) fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss)] // one digit after the point is shown
    let size = count as f64;
    for (unit, name) in [(1e9, "GB"), (1e6, "MB"), (1e3, "kB")] {
        // what would be 1000.0 of the smaller one is 1.0 of this
        if size >= unit * 0.999_95 {
            return format!("{:.1} {name}", size / unit);
        }
    }
    format!("{count} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_moments_are_told_by_how_long_ago_and_far_ones_by_their_date() {
        let clock = Clock {
            now: Millis::parse_rfc3339("2025-10-15T12:00:00Z").unwrap(),
            zone: Tz::Europe__Berlin,
        };
        for (moment, told) in [
            ("2025-10-15T11:59:58.000Z", "now"),
            ("2025-10-15T11:59:15.000Z", "45s ago"),
            ("2025-10-15T10:59:15.000Z", "1h ago"),
            ("2025-10-15T12:10:00.000Z", "in 10m"),
            ("2025-10-01T12:10:00.000Z", "13d ago"),
            ("2025-08-31T22:10:00.000Z", "2025-09-01"),
            ("?", "?"),
        ] {
            assert_eq!(clock.relative(moment), told);
        }
        assert_eq!(
            clock.both("2025-10-15T11:00:00.000Z"),
            "2025-10-15 13:00:00 CEST (1h ago)"
        );
        assert_eq!(
            clock.both("2025-01-15T11:00:00.000Z"),
            "2025-01-15 12:00:00 CET"
        );
    }

    #[test]
    fn a_zone_is_found_however_it_is_spelt() {
        let zones = tempfile::tempdir().unwrap();
        std::fs::create_dir(zones.path().join("Asia")).unwrap();
        let copied = zones.path().join("localtime");
        for path in [&zones.path().join("Asia/Tokyo"), &copied] {
            std::fs::write(path, "TZif2 and so on").unwrap();
        }
        for (rule, name) in [
            ("Asia/Kathmandu", Some("Asia/Kathmandu")),
            ("", Some("UTC")),
            ("/usr/share/zoneinfo/Asia/Tokyo", Some("Asia/Tokyo")),
            (
                "/elsewhere/zoneinfo/posix/Europe/Berlin",
                Some("Europe/Berlin"),
            ),
            (copied.to_str().unwrap(), Some("Asia/Tokyo")),
            ("JST-9", Some("Etc/GMT-9")),
            ("<+0330>-3:30", None),
            ("<-03>3", Some("Etc/GMT+3")),
            ("EST5EDT4,M3.2.0,M11.1.0", None),
            ("/not/there", None),
        ] {
            let found = of_rule(rule, zones.path());
            assert_eq!(found.map(|zone| zone.name()), name, "{rule}");
        }
    }

    #[test]
    fn of_today_the_time_is_told_and_of_other_days_the_date() {
        let clock = Clock {
            now: Millis::parse_rfc3339("2025-10-15T22:30:00Z").unwrap(),
            zone: zone_called("europe/BERLIN").unwrap(),
        };
        for (moment, told) in [
            ("2025-10-15T22:05:00Z", "00:05:00"),
            ("2025-10-15T21:59:59Z", "2025-10-15"),
            ("2024-10-15T22:05:00Z", "2024-10-16"),
            ("", ""),
        ] {
            assert_eq!(clock.time_or_date(moment), told, "{moment}");
        }
        assert_eq!(zone_called("utc"), Some(Tz::UTC));
        assert_eq!(zone_called("berlin"), None);
    }

    #[test]
    fn spans_counts_and_sizes_are_short() {
        let spans = [
            0.0,
            999.7,
            12_480.0,
            59_999.0,
            61_000.0,
            3_725_000.0,
            90_000_000.0,
        ];
        assert_eq!(
            spans.map(span),
            ["0ms", "999ms", "12.4s", "59.9s", "1m01s", "1h02m", "1d01h"]
        );
        assert_eq!(
            ["1", "1234", "-1234567"].map(grouped),
            ["1", "1,234", "-1,234,567"]
        );
        assert_eq!(
            [999, 1500, 999_949, 999_950, 2_500_000, 999_999_999].map(bytes),
            ["999 B", "1.5 kB", "999.9 kB", "1.0 MB", "2.5 MB", "1.0 GB"]
        );
    }
}
