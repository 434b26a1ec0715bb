//! The summary of a run: one row of a list.
//!
//! Section 1 of the protocol: CloutAgent's own summary, field for field and absent where unknown,
//! and what a panel needs beside it. Plain data; it is made from the index and knows no file.

use schemars::JsonSchema;
use serde::Serialize;

use super::{ExecutionId, Millis, Milliseconds, Money, ProjectId, Tokens, Version};

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
    /// Tokens used; members that the record lacks are absent.
    #[serde(skip_serializing_if = "Tokens::is_unknown")]
    pub token_usage: Tokens,
    /// Cost in US dollars, exact to the nano-dollar.
    #[serde(rename = "costUSD", skip_serializing_if = "Option::is_none")]
    pub cost_usd: Option<Money>,
    /// The error, cut at 256 bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Present and true where `error` was cut.
    #[serde(skip_serializing_if = "is_false")]
    #[schemars(extend("const" = true))]
    pub error_truncated: bool,
    /// What to show as the run's name: `name`, else the first line of `input`; 80 characters at
    /// most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// The model that the record names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The file's modification time as last seen.
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
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's skip_serializing_if passes references
fn is_false(flag: &bool) -> bool {
    !flag
}
