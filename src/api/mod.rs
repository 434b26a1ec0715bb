//! The protocol's methods, as data and as code.
//!
//! One file a method, named after it, bound together by the [`table`]. Handlers take typed params
//! and give typed results; they know the history and nothing of connections. The kinds of errors
//! and their codes stand in [`error`] alone.

pub mod error;
pub mod error_groups;
pub mod executions;
pub mod filter;
pub mod lifecycle;
pub mod members;
pub mod nodes;
pub mod openrpc;
pub mod params;
pub(crate) mod place;
pub mod progress;
pub mod projects;
pub mod python;
pub mod reference;
pub mod samples;
pub mod server;
pub mod table;
pub(crate) mod taking_back;
pub mod trash;
pub mod typescript;

use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

pub use error::{Error, ErrorKind};
pub use executions::prune::PrunePolicy;

use crate::history::History;
use crate::index;
use crate::model::json::RECORD_NESTING_MAX;
use crate::search::Search;

/// The version of the protocol.
pub const PROTOCOL_VERSION: u32 = 1;
/// The largest frame and the largest answer, in bytes.
pub const FRAME_LIMIT_BYTES: usize = 64 * 1024 * 1024;
/// How deep a frame or a record may be nested.
pub const NESTING_LIMIT: usize = RECORD_NESTING_MAX;
/// How many bytes a request's id may have: each is held, compared and echoed.
pub const ID_LIMIT_BYTES: usize = 1024;
/// How many entries a batch may have.
pub const BATCH_LIMIT: usize = 1000;
/// How many requests of a connection may be unanswered.
pub const UNANSWERED_LIMIT: usize = 1024;
/// Below how many bytes of unsent answers a request of that connection starts.
pub const UNSENT_LIMIT_BYTES: usize = 16 * 1024 * 1024;
/// How many requests of a connection with a page of runs, or as much, are under way at once.
pub const PAGES_MAX: usize = 16;
/// And with whole records.
pub const RECORDS_MAX: usize = 4;
/// How many subscriptions a connection may have.
pub const SUBSCRIPTION_LIMIT: u32 = 256;

/// What all methods share.
#[derive(Debug)]
pub struct Context {
    /// The history that is served.
    pub history: Arc<History>,
    /// The search over it.
    pub search: Search,
    /// When the daemon started.
    pub started: Instant,
    /// Where a root was looked for, if none was found.
    pub tried: Vec<String>,
    /// The policy that the user's file has for a root, or what is wrong with it; blocks.
    pub policy: fn(&Path) -> Result<Option<PrunePolicy>, String>,
    /// How many connections there are.
    pub sessions: AtomicUsize,
    /// Since when the daemon has been ending.
    pub ending: OnceLock<Instant>,
}

#[cfg(test)]
impl Context {
    /// That of a history, with nothing beside it.
    pub(crate) fn over(history: &Arc<History>) -> Arc<Self> {
        Arc::new(Self {
            search: Search::start(history, None),
            history: Arc::clone(history),
            started: Instant::now(),
            tried: Vec::new(),
            policy: |_| Ok(None),
            sessions: AtomicUsize::new(0),
            ending: OnceLock::new(),
        })
    }
}

/// A clock on the wire: opaque to clients.
#[derive(Debug, Clone, Copy)]
pub struct Clock(pub index::Clock);

impl Serialize for Clock {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl JsonSchema for Clock {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Clock".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A state of the index; opaque. Pass it as `since`."
        })
    }
}
