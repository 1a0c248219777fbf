//! Ctrl-C and SIGTERM, once for the whole process; SIGHUP, which ends none.

use tokio::signal::unix::{SignalKind, signal};

/// Waits for Ctrl-C or SIGTERM and returns its name.
///
/// # Errors
/// When signals cannot be watched.
pub async fn requested() -> Result<&'static str, String> {
    let watch = |kind| signal(kind).map_err(|e| format!("cannot watch signals: {e}"));
    let mut interrupt = watch(SignalKind::interrupt())?;
    let mut terminate = watch(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => Ok("SIGINT"),
        _ = terminate.recv() => Ok("SIGTERM"),
    }
}

/// Lets SIGHUP pass without effect from now on: a terminal that closes, or a reload of files that there are none of, is no reason
/// to end.
///
/// # Errors
/// When signals cannot be watched.
pub fn outlive_hangup() -> Result<(), String> {
    signal(SignalKind::hangup()).map(drop).map_err(|e| format!("cannot watch signals: {e}"))
}
