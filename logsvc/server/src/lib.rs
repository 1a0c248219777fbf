//! The log service's replicas: RocksDB under the consensus driver, the threads around it, and the two ways to run them: three in one
//! process ([`EmbeddedLog`]) or one a process over TCP.
//!
//! ```text
//!   appender --> replica thread (logsvc-raft's Node) --> writer thread --> RocksDB, one synced write for all groups
//!                     |        ^                              |
//!                     v        '------- persisted ------------'
//!                other replicas                 readers <-- block cache (moka) <-- committed blocks
//! ```

mod embedded;
mod error;
mod identity;
pub mod metric_names;
mod outcome;
mod replica;
mod storage;
mod tcp;

pub use embedded::{EmbeddedConfig, EmbeddedHandle, EmbeddedLog};
pub use error::StartError;
pub use replica::Timing;
pub use storage::StorageConfig;
pub use tcp::{Health, PeerConfig, ServerConfig, ServerHandle, serve};
