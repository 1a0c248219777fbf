//! What tests that cross crates share: starting fastkeep and redis-server, and a client that pipelines.
//!
//! Everything here panics with a message when the machine or the product is not as a test needs it: that
//! is a failing test, and the message says of what.
#![allow(clippy::unwrap_used)]

#[cfg(feature = "tls")]
mod certificates;
mod client;
mod cluster;
mod disk;
mod network;
mod oracle;
mod process;
mod relay;
#[cfg(feature = "s3")]
mod s3;

#[cfg(feature = "tls")]
pub use certificates::{Authority, Identity};
pub use client::{Client, Reply};
pub use cluster::{Cluster, ZONES, primary_of, wait_for_shards};
pub use disk::{DiskFaults, EIO, ENOSPC};
pub use network::{Host, Network, say_skipped, within_namespaces};
pub use oracle::Oracle;
pub use process::{Fastkeep, Running, binary, free_ports, ports_in_a_row};
pub use relay::Relay;
#[cfg(feature = "s3")]
pub use s3::{Faults, S3Server};
