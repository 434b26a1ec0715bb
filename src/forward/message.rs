//! What a daemon of this version says: as its session writes it, so that little of it is read.

use crate::api::executions::subscribe::NOTIFICATION;
use crate::api::params::member;
use crate::model::json::members;
use crate::transport::FRAME_LIMIT_BYTES;

/// Room beyond the largest answer, so that one of another build is not lost for a few bytes.
const ENVELOPE_MAX_BYTES: usize = 1024;
/// How large a message of a daemon's may be.
pub(crate) const LIMIT_BYTES: usize = FRAME_LIMIT_BYTES + ENVELOPE_MAX_BYTES;

/// An answer.
pub(crate) struct Answer<'a> {
    /// As it was spelt.
    pub id: &'a [u8],
    /// The result, or the error.
    pub body: Result<&'a [u8], &'a [u8]>,
}

/// A change that a subscription tells of.
pub(crate) struct Told<'a> {
    /// Its id at this daemon.
    pub subscription: Option<u64>,
    /// What.
    pub result: &'a str,
}

/// How far a request has come.
pub(crate) struct Progress<'a> {
    /// What its sender calls it, as it is spelt.
    pub token: &'a str,
    /// Which of `begin`, `report` and `end` it is.
    pub kind: &'a str,
}

impl<'a> Progress<'a> {
    /// None for what is something else.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let rest = text.strip_prefix(r#"{"jsonrpc":"2.0","method":"$/progress","params":"#)?;
        let params = rest.strip_suffix('}');
        Some(Self {
            token: member(params, "token")?,
            kind: member(member(params, "value"), "kind")?.trim_matches('"'),
        })
    }
}

impl<'a> Answer<'a> {
    pub(crate) fn read(text: &'a [u8]) -> Option<Self> {
        let rest = text.strip_prefix(br#"{"jsonrpc":"2.0","id":"#)?;
        let (id, rest) = rest.split_at_checked(end_of_id(rest)?)?;
        let rest = rest.strip_suffix(b"}")?;
        let body = match rest.strip_prefix(br#","result":"#) {
            Some(result) => Ok(result),
            None => Err(rest.strip_prefix(br#","error":"#)?),
        };
        Some(Self { id, body })
    }
}

/// Where an id ends that a text begins with.
fn end_of_id(text: &[u8]) -> Option<usize> {
    if text.first() != Some(&b'"') {
        return text.iter().position(|byte| *byte == b',');
    }
    let mut at = 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

impl<'a> Told<'a> {
    /// None for other notifications.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let (mut method, mut params) = (None, None);
        for (name, value) in members(text) {
            match &*name {
                "method" => method = Some(value),
                "params" => params = Some(value),
                _ => {}
            }
        }
        if method?.trim_matches('"') != NOTIFICATION {
            return None;
        }
        let subscription = member(params, "subscription").and_then(|id| id.parse().ok());
        Some(Self {
            subscription,
            result: member(params, "result")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answers_id_ends_where_it_ends() {
        for id in [
            "7",
            "-12345678901234567890",
            "null",
            r#""a,b""#,
            r#""\"\\""#,
        ] {
            for (name, is_result) in [("result", true), ("error", false)] {
                let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"{name}":{{"a":1}}}}"#);
                let answer = Answer::read(text.as_bytes()).unwrap();
                assert_eq!(answer.id, id.as_bytes());
                assert_eq!(answer.body.is_ok(), is_result);
                let (Ok(body) | Err(body)) = answer.body;
                assert_eq!(body, br#"{"a":1}"#);
            }
        }
        for text in [
            "",
            "{",
            r#"{"jsonrpc":"2.0","id":"x"#,
            r#"{"jsonrpc":"2.0","method":"m"}"#,
        ] {
            assert!(Answer::read(text.as_bytes()).is_none(), "{text}");
        }
    }
}
