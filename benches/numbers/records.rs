//! Records as agents leave them: most of some 10 kB, a few of up to 1 MB, 1 to 40 steps.
//!
//! The same number gives the same record on every machine. Sizes follow a lognormal distribution
//! with a median of 10 kB and a mean of 14 kB; one in a thousand has between 100 kB and 1 MB.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::random::Random;

/// Half the runs are of the first project, the rest is spread over the others.
pub const PROJECTS: [&str; 8] = [
    "website", "docs", "billing", "search", "mobile", "infra", "data", "labs",
];

/// The median of what a record has, in bytes.
const MEDIAN_BYTES: f64 = 10_000.0;
/// Of the logarithms of the sizes; with it the mean is 1.35 times the median.
const SIGMA: f64 = 0.775;
const LARGEST_BYTES: usize = 1_000_000;
/// 2025-01-01T00:00:00Z.
const FIRST_START_MS: u64 = 1_735_689_600_000;

const WORDS: [&str; 48] = [
    "the",
    "agent",
    "reads",
    "every",
    "open",
    "issue",
    "and",
    "writes",
    "a",
    "summary",
    "for",
    "each",
    "of",
    "them",
    "then",
    "checks",
    "whether",
    "tests",
    "pass",
    "before",
    "it",
    "asks",
    "for",
    "review",
    "because",
    "nobody",
    "wants",
    "to",
    "merge",
    "what",
    "is",
    "broken",
    "on",
    "main",
    "(see",
    "src/lib.rs:42)",
    "naïve",
    "café",
    "résumé",
    "\\\"quoted\\\"",
    "C:\\\\temp",
    "→",
    "日本語",
    "100%",
    "https://example.invalid/a?b=c",
    "null",
    "retry",
    "tokens",
];

/// What a run is, but for its text.
pub struct Run {
    pub project: &'static str,
    pub id: String,
    pub text: String,
}

/// Run number `number`, of about `scale` times the usual size.
pub fn run(number: usize, scale: f64) -> Run {
    let mut random = Random::of(number as u64);
    let project = match random.below(2) {
        0 => PROJECTS[0],
        _ => PROJECTS[1 + random.below(PROJECTS.len() - 1)],
    };
    // one every five minutes, not quite in the order of the numbers
    let started = FIRST_START_MS + number as u64 * 300_000 + random.below(600_000) as u64;
    let id = format!("exec-{started}-{}", base36(&mut random));
    let size = size_bytes(&mut random, scale);
    let text = record(&mut random, project, &id, started, size);
    Run { project, id, text }
}

/// A record of `bytes` bytes, more or less, that started at `started`.
pub fn record(random: &mut Random, project: &str, id: &str, started: u64, bytes: usize) -> String {
    let status = match random.below(100) {
        0..78 => "completed",
        78..93 => "failed",
        93..97 => "cancelled",
        97..99 => "running",
        _ => "paused",
    };
    let steps = (1 + bytes / 2_500 + random.below(3)).min(40);
    let duration = 500 + random.below(120_000) as u64;
    let (input, output) = (random.below(20_000), random.below(4_000));
    let mut out = String::with_capacity(bytes + 2_000);
    let _ = write!(
        out,
        "{{\n  \"id\": \"{id}\",\n  \"projectId\": \"{project}\",\n  \"status\": \"{status}\",\n  \
         \"input\": \"{}\",\n  \"output\": \"{}\",\n  \"startedAt\": \"{}\",\n  \"completedAt\": \
         \"{}\",\n  \"duration\": {duration},\n  \"tokenUsage\": {{\n    \"input\": {input},\n    \
         \"output\": {output},\n    \"total\": {}\n  }},\n  \"costUSD\": 0.{:06},\n  \
         \"retryCount\": {},\n",
        words(random, 60),
        words(random, 200),
        date(started),
        date(started + duration),
        input + output,
        random.below(900_000),
        random.below(3),
    );
    if status == "failed" {
        let _ = writeln!(
            out,
            "  \"error\": \"Error: {} after {} ms at step-{}\",",
            words(random, 30),
            random.below(9_000),
            random.below(steps) + 1,
        );
    }
    out.push_str("  \"model\": \"claude-sonnet-4\",\n  \"steps\": [");
    let each = bytes.saturating_sub(out.len()) / steps;
    for step in 0..steps {
        let kind = ["agent", "subagent", "hook", "mcp"][random.below(4)];
        let _ = write!(
            out,
            "{}\n    {{\n      \"id\": \"step-{}\",\n      \"nodeId\": \"node-{}\",\n      \
             \"nodeType\": \"{kind}\",\n      \"status\": \"completed\",\n      \"duration\": {},\n      \
             \"input\": {{\n        \"prompt\": \"{}\",\n        \"attempt\": {}\n      }},\n      \
             \"output\": \"{}\"\n    }}",
            if step == 0 { "" } else { "," },
            step + 1,
            random.below(12),
            random.below(9_000),
            words(random, each / 4),
            random.below(4),
            words(random, (each * 3 / 4).saturating_sub(240)),
        );
    }
    out.push_str("\n  ]\n}");
    out
}

/// Writes `count` runs below `root`; their files in the order of the numbers.
pub fn lay_out(root: &Path, count: usize, scale: f64) -> io::Result<Vec<PathBuf>> {
    for project in PROJECTS {
        fs::create_dir_all(root.join(project).join("executions"))?;
    }
    let mut files = Vec::with_capacity(count);
    for number in 0..count {
        let run = run(number, scale);
        let file = root
            .join(run.project)
            .join("executions")
            .join(format!("{}.json", run.id));
        fs::write(&file, run.text)?;
        files.push(file);
    }
    Ok(files)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // positive and capped
fn size_bytes(random: &mut Random, scale: f64) -> usize {
    let bytes = if random.below(1000) == 0 {
        (100_000 + random.below(900_000)) as f64
    } else {
        MEDIAN_BYTES * (SIGMA * random.normal()).exp()
    };
    ((bytes * scale) as usize).min(LARGEST_BYTES)
}

/// Some `bytes` bytes of text, with escapes as in a JSON string, and now and then a line's end.
fn words(random: &mut Random, bytes: usize) -> String {
    let mut text = String::with_capacity(bytes + 40);
    while text.len() < bytes {
        text.push_str(WORDS[random.below(WORDS.len())]);
        text.push_str(if random.below(15) == 0 { "\\n" } else { " " });
    }
    text
}

fn base36(random: &mut Random) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    (0..9)
        .map(|_| char::from(DIGITS[random.below(36)]))
        .collect()
}

pub fn date(millis: u64) -> String {
    let at = i64::try_from(millis)
        .ok()
        .and_then(chrono::DateTime::from_timestamp_millis);
    at.unwrap_or_default()
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}
