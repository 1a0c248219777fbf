//! snapshot-worker: the snapshotter. Last snapshot + log = next snapshot, then the log is trimmed.
//!
//! Entry point: [`Snapshotter::start`]. Flow of one snapshot (`make`): `plan` the segments, read the log and sort its
//! effects into `buckets` (files, one a segment), `rewrite` what changed, verify, publish, trim. Memory is needed for
//! one segment, work for what changed.
//!
//! Links the store, never the engine: it carries out effects and decides nothing. Expired keys in particular stay
//! until the primary has logged their deletion.

mod buckets;
mod config;
mod error;
mod make;
pub mod metric_names;
mod plan;
mod reading;
mod rewrite;
mod schedule;
mod status;

pub use config::SnapshotterConfig;
pub use error::SnapshotError;
pub use make::{Made, Maker};
pub use schedule::{Snapshotter, SnapshotterHandle};
pub use status::ShardStatus;
