//! runlog: run history of AI-agent workflows as a language-server-style daemon.
//!
//! One binary, this library, one way through. The rooms, from the ground up; each uses only those
//! above it in this table, and an arrow the other way is a defect:
//!
//! | room | what it does | stands on |
//! |---|---|---|
//! | [`model`] | plain data: ids, versions, money, times, summaries; JSON as text, never as a tree | nothing of ours |
//! | [`store`] | the files: tolerant reading, atomic writing, deleting, sweeping | model |
//! | [`filter`] | the language of `where`: read, printed, completed, evaluated on whatever can be a subject | model |
//! | [`index`] | what is known, in memory: rows, orders, totals, the clock, changes, pages | model, filter |
//! | [`watch`] | hints that something may have changed | model |
//! | [`history`] | where files, index and hints meet; every change passes through here | model, store, filter, index, watch |
//! | [`search`] | full text: which runs say what is looked for; follows the history as a subscription does | model, store (the cache's folder), index, history |
//! | [`api`] | the method table: one file a method, errors, the documents printed from it | model, store (its errors), filter, index, history, search |
//! | [`session`] | one connection: order, cancelling, subscriptions, back-pressure | model, history, api |
//! | [`transport`] | bytes to messages and back: framing, stdio, the Unix socket | model, store (a root's name), history, api, session |
//! | [`forward`] | a client's messages carried to a daemon that others share | model, api, session, transport |
//! | [`cli`] | the commands that a person types | all |
//!
//! A **request** goes down from transport to index (or to the store, for whole records) and back.
//! A **file that somebody changed** comes as a hint, is read by history under its path's lock, and
//! becomes a change in the index with the next tick; every subscription reads the changes after
//! its own tick. A **save by a client** is written by the store and applied under the same lock; the
//! hint that follows compares equal and tells nothing. **Updates of one run** queue in history and
//! share writes. A **filter** that no order answers is asked of every row, in parts, on a thread of
//! its own.
//!
//! What always holds, and the test that tries to break it:
//!
//! - Events are hints, files are truth: whatever is lost, doubled or out of order, the index
//!   converges to what a fresh scan would give (`history::tests`).
//! - What events do not tell of is polled, that and nothing else, at most a tenth of the time
//!   (`tests/polling.rs`).
//! - A list touches the disk only for what a filter asks of a record and the index does not keep (the
//!   rest of an error, the nodes of too many steps), and no lock is held across an await.
//! - Orders, totals and counts are maintained, not searched for (`index::tests`, against brute force).
//! - Changes are told from the index by tick, not queued per client: a client costs the same
//!   memory however slowly it reads (`tests/overload.rs`).
//! - What a filter selects is true at the answer's clock, whatever changes while rows are looked at
//!   (`index::tests`).
//! - So is what is summed up over the steps of those runs, and how their errors are grouped; what
//!   is kept of one run's steps is bounded, whatever its record holds (`index::tests`,
//!   `model::steps`).
//! - Of a run that many record at once nothing is lost or counted twice, whoever is killed
//!   (`tests/recording.rs`).
//! - Whoever shares a daemon gets one answer to each request and misses no change, however often
//!   it is killed (`tests/shared.rs`).
//! - A piece of a record costs memory for the piece, however large the record (`tests/pieces.rs`).
//! - What is deleted is in exactly one place, its own or the trash, whoever is killed when; files,
//!   trash and index are what a plain model says (`store::tests::trash`, `history::trash::tests`).
//! - Of many that are to be deleted just those go that are still as they were when they were chosen
//!   (`history::trash::tests`).
//! - Every command is a client of the protocol: what it prints is the same from a daemon and without
//!   one, and nothing of a record acts on its reader's terminal (`tests/cli/`).
//! - What is noted on a run lies beside its file, never in it, follows it into the trash and back, and
//!   is told like any other change (`history::trash::tests`, `store::tests::trash`).
//! - A file that is exported is whole or not there, and gone once its export is taken back
//!   (`store::target`, `tests/export.rs`).
//! - Bad data is a finding in `server/problems`, never a failure (`store::tests::reading`).
//! - No input allocates what it claims, and every queue is bounded in bytes (`transport::framing`).

pub mod api;
pub mod cli;
pub mod filter;
pub mod forward;
pub mod history;
pub mod index;
pub mod model;
pub mod search;
pub mod session;
pub mod store;
pub mod transport;
pub mod watch;
