//! Refusing changes of folders: any of them, or from one of them on all, as after a kill; and refusing to
//! open what is to be read, or doing something just before.

use std::cell::{Cell, RefCell};

use rustix::io::Errno;

pub(crate) use crate::store::layout::Step;

/// What is refused in this thread.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Changes of another kind are none of it.
    only: Option<Step>,
    /// How many go through before.
    left: u32,
    errno: Errno,
    /// Whether all others after it are refused as well.
    for_good: bool,
    met: bool,
}

/// How many more records are opened before it, and what happens then.
type Happens = (u32, Box<dyn FnOnce()>);

thread_local! {
    static PLAN: Cell<Option<Plan>> = const { Cell::new(None) };
    /// What happens in this thread.
    static HAPPENS: RefCell<Option<Happens>> = const { RefCell::new(None) };
}

/// What comes before each change.
pub(crate) fn step(step: Step) -> Result<(), Errno> {
    if step == Step::Open {
        let happens = HAPPENS.with_borrow_mut(|planned| match planned {
            Some((left @ 1.., _)) => {
                *left -= 1;
                None
            }
            _ => planned.take(),
        });
        if let Some((_, happens)) = happens {
            happens();
        }
    }
    let Some(mut plan) = PLAN.get() else {
        return Ok(());
    };
    // what is no change is refused only where it is named
    let is_look = matches!(step, Step::Open | Step::List);
    if plan.only.map_or(is_look, |only| only != step) {
        return Ok(());
    }
    let refused = plan.left == 0 && (plan.for_good || !plan.met);
    plan.met |= refused;
    plan.left = plan.left.saturating_sub(1);
    PLAN.set(Some(plan));
    if refused { Err(plan.errno) } else { Ok(()) }
}

fn with<T>(plan: Plan, work: impl FnOnce() -> T) -> (T, bool) {
    PLAN.set(Some(plan));
    let done = work();
    let plan = PLAN.take().unwrap();
    (done, plan.met)
}

/// What `work` gives if the change of this kind with this number, from 0 on, is refused; and whether
/// it came to that.
pub(crate) fn refusing<T>(
    (only, number): (Step, u32),
    errno: Errno,
    work: impl FnOnce() -> T,
) -> (T, bool) {
    let plan = Plan {
        only: Some(only),
        left: number,
        errno,
        for_good: false,
        met: false,
    };
    with(plan, work)
}

/// What `work` gives if no record can be opened.
pub(crate) fn refusing_to_open<T>(errno: Errno, work: impl FnOnce() -> T) -> T {
    let plan = Plan {
        only: Some(Step::Open),
        left: 0,
        errno,
        for_good: true,
        met: false,
    };
    with(plan, work).0
}

/// Does `work`, and lets something happen in it before the record with this number, from 0 on, is opened.
pub(crate) fn before_opening(number: u32, happens: impl FnOnce() + 'static, work: impl FnOnce()) {
    HAPPENS.set(Some((number, Box::new(happens))));
    work();
    assert!(HAPPENS.take().is_none(), "it did not come to that");
}

/// Does `work` as far as a process comes that is killed before the change with this number, from 0
/// on; whether it was.
pub(crate) fn killed_before(number: u32, work: impl FnOnce()) -> bool {
    let plan = Plan {
        only: None,
        left: number,
        errno: Errno::IO,
        for_good: true,
        met: false,
    };
    with(plan, work).1
}
