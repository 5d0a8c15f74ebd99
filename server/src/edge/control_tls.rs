//! TLS of the control API: its certificate, and whose certificates callers must show.
//!
//! Nothing is resumed: each connection shows its certificate, so that one that has run out or whose
//! authority is not trusted any more opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

use crate::access::error::AccessError;
use crate::edge::certificate::CertificateStore;

/// How the control listener speaks TLS.
pub struct ControlTls {
    certificates: Arc<CertificateStore>,
    /// Authorities of callers' certificates, PEM; without it callers need none.
    client_ca: Option<PathBuf>,
    current: ArcSwap<ServerConfig>,
}

impl ControlTls {
    /// TLS with this certificate. With `client_ca` callers must show one that an authority in that
    /// file has signed for clients.
    ///
    /// # Errors
    /// When the file cannot be read or has no certificate.
    pub fn new(
        certificates: Arc<CertificateStore>,
        client_ca: Option<PathBuf>,
    ) -> Result<Self, AccessError> {
        let config = config(&certificates, client_ca.as_deref())?;
        Ok(Self {
            certificates,
            client_ca,
            current: ArcSwap::from_pointee(config),
        })
    }

    /// Reads certificate, key and authorities again, for new connections. What cannot be read stays
    /// as it was.
    ///
    /// # Errors
    /// What could not be read.
    pub fn reload(&self) -> Result<(), AccessError> {
        let certificate = self.certificates.reload();
        let config = config(&self.certificates, self.client_ca.as_deref());
        let config = config.map(|config| self.current.store(config.into()));
        certificate.and(config)
    }

    /// For the next connection.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }
}

impl fmt::Debug for ControlTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlTls")
            .field("certificates", &self.certificates)
            .field("client_ca", &self.client_ca)
            .finish_non_exhaustive()
    }
}

fn config(
    certificates: &Arc<CertificateStore>,
    client_ca: Option<&Path>,
) -> Result<ServerConfig, AccessError> {
    let resolver: Arc<dyn ResolvesServerCert> = certificates.clone();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(certificates.provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has cipher suites of both versions")
        .with_client_cert_verifier(callers(certificates, client_ca)?)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn callers(
    certificates: &CertificateStore,
    client_ca: Option<&Path>,
) -> Result<Arc<dyn ClientCertVerifier>, AccessError> {
    let Some(path) = client_ca else {
        return Ok(Arc::new(NoClientAuth));
    };
    let provider = Arc::clone(certificates.provider());
    WebPkiClientVerifier::builder_with_provider(roots(path)?.into(), provider)
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|_| no_authority(path))
}

fn roots(path: &Path) -> Result<RootCertStore, AccessError> {
    let pem = std::fs::read(path).map_err(|e| AccessError::io(path, e))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| no_authority(path))?;
        roots.add(certificate).map_err(|_| no_authority(path))?;
    }
    Ok(roots)
}

fn no_authority(path: &Path) -> AccessError {
    AccessError::unusable(
        path,
        "no certificate of an authority in PEM form; name the file of the authority that signs callers' certificates",
    )
}
