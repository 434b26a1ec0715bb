//! The reference for people, made from the method table (`runlog reference`).

use std::fmt::Write;

use serde_json::Value;

use super::openrpc;
use super::{
    BATCH_LIMIT, ErrorKind, FRAME_LIMIT_BYTES, ID_LIMIT_BYTES, NESTING_LIMIT, PAGES_MAX,
    RECORDS_MAX, SUBSCRIPTION_LIMIT, UNANSWERED_LIMIT, UNSENT_LIMIT_BYTES, table,
};
use crate::filter;
use crate::history::RECORD_LIMIT_BYTES;
use crate::model::{EXECUTION_ID_MAX, PROJECT_ID_MAX};

/// The whole page, in Markdown.
#[must_use]
pub fn page() -> String {
    let document = openrpc::document();
    let mut out = String::from(
        "# The runlog protocol, version 1\n\n\
         JSON-RPC 2.0 over stdio or a Unix socket, framed by `Content-Length` headers or by \
         newlines: what the client's first byte shows is answered in kind. Params are an object; \
         unknown members are refused, null ones are absent, and so it is in objects within them. \
         Every request may carry `workDoneToken` and then gets `$/progress`.\n",
    );
    print_connections(&mut out);
    out.push_str("\n## Methods\n");
    for method in document["methods"].as_array().into_iter().flatten() {
        print_method(&mut out, method);
    }
    print_filters(&mut out);
    out.push_str("\n## Notifications\n");
    for notification in document["x-notifications"].as_array().into_iter().flatten() {
        let text = |name: &str| notification[name].as_str().unwrap_or_default();
        let _ = writeln!(out, "\n### `{}`\n\n{}", text("name"), text("summary"));
        print_params(&mut out, &notification["params"]);
    }
    out.push_str("\n## Types\n");
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        let _ = writeln!(out, "\n### {name}\n");
        if let Some(text) = schema["description"].as_str() {
            let _ = writeln!(out, "{}\n", one_line(text));
        }
        print_members(&mut out, schema);
        for choice in schema["oneOf"].as_array().into_iter().flatten() {
            if let Some(text) = choice["description"].as_str() {
                let kind = &choice["properties"]["kind"];
                let kind = if kind.is_null() { choice } else { kind };
                let _ = writeln!(out, "\n{}: {}\n", type_of(kind), one_line(text));
            }
            print_members(&mut out, choice);
        }
    }
    out.push_str(
        "\n## Errors\n\nEvery error's `data` has `kind` and `retryable`.\n\n\
         | code | kind | try again | meaning |\n|---|---|---|---|\n",
    );
    for kind in ErrorKind::ALL {
        let again = if kind.retryable() { "yes" } else { "no" };
        let (code, word, meaning) = (kind.code(), kind.word(), kind.meaning());
        let _ = writeln!(out, "| {code} | `{word}` | {again} | {meaning} |");
    }
    out
}

