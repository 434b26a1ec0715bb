//! Bytes to messages and back: the two framings, stdio, the Unix socket (protocol section 2).
//!
//! What a message means is the session's business: nothing here looks inside a frame, and nothing
//! here decides when to answer or when to wait.

pub mod connection;
pub(crate) mod direct;
pub mod framing;
pub mod outgoing;
pub mod parent;
mod socket_lock;
pub mod socket_path;
pub mod stdio;
pub mod unix;

pub use crate::api::FRAME_LIMIT_BYTES;
pub use connection::serve;
pub use framing::{Decoder, Framing, FramingError, frames};
pub use outgoing::Outgoing;
pub use parent::{UnseenProcess, process_ended};
pub(crate) use socket_lock::lock_of;
pub use socket_path::{SocketEnv, SocketPath, SocketPathError};
pub use stdio::{Stdin, Stdout};
pub use unix::{BindError, Listener, Retired};
pub(crate) use unix::{connect, cut_off, find_socket};
