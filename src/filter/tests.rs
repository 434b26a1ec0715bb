//! The language against its own words, and evaluation against brute force on JSON.

use std::time::{Duration, Instant};

use chrono::{DateTime, Days, NaiveDate};
use chrono_tz::Tz;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

use super::date::Date;
use super::*;
use crate::model::extract::Beyond;
use crate::model::{Fingerprint, ProjectId, Status, Version};

const NUMBERS: [Number; 12] = [
    Number::StartedAt,
    Number::CompletedAt,
    Number::UpdatedAt,
    Number::StaleAt,
    Number::Duration,
    Number::Cost,
    Number::SizeBytes,
    Number::Steps,
    Number::Retries,
    Number::Tokens,
    Number::InputTokens,
    Number::OutputTokens,
];

fn parse(text: &str) -> Where {
    Where::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn error(text: &str) -> FilterError {
    Where::parse(text).expect_err(text)
}

fn moment(text: &str) -> i64 {
    Millis::parse_rfc3339(text).unwrap().0
}

#[test]
fn canonical_text() {
    for (text, canonical) in [
        ("", ""),
        (" \n\t ", ""),
        (
            "status in (failed, cancelled) and costUSD > 0.5 and startedAt >= -7d and not error ~ \"timeout\"",
            "status in (failed, cancelled) and costUSD > 0.5 and startedAt >= -7d and error !~ timeout",
        ),
        ("STATUS=failed", "status = failed"),
        ("status='it\\'s \"so\"'", r#"status = "it's \"so\"""#),
        ("not status = failed", "status != failed"),
        ("not not (status != failed)", "status != failed"),
        (
            "NOT(stepCount<2 OR projectId=a)",
            "not (steps < 2 or project = a)",
        ),
        (
            "(status = a and (id = b and id = c))",
            "status = a and id = b and id = c",
        ),
        (
            "status = a or id = b and id = c",
            "status = a or id = b and id = c",
        ),
        (
            "(status = a or id = b) and id = c",
            "(status = a or id = b) and id = c",
        ),
        ("stale = false", "not stale"),
        ("stale != false", "stale"),
        (
            "error is null and label is not null",
            "error is null and label is not null",
        ),
        ("not error is null", "error is not null"),
        (
            "label not in ('and', \"a b\", c)",
            r#"label not in ("and", "a b", c)"#,
        ),
        ("label = \"\"", "label = \"\""),
        ("duration > 90000", "duration > 90s"),
        (
            "duration between 1.5s and 1w",
            "duration between 1500ms and 7d",
        ),
        ("duration = 0.5", "duration = 0.5ms"),
        ("duration = 0", "duration = 0ms"),
        ("not duration > 2m", "not duration > 2m"),
        ("sizeBytes >= 1.5kib", "sizeBytes >= 1536"),
        ("sizeBytes < 2000000", "sizeBytes < 2MB"),
        ("sizeBytes < 1048576", "sizeBytes < 1MiB"),
        ("costUSD = 1.50e-1", "costUSD = 0.15"),
        (
            "startedAt < -2w or startedAt > +90m",
            "startedAt < -14d or startedAt > +90m",
        ),
        ("startedAt > -0d", "startedAt > now"),
        ("startedAt = TODAY", "startedAt = today"),
        (
            "startedAt = '2025-10-15 07:00:00'",
            "startedAt = 2025-10-15T07:00",
        ),
        (
            "startedAt = 2025-10-15T07:00:00.5+02:00",
            "startedAt = 2025-10-15T05:00:00.500Z",
        ),
        (
            "startedAt = 2025-10-15t07:00:05z",
            "startedAt = 2025-10-15T07:00:05Z",
        ),
        ("project = über", "project = \"über\""),
        (
            "project = \"\\u00fcber \\ud83d\\ude00\"",
            "project = \"über 😀\"",
        ),
        (
            "id=exec-1760504566569-y49gl3ayg",
            "id = exec-1760504566569-y49gl3ayg",
        ),
        (
            "startedAt not between monday and now",
            "startedAt not between monday and now",
        ),
    ] {
        assert_eq!(parse(text).to_string(), canonical, "{text}");
        assert_eq!(parse(canonical), parse(text), "{text}");
    }
}

/// What the description says is so: every field is there, every bound, every spelling in it parses.
#[test]
fn the_language_is_as_it_is_described() {
    for named in known() {
        assert!(
            LANGUAGE.contains(&format!("`{}`", named.name)),
            "{}",
            named.name
        );
    }
    for bound in [TEXT_BYTES_MAX, NESTING_MAX, TESTS_MAX, LIST_MAX] {
        assert!(LANGUAGE.contains(&format!(" {bound} ")), "{bound}");
    }
    let spelt = |text: &str| LANGUAGE.contains(&format!("`{text}`"));
    for filter in [
        "not error ~ \"timeout\"",
        "not status = failed",
        "staleAt <= now",
    ] {
        assert!(spelt(filter), "{filter}");
        parse(filter);
    }
    for date in [
        "2025-10-15",
        "2025-10-15T07:00",
        "-90m",
        "-7d",
        "-2w",
        "+1h",
        "now",
        "sunday",
    ] {
        assert!(spelt(date), "{date}");
        assert!(Date::read(date).is_some(), "{date}");
    }
    for (kind, units) in [
        (Kind::Span, &["ms", "s", "m", "h", "d", "w"][..]),
        (Kind::Bytes, &["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]),
    ] {
        for unit in units {
            assert!(spelt(unit), "{unit}");
            assert!(Value::read(kind, &format!("3{unit}")).is_some(), "{unit}");
        }
    }
}

#[test]
fn errors_say_where_what_and_what_instead() {
    for (text, offset, end, found, expected, near) in [
        (
            "statsu = failed",
            0,
            6,
            "`statsu`",
            "a field, `not` or `(`",
            Some("status"),
        ),
        (
            "status == failed",
            7,
            9,
            "`==`",
            "`=`, `!=`, `~`, `!~`, `not`, `in` or `is`",
            Some("="),
        ),
        (
            "status",
            6,
            6,
            "the end",
            "`=`, `!=`, `~`, `!~`, `not`, `in` or `is`",
            None,
        ),
        ("status = ", 9, 9, "the end", "a text", None),
        ("status = null", 9, 13, "`null`", "a text", None),
        (
            "\"😀\" = 1",
            0,
            4,
            "`\"😀\"`",
            "a field, `not` or `(`",
            None,
        ),
        (
            "label = \"😀\" adn stale",
            13,
            16,
            "`adn`",
            "`and`, `or` or the end",
            Some("and"),
        ),
        (
            "(stale",
            6,
            6,
            "the end",
            "`=`, `!=`, `and`, `or` or `)`",
            None,
        ),
        (
            "stale)",
            5,
            6,
            "`)`",
            "`=`, `!=`, `and`, `or` or the end",
            None,
        ),
        (
            "stale && stale",
            6,
            8,
            "`&&`",
            "`=`, `!=`, `and`, `or` or the end",
            Some("and"),
        ),
        ("! stale", 0, 1, "`!`", "a field, `not` or `(`", Some("not")),
        (
            "costUSD > much",
            10,
            14,
            "`much`",
            "an amount such as 0.5",
            None,
        ),
        (
            "costUSD > 1e10",
            10,
            14,
            "`1e10`",
            "an amount such as 0.5",
            None,
        ),
        (
            "costUSD ~ 5",
            8,
            9,
            "`~`",
            "`=`, `!=`, `<`, `<=`, `>`, `>=`, `not`, `in`, `between` or `is`",
            None,
        ),
        ("tokens > 1.5", 9, 12, "`1.5`", "a whole number", None),
        (
            "duration > 5y",
            11,
            13,
            "`5y`",
            "a span such as 500ms, 5s, 2m or 1.5h",
            None,
        ),
        (
            "sizeBytes > 0.3kiB",
            12,
            18,
            "`0.3kiB`",
            "a size such as 2000, 64kB or 1.5MiB",
            None,
        ),
        (
            "startedAt > yestrday",
            12,
            20,
            "`yestrday`",
            "a date such as 2025-10-15, 2025-10-15T07:00Z, -7d, now, today, yesterday or monday",
            Some("yesterday"),
        ),
        ("stale = maybe", 8, 13, "`maybe`", "`true` or `false`", None),
        ("status in ()", 11, 12, "`)`", "a text", None),
        ("status in (a b)", 13, 14, "`b`", "`,` or `)`", None),
        ("status not = a", 11, 12, "`=`", "`in`", None),
        (
            "error is nul",
            9,
            12,
            "`nul`",
            "`not` or `null`",
            Some("null"),
        ),
        ("label = 'a", 8, 10, "`'a`", "a closing quote", None),
        (
            r#"label = "a\q""#,
            10,
            12,
            r"`\q`",
            "an escape: \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX",
            None,
        ),
        (
            r#"label = "\ud800""#,
            9,
            11,
            r"`\u`",
            "an escape: \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX",
            None,
        ),
        ("label = [a]", 8, 9, "`[`", "a text", None),
        (
            "tags = a",
            0,
            4,
            "`tags`",
            "a field, `not` or `(`",
            Some("tag"),
        ),
    ] {
        let error = error(text);
        assert_eq!((error.offset, error.end), (offset, end), "{text}");
        assert_eq!(error.found, found, "{text}");
        assert_eq!(error.expected, expected, "{text}");
        assert_eq!(error.nearest.as_deref(), near, "{text}");
    }
    assert_eq!(
        error("statsu = failed").to_string(),
        "at 0: expected a field, `not` or `(`, found `statsu`; did you mean `status`?"
    );
    let long = error(&format!("{}\n = 1", "x".repeat(100)));
    assert_eq!(long.found, format!("`{}…`", "x".repeat(40)));
}

#[test]
fn no_date_that_is_none() {
    for text in [
        "2025-02-29",
        "2025-13-01",
        "2025-1-1",
        "25-10-15",
        "2025-10-15T",
        "2025-10-15T7:00",
        "2025-10-15T24:00",
        "2025-10-15T07:60",
        "2025-10-15T07:00:60",
        "2025-10-15T07:00:00.",
        "2025-10-15T07:00.5",
        "2025-10-15T07:00+2",
        "2025-10-15T07:00+24:00",
        "2025-10-15X07:00",
        "2025-10-15T07:00ZZ",
        "2025-10-15T07:00Z02:00",
        "2025-10-15T07:00z-02:00",
        "0000-01-01T00:00+01:00",
        "9999-12-31T23:59-01:00",
        "-7",
        "-d",
        "7d",
        "-7y",
        "-1.5d",
        "--7d",
        "-99999999999999999999d",
        "-9223372036854775807d",
        "+",
        "-",
        "",
        "２０２５-10-15",
        "2025\u{2010}10-15",
        "1760504566569",
    ] {
        assert_eq!(Date::read(text), None, "{text}");
    }
}

#[test]
fn dates_are_those_of_the_zone() {
    let at = |date: &str, now: &str, zone: Tz| {
        let date = Date::read(date).unwrap_or_else(|| panic!("{date}"));
        let (first, last) = date.span(Millis(moment(now)), zone);
        (Millis(first).to_string(), Millis(last + 1).to_string())
    };
    let hour = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let berlin = chrono_tz::Europe::Berlin;
    let summer = "2025-07-01T12:00:00Z";
    for (date, now, zone, from, to) in [
        (
            "2025-10-15",
            summer,
            berlin,
            "2025-10-14T22:00:00.000Z",
            "2025-10-15T22:00:00.000Z",
        ),
        // 23 and 25 hours
        (
            "2025-03-30",
            summer,
            berlin,
            "2025-03-29T23:00:00.000Z",
            "2025-03-30T22:00:00.000Z",
        ),
        (
            "2025-10-26",
            summer,
            berlin,
            "2025-10-25T22:00:00.000Z",
            "2025-10-26T23:00:00.000Z",
        ),
        // clocks go over midnight
        (
            "2018-11-04",
            summer,
            chrono_tz::America::Sao_Paulo,
            "2018-11-04T03:00:00.000Z",
            "2018-11-05T02:00:00.000Z",
        ),
        // from 23:30 to 00:30
        (
            "1919-03-31",
            summer,
            chrono_tz::America::Toronto,
            "1919-03-31T04:30:00.000Z",
            "1919-04-01T04:00:00.000Z",
        ),
        // a day that there was not, between two that there were
        (
            "2011-12-29",
            summer,
            chrono_tz::Pacific::Apia,
            "2011-12-29T10:00:00.000Z",
            "2011-12-30T10:00:00.000Z",
        ),
        (
            "2011-12-30",
            summer,
            chrono_tz::Pacific::Apia,
            "2011-12-30T10:00:00.000Z",
            "2011-12-30T10:00:00.000Z",
        ),
        (
            "2011-12-31",
            summer,
            chrono_tz::Pacific::Apia,
            "2011-12-30T10:00:00.000Z",
            "2011-12-31T10:00:00.000Z",
        ),
        // the day after has begun in Berlin, and a Wednesday
        (
            "today",
            "2025-07-01T22:30:00Z",
            berlin,
            "2025-07-01T22:00:00.000Z",
            "2025-07-02T22:00:00.000Z",
        ),
        (
            "yesterday",
            "2025-07-01T22:30:00Z",
            berlin,
            "2025-06-30T22:00:00.000Z",
            "2025-07-01T22:00:00.000Z",
        ),
        (
            "wednesday",
            "2025-07-01T22:30:00Z",
            berlin,
            "2025-07-01T22:00:00.000Z",
            "2025-07-02T22:00:00.000Z",
        ),
        (
            "thursday",
            "2025-07-01T22:30:00Z",
            berlin,
            "2025-06-25T22:00:00.000Z",
            "2025-06-26T22:00:00.000Z",
        ),
        (
            "Sunday",
            "2025-07-01T22:30:00Z",
            Tz::UTC,
            "2025-06-29T00:00:00.000Z",
            "2025-06-30T00:00:00.000Z",
        ),
        // moments: the last is the first
        (
            "now",
            summer,
            berlin,
            "2025-07-01T12:00:00.000Z",
            "2025-07-01T12:00:00.001Z",
        ),
        (
            "-90m",
            summer,
            berlin,
            "2025-07-01T10:30:00.000Z",
            "2025-07-01T10:30:00.001Z",
        ),
        (
            "+2w",
            summer,
            berlin,
            "2025-07-15T12:00:00.000Z",
            "2025-07-15T12:00:00.001Z",
        ),
        (
            "2025-10-15T07:00",
            summer,
            berlin,
            "2025-10-15T05:00:00.000Z",
            "2025-10-15T05:00:00.001Z",
        ),
        (
            "2025-10-15T07:00Z",
            summer,
            berlin,
            "2025-10-15T07:00:00.000Z",
            "2025-10-15T07:00:00.001Z",
        ),
        // left out, and shown twice
        (
            "2025-03-30T02:30",
            summer,
            berlin,
            "2025-03-30T01:00:00.000Z",
            "2025-03-30T01:00:00.001Z",
        ),
        (
            "2025-10-26T02:30",
            summer,
            berlin,
            "2025-10-26T00:30:00.000Z",
            "2025-10-26T00:30:00.001Z",
        ),
    ] {
        assert_eq!(at(date, now, zone), hour(from, to), "{date} in {zone}");
    }
    // whatever the clock says
    for now in [i64::MIN, i64::MAX] {
        for (_, date) in date::words() {
            let (first, last) = date.span(Millis(now), berlin);
            assert!(first <= last);
        }
    }
}

/// A run as the properties make it.
#[derive(Debug, Clone)]
struct Run {
    status: Option<String>,
    texts: [Option<String>; 5],
    numbers: [Option<i64>; 12],
    error: Option<String>,
    nodes: Vec<String>,
    failed: Vec<String>,
    tags: Vec<String>,
    pinned: bool,
    version: Version,
}

/// How much of an error such a run has at hand, in bytes.
const CUT: usize = 3;
/// How many nodes it has at hand.
const AT_HAND: usize = 1;

impl Subject for Run {
    fn status(&self) -> StatusText<'_> {
        let Some(status) = &self.status else {
            return StatusText::Unknown;
        };
        let mut known = Status::KNOWN.iter();
        match known.position(|known| known.as_str() == status) {
            Some(at) => StatusText::Known(u8::try_from(at).unwrap()),
            None => StatusText::Other(status),
        }
    }

    fn number(&self, which: Number) -> Option<i64> {
        self.numbers[NUMBERS.iter().position(|one| *one == which)?]
    }

    fn text(&self, which: Text) -> Option<&str> {
        self.texts[which as usize].as_deref()
    }

    fn error(&self) -> ErrorText<'_> {
        match self.error.as_deref() {
            None => ErrorText::None,
            Some(text) if text.len() <= CUT => ErrorText::Whole(text),
            Some(text) => ErrorText::Cut(&text[..text.floor_char_boundary(CUT)]),
        }
    }

    fn error_group(&self) -> Option<Fingerprint> {
        self.error.as_deref().map(Fingerprint::of)
    }

    fn version(&self) -> Version {
        self.version
    }

    fn any_node(&self, failed: bool, test: impl FnMut(&str) -> bool) -> Option<bool> {
        let nodes = if failed { &self.failed } else { &self.nodes };
        let found = nodes.iter().take(AT_HAND).map(String::as_str).any(test);
        (found || nodes.len() <= AT_HAND).then_some(found)
    }

    fn any_tag(&self, test: impl FnMut(&str) -> bool) -> bool {
        self.tags.iter().map(String::as_str).any(test)
    }

    fn pinned(&self) -> bool {
        self.pinned
    }
}

impl Run {
    fn json(&self) -> Json {
        let mut json = json!({
            "status": self.status, "error": self.error, "nodeId": self.nodes,
            "failedNode": self.failed, "tag": self.tags,
            "pinned": self.pinned, "version": self.version.to_string(),
            "errorGroup": self.error_group().map(|group| group.to_string()),
        });
        for (name, text) in ["id", "project", "label", "model", "note"]
            .iter()
            .zip(&self.texts)
        {
            json[name] = text.clone().into();
        }
        for (number, value) in NUMBERS.iter().zip(self.numbers) {
            json[Field::Number(*number).name()] = value.into();
        }
        json
    }
}

/// The language as its documentation says it, on JSON, without preparation.
struct Naive {
    now: i64,
    zone: Tz,
}

impl Naive {
    fn holds(&self, expr: &Expr, run: &Json) -> bool {
        match expr {
            Expr::All(members) => members.iter().all(|member| self.holds(member, run)),
            Expr::Any(members) => members.iter().any(|member| self.holds(member, run)),
            Expr::Not(inner) => !self.holds(inner, run),
            Expr::Test(Field::Pinned, _) => run["pinned"] == true,
            Expr::Test(Field::Stale, _) => run["staleAt"].as_i64().is_some_and(|at| at <= self.now),
            Expr::Test(field, test) => match &run[field.name()] {
                Json::Null => false,
                Json::Array(all) => all.iter().any(|one| self.one(one, test)),
                one => self.one(one, test),
            },
        }
    }

    fn one(&self, value: &Json, test: &Test) -> bool {
        use std::cmp::Ordering::{Equal, Greater, Less};
        match test {
            Test::Present => true,
            Test::Compare(operator, to) => {
                let order = self.order(value, to);
                match operator {
                    Operator::Equal => order == Equal,
                    Operator::Less => order == Less,
                    Operator::AtMost => order != Greater,
                    Operator::Greater => order == Greater,
                    Operator::AtLeast => order != Less,
                }
            }
            Test::In(all) => all.iter().any(|to| self.order(value, to) == Equal),
            Test::Between(low, high) => {
                self.order(value, low) != Less && self.order(value, high) != Greater
            }
            Test::Contains(text) => {
                let folded = |text: &str| text.to_lowercase().replace('ſ', "s");
                folded(value.as_str().unwrap()).contains(&folded(text))
            }
        }
    }

    fn order(&self, value: &Json, to: &Value) -> std::cmp::Ordering {
        let local = |at: i64| {
            let at = DateTime::from_timestamp_millis(at).unwrap();
            at.with_timezone(&self.zone).date_naive()
        };
        let day = |at: i64, day: NaiveDate| local(at).cmp(&day);
        match to {
            Value::Text(text) => value.as_str().unwrap().cmp(text),
            Value::Number(number) => value.as_i64().unwrap().cmp(number),
            Value::Date(date) => {
                let at = value.as_i64().unwrap();
                let today = local(self.now);
                match *date {
                    Date::Moment(moment) => at.cmp(&moment.0),
                    // the zones' own cases are in `dates_are_those_of_the_zone`
                    Date::Clock(_) => at.cmp(&date.span(Millis(self.now), self.zone).0),
                    Date::Day(wanted) => day(at, wanted),
                    Date::FromNow(span) => at.cmp(&(self.now + span)),
                    Date::Now => at.cmp(&self.now),
                    Date::Today => day(at, today),
                    Date::Yesterday => day(at, today - Days::new(1)),
                    Date::Weekday(wanted) => {
                        let mut latest = today;
                        while chrono::Datelike::weekday(&latest) != wanted {
                            latest = latest - Days::new(1);
                        }
                        day(at, latest)
                    }
                }
            }
        }
    }
}

/// The values that expressions are made of.
#[derive(Clone)]
struct Domain {
    fields: Vec<Field>,
    texts: BoxedStrategy<String>,
    numbers: BoxedStrategy<i64>,
    dates: BoxedStrategy<Date>,
}

fn tests(domain: &Domain) -> BoxedStrategy<Expr> {
    let fields = domain.fields.clone();
    let domain = domain.clone();
    let of_field = move |field: Field| {
        let value = match field.kind() {
            Kind::Text => domain
                .texts
                .clone()
                .prop_map(|text| Value::Text(text.into()))
                .boxed(),
            Kind::Date => domain.dates.clone().prop_map(Value::Date).boxed(),
            Kind::Dollars => {
                let amount = |nanos: i64| Value::Number(nanos % 9_000_000_000_000_000_001);
                domain.numbers.clone().prop_map(amount).boxed()
            }
            _ => domain.numbers.clone().prop_map(Value::Number).boxed(),
        };
        let present = Just(Test::Present).boxed();
        let list = prop::collection::vec(value.clone(), 1..5)
            .prop_map(Test::In)
            .boxed();
        let test = match field.kind() {
            Kind::Flag => present,
            Kind::Text => prop_oneof![
                present,
                list,
                value.prop_map(|value| Test::Compare(Operator::Equal, value)),
                domain
                    .texts
                    .clone()
                    .prop_map(|text| Test::Contains(text.into())),
            ]
            .boxed(),
            _ => {
                let operators = select(vec![
                    Operator::Equal,
                    Operator::Less,
                    Operator::AtMost,
                    Operator::Greater,
                    Operator::AtLeast,
                ]);
                prop_oneof![
                    present,
                    list,
                    (operators, value.clone()).prop_map(|(sign, value)| Test::Compare(sign, value)),
                    (value.clone(), value).prop_map(|(low, high)| Test::Between(low, high)),
                ]
                .boxed()
            }
        };
        test.prop_map(move |test| Expr::Test(field, test))
    };
    select(fields).prop_flat_map(of_field).boxed()
}

fn exprs(domain: &Domain) -> BoxedStrategy<Expr> {
    tests(domain)
        .prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::all),
                prop::collection::vec(inner.clone(), 1..4).prop_map(Expr::any),
                inner.prop_map(Expr::negated),
            ]
        })
        .boxed()
}

