//! Threads for large work: a pool of our own, created at first use, and one extra thread for work beside the caller's.
//!
//! The pool belongs to the process that created it. A forked child has the parent's memory but not its threads. So a
//! pool with another process id is left alone (never joined, never freed), and the next place is used; a library-wide
//! pool would hang there.
//!
//! Work is divided by its *output*, or into partial sums that are the same at any number of threads: the number of
//! threads changes no bit of any result.
//!
//! Cost: a sleeping thread takes some 50 µs to wake on a virtual machine. So the caller's thread works too, which saves
//! one wake-up, and at the end it spins for a while until the others are done. Two threads then do 80 µs of work in
//! some 60; with the caller asleep until both were done it was 120.

use crate::machine::interrupt;
use crate::KernelError;
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{Builder, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// How long a thread spins for others: beyond that, sleeping is worth the wake-up.
const PATIENCE: Duration = Duration::from_micros(200);

struct Pool {
    process: u32,
    /// `None` if its threads could not be started: then everything runs on the caller's thread.
    threads: Option<rayon::ThreadPool>,
}

/// One place per generation of forks. Children of children of children that all compute are rare; beyond these places
/// they run serially.
static POOLS: [OnceLock<Pool>; 8] = [const { OnceLock::new() }; 8];

/// Whether the system has refused a thread, and this has not been reported.
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Whether the system has refused a thread since the last call; its work was then done on the caller's thread.
pub fn were_refused() -> bool {
    REFUSED.load(Ordering::Relaxed) && REFUSED.swap(false, Ordering::Relaxed)
}

/// The thread, or `None` if the system refused it.
fn started<T, E>(thread: Result<T, E>) -> Option<T> {
    if thread.is_err() {
        REFUSED.store(true, Ordering::Relaxed);
    }
    thread.ok()
}

/// The number of threads that large work is divided among: the CPUs this process may use, by its affinity and its
/// cgroup's quota, or `CHAINRULE_NUM_THREADS` if that is less. One if [`check`] fails.
///
/// `CHAINRULE_CPUS` overrides the number of CPUs, so that tests can use more threads than this machine has.
pub fn count() -> usize {
    *found().as_ref().unwrap_or(&1)
}

/// `Ok` if the environment variables for threads are unset or whole numbers.
///
/// # Errors
///
/// [`KernelError::Threads`].
pub fn check() -> Result<(), KernelError> {
    found().as_ref().map(|_| ()).map_err(Clone::clone)
}

fn found() -> &'static Result<usize, KernelError> {
    static FOUND: OnceLock<Result<usize, KernelError>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let asked = |name| std::env::var(name).map_or(Ok(None), |text| whole(name, &text));
        let there = || std::thread::available_parallelism().map_or(1, usize::from);
        let cpus = asked("CHAINRULE_CPUS")?.unwrap_or_else(there);
        Ok(asked("CHAINRULE_NUM_THREADS")?.map_or(cpus, |asked| asked.min(cpus)))
    })
}

/// The number in a variable; `None` if it is empty, as if it were not set.
fn whole(name: &'static str, text: &str) -> Result<Option<usize>, KernelError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.parse().ok().filter(|&number| number > 0);
    number.map(Some).ok_or_else(|| KernelError::Threads { name, got: text.to_owned() })
}

