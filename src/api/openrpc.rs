//! The OpenRPC document, made from the method table.
//!
//! `rpc.discover` of section 3. Within a version of the protocol it only grows; a test compares
//! it with the one kept in the tree.

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::executions::subscribe::{NOTIFICATION, Told};
use super::table::{Entry, table};
use super::{ErrorKind, PROTOCOL_VERSION};

/// The version of the OpenRPC specification.
pub const OPENRPC_VERSION: &str = "1.3.2";

/// Errors that any request can meet.
pub const COMMON_ERRORS: [ErrorKind; 8] = [
    ErrorKind::InvalidRequest,
    ErrorKind::InvalidParams,
    ErrorKind::Internal,
    ErrorKind::Cancelled,
    ErrorKind::TooLarge,
    ErrorKind::Overloaded,
    ErrorKind::NotReady,
    ErrorKind::DaemonLost,
];

/// The document.
#[must_use]
pub fn document() -> Map<String, Value> {
    let mut schemas = Schemas::new();
    let methods: Vec<Value> = table()
        .iter()
        .map(|entry| method(entry, &mut schemas))
        .collect();
    let told = schemas.of(SchemaGenerator::subschema_for::<Told>);
    let document = json!({
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "runlog",
            "version": format!("{PROTOCOL_VERSION}.0.0"),
            "description": "Run history of AI-agent workflows over JSON-RPC 2.0.",
            "license": { "name": "MIT OR Apache-2.0" }
        },
        "methods": methods,
        "components": { "schemas": schemas.take() },
        "x-notifications": [
            {
                "name": NOTIFICATION,
                "summary": "A change, for one subscription.",
                "params": [
                    { "name": "subscription", "required": true, "schema": { "type": "integer" } },
                    { "name": "result", "required": true, "schema": told }
                ]
            },
            {
                "name": "$/progress",
                "summary": "How far a request with workDoneToken has come.",
                "params": [
                    { "name": "token", "required": true, "schema": {
                        "anyOf": [{ "type": "string" }, { "type": "integer" }] } },
                    { "name": "value", "required": true, "schema": {
                        "type": "object",
                        "required": ["kind"],
                        "properties": {
                            "kind": { "type": "string", "enum": ["begin", "report", "end"] },
                            "message": { "type": "string" },
                            "percentage": { "type": "integer", "minimum": 0, "maximum": 100 }
                        } } }
                ]
            },
            {
                "name": "$/cancelRequest",
                "summary": "From the client: takes a request back.",
                "params": [{ "name": "id", "required": true, "schema": {
                    "anyOf": [{ "type": "string" }, { "type": "integer" }, { "type": "null" }] } }]
            },
            { "name": "initialized", "summary": "From the client: accepted.", "params": [] },
            { "name": "exit", "summary": "From the client: ends the connection, and a daemon on stdio.", "params": [] }
        ]
    });
    match document {
        Value::Object(document) => document,
        _ => Map::new(),
    }
}

fn method(entry: &Entry, schemas: &mut Schemas) -> Value {
    let params = schemas.resolved(entry.params_schema);
    let required: Vec<&str> = params
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let descriptors: Vec<Value> = params
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(name, schema)| {
            json!({ "name": name, "required": required.contains(&name.as_str()), "schema": schema })
        })
        // the specification wants what is required first
        .collect();
    let (mut first, rest): (Vec<_>, Vec<_>) = descriptors
        .into_iter()
        .partition(|descriptor| descriptor["required"] == true);
    first.extend(rest);
    let errors: Vec<Value> = entry
        .errors
        .iter()
        .chain(&COMMON_ERRORS)
        .map(|kind| {
            json!({
                "code": kind.code(),
                "message": kind.meaning(),
                "data": { "kind": kind.word(), "retryable": kind.retryable() }
            })
        })
        .collect();
    let examples: Vec<Value> = (entry.examples)()
        .into_iter()
        .map(|example| {
            let params: Vec<Value> = example
                .params
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| json!({ "name": name, "value": value }))
                .collect();
            json!({
                "name": example.name,
                "params": params,
                "result": { "name": "result", "value": example.result }
            })
        })
        .collect();
    json!({
        "name": entry.name,
        "summary": entry.summary,
        "description": entry.description,
        "paramStructure": "by-name",
        "params": first,
        "result": { "name": "result", "schema": schemas.of(entry.result_schema) },
        "errors": errors,
        "examples": examples
    })
}

/// Collects schemas under the document's components.
pub(super) struct Schemas {
    generator: SchemaGenerator,
}

impl Schemas {
    pub(super) fn new() -> Self {
        let settings = SchemaSettings::draft07()
            .with(|settings| settings.definitions_path = "/components/schemas".into());
        Self {
            generator: settings.into_generator(),
        }
    }

    pub(super) fn of(&mut self, make: fn(&mut SchemaGenerator) -> Schema) -> Value {
        make(&mut self.generator).to_value()
    }

    /// The schema itself where [`Schemas::of`] gives a reference; it is then not kept.
    pub(super) fn resolved(&mut self, make: fn(&mut SchemaGenerator) -> Schema) -> Value {
        let schema = self.of(make);
        let name = schema
            .get("$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.rsplit('/').next());
        match name {
            Some(name) => self
                .generator
                .definitions_mut()
                .remove(name)
                .unwrap_or_default(),
            None => schema,
        }
    }

    pub(super) fn take(mut self) -> Map<String, Value> {
        let mut all = self.generator.take_definitions(true);
        for schema in all.values_mut() {
            if let Some(object) = schema.as_object_mut() {
                object.remove("$schema");
            }
        }
        all
    }
}