/// Everything that can be written.
fn writable() -> Domain {
    let millis = -62_167_219_200_000i64..=253_402_300_799_999;
    let day = (0i32..=9999, 1u32..=366)
        .prop_filter_map("a day", |(year, day)| NaiveDate::from_yo_opt(year, day));
    let dates = prop_oneof![
        millis.clone().prop_map(|at| Date::Moment(Millis(at))),
        (-1_036_119..4_223_371i64).prop_map(|minutes| Date::Moment(Millis(minutes * 60_000))),
        millis.prop_map(|at| Date::Clock(Millis(at))),
        day.prop_map(Date::Day),
        (1..1_000_000_000i64).prop_map(|seconds| Date::FromNow(seconds * 1000)),
        (1..1_000i64).prop_map(|hours| Date::FromNow(-hours * 3_600_000)),
        select(date::words().map(|(_, date)| date).collect::<Vec<_>>()),
    ];
    let units = select(vec![1, 1024, 1_000_000, 60_000_000_000]);
    Domain {
        fields: known().map(|named| named.field).collect(),
        texts: prop_oneof![
            ".{0,8}",
            "[a-z]{1,6}",
            "and|OR|not|null|in",
            any::<String>()
        ]
        .boxed(),
        numbers: prop_oneof![
            any::<i64>(),
            Just(i64::MIN),
            Just(0),
            (-1000i64..1000, units).prop_map(|(number, unit)| number * unit),
        ]
        .boxed(),
        dates: dates.boxed(),
    }
}

