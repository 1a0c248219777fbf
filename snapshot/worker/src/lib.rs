//! snapshot-worker: to be written.
