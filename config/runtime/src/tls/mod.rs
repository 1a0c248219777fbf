//! TLS from files: what a port answers with, what a link asks with, and both anew when the files change.
//!
//! A process makes one [`Tls`] for each of its identities (what clients see; what the links between own processes use) and
//! gives the parts the slots [`Tls::server`] and [`Tls::client`]. Connections take what is in the slot when they begin, so
//! a reload concerns new connections only. A reload that fails changes nothing, and says so in log and metric.

mod encrypted;
mod material;
mod suites;
mod validity;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
pub use rustls::ClientConfig;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// Reloads of certificates, by identity and result.
pub const RELOADS: &str = "fastkeep_tls_reloads_total";
/// Unix time at which the certificate in use ends, by identity.
pub const EXPIRES: &str = "fastkeep_tls_certificate_expires_seconds";
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether the other end must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nobody is asked for one.
    No,
    /// It must be good if there is one.
    Optional,
    /// Nobody gets in without.
    Yes,
}

impl ClientAuth {
    /// By Redis's words.
    pub fn by_name(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "no" => Some(Self::No),
            "optional" => Some(Self::Optional),
            "yes" => Some(Self::Yes),
            _ => None,
        }
    }

    /// Redis's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Optional => "optional",
            Self::Yes => "yes",
        }
    }
}

/// Where an identity's parts are, and what is asked of the other end. Not to be printed: it holds passphrases.
#[derive(Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM certificate, and those between it and its authority. Empty for a client that shows none.
    pub cert: PathBuf,
    /// Its PEM key.
    pub key: PathBuf,
    /// The passphrase of the key; empty = the key is not encrypted.
    pub key_pass: String,
    /// PEM certificates of the authorities that the other end is checked against; may be empty where nothing is checked.
    pub ca: PathBuf,
    /// What is asked of clients.
    pub auth: ClientAuth,
    /// `TLSv1.2`, `TLSv1.3`, separated by spaces; empty = both.
    pub protocols: String,
    /// What is shown where this process is the client, and its key; empty = what is shown as a server.
    pub client_cert: PathBuf,
    /// Its PEM key.
    pub client_key: PathBuf,
    /// The passphrase of that key; empty = it is not encrypted.
    pub client_key_pass: String,
    /// Cipher suites of TLSv1.2 in OpenSSL's names, separated by colons; empty = all that there are.
    pub ciphers: String,
    /// The same of TLSv1.3.
    pub ciphersuites: String,
    /// Of the suites that both ends have, the one that is named first here is taken, not the client's first.
    pub prefer_own: bool,
}

impl TlsFiles {
    /// The value of a setting under Redis's name; none for others.
    pub fn setting(&self, name: &str) -> Option<String> {
        Some(match name {
            "tls-cert-file" => self.cert.display().to_string(),
            "tls-key-file" => self.key.display().to_string(),
            "tls-key-file-pass" => self.key_pass.clone(),
            "tls-client-key-file-pass" => self.client_key_pass.clone(),
            "tls-ca-cert-file" => self.ca.display().to_string(),
            "tls-auth-clients" => self.auth.name().to_owned(),
            "tls-protocols" => self.protocols.clone(),
            "tls-client-cert-file" => self.client_cert.display().to_string(),
            "tls-client-key-file" => self.client_key.display().to_string(),
            "tls-ciphers" => self.ciphers.clone(),
            "tls-ciphersuites" => self.ciphersuites.clone(),
            "tls-prefer-server-ciphers" => if self.prefer_own { "yes" } else { "no" }.to_owned(),
            _ => return None,
        })
    }

    /// Changes a setting under Redis's name.
    ///
    /// # Errors
    /// In Redis's words, what the value should have been.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "tls-cert-file" => self.cert = PathBuf::from(value),
            "tls-key-file" => self.key = PathBuf::from(value),
            "tls-key-file-pass" => value.clone_into(&mut self.key_pass),
            "tls-client-key-file-pass" => value.clone_into(&mut self.client_key_pass),
            "tls-ca-cert-file" => self.ca = PathBuf::from(value),
            "tls-auth-clients" => {
                let one_of = "argument(s) must be one of the following: no, yes, optional";
                self.auth = ClientAuth::by_name(value).ok_or(one_of)?;
            }
            "tls-protocols" => value.clone_into(&mut self.protocols),
            "tls-client-cert-file" => self.client_cert = PathBuf::from(value),
            "tls-client-key-file" => self.client_key = PathBuf::from(value),
            "tls-ciphers" => value.clone_into(&mut self.ciphers),
            "tls-ciphersuites" => value.clone_into(&mut self.ciphersuites),
            "tls-prefer-server-ciphers" => {
                self.prefer_own = match value.to_ascii_lowercase().as_str() {
                    "yes" => true,
                    "no" => false,
                    _ => return Err("argument must be 'yes' or 'no'".to_owned()),
                };
            }
            _ => return Err(format!("there is no setting {name}")),
        }
        Ok(())
    }
}

