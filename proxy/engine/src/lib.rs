//! proxy-engine: to be written.
