//! The language of searches.
//!
//! ```text
//! query  = and { "OR" and }
//! and    = not { [ "AND" ] not }          words beside each other: all of them
//! not    = ( "NOT" | "-" ) not | atom
//! atom   = "(" query ")" | phrase | word
//! phrase = '"' text '"' [ "*" ]           its words side by side, in one text
//! word   = text [ "*" ]                   several tokens: side by side, as in a phrase
//! ```
//!
//! The operators are capitals. A `*` stands for any end of the last word. Text is cut into tokens as
//! what is searched (see `token`); what has none is passed over. Everything is bounded, so that no
//! query is more than so many lookups.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::token::{TokenKind, Tokens};

/// How long a query may be, in bytes.
pub const QUERY_BYTES_MAX: usize = 4096;
/// How many tokens it may have.
pub const TOKENS_MAX: usize = 256;
/// How many of its words may end in a `*`.
pub const PREFIXES_MAX: usize = 32;
/// How deep parentheses and negations may be nested.
pub const NESTING_MAX: usize = 32;

/// Why a text is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, JsonSchema)]
pub struct QueryError {
    /// Where what was found begins, in UTF-16 units of the text.
    pub offset: usize,
    /// Where it ends.
    pub end: usize,
    /// What was found, cut at 40 characters.
    pub found: String,
    /// What would have been right there.
    pub expected: String,
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            found,
            expected,
            ..
        } = self;
        write!(f, "at {offset}: expected {expected}, found {found}")
    }
}

/// A token that is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wanted {
    /// As texts have it.
    pub text: String,
    /// How many positions behind the first of its phrase.
    pub offset: u32,
}

