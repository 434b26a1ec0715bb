//! What people note on a run: a pin, tags, a note.
//!
//! It is kept beside the record, never in it. Plain data: read from the text of a small file of
//! ours, and turned into one. Whatever somebody else wrote there is read as far as it makes sense,
//! so that a hand or a merge may edit it.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// How many tags a run may have.
pub const TAGS_MAX: usize = 32;
/// How many characters a tag may have.
pub const TAG_MAX_CHARS: usize = 64;
/// How many characters a note may have.
pub const NOTE_MAX_CHARS: usize = 2000;

/// A pin, tags and a note; each may be missing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Annotation {
    /// Whether the run is pinned.
    #[serde(skip_serializing_if = "is_false")]
    pub pinned: bool,
    /// In the order of their bytes, each once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What somebody wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's skip_serializing_if passes references
fn is_false(flag: &bool) -> bool {
    !flag
}

/// How an annotation is to be changed; what is `None` or empty stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AnnotationChange {
    /// Whether the run is pinned from now on.
    pub pinned: Option<bool>,
    /// All tags from now on; before the others are added and removed.
    pub tags: Option<Vec<String>>,
    /// Tags that it has from now on.
    pub add_tags: Vec<String>,
    /// Tags that it has no more.
    pub remove_tags: Vec<String>,
    /// The note from now on; none if it is empty.
    pub note: Option<String>,
}

/// Why an annotation is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnnotationError {
    /// A tag is empty, too long, begins or ends with a space, or holds control characters.
    #[error(
        "a tag has 1 to {TAG_MAX_CHARS} characters, none of them a control character, and neither \
         begins nor ends with a space"
    )]
    Tag,
    /// There would be too many tags.
    #[error("a run has at most {TAGS_MAX} tags")]
    Tags,
    /// The note is too long.
    #[error("a note has at most {NOTE_MAX_CHARS} characters")]
    Note,
}

fn is_tag(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= TAG_MAX_CHARS
        && !text.chars().any(char::is_control)
}

fn is_note(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= NOTE_MAX_CHARS
}

impl Annotation {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a sidecar's text says; `None` if it is no JSON object of its kind, or says what could not have
    /// been given, which the next change would lose.
    #[must_use]
    pub fn read(text: &[u8]) -> Option<Self> {
        // serde would take an array for the members in their order
        if !text.trim_ascii_start().starts_with(b"{") {
            return None;
        }
        let mut found: Self = serde_json::from_slice(text).ok()?;
        found.tags.retain(|tag| !tag.is_empty());
        found.tags.sort_unstable();
        found.tags.dedup();
        found.note = found.note.filter(|note| !note.is_empty());
        let fits = found.tags.len() <= TAGS_MAX
            && found.tags.iter().all(|tag| is_tag(tag))
            && found.note.as_deref().is_none_or(is_note);
        fits.then_some(found)
    }

    /// The text of a sidecar that says it.
    ///
    /// # Errors
    /// A defect.
    pub fn text(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// What it is after `change`.
    ///
    /// # Errors
    /// Any [`AnnotationError`].
    pub fn changed(&self, change: &AnnotationChange) -> Result<Self, AnnotationError> {
        let given = change.tags.iter().flatten().chain(&change.add_tags);
        if !given.clone().all(|tag| is_tag(tag)) {
            return Err(AnnotationError::Tag);
        }
        let mut tags = change.tags.clone().unwrap_or_else(|| self.tags.clone());
        tags.extend(change.add_tags.iter().cloned());
        let removed: HashSet<&String> = change.remove_tags.iter().collect();
        tags.retain(|tag| !removed.contains(tag));
        tags.sort_unstable();
        tags.dedup();
        if tags.len() > TAGS_MAX {
            return Err(AnnotationError::Tags);
        }
        let note = match &change.note {
            None => self.note.clone(),
            Some(note) if note.is_empty() => None,
            Some(note) if is_note(note) => Some(note.clone()),
            Some(_) => return Err(AnnotationError::Note),
        };
        Ok(Self {
            pinned: change.pinned.unwrap_or(self.pinned),
            tags,
            note,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change(json: serde_json::Value) -> AnnotationChange {
        let texts = |name: &str| -> Option<Vec<String>> {
            serde_json::from_value(json.get(name)?.clone()).ok()
        };
        AnnotationChange {
            pinned: json["pinned"].as_bool(),
            tags: texts("tags"),
            add_tags: texts("add").unwrap_or_default(),
            remove_tags: texts("remove").unwrap_or_default(),
            note: json["note"].as_str().map(str::to_owned),
        }
    }

    #[test]
    fn a_change_changes_what_it_names() {
        let step = |before: &Annotation, json| before.changed(&change(json)).unwrap();
        let none = Annotation::default();
        let one = step(
            &none,
            serde_json::json!({ "pinned": true, "add": ["b", "a", "b"], "note": "x" }),
        );
        assert_eq!(one.tags, ["a", "b"]);
        assert_eq!(one.note.as_deref(), Some("x"));
        let two = step(&one, serde_json::json!({ "remove": ["a", "z"] }));
        assert_eq!(
            (two.tags.as_slice(), two.pinned),
            (&["b".to_owned()][..], true)
        );
        let three = step(
            &two,
            serde_json::json!({ "tags": [], "pinned": false, "note": "" }),
        );
        assert!(three.is_empty());
    }

    #[test]
    fn what_no_tag_or_note_can_be_is_refused() {
        let refused = |json| Annotation::default().changed(&change(json)).unwrap_err();
        for tag in ["", " a", "a ", "a\nb", "\u{7f}", &"x".repeat(65)] {
            assert_eq!(
                refused(serde_json::json!({ "add": [tag] })),
                AnnotationError::Tag
            );
        }
        let many: Vec<String> = (0..33).map(|n| n.to_string()).collect();
        assert_eq!(
            refused(serde_json::json!({ "tags": many })),
            AnnotationError::Tags
        );
        let long = "é".repeat(2001);
        assert_eq!(
            refused(serde_json::json!({ "note": long })),
            AnnotationError::Note
        );
    }

    #[test]
    fn a_sidecar_that_others_wrote_is_read_as_far_as_it_makes_sense() {
        let read = |text: &str| Annotation::read(text.as_bytes());
        assert_eq!(read("{}"), Some(Annotation::default()));
        assert_eq!(read(""), None);
        for array in ["[1]", "[]", r#"[true, ["tt"], "note"]"#] {
            assert_eq!(read(array), None);
        }
        assert_eq!(read("<<<<<<< HEAD"), None);
        let found = read(r#"{ "tags": ["b", "", "a", "b"], "note": "", "later": 1 }"#).unwrap();
        assert_eq!(found.tags, ["a", "b"]);
        assert_eq!(found.note, None);
        for lost in [
            format!(r#"{{ "note": "{}" }}"#, "x".repeat(NOTE_MAX_CHARS + 1)),
            format!(
                r#"{{ "pinned": true, "tags": ["{}"] }}"#,
                "x".repeat(TAG_MAX_CHARS + 1)
            ),
        ] {
            assert_eq!(read(&lost), None, "the next change would lose it");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            pinned: bool,
            tags in prop::collection::btree_set("\\PC{1,10}", 0..5),
            note in prop::option::of("\\PC{1,50}"),
        ) {
            let tags = tags.into_iter().filter(|tag| is_tag(tag)).collect();
            let annotation = Annotation { pinned, tags, note };
            prop_assert_eq!(Annotation::read(&annotation.text().unwrap()), Some(annotation));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Annotation::read(&bytes);
        }
    }
}
