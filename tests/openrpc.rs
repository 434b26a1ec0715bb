//! The OpenRPC document against the one that was released: within a version only additions
//! (section 3 of the protocol).

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value, json};

const KEPT: &str = "tests/openrpc/v1.json";

/// What clients of the kept document could not bear in the new one.
fn taken_away(at: &str, kept: &Value, now: &Value, params: bool, found: &mut Vec<String>) {
    match (kept, now) {
        (Value::Object(kept), Value::Object(now)) => {
            for (name, value) in kept {
                // words for people may change
                if matches!(
                    name.as_str(),
                    "description" | "summary" | "title" | "examples" | "version" | "message"
                ) {
                    continue;
                }
                let at = format!("{at}/{name}");
                match now.get(name) {
                    Some(other) => taken_away(&at, value, other, params, found),
                    // what is no longer asked of params
                    None if params && narrows(name) => {}
                    None => found.push(format!("{at} is gone")),
                }
            }
            for (name, value) in now.iter().filter(|_| params) {
                // of a param alone it is a truth value
                let narrower = narrows(name) || name == "required" && value.is_array();
                if narrower && !kept.contains_key(name) {
                    found.push(format!("{at} now has {name}"));
                }
            }
        }
        (Value::Array(kept), Value::Array(now)) => {
            // errors are known by their kinds
            let name = |value: &Value| {
                let kind = value.pointer("/data/kind");
                value.get("name").or(kind).cloned()
            };
            let named = kept.iter().any(|value| name(value).is_some());
            for value in kept {
                let same = now.iter().find(|other| {
                    if named {
                        name(other) == name(value)
                    } else {
                        *other == value
                    }
                });
                match same {
                    Some(other) if named => {
                        let at = format!("{at}/{}", name(value).unwrap_or_default());
                        taken_away(&at, value, other, params, found);
                    }
                    Some(_) => {}
                    // a required param may become optional
                    None if params && at.ends_with("/required") => {}
                    None => found.push(format!("{at} lacks {value}")),
                }
            }
            if params && at.ends_with("/required") {
                let added = now.iter().filter(|value| !kept.contains(value));
                found.extend(added.map(|value| format!("{at} now has {value}")));
            }
            if params && named {
                for value in now.iter().filter(|value| value["required"] == true) {
                    let before = kept.iter().find(|other| name(other) == name(value));
                    if before.is_none_or(|before| before["required"] != true) {
                        found.push(format!("{at} now requires {}", value["name"]));
                    }
                }
            }
        }
        (Value::Bool(true), Value::Bool(false)) if params && at.ends_with("/required") => {}
        _ if kept == now => {}
        _ => found.push(format!("{at} was {kept} and is {now}")),
    }
}

/// Whether a word of a schema takes away from what is welcome.
fn narrows(word: &str) -> bool {
    matches!(
        word,
        "minimum"
            | "maximum"
            | "minLength"
            | "maxLength"
            | "minItems"
            | "maxItems"
            | "pattern"
            | "enum"
            | "const"
            | "additionalProperties"
    )
}

/// The components that `value` reaches, and those that they do.
fn reached(value: &Value, components: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member
                    .as_str()
                    .and_then(|path| path.strip_prefix("#/components/schemas/"))
                {
                    Some(component) if name == "$ref" => {
                        if names.insert(component.to_owned()) {
                            reached(&components[component], components, names);
                        }
                    }
                    _ => reached(member, components, names),
                }
            }
        }
        Value::Array(items) => items
            .iter()
            .for_each(|item| reached(item, components, names)),
        _ => {}
    }
}

/// The components that are asked of clients, and of them alone.
fn asked(document: &Value) -> BTreeSet<String> {
    let components = &document["components"]["schemas"];
    let (mut asked, mut told) = (BTreeSet::new(), BTreeSet::new());
    for method in document["methods"].as_array().into_iter().flatten() {
        reached(&method["params"], components, &mut asked);
        reached(&method["result"], components, &mut told);
    }
    reached(&document["x-notifications"], components, &mut told);
    asked.retain(|name| !told.contains(name));
    asked
}

