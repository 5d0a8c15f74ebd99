//! The server's certificate: one for all shards and both protocols, replaced as a whole.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use skein_wire::limits::WEBTRANSPORT_ALPN;

use crate::access::error::AccessError;
use crate::access::secret_file;
use crate::edge::authority_certificate::is_of_authority;
use crate::edge::browser_certificate::BrowserCertificate;

/// The certificate within the directory of keys.
pub const CERTIFICATE_FILE: &str = "cert.pem";
/// Its private key within the directory of keys.
pub const CERTIFICATE_KEY_FILE: &str = "key.pem";
/// Names that the certificate of a development server stands for.
const DEVELOPMENT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What is wrong with a key that is none.
const NO_KEY: &str =
    "no private key in PEM form; restore it, or in dev mode remove cert.pem and key.pem";

/// What browsers accept by its hash, and where it lies.
struct DevelopmentBrowser {
    dir: PathBuf,
    current: ArcSwap<BrowserCertificate>,
}

impl DevelopmentBrowser {
    fn open(dir: &Path, now_s: u64, provider: &CryptoProvider) -> Result<Self, AccessError> {
        Ok(Self {
            dir: dir.to_owned(),
            current: ArcSwap::from_pointee(open_browser(dir, now_s, provider)?),
        })
    }

    fn reload(&self, now_s: u64, provider: &CryptoProvider) -> Result<(), AccessError> {
        let fresh = open_browser(&self.dir, now_s, provider)?;
        let before = self.current.swap(Arc::new(fresh.clone()));
        if before.sha256 != fresh.sha256 {
            tracing::info!(browser_sha256 = %fresh.sha256, "pages need the hash of another certificate from now on");
        }
        Ok(())
    }
}

fn open_browser(
    dir: &Path,
    now_s: u64,
    provider: &CryptoProvider,
) -> Result<BrowserCertificate, AccessError> {
    BrowserCertificate::open_or_renew(dir, now_s, &DEVELOPMENT_NAMES, provider)
}

/// Gives every handshake the certificate of now.
pub struct CertificateStore {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    /// In development: what browsers accept by its hash.
    browser: Option<DevelopmentBrowser>,
}

impl CertificateStore {
    /// Reads a chain and its key from PEM files.
    ///
    /// # Errors
    /// When a file cannot be read, is no PEM, or the two do not belong together.
    pub fn open(
        certificate: &Path,
        key: &Path,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, AccessError> {
        let current = read(certificate, key, &provider)?;
        Ok(Arc::new(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: ArcSwap::from_pointee(current),
            browser: None,
        }))
    }

    /// Reads the certificate in the directory of keys; makes a self-signed one for this machine
    /// when there is none. For development only, as is the other one that browsers get.
    /// `now_s`: seconds since 1970.
    ///
    /// # Errors
    /// As [`CertificateStore::open`], and what the file system says.
    pub fn open_or_create(
        dir: &Path,
        now_s: u64,
        provider: Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, AccessError> {
        let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(CERTIFICATE_KEY_FILE));
        let pem = secret_file::read_or_create(&key, || {
            KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
                .expect("P-256 keys can be made wherever random numbers can")
                .serialize_pem()
                .into_bytes()
        })?;
        let pair = std::str::from_utf8(&pem)
            .ok()
            .and_then(|pem| KeyPair::from_pem(pem).ok())
            .ok_or_else(|| AccessError::unusable(&key, NO_KEY))?;
        secret_file::read_or_create(&certificate, || {
            let names = DEVELOPMENT_NAMES.map(str::to_owned);
            CertificateParams::new(names)
                .and_then(|params| params.self_signed(&pair))
                .expect("constant names make a certificate")
                .pem()
                .into_bytes()
        })?;
        let browser = DevelopmentBrowser::open(dir, now_s, &provider)?;
        let current = read(&certificate, &key, &provider)?;
        Ok(Arc::new(Self {
            certificate,
            key,
            provider,
            current: ArcSwap::from_pointee(current),
            browser: Some(browser),
        }))
    }

    /// Reads the files again, and makes what browsers get anew where it is good for less than a week. What
    /// fails stays as it was. `now_s`: seconds since 1970.
    ///
    /// # Errors
    /// As [`CertificateStore::open_or_create`].
    pub fn reload(&self, now_s: u64) -> Result<(), AccessError> {
        let fresh = read(&self.certificate, &self.key, &self.provider);
        let fresh = fresh.map(|fresh| self.current.store(Arc::new(fresh)));
        let browser = self.browser.as_ref();
        let browser = browser.map_or(Ok(()), |it| it.reload(now_s, &self.provider));
        fresh.and(browser)
    }

