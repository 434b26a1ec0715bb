//! What a frame says, before anything is done about it.
//!
//! JSON-RPC 2.0 and section 2 of the protocol. Ids are kept as they were spelt, because they are
//! echoed and never understood: the library underneath knows only some kinds of them. Nothing is
//! run here and no parameter is read.

use bytes::Bytes;

use crate::api::{BATCH_LIMIT, Error, ErrorKind, ID_LIMIT_BYTES, NESTING_LIMIT};
use crate::model::json::{self, JsonError, Kind};

/// From this size on a frame is not kept for a small part of it.
const SHARED_BYTES: usize = 64 * 1024;

/// The id of answers to what has none.
pub const NULL_ID: Bytes = Bytes::from_static(b"null");

/// One message of a client.
#[derive(Debug, Clone)]
pub enum Message {
    /// Wants an answer.
    Request {
        /// As it was spelt.
        id: Bytes,
        /// The method's name.
        method: String,
        /// As they were sent.
        params: Option<Bytes>,
    },
    /// Wants none.
    Notification {
        /// The method's name.
        method: String,
        /// As they were sent.
        params: Option<Bytes>,
    },
    /// Cannot be understood and is told so.
    Invalid {
        /// As it was spelt, or null.
        id: Bytes,
        /// Why.
        error: Error,
    },
    /// The answer to a question that was never asked; no answer to it.
    Answer,
}

/// What a frame holds.
#[derive(Debug, Clone)]
pub enum Frame {
    /// One message.
    Single(Message),
    /// Several, answered together.
    Batch(Vec<Message>),
}

/// Reads a frame.
#[must_use]
pub fn read(frame: &Bytes) -> Frame {
    let invalid = |error| Frame::Single(Message::Invalid { id: NULL_ID, error });
    // most frames are one message, which is checked and taken apart in one walk
    let mut parts = Parts::default();
    let checked = json::text(frame).and_then(|text| {
        if !text.trim_start().starts_with('{') {
            return json::check(frame, NESTING_LIMIT);
        }
        json::check_members(text, NESTING_LIMIT, |name, value| parts.take(&name, value))?;
        Ok((text, Kind::Object))
    });
    let (text, kind) = match checked {
        Ok(checked) => checked,
        Err(JsonError::Depth { .. }) => {
            let message = format!("the frame is nested deeper than {NESTING_LIMIT} levels");
            let error = Error::new(ErrorKind::TooLarge, message);
            let error = error.with("limitNesting", NESTING_LIMIT);
            // whose it is can be told all the same
            let id = deep_id(frame).unwrap_or(NULL_ID);
            return Frame::Single(Message::Invalid { id, error });
        }
        Err(error) => {
            let message = format!("the frame is not one JSON value: {error}");
            return invalid(Error::new(ErrorKind::Parse, message));
        }
    };
    match kind {
        Kind::Object => Frame::Single(message(frame, &parts)),
        Kind::Array => {
            let entries: Vec<&str> = json::elements(text).take(BATCH_LIMIT + 1).collect();
            if entries.is_empty() {
                return invalid(request_error("the batch is empty"));
            }
            if entries.len() > BATCH_LIMIT {
                let message = format!("a batch may have {BATCH_LIMIT} entries; send several");
                return invalid(request_error(&message).with("limitEntries", BATCH_LIMIT));
            }
            Frame::Batch(
                entries
                    .into_iter()
                    .map(|entry| entry_of(frame, entry))
                    .collect(),
            )
        }
        _ => invalid(request_error("a message is an object, or an array of them")),
    }
}

/// The id of a message that is nested too deep, if it is one.
fn deep_id(frame: &Bytes) -> Option<Bytes> {
    let text = json::text(frame).ok()?;
    let mut parts = Parts::default();
    json::check_members(text, usize::MAX, |name, value| parts.take(&name, value)).ok()?;
    let id = parts.id.filter(|id| is_id(id))?;
    Some(Bytes::copy_from_slice(id.as_bytes()))
}

fn request_error(message: &str) -> Error {
    Error::new(ErrorKind::InvalidRequest, message)
}

/// The members of a message, as they are spelt.
#[derive(Default)]
struct Parts<'a> {
    version: Option<&'a str>,
    id: Option<&'a str>,
    method: Option<&'a str>,
    params: Option<&'a str>,
    /// It has a result or an error.
    answer: bool,
}

impl<'a> Parts<'a> {
    /// The last of repeated ones counts.
    fn take(&mut self, name: &str, value: &'a str) {
        match name {
            "jsonrpc" => self.version = Some(value),
            "id" => self.id = Some(value),
            "method" => self.method = Some(value),
            "params" => self.params = Some(value),
            "result" | "error" => self.answer = true,
            _ => {}
        }
    }
}

/// Reads an entry of a batch, `text` being a part of `frame`.
fn entry_of(frame: &Bytes, text: &str) -> Message {
    if !text.starts_with('{') {
        let error = request_error("a message is an object");
        return Message::Invalid { id: NULL_ID, error };
    }
    let mut parts = Parts::default();
    for (name, value) in json::members(text) {
        parts.take(&name, value);
    }
    message(frame, &parts)
}

