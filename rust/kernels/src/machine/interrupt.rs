//! Ending a call early, at the caller's wish.
//!
//! The caller says how to ask ([`asking`]), and kernels ask between pieces of some milliseconds ([`check`]). An
//! interrupted call is an error, and its output is unusable. Where a piece of work must not be cut short, such as the
//! update of parameters, nobody asks ([`whole`]).
//!
//! Only the caller's own thread asks; the threads that work for it learn of the error. Cost: two looks at the clock a
//! millisecond.

use crate::KernelError;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often to ask: each time takes a few microseconds.
const EVERY: Duration = Duration::from_millis(5);

/// How to ask whether to stop.
#[derive(Clone, Copy)]
struct Ask {
    ask: fn() -> bool,
    every: Duration,
    next: Instant,
}

thread_local! {
    static ASK: Cell<Option<Ask>> = const { Cell::new(None) };
}

/// Run `work`, which kernels may end early if `ask` says so.
pub fn asking<R>(ask: fn() -> bool, work: impl FnOnce() -> R) -> R {
    with(Some(Ask { ask, every: EVERY, next: Instant::now() + EVERY }), work)
}

/// Run `work` without asking.
pub(crate) fn whole<R>(work: impl FnOnce() -> R) -> R {
    with(None, work)
}

fn with<R>(ask: Option<Ask>, work: impl FnOnce() -> R) -> R {
    /// Restores the previous state, even if `work` panics.
    struct Before(Option<Ask>);

    impl Drop for Before {
        fn drop(&mut self) {
            ASK.set(self.0);
        }
    }

    let _before = Before(ASK.replace(ask));
    work()
}

/// `Ok` if the work should go on.
///
/// # Errors
///
/// [`KernelError::Interrupted`].
pub(crate) fn check() -> Result<(), KernelError> {
    let Some(Ask { ask, every, next }) = ASK.get() else { return Ok(()) };
    if Instant::now() < next {
        return Ok(());
    }
    if ask() {
        return Err(KernelError::Interrupted);
    }
    ASK.set(Some(Ask { ask, every, next: Instant::now() + every }));
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Run `work`, asking at every chance and answering the n-th question, counted from 0, with yes; also returns how
    /// often it was asked.
    pub(crate) fn ended_at<R>(n: usize, work: impl FnOnce() -> R) -> (R, usize) {
        thread_local! {
            static LEFT: Cell<usize> = const { Cell::new(0) };
            static ASKED: Cell<usize> = const { Cell::new(0) };
        }
        LEFT.set(n);
        ASKED.set(0);
        let ask = || {
            ASKED.set(ASKED.get() + 1);
            LEFT.replace(LEFT.get().saturating_sub(1)) == 0
        };
        (with(Some(Ask { ask, every: Duration::ZERO, next: Instant::now() }), work), ASKED.get())
    }

    #[test]
    fn who_is_not_asked_is_not_ended() {
        static TIMES: AtomicUsize = AtomicUsize::new(0);
        fn ask() -> bool {
            TIMES.fetch_add(1, Relaxed) == 1
        }
        assert_eq!(check(), Ok(()));
        asking(ask, || {
            let started = Instant::now();
            while started.elapsed() < 3 * EVERY {
                whole(|| assert_eq!(check(), Ok(())));
            }
            assert_eq!(TIMES.load(Relaxed), 0);
            assert_eq!(check(), Ok(()), "the first answer is to go on");
            assert_eq!(TIMES.load(Relaxed), 1);
            std::thread::sleep(EVERY);
            assert_eq!(check(), Err(KernelError::Interrupted));
            std::thread::scope(|scope| scope.spawn(|| assert_eq!(check(), Ok(()))).join()).unwrap();
        });
        assert_eq!((check(), TIMES.load(Relaxed)), (Ok(()), 2));
    }
}
