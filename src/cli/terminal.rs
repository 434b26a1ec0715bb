//! What is printed, and where it goes: a terminal with its width and colours, or a pipe.
//!
//! Nothing of a record reaches either as it is: control characters, and those that turn the
//! direction of writing, are made visible ([`visible`]), so that no record can move the cursor,
//! set a title or look like another line. On a terminal things are fitted and painted for a person;
//! anywhere else they are whole, one row a line, for programs.

use std::borrow::Cow;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a terminal has where it does not say.
const COLUMNS: usize = 80;
/// Fewer are not worth fitting to.
const COLUMNS_MIN: usize = 20;

/// Where stdout goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    /// How wide it is; none where it is no terminal.
    width: Option<usize>,
    colour: bool,
}

/// How something is painted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    /// As everything else.
    Plain,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// What went well.
    Green,
    /// What went wrong.
    Red,
    /// What is to be looked at.
    Yellow,
    /// What goes on.
    Cyan,
}

impl Out {
    /// As this process finds it.
    pub(super) fn stdout() -> Self {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return Self::for_programs();
        }
        Self {
            width: Some(width_of(stdout)),
            colour: has_colours(),
        }
    }

    /// As for whatever reads a pipe.
    pub(super) const fn for_programs() -> Self {
        Self {
            width: None,
            colour: false,
        }
    }

    /// How wide the terminal is; none where it is no terminal.
    pub(super) fn width(self) -> Option<usize> {
        self.width
    }

    /// Whether a person reads it.
    pub(super) fn is_terminal(self) -> bool {
        self.width.is_some()
    }

    /// The text in its colour, where there are colours.
    pub(super) fn paint(self, text: &str, paint: Paint) -> String {
        let code = match paint {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Paint::Plain => return text.to_owned(),
            Paint::Dim => "2",
            Paint::Bold => "1",
            Paint::Green => "32",
            Paint::Red => "31",
            Paint::Yellow => "33",
            Paint::Cyan => "36",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// A remark of one line, or of more where the terminal is narrow.
    pub(super) fn remark(self, text: &str, paint: Paint) -> String {
        let lines = match self.width {
            Some(width) => wrapped(text, width),
            None => vec![text.to_owned()],
        };
        let lines = lines.iter().map(|line| self.paint(line, paint) + "\n");
        lines.collect()
    }

    /// Puts a remark below rows that a person reads; where a program does, stderr has it.
    pub(super) fn aside(self, told: &str, text: &mut String) {
        match self.is_terminal() {
            true => text.push_str(&self.remark(told, Paint::Dim)),
            false => tell!("runlog: {told}"),
        }
    }

    /// A name and what it is, which goes on below itself where the terminal is narrow.
    pub(super) fn fact(self, name: &str, room: usize, value: &str) -> String {
        let lines = match self.width {
            Some(width) => wrapped(value, width.saturating_sub(room + 1).max(8)),
            None => vec![value.to_owned()],
        };
        let blank = " ".repeat(room);
        let mut text = String::new();
        for (number, line) in lines.iter().enumerate() {
            let name = match number {
                0 => self.paint(&format!("{name:<room$}"), Paint::Bold),
                _ => blank.clone(),
            };
            text.push_str(&format!("{name} {line}\n"));
        }
        text
    }

    /// Writes JSON, which on a terminal has as escapes what would act on it: it means the same.
    pub(super) fn print_json(self, text: &str) -> io::Result<()> {
        match self.is_terminal() {
            true => self.print(&visible_json(text)),
            false => self.print(text),
        }
    }

    /// Writes it all at once.
    pub(super) fn print(self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

/// The same, where that is not all that a command is for: whoever has stopped reading is still told by
/// its exit status how things are.
pub(super) fn unless_unread(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// Whether a terminal is painted on (no-color.org, bixense.com/clicolors).
fn has_colours() -> bool {
    let none_wanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("CLICOLOR").is_some_and(|value| value == "0");
    !none_wanted && !is_dumb()
}

/// Whether the terminal only prints lines, as far as anything says what it is.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb")
}

/// How wide `terminal` is, also where it is none: messages are fitted all the same.
pub(super) fn width_of(terminal: impl AsFd) -> usize {
    let named = std::env::var("COLUMNS").ok();
    let width = named
        .and_then(|columns| columns.parse().ok())
        .filter(|columns| *columns > 0)
        .or_else(|| {
            let size = rustix::termios::tcgetwinsize(terminal).ok()?;
            Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
        });
    width.unwrap_or(COLUMNS).max(COLUMNS_MIN)
}

/// How a status is painted.
pub(super) fn status_paint(status: &str) -> Paint {
    match status {
        "completed" => Paint::Green,
        "failed" => Paint::Red,
        "running" => Paint::Cyan,
        "queued" | "paused" => Paint::Yellow,
        "cancelled" => Paint::Dim,
        _ => Paint::Plain,
    }
}

/// Whether a character does something else than stand there.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // marks, embeddings and isolates of direction; line and paragraph separators
            '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // what nobody sees
            | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

/// The same of what JSON may hold as it is: there it can only stand in a string.
fn acts_in_json(c: char) -> bool {
    acts(c) && !matches!(c, '\n' | '\r' | '\t')
}

/// JSON that has as escapes what would act on a terminal: it means the same.
pub(super) fn visible_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_in_json) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if acts_in_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                escaped.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            escaped.push(c);
        }
    }
    escaped.into()
}

