//! Plain data: what a run is, and how a record is read.
//!
//! No IO, and nothing of ours below it. Everything that has a unit is a type here.

mod annotation;
pub mod decimal;
pub mod diff;
pub mod excerpt;
pub mod extract;
mod fingerprint;
mod id;
pub mod json;
mod kinds;
pub mod layout;
mod money;
mod nearest;
pub mod piece;
pub mod pointer;
mod problem;
mod seen;
mod stamp;
mod status;
pub mod steps;
mod summary;
mod time;
pub mod update;
mod window;
mod wire;

pub use annotation::{Annotation, AnnotationChange, AnnotationError, NOTE_MAX_CHARS};
pub use extract::{Facts, Finding, Milliseconds, Tokens};
pub use fingerprint::{Fingerprint, pattern};
pub use id::{EXECUTION_ID_MAX, ExecutionId, InvalidId, PROJECT_ID_MAX, ProjectId, RunKey};
pub(crate) use kinds::kinds;
pub use money::{CostSum, Money};
pub use nearest::nearest;
pub use problem::ProblemKind;
pub use seen::Seen;
pub use stamp::{Stamp, Version};
pub use status::Status;
pub use steps::{Step, Steps};
pub use summary::{Summary, SummaryRef};
pub use time::{Millis, read_span};
