//! What a filter is evaluated on.

use super::field::{Number, Text};
use crate::model::{Fingerprint, Version};

/// A run, borrowed from wherever it is kept. No method is expected to allocate.
pub trait Subject {
    /// The status.
    fn status(&self) -> StatusText<'_>;

    /// A number, in the unit that [`Number`] says.
    fn number(&self, which: Number) -> Option<i64>;

    /// A text.
    fn text(&self, which: Text) -> Option<&str>;

    /// The error, as far as it is at hand.
    fn error(&self) -> ErrorText<'_>;

    /// The bytes of the error that are at hand, not looked at; none if that would not be quicker.
    fn error_bytes(&self) -> &[u8] {
        &[]
    }

    /// Which errors its own is like; none if it has none.
    fn error_group(&self) -> Option<Fingerprint>;

    /// The hash of the stored bytes.
    fn version(&self) -> Version;

    /// Whether `test` is true of the node of any step, or of any that `failed`; `None` if it is of none
    /// at hand, and there are more.
    fn any_node(&self, failed: bool, test: impl FnMut(&str) -> bool) -> Option<bool>;

    /// Whether `test` is true of any tag; a subject without annotations has none.
    fn any_tag(&self, _test: impl FnMut(&str) -> bool) -> bool {
        false
    }

    /// Whether it is pinned; a subject without annotations is not.
    fn pinned(&self) -> bool {
        false
    }

    /// What has been asked of its record already.
    fn asked(&self) -> Option<&RecordTests> {
        None
    }
}

/// A status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusText<'a> {
    /// There is none.
    Unknown,
    /// The one with this number in [`Status::KNOWN`](crate::model::Status::KNOWN).
    Known(u8),
    /// One that the engine does not write.
    Other(&'a str),
}

/// An error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorText<'a> {
    /// There is none.
    None,
    /// All of it.
    Whole(&'a str),
    /// Its beginning; it is longer.
    Cut(&'a str),
}

/// What a filter's tests of errors and of nodes say of a record: what takes long of asking it, and
/// needs nothing else of the run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTests(pub(super) Vec<bool>);

/// A subject together with what its record says, for those that were undecided without.
#[derive(Debug, Clone, Copy)]
pub struct WithRecord<'a, S> {
    /// The run.
    pub subject: &'a S,
    /// What the filter's tests say of its record.
    pub record: &'a RecordTests,
}

impl<S: Subject> Subject for WithRecord<'_, S> {
    fn status(&self) -> StatusText<'_> {
        self.subject.status()
    }

    fn number(&self, which: Number) -> Option<i64> {
        self.subject.number(which)
    }

    fn text(&self, which: Text) -> Option<&str> {
        self.subject.text(which)
    }

    fn error(&self) -> ErrorText<'_> {
        self.subject.error()
    }

    fn error_group(&self) -> Option<Fingerprint> {
        self.subject.error_group()
    }

    fn version(&self) -> Version {
        self.subject.version()
    }

    fn any_node(&self, failed: bool, test: impl FnMut(&str) -> bool) -> Option<bool> {
        self.subject.any_node(failed, test)
    }

    fn any_tag(&self, test: impl FnMut(&str) -> bool) -> bool {
        self.subject.any_tag(test)
    }

    fn pinned(&self) -> bool {
        self.subject.pinned()
    }

    fn asked(&self) -> Option<&RecordTests> {
        Some(self.record)
    }
}
