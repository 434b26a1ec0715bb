//! Where things end in a piece of JSON text that is in memory: whitespace, strings, numbers, words.
//!
//! Nearly every byte of a record passes through here, and most of them are in strings. Nothing is
//! kept, and nothing is refused: what is not whole and sound within the piece is left to the walk
//! (`json`), which knows what comes next and says what is wrong.

use wide::u8x16;

/// Where the whitespace that begins at `at` ends.
#[inline]
pub(super) fn blank_end(window: &[u8], mut at: usize) -> usize {
    if window.get(at).is_none_or(|&byte| byte > b' ') {
        return at;
    }
    // a line's end and an indentation, of whatever depth, without a guess of the processor's
    while let Some(part) = window.get(at..).and_then(<[u8]>::first_chunk) {
        let bytes = u8x16::new(*part);
        let is = |byte| bytes.simd_eq(u8x16::splat(byte));
        match !(is(b' ') | is(b'\n') | is(b'\r') | is(b'\t')).to_bitmask() & 0xffff {
            0 => at += 16,
            rest => return at + rest.trailing_zeros() as usize,
        }
    }
    let rest = window.get(at..).unwrap_or_default();
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    at + rest.iter().take_while(blank).count()
}

/// Behind the string that begins at `at`, if all of it is in the window and sound.
#[inline]
pub(super) fn string_end(window: &[u8], at: usize) -> Option<usize> {
    let from = at + 1;
    // names and ids are short, and would pay for a whole block
    let short = window.get(from..).and_then(<[u8]>::first_chunk);
    let end = match short.map(|text| special_bytes(*text).trailing_zeros() as usize) {
        Some(end) if end < SHORT && window.get(from + end) == Some(&b'"') => from + end,
        Some(end) => string_rest(window, from + end.min(SHORT)),
        None => string_rest(window, from),
    };
    (window.get(end) == Some(&b'"')).then_some(end + 1)
}

/// Behind the name and the colon that begin at `at`, if both are in the window and sound.
#[inline]
pub(super) fn name_end(window: &[u8], at: usize) -> Option<usize> {
    let colon = blank_end(window, string_end(window, at)?);
    (window.get(colon) == Some(&b':')).then_some(colon + 1)
}

/// The first place from `at` on, within a string, that holds neither text nor a whole and sound
/// escape: the closing quote, what is wrong, or what the window cuts off.
///
/// Text of people and programs is full of escapes at no regular distance, so nothing here
/// branches on where they are: which bytes are escaped is computed for a block at once (Langdale
/// and Lemire, "Parsing Gigabytes of JSON per Second", 2019, section 3.1.1).
pub(super) fn string_rest(window: &[u8], mut at: usize) -> usize {
    let mut carried = false;
    while let Some(block) = window.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = Marks::of(block);
        let (escaped, carries) = escaped_bytes(marks.backslashes, carried);
        // an escaped control character is no end, but no escape either
        let ends = marks.ends & !escaped;
        let within = ends.wrapping_sub(1) & !ends;
        let unusual = escaped & within & !marks.usual;
        if unusual != 0
            && let Some(odd) = first_odd(block, unusual)
        {
            // `\u`, or what is no escape
            let from = at + odd - 1;
            match escape_len(window, from) {
                Some(len) => (at, carried) = (from + len, false),
                None => return from,
            }
        } else if ends != 0 {
            return at + ends.trailing_zeros() as usize;
        } else {
            (at, carried) = (at + BLOCK, carries);
        }
    }
    at -= usize::from(carried);
    loop {
        let rest = window.get(at..).unwrap_or_default();
        let plain = |&byte: &u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
        at += rest.iter().take_while(|byte| plain(byte)).count();
        match escape_len(window, at) {
            Some(escape) => at += escape,
            None => return at,
        }
    }
}

/// How long the escape at `at` is, if one is there, whole and sound.
fn escape_len(window: &[u8], at: usize) -> Option<usize> {
    match window.get(at..)? {
        [b'\\', b'u', digits @ ..] => digits
            .first_chunk::<4>()
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .then_some(6),
        [b'\\', byte, ..] if SIMPLE[usize::from(*byte)] => Some(2),
        _ => None,
    }
}

/// Which bytes are an escape by themselves after a backslash.
const SIMPLE: [bool; 256] = {
    let mut table = [false; 256];
    let mut rest: &[u8] = b"\"\\/bfnrt";
    while let [byte, others @ ..] = rest {
        table[*byte as usize] = true;
        rest = others;
    }
    table
};

/// The first byte of `block` with a bit in `escaped` that is not [`SIMPLE`].
#[cold]
fn first_odd(block: &[u8; BLOCK], mut escaped: u64) -> Option<usize> {
    while escaped != 0 {
        let at = escaped.trailing_zeros() as usize;
        if !SIMPLE[usize::from(block[at % BLOCK])] {
            return Some(at);
        }
        escaped &= escaped - 1;
    }
    None
}

/// How many bytes of a string are looked at first.
const SHORT: usize = 16;

