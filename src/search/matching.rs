//! Whether one record is what a query looks for, and where.
//!
//! The index says which records to look at and keeps no text; what a hit shows is found here, in
//! the record as it is now. So a hit is never one that the record does not bear out.

use std::collections::VecDeque;
use std::ops::Range;

use hashbrown::HashMap;
use memchr::memmem::Finder;
use schemars::JsonSchema;
use serde::Serialize;

use super::query::{Phrase, Query};
use super::texts::{Sink, texts, texts_once};
use super::token::{Beyond, Class, Token, Tokens, WORD_BYTES_MAX, is_within_word};

/// How many texts of a run are shown.
pub const MATCHES_MAX: usize = 3;
/// How much of a text is shown, in characters, about.
const SNIPPET_CHARS: usize = 160;
/// How much of it stands before what was found.
const BEFORE_CHARS: usize = 40;
/// How many places are marked in one snippet.
const RANGES_MAX: usize = 16;
/// What begins so many bytes behind the first place of a phrase is in no snippet.
const SHOWN_BYTES: usize = SNIPPET_CHARS * char::MAX_LEN_UTF8;
/// How much may be done before the clock is looked at: bytes looked through, about.
const WORK: usize = 1 << 20;
/// What a token costs, in bytes looked through.
const TOKEN_WORK: usize = 64;

/// A text of a run that has what was looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Match {
    /// JSON pointer to the string or number: `/steps/3/output/result/0`; `/id` is the run's id, whatever
    /// the record says. Up to 1,024 bytes; a longer one is that of the last value around it that has one
    /// of these.
    pub path: String,
    /// The part of the text around the first place.
    pub snippet: String,
    /// Where the snippet begins in the decoded string, in UTF-16 units.
    pub offset: usize,
    /// What was found in the snippet, in UTF-16 units from its beginning; of what is longer than that, its
    /// beginning.
    pub ranges: Vec<Place>,
}

/// A part of a snippet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Place {
    /// Where it begins.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
}

/// A query made ready to be compared with many records.
#[derive(Debug)]
pub struct Matcher<'q> {
    query: &'q Query,
    /// Those of the query, each once.
    phrases: Vec<&'q Phrase>,
    /// By phrase of the query: its number here.
    numbers: Vec<usize>,
    /// Which phrases are looked for, rather than excluded.
    shown: Vec<bool>,
    /// Nothing is excluded, so that more of a record cannot unmake a match.
    monotonic: bool,
    /// By text: the phrase and the token in it.
    exact: HashMap<&'q str, Vec<(usize, usize)>>,
    /// What begins so: the phrase and the token in it.
    prefixes: Vec<(&'q str, usize, usize)>,
    /// No token is longer than these, unless a prefix may go on.
    longest: usize,
    /// By phrase: its first word; `None` if not all of the phrase is ASCII.
    ascii: Vec<Option<(Finder<'q>, Beyond)>>,
    /// All of them are.
    all_ascii: bool,
    /// What a character begins with that is spelt by its number.
    unit: Finder<'static>,
}

/// Where a phrase may have begun in one text, ascending.
type Met = VecDeque<Begun>;

/// A phrase that has begun.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// The position of its first token, …
    position: u32,
    /// … and where that begins.
    at: usize,
    /// How many of its tokens were met.
    met: usize,
}

/// The places of one phrase that may be shown, in the order in which they are found.
struct Places<'r> {
    ranges: &'r mut Vec<Range<usize>>,
    first: Option<usize>,
}

impl Places<'_> {
    /// Adds one; false if it lies so far behind the first that neither it nor what follows is shown.
    fn add(&mut self, place: Range<usize>) -> bool {
        let first = *self.first.get_or_insert(place.start);
        let near = place.start < first + SHOWN_BYTES;
        if near {
            self.ranges.push(place);
        }
        near
    }
}