/// Tokens side by side.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Phrase {
    /// At least one; the first has offset 0.
    pub tokens: Vec<Wanted>,
    /// The last token may go on.
    pub prefix: bool,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// All of them.
    All(Vec<Query>),
    /// At least one of them.
    Any(Vec<Query>),
    /// What does not have it.
    Not(Box<Query>),
    /// What has it, in one text.
    Phrase(Phrase),
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`] with the place of what is wrong.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut parser = Parser {
            text,
            at: 0,
            tokens: 0,
            prefixes: 0,
        };
        if text.len() > QUERY_BYTES_MAX {
            return Err(parser.error(0, format!("at most {QUERY_BYTES_MAX} bytes")));
        }
        let query = parser.any(0)?;
        match parser.lexeme() {
            (_, Lexeme::End) => {}
            (begin, _) => return Err(parser.error(begin, "a word or the end")),
        }
        query.ok_or_else(|| match text.trim() {
            "" => parser.error(text.len(), "a word to look for"),
            _ => {
                let begin = text.len() - text.trim_start().len();
                parser.error(begin, "a word to look for, of letters or digits")
            }
        })
    }

    /// All phrases, those under a `NOT` too.
    pub fn phrases(&self) -> Vec<&Phrase> {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().flat_map(Self::phrases).collect(),
            Self::Not(part) => part.phrases(),
            Self::Phrase(phrase) => vec![phrase],
        }
    }

    /// Whether it is true where `has` says which of its [phrases](Self::phrases), by number, are
    /// there.
    pub fn holds(&self, has: &[bool]) -> bool {
        self.evaluate(&mut has.iter())
    }

    fn evaluate(&self, has: &mut std::slice::Iter<'_, bool>) -> bool {
        // each part takes its phrases, also where the outcome is known
        match self {
            Self::All(parts) => parts
                .iter()
                .fold(true, |held, part| part.evaluate(has) & held),
            Self::Any(parts) => parts
                .iter()
                .fold(false, |held, part| part.evaluate(has) | held),
            Self::Not(part) => !part.evaluate(has),
            Self::Phrase(_) => has.next().copied().unwrap_or(false),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lexeme<'t> {
    End,
    Open,
    Close,
    And,
    Or,
    Not,
    /// Text, and whether a `*` follows.
    Text(&'t str, bool),
    Unclosed,
    /// A `*` that does not end a word.
    Star,
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    tokens: usize,
    prefixes: usize,
}

impl<'t> Parser<'t> {
    /// An error about what stands at byte `begin`.
    fn error(&self, begin: usize, expected: impl Into<String>) -> QueryError {
        let units = |text: &str| text.encode_utf16().count();
        let rest = self.text.get(begin..).unwrap_or_default();
        let found: String = match rest.find(char::is_whitespace) {
            Some(0) | None => rest.chars().take(40).collect(),
            Some(end) => rest
                .chars()
                .take(40.min(rest[..end].chars().count()))
                .collect(),
        };
        let offset = units(self.text.get(..begin).unwrap_or_default());
        QueryError {
            offset,
            end: offset + units(&found),
            found: match found.is_empty() {
                true => "the end".to_owned(),
                false => format!("`{found}`"),
            },
            expected: expected.into(),
        }
    }

    /// The next lexeme and where it begins.
    fn lexeme(&mut self) -> (usize, Lexeme<'t>) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let begin = self.at + (rest.len() - rest.trim_start().len());
        let rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            self.at = begin;
            return (begin, Lexeme::End);
        };
        let (length, lexeme) = match first {
            '(' => (1, Lexeme::Open),
            ')' => (1, Lexeme::Close),
            '"' => match rest[1..].find('"') {
                None => (rest.len(), Lexeme::Unclosed),
                Some(length) => {
                    let star = rest[length + 2..].starts_with('*');
                    let text = &rest[1..=length];
                    (length + 2 + usize::from(star), Lexeme::Text(text, star))
                }
            },
            '-' if rest[1..].starts_with(|next: char| !next.is_whitespace() && next != ')') => {
                (1, Lexeme::Not)
            }
            _ => {
                let end = |next: char| next.is_whitespace() || matches!(next, '(' | ')' | '"');
                let word = &rest[..rest.find(end).unwrap_or(rest.len())];
                let lexeme = match word {
                    "AND" => Lexeme::And,
                    "OR" => Lexeme::Or,
                    "NOT" => Lexeme::Not,
                    _ => match word.split_once('*') {
                        None => Lexeme::Text(word, false),
                        Some((text, "")) if !text.is_empty() => Lexeme::Text(text, true),
                        Some(_) => Lexeme::Star,
                    },
                };
                (word.len(), lexeme)
            }
        };
        self.at = begin + length;
        (begin, lexeme)
    }

    fn peek(&mut self) -> (usize, Lexeme<'t>) {
        let before = self.at;
        let next = self.lexeme();
        self.at = before;
        next
    }

    fn any(&mut self, depth: usize) -> Result<Option<Query>, QueryError> {
        let mut parts: Vec<Query> = self.all(depth)?.into_iter().collect();
        while let (_, Lexeme::Or) = self.peek() {
            self.lexeme();
            self.operand("OR")?;
            parts.extend(self.all(depth)?);
        }
        Ok(joined(parts, Query::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Option<Query>, QueryError> {
        let mut parts = Vec::new();
        let mut first = true;
        loop {
            match self.peek() {
                (_, Lexeme::End | Lexeme::Close | Lexeme::Or) => break,
                (begin, Lexeme::And) => {
                    self.lexeme();
                    if first {
                        return Err(self.error(begin, "a word before AND"));
                    }
                    self.operand("AND")?;
                }
                _ => {}
            }
            first = false;
            parts.extend(self.not(depth)?);
        }
        if first && let (begin, Lexeme::Or) = self.peek() {
            return Err(self.error(begin, "a word before OR"));
        }
        Ok(joined(parts, Query::All))
    }

    /// That something follows an operator.
    fn operand(&mut self, operator: &str) -> Result<(), QueryError> {
        match self.peek() {
            (begin, Lexeme::End | Lexeme::Close | Lexeme::And | Lexeme::Or) => {
                Err(self.error(begin, format!("a word after {operator}")))
            }
            _ => Ok(()),
        }
    }

    fn not(&mut self, depth: usize) -> Result<Option<Query>, QueryError> {
        let (begin, lexeme) = self.lexeme();
        if depth > NESTING_MAX {
            return Err(self.error(begin, format!("at most {NESTING_MAX} levels")));
        }
        match lexeme {
            Lexeme::Not => {
                self.operand("NOT")?;
                let part = self.not(depth + 1)?;
                Ok(part.map(|part| Query::Not(Box::new(part))))
            }
            Lexeme::Open => {
                let inner = self.any(depth + 1)?;
                match self.lexeme() {
                    (_, Lexeme::Close) => Ok(inner),
                    (begin, _) => Err(self.error(begin, "`)`")),
                }
            }
            Lexeme::Text(text, star) => self.phrase(begin, text, star),
            Lexeme::Unclosed => Err(self.error(begin, "a closing `\"`")),
            Lexeme::Star => Err(self.error(
                begin,
                "`*` only at the end of a word; quote it to search for it",
            )),
            Lexeme::End | Lexeme::Close | Lexeme::And | Lexeme::Or => {
                Err(self.error(begin, "a word"))
            }
        }
    }

    fn phrase(
        &mut self,
        begin: usize,
        text: &str,
        star: bool,
    ) -> Result<Option<Query>, QueryError> {
        let mut walk = Tokens::of(text);
        let mut tokens = Vec::new();
        let mut last = None;
        while let Some(token) = walk.step() {
            last = Some(token.kind);
            tokens.push(Wanted {
                text: walk.text().to_owned(),
                offset: token.position,
            });
        }
        // a run of a script without spaces may go on in what is searched
        let prefix = match last {
            None => return Ok(None),
            Some(TokenKind::Word) => star,
            Some(TokenKind::Single) => true,
            Some(TokenKind::Pair | TokenKind::Tail) => {
                tokens.pop();
                false
            }
        };
        self.tokens += tokens.len();
        self.prefixes += usize::from(prefix);
        if self.tokens > TOKENS_MAX {
            return Err(self.error(begin, format!("at most {TOKENS_MAX} words")));
        }
        if self.prefixes > PREFIXES_MAX {
            return Err(self.error(
                begin,
                format!("at most {PREFIXES_MAX} words that end in `*`"),
            ));
        }
        Ok(Some(Query::Phrase(Phrase { tokens, prefix })))
    }
}

