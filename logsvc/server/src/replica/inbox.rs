//! What is put in for a replica, by any thread, and how a thread sleeps until there is something to do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A queue that is emptied as a whole, under one lock.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    /// Changed under the queue's lock.
    closed: AtomicBool,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { queue: Mutex::new(Vec::new()), closed: AtomicBool::new(false) }
    }
}

impl<T> Inbox<T> {
    /// Adds one item. False, and the item is dropped, when nobody will take it any more.
    pub fn put(&self, item: T) -> bool {
        let mut queue = self.queue.lock();
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        queue.push(item);
        true
    }

    /// Moves everything into `out`, which must be empty.
    pub fn take(&self, out: &mut Vec<T>) {
        std::mem::swap(&mut *self.queue.lock(), out);
    }

    /// True when there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.queue.lock().is_empty()
    }

    /// Refuses further items; gives back what nobody has taken.
    pub fn close(&self) -> Vec<T> {
        let mut queue = self.queue.lock();
        self.closed.store(true, Ordering::Relaxed);
        std::mem::take(&mut *queue)
    }
}

/// How long a thread stays up before it sleeps, giving its core to whoever wants it: under load the next block is that close, and
/// being woken costs as much.
const DOZE: Duration = Duration::from_micros(50);

/// Where one thread sleeps. Waking it costs nothing while it is awake.
#[derive(Debug, Default)]
pub struct Bed {
    asleep: AtomicBool,
    owner: OnceLock<Thread>,
}

impl Bed {
    /// Called once by the thread that will sleep here.
    pub fn own(&self) {
        let _ = self.owner.set(std::thread::current());
    }

    /// Sleeps until woken, or until `until`, unless `stay_up` says that there is something to do. Whoever makes it so and wakes
    /// then, in this order, is never missed.
    pub fn sleep(&self, until: Option<Instant>, stay_up: impl FnOnce() -> bool) {
        self.asleep.store(true, Ordering::SeqCst);
        if !stay_up() {
            let begun = Instant::now();
            while until.is_none() && self.asleep.load(Ordering::SeqCst) && begun.elapsed() < DOZE {
                std::thread::yield_now();
            }
            while self.asleep.load(Ordering::SeqCst) {
                match until.map(|until| until.saturating_duration_since(Instant::now())) {
                    Some(left) if left.is_zero() => break,
                    Some(left) => std::thread::park_timeout(left),
                    None => std::thread::park(),
                }
            }
        }
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Wakes the thread if it sleeps.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Some(owner) = self.owner.get()
        {
            owner.unpark();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Arc;

    /// A wake-up that is missed would hang this test.
    #[test]
    fn whatever_is_put_in_and_announced_is_taken() {
        const ITEMS: usize = 50_000;
        let shared = Arc::new((Inbox::default(), Bed::default()));
        let taker = Arc::clone(&shared);
        let taker = std::thread::spawn(move || {
            let (inbox, bed) = &*taker;
            bed.own();
            let (mut sum, mut taken) = (0, Vec::new());
            while sum < 2 * ITEMS {
                inbox.take(&mut taken);
                sum += taken.drain(..).sum::<usize>();
                if sum < 2 * ITEMS {
                    bed.sleep(None, || !inbox.is_empty());
                }
            }
        });
        let putter = |shared: Arc<(Inbox<usize>, Bed)>| {
            std::thread::spawn(move || {
                for _ in 0..ITEMS {
                    assert!(shared.0.put(1));
                    shared.1.wake();
                }
            })
        };
        let putters = [putter(Arc::clone(&shared)), putter(Arc::clone(&shared))];
        for putter in putters {
            putter.join().unwrap();
        }
        taker.join().unwrap();
        assert!(shared.0.close().is_empty());
        assert!(!shared.0.put(1));
    }
}