/// The text with what would act on a terminal made visible; it stays on one line.
pub(super) fn visible(text: &str) -> String {
    if !text.chars().any(acts) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            c if acts(c) => shown.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

/// The same of a field of a row in a pipe, from which the text can be had back.
pub(super) fn field(text: &str) -> String {
    visible(&text.replace('\\', "\\\\"))
}

/// The same of a text of several lines: its line ends stay, tabs become blanks.
pub(super) fn visible_lines(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\t', "    ");
    let lines: Vec<String> = text.split('\n').map(visible).collect();
    lines.join("\n")
}

/// How many columns a text takes.
pub(super) fn columns(text: &str) -> usize {
    text.width()
}

/// How many columns a character may add: a variation selector makes an emoji of what is before it.
fn room_of(c: char) -> usize {
    match c {
        '\u{fe0f}' => 1,
        c => c.width().unwrap_or(0),
    }
}

/// The beginning of a text that has room in so many columns, its end marked where it is cut.
pub(super) fn fitted(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut taken = 0;
    let mut cut = String::new();
    for c in text.chars() {
        taken += room_of(c);
        if taken > room {
            break;
        }
        cut.push(c);
    }
    // a join whose second half was cut off joins nothing
    let mut cut = cut.trim_end_matches('\u{200d}').to_owned();
    if width > 0 {
        cut.push('…');
    }
    cut
}

/// The end of a text that has room in so many columns, its beginning marked where it is cut.
pub(super) fn fitted_end(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let mut taken = 0;
    let mut from = text.len();
    for (at, c) in text.char_indices().rev() {
        taken += room_of(c);
        if taken > room {
            break;
        }
        from = at;
    }
    // what belongs to a character that was cut off belongs to none
    let end = text.get(from..).unwrap_or_default();
    let end = end.trim_start_matches(|c| c == '\u{fe0f}' || room_of(c) == 0);
    match width {
        0 => String::new(),
        _ => format!("…{end}"),
    }
}

/// Whether a text takes more columns, of which its beginning tells as a rule.
fn is_wider(text: &str, width: usize) -> bool {
    let near = text.char_indices().nth(4 * width);
    let near = near.and_then(|(at, _)| text.get(..at));
    near.is_some_and(|near| columns(near) > width) || columns(text) > width
}

/// Lines of at most `width` columns, broken at blanks where there are any. Costs the text.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let mut rest = line;
        while is_wider(rest, width) {
            let mut taken = 0;
            let mut end = rest.len();
            let mut blank = None;
            for (at, c) in rest.char_indices() {
                taken += room_of(c);
                if taken > width && at > 0 {
                    end = at;
                    break;
                }
                if c == ' ' && at > 0 {
                    blank = Some(at);
                }
            }
            if end == rest.len() {
                break;
            }
            let cut = match blank {
                _ if rest.get(end..).is_some_and(|rest| rest.starts_with(' ')) => end,
                Some(blank) => blank,
                None => end,
            };
            let (before, after) = rest.split_at(cut);
            lines.push(before.to_owned());
            rest = after.strip_prefix(' ').unwrap_or(after);
        }
        lines.push(rest.to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_that_acts_on_a_terminal_is_left() {
        assert_eq!(visible("a\x1b[31mb\u{9b}c\nd"), r"a\u{1b}[31mb\u{9b}c\nd");
        assert_eq!(visible("evil\u{202e}txt"), r"evil\u{202e}txt");
        assert_eq!(visible_lines("a\r\nb\tc\rd"), "a\nb    c\\rd");
        assert_eq!(visible("日本 é 👩‍💻"), "日本 é 👩‍💻");
        assert_eq!([field("a\tb"), field(r"a\tb")], [r"a\tb", r"a\\tb"]);
    }

    #[test]
    fn wide_characters_are_cut_to_columns() {
        assert_eq!(fitted("日本語", 6), "日本語");
        assert_eq!(fitted("日本語", 5), "日本…");
        assert_eq!(fitted("日本語", 4), "日…");
        assert_eq!(fitted("abc", 2), "a…");
        assert_eq!(fitted("abc", 0), "");
        assert_eq!(fitted_end("日本語", 6), "日本語");
        assert_eq!(fitted_end("日本語", 5), "…本語");
        assert_eq!(fitted_end("日本語", 4), "…語");
        assert_eq!(fitted_end("abc", 0), "");
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefgh", 3), ["abc", "def", "gh"]);
        // not the text for each of its lines
        let long = "x".repeat(1 << 20);
        assert_eq!(wrapped(&long, 32).len(), 1 << 15);
    }

    proptest! {
        #[test]
        fn whatever_a_text_holds_it_fits_and_acts_on_nothing(text in any::<String>(), width in 1usize..40) {
            let shown = visible(&text);
            prop_assert!(!shown.chars().any(acts));
            prop_assert!(columns(&fitted(&shown, width)) <= width);
            prop_assert!(columns(&fitted_end(&shown, width)) <= width);
            for line in wrapped(&shown, width.max(2)) {
                prop_assert!(columns(&line) <= width.max(2), "{:?}", line);
            }
        }
    }
}