/// Few values, so that runs often have what is asked for.
fn narrow(now: i64) -> Domain {
    const HOUR: i64 = 3_600_000;
    let first = DateTime::from_timestamp_millis(now).unwrap().date_naive() - Days::new(9);
    let dates = prop_oneof![
        (-200i64..48).prop_map(move |hours| Date::Moment(Millis(now + hours * HOUR))),
        (-200i64..48).prop_map(move |hours| Date::Clock(Millis(now + hours * HOUR))),
        (0u64..11).prop_map(move |days| Date::Day(first + Days::new(days))),
        (-200i64..48).prop_map(|hours| Date::FromNow(hours * HOUR)),
        select(date::words().map(|(_, date)| date).collect::<Vec<_>>()),
    ];
    Domain {
        fields: known().map(|named| named.field).collect(),
        texts: texts(),
        numbers: (-2i64..4).boxed(),
        dates: dates.boxed(),
    }
}

fn texts() -> BoxedStrategy<String> {
    let statuses = Status::KNOWN
        .iter()
        .map(|status| status.as_str().to_owned());
    prop_oneof![
        "[abAsSſä ]{0,6}",
        "[ab]{0,2}",
        select(statuses.collect::<Vec<_>>()),
    ]
    .boxed()
}

fn runs(now: i64) -> BoxedStrategy<Run> {
    let maybe = |values: BoxedStrategy<String>| prop::option::of(values);
    let date = (-200i64..48, select(vec![0, 0, -1, 1, 1_800_000]))
        .prop_map(move |(hours, more)| now - now.rem_euclid(3_600_000) + hours * 3_600_000 + more);
    let date = prop::option::of(prop_oneof![date, Just(now)]);
    let dates = [date.clone(), date.clone(), date.clone(), date];
    let number = prop::option::of(-2i64..4);
    let numbers: [_; 8] = std::array::from_fn(|_| number.clone());
    let texts_of: [_; 5] = std::array::from_fn(|_| maybe(texts()));
    let many = prop::collection::vec(texts(), 0..3);
    (
        maybe(texts()),
        texts_of,
        (dates, numbers),
        maybe(texts()),
        (many.clone(), many.clone(), many, any::<bool>()),
        any::<u8>(),
    )
        .prop_map(
            |(status, texts, (dates, numbers), error, of_many, version)| {
                let mut texts = texts;
                // every run has a project, which is the name of a folder
                if texts[1]
                    .as_deref()
                    .is_none_or(|name| ProjectId::parse(name).is_err())
                {
                    texts[1] = Some("ab".to_owned());
                }
                let mut all = [None; 12];
                all[..4].copy_from_slice(&dates);
                all[4..].copy_from_slice(&numbers);
                let (mut nodes, failed, tags, pinned) = of_many;
                nodes.extend(failed.iter().cloned());
                Run {
                    status,
                    texts,
                    numbers: all,
                    error,
                    nodes,
                    failed,
                    tags,
                    pinned,
                    version: Version([version; 16]),
                }
            },
        )
        .boxed()
}

