//! `server/…`: the daemon itself.

pub mod problems;
pub mod status;
