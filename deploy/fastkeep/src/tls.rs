//! From the settings about TLS to what the parts take: one identity for the ports of clients, one for own links.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use config_runtime::http::HttpTls;
use config_runtime::tls::{ClientAuth, Tls, TlsFiles};
use config_settings::{LogTls, Tls as TlsSettings};
use logsvc_client::tcp::LinkTls as LogLinkTls;
use proxy_server::{LinkTls, TlsPort};

/// The identities of one process.
pub struct Identities {
    settings: TlsSettings,
    /// What clients see.
    pub ports: Option<Arc<Tls>>,
    /// What own processes show each other.
    pub links: Option<Arc<Tls>>,
}

impl Identities {
    /// Reads certificates for those of `ports` that are on (not 0), and for links if they speak TLS.
    ///
    /// # Errors
    /// Names the section and the file, and says what is wrong with it.
    pub fn load(settings: &TlsSettings, ports: &[u16], links: Option<&LogTls>) -> Result<Self, String> {
        let on = ports.iter().any(|port| *port != 0);
        let of_ports = || {
            let files = TlsFiles {
                cert: PathBuf::from(&settings.cert_file),
                key: PathBuf::from(&settings.key_file),
                key_pass: settings.key_file_pass.to_string(),
                ca: PathBuf::from(&settings.ca_cert_file),
                // The settings were checked against the same words.
                auth: ClientAuth::by_name(&settings.auth_clients).unwrap_or(ClientAuth::Yes),
                protocols: settings.protocols.clone(),
                client_cert: PathBuf::from(&settings.client_cert_file),
                client_key: PathBuf::from(&settings.client_key_file),
                client_key_pass: settings.client_key_file_pass.to_string(),
                ciphers: settings.ciphers.clone(),
                ciphersuites: settings.ciphersuites.clone(),
                prefer_own: settings.prefer_server_ciphers,
            };
            Tls::load("tls", files)
        };
        let of_links = |links: &LogTls| {
            let files = TlsFiles {
                cert: PathBuf::from(&links.cert_file),
                key: PathBuf::from(&links.key_file),
                key_pass: links.key_file_pass.to_string(),
                ca: PathBuf::from(&links.ca_cert_file),
                auth: ClientAuth::Yes,
                protocols: String::new(),
                client_cert: PathBuf::new(),
                client_key: PathBuf::new(),
                client_key_pass: String::new(),
                ciphers: String::new(),
                ciphersuites: String::new(),
                prefer_own: false,
            };
            Tls::load("log.tls", files)
        };
        Ok(Self {
            settings: settings.clone(),
            ports: on.then(of_ports).transpose()?,
            links: links.filter(|links| links.is_on()).map(of_links).transpose()?,
        })
    }

    /// Has their files followed from now on, looking at once after SIGHUP; which does nothing when there are none.
    pub fn follow(&self) {
        if let Err(error) = config_runtime::shutdown::outlive_hangup() {
            tracing::warn!("SIGHUP ends this process: {error}");
        }
        let all: Vec<Arc<Tls>> = self.ports.iter().chain(&self.links).cloned().collect();
        if !all.is_empty() {
            tokio::spawn(config_runtime::tls::follow(all));
        }
    }

    /// The TLS port of a proxy.
    pub fn redis(&self, port: u16) -> Option<TlsPort> {
        let tls = self.ports.as_ref().filter(|_| port != 0)?;
        let handshake = Duration::from_millis(self.settings.handshake_ms);
        Some(TlsPort { port, server: tls.server(), handshake, handshakes: self.settings.handshakes })
    }

    /// How other nodes are reached that want TLS. Without authorities none can be, which is said.
    pub fn nodes(&self) -> Option<LinkTls> {
        let tls = self.ports.as_ref()?;
        if self.settings.ca_cert_file.is_empty() {
            tracing::warn!(
                "other nodes' certificates can't be checked without tls.ca_cert_file: those under TLS aren't reached"
            );
        }
        Some(tls.client())
    }

    /// The TLS port of HTTP.
    pub fn http(&self, port: u16) -> Option<HttpTls> {
        let tls = self.ports.as_ref().filter(|_| port != 0)?;
        let handshake = Duration::from_millis(self.settings.handshake_ms);
        Some(HttpTls { port, server: tls.server(), handshake })
    }

    /// TLS of the links to and among log replicas.
    pub fn log(&self) -> Option<LogLinkTls> {
        self.links.as_ref().map(|tls| LogLinkTls { server: tls.server(), client: tls.client() })
    }
}

/// The plain port beside a TLS port: 0 is none then, as in Redis; alone, it picks a free one.
pub fn plain_port(port: u16, tls_port: u16) -> Option<u16> {
    (port != 0 || tls_port == 0).then_some(port)
}
