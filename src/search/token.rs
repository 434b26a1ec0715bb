//! Text to the words that are searched for.
//!
//! A word is a run of letters, digits and the marks that belong to them; everything else stands
//! between words, so that `exec-17605` and `get_user` are two words each, which a query for them
//! wants side by side. Words are compared without case and accents (NFKD without the marks of
//! European, Arabic and Hebrew writing and what is not seen, as a soft hyphen, NFC). Scripts that put no spaces between words are cut into
//! overlapping pairs of characters, and the last character of each run by itself: whoever looks for
//! one character looks for what begins with it.
//!
//! The text index, the snippets and the tests all see text through this and nothing else.

use std::ops::Range;
use std::sync::LazyLock;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;
use wide::u8x16;

/// A word is cut after so many bytes; what is longer is no word, but a key or a picture.
pub const WORD_BYTES_MAX: usize = 64;

/// One token; its text is [`Tokens::text`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its bytes in the text.
    pub range: Range<usize>,
    /// How many tokens come before it.
    pub position: u32,
    /// How it came to be.
    pub kind: TokenKind,
}

/// How a token came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A whole word.
    Word,
    /// Two characters of a script without spaces.
    Pair,
    /// The last character of a run of these, behind a pair.
    Tail,
    /// The only one.
    Single,
}

/// A walk over the tokens of one text.
#[derive(Debug)]
pub struct Tokens<'t> {
    source: &'t str,
    at: usize,
    position: u32,
    text: String,
    /// The run of a script without spaces that the walk is in.
    run: Vec<(char, Range<usize>)>,
    in_run: usize,
}

/// What a character is to a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Between,
    Word,
    /// Of a script without spaces.
    Dense,
    /// Belongs to the character before it.
    Mark,
}

impl Class {
    pub(super) fn of(character: char) -> Self {
        if character.is_ascii() {
            return match character.is_ascii_alphanumeric() {
                true => Self::Word,
                false => Self::Between,
            };
        }
        if is_plain_dense(character) {
            Self::Dense
        } else if is_plain_sign(character) {
            Self::Between
        } else if LATIN.contains(&character) && !matches!(character, '×' | '÷') {
            Self::Word
        } else if continues(character) {
            Self::Mark
        } else if is_dense(character) {
            Self::Dense
        } else if character.is_alphanumeric() {
            Self::Word
        } else {
            Self::Between
        }
    }
}

/// Whether a character only adds to the one before it: marks, the inner parts of a decomposed Korean
/// syllable, the sound marks of narrow Katakana, what is not seen.
fn continues(character: char) -> bool {
    matches!(
        character,
        '\u{1160}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7ff}' | '\u{ff9e}' | '\u{ff9f}'
    ) || is_unseen(character)
        || canonical_combining_class(character) != 0
}

/// Letters of scripts that are written without spaces, or in which what is looked for is a part of
/// what stands between them.
fn is_dense(character: char) -> bool {
    matches!(character,
        '\u{0e01}'..='\u{0e3a}' | '\u{0e40}'..='\u{0e4e}'     // Thai
        | '\u{0e81}'..='\u{0ece}' | '\u{0edc}'..='\u{0edf}'   // Lao
        | '\u{1000}'..='\u{103f}' | '\u{1050}'..='\u{108f}'   // Myanmar
        | '\u{a9e0}'..='\u{a9ef}' | '\u{aa60}'..='\u{aa7f}'
        | '\u{1100}'..='\u{115f}' | '\u{a960}'..='\u{a97c}'   // Korean
        | '\u{3131}'..='\u{318e}' | '\u{ac00}'..='\u{d7a3}' | '\u{ffa1}'..='\u{ffdc}'
        | '\u{1780}'..='\u{17d3}' | '\u{17dc}'                // Khmer
        | '\u{1950}'..='\u{1974}' | '\u{1980}'..='\u{19c9}' | '\u{1a20}'..='\u{1a5e}' // Tai
        | '\u{2e80}'..='\u{2fd5}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' // Han
        | '\u{3038}'..='\u{303c}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{3fffd}'
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}'   // Hiragana
        | '\u{30a1}'..='\u{30fa}' | '\u{30fc}'..='\u{30ff}'   // Katakana
        | '\u{31f0}'..='\u{31ff}' | '\u{ff66}'..='\u{ff9d}' | '\u{1b000}'..='\u{1b16f}'
        | '\u{3105}'..='\u{312f}' | '\u{31a0}'..='\u{31bf}'   // Bopomofo
    )
}

