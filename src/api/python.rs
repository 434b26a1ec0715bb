//! Python types, made from the method table (`runlog types python`).
//!
//! The same schemas as the OpenRPC document, as `TypedDict`s that Python 3.9 understands: it knows
//! neither `NotRequired` nor `X | Y`, so a dictionary with both kinds of members is two classes, and
//! unions are spelt out. One class binds method names to params and results, for clients to
//! inherit.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::openrpc;

/// What cannot name a member of a class.
const KEYWORDS: [&str; 35] = [
    "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue",
    "def", "del", "elif", "else", "except", "finally", "for", "from", "global", "if", "import",
    "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise", "return", "try", "while",
    "with", "yield",
];
/// How wide comments may be.
const COLUMNS: usize = 96;

/// The whole file.
#[must_use]
pub fn types() -> String {
    let document = openrpc::document();
    let mut out = String::from(
        "\"\"\"Types of the runlog protocol, version 1. Printed by `runlog types python`; do not \
         edit.\"\"\"\n\nfrom __future__ import annotations\n\n\
         from typing import Any, Dict, List, Literal, Optional, TypedDict, Union, overload\n",
    );
    let none = Map::new();
    let schemas = document["components"]["schemas"]
        .as_object()
        .unwrap_or(&none);
    for (name, schema) in schemas {
        named(&mut out, name, schema);
    }
    let mut methods = Vec::new();
    for method in document["methods"].as_array().into_iter().flatten() {
        let text = |name: &str| method[name].as_str().unwrap_or_default();
        let class = format!("{}Params", class_name(text("name")));
        let members: Vec<Member<'_>> = method["params"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|param| Member {
                name: param["name"].as_str().unwrap_or_default(),
                schema: &param["schema"],
                required: param["required"] == true,
            })
            .collect();
        let about = format!("What `{}` takes.", text("name"));
        dictionary(&mut out, &class, &about, &members);
        methods.push(Method {
            name: Value::from(text("name")).to_string(),
            result: print(&method["result"]["schema"]),
            needed: members.iter().any(|member| member.required),
            params: class,
        });
    }
    requests(&mut out, &methods);
    out.push_str("\n\nclass ChangedParams(TypedDict):\n");
    out.push_str("    \"\"\"The params of `executions/changed`.\"\"\"\n\n");
    out.push_str("    subscription: int\n    result: Told\n");
    out
}

struct Method {
    /// As a Python literal.
    name: String,
    params: String,
    /// Whether there is a param that must be there.
    needed: bool,
    result: String,
}

/// The class with an overload a method, once for callers that block and once for those that await.
fn requests(out: &mut String, methods: &[Method]) {
    out.push_str(
        "\n\nclass Requests:\n    \"\"\"Every method: what it takes and what it gives.\"\"\"\n",
    );
    for (definition, name, kept) in [
        ("def", "request", "_request"),
        ("async def", "request_async", "_request_async"),
    ] {
        for method in methods {
            let params = if method.needed {
                method.params.clone()
            } else {
                format!("Optional[{}] = None", method.params)
            };
            let _ = write!(
                out,
                "\n    @overload\n    {definition} {name}(\n        self, method: Literal[{}], \
                 params: {params}, *, timeout: Optional[float] = None\n    ) -> {}: ...\n",
                method.name, method.result
            );
        }
        let wait = if name == "request" { "" } else { "await " };
        let _ = write!(
            out,
            "\n    {definition} {name}(self, method: Any, params: Any = None, *, timeout: \
             Optional[float] = None) -> Any:\n        \
             return {wait}self.{kept}(method, params, timeout)\n\n    \
             {definition} {kept}(self, method: str, params: Any, timeout: Optional[float]) -> \
             Any:\n        raise NotImplementedError\n"
        );
    }
}

struct Member<'a> {
    name: &'a str,
    schema: &'a Value,
    required: bool,
}

/// A type of its own: a class for an object, an alias for anything else.
fn named(out: &mut String, name: &str, schema: &Value) {
    let about = schema["description"].as_str().unwrap_or_default();
    if let Some(choices) = schema["oneOf"].as_array()
        && choices
            .iter()
            .all(|choice| choice["properties"].is_object())
    {
        // told apart by a constant member, which names them as well
        let mut all = Vec::new();
        for choice in choices {
            let word = choice["properties"]["kind"]["const"]
                .as_str()
                .unwrap_or_default();
            let class = format!("{name}{}", class_name(word));
            named(out, &class, choice);
            all.push(format!("\"{class}\""));
        }
        let _ = write!(out, "\n\n{}", comment(about, ""));
        let _ = writeln!(out, "{name} = Union[{}]", all.join(", "));
        return;
    }
    match schema["properties"].as_object() {
        Some(properties) => {
            let required = schema["required"].as_array();
            let members: Vec<Member<'_>> = properties
                .iter()
                .map(|(name, schema)| Member {
                    name,
                    schema,
                    required: required.is_some_and(|all| all.iter().any(|one| one == name)),
                })
                .collect();
            dictionary(out, name, about, &members);
        }
        None => {
            let _ = write!(out, "\n\n{}", comment(about, ""));
            let _ = writeln!(out, "{name} = {}", print(schema));
        }
    }
}

