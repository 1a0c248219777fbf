//! What the cluster wants of this node for a shard: written by whoever watches the cluster, followed by the shard's keeper.
//!
//! None of it is needed for safety, which the log alone decides: orders only say who should try first.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Orders for one shard.
#[derive(Debug, Default)]
pub struct Orders {
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
