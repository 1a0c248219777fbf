//! config-settings: to be written.
