//! Pieces of records, and what is remembered of where they lie.

use std::fs;
use std::time::Instant;

use super::{Ground, PATIENCE, run};
use crate::model::Version;
use crate::model::piece::Piece;
use crate::model::pointer::Pointer;
use crate::store::{PieceQuery, version_of};

fn query(pointers: &[&str]) -> PieceQuery {
    let parsed = |pointer: &&str| (pointer.to_string(), Pointer::parse(pointer).unwrap());
    PieceQuery {
        fields: pointers.iter().map(parsed).collect(),
        range: None,
        bytes_max: 4096,
    }
}

fn texts(ground: &Ground, query: &PieceQuery) -> (Version, Vec<Option<String>>) {
    let pieces = ground.store.pieces(&run("x"), query, &|| true);
    let pieces = pieces.unwrap().unwrap();
    let text = |piece: Piece| piece.value.map(|value| value.get().to_owned());
    let texts = pieces.pieces.into_iter().map(text).collect();
    (pieces.version, texts)
}

#[test]
fn what_is_remembered_of_a_record_is_what_its_file_says() {
    let ground = Ground::new();
    let path = ground.executions().join("x.json");
    let pad = "x".repeat(2 << 20);
    // as long as each other, what is looked for elsewhere
    let records = [
        format!(r#"{{"pad":"{pad}","a":1,"b":[2]}}"#),
        format!(r#"{{"b":[3],"pad":"{pad}","a":4}}"#),
    ];
    let both = query(&["/a", "/b/0", "/c"]);
    let first = query(&["/a"]);
    for (record, [a, b]) in records
        .iter()
        .cycle()
        .zip([["1", "2"], ["4", "3"], ["1", "2"]])
    {
        fs::write(&path, record).unwrap();
        let version = version_of(record.as_bytes());
        let expected = |all: &[Option<&str>]| {
            let all = all.iter().map(|text| text.map(str::to_owned));
            (version, all.collect::<Vec<_>>())
        };
        let begun = Instant::now();
        // nothing is, while the file may still change without its stamp telling
        loop {
            assert_eq!(texts(&ground, &first), expected(&[Some(a)]));
            let stamp = ground.store.stamp(&run("x")).unwrap().unwrap();
            if ground.store.places.of(&stamp, &first).is_some() {
                assert!(ground.store.places.of(&stamp, &both).is_none());
                break;
            }
            assert!(begun.elapsed() < PATIENCE);
        }
        for query in [&first, &both, &first, &both] {
            let all = [Some(a), Some(b), None];
            let all = all.get(..query.fields.len()).unwrap();
            assert_eq!(texts(&ground, query), expected(all));
        }
    }
}
