//! What can be asked of a run, by name.

use std::fmt;

use super::date;
use crate::model::Status;

/// A field: a property of a run that a filter can test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// One of the engine's statuses, or what else the record says.
    Status,
    /// The whole error.
    Error,
    /// Which errors the error is like.
    ErrorGroup,
    /// The hash of the stored bytes.
    Version,
    /// The nodes of the steps; true of a run if it is of any of them.
    Node,
    /// The nodes of the steps that failed, in the same way.
    FailedNode,
    /// The tags; true of a run if it is of any of them.
    Tag,
    /// Any other text.
    Text(Text),
    /// A number, an amount, a span, a size or a date.
    Number(Number),
    /// Whether a live run has been silent for too long.
    Stale,
    /// Whether the run is to be kept at hand.
    Pinned,
}

/// The texts that a [`Subject`](super::Subject) gives as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Text {
    /// The file's stem.
    Id,
    /// The project's folder.
    Project,
    /// The run's name.
    Label,
    /// The model that the record names.
    Model,
    /// What somebody noted.
    Note,
}

/// The numbers that a [`Subject`](super::Subject) gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Number {
    /// When the run began, in milliseconds since the Unix epoch.
    StartedAt,
    /// When it ended, likewise.
    CompletedAt,
    /// The file's modification time, likewise.
    UpdatedAt,
    /// From when on a live run counts as stale, likewise.
    StaleAt,
    /// How long it took, in millionths of a millisecond.
    Duration,
    /// What it cost, in nano-dollars.
    Cost,
    /// The file's size, in bytes.
    SizeBytes,
    /// How many steps there are.
    Steps,
    /// How often it was tried again.
    Retries,
    /// Tokens in and out; where the record has no total, their sum.
    Tokens,
    /// Tokens in.
    InputTokens,
    /// Tokens out.
    OutputTokens,
}

/// What a field's values are, which decides how they are written and compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// True or false, never unknown.
    Flag,
    /// A whole number.
    Count,
    /// US dollars, in nano-dollars.
    Dollars,
    /// A span of time, in millionths of a millisecond.
    Span,
    /// A size in bytes.
    Bytes,
    /// A moment.
    Date,
}

/// A field as people know it.
#[derive(Debug)]
pub struct Named {
    /// Which one.
    pub field: Field,
    /// Its name in canonical text.
    pub name: &'static str,
    /// The summary's name for it, where that is another.
    alias: Option<&'static str>,
    /// What it is.
    pub about: &'static str,
}

const fn named(field: Field, name: &'static str, about: &'static str) -> Named {
    Named {
        field,
        name,
        alias: None,
        about,
    }
}

const fn aliased(
    field: Field,
    name: &'static str,
    alias: &'static str,
    about: &'static str,
) -> Named {
    Named {
        field,
        name,
        alias: Some(alias),
        about,
    }
}

/// In one place for good, so that their texts can be lent for ever.
static STATUSES: [Status; 6] = Status::KNOWN;

