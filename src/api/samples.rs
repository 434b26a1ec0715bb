//! A small root with records of real shape: what the examples and the demo are about.
//!
//! The records are text in the engine's own form, and what the protocol says of them is written
//! out here by hand, so that the examples, which run as tests, prove something.

use std::path::Path;

use serde_json::{Value, json};

use super::{
    BATCH_LIMIT, FRAME_LIMIT_BYTES, ID_LIMIT_BYTES, NESTING_LIMIT, SUBSCRIPTION_LIMIT,
    UNANSWERED_LIMIT, UNSENT_LIMIT_BYTES,
};
use crate::history::RECORD_LIMIT_BYTES;
use crate::model::Fingerprint;

/// Stands for any clock in an example.
pub const CLOCK: &str = "c:8d3f0a6b52c91e74:5";
/// Stands for any plan in an example.
pub const PLAN: &str = "6f2c90d1@1760512600000/41b8e0c7d93a652f";
/// Stands for any subscription's id in an example.
pub const SUBSCRIPTION: u64 = 1;
/// What a deletion of a sample is in the trash.
pub const BATCH: &str = "1760512600000-5f0c8a1be2d49377";
/// The run that failed.
pub const FAILED_ID: &str = "exec-1760504566569-y49gl3ayg";

/// The run that goes on.
pub const RUNNING_ID: &str = "exec-1760511745310-p8c2xw6rt";

/// The runs: project, id and text of the file.
pub const RUNS: [(&str, &str, &str); 4] = [
    (
        "website",
        "exec-1760504566569-y49gl3ayg",
        include_str!("samples/failed.json"),
    ),
    (
        "website",
        "exec-1760508120004-4k1zq0vbn",
        include_str!("samples/completed.json"),
    ),
    (
        "website",
        "exec-1760511745310-p8c2xw6rt",
        include_str!("samples/running.json"),
    ),
    (
        "docs",
        "exec-1759381229897-b7m3s9d0f",
        include_str!("samples/docs.json"),
    ),
];

/// A run that is not there yet.
pub const NEW_ID: &str = "exec-1760512000000-n3w0n3w0n";
/// Its text.
pub const NEW: &str = include_str!("samples/new.json");

/// Writes the runs below `root`, as the engine would.
///
/// # Errors
/// Those of the file system.
pub fn lay_out(root: &Path) -> std::io::Result<()> {
    for (project, id, text) in RUNS {
        save_as_engine(root, project, id, text)?;
    }
    Ok(())
}

/// Puts a deleted run into the trash of its project, as a deletion does: what the examples of the
/// trash are about.
///
/// # Errors
/// Those of the file system.
pub fn lay_out_trash(root: &Path) -> std::io::Result<()> {
    let batch = root.join("website/.runlog/trash").join(BATCH);
    std::fs::create_dir_all(&batch)?;
    std::fs::write(batch.join(format!("{NEW_ID}.json")), NEW.trim_end())
}

/// Saves a run as the engine does: a temporary file beside it, then a rename.
///
/// # Errors
/// Those of the file system.
pub fn save_as_engine(root: &Path, project: &str, id: &str, text: &str) -> std::io::Result<()> {
    let folder = root.join(project).join("executions");
    std::fs::create_dir_all(&folder)?;
    let temporary = folder.join(format!("{id}.json.tmp"));
    std::fs::write(&temporary, text.trim_end())?;
    std::fs::rename(temporary, folder.join(format!("{id}.json")))
}

