//! End to end: what a newcomer, a client program and a bad day do to whole fastkeep processes.
//!
//! Each file in `tests/` proves one promise; its first lines say which.
