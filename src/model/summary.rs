//! The summary of a run: one row of a list.
//!
//! Section 1 of the protocol: CloutAgent's own summary, field for field and absent where unknown,
//! and what a panel needs beside it. Plain data; it is made from the index and knows no file.

use schemars::JsonSchema;
use serde::Serialize;

use super::json::put_string;
use super::{Annotation, ExecutionId, Millis, Milliseconds, Money, ProjectId, Tokens, Version};

/// One run as lists and changes show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// The file's stem.
    pub id: ExecutionId,
    /// The project's folder.
    pub project_id: ProjectId,
    /// queued, running, paused, completed, failed, cancelled, or what else the record says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// When the run began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    /// When the run ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Millis>,
    /// How long the run took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Milliseconds>,
    /// Tokens used; members that the record lacks are absent, and so is this where it lacks all.
    #[serde(skip_serializing_if = "Tokens::is_unknown")]
    #[schemars(default)]
    pub token_usage: Tokens,
    /// Cost in US dollars, exact to the nano-dollar.
    #[serde(rename = "costUSD", skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Money>,
    /// The error, cut at 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Present and true where `error` was cut.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default, extend("const" = true))]
    pub error_truncated: bool,
    /// What to show as the run's name: `name`, else the first line of `input` that is not empty; 80
    /// characters at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The model that the record names, cut at 128 bytes: longer names that begin alike are one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The file's modification time as last seen, 2262-04-11 at the latest.
    pub updated_at: Millis,
    /// The file's size in bytes.
    pub size_bytes: u64,
    /// How many steps the record holds.
    pub step_count: u32,
    /// How often the run was tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<i64>,
    /// An opaque hash of the stored bytes; `ifVersion` takes it.
    pub version: Version,
    /// For queued and running runs: from this moment on the run counts as stale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_at: Option<Millis>,
    /// Present and true where somebody pinned the run.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(default, extend("const" = true))]
    pub pinned: bool,
    /// The tags that people gave the run, in the order of their bytes; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub tags: Vec<String>,
    /// What somebody noted on the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's skip_serializing_if passes references
fn is_false(flag: &bool) -> bool {
    !flag
}

/// A summary that borrows its texts. Lists are written from it: making and serialising fifty
/// [`Summary`]s takes longer than all the rest of the request.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)] // they are those of `Summary`
pub struct SummaryRef<'a> {
    pub id: &'a str,
    pub project_id: &'a ProjectId,
    pub status: Option<&'a str>,
    pub started_at: Option<Millis>,
    pub completed_at: Option<Millis>,
    pub duration: Option<Milliseconds>,
    pub token_usage: Tokens,
    pub cost_usd: Option<Money>,
    pub error: Option<&'a str>,
    pub error_truncated: bool,
    pub label: Option<&'a str>,
    pub model: Option<&'a str>,
    pub updated_at: Millis,
    pub size_bytes: u64,
    pub step_count: u32,
    pub retry_count: Option<i64>,
    pub version: Version,
    pub stale_at: Option<Millis>,
    pub annotation: Option<&'a Annotation>,
}

impl SummaryRef<'_> {
    /// A copy; `None` if `id` is no id.
    #[must_use]
    pub fn to_owned(&self) -> Option<Summary> {
        Some(Summary {
            id: ExecutionId::parse(self.id).ok()?,
            project_id: self.project_id.clone(),
            status: self.status.map(str::to_owned),
            started_at: self.started_at,
            completed_at: self.completed_at,
            duration: self.duration,
            token_usage: self.token_usage,
            cost_usd: self.cost_usd,
            error: self.error.map(str::to_owned),
            error_truncated: self.error_truncated,
            label: self.label.map(str::to_owned),
            model: self.model.map(str::to_owned),
            updated_at: self.updated_at,
            size_bytes: self.size_bytes,
            step_count: self.step_count,
            retry_count: self.retry_count,
            version: self.version,
            stale_at: self.stale_at,
            pinned: self.annotation.is_some_and(|annotation| annotation.pinned),
            tags: self.annotation.map_or_else(Vec::new, |of| of.tags.clone()),
            note: self
                .annotation
                .and_then(|annotation| annotation.note.clone()),
        })
    }

    /// Appends the JSON text that [`Summary`] serialises to, byte for byte.
    pub fn write(&self, out: &mut Vec<u8>) {
        put(out, b"{\"id\":");
        put_string(self.id, out);
        put_text(out, b",\"projectId\":", Some(self.project_id.as_str()));
        put_text(out, b",\"status\":", self.status);
        put_date(out, b",\"startedAt\":\"", self.started_at);
        put_date(out, b",\"completedAt\":\"", self.completed_at);
        if let Some(duration) = self.duration {
            put(out, b",\"duration\":");
            out.extend_from_slice(duration.spelling().as_bytes());
        }
        let tokens = self.token_usage;
        if !tokens.is_unknown() {
            put(out, b",\"tokenUsage\":");
            let inner = out.len();
            put_number(out, b",\"input\":", tokens.input);
            put_number(out, b",\"output\":", tokens.output);
            put_number(out, b",\"total\":", tokens.total);
            // the first of them has no comma
            out[inner] = b'{';
            out.push(b'}');
        }
        if let Some(cost) = self.cost_usd {
            put(out, b",\"costUSD\":");
            out.extend_from_slice(cost.spelling().as_bytes());
        }
        put_text(out, b",\"error\":", self.error);
        if self.error_truncated {
            put(out, b",\"errorTruncated\":true");
        }
        put_text(out, b",\"label\":", self.label);
        put_text(out, b",\"model\":", self.model);
        put_date(out, b",\"updatedAt\":\"", Some(self.updated_at));
        put_number(out, b",\"sizeBytes\":", Some(self.size_bytes));
        put_number(out, b",\"stepCount\":", Some(self.step_count));
        put_number(out, b",\"retryCount\":", self.retry_count);
        put(out, b",\"version\":\"");
        put(out, &self.version.digits());
        out.push(b'"');
        put_date(out, b",\"staleAt\":\"", self.stale_at);
        if let Some(annotation) = self.annotation {
            put_annotation(out, annotation);
        }
        out.push(b'}');
    }
}