/// Reads one message, whose parts are parts of `frame`.
fn message(frame: &Bytes, parts: &Parts<'_>) -> Message {
    // what is kept of a frame keeps all of it alive, whatever else is in it
    let slice = |text: &str| match frame.len() >= SHARED_BYTES && text.len() < frame.len() / 2 {
        true => Bytes::copy_from_slice(text.as_bytes()),
        false => frame.slice_ref(text.as_bytes()),
    };
    let &Parts {
        version,
        id,
        method,
        params,
        answer,
    } = parts;
    if id.is_some_and(|id| !is_id(id)) {
        let message =
            format!("an id is a string, an integer or null, of at most {ID_LIMIT_BYTES} bytes");
        let error = request_error(&message);
        return Message::Invalid { id: NULL_ID, error };
    }
    if method.is_none() && answer && id.is_some() {
        return Message::Answer;
    }
    let echoed = id.map_or(NULL_ID, slice);
    let invalid = |message| Message::Invalid {
        id: echoed.clone(),
        error: request_error(message),
    };
    let string = |raw: Option<&str>| {
        raw.filter(|raw| raw.starts_with('"'))
            .map(|raw| json::decode_string(raw).into_owned())
    };
    if string(version).as_deref() != Some("2.0") {
        return invalid("`jsonrpc` must be \"2.0\"");
    }
    let Some(method) = string(method) else {
        return invalid("`method` must be a string");
    };
    let params = params.map(slice);
    match id {
        Some(id) => Message::Request {
            id: slice(id),
            method,
            params,
        },
        None => Message::Notification { method, params },
    }
}

/// Whether a valid JSON value is an id: a string, an integer whatever its value, or null.
fn is_id(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    raw.len() <= ID_LIMIT_BYTES
        && (raw == "null"
            || raw.starts_with('"')
            || digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(text: &str) -> Message {
        match read(&Bytes::copy_from_slice(text.as_bytes())) {
            Frame::Single(message) => message,
            Frame::Batch(_) => panic!("a batch"),
        }
    }

    fn refused(text: &str) -> (String, i32) {
        match single(text) {
            Message::Invalid { id, error } => {
                (String::from_utf8(id.to_vec()).unwrap(), error.kind.code())
            }
            other => panic!("{text} gives {other:?}"),
        }
    }

    #[test]
    fn ids_are_kept_as_they_were_spelt() {
        for id in [
            "0",
            "-7",
            "123456789012345678901234567890",
            "null",
            r#""a""#,
            r#""\u0061\ud800""#,
        ] {
            let text = format!(r#" {{"id": {id} ,"method":"m","jsonrpc":"2.0"}} "#);
            match single(&text) {
                Message::Request { id: kept, .. } => assert_eq!(kept, id.as_bytes()),
                other => panic!("{id} gives {other:?}"),
            }
        }
        for id in ["1.5", "1e3", "1.0", "true", "{}", "[1]"] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
            assert_eq!(refused(&text), ("null".into(), -32600), "{id}");
        }
    }

    #[test]
    fn an_id_is_short() {
        for (length, kept) in [(ID_LIMIT_BYTES - 2, true), (ID_LIMIT_BYTES - 1, false)] {
            let id = format!("\"{}\"", "x".repeat(length));
            let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"m"}}"#);
            match single(&text) {
                Message::Request { id: spelt, .. } => assert!(kept && spelt == id.as_bytes()),
                Message::Invalid { id, .. } => assert!(!kept && id == NULL_ID),
                other => panic!("{length} gives {other:?}"),
            }
        }
    }

    /// A part that is kept does not keep all that stood beside it.
    #[test]
    fn a_small_part_of_a_large_frame_is_kept_alone() {
        let padding = "x".repeat(1 << 20);
        let message = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{{"a":1}},"other":"{padding}"}}"#
        );
        for text in [message.clone(), format!("[{message}]")] {
            let frame = Bytes::from(text);
            let range = frame.as_ptr_range();
            let message = match read(&frame) {
                Frame::Single(message) => message,
                Frame::Batch(mut messages) => messages.remove(0),
            };
            let Message::Request { id, params, .. } = message else {
                panic!("{message:?}");
            };
            for part in [id, params.unwrap()] {
                assert!(!range.contains(&part.as_ptr()));
            }
        }
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":["{padding}"]}}"#);
        let frame = Bytes::from(text);
        let Frame::Single(Message::Request { params, .. }) = read(&frame) else {
            panic!("no request");
        };
        let shared = frame.as_ptr_range().contains(&params.unwrap().as_ptr());
        assert!(shared, "what is most of it is not copied");
    }

    #[test]
    fn what_is_no_request_is_told_so() {
        assert_eq!(refused("{"), ("null".into(), -32700));
        assert_eq!(refused(""), ("null".into(), -32700));
        assert_eq!(refused("\"x\""), ("null".into(), -32600));
        assert_eq!(refused("[]"), ("null".into(), -32600));
        assert_eq!(refused(r#"{"foo":"boo"}"#), ("null".into(), -32600));
        assert_eq!(
            refused(r#"{"jsonrpc":"2.0","id":4,"method":1}"#),
            ("4".into(), -32600)
        );
        assert_eq!(
            refused(r#"{"jsonrpc":"1.0","id":4,"method":"m"}"#),
            ("4".into(), -32600)
        );
        assert_eq!(refused(&"[".repeat(129)), ("null".into(), 413));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        let deep = format!(r#"{{"id":7,"params":{deep},"jsonrpc":"2.0","method":"m"}}"#);
        assert_eq!(refused(&deep), ("7".into(), 413));
        assert_eq!(refused(&deep[..deep.len() - 1]), ("null".into(), 413));
        assert_eq!(refused(&deep.replace('7', "7.5")), ("null".into(), 413));
        let batch = format!("[{}1]", "1,".repeat(1000));
        assert_eq!(refused(&batch), ("null".into(), -32600));
    }

    #[test]
    fn answers_to_nothing_are_let_go_and_the_last_of_repeated_members_counts() {
        assert!(matches!(
            single(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
            Message::Answer
        ));
        let text = r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a","method":"b"}"#;
        match single(text) {
            Message::Request { id, method, .. } => {
                assert_eq!((&id[..], &*method), (&b"2"[..], "b"))
            }
            other => panic!("{other:?}"),
        }
    }
}
