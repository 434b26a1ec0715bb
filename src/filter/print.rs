//! Canonical text.

use std::fmt;

use super::field::{Field, Kind};
use super::parse::Keyword;
use super::value::Value;
use super::{Expr, Operator, Test, Where};

impl fmt::Display for Where {
    /// The canonical text; [`Where::parse`] reads an equal filter from it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.as_ref().map_or(Ok(()), |expr| expr.fmt(f))
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(members) => joined(f, members, " and "),
            Self::Any(members) => joined(f, members, " or "),
            Self::Not(inner) => match &**inner {
                Self::Test(field, test) => print(f, *field, test, true),
                group => write!(f, "not ({group})"),
            },
            Self::Test(field, test) => print(f, *field, test, false),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, members: &[Expr], between: &str) -> fmt::Result {
    for (at, member) in members.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        match member {
            // the only one that binds less than what it stands in
            Expr::Any(_) => write!(f, "({member})")?,
            _ => write!(f, "{member}")?,
        }
    }
    Ok(())
}

fn print(f: &mut fmt::Formatter<'_>, field: Field, test: &Test, negated: bool) -> fmt::Result {
    let value = |value: &Value| quoted(&value.spelling(field.kind()));
    let not = if negated { "not " } else { "" };
    let mark = if negated { "!" } else { "" };
    match test {
        Test::Present if field.kind() == Kind::Flag => write!(f, "{not}{field}"),
        Test::Present if negated => write!(f, "{field} is null"),
        Test::Present => write!(f, "{field} is not null"),
        Test::Compare(Operator::Equal, to) => write!(f, "{field} {mark}= {}", value(to)),
        Test::Compare(operator, to) => write!(f, "{not}{field} {} {}", operator.sign(), value(to)),
        Test::In(values) => {
            write!(f, "{field} {not}in (")?;
            for (at, one) in values.iter().enumerate() {
                let comma = if at > 0 { ", " } else { "" };
                write!(f, "{comma}{}", value(one))?;
            }
            f.write_str(")")
        }
        Test::Between(low, high) => {
            let (low, high) = (value(low), value(high));
            write!(f, "{field} {not}between {low} and {high}")
        }
        Test::Contains(text) => write!(f, "{field} {mark}~ {}", quoted(text)),
    }
}

impl Operator {
    fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        }
    }
}

/// `text` as a value: bare where it can be, else in quotes.
pub(super) fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-+_.:/@".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) && !Keyword::is(text) {
        return text.to_owned();
    }
    // a string always has a JSON text
    serde_json::to_string(text).unwrap_or_default()
}
