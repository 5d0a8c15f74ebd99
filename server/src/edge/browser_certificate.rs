//! The certificate of a development server that browsers accept by its hash.
//!
//! A page can name the SHA-256 of a certificate that no authority has signed
//! (`serverCertificateHashes` of WebTransport), if its key is P-256 and it is valid for two weeks
//! at most. So it is another than the one that clients trust by file, which has to stay as it is;
//! handshakes with the ALPN of HTTP/3 get this one.
//!
//! One secret file holds the key, the certificate and, in the text before them, the second at
//! which it ends.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::access::error::AccessError;
use crate::access::secret_file;

/// Its file within the directory of keys.
pub const BROWSER_CERTIFICATE_FILE: &str = "browser.pem";

/// What the line with its end begins with.
const UNTIL: &str = "valid until ";
/// Seconds before now from which it is valid, for clocks that are behind.
const EARLY_S: u64 = 24 * 3_600;
/// Seconds from the beginning of its validity to the end; browsers take two weeks at most.
const VALID_S: u64 = 14 * 24 * 3_600 - 60;
/// Seconds that it must be good for at a start; with less it is made anew.
const LEFT_S_MIN: u64 = 7 * 24 * 3_600;

const _: () = assert!(EARLY_S + LEFT_S_MIN < VALID_S);

/// What is wrong with a file that is none.
const SPOILT: &str = "no certificate and key in PEM form; remove it to get a new one";

/// The certificate, and what a page needs to know of it.
#[derive(Clone, Debug)]
pub struct BrowserCertificate {
    /// The certificate with its key.
    pub certified: Arc<CertifiedKey>,
    /// SHA-256 of the certificate, in hexadecimal digits.
    pub sha256: String,
}

impl BrowserCertificate {
    /// Reads it from the directory of keys; makes it where there is none, or none that is good
    /// for another week. `now_s`: seconds since 1970.
    ///
    /// # Errors
    /// When the file is spoilt, and what the file system says.
    pub fn open_or_renew(
        dir: &Path,
        now_s: u64,
        names: &[&str],
        provider: &CryptoProvider,
    ) -> Result<Self, AccessError> {
        let path = dir.join(BROWSER_CERTIFICATE_FILE);
        let pem = secret_file::read_or_create(&path, || make(now_s, names))?;
        if until_s(&pem).is_some_and(|until| is_good(until, now_s)) {
            return read(&path, &pem, provider);
        }
        // Only what was made here is replaced.
        read(&path, &pem, provider)?;
        let fresh = make(now_s, names);
        secret_file::replace(&path, &fresh)?;
        read(&path, &fresh, provider)
    }
}

/// Whether it is good for long enough, and was not made by a clock far ahead.
fn is_good(until_s: u64, now_s: u64) -> bool {
    (now_s + LEFT_S_MIN..=now_s + VALID_S).contains(&until_s)
}

fn until_s(pem: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(pem).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(UNTIL))?;
    line.trim().parse().ok()
}

fn make(now_s: u64, names: &[&str]) -> Vec<u8> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)
        .expect("P-256 keys can be made wherever random numbers can");
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("constant names make a certificate");
    let from_s = now_s.saturating_sub(EARLY_S);
    let until_s = from_s + VALID_S;
    params.not_before = (UNIX_EPOCH + Duration::from_secs(from_s)).into();
    params.not_after = (UNIX_EPOCH + Duration::from_secs(until_s)).into();
    let certificate = params
        .self_signed(&key)
        .expect("constant names make a certificate");
    format!(
        "{UNTIL}{until_s}\n{}{}",
        key.serialize_pem(),
        certificate.pem()
    )
    .into_bytes()
}

fn read(
    path: &Path,
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<BrowserCertificate, AccessError> {
    let spoilt = || AccessError::unusable(path, SPOILT);
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| spoilt())?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| spoilt())?;
    let hash = digest(&SHA256, &certificate);
    let sha256 = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    let sha256 = sha256.collect();
    let certified =
        CertifiedKey::from_der(vec![certificate], key, provider).map_err(|_| spoilt())?;
    Ok(BrowserCertificate {
        certified: Arc::new(certified),
        sha256,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: u64 = 1_790_000_000;
    const DAY_S: u64 = 24 * 3_600;

    fn open(dir: &Path, now_s: u64) -> Result<BrowserCertificate, AccessError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        BrowserCertificate::open_or_renew(dir, now_s, &["localhost"], &provider)
    }

    #[test]
    fn it_stays_for_a_week_and_is_renewed_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let first = open(dir.path(), NOW_S).unwrap().sha256;
        assert_eq!(first.len(), 64);
        assert_eq!(open(dir.path(), NOW_S + 5 * DAY_S).unwrap().sha256, first);
        let second = open(dir.path(), NOW_S + 7 * DAY_S).unwrap().sha256;
        assert_ne!(second, first);
        // A clock that was far ahead has been set right.
        assert_ne!(open(dir.path(), NOW_S).unwrap().sha256, second);
    }

    #[test]
    fn a_spoilt_file_is_named_with_a_way_out() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), NOW_S).unwrap();
        let path = dir.path().join(BROWSER_CERTIFICATE_FILE);
        std::fs::write(&path, "spoilt").unwrap();
        let error = open(dir.path(), NOW_S).unwrap_err().to_string();
        assert!(error.contains(BROWSER_CERTIFICATE_FILE), "{error}");
        assert!(error.contains("remove it"), "{error}");
        std::fs::remove_file(&path).unwrap();
        open(dir.path(), NOW_S).unwrap();
    }
}
