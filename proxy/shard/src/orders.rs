//! What the cluster wants of this node for a shard: written by whoever watches the cluster, followed by the shard's keeper.
//!
//! None of it is needed for safety, which the log alone decides: orders only say who should try first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

/// Whether a node is to have a shard at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Hold {
    /// It restores and follows it, and may serve it.
    #[default]
    Hold,
    /// Others do; unless it serves it, it drops what it has of it.
    LetGo,
    /// The cluster hasn't said so yet.
    Unknown,
}

/// Orders for one shard.
#[derive(Debug, Default)]
pub struct Orders {
    hold: watch::Sender<Hold>,
    rank: AtomicU32,
    appointed: AtomicBool,
    hand_over: Mutex<Option<String>>,
    changed: Notify,
}

impl Orders {
    /// The place among those who should take the shard over, 0 the first. Each place waits a little longer.
    pub fn set_rank(&self, rank: u32) {
        if self.rank.swap(rank, Relaxed) != rank {
            self.changed.notify_one();
        }
    }

    /// The shard was handed to this node: it claims at once.
    pub fn appoint(&self, appointed: bool) {
        if self.appointed.swap(appointed, Relaxed) != appointed {
            self.changed.notify_one();
        }
    }

    /// Has the shard handed to that node, if this one is its primary.
    pub fn hand_over(&self, to: String) {
        *self.hand_over.lock() = Some(to);
        self.changed.notify_one();
    }

    /// Whether the shard is to be here.
    pub fn set_hold(&self, hold: Hold) {
        self.hold.send_if_modified(|before| std::mem::replace(before, hold) != hold);
    }

    pub(crate) fn hold(&self) -> Hold {
        *self.hold.borrow()
    }

    /// Waits until it is `wanted`, or isn't.
    pub(crate) async fn until_hold_is(&self, wanted: impl Fn(Hold) -> bool) {
        // The sender is this value's own, so it never ends before.
        let _ = self.hold.subscribe().wait_for(|hold| wanted(*hold)).await;
    }

    pub(crate) fn rank(&self) -> u32 {
        self.rank.load(Relaxed)
    }

    pub(crate) fn is_appointed(&self) -> bool {
        self.appointed.load(Relaxed)
    }

    pub(crate) fn take_hand_over(&self) -> Option<String> {
        self.hand_over.lock().take()
    }

    /// Waits for the next change; one keeper waits at a time.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}
