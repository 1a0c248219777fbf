//! Keeps a worker's thread awake while many clients wait for the log.
//!
//! Being woken costs about as much as a fast disk's sync, and with a crowd waiting the next message of the log is never far. So the
//! thread stays up for a moment, gives its core to whoever else wants it, and looks for clients and for the log all the while. It
//! also knows when no more writes come, which is when the open block goes to the log.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::worker::Worker;

/// Fewer clients than these don't keep the thread awake: a lone write would cost more CPU and leave no earlier.
const CROWD: usize = 8;
/// How long the thread stays up without anything becoming durable: about a sync.
const PATIENCE: Duration = Duration::from_micros(150);
/// After so long without a new write, no more are expected to join the open block.
const LULL: Duration = Duration::from_micros(10);

/// Whether the thread should stay up.
pub(crate) fn is_crowded(worker: &Worker) -> bool {
    worker.locals().any(|(_, local)| local.waiting.borrow().len() >= CROWD)
}

/// Runs for ever.
pub(crate) async fn run(worker: Rc<Worker>) {
    loop {
        worker.crowded.notified().await;
        let now = Instant::now();
        let (mut released, mut gated) = ((0, now), (0, now));
        while is_crowded(&worker) {
            let positions = worker.locals().map(|(_, local)| local.released.get());
            let since_released = unchanged(&mut released, positions.fold(0, u64::wrapping_add));
            let since_gated = unchanged(&mut gated, worker.stats.gated.get());
            if since_gated > LULL {
                flush(&worker);
            }
            if since_released > PATIENCE {
                break;
            }
            std::thread::yield_now();
            // Sockets and messages are looked at before this goes on.
            tokio::task::yield_now().await;
        }
        flush(&worker);
    }
}

/// How long `value` has been the same.
fn unchanged(seen: &mut (u64, Instant), value: u64) -> Duration {
    if seen.0 != value {
        *seen = (value, Instant::now());
    }
    seen.1.elapsed()
}

/// Hands what is open to the log, since no more is expected.
pub(crate) fn flush(worker: &Worker) {
    for (_, local) in worker.locals() {
        local.shard.borrow_mut().flush(false);
    }
}
