//! A filter's text as tokens.

/// A piece of the text, from byte `from` to before byte `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token<'a> {
    pub what: What<'a>,
    pub from: usize,
    pub to: usize,
}

/// What a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What<'a> {
    /// A bare word: a field, a keyword or a value.
    Word(&'a str),
    /// A quoted string, without its quotes and escapes.
    Quoted(String),
    /// A run of the characters that operators are made of.
    Operator(&'a str),
    /// `(`
    Open,
    /// `)`
    Close,
    /// `,`
    Comma,
    /// The end of the text.
    End,
    /// A string without its closing quote, as far as it goes.
    Unclosed(String),
    /// A backslash and what follows it, which is no escape.
    Escape,
    /// A character that can only stand in a quoted string.
    Stray,
}

/// Whether `c` can stand in a bare word.
pub fn in_word(c: char) -> bool {
    !c.is_whitespace()
        && !c.is_control()
        && !in_operator(c)
        && !matches!(
            c,
            '"' | '\'' | '`' | '(' | ')' | ',' | '[' | ']' | '{' | '}' | ';' | '\\'
        )
}

fn in_operator(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>' | '~' | '&' | '|')
}

/// The token at or after byte `at`. Costs its length.
pub fn next(text: &str, at: usize) -> Token<'_> {
    let all = text.get(at..).unwrap_or("");
    let rest = all.trim_start();
    let from = at + (all.len() - rest.len());
    let run = |inside: fn(char) -> bool| {
        let end = rest.find(|c| !inside(c)).unwrap_or(rest.len());
        &rest[..end]
    };
    let token = |what, length| Token {
        what,
        from,
        to: from + length,
    };
    match rest.chars().next() {
        None => token(What::End, 0),
        Some('(') => token(What::Open, 1),
        Some(')') => token(What::Close, 1),
        Some(',') => token(What::Comma, 1),
        Some(quote @ ('"' | '\'')) => quoted(rest, quote, from),
        Some(c) if in_operator(c) => {
            let all = run(in_operator);
            token(What::Operator(all), all.len())
        }
        Some(c) if in_word(c) => {
            let all = run(in_word);
            token(What::Word(all), all.len())
        }
        Some(c) => token(What::Stray, c.len_utf8()),
    }
}

/// The string that `rest`, which is at byte `from` of the whole, begins with.
fn quoted(rest: &str, quote: char, from: usize) -> Token<'_> {
    let mut read = String::new();
    let mut at = 1;
    loop {
        let tail = &rest[at..];
        let plain = tail.find([quote, '\\']).unwrap_or(tail.len());
        read.push_str(&tail[..plain]);
        at += plain;
        let token = |what, length| Token {
            what,
            from,
            to: from + length,
        };
        match rest[at..].chars().next() {
            None => return token(What::Unclosed(read), at),
            Some(c) if c == quote => return token(What::Quoted(read), at + 1),
            Some(_) => match escape(&rest[at..]) {
                Some((c, length)) => {
                    read.push(c);
                    at += length;
                }
                None => {
                    let shown = rest[at..]
                        .chars()
                        .take(2)
                        .map(char::len_utf8)
                        .sum::<usize>();
                    return Token {
                        what: What::Escape,
                        from: from + at,
                        to: from + at + shown,
                    };
                }
            },
        }
    }
}

/// The character that the escape at the beginning of `text` stands for, and the escape's length.
/// Those of JSON, and `\'`.
fn escape(text: &str) -> Option<(char, usize)> {
    let plain = |c| Some((c, 2));
    match text.as_bytes().get(1)? {
        b'"' => plain('"'),
        b'\'' => plain('\''),
        b'\\' => plain('\\'),
        b'/' => plain('/'),
        b'b' => plain('\u{8}'),
        b'f' => plain('\u{c}'),
        b'n' => plain('\n'),
        b'r' => plain('\r'),
        b't' => plain('\t'),
        b'u' => {
            let unit = |at: usize| {
                let digits = text.get(at..at + 4)?;
                let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
                hex.then(|| u16::from_str_radix(digits, 16).ok())?
            };
            let first = unit(2)?;
            if let Some(c) = char::from_u32(first.into()) {
                return Some((c, 6));
            }
            // half of a pair
            text.get(6..8).filter(|mark| *mark == "\\u")?;
            let pair = [first, unit(8)?];
            let c = char::decode_utf16(pair).next()?.ok()?;
            Some((c, 12))
        }
        _ => None,
    }
}