    /// SHA-256 of the certificate that pages in a browser get, in hexadecimal digits: in
    /// development only.
    pub fn browser_sha256(&self) -> Option<String> {
        let browser = self.browser.as_ref();
        browser.map(|browser| browser.current.load().sha256.clone())
    }

    /// Where the certificate is, for clients on this machine that want to trust it.
    pub fn certificate_path(&self) -> &Path {
        &self.certificate
    }

    /// The crypto library's part behind it.
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }
}

impl ResolvesServerCert for CertificateStore {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let Some(browser) = &self.browser
            && hello
                .alpn()
                .is_some_and(|mut names| names.any(|name| name == WEBTRANSPORT_ALPN))
        {
            return Some(Arc::clone(&browser.current.load().certified));
        }
        Some(self.current.load_full())
    }
}

impl fmt::Debug for CertificateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateStore")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

fn read(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, AccessError> {
    let pem = std::fs::read(certificate).map_err(|e| AccessError::io(certificate, e))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|chain| !chain.is_empty())
        .ok_or_else(|| AccessError::unusable(certificate, "no certificate in PEM form; restore it, or in dev mode remove cert.pem and key.pem"))?;
    if is_of_authority(&chain[0]) {
        tracing::warn!(path = %certificate.display(), "the certificate is one of an authority (CA:TRUE), which clients refuse as a server's; make it anew with `-addext basicConstraints=critical,CA:FALSE`");
    }
    let private = PrivateKeyDer::from_pem_slice(&secret_file::read(key)?)
        .map_err(|_| AccessError::unusable(key, NO_KEY))?;
    CertifiedKey::from_der(chain, private, provider).map_err(|_| {
        AccessError::unusable(key, "the key and the certificate do not belong together; restore both, or in dev mode remove cert.pem and key.pem")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_790_000_000;

    #[test]
    fn the_development_certificate_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        CertificateStore::open_or_create(dir.path(), NOW_S, Arc::clone(&provider)).unwrap();
        let first = std::fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap();
        CertificateStore::open_or_create(dir.path(), NOW_S, provider).unwrap();
        assert_eq!(
            std::fs::read(dir.path().join(CERTIFICATE_FILE)).unwrap(),
            first
        );
    }

    #[test]
    fn a_file_that_is_spoilt_is_named_with_a_way_out() {
        for file in [CERTIFICATE_FILE, CERTIFICATE_KEY_FILE] {
            let dir = tempfile::tempdir().unwrap();
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let open =
                || CertificateStore::open_or_create(dir.path(), NOW_S, Arc::clone(&provider));
            open().unwrap();
            std::fs::write(dir.path().join(file), "spoilt").unwrap();
            let error = open().unwrap_err().to_string();
            assert!(error.contains(file), "{error}");
            assert!(
                error.contains("in dev mode remove cert.pem and key.pem"),
                "{error}"
            );
            // What it says helps.
            for file in [CERTIFICATE_FILE, CERTIFICATE_KEY_FILE] {
                std::fs::remove_file(dir.path().join(file)).unwrap();
            }
            open().unwrap();
        }
    }

    #[test]
    fn a_foreign_key_is_refused_and_the_old_certificate_stays() {
        let dir = tempfile::tempdir().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let store = CertificateStore::open_or_create(dir.path(), NOW_S, provider).unwrap();
        let before = store.current.load_full();
        let foreign = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        std::fs::write(
            dir.path().join(CERTIFICATE_KEY_FILE),
            foreign.serialize_pem(),
        )
        .unwrap();
        let error = store.reload(NOW_S).unwrap_err().to_string();
        assert!(error.contains("belong together"), "{error}");
        assert!(Arc::ptr_eq(&before, &store.current.load_full()));
    }
    #[test]
    fn what_browsers_get_is_renewed_when_the_files_are_read_again() {
        const DAY_S: u64 = 24 * 3_600;
        let dir = tempfile::tempdir().unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let store = CertificateStore::open_or_create(dir.path(), NOW_S, provider).unwrap();
        let first = store.browser_sha256().unwrap();
        store.reload(NOW_S + 5 * DAY_S).unwrap();
        assert_eq!(store.browser_sha256().unwrap(), first);
        store.reload(NOW_S + 7 * DAY_S).unwrap();
        let second = store.browser_sha256().unwrap();
        assert_ne!(second, first);
        // A certificate of its own that is spoilt does not keep the other from being read.
        std::fs::write(dir.path().join(CERTIFICATE_FILE), "spoilt").unwrap();
        store.reload(NOW_S + 14 * DAY_S).unwrap_err();
        assert_ne!(store.browser_sha256().unwrap(), second);
    }
}
