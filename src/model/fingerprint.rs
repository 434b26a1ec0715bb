//! Which errors are the same one.
//!
//! Errors that differ only in ids, numbers, paths, quoted parts and times have one pattern: each of
//! those stands in it as a word in angle brackets. The rules look at one word at a time, so that a
//! pattern says what its errors have in common and can be read by people.

use std::fmt::Write;
use std::net::Ipv6Addr;

use chrono::DateTime;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64;

/// How much of an error counts: what follows is a trace more often than a message.
pub const CONSIDERED_BYTES: usize = 2048;

/// What is the same for all errors of one pattern. Stable within a version of the snapshot's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// The fingerprint of `error`.
    #[must_use]
    pub fn of(error: &str) -> Self {
        Self(xxh3_64(pattern(error).as_bytes()))
    }
}

impl Fingerprint {
    /// Its hexadecimal digits.
    #[must_use]
    pub fn digits(self) -> [u8; 16] {
        let digit = |at: u32| {
            #[allow(clippy::cast_possible_truncation)] // four bits
            let value = (self.0 >> (60 - 4 * at)) as u8 & 15;
            value + if value < 10 { b'0' } else { b'a' - 10 }
        };
        std::array::from_fn(|at| digit(u32::try_from(at).unwrap_or(0)))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Fingerprint {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Fingerprint".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{16}$" })
    }
}

/// What `error` has in common with others of its kind. Costs its length, of which
/// `CONSIDERED_BYTES` count.
#[must_use]
pub fn pattern(error: &str) -> String {
    let mut end = error.len().min(CONSIDERED_BYTES);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    let mut rest = error.get(..end).unwrap_or_default();
    let mut pattern = String::with_capacity(rest.len());
    let mut before = ' ';
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = rest.trim_start();
            if !pattern.is_empty() && !rest.is_empty() {
                pattern.push(' ');
            }
            before = ' ';
            continue;
        }
        if let Some(length) = header_date(rest) {
            time(&mut pattern);
            rest = rest.get(length..).unwrap_or_default();
            before = 'T';
            continue;
        }
        if let Some(length) = quoted(rest, before) {
            pattern.push_str("<text>");
            rest = rest.get(length..).unwrap_or_default();
            before = '"';
            continue;
        }
        let length = word(rest);
        if length == 0 {
            pattern.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
            before = first;
            continue;
        }
        let (word, others) = rest.split_at(length);
        // what ends a sentence is not part of its last word
        let core = word.trim_end_matches(['.', ':', '/', '\\', '-', '_', '+']);
        let core = if core.is_empty() { word } else { core };
        told(core, &mut pattern);
        rest = rest.get(core.len()..).unwrap_or(others);
        before = core.chars().next_back().unwrap_or(' ');
    }
    pattern
}

/// The length of the date that `text` begins with, as it stands in headers of messages:
/// `Wed, 15 Oct 2025 07:00:00 GMT`.
fn header_date(text: &str) -> Option<usize> {
    const LENGTH: usize = 29;
    let date = text.get(..LENGTH)?;
    let comma = date.as_bytes().get(3) == Some(&b',');
    let is_date = comma && DateTime::parse_from_rfc2822(date).is_ok();
    is_date.then_some(LENGTH)
}

/// Writes a time; a day and a time of it are one.
fn time(pattern: &mut String) {
    const TIME: &str = "<time>";
    if pattern
        .strip_suffix(' ')
        .is_some_and(|day| day.ends_with(TIME))
    {
        pattern.pop();
    } else {
        pattern.push_str(TIME);
    }
}

/// The length of the quoted part that `text` begins with.
fn quoted(text: &str, before: char) -> Option<usize> {
    let open = text.chars().next()?;
    let close = match open {
        '"' | '`' => open,
        // an apostrophe stands in a word
        '\'' if !before.is_alphanumeric() => open,
        '“' | '„' => '”',
        '‘' => '’',
        '«' => '»',
        _ => return None,
    };
    let inside = text.get(open.len_utf8()..)?;
    let mut escaped = false;
    for (at, c) in inside.char_indices() {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == close => {
                let end = open.len_utf8() + at + close.len_utf8();
                let next = text.get(end..)?.chars().next();
                if close == '\'' && next.is_some_and(char::is_alphanumeric) {
                    continue;
                }
                return Some(end);
            }
            _ => {}
        }
    }
    None
}

