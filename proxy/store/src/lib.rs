//! proxy-store: to be written.
