//! How plain data goes to the wire: dates as text, exact numbers digit for digit.
//!
//! Section 1 of the protocol. Nothing here ever goes through a float.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::summary::serialize_number;
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

fn as_text<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn as_number<T: std::fmt::Display, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    serialize_number(value.to_string(), to)
}

wire!(Millis, as_text, {
    "type": "string",
    "format": "date-time",
    "description": "RFC 3339, UTC, with milliseconds."
});
wire!(Version, as_text, {
    "type": "string",
    "description": "An opaque hash of the stored bytes."
});
wire!(Money, as_number, {
    "type": "number",
    "description": "US dollars, exact to the nano-dollar."
});
wire!(CostSum, as_number, {
    "type": "number",
    "description": "An exact sum in US dollars."
});
wire!(Milliseconds, as_number, {
    "type": "number",
    "description": "Milliseconds."
});