/// How much of `text` is one word: letters, digits, and what stands between them in paths, ids,
/// numbers and times.
fn word(text: &str) -> usize {
    let thousands = |at: usize| {
        let after = text.as_bytes().get(at + 1..).unwrap_or_default();
        let digits = after.iter().take_while(|byte| byte.is_ascii_digit());
        digits.count() == 3
    };
    let inside = |at: usize, c: char| {
        c.is_alphanumeric() || "/\\.:_-+~%@#&=?".contains(c) || (c == ',' && thousands(at))
    };
    text.char_indices()
        .find(|&(at, c)| !inside(at, c))
        .map_or(text.len(), |(at, _)| at)
}

/// Writes what `word` is in a pattern.
fn told(word: &str, pattern: &mut String) {
    // `key=value`: the value is another word
    if let Some((key, value)) = word.split_once('=')
        && !value.is_empty()
        && !word.contains("://")
    {
        told(key, pattern);
        pattern.push('=');
        return told(value, pattern);
    }
    if is_path(word) {
        pattern.push_str("<path>");
    } else if is_time(word) {
        time(pattern);
    } else if word.parse::<Ipv6Addr>().is_ok() {
        pattern.push_str("<n>");
    } else if let Some(name) = id(word) {
        let _ = write!(pattern, "{name}<id>");
    } else {
        numbers(word, pattern);
    }
}

fn is_path(word: &str) -> bool {
    let drive = |word: &str| {
        let mut bytes = word.bytes();
        let letter = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
        letter && bytes.next() == Some(b':') && matches!(bytes.next(), Some(b'\\' | b'/'))
    };
    let begins = |start: &str| {
        let rest = word.strip_prefix(start).unwrap_or_default();
        rest.chars().any(char::is_alphanumeric)
    };
    let parts = word.split(['/', '\\']).filter(|part| !part.is_empty());
    word.contains("://")
        || drive(word)
        || ["/", "./", "../", "~/", "\\\\"].into_iter().any(begins)
        || (word.contains(['/', '\\']) && (parts.count() > 2 || word.contains(['.', ':'])))
}

/// Dates, times of day, and both.
fn is_time(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    let separators = word.bytes().filter(|b| matches!(b, b':' | b'-')).count();
    let clean = word
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b':' | b'-' | b'.' | b',' | b'+' | b'T' | b'Z'));
    let groups = word.split([':', '-', '.', ',', '+', 'T', 'Z']);
    let short = groups.clone().all(|group| group.len() <= 9);
    let begins = word.starts_with(|c: char| c.is_ascii_digit());
    clean && begins && short && digits >= 3 && separators >= 2 && {
        let lengths: Vec<usize> = groups.take(3).map(str::len).collect();
        // 2025-10-15…, 05:02:46…; what has one colon is a place in a file or at an address as well
        matches!(lengths[..], [4, ..] | [1 | 2, 2, 2])
    }
}

/// What stands between the parts of an id.
const SEPARATORS: [char; 7] = ['-', '_', '.', ':', '/', '#', '@'];

/// What comes before the id that `word` is or ends in.
fn id(word: &str) -> Option<&str> {
    if let Some(hex) = word.strip_prefix("0x")
        && !hex.is_empty()
        && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
    {
        return Some("");
    }
    if let Some(from) = uuid(word) {
        return word.get(..from);
    }
    // else it is a number
    let named = word.contains(char::is_alphabetic);
    let random = |part: &str| {
        let digits = part.bytes().filter(u8::is_ascii_digit).count();
        let letters = part.bytes().filter(u8::is_ascii_alphabetic).count();
        let unit = part.trim_start_matches(|c: char| c.is_ascii_digit()).len() == letters;
        let all = digits + letters == part.len();
        // a name with a version (utf8, node12) is none, nor is a number with its unit (5000ms)
        let name = part.trim_end_matches(|c: char| c.is_ascii_digit()).len() == letters;
        // as git spells its objects
        let hash = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        let hash = part.len() >= 7 && part.bytes().all(hash) && letters > 0 && digits > 0;
        all && ((hash && !unit)
            || (digits >= 8 && letters == 0 && named)
            || (letters > 0 && part.len() >= 6 && digits >= 1 && !unit && (!name || digits >= 6))
            || (letters > 0 && digits >= 4 && part.len() >= 8 && !(unit && letters <= 3)))
    };
    let mut from = 0;
    for part in word.split(SEPARATORS) {
        if random(part) {
            return word.get(..from);
        }
        from += part.len() + 1;
    }
    // a name before it tells that it is one, however short
    let (name, last) = word.rsplit_once('_')?;
    let named = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_');
    let numbered = last.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && last.bytes().any(|byte| byte.is_ascii_digit());
    (named && numbered).then(|| word.get(..=name.len()))?
}

