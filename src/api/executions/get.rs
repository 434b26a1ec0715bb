//! `executions/get`: GET /executions/:id, the file's own JSON, whole or in pieces.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::json;

use super::{Named, read_named};
use crate::api::params::{RecordText, Texts};
use crate::api::table::{Answer, Effect, Example, Method, Weight};
use crate::api::{Context, Error, ErrorKind, samples};
use crate::history::{PieceQuery, RECORD_LIMIT_BYTES, Record};
use crate::model::excerpt::{Cut, Units};
use crate::model::piece::Piece;
use crate::model::pointer::Pointer;
use crate::model::{ExecutionId, ProjectId, RunKey, Version};

/// How many fields may be asked for at once.
const FIELDS_MAX: usize = 256;
/// How many bytes their pointers may have together.
const POINTERS_MAX: usize = 64 * 1024;
/// The largest record that is read where requests are taken in.
const AT_ONCE_MAX_BYTES: u64 = 256 * 1024;
/// The least that `maxBytes` may be: room for an empty record and what is told of it.
const MAX_BYTES_MIN: u64 = 1024;

/// Which run, and how much of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "GetParams")]
pub struct Params {
    /// The project's folder.
    // the schema stays the one that was released, less that it is required
    #[serde(default)]
    #[schemars(with = "ProjectId")]
    pub project_id: Option<ProjectId>,
    /// The file's stem.
    pub execution_id: ExecutionId,
    /// Only these members, as JSON pointers (RFC 6901), for example `/steps/3/output`; `execution`
    /// is absent then. At most 256, of 64 KiB together.
    #[schemars(length(max = FIELDS_MAX))]
    pub fields: Option<Texts>,
    /// Only these UTF-16 units of the text that the one of `fields` points to; a bound between the
    /// two halves of a character is moved before it.
    pub range: Option<Units>,
    /// How many bytes of record the answer may hold, what is told of cuts included; with `fields`
    /// 63 MiB if absent.
    #[serde(default)]
    pub max_bytes: MaxBytes,
    /// Where the run is not called so: everything done to the files before the request counts.
    pub sync: Option<bool>,
}

/// How much of a record is wanted, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct MaxBytes(Option<u64>);

impl<'de> Deserialize<'de> for MaxBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer) {
            Ok(bytes @ MAX_BYTES_MIN..=RECORD_LIMIT_BYTES) => Ok(Self(Some(bytes))),
            _ => Err(serde::de::Error::custom(format!(
                "must be a whole number from {MAX_BYTES_MIN} to {RECORD_LIMIT_BYTES}"
            ))),
        }
    }
}

impl JsonSchema for MaxBytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "MaxBytes".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "integer", "minimum": MAX_BYTES_MIN, "maximum": RECORD_LIMIT_BYTES
        })
    }
}

/// A record, or pieces of it.
#[derive(Debug, JsonSchema)]
#[schemars(rename = "GetResult", rename_all = "camelCase")]
pub struct Found {
    /// The file's own JSON: unknown members, number spellings and lone surrogates untouched. With
    /// `maxBytes` cut where `cut` says; absent with `fields`.
    #[schemars(with = "RecordText", default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Vec<u8>>,
    /// An opaque hash of the stored bytes; `ifVersion` takes it.
    pub version: Version,
    #[schemars(flatten)]
    rest: Rest,
}

/// What only new params bring.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Rest {
    /// Whose run it is, where that was not given by its own ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<ProjectId>,
    /// Which run it is, where that was not given by its own ids.
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<ExecutionId>,
    /// How large the record is, in bytes; with `fields` or `maxBytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    size_bytes: Option<u64>,
    /// Each of `fields`, by its pointer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<BTreeMap<String, Piece>>")]
    fields: Option<Fields>,
    /// Whether `execution` is not all that there is; with `maxBytes`.
    #[serde(skip_serializing_if = "Option::is_none")]
    truncated: Option<bool>,
    /// Every place in `execution` where something was left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Cut>>")]
    cut: Vec<Cut>,
}

/// Pieces by their pointers, in the order in which they were asked for.
#[derive(Debug)]
struct Fields(Vec<(String, Piece)>);

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (pointer, piece) in &self.0 {
            map.serialize_entry(pointer, piece)?;
        }
        map.end()
    }
}

impl From<Record> for Found {
    fn from(record: Record) -> Self {
        Self {
            execution: Some(record.json),
            version: record.version,
            rest: Rest::default(),
        }
    }
}

impl Answer for Found {
    fn text(self) -> serde_json::Result<Vec<u8>> {
        let rest = serde_json::to_vec(&self.rest)?;
        // less its braces
        let rest = rest.get(1..rest.len() - 1).unwrap_or_default();
        // the store has checked it; only its whitespace around goes
        let record = self.execution.as_deref().map(<[u8]>::trim_ascii);
        let (name, record, comma) = match record {
            Some(record) => (&b"\"execution\":"[..], record, &b","[..]),
            None => Default::default(),
        };
        let parts: [&[u8]; 9] = [
            b"{",
            name,
            record,
            comma,
            b"\"version\":\"",
            &self.version.digits(),
            if rest.is_empty() { b"\"" } else { b"\"," },
            rest,
            b"}",
        ];
        Ok(parts.concat())
    }
}

/// The method.
pub struct Get;

