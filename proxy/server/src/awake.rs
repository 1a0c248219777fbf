//! Keeps a worker's thread awake while many clients wait for the log.
//!
//! Being woken costs about as much as a fast disk's sync, and with a crowd waiting the next message of the log is never far. So the
//! thread stays up for a moment, gives its core to whoever else wants it, and looks for clients and for the log all the while.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::worker::Worker;

/// Fewer clients than these don't keep the thread awake: a lone write would cost more CPU and leave no earlier.
const CROWD: usize = 8;
/// How long the thread stays up without anything becoming durable: about a sync.
const PATIENCE: Duration = Duration::from_micros(150);

/// Whether the thread should stay up.
pub(crate) fn is_crowded(worker: &Worker) -> bool {
    worker.locals().any(|(_, local)| local.waiting.borrow().len() >= CROWD)
}

/// Runs for ever.
pub(crate) async fn run(worker: Rc<Worker>) {
    loop {
        worker.crowded.notified().await;
        let (mut seen, mut since) = (0, Instant::now());
        while is_crowded(&worker) {
            let released = worker.locals().map(|(_, local)| local.released.get()).fold(0, u64::wrapping_add);
            if released != seen {
                (seen, since) = (released, Instant::now());
            } else if since.elapsed() > PATIENCE {
                break;
            }
            std::thread::yield_now();
            // Sockets and messages are looked at before this goes on.
            tokio::task::yield_now().await;
        }
    }
}
