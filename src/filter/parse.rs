//! From text to [`Expr`], and what is said where that cannot be.
//!
//! A recursive descent that notes at every token what it would have taken there: that is what an
//! error says was expected, and what can be completed.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::field::{Field, Kind, known};
use super::token::{self, Token, What};
use super::value::Value;
use super::{Expr, LIST_MAX, NESTING_MAX, Operator, TESTS_MAX, TEXT_BYTES_MAX, Test};
use crate::model::nearest;

/// Why a text is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, JsonSchema)]
pub struct FilterError {
    /// Where what was found begins, in UTF-16 units of the text.
    pub offset: usize,
    /// Where it ends.
    pub end: usize,
    /// What was found, cut at 40 characters.
    pub found: String,
    /// What would have been right there.
    pub expected: String,
    /// The known name nearest to what was found, if one is near.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            offset,
            found,
            expected,
            ..
        } = self;
        write!(f, "at {offset}: expected {expected}, found {found}")?;
        match &self.nearest {
            Some(near) => write!(f, "; did you mean `{near}`?"),
            None => Ok(()),
        }
    }
}

impl FilterError {
    pub(super) fn too_long(text: &str) -> Self {
        let mut from = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(from) {
            from -= 1;
        }
        Self {
            offset: utf16(text, from),
            end: utf16(text, text.len()),
            found: "more".to_owned(),
            expected: format!(
                "at most {TEXT_BYTES_MAX} bytes, as it is written and in canonical form"
            ),
            nearest: None,
        }
    }
}

/// How many UTF-16 units the first `byte` bytes of `text` have.
pub(super) fn utf16(text: &str, byte: usize) -> usize {
    let before = text.get(..byte).unwrap_or(text);
    before.chars().map(char::len_utf16).sum()
}

/// The words with a meaning of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keyword {
    And,
    Or,
    Not,
    In,
    Between,
    Is,
    Null,
}

impl Keyword {
    pub const ALL: [Self; 7] = [
        Self::And,
        Self::Or,
        Self::Not,
        Self::In,
        Self::Between,
        Self::Is,
        Self::Null,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
            Self::In => "in",
            Self::Between => "between",
            Self::Is => "is",
            Self::Null => "null",
        }
    }

    pub fn is(word: &str) -> bool {
        let mut all = Self::ALL.into_iter();
        all.any(|keyword| keyword.word().eq_ignore_ascii_case(word))
    }
}

/// Something that could stand at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Field,
    Operator(Field),
    Value(Field),
    Keyword(Keyword),
    Open,
    Close,
    Comma,
    End,
}

/// What tokens one would write who has another language in mind.
const SLIPS: [(&str, &str); 8] = [
    ("==", "="),
    ("===", "="),
    ("<>", "!="),
    ("!==", "!="),
    ("=~", "~"),
    ("&&", "and"),
    ("||", "or"),
    ("!", "not"),
];

/// Reads `text`; `None` if there is nothing.
pub fn parse(text: &str) -> Result<Option<Expr>, FilterError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(FilterError::too_long(text));
    }
    Parser::new(text).whole()
}

/// What could follow `text`, which is the beginning of a filter; nothing if it is not.
pub fn wanted_after(text: &str) -> Vec<Want> {
    let mut parser = Parser::new(text);
    let read = parser.whole();
    if read.is_err() && parser.token.what != What::End {
        return Vec::new();
    }
    parser.wanted
}

struct Parser<'a> {
    text: &'a str,
    token: Token<'a>,
    /// What was looked for at this token, in order.
    wanted: Vec<Want>,
    /// How many parentheses are open.
    open: usize,
    tests: usize,
}

