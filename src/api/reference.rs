//! The reference for people, made from the method table (`runlog reference`).

use std::fmt::Write;

use serde_json::Value;

use super::openrpc;
use super::{ErrorKind, table};
use crate::filter;

/// The whole page, in Markdown.
#[must_use]
pub fn page() -> String {
    let document = openrpc::document();
    let mut out = String::from(
        "# The runlog protocol, version 1\n\n\
         JSON-RPC 2.0 over stdio or a Unix socket, framed by `Content-Length` headers or by \
         newlines: what the client's first byte shows is answered in kind. Params are an object; \
         unknown members are refused, null ones are absent, and so it is in objects within them. \
         Every request may carry `workDoneToken` and then gets `$/progress`.\n\n## Methods\n",
    );
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
    fn every_choice_is_named() {
        let page = super::page();
        assert!(page.contains("`month`: From the first day"));
        assert!(!page.contains("``:"), "{page}");
    }
}