/// Moments and zones near which clocks or calendars do something.
fn whens() -> Vec<(i64, Tz)> {
    vec![
        (moment("2025-10-15T07:06:40Z"), Tz::UTC),
        (moment("2025-10-27T12:00:00Z"), chrono_tz::Europe::Berlin),
        (moment("2025-03-31T00:00:00Z"), chrono_tz::Europe::Berlin),
        (
            moment("2018-11-05T12:00:00Z"),
            chrono_tz::America::Sao_Paulo,
        ),
        (moment("2012-01-01T12:00:00Z"), chrono_tz::Pacific::Apia),
        (moment("2025-01-01T00:10:00Z"), chrono_tz::Asia::Kolkata),
    ]
}

const PIECES: [&str; 39] = [
    "status",
    "costUSD",
    "startedAt",
    "duration",
    "sizeBytes",
    "error",
    "stale",
    "steps",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "~",
    "!~",
    "(",
    ")",
    ",",
    "in",
    "not",
    "and",
    "or",
    "between",
    "is",
    "null",
    "failed",
    "0.5",
    "-7d",
    "today",
    "2025-10-15",
    "5s",
    "2MB",
    "'a b'",
    "\"\\u00e9\"",
    "'open",
    "true",
    "\u{1}",
    "😀",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn what_is_printed_parses_to_the_same(expr in exprs(&writable())) {
        let made = Where::of(Some(expr));
        let text = made.to_string();
        prop_assume!(text.len() <= TEXT_BYTES_MAX);
        let read = Where::parse(&text);
        prop_assert_eq!(read.as_ref(), Ok(&made), "{}", text);
        prop_assert_eq!(read.unwrap().to_string(), text);
    }

    #[test]
    fn what_parses_is_printed_so_that_it_does_again(
        pieces in prop::collection::vec(select(PIECES.to_vec()), 0..12), between in select(vec!["", " "])
    ) {
        let text = pieces.join(between);
        if let Ok(read) = Where::parse(&text) {
            prop_assert_eq!(Where::parse(&read.to_string()), Ok(read), "{}", text);
        }
    }

    #[test]
    fn nothing_that_is_written_breaks_it(
        text in prop_oneof![".{0,60}", any::<String>(),
            prop::collection::vec(select(PIECES.to_vec()), 0..12).prop_map(|pieces| pieces.join(" "))]
    ) {
        let units = text.encode_utf16().count();
        if let Err(error) = Where::parse(&text) {
            prop_assert!(error.offset <= error.end && error.end <= units);
        }
        for offset in 0..=units + 1 {
            let check = check(&text, Some(offset), |_| vec!["my own".to_owned()]);
            prop_assert_eq!(check.ok, check.canonical.is_some() && check.error.is_none());
            for one in check.completions {
                prop_assert!(one.from <= offset && one.from <= one.to && one.to <= units);
            }
        }
    }

    #[test]
    fn evaluation_equals_brute_force(
        (now, zone, expr, runs) in select(whens()).prop_flat_map(|(now, zone)| {
            let runs = prop::collection::vec(runs(now), 12);
            (Just(now), Just(zone), exprs(&narrow(now)), runs)
        })
    ) {
        let naive = Naive { now, zone };
        let bound = Where::of(Some(expr.clone())).at(Millis(now), zone);
        let hints = bound.hints();
        for run in runs {
            let expected = naive.holds(&expr, &run.json());
            let verdict = if expected { Verdict::Passes } else { Verdict::Fails };
            let mut asking = bound.asking();
            // what came before is void
            asking.step("a", true);
            asking.steps();
            asking.error(Some("a"));
            asking.error(run.error.as_deref());
            run.nodes.iter().for_each(|node| asking.step(node, false));
            run.failed.iter().for_each(|node| asking.step(node, true));
            let whole = WithRecord { subject: &run, record: &asking.tests() };
            prop_assert_eq!(bound.matches(&whole), verdict, "{} of {}", expr, run.json());
            let cut = bound.matches(&run);
            prop_assert!(cut == verdict || cut == Verdict::NeedsRecord, "{} of {}", expr, run.json());
            if cut == Verdict::NeedsRecord {
                let unkept = run.nodes.len().max(run.failed.len()) > AT_HAND;
                prop_assert!(unkept || matches!(run.error(), ErrorText::Cut(_)));
            }
            // what the hints say
            let status = run.status.as_deref().map(Status::from_text);
            let project = run.texts[1].as_deref().and_then(|text| ProjectId::parse(text).ok());
            let started = run.numbers[0].map(Millis);
            let has = hints.statuses.as_ref().is_none_or(|all| status.is_some_and(|s| all.contains(&s)))
                && hints.projects.as_ref().is_none_or(|all| project.is_some_and(|p| all.contains(&p)))
                && hints.started_at.as_ref().is_none_or(|all| started.is_some_and(|at| all.contains(&at)));
            prop_assert!(has || !expected, "{:?} of {}", hints, expr);
            prop_assert!(!hints.complete || has == expected, "{:?} of {}", hints, expr);
        }
    }
}

