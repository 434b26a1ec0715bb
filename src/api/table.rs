//! The method table: one entry a method, and everything that follows from it.
//!
//! Dispatch, the OpenRPC document, the printed reference, the types for TypeScript and Python and
//! the examples all read this table, so that none of them can say something else than what is served.

use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use jsonrpsee::core::server::{Methods, RpcModule};
use jsonrpsee::types::ErrorObjectOwned;
use jsonrpsee::{Extensions, ResponsePayload};
use parking_lot::Mutex;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{
    Context, Error, ErrorKind, error_groups, executions, filter, lifecycle, nodes, params, place,
    projects, server, trash,
};
use crate::history::HistoryError;
use crate::history::thread::{Undone, on_a_thread};

/// How a method stands to the files; decides what it waits for (section 2 of the protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Touches no run: answered at once, whatever else is under way.
    None,
    /// Reads: waits for the earlier mutations of its connection.
    Read,
    /// Changes one run: keeps its order among the mutations of that run.
    ChangeRun,
    /// Changes one run that is being recorded: keeps its order among the mutations of that run, but
    /// waits with other updates of it for one write. Its handler queues it when first polled.
    UpdateRun,
    /// Changes many: waits for all earlier mutations, and later ones wait for it.
    ChangeMany,
}

impl Effect {
    /// Whether it changes files.
    #[must_use]
    pub fn is_change(self) -> bool {
        match self {
            Self::None | Self::Read => false,
            Self::ChangeRun | Self::UpdateRun | Self::ChangeMany => true,
        }
    }
}

/// What a request holds until its answer is taken; decides how many of a connection's are under way at
/// once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// What it was sent, which is counted as such, and little more.
    Light,
    /// A page of runs, or as much.
    Page,
    /// Whole records.
    Records,
}

impl Weight {
    /// That of most methods with this effect.
    const fn usual(effect: Effect) -> Self {
        match effect {
            Effect::None | Effect::ChangeRun | Effect::UpdateRun => Self::Light,
            Effect::Read | Effect::ChangeMany => Self::Page,
        }
    }
}

/// A request and its answer; run as a test against the sample projects.
#[derive(Debug, Clone)]
pub struct Example {
    /// What it shows.
    pub name: &'static str,
    /// The request's params.
    pub params: Value,
    /// The answer's result.
    pub result: Value,
}

/// One method of the protocol.
pub trait Method: 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// One line.
    const SUMMARY: &'static str;
    /// What else there is to know.
    const DESCRIPTION: &'static str;
    /// What it waits for.
    const EFFECT: Effect;
    /// The errors of its own, beside those that every request can meet.
    const ERRORS: &'static [ErrorKind];
    /// Whether unknown members of params are ignored.
    const LENIENT: bool = false;
    /// What a request holds until its answer is taken.
    const WEIGHT: Weight = Weight::usual(Self::EFFECT);
    /// The params.
    type Params: DeserializeOwned + JsonSchema + Send + 'static;
    /// The result.
    type Result: Answer + JsonSchema + Send + 'static;

    /// Runs it.
    fn call(
        context: Arc<Context>,
        params: Self::Params,
    ) -> impl Future<Output = Result<Self::Result, Error>> + Send;

    /// Whether others would have to wait while this is written: from some 100 kB on.
    fn is_large(_result: &Self::Result) -> bool {
        false
    }

    /// Requests with their answers.
    fn examples() -> Vec<Example>;
}

/// What can be written as a result.
pub trait Answer {
    /// Its JSON text.
    ///
    /// # Errors
    /// A defect.
    fn text(self) -> serde_json::Result<Vec<u8>>;
}

impl<T: Serialize> Answer for T {
    fn text(self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&self)
    }
}

/// Where a handler leaves its result for a session that asked for it: the JSON text as it is,
/// without the copies and the second parsing that an answer of the library costs.
#[derive(Debug, Clone, Default)]
pub struct AnswerSlot(Arc<Mutex<Option<Result<Bytes, Error>>>>);

impl AnswerSlot {
    /// The result that was left, once.
    #[must_use]
    pub fn take(&self) -> Option<Result<Bytes, Error>> {
        self.0.lock().take()
    }
}

/// The member of params by which a change of many runs is only rehearsed.
const DRY_RUN: &str = "dryRun";

