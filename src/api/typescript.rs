//! TypeScript types, made from the method table (`runlog types`).
//!
//! The same schemas as the OpenRPC document, in the words of another language: an interface for
//! every named schema, and one interface that binds method names to params and results.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::openrpc;

/// What a function says that calls any method.
const CALLS: &str = r#"export type Params<M extends keyof Methods> = Methods[M]["params"];
export type Result<M extends keyof Methods> = Methods[M]["result"];

/** The arguments of a call: `Params`, which may be left out where none is needed, and `Options`. */
export type Arguments<M extends keyof Methods, Options> = {} extends Params<M>
  ? [params?: Params<M>, options?: Options]
  : [params: Params<M>, options?: Options];

"#;

/// The whole file.
#[must_use]
pub fn types() -> String {
    let document = openrpc::document();
    let mut out = String::from(
        "// Types of the runlog protocol, version 1. Printed by `runlog types`; do not edit.\n\n",
    );
    let none = Map::new();
    let schemas = document["components"]["schemas"]
        .as_object()
        .unwrap_or(&none);
    for (name, schema) in schemas {
        let _ = writeln!(
            out,
            "{}export type {name} = {};\n",
            comment(schema, ""),
            print(schema, "")
        );
    }
    out.push_str(
        "/** Every method: what it takes and what it gives. */\nexport interface Methods {\n",
    );
    for method in document["methods"].as_array().into_iter().flatten() {
        let text = |name: &str| method[name].as_str().unwrap_or_default();
        let _ = writeln!(out, "  /** {} */", text("summary"));
        let _ = writeln!(out, "  {}: {{", Value::from(text("name")));
        out.push_str("    params: {\n");
        for param in method["params"].as_array().into_iter().flatten() {
            let optional = if param["required"] == true { "" } else { "?" };
            let name = param["name"].as_str().unwrap_or_default();
            let schema = &param["schema"];
            out.push_str(&comment(schema, "      "));
            let _ = writeln!(out, "      {name}{optional}: {};", print(schema, "      "));
        }
        let _ = writeln!(
            out,
            "    }};\n    result: {};\n  }};",
            print(&method["result"]["schema"], "    ")
        );
    }
    out.push_str("}\n\n");
    out.push_str(CALLS);
    out.push_str("/** The params of `executions/changed`. */\n");
    out.push_str("export interface ChangedParams {\n  subscription: number;\n  result: Told;\n}\n");
    out
}

fn comment(schema: &Value, indent: &str) -> String {
    match schema["description"].as_str() {
        Some(text) => {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{indent}/** {} */\n", text.replace("*/", "* /"))
        }
        None => String::new(),
    }
}

fn print(schema: &Value, indent: &str) -> String {
    if let Some(path) = schema["$ref"].as_str() {
        return path.rsplit('/').next().unwrap_or("unknown").to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema["enum"].as_array() {
        return values
            .iter()
            .map(Value::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choice].as_array() {
            let all: Vec<String> = choices.iter().map(|choice| print(choice, indent)).collect();
            return all.join(" | ");
        }
    }
    if let Some([only]) = schema["allOf"].as_array().map(Vec::as_slice) {
        return print(only, indent);
    }
    match &schema["type"] {
        Value::Array(types) => {
            let one = |name: &Value| {
                let mut schema = schema.clone();
                schema["type"] = name.clone();
                print(&schema, indent)
            };
            types.iter().map(one).collect::<Vec<_>>().join(" | ")
        }
        Value::String(name) => match name.as_str() {
            "string" => "string".to_owned(),
            "number" | "integer" => "number".to_owned(),
            "boolean" => "boolean".to_owned(),
            "null" => "null".to_owned(),
            "array" => format!("Array<{}>", print(&schema["items"], indent)),
            _ => object(schema, indent),
        },
        _ => "unknown".to_owned(),
    }
}

fn object(schema: &Value, indent: &str) -> String {
    let none = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&none);
    if properties.is_empty() && schema["additionalProperties"].is_object() {
        let value = print(&schema["additionalProperties"], indent);
        return format!("Record<string, {value}>");
    }
    if properties.is_empty() {
        return "Record<string, unknown>".to_owned();
    }
    let required = schema["required"].as_array();
    let inner = format!("{indent}  ");
    let mut out = String::from("{\n");
    for (name, property) in properties {
        let needed = required.is_some_and(|all| all.iter().any(|one| one == name.as_str()));
        let mark = if needed { "" } else { "?" };
        out.push_str(&comment(property, &inner));
        let _ = writeln!(out, "{inner}{name}{mark}: {};", print(property, &inner));
    }
    if schema["additionalProperties"] == true {
        let _ = writeln!(out, "{inner}[name: string]: unknown;");
    }
    out + indent + "}"
}