/// Where the first part of `word` begins that is a UUID, whatever its own parts look like.
fn uuid(word: &str) -> Option<usize> {
    const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
    let after = word.match_indices(SEPARATORS).map(|(at, _)| at + 1);
    std::iter::once(0).chain(after).find(|&from| {
        let mut parts = word.get(from..).unwrap_or_default().split('-');
        LENGTHS.iter().enumerate().all(|(at, length)| {
            let part = parts.next().unwrap_or_default();
            let part = match at {
                4 => part.split(SEPARATORS).next().unwrap_or_default(),
                _ => part,
            };
            part.len() == *length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    })
}

/// Writes `word` with every number in it as a word of its own.
fn numbers(word: &str, pattern: &mut String) {
    // what a sign stands behind that is part of the number; between two numbers it is not
    const OPENING: [char; 6] = [' ', '(', '[', '=', ':', ','];
    const SIGNS: [char; 2] = ['-', '+'];
    let mut chars = word.chars();
    let mut inside = false;
    while let Some(c) = chars.next() {
        let mut ahead = chars.clone();
        let next = ahead.next();
        let more = next.is_some_and(char::is_numeric);
        if c.is_numeric() {
            if !inside {
                let before = pattern
                    .strip_suffix(SIGNS)
                    .map(|rest| rest.trim_end_matches(SIGNS));
                if before.is_some_and(|before| before.is_empty() || before.ends_with(OPENING)) {
                    pattern.pop();
                }
                pattern.push_str("<n>");
            }
            inside = true;
        } else if inside
            && matches!(c, 'e' | 'E')
            && next.is_some_and(|next| SIGNS.contains(&next))
            && ahead.next().is_some_and(char::is_numeric)
        {
            // the exponent's sign
            chars.next();
        } else if !(inside && more && matches!(c, '.' | ',' | 'e' | 'E')) {
            inside = false;
            pattern.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_differs_between_errors_of_a_kind_is_left_out() {
        for (errors, expected) in [
            (
                &[
                    "Execution exec-1760504566569-y49gl3ayg timed out after 5000ms",
                    "Execution exec-1760504566570-abcdefghi timed out  after 30ms",
                ][..],
                "Execution exec-<id> timed out after <n>ms",
            ),
            (
                &[
                    "session 222578ed-0269-4809-a9a6-1d2c3b4a5968 was not found",
                    "session feacba93-23c9-49ab-ad2c-aaaaaaaaaaaa was not found",
                    "session ABCDEFAB-CDEF-ABCD-EFAB-CDEFABCDEFAB was not found",
                    "session 12345678-1234-4123-8123-123456789012 was not found",
                ],
                "session <id> was not found",
            ),
            (
                &["run-deadbeef-dead-4eef-8eef-deadbeefdead: no"],
                "run-<id>: no",
            ),
            (
                &[
                    "ENOENT: no such file or directory, open '/home/me/a.json'",
                    "ENOENT: no such file or directory, open '/tmp/it\\'s here'",
                ],
                "ENOENT: no such file or directory, open <text>",
            ),
            (
                &[
                    "cannot read /var/lib/x/1: permission denied",
                    "cannot read C:\\data\\y.txt: permission denied",
                    "cannot read src/main.rs:12:3: permission denied",
                    "cannot read https://example.org/a?b=1: permission denied",
                ],
                "cannot read <path>: permission denied",
            ),
            (
                &[
                    "At 2025-10-15T05:02:46.569Z node n1 failed",
                    "At 05:02:46 node n22 failed",
                    "At 2025-10-15 05:02:46,569 node n5 failed",
                    "At 2025-10-15 node n3 failed",
                ],
                "At <time> node n<n> failed",
            ),
            (
                &[
                    "Request 550e8400-e29b-41d4-a716-446655440000 failed: status 503",
                    "Request 0x7ffe failed: status 502.",
                    "Request abc1234 failed: status 502.",
                    "Request 4f3a9c1be02d failed: status -1",
                ],
                "Request <id> failed: status <n>",
            ),
            (
                &[
                    "rate limit: 12.5 of 10,000 tokens (retry=3)",
                    "rate limit: 1 of 2 tokens (retry=10)",
                ],
                "rate limit: <n> of <n> tokens (retry=<n>)",
            ),
            (
                &[
                    "allocated 5 bytes",
                    "allocated 1073741824 bytes",
                    "allocated ٣ bytes",
                    "allocated 1e5 bytes",
                    "allocated -7 bytes",
                    "allocated +7 bytes",
                    "allocated 2.5e-7 bytes",
                    "allocated 1E+21 bytes",
                ],
                "allocated <n> bytes",
            ),
            (&["-5 below", "5 below", "+5 below"], "<n> below"),
            (&["off (-5, x=+5)", "off (5, x=5)"], "off (<n>, x=<n>)"),
            (&["lines 3-5", "lines 12-100"], "lines <n>-<n>"),
            (
                &[
                    "connect ECONNREFUSED 10.0.0.1:80",
                    "connect ECONNREFUSED 192.168.1.77:8080",
                ],
                "connect ECONNREFUSED <n>:<n>",
            ),
            (
                &[
                    "no route to fe80::1 here",
                    "no route to 2001:db8::ff00:42:8329 here",
                ],
                "no route to <n> here",
            ),
            (&["line 12:34 col", "line 3:4 col"], "line <n>:<n> col"),
            (
                &[
                    "retry at 2025-10-15 07:00:00, please",
                    "retry at 2025-10-16T07:00:01Z, please",
                    "retry at Wed, 15 Oct 2025 07:00:00 GMT, please",
                ],
                "retry at <time>, please",
            ),
            (
                &["session sess-4F9A2B1C ended", "session sess-00000000 ended"],
                "session sess-<id> ended",
            ),
            (
                &[
                    "request req_9zz refused",
                    "request req_abc123XYZ refused",
                    "request req_7 refused",
                ],
                "request req_<id> refused",
            ),
            (
                &[
                    "charge sk_live_a1 failed",
                    "charge sk_live_4eC39HqLyjW failed",
                ],
                "charge sk_live_<id> failed",
            ),
            (
                &["Model \"gpt-4\" doesn't exist", "Model `x` doesn't exist"],
                "Model <text> doesn't exist",
            ),
        ] {
            for error in errors {
                let found = pattern(error);
                assert_eq!(found.trim_end_matches('.'), expected, "{error}");
            }
        }
    }

    #[test]
    fn what_tells_kinds_apart_stays() {
        for error in [
            "Workflow must have exactly one agent node",
            "read/write and/or TCP/IP",
            "can't open it; it's 'unclosed",
            "überfällig: 処理に失敗しました",
            "a: b, c. d",
            "invalid_request_error in get_user",
        ] {
            assert_eq!(pattern(error), error);
        }
        assert_eq!(pattern("\n  two\n\t lines \n"), "two lines");
        assert_eq!(pattern("utf8 decoding failed"), "utf<n> decoding failed");
        assert_eq!(pattern(""), "");
    }

    #[test]
    fn a_fingerprint_is_of_the_pattern_and_printed_in_digits() {
        assert_eq!(Fingerprint::of("a 1"), Fingerprint::of("a 22"));
        assert_ne!(Fingerprint::of("a 1"), Fingerprint::of("b 1"));
        assert_eq!(
            Fingerprint(0x0123_4567_89ab_cdef).to_string(),
            "0123456789abcdef"
        );
    }

    proptest! {
        #[test]
        fn numbers_and_quoted_parts_never_matter(
            a in 0u32.., b in 0u32.., one in "[^\"\\\\\n]{0,20}", other in "[^\"\\\\\n]{0,20}"
        ) {
            let error = |n: u32, text: &str| format!("step {n} said \"{text}\" (code {n})");
            prop_assert_eq!(pattern(&error(a, &one)), pattern(&error(b, &other)));
        }

        #[test]
        fn any_text_has_a_pattern(text in "\\PC{0,200}") {
            prop_assert!(pattern(&text).len() <= 6 * text.len());
        }

        #[test]
        fn long_texts_count_by_their_beginning(text in "[a-zé ]{2048,4000}") {
            prop_assert!(pattern(&text).len() <= CONSIDERED_BYTES);
        }
    }
}