#[test]
fn what_cannot_be_is_refused_and_what_is_large_is_quick() {
    let began = Instant::now();
    let open = |count: usize| format!("{}stale{}", "(".repeat(count), ")".repeat(count));
    assert_eq!(parse(&open(NESTING_MAX)).to_string(), "stale");
    let deep = error(&open(NESTING_MAX + 1));
    assert_eq!(
        (deep.offset, deep.expected.as_str()),
        (64, "at most 64 open parentheses")
    );
    let nested = format!(
        "{}stale{}",
        "not (pid = a or ".replace("pid", "id").repeat(64),
        ")".repeat(64)
    );
    assert_eq!(parse(&nested), parse(&parse(&nested).to_string()));

    let tests = |count: usize| vec!["id~a"; count].join(" or ");
    parse(&tests(TESTS_MAX));
    assert_eq!(error(&tests(TESTS_MAX + 1)).expected, "at most 256 tests");
    let list = |count: usize| format!("id in ({})", vec!["a"; count].join(","));
    parse(&list(LIST_MAX));
    assert_eq!(error(&list(LIST_MAX + 1)).expected, "at most 1000 values");

    assert_eq!(
        parse(&format!("{}stale", "not ".repeat(4000))).to_string(),
        "stale"
    );
    let long = error(&"é".repeat(TEXT_BYTES_MAX / 2 + 1));
    assert_eq!(
        (long.offset, long.end),
        (TEXT_BYTES_MAX / 2, TEXT_BYTES_MAX / 2 + 1)
    );
    // its canonical text would be too long
    let blank = error(&format!("label = '{}'", "\u{1}".repeat(TEXT_BYTES_MAX / 4)));
    assert_eq!(blank.found, "more");
    for piece in [
        "(",
        ")",
        "'",
        "\"\\",
        "not ",
        "id ",
        "id in (",
        "id = a and ",
        "\u{1}",
        "=",
        "a",
        "😀",
        "startedAt between ",
        "(id = a or ",
        ",",
        "-1d",
        "\\ud83d",
    ] {
        for before in ["", "id = '", "id in (a", "startedAt > "] {
            let text = format!("{before}{}", piece.repeat(TEXT_BYTES_MAX / piece.len()));
            let text = &text[..text.floor_char_boundary(TEXT_BYTES_MAX)];
            drop(Where::parse(text));
            drop(check(text, Some(TEXT_BYTES_MAX / 2), |_| Vec::new()));
            drop(check(text, Some(TEXT_BYTES_MAX), |_| Vec::new()));
        }
    }
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
}