/// One identity, and the newest configurations made of it.
pub struct Tls {
    /// The settings section that it comes from.
    name: &'static str,
    server: Arc<ArcSwap<ServerConfig>>,
    client: Arc<ArcSwap<ClientConfig>>,
    state: Mutex<State>,
}

struct State {
    files: TlsFiles,
    stamps: Vec<Stamp>,
}

/// Tells whether a file was replaced or written: time, length, number.
type Stamp = Option<(SystemTime, u64, u64)>;

/// What one reading of the files makes.
struct Made {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    expires: i64,
}

impl Tls {
    /// Reads the files of the identity of a settings section.
    ///
    /// # Errors
    /// Names the section and the file, and says what is wrong with it.
    pub fn load(name: &'static str, files: TlsFiles) -> Result<Arc<Self>, String> {
        describe();
        let stamps = stamps(&files);
        let made = make(&files).map_err(|why| format!("{name}: {why}"))?;
        note_expiry(name, &files, made.expires);
        Ok(Arc::new(Self {
            name,
            server: Arc::new(ArcSwap::new(made.server)),
            client: Arc::new(ArcSwap::new(made.client)),
            state: Mutex::new(State { files, stamps }),
        }))
    }

    /// What a listener answers new connections with.
    pub fn server(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.server)
    }

    /// What a new link is opened with: it shows this identity, and checks the other end.
    pub fn client(&self) -> Arc<ArcSwap<ClientConfig>> {
        Arc::clone(&self.client)
    }

    /// The files in use.
    pub fn files(&self) -> TlsFiles {
        self.state.lock().files.clone()
    }

    /// Takes other files, or what is in them now, for new connections.
    ///
    /// # Errors
    /// Names the file, and says what is wrong with it; then everything stays as it was.
    pub fn change(&self, files: TlsFiles) -> Result<(), String> {
        let mut state = self.state.lock();
        // Before reading: what changes meanwhile is found by the next look.
        state.stamps = stamps(&files);
        match make(&files) {
            Ok(made) => {
                self.server.store(made.server);
                self.client.store(made.client);
                note_expiry(self.name, &files, made.expires);
                state.files = files;
                metrics::counter!(RELOADS, "identity" => self.name, "result" => "ok").increment(1);
                tracing::info!(identity = self.name, "certificates loaded; they hold for new connections");
                Ok(())
            }
            Err(why) => {
                metrics::counter!(RELOADS, "identity" => self.name, "result" => "failed").increment(1);
                tracing::error!(
                    identity = self.name,
                    "certificates not loaded, those in use stay in use: {why}"
                );
                Err(why)
            }
        }
    }

    /// Reads the files again, changed or not.
    ///
    /// # Errors
    /// As [`Tls::change`].
    pub fn reload(&self) -> Result<(), String> {
        self.change(self.files())
    }

    /// Reads the files again if one of them was written or replaced since it was last looked at.
    fn look(&self) {
        let (files, seen) = {
            let state = self.state.lock();
            (state.files.clone(), state.stamps.clone())
        };
        if stamps(&files) != seen {
            // Told already: to log and metric.
            let _ = self.change(files);
        }
    }
}

/// Follows the files of all identities of this process, and SIGHUP, for ever.
pub async fn follow(identities: Vec<Arc<Tls>>) {
    let hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
    let mut hangup = match hangup {
        Ok(hangup) => hangup,
        Err(error) => {
            return tracing::error!(%error, "certificates are not followed: cannot watch SIGHUP");
        }
    };
    loop {
        let asked = tokio::select! {
            _ = hangup.recv() => true,
            () = tokio::time::sleep(LOOK_EVERY) => false,
        };
        let all = identities.clone();
        let round = move || {
            for tls in all {
                if asked {
                    let _ = tls.reload();
                } else {
                    tls.look();
                }
            }
        };
        let _ = tokio::task::spawn_blocking(round).await;
    }
}

fn describe() {
    metrics::describe_counter!(RELOADS, "Times that certificates were read anew, by result");
    metrics::describe_gauge!(
        EXPIRES,
        metrics::Unit::Seconds,
        "Unix time at which the certificate in use ends"
    );
}

