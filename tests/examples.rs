//! The examples of the method table, run against the real program: what the OpenRPC document and
//! the printed reference show is what is answered.

mod support;

use runlog::api::table::table;
use serde_json::Value;
use support::{Daemon, Root};

/// Members that differ from run to run; only their types are compared.
const VOLATILE: [&str; 9] = [
    "clock",
    "updatedAt",
    "staleAt",
    "pid",
    "uptimeMs",
    "residentBytes",
    "path",
    "nextCursor",
    "filesRead",
];

/// The kind of a value, for members whose content differs.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn compare(at: &str, shown: &Value, answered: &Value) {
    match (shown, answered) {
        (Value::Object(shown), Value::Object(answered)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<Vec<_>>()
            };
            assert_eq!(names(shown), names(answered), "{at}");
            for (name, value) in shown {
                let at = format!("{at}.{name}");
                if VOLATILE.contains(&name.as_str()) {
                    assert_eq!(kind(value), kind(&answered[name]), "{at}");
                } else {
                    compare(&at, value, &answered[name]);
                }
            }
        }
        (Value::Array(shown), Value::Array(answered)) => {
            assert_eq!(shown.len(), answered.len(), "{at}: {answered:?}");
            for (number, (one, other)) in shown.iter().zip(answered).enumerate() {
                compare(&format!("{at}[{number}]"), one, other);
            }
        }
        (Value::Number(one), Value::Number(other)) => {
            assert_eq!(one.as_f64(), other.as_f64(), "{at}");
        }
        _ => assert_eq!(shown, answered, "{at}"),
    }
}

#[test]
fn every_example_is_answered_as_it_is_shown() {
    for entry in table() {
        for example in &entry.examples {
            let root = Root::samples();
            let (_daemon, mut client) = Daemon::stdio(&root.path());
            // the index is complete, so that counts are
            client.call("executions/list", &serde_json::json!({ "sync": true }));
            let answered = client.call(entry.name, &example.params);
            let at = format!("{}: {}", entry.name, example.name);
            match entry.name {
                // the example shows one member of many
                "rpc.discover" => assert_eq!(answered["openrpc"], example.result["openrpc"]),
                "executions/subscribe" => {
                    assert!(answered.is_u64(), "{at}");
                    assert_eq!(client.change()["kind"], "current");
                }
                _ => compare(&at, &example.result, &answered),
            }
        }
    }
}
