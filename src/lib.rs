//! runlog: run history of AI-agent workflows as a language-server-style daemon.

pub mod api;
pub mod cli;
pub mod history;
pub mod index;
pub mod model;
pub mod session;
pub mod store;
pub mod transport;
pub mod watch;
