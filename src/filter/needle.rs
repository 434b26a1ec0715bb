//! Whether a text contains another, capital letters being the same as small ones.
//!
//! Characters are compared by Unicode's simple case folding. Linear in the text, whatever both are;
//! nothing is allocated for texts as short as those of a summary.

use memchr::memchr2_iter;
use memchr::memmem::Finder;

/// What is looked for.
#[derive(Debug)]
pub struct Needle {
    folded: Box<str>,
    finder: Finder<'static>,
    ascii: Option<Ascii>,
}

/// How an ASCII needle is looked for without folding what is looked into.
#[derive(Debug)]
struct Ascii {
    /// Where its rarest letter is.
    at: usize,
    /// That letter, small and capital.
    cases: (u8, u8),
    /// Whether it has a letter to which one beyond ASCII folds: `s` (ſ) or `k` (K).
    foreign: bool,
}

/// After so many places that only looked right, the text is folded, so that no text costs more
/// than its length.
const PATIENCE: usize = 16;
/// Longer texts are folded on the heap, piece by piece.
const SHORT: usize = 320;
/// Folding makes two bytes three at most.
const SHORT_FOLDED: usize = SHORT / 2 * 3 + 4;
const PIECE: usize = 16 * 1024;

impl Needle {
    pub fn new(text: &str) -> Self {
        let folded: Box<str> = text.chars().map(fold).collect();
        let finder = Finder::new(folded.as_bytes()).into_owned();
        let ascii = folded.is_ascii().then(|| {
            let rarest = folded
                .bytes()
                .enumerate()
                .min_by_key(|(_, byte)| frequency(*byte));
            let (at, byte) = rarest.unwrap_or_default();
            Ascii {
                at,
                cases: (byte, byte.to_ascii_uppercase()),
                foreign: folded.contains(['s', 'k']),
            }
        });
        Self {
            folded,
            finder,
            ascii,
        }
    }

    pub fn is_in(&self, text: &str) -> bool {
        if self.folded.is_empty() {
            return true;
        }
        match &self.ascii {
            Some(ascii) => match self.is_plainly_in(ascii, text.as_bytes()) {
                Some(false) if ascii.foreign && !text.is_ascii() => self.is_in_folded(text),
                Some(found) => found,
                None => self.is_in_folded(text),
            },
            // ASCII folds to ASCII
            None => !text.is_ascii() && self.is_in_folded(text),
        }
    }

    /// Whether it is there letter by letter; `None` when there were too many places to try.
    fn is_plainly_in(&self, ascii: &Ascii, text: &[u8]) -> Option<bool> {
        let needle = self.folded.as_bytes();
        let Some(starts) = text.len().checked_sub(needle.len()) else {
            return Some(false);
        };
        let (low, high) = ascii.cases;
        // the rarest letter's places for which the whole needle has room
        let places = &text[ascii.at..=ascii.at + starts];
        let mut tried = 0;
        for start in memchr2_iter(low, high, places) {
            if text[start..start + needle.len()].eq_ignore_ascii_case(needle) {
                return Some(true);
            }
            tried += 1;
            if tried == PATIENCE {
                return None;
            }
        }
        Some(false)
    }

    fn is_in_folded(&self, text: &str) -> bool {
        if text.len() <= SHORT {
            return self.is_in_pieces(text, &mut [0; SHORT_FOLDED]);
        }
        self.is_in_pieces(text, &mut vec![0; 2 * self.folded.len() + PIECE])
    }

    /// Folds into `room`, which has room for the text, or for twice the needle and more.
    fn is_in_pieces(&self, text: &str, room: &mut [u8]) -> bool {
        let overlap = self.folded.len() - 1;
        let mut filled = 0;
        let mut rest = text;
        loop {
            if filled + 4 > room.len() {
                if self.finder.find(&room[..filled]).is_some() {
                    return true;
                }
                let kept = overlap.min(filled);
                room.copy_within(filled - kept..filled, 0);
                filled = kept;
            }
            // what is ASCII is folded many bytes at a time
            let most = rest.len().min(room.len() - filled);
            let plain = ascii_prefix(&rest.as_bytes()[..most]);
            let (own, others) = rest.split_at(plain);
            let folded = &mut room[filled..filled + plain];
            folded.copy_from_slice(own.as_bytes());
            folded.make_ascii_lowercase();
            filled += plain;
            rest = others;
            let mut chars = others.chars();
            match chars.next() {
                None => return self.finder.find(&room[..filled]).is_some(),
                Some(c) if !c.is_ascii() && filled + 4 <= room.len() => {
                    filled += fold(c).encode_utf8(&mut room[filled..]).len();
                    rest = chars.as_str();
                }
                // no room for it, or for more of the same
                Some(_) => {}
            }
        }
    }
}

