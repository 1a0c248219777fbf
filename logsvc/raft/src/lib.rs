//! logsvc-raft: to be written.
