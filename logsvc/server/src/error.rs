//! Why a log replica doesn't start.

use crate::storage::OpenError;

/// An error at start, in words for the person who started it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Another process uses the same data.
    #[error("{0} is in use by another process")]
    Locked(String),
    /// A majority can't be formed from what is on the disks. Nothing was touched.
    #[error(
        "refusing to serve: no data in {}; a majority of the log's replicas is needed, and starting without them would lose answered \
         writes. Bring back at least one of these folders (or restore from a snapshot into an empty folder). Nothing was changed",
        wiped.join(", ")
    )]
    TooManyWiped {
        /// Folders without data.
        wiped: Vec<String>,
    },
    /// Damaged databases that can't be rebuilt, because more than one would have to be. Nothing was touched.
    #[error(
        "refusing to serve: damaged or without data: {}; only one replica of the log can be rebuilt from the others. Bring back at \
         least one of these folders from a copy (or restore from a snapshot into an empty folder). Nothing was changed",
        useless.join(", ")
    )]
    TooManyDamaged {
        /// Folders, each with what is wrong with it.
        useless: Vec<String>,
    },
    /// The settings don't fit the data.
    #[error("{0}")]
    Mismatch(String),
    /// The database or an identity file is damaged.
    #[error("damaged: {0}")]
    Corrupt(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

impl From<OpenError> for StartError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Locked(path) => Self::Locked(path),
            OpenError::Corrupt(_) => Self::Corrupt(error.to_string()),
            OpenError::Failed(_) => Self::Failed(error.to_string()),
        }
    }
}

impl From<std::io::Error> for StartError {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
