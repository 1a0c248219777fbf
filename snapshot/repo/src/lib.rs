//! snapshot-repo: to be written.