/// All of them, those of annotations last.
static FIELDS: [Named; 26] = [
    named(
        Field::Status,
        "status",
        "text: queued, running, paused, completed, failed, cancelled or another",
    ),
    aliased(
        Field::Text(Text::Project),
        "project",
        "projectId",
        "text: the project",
    ),
    named(
        Field::Number(Number::StartedAt),
        "startedAt",
        "date: when the run began",
    ),
    named(
        Field::Number(Number::CompletedAt),
        "completedAt",
        "date: when the run ended",
    ),
    named(
        Field::Number(Number::Duration),
        "duration",
        "span: how long the run took; milliseconds if no unit is given",
    ),
    named(Field::Number(Number::Cost), "costUSD", "amount: US dollars"),
    named(Field::Error, "error", "text: the whole error"),
    named(
        Field::ErrorGroup,
        "errorGroup",
        "text: the fingerprint of the error, as errors/groups tells it",
    ),
    named(Field::Text(Text::Label), "label", "text: the run's name"),
    named(Field::Text(Text::Model), "model", "text: the model"),
    named(
        Field::Number(Number::Tokens),
        "tokens",
        "count: tokens in and out",
    ),
    named(
        Field::Number(Number::InputTokens),
        "inputTokens",
        "count: tokens in",
    ),
    named(
        Field::Number(Number::OutputTokens),
        "outputTokens",
        "count: tokens out",
    ),
    aliased(
        Field::Number(Number::Steps),
        "steps",
        "stepCount",
        "count: the steps",
    ),
    named(
        Field::Node,
        "nodeId",
        "text: the node of any step of the run",
    ),
    named(
        Field::FailedNode,
        "failedNode",
        "text: the node of any failed step of the run",
    ),
    named(
        Field::Number(Number::Retries),
        "retryCount",
        "count: how often the run was tried again",
    ),
    named(
        Field::Stale,
        "stale",
        "flag: a queued or running run that has been silent too long",
    ),
    named(
        Field::Number(Number::StaleAt),
        "staleAt",
        "date: from when on a queued or running run is stale",
    ),
    named(
        Field::Number(Number::UpdatedAt),
        "updatedAt",
        "date: when the file was last written",
    ),
    named(
        Field::Number(Number::SizeBytes),
        "sizeBytes",
        "size: the file's; bytes if no unit is given",
    ),
    named(Field::Text(Text::Id), "id", "text: the run's id"),
    named(
        Field::Version,
        "version",
        "text: the hash of the stored bytes",
    ),
    named(Field::Tag, "tag", "text: any tag of the run"),
    named(Field::Pinned, "pinned", "flag: pinned runs"),
    named(Field::Text(Text::Note), "note", "text: the run's note"),
];

/// The fields that a filter may name, in the order in which they are offered.
pub fn known() -> impl Iterator<Item = &'static Named> {
    FIELDS.iter()
}

impl Field {
    /// The field called `name`, in capital letters or not.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        let called = |known: &str| known.eq_ignore_ascii_case(name);
        known()
            .find(|named| called(named.name) || named.alias.is_some_and(called))
            .map(|named| named.field)
    }

    /// The name in canonical text.
    #[must_use]
    pub fn name(self) -> &'static str {
        let mut all = FIELDS.iter();
        all.find(|named| named.field == self)
            .map_or("", |named| named.name)
    }

    /// What its values are.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Stale | Self::Pinned => Kind::Flag,
            Self::Number(number) => number.kind(),
            Self::Status
            | Self::Error
            | Self::ErrorGroup
            | Self::Version
            | Self::Node
            | Self::FailedNode
            | Self::Tag
            | Self::Text(_) => Kind::Text,
        }
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Number {
    fn kind(self) -> Kind {
        match self {
            Self::StartedAt | Self::CompletedAt | Self::UpdatedAt | Self::StaleAt => Kind::Date,
            Self::Duration => Kind::Span,
            Self::Cost => Kind::Dollars,
            Self::SizeBytes => Kind::Bytes,
            Self::Steps | Self::Retries | Self::Tokens | Self::InputTokens | Self::OutputTokens => {
                Kind::Count
            }
        }
    }
}

impl Kind {
    /// What compares values of this kind.
    #[must_use]
    pub fn operators(self) -> &'static [&'static str] {
        match self {
            Self::Text => &["=", "!=", "~", "!~"],
            Self::Flag => &["=", "!="],
            Self::Count | Self::Dollars | Self::Span | Self::Bytes | Self::Date => {
                &["=", "!=", "<", "<=", ">", ">="]
            }
        }
    }

    /// What a value of this kind looks like.
    #[must_use]
    pub fn expected(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Flag => "`true` or `false`",
            Self::Count => "a whole number",
            Self::Dollars => "an amount such as 0.5",
            Self::Span => "a span such as 500ms, 5s, 2m or 1.5h",
            Self::Bytes => "a size such as 2000, 64kB or 1.5MiB",
            Self::Date => {
                "a date such as 2025-10-15, 2025-10-15T07:00Z, -7d, now, today, yesterday or monday"
            }
        }
    }
}

impl Field {
    /// The words that are known to be values of it.
    pub fn words(self) -> Vec<&'static str> {
        match (self, self.kind()) {
            (Self::Status, _) => STATUSES.iter().map(Status::as_str).collect(),
            (_, Kind::Flag) => vec!["true", "false"],
            (_, Kind::Date) => date::words().map(|(word, _)| word).collect(),
            _ => Vec::new(),
        }
    }
}
