//! logsvc-server: to be written.
