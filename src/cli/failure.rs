//! Why a command did not do what it was asked, as its user is told.

use std::io;
use std::process::ExitCode;

use super::USAGE;
use super::json::Json;
use super::terminal::{columns, fitted, fitted_end, visible, width_of};
use crate::api::{Error, ErrorKind};

/// What params are called on the command line, where a message names one that would help.
const FLAGS: [(&str, &str); 6] = [
    (
        "executions/get gives it in pieces, by `fields` or `maxBytes`",
        "`runlog show RUN --json=FIELDS` prints members of it",
    ),
    (
        "expected `policy`, or [prune]",
        "say how much may stay with --max-age, --max-count or --max-bytes, or write a [prune]",
    ),
    ("pass permanent: true", "say --permanent"),
    ("pass everything: true", "say --everything"),
    (
        "read what it is about, or repeat it if it has an ifVersion or changes nothing twice",
        "look what became of it",
    ),
    // which is what a command without a daemon writes itself
    ("the daemon's log", "the log"),
];
/// What stands before a text that a message is about.
const INDENT: &str = "  ";

/// How a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error of the daemon's, and the params it is about.
    Refused {
        /// What it says.
        error: Error,
        /// The params' text.
        sent: String,
    },
    /// Something that the arguments say makes no sense.
    Usage(String),
    /// Anything else, in words.
    Failed(String),
    /// Reading or writing failed.
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    /// An error of the daemon's.
    pub(super) fn refused(error: Error, sent: &str) -> Self {
        Self::Refused {
            error,
            sent: sent.to_owned(),
        }
    }

    /// What kind of error of the daemon's it is, if it is one.
    pub(super) fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Refused { error, .. } => Some(error.kind),
            _ => None,
        }
    }

    /// What an error of the daemon's says in one of its members.
    pub(super) fn says(&self, name: &str) -> Option<String> {
        let Self::Refused { error, .. } = self else {
            return None;
        };
        let value = error.to_value();
        value["data"][name].as_str().map(str::to_owned)
    }

    /// The same of a number, where it says one.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        let Self::Refused { error, .. } = self else {
            return None;
        };
        error.to_value()["data"][name].as_u64()
    }

    /// Tells it on stderr; the status to exit with.
    pub(super) fn told(&self) -> ExitCode {
        match self {
            // who reads only the beginning has had enough
            Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Self::Io(error) => super::serve::failed(error),
            Self::Failed(message) => super::serve::failed(message),
            Self::Usage(message) => {
                tell!("runlog: {message}");
                ExitCode::from(USAGE)
            }
            Self::Refused { error, sent } => {
                tell!("runlog: {}", visible(&in_flags(&error.message)));
                super::tell_all(&details(error, sent));
                match error.kind {
                    ErrorKind::InvalidParams | ErrorKind::MethodNotFound => ExitCode::from(USAGE),
                    _ => ExitCode::FAILURE,
                }
            }
        }
    }
}

/// A message with flags in the place of params.
fn in_flags(message: &str) -> String {
    let mut message = message.to_owned();
    for (param, flag) in FLAGS {
        message = message.replace(param, flag);
    }
    message
}

/// The lines below an error's message: where in a filter it is, which runs could be meant.
fn details(error: &Error, sent: &str) -> String {
    let mut lines = String::new();
    let data = Json::read(&error.to_value().to_string());
    let data = data.at("data");
    let sent = Json::read(sent);
    if let (Some(offset), Some(filter)) = (data.at("offset").number(), sent.at("where").text()) {
        lines.push_str(&pointed(filter, offset, width_of(io::stderr())));
    }
    for candidate in data.at("candidates").items() {
        lines.push_str(&format!(
            "  {}/{}\n",
            visible(candidate.at("projectId").word()),
            visible(candidate.at("executionId").word())
        ));
    }
    let (told, total) = (
        data.at("candidates").items().len(),
        data.at("total").count(),
    );
    if told > 0 && total > told as u64 {
        lines.push_str(&format!("  and {} more\n", total - told as u64));
    }
    lines
}

/// The text and a caret below its UTF-16 unit `offset`; of a text wider than `width` columns what is
/// around that.
fn pointed(text: &str, offset: f64, width: usize) -> String {
    let mut units = 0.0;
    let is_before = |c: &char| {
        units += if c.len_utf16() == 2 { 2.0 } else { 1.0 };
        units <= offset
    };
    let length = text.chars().take_while(is_before).map(char::len_utf8).sum();
    let (before, after) = text.split_at(length);
    let (before, after) = (visible(before), visible(after));
    let room = width.saturating_sub(INDENT.len());
    // the one has what the other does not need; the caret has room also where nothing is above it
    let after = fitted(&after, room.saturating_sub(columns(&before).min(room / 2)));
    let before = fitted_end(&before, room.saturating_sub(columns(&after).max(1)));
    let blank = " ".repeat(columns(&before));
    format!("{INDENT}{before}{after}\n{INDENT}{blank}^\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_what_is_wrong_however_wide_that_is_before_it() {
        assert_eq!(pointed("a == 1", 3.0, 80), "  a == 1\n     ^\n");
        assert_eq!(
            pointed("a = \"日\" x", 8.0, 80),
            "  a = \"日\" x\n           ^\n"
        );
        assert_eq!(pointed("a = 😀 x", 7.0, 80), "  a = 😀 x\n         ^\n");
        assert_eq!(pointed("a", 1.0, 80), "  a\n   ^\n");
    }

    #[test]
    fn of_a_long_text_what_is_around_the_caret_is_shown() {
        let digits = "0123456789012345678901234567";
        let long = format!("{} ? {}", "a".repeat(5000), "b".repeat(5000));
        for (text, offset, want) in [
            (digits, 2.0, "  01234567890123456…\n    ^\n"),
            (digits, 27.0, "  …12345678901234567\n                   ^\n"),
            (digits, 28.0, "  …2345678901234567\n                   ^\n"),
            (&*long, 5001.0, "  …aaaaaaa ? bbbbbb…\n           ^\n"),
        ] {
            assert_eq!(pointed(text, offset, 20), want);
        }
    }
}