/// The member of params that names a file to be made.
const FILE: &str = "path";

/// What the table knows of a method.
#[derive(Debug)]
pub struct Entry {
    /// The name on the wire.
    pub name: &'static str,
    /// One line.
    pub summary: &'static str,
    /// What else there is to know.
    pub description: &'static str,
    /// What it waits for.
    pub effect: Effect,
    /// What a request holds until its answer is taken.
    pub weight: Weight,
    /// The errors of its own.
    pub errors: &'static [ErrorKind],
    /// The names of the params; made when they are first asked for.
    pub known_params: LazyLock<Vec<String>>,
    /// Makes requests with their answers.
    pub examples: fn() -> Vec<Example>,
    /// Makes the schema of the params.
    pub params_schema: fn(&mut SchemaGenerator) -> Schema,
    /// Makes the schema of the result.
    pub result_schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Entry {
    /// Whether a request with these params leaves something behind, so that it is not simply done again
    /// where its answer is lost: a change, or a file.
    #[must_use]
    pub fn leaves_something(&self, params: Option<&str>) -> bool {
        self.effect_of(params).is_change() || params::member(params, FILE).is_some()
    }

    /// What a request with these params does: what it only rehearses is read.
    #[must_use]
    pub fn effect_of(&self, params: Option<&str>) -> Effect {
        match self.effect {
            Effect::ChangeMany if params::member(params, DRY_RUN) == Some("true") => Effect::Read,
            effect => effect,
        }
    }
}

/// The names of the params, as their schema has them.
fn names_of<P: JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<P>();
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .map(|all| all.keys().cloned().collect())
        .unwrap_or_default()
}

/// Every method, in the order of the reference.
pub fn table() -> &'static [Entry] {
    static TABLE: OnceLock<Vec<Entry>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut table = Vec::new();
        each_method(&mut Describe(&mut table));
        table
    })
}

/// The entry of the method called `name`.
#[must_use]
pub fn entry(name: &str) -> Option<&'static Entry> {
    table().iter().find(|entry| entry.name == name)
}

/// Something to be done with every method.
trait Each {
    fn method<M: Method>(&mut self);
}

/// The one list of methods.
fn each_method(each: &mut impl Each) {
    each.method::<lifecycle::Initialize>();
    each.method::<lifecycle::Shutdown>();
    each.method::<lifecycle::Ping>();
    each.method::<lifecycle::Discover>();
    each.method::<server::status::Status>();
    each.method::<server::problems::Problems>();
    each.method::<filter::Check>();
    each.method::<projects::List>();
    each.method::<executions::list::List>();
    each.method::<executions::get::Get>();
    each.method::<executions::diff::Compare>();
    each.method::<executions::count::Count>();
    each.method::<executions::stats::Stats>();
    each.method::<executions::series::SeriesOf>();
    each.method::<executions::search::Search>();
    each.method::<executions::export::Export>();
    each.method::<executions::save::Save>();
    each.method::<executions::start::Start>();
    each.method::<executions::update::Update>();
    each.method::<executions::annotate::Annotate>();
    each.method::<executions::delete::Delete>();
    each.method::<executions::delete_all::DeleteAll>();
    each.method::<executions::delete_matching::DeleteMatching>();
    each.method::<executions::prune::Prune>();
    each.method::<executions::restore::Restore>();
    each.method::<trash::List>();
    each.method::<trash::Empty>();
    each.method::<executions::subscribe::Subscribe>();
    each.method::<executions::subscribe::Unsubscribe>();
    each.method::<executions::changes::Changes>();
    each.method::<nodes::Stats>();
    each.method::<error_groups::ByKind>();
}

struct Describe<'a>(&'a mut Vec<Entry>);

impl Each for Describe<'_> {
    fn method<M: Method>(&mut self) {
        self.0.push(Entry {
            name: M::NAME,
            summary: M::SUMMARY,
            description: M::DESCRIPTION,
            effect: M::EFFECT,
            weight: M::WEIGHT,
            errors: M::ERRORS,
            known_params: LazyLock::new(names_of::<M::Params>),
            examples: M::examples,
            params_schema: SchemaGenerator::subschema_for::<M::Params>,
            result_schema: SchemaGenerator::subschema_for::<M::Result>,
        });
    }
}

