//! config-runtime: to be written.
