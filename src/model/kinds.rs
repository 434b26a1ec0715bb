//! How an enum of kinds is written down: a row a kind, and everything that is said of it in that row.

/// An enum whose kinds have a stable word on the wire, and one more thing each, named in its head.
///
/// A row is `Kind = "word", what else, "What it means.";`. What it means is the kind's documentation too,
/// here and in the documents that are printed. The order of the rows is that of the kinds and of `ALL`.
macro_rules! kinds {
    (
        $(#[$about:meta])*
        $Kinds:ident, $(#[$about_else:meta])* $else:ident: $Else:ty;
        $($Kind:ident = $word:literal, $value:expr, $meaning:literal;)+
    ) => {
        $(#[$about])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, schemars::JsonSchema,
        )]
        pub enum $Kinds {
            $(#[doc = $meaning] #[serde(rename = $word)] $Kind,)+
        }

        impl $Kinds {
            /// Every kind.
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$Kind),+];

            /// The stable word on the wire.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$Kind => $word,)+
                }
            }

            /// The kind that has this word.
            #[must_use]
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|kind| kind.word() == word)
            }

            /// When it is met.
            #[must_use]
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Self::$Kind => $meaning,)+
                }
            }

            $(#[$about_else])*
            #[must_use]
            pub fn $else(self) -> $Else {
                match self {
                    $(Self::$Kind => $value,)+
                }
            }
        }
    };
}

pub(crate) use kinds;
