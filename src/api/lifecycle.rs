//! How a connection begins and ends, and what is served on it.
//!
//! Section 3 of the protocol. What these methods do to the connection itself is the session's;
//! here is what they answer.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::table::{Effect, Example, Method, Weight, table};
use super::{
    BATCH_LIMIT, Context, Error, ErrorKind, FRAME_LIMIT_BYTES, ID_LIMIT_BYTES, NESTING_LIMIT,
    PROTOCOL_VERSION, SUBSCRIPTION_LIMIT, UNANSWERED_LIMIT, UNSENT_LIMIT_BYTES, openrpc, samples,
};
use crate::history::RECORD_LIMIT_BYTES;

/// What a client says of itself; everything is optional and other members are ignored.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeParams {
    /// The client's process; on stdio the daemon ends when it does.
    #[allow(dead_code)] // the session reads it from the message
    pub process_id: Option<Value>,
    /// The client's name and version.
    #[allow(dead_code)] // accepted as language clients send it
    pub client_info: Option<Value>,
    /// The protocol version that the client wants.
    #[allow(dead_code)] // there is one version
    pub protocol_version: Option<Value>,
    /// What the client can do. With `relay: true` it passes on the messages of another one, whose
    /// own `initialize` is still to come.
    #[allow(dead_code)] // the session reads it from the message
    pub capabilities: Option<Value>,
}

/// What is served.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InitializeResult {
    /// The version of the protocol.
    pub protocol_version: u32,
    /// Who serves.
    pub server_info: ServerInfo,
    /// What can be asked.
    pub capabilities: Capabilities,
    /// Which root is served.
    pub root: Root,
    /// With `serve --shared`: whether the root's shared daemon answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<Shared>,
}

/// How a client of `serve --shared` is served.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Shared {
    /// Whether the shared daemon answers; else this process does, by itself.
    pub active: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Who serves.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ServerInfo {
    /// runlog.
    pub name: String,
    /// The program's version.
    pub version: String,
}

/// What can be asked.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Capabilities {
    /// The names of all methods.
    pub methods: Vec<String>,
    /// What is there or not, by name.
    pub features: Features,
    /// What is refused, by name.
    pub limits: Limits,
}

/// What is there or not.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Features {
    /// Whether deletions can be undone.
    pub trash: bool,
    /// Whether `executions/search` can search.
    pub search: bool,
    /// Whether runs can be pinned, tagged and noted on.
    pub annotations: bool,
}

/// What is refused.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// The largest frame, in bytes.
    pub frame_bytes: u64,
    /// The largest answer, in bytes.
    pub answer_bytes: u64,
    /// The largest record that is given or stored whole, in bytes.
    pub record_bytes: u64,
    /// How deep a frame or record may be nested.
    pub nesting: usize,
    /// How many bytes a request's id may have.
    pub id_bytes: usize,
    /// How many entries a batch may have.
    pub batch_entries: usize,
    /// How many requests of a connection may be unanswered.
    pub unanswered_requests: usize,
    /// Below how many bytes of unsent answers a connection's requests are started.
    pub unsent_bytes: usize,
    /// How many subscriptions a connection may have.
    pub subscriptions: u32,
}

/// Which root is served.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Root {
    /// The folder that holds the projects.
    pub path: String,
    /// Whether it is there.
    pub exists: bool,
    /// Where one was looked for, if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried: Option<Vec<String>>,
}

impl Root {
    /// The root that `context` serves.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        let exists = context.history.root_exists();
        Self {
            path: context.history.root().display().to_string(),
            exists,
            tried: (!exists).then(|| context.tried.clone()),
        }
    }
}

/// The method that begins.
pub struct Initialize;

impl Method for Initialize {
    const NAME: &'static str = "initialize";
    const SUMMARY: &'static str = "Introduces the client and tells what is served.";
    const DESCRIPTION: &'static str = "Optional: who skips it gets the defaults. On stdio the \
        daemon ends when the process `processId` does.";
    const EFFECT: Effect = Effect::None;
    const ERRORS: &'static [ErrorKind] = &[];
    const LENIENT: bool = true;
    type Params = InitializeParams;
    type Result = InitializeResult;

    async fn call(context: Arc<Context>, _: InitializeParams) -> Result<InitializeResult, Error> {
        Ok(InitializeResult {
            protocol_version: PROTOCOL_VERSION,
            server_info: ServerInfo {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            capabilities: Capabilities {
                methods: table().iter().map(|entry| entry.name.to_owned()).collect(),
                features: Features {
                    trash: true,
                    search: crate::search::AVAILABLE,
                    annotations: true,
                },
                limits: Limits {
                    frame_bytes: FRAME_LIMIT_BYTES as u64,
                    answer_bytes: FRAME_LIMIT_BYTES as u64,
                    record_bytes: RECORD_LIMIT_BYTES,
                    nesting: NESTING_LIMIT,
                    id_bytes: ID_LIMIT_BYTES,
                    batch_entries: BATCH_LIMIT,
                    unanswered_requests: UNANSWERED_LIMIT,
                    unsent_bytes: UNSENT_LIMIT_BYTES,
                    subscriptions: SUBSCRIPTION_LIMIT,
                },
            },
            root: Root::of(&context),
            // told by the process in between
            shared: None,
        })
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "an editor",
            params: json!({ "processId": null, "clientInfo": { "name": "editor" } }),
            result: samples::initialized(),
        }]
    }
}

/// No params at all.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct Nothing {}

/// The method that ends.
pub struct Shutdown;

impl Method for Shutdown {
    const NAME: &'static str = "shutdown";
    const SUMMARY: &'static str = "Asks the connection to end; after it only `exit` is welcome.";
    const DESCRIPTION: &'static str = "On stdio `exit` then ends the daemon with status 0 (without \
        a shutdown before it: 1); on a socket it ends the connection.";
    const EFFECT: Effect = Effect::ChangeMany;
    const WEIGHT: Weight = Weight::Light;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Nothing;
    type Result = ();

    async fn call(_: Arc<Context>, _: Nothing) -> Result<(), Error> {
        Ok(())
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "the end",
            params: json!({}),
            result: Value::Null,
        }]
    }
}

/// The method that does nothing.
pub struct Ping;

impl Method for Ping {
    const NAME: &'static str = "ping";
    const SUMMARY: &'static str = "Answers at once.";
    const DESCRIPTION: &'static str =
        "Liveness, and the floor that other methods are measured against. Never waits.";
    const EFFECT: Effect = Effect::None;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Nothing;
    type Result = Map<String, Value>;

    async fn call(_: Arc<Context>, _: Nothing) -> Result<Map<String, Value>, Error> {
        Ok(Map::new())
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "alive",
            params: json!({}),
            result: json!({}),
        }]
    }
}

/// The method that tells all.
pub struct Discover;

impl Method for Discover {
    const NAME: &'static str = "rpc.discover";
    const SUMMARY: &'static str = "Gives the OpenRPC document of exactly what is served.";
    const DESCRIPTION: &'static str = "See https://spec.open-rpc.org.";
    const EFFECT: Effect = Effect::None;
    const ERRORS: &'static [ErrorKind] = &[];
    type Params = Nothing;
    type Result = Map<String, Value>;

    async fn call(_: Arc<Context>, _: Nothing) -> Result<Map<String, Value>, Error> {
        Ok(openrpc::document())
    }

    fn examples() -> Vec<Example> {
        vec![Example {
            name: "the document",
            params: json!({}),
            result: json!({ "openrpc": openrpc::OPENRPC_VERSION }),
        }]
    }
}