/// What is offered at `|`, and what it replaces.
fn offered(marked: &str) -> (Vec<String>, String) {
    let at = marked.find('|').unwrap();
    let text = marked.replacen('|', "", 1);
    let offset = text[..at].encode_utf16().count();
    let values = |field| match field {
        Field::Text(Text::Project) => vec!["website".into(), "my docs".into(), "web/2".into()],
        Field::Status => vec!["failed".into(), "odd".into()],
        _ => Vec::new(),
    };
    let completions = check(&text, Some(offset), values).completions;
    let units: Vec<u16> = text.encode_utf16().collect();
    let range = completions.first().map_or(0..0, |one| one.from..one.to);
    let replaced = String::from_utf16(&units[range]).unwrap();
    (
        completions.into_iter().map(|one| one.text).collect(),
        replaced,
    )
}

#[test]
fn completions_are_what_could_stand_there() {
    let offers = |marked: &str, expected: &[&str], replaced: &str| {
        let (texts, range) = offered(marked);
        assert_eq!(texts, expected, "{marked}");
        assert_eq!(range, replaced, "{marked}");
    };
    offers("sta|", &["status", "startedAt", "stale", "staleAt"], "sta");
    offers(
        "st|atus = failed",
        &["status", "startedAt", "steps", "stale", "staleAt"],
        "status",
    );
    offers("N|", &["nodeId", "note", "not"], "N");
    offers("status |", &["=", "!=", "~", "!~", "not", "in", "is"], "");
    offers("costUSD >|", &[">", ">="], ">");
    offers("costUSD not |", &["in", "between"], "");
    offers("costUSD b|", &["between"], "b");
    offers(
        "status = |",
        &[
            "queued",
            "running",
            "paused",
            "completed",
            "failed",
            "cancelled",
            "odd",
        ],
        "",
    );
    offers(
        "label = \"😀\" and status = FA|x and stale",
        &["failed"],
        "FAx",
    );
    offers("status in (failed, c|", &["completed", "cancelled"], "c");
    offers("status in |", &["("], "");
    offers("status in (failed |", &[",", ")"], "");
    offers("project = |", &["website", "\"my docs\"", "web/2"], "");
    offers("project = \"my|\" and stale", &["\"my docs\""], "\"my\"");
    offers("project = 'we| and stale", &["website", "web/2"], "'we");
    offers("startedAt >= t|", &["today", "tuesday", "thursday"], "t");
    offers("startedAt >= -|", &["-1h", "-1d", "-7d", "-30d"], "-");
    offers("startedAt between today |", &["and"], "");
    offers("error is |", &["not", "null"], "");
    offers("error is not |", &["null"], "");
    offers("stale |", &["=", "!=", "and", "or"], "");
    offers("stale = |", &["true", "false"], "");
    offers("(stale and not stale |", &["=", "!=", "and", "or", ")"], "");
    offers("error = |", &[], "");
    offers("nothing like it |", &[], "");
    assert_eq!(offered("|").0.len(), known().count() + 2);
    let check = check("status = failed", None, |_| Vec::new());
    assert!(check.ok && check.completions.is_empty());
}

