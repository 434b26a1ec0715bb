//! stub
mod dirty;
pub use dirty::{Dirty, Mark, Taken};
use crate::model::*;
pub enum Hint { Run(RunKey), Project(ProjectId), Root, Everything, Cookie(String) }
#[derive(Debug, Clone, Default)]
pub struct Health { pub backend: &'static str, pub folders: usize, pub overflows: u64, pub message: Option<String> }
impl Health { pub fn complete(&self) -> bool { true } }
pub trait Watcher: Send + Sync {
    fn follow_all(&self, projects: &[ProjectId]) -> Vec<ProjectId>;
    fn follow(&self, project: &ProjectId) -> bool;
    fn follow_root(&self) -> bool;
    fn health(&self) -> Health;
}
#[derive(Debug, thiserror::Error)] #[error("none")] pub struct WatchError;
pub struct NotifyWatcher;
impl NotifyWatcher { pub fn start(_root: &std::path::Path, _h: impl Fn(Hint)+Send+Sync+'static) -> Result<Self, WatchError> { Err(WatchError) } }
impl Watcher for NotifyWatcher {
    fn follow_all(&self, _: &[ProjectId]) -> Vec<ProjectId> { vec![] }
    fn follow(&self, _: &ProjectId) -> bool { false }
    fn follow_root(&self) -> bool { false }
    fn health(&self) -> Health { Health::default() }
}
