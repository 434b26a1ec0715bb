//! Why a command did not do what it was asked, as its user is told.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use super::USAGE;
use super::json::Json;
use super::terminal::{columns, fitted, fitted_end, visible, visible_json, width_of};
use crate::api::error::words;
use crate::api::{Error, ErrorKind};

/// What is called otherwise on the command line than in the protocol.
const WORDS: [(&str, &str); 25] = [
    // there nothing can be removed either
    (
        "Read-only file system; what could not be moved was not deleted. Mend that, or pass permanent: \
         true, which cannot be undone",
        "Read-only file system; what could not be moved was not deleted; `runlog doctor` tells how to \
         mend that",
    ),
    (
        "executions/get gives it in pieces, by `fields` or `maxBytes`",
        "`runlog show RUN --json=FIELDS` prints members of it",
    ),
    (
        "expected `policy`, or [prune]",
        "say how much may stay with --max-age, --max-count or --max-bytes, or write a [prune]",
    ),
    ("pass permanent: true", "say --permanent"),
    (
        "pass everything: true",
        "say --everything to `runlog prune`",
    ),
    ("`policy`: leaves", "the policy leaves"),
    ("`policy`: ", ""),
    ("`policy.rules[0].projectId`: ", "--project: "),
    ("`policy.rules[0].status`: ", "--status: "),
    ("`policy.", "`"),
    ("`projectId`: ", "--project: "),
    ("`status`: ", "--status: "),
    ("`where`: ", "--where: "),
    ("`executionId`: ", "a run's id: "),
    ("`query`: ", "the query: "),
    (
        "`batch`: expected what deletions and trash/list call `batch`",
        "--batch: expected what the undo of a deletion says",
    ),
    ("an execution ", "a run "),
    (" no execution ", " no run "),
    ("the execution ", "the run "),
    ("the execution's ", "the run's "),
    ("such an execution", "such a run"),
    ("of one execution,", "of one run,"),
    (" executions; name one", " runs; name one"),
    (
        "read what it is about, or repeat it if it has an ifVersion or changes nothing twice",
        "look what became of it",
    ),
    // which says no more of it
    ("see the daemon's log, mend", "mend"),
];
/// What the newest run is called.
const LAST: &str = "last";
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
    /// The same for who has spelt the request, and so knows the protocol's words.
    Answered(Error),
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

    /// The same of several words.
    pub(super) fn words(&self, name: &str) -> Vec<String> {
        let Self::Refused { error, .. } = self else {
            return Vec::new();
        };
        let value = error.to_value();
        let words = value["data"][name].as_array().into_iter().flatten();
        words
            .filter_map(|word| word.as_str().map(str::to_owned))
            .collect()
    }

    /// The same with what somebody wrote in the place of what the protocol calls it.
    pub(super) fn naming(mut self, param: &str, written: &str) -> Self {
        if let Self::Refused { error, .. } = &mut self {
            error.message = error.message.replace(param, written);
        }
        self
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
                let message = match none_at_all(error) {
                    Some(message) => message,
                    None => in_words(&error.message),
                };
                tell!("runlog: {}", visible(&message));
                super::tell_all(&details(error, sent));
                status(error)
            }
            Self::Answered(error) => {
                tell!("runlog: {}", visible(&error.message));
                let data = error.to_value()["data"].to_string();
                super::tell_all(&format!("{}\n", visible_json(&data)));
                status(error)
            }
        }
    }
}

fn status(error: &Error) -> ExitCode {
    match error.kind {
        ErrorKind::InvalidParams | ErrorKind::MethodNotFound => ExitCode::from(USAGE),
        _ => ExitCode::FAILURE,
    }
}

/// Where the last run is asked for and there is none: that there are none at all.
fn none_at_all(error: &Error) -> Option<String> {
    let value = error.to_value();
    let data = &value["data"];
    if error.kind != ErrorKind::ExecutionNotFound || data["executionId"] != LAST {
        return None;
    }
    Some(match data["projectId"].as_str() {
        Some(project) => format!("there are no runs of project {project} yet"),
        None => "there are no runs yet".to_owned(),
    })
}

/// That a folder cannot be made.
pub(super) fn not_made(folder: &Path, error: &io::Error) -> io::Error {
    let what = format!("{} cannot be made: {}", folder.display(), words(error));
    io::Error::new(error.kind(), visible(&what))
}

/// A message in the command line's words.
pub(super) fn in_words(message: &str) -> String {
    let mut message = message.to_owned();
    for (theirs, ours) in WORDS {
        message = message.replace(theirs, ours);
    }
    message
}

/// The lines below an error's message: where in a filter it is, which runs could be meant.
fn details(error: &Error, sent: &str) -> String {
    let mut lines = String::new();
    let data = Json::read(&error.to_value().to_string());
    let data = data.at("data");
    let sent = Json::read(sent);
    let is_about = |name: &&str| error.message.starts_with(&format!("`{name}`: "));
    let about = ["query", "where"].into_iter().find(is_about);
    let text = about.and_then(|name| sent.at(name).text());
    if let (Some(offset), Some(text)) = (data.at("offset").number(), text) {
        lines.push_str(&pointed(text, offset, width_of(io::stderr())));
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
    fn where_nothing_can_be_removed_it_is_not_said_to_help() {
        let of = |why: &str| {
            format!(
                "moving to the trash failed: {why}; what could not be moved was not deleted. Mend that, \
                 or pass permanent: true, which cannot be undone"
            )
        };
        assert!(in_words(&of("Input/output error")).contains("say --permanent"));
        let told = in_words(&of("Read-only file system"));
        assert!(
            !told.contains("permanent") && told.contains("`runlog doctor`"),
            "{told}"
        );
    }

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
