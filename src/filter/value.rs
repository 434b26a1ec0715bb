//! Values as a filter writes them, by the kind of their field.

use super::date::Date;
use super::field::Kind;
use crate::model::decimal::{Exact, scaled};
use crate::model::{Milliseconds, Money};

/// What a field is compared with.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// A text.
    Text(Box<str>),
    /// A number in the unit of its [`Kind`].
    Number(i64),
    /// A date.
    Date(Date),
}

/// Spans, in milliseconds; a plain number is in milliseconds. Weeks are read and printed as days.
const SPANS: [(&str, i64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];
/// Sizes, in bytes; a plain number is in bytes. Read in capital letters or not.
const SIZES: [(&str, i64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

impl Value {
    /// The value of kind `kind` spelt `text`. Amounts and spans are rounded to the unit in which
    /// records' are kept, half to even, as those are; counts and sizes must be whole.
    #[must_use]
    pub fn read(kind: Kind, text: &str) -> Option<Self> {
        match kind {
            Kind::Text | Kind::Flag => Some(Self::Text(text.into())),
            Kind::Date => Date::read(text).map(Self::Date),
            Kind::Count => Exact::parse(text)?.whole().map(Self::Number),
            Kind::Dollars => Money::from_spelling(text)
                .map(Money::nanos)
                .map(Self::Number),
            Kind::Span => {
                let (number, unit) = split_unit(text);
                let units = SPANS.iter().find(|(name, _)| *name == unit);
                let millis = match unit {
                    "" => 1,
                    _ => units?.1,
                };
                let span = Exact::parse(number)?.times(millis)?.to_string();
                scaled(&span, Milliseconds::SCALE).map(Self::Number)
            }
            Kind::Bytes => {
                let (number, unit) = split_unit(text);
                let named = |(name, _): &&(&str, i64)| name.eq_ignore_ascii_case(unit);
                let bytes = match unit {
                    "" => 1,
                    _ => SIZES.iter().find(named)?.1,
                };
                let size = Exact::parse(number)?.times(bytes)?;
                size.whole().map(Self::Number)
            }
        }
    }

    /// The text that [`Value::read`] reads back, before any quoting.
    #[must_use]
    pub fn spelling(&self, kind: Kind) -> String {
        match (self, kind) {
            (Self::Text(text), _) => text.to_string(),
            (Self::Date(date), _) => date.to_string(),
            (Self::Number(nanos), Kind::Dollars) => {
                Money::from_nanos(*nanos).map_or_else(String::new, |money| money.to_string())
            }
            (Self::Number(span), Kind::Span) => {
                let units = SPANS.iter().filter(|(name, _)| *name != "w");
                with_unit(*span, units, 1_000_000)
                    .unwrap_or_else(|| format!("{}ms", Milliseconds(*span)))
            }
            (Self::Number(size), Kind::Bytes) => {
                let units = SIZES.iter().filter(|(_, bytes)| *bytes > 1);
                with_unit(*size, units, 1).unwrap_or_else(|| size.to_string())
            }
            (Self::Number(number), _) => number.to_string(),
        }
    }
}

/// The number and the letters behind it.
fn split_unit(text: &str) -> (&str, &str) {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    text.split_at(number.len())
}

/// `value` in the first of the units in which it is whole; a unit is worth `scale` times its own
/// number.
fn with_unit<'a>(
    value: i64,
    mut units: impl Iterator<Item = &'a (&'a str, i64)>,
    scale: i64,
) -> Option<String> {
    let whole = |(_, worth): &&(&str, i64)| value != 0 && value % (worth * scale) == 0;
    let (name, worth) = units.find(whole)?;
    Some(format!("{}{name}", value / (worth * scale)))
}
