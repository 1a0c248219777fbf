//! proxy-commands: to be written.