fn compare(kept: &Value, now: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in kept.as_object().into_iter().flatten() {
        if name == "methods" {
            for method in value.as_array().into_iter().flatten() {
                let id = method["name"].as_str().unwrap_or_default();
                let others = now["methods"].as_array().into_iter().flatten();
                match others.clone().find(|other| other["name"] == method["name"]) {
                    Some(other) => {
                        for part in ["result", "errors", "paramStructure"] {
                            let at = format!("{id}/{part}");
                            taken_away(&at, &method[part], &other[part], false, &mut found);
                        }
                        let at = format!("{id}/params");
                        taken_away(&at, &method["params"], &other["params"], true, &mut found);
                    }
                    None => found.push(format!("{id} is gone")),
                }
            }
        } else if name == "components" {
            let asked = asked(kept);
            for (name, schema) in value["schemas"].as_object().into_iter().flatten() {
                let at = format!("components/{name}");
                let other = &now["components"]["schemas"][name];
                taken_away(&at, schema, other, asked.contains(name), &mut found);
            }
        } else if name != "info" {
            taken_away(name, value, &now[name], false, &mut found);
        }
    }
    found
}

fn document() -> Value {
    Value::Object(runlog::api::openrpc::document())
}

#[test]
fn only_additions_within_a_version() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    let now = document();
    if std::env::var_os("RUNLOG_KEEP_OPENRPC").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&now).unwrap() + "\n").unwrap();
        return;
    }
    let kept: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let found = compare(&kept, &now);
    assert!(
        found.is_empty(),
        "clients of {KEPT} would break:\n{}",
        found.join("\n")
    );
    // not printed: they are long
    assert!(
        kept == now,
        "{KEPT} lacks additions: run the test with RUNLOG_KEEP_OPENRPC=1 and commit it"
    );
}

#[test]
fn what_is_taken_away_is_noticed() {
    let kept = document();
    let with = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut now = kept.clone();
        let list = now["methods"].as_array_mut().unwrap();
        let list = list
            .iter_mut()
            .find(|method| method["name"] == "executions/list")
            .unwrap();
        change(list.as_object_mut().unwrap());
        compare(&kept, &now)
    };
    assert_eq!(with(&|_| ()), Vec::<String>::new());
    assert!(!with(&|list| drop(list.insert("name".into(), "renamed".into()))).is_empty());
    assert!(!with(&|list| drop(list["params"].as_array_mut().unwrap().pop())).is_empty());
    assert!(!with(&|list| list["params"][0]["required"] = true.into()).is_empty());
    assert!(!with(&|list| drop(list["errors"].as_array_mut().unwrap().pop())).is_empty());
    let added = json!({ "name": "more", "required": false, "schema": {} });
    assert!(with(&|list| list["params"].as_array_mut().unwrap().push(added.clone())).is_empty());
    let added = json!({ "name": "more", "required": true, "schema": {} });
    assert!(!with(&|list| list["params"].as_array_mut().unwrap().push(added.clone())).is_empty());
    for (word, value) in [
        ("maxLength", 5.into()),
        ("pattern", "^a".into()),
        ("enum", json!(["a"])),
    ] {
        let narrower = |list: &mut Map<String, Value>| {
            let params = list["params"].as_array_mut().unwrap();
            let filter = params
                .iter_mut()
                .find(|param| param["name"] == "where")
                .unwrap();
            filter["schema"][word] = value.clone();
        };
        assert!(!with(&narrower).is_empty(), "{word}");
    }
    let mut now = kept.clone();
    now["components"]["schemas"]["PruneRule"]["required"] = json!(["maxAge"]);
    assert!(!compare(&kept, &now).is_empty());
    let mut now = kept.clone();
    now["components"]["schemas"]["PruneRule"]["properties"]["maxCount"]["maximum"] = 5.into();
    assert!(!compare(&kept, &now).is_empty());
    // what answers hold may grow
    let mut now = kept.clone();
    now["components"]["schemas"]["Summary"]["properties"]["more"] = json!({ "maximum": 5 });
    assert_eq!(compare(&kept, &now), Vec::<String>::new());
}
