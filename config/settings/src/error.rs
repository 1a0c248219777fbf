//! What can be wrong with settings, always with the key and the place where it was written.

/// An error in the settings of a process. Its text is meant for the person who wrote them.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file could not be read.
    #[error("cannot read the settings file {path}: {source}")]
    Read {
        /// The file as it was named.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or a key in it is unknown or of the wrong type. The text names the line.
    #[error("in the settings file {path}: {message}")]
    File {
        /// The file as it was named.
        path: String,
        /// Line, key and reason.
        message: String,
    },
    /// An environment variable or a flag holds a value that its key cannot take.
    #[error("{origin}: {message}")]
    Value {
        /// `FASTKEEP_...` or `--...`.
        origin: String,
        /// What is wrong with the value.
        message: String,
    },
    /// The values are well formed but cannot work.
    #[error("{key}: {message}")]
    Invalid {
        /// `section.key`.
        key: String,
        /// Why not, and what would work.
        message: String,
    },
}

impl SettingsError {
    /// Shorthand for [`SettingsError::Invalid`].
    pub fn invalid(key: &str, message: impl Into<String>) -> Self {
        Self::Invalid { key: key.to_owned(), message: message.into() }
    }
}
