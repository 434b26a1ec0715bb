//! Which requests of a connection wait for which.
//!
//! Section 2 of the protocol: later reads wait for earlier mutations, mutations of one run keep
//! their order, others run at once. A request is told, when it arrives, whom to wait for; it says
//! that it is done by dropping its turn, however it ends.

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::table::Effect;
use crate::model::RunKey;

/// The mutations of a connection that are not done.
#[derive(Debug, Default)]
pub struct Order {
    pending: Vec<(Option<RunKey>, CancellationToken)>,
}

/// A request's place among the others.
#[derive(Debug, Default)]
pub struct Turn {
    before: Vec<CancellationToken>,
    done: Option<DropGuard>,
}

impl Order {
    /// The turn of a request with this effect, which for a change of one run is about `target`.
    pub fn turn(&mut self, effect: Effect, target: Option<RunKey>) -> Turn {
        self.pending.retain(|(_, done)| !done.is_cancelled());
        let before = match (effect, &target) {
            (Effect::None, _) => Vec::new(),
            // a change that does not say what it is about (and will be refused) waits for all
            (Effect::Read | Effect::ChangeMany, _) | (Effect::ChangeRun, None) => {
                self.pending.iter().map(|(_, done)| done.clone()).collect()
            }
            (Effect::ChangeRun, Some(target)) => self
                .pending
                .iter()
                .filter(|(other, _)| other.as_ref().is_none_or(|other| other == target))
                .map(|(_, done)| done.clone())
                .collect(),
        };
        let done = matches!(effect, Effect::ChangeRun | Effect::ChangeMany).then(|| {
            let done = CancellationToken::new();
            self.pending.push((target, done.clone()));
            done.drop_guard()
        });
        Turn { before, done }
    }
}

impl Turn {
    /// Returns when everything that must come before is done. What it gives is to be held until
    /// this one is.
    pub async fn come(self) -> Option<DropGuard> {
        for done in self.before {
            done.cancelled().await;
        }
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExecutionId, ProjectId};
    use futures_util::FutureExt;

    fn run(id: &str) -> Option<RunKey> {
        let project = ProjectId::parse("p").unwrap();
        Some(RunKey {
            project,
            execution: ExecutionId::parse(id).unwrap(),
        })
    }

    #[test]
    fn reads_wait_for_all_changes_and_changes_only_for_those_of_their_run() {
        let mut order = Order::default();
        let first = order
            .turn(Effect::ChangeRun, run("a"))
            .come()
            .now_or_never()
            .unwrap();
        let other = order
            .turn(Effect::ChangeRun, run("b"))
            .come()
            .now_or_never()
            .unwrap();
        let mut same = Box::pin(order.turn(Effect::ChangeRun, run("a")).come());
        let mut read = Box::pin(order.turn(Effect::Read, None).come());
        assert!(
            order
                .turn(Effect::None, None)
                .come()
                .now_or_never()
                .is_some()
        );
        assert!((&mut same).now_or_never().is_none());
        drop(first);
        let same = same.now_or_never().expect("its turn has come");
        assert!((&mut read).now_or_never().is_none());
        drop((same, other));
        assert!(read.now_or_never().is_some());
        assert!(
            order
                .turn(Effect::ChangeMany, None)
                .come()
                .now_or_never()
                .is_some()
        );
    }
}
