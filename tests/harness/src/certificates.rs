//! An authority of the tests' own, the certificates that it gives out, and TLS connections with them.

use std::io;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// An authority, and the folder of its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
    /// Its certificate, PEM.
    pub file: PathBuf,
}

/// A certificate and its key, PEM files.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Authority {
    /// A new one; its files are named after it.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = folder.join(format!("{name}.crt"));
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, folder: folder.to_owned(), file }
    }

    /// A certificate for this machine by its names, good for servers and clients.
    pub fn issue(&self, name: &str) -> Identity {
        self.issue_until(name, 2100)
    }

    /// One that ends with the beginning of a year.
    pub fn issue_until(&self, name: &str, year: i32) -> Identity {
        self.issue_for(name, year, &KeyPair::generate().unwrap())
    }

    /// One for a given key, PEM.
    pub fn issue_for_key(&self, name: &str, key: &str) -> Identity {
        self.issue_for(name, 2100, &KeyPair::from_pem(key).unwrap())
    }

    fn issue_for(&self, name: &str, year: i32, key: &KeyPair) -> Identity {
        let mut params = CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let identity = Identity {
            cert: self.folder.join(format!("{name}.crt")),
            key: self.folder.join(format!("{name}.key")),
        };
        std::fs::write(&identity.cert, certificate.pem()).unwrap();
        std::fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }

    /// What a client is set up with that trusts this authority, and shows `identity` if there is one.
    pub fn client(&self, identity: Option<&Identity>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.file).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.unwrap().with_root_certificates(roots);
        Arc::new(match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let chain = vec![CertificateDer::from_pem_file(&identity.cert).unwrap()];
                let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        })
    }

    /// A TLS connection to `localhost:port`, hands shaken and one PING answered, so that the server has accepted it too.
    ///
    /// # Errors
    /// Of the connection, the handshake, or when the server ends it.
    pub fn connect(
        &self,
        port: u16,
        identity: Option<&Identity>,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        use std::io::{Read, Write};
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_read_timeout(Some(Duration::from_secs(20)))?;
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(self.client(identity), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(session, socket);
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 7];
        stream.read_exact(&mut answer)?;
        assert_eq!(&answer, b"+PONG\r\n");
        Ok(stream)
    }
}

impl Identity {
    /// Puts another's certificate and key in this one's files, as a renewal does.
    pub fn replace_with(&self, other: &Self) {
        for (from, to) in [(&other.key, &self.key), (&other.cert, &self.cert)] {
            let beside = to.with_extension("new");
            std::fs::copy(from, &beside).unwrap();
            std::fs::rename(&beside, to).unwrap();
        }
    }
}
