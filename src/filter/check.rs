//! What an editor asks while a filter is typed: whether it is right, and what could stand at the
//! cursor.

use schemars::JsonSchema;
use serde::Serialize;

use super::field::{Field, Kind, known};
use super::parse::{Want, utf16, wanted_after};
use super::print::quoted;
use super::token::{self, What};
use super::{FilterError, TEXT_BYTES_MAX, Where};

/// How many completions are given at most.
const COMPLETIONS_MAX: usize = 200;

/// What is to be known of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "CheckResult")]
pub struct Check {
    /// Whether it is a filter.
    pub ok: bool,
    /// Why not; absent if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<FilterError>,
    /// What could stand at the cursor, in the order in which it is to be shown; none without an
    /// `offset`, or where what is before the cursor is no beginning of a filter.
    pub completions: Vec<Completion>,
    /// The same filter in canonical spelling; absent if it is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical: Option<String>,
}

/// Something that could stand at the cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Completion {
    /// What to write, quoted where it must be.
    pub text: String,
    /// What it is.
    pub kind: CompletionKind,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What it replaces begins here, in UTF-16 units of the text.
    pub from: usize,
    /// And ends before here.
    pub to: usize,
}

/// What a completion is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompletionKind {
    /// A property of runs.
    Field,
    /// A comparison, a bracket or a comma.
    Operator,
    /// A value of the field before it.
    Value,
    /// A word of the language.
    Keyword,
}

/// Checks `text`; with `offset`, a cursor in UTF-16 units (one beyond the end is at the end), also
/// says what could stand there. `values` gives what is known of a field's values; it is asked only
/// for the field at the cursor.
#[must_use]
pub fn check(text: &str, offset: Option<usize>, values: impl Fn(Field) -> Vec<String>) -> Check {
    let read = Where::parse(text);
    let completions = match offset {
        Some(offset) if text.len() <= TEXT_BYTES_MAX => complete(text, offset, values),
        _ => Vec::new(),
    };
    let (canonical, error) = match read {
        Ok(read) => (Some(read.to_string()), None),
        Err(error) => (None, Some(error)),
    };
    Check {
        ok: error.is_none(),
        error,
        completions,
        canonical,
    }
}

/// The byte at which `offset` UTF-16 units have gone by; within a character, its beginning.
fn byte_at(text: &str, offset: usize) -> usize {
    let mut units = 0;
    for (byte, c) in text.char_indices() {
        units += c.len_utf16();
        if units > offset {
            return byte;
        }
    }
    text.len()
}

/// What is being written at the cursor.
struct Begun {
    /// Where it begins and ends, in bytes.
    from: usize,
    to: usize,
    /// What is there before the cursor, without quotes.
    before: String,
    /// Whether it is in quotes.
    quoted: bool,
}

fn begun(text: &str, cursor: usize) -> Begun {
    let mut at = 0;
    loop {
        let token = token::next(text, at);
        if token.from >= cursor || token.what == What::End {
            break;
        }
        let inside = match token.what {
            What::Quoted(_) => cursor < token.to,
            What::Word(_) | What::Operator(_) | What::Unclosed(_) => cursor <= token.to,
            _ => false,
        };
        if inside {
            let before = &text[token.from..cursor];
            let (before, quoted) = match token.what {
                What::Word(_) | What::Operator(_) => (before.to_owned(), false),
                // the same string if it ended here
                _ => match token::next(before, 0).what {
                    What::Unclosed(read) | What::Quoted(read) => (read, true),
                    // in an escape: nothing is known to begin so
                    _ => (before.to_owned(), true),
                },
            };
            return Begun {
                from: token.from,
                // what follows an open string is not known to belong to it
                to: match token.what {
                    What::Unclosed(_) => cursor,
                    _ => token.to,
                },
                before,
                quoted,
            };
        }
        at = token.to;
    }
    Begun {
        from: cursor,
        to: cursor,
        before: String::new(),
        quoted: false,
    }
}

fn complete(text: &str, offset: usize, values: impl Fn(Field) -> Vec<String>) -> Vec<Completion> {
    let begun = begun(text, byte_at(text, offset));
    let (from, to) = (utf16(text, begun.from), utf16(text, begun.to));
    let typed = begun.before.to_lowercase();
    let mut found = Vec::new();
    let mut offer = |name: &str, kind: CompletionKind, detail: Option<&str>| {
        let fits = begun.quoted <= (kind == CompletionKind::Value)
            && name.to_lowercase().starts_with(&typed);
        if fits && found.len() < COMPLETIONS_MAX {
            found.push(Completion {
                text: match kind {
                    CompletionKind::Value => quoted(name),
                    _ => name.to_owned(),
                },
                kind,
                detail: detail.map(str::to_owned),
                from,
                to,
            });
        }
    };
    for want in wanted_after(&text[..begun.from]) {
        match want {
            Want::Field => {
                for named in known() {
                    offer(named.name, CompletionKind::Field, Some(named.about));
                }
            }
            Want::Operator(field) => {
                for operator in field.kind().operators() {
                    offer(operator, CompletionKind::Operator, Some(meaning(operator)));
                }
            }
            Want::Value(field) => {
                for word in field.words() {
                    offer(word, CompletionKind::Value, None);
                }
                if field.kind() == Kind::Date {
                    for (span, meaning) in SPANS {
                        offer(span, CompletionKind::Value, Some(meaning));
                    }
                }
                let mut known = values(field);
                known.retain(|value| !field.words().contains(&value.as_str()));
                for value in known {
                    offer(&value, CompletionKind::Value, None);
                }
            }
            Want::Keyword(keyword) => offer(keyword.word(), CompletionKind::Keyword, None),
            Want::Open => offer("(", CompletionKind::Operator, None),
            Want::Close => offer(")", CompletionKind::Operator, None),
            Want::Comma => offer(",", CompletionKind::Operator, None),
            Want::End => {}
        }
    }
    found
}

/// Spans from now that are worth an offer.
const SPANS: [(&str, &str); 4] = [
    ("-1h", "an hour ago"),
    ("-1d", "24 hours ago"),
    ("-7d", "seven times 24 hours ago"),
    ("-30d", "thirty times 24 hours ago"),
];

fn meaning(operator: &str) -> &'static str {
    match operator {
        "=" => "is",
        "!=" => "is not",
        "<" => "is below, before",
        "<=" => "is at most, not after",
        ">" => "is above, after",
        ">=" => "is at least, not before",
        "~" => "contains, capital letters or not",
        "!~" => "does not contain, capital letters or not",
        _ => "",
    }
}