/// How long a look may go on.
pub struct Going<'g> {
    goes_on: &'g dyn Fn() -> bool,
    /// How much may be done before it is asked.
    left: usize,
    over: bool,
}

impl<'g> Going<'g> {
    /// As long as `goes_on` says so, which is asked now and then.
    pub fn on(goes_on: &'g dyn Fn() -> bool) -> Self {
        Self {
            goes_on,
            left: WORK,
            over: false,
        }
    }

    /// Whether it goes on to what costs so much.
    #[inline]
    fn on_to(&mut self, work: usize) -> bool {
        match self.left.checked_sub(work) {
            Some(left) => self.left = left,
            None => {
                self.left = WORK;
                self.over = self.over || !(self.goes_on)();
            }
        }
        !self.over
    }
}

/// A look through one record.
struct Look<'m, 'g> {
    matcher: &'m Matcher<'m>,
    going: Going<'g>,
    /// By phrase: whether it was found.
    has: Vec<bool>,
    matches: Vec<Match>,
    met: Vec<Met>,
    buffer: String,
}

impl<'m, 'g> Look<'m, 'g> {
    fn of(matcher: &'m Matcher<'m>, going: Going<'g>) -> Self {
        Self {
            matcher,
            going,
            has: vec![false; matcher.phrases.len()],
            matches: Vec::new(),
            met: vec![Met::new(); matcher.phrases.len()],
            buffer: String::new(),
        }
    }

    fn into_matches(self) -> Option<Vec<Match>> {
        let found = !self.going.over && self.matcher.holds(&self.has);
        found.then_some(self.matches)
    }
}

impl Sink for Look<'_, '_> {
    fn wants(&mut self, spelling: &str) -> bool {
        let Self { going, buffer, .. } = self;
        self.matcher.may_meet(spelling, going, buffer)
    }

    fn text(&mut self, path: &str, text: &str) -> bool {
        let Self {
            matcher,
            going,
            has,
            buffer,
            ..
        } = self;
        let ranges = if matcher.all_ascii || text.is_ascii() {
            matcher.search(text, has, going, buffer)
        } else {
            matcher.meet(text, &mut self.met, has, going, buffer)
        };
        if self.going.over {
            return false;
        }
        if !ranges.is_empty() && self.matches.len() < MATCHES_MAX {
            self.matches.push(shown(path, text, ranges));
        }
        // what follows makes no difference
        !(matcher.monotonic && self.matches.len() == MATCHES_MAX && matcher.holds(&self.has))
    }

    fn again(&mut self) {
        self.has.fill(false);
        self.matches.clear();
    }

    fn is_over(&self) -> bool {
        self.going.over
    }
}

impl<'q> Matcher<'q> {
    /// For `query`.
    #[must_use]
    pub fn new(query: &'q Query) -> Self {
        let mut phrases: Vec<&Phrase> = Vec::new();
        let mut places: HashMap<&Phrase, usize> = HashMap::new();
        let all = query.phrases().into_iter();
        let numbers: Vec<usize> = all
            .map(|phrase| {
                *places.entry(phrase).or_insert_with(|| {
                    phrases.push(phrase);
                    phrases.len() - 1
                })
            })
            .collect();
        let mut looked_for = Vec::with_capacity(numbers.len());
        mark_shown(query, true, &mut looked_for);
        let mut shown = vec![false; phrases.len()];
        for (number, looked_for) in numbers.iter().zip(&looked_for) {
            if let Some(shown) = shown.get_mut(*number) {
                *shown |= looked_for;
            }
        }
        let mut exact: HashMap<&str, Vec<(usize, usize)>> = HashMap::new();
        let mut prefixes = Vec::new();
        for (number, phrase) in phrases.iter().enumerate() {
            for (at, wanted) in phrase.tokens.iter().enumerate() {
                if phrase.prefix && at + 1 == phrase.tokens.len() {
                    prefixes.push((wanted.text.as_str(), number, at));
                } else {
                    exact.entry(&wanted.text).or_default().push((number, at));
                }
            }
        }
        let longest = exact.keys().map(|text| text.len()).max().unwrap_or(0);
        let ascii = phrases.iter().map(|phrase| {
            let first = phrase.tokens.first()?;
            let all = phrase.tokens.iter().all(|wanted| wanted.text.is_ascii());
            let prefix = phrase.prefix && phrase.tokens.len() == 1;
            all.then(|| (Finder::new(&first.text), Beyond::of(&first.text, prefix)))
        });
        let ascii: Vec<Option<_>> = ascii.collect();
        Self {
            unit: Finder::new(b"\\u"),
            all_ascii: ascii.iter().all(Option::is_some),
            ascii,
            query,
            monotonic: looked_for.iter().all(|looked_for| *looked_for),
            phrases,
            numbers,
            shown,
            exact,
            prefixes,
            longest,
        }
    }

