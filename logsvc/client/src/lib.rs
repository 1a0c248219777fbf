//! logsvc-client: to be written.
