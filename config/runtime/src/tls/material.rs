//! Certificates, keys and authorities from PEM files, with errors that name the file and what is wrong with it.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{encrypted, validity};

/// Nothing in a PEM file of ours is longer; a path to something else is not read whole.
const MAX_FILE: u64 = 4 << 20;

/// The cryptography of all connections.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// A chain with its key, and until when its first certificate holds.
pub struct Loaded {
    /// Chain and key, checked to belong together.
    pub key: Arc<CertifiedKey>,
    /// Unix seconds at which the certificate ends.
    pub expires: i64,
}

/// Reads a chain and its key, which `pass` opens if it is encrypted.
///
/// # Errors
/// Names the file, and says what is wrong with it.
pub fn certified_key(
    cert: &Path,
    key: &Path,
    pass: &str,
    provider: &CryptoProvider,
) -> Result<Loaded, String> {
    let chain = certificates(cert)?;
    let first = chain.first().ok_or_else(|| of(cert, "holds no certificate"))?;
    let expires = validity::not_after(first)
        .ok_or_else(|| of(cert, "its first certificate cannot be read: it is no X.509"))?;
    let private = private_key(key, pass)?;
    let signing = provider
        .key_provider
        .load_private_key(private)
        .map_err(|error| of(key, format!("its key is of no kind that can be used: {error}")))?;
    let certified = CertifiedKey::new(chain, signing);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
        Err(rustls::Error::InconsistentKeys(_)) => {
            return Err(of(key, format!("does not belong to the certificate in {}", cert.display())));
        }
        Err(error) => return Err(of(cert, format!("its first certificate cannot be used: {error}"))),
    }
    Ok(Loaded { key: Arc::new(certified), expires })
}

/// Reads the certificates of the authorities that the other end is checked against.
///
/// # Errors
/// Names the file, and says what is wrong with it.
pub fn authorities(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| of(path, format!("one of its certificates cannot be used: {error}")))?;
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| of(path, format!("is no PEM file: {error}")))?;
    if found.is_empty() { Err(of(path, "holds no PEM certificate")) } else { Ok(found) }
}

fn private_key(path: &Path, pass: &str) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(path)?;
    if let Some(opened) = encrypted::key(&bytes, pass) {
        return opened.map_err(|why| of(path, why));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => of(path, "holds no PEM private key"),
        error => of(path, format!("is no PEM file: {error}")),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let length = std::fs::metadata(path).map_err(|error| of(path, format!("cannot be read: {error}")))?.len();
    if length > MAX_FILE {
        return Err(of(path, format!("has {length} bytes, which no file of certificates or keys has")));
    }
    std::fs::read(path).map_err(|error| of(path, format!("cannot be read: {error}")))
}

fn of(path: &Path, what: impl Display) -> String {
    format!("{} {what}", path.display())
}
