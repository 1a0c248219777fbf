//! snapshot-rdb: to be written.
