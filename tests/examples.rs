//! The examples of the method table, run against the real program: what the OpenRPC document and
//! the printed reference show is what is answered.

mod support;

use runlog::api::samples::lay_out_trash;
use runlog::api::table::table;
use support::{Daemon, Root, compare};

#[test]
fn every_example_is_answered_as_it_is_shown() {
    for entry in table() {
        for example in (entry.examples)() {
            let root = Root::samples();
            lay_out_trash(&root.path()).unwrap();
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
