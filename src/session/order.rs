//! Which requests of a connection wait for which.
//!
//! Section 2 of the protocol: later reads wait for earlier mutations, mutations of one run keep
//! their order, others run at once; updates of one run are handed on in order and wait together.
//! A request is told, when it arrives, whom to wait for; it says
//! that it is done by dropping its turn, however it ends.

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::api::table::Effect;
use crate::model::RunKey;

/// What a request changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This run.
    Run(RunKey),
    /// A run that nobody knows yet.
    New,
    /// It does not say, and may be anything.
    Unknown,
}

impl Target {
    /// A run, if it is known which.
    pub fn of(run: Option<RunKey>) -> Self {
        run.map_or(Self::Unknown, Self::Run)
    }
}

/// A mutation that is not done.
#[derive(Debug)]
struct Pending {
    target: Target,
    effect: Effect,
    begun: CancellationToken,
    done: CancellationToken,
}

/// The mutations of a connection that are not done.
#[derive(Debug, Default)]
pub struct Order {
    pending: Vec<Pending>,
}

/// A request's place among the others.
#[derive(Debug, Default)]
pub struct Turn {
    before: Vec<CancellationToken>,
    held: Held,
}

/// What holds up those that come after; they go on when it is dropped.
#[derive(Debug, Default)]
pub struct Held {
    begun: Option<DropGuard>,
    done: Option<DropGuard>,
}

impl Order {
    /// The turn of a request with this effect, which for a change of one run is about `target`.
    pub fn turn(&mut self, effect: Effect, target: Target) -> Turn {
        self.pending.retain(|pending| !pending.done.is_cancelled());
        let before = match effect {
            Effect::None => Vec::new(),
            Effect::Read | Effect::ChangeMany => self.before(|_| true),
            Effect::ChangeRun | Effect::UpdateRun => match &target {
                // it will be refused
                Target::Unknown => self.before(|_| true),
                Target::New => self.before(|other| other.effect == Effect::ChangeMany),
                Target::Run(_) => self.before(|other| {
                    other.target == target
                        || other.target == Target::Unknown
                        || other.effect == Effect::ChangeMany
                }),
            },
        };
        let joins =
            |pending: &Pending| effect == Effect::UpdateRun && pending.effect == Effect::UpdateRun;
        let before = before
            .into_iter()
            .map(|pending| {
                let token = if joins(pending) {
                    &pending.begun
                } else {
                    &pending.done
                };
                token.clone()
            })
            .collect();
        let mut held = Held::default();
        if effect.is_change() {
            let (begun, done) = (CancellationToken::new(), CancellationToken::new());
            self.pending.push(Pending {
                target,
                effect,
                begun: begun.clone(),
                done: done.clone(),
            });
            held.begun = Some(begun.drop_guard());
            held.done = Some(done.drop_guard());
        }
        Turn { before, held }
    }

    fn before(&self, comes: impl Fn(&Pending) -> bool) -> Vec<&Pending> {
        self.pending.iter().filter(|other| comes(other)).collect()
    }
}

impl Turn {
    /// Returns when everything that must come before is done, or, for an update of a run, is
    /// queued if that is an update too. What it gives is to be held until this one is done.
    pub async fn come(self) -> Held {
        for done in self.before {
            done.cancelled().await;
        }
        self.held
    }
}

impl Held {
    /// This one is in its place: what joins it may come.
    pub fn begun(&mut self) {
        self.begun = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ExecutionId, ProjectId};
    use futures_util::FutureExt;

    fn run(id: &str) -> Target {
        let project = ProjectId::parse("p").unwrap();
        Target::Run(RunKey {
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
        let mut read = Box::pin(order.turn(Effect::Read, Target::Unknown).come());
        assert!(
            order
                .turn(Effect::None, Target::Unknown)
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
                .turn(Effect::ChangeMany, Target::Unknown)
                .come()
                .now_or_never()
                .is_some()
        );
    }

    #[test]
    fn updates_wait_for_each_other_only_to_be_queued() {
        let mut order = Order::default();
        let come = |turn: Turn| Box::pin(turn.come());
        let save = come(order.turn(Effect::ChangeRun, run("a"))).now_or_never();
        let mut first = come(order.turn(Effect::UpdateRun, run("a")));
        let mut second = come(order.turn(Effect::UpdateRun, run("a")));
        let mut last = come(order.turn(Effect::ChangeRun, run("a")));
        assert!((&mut first).now_or_never().is_none());
        drop(save);
        assert!((&mut second).now_or_never().is_none());
        let mut first = first.now_or_never().expect("the save is done");
        assert!((&mut second).now_or_never().is_none());
        first.begun();
        let second = second.now_or_never().expect("the first is queued");
        assert!((&mut last).now_or_never().is_none());
        drop(first);
        assert!((&mut last).now_or_never().is_none());
        drop(second);
        assert!(last.now_or_never().is_some());
    }

    #[test]
    fn a_run_that_nobody_knows_yet_waits_for_no_other() {
        let mut order = Order::default();
        let _held = order
            .turn(Effect::ChangeRun, run("a"))
            .come()
            .now_or_never();
        let new = order.turn(Effect::ChangeRun, Target::New);
        assert!(new.come().now_or_never().is_some());
    }
}
