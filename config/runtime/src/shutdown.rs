//! Ctrl-C and SIGTERM, once for the whole process.

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
