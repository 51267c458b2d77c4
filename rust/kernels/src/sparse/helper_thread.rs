//! A second thread for training steps.
//!
//! The main thread goes through all layers; the helper has one partition of the first layer
//! ([`first_layer`](super::first_layer)) and nothing else. A buffer goes back and forth between them: to the main
//! thread with what the helper's columns add to the first layer's scores, and back with the gradient of those scores:
//!
//! ```text
//! main      lists, X·W  ┐                  other layers, loss, and back  ┐         Xᵀ·d, update, lists, X·W  ┐
//! helper    lists, X·W  ┴ buffer: X·W →        (waits)          ← buffer: d ┴      Xᵀ·d, update, lists, X·W  ┴ …
//! ```
//!
//! Everything else stays in the caches of one core: `W`, the optimizer's state, and the lists. The buffer is 25 kB for
//! 100 rows of 50 numbers. Both threads know the blocks beforehand, so they wait only for the buffer, and they wait for
//! it by spinning.
//!
//! The first steps run on one thread: the helper joins in once it has started and has no other work.
//!
//! Cost on two cores of Zen 4, per step of 784-50-10 with 100 MNIST images in f32: 50 µs, against 80 on one thread;
//! with Adam 58, against 97. It is slower if another process occupies one of the two cores: 150 µs against 95. Tried
//! instead: dividing the columns of `W`, with one thread writing the lists for both, 70 µs and 71.

use crate::dense::padded::Padded;
use crate::machine::level::Level;
use crate::machine::threads;
use crate::network::optimize::Optimizer;
use crate::sparse::blocks::Blocks;
use crate::sparse::nonzeros::Nonzeros;
use crate::sparse::partition::Partition;
use crate::{Float, KernelError};
use std::sync::mpsc::{sync_channel, Receiver, SyncSender, TryRecvError, TrySendError};

/// The helper's task: its partition's share of the steps to come.
pub(crate) struct Task<'a, T> {
    pub partition: &'a mut Partition<T>,
    /// The current batch and those to come.
    pub blocks: Blocks<'a>,
    /// Its state before the first of these steps.
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
    // A task is handed over at once or not at all; a buffer is sent without waiting for the receiver.
    let ((tasks, tasks_end), (to_other, from_one), (to_one, from_other)) =
        (sync_channel(0), sync_channel(1), sync_channel(1));
    let helper = Helper { tasks, to: to_other, from: from_other, buffer: Padded::default() };
    (helper, Worker { tasks: tasks_end, to: to_one, from: from_one })
}

impl<'a, T: Float> Helper<'a, T> {
    /// Hand the task over if the helper is waiting for one; otherwise its partition comes back.
    pub(crate) fn offer(&mut self, task: Task<'a, T>) -> Option<&'a mut Partition<T>> {
        match self.tasks.try_send(task) {
            Ok(()) => None,
            Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => Some(task.partition),
        }
    }

    /// The helper's contribution to the scores.
    ///
    /// # Errors
    ///
    /// None, since the memory is reserved.
    pub(crate) fn receive(&mut self) -> Result<&Padded<T>, KernelError> {
        // A closed channel means that the helper has panicked, which is reported when both have ended.
        self.buffer = threads::receive(&self.from).unwrap_or(Err(KernelError::Empty))?;
        Ok(&self.buffer)
    }

    /// Send the buffer back with `d` in it.
    pub(crate) fn send(&mut self, level: Level, d: &[T]) {
        self.buffer.load(level, d);
        let _ = self.to.send(std::mem::take(&mut self.buffer)); // as above
    }
}

/// Other work to do meanwhile: each call does some of it and returns whether there is more.
pub type Beside<'a> = &'a mut (dyn FnMut() -> bool + Send);

/// Run `steps`; meanwhile another thread does the work `beside` until it or `steps` is done, and then joins in over
/// `to_join`, which brings a buffer. With neither, or without another thread, `steps` runs alone.
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

    /// Wait for a task over `x` and work on it until the main thread hangs up.
    fn join(self, level: Level, x: &Nonzeros<T>, buffer: Padded<T>) {
        let Ok(Task { partition, blocks, mut optimizer }) = self.tasks.recv() else { return };
        let mut buffer = Ok(buffer);
        let mut blocks = blocks.peekable();
        while let Some(block) = blocks.next() {
            let next = blocks.peek().map_or(&[][..], |next| next.rows);
            let forward = buffer.and_then(|mut buffer: Padded<T>| {
                partition.forward(level, x, block.rows, next, &[])?;
                // A copy: memory that is used again and again must not move between the caches of two cores.
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
