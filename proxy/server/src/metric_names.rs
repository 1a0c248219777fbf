//! The metrics of the proxy, summed over its workers.

use metrics::{Unit, describe_counter, describe_gauge};

/// Commands executed.
pub const COMMANDS: &str = "fastkeep_proxy_commands_total";
/// Connections accepted.
pub const CONNECTIONS: &str = "fastkeep_proxy_connections_total";
/// Connections refused for lack of places.
pub const REJECTED: &str = "fastkeep_proxy_rejected_connections_total";
/// Clients connected.
pub const CLIENTS: &str = "fastkeep_proxy_clients_count";
/// Bytes received.
pub const BYTES_IN: &str = "fastkeep_proxy_received_bytes";
/// Bytes sent.
pub const BYTES_OUT: &str = "fastkeep_proxy_sent_bytes";
/// Error replies.
pub const ERRORS: &str = "fastkeep_proxy_error_replies_total";
/// Replies that waited for the log.
pub const GATED: &str = "fastkeep_proxy_gated_replies_total";
/// Requests sent to another worker.
pub const FORWARDED: &str = "fastkeep_proxy_forwarded_requests_total";
/// TLS handshakes of clients, by result.
pub const HANDSHAKES: &str = "fastkeep_proxy_tls_handshakes_total";
/// Clients of a shard's endpoint that were accepted, by shard.
pub const ENDPOINT_CONNECTIONS: &str = "fastkeep_proxy_endpoint_connections_total";
/// Commands of a shard's endpoint that were answered with MOVED, by shard.
pub const REDIRECTS: &str = "fastkeep_proxy_redirects_total";

/// Gives every metric its description; called once by the process.
pub fn describe() {
    describe_counter!(COMMANDS, "Commands executed");
    describe_counter!(CONNECTIONS, "Connections accepted");
    describe_counter!(REJECTED, "Connections refused for lack of places");
    describe_gauge!(CLIENTS, "Clients connected");
    describe_counter!(BYTES_IN, Unit::Bytes, "Bytes received from clients");
    describe_counter!(BYTES_OUT, Unit::Bytes, "Bytes sent to clients");
    describe_counter!(ERRORS, "Error replies");
    describe_counter!(GATED, "Replies that waited for the log");
    describe_counter!(FORWARDED, "Requests sent to another worker");
    describe_counter!(HANDSHAKES, "TLS handshakes of clients, by result");
    describe_counter!(ENDPOINT_CONNECTIONS, "Connections accepted at a shard's endpoint, by shard");
    describe_counter!(REDIRECTS, "Commands at a shard's endpoint that were answered with MOVED, by shard");
    proxy_shard::metric_names::describe();
}
