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
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, CertificateRevocationListDer};

use crate::access::error::AccessError;
use crate::edge::certificate::CertificateStore;

/// Whose certificates callers must show.
#[derive(Clone, Debug)]
pub struct CallerFiles {
    /// Authorities that sign them, PEM.
    pub authorities: PathBuf,
    /// Lists of those that were revoked, one of each authority, PEM.
    pub revoked: Option<PathBuf>,
}

/// How the control listener speaks TLS.
pub struct ControlTls {
    certificates: Arc<CertificateStore>,
    /// Without them callers need no certificate.
    callers: Option<CallerFiles>,
    current: ArcSwap<ServerConfig>,
}

impl ControlTls {
    /// TLS with this certificate. With `callers` they must show one that such an authority has signed
    /// for clients and not revoked.
    ///
    /// # Errors
    /// When a file cannot be read or has nothing of its kind.
    pub fn new(
        certificates: Arc<CertificateStore>,
        callers: Option<CallerFiles>,
    ) -> Result<Self, AccessError> {
        let config = config(&certificates, callers.as_ref())?;
        Ok(Self {
            certificates,
            callers,
            current: ArcSwap::from_pointee(config),
        })
    }

    /// Reads certificate, key, authorities and lists again, for new connections. What cannot be read stays
    /// as it was. `now_s`: seconds since 1970.
    ///
    /// # Errors
    /// What could not be read.
    pub fn reload(&self, now_s: u64) -> Result<(), AccessError> {
        let certificate = self.certificates.reload(now_s);
        let config = config(&self.certificates, self.callers.as_ref());
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
            .field("callers", &self.callers)
            .finish_non_exhaustive()
    }
}

fn config(
    certificates: &Arc<CertificateStore>,
    files: Option<&CallerFiles>,
) -> Result<ServerConfig, AccessError> {
    let resolver: Arc<dyn ResolvesServerCert> = certificates.clone();
    let mut config = ServerConfig::builder_with_provider(Arc::clone(certificates.provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("the provider has cipher suites of both versions")
        .with_client_cert_verifier(callers(certificates, files)?)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(config)
}

fn callers(
    certificates: &CertificateStore,
    files: Option<&CallerFiles>,
) -> Result<Arc<dyn ClientCertVerifier>, AccessError> {
    let Some(CallerFiles {
        authorities,
        revoked,
    }) = files
    else {
        return Ok(Arc::new(NoClientAuth));
    };
    let provider = Arc::clone(certificates.provider());
    let roots = roots(authorities)?;
    let mut verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    if let Some(path) = revoked {
        // An authority without a list, or with one whose time is over, vouches for nobody.
        verifier = verifier
            .with_crls(lists(path)?)
            .enforce_revocation_expiration();
    }
    verifier
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|_| match revoked {
            Some(path) => no_list(path),
            None => no_authority(authorities),
        })
}

/// The lists of a file, at least one: without any nothing would be looked up.
fn lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, AccessError> {
    let pem = std::fs::read(path).map_err(|e| AccessError::io(path, e))?;
    let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&pem).collect();
    let lists = lists.map_err(|_| no_list(path))?;
    match lists.is_empty() {
        true => Err(no_list(path)),
        false => Ok(lists),
    }
}

fn no_list(path: &Path) -> AccessError {
    AccessError::unusable(
        path,
        "no list of revoked certificates in PEM form (X509 CRL); name the file with the list of each authority that signs callers' certificates",
    )
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