    /// Whether the query is true of what has these phrases.
    fn holds(&self, has: &[bool]) -> bool {
        let has = self.numbers.iter().map(|number| has.get(*number));
        let has: Vec<bool> = has.map(|has| has == Some(&true)).collect();
        self.query.holds(&has)
    }

    /// The texts of the run called `id` and its `record` that have what is looked for, at most
    /// [`MATCHES_MAX`]; `None` if the run is not what is looked for, or the look does not go on to its
    /// end. Costs the record's length for each phrase, and little memory.
    #[must_use]
    pub fn matches(&self, id: &str, record: &str, going: Going<'_>) -> Option<Vec<Match>> {
        let mut look = Look::of(self, going);
        texts(id, record, &mut look);
        look.into_matches()
    }

    /// As [`Matcher::matches`], for a record of which no member that is searched is repeated, or for the beginning of one:
    /// `None` if that does not tell.
    #[must_use]
    pub fn matches_once(
        &self,
        id: &str,
        beginning: &str,
        going: Going<'_>,
    ) -> Option<Option<Vec<Match>>> {
        let mut look = Look::of(self, going);
        texts_once(id, beginning, &mut look).ok()?;
        Some(look.into_matches())
    }

    /// What [`Matcher::meet`] finds, where the text or all that is looked for is ASCII. Text is cut into
    /// tokens only where a phrase may begin: at a run of letters and digits that begins as its first word
    /// does, or at a word that is not all ASCII, but may be that word without its accents.
    fn search(
        &self,
        text: &str,
        has: &mut [bool],
        going: &mut Going<'_>,
        buffer: &mut String,
    ) -> Vec<Range<usize>> {
        buffer.clear();
        buffer.push_str(text);
        buffer.make_ascii_lowercase();
        let lower = buffer.as_bytes();
        let mut ranges = Vec::new();
        let mut word = String::new();
        for (((phrase, finder), has), shown) in self
            .phrases
            .iter()
            .zip(&self.ascii)
            .zip(has)
            .zip(&self.shown)
        {
            // no ASCII text has a phrase that is not
            let Some((finder, beyond)) = finder else {
                continue;
            };
            if !going.on_to(text.len() + TOKEN_WORK) {
                break;
            }
            // notes what begins there; whether more of it is wanted
            let mut note = |begin: usize, places: &mut Places<'_>| {
                if !going.on_to(phrase.tokens.len() * TOKEN_WORK) {
                    return false;
                }
                let rest = text.get(begin..).unwrap_or_default();
                let Some(length) = phrase_length(phrase, rest, &mut word) else {
                    return true;
                };
                *has = true;
                *shown && places.add(begin..begin + length)
            };
            let mut places = Places {
                ranges: &mut ranges,
                first: None,
            };
            // two that begin words do not overlap
            let begins = finder.find_iter(lower).filter(|begin| {
                let before = begin.checked_sub(1).and_then(|before| lower.get(before));
                match before {
                    Some(before) if !before.is_ascii() => !is_within_word(text, *begin),
                    before => !before.is_some_and(u8::is_ascii_alphanumeric),
                }
            });
            for begin in begins {
                if !note(begin, &mut places) {
                    break;
                }
            }
            places.first = None;
            beyond.words(text, |begin| {
                let rest = lower.get(begin..).unwrap_or_default();
                // one that the finder has found, too, is ASCII as far as it looked
                rest.starts_with(finder.needle()) || note(begin, &mut places)
            });
        }
        ranges
    }

    /// Whether a text that is spelt so may have a phrase. Most have none, and are not decoded then.
    fn may_meet(&self, spelling: &str, going: &mut Going<'_>, buffer: &mut String) -> bool {
        if !self.all_ascii {
            return true;
        }
        buffer.clear();
        buffer.push_str(spelling);
        buffer.make_ascii_lowercase();
        let may_have = |(phrase, finder): (&&Phrase, &Option<(Finder<'_>, Beyond)>)| {
            if !going.on_to(spelling.len() + TOKEN_WORK) {
                // the text will not be looked at
                return true;
            }
            finder.as_ref().is_none_or(|(finder, beyond)| {
                places(finder, buffer.as_bytes()).any(|begin| may_begin(phrase, buffer, begin))
                    || beyond.may_be_in(spelling)
            })
        };
        self.phrases.iter().zip(&self.ascii).any(may_have)
            || self.unit.find(buffer.as_bytes()).is_some()
    }

    /// Notes which phrases are in `text`; where those to be shown are. Each token is met in turn, and what
    /// has begun so far ahead of it that it cannot go on is forgotten.
    fn meet(
        &self,
        text: &str,
        met: &mut [Met],
        has: &mut [bool],
        going: &mut Going<'_>,
        buffer: &mut String,
    ) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut firsts = vec![None; self.phrases.len()];
        met.iter_mut().for_each(Met::clear);
        let mut tokens = Tokens::with_buffer(text, std::mem::take(buffer));
        while let Some(token) = tokens.step() {
            let mut asked = 1;
            let mut note = |number: usize, at: usize| {
                asked += 1;
                let Some((phrase, met)) = self.phrases.get(number).zip(met.get_mut(number)) else {
                    return;
                };
                let Some(begin) = begun(phrase, met, at, &token) else {
                    return;
                };
                if let Some(has) = has.get_mut(number) {
                    *has = true;
                }
                if self.shown.get(number) == Some(&true)
                    && let Some(first) = firsts.get_mut(number)
                {
                    let mut places = Places {
                        ranges: &mut ranges,
                        first: *first,
                    };
                    places.add(begin..token.range.end);
                    *first = places.first;
                }
            };
            if tokens.text().len() <= self.longest
                && let Some(wanted) = self.exact.get(tokens.text())
            {
                wanted.iter().for_each(|(phrase, at)| note(*phrase, *at));
            }
            for (prefix, phrase, at) in &self.prefixes {
                if tokens.text().starts_with(prefix) {
                    note(*phrase, *at);
                }
            }
            if !going.on_to(asked * TOKEN_WORK) {
                break;
            }
        }
        *buffer = tokens.into_buffer();
        ranges
    }
}

