//! The embedded log's housekeeper: one thread that sends interrupted appends again, ends those that take too long, and lets damaged
//! replicas come back. None of this is on a write's way.

use std::sync::{Arc, Weak};
use std::time::Duration;

use logsvc_client::AppendWindow;

use super::service::{Embedded, send};

/// Pause between rounds while appends are interrupted, and otherwise: being woken costs an idle machine more than a round.
const ROUND: Duration = Duration::from_millis(10);
const CALM_ROUND: Duration = Duration::from_millis(50);

/// Starts the thread; it ends when the service is gone or stopped.
pub fn start(service: &Arc<Embedded>) {
    let weak = Arc::downgrade(service);
    let thread = std::thread::Builder::new().name("log-keeper".into());
    if let Err(error) = thread.spawn(move || run(&weak)) {
        tracing::error!(%error, "interrupted appends will not be sent again: no thread");
    }
}

fn run(service: &Weak<Embedded>) {
    let mut calm = false;
    loop {
        std::thread::sleep(if calm { CALM_ROUND } else { ROUND });
        let Some(service) = service.upgrade() else { return };
        if service.is_stopped() {
            return;
        }
        calm = true;
        service.windows.lock().retain(|window| match window.upgrade() {
            Some(window) => {
                calm &= !window.is_interrupted();
                keep(&service, &window)
            }
            None => false,
        });
        revive(&service);
    }
}

/// False when nothing more is to be done for the window.
fn keep(service: &Embedded, window: &Arc<AppendWindow>) -> bool {
    if !window.check_deadline(service.deadline) {
        return false;
    }
    if window.is_interrupted()
        && let Some(leader) = service.leader(window.shard())
    {
        let mut sent = true;
        window.resend(|block| sent &= send(leader, window, block));
        leader.attend();
        if !sent {
            window.interrupt();
        }
    }
    true
}

/// A damaged replica begins anew only while the others have a leader: otherwise what is left of it may still be needed.
fn revive(service: &Embedded) {
    for replica in service.replicas() {
        for group in replica.wiped_groups() {
            if service.leader(group).is_some_and(|leader| leader.number() != replica.number()) {
                replica.rejoin(group);
            }
        }
    }
}