/// The most frequent of them, which are neither marks nor changed by folding.
fn is_plain_dense(character: char) -> bool {
    matches!(character,
        '\u{4e00}'..='\u{9fff}' | '\u{3041}'..='\u{3096}' | '\u{30a1}'..='\u{30fa}'
        | '\u{ac00}'..='\u{d7a3}'
    )
}

/// The most frequent signs between words: dashes, quotes, bullets, arrows.
fn is_plain_sign(character: char) -> bool {
    matches!(character, '\u{2010}'..='\u{2027}' | '\u{2190}'..='\u{245f}')
}

/// Latin letters that are not ASCII, and two signs between them.
const LATIN: std::ops::RangeInclusive<char> = '\u{c0}'..='\u{24f}';

/// Each of them folded: words of these need no normalization, as no marks stand in them.
static LATIN_FOLDED: LazyLock<Vec<String>> = LazyLock::new(|| {
    let folded = |letter: char| {
        let mut text = String::new();
        fold(letter.encode_utf8(&mut [0; 4]), &mut text);
        text
    };
    LATIN.map(folded).collect()
});

/// Puts a word behind `out` as [`fold`] does, at once if all of it is Latin letters and digits;
/// whether it was.
fn fold_latin(word: &str, out: &mut String) -> bool {
    word.chars().all(|letter| {
        if letter.is_ascii() {
            out.push(letter.to_ascii_lowercase());
            return true;
        }
        let at = (letter as usize).checked_sub(*LATIN.start() as usize);
        match at.and_then(|at| LATIN_FOLDED.get(at)) {
            Some(folded) => {
                out.push_str(folded);
                true
            }
            None => false,
        }
    })
}

/// Marks without which a word is the same word to who looks for it: accents, and the vowel marks of
/// Arabic and Hebrew. The marks of other scripts are letters.
fn is_accent(character: char) -> bool {
    matches!(character,
        '\u{0300}'..='\u{036f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
        | '\u{20d0}'..='\u{20ff}' | '\u{fe20}'..='\u{fe2f}'
        | '\u{0591}'..='\u{05c7}' | '\u{0610}'..='\u{061a}' | '\u{064b}'..='\u{065f}' | '\u{0670}'
    )
}

/// What may stand within a word and is not seen: where it may be broken or must not, how its letters
/// are joined, which way it is written.
fn is_unseen(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
    )
}

/// Letters that have an accent, or are two, without being so decomposed by Unicode.
fn plain(character: char) -> Option<&'static str> {
    Some(match character {
        'ß' => "ss",
        'æ' => "ae",
        'œ' => "oe",
        'ø' => "o",
        'đ' => "d",
        'ł' => "l",
        'ı' => "i",
        'ς' => "σ",
        _ => return None,
    })
}

/// Puts `raw` without case and accents behind `out`.
fn fold(raw: &str, out: &mut impl Extend<char>) {
    let folded = raw
        .nfkd()
        .flat_map(char::to_lowercase)
        .filter(|character| !is_accent(*character) && !is_unseen(*character));
    for character in folded.nfc() {
        match plain(character) {
            Some(letters) => out.extend(letters.chars()),
            None => out.extend([character]),
        }
    }
}

/// By byte: 0 stands between words, another one below 0x80 is the letter as it is compared.
const ASCII: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[allow(clippy::cast_possible_truncation)] // below 256
        let letter = (byte as u8).to_ascii_lowercase();
        if letter.is_ascii_alphanumeric() {
            table[byte] = letter;
        } else if byte >= 0x80 {
            table[byte] = 0x80;
        }
        byte += 1;
    }
    table
};