fn stamps(files: &TlsFiles) -> Vec<Stamp> {
    use std::os::unix::fs::MetadataExt;
    let stamp = |path: &PathBuf| {
        let found = std::fs::metadata(path).ok()?;
        Some((found.modified().ok()?, found.len(), found.ino()))
    };
    [&files.cert, &files.key, &files.ca, &files.client_cert, &files.client_key].map(stamp).to_vec()
}

fn make(files: &TlsFiles) -> Result<Made, String> {
    let provider = suites::provider(&files.ciphers, &files.ciphersuites)?;
    let versions = versions(&files.protocols)?;
    let named = |path: &Path| !path.as_os_str().is_empty();
    let roots = if named(&files.ca) { Some(material::authorities(&files.ca)?) } else { None };
    let own = material::certified_key(&files.cert, &files.key, &files.key_pass, &provider)?;
    let wrong = |error: rustls::Error| format!("TLS cannot be set up: {error}");

    let resolver = Arc::new(SingleCertAndKey::from(Arc::clone(&own.key)));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(wrong)?;
    let server = match verifier(files.auth, roots.clone(), &provider)? {
        Some(verifier) => server.with_client_cert_verifier(verifier),
        None => server.with_no_client_auth(),
    };
    let mut server = server.with_cert_resolver(Arc::clone(&resolver) as _);
    // Made anew with the certificates, so that nobody resumes a session that began under other authorities.
    server.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(wrong)?;

    server.ignore_client_order = files.prefer_own;

    let shown = match (named(&files.client_cert), named(&files.client_key)) {
        (false, false) => resolver,
        (true, true) => {
            let (cert, key) = (&files.client_cert, &files.client_key);
            let own = material::certified_key(cert, key, &files.client_key_pass, &provider)?;
            Arc::new(SingleCertAndKey::from(own.key))
        }
        _ => return Err("tls-client-cert-file and tls-client-key-file belong together".to_owned()),
    };
    let client = client_builder(&provider, &versions, roots)?.with_client_cert_resolver(shown);
    Ok(Made { server: Arc::new(server), client: Arc::new(client), expires: own.expires })
}

fn verifier(
    auth: ClientAuth,
    roots: Option<Arc<RootCertStore>>,
    provider: &Arc<rustls::crypto::CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    if auth == ClientAuth::No {
        return Ok(None);
    }
    let roots = roots.ok_or("client certificates can't be checked without ca_cert_file")?;
    let builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    let builder = if auth == ClientAuth::Optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|error| format!("client certificates can't be checked: {error}"))
}

type ClientBuilder = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn client_builder(
    provider: &Arc<rustls::crypto::CryptoProvider>,
    versions: &[&'static SupportedProtocolVersion],
    roots: Option<Arc<RootCertStore>>,
) -> Result<ClientBuilder, String> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(versions)
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    Ok(builder.with_root_certificates(roots.unwrap_or_else(|| Arc::new(RootCertStore::empty()))))
}

/// A client of ports that are checked against the authorities in `ca`; shows a certificate if `identity` names one
/// (certificate and key).
///
/// # Errors
/// Names the file, and says what is wrong with it.
pub fn client(ca: &Path, identity: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, String> {
    let provider = material::provider();
    let roots = material::authorities(ca)?;
    let builder = client_builder(&provider, &versions("")?, Some(roots))?;
    Ok(Arc::new(match identity {
        Some((cert, key)) => {
            let own = material::certified_key(cert, key, "", &provider)?;
            builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own.key)))
        }
        None => builder.with_no_client_auth(),
    }))
}

/// The versions of Redis's `tls-protocols`.
///
/// # Errors
/// Names the word that is no version, or none that is still safe.
pub fn versions(protocols: &str) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let mut found = Vec::new();
    for word in protocols.split_whitespace() {
        let version = match word.to_ascii_lowercase().as_str() {
            "tlsv1.2" => &TLS12,
            "tlsv1.3" => &TLS13,
            "tlsv1" | "tlsv1.1" => {
                return Err(format!("{word} is broken and not offered; use TLSv1.2 or TLSv1.3"));
            }
            _ => return Err(format!("`{word}` is no version of TLS; use TLSv1.2 or TLSv1.3")),
        };
        if !found.contains(&version) {
            found.push(version);
        }
    }
    Ok(if found.is_empty() { vec![&TLS13, &TLS12] } else { found })
}

fn note_expiry(name: &'static str, files: &TlsFiles, expires: i64) {
    metrics::gauge!(EXPIRES, "identity" => name).set(expires as f64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
    if expires < now {
        tracing::error!(
            identity = name,
            "the certificate in {} has expired: whoever checks it will refuse it",
            files.cert.display()
        );
    }
}