/// How many bytes at the beginning are ASCII.
fn ascii_prefix(bytes: &[u8]) -> usize {
    const WORD: usize = 8;
    let words = bytes.chunks_exact(WORD).take_while(|word| word.is_ascii());
    let whole = words.count() * WORD;
    let more = bytes[whole..].iter().take_while(|byte| byte.is_ascii());
    whole + more.count()
}

/// How often a byte is met in the texts of runs, roughly; the rarest is looked for.
fn frequency(byte: u8) -> usize {
    const COMMON: &[u8] = b" etaoinsrhldcumfpgwybvkxjqz";
    let rank = COMMON.iter().position(|common| *common == byte);
    match rank {
        Some(rank) => 2 * (COMMON.len() - rank),
        None if byte.is_ascii_digit() => 30,
        None => 10,
    }
}

/// Unicode's simple case folding, from the mappings that the standard library has: two characters
/// fold to the same if and only if the table says so, though not always to the table's own choice.
pub fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    match c {
        // the commonest first, without a look into tables: Latin-1, and scripts without case
        '×' | 'ß'..='ÿ' => c,
        'À'..='Þ' => char::from_u32(u32::from(c) + 32).unwrap_or(c),
        '\u{2e80}'..='\u{a63f}' => c,
        // folds only in Turkish
        'ı' => c,
        // equal by the table, though their mappings have more than one character
        '\u{1fd3}' => '\u{390}',
        '\u{1fe3}' => '\u{3b0}',
        '\u{fb05}' => '\u{fb06}',
        _ => {
            let upper = single(c, c.to_uppercase());
            single(upper, upper.to_lowercase())
        }
    }
}

/// The mapping if it is one character, else `c` itself.
fn single(c: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(only), None) => only,
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn case_is_folded_in_every_script() {
        for (text, needle, found) in [
            ("Request TIMEOUT after 5s", "timeout", true),
            ("Request TIMEOUT after 5s", "TimeOut A", true),
            ("Request TIMEOUT after 5s", "timeouts", false),
            ("", "", true),
            ("", "a", false),
            ("ÜBERZEIT", "überz", true),
            ("ΣΊΣΥΦΟΣ", "σίσυφος", true),
            ("ОШИБКА", "ошибка", true),
            ("über", "ÜBER", true),
            ("\u{212A}elvin", "kelvin", true),
            ("kelvin", "\u{212A}", true),
            ("Mi\u{17f}\u{17f}issippi", "MISSISSIPPI", true),
            ("STRASSE", "straße", false),
            ("STRAẞE", "straße", true),
            ("İstanbul", "istanbul", false),
            ("ısı", "isi", false),
            ("日本語のエラー", "エラー", true),
            ("ȺȺȺ", "ⱥⱥ", true),
            ("\u{fb05}", "\u{fb06}", true),
        ] {
            assert_eq!(Needle::new(needle).is_in(text), found, "{needle} in {text}");
        }
    }

    #[test]
    fn long_texts_are_searched_across_their_pieces() {
        for foreign in ["", "ſ"] {
            let long = format!("{foreign}{}", "aB".repeat(3 * PIECE));
            for at in [0, 100, PIECE, 2 * PIECE - 3, 5 * PIECE] {
                let mut text = long.clone();
                text.insert_str(at + foreign.len(), "abbas");
                assert!(Needle::new("ABBAS").is_in(&text), "{at}");
            }
            assert!(!Needle::new("abbas").is_in(&long));
            assert!(Needle::new(&long).is_in(&long.to_uppercase().replace('ſ', "s")));
        }
    }

    proptest! {
        #[test]
        fn is_what_folding_both_says(
            text in "[aAbBkKsSſ\u{212A}äÄıİ日 ]{0,400}", needle in "[aAbBkKsSſäÄı日 ]{0,5}"
        ) {
            let folded = |text: &str| text.chars().map(fold).collect::<String>();
            let expected = folded(&text).contains(&folded(&needle));
            prop_assert_eq!(Needle::new(&needle).is_in(&text), expected);
        }
    }
}
