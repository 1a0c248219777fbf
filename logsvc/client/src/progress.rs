//! How far an appender's blocks have come: written by the log's side, polled by the shard that appends.
//!
//! One reader, any number of writers. Reading the durable position is one atomic load; a change wakes the one registered task.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Waker;

use futures::task::AtomicWaker;
use logsvc_api::Position;

use crate::LogError;

/// Durable position, failure and bytes in flight of one [`crate::Appender`].
#[derive(Debug, Default)]
pub struct Progress {
    durable: AtomicU64,
    in_flight: AtomicU64,
    failed: AtomicBool,
    failure: OnceLock<LogError>,
    waker: AtomicWaker,
}

impl Progress {
    /// A progress that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Highest position that is on disk in a quorum. 0 until this appender's first block is acknowledged.
    #[inline]
    pub fn durable(&self) -> Position {
        self.durable.load(Ordering::Acquire)
    }

    /// Why nothing more will become durable, if so. Sticky: the first failure stays. `durable()` read *after* this returned
    /// `Some` is final.
    #[inline]
    pub fn failure(&self) -> Option<LogError> {
        if !self.failed.load(Ordering::Acquire) {
            return None;
        }
        self.failure.get().cloned()
    }

    /// Bytes of the blocks handed to `append` whose fate isn't known yet.
    #[inline]
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Leaves a waker that is woken at the next change. Register first, then look at `durable()` and `failure()`, or a change in
    /// between is missed. One waiter at a time: a later registration replaces an earlier one.
    pub fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Waits until `position` is durable.
    ///
    /// # Errors
    /// The sticky failure, when it came first.
    pub async fn wait_for(&self, position: Position) -> Result<(), LogError> {
        std::future::poll_fn(|context| {
            self.register(context.waker());
            let failure = self.failure();
            if self.durable() >= position {
                return std::task::Poll::Ready(Ok(()));
            }
            match failure {
                Some(error) => std::task::Poll::Ready(Err(error)),
                None => std::task::Poll::Pending,
            }
        })
        .await
    }

    /// For implementations: `bytes` more are in flight.
    pub fn add_in_flight(&self, bytes: u64) {
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
    }

    /// For implementations: the fate of `bytes` is known. Doesn't wake.
    pub fn sub_in_flight(&self, bytes: u64) {
        // Saturating: the counter steers back-pressure and must never wrap to "full for ever".
        let _ = self
            .in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
    }

    /// For implementations: everything up to `position` is durable. Never moves backwards; wakes only when it moved.
    pub fn advance(&self, position: Position) {
        if self.durable.fetch_max(position, Ordering::AcqRel) < position {
            self.waker.wake();
        }
    }

    /// For implementations: nothing more will become durable, because of `error`. The first failure wins.
    pub fn fail(&self, error: LogError) {
        if self.failure.set(error).is_ok() {
            self.failed.store(true, Ordering::Release);
            self.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn wakes_on_change_only_and_keeps_the_first_failure() {
        let progress = Progress::new();
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        progress.register(&waker);
        progress.advance(5);
        progress.register(&waker);
        progress.advance(3);
        assert_eq!(progress.durable(), 5);
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
        progress.fail(LogError::Fenced { epoch: 2 });
        progress.fail(LogError::Fenced { epoch: 3 });
        assert_eq!(count.0.load(Ordering::SeqCst), 2);
        assert_eq!(progress.failure(), Some(LogError::Fenced { epoch: 2 }));
    }

    #[test]
    fn bytes_in_flight_never_wrap() {
        let progress = Progress::new();
        progress.add_in_flight(10);
        progress.sub_in_flight(25);
        assert_eq!(progress.in_flight_bytes(), 0);
    }
}
