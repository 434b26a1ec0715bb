//! What the members of an answer are called, for clients that choose some of them.

use serde_json::Value;

use super::openrpc;

/// The members that answers of `method` may have, or the elements of their array `rows`.
#[must_use]
pub fn of_answer(method: &str, rows: Option<&str>) -> Vec<String> {
    let document = Value::Object(openrpc::document());
    let methods = document["methods"].as_array();
    let entry = methods.and_then(|all| all.iter().find(|entry| entry["name"] == method));
    let Some(entry) = entry else {
        return Vec::new();
    };
    let mut found = Vec::new();
    each(
        &document,
        &entry["result"]["schema"],
        &mut |name, schema| match rows {
            None => found.push(name.to_owned()),
            Some(rows) if rows == name => each(&document, &schema["items"], &mut |name, _| {
                found.push(name.to_owned());
            }),
            Some(_) => {}
        },
    );
    found.sort_unstable();
    found.dedup();
    found
}

/// Shows `to` each property of a schema, of whichever form it takes.
fn each<'d>(document: &'d Value, schema: &'d Value, to: &mut dyn FnMut(&'d str, &'d Value)) {
    if let Some(path) = schema["$ref"].as_str() {
        let path = path.trim_start_matches('#');
        if let Some(schema) = document.pointer(path) {
            each(document, schema, to);
        }
        return;
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        to(name, schema);
    }
    for form in ["allOf", "anyOf", "oneOf"] {
        for schema in schema[form].as_array().into_iter().flatten() {
            each(document, schema, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::table::table;

    #[test]
    fn the_members_of_every_example_are_among_them() {
        for entry in table() {
            let known = of_answer(entry.name, None);
            for example in (entry.examples)() {
                for (name, value) in example.result.as_object().into_iter().flatten() {
                    if entry.name == "rpc.discover" {
                        continue;
                    }
                    assert!(known.contains(name), "{}: {name}", entry.name);
                    for element in value.as_array().into_iter().flatten() {
                        let known = of_answer(entry.name, Some(name));
                        for (member, _) in element.as_object().into_iter().flatten() {
                            assert!(known.contains(member), "{}: {name} {member}", entry.name);
                        }
                    }
                }
            }
        }
        assert!(of_answer("executions/changes", Some("changes")).contains(&"summary".to_owned()));
        assert_eq!(of_answer("nothing", None), Vec::<String>::new());
    }
}