/// Where the word ends that goes on at `at`.
fn word_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    rest.char_indices()
        .find(|(_, character)| !matches!(Class::of(*character), Class::Word | Class::Mark))
        .map_or(text.len(), |(length, _)| at + length)
}

/// Where the characters of a text begin that are not ASCII.
struct Beginnings<'t> {
    text: &'t [u8],
    /// Where what comes after the block begins.
    block_end: usize,
    /// A bit for each one in the block that is still to be told.
    left: u64,
}

impl<'t> Beginnings<'t> {
    fn of(text: &'t str) -> Self {
        Self {
            text: text.as_bytes(),
            block_end: 0,
            left: 0,
        }
    }

    /// A bit for each character beyond ASCII that begins in `block`.
    #[inline]
    fn marks(block: &[u8; BLOCK]) -> u64 {
        let (parts, _) = block.as_chunks::<16>();
        let mut marks = 0;
        for (part, shift) in parts.iter().zip((0..).step_by(16)) {
            let bytes = u8x16::new(*part);
            let begins = bytes.max(u8x16::splat(0xc0)).simd_eq(bytes);
            marks |= u64::from(begins.to_bitmask() & 0xffff) << shift;
        }
        marks
    }
}

/// How many bytes are looked at together.
const BLOCK: usize = 64;

impl Iterator for Beginnings<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.left == 0 {
            let rest = self.text.get(self.block_end..)?;
            self.left = match rest.first_chunk() {
                Some(block) => Self::marks(block),
                None if rest.is_empty() => return None,
                None => {
                    let mut block = [0; BLOCK];
                    block
                        .iter_mut()
                        .zip(rest)
                        .for_each(|(to, from)| *to = *from);
                    Self::marks(&block)
                }
            };
            self.block_end += BLOCK;
        }
        let at = self.left.trailing_zeros() as usize;
        self.left &= self.left - 1;
        Some(self.block_end - BLOCK + at)
    }
}

/// Whether a word goes on at `at` that has begun before: whether the last character before it that is
/// no mark is a letter or a digit.
pub(super) fn is_within_word(text: &str, at: usize) -> bool {
    let mut before = text.get(..at).unwrap_or_default().chars().rev();
    let last = before.find(|character| Class::of(*character) != Class::Mark);
    last.is_some_and(|character| Class::of(character) == Class::Word)
}

/// What a word may be made of that is not all ASCII, but is a certain one without its accents.
#[derive(Debug)]
pub(super) struct Beyond {
    first: u8,
    /// ASCII letters and digits that no such word has.
    foreign: [bool; 256],
}

impl Beyond {
    /// Of words that are `word`, which is ASCII and folded, or, as a `prefix`, begin with it.
    pub(super) fn of(word: &str, prefix: bool) -> Self {
        let bytes = word.as_bytes();
        // of long ones, what is cut off may have any
        let any = prefix || bytes.len() > WORD_BYTES_MAX - char::MAX_LEN_UTF8;
        let mut foreign = [false; 256];
        for (byte, foreign) in (0..=u8::MAX).zip(&mut foreign) {
            let alphanumeric = byte.is_ascii_alphanumeric();
            *foreign = !any && alphanumeric && !bytes.contains(&byte.to_ascii_lowercase());
        }
        Self {
            first: bytes.first().copied().unwrap_or_default(),
            foreign,
        }
    }

    fn is_first(&self, letter: Option<&u8>) -> bool {
        letter.is_some_and(|letter| !letter.is_ascii() || letter.eq_ignore_ascii_case(&self.first))
    }

    /// Gives where words of `text` begin that may be such to `found`, until that says no. Every other
    /// word is a run of letters and digits.
    pub(super) fn words(&self, text: &str, found: impl FnMut(usize) -> bool) {
        self.each_word(text, false, found);
    }

    /// Whether there may be such in a text that is spelt so as a string of JSON without `\u`.
    pub(super) fn may_be_in(&self, spelling: &str) -> bool {
        let mut any = false;
        self.each_word(spelling, true, |_| {
            any = true;
            false
        });
        any
    }

