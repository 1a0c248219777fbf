//! logsvc-api: to be written.