fn dictionary(out: &mut String, name: &str, about: &str, members: &[Member<'_>]) {
    let (needed, rest): (Vec<_>, Vec<_>) = members.iter().partition(|member| member.required);
    if members.iter().any(|member| KEYWORDS.contains(&member.name)) {
        // what is evaluated here is text, so that it may name what comes later
        let partial = if rest.is_empty() { "" } else { ", total=False" };
        let _ = write!(
            out,
            "\n\n{}{name} = TypedDict(\n    \"{name}\",\n    {{\n",
            comment(about, "")
        );
        for Member { name, schema, .. } in members {
            let about = schema["description"].as_str().unwrap_or_default();
            let _ = writeln!(
                out,
                "{}        \"{name}\": '{}',",
                comment(about, "        "),
                print(schema)
            );
        }
        let _ = writeln!(out, "    }}{partial},\n)");
        return;
    }
    let mut base = "TypedDict".to_owned();
    if !needed.is_empty() && !rest.is_empty() {
        base = format!("_{name}");
        let _ = write!(out, "\n\nclass {base}(TypedDict):\n");
        fields(out, &needed);
    }
    let partial = if rest.is_empty() { "" } else { ", total=False" };
    let _ = write!(out, "\n\nclass {name}({base}{partial}):\n");
    let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
    let _ = writeln!(out, "    \"\"\"{}\"\"\"", wrapped(&about, "    ").trim());
    let own = if rest.is_empty() { &needed } else { &rest };
    if !own.is_empty() {
        out.push('\n');
    }
    fields(out, own);
}

fn fields(out: &mut String, members: &[&Member<'_>]) {
    for Member { name, schema, .. } in members {
        let about = schema["description"].as_str().unwrap_or_default();
        out.push_str(&comment(about, "    "));
        let _ = writeln!(out, "    {name}: {}", print(schema));
    }
}

fn comment(text: &str, indent: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    wrapped(text, &format!("{indent}# "))
}

/// The words of `text` in lines that begin with `start`.
fn wrapped(text: &str, start: &str) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && start.len() + line.len() + 1 + word.len() > COLUMNS {
            let _ = writeln!(out, "{start}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{start}{line}");
    out
}

/// `executions/deleteAll` as `ExecutionsDeleteAll`.
fn class_name(wire: &str) -> String {
    wire.split(['/', '.'])
        .flat_map(|part| {
            let mut chars = part.chars();
            let first = chars.next().map(|c| c.to_ascii_uppercase());
            first.into_iter().chain(chars)
        })
        .collect()
}

/// The type of a value. Annotations are not evaluated, so that classes may come in any order;
/// aliases are, and name no other type but those that [`named`] quotes.
fn print(schema: &Value) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap_or("Any").to_owned();
    }
    if let Some(value) = schema.get("const") {
        return literal(std::slice::from_ref(value));
    }
    if let Some(values) = schema["enum"].as_array() {
        return literal(values);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choice].as_array() {
            return union(choices.iter().map(print).collect());
        }
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return print(only);
    }
    match &schema["type"] {
        Value::Array(types) => {
            let one = |name: &Value| {
                let mut schema = schema.clone();
                schema["type"] = name.clone();
                print(&schema)
            };
            union(types.iter().map(one).collect())
        }
        Value::String(name) => match name.as_str() {
            "string" => "str".to_owned(),
            "integer" => "int".to_owned(),
            "number" => "float".to_owned(),
            "boolean" => "bool".to_owned(),
            "null" => "None".to_owned(),
            "array" => format!("List[{}]", print(&schema["items"])),
            _ if schema["additionalProperties"].is_object() => {
                format!("Dict[str, {}]", print(&schema["additionalProperties"]))
            }
            _ => "Dict[str, Any]".to_owned(),
        },
        _ => "Any".to_owned(),
    }
}

fn literal(values: &[Value]) -> String {
    let spelt = |value: &Value| match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Null => "None".to_owned(),
        value => value.to_string(),
    };
    let all: Vec<String> = values.iter().map(spelt).collect();
    format!("Literal[{}]", all.join(", "))
}

fn union(mut types: Vec<String>) -> String {
    let count = types.len();
    types.retain(|name| name != "None");
    let optional = types.len() < count;
    let union = match types.as_slice() {
        [] => "None".to_owned(),
        [only] => only.clone(),
        _ => format!("Union[{}]", types.join(", ")),
    };
    if optional {
        format!("Optional[{union}]")
    } else {
        union
    }
}