    /// Gives where they begin to `found`, until that says no. In a spelling, a letter behind a backslash
    /// may be one of a word or not.
    #[inline]
    fn each_word(&self, text: &str, is_spelling: bool, mut found: impl FnMut(usize) -> bool) {
        let bytes = text.as_bytes();
        let is_escape = |at: usize| {
            is_spelling && at.checked_sub(1).and_then(|before| bytes.get(before)) == Some(&b'\\')
        };
        let mut told = None;
        // where the word began that goes on at `at`, if one does
        let (mut at, mut word) = (0, None);
        for here in Beginnings::of(text) {
            let before = at;
            at = char_end(bytes, here);
            // all of these stand between words
            if matches!(bytes.get(here), Some(0xe4..=0xe9)) {
                word = None;
                continue;
            }
            let last = here.checked_sub(1);
            let last = last.filter(|last| {
                let letter = bytes.get(*last).copied().unwrap_or_default();
                self.foreign[usize::from(letter)] && !is_escape(*last)
            });
            let next = bytes.get(at).copied().unwrap_or_default();
            if self.foreign[usize::from(next)] {
                // whether it goes on or begins here, the word is none of those looked for
                word = Some(at);
                continue;
            }
            let goes_on = !next.is_ascii() || next.is_ascii_alphanumeric();
            if last.is_some() && !goes_on {
                continue;
            }
            let character = text.get(here..).and_then(|rest| rest.chars().next());
            let class = character.map_or(Class::Between, Class::of);
            if matches!(class, Class::Between | Class::Dense) {
                word = None;
                continue;
            }
            if last.is_some() {
                // a word that is none of those looked for, whatever follows
                word = last;
                continue;
            }
            let between = bytes.get(before..here).unwrap_or_default();
            let letters = between.iter().rev();
            let begin = here
                - letters
                    .take_while(|byte| byte.is_ascii_alphanumeric())
                    .count();
            if begin > before {
                word = None;
            }
            if word.is_none() && (begin < here || class == Class::Word) {
                word = Some(begin);
            }
            // the others of the word find the same beginning
            let begins = word.filter(|begin| {
                self.is_first(bytes.get(*begin))
                    || (is_escape(*begin) && self.is_first(bytes.get(*begin + 1)))
            });
            if let Some(begin) = begins.filter(|_| told != begins) {
                told = begins;
                if !found(begin) {
                    return;
                }
            }
        }
    }
}

/// Behind the character that begins at `at`, which is not ASCII.
fn char_end(text: &[u8], at: usize) -> usize {
    at + match text.get(at) {
        Some(..0xe0) | None => 2,
        Some(0xe0..0xf0) => 3,
        Some(0xf0..) => 4,
    }
}

impl<'t> Tokens<'t> {
    /// The tokens of `source`.
    #[must_use]
    pub fn of(source: &'t str) -> Self {
        Self::with_buffer(source, String::new())
    }

    /// The tokens of `source`, their text in a buffer that [`Tokens::into_buffer`] gives back.
    #[must_use]
    pub fn with_buffer(source: &'t str, buffer: String) -> Self {
        Self {
            source,
            at: 0,
            position: 0,
            text: buffer,
            run: Vec::new(),
            in_run: 0,
        }
    }

    /// The buffer, to be used again.
    #[must_use]
    pub fn into_buffer(self) -> String {
        self.text
    }

    /// The text of the token that came last, as it is compared.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Takes the text of the token that came last, and leaves `text`'s room for the next.
    #[cfg(feature = "search")]
    pub(super) fn swap_text(&mut self, text: &mut String) {
        std::mem::swap(&mut self.text, text);
    }