fn joined(mut parts: Vec<Query>, join: impl Fn(Vec<Query>) -> Query) -> Option<Query> {
    match parts.len() {
        0 | 1 => parts.pop(),
        _ => Some(join(parts)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query as it is understood.
    fn shown(query: &Query) -> String {
        let list = |parts: &[Query], by: &str| {
            let parts: Vec<String> = parts.iter().map(shown).collect();
            format!("({})", parts.join(by))
        };
        match query {
            Query::All(parts) => list(parts, " & "),
            Query::Any(parts) => list(parts, " | "),
            Query::Not(part) => format!("!{}", shown(part)),
            Query::Phrase(phrase) => {
                let words: Vec<String> = phrase
                    .tokens
                    .iter()
                    .map(|wanted| format!("{}{}", wanted.text, wanted.offset))
                    .collect();
                words.join("+") + if phrase.prefix { "*" } else { "" }
            }
        }
    }

    #[test]
    fn queries_are_understood() {
        for (text, meaning) in [
            ("Failed run", "(failed0 & run0)"),
            ("\"failed run\"", "failed0+run1"),
            ("a OR b c", "(a0 | (b0 & c0))"),
            ("(a OR b) AND -c", "((a0 | b0) & !c0)"),
            ("NOT NOT a", "!!a0"),
            ("exec-17*", "exec0+17*1".replace("*1", "1*").as_str()),
            ("\"link che\"*", "link0+che1*"),
            ("日本語", "日本0+本語1"),
            ("日", "日0*"),
            ("東京2020", "東京0+京1+20202"),
            ("& foo -- →", "foo0"),
            ("not and or", "(not0 & and0 & or0)"),
        ] {
            assert_eq!(shown(&Query::parse(text).unwrap()), meaning, "{text}");
        }
    }

    #[test]
    fn errors_tell_where_and_what() {
        for (text, offset, expected) in [
            ("", 0, "a word to look for"),
            ("→ …", 0, "a word to look for, of letters or digits"),
            (" \"😀\"", 1, "a word to look for, of letters or digits"),
            ("a AND", 5, "a word after AND"),
            ("OR a", 0, "a word before OR"),
            ("(a", 2, "`)`"),
            ("a)", 1, "a word or the end"),
            ("𝄞 \"a", 3, "a closing `\"`"),
            (
                "a* *b",
                3,
                "`*` only at the end of a word; quote it to search for it",
            ),
            ("NOT", 3, "a word after NOT"),
        ] {
            let error = Query::parse(text).unwrap_err();
            assert_eq!(
                (error.offset, error.expected.as_str()),
                (offset, expected),
                "{text}"
            );
        }
    }

    #[test]
    fn hostile_queries_are_refused_at_once() {
        for text in [
            "(".repeat(QUERY_BYTES_MAX),
            "-".repeat(QUERY_BYTES_MAX - 1) + "a",
            "a* ".repeat(1000),
            "a ".repeat(TOKENS_MAX + 1),
            "a".repeat(QUERY_BYTES_MAX + 1),
        ] {
            assert!(Query::parse(&text).is_err());
        }
    }
}
