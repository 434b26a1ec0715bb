//! Kills at random instants under load: every answered save survives, every file is the old
//! record or the new one, whole, and what is left over is swept (section 6 of the protocol).

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::{Daemon, Root};

#[test]
fn killed_at_any_instant_nothing_answered_is_lost_and_nothing_is_torn() {
    let root = Root::empty();
    let mut answered: BTreeMap<String, u64> = BTreeMap::new();
    let mut sent: BTreeMap<String, u64> = BTreeMap::new();
    let mut number = 0;
    let foreign = root.path().join("p/executions/engine.json.tmp");
    for round in 0..12 {
        let daemon = Daemon::socket(&root);
        let mut client = daemon.connect();
        client.careless();
        let mut pending = BTreeMap::new();
        // a kill after so many answers comes at another instant of the next saves each time
        for _ in 0..64 {
            number += 1;
            let id = format!("run-{}", number % 7);
            let filling = "x".repeat(usize::try_from(number * 997 % 60_000).unwrap());
            let execution = json!({ "id": id, "number": number, "filling": filling });
            let params = json!({ "projectId": "p", "execution": execution });
            pending.insert(
                client.request("executions/save", &params),
                (id.clone(), number),
            );
            sent.insert(id, number);
        }
        for _ in 0..(round * 5) {
            let message = client.next().unwrap();
            let (id, number) = &pending[&message["id"].as_u64().unwrap()];
            assert_eq!(message["result"]["summary"]["id"], *id, "{message}");
            let last = answered.entry(id.clone()).or_default();
            *last = (*last).max(*number);
        }
        drop(daemon);
        // what was answered before the kill arrived, but was not read yet
        while let Some(message) = client.next() {
            let (id, number) = &pending[&message["id"].as_u64().unwrap()];
            let last = answered.entry(id.clone()).or_default();
            *last = (*last).max(*number);
        }
        for (id, last) in &answered {
            let text = std::fs::read_to_string(root.file("p", id)).unwrap();
            let record: Value = serde_json::from_str(&text).expect("a whole record");
            let stored = record["number"].as_u64().unwrap();
            assert!(
                stored >= *last && stored <= sent[id],
                "{id}: {stored}, answered {last}"
            );
            let filling = usize::try_from(stored * 997 % 60_000).unwrap();
            assert_eq!(record["filling"].as_str().unwrap().len(), filling);
        }
        std::fs::write(&foreign, "{").unwrap();
    }
    let daemon = Daemon::socket(&root);
    let mut client = daemon.connect();
    client.call("executions/list", &json!({ "sync": true }));
    let left: Vec<String> = std::fs::read_dir(root.path().join("p/executions"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".tmp"))
        .collect();
    assert_eq!(left, ["engine.json.tmp"]);
}