/// Notes that `token` is that of `phrase` with the number `at`; where the phrase begins if this is its
/// last, and it is all there.
fn begun(phrase: &Phrase, met: &mut Met, at: usize, token: &Token) -> Option<usize> {
    let last = phrase.tokens.last()?.offset;
    if at == 0 {
        if phrase.tokens.len() == 1 {
            return Some(token.range.start);
        }
        while let Some(first) = met.front()
            && first.position + last < token.position
        {
            met.pop_front();
        }
        met.push_back(Begun {
            position: token.position,
            at: token.range.start,
            met: 1,
        });
        return None;
    }
    let offset = phrase.tokens.get(at)?.offset;
    let position = token.position.checked_sub(offset)?;
    let found = met.binary_search_by_key(&position, |begun| begun.position);
    let begun = met.get_mut(found.ok()?)?;
    if begun.met != at {
        return None;
    }
    begun.met += 1;
    (begun.met == phrase.tokens.len()).then_some(begun.at)
}

/// How long `phrase` is in a text that begins with it and with a word; `None` if it does not.
fn phrase_length(phrase: &Phrase, text: &str, buffer: &mut String) -> Option<usize> {
    let mut tokens = Tokens::with_buffer(text, std::mem::take(buffer));
    let last = phrase.tokens.len().checked_sub(1)?;
    let mut length = None;
    for (number, wanted) in phrase.tokens.iter().enumerate() {
        let Some(token) = tokens.step() else {
            length = None;
            break;
        };
        let goes_on = phrase.prefix && number == last && tokens.text().starts_with(&wanted.text);
        if token.position != wanted.offset || !(goes_on || tokens.text() == wanted.text) {
            length = None;
            break;
        }
        length = Some(token.range.end);
    }
    *buffer = tokens.into_buffer();
    length
}