/// A date without a time is compared as a person means it.
#[test]
fn days_are_whole() {
    let berlin = chrono_tz::Europe::Berlin;
    let started = |text: &str| {
        let mut numbers = [None; 12];
        numbers[0] = Some(moment(text));
        Run {
            status: None,
            texts: Default::default(),
            numbers,
            error: None,
            nodes: Vec::new(),
            failed: Vec::new(),
            tags: Vec::new(),
            pinned: false,
            version: Version::default(),
        }
    };
    let before = started("2025-10-14T21:59:59.999Z");
    let first = started("2025-10-14T22:00:00.000Z");
    let last = started("2025-10-15T21:59:59.999Z");
    let after = started("2025-10-15T22:00:00.000Z");
    for (operator, expected) in [
        ("= 2025-10-15", [false, true, true, false]),
        ("!= 2025-10-15", [true, false, false, true]),
        ("< 2025-10-15", [true, false, false, false]),
        ("<= 2025-10-15", [true, true, true, false]),
        ("> 2025-10-15", [false, false, false, true]),
        (">= 2025-10-15", [false, true, true, true]),
        ("in (2025-10-15, 2025-10-16)", [false, true, true, true]),
        (
            "between 2025-10-15 and 2025-10-15",
            [false, true, true, false],
        ),
        (
            "between 2025-10-14 and 2025-10-15",
            [true, true, true, false],
        ),
        ("= 2025-10-15T00:00", [false, true, false, false]),
    ] {
        let bound = parse(&format!("startedAt {operator}")).at(Millis(0), berlin);
        let found =
            [&before, &first, &last, &after].map(|run| bound.matches(run) == Verdict::Passes);
        assert_eq!(found, expected, "{operator}");
    }
}
