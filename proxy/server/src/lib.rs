//! proxy-server: to be written.
