//! snapshot-repo: snapshots in a bucket or folder. The only crate that names `object_store`.
//!
//! Entry point: [`Repository`]. Flow of a snapshot: `put_segment` for what changed, then `publish`, which writes the
//! manifest last and only if nobody else did; `verify` reads everything back; `prune` applies retention; [`restore`]
//! loads the newest snapshot into a keyspace. `docs/snapshots.md` describes the layout and what it guarantees.
//!
//! Deliberately absent: the log (the worker joins snapshot and log) and any decision when to take a snapshot.

mod config;
mod error;
mod layout;
mod manifest;
pub mod metric_names;
mod objects;
mod prune;
mod repository;
mod restore;
mod retry;
mod verify;

pub use config::{Location, RepoConfig, S3Config};
pub use error::RepoError;
pub use manifest::{Manifest, NewSnapshot, Segment};
pub use prune::Pruned;
pub use repository::{Listed, Repository};
pub use restore::{RestoreProgress, Restored, restore, restore_segments, restore_with_log};
pub use retry::RetryPolicy;
pub use verify::VerifyReport;
