//! The proxy: clients' connections, routing, sessions, and the turn that joins them with the shards.
//!
//! [`start`] opens the ports and the workers; each worker ([`worker`]) owns connections ([`conn`]) and shards.
//! A command goes from the parser to [`dispatch`], from there to the session or a shard here or on another
//! worker ([`peers`]); replies that must wait for the log do so in [`out_queue`] until the [`committer`]
//! finds them durable.

mod ahead;
mod awake;
mod blocking;
mod clients;
mod cluster;
mod committer;
mod config;
mod conn;
mod dispatch;
mod endpoint;
mod guard;
mod handshakes;
mod histogram;
mod latency;
mod listener;
mod merge;
pub mod metric_names;
mod migrate;
mod monitor;
mod out_queue;
mod output_limits;
mod params;
mod pause;
mod peers;
mod proxy;
mod pubsub;
mod push;
mod questions;
mod remote;
mod script;
mod secrets;
mod session;
mod shared;
mod slowlog;
mod split;
mod standing;
mod stats;
mod stopwatch;
mod stream;
mod tracking;
mod transaction;
mod users;
mod worker;

pub use cluster::{ClusterConfig, LinkTls};
pub use config::{AllocatorFigures, Hooks, NoHooks, ProxyConfig};
pub use endpoint::EndpointConfig;
pub use handshakes::TlsPort;
pub use proxy::{ProxyHandle, ProxyStatus, ShardView, start};
pub use users::InitialUser;
