//! The sections about TLS: `[tls]`, what clients of a process see, and `[log.tls]`, what own processes show each other.

use serde::{Deserialize, Serialize};

use crate::{Secret, SettingsError};

/// `[tls]`: the certificate of the ports for clients, under Redis's names. Files are PEM, and followed: what is written to
/// them holds for new connections a second later.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// Certificate of this process, and those between it and its authority.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// The passphrase of the key; empty = it is not encrypted.
    pub key_file_pass: Secret,
    /// Authorities that clients' certificates are checked against.
    pub ca_cert_file: String,
    /// Whether clients must show a certificate: `yes`, `no`, or `optional` (a bad one is refused, none is not).
    pub auth_clients: String,
    /// `TLSv1.2`, `TLSv1.3`, separated by spaces; empty = both.
    pub protocols: String,
    /// Cipher suites of TLSv1.2 by OpenSSL's names, separated by colons; empty = all that are offered.
    pub ciphers: String,
    /// The same of TLSv1.3.
    pub ciphersuites: String,
    /// Whether the order of the suites here counts, and not the client's.
    pub prefer_server_ciphers: bool,
    /// What this process shows where it is the client: to other nodes. Empty: the same as to clients.
    pub client_cert_file: String,
    /// Its key.
    pub client_key_file: String,
    /// The passphrase of that key; empty = it is not encrypted.
    pub client_key_file_pass: Secret,
    /// Other nodes come to the TLS port also when there is a plain one; without a plain one they do anyway.
    pub cluster: bool,
    /// A handshake that takes longer is broken off, in milliseconds.
    pub handshake_ms: u64,
    /// Handshakes at one time, for each port; more clients wait for their turn.
    pub handshakes: usize,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            cert_file: String::new(),
            key_file: String::new(),
            key_file_pass: Secret::default(),
            ca_cert_file: String::new(),
            auth_clients: "yes".to_owned(),
            protocols: String::new(),
            ciphers: String::new(),
            ciphersuites: String::new(),
            prefer_server_ciphers: false,
            client_cert_file: String::new(),
            client_key_file: String::new(),
            client_key_file_pass: Secret::default(),
            cluster: false,
            handshake_ms: 10_000,
            handshakes: 256,
        }
    }
}

impl Tls {
    /// `needed`: the setting of a port that speaks TLS, if there is one.
    pub(crate) fn validate(&self, needed: Option<&str>) -> Result<(), SettingsError> {
        let invalid = |key: &str, message: String| Err(SettingsError::invalid(key, message));
        if !["yes", "no", "optional"].contains(&self.auth_clients.as_str()) {
            let message = format!("`{}` is none of yes, no and optional", self.auth_clients);
            return invalid("tls.auth_clients", message);
        }
        if self.handshake_ms == 0 || self.handshakes == 0 {
            return invalid("tls.handshakes", "and tls.handshake_ms must be above 0".to_owned());
        }
        if self.client_cert_file.is_empty() != self.client_key_file.is_empty() {
            return invalid("tls.client_cert_file", "and tls.client_key_file belong together".to_owned());
        }
        if self.cluster && (needed.is_none() || self.ca_cert_file.is_empty()) {
            let message = "needs tls_port, and tls.ca_cert_file to check other nodes with".to_owned();
            return invalid("tls.cluster", message);
        }
        let Some(needed) = needed else { return Ok(()) };
        for (key, value) in [("tls.cert_file", &self.cert_file), ("tls.key_file", &self.key_file)] {
            if value.is_empty() {
                return invalid(key, format!("must be given for {needed}"));
            }
        }
        if self.ca_cert_file.is_empty() && self.auth_clients != "no" {
            let message = format!(
                "must be given, because clients must show a certificate (tls.auth_clients is {})",
                self.auth_clients
            );
            return invalid("tls.ca_cert_file", message);
        }
        Ok(())
    }
}

/// `[log.tls]`: the links between own processes. On when `cert_file` is given; then both ends of every link show a
/// certificate of the authority in `ca_cert_file`, and whoever has none is refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogTls {
    /// Certificate of this process, and those between it and its authority. A log replica's is for its host in `log.replicas`.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// The passphrase of the key; empty = it is not encrypted.
    pub key_file_pass: Secret,
    /// The authority of all processes of the cluster, and of nobody else.
    pub ca_cert_file: String,
}

impl LogTls {
    /// Whether links speak TLS.
    pub fn is_on(&self) -> bool {
        !self.cert_file.is_empty()
    }

    pub(crate) fn validate(&self) -> Result<(), SettingsError> {
        let given = [&self.cert_file, &self.key_file, &self.ca_cert_file].map(|file| !file.is_empty());
        if given.contains(&true) && given.contains(&false) {
            return Err(SettingsError::invalid(
                "log.tls",
                "cert_file, key_file and ca_cert_file belong together: all of them, or none",
            ));
        }
        Ok(())
    }
}
