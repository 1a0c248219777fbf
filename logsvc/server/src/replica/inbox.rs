//! A queue into a thread: many push, one takes everything at once and sleeps when there is nothing.
//!
//! Cheaper than a channel here: the receiver swaps the whole queue out under one lock, and a push wakes it only when it sleeps.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread::Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How the owner sleeps.
const AWAKE: u8 = 0;
const LIGHT: u8 = 1;
const DEEP: u8 = 2;

/// The queue.
#[derive(Debug)]
pub struct Inbox<T> {
    queue: Mutex<Vec<T>>,
    sleep: AtomicU8,
    /// Changed under the queue's lock.
    closed: AtomicBool,
    owner: OnceLock<Thread>,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self {
            queue: Mutex::new(Vec::new()),
            sleep: AtomicU8::new(AWAKE),
            closed: AtomicBool::new(false),
            owner: OnceLock::new(),
        }
    }
}

impl<T> Inbox<T> {
    /// Adds one item and wakes the owner if it sleeps. False, and the item is dropped, when nobody will take it any more.
    pub fn push(&self, item: T) -> bool {
        let pushed = self.put(item);
        if pushed {
            self.wake();
        }
        pushed
    }

    /// Like `push`, but an owner in deep sleep finds the item when something else wakes it.
    pub fn push_softly(&self, item: T) -> bool {
        let pushed = self.put(item);
        if pushed && self.sleep.load(Ordering::SeqCst) != DEEP {
            self.wake();
        }
        pushed
    }

    fn put(&self, item: T) -> bool {
        let mut queue = self.queue.lock();
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        queue.push(item);
        true
    }

    /// Refuses further items; gives back what nobody has taken.
    pub fn close(&self) -> Vec<T> {
        let mut queue = self.queue.lock();
        self.closed.store(true, Ordering::Relaxed);
        std::mem::take(&mut *queue)
    }

    /// Wakes the owner if it sleeps.
    pub fn wake(&self) {
        if self.sleep.swap(AWAKE, Ordering::SeqCst) != AWAKE
            && let Some(owner) = self.owner.get()
        {
            owner.unpark();
        }
    }

    /// Called once by the thread that will take.
    pub fn own(&self) {
        let _ = self.owner.set(std::thread::current());
    }

    /// Moves everything into `out`, which must be empty; waits until `until` when there is nothing. `deep`: something is on its
    /// way that will be pushed for sure, and what is pushed softly can wait for that.
    pub fn take(&self, out: &mut Vec<T>, until: Option<Instant>, deep: bool) {
        let sleep = if deep { DEEP } else { LIGHT };
        loop {
            std::mem::swap(&mut *self.queue.lock(), out);
            if !out.is_empty() {
                return;
            }
            self.sleep.store(sleep, Ordering::SeqCst);
            // A push between the look above and the store would not have woken us: look again.
            if !self.queue.lock().is_empty() {
                self.sleep.store(AWAKE, Ordering::SeqCst);
                continue;
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            match left {
                Some(Duration::ZERO) => {
                    self.sleep.store(AWAKE, Ordering::SeqCst);
                    return;
                }
                Some(left) => std::thread::park_timeout(left),
                None => std::thread::park(),
            }
            self.sleep.store(AWAKE, Ordering::SeqCst);
        }
    }
}
