//! How plain data goes to the wire: dates as text, exact numbers digit for digit.
//!
//! Section 1 of the protocol. Nothing here ever goes through a float.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::decimal::Spelling;
use super::{CostSum, Millis, Milliseconds, Money, Version};

macro_rules! wire {
    ($type:ident, $serialize:expr, $schema:tt) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $serialize(self, serializer)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    };
}

fn as_text<S: Serializer>(ascii: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(std::str::from_utf8(ascii).unwrap_or_default())
}

/// A decimal number that goes to the wire digit for digit, never through a float.
fn as_number<S: Serializer>(spelling: &Spelling, to: S) -> Result<S::Ok, S::Error> {
    let spelling = spelling.as_str();
    if let Ok(whole) = spelling.parse::<i64>() {
        return to.serialize_i64(whole);
    }
    serde_json::from_str::<&RawValue>(spelling)
        .map_err(serde::ser::Error::custom)?
        .serialize(to)
}

wire!(Millis, |at: &Millis, to| as_text(&at.date(), to), {
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339, UTC, with milliseconds."
});
wire!(Version, |version: &Version, to| as_text(&version.digits(), to), {
    "type": "string",
    "description": "An opaque hash of the stored bytes."
});
wire!(Money, |value: &Money, to| as_number(&value.spelling(), to), {
    "type": "number",
    "description": "US dollars, exact to the nano-dollar."
});
wire!(CostSum, |value: &CostSum, to| as_number(&value.spelling(), to), {
    "type": "number",
    "description": "An exact sum in US dollars."
});
wire!(Milliseconds, |value: &Milliseconds, to| as_number(&value.spelling(), to), {
    "type": "number",
    "description": "Milliseconds."
});
