//! Typed settings of every process: defaults, parsing, layering, validation.
//!
//! Flow: a process names its settings struct ([`Up`], [`LogService`], [`Proxy`], [`Snapshot`]) and calls
//! [`load`] with the file, the environment and its flags; what comes back is complete and valid, or an
//! error that names the key and where it was written. Nothing else in the project reads settings.

mod error;
mod layers;
mod parts;
mod processes;
mod secret;
mod tls;

pub use error::SettingsError;
pub use layers::{Source, keys, load};
pub use parts::{
    Cluster, Engine, Http, Limits, LogCluster, LogStorage, Logging, Memory, Node, Primary, SnapshotPolicy,
    SnapshotStore, Users,
};
pub use processes::{LogService, Proxy, Snapshot, Up};
pub use secret::Secret;
pub use tls::{LogTls, Tls};

/// What a settings struct can do beside being (de)serialised.
pub trait Settings: serde::Serialize + serde::de::DeserializeOwned + Default {
    /// Checks what types alone cannot. An error names the key as `section.key`.
    fn validate(&self) -> Result<(), SettingsError>;
}