/// The methods as jsonrpsee calls them.
///
/// # Errors
/// When two methods have one name, which a test excludes.
pub fn methods(context: Arc<Context>) -> Result<Methods, jsonrpsee::core::RegisterMethodError> {
    let mut register = Register {
        module: RpcModule::from_arc(context),
        error: None,
    };
    each_method(&mut register);
    executions::subscribe::register(&mut register.module)?;
    match register.error {
        Some(error) => Err(error),
        None => Ok(register.module.into()),
    }
}

struct Register {
    module: RpcModule<Context>,
    error: Option<jsonrpsee::core::RegisterMethodError>,
}

impl Each for Register {
    fn method<M: Method>(&mut self) {
        if executions::subscribe::is_ours(M::NAME) {
            return;
        }
        let called = |params: jsonrpsee::types::Params<'static>,
                      context,
                      extensions: Extensions| async move {
            let answer = run::<M>(params.as_str(), context).await;
            if let Some(slot) = extensions.get::<AnswerSlot>() {
                *slot.0.lock() = Some(answer);
                return ResponsePayload::success(serde_json::value::RawValue::NULL.to_owned());
            }
            match answer.map(|text| serde_json::from_slice(&text)) {
                Ok(Ok(raw)) => ResponsePayload::success(raw),
                Ok(Err(_)) => ResponsePayload::error(internal()),
                Err(error) => ResponsePayload::error(ErrorObjectOwned::from(error)),
            }
        };
        if let Err(error) = self.module.register_async_method(M::NAME, called) {
            self.error.get_or_insert(error);
        }
    }
}

fn internal() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the answer could not be written; this is a defect of runlog",
    )
}

async fn run<M: Method>(raw: Option<&str>, context: Arc<Context>) -> Result<Bytes, Error> {
    let known = entry(M::NAME).map_or(&[][..], |entry| &entry.known_params);
    let params = params::parse::<M::Params>(raw, known, M::LENIENT)?;
    let result = M::call(context, params).await?;
    let text = if M::is_large(&result) {
        let place = place::here();
        let text = on_a_thread(move || {
            let _place = place;
            result.text()
        });
        text.await.map_err(|undone| match undone {
            Undone::NoThread => HistoryError::NoThread.into(),
            Undone::Ended => internal(),
        })?
    } else {
        result.text()
    };
    text.map(Bytes::from).map_err(|error| {
        tracing::error!(%error, method = M::NAME, "an answer could not be written");
        internal()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_rehearsed_is_read() {
        let effect = |name, params| entry(name).unwrap().effect_of(Some(params));
        let delete = "executions/deleteMatching";
        assert_eq!(effect(delete, r#"{"dryRun":true}"#), Effect::Read);
        assert_eq!(
            effect("executions/prune", r#"{"dryRun":true}"#),
            Effect::Read
        );
        for params in [
            "{}",
            r#"{"dryRun":false}"#,
            r#"{"dryRun":true,"dryRun":null}"#,
        ] {
            assert_eq!(effect(delete, params), Effect::ChangeMany, "{params}");
        }
        let leaves = |name, params| entry(name).unwrap().leaves_something(Some(params));
        let export = "executions/export";
        assert!(leaves(export, r#"{"path":"/tmp/x"}"#));
        assert!(!leaves(export, r#"{"path":null}"#) && !leaves(export, "{}"));
        assert!(leaves(delete, "{}") && !leaves(delete, r#"{"dryRun":true}"#));
    }

    #[test]
    fn names_are_told_apart_and_every_method_is_described() {
        let mut names: Vec<_> = table().iter().map(|entry| entry.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), table().len());
        for entry in table() {
            // what is rehearsed is told by the params, before they are read
            assert!(
                entry.effect == Effect::ChangeMany
                    || !entry.known_params.iter().any(|name| name == DRY_RUN),
                "{}",
                entry.name
            );
            let is_common = |kind: &ErrorKind| super::super::openrpc::COMMON_ERRORS.contains(kind);
            assert!(!entry.errors.iter().any(is_common), "{}", entry.name);
            assert!(entry.summary.ends_with('.'), "{}", entry.name);
            assert!(
                !(entry.examples)().is_empty(),
                "{} has no example",
                entry.name
            );
        }
    }
}