/// Everywhere it is, also where one overlaps another: what begins with the letter of an escape is no word,
/// but what follows may be.
fn places<'t>(finder: &'t Finder<'_>, text: &'t [u8]) -> impl Iterator<Item = usize> + 't {
    let mut from = 0;
    std::iter::from_fn(move || {
        let at = from + finder.find(text.get(from..)?)?;
        from = at + 1;
        Some(at)
    })
}

/// Whether a phrase may begin where its first word stands in a spelling, in lower case, without `\u`.
fn may_begin(phrase: &Phrase, lower: &str, begin: usize) -> bool {
    // the letter of an escape is none of a word, but what follows an escaped backslash may be
    if let [.., escape, last] = lower.as_bytes().get(..begin).unwrap_or_default()
        && last.is_ascii_alphanumeric()
        && *escape != b'\\'
    {
        return false;
    }
    let Some((first, others)) = phrase.tokens.split_first() else {
        return true;
    };
    let mut rest = lower.get(begin + first.text.len()..).unwrap_or_default();
    if rest.starts_with(|next: char| next.is_ascii_alphanumeric()) {
        return (phrase.prefix && others.is_empty()) || first.text.len() >= WORD_BYTES_MAX;
    }
    let Some(second) = others.first() else {
        return true;
    };
    loop {
        let mut characters = rest.chars();
        match characters.next() {
            Some('\\') => drop(characters.next()),
            None => return false,
            Some(next) => match Class::of(next) {
                Class::Between => {}
                Class::Dense => return false,
                Class::Mark => return true,
                Class::Word => break,
            },
        }
        rest = characters.as_str();
    }
    let same = second.text.bytes().zip(rest.bytes());
    let same = same.take_while(|(wanted, byte)| wanted == byte).count();
    // from where a word is not all ASCII, it may be any
    let differs = rest.as_bytes().get(same);
    same == second.text.len() || differs.is_some_and(|byte| !byte.is_ascii())
}

fn mark_shown(query: &Query, looked_for: bool, shown: &mut Vec<bool>) {
    match query {
        Query::All(parts) | Query::Any(parts) => parts
            .iter()
            .for_each(|part| mark_shown(part, looked_for, shown)),
        Query::Not(part) => mark_shown(part, !looked_for, shown),
        Query::Phrase(_) => shown.push(looked_for),
    }
}