impl Method for Get {
    const NAME: &'static str = "executions/get";
    const SUMMARY: &'static str = "Gives one record, whole or in pieces.";
    const DESCRIPTION: &'static str = "Reads the file, whether the index has seen it or not. \
        Without `projectId`, `executionId` may also be the beginning of an id that only one run \
        has; and it may be `last` for the newest run by the order of lists, of that project or of \
        all. A run that is called just so comes first. Several: 409 with at most 20 of them, newest first, in \
        `candidates`, and how many there are in `total`. A beginning costs a look at every run. \
        A record over the limit that `initialize` tells is refused with its size, before it is \
        read, unless `fields` or `maxBytes` are given: then any record can be read piece by \
        piece, each time for memory for what is asked and, where a member is asked for the first \
        time, a reading of its file. Where there is not room for all, `fields` that are small are whole and the others share alike. An array \
        or object is cut by one measure: no text, number or name in it is longer, no array or \
        object has more parts, one within another about half as many, and none is nested deeper. \
        The largest is taken that there is room for, and what room it leaves is for the first texts \
        that it cuts. Every cut \
        is told with its pointer and true size.";
    const EFFECT: Effect = Effect::Read;
    const WEIGHT: Weight = Weight::Records;
    const ERRORS: &'static [ErrorKind] = &[
        ErrorKind::ExecutionNotFound,
        ErrorKind::Ambiguous,
        ErrorKind::CorruptExecution,
        ErrorKind::Storage,
    ];
    type Params = Params;
    type Result = Found;

    async fn call(context: Arc<Context>, params: Params) -> Result<Found, Error> {
        let asked = params.asked()?;
        let key = params.project_id.clone().map(|project| RunKey {
            project,
            execution: params.execution_id.clone(),
        });
        if let (None, Some(key)) = (&asked, &key)
            && let Some(record) = context.history.get_cached(key, AT_ONCE_MAX_BYTES)
        {
            return Ok(record.into());
        }
        let whole = params.fields.is_none();
        let named = Named {
            project: params.project_id,
            execution: params.execution_id,
        };
        let read = read_named(&context, named, params.sync, move |history, key, stop| {
            let Some(asked) = &asked else {
                return Ok(history.get(key)?.into());
            };
            let pieces = history.pieces(key, asked, stop)?;
            let mut found = Found {
                execution: None,
                version: pieces.version,
                rest: Rest {
                    size_bytes: Some(pieces.size_bytes),
                    ..Rest::default()
                },
            };
            if whole {
                for piece in pieces.pieces {
                    let json = piece.value.map(|value| value.get().as_bytes().to_vec());
                    found.execution = json;
                    found.rest.truncated = Some(piece.truncated);
                    found.rest.cut = piece.cut;
                }
            } else {
                let pointers = asked.fields.iter().map(|(pointer, _)| pointer.clone());
                found.rest.fields = Some(Fields(pointers.zip(pieces.pieces).collect()));
            }
            Ok(found)
        });
        let (found_key, mut found) = read.await?;
        if key.as_ref() != Some(&found_key) {
            found.rest.project_id = Some(found_key.project);
            found.rest.execution_id = Some(found_key.execution);
        }
        Ok(found)
    }

    fn examples() -> Vec<Example> {
        vec![
            Example {
                name: "a failed run",
                params: json!({ "projectId": "website", "executionId": samples::FAILED_ID }),
                result: json!({
                    "execution": samples::failed_record(),
                    "version": samples::failed_summary()["version"]
                }),
            },
            Example {
                name: "some of the run whose id begins so",
                params: json!({
                    "executionId": "exec-17605081",
                    "fields": ["/output", "/steps/1/output", "/steps/2"],
                    "maxBytes": 1024
                }),
                result: samples::pieces(),
            },
            Example {
                name: "a part of one text of the newest run",
                params: json!({
                    "projectId": "docs", "executionId": "last",
                    "fields": ["/input"], "range": { "start": 9, "end": 17 }
                }),
                result: samples::text_part(),
            },
        ]
    }
}

impl Params {
    /// Which pieces are asked for; none where it is the whole record.
    fn asked(&self) -> Result<Option<PieceQuery>, Error> {
        let fields = match &self.fields {
            None if self.range.is_some() => {
                return Err(Error::params(
                    "`range`: name the text that it is of in `fields`",
                ));
            }
            None if self.max_bytes.0.is_none() => return Ok(None),
            None => vec![String::new()],
            Some(fields) => {
                let mut seen = HashSet::new();
                fields
                    .0
                    .iter()
                    .filter(|field| seen.insert(*field))
                    .cloned()
                    .collect()
            }
        };
        if fields.len() > FIELDS_MAX || fields.iter().map(String::len).sum::<usize>() > POINTERS_MAX
        {
            return Err(Error::params(format!(
                "`fields`: at most {FIELDS_MAX}, of {POINTERS_MAX} bytes together"
            )));
        }
        if let Some(range) = self.range {
            if fields.len() != 1 {
                return Err(Error::params(
                    "`range`: it is of one text; name one in `fields`",
                ));
            }
            if range.start > range.end {
                return Err(Error::params("`range`: `start` must not be behind `end`"));
            }
        }
        let parsed = |field: String| match Pointer::parse(&field) {
            Ok(pointer) => Ok((field, pointer)),
            Err(error) => Err(Error::params(format!("`fields`: a JSON pointer {error}"))),
        };
        Ok(Some(PieceQuery {
            fields: fields.into_iter().map(parsed).collect::<Result<_, _>>()?,
            range: self.range,
            bytes_max: self.max_bytes.0.unwrap_or(RECORD_LIMIT_BYTES),
        }))
    }
}
