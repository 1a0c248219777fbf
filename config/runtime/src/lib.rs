//! What every process needs around its work: logs, metrics, HTTP, TLS, shutdown, and the lock on its folder.
//!
//! Flow: the composition root (`deploy/fastkeep`) sets these up before it starts the parts; the parts
//! themselves log through `tracing` and count through `metrics` and know nothing of this crate.

pub mod data_lock;
pub mod http;
pub mod http_client;
pub mod logging;
pub mod metrics_page;
pub mod shutdown;
pub mod tls;
