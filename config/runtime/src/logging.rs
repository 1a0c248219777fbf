//! Logs on standard error: lines for people, or JSON for machines.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process. `RUST_LOG`, if set, wins over `filter`.
///
/// # Errors
/// When the filter cannot be parsed, or logging was started before.
pub fn start(format: &str, filter: &str) -> Result<(), String> {
    let chosen = std::env::var("RUST_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = EnvFilter::try_new(&chosen).map_err(|e| format!("logging.filter `{chosen}`: {e}"))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = if format == "json" {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    started.map_err(|e| e.to_string())
}