/// What holds for every method: order, ids, limits, ends.
fn print_connections(out: &mut String) {
    let frame = mebibytes(FRAME_LIMIT_BYTES as u64);
    let record = mebibytes(RECORD_LIMIT_BYTES);
    let unsent = mebibytes(UNSENT_LIMIT_BYTES as u64);
    let _ = writeln!(
        out,
        "\n## Connections\n\n\
         **Order.** After an answer every request on any connection sees its effect. Requests of one \
         connection may be answered out of order; its later reads wait for its earlier changes, and \
         changes of one run keep their order. `ping` and notifications never wait.\n\n\
         **Requests.** An id is a text, an integer, or `null`, of at most {ID_LIMIT_BYTES} bytes, and is \
         echoed as it was spelt; any other gets -32600 with `id: null`. Batches are as JSON-RPC says, and \
         hold at most {BATCH_LIMIT} entries. Params by position are taken by `executions/unsubscribe` \
         alone (`[subscription]`). Ids of projects and runs are names of files: no `/`, no `\\`, no control \
         characters, no leading dot, of a run at most {EXECUTION_ID_MAX} bytes, of a project {PROJECT_ID_MAX}. \
         A hidden file (`.x.json`) is no run: it is not listed, told of or deleted.\n\n\
         **Limits**, told by `initialize`. A frame and an answer: {frame}; a record that is saved or given \
         whole: {record}; nesting: {NESTING_LIMIT}. Beyond them 413, with `id: null` where the frame is too \
         large to be read; the connection lives on. Its `data` has `sizeBytes` and `limitBytes`, of nesting \
         `limitNesting` alone, where a batch's answers have no room `limitBytes` alone. Unanswered requests of a connection: \
         {UNANSWERED_LIMIT}, subscriptions: {SUBSCRIPTION_LIMIT}; beyond them 429. While {unsent} of answers \
         are unsent no request starts and reading pauses; a peer that takes none of them for 30 seconds is \
         cut off (what is taken of a socket is seen in pieces of 32 KiB). Of requests whose answer is a page of runs, or as much, {PAGES_MAX} of a connection are \
         under way at once, of those for whole records {RECORDS_MAX}; the others wait their turn.\n\n\
         **Changes** reach a subscriber in order, each once; one that falls behind is told the latest \
         state of each run, or `resync`. A `queued` or `running` run whose file is touched (a heartbeat) is \
         told at most every tenth of the time after which it is stale.\n\n\
         **Saves** are durable before they are answered: written beside, synced, renamed, the folder \
         synced. A file keeps its permissions, a new one has those that the umask leaves. Nothing but \
         runlog's own temporary files is ever swept.\n\n\
         **The end.** `exit`, the end of input, SIGTERM and SIGINT end a daemon on stdio; on a socket the \
         first two end the connection only. What is in flight then is answered within 1.5 seconds, or with \
         503; but whoever ends only its input on a socket is answered however long that takes. The exit status is 0, but 1 for `exit` without `shutdown`. `serve --socket` prints one line \
         `{{\"socket\", \"pid\", \"version\", \"root\"}}` when it is ready; `runlog socket` prints where it \
         listens if no path is given."
    );
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

fn print_filters(out: &mut String) {
    let language = filter::LANGUAGE;
    let _ = writeln!(out, "\n## Filters\n\n{language}\n| field | |\n|---|---|");
    for named in filter::known() {
        let _ = writeln!(out, "| `{}` | {} |", named.name, named.about);
    }
}

fn print_method(out: &mut String, method: &Value) {
    let name = method["name"].as_str().unwrap_or_default();
    let text = |name: &str| method[name].as_str().unwrap_or_default();
    let _ = writeln!(
        out,
        "\n### `{name}`\n\n{}\n\n{}",
        text("summary"),
        one_line(text("description"))
    );
    print_params(out, &method["params"]);
    let _ = writeln!(out, "\nResult: {}", type_of(&method["result"]["schema"]));
    let own: Vec<String> = table::entry(name)
        .into_iter()
        .flat_map(|entry| entry.errors)
        .map(|kind| format!("{} `{}`", kind.code(), kind.word()))
        .collect();
    if !own.is_empty() {
        let _ = writeln!(out, "\nErrors of its own: {}.", own.join(", "));
    }
    for example in table::entry(name)
        .into_iter()
        .flat_map(|entry| (entry.examples)())
    {
        let result = serde_json::to_string(&example.result).unwrap_or_default();
        let _ = writeln!(
            out,
            "\nExample, {}:\n\n```jsonc\n→ {}\n← {}\n```",
            example.name, example.params, result
        );
    }
}

fn print_params(out: &mut String, params: &Value) {
    let Some(params) = params.as_array().filter(|params| !params.is_empty()) else {
        return;
    };
    out.push_str("\n| param | type | |\n|---|---|---|\n");
    for param in params {
        let name = param["name"].as_str().unwrap_or_default();
        let needed = if param["required"] == true {
            "**required.** "
        } else {
            ""
        };
        let schema = &param["schema"];
        let text = one_line(schema["description"].as_str().unwrap_or_default());
        let _ = writeln!(out, "| `{name}` | {} | {needed}{text} |", type_of(schema));
    }
}

fn print_members(out: &mut String, schema: &Value) {
    let Some(members) = schema["properties"].as_object() else {
        return;
    };
    let required = schema["required"].as_array();
    out.push_str("| member | type | |\n|---|---|---|\n");
    for (name, member) in members {
        let needed = required.is_some_and(|all| all.iter().any(|one| one == name.as_str()));
        let mark = if needed { "" } else { "?" };
        let text = one_line(member["description"].as_str().unwrap_or_default());
        let _ = writeln!(out, "| `{name}`{mark} | {} | {text} |", type_of(member));
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn type_of(schema: &Value) -> String {
    let spelt = |value: &Value| match value.as_str() {
        Some(text) => format!("`{text}`"),
        None => format!("`{value}`"),
    };
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap_or_default().to_owned();
    }
    if let Some(value) = schema.get("const") {
        return spelt(value);
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema[choice].as_array() {
            return choices.iter().map(type_of).collect::<Vec<_>>().join(" or ");
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().map(spelt).collect::<Vec<_>>().join(" or ");
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("array of {}", type_of(&schema["items"])),
        Value::String(name) => format!("{name}{}", range_of(schema)),
        Value::Array(names) => names
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" or "),
        _ => "any".to_owned(),
    }
}

/// What a number may be, and what it is where it is absent.
fn range_of(schema: &Value) -> String {
    let mut text = String::new();
    if let (Some(least), Some(most)) = (schema.get("minimum"), schema.get("maximum")) {
        let _ = write!(text, " {least} to {most}");
    }
    if let Some(value) = schema.get("default").filter(|value| !value.is_null()) {
        let _ = write!(text, ", {value} if absent");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn connections_are_described_by_the_limits_that_hold() {
        let page = super::page();
        for text in ["64 MiB", "63 MiB", "16 MiB", "1024 bytes", "1000 entries"] {
            assert!(page.contains(text), "{text}");
        }
    }

    #[test]
    fn every_choice_is_named() {
        let page = super::page();
        assert!(page.contains("`month`: From the first day"));
        assert!(!page.contains("``:"), "{page}");
    }
}