    /// The next token.
    pub fn step(&mut self) -> Option<Token> {
        if self.in_run < self.run.len() {
            return Some(self.step_in_run());
        }
        let bytes = self.source.as_bytes();
        loop {
            while bytes
                .get(self.at)
                .is_some_and(|&byte| ASCII[usize::from(byte)] == 0)
            {
                self.at += 1;
            }
            let &byte = bytes.get(self.at)?;
            if byte < 0x80 {
                return Some(self.word());
            }
            let character = self.source.get(self.at..)?.chars().next()?;
            match Class::of(character) {
                Class::Word => return Some(self.word()),
                Class::Dense => {
                    self.read_run();
                    if !self.run.is_empty() {
                        return Some(self.step_in_run());
                    }
                }
                Class::Between | Class::Mark => self.at += character.len_utf8(),
            }
        }
    }

    fn token(&mut self, range: Range<usize>, kind: TokenKind) -> Token {
        let position = self.position;
        self.position += 1;
        Token {
            range,
            position,
            kind,
        }
    }

    /// The word that begins here.
    fn word(&mut self) -> Token {
        let bytes = self.source.as_bytes();
        let begin = self.at;
        self.text.clear();
        let mut end = begin;
        let mut letter = 0;
        while let Some(&byte) = bytes.get(end) {
            letter = ASCII[usize::from(byte)];
            if letter & 0x80 != 0 || letter == 0 {
                break;
            }
            end += 1;
        }
        let kept = end.min(begin + WORD_BYTES_MAX);
        self.text
            .push_str(self.source.get(begin..kept).unwrap_or_default());
        self.text.make_ascii_lowercase();
        if letter & 0x80 != 0 && end < bytes.len() {
            end = self.rest_of_word(begin, end);
        }
        self.at = end;
        self.token(begin..end, TokenKind::Word)
    }

    /// Where a word ends that is not all ASCII; also reads it anew if there is more of it.
    fn rest_of_word(&mut self, begin: usize, ascii_end: usize) -> usize {
        let end = word_end(self.source, ascii_end);
        if end > ascii_end {
            self.text.clear();
            let word = self.source.get(begin..end).unwrap_or_default();
            // folding makes a word at most a few times as long or short; a bound on the work
            let first: String = word.chars().take(4 * WORD_BYTES_MAX).collect();
            if !fold_latin(&first, &mut self.text) {
                self.text.clear();
                fold(&first, &mut self.text);
            }
            let mut cut = self.text.len().min(WORD_BYTES_MAX);
            while !self.text.is_char_boundary(cut) {
                cut -= 1;
            }
            self.text.truncate(cut);
        }
        end
    }

    /// Reads the run of a script without spaces that begins here.
    fn read_run(&mut self) {
        self.run.clear();
        self.in_run = 0;
        let mut folded = Vec::new();
        let mut characters = self
            .source
            .get(self.at..)
            .unwrap_or_default()
            .chars()
            .peekable();
        while let Some(&first) = characters.peek()
            && Class::of(first) == Class::Dense
        {
            let begin = self.at;
            while let Some(character) =
                characters.next_if(|next| self.at == begin || Class::of(*next) == Class::Mark)
            {
                self.at += character.len_utf8();
            }
            let range = begin..self.at;
            if is_plain_dense(first) && self.at == begin + first.len_utf8() {
                self.run.push((first, range));
                continue;
            }
            let cluster = self.source.get(begin..self.at).unwrap_or_default();
            fold(cluster, &mut folded);
            self.run
                .extend(folded.drain(..).map(|folded| (folded, range.clone())));
        }
    }