thread_local! {
    static MOST: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Limit work on this thread to at most `most` threads; returns the previous limit.
pub fn limit(most: usize) -> usize {
    MOST.replace(most.max(1))
}

/// How many threads work on this thread may be divided among.
pub fn allowed() -> usize {
    count().min(MOST.get())
}

/// Run `work`, divided among at most `most` threads.
fn within<R>(most: usize, work: impl FnOnce() -> R) -> R {
    /// Restores the previous limit, even if `work` panics.
    struct Before(usize);

    impl Drop for Before {
        fn drop(&mut self) {
            MOST.set(self.0);
        }
    }

    let _before = Before(limit(most));
    work()
}

/// Run `work` on the caller's thread only: for work that runs beside other work on another thread.
pub(crate) fn alone<R>(work: impl FnOnce() -> R) -> R {
    within(1, work)
}

/// Run `work` on each item, on up to [`count`] threads, or on the caller's alone with one item or one thread.
/// `workspace` makes memory to work in, once per thread, which is reused from item to item.
pub fn each_with<I: Send, R>(
    items: impl IntoIterator<Item = I, IntoIter: ExactSizeIterator + Send>,
    workspace: impl Fn() -> R + Sync + Send,
    work: impl Fn(&mut R, I) + Sync + Send,
) {
    let items = items.into_iter();
    let threads = allowed().min(items.len());
    let items = Mutex::new(items);
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let until_none_is_left = || {
        if let Some(first) = next() {
            let mut workspace = workspace();
            std::iter::once(first).chain(std::iter::from_fn(next)).for_each(|item| work(&mut workspace, item));
        }
    };
    let Some(pool) = pool().filter(|_| threads > 1) else { return until_none_is_left() };
    // Each gets its share of the threads for work that divides itself further: with all threads busy, it would wait for
    // one that is not free.
    let share = allowed() / threads;
    let work = || within(share, until_none_is_left);
    let others = AtomicUsize::new(threads - 1);
    pool.in_place_scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| {
                work();
                others.fetch_sub(1, Ordering::Relaxed);
            });
        }
        work();
        stay_awake(|| others.load(Ordering::Relaxed) == 0);
        // Only the end of the scope guarantees that the results are complete.
    });
}

