//! The version of the engine: which records this build writes and understands.

use proxy_store::effect;

/// Newest engine version whose records this build understands, and that it writes. A build with `next-version` is the next one
/// with the same records: tests upgrade to it.
pub const ENGINE_VERSION: u16 = effect::ENGINE_VERSION + cfg!(feature = "next-version") as u16;