/// A bit for each quote, backslash and control character.
#[inline]
fn special_bytes(text: [u8; SHORT]) -> u32 {
    let bytes = u8x16::new(text);
    let quotes = bytes.simd_eq(u8x16::splat(b'"'));
    let backslashes = bytes.simd_eq(u8x16::splat(b'\\'));
    let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
    (quotes | backslashes | controls).to_bitmask()
}

/// How many bytes of a string are then looked at together.
const BLOCK: usize = 64;

/// A bit for each byte of a block that is special in a string.
#[derive(Default)]
struct Marks {
    /// Quotes and control characters.
    ends: u64,
    backslashes: u64,
    /// What most escapes have behind the backslash: a quote, a backslash, an `n`.
    usual: u64,
}

impl Marks {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut marks = Self::default();
        let (parts, _) = block.as_chunks::<16>();
        for (part, shift) in parts.iter().zip((0..).step_by(16)) {
            let bytes = u8x16::new(*part);
            let is = |byte| bytes.simd_eq(u8x16::splat(byte));
            let mark = |found: u8x16| u64::from(found.to_bitmask()) << shift;
            let (quotes, backslashes) = (is(b'"'), is(b'\\'));
            let controls = bytes.min(u8x16::splat(0x1f)).simd_eq(bytes);
            marks.ends |= mark(quotes | controls);
            marks.backslashes |= mark(backslashes);
            marks.usual |= mark(quotes | backslashes | is(b'n'));
        }
        marks
    }
}

/// Which bytes follow a backslash that is not escaped itself; `carried` says that the first one
/// does, and the answer's second part that the first one of the next block does.
#[inline]
fn escaped_bytes(backslashes: u64, carried: bool) -> (u64, bool) {
    const EVEN: u64 = u64::MAX / 3;
    let carried = u64::from(carried);
    let backslashes = backslashes & !carried;
    let follows = backslashes << 1 | carried;
    // runs that begin at an odd place; adding them to the backslashes carries to behind each run
    let odd_starts = backslashes & !EVEN & !follows;
    let (behind, carries) = odd_starts.overflowing_add(backslashes);
    ((EVEN ^ (behind << 1)) & follows, carries)
}

/// Behind the number that begins at `at`, if it is sound and something in the window follows it.
#[inline]
pub(super) fn number_end(window: &[u8], at: usize) -> Option<usize> {
    let some_digits = |from: usize| Some(digits_end(window, from)).filter(|&end| end > from);
    let mut end = at + usize::from(window.get(at) == Some(&b'-'));
    end = match window.get(end)? {
        b'0' => end + 1,
        _ => some_digits(end)?,
    };
    if window.get(end) == Some(&b'.') {
        end = some_digits(end + 1)?;
    }
    if matches!(window.get(end), Some(b'e' | b'E')) {
        let signed = matches!(window.get(end + 1), Some(b'+' | b'-'));
        end = some_digits(end + 1 + usize::from(signed))?;
    }
    (end < window.len()).then_some(end)
}

/// Where the digits that begin at `at` end.
#[inline]
fn digits_end(window: &[u8], mut at: usize) -> usize {
    while let Some(part) = window.get(at..).and_then(<[u8]>::first_chunk) {
        let values = u8x16::new(*part) - u8x16::splat(b'0');
        let digits = values.min(u8x16::splat(9)).simd_eq(values);
        match !digits.to_bitmask() & 0xffff {
            0 => at += 16,
            rest => return at + rest.trailing_zeros() as usize,
        }
    }
    let rest = window.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The text of the string that begins at `at`, if it is short, whole and without an escape.
#[inline]
pub(super) fn short_string(window: &[u8], at: usize) -> Option<&[u8]> {
    let text = window.get(at + 1..)?;
    let end = special_bytes(*text.first_chunk()?).trailing_zeros() as usize;
    // what lies behind the bytes that were looked at is unknown
    let whole = end < SHORT && window.get(at) == Some(&b'"') && text.get(end) == Some(&b'"');
    whole.then(|| text.get(..end))?
}

/// Behind the `true`, `false` or `null` that begins at `at`, if all of it is in the window.
#[inline]
pub(super) fn literal_end(window: &[u8], at: usize) -> Option<usize> {
    let rest = window.get(at..)?;
    [&b"true"[..], b"false", b"null"]
        .into_iter()
        .find(|word| rest.starts_with(word))
        .map(|word| at + word.len())
}

/// How many bytes from the beginning are text, without a quote, a backslash or a control character.
pub(super) fn plain_prefix(bytes: &[u8]) -> usize {
    let mut passed = 0;
    while let Some(part) = bytes.get(passed..).and_then(<[u8]>::first_chunk) {
        match special_bytes(*part) {
            0 => passed += SHORT,
            special => return passed + special.trailing_zeros() as usize,
        }
    }
    let rest = bytes.get(passed..).unwrap_or_default();
    let special = |&byte: &u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    passed + rest.iter().position(special).unwrap_or(rest.len())
}