fn put_annotation(out: &mut Vec<u8>, annotation: &Annotation) {
    if annotation.pinned {
        put(out, b",\"pinned\":true");
    }
    for (at, tag) in annotation.tags.iter().enumerate() {
        match at {
            0 => put(out, b",\"tags\":["),
            _ => out.push(b','),
        }
        put_string(tag, out);
    }
    if !annotation.tags.is_empty() {
        out.push(b']');
    }
    put_text(out, b",\"note\":", annotation.note.as_deref());
}

/// Appends what is known when this is compiled: a store or two, where a slice is a call.
#[inline]
fn put<const N: usize>(out: &mut Vec<u8>, bytes: &[u8; N]) {
    out.extend_from_slice(bytes);
}

fn put_text<const N: usize>(out: &mut Vec<u8>, before: &[u8; N], value: Option<&str>) {
    if let Some(value) = value {
        put(out, before);
        put_string(value, out);
    }
}

fn put_date<const N: usize>(out: &mut Vec<u8>, before: &[u8; N], value: Option<Millis>) {
    if let Some(value) = value {
        put(out, before);
        put(out, &value.date());
        out.push(b'"');
    }
}

fn put_number<const N: usize>(
    out: &mut Vec<u8>,
    before: &[u8; N],
    value: Option<impl itoa::Integer>,
) {
    if let Some(value) = value {
        put(out, before);
        out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn some<T: std::fmt::Debug + Clone>(
        value: impl Strategy<Value = T>,
    ) -> impl Strategy<Value = Option<T>> {
        prop::option::of(value)
    }

    proptest! {
        #[test]
        fn what_is_written_is_what_serde_serialises(
            id in "[^/\\\\\\.\\p{Cc}][^/\\\\\\p{Cc}]{0,20}",
            texts in prop::array::uniform4(some("\\PC{0,20}|[\\x00-\\x7f\\u{2028}\\u{7f}é😀]{0,80}")),
            dates in prop::array::uniform4(some(-70_000_000_000_000_i64..260_000_000_000_000)),
            numbers in prop::array::uniform5(some(any::<i64>())),
            cost in some(-9_000_000_000_000_000_000_i64..9_000_000_000_000_000_000),
            size in any::<u64>(), steps in any::<u32>(), cut: bool, version: [u8; 16],
            pinned: bool, tags in prop::collection::vec("\\PC{0,8}", 0..3), note in some("\\PC{0,20}"),
        ) {
            let annotation = Annotation { pinned, tags, note };
            let project = ProjectId::parse(&id).unwrap();
            let [status, error, label, model] = &texts;
            let [started_at, completed_at, stale_at, updated_at] = dates.map(|at| at.map(Millis));
            let [input, output, total, duration, retry_count] = numbers;
            let summary = SummaryRef {
                id: &id,
                project_id: &project,
                status: status.as_deref(),
                started_at,
                completed_at,
                duration: duration.map(Milliseconds),
                token_usage: Tokens { input, output, total },
                cost_usd: cost.and_then(Money::from_nanos),
                error: error.as_deref(),
                error_truncated: cut,
                label: label.as_deref(),
                model: model.as_deref(),
                updated_at: updated_at.unwrap_or(Millis(0)),
                size_bytes: size,
                step_count: steps,
                retry_count,
                version: Version(version),
                stale_at,
                annotation: Some(&annotation),
            };
            let mut written = Vec::new();
            summary.write(&mut written);
            let serialised = serde_json::to_string(&summary.to_owned().unwrap()).unwrap();
            prop_assert_eq!(String::from_utf8(written).unwrap(), serialised);
        }
    }
}