fn record(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

fn version(text: &str) -> String {
    crate::store::version_of(text.trim_end().as_bytes()).to_string()
}

pub(super) fn failed_record() -> Value {
    record(RUNS[0].2)
}

pub(super) fn failed_summary() -> Value {
    json!({
        "id": FAILED_ID,
        "projectId": "website",
        "status": "failed",
        "startedAt": "2025-10-15T05:02:46.569Z",
        "completedAt": "2025-10-15T05:02:46.569Z",
        "duration": 0,
        "tokenUsage": { "input": 0, "output": 0, "total": 0 },
        "costUSD": 0,
        "error": "Workflow validation failed: Workflow must have at least one node; \
                  Workflow must have exactly one agent node",
        "label": "Summarise the open pull requests",
        "updatedAt": "2025-10-15T05:02:46.570Z",
        "sizeBytes": RUNS[0].2.trim_end().len(),
        "stepCount": 0,
        "retryCount": 0,
        "version": version(RUNS[0].2)
    })
}

pub(super) fn new_record() -> Value {
    record(NEW)
}

pub(super) fn new_summary() -> Value {
    // an example's params are sent with their names sorted, and are stored in that order
    let stored = serde_json::to_string_pretty(&new_record()).unwrap_or_default();
    json!({
        "id": NEW_ID,
        "projectId": "website",
        "status": "completed",
        "startedAt": "2025-10-15T07:06:40.000Z",
        "completedAt": "2025-10-15T07:06:52.480Z",
        "duration": 12480,
        "tokenUsage": { "input": 910, "output": 344, "total": 1254 },
        "costUSD": 0.0079,
        "label": "Check the links of the release notes",
        "updatedAt": "2025-10-15T07:06:52.500Z",
        "sizeBytes": stored.len(),
        "stepCount": 1,
        "retryCount": 0,
        "version": version(&stored)
    })
}

/// A run that is being started.
pub(super) const STARTED_ID: &str = "manual-7";

/// The trash that [`lay_out_trash`] makes.
pub(super) fn trash() -> Value {
    let mut summary = new_summary();
    summary["sizeBytes"] = NEW.trim_end().len().into();
    summary["version"] = version(NEW).into();
    json!({
        "entries": [{
            "entry": format!("website/{BATCH}/{NEW_ID}"), "batch": BATCH,
            "projectId": "website", "executionId": NEW_ID,
            "deletedAt": "2025-10-15T07:16:40.000Z", "sizeBytes": NEW.trim_end().len(),
            "summary": summary
        }],
        "total": 1, "totalBytes": NEW.trim_end().len(), "nextCursor": null, "unreadable": []
    })
}

pub(super) fn started_summary() -> Value {
    let stored = "{\n  \"id\": \"manual-7\",\n  \"projectId\": \"docs\",\n  \
        \"status\": \"running\",\n  \"startedAt\": \"2025-10-15T07:06:40.000Z\",\n  \
        \"tokenUsage\": {\n    \"input\": 0,\n    \"output\": 0,\n    \"total\": 0\n  },\n  \
        \"costUSD\": 0,\n  \"steps\": [],\n  \"retryCount\": 0,\n  \"name\": \"Index the manual\"\n}";
    json!({
        "id": STARTED_ID,
        "projectId": "docs",
        "status": "running",
        "startedAt": "2025-10-15T07:06:40.000Z",
        "tokenUsage": { "input": 0, "output": 0, "total": 0 },
        "costUSD": 0,
        "label": "Index the manual",
        "updatedAt": "2025-10-15T07:06:40.001Z",
        "sizeBytes": stored.len(),
        "stepCount": 0,
        "retryCount": 0,
        "version": version(stored),
        "staleAt": "2025-10-15T08:06:40.001Z"
    })
}

pub(super) fn updated_summary() -> Value {
    let mut lines: Vec<&str> = RUNS[2].2.trim_end().lines().collect();
    let ended = [
        ("  \"status\": \"running\",", "  \"status\": \"completed\","),
        ("    \"input\": 1220,", "    \"input\": 1340,"),
        ("    \"output\": 360,", "    \"output\": 440,"),
        ("    \"total\": 1580", "    \"total\": 1780"),
        ("  \"costUSD\": 0.0144,", "  \"costUSD\": 0.0165,"),
        (
            "      \"status\": \"running\",",
            "      \"status\": \"completed\",",
        ),
        (
            "  \"retryCount\": 1",
            "  \"retryCount\": 1,\n  \"completedAt\": \
            \"2025-10-15T07:02:55.310Z\",\n  \"duration\": 30000",
        ),
    ];
    for line in &mut lines {
        if let Some((_, after)) = ended.iter().find(|(before, _)| before == line) {
            *line = after;
        }
    }
    let stored = lines.join("\n");
    json!({
        "id": RUNNING_ID,
        "projectId": "website",
        "status": "completed",
        "startedAt": "2025-10-15T07:02:25.310Z",
        "completedAt": "2025-10-15T07:02:55.310Z",
        "duration": 30000,
        "tokenUsage": { "input": 1340, "output": 440, "total": 1780 },
        "costUSD": 0.0165,
        "label": "Translate the landing page into Portuguese",
        "updatedAt": "2025-10-15T07:02:55.320Z",
        "sizeBytes": stored.len(),
        "stepCount": 1,
        "retryCount": 1,
        "version": version(&stored)
    })
}

pub(super) fn pieces() -> Value {
    let step = "\"## 2.4\\n\\n- Pages load twice as fast.\"";
    let whole =
        "\"## 2.4\\n\\n- Pages load twice as fast.\\n- The search finds words with accents.\"";
    let text = |spelt: &str| {
        let value = record(spelt);
        let length = value.as_str().map(|text| text.encode_utf16().count());
        json!({
            "kind": "string", "sizeBytes": spelt.len(), "length": length, "value": value,
            "truncated": false
        })
    };
    json!({
        "version": version(RUNS[1].2),
        "projectId": "website",
        "executionId": RUNS[1].1,
        "sizeBytes": RUNS[1].2.trim_end().len(),
        "fields": {
            "/output": text(whole),
            "/steps/1/output": text(step),
            "/steps/2": { "kind": "missing", "truncated": false }
        }
    })
}

pub(super) fn diff() -> Value {
    let run = |which: usize| {
        let (project, id, text) = RUNS[which];
        json!({ "projectId": project, "executionId": id, "version": version(text) })
    };
    let text = |value: &str| {
        json!({
            "kind": "string", "sizeBytes": value.len() + 2, "length": value.len(), "value": value,
            "truncated": false
        })
    };
    let number = |value: Value| {
        let size = value.to_string().len();
        json!({ "kind": "number", "sizeBytes": size, "value": value, "truncated": false })
    };
    let tokens = |size: usize, value: Value| {
        json!({
            "kind": "object", "sizeBytes": size, "length": 3, "value": value, "truncated": false
        })
    };
    let error = "Workflow validation failed: Workflow must have at least one node; \
        Workflow must have exactly one agent node";
    let delta = |b: u64| json!({ "a": 0, "b": b, "difference": b });
    json!({
        "a": run(0),
        "b": run(2),
        "equal": false,
        "changed": [
            { "pointer": "/id", "a": text(FAILED_ID), "b": text(RUNNING_ID) },
            { "pointer": "/status", "a": text("failed"), "b": text("running") },
            {
                "pointer": "/input",
                "a": text("Summarise the open pull requests"),
                "b": text("Translate the landing page into Portuguese")
            },
            {
                "pointer": "/startedAt",
                "a": text("2025-10-15T05:02:46.569Z"), "b": text("2025-10-15T07:02:25.310Z")
            },
            {
                "pointer": "/tokenUsage",
                "a": tokens(53, json!({ "input": 0, "output": 0, "total": 0 })),
                "b": tokens(61, json!({ "input": 1220, "output": 360, "total": 1580 }))
            },
            { "pointer": "/costUSD", "a": number(json!(0)), "b": number(json!(0.0144)) },
            { "pointer": "/retryCount", "a": number(json!(0)), "b": number(json!(1)) },
            { "pointer": "/error", "a": text(error) },
            { "pointer": "/completedAt", "a": text("2025-10-15T05:02:46.569Z") },
            { "pointer": "/duration", "a": number(json!(0)) }
        ],
        "moreChanged": 0,
        "stepCounts": { "both": 0, "unchanged": 0, "moved": 0, "onlyA": 0, "onlyB": 1 },
        "steps": [{
            "side": "onlyB", "calledBy": "nodeId", "called": "translate", "occurrence": 0, "b": 0,
            "moved": false, "changed": [], "moreChanged": 0
        }],
        "moreSteps": 0,
        "costUSD": { "a": 0, "b": 0.0144, "difference": 0.0144 },
        "duration": { "a": 0 },
        "inputTokens": delta(1220),
        "outputTokens": delta(360),
        "totalTokens": delta(1580)
    })
}

pub(super) fn text_part() -> Value {
    json!({
        "version": version(RUNS[3].2),
        "projectId": "docs",
        "executionId": RUNS[3].1,
        "sizeBytes": RUNS[3].2.trim_end().len(),
        "fields": {
            "/input": {
                "kind": "string", "sizeBytes": 39, "length": 37, "value": "examples",
                "range": { "start": 9, "end": 17 }, "truncated": true
            }
        }
    })
}

pub(super) fn stats() -> Value {
    json!({
        "totalExecutions": 3, "completed": 1, "failed": 1, "running": 1, "queued": 0, "paused": 0,
        "cancelled": 0, "other": 0, "totalCostUSD": 0.0433, "totalTokens": 6420,
        "inputTokens": 4870, "outputTokens": 1550, "successRate": 0.5, "averageDuration": 18_356,
        "clock": CLOCK, "complete": true
    })
}

pub(super) fn checked() -> Value {
    json!({
        "ok": true,
        "completions": [{ "text": "website", "kind": "value", "from": 10, "to": 12 }],
        "canonical": "project = we"
    })
}

pub(super) fn filtered_stats() -> Value {
    let spread = |min: Value, max: Value, mean: Value| {
        json!({
            "count": 2, "min": min, "max": max, "mean": mean,
            "p50": min, "p90": max, "p95": max, "p99": max
        })
    };
    json!({
        "totalExecutions": 2, "completed": 1, "failed": 1, "running": 0, "queued": 0, "paused": 0,
        "cancelled": 0, "other": 0, "totalCostUSD": 0.0289, "totalTokens": 4840,
        "inputTokens": 3650, "outputTokens": 1190, "successRate": 0.5, "averageDuration": 18_356,
        "successRateOf": 2,
        "duration": spread(json!(0), json!(36_711), json!(18_355.5)),
        "cost": spread(json!(0), json!(0.0289), json!(0.01445)),
        "clock": CLOCK, "complete": true
    })
}

pub(super) fn most_expensive() -> Value {
    json!({
        "executions": [
            { "id": "exec-1760508120004-4k1zq0vbn", "costUSD": 0.0289 },
            { "id": RUNNING_ID, "costUSD": 0.0144 },
            { "id": "exec-1759381229897-b7m3s9d0f", "costUSD": 0.001 },
            { "id": FAILED_ID, "costUSD": 0 }
        ],
        "total": 4, "nextCursor": null, "clock": CLOCK, "complete": true
    })
}

pub(super) fn days() -> Value {
    let sums = |runs: u64, cost: Value, input: u64, output: u64| {
        json!({
            "executions": runs, "completed": runs, "failed": 0, "running": 0, "queued": 0,
            "paused": 0, "cancelled": 0, "other": 0, "totalCostUSD": cost,
            "totalTokens": input + output, "inputTokens": input, "outputTokens": output,
            "successRate": (runs > 0).then_some(1.0)
        })
    };
    let spread = |count: u64, took: Value| {
        json!({
            "count": count, "min": took, "max": took, "mean": took,
            "p50": took, "p90": took, "p95": took, "p99": took
        })
    };
    let day = |start: &str, end: &str, mut day: Value, duration: Value| {
        day["start"] = format!("{start}T22:00:00.000Z").into();
        day["end"] = format!("{end}T22:00:00.000Z").into();
        day["duration"] = duration;
        day
    };
    let none = || sums(0, json!(0), 0, 0);
    json!({
        "buckets": [
            day("2025-09-30", "2025-10-01", none(), spread(0, Value::Null)),
            day("2025-10-01", "2025-10-02", sums(1, json!(0.001), 100, 50), spread(1, json!(500))),
            day("2025-10-02", "2025-10-03", none(), spread(0, Value::Null)),
        ],
        "undated": none(), "clock": CLOCK, "complete": true
    })
}

pub(super) fn exported() -> Value {
    let text = "projectId,id,status,label,model,startedAt,completedAt,duration,costUSD,inputTokens,\
                outputTokens,totalTokens,stepCount,retryCount,sizeBytes,updatedAt,error,pinned,\
                tags,note\r\n";
    json!({
        "rows": 0, "bytes": text.len(), "text": text, "nextCursor": null,
        "clock": CLOCK, "complete": true
    })
}

pub(super) fn slowest_nodes() -> Value {
    let once = |node: &str, took: u64, input: u64, output: u64| {
        json!({
            "nodeId": node, "runs": 1, "steps": 1, "failures": 0,
            "duration": {
                "count": 1, "min": took, "max": took, "mean": took,
                "p50": took, "p90": took, "p95": took, "p99": took
            },
            "inputTokens": input, "outputTokens": output, "totalTokens": input + output,
            "costUSD": null
        })
    };
    json!({
        "nodes": [once("write", 22_190, 2440, 970), once("collect", 14_492, 1210, 220)],
        "total": 3, "truncatedRuns": 0, "clock": CLOCK, "complete": true
    })
}

pub(super) fn error_groups() -> Value {
    let error = failed_summary()["error"].clone();
    json!({
        "groups": [{
            "fingerprint": Fingerprint::of(error.as_str().unwrap_or_default()).to_string(),
            "pattern": error,
            "count": 1,
            "firstSeenAt": "2025-10-15T05:02:46.569Z",
            "lastSeenAt": "2025-10-15T05:02:46.569Z",
            "example": { "projectId": "website", "executionId": FAILED_ID, "error": error },
            "new": true
        }],
        "total": 1, "clock": CLOCK, "complete": true
    })
}

pub(super) fn projects() -> Value {
    json!({
        "projects": [
            { "id": "website", "executions": 3, "running": 1, "failed": 1,
              "lastStartedAt": "2025-10-15T07:02:25.310Z", "totalCostUSD": 0.0433 },
            { "id": "docs", "executions": 1, "running": 0, "failed": 0,
              "lastStartedAt": "2025-10-02T05:00:29.897Z", "totalCostUSD": 0.001 }
        ],
        "clock": CLOCK, "complete": true
    })
}

pub(super) fn initialized() -> Value {
    // the names are the table's own; asking it while it is being made would wait for ever
    json!({
        "protocolVersion": 1,
        "serverInfo": { "name": "runlog", "version": env!("CARGO_PKG_VERSION") },
        "capabilities": {
            "methods": ["initialize", "shutdown", "ping", "rpc.discover", "server/status",
                "server/problems", "filter/check", "projects/list", "executions/list", "executions/get",
                "executions/diff", "executions/count", "executions/stats", "executions/series",
                "executions/search", "executions/export", "executions/save", "executions/start",
                "executions/update", "executions/annotate", "executions/delete", "executions/deleteAll",
                "executions/deleteMatching", "executions/prune", "executions/restore", "trash/list",
                "trash/empty", "executions/subscribe", "executions/unsubscribe",
                "executions/changes", "nodes/stats", "errors/groups"],
            "features": { "trash": true, "search": crate::search::AVAILABLE, "annotations": true },
            "limits": {
                "frameBytes": FRAME_LIMIT_BYTES, "answerBytes": FRAME_LIMIT_BYTES,
                "recordBytes": RECORD_LIMIT_BYTES, "nesting": NESTING_LIMIT,
                "idBytes": ID_LIMIT_BYTES, "batchEntries": BATCH_LIMIT, "unansweredRequests": UNANSWERED_LIMIT,
                "unsentBytes": UNSENT_LIMIT_BYTES, "subscriptions": SUBSCRIPTION_LIMIT
            }
        },
        "root": { "path": "/home/me/agents/projects", "exists": true }
    })
}

pub(super) fn status() -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"), "pid": 4711, "uptimeMs": 12,
        "root": { "path": "/home/me/agents/projects", "exists": true },
        "projects": 2, "executions": 4,
        "indexing": { "state": "ready", "done": 4, "total": 4 },
        "watcher": { "backend": "inotify", "healthy": true, "folders": 7, "overflows": 0,
                     "compareEveryMs": 300_000, "compareTookMs": 0, "compares": 0,
                     "unwatched": 0 },
        "restored": false,
        "sessions": 1, "problems": 0, "tombstones": 0, "filesRead": 4,
        "memory": { "residentBytes": 9_437_184, "stepDataBytes": 12_345 },
        "clock": CLOCK
    })
}
