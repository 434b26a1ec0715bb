//! Keeping what is measured on one core.
//!
//! How soon another core wakes up is the machine's affair, and changes from run to run: of a request
//! that takes 20 µs it would be the larger part.

/// Keeps a thread, and what it starts, on one core until it is dropped.
#[cfg(target_os = "linux")]
pub struct OneCore(rustix::thread::CpuSet);

/// Keeps this thread on the core that it is on.
#[cfg(target_os = "linux")]
pub fn take() -> Result<OneCore, crate::Failure> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
    let all = sched_getaffinity(None)?;
    let mut one = CpuSet::new();
    one.set(sched_getcpu());
    sched_setaffinity(None, &one)?;
    Ok(OneCore(all))
}

#[cfg(target_os = "linux")]
impl Drop for OneCore {
    fn drop(&mut self) {
        let _ = rustix::thread::sched_setaffinity(None, &self.0);
    }
}

/// Nothing: this system does not let itself be told.
#[cfg(not(target_os = "linux"))]
pub fn take() -> Result<(), crate::Failure> {
    Ok(())
}
