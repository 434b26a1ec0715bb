//! The names of what lies below the root: `{root}/{project}/executions/{execution}.json`, and what is
//! ours beside the runs. Names only: the files are the store's, the hints of their changes the watcher's.

/// The folder in a project that holds its runs.
pub const EXECUTIONS: &str = "executions";
/// What a run's file name adds to its id.
pub const SUFFIX: &str = ".json";
/// The folder of ours in a project's, where people's notes on its runs lie.
pub const OWN: &str = ".runlog";
/// The trash in that.
pub const TRASH: &str = "trash";
/// How the names of our cookies in the root begin.
pub const COOKIE: &str = ".runlog-cookie-";