/// The part of `text` around the first of `ranges`, with those that are in it.
fn shown(path: &str, text: &str, mut ranges: Vec<Range<usize>>) -> Match {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    let first = ranges.first().map_or(0, |range| range.start);
    let back = |from: usize, count: usize| {
        let before = text.get(..from).unwrap_or_default();
        before
            .char_indices()
            .rev()
            .take(count)
            .last()
            .map_or(from, |(at, _)| at)
    };
    let ahead = |from: usize, count: usize| {
        let behind = text.get(from..).unwrap_or_default();
        behind
            .char_indices()
            .nth(count)
            .map_or(text.len(), |(at, _)| from + at)
    };
    let begin = back(first, BEFORE_CHARS);
    let end = ahead(begin, SNIPPET_CHARS);
    let snippet = text.get(begin..end).unwrap_or_default();
    let units = |part: &str| part.encode_utf16().count();
    let mut places: Vec<Place> = Vec::new();
    let (mut at, mut at_units) = (begin, 0);
    for range in ranges {
        // what overlaps is one place; what does not fit in is left out, but for what is shown first
        let start = range.start.max(at);
        let stop = match places.is_empty() {
            true => range.end.min(end),
            false => range.end,
        };
        if stop > end || start >= stop || places.len() == RANGES_MAX {
            continue;
        }
        let from = at_units + units(&text[at..start]);
        let to = from + units(&text[start..stop]);
        match places.last_mut() {
            Some(last) if last.end == from && range.start < start => last.end = to,
            _ => places.push(Place {
                start: from,
                end: to,
            }),
        }
        (at, at_units) = (stop, to);
    }
    Match {
        path: path.to_owned(),
        snippet: snippet.to_owned(),
        offset: units(&text[..begin]),
        ranges: places,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(query: &str, record: &str) -> Option<Vec<(String, Vec<String>)>> {
        let query = Query::parse(query).unwrap();
        let matches = Matcher::new(&query).matches("run", record, Going::on(&|| true))?;
        let cut = |found: &Match, place: &Place| {
            let units: Vec<u16> = found.snippet.encode_utf16().collect();
            String::from_utf16(&units[place.start..place.end]).unwrap()
        };
        let shown = matches.iter().map(|found| {
            let ranges = found.ranges.iter().map(|place| cut(found, place));
            (found.path.clone(), ranges.collect())
        });
        Some(shown.collect())
    }

    #[test]
    fn matches_are_marked_where_they_are() {
        let record =
            r#"{"input": "𝄞 The Agent, the agents: an \u0041gent", "error": "agent-7 failed"}"#;
        assert_eq!(
            found("agent", record),
            Some(vec![
                (
                    "/input".to_owned(),
                    vec!["Agent".to_owned(), "Agent".to_owned()]
                ),
                ("/error".to_owned(), vec!["agent".to_owned()]),
            ])
        );
        assert_eq!(
            found("\"agent 7\"", record),
            Some(vec![("/error".to_owned(), vec!["agent-7".to_owned()])])
        );
        assert_eq!(
            found("agents*", record),
            Some(vec![("/input".to_owned(), vec!["agents".to_owned()])])
        );
        assert_eq!(found("agent -failed", record), None);
        assert_eq!(found("-missing", record), Some(vec![]));
        // side by side in one text, not in two
        assert_eq!(found("\"agent agent\"", record), None);
    }

    #[test]
    fn what_is_longer_than_a_snippet_is_marked_to_its_end() {
        let phrase = "wörd ".repeat(40);
        let record = format!(r#"{{"error":"{}{phrase}"}}"#, "lead ".repeat(20));
        let marked = found(&format!("\"{phrase}\""), &record).unwrap();
        let shown: String = phrase.chars().take(SNIPPET_CHARS - BEFORE_CHARS).collect();
        assert_eq!(marked, [("/error".to_owned(), vec![shown])]);
    }

    proptest! {
        #[test]
        fn a_search_finds_what_a_look_at_every_token_finds(
            text in "([abAé\u{301}ßя東の→]{1,3}[ .-]{0,2}){0,12}|([ab]{1,3}[ .-]{0,2}){0,12}|a{60,70}é?( b)?",
            query in prop::sample::select(&["a", "ab*", "\"a b\"", "a-ba-b", "\"b a\"*", "a -b", "ass e*",
                "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b"][..]),
        ) {
            let query = Query::parse(query).unwrap();
            let matcher = Matcher::new(&query);
            let mut by_token = vec![false; matcher.phrases.len()];
            let mut met = vec![Met::new(); matcher.phrases.len()];
            let (mut buffer, mut going) = (String::new(), Going::on(&|| true));
            let sorted = |mut ranges: Vec<Range<usize>>| {
                ranges.sort_unstable_by_key(|range| (range.start, range.end));
                ranges
            };
            let expected = matcher.meet(&text, &mut met, &mut by_token, &mut going, &mut buffer);
            let mut has = vec![false; matcher.phrases.len()];
            let found = matcher.search(&text, &mut has, &mut going, &mut buffer);
            prop_assert_eq!(sorted(found), sorted(expected));
            prop_assert_eq!(has, by_token);
        }
    }

    /// A string as JSON may spell it: what must be escaped, and some of what may be.
    fn spelt(text: &str, choices: &[u8]) -> String {
        let mut choices = choices.iter().cycle();
        let mut out = String::new();
        for character in text.chars() {
            let choice = choices.next().copied().unwrap_or(0);
            match character {
                '"' | '\\' => out.extend(['\\', character]),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                '/' if choice % 2 == 0 => out.push_str("\\/"),
                _ if choice == 7 && character.is_ascii() => {
                    out.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                _ => out.push(character),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn what_is_not_decoded_has_nothing(
            text in "([abnnnAN\u{e9}\u{301}\u{ad}ß東→é]{1,3}[ .\\\\\n\t/\"\u{200b}-]{0,2}){0,12}",
            choices in prop::collection::vec(0u8..8, 1..20),
            query in prop::sample::select(&["a", "n", "ab*", "\"a b\"", "a-ba-b", "\"n b\"*", "n -b", "nab",
                "\"a n b\"", "e n", "\"b na\"", "nn", "nnn", "\"nn a\""][..]),
        ) {
            let query = Query::parse(query).unwrap();
            let matcher = Matcher::new(&query);
            let mut has = vec![false; matcher.phrases.len()];
            let mut going = Going::on(&|| true);
            matcher.search(&text, &mut has, &mut going, &mut String::new());
            let spelling = spelt(&text, &choices);
            let quoted = format!("\"{spelling}\"");
            let decoded = crate::model::json::decode_string(&quoted);
            prop_assert_eq!(&*decoded, &text);
            if has.contains(&true) {
                prop_assert!(matcher.may_meet(&spelling, &mut going, &mut String::new()), "{}", spelling);
            }
        }

        #[test]
        fn a_beginning_tells_what_the_whole_tells_or_nothing(
            values in prop::collection::vec(("[ab é]{0,6}", prop::bool::ANY, 0u32..200), 0..8),
            query in prop::sample::select(&["a", "b*", "\"a b\"", "a -b", "-a", "12", "1*", "a OR 3"][..]),
            cut in prop::num::usize::ANY,
        ) {
            let texts = values.iter().map(|(text, is_text, number)| match is_text {
                true => serde_json::json!(text),
                false => serde_json::json!(number),
            });
            let texts: Vec<_> = texts.collect();
            let record = serde_json::json!({ "input": texts, "error": "a", "other": "b" }).to_string();
            let query = Query::parse(query).unwrap();
            let matcher = Matcher::new(&query);
            let whole = matcher.matches("run", &record, Going::on(&|| true));
            let once = |record| matcher.matches_once("run", record, Going::on(&|| true));
            prop_assert_eq!(once(&record), Some(whole.clone()));
            let mut cut = cut % (record.len() + 1);
            while !record.is_char_boundary(cut) {
                cut -= 1;
            }
            if let Some(told) = once(&record[..cut]) {
                prop_assert_eq!(told, whole);
            }
        }
    }

    /// At a cost of its length alone: at its square, this would not come to an end.
    #[test]
    fn a_long_word_beyond_ascii_is_looked_through_once() {
        for part in ["é", "é\u{301}", "\u{301}", "aé", "東", "é-"] {
            let record = format!(r#"{{"input": "{} needle"}}"#, part.repeat(1_000_000));
            for query in ["needle", "e", "\"a needle\"", "nothing"] {
                let expected = query == "needle" || (query == "e" && part == "é-");
                assert_eq!(found(query, &record).is_some(), expected, "{part} {query}");
            }
        }
    }

    #[test]
    fn only_places_that_may_be_shown_are_kept() {
        let lengths = (0..60).map(|at| format!("\"{}\" ", "a ".repeat(at % 7 + 1)));
        for (query, distinct) in [("a ".repeat(256), 1), (lengths.collect(), 7)] {
            let query = Query::parse(&query).unwrap();
            let matcher = Matcher::new(&query);
            assert_eq!(matcher.phrases.len(), distinct);
            for text in [
                "a ".repeat(100_000),
                "é a ".repeat(50_000),
                "à ".repeat(100_000),
            ] {
                let mut has = vec![false; matcher.phrases.len()];
                let mut met = vec![Met::new(); matcher.phrases.len()];
                let (mut buffer, mut going) = (String::new(), Going::on(&|| true));
                let found = matcher.search(&text, &mut has, &mut going, &mut buffer);
                let by_token = matcher.meet(&text, &mut met, &mut has, &mut going, &mut buffer);
                // those near the first of the finder's, and near the first of the others
                let most = 2 * distinct * SHOWN_BYTES;
                assert!(found.len() <= most && by_token.len() <= most);
                assert!(met.iter().all(|met| met.len() <= 8));
            }
        }
    }

    #[test]
    fn a_look_ends_where_it_does_not_go_on() {
        use std::cell::Cell;
        let phrase = format!("\"{}b\"", "a ".repeat(200));
        let long = |text: &str| format!(r#"{{"input": "{}", "input": 1}}"#, text.repeat(200_000));
        let numbers = format!("{{\"input\": [{}1]}}", "1,".repeat(500_000));
        // the other one has each token looked at where the text is not ASCII
        for query in [phrase.clone(), format!("{phrase} OR 東京")] {
            let query = Query::parse(&query).unwrap();
            let matcher = Matcher::new(&query);
            for record in [&long("a "), &long("à "), &numbers] {
                let asked = Cell::new(0);
                let goes_on = || {
                    asked.set(asked.get() + 1);
                    asked.get() < 2
                };
                assert_eq!(matcher.matches("run", record, Going::on(&goes_on)), None);
                // and is not asked for again
                assert_eq!(asked.get(), 2, "{}", &record[..20]);
            }
        }
    }

    #[test]
    fn pairs_of_a_script_without_spaces_are_one_place() {
        let record = r#"{"input": "私は東京都に住む"}"#;
        let all = |text: &str| Some(vec![("/input".to_owned(), vec![text.to_owned()])]);
        assert_eq!(found("東京都", record), all("東京都"));
        assert_eq!(found("都", record), all("都に"));
        assert_eq!(found("む", record), all("む"));
        assert_eq!(found("京東", record), None);
    }

    #[test]
    fn snippets_of_long_texts_tell_where_they_are() {
        let record = format!(
            r#"{{"output": "{}needle{}"}}"#,
            "é ".repeat(1000),
            " x".repeat(1000)
        );
        let query = Query::parse("needle").unwrap();
        let matcher = Matcher::new(&query);
        let found = matcher
            .matches("run", &record, Going::on(&|| true))
            .unwrap();
        assert_eq!(found.len(), 1);
        let found = &found[0];
        assert_eq!(found.snippet.chars().count(), SNIPPET_CHARS);
        assert_eq!(found.offset + found.ranges[0].start, 2000);
        assert_eq!(found.ranges[0].end - found.ranges[0].start, 6);
    }
}