/// The same for work that may fail and that the caller may [interrupt]: returns an error, if there was one, and skips
/// the items not yet started.
///
/// # Errors
///
/// Those of `work`, and [`KernelError::Interrupted`].
pub fn try_each_with<I: Send, R>(
    items: impl IntoIterator<Item = I, IntoIter: ExactSizeIterator + Send>,
    workspace: impl Fn() -> R + Sync + Send,
    work: impl Fn(&mut R, I) -> Result<(), KernelError> + Sync + Send,
) -> Result<(), KernelError> {
    let (failed, any) = (Mutex::new(None), AtomicBool::new(false));
    each_with(items, workspace, |workspace, item| {
        if any.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = interrupt::check().and_then(|()| work(workspace, item)) {
            any.store(true, Ordering::Relaxed);
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// Whether work on this thread is not divided further.
pub(crate) fn is_alone() -> bool {
    allowed() == 1
}

/// Run `here` on this thread and `there` on one of its own, neither divided further. `there` may start late: `here`
/// must not wait for that. Only `here` runs if this thread [is alone](is_alone), if another `both` is running in this
/// process, whose threads would compete for the CPUs with these, or if no thread can be started.
///
/// Why no thread of the pool: `there` may wait for `here`, and would block the thread for others meanwhile. Cost: 30 µs
/// for the thread.
pub(crate) fn both<R>(here: impl FnOnce() -> R, there: impl FnOnce() + Send) -> R {
    let Some(_taken) = Taken::new() else {
        drop(there); // so that nobody waits for a message from it
        return here();
    };
    std::thread::scope(|scope| {
        let other = started(Builder::new().spawn_scoped(scope, || alone(there)));
        let result = alone(here);
        if let Some(Err(panic)) = other.map(ScopedJoinHandle::join) {
            std::panic::resume_unwind(panic);
        }
        result
    })
}

/// The process that is running `both`. A child forked meanwhile inherits the number, but not the thread.
static TAKEN_BY: AtomicU32 = AtomicU32::new(0);

/// Guard: no other `both` runs in this process until it is dropped.
struct Taken;

impl Taken {
    fn new() -> Option<Self> {
        let process = std::process::id();
        let take =
            || TAKEN_BY.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |by| (by != process).then_some(process));
        // Made only if the place was taken, since dropping it gives the place back.
        (!is_alone() && take().is_ok()).then(|| Self)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        TAKEN_BY.store(0, Ordering::Relaxed);
    }
}

/// Receive a message from another thread, or `None` if no more can come. Spins for a while before it sleeps.
pub(crate) fn receive<M>(from: &Receiver<M>) -> Option<M> {
    let mut found = Err(TryRecvError::Empty);
    stay_awake(|| {
        found = from.try_recv();
        !matches!(found, Err(TryRecvError::Empty))
    });
    match found {
        Err(TryRecvError::Empty) => from.recv().ok(),
        found => found.ok(),
    }
}

/// Spin until `happened` returns true, or until spinning is no longer worth it.
fn stay_awake(mut happened: impl FnMut() -> bool) {
    // Reading the clock and yielding take longer than an answer that comes at once.
    const LOOKS: usize = 100;
    if (0..LOOKS).any(|_| {
        happened() || {
            std::hint::spin_loop();
            false
        }
    }) {
        return;
    }
    let end = Instant::now() + PATIENCE;
    while !happened() && Instant::now() < end {
        std::thread::yield_now(); // with more threads than CPUs, to one that has work
    }
}

/// This process's pool: one thread fewer than [`count`], for the caller's.
fn pool() -> Option<&'static rayon::ThreadPool> {
    if count() == 1 {
        return None;
    }
    let process = std::process::id();
    let mine = |place: &'static OnceLock<Pool>| place.get().filter(|pool| pool.process == process);
    let made = POOLS.iter().find_map(mine).or_else(|| {
        let free = POOLS.iter().find(|place| place.get().is_none())?;
        let threads = started(rayon::ThreadPoolBuilder::new().num_threads(count() - 1).build());
        // If another thread was faster, its pool stays and this one ends.
        let _ = free.set(Pool { process, threads });
        mine(free)
    });
    made?.threads.as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn each<I: Send>(items: Vec<I>, work: impl Fn(I) + Sync + Send) {
        each_with(items, || (), |(), item| work(item));
    }

    #[test]
    fn every_item_is_worked_on_once() {
        let mut squares = vec![0usize; 1000];
        each(squares.iter_mut().enumerate().collect(), |(i, square)| *square += i * i);
        assert!(squares.iter().enumerate().all(|(i, &square)| square == i * i));
    }

    /// Retries until something happens that other tests can prevent at times.
    fn sooner_or_later(mut happens: impl FnMut() -> bool) -> bool {
        (0..1000).any(|_| {
            happens() || {
                std::thread::sleep(Duration::from_millis(1));
                false
            }
        })
    }

    #[test]
    fn both_are_at_work_at_once_and_neither_is_divided() {
        let happened = sooner_or_later(|| {
            let (to_other, from_one) = std::sync::mpsc::sync_channel(1);
            let (to_one, from_other) = std::sync::mpsc::sync_channel(1);
            // Each waits for the other's message. Without the other, its end of the channel is closed.
            both(
                || {
                    let _ = to_other.send(is_alone());
                    receive(&from_other)
                },
                move || to_one.send(receive(&from_one).unwrap() && is_alone()).unwrap(),
            ) == Some(true)
        });
        assert_eq!(happened, count() > 1);
        assert_eq!(is_alone(), count() == 1);
    }

    #[test]
    fn alone_and_beside_another_both_the_first_is_done_only() {
        let forbidden = || panic!("not to be run");
        assert_eq!(alone(|| both(|| 7, forbidden)), 7);
        let happened = sooner_or_later(|| {
            let (to_one, from_other) = std::sync::mpsc::sync_channel(1);
            let elsewhere = || std::thread::scope(|scope| scope.spawn(|| both(|| 7, forbidden)).join().unwrap());
            // Twice: a refused call must not give the place back.
            let nested = || elsewhere().min(elsewhere());
            both(|| receive(&from_other) == Some(7), move || to_one.send(nested()).unwrap())
        });
        assert_eq!(happened, count() > 1);
    }

    #[test]
    fn a_panic_of_either_ends_both_and_another_both_works() {
        let panics = |here: bool| {
            std::panic::catch_unwind(|| {
                let (to_other, from_one) = std::sync::mpsc::sync_channel::<()>(0);
                let there = move || {
                    assert!(here, "on purpose");
                    let _ = receive(&from_one);
                };
                both(
                    || {
                        let _held = to_other;
                        assert!(!here, "on purpose");
                    },
                    there,
                );
            })
            .is_err()
        };
        assert!(panics(true));
        assert_eq!(sooner_or_later(|| panics(false)), count() > 1);
        assert_eq!(sooner_or_later(|| Taken::new().is_some()), count() > 1);
    }

    #[test]
    fn what_comes_late_is_received_and_a_line_that_is_cut_is_not_waited_for() {
        let (to, from) = std::sync::mpsc::sync_channel(1);
        let sender = std::thread::spawn(move || {
            for (i, pause) in [0, 1, 20].into_iter().enumerate() {
                std::thread::sleep(Duration::from_millis(pause));
                to.send(i).unwrap();
            }
        });
        assert_eq!([(); 4].map(|()| receive(&from)), [Some(0), Some(1), Some(2), None]);
        sender.join().unwrap();
    }

    /// How many workspaces were made for this many items; checks that each item was processed once, in one of them.
    fn workspaces(items: usize) -> usize {
        /// Reports when dropped how many items it has processed.
        struct Workspace<'a>(usize, &'a AtomicUsize);

        impl Drop for Workspace<'_> {
            fn drop(&mut self) {
                self.1.fetch_add(self.0, Relaxed);
            }
        }

        let (made, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let times: Vec<_> = (0..items).map(|_| AtomicUsize::new(0)).collect();
        let workspace = || {
            made.fetch_add(1, Relaxed);
            Workspace(0, &seen)
        };
        each_with(0..items, workspace, |workspace, item| {
            workspace.0 += 1;
            times[item].fetch_add(1, Relaxed);
        });
        assert!(times.iter().all(|times| times.load(Relaxed) == 1));
        assert_eq!(seen.load(Relaxed), items);
        made.load(Relaxed)
    }

    #[test]
    fn every_item_is_worked_on_once_and_the_workspace_handed_on() {
        for items in [0, 1, 2, 3, 10, 1000] {
            // A thread without items makes no workspace.
            assert!((items.min(1)..=items.min(count())).contains(&workspaces(items)), "{items} items");
        }
    }

    #[test]
    fn alone_all_is_done_on_the_callers_thread() {
        let caller = std::thread::current().id();
        let work = |_| assert_eq!(std::thread::current().id(), caller);
        alone(|| alone(|| each(vec![0; 100], work)));
        alone(|| each(vec![0; 100], work));
        assert!(std::panic::catch_unwind(|| alone(|| panic!("on purpose"))).is_err());
        assert_eq!(MOST.get(), usize::MAX);
    }

    #[test]
    fn what_all_threads_are_at_is_not_divided_again() {
        each(vec![0; 100.max(count())], |_| {
            let mine = std::thread::current().id();
            each(vec![0; 10], |_| assert_eq!(std::thread::current().id(), mine));
        });
    }

    #[test]
    fn a_limit_is_kept_and_is_this_threads() {
        let before = limit(1);
        let caller = std::thread::current().id();
        each(vec![0; 100], |_| assert_eq!(std::thread::current().id(), caller));
        assert!(is_alone());
        assert_eq!(std::thread::spawn(is_alone).join().unwrap(), count() == 1);
        assert_eq!(limit(before), 1);
        assert_eq!(allowed(), count());
    }

    #[test]
    fn a_limit_holds_for_what_the_work_divides_too() {
        let before = limit(2);
        let caller = std::thread::current().id();
        each(vec![0; 100], |_| assert!(is_alone()));
        each(vec![0; 1], |_| assert_eq!((std::thread::current().id(), allowed()), (caller, count().min(2))));
        limit(before);
    }

    #[test]
    fn a_number_of_threads_is_whole_and_above_0() {
        assert_eq!(whole("N", ""), Ok(None));
        assert_eq!(whole("N", " 3 "), Ok(Some(3)));
        for text in ["0", "-1", "1.5", "abc", "99999999999999999999"] {
            assert_eq!(whole("N", text), Err(KernelError::Threads { name: "N", got: text.to_owned() }));
        }
    }

    #[test]
    fn the_pool_is_made_once() {
        let same = |a: Option<&rayon::ThreadPool>, b: Option<&rayon::ThreadPool>| match (a, b) {
            (Some(a), Some(b)) => std::ptr::eq(a, b),
            (a, b) => a.is_none() && b.is_none(),
        };
        each(vec![1, 2], |_| ());
        assert!(same(pool(), pool()));
    }
}
