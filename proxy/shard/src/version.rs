//! The version of the engine: which records this process writes and understands.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use proxy_store::effect::ENGINE_VERSION;

static POSES_AS_NEXT: AtomicBool = AtomicBool::new(false);

/// Newest engine version whose records this process understands, and that it writes.
pub fn engine_version() -> u16 {
    ENGINE_VERSION + u16::from(POSES_AS_NEXT.load(Relaxed))
}

/// From now on this process poses as the next version: the same records under a higher number. Tests of upgrades need two builds
/// that differ; this spares them the second one.
pub fn pose_as_next_version() {
    POSES_AS_NEXT.store(true, Relaxed);
}
