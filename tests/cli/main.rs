//! The commands that a person types: what they print, where, and what they leave behind.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a failed step is a failed test

mod completing;
mod deleting;
mod diagnosing;
mod following;
mod hostile;
mod printing;
mod readme;
mod stage;
#[path = "../support/mod.rs"]
mod support;
