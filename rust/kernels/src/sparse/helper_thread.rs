//! A second thread for the steps of a training.
//!
//! The main thread goes through all layers, the helper has a partition of the first one ([`first_layer`](super::first_layer)) and nothing else. Between
//! them a buffer goes to and fro, in it what the helper's columns add to the first layer's scores, and on its way back the gradient of those scores:
//!
//! ```text
//! main      lists, X·W  ┐                  other layers, loss, and back  ┐         Xᵀ·d, update, lists, X·W  ┐
//! helper    lists, X·W  ┴ buffer: X·W →        (waits)          ← buffer: d ┴      Xᵀ·d, update, lists, X·W  ┴ …
//! ```
//!
//! Everything else stays in the caches of one core: `W`, the optimizer's state, and the lists. The buffer is 25 kB for 100 rows of
//! 50 numbers. Both know the blocks beforehand, so neither waits but for the buffer, and it waits awake.
//!
//! The first steps are those of one thread: the helper joins in when it is there and has nothing else to do.
//!
//! Cost on two cores of Zen 4, a step of 784-50-10 with 100 MNIST images in f32: 50 µs where one thread takes 80, and with Adam 58 where one takes 97.
//! Beside a process that takes one of the two cores for itself it is the slower way, 150 µs against 95. Tried: divided by the columns of `W`,
//! with the lists of both written by one thread, 70 µs and 71.

use crate::dense::padded::Padded;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::optimize::Optimizer;
use crate::sparse::blocks::Blocks;
use crate::sparse::nonzeros::Nonzeros;
use crate::sparse::partition::Partition;
use crate::{Float, KernelError};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TryRecvError, TrySendError};

/// What the helper is to do: its partition's share of the steps to come.
pub(crate) struct Task<'a, T> {
    pub partition: &'a mut Partition<T>,
    /// Of the batches to come, and of the one in hand.
    pub blocks: Blocks<'a>,
    /// As it is before the first of these steps.
    pub optimizer: Optimizer,
}

/// The main thread's end of the channels.
pub(crate) struct Helper<'a, T> {
    tasks: SyncSender<Task<'a, T>>,
    to: SyncSender<Padded<T>>,
    from: Receiver<Result<Padded<T>, KernelError>>,
    /// The buffer, while it is here.
    buffer: Padded<T>,
}

/// The helper's end.
struct Worker<'a, T> {
    tasks: Receiver<Task<'a, T>>,
    to: SyncSender<Result<Padded<T>, KernelError>>,
    from: Receiver<Padded<T>>,
}

/// The two ends.
fn channels<'a, T: Float>() -> (Helper<'a, T>, Worker<'a, T>) {
    // A task is taken over at once or not at all; a buffer never waits for another to be fetched.
    let ((tasks, tasks_end), (to_other, from_one), (to_one, from_other)) =
        (sync_channel(0), sync_channel(1), sync_channel(1));
    let helper = Helper { tasks, to: to_other, from: from_other, buffer: Padded::default() };
    (helper, Worker { tasks: tasks_end, to: to_one, from: from_one })
}

impl<'a, T: Float> Helper<'a, T> {
    /// Give the task away, if the helper is waiting for one; if not, its partition comes back.
    pub(crate) fn offer(&mut self, task: Task<'a, T>) -> Option<&'a mut Partition<T>> {
        match self.tasks.try_send(task) {
            Ok(()) => None,
            Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => Some(task.partition),
        }
    }

    /// What the helper's columns add to the scores.
    ///
    /// # Errors
    ///
    /// None, since the memory is there.
    pub(crate) fn receive(&mut self) -> Result<&Padded<T>, KernelError> {
        // If nothing can come any more the helper has panicked, as will be told when both have ended.
        self.buffer = threads::receive(&self.from).unwrap_or(Err(KernelError::Empty))?;
        Ok(&self.buffer)
    }

    /// Send the buffer back with `d` on it.
    pub(crate) fn send(&mut self, level: Level, d: &[T]) {
        self.buffer.load(level, d);
        let _ = self.to.send(std::mem::take(&mut self.buffer)); // as above
    }
}

/// What else there is to do: some of it, and whether there is more.
pub type Beside<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// `steps`, and on another thread what there is to do `beside` them, until they end; then that thread joins in, over `to_join`, and with a
/// buffer for that. Where there is nothing of both, or no other thread, `steps` alone.
pub(crate) fn with_another<'a, T: Float, R>(
    level: Level,
    beside: Option<Beside<'_>>,
    to_join: Option<(&'a Nonzeros<T>, Padded<T>)>,
    steps: impl FnOnce(Helper<'a, T>) -> R,
) -> R {
    let (helper, worker) = channels();
    if beside.is_none() && to_join.is_none() {
        return steps(helper);
    }
    let there = || {
        if let Some(beside) = beside {
            while !worker.has_no_one() && beside() {}
        }
        if let Some((x, buffer)) = to_join {
            worker.join(level, x, buffer);
        }
    };
    threads::both(|| steps(helper), there)
}

impl<T: Float> Worker<'_, T> {
    /// Whether the main thread has hung up.
    fn has_no_one(&self) -> bool {
        matches!(self.tasks.try_recv(), Err(TryRecvError::Disconnected))
    }

    /// Wait for a task over `x` and do it, until the main thread hangs up.
    fn join(self, level: Level, x: &Nonzeros<T>, buffer: Padded<T>) {
        let Ok(Task { partition, blocks, mut optimizer }) = self.tasks.recv() else { return };
        let mut buffer = Ok(buffer);
        let mut blocks = blocks.peekable();
        while let Some(block) = blocks.next() {
            let next = blocks.peek().map_or(&[][..], |next| next.rows);
            let forward = buffer.and_then(|mut buffer: Padded<T>| {
                partition.forward(level, x, block.rows, next, &[])?;
                // A copy, so that what is gone through again and again is never in two cores' caches.
                buffer.copy(&partition.out);
                Ok(buffer)
            });
            if self.to.send(forward).is_err() {
                break;
            }
            let Some(with_d) = threads::receive(&self.from) else { break };
            optimizer.steps += u64::from(block.ends);
            partition.backward(level, &optimizer, &with_d, block);
            buffer = Ok(with_d);
        }
    }
}