type Read<T> = Result<T, FilterError>;

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            token: token::next(text, 0),
            wanted: Vec::new(),
            open: 0,
            tests: 0,
        }
    }

    fn advance(&mut self) {
        self.token = token::next(self.text, self.token.to);
        self.wanted.clear();
    }

    fn want(&mut self, want: Want) {
        if !self.wanted.contains(&want) {
            self.wanted.push(want);
        }
    }

    /// Takes the token if it is `what`, which is wanted.
    fn take(&mut self, want: Want, what: &What<'_>) -> bool {
        self.want(want);
        let there = self.token.what == *what;
        if there {
            self.advance();
        }
        there
    }

    /// Takes the token if it is the keyword, which is wanted.
    fn keyword(&mut self, keyword: Keyword) -> bool {
        self.want(Want::Keyword(keyword));
        let there = matches!(self.token.what, What::Word(word) if word.eq_ignore_ascii_case(keyword.word()));
        if there {
            self.advance();
        }
        there
    }

    fn whole(&mut self) -> Read<Option<Expr>> {
        if self.token.what == What::End {
            self.start_of_unary();
            return Ok(None);
        }
        let expr = self.any()?;
        self.want(Want::End);
        if self.token.what == What::End {
            Ok(Some(expr))
        } else {
            Err(self.refuse())
        }
    }

    fn any(&mut self) -> Read<Expr> {
        let mut members = vec![self.all()?];
        while self.keyword(Keyword::Or) {
            members.push(self.all()?);
        }
        Ok(Expr::any(members))
    }

    fn all(&mut self) -> Read<Expr> {
        let mut members = vec![self.unary()?];
        while self.keyword(Keyword::And) {
            members.push(self.unary()?);
        }
        Ok(Expr::all(members))
    }

    fn start_of_unary(&mut self) {
        self.want(Want::Field);
        self.want(Want::Keyword(Keyword::Not));
        self.want(Want::Open);
    }

    fn unary(&mut self) -> Read<Expr> {
        let mut negated = false;
        self.start_of_unary();
        while self.keyword(Keyword::Not) {
            negated = !negated;
            self.start_of_unary();
        }
        if self.open == NESTING_MAX && self.token.what == What::Open {
            let expected = format!("at most {NESTING_MAX} open parentheses");
            return Err(self.error(&self.token, expected, None));
        }
        let expr = if self.take(Want::Open, &What::Open) {
            self.open += 1;
            let inner = self.any()?;
            if !self.take(Want::Close, &What::Close) {
                return Err(self.refuse());
            }
            self.open -= 1;
            inner
        } else {
            self.test()?
        };
        Ok(if negated { expr.negated() } else { expr })
    }

    fn test(&mut self) -> Read<Expr> {
        let found = match self.token.what {
            What::Word(word) => Field::from_name(word),
            _ => None,
        };
        let Some(field) = found else {
            return Err(self.refuse());
        };
        self.tests += 1;
        if self.tests > TESTS_MAX {
            let expected = format!("at most {TESTS_MAX} tests");
            return Err(self.error(&self.token, expected, None));
        }
        self.advance();
        let operator = self.operator(field);
        if field.kind() == Kind::Flag {
            return self.flag(field, operator);
        }
        if let Some(operator) = operator {
            let value = self.value(field)?;
            let compare = |operator| Test::Compare(operator, value.clone());
            let (test, negated) = match (operator, &value) {
                ("~" | "!~", Value::Text(text)) => (Test::Contains(text.clone()), operator == "!~"),
                ("<", _) => (compare(Operator::Less), false),
                ("<=", _) => (compare(Operator::AtMost), false),
                (">", _) => (compare(Operator::Greater), false),
                (">=", _) => (compare(Operator::AtLeast), false),
                (operator, _) => (compare(Operator::Equal), operator == "!="),
            };
            return Ok(tested(field, test, negated));
        }
        let negated = self.keyword(Keyword::Not);
        if self.keyword(Keyword::In) {
            return Ok(tested(field, Test::In(self.list(field)?), negated));
        }
        if field.kind() != Kind::Text && self.keyword(Keyword::Between) {
            let low = self.value(field)?;
            if !self.keyword(Keyword::And) {
                return Err(self.refuse());
            }
            let high = self.value(field)?;
            return Ok(tested(field, Test::Between(low, high), negated));
        }
        if !negated && self.keyword(Keyword::Is) {
            let present = self.keyword(Keyword::Not);
            if !self.keyword(Keyword::Null) {
                return Err(self.refuse());
            }
            return Ok(tested(field, Test::Present, !present));
        }
        Err(self.refuse())
    }

    /// Takes the operator if it is one for `field`.
    fn operator(&mut self, field: Field) -> Option<&'static str> {
        self.want(Want::Operator(field));
        let What::Operator(written) = self.token.what else {
            return None;
        };
        let mut all = field.kind().operators().iter();
        let operator = *all.find(|operator| **operator == written)?;
        self.advance();
        Some(operator)
    }

    fn flag(&mut self, field: Field, operator: Option<&str>) -> Read<Expr> {
        let Some(operator) = operator else {
            return Ok(tested(field, Test::Present, false));
        };
        self.want(Want::Value(field));
        let truth = match self.token.what {
            What::Word(word) if word.eq_ignore_ascii_case("true") => true,
            What::Word(word) if word.eq_ignore_ascii_case("false") => false,
            _ => return Err(self.refuse()),
        };
        self.advance();
        Ok(tested(field, Test::Present, truth != (operator == "=")))
    }

    fn list(&mut self, field: Field) -> Read<Vec<Value>> {
        if !self.take(Want::Open, &What::Open) {
            return Err(self.refuse());
        }
        let mut values = vec![self.value(field)?];
        while self.take(Want::Comma, &What::Comma) {
            if values.len() == LIST_MAX {
                let expected = format!("at most {LIST_MAX} values");
                return Err(self.error(&self.token, expected, None));
            }
            values.push(self.value(field)?);
        }
        if !self.take(Want::Close, &What::Close) {
            return Err(self.refuse());
        }
        Ok(values)
    }

    fn value(&mut self, field: Field) -> Read<Value> {
        self.want(Want::Value(field));
        let text = match &self.token.what {
            What::Word(word) if !Keyword::is(word) => word,
            What::Quoted(text) => text.as_str(),
            _ => return Err(self.refuse()),
        };
        let Some(value) = Value::read(field.kind(), text) else {
            return Err(self.refuse());
        };
        self.advance();
        Ok(value)
    }

    /// The error that this token is none of what is wanted.
    fn refuse(&self) -> FilterError {
        let token = &self.token;
        match token.what {
            What::Escape => {
                let expected = "an escape: \\\" \\' \\\\ \\/ \\b \\f \\n \\r \\t or \\uXXXX";
                return self.error(token, expected.to_owned(), None);
            }
            What::Unclosed(_) => {
                let expected = "a closing quote";
                return self.error(token, expected.to_owned(), None);
            }
            _ => {}
        }
        let mut items = Vec::new();
        let mut names = Vec::new();
        for want in &self.wanted {
            want.describe(&mut items, &mut names);
        }
        let last = items.pop().unwrap_or_default();
        let expected = match items.as_slice() {
            [] => last,
            first => format!("{} or {last}", first.join(", ")),
        };
        let near = match token.what {
            What::Word(word) if !Keyword::is(word) => {
                let words = |name: &&str| name.starts_with(|c: char| c.is_ascii_alphabetic());
                nearest(word, names.iter().copied().filter(words))
            }
            What::Operator(written) => {
                let slip = SLIPS.iter().find(|(slip, _)| *slip == written);
                slip.map(|(_, meant)| *meant)
                    .filter(|meant| names.contains(meant))
            }
            _ => None,
        };
        self.error(token, expected, near)
    }

    fn error(&self, at: &Token<'_>, expected: String, nearest: Option<&str>) -> FilterError {
        const SHOWN: usize = 40;
        let found = match at.what {
            What::End => "the end".to_owned(),
            _ => {
                let mut all = self.text[at.from..at.to].chars();
                let shown: String = all.by_ref().take(SHOWN).collect();
                let shown = shown.replace(char::is_control, " ");
                let more = if all.next().is_some() { "…" } else { "" };
                format!("`{shown}{more}`")
            }
        };
        FilterError {
            offset: utf16(self.text, at.from),
            end: utf16(self.text, at.to),
            found,
            expected,
            nearest: nearest.map(str::to_owned),
        }
    }
}

fn tested(field: Field, test: Test, negated: bool) -> Expr {
    let expr = Expr::Test(field, test);
    if negated { expr.negated() } else { expr }
}

impl Want {
    /// Adds how it is said that this is wanted, and the names that it could be.
    fn describe(self, items: &mut Vec<String>, names: &mut Vec<&'static str>) {
        let mut exactly = |word: &'static str| {
            items.push(format!("`{word}`"));
            names.push(word);
        };
        match self {
            Self::Field => {
                items.push("a field".to_owned());
                names.extend(known().map(|named| named.name));
            }
            Self::Operator(field) => field.kind().operators().iter().copied().for_each(exactly),
            Self::Value(field) => {
                items.push(field.kind().expected().to_owned());
                names.extend(field.words());
            }
            Self::Keyword(keyword) => exactly(keyword.word()),
            Self::Open => exactly("("),
            Self::Close => exactly(")"),
            Self::Comma => exactly(","),
            Self::End => items.push("the end".to_owned()),
        }
    }
}