    fn step_in_run(&mut self) -> Token {
        self.text.clear();
        let at = self.in_run;
        self.in_run += 1;
        let (first, mut range) = self.run.get(at).cloned().unwrap_or_default();
        self.text.push(first);
        let kind = if let Some((second, last)) = self.run.get(at + 1) {
            self.text.push(*second);
            range.end = last.end;
            TokenKind::Pair
        } else if at == 0 {
            TokenKind::Single
        } else {
            TokenKind::Tail
        };
        self.token(range, kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told apart at once is what the long way says.
    #[test]
    fn frequent_characters_are_what_they_are() {
        for character in ('\u{80}'..='\u{ffff}').filter(|one| is_plain_sign(*one)) {
            let odd = continues(character) || is_dense(character) || character.is_alphanumeric();
            assert!(!odd, "{character:?}");
        }
    }

    fn texts(source: &str) -> Vec<String> {
        let mut tokens = Tokens::of(source);
        let mut found = Vec::new();
        while let Some(token) = tokens.step() {
            assert_eq!(token.position as usize, found.len());
            assert!(source.get(token.range).is_some_and(|raw| !raw.is_empty()));
            found.push(tokens.text().to_owned());
        }
        found
    }

    #[test]
    fn words_are_runs_of_letters_and_digits_without_case() {
        assert_eq!(texts("Hello, World_42!"), ["hello", "world", "42"]);
        assert_eq!(
            texts("exec-1760504566569-y49gl3ayg"),
            ["exec", "1760504566569", "y49gl3ayg"]
        );
        assert_eq!(
            texts("getUserName src/lib.rs:42"),
            ["getusername", "src", "lib", "rs", "42"]
        );
        assert!(texts(" →—… \u{301}").is_empty());
    }

    #[test]
    fn accents_are_folded_however_they_are_spelt() {
        assert_eq!(texts("Café cafe\u{301} ＣＡＦＥ"), ["cafe", "cafe", "cafe"]);
        assert_eq!(
            texts("Łódź STRASSE straße ΣΊΣΥΦΟΣ"),
            ["lodz", "strasse", "strasse", "σισυφοσ"]
        );
        assert_eq!(
            texts("İstanbul Übergrößenträger"),
            ["istanbul", "ubergrossentrager"]
        );
        // vowel signs of scripts that need them stay
        assert_eq!(texts("हिन्दी"), ["हिन्दी"]);
        assert_eq!(texts("مُحَمَّد"), ["محمد"]);
    }

    #[test]
    fn what_is_not_seen_makes_no_difference() {
        assert_eq!(
            texts("time\u{ad}out \u{feff}time\u{200b}out \u{200e}timeout\u{2060} é\u{ad}té"),
            ["timeout", "timeout", "timeout", "ete"]
        );
        assert_eq!(texts("日\u{200b}本\u{ad}語"), texts("日本語"));
        assert_eq!(texts("a \u{200b} b\u{ad}-c"), ["a", "b", "c"]);
    }

    #[test]
    fn scripts_without_spaces_are_cut_into_pairs() {
        assert_eq!(texts("日本語"), ["日本", "本語", "語"]);
        assert_eq!(texts("a中b"), ["a", "中", "b"]);
        assert_eq!(texts("ガ カ\u{3099} ｶﾞ"), ["ガ", "ガ", "ガ"]);
        assert_eq!(texts("서울"), ["서울", "울"]);
        assert_eq!(
            texts("\u{1109}\u{1165}\u{110b}\u{116e}\u{11af}"),
            ["서울", "울"]
        );
        assert_eq!(texts("ไทย"), ["ไท", "ทย", "ย"]);
        assert_eq!(texts("東京2020"), ["東京", "京", "2020"]);
    }

    #[test]
    fn what_is_folded_at_once_is_folded_as_all_else() {
        for letter in LATIN {
            let word = format!("A{letter}b");
            let (mut quick, mut slow) = (String::new(), String::new());
            assert!(fold_latin(&word, &mut quick));
            fold(&word, &mut slow);
            assert_eq!(quick, slow, "{letter}");
        }
        for character in ('\u{80}'..='\u{ffff}').filter(|character| is_plain_dense(*character)) {
            let mut folded = String::new();
            fold(character.encode_utf8(&mut [0; 4]), &mut folded);
            assert_eq!(folded, character.to_string());
            assert!(!continues(character) && is_dense(character), "{character}");
        }
    }

    #[test]
    fn long_words_are_cut() {
        let long = "x".repeat(10 * WORD_BYTES_MAX);
        assert_eq!(texts(&long), ["x".repeat(WORD_BYTES_MAX)]);
        let long = "é".repeat(1000) + "日";
        assert_eq!(texts(&long), ["e".repeat(WORD_BYTES_MAX), "日".to_owned()]);
    }
}
